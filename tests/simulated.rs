//! The loop over a simulated kernel: sockets that give and take as little as a test wants, and a clock that moves when
//! the loop sleeps.

mod orders;

use orders::{Diary, Orders, pattern};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};
use tripoll::poller::{Counters, Event, Interest, Poller, Token};
use tripoll::protocol::{Cue, MinRate, OUTBOX_HIGH, OpenFile};
use tripoll::reactor::{Limits, Reactor};
use tripoll::sys::{Calls, Kernel};

/// A socket: what waits to be received, and what was sent.
#[derive(Default)]
struct Socket {
    incoming: VecDeque<u8>,
    ended: bool,
    sent: Vec<u8>,
    was_shut: bool,
    /// Bytes that are taken before the peer's window is shut.
    window: usize,
    /// Bytes moved by one call at most.
    step: usize,
}

/// errno(3), by number: libc is for sys alone.
const EPERM: i32 = 1;
const EINTR: i32 = 4;
const ENOMEM: i32 = 12;
const ECONNABORTED: i32 = 103;

/// All that a simulated kernel knows. Its sockets are known by an inert descriptor: /dev/null.
struct World {
    sockets: BTreeMap<RawFd, Socket>,
    /// Descriptors to be accepted, and the error to be given while there is one.
    backlog: VecDeque<OwnedFd>,
    accept_error: Option<i32>,
    wait_errors: usize,
    listener: RawFd,
    /// Who is accepted next.
    peer: SocketAddr,
    watched: BTreeMap<RawFd, (Token, Interest)>,
    base: Instant,
    elapsed: Duration,
    calls: Calls,
}

type Shared = Rc<RefCell<World>>;

struct SimulatedKernel(Shared);
struct SimulatedPoller(Shared);

fn inert() -> OwnedFd {
    File::open("/dev/null").unwrap().into()
}

impl Kernel for SimulatedKernel {
    fn accept(&mut self, _listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, SocketAddr)> {
        let mut world = self.0.borrow_mut();
        world.calls.accept += 1;
        match world.accept_error {
            Some(number) => Err(io::Error::from_raw_os_error(number)),
            None => Ok((world.backlog.pop_front().ok_or(ErrorKind::WouldBlock)?, world.peer)),
        }
    }

