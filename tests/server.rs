//! The server as a library: addresses, routes, and many clients at a time, on every backend.

mod backends;
mod client;
mod running;

use backends::on_every_backend;
use client::Client;
use running::{Running, with_strategy};
use std::io::{Read, Write, stderr};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tempfile::TempDir;
use tripoll::http::{Limits, Reject, StatusCode};
use tripoll::models::Reap;
use tripoll::poller::Strategy;
use tripoll::protocol::{Chunk, MinRate};
use tripoll::reactor;
use tripoll::router::RouteError;
use tripoll::{Backend, Error, HttpServer, Model, Response, Trigger};

on_every_backend! {
    addresses_are_known_before_it_runs,
    a_handle_stops_it_from_another_thread,
    routes_answer_before_the_files,
    large_bodies_arrive_whole,
    many_clients_are_answered_each_in_its_order,
    a_slow_client_keeps_nobody_waiting,
    garbage_harms_nobody_else,
    a_client_that_does_not_read_keeps_nobody_waiting,
    a_full_server_lets_who_is_idle_longest_give_way,
    a_full_server_of_which_nobody_is_idle_refuses_the_newest,
    a_body_that_drips_and_a_reader_that_sips_are_cut_off,
    one_address_has_no_more_connections_than_it_may,
    beside_attackers_of_every_kind_a_good_client_is_served,
    a_panic_is_no_end,
    bodies_have_many_makers,
    what_nobody_has_is_answered_by_the_not_found_handler,
    the_server_itself_says_what_a_route_allows,
    a_meter_shows_what_a_server_does,
    without_files_there_are_routes_alone,
}

const GET: &str = "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n";

impl Running {
    fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// A client that asks, and is answered.
    #[track_caller]
    fn is_well(&self) {
        let mut client = self.client();
        client.send(GET);
        assert_eq!(client.answer(false).body, b"hello");
    }

    #[track_caller]
    fn ask(&self, request: &str) -> client::Answer {
        let mut client = self.client();
        client.send(request);
        client.answer(request.starts_with("HEAD "))
    }
}

fn addresses_are_known_before_it_runs(strategy: Strategy) {
    let folder = TempDir::new().unwrap();
    let (tell, told) = mpsc::channel();
    let directory = folder.path().to_path_buf();
    let thread = std::thread::spawn(move || {
        let server = HttpServer::new("127.0.0.1:0", directory).also_at("127.0.0.1:0");
        let bound = with_strategy(server, strategy).bind().unwrap();
        assert_eq!(bound.strategy(), strategy);
        assert_eq!(bound.meter().read().reactor.opened, 0);
        let addresses = bound.addresses().to_vec();
        // Who connects before it runs waits, and is served.
        let mut early = Client::new(addresses[0]);
        early.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        tell.send((addresses, bound.handle(), early)).unwrap();
        bound.run().unwrap();
    });
    let (addresses, handle, mut early) = told.recv().unwrap();
    assert_eq!(addresses.len(), 2);
    assert!(addresses[0].port() != 0 && addresses[1].port() != 0 && addresses[0] != addresses[1]);
    assert_eq!(early.answer(false).status, 200);
    for address in addresses {
        let mut client = Client::new(address);
        client.send("GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.answer(false).status, 404);
    }
    handle.stop();
    thread.join().unwrap();
}

fn a_handle_stops_it_from_another_thread(strategy: Strategy) {
    let running = Running::new(strategy, |server| server);
    let (address, handle) = (running.address, running.handle.clone());
    let idle = running.client();
    let mut served = running.client();
    served.send(GET);
    served.answer(false);
    std::thread::spawn(move || handle.stop()).join().unwrap();
    assert_eq!(idle.rest(false), b"");
    assert_eq!(served.rest(false), b"");
    drop(running);
    HttpServer::new(address.to_string(), ".").bind().expect("its address is free at once");
}

#[test]
fn a_server_stopped_before_it_runs_does_not_run() {
    let bound = HttpServer::new("127.0.0.1:0", ".").bind().unwrap();
    bound.handle().stop();
    bound.run().unwrap();
}

#[test]
fn a_name_is_every_address_of_it_on_one_port() {
    let folder = TempDir::new().unwrap();
    let bound = HttpServer::new("localhost:0", folder.path()).bind().unwrap();
    assert!(bound.addresses().iter().all(|address| address.ip().is_loopback()));
    assert!(bound.addresses().iter().all(|address| address.port() == bound.addresses()[0].port()));
}

#[test]
fn version_6_of_the_internet_protocol_is_served() {
    if TcpListener::bind("[::1]:0").is_err() {
        let _ = writeln!(stderr(), "skipped: IPv6: this machine has no ::1");
        return;
    }
    let running = Running::new(Strategy::ALL[2], |server| {
        server.also_at("[::1]:0").route("GET", "/peer", |request| Response::text(request.peer().ip().to_string()))
    });
    assert_eq!(running.ask("GET /peer HTTP/1.1\r\nHost: h\r\n\r\n").body, b"127.0.0.1");
    let (tell, told) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let server = HttpServer::new("[::1]:0", ".");
        let server = server.route("GET", "/peer", |request| Response::text(request.peer().ip().to_string()));
        let bound = server.bind().unwrap();
        tell.send((bound.addresses()[0], bound.handle())).unwrap();
        bound.run().unwrap();
    });
    let (address, handle) = told.recv().unwrap();
    assert!(address.is_ipv6());
    let mut client = Client::new(address);
    client.send("GET /peer HTTP/1.1\r\nHost: [::1]\r\n\r\n");
    assert_eq!(client.answer(false).body, b"::1");
    handle.stop();
    thread.join().unwrap();
}

