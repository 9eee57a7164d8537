//! WebSocket without a socket: frames in, frames out, the life of a connection, and somebody else's implementation at the other end.

mod echo;
mod wire;

use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tripoll::http::{self, Answer, Listener, Request, Response, Service};
use tripoll::protocol::{Cue, Fate, MinRate, OUTBOX_HIGH, SendError, Sender};
use tripoll::websocket::{
    CloseCode, Ended, Limits, Message, Peer, Reader, Session, Socket, Step, Upgrade, binary_frame, text_frame,
};
use tungstenite::protocol::{Role, WebSocketConfig};
use wire::Wire;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const MESSAGE_BYTES_MAX: usize = 1000;
const SECOND: Duration = Duration::from_secs(1);
const RATE: MinRate = MinRate { bytes_per_second: 10, after: Duration::from_secs(20) };

fn limits() -> Limits {
    Limits {
        message_bytes_max: MESSAGE_BYTES_MAX,
        message_rate_min: MinRate::NONE,
        heartbeat: 30 * SECOND,
        close_timeout: 5 * SECOND,
    }
}

/// A client's frame: its first byte, the length in the shortest form, a mask, the payload masked.
fn frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut out = vec![first];
    match payload.len() {
        length @ ..126 => out.push(0x80 | length as u8),
        length @ 126..0x1_0000 => out.extend([&[0xfe], &(length as u16).to_be_bytes()[..]].concat()),
        length => out.extend([&[0xff], &(length as u64).to_be_bytes()[..]].concat()),
    }
    out.extend(MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

fn text(text: &str) -> Vec<u8> {
    frame(0x81, text)
}

fn close(code: u16, reason: &str) -> Vec<u8> {
    frame(0x88, [&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// What a session heard, and the sender it made.
#[derive(Default)]
struct Diary {
    entries: RefCell<Vec<String>>,
    sender: RefCell<Option<Sender>>,
}

impl Diary {
    fn note(&self, entry: String) {
        self.entries.borrow_mut().push(entry);
    }

    fn take(&self) -> Vec<String> {
        self.entries.take()
    }

    fn send(&self, frame: Arc<[u8]>) -> Result<(), SendError> {
        self.sender.borrow().as_ref().unwrap().send(frame)
    }
}

/// Does what a text says; says nothing by itself.
struct Obeys(Rc<Diary>);

impl Session for Obeys {
    fn opened(&mut self, peer: &mut Peer<'_>) {
        self.0.note("opened".to_string());
        *self.0.sender.borrow_mut() = Some(peer.sender(200_000));
    }

    fn message(&mut self, message: Message, peer: &mut Peer<'_>) {
        let Message::Text(text) = message else {
            return self.0.note(format!("{message:?}"));
        };
        self.0.note(text.clone());
        match text.split_once(' ') {
            Some(("say", what)) => peer.text(what),
            Some(("pause", seconds)) => peer.pause(seconds.parse::<u32>().unwrap() * SECOND),
            Some(("close", reason)) => {
                peer.close(CloseCode::new(4001).unwrap(), reason);
                peer.text("never said");
            }
            _ => {}
        }
    }

    fn closed(&mut self, ended: Ended) {
        self.0.note(match ended {
            Ended::ByPeer { code, reason } => format!("by peer: {:?} {reason}", code.map(CloseCode::get)),
            Ended::Failed(failure) => format!("failed: {failure}"),
            Ended::Here => "closed here".to_string(),
            Ended::Lost => "lost".to_string(),
        });
    }
}

/// An open socket whose session obeys.
fn open() -> (Wire, Rc<Diary>) {
    open_with(limits())
}

fn open_with(limits: Limits) -> (Wire, Rc<Diary>) {
    let diary = Rc::<Diary>::default();
    let socket = Socket::new(Arc::new(limits), Obeys(diary.clone()));
    (Wire::over(Box::new(socket), SystemTime::UNIX_EPOCH), diary)
}

/// What a session heard, what its peer was sent, and how it ended.
#[derive(Debug, PartialEq, Eq)]
struct Story {
    heard: Vec<String>,
    sent: Vec<u8>,
    fate: Fate,
}

fn story<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Story {
    let (mut wire, diary) = open();
    pieces.into_iter().for_each(|piece| wire.feed(piece));
    let mut heard = diary.take();
    assert_eq!(heard.remove(0), "opened");
    Story { heard, fate: wire.fate(), sent: wire.sent }
}

/// The same however it is cut.
#[track_caller]
fn check(case: &str, input: &[u8], heard: &[&str], sent: &[u8], fate: Fate) {
    let whole = story([input]);
    let want = Story { heard: heard.iter().map(|entry| entry.to_string()).collect(), sent: sent.to_vec(), fate };
    assert_eq!(whole, want, "{case}");
    for cut in 0..=input.len() {
        let (left, right) = input.split_at(cut);
        assert_eq!(story([left, right]), whole, "{case}, cut at byte {cut}");
    }
    assert_eq!(story(input.chunks(1)), whole, "{case}, byte by byte");
}

/// A server's Close frame.
fn closed(code: u16, reason: &str) -> Vec<u8> {
    [&[0x88, 2 + reason.len() as u8], &code.to_be_bytes()[..], reason.as_bytes()].concat()
}

/// RFC 6455 §5.7.
#[test]
fn the_examples_of_the_rfc_are_read_and_written() {
    let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    check("a masked text", &hello, &["Hello"], b"", Fate::Open);
    let pong = [0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    check("a masked pong", &pong, &[], b"", Fate::Open);
    check("fragments", &[frame(0x01, "Hel"), frame(0x80, "lo")].concat(), &["Hello"], b"", Fate::Open);
    check("a ping", &frame(0x89, "Hello"), &[], b"\x8a\x05Hello", Fate::Open);

    assert_eq!(*text_frame("Hello"), [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    assert_eq!(binary_frame(&[0; 256])[..5], [0x82, 0x7e, 0x01, 0x00, 0]);
    assert_eq!(binary_frame(&[0; 65_536])[..11], [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
    for (bytes, header) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
        assert_eq!(binary_frame(&vec![0; bytes]).len(), header + bytes, "{bytes}");
    }
}

#[test]
fn where_a_conversation_is_cut_does_not_matter() {
    const ENDS: &str = "\0\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{ffff}\u{10ffff}";
    let long = "ä€😀x".repeat(90);
    type Conversation<'a> = (&'a str, Vec<Vec<u8>>, &'a [&'a str], Vec<u8>);
    let conversations: &[Conversation<'_>] = &[
        ("nothing", vec![], &[], vec![]),
        ("empty messages", vec![text(""), frame(0x82, ""), text("")], &["", "Binary([])", ""], vec![]),
        (
            "a message and an answer",
            vec![text("say one"), text("say two")],
            &["say one", "say two"],
            b"\x81\x03one\x81\x03two".to_vec(),
        ),
        (
            "binary in fragments",
            vec![frame(2, [0, 1]), frame(0, []), frame(0x80, [0xff])],
            &["Binary([0, 1, 255])"],
            vec![],
        ),
        ("empty fragments", vec![frame(1, ""), frame(0, ""), frame(0x80, "")], &[""], vec![]),
        (
            "control frames between fragments",
            vec![frame(1, "ab"), frame(0x89, "p"), frame(0, "c"), frame(0x8a, ""), frame(0x80, "d"), frame(0x89, "")],
            &["abcd"],
            b"\x8a\x01p\x8a\x00".to_vec(),
        ),
        ("the longest ping", vec![frame(0x89, [7; 125])], &[], [&[0x8a, 125], &[7; 125][..]].concat()),
        ("a text of all lengths of characters", vec![text(&long)], &[&long], vec![]),
        (
            "characters cut by frames",
            vec![frame(1, [0xf0]), frame(0, [0x9f, 0x98]), frame(0, []), frame(0x80, [0x80])],
            &["😀"],
            vec![],
        ),
        ("the ends of what is UTF-8", vec![text(ENDS)], &[ENDS], vec![]),
    ];
    for (case, frames, heard, sent) in conversations {
        check(case, &frames.concat(), heard, sent, Fate::Open);
    }
}

#[test]
fn closing_is_answered_with_the_same_code_and_ends_the_connection() {
    let empty = [frame(0x88, ""), text("late")].concat();
    check("no code", &empty, &["by peer: None "], b"\x88\x00", Fate::Finish);
    check(
        "within a message",
        &[frame(1, "a"), close(1001, "")].concat(),
        &["by peer: Some(1001) "],
        &closed(1001, ""),
        Fate::Finish,
    );
    let reason = "ä".repeat(61) + "x";
    check(
        "the longest reason",
        &close(1000, &reason),
        &[&format!("by peer: Some(1000) {reason}")],
        &closed(1000, ""),
        Fate::Finish,
    );
}

/// RFC 6455 §7.4: which codes may stand on the wire.
#[test]
fn close_codes_are_those_that_may_be_sent() {
    for code in 0..=u16::MAX {
        let is_lawful = match code {
            0..=999 => false,     // §7.4.2
            1004..=1006 => false, // §7.4.1: reserved, or not to be sent
            1000..=1003 | 1007..=1011 => true,
            1012..=1014 => true,  // registered since
            1015 => false,        // not to be sent
            1016..=2999 => false, // for this protocol's future
            3000..=4999 => true,  // libraries, applications
            5000.. => false,
        };
        let Story { heard, sent, .. } = story([&close(code, "why")[..]]);
        let (want, answer) = match is_lawful {
            true => (format!("by peer: Some({code}) why"), closed(code, "")),
            false => {
                let reason = "that close code can't be sent";
                (format!("failed: 1002: {reason}"), closed(1002, reason))
            }
        };
        assert_eq!((heard, sent), (vec![want], answer), "{code}");
        assert_eq!(CloseCode::new(code).map(CloseCode::get), is_lawful.then_some(code));
    }
}

#[test]
fn what_breaks_a_rule_is_told_why_and_the_rest_is_not_read() {
    let raw = |bytes: &[u8]| [bytes, &MASK].concat();
    let plain = |first: u8| vec![first, 0];
    let long = |first: u8, length: u64| [&[first, 0xff], &length.to_be_bytes()[..], &MASK].concat();
    let opcodes = [3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf].map(|opcode| vec![frame(0x80 | opcode, "")]);
    let bits = [0x10, 0x20, 0x40, 0x70].map(|bits| vec![frame(0x81 | bits, "")]);
    let not_utf8 = [
        &b"\x80"[..],
        b"\xbf",
        b"\xc0\xaf",
        b"\xc1\xbf",
        b"\xe0\x80",
        b"\xe0\x9f\xbf",
        b"\xed\xa0",
        b"\xed\xbf\xbf",
        b"\xf0\x80",
        b"\xf0\x8f\xbf\xbf",
        b"\xf4\x90",
        b"\xf5",
        b"\xf8",
        b"\xfc",
        b"\xfe",
        b"\xff",
        b"\xc3(",
        b"\xe2\x82(",
        b"\xf0\x9f\x98(",
        b"\xc3\xc3",
        b"a\x80",
        b"\xe2\x82\xac\x80",
    ];
    let not_utf8 = not_utf8.map(|bytes| vec![frame(1, bytes)]);
    let cut_off = [&b"\xc3"[..], b"\xe2\x82", b"\xf0\x9f\x98"];
    let cut_off = cut_off.map(|bytes| vec![frame(1, bytes), frame(0x80, "")]);
    type Case<'a> = (u16, &'a str, &'a [Vec<Vec<u8>>]);
    let cases: &[Case<'_>] = &[
        (1002, "that opcode is reserved", &opcodes),
        (1002, "a reserved bit is set", &bits),
        (
            1002,
            "a client's frame is not masked",
            &[vec![plain(0x81)], vec![plain(0x88)], vec![frame(1, "a"), plain(0x80)], vec![vec![0x82, 126, 0, 126]]],
        ),
        (
            1002,
            "there is nothing to continue",
            &[vec![frame(0x80, "a")], vec![frame(0, "a")], vec![text("a"), frame(0x80, "")]],
        ),
        (
            1002,
            "a message begins within another",
            &[
                vec![frame(1, "a"), text("b")],
                vec![frame(2, "a"), frame(1, "b")],
                vec![frame(1, "a"), frame(0x8a, ""), frame(0x82, "b")],
            ],
        ),
        (1002, "a control frame is cut in fragments", &[vec![frame(8, "")], vec![frame(9, "")], vec![frame(0xa, "")]]),
        (
            1002,
            "a control frame is too long",
            &[
                vec![frame(0x88, [0; 126])],
                vec![frame(0x89, [0; 126])],
                vec![frame(0x8a, [0; 126])],
                vec![raw(&[0x89, 0xfe, 0, 1])],
                vec![long(0x89, 1)],
            ],
        ),
        (
            1002,
            "a length is longer than need be",
            &[
                vec![raw(&[0x82, 0xfe, 0, 0])],
                vec![raw(&[0x82, 0xfe, 0, 125])],
                vec![long(0x82, 0)],
                vec![long(0x82, 65_535)],
            ],
        ),
        (1002, "a length has its highest bit set", &[vec![long(0x82, 1 << 63)], vec![long(0x81, u64::MAX)]]),
        (1002, "a close code is cut off", &[vec![frame(0x88, [3])]]),
        (1007, "a text is not UTF-8", &not_utf8),
        (1007, "a text is not UTF-8", &cut_off),
        (1007, "a text is not UTF-8", &[vec![frame(0x88, [0x03, 0xe8, 0xff])], vec![frame(0x81, [0xc3])]]),
        (
            1009,
            "the message is too big",
            &[
                vec![frame(0x82, [0; MESSAGE_BYTES_MAX + 1])],
                vec![frame(2, [0; MESSAGE_BYTES_MAX]), frame(0x80, [0])],
                vec![frame(1, [b'a'; MESSAGE_BYTES_MAX - 1]), frame(0, [0xc3]), frame(0x80, [0xa4])],
                vec![long(0x82, 65_536)],
                vec![long(0x82, (1 << 63) - 1)],
            ],
        ),
    ];
    for (code, reason, inputs) in cases {
        for frames in *inputs {
            let input = [frames.concat(), text("say no")].concat();
            let heard = format!("failed: {code}: {reason}");
            let before = if frames.len() == 2 && frames[0] == text("a") { vec!["a", &heard] } else { vec![&*heard] };
            check(&format!("{:?}", frames.concat()), &input, &before, &closed(*code, reason), Fate::Finish);
        }
    }
}

#[test]
fn a_message_may_be_as_big_as_its_limit() {
    let mut inputs = vec![vec![frame(0x82, [0; MESSAGE_BYTES_MAX])]];
    inputs.push(vec![frame(2, [0; MESSAGE_BYTES_MAX - 1]), frame(0, []), frame(0x80, [0])]);
    let want = format!("{:?}", Message::Binary(vec![0; MESSAGE_BYTES_MAX]));
    for frames in inputs {
        // Twice: what one message had is not counted against the next.
        let input = [frames.concat(), frames.concat()].concat();
        assert_eq!(story([&input[..]]).heard, [&want, &want].map(String::clone));
    }
}

/// RFC 6455 §5.2: seven bits, sixteen, sixty-four; whole and in fragments, and however the first bytes are cut.
#[test]
fn payloads_are_read_whatever_form_their_length_has() {
    let limits = Limits { message_bytes_max: 70_000, ..limits() };
    for size in [0, 1, 124, 125, 126, 127, 128, 255, 256, 65_534, 65_535, 65_536, 65_537, 70_000] {
        let bytes: Vec<u8> = (0..size).map(|at| (at % 26) as u8 + b'a').collect();
        let (said, half) = (String::from_utf8(bytes.clone()).unwrap(), size / 2);
        let cases = [
            ("a text", frame(0x81, &bytes), said.clone()),
            ("binary", frame(0x82, &bytes), format!("{:?}", Message::Binary(bytes.clone()))),
            (
                "two fragments and ten pings",
                [frame(1, &bytes[..half]), frame(0x89, "").repeat(10), frame(0x80, &bytes[half..])].concat(),
                said.clone(),
            ),
            ("the other way round", [frame(1, ""), frame(0, &bytes), frame(0x80, "")].concat(), said),
        ];
        for (case, input, want) in cases {
            for cut in (0..=input.len().min(16)).chain([input.len() / 2, input.len().saturating_sub(1)]) {
                let (mut wire, diary) = open_with(limits.clone());
                wire.feed(&input[..cut]);
                wire.feed(&input[cut..]);
                assert!(diary.take() == ["opened", &want], "{size} bytes, {case}, cut at byte {cut}");
                let pongs = if case.ends_with("pings") { 10 } else { 0 };
                assert_eq!((wire.fate(), &wire.sent), (Fate::Open, &b"\x8a\x00".repeat(pongs)), "{size} bytes, {case}");
            }
        }
    }
}

/// What is said where nobody closes first.
#[test]
fn a_silent_peer_is_asked_then_lost() {
    let (mut wire, diary) = open();
    wire.wait(29 * SECOND);
    assert_eq!(wire.sent, b"");
    wire.wait(SECOND);
    assert_eq!(wire.sent, b"\x89\x00");
    wire.feed(&frame(0x8a, ""));
    wire.wait(30 * SECOND);
    assert_eq!(wire.sent, b"\x89\x00\x89\x00");
    let message = text("a message");
    wire.feed(&message[..7]);
    wire.wait(30 * SECOND);
    assert_eq!((wire.fate(), wire.sent.len()), (Fate::Open, 6), "a byte is a sign of life");
    wire.feed(&message[7..]);
    wire.feed(&message[..5]);
    wire.wait(30 * SECOND);
    assert_eq!((wire.fate(), wire.sent.len()), (Fate::Open, 8));
    // What is left of it is offered again at each cue.
    wire.wait(30 * SECOND);
    assert_eq!((wire.fate(), wire.sent.len()), (Fate::Abort, 8));
    wire.cue(Cue::Closed);
    assert_eq!(diary.take(), ["opened", "a message", "lost"]);
}

#[test]
fn a_message_that_drips_is_ended_and_one_that_keeps_up_is_not() {
    let too_slow = || closed(1008, "the message comes too slowly");
    let begun = |limits: Limits, bytes: usize| {
        let (mut wire, diary) = open_with(Limits { message_rate_min: RATE, ..limits });
        wire.wait(7 * SECOND); // It is the message that has so much time, not the socket.
        wire.feed(&frame(0x02, vec![7; bytes]));
        (wire, diary)
    };
    // Twenty seconds are free; 200 bytes are what they cost.
    for (bytes, is_enough) in [(0, false), (199, false), (200, false), (201, true)] {
        let (mut wire, diary) = begun(limits(), bytes);
        wire.wait(20 * SECOND - Duration::from_nanos(1));
        assert_eq!((wire.fate(), &*wire.sent), (Fate::Open, &b""[..]), "{bytes}");
        wire.wait(Duration::from_nanos(1));
        let (fate, sent) = if is_enough { (Fate::Open, vec![]) } else { (Fate::Finish, too_slow()) };
        assert_eq!((wire.fate(), &wire.sent), (fate, &sent), "{bytes}");
        if is_enough {
            wire.wait(SECOND / 10); // What one byte bought.
            assert_eq!((wire.fate(), &wire.sent), (Fate::Finish, &too_slow()), "{bytes}");
        }
        assert_eq!(diary.take(), ["opened", "failed: 1008: the message comes too slowly"], "{bytes}");
    }
    // Fragments without content, and what stands between them, buy nothing.
    let (mut wire, _) = begun(limits(), 200);
    for _ in 0..19 {
        wire.wait(SECOND);
        wire.feed(&[frame(0, ""), frame(0x8a, [0; 125])].concat());
    }
    wire.wait(SECOND);
    assert_eq!((wire.fate(), &wire.sent), (Fate::Finish, &too_slow()));
    // Nor does a peer that is never asked whether it is there have more time.
    let (mut wire, _) = begun(Limits { heartbeat: Duration::MAX, ..limits() }, 1);
    wire.wait(20 * SECOND);
    assert_eq!((wire.fate(), &wire.sent), (Fate::Finish, &too_slow()));

    // A message that keeps up is asked about as often as ever, and the next one begins anew.
    let (mut wire, diary) = begun(limits(), 100);
    for _ in 0..29 {
        wire.wait(SECOND);
        wire.feed(&frame(0, [7; 10]));
    }
    assert_eq!((wire.fate(), &*wire.sent), (Fate::Open, &b""[..]));
    wire.wait(SECOND);
    assert_eq!((wire.fate(), &*wire.sent), (Fate::Open, &b"\x89\x00"[..]));
    wire.feed(&[frame(0x80, ""), text("said"), frame(0x01, "")].concat());
    wire.wait(20 * SECOND - Duration::from_nanos(1));
    assert_eq!((wire.fate(), diary.take().len()), (Fate::Open, 3));
    wire.wait(Duration::from_nanos(1));
    assert_eq!(wire.fate(), Fate::Finish);
    // Whole, it leaves the heartbeat as it was.
    let (mut wire, _) = begun(limits(), 1);
    wire.wait(19 * SECOND);
    wire.feed(&frame(0x80, ""));
    wire.wait(29 * SECOND);
    assert_eq!((wire.fate(), &*wire.sent), (Fate::Open, &b""[..]));
    wire.wait(SECOND);
    assert_eq!((wire.fate(), &*wire.sent), (Fate::Open, &b"\x89\x00"[..]));
    wire.wait(30 * SECOND);
    assert_eq!(wire.fate(), Fate::Abort);
}

#[test]
fn a_message_is_not_too_slow_for_what_the_peer_was_not_read() {
    let (mut wire, diary) = open_with(Limits { message_rate_min: RATE, ..limits() });
    wire.feed(&frame(0x02, [7; 100]));
    wire.is_stalled = true;
    diary.send(binary_frame(&vec![7; OUTBOX_HIGH as usize])).unwrap();
    wire.cue(Cue::Woken);
    wire.wait(19 * SECOND);
    assert!(!wire.wants_input());
    wire.is_stalled = false;
    wire.feed(b"");
    wire.wait(20 * SECOND - Duration::from_nanos(1));
    assert_eq!(wire.fate(), Fate::Open);
    wire.wait(Duration::from_nanos(1));
    assert_eq!(wire.fate(), Fate::Finish);
}

#[test]
fn a_session_that_closes_awaits_the_peer_and_not_for_ever() {
    type Act = fn(&mut Wire);
    let ends: [(&str, Act, Fate); 6] = [
        ("its Close", |wire| wire.feed(&close(4001, "")), Fate::Finish),
        (
            "messages, then its Close",
            |wire| wire.feed(&[text("late"), frame(0x89, ""), close(1000, "")].concat()),
            Fate::Finish,
        ),
        ("what is no frame", |wire| wire.feed(&[0xff; 20]), Fate::Finish),
        ("its end", Wire::end_of_input, Fate::Finish),
        ("nothing, almost too long", |wire| wire.wait(5 * SECOND - Duration::from_nanos(1)), Fate::Open),
        ("nothing", |wire| wire.wait(5 * SECOND), Fate::Finish),
    ];
    for (case, act, fate) in ends {
        let (mut wire, diary) = open();
        wire.feed(&text("close for the night"));
        assert_eq!(diary.take(), ["opened", "close for the night", "closed here"], "{case}");
        assert!(wire.wants_input());
        assert_eq!(diary.send(text_frame("late")), Err(SendError::Closed), "{case}");
        act(&mut wire);
        assert_eq!(wire.fate(), fate, "{case}");
        wire.cue(Cue::Closed);
        assert_eq!(wire.sent, closed(4001, "for the night"), "{case}");
        assert_eq!(diary.take(), [""; 0], "{case}");
    }
}

#[test]
fn of_a_reason_there_goes_what_fits() {
    for (reason, fits) in
        [("a".repeat(123), 123), ("a".repeat(124), 123), ("ä".repeat(62), 122), ("😀".repeat(40), 120)]
    {
        let (mut wire, _) = open();
        wire.feed(&text(&format!("close {reason}")));
        assert_eq!(wire.sent, closed(4001, &reason[..fits]));
    }
}

#[test]
fn a_server_that_goes_down_says_so() {
    for before in ["", "pause 9"] {
        let (mut wire, diary) = open();
        wire.feed(&text(before));
        wire.cue(Cue::ShuttingDown);
        wire.cue(Cue::ShuttingDown);
        assert_eq!(wire.sent, closed(1001, ""));
        assert_eq!(wire.fate(), Fate::Open);
        wire.feed(&close(1001, ""));
        assert_eq!(wire.fate(), Fate::Finish);
        wire.cue(Cue::Closed);
        assert_eq!(diary.take(), ["opened", before, "closed here"]);
    }
}

#[test]
fn a_connection_that_breaks_is_told_once() {
    for (case, input) in [("between messages", text("a")), ("within one", [text("a"), frame(1, "b")].concat())] {
        let (mut wire, diary) = open();
        wire.feed(&input);
        wire.end_of_input();
        assert_eq!((wire.fate(), &*wire.sent), (Fate::Finish, &b""[..]), "{case}");
        wire.cue(Cue::Closed);
        assert_eq!(diary.take(), ["opened", "a", "lost"], "{case}");

        let (mut wire, diary) = open();
        wire.feed(&input);
        wire.cue(Cue::Closed);
        assert_eq!(diary.take(), ["opened", "a", "lost"], "{case}");
    }
}

#[test]
fn a_paused_peer_waits_and_what_others_send_it_does_not() {
    let (mut wire, diary) = open();
    wire.feed(&[text("pause 9"), text("say one")].concat());
    assert!(!wire.wants_input());
    diary.send(text_frame("from elsewhere")).unwrap();
    wire.cue(Cue::Woken);
    assert_eq!(wire.sent, *text_frame("from elsewhere"));
    wire.wait(9 * SECOND - Duration::from_nanos(1));
    assert_eq!(diary.take(), ["opened", "pause 9"]);
    wire.wait(Duration::from_nanos(1));
    assert_eq!(diary.take(), ["say one"]);
    assert!(wire.wants_input());
    wire.wait(30 * SECOND);
    assert!(wire.sent.ends_with(b"\x81\x03one\x89\x00"), "the heartbeat goes on");
}

#[test]
fn frames_of_others_go_out_in_order_and_as_there_is_room() {
    let (mut wire, diary) = open();
    wire.is_stalled = true;
    let frames: Vec<_> = [10, 20_000, 0, 40_000, 30_000, 50].map(|bytes| binary_frame(&vec![7; bytes])).into();
    frames.iter().for_each(|frame| diary.send(frame.clone()).unwrap());
    wire.cue(Cue::Woken);
    let full: usize = frames[..5].iter().map(|frame| frame.len()).sum();
    assert_eq!(wire.queued(), full as u64, "past {OUTBOX_HIGH} the rest waits in the pipe");
    wire.is_stalled = false;
    wire.feed(b"");
    assert_eq!(wire.sent, frames.concat());
    assert_eq!(wire.fate(), Fate::Open);
}

#[test]
fn a_sender_that_ends_closes_the_socket_behind_what_it_sent() {
    for is_dropped in [true, false] {
        let (mut wire, diary) = open();
        diary.send(text_frame("bye")).unwrap();
        let sender = diary.sender.take().unwrap();
        if is_dropped {
            drop(sender)
        } else {
            sender.close()
        }
        wire.cue(Cue::Woken);
        assert_eq!(wire.sent, [&text_frame("bye")[..], &closed(1000, "")].concat());
        assert_eq!((wire.fate(), diary.take()), (Fate::Open, vec!["opened".to_string(), "closed here".to_string()]));
    }
}

#[test]
fn a_sender_that_cuts_ends_the_connection_at_once() {
    let (mut wire, diary) = open();
    diary.send(text_frame("never read")).unwrap();
    diary.sender.borrow().as_ref().unwrap().cut();
    wire.cue(Cue::Woken);
    assert_eq!((wire.fate(), &*wire.sent), (Fate::Abort, &b""[..]));
    wire.cue(Cue::Closed);
    assert_eq!(diary.take(), ["opened", "closed here"]);
}

/// The other end, in memory: what it is given to read, and what it wrote.
#[derive(Default)]
struct Pair {
    input: VecDeque<u8>,
    written: Vec<u8>,
}

impl Read for Pair {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() { Err(ErrorKind::WouldBlock.into()) } else { self.input.read(buffer) }
    }
}

impl Write for Pair {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn tungstenite(role: Role) -> tungstenite::WebSocket<Pair> {
    let config = WebSocketConfig::default().max_message_size(Some(MESSAGE_BYTES_MAX)).max_frame_size(None);
    tungstenite::WebSocket::from_raw_socket(Pair::default(), role, Some(config))
}

fn any_message() -> impl Strategy<Value = tungstenite::Message> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..400);
    let small = || prop::collection::vec(any::<u8>(), 0..=125);
    prop_oneof![
        ".{0,200}".prop_map(tungstenite::Message::text),
        bytes().prop_map(tungstenite::Message::binary),
        small().prop_map(|bytes| tungstenite::Message::Ping(bytes.into())),
        small().prop_map(|bytes| tungstenite::Message::Pong(bytes.into())),
    ]
}

/// Anything that looks like frames, lawful or nearly so.
fn any_frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let first = prop_oneof![
        10 => prop::sample::select(vec![0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8a]),
        1 => any::<u8>(),
    ];
    let payload = prop_oneof![
        8 => ".{0,20}".prop_map(String::into_bytes),
        4 => ("[aä€😀]{1,9}", any::<prop::sample::Index>()).prop_map(|(text, at)| text.as_bytes()[..at.index(text.len())].to_vec()),
        2 => prop::collection::vec(any::<u8>(), 0..130),
        1 => (MESSAGE_BYTES_MAX - 20..MESSAGE_BYTES_MAX + 20).prop_map(|bytes| vec![b'x'; bytes]),
        1 => (900u16..5100, ".{0,9}").prop_map(|(code, why)| [&code.to_be_bytes(), why.as_bytes()].concat()),
    ];
    let unmasked = prop::sample::select([vec![false; 30], vec![true]].concat());
    let frame = (first, payload, unmasked).prop_map(|(first, payload, unmasked)| match unmasked {
        true => [&[first, payload.len().min(125) as u8], &payload[..payload.len().min(125)]].concat(),
        false => frame(first, payload),
    });
    prop::collection::vec(frame, 1..12)
}

proptest! {
    #[test]
    fn a_client_of_somebody_elses_gets_back_what_it_sends(
        messages in prop::collection::vec(any_message(), 0..8),
        size in 1..2000usize,
    ) {
        let mut client = tungstenite(Role::Client);
        let mut wire = Wire::over(Box::new(Socket::new(Arc::new(limits()), echo::Messages)), SystemTime::UNIX_EPOCH);
        let mut want = Vec::new();
        for message in &messages {
            client.send(message.clone()).unwrap();
            match message {
                tungstenite::Message::Ping(bytes) => want.push(tungstenite::Message::Pong(bytes.clone())),
                tungstenite::Message::Pong(_) => {}
                other => want.push(other.clone()),
            }
        }
        let code = tungstenite::protocol::frame::coding::CloseCode::Library(4321);
        client.close(Some(tungstenite::protocol::CloseFrame { code, reason: "enough".into() })).unwrap();
        std::mem::take(&mut client.get_mut().written).chunks(size).for_each(|piece| wire.feed(piece));
        prop_assert_eq!(wire.fate(), Fate::Finish);
        client.get_mut().input.extend(wire.sent);
        for message in want {
            prop_assert_eq!(client.read().unwrap(), message);
        }
        prop_assert!(matches!(client.read(), Ok(tungstenite::Message::Close(Some(frame))) if frame.code == code));
    }

    #[test]
    fn somebody_elses_server_reads_the_same_messages_and_refuses_the_same_frames(frames in any_frames(), size in 1..200usize) {
        let input = frames.concat();
        let mut theirs = tungstenite(Role::Server);
        theirs.get_mut().input.extend(&input);
        let mut want = Vec::new();
        let is_open = loop {
            match theirs.read() {
                Ok(tungstenite::Message::Text(text)) => want.push(text.to_string()),
                Ok(tungstenite::Message::Binary(bytes)) => want.push(format!("{:?}", Message::Binary(bytes.to_vec()))),
                Ok(tungstenite::Message::Close(_)) => break false,
                Ok(_) => {}
                Err(tungstenite::Error::Io(error)) => {
                    prop_assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    break true;
                }
                Err(_) => break false,
            }
        };
        let Story { mut heard, fate, .. } = story(input.chunks(size));
        if fate != Fate::Open {
            heard.pop(); // How it ended.
        }
        // A character that a later fragment can't make whole is refused here at once, there when its frame is whole.
        prop_assert_eq!(fate == Fate::Open, is_open);
        prop_assert_eq!(heard, want);
    }

    #[test]
    fn text_fails_at_its_first_byte_that_is_not_utf8(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            ("[aä€😀]{1,1200}", any::<prop::sample::Index>(), any::<u8>()).prop_map(|(text, at, byte)| {
                let mut bytes = text.into_bytes();
                let at = at.index(bytes.len());
                bytes[at] = byte;
                bytes
            }),
        ],
        sizes in prop::collection::vec(0..1500usize, 1..20),
        size in 1..3000usize,
    ) {
        // A text without an end, in fragments of all sizes; and where in it each of its bytes lies.
        let (mut wire, mut places, mut rest) = (Vec::new(), Vec::new(), &bytes[..]);
        for (at, size) in sizes.into_iter().chain([usize::MAX]).enumerate() {
            let (fragment, others) = rest.split_at(size.min(rest.len()));
            wire.extend(frame(u8::from(at == 0), fragment));
            places.extend(wire.len() - fragment.len()..wire.len());
            rest = others;
        }
        match first_wrong(&bytes) {
            None => prop_assert!(!is_refused(&wire, size)),
            Some(at) => {
                prop_assert!(!is_refused(&wire[..places[at]], size));
                prop_assert!(is_refused(&wire[..=places[at]], size));
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_a_session_is_opened_first_and_closed_last_and_nothing_follows_a_close_frame(
        acts in prop::collection::vec(0..14u8, 0..20),
    ) {
        let (mut wire, diary) = open();
        for act in acts {
            if wire.fate() != Fate::Open {
                break;
            }
            match act {
                0 => wire.feed(&text("say this")),
                1 => wire.feed(&text("close that")),
                2 => wire.feed(&text("pause 7")),
                3 => wire.feed(&close(1000, "")),
                4 => wire.feed(&frame(0x89, "ping")),
                5 => wire.feed(&frame(0x01, "half")),
                6 => wire.feed(&frame(0x80, "half")),
                7 => wire.feed(&[0x70]),
                8 => wire.cue(Cue::ShuttingDown),
                9 => wire.end_of_input(),
                10 => drop(diary.sender.borrow().as_ref().map(|sender| sender.send(text_frame("from elsewhere")))),
                11 => drop(diary.sender.take()),
                12 => wire.cue(Cue::Woken),
                _ => wire.wait(7 * SECOND),
            }
        }
        wire.cue(Cue::Closed);
        let heard = diary.take();
        prop_assert_eq!(&heard[0], "opened");
        let is_end = |entry: &&String| ["by peer", "failed", "closed here", "lost"].iter().any(|end| entry.starts_with(end));
        prop_assert_eq!(heard.iter().filter(is_end).count(), 1);
        prop_assert!(heard.last().is_some_and(|last| is_end(&last)));
        let opcodes = opcodes(&wire.sent);
        let ends: Vec<_> = (0..opcodes.len()).filter(|at| opcodes[*at] == 0x88).collect();
        prop_assert!(ends.is_empty() || ends == [opcodes.len() - 1], "{:x?}", opcodes);
    }
}

/// The first byte of each of a server's frames, which here are short.
fn opcodes(mut wire: &[u8]) -> Vec<u8> {
    let mut found = Vec::new();
    while let [first, length, rest @ ..] = wire {
        found.push(*first);
        wire = &rest[usize::from(*length)..];
    }
    found
}

/// Where a text is wrong whatever follows.
fn first_wrong(bytes: &[u8]) -> Option<usize> {
    let from = std::str::from_utf8(bytes).err()?.valid_up_to();
    let is_wrong = |to: &usize| std::str::from_utf8(&bytes[from..=*to]).is_err_and(|error| error.error_len().is_some());
    (from..bytes.len()).find(is_wrong)
}

/// Whether what comes in pieces of that size breaks a rule.
fn is_refused(wire: &[u8], size: usize) -> bool {
    let (mut reader, mut input) = (Reader::default(), Vec::new());
    for piece in wire.chunks(size) {
        input.extend_from_slice(piece);
        while !input.is_empty() {
            match reader.step(&input, 10_000) {
                Err(_) => return true,
                Ok(Step::More) => break,
                Ok(Step::Partly(taken) | Step::Whole(taken, _)) => drop(input.drain(..taken)),
            }
        }
    }
    false
}

/// Says what it makes of a request for a socket.
struct Doorman;

impl Service for Doorman {
    fn respond(&self, request: &Request<'_>) -> Answer {
        match Upgrade::of(request) {
            Err(refusal) => refusal.into(),
            Ok(upgrade) => {
                let upgrade = upgrade.choose(&["chat.v2", "chat", "Log"]);
                assert_eq!(upgrade.response().status(), 101);
                let (subprotocol, origin) = (upgrade.subprotocol().unwrap_or("-"), upgrade.origin().unwrap_or("-"));
                Response::text(format!("{subprotocol} {origin} {}", upgrade.is_same_origin())).into()
            }
        }
    }
}

/// The answer to a request, without its date.
fn answer(head: &str) -> String {
    let mut wire = Wire::new(&Listener::new(Arc::new(Doorman), http::Limits::default()), SystemTime::UNIX_EPOCH);
    wire.feed(head.as_bytes());
    String::from_utf8(wire.sent).unwrap()
}

/// The request of RFC 6455 §1.2.
const REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\n\
    Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\r\n";

#[test]
fn a_request_for_a_socket_is_understood() {
    let cases = [
        ("", "", "chat http://example.com false"),
        ("Upgrade: websocket", "upgrade: h2c, WebSocket", "chat http://example.com false"),
        ("Connection: Upgrade", "Connection: keep-alive, upgrade,", "chat http://example.com false"),
        ("Connection: Upgrade", "Connection: keep-alive\r\nConnection: UPGRADE", "chat http://example.com false"),
        ("chat, superchat", "superchat, Log,chat.v2", "Log http://example.com false"),
        ("chat, superchat", "superchat\r\nSec-WebSocket-Protocol: chat", "chat http://example.com false"),
        ("chat, superchat", "Chat, log", "- http://example.com false"),
        ("Sec-WebSocket-Protocol: chat, superchat\r\n", "", "- http://example.com false"),
        ("Origin: http://example.com\r\n", "", "chat - true"),
        ("http://example.com", "http://SERVER.example.com", "chat http://SERVER.example.com true"),
        ("http://example.com", "https://server.example.com:81", "chat https://server.example.com:81 false"),
        ("http://example.com", "null", "chat null false"),
        (
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: permessage-deflate",
            "chat http://example.com false",
        ),
    ];
    for (what, instead, want) in cases {
        let answer = answer(&REQUEST.replacen(what, instead, usize::from(!what.is_empty())));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{instead}: {answer}");
        assert_eq!(body, want, "{instead}");
    }
}

/// RFC 6455 §4.2.1, §4.2.2, §4.4.
#[test]
fn a_request_that_is_none_for_a_socket_is_told_why() {
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let cases = [
        ("GET", "POST", 405, "Allow: GET\r\n"),
        ("GET", "HEAD", 405, "Allow: GET\r\n"),
        ("HTTP/1.1", "HTTP/1.0", 426, "Upgrade: websocket\r\n"),
        ("Upgrade: websocket\r\n", "", 426, "Upgrade: websocket\r\n"),
        ("Upgrade: websocket", "Upgrade: websockets", 426, "Upgrade: websocket\r\n"),
        ("Connection: Upgrade\r\n", "", 426, "Upgrade: websocket\r\n"),
        ("Connection: Upgrade", "Connection: keep-alive", 426, "Upgrade: websocket\r\n"),
        ("Version: 13", "Version: 8", 426, "Sec-WebSocket-Version: 13\r\n"),
        ("Version: 13", "Version: 013", 426, "Sec-WebSocket-Version: 13\r\n"),
        ("Version: 13", "Version: 13, 8", 426, "Sec-WebSocket-Version: 13\r\n"),
        ("Sec-WebSocket-Version: 13\r\n", "", 400, "Sec-WebSocket-Version has to be there once"),
        ("Version: 13", "Version: 13\r\nSec-WebSocket-Version: 13", 400, "Sec-WebSocket-Version has to be there once"),
        (key, "", 400, "Sec-WebSocket-Key has to be there once"),
        (key, &key.repeat(2), 400, "Sec-WebSocket-Key has to be there once"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "", 400, "not 16 bytes"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ", 400, "not 16 bytes"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZR==", 400, "not 16 bytes"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j", 400, "not 16 bytes"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZWE=", 400, "not 16 bytes"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZ!==", 400, "not 16 bytes"),
        ("Origin: ", "Origin: http://a\r\nOrigin: ", 400, "there are two Origins"),
        ("superchat", "chat", 400, "no list of different names"),
        ("superchat", "super chat", 400, "no list of different names"),
        ("superchat", "s\u{fc}per", 400, "no list of different names"),
    ];
    for (what, instead, status, said) in cases {
        let answer = answer(&REQUEST.replacen(what, instead, 1));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{instead}: {answer}");
        assert!(answer.contains(said), "{instead}: {answer}");
    }
}
