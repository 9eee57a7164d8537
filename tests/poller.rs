//! The contract of `tripoll::poller::Poller`, point by point, the same on every backend.
//!
//! What needs a process in which nobody else opens or closes descriptors is in `poller_numbers.rs`, crowds are in
//! `crowds.rs`, random histories in `poller_model.rs`.

mod backends;

use backends::on_every_backend;
use std::io::{self, ErrorKind, PipeReader, PipeWriter, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Once, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use tripoll::poller::{Counters, Direction, Event, Interest, Poller, Strategy, Token, Trigger};
use tripoll::sys::{self, EventFd, Signal};

on_every_backend! {
    // 1: level-triggered
    persisting_readiness_is_reported_again,
    what_a_partial_read_left_is_reported_again,
    would_block_ends_readiness_until_more_comes,
    room_that_lasts_is_reported_again,
    // 2: what readable and writable mean
    readable_means_the_same_on_every_backend,
    writable_means_the_same_on_every_backend,
    error_and_hang_up_are_what_was_asked_for,
    after_a_reset_the_next_call_reports_the_errno,
    what_is_ready_both_ways_is_one_event,
    a_listener_is_readable_while_connections_wait,
    // 3: interest
    without_interest_nothing_is_an_event_nor_keeps_ending_waits,
    only_what_is_wanted_is_reported,
    interest_can_be_widened_narrowed_and_widened_again,
    interest_comes_back_to_what_happened_meanwhile,
    // 4: who is there
    who_is_there_is_not_added_and_who_is_not_is_not_changed,
    who_is_refused_is_not_watched,
    events_carry_the_token_last_given,
    who_stays_keeps_its_events_when_others_leave,
    what_was_removed_is_heard_of_no_more,
    a_wait_forgets_the_events_of_the_last,
    // 5: timeouts and signals
    no_timeout_blocks_until_a_byte_comes,
    a_timeout_of_zero_returns_at_once,
    a_timeout_never_ends_before_it_was_asked_to,
    a_timeout_too_large_for_the_kernel_is_cut,
    a_signal_ends_a_wait_without_events,
    // 9: the edge trigger looks like the others
    the_end_behind_bytes_is_not_lost_by_a_short_read,
    the_end_that_came_while_nobody_was_interested_is_not_lost,
    what_is_kept_is_reported_without_waiting,
    a_short_read_says_exhausted_and_the_next_bytes_are_told,
    only_the_edge_trigger_says_that_the_end_is_near,
    // counters
    counters_count_what_they_say,
    a_wait_without_events_scans_nothing,
}

/// Longer than any machine is slow; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(20);

const OURS: Token = Token { index: 7, generation: 3 };
const BELL: Token = Token { index: 8, generation: 0 };

/// Bytes that one read asks for: more than any test sends.
const ROOM: usize = 64;

/// A way to make two connected, non-blocking sockets.
type Wire = fn() -> (OwnedFd, OwnedFd);
/// Something that happens.
type Act = fn(&mut Rig);
const WIRES: [(&str, Wire); 2] = [("unix", unix), ("tcp", tcp)];

fn unix() -> (OwnedFd, OwnedFd) {
    let (ours, peer) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    peer.set_nonblocking(true).unwrap();
    (ours.into(), peer.into())
}

fn tcp() -> (OwnedFd, OwnedFd) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    peer.set_nonblocking(true).unwrap();
    (ours.into(), peer.into())
}

/// A poller and a connection whose near end it watches as [`OURS`], driven as the reactor drives it.
struct Rig {
    poller: Box<dyn Poller>,
    ours: OwnedFd,
    peer: Option<OwnedFd>,
    /// What the last event of `ours` said.
    ended: bool,
}

impl Rig {
    fn new(strategy: Strategy, wire: Wire) -> Rig {
        let (ours, peer) = wire();
        Rig { poller: strategy.open().unwrap(), ours, peer: Some(peer), ended: false }
    }

    fn watching(strategy: Strategy, wire: Wire, interest: Interest) -> Rig {
        let mut rig = Rig::new(strategy, wire);
        rig.add(interest);
        rig
    }

    /// Watches for reading, and has waited once: the edge trigger was told that there is room, which nobody asked.
    fn quiet(strategy: Strategy) -> Rig {
        let mut rig = Rig::watching(strategy, unix, Interest::READ);
        assert_eq!(rig.now(), Interest::NONE);
        rig
    }

    fn add(&mut self, interest: Interest) {
        self.poller.add(self.ours.as_fd(), OURS, interest).unwrap();
    }

    fn modify(&mut self, interest: Interest) {
        self.poller.modify(self.ours.as_fd(), OURS, interest).unwrap();
    }

    /// What our end is reported as by a wait of up to `timeout`, with nobody else watched.
    #[track_caller]
    fn wait(&mut self, timeout: Duration) -> Interest {
        let events = wait(&mut *self.poller, timeout);
        let Some(event) = events.first() else { return Interest::NONE };
        assert_eq!((events.len(), event.token), (1, OURS), "{events:?}");
        self.ended = event.ended;
        ready(event)
    }

    /// What is reported of what already happened. For what must still cross the network, ask for it
    /// [`soon`](Self::soon).
    #[track_caller]
    fn now(&mut self) -> Interest {
        self.wait(Duration::ZERO)
    }

