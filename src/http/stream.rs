//! A body that goes on: what supplies it, and how its pieces lie on the wire (RFC 9112 §7.1).
//!
//! Invariant: it ends with the last chunk only where its supply ended well. One that breaks off takes the connection with it, so that nobody
//! takes a part for the whole.

use super::Response;
use super::beside::start;
use crate::offload::{Full, Pool};
use crate::protocol::{Chunk, Context, Deadline, OUTBOX_HIGH, Receiver, Sender, Taken, pipe};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::mpsc::{Receiver as Promise, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A thread makes this much at a time: going there and back costs some ten microseconds.
const BATCH_BYTES_MIN: u64 = 256 * 1024;

/// Where all threads are at work, one is asked for again after so long.
const RETRY: Duration = Duration::from_millis(50);

/// A body whose length nobody knows yet.
pub struct Stream(Box<Ahead>);

/// A stream that is not begun. Boxed: answers are handed on from one to the next, and few are streams.
struct Ahead {
    supply: Source,
    beat: Option<Beat>,
}

enum Source {
    Pipe { bound: usize, start: Box<dyn FnOnce(Sender) + Send> },
    Chunks(Chunks),
    Offloaded(Chunks),
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
        Stream::of(Source::Pipe { bound, start: Box::new(start) })
    }

    /// Chunks that are made one by one, on the loop, when the client has taken what was before: each must come quickly. An error breaks the
    /// body off.
    pub fn of_chunks(chunks: impl Iterator<Item = io::Result<Chunk>> + Send + 'static) -> Stream {
        Stream::of(Source::Chunks(Box::new(chunks)))
    }

    /// The same, made beside the loop: they may block and compute. A thread is at work for as long as it takes to make some hundred KiB, and
    /// then again when the client has taken them. A panic breaks the body off, too.
    pub fn offloaded(chunks: impl Iterator<Item = io::Result<Chunk>> + Send + 'static) -> Stream {
        Stream::of(Source::Offloaded(Box::new(chunks)))
    }

    /// A live one: it has no end of its own, so it ends when the server goes down, the client need not take it at a minimum rate, and `bytes`
    /// are sent whenever nothing else was for `interval`, by which a client that is gone is noticed.
    pub fn live(mut self, interval: Duration, bytes: &'static [u8]) -> Stream {
        self.0.beat = Some(Beat { interval, bytes });
        self
    }

    fn of(supply: Source) -> Stream {
        Stream(Box::new(Ahead { supply, beat: None }))
    }

    /// Begins to send it.
    pub(super) fn begin(self, told_by: StreamEnd, pool: &Arc<Pool>, cx: &mut Context<'_>) -> Streaming {
        let Ahead { supply, beat } = *self.0;
        let supply = match supply {
            Source::Chunks(chunks) => Supply::Chunks(chunks),
            Source::Offloaded(chunks) => {
                Supply::Offloaded(Offloaded { pool: pool.clone(), made: VecDeque::new(), maker: Maker::Idle(chunks) })
            }
            Source::Pipe { bound, start } => {
                let (sender, receiver) = pipe(bound, cx.waker());
                start(sender);
                Supply::Pipe(receiver)
            }
        };
        cx.live(beat.is_some());
        cx.deadline(beat.map_or(Deadline::Never, |beat| Deadline::After(beat.interval)));
        Streaming { supply, beat, told_by, body_bytes: 0 }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("is_live", &self.0.beat.is_some()).finish_non_exhaustive()
    }
}

/// How the end of a stream is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamEnd {
    /// By the last chunk.
    LastChunk,
    /// By the connection's: HTTP/1.0 knows no chunks.
    Close,
}

/// A stream that is being sent.
pub(super) struct Streaming {
    supply: Supply,
    beat: Option<Beat>,
    told_by: StreamEnd,
    body_bytes: u64,
}

enum Supply {
    Pipe(Receiver),
    Chunks(Chunks),
    Offloaded(Offloaded),
}

/// Chunks that are made beside the loop, some at a time.
struct Offloaded {
    pool: Arc<Pool>,
    made: VecDeque<io::Result<Chunk>>,
    maker: Maker,
}

enum Maker {
    /// More is to be made.
    Idle(Chunks),
    /// A thread is at it.
    Busy(Promise<Batch>),
    Done,
}

/// What a thread made at a time, and who makes more.
struct Batch {
    made: Vec<io::Result<Chunk>>,
    rest: Option<Chunks>,
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
            match self.supply.next(cx) {
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
        if self.told_by == StreamEnd::LastChunk {
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
        match self.told_by {
            StreamEnd::Close => cx.out().append(chunk),
            StreamEnd::LastChunk => {
                cx.out().write(format!("{length:x}\r\n").as_bytes());
                cx.out().append(chunk);
                cx.out().write(b"\r\n");
            }
        }
    }
}

impl Supply {
    fn is_cut(&self) -> bool {
        match self {
            Supply::Pipe(receiver) => receiver.is_cut(),
            Supply::Chunks(_) | Supply::Offloaded(_) => false,
        }
    }

    fn next(&mut self, cx: &mut Context<'_>) -> Next {
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
            Supply::Offloaded(offloaded) => offloaded.next(cx),
        }
    }
}

impl Offloaded {
    fn next(&mut self, cx: &mut Context<'_>) -> Next {
        loop {
            match self.made.pop_front() {
                Some(Ok(chunk)) => return Next::Chunk(chunk),
                Some(Err(_)) => return Next::Break,
                None => {}
            }
            self.maker = match std::mem::replace(&mut self.maker, Maker::Done) {
                Maker::Done => return Next::End,
                Maker::Idle(chunks) => {
                    self.maker = make(&self.pool, chunks, cx);
                    return Next::Nothing;
                }
                Maker::Busy(promise) => match promise.try_recv() {
                    Ok(Batch { made, rest }) => {
                        self.made = made.into();
                        rest.map_or(Maker::Done, Maker::Idle)
                    }
                    Err(TryRecvError::Disconnected) => return Next::Break,
                    Err(TryRecvError::Empty) => {
                        self.maker = Maker::Busy(promise);
                        return Next::Nothing;
                    }
                },
            };
        }
    }
}

/// Has some more made.
fn make(pool: &Pool, chunks: Chunks, cx: &mut Context<'_>) -> Maker {
    // Shared, so that it is still there where no thread takes it.
    let slot = Arc::new(Mutex::new(Some(chunks)));
    let taken = slot.clone();
    let take = |slot: &Mutex<Option<Chunks>>| {
        slot.lock().unwrap_or_else(PoisonError::into_inner).take().expect("one of two takes them")
    };
    match start(pool, move || batch(take(&taken)), cx) {
        Ok(promise) => Maker::Busy(promise),
        Err(Full) => {
            cx.deadline(Deadline::After(RETRY));
            Maker::Idle(take(&slot))
        }
    }
}

fn batch(mut chunks: Chunks) -> Batch {
    let (mut made, mut bytes) = (Vec::new(), 0);
    while bytes < BATCH_BYTES_MIN {
        match chunks.next() {
            Some(Ok(chunk)) => {
                bytes += chunk.len().max(1);
                made.push(Ok(chunk));
            }
            Some(Err(error)) => {
                made.push(Err(error));
                return Batch { made, rest: None };
            }
            None => return Batch { made, rest: None },
        }
    }
    Batch { made, rest: Some(chunks) }
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
