//! The room: who is in it, what was said, and who is told.
//!
//! Invariant: a name has one seat; a seat that is given back, or lost with its connection, is told of. Nobody waits for a member: each has
//! a bounded pipe, and one whose pipe is full is cut off. What is said in one turn of the loop fits into a pipe that is empty, so that
//! who reads is never taken for who does not.
//!
//! ```text
//!   lines ──┐                                     ┌─▶ Sender ─▶ lines
//!   socket ─┼─▶ Visitor ─▶ Seat ─▶ Room ─▶ Event ─┼─▶ Sender ─▶ socket       written once for each kind of wire
//!   operator┘                                     └─▶ Sender ─▶ operator
//! ```

use super::event::{Event, Wire, Written};
use super::name::{BadName, NAME_BYTES_MAX, Name};
use super::pace::{Pace, Rate};
use super::text::{TEXT_BYTES_MAX, Text, TooLong};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tripoll::protocol::{Now, SendError, Sender};

/// Messages that a late comer gets.
pub const HISTORY_MAX: usize = 50;

/// Members of a room, the operator among them.
pub const MEMBERS_MAX: usize = 6_000;

/// What may wait for a member.
pub const PIPE_BYTES_MAX: usize = 1024 * 1024;

/// What all of a room say together: a megabyte a second, and a quarter of one at once.
const ROOM_RATE: Rate = Rate { each: Duration::from_micros(1), burst: Duration::from_micros(ROOM_BYTES_AT_ONCE) };
const ROOM_BYTES_AT_ONCE: u64 = 256 * 1024;

/// What a message counts for in a pipe beside its bytes.
const PLACE_BYTES: usize = 32;

/// Names of fields, the head of a frame, a place, and a name of which JSON writes each character as two.
const NOTICE_BYTES_MAX: usize = 32 + PLACE_BYTES + 2 * NAME_BYTES_MAX;

/// A few numbers more, and a text of which each character is replaced by one of three bytes.
const SAID_BYTES_MAX: usize = NOTICE_BYTES_MAX + 80 + 3 * TEXT_BYTES_MAX;

// All may leave at once, after as much was said as may be; and behind a welcome with all names goes the history.
const _: () = assert!(ROOM_BYTES_AT_ONCE as usize + SAID_BYTES_MAX + MEMBERS_MAX * NOTICE_BYTES_MAX <= PIPE_BYTES_MAX);
const _: () = assert!(HISTORY_MAX * SAID_BYTES_MAX + MEMBERS_MAX * (2 * NAME_BYTES_MAX + 3) <= PIPE_BYTES_MAX);

/// Shared by the loop's connections and the operator's thread.
pub struct Room {
    id: u64,
    state: Mutex<State>,
}

struct State {
    /// By the key of their names.
    members: BTreeMap<String, Member>,
    history: VecDeque<Written>,
    said: u64,
    pace: Pace,
}

struct Member {
    name: Arc<str>,
    wire: Wire,
    sender: Sender,
}

/// A member's place. Dropping it is leaving.
pub struct Seat {
    room: Arc<Room>,
    key: String,
    name: Arc<str>,
}

/// Why a line is not taken. Who sent it may try another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Name(BadName),
    Taken,
    Full,
    Busy,
    TooLong,
}

impl Room {
    /// A room that is opened now.
    pub fn new(now: SystemTime) -> Arc<Room> {
        let id = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis() as u64;
        let (members, history) = (BTreeMap::new(), VecDeque::new());
        let state = State { members, history, said: 0, pace: Pace::new(&ROOM_RATE) };
        Arc::new(Room { id, state: Mutex::new(state) })
    }