fn routes_answer_before_the_files(strategy: Strategy) {
    let running = Running::new(strategy, |server| {
        server
            .route("GET", "/hello/{name}", |request| Response::text(format!("hello {}", request.param("name"))))
            .route("GET", "/pair/{a}/x/{b}", |request| {
                Response::text(format!("{}+{}", request.param("a"), request.param("b")))
            })
            .route("GET", "/all/{*rest}", |request| Response::text(request.param("rest")))
            .route("GET", "/exact/file.txt", |_| Response::text("not the file"))
            .route("POST", "/many", |request| Response::bytes("text/plain", request.body()))
            .route("DELETE", "/many", |_| Response::new(StatusCode::NO_CONTENT))
            .route("GET", "/many", |request| Response::text(request.query().unwrap_or("none")))
            .route("HEAD", "/own-head", |_| Response::text("").field("X-Own", "head"))
            .route("GET", "/own-head", |_| Response::text("get").field("X-Own", "get"))
            .route("MOVE", "/moved", |_| Response::text("moved"))
            .route("GET", "/no-such-parameter/{a}", |request| Response::text(request.param("b")))
    });
    let check = |method: &str, target: &str, status: u16, body: &str| {
        let answer = running.ask(&format!("{method} {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
        let got = (answer.status, String::from_utf8_lossy(&answer.body).into_owned());
        assert_eq!(got, (status, body.to_string()), "{method} {target}");
        answer
    };
    check("GET", "/hello/world", 200, "hello world");
    check("GET", "/hello/a%20b%2Fc%25", 200, "hello a b/c%");
    check("GET", "/hello/%C3%A4", 200, "hello \u{e4}");
    check("GET", "/hello/%ff", 200, "hello \u{fffd}");
    check("GET", "/hello/%2525", 200, "hello %25");
    check("GET", "/hello/a+b?c", 200, "hello a+b");
    check("GET", "http://h/hello/world", 200, "hello world");
    check("GET", "/hello/a/b", 404, "404 Not Found\n");
    check("GET", "/pair/1/x/2", 200, "1+2");
    check("GET", "/all/a", 200, "a");
    check("GET", "/all/a/b%20c/d", 200, "a/b c/d");
    check("GET", "/all/../file.txt", 200, "../file.txt");
    check("GET", "/file.txt", 200, "a file");
    check("GET", "/many", 200, "none");
    check("GET", "/many?a", 200, "a");
    check("DELETE", "/many", 204, "");
    let head = check("HEAD", "/many?abc", 200, "");
    assert_eq!(head.field("Content-Length"), Some("3"));
    let head = check("HEAD", "/own-head", 200, "");
    assert_eq!(head.field("X-Own"), Some("head"));
    let allow = |method: &str, target: &str, want: &str| {
        let answer = check(method, target, 405, "405 Method Not Allowed\n");
        assert_eq!(answer.field("Allow"), Some(want), "{method} {target}");
    };
    allow("PUT", "/many", "DELETE, GET, HEAD, OPTIONS, POST");
    allow("GET", "/moved", "MOVE, OPTIONS");
    allow("PUT", "/file.txt", "GET, HEAD, OPTIONS");
    allow("POST", "/hello/x", "GET, HEAD, OPTIONS");
    let answer = running.ask("HEAD /moved HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!((answer.status, answer.field("Allow")), (405, Some("MOVE, OPTIONS")));
    assert_eq!(running.ask("GET /no-such-parameter/x HTTP/1.1\r\nHost: h\r\n\r\n").status, 500);
}

#[test]
fn a_wrong_route_is_an_error_that_names_it() {
    let text = |_: &tripoll::Request<'_>| Response::text("");
    let error = |routes: &[(&str, &str)]| {
        let server = HttpServer::new("127.0.0.1:0", ".");
        let server = routes.iter().fold(server, |server, (method, path)| server.route(method, path, text));
        match server.bind() {
            Err(Error::Route(error)) => error,
            Err(error) => panic!("{routes:?}: {error}"),
            Ok(_) => panic!("{routes:?}: no error"),
        }
    };
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[("GET", "no-slash")], "no-slash"),
        (&[("GET", "")], "\"\""),
        (&[("GET", "/a/{b")], "/a/{b"),
        (&[("GET", "/a/{}")], "/a/{}"),
        (&[("GET", "/a/{*b}/c")], "/a/{*b}/c"),
        (&[("GET", "/a"), ("GET", "/a")], "GET /a"),
        (&[("GET", "/a"), ("POST", "/a"), ("POST", "/a")], "POST /a"),
        (&[("GET", "/a/{b}"), ("GET", "/a/{c}")], "/a/{c}"),
        (&[("GET", "/a/{b}"), ("POST", "/a/{c}")], "/a/{c}"),
        (&[("G T", "/a")], "G T"),
        (&[("", "/a")], "no method"),
    ];
    for (routes, named) in cases {
        let error = error(routes);
        assert!(error.to_string().contains(named), "{routes:?}: {error}");
    }
    let collision = error(&[("GET", "/a/{b}"), ("GET", "/a/{c}")]);
    assert_eq!(collision, RouteError::Collision { path: "/a/{c}".into(), with: "/a/{b}".into() });
    assert!(collision.to_string().contains("/a/{b}"), "both are named: {collision}");
    let taken = RouteError::Taken { method: "GET".into(), path: "/a".into() };
    assert_eq!(error(&[("GET", "/a"), ("GET", "/a")]), taken);
}

#[test]
fn what_cannot_be_bound_says_what_to_try() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = |server: HttpServer| server.bind().err().expect("an error").to_string();
    let at = |address: &str| HttpServer::new(address, ".");
    for (server, parts) in [
        (at(&address), [address.as_str(), "try --port "]),
        (at("127.0.0.1:0").also_at(&address), [&address, "try --port "]),
        (at("192.0.2.1:0"), ["192.0.2.1:0", "try --bind 127.0.0.1"]),
        (at("127.0.0.1"), ["\"127.0.0.1\"", "try 127.0.0.1:8000"]),
        (at("127.0.0.1:99999"), ["\"127.0.0.1:99999\"", "try 127.0.0.1:8000"]),
        (at(""), ["\"\"", "try 127.0.0.1:8000"]),
        (HttpServer::new("127.0.0.1:0", "no/such/folder"), ["no/such/folder", "; try "]),
        (HttpServer::new("127.0.0.1:0", "Cargo.toml"), ["Cargo.toml", "; try "]),
        (at("127.0.0.1:0").backend(Backend::Poll).trigger(Trigger::Edge), ["poll", "try --backend epoll"]),
        (at("127.0.0.1:0").select_limit(1024), ["epoll", "try --backend select"]),
    ] {
        let error = error(server);
        assert!(parts.iter().all(|part| error.contains(part)) && !error.contains('\n'), "{error:?} has not {parts:?}");
        assert!(!error.contains("os error"), "{error:?} is for a person");
    }
}

