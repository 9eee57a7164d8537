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
    is_heard: Box<dyn Fn() -> bool>,
    tell: Box<dyn FnMut(&Turn)>,
    /// The counters, and the time, when the turn before ended; of nobody's interest while nobody hears of it.
    before: Option<(poller::Counters, Instant)>,
}

impl Trace {
    /// `now`: as it is before the first turn.
    pub(super) fn new(
        is_heard: impl Fn() -> bool + 'static,
        tell: impl FnMut(&Turn) + 'static,
        now: (poller::Counters, Instant),
    ) -> Trace {
        Trace { is_heard: Box::new(is_heard), tell: Box::new(tell), before: Some(now) }
    }

    /// Whether somebody is to be told of this turn.
    pub(super) fn is_heard(&mut self) -> bool {
        let is_heard = (self.is_heard)();
        self.before.take_if(|_| !is_heard);
        is_heard
    }

    /// Tells of the turn that waited until `woken`, and begins the next.
    pub(super) fn turn(&mut self, number: u64, woken: Instant, (after, now): (poller::Counters, Instant)) {
        if let Some((before, waiting_since)) = self.before.replace((after, now)) {
            let (blocked, dispatching) = (woken.duration_since(waiting_since), now.duration_since(woken));
            (self.tell)(&Turn { number, poller: after - before, blocked, dispatching });
        }
    }
}
