//! The waist without a socket: a `Link` driven by hand, protocols that stand in for real ones, and pipes.

mod orders;

use orders::{Diary, LINE_BYTES_MAX, Orders, pattern};
use proptest::prelude::*;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant, SystemTime};
use tripoll::protocol::{
    Context, Cue, Deadline, Driver, Fate, Link, Now, OUTBOX_HIGH, Outbox, Piece, Protocol, Receiver, SendError, Sender,
    Taken, pipe,
};

const HIGH: usize = OUTBOX_HIGH as usize;

/// How often something was woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A driver without a socket: what it reads is what the test feeds, what it sends is kept.
struct Wire {
    link: Link,
    out: Outbox,
    /// What the peer got.
    sent: Vec<u8>,
    /// The wish of the last call.
    wish: Option<Deadline>,
    /// The wish in force.
    deadline: Deadline,
    wakes: Arc<Wakes>,
    now: Now,
}

impl Wire {
    fn new(protocol: Box<dyn Protocol>) -> Wire {
        let now = Now { monotonic: Instant::now(), wall: SystemTime::UNIX_EPOCH };
        let mut wire = Wire {
            link: Link::new(protocol),
            out: Outbox::default(),
            sent: Vec::new(),
            wish: None,
            deadline: Deadline::Never,
            wakes: Arc::default(),
            now,
        };
        wire.cue(Cue::Opened);
        wire
    }

    /// Speaks [`Orders`], with orders to follow at cues.
    fn orders(reactions: &[(Cue, &str)]) -> (Wire, Rc<Diary>) {
        let diary = Rc::<Diary>::default();
        let wire = Wire::new(Orders::boxed(&diary, reactions));
        diary.clear(); // That it was opened is said by one test, not by all.
        (wire, diary)
    }

    fn drive<T>(&mut self, act: impl FnOnce(&mut Link, &mut Driver<'_>) -> T) -> T {
        let waker = Waker::from(self.wakes.clone());
        let make_waker = || waker.clone();
        let mut driver = Driver { now: self.now, out: &mut self.out, deadline: None, waker: &make_waker };
        let result = act(&mut self.link, &mut driver);
        self.wish = driver.deadline;
        self.deadline = self.wish.unwrap_or(self.deadline);
        result
    }

    fn feed(&mut self, input: &[u8]) {
        self.drive(|link, driver| link.feed(input, driver));
    }

    fn end(&mut self) {
        self.drive(|link, driver| link.end_of_input(driver));
    }

    fn cue(&mut self, cue: Cue) {
        self.drive(|link, driver| link.cue(cue, driver));
    }

    fn room(&mut self) -> bool {
        self.drive(|link, driver| link.room(driver))
    }

    /// The kernel takes up to `count` bytes.
    fn send(&mut self, mut count: usize) {
        while count > 0 {
            let Some(Piece::Bytes(bytes)) = self.out.front() else { return };
            let now = bytes.len().min(count);
            self.sent.extend_from_slice(&bytes[..now]);
            self.out.advance(now);
            count -= now;
        }
    }

    /// The kernel takes all there is, and all that comes of there being room.
    fn flush(&mut self) {
        loop {
            self.send(usize::MAX);
            if !self.room() {
                return;
            }
        }
    }
}

/// What a peer and a diary saw of one connection, from its beginning to the end of its input.
#[derive(Debug, PartialEq, Eq)]
struct Story {
    sent: Vec<u8>,
    entries: Vec<String>,
    fate: Fate,
    deadline: Deadline,
}

/// Feeds the pieces as a kernel would: not while the link wants no input. `layers` of [`Xor`] lie between.
fn story<'a>(reactions: &[(Cue, &str)], pieces: impl IntoIterator<Item = &'a [u8]>, layers: u8) -> Story {
    let diary = Rc::<Diary>::default();
    let protocol = (1..=layers).fold(Orders::boxed(&diary, reactions), |inner, key| Xor::boxed(key, inner));
    let key = (1..=layers).fold(0, |all, key| all ^ key);
    let mut wire = Wire::new(protocol);
    let mut pauses_max = 1;
    for piece in pieces {
        for _ in 0..pauses_max {
            wire.flush();
            if !wire.link.wants_input() {
                wire.cue(Cue::Woken);
            }
        }
        wire.feed(&piece.iter().map(|byte| byte ^ key).collect::<Vec<_>>());
        pauses_max += piece.iter().filter(|byte| **byte == b'\n').count();
    }
    wire.end();
    for _ in 0..pauses_max {
        wire.cue(Cue::Woken);
        wire.flush();
    }
    let mut entries = diary.entries();
    // When there is room and who is woken when is the kernel's affair, not the input's.
    entries.retain(|entry| !entry.ends_with("[Room]") && !entry.ends_with("[Woken]"));
    let sent = wire.sent.iter().map(|byte| byte ^ key).collect();
    Story { sent, entries, fate: wire.link.fate(), deadline: wire.deadline }
}

