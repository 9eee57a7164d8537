//! The folder as a zip: deflated, sizes behind the content, since none is known before it was read.

use super::walk::{Content, Entry, Walk};
use crate::files::path::encode_segment;
use crate::protocol::{Chunk, OpenFile};
use crate::sys;
use ::zip::write::{SimpleFileOptions, StreamWriter};
use ::zip::{CompressionMethod, DateTime, ZipWriter};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

/// What is read at a time.
const READ_BYTES_MAX: u64 = 64 * 1024;

/// The directory at the end is kept in memory until then, some hundred bytes an entry. Past it a tar is what there is.
const ENTRIES_MAX: usize = 100_000;

/// From here on sizes have 64 bits: what can't be made smaller may grow by an eighth.
const LARGE_BYTES_MIN: u64 = 1 << 31;

/// Fast before small: most networks are faster than the better levels.
const LEVEL: i64 = 1;

pub(super) struct Zip {
    walk: Walk,
    writer: Option<ZipWriter<StreamWriter<Written>>>,
    written: Written,
    entries: usize,
    /// The file that is being read, and how far.
    file: Option<(OpenFile, u64)>,
    buffer: Vec<u8>,
}

/// What the writer wrote, to be sent.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Zip {
    pub(super) fn new(walk: Walk) -> Zip {
        let written = Written::default();
        let writer = Some(ZipWriter::new_stream(written.clone()));
        Zip { walk, writer, written, entries: 0, file: None, buffer: vec![0; READ_BYTES_MAX as usize] }
    }

    /// Does the next thing there is to do; not to be called when all is done.
    fn go_on(&mut self) -> io::Result<()> {
        let writer = self.writer.as_mut().expect("all is not done");
        if let Some((file, at)) = &mut self.file {
            let wanted = (file.size() - *at).min(READ_BYTES_MAX) as usize;
            let read = file.file().read_at(&mut self.buffer[..wanted], *at)?;
            writer.write_all(&self.buffer[..read])?;
            *at += read as u64;
            if *at < file.size() && read > 0 {
                return Ok(());
            }
            if *at < file.size() || !file.is_unchanged(&file.file().metadata()?) {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.file = None;
            return Ok(());
        }
        match self.walk.next() {
            Some(entry) => self.begin(entry?),
            None => {
                let writer = self.writer.take().expect("it is here");
                writer.finish().map(drop).map_err(io::Error::from)
            }
        }
    }

    fn begin(&mut self, entry: Entry) -> io::Result<()> {
        self.entries += 1;
        if self.entries > ENTRIES_MAX {
            return Err(ErrorKind::OutOfMemory.into());
        }
        let writer = self.writer.as_mut().expect("all is not done");
        let Entry { name, mode, changed, content } = entry;
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(LEVEL))
            .last_modified_time(dos_time(changed))
            .unix_permissions(mode);
        match content {
            Content::Folder => writer.add_directory(shown(&name), options)?,
            Content::File(file) => {
                writer.start_file(shown(&name), options.large_file(file.size() >= LARGE_BYTES_MIN))?;
                self.file = Some((file, 0));
            }
        }
        Ok(())
    }
}

impl Iterator for Zip {
    type Item = io::Result<Chunk>;

    fn next(&mut self) -> Option<io::Result<Chunk>> {
        let mut made = self.written.take();
        while self.writer.is_some() && (made.len() as u64) < READ_BYTES_MAX {
            if let Err(error) = self.go_on() {
                return Some(Err(error));
            }
            made.append(&mut self.written.take());
        }
        (!made.is_empty()).then_some(Ok(Chunk::Bytes(made)))
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

/// Local time, as zips have it; of what it can't say, its first.
fn dos_time(seconds: u64) -> DateTime {
    let time = sys::local_time(seconds);
    let year = u16::try_from(time.year).unwrap_or(0);
    DateTime::from_date_and_time(year, time.month, time.day, time.hour, time.minute, time.second).unwrap_or_default()
}
