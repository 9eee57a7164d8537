//! select(2): two bitmaps of every descriptor, copied in, overwritten, copied out, scanned, at every call.

use super::{Counters, Event, Interest, Poller, Token, place, was_interrupted};
use crate::sys;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

const WORD_BITS: usize = usize::BITS as usize;

/// select(2) over bitmaps of our own that grow with the highest descriptor: what stops at 1,024 is libc's `fd_set`, not the kernel.
#[derive(Debug, Default)]
pub struct Select {
    /// Who watches each descriptor.
    tokens: Vec<Option<Token>>,
    /// One more than the highest descriptor that is watched.
    nfds: usize,
    /// What to ask of the kernel, kept between calls: the call overwrites what it is given.
    read: Vec<usize>,
    write: Vec<usize>,
    /// What it is given.
    read_ready: Vec<usize>,
    write_ready: Vec<usize>,
    /// Descriptors with a bit in `read` or `write`.
    watched: u64,
    limit: Option<RawFd>,
    counters: Counters,
}

/// Why [`Select`] does not watch a descriptor: its number is not below the limit it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct LimitReached {
    pub fd: RawFd,
    pub limit: RawFd,
}

impl fmt::Display for LimitReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "descriptor {} is past --select-limit {}", self.fd, self.limit)
    }
}

impl std::error::Error for LimitReached {}

impl Select {
    /// Watches nothing yet. With a `limit`, descriptors from that number on are refused: 1,024 is the textbook's `FD_SETSIZE`.
    pub fn new(limit: Option<RawFd>) -> Select {
        Select { limit, ..Select::default() }
    }

    fn token_mut(&mut self, fd: RawFd) -> Option<&mut Option<Token>> {
        self.tokens.get_mut(place(fd)).filter(|token| token.is_some())
    }

    /// Sets both bits of `fd` to `interest`.
    fn set_bits(&mut self, fd: usize, interest: Interest) {
        let (word, bit) = (fd / WORD_BITS, 1 << (fd % WORD_BITS));
        let was_watched = (self.read[word] | self.write[word]) & bit != 0;
        for (set, wanted) in [(&mut self.read, interest.readable()), (&mut self.write, interest.writable())] {
            if wanted {
                set[word] |= bit;
            } else {
                set[word] &= !bit;
            }
        }
        self.watched = self.watched + u64::from(!interest.is_none()) - u64::from(was_watched);
        self.counters.changes += 1;
    }

    /// Turns the bits that the call left into events, word by word: 64 descriptors that are not ready cost one comparison.
    fn collect(&mut self, events: &mut Vec<Event>, words: usize) {
        for word in 0..words {
            let (read, write) = (self.read_ready[word], self.write_ready[word]);
            let mut ready = read | write;
            while ready != 0 {
                let bit = ready.trailing_zeros() as usize;
                ready &= ready - 1;
                let token = self.tokens[word * WORD_BITS + bit].expect("a bit is set only where a token is");
                events.push(Event::new(token, Interest::new(read >> bit & 1 != 0, write >> bit & 1 != 0), false));
            }
        }
    }

    /// Forgets descriptors that were closed while they were watched: one of them fails the whole call with EBADF (contract, 6).
    fn forget_closed(&mut self) {
        for fd in 0..self.nfds {
            if self.tokens[fd].is_some() && !sys::is_open(fd as RawFd) {
                debug_assert!(false, "descriptor {fd} was closed before it was removed from the poller");
                self.tokens[fd] = None;
                self.set_bits(fd, Interest::NONE);
            }
        }
    }
}

impl Poller for Select {
    fn add(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        let raw = fd.as_raw_fd();
        if self.token_mut(raw).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if let Some(limit) = self.limit.filter(|limit| raw >= *limit) {
            return Err(io::Error::other(LimitReached { fd: raw, limit }));
        }
        let fd = place(raw);
        if fd >= self.tokens.len() {
            let words = fd / WORD_BITS + 1;
            self.tokens.resize(words * WORD_BITS, None);
            for set in [&mut self.read, &mut self.write, &mut self.read_ready, &mut self.write_ready] {
                set.resize(words, 0);
            }
        }
        self.tokens[fd] = Some(token);
        self.nfds = self.nfds.max(fd + 1);
        self.set_bits(fd, interest);
        Ok(())
    }

    fn modify(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        *self.token_mut(fd.as_raw_fd()).ok_or(io::ErrorKind::NotFound)? = Some(token);
        self.set_bits(place(fd.as_raw_fd()), interest);
        Ok(())
    }

    fn remove(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        *self.token_mut(fd.as_raw_fd()).ok_or(io::ErrorKind::NotFound)? = None;
        self.set_bits(place(fd.as_raw_fd()), Interest::NONE);
        while self.nfds > 0 && self.tokens[self.nfds - 1].is_none() {
            self.nfds -= 1;
        }
        Ok(())
    }

    fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        events.clear();
        let words = self.nfds.div_ceil(WORD_BITS);
        self.read_ready[..words].copy_from_slice(&self.read[..words]);
        self.write_ready[..words].copy_from_slice(&self.write[..words]);
        self.counters.waits += 1;
        self.counters.passed += self.watched;
        match sys::select(self.nfds, &mut self.read_ready, &mut self.write_ready, timeout.map(round_up)) {
            Ok(0) => {}
            Ok(_) => {
                self.collect(events, words);
                self.counters.scanned += self.nfds as u64;
                self.counters.ready += events.len() as u64;
            }
            Err(error) if was_interrupted(&error) => {}
            Err(error) if error.raw_os_error() == Some(sys::EBADF) => self.forget_closed(),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}

/// A timeout in whole microseconds, select's unit, and within what the kernel accepts as seconds.
fn round_up(timeout: Duration) -> Duration {
    const SECONDS_MAX: u64 = i32::MAX as u64;
    let micros = timeout.min(Duration::from_secs(SECONDS_MAX)).as_nanos().div_ceil(1_000);
    Duration::from_micros(micros as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_round_up_to_a_microsecond() {
        let nanos = Duration::from_nanos;
        for (given, want) in [(0, 0), (1, 1_000), (1_000, 1_000), (1_001, 2_000), (999_999_999, 1_000_000_000)] {
            assert_eq!(round_up(nanos(given)), nanos(want), "{given} ns");
        }
        assert_eq!(round_up(Duration::MAX), Duration::from_secs(i32::MAX as u64));
    }
}
