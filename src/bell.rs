//! The bell of a loop: how other threads wake it while it waits for descriptors.
//!
//! Invariant: who has news puts it where the loop looks, then rings; the loop says that it falls asleep, then looks, then waits. So whatever
//! the order no news is slept over, and a ring costs a system call only when the loop sleeps.
//!
//! ```text
//!   loop     falls_asleep ── look for news ── wait (its descriptor among others) ── wakes_up ── clear
//!   others                     put news there ── ring
//! ```

use crate::sys::EventFd;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Becomes readable when it is rung while its loop sleeps.
pub struct Bell {
    descriptor: EventFd,
    /// The loop waits or is about to: who has news must ring.
    asleep: AtomicBool,
}

impl Bell {
    /// # Errors
    /// What eventfd(2) says.
    pub fn new() -> io::Result<Bell> {
        Ok(Bell { descriptor: EventFd::new()?, asleep: AtomicBool::new(false) })
    }

    /// The loop is about to wait. News that came before this call did not ring: it is to be looked for after it.
    pub fn falls_asleep(&self) {
        self.asleep.store(true, Ordering::SeqCst);
    }

    /// The loop is back: news need not ring. Who sees this late rings for nothing, so it need not be seen at once.
    pub fn wakes_up(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// There is news, put where the loop looks before this call.
    pub fn ring(&self) {
        if self.asleep.swap(false, Ordering::SeqCst) {
            self.descriptor.ring();
        }
    }

    /// Unreadable until the next ring.
    pub fn clear(&self) {
        self.descriptor.clear();
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
