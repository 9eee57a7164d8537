//! What a loop has done, for other threads to read while it runs.

use super::Counters;
use std::sync::{Arc, Mutex, PoisonError};

/// The counters of a loop as they were at the end of its last turn; all zero before it has one. Clones read the same loop.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<Mutex<Counters>>);

impl Meter {
    /// What was done so far. Waits for nobody but another reader.
    pub fn read(&self) -> Counters {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn show(&self, counters: Counters) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = counters;
    }
}
