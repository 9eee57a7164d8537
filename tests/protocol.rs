//! The waist without a socket: links driven by hand, pipes between threads.

use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant, SystemTime};
use tripoll::protocol::{
    Context, Cue, Deadline, Driver, Fate, Link, Now, OUTBOX_HIGH, Outbox, Piece, Protocol, Receiver, SendError, Taken,
    pipe,
};

/// A link with everything that its driver lends it.
struct Bench {
    link: Link,
    out: Outbox,
    deadline: Option<Deadline>,
    waker: Waker,
}

impl Bench {
    fn new(protocol: impl Protocol + 'static) -> Bench {
        let link = Link::new(Box::new(protocol));
        let mut bench = Bench { link, out: Outbox::default(), deadline: None, waker: Waker::noop().clone() };
        bench.cue(Cue::Opened);
        bench
    }

    fn drive<T>(&mut self, act: impl FnOnce(&mut Link, &mut Driver<'_>) -> T) -> T {
        let waker = || self.waker.clone();
        let now = Now { monotonic: Instant::now(), wall: SystemTime::UNIX_EPOCH };
        let mut driver = Driver { now, out: &mut self.out, deadline: None, waker: &waker };
        let result = act(&mut self.link, &mut driver);
        self.deadline = driver.deadline.or(self.deadline);
        result
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.drive(|link, driver| link.feed(bytes, driver));
    }

    fn cue(&mut self, cue: Cue) {
        self.drive(|link, driver| link.cue(cue, driver));
    }

    fn end(&mut self) {
        self.drive(|link, driver| link.end_of_input(driver));
    }

    fn room(&mut self) -> bool {
        self.drive(|link, driver| link.room(driver))
    }

    /// All that is queued, as if the peer took it.
    fn taken(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(Piece::Bytes(bytes)) = self.out.front() {
            all.extend_from_slice(bytes);
            let count = bytes.len();
            self.out.advance(count);
        }
        all
    }

    fn text(&mut self) -> String {
        String::from_utf8(self.taken()).unwrap()
    }

    /// As a driver does it: takes what is queued and gives room until there is no more.
    fn all(&mut self) -> String {
        let mut all = self.text();
        while self.room() {
            all.push_str(&self.text());
        }
        all
    }
}

/// Speaks in lines, by a few commands, and says what happened to it.
struct Lines;

const LINE_MAX: usize = 100;

impl Protocol for Lines {
    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return 0 };
        match std::str::from_utf8(&input[..end]).unwrap() {
            "pause" => cx.pause_input(true),
            "finish" => cx.finish(),
            "abort" => cx.abort(),
            "shout" => cx.become_(Box::new(Shout)),
            "through" => cx.become_(Box::new(Through)),
            "big" => cx.out().write(&[b'B'; OUTBOX_HIGH as usize]),
            "deadlines" => {
                cx.deadline(Deadline::After(Duration::from_secs(1)));
                cx.deadline(Deadline::Idle(Duration::from_secs(2)));
            }
            line => cx.out().write(format!("<{line}>").as_bytes()),
        }
        end + 1
    }

    fn cue(&mut self, cue: Cue, cx: &mut Context<'_>) {
        if cue == Cue::Woken {
            cx.pause_input(false);
        }
        cx.out().write(format!("[{cue:?}]").as_bytes());
    }

    fn input_max(&self) -> usize {
        LINE_MAX
    }
}

/// What a connection becomes: upper case, any number of bytes at once.
struct Shout;

impl Protocol for Shout {
    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        cx.out().write(&input.to_ascii_uppercase());
        input.len()
    }

    fn cue(&mut self, cue: Cue, cx: &mut Context<'_>) {
        cx.out().write(format!("[shout {cue:?}]").as_bytes());
    }

    fn input_max(&self) -> usize {
        1
    }
}

/// Is replaced as soon as it begins.
struct Through;

impl Protocol for Through {
    fn receive(&mut self, _: &[u8], _: &mut Context<'_>) -> usize {
        unreachable!("it is gone before there is input")
    }

    fn cue(&mut self, cue: Cue, cx: &mut Context<'_>) {
        assert_eq!(cue, Cue::Opened);
        cx.become_(Box::new(Shout));
    }

    fn input_max(&self) -> usize {
        1
    }
}

