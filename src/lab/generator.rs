//! The load: one thread, one poller, raw non-blocking sockets.
//!
//! Invariant: every request that was begun is either measured or counted among the errors; in the open loop latency counts from when the
//! request was *due*, so that a server which stalls can't hide it by keeping the generator waiting.
//!
//! ```text
//!            due             sent                          answered
//!   open     ├─ (waits) ─────┼─────────────────────────────┤  latency: all of it
//!   closed                   ├─────────────────────────────┤  latency: this; the next request begins when this one ends
//! ```

use super::connection::{Connection, Step, Trouble};
use super::interrupt::Interrupt;
use super::machine;
use hdrhistogram::Histogram;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};
use tripoll::poller::{Event, Interest, Poller, Strategy, Token, Trigger};
use tripoll::sys::{self, CpuTime, Whose};

/// A connection that failed is tried again no earlier than this.
const RETRY: Duration = Duration::from_millis(10);

/// How long the open loop waits at its end for answers that are owed; what is then missing is an error, with the time it took so far.
const DRAIN_MAX: Duration = Duration::from_secs(3);

/// A due time nearer than this is waited for by looking at the clock: the waits' own unit is a millisecond.
const SPIN: Duration = Duration::from_millis(2);

/// How much longer than it was asked to the closed loop goes on where not as many requests were answered as it has connections: a server
/// that takes seconds for them would else be measured by a few, or by none.
const LONGER_MAX: Duration = Duration::from_secs(10);

/// How often it is looked whether somebody pressed Ctrl-C.
const LOOK: Duration = Duration::from_millis(50);

/// A closed loop's request that is older than this at the end, and than twice what any other took, was stuck.
const STUCK: Duration = Duration::from_secs(1);

/// Latencies beyond are recorded as this.
const LATENCY_NANOSECONDS_MAX: u64 = 60_000_000_000;

/// What is asked for, how, how often.
#[derive(Debug, Clone)]
pub struct Load {
    pub address: SocketAddrV4,
    /// The bytes of a request, or of several that are sent together.
    pub request: Vec<u8>,
    /// How many that are.
    pub requests_per_send: usize,
    /// Bytes of the answer to `request`, heads and bodies.
    pub answer_bytes: usize,
    pub connections: usize,
    /// A connection is used for one request only.
    pub closes: bool,
    pub pace: Pace,
    pub warm_up: Duration,
    pub time: Duration,
}

/// What begins the next request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// The answer to the last one on its connection.
    Closed,
    /// The clock.
    #[allow(missing_docs)]
    Open { requests_per_second: f64 },
}

/// What went wrong, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Errors {
    /// No connection could be had.
    pub connect: u64,
    /// It ended before its answer did.
    pub closed: u64,
    /// An answer that was not 200, or longer than it should be.
    pub answer: u64,
    /// No answer in time.
    pub timeout: u64,
}

impl Errors {
    pub fn total(self) -> u64 {
        self.connect + self.closed + self.answer + self.timeout
    }
}

/// What was seen after the warm-up.
#[derive(Debug)]
pub struct Measured {
    pub requests: u64,
    pub errors: Errors,
    /// Nanoseconds.
    pub latencies: Histogram<u64>,
    /// Open loop: how late requests were sent though a connection was free. The generator's own fault. Nanoseconds.
    pub lateness: Histogram<u64>,
    pub elapsed: Duration,
    /// The generator's own.
    pub cpu: CpuTime,
    /// How long it was ready to run while others did.
    pub delayed: Duration,
    pub was_interrupted: bool,
}