    /// Gives the name in `line` a seat, which is written to by what `open` opens: a welcome and the last messages first.
    pub fn enter(
        self: &Arc<Self>,
        line: &str,
        wire: Wire,
        now: Now,
        open: impl FnOnce() -> Sender,
    ) -> Result<Seat, Refusal> {
        let Name { shown, key } = Name::new(line)?;
        let mut state = self.state();
        if state.members.contains_key(&key) {
            return Err(Refusal::Taken);
        }
        if state.members.len() >= MEMBERS_MAX {
            return Err(Refusal::Full);
        }
        let entered = Event::Entered { name: &shown }.write_once();
        state.spend(&entered, now)?;

        let others = state.members.values().map(|member| &*member.name).collect();
        let welcome = Event::Welcome { room: self.id, name: &shown, others, history: state.history.len() }.write(wire);
        state.tell_all(&entered, None);
        let member = Member { name: shown.as_str().into(), wire, sender: open() };
        member.tell(welcome);
        state.history.iter().for_each(|said| member.tell(said.on(wire)));
        let name = member.name.clone();
        state.members.insert(key.clone(), member);
        Ok(Seat { room: self.clone(), key, name })
    }

    /// Asks somebody to leave: whether there is one of that name.
    pub fn kick(&self, line: &str) -> bool {
        let Ok(Name { key, .. }) = Name::new(line) else { return false };
        let state = self.state();
        let Some(member) = state.members.get(&key) else { return false };
        match member.sender.send(Event::Removed.write(member.wire)) {
            Ok(()) => member.sender.close(), // Once that is read it is over, and the seat free.
            Err(_) => member.sender.cut(),
        }
        true
    }

    /// Who is here.
    pub fn names(&self) -> Vec<Arc<str>> {
        self.state().members.values().map(|member| member.name.clone()).collect()
    }

    /// A thread that panicked while it held the lock left the room as it was: sending does not panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Tells the others what was said in `line`, if anything was; who reads lines has seen his own as he typed it.
    pub fn say(&self, line: &str, now: Now) -> Result<(), Refusal> {
        let Some(text) = Text::new(line)? else { return Ok(()) };
        let mut state = self.room.state();
        let event = Event::Said { number: state.said + 1, name: &self.name, text: &text, at: now.wall };
        let written = event.write_once();
        state.spend(&written, now)?;
        state.said += 1;
        state.tell_all(&written, Some(&self.key));
        if state.history.len() == HISTORY_MAX {
            state.history.pop_front();
        }
        state.history.push_back(written);
        Ok(())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.room.state();
        state.members.remove(&self.key);
        state.tell_all(&Event::Left { name: &self.name }.write_once(), None);
    }
}

impl State {
    /// Counts what is about to be told, or says that too much was.
    fn spend(&mut self, written: &Written, now: Now) -> Result<(), Refusal> {
        if self.pace.is_overspent(now.monotonic) {
            return Err(Refusal::Busy);
        }
        self.pace.spend((written.bytes() + PLACE_BYTES) as u32, now.monotonic);
        Ok(())
    }

    fn tell_all(&self, written: &Written, speaker: Option<&str>) {
        for (key, member) in &self.members {
            let has_seen = member.wire == Wire::Lines && Some(key.as_str()) == speaker;
            if !has_seen {
                member.tell(written.on(member.wire));
            }
        }
    }
}

impl Member {
    /// A member that reads too slowly is cut off. Its connection, once it sees that, gives the seat back.
    fn tell(&self, bytes: Arc<[u8]>) {
        match self.sender.send(bytes) {
            Ok(()) | Err(SendError::Closed) => {} // Closed: it is leaving, and has its last bytes.
            Err(SendError::Full) => self.sender.cut(),
        }
    }
}

impl Refusal {
    /// Whether the same line may be taken later.
    pub fn may_pass(self) -> bool {
        match self {
            Refusal::Taken | Refusal::Full | Refusal::Busy => true,
            Refusal::Name(_) | Refusal::TooLong => false,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Name(bad) => write!(f, "{bad}; another name?"),
            Refusal::Taken => f.write_str("that name is taken; another name?"),
            Refusal::Full => f.write_str("the room is full; try later"),
            Refusal::Busy => f.write_str("too much is going on here: that was not taken, try again"),
            Refusal::TooLong => TooLong.fmt(f),
        }
    }
}

impl From<BadName> for Refusal {
    fn from(bad: BadName) -> Refusal {
        Refusal::Name(bad)
    }
}

impl From<TooLong> for Refusal {
    fn from(_: TooLong) -> Refusal {
        Refusal::TooLong
    }
}