    #[track_caller]
    fn soon(&mut self) -> Interest {
        self.wait(PATIENCE)
    }

    /// One read of up to `asked` bytes; tells the poller what the contract wants to be told.
    fn reads(&mut self, asked: usize) -> io::Result<usize> {
        let result = sys::receive(self.ours.as_fd(), &mut vec![0; asked]);
        let exhausted = match &result {
            Ok(0) => false,
            Ok(count) => *count < asked && !self.ended,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        };
        if exhausted {
            self.poller.exhausted(self.ours.as_fd(), Direction::Read);
        }
        result
    }

    /// Reads `count` bytes, however long they are on their way.
    fn takes(&mut self, mut count: usize) {
        while count > 0 {
            await_readable(self.ours.as_fd());
            count -= self.reads(ROOM).unwrap();
        }
    }

    /// Writes until the kernel takes no more.
    fn fills(&mut self) {
        let error = loop {
            if let Err(error) = sys::send(self.ours.as_fd(), &[0; 4096], false) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        self.poller.exhausted(self.ours.as_fd(), Direction::Write);
    }

    fn peer(&self) -> BorrowedFd<'_> {
        self.peer.as_ref().expect("the peer is there").as_fd()
    }

    fn peer_writes(&mut self, bytes: &[u8]) {
        assert_eq!(sys::send(self.peer(), bytes, false).unwrap(), bytes.len());
    }

    fn peer_shuts_write(&mut self) {
        sys::shutdown_write(self.peer()).unwrap();
    }

    fn peer_closes(&mut self) {
        self.peer = None;
    }

    /// TCP resets because it was told to, a Unix socket because bytes of ours were never read.
    fn peer_resets(&mut self) {
        if sys::send(self.ours.as_fd(), b"x", false).is_ok() {
            await_readable(self.peer());
        }
        sys::abort_on_close(self.peer()).unwrap();
        self.peer = None;
    }

    fn peer_reads_all(&mut self) {
        while sys::receive(self.peer(), &mut [0; 65_536]).is_ok_and(|count| count > 0) {}
    }
}

/// The events of one wait, which has to end in time.
#[track_caller]
fn wait(poller: &mut dyn Poller, timeout: Duration) -> Vec<Event> {
    let mut events = Vec::new();
    poller.wait(&mut events, Some(timeout)).unwrap();
    events
}

/// As [`wait`], without a timeout. A wait that does not end ends the process, so that it is a failure and no hang.
#[track_caller]
fn wait_for_ever(poller: &mut dyn Poller) -> Vec<Event> {
    let (done, is_done) = mpsc::channel::<()>();
    thread::spawn(move || {
        if is_done.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = writeln!(io::stderr(), "a wait without a timeout does not end");
            std::process::abort();
        }
    });
    let mut events = Vec::new();
    poller.wait(&mut events, None).unwrap();
    drop(done);
    events
}

fn ready(event: &Event) -> Interest {
    Interest::new(event.readable, event.writable)
}

/// Blocks until `fd` is readable, by a poller of its own, so that what crosses the network has arrived.
fn await_readable(fd: BorrowedFd<'_>) {
    let mut poller = Strategy::Poll.open().unwrap();
    poller.add(fd, BELL, Interest::READ).unwrap();
    assert_eq!(wait(&mut *poller, PATIENCE).len(), 1, "it never became readable");
}

/// Blocks until the thread whose directory in /proc this is sleeps in the kernel, or is no more.
fn await_asleep(thread: &Path) {
    while let Ok(stat) = std::fs::read_to_string(thread.join("stat")) {
        // "1234 (name) S …", and a name may hold anything.
        if stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" S")) {
            return;
        }
        thread::yield_now();
    }
}

/// This thread's directory in /proc, by a path that means the same to others.
fn this_thread() -> PathBuf {
    Path::new("/proc").join(std::fs::read_link("/proc/thread-self").unwrap())
}

// 1: level-triggered

fn persisting_readiness_is_reported_again(strategy: Strategy) {
    let mut rig = Rig::watching(strategy, unix, Interest::READ);
    rig.peer_writes(b"abc");
    for wait in 1..=3 {
        assert_eq!(rig.now(), Interest::READ, "wait {wait}");
    }
    assert_eq!(rig.reads(ROOM).unwrap(), 3);
    assert_eq!(rig.now(), Interest::NONE);
}

fn what_a_partial_read_left_is_reported_again(strategy: Strategy) {
    let mut rig = Rig::watching(strategy, unix, Interest::READ);
    rig.peer_writes(b"abc");
    for left in [2, 1] {
        assert_eq!(rig.reads(1).unwrap(), 1);
        assert_eq!(rig.now(), Interest::READ, "{left} left");
    }
}