    fn receive(&mut self, socket: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<usize> {
        let mut world = self.0.borrow_mut();
        world.calls.receive += 1;
        let socket = world.sockets.get_mut(&socket.as_raw_fd()).unwrap();
        let count = socket.step.min(into.len()).min(socket.incoming.len());
        if count == 0 && !socket.ended {
            return Err(ErrorKind::WouldBlock.into());
        }
        into[..count].iter_mut().zip(socket.incoming.drain(..count)).for_each(|(to, from)| *to = from);
        Ok(count)
    }

    fn send(&mut self, socket: BorrowedFd<'_>, bytes: &[u8], _more: bool) -> io::Result<usize> {
        let mut world = self.0.borrow_mut();
        world.calls.send += 1;
        let socket = world.sockets.get_mut(&socket.as_raw_fd()).unwrap();
        let count = socket.step.min(bytes.len()).min(socket.window);
        if count == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        socket.window -= count;
        socket.sent.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn send_file(&mut self, socket: BorrowedFd<'_>, file: &File, offset: u64, length: usize) -> io::Result<usize> {
        let mut bytes = vec![0; length];
        let count = file.read_at(&mut bytes, offset)?;
        self.send(socket, &bytes[..count], false)
    }

    fn shutdown_write(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        self.0.borrow_mut().sockets.get_mut(&socket.as_raw_fd()).unwrap().was_shut = true;
        Ok(())
    }

    fn unacknowledged(&mut self, _socket: BorrowedFd<'_>) -> Option<u64> {
        None
    }

    fn monotonic(&mut self) -> Instant {
        let world = self.0.borrow();
        world.base + world.elapsed
    }

    fn wall(&mut self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.0.borrow().elapsed
    }

    fn calls(&self) -> Calls {
        self.0.borrow().calls
    }
}

impl Poller for SimulatedPoller {
    fn add(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        assert!(self.0.borrow_mut().watched.insert(fd.as_raw_fd(), (token, interest)).is_none(), "added twice");
        Ok(())
    }

    fn modify(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        *self.0.borrow_mut().watched.get_mut(&fd.as_raw_fd()).unwrap() = (token, interest);
        Ok(())
    }

    fn remove(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.0.borrow_mut().watched.remove(&fd.as_raw_fd()).unwrap();
        Ok(())
    }

    /// Sleeping moves the clock, and takes no time.
    fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        events.clear();
        let mut world = self.0.borrow_mut();
        if world.wait_errors > 0 {
            world.wait_errors -= 1;
            return Err(ErrorKind::OutOfMemory.into());
        }
        for (fd, (token, interest)) in &world.watched {
            let ready = match world.sockets.get(fd) {
                Some(socket) => (!socket.incoming.is_empty() || socket.ended, socket.window > 0),
                None => (*fd == world.listener && !world.backlog.is_empty(), false), // Or the bell.
            };
            let (readable, writable) = (ready.0 && interest.readable(), ready.1 && interest.writable());
            if readable || writable {
                events.push(Event { token: *token, readable, writable, ended: false });
            }
        }
        if events.is_empty() {
            world.elapsed += timeout.expect("it would sleep for ever");
        }
        Ok(())
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

struct Stage {
    reactor: Reactor<SimulatedKernel>,
    world: Shared,
    diary: Rc<Diary>,
    notices: Rc<RefCell<Vec<String>>>,
}

const S: Duration = Duration::from_secs(1);

impl Stage {
    fn new(limits: Limits, reactions: &'static [(Cue, &'static str)]) -> Stage {
        let listener = inert();
        let world = Rc::new(RefCell::new(World {
            sockets: BTreeMap::new(),
            backlog: VecDeque::new(),
            accept_error: None,
            wait_errors: 0,
            listener: listener.as_raw_fd(),
            peer: ([127, 0, 0, 1], 9).into(),
            watched: BTreeMap::new(),
            base: Instant::now(),
            elapsed: Duration::ZERO,
            calls: Calls::default(),
        }));
        let poller = Box::new(SimulatedPoller(world.clone()));
        let mut reactor = Reactor::with_kernel(SimulatedKernel(world.clone()), poller, limits).unwrap();
        let diary = Rc::<Diary>::default();
        let factory_diary = diary.clone();
        reactor.listen(listener, move |_peer| Orders::boxed(&factory_diary, reactions)).unwrap();
        let notices = Rc::<RefCell<Vec<String>>>::default();
        let told = notices.clone();
        reactor.on_notice(move |notice| told.borrow_mut().push(notice.to_string()));
        Stage { reactor, world, diary, notices }
    }

    /// A client that waits to be accepted, and says `orders`; each call moves `step` bytes at most.
    fn connect(&mut self, orders: &str, step: usize) -> RawFd {
        let socket = inert();
        let fd = socket.as_raw_fd();
        let incoming = orders.bytes().collect();
        let mut world = self.world.borrow_mut();
        world.sockets.insert(fd, Socket { incoming, window: usize::MAX, step, ..Socket::default() });
        world.backlog.push_back(socket);
        fd
    }

    fn socket<T>(&self, fd: RawFd, act: impl FnOnce(&mut Socket) -> T) -> T {
        act(self.world.borrow_mut().sockets.get_mut(&fd).unwrap())
    }

    fn elapsed(&self) -> Duration {
        self.world.borrow().elapsed
    }

    /// Turns until `at` of the simulated clock; a turn that has nothing to do sleeps until a deadline, or until `at`.
    fn until(&mut self, at: Duration) {
        for _ in 0..1_000_000 {
            if self.elapsed() >= at {
                return;
            }
            let left = at - self.elapsed();
            self.reactor.turn(Some(left)).unwrap();
        }
        panic!("it spins: {:?}", self.diary.entries());
    }
}

#[test]
fn how_little_a_call_moves_does_not_matter() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, pattern(3_000)).unwrap();
    let file = File::open(&path).unwrap();
    let metadata = file.metadata().unwrap();
    let want = [b"one\n", &pattern(70_000)[..], &pattern(3_000), b"two\n", &pattern(5), b"end\n"].concat();
    for step in [1, 2, 7, 1_460, usize::MAX] {
        for window in [1, 100, usize::MAX] {
            let mut stage = Stage::new(Limits::default(), &[(Cue::EndOfInput, "say end;finish")]);
            *stage.diary.file.borrow_mut() = Some(OpenFile::new(file.try_clone().unwrap(), &metadata).into());
            let client = stage.connect("say one\nbig 70000\nfile;say two\nshare 5\nsay unfini", step);
            stage.socket(client, |socket| (socket.ended, socket.window) = (true, 0));
            while !stage.diary.entries().ends_with(&["a: [Closed]".into()]) {
                stage.socket(client, |socket| socket.window = window);
                stage.until(stage.elapsed() + Duration::from_millis(1));
            }
            assert!(stage.socket(client, |socket| socket.sent == want), "steps of {step}, a window of {window}");
        }
    }
}

