//! The strategies beside each other: the code of `tripoll compare`; then its generator beside wrk on the same server, since who measures
//! must be measured; then haproxy under the same load.
//!
//! ```sh
//! cargo bench --bench backends              # all
//! cargo bench --bench backends -- wrk       # the generator beside wrk alone
//! cargo bench --bench backends -- haproxy   # haproxy by epoll and by poll beside tripoll by both: the story of a program that nobody here wrote
//! ```

// The command uses all of it; here it is run in parts.
#[allow(dead_code, unused_imports)]
#[path = "../src/lab/mod.rs"]
mod lab;
mod running;
mod wrk;

use lab::generator;
use lab::hold::{Held, Order};
use lab::interrupt::Interrupt;
use lab::load::{Ask, Load, Moment, Pace};
use lab::plan::{Contestant, Options, PATIENCE};
use lab::row::Spread;
use lab::site::{self, Site};
use running::{Running, is_installed};
use std::net::{SocketAddr, SocketAddrV4};
use std::path::Path;
use std::time::Duration;
use tripoll::poller::{Strategy, Updates};
use tripoll::sys;

const PROGRAM: &str = env!("CARGO_BIN_EXE_tripoll");

/// Rounds in which all have their turn.
const ROUNDS: usize = 5;

/// wrk takes whole seconds.
const WRK_TIME: Duration = Duration::from_secs(2);

const CONNECTIONS: usize = 64;
const TARGET: &str = "/hello/you";

/// The share of the server's core from which on it was the bottleneck.
const SATURATED: f64 = 0.95;

/// The share of the time that others may have the server's core before requests a second are theirs too.
const DISTURBED: f64 = 0.05;

/// How far from each other two generators may be that measure the same.
const AGREEMENT: f64 = 0.1;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let is_wanted = |name: &str| words.is_empty() || words.iter().any(|word| word == name);
    if is_wanted("compare") {
        compare();
    }
    if is_wanted("wrk") {
        beside_wrk();
    }
    if is_wanted("haproxy") {
        haproxy();
    }
}

fn compare() {
    let options = Options {
        idle: Vec::new(),
        active: Vec::new(),
        work: Vec::new(),
        rates: Vec::new(),
        contestants: Strategy::ALL.map(Contestant::Strategy).to_vec(),
        rounds: None,
        patience: PATIENCE,
        time: None,
        accept_max: None,
        updates: Updates::Lazy,
        is_full: false,
        has_out: false,
        command: "cargo bench --bench backends".into(),
        program: PROGRAM.into(),
    };
    print!("{}", lab::table::render(&lab::compare(&options).expect("it measures")));
}

/// tripoll, waiting as `flags` say.
fn start_tripoll(site: &Site, flags: &str, core: usize) -> Running {
    let flags = format!("{flags} --demo --log off --idle-timeout 1d --accept-max 64 --port PORT");
    let words = flags.split(' ').map(str::to_string);
    let folder = site.folder().display().to_string();
    Running::new("tripoll", [PROGRAM.to_string()].into_iter().chain(words).chain([folder]).collect(), Some(core))
        .expect("it listens")
}

/// haproxy on one thread, that answers every request itself.
fn start_haproxy(folder: &Path, flags: &str, core: usize) -> Running {
    let file = folder.join("haproxy.conf");
    let configuration = "global\n nbthread 1\n maxconn 9000\ndefaults\n mode http\n timeout client 1h\n timeout http-request 1h\n \
                         timeout http-keep-alive 1h\nfrontend f\n bind 127.0.0.1:PORT\n http-request return status 200 content-type \
                         text/plain string ok\n";
    std::fs::write(&file, configuration).expect("a file");
    let words = format!("haproxy {flags} -db -f {}", file.display());
    Running::new("haproxy", words.split_whitespace().map(str::to_string).collect(), Some(core)).expect("it listens")
}

fn address(server: &Running) -> SocketAddrV4 {
    let SocketAddr::V4(address) = server.address else { unreachable!("it listens at 127.0.0.1") };
    address
}

