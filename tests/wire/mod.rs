//! A connection without a socket and with a clock of ours: what is fed to a [`Link`], and all that it sends.
#![allow(dead_code)] // Not every test needs all of it.

use std::os::unix::fs::FileExt;
use std::task::Waker;
use std::time::{Duration, Instant, SystemTime};
use tripoll::http::Listener;
use tripoll::protocol::{Cue, Deadline, Driver, Fate, Link, Now, Outbox, Piece, Protocol};

/// A link, driven.
pub struct Wire {
    link: Link,
    now: Now,
    out: Outbox,
    deadline: Option<Instant>,
    pub sent: Vec<u8>,
    /// The peer takes nothing.
    pub is_stalled: bool,
}

impl Wire {
    pub fn new(listener: &Listener, wall: SystemTime) -> Wire {
        Wire::over(Box::new(listener.connection(([127, 0, 0, 1], 9).into())), wall)
    }

    pub fn over(protocol: Box<dyn Protocol>, wall: SystemTime) -> Wire {
        let (link, out) = (Link::new(protocol), Outbox::default());
        let now = Now { monotonic: Instant::now(), wall };
        let mut wire = Wire { link, now, out, deadline: None, sent: Vec::new(), is_stalled: false };
        wire.cue(Cue::Opened);
        wire
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        if self.link.fate() == Fate::Open {
            self.drive(|link, driver| link.feed(bytes, driver));
        }
    }

    pub fn end_of_input(&mut self) {
        if self.link.fate() == Fate::Open {
            self.drive(|link, driver| link.end_of_input(driver));
        }
    }

    pub fn cue(&mut self, cue: Cue) {
        self.drive(|link, driver| link.cue(cue, driver));
    }

    /// Time goes by; the deadline may pass.
    pub fn wait(&mut self, time: Duration) {
        self.now = Now { monotonic: self.now.monotonic + time, wall: self.now.wall + time };
        if self.deadline.is_some_and(|deadline| deadline <= self.now.monotonic) && self.link.fate() == Fate::Open {
            self.deadline = None;
            self.cue(Cue::DeadlinePassed);
        }
    }

    pub fn is_open(&self) -> bool {
        assert_ne!(self.link.fate(), Fate::Abort, "HTTP never aborts");
        self.link.fate() == Fate::Open
    }

    pub fn fate(&self) -> Fate {
        self.link.fate()
    }

    pub fn wants_input(&self) -> bool {
        self.link.wants_input()
    }

    pub fn is_live(&self) -> bool {
        self.link.is_live()
    }

    /// What the peer did not take.
    pub fn queued(&self) -> u64 {
        self.out.queued()
    }

    fn drive(&mut self, act: impl FnOnce(&mut Link, &mut Driver<'_>)) {
        let waker = || Waker::noop().clone();
        let mut driver = Driver { now: self.now, out: &mut self.out, deadline: None, waker: &waker };
        act(&mut self.link, &mut driver);
        while !self.is_stalled {
            drain(driver.out, &mut self.sent);
            if !self.link.room(&mut driver) {
                break;
            }
        }
        match driver.deadline {
            None => {}
            Some(Deadline::Never) => self.deadline = None,
            Some(Deadline::Idle(time) | Deadline::After(time)) => self.deadline = Some(self.now.monotonic + time),
            Some(Deadline::At(time)) => self.deadline = Some(time),
        }
    }
}

fn drain(out: &mut Outbox, into: &mut Vec<u8>) {
    while let Some(piece) = out.front() {
        let from = into.len();
        match piece {
            Piece::Bytes(bytes) => into.extend_from_slice(bytes),
            Piece::File { file, range } => {
                into.resize(from + usize::try_from(range.end - range.start).unwrap(), 0);
                file.file().read_exact_at(&mut into[from..], range.start).unwrap();
            }
        }
        out.advance(into.len() - from);
    }
}
