//! What all who serve a server's connections have in common, whatever the model.

use super::Work;
use super::tally::Tally;
use crate::protocol::Accept;
use crate::reactor::{Limits, Notice, Told};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// [`Work`], to be shared.
pub(super) struct Shared {
    pub limits: Limits,
    pub make: Box<dyn Fn() -> Box<dyn Accept> + Send + Sync>,
    pub tally: Tally,
    /// Called before each wait, as a loop's `after_turn`.
    pub before_wait: Box<dyn Fn() -> Option<Duration> + Send + Sync>,
    /// Closes a descriptor that is dispensable, where one is wanting. Whether there was one.
    pub on_shortage: Box<dyn Fn() -> bool + Send + Sync>,
    /// What a child does first, after a fork.
    pub in_child: Box<dyn Fn() + Send + Sync>,
    notices: Mutex<Notices>,
    /// Tickets of connections that are over, where they are asked for.
    left: Mutex<Vec<u32>>,
}

/// Who hears of notices.
struct Notices {
    tell: Box<dyn FnMut(&Notice) + Send>,
    told: Told,
}

impl Shared {
    /// Of that work, and the sockets that listen.
    pub(super) fn new(work: Work) -> (Shared, Vec<OwnedFd>) {
        let Work { limits, tally, make, before_wait, on_shortage, on_notice, in_child, listeners } = work;
        let (notices, left) = (Mutex::new(Notices { tell: on_notice, told: Told::default() }), Mutex::default());
        (Shared { limits, make, tally, before_wait, on_shortage, in_child, notices, left }, listeners)
    }

    /// A connection is over.
    pub(super) fn note_left(&self, ticket: u32) {
        if self.limits.per_address_max < usize::MAX {
            self.left.lock().unwrap_or_else(PoisonError::into_inner).push(ticket);
        }
    }

    /// As [`Crew::take_left`](crate::reactor::Crew::take_left).
    pub(super) fn take_left(&self) -> Vec<u32> {
        std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A protocol panicked.
    pub(super) fn note_panic(&self, now: Instant) {
        self.tally.count_panic();
        self.notice(&Notice::ProtocolPanicked, now);
    }

    pub(super) fn notice(&self, notice: &Notice, now: Instant) {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        if notices.told.is_news(notice, now) {
            (notices.tell)(notice);
        }
    }
}
