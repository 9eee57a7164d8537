//! The loop: sockets and their links, turn after turn, on one thread. Knows no protocol by name.
//!
//! Invariant: `touch` is the only place that sends, changes interest or closes, and nothing re-enters: a turn collects, then acts.
//!
//! ```text
//!   ┌▶ 1 wait, until the nearest deadline at most
//!   │  2 read the clock, once
//!   │  3 dispatch events:  token → slot → receive → Link::feed ─┐
//!   │  4 woken connections:                          Link::cue ─┤
//!   │  5 accept, a few:                              Link::cue ─┼─▶ touch: flush, interest, deadline, close
//!   │  6 passed deadlines:                           Link::cue ─┘
//!   └─ 7 release the slots of closed connections
//! ```

mod remote;
mod slab;

pub use remote::{Handle, Shutdown};

use crate::poller::{self, Direction, Event, Interest, Poller, Strategy, Token};
use crate::protocol::{Accept, Cue, Deadline, Driver, Fate, Link, Now, Outbox, Protocol};
use crate::sys::{Calls, Kernel, Linux};
use crate::timer::Timers;
use crate::transport::{self, Accepted, Flushed, Received};
use remote::Remote;
use slab::Slab;
use std::fmt;
use std::io;
use std::mem::Discriminant;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a listener that could not accept rests before it tries again, in case no connection of ours ends before.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// The same trouble is told again no earlier than this.
const NOTICE_INTERVAL: Duration = Duration::from_secs(10);

/// The bounds of a loop.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections taken from a listener in one turn. One: a call that says EAGAIN costs more than the wait that says "there are more".
    pub accepts_per_turn_max: usize,
    /// Connections at a time. Past it the one that is idle longest gives way to a new one; where none is idle, the new one is refused.
    /// Below the descriptor limit by what else needs descriptors.
    pub connections_max: usize,
    /// Bytes taken from a connection in one turn, and the size of the one buffer they are received into.
    pub receive_bytes_per_turn_max: usize,
    /// Bytes sent to a connection in one turn, so that a large transfer does not keep others waiting.
    pub send_bytes_per_turn_max: u64,
    /// How long a peer may take not a single byte of what waits for it.
    pub send_timeout: Duration,
    /// How long a connection that is finished waits for the peer to close too. Closing with input unread resets the connection, which
    /// can destroy the last answer on its way.
    pub linger_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            accepts_per_turn_max: 1,
            connections_max: usize::MAX,
            receive_bytes_per_turn_max: 64 * 1024,
            send_bytes_per_turn_max: 1024 * 1024,
            send_timeout: Duration::from_secs(30),
            linger_timeout: Duration::from_secs(2),
        }
    }
}

/// What whoever runs a loop should know of.
#[derive(Debug)]
pub enum Notice {
    /// No connection can be accepted for now; those that are open go on.
    CannotAccept(io::Error),
    /// A client was turned away, since its descriptor could not be watched.
    CannotWatch(io::Error),
    /// Clients were turned away, since [`Limits::connections_max`] are open and none of them is idle.
    Full,
    /// A protocol panicked; its connection was closed.
    ProtocolPanicked,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::CannotAccept(error) => write!(f, "cannot accept connections for now: {error}"),
            Notice::CannotWatch(error) => write!(f, "a client was turned away: {error}"),
            Notice::Full => {
                f.write_str("clients are turned away: as many connections as may be are open, and none is idle")
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
    /// Protocols that panicked.
    pub panics: u64,
    /// What waiting cost.
    pub poller: poller::Counters,
    /// The system calls of the sockets.
    pub calls: Calls,
}

/// One thread's loop over listeners and connections.
pub struct Reactor<K: Kernel = Linux> {
    kernel: K,
    poller: Box<dyn Poller>,
    slots: Slab<Source>,
    timers: Timers,
    remote: Arc<Remote>,
    limits: Limits,
    now: Now,
    counters: Counters,
    descent: Descent,
    on_notice: Box<dyn FnMut(&Notice)>,
    /// When each kind of trouble was told last.
    told: Vec<(Discriminant<Notice>, Instant)>,
    /// Listeners that rest until a connection ends.
    resting: Vec<Token>,
    /// What every receive is received into.
    input: Box<[u8]>,
    /// Lent to the connection at work; it keeps it when the kernel does not take it all.
    outbox: Outbox,
    events: Vec<Event>,
    /// Listeners with an event, woken connections, slots whose deadline passed: collected, then acted upon.
    accepting: Vec<Token>,
    woken: Vec<Token>,
    expired: Vec<u32>,
}

/// How far the loop has gone down.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Descent {
    /// Not at all.
    Up,
    /// Nobody is accepted; connections may begin one thing more.
    Patient { until: Instant, end: Instant },
    /// What is in flight is finished.
    Finishing { end: Instant },
    /// That is all.
    Down,
}