/// Microseconds so far on its core, and ready to run while others were there.
fn times(server: &Running) -> [f64; 2] {
    [server.cpu_nanoseconds(), server.delayed_nanoseconds()].map(|nanoseconds| nanoseconds as f64 / 1000.0)
}

fn hold(server: &Running, connections: usize, core: usize, interrupt: &'static Interrupt) -> Option<Held<'static>> {
    let order = Order { address: address(server), connections };
    let held = (connections > 0).then(|| Held::open(Path::new(PROGRAM), order, core, interrupt).expect("it holds"))?;
    assert_eq!(held.connections(), connections, "all of them are answered");
    Some(held)
}

/// Under the lab's generator.
fn measure(server: &Running, time: Duration) -> Sample {
    // As wrk asks.
    let request = format!("GET {TARGET} HTTP/1.1\r\nHost: {}\r\n\r\n", server.address).into_bytes();
    let answer_bytes = site::answer_bytes(address(server), &request, 1, PATIENCE).expect("it answers");
    let load = Load {
        address: address(server),
        ask: Ask { answer_bytes, request },
        requests_per_send: 1,
        connections: CONNECTIONS,
        beside: None,
        settles: None,
        closes: false,
        pace: Pace::Closed,
        warm_up: Duration::from_millis(100),
        time,
    };
    let mut before = [0.0; 2];
    let look = |moment| {
        if moment == Moment::Begin {
            before = times(server);
        }
        Ok(())
    };
    let measured = generator::run(&load, &Interrupt::default(), look).expect("it measures");
    let after = times(server);
    assert_eq!(measured.errors.total(), 0, "{:?}", measured.errors);
    Sample::new(measured.requests as f64, measured.elapsed.as_secs_f64(), before, after)
}

/// Under wrk, which counts the same requests.
fn measure_by_wrk(server: &Running) -> Sample {
    let before = times(server);
    let seen = wrk::run(&format!("http://{}{TARGET}", server.address), CONNECTIONS, WRK_TIME.as_secs() as usize, &[]);
    let after = times(server);
    assert_eq!(seen.trouble, "");
    Sample::new(seen.requests, seen.requests / seen.per_second, before, after)
}

/// What one measurement came to.
struct Sample {
    per_second: f64,
    /// CPU time of the server for a request, in microseconds.
    cost: f64,
    /// Of the time: the server on its core, and kept from it by others.
    share: f64,
    delayed_share: f64,
}

impl Sample {
    fn new(requests: f64, seconds: f64, before: [f64; 2], after: [f64; 2]) -> Sample {
        let [cpu, delayed] = [after[0] - before[0], after[1] - before[1]];
        let share = |microseconds: f64| microseconds / 1e6 / seconds;
        Sample {
            per_second: requests / seconds,
            cost: cpu / requests,
            share: share(cpu),
            delayed_share: share(delayed),
        }
    }
}

/// The server's core, and the generator's, to which this thread is bound: what it starts inherits that.
fn cores() -> (usize, usize) {
    let cores = sys::allowed_cores().expect("Linux");
    let (server_core, own_core) = (cores[0], cores[cores.len() - 1]);
    sys::pin(None, own_core).expect("the core is there");
    (server_core, own_core)
}

/// The same server under the lab's generator and under wrk, in turns: as many connections, the same bytes, the same cores, as long.
/// Requests a second must agree where the server is the bottleneck of both; where its core has time to spare they are the generators' own.
fn beside_wrk() {
    if !is_installed("wrk") {
        return println!("skipped: wrk is not installed");
    }
    let (server_core, own_core) = cores();
    let site = Site::new().expect("a folder");
    for (backend, idle) in [("epoll", 0), ("poll", 1_000)] {
        let running = start_tripoll(&site, &format!("--backend {backend}"), server_core);
        let _held = hold(&running, idle, own_core, quiet());
        println!("{backend} beside {idle} idle, {CONNECTIONS} connections");
        println!("round  req/s: lab      wrk  ratio   CPU µs/req: lab    wrk  ratio   server's core: lab   wrk");
        let mut rounds = Vec::new();
        for round in 0..ROUNDS {
            let (lab, wrk) = (measure(&running, WRK_TIME), measure_by_wrk(&running));
            let (speed, cost) = (lab.per_second / wrk.per_second, lab.cost / wrk.cost);
            println!(
                "{round:>5}  {:>10.0}  {:>7.0}  {speed:>5.3}   {:>15.2}  {:>5.2}  {cost:>5.3}   {:>17.0} %  {:>3.0} %",
                lab.per_second,
                wrk.per_second,
                lab.cost,
                wrk.cost,
                lab.share * 100.0,
                wrk.share * 100.0
            );
            rounds.push([speed, cost, lab.share, wrk.share, lab.delayed_share.max(wrk.delayed_share)]);
        }
        let of = |at: usize| Spread::of(rounds.iter().map(|round| round[at])).expect("there are rounds");
        let (speed, cost, least_share) = (of(0), of(1), of(2).median.min(of(3).median));
        let agrees = |ratio: Spread| if (ratio.median - 1.0).abs() <= AGREEMENT { "agrees" } else { "DIFFERS" };
        let verdict = match least_share {
            _ if of(4).median > DISTURBED => "others took the server's core at times: no verdict",
            share if share < SATURATED => "the server had time to spare: that is the generators' own, no verdict",
            _ => agrees(speed),
        };
        let said = |ratio: Spread| format!("{:.3} ({:.3}–{:.3})", ratio.median, ratio.least, ratio.greatest);
        println!("lab over wrk: CPU a request {}: {}", said(cost), agrees(cost));
        println!("lab over wrk: requests/s {}: {verdict}\n", said(speed));
    }
}

/// haproxy that answers by itself, switched to poll by its own flag, and tripoll by both, beside idle connections: two curves side by side.
fn haproxy() {
    if !is_installed("haproxy") {
        return println!("skipped: haproxy is not installed");
    }
    let (server_core, own_core) = cores();
    let (site, folder) = (Site::new().expect("a folder"), tempfile::TempDir::new().expect("a folder"));
    println!("CPU µs a request, {CONNECTIONS} connections busy: median of {ROUNDS} rounds (least–greatest)");
    println!(
        "idle   {:<20} {:<20}  ratio   {:<20} {:<20}  ratio",
        "haproxy, epoll", "haproxy, poll", "tripoll, epoll", "tripoll, poll"
    );
    for idle in [0, 1_000, 5_000] {
        let servers = [
            start_haproxy(folder.path(), "", server_core),
            start_haproxy(folder.path(), "-de", server_core),
            start_tripoll(&site, "--backend epoll", server_core),
            start_tripoll(&site, "--backend poll", server_core),
        ];
        let _held: Vec<_> = servers.iter().map(|server| hold(server, idle, own_core, quiet())).collect();
        let rounds: Vec<Vec<f64>> = (0..ROUNDS)
            .map(|_| servers.iter().map(|server| measure(server, Duration::from_millis(600)).cost).collect())
            .collect();
        let costs: Vec<Spread> = (0..servers.len())
            .map(|at| Spread::of(rounds.iter().map(|round| round[at])).expect("there are rounds"))
            .collect();
        let said = |cost: Spread| format!("{:.1} ({:.1}–{:.1})", cost.median, cost.least, cost.greatest);
        print!("{idle:<6}");
        for pair in costs.chunks(2) {
            let ratio = pair[1].median / pair[0].median;
            print!(" {:<20} {:<20}  {ratio:>5.2}  ", said(pair[0]), said(pair[1]));
        }
        println!();
    }
}

/// Nobody interrupts: Ctrl-C ends a bench.
fn quiet() -> &'static Interrupt {
    Box::leak(Box::default())
}
