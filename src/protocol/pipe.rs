//! A bounded queue of bytes into a live connection, from any thread: streams, chat rooms, offloaded work.
//!
//! Invariant: what is queued is at most `bound` bytes, the places of messages counted. The receiver drains until it is empty or its outbox is full (then
//! [`Cue::Room`](super::Cue::Room) comes), so only the first bytes into an empty pipe, and its closing, need to wake it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// What the place of a message in the queue counts for, beside its bytes: else a million messages of one byte were a million bytes.
const PLACE_BYTES: usize = 32;

/// A pipe that holds up to `bound` bytes and uses `waker` when the receiver should look.
///
/// A message behind others counts for 32 bytes more than it has; the first fits where it is no longer than `bound`.
pub fn pipe(bound: usize, waker: Waker) -> (Sender, Receiver) {
    let state = State { queue: VecDeque::new(), bytes: 0, bound, senders: 1, end: End::Ahead };
    let shared = Arc::new(Shared { state: Mutex::new(state), waker });
    (Sender(shared.clone()), Receiver(shared))
}

/// The end to write into; clones write into the same pipe. The pipe is closed when the last is dropped, and cut where a panic drops it.
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
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// More may come.
    Ahead,
    /// What is queued is the last.
    Closed,
    /// It breaks off: what was queued is gone.
    Cut,
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
    /// None any more, and what came is not all there is: see [`Sender::cut`].
    Cut,
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
        if state.end != End::Ahead {
            return Err(SendError::Closed);
        }
        if bytes.len() > state.room() {
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
        self.end(End::Closed);
    }

    /// Breaks the pipe off for all its senders: what is queued is gone, and the receiver knows that something is missing. For a reader that is
    /// too slow, and for a source that failed halfway.
    pub fn cut(&self) {
        self.end(End::Cut);
    }

    /// Whether there is a receiver, and the pipe was not ended.
    pub fn is_open(&self) -> bool {
        self.0.state().end == End::Ahead
    }

    fn end(&self, end: End) {
        let mut state = self.0.state();
        let is_first = state.end(end);
        drop(state);
        if is_first {
            self.0.waker.wake_by_ref();
        }
    }
}

impl State {
    /// Bytes of the longest message that fits now.
    fn room(&self) -> usize {
        match self.queue.len() {
            0 => self.bound,
            places => self.bound.saturating_sub(self.bytes + places * PLACE_BYTES),
        }
    }

    /// Notes how it ends, and whether that is news.
    fn end(&mut self, end: End) -> bool {
        let is_news = match (self.end, end) {
            (End::Ahead, End::Closed | End::Cut) | (End::Closed, End::Cut) => true,
            (End::Closed, End::Closed) | (End::Cut, _) | (_, End::Ahead) => false,
        };
        if is_news {
            self.end = end;
        }
        if end == End::Cut {
            self.queue.clear();
            self.bytes = 0;
        }
        is_news
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
        let is_news = match (state.senders, std::thread::panicking()) {
            (_, true) => state.end(End::Cut), // It did not say all it had to say.
            (0, false) => state.end(End::Closed),
            (1.., false) => false,
        };
        drop(state);
        if is_news {
            self.0.waker.wake_by_ref();
        }
    }
}

impl Receiver {
    /// Whether it was cut off: for who has no room to take more, and so would not see it.
    pub fn is_cut(&self) -> bool {
        self.0.state().end == End::Cut
    }

    /// Takes the oldest bytes.
    pub fn take(&self) -> Taken {
        let mut state = self.0.state();
        match state.queue.pop_front() {
            Some(bytes) => {
                state.bytes -= bytes.len();
                Taken::Bytes(bytes)
            }
            None => match state.end {
                End::Ahead => Taken::Empty,
                End::Closed => Taken::Ended,
                End::Cut => Taken::Cut,
            },
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.0.state().end(End::Cut);
    }
}
