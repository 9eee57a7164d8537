//! The waist: what is spoken on a connection, without the connection. HTTP above and the loop below meet here and nowhere else.
//!
//! Invariant: this module imports std alone. No socket, no clock, no poller, no HTTP. One connection can't reach another: what joins
//! them is a bounded [`pipe()`] and a [`Waker`].
//!
//! ```text
//!                     new input                     messages
//!   driver (reactor, ───────────▶ Link: rest of ───────────────▶ Protocol (HTTP, a chat, an echo)
//!   blocking, test)  ◀─────────── input, fate   ◀─────────────── through its Context
//!                     Outbox, deadline             out(), deadline(), pause_input(), finish(), abort(), become_()
//! ```

mod link;
mod outbox;
mod pipe;
mod rate;

pub use link::{Driver, Link};
pub use outbox::{Chunk, OUTBOX_HIGH, OpenFile, Outbox, Piece};
pub use pipe::{Receiver, SendError, Sender, Taken, pipe};
pub use rate::MinRate;

use std::net::SocketAddr;
use std::task::Waker;
use std::time::{Duration, Instant, SystemTime};

/// What a connection speaks: a state machine fed with input and cues, that answers through its [`Context`].
pub trait Protocol {
    /// `input` begins with what the last call left. Takes at most ONE message (a head, a piece of body, a line) and returns how many
    /// bytes that was; 0 is "needs more". Called again at once while it takes, input remains and the connection wants input.
    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize;

    /// Everything else that can happen to a connection.
    fn cue(&mut self, cue: Cue, cx: &mut Context<'_>);

    /// How many bytes may stay untaken. Taking nothing with this many on offer, while input is wanted, is a bug of the protocol: it
    /// would wait for ever for what can't come. The connection is then aborted.
    fn input_max(&self) -> usize;
}

/// What can happen to a connection besides input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cue {
    /// The connection begins, or this protocol took it over from another. The first cue.
    Opened,
    /// The outbox was full ([`OUTBOX_HIGH`]) and is no more: what was held back may go on.
    Room,
    /// Somebody used the [`Context::waker`].
    Woken,
    /// The peer sends no more. Told once to each protocol that a connection has, when all that could be taken was taken; what is left is an
    /// incomplete message.
    EndOfInput,
    /// The [`Context::deadline`] has passed; there is none any more.
    DeadlinePassed,
    /// The server is going down. Told first: finish what was begun, and at most one thing more, which may be on its way already. Told
    /// again: begin nothing.
    ShuttingDown,
    /// The connection is over, whoever ended it. The last cue; what is said now reaches nobody.
    Closed,
}

/// How a connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It goes on.
    Open,
    /// It ends in good order: the outbox is flushed, the sending side shut, the peer's last bytes drained, then it is closed.
    Finish,
    /// It is closed at once; what is queued is lost.
    Abort,
}

/// The time of a turn of the loop, read once: a parameter everywhere, so that a test can say what time it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// For deadlines: only goes forward.
    pub monotonic: Instant,
    /// For the Date field: what the wall says, which may jump.
    pub wall: SystemTime,
}

/// When a connection wants to hear [`Cue::DeadlinePassed`]. Counted from when its outbox is empty: as long as bytes wait for the peer
/// it is the driver's send timeout that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// Not at all.
    Never,
    /// After this long; until then nobody owes anybody anything, so that it may be closed earlier where connections are short.
    Idle(Duration),
    /// After this long. Few different durations are best: each has a list, which stays in order without sorting.
    After(Duration),
    /// Then.
    At(Instant),
}

impl Deadline {
    /// When it passes, counted from `now`; `None`: never, or past what a clock can tell.
    pub(crate) fn passes_at(self, now: Instant) -> Option<Instant> {
        match self {
            Deadline::Never => None,
            Deadline::Idle(after) | Deadline::After(after) => now.checked_add(after),
            Deadline::At(at) => Some(at),
        }
    }
}

/// What a [`Protocol`] can do to its connection, for the length of one call.
pub struct Context<'a> {
    /// The time of this turn.
    pub now: Now,
    out: &'a mut Outbox,
    deadline: &'a mut Option<Deadline>,
    waker: &'a dyn Fn() -> Waker,
    paused: &'a mut bool,
    live: &'a mut bool,
    fate: &'a mut Fate,
    next: &'a mut Option<Box<dyn Protocol>>,
}

impl Context<'_> {
    /// The same for a shorter time: for who passes it on in a struct of his own.
    pub fn reborrow(&mut self) -> Context<'_> {
        Context {
            now: self.now,
            out: self.out,
            deadline: self.deadline,
            waker: self.waker,
            paused: self.paused,
            live: self.live,
            fate: self.fate,
            next: self.next,
        }
    }

    /// Where answers go.
    pub fn out(&mut self) -> &mut Outbox {
        self.out
    }

    /// Replaces the deadline. A protocol begins without one.
    pub fn deadline(&mut self, deadline: Deadline) {
        *self.deadline = Some(deadline);
    }

    /// Takes no more input until it is called with `false`: in answer to a cue, since there is no input while paused.
    pub fn pause_input(&mut self, paused: bool) {
        *self.paused = paused;
    }

    /// What is said from now on is a live stream, or no more: of one the peer is not asked to take bytes at a minimum rate.
    pub fn live(&mut self, live: bool) {
        *self.live = live;
    }

    /// No more input is taken; what is queued is sent, then the connection closed in good order.
    pub fn finish(&mut self) {
        if *self.fate == Fate::Open {
            *self.fate = Fate::Finish;
        }
    }

    /// The connection is closed at once; what is queued is lost.
    pub fn abort(&mut self) {
        *self.fate = Fate::Abort;
    }

    /// Hands the connection to `next` as soon as this call returns: it is cued [`Cue::Opened`] and gets all input after what this call
    /// took. The deadline is gone with who set it.
    pub fn become_(&mut self, next: Box<dyn Protocol>) {
        *self.next = Some(next);
    }

    /// Waking it, from any thread, cues [`Cue::Woken`]. Made anew at each call: to be asked for once and cloned.
    pub fn waker(&self) -> Waker {
        (self.waker)()
    }
}

/// What a listener makes of the connections it accepts.
pub trait Accept {
    /// The protocol to be spoken with `peer`. Called on the loop's own thread, so it need not be `Send`.
    fn protocol(&mut self, peer: SocketAddr) -> Box<dyn Protocol>;

    /// What a client is told, in one send, that is turned away: there are as many connections as may be, in all or of its address, or its
    /// descriptor could not be watched. Empty: it is closed without a word.
    fn refusal(&mut self, now: Now) -> Vec<u8> {
        let _ = now;
        Vec::new()
    }
}

/// A closure makes the protocol; a refused client is closed without a word.
impl<Make: FnMut(SocketAddr) -> Box<dyn Protocol>> Accept for Make {
    fn protocol(&mut self, peer: SocketAddr) -> Box<dyn Protocol> {
        self(peer)
    }
}
