//! The loop over a kernel that does whatever a kernel may: what comes, what is taken, in which order, which call fails and how, and what
//! time it is are drawn from one seed. A seed that fails says so, and does the same again:
//!
//! ```sh
//! TRIPOLL_CHAOS_SEED=1234 TRIPOLL_CHAOS_COUNT=1 cargo test --test chaos       # that one
//! TRIPOLL_CHAOS_COUNT=1000000 cargo test --release --test chaos               # a long run
//! ```

mod orders;

use orders::{Diary, Orders, pattern};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tripoll::http::{self, Answer, Request, Response, Service};
use tripoll::poller::{Counters, Event, Interest, Poller, Token};
use tripoll::protocol::{Accept, Cue, Link, MinRate, Now, OpenFile, Protocol};
use tripoll::reactor::{Limits, Reactor, Shutdown};
use tripoll::sys::{Calls, Kernel};

/// Clients of one seed.
const CLIENTS: usize = 40;

/// 100,000 connections.
const SEEDS: u64 = 2_500;

/// A seed that has not come to its end by then never will.
const TURNS_MAX: u64 = 200_000;

/// How long a loop without descriptors has to rest.
const RETRY: Duration = Duration::from_millis(100);

const S: Duration = Duration::from_secs(1);

/// Random numbers that are the same everywhere for ever: splitmix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Less than `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// From one to `most`: few, any number, or all.
    fn some_of(&mut self, most: usize) -> usize {
        let most = most as u64;
        let few = match self.below(4) {
            0 => 1,
            1 => 1 + self.below(most.min(8)),
            2 => 1 + self.below(most),
            _ => most,
        };
        few as usize
    }
}

/// One client, from its connecting to its end.
struct Client {
    /// All that it will have sent, how much of it it has, and how much of that was received.
    script: Vec<u8>,
    sent: usize,
    received_from: usize,
    /// It will send no more.
    ended: bool,
    was_reset: bool,
    /// Bytes that it would take.
    window: usize,
    /// It does something one time in so many; it never reads.
    sloth: u64,
    stalls: bool,
    /// What it was sent.
    answer: Vec<u8>,
    was_shut: bool,
}

/// All that the simulated kernel knows.
struct World {
    dice: Dice,
    /// Nothing goes wrong but that it goes slowly.
    is_calm: bool,
    clients: Vec<Client>,
    /// Whose an accepted descriptor is: /dev/null, as an identity.
    owners: Vec<Option<usize>>,
    backlog: VecDeque<usize>,
    listener: RawFd,
    bell: Option<RawFd>,
    watched: BTreeMap<RawFd, (Token, Interest)>,
    /// Connections that there are descriptors for, less those that files take.
    descriptors_max: usize,
    files: usize,
    /// Descriptors closed so far; how many it had been, and what time it was, when there was none left.
    closed: u64,
    short: Option<(u64, Duration)>,
    goes_down: bool,
    base: Instant,
    elapsed: Duration,
    turns: u64,
    /// Whatever changed anything, and what it was when the last wait ended.
    deeds: u64,
    deeds_before: u64,
    idle_turns: u32,
    /// The last wait was one that could have been for ever.
    may_sleep: bool,
    calls: Calls,
}

type Shared = Rc<RefCell<World>>;

