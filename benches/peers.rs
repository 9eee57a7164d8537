//! Servers beside each other on one machine: this one under each strategy, a program that parses nothing, and nginx, lighttpd, h2o where
//! they are installed. Server on core 0, wrk on core 1; what counts is the server's CPU time per request, as a ratio to the first server of
//! the same round. In `open`, which is the lab's generator at half of what the slowest of them can do, it is how long requests take; in
//! `large`, how long they take beside a download of 1 GiB and without one.
//!
//! ```sh
//! cargo bench --bench peers -- [--work keep,browser,route,pipe,close,100k,1m,log,crowd,open,large,idle,start] [--rounds 5] [--seconds 2] [--only epoll,nginx]
//! ```

mod browser;
// The command uses all of it; here it is its generator.
#[allow(dead_code, unused_imports)]
#[path = "../src/lab/mod.rs"]
mod lab;
#[path = "peers/large.rs"]
mod large;
#[path = "peers/limit.rs"]
mod limit;
mod running;
#[path = "peers/servers.rs"]
mod servers;
mod wrk;

use lab::generator;
use lab::interrupt::Interrupt;
use lab::load::{Ask, Load, Measured, Pace};
use lab::plan::PATIENCE;
use lab::row::{Spread, is_late};
use lab::site;
use running::{Running, is_installed, median};
use servers::{CLOSE, SERVER_CORE, Server, Work, servers, site};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tripoll::sys;

/// Those that others wrote.
const PEERS: [&str; 3] = ["nginx", "lighttpd", "h2o"];

/// Where wrk and the lab's generator run.
const GENERATOR_CORE: usize = 1;

/// Sixteen requests at a time, for wrk.
const PIPELINE: &str = "init = function(args) local r = {} for i = 1, 16 do r[i] = wrk.format(nil, wrk.path) end \
                        req = table.concat(r) end\nrequest = function() return req end\n";

/// How often a server is started to see how long that takes.
const STARTS: usize = 21;

/// Connections that are opened to see what one costs when it is idle.
const IDLE: usize = 5_000;

/// Connections that are idle while others ask.
const CROWD: usize = 10_000;

const KEEP: Work =
    Work { name: "keep", path: "/1k.txt", body_bytes: 1024, connections: 64, fields: "", is_pipelined: false };

const WORKS: [Work; 7] = [
    KEEP,
    Work { name: "browser", fields: browser::FIELDS, ..KEEP },
    Work { name: "route", path: "/hello/bob", body_bytes: 12, ..KEEP },
    Work { name: "pipe", path: "/hello.txt", body_bytes: 13, is_pipelined: true, ..KEEP },
    Work { name: "close", fields: CLOSE, ..KEEP },
    Work { name: "100k", path: "/100k.bin", body_bytes: 100 << 10, connections: 32, ..KEEP },
    Work { name: "1m", path: "/1m.bin", body_bytes: 1 << 20, connections: 16, ..KEEP },
];

/// What is no load by wrk, or no server beside others.
type Measure = fn(&[Server], &Options);
const OTHER_WORKS: [(&str, Measure); 6] = [
    ("log", measure_log),
    ("crowd", measure_crowd),
    ("open", measure_open),
    ("large", large::measure),
    ("idle", measure_idle),
    ("start", measure_start),
];

struct Options {
    works: Vec<String>,
    rounds: usize,
    seconds: usize,
    only: Option<Vec<String>>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "--limit") {
        let number = |at: usize| arguments[at].parse::<usize>().expect("a number");
        return limit::serve(number(1) as u16, number(2), arguments.get(3).is_some_and(|word| word == "close"));
    }
    if let [first, address, seconds] = arguments.as_slice()
        && first == "--download"
    {
        let time = Duration::from_secs(seconds.parse().expect("a number"));
        return println!("{}", large::download(address, time));
    }
    let options = options(&arguments);
    if !is_installed("wrk") {
        return println!("skipped: wrk is not installed");
    }
    sys::pin(None, GENERATOR_CORE).expect("the core is there");
    let site = site();
    let servers = servers(site.path());
    println!("{:<8} {:<12} {:>10} {:>7} {:>10} {:>7}  p99", "work", "server", "req/s", "ratio", "us/req", "ratio");
    for work in WORKS.iter().filter(|work| options.works.iter().any(|name| name == work.name)) {
        measure(work, &servers, &options);
    }
    for (name, measure) in OTHER_WORKS {
        if options.works.iter().any(|chosen| chosen == name) {
            measure(&servers, &options);
        }
    }
}

