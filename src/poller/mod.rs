//! Waiting for many descriptors at once: one contract, three backends.
//!
//! Invariant: whatever the backend, the same sockets in the same state give the same events. A [`Poller`] holds no descriptor, only
//! numbers: who adds one removes it before closing it.
//!
//! ```text
//!            add, modify, remove                 wait
//!   reactor ────────────────────▶ Poller ◀──────────────▶ kernel     select: a bitmap of all, both ways, every call
//!           ◀──────────────────── Event                              poll:   an array of all, both ways, every call
//!                                                                    epoll:  nothing in; the ready ones out
//! ```

mod epoll;
mod poll;
mod select;
mod strategy;

pub use epoll::Epoll;
pub use poll::Poll;
pub use select::{LimitReached, Select};
pub use strategy::{Backend, Strategy, StrategyError, Trigger, Updates};

use std::fmt;
use std::io;
use std::ops::{Add, BitOr, Sub};
use std::os::fd::{BorrowedFd, RawFd};
use std::time::Duration;

/// Waits until descriptors are ready. The contract holds for every implementation; `tests/poller.rs` proves it point by point.
///
/// 1. Level-triggered: readiness that persists is reported again by the next wait. An event is a hint: the operation may still say
///    `WouldBlock`.
/// 2. One event a token a wait. Error and hang-up count as readable and writable, so that the next system call reports the errno.
/// 3. No interest, no event, whatever happens to the descriptor; nor does it keep ending waits: epoll learns by an event that nobody
///    wants it, so each thing that happens may end one wait without events, never two.
/// 4. `add` of what is there is `AlreadyExists`; `modify` and `remove` of what is not there are `NotFound`.
/// 5. A timeout of `None` blocks; others are rounded up to the unit of the call and cut to what it can hold, so a wait may end early
///    without events, never early because of rounding. A signal ends a wait without events.
/// 6. A descriptor is removed before it is closed. Where that is forgotten a debug build panics and a release build drops the
///    registration; but while a duplicate keeps it alive epoll can't tell, and goes on to report it under its token, until its number
///    is watched for somebody else. An event of an unknown token is thus a bug of the poller's owner.
///
/// Not promised: the order of events, or that all that is ready comes in one wait.
pub trait Poller {
    /// Begins to watch `fd` for `interest`; its events carry `token`.
    ///
    /// # Errors
    /// `AlreadyExists` for a descriptor that is watched; [`LimitReached`] for one past select's limit; what epoll_ctl(2) says
    /// (ENOSPC, ENOMEM).
    fn add(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()>;

    /// Watches `fd` for `interest` instead, with events that carry `token`.
    ///
    /// # Errors
    /// `NotFound` for a descriptor that is not watched; what epoll_ctl(2) says.
    fn modify(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()>;

    /// Watches `fd` no more. To be called before it is closed.
    ///
    /// # Errors
    /// `NotFound` for a descriptor that is not watched.
    fn remove(&mut self, fd: BorrowedFd<'_>) -> io::Result<()>;

    /// Waits until something is ready, `timeout` is over or a signal came, and fills `events` (cleared first) with what is ready.
    ///
    /// # Errors
    /// `OutOfMemory`, where the kernel has none; nothing else of descriptors that are open. A signal (EINTR) is no error.
    fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()>;

    /// To be told when `fd` gave `WouldBlock`, or fewer bytes than were asked for in answer to an event that was not
    /// [`ended`](Event::ended). Only an edge-triggered backend needs to know: it then awaits the next edge.
    fn exhausted(&mut self, fd: BorrowedFd<'_>, direction: Direction) {
        let _ = (fd, direction);
    }

    /// From now on every change of interest reaches the kernel at once, as in a textbook; without it a backend may put off what saves
    /// a system call. Only level-triggered epoll has anything to put off.
    fn narrow_eagerly(&mut self) {}

    /// What waiting has cost so far.
    fn counters(&self) -> Counters;
}

/// The name under which a descriptor's events come back: a slot and the generation of its tenant, so that nobody gets the events of
/// whoever had the slot before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub struct Token {
    pub index: u32,
    pub generation: u32,
}

/// What a descriptor is watched for: reading, writing, both, nothing.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Interest(u8);

impl Interest {
    /// Nothing: no event.
    pub const NONE: Interest = Interest(0);
    /// Something to read, or the end of the stream, or an error.
    pub const READ: Interest = Interest(1);
    /// Room to write, or an error.
    pub const WRITE: Interest = Interest(2);
    /// [`READ`](Self::READ) and [`WRITE`](Self::WRITE).
    pub const BOTH: Interest = Interest(3);

    /// `READ` where `readable`, `WRITE` where `writable`.
    pub fn new(readable: bool, writable: bool) -> Interest {
        Interest(u8::from(readable) | u8::from(writable) << 1)
    }

    /// Whether reading is among it.
    pub fn readable(self) -> bool {
        self.0 & Self::READ.0 != 0
    }

    /// Whether writing is among it.
    pub fn writable(self) -> bool {
        self.0 & Self::WRITE.0 != 0
    }

    fn is_none(self) -> bool {
        self == Self::NONE
    }

    fn contains(self, other: Interest) -> bool {
        self.0 & other.0 == other.0
    }

    fn and(self, other: Interest) -> Interest {
        Interest(self.0 & other.0)
    }

    fn without(self, other: Interest) -> Interest {
        Interest(self.0 & !other.0)
    }
}

impl BitOr for Interest {
    type Output = Interest;
    fn bitor(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(["NONE", "READ", "WRITE", "BOTH"][usize::from(self.0)])
    }
}

/// One of the two ways bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Towards us.
    Read,
    /// Towards the peer.
    Write,
}

/// What a descriptor is ready for, of what it was watched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Whose event it is.
    pub token: Token,
    /// Reading is worth a try: there were bytes, the end or an error when the kernel was asked.
    pub readable: bool,
    /// Writing is worth a try: there was room, or an error.
    pub writable: bool,
    /// The end of the stream, or an error, is behind what can be read. Said only by the edge trigger, where a short read would
    /// otherwise be taken for "no more, wait for the next edge" and the end be lost.
    pub ended: bool,
}

