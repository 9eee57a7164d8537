//! The loop: sockets and their links, turn after turn, on one thread. Knows no protocol by name.
//!
//! Invariant: what becomes of a connection is done in `touching` alone (of listeners, and who is turned away: in `accepting`), and nothing
//! re-enters: a turn collects, then acts.
//!
//! ```text
//!   ┌▶ 1 wait, until the nearest deadline at most
//!   │  2 read the clock, once
//!   │  3 dispatch events:  token → slot → receive → Link::feed ─┐
//!   │  4 woken connections:                          Link::cue ─┤
//!   │  5 accept, a few (and between many events):    Link::cue ─┼─▶ touch: flush, interest, deadline, close
//!   │  6 passed deadlines:                           Link::cue ─┘
//!   └─ 7 release the slots of closed connections; then who asked to hear of turns: counters, log lines
//! ```

mod accepting;
mod crew;
mod descent;
mod limits;
mod meter;
mod notices;
mod origins;
mod pace;
mod remote;
mod touching;
mod trace;

pub(crate) use crew::{Crew, Visitor};
pub(crate) use descent::{Descent, HANDSHAKE};
pub use limits::{Counters, Limits, Notice};
pub use meter::Meter;
pub(crate) use notices::Told;
pub(crate) use pace::Pace;
pub use remote::{Handle, Shutdown};
pub use trace::Turn;

use crate::poller::{Direction, Event, Interest, Poller, Strategy, Token, Updates, WAIT_RETRY};
use crate::protocol::{Accept, Cue, Link, Now, Outbox, Protocol};
use crate::slab::Slab;
use crate::sys::{Kernel, Linux};
use crate::timer::Timers;
use crate::transport::{self, Received, Stage};
use accepting::{EVENTS_PER_LOOK, turn_length};
use origins::Origins;
use remote::Remote;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};
use touching::Sending;
use trace::Trace;

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
    meter: Meter,
    descent: Descent,
    on_notice: Box<dyn FnMut(&Notice)>,
    on_shortage: Box<dyn FnMut() -> bool>,
    after_turn: Box<dyn FnMut() -> Option<Duration>>,
    /// When `after_turn` wants to be called again at the latest.
    after_turn_by: Option<Instant>,
    trace: Option<Trace>,
    told: Told,
    /// Who serves connections in its place.
    crew: Option<Box<dyn Crew>>,
    next_ticket: u32,
    /// Whose connections they are, where [`Limits::per_address_max`] asks.
    origins: Origins,
    /// All listeners.
    listeners: Vec<Token>,
    /// Listeners that rest until a connection ends.
    resting: Vec<Token>,
    /// What every receive is received into.
    input: Box<[u8]>,
    /// Lent to the connection at work; it keeps it when the kernel does not take it all.
    outbox: Outbox,
    events: Vec<Event>,
    /// Of this turn, as [`accepting::turn_length`] says.
    turn_length: usize,
    /// Bytes that a connection may be sent in this turn.
    send_share: u64,
    /// Listeners with an event, woken connections, slots whose deadline passed: collected, then acted upon.
    accepting: Vec<Token>,
    woken: Vec<Token>,
    expired: Vec<u32>,
}