#[track_caller]
fn check(wire: &str, want: &str) {
    let answers = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut bench = Bench::new(Lines);
        let mut all = bench.text();
        for piece in pieces {
            bench.feed(piece);
            all.push_str(&bench.all());
        }
        all.replace(&"B".repeat(OUTBOX_HIGH as usize), "BIG").replace("[Room]", "")
    };
    assert_eq!(answers(&mut [wire.as_bytes()].into_iter()), want, "whole");
    assert_eq!(answers(&mut wire.as_bytes().chunks(1)), want, "byte by byte");
    for cut in 0..=wire.len() {
        let (left, right) = wire.as_bytes().split_at(cut);
        assert_eq!(answers(&mut [left, right].into_iter()), want, "cut at {cut}");
    }
}

#[test]
fn where_the_network_cuts_does_not_matter() {
    check("", "[Opened]");
    check("no end", "[Opened]");
    check("a\nbc\n\nd", "[Opened]<a><bc><>");
    check("a\nbig\nb\nbig\nbig\nc\n", "[Opened]<a>BIG<b>BIGBIG<c>");
    check("a\nfinish\nb\n", "[Opened]<a>");
    check("a\nabort\nb\n", "[Opened]<a>");
    check("a\npause\nb\n", "[Opened]<a>");
    check("a\nshout\nb\nc", "[Opened]<a>[shout Opened]B\nC");
    check("a\nthrough\nb\nc", "[Opened]<a>[shout Opened]B\nC");
}

#[test]
fn a_full_outbox_holds_input_back_until_there_is_room() {
    let mut bench = Bench::new(Lines);
    bench.feed(b"big\na\nb\n");
    assert!(!bench.link.wants_input(), "it is full");
    assert!(bench.link.wants_room());
    bench.cue(Cue::Woken);
    assert!(!bench.text().contains("<a>"), "being woken is no room");
    assert!(bench.room(), "what waits is fed by the link itself");
    assert_eq!(bench.text(), "[Room]<a><b>");
    assert!(!bench.room(), "room is told once");
    assert!(bench.link.wants_input());
}

#[test]
fn room_is_not_told_while_the_outbox_is_full() {
    let mut bench = Bench::new(Lines);
    bench.feed(b"a\nbig\n");
    assert!(!bench.room());
    bench.out.advance(8 + 4); // "[Opened]" and "<a>" less one: just under the mark would be one more.
    assert_eq!(bench.out.queued(), OUTBOX_HIGH - 1);
    assert!(bench.room());
}

#[test]
fn a_pause_ends_by_a_cue_and_what_waited_is_fed() {
    let mut bench = Bench::new(Lines);
    bench.feed(b"pause\na\n");
    assert!(!bench.link.wants_input());
    bench.feed(b"b\n");
    assert_eq!(bench.text(), "[Opened]");
    bench.cue(Cue::Woken);
    assert_eq!(bench.text(), "[Woken]<a><b>");
    assert!(bench.link.wants_input());
}

#[test]
fn the_end_of_input_is_told_once_after_all_was_taken() {
    let cases: &[(&str, &str)] = &[
        ("", "[Opened][EndOfInput]"),
        ("a\n", "[Opened]<a>[EndOfInput]"),
        ("a\nincomplete", "[Opened]<a>[EndOfInput]"),
        ("finish\n", "[Opened]"),
        ("shout\na", "[Opened][shout Opened]A[shout EndOfInput]"),
    ];
    for (wire, want) in cases {
        let mut bench = Bench::new(Lines);
        bench.feed(wire.as_bytes());
        bench.end();
        bench.end();
        assert_eq!(&bench.text(), want, "{wire:?}");
        assert!(!bench.link.wants_input(), "a socket that is at its end is readable for ever");
        assert!(bench.link.has_ended());
    }
}

#[test]
fn an_end_that_comes_while_input_is_held_back_is_told_behind_it() {
    let mut paused = Bench::new(Lines);
    paused.feed(b"pause\na\n");
    paused.end();
    assert_eq!(paused.text(), "[Opened]");
    paused.cue(Cue::Woken);
    assert_eq!(paused.text(), "[Woken]<a>[EndOfInput]");

    let mut full = Bench::new(Lines);
    full.feed(b"big\na\n");
    full.end();
    assert!(!full.text().contains("EndOfInput"));
    assert!(full.room());
    assert_eq!(full.text(), "[Room]<a>[EndOfInput]");
}

#[test]
fn the_last_deadline_of_a_call_counts_and_an_upgrade_forgets_it() {
    let mut bench = Bench::new(Lines);
    assert_eq!(bench.deadline, None, "a protocol begins without one");
    bench.feed(b"deadlines\n");
    assert_eq!(bench.deadline, Some(Deadline::Idle(Duration::from_secs(2))));
    bench.feed(b"a\n");
    assert_eq!(bench.deadline, Some(Deadline::Idle(Duration::from_secs(2))), "and stays");
    bench.feed(b"deadlines\nshout\n");
    assert_eq!(bench.deadline, Some(Deadline::Never));
}

