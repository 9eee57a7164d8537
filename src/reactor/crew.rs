//! Whoever serves connections in the loop's place: threads, processes.

use super::Shutdown;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// Serves what the loop accepts. The loop does the rest as ever: it accepts, refuses, hears of signals, goes down.
pub(crate) trait Crew {
    /// Serves what `peer` opened, elsewhere: it comes back at once. An error comes with the socket, for the peer to be told.
    fn take(&mut self, socket: OwnedFd, peer: SocketAddr) -> Result<(), (io::Error, OwnedFd)>;

    /// Connections that it has.
    fn open(&self) -> usize;

    /// The loop goes down, and accepts no more. What is in flight is to be finished.
    fn shut_down(&mut self, shutdown: Shutdown);

    /// Once it is shut down: whether all its connections are over.
    fn is_gone(&self) -> bool;

    /// The loop has ended: whatever is left is to be cut off.
    fn end(&mut self);
}
