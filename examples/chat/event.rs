//! What members are told, and how it is written: as a line for terminals, as JSON in a frame for pages.
//!
//! Invariant: what all are told is written once for each kind of wire, however many there are.

use super::room::Refusal;
use super::text::Text;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tripoll::websocket::text_frame;

/// Names that a terminal is told of at most.
const NAMES_SHOWN_MAX: usize = 20;

/// How a member is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// Raw TCP.
    Lines,
    /// A page, over WebSocket.
    Json,
}

/// What happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// To who entered: who else is there, and how many messages follow that were said before. `room` tells this room from the one before the server was started anew.
    Welcome {
        room: u64,
        name: &'a str,
        others: Vec<&'a str>,
        history: usize,
    },
    Entered {
        name: &'a str,
    },
    /// The messages of a room are numbered, so that who comes again knows which it has.
    Said {
        number: u64,
        name: &'a str,
        text: &'a Text,
        at: SystemTime,
    },
    Left {
        name: &'a str,
    },
    /// To somebody whose line is not taken.
    Refused(Refusal),
    /// To who has to leave.
    Removed,
}

impl Event<'_> {
    pub fn write(&self, wire: Wire) -> Arc<[u8]> {
        match wire {
            Wire::Lines => self.line().into_bytes().into(),
            Wire::Json => text_frame(&self.json()),
        }
    }

    /// For all: once for each kind of wire.
    pub fn write_once(&self) -> Written {
        Written { line: self.write(Wire::Lines), frame: self.write(Wire::Json) }
    }

    /// What a terminal is told.
    pub fn line(&self) -> String {
        match self {
            Event::Welcome { name, others, history, .. } => {
                format!("Welcome, {name}. {}.{}\n", here(others), before(*history))
            }
            Event::Entered { name } => format!("{name} entered\n"),
            Event::Said { name, text, .. } => format!("{name}: {}\n", text.as_str()),
            Event::Left { name } => format!("{name} left\n"),
            Event::Refused(refusal) => format!("({refusal})\n"),
            Event::Removed => "(you were asked to leave)\n".to_string(),
        }
    }

    /// What a page is told.
    pub fn json(&self) -> String {
        let value = match self {
            Event::Welcome { room, name, others, history } => {
                json!({ "kind": "welcome", "room": room, "name": name, "others": others, "history": history })
            }
            Event::Entered { name } => json!({ "kind": "entered", "name": name }),
            Event::Said { number, name, text, at } => {
                let at_ms = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis() as u64;
                json!({ "kind": "said", "number": number, "name": name, "text": text.as_str(), "at": at_ms })
            }
            Event::Left { name } => json!({ "kind": "left", "name": name }),
            Event::Refused(refusal) => {
                json!({ "kind": "refused", "reason": refusal.to_string(), "mayPass": refusal.may_pass() })
            }
            Event::Removed => json!({ "kind": "removed" }),
        };
        value.to_string()
    }
}

/// Who is here, in words.
fn here(names: &[&str]) -> String {
    let shown = names[..names.len().min(NAMES_SHOWN_MAX)].join(", ");
    match names.len() {
        0 => "Nobody else is here".to_string(),
        1 => format!("One other is here: {shown}"),
        count @ ..=NAMES_SHOWN_MAX => format!("{count} others are here: {shown}"),
        count => format!("{count} others are here: {shown} and {} more", count - NAMES_SHOWN_MAX),
    }
}

/// What follows, in words.
fn before(messages: usize) -> String {
    match messages {
        0 => String::new(),
        1 => " The last message:".to_string(),
        count => format!(" The last {count} messages:"),
    }
}

/// An event as all members get it.
#[derive(Debug, Clone)]
pub struct Written {
    line: Arc<[u8]>,
    frame: Arc<[u8]>,
}

impl Written {
    pub fn on(&self, wire: Wire) -> Arc<[u8]> {
        match wire {
            Wire::Lines => self.line.clone(),
            Wire::Json => self.frame.clone(),
        }
    }

    pub fn bytes(&self) -> usize {
        self.line.len().max(self.frame.len())
    }
}
