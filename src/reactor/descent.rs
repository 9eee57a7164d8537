//! Going down in good order: no more listeners, one thing more, nothing more, the end.

use super::{Reactor, Shutdown, Source};
use crate::protocol::Cue;
use crate::sys::Kernel;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Connections that are taken from a backlog at most: past it those that come are as fast as the loop.
const BACKLOG_MAX: usize = 4096;

/// What who was let in before the door was barred may need to get into the backlog: microseconds, but for a machine that is busy.
pub(crate) const HANDSHAKE: Duration = Duration::from_millis(25);

/// A time that no loop lives to see, for durations past what a clock can tell.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

fn after(now: Instant, time: Duration) -> Instant {
    now.checked_add(time).unwrap_or(now + NEVER)
}

/// Until when one thing more may be begun, and when all ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    patience: Instant,
    end: Instant,
}

impl Times {
    fn of(Shutdown { grace, patience }: Shutdown, now: Instant) -> Times {
        Times { patience: after(now, patience), end: after(now, grace) }
    }
}

/// How far the loop has gone down.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Descent {
    /// Not at all.
    Up,
    /// Nobody new is let in; who was is accepted.
    Barred { until: Instant, times: Times },
    /// Nobody is accepted; connections may begin one thing more.
    Patient { times: Times },
    /// What is in flight is finished.
    Finishing { end: Instant },
    /// That is all.
    Down,
}

impl Descent {
    /// The first step of who lets nobody in.
    pub(crate) fn begin(shutdown: Shutdown, now: Instant) -> Descent {
        Descent::Patient { times: Times::of(shutdown, now) }
    }

    /// When it goes on by itself.
    pub(crate) fn next(self) -> Option<Instant> {
        match self {
            Descent::Up | Descent::Down => None,
            Descent::Barred { until, .. } => Some(until),
            Descent::Patient { times } => Some(times.patience.min(times.end)),
            Descent::Finishing { end } => Some(end),
        }
    }

    /// Takes the step to [`Finishing`](Descent::Finishing), if it is time. Whether it did, so that connections are to be told again.
    pub(crate) fn finish(&mut self, now: Instant) -> bool {
        match *self {
            Descent::Patient { times: Times { patience, end } } if patience.min(end) <= now => {
                *self = Descent::Finishing { end };
                true
            }
            Descent::Up
            | Descent::Barred { .. }
            | Descent::Patient { .. }
            | Descent::Finishing { .. }
            | Descent::Down => false,
        }
    }

    /// How often connections are to have been told.
    pub(crate) fn tellings(self) -> u8 {
        match self {
            Descent::Up | Descent::Barred { .. } => 0,
            Descent::Patient { .. } => 1,
            Descent::Finishing { .. } | Descent::Down => 2,
        }
    }

    /// Whether what is in flight has had its time.
    pub(crate) fn is_over(self, now: Instant) -> bool {
        match self {
            Descent::Up | Descent::Barred { .. } => false,
            Descent::Patient { times: Times { end, .. } } | Descent::Finishing { end } => end <= now,
            Descent::Down => true,
        }
    }
}

impl<K: Kernel> Reactor<K> {
    /// Takes the next step down, if it is time: no more listeners, one thing more, nothing more, the end.
    pub(super) fn go_down(&mut self) {
        let now = self.now.monotonic;
        if let Some(shutdown) = self.remote.take_shutdown() {
            let times = Times::of(shutdown, now);
            let is_first = self.descent == Descent::Up;
            for token in &self.listeners {
                if let Some(Source::Listener(listener)) = self.slots.get_mut(*token) {
                    self.kernel.bar_entry(listener.socket.as_fd());
                }
            }
            self.descent = match is_first && !self.listeners.is_empty() {
                true => Descent::Barred { until: times.end.min(now + HANDSHAKE), times },
                false => self.close_listeners(times, is_first),
            };
        }
        if let Descent::Barred { until, times } = self.descent
            && until <= now
        {
            self.descent = self.close_listeners(times, true);
        }
        if self.descent.finish(now) {
            self.cue_all(Cue::ShuttingDown);
            if let Some(crew) = &mut self.crew {
                crew.finish();
            }
        }
        let is_empty = self.counters.open == 0 && self.crew.as_ref().is_none_or(|crew| crew.is_gone());
        let is_done = match self.descent {
            Descent::Up | Descent::Barred { .. } => false,
            Descent::Patient { .. } | Descent::Finishing { .. } | Descent::Down => is_empty,
        };
        if is_done || self.descent.is_over(now) {
            self.descent = Descent::Down;
        }
    }

    /// Takes who waits, and nobody more; tells all that it goes down.
    fn close_listeners(&mut self, times: Times, is_news: bool) -> Descent {
        for token in std::mem::take(&mut self.listeners) {
            // Who waits in the backlog would be reset, and may have sent a request already; so would who came after the last was taken.
            let _ = (0..BACKLOG_MAX).all(|_| self.accept_one(token));
            self.close(token);
        }
        if is_news {
            self.cue_all(Cue::ShuttingDown);
            let left = |until: Instant| until.saturating_duration_since(self.now.monotonic);
            if let Some(crew) = &mut self.crew {
                crew.shut_down(Shutdown { grace: left(times.end), patience: left(times.patience) });
            }
        }
        Descent::Patient { times }
    }
}
