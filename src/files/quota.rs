//! How much may be taken: by the files of a folder, by lists in memory. What is asked for is set aside before a byte of it is written.
//!
//! Invariant: what was set aside is given back, unless a file took it. What other programs write or remove is not seen before the next start.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A bound on bytes, and how many of them are used or set aside.
#[derive(Debug)]
pub(super) struct Quota {
    bytes_max: u64,
    used: AtomicU64,
}

/// What is set aside for one file or list.
#[derive(Debug)]
pub(super) struct Room {
    quota: Arc<Quota>,
    bytes: u64,
}

/// No more may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exceeded;

impl Quota {
    /// Of which `used` bytes are used already, be it more than there may be.
    pub(super) fn new(bytes_max: u64, used: u64) -> Quota {
        Quota { bytes_max, used: AtomicU64::new(used) }
    }

    /// How much may be used.
    pub(super) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Room for what may turn out to be larger.
    pub(super) fn room(self: &Arc<Quota>, bytes: u64) -> Result<Room, Exceeded> {
        let mut room = Room { quota: self.clone(), bytes: 0 };
        room.grow_to(bytes).map(|()| room)
    }

    /// A file of that size is there no more. Where another program made it there may have been less.
    pub(super) fn give_back(&self, bytes: u64) {
        let less = |used: u64| Some(used.saturating_sub(bytes));
        let _ = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

impl Room {
    /// Sets aside as much as it has not yet.
    pub(super) fn grow_to(&mut self, bytes: u64) -> Result<(), Exceeded> {
        let more = bytes.saturating_sub(self.bytes);
        let grown = |used: u64| used.checked_add(more).filter(|used| *used <= self.quota.bytes_max);
        if more > 0 {
            self.quota.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).map_err(|_| Exceeded)?;
            self.bytes = bytes;
        }
        Ok(())
    }

    /// A file took it.
    pub(super) fn keep(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.quota.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_aside_is_given_back_unless_it_is_kept() {
        let quota = Arc::new(Quota::new(10, 3));
        assert_eq!(quota.room(8).unwrap_err(), Exceeded);
        let mut room = quota.room(4).unwrap();
        assert_eq!(room.grow_to(8), Err(Exceeded));
        assert_eq!(room.grow_to(7), Ok(()));
        assert_eq!(quota.room(1).unwrap_err(), Exceeded);
        drop(room);
        quota.room(7).unwrap().keep();
        assert_eq!(quota.room(1).unwrap_err(), Exceeded);
        quota.give_back(20);
        assert!(quota.room(10).is_ok() && quota.room(11).is_err() && quota.room(u64::MAX).is_err());
        let full = Arc::new(Quota::new(10, 11));
        assert!(full.room(0).is_ok() && full.room(1).is_err());
    }
}
