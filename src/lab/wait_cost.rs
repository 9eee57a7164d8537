//! What one wait costs beside descriptors that are not ready: the poller alone, without sockets or HTTP.

use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};
use tripoll::poller::{Interest, Strategy, Token};
use tripoll::sys::{self, EventFd};

/// Descriptors that are watched, all but one of them never ready.
const REGISTERED: [usize; 5] = [10, 100, 1_000, 5_000, 10_000];

/// Descriptors left to others.
const DESCRIPTORS_RESERVED: u64 = 64;

/// Batches, of which the median counts, and how long each is waited for.
const BATCHES: usize = 5;
const BATCH_TIME: Duration = Duration::from_millis(4);

/// Microseconds of one wait that finds one descriptor ready.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WaitCost {
    pub strategy: String,
    pub registered: usize,
    pub microseconds: f64,
}

/// Measures each strategy at each number of descriptors that fits.
///
/// # Errors
/// What the pollers say.
pub fn measure(strategies: &[Strategy]) -> io::Result<Vec<WaitCost>> {
    let descriptors_max = sys::raise_descriptor_limit()?.saturating_sub(DESCRIPTORS_RESERVED);
    let mut costs = Vec::new();
    for registered in REGISTERED.into_iter().filter(|registered| *registered as u64 <= descriptors_max) {
        let descriptors = (0..registered).map(|_| EventFd::new()).collect::<io::Result<Vec<_>>>()?;
        descriptors[registered / 2].ring();
        for strategy in strategies {
            let microseconds = one_wait(*strategy, &descriptors)?;
            costs.push(WaitCost { strategy: strategy.to_string(), registered, microseconds });
        }
    }
    Ok(costs)
}

fn one_wait(strategy: Strategy, descriptors: &[EventFd]) -> io::Result<f64> {
    let mut poller = strategy.open()?;
    for (index, descriptor) in descriptors.iter().enumerate() {
        poller.add(descriptor.as_fd(), Token { index: index as u32, generation: 0 }, Interest::READ)?;
    }
    let mut events = Vec::new();
    // The edge trigger watches for room to write too, and is told of all that have it once.
    for _ in 0..=descriptors.len() / 256 {
        poller.wait(&mut events, Some(Duration::ZERO))?;
    }
    let mut batches = Vec::new();
    for _ in 0..BATCHES {
        let (begun, mut waits) = (Instant::now(), 0_u32);
        while begun.elapsed() < BATCH_TIME {
            poller.wait(&mut events, None)?;
            waits += 1;
        }
        batches.push(begun.elapsed().as_secs_f64() * 1e6 / f64::from(waits));
    }
    for descriptor in descriptors {
        poller.remove(descriptor.as_fd())?;
    }
    batches.sort_by(f64::total_cmp);
    Ok(batches[BATCHES / 2])
}
