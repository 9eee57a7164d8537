//! What waits for the peer: bytes and ranges of files, in order.
//!
//! Invariant: `queued` is the sum of what `front` and `advance` still have to give; no piece is empty.

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

/// With this many bytes queued an outbox is full: its protocol is given no more input until some went. Not a hard limit, since a message
/// once begun is written whole. The size of what one receive can bring, so that ordinary answers to ordinary requests never fill it.
pub const OUTBOX_HIGH: u64 = 64 * 1024;

/// Chunks up to this are copied by [`Outbox::append`]: a send more costs more than that.
const COPIED_BYTES_MAX: usize = 16 * 1024;

/// A drained outbox gives back memory past this: one large answer should not be paid for ever.
const SPARE_BYTES_MAX: usize = 256 * 1024;

/// Written bytes are moved to the front of their buffer when at least this many before them were sent.
const COMPACT_BYTES_MIN: usize = 32 * 1024;

/// A piece of an answer as its maker has it.
#[derive(Debug, Clone)]
pub enum Chunk {
    /// Bytes of its own.
    Bytes(Vec<u8>),
    /// Bytes that others send too.
    Shared(Arc<[u8]>),
    /// A range of a file.
    File(Arc<OpenFile>, Range<u64>),
}

impl Chunk {
    /// How many bytes it stands for.
    pub fn len(&self) -> u64 {
        match self {
            Chunk::Bytes(bytes) => bytes.len() as u64,
            Chunk::Shared(bytes) => bytes.len() as u64,
            Chunk::File(_, range) => range.end.saturating_sub(range.start),
        }
    }

    /// Whether it stands for none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A file as it was when it was opened.
#[derive(Debug)]
pub struct OpenFile {
    file: File,
    size: u64,
    modified: Modified,
}

/// The time of a file's last change of content: seconds and nanoseconds of `st_mtim`. Not `st_ctim`, which a rename or an unlink changes
/// too: a file that is replaced while it is sent must go out whole.
type Modified = (i64, i64);

fn modified(metadata: &Metadata) -> Modified {
    (metadata.mtime(), metadata.mtime_nsec())
}

impl OpenFile {
    /// `metadata` is what the file said of itself after it was opened.
    pub fn new(file: File, metadata: &Metadata) -> OpenFile {
        OpenFile { file, size: metadata.size(), modified: modified(metadata) }
    }

    /// The file, to read by position.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Bytes it had when it was opened.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether its content is what it was when it was opened, as far as size and time of modification tell: `metadata` is what the file
    /// says of itself now.
    pub fn is_unchanged(&self, metadata: &Metadata) -> bool {
        metadata.size() == self.size && modified(metadata) == self.modified
    }
}

/// The next bytes to send.
#[derive(Debug)]
pub enum Piece<'a> {
    /// These.
    Bytes(&'a [u8]),
    /// This range of a file.
    #[allow(missing_docs)]
    File { file: &'a OpenFile, range: Range<u64> },
}

/// Bytes on their way to the peer, in order. Bounded by back-pressure: see [`OUTBOX_HIGH`].
#[derive(Debug, Default)]
pub struct Outbox {
    segments: VecDeque<Segment>,
    /// All that was [`write`](Outbox::write)n, one after another; the first `written_sent` of it are gone.
    written: Vec<u8>,
    written_sent: usize,
    queued: u64,
}

#[derive(Debug)]
enum Segment {
    /// The next so many bytes of `written`.
    Written(usize),
    /// A chunk of whose bytes the first so many are gone (a file's range shrinks instead).
    Chunk(Chunk, usize),
}

impl Segment {
    /// Bytes that are still to go.
    fn len(&self) -> u64 {
        match self {
            Segment::Written(length) => *length as u64,
            Segment::Chunk(chunk, gone) => chunk.len() - *gone as u64,
        }
    }
}

impl Outbox {
    /// Queues a copy of `bytes`.
    pub fn write(&mut self, bytes: &[u8]) {
        self.write_with(|written| written.extend_from_slice(bytes));
    }

    /// Queues what `write` appends: for many small parts, which so are noted once.
    pub fn write_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.written.len();
        write(&mut self.written);
        let length = self.written.len().checked_sub(before).expect("what is queued stays");
        if length == 0 {
            return;
        }
        self.queued += length as u64;
        match self.segments.back_mut() {
            Some(Segment::Written(last)) => *last += length,
            _ => self.segments.push_back(Segment::Written(length)),
        }
    }

    /// Queues a chunk behind what was written: copied, so that one send takes both, where it has few bytes.
    pub fn append(&mut self, chunk: Chunk) {
        match chunk {
            Chunk::Bytes(bytes) if bytes.len() <= COPIED_BYTES_MAX => self.write(&bytes),
            Chunk::Shared(bytes) if bytes.len() <= COPIED_BYTES_MAX => self.write(&bytes),
            chunk @ (Chunk::Bytes(_) | Chunk::Shared(_) | Chunk::File(..)) => self.push(chunk),
        }
    }

    /// Queues a chunk without copying it.
    pub fn push(&mut self, chunk: Chunk) {
        if !chunk.is_empty() {
            self.queued += chunk.len();
            self.segments.push_back(Segment::Chunk(chunk, 0));
        }
    }

    /// Bytes that wait.
    pub fn queued(&self) -> u64 {
        self.queued
    }

    /// The next bytes to go, as many as lie together.
    pub fn front(&self) -> Option<Piece<'_>> {
        Some(match self.segments.front()? {
            Segment::Written(length) => Piece::Bytes(&self.written[self.written_sent..self.written_sent + length]),
            Segment::Chunk(Chunk::Bytes(bytes), sent) => Piece::Bytes(&bytes[*sent..]),
            Segment::Chunk(Chunk::Shared(bytes), sent) => Piece::Bytes(&bytes[*sent..]),
            Segment::Chunk(Chunk::File(file, range), _) => Piece::File { file, range: range.clone() },
        })
    }

