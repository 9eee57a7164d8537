//! Thousands in the room of the example `chat`, on every backend.
//!
//! They need most of what a process may open, so they have one of their own, and run one at a time.

mod backends;
mod chatting;

use backends::on_every_backend;
use chatting::chat::event::Wire;
use chatting::{Chat, connect, give_name, now, read_until};
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tripoll::poller::Strategy;
use tripoll::sys;

on_every_backend! {
    a_message_reaches_each_of_a_crowd,
}

/// Each that enters is told to all before: in the debug build fewer, since 5,000 are 12,500,000 notices.
const CROWD: usize = if cfg!(debug_assertions) { 1_000 } else { 5_000 };
/// Both ends of the crowd, and what a test process has open beside it.
const DESCRIPTORS: u64 = 2 * CROWD as u64 + 200;
/// So many ask for their names at once.
const AT_ONCE: usize = 500;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn a_message_reaches_each_of_a_crowd(strategy: Strategy) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let limit = sys::raise_descriptor_limit().unwrap();
    if limit < DESCRIPTORS {
        // Not `eprintln!`, which the harness shows of failed tests alone.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {DESCRIPTORS} descriptors needed, {limit} allowed (ulimit -Hn)");
        return;
    }
    // Nobody here answers a ping.
    let chat = Chat::with_heartbeat(strategy, Duration::from_secs(3600));
    let mut watcher = chat.terminal_of("watcher");
    let mut crowd: Vec<_> = (0..CROWD).map(|number| connect(&chat, wire(number))).collect();
    for (batch, visitors) in crowd.chunks_mut(AT_ONCE).enumerate() {
        for (at, visitor) in visitors.iter_mut().enumerate() {
            let number = batch * AT_ONCE + at;
            give_name(visitor, wire(number), number);
        }
        for _ in visitors {
            let line = watcher.line();
            assert!(line.ends_with(" entered"), "{line}");
        }
    }
    assert_eq!(chat.room.names().len(), CROWD + 1);
    let (seat, _receiver) = chat.seat_of("speaker");
    seat.say("the end", now()).unwrap();
    for (number, stream) in crowd.iter_mut().enumerate() {
        read_until(
            stream,
            match wire(number) {
                Wire::Lines => b"speaker: the end\n",
                Wire::Json => b"\"text\":\"the end\"}",
            },
        );
    }
    drop(crowd);
    assert_eq!(watcher.lines(), ["speaker entered", "speaker: the end"]);
    for _ in 0..CROWD {
        let line = watcher.line();
        assert!(line.ends_with(" left"), "{line}");
    }
}

/// By turns a terminal and a page.
fn wire(number: usize) -> Wire {
    if number.is_multiple_of(2) { Wire::Lines } else { Wire::Json }
}