#[test]
fn deadlines_pass_at_their_time_and_not_before() {
    #[track_caller]
    fn check(orders: &str, reactions: &'static [(Cue, &'static str)], passes: &[u64]) {
        let mut stage = Stage::new(Limits::default(), reactions);
        stage.connect(orders, usize::MAX);
        let mut told = 0;
        for second in 1..=10 {
            stage.until(S * second - Duration::from_nanos(1));
            assert_eq!(stage.diary.count("a: [DeadlinePassed]"), told, "{orders:?} just before {second} s");
            stage.until(S * second);
            stage.until(S * second + Duration::from_nanos(1));
            told += passes.iter().filter(|at| **at == u64::from(second)).count();
            assert_eq!(stage.diary.count("a: [DeadlinePassed]"), told, "{orders:?} at {second} s");
        }
    }
    check("say one\n", &[], &[]);
    check("after 3000\n", &[], &[3]);
    check("idle 3000\n", &[], &[3]);
    check("at 3000\n", &[], &[3]);
    check("after 3000;never\n", &[], &[]);
    check("after 3000;idle 5000\n", &[], &[5]);
    check("at 5000;at 3000\n", &[], &[3]);
    check("after 3000\nbecome b\n", &[], &[]);
    check("after 3000\n", &[(Cue::DeadlinePassed, "after 3000")], &[3, 6, 9]);
    check("after 3000;finish\n", &[], &[]);
}

#[test]
fn a_deadline_is_counted_from_when_the_outbox_is_empty() {
    #[track_caller]
    fn check(orders: &str, passes_after: Duration) {
        const REACTIONS: &[(Cue, &str)] = &[(Cue::Opened, "after 9000;waker"), (Cue::Woken, "after 5000")];
        let mut stage =
            Stage::new(Limits { send_timeout: 100 * S, send_rate_min: MinRate::NONE, ..Limits::default() }, REACTIONS);
        let client = stage.connect(orders, usize::MAX);
        stage.socket(client, |socket| socket.window = 10);
        stage.until(15 * S);
        assert_eq!(stage.diary.count("a: [DeadlinePassed]"), 0, "{orders:?}: blocked");
        if orders.starts_with("wake") {
            stage.diary.wakers.borrow()[0].wake_by_ref();
            stage.until(16 * S);
        }
        let since = stage.elapsed();
        stage.socket(client, |socket| socket.window = usize::MAX);
        stage.until(since + passes_after - S);
        assert_eq!(stage.diary.count("a: [DeadlinePassed]"), 0, "{orders:?}: too early");
        stage.until(since + passes_after + S);
        assert_eq!(stage.diary.count("a: [DeadlinePassed]"), 1, "{orders:?}: too late");
        stage.until(since + 200 * S);
        assert_eq!((stage.diary.count("a: [DeadlinePassed]"), stage.reactor.counters().open), (1, 1), "{orders:?}");
    }
    check("big 100000\n", 9 * S);
    check("after 5000;big 100000\n", 5 * S);
    check("big 100000;after 5000\n", 5 * S);
    check("big 100000\nafter 5000\n", 5 * S);
    check("waker;big 100000\n", 5 * S);
}

