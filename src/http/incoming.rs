//! A request's body on its way: what was read of it, for whom, and until when the next byte is waited for.

use super::framing::BodyReader;
use super::{Limits, Sink};
use crate::protocol::{Deadline, Now};
use std::time::Instant;

/// A request whose body is on its way.
pub(super) struct Incoming {
    pub(super) reader: BodyReader,
    pub(super) content_bytes: u64,
    /// When it was awaited first; and what of it had come by then, which is nothing unless we could not take it.
    since: Instant,
    counted_from: u64,
    /// When content came last, or since when it is awaited.
    received: Instant,
    pub(super) fate: Content,
    pub(super) pause: Pause,
    /// The server is going down: no request follows.
    pub(super) is_last: bool,
}

/// Whether who takes the body is busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pause {
    No,
    /// Nothing is read until it is ready.
    Midway,
    /// It has the last piece.
    AtEnd,
}

impl Incoming {
    /// Nothing of it has come yet.
    pub(super) fn new(reader: BodyReader, fate: Content, now: Now, is_last: bool) -> Incoming {
        let since = now.monotonic;
        Incoming { reader, content_bytes: 0, since, counted_from: 0, received: since, fate, pause: Pause::No, is_last }
    }

    /// Content came, if any. The deadline stays as it is: when it passes, this is seen. What nobody wants buys no time.
    pub(super) fn note(&mut self, content_bytes: usize, now: Now) {
        self.content_bytes += content_bytes as u64;
        if content_bytes > 0 && !matches!(self.fate, Content::Discard) {
            self.received = now.monotonic;
        }
    }

    /// It is awaited anew: until now it could not be taken, however fast it came.
    pub(super) fn await_anew(&mut self, now: Now) {
        self.since = now.monotonic;
        self.received = now.monotonic;
        self.counted_from = self.content_bytes;
    }

    /// When it is too late, or too slow, unless more comes. Not while whoever takes it is busy: nothing can come then.
    fn ends_at(&self, limits: &Limits) -> Option<Instant> {
        if self.pause != Pause::No {
            return None;
        }
        let stalls_at = self.received.checked_add(limits.body_timeout);
        limits.body_rate_min.ends_at(stalls_at, self.since, self.content_bytes - self.counted_from)
    }

    pub(super) fn is_late(&self, now: Now, limits: &Limits) -> bool {
        self.ends_at(limits).is_some_and(|at| at <= now.monotonic)
    }

    pub(super) fn deadline(&self, limits: &Limits) -> Deadline {
        self.ends_at(limits).map_or(Deadline::Never, Deadline::At)
    }
}

/// Whom a body is for.
pub(super) enum Content {
    /// The handler. The head is kept as it came, to be read again when the body is whole.
    Collect { head: Vec<u8>, body: Vec<u8> },
    /// Who takes it piece by piece.
    Sink { head: Vec<u8>, sink: Box<dyn Sink> },
    /// Nobody: the request is answered already.
    Discard,
}
