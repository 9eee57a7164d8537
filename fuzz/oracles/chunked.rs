//! Chunked bodies: however they are cut, the reader finds what a plain decoder finds, takes all that RFC 9112 §7.1 lets nobody refuse, and
//! nothing that nobody may take.
//!
//! Input: two bytes that say where to cut; the body, and what follows it.

use super::cut::however_cut;
use super::reader::{Body, Strictness, read_chunked};
use tripoll::http::{ChunkedReader, Reject, Step};

/// Below this no bound on lines, trailers or overhead is reached.
const UNBOUNDED_BYTES: usize = 4000;

pub fn judge(data: &[u8]) {
    let Some((wire, whole)) = however_cut(data, |pieces| read(pieces)) else { return };
    let about = wire[..wire.len().min(300)].escape_ascii();
    match &whole {
        Read::Whole { content, taken } => {
            let want = Body::Whole { content: content.clone(), taken: *taken };
            assert_eq!(read_chunked(wire, Strictness::Sloppy), want, "taken, but not so: {about}");
        }
        Read::Cut { .. } | Read::Refused { .. } => {}
    }
    if let Body::Whole { content, taken } = read_chunked(wire, Strictness::Strict)
        && wire.len() < UNBOUNDED_BYTES
    {
        assert_eq!(whole, Read::Whole { content, taken }, "lawful, but not taken: {about}");
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Read {
    Whole { content: Vec<u8>, taken: usize },
    Cut { content: Vec<u8> },
    Refused { content: Vec<u8>, reject: Reject },
}

/// Reads a body that comes in these pieces.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Read {
    let mut reader = ChunkedReader::default();
    let (mut input, mut at, mut content) = (Vec::new(), 0, Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        while at < input.len() {
            match reader.step(&input[at..]) {
                Ok(Step::More) => {
                    assert!(input.len() - at < ChunkedReader::INPUT_MAX, "it waits for more than it may");
                    break;
                }
                Ok(Step::Framing(taken)) => at += taken,
                Ok(Step::Content(taken)) => {
                    content.extend_from_slice(&input[at..at + taken]);
                    at += taken;
                }
                Ok(Step::LastContent(_)) => panic!("only a trailer ends chunks"),
                Ok(Step::End(taken)) => return Read::Whole { content, taken: at + taken },
                Err(reject) => return Read::Refused { content, reject },
            }
        }
    }
    Read::Cut { content }
}
