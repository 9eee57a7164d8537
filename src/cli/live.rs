//! What the demonstration's pages hear of the loop while it runs: its counters once a second, its turns ten times a second.
//!
//! Invariant: while nobody listens nothing is gathered. Who takes too little misses what is newest, and nobody waits for it.

use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tripoll::http::{Event, Events};
use tripoll::poller;
use tripoll::reactor::Turn;

/// What waits for a page that does not take it.
pub const WAITING_BYTES_MAX: usize = 64 * 1024;

const COUNTERS_INTERVAL: Duration = Duration::from_secs(1);
const TURNS_INTERVAL: Duration = Duration::from_millis(100);

/// Turns that are told one by one; of more in an interval, the last.
const TURNS_TOLD_MAX: usize = 24;

/// Both audiences. Handlers let listeners in, the loop tells them.
#[derive(Clone)]
pub struct Live(Arc<Shared>);

struct Shared {
    /// Somebody is in an audience. Looked at in each turn of the loop, without a lock.
    is_heard: AtomicBool,
    state: Mutex<State>,
}

struct State {
    counters: Audience,
    turns: Audience,
    gathered: Gathered,
}

/// Who hears of something, and how often.
struct Audience {
    listeners: Vec<Events>,
    interval: Duration,
    next: Option<Instant>,
}

/// Turns since they were told last.
#[derive(Default)]
struct Gathered {
    turns: u64,
    poller: poller::Counters,
    blocked: Duration,
    dispatching: Duration,
    last: VecDeque<Turn>,
}

impl Live {
    /// Without listeners.
    pub fn new() -> Live {
        let audience = |interval| Audience { listeners: Vec::new(), interval, next: None };
        let (counters, turns) = (audience(COUNTERS_INTERVAL), audience(TURNS_INTERVAL));
        let state = Mutex::new(State { counters, turns, gathered: Gathered::default() });
        Live(Arc::new(Shared { is_heard: AtomicBool::new(false), state }))
    }

    /// Whether anybody hears of anything.
    pub fn is_heard(&self) -> bool {
        self.0.is_heard.load(Ordering::Acquire)
    }

    /// Lets somebody hear of the counters, beginning with `first`.
    pub fn hear_counters(&self, events: Events, first: &Value) {
        self.state().counters.let_in(events, first);
        self.0.is_heard.store(true, Ordering::Release);
    }

    /// Lets somebody hear of the turns.
    pub fn hear_turns(&self, events: Events) {
        let mut state = self.state();
        if state.turns.listeners.is_empty() {
            state.gathered = Gathered::default(); // What the last listener left.
        }
        state.turns.let_in(events, &Gathered::default().tell());
        self.0.is_heard.store(true, Ordering::Release);
    }

    /// Notes a turn of the loop.
    pub fn note(&self, turn: &Turn) {
        let mut state = self.state();
        if !state.turns.listeners.is_empty() {
            state.gathered.note(turn);
        }
    }

    /// Tells what is due, `reading` being the counters then. After how long it has something to tell again.
    pub fn tell(&self, now: impl FnOnce() -> Instant, reading: impl FnOnce() -> Value) -> Option<Duration> {
        if !self.is_heard() {
            return None;
        }
        let mut state = self.state();
        let now = now();
        if state.counters.is_due(now) {
            state.counters.tell(&reading());
        }
        if state.turns.is_due(now) {
            let gathered = std::mem::take(&mut state.gathered);
            state.turns.tell(&gathered.tell());
        }
        let is_heard = !state.counters.listeners.is_empty() || !state.turns.listeners.is_empty();
        self.0.is_heard.store(is_heard, Ordering::Release);
        let next = state.counters.next.into_iter().chain(state.turns.next).min();
        next.map(|at| at.saturating_duration_since(now))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Audience {
    fn let_in(&mut self, events: Events, first: &Value) {
        if events.send(&event(first)).is_ok() {
            self.listeners.push(events);
        }
    }

    /// Whether it is time; if so, the next time is noted. Nobody is told when the first came: they were then.
    fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.next.is_some_and(|next| next <= now);
        self.next = match self.next {
            _ if self.listeners.is_empty() => None,
            Some(next) if !is_due => Some(next),
            Some(_) | None => now.checked_add(self.interval),
        };
        is_due && self.next.is_some()
    }

    fn tell(&mut self, what: &Value) {
        let event = event(what).encode();
        self.listeners.retain(|listener| {
            let _ = listener.send_encoded(event.clone()); // Full: it misses this one.
            listener.is_open()
        });
    }
}

impl Gathered {
    fn note(&mut self, turn: &Turn) {
        self.turns += 1;
        self.poller = self.poller + turn.poller;
        self.blocked += turn.blocked;
        self.dispatching += turn.dispatching;
        if self.last.len() == TURNS_TOLD_MAX {
            self.last.pop_front();
        }
        self.last.push_back(*turn);
    }

    fn tell(&self) -> Value {
        let told = |poller: &poller::Counters, blocked: Duration, dispatching: Duration| {
            json!({
                "passed": poller.passed,
                "scanned": poller.scanned,
                "ready": poller.ready,
                "changes": poller.changes,
                "blocked_us": micros(blocked),
                "dispatching_us": micros(dispatching),
            })
        };
        let last = self.last.iter().map(|turn| {
            let mut value = told(&turn.poller, turn.blocked, turn.dispatching);
            value["turn"] = turn.number.into();
            value
        });
        json!({ "turns": self.turns, "all": told(&self.poller, self.blocked, self.dispatching), "last": last.collect::<Vec<_>>() })
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn event(value: &Value) -> Event {
    Event::new(value.to_string())
}
