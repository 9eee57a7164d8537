//! A bounded queue of bytes into a live connection, from any thread: streams, chat rooms, offloaded work.
//!
//! Invariant: what is queued is at most `bound` bytes. The receiver drains until it is empty or its outbox is full (then
//! [`Cue::Room`](super::Cue::Room) comes), so only the first bytes into an empty pipe, and its closing, need to wake it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// A pipe that holds up to `bound` bytes and uses `waker` when the receiver should look.
pub fn pipe(bound: usize, waker: Waker) -> (Sender, Receiver) {
    let state = State { queue: VecDeque::new(), bytes: 0, bound, senders: 1, closed: false };
    let shared = Arc::new(Shared { state: Mutex::new(state), waker });
    (Sender(shared.clone()), Receiver(shared))
}

/// The end to write into; clones write into the same pipe. The pipe is closed when the last is dropped.
pub struct Sender(Arc<Shared>);

/// The end that a connection drains. Dropping it makes every send fail.
pub struct Receiver(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Outside the lock: waking may run code that sends.
    waker: Waker,
}

struct State {
    queue: VecDeque<Arc<[u8]>>,
    bytes: usize,
    bound: usize,
    senders: usize,
    closed: bool,
}

/// Why bytes were not sent. What that means (drop them, drop the reader) is for the sender's owner to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendError {
    /// They do not fit now; more than the pipe's bound never do.
    Full,
    /// Nobody will read them.
    Closed,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Full => "the pipe is full",
            SendError::Closed => "the pipe is closed",
        })
    }
}

impl std::error::Error for SendError {}

/// What [`Receiver::take`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// The oldest bytes.
    Bytes(Arc<[u8]>),
    /// None now.
    Empty,
    /// None any more.
    Ended,
}

impl Shared {
    /// A thread that panicked while it held the lock left the state whole: nothing in here can panic halfway.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sender {
    /// Queues `bytes`, whole or not at all.
    ///
    /// # Errors
    /// [`SendError`], at once: a pipe never blocks.
    pub fn send(&self, bytes: impl Into<Arc<[u8]>>) -> Result<(), SendError> {
        let bytes = bytes.into();
        let mut state = self.0.state();
        if state.closed {
            return Err(SendError::Closed);
        }
        if bytes.len() > state.bound - state.bytes {
            return Err(SendError::Full);
        }
        if bytes.is_empty() {
            return Ok(()); // They would take no byte of the bound, and a place in the queue each.
        }
        let was_empty = state.queue.is_empty();
        state.bytes += bytes.len();
        state.queue.push_back(bytes);
        drop(state);
        if was_empty {
            self.0.waker.wake_by_ref();
        }
        Ok(())
    }

    /// Ends the pipe for all its senders. What is queued can still be taken.
    pub fn close(&self) {
        let was_closed = std::mem::replace(&mut self.0.state().closed, true);
        if !was_closed {
            self.0.waker.wake_by_ref();
        }
    }
}

impl Clone for Sender {
    fn clone(&self) -> Sender {
        self.0.state().senders += 1;
        Sender(self.0.clone())
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.senders -= 1;
        let is_last = state.senders == 0 && !state.closed;
        state.closed |= is_last;
        drop(state);
        if is_last {
            self.0.waker.wake_by_ref();
        }
    }
}

impl Receiver {
    /// Takes the oldest bytes.
    pub fn take(&self) -> Taken {
        let mut state = self.0.state();
        match state.queue.pop_front() {
            Some(bytes) => {
                state.bytes -= bytes.len();
                Taken::Bytes(bytes)
            }
            None if state.closed => Taken::Ended,
            None => Taken::Empty,
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.closed = true;
        state.queue.clear();
        state.bytes = 0;
    }
}
