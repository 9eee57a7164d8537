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
use super::load::{Errors, Load, Measured, Moment, Pace};
use super::machine;
use hdrhistogram::Histogram;
use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};
use tripoll::poller::{Event, Interest, Poller, Strategy, Token, Trigger};
use tripoll::sys::{self, CpuTime, Whose};

/// A connection that failed is tried again no earlier than this.
const RETRY: Duration = Duration::from_millis(10);

/// How long it waits for answers that are owed: the open loop at its end, where what is then missing is an error, with the time it took so
/// far; a load that settles before it counts and after.
const DRAIN_MAX: Duration = Duration::from_secs(3);

/// A due time nearer than this is waited for by looking at the clock: the waits' own unit is a millisecond.
const SPIN: Duration = Duration::from_millis(2);

/// How much longer than it was asked to the closed loop goes on where not as many requests were answered as it has connections: a server
/// that takes seconds for them would else be measured by a few, or by none.
const LONGER_MAX: Duration = Duration::from_secs(10);

/// Connections that are opened at a time where all are opened first, and how long no answer may come meanwhile.
const OPENED_AT_A_TIME: usize = 128;
const OPENING_PATIENCE: Duration = Duration::from_secs(10);

/// How often it is looked whether somebody pressed Ctrl-C.
const LOOK: Duration = Duration::from_millis(50);

/// A closed loop's request that is older than this at the end, and than twice what any other took, was stuck.
const STUCK: Duration = Duration::from_secs(1);

/// Latencies beyond are recorded as this.
const LATENCY_NANOSECONDS_MAX: u64 = 60_000_000_000;

/// What connections do that were answered, in the closed loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// They wait until all are open.
    Opening,
    /// They ask again.
    Asking,
    /// They wait until nothing is owed to anybody.
    Settling,
}

/// Runs `load`; `look` is called at each [`Moment`].
///
/// # Errors
/// What the poller, getrusage(2) and `look` say; what happens to connections is counted instead.
pub fn run(load: &Load, interrupt: &Interrupt, mut look: impl FnMut(Moment) -> io::Result<()>) -> io::Result<Measured> {
    let mut generator = Generator::new(load)?;
    if load.settles.is_some() && !load.closes {
        let was_interrupted = generator.open_all(interrupt)?;
        if was_interrupted || generator.free.len() < generator.connections.len() {
            return Ok(Measured { opened: generator.free.len(), was_interrupted, ..generator.measured() });
        }
        generator.free.clear();
    }
    let start = Instant::now();
    for index in 0..generator.connections.len() {
        match load.closes {
            true => generator.connect(index, start),
            false => generator.ask(index, start), // Open before it counts, in the open loop too.
        }
    }
    let mut was_interrupted = generator.turn_until(start + load.warm_up, interrupt)?;
    was_interrupted |= generator.settle(interrupt)?;
    look(Moment::Begin)?;
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
    was_interrupted |= generator.settle(interrupt)?;
    look(Moment::End)?;
    generator.finish(end, interrupt)?;
    let cpu = CpuTime { user: cpu_after.user - cpu_before.user, system: cpu_after.system - cpu_before.system };
    Ok(Measured { elapsed: end - begun, cpu, delayed, was_interrupted, ..generator.measured() })
}