const CONVERSATIONS: &[(&str, &str)] = &[
    ("nothing", ""),
    ("one line", "say one\n"),
    ("lines", "say one\nsay two\n\n\nsay three\n"),
    ("an incomplete line at the end", "say one\nsay tw"),
    ("a pause in the midst", "say one\npause\nsay two\nsay three\n"),
    ("many pauses", "pause\npause\nsay one\npause\n"),
    ("an upgrade in the midst", "say one\nbecome b\nsay two\n"),
    ("upgrades", "become b\nbecome c\nsay one\nbecome d\nbecome e\nsay"),
    ("an upgrade while paused", "pause;become b\nsay two\n"),
    ("the end is asked for", "say one\nfinish\nsay two\n"),
    ("the connection is given up", "say one\nabort\nsay two\n"),
    ("deadlines", "after 5\nidle 7\nsay one\n"),
    ("a deadline that ends with an upgrade", "after 5\nbecome b\nsay one\n"),
    ("an outbox filled again and again", "big 65536\nbig 65535\nbig 1\nbig 200000\nsay end\n"),
    ("the end is asked for with a full outbox", "big 65536;finish\nsay one\n"),
    ("a full outbox and a pause at once", "big 65536;pause\nsay one\n"),
    ("a full outbox and an upgrade at once", "big 65536;become b\nsay one\n"),
];

const RESUME_WHEN_WOKEN: &[(Cue, &str)] = &[(Cue::Woken, "resume"), (Cue::EndOfInput, "say bye")];

#[test]
fn where_the_input_is_cut_does_not_matter() {
    for (case, input) in CONVERSATIONS {
        let input = input.as_bytes();
        let whole = story(RESUME_WHEN_WOKEN, [input], 0);
        for cut in 0..=input.len() {
            let (left, right) = input.split_at(cut);
            assert_eq!(story(RESUME_WHEN_WOKEN, [left, right], 0), whole, "{case}, cut at byte {cut}");
        }
        assert_eq!(story(RESUME_WHEN_WOKEN, input.chunks(1), 0), whole, "{case}, byte by byte");
    }
}

#[test]
fn a_protocol_in_a_protocol_says_the_same() {
    for (case, input) in CONVERSATIONS {
        let plain = story(RESUME_WHEN_WOKEN, [input.as_bytes()], 0);
        for layers in [1, 2, 3] {
            for size in [1, 7, usize::MAX] {
                let told = story(RESUME_WHEN_WOKEN, input.as_bytes().chunks(size), layers);
                assert_eq!(told, plain, "{case}, {layers} layers, pieces of {size}");
            }
        }
    }
}

#[test]
fn a_conversation_is_told_from_its_beginning_to_its_end() {
    let Story { sent, entries, fate, deadline } =
        story(RESUME_WHEN_WOKEN, [&b"say one\nafter 5\nbecome b\nsay"[..]], 0);
    assert_eq!(sent, b"one\nbye\n");
    assert_eq!(entries, ["a: [Opened]", "a: say one", "a: after 5", "a: become b", "b: [Opened]", "b: [EndOfInput]"]);
    assert_eq!((fate, deadline), (Fate::Open, Deadline::Never));
}

/// XOR with a key over a link: a layer as TLS would be one.
struct Xor {
    key: u8,
    inner: Link,
    out: Outbox,
}

impl Xor {
    fn boxed(key: u8, inner: Box<dyn Protocol>) -> Box<dyn Protocol> {
        Box::new(Xor { key, inner: Link::new(inner), out: Outbox::default() })
    }

    fn coded(&self, bytes: &[u8]) -> Vec<u8> {
        bytes.iter().map(|byte| byte ^ self.key).collect()
    }

    /// Drives the inner link once and passes on what it wants.
    fn drive(&mut self, cx: &mut Context<'_>, act: impl FnOnce(&mut Link, &mut Driver<'_>)) {
        let waker = cx.waker();
        let make_waker = || waker.clone();
        let mut driver = Driver { now: cx.now, out: &mut self.out, deadline: None, waker: &make_waker };
        act(&mut self.inner, &mut driver);
        if let Some(wish) = driver.deadline {
            cx.deadline(wish);
        }
        while let Some(Piece::Bytes(bytes)) = self.out.front() {
            let (coded, count) = (self.coded(bytes), bytes.len());
            cx.out().write(&coded);
            self.out.advance(count);
        }
        match self.inner.fate() {
            Fate::Open => cx.pause_input(!self.inner.wants_input() && !self.inner.has_ended()),
            Fate::Finish => cx.finish(),
            Fate::Abort => cx.abort(),
        }
    }
}

impl Protocol for Xor {
    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        let plain = self.coded(input);
        self.drive(cx, |inner, driver| inner.feed(&plain, driver));
        input.len()
    }

    fn cue(&mut self, cue: Cue, cx: &mut Context<'_>) {
        self.drive(cx, |inner, driver| match cue {
            Cue::Room => drop(inner.room(driver)),
            Cue::EndOfInput => inner.end_of_input(driver),
            Cue::Opened | Cue::Woken | Cue::DeadlinePassed | Cue::ShuttingDown | Cue::Closed => inner.cue(cue, driver),
        });
    }

    fn input_max(&self) -> usize {
        1
    }
}

/// Messages of a length in four bytes, then so many bytes, answered by their length and sum.
struct Framed;

