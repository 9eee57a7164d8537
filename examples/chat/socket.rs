//! The room over WebSocket, as the page speaks it: a text is a name or a message, as a line is; what comes back is JSON.

use super::event::{Event, Wire};
use super::room::{PIPE_BYTES_MAX, Room};
use super::text::TEXT_BYTES_MAX;
use super::visitor::{PAUSE, Visitor};
use std::sync::Arc;
use std::time::Duration;
use tripoll::Request;
use tripoll::http::{Answer, Reject};
use tripoll::websocket::{CloseCode, Ended, Limits, Message, Peer, Session, Upgrade};

/// Room for a message that is too long, so that it can be refused with a reason; longer ones end the socket.
const MESSAGE_BYTES_MAX: usize = 4 * TEXT_BYTES_MAX;

struct Socket(Visitor);

/// Answers requests for a socket. Who is silent for twice `heartbeat` is gone.
pub fn route(room: &Arc<Room>, heartbeat: Duration) -> impl Fn(&Request<'_>) -> Answer + Send + Sync + 'static {
    let limits = Arc::new(Limits { message_bytes_max: MESSAGE_BYTES_MAX, heartbeat, ..Limits::default() });
    let room = room.clone();
    move |request| match Upgrade::of(request) {
        // A page of another site could speak in its reader's name.
        Ok(upgrade) if !upgrade.is_same_origin() => Reject::Forbidden("a page of another site").into(),
        Ok(upgrade) => upgrade.accept(&limits, Socket(Visitor::new(room.clone(), Wire::Json))),
        Err(refusal) => refusal.into(),
    }
}

impl Session for Socket {
    fn message(&mut self, message: Message, peer: &mut Peer<'_>) {
        let Message::Text(line) = message else {
            return peer.close(CloseCode::UNSUPPORTED, "only text is spoken here");
        };
        let now = peer.now();
        if let Err(refusal) = self.0.hear(&line, now, || peer.sender(PIPE_BYTES_MAX)) {
            peer.text(&Event::Refused(refusal).json());
        }
        if self.0.is_too_fast(now.monotonic) {
            peer.pause(PAUSE);
        }
    }

    fn closed(&mut self, _: Ended) {
        self.0.leave();
    }
}
