//! The tasks that are to be resumed, in the order in which they were woken, by any thread.
//!
//! Invariant: a task is in the queue at most once, and is woken for nothing rather than not at all: who wakes it after it was taken out
//! puts it in again.

use crate::bell::Bell;
use crate::poller::Token;
use std::io;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

/// The part of an executor that other threads see.
pub struct Ready {
    /// `None`: it is over, and nobody is resumed any more.
    queue: Mutex<Option<Vec<Arc<Ticket>>>>,
    pub bell: Bell,
}

/// What wakers hold of a task.
pub struct Ticket {
    ready: Arc<Ready>,
    pub token: Token,
    is_queued: AtomicBool,
}

impl Ready {
    pub fn new() -> io::Result<Arc<Ready>> {
        Ok(Arc::new(Ready { queue: Mutex::new(Some(Vec::new())), bell: Bell::new()? }))
    }

    /// Puts a new task into the queue.
    pub fn admit(self: &Arc<Ready>, token: Token) {
        Arc::new(Ticket { ready: self.clone(), token, is_queued: AtomicBool::new(false) }).wake();
    }

    /// Exchanges the queue for `batch`, which is empty; whether somebody was in it.
    pub fn take(&self, batch: &mut Vec<Arc<Ticket>>) -> bool {
        debug_assert!(batch.is_empty(), "who was taken is resumed first");
        if let Some(queue) = &mut *self.queue() {
            mem::swap(queue, batch);
        }
        !batch.is_empty()
    }

    /// Whether nobody is in the queue.
    pub fn is_empty(&self) -> bool {
        self.queue().as_ref().is_none_or(Vec::is_empty)
    }

    /// Nobody is resumed any more. Tickets know the queue, so it must not go on to hold tickets.
    pub fn end(&self) {
        let queue = self.queue().take();
        drop(queue); // Unlocked.
    }

    fn queue(&self) -> MutexGuard<'_, Option<Vec<Arc<Ticket>>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Its task is about to be resumed: who wakes it from now on wakes it once more.
    pub fn is_used(&self) {
        self.is_queued.store(false, Ordering::SeqCst);
    }
}

impl Wake for Ticket {
    fn wake(self: Arc<Self>) {
        if self.is_queued.swap(true, Ordering::SeqCst) {
            return;
        }
        let ready = self.ready.clone();
        if let Some(queue) = &mut *ready.queue() {
            queue.push(self);
        }
        ready.bell.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_queued.load(Ordering::SeqCst) {
            self.clone().wake();
        }
    }
}