#[test]
fn cues_reach_the_protocol() {
    let mut bench = Bench::new(Lines);
    for cue in [Cue::DeadlinePassed, Cue::ShuttingDown, Cue::Closed] {
        bench.cue(cue);
    }
    assert_eq!(bench.text(), "[Opened][DeadlinePassed][ShuttingDown][Closed]");
}

#[test]
fn what_closed_is_given_no_more_input() {
    let mut bench = Bench::new(Lines);
    bench.feed(b"pause\na\n");
    bench.taken();
    bench.cue(Cue::Closed);
    assert_eq!(bench.text(), "[Closed]");
}

#[test]
fn fates_are_final() {
    let mut bench = Bench::new(Lines);
    bench.feed(b"abort\nfinish\n");
    assert_eq!(bench.link.fate(), Fate::Abort);
    let mut bench = Bench::new(Lines);
    bench.feed(b"finish\na\n");
    bench.feed(b"b\n");
    assert_eq!((bench.link.fate(), bench.text().as_str()), (Fate::Finish, "[Opened]"));
}

/// A line of `input_max` bytes is one too long, since its end could not come any more.
#[test]
fn a_protocol_that_waits_for_more_than_it_may_is_aborted() {
    let mut bench = Bench::new(Lines);
    bench.feed(&[b'x'; LINE_MAX - 1]);
    assert_eq!(bench.link.fate(), Fate::Open);
    let feed = std::panic::AssertUnwindSafe(|| bench.feed(b"x"));
    let result = std::panic::catch_unwind(feed);
    assert_eq!(result.is_err(), cfg!(debug_assertions), "a debug build says that this is a bug");
    if result.is_ok() {
        assert_eq!(bench.link.fate(), Fate::Abort);
    }
}

/// Stands for TLS: a protocol round a link. All bytes are flipped, so that nothing passes by it unseen.
struct Layer {
    inner: Link,
    out: Outbox,
}

impl Layer {
    fn with_inner(&mut self, cx: &mut Context<'_>, act: impl FnOnce(&mut Link, &mut Driver<'_>)) {
        let waker = cx.waker();
        let waker = || waker.clone();
        let mut driver = Driver { now: cx.now, out: &mut self.out, deadline: None, waker: &waker };
        act(&mut self.inner, &mut driver);
        loop {
            while let Some(Piece::Bytes(bytes)) = driver.out.front() {
                let count = bytes.len();
                let flipped: Vec<u8> = bytes.iter().map(|byte| byte ^ 1).collect();
                driver.out.advance(count);
                cx.out().write(&flipped);
            }
            if cx.out().queued() >= OUTBOX_HIGH || !self.inner.room(&mut driver) {
                break;
            }
        }
        if let Some(deadline) = driver.deadline {
            cx.deadline(deadline);
        }
        match self.inner.fate() {
            Fate::Open => cx.pause_input(!self.inner.wants_input()),
            Fate::Finish => cx.finish(),
            Fate::Abort => cx.abort(),
        }
    }
}

impl Protocol for Layer {
    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        let plain: Vec<u8> = input.iter().map(|byte| byte ^ 1).collect();
        self.with_inner(cx, |link, driver| link.feed(&plain, driver));
        input.len()
    }

    fn cue(&mut self, cue: Cue, cx: &mut Context<'_>) {
        match cue {
            Cue::EndOfInput => self.with_inner(cx, |link, driver| link.end_of_input(driver)),
            cue => self.with_inner(cx, |link, driver| link.cue(cue, driver)),
        }
    }

    fn input_max(&self) -> usize {
        1
    }
}

#[test]
fn links_nest() {
    let layer = Layer { inner: Link::new(Box::new(Lines)), out: Outbox::default() };
    let mut bench = Bench::new(layer);
    let flip = |bytes: &[u8]| bytes.iter().map(|byte| byte ^ 1).collect::<Vec<u8>>();
    bench.feed(&flip(b"a\nbig\nb\ndeadlines\nshout\nc"));
    bench.end();
    let mut all = flip(&bench.taken());
    while bench.room() {
        all.extend(flip(&bench.taken()));
    }
    let text = String::from_utf8(all).unwrap().replace(&"B".repeat(OUTBOX_HIGH as usize), "BIG").replace("[Room]", "");
    assert_eq!(text, "[Opened]<a>BIG<b>[shout Opened]C[shout EndOfInput]");
    assert_eq!(bench.deadline, Some(Deadline::Never));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_split_of_any_input_gives_the_same(
        words in prop::collection::vec(prop_oneof![Just("a"), Just("big"), Just("pause"), Just("shout"), Just("")], 0..12),
        cuts in prop::collection::vec(0usize..60, 0..6),
    ) {
        let wire = words.join("\n").into_bytes();
        let mut ends: Vec<_> = cuts.into_iter().map(|cut| cut.min(wire.len())).chain([wire.len()]).collect();
        ends.sort_unstable();
        let mut whole = Bench::new(Lines);
        whole.feed(&wire);
        let mut split = Bench::new(Lines);
        let (mut from, mut pieces) = (0, String::new());
        for end in ends {
            split.feed(&wire[from..end]);
            pieces.push_str(&split.all());
            from = end;
        }
        prop_assert_eq!(pieces.replace("[Room]", ""), whole.all().replace("[Room]", ""));
    }
}

