//! An open socket: what comes goes to a session, what the session and others say goes out.
//!
//! Invariant: a session hears [`opened`](Session::opened) first and [`closed`](Session::closed) last, each once. Nothing is sent after a
//! Close frame. A socket that waits has no buffer.
//!
//! ```text
//!   Open ⇄ Paused ──▶ our Close is sent: Closing ──▶ theirs came, or too late: Over
//!         └──── theirs came and is answered, what came is wrong, the peer is gone ──▶┘
//! ```

use super::frame::{self, Opcode};
use super::reader::Pace;
use super::{CloseCode, Event, Failure, Limits, Message, Reader, Step};
use crate::protocol::{Chunk, Context, Cue, Deadline, Now, OUTBOX_HIGH, Protocol, Receiver, Sender, Taken, pipe};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a socket is for.
pub trait Session {
    /// The socket is open.
    fn opened(&mut self, peer: &mut Peer<'_>) {
        let _ = peer;
    }

    /// The peer sent this.
    fn message(&mut self, message: Message, peer: &mut Peer<'_>);

    /// It is over: nothing is received any more, and nothing sent.
    fn closed(&mut self, ended: Ended) {
        let _ = ended;
    }
}

/// How a socket came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The peer closed it; why, in number and words, where it says so.
    #[allow(missing_docs)]
    ByPeer { code: Option<CloseCode>, reason: String },
    /// It was closed here: by its session, by who had the [`Sender`], or since the server goes down.
    Here,
    /// What the peer sent broke the rules, and it was told so.
    Failed(Failure),
    /// The connection broke, or the peer was silent for too long.
    Lost,
}

/// The [`Protocol`] of an open socket, from behind the answer 101 on.
pub struct Socket<S> {
    session: S,
    open: Open,
}

/// All but the session, which so can be given it.
struct Open {
    limits: Arc<Limits>,
    reader: Reader,
    frames: Option<Receiver>,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Awaiting whatever comes. `heard`: something did since the last ping, or since the beginning.
    Open { heard: bool },
    /// Nothing is received until the deadline.
    Paused,
    /// Our Close frame is sent.
    Closing,
    /// All is said.
    Over,
}

/// What becomes of a message on its way unless more of it comes. `None`: that, never.
struct Due {
    too_slow_at: Option<Instant>,
    asks_at: Option<Instant>,
}

/// The other end of an open socket, as its session has it for the length of a call.
pub struct Peer<'a> {
    open: &'a mut Open,
    cx: Context<'a>,
}

impl Peer<'_> {
    /// The time of this turn of the loop.
    pub fn now(&self) -> Now {
        self.cx.now
    }

    /// Sends a text.
    pub fn text(&mut self, text: &str) {
        self.send(Opcode::Text, text.as_bytes());
    }

    /// Sends bytes.
    pub fn binary(&mut self, bytes: &[u8]) {
        self.send(Opcode::Binary, bytes);
    }

    fn send(&mut self, opcode: Opcode, payload: &[u8]) {
        if self.open.is_open() {
            self.cx.out().write_with(|out| frame::write(out, opcode, payload));
        }
    }

    /// A way to this socket that may be kept, by a room, a timer, another thread: for frames as [`text_frame`](super::text_frame) makes
    /// them, of which up to `bound` bytes wait. What a full one means is for its owner to say. When it is closed, or dropped with its
    /// clones, the socket closes once it has sent what waits (1000); where it is cut the connection ends at once. It replaces the one
    /// before, if there was one.
    pub fn sender(&mut self, bound: usize) -> Sender {
        let (sender, receiver) = pipe(bound, self.cx.waker());
        if self.open.is_open() {
            self.open.frames = Some(receiver);
        }
        sender
    }

    /// Receives nothing for so long: for peers that say too much. What they send waits with them.
    pub fn pause(&mut self, time: Duration) {
        if self.open.is_open() {
            self.open.phase = Phase::Paused;
            self.cx.pause_input(true);
            self.cx.deadline(Deadline::After(time));
        }
    }

    /// Closes the socket: nothing more is sent. The reason is for a person; what is past 123 bytes is left out.
    pub fn close(&mut self, code: CloseCode, reason: &str) {
        if self.open.is_open() {
            self.open.close(code, reason, &mut self.cx);
        }
    }
}

impl Open {
    fn is_open(&self) -> bool {
        match self.phase {
            Phase::Open { .. } | Phase::Paused => true,
            Phase::Closing | Phase::Over => false,
        }
    }

