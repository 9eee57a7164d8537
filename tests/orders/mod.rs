//! A protocol for tests: each line is one order, or several with `;` between, and a diary says what happened in
//! which order.

#![allow(dead_code)] // Each test crate uses its part.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};
use std::task::Waker;
use std::time::Duration;
use tripoll::protocol::{
    Chunk, Context, Cue, Deadline, OUTBOX_HIGH, OpenFile, Protocol, Receiver, Sender, Taken, pipe,
};

/// A line has no more bytes, its end included.
pub const LINE_BYTES_MAX: usize = 64;

/// Bytes that the pipe of `stream` holds.
pub const STREAM_BYTES_MAX: usize = 4096;

/// What a test sees of its protocols: all that share a diary write into it in turn.
#[derive(Default)]
pub struct Diary {
    entries: RefCell<Vec<String>>,
    /// What `waker` and `stream` gave away.
    pub wakers: RefCell<Vec<Waker>>,
    pub senders: RefCell<Vec<Sender>>,
    /// The fullest that an outbox was when a call ended.
    pub queued_max: Cell<u64>,
    /// What `file` sends.
    pub file: RefCell<Option<Arc<OpenFile>>>,
}

impl Diary {
    pub fn entries(&self) -> Vec<String> {
        self.entries.borrow().clone()
    }

    pub fn count(&self, entry: &str) -> usize {
        self.entries.borrow().iter().filter(|it| *it == entry).count()
    }

    pub fn len(&self) -> usize {
        self.entries.borrow().len()
    }

    /// Forgets what was written so far.
    pub fn clear(&self) {
        self.entries.borrow_mut().clear();
    }
}

/// The protocol. Its entries in the diary are `name: line` and `name: [Cue]`.
pub struct Orders {
    name: String,
    diary: Rc<Diary>,
    /// Orders to be followed at a cue.
    reactions: Rc<HashMap<Cued, String>>,
    stream: Option<Receiver>,
}

type Cued = std::mem::Discriminant<Cue>;

impl Orders {
    /// Called `a`, with orders to follow at cues.
    pub fn new(diary: &Rc<Diary>, reactions: &[(Cue, &str)]) -> Orders {
        let reactions = reactions.iter().map(|(cue, orders)| (std::mem::discriminant(cue), (*orders).into()));
        Orders { name: "a".into(), diary: diary.clone(), reactions: Rc::new(reactions.collect()), stream: None }
    }

    pub fn boxed(diary: &Rc<Diary>, reactions: &[(Cue, &str)]) -> Box<dyn Protocol> {
        Box::new(Orders::new(diary, reactions))
    }

    fn note(&self, what: impl std::fmt::Display) {
        self.diary.entries.borrow_mut().push(format!("{}: {what}", self.name));
    }

    fn follow(&mut self, orders: &str, cx: &mut Context<'_>) {
        for order in orders.split(';').filter(|order| !order.is_empty()) {
            let (verb, rest) = order.split_once(' ').unwrap_or((order, ""));
            let number = rest.parse().unwrap_or(0);
            match verb {
                "say" => {
                    cx.out().write(rest.as_bytes());
                    cx.out().write(b"\n");
                }
                "big" => cx.out().write(&pattern(number)),
                "share" => cx.out().push(Chunk::Shared(pattern(number).into())),
                "file" => {
                    let file = self.diary.file.borrow().clone().expect("the test has put a file into the diary");
                    let size = file.size();
                    cx.out().push(Chunk::File(file, 0..size));
                }
                "pause" => cx.pause_input(true),
                "resume" => cx.pause_input(false),
                "finish" => cx.finish(),
                "abort" => cx.abort(),
                "panic" => panic!("as ordered"),
                "become" => cx.become_(Box::new(Orders {
                    name: rest.into(),
                    diary: self.diary.clone(),
                    reactions: self.reactions.clone(),
                    stream: None,
                })),
                "never" => cx.deadline(Deadline::Never),
                "idle" => cx.deadline(Deadline::Idle(Duration::from_millis(number as u64))),
                "after" => cx.deadline(Deadline::After(Duration::from_millis(number as u64))),
                "at" => cx.deadline(Deadline::At(cx.now.monotonic + Duration::from_millis(number as u64))),
                "waker" => self.diary.wakers.borrow_mut().push(cx.waker()),
                "wake" => cx.waker().wake(),
                "stream" => {
                    let (sender, receiver) = pipe(STREAM_BYTES_MAX, cx.waker());
                    self.diary.senders.borrow_mut().push(sender);
                    self.stream = Some(receiver);
                }
                "drain" => self.drain(cx),
                _ => panic!("what is {order:?}?"),
            }
        }
        let queued = cx.out().queued();
        self.diary.queued_max.set(self.diary.queued_max.get().max(queued));
    }

    /// Moves what the stream has into the outbox; its end finishes the connection.
    fn drain(&mut self, cx: &mut Context<'_>) {
        while let Some(stream) = self.stream.as_ref().filter(|_| cx.out().queued() < OUTBOX_HIGH) {
            match stream.take() {
                Taken::Bytes(bytes) => cx.out().write(&bytes),
                Taken::Empty => return,
                Taken::Ended => {
                    self.stream = None;
                    cx.finish();
                }
                Taken::Cut => {
                    self.stream = None;
                    cx.abort();
                }
            }
        }
    }
}

impl Protocol for Orders {
    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return 0 };
        let line = String::from_utf8_lossy(&input[..end]);
        self.note(&line);
        self.follow(&line, cx);
        end + 1
    }

    fn cue(&mut self, cue: Cue, cx: &mut Context<'_>) {
        self.note(format_args!("[{cue:?}]"));
        let orders = self.reactions.get(&std::mem::discriminant(&cue)).cloned();
        self.follow(&orders.unwrap_or_default(), cx);
    }

    fn input_max(&self) -> usize {
        LINE_BYTES_MAX
    }
}

/// Bytes that tell their place: some lost, doubled or moved are seen. Made of copies of one block, since many tests
/// want millions.
pub fn pattern(length: usize) -> Vec<u8> {
    static BLOCK: LazyLock<Vec<u8>> =
        LazyLock::new(|| (0..16_411u32).flat_map(|at| at.wrapping_mul(0x9e37_79b1).to_be_bytes()).collect());
    let mut all = Vec::with_capacity(length);
    while all.len() < length {
        all.extend_from_slice(&BLOCK[..BLOCK.len().min(length - all.len())]);
    }
    all
}