/// Whoever has events.
enum Source {
    Bell,
    Listener(Box<Listener>),
    /// What tells that there is news for the crew.
    OfCrew(OwnedFd),
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
        if limits.updates == Updates::Eager {
            poller.narrow_eagerly();
        }
        poller.add(remote.as_fd(), slots.insert(Source::Bell), Interest::READ)?;
        Ok(Reactor {
            kernel,
            poller,
            slots,
            timers: Timers::new(now.monotonic),
            remote,
            now,
            counters: Counters::default(),
            meter: Meter::default(),
            descent: Descent::Up,
            on_notice: Box::new(|_| ()),
            on_shortage: Box::new(|| false),
            after_turn: Box::new(|| None),
            after_turn_by: None,
            trace: None,
            told: Told::default(),
            crew: None,
            next_ticket: 0,
            origins: Origins::default(),
            listeners: Vec::new(),
            resting: Vec::new(),
            input: vec![0; limits.receive_bytes_per_turn_max].into_boxed_slice(),
            outbox: Outbox::default(),
            send_share: limits.send_bytes_per_turn_max,
            limits,
            events: Vec::new(),
            turn_length: 0,
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
        match added {
            Ok(()) => self.listeners.push(token),
            Err(_) => drop(self.slots.remove(token)), // Whoever has a slot is watched.
        }
        added
    }

    /// Speaks `protocol` on `socket`, a connected, non-blocking stream socket. It is the loop's own: it counts as no client's connection,
    /// and a loop that goes down does not wait for it.
    ///
    /// # Errors
    /// What the poller says.
    pub fn adopt(&mut self, socket: impl Into<OwnedFd>, protocol: Box<dyn Protocol>) -> io::Result<()> {
        self.open(socket.into(), protocol, None).map(drop).map_err(|(error, _)| error)
    }

    /// What it waits by, for who moves in with it.
    pub(crate) fn poller(&mut self) -> &mut Box<dyn Poller> {
        &mut self.poller
    }

    /// From now on `crew` serves what is accepted, and looks whenever one of `watched` is readable.
    ///
    /// # Errors
    /// What the poller says.
    pub(crate) fn hand_over_to(&mut self, crew: impl Crew + 'static, watched: Vec<OwnedFd>) -> io::Result<()> {
        self.crew = Some(Box::new(crew));
        for fd in watched {
            let token = self.slots.insert(Source::OfCrew(fd));
            let Some(Source::OfCrew(fd)) = self.slots.get_mut(token) else { unreachable!("inserted just now") };
            if let Err(error) = self.poller.add(fd.as_fd(), token, Interest::READ) {
                self.slots.remove(token); // Whoever has a slot is watched.
                return Err(error);
            }
        }
        Ok(())
    }

    /// Stops the loop from elsewhere.
    pub fn handle(&self) -> Handle {
        Handle(self.remote.clone())
    }

    /// Who is told what happens; by default nobody. Called on the loop's thread: it must not block.
    pub fn on_notice(&mut self, tell: impl FnMut(&Notice) + 'static) {
        self.on_notice = Box::new(tell);
    }

    /// What can close a descriptor that is dispensable, and says whether it did; asked where one is wanting, before a connection that is idle
    /// gives way.
    pub fn on_shortage(&mut self, free: impl FnMut() -> bool + 'static) {
        self.on_shortage = Box::new(free);
    }

    /// What is done at the end of each turn, such as writing out what the turn had to log. It says after how long it wants to be called
    /// again at the latest. Called on the loop's thread: it must not block.
    pub fn after_turn(&mut self, act: impl FnMut() -> Option<Duration> + 'static) {
        self.after_turn = Box::new(act);
    }

    /// Who is told of each turn at its end, while `is_heard` says that somebody hears of it: then it costs one more look at the clock. Both
    /// are called on the loop's thread: they must not block.
    pub fn on_turn(&mut self, is_heard: impl Fn() -> bool + 'static, tell: impl FnMut(&Turn) + 'static) {
        let now = (self.poller.counters(), self.kernel.monotonic());
        self.trace = Some(Trace::new(is_heard, tell, now));
    }

    /// From now on `meter` shows the counters too.
    pub fn show_on(&mut self, meter: Meter) {
        self.meter = meter;
    }

    /// What has been done so far.
    pub fn counters(&self) -> Counters {
        let own = Counters { poller: self.poller.counters(), calls: self.kernel.calls(), ..self.counters };
        self.crew.as_ref().map_or(own, |crew| own + crew.counters())
    }

    /// Turns until the [`Handle`] stops it or its shutdown is done, then closes every connection.
    ///
    /// # Errors
    /// What waiting says, which leaves the loop as it was: of a sound loop, nothing. Want of kernel memory passes.
    pub fn run(&mut self) -> io::Result<()> {
        self.read_clock(); // It may have been made long ago.
        while !self.remote.is_stopped() && self.descent != Descent::Down {
            self.turn(None)?;
        }
        self.close_all();
        if let Some(crew) = &mut self.crew {
            crew.end();
        }
        Ok(())
    }

    /// One turn, which waits `timeout` at most.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    #[inline(never)] // Of `run`, too: it would be there twice.
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.wait(timeout)?; // 1
        self.read_clock(); // 2
        self.counters.turns += 1;
        let events = std::mem::take(&mut self.events);
        for some in events.chunks(EVENTS_PER_LOOK) {
            some.iter().for_each(|event| self.dispatch(event)); // 3
            if some.len() == EVENTS_PER_LOOK && self.limits.accepts_per_turn_max.is_none() {
                self.look_at_the_doors(); // 5, in the midst of it
            }
        }
        self.events = events;
        self.cue_woken(); // 4
        self.accept(); // 5
        self.cue_expired(); // 6
        if let Some(crew) = &mut self.crew {
            crew.work();
        }
        self.go_down();
        self.slots.reuse_released(); // 7
        self.tell_of_turn();
        Ok(())
    }

    fn tell_of_turn(&mut self) {
        if let Some(trace) = &mut self.trace
            && trace.is_heard()
        {
            let now = (self.poller.counters(), self.kernel.monotonic());
            trace.turn(self.counters.turns, self.now.monotonic, now);
        }
        self.after_turn_by = (self.after_turn)().and_then(|time| self.now.monotonic.checked_add(time));
        self.meter.show(self.counters());
    }

    fn read_clock(&mut self) {
        self.now = Now { monotonic: self.kernel.monotonic(), wall: self.kernel.wall() };
        self.timers.set_now(self.now.monotonic);
    }

