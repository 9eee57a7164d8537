//! What other threads can do to a loop: wake one of its connections, stop it.
//!
//! Invariant: a wake is never lost, and costs a system call only when the loop sleeps. The list of the woken is no longer than the list of
//! the connections.

use crate::poller::Token;
use crate::sys::EventFd;
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

/// The part of a loop that other threads see.
pub struct Remote {
    woken: Mutex<BTreeSet<Token>>,
    bell: EventFd,
    /// The loop waits or is about to: who has news must ring.
    asleep: AtomicBool,
    stopped: AtomicBool,
}

impl Remote {
    pub fn new() -> io::Result<Remote> {
        Ok(Remote {
            woken: Mutex::default(),
            bell: EventFd::new()?,
            asleep: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        })
    }

    /// The loop is about to wait. Whether it may sleep: news that came before this call did not ring.
    pub fn falls_asleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        !self.is_stopped() && self.woken().is_empty()
    }

    /// The loop is back: news need not ring.
    pub fn wakes_up(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Moves the tokens that were woken into `into`.
    pub fn take_woken(&self, into: &mut Vec<Token>) {
        into.extend(std::mem::take(&mut *self.woken()));
    }

    pub fn bell(&self) -> &EventFd {
        &self.bell
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Makes the waker of a connection.
    pub fn waker(self: &Arc<Self>, token: Token) -> Waker {
        Waker::from(Arc::new(TokenWaker { remote: self.clone(), token }))
    }

    fn woken(&self) -> std::sync::MutexGuard<'_, BTreeSet<Token>> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        if self.asleep.swap(false, Ordering::SeqCst) {
            self.bell.ring();
        }
    }
}

impl AsFd for Remote {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

struct TokenWaker {
    remote: Arc<Remote>,
    token: Token,
}

impl Wake for TokenWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.remote.woken().insert(self.token);
        self.remote.ring();
    }
}

/// Stops a loop, from any thread.
#[derive(Clone)]
pub struct Handle(pub(super) Arc<Remote>);

impl Handle {
    /// Makes [`run`](super::Reactor::run) return after the turn it is in.
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::SeqCst);
        self.0.ring();
    }
}
