//! The system calls of a request, counted from outside: one receive, one send, and each turn a wait and a look at the file. A call more
//! for each request is seen here.

mod client;
mod process;

use client::Client;
use process::{Process, command};
use std::collections::BTreeMap;
use std::io::{Write, stderr};
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

const REQUESTS: u64 = 1_000;

/// What else may be called meanwhile, in all: a timer, a first time.
const OTHERS_MAX: u64 = 20;

#[test]
fn a_request_is_one_receive_and_one_send() {
    if Command::new("strace").arg("--version").stdout(Stdio::null()).status().is_err() {
        let _ = writeln!(stderr(), "skipped: system calls: strace is not installed");
        return;
    }
    for (strategy, wait) in [
        (&["--backend", "select"][..], "select"),
        (&["--backend", "poll"], "poll"),
        (&["--backend", "epoll"], "epoll_wait"),
        (&["--trigger", "edge"], "epoll_wait"),
    ] {
        for (target, looks) in [("/a.txt", 1), ("/hello/you", 0), ("/nested/b.txt", 2)] {
            let calls = calls_of(strategy, target);
            let count = |names: &[&str]| names.iter().filter_map(|name| calls.get(*name)).sum::<u64>();
            let about = format!("{target} with {strategy:?}: {calls:?}");
            assert_eq!(count(&["recvfrom", "recv"]), REQUESTS, "{about}");
            assert_eq!(count(&["sendto", "send"]), REQUESTS, "{about}");
            let stats = count(&["newfstatat", "fstatat64", "statx"]);
            assert!(stats <= looks * REQUESTS, "{about}");
            // Some turns have nothing but the edge, or a half-second's end.
            let waits = count(&[wait, "pselect6", "select", "_newselect", "ppoll", "epoll_pwait"]);
            assert!(waits <= 2 * REQUESTS + OTHERS_MAX, "{about}");
            // Debug assertions ask whether descriptors are open.
            let asserted = if cfg!(debug_assertions) { count(&["fcntl"]) } else { 0 };
            let all: u64 = calls.values().sum();
            assert!(all - 2 * REQUESTS - stats - waits - asserted <= OTHERS_MAX, "{about}");
        }
    }
}

/// What the server calls while a client asks [`REQUESTS`] times on one connection.
fn calls_of(strategy: &[&str], target: &str) -> BTreeMap<String, u64> {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("nested")).unwrap();
    for name in ["a.txt", "nested/b.txt"] {
        std::fs::write(folder.path().join(name), "content").unwrap();
    }
    let arguments = [&["-p", "0", "--demo", "."], strategy].concat();
    let (process, _, address) = Process::serving(command(&arguments, folder.path()));
    let mut client = Client::new(address);
    let request = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut ask = || {
        client.send(&request);
        let answer = client.answer(false);
        assert_eq!(answer.status, 200);
        answer
    };
    // Until the file is old enough to be kept.
    while ask().field("ETag").is_some_and(|tag| tag.starts_with("W/")) {}
    ask();
    let report = folder.path().join("calls");
    let trace = Trace::new(process.child.id(), &report);
    (0..REQUESTS).for_each(|_| drop(ask()));
    trace.end();
    assert_eq!(client.rest(true), b"");
    let report = std::fs::read_to_string(report).unwrap();
    report
        .lines()
        .filter_map(|line| {
            let name = line.split('(').next().filter(|name| name.chars().all(|c| c.is_alphanumeric() || c == '_'))?;
            Some(name.to_string())
        })
        .fold(BTreeMap::new(), |mut calls, name| {
            *calls.entry(name).or_default() += 1;
            calls
        })
}

/// strace, attached.
struct Trace(Process);

impl Trace {
    fn new(pid: u32, report: &Path) -> Trace {
        let mut strace = Command::new("strace");
        strace.args(["-p", &pid.to_string(), "-o", report.to_str().unwrap()]);
        strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let trace = Trace(Process::new(strace));
        let told = trace.0.stderr.recv_timeout(process::PATIENCE).unwrap();
        assert!(told.contains("attached"), "{told}");
        trace
    }

    /// Detaches, and writes what it still has.
    fn end(self) {
        self.0.signal("INT");
        let _ = self.0.end();
    }
}
