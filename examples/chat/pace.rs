//! How much somebody may do: a burst at once, then so much a second. Time is a parameter, nobody sleeps.

use std::time::{Duration, Instant};

/// What is allowed.
#[derive(Debug)]
pub struct Rate {
    /// One more is allowed each time this has passed.
    pub each: Duration,
    /// What may be spent at once, as the time that it takes to earn it.
    pub burst: Duration,
}

/// What was spent of a [`Rate`].
#[derive(Debug, Clone)]
pub struct Pace {
    rate: &'static Rate,
    /// When all that was spent is earned again.
    settled: Option<Instant>,
}

impl Pace {
    pub fn new(rate: &'static Rate) -> Pace {
        Pace { rate, settled: None }
    }

    /// Spends `count`, more than there is if need be.
    pub fn spend(&mut self, count: u32, now: Instant) {
        let since = self.settled.map_or(now, |settled| settled.max(now));
        self.settled = since.checked_add(self.rate.each * count);
    }

    /// Whether more was spent than there was.
    pub fn is_overspent(&self, now: Instant) -> bool {
        self.settled.is_some_and(|settled| settled.saturating_duration_since(now) > self.rate.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_then_one_at_a_time() {
        const RATE: Rate = Rate { each: Duration::from_millis(200), burst: Duration::from_secs(2) };
        let base = Instant::now();
        let mut pace = Pace::new(&RATE);
        for _ in 0..10 {
            assert!(!pace.is_overspent(base));
            pace.spend(1, base);
        }
        assert!(!pace.is_overspent(base), "ten are a burst");
        pace.spend(1, base);
        assert!(pace.is_overspent(base + Duration::from_millis(199)));
        assert!(!pace.is_overspent(base + Duration::from_millis(200)), "one is earned");
        // Who is silent for long earns no more than the burst.
        let later = base + Duration::from_secs(1000);
        pace.spend(11, later);
        assert!(pace.is_overspent(later));
    }
}