    /// Awaits something, or the time to ask for it.
    fn listen(&mut self, heard: bool, cx: &mut Context<'_>) {
        self.phase = Phase::Open { heard };
        match self.reader.arriving() {
            Some((_, Some(pace))) => {
                pace.asks_at = cx.now.monotonic.checked_add(self.limits.heartbeat);
                self.look_again(cx);
            }
            _ => cx.deadline(Deadline::After(self.limits.heartbeat)),
        }
    }

    /// Notes that the peer is there: something of it was taken. What was left is offered again at each cue, and says nothing.
    fn hear(&mut self) {
        if let Phase::Open { heard } = &mut self.phase {
            *heard = true;
        }
    }

    /// The rest of the message that is on its way is awaited from now on, as if it had none of its first `counted_from` bytes.
    fn await_rest(&mut self, counted_from: usize, cx: &mut Context<'_>) {
        let since = cx.now.monotonic;
        if let Some((_, pace)) = self.reader.arriving() {
            *pace = Some(Pace { since, counted_from, asks_at: since.checked_add(self.limits.heartbeat) });
            self.look_again(cx);
        }
    }

    /// When the message that is on its way is too slow, and when its peer is asked whether it is there.
    fn due(&mut self) -> Option<Due> {
        let (bytes, pace) = self.reader.arriving()?;
        let pace = pace.as_ref()?;
        let moved = (bytes - pace.counted_from) as u64;
        let too_slow_at = self.limits.message_rate_min.falls_short_at(pace.since, moved);
        Some(Due { too_slow_at, asks_at: pace.asks_at })
    }

    /// Until now nothing of it could be taken, however fast it came.
    fn await_anew(&mut self, cx: &mut Context<'_>) {
        if let Some((bytes, Some(_))) = self.reader.arriving() {
            self.await_rest(bytes, cx);
        }
    }

    /// Sets the deadline for such a message. It stays as it is whatever comes: when it passes, that is seen.
    fn look_again(&mut self, cx: &mut Context<'_>) {
        if let Some(due) = self.due() {
            let first = due.too_slow_at.into_iter().chain(due.asks_at).min();
            cx.deadline(first.map_or(Deadline::Never, Deadline::At));
        }
    }

    /// Sends our Close frame and awaits theirs.
    fn close(&mut self, code: CloseCode, reason: &str, cx: &mut Context<'_>) {
        cx.out().write_with(|out| frame::write_close(out, Some(code), reason));
        self.phase = Phase::Closing;
        self.frames = None;
        cx.pause_input(false);
        cx.deadline(Deadline::After(self.limits.close_timeout));
    }

    /// All is said.
    fn finish(&mut self, cx: &mut Context<'_>) {
        self.phase = Phase::Over;
        self.frames = None;
        cx.deadline(Deadline::Never);
        cx.finish();
    }

    /// Moves frames that wait into the outbox, as many as there is room for.
    fn drain(&mut self, cx: &mut Context<'_>) {
        while let Some(frames) = &self.frames
            && (cx.out().queued() < OUTBOX_HIGH || frames.is_cut())
        {
            match frames.take() {
                Taken::Bytes(frame) => cx.out().append(Chunk::Shared(frame)),
                Taken::Empty => return,
                Taken::Ended => self.close(CloseCode::NORMAL, "", cx),
                Taken::Cut => {
                    self.finish(cx);
                    cx.abort();
                }
            }
        }
    }
}

impl<S: Session> Socket<S> {
    /// A socket that is open as soon as it is [`Cue::Opened`].
    pub fn new(limits: Arc<Limits>, session: S) -> Socket<S> {
        let open = Open { limits, reader: Reader::default(), frames: None, phase: Phase::Open { heard: true } };
        Socket { session, open }
    }

