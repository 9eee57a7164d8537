//! What says back what it is told: bytes, and messages of a WebSocket.
#![allow(dead_code)] // Not every test needs both.

use tripoll::protocol::{Context, Cue, Protocol};
use tripoll::websocket::{Message, Peer, Session};

/// Says back bytes, until the end.
pub struct Bytes;

impl Protocol for Bytes {
    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        cx.out().write(input);
        input.len()
    }

    fn cue(&mut self, cue: Cue, cx: &mut Context<'_>) {
        if cue == Cue::EndOfInput {
            cx.finish();
        }
    }

    fn input_max(&self) -> usize {
        1
    }
}

/// Says back messages.
pub struct Messages;

impl Session for Messages {
    fn message(&mut self, message: Message, peer: &mut Peer<'_>) {
        match message {
            Message::Text(text) => peer.text(&text),
            Message::Binary(bytes) => peer.binary(&bytes),
        }
    }
}
