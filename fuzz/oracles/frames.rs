//! WebSocket frames: however they are cut, the reader finds what a plain decoder of the whole finds, and fails for the same reason, at the same
//! frame.
//!
//! Input: two bytes that say where to cut; what a client sends.

use super::cut::however_cut;
use tripoll::websocket::{Event, Message, Reader, Step};

/// Small, so that it is reached.
const MESSAGE_BYTES_MAX: usize = 300;

pub fn judge(data: &[u8]) {
    let Some((wire, whole)) = however_cut(data, |pieces| read(pieces)) else { return };
    assert_eq!(whole, decode(wire), "{}", wire.escape_ascii());
}

/// What a client said, and the code that it is told where it broke a rule.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    events: Vec<String>,
    failed: Option<u16>,
}

/// Reads what comes in these pieces.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Said {
    let mut reader = Reader::default();
    let (mut input, mut events) = (Vec::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        while !input.is_empty() {
            let taken = match reader.step(&input, MESSAGE_BYTES_MAX) {
                Err(failure) => return Said { events, failed: Some(failure.code.get()) },
                Ok(Step::More) => {
                    assert!(input.len() < Reader::INPUT_MAX, "it waits for more than it may");
                    break;
                }
                Ok(Step::Partly(taken)) => taken,
                Ok(Step::Whole(taken, event)) => {
                    events.push(match event {
                        Event::Message(Message::Text(text)) => format!("text {text:?}"),
                        Event::Message(Message::Binary(bytes)) => format!("binary {bytes:?}"),
                        Event::Ping(bytes) => format!("ping {bytes:?}"),
                        Event::Pong(bytes) => format!("pong {bytes:?}"),
                        Event::Close { code, reason } => format!("close {:?} {reason:?}", code.map(|code| code.get())),
                    });
                    taken
                }
            };
            assert!(taken > 0, "a step that takes nothing says so");
            input.drain(..taken);
        }
    }
    Said { events, failed: None }
}

/// RFC 6455 §5, frame by frame over the whole.
fn decode(wire: &[u8]) -> Said {
    let mut events = Vec::new();
    let failed = decode_frames(wire, &mut events).err();
    Said { events, failed }
}

fn decode_frames(mut wire: &[u8], events: &mut Vec<String>) -> Result<(), u16> {
    // The message that has begun: whether it is text, and what of it there is.
    let mut begun: Option<(bool, Vec<u8>)> = None;
    loop {
        let Some(&first) = wire.first() else { return Ok(()) };
        let (is_last, opcode) = (first >= 0x80, first % 16);
        let is_lawful = match opcode {
            0 => begun.is_some(),
            1 | 2 => begun.is_none(),
            8..=10 => is_last,
            _ => false,
        };
        if first / 16 % 8 != 0 || !is_lawful {
            return Err(1002);
        }
        let Some(&second) = wire.get(1) else { return Ok(()) };
        let short = u64::from(second % 128);
        if second < 0x80 || (opcode >= 8 && short > 125) {
            return Err(1002);
        }
        let extended = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some(bytes) = wire.get(2..2 + extended) else { return Ok(()) };
        let long = bytes.iter().fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
        let length = if extended == 0 { short } else { long };
        let least = [0, 126, 65_536][[0, 2, 8].iter().position(|size| *size == extended).unwrap()];
        if length < least || length > i64::MAX as u64 {
            return Err(1002);
        }
        let Some(mask) = wire.get(2 + extended..6 + extended) else { return Ok(()) };
        let had = begun.as_ref().map_or(0, |(_, bytes)| bytes.len());
        if opcode < 8 && length > (MESSAGE_BYTES_MAX - had) as u64 {
            return Err(1009);
        }
        let masked: &[u8] = &wire[6 + extended..];
        let masked = &masked[..masked.len().min(length as usize)];
        let payload: Vec<u8> = masked.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]).collect();
        let is_whole = payload.len() as u64 == length;
        wire = &wire[6 + extended + masked.len()..];

        if opcode >= 8 {
            if !is_whole {
                return Ok(());
            }
            events.push(match opcode {
                8 => decode_close(&payload)?,
                9 => format!("ping {payload:?}"),
                _ => format!("pong {payload:?}"),
            });
            continue;
        }
        let (is_text, bytes) = begun.get_or_insert((opcode == 1, Vec::new()));
        bytes.extend(payload);
        if *is_text && std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_some()) {
            return Err(1007);
        }
        if !is_whole {
            return Ok(());
        }
        if is_last {
            let (is_text, bytes) = begun.take().unwrap();
            events.push(match is_text {
                true => format!("text {:?}", String::from_utf8(bytes).map_err(|_| 1007u16)?),
                false => format!("binary {bytes:?}"),
            });
        }
    }
}

/// RFC 6455 §5.5.1, §7.4.
fn decode_close(payload: &[u8]) -> Result<String, u16> {
    let (code, reason) = match payload {
        [] => return Ok("close None \"\"".to_string()),
        [_] => return Err(1002),
        [high, low, reason @ ..] => (u16::from(*high) * 256 + u16::from(*low), reason),
    };
    let is_reserved = [1004, 1005, 1006, 1015].contains(&code);
    if is_reserved || !(1000..5000).contains(&code) || (1016..3000).contains(&code) {
        return Err(1002);
    }
    let reason = std::str::from_utf8(reason).map_err(|_| 1007u16)?;
    Ok(format!("close Some({code}) {reason:?}"))
}
