//! The system calls of a request, counted from outside: one receive, one send, and each turn a wait and a look at the file. A call more
//! for each request is seen here. What the server itself counts is held against it too.

mod client;
mod process;

use client::Client;
use process::{Process, command};
use std::collections::BTreeMap;
#[cfg(feature = "lab")]
use std::io::{BufRead, BufReader};
use std::io::{Write, stderr};
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

const REQUESTS: u64 = 1_000;

/// What else may be called meanwhile, in all: a timer, a first time.
const OTHERS_MAX: u64 = 20;

fn has_strace() -> bool {
    let is_there = Command::new("strace").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !is_there {
        let _ = writeln!(stderr(), "skipped: system calls: strace is not installed");
    }
    is_there
}

#[test]
fn a_request_is_one_receive_and_one_send() {
    if !has_strace() {
        return;
    }
    for (strategy, wait) in [
        (&["--backend", "select"][..], "select"),
        (&["--backend", "poll"], "poll"),
        (&["--backend", "epoll"], "epoll_wait"),
        (&["--trigger", "edge"], "epoll_wait"),
        (&["--model", "coroutines"], "epoll_wait"),
        (&["--model", "coroutines", "--backend", "poll"], "poll"),
        (&["--model", "coroutines", "--trigger", "edge"], "epoll_wait"),
    ] {
        for (target, looks) in [("/a.txt", 1), ("/hello/you", 0), ("/nested/b.txt", 2)] {
            let calls = calls_of(strategy, target, "", 200, REQUESTS);
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

/// However much is asked for in one head, what it costs is bounded by what is there, or by what may be asked for.
#[test]
fn what_one_head_asks_for_is_bounded_work() {
    const TIMES: u64 = 20;
    if !has_strace() {
        return;
    }
    let tags = |last: &str| format!("If-None-Match: {}{last}\r\n", "\"no\",".repeat(2_500));
    let ranges = |count: usize| {
        format!(
            "Range: bytes={}\r\n",
            (0..count).map(|at| format!("{}-{},", 3_000 * at, 3_000 * at)).collect::<String>()
        )
    };
    let deep = "/x/..".repeat(1_500) + "/a.txt";
    let missing = "/x".repeat(2_000);
    let dots = "/nested".to_string() + &"/.".repeat(3_000) + "/b.txt";
    let (thousands, any) = (tags("\"no\""), tags("*"));
    let (most, more) = (ranges(64), ranges(65));
    // A request, and how many calls each may cost beside the wait (and what debug assertions ask).
    let cases: [(&str, &str, &str, u16, u64); 8] = [
        ("2,500 tags", "/a.txt", &thousands, 200, 3),
        ("2,500 tags that are none", "/a.txt", &any, 200, 3),
        ("64 ranges", "/large", &most, 206, 4 + 64),
        // The file whole: of 200 KB the kernel takes 64 KiB ahead at a time, and each time the file is looked at.
        ("65 ranges", "/large", &more, 200, 3 + 2 * 4),
        ("1,500 steps down and up", &deep, "", 200, 7),
        ("2,000 folders that are not there", &missing, "", 404, 4),
        ("3,000 folders that are none", &dots, "", 200, 7),
        ("a listing of four", "/", "", 200, 11 + 4),
    ];
    for (name, target, fields, status, each_max) in cases {
        let calls = calls_of(&[], target, fields, status, TIMES);
        let all: u64 = calls
            .iter()
            .filter(|(name, _)| !["epoll_wait", "fcntl", "ioctl"].contains(&name.as_str()))
            .map(|(_, count)| count)
            .sum();
        assert!(all <= each_max * TIMES + OTHERS_MAX, "{name}: {calls:?}");
    }
}

/// The figures of the server that `tripoll compare` reads, and what strace calls the same.
#[cfg(feature = "lab")]
const COUNTED: [(&str, &[&str]); 12] = [
    ("waits", &["select", "_newselect", "pselect6", "poll", "ppoll", "epoll_wait", "epoll_pwait"]),
    ("changes", &["epoll_ctl"]),
    ("accept", &["accept", "accept4"]),
    ("receive", &["recv", "recvfrom"]),
    ("send", &["send", "sendto"]),
    ("send_file", &["sendfile", "sendfile64"]),
    ("shutdown", &["shutdown"]),
    ("close", &["close"]),
    ("unacknowledged", &["ioctl"]),
    ("open", &["openat", "openat2"]),
    ("state", &["newfstatat", "fstatat64"]),
    ("stat", &["statx", "fstat"]),
];

#[cfg(feature = "lab")]
#[test]
fn what_the_server_counts_is_what_strace_counts() {
    const ASKED: u64 = 200;
    if !has_strace() {
        return;
    }
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("small.txt"), "content").unwrap();
    std::fs::write(folder.path().join("large.bin"), vec![b'x'; 1 << 20]).unwrap();
    for (strategy, is_epoll) in [
        (&["--backend", "select"], false),
        (&["--backend", "poll"], false),
        (&["--backend", "epoll"], true),
        (&["--trigger", "edge"], true),
    ] {
        for (target, closes) in [("/small.txt", false), ("/large.bin", false), ("/small.txt", true)] {
            let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            ours.set_read_timeout(Some(process::PATIENCE)).unwrap();
            let arguments = [&["-p", "0", "--lab-figures", "."], &strategy[..]].concat();
            let mut server = command(&arguments, folder.path());
            server.stdin(std::os::fd::OwnedFd::from(theirs));
            let (process, _, address) = Process::serving(server);
            let mut figures = || -> serde_json::Value {
                ours.write_all(b"?").unwrap();
                let mut line = String::new();
                BufReader::new(&ours).read_line(&mut line).unwrap();
                serde_json::from_str(&line).unwrap()
            };
            let mut client = Client::new(address);
            // Until the file is old enough to be kept.
            let is_new = |client: &mut Client| {
                client.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
                client.answer(false).field("ETag").is_some_and(|tag| tag.starts_with("W/"))
            };
            while is_new(&mut client) {}
            let before = figures();
            let report = folder.path().join("calls");
            let trace = Trace::new(process.child.id(), &report);
            for _ in 0..ASKED {
                if closes {
                    client = Client::new(address);
                }
                client.send(format!(
                    "GET {target} HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
                    if closes { "Connection: close\r\n" } else { "" }
                ));
                assert_eq!(client.answer(false).status, 200);
            }
            trace.end();
            let after = figures();
            let calls = calls_in(&report);
            let mut known = 0;
            for (figure, names) in COUNTED.into_iter().filter(|(figure, _)| is_epoll || *figure != "changes") {
                let traced = names.iter().filter_map(|name| calls.get(*name)).sum::<u64>();
                let counted = after[figure].as_u64().unwrap() - before[figure].as_u64().unwrap();
                known += traced;
                let about = format!("{figure}: {counted}, {target} closed: {closes}, {strategy:?}: {calls:?}");
                assert!(counted.abs_diff(traced) <= OTHERS_MAX, "{about}");
            }
            // Debug assertions ask whether descriptors are open.
            let asserted = if cfg!(debug_assertions) { calls.get("fcntl").copied().unwrap_or(0) } else { 0 };
            let all: u64 = calls.values().sum();
            assert!(all - known - asserted <= OTHERS_MAX, "{target} closed: {closes}, {strategy:?}: {calls:?}");
        }
    }
}

/// What the server calls while a client asks so many times on one connection.
fn calls_of(strategy: &[&str], target: &str, fields: &str, status: u16, requests: u64) -> BTreeMap<String, u64> {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("nested")).unwrap();
    for name in ["a.txt", "nested/b.txt"] {
        std::fs::write(folder.path().join(name), "content").unwrap();
    }
    std::fs::write(folder.path().join("large"), vec![b'x'; 200_000]).unwrap();
    let arguments = [&["-p", "0", "--demo", "."], strategy].concat();
    let (process, _, address) = Process::serving(command(&arguments, folder.path()));
    let mut client = Client::new(address);
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
    let mut ask = || {
        client.send(&request);
        let answer = client.answer(false);
        assert_eq!(answer.status, status);
        answer
    };
    // Until the file is old enough to be kept.
    while ask().field("ETag").is_some_and(|tag| tag.starts_with("W/")) {}
    ask();
    let report = folder.path().join("calls");
    let trace = Trace::new(process.child.id(), &report);
    (0..requests).for_each(|_| drop(ask()));
    trace.end();
    assert_eq!(client.rest(true), b"");
    calls_in(&report)
}

/// How often each call stands in what strace wrote.
fn calls_in(report: &Path) -> BTreeMap<String, u64> {
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
