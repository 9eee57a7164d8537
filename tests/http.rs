//! HTTP/1.1 as RFC 9112 has it: cases are bytes, and what must come of them. Each runs on a Link whole, byte by byte
//! and cut at every offset, with the same bytes in answer, and over a socket on every backend and under every model.

mod backends;
mod client;
mod serving;
mod tricks;
mod wire;

use backends::{on_every_backend, on_every_threaded_model};
use client::{Answer, Client, read_answer};
use proptest::prelude::*;
use proptest::strategy::Strategy as Generator;
use serving::{Serving, Way};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tripoll::http::{
    self, Limits, Listener, Method, Reception, Reject, Request, Response, Service, StatusCode, check_field,
};
use tripoll::protocol::{Chunk, Cue, MinRate};
use tripoll::router::{Endpoint, Router};
use wire::Wire;

/// Sent after each case: whether it is answered tells whether the connection goes on, and that nothing was taken for
/// a request but what is.
const PROBE: &str = "GET /ping HTTP/1.1\r\nHost: h\r\nX-Probe: 1\r\nConnection: close\r\n\r\n";

/// Longer wires are cut at this many offsets, evenly.
const CUTS_MAX: usize = 400;

const LINE_MAX: usize = 200;
const HEAD_MAX: usize = 600;
const BODY_MAX: usize = 300;
const DISCARD_MAX: usize = 400;

/// A time of the wall that is the same in every run.
fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(784_111_777)
}

fn limits() -> Limits {
    Limits {
        request_line_bytes_max: LINE_MAX,
        head_bytes_max: HEAD_MAX,
        body_bytes_max: BODY_MAX as u64,
        discard_bytes_max: DISCARD_MAX as u64,
        body_rate_min: MinRate::NONE,
        ..Limits::default()
    }
}

struct Case {
    name: String,
    wire: Vec<u8>,
    wants: Vec<Want>,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// What follows is answered.
    GoesOn,
    /// The last answer says so, and nothing that follows is answered.
    Closes,
    /// As `Closes`, without awaiting what follows.
    ClosesAtOnce,
    /// The client ends its side here, and the server then its own. Nobody who got a lawful answer is told
    /// `Connection: close`.
    Ends,
    /// The answer was given, as on a connection that goes on; then it closes for what came behind.
    GivesUp,
}
use Fate::*;

#[derive(Clone, Debug)]
struct Want {
    status: u16,
    body: Option<Vec<u8>>,
    /// It answers HEAD where the service could not say so: the last of its connection.
    to_head: bool,
    fields: Vec<(&'static str, Option<String>)>,
}

/// A status, and that is all.
fn status(status: u16) -> Want {
    Want { status, body: None, to_head: false, fields: Vec::new() }
}

/// The refusal of a HEAD, which has no body (RFC 9110 §9.3.2).
fn refused_head(refusal: u16) -> Want {
    Want { body: Some(Vec::new()), to_head: true, ..status(refusal) }
}

/// 200 with that body.
fn ok(body: impl AsRef<[u8]>) -> Want {
    Want { body: Some(body.as_ref().to_vec()), ..status(200) }
}

impl Want {
    /// The same with another status.
    fn but_status(self, status: u16) -> Want {
        Want { status, ..self }
    }

    fn with(mut self, name: &'static str, value: &str) -> Want {
        self.fields.push((name, Some(value.into())));
        self
    }

    fn without(mut self, name: &'static str) -> Want {
        self.fields.push((name, None));
        self
    }

    #[track_caller]
    fn check(&self, answer: &Answer, about: &str) {
        let text = answer.body.escape_ascii();
        assert_eq!(answer.status, self.status, "{about}: {text}");
        if let Some(body) = &self.body {
            assert_eq!(text.to_string(), body.escape_ascii().to_string(), "{about}");
        }
        for (name, value) in &self.fields {
            assert_eq!(answer.field(name), value.as_deref(), "{about}: {name}");
        }
    }
}

fn case(name: impl Into<String>, wire: impl AsRef<[u8]>, wants: impl Into<Vec<Want>>, fate: Fate) -> Case {
    Case { name: name.into(), wire: wire.as_ref().to_vec(), wants: wants.into(), fate }
}

/// A bad request, which closes.
fn bad(wire: impl AsRef<[u8]>) -> Case {
    let wire = wire.as_ref();
    case(wire.escape_ascii().to_string(), wire, [status(400)], Closes)
}

impl Case {
    fn all_bytes(&self) -> Vec<u8> {
        match self.fate {
            GoesOn | Closes | GivesUp => [&self.wire, PROBE.as_bytes()].concat(),
            ClosesAtOnce | Ends => self.wire.clone(),
        }
    }

    #[track_caller]
    fn judge(&self, sent: &[u8], about: &str) {
        let about = &format!("{}, {about}", self.name);
        let to_head = self.wants.last().is_some_and(|want| want.to_head);
        let answers =
            read_stream(sent, to_head).unwrap_or_else(|error| panic!("{about}: {error} in {}", sent.escape_ascii()));
        let probe = (self.fate == GoesOn).then(|| ok("pong").with("X-Probe", "1"));
        let wants: Vec<_> = self.wants.iter().cloned().chain(probe).collect();
        let statuses = |answers: &[Answer]| answers.iter().map(|answer| answer.status).collect::<Vec<_>>();
        let wanted: Vec<_> = wants.iter().map(|want| want.status).collect();
        assert_eq!(statuses(&answers), wanted, "{about}: {}", sent.escape_ascii());
        wants.iter().zip(&answers).for_each(|(want, answer)| want.check(answer, about));
        if let Some((last, before)) = answers.split_last() {
            let closes = |answer: &Answer| answer.field("Connection") == Some("close");
            assert!(!before.iter().any(closes), "{about}: only the last answer closes");
            let is_cut_off = last.status == 400;
            let want_close = match self.fate {
                GoesOn | Closes | ClosesAtOnce => true,
                Ends => is_cut_off,
                GivesUp => false,
            };
            assert_eq!(closes(last), want_close, "{about}: {}", sent.escape_ascii());
        }
    }
}

/// All answers of a stream, to its last byte.
fn read_all(wire: &[u8]) -> Result<Vec<Answer>, String> {
    read_stream(wire, false)
}

/// The same where the last may answer a HEAD that was refused: then nothing follows its head.
fn read_stream(mut wire: &[u8], last_may_be_to_head: bool) -> Result<Vec<Answer>, String> {
    let mut answers = Vec::new();
    while !wire.is_empty() {
        let (answer, length) = match read_answer(wire, false)? {
            Some(read) => read,
            None if last_may_be_to_head => read_answer(wire, true)?.ok_or("cut off")?,
            None => return Err("cut off".into()),
        };
        answers.push(answer);
        wire = &wire[length..];
    }
    Ok(answers)
}

/// Sends `pieces` over a fresh link and returns all that it says, interim answers left out: these depend on when the
/// body comes.
fn answers_to<'a>(listener: &Listener, pieces: impl IntoIterator<Item = &'a [u8]>, ends: bool) -> Vec<u8> {
    let mut wire = Wire::new(listener, noon());
    pieces.into_iter().for_each(|piece| wire.feed(piece));
    if ends {
        wire.end_of_input();
        assert!(!wire.is_open(), "a client that has said all and heard all is let go");
    }
    without_interim(&wire.sent)
}

fn without_interim(sent: &[u8]) -> Vec<u8> {
    let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut rest = sent.to_vec();
    while let Some(at) = rest.windows(interim.len()).position(|window| window == interim) {
        rest.drain(at..at + interim.len());
    }
    rest
}

#[track_caller]
fn on_a_link(cases: &[Case]) {
    let listener = Listener::new(site(), limits());
    for case in cases {
        let (bytes, ends) = (case.all_bytes(), case.fate == Ends);
        let whole = answers_to(&listener, [&bytes[..]], ends);
        case.judge(&whole, "whole");
        let said = |pieces: Vec<&[u8]>, how: &str| {
            let got = answers_to(&listener, pieces, ends);
            assert!(got == whole, "{}, {how}: {} and not {}", case.name, got.escape_ascii(), whole.escape_ascii());
        };
        said(bytes.chunks(1).collect(), "byte by byte");
        for cut in (0..=bytes.len()).step_by(bytes.len().div_ceil(CUTS_MAX).max(1)) {
            said(vec![&bytes[..cut], &bytes[cut..]], &format!("cut at {cut}"));
        }
        let mut wire = Wire::new(&listener, noon());
        wire.feed(&bytes);
        assert!(ends || !wire.is_open(), "{}: it is over", case.name);
    }
}

#[track_caller]
fn over_sockets(way: Way, cases: &[Case]) {
    let serving = Serving::new(way, site(), limits());
    for case in cases {
        let mut client = Client::new(serving.address);
        client.send(case.all_bytes());
        case.judge(&without_interim(&client.rest(case.fate == Ends)), "over a socket");
    }
}