const FRAME_BYTES_MAX: usize = 300_000;

impl Protocol for Framed {
    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        let Some((length, rest)) = input.split_first_chunk() else { return 0 };
        let length = u32::from_be_bytes(*length) as usize;
        let Some(message) = rest.get(..length) else { return 0 };
        let sum = message.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        cx.out().write(format!("{length} {sum}\n").as_bytes());
        4 + length
    }

    fn cue(&mut self, _cue: Cue, _cx: &mut Context<'_>) {}

    fn input_max(&self) -> usize {
        4 + FRAME_BYTES_MAX
    }
}

#[test]
fn big_messages_arrive_whole_however_they_are_cut() {
    let (mut input, mut want) = (Vec::new(), String::new());
    for length in [0, 1, 5, 70_000, 3, FRAME_BYTES_MAX, 0] {
        let message = pattern(length);
        input.extend((length as u32).to_be_bytes());
        input.extend(&message);
        want += &format!("{length} {}\n", message.iter().map(|byte| u64::from(*byte)).sum::<u64>());
    }
    for size in [usize::MAX, 65_536, 65_535, 1_460, 97] {
        let mut wire = Wire::new(Box::new(Framed));
        input.chunks(size).for_each(|piece| wire.feed(piece));
        wire.flush();
        assert_eq!(String::from_utf8_lossy(&wire.sent), want, "pieces of {size}");
    }
}

#[test]
fn an_outbox_is_full_at_its_mark_and_not_before() {
    for (queued, is_full) in [(HIGH - 1, false), (HIGH, true), (HIGH + 1, true)] {
        let (mut wire, diary) = Wire::orders(&[]);
        wire.feed(format!("big {queued}\n").as_bytes());
        assert_eq!(wire.link.wants_input(), !is_full, "{queued}");
        assert_eq!(wire.link.wants_room(), is_full, "{queued}");
        wire.feed(b"say two\n");
        assert_eq!(diary.count("a: say two"), usize::from(!is_full), "{queued}");
    }
}

#[test]
fn what_waited_for_room_is_taken_without_new_input() {
    let (mut wire, diary) = Wire::orders(&[]);
    wire.feed(b"big 65537\nsay two\nbig 70000\nsay four\nsay fi");
    // What is left and the 4 bytes of "two" are still less than full.
    for (left, want) in [(HIGH + 1, false), (HIGH, false), (HIGH - 5, true)] {
        wire.send(wire.out.queued() as usize - left);
        assert_eq!(wire.room(), want, "{left} bytes left");
    }
    assert_eq!(diary.entries(), ["a: big 65537", "a: [Room]", "a: say two", "a: big 70000"]);
    assert!(!wire.room(), "it is full again");
    wire.flush();
    assert_eq!(diary.entries()[4..], ["a: [Room]", "a: say four"]);
    assert!(wire.link.wants_input() && !wire.link.wants_room());
    wire.feed(b"ve\n");
    wire.flush();
    assert_eq!(wire.sent, [&pattern(65537)[..], b"two\n", &pattern(70000), b"four\nfive\n"].concat());
}

#[test]
fn room_is_told_to_who_was_full_only() {
    let (mut wire, diary) = Wire::orders(&[]);
    wire.feed(b"say one\n");
    wire.send(usize::MAX);
    assert!(!wire.room());
    assert_eq!(diary.count("a: [Room]"), 0);
}

#[test]
fn a_cue_can_fill_the_outbox_and_room_goes_on() {
    let (mut wire, diary) = Wire::orders(&[(Cue::Woken, "big 65536"), (Cue::Room, "say more")]);
    wire.cue(Cue::Woken);
    assert!(wire.link.wants_room() && !wire.link.wants_input());
    wire.flush();
    assert_eq!(diary.entries(), ["a: [Woken]", "a: [Room]"]);
    assert_eq!(wire.sent, [&pattern(65536)[..], b"more\n"].concat());
}

#[test]
fn paused_input_waits_until_a_cue_resumes_it() {
    for cue in [Cue::Woken, Cue::DeadlinePassed, Cue::ShuttingDown] {
        let (mut wire, diary) = Wire::orders(&[(cue, "resume")]);
        wire.feed(b"pause\nsay one\nsay tw");
        assert!(!wire.link.wants_input(), "{cue:?}");
        assert_eq!(diary.entries(), ["a: pause"], "{cue:?}");
        wire.cue(cue);
        assert_eq!(diary.entries()[1..], [format!("a: [{cue:?}]"), "a: say one".into()], "{cue:?}");
        assert!(wire.link.wants_input(), "{cue:?}");
        wire.feed(b"o\n");
        wire.flush();
        assert_eq!(wire.sent, b"one\ntwo\n", "{cue:?}");
    }
}

#[test]
fn a_cue_that_does_not_resume_leaves_the_pause() {
    let (mut wire, diary) = Wire::orders(&[]);
    wire.feed(b"pause\nsay one\n");
    wire.cue(Cue::Woken);
    wire.feed(b"say two\n");
    assert_eq!(diary.entries(), ["a: pause", "a: [Woken]"]);
}

