//! Users and passwords: who is let in, on a link and on every backend, and that finding out holds nobody else up.

mod backends;
mod client;
mod process;
mod running;
mod serving;

use backends::on_every_backend;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use client::{Client, read_answer};
use process::{Process, command};
use running::Running;
use serving::Serving;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use tempfile::TempDir;
use tripoll::guard::{Scope, Users};
use tripoll::http::{Answer, Inquiry, Limits, Reception, Reject, Request, Service, StatusCode};
use tripoll::offload::Pool;
use tripoll::poller::Strategy;
use tripoll::{HttpServer, Response};

on_every_backend! {
    who_has_the_password_of_a_hash_is_let_in_with_all_that_it_sends,
    twenty_at_once_are_let_in_by_a_hash_that_is_computed_once,
    while_something_is_found_out_others_are_served,
    what_is_not_found_out_is_500_and_what_too_many_ask_is_503,
}

/// What `htpasswd -nbBC 4 ann käse:2` wrote.
const ANN: &str = "ann:$2y$04$QShqNOxyqIJZ4kjXljUqD.8uITh2uYWuTqXt/3PsHiZc4qGl7EtQu";

fn basic(credentials: &str) -> String {
    format!("Authorization: Basic {}\r\n", BASE64_STANDARD.encode(credentials.as_bytes()))
}

fn users(all: &[&str]) -> Users {
    all.iter().fold(Users::default(), |users, user| users.with(user).unwrap())
}

fn with_routes(server: HttpServer) -> HttpServer {
    server
        .route("GET", "/read", |_| Response::text("read"))
        .route("GET", "/events", |_| Response::events(1024, drop))
        .route("POST", "/echo", |request| Response::bytes("text/plain", request.body()))
}

#[track_caller]
fn ask(server: HttpServer, request: &str) -> client::Answer {
    let wire = server.answer(request.as_bytes()).unwrap();
    read_answer(&wire, false).unwrap().expect("it is whole").0
}