/// Each fact is a function that returns cases: a test on the link, and one on every backend and under every model.
macro_rules! facts {
    ($($fact:ident),+ $(,)?) => {
        mod link {
            $(#[test] fn $fact() { super::on_a_link(&super::cases::$fact()); })+
        }
        $(fn $fact(way: Way) { over_sockets(way, &cases::$fact()); })+
        on_every_backend! { $($fact,)+ a_late_request_is_told_so, answers_larger_than_the_outbox_come_in_order }
        on_every_threaded_model! { $($fact,)+ a_late_request_is_told_so, answers_larger_than_the_outbox_come_in_order }
    };
}

facts! {
    request_lines_are_read_strictly,
    nonsense_is_refused_at_once,
    fields_are_read_strictly,
    a_request_names_one_host,
    versions_are_understood,
    targets_have_three_forms,
    a_target_says_which_host_is_asked,
    empty_lines_before_a_request_are_read_over,
    bodies_reach_their_handler,
    chunks_are_read_strictly,
    chunk_extensions_are_read_over_where_they_are_lawful,
    what_can_be_read_in_two_ways_is_not_read,
    a_trick_has_one_reading_or_none,
    connections_live_as_long_as_both_want,
    pipelined_requests_are_answered_in_order,
    head_is_get_without_the_body,
    expectations_are_met_or_refused,
    every_limit_holds_at_its_number_and_not_past_it,
    a_body_that_nobody_wants_is_never_read_as_a_request,
    a_stream_that_ends_is_answered_as_far_as_it_came,
    a_panic_costs_its_request_a_500,
    methods_are_known_allowed_or_neither,
}

/// What all the cases are about.
fn site() -> Arc<dyn Service> {
    let mut router = Router::new(Nothing);
    let mut add = |method: &str, path: &str, handler: fn(&Request<'_>) -> Response| {
        router.add(method, path, Endpoint::new(handler)).unwrap();
    };
    add("GET", "/ping", |request| match request.fields().get_str("x-probe") {
        Some(value) => Response::text("pong").field("X-Probe", value),
        None => Response::text("pong"),
    });
    add("GET", "/query", |request| Response::text(format!("{} {:?}", request.path(), request.query())));
    add("GET", "/large", |_| Response::bytes("text/plain", vec![b'x'; 100_000]));
    add("GET", "/host", |request| Response::text(request.host()));
    add("GET", "/smuggled", |_| Response::text("smuggled"));
    add("GET", "/none", |_| Response::new(StatusCode::NO_CONTENT));
    add("GET", "/not-modified", |_| Response::new(StatusCode::NOT_MODIFIED));
    add("GET", "/reset", |_| Response::text("x").with_status(StatusCode::RESET_CONTENT));
    add("GET", "/nameless", |_| Response::text("x").with_status(StatusCode::from_u16(299).unwrap()));
    add("GET", "/interim", |_| Response::new(StatusCode::CONTINUE));
    // resume_unwind does not print what the tests want to happen.
    add("GET", "/panic", |_| std::panic::resume_unwind(Box::new("as asked")));
    add("GET", "/wrong-field", |request| {
        let field = request.query().unwrap_or_default();
        std::panic::catch_unwind(|| Response::text("").field(field, "1")).map_or(Reject::HandlerFailed.into(), |ok| ok)
    });
    for method in ["POST", "PUT", "HEAD"] {
        add(method, "/echo", |request| Response::bytes("application/octet-stream", request.body()));
    }
    add("GET", "/reject", |request| reject_named(request.query().unwrap_or_default()).into());
    Arc::new(Marked(router))
}

/// Says of each answer which method it answers, so that the reader knows where HEAD's end.
struct Marked(Router);

impl Service for Marked {
    fn respond(&self, request: &Request<'_>) -> http::Answer {
        let method = request.method().as_str();
        match self.0.respond(request) {
            http::Answer::Now(response) => http::Answer::Now(response.field("X-Method", method)),
            answer => answer,
        }
    }

    fn receive_body(&self, request: &Request<'_>) -> Reception {
        match self.0.receive_body(request) {
            reception @ (Reception::Buffer | Reception::Sink(_) | Reception::Inquire(_)) => reception,
            Reception::Refuse(response) => {
                assert_ne!(request.path(), "/panic-at-body", "as asked");
                let is_interim = request.path() == "/interim-at-body";
                let response = if is_interim { response.with_status(StatusCode::CONTINUE) } else { response };
                Reception::Refuse(response.field("X-Method", request.method().as_str()))
            }
        }
    }
}

struct Nothing;

impl Service for Nothing {
    fn respond(&self, request: &Request<'_>) -> http::Answer {
        assert_ne!(request.path(), "*", "the router answers that");
        Reject::NotFound.into()
    }

    fn receive_body(&self, _: &Request<'_>) -> Reception {
        Reception::Refuse(Reject::NotFound.into())
    }
}

/// The rejects that a handler can give.
fn reject_named(name: &str) -> Reject {
    match name {
        "bad" => Reject::BadRequest("as asked"),
        "forbidden" => Reject::Forbidden("as asked"),
        "form" => Reject::NotAcceptable,
        "condition" => Reject::PreconditionFailed,
        "range" => Reject::RangeNotSatisfiable { size: 7 },
        "read" => Reject::ReadFailed,
        "unavailable" => Reject::Unavailable,
        "conflict" => Reject::Conflict("as asked"),
        "type" => Reject::UnsupportedMediaType("as asked"),
        "coded" => Reject::ContentCoded,
        "required" => Reject::PreconditionRequired("as asked"),
        "write" => Reject::WriteFailed,
        "other" => Reject::OtherServer,
        "room" => Reject::InsufficientStorage,
        _ => unreachable!("the tests ask for these"),
    }
}

/// A GET of `target` with more `fields`.
fn get(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
}

fn post(fields: &str, body: &str) -> String {
    format!("POST /echo HTTP/1.1\r\nHost: h\r\n{fields}\r\n{body}")
}

fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked\r\n", body)
}

mod cases {
    use super::*;

    /// RFC 9112 §3 (single spaces, no white space in the target), §3.1 (the method is a token), §2.2 (bare LF and CR; 400 and close).
    pub fn request_lines_are_read_strictly() -> Vec<Case> {
        let mut cases = vec![case("plain", get("/ping", ""), [ok("pong").without("Connection")], GoesOn)];
        let lines: &[&[u8]] = &[
            b"GET  /ping HTTP/1.1",
            b"GET /ping  HTTP/1.1",
            b"GET /ping HTTP/1.1 ",
            b" GET /ping HTTP/1.1",
            b"GET\t/ping\tHTTP/1.1",
            b"GET /ping x HTTP/1.1",
            b"GET /ping",
            b"GET",
            b"GET ",
            b"GET / ",
            b" / HTTP/1.1",
            b"G(T /ping HTTP/1.1",
            b"G\xc3\xa4T /ping HTTP/1.1",
            b"GET /p\0ing HTTP/1.1",
            b"GET /p\x01ing HTTP/1.1",
            b"GET /p\x7fing HTTP/1.1",
            b"GET /p\ring HTTP/1.1",
            b"GET /p\xc3\xa4 HTTP/1.1",
            b"GET /p\xff HTTP/1.1",
            b"GET /<p> HTTP/1.1",
            b"GET /\"p HTTP/1.1",
            b"GET /p#f HTTP/1.1",
            b"GET /ping HTTP/1.1\r",
        ];
        cases.extend(lines.iter().map(|line| bad([line, &b"\r\nHost: h\r\n\r\n"[..]].concat())));
        cases.push(bad("GET /ping HTTP/1.1\nHost: h\n\n"));
        cases.push(bad("GET /ping HTTP/1.1\nHost: h\r\n\r\n"));
        cases.push(bad("GET /ping HTTP/1.1\r\nHost: h\n\r\n"));
        cases.push(bad("GET /ping HTTP/1.1\r\nHost: h\r\n\n"));
        cases.push(bad("GET /ping HTTP/1.1\r\nHost: h\n\n"));
        cases.push(bad("GET /ping HTTP/1.1\r\r\nHost: h\r\n\r\n"));
        cases.push(bad("GET /ping HTTP/1.1\r\nHost: h\r\n\r\r\n"));
        cases
    }

