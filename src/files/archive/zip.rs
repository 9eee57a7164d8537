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
    let mut deflate = Deflate::new(LEVEL, false, WINDOW_BITS);
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
        deflate.reset();
        let (mut at, mut sum) = (0, 0);
        while at < file.size() {
            let read = read_at(&file, at, &mut buffer)?;
            sum = crc32(sum, read);
            compress(&mut deflate, read, DeflateFlush::NoFlush, &mut entry)?;
            at += read.len() as u64;
            written.room().await;
        }
        if !file.is_unchanged(&file.file().metadata()?) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        compress(&mut deflate, &[], DeflateFlush::Finish, &mut entry)?;
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

/// Takes all of `bytes`, and writes what becomes of them as far as that is known: to the end where this is their end.
fn compress(deflate: &mut Deflate, mut bytes: &[u8], flush: DeflateFlush, out: &mut impl Write) -> io::Result<()> {
    let mut room = [0; 16 * 1024];
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
