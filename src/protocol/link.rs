//! A protocol with the input it left and what it wants: the whole connection less the socket.
//!
//! Invariant: input is offered in order, each byte until it is taken, and none while the connection is paused, full or finished.

use super::{Context, Cue, Deadline, Fate, Now, OUTBOX_HIGH, Outbox, Piece, Protocol};
use std::io;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// What is read of a file at a time.
const PIECE_BYTES_MAX: usize = 1024 * 1024;

/// What a driver lends a [`Link`] for one call.
pub struct Driver<'a> {
    /// The time.
    pub now: Now,
    /// Where answers go. What is in it after the call is the driver's to send, before the next call to the same link.
    pub out: &'a mut Outbox,
    /// The wish of the protocol, where it had one, for the driver to note after the call.
    pub deadline: Option<Deadline>,
    /// Makes the waker that leads to [`Cue::Woken`].
    pub waker: &'a dyn Fn() -> Waker,
}

/// A connection less its socket, driven by whoever has the socket: the reactor, a blocking loop, a test.
///
/// After every call, and after each time the outbox shrank, a driver acts on [`fate`](Self::fate), [`wants_input`](Self::wants_input)
/// and [`wants_room`](Self::wants_room).
pub struct Link {
    protocol: Box<dyn Protocol>,
    /// Input that was not taken yet. Boxed once more, since most connections are idle and have none: 8 bytes in place of 24.
    #[allow(clippy::box_collection)]
    rest: Option<Box<Vec<u8>>>,
    end: End,
    fate: Fate,
    paused: bool,
    live: bool,
    /// The outbox reached [`OUTBOX_HIGH`] and [`Cue::Room`] was not told since.
    full: bool,
    /// How often [`Cue::ShuttingDown`] was told: who takes over is told as often.
    shutdowns_told: u8,
}

/// Stands in for the protocol while it is dropped, so that what its destructor throws can be caught.
struct Gone;

impl Protocol for Gone {
    fn receive(&mut self, input: &[u8], _: &mut Context<'_>) -> usize {
        input.len()
    }

    fn cue(&mut self, _: Cue, _: &mut Context<'_>) {}

    fn input_max(&self) -> usize {
        usize::MAX
    }
}

/// What is known of the end of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Not seen.
    Ahead,
    /// Seen, but the protocol does not know: there was input to take before it, and no taking it, or it took over since.
    Seen,
    /// Seen, and the protocol knows.
    Told,
}

impl Link {
    /// The driver's first call is [`cue`](Self::cue) with [`Cue::Opened`].
    pub fn new(protocol: Box<dyn Protocol>) -> Link {
        let (end, fate) = (End::Ahead, Fate::Open);
        Link { protocol, rest: None, end, fate, paused: false, live: false, full: false, shutdowns_told: 0 }
    }

    /// How the connection goes on.
    pub fn fate(&self) -> Fate {
        self.fate
    }

    /// Whether the driver should read. When not, neither may the poller: a socket that is readable for ever would make it spin.
    pub fn wants_input(&self) -> bool {
        self.takes() && self.end == End::Ahead
    }

    /// Whether the driver should call [`room`](Self::room) when the outbox has shrunk.
    pub fn wants_room(&self) -> bool {
        self.full && self.fate == Fate::Open
    }

    /// Whether what it says is a live stream, which has no pace of its own: see [`Context::live`].
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Whether the peer has ended its side of the stream.
    pub fn has_ended(&self) -> bool {
        self.end != End::Ahead
    }

    /// New input, mostly taken straight from the driver's buffer: only what is left is copied.
    pub fn feed(&mut self, new: &[u8], driver: &mut Driver<'_>) {
        self.offer(new, driver);
        while self.end == End::Seen && self.takes() {
            self.end = End::Told;
            if self.call(driver, |protocol, cx| protocol.cue(Cue::EndOfInput, cx)) {
                self.offer(&[], driver); // The successor has not seen what was left.
            }
        }
    }

    /// Offers what waits, then `new`, and keeps what is left.
    fn offer(&mut self, new: &[u8], driver: &mut Driver<'_>) {
        match self.rest.take() {
            None => {
                let taken = self.take(new, driver);
                if taken < new.len() && self.fate == Fate::Open {
                    self.rest = Some(Box::new(new[taken..].to_vec()));
                }
            }
            Some(mut rest) => {
                rest.extend_from_slice(new);
                let taken = self.take(&rest, driver);
                rest.drain(..taken);
                if !rest.is_empty() && self.fate == Fate::Open {
                    self.rest = Some(rest);
                }
            }
        }
    }

    /// All that it says to a peer whose every byte is `input`, in one call and without waiting: what a deadline would bring is not said.
    ///
    /// # Errors
    /// What reading a file says; `UnexpectedEof` where it became shorter.
    pub fn answer(&mut self, input: &[u8], now: Now) -> io::Result<Vec<u8>> {
        let (mut out, mut said) = (Outbox::default(), Vec::new());
        let waker = || Waker::noop().clone();
        let mut driver = Driver { now, out: &mut out, deadline: None, waker: &waker };
        self.cue(Cue::Opened, &mut driver);
        self.feed(input, &mut driver);
        self.drain(&mut driver, &mut said)?;
        self.end_of_input(&mut driver);
        self.drain(&mut driver, &mut said)?;
        self.cue(Cue::Closed, &mut driver);
        Ok(said)
    }