impl Descent {
    /// When it goes on by itself.
    fn next(self) -> Option<Instant> {
        match self {
            Descent::Up | Descent::Down => None,
            Descent::Patient { until, end } => Some(until.min(end)),
            Descent::Finishing { end } => Some(end),
        }
    }
}

/// Whoever has events.
enum Source {
    Bell,
    Listener(Box<Listener>),
    Connection(Connection),
}

struct Listener {
    socket: OwnedFd,
    accept: Box<dyn Accept>,
    rests: bool,
}

struct Connection {
    socket: OwnedFd,
    link: Link,
    sending: Option<Box<Sending>>,
    interest: Interest,
    stage: Stage,
    /// It came by a listener: it is counted, and a loop that goes down waits for it.
    is_accepted: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The link is driven.
    Serving,
    /// All is said and the sending side shut: what comes is thrown away until the peer closes too.
    Lingering,
}

/// What the kernel did not take yet.
struct Sending {
    outbox: Outbox,
    /// The protocol's deadline, which begins when the outbox is empty: until then the send timeout runs.
    deadline: Deadline,
}

/// What a touch leaves to be done.
enum After {
    Keep,
    Linger,
    Close,
}

impl Reactor {
    /// A loop over the real kernel that waits by `strategy`.
    ///
    /// # Errors
    /// What epoll_create1(2) and eventfd(2) say.
    pub fn new(strategy: Strategy, limits: Limits) -> io::Result<Reactor> {
        Reactor::with_kernel(Linux::default(), strategy.open()?, limits)
    }
}

impl<K: Kernel> Reactor<K> {
    /// A loop over any kernel.
    ///
    /// # Errors
    /// What eventfd(2) and the poller say.
    pub fn with_kernel(mut kernel: K, mut poller: Box<dyn Poller>, limits: Limits) -> io::Result<Reactor<K>> {
        let now = Now { monotonic: kernel.monotonic(), wall: kernel.wall() };
        let remote = Arc::new(Remote::new()?);
        let mut slots = Slab::new();
        poller.add(remote.as_fd(), slots.insert(Source::Bell), Interest::READ)?;
        Ok(Reactor {
            kernel,
            poller,
            slots,
            timers: Timers::new(now.monotonic),
            remote,
            now,
            counters: Counters::default(),
            descent: Descent::Up,
            on_notice: Box::new(|_| ()),
            told: Vec::new(),
            resting: Vec::new(),
            input: vec![0; limits.receive_bytes_per_turn_max].into_boxed_slice(),
            outbox: Outbox::default(),
            limits,
            events: Vec::new(),
            accepting: Vec::new(),
            woken: Vec::new(),
            expired: Vec::new(),
        })
    }

    /// Accepts connections on `socket`, listening and non-blocking.
    ///
    /// # Errors
    /// What the poller says.
    pub fn listen(&mut self, socket: impl Into<OwnedFd>, accept: impl Accept + 'static) -> io::Result<()> {
        let listener = Listener { socket: socket.into(), accept: Box::new(accept), rests: false };
        let token = self.slots.insert(Source::Listener(Box::new(listener)));
        let Some(Source::Listener(listener)) = self.slots.get_mut(token) else { unreachable!("inserted just now") };
        let added = self.poller.add(listener.socket.as_fd(), token, Interest::READ);
        if added.is_err() {
            self.slots.remove(token); // Whoever has a slot is watched.
        }
        added
    }

    /// Speaks `protocol` on `socket`, a connected, non-blocking stream socket. It is the loop's own: it counts as no client's connection,
    /// and a loop that goes down does not wait for it.
    ///
    /// # Errors
    /// What the poller says.
    pub fn adopt(&mut self, socket: impl Into<OwnedFd>, protocol: Box<dyn Protocol>) -> io::Result<()> {
        self.open(socket.into(), protocol, false).map_err(|(error, _)| error)
    }

