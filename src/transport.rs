//! Non-blocking sockets: accept, receive, flush an outbox. What the errors of the calls mean is decided here, once.
//!
//! Invariant: nothing here blocks, and every loop makes progress or ends.

use crate::protocol::{Driver, Fate, Link, Outbox, Piece};
use crate::sys::{self, Kernel};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};

/// One sendfile moves at most this much: one call for a whole MiB costs less than pieces of it, and more would be a turn of its own.
const SEND_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What becomes of what a connection receives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Its link is driven.
    Serving,
    /// All is said and the sending side shut: what comes is thrown away until the peer closes too.
    Lingering,
}

/// What accept(2) gave.
pub enum Accepted {
    /// A connection.
    Connection(OwnedFd, SocketAddr),
    /// Nobody waits.
    Nothing,
    /// Somebody waited and is gone; the next may be there.
    Lost,
    /// Descriptors or memory are wanting: asking again at once would spin, unless some were given up.
    Short(io::Error),
    /// It can't accept now for another reason; asking again at once would spin.
    Unable(io::Error),
}

/// Takes one connection.
pub fn accept(kernel: &mut impl Kernel, listener: BorrowedFd<'_>) -> Accepted {
    match kernel.accept(listener) {
        Ok((socket, peer)) => Accepted::Connection(socket, peer),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Accepted::Nothing,
        Err(error) if error.kind() == ErrorKind::Interrupted || sys::is_of_new_connection(&error) => Accepted::Lost,
        Err(error) if sys::is_out_of_resources(&error) => Accepted::Short(error),
        Err(error) => Accepted::Unable(error),
    }
}

/// What recv(2) gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// So many bytes.
    Bytes(usize),
    /// The end of the stream.
    End,
    /// Nothing yet.
    Nothing,
    /// The connection is lost.
    Dead,
}

impl Received {
    /// Whether the kernel had no more than that, where there was room for so many bytes: it is time to say
    /// [`exhausted`](crate::poller::Poller::exhausted). `has_ended`: an event said that the end is behind what came.
    pub fn is_short(self, room: usize, has_ended: bool) -> bool {
        match self {
            Received::Bytes(count) => count < room && !has_ended,
            Received::Nothing => true,
            Received::End | Received::Dead => false,
        }
    }
}

/// Receives once: a short read already says that there was no more, and asking again costs a call.
pub fn receive(kernel: &mut impl Kernel, socket: BorrowedFd<'_>, into: &mut [u8]) -> Received {
    match kernel.receive(socket, into) {
        Ok(0) => Received::End,
        Ok(count) => Received::Bytes(count),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Received::Nothing,
        Err(_) => Received::Dead,
    }
}

/// How far a flush came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// The outbox is empty.
    All,
    /// The kernel takes no more now.
    Blocked,
    /// The budget is used up; the kernel might take more.
    BudgetUsed,
    /// The connection is lost, or a file is no longer what its head said.
    Dead,
}

/// Sends as much of `out` as the kernel takes, at most `budget` bytes, which it lowers. `then_shutdown`: the end of the stream follows at
/// once, so the last bytes wait for it and share its segment.
pub fn flush(
    kernel: &mut impl Kernel,
    socket: BorrowedFd<'_>,
    out: &mut Outbox,
    budget: &mut u64,
    then_shutdown: bool,
) -> Flushed {
    while let Some(piece) = out.front() {
        if *budget == 0 {
            return Flushed::BudgetUsed;
        }
        let sent = match piece {
            Piece::Bytes(bytes) => {
                let now = bytes.len().min(usize::try_from(*budget).unwrap_or(usize::MAX));
                let more = then_shutdown || now < bytes.len() || !out.is_front_last();
                kernel.send(socket, &bytes[..now], more)
            }
            Piece::File { file, range } => {
                let left = range.end - range.start;
                let now = left.min(SEND_FILE_BYTES_MAX).min(*budget);
                // What the head promised was a file of that size and time. Its last bytes are held back where that is no longer so: a
                // short answer is seen to be broken, a padded or mixed one is not.
                if now == left && !kernel.stat(file.file()).is_ok_and(|metadata| file.is_unchanged(&metadata)) {
                    return Flushed::Dead;
                }
                match kernel.send_file(socket, file.file(), range.start, now as usize) {
                    Ok(0) => return Flushed::Dead,
                    other => other,
                }
            }
        };
        match sent {
            Ok(sent) => {
                *budget -= sent as u64;
                out.advance(sent);
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => return Flushed::Blocked,
                ErrorKind::Interrupted => {}
                _ => return Flushed::Dead,
            },
        }
    }
    Flushed::All
}

/// What became of a link once what it said was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It goes on.
    #[allow(missing_docs)]
    Open { is_blocked: bool },
    /// All is said and sent: the sending side is to be shut.
    Said,
    /// It is to be closed.
    Over,
}

/// Sends what a link says, and lets it say more as long as there is room, at most `budget` bytes, which it lowers.
pub fn settle(
    kernel: &mut impl Kernel,
    socket: BorrowedFd<'_>,
    link: &mut Link,
    driver: &mut Driver<'_>,
    budget: &mut u64,
) -> Settled {
    loop {
        if link.fate() == Fate::Abort {
            return Settled::Over;
        }
        let is_last = link.fate() == Fate::Finish;
        match flush(kernel, socket, driver.out, budget, is_last) {
            Flushed::Dead => return Settled::Over,
            Flushed::BudgetUsed => return Settled::Open { is_blocked: false },
            Flushed::Blocked => return Settled::Open { is_blocked: true },
            Flushed::All if is_last => return Settled::Said,
            Flushed::All if *budget == 0 || !link.room(driver) => return Settled::Open { is_blocked: false },
            Flushed::All => {}
        }
    }
}
