//! The seam between the loop and the operating system: what [`reactor`](crate::reactor) and its transport ask of sockets and clocks.
//!
//! [`Linux`] asks the real one. A test puts a simulated one in its place, whose sockets own an inert descriptor as their identity.

use super::net;
use std::fs::{File, Metadata};
use std::io;
use std::net::SocketAddr;
use std::ops::{Add, Sub};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Instant, SystemTime};

/// The system calls of a connection's life, and the clocks. Each does what the man page of its name says, without blocking.
pub trait Kernel {
    /// accept4(2): one connection, non-blocking, and who is at the other end.
    fn accept(&mut self, listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, SocketAddr)>;
    /// recv(2): 0 is the end of the stream.
    fn receive(&mut self, socket: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<usize>;
    /// send(2); `more` as `MSG_MORE`.
    fn send(&mut self, socket: BorrowedFd<'_>, bytes: &[u8], more: bool) -> io::Result<usize>;
    /// sendfile(2): 0 is the end of the file.
    fn send_file(&mut self, socket: BorrowedFd<'_>, file: &File, offset: u64, length: usize) -> io::Result<usize>;
    /// fstat(2).
    fn stat(&mut self, file: &File) -> io::Result<Metadata> {
        file.metadata()
    }
    /// shutdown(2) of the sending direction.
    fn shutdown_write(&mut self, socket: BorrowedFd<'_>) -> io::Result<()>;
    /// Nobody new gets into the queue of `listener`, which so can be emptied before it is closed. Where that can't be, nothing happens.
    fn bar_entry(&mut self, listener: BorrowedFd<'_>) {
        let _ = listener;
    }
    /// Closing `socket` will throw away what was sent and not taken, and tell the peer by a reset.
    fn reset_on_close(&mut self, socket: BorrowedFd<'_>) {
        let _ = socket;
    }
    /// Bytes that were sent and that the peer has not acknowledged (`SIOCOUTQ`, tcp(7)); `None` where that is not known.
    fn unacknowledged(&mut self, socket: BorrowedFd<'_>) -> Option<u64>;
    /// The clock that only goes forward, for deadlines.
    fn monotonic(&mut self) -> Instant;
    /// The clock on the wall, for the Date field.
    fn wall(&mut self) -> SystemTime;
    /// How often each was called.
    fn calls(&self) -> Calls;
}

/// How often each system call of a [`Kernel`] was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)] // Each field is the function of its name.
pub struct Calls {
    pub accept: u64,
    pub receive: u64,
    pub send: u64,
    pub send_file: u64,
    pub stat: u64,
    pub shutdown: u64,
    pub unacknowledged: u64,
}

impl Calls {
    /// Each figure of both, put together by `join`.
    fn joined(self, other: Calls, join: impl Fn(u64, u64) -> u64) -> Calls {
        Calls {
            accept: join(self.accept, other.accept),
            receive: join(self.receive, other.receive),
            send: join(self.send, other.send),
            send_file: join(self.send_file, other.send_file),
            stat: join(self.stat, other.stat),
            shutdown: join(self.shutdown, other.shutdown),
            unacknowledged: join(self.unacknowledged, other.unacknowledged),
        }
    }
}

impl Add for Calls {
    type Output = Calls;

    fn add(self, other: Calls) -> Calls {
        self.joined(other, u64::add)
    }
}

/// What was called since `before`.
impl Sub for Calls {
    type Output = Calls;

    fn sub(self, before: Calls) -> Calls {
        self.joined(before, u64::sub)
    }
}

/// The real kernel.
#[derive(Debug, Default)]
pub struct Linux {
    calls: Calls,
}

impl Kernel for Linux {
    fn accept(&mut self, listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, SocketAddr)> {
        self.calls.accept += 1;
        net::accept(listener)
    }

    fn receive(&mut self, socket: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<usize> {
        self.calls.receive += 1;
        net::receive(socket, into)
    }

    fn send(&mut self, socket: BorrowedFd<'_>, bytes: &[u8], more: bool) -> io::Result<usize> {
        self.calls.send += 1;
        net::send(socket, bytes, more)
    }

    fn send_file(&mut self, socket: BorrowedFd<'_>, file: &File, offset: u64, length: usize) -> io::Result<usize> {
        self.calls.send_file += 1;
        net::send_file(socket, file, offset, length)
    }

    fn stat(&mut self, file: &File) -> io::Result<Metadata> {
        self.calls.stat += 1;
        file.metadata()
    }

    fn shutdown_write(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        self.calls.shutdown += 1;
        net::shutdown_write(socket)
    }

    fn bar_entry(&mut self, listener: BorrowedFd<'_>) {
        let _ = net::bar_entry(listener); // A listener without it loses who comes between the last accept and the close.
    }

    fn reset_on_close(&mut self, socket: BorrowedFd<'_>) {
        let _ = net::abort_on_close(socket); // It is closed all the same.
    }

    fn unacknowledged(&mut self, socket: BorrowedFd<'_>) -> Option<u64> {
        self.calls.unacknowledged += 1;
        net::unacknowledged(socket).ok()
    }

    fn monotonic(&mut self) -> Instant {
        Instant::now()
    }

    fn wall(&mut self) -> SystemTime {
        SystemTime::now()
    }

    fn calls(&self) -> Calls {
        self.calls
    }
}
