//! How a frame lies on the wire (RFC 6455 §5.2).
//!
//! Invariant: a header that is parsed obeys every rule that it can be held to without its payload.
//!
//! ```text
//!   FIN RSV RSV RSV opcode(4)   MASK length(7)   [length(16) | length(64)]   mask(32)   payload
//!    1   0   0   0               1  : from clients, where the mask is demanded
//! ```

use super::{CloseCode, Failure};
use std::sync::Arc;

/// The longest header: 64 bits of length, and a mask.
const HEADER_BYTES_MAX: usize = 14;

/// RFC 6455 §5.5: what a control frame may carry.
pub(super) const CONTROL_BYTES_MAX: usize = 125;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation = 0x0,
    Text = 0x1,
    Binary = 0x2,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xa,
}

impl Opcode {
    fn parse(bits: u8) -> Option<Opcode> {
        Some(match bits {
            0x0 => Opcode::Continuation,
            0x1 => Opcode::Text,
            0x2 => Opcode::Binary,
            0x8 => Opcode::Close,
            0x9 => Opcode::Ping,
            0xa => Opcode::Pong,
            _ => return None,
        })
    }

    pub(super) fn is_control(self) -> bool {
        match self {
            Opcode::Continuation | Opcode::Text | Opcode::Binary => false,
            Opcode::Close | Opcode::Ping | Opcode::Pong => true,
        }
    }
}

/// The header of a client's frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) is_final: bool,
    pub(super) opcode: Opcode,
    pub(super) mask: [u8; 4],
    pub(super) payload_bytes: u64,
    /// Its own.
    pub(super) header_bytes: usize,
}

impl Header {
    /// Reads the header that `input` begins with; `None`: it is not all there. What is wrong is said as soon as it is. `within`: a message
    /// has begun and is not at its end.
    pub(super) fn parse(input: &[u8], within: bool) -> Result<Option<Header>, Failure> {
        let Some(first) = input.first() else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(Failure::protocol("a reserved bit is set")); // No extension was agreed upon.
        }
        let is_final = first & 0x80 != 0;
        let opcode = Opcode::parse(first & 0x0f).ok_or(Failure::protocol("that opcode is reserved"))?;
        // RFC 6455 §5.4
        match opcode {
            Opcode::Continuation if !within => return Err(Failure::protocol("there is nothing to continue")),
            Opcode::Text | Opcode::Binary if within => {
                return Err(Failure::protocol("a message begins within another"));
            }
            Opcode::Close | Opcode::Ping | Opcode::Pong if !is_final => {
                return Err(Failure::protocol("a control frame is cut in fragments"));
            }
            _ => {}
        }
        let Some(second) = input.get(1) else { return Ok(None) };
        if second & 0x80 == 0 {
            return Err(Failure::protocol("a client's frame is not masked")); // RFC 6455 §5.1
        }
        // RFC 6455 §5.2: the shortest form that holds the length.
        let (payload_bytes, mask_at) = match second & 0x7f {
            126.. if opcode.is_control() => return Err(Failure::protocol("a control frame is too long")), // RFC 6455 §5.5
            126 => match input[2..].first_chunk() {
                None => return Ok(None),
                Some(length) => match u16::from_be_bytes(*length) {
                    ..126 => return Err(Failure::protocol("a length is longer than need be")),
                    length => (length.into(), 4),
                },
            },
            127 => match input[2..].first_chunk() {
                None => return Ok(None),
                Some(length) => match u64::from_be_bytes(*length) {
                    ..0x1_0000 => return Err(Failure::protocol("a length is longer than need be")),
                    0x8000_0000_0000_0000.. => return Err(Failure::protocol("a length has its highest bit set")),
                    length => (length, 10),
                },
            },
            length => (length.into(), 2),
        };
        let Some(mask) = input[mask_at..].first_chunk() else { return Ok(None) };
        Ok(Some(Header { is_final, opcode, mask: *mask, payload_bytes, header_bytes: mask_at + 4 }))
    }
}

/// What a control frame takes on the wire at most: what may have to wait for its rest.
pub(super) const INPUT_MAX: usize = 2 + 4 + CONTROL_BYTES_MAX;
const _: () = assert!(INPUT_MAX >= HEADER_BYTES_MAX);

/// Masks, or unmasks: RFC 6455 §5.3. `mask` begins with the octet for the first byte.
pub(super) fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// The mask for what comes after so many bytes.
pub(super) fn mask_after(mut mask: [u8; 4], bytes: usize) -> [u8; 4] {
    mask.rotate_left(bytes % 4);
    mask
}

/// Appends a frame, whole and unmasked as a server's are.
pub(super) fn write(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    out.push(0x80 | opcode as u8);
    match payload.len() {
        length @ ..126 => out.push(length as u8),
        length @ 126..0x1_0000 => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

/// Appends a Close frame. Of the reason as many characters as fit.
pub(super) fn write_close(out: &mut Vec<u8>, code: Option<CloseCode>, reason: &str) {
    let mut payload = Vec::new();
    if let Some(code) = code {
        payload.extend_from_slice(&code.get().to_be_bytes());
        let fitting = |end: &usize| *end <= CONTROL_BYTES_MAX - 2;
        let ends = reason.char_indices().map(|(at, c)| at + c.len_utf8());
        let end = ends.take_while(fitting).last().unwrap_or(0);
        payload.extend_from_slice(&reason.as_bytes()[..end]);
    }
    write(out, Opcode::Close, &payload);
}

fn frame(opcode: Opcode, payload: &[u8]) -> Arc<[u8]> {
    let mut out = Vec::with_capacity(HEADER_BYTES_MAX + payload.len());
    write(&mut out, opcode, payload);
    out.into()
}

/// A text as a server's frame: made once, sent to as many as there are (see [`Peer::sender`](super::Peer::sender)).
pub fn text_frame(text: &str) -> Arc<[u8]> {
    frame(Opcode::Text, text.as_bytes())
}

/// Bytes as a server's frame, to be used as [`text_frame`].
pub fn binary_frame(bytes: &[u8]) -> Arc<[u8]> {
    frame(Opcode::Binary, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_those_of_the_octets_one_by_one() {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let bytes: Vec<u8> = (0..100).collect();
        for from in 0..20 {
            for to in from..bytes.len() {
                let mut masked = bytes[from..to].to_vec();
                unmask(&mut masked, mask_after(mask, from));
                let want: Vec<u8> = (from..to).map(|at| bytes[at] ^ mask[at % 4]).collect();
                assert_eq!(masked, want, "{from}..{to}");
            }
        }
    }
}
