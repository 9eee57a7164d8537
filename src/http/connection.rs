//! A connection that speaks HTTP/1.1: requests in, answers out, one after another (RFC 9112 §9).
//!
//! Invariant: one request is answered once, before the next is looked at; after an answer that says `Connection: close` nothing is read.
//!
//! ```text
//!            ┌────────────────────── answered, keep-alive ──────────────────────┐
//!            ▼                                                                   │
//!   Opened ▶ Head ──▶ no body ──────────────────────▶ Service ──▶ Answer ─▶ Now ─┼─▶ Over: close
//!            │  └───▶ a body that is wanted: Body ──────┘           │  ▲ └▶ Stream ┤
//!            │  └───▶ a body that is not: answer, then Body ▶ Head  │  └── Later   │
//!            └── bad head, too long, too late: reject ─────────────▶┼──────────────┘
//!                                                                   └▶ Upgrade: another protocol
//! ```

use super::answer::{Answer, Inquiry, Later, Source, said_by};
use super::beside::start;
use super::framing::{BodyReader, ChunkedReader};
use super::head::{self, Head, Storage};
use super::incoming::{self, Incoming, Taker};
use super::listener::{Answered, Shared};
use super::pending::{Awaited, Found, Pending};
use super::response::{After, Exchange};
use super::stream::{Progress, Stream, StreamEnd, Streaming};
use super::{Framing, METHODS_KNOWN, Method, Reception, Reject, Request, Response, Sink, StatusCode, Version};
use crate::offload::Full;
use crate::protocol::{Context, Cue, Deadline, Protocol};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// Empty lines before a request that are read over (RFC 9112 §2.2 asks for at least one): some clients end a body with one too many.
const EMPTY_LINES_MAX: u8 = 8;

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
    /// Awaiting an answer of ours.
    Later(Box<Pending>),
    /// Sending an answer that goes on.
    Stream(Box<Outgoing>),
    /// The last answer is given.
    Over,
}

impl Phase {
    /// Awaiting a head, or about to answer a request whose head was read before.
    const fn head(is_last: bool) -> Phase {
        Phase::Head { searched: 0, empty_lines: 0, is_timed: false, is_head: false, is_last }
    }

    /// Whether the answer to the head that is there is the last.
    fn answers_last(&self) -> bool {
        matches!(self, Phase::Head { is_last: true, .. })
    }
}

/// An answer that goes on.
struct Outgoing {
    /// Of the request, as it came: to tell what was answered when it is over.
    head: Vec<u8>,
    status: StatusCode,
    streaming: Streaming,
    /// The connection does not outlive it.
    closes: bool,
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
            // The next request waits, as much of it as a head may have.
            Phase::Later(_) | Phase::Stream(_) => {
                if input.len() >= self.input_max() {
                    cx.pause_input(true);
                }
                0
            }
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
            (Cue::Room, Phase::Body(incoming)) => incoming.await_anew(cx.now),
            (Cue::DeadlinePassed, Phase::Body(_)) => self.body_ends(Err(Reject::RequestTimeout.into()), cx),
            (Cue::EndOfInput, Phase::Body(_)) => {
                self.body_ends(Err(Reject::BadRequest("the body is cut off").into()), cx);
            }
            (Cue::Woken, Phase::Body(_)) => self.resume_body(cx),
            (Cue::Woken | Cue::DeadlinePassed, Phase::Later(_)) => self.look_for_answer(cx),
            (Cue::Woken | Cue::Room, Phase::Stream(_)) => self.stream(cx),
            (Cue::DeadlinePassed, Phase::Stream(outgoing)) => {
                outgoing.streaming.beat(cx);
                self.stream(cx); // It may wait for a thread.
            }
            // A client that ends its side would never see the end of what has none.
            (Cue::EndOfInput | Cue::ShuttingDown, Phase::Stream(outgoing)) if outgoing.streaming.is_live() => {
                outgoing.closes = true;
                outgoing.streaming.end(cx);
                self.stream_ends(cx);
            }
            (Cue::ShuttingDown, Phase::Head { is_last, .. }) => *is_last = true,
            (Cue::ShuttingDown, Phase::Body(incoming)) => incoming.is_last = true,
            (Cue::ShuttingDown, Phase::Later(pending)) => pending.is_last = true,
            (Cue::ShuttingDown, Phase::Stream(outgoing)) => outgoing.closes = true,
            (Cue::Closed, Phase::Stream(_)) => self.stream_ends(cx),
            (Cue::EndOfInput, Phase::Later(_) | Phase::Stream(_)) => unreachable!("input is paused"),
            (Cue::Opened, Phase::Body(_) | Phase::Later(_) | Phase::Stream(_) | Phase::Over)
            | (Cue::DeadlinePassed | Cue::EndOfInput | Cue::ShuttingDown, Phase::Over)
            | (Cue::Room, Phase::Head { .. } | Phase::Later(_) | Phase::Over)
            | (Cue::Woken, Phase::Head { .. } | Phase::Over)
            | (Cue::Closed, Phase::Head { .. } | Phase::Body(_) | Phase::Later(_) | Phase::Over) => {}
        }
    }

    fn input_max(&self) -> usize {
        match self.phase {
            Phase::Head { .. } | Phase::Later(_) | Phase::Stream(_) => self.shared.limits.head_bytes_max,
            Phase::Body(_) => ChunkedReader::INPUT_MAX,
            Phase::Over => usize::MAX,
        }
    }
}

