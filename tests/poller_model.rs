//! Random histories of a few connections, on every backend, against one small model of what a wait reports.
//!
//! The connections are Unix sockets: what one end does, the other's readiness shows at once, so that the model can be
//! exact. A reset is there the close of a peer that left bytes unread. (TCP's resets and half-closes are in
//! `poller.rs`.)

mod backends;

use backends::on_every_backend;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use tripoll::poller::{Direction, Interest, Poller, Strategy as Backend, Token, Trigger};
use tripoll::sys;

on_every_backend! {
    random_histories_are_reported_as_the_model_says,
    histories_that_went_wrong_once_go_right,
}

/// Connections in a history.
const CONNECTIONS: usize = 3;
const CASES: u32 = 400;
const STEPS_MAX: usize = 60;

/// Small, so that filling them is a matter of a few writes.
const BUFFER_BYTES: u32 = 32 * 1024;
/// A Unix socket is writable while a quarter of its buffer is used at most, but takes bytes until it is full.
/// Level-triggered backends would say "not writable" of what lies between, the edge trigger that has not seen
/// `WouldBlock` "writable": both are right. So few small writes stay far below, and larger ones go on until it is full.
const UNREAD_WRITES_MAX: usize = 4;

/// What happens to a connection.
#[derive(Debug, Clone, Copy)]
enum Step {
    Add(Interest),
    Modify(Interest),
    /// Modify, with a new generation.
    Rename(Interest),
    Remove,
    /// Remove, close, and a new connection in its place, mostly with the number that the one replaced before had.
    Replace,
    /// Reads of this many bytes until one leaves some, is short, or fails.
    Read(usize),
    /// One byte.
    Write,
    /// Writes until `WouldBlock`.
    Fill,
    ShutWrite,
    PeerWrite(usize),
    PeerReadAll,
    PeerShutWrite,
    PeerShutBoth,
    /// A reset, where it left bytes unread.
    PeerClose,
}
use Step::*;

/// A step, and of which connection; or a look at what is reported.
#[derive(Debug, Clone, Copy)]
enum Act {
    Do(usize, Step),
    Wait,
}
use Act::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    Open,
    ShutWrite,
    ShutBoth,
    Gone,
}

/// A connection, and what the model knows of it.
struct Connection {
    ours: UnixStream,
    peer: Option<UnixStream>,

    token: Token,
    /// `None`: the poller does not know it.
    interest: Option<Interest>,
    /// Bytes that the peer sent and we did not read.
    inbox: usize,
    /// Our writes that the peer did not read.
    unread: usize,
    /// The last write said `WouldBlock`, and the peer read nothing since.
    full: bool,
    shut: bool,
    peer_is: Peer,
    /// What the last event said.
    ended: bool,
}

impl Connection {
    fn new(token: Token) -> Connection {
        let (ours, peer) = UnixStream::pair().unwrap();
        for end in [&ours, &peer] {
            end.set_nonblocking(true).unwrap();
            sys::set_buffers(end.as_fd(), BUFFER_BYTES).unwrap();
        }
        let (interest, peer_is) = (None, Peer::Open);
        let (inbox, unread, full, shut, ended) = (0, 0, false, false, false);
        Connection { ours, peer: Some(peer), token, interest, inbox, unread, full, shut, peer_is, ended }
    }

    /// The model: what a wait reports of it.
    fn is_ready_for(&self) -> Interest {
        let interest = self.interest.unwrap_or(Interest::NONE);
        let readable = self.inbox > 0 || self.peer_is != Peer::Open;
        let writable = !self.full;
        Interest::new(interest.readable() && readable, interest.writable() && writable)
    }

    fn takes_writes(&self) -> bool {
        !self.shut && matches!(self.peer_is, Peer::Open | Peer::ShutWrite)
    }

    /// Whether the step is one that the model leaves out.
    fn excludes(&self, step: Step) -> bool {
        match step {
            // A Unix socket that is shut both ways has hung up. If its buffer is full at that, poll and epoll report
            // the hang-up, and so that it is writable, while select reports no hang-up to who asks for room. TCP is
            // writable once it is shut.
            ShutWrite => self.full && self.peer_is != Peer::Open,
            PeerShutWrite => self.full && self.shut,
            PeerShutBoth => self.full,
            Write => self.unread >= UNREAD_WRITES_MAX && !self.full,
            Add(_) | Modify(_) | Rename(_) | Remove | Replace | Read(_) | Fill | PeerWrite(_) | PeerReadAll
            | PeerClose => false,
        }
    }

