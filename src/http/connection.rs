//! A connection that speaks HTTP/1.1: requests in, answers out, one after another (RFC 9112 §9).
//!
//! Invariant: one request is answered once, before the next is looked at; after an answer that says `Connection: close` nothing is read.
//!
//! ```text
//!            ┌────────────────────── answered, keep-alive ──────────────────────┐
//!            ▼                                                                   │
//!   Opened ▶ Head ──▶ no body: respond ──────────────────────────────────────▶ answer ──▶ Over: close
//!            │  └───▶ a body that is wanted: Body, collecting ──▶ respond ──────┤
//!            │  └───▶ a body that is not: answer, then Body, discarding ▶ Head  │
//!            └── bad head, too long, too late: reject ─────────────────────────▶┘
//! ```

use super::date::DateText;
use super::framing::{BodyReader, ChunkedReader, Step};
use super::head::{self, Head, Storage};
use super::response::Exchange;
use super::{
    Framing, Limits, METHODS_KNOWN, Method, Reception, Reject, Request, Response, Service, StatusCode, Version,
};
use crate::protocol::{Accept, Context, Cue, Deadline, Now, Outbox, Protocol};
use std::cell::RefCell;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// Empty lines before a request that are read over (RFC 9112 §2.2 asks for at least one): some clients end a body with one too many.
const EMPTY_LINES_MAX: u8 = 8;

/// Makes the connections of one loop.
pub struct Listener(Rc<Shared>);

/// What the connections of one loop have in common.
struct Shared {
    service: Arc<dyn Service>,
    limits: Limits,
    /// Rendered fields of every answer.
    fields: Vec<u8>,
    date: RefCell<DateText>,
    on_answer: Box<dyn Fn(&Answered<'_>)>,
}

/// An answer that was given: for who counts, or keeps a log.
#[derive(Debug)]
pub struct Answered<'a> {
    /// What was asked; `None` where what came could not be read as a request.
    pub request: Option<&'a Request<'a>>,
    /// Who asked.
    pub peer: SocketAddr,
    /// When it was answered: the time of the loop's turn.
    pub now: SystemTime,
    /// What was answered.
    pub status: StatusCode,
    /// Bytes of the body that goes with it.
    pub body_bytes: u64,
}

impl Listener {
    /// Connections that ask `service`.
    pub fn new(service: Arc<dyn Service>, limits: Limits) -> Listener {
        Listener::with_fields(service, limits, &[])
    }

    /// The same, with fields that every answer has.
    ///
    /// # Panics
    /// Where [`check_field`](super::check_field) says no.
    pub fn with_fields(service: Arc<dyn Service>, limits: Limits, fields: &[(String, String)]) -> Listener {
        let carrier = Response::new(super::StatusCode::OK);
        let carrier = fields.iter().fold(carrier, |carrier, (name, value)| carrier.field(name, value));
        let (fields, date) = (carrier.into_lines(), RefCell::default());
        Listener(Rc::new(Shared { service, limits, fields, date, on_answer: Box::new(|_| ()) }))
    }

    /// The same, with somebody who is told of each answer as it is queued. Called on the loop's thread: it must not block.
    pub fn on_answer(self, tell: impl Fn(&Answered<'_>) + 'static) -> Listener {
        let shared = Rc::into_inner(self.0).expect("a listener has no connections before it listens");
        Listener(Rc::new(Shared { on_answer: Box::new(tell), ..shared }))
    }

    /// A connection with `peer`.
    pub fn connection(&self, peer: SocketAddr) -> Connection {
        Connection { shared: self.0.clone(), peer: peer.into(), phase: Phase::HEAD }
    }
}

impl Accept for Listener {
    fn protocol(&mut self, peer: SocketAddr) -> Box<dyn Protocol> {
        Box::new(self.connection(peer))
    }

