//! The folder as a tar: POSIX's ustar, with pax records where that has no room. Large files go from the disk to the socket by themselves.

use super::walk::{Content, Entry, Walk};
use crate::files::representation::read;
use crate::protocol::Chunk;
use std::io;
use std::sync::Arc;

const BLOCK_BYTES: usize = 512;

/// Two empty blocks are the end.
const END: [u8; 2 * BLOCK_BYTES] = [0; 2 * BLOCK_BYTES];

/// Files up to this are read here and sent with their headers: of more, many would be open at a time.
const READ_BYTES_MAX: u64 = 64 * 1024;

/// What eleven octal digits hold.
const SIZE_MAX: u64 = 0o777_7777_7777;

pub(super) struct Tar {
    walk: Walk,
    /// What is to be sent before the next is looked for.
    ready: Vec<u8>,
    large: Option<Chunk>,
    is_over: bool,
}

impl Tar {
    pub(super) fn new(walk: Walk) -> Tar {
        Tar { walk, ready: Vec::new(), large: None, is_over: false }
    }

    fn add(&mut self, entry: Entry) -> io::Result<()> {
        let Entry { mut name, mode, changed, content } = entry;
        let file = match content {
            Content::Folder => {
                name.push(b'/');
                push_header(&mut self.ready, b'5', &name, mode, changed, 0);
                return Ok(());
            }
            Content::File(file) => file,
        };
        let size = file.size();
        push_header(&mut self.ready, b'0', &name, mode, changed, size);
        if size > READ_BYTES_MAX {
            // Whether it changed meanwhile is looked at before its last bytes are sent.
            self.large = Some(Chunk::File(Arc::new(file), 0..size));
            return Ok(());
        }
        let content = read(&file, 0..size)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        self.ready.extend(content);
        pad(&mut self.ready, size);
        Ok(())
    }
}

impl Iterator for Tar {
    type Item = io::Result<Chunk>;

    fn next(&mut self) -> Option<io::Result<Chunk>> {
        if self.ready.is_empty()
            && let Some(chunk) = self.large.take()
        {
            pad(&mut self.ready, chunk.len());
            return Some(Ok(chunk));
        }
        while self.large.is_none() && !self.is_over && (self.ready.len() as u64) < READ_BYTES_MAX {
            match self.walk.next() {
                None => {
                    self.ready.extend(END);
                    self.is_over = true;
                }
                Some(entry) => {
                    if let Err(error) = entry.and_then(|entry| self.add(entry)) {
                        return Some(Err(error));
                    }
                }
            }
        }
        let ready = std::mem::take(&mut self.ready);
        (!ready.is_empty()).then_some(Ok(Chunk::Bytes(ready)))
    }
}

/// Fills the last block of `size` bytes.
fn pad(out: &mut Vec<u8>, size: u64) {
    let rest = (size % BLOCK_BYTES as u64) as usize;
    out.resize(out.len() + (BLOCK_BYTES - rest) % BLOCK_BYTES, 0);
}

/// POSIX.1 pax, "ustar Header Block"; before it, where something does not fit, "pax Extended Header".
fn push_header(out: &mut Vec<u8>, kind: u8, name: &[u8], mode: u32, changed: u64, size: u64) {
    let mut records = Vec::new();
    if name.len() > 100 || !name.is_ascii() {
        records.extend(record("path", name));
    }
    if size > SIZE_MAX {
        records.extend(record("size", size.to_string().as_bytes()));
    }
    if !records.is_empty() {
        out.extend(block(b'x', b"pax", 0o644, changed, records.len() as u64));
        out.extend(&records);
        pad(out, records.len() as u64);
    }
    out.extend(block(kind, &name[..name.len().min(100)], mode, changed, size));
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits too.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + " =\n".len();
    let digits = (1..).find(|digits| (rest + digits).to_string().len() <= *digits).expect("some number is long enough");
    [(rest + digits).to_string().as_bytes(), b" ", key.as_bytes(), b"=", value, b"\n"].concat()
}

fn block(kind: u8, name: &[u8], mode: u32, changed: u64, size: u64) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name);
    put(100, format!("{mode:07o}").as_bytes());
    put(108, b"0000000\x000000000\0"); // Whose it is on this machine is nobody's business.
    put(124, format!("{:011o}", if size > SIZE_MAX { 0 } else { size }).as_bytes());
    put(136, format!("{:011o}", changed.min(SIZE_MAX)).as_bytes());
    put(148, b"        "); // The checksum counts as spaces.
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_length() {
        assert_eq!(record("path", b"a"), b"9 path=a\n");
        assert_eq!(record("path", b"aa"), b"11 path=aa\n");
        assert_eq!(record("path", b""), b"8 path=\n");
        assert_eq!(record("size", b"8589934592"), b"19 size=8589934592\n");
        for length in 0..1100 {
            let record = record("path", &vec![b'a'; length]);
            let digits = record.iter().position(|byte| *byte == b' ').unwrap();
            assert_eq!(std::str::from_utf8(&record[..digits]).unwrap().parse(), Ok(record.len()));
        }
    }

    #[test]
    fn a_size_that_does_not_fit_is_told_by_a_record() {
        for (size, blocks) in [(SIZE_MAX, 1), (SIZE_MAX + 1, 3)] {
            let mut out = Vec::new();
            push_header(&mut out, b'0', b"a", 0o644, 0, size);
            assert_eq!(out.len(), blocks * BLOCK_BYTES);
            assert_eq!(out.windows(16).any(|part| part == b"size=8589934592\n"), size > SIZE_MAX);
        }
    }
}