/// Counts wakes.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn counted_pipe(bound: usize) -> (tripoll::protocol::Sender, Receiver, impl Fn() -> usize) {
    let wakes = Arc::new(Wakes::default());
    let (sender, receiver) = pipe(bound, wakes.clone().into());
    (sender, receiver, move || wakes.0.load(Ordering::SeqCst))
}

#[test]
fn a_pipe_is_full_at_its_bound_and_not_before() {
    let (sender, receiver, _) = counted_pipe(10);
    assert_eq!(sender.send(*b"0123456789+"), Err(SendError::Full), "never fits");
    assert_eq!(sender.send(*b"012345678"), Ok(()));
    assert_eq!(sender.send(*b"ab"), Err(SendError::Full));
    assert_eq!(sender.send(*b"a"), Ok(()));
    assert_eq!(sender.send(*b"b"), Err(SendError::Full));
    assert_eq!(receiver.take(), Taken::Bytes((*b"012345678").into()));
    assert_eq!(sender.send(*b"b"), Ok(()), "what was taken makes room");
    assert_eq!(receiver.take(), Taken::Bytes((*b"a").into()));
    assert_eq!(receiver.take(), Taken::Bytes((*b"b").into()));
    assert_eq!(receiver.take(), Taken::Empty);
}

#[test]
fn a_pipe_ends_for_its_reader_behind_what_was_sent() {
    let closes: [fn(tripoll::protocol::Sender); 2] = [|sender| sender.close(), drop];
    for close in closes {
        let (sender, receiver, wakes) = counted_pipe(10);
        sender.send(*b"last").unwrap();
        let before = wakes();
        close(sender);
        assert_eq!(wakes(), before + 1, "the reader is told");
        assert_eq!(receiver.take(), Taken::Bytes((*b"last").into()));
        assert_eq!(receiver.take(), Taken::Ended);
    }
}

#[test]
fn a_pipe_lives_as_long_as_one_of_its_senders() {
    let (sender, receiver, _) = counted_pipe(10);
    let clone = sender.clone();
    drop(sender);
    assert_eq!(receiver.take(), Taken::Empty);
    clone.send(*b"x").unwrap();
    clone.close();
    assert_eq!(clone.send(*b"y"), Err(SendError::Closed));
}

#[test]
fn a_pipe_without_a_reader_is_closed() {
    let (sender, receiver, _) = counted_pipe(10);
    sender.send(*b"x").unwrap();
    drop(receiver);
    assert_eq!(sender.send(*b"y"), Err(SendError::Closed));
}

#[test]
fn only_the_first_bytes_into_an_empty_pipe_wake() {
    let (sender, receiver, wakes) = counted_pipe(100);
    for _ in 0..10 {
        sender.send(*b"x").unwrap();
    }
    assert_eq!(wakes(), 1);
    while receiver.take() != Taken::Empty {}
    sender.send(*b"x").unwrap();
    assert_eq!(wakes(), 2);
}

#[test]
fn what_threads_send_arrives_whole_and_in_each_ones_order() {
    const EACH: u32 = 2_000;
    let (sender, receiver, _) = counted_pipe(64);
    let threads: Vec<_> = (0..4u32)
        .map(|thread| {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for n in 0..EACH {
                    while sender.send([thread.to_be_bytes(), n.to_be_bytes()].concat()) == Err(SendError::Full) {
                        std::thread::yield_now();
                    }
                }
            })
        })
        .collect();
    drop(sender);
    let mut next = [0; 4];
    loop {
        match receiver.take() {
            Taken::Bytes(bytes) => {
                let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
                assert_eq!(number(4), next[number(0) as usize]);
                next[number(0) as usize] += 1;
            }
            Taken::Empty => std::thread::yield_now(),
            Taken::Ended => break,
        }
    }
    assert_eq!(next, [EACH; 4]);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