    fn refusal(&mut self, now: Now) -> Vec<u8> {
        let mut out = Outbox::default();
        let mut date = self.0.date.borrow_mut();
        let (date, fields) = (date.at(now.wall), self.0.fields.as_slice());
        let exchange = Exchange { is_head: false, version: Version::Http11, closes: true, date, fields };
        Response::from(Reject::Unavailable).render(&exchange, &mut out);
        match out.front() {
            Some(crate::protocol::Piece::Bytes(bytes)) => bytes.to_vec(),
            _ => unreachable!("a reject is one piece of bytes"),
        }
    }
}

/// One connection. Small, since thousands of them are idle.
pub struct Connection {
    shared: Rc<Shared>,
    peer: Peer,
    phase: Phase,
}

/// An address in 16 bytes: most are IPv4, and the others can afford a box.
enum Peer {
    V4(SocketAddrV4),
    V6(Box<SocketAddrV6>),
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Peer {
        match address {
            SocketAddr::V4(v4) => Peer::V4(v4),
            SocketAddr::V6(v6) => Peer::V6(Box::new(v6)),
        }
    }
}

impl Peer {
    fn address(&self) -> SocketAddr {
        match self {
            Peer::V4(v4) => (*v4).into(),
            Peer::V6(v6) => (**v6).into(),
        }
    }
}

enum Phase {
    /// Awaiting a head, or the rest of one.
    Head {
        /// Bytes of it in which its end is known not to be.
        searched: u32,
        /// Empty lines before it.
        empty_lines: u8,
        /// Its deadline runs.
        is_timed: bool,
        /// It is one of HEAD: an answer has no body, whatever else is wrong.
        is_head: bool,
        /// The server is going down: the next answer is the last.
        is_last: bool,
    },
    /// Awaiting the rest of a body.
    Body(Box<Incoming>),
    /// The last answer is given.
    Over,
}

impl Phase {
    const HEAD: Phase = Phase::Head { searched: 0, empty_lines: 0, is_timed: false, is_head: false, is_last: false };

    /// Whether the answer to the head that is there is the last.
    fn answers_last(&self) -> bool {
        matches!(self, Phase::Head { is_last: true, .. })
    }
}

/// A request whose body is on its way.
struct Incoming {
    reader: BodyReader,
    content_bytes: u64,
    /// When it was awaited first; and what of it had come by then, which is nothing unless we could not take it.
    since: Instant,
    counted_from: u64,
    /// When content came last, or since when it is awaited.
    received: Instant,
    fate: Content,
    /// The server is going down: no request follows.
    is_last: bool,
}

impl Incoming {
    /// When it is too late, or too slow, unless more comes.
    fn ends_at(&self, limits: &Limits) -> Option<Instant> {
        let stalls_at = self.received.checked_add(limits.body_timeout);
        limits.body_rate_min.ends_at(stalls_at, self.since, self.content_bytes - self.counted_from)
    }

    fn is_late(&self, now: Now, limits: &Limits) -> bool {
        self.ends_at(limits).is_some_and(|at| at <= now.monotonic)
    }

    fn deadline(&self, limits: &Limits) -> Deadline {
        self.ends_at(limits).map_or(Deadline::Never, Deadline::At)
    }
}

enum Content {
    /// It is for the handler. The head is kept as it came, to be read again when the body is whole.
    Collect { head: Vec<u8>, body: Vec<u8> },
    /// The request is answered already.
    Discard,
}

impl Protocol for Connection {
    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        match &mut self.phase {
            // The CR alone may have been searched before.
            Phase::Head { searched: searched @ 0..=1, empty_lines, .. } if input.starts_with(b"\r\n") => {
                *searched = 0;
                *empty_lines += 1;
                if *empty_lines > EMPTY_LINES_MAX {
                    self.reject(Reject::BadRequest("there are empty lines in place of a request"), cx);
                }
                2
            }
            Phase::Head { .. } => self.receive_head(input, cx),
            Phase::Body(_) => self.receive_body(input, cx),
            Phase::Over => input.len(),
        }
    }

