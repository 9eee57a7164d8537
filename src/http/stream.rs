//! A body that goes on: what supplies it, and how its pieces lie on the wire (RFC 9112 §7.1).
//!
//! Invariant: it ends with the last chunk only where its supply ended well. One that breaks off takes the connection with it, so that nobody
//! takes a part for the whole.

use super::Response;
use super::response::queue;
use crate::protocol::{Chunk, Context, Deadline, OUTBOX_HIGH, Receiver, Sender, Taken, pipe};
use std::fmt;
use std::io;
use std::time::Duration;

/// A body whose length nobody knows yet.
pub struct Stream {
    supply: Source,
    beat: Option<Beat>,
}

enum Source {
    Pipe { bound: usize, start: Box<dyn FnOnce(Sender) + Send> },
    Chunks(Chunks),
}

/// Chunks, asked for when there is room.
type Chunks = Box<dyn Iterator<Item = io::Result<Chunk>> + Send>;

/// What is sent where nothing else was for a while.
#[derive(Clone, Copy)]
struct Beat {
    interval: Duration,
    bytes: &'static [u8],
}

impl Stream {
    /// What is sent into a pipe. `start` is called once the head is queued, and its [`Sender`] may be kept and used by anyone, from any thread;
    /// it holds up to `bound` bytes that the client did not take yet. The body ends when the last sender is dropped or one is closed, and
    /// breaks off where it is cut. Not called at all where the answer has no body, as to HEAD.
    pub fn new(bound: usize, start: impl FnOnce(Sender) + Send + 'static) -> Stream {
        Stream { supply: Source::Pipe { bound, start: Box::new(start) }, beat: None }
    }

    /// Chunks that are made one by one, on the loop, when the client has taken what was before: each must come quickly. An error breaks the
    /// body off.
    pub fn of_chunks(chunks: impl Iterator<Item = io::Result<Chunk>> + Send + 'static) -> Stream {
        Stream { supply: Source::Chunks(Box::new(chunks)), beat: None }
    }

    /// A live one: it has no end of its own, so it ends when the server goes down, the client need not take it at a minimum rate, and `bytes`
    /// are sent whenever nothing else was for `interval`, by which a client that is gone is noticed.
    pub fn live(self, interval: Duration, bytes: &'static [u8]) -> Stream {
        Stream { beat: Some(Beat { interval, bytes }), ..self }
    }

    /// Begins to send it.
    pub(super) fn begin(self, framing: Framing, cx: &mut Context<'_>) -> Streaming {
        let supply = match self.supply {
            Source::Chunks(chunks) => Supply::Chunks(chunks),
            Source::Pipe { bound, start } => {
                let (sender, receiver) = pipe(bound, cx.waker());
                start(sender);
                Supply::Pipe(receiver)
            }
        };
        cx.live(self.beat.is_some());
        cx.deadline(self.beat.map_or(Deadline::Never, |beat| Deadline::After(beat.interval)));
        Streaming { supply, beat: self.beat, framing, body_bytes: 0 }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("is_live", &self.beat.is_some()).finish_non_exhaustive()
    }
}

/// How the end of a stream is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// By the last chunk.
    Chunked,
    /// By the connection's: HTTP/1.0 knows no chunks.
    Close,
}

/// A stream that is being sent.
pub(super) struct Streaming {
    supply: Supply,
    beat: Option<Beat>,
    framing: Framing,
    body_bytes: u64,
}

enum Supply {
    Pipe(Receiver),
    Chunks(Chunks),
}

/// What a supply has.
enum Next {
    Chunk(Chunk),
    Nothing,
    End,
    Break,
}

/// How far a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// More comes: when there is room, or when it is woken.
    GoesOn,
    /// All is queued, its end too.
    Ended,
    /// It can't be completed.
    Broken,
}

impl Streaming {
    /// Whether it ends with the server.
    pub(super) fn is_live(&self) -> bool {
        self.beat.is_some()
    }

    /// What was sent of it, without framing.
    pub(super) fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Queues what there is, until there is no room.
    pub(super) fn go_on(&mut self, cx: &mut Context<'_>) -> Progress {
        let before = self.body_bytes;
        let progress = loop {
            // Whoever takes nothing is to be cut off all the same.
            if cx.out().queued() >= OUTBOX_HIGH && !self.supply.is_cut() {
                break Progress::GoesOn;
            }
            match self.supply.next() {
                Next::Chunk(chunk) => self.queue(chunk, cx),
                Next::Nothing => break Progress::GoesOn,
                Next::End => break self.end(cx),
                Next::Break => break Progress::Broken,
            }
        };
        if let Some(beat) = self.beat.filter(|_| self.body_bytes > before) {
            cx.deadline(Deadline::After(beat.interval));
        }
        progress
    }

    /// Nothing was sent for a while.
    pub(super) fn beat(&mut self, cx: &mut Context<'_>) {
        if let Some(beat) = self.beat {
            self.queue(Chunk::Bytes(beat.bytes.to_vec()), cx);
            cx.deadline(Deadline::After(beat.interval));
        }
    }

    /// Ends it, though its supply has more.
    pub(super) fn end(&mut self, cx: &mut Context<'_>) -> Progress {
        if self.framing == Framing::Chunked {
            cx.out().write(b"0\r\n\r\n");
        }
        Progress::Ended
    }

    fn queue(&mut self, chunk: Chunk, cx: &mut Context<'_>) {
        let length = chunk.len();
        if length == 0 {
            return; // A chunk of no bytes is the end.
        }
        self.body_bytes += length;
        match self.framing {
            Framing::Close => queue(chunk, cx.out()),
            Framing::Chunked => {
                cx.out().write(format!("{length:x}\r\n").as_bytes());
                queue(chunk, cx.out());
                cx.out().write(b"\r\n");
            }
        }
    }
}

impl Supply {
    fn is_cut(&self) -> bool {
        match self {
            Supply::Pipe(receiver) => receiver.is_cut(),
            Supply::Chunks(_) => false,
        }
    }

    fn next(&mut self) -> Next {
        match self {
            Supply::Pipe(receiver) => match receiver.take() {
                Taken::Bytes(bytes) => Next::Chunk(Chunk::Shared(bytes)),
                Taken::Empty => Next::Nothing,
                Taken::Ended => Next::End,
                Taken::Cut => Next::Break,
            },
            Supply::Chunks(chunks) => match chunks.next() {
                Some(Ok(chunk)) => Next::Chunk(chunk),
                Some(Err(_)) => Next::Break,
                None => Next::End,
            },
        }
    }
}

impl Response {
    /// 200 of the given media type, with a body that goes on as [`Stream::new`] says: chunked to HTTP/1.1, ended by the connection's close to
    /// HTTP/1.0.
    ///
    /// # Panics
    /// Where `content_type` can't be a field's value.
    pub fn stream(content_type: &str, bound: usize, start: impl FnOnce(Sender) + Send + 'static) -> Response {
        Response::of_type(content_type).with_body(super::Body::Stream(Stream::new(bound, start)))
    }
}
