//! The command with few descriptors, without its standard ones, and told to end under load: those that are served go on.
//!
//! `TRIPOLL_SHUTDOWNS=100 cargo test --release --test few shutdown` ends it a hundred times under each strategy.

mod client;
mod process;

use client::Client;
use process::{Process, TRIPOLL, command};
use std::io::{Read, Write, stderr};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use tempfile::TempDir;

const GET: &str = "GET /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\n";
const BACKENDS: [&[&str]; 4] =
    [&["--backend", "select"], &["--backend", "poll"], &["--backend", "epoll"], &["--trigger", "edge"]];

fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("a.txt"), "content").unwrap();
    std::fs::write(folder.path().join("big"), vec![b'x'; 4 << 20]).unwrap();
    folder
}

fn ask(client: &mut Client) -> u16 {
    client.send(GET);
    client.answer(false).status
}

/// The counters of the demonstration, of which one is read.
fn turns(address: std::net::SocketAddr) -> u64 {
    let mut client = Client::new(address);
    client.send("GET /counters HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let body = String::from_utf8(client.answer(false).body).unwrap();
    let (_, after) = body.split_once("\"turns\":").expect(&body);
    after.trim_start().chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

/// 64 descriptors and 200 clients, of which 20 are in the middle of a request.
#[test]
fn with_64_descriptors_and_200_clients_those_that_are_served_go_on() {
    if Command::new("prlimit").arg("--version").output().is_err() {
        let _ = writeln!(stderr(), "skipped: there is no prlimit");
        return;
    }
    let folder = folder();
    for backend in BACKENDS {
        let mut limited = Command::new("prlimit");
        limited.args(["--nofile=64", TRIPOLL, "-p", "0", "--demo", "."]).args(backend).current_dir(folder.path());
        limited.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (process, _, address) = Process::serving(limited);
        // A descriptor that is kept, and gives way first.
        let mut big = Client::new(address);
        big.send("GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(big.answer(false).body.len(), 4 << 20);
        let mut served: Vec<Client> = (0..20).map(|_| Client::new(address)).collect();
        for client in &mut served {
            assert_eq!(ask(client), 200);
            client.send(&GET[..10]);
        }
        // Who was idle gave way, or the newest was refused; nobody waits for ever, and nobody gets half an answer.
        let mut crowd: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
        crowd.iter_mut().for_each(|stream| _ = stream.write_all(GET.as_bytes()));
        let mut answered = 0;
        for stream in &mut crowd {
            let mut status = [0; 12];
            if stream.read_exact(&mut status).is_ok() {
                answered += 1;
                assert!(&status == b"HTTP/1.1 200" || &status == b"HTTP/1.1 503", "{}", status.escape_ascii());
            }
        }
        assert!(answered > 0);
        for client in &mut served {
            client.send(&GET[10..]);
            assert_eq!(client.answer(false).status, 200, "{backend:?}: who was served before goes on");
        }
        // Its descriptors taken, it waits: no turn but for what is asked.
        let before = turns(address);
        for _ in 0..100 {
            assert_eq!(ask(&mut served[0]), 200);
        }
        let after = turns(address);
        assert!(after - before < 1_000, "{backend:?}: {} turns for a hundred requests", after - before);
        drop((crowd, served));
        for _ in 0..30 {
            assert_eq!(ask(&mut Client::new(address)), 200, "{backend:?}: it recovers by itself");
        }
        process.signal("TERM");
        assert_eq!(process.end().0, Some(0));
    }
}

/// Nobody's socket may become what it believes to be its stdout.
#[test]
fn without_stdin_stdout_and_stderr_it_serves() {
    let folder = folder();
    for backend in BACKENDS {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut shell = Command::new("sh");
        let closed = "exec \"$@\" <&- >&- 2>&-";
        shell.args(["-c", closed, "sh", TRIPOLL, "-p", &port.to_string(), "--log", "short", "."]).args(backend);
        let mut child = shell.current_dir(folder.path()).spawn().unwrap();
        let address = (std::net::Ipv4Addr::LOCALHOST, port).into();
        // It has no way to say that it listens: it is there when it lets somebody in.
        while TcpStream::connect(address).is_err() {
            assert!(child.try_wait().unwrap().is_none(), "{backend:?}: it ended");
            std::thread::yield_now();
        }
        for _ in 0..20 {
            let mut client = Client::new(address);
            client.send(GET);
            assert_eq!(client.answer(false).body, b"content");
            assert_eq!(client.rest(true), b"", "no line of a log");
        }
        let stop = Command::new("kill").arg(child.id().to_string()).status().unwrap();
        assert!(stop.success());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{backend:?}");
    }
}

/// While clients ask again and again, each on a thread of its own, it is told to end: what it began to answer it finishes.
#[test]
fn a_shutdown_under_load_cuts_no_answer() {
    let folder = folder();
    let times = std::env::var("TRIPOLL_SHUTDOWNS").map_or(1, |times| times.parse().unwrap());
    for backend in BACKENDS.iter().cycle().take(BACKENDS.len() * times) {
        let flags = [&["-p", "0", "."][..], *backend].concat();
        let (process, _, address) = Process::serving(command(&flags, folder.path()));
        let (tell, told) = std::sync::mpsc::channel();
        let clients: Vec<_> = (0..8)
            .map(|_| {
                let tell = tell.clone();
                std::thread::spawn(move || {
                    let mut cut = Vec::new();
                    while let Ok(mut stream) = TcpStream::connect(address) {
                        let sent =
                            stream.write_all(b"GET /big HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
                        let mut answer = Vec::new();
                        let read = stream.read_to_end(&mut answer);
                        let whole =
                            answer.windows(4).position(|four| four == b"\r\n\r\n").map(|end| end + 4 + (4 << 20));
                        if sent.is_ok() && whole != Some(answer.len()) {
                            cut.push(format!("{} bytes, {read:?}", answer.len()));
                        }
                        let _ = tell.send(());
                    }
                    cut
                })
            })
            .collect();
        (0..16).for_each(|_| told.recv().unwrap());
        process.signal("TERM");
        for client in clients {
            assert_eq!(client.join().unwrap(), Vec::<String>::new(), "{backend:?}");
        }
        assert_eq!(process.end(), (Some(0), vec![], vec![]), "{backend:?}");
    }
}