/// Runs `load`; `begin` is called when the warm-up is over.
///
/// # Errors
/// What the poller and getrusage(2) say; what happens to connections is counted instead.
pub fn run(load: &Load, interrupt: &Interrupt, begin: impl FnOnce() -> io::Result<()>) -> io::Result<Measured> {
    let mut generator = Generator::new(load)?;
    let start = Instant::now();
    for index in 0..load.connections {
        match load.closes {
            true => generator.connect(index, start),
            false => generator.ask(index, start), // Open before it counts, in the open loop too.
        }
    }
    let mut was_interrupted = generator.turn_until(start + load.warm_up, interrupt)?;
    begin()?;
    let delayed_before = machine::delayed("thread-self");
    let cpu_before = sys::cpu_time(Whose::Thread)?;
    let begun = Instant::now();
    generator.begin(begun);
    was_interrupted |= generator.turn_until(begun + load.time, interrupt)?;
    while load.pace == Pace::Closed
        && generator.is_short()
        && begun.elapsed() < load.time + LONGER_MAX
        && !was_interrupted
    {
        was_interrupted |= generator.turn_until(Instant::now() + LOOK, interrupt)?;
    }
    let (end, cpu_after) = (Instant::now(), sys::cpu_time(Whose::Thread)?);
    let delayed = machine::delayed("thread-self").saturating_sub(delayed_before);
    generator.finish(end, interrupt)?;
    let Generator { requests, errors, latencies, lateness, .. } = generator;
    let cpu = CpuTime { user: cpu_after.user - cpu_before.user, system: cpu_after.system - cpu_before.system };
    Ok(Measured { requests, errors, latencies, lateness, elapsed: end - begun, cpu, delayed, was_interrupted })
}

struct Generator<'a> {
    load: &'a Load,
    poller: Box<dyn Poller>,
    connections: Vec<Connection>,
    events: Vec<Event>,
    buffer: Box<[u8]>,
    /// Connections that owe nothing, in the open loop.
    free: Vec<usize>,
    /// Connections that failed, and when.
    failed: VecDeque<(usize, Instant)>,
    /// Requests that were due while no connection was free.
    waiting: VecDeque<Instant>,
    next_due: Option<Instant>,
    interval: Duration,
    begun: Option<Instant>,
    requests: u64,
    errors: Errors,
    latencies: Histogram<u64>,
    lateness: Histogram<u64>,
}