    /// RFC 9112 §2.2: what is no HTTP message is 400 and closes. No end of a head is in any of these: who waits for it waits for ever.
    pub fn nonsense_is_refused_at_once() -> Vec<Case> {
        let wires: &[&[u8]] = &[
            b"\n",
            b"nonsense\n",
            b"nonsense\r\n",
            b"two words\r\n",
            b"GET /\r\n",
            b"GET / HTTP/1.1\n",
            b"GET / HTTP/one\r\n",
            b"GET / HTTP/1.1\r\nHost: h\n",
            b"GET / HTTP/1.1\r\nHost: h\rX",
            b"GET / HTTP/1.1\r\nHost: \x01",
            b"\0",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"\r\n\r\n\r\nnonsense\r\n",
            b"\rX",
        ];
        let mut cases: Vec<_> =
            wires.iter().map(|wire| case(wire.escape_ascii().to_string(), wire, [status(400)], ClosesAtOnce)).collect();
        cases.push(case("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [status(505)], ClosesAtOnce));
        cases.push(case("HTTP/2 in part", "PRI * HTTP/2.0\r\n", [status(505)], ClosesAtOnce));
        cases.push(case("what comes first", "x\r\nHost: \x01", [status(400)], ClosesAtOnce));
        cases
    }

    /// RFC 9112 §5.1 (white space before the colon), §5.2 (obs-fold), §2.2 (white space before the first field); RFC 9110 §5.1 and §5.5 (names and
    /// values).
    pub fn fields_are_read_strictly() -> Vec<Case> {
        let with = |field: &[u8]| [b"GET /ping HTTP/1.1\r\nHost: h\r\n", field, b"\r\n\r\n"].concat();
        let lines: &[&[u8]] = &[
            b"A: b\r\n folded",
            b"A: b\r\n\tfolded",
            b" A: b",
            b"A : b",
            b"A\t: b",
            b": b",
            b"A",
            b"A b: c",
            b"A\xc3\xa4: b",
            b"A(: b",
            b"A: b\0c",
            b"A: b\x01c",
            b"A: b\x7fc",
            b"A: b\x1b",
            b"A: b\rc",
            b"A: b\nc: d",
        ];
        let mut cases: Vec<_> = lines.iter().map(|line| bad(with(line))).collect();
        cases.push(bad("GET /ping HTTP/1.1\r\n Host: h\r\n\r\n"));
        for line in [&b"A:"[..], b"A:b", b"A:\t b \t", b"A: \xc3\xa4\xff", b"!#$%&'*+-.^_`|~9: b", b"A: b\r\na: c"] {
            cases.push(case(line.escape_ascii().to_string(), with(line), [ok("pong")], GoesOn));
        }
        cases
    }

    /// RFC 9112 §3.2, RFC 9110 §7.2.
    pub fn a_request_names_one_host() -> Vec<Case> {
        let one = |host: &str, target: &str| format!("GET {target} HTTP/1.1\r\n{host}\r\n");
        let mut cases = Vec::new();
        for host in [
            "h",
            "",
            "h:80",
            "h:",
            "127.0.0.1:8000",
            "[::1]",
            "[::1]:80",
            "a-b.c_d~e",
            "%41",
            "ex%C3%A4mple",
            ":80",
            "[v1.x:y]",
        ] {
            cases.push(case(format!("Host: {host}"), one(&format!("Host: {host}\r\n"), "/ping"), [ok("pong")], GoesOn));
        }
        cases.push(case("hOsT", one("hOsT:h\r\n", "/ping"), [ok("pong")], GoesOn));
        for host in
            ["a b", "h/", "h/x", "u@h", "h:x", "h:80:80", "[::1", "[::1]x", "[::g/]", "h?", "h#", "<h>", "a\\b", "h:-1"]
                .into_iter()
                .chain(["%", "%4", "%zz", "h%4", "[]", "[::g]", "[1.2.3.4]", "[h]", "[v.x]", "[vg.x]", "[v1.]", "h, i"])
        {
            cases.push(bad(one(&format!("Host: {host}\r\n"), "/ping")));
        }
        cases.push(bad(one("Host: \u{e4}\r\n", "/ping")));
        cases.push(bad(one("", "/ping")));
        cases.push(bad(one("Host: h\r\nHost: h\r\n", "/ping")));
        cases.push(bad(one("Host: h\r\nX: y\r\nhost: i\r\n", "/ping")));
        cases.push(bad(one("", "http://h/ping")));
        cases.push(bad("GET /ping HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n"));
        cases.push(bad("GET /ping HTTP/1.0\r\nHost: a b\r\n\r\n"));
        cases.push(case("1.0 needs none", "GET /ping HTTP/1.0\r\n\r\n", [ok("pong")], Closes));
        cases
    }

    /// RFC 9112 §2.3, RFC 9110 §2.5 and §15.6.6.
    pub fn versions_are_understood() -> Vec<Case> {
        let of = |version: &str| format!("GET /ping {version}\r\nHost: h\r\n\r\n");
        let mut cases = vec![
            case("1.2", of("HTTP/1.2"), [ok("pong").without("Connection")], GoesOn),
            case("1.9", of("HTTP/1.9"), [ok("pong").without("Connection")], GoesOn),
            case("1.0", of("HTTP/1.0"), [ok("pong").with("Connection", "close")], Closes),
        ];
        for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/3.1", "HTTP/9.9"] {
            let says = ok("505 HTTP Version Not Supported: this server speaks HTTP/1.1\n").but_status(505);
            cases.push(case(version, of(version), [says], Closes));
        }
        for version in [
            "HTTP/1",
            "HTTP/1.",
            "HTTP/1.10",
            "HTTP/01.1",
            "http/1.1",
            "HTTP/1,1",
            "HTTP/ 1.1",
            "HTTPS/1.1",
            "HTTP/x.1",
            "HTTP/2",
            "H",
        ] {
            cases.push(bad(of(version)));
        }
        cases
    }

    /// RFC 9112 §3.2.1 to §3.2.4.
    pub fn targets_have_three_forms() -> Vec<Case> {
        let query = |target: &str, said: &str| case(target, get(target, ""), [ok(said)], GoesOn);
        let options = |target: &str, rest: &str| format!("OPTIONS {target} HTTP/1.1\r\nHost: h\r\n{rest}");
        // §3.2.4 and RFC 9110 §9.3.7: what the server as a whole allows.
        let whole_server = || status(204).with("Allow", "GET, HEAD, OPTIONS, POST, PUT").without("Content-Length");
        let mut cases = vec![
            query("/query", "/query None"),
            query("/query?", "/query Some(\"\")"),
            query("/query?a=b&c?d/../%zz", "/query Some(\"a=b&c?d/../%zz\")"),
            query("/query?[]{}|\\^`'", "/query Some(\"[]{}|\\\\^`'\")"),
            query("http://other:80/query?x", "/query Some(\"x\")"),
            query("HTTP://h/query", "/query None"),
            query("http://[::1]:80/query", "/query None"),
            case("no path", get("http://h", ""), [status(404)], GoesOn),
            case("no path, a query", get("http://h?x", ""), [status(404)], GoesOn),
            case("the whole server", options("*", "\r\n"), [whole_server()], GoesOn),
            case(
                "the whole server, with a body",
                options("*", "Content-Length: 3\r\n\r\nabc"),
                [whole_server()],
                GoesOn,
            ),
            case("the whole server, by a URL", options("http://h", "\r\n"), [whole_server()], GoesOn),
            // RFC 9110 §13.2.1: conditions are not for OPTIONS.
            case("on a condition", options("*", "If-Match: \"x\"\r\n\r\n"), [whole_server()], GoesOn),
            case("its root", options("http://h/", "\r\n"), [status(404)], GoesOn),
            case("its root, with a query", options("http://h?x", "\r\n"), [status(404)], GoesOn),
        ];
        for target in [
            "ping",
            "*",
            "h:80",
            "h/ping",
            "ftp://h/ping",
            "http:/h/ping",
            "http:///ping",
            "http://:80/ping",
            "http://u@h/ping",
            "?x",
            "//h:x y",
        ] {
            cases.push(bad(get(target, "")));
        }
        // RFC 9110 §7.4: an https URL over what is not secured.
        for target in ["https://h/query", "HTTPS://h"] {
            cases.push(case(target, get(target, ""), [status(421)], Closes));
        }
        for target in ["https://u@h/query", "https:///query", "https://:443/query"] {
            cases.push(bad(get(target, "")));
        }
        // RFC 9110 §9.3.6: no tunnel ends here, and what follows is not read as a request.
        let connect = |target: &str| format!("CONNECT {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        for target in ["h:80", "127.0.0.1:65535", "[::1]:443"] {
            cases.push(case(format!("CONNECT {target}"), connect(target), [status(501)], Closes));
        }
        for target in ["h", "h:", "h:0", "h:65536", "h:x", ":80", "u@h:80", "*", "/ping", "http://h", "http://h:80"] {
            cases.push(bad(connect(target)));
        }
        cases
    }

    /// RFC 9112 §3.2.2 and §3.3: what the target says goes before what Host says; Host must be lawful all the same (§3.2).
    pub fn a_target_says_which_host_is_asked() -> Vec<Case> {
        let asks = |target: &str, host: &str| case(target, get(target, ""), [ok(host)], GoesOn);
        let old = |target: &str, fields: &str| format!("GET {target} HTTP/1.0\r\n{fields}\r\n");
        vec![
            asks("/host", "h"),
            asks("http://other/host", "other"),
            asks("http://other:81/host", "other:81"),
            asks("HTTP://[::1]:81/host?x", "[::1]:81"),
            case("1.0", old("/host", ""), [ok("")], Closes),
            case("1.0, Host", old("/host", "Host: i:8\r\n"), [ok("i:8")], Closes),
            case("1.0, a URL", old("http://other/host", ""), [ok("other")], Closes),
            bad(get("http://other/host", "Host: other\r\n")),
            bad("GET http://other/host HTTP/1.1\r\nHost: a b\r\n\r\n"),
            bad("GET http://other/host HTTP/1.1\r\n\r\n"),
        ]
    }

    /// RFC 9112 §2.2.
    pub fn empty_lines_before_a_request_are_read_over() -> Vec<Case> {
        let after = |lines: usize| "\r\n".repeat(lines) + &get("/ping", "");
        let post_then = post("Content-Length: 1\r\n", "a\r\n") + &get("/ping", "");
        vec![
            case("one", after(1), [ok("pong")], GoesOn),
            case("eight", after(8), [ok("pong")], GoesOn),
            case("nine", after(9), [status(400)], Closes),
            case("eight each", after(8) + &after(8), [ok("pong"), ok("pong")], GoesOn),
            case("for ever", "\r\n".repeat(500), [status(400)], ClosesAtOnce),
            case("after a body", post_then, [ok("a"), ok("pong")], GoesOn),
            bad(format!("\r{}", get("/ping", ""))),
            bad(format!("\n{}", get("/ping", ""))),
            bad(format!("\r\n\n{}", get("/ping", ""))),
            bad(format!(" \r\n{}", get("/ping", ""))),
        ]
    }

    /// RFC 9112 §6.2 (by length), §7.1 (in chunks), §7.1.2 (a trailer is not merged).
    pub fn bodies_reach_their_handler() -> Vec<Case> {
        let binary: Vec<u8> = (0..=255).collect();
        let head = post("Content-Length: 256\r\n", "");
        vec![
            case("three bytes", post("Content-Length: 3\r\n", "abc"), [ok("abc")], GoesOn),
            case("none", post("Content-Length: 0\r\n", ""), [ok("")], GoesOn),
            case("no length", post("", ""), [ok("")], GoesOn),
            case("zeros in front", post("Content-Length: 0003\r\n", "abc"), [ok("abc")], GoesOn),
            case("all bytes", [head.as_bytes(), &binary].concat(), [ok(&binary)], GoesOn),
            case(
                "like a request",
                post("Content-Length: 18\r\n", "GET / HTTP/1.1\r\n\r\n"),
                [ok("GET / HTTP/1.1\r\n\r\n")],
                GoesOn,
            ),
            case("PUT", "PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na", [ok("a")], GoesOn),
            case("GET", get("/ping", "Content-Length: 1\r\n") + "a", [ok("pong")], GoesOn),
            case("1.0", "POST /echo HTTP/1.0\r\nContent-Length: 1\r\n\r\na", [ok("a")], Closes),
            case("one chunk", chunked("3\r\nabc\r\n0\r\n\r\n"), [ok("abc")], GoesOn),
            case("chunks", chunked("1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"), [ok("abc")], GoesOn),
            case("no chunk", chunked("0\r\n\r\n"), [ok("")], GoesOn),
            case(
                "upper and lower digits",
                chunked("A\r\n0123456789\r\na\r\n0123456789\r\n000\r\n\r\n"),
                [ok("01234567890123456789")],
                GoesOn,
            ),
            case(
                "extensions and trailers",
                chunked("1;a=b;c=\"d e\"\r\na\r\n0;x\r\nT: v\r\nU:\r\n\r\n"),
                [ok("a")],
                GoesOn,
            ),
            case(
                "a trailer is no field",
                chunked("0\r\nConnection: close\r\nContent-Length: 9\r\n\r\n"),
                [ok("")],
                GoesOn,
            ),
            case("ChUnKeD", post("tRaNsFeR-eNcOdInG:ChUnKeD\r\n", "1\r\na\r\n0\r\n\r\n"), [ok("a")], GoesOn),
        ]
    }

    /// RFC 9112 §7.1.
    pub fn chunks_are_read_strictly() -> Vec<Case> {
        let bodies = [
            "\r\n",
            "x\r\n",
            "0x1\r\na\r\n0\r\n\r\n",
            "+1\r\na\r\n0\r\n\r\n",
            "-1\r\na\r\n0\r\n\r\n",
            " 1\r\na\r\n0\r\n\r\n",
            "1 \r\na\r\n0\r\n\r\n",
            "1\na\r\n0\r\n\r\n",
            "1\r\na\n0\r\n\r\n",
            "1\r\nab\r\n0\r\n\r\n",
            "2\r\na\r\n0\r\n\r\n",
            "1\r\na\r\r\n0\r\n\r\n",
            "1;\0\r\na\r\n0\r\n\r\n",
            "1;a\rb\r\na\r\n0\r\n\r\n",
            "10000000000000000\r\n",
            "00000000000000000\r\n\r\n",
            "0\r\nno colon\r\n\r\n",
            "0\r\n: v\r\n\r\n",
            "0\r\na : v\r\n\r\n",
            "0\r\n a: v\r\n\r\n",
            "0\r\n\n",
            "0\n\r\n",
            "0\r\na: v\n\r\n",
            "0\r\na: \x01\r\n\r\n",
            "1,1\r\na\r\n0\r\n\r\n",
        ];
        let mut cases: Vec<_> = bodies.iter().map(|body| bad(chunked(body))).collect();
        // Refused when it comes, not when its line ends: that may be never.
        for body in ["x", "\r", "\n", ";", "1\rX", "1\x01", "1;\0", "1\r\na\nX", "0\r\na\rX", "0\r\na: \x7f"] {
            let wire = chunked(body);
            cases.push(case(wire.escape_default().to_string(), wire, [status(400)], ClosesAtOnce));
        }
        cases
    }

    /// RFC 9112 §7.1.1: lawful ones are read over, others refused.
    pub fn chunk_extensions_are_read_over_where_they_are_lawful() -> Vec<Case> {
        let one = |extension: &str| chunked(&format!("1{extension}\r\na\r\n0{extension}\r\n\r\n"));
        let lawful = [";a", ";a=b", ";a=\"\"", ";a=\"; \\\" \u{e4}\t\"", ";a;b=c;d", " ; a = b ; c", "\t;\ta\t=\tb"];
        let unlawful = [
            ";",
            ";a;",
            ";;a",
            ";=b",
            ";a=",
            ";a=;b",
            "a",
            " ",
            " a",
            "=b",
            ";a b",
            ";a=b c",
            ";a ",
            ";a=\"b",
            ";a=\"b\"c",
            ";a=\"b\\\"",
            ";a=b\"c\"",
            ";(",
            ";a=(",
            "\x0c;a",
            "\x0b;a",
            "\r;a",
            ";\ra",
        ];
        let read_over = lawful.iter().map(|extension| case(*extension, one(extension), [ok("a")], GoesOn));
        read_over.chain(unlawful.iter().map(|extension| bad(one(extension)))).collect()
    }

    /// RFC 9112 §6.1 and §6.3.
    pub fn what_can_be_read_in_two_ways_is_not_read() -> Vec<Case> {
        let mut cases = Vec::new();
        let chunks = "1\r\na\r\n0\r\n\r\n";
        for fields in [
            "Content-Length: 13\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 13\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
            "Transfer-Encoding: gzip\r\nContent-Length: 13\r\n",
            "Content-Length: 13\r\nContent-Length: 13\r\n",
            "Content-Length: 13\r\nX: y\r\ncontent-length: 14\r\n",
            "Content-Length: 13, 13\r\n",
            "Content-Length: +13\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: 1 3\r\n",
            "Content-Length: 0x0d\r\n",
            "Content-Length: 13a\r\n",
            "Content-Length: 1.3\r\n",
            "Content-Length:\r\n",
            "Content-Length: \"13\"\r\n",
            "Content-Length: 18446744073709551616\r\n",
            "Content-Length: 99999999999999999999999999\r\n",
            "Transfer-Encoding:\r\n",
            "Transfer-Encoding: ,\r\n",
            "Transfer-Encoding: chunked, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: \"chunked\"\r\n",
            "Transfer-Encoding: chunked;q=1\r\n",
            "Transfer-Encoding: \x0bchunked\r\n",
            "Transfer-Encoding : chunked\r\n",
            "Transfer-Encoding\r\n : chunked\r\n",
            "X: y\r\n Transfer-Encoding: chunked\r\n",
            "Content-Length : 13\r\n",
        ] {
            cases.push(bad(post(fields, chunks)));
        }
        let coded = |coding: &str| post(&format!("Transfer-Encoding: {coding}\r\n"), chunks);
        // §6.3: chunked is not the last of them, so there is no end.
        for coding in
            ["gzip", "identity", "chunked, gzip", "chunked, identity", "xchunked", "chunked\r\nTransfer-Encoding: gzip"]
        {
            cases.push(bad(coded(coding)));
        }
        // §7: once only; §7.2: no parameter.
        for coding in ["chunked, gzip, chunked", "gzip;q=1, chunked", "gz ip, chunked"] {
            cases.push(bad(coded(coding)));
        }
        // §6.1: the end is known, the coding is not.
        for coding in ["gzip, chunked", "identity, chunked", "gzip\r\nTransfer-Encoding: chunked", "x, , y,chunked"] {
            cases.push(case(coding, coded(coding), [status(501)], Closes));
        }
        cases.push(bad(format!("POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")));
        cases.push(bad(format!(
            "POST /echo HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
        )));
        cases.push(bad(get("/ping", "Content-Length: x\r\n")));
        let smuggled = "GET /ping HTTP/1.1\r\nHost: h\r\n\r\n";
        let inside = format!("Content-Length: {}\r\n", smuggled.len());
        cases.push(case("a request in a body is a body", post(&inside, smuggled), [ok(smuggled)], GoesOn));
        cases.push(case("and so in a GET's", get("/ping", &inside) + smuggled, [ok("pong")], GoesOn));
        cases
    }

    /// RFC 9112 §11.2: what is hidden in each of them is never answered.
    pub fn a_trick_has_one_reading_or_none() -> Vec<Case> {
        let read = |trick: tricks::Trick| match trick.reading {
            tricks::Reading::One { status, body } => {
                case(trick.name, trick.wire, [ok(body).but_status(status)], GoesOn)
            }
            tricks::Reading::Refused(refusal) => case(trick.name, trick.wire, [status(refusal)], Closes),
        };
        tricks::all().into_iter().map(read).collect()
    }

    /// RFC 9112 §9.3 and §9.6.
    pub fn connections_live_as_long_as_both_want() -> Vec<Case> {
        let old = |fields: &str| format!("GET /ping HTTP/1.0\r\n{fields}\r\n");
        let mut cases = vec![
            case("1.1", get("/ping", ""), [ok("pong").without("Connection")], GoesOn),
            case(
                "1.1, keep-alive",
                get("/ping", "Connection: keep-alive\r\n"),
                [ok("pong").without("Connection")],
                GoesOn,
            ),
            case("1.1, another option", get("/ping", "Connection: upgrade, closed\r\n"), [ok("pong")], GoesOn),
            // RFC 9110 §7.8: nobody has to follow.
            case(
                "an upgrade",
                get("/ping", "Connection: upgrade\r\nUpgrade: h2c\r\n"),
                [ok("pong").without("Upgrade")],
                GoesOn,
            ),
            case(
                "an upgrade of 1.0",
                old("Connection: upgrade, keep-alive\r\nUpgrade: websocket\r\n"),
                [ok("pong").without("Upgrade")],
                GoesOn,
            ),
            case("1.0", old(""), [ok("pong").with("Connection", "close")], Closes),
            case("1.0, another option", old("Connection: x\r\n"), [ok("pong").with("Connection", "close")], Closes),
            case("1.0 and close", old("Connection: keep-alive, close\r\n"), [ok("pong")], Closes),
        ];
        for value in
            ["close", "Close", "CLOSE", "x, close", "close,x", ",close,", "keep-alive, close", "x\r\nConnection: close"]
        {
            let wire = get("/ping", &format!("Connection: {value}\r\n"));
            cases.push(case(value, wire, [ok("pong").with("Connection", "close")], Closes));
        }
        for value in ["keep-alive", "Keep-Alive", "x, keep-alive"] {
            let wire = old(&format!("Connection: {value}\r\n"));
            cases.push(case(format!("1.0, {value}"), wire, [ok("pong").with("Connection", "keep-alive")], GoesOn));
        }
        cases.push(case(
            "close with a body",
            post("Connection: close\r\nContent-Length: 1\r\n", "a"),
            [ok("a")],
            Closes,
        ));
        cases.push(case("close of 404", get("/", "Connection: close\r\n"), [status(404)], Closes));
        cases.push(case("404", get("/", ""), [status(404).without("Connection")], GoesOn));
        cases
    }

    /// RFC 9112 §9.3.2.
    pub fn pipelined_requests_are_answered_in_order() -> Vec<Case> {
        let tagged = |tag: usize| get(&format!("/query?{tag}"), "");
        let said = |tag: usize| ok(format!("/query Some(\"{tag}\")"));
        let (first, second) = (post("Content-Length: 1\r\n", "a"), chunked("1\r\nb\r\n0\r\n\r\n"));
        vec![
            case("three", tagged(1) + &tagged(2) + &tagged(3), [said(1), said(2), said(3)], GoesOn),
            case("many", (0..40).map(tagged).collect::<String>(), (0..40).map(said).collect::<Vec<_>>(), GoesOn),
            case("bodies", first.clone() + &second + &tagged(3) + &first, [ok("a"), ok("b"), said(3), ok("a")], GoesOn),
            case(
                "lawful errors between",
                tagged(1) + &get("/", "") + &tagged(2),
                [said(1), status(404), said(2)],
                GoesOn,
            ),
            case("an error ends it", tagged(1) + "GET\r\n\r\n" + &tagged(2), [said(1), status(400)], Closes),
            case("a bad body ends it", tagged(1) + &chunked("x\r\n") + &tagged(2), [said(1), status(400)], Closes),
            case(
                "close ends it",
                tagged(1) + &get("/ping", "Connection: close\r\n") + &tagged(2),
                [said(1), ok("pong")],
                Closes,
            ),
            case(
                "1.0 between",
                tagged(1) + "GET /ping HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + &tagged(2),
                [said(1), ok("pong"), said(2)],
                GoesOn,
            ),
        ]
    }

    /// RFC 9110 §9.3.2; what no status of its kind may carry.
    pub fn head_is_get_without_the_body() -> Vec<Case> {
        let head = |target: &str| format!("HEAD {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        vec![
            case("a text", head("/ping"), [ok("").with("Content-Length", "4")], GoesOn),
            case("a large one", head("/large"), [ok("").with("Content-Length", "100000")], GoesOn),
            case(
                "none",
                head("/none"),
                [Want { body: Some(Vec::new()), ..status(204) }.without("Content-Length")],
                GoesOn,
            ),
            case("404", head("/"), [status(404).with("Content-Length", "14")], GoesOn),
            // RFC 9110 §9.3.2 where the head is refused too: the method is known by then.
            case("no Host", "HEAD /ping HTTP/1.1\r\n\r\n", [refused_head(400)], Closes),
            case("2.0", "HEAD /ping HTTP/2.0\r\nHost: h\r\n\r\n", [refused_head(505)], Closes),
            case("a bare LF", "HEAD /ping HTTP/1.1\n", [refused_head(400)], ClosesAtOnce),
            case("two spaces", "HEAD  /ping HTTP/1.1\r\n", [refused_head(400)], ClosesAtOnce),
            case("a control byte", "HEAD /p\x01", [refused_head(400)], ClosesAtOnce),
            case("an expectation", "HEAD /ping HTTP/1.1\r\nHost: h\r\nExpect: x\r\n\r\n", [refused_head(417)], Closes),
            case("a long target", format!("HEAD /{}", "x".repeat(LINE_MAX)), [refused_head(414)], ClosesAtOnce),
            case(
                "many fields",
                head("/ping").replace("\r\n\r\n", &"\r\na:".repeat(300)),
                [refused_head(431)],
                ClosesAtOnce,
            ),
            case("cut off", "HEAD /ping", [refused_head(400)], Ends),
            case("cut off, after another", get("/ping", "") + "HEAD ", [ok("pong"), refused_head(400)], Ends),
            case("another after it", head("/ping") + "GET /ping HTTP/1.1\r\n\r\n", [ok(""), status(400)], Closes),
            case(
                "not HEAD",
                "HEADER /ping HTTP/1.1\r\n\r\n",
                [ok("400 Bad Request: no Host\n").but_status(400)],
                Closes,
            ),
            case("several", head("/ping") + &get("/ping", "") + &head("/ping"), [ok(""), ok("pong"), ok("")], GoesOn),
            case("204 has no body either", get("/none", ""), [status(204).without("Content-Length")], GoesOn),
            // RFC 9110 §15.4.5, §15.3.6, §15.2: nor has 304, nor 205, and 1xx is no answer.
            case("304", get("/not-modified", ""), [status(304).without("Content-Length")], GoesOn),
            case("205", get("/reset", ""), [ok("").but_status(205).with("Content-Length", "0")], GoesOn),
            case("205 to HEAD", head("/reset"), [ok("").but_status(205).with("Content-Length", "0")], GoesOn),
            case("1xx", get("/interim", ""), [status(500)], GoesOn),
            // RFC 9112 §4: a space before the reason that is not there.
            case("a status without a name", get("/nameless", ""), [ok("x").but_status(299)], GoesOn),
        ]
    }

    /// RFC 9110 §10.1.1.
    pub fn expectations_are_met_or_refused() -> Vec<Case> {
        let expect = |value: &str| post(&format!("Expect: {value}\r\nContent-Length: 3\r\n"), "abc");
        let (old, fields) =
            ("POST /echo HTTP/1.0\r\nExpect: wonders\r\nContent-Length: 3\r\n\r\nabc", "Expect: 100-continue\r\n");
        vec![
            case("100-continue", expect("100-continue"), [ok("abc")], GoesOn),
            case("100-Continue", expect("100-Continue"), [ok("abc")], GoesOn),
            case("without a body", get("/ping", fields), [ok("pong")], GoesOn),
            case("wonders", expect("wonders"), [status(417)], Closes),
            // RFC 9110 §10.1.1 and §5.6.1.2: it is a list, in one field or in several, and may have empty elements.
            case("nothing", expect(""), [ok("abc")], GoesOn),
            case("next to nothing", expect(", 100-continue ,"), [ok("abc")], GoesOn),
            case("twice", expect("100-continue, 100-continue"), [ok("abc")], GoesOn),
            case("two fields", expect("100-continue\r\nExpect: 100-continue"), [ok("abc")], GoesOn),
            case("wonders too", expect("100-continue, wonders"), [status(417)], Closes),
            case("wonders first", expect("wonders\r\nExpect: 100-continue"), [status(417)], Closes),
            case("wonders last", expect("100-continue\r\nExpect: wonders"), [status(417)], Closes),
            case("with a parameter", expect("100-continue;now"), [status(417)], Closes),
            case("wonders without a body", get("/ping", "Expect: wonders\r\n"), [status(417)], Closes),
            case("1.0", old, [ok("abc")], Closes),
            case(
                "a body that is refused",
                get("/", &format!("{fields}Content-Length: 3\r\n")) + "abc",
                [status(404)],
                Closes,
            ),
            case(
                "a body that is too large",
                post(&format!("{fields}Content-Length: 301\r\n"), ""),
                [status(413)],
                Closes,
            ),
            case(
                "chunked",
                post(&format!("{fields}Transfer-Encoding: chunked\r\n"), "1\r\na\r\n0\r\n\r\n"),
                [ok("a")],
                GoesOn,
            ),
        ]
    }

    /// RFC 9112 §3 (414, 501), RFC 9110 §5.4 (431), §15.5.14 (413).
    pub fn every_limit_holds_at_its_number_and_not_past_it() -> Vec<Case> {
        let line =
            |length: usize| get(&format!("/query?{}", "x".repeat(length - "GET /query? HTTP/1.1\r\n".len())), "");
        let head = |length: usize| {
            let short = get("/ping", "X: \r\n").len();
            get("/ping", &format!("X: {}\r\n", "x".repeat(length - short)))
        };
        let fields = |count: usize| get("/ping", &"a:\r\n".repeat(count - 1));
        let body = |length: usize| post(&format!("Content-Length: {length}\r\n"), &"x".repeat(length));
        let chunk = |length: usize| format!("{length:x}\r\n{}\r\n", "x".repeat(length));
        let split = |left: usize, right: usize| chunked(&(chunk(left) + &chunk(right) + "0\r\n\r\n"));
        vec![
            case("request line, n", line(LINE_MAX), [status(200)], GoesOn),
            case("request line, n + 1", line(LINE_MAX + 1), [status(414)], Closes),
            case("a method without end", "X".repeat(LINE_MAX), [status(501)], ClosesAtOnce),
            case("no method, without end", "(".repeat(LINE_MAX), [status(400)], ClosesAtOnce),
            case("request line without end", format!("GET /{}", "x".repeat(LINE_MAX - 5)), [status(414)], ClosesAtOnce),
            case("head, n", head(HEAD_MAX), [ok("pong")], GoesOn),
            case("head, n + 1", head(HEAD_MAX + 1), [status(431)], Closes),
            case("head without end", &get("/ping", &"a: b\r\n".repeat(100))[..HEAD_MAX], [status(431)], ClosesAtOnce),
            case("fields, n", fields(100), [ok("pong")], GoesOn),
            case("fields, n + 1", fields(101), [status(431)], Closes),
            case("body, n", body(BODY_MAX), [ok("x".repeat(BODY_MAX))], GoesOn),
            case("body, n + 1", body(BODY_MAX + 1), [status(413)], Closes),
            case("body, far more", post("Content-Length: 18446744073709551615\r\n", ""), [status(413)], ClosesAtOnce),
            case("chunks, n", split(BODY_MAX - 1, 1), [ok("x".repeat(BODY_MAX))], GoesOn),
            case("chunks, n + 1", split(BODY_MAX, 1), [status(413)], Closes),
            case("one chunk, n + 1", chunked(&(chunk(BODY_MAX + 1) + "0\r\n\r\n")), [status(413)], Closes),
        ]
    }

    /// RFC 9112 §9.3: a body is read to its end, or the connection closes.
    pub fn a_body_that_nobody_wants_is_never_read_as_a_request() -> Vec<Case> {
        let request = get("/ping", "");
        let to =
            |target: &str, fields: &str, body: &str| format!("POST {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n{body}");
        let length = |length: usize| format!("Content-Length: {length}\r\n");
        let wire = to("/", &length(request.len()), &request);
        let chunks = format!("{:x}\r\n{request}\r\n0\r\n\r\n", request.len());
        let filler =
            |count: usize| to("/", &length(count), &"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(20)[..count]);
        let many = |count: usize| format!("{:x}\r\n{}\r\n0\r\n\r\n", count, "x".repeat(count));
        let te = "Transfer-Encoding: chunked\r\n";
        vec![
            case("404", wire.clone(), [status(404)], GoesOn),
            case("404, then a request", wire + &request, [status(404), ok("pong")], GoesOn),
            case("404, chunked", to("/", te, &chunks), [status(404)], GoesOn),
            case("405", to("/ping", &length(3), "abc"), [status(405).with("Allow", "GET, HEAD, OPTIONS")], GoesOn),
            case(
                "501",
                format!("BREW / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{request}", request.len()),
                [status(501)],
                GoesOn,
            ),
            case("as much as is read, n", filler(DISCARD_MAX), [status(404)], GoesOn),
            case("as much as is read, n + 1", filler(DISCARD_MAX + 1), [status(404)], Closes),
            case("chunks, n", to("/", te, &many(DISCARD_MAX)), [status(404)], GoesOn),
            case("chunks, n + 1", to("/", te, &many(DISCARD_MAX + 1)), [status(404)], GivesUp),
            case("bad chunks", to("/", te, "x\r\n"), [status(404)], GivesUp),
            case("1.0", "POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", [status(404)], Closes),
            case("a panic", to("/panic-at-body", &length(3), "abc"), [status(500)], GoesOn),
            case("1xx in place of an answer", to("/interim-at-body", &length(3), "abc"), [status(500)], GoesOn),
        ]
    }

    /// RFC 9112 §8 and §9.6.
    pub fn a_stream_that_ends_is_answered_as_far_as_it_came() -> Vec<Case> {
        let request = get("/ping", "");
        let mut cases = vec![
            case("nothing", "", [], Ends),
            case("between requests", request.clone(), [ok("pong")], Ends),
            case("after two", request.repeat(2), [ok("pong"), ok("pong")], Ends),
            case("after an empty line", "\r\n", [], Ends),
            case("after a request and an empty line", request.clone() + "\r\n", [ok("pong")], Ends),
            case("in a body", post("Content-Length: 3\r\n", "ab"), [status(400)], Ends),
            case("in a chunk", chunked("3\r\nab"), [status(400)], Ends),
            case("in a size", chunked("3"), [status(400)], Ends),
            case("before the trailer ends", chunked("0\r\n"), [status(400)], Ends),
            case("in a body that nobody wants", get("/", "Content-Length: 3\r\n") + "ab", [status(404)], Ends),
        ];
        for length in [1, 3, 5, 20, request.len() - 1] {
            cases.push(case(format!("in a head, {length}"), &request[..length], [status(400)], Ends));
            let wire = request.clone() + &request[..length];
            cases.push(case(format!("in the second head, {length}"), wire, [ok("pong"), status(400)], Ends));
        }
        cases
    }

    /// RFC 9110 §15.6.1; the fields that frame a message are not the handler's (RFC 9112 §6).
    pub fn a_panic_costs_its_request_a_500() -> Vec<Case> {
        let wrong = |name: &str| case(name, get(&format!("/wrong-field?{name}"), ""), [status(500)], GoesOn);
        vec![
            case("a panic", get("/panic", ""), [status(500)], GoesOn),
            case(
                "between others",
                get("/ping", "") + &get("/panic", "") + &get("/ping", ""),
                [ok("pong"), status(500), ok("pong")],
                GoesOn,
            ),
            wrong("Content-Length"),
            wrong("transfer-encoding"),
            wrong("Connection"),
            wrong("Date"),
            wrong("a:b"),
            wrong(""),
        ]
    }

    /// RFC 9110 §9.1 (case, 501), §15.5.6 and §10.2.1 (405 with Allow).
    pub fn methods_are_known_allowed_or_neither() -> Vec<Case> {
        let of = |method: &str, target: &str| format!("{method} {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        let mut cases = vec![
            case("404", of("GET", "/nothing"), [status(404)], GoesOn),
            case("405", of("POST", "/ping"), [status(405).with("Allow", "GET, HEAD, OPTIONS")], GoesOn),
            case(
                "405 of several",
                of("DELETE", "/echo"),
                [status(405).with("Allow", "HEAD, OPTIONS, POST, PUT")],
                GoesOn,
            ),
        ];
        for method in ["POST", "PUT", "PATCH", "DELETE", "TRACE", "MKCOL", "MOVE"] {
            cases.push(case(method, of(method, "/ping"), [status(405)], GoesOn));
        }
        // RFC 9110 §9.3.7
        cases.push(case(
            "OPTIONS",
            of("OPTIONS", "/ping"),
            [status(204).with("Allow", "GET, HEAD, OPTIONS").without("Content-Length")],
            GoesOn,
        ));
        for method in ["BREW", "get", "Get", "GETS", "head", "connect", "!"] {
            cases.push(case(method, of(method, "/ping"), [status(501)], GoesOn));
        }
        cases
    }
}

/// RFC 9110 §10.1.1.
#[test]
fn a_body_is_asked_for_only_while_it_has_not_begun() {
    let listener = Listener::new(site(), limits());
    let interim = "HTTP/1.1 100 Continue\r\n\r\n";
    let body = |fields: &str| post(&format!("{fields}Content-Length: 3\r\n"), "");
    let cases = [
        ("asked", body("Expect: 100-continue\r\n"), interim),
        ("not asked", body(""), ""),
        ("begun", body("Expect: 100-continue\r\n") + "a", ""),
        ("1.0", "POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n".into(), ""),
    ];
    for (name, wire, want) in cases {
        let mut link = Wire::new(&listener, noon());
        link.feed(wire.as_bytes());
        assert_eq!(link.sent, want.as_bytes(), "{name}");
    }
    for (name, fields, target, want) in [
        ("too large", "Content-Length: 301\r\n", "/echo", 413),
        ("refused", "Content-Length: 3\r\n", "/", 404),
        ("no body", "Content-Length: 0\r\n", "/echo", 200),
    ] {
        let mut link = Wire::new(&listener, noon());
        link.feed(format!("POST {target} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n{fields}\r\n").as_bytes());
        assert!(link.sent.starts_with(format!("HTTP/1.1 {want} ").as_bytes()), "{name}: {}", link.sent.escape_ascii());
    }
}

/// RFC 9110 §9.3.2 and §8.6.
#[test]
fn head_has_the_fields_of_get_one_by_one() {
    let listener = Listener::new(unmarked_site(), limits());
    for target in ["/ping", "/large", "/none", "/nothing", "/query?x"] {
        let [head, get] = ["HEAD", "GET"].map(|method| {
            let wire = format!("{method} {target} HTTP/1.1\r\nHost: h\r\n\r\n");
            answers_to(&listener, [wire.as_bytes()], false)
        });
        let head_end = get.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        assert_eq!(head.escape_ascii().to_string(), get[..head_end].escape_ascii().to_string(), "{target}");
    }
}

/// Without the field that tells HEAD from GET.
fn unmarked_site() -> Arc<dyn Service> {
    let mut router = Router::new(Nothing);
    router.add("GET", "/ping", Endpoint::new(|_| Response::text("pong"))).unwrap();
    router
        .add(
            "GET",
            "/large",
            Endpoint::new(|_| Response::new(StatusCode::OK).with_body(Chunk::Shared([7; 100_000].into()))),
        )
        .unwrap();
    router.add("GET", "/none", Endpoint::new(|_| Response::new(StatusCode::NO_CONTENT))).unwrap();
    router
        .add("POST", "/echo", Endpoint::new(|request| Response::text(String::from_utf8_lossy(request.body()))))
        .unwrap();
    Arc::new(router)
}

/// RFC 9110 §9.3.2.
#[test]
fn head_has_no_body_when_its_own_is_too_large_or_late() {
    let listener = Listener::new(site(), limits());
    let ends_with_its_head = |sent: &[u8], status: u16| {
        let text = String::from_utf8_lossy(sent);
        text.starts_with(&format!("HTTP/1.1 {status} ")) && text.ends_with("\r\n\r\n")
    };
    let head = |fields: &str| format!("HEAD /echo HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
    let mut link = Wire::new(&listener, noon());
    link.feed(head("Content-Length: 301\r\n").as_bytes());
    assert!(ends_with_its_head(&link.sent, 413), "{}", link.sent.escape_ascii());
    let mut link = Wire::new(&listener, noon());
    link.feed((head("Transfer-Encoding: chunked\r\n") + "200\r\n" + &"x".repeat(0x200)).as_bytes());
    assert!(ends_with_its_head(&link.sent, 413), "{}", link.sent.escape_ascii());
    let mut link = Wire::new(&listener, noon());
    link.feed((head("Transfer-Encoding: chunked\r\n") + "x\r\n").as_bytes());
    assert!(ends_with_its_head(&link.sent, 400), "{}", link.sent.escape_ascii());
    let mut link = Wire::new(&listener, noon());
    link.feed(head("Content-Length: 3\r\n").as_bytes());
    link.wait(limits().body_timeout);
    assert!(ends_with_its_head(&link.sent, 408), "{}", link.sent.escape_ascii());
    let mut link = Wire::new(&listener, noon());
    link.feed(b"HEAD /ech");
    link.wait(limits().head_timeout);
    assert!(ends_with_its_head(&link.sent, 408), "{}", link.sent.escape_ascii());
    let mut link = Wire::new(&listener, noon());
    link.feed(b"GET /ech");
    link.wait(limits().head_timeout);
    assert!(!ends_with_its_head(&link.sent, 408), "{}", link.sent.escape_ascii());
}

/// RFC 9110 §5.3: a later field may change what an earlier one asks for, so nothing is done before all of them are there.
#[test]
fn nothing_is_done_before_a_head_is_whole() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let mut router = Router::new(Nothing);
    let handler = move |_: &Request<'_>| {
        count.fetch_add(1, Ordering::SeqCst);
        Response::text("")
    };
    router.add("POST", "/", Endpoint::new(handler)).unwrap();
    let listener = Listener::new(Arc::new(router), limits());
    let head = b"POST / HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\n";
    for cut in 0..head.len() {
        let mut link = Wire::new(&listener, noon());
        link.feed(&head[..cut]);
        assert_eq!((asked.swap(0, Ordering::SeqCst), link.sent.len()), (0, 0), "cut at {cut}");
        link.feed(&head[cut..]);
        assert_eq!(asked.swap(0, Ordering::SeqCst), 1, "cut at {cut}");
    }
}

/// RFC 9112 §3 and RFC 9110 §4.1: request lines and URIs of 8,000 bytes are read by everyone.
#[test]
fn a_request_line_of_eight_thousand_bytes_is_read() {
    let listener = Listener::new(site(), Limits::default());
    let target = format!("/query?{}", "x".repeat(8_000 - "/query?".len()));
    for target in [target.clone(), format!("http://h{target}")] {
        let sent = answers_to(&listener, [get(&target, "").as_bytes()], false);
        assert_eq!(read_all(&sent).unwrap()[0].status, 200);
    }
}

/// RFC 9110 §2.2, §5.1, §5.5; RFC 9112 §2.2, §5.2: what is sent is lawful, whatever a handler asks for.
#[test]
fn a_field_of_an_answer_is_lawful() {
    for (name, value) in [("X", ""), ("x-y.z_1", "a b\tc"), ("Vary", "Accept"), ("X", "\u{e4}")] {
        assert_eq!(check_field(name, value), Ok(()), "{name}: {value}");
    }
    let bad_values = ["a\r\nb", "a\rb", "a\nb", "a\0b", "\x7f", "\x01", "a\r\n b"].map(|value| ("X", value));
    let bad_names = ["", "a b", "a:", "a\r\n", "\u{e4}", "(", "a\0"].map(|name| (name, ""));
    let owned =
        ["Date", "date", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive"].map(|name| (name, "1"));
    for (name, value) in bad_values.into_iter().chain(bad_names).chain(owned) {
        assert!(check_field(name, value).is_err(), "{name:?}: {value:?}");
    }
}

/// RFC 9110 §12.4.2, §12.5.1 and §12.5.5: an error is a page only to who takes HTML, and says that this depends on Accept.
#[test]
fn html_is_sent_to_who_takes_it() {
    let listener = Listener::new(site(), limits());
    let takes =
        ["text/html", "TEXT/HTML;level=1", "image/*, text/html;q=0.1", "a/b\r\nAccept: text/html", "text/html;q=0.001"];
    let takes_not = [
        "",
        "*/*",
        "text/*",
        "text/htmlx",
        "xtext/html",
        "a/b;x=text/html",
        "text/html;q=0",
        "text/html; x=y ; Q=0.000",
    ];
    for (accept, is_page) in
        takes.iter().map(|accept| (accept, true)).chain(takes_not.iter().map(|accept| (accept, false)))
    {
        let sent = answers_to(&listener, [get("/nothing", &format!("Accept: {accept}\r\n")).as_bytes()], false);
        let answer = read_all(&sent).unwrap().remove(0);
        let says_html = answer.field("Content-Type") == Some("text/html; charset=utf-8");
        assert_eq!((says_html, answer.body.starts_with(b"<")), (is_page, is_page), "Accept: {accept}");
        assert_eq!(answer.field("Vary"), Some("Accept"), "Accept: {accept}");
    }
}

/// RFC 9110 §6.6.1 and §5.6.7.
#[test]
fn every_answer_tells_the_time() {
    let wires = [
        get("/ping", ""),
        get("/nothing", ""),
        get("/none", ""),
        get("/panic", ""),
        "BREW / HTTP/1.1\r\nHost: h\r\n\r\n".into(),
        "x\r\n\r\n".into(),
        "HEAD /ping HTTP/1.1\r\nHost: h\r\n\r\n".into(),
    ];
    let listener = Listener::new(site(), limits());
    for wire in &wires {
        for (second, want) in [(0, "Sun, 06 Nov 1994 08:49:37 GMT"), (1, "Sun, 06 Nov 1994 08:49:38 GMT")] {
            let mut link = Wire::new(&listener, noon() + Duration::from_secs(second));
            link.feed(wire.as_bytes());
            let (answer, _) = read_answer(&link.sent, false).unwrap().unwrap();
            assert_eq!(answer.field("Date"), Some(want), "{wire:?}");
        }
    }
    let mut link = Wire::new(&listener, UNIX_EPOCH);
    link.feed(wires[0].as_bytes());
    link.wait(Duration::from_secs(1));
    link.feed(wires[0].as_bytes());
    let dates: Vec<_> =
        read_all(&link.sent).unwrap().iter().map(|one| one.field("Date").unwrap().to_string()).collect();
    assert_eq!(dates, ["Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:01 GMT"]);
}

/// Feeds, waits, and says what was answered and whether the connection is open.
#[track_caller]
fn after(steps: &[(&str, Duration)], want: &[u16], is_open: bool) {
    let mut link = Wire::new(&Listener::new(site(), limits()), noon());
    for (bytes, time) in steps {
        link.feed(bytes.as_bytes());
        link.wait(*time);
    }
    let statuses: Vec<_> = read_all(&link.sent).unwrap().iter().map(|answer| answer.status).collect();
    assert_eq!((&statuses[..], link.is_open()), (want, is_open), "{steps:?}");
}

/// RFC 9112 §9.5, RFC 9110 §15.5.9.
#[test]
fn a_request_has_its_time_and_no_more() {
    let (head, idle, body) = (limits().head_timeout, limits().idle_timeout, limits().body_timeout);
    let tick = Duration::from_millis(1);
    let request = get("/ping", "");
    let awaited = post("Content-Length: 3\r\n", "");
    // Nobody who has not asked is answered.
    after(&[("", head - tick)], &[], true);
    after(&[("", head)], &[], false);
    after(&[("\r\n", head)], &[], false);
    // From the first byte, and not from the last: who drips is not waited for.
    after(&[("G", head - tick)], &[], true);
    after(&[("G", head)], &[408], false);
    after(&[("G", head / 2), ("E", head / 2)], &[408], false);
    after(&[("", head / 2), ("G", head / 2)], &[408], false);
    after(&[("\r", head)], &[408], false);
    // Between requests.
    after(&[(&request, idle - tick)], &[200], true);
    after(&[(&request, idle)], &[200], false);
    after(&[(&request, idle - tick), ("G", head - tick)], &[200], true);
    after(&[(&request, idle - tick), ("G", head)], &[200, 408], false);
    after(&[(&request, idle - tick), (&request, idle - tick)], &[200, 200], true);
    after(&[(&request, idle - tick), ("\r\nG", head / 2), ("E", head / 2)], &[200, 408], false);
    // A body has time from byte to byte.
    after(&[(&awaited, body - tick)], &[], true);
    after(&[(&awaited, body)], &[408], false);
    after(&[(&awaited, body - tick), ("a", body - tick), ("b", body - tick), ("c", tick)], &[200], true);
    after(&[(&awaited, body - tick), ("a", body)], &[408], false);
    // It is answered already.
    after(&[(&get("/", "Content-Length: 3\r\n"), body - tick)], &[404], true);
    after(&[(&get("/", "Content-Length: 3\r\n"), body)], &[404], false);
    after(&[(&get("/", "Content-Length: 3\r\n"), body / 2), ("ab", body / 2)], &[404], false);
    after(&[(&get("/", "Content-Length: 3\r\n"), body / 2), ("abc", idle - tick)], &[404], true);
}

/// What a peer sends of a body in so many seconds each, and after how many more the server has had enough.
#[track_caller]
fn enough(begin: &str, pieces: &[(&str, u64)], then_ms: u64, want: &[u16]) {
    let body_rate_min = MinRate { bytes_per_second: 5, after: Duration::from_secs(20) };
    let limits = Limits { body_rate_min, body_timeout: Duration::from_secs(30), body_bytes_max: 1_000, ..limits() };
    let mut link = Wire::new(&Listener::new(site(), limits), noon());
    link.feed(begin.as_bytes());
    for (bytes, seconds) in pieces {
        for _ in 0..*seconds {
            link.feed(bytes.as_bytes());
            link.wait(Duration::from_secs(1));
        }
    }
    link.wait(Duration::from_millis(then_ms - 1));
    assert!(link.is_open(), "{begin:?}: too early, {}", link.sent.escape_ascii());
    link.wait(Duration::from_millis(1));
    assert!(!link.is_open(), "{begin:?}: too late");
    let statuses: Vec<_> = read_all(&link.sent).unwrap().iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, want, "{begin:?}");
}

/// Slower than the rate on average since its beginning, once the first seconds are over; nothing but content counts.
#[test]
fn a_body_that_drips_is_cut_off() {
    let sized = post("Content-Length: 900\r\n", "");
    enough(&sized, &[], 20_000, &[408]);
    enough(&sized, &[("x", 19)], 1_000, &[408]);
    // A hundred bytes in twenty seconds are too few by one.
    enough(&sized, &[("xxxxx", 19)], 1_000, &[408]);
    enough(&sized, &[("xxxxx", 18), ("xxxxxxxxxx", 1)], 1_000, &[408]);
    enough(&sized, &[("xxxxx", 18), ("xxxxxxxxxxx", 1)], 1_200, &[408]);
    // Who was fast may be slow for as long, but not silent for longer than its time.
    enough(&sized, &[(&"x".repeat(200), 1), ("x", 39)], 7_800, &[408]);
    enough(&sized, &[(&"x".repeat(300), 1)], 29_000, &[408]);
    // A chunk's size, its extensions, trailers.
    let chunks = chunked("");
    enough(&chunks, &[("1;e=0123456789\r\nx\r\n", 19)], 1_000, &[408]);
    enough(&chunked("9;"), &[("extension", 19)], 1_000, &[408]);
    enough(&chunked("0\r\n"), &[("Trailer: 0123456789\r\n", 19)], 1_000, &[408]);
    enough(&chunks, &[("6\r\nxxxxxx\r\n", 60)], 12_000, &[408]);
    // It has its answer.
    enough(&get("/", "Content-Length: 300\r\n"), &[("x", 19)], 1_000, &[404]);
}

/// Until there is room it could not be taken.
#[test]
fn a_body_that_waited_for_room_has_its_time_from_then_on() {
    let limits = Limits { body_rate_min: MinRate::default(), ..limits() };
    let mut link = Wire::new(&Listener::new(site(), limits), noon());
    link.feed(post("Content-Length: 3\r\n", "a").as_bytes());
    link.wait(Duration::from_secs(19));
    link.cue(Cue::Room);
    link.wait(Duration::from_millis(19_999));
    assert!(link.is_open());
    link.wait(Duration::from_millis(1));
    assert!(!link.is_open());
}

#[test]
fn a_deadline_that_did_not_pass_is_harmless_between_requests() {
    let mut link = Wire::new(&Listener::new(site(), limits()), noon());
    link.feed(get("/ping", "").as_bytes());
    link.feed(get("/ping", "Connection: close\r\n").as_bytes());
    link.cue(Cue::DeadlinePassed);
    link.cue(Cue::Woken);
    link.cue(Cue::ShuttingDown);
    link.cue(Cue::Closed);
    assert_eq!(read_all(&link.sent).unwrap().len(), 2);
}

/// RFC 9112 §9.6.
#[test]
fn a_server_that_goes_down_finishes_what_was_begun() {
    let request = get("/ping", "");
    let awaited = post("Content-Length: 3\r\n", "");
    let refused = get("/", "Content-Length: 3\r\n");
    // What came before, what comes after, the answers, and whether the last of these says that it is the last.
    let cases: &[(&str, &str, &[u16], bool)] = &[
        ("", "", &[], false),
        (&request, &request, &[200], false),
        (&request[..1], &(request[1..].to_string() + &request), &[200], true),
        (&request[..30], &(request[30..].to_string() + &request), &[200], true),
        (&awaited, &("abc".to_string() + &request), &[200], true),
        (&refused, &("abc".to_string() + &request), &[404], false),
        (&chunked("1\r\n"), &("a\r\n0\r\n\r\n".to_string() + &request), &[200], true),
    ];
    let listener = Listener::new(site(), limits());
    for (before, behind, want, closes) in cases {
        let mut link = Wire::new(&listener, noon());
        link.feed(before.as_bytes());
        link.cue(Cue::ShuttingDown);
        link.cue(Cue::ShuttingDown);
        link.feed(behind.as_bytes());
        let answers = read_all(&link.sent).unwrap();
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, *want, "{before:?} and {behind:?}");
        let last_closes = answers.last().is_some_and(|answer| answer.field("Connection") == Some("close"));
        assert_eq!((last_closes, link.is_open()), (*closes, false), "{before:?} and {behind:?}");
    }
}

