//! The loop watched: what each turn waited for and did.

use crate::poller;
use std::fmt;
use std::time::{Duration, Instant};

/// What one turn came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Turns up to this one.
    pub number: u64,
    /// What this turn's wait, and the changes that followed it, added to the poller's counters.
    pub poller: poller::Counters,
    /// Inside the call that waits.
    pub blocked: Duration,
    /// From then to the end of the turn.
    pub dispatching: Duration,
}

/// `turn 7: passed 3, scanned 5, ready 1, blocked 1204 µs, dispatching 38 µs, changes 0`
impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Turn { number, poller, blocked, dispatching } = self;
        let poller::Counters { waits: _, passed, scanned, ready, changes } = poller;
        let (blocked, dispatching) = (blocked.as_micros(), dispatching.as_micros());
        write!(
            f,
            "turn {number}: passed {passed}, scanned {scanned}, ready {ready}, blocked {blocked} µs, dispatching {dispatching} µs, \
             changes {changes}"
        )
    }
}

/// Who is told, and what it takes to tell the turns apart.
pub(super) struct Trace {
    tell: Box<dyn FnMut(&Turn)>,
    before: poller::Counters,
    waiting_since: Instant,
}

impl Trace {
    pub(super) fn new(tell: Box<dyn FnMut(&Turn)>, before: poller::Counters, now: Instant) -> Trace {
        Trace { tell, before, waiting_since: now }
    }

    /// Tells of the turn that waited until `woken`, and begins the next.
    pub(super) fn turn(&mut self, number: u64, after: poller::Counters, woken: Instant, now: Instant) {
        let poller = after - std::mem::replace(&mut self.before, after);
        let blocked = woken.saturating_duration_since(self.waiting_since);
        self.waiting_since = now;
        (self.tell)(&Turn { number, poller, blocked, dispatching: now.saturating_duration_since(woken) });
    }
}
