//! Values from many tasks, or threads, to one task; as many at once as were agreed.
//!
//! Invariant: what is queued is never more than the bound. A place that becomes free wakes one who waits for it, and who is woken and does not
//! take it wakes the next.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A queue of at most `bound` values.
///
/// # Panics
/// Where `bound` is 0.
pub fn channel<T>(bound: usize) -> (Sender<T>, Receiver<T>) {
    assert!(bound > 0, "a channel holds one value at least");
    let state = State {
        queue: VecDeque::new(),
        bound,
        senders: 1,
        is_received: true,
        receiver: None,
        waiting: VecDeque::new(),
        next_number: 0,
    };
    let shared = Arc::new(Mutex::new(state));
    (Sender(shared.clone()), Receiver(shared))
}

/// The end to send into; clones send into the same channel. It may go to another thread, which has [`try_send`](Self::try_send).
pub struct Sender<T>(Arc<Mutex<State<T>>>);

/// The end to receive from. Dropping it makes every send fail.
pub struct Receiver<T>(Arc<Mutex<State<T>>>);

/// Nobody will receive the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed<T>(pub T);

/// Why a value was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// There is no room now.
    Full(T),
    /// Nobody will receive it.
    Closed(T),
}

struct State<T> {
    queue: VecDeque<T>,
    bound: usize,
    senders: usize,
    is_received: bool,
    /// Who waits for a value.
    receiver: Option<Waker>,
    /// Who waits for room, in their order, each with a number by which it finds its own place.
    waiting: VecDeque<(u64, Waker)>,
    next_number: u64,
}

/// A value on its way into the queue.
struct Sending<'a, T> {
    sender: &'a Sender<T>,
    value: Option<T>,
    /// Once it waits.
    number: Option<u64>,
}

/// Nothing in here can panic halfway, so a lock that a panic poisoned guards a whole state.
fn lock<T>(state: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Unlocked, since it may run foreign code.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl<T> Sender<T> {
    /// Sends `value`, and waits where there is no room for it.
    ///
    /// # Errors
    /// [`Closed`], with the value.
    pub async fn send(&self, value: T) -> Result<(), Closed<T>> {
        Sending { sender: self, value: Some(value), number: None }.await
    }

    /// Sends `value`, from any thread, if there is room now.
    ///
    /// # Errors
    /// [`TrySendError`], with the value.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        let mut state = lock(&self.0);
        let receiver = state.put(value)?;
        drop(state);
        wake(receiver);
        Ok(())
    }
}

impl<T> State<T> {
    /// Queues `value`; who is to be woken for it.
    fn put(&mut self, value: T) -> Result<Option<Waker>, TrySendError<T>> {
        if !self.is_received {
            return Err(TrySendError::Closed(value));
        }
        if self.queue.len() >= self.bound {
            return Err(TrySendError::Full(value));
        }
        self.queue.push_back(value);
        Ok(self.receiver.take())
    }

    /// Makes `waker` wait for room, under the number it has or a new one. What waited in its place.
    fn wait(&mut self, number: &mut Option<u64>, waker: &Waker) -> Option<Waker> {
        if let Some((_, place)) = self.waiting.iter_mut().find(|(other, _)| Some(*other) == *number) {
            return Some(mem::replace(place, waker.clone()));
        }
        *number = Some(self.next_number);
        self.waiting.push_back((self.next_number, waker.clone()));
        self.next_number += 1;
        None
    }

    /// Takes who has that number out of those who wait, if it is among them.
    fn leave(&mut self, number: u64) -> Option<Waker> {
        let at = self.waiting.iter().position(|(other, _)| *other == number)?;
        self.waiting.remove(at).map(|(_, waker)| waker)
    }
}

impl<T> Receiver<T> {
    /// Takes the oldest value, and waits where there is none; `None`: none will come, since every sender was dropped.
    pub async fn recv(&mut self) -> Option<T> {
        poll_fn(|cx| {
            let mut state = lock(&self.0);
            if let Some(value) = state.queue.pop_front() {
                let next = state.waiting.pop_front();
                drop(state);
                wake(next.map(|(_, waker)| waker));
                return Poll::Ready(Some(value));
            }
            if state.senders == 0 {
                return Poll::Ready(None);
            }
            let before = state.receiver.replace(cx.waker().clone());
            drop(state);
            drop(before); // Unlocked.
            Poll::Pending
        })
        .await
    }
}

/// Its value is never pinned.
impl<T> Unpin for Sending<'_, T> {}

impl<T> Future for Sending<'_, T> {
    type Output = Result<(), Closed<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Closed<T>>> {
        let Sending { sender, value, number } = &mut *self;
        let mut state = lock(&sender.0);
        let (left, receiver) = match state.put(value.take().expect("it is not polled after its end")) {
            Ok(receiver) => (number.take().and_then(|number| state.leave(number)), receiver),
            Err(TrySendError::Closed(value)) => return Poll::Ready(Err(Closed(value))),
            Err(TrySendError::Full(back)) => {
                *value = Some(back);
                let before = state.wait(number, cx.waker());
                drop(state);
                drop(before); // Unlocked.
                return Poll::Pending;
            }
        };
        drop(state);
        drop(left);
        wake(receiver);
        Poll::Ready(Ok(()))
    }
}

impl<T> Drop for Sending<'_, T> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut state = lock(&self.sender.0);
        let left = state.leave(number);
        // Who does not wait any more was woken for a place that it does not take.
        let next = if left.is_none() && state.queue.len() < state.bound { state.waiting.pop_front() } else { None };
        drop(state);
        drop(left);
        wake(next.map(|(_, waker)| waker));
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        lock(&self.0).senders += 1;
        Sender(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.senders -= 1;
        let receiver = if state.senders == 0 { state.receiver.take() } else { None };
        drop(state);
        wake(receiver);
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.is_received = false;
        let (queue, waiting) = (mem::take(&mut state.queue), mem::take(&mut state.waiting));
        drop(state);
        drop(queue); // Unlocked.
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

impl<T> fmt::Display for Closed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the channel is closed")
    }
}

impl<T: fmt::Debug> std::error::Error for Closed<T> {}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "the channel is full",
            TrySendError::Closed(_) => "the channel is closed",
        })
    }
}

impl<T: fmt::Debug> std::error::Error for TrySendError<T> {}