/// A client can't know that the server goes down, so one request may be on its way: told once, the server still awaits it.
#[test]
fn a_server_that_is_about_to_go_down_answers_one_request_more() {
    let listener = Listener::new(site(), limits());
    for before in ["", &get("/ping", "")] {
        let mut link = Wire::new(&listener, noon());
        link.feed(before.as_bytes());
        link.cue(Cue::ShuttingDown);
        assert!(link.is_open(), "{before:?}");
        link.feed(get("/ping", "").repeat(2).as_bytes());
        let answers = read_all(&link.sent).unwrap();
        assert_eq!(answers.len(), 1 + usize::from(!before.is_empty()), "{before:?}");
        assert_eq!(answers.last().unwrap().field("Connection"), Some("close"));
        assert!(!link.is_open());
    }
}

/// RFC 9110 §15.5 and §15.6; RFC 9112 §9.6: who closes says so.
#[test]
fn a_reject_knows_whether_its_connection_lives() {
    let late = Duration::from_secs(3600);
    let reject_of = |name: &str| get(&format!("/reject?{name}"), "");
    let cases = [
        (Reject::BadRequest(""), "x\r\n\r\n".to_string()),
        (Reject::BadRequest(""), reject_of("bad")),
        (Reject::NotFound, get("/", "")),
        (Reject::Forbidden(""), reject_of("forbidden")),
        (
            Reject::MethodNotAllowed { allow: "GET, HEAD, OPTIONS".into() },
            "PUT /ping HTTP/1.1\r\nHost: h\r\n\r\n".into(),
        ),
        (Reject::NotAcceptable, reject_of("form")),
        (Reject::PreconditionFailed, reject_of("condition")),
        (Reject::RequestTimeout, "G".into()),
        (Reject::RequestTimeout, post("Content-Length: 1\r\n", "")),
        (Reject::ContentTooLarge, post("Content-Length: 1000\r\n", "")),
        (Reject::UriTooLong, get(&format!("/{}", "x".repeat(LINE_MAX)), "")),
        (Reject::RangeNotSatisfiable { size: 7 }, reject_of("range")),
        (Reject::ExpectationFailed, get("/ping", "Expect: x\r\n")),
        (Reject::FieldsTooLarge, get("/ping", &"a:\r\n".repeat(100))),
        (Reject::HandlerFailed, get("/panic", "")),
        (Reject::ReadFailed, reject_of("read")),
        (Reject::MethodUnknown, "BREW / HTTP/1.1\r\nHost: h\r\n\r\n".into()),
        (Reject::CodingUnknown, post("Transfer-Encoding: gzip, chunked\r\n", "")),
        (Reject::Misdirected, get("https://h/", "")),
        (Reject::MethodTooLong, "X".repeat(LINE_MAX)),
        (Reject::NoTunnel, "CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n".into()),
        (Reject::Unavailable, reject_of("unavailable")),
        (Reject::Conflict(""), reject_of("conflict")),
        (Reject::UnsupportedMediaType(""), reject_of("type")),
        (Reject::ContentCoded, reject_of("coded")),
        (Reject::PreconditionRequired(""), reject_of("required")),
        (Reject::WriteFailed, reject_of("write")),
        (Reject::OtherServer, reject_of("other")),
        (Reject::InsufficientStorage, reject_of("room")),
        (Reject::VersionNotSupported, "GET / HTTP/2.0\r\n\r\n".into()),
    ];
    for (reject, wire) in cases {
        let mut link = Wire::new(&Listener::new(site(), limits()), noon());
        link.feed(wire.as_bytes());
        if reject == Reject::RequestTimeout {
            link.wait(late);
        }
        let (answer, length) = read_answer(&link.sent, false).unwrap().expect("an answer");
        let says_close = answer.field("Connection") == Some("close");
        assert_eq!(answer.status, reject.status().as_u16(), "{reject:?}");
        assert_eq!((link.is_open(), says_close), (reject.connection_lives(), !reject.connection_lives()), "{reject:?}");
        assert_eq!(length, link.sent.len(), "{reject:?}: one answer");
        let want = match &reject {
            Reject::MethodNotAllowed { allow } => Some(("Allow", allow.as_str())),
            Reject::RangeNotSatisfiable { .. } => Some(("Content-Range", "bytes */7")),
            Reject::ContentCoded => Some(("Accept-Encoding", "identity")),
            _ => None,
        };
        want.inspect(|(name, value)| assert_eq!(answer.field(name), Some(*value)));
    }
}