    fn cue(&mut self, cue: Cue, cx: &mut Context<'_>) {
        match (cue, &mut self.phase) {
            (Cue::Opened, Phase::Head { is_timed, .. }) => {
                *is_timed = true;
                cx.deadline(Deadline::After(self.shared.limits.head_timeout));
            }
            (Cue::DeadlinePassed, Phase::Head { searched: 1.., .. }) => self.reject(Reject::RequestTimeout, cx),
            (Cue::EndOfInput, Phase::Head { searched: 1.., .. }) => {
                self.reject(Reject::BadRequest("the request is cut off"), cx);
            }
            // Nobody is owed an answer.
            (Cue::DeadlinePassed | Cue::EndOfInput, Phase::Head { searched: 0, .. }) => self.end(cx),
            (Cue::ShuttingDown, Phase::Head { searched: 0, is_last: true, .. }) => self.end(cx),
            // Content came meanwhile, or it was the time of the body before.
            (Cue::DeadlinePassed, Phase::Body(incoming)) if !incoming.is_late(cx.now, &self.shared.limits) => {
                cx.deadline(incoming.deadline(&self.shared.limits));
            }
            // Until there was room it could not be taken, however fast it came.
            (Cue::Room, Phase::Body(incoming)) => {
                incoming.since = cx.now.monotonic;
                incoming.received = cx.now.monotonic;
                incoming.counted_from = incoming.content_bytes;
            }
            (Cue::DeadlinePassed | Cue::EndOfInput, Phase::Body(incoming)) => match (&incoming.fate, cue) {
                (Content::Discard, _) => self.end(cx),
                (Content::Collect { .. }, Cue::DeadlinePassed) => {
                    self.respond_to_collected(Err(Reject::RequestTimeout), cx)
                }
                (Content::Collect { .. }, _) => {
                    self.respond_to_collected(Err(Reject::BadRequest("the body is cut off")), cx);
                }
            },
            (Cue::ShuttingDown, Phase::Head { is_last, .. }) => *is_last = true,
            (Cue::ShuttingDown, Phase::Body(incoming)) => incoming.is_last = true,
            (Cue::Opened, Phase::Body(_) | Phase::Over)
            | (Cue::DeadlinePassed | Cue::EndOfInput | Cue::ShuttingDown, Phase::Over)
            | (Cue::Room, Phase::Head { .. } | Phase::Over)
            | (Cue::Woken | Cue::Closed, _) => {}
        }
    }

    fn input_max(&self) -> usize {
        match self.phase {
            Phase::Head { .. } => self.shared.limits.head_bytes_max,
            Phase::Body(_) => ChunkedReader::INPUT_MAX,
            Phase::Over => usize::MAX,
        }
    }
}

impl Connection {
    fn receive_head(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        let Phase::Head { searched, is_timed, is_head, .. } = &mut self.phase else {
            unreachable!("the caller matched it")
        };
        *is_head = head::asks_for_head(input);
        let mut at = *searched as usize;
        let found = head::find_end(input, &mut at, &self.shared.limits);
        *searched = u32::try_from(at).unwrap_or(u32::MAX);
        match found {
            Ok(Some(end)) => {
                self.receive_request(&input[..end], input.len() > end, cx);
                end
            }
            Ok(None) => {
                if !std::mem::replace(is_timed, true) {
                    cx.deadline(Deadline::After(self.shared.limits.head_timeout));
                }
                0
            }
            Err(reject) => {
                self.reject(reject, cx);
                input.len()
            }
        }
    }

