//! The strategies beside each other: the code of `tripoll compare`; then its generator beside wrk on the same server, since who measures
//! must be measured; then haproxy under the same load.
//!
//! ```sh
//! cargo bench --bench backends              # all
//! cargo bench --bench backends -- wrk       # the generator beside wrk alone
//! cargo bench --bench backends -- haproxy   # haproxy by epoll and by poll: the same story of a program that nobody here wrote
//! ```

// The command uses all of it; here it is run in parts.
#[allow(dead_code, unused_imports)]
#[path = "../src/lab/mod.rs"]
mod lab;

use lab::generator::{self, Load, Pace};
use lab::hold::{Held, Order};
use lab::interrupt::Interrupt;
use lab::plan::Options;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tripoll::poller::{Strategy, Updates};
use tripoll::sys;

const PROGRAM: &str = env!("CARGO_BIN_EXE_tripoll");

/// Rounds in which both have their turn, and how long each takes.
const ROUNDS: usize = 5;
const SECONDS: u64 = 2;

const CONNECTIONS: usize = 64;

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
        strategies: Strategy::ALL.to_vec(),
        rounds: None,
        time: None,
        accept_max: 1,
        updates: Updates::Lazy,
        is_full: false,
        has_out: false,
        command: "cargo bench --bench backends".into(),
        program: PROGRAM.into(),
    };
    print!("{}", lab::table::render(&lab::compare(&options).expect("it measures")));
}