impl Event {
    fn new(token: Token, ready: Interest, ended: bool) -> Event {
        Event { token, readable: ready.readable(), writable: ready.writable(), ended }
    }
}

/// What waiting has cost since a poller was made: the figures that tell the strategies apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Waits: calls of select, poll, epoll_wait.
    pub waits: u64,
    /// Descriptors handed to the kernel with the waits. epoll keeps them in the kernel: none.
    pub passed: u64,
    /// Places looked at to find the ready ones: select, descriptors up to the highest; poll, entries; epoll, the events themselves.
    pub scanned: u64,
    /// Events reported.
    pub ready: u64,
    /// Changes of what is watched that reached the kernel's set (epoll_ctl) or, for select and poll, ours.
    pub changes: u64,
}

impl Counters {
    /// Each figure of both, put together by `join`.
    fn joined(self, other: Counters, join: impl Fn(u64, u64) -> u64) -> Counters {
        Counters {
            waits: join(self.waits, other.waits),
            passed: join(self.passed, other.passed),
            scanned: join(self.scanned, other.scanned),
            ready: join(self.ready, other.ready),
            changes: join(self.changes, other.changes),
        }
    }
}

impl Add for Counters {
    type Output = Counters;

    fn add(self, other: Counters) -> Counters {
        self.joined(other, u64::add)
    }
}

/// What was counted since `before`.
impl Sub for Counters {
    type Output = Counters;

    fn sub(self, before: Counters) -> Counters {
        self.joined(before, u64::sub)
    }
}

/// How long whoever waits rests where the kernel has no memory to let it wait: nothing else can be done meanwhile.
pub(crate) const WAIT_RETRY: Duration = Duration::from_millis(10);

/// A timeout in the unit of poll(2) and epoll_wait(2): rounded up, so that a wait never ends before its deadline and spins towards it;
/// cut to what an `int` holds; −1 to block.
pub(crate) fn timeout_ms(timeout: Option<Duration>) -> i32 {
    timeout.map_or(-1, |timeout| i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX))
}

/// Whether a wait ended because a signal came: no events, no error (contract, 5).
fn was_interrupted(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Interrupted
}

/// The place of a descriptor in a table that has one per descriptor.
fn place(fd: RawFd) -> usize {
    usize::try_from(fd).expect("an open descriptor is not negative")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_round_up_and_are_cut() {
        let cases = [
            (None, -1),
            (Some(Duration::ZERO), 0),
            (Some(Duration::from_nanos(1)), 1),
            (Some(Duration::from_millis(1)), 1),
            (Some(Duration::from_micros(1_001)), 2),
            (Some(Duration::from_millis(i32::MAX as u64)), i32::MAX),
            (Some(Duration::from_millis(i32::MAX as u64 + 1)), i32::MAX),
            (Some(Duration::MAX), i32::MAX),
        ];
        for (timeout, want) in cases {
            assert_eq!(timeout_ms(timeout), want, "{timeout:?}");
        }
    }
}
