//! What a handler says: a response, one that comes later, or another protocol.

use super::{Reject, Request, Response, StatusCode};
use crate::offload::Pool;
use crate::protocol::Protocol;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

/// What a handler says to a request. [`Response`] becomes one by `into()`, so that most handlers need not know of it.
pub enum Answer {
    /// This.
    Now(Response),
    /// What is not there yet. Requests behind it wait.
    Later(Later),
    /// RFC 9110 §7.8: 101 with the fields of this response, and from there on this protocol. The response has an `Upgrade` field.
    Upgrade(Response, Box<dyn Protocol>),
}

/// A response that comes later.
pub struct Later(pub(super) Source);

/// Who makes it.
pub(super) enum Source {
    /// The loop, when it is time.
    Timer(Duration, Box<dyn FnOnce() -> Response>),
    /// A thread beside it.
    Thread(Box<dyn FnOnce() -> Response + Send>),
    /// Whoever is asked, once something is found out.
    Inquiry(Inquiry),
}

/// What must be found out beside the loop before a request can be answered, or its body read.
pub struct Inquiry {
    pub(super) pool: Arc<Pool>,
    pub(super) find_out: Box<dyn FnOnce() -> Option<Response> + Send>,
}

impl Inquiry {
    /// Runs `find_out` on `pool`. What it gives is the answer; where it gives none the service is asked again, from the head on, and
    /// should know by then. Where the pool is full the answer is 503.
    pub fn new(pool: Arc<Pool>, find_out: impl FnOnce() -> Option<Response> + Send + 'static) -> Inquiry {
        Inquiry { pool, find_out: Box::new(find_out) }
    }
}

impl From<Inquiry> for Later {
    fn from(inquiry: Inquiry) -> Later {
        Later(Source::Inquiry(inquiry))
    }
}

impl Answer {
    /// What `respond` says after that long; until then the loop serves others. It runs on the loop: what takes long is for
    /// [`offload`](Self::offload).
    pub fn after(time: Duration, respond: impl FnOnce() -> Response + 'static) -> Answer {
        Answer::Later(Later(Source::Timer(time, Box::new(respond))))
    }

    /// What `respond` says, which runs on one of a few threads beside the loop: for what blocks or computes. Where as many of these as may
    /// be are at work or wait (see [`offload::Limits`](crate::offload::Limits)) the answer is 503; where it panics, 500. It runs to its end
    /// though the client be gone.
    pub fn offload(respond: impl FnOnce() -> Response + Send + 'static) -> Answer {
        Answer::Later(Later(Source::Thread(Box::new(respond))))
    }

    /// Whether it says 404.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Answer::Now(response) if response.status() == StatusCode::NOT_FOUND)
    }
}

impl<R: Into<Response>> From<R> for Answer {
    fn from(response: R) -> Answer {
        Answer::Now(response.into())
    }
}

/// What a handler says; its panic costs its own request a 500.
pub(super) fn said_by(respond: impl FnOnce() -> Answer) -> Answer {
    catch_unwind(AssertUnwindSafe(respond)).unwrap_or_else(|_| Reject::HandlerFailed.into())
}

/// What takes a request's body piece by piece as it comes, however long it is. Dropped before [`finish`](Self::finish) where the body is cut
/// short, comes too slowly or is malformed: then nobody gets an answer from it.
pub trait Sink {
    /// What the client is told before it sends its body, by an interim response (RFC 9110 §15.2): its status, which is 1xx but not 101, and fields.
    fn interim(&self) -> Option<Response> {
        None
    }

    /// The next bytes of the body, which are taken whatever is said. `waker` makes what ends a [`Take::Pause`].
    fn piece(&mut self, piece: &[u8], waker: &dyn Fn() -> Waker) -> Take;

    /// Whether it goes on after a [`Take::Pause`]: asked whenever it was woken, which may be for nothing.
    fn is_ready(&mut self) -> bool {
        true
    }

    /// The body was whole.
    fn finish(self: Box<Self>, request: &Request<'_>) -> Answer;
}

/// What a [`Sink`] says to a piece.
#[derive(Debug)]
pub enum Take {
    /// On with it.
    More,
    /// It is busy: nothing is read from the client until the waker is used.
    Pause,
    /// It wants no more. This is the answer, and the connection's last: how much is still on its way is not known.
    Refuse(Response),
}