#[test]
fn room_does_not_end_a_pause() {
    let (mut wire, diary) = Wire::orders(&[(Cue::Woken, "resume")]);
    wire.feed(b"big 65536;pause\nsay one\n");
    wire.flush();
    assert_eq!(diary.entries(), ["a: big 65536;pause", "a: [Room]"]);
    wire.cue(Cue::Woken);
    assert_eq!(diary.count("a: say one"), 1);
}

#[test]
fn the_end_is_told_once_and_after_all_that_could_be_taken() {
    #[track_caller]
    fn check(input: &str, release: &[Cue], want: &[&str]) {
        let (mut wire, diary) = Wire::orders(&[(Cue::Woken, "resume")]);
        wire.feed(input.as_bytes());
        wire.end();
        assert!(wire.link.has_ended() && !wire.link.wants_input(), "{input:?}: nothing is read after the end");
        for cue in release {
            assert_eq!(diary.count("a: [EndOfInput]"), 0, "{input:?} before {cue:?}");
            match cue {
                Cue::Room => wire.flush(),
                cue => wire.cue(*cue),
            }
        }
        assert_eq!(diary.entries(), want, "{input:?}");
        wire.end();
        wire.cue(Cue::Woken);
        wire.flush();
        assert_eq!(diary.count("a: [EndOfInput]"), 1, "{input:?}");
        assert!(!wire.link.wants_input(), "{input:?}");
    }
    use Cue::{Room, Woken};
    check("", &[], &["a: [EndOfInput]"]);
    check("say one\n", &[], &["a: say one", "a: [EndOfInput]"]);
    check("say one\nsay tw", &[], &["a: say one", "a: [EndOfInput]"]);
    check("pause\n", &[Woken], &["a: pause", "a: [Woken]", "a: [EndOfInput]"]);
    check("pause\nsay one\n", &[Woken], &["a: pause", "a: [Woken]", "a: say one", "a: [EndOfInput]"]);
    check(
        "pause\npause\nsay one\n",
        &[Woken, Woken],
        &["a: pause", "a: [Woken]", "a: pause", "a: [Woken]", "a: say one", "a: [EndOfInput]"],
    );
    check("big 65536\nsay one\n", &[Room], &["a: big 65536", "a: [Room]", "a: say one", "a: [EndOfInput]"]);
    check("big 65536\nsay on", &[Room], &["a: big 65536", "a: [Room]", "a: [EndOfInput]"]);
}

#[test]
fn the_end_is_not_told_to_who_has_ended_first() {
    for order in ["finish", "abort"] {
        let (mut wire, diary) = Wire::orders(&[(Cue::Woken, order)]);
        wire.feed(b"pause\n");
        wire.end();
        wire.cue(Cue::Woken);
        wire.feed(b"say one\n");
        wire.end();
        assert_eq!(diary.entries(), ["a: pause", "a: [Woken]"], "{order}");
    }
}

#[test]
fn who_answers_the_end_may_still_speak() {
    let (mut wire, _) = Wire::orders(&[(Cue::EndOfInput, "big 100000;say bye;finish")]);
    wire.end();
    assert_eq!(wire.link.fate(), Fate::Finish);
    wire.flush();
    assert_eq!(wire.sent, [&pattern(100_000)[..], b"bye\n"].concat());
}

#[test]
fn an_upgrade_hands_over_the_rest_of_the_input() {
    #[track_caller]
    fn check(reactions: &[(Cue, &str)], act: fn(&mut Wire), want: &[&str]) {
        let (mut wire, diary) = Wire::orders(reactions);
        act(&mut wire);
        assert_eq!(diary.entries(), want);
    }
    let at_once = |wire: &mut Wire| wire.feed(b"say one\nbecome b\nsay two\nsay thr");
    check(&[], at_once, &["a: say one", "a: become b", "b: [Opened]", "b: say two"]);

    let chain = |wire: &mut Wire| wire.feed(b"become b\nbecome c\nsay one\n");
    check(&[], chain, &["a: become b", "b: [Opened]", "b: become c", "c: [Opened]", "c: say one"]);

    let by_cue = |wire: &mut Wire| {
        wire.feed(b"pause\nsay one\n");
        wire.cue(Cue::Woken);
    };
    check(&[(Cue::Woken, "become b")], by_cue, &["a: pause", "a: [Woken]", "b: [Opened]", "b: say one"]);

    let when_full = |wire: &mut Wire| {
        wire.feed(b"big 65536;become b\nsay one\n");
        wire.flush();
    };
    check(&[], when_full, &["a: big 65536;become b", "b: [Opened]", "b: [Room]", "b: say one"]);
}

