//! The server behind real reverse proxies that keep their connections to it open: whatever a client sends, proxy and server see the same
//! requests. (RFC 9112 §11.2)

mod serving;
mod tricks;

use serving::Serving;
use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write, stderr};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tripoll::http::{Answer, Limits, Request, Response, Service};
use tripoll::poller::Strategy;

/// Longer than any answer takes on a busy machine: past it a hang is a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// Others may take a port that was free a moment ago.
const STARTS_MAX: usize = 5;

/// Between the moment a port is found free and the moment it is taken, no other test here looks for one.
static STARTING: Mutex<()> = Mutex::new(());

/// Answers everything, says in a field what it was asked for, and keeps a record of it.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<String>>>);

impl Service for Recorder {
    fn respond(&self, request: &Request<'_>) -> Answer {
        let target = format!("{}?{}", request.path(), request.query().unwrap_or_default());
        self.0.lock().unwrap().push(target.clone());
        Response::text("answered\n").field("X-Target", &target).into()
    }
}

impl Recorder {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A proxy's process and its folder, both gone with it.
struct Proxy {
    address: SocketAddr,
    process: Child,
    _folder: TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts `program` with a file that `configure` writes, given where to listen, where the server is, and a folder. `None`, and a line that
/// says so, where there is no such program.
fn start(
    program: &str,
    arguments: &[&str],
    server: SocketAddr,
    configure: impl Fn(SocketAddr, SocketAddr, &str) -> String,
) -> Option<Proxy> {
    let _others_wait = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..STARTS_MAX {
        let folder = TempDir::new().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let path = folder.path().to_str().unwrap();
        let file = format!("{path}/configuration");
        std::fs::write(&file, configure(address, server, path)).unwrap();
        let log = std::fs::File::create(format!("{path}/log")).unwrap();
        let mut command = Command::new(program);
        command.args(arguments).arg(&file).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut process = match command.spawn() {
            Ok(process) => process,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // By hand: cargo's harness would swallow what println! says.
                let _ = writeln!(stderr(), "skipped: {program}: it is not installed");
                return None;
            }
            Err(error) => panic!("{program}: {error}"),
        };
        let started = Instant::now();
        while process.try_wait().unwrap().is_none() && started.elapsed() < PATIENCE {
            if TcpStream::connect(address).is_ok() {
                return Some(Proxy { address, process, _folder: folder });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = process.kill();
        let _ = process.wait();
        let log = std::fs::read_to_string(format!("{path}/log")).unwrap();
        assert!(log.contains("in use"), "{program} does not start: {log}");
    }
    panic!("{program} found no free port");
}

/// How much a proxy lets through. The laxer one asks more of the server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Care {
    /// As it comes.
    Usual,
    /// Bodies go on as they come, and names that it does not know too.
    Little,
}

fn nginx(server: SocketAddr, care: Care) -> Option<Proxy> {
    start("nginx", &["-g", "daemon off; master_process off;", "-c"], server, |address, server, folder| {
        let lax = match care {
            Care::Usual => "",
            Care::Little => "proxy_request_buffering off; underscores_in_headers on; ignore_invalid_headers off;",
        };
        // Shorter than our patience, for a proxy that waits for more of a request; and longer than a busy machine may stall.
        format!(
            "pid {folder}/pid; error_log stderr; worker_processes 1;
             events {{ worker_connections 64; }}
             http {{
               access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
               fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
               client_header_timeout 10s; client_body_timeout 10s; keepalive_timeout 10s;
               upstream server {{ server {server}; keepalive 1; }}
               server {{
                 listen {address}; {lax}
                 location / {{ proxy_pass http://server; proxy_http_version 1.1; proxy_set_header Connection \"\"; }}
               }}
             }}"
        )
    })
}

fn haproxy(server: SocketAddr, care: Care) -> Option<Proxy> {
    start("haproxy", &["-db", "-f"], server, |address, server, _| {
        let lax = match care {
            Care::Usual => "",
            Care::Little => "option accept-invalid-http-request",
        };
        // Without noreuseport two of them could share a port, and each other's clients.
        format!(
            "global\n  maxconn 64\n  noreuseport\ndefaults\n  mode http\n  timeout connect 10s\n  timeout client 10s\n  timeout server 10s\n  \
             timeout http-request 10s\n  timeout http-keep-alive 10s\n  http-reuse always\nfrontend clients\n  bind {address}\n  {lax}\n  \
             default_backend servers\nbackend servers\n  server one {server} pool-max-conn 1\n"
        )
    })
}

/// All that comes until the proxy closes.
fn answers_to(address: SocketAddr, wire: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).expect("the proxy listens");
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut received = Vec::new();
    let _ = socket.write_all(wire); // It may refuse, and close, before it has all.
    match socket.read_to_end(&mut received) {
        Ok(_) => received,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => received,
        Err(error) => panic!("{error}, after {}", received.escape_ascii()),
    }
}

/// The targets for which a client was answered by the server: what a proxy says of its own does not have the field. No body does either.
fn targets_in(received: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(received);
    let name = "x-target: ";
    let fields = text.split("\r\n").filter(|line| line.to_ascii_lowercase().starts_with(name));
    fields.map(|line| line[name.len()..].to_string()).collect()
}

/// Each trick is followed by a marker on its connection and by another client's request, which may share the connection to the server.
#[track_caller]
fn the_pair_agrees(start: impl Fn(SocketAddr) -> Option<Proxy>) {
    let recorder = Recorder::default();
    let epoll = Strategy::ALL[2];
    let serving = Serving::new(epoll, Arc::new(recorder.clone()), Limits::default());
    let Some(proxy) = start(serving.address) else { return };
    let mut wrong = String::new();
    let mut passed_on = 0;
    for (number, trick) in tricks::all().into_iter().enumerate() {
        let get = |name: &str| format!("GET /{name}?{number} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        let received = answers_to(proxy.address, &[&trick.wire, get("marker").as_bytes()].concat());
        let other = answers_to(proxy.address, get("other").as_bytes());
        let answered = [targets_in(&received), targets_in(&other)].concat();
        let seen = recorder.take();
        passed_on += seen.len();
        let is_smuggled = seen.iter().any(|target| target.starts_with("/smuggled"));
        if seen != answered || is_smuggled || targets_in(&other) != [format!("/other?{number}")] {
            writeln!(wrong, "{}\n  server saw {seen:?}\n  clients heard {answered:?}", trick.name).unwrap();
            writeln!(wrong, "  {}", received.escape_ascii()).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(passed_on > tricks::all().len(), "the lawful ones, and each other client, reach the server: {passed_on}");
}

#[test]
fn nginx_and_the_server_never_disagree() {
    the_pair_agrees(|server| nginx(server, Care::Usual));
}

#[test]
fn nginx_that_takes_little_care_and_the_server_never_disagree() {
    the_pair_agrees(|server| nginx(server, Care::Little));
}

#[test]
fn haproxy_and_the_server_never_disagree() {
    the_pair_agrees(|server| haproxy(server, Care::Usual));
}

#[test]
fn haproxy_that_takes_little_care_and_the_server_never_disagree() {
    the_pair_agrees(|server| haproxy(server, Care::Little));
}