    /// Counted from the last turn's clock, so that none is read anew: by as much as that turn took, deadlines are late.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let at = self.descent.next().into_iter().chain(self.after_turn_by).min();
        let nearest =
            at.map(|at| at.saturating_duration_since(self.now.monotonic)).into_iter().chain(self.timers.next());
        let timeout = match self.remote.falls_asleep() {
            true => nearest.chain(timeout).min(),
            false => Some(Duration::ZERO),
        };
        let passed_before = self.poller.counters().passed;
        let result = self.poller.wait(&mut self.events, timeout);
        let passed = self.poller.counters().passed - passed_before;
        self.turn_length = turn_length(self.events.len(), passed);
        self.send_share = self.limits.send_share(self.events.len());
        self.remote.bell().wakes_up();
        match result {
            Err(error) if error.kind() == ErrorKind::OutOfMemory => {
                self.events.clear();
                self.notice(Notice::CannotWait(error));
                std::thread::sleep(WAIT_RETRY);
                Ok(())
            }
            result => result,
        }
    }

    fn dispatch(&mut self, event: &Event) {
        match self.slots.get_mut(event.token) {
            None => {} // Closed earlier in this turn.
            Some(Source::Bell) => {
                self.remote.bell().clear();
                self.poller.exhausted(self.remote.as_fd(), Direction::Read);
            }
            Some(Source::Listener(_)) => self.accepting.push(event.token),
            Some(Source::OfCrew(fd)) => {
                // Before it looks: what comes meanwhile is an edge of its own.
                self.poller.exhausted(fd.as_fd(), Direction::Read);
                if let Some(crew) = &mut self.crew {
                    crew.look();
                }
            }
            Some(Source::Connection(_)) if event.readable => self.receive(event),
            Some(Source::Connection(_)) => self.touch(event.token, &mut |_, _| ()),
        }
    }

    /// Receives once and feeds what came.
    pub(super) fn receive(&mut self, event: &Event) {
        let Some(Source::Connection(connection)) = self.slots.get_mut(event.token) else { return };
        let is_lingering = connection.stage == Stage::Lingering;
        let mut received = Received::Nothing;
        if is_lingering || connection.link.wants_input() {
            received = transport::receive(&mut self.kernel, connection.socket.as_fd(), &mut self.input);
            if received.is_short(self.input.len(), event.ended) {
                self.poller.exhausted(connection.socket.as_fd(), Direction::Read);
            }
        }
        match received {
            Received::Dead => self.close(event.token),
            Received::End if is_lingering => self.close(event.token),
            Received::Bytes(_) if is_lingering => {}
            Received::End => self.touch(event.token, &mut |link, driver| link.end_of_input(driver)),
            Received::Nothing => self.touch(event.token, &mut |_, _| ()),
            Received::Bytes(count) => {
                self.counters.received_bytes += count as u64;
                let input = std::mem::take(&mut self.input);
                self.touch(event.token, &mut |link, driver| link.feed(&input[..count], driver));
                self.input = input;
            }
        }
    }

    fn cue_woken(&mut self) {
        let mut woken = std::mem::take(&mut self.woken);
        self.remote.take_woken(&mut woken);
        for token in woken.drain(..) {
            self.touch(token, &mut |link, driver| link.cue(Cue::Woken, driver));
        }
        self.woken = woken;
    }

    fn cue_expired(&mut self) {
        let mut expired = std::mem::take(&mut self.expired);
        expired.extend(std::iter::from_fn(|| self.timers.expire()));
        for slot in expired.drain(..) {
            let Some(token) = self.slots.token(slot) else { continue };
            match self.slots.get_mut(token) {
                None | Some(Source::Bell | Source::OfCrew(_)) => {}
                Some(Source::Listener(_)) => self.resume_listener(token),
                Some(Source::Connection(Connection { sending: Some(_), .. })) => self.look_at_pace(token),
                // The peer does not close.
                Some(Source::Connection(Connection { stage: Stage::Lingering, .. })) => self.close(token),
                Some(Source::Connection(_)) => {
                    self.touch(token, &mut |link, driver| link.cue(Cue::DeadlinePassed, driver));
                }
            }
        }
        self.expired = expired;
    }

    fn cue_all(&mut self, cue: Cue) {
        let tokens: Vec<_> = self.slots.tokens().collect();
        for token in tokens {
            self.touch(token, &mut |link, driver| link.cue(cue, driver));
        }
    }

    /// A protocol panicked.
    fn note_panic(&mut self) {
        self.counters.panics += 1;
        self.notice(Notice::ProtocolPanicked);
    }

    fn notice(&mut self, notice: Notice) {
        if self.told.is_news(&notice, self.now.monotonic) {
            (self.on_notice)(&notice);
        }
    }
}

impl<K: Kernel> Drop for Reactor<K> {
    /// Descriptors are removed before they are closed, as the poller's contract asks.
    fn drop(&mut self) {
        self.close_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of an idle connection the reactor keeps this, a timer, and the box of its protocol.
    #[test]
    fn a_place_is_small() {
        const { assert!(Slab::<Source>::PLACE_BYTES <= 52) };
    }
}
