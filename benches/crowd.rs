//! What a connection that waits takes of the server's memory, with ten thousand of its kind, under each strategy. Kernel buffers are not in it.
//!
//! ```sh
//! cargo bench --bench crowd -- [--crowd 10000] [--only epoll]
//! ```

#[path = "../tests/echo/mod.rs"]
mod echo;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tripoll::http::Event;
use tripoll::reactor;
use tripoll::websocket;
use tripoll::{Backend, HttpServer, Response, Trigger, sys};

const STRATEGIES: [[&str; 2]; 4] = [["select", "level"], ["poll", "level"], ["epoll", "level"], ["epoll", "edge"]];

/// Connections that are opened at a time, so that a turn of select or poll is not for one alone.
const BATCH: usize = 64;

/// A text of a page's length.
const TEXT_BYTES: u16 = 20_000;

/// One kind of connection: what is said on it before it waits, and how what comes back ends.
struct Kind {
    name: &'static str,
    said: Vec<u8>,
    answer_ends: Vec<u8>,
}

fn kinds() -> [Kind; 4] {
    let get = |path: &str, fields: &str| format!("GET {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n").into_bytes();
    let handshake = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    // Masked with nothing but zeros, which is a mask.
    let text = [&[0x81, 0xfe], &TEXT_BYTES.to_be_bytes()[..], &[0; 4], &vec![b'x'; TEXT_BYTES.into()]].concat();
    let answered = |name, said, ends: &[u8]| Kind { name, said, answer_ends: ends.to_vec() };
    [
        answered("HTTP, answered once", get("/hello", ""), b"\r\n\r\nhello"),
        answered("events, one sent", get("/events", ""), b"data: hello\n\n\r\n"),
        answered("WebSocket, just opened", get("/socket", handshake), b"\r\n\r\n"),
        answered("WebSocket, 20 kB echoed", [get("/socket", handshake), text].concat(), &vec![b'x'; TEXT_BYTES.into()]),
    ]
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let value = |flag: &str| words.iter().position(|word| word == flag).and_then(|at| words.get(at + 1));
    if let Some(backend) = value("--serve") {
        return serve(
            backend.parse().expect("a backend"),
            words.last().expect("a trigger").parse().expect("a trigger"),
        );
    }
    let crowd: usize = value("--crowd").map_or(10_000, |text| text.parse().expect("a number"));
    let limit = sys::raise_descriptor_limit().expect("a limit");
    if limit < crowd as u64 + 100 {
        return println!("skipped: {crowd} descriptors needed, {limit} allowed (ulimit -Hn)");
    }
    println!("{:<24} {:<12} bytes a connection, of {crowd}", "what waits", "strategy");
    for kind in &kinds() {
        for strategy in STRATEGIES {
            let [backend, trigger] = strategy;
            let name = if trigger == "edge" { "epoll-edge" } else { backend };
            if value("--only").is_none_or(|only| only == name) {
                println!("{:<24} {name:<12} {}", kind.name, measure(kind, strategy, crowd));
            }
        }
    }
}

/// Serves until it is killed.
fn serve(backend: Backend, trigger: Trigger) {
    let kept = Arc::new(Mutex::new(Vec::new()));
    // Nobody is to be asked whether it is there while it is measured.
    let limits = Arc::new(websocket::Limits { heartbeat: Duration::from_secs(3_600), ..Default::default() });
    let bound = HttpServer::without_files("127.0.0.1:0")
        .backend(backend)
        .trigger(trigger)
        .loop_limits(reactor::Limits { accepts_per_turn_max: Some(BATCH), ..Default::default() })
        .route("GET", "/hello", |_| Response::text("hello"))
        .route("GET", "/events", move |_| {
            let kept = kept.clone();
            Response::events(64 * 1024, move |events| {
                events.send(&Event::new("hello")).expect("there is room");
                kept.lock().expect("nobody panics").push(events);
            })
        })
        .route("GET", "/socket", move |request| websocket::upgrade(request, &limits, echo::Messages))
        .bind()
        .expect("a port");
    sys::raise_descriptor_limit().expect("a limit");
    println!("{}", bound.addresses()[0]);
    bound.run().expect("it serves");
}

/// Bytes of its own memory that each connection costs.
fn measure(kind: &Kind, strategy: [&str; 2], crowd: usize) -> u64 {
    let this = std::env::current_exe().expect("its own path");
    let child = Command::new(this).arg("--serve").args(strategy).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut server = Server(child);
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().expect("it is piped"))
        .read_line(&mut line)
        .expect("it says where it listens");
    let address: SocketAddr = line.trim().parse().expect("an address");
    // The first ones pay for what all share.
    let first = open(kind, address, BATCH);
    let before = server.resident_bytes();
    let mut clients = Vec::with_capacity(crowd);
    while clients.len() < crowd {
        clients.extend(open(kind, address, BATCH.min(crowd - clients.len())));
    }
    let each = server.resident_bytes().saturating_sub(before) / crowd as u64;
    drop(server); // It closes, so that no port of the clients' has to be left alone for a minute.
    drop((first, clients));
    each
}

/// So many connections that wait.
fn open(kind: &Kind, address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let clients: Vec<_> = (0..count).map(|_| TcpStream::connect(address).expect("it accepts")).collect();
    for mut client in &clients {
        client.set_read_timeout(Some(Duration::from_secs(60))).expect("it is a socket");
        client.write_all(&kind.said).expect("it reads");
    }
    for mut client in &clients {
        let (mut said, mut buffer) = (Vec::new(), [0; 32 * 1024]);
        while !said.ends_with(&kind.answer_ends) {
            let count = client.read(&mut buffer).expect("it answers");
            assert!(count > 0, "it closes after {}", said.escape_ascii());
            said.extend_from_slice(&buffer[..count]);
        }
    }
    clients
}

/// Ends with this value.
struct Server(Child);

impl Server {
    fn resident_bytes(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0.id())).expect("it runs");
        let line = text.lines().find(|line| line.starts_with("Pss:")).expect("Linux 4.14 or later");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("KiB") * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
