//! Lines for people and logs, written without ever waiting for who reads them.
//!
//! Invariant: a line goes out whole or not at all, and a reader that stops costs lines, which are counted, never a turn of the loop.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;
use tripoll::sys::{self, PIPE_BUF};

/// Bytes that may wait for a reader; what comes then is dropped.
const QUEUE_BYTES_MAX: usize = 64 * 1024;

/// How long a line may wait until it is tried again, where nothing else makes the loop turn.
pub const RETRY: Duration = Duration::from_millis(100);

/// At the end a reader gets this long to take what waits, in so many steps.
const FAREWELL: Duration = Duration::from_millis(200);
const FAREWELL_STEPS: u32 = 20;

/// Where lines go: stdout, stderr.
pub struct Lines {
    target: Target,
    queue: Vec<u8>,
    dropped: u64,
}

enum Target {
    /// A description of our own, so that `O_NONBLOCK` is nobody else's: a pipe, a terminal.
    Own(File),
    /// The description that the shell gave us: a regular file, which never waits, or a socket, which is asked before.
    Shared(File),
    /// Nobody reads any more.
    Closed,
}

impl Lines {
    /// Lines for the reader of `fd`.
    pub fn new(fd: BorrowedFd<'_>) -> Lines {
        Lines { target: Target::new(fd).unwrap_or(Target::Closed), queue: Vec::new(), dropped: 0 }
    }

    /// Lets `write` append a line of at most [`PIPE_BUF`] bytes, its end included.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if matches!(self.target, Target::Closed) {
            return;
        }
        let before = self.queue.len();
        write(&mut self.queue);
        debug_assert!(self.queue.len() - before <= PIPE_BUF && self.queue.ends_with(b"\n"), "a line fits, and ends");
        if self.queue.len() > QUEUE_BYTES_MAX {
            self.queue.truncate(before);
            self.dropped += 1;
        }
    }

    /// Writes what the reader takes now. Whether something is left.
    pub fn flush(&mut self) -> bool {
        if self.queue.is_empty() {
            return false; // Nothing was said in most turns of the loop.
        }
        let mut gone = 0;
        while gone < self.queue.len() {
            // Up to PIPE_BUF bytes enter a pipe together or not at all (pipe(7)); whole lines, so that nobody else's comes between.
            let chunk = whole_lines(&self.queue[gone..]);
            match self.target.write(chunk) {
                Ok(count) => gone += count,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => break,
                Err(_) => {
                    self.target = Target::Closed;
                    gone = self.queue.len();
                }
            }
        }
        self.queue.drain(..gone);
        !self.queue.is_empty()
    }

    /// Drops what waits, without a word.
    pub fn forget(&mut self) {
        self.queue.clear();
        self.dropped = 0;
    }

    /// How many lines were dropped since the last call; told when those before them are out.
    pub fn take_dropped(&mut self) -> Option<u64> {
        let is_time = self.dropped > 0 && self.queue.is_empty();
        is_time.then(|| std::mem::take(&mut self.dropped))
    }

    /// Whether nobody reads any more.
    pub fn is_closed(&self) -> bool {
        matches!(self.target, Target::Closed)
    }

    /// Gives a slow reader a moment, when nothing else is left to be done.
    pub fn say_farewell(&mut self) {
        for _ in 0..FAREWELL_STEPS {
            if !self.flush() {
                return;
            }
            std::thread::sleep(FAREWELL / FAREWELL_STEPS);
        }
    }
}

impl Target {
    fn new(fd: BorrowedFd<'_>) -> io::Result<Target> {
        use std::os::unix::fs::FileTypeExt;
        let shared = File::from(fd.try_clone_to_owned()?);
        let kind = shared.metadata()?.file_type();
        // A regular file is not opened anew: that would begin at its first byte.
        let own = (kind.is_fifo() || kind.is_char_device()).then(|| sys::reopen_to_write(fd).ok()).flatten();
        Ok(own.map_or(Target::Shared(shared), Target::Own))
    }

    fn write(&mut self, chunk: &[u8]) -> io::Result<usize> {
        match self {
            Target::Own(file) => file.write(chunk),
            Target::Shared(file) if sys::is_writable(file.as_fd())? => file.write(chunk),
            Target::Shared(_) => Err(ErrorKind::WouldBlock.into()),
            Target::Closed => Ok(chunk.len()),
        }
    }
}

/// As many of the first lines as fit [`PIPE_BUF`]. Where a terminal took half a line, the other half is the first.
fn whole_lines(queue: &[u8]) -> &[u8] {
    let chunk = &queue[..queue.len().min(PIPE_BUF)];
    match memchr::memrchr(b'\n', chunk) {
        Some(end) => &chunk[..=end],
        None => chunk,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn numbered(number: usize) -> Vec<u8> {
        format!("{number} {}\n", "x".repeat(number * 37 % 1500)).into_bytes()
    }

    #[test]
    fn a_reader_that_stops_costs_whole_lines_and_they_are_counted() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut lines = Lines::new(writer.as_fd());
        drop(writer);
        let total = 2_000;
        for number in 0..total {
            lines.push(|line| line.extend(numbered(number)));
            lines.flush(); // Nobody reads: the pipe fills, then the queue.
        }
        assert_eq!(lines.take_dropped(), None, "not before the lines that came first are out");
        let reading = std::thread::spawn(move || {
            let mut read = Vec::new();
            reader.read_to_end(&mut read).map(|_| read)
        });
        while lines.flush() {
            std::thread::yield_now();
        }
        let dropped = lines.take_dropped().expect("far more than fits");
        assert_eq!(lines.take_dropped(), None, "told once");
        drop(lines);
        let read = reading.join().unwrap().unwrap();
        let mut expected = (0..total).map(numbered);
        let got: Vec<&[u8]> = read.split_inclusive(|byte| *byte == b'\n').collect();
        for line in &got {
            assert!(expected.any(|candidate| candidate == *line), "no line is torn, doubled or out of order");
        }
        assert_eq!(got.len() as u64 + dropped, total as u64);
    }

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        let (reader, writer) = io::pipe().unwrap();
        let mut lines = Lines::new(writer.as_fd());
        drop(reader);
        lines.push(|line| line.extend(b"lost\n"));
        assert!(!lines.flush());
        assert!(lines.is_closed());
        lines.push(|line| line.extend(b"lost too\n"));
        assert!(!lines.flush());
    }

    #[test]
    fn a_file_is_continued_where_it_was() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("log");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"before\n").unwrap();
        let mut lines = Lines::new(file.as_fd());
        lines.push(|line| line.extend(b"after\n"));
        assert!(!lines.flush());
        assert_eq!(std::fs::read(&path).unwrap(), b"before\nafter\n");
    }
}
