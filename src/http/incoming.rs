//! A request's body on its way: what was read of it, for whom, and until when the next byte is waited for.

use super::framing::{BodyReader, Step};
use super::{Limits, Reject, Response, Sink, Take};
use crate::protocol::{Context, Deadline, Now};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// A request whose body is on its way.
pub(super) struct Incoming {
    reader: BodyReader,
    content_bytes: u64,
    /// When it was awaited first; and what of it had come by then, which is nothing unless we could not take it.
    since: Instant,
    counted_from: u64,
    /// When content came last, or since when it is awaited.
    received: Instant,
    pub(super) taker: Taker,
    pause: Pause,
    /// The server is going down: no request follows.
    pub(super) is_last: bool,
}

/// Whether who takes the body is busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pause {
    No,
    /// Nothing is read until it is ready.
    Midway,
    /// It has the last piece.
    AtEnd,
}

/// What came of it by a piece of input.
pub(super) enum Progress {
    GoesOn,
    /// Whoever takes it is busy: nothing is to be read.
    Paused,
    /// It is whole, or never will be, and this is why.
    Over(Result<(), Response>),
}

impl Incoming {
    /// Nothing of it has come yet.
    pub(super) fn new(reader: BodyReader, taker: Taker, now: Now, is_last: bool) -> Incoming {
        let since = now.monotonic;
        Incoming { reader, content_bytes: 0, since, counted_from: 0, received: since, taker, pause: Pause::No, is_last }
    }

    /// Reads a piece of it at the front of `input`: how many bytes that were, none where more is needed, and what came of it.
    pub(super) fn receive(&mut self, input: &[u8], limits: &Limits, cx: &Context<'_>) -> (usize, Progress) {
        let (taken, content, is_end) = match self.reader.step(input) {
            Ok(Step::More) => return (0, Progress::GoesOn),
            Ok(Step::Framing(taken)) => (taken, 0, false),
            Ok(Step::Content(taken)) => (taken, taken, false),
            Ok(Step::LastContent(taken)) => (taken, taken, true),
            Ok(Step::End(taken)) => (taken, 0, true),
            Err(reject) => return (input.len(), Progress::Over(Err(reject.into()))),
        };
        self.note(content, cx.now);
        let content_bytes_max = match &self.taker {
            Taker::Handler { .. } => limits.body_bytes_max,
            Taker::Nobody => limits.discard_bytes_max,
            Taker::Sink { .. } => u64::MAX, // It counts for itself.
        };
        if self.content_bytes > content_bytes_max {
            return (taken, Progress::Over(Err(Reject::ContentTooLarge.into())));
        }
        let take = match &mut self.taker {
            Taker::Sink { sink, .. } if content > 0 => {
                catch_unwind(AssertUnwindSafe(|| sink.piece(&input[..content], &|| cx.waker())))
                    .unwrap_or_else(|_| Take::Refuse(Reject::HandlerFailed.into()))
            }
            Taker::Handler { body, .. } => {
                body.extend_from_slice(&input[..content]);
                Take::More
            }
            Taker::Sink { .. } | Taker::Nobody => Take::More,
        };
        let progress = match take {
            Take::Refuse(response) => Progress::Over(Err(response)),
            Take::More if is_end => Progress::Over(Ok(())),
            Take::More => Progress::GoesOn,
            Take::Pause => {
                self.pause = if is_end { Pause::AtEnd } else { Pause::Midway };
                Progress::Paused
            }
        };
        (taken, progress)
    }

    /// Whoever takes it may be ready for more, or be done with the last of it. `None`: it is as it was.
    pub(super) fn resume(&mut self, now: Now) -> Option<Progress> {
        let Taker::Sink { sink, .. } = &mut self.taker else { return None };
        if self.pause == Pause::No || !sink.is_ready() {
            return None;
        }
        if std::mem::replace(&mut self.pause, Pause::No) == Pause::AtEnd {
            return Some(Progress::Over(Ok(())));
        }
        self.await_anew(now);
        Some(Progress::GoesOn)
    }

    /// Content came, if any. The deadline stays as it is: when it passes, this is seen. What nobody wants buys no time.
    fn note(&mut self, content_bytes: usize, now: Now) {
        self.content_bytes += content_bytes as u64;
        if content_bytes > 0 && !matches!(self.taker, Taker::Nobody) {
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
pub(super) enum Taker {
    /// The handler. The head is kept as it came, to be read again when the body is whole.
    Handler { head: Vec<u8>, body: Vec<u8> },
    /// Who takes it piece by piece.
    Sink { head: Vec<u8>, sink: Box<dyn Sink> },
    /// Nobody: the request is answered already.
    Nobody,
}
