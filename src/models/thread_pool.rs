//! A pool of threads, and a bounded queue before it.
//!
//! Invariant: the crowd's bell is readable just as long as somebody is queued.

use super::shared::Shared;
use super::staff::{Hands, Staff};
use super::worker::{Bell, Worker};
use crate::reactor::Visitor;
use crate::sys::EventFd;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Connections that wait for a thread; the next is turned away. A browser opens six.
const QUEUE_MAX: usize = 128;

pub(super) struct ThreadPool {
    threads: usize,
    queue: Arc<Queue>,
}

struct Queue {
    state: Mutex<State>,
    news: Condvar,
    crowd: EventFd,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Visitor>,
    is_closed: bool,
}

impl ThreadPool {
    pub(super) fn new(threads: usize) -> io::Result<ThreadPool> {
        let queue = Queue { state: Mutex::default(), news: Condvar::new(), crowd: EventFd::new()? };
        Ok(ThreadPool { threads, queue: Arc::new(queue) })
    }
}

impl Hands for ThreadPool {
    fn begin(&mut self, staff: &mut Staff) -> io::Result<Vec<OwnedFd>> {
        for _ in 0..self.threads {
            let (shared, watch, bell, queue) = (staff.shared.clone(), staff.watch(), Bell::new()?, self.queue.clone());
            let serve = move || {
                let mut worker = Worker::new(shared.clone(), watch, bell);
                while let Some(Visitor { socket, peer, ticket }) = queue.next(&shared) {
                    worker.serve(socket.as_fd(), peer, Some(ticket), &[queue.crowd.as_fd()]);
                }
            };
            std::thread::Builder::new().name("pool".into()).spawn(serve)?;
        }
        Ok(Vec::new())
    }

    fn take(&mut self, staff: &mut Staff, visitor: Visitor) -> Result<(), (io::Error, OwnedFd)> {
        let mut state = self.queue.state();
        if state.waiting.len() >= QUEUE_MAX {
            return Err((io::Error::other("all threads are at work, and the queue is full"), visitor.socket));
        }
        staff.shared.tally.enter();
        state.waiting.push_back(visitor);
        if state.waiting.len() == 1 {
            self.queue.crowd.ring();
        }
        drop(state);
        self.queue.news.notify_one();
        Ok(())
    }

    fn close(&mut self) {
        self.queue.state().is_closed = true;
        self.queue.news.notify_all();
    }
}

impl Queue {
    /// Nothing in it is left half done by a panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who waits longest; `None` when no more come.
    fn next(&self, shared: &Shared) -> Option<Visitor> {
        let mut state = self.state();
        loop {
            if let Some(first) = state.waiting.pop_front() {
                if state.waiting.is_empty() {
                    self.crowd.clear();
                }
                return Some(first);
            }
            if state.is_closed {
                return None;
            }
            drop(state);
            let retry = (shared.before_wait)();
            state = self.state();
            if state.waiting.is_empty() && !state.is_closed {
                state = match retry {
                    None => self.news.wait(state).unwrap_or_else(PoisonError::into_inner),
                    Some(time) => self.news.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0,
                };
            }
        }
    }
}
