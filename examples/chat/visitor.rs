//! Who is connected, by whatever wire: asked for a name, then a member; slowed down who says too much.

use super::event::Wire;
use super::pace::{Pace, Rate};
use super::room::{Refusal, Room, Seat};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tripoll::protocol::{Now, Sender};

/// Lines of one visitor: five a second, and ten at once.
const LINE_RATE: Rate = Rate { each: Duration::from_millis(200), burst: Duration::from_secs(2) };

/// For so long nothing is received from who was faster.
pub const PAUSE: Duration = Duration::from_secs(1);

pub struct Visitor {
    room: Arc<Room>,
    wire: Wire,
    seat: Option<Seat>,
    pace: Pace,
}

impl Visitor {
    pub fn new(room: Arc<Room>, wire: Wire) -> Visitor {
        Visitor { room, wire, seat: None, pace: Pace::new(&LINE_RATE) }
    }

    pub fn is_member(&self) -> bool {
        self.seat.is_some()
    }

    /// A line: a name until one is taken, then what is to be said.
    pub fn hear(&mut self, line: &str, now: Now, open: impl FnOnce() -> Sender) -> Result<(), Refusal> {
        self.pace.spend(1, now.monotonic);
        match &self.seat {
            Some(seat) => seat.say(line, now),
            None => {
                self.seat = Some(self.room.enter(line, self.wire, now, open)?);
                Ok(())
            }
        }
    }

    /// Whether nothing should be received for a [`PAUSE`].
    pub fn is_too_fast(&self, now: Instant) -> bool {
        self.pace.is_overspent(now)
    }

    /// Gives the seat back.
    pub fn leave(&mut self) {
        self.seat = None;
    }
}