fn would_block_ends_readiness_until_more_comes(strategy: Strategy) {
    let mut rig = Rig::watching(strategy, unix, Interest::READ);
    for round in 1..=3 {
        rig.peer_writes(b"ab");
        assert_eq!(rig.now(), Interest::READ, "round {round}");
        // Full to the byte: no short read, so that only the next read tells that this was all.
        assert_eq!(rig.reads(2).unwrap(), 2);
        assert_eq!(rig.reads(2).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(rig.now(), Interest::NONE, "round {round}");
    }
}

fn room_that_lasts_is_reported_again(strategy: Strategy) {
    let mut rig = Rig::watching(strategy, unix, Interest::WRITE);
    for round in 1..=3 {
        assert_eq!([rig.now(), rig.now()], [Interest::WRITE; 2], "round {round}");
        rig.fills();
        assert_eq!([rig.now(), rig.now()], [Interest::NONE; 2], "round {round}");
        rig.peer_reads_all();
    }
}

// 2: what readable and writable mean

/// A name, what happens, what is then reported.
type Case = (&'static str, Act, Interest);

/// Tries each case with the socket watched from before it happens, and only after.
#[track_caller]
fn check(strategy: Strategy, (wire_name, wire): (&str, Wire), interest: Interest, cases: &[Case]) {
    for (case, act, want) in cases {
        for added_first in [true, false] {
            let mut rig = Rig::new(strategy, wire);
            if added_first {
                rig.add(interest);
            }
            act(&mut rig);
            if !added_first {
                rig.add(interest);
            }
            let told = if *want == Interest::NONE { rig.now() } else { rig.soon() };
            assert_eq!(told, *want, "{wire_name}, {case}, added first: {added_first}");
            assert_eq!(rig.now(), *want, "{wire_name}, {case}, added first: {added_first}, again");
        }
    }
}

fn readable_means_the_same_on_every_backend(strategy: Strategy) {
    let cases: &[Case] = &[
        ("nothing yet", |_| (), Interest::NONE),
        ("bytes waiting", |rig| rig.peer_writes(b"abc"), Interest::READ),
        (
            "bytes read",
            |rig| {
                rig.peer_writes(b"abc");
                rig.takes(3)
            },
            Interest::NONE,
        ),
        (
            "bytes read, more waiting",
            |rig| {
                rig.peer_writes(b"abc");
                rig.takes(3);
                rig.peer_writes(b"d")
            },
            Interest::READ,
        ),
        ("peer half-closed", |rig| rig.peer_shuts_write(), Interest::READ),
        (
            "peer half-closed behind bytes",
            |rig| {
                rig.peer_writes(b"abc");
                rig.peer_shuts_write()
            },
            Interest::READ,
        ),
        (
            "peer half-closed behind bytes read",
            |rig| {
                rig.peer_writes(b"abc");
                rig.takes(3);
                rig.peer_shuts_write()
            },
            Interest::READ,
        ),
        ("peer closed", |rig| rig.peer_closes(), Interest::READ),
        (
            "peer closed behind bytes",
            |rig| {
                rig.peer_writes(b"abc");
                rig.peer_closes()
            },
            Interest::READ,
        ),
        ("peer reset", |rig| rig.peer_resets(), Interest::READ),
        (
            "peer reset, its error taken",
            |rig| {
                rig.peer_resets();
                await_readable(rig.ours.as_fd());
                assert!(rig.reads(ROOM).is_err());
            },
            Interest::READ,
        ),
        ("own end half-closed", |rig| sys::shutdown_write(rig.ours.as_fd()).unwrap(), Interest::NONE),
        (
            "both half-closed",
            |rig| {
                rig.peer_shuts_write();
                sys::shutdown_write(rig.ours.as_fd()).unwrap()
            },
            Interest::READ,
        ),
    ];
    for wire in WIRES {
        check(strategy, wire, Interest::READ, cases);
    }
}

fn writable_means_the_same_on_every_backend(strategy: Strategy) {
    let cases: &[Case] = &[
        ("nothing sent yet", |_| (), Interest::WRITE),
        ("bytes sent", |rig| assert!(sys::send(rig.ours.as_fd(), b"abc", false).is_ok()), Interest::WRITE),
        ("bytes waiting", |rig| rig.peer_writes(b"abc"), Interest::WRITE),
        ("peer half-closed", |rig| rig.peer_shuts_write(), Interest::WRITE),
        ("peer closed", |rig| rig.peer_closes(), Interest::WRITE),
        ("peer reset", |rig| rig.peer_resets(), Interest::WRITE),
        ("own end half-closed", |rig| sys::shutdown_write(rig.ours.as_fd()).unwrap(), Interest::WRITE),
        (
            "full, then drained",
            |rig| {
                rig.fills();
                rig.peer_reads_all()
            },
            Interest::WRITE,
        ),
        (
            "full, then peer closed",
            |rig| {
                rig.fills();
                rig.peer_closes()
            },
            Interest::WRITE,
        ),
        (
            "full, then peer reset",
            |rig| {
                rig.fills();
                rig.peer_resets()
            },
            Interest::WRITE,
        ),
    ];
    for wire in WIRES {
        check(strategy, wire, Interest::WRITE, cases);
    }
    // Only a Unix socket stays full: TCP moves what it took to the peer's buffer, in its own time.
    let cases: &[Case] = &[
        ("full", |rig| rig.fills(), Interest::NONE),
        (
            "full, bytes waiting",
            |rig| {
                rig.fills();
                rig.peer_writes(b"abc")
            },
            Interest::NONE,
        ),
        (
            "full, peer half-closed",
            |rig| {
                rig.fills();
                rig.peer_shuts_write()
            },
            Interest::NONE,
        ),
    ];
    check(strategy, WIRES[0], Interest::WRITE, cases);
}

/// Pipes report a hang-up or an error and nothing beside it; sockets are readable, or writable, as well.
fn error_and_hang_up_are_what_was_asked_for(strategy: Strategy) {
    let (reader, writer) = io::pipe().unwrap();
    drop(writer);
    assert_eq!(readiness_of(strategy, &reader, Interest::READ), Interest::READ, "hang-up");

    let (reader, mut writer) = full_pipe();
    assert_eq!(readiness_of(strategy, &writer, Interest::WRITE), Interest::NONE, "full");
    drop(reader);
    assert_eq!(readiness_of(strategy, &writer, Interest::WRITE), Interest::WRITE, "error");
    assert_eq!(writer.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
}

fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = io::pipe().unwrap();
    while readiness_of(Strategy::Poll, &writer, Interest::WRITE) == Interest::WRITE {
        // A pipe that is writable has room for a page, so that this does not block.
        writer.write_all(&[0; 4096]).unwrap();
    }
    (reader, writer)
}

fn readiness_of(strategy: Strategy, fd: &impl AsFd, interest: Interest) -> Interest {
    let mut poller = strategy.open().unwrap();
    poller.add(fd.as_fd(), OURS, interest).unwrap();
    wait(&mut *poller, Duration::ZERO).first().map_or(Interest::NONE, ready)
}

fn after_a_reset_the_next_call_reports_the_errno(strategy: Strategy) {
    for (wire_name, wire) in WIRES {
        let mut rig = Rig::watching(strategy, wire, Interest::READ);
        rig.peer_resets();
        assert_eq!(rig.soon(), Interest::READ, "{wire_name}");
        assert_eq!(rig.reads(ROOM).unwrap_err().kind(), ErrorKind::ConnectionReset, "{wire_name}");
        assert_eq!(rig.now(), Interest::READ, "{wire_name}: the end lasts");
        assert_eq!(rig.reads(ROOM).unwrap(), 0, "{wire_name}");
    }
}

fn what_is_ready_both_ways_is_one_event(strategy: Strategy) {
    let mut rig = Rig::watching(strategy, unix, Interest::BOTH);
    assert_eq!(rig.now(), Interest::WRITE);
    rig.peer_writes(b"abc");
    assert_eq!(rig.now(), Interest::BOTH);
    rig.fills();
    assert_eq!(rig.now(), Interest::READ);
    rig.peer_resets();
    assert_eq!(rig.now(), Interest::BOTH);
}

fn a_listener_is_readable_while_connections_wait(strategy: Strategy) {
    let listener = sys::listen((Ipv4Addr::LOCALHOST, 0).into(), 8).unwrap();
    let address = TcpListener::from(listener.try_clone().unwrap()).local_addr().unwrap();
    let mut poller = strategy.open().unwrap();
    poller.add(listener.as_fd(), OURS, Interest::READ).unwrap();
    assert_eq!(wait(&mut *poller, Duration::ZERO), []);

    let clients = [(); 2].map(|()| TcpStream::connect(address).unwrap());
    for _ in &clients {
        assert_eq!(wait(&mut *poller, PATIENCE).first().map(ready), Some(Interest::READ));
        sys::accept(listener.as_fd()).unwrap();
    }
    assert_eq!(sys::accept(listener.as_fd()).unwrap_err().kind(), ErrorKind::WouldBlock);
    poller.exhausted(listener.as_fd(), Direction::Read);
    assert_eq!(wait(&mut *poller, Duration::ZERO), []);
}

// 3: interest

fn without_interest_nothing_is_an_event_nor_keeps_ending_waits(strategy: Strategy) {
    let cases: [(&str, Act); 4] = [
        ("bytes", |rig| rig.peer_writes(b"abc")),
        ("half-close", |rig| rig.peer_shuts_write()),
        ("close", |rig| rig.peer_closes()),
        ("reset", |rig| rig.peer_resets()),
    ];
    for ((case, act), (wire_name, wire)) in cases.into_iter().flat_map(|case| WIRES.map(|wire| (case, wire))) {
        for narrowed in [true, false] {
            let mut rig = Rig::new(strategy, wire);
            rig.add(if narrowed { Interest::BOTH } else { Interest::NONE });
            rig.modify(Interest::NONE);
            act(&mut rig);
            await_readable(rig.ours.as_fd());

            // What epoll watches still, it learns not to watch by an event: that may end one wait, and one alone.
            let may_end_a_wait = match strategy {
                Strategy::Select { .. } | Strategy::Poll => false,
                Strategy::Epoll { trigger: Trigger::Level } => narrowed,
                Strategy::Epoll { trigger: Trigger::Edge } => true,
            };
            let (bell, hand) = unix();
            rig.poller.add(bell.as_fd(), BELL, Interest::READ).unwrap();
            for (round, ends_max) in [(1, usize::from(may_end_a_wait)), (2, 0)] {
                let ends = waits_ended_before_the_bell(&mut *rig.poller, &bell, &hand);
                assert!(ends <= ends_max, "{wire_name}, {case}, narrowed: {narrowed}, round {round}: {ends} ended");
            }
        }
    }
}

/// How many waits ended without events until one ended because `bell` rang, which `hand` does when the thread that
/// waits sleeps.
fn waits_ended_before_the_bell(poller: &mut dyn Poller, bell: &OwnedFd, hand: &OwnedFd) -> usize {
    const ENDS_MAX: usize = 100;
    let waiter = this_thread();
    thread::scope(|scope| {
        scope.spawn(|| {
            await_asleep(&waiter);
            sys::send(hand.as_fd(), b"x", false).unwrap();
        });
        for ends in 0..ENDS_MAX {
            let events = wait(poller, PATIENCE);
            if let [event] = events[..] {
                assert_eq!((event.token, ready(&event)), (BELL, Interest::READ), "nothing else is an event");
                assert_eq!(sys::receive(bell.as_fd(), &mut [0; ROOM]).unwrap(), 1);
                poller.exhausted(bell.as_fd(), Direction::Read);
                return ends;
            }
            assert_eq!(events, []);
        }
        ENDS_MAX
    })
}

fn only_what_is_wanted_is_reported(strategy: Strategy) {
    for interest in [Interest::NONE, Interest::READ, Interest::WRITE, Interest::BOTH] {
        let mut rig = Rig::watching(strategy, unix, interest);
        rig.peer_writes(b"abc");
        assert_eq!(rig.now(), interest, "bytes and room");
        rig.peer_resets();
        assert_eq!(rig.now(), interest, "reset");
    }
}

fn interest_can_be_widened_narrowed_and_widened_again(strategy: Strategy) {
    use Interest as I;
    let mut rig = Rig::watching(strategy, unix, I::NONE);
    rig.peer_writes(b"abc");
    // Each after each other, itself too.
    let all = [I::NONE, I::READ, I::WRITE, I::BOTH];
    for (from, to) in all.into_iter().flat_map(|from| all.map(|to| (from, to))) {
        for interest in [from, to] {
            rig.modify(interest);
            assert_eq!([rig.now(), rig.now()], [interest; 2], "{from:?} → {to:?}");
        }
        // Without a wait between, nobody heard of `from`.
        rig.modify(from);
        rig.modify(to);
        assert_eq!(rig.now(), to, "{from:?} → {to:?} at once");
    }
}

fn interest_comes_back_to_what_happened_meanwhile(strategy: Strategy) {
    let cases: [Case; 4] = [
        ("nothing", |_| (), Interest::WRITE),
        ("bytes", |rig| rig.peer_writes(b"abc"), Interest::BOTH),
        ("half-close", |rig| rig.peer_shuts_write(), Interest::BOTH),
        ("reset", |rig| rig.peer_resets(), Interest::BOTH),
    ];
    for (case, act, want) in cases {
        for looks in 0..=2 {
            let mut rig = Rig::watching(strategy, unix, Interest::BOTH);
            rig.modify(Interest::NONE);
            act(&mut rig);
            for _ in 0..looks {
                assert_eq!(rig.now(), Interest::NONE, "{case}");
            }
            rig.modify(Interest::BOTH);
            assert_eq!(rig.now(), want, "{case}, {looks} waits between");
        }
    }
}

// 4: who is there

fn who_is_there_is_not_added_and_who_is_not_is_not_changed(strategy: Strategy) {
    let mut rig = Rig::new(strategy, unix);
    let Rig { poller, ours, .. } = &mut rig;
    let fd = ours.as_fd();
    let missing = |poller: &mut dyn Poller| {
        assert_eq!(poller.modify(fd, OURS, Interest::READ).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(poller.remove(fd).unwrap_err().kind(), ErrorKind::NotFound);
        poller.exhausted(fd, Direction::Read);
    };
    missing(&mut **poller);
    for interest in [Interest::READ, Interest::NONE] {
        poller.add(fd, OURS, interest).unwrap();
        for other in [Interest::NONE, Interest::WRITE] {
            assert_eq!(poller.add(fd, BELL, other).unwrap_err().kind(), ErrorKind::AlreadyExists);
        }
        assert_eq!(wait(&mut **poller, Duration::ZERO), [], "a refused change changes nothing");
        poller.remove(fd).unwrap();
        missing(&mut **poller);
    }
    assert_eq!(wait(&mut **poller, Duration::ZERO), []);
}

fn who_is_refused_is_not_watched(strategy: Strategy) {
    let mut poller = strategy.open().unwrap();
    // epoll refuses what is always ready (EPERM), the others report it.
    let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
    let is_refused = matches!(strategy, Strategy::Epoll { .. });
    for _ in 0..2 {
        let result = poller.add(file.as_fd(), OURS, Interest::READ).map_err(|error| error.kind());
        assert_eq!(result, if is_refused { Err(ErrorKind::PermissionDenied) } else { Ok(()) });
        assert_eq!(wait(&mut *poller, Duration::ZERO).len(), usize::from(!is_refused));
        let result = poller.remove(file.as_fd()).map_err(|error| error.kind());
        assert_eq!(result, if is_refused { Err(ErrorKind::NotFound) } else { Ok(()) });
    }
}

fn events_carry_the_token_last_given(strategy: Strategy) {
    let mut rig = Rig::watching(strategy, unix, Interest::BOTH);
    rig.peer_writes(b"abc");
    // Seen or not, kept or not: under the new name from now on, and ready as before.
    for (generation, waits) in [(4, 1), (5, 0), (6, 2)] {
        let token = Token { index: generation * 10, generation };
        rig.poller.modify(rig.ours.as_fd(), token, Interest::READ).unwrap();
        for _ in 0..waits {
            let tokens: Vec<_> = wait(&mut *rig.poller, Duration::ZERO).iter().map(|event| event.token).collect();
            assert_eq!(tokens, [token]);
        }
    }
}

fn who_stays_keeps_its_events_when_others_leave(strategy: Strategy) {
    const COUNT: usize = 5;
    for leaver in 0..COUNT {
        for masked in 0..COUNT {
            let mut poller = strategy.open().unwrap();
            let bells = [(); COUNT].map(|()| EventFd::new().unwrap());
            let token = |index: usize| Token { index: index as u32, generation: 0 };
            for (index, bell) in bells.iter().enumerate() {
                let interest = if index == masked { Interest::NONE } else { Interest::READ };
                poller.add(bell.as_fd(), token(index), interest).unwrap();
            }
            poller.remove(bells[leaver].as_fd()).unwrap();
            // The one that moved into the gap, if any, has its own events still, and is still found by its descriptor.
            for index in (0..COUNT).filter(|index| *index != leaver) {
                let tokens = |poller: &mut dyn Poller| -> Vec<_> {
                    wait(poller, Duration::ZERO).iter().map(|event| event.token).collect()
                };
                bells[index].ring();
                let want = if index == masked { vec![] } else { vec![token(index)] };
                assert_eq!(tokens(&mut *poller), want, "{leaver} left, {masked} was masked");
                poller.modify(bells[index].as_fd(), token(index + 10), Interest::READ).unwrap();
                assert_eq!(tokens(&mut *poller), [token(index + 10)], "{leaver} left, {masked} was masked");
                bells[index].clear();
                poller.remove(bells[index].as_fd()).unwrap();
            }
            assert_eq!(wait(&mut *poller, Duration::ZERO), []);
        }
    }
}

fn what_was_removed_is_heard_of_no_more(strategy: Strategy) {
    for looks in 0..=1 {
        let mut rig = Rig::watching(strategy, unix, Interest::BOTH);
        rig.peer_writes(b"abc");
        for _ in 0..looks {
            assert_eq!(rig.now(), Interest::BOTH);
        }
        rig.poller.remove(rig.ours.as_fd()).unwrap();
        assert_eq!(rig.now(), Interest::NONE);
        // Back again, it has one event, not one for each of its lives.
        rig.add(Interest::READ);
        assert_eq!(rig.now(), Interest::READ);
    }
}

fn a_wait_forgets_the_events_of_the_last(strategy: Strategy) {
    let mut rig = Rig::watching(strategy, unix, Interest::WRITE);
    let mut events = Vec::new();
    for wait in 1..=3 {
        rig.poller.wait(&mut events, Some(Duration::ZERO)).unwrap();
        assert_eq!(events.len(), 1, "wait {wait}");
    }
    rig.modify(Interest::NONE);
    rig.poller.wait(&mut events, Some(Duration::ZERO)).unwrap();
    assert_eq!(events, []);
}

// 5: timeouts and signals

fn no_timeout_blocks_until_a_byte_comes(strategy: Strategy) {
    let mut rig = Rig::quiet(strategy);
    let waiter = this_thread();
    let events = thread::scope(|scope| {
        scope.spawn(|| {
            await_asleep(&waiter);
            sys::send(rig.peer.as_ref().unwrap().as_fd(), b"x", false).unwrap();
        });
        wait_for_ever(&mut *rig.poller)
    });
    assert_eq!(events.iter().map(ready).collect::<Vec<_>>(), [Interest::READ]);
    assert_eq!(rig.poller.counters().waits, 2);
}

fn a_timeout_of_zero_returns_at_once(strategy: Strategy) {
    let mut empty = strategy.open().unwrap();
    let mut rig = Rig::quiet(strategy);
    for _ in 0..1_000 {
        // Would either sleep, and be it for the smallest unit, the test would be seen to take seconds; would it block,
        // for ever.
        assert_eq!(wait(&mut *empty, Duration::ZERO), []);
        assert_eq!(rig.now(), Interest::NONE);
    }
}

fn a_timeout_never_ends_before_it_was_asked_to(strategy: Strategy) {
    let mut rig = Rig::quiet(strategy);
    for nanos in [1, 999, 1_001, 300_000, 999_999, 1_000_000, 1_000_001, 1_300_000, 1_999_999, 2_000_001] {
        let timeout = Duration::from_nanos(nanos);
        let start = Instant::now();
        assert_eq!(rig.wait(timeout), Interest::NONE);
        assert!(start.elapsed() >= timeout, "asked for {timeout:?}, ended after {:?}", start.elapsed());
    }
}

fn a_timeout_too_large_for_the_kernel_is_cut(strategy: Strategy) {
    let (int_max_ms, i64_max_s) = (Duration::from_millis(i32::MAX as u64), Duration::from_secs(i64::MAX as u64));
    for timeout in [int_max_ms, int_max_ms + Duration::from_nanos(1), int_max_ms * 3, i64_max_s, Duration::MAX] {
        let mut rig = Rig::quiet(strategy);
        let waiter = this_thread();
        let told = thread::scope(|scope| {
            let peer = rig.peer.as_ref().unwrap().try_clone().unwrap();
            scope.spawn(move || {
                await_asleep(&waiter);
                sys::send(peer.as_fd(), b"x", false).unwrap();
            });
            rig.wait(timeout)
        });
        assert_eq!(told, Interest::READ, "{timeout:?} is neither an error nor over at once");
    }
}

fn a_signal_ends_a_wait_without_events(strategy: Strategy) {
    // For this whole process, and harmless to the other tests: the signal goes to one thread.
    static CATCH_SIGNALS: Once = Once::new();
    CATCH_SIGNALS.call_once(|| {
        let (_, to) = unix();
        sys::forward_signals(&[Signal::Terminate], to).unwrap();
    });
    let (tell, told) = mpsc::channel();
    let waiter = thread::spawn(move || {
        let mut rig = Rig::quiet(strategy);
        tell.send(this_thread()).unwrap();
        let mut events = Vec::new();
        let result = rig.poller.wait(&mut events, None).map(|()| events).map_err(|error| error.kind());
        (result, rig.poller.counters())
    });
    let thread = told.recv().unwrap();
    while !waiter.is_finished() {
        // Again, since it may have slept for another reason before it came to wait.
        await_asleep(&thread);
        sys::signal_thread(&waiter, Signal::Terminate).unwrap();
    }
    let (result, counters) = waiter.join().unwrap();
    assert_eq!(result, Ok(vec![]));
    assert_eq!((counters.waits, counters.ready), (2, 0));
}

// 9: the edge trigger looks like the others

fn the_end_behind_bytes_is_not_lost_by_a_short_read(strategy: Strategy) {
    let cases: [(&str, Act); 3] = [
        ("half-close", |rig| rig.peer_shuts_write()),
        ("close", |rig| rig.peer_closes()),
        ("half-close after the event", |rig| {
            assert_eq!(rig.soon(), Interest::READ);
            rig.peer_shuts_write();
        }),
    ];
    for ((case, act), (wire_name, wire)) in cases.into_iter().flat_map(|case| WIRES.map(|wire| (case, wire))) {
        let mut rig = Rig::watching(strategy, wire, Interest::READ);
        rig.peer_writes(b"abc");
        act(&mut rig);
        if case != "half-close after the event" {
            assert_eq!(rig.soon(), Interest::READ, "{wire_name}, {case}");
        }
        assert_eq!(rig.reads(ROOM).unwrap(), 3, "{wire_name}, {case}");
        assert_eq!(rig.soon(), Interest::READ, "{wire_name}, {case}: the end");
        assert_eq!(rig.reads(ROOM).unwrap(), 0, "{wire_name}, {case}");
        assert_eq!(rig.now(), Interest::READ, "{wire_name}, {case}: the end lasts");
    }
}

fn the_end_that_came_while_nobody_was_interested_is_not_lost(strategy: Strategy) {
    let mut rig = Rig::watching(strategy, unix, Interest::READ);
    rig.peer_writes(b"abc");
    assert_eq!(rig.now(), Interest::READ);
    rig.modify(Interest::NONE);
    rig.peer_shuts_write();
    assert_eq!(rig.now(), Interest::NONE);
    // A short read, and the last event did not say `ended`: there was none to say it.
    assert_eq!(rig.reads(ROOM).unwrap(), 3);
    rig.modify(Interest::READ);
    assert_eq!(rig.now(), Interest::READ);
    assert_eq!(rig.reads(ROOM).unwrap(), 0);
}

fn what_is_kept_is_reported_without_waiting(strategy: Strategy) {
    let mut rig = Rig::watching(strategy, unix, Interest::BOTH);
    rig.peer_writes(b"abc");
    // The edges come with the first wait; a kernel that was asked once more would block.
    for (interest, wait) in [(Interest::BOTH, 1), (Interest::BOTH, 2), (Interest::READ, 3), (Interest::WRITE, 4)] {
        rig.modify(interest);
        let events = wait_for_ever(&mut *rig.poller);
        assert_eq!(events.iter().map(ready).collect::<Vec<_>>(), [interest], "wait {wait}");
    }
}

fn a_short_read_says_exhausted_and_the_next_bytes_are_told(strategy: Strategy) {
    let mut rig = Rig::watching(strategy, unix, Interest::READ);
    for round in 1..=3 {
        rig.peer_writes(b"abc");
        assert_eq!(rig.now(), Interest::READ, "round {round}");
        assert_eq!(rig.reads(ROOM).unwrap(), 3);
        // Before the wait that would have told of their end.
        rig.peer_writes(b"d");
        assert_eq!(rig.now(), Interest::READ, "round {round}");
        assert_eq!(rig.reads(ROOM).unwrap(), 1);
        assert_eq!(rig.now(), Interest::NONE, "round {round}");
    }
}

fn only_the_edge_trigger_says_that_the_end_is_near(strategy: Strategy) {
    let says = strategy == Strategy::Epoll { trigger: Trigger::Edge };
    let cases: [(&str, Act, bool); 4] = [
        ("bytes", |rig| rig.peer_writes(b"abc"), false),
        ("half-close", |rig| rig.peer_shuts_write(), says),
        ("close", |rig| rig.peer_closes(), says),
        ("reset", |rig| rig.peer_resets(), says),
    ];
    for (case, act, want) in cases {
        let mut rig = Rig::watching(strategy, unix, Interest::BOTH);
        act(&mut rig);
        assert_eq!(rig.now(), Interest::BOTH, "{case}");
        assert_eq!(rig.ended, want, "{case}");
    }
}

// Counters

/// Descriptors in the order they are added: one masked, two quiet, one that rings, one quiet; then the masked one is
/// unmasked.
fn counters_count_what_they_say(strategy: Strategy) {
    let mut poller = strategy.open().unwrap();
    let bells = [(); 5].map(|()| EventFd::new().unwrap());
    let highest = bells.iter().map(|bell| bell.as_fd().as_raw_fd() as u64).max().unwrap();
    for (index, bell) in bells.iter().enumerate() {
        let interest = if index == 0 { Interest::NONE } else { Interest::READ };
        poller.add(bell.as_fd(), Token { index: index as u32, generation: 0 }, interest).unwrap();
    }
    bells[3].ring();
    let (passed, scanned, adds) = match strategy {
        Strategy::Select { .. } => (4, highest + 1, 5), // Each number up to the highest.
        Strategy::Poll => (4, 4, 5),                    // Entries up to the last ready one.
        Strategy::Epoll { trigger: Trigger::Level } => (0, 1, 4), // The kernel hears nothing of the masked one.
        Strategy::Epoll { trigger: Trigger::Edge } => (0, 1 + 4, 5), // Each is writable: an event nobody wants.
    };
    assert_eq!(wait(&mut *poller, PATIENCE).len(), 1);
    assert_eq!(poller.counters(), Counters { waits: 1, passed, scanned, ready: 1, changes: adds });

    let before = poller.counters();
    poller.modify(bells[0].as_fd(), OURS, Interest::READ).unwrap();
    assert_eq!(poller.counters().changes - before.changes, 1, "renamed, or widened");
    poller.modify(bells[0].as_fd(), OURS, Interest::READ).unwrap();
    let same = match strategy {
        Strategy::Select { .. } | Strategy::Poll => 1,
        Strategy::Epoll { .. } => 0,
    };
    assert_eq!(poller.counters().changes - before.changes, 1 + same, "told again what it is");
    bells[0].ring();
    assert_eq!(wait(&mut *poller, PATIENCE).len(), 2);
    let after = poller.counters();
    assert_eq!((after.waits - before.waits, after.ready - before.ready), (1, 2));
    assert_eq!(after.passed - before.passed, if passed == 0 { 0 } else { 5 });

    for bell in &bells {
        poller.remove(bell.as_fd()).unwrap();
    }
    assert_eq!(poller.counters().changes - after.changes, 5);
}

fn a_wait_without_events_scans_nothing(strategy: Strategy) {
    let mut rig = Rig::quiet(strategy);
    let before = rig.poller.counters();
    assert_eq!(rig.now(), Interest::NONE);
    let after = rig.poller.counters();
    assert_eq!((after.waits - before.waits, after.scanned - before.scanned, after.ready), (1, 0, 0));
}

/// The narrowing of level-triggered epoll costs a system call only where an event shows that it is needed.
#[test]
fn epoll_narrows_lazily() {
    let mut rig = Rig::watching(Strategy::Epoll { trigger: Trigger::Level }, unix, Interest::BOTH);
    let changes = |rig: &Rig| rig.poller.counters().changes;
    assert_eq!(changes(&rig), 1);
    rig.modify(Interest::READ);
    rig.modify(Interest::BOTH);
    assert_eq!(changes(&rig), 1, "over before it was needed");
    rig.modify(Interest::READ);
    assert_eq!((rig.now(), changes(&rig)), (Interest::NONE, 2), "room, which nobody wants");
    rig.modify(Interest::NONE);
    assert_eq!((rig.now(), changes(&rig)), (Interest::NONE, 2), "nothing happened");
    rig.peer_writes(b"abc");
    assert_eq!((rig.now(), changes(&rig)), (Interest::NONE, 3), "bytes, which nobody wants");
    assert_eq!((rig.now(), changes(&rig)), (Interest::NONE, 3));
    rig.poller.remove(rig.ours.as_fd()).unwrap();
    assert_eq!(changes(&rig), 3, "it was out of the set");
}

/// The edge trigger registers once, whatever is wanted.
#[test]
fn epoll_edge_changes_nothing_with_interest() {
    let mut rig = Rig::watching(Strategy::Epoll { trigger: Trigger::Edge }, unix, Interest::NONE);
    for interest in [Interest::READ, Interest::BOTH, Interest::WRITE, Interest::NONE] {
        rig.modify(interest);
        rig.now();
    }
    assert_eq!(rig.poller.counters().changes, 1);
}

#[test]
fn eagerly_every_change_of_mind_reaches_the_kernel() {
    for (is_eager, changes) in [(false, 1), (true, 3)] {
        let mut poller = Strategy::Epoll { trigger: Trigger::Level }.open().unwrap();
        if is_eager {
            poller.narrow_eagerly();
        }
        let (ours, _peer) = UnixStream::pair().unwrap();
        let token = Token { index: 1, generation: 1 };
        poller.add(ours.as_fd(), token, Interest::BOTH).unwrap();
        poller.modify(ours.as_fd(), token, Interest::READ).unwrap();
        poller.modify(ours.as_fd(), token, Interest::BOTH).unwrap();
        assert_eq!(poller.counters().changes, changes, "eager: {is_eager}");
        poller.remove(ours.as_fd()).unwrap();
    }
}
