//! WebSocket (RFC 6455), without sockets or clocks: the opening handshake is a request and its answer, and what follows a
//! [`Protocol`](crate::protocol::Protocol) on the same connection.
//!
//! Invariant: what a client sends is read in one way, or fails the connection at the byte that says so; a text that a session sees is
//! UTF-8, and nothing is sent after a Close frame.
//!
//! ```text
//!   Request ─▶ Upgrade ─▶ 101 ─▶ Socket:
//!                               input ─▶ Reader ─▶ Message ─▶ Session ─▶ Peer ─▶ Outbox
//!                                        frames, masks,                           ▲
//!                                        UTF-8, sizes        Receiver of frames ──┘◀─ Sender ─ a room, a timer, another thread
//! ```
//!
//! ```no_run
//! use std::sync::Arc;
//! use tripoll::HttpServer;
//! use tripoll::websocket::{self, Limits, Message, Peer, Session};
//!
//! struct Echo;
//!
//! impl Session for Echo {
//!     fn message(&mut self, message: Message, peer: &mut Peer<'_>) {
//!         match message {
//!             Message::Text(text) => peer.text(&text),
//!             Message::Binary(bytes) => peer.binary(&bytes),
//!         }
//!     }
//! }
//!
//! fn main() -> tripoll::Result<()> {
//!     let limits = Arc::new(Limits::default());
//!     HttpServer::new("127.0.0.1:8000", "static")
//!         .route("GET", "/echo", move |request| websocket::upgrade(request, &limits, Echo))
//!         .serve_forever()
//! }
//! ```

mod close;
mod frame;
mod handshake;
mod reader;
mod socket;
mod text;

pub use close::{CloseCode, Failure};
pub use frame::{binary_frame, text_frame};
pub use handshake::Upgrade;
pub use reader::{Event, Reader, Step};
pub use socket::{Ended, Peer, Session, Socket};

use crate::http::{Answer, Request};
use std::sync::Arc;
use std::time::Duration;

/// Answers a request for a socket, with whom `session` then speaks; to others it says what is missing. Who has subprotocols, or looks at
/// the Origin, begins with [`Upgrade::of`].
pub fn upgrade<S: Session + 'static>(request: &Request<'_>, limits: &Arc<Limits>, session: S) -> Answer {
    match Upgrade::of(request) {
        Ok(upgrade) => upgrade.accept(limits, session),
        Err(refusal) => refusal.into(),
    }
}

/// A message, whole, however many frames it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Text.
    Text(String),
    /// Anything else.
    Binary(Vec<u8>),
}

/// The bounds of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a message, over all its frames: 1009 past it. A socket has memory for them only while a message is on its way.
    pub message_bytes_max: usize,
    /// How often the peer is asked whether it is still there. One that says nothing from one ping to the next is gone, which so is noticed
    /// within twice this time. [`Duration::MAX`]: it is never asked.
    pub heartbeat: Duration,
    /// How long the peer's Close frame is awaited once ours is sent.
    pub close_timeout: Duration,
}

impl Default for Limits {
    /// A megabyte as for bodies. Half a minute: proxies cut what is silent for one.
    fn default() -> Limits {
        Limits {
            message_bytes_max: 1024 * 1024,
            heartbeat: Duration::from_secs(30),
            close_timeout: Duration::from_secs(5),
        }
    }
}
