//! A request whose answer is not there yet: who makes it, and what it came to.

use super::answer::{Answer, said_by};
use super::{Reject, Response};
use crate::protocol::{Deadline, Now};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Instant;

/// A request whose answer comes later.
pub(super) struct Pending {
    /// As it came, to be read again then.
    pub(super) head: Vec<u8>,
    pub(super) from: Awaited,
    pub(super) is_last: bool,
}

/// Where an answer comes from.
pub(super) enum Awaited {
    /// `respond` is gone once it was called.
    Timer {
        at: Instant,
        respond: Option<Box<dyn FnOnce() -> Response>>,
    },
    Thread(Receiver<Response>),
    /// None: the service knows by now.
    Inquiry(Receiver<Option<Response>>),
}

/// What it came to.
pub(super) enum Found {
    /// The answer.
    Answer(Answer),
    /// The answer to a request of whose body nothing is wanted.
    Refusal(Response),
    /// What the service needs to answer: it is to be asked again.
    Known,
}

impl Awaited {
    /// Until when it is waited for.
    pub(super) fn deadline(&self) -> Deadline {
        match self {
            Awaited::Timer { at, .. } => Deadline::At(*at),
            Awaited::Thread(_) | Awaited::Inquiry(_) => Deadline::Never,
        }
    }

    /// What there is by now, once; to be asked after a wake or a deadline, which may be for nothing.
    pub(super) fn look(&mut self, now: Now) -> Option<Found> {
        Some(match self {
            Awaited::Timer { at, respond } => {
                let respond = respond.take_if(|_| now.monotonic >= *at)?;
                Found::Answer(said_by(|| respond().into()))
            }
            Awaited::Thread(told) => Found::Answer(told_by(told)?.map_or_else(Answer::from, Answer::from)),
            Awaited::Inquiry(told) => match told_by(told)? {
                Ok(Some(response)) => Found::Refusal(response),
                Ok(None) => Found::Known,
                Err(reject) => Found::Refusal(reject.into()),
            },
        })
    }
}

/// What work beside the loop gave, if it is over: an error where it panicked.
fn told_by<Given>(told: &Receiver<Given>) -> Option<Result<Given, Reject>> {
    match told.try_recv() {
        Ok(given) => Some(Ok(given)),
        Err(TryRecvError::Disconnected) => Some(Err(Reject::HandlerFailed)),
        Err(TryRecvError::Empty) => None,
    }
}
