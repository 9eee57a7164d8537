//! The folder as a zip: deflated, sizes behind the content, since none is known before it was read.
//!
//! What writes an entry borrows from what writes the archive, so both live in an async block, which goes on each time that a chunk is asked
//! for. It waits for nothing but that, so nobody wakes it.

use super::walk::{Content, Entry, Walk};
use crate::files::path::encode_segment;
use crate::protocol::{Chunk, OpenFile};
use rawzip::extra_fields::ExtraFieldId;
use rawzip::path::EntryPath;
use rawzip::time::UtcDateTime;
use rawzip::{CompressionMethod, DataDescriptorOutput, Header, ZipArchiveWriter};
use std::future::poll_fn;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use zlib_rs::crc32::crc32;
use zlib_rs::{Deflate, DeflateFlush};

/// What is read at a time, and what is enough for a chunk.
const READ_BYTES_MAX: usize = 64 * 1024;

/// The directory at the end is kept in memory until then, some hundred bytes an entry. Past it a tar is what there is.
const ENTRIES_MAX: usize = 100_000;

/// Sizes from here on have 64 bits.
const LARGE_BYTES_MIN: u64 = u32::MAX as u64;

/// What stat(2) says beside the permissions.
const FOLDER_MODE: u32 = 0o040_000;
const FILE_MODE: u32 = 0o100_000;

/// Fast before small: most networks are faster than the better levels.
const LEVEL: i32 = 1;

/// Deflate's largest window.
const WINDOW_BITS: u8 = 15;

/// Blocks of what is not compressed have at least so much each, but for the last, and five bytes beside.
const STORED_BYTES_MIN: u64 = 16 * 1024;

/// More than deflate has taken and not written, and than ends of blocks take.
const INSIDE_BYTES_MAX: u64 = 4 * 1024;

pub(super) struct Zip {
    /// `None` when all is written.
    writing: Option<Pin<Box<dyn Future<Output = io::Result<()>> + Send>>>,
    written: Written,
}

impl Zip {
    pub(super) fn new(walk: Walk) -> Zip {
        let written = Written::default();
        Zip { writing: Some(Box::pin(write(walk, written.clone()))), written }
    }
}

impl Iterator for Zip {
    type Item = io::Result<Chunk>;

    fn next(&mut self) -> Option<io::Result<Chunk>> {
        let writing = self.writing.as_mut()?;
        if let Poll::Ready(result) = writing.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            self.writing = None;
            if let Err(error) = result {
                return Some(Err(error));
            }
        }
        Some(Ok(Chunk::Bytes(std::mem::take(&mut self.written.lock()))))
    }
}