#[test]
fn what_answers_without_end_needs_one_loop() {
    let with = |model| {
        let server = HttpServer::new("127.0.0.1:0", ".").model(model);
        server
            .route_live("GET", "/news", |_| Response::events(1000, |_| ()))
            .bind()
            .err()
            .map(|error| error.to_string())
    };
    for model in [Model::Reactor, Model::Coroutines] {
        assert_eq!(with(model), None, "{model}");
    }
    for model in [
        Model::Iterative,
        Model::Fork { reap: Reap::Wait },
        Model::Prefork { workers: 2 },
        Model::Threads,
        Model::ThreadPool { workers: 2 },
    ] {
        let error = with(model).expect("an error");
        assert!(["/news", &model.to_string(), "try reactor"].iter().all(|part| error.contains(part)), "{error}");
    }
}

fn large_bodies_arrive_whole(strategy: Strategy) {
    const SIZE: usize = 4_000_000;
    let running = Running::new(strategy, |server| {
        let limits = Limits { body_bytes_max: SIZE as u64, ..Limits::default() };
        server
            .limits(limits)
            .route("POST", "/echo", |request| Response::bytes("application/octet-stream", request.body()))
    });
    let body: Vec<u8> = (0..SIZE).map(|at| ((at * 31) >> 7) as u8).collect();
    let head = |fields: &str| format!("POST /echo HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n").into_bytes();
    let mut client = running.client();
    client.send([&head(&format!("Content-Length: {SIZE}")), &body[..]].concat());
    assert!(client.answer(false).body == body, "by length");
    let chunks: Vec<u8> = body
        .chunks(70_001)
        .flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())
        .collect();
    client.send([&head("Transfer-Encoding: chunked"), &chunks[..], b"0\r\n\r\n"].concat());
    assert!(client.answer(false).body == body, "in chunks");
    client.send(head(&format!("Content-Length: {}", SIZE + 1)));
    let answer = client.answer(false);
    assert_eq!((answer.status, answer.field("Connection")), (413, Some("close")));
    assert_eq!(client.rest(false), b"");
    running.is_well();
}

