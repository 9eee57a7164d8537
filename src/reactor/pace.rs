//! How fast a peer takes what waits for it.
//!
//! Invariant: what counts is what the peer took, where the kernel can tell: it takes megabytes ahead of a slow peer, and then for long
//! nothing, though the peer reads all the time.

use crate::protocol::MinRate;
use std::time::{Duration, Instant};

/// The progress of what the kernel did not take at once.
pub(crate) struct Pace {
    since: Instant,
    /// When progress was seen last.
    moved: Instant,
    /// What the kernel took since the beginning.
    sent: u64,
    /// What it had taken before and the peer had not.
    ahead: u64,
    /// What the peer had taken when it was looked at last.
    taken: u64,
}

impl Pace {
    /// A beginning. `unacknowledged`: what the peer has not taken of what the kernel has, if it tells.
    pub(crate) fn new(now: Instant, unacknowledged: Option<u64>) -> Pace {
        Pace { since: now, moved: now, sent: 0, ahead: unacknowledged.unwrap_or(0), taken: 0 }
    }

    /// The kernel took more.
    pub(crate) fn note_sent(&mut self, bytes: u64, now: Instant) {
        self.sent += bytes;
        self.moved = now;
    }

    /// Looks again.
    pub(crate) fn look(&mut self, unacknowledged: Option<u64>, now: Instant) {
        let taken = match unacknowledged {
            None => self.sent,
            Some(left) => (self.ahead + self.sent).saturating_sub(left),
        };
        if unacknowledged.is_some() && taken > self.taken {
            self.moved = now; // Or earlier, since the last look.
        }
        self.taken = taken;
    }

    /// When it is too slow, as far as is known now.
    pub(crate) fn ends_at(&self, send_timeout: Duration, rate_min: MinRate) -> Option<Instant> {
        rate_min.ends_at(self.moved.checked_add(send_timeout), self.since, self.taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn rate(bytes_per_second: u64) -> MinRate {
        MinRate { bytes_per_second, after: 20 * S }
    }

    /// The kernel has a megabyte and takes nothing for minutes; the peer reads on.
    #[test]
    fn a_peer_that_reads_what_the_kernel_took_ahead_makes_progress() {
        let base = Instant::now();
        let mut pace = Pace::new(base, Some(1_000_000));
        for (second, left, ends_at) in
            [(20, 980_000, Some(40)), (40, 979_000, Some(42)), (42, 979_000, Some(42)), (50, 900_000, Some(80))]
        {
            pace.look(Some(left), base + second * S);
            assert_eq!(pace.ends_at(30 * S, rate(500)), ends_at.map(|at| base + at * S), "at {second} s");
        }
        // Whose rate is no matter must not be silent.
        assert_eq!(pace.ends_at(30 * S, rate(0)), Some(base + 80 * S));
        pace.look(Some(900_000), base + 80 * S);
        assert_eq!(pace.ends_at(30 * S, rate(0)), Some(base + 80 * S));
    }

    #[test]
    fn what_the_kernel_takes_counts_where_it_does_not_tell_more() {
        let base = Instant::now();
        let mut pace = Pace::new(base, None);
        pace.note_sent(15_000, base + 19 * S);
        pace.look(None, base + 20 * S);
        assert_eq!(pace.ends_at(30 * S, rate(500)), Some(base + 30 * S));
        assert_eq!(pace.ends_at(30 * S, rate(0)), Some(base + 49 * S), "the send timeout, from the last byte");
    }
}