fn os(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

// errno(3), as Linux numbers them.
const EINTR: i32 = 4;
const EIO: i32 = 5;
const ENOMEM: i32 = 12;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;
const EPIPE: i32 = 32;
const EPROTO: i32 = 71;
const ECONNABORTED: i32 = 103;
const ECONNRESET: i32 = 104;
const ENOBUFS: i32 = 105;
const ENOTCONN: i32 = 107;

impl World {
    fn owner(&self, fd: RawFd) -> Option<usize> {
        self.owners[fd as usize]
    }

    fn client(&mut self, fd: BorrowedFd<'_>) -> &mut Client {
        let owner = self.owner(fd.as_raw_fd()).expect("it was accepted");
        &mut self.clients[owner]
    }

    /// Whether this call fails, and how: sometimes as if nothing were, rarely for good.
    fn trouble(&mut self, errors: &[i32]) -> io::Result<()> {
        if self.dice.one_in(16) {
            self.deeds += 1;
            return Err(if self.dice.one_in(2) { os(EINTR) } else { ErrorKind::WouldBlock.into() });
        }
        if !self.is_calm && self.dice.one_in(200) {
            self.deeds += 1;
            return Err(os(self.dice.of(errors)));
        }
        Ok(())
    }

    /// What the clients do between two turns.
    fn go_on(&mut self) {
        for at in 0..self.clients.len() {
            let is_calm = self.is_calm;
            let (dice, client) = (&mut self.dice, &mut self.clients[at]);
            if !dice.one_in(client.sloth) || client.was_reset {
                continue;
            }
            let left = client.script.len() - client.sent;
            if left > 0 {
                client.sent += dice.some_of(left);
            } else {
                client.ended = true;
            }
            if !client.stalls {
                client.window += dice.of(&[1, 100, 5_000, 1_000_000]);
            }
            client.was_reset = !is_calm && dice.one_in(300);
        }
        if let Some(next) = self.clients.iter().position(|client| client.sloth == u64::MAX)
            && self.dice.one_in(4)
        {
            self.clients[next].sloth = self.dice.of(&[1, 2, 8]);
            self.backlog.push_back(next);
        }
    }

    /// Whether an accepted or waiting client is not at its end yet.
    fn has_more(&self) -> bool {
        self.clients.iter().any(|client| !client.was_reset && (client.sent < client.script.len() || !client.ended))
            || !self.backlog.is_empty()
    }

    fn readiness(&self, fd: RawFd) -> (bool, bool) {
        if fd == self.listener {
            return (!self.backlog.is_empty(), false);
        }
        let Some(owner) = self.owner(fd).filter(|_| Some(fd) != self.bell) else { return (false, false) };
        let client = &self.clients[owner];
        let readable = client.received_from < client.sent || client.ended || client.was_reset;
        (readable, client.window > 0 || client.was_reset)
    }

    /// Two turns in a row must not do nothing without having waited.
    fn check_for_spinning(&mut self) {
        self.turns += 1;
        assert!(self.turns < TURNS_MAX, "it never ends");
        self.idle_turns = if self.deeds == self.deeds_before { self.idle_turns + 1 } else { 0 };
        assert!(self.idle_turns < 2, "it spins: turn {}", self.turns);
        self.deeds_before = self.deeds;
    }
}

struct Simulated(Shared);

impl Kernel for Simulated {
    fn accept(&mut self, _: BorrowedFd<'_>) -> io::Result<(OwnedFd, SocketAddr)> {
        let mut world = self.0.borrow_mut();
        world.trouble(&[ECONNABORTED, ENFILE, ENOBUFS, ENOMEM, EPROTO])?;
        let open = world.watched.len() - 2;
        if !world.backlog.is_empty() && open + world.files >= world.descriptors_max {
            // As long as it lasts, which is no news, and no reason to ask again at once.
            let (closed, now) = (world.closed, world.elapsed);
            let before = world.short.replace((closed, now));
            let is_new = before.is_none_or(|(then_closed, then)| closed != then_closed || now >= then + RETRY);
            // A loop that goes down asks once more.
            assert!(is_new || world.goes_down, "it asks again for what can't be had: turn {}", world.turns);
            return Err(os(EMFILE));
        }
        let owner = world.backlog.pop_front().ok_or(ErrorKind::WouldBlock)?;
        let socket = OwnedFd::from(File::open("/dev/null").unwrap());
        world.owners[socket.as_raw_fd() as usize] = Some(owner);
        world.deeds += 1;
        Ok((socket, ([127, 0, 0, 1 + owner as u8 % 4], 9).into()))
    }

    fn receive(&mut self, socket: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<usize> {
        let mut world = self.0.borrow_mut();
        world.trouble(&[ENOMEM])?;
        let world = &mut *world;
        let owner = world.owner(socket.as_raw_fd()).expect("it was accepted");
        let client = &mut world.clients[owner];
        let (from, there) = (client.received_from, client.sent - client.received_from);
        if client.was_reset {
            return Err(os(ECONNRESET));
        }
        if there == 0 && !client.ended {
            return Err(ErrorKind::WouldBlock.into());
        }
        world.deeds += 1;
        let count = if there == 0 { 0 } else { world.dice.some_of(there.min(into.len())) };
        into[..count].copy_from_slice(&client.script[from..from + count]);
        client.received_from += count;
        Ok(count)
    }

    fn send(&mut self, socket: BorrowedFd<'_>, bytes: &[u8], _more: bool) -> io::Result<usize> {
        assert!(!bytes.is_empty(), "nothing is no reason to call");
        let mut world = self.0.borrow_mut();
        world.trouble(&[EPIPE, ENOBUFS, ENOMEM])?;
        let world = &mut *world;
        let owner = world.owner(socket.as_raw_fd()).expect("it was accepted");
        let client = &mut world.clients[owner];
        assert!(!client.was_shut, "nothing follows the end of the stream");
        if client.was_reset {
            return Err(os(ECONNRESET));
        }
        if client.window == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = world.dice.some_of(bytes.len().min(client.window));
        client.window -= count;
        client.answer.extend_from_slice(&bytes[..count]);
        world.deeds += 1;
        Ok(count)
    }

    fn send_file(&mut self, socket: BorrowedFd<'_>, file: &File, offset: u64, length: usize) -> io::Result<usize> {
        let mut bytes = vec![0; length];
        let count = file.read_at(&mut bytes, offset)?;
        self.0.borrow_mut().trouble(&[EIO])?;
        self.send(socket, &bytes[..count], false)
    }

    fn shutdown_write(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        world.deeds += 1;
        let client = world.client(socket);
        if client.was_reset {
            return Err(os(ENOTCONN));
        }
        client.was_shut = true;
        Ok(())
    }

    fn unacknowledged(&mut self, _: BorrowedFd<'_>) -> Option<u64> {
        None
    }

    fn monotonic(&mut self) -> Instant {
        let world = self.0.borrow();
        world.base + world.elapsed
    }

    /// It stands, so that the Date field is the same all the time.
    fn wall(&mut self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn calls(&self) -> Calls {
        self.0.borrow().calls
    }
}

impl Poller for Simulated {
    fn add(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        let is_client = world.owner(fd.as_raw_fd()).is_some() && world.bell.is_some();
        if is_client && !world.is_calm && world.dice.one_in(100) {
            return Err(os(world.dice.of(&[ENOMEM, ENOSPC])));
        }
        world.bell.get_or_insert(fd.as_raw_fd());
        assert!(world.watched.insert(fd.as_raw_fd(), (token, interest)).is_none(), "added twice");
        Ok(())
    }

    fn modify(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        world.deeds += 1;
        // Only to be told of more can need memory.
        let before = world.watched.get(&fd.as_raw_fd()).expect("it is watched").1;
        let is_more = (interest.readable() && !before.readable()) || (interest.writable() && !before.writable());
        if is_more && !world.is_calm && world.dice.one_in(50) {
            return Err(os(world.dice.of(&[ENOMEM, ENOSPC])));
        }
        world.watched.insert(fd.as_raw_fd(), (token, interest));
        Ok(())
    }

    fn remove(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        world.deeds += 1;
        world.closed += 1;
        world.watched.remove(&fd.as_raw_fd()).expect("it is watched");
        Ok(())
    }

    /// Sleeping moves the clock, and takes no time. Events come in any order, late, or for no reason; a signal may end the wait.
    fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        events.clear();
        let mut world = self.0.borrow_mut();
        let world = &mut *world;
        world.check_for_spinning();
        world.go_on();
        world.may_sleep = timeout.is_none();
        let watched: Vec<_> = world.watched.iter().map(|(fd, (token, interest))| (*fd, *token, *interest)).collect();
        for (fd, token, interest) in watched {
            let (mut readable, mut writable) = world.readiness(fd);
            if Some(fd) != world.bell && world.dice.one_in(64) {
                (readable, writable) = (world.dice.one_in(2), world.dice.one_in(2));
                world.deeds += 1;
            }
            let (readable, writable) = (readable && interest.readable(), writable && interest.writable());
            if (readable || writable) && !world.dice.one_in(8) {
                let ended = readable && world.dice.one_in(4);
                let at = world.dice.below(events.len() as u64 + 1) as usize;
                events.insert(at, Event { token, readable, writable, ended });
            }
        }
        if events.is_empty() {
            // Clients do something meanwhile, or a signal comes.
            let sleeps = timeout.unwrap_or(S).min(2 * S);
            world.elapsed += if world.dice.one_in(2) { sleeps } else { sleeps / 2 };
            world.deeds += u64::from(sleeps > Duration::ZERO);
        } else if world.dice.one_in(4) {
            world.elapsed += Duration::from_millis(world.dice.below(2_000));
        }
        Ok(())
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

/// Answers with what it was asked for, after as much of it as the path says.
struct Echo;

impl Service for Echo {
    fn respond(&self, request: &Request<'_>) -> Answer {
        let length = request.path().trim_start_matches('/').parse().unwrap_or(0);
        Response::bytes("text/plain", [pattern(length), request.body().to_vec()].concat()).into()
    }
}

const REACTIONS: &[(Cue, &str)] = &[(Cue::EndOfInput, "say end;finish"), (Cue::Closed, "say nobody hears this")];

fn order(dice: &mut Dice, is_calm: bool) -> String {
    match dice.below(if is_calm { 9 } else { 13 }) {
        0 | 1 => format!("say {}\n", dice.next()),
        2 => format!("big {}\n", dice.below(3_000)),
        3 if dice.one_in(8) => format!("big {}\n", 60_000 + dice.below(20_000)),
        3 => "say a;say b;share 7;say c\n".into(),
        4 => format!("share {};say x\n", 1 + dice.below(500)),
        5 => "file;say behind\n".into(),
        6 => "wake\n".into(),
        7 => "become b;say from b\n".into(),
        8 if dice.one_in(10) => "say last;finish\n".into(),
        8 => "say more\n".into(),
        9 => format!("after {}\n", dice.below(5_000)),
        10 => format!("idle {}\n", 1 + dice.below(5_000)),
        11 => format!("at {}\n", dice.below(5_000)),
        _ if dice.one_in(10) => "say lost?;abort\n".into(),
        _ => "never\n".into(),
    }
}

fn request(dice: &mut Dice) -> String {
    let length = if dice.one_in(20) { 70_000 } else { dice.below(2_000) };
    match dice.below(6) {
        0 | 1 => format!("GET /{length} HTTP/1.1\r\nHost: h\r\n\r\n"),
        2 => format!("HEAD /{length} HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", dice.next()),
        3 => format!("POST /{length} HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nninebytes"),
        4 => {
            "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;e=f\r\nabc\r\n1\r\nd\r\n0\r\nT: u\r\n\r\n"
                .into()
        }
        _ if dice.one_in(8) => "nonsense\r\n\r\n".into(),
        _ => "\r\nGET /7 HTTP/1.1\r\nHost: h\r\n\r\n".into(),
    }
}

/// Time enough for everything, or so little that much is cut off.
fn limits(dice: &mut Dice, is_calm: bool) -> Limits {
    let long = 1_000_000 * S;
    let limits = Limits {
        accepts_per_turn_max: dice.of(&[None, Some(2), Some(8)]),
        receive_bytes_per_turn_max: dice.of(&[3, 100, 1_000, 65_536]),
        send_bytes_per_turn_max: dice.of(&[1_000, 65_536, 1 << 20]),
        send_timeout: long,
        send_rate_min: MinRate::NONE,
        linger_timeout: 5 * S,
        ..Limits::default()
    };
    if is_calm {
        return limits;
    }
    Limits {
        connections_max: dice.of(&[1, 5, 20, usize::MAX]),
        per_address_max: dice.of(&[2, usize::MAX, usize::MAX]),
        send_timeout: S * dice.of(&[1, 10, 100]),
        send_rate_min: MinRate { bytes_per_second: dice.of(&[0, 100, 1_000]), after: 10 * S },
        linger_timeout: S * dice.of(&[1, 10]),
        ..limits
    }
}

/// How many clients got all that they were to get.
fn run(seed: u64, file: &Arc<OpenFile>) -> usize {
    let mut dice = Dice(seed);
    let (is_calm, is_http) = (dice.one_in(2), dice.one_in(2));
    let limits = limits(&mut dice, is_calm);
    let scripts: Vec<Vec<u8>> = (0..CLIENTS)
        .map(|_| {
            let messages = dice.below(6);
            let message = |_| if is_http { request(&mut dice) } else { order(&mut dice, is_calm) };
            (0..messages).map(message).collect::<String>().into_bytes()
        })
        .collect();
    let clients = scripts.iter().map(|script| Client {
        script: script.clone(),
        sent: 0,
        received_from: 0,
        ended: false,
        was_reset: false,
        window: 0,
        sloth: u64::MAX,
        stalls: !is_calm && dice.one_in(20),
        answer: Vec::new(),
        was_shut: false,
    });
    let clients = clients.collect();
    let listener = OwnedFd::from(File::open("/dev/null").unwrap());
    let descriptors_max = if is_calm { usize::MAX } else { dice.of(&[2, 10, 30, usize::MAX]) };
    let world = Rc::new(RefCell::new(World {
        is_calm,
        clients,
        owners: vec![None; 1 << 10],
        backlog: VecDeque::new(),
        listener: listener.as_raw_fd(),
        bell: None,
        watched: BTreeMap::new(),
        descriptors_max,
        files: dice.below(descriptors_max.min(10) as u64) as usize,
        closed: 0,
        short: None,
        goes_down: false,
        base: Instant::now(),
        elapsed: Duration::ZERO,
        turns: 0,
        deeds: 0,
        deeds_before: u64::MAX,
        idle_turns: 0,
        may_sleep: false,
        calls: Calls::default(),
        dice,
    }));
    let (diary, told) = (Rc::<Diary>::default(), Rc::<Diary>::default());
    [&diary, &told].iter().for_each(|diary| *diary.file.borrow_mut() = Some(file.clone()));
    let http = |timeout: Duration| {
        let limits = http::Limits {
            head_timeout: timeout,
            body_timeout: timeout,
            idle_timeout: timeout,
            ..http::Limits::default()
        };
        http::Listener::new(Arc::new(Echo), http::Limits { body_rate_min: MinRate::NONE, ..limits })
    };
    let mut listen = http(if is_calm { 1_000_000 * S } else { 20 * S });
    let wall = SystemTime::UNIX_EPOCH;
    let refusal = listen.refusal(Now { monotonic: Instant::now(), wall });

    let kernel = Simulated(world.clone());
    let mut reactor = Reactor::with_kernel(kernel, Box::new(Simulated(world.clone())), limits).unwrap();
    let factory_diary = diary.clone();
    let make = move |_: SocketAddr| Orders::boxed(&factory_diary, REACTIONS);
    if is_http { reactor.listen(listener, listen) } else { reactor.listen(listener, make) }.unwrap();
    let files = world.clone();
    reactor.on_shortage(move || {
        let mut world = files.borrow_mut();
        let had = world.files;
        world.files = had.saturating_sub(1);
        world.closed += u64::from(had > 0);
        had > 0
    });
    let goes_down_early = !is_calm && !is_http && world.borrow_mut().dice.one_in(4);
    let mut cues = 0;
    while world.borrow().has_more() || reactor.counters().open > 0 || !world.borrow().may_sleep {
        reactor.turn(None).unwrap();
        let entries = diary.len();
        world.borrow_mut().deeds += u64::from(entries != cues);
        cues = entries;
        if goes_down_early && world.borrow().turns > 50 {
            break;
        }
    }
    if goes_down_early {
        world.borrow_mut().goes_down = true;
        reactor.handle().shut_down(Shutdown { grace: 100 * S, patience: S });
        reactor.run().unwrap();
    } else {
        assert_eq!(world.borrow().watched.len(), 2, "the bell and the listener stay, and nobody else");
    }
    drop(reactor);
    let world = world.borrow();
    assert!(world.watched.is_empty(), "what is closed is watched no more");

    let mut whole = 0;
    for (at, client) in world.clients.iter().enumerate() {
        let protocol: Box<dyn Protocol> = match is_http {
            true => Box::new(http(S).connection(([127, 0, 0, 1 + at as u8 % 4], 9).into())),
            false => Orders::boxed(&told, REACTIONS),
        };
        let want = Link::new(protocol).answer(&client.script, Now { monotonic: Instant::now(), wall }).unwrap();
        let is_whole = client.answer == want;
        whole += usize::from(is_whole);
        let (got, script) = (client.answer.len(), client.script.escape_ascii());
        assert!(is_whole || !is_calm, "client {at}: {got} bytes of {}, or others, for {script}", want.len());
        // Who was too late is told so where the answer would have been.
        let late = b"HTTP/1.1 408";
        let last = client.answer.windows(9).rposition(|part| part == &late[..9]).unwrap_or(0);
        let (said, last) = client.answer.split_at(last);
        let is_late = want.starts_with(said) && (last.starts_with(late) || late.starts_with(last));
        let is_sound = is_late || want.starts_with(&client.answer) || refusal.starts_with(&client.answer);
        let said = client.answer.escape_ascii();
        assert!(is_sound, "client {at}: what it was sent is not how its answer begins: {said}");
    }
    whole
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// The only test of this program: it counts descriptors.
#[test]
fn whatever_the_kernel_does_no_byte_is_lost_and_everything_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, pattern(900)).unwrap();
    let file = File::open(&path).unwrap();
    let metadata = file.metadata().unwrap();
    let file = Arc::new(OpenFile::new(file, &metadata));
    let (first, count) = (number("TRIPOLL_CHAOS_SEED", 0), number("TRIPOLL_CHAOS_COUNT", SEEDS));
    let before = descriptors();
    let mut whole = 0;
    for seed in first..first + count {
        match catch_unwind(AssertUnwindSafe(|| run(seed, &file))) {
            Ok(count) => whole += count,
            Err(panic) => {
                eprintln!("again: TRIPOLL_CHAOS_SEED={seed} TRIPOLL_CHAOS_COUNT=1 cargo test --test chaos");
                resume_unwind(panic);
            }
        }
    }
    assert_eq!(descriptors(), before, "descriptors are where they were");
    println!("{count} seeds, {} connections, {whole} of them answered in full", count * CLIENTS as u64);
}
