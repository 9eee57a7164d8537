//! The least that a peer has to move on average, so that one who is patient is not waited for as long as it likes.
//!
//! Invariant: no state and no clock: whoever counts bytes asks when they will be too few.

use std::time::{Duration, Instant};

/// A minimum average rate, asked for once some time has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinRate {
    /// More than so many bytes a second; 0 asks for nothing.
    pub bytes_per_second: u64,
    /// From when on: every transfer gets that long to begin.
    pub after: Duration,
}

impl MinRate {
    /// Any rate will do.
    pub const NONE: MinRate = MinRate { bytes_per_second: 0, after: Duration::ZERO };

    /// When a transfer that began at `since` and has moved `bytes` ends unless more come before: at `stalls_at`, or when it is too slow.
    pub fn ends_at(self, stalls_at: Option<Instant>, since: Instant, bytes: u64) -> Option<Instant> {
        stalls_at.into_iter().chain(self.falls_short_at(since, bytes)).min()
    }

    /// How long after a transfer's beginning to look first, where one that moves nothing for `stall_timeout` ends too.
    pub fn first_look(self, stall_timeout: Duration) -> Duration {
        match self.bytes_per_second {
            0 => stall_timeout,
            _ => stall_timeout.min(self.after),
        }
    }

    /// When a transfer that began at `since` and has moved `bytes` is too slow unless more come before; `None`: never.
    pub fn falls_short_at(self, since: Instant, bytes: u64) -> Option<Instant> {
        let rate = self.bytes_per_second;
        let (seconds, rest) = (bytes.checked_div(rate)?, bytes % rate);
        // Rounded down: a billionth of a second is nobody's loss.
        let nanos = u128::from(rest) * 1_000_000_000 / u128::from(rate);
        let paid = Duration::new(seconds, nanos as u32);
        since.checked_add(paid.max(self.after))
    }
}

/// 500 bytes a second once 20 seconds have passed: what Apache's mod_reqtimeout asks of bodies, and less than any modem moves.
impl Default for MinRate {
    fn default() -> MinRate {
        MinRate { bytes_per_second: 500, after: Duration::from_secs(20) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_buy_time_and_the_beginning_is_free() {
        let (base, ms) = (Instant::now(), Duration::from_millis);
        let rate = MinRate::default();
        for (bytes, want_ms) in
            [(0, 20_000), (1, 20_000), (10_000, 20_000), (10_001, 20_002), (10_500, 21_000), (500_000, 1_000_000)]
        {
            assert_eq!(rate.falls_short_at(base, bytes), Some(base + ms(want_ms)), "{bytes} bytes");
        }
        assert_eq!(
            MinRate { bytes_per_second: 1, ..rate }.falls_short_at(base, u64::MAX),
            None,
            "past what a clock tells"
        );
        assert_eq!(MinRate::NONE.falls_short_at(base, 0), None);
    }
}
