//! The strategies beside each other: the code of `tripoll compare`; then its generator beside wrk on the same server, since who measures
//! must be measured.
//!
//! ```sh
//! cargo bench --bench backends              # both
//! cargo bench --bench backends -- wrk       # the generator beside wrk alone
//! ```

// The command uses all of it; here it is run in parts.
#[allow(dead_code, unused_imports)]
#[path = "../src/lab/mod.rs"]
mod lab;

use lab::generator::{self, Load, Pace};
use lab::interrupt::Interrupt;
use lab::plan::Options;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tripoll::poller::{Strategy, Updates};
use tripoll::sys;

const PROGRAM: &str = env!("CARGO_BIN_EXE_tripoll");

/// Rounds in which both have their turn, and how long each takes.
const ROUNDS: usize = 5;
const SECONDS: u64 = 2;

const CONNECTIONS: usize = 64;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if words.is_empty() {
        compare();
    }
    beside_wrk();
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

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn beside_wrk() {
    if Command::new("wrk").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        return println!("skipped: wrk is not installed");
    }
    let cores = sys::allowed_cores().expect("Linux");
    let (server_core, own_core) = (cores[0], cores[cores.len() - 1]);
    let running = Running::new(server_core);
    sys::pin(None, own_core).expect("the core is there"); // wrk inherits it.
    let request = b"GET /hello/you HTTP/1.1\r\nHost: lab\r\n\r\n".to_vec();
    let load = Load {
        address: running.1,
        answer_bytes: answer_bytes(running.1.into(), &request),
        request,
        requests_per_send: 1,
        connections: CONNECTIONS,
        closes: false,
        pace: Pace::Closed,
        warm_up: Duration::from_millis(200),
        time: Duration::from_secs(SECONDS),
    };
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let measured = generator::run(&load, &Interrupt::default(), || Ok(())).expect("it measures");
        let own = measured.requests as f64 / measured.elapsed.as_secs_f64();
        let wrk = wrk(running.1);
        ratios.push(own / wrk);
        println!("round {round}: the lab's generator {own:.0}/s, wrk {wrk:.0}/s, ratio {:.3}", own / wrk);
    }
    ratios.sort_by(f64::total_cmp);
    println!("the lab's generator over wrk, median: {:.3}", ratios[ROUNDS / 2]);
}

/// Requests a second that wrk counts.
fn wrk(address: SocketAddrV4) -> f64 {
    let mut command = Command::new("wrk");
    command.args([
        "-t1",
        &format!("-c{CONNECTIONS}"),
        &format!("-d{SECONDS}s"),
        &format!("http://{address}/hello/you"),
    ]);
    let output = command.output().expect("wrk");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
    line.and_then(|number| number.trim().parse().ok()).expect("wrk counts")
}

fn answer_bytes(address: SocketAddr, request: &[u8]) -> usize {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.write_all(request).expect("it reads");
    // Small enough to come at once, and the server keeps the connection.
    stream.read(&mut [0; 4096]).expect("it answers")
}
