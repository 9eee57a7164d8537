//! What a server has done so far, to be read while it runs.

use crate::models::Tally;
use crate::reactor;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// What a server does, to be read from any thread while it runs, or by a handler. Clones read the same server.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    answers: Arc<AtomicU64>,
    pub(super) reactor: reactor::Meter,
    /// What is counted instead where threads or processes serve.
    pub(super) tally: Arc<OnceLock<Tally>>,
}

/// What a server has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Answers given, also to what was no request.
    pub answers: u64,
    /// Connections, bytes, waits: as of the end of the loop's last turn. Where threads or processes serve there are no turns and no waits
    /// of a loop, and the rest is as of now.
    pub reactor: reactor::Counters,
}

impl Meter {
    /// All zero until the server runs.
    pub fn read(&self) -> Counters {
        match self.tally.get() {
            Some(tally) => Counters { answers: tally.answers(), reactor: tally.counters() },
            None => Counters { answers: self.answers.load(Ordering::Relaxed), reactor: self.reactor.read() },
        }
    }

    pub(super) fn count_answer(&self) {
        match self.tally.get() {
            Some(tally) => tally.count_answer(),
            None => _ = self.answers.fetch_add(1, Ordering::Relaxed),
        }
    }
}