    /// A head is whole: answers the request, or begins with its body. `body_begun`: more input follows the head.
    fn receive_request(&mut self, bytes: &[u8], body_begun: bool, cx: &mut Context<'_>) {
        let mut storage = Storage::new();
        let head = match head::parse_head(bytes, &mut storage) {
            Ok(head) => head,
            Err(reject) => return self.reject(reject, cx),
        };
        let request = self.request(&head, &[], cx);
        let is_known = METHODS_KNOWN.contains(&head.method.as_str());
        let Some(reader) = BodyReader::new(head.framing) else {
            let response = match is_known {
                true => guard(|| self.shared.service.respond(&request)),
                false => Reject::MethodUnknown.into(),
            };
            return self.respond(response, &request, head.keep_alive, cx);
        };
        let reception = match is_known {
            true => catch_unwind(AssertUnwindSafe(|| self.shared.service.receive_body(&request)))
                .unwrap_or_else(|_| Reception::Refuse(Reject::HandlerPanicked.into())),
            false => Reception::Refuse(Reject::MethodUnknown.into()),
        };
        let limits = &self.shared.limits;
        match (reception, head.framing) {
            (Reception::Buffer, Framing::Length(length)) if length > limits.body_bytes_max => {
                self.respond(Reject::ContentTooLarge.into(), &request, false, cx);
            }
            (Reception::Buffer, _) => {
                // RFC 9110 §10.1.1: not needed where the body has begun to come.
                if head.expects_continue && !body_begun {
                    cx.out().write(b"HTTP/1.1 100 Continue\r\n\r\n");
                }
                self.await_body(reader, Content::Collect { head: bytes.to_vec(), body: Vec::new() }, cx);
            }
            (Reception::Refuse(response), framing) => {
                // A client that waits for 100 may send the body or not: what comes next can't be told apart.
                let is_bounded = match framing {
                    Framing::Length(length) => length <= limits.discard_bytes_max,
                    Framing::Chunked | Framing::None => true,
                };
                let goes_on = head.keep_alive && is_bounded && !head.expects_continue;
                self.respond(response, &request, goes_on, cx);
                if !matches!(self.phase, Phase::Over) {
                    self.await_body(reader, Content::Discard, cx);
                }
            }
        }
    }

    fn await_body(&mut self, reader: BodyReader, fate: Content, cx: &mut Context<'_>) {
        let is_last = self.phase.answers_last();
        let now = cx.now.monotonic;
        self.phase = Phase::Body(Box::new(Incoming {
            reader,
            content_bytes: 0,
            since: now,
            counted_from: 0,
            received: now,
            fate,
            is_last,
        }));
        let limits = &self.shared.limits;
        cx.deadline(Deadline::After(limits.body_rate_min.first_look(limits.body_timeout)));
    }

    fn receive_body(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        let Phase::Body(incoming) = &mut self.phase else { unreachable!("the caller matched it") };
        let (taken, content, is_end) = match incoming.reader.step(input) {
            Ok(Step::More) => return 0,
            Ok(Step::Framing(taken)) => (taken, 0, false),
            Ok(Step::Content(taken)) => (taken, taken, false),
            Ok(Step::LastContent(taken)) => (taken, taken, true),
            Ok(Step::End(taken)) => (taken, 0, true),
            Err(reject) => {
                match incoming.fate {
                    Content::Collect { .. } => self.respond_to_collected(Err(reject), cx),
                    Content::Discard => self.end(cx), // It has its answer.
                }
                return input.len();
            }
        };
        incoming.content_bytes += content as u64;
        let limits = &self.shared.limits;
        match &mut incoming.fate {
            Content::Collect { .. } if incoming.content_bytes > limits.body_bytes_max => {
                self.respond_to_collected(Err(Reject::ContentTooLarge), cx);
            }
            Content::Discard if incoming.content_bytes > limits.discard_bytes_max => self.end(cx),
            Content::Collect { body, .. } => {
                body.extend_from_slice(&input[..content]);
                // The deadline stays as it is: when it passes, what came meanwhile is seen.
                if content > 0 {
                    incoming.received = cx.now.monotonic;
                }
                if is_end {
                    self.respond_to_collected(Ok(()), cx);
                }
            }
            Content::Discard if is_end && incoming.is_last => self.end(cx),
            Content::Discard if is_end => self.await_head(cx),
            Content::Discard => {}
        }
        taken
    }

