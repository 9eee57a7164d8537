//! Whoever serves connections in the loop's place: threads, processes, tasks.

use super::{Counters, Shutdown};
use crate::protocol::Accept;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// Who was accepted.
pub(crate) struct Visitor {
    pub socket: OwnedFd,
    pub peer: SocketAddr,
    /// No two that are open have the same.
    pub ticket: u32,
}

/// Serves what the loop accepts. The loop does the rest as ever: it accepts, refuses, hears of signals, goes down.
pub(crate) trait Crew {
    /// Has a connection served: it comes back at once. An error comes with the socket, for the peer to be told. `accept` is the listener's; who
    /// serves elsewhere has one of its own, since what it makes stays on the loop's thread.
    fn take(&mut self, visitor: Visitor, accept: &mut dyn Accept) -> Result<(), (io::Error, OwnedFd)>;

    /// One of its descriptors is readable.
    fn look(&mut self) {}

    /// Near the end of each turn: what it does on the loop's own thread.
    fn work(&mut self) {}

    /// Closes the connection that has been idle longest, where it can. Whether it did.
    fn evict_idle(&mut self) -> bool {
        false
    }

    /// The tickets of connections that are over, each told once; where [`Limits::per_address_max`](super::Limits) asks.
    fn take_left(&mut self) -> Vec<u32>;

    /// Connections that it has.
    fn open(&self) -> usize;

    /// What was done for its connections.
    fn counters(&self) -> Counters;

    /// The loop goes down, and accepts no more. What is in flight is to be finished.
    fn shut_down(&mut self, shutdown: Shutdown);

    /// The patience is over: nothing more is to be begun. Who works elsewhere sees to that by itself.
    fn finish(&mut self) {}

    /// Once it is shut down: whether all its connections are over.
    fn is_gone(&self) -> bool;

    /// The loop has ended: whatever is left is to be cut off.
    fn end(&mut self);
}