impl Generator<'_> {
    fn new(load: &Load) -> io::Result<Generator<'_>> {
        let interval = match load.pace {
            Pace::Closed => Duration::ZERO,
            Pace::Open { requests_per_second } => {
                Duration::from_secs_f64(load.requests_per_send as f64 / requests_per_second)
            }
        };
        Ok(Generator {
            load,
            poller: Strategy::Epoll { trigger: Trigger::Level }.open()?,
            connections: (0..load.connections).map(|_| Connection::default()).collect(),
            events: Vec::new(),
            buffer: vec![0; 64 * 1024].into_boxed_slice(),
            free: Vec::new(),
            failed: VecDeque::new(),
            waiting: VecDeque::new(),
            next_due: matches!(load.pace, Pace::Open { .. }).then(Instant::now),
            interval,
            begun: None,
            requests: 0,
            errors: Errors::default(),
            latencies: histogram(),
            lateness: histogram(),
        })
    }

    /// From now on it counts.
    fn begin(&mut self, now: Instant) {
        self.begun = Some(now);
        self.errors = Errors::default();
        self.waiting.clear();
        self.next_due = self.next_due.map(|_| now);
    }

    /// Whether less was answered than is worth a figure, though nothing went wrong.
    fn is_short(&self) -> bool {
        self.requests < self.load.connections as u64 && self.errors.total() == 0
    }

    /// Whether it was interrupted before `end`.
    fn turn_until(&mut self, end: Instant, interrupt: &Interrupt) -> io::Result<bool> {
        let mut look_at = Instant::now();
        loop {
            let now = Instant::now();
            if now >= look_at {
                look_at = now + LOOK;
                if interrupt.came() {
                    return Ok(true);
                }
            }
            if now >= end {
                return Ok(false);
            }
            self.begin_due(now);
            let until_due = self.next_due.map_or(end, |due| due.min(end)).saturating_duration_since(now);
            let timeout = if until_due > SPIN { until_due - SPIN / 2 } else { Duration::ZERO };
            let timeout = if self.next_due.is_none() { (end - now).min(LOOK) } else { timeout };
            self.turn(if self.failed.is_empty() { timeout } else { timeout.min(RETRY) })?;
        }
    }

    fn turn(&mut self, timeout: Duration) -> io::Result<()> {
        self.poller.wait(&mut self.events, Some(timeout))?;
        let events = std::mem::take(&mut self.events);
        for event in &events {
            self.go_on(event.token.index as usize);
        }
        self.events = events;
        while let Some(&(index, _)) = self.failed.front().filter(|(_, at)| at.elapsed() >= RETRY) {
            self.failed.pop_front();
            self.connect(index, Instant::now());
        }
        Ok(())
    }

    /// Open loop: begins what is due.
    fn begin_due(&mut self, now: Instant) {
        while let Some(due) = self.next_due.filter(|due| *due <= now) {
            self.next_due = Some(due + self.interval);
            match self.free.pop() {
                None => self.waiting.push_back(due),
                Some(index) => {
                    self.lateness.saturating_record(now.duration_since(due).as_nanos() as u64);
                    self.ask(index, due);
                }
            }
        }
    }

    /// Begins with a connection, or begins anew.
    fn connect(&mut self, index: usize, now: Instant) {
        match self.load.pace {
            Pace::Closed => self.ask(index, now),
            Pace::Open { .. } => self.offer(index),
        }
    }

    /// Sends a request that was due at `due`, on a new connection where there is none.
    fn ask(&mut self, index: usize, due: Instant) {
        let connection = &mut self.connections[index];
        if !connection.is_open() {
            let opened = connection.open(self.load.address);
            if opened.and_then(|socket| self.poller.add(socket, token(index), Interest::READ)).is_err() {
                connection.close();
                self.errors.connect += 1;
                return self.failed.push_back((index, Instant::now()));
            }
        }
        connection.ask(due, self.load.answer_bytes);
        self.go_on(index);
    }

    /// Lets a connection do what it can.
    fn go_on(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        match connection.step(&self.load.request, &mut self.buffer) {
            Step::Wants(interest) if connection.set_interest(interest) => {
                let socket = connection.socket().expect("who wants something has a socket");
                self.poller.modify(socket, token(index), interest).expect("it was added");
            }
            Step::Wants(_) => {}
            Step::Answered { due } => {
                let now = Instant::now();
                self.note(due, now);
                if self.load.closes {
                    self.close(index);
                }
                self.connect(index, now);
            }
            Step::Failed(trouble) => self.fail(index, trouble),
        }
    }

    /// Open loop: a connection is free, and what waits longest gets it.
    fn offer(&mut self, index: usize) {
        match self.waiting.pop_front() {
            Some(due) => self.ask(index, due),
            None => self.free.push(index),
        }
    }

    fn note(&mut self, due: Instant, now: Instant) {
        if self.begun.is_some_and(|begun| due >= begun) {
            self.requests += self.load.requests_per_send as u64;
            self.latencies.saturating_record((now - due).as_nanos() as u64);
        }
    }

    fn fail(&mut self, index: usize, trouble: Trouble) {
        match trouble {
            Trouble::ClosedIdle => self.free.retain(|free| *free != index),
            Trouble::Closed => self.errors.closed += 1,
            Trouble::Answer => self.errors.answer += 1,
            Trouble::Connect => self.errors.connect += 1,
        }
        self.close(index);
        self.failed.push_back((index, Instant::now()));
    }

    fn close(&mut self, index: usize) {
        if let Some(socket) = self.connections[index].socket() {
            self.poller.remove(socket).expect("it was added");
        }
        self.connections[index].close();
    }

    /// Waits for what the open loop is owed, and counts what does not come.
    fn finish(&mut self, end: Instant, interrupt: &Interrupt) -> io::Result<()> {
        let is_open_loop = self.next_due.take().is_some();
        while is_open_loop && !interrupt.came() && end.elapsed() < DRAIN_MAX && self.is_owed() {
            self.turn(Duration::from_millis(1))?;
        }
        let now = Instant::now();
        let stuck = STUCK.max(2 * Duration::from_nanos(self.latencies.max()));
        let owed: Vec<_> =
            self.connections.iter().filter_map(Connection::asked_at).chain(self.waiting.drain(..)).collect();
        for due in owed {
            if is_open_loop || now - due > stuck {
                self.errors.timeout += 1;
                self.latencies.saturating_record((now - due).as_nanos() as u64);
            }
        }
        (0..self.connections.len()).for_each(|index| self.close(index));
        Ok(())
    }

    fn is_owed(&self) -> bool {
        !self.waiting.is_empty() || self.connections.iter().any(|connection| connection.asked_at().is_some())
    }
}

fn token(index: usize) -> Token {
    Token { index: u32::try_from(index).expect("there are fewer connections"), generation: 0 }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NANOSECONDS_MAX, 3).expect("the bounds are in order")
}