#[test]
fn the_send_timeout_runs_from_the_last_byte_that_was_taken() {
    let mut stage = Stage::new(
        Limits { send_timeout: 10 * S, send_rate_min: MinRate::NONE, ..Limits::default() },
        &[(Cue::Woken, "say more")],
    );
    let client = stage.connect("waker;big 1000000\n", usize::MAX);
    stage.socket(client, |socket| socket.window = 1);
    // It sips one byte just before its time is up, each time.
    for sip in 1..=20 {
        stage.until((10 * S - Duration::from_nanos(1)) * sip);
        assert_eq!(stage.reactor.counters().open, 1, "after {sip} sips");
        stage.socket(client, |socket| socket.window = 1);
        stage.reactor.turn(Some(Duration::ZERO)).unwrap();
    }
    // More to send is no sip.
    let since = stage.elapsed();
    stage.until(since + 9 * S);
    stage.diary.wakers.borrow()[0].wake_by_ref();
    stage.until(since + 10 * S - Duration::from_nanos(1));
    assert_eq!((stage.diary.count("a: [Woken]"), stage.reactor.counters().open), (1, 1));
    stage.until(since + 10 * S + Duration::from_nanos(1));
    assert_eq!(stage.reactor.counters().open, 0);
    assert_eq!(stage.diary.count("a: [DeadlinePassed]"), 0);
}

/// What is taken at once is no transfer that could be slow; from then on a hundred bytes a second are asked for, after ten seconds.
#[test]
fn a_peer_that_sips_too_little_is_closed() {
    let send_rate_min = MinRate { bytes_per_second: 100, after: 10 * S };
    for (taken, ends_ms) in [(0, 10_000), (999, 10_000), (1_000, 10_000), (1_001, 10_010), (1_500, 15_000)] {
        let limits = Limits { send_timeout: 100 * S, send_rate_min, ..Limits::default() };
        let mut stage = Stage::new(limits, &[]);
        let client = stage.connect("after 1000;big 1000000\n", usize::MAX);
        stage.socket(client, |socket| socket.window = 50_000);
        stage.until(9 * S);
        stage.socket(client, |socket| socket.window = taken);
        stage.until(Duration::from_millis(ends_ms) - Duration::from_nanos(1));
        assert_eq!(stage.reactor.counters().open, 1, "{taken} bytes: too early");
        stage.until(Duration::from_millis(ends_ms) + Duration::from_nanos(1));
        assert_eq!(stage.reactor.counters().open, 0, "{taken} bytes: too late");
        assert_eq!(stage.diary.count("a: [DeadlinePassed]"), 0);
    }
}

#[test]
fn the_newest_of_an_address_is_refused_and_others_are_not() {
    let limits = Limits { per_address_max: 2, ..Limits::default() };
    let mut stage = Stage::new(limits, &[]);
    let clients = [1, 1, 1, 2, 1].map(|host| {
        stage.world.borrow_mut().peer = ([127, 0, 0, host], 9).into();
        let client = stage.connect("say one\n", usize::MAX);
        stage.until(stage.elapsed() + Duration::from_millis(1));
        client
    });
    assert_eq!((stage.reactor.counters().opened, stage.reactor.counters().open), (3, 3));
    let told = "clients are turned away: 127.0.0.1 has as many connections as one address may have";
    assert_eq!(*stage.notices.borrow(), [told]);
    // Its place is free when it leaves.
    stage.socket(clients[0], |socket| socket.ended = true);
    stage.socket(clients[1], |socket| socket.incoming.extend(b"abort\n"));
    stage.until(stage.elapsed() + Duration::from_millis(1));
    for opened in [4, 4] {
        stage.connect("say one\n", usize::MAX);
        stage.until(stage.elapsed() + Duration::from_millis(1));
        assert_eq!(stage.reactor.counters().opened, opened);
    }
}

