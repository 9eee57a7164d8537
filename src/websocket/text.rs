//! Text that comes in pieces, masked, and is UTF-8 or fails at its first byte that is not.
//!
//! Invariant: `text` and the beginning of a character in `tail` are all that came. Each byte is unmasked, checked and copied once, in
//! pieces that the first-level cache holds: a whole text could not become a `String` without a second look at it, or `unsafe`.

use super::Failure;
use super::frame::unmask;

/// What is unmasked and checked at a time. Masks are as long as four bytes, so each piece begins with the first of them.
const PIECE_BYTES_MAX: usize = 1024;
const _: () = assert!(PIECE_BYTES_MAX.is_multiple_of(4));

/// A character's bytes less the last: what can wait for its rest.
const TAIL_BYTES_MAX: usize = 3;

#[derive(Debug, Default)]
pub(super) struct Text {
    text: String,
    tail: [u8; TAIL_BYTES_MAX],
    tail_bytes: u8,
}

impl Text {
    pub(super) fn push(&mut self, masked: &[u8], mask: [u8; 4]) -> Result<(), Failure> {
        let mut buffer = [0; TAIL_BYTES_MAX + PIECE_BYTES_MAX];
        self.text.reserve(masked.len());
        for piece in masked.chunks(PIECE_BYTES_MAX) {
            let begun = usize::from(self.tail_bytes);
            let bytes = &mut buffer[..begun + piece.len()];
            bytes[..begun].copy_from_slice(&self.tail[..begun]);
            bytes[begun..].copy_from_slice(piece);
            unmask(&mut bytes[begun..], mask);

            let (whole, tail) = bytes.split_at(bytes.len() - begun_bytes(bytes));
            self.text.push_str(std::str::from_utf8(whole).map_err(|_| Failure::not_utf8())?);
            // It may be wrong already: E0 80 is the beginning of nothing.
            if std::str::from_utf8(tail).is_err_and(|error| error.error_len().is_some()) {
                return Err(Failure::not_utf8());
            }
            self.tail[..tail.len()].copy_from_slice(tail);
            self.tail_bytes = tail.len() as u8;
        }
        Ok(())
    }

    /// All of it. A character that is cut off is none.
    pub(super) fn finish(self) -> Result<String, Failure> {
        if self.tail_bytes == 0 { Ok(self.text) } else { Err(Failure::not_utf8()) }
    }

    pub(super) fn bytes(&self) -> usize {
        self.text.len() + usize::from(self.tail_bytes)
    }
}

/// How many bytes at the end look like a character that is not all there.
fn begun_bytes(bytes: &[u8]) -> usize {
    for (at, byte) in bytes.iter().rev().take(TAIL_BYTES_MAX).enumerate() {
        let wanted = match byte {
            ..0x80 => return 0,
            0x80..0xc0 => continue,
            0xc0..0xe0 => 2,
            0xe0..0xf0 => 3,
            0xf0.. => 4,
        };
        return if at + 1 < wanted { at + 1 } else { 0 };
    }
    0
}