    fn take(&mut self, step: Step, poller: &mut dyn Poller) {
        if self.excludes(step) {
            return;
        }
        match step {
            Add(interest) => {
                let result = poller.add(self.ours.as_fd(), self.token, interest);
                self.expect(result, self.interest.is_none(), ErrorKind::AlreadyExists);
                self.interest = self.interest.or(Some(interest));
            }
            Modify(interest) | Rename(interest) => {
                if matches!(step, Rename(_)) {
                    self.token.generation += 1;
                }
                let result = poller.modify(self.ours.as_fd(), self.token, interest);
                self.expect(result, self.interest.is_some(), ErrorKind::NotFound);
                self.interest = self.interest.and(Some(interest));
            }
            Remove => {
                let result = poller.remove(self.ours.as_fd());
                self.expect(result, self.interest.is_some(), ErrorKind::NotFound);
                self.interest = None;
            }
            Replace => {
                if self.interest.is_some() {
                    poller.remove(self.ours.as_fd()).unwrap();
                }
                let Token { index, generation } = self.token;
                *self = Connection::new(Token { index, generation: generation + 1 });
            }
            Read(asked) => while self.reads_on(asked, poller) {},
            Write => match sys::send(self.ours.as_fd(), b"x", false) {
                Ok(_) => {
                    assert!(self.takes_writes() && !self.full);
                    self.unread += 1;
                }
                Err(error) => self.not_written(&error, poller),
            },
            Fill => {
                let error = loop {
                    if let Err(error) = sys::send(self.ours.as_fd(), &[0; 4_096], false) {
                        break error;
                    }
                };
                self.full |= error.kind() == ErrorKind::WouldBlock;
                self.not_written(&error, poller);
            }
            ShutWrite => {
                self.ours.shutdown(Shutdown::Write).unwrap();
                self.shut = true;
            }
            PeerWrite(_) | PeerReadAll | PeerShutWrite | PeerShutBoth | PeerClose => self.peer_takes(step),
        }
    }

    fn peer_takes(&mut self, step: Step) {
        let Some(peer) = &self.peer else { return };
        match step {
            PeerWrite(count) => {
                if self.peer_is == Peer::Open {
                    assert_eq!(sys::send(peer.as_fd(), &vec![0; count], false).unwrap(), count);
                    self.inbox += count;
                }
            }
            PeerReadAll => {
                while sys::receive(peer.as_fd(), &mut [0; 65_536]).is_ok_and(|count| count > 0) {}
                (self.unread, self.full) = (0, false);
            }
            PeerShutWrite => {
                peer.shutdown(Shutdown::Write).unwrap();
                self.peer_is = if self.peer_is == Peer::ShutBoth { Peer::ShutBoth } else { Peer::ShutWrite };
            }
            PeerShutBoth => {
                peer.shutdown(Shutdown::Both).unwrap();
                self.peer_is = Peer::ShutBoth;
            }
            PeerClose => {
                (self.peer, self.peer_is) = (None, Peer::Gone);
                // What it did not read is gone with it.
                (self.unread, self.full) = (0, false);
            }
            _ => unreachable!("not a step of the peer: {step:?}"),
        }
    }

    #[track_caller]
    fn expect(&self, result: io::Result<()>, is_fine: bool, otherwise: ErrorKind) {
        let want = if is_fine { Ok(()) } else { Err(otherwise) };
        assert_eq!(result.map_err(|error| error.kind()), want);
    }

    /// One read, of which the poller is told what the contract wants it to be told. Whether to read on: a read that got
    /// all it asked for, and all there was, does not know it, and who stops there may be given one more event by the
    /// edge trigger, as a hint.
    fn reads_on(&mut self, asked: usize, poller: &mut dyn Poller) -> bool {
        match sys::receive(self.ours.as_fd(), &mut vec![0; asked]) {
            Ok(0) => {
                assert!(self.inbox == 0 && self.peer_is != Peer::Open);
                false
            }
            Ok(count) => {
                assert_eq!(count, asked.min(self.inbox));
                self.inbox -= count;
                if count < asked && !self.ended {
                    poller.exhausted(self.ours.as_fd(), Direction::Read);
                }
                count == asked && self.inbox == 0
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                assert!(self.inbox == 0 && self.peer_is == Peer::Open);
                poller.exhausted(self.ours.as_fd(), Direction::Read);
                false
            }
            Err(error) => {
                assert_eq!((error.kind(), self.peer_is), (ErrorKind::ConnectionReset, Peer::Gone));
                false
            }
        }
    }

