//! Instructions that a request costs in user space, counted by `valgrind --tool=callgrind`: the same on every machine that compiles the same,
//! so that a change of one in a hundred is seen.
//!
//! ```sh
//! cargo bench --bench instructions
//! ```
//!
//! The server is run twice for each kind of request, and what the longer run had more is divided by what it was asked more.

mod browser;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Requests of the short and of the long run.
const REQUESTS: [u64; 2] = [1_000, 5_000];

/// valgrind takes its time.
const START: Duration = Duration::from_secs(30);

/// A kind of request: its name, its target, fields, and how many go at once.
const KINDS: [(&str, &str, &str, u64); 6] = [
    ("1 KiB file", "/1k.txt", "", 1),
    ("1 KiB file, browser", "/1k.txt", browser::FIELDS, 1),
    ("13 B file, 16 pipelined", "/hello.txt", "", 16),
    ("1 MiB file", "/1m.bin", "", 1),
    ("/hello/{name}", "/hello/world", "", 1),
    ("1 KiB file, a connection", "/1k.txt", CLOSE, 1),
];

/// Each request has its own connection.
const CLOSE: &str = "Connection: close\r\n";

fn main() {
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        return println!("skipped: valgrind is not installed");
    }
    let site = TempDir::new().expect("a folder");
    for (name, size) in [("hello.txt", 13), ("1k.txt", 1 << 10), ("1m.bin", 1 << 20)] {
        std::fs::write(site.path().join(name), vec![b'x'; size]).expect("a file");
    }
    for (name, target, fields, at_once) in KINDS {
        let request = format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n{fields}\r\n");
        let [short, long] = REQUESTS.map(|requests| instructions(&site, &request, at_once, requests));
        println!("{name:<26} {:>7} instructions a request", (long - short) / (REQUESTS[1] - REQUESTS[0]));
    }
}

/// All that the server executes from its start to its end.
fn instructions(site: &TempDir, request: &str, at_once: u64, requests: u64) -> u64 {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", env!("CARGO_BIN_EXE_tripoll")]);
    command.args(["-p", "0", "--demo", "--log", "off", "--sandbox", "off"]).arg(site.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = Server(command.spawn().expect("valgrind"));
    let address = server.address();
    let mut client = connect(&address);
    let batch = request.repeat(at_once as usize);
    let answer_bytes = first_answer(&mut client, request);
    let mut answers = vec![0; answer_bytes * at_once as usize];
    for _ in 0..requests / at_once {
        if request.contains(CLOSE) {
            client = connect(&address);
        }
        client.write_all(batch.as_bytes()).expect("it reads");
        client.read_exact(&mut answers).expect("it answers");
    }
    drop(client);
    server.end()
}

fn connect(address: &str) -> TcpStream {
    let client = TcpStream::connect(address).expect("it listens");
    client.set_nodelay(true).expect("TCP");
    client
}

/// Asks once, and says how long the answers are.
fn first_answer(client: &mut TcpStream, request: &str) -> usize {
    client.write_all(request.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = client.read(&mut buffer).expect("it answers");
        answer.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&answer);
        let Some(end) = text.find("\r\n\r\n") else { continue };
        let length = text.split("Content-Length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let length = end + 4 + length.and_then(|length| length.parse::<usize>().ok()).expect("it has a length");
        if answer.len() >= length {
            return length;
        }
    }
}

struct Server(Child);

impl Server {
    /// Where its start line says that it listens.
    fn address(&mut self) -> String {
        let (mut line, begun) = (Vec::new(), Instant::now());
        let stdout = self.0.stdout.as_mut().expect("it is piped");
        while !line.ends_with(b"\n") {
            let mut byte = [0];
            assert!(stdout.read(&mut byte).expect("a pipe") == 1 && begun.elapsed() < START, "it does not start");
            line.push(byte[0]);
        }
        let line = String::from_utf8_lossy(&line);
        line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).expect("a start line").to_string()
    }

    /// Ends it, and reads what valgrind counted.
    fn end(mut self) -> u64 {
        let pid = self.0.id().to_string();
        Command::new("kill").args(["-INT", &pid]).status().expect("kill");
        let mut text = String::new();
        self.0.stderr.take().expect("it is piped").read_to_string(&mut text).expect("a pipe");
        self.0.wait().expect("it is a child");
        let counted = text.split("Collected : ").nth(1).and_then(|rest| rest.split_whitespace().next());
        counted.and_then(|number| number.parse().ok()).expect("callgrind's summary")
    }
}