/// What was written, to be sent.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, where there is enough for a chunk, until it is taken.
    async fn room(&self) {
        poll_fn(|_| if self.lock().len() < READ_BYTES_MAX { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the whole archive.
async fn write(walk: Walk, written: Written) -> io::Result<()> {
    let mut archive = ZipArchiveWriter::new(written.clone());
    let mut packer = Packer::new();
    let mut buffer = vec![0; READ_BYTES_MAX];
    for (number, entry) in walk.enumerate() {
        if number == ENTRIES_MAX {
            return Err(ErrorKind::OutOfMemory.into());
        }
        let Entry { name, mode, changed, content } = entry?;
        let (name, changed) = (shown(&name), Changed::at(changed));
        let file = match content {
            Content::Folder => {
                let folder = archive.new_dir(entry_path(format!("{name}/"))).unix_permissions(FOLDER_MODE | mode);
                let folder =
                    folder.last_modified(changed.time).extra_field(Changed::FIELD, &changed.field, Header::LOCAL);
                folder.and_then(|folder| folder.create()).map_err(io::Error::other)?;
                written.room().await;
                continue;
            }
            Content::File(file) => file,
        };
        let mut entry = archive.new_file(entry_path(name)).unix_permissions(FILE_MODE | mode);
        entry = entry.compression_method(CompressionMethod::DEFLATE).last_modified(changed.time);
        entry = entry.extra_field(Changed::FIELD, &changed.field, Header::LOCAL).map_err(io::Error::other)?;
        if file.size() >= LARGE_BYTES_MIN {
            // APPNOTE 4.3.9.2: that it is here says how long the sizes behind the content are.
            entry = entry.extra_field(ExtraFieldId::ZIP64, &[0; 16], Header::LOCAL).map_err(io::Error::other)?;
        }
        let (mut entry, _) = entry.start().map_err(io::Error::other)?;
        packer.begin(file.size(), LARGE_BYTES_MIN);
        let (mut at, mut sum) = (0, 0);
        while at < file.size() {
            let read = read_at(&file, at, &mut buffer)?;
            sum = crc32(sum, read);
            packer.take(read, &mut entry)?;
            at += read.len() as u64;
            written.room().await;
        }
        if !file.is_unchanged(&file.file().metadata()?) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        packer.finish(&mut entry)?;
        entry.finish(DataDescriptorOutput::new(sum, at)).map_err(io::Error::other)?;
        written.room().await;
    }
    archive.finish().map(drop).map_err(io::Error::other)
}

/// What comes at `at`, as much as there is room for. That the file has no more than `at` is an error.
fn read_at<'a>(file: &OpenFile, at: u64, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let wanted = buffer.len().min(usize::try_from(file.size() - at).unwrap_or(usize::MAX));
    match file.file().read_at(&mut buffer[..wanted], at)? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        read => Ok(&buffer[..read]),
    }
}

/// Deflates one file after the other.
///
/// What is not compressible grows by up to an eighth at the fast level. Where a local header says that sizes have 32 bits they must not come to more:
/// before they could, the rest of the file is stored. (A file that would even so, of the last 1.3 MB below 4 GiB, is read by who reads the
/// directory first; who unpacks it as it comes takes its descriptor for a shorter one.)
struct Packer {
    deflate: Deflate,
    /// Goes on with the file where its rest is stored.
    storing: Option<Deflate>,
    /// What of the file is still to be taken.
    left_bytes: u64,
    /// What it becomes is less, if it can be.
    made_bytes_max: u64,
}

impl Packer {
    fn new() -> Packer {
        let deflate = Deflate::new(LEVEL, false, WINDOW_BITS);
        Packer { deflate, storing: None, left_bytes: 0, made_bytes_max: 0 }
    }

    fn begin(&mut self, bytes: u64, made_bytes_max: u64) {
        self.deflate.reset();
        let made_bytes_max = if can_promise(bytes, made_bytes_max) { made_bytes_max } else { u64::MAX };
        (self.storing, self.left_bytes, self.made_bytes_max) = (None, bytes, made_bytes_max);
    }

    fn take(&mut self, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
        let taken = bytes.len() as u64;
        self.left_bytes -= taken;
        let most = self.deflate.total_out() + INSIDE_BYTES_MAX + taken + taken / 8 + stored(self.left_bytes);
        if most >= self.made_bytes_max && self.storing.is_none() {
            self.compress(&[], DeflateFlush::SyncFlush, out)?; // To the end of a byte and a block.
            self.storing = Some(Deflate::new(0, false, WINDOW_BITS));
        }
        self.compress(bytes, DeflateFlush::NoFlush, out)
    }

    fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.compress(&[], DeflateFlush::Finish, out)
    }

    /// Takes all of `bytes`, and writes what becomes of them as far as that is known: to the end where this is their end.
    fn compress(&mut self, mut bytes: &[u8], flush: DeflateFlush, out: &mut impl Write) -> io::Result<()> {
        let mut room = [0; 16 * 1024];
        let deflate = self.storing.as_mut().unwrap_or(&mut self.deflate);
        loop {
            let (taken, made) = (deflate.total_in(), deflate.total_out());
            deflate.compress(bytes, &mut room, flush).map_err(|error| io::Error::other(error.as_str()))?;
            bytes = &bytes[(deflate.total_in() - taken) as usize..];
            let made = (deflate.total_out() - made) as usize;
            out.write_all(&room[..made])?;
            if made < room.len() {
                return Ok(()); // Where it leaves room it has no more.
            }
        }
    }
}