impl Connection {
    pub(super) fn new(shared: Rc<Shared>, peer: SocketAddr) -> Connection {
        Connection { shared, peer: peer.into(), phase: Phase::head(false) }
    }

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
        match BodyReader::new(head.framing) {
            None => self.ask(bytes, &request, &head, cx),
            Some(reader) => self.welcome_body(reader, bytes, body_begun, &request, &head, cx),
        }
    }

    /// Asks for the answer to a request without a body.
    fn ask(&mut self, bytes: &[u8], request: &Request<'_>, head: &Head<'_>, cx: &mut Context<'_>) {
        let answer = match is_known(&head.method) {
            true => said_by(|| self.shared.service.respond(request)),
            false => Reject::MethodUnknown.into(),
        };
        match answer {
            Answer::Later(Later(Source::Inquiry(inquiry))) => self.inquire(inquiry, bytes, request, head, cx),
            answer => self.answer(answer, bytes, request, head.keep_alive, cx),
        }
    }

    /// Asks who takes the body that is to come, and awaits it, or refuses it.
    fn welcome_body(
        &mut self,
        reader: BodyReader,
        bytes: &[u8],
        body_begun: bool,
        request: &Request<'_>,
        head: &Head<'_>,
        cx: &mut Context<'_>,
    ) {
        let reception = match is_known(&head.method) {
            true => catch_unwind(AssertUnwindSafe(|| self.shared.service.receive_body(request)))
                .unwrap_or_else(|_| Reception::Refuse(Reject::HandlerFailed.into())),
            false => Reception::Refuse(Reject::MethodUnknown.into()),
        };
        let limits = &self.shared.limits;
        let taker = match (reception, head.framing) {
            (Reception::Buffer, Framing::Length(length)) if length > limits.body_bytes_max => {
                return self.respond(Reject::ContentTooLarge.into(), bytes, request, false, cx);
            }
            (Reception::Refuse(response), _) => return self.refuse_head(response, bytes, request, head, cx),
            (Reception::Inquire(inquiry), _) => return self.inquire(inquiry, bytes, request, head, cx),
            (Reception::Buffer, _) => Taker::Handler { head: bytes.to_vec(), body: Vec::new() },
            (Reception::Sink(sink), _) => Taker::Sink { head: bytes.to_vec(), sink },
        };
        if let Taker::Sink { sink, .. } = &taker
            && let Err(reject) = send_interim(&**sink, request, cx)
        {
            return self.respond(reject.into(), bytes, request, false, cx);
        }
        // RFC 9110 §10.1.1: not needed where the body has begun to come.
        if head.expects_continue && !body_begun {
            cx.out().write(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        self.await_body(reader, taker, cx);
    }

    /// Answers a request of whose body, where it has one, nothing was read, and nothing is wanted.
    fn refuse_head(
        &mut self,
        response: Response,
        bytes: &[u8],
        request: &Request<'_>,
        head: &Head<'_>,
        cx: &mut Context<'_>,
    ) {
        let Some(reader) = BodyReader::new(head.framing) else {
            return self.respond(response, bytes, request, head.keep_alive, cx);
        };
        // A client that waits for 100 may send the body or not: what comes next can't be told apart. And who is sent a stream sends no more.
        let is_bounded = match head.framing {
            Framing::Length(length) => length <= self.shared.limits.discard_bytes_max,
            Framing::Chunked | Framing::None => true,
        };
        let is_whole = response.body().len().is_some();
        let goes_on = head.keep_alive && is_bounded && is_whole && !head.expects_continue;
        self.respond(response, bytes, request, goes_on, cx);
        if matches!(self.phase, Phase::Head { .. }) {
            self.await_body(reader, Taker::Nobody, cx);
        }
    }

    fn await_body(&mut self, reader: BodyReader, taker: Taker, cx: &mut Context<'_>) {
        let incoming = Incoming::new(reader, taker, cx.now, self.phase.answers_last());
        self.phase = Phase::Body(Box::new(incoming));
        let limits = &self.shared.limits;
        cx.deadline(Deadline::After(limits.body_rate_min.first_look(limits.body_timeout)));
    }

    fn receive_body(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        let Phase::Body(incoming) = &mut self.phase else { unreachable!("the caller matched it") };
        let (taken, progress) = incoming.receive(input, &self.shared.limits, cx);
        match progress {
            incoming::Progress::GoesOn => {}
            incoming::Progress::Paused => {
                cx.pause_input(true);
                cx.deadline(Deadline::Never);
            }
            incoming::Progress::Over(ending) => self.body_ends(ending, cx),
        }
        taken
    }

    /// Who takes a body may be ready for more.
    fn resume_body(&mut self, cx: &mut Context<'_>) {
        let Phase::Body(incoming) = &mut self.phase else { unreachable!("the caller matched it") };
        let Some(progress) = incoming.resume(cx.now) else { return };
        cx.pause_input(false);
        match progress {
            incoming::Progress::Over(ending) => self.body_ends(ending, cx),
            incoming::Progress::GoesOn | incoming::Progress::Paused => {
                cx.deadline(incoming.deadline(&self.shared.limits));
            }
        }
    }

    /// A body is whole, or never will be. Where it is wanted, reads its head again, and asks whom it was for, or says why not.
    fn body_ends(&mut self, ending: Result<(), Response>, cx: &mut Context<'_>) {
        let Phase::Body(incoming) = std::mem::replace(&mut self.phase, Phase::Over) else {
            unreachable!("the caller matched it")
        };
        let Incoming { taker, is_last, .. } = *incoming;
        self.phase = Phase::head(is_last);
        let (bytes, body, sink) = match taker {
            Taker::Handler { head, body } => (head, body, None),
            Taker::Sink { head, sink } => (head, Vec::new(), Some(sink)),
            Taker::Nobody if ending.is_ok() && !is_last => return self.await_head(cx),
            Taker::Nobody => return self.end(cx), // It has its answer.
        };
        let (head, mut storage) = (bytes.as_slice(), Storage::new());
        let head = head::parse_head(head, &mut storage).expect("it was read before");
        let request = self.request(&head, &body, cx);
        match (ending, sink) {
            (Err(response), _) => self.respond(response, &bytes, &request, false, cx),
            (Ok(()), sink) => {
                let answer = said_by(|| match sink {
                    None => self.shared.service.respond(&request),
                    Some(sink) => sink.finish(&request),
                });
                self.answer(answer, &bytes, &request, head.keep_alive, cx);
            }
        }
    }

    fn request<'a>(&self, head: &Head<'a>, body: &'a [u8], cx: &Context<'_>) -> Request<'a> {
        Request {
            method: head.method.clone(),
            target: head.target,
            host: head.host,
            version: head.version,
            fields: head.fields,
            framing: head.framing,
            body,
            peer: self.peer.address(),
            now: cx.now.wall,
            is_conditional: head.is_conditional,
            asks_upgrade: head.asks_upgrade,
            params: Vec::new(),
        }
    }

    /// Does what a handler says. `head`: the bytes of the request's.
    fn answer(&mut self, answer: Answer, head: &[u8], request: &Request<'_>, keep_alive: bool, cx: &mut Context<'_>) {
        let source = match answer {
            Answer::Now(response) => return self.respond(response, head, request, keep_alive, cx),
            Answer::Upgrade(response, protocol) => {
                let response = response.with_status(StatusCode::SWITCHING_PROTOCOLS);
                self.write(response, Some(request), false, After::Upgrade, cx);
                self.phase = Phase::Over;
                return cx.become_(protocol);
            }
            Answer::Later(Later(source)) => source,
        };
        let is_last = self.phase.answers_last();
        let from = match source {
            Source::Timer(time, respond) => match cx.now.monotonic.checked_add(time) {
                Some(at) => Awaited::Timer { at, respond: Some(respond) },
                None => return self.respond(Reject::HandlerFailed.into(), head, request, keep_alive, cx),
            },
            Source::Thread(respond) => match start(&self.shared.pool, respond, cx) {
                Ok(told) => Awaited::Thread(told),
                Err(Full) => return self.respond(Reject::Busy.into(), head, request, keep_alive, cx),
            },
            // Its body is gone, so it can't be asked again: a slip of the program.
            Source::Inquiry(_) => return self.respond(Reject::HandlerFailed.into(), head, request, keep_alive, cx),
        };
        self.await_answer(Pending { head: head.to_vec(), from, is_last }, cx);
    }

    /// Finds out what must be known before a head is acted upon.
    fn inquire(
        &mut self,
        inquiry: Inquiry,
        bytes: &[u8],
        request: &Request<'_>,
        head: &Head<'_>,
        cx: &mut Context<'_>,
    ) {
        match start(&inquiry.pool, inquiry.find_out, cx) {
            Ok(told) => {
                let is_last = self.phase.answers_last();
                self.await_answer(Pending { head: bytes.to_vec(), from: Awaited::Inquiry(told), is_last }, cx);
            }
            Err(Full) => self.refuse_head(Reject::Busy.into(), bytes, request, head, cx),
        }
    }

    fn await_answer(&mut self, pending: Pending, cx: &mut Context<'_>) {
        cx.deadline(pending.from.deadline());
        cx.pause_input(true);
        self.phase = Phase::Later(Box::new(pending));
    }

    /// The answer that comes later may be there.
    fn look_for_answer(&mut self, cx: &mut Context<'_>) {
        let Phase::Later(pending) = &mut self.phase else { unreachable!("the caller matched it") };
        let Some(found) = pending.from.look(cx.now) else {
            return cx.deadline(pending.from.deadline()); // The one that passed is gone.
        };
        let (bytes, is_last) = (std::mem::take(&mut pending.head), pending.is_last);
        self.phase = Phase::head(is_last);
        cx.pause_input(false);
        if matches!(found, Found::Known) {
            return self.receive_request(&bytes, false, cx);
        }
        let mut storage = Storage::new();
        let head = head::parse_head(&bytes, &mut storage).expect("it was read before");
        let request = self.request(&head, &[], cx);
        match found {
            Found::Answer(answer) => self.answer(answer, &bytes, &request, head.keep_alive, cx),
            Found::Refusal(response) => self.refuse_head(response, &bytes, &request, &head, cx),
            Found::Known => unreachable!("it was asked again"),
        }
    }

    fn respond(
        &mut self,
        response: Response,
        head: &[u8],
        request: &Request<'_>,
        keep_alive: bool,
        cx: &mut Context<'_>,
    ) {
        // RFC 9110 §15.2: after an interim answer a final one would be awaited.
        let is_final = !response.status().is_informational();
        let response = if is_final { response } else { Reject::HandlerFailed.into() }.settle(request);
        // The end of a stream to HTTP/1.0 is the connection's.
        let is_unbounded = response.body().len().is_none() && request.version == Version::Http10;
        let is_last = self.phase.answers_last();
        let closes = !keep_alive || response.closes() || is_last || is_unbounded;
        let (is_head, status) = (request.method == Method::HEAD, response.status());
        let after = if closes { After::Close } else { After::KeepAlive };
        match self.write(response, Some(request), is_head, after, cx) {
            Some(stream) => {
                let end = match request.version {
                    Version::Http10 => StreamEnd::Close,
                    Version::Http11 => StreamEnd::LastChunk,
                };
                let streaming = stream.begin(end, &self.shared.pool, cx);
                cx.pause_input(!streaming.is_live());
                self.phase = Phase::Stream(Box::new(Outgoing { head: head.to_vec(), status, streaming, closes }));
                self.stream(cx);
                if is_last {
                    self.cue(Cue::ShuttingDown, cx); // The server went down before there was a stream to tell.
                }
            }
            None if closes => self.end(cx),
            None => self.await_head(cx),
        }
    }

    /// Answers what could not be read as a request, and ends: where the next one would begin is not known.
    fn reject(&mut self, reject: Reject, cx: &mut Context<'_>) {
        debug_assert!(!reject.connection_lives(), "{reject:?} leaves no doubt");
        let is_head = matches!(self.phase, Phase::Head { is_head: true, .. });
        let stream = self.write(reject.into(), None, is_head, After::Close, cx);
        debug_assert!(stream.is_none());
        self.end(cx);
    }

    /// Queues an answer and tells of it; a stream, whose head it was, is told of when it ends.
    fn write(
        &self,
        response: Response,
        request: Option<&Request<'_>>,
        is_head: bool,
        after: After,
        cx: &mut Context<'_>,
    ) -> Option<Stream> {
        let version = request.map_or(Version::Http11, |request| request.version);
        let body_bytes = if response.sends_body(is_head) { response.body().len() } else { Some(0) };
        if let Some(body_bytes) = body_bytes {
            self.tell(request, response.status(), body_bytes, cx);
        }
        let mut date = self.shared.date.borrow_mut();
        let (date, fields) = (date.at(cx.now.wall), self.shared.fields.as_slice());
        let exchange = Exchange { is_head, version, after, date, fields };
        response.render(&exchange, cx.out())
    }

    fn tell(&self, request: Option<&Request<'_>>, status: StatusCode, body_bytes: u64, cx: &Context<'_>) {
        (self.shared.on_answer)(&Answered { request, peer: self.peer.address(), now: cx.now.wall, status, body_bytes });
    }

    /// Sends what there is of a stream.
    fn stream(&mut self, cx: &mut Context<'_>) {
        let Phase::Stream(outgoing) = &mut self.phase else { unreachable!("the caller matched it") };
        match outgoing.streaming.go_on(cx) {
            Progress::GoesOn => {}
            Progress::Ended => self.stream_ends(cx),
            Progress::Broken => cx.abort(),
        }
    }

    /// The end of a stream is queued.
    fn stream_ends(&mut self, cx: &mut Context<'_>) {
        let Phase::Stream(outgoing) = std::mem::replace(&mut self.phase, Phase::Over) else {
            unreachable!("the caller matched it")
        };
        self.tell_of_stream(&outgoing, cx);
        cx.live(false);
        cx.pause_input(false);
        if outgoing.closes { self.end(cx) } else { self.await_head(cx) }
    }

    fn tell_of_stream(&self, outgoing: &Outgoing, cx: &Context<'_>) {
        let mut storage = Storage::new();
        let head = head::parse_head(&outgoing.head, &mut storage).expect("it was read before");
        self.tell(Some(&self.request(&head, &[], cx)), outgoing.status, outgoing.streaming.body_bytes(), cx);
    }

    fn await_head(&mut self, cx: &mut Context<'_>) {
        self.phase = Phase::head(false);
        cx.deadline(Deadline::Idle(self.shared.limits.idle_timeout));
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        self.phase = Phase::Over;
        cx.deadline(Deadline::Never);
        cx.finish();
    }
}

/// RFC 9110 §9.1: what nobody here knows is 501, whoever serves it.
fn is_known(method: &Method) -> bool {
    METHODS_KNOWN.contains(&method.as_str())
}

/// Queues what a client is told before it sends its body.
fn send_interim(sink: &dyn Sink, request: &Request<'_>, cx: &mut Context<'_>) -> Result<(), Reject> {
    match catch_unwind(AssertUnwindSafe(|| sink.interim())) {
        Ok(None) => {}
        // RFC 9110 §15.2: not to HTTP/1.0.
        Ok(Some(response)) if is_interim(response.status()) && request.version == Version::Http10 => {}
        Ok(Some(response)) if is_interim(response.status()) => response.render_interim(cx.out()),
        Ok(Some(_)) | Err(_) => return Err(Reject::HandlerFailed),
    }
    Ok(())
}

/// RFC 9110 §15.2; after 101 comes another protocol.
fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
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
