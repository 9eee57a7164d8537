//! Whole connections: wherever the network cuts, the same answers and the same end; each answer well-formed; each to the request that an
//! independent reader sees in its place; none more, and none after `Connection: close`.
//!
//! Input: two bytes that say where to cut; all that a client sends.

use super::cut::however_cut;
use super::reader::{self, Message, Reading, Strictness, read_answers, read_message};
use super::wire::Wire;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tripoll::http::{Answer, Limits, Listener, Reception, Reject, Request, Response, Service};

/// A time of the wall that is the same in every run.
fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(784_111_777)
}

/// Small, so that a few bytes reach each of them.
fn limits() -> Limits {
    Limits {
        request_line_bytes_max: 200,
        head_bytes_max: 600,
        body_bytes_max: 300,
        discard_bytes_max: 400,
        ..Limits::default()
    }
}

pub fn judge(data: &[u8]) {
    let Some((wire, whole)) = however_cut(data, |pieces| run(pieces)) else { return };
    let about = wire[..wire.len().min(600)].escape_ascii();

    let answers = read_answers(&whole.sent);
    assert_eq!(answers.len(), whole.seen.len(), "what the server counts is what it sends: {about}");
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, whole.seen.iter().map(|seen| seen.status).collect::<Vec<_>>(), "{about}");
    if let Some((last, before)) = answers.split_last() {
        assert!(!before.iter().any(reader::Answer::closes), "only the last answer closes: {about}");
        let is_of_the_end = whole.seen.len() > whole.seen_before_end;
        assert!(!last.closes() || !whole.is_open || is_of_the_end, "it says that it closes, and does not: {about}");
    }
    if let Some((_, before)) = whole.seen.split_last() {
        assert!(before.iter().all(|seen| seen.request.is_some()), "after what is no request nothing is read: {about}");
    }
    check_requests(wire, &whole, &about.to_string());
}

/// Each answer is to the request that stands in its place.
fn check_requests(wire: &[u8], whole: &Run, about: &str) {
    let mut rest = wire;
    for seen in &whole.seen {
        let reading = read_message(rest, Strictness::Sloppy);
        let Some(request) = &seen.request else {
            // A fault of the first message or of a bound. What is lawful and far from every bound must not come here.
            assert!((400..600).contains(&seen.status), "{about}");
            if let Reading::Whole(message, taken) = read_message(rest, Strictness::Strict) {
                let is_bounded = message.head.target.len() < 150 && taken < 300 && !has_odd_target(&message);
                assert!(!is_bounded, "lawful, but {}: {about}", seen.status);
            }
            return;
        };
        let (message, taken) = match reading {
            Reading::Whole(message, taken) => (message, taken),
            // Its head is there and its body is not: it may be refused, or cut off, but that is the last.
            Reading::Cut | Reading::Bad => {
                assert!(std::ptr::eq(seen, whole.seen.last().expect("it is one of them")), "{about}");
                assert_ne!(seen.status, 200, "answered as if it were whole: {about}");
                return;
            }
        };
        let (path, query) = message.head.path_and_query();
        let is_whole_server = request.path == "*" && request.method == "OPTIONS" && path == "/";
        assert_eq!(request.method, message.head.method, "{about}");
        assert!(request.path == path || is_whole_server, "{} is no {path}: {about}", request.path);
        assert_eq!(request.query, query, "{about}");
        if seen.status == 200 {
            assert_eq!(request.body, message.body, "{about}");
        }
        if !message.head.keep_alive {
            // RFC 9112 §9.3, §9.6: it is the last, whatever comes of it.
            assert!(std::ptr::eq(seen, whole.seen.last().expect("it is one of them")), "read past the last: {about}");
            assert!(!whole.is_open, "it goes on: {about}");
        }
        rest = &rest[taken..];
    }
    // RFC 9112 §9.3.2: nor is one left out, while the connection goes on.
    if whole.is_open && whole.seen.iter().all(|seen| seen.request.is_some()) {
        let is_whole = matches!(read_message(rest, Strictness::Strict), Reading::Whole(..));
        assert!(!is_whole, "a request is not answered: {about}");
    }
}

fn has_odd_target(message: &Message) -> bool {
    !message.head.target.starts_with('/')
}

/// All that came of a connection.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    /// Without interim answers: these depend on when the body comes.
    sent: Vec<u8>,
    seen: Vec<Seen>,
    /// Before the client ended it; so many of them came until then.
    is_open: bool,
    seen_before_end: usize,
}

/// What the server says that it answered.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    status: u16,
    request: Option<Asked>,
}

#[derive(Debug, PartialEq, Eq)]
struct Asked {
    method: String,
    path: String,
    query: Option<String>,
    body: Vec<u8>,
}

fn run<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Run {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let note = seen.clone();
    let listener = Listener::new(Arc::new(Echo), limits()).on_answer(move |answered| {
        let request = answered.request.map(|request| Asked {
            method: request.method().to_string(),
            path: request.path().into(),
            query: request.query().map(Into::into),
            body: if answered.status == 200 { request.body().into() } else { Vec::new() },
        });
        note.borrow_mut().push(Seen { status: answered.status.as_u16(), request });
    });
    let mut wire = Wire::new(&listener, noon());
    pieces.into_iter().for_each(|piece| wire.feed(piece));
    let (is_open, seen_before_end) = (wire.is_open(), seen.borrow().len());
    wire.end_of_input();
    assert!(!wire.is_open(), "a client that has said all and heard all is let go");
    Run { sent: without_interim(wire.sent), seen: seen.take(), is_open, seen_before_end }
}

fn without_interim(mut sent: Vec<u8>) -> Vec<u8> {
    let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
    // What a client sends comes back as hexadecimal digits, so no answer has this within.
    while let Some(at) = sent.windows(interim.len()).position(|window| window == interim) {
        sent.drain(at..at + interim.len());
    }
    sent
}

/// Takes every body but those of DELETE.
struct Echo;

impl Service for Echo {
    fn respond(&self, request: &Request<'_>) -> Answer {
        let body: String = request.body().iter().map(|byte| format!("{byte:02x}")).collect();
        Response::text(body).field("X-Method", request.method().as_str()).into()
    }

    fn receive_body(&self, request: &Request<'_>) -> Reception {
        match request.method().as_str() {
            "DELETE" => Reception::Refuse(Response::from(Reject::NotFound)),
            _ => Reception::Buffer,
        }
    }
}