fn many_clients_are_answered_each_in_its_order(strategy: Strategy) {
    let running = Running::new(strategy, |server| {
        server.route("GET", "/{who}/{what}", |request| {
            Response::text(format!("{}:{}", request.param("who"), request.param("what")))
        })
    });
    let mut clients: Vec<_> = (0..64).map(|_| running.client()).collect();
    for round in 0..3 {
        for (who, client) in clients.iter_mut().enumerate() {
            let requests = (0..16).map(|what| format!("GET /{who}/{round}.{what} HTTP/1.1\r\nHost: h\r\n\r\n"));
            client.send(requests.collect::<String>());
        }
        for (who, client) in clients.iter_mut().enumerate().rev() {
            for what in 0..16 {
                assert_eq!(client.answer(false).body, format!("{who}:{round}.{what}").as_bytes());
            }
        }
    }
    clients.into_iter().for_each(|client| assert_eq!(client.rest(true), b""));
}

fn a_slow_client_keeps_nobody_waiting(strategy: Strategy) {
    let running = Running::new(strategy, |server| server);
    let (mut slow, mut quick) = (running.client(), running.client());
    for byte in GET.bytes() {
        slow.send([byte]);
        quick.send(GET);
        assert_eq!(quick.answer(false).body, b"hello");
    }
    assert_eq!(slow.answer(false).body, b"hello");
}

