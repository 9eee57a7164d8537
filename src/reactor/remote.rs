//! What other threads can do to a loop: wake one of its connections, stop it.
//!
//! Invariant: a wake is never lost, and costs a system call only when the loop sleeps. The list of the woken is no longer than the list of
//! the connections.

use crate::bell::Bell;
use crate::poller::Token;
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

/// The part of a loop that other threads see.
pub struct Remote {
    woken: Mutex<BTreeSet<Token>>,
    bell: Bell,
    stopped: AtomicBool,
    shutdown: Mutex<Option<Shutdown>>,
}

/// How a loop goes down: it accepts no more, and ends when the last connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shutdown {
    /// How long what is in flight may take; then it is cut off.
    pub grace: Duration,
    /// How long a connection may begin one thing more, since that may be on its way already.
    pub patience: Duration,
}

impl Remote {
    pub fn new() -> io::Result<Remote> {
        Ok(Remote {
            woken: Mutex::default(),
            bell: Bell::new()?,
            stopped: AtomicBool::new(false),
            shutdown: Mutex::default(),
        })
    }

    /// The loop is about to wait. Whether it may sleep: news that came before this call did not ring.
    pub fn falls_asleep(&self) -> bool {
        self.bell.falls_asleep();
        let is_asked = self.shutdown.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        !is_asked && !self.is_stopped() && self.woken().is_empty()
    }

    /// Moves the tokens that were woken into `into`.
    pub fn take_woken(&self, into: &mut Vec<Token>) {
        let mut woken = self.woken();
        if !woken.is_empty() {
            into.extend(std::mem::take(&mut *woken));
        }
    }

    pub fn bell(&self) -> &Bell {
        &self.bell
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// The shutdown that was asked for since the last call.
    pub fn take_shutdown(&self) -> Option<Shutdown> {
        self.shutdown.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Makes the waker of a connection.
    pub fn waker(self: &Arc<Self>, token: Token) -> Waker {
        Waker::from(Arc::new(TokenWaker { remote: self.clone(), token }))
    }

    fn woken(&self) -> std::sync::MutexGuard<'_, BTreeSet<Token>> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.remote.bell.ring();
    }
}

/// Ends a loop, from any thread.
#[derive(Clone)]
pub struct Handle(pub(super) Arc<Remote>);

impl Handle {
    /// Makes the loop go down in good order: [`run`](super::Reactor::run) returns when all is finished.
    pub fn shut_down(&self, shutdown: Shutdown) {
        *self.0.shutdown.lock().unwrap_or_else(PoisonError::into_inner) = Some(shutdown);
        self.0.bell.ring();
    }

    /// Makes [`run`](super::Reactor::run) return after the turn it is in.
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::SeqCst);
        self.0.bell.ring();
    }
}
