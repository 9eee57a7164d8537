//! Whoever serves connections in the loop's place: threads, processes.

use super::Shutdown;
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
    /// Serves a connection elsewhere: it comes back at once. An error comes with the socket, for the peer to be told.
    fn take(&mut self, visitor: Visitor) -> Result<(), (io::Error, OwnedFd)>;

    /// One of its descriptors is readable.
    fn look(&mut self);

    /// The tickets of connections that are over, each told once; where [`Limits::per_address_max`](super::Limits) asks.
    fn take_left(&mut self) -> Vec<u32>;

    /// Connections that it has.
    fn open(&self) -> usize;

    /// The loop goes down, and accepts no more. What is in flight is to be finished.
    fn shut_down(&mut self, shutdown: Shutdown);

    /// Once it is shut down: whether all its connections are over.
    fn is_gone(&self) -> bool;

    /// The loop has ended: whatever is left is to be cut off.
    fn end(&mut self);
}