fn garbage_harms_nobody_else(strategy: Strategy) {
    let running = Running::new(strategy, |server| server);
    let mut state = 7u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    let noise: Vec<u8> = noise.take(30_000).collect();
    let mut quick = running.client();
    for noise in noise.chunks(1_000) {
        let mut client = running.client();
        client.send([b"\0", noise].concat());
        let answer = client.answer(false);
        assert_eq!((answer.status, answer.field("Connection")), (400, Some("close")));
        assert_eq!(client.rest(false), b"");
        quick.send(GET);
        assert_eq!(quick.answer(false).body, b"hello");
    }
}

fn a_client_that_does_not_read_keeps_nobody_waiting(strategy: Strategy) {
    const SIZE: usize = 24 << 20; // More than both sockets hold.
    let running = Running::new(strategy, |server| {
        let large: Arc<[u8]> = vec![b'x'; SIZE].into();
        let body =
            move |_: &tripoll::Request<'_>| Response::new(StatusCode::OK).with_body(Chunk::Shared(large.clone()));
        server.route("GET", "/large", body)
    });
    let mut lazy = running.client();
    lazy.send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n".to_string() + GET);
    for _ in 0..50 {
        running.is_well();
    }
    let large = lazy.answer(false).body;
    assert!(large.len() == SIZE && large.iter().all(|byte| *byte == b'x'));
    assert_eq!(lazy.answer(false).body, b"hello", "what it asked for behind it comes too");
    assert_eq!(lazy.rest(true), b"");
}

fn a_full_server_lets_who_is_idle_longest_give_way(strategy: Strategy) {
    let running = Running::new(strategy, |server| {
        server.loop_limits(reactor::Limits { connections_max: 2, ..reactor::Limits::default() })
    });
    let mut clients = Vec::new();
    for _ in 0..6 {
        let mut client = running.client();
        client.send(GET);
        assert_eq!(client.answer(false).body, b"hello");
        clients.push(client);
    }
    let mut stay = clients.split_off(4);
    for client in clients {
        assert_eq!(client.rest(false), b"", "closed without a word");
    }
    for client in &mut stay {
        client.send(GET);
        assert_eq!(client.answer(false).body, b"hello");
    }
}

fn a_full_server_of_which_nobody_is_idle_refuses_the_newest(strategy: Strategy) {
    let running = Running::new(strategy, |server| {
        server.loop_limits(reactor::Limits { connections_max: 1, ..reactor::Limits::default() })
    });
    // From accept to its first answer a connection is not idle.
    let mut busy = running.client();
    busy.send(&GET[..10]);
    let mut refused = running.client();
    let answer = refused.answer(false);
    assert_eq!((answer.status, answer.field("Connection")), (503, Some("close")));
    assert_eq!(refused.rest(false), b"");
    busy.send(&GET[10..]);
    assert_eq!(busy.answer(false).body, b"hello");
}

