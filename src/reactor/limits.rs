//! The bounds of a loop, what it has done, and what it tells whoever runs it.

use crate::poller::{self, Updates};
use crate::protocol::{Link, MinRate};
use crate::sys::Calls;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::ops::Add;
use std::time::Duration;

/// The bounds of a loop.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections taken from a listener in one turn. `None`: one, since a call that says EAGAIN costs more than a wait that says "there are
    /// more"; and one more for each four of up to 128 events of the turn (and anew after each 128 events) and, by select and poll, whose
    /// waits cost more the more they watch, for each 128 descriptors.
    pub accepts_per_turn_max: Option<usize>,
    /// When a change of interest is made. Lazily: answers mostly fit the kernel's buffer, so that waiting for room first is for nothing.
    pub updates: Updates,
    /// Connections at a time. Past it the one that is idle longest gives way to a new one; where none is idle, the new one is refused.
    /// Idle is who has said so by [`Deadline::Idle`](crate::protocol::Deadline::Idle): HTTP between two requests, never a WebSocket or a stream.
    /// Below the descriptor limit by what else needs descriptors.
    pub connections_max: usize,
    /// Connections of one address at a time, past which its newest is refused. IPv6 addresses count as one where their first 64 bits are
    /// the same.
    pub per_address_max: usize,
    /// Bytes taken from a connection in one turn, and the size of the one buffer they are received into.
    pub receive_bytes_per_turn_max: usize,
    /// Bytes sent to a connection in one turn, so that a large transfer does not keep others waiting. Where more than sixteen are ready at once
    /// it is less, down to 32 KiB.
    pub send_bytes_per_turn_max: u64,
    /// How long a peer may take not a single byte of what waits for it, at the least; it is cut off before twice that.
    pub send_timeout: Duration,
    /// What a peer has to take on average of what waits for it.
    pub send_rate_min: MinRate,
    /// How long a connection that is finished waits for the peer to close too. Closing with input unread resets the connection, which
    /// can destroy the last answer on its way.
    pub linger_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            accepts_per_turn_max: None,
            updates: Updates::Lazy,
            connections_max: usize::MAX,
            per_address_max: usize::MAX,
            receive_bytes_per_turn_max: 64 * 1024,
            send_bytes_per_turn_max: 1024 * 1024,
            send_timeout: Duration::from_secs(30),
            send_rate_min: MinRate::default(),
            linger_timeout: Duration::from_secs(2),
        }
    }
}

/// What all connections are sent in a turn, roughly. Of a thousand that ask for much at once each gets a little, and again in the next turn:
/// else who wants little waits for a thousand times as much as the kernel takes.
const SEND_BYTES_PER_TURN: u64 = 16 * 1024 * 1024;

/// Less is not worth a turn.
const SEND_SHARE_MIN: u64 = 32 * 1024;

impl Limits {
    /// What each connection is sent at most in a turn of so many events.
    pub(crate) fn send_share(&self, events: usize) -> u64 {
        let share = SEND_BYTES_PER_TURN / events.max(1) as u64;
        share.max(SEND_SHARE_MIN).min(self.send_bytes_per_turn_max)
    }

    /// What the peer of a link has to take on average: of a live stream it is no fault of the peer's that little comes.
    pub(crate) fn rate_min_of(&self, link: &Link) -> MinRate {
        if link.is_live() { MinRate::NONE } else { self.send_rate_min }
    }
}

/// What whoever runs a loop should know of.
#[derive(Debug)]
pub enum Notice {
    /// No connection can be accepted for now; those that are open go on.
    CannotAccept(io::Error),
    /// A client was turned away, since its descriptor could not be watched, or no thread or process be had for it.
    CannotServe(io::Error),
    /// The kernel had no memory to let the loop wait: it rests a moment and tries again.
    CannotWait(io::Error),
    /// Clients were turned away, since [`Limits::connections_max`] are open and none of them is idle.
    Full,
    /// Clients of this address were turned away, since it has [`Limits::per_address_max`] connections.
    AddressFull(IpAddr),
    /// A protocol panicked; its connection was closed.
    ProtocolPanicked,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::CannotAccept(error) => write!(f, "cannot accept connections for now: {error}"),
            Notice::CannotWait(error) => write!(f, "the server goes on slowly for now: cannot wait: {error}"),
            Notice::CannotServe(error) => write!(f, "a client was turned away: {error}"),
            Notice::Full => {
                f.write_str("clients are turned away: as many connections as may be are open, and none is idle")
            }
            Notice::AddressFull(address) => {
                write!(f, "clients are turned away: {address} has as many connections as one address may have")
            }
            Notice::ProtocolPanicked => f.write_str("a connection was closed: its protocol panicked"),
        }
    }
}

/// What a loop has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Turns of the loop.
    pub turns: u64,
    /// Connections that listeners opened.
    pub opened: u64,
    /// Connections of listeners that are open.
    pub open: usize,
    /// Panics of protocols; one that panicked may once more, when it is dropped.
    pub panics: u64,
    /// Bytes that connections received.
    pub received_bytes: u64,
    /// Bytes that connections were sent.
    pub sent_bytes: u64,
    /// What waiting cost.
    pub poller: poller::Counters,
    /// The system calls of the sockets.
    pub calls: Calls,
}

impl Add for Counters {
    type Output = Counters;

    fn add(self, other: Counters) -> Counters {
        Counters {
            turns: self.turns + other.turns,
            opened: self.opened + other.opened,
            open: self.open + other.open,
            panics: self.panics + other.panics,
            received_bytes: self.received_bytes + other.received_bytes,
            sent_bytes: self.sent_bytes + other.sent_bytes,
            poller: self.poller + other.poller,
            calls: self.calls + other.calls,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_are_ready_the_less_each_is_sent() {
        const KIB: u64 = 1024;
        let limits = |send_bytes_per_turn_max| Limits { send_bytes_per_turn_max, ..Limits::default() };
        for (max, events, want) in [
            (1024 * KIB, 0, 1024 * KIB),
            (1024 * KIB, 16, 1024 * KIB),
            (1024 * KIB, 32, 512 * KIB),
            (1024 * KIB, 512, 32 * KIB),
            (1024 * KIB, 10_000, 32 * KIB),
            (1000, 10_000, 1000),
        ] {
            assert_eq!(limits(max).send_share(events), want, "{max}, {events}");
        }
    }
}