    /// Moves everything that is queued, and what follows when there is room, into `said`.
    fn drain(&mut self, driver: &mut Driver<'_>, said: &mut Vec<u8>) -> io::Result<()> {
        loop {
            while let Some(piece) = driver.out.front() {
                let before = said.len();
                match piece {
                    Piece::Bytes(bytes) => said.extend_from_slice(bytes),
                    Piece::File { file, range } => {
                        let count = usize::try_from(range.end - range.start).unwrap_or(usize::MAX).min(PIECE_BYTES_MAX);
                        said.resize(before + count, 0);
                        file.file().read_exact_at(&mut said[before..], range.start)?;
                    }
                }
                driver.out.advance(said.len() - before);
            }
            if !self.room(driver) {
                return Ok(());
            }
        }
    }

    /// The peer sends no more.
    pub fn end_of_input(&mut self, driver: &mut Driver<'_>) {
        if self.end == End::Ahead {
            self.end = End::Seen;
            self.feed(&[], driver);
        }
    }

    /// Tells the protocol, then offers it what waits: a pause may be over, and no socket event will say so.
    pub fn cue(&mut self, cue: Cue, driver: &mut Driver<'_>) {
        if cue == Cue::Closed {
            self.act(driver, |protocol, cx| protocol.cue(cue, cx)); // The last cue: a successor would be opened after it.
            return;
        }
        self.shutdowns_told += u8::from(cue == Cue::ShuttingDown);
        self.call(driver, |protocol, cx| protocol.cue(cue, cx));
        self.feed(&[], driver);
    }

    /// Cues [`Cue::Closed`] and drops the protocol: the driver's last call. False where either panicked: that goes no further.
    pub fn close(&mut self, driver: &mut Driver<'_>) -> bool {
        let told = catch_unwind(AssertUnwindSafe(|| self.cue(Cue::Closed, driver)));
        let protocol = std::mem::replace(&mut self.protocol, Box::new(Gone));
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(protocol)));
        told.is_ok() && dropped.is_ok()
    }

    /// To be called when the outbox has shrunk: cues [`Cue::Room`] and offers what waits, where that was held back. Whether it did.
    pub fn room(&mut self, driver: &mut Driver<'_>) -> bool {
        if !self.wants_room() || driver.out.queued() >= OUTBOX_HIGH {
            return false;
        }
        self.full = false;
        self.cue(Cue::Room, driver);
        true
    }

    fn takes(&self) -> bool {
        self.fate == Fate::Open && !self.paused && !self.full
    }

    /// Offers `input` message by message and returns how much of it was taken.
    fn take(&mut self, input: &[u8], driver: &mut Driver<'_>) -> usize {
        let mut at = 0;
        while at < input.len() && self.takes() {
            let offered = &input[at..];
            let mut taken = 0;
            let was_replaced = self.call(driver, |protocol, cx| taken = protocol.receive(offered, cx));
            assert!(taken <= offered.len(), "a protocol took {taken} bytes of {}", offered.len());
            at += taken;
            if taken == 0 && !was_replaced {
                if offered.len() >= self.protocol.input_max() && self.takes() {
                    debug_assert!(false, "a protocol waits for more than its input_max");
                    self.fate = Fate::Abort;
                }
                break;
            }
        }
        at
    }

    /// Lets the protocol act, and its successor begin. Whether there was one.
    fn call(&mut self, driver: &mut Driver<'_>, act: impl FnOnce(&mut dyn Protocol, &mut Context<'_>)) -> bool {
        let mut next = self.act(driver, act);
        let was_replaced = next.is_some();
        while let Some(protocol) = next {
            self.protocol = protocol;
            self.paused = false;
            self.live = false;
            if self.end == End::Told {
                self.end = End::Seen;
            }
            driver.deadline = Some(Deadline::Never);
            next = self.act(driver, |protocol, cx| protocol.cue(Cue::Opened, cx));
            for _ in 0..self.shutdowns_told {
                if next.is_none() && self.fate == Fate::Open {
                    next = self.act(driver, |protocol, cx| protocol.cue(Cue::ShuttingDown, cx));
                }
            }
        }
        was_replaced
    }

    fn act(
        &mut self,
        driver: &mut Driver<'_>,
        act: impl FnOnce(&mut dyn Protocol, &mut Context<'_>),
    ) -> Option<Box<dyn Protocol>> {
        let mut next = None;
        let mut cx = Context {
            now: driver.now,
            out: driver.out,
            deadline: &mut driver.deadline,
            waker: driver.waker,
            paused: &mut self.paused,
            live: &mut self.live,
            fate: &mut self.fate,
            next: &mut next,
        };
        act(&mut *self.protocol, &mut cx);
        self.full |= driver.out.queued() >= OUTBOX_HIGH;
        next
    }
}