/// A rate that nobody reaches, so that no clock is asked here but the server's.
fn a_body_that_drips_and_a_reader_that_sips_are_cut_off(strategy: Strategy) {
    const ANSWER_BYTES: usize = 32 << 20;
    let rate = MinRate { bytes_per_second: 1 << 40, after: Duration::from_millis(30) };
    let running = Running::new(strategy, move |server| {
        server
            .limits(Limits { body_rate_min: rate, ..Limits::default() })
            .loop_limits(reactor::Limits { send_rate_min: rate, ..reactor::Limits::default() })
            .route("POST", "/post", |_| Response::text("posted"))
            .route("GET", "/big", |_| Response::bytes("text/plain", vec![b'x'; ANSWER_BYTES]))
    });
    let mut sips = TcpStream::connect(running.address).unwrap();
    sips.write_all(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    sips.read_exact(&mut [0]).unwrap();
    // It waits since before these came, so it is cut off before these are.
    for body in ["Content-Length: 100000\r\n\r\nsome", "Transfer-Encoding: chunked\r\n\r\n5;extension="] {
        let mut drips = running.client();
        drips.send(format!("POST /post HTTP/1.1\r\nHost: h\r\n{body}"));
        assert_eq!(drips.answer(false).status, 408);
        assert_eq!(drips.rest(false), b"");
    }
    let mut received = Vec::new();
    let ended = sips.read_to_end(&mut received);
    assert!(ended.is_err() && received.len() < ANSWER_BYTES, "{ended:?}: what the kernel had for it is thrown away");
    running.is_well();
}

fn one_address_has_no_more_connections_than_it_may(strategy: Strategy) {
    let running = Running::new(strategy, |server| {
        server.loop_limits(reactor::Limits { per_address_max: 2, ..reactor::Limits::default() })
    });
    let mut clients = [running.client(), running.client(), running.client()];
    for (client, want) in clients.iter_mut().zip([200, 200, 503]) {
        client.send(GET);
        assert_eq!(client.answer(false).status, want);
    }
    let [first, mut second, _] = clients;
    assert_eq!(first.rest(true), b"");
    running.is_well();
    second.send(GET);
    assert_eq!(second.answer(false).status, 200);
}

/// `.ci/abuse` is the same with a thousand of each, and measures.
fn beside_attackers_of_every_kind_a_good_client_is_served(strategy: Strategy) {
    const EACH: usize = 30;
    let running = Running::new(strategy, |server| {
        server
            .route("POST", "/post", |_| Response::text("posted"))
            .route("GET", "/big", |_| Response::bytes("text/plain", vec![b'x'; 1 << 20]))
    });
    let big = "GET /big HTTP/1.1\r\nHost: h\r\n\r\n";
    let kinds = [
        ("a half-open one", String::new()),
        ("a slow head", "GET / HTTP/1.1\r\nHost: h\r\nX: ".into()),
        ("a slow body", "POST /post HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n".into()),
        ("a slow chunk", "POST /post HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n9;x=".into()),
        ("an idle one", GET.into()),
        ("a pipeline that nobody reads", big.repeat(20)),
    ];
    let mut attackers = Vec::new();
    for (kind, begin) in &kinds {
        for _ in 0..EACH {
            let mut attacker = TcpStream::connect(running.address).unwrap();
            attacker.write_all(begin.as_bytes()).unwrap();
            attackers.push((kind, attacker));
        }
        running.is_well();
    }
    for _ in 0..20 {
        for (kind, attacker) in &mut attackers {
            if kind.contains("slow") {
                attacker.write_all(b"x").unwrap();
            }
        }
        running.is_well();
    }
    // Resets, one after another, each in the middle of an answer.
    for _ in 0..EACH {
        let mut attacker = TcpStream::connect(running.address).unwrap();
        attacker.write_all(big.as_bytes()).unwrap();
        attacker.read_exact(&mut [0]).unwrap();
        tripoll::sys::abort_on_close(attacker.as_fd()).unwrap();
    }
    running.is_well();
    drop(attackers);
    running.is_well();
}

fn a_panic_is_no_end(strategy: Strategy) {
    let running = Running::new(strategy, |server| {
        server.route("GET", "/panic", |_| -> Response { std::panic::resume_unwind(Box::new("as asked")) })
    });
    let mut client = running.client();
    for _ in 0..3 {
        client.send("GET /panic HTTP/1.1\r\nHost: h\r\n\r\n".to_string() + GET);
        assert_eq!(client.answer(false).status, 500);
        assert_eq!(client.answer(false).body, b"hello");
    }
    running.is_well();
}

fn bodies_have_many_makers(strategy: Strategy) {
    let running = Running::new(strategy, |server| {
        let large = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(large.path(), vec![b'x'; 3_000_000]).unwrap();
        server
            .route("GET", "/json", |_| Response::json(&("a", 1, [Some(true), None])))
            .route("GET", "/html", |_| Response::html("<p>"))
            .route("GET", "/file", move |_| {
                let file = large.reopen().and_then(|file| Response::file("text/x", file));
                file.map_err(|_| Reject::NotFound)
            })
            .route("GET", "/folder", |_| {
                std::fs::File::open("/").and_then(|file| Response::file("text/x", file)).map_err(|_| Reject::NotFound)
            })
            .route("GET", "/date", |_| Response::text(tripoll::date::now()))
    });
    let get = |target: &str| running.ask(&format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
    let json = get("/json");
    assert_eq!(json.field("Content-Type"), Some("application/json"));
    assert_eq!(json.body, b"[\"a\",1,[true,null]]");
    assert_eq!(get("/html").field("Content-Type"), Some("text/html; charset=utf-8"));
    let file = get("/file");
    assert_eq!((file.field("Content-Type"), file.body.len()), (Some("text/x"), 3_000_000));
    assert!(file.body.iter().all(|byte| *byte == b'x'));
    assert_eq!(get("/folder").status, 404, "a folder is no body");
    let date = get("/date");
    assert!(tripoll::http::parse_date(&date.body, std::time::SystemTime::now()).is_some(), "{date:?}");
}

fn what_nobody_has_is_answered_by_the_not_found_handler(strategy: Strategy) {
    let running = Running::new(strategy, |server| {
        server
            .route("GET", "/own", |_| Response::text("own").with_status(StatusCode::NOT_FOUND))
            .not_found(|request| Response::text(format!("no {}", request.path())))
    });
    let get = |target: &str| running.ask(&format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
    let answer = get("/nix");
    assert_eq!((answer.status, answer.body.as_slice()), (404, &b"no /nix"[..]));
    assert_eq!(running.ask("HEAD /nix HTTP/1.1\r\nHost: h\r\n\r\n").field("Content-Length"), Some("7"));
    assert_eq!(get("/own").body, b"own", "a route's own 404 stays");
    assert_eq!(get("/file.txt").body, b"a file");
    assert_eq!(get("/%zz").status, 400, "what is wrong is not missing");
}

fn the_server_itself_says_what_a_route_allows(strategy: Strategy) {
    let running = Running::new(strategy, |server| {
        server
            .route("POST", "/hello", |_| Response::text("posted"))
            .route("OPTIONS", "/asked", |_| Response::text("by itself"))
            .route("GET", "/asked", |_| Response::text(""))
    });
    let options = |target: &str| running.ask(&format!("OPTIONS {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
    for (target, want) in
        [("/hello", "GET, HEAD, OPTIONS, POST"), ("/file.txt", "GET, HEAD, OPTIONS"), ("*", "GET, HEAD, OPTIONS, POST")]
    {
        let answer = options(target);
        assert_eq!((answer.status, answer.field("Allow")), (204, Some(want)), "{target}");
    }
    assert_eq!(options("/asked").body, b"by itself");
    let with_body = running.ask("OPTIONS /hello HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}");
    assert_eq!(with_body.status, 204);
}

fn a_meter_shows_what_a_server_does(strategy: Strategy) {
    let (tell, told) = mpsc::channel();
    let running = Running::new(strategy, move |server| {
        let (meter, inside) = (server.meter(), server.meter());
        assert_eq!(meter.read(), Default::default(), "nothing before it runs");
        tell.send(meter).unwrap();
        server.route("GET", "/answers", move |_| Response::text(inside.read().answers.to_string()))
    });
    let meter = told.recv().unwrap();
    let mut client = running.client();
    let request = "GET /answers HTTP/1.1\r\nHost: h\r\n\r\n";
    for number in 0..3 {
        client.send(request);
        assert_eq!(client.answer(false).body, number.to_string().as_bytes(), "those before this one");
    }
    client.send("nonsense\r\n\r\n");
    assert_eq!(client.answer(false).status, 400);
    client.rest(true);
    // The end of the turn comes after the last byte.
    while meter.read().reactor.open > 0 {
        std::thread::yield_now();
    }
    let counters = meter.read();
    assert_eq!((counters.answers, counters.reactor.opened, counters.reactor.open), (4, 1, 0));
    assert_eq!(counters.reactor.received_bytes as usize, 3 * request.len() + 12);
    assert!(counters.reactor.sent_bytes > 4 * 80 && counters.reactor.turns >= 4, "{counters:?}");
    assert!(counters.reactor.poller.waits >= 4 && counters.reactor.calls.accept >= 1, "{counters:?}");
}

fn without_files_there_are_routes_alone(strategy: Strategy) {
    let (tell, told) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let server = HttpServer::without_files("127.0.0.1:0").route("GET", "/a", |_| Response::text("a"));
        let bound = with_strategy(server, strategy).bind().unwrap();
        tell.send((bound.addresses()[0], bound.handle())).unwrap();
        bound.run()
    });
    let (address, handle) = told.recv().unwrap();
    let mut client = Client::new(address);
    client.send("GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!((client.answer(false).body.as_slice(), client.answer(false).status), (&b"a"[..], 404));
    handle.stop();
    thread.join().unwrap().unwrap();
}

#[test]
fn a_server_answers_bytes_without_a_socket() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("big"), vec![b'b'; 5_000_000]).unwrap();
    let server = HttpServer::new("no address: it is not needed", folder.path()).field("X-All", "yes").route(
        "POST",
        "/echo",
        |request| Response::bytes("text/x", request.body()),
    );
    let ask = |input: &str| String::from_utf8(server.answer(input.as_bytes()).unwrap()).unwrap();
    let answer = ask("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("X-All: yes\r\n\r\nab"), "{answer}");
    let big = "GET /big HTTP/1.1\r\nHost: h\r\n\r\n";
    let two = ask(&[big, big].concat());
    assert_eq!(two.matches(&"b".repeat(5_000_000)).count(), 2, "past what an outbox holds");
    assert_eq!(ask(""), "", "who asks nothing is told nothing");
    assert!(ask("GET / HT").starts_with("HTTP/1.1 400 "), "cut off");
    let missing = HttpServer::new("127.0.0.1:0", "/no/such/folder").answer(b"");
    assert!(matches!(missing, Err(Error::Directory { .. })), "{missing:?}");
}

/// In a process of its own, since its limit is a descriptor's number, and both ends of all its connections have one here.
#[test]
fn past_select_limit_clients_are_told_503() {
    const ALONE: &str = "TRIPOLL_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let mut alone = Command::new(std::env::current_exe().unwrap());
        alone.args(["--exact", "past_select_limit_clients_are_told_503"]).env(ALONE, "1");
        let output = alone.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let turned_away = Arc::new(AtomicUsize::new(0));
    let told = turned_away.clone();
    let running = Running::new(Strategy::Select { limit: Some(100) }, move |server| {
        server.on_notice(move |notice| {
            assert!(notice.to_string().contains("turned away"), "{notice}");
            told.fetch_add(1, Ordering::SeqCst);
        })
    });
    let mut first = running.client();
    first.send(GET);
    assert_eq!(first.answer(false).body, b"hello");
    let mut clients: Vec<_> = (0..100).map(|_| running.client()).collect();
    let mut last = clients.pop().unwrap();
    let answer = last.answer(false);
    assert_eq!((answer.status, answer.field("Connection")), (503, Some("close")));
    assert_eq!(last.rest(false), b"");
    assert!(turned_away.load(Ordering::SeqCst) > 0);
    first.send(GET);
    assert_eq!(first.answer(false).body, b"hello", "who was there before goes on");
    // Who leaves makes room; the server has closed a connection when its client sees the end.
    clients.drain(..).for_each(|client| drop(client.rest(true)));
    running.is_well();
}
