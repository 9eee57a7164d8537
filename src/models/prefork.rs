//! A pool of processes, each of which accepts and serves, one client after another, from the same listeners.

use super::processes;
use super::staff::{Hands, Staff};
use super::worker::{Bell, Worker};
use crate::reactor::{Notice, Visitor};
use crate::sys::{self, EventFd, SoleThread};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// A worker that ended though nobody told it to is replaced no sooner than so long after it began: one that can't even begin would be replaced
/// for ever.
const LIFE_MIN: Duration = Duration::from_millis(100);

pub(super) struct Prefork {
    alone: SoleThread,
    processes: usize,
    /// Tells that a worker has ended.
    signal: OwnedFd,
    /// Rung where one could not be replaced, so that it is tried again.
    again: EventFd,
    /// When each began.
    workers: HashMap<u32, Instant>,
    is_closed: bool,
}

impl Prefork {
    pub(super) fn new(processes: usize) -> io::Result<Prefork> {
        let (alone, signal) = (SoleThread::new()?, sys::child_signal()?);
        Ok(Prefork { alone, processes, signal, again: EventFd::new()?, workers: HashMap::new(), is_closed: false })
    }

    /// Forks workers until there are as many as there should be.
    fn fill(&mut self, staff: &mut Staff) -> io::Result<()> {
        while self.workers.len() < self.processes {
            let (listeners, bell) = (staff.listeners()?, Bell::new()?);
            let worker = processes::fork(&self.alone, staff, |_, shared, watch| {
                Worker::new(shared, watch, bell).serve_all(&listeners);
            })?;
            self.workers.insert(worker, Instant::now());
        }
        Ok(())
    }
}

impl Hands for Prefork {
    fn begin(&mut self, staff: &mut Staff) -> io::Result<Vec<OwnedFd>> {
        self.fill(staff)?;
        Ok(vec![self.signal.try_clone()?, self.again.as_fd().try_clone_to_owned()?])
    }

    fn look(&mut self, staff: &mut Staff) {
        self.again.clear();
        let mut last_began = None;
        processes::reap_all(self.signal.as_fd(), |ended| last_began = last_began.max(self.workers.remove(&ended.pid)));
        if self.is_closed {
            return;
        }
        let age = last_began.map_or(Duration::ZERO, |began| began.elapsed());
        std::thread::sleep(LIFE_MIN.saturating_sub(age));
        if let Err(error) = self.fill(staff) {
            staff.shared.notice(&Notice::CannotAccept(error), Instant::now());
            self.again.ring();
        }
    }

    fn close(&mut self) {
        self.is_closed = true;
    }

    fn part(&mut self) {
        for (worker, _) in self.workers.drain() {
            let _ = sys::reap_one(worker); // It is at its end: all let go of their ropes.
        }
    }

    fn take(&mut self, _: &mut Staff, _: Visitor) -> Result<(), (io::Error, OwnedFd)> {
        unreachable!("its processes accept by themselves")
    }
}