    /// Lets the session speak. It may close the socket.
    fn tell(&mut self, cx: &mut Context<'_>, tell: impl FnOnce(&mut S, &mut Peer<'_>)) {
        let mut peer = Peer { open: &mut self.open, cx: cx.reborrow() };
        tell(&mut self.session, &mut peer);
        self.tell_if_closed();
    }

    /// To be called after what may close an open socket.
    fn tell_if_closed(&mut self) {
        if !self.open.is_open() {
            self.session.closed(Ended::Here);
        }
    }

    /// The end, if it has not been before.
    fn end(&mut self, ended: Ended, cx: &mut Context<'_>) {
        if self.open.is_open() {
            self.open.finish(cx);
            self.session.closed(ended);
        } else {
            self.open.finish(cx);
        }
    }

    /// The peer is told why it is over.
    fn fail(&mut self, failure: Failure, cx: &mut Context<'_>) {
        if self.open.is_open() {
            cx.out().write_with(|out| frame::write_close(out, Some(failure.code), failure.reason));
        }
        self.end(Ended::Failed(failure), cx);
    }

    /// A deadline has passed: a message is too slow, or the peer is to be asked whether it is there, or was and said nothing.
    fn look(&mut self, heard: bool, cx: &mut Context<'_>) {
        let now = cx.now.monotonic;
        let is_past = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        match self.open.due() {
            Some(due) if is_past(due.too_slow_at) => self.fail(Failure::too_slow(), cx),
            Some(due) if !is_past(due.asks_at) => self.open.look_again(cx),
            _ if heard => {
                cx.out().write_with(|out| frame::write(out, Opcode::Ping, b""));
                self.open.listen(false, cx);
            }
            _ => {
                self.end(Ended::Lost, cx);
                cx.abort(); // Nobody is there to be told.
            }
        }
    }

    fn receive_event(&mut self, event: Event, cx: &mut Context<'_>) {
        let is_open = self.open.is_open();
        match event {
            Event::Message(message) if is_open => self.tell(cx, |session, peer| session.message(message, peer)),
            Event::Ping(payload) if is_open => cx.out().write_with(|out| frame::write(out, Opcode::Pong, &payload)),
            Event::Message(_) | Event::Ping(_) | Event::Pong(_) => {}
            Event::Close { code, reason } => {
                if is_open {
                    cx.out().write_with(|out| frame::write_close(out, code, "")); // RFC 6455 §5.5.1: the same code.
                }
                self.end(Ended::ByPeer { code, reason }, cx);
            }
        }
    }
}

impl<S: Session> Protocol for Socket<S> {
    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        let was_awaited = self.open.due().is_some();
        match self.open.reader.step(input, self.open.limits.message_bytes_max) {
            Ok(Step::More) => 0,
            Ok(Step::Partly(taken)) => {
                self.open.hear();
                if self.open.is_open() && !was_awaited {
                    self.open.await_rest(0, cx);
                }
                taken
            }
            Ok(Step::Whole(taken, event)) => {
                self.open.hear();
                if self.open.is_open() && was_awaited && matches!(event, Event::Message(_)) {
                    self.open.listen(true, cx);
                }
                self.receive_event(event, cx);
                taken
            }
            Err(failure) => {
                self.fail(failure, cx);
                input.len()
            }
        }
    }

    fn cue(&mut self, cue: Cue, cx: &mut Context<'_>) {
        match (cue, self.open.phase) {
            (Cue::Opened, _) => {
                self.open.listen(true, cx);
                self.tell(cx, Session::opened);
            }
            (Cue::DeadlinePassed, Phase::Open { heard }) => self.look(heard, cx),
            (Cue::DeadlinePassed, Phase::Paused) => {
                cx.pause_input(false);
                self.open.listen(true, cx);
            }
            (Cue::Room | Cue::Woken, Phase::Open { .. } | Phase::Paused) => {
                if cue == Cue::Room {
                    self.open.await_anew(cx);
                }
                self.open.drain(cx);
                self.tell_if_closed();
            }
            (Cue::ShuttingDown, Phase::Open { .. } | Phase::Paused) => {
                self.open.close(CloseCode::GOING_AWAY, "", cx);
                self.tell_if_closed();
            }
            (Cue::EndOfInput | Cue::Closed, _) | (Cue::DeadlinePassed, Phase::Closing) => self.end(Ended::Lost, cx),
            (Cue::Room | Cue::Woken | Cue::ShuttingDown, Phase::Closing | Phase::Over)
            | (Cue::DeadlinePassed, Phase::Over) => {}
        }
    }

    fn input_max(&self) -> usize {
        Reader::INPUT_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beside its session, and with the same slot as any connection: what an idle socket takes.
    #[test]
    fn an_idle_socket_is_small() {
        const { assert!(size_of::<Socket<()>>() <= 32) };
    }

    impl Session for () {
        fn message(&mut self, _message: Message, _peer: &mut Peer<'_>) {}
    }
}