#[test]
fn who_does_not_close_is_waited_for_no_longer_than_the_linger_timeout() {
    let mut stage = Stage::new(Limits { linger_timeout: 2 * S, ..Limits::default() }, &[]);
    let client = stage.connect("after 1000;say bye;finish\n", usize::MAX);
    stage.until(Duration::from_millis(1));
    assert!(stage.socket(client, |socket| socket.was_shut && socket.sent == b"bye\n"));
    for millis in [500, 1_000, 1_500, 1_999] {
        stage.until(Duration::from_millis(millis));
        stage.socket(client, |socket| socket.incoming.extend(b"say junk\n"));
        assert_eq!(stage.reactor.counters().open, 1, "{millis} ms");
    }
    stage.until(2 * S + Duration::from_nanos(1));
    assert_eq!(stage.reactor.counters().open, 0, "though it went on sending");
    assert_eq!(stage.diary.entries(), ["a: [Opened]", "a: after 1000;say bye;finish", "a: [Closed]"]);
}

#[test]
fn a_listener_that_can_not_accept_tries_ten_times_a_second_and_tells_of_it_every_ten() {
    let mut stage = Stage::new(Limits::default(), &[]);
    stage.world.borrow_mut().accept_error = Some(ENOMEM);
    stage.connect("panic\n", usize::MAX);
    stage.until(S - Duration::from_millis(1));
    assert_eq!((stage.reactor.counters().calls.accept, stage.notices.borrow().len()), (10, 1));
    stage.until(25 * S);
    assert_eq!(stage.notices.borrow().len(), 3, "at 0, 10 and 20 s");
    stage.world.borrow_mut().accept_error = None;
    stage.until(26 * S);
    assert_eq!(stage.reactor.counters().opened, 1);
    assert_eq!(stage.notices.borrow().len(), 4, "another trouble is told though the first was told lately");
}

#[test]
fn a_listener_that_can_not_accept_is_tried_when_a_connection_ends() {
    let mut stage = Stage::new(Limits::default(), &[]);
    stage.connect("waker\n", usize::MAX);
    let first = *stage.world.borrow().sockets.keys().next().unwrap();
    stage.until(Duration::from_millis(1));
    stage.world.borrow_mut().accept_error = Some(ENOMEM);
    stage.connect("say one\n", usize::MAX);
    stage.until(Duration::from_millis(2));
    stage.world.borrow_mut().accept_error = None;
    stage.socket(first, |socket| socket.incoming.extend(b"abort\n"));
    stage.until(Duration::from_millis(3));
    assert_eq!((stage.reactor.counters().opened, stage.reactor.counters().open), (2, 1), "before the next try by time");
}

#[test]
fn a_wait_that_finds_no_memory_is_no_end() {
    let mut stage = Stage::new(Limits::default(), &[]);
    let client = stage.connect("say one\n", usize::MAX);
    stage.world.borrow_mut().wait_errors = 3;
    stage.until(S);
    assert_eq!(stage.socket(client, |socket| socket.sent.clone()), b"one\n");
    assert_eq!(stage.notices.borrow().len(), 1);
}

#[test]
fn who_was_lost_in_the_backlog_is_passed_over() {
    for error in [ECONNABORTED, EINTR, EPERM] {
        let mut stage = Stage::new(Limits::default(), &[]);
        stage.connect("", usize::MAX);
        stage.world.borrow_mut().accept_error = Some(error);
        stage.reactor.turn(Some(Duration::ZERO)).unwrap();
        stage.world.borrow_mut().accept_error = None;
        stage.reactor.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(stage.reactor.counters().opened, 1, "error {error}: in the next turn");
        assert!(stage.notices.borrow().is_empty(), "error {error}");
    }
}

#[test]
fn one_turn_takes_and_gives_no_more_than_its_bounds() {
    let limits = Limits {
        receive_bytes_per_turn_max: 8,
        send_bytes_per_turn_max: 1_000,
        accepts_per_turn_max: Some(1),
        ..Limits::default()
    };
    let mut stage = Stage::new(limits, &[]);
    let client = stage.connect("big 4500\nsay two\n", usize::MAX);
    let (mut left, mut sent) = (17, 0);
    for _ in 0..20 {
        stage.reactor.turn(Some(Duration::ZERO)).unwrap();
        let now = stage.socket(client, |socket| (socket.incoming.len(), socket.sent.len()));
        assert!(left - now.0 <= 8 && now.1 - sent <= 1_000, "{left} → {}, {sent} → {}", now.0, now.1);
        (left, sent) = now;
    }
    assert_eq!((left, sent), (0, 4_504));
}