struct Generator<'a> {
    load: &'a Load,
    poller: Box<dyn Poller>,
    connections: Vec<Connection>,
    /// Which of them were answered since it counts.
    is_served: Vec<bool>,
    phase: Phase,
    events: Vec<Event>,
    buffer: Box<[u8]>,
    /// Connections that are owed nothing: in the open loop, and while others are waited for.
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
            connections: (0..load.connections_in_all()).map(|_| Connection::default()).collect(),
            is_served: vec![false; load.connections_in_all()],
            phase: Phase::Asking,
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

    /// What was counted.
    fn measured(self) -> Measured {
        let is_counted = |(index, is_served): &(usize, bool)| *is_served && self.load.is_measured(*index);
        Measured {
            opened: self.connections.len(),
            served: self.is_served.iter().copied().enumerate().filter(is_counted).count(),
            requests: self.requests,
            errors: self.errors,
            latencies: self.latencies,
            lateness: self.lateness,
            elapsed: Duration::ZERO,
            cpu: CpuTime::default(),
            delayed: Duration::ZERO,
            was_interrupted: false,
        }
    }

    /// Opens all connections, each with a first answer, or as many as can be had. Whether it was interrupted.
    fn open_all(&mut self, interrupt: &Interrupt) -> io::Result<bool> {
        self.phase = Phase::Opening;
        let (mut asked, mut answered, mut answered_at) = (0, 0, Instant::now());
        loop {
            let failed = self.errors.total() as usize;
            let is_all = failed > 0 || asked == self.connections.len();
            let owed = asked - (self.free.len() + failed).min(asked);
            if is_all && owed == 0 || answered_at.elapsed() > OPENING_PATIENCE {
                self.phase = Phase::Asking;
                return Ok(false);
            }
            if interrupt.came() {
                return Ok(true);
            }
            if !is_all && owed < OPENED_AT_A_TIME {
                self.ask(asked, Instant::now());
                asked += 1;
                continue;
            }
            self.turn(LOOK)?;
            if self.free.len() > answered {
                (answered, answered_at) = (self.free.len(), Instant::now());
            }
        }
    }

    /// Waits until nothing is owed, where the load is one that settles. Whether it was interrupted.
    fn settle(&mut self, interrupt: &Interrupt) -> io::Result<bool> {
        if self.load.settles.is_none() {
            return Ok(false);
        }
        self.phase = Phase::Settling;
        self.wait_for_owed(Instant::now(), interrupt)?;
        Ok(interrupt.came())
    }

    fn wait_for_owed(&mut self, since: Instant, interrupt: &Interrupt) -> io::Result<()> {
        while !interrupt.came() && since.elapsed() < DRAIN_MAX && self.is_owed() {
            self.turn(Duration::from_millis(1))?;
        }
        Ok(())
    }

    /// From now on it counts.
    fn begin(&mut self, now: Instant) {
        self.begun = Some(now);
        self.errors = Errors::default();
        self.is_served.fill(false);
        self.waiting.clear();
        self.next_due = self.next_due.map(|_| now);
        if self.phase == Phase::Settling {
            self.phase = Phase::Asking;
            std::mem::take(&mut self.free).into_iter().for_each(|index| self.connect(index, now));
        }
    }

    /// Whether less was answered than is worth a figure, though nothing went wrong. That a connection ends which was in use may be the server's right.
    fn is_short(&self) -> bool {
        let asked_since = self.latencies.len() * self.load.requests_per_send as u64;
        asked_since < self.load.connections as u64 && self.errors.total() == self.errors.closed
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
        match (self.load.pace, self.phase) {
            (Pace::Closed, Phase::Asking) => self.ask(index, now),
            (Pace::Closed, Phase::Settling) => self.free.push(index),
            (Pace::Closed, Phase::Opening) => {} // What failed stays so.
            (Pace::Open { .. }, _) => self.offer(index),
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
        connection.ask(due, self.load.ask_of(index, self.phase == Phase::Opening).answer_bytes);
        self.go_on(index);
    }

    /// Lets a connection do what it can.
    fn go_on(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        match connection.step(&self.load.ask_of(index, self.phase == Phase::Opening).request, &mut self.buffer) {
            Step::Wants(interest) if connection.set_interest(interest) => {
                let socket = connection.socket().expect("who wants something has a socket");
                self.poller.modify(socket, token(index), interest).expect("it was added");
            }
            Step::Wants(_) => {}
            Step::Answered { due } => {
                let now = Instant::now();
                self.is_served[index] = true;
                if self.load.is_measured(index) {
                    self.note(due, now);
                }
                match (self.phase, self.load.closes) {
                    (Phase::Opening, _) => return self.free.push(index),
                    (Phase::Asking | Phase::Settling, true) => self.close(index),
                    (Phase::Asking | Phase::Settling, false) => {}
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
        let Some(begun) = self.begun else { return };
        let was_due = due >= begun;
        // In the closed loop as many are on their way when it begins to count as when it ends: the former count for the latter.
        if self.phase == Phase::Asking && (was_due || self.load.pace == Pace::Closed) {
            self.requests += self.load.requests_per_send as u64;
        }
        if was_due {
            self.latencies.saturating_record((now - due).as_nanos() as u64);
        }
    }

    fn fail(&mut self, index: usize, trouble: Trouble) {
        match trouble {
            Trouble::ClosedIdle if self.phase != Phase::Opening => self.free.retain(|free| *free != index),
            Trouble::Closed | Trouble::ClosedIdle => self.errors.closed += 1,
            Trouble::TurnedAway => self.errors.turned_away += 1,
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
        if is_open_loop {
            self.wait_for_owed(end, interrupt)?;
        }
        let now = Instant::now();
        let stuck = STUCK.max(2 * Duration::from_nanos(self.latencies.max()));
        let asked = self.connections.iter().zip(&self.is_served);
        let owed = asked.filter_map(|(connection, is_served)| Some((connection.asked_at()?, *is_served)));
        let owed: Vec<_> = owed.chain(self.waiting.drain(..).map(|due| (due, true))).collect();
        for (due, is_served) in owed {
            if is_open_loop || now - due > stuck {
                match is_open_loop || is_served {
                    true => self.errors.timeout += 1,
                    false => self.errors.starved += 1,
                }
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
