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
    news: Mutex<News>,
    /// There is some. Changed under its lock, looked at without: in most turns there is none.
    has_news: AtomicBool,
    bell: Bell,
    stopped: AtomicBool,
}

#[derive(Default)]
struct News {
    woken: BTreeSet<Token>,
    shutdown: Option<Shutdown>,
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
        let (has_news, stopped) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Remote { news: Mutex::default(), has_news, bell: Bell::new()?, stopped })
    }

    /// The loop is about to wait. Whether it may sleep: news that came before this call did not ring.
    pub fn falls_asleep(&self) -> bool {
        self.bell.falls_asleep();
        !self.has_news.load(Ordering::SeqCst) && !self.is_stopped()
    }

    /// Moves the tokens that were woken into `into`.
    pub fn take_woken(&self, into: &mut Vec<Token>) {
        if self.has_news.load(Ordering::SeqCst) {
            self.change(|news| into.extend(std::mem::take(&mut news.woken)));
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
        self.has_news.load(Ordering::SeqCst).then(|| self.change(|news| news.shutdown.take())).flatten()
    }

    /// Makes the waker of a connection.
    pub fn waker(self: &Arc<Self>, token: Token) -> Waker {
        Waker::from(Arc::new(TokenWaker { remote: self.clone(), token }))
    }

    fn change<R>(&self, change: impl FnOnce(&mut News) -> R) -> R {
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut news);
        self.has_news.store(!news.woken.is_empty() || news.shutdown.is_some(), Ordering::SeqCst);
        result
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
        self.remote.change(|news| news.woken.insert(self.token));
        self.remote.bell.ring();
    }
}

/// Ends a loop, from any thread.
#[derive(Clone)]
pub struct Handle(pub(super) Arc<Remote>);

impl Handle {
    /// Makes the loop go down in good order: [`run`](super::Reactor::run) returns when all is finished.
    pub fn shut_down(&self, shutdown: Shutdown) {
        self.0.change(|news| news.shutdown = Some(shutdown));
        self.0.bell.ring();
    }

    /// Makes [`run`](super::Reactor::run) return after the turn it is in.
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::SeqCst);
        self.0.bell.ring();
    }
}
