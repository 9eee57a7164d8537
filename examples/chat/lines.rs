//! The room over raw TCP, as `nc` speaks it: a line is a name or a message.
//!
//! Invariant: a line is bounded; what is longer is thrown away to its end. Who ends his side of the stream (`nc -N` at the end of its
//! input) has left: what waits for him is still sent.

use super::event::{Event, Wire};
use super::room::{PIPE_BYTES_MAX, Refusal, Room};
use super::text::TEXT_BYTES_MAX;
use super::visitor::{PAUSE, Visitor};
use std::sync::Arc;
use std::time::Duration;
use tripoll::protocol::{Context, Cue, Deadline, OUTBOX_HIGH, Protocol, Receiver, Taken, pipe};

/// A message and its "\r\n".
const LINE_BYTES_MAX: usize = TEXT_BYTES_MAX + 2;

/// How long a name is waited for. Where connections are short who has none gives way to others.
const NAME_TIMEOUT: Duration = Duration::from_secs(120);

const QUESTION: &[u8] = b"What is your name?\n";

pub struct Lines {
    visitor: Visitor,
    /// What the room has for a member.
    receiver: Option<Receiver>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Awaiting lines.
    Listening,
    /// Within a line that is too long.
    Skipping,
    /// Too many came; those behind them wait.
    Paused,
}

impl Lines {
    pub fn new(room: Arc<Room>) -> Lines {
        Lines { visitor: Visitor::new(room, Wire::Lines), receiver: None, state: State::Listening }
    }

    /// A line, without its end. What is not UTF-8 in it is replaced.
    fn hear(&mut self, line: &[u8], cx: &mut Context<'_>) {
        let receiver = &mut self.receiver;
        let open = || {
            let (sender, theirs) = pipe(PIPE_BYTES_MAX, cx.waker());
            *receiver = Some(theirs);
            sender
        };
        let heard = self.visitor.hear(&String::from_utf8_lossy(line), cx.now, open);
        self.go_on(heard, cx);
    }

    /// Says what was not taken, and awaits the next line, or the time for it.
    fn go_on(&mut self, heard: Result<(), Refusal>, cx: &mut Context<'_>) {
        if let Err(refusal) = heard {
            cx.out().write(&Event::Refused(refusal).write(Wire::Lines));
        }
        if self.visitor.is_too_fast(cx.now.monotonic) {
            self.state = State::Paused;
            cx.pause_input(true);
            cx.deadline(Deadline::After(PAUSE));
        } else {
            self.listen(cx);
        }
    }

    fn listen(&mut self, cx: &mut Context<'_>) {
        self.state = State::Listening;
        cx.pause_input(false);
        cx.deadline(if self.visitor.is_member() { Deadline::Never } else { Deadline::Idle(NAME_TIMEOUT) });
    }

    /// Moves what waits into the outbox, as much as there is room for.
    fn drain(&mut self, cx: &mut Context<'_>) {
        while let Some(receiver) = &self.receiver
            && (cx.out().queued() < OUTBOX_HIGH || receiver.is_cut())
        {
            match receiver.take() {
                Taken::Bytes(line) => cx.out().write(&line),
                Taken::Empty => return,
                Taken::Ended => self.end(cx),
                Taken::Cut => {
                    self.end(cx);
                    cx.abort();
                }
            }
        }
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        self.visitor.leave();
        self.receiver = None;
        cx.finish();
    }
}

impl Protocol for Lines {
    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        let end = input.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n');
        match (end, self.state) {
            (Some(end), State::Skipping) => {
                self.go_on(Err(Refusal::TooLong), cx);
                end + 1
            }
            (Some(end), State::Listening | State::Paused) => {
                self.hear(&input[..end], cx);
                end + 1
            }
            (None, State::Listening | State::Paused) if input.len() < LINE_BYTES_MAX => 0,
            (None, _) => {
                self.state = State::Skipping;
                input.len().min(LINE_BYTES_MAX)
            }
        }
    }

    fn cue(&mut self, cue: Cue, cx: &mut Context<'_>) {
        match (cue, self.state) {
            (Cue::Opened, _) => {
                cx.out().write(QUESTION);
                self.listen(cx);
            }
            (Cue::Room | Cue::Woken, _) => self.drain(cx),
            (Cue::DeadlinePassed, State::Paused) => self.listen(cx),
            // What waits is the last that it hears.
            (Cue::EndOfInput | Cue::ShuttingDown, _) => {
                self.drain(cx);
                self.end(cx);
            }
            (Cue::DeadlinePassed, State::Listening | State::Skipping) | (Cue::Closed, _) => self.end(cx),
        }
    }

    fn input_max(&self) -> usize {
        LINE_BYTES_MAX
    }
}