#[test]
fn a_listener_refuses_in_one_answer() {
    use tripoll::protocol::{Accept, Now};
    let mut listener = Listener::new(site(), limits());
    let refusal = listener.refusal(Now { monotonic: std::time::Instant::now(), wall: noon() });
    let (answer, length) = read_answer(&refusal, false).unwrap().unwrap();
    assert_eq!((answer.status, answer.field("Connection"), length), (503, Some("close"), refusal.len()));
    assert_eq!(answer.field("Date"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
}

/// Pipelined requests whose answers fill the outbox again and again: none is lost, and none comes before its turn.
fn answers_larger_than_the_outbox_come_in_order(way: Way) {
    let serving = Serving::new(way, site(), limits());
    let mut client = Client::new(serving.address);
    let pair = |tag: usize| get("/large", "") + &get(&format!("/query?{tag}"), "");
    client.send((0..20).map(pair).collect::<String>());
    for tag in 0..20 {
        assert_eq!(client.answer(false).body.len(), 100_000);
        assert_eq!(client.answer(false).body, format!("/query Some(\"{tag}\")").as_bytes());
    }
    assert_eq!(client.rest(true), b"");
}

#[test]
fn answers_larger_than_the_outbox_wait_for_room_on_a_link_too() {
    let wire = (get("/large", "") + &get("/query?x", "")).repeat(5);
    let sent = answers_to(&Listener::new(site(), limits()), [wire.as_bytes()], true);
    let lengths: Vec<_> = read_all(&sent).unwrap().iter().map(|answer| answer.body.len()).collect();
    assert_eq!(lengths, [100_000, 16].repeat(5));
}

/// No clock is asked here but the server's: it answers when the time is over, however long that takes.
fn a_late_request_is_told_so(way: Way) {
    let short = Duration::from_millis(30);
    let limits = Limits { head_timeout: short, body_timeout: short, idle_timeout: short, ..limits() };
    let serving = Serving::new(way, site(), limits);
    for (wire, want) in
        [("", &[][..]), ("GET", &[408]), (&post("Content-Length: 3\r\n", "a"), &[408]), (&get("/ping", ""), &[200])]
    {
        let mut client = Client::new(serving.address);
        client.send(wire);
        let statuses: Vec<_> = read_all(&client.rest(false)).unwrap().iter().map(|answer| answer.status).collect();
        // A slow machine may take so long to send that the time is over before.
        assert!(statuses == want || statuses.is_empty(), "{wire:?}: {statuses:?}");
    }
}

/// Valid requests, to be strung together and spoiled.
fn valid_request() -> impl Generator<Value = Vec<u8>> {
    prop_oneof![
        Just(get("/ping", "")),
        Just(get("/query?a=b", "X: y\r\nConnection: keep-alive\r\n")),
        Just(get("/nothing", "")),
        Just(get("/none", "")),
        Just(get("/panic", "")),
        Just("HEAD /ping HTTP/1.1\r\nHost: h\r\n\r\n".to_string()),
        Just("GET /ping HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_string()),
        Just(post("Content-Length: 5\r\n", "12345")),
        Just(post("Expect: 100-continue\r\nContent-Length: 5\r\n", "12345")),
        Just(chunked("3\r\nabc\r\n1;x=y\r\nd\r\n0\r\nT: v\r\n\r\n")),
        Just(get("/", "Content-Length: 5\r\n") + "12345"),
        Just("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n".to_string()),
        Just("\r\n".to_string()),
        Just(PROBE.to_string()),
    ]
    .prop_map(String::into_bytes)
}

/// One spoiling of a wire: at a place, one way or another.
fn spoil(wire: &mut Vec<u8>, (place, way, byte): (prop::sample::Index, u8, u8)) {
    if wire.is_empty() {
        return;
    }
    let at = place.index(wire.len());
    match way {
        0 => wire[at] = byte,
        1 => wire.insert(at, byte),
        2 => drop(wire.remove(at)),
        3 => wire.truncate(at),
        4 => wire.insert(at, b'\n'),
        5 => wire.insert(at, b'\r'),
        6 => wire.insert(at, b' '),
        _ => {
            let piece = wire[at..(at + usize::from(byte)).min(wire.len())].to_vec();
            wire.splice(at..at, piece);
        }
    }
}

fn spoiled_stream() -> impl Generator<Value = Vec<u8>> {
    let spoilings = prop::collection::vec((any::<prop::sample::Index>(), 0u8..8, any::<u8>()), 0..4);
    let requests = prop::collection::vec(valid_request(), 1..5);
    let spoiled = (requests, spoilings).prop_map(|(requests, spoilings)| {
        let mut wire = requests.concat();
        spoilings.into_iter().for_each(|spoiling| spoil(&mut wire, spoiling));
        wire
    });
    prop_oneof![9 => spoiled, 1 => prop::collection::vec(any::<u8>(), 0..200)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes, and wherever the network cuts it: no panic, lawful answers, the same bytes.
    #[test]
    fn any_bytes_give_lawful_answers_that_do_not_depend_on_cuts(
        wire in spoiled_stream(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ends in any::<bool>(),
    ) {
        let listener = Listener::new(site(), limits());
        let whole = answers_to(&listener, [&wire[..]], ends);
        let unlawful = |error| TestCaseError::fail(format!("{error}: {}", whole.escape_ascii()));
        let asks_for_head = wire.windows(5).any(|five| five == b"HEAD ");
        let answers = read_stream(&whole, asks_for_head).map_err(unlawful)?;
        let closing = answers.iter().filter(|answer| answer.field("Connection") == Some("close"));
        prop_assert!(closing.count() <= 1);
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).chain([0, wire.len()]).collect();
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|pair| &wire[pair[0]..pair[1]]);
        let (got, bytewise) = (answers_to(&listener, pieces, ends), answers_to(&listener, wire.chunks(1), ends));
        prop_assert_eq!(got.escape_ascii().to_string(), whole.escape_ascii().to_string());
        prop_assert_eq!(bytewise.escape_ascii().to_string(), whole.escape_ascii().to_string());
    }
}

/// RFC 9110 §5.5: white space around a value is no part of it.
#[test]
fn a_request_tells_its_handler_all_about_it() {
    let mut router = Router::new(Nothing);
    let handler = |request: &Request<'_>| {
        let fields: Vec<_> =
            request.fields().iter().map(|(name, value)| format!("{name}={}", value.escape_ascii())).collect();
        let all = request.fields().all("a").count();
        let (known, peer) = (request.method() == Method::GET, request.peer());
        Response::text(format!("{fields:?} {all} {known} {peer} {:?} {:?}", request.version(), request.now()))
    };
    router.add("GET", "/", Endpoint::new(handler)).unwrap();
    let wire = "GET / HTTP/1.1\r\nHost: h\r\nA: \t b c \r\na:d\r\n\r\n";
    let sent = answers_to(&Listener::new(Arc::new(router), limits()), [wire.as_bytes()], false);
    let (answer, _) = read_answer(&sent, false).unwrap().unwrap();
    let want = format!("[\"Host=h\", \"A=b c\", \"a=d\"] 2 true 127.0.0.1:9 Http11 {:?}", noon());
    assert_eq!(String::from_utf8_lossy(&answer.body), want);
}
