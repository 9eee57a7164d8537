//! Going down in good order: no more listeners, one thing more, nothing more, the end.

use super::{Reactor, Shutdown, Source};
use crate::protocol::Cue;
use crate::sys::Kernel;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Connections that are taken from a backlog at most: past it those that come are as fast as the loop.
const BACKLOG_MAX: usize = 4096;

/// What another processor may need to put who was let in before the door was barred into the backlog; it takes microseconds.
const HANDSHAKE: Duration = Duration::from_millis(1);

/// A time that no loop lives to see, for durations past what a clock can tell.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

fn after(now: Instant, time: Duration) -> Instant {
    now.checked_add(time).unwrap_or(now + NEVER)
}

/// How far the loop has gone down.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Descent {
    /// Not at all.
    Up,
    /// Nobody is accepted; connections may begin one thing more.
    Patient { until: Instant, end: Instant },
    /// What is in flight is finished.
    Finishing { end: Instant },
    /// That is all.
    Down,
}

impl Descent {
    /// The first step.
    pub(crate) fn begin(Shutdown { grace, patience }: Shutdown, now: Instant) -> Descent {
        Descent::Patient { until: after(now, patience), end: after(now, grace) }
    }

    /// When it goes on by itself.
    pub(crate) fn next(self) -> Option<Instant> {
        match self {
            Descent::Up | Descent::Down => None,
            Descent::Patient { until, end } => Some(until.min(end)),
            Descent::Finishing { end } => Some(end),
        }
    }

    /// Takes the step to [`Finishing`](Descent::Finishing), if it is time. Whether it did, so that connections are to be told again.
    pub(crate) fn finish(&mut self, now: Instant) -> bool {
        match *self {
            Descent::Patient { until, end } if until.min(end) <= now => {
                *self = Descent::Finishing { end };
                true
            }
            Descent::Up | Descent::Patient { .. } | Descent::Finishing { .. } | Descent::Down => false,
        }
    }

    /// Whether what is in flight has had its time.
    pub(crate) fn is_over(self, now: Instant) -> bool {
        match self {
            Descent::Up => false,
            Descent::Patient { end, .. } | Descent::Finishing { end } => end <= now,
            Descent::Down => true,
        }
    }
}

impl<K: Kernel> Reactor<K> {
    /// Takes the next step down, if it is time: no more listeners, one thing more, nothing more, the end.
    pub(super) fn go_down(&mut self) {
        let now = self.now.monotonic;
        if let Some(shutdown) = self.remote.take_shutdown() {
            let mut listeners: Vec<_> = self.slots.tokens().collect();
            listeners.retain(|token| matches!(self.slots.get_mut(*token), Some(Source::Listener(_))));
            for token in &listeners {
                if let Some(Source::Listener(listener)) = self.slots.get_mut(*token) {
                    self.kernel.bar_entry(listener.socket.as_fd());
                }
            }
            if !listeners.is_empty() {
                std::thread::sleep(HANDSHAKE);
            }
            for token in listeners {
                // Who waits in the backlog would be reset, and may have sent a request already; so would who came after the last was taken.
                let _ = (0..BACKLOG_MAX).all(|_| self.accept_one(token));
                self.close(token);
            }
            if self.descent == Descent::Up {
                self.cue_all(Cue::ShuttingDown);
            }
            if let Some(crew) = &mut self.crew {
                crew.shut_down(shutdown);
            }
            self.descent = Descent::begin(shutdown, now);
        }
        if self.descent.finish(now) {
            self.cue_all(Cue::ShuttingDown);
        }
        let is_empty = self.counters.open == 0 && self.crew.as_ref().is_none_or(|crew| crew.is_gone());
        if self.descent.is_over(now) || self.descent != Descent::Up && is_empty {
            self.descent = Descent::Down;
        }
    }
}