    /// Whether [`front`](Self::front) is all there is.
    pub fn is_front_last(&self) -> bool {
        self.segments.len() <= 1
    }

    /// Notes that the first `sent` bytes of [`front`](Self::front) went.
    ///
    /// # Panics
    /// When the front has fewer.
    pub fn advance(&mut self, sent: usize) {
        let Some(front) = self.segments.front_mut() else {
            assert!(sent == 0, "nothing was queued");
            return;
        };
        let left = front.len().checked_sub(sent as u64).expect("no more goes than is queued");
        match front {
            Segment::Written(length) => {
                *length -= sent;
                self.written_sent += sent;
            }
            Segment::Chunk(Chunk::File(_, range), _) => range.start += sent as u64,
            Segment::Chunk(_, gone) => *gone += sent,
        }
        self.queued -= sent as u64;
        if left == 0 {
            self.segments.pop_front();
        }
        self.reclaim();
    }

    /// Forgets all that is queued.
    pub fn clear(&mut self) {
        self.segments.clear();
        self.queued = 0;
        self.reclaim();
    }

    /// Gives the room of sent bytes back to `written`.
    fn reclaim(&mut self) {
        if self.queued == 0 {
            self.written_sent = 0;
            self.written.clear();
            self.written.shrink_to(SPARE_BYTES_MAX);
        } else if self.written_sent >= COMPACT_BYTES_MIN.max(self.written.len() / 2) {
            self.written.drain(..self.written_sent);
            self.written_sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that is queued, taken `step` bytes at a time.
    fn drain(outbox: &mut Outbox, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let piece = match outbox.front() {
                None => return all,
                Some(Piece::Bytes(bytes)) => bytes[..step.min(bytes.len())].to_vec(),
                Some(Piece::File { range, .. }) => vec![b'f'; step.min((range.end - range.start) as usize)],
            };
            assert!(!piece.is_empty(), "no piece is empty");
            outbox.advance(piece.len());
            all.extend(piece);
        }
    }

    #[test]
    fn bytes_leave_in_the_order_they_came_whatever_the_step() {
        let file = File::open("/dev/null").unwrap();
        let metadata = file.metadata().unwrap();
        let file = Arc::new(OpenFile::new(file, &metadata));
        for step in 1..=12 {
            let mut outbox = Outbox::default();
            outbox.write(b"one ");
            outbox.write(b"");
            outbox.write(b"two ");
            outbox.push(Chunk::Bytes(b"three ".to_vec()));
            outbox.push(Chunk::Bytes(Vec::new()));
            outbox.write(b"four ");
            outbox.push(Chunk::Shared(b"five ".as_slice().into()));
            outbox.push(Chunk::File(file.clone(), 7..10));
            outbox.push(Chunk::File(file.clone(), 7..7));
            outbox.write(b" six");
            assert_eq!(outbox.queued(), 31);
            assert_eq!(drain(&mut outbox, step), b"one two three four five fff six", "step {step}");
            assert_eq!(outbox.queued(), 0);
        }
    }

    #[test]
    fn an_outbox_that_is_never_empty_does_not_grow() {
        let mut outbox = Outbox::default();
        outbox.write(&[0; 1024]);
        for _ in 0..10_000 {
            outbox.write(&[0; 1024]);
            outbox.advance(1024);
        }
        assert_eq!(outbox.queued(), 1024);
        assert!(outbox.written.len() <= 2 * COMPACT_BYTES_MIN + 1024, "{} bytes kept", outbox.written.len());
    }

    /// Not even where there would be enough behind it.
    #[test]
    fn more_than_the_front_has_can_not_go() {
        let file = File::open("/dev/null").unwrap();
        let metadata = file.metadata().unwrap();
        let file = Arc::new(OpenFile::new(file, &metadata));
        let fronts: [fn(&mut Outbox, &Arc<OpenFile>); 4] = [
            |outbox, _| outbox.write(b"four"),
            |outbox, _| outbox.push(Chunk::Bytes(b"four".to_vec())),
            |outbox, _| outbox.push(Chunk::Shared(b"four".as_slice().into())),
            |outbox, file| outbox.push(Chunk::File(file.clone(), 3..7)),
        ];
        for queue in fronts {
            let mut outbox = Outbox::default();
            queue(&mut outbox, &file);
            outbox.push(Chunk::Bytes(b"more".to_vec()));
            let advance = std::panic::AssertUnwindSafe(|| outbox.advance(5));
            assert!(std::panic::catch_unwind(advance).is_err());
            assert_eq!(drain(&mut outbox, 8).len(), 8, "and nothing went");
        }
    }
}