    /// A body is whole, or never will be: reads its head again, and asks the service or says why not.
    fn respond_to_collected(&mut self, is_whole: Result<(), Reject>, cx: &mut Context<'_>) {
        let Phase::Body(incoming) = std::mem::replace(&mut self.phase, Phase::Over) else {
            unreachable!("the caller matched it")
        };
        let Content::Collect { head, body } = incoming.fate else { unreachable!("the caller matched it") };
        let mut storage = Storage::new();
        let head = head::parse_head(&head, &mut storage).expect("it was read before");
        let request = self.request(&head, &body, cx);
        let response = match is_whole {
            Ok(()) => guard(|| self.shared.service.respond(&request)),
            Err(reject) => reject.into(),
        };
        self.respond(response, &request, head.keep_alive && !incoming.is_last, cx);
    }

    fn request<'a>(&self, head: &Head<'a>, body: &'a [u8], cx: &Context<'_>) -> Request<'a> {
        Request {
            method: head.method.clone(),
            target: head.target,
            host: head.host,
            version: head.version,
            fields: head.fields,
            body,
            peer: self.peer.address(),
            now: cx.now.wall,
            is_conditional: head.is_conditional,
            params: Vec::new(),
        }
    }

    fn respond(&mut self, response: Response, request: &Request<'_>, keep_alive: bool, cx: &mut Context<'_>) {
        let closes = !keep_alive || response.closes() || self.phase.answers_last();
        let is_head = request.method == Method::HEAD;
        self.write(response.settle(request), Some(request), is_head, closes, cx);
        if closes { self.end(cx) } else { self.await_head(cx) }
    }

    /// Answers what could not be read as a request, and ends: where the next one would begin is not known.
    fn reject(&mut self, reject: Reject, cx: &mut Context<'_>) {
        debug_assert!(!reject.connection_lives(), "{reject:?} leaves no doubt");
        let is_head = matches!(self.phase, Phase::Head { is_head: true, .. });
        self.write(reject.into(), None, is_head, true, cx);
        self.end(cx);
    }

    fn write(
        &self,
        response: Response,
        request: Option<&Request<'_>>,
        is_head: bool,
        closes: bool,
        cx: &mut Context<'_>,
    ) {
        let version = request.map_or(Version::Http11, |request| request.version);
        let (status, body_bytes) = (response.status(), response.sent_body_bytes(is_head));
        (self.shared.on_answer)(&Answered { request, peer: self.peer.address(), now: cx.now.wall, status, body_bytes });
        let mut date = self.shared.date.borrow_mut();
        let (date, fields) = (date.at(cx.now.wall), self.shared.fields.as_slice());
        let exchange = Exchange { is_head, version, closes, date, fields };
        response.render(&exchange, cx.out());
    }

    fn await_head(&mut self, cx: &mut Context<'_>) {
        self.phase = Phase::HEAD;
        cx.deadline(Deadline::Idle(self.shared.limits.idle_timeout));
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        self.phase = Phase::Over;
        cx.deadline(Deadline::Never);
        cx.finish();
    }
}

/// A handler's panic costs its own request a 500. So does an interim answer (1xx, RFC 9110 §15.2): after it a final one would be awaited.
fn guard(respond: impl FnOnce() -> Response) -> Response {
    let response = catch_unwind(AssertUnwindSafe(respond)).ok();
    let is_final = |response: &Response| !response.status().is_informational();
    response.filter(is_final).unwrap_or_else(|| Reject::HandlerPanicked.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the reactor's slot, a timer and what a poller notes it is what an idle connection costs: `benches/peers.rs` measures it whole.
    #[test]
    fn an_idle_connection_is_small() {
        const { assert!(size_of::<Connection>() <= 40) };
    }
}
