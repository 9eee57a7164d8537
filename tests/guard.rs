//! Who may ask: hosts and pages, on a link and on every backend.

mod backends;
mod client;
mod running;

use backends::on_every_backend;
use client::{Answer, Client, read_answer};
use running::Running;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tripoll::http::{Answer as Said, Request, Sink, StatusCode, Take};
use tripoll::poller::Strategy;
use tripoll::protocol::{Context, Cue, Protocol};
use tripoll::{HttpServer, Response};

on_every_backend! {
    a_foreign_write_reaches_nobody_and_the_connection_goes_on,
    a_foreign_host_is_refused_whatever_it_asks_for,
}

/// What a closed connection says.
struct Silent;

impl Protocol for Silent {
    fn receive(&mut self, input: &[u8], _: &mut Context<'_>) -> usize {
        input.len()
    }

    fn cue(&mut self, cue: Cue, cx: &mut Context<'_>) {
        if cue == Cue::Opened {
            cx.finish();
        }
    }

    fn input_max(&self) -> usize {
        1
    }
}

/// Takes a body, and counts that it was opened.
struct Counting;

impl Sink for Counting {
    fn piece(&mut self, _: &[u8], _: &dyn Fn() -> std::task::Waker) -> Take {
        Take::More
    }

    fn finish(self: Box<Self>, _: &Request<'_>) -> Said {
        Response::text("taken").into()
    }
}

/// A server with a route of each kind, that counts those that are reached.
fn with_routes(server: HttpServer, reached: &Arc<AtomicUsize>) -> HttpServer {
    let count = || {
        let reached = reached.clone();
        move || reached.fetch_add(1, Ordering::SeqCst)
    };
    let (read, write, sink, upgrade) = (count(), count(), count(), count());
    server
        .route("GET", "/read", move |_| {
            read();
            Response::text("read")
        })
        .route("POST", "/write", move |_| {
            write();
            Response::text("written")
        })
        .route_sink("PUT", "/sink", move |_| {
            sink();
            Ok(Box::new(Counting))
        })
        .route("GET", "/socket", move |_| {
            upgrade();
            Said::Upgrade(Response::new(StatusCode::OK).field("Upgrade", "silence"), Box::new(Silent))
        })
}

/// The one answer to one request, and how many routes were reached.
#[track_caller]
fn ask(configure: impl FnOnce(HttpServer) -> HttpServer, request: &str) -> (Answer, usize) {
    let reached = Arc::default();
    let server = with_routes(configure(HttpServer::without_files("127.0.0.1:0")), &reached);
    let wire = server.answer(request.as_bytes()).unwrap();
    let (answer, length) = read_answer(&wire, false).unwrap().expect("it is whole");
    assert_eq!(length, wire.len(), "one request has one answer: {}", wire.escape_ascii());
    (answer, reached.load(Ordering::SeqCst))
}

#[test]
fn a_write_of_a_foreign_page_is_403_and_any_other_passes() {
    let own = "Host: a:8000\r\nOrigin: http://a:8000";
    for (fields, want) in [
        ("Host: a:8000", true),
        (own, true),
        ("Host: a:8000\r\nOrigin: http://A:8000\r\nSec-Fetch-Site: same-origin", true),
        ("Host: a:8000\r\nSec-Fetch-Site: none", true),
        ("Host: a:8000\r\nOrigin: http://b:8000", false),
        ("Host: a:8000\r\nOrigin: http://a:9000", false),
        ("Host: a:8000\r\nOrigin: null", false),
        ("Host: a:8000\r\nOrigin: \u{e4}", false),
        ("Host: a:8000\r\nOrigin: http://a:8000\r\nOrigin: http://b", false),
        ("Host: a:8000\r\nSec-Fetch-Site: cross-site", false),
        ("Host: a:8000\r\nSec-Fetch-Site: same-site", false),
        ("Host: a:8000\r\nSec-Fetch-Site: new-word", false),
        ("Host: a:8000\r\nOrigin: http://a:8000\r\nSec-Fetch-Site: cross-site", false),
        ("Host: a:8000\r\nOrigin: http://b\r\nSec-Fetch-Site: same-origin", false),
    ] {
        for line in [
            "POST /write HTTP/1.1\r\nContent-Length: 0",
            "POST /write HTTP/1.1\r\nContent-Length: 2",
            "PUT /sink HTTP/1.1\r\nContent-Length: 2",
            "PUT /sink HTTP/1.1\r\nContent-Length: 0",
        ] {
            let body = if line.ends_with('2') { "ab" } else { "" };
            let request = format!("{line}\r\n{fields}\r\n\r\n{body}");
            let (answer, reached) = ask(HttpServer::own_pages_only, &request);
            assert_eq!((answer.status, reached), if want { (200, 1) } else { (403, 0) }, "{request}");
            assert_eq!(ask(|server| server, &request).0.status, 200, "the library lets all in: {request}");
        }
        // A link from anywhere leads here; its page can't read what comes.
        let (answer, _) = ask(HttpServer::own_pages_only, &format!("GET /read HTTP/1.1\r\n{fields}\r\n\r\n"));
        assert_eq!(answer.status, 200, "{fields}");
        for (protocol, want) in [("silence", want), ("h2c, silence", want), ("h2c", true)] {
            let upgrade =
                format!("GET /socket HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n{fields}\r\n\r\n");
            let server = with_routes(HttpServer::without_files("127.0.0.1:0").own_pages_only(), &Arc::default());
            let wire = String::from_utf8(server.answer(upgrade.as_bytes()).unwrap()).unwrap();
            assert_eq!(wire.starts_with("HTTP/1.1 101 "), want, "{upgrade}: {wire}");
        }
    }
}

