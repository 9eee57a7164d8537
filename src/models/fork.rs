//! A process for each connection, which ends with it; and three ways to leave no zombie.

use super::Reap;
use super::processes;
use super::shared::Shared;
use super::staff::{Hands, Staff};
use super::worker::{Bell, Worker};
use crate::reactor::Visitor;
use crate::sys::{self, Forked, SoleThread};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// What a child ends with that could not fork the grandchild.
const CANNOT_FORK: u8 = 1;

pub(super) struct Fork {
    alone: SoleThread,
    reap: Reap,
    /// Tells that a child has ended, where it is waited for.
    signal: Option<OwnedFd>,
    /// The tickets of those that are waited for.
    children: HashMap<u32, u32>,
}

impl Fork {
    pub(super) fn new(reap: Reap) -> io::Result<Fork> {
        Ok(Fork { alone: SoleThread::new()?, reap, signal: None, children: HashMap::new() })
    }

    /// Forks a child that serves.
    fn fork(&mut self, staff: &mut Staff, visitor: &Visitor) -> io::Result<()> {
        let bell = Bell::new()?;
        let serve = |shared: Arc<Shared>, watch| {
            Worker::new(shared, watch, bell).serve(visitor.socket.as_fd(), visitor.peer, None, &[])
        };
        match self.reap {
            Reap::Ignore => processes::fork(&self.alone, staff, |_, shared, watch| serve(shared, watch)).map(drop),
            Reap::Wait => {
                let child = processes::fork(&self.alone, staff, |_, shared, watch| serve(shared, watch))?;
                self.children.insert(child, visitor.ticket);
                Ok(())
            }
            Reap::DoubleFork => {
                let child = processes::fork(&self.alone, staff, |alone, shared, watch| match sys::fork(alone) {
                    Ok(Forked::Parent(_)) => {}
                    Ok(Forked::Child) => serve(shared, watch),
                    Err(_) => sys::exit_now(CANNOT_FORK),
                })?;
                match sys::reap_one(child)?.code {
                    Some(0) => Ok(()),
                    Some(_) | None => Err(io::Error::other("a child could not fork")),
                }
            }
        }
    }
}

impl Hands for Fork {
    fn begin(&mut self, _: &mut Staff) -> io::Result<Vec<OwnedFd>> {
        match self.reap {
            Reap::Wait => {
                let signal = self.signal.insert(sys::child_signal()?);
                Ok(vec![signal.try_clone()?])
            }
            Reap::DoubleFork => Ok(Vec::new()),
            Reap::Ignore => sys::ignore_children().map(|()| Vec::new()),
        }
    }

    fn take(&mut self, staff: &mut Staff, visitor: Visitor) -> Result<(), (io::Error, OwnedFd)> {
        staff.shared.tally.enter();
        self.fork(staff, &visitor).map_err(|error| {
            staff.shared.tally.leave();
            (error, visitor.socket)
        })
    }

    fn look(&mut self, staff: &mut Staff) {
        let Some(signal) = &self.signal else { return };
        processes::reap_all(signal.as_fd(), |ended| {
            let Some(ticket) = self.children.remove(&ended.pid) else { return };
            staff.shared.note_left(ticket);
            if ended.code.is_none() {
                staff.shared.tally.leave(); // It could not do so itself.
            }
        });
    }

    fn part(&mut self) {
        for (child, _) in self.children.drain() {
            let _ = sys::reap_one(child); // It is at its end: all let go of their ropes.
        }
    }
}