#[test]
fn a_successor_may_give_way_before_it_saw_input() {
    struct Hop(u32, Rc<Diary>);
    impl Protocol for Hop {
        fn receive(&mut self, _input: &[u8], _cx: &mut Context<'_>) -> usize {
            unreachable!("it hands over at once")
        }
        fn cue(&mut self, cue: Cue, cx: &mut Context<'_>) {
            assert_eq!(cue, Cue::Opened);
            cx.deadline(Deadline::Idle(Duration::from_secs(1)));
            cx.pause_input(true);
            match self.0 {
                0 => cx.become_(Orders::boxed(&self.1, &[])),
                left => cx.become_(Box::new(Hop(left - 1, self.1.clone()))),
            }
        }
        fn input_max(&self) -> usize {
            1
        }
    }
    let diary = Rc::<Diary>::default();
    let mut wire = Wire::new(Box::new(Hop(3, diary.clone())));
    assert_eq!(wire.wish, Some(Deadline::Never), "the deadline is gone with who set it");
    wire.feed(b"say one\n");
    assert_eq!(diary.entries(), ["a: [Opened]", "a: say one"], "the pause is gone with who made it");
}

#[test]
fn an_upgrade_that_takes_nothing_hands_over_everything() {
    /// Looks at the first byte, as a port that speaks two protocols would.
    struct Sniff(Rc<Diary>);
    impl Protocol for Sniff {
        fn receive(&mut self, _input: &[u8], cx: &mut Context<'_>) -> usize {
            cx.become_(Orders::boxed(&self.0, &[]));
            0
        }
        fn cue(&mut self, _cue: Cue, _cx: &mut Context<'_>) {}
        fn input_max(&self) -> usize {
            1
        }
    }
    let diary = Rc::<Diary>::default();
    let mut wire = Wire::new(Box::new(Sniff(diary.clone())));
    wire.feed(b"say one\nsay");
    assert_eq!(diary.entries(), ["a: [Opened]", "a: say one"], "at once");
    wire.feed(b" two\n");
    assert_eq!(diary.entries(), ["a: [Opened]", "a: say one", "a: say two"]);
}

#[test]
fn a_successor_after_the_end_is_told_of_it_and_gets_what_was_left() {
    let (mut wire, diary) = Wire::orders(&[(Cue::Woken, "become b")]);
    wire.feed(b"say one\nsay tw");
    wire.end();
    wire.cue(Cue::Woken);
    wire.cue(Cue::DeadlinePassed);
    assert_eq!(diary.entries()[2..], ["a: [Woken]", "b: [Opened]", "b: [EndOfInput]", "b: [DeadlinePassed]"]);

    /// Takes nothing but the end.
    struct Deaf(Rc<Diary>);
    impl Protocol for Deaf {
        fn receive(&mut self, _input: &[u8], _cx: &mut Context<'_>) -> usize {
            0
        }
        fn cue(&mut self, cue: Cue, cx: &mut Context<'_>) {
            if cue == Cue::EndOfInput {
                cx.become_(Orders::boxed(&self.0, &[]));
            }
        }
        fn input_max(&self) -> usize {
            usize::MAX
        }
    }
    let diary = Rc::<Diary>::default();
    let mut wire = Wire::new(Box::new(Deaf(diary.clone())));
    wire.feed(b"say one\nsay tw");
    wire.end();
    assert_eq!(diary.entries(), ["a: [Opened]", "a: say one", "a: [EndOfInput]"]);
}

#[test]
fn the_driver_gets_the_last_wish_for_a_deadline() {
    let ms = Duration::from_millis;
    let cases: &[(&str, Option<Deadline>)] = &[
        ("say one\n", None),
        ("after 5\n", Some(Deadline::After(ms(5)))),
        ("after 5\nidle 7\n", Some(Deadline::Idle(ms(7)))),
        ("after 5\nsay one\n", Some(Deadline::After(ms(5)))),
        ("after 5\nnever\n", Some(Deadline::Never)),
        ("after 5;become b\n", Some(Deadline::Never)),
        ("become b\nafter 9\n", Some(Deadline::After(ms(9)))),
        ("after 5;finish\nidle 9\n", Some(Deadline::After(ms(5)))),
    ];
    for (input, want) in cases {
        let (mut wire, _) = Wire::orders(&[]);
        wire.feed(input.as_bytes());
        assert_eq!(wire.wish, *want, "{input:?}");
    }
    let (mut wire, _) = Wire::orders(&[]);
    wire.feed(b"at 5\n");
    assert_eq!(wire.wish, Some(Deadline::At(wire.now.monotonic + ms(5))));
}

#[test]
fn who_has_ended_takes_no_input_and_wants_no_room() {
    for (order, fate) in [("finish", Fate::Finish), ("abort", Fate::Abort)] {
        let (mut wire, diary) = Wire::orders(&[]);
        wire.feed(format!("big 65536;{order}\nsay one\n").as_bytes());
        assert_eq!(wire.link.fate(), fate);
        wire.feed(b"say two\n");
        wire.cue(Cue::Woken);
        wire.send(usize::MAX);
        assert!(!wire.link.wants_input() && !wire.link.wants_room() && !wire.room(), "{order}");
        assert_eq!(diary.entries(), [format!("a: big 65536;{order}"), "a: [Woken]".into()], "{order}");
    }
}

#[test]
fn giving_up_is_final_and_finishing_can_become_giving_up() {
    let cases: &[(&str, Fate)] = &[
        ("finish;finish", Fate::Finish),
        ("finish;abort", Fate::Abort),
        ("abort;finish", Fate::Abort),
        ("finish;resume", Fate::Finish),
        ("finish;become b", Fate::Finish),
    ];
    for (orders, fate) in cases {
        let (mut wire, diary) = Wire::orders(&[]);
        wire.feed(format!("{orders}\nsay one\n").as_bytes());
        assert_eq!(wire.link.fate(), *fate, "{orders}");
        assert_eq!(diary.entries().iter().filter(|entry| entry.ends_with("say one")).count(), 0, "{orders}");
    }
    let (mut wire, _) = Wire::orders(&[(Cue::Woken, "abort")]);
    wire.feed(b"finish\n");
    wire.cue(Cue::Woken);
    assert_eq!(wire.link.fate(), Fate::Abort, "between two calls");
}

#[test]
fn who_is_told_of_the_shutdown_finishes_what_was_begun() {
    let (mut wire, diary) = Wire::orders(&[(Cue::ShuttingDown, "say bye;finish")]);
    wire.feed(b"say one\nsay tw");
    wire.cue(Cue::ShuttingDown);
    wire.feed(b"o\n");
    wire.flush();
    assert_eq!((wire.link.fate(), &wire.sent[..]), (Fate::Finish, &b"one\nbye\n"[..]));
    assert_eq!(diary.entries(), ["a: say one", "a: [ShuttingDown]"]);
}

#[test]
fn who_takes_over_while_it_goes_down_is_told_as_often() {
    let (mut wire, diary) = Wire::orders(&[]);
    wire.feed(b"become ");
    wire.cue(Cue::ShuttingDown);
    wire.cue(Cue::ShuttingDown);
    wire.feed(b"b\nsay one\n");
    let told = ["a: [ShuttingDown]", "a: [ShuttingDown]", "a: become b"];
    let retold = ["b: [Opened]", "b: [ShuttingDown]", "b: [ShuttingDown]", "b: say one"];
    assert_eq!(diary.entries(), [&told[..], &retold[..]].concat());
}

/// Becomes a [`Guest`] when it is told that all goes down, or else at the first byte.
struct Host {
    gives_way_when_told: bool,
    guest_finishes: bool,
}

/// Says bye whenever it is told, and finishes then or not.
struct Guest {
    finishes: bool,
}

impl Protocol for Host {
    fn receive(&mut self, _: &[u8], cx: &mut Context<'_>) -> usize {
        cx.become_(Box::new(Guest { finishes: self.guest_finishes }));
        1
    }

    fn cue(&mut self, cue: Cue, cx: &mut Context<'_>) {
        if cue == Cue::ShuttingDown && self.gives_way_when_told {
            cx.become_(Box::new(Guest { finishes: self.guest_finishes }));
        }
    }

    fn input_max(&self) -> usize {
        1
    }
}

impl Protocol for Guest {
    fn receive(&mut self, input: &[u8], _: &mut Context<'_>) -> usize {
        input.len()
    }

    fn cue(&mut self, cue: Cue, cx: &mut Context<'_>) {
        if cue == Cue::ShuttingDown {
            cx.out().write(b"bye ");
            if self.finishes {
                cx.finish();
            }
        }
    }

    fn input_max(&self) -> usize {
        1
    }
}

/// Also of the telling in answer to which it took over; but who has finished hears no more.
#[test]
fn a_successor_is_told_as_often_until_it_finishes() {
    for gives_way_when_told in [false, true] {
        for guest_finishes in [false, true] {
            let mut wire = Wire::new(Box::new(Host { gives_way_when_told, guest_finishes }));
            wire.cue(Cue::ShuttingDown);
            if !guest_finishes || !gives_way_when_told {
                wire.cue(Cue::ShuttingDown);
            }
            wire.feed(b"x");
            wire.flush();
            let want = if guest_finishes { "bye " } else { "bye bye " };
            let about = format!("gives way when told: {gives_way_when_told}, finishes: {guest_finishes}");
            assert_eq!(wire.sent, want.as_bytes(), "{about}");
            assert_eq!(wire.link.fate() == Fate::Finish, guest_finishes, "{about}");
        }
    }
}

#[test]
fn nothing_comes_after_closed() {
    for orders in ["resume", "become b"] {
        let (mut wire, diary) = Wire::orders(&[(Cue::Closed, orders)]);
        wire.feed(b"pause\nsay one\n");
        wire.end();
        wire.cue(Cue::Closed);
        assert_eq!(diary.entries(), ["a: pause", "a: [Closed]"], "{orders}");
    }
}

/// Feeds a line without an end, of the most that may stay untaken less `short_bytes`.
fn endless_line(orders: &str, short_bytes: usize) -> Fate {
    let (mut wire, _) = Wire::orders(&[]);
    wire.feed(orders.as_bytes());
    wire.feed(&vec![b'x'; LINE_BYTES_MAX - short_bytes]);
    wire.link.fate()
}

#[test]
fn a_line_may_be_as_long_as_it_may_be() {
    assert_eq!(endless_line("", 1), Fate::Open);
    // Who takes no input now need not take it.
    assert_eq!(endless_line("pause\n", 0), Fate::Open);
    assert_eq!(endless_line("big 65536\n", 0), Fate::Open);
}

#[cfg(debug_assertions)]
#[test]
#[should_panic(expected = "waits for more than its input_max")]
fn who_waits_for_what_can_not_come_is_found_by_tests() {
    endless_line("", 0);
}

#[cfg(not(debug_assertions))]
#[test]
fn who_waits_for_what_can_not_come_is_aborted() {
    assert_eq!(endless_line("", 0), Fate::Abort);
}

#[test]
#[should_panic(expected = "took 2 bytes of 1")]
fn nobody_takes_more_than_there_is() {
    struct Greedy;
    impl Protocol for Greedy {
        fn receive(&mut self, input: &[u8], _cx: &mut Context<'_>) -> usize {
            input.len() + 1
        }
        fn cue(&mut self, _cue: Cue, _cx: &mut Context<'_>) {}
        fn input_max(&self) -> usize {
            1
        }
    }
    Wire::new(Box::new(Greedy)).feed(b"x");
}

#[test]
fn the_waker_of_a_context_is_the_drivers() {
    let (mut wire, diary) = Wire::orders(&[]);
    wire.feed(b"waker\n");
    let waker = diary.wakers.borrow()[0].clone();
    assert_eq!(wire.wakes.count(), 0);
    waker.wake_by_ref();
    assert_eq!(wire.wakes.count(), 1);
}

fn order() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "say [a-z]{0,9}",
        2 => Just("pause".to_string()),
        1 => Just("become b".to_string()),
        2 => (0..3 * HIGH).prop_map(|bytes| format!("big {bytes}")),
        1 => (0..3 * HIGH).prop_map(|bytes| format!("share {bytes}")),
        1 => (0..99u32).prop_map(|ms| format!("after {ms}")),
        1 => Just(String::new()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cuts_of_any_input_give_the_same_answers(
        lines in proptest::collection::vec(order(), 0..20),
        tail in "[a-z]{0,9}",
        ends in proptest::option::of("finish|abort"),
        mut cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
        layers in 0..3u8,
    ) {
        let mut input = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        ends.iter().for_each(|end| input += &format!("{end}\nsay never\n"));
        input += &tail;
        let input = input.as_bytes();
        let mut at: Vec<_> = cuts.drain(..).map(|cut| cut.index(input.len() + 1)).chain([0, input.len()]).collect();
        at.sort_unstable();
        let pieces = at.windows(2).map(|ends| &input[ends[0]..ends[1]]);
        prop_assert_eq!(story(RESUME_WHEN_WOKEN, pieces, layers), story(RESUME_WHEN_WOKEN, [input], 0));
    }
}

/// A pipe, and how often its receiver was woken.
fn counted_pipe(bound: usize) -> (Sender, Receiver, Arc<Wakes>) {
    let wakes = Arc::<Wakes>::default();
    let (sender, receiver) = pipe(bound, Waker::from(wakes.clone()));
    (sender, receiver, wakes)
}

fn bytes(bytes: &[u8]) -> Taken {
    Taken::Bytes(bytes.into())
}

#[test]
fn a_pipe_is_full_at_its_bound() {
    #[track_caller]
    fn check(bound: usize, sends: &[(usize, Result<(), SendError>)]) {
        let (sender, _receiver, _) = counted_pipe(bound);
        for (at, (length, want)) in sends.iter().enumerate() {
            assert_eq!(sender.send(vec![0; *length]), *want, "send {at} into a pipe of {bound}");
        }
    }
    let full = Err(SendError::Full);
    check(10, &[(10, Ok(())), (1, full), (0, Ok(()))]);
    check(10, &[(11, full), (10, Ok(()))]);
    check(42, &[(9, Ok(())), (2, full), (1, Ok(())), (1, full)]); // Behind another a message takes 32 bytes of its own.
    check(999 * 33 + 1, &[[(1, Ok(())); 1_000].as_slice(), &[(1, full)]].concat());
    check(0, &[(1, full), (0, Ok(()))]);
}

#[test]
fn what_is_taken_makes_room_and_nothing_is_lost_or_moved() {
    let (sender, receiver, _) = counted_pipe(35);
    assert_eq!(sender.send(*b"ab"), Ok(()));
    assert_eq!(sender.send(*b"cd"), Err(SendError::Full));
    assert_eq!(sender.clone().send(*b"c"), Ok(()));
    assert_eq!(receiver.take(), bytes(b"ab"));
    assert_eq!(sender.send(*b"de"), Ok(()));
    assert_eq!((receiver.take(), receiver.take(), receiver.take()), (bytes(b"c"), bytes(b"de"), Taken::Empty));
}

#[test]
fn empty_bytes_take_no_place_in_a_pipe() {
    let (sender, receiver, wakes) = counted_pipe(3);
    for _ in 0..100 {
        assert_eq!(sender.send([]), Ok(()));
    }
    assert_eq!((receiver.take(), wakes.count()), (Taken::Empty, 0), "else a pipe would not be bounded");
}

#[test]
fn a_receiver_is_woken_by_the_first_bytes_and_by_the_end() {
    let (sender, receiver, wakes) = counted_pipe(80);
    let steps: &[(&str, &dyn Fn(), usize)] = &[
        ("the first bytes", &|| sender.send(*b"a").unwrap(), 1),
        ("more bytes", &|| sender.send(*b"b").unwrap(), 1),
        ("taking some", &|| drop(receiver.take()), 1),
        ("bytes beside others", &|| sender.send(*b"c").unwrap(), 1),
        ("taking all", &|| (0..3).for_each(|_| drop(receiver.take())), 1),
        ("first bytes again", &|| sender.send(*b"d").unwrap(), 2),
        ("bytes that do not fit", &|| assert_eq!(sender.send(vec![0; 80]), Err(SendError::Full)), 2),
        ("a sender that is not the last", &|| drop(sender.clone()), 2),
        ("the end", &|| sender.close(), 3),
        ("the end again", &|| sender.close(), 3),
        ("bytes after the end", &|| assert_eq!(sender.send(*b"e"), Err(SendError::Closed)), 3),
    ];
    for (step, act, want) in steps {
        act();
        assert_eq!(wakes.count(), *want, "{step}");
    }
    drop(sender);
    assert_eq!(wakes.count(), 3, "the last sender after the end");
}

#[test]
fn a_pipe_ends_after_what_was_queued() {
    for (case, is_closed) in [("closed", true), ("the last sender dropped", false)] {
        let (sender, receiver, wakes) = counted_pipe(9);
        let other = sender.clone();
        sender.send(*b"a").unwrap();
        drop(sender);
        if is_closed {
            other.close();
            assert_eq!(other.send(*b"b"), Err(SendError::Closed), "{case}");
            assert_eq!(other.clone().send([]), Err(SendError::Closed), "{case}");
        } else {
            drop(other);
        }
        assert_eq!(wakes.count(), 2, "{case}");
        assert_eq!((receiver.take(), receiver.take()), (bytes(b"a"), Taken::Ended), "{case}");
        assert_eq!(receiver.take(), Taken::Ended, "{case}, again");
    }
}

#[test]
fn a_pipe_that_is_cut_says_so_and_frees_what_it_held() {
    let panicked = |sender: Sender| {
        // resume_unwind does not print what the test wants to happen.
        let unwound = std::thread::spawn(move || {
            let _sender = sender;
            std::panic::resume_unwind(Box::new("as asked"))
        });
        unwound.join().unwrap_err();
    };
    let cases: [(&str, &dyn Fn(Sender)); 3] = [
        ("cut", &|sender| sender.cut()),
        ("closed, then cut", &|sender| {
            sender.close();
            sender.cut();
            sender.close();
        }),
        ("dropped by a panic, though not the last", &panicked),
    ];
    for (case, end) in cases {
        let (sender, receiver, _) = counted_pipe(9);
        let held = Arc::<[u8]>::from(*b"a");
        sender.send(held.clone()).unwrap();
        assert!(sender.is_open(), "{case}");
        end(sender.clone());
        assert_eq!(Arc::strong_count(&held), 1, "{case}");
        assert_eq!((receiver.take(), receiver.take()), (Taken::Cut, Taken::Cut), "{case}");
        assert_eq!((sender.is_open(), sender.send(*b"b")), (false, Err(SendError::Closed)), "{case}");
    }
}

#[test]
fn who_drops_the_receiver_closes_the_pipe_and_frees_what_it_held() {
    let (sender, receiver, wakes) = counted_pipe(9);
    let held = Arc::<[u8]>::from(*b"a");
    sender.send(held.clone()).unwrap();
    drop(receiver);
    assert_eq!(Arc::strong_count(&held), 1);
    assert_eq!(sender.send(*b"b"), Err(SendError::Closed));
    sender.close();
    drop(sender);
    assert_eq!(wakes.count(), 1, "there is nobody to be woken");
}

#[test]
fn threads_send_in_their_own_order_and_the_last_ends_the_pipe() {
    const SENDS: u32 = 2_000;
    let (sender, receiver, wakes) = counted_pipe(64);
    let threads: Vec<_> = (0..4u32)
        .map(|thread| {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for at in 0..SENDS {
                    let message = [thread.to_be_bytes(), at.to_be_bytes()].concat();
                    while sender.send(message.clone()) == Err(SendError::Full) {
                        std::thread::yield_now();
                    }
                }
            })
        })
        .collect();
    drop(sender);
    let (mut next, mut times_empty) = ([0; 4], 0);
    loop {
        match receiver.take() {
            Taken::Bytes(bytes) => {
                let (thread, at) = bytes.split_at(4);
                let thread = u32::from_be_bytes(thread.try_into().unwrap()) as usize;
                assert_eq!(u32::from_be_bytes(at.try_into().unwrap()), next[thread], "of thread {thread}");
                next[thread] += 1;
            }
            Taken::Empty => {
                times_empty += 1;
                std::thread::yield_now();
            }
            Taken::Ended => break,
            Taken::Cut => unreachable!("nobody cuts it"),
        }
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(next, [SENDS; 4]);
    assert!(wakes.count() >= 2, "by the first bytes and the end");
    // Taking one at a time, the receiver can find the pipe empty without seeing it so only after each message.
    assert!(wakes.count() <= 4 * SENDS as usize + 1 + times_empty, "no more than there were first bytes");
}
