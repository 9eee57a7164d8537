//! Thousands in the room of the example `chat`, on every backend.
//!
//! They need most of what a process may open, so they have one of their own, and run one at a time.

mod backends;
mod chatting;

use backends::on_every_backend;
use chatting::{Chat, PATIENCE, now};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
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
    let mut crowd: Vec<_> = (0..CROWD).map(|number| visitor(&chat, number)).collect();
    for (batch, visitors) in crowd.chunks_mut(AT_ONCE).enumerate() {
        for (at, visitor) in visitors.iter_mut().enumerate() {
            give_name(visitor, batch * AT_ONCE + at);
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
        read_until(stream, if number % 2 == 0 { b"speaker: the end\n" } else { b"\"text\":\"the end\"}" });
    }
    drop(crowd);
    assert_eq!(watcher.lines(), ["speaker entered", "speaker: the end"]);
    for _ in 0..CROWD {
        let line = watcher.line();
        assert!(line.ends_with(" left"), "{line}");
    }
}

/// One who is asked for a name: by turns at a terminal and at a page.
fn visitor(chat: &Chat, number: usize) -> TcpStream {
    if number.is_multiple_of(2) {
        let mut stream = connect(chat.lines);
        read_until(&mut stream, b"?\n");
        return stream;
    }
    let mut stream = connect(chat.page);
    let request = "GET /room HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    read_until(&mut stream, b"\r\n\r\n");
    stream
}

fn give_name(stream: &mut TcpStream, number: usize) {
    let name = format!("member-{number}");
    let bytes = match number.is_multiple_of(2) {
        true => format!("{name}\n").into_bytes(),
        false => [&[0x81, 0x80 | name.len() as u8, 0, 0, 0, 0], name.as_bytes()].concat(), // Masked with zeros.
    };
    stream.write_all(&bytes).unwrap();
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[track_caller]
fn read_until(stream: &mut TcpStream, end: &[u8]) {
    let (mut read, mut buffer) = (Vec::new(), [0; 64 * 1024]);
    while !read.ends_with(end) {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "it ended after {}", String::from_utf8_lossy(&read[read.len().saturating_sub(100)..]));
        read.extend_from_slice(&buffer[..count]);
    }
}