#[test]
fn who_has_no_password_is_asked_for_one() {
    let server =
        |scope| with_routes(HttpServer::without_files("127.0.0.1:0").users(users(&["bob:p:w", "eve y:ä"]), scope));
    let right = basic("bob:p:w");
    for (fields, want) in [
        (right.as_str(), true),
        (&basic("eve y:ä"), true),
        (&right.replace("Basic ", "bASIC   "), true),
        ("", false),
        (&basic("bob:p:W"), false),
        (&basic("bob:p:w "), false),
        (&basic("bob:p"), false),
        (&basic("bob:"), false),
        (&basic("bob"), false),
        (&basic(""), false),
        (&basic("Bob:p:w"), false),
        (&basic("eve y:p:w"), false),
        (&basic("bob:p:w\0"), false),
        (&right.replace("Basic ", "Bearer "), false),
        (&right.replace("Basic ", "Basic"), false),
        (&right.replace("Basic ", "Basic !"), false),
        (&right.repeat(2), false),
        (&format!("{right}{}", basic("eve y:wrong")), false),
    ] {
        let write = format!("POST /echo HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: 2\r\n\r\nhi");
        let upgrade = format!("GET /read HTTP/1.1\r\nHost: localhost\r\n{fields}Upgrade: websocket\r\n\r\n");
        let read = format!("GET /read HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        let missing = format!("GET /missing HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        for (scope, request, is_guarded) in [
            (Scope::Writing, &write, true),
            (Scope::Writing, &upgrade, true),
            (Scope::Writing, &read, false),
            (Scope::Everything, &write, true),
            (Scope::Everything, &read, true),
            (Scope::Everything, &missing, true),
        ] {
            let answer = ask(server(scope), request);
            let is_let_in = want || !is_guarded;
            assert_eq!(answer.status != 401, is_let_in, "{scope:?} {request}: {}", answer.status);
            let question = (!is_let_in).then_some("Basic realm=\"tripoll\", charset=\"UTF-8\"");
            assert_eq!(answer.field("WWW-Authenticate"), question, "{scope:?} {request}");
        }
        let events = format!("GET /events HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        let wire = server(Scope::Everything).answer(events.as_bytes()).unwrap();
        assert_eq!(wire.starts_with(b"HTTP/1.1 200 "), want, "{events}");
    }
}

#[test]
fn a_foreign_page_is_refused_before_anybody_is_asked() {
    let server = || {
        let users = users(&["bob:pw"]);
        with_routes(HttpServer::without_files("127.0.0.1:0").users(users, Scope::Everything))
            .own_pages_only()
            .own_hosts_only([""; 0])
    };
    let foreign = "POST /echo HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\nContent-Length: 0\r\n";
    for fields in [String::new(), basic("bob:pw")] {
        assert_eq!(ask(server(), &format!("{foreign}{fields}\r\n")).status, 403);
        assert_eq!(ask(server(), &format!("GET /read HTTP/1.1\r\nHost: evil.example\r\n{fields}\r\n")).status, 421);
    }
}

fn who_has_the_password_of_a_hash_is_let_in_with_all_that_it_sends(strategy: Strategy) {
    let guarded = |server: HttpServer| with_routes(server).users(users(&[ANN, "bob:pw"]), Scope::Everything);
    let running = Running::new(strategy, guarded);
    let body = "x".repeat(200_000);
    let post =
        |fields: &str| format!("POST /echo HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: {}\r\n", body.len());
    let mut client = Client::new(running.address);
    // All at once: what follows waits for what is found out, and is answered in its order.
    let (right, wrong) = (basic("ann:käse:2"), basic("ann:käse:3"));
    client.send(format!("GET /read HTTP/1.1\r\nHost: localhost\r\n{wrong}\r\n"));
    client.send(format!("{}\r\n{body}", post(&wrong)));
    client.send(format!("{}\r\n{body}", post(&right)));
    client.send(format!(
        "{}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: localhost\r\n".to_string() + &right
    ));
    client.send(format!("GET /read HTTP/1.1\r\nHost: localhost\r\n{}\r\n", basic("bob:pw")));
    client.send(format!("GET /file.txt HTTP/1.1\r\nHost: localhost\r\n{right}Connection: close\r\n\r\n"));
    let mut answers = || {
        let answer = client.answer(false);
        (answer.status, answer.body.len())
    };
    let asked = Response::from(Reject::Unauthorized).body().len().unwrap() as usize;
    let want = [(401, asked), (401, asked), (200, body.len()), (200, 0), (200, 4), (200, 6)];
    assert_eq!([answers(), answers(), answers(), answers(), answers(), answers()], want);
    assert_eq!(client.rest(true), b"");

    // Whoever waits for 100 before it sends the body gets no 100 with the wrong password.
    for (fields, want) in [(&wrong, "HTTP/1.1 401 "), (&right, "HTTP/1.1 100 ")] {
        let running = Running::new(strategy, guarded);
        let mut client = Client::new(running.address);
        client.send(format!("{}Expect: 100-continue\r\n\r\n", post(fields)));
        let said = client.rest(want.contains("100"));
        assert!(said.starts_with(want.as_bytes()), "{}", said.escape_ascii());
    }
}

fn twenty_at_once_are_let_in_by_a_hash_that_is_computed_once(strategy: Strategy) {
    let running = Running::new(strategy, |server| with_routes(server).users(users(&[ANN]), Scope::Writing));
    let mut clients: Vec<Client> = (0..20).map(|_| Client::new(running.address)).collect();
    let request =
        format!("POST /echo HTTP/1.1\r\nHost: localhost\r\n{}Content-Length: 2\r\n\r\nhi", basic("ann:käse:2"));
    clients.iter_mut().for_each(|client| client.send(&request));
    clients.iter_mut().for_each(|client| assert_eq!(client.answer(false).body, b"hi"));
}

/// Finds out by a thread whether `/slow` may be asked, and that only once; all else is known.
struct Finding {
    pool: Arc<Pool>,
    released: Arc<Mutex<mpsc::Receiver<()>>>,
    is_known: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Finding {
    fn inquiry(&self, request: &Request<'_>) -> Option<Inquiry> {
        let is_known = self.is_known.clone();
        match request.path() {
            "/slow" if !is_known.load(Ordering::SeqCst) => {
                let released = self.released.clone();
                Some(Inquiry::new(self.pool.clone(), move || {
                    released.lock().unwrap().recv().unwrap();
                    is_known.store(true, Ordering::SeqCst);
                    None
                }))
            }
            "/interim" => Some(Inquiry::new(self.pool.clone(), || Some(Response::new(StatusCode::CONTINUE)))),
            "/panic" => Some(Inquiry::new(self.pool.clone(), || std::panic::resume_unwind(Box::new("as asked")))),
            _ => None,
        }
    }
}

impl Service for Finding {
    fn respond(&self, request: &Request<'_>) -> Answer {
        match self.inquiry(request) {
            Some(inquiry) => Answer::Later(inquiry.into()),
            None => {
                self.asked.fetch_add(1, Ordering::SeqCst);
                Response::bytes("text/plain", request.body()).into()
            }
        }
    }

    fn receive_body(&self, request: &Request<'_>) -> Reception {
        self.inquiry(request).map_or(Reception::Buffer, Reception::Inquire)
    }
}

fn finding(strategy: Strategy, pool: Pool) -> (Serving, mpsc::Sender<()>, Arc<AtomicUsize>) {
    let (release, released) = mpsc::channel();
    let (released, asked) = (Arc::new(Mutex::new(released)), Arc::<AtomicUsize>::default());
    let service = Finding { pool: Arc::new(pool), released, is_known: Arc::default(), asked: asked.clone() };
    (Serving::new(strategy, Arc::new(service), Limits::default()), release, asked)
}

fn while_something_is_found_out_others_are_served(strategy: Strategy) {
    let (serving, release, asked) = finding(strategy, Pool::default());
    let slow = "POST /slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody";
    let mut waiting = Client::new(serving.address);
    waiting.send(slow);
    waiting.send("POST /quick HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nnext");
    for round in 1..=3 {
        let mut other = Client::new(serving.address);
        other.send("POST /quick HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx");
        assert_eq!(other.answer(false).body, b"x");
        assert_eq!(asked.load(Ordering::SeqCst), round, "what waits is not asked yet, nor what is behind it");
    }
    release.send(()).unwrap();
    assert_eq!(waiting.answer(false).body, b"body");
    assert_eq!(waiting.answer(false).body, b"next");
}

fn what_is_not_found_out_is_500_and_what_too_many_ask_is_503(strategy: Strategy) {
    let (serving, release, _) = finding(strategy, Pool::default());
    for head in [
        "GET /panic HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST /panic HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx",
        "GET /interim HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST /interim HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx",
    ] {
        let mut client = Client::new(serving.address);
        for _ in 0..2 {
            client.send(head);
            assert_eq!(client.answer(false).status, 500);
        }
    }
    drop(release);
    let none = tripoll::offload::Limits { threads_max: 0, queue_max: 0 };
    let (serving, _release, _) = finding(strategy, Pool::new(none));
    let mut client = Client::new(serving.address);
    client.send("POST /slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(client.answer(false).status, 503);
    client.send("GET /quick HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.answer(false).status, 200);
}

fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("site")).unwrap();
    std::fs::write(folder.path().join("site/a.txt"), "content").unwrap();
    std::fs::write(folder.path().join("users"), format!("# who may\n\n{ANN}\ncy d:pw3\n")).unwrap();
    folder
}

#[test]
fn users_come_from_flags_the_environment_and_a_file_and_their_names_stand_in_the_log() {
    let folder = folder();
    for (format, names) in [
        ("common", [" - ann [", " - bob [", " - cy\\x20d [", " - - [", " - - ["]),
        ("json", ["\"user\":\"ann\"", "\"user\":\"bob\"", "\"user\":\"cy d\"", "\"user\":null", "\"user\":null"]),
    ] {
        let arguments = ["-p", "0", "--demo", "--auth-all", "--auth-file", "users", "--log", format, "site"];
        let mut command = command(&arguments, folder.path());
        command.env("TRIPOLL_AUTH", "bob:pw2\nfay:pw4");
        let (process, _, address) = Process::serving(command);
        let mut client = Client::new(address);
        for (credentials, want) in [("ann:käse:2", 200), ("bob:pw2", 200), ("cy d:pw3", 200), ("bob:pw3", 401)] {
            client.send(format!(
                "POST /echo HTTP/1.1\r\nHost: localhost\r\n{}Content-Length: 1\r\n\r\nx",
                basic(credentials)
            ));
            assert_eq!(client.answer(false).status, want, "{credentials}");
        }
        client.send("GET /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(client.answer(false).status, 401);
        client.rest(true);
        process.signal("INT");
        let (code, lines, stderr) = process.end();
        assert_eq!((code, stderr), (Some(0), vec![]), "at loopback nothing is to be warned of");
        assert_eq!(lines.len(), names.len());
        for (line, name) in lines.iter().zip(names) {
            assert!(line.contains(name), "{line} has no {name}");
            for secret in ["pw", "käse", "YW5u", "Ym9i"] {
                assert!(!line.contains(secret), "{line}");
            }
        }
    }
}

#[test]
fn who_may_only_read_needs_no_password_and_beyond_loopback_there_is_a_warning() {
    let folder = folder();
    let (process, _, address) =
        Process::serving(command(&["-p", "0", "-b", "0.0.0.0", "--auth", "a:pw", "--demo", "site"], folder.path()));
    let warning = process.stderr.recv_timeout(process::PATIENCE).unwrap();
    assert!(warning.contains("passwords cross the network as they are"), "{warning}");
    let mut client = Client::new(([127, 0, 0, 1], address.port()).into());
    for (request, want) in [("GET /a.txt", 200), ("POST /echo", 401)] {
        client.send(format!("{request} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert_eq!(client.answer(false).status, want);
    }
}

#[test]
fn a_wrong_user_is_called_wrong_without_its_password() {
    let folder = folder();
    std::fs::write(folder.path().join("site/users"), "a:secret").unwrap();
    std::fs::write(folder.path().join("bad"), "a:b\nsecret\n").unwrap();
    std::fs::write(folder.path().join("none"), "# secret\n").unwrap();
    for (arguments, named) in [
        (&["--auth", "secret"][..], "--auth: a user is a name, a colon"),
        (&["--auth", "a:secret", "--auth", "a:secret"], "two passwords of \"a\""),
        (&["--auth", "a:$apr1$secret"], "htpasswd -B"),
        (&["--auth-file", "absent"], "cannot read users from absent"),
        (&["--auth-file", "bad"], "bad, line 2: a user is"),
        (&["--auth-file", "none"], "names no user"),
        (&["--auth-file", "site/users"], "site/users lies in the folder that is served"),
        (&["--auth-all"], "--auth-all without a user"),
    ] {
        let (code, stdout, stderr) =
            Process::new(command(&[&["-p", "0", "site"], arguments].concat(), folder.path())).end();
        let said = stderr.join("\n");
        assert_eq!((code, stdout), (Some(2), vec![]), "{arguments:?}: {said}");
        assert!(said.contains(named) && !said.contains("secret"), "{arguments:?}: {said}");
    }
}
