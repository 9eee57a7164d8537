//! One connection of the load generator.
//!
//! Invariant: a step makes one system call. What is not owed never blocks, and an answer is taken to its last byte, no further.

use std::io::{self, ErrorKind};
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;
use tripoll::poller::Interest;
use tripoll::sys;

/// How an answer begins that is none of the errors.
const GOOD: &[u8] = b"HTTP/1.1 200 ";

/// How one begins that says that there is no room.
const TURNED_AWAY: &[u8] = b"HTTP/1.1 503 ";

/// A connection, or the place for one.
#[derive(Default)]
pub struct Connection {
    socket: Option<OwnedFd>,
    interest: Interest,
    state: State,
}

#[derive(Default, Clone, Copy)]
enum State {
    /// Nothing is owed.
    #[default]
    Idle,
    Sending {
        due: Instant,
        sent_bytes: usize,
        answer_bytes: usize,
    },
    Receiving {
        due: Instant,
        left_bytes: usize,
        is_begun: bool,
    },
}

/// What a step came to.
pub enum Step {
    /// It can't go on before this is ready.
    Wants(Interest),
    /// The answer to what was due then is complete.
    Answered {
        due: Instant,
    },
    Failed(Trouble),
}

/// Why a connection can't be used any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It never was one.
    Connect,
    /// The peer ended it while it owed an answer.
    Closed,
    /// The peer ended it while it owed none: its right.
    ClosedIdle,
    /// It was told that there is no room (503).
    TurnedAway,
    /// What came is not what was asked for.
    Answer,
}

impl Connection {
    /// Begins to connect to `address`.
    pub fn open(&mut self, address: SocketAddrV4) -> io::Result<BorrowedFd<'_>> {
        let socket = sys::connect(None, address)?;
        (self.state, self.interest) = (State::Idle, Interest::READ);
        let socket: &OwnedFd = self.socket.insert(socket);
        Ok(socket.as_fd())
    }

    pub fn is_open(&self) -> bool {
        self.socket.is_some()
    }

    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// Since when an answer is owed, if one is.
    pub fn asked_at(&self) -> Option<Instant> {
        match self.state {
            State::Idle => None,
            State::Sending { due, .. } | State::Receiving { due, .. } => Some(due),
        }
    }

    /// The next steps send a request and receive its answer, of so many bytes.
    pub fn ask(&mut self, due: Instant, answer_bytes: usize) {
        self.state = State::Sending { due, sent_bytes: 0, answer_bytes };
    }

    /// Notes what it is watched for. Whether that is a change.
    pub fn set_interest(&mut self, interest: Interest) -> bool {
        std::mem::replace(&mut self.interest, interest) != interest
    }

    pub fn close(&mut self) {
        (self.socket, self.state) = (None, State::Idle);
    }

    pub fn step(&mut self, request: &[u8], buffer: &mut [u8]) -> Step {
        match self.state {
            State::Idle => Step::Failed(Trouble::ClosedIdle),
            State::Sending { due, sent_bytes, answer_bytes } => self.send(request, due, sent_bytes, answer_bytes),
            State::Receiving { due, left_bytes, is_begun } => self.receive(buffer, due, left_bytes, is_begun),
        }
    }

    fn send(&mut self, request: &[u8], due: Instant, sent_bytes: usize, answer_bytes: usize) -> Step {
        let Some(socket) = &self.socket else { return Step::Failed(Trouble::Connect) };
        match sys::send(socket.as_fd(), &request[sent_bytes..], false) {
            Ok(count) if sent_bytes + count == request.len() => {
                self.state = State::Receiving { due, left_bytes: answer_bytes, is_begun: false };
                Step::Wants(Interest::READ)
            }
            Ok(count) => {
                self.state = State::Sending { due, sent_bytes: sent_bytes + count, answer_bytes };
                Step::Wants(Interest::WRITE)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Step::Wants(Interest::WRITE),
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                Step::Failed(Trouble::Closed)
            }
            Err(_) => Step::Failed(Trouble::Connect),
        }
    }

    fn receive(&mut self, buffer: &mut [u8], due: Instant, left_bytes: usize, is_begun: bool) -> Step {
        let Some(socket) = &self.socket else { return Step::Failed(Trouble::Connect) };
        // What is long enough to matter is thrown away by the kernel, so that copying it is not measured.
        let received = match is_begun && left_bytes > buffer.len() {
            true => sys::discard(socket.as_fd(), left_bytes),
            false => sys::receive(socket.as_fd(), buffer),
        };
        let count = match received {
            Ok(0) => return Step::Failed(Trouble::Closed),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Step::Wants(Interest::READ),
            Err(_) => return Step::Failed(Trouble::Closed),
        };
        if !is_begun && buffer[..count].starts_with(TURNED_AWAY) {
            return Step::Failed(Trouble::TurnedAway);
        }
        if !is_begun && !buffer[..count].starts_with(&GOOD[..GOOD.len().min(count)]) || count > left_bytes {
            return Step::Failed(Trouble::Answer);
        }
        match left_bytes - count {
            0 => {
                self.state = State::Idle;
                Step::Answered { due }
            }
            left_bytes => {
                self.state = State::Receiving { due, left_bytes, is_begun: true };
                Step::Wants(Interest::READ)
            }
        }
    }
}