fn options(arguments: &[String]) -> Options {
    let list = |text: &String| text.split(',').map(str::to_string).collect::<Vec<_>>();
    let value = |flag: &str| arguments.iter().position(|word| word == flag).and_then(|at| arguments.get(at + 1));
    let count = |flag: &str, default: usize| value(flag).map_or(default, |text| text.parse().expect("a number"));
    let others = OTHER_WORKS.map(|(name, _)| name);
    let all = || WORKS.iter().map(|work| work.name).chain(others).map(str::to_string).collect::<Vec<_>>();
    let works = value("--work").map_or_else(all, list);
    if let Some(unknown) = works.iter().find(|work| !all().contains(work)) {
        panic!("there is no work {unknown:?}, but {}", all().join(", "));
    }
    Options { works, rounds: count("--rounds", 5), seconds: count("--seconds", 2), only: value("--only").map(list) }
}

/// What wrk saw, and what it cost.
struct Sample {
    seen: wrk::Seen,
    /// Of the server, a request.
    cpu_microseconds: f64,
}

fn load(running: &Running, work: &Work, seconds: usize, lua: &Path) -> Sample {
    let mut words: Vec<String> = work.fields.lines().flat_map(|field| ["-H".into(), field.into()]).collect();
    if work.is_pipelined {
        words.extend(["-s".into(), lua.display().to_string()]);
    }
    let before = running.cpu_nanoseconds();
    let seen = wrk::run(&format!("http://{}{}", running.address, work.path), work.connections, seconds, &words);
    let cpu = running.cpu_nanoseconds() - before;
    let cpu_microseconds = cpu as f64 / 1000.0 / seen.requests.max(1.0);
    Sample { cpu_microseconds, seen }
}

fn chosen<'a>(servers: &'a [Server], options: &'a Options) -> impl Iterator<Item = &'a Server> {
    let is_chosen = |name: &str| options.only.as_ref().is_none_or(|only| only.iter().any(|word| word == name));
    servers.iter().filter(move |server| server.name == "limit" || is_chosen(server.name))
}

/// Rounds in which each server has its turn, so that what disturbs one disturbs all.
fn measure(work: &Work, servers: &[Server], options: &Options) {
    measure_running(work, chosen(servers, options).filter_map(|server| server.run(work)).collect(), options);
}

/// The first is what the others are compared to.
fn measure_running(work: &Work, running: Vec<Running>, options: &Options) {
    let lua = TempDir::new().expect("a folder");
    let lua_path = lua.path().join("pipeline.lua");
    fs::write(&lua_path, PIPELINE).expect("a file");
    let mut samples: BTreeMap<&str, Vec<Sample>> = BTreeMap::new();
    for _ in 0..options.rounds {
        for server in &running {
            samples.entry(server.name).or_default().push(load(server, work, options.seconds, &lua_path));
        }
    }
    let Some(first) = running.first().map(|server| &samples[server.name]) else { return };
    for server in &running {
        let rows = &samples[server.name];
        let of = |value: fn(&Sample) -> f64| median(rows.iter().map(value));
        let ratio =
            |value: fn(&Sample) -> f64| median(rows.iter().zip(first).map(|(own, first)| value(own) / value(first)));
        let speed = |sample: &Sample| sample.seen.per_second;
        let cpu = |sample: &Sample| sample.cpu_microseconds;
        let trouble = rows.iter().map(|sample| sample.seen.trouble.as_str()).find(|trouble| !trouble.is_empty());
        println!(
            "{:<8} {:<12} {:>10.0} {:>7.2} {:>10.2} {:>7.2}  {:.0} us {}",
            work.name,
            server.name,
            of(speed),
            ratio(speed),
            of(cpu),
            ratio(cpu),
            of(|sample| sample.seen.p99_microseconds),
            trouble.unwrap_or_default()
        );
    }
}

/// This server by epoll, with a flag more, under a name of its own.
fn epoll_with(name: &'static str, flag: [&str; 2], servers: &[Server]) -> Option<Running> {
    let mut command = servers.iter().find(|server| server.name == "epoll").expect("it is among them").command.clone();
    match command.iter().position(|word| word == flag[0]) {
        Some(at) => command[at + 1] = flag[1].into(),
        None => drop(command.splice(1..1, flag.map(str::to_string))),
    }
    Running::new(name, command, Some(SERVER_CORE))
}

/// What the access log costs where it goes to nobody.
fn measure_log(servers: &[Server], options: &Options) {
    let forms = ["off", "common", "json"].into_iter().filter_map(|form| epoll_with(form, ["--log", form], servers));
    measure_running(&Work { name: "log", ..KEEP }, forms.collect(), options);
}

/// What those who are idle cost those who ask, by epoll.
fn measure_crowd(servers: &[Server], options: &Options) {
    if sys::raise_descriptor_limit().is_ok_and(|limit| limit < CROWD as u64 + 100) {
        return println!("skipped: crowd needs {CROWD} descriptors");
    }
    let start = |name| epoll_with(name, ["--idle-timeout", "1h"], servers);
    let (Some(alone), Some(crowded)) = (start("alone"), start("crowded")) else { return };
    let _idle: Vec<_> = (0..CROWD).map(|_| ask(crowded.address)).collect();
    measure_running(&Work { name: "crowd", ..KEEP }, vec![alone, crowded], options);
}

