//! poll(2): an array of every descriptor, copied in, marked, copied out, scanned, at every call.

use super::{Counters, Event, Interest, Poller, Token, place, timeout_ms, was_interrupted};
use crate::sys::{self, pollfd};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

/// poll(2) over one dense array that is never rebuilt, with a table from descriptor to place in it.
#[derive(Default)]
pub struct Poll {
    /// What is handed to the kernel. An entry without interest is masked: its `fd` is inverted, hence negative, hence passed over.
    fds: Vec<pollfd>,
    /// Who watches each entry of `fds`.
    tokens: Vec<Token>,
    /// Where each descriptor stands in `fds`.
    places: Vec<Option<u32>>,
    /// Entries that are not masked.
    watched: u64,
    counters: Counters,
}

impl Poll {
    /// Watches nothing yet.
    pub fn new() -> Poll {
        Poll::default()
    }

    fn place_of(&self, fd: RawFd) -> Option<usize> {
        self.places.get(place(fd)).copied().flatten().map(|at| at as usize)
    }

    fn set_interest(&mut self, at: usize, interest: Interest) {
        let entry = &mut self.fds[at];
        let was_watched = entry.fd >= 0;
        let fd = unmasked(entry.fd);
        // `!fd`, not `-fd`: 0 is a descriptor. Masked, since POLLERR and POLLHUP come unasked and would end every wait.
        entry.fd = if interest.is_none() { !fd } else { fd };
        entry.events = 0;
        if interest.readable() {
            entry.events |= sys::POLLIN;
        }
        if interest.writable() {
            entry.events |= sys::POLLOUT;
        }
        self.watched = self.watched + u64::from(!interest.is_none()) - u64::from(was_watched);
        self.counters.changes += 1;
    }

    /// Looks through the array until as many ready entries were found as the kernel counted.
    fn collect(&mut self, events: &mut Vec<Event>, ready: usize) {
        let mut left = ready;
        let mut at = 0;
        while left > 0 && at < self.fds.len() {
            self.counters.scanned += 1;
            let entry = &self.fds[at];
            if entry.revents == 0 {
                at += 1;
                continue;
            }
            left -= 1;
            if entry.revents & sys::POLLNVAL != 0 {
                debug_assert!(false, "descriptor {} was closed before it was removed from the poller", entry.fd);
                self.take_out(at); // Another entry stands here now: `at` stays.
                continue;
            }
            let any = entry.revents & (sys::POLLERR | sys::POLLHUP) != 0;
            let readable = entry.events & sys::POLLIN != 0 && (any || entry.revents & sys::POLLIN != 0);
            let writable = entry.events & sys::POLLOUT != 0 && (any || entry.revents & sys::POLLOUT != 0);
            events.push(Event::new(self.tokens[at], Interest::new(readable, writable), false));
            at += 1;
        }
    }

    /// Removes an entry; the last one takes its place.
    fn take_out(&mut self, at: usize) {
        self.set_interest(at, Interest::NONE);
        self.places[place(unmasked(self.fds[at].fd))] = None;
        self.fds.swap_remove(at);
        self.tokens.swap_remove(at);
        if let Some(moved) = self.fds.get(at) {
            self.places[place(unmasked(moved.fd))] = Some(at as u32);
        }
    }
}

/// The descriptor of an entry, masked or not.
fn unmasked(fd: RawFd) -> RawFd {
    if fd < 0 { !fd } else { fd }
}

impl Poller for Poll {
    fn add(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        let raw = fd.as_raw_fd();
        if self.place_of(raw).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let fd = place(raw);
        if fd >= self.places.len() {
            self.places.resize(fd + 1, None);
        }
        let at = self.fds.len();
        self.places[fd] = Some(at as u32);
        self.fds.push(pollfd { fd: !raw, events: 0, revents: 0 });
        self.tokens.push(token);
        self.set_interest(at, interest);
        Ok(())
    }

    fn modify(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        let at = self.place_of(fd.as_raw_fd()).ok_or(io::ErrorKind::NotFound)?;
        self.tokens[at] = token;
        self.set_interest(at, interest);
        Ok(())
    }

    fn remove(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let at = self.place_of(fd.as_raw_fd()).ok_or(io::ErrorKind::NotFound)?;
        self.take_out(at);
        Ok(())
    }

    fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        events.clear();
        self.counters.waits += 1;
        self.counters.passed += self.watched;
        match sys::poll(&mut self.fds, timeout_ms(timeout)) {
            Ok(ready) => self.collect(events, ready),
            Err(error) if was_interrupted(&error) => {}
            Err(error) => return Err(error),
        }
        self.counters.ready += events.len() as u64;
        Ok(())
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}