    fn not_written(&mut self, error: &io::Error, poller: &mut dyn Poller) {
        match error.kind() {
            ErrorKind::WouldBlock => {
                assert!(self.full && self.takes_writes());
                poller.exhausted(self.ours.as_fd(), Direction::Write);
            }
            ErrorKind::ConnectionReset => assert_eq!(self.peer_is, Peer::Gone),
            kind => assert!(kind == ErrorKind::BrokenPipe && !self.takes_writes(), "{error}"),
        }
    }
}

/// Waits, and compares with the model.
fn look(backend: Backend, poller: &mut dyn Poller, connections: &mut [Connection]) {
    for is_second in [false, true] {
        let before = poller.counters();
        let mut events = Vec::new();
        poller.wait(&mut events, Some(Duration::ZERO)).unwrap();
        events.sort_by_key(|event| event.token);

        let is_edge = backend == Backend::Epoll { trigger: Trigger::Edge };
        let want = connections.iter_mut().filter(|connection| connection.is_ready_for() != Interest::NONE);
        let want: Vec<_> = want
            .map(|connection| {
                connection.ended = is_edge && connection.peer_is != Peer::Open;
                (connection.token, connection.is_ready_for(), connection.ended)
            })
            .collect();
        let told = events.iter().map(|event| (event.token, Interest::new(event.readable, event.writable), event.ended));
        assert_eq!(told.collect::<Vec<_>>(), want, "second wait: {is_second}");

        let after = poller.counters();
        assert_eq!((after.waits - before.waits, after.ready - before.ready), (1, events.len() as u64));
        // What nobody wants is told to epoll once. Told again and again, it would end every wait.
        if is_second && let Backend::Epoll { trigger } = backend {
            let kernel_told = if trigger == Trigger::Edge { 0 } else { events.len() as u64 };
            assert_eq!(after.scanned - before.scanned, kernel_told, "events from the kernel in the second wait");
        }
    }
}

fn run(backend: Backend, acts: &[Act]) {
    let mut poller = backend.open().unwrap();
    let mut connections: Vec<_> =
        (0..CONNECTIONS as u32).map(|index| Connection::new(Token { index, generation: 0 })).collect();
    for act in acts.iter().chain([&Wait]) {
        match *act {
            Do(index, step) => connections[index].take(step, &mut *poller),
            Wait => look(backend, &mut *poller, &mut connections),
        }
    }
}

fn interests() -> impl Strategy<Value = Interest> {
    prop::sample::select(vec![Interest::NONE, Interest::READ, Interest::WRITE, Interest::BOTH])
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => interests().prop_map(Add),
        4 => interests().prop_map(Modify),
        1 => interests().prop_map(Rename),
        1 => Just(Remove),
        1 => Just(Replace),
        3 => (1..=64usize).prop_map(Read),
        1 => Just(Write),
        2 => Just(Fill),
        1 => Just(ShutWrite),
        3 => (1..=40usize).prop_map(PeerWrite),
        2 => Just(PeerReadAll),
        1 => Just(PeerShutWrite),
        1 => Just(PeerShutBoth),
        1 => Just(PeerClose),
    ]
}

/// Histories with a look after every step, which miss nothing, and such with few, in which several things happen at
/// once.
fn histories() -> impl Strategy<Value = Vec<Act>> {
    let act = || (0..CONNECTIONS, steps()).prop_map(|(index, step)| Do(index, step));
    let watched = prop::collection::vec(act(), 1..STEPS_MAX)
        .prop_map(|acts| acts.into_iter().flat_map(|act| [act, Wait]).collect::<Vec<_>>());
    let unwatched = prop::collection::vec(prop_oneof![3 => act(), 1 => Just(Wait)], 1..STEPS_MAX);
    prop_oneof![watched, unwatched]
}

fn random_histories_are_reported_as_the_model_says(backend: Backend) {
    // No file of failures in the source tree: what fails becomes a case below.
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    let result = TestRunner::new(config).run(&histories(), |acts| {
        run(backend, &acts);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

fn histories_that_went_wrong_once_go_right(backend: Backend) {
    const READ: Interest = Interest::READ;
    const NONE: Interest = Interest::NONE;
    let cases: &[(&str, &[Act])] = &[(
        "an end that came while nobody was interested, then a short read",
        &[
            Do(0, Add(READ)),
            Do(0, PeerWrite(3)),
            Wait,
            Do(0, Modify(NONE)),
            Do(0, PeerShutWrite),
            Wait,
            Do(0, Read(64)),
            Do(0, Modify(READ)),
        ],
    )];
    for (case, acts) in cases {
        println!("{case}"); // Shown when it fails.
        run(backend, acts);
    }
}