#[test]
fn a_host_that_is_nobodys_here_is_421_and_told_what_to_do() {
    for (host, want) in [
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("localhost", 200),
        ("app.localhost:8000", 200),
        ("my.box:8000", 200),
        ("", 200),
        ("evil.example", 421),
        ("evil.example:8000", 421),
    ] {
        for line in ["GET /read", "POST /write", "GET /missing", "OPTIONS *"] {
            let request = format!("{line} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let (answer, reached) = ask(|server| server.own_hosts_only(["my.box"]), &request);
            assert_eq!(answer.status == 421, want == 421, "{request}: {}", answer.status);
            assert!(want == 200 || reached == 0, "{request}");
        }
    }
    // RFC 9112 §3.2.2: the target's host goes before the field's.
    for (target, field, want) in [("evil.example", "localhost", 421), ("localhost", "evil.example", 200)] {
        let request = format!("GET http://{target}/read HTTP/1.1\r\nHost: {field}\r\n\r\n");
        assert_eq!(ask(|server| server.own_hosts_only([""; 0]), &request).0.status, want, "{request}");
    }
    let page = "GET /read HTTP/1.1\r\nHost: evil.example\r\nAccept: text/html\r\n\r\n";
    let (answer, _) = ask(|server| server.own_hosts_only([""; 0]), page);
    assert_eq!(answer.field("Content-Type"), Some("text/html; charset=utf-8"));
    let page = String::from_utf8(answer.body).unwrap();
    assert!(page.contains("--host NAME") && !page.contains("evil"), "{page}");
    assert_eq!(ask(|server| server, "GET /read HTTP/1.0\r\n\r\n").0.status, 200);
    let (answer, _) = ask(|server| server.own_hosts_only([""; 0]), "GET /read HTTP/1.0\r\n\r\n");
    assert_eq!(answer.status, 200, "who names no host is no page");
}

#[test]
fn where_others_reach_the_server_any_host_will_do() {
    for (address, want) in [("127.0.0.1:0", 421), ("[::1]:0", 421), ("0.0.0.0:0", 200)] {
        let server =
            HttpServer::without_files(address).own_hosts_only([""; 0]).route("GET", "/", |_| Response::text("x"));
        let bound = match server.bind() {
            Ok(bound) => bound,
            Err(error) if address.starts_with('[') => {
                let _ = writeln!(std::io::stderr(), "skipped: no IPv6 here: {error}");
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        let (mut at, handle) = (bound.addresses()[0], bound.handle());
        if at.ip().is_unspecified() {
            at.set_ip([127, 0, 0, 1].into());
        }
        std::thread::scope(|scope| {
            let asks = scope.spawn(move || {
                let mut client = Client::new(at);
                client.send("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
                let status = client.answer(false).status;
                handle.stop();
                status
            });
            bound.run().unwrap();
            assert_eq!(asks.join().unwrap(), want, "{address}");
        });
    }
}

fn a_foreign_write_reaches_nobody_and_the_connection_goes_on(strategy: Strategy) {
    let reached = Arc::new(AtomicUsize::new(0));
    let seen = reached.clone();
    let running = Running::new(strategy, move |server| with_routes(server, &seen).own_pages_only());
    let mut client = Client::new(running.address);
    let body = "x".repeat(100_000);
    for line in ["POST /write", "PUT /sink"] {
        let head = format!("{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n", body.len());
        client.send(format!("{head}Origin: http://evil.example\r\n\r\n{body}"));
        assert_eq!(client.answer(false).status, 403);
        assert_eq!(reached.load(Ordering::SeqCst), 0);
    }
    client.send("POST /write HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nOrigin: http://localhost\r\n\r\nx");
    assert_eq!(client.answer(false).body, b"written");
}

fn a_foreign_host_is_refused_whatever_it_asks_for(strategy: Strategy) {
    let running = Running::new(strategy, |server| server.own_hosts_only(["my.box"]));
    let mut client = Client::new(running.address);
    for (target, own, foreign) in [("/file.txt", 200, 421), ("/missing", 404, 421), ("/hello", 200, 421)] {
        for (host, want) in [("localhost", own), ("my.box", own), ("evil.example", foreign)] {
            client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            assert_eq!(client.answer(false).status, want, "{target} of {host}");
        }
    }
}