    /// Stops the loop from elsewhere.
    pub fn handle(&self) -> Handle {
        Handle(self.remote.clone())
    }

    /// Who is told what happens; by default nobody. Called on the loop's thread: it must not block.
    pub fn on_notice(&mut self, tell: impl FnMut(&Notice) + 'static) {
        self.on_notice = Box::new(tell);
    }

    /// What has been done so far.
    pub fn counters(&self) -> Counters {
        Counters { poller: self.poller.counters(), calls: self.kernel.calls(), ..self.counters }
    }

    /// Turns until the [`Handle`] stops it or its shutdown is done, then closes every connection.
    ///
    /// # Errors
    /// What waiting says, which leaves the loop as it was: of a sound loop, want of kernel memory.
    pub fn run(&mut self) -> io::Result<()> {
        while !self.remote.is_stopped() && self.descent != Descent::Down {
            self.turn(None)?;
        }
        let tokens: Vec<_> = self.slots.tokens().collect();
        tokens.into_iter().for_each(|token| self.close(token));
        Ok(())
    }

    /// One turn, which waits `timeout` at most.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.wait(timeout)?; // 1
        self.now = Now { monotonic: self.kernel.monotonic(), wall: self.kernel.wall() }; // 2
        self.counters.turns += 1;
        let events = std::mem::take(&mut self.events);
        events.iter().for_each(|event| self.dispatch(event)); // 3
        self.events = events;
        self.cue_woken(); // 4
        self.accept(); // 5
        self.cue_expired(); // 6
        self.go_down();
        self.slots.reuse_released(); // 7
        Ok(())
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let nearest = self.timers.next().into_iter().chain(self.descent.next()).min();
        let nearest = nearest.map(|at| at.saturating_duration_since(self.now.monotonic));
        let timeout = match self.remote.falls_asleep() {
            true => nearest.into_iter().chain(timeout).min(),
            false => Some(Duration::ZERO),
        };
        let result = self.poller.wait(&mut self.events, timeout);
        self.remote.wakes_up();
        result
    }

    fn dispatch(&mut self, event: &Event) {
        match self.slots.get_mut(event.token) {
            None => {} // Closed earlier in this turn.
            Some(Source::Bell) => {
                self.remote.bell().clear();
                self.poller.exhausted(self.remote.as_fd(), Direction::Read);
            }
            Some(Source::Listener(_)) => self.accepting.push(event.token),
            Some(Source::Connection(_)) if event.readable => self.receive(event),
            Some(Source::Connection(_)) => self.touch(event.token, |_, _| ()),
        }
    }

    /// Receives once and feeds what came.
    fn receive(&mut self, event: &Event) {
        let Some(Source::Connection(connection)) = self.slots.get_mut(event.token) else { return };
        let is_lingering = connection.stage == Stage::Lingering;
        let mut received = Received::Nothing;
        if is_lingering || connection.link.wants_input() {
            received = transport::receive(&mut self.kernel, connection.socket.as_fd(), &mut self.input);
            let was_short = match received {
                Received::Bytes(count) => count < self.input.len() && !event.ended,
                Received::Nothing => true,
                Received::End | Received::Dead => false,
            };
            if was_short {
                self.poller.exhausted(connection.socket.as_fd(), Direction::Read);
            }
        }
        match received {
            Received::Dead => self.close(event.token),
            Received::End if is_lingering => self.close(event.token),
            Received::Bytes(_) if is_lingering => {}
            Received::End => self.touch(event.token, |link, driver| link.end_of_input(driver)),
            Received::Nothing => self.touch(event.token, |_, _| ()),
            Received::Bytes(count) => {
                let input = std::mem::take(&mut self.input);
                self.touch(event.token, |link, driver| link.feed(&input[..count], driver));
                self.input = input;
            }
        }
    }

    fn cue_woken(&mut self) {
        let mut woken = std::mem::take(&mut self.woken);
        self.remote.take_woken(&mut woken);
        for token in woken.drain(..) {
            self.touch(token, |link, driver| link.cue(Cue::Woken, driver));
        }
        self.woken = woken;
    }

    fn accept(&mut self) {
        let mut accepting = std::mem::take(&mut self.accepting);
        for token in accepting.drain(..) {
            for _ in 0..self.limits.accepts_per_turn_max {
                if !self.accept_one(token) {
                    break;
                }
            }
        }
        self.accepting = accepting;
    }

    /// Whether there may be another.
    fn accept_one(&mut self, token: Token) -> bool {
        let Some(Source::Listener(listener)) = self.slots.get_mut(token) else { return false };
        match transport::accept(&mut self.kernel, listener.socket.as_fd()) {
            Accepted::Connection(socket, peer) => {
                let protocol = listener.accept.protocol(peer);
                if self.counters.open >= self.limits.connections_max && !self.evict_idle() {
                    self.refuse(token, socket);
                    self.notice(Notice::Full);
                } else if let Err((error, socket)) = self.open(socket, protocol, true) {
                    self.refuse(token, socket);
                    self.notice(Notice::CannotWatch(error));
                }
                true
            }
            Accepted::Nothing => {
                self.poller.exhausted(listener.socket.as_fd(), Direction::Read);
                false
            }
            Accepted::Lost => true,
            // Who waits is there in the next turn too.
            Accepted::Unable(_) if self.evict_idle() => false,
            Accepted::Unable(error) => {
                self.rest_listener(token);
                self.notice(Notice::CannotAccept(error));
                false
            }
        }
    }

    /// Closes the connection that has been idle longest. Whether there was one.
    fn evict_idle(&mut self) -> bool {
        let Some(token) = self.timers.longest_idle().and_then(|slot| self.slots.token(slot)) else { return false };
        self.close(token);
        true
    }

    /// Gives a connection its slot and its first cue. An error comes with the socket, unwatched.
    fn open(
        &mut self,
        socket: OwnedFd,
        protocol: Box<dyn Protocol>,
        is_accepted: bool,
    ) -> Result<(), (io::Error, OwnedFd)> {
        let (link, interest) = (Link::new(protocol), Interest::READ);
        let connection = Connection { socket, link, sending: None, interest, stage: Stage::Serving, is_accepted };
        let token = self.slots.insert(Source::Connection(connection));
        let Some(Source::Connection(connection)) = self.slots.get_mut(token) else { unreachable!("inserted just now") };
        if let Err(error) = self.poller.add(connection.socket.as_fd(), token, interest) {
            let Some(Source::Connection(connection)) = self.slots.remove(token) else { unreachable!("it is there") };
            return Err((error, connection.socket));
        }
        self.counters.opened += u64::from(is_accepted);
        self.counters.open += usize::from(is_accepted);
        self.touch(token, |link, driver| link.cue(Cue::Opened, driver));
        Ok(())
    }

    /// Tells a client that it can't be served: one send, then its request is read away so that closing does not reset the answer.
    fn refuse(&mut self, listener: Token, socket: OwnedFd) {
        let Some(Source::Listener(listener)) = self.slots.get_mut(listener) else { return };
        let refusal = listener.accept.refusal(self.now);
        if !refusal.is_empty() {
            // Whether it arrives is the client's luck: it gets this one chance and no place in the loop.
            let _ = self.kernel.send(socket.as_fd(), &refusal, true);
            let _ = self.kernel.shutdown_write(socket.as_fd());
            let _ = transport::receive(&mut self.kernel, socket.as_fd(), &mut self.input);
        }
    }

    /// Stops listening until a connection ends, or for [`ACCEPT_RETRY`]: readable for ever, the listener would make the loop spin.
    fn rest_listener(&mut self, token: Token) {
        let Some(Source::Listener(listener)) = self.slots.get_mut(token) else { return };
        let narrowed = self.poller.modify(listener.socket.as_fd(), token, Interest::NONE);
        debug_assert!(narrowed.is_ok(), "a listener is watched and narrowing needs no memory: {narrowed:?}");
        if !std::mem::replace(&mut listener.rests, true) {
            self.resting.push(token);
        }
        self.timers.set(token.index, Deadline::After(ACCEPT_RETRY), self.now.monotonic);
    }

    fn resume_listener(&mut self, token: Token) {
        let Some(Source::Listener(listener)) = self.slots.get_mut(token) else { return };
        if listener.rests {
            match self.poller.modify(listener.socket.as_fd(), token, Interest::READ) {
                Ok(()) => {
                    listener.rests = false;
                    self.resting.retain(|resting| *resting != token);
                }
                Err(_) => self.timers.set(token.index, Deadline::After(ACCEPT_RETRY), self.now.monotonic),
            }
        }
    }

    fn cue_expired(&mut self) {
        let mut expired = std::mem::take(&mut self.expired);
        expired.extend(std::iter::from_fn(|| self.timers.expire(self.now.monotonic)));
        for slot in expired.drain(..) {
            let Some(token) = self.slots.token(slot) else { continue };
            match self.slots.get_mut(token) {
                None | Some(Source::Bell) => {}
                Some(Source::Listener(_)) => self.resume_listener(token),
                // The peer took nothing for the send timeout, or does not close.
                Some(Source::Connection(Connection { sending: Some(_), .. })) => self.close(token),
                Some(Source::Connection(Connection { stage: Stage::Lingering, .. })) => self.close(token),
                Some(Source::Connection(_)) => {
                    self.touch(token, |link, driver| link.cue(Cue::DeadlinePassed, driver));
                }
            }
        }
        self.expired = expired;
    }

    /// Takes the next step down, if it is time: no more listeners, one thing more, nothing more, the end.
    fn go_down(&mut self) {
        let now = self.now.monotonic;
        if let Some(Shutdown { grace, patience }) = self.remote.take_shutdown() {
            let is_listener =
                |slots: &mut Slab<Source>, token| matches!(slots.get_mut(token), Some(Source::Listener(_)));
            let mut tokens: Vec<_> = self.slots.tokens().collect();
            tokens.retain(|token| is_listener(&mut self.slots, *token));
            for token in tokens {
                // Who waits in the backlog would be reset, and may have sent a request already.
                while self.accept_one(token) {}
                self.close(token);
            }
            if self.descent == Descent::Up {
                self.cue_all(Cue::ShuttingDown);
            }
            self.descent = Descent::Patient { until: now + patience, end: now + grace };
        }
        if let Descent::Patient { until, end } = self.descent
            && until.min(end) <= now
        {
            self.cue_all(Cue::ShuttingDown);
            self.descent = Descent::Finishing { end };
        }
        let is_over = match self.descent {
            Descent::Up => false,
            Descent::Patient { end, .. } | Descent::Finishing { end } => end <= now || self.counters.open == 0,
            Descent::Down => true,
        };
        if is_over {
            self.descent = Descent::Down;
        }
    }

    fn cue_all(&mut self, cue: Cue) {
        let tokens: Vec<_> = self.slots.tokens().collect();
        for token in tokens {
            self.touch(token, |link, driver| link.cue(cue, driver));
        }
    }

    /// Lets `act` happen to one connection, then does what its link wants now: send, interest, deadline, close.
    fn touch(&mut self, token: Token, act: impl FnOnce(&mut Link, &mut Driver<'_>)) {
        let Some(Source::Connection(connection)) = self.slots.get_mut(token) else { return };
        if connection.stage == Stage::Lingering {
            return;
        }
        let Connection { socket, link, sending, interest, .. } = connection;
        let waker = || self.remote.waker(token);
        debug_assert!(self.outbox.queued() == 0, "the lent outbox came back empty");
        let mut held = sending.take();
        let out = held.as_mut().map_or(&mut self.outbox, |sending| &mut sending.outbox);
        let mut driver = Driver { now: self.now, out, deadline: None, waker: &waker };
        let mut budget = self.limits.send_bytes_per_turn_max;

        let mut is_sound = catch_unwind(AssertUnwindSafe(|| act(link, &mut driver))).is_ok();
        let after = loop {
            if !is_sound || link.fate() == Fate::Abort {
                break After::Close;
            }
            let is_last = link.fate() == Fate::Finish;
            match transport::flush(&mut self.kernel, socket.as_fd(), driver.out, &mut budget, is_last) {
                Flushed::Dead => break After::Close,
                Flushed::BudgetUsed => break After::Keep,
                Flushed::Blocked => {
                    self.poller.exhausted(socket.as_fd(), Direction::Write);
                    break After::Keep;
                }
                Flushed::All if is_last => break After::Linger,
                Flushed::All if budget == 0 || !link.wants_room() => break After::Keep,
                Flushed::All => {
                    is_sound = catch_unwind(AssertUnwindSafe(|| link.room(&mut driver))).is_ok();
                }
            }
        };

        let (wish, now) = (driver.deadline, self.now.monotonic);
        let has_sent = budget < self.limits.send_bytes_per_turn_max;
        match after {
            After::Keep if driver.out.queued() > 0 => {
                let is_new = held.is_none();
                let mut held = held.unwrap_or_else(|| {
                    let outbox = std::mem::take(&mut self.outbox);
                    Box::new(Sending { outbox, deadline: self.timers.get(token.index) })
                });
                held.deadline = wish.unwrap_or(held.deadline);
                if is_new || has_sent {
                    self.timers.set(token.index, Deadline::After(self.limits.send_timeout), now);
                }
                *sending = Some(held);
            }
            After::Keep => {
                if let Some(deadline) = wish.or(held.map(|held| held.deadline)) {
                    self.timers.set(token.index, deadline, now);
                }
            }
            After::Linger | After::Close => {
                self.outbox.clear(); // What it could not send is not the next one's to send.
                if !is_sound {
                    self.counters.panics += 1;
                    self.notice(Notice::ProtocolPanicked);
                }
                return if matches!(after, After::Linger) { self.linger(token) } else { self.close(token) };
            }
        }
        let wanted = Interest::new(link.wants_input(), sending.is_some() || link.wants_room());
        if wanted != *interest {
            *interest = wanted;
            if self.poller.modify(socket.as_fd(), token, wanted).is_err() {
                self.close(token); // Unwatched it would hang for ever.
            }
        }
    }

    /// All is said: shuts the sending side, then waits for the peer to close, unless it has.
    fn linger(&mut self, token: Token) {
        let Some(Source::Connection(connection)) = self.slots.get_mut(token) else { return };
        let socket = connection.socket.as_fd();
        if connection.link.has_ended() || self.kernel.shutdown_write(socket).is_err() {
            return self.close(token);
        }
        connection.stage = Stage::Lingering;
        if connection.interest != Interest::READ {
            connection.interest = Interest::READ;
            if self.poller.modify(socket, token, Interest::READ).is_err() {
                return self.close(token);
            }
        }
        self.timers.set(token.index, Deadline::After(self.limits.linger_timeout), self.now.monotonic);
    }

    /// Ends a connection, or a listener.
    fn close(&mut self, token: Token) {
        match self.slots.remove(token) {
            None => {}
            Some(Source::Bell) => self.unwatch(self.remote.clone().as_fd()),
            Some(Source::Listener(listener)) => self.unwatch(listener.socket.as_fd()),
            Some(Source::Connection(mut connection)) => {
                let waker = || self.remote.waker(token);
                // What it says now reaches nobody.
                let mut out = Outbox::default();
                let mut driver = Driver { now: self.now, out: &mut out, deadline: None, waker: &waker };
                let told = catch_unwind(AssertUnwindSafe(|| connection.link.cue(Cue::Closed, &mut driver)));
                self.counters.panics += u64::from(told.is_err());
                self.unwatch(connection.socket.as_fd());
                self.counters.open -= usize::from(connection.is_accepted);
                drop(connection); // A descriptor is free.
                std::mem::take(&mut self.resting).into_iter().for_each(|listener| self.resume_listener(listener));
            }
        }
        self.timers.clear(token.index);
    }

    fn unwatch(&mut self, fd: impl AsFd) {
        let removed = self.poller.remove(fd.as_fd());
        debug_assert!(removed.is_ok(), "whoever has a slot is watched: {removed:?}");
    }

    fn notice(&mut self, notice: Notice) {
        let (kind, now) = (std::mem::discriminant(&notice), self.now.monotonic);
        self.told.retain(|(_, at)| now < *at + NOTICE_INTERVAL);
        if self.told.iter().all(|(told, _)| *told != kind) {
            self.told.push((kind, now));
            (self.on_notice)(&notice);
        }
    }
}

impl<K: Kernel> Drop for Reactor<K> {
    /// Descriptors are removed before they are closed, as the poller's contract asks.
    fn drop(&mut self) {
        let tokens: Vec<_> = self.slots.tokens().collect();
        tokens.into_iter().for_each(|token| self.close(token));
    }
}