fn is_installed(program: &str) -> bool {
    Command::new(program).arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

struct Running(Child, SocketAddrV4);

impl Running {
    /// A server of 1 KiB on the core that the lab's servers have.
    fn new(core: usize) -> Running {
        let mut command = Command::new(PROGRAM);
        command.args(["--demo", "--log", "off", "--port", "0", "static"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it was built");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a start line");
        let address = line.split_once("http://").and_then(|(_, rest)| rest.split('/').next());
        sys::pin(Some(child.id()), core).expect("the core is there");
        Running(child, address.and_then(|address| address.parse().ok()).expect("an address"))
    }
}

impl Running {
    /// haproxy on one thread, that answers every request itself.
    fn haproxy(folder: &Path, flags: &[&str], core: usize) -> Running {
        let probe = std::net::TcpListener::bind("127.0.0.1:0").and_then(|probe| probe.local_addr()).expect("a port");
        let SocketAddr::V4(address) = probe else { unreachable!("bound to an address of version 4") };
        let file = folder.join("haproxy.cfg");
        let configuration = format!(
            "global\n nbthread 1\n maxconn 9000\ndefaults\n mode http\n timeout client 1h\n timeout http-request 1h\n \
             timeout http-keep-alive 1h\nfrontend f\n bind {address}\n http-request return status 200 content-type text/plain \
             string ok\n"
        );
        std::fs::write(&file, configuration).expect("a file");
        let mut command = Command::new("haproxy");
        command.args(flags).arg("-db").arg("-f").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        let running = Running(command.spawn().expect("it is installed"), address);
        sys::pin(Some(running.0.id()), core).expect("the core is there");
        let give_up = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < give_up, "haproxy does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        running
    }

    /// CPU time so far: the first figure of proc(5)'s schedstat.
    fn cpu_microseconds(&self) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/schedstat", self.0.id())).unwrap_or_default();
        text.split(' ').next().and_then(|first| first.parse::<f64>().ok()).expect("it runs") / 1000.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn beside_wrk() {
    if !is_installed("wrk") {
        return println!("skipped: wrk is not installed");
    }
    let cores = sys::allowed_cores().expect("Linux");
    let (server_core, own_core) = (cores[0], cores[cores.len() - 1]);
    let running = Running::new(server_core);
    sys::pin(None, own_core).expect("the core is there"); // wrk inherits it.
    let load = load(running.1, Duration::from_secs(SECONDS));
    let (mut speeds, mut costs) = (Vec::new(), Vec::new());
    println!("round  req/s: lab      wrk    ratio  CPU µs/req: lab    wrk    ratio");
    for round in 0..ROUNDS {
        let mut before = 0.0;
        let begin = || {
            before = running.cpu_microseconds();
            Ok(())
        };
        let measured = generator::run(&load, &Interrupt::default(), begin).expect("it measures");
        let own_cost = (running.cpu_microseconds() - before) / measured.requests as f64;
        let own = measured.requests as f64 / measured.elapsed.as_secs_f64();
        let before = running.cpu_microseconds();
        let (requests, wrk) = wrk(running.1);
        let wrk_cost = (running.cpu_microseconds() - before) / requests;
        speeds.push(own / wrk);
        costs.push(own_cost / wrk_cost);
        let (speed, cost) = (own / wrk, own_cost / wrk_cost);
        println!("{round:>5}  {own:>10.0}  {wrk:>7.0}  {speed:>7.3}  {own_cost:>15.2}  {wrk_cost:>5.2}  {cost:>7.3}");
    }
    let median = |mut ratios: Vec<f64>| {
        ratios.sort_by(f64::total_cmp);
        ratios[ROUNDS / 2]
    };
    println!(
        "the lab's generator over wrk, medians: requests/s {:.3}, CPU per request {:.3}",
        median(speeds),
        median(costs)
    );
}

fn load(address: SocketAddrV4, time: Duration) -> Load {
    let request = b"GET /hello/you HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
    Load {
        address,
        answer_bytes: answer_bytes(address.into(), &request),
        request,
        requests_per_send: 1,
        connections: CONNECTIONS,
        closes: false,
        pace: Pace::Closed,
        warm_up: Duration::from_millis(100),
        time,
    }
}

/// haproxy that answers by itself, switched to poll by its own flag, beside idle connections.
fn haproxy() {
    if !is_installed("haproxy") {
        return println!("skipped: haproxy is not installed");
    }
    let cores = sys::allowed_cores().expect("Linux");
    let (server_core, own_core) = (cores[0], cores[cores.len() - 1]);
    sys::pin(None, own_core).expect("the core is there");
    let folder = tempfile::TempDir::new().expect("a folder");
    println!("idle   haproxy    req/s  CPU µs/req");
    for idle in [0, 1_000, 5_000] {
        for (name, flags) in [("epoll", &[][..]), ("poll", &["-de"])] {
            let running = Running::haproxy(folder.path(), flags, server_core);
            let order = Order { address: running.1, connections: idle };
            let held = Held::open(Path::new(PROGRAM), order, own_core).expect("it holds");
            assert_eq!(held.connections(), idle, "all of them are answered");
            let load = load(running.1, Duration::from_millis(600));
            let mut samples: Vec<(f64, f64)> = (0..ROUNDS)
                .map(|_| {
                    let mut before = 0.0;
                    let begin = || {
                        before = running.cpu_microseconds();
                        Ok(())
                    };
                    let measured = generator::run(&load, &Interrupt::default(), begin).expect("it measures");
                    let cost = (running.cpu_microseconds() - before) / measured.requests as f64;
                    assert_eq!(measured.errors.total(), 0, "{:?}", measured.errors);
                    (cost, measured.requests as f64 / measured.elapsed.as_secs_f64())
                })
                .collect();
            samples.sort_by(|a, b| a.0.total_cmp(&b.0));
            let (cost, speed) = samples[ROUNDS / 2];
            println!("{idle:>5}  {name:<7}  {speed:>7.0}  {cost:>10.2}");
        }
    }
}

/// Requests, and requests a second, that wrk counts.
fn wrk(address: SocketAddrV4) -> (f64, f64) {
    let mut command = Command::new("wrk");
    command.args([
        "-t1",
        &format!("-c{CONNECTIONS}"),
        &format!("-d{SECONDS}s"),
        &format!("http://{address}/hello/you"),
    ]);
    let output = command.output().expect("wrk");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = |word: &str| text.lines().find(|line| line.contains(word)).unwrap_or_default().to_string();
    let number = |line: String| line.split_whitespace().find_map(|word| word.parse::<f64>().ok()).expect("wrk counts");
    (number(line("requests in")), number(line("Requests/sec:")))
}

fn answer_bytes(address: SocketAddr, request: &[u8]) -> usize {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.write_all(request).expect("it reads");
    // Small enough to come at once, and the server keeps the connection.
    stream.read(&mut [0; 4096]).expect("it answers")
}