/// Whether so many bytes become less, whatever they are, and still can where a first read of them was no more than tried.
fn can_promise(bytes: u64, made_bytes_max: u64) -> bool {
    INSIDE_BYTES_MAX + READ_BYTES_MAX as u64 / 8 + stored(bytes) < made_bytes_max
}

/// What so many bytes become that are stored, at most.
fn stored(bytes: u64) -> u64 {
    bytes + (bytes / STORED_BYTES_MIN + 1) * 5
}

/// A name as a zip has it: UTF-8. Segments that are not are percent-encoded, so that two of them stay two.
fn shown(name: &[u8]) -> String {
    let segment = |segment: &[u8]| match std::str::from_utf8(segment) {
        Ok(text) => text.to_string(),
        Err(_) => encode_segment(segment),
    };
    name.split(|byte| *byte == b'/').map(segment).collect::<Vec<_>>().join("/")
}

/// A name as it is. One that is marked as UTF-8 is held to what DOS can have: what is before a `:` would be cut off, and `\` divide.
fn entry_path(name: String) -> EntryPath<'static> {
    match name.is_ascii() {
        true => EntryPath::verbatim(name.into_bytes()),
        false => EntryPath::conformant(name.replace(':', "%3A").replace('\\', "%5C")),
    }
}

/// When a file changed: in DOS's way, which knows no zones, so in UTC; and in seconds since 1970, which all but the oldest programs prefer.
struct Changed {
    time: UtcDateTime,
    field: [u8; 5],
}

impl Changed {
    /// Behind the content the directory has it by itself; before it, where it is unpacked as it comes, it has to be said.
    const FIELD: ExtraFieldId = ExtraFieldId::EXTENDED_TIMESTAMP;

    fn at(seconds: u64) -> Changed {
        let time = UtcDateTime::from_unix(i64::try_from(seconds).unwrap_or(i64::MAX));
        // The flag says that the time of change is what follows.
        let [a, b, c, d] = u32::try_from(seconds).unwrap_or(u32::MAX).to_le_bytes();
        Changed { time, field: [1, a, b, c, d] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zlib_rs::{Inflate, InflateFlush};

    fn packed(packer: &mut Packer, bytes: &[u8], made_bytes_max: u64) -> Vec<u8> {
        let mut out = Vec::new();
        packer.begin(bytes.len() as u64, made_bytes_max);
        bytes.chunks(READ_BYTES_MAX).for_each(|piece| packer.take(piece, &mut out).unwrap());
        packer.finish(&mut out).unwrap();
        out
    }

    #[test]
    fn what_is_not_compressible_comes_to_no_more_than_its_descriptor_has_room_for() {
        let mut state = 1u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .take(1 << 20)
        .collect();
        let bytes_max = noise.len() as u64;
        let promised = (0..bytes_max).rev().find(|bytes| can_promise(*bytes, bytes_max)).unwrap() as usize;
        let mut packer = Packer::new();
        for bytes in [promised, promised - 1, promised - 20_000, promised / 16 * 15, promised / 9 * 8, 70_000, 1, 0] {
            let made = packed(&mut packer, &noise[..bytes], bytes_max);
            assert!((made.len() as u64) < bytes_max, "{bytes} became {}", made.len());
            let mut again = vec![0; bytes];
            let mut inflate = Inflate::new(false, WINDOW_BITS);
            inflate.decompress(&made, &mut again, InflateFlush::Finish).unwrap();
            assert!(again == noise[..bytes] && inflate.total_in() as usize == made.len(), "{bytes}");
        }
        for bytes in [promised + 1, promised / 16 * 15] {
            assert!(
                packed(&mut packer, &noise[..bytes], u64::MAX).len() > bytes,
                "{bytes}: the fast level lets it grow"
            );
        }
        let text = b"again and again ".repeat(promised / 16 + 1);
        let made = packed(&mut packer, &text[..promised], bytes_max);
        assert!(made == packed(&mut packer, &text[..promised], u64::MAX), "of what is compressible nothing is stored");
    }
}