/// Who wants little does not wait for all that the kernel would take of many others.
#[test]
fn where_many_are_ready_each_is_sent_a_share() {
    const MANY: usize = 64;
    let mut stage = Stage::new(Limits { accepts_per_turn_max: Some(MANY), ..Limits::default() }, &[]);
    let clients: Vec<_> = (0..MANY).map(|_| stage.connect("big 600000\n", usize::MAX)).collect();
    let sent = |stage: &Stage| clients.iter().map(|fd| stage.socket(*fd, |socket| socket.sent.len())).max().unwrap();
    let mut before = 0;
    for _ in 0..5 {
        stage.reactor.turn(Some(Duration::ZERO)).unwrap();
        let now = sent(&stage);
        assert!(now - before <= 256 * 1024, "{before} → {now}");
        before = now;
    }
    assert_eq!(before, 600_000, "in three turns, behind the one that accepted");
}

#[test]
fn in_a_long_turn_who_is_accepted_is_served_at_once() {
    for (busy, want) in [(2, ""), (3, "hello\n")] {
        let limits = Limits { accepts_per_turn_max: Some(busy), receive_bytes_per_turn_max: 16, ..Limits::default() };
        let mut stage = Stage::new(limits, &[]);
        for _ in 0..busy {
            stage.connect(&"say something\n".repeat(10), usize::MAX);
        }
        stage.reactor.turn(Some(Duration::ZERO)).unwrap();
        let client = stage.connect("say hello\n", usize::MAX);
        stage.reactor.turn(Some(Duration::ZERO)).unwrap();
        let sent = stage.socket(client, |socket| String::from_utf8(socket.sent.clone()).unwrap());
        assert_eq!(sent, want, "with {busy} others and the listener ready");
    }
}

/// Its wait told of none: it was before they came. Who says how many are accepted a turn is taken at his word.
#[test]
fn who_comes_in_the_midst_of_a_long_turn_is_let_in_by_it() {
    for (accepts_per_turn_max, busy, want) in [(None, 127, ""), (None, 128, "hello\n"), (Some(1), 128, "")] {
        let limits = Limits { accepts_per_turn_max, receive_bytes_per_turn_max: 16, ..Limits::default() };
        let mut stage = Stage::new(limits, &[]);
        for _ in 0..busy {
            stage.connect(&"say something\n".repeat(200), usize::MAX);
        }
        while stage.reactor.counters().open < busy {
            stage.reactor.turn(Some(Duration::ZERO)).unwrap();
        }
        stage.world.borrow_mut().listener = -1; // Of which no event comes.
        let client = stage.connect("say hello\n", usize::MAX);
        stage.reactor.turn(Some(Duration::ZERO)).unwrap();
        let sent = stage.socket(client, |socket| String::from_utf8(socket.sent.clone()).unwrap());
        assert_eq!(sent, want, "{busy} others ready, {accepts_per_turn_max:?}");
    }
}

#[test]
fn an_outbox_that_empties_as_the_bound_of_the_turn_is_reached_gets_its_room_in_the_next() {
    let limits = Limits { send_bytes_per_turn_max: OUTBOX_HIGH, ..Limits::default() };
    let mut stage = Stage::new(limits, &[]);
    let client = stage.connect("big 65536\nbig 65536\nsay three\n", usize::MAX);
    stage.until(S);
    assert_eq!(stage.socket(client, |socket| socket.sent.len()), 2 * 65_536 + 6);
}

#[test]
fn the_deadline_of_who_left_does_not_reach_the_next_in_its_place() {
    let mut stage = Stage::new(Limits::default(), &[]);
    let first = stage.connect("after 3000\n", usize::MAX);
    stage.until(S);
    stage.socket(first, |socket| socket.incoming.extend(b"abort\n"));
    stage.until(2 * S);
    stage.connect("say one\n", usize::MAX);
    stage.until(9 * S);
    assert_eq!((stage.reactor.counters().open, stage.diary.count("a: [DeadlinePassed]")), (1, 0));
}