/// How long it takes from exec(2) to the first answer.
fn measure_start(servers: &[Server], options: &Options) {
    for server in chosen(servers, options) {
        let start = |_| {
            let begun = Instant::now();
            let running = server.run(&KEEP)?;
            let _client = ask(running.address);
            Some(begun.elapsed().as_secs_f64() * 1e3)
        };
        let times: Vec<f64> = (0..STARTS).filter_map(start).collect();
        if !times.is_empty() {
            println!(
                "{:<8} {:<12} {:>10.2} ms, median of {}",
                "start",
                server.name,
                median(times.iter().copied()),
                times.len()
            );
        }
    }
}

/// A client that was answered.
fn ask(address: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(address).expect("it accepts");
    client.write_all(b"GET /1k.txt HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it reads");
    client.read_exact(&mut [0; 1024]).expect("it answers");
    client
}

/// How long requests take that come at a fixed rate, from when each was due: the same rate for all, half of the least peak.
fn measure_open(servers: &[Server], options: &Options) {
    let running: Vec<_> = chosen(servers, options).filter_map(|server| server.run(&KEEP)).collect();
    let under = |server: &Running, pace: Pace| -> Measured {
        let SocketAddr::V4(address) = server.address else { unreachable!("it listens at 127.0.0.1") };
        let request = format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", KEEP.path).into_bytes();
        let load = Load {
            address,
            ask: Ask { answer_bytes: site::answer_bytes(address, &request, 1, PATIENCE).expect("it answers"), request },
            requests_per_send: 1,
            connections: KEEP.connections,
            beside: None,
            settles: None,
            closes: false,
            pace,
            warm_up: Duration::from_millis(200),
            time: Duration::from_secs(options.seconds as u64),
        };
        generator::run(&load, &Interrupt::default(), |_| Ok(())).expect("it measures")
    };
    let peaks = running.iter().map(|server| {
        let measured = under(server, Pace::Closed);
        measured.requests as f64 / measured.elapsed.as_secs_f64()
    });
    let rate = peaks.fold(f64::INFINITY, f64::min) / 2.0;
    println!("open: {rate:.0} requests a second, half the peak of the slowest; µs, median of rounds (least–greatest)");
    println!("{:<8} {:<12} {:>22} {:>26} {:>26}  p99 sent late", "work", "server", "p50", "p99", "p99.9");
    let mut rounds: Vec<Vec<Measured>> = running.iter().map(|_| Vec::new()).collect();
    for _ in 0..options.rounds {
        for (server, own) in running.iter().zip(&mut rounds) {
            own.push(under(server, Pace::Open { requests_per_second: rate }));
        }
    }
    let (mut p99s, mut was_late) = (Vec::new(), false);
    for (server, own) in running.iter().zip(&rounds) {
        let of = |quantile: f64| {
            let values = own.iter().map(|measured| measured.latencies.value_at_quantile(quantile) as f64 / 1000.0);
            Spread::of(values).expect("there is a round")
        };
        let said = |spread: Spread| format!("{:.0} ({:.0}–{:.0})", spread.median, spread.least, spread.greatest);
        let late = median(own.iter().map(|measured| measured.lateness.value_at_quantile(0.99) as f64 / 1000.0));
        let errors: u64 = own.iter().map(|measured| measured.errors.total()).sum();
        let trouble = if errors == 0 { String::new() } else { format!("  ERRORS: {errors}") };
        let (p50, p99, p999) = (said(of(0.5)), said(of(0.99)), said(of(0.999)));
        println!("{:<8} {:<12} {p50:>22} {p99:>26} {p999:>26}  {late:.0}{trouble}", "open", server.name);
        was_late |= is_late(late, of(0.99).median);
        p99s.push((server.name, of(0.99).median));
    }
    let p99_of = |name: &str| p99s.iter().find(|(found, _)| *found == name).map(|(_, p99)| *p99);
    let peers = p99s.iter().filter(|(name, _)| PEERS.contains(name)).min_by(|a, b| a.1.total_cmp(&b.1));
    if let (Some(own), Some((name, best))) = (p99_of("epoll"), peers) {
        let ratio = own / best;
        let verdict = if was_late { "; requests were sent late, which is no server's doing: no verdict" } else { "" };
        println!("open: p99 of epoll over that of {name}, the best of the peers: {ratio:.2}{verdict}");
    }
}

/// What an idle connection that was answered once costs in memory.
fn measure_idle(servers: &[Server], options: &Options) {
    for running in chosen(servers, options).filter_map(|server| server.run(&KEEP)) {
        let open = || ask(running.address);
        // The first ones pay for what all share.
        let _first: Vec<_> = (0..64).map(|_| open()).collect();
        let before = running.resident_bytes();
        let _clients: Vec<_> = (0..IDLE).map(|_| open()).collect();
        let each = running.resident_bytes().saturating_sub(before) as usize / IDLE;
        println!("{:<8} {:<12} {each:>10} B a connection, {} KiB at start", "idle", running.name, before / 1024);
    }
}
