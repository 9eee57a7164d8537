//! epoll(7): the kernel keeps the set; a wait brings only what is ready.
//!
//! Level trigger: the kernel's set follows what is wanted, widened at once and narrowed lazily, when an event comes that nobody wants;
//! most changes of mind are over before that, and each saves an epoll_ctl. Edge trigger: registered once, for everything; what the
//! kernel told is kept until it is [`exhausted`](Poller::exhausted), so that from outside it is level-triggered too.

use super::{Counters, Direction, Event, Interest, Poller, Token, Trigger, place, timeout_ms, was_interrupted};
use crate::sys::{self, EpollChange, epoll_event};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

/// More ready descriptors than this come with the next wait: the kernel hands them out in turn.
const EVENTS_PER_WAIT_MAX: usize = 512;

/// epoll(7), level- or edge-triggered.
pub struct Epoll {
    epoll: OwnedFd,
    trigger: Trigger,
    /// Level trigger: narrow at once.
    is_eager: bool,
    /// What is known of each descriptor.
    entries: Vec<Option<Entry>>,
    /// Edge trigger: descriptors that may have kept readiness that is wanted. Each at most once among those with `Entry::listed`.
    kept: Vec<RawFd>,
    buffer: Box<[epoll_event]>,
    counters: Counters,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    token: Token,
    interest: Interest,
    /// What the kernel watches it for; `NONE`: it is not in the kernel's set.
    registered: Interest,
    /// Edge trigger: what the kernel told and nobody exhausted.
    ready: Interest,
    ended: bool,
    listed: bool,
}

impl Entry {
    fn wanted(&self) -> Interest {
        self.ready.and(self.interest)
    }
}

impl Epoll {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// What epoll_create1(2) says.
    pub fn new(trigger: Trigger) -> io::Result<Epoll> {
        Ok(Epoll {
            epoll: sys::epoll_create()?,
            trigger,
            is_eager: false,
            entries: Vec::new(),
            kept: Vec::new(),
            buffer: vec![epoll_event { events: 0, u64: 0 }; EVENTS_PER_WAIT_MAX].into_boxed_slice(),
            counters: Counters::default(),
        })
    }

    fn entry_mut(&mut self, fd: RawFd) -> Option<&mut Entry> {
        self.entries.get_mut(place(fd))?.as_mut()
    }

    /// Makes the kernel watch `fd` for exactly `interest`: `NONE` takes it out of the set, since the kernel reports errors and hang-ups
    /// even of those that are watched for nothing.
    fn register(&mut self, fd: RawFd, interest: Interest) -> io::Result<()> {
        let entry = self.entries[place(fd)].as_mut().expect("who registers has an entry");
        let change = match (entry.registered, interest) {
            (Interest::NONE, Interest::NONE) => return Ok(()),
            (Interest::NONE, _) => EpollChange::Add,
            (_, Interest::NONE) => EpollChange::Delete,
            _ => EpollChange::Modify,
        };
        let events = mask(interest, self.trigger);
        sys::epoll_ctl(self.epoll.as_fd(), change, fd, events, data(fd, entry.token))?;
        entry.registered = interest;
        self.counters.changes += 1;
        Ok(())
    }

    /// Level trigger: reports what is wanted of an event, and stops what is not wanted from coming again.
    fn report(&mut self, fd: RawFd, ready: Interest, events: &mut Vec<Event>) {
        let entry = self.entries[place(fd)].as_ref().expect("the caller found it");
        let (token, interest, registered) = (entry.token, entry.interest, entry.registered);
        let wanted = ready.and(interest);
        if !wanted.is_none() {
            events.push(Event::new(token, wanted, false));
        }
        if wanted != ready && registered != interest {
            // Where the kernel refuses to narrow, the event comes again, and with it the next try.
            let _ = self.register(fd, interest);
        }
    }

    /// Edge trigger: keeps what an event told; [`report_kept`](Self::report_kept) reports it.
    fn keep(&mut self, fd: RawFd, ready: Interest, ended: bool) {
        let entry = self.entries[place(fd)].as_mut().expect("the caller found it");
        entry.ready = entry.ready | ready;
        entry.ended |= ended;
        if !entry.listed {
            entry.listed = true;
            self.kept.push(fd);
        }
    }

    /// Reports all kept readiness that is wanted, and unlists what has none.
    fn report_kept(&mut self, events: &mut Vec<Event>) {
        let Epoll { entries, kept, .. } = self;
        // A number may stand here twice when its descriptor was removed and another added: the first visit clears `listed`.
        kept.retain(|fd| {
            let Some(entry) = entries[place(*fd)].as_mut().filter(|entry| entry.listed) else { return false };
            entry.listed = false;
            let wanted = entry.wanted();
            if !wanted.is_none() {
                events.push(Event::new(entry.token, wanted, entry.ended));
            }
            !wanted.is_none()
        });
        for fd in kept {
            entries[place(*fd)].as_mut().expect("retained just now").listed = true;
        }
    }

    /// Whether kept readiness is wanted, so that a wait must not block.
    fn has_kept(&self) -> bool {
        self.kept.iter().any(|fd| self.entries[place(*fd)].as_ref().is_some_and(|entry| !entry.wanted().is_none()))
    }

    /// An event of a descriptor that nobody watches: it was closed before it was removed, while a duplicate keeps it alive (contract, 6).
    /// It can no longer be taken out of the set by its number, so the set is made anew.
    fn forget_closed(&mut self, fd: RawFd) -> io::Result<()> {
        debug_assert!(false, "descriptor {fd} was closed before it was removed from the poller");
        self.epoll = sys::epoll_create()?;
        for fd in 0..self.entries.len() {
            let Some(entry) = self.entries[fd].as_mut() else { continue };
            let registered = std::mem::replace(&mut entry.registered, Interest::NONE);
            if self.register(fd as RawFd, registered).is_err() {
                self.entries[fd] = None;
            }
        }
        Ok(())
    }
}

/// What comes back with each event: the descriptor, and its tenant's generation to tell its events from a predecessor's.
fn data(fd: RawFd, token: Token) -> u64 {
    u64::from(fd.cast_unsigned()) | u64::from(token.generation) << 32
}

fn mask(interest: Interest, trigger: Trigger) -> u32 {
    let mut mask = match trigger {
        Trigger::Level => 0,
        Trigger::Edge => sys::EPOLLET | sys::EPOLLRDHUP,
    };
    if interest.readable() {
        mask |= sys::EPOLLIN;
    }
    if interest.writable() {
        mask |= sys::EPOLLOUT;
    }
    mask
}

impl Poller for Epoll {
    fn add(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        let fd = fd.as_raw_fd();
        if self.entry_mut(fd).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if place(fd) >= self.entries.len() {
            self.entries.resize(place(fd) + 1, None);
        }
        let none = Interest::NONE;
        let entry = Entry { token, interest, registered: none, ready: none, ended: false, listed: false };
        self.entries[place(fd)] = Some(entry);
        let registered = match self.trigger {
            Trigger::Level => interest,
            Trigger::Edge => Interest::BOTH,
        };
        self.register(fd, registered).inspect_err(|_| self.entries[place(fd)] = None)
    }

    fn modify(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        let fd = fd.as_raw_fd();
        let entry = self.entry_mut(fd).ok_or(io::ErrorKind::NotFound)?;
        let renamed = std::mem::replace(&mut entry.token, token).generation != token.generation;
        let widened = !entry.registered.contains(interest);
        entry.interest = interest;
        let narrowed = self.is_eager && self.entries[place(fd)].is_some_and(|entry| entry.registered != interest);
        match self.trigger {
            Trigger::Level if renamed || widened || narrowed => self.register(fd, interest),
            Trigger::Level => Ok(()),
            Trigger::Edge => {
                self.keep(fd, Interest::NONE, false); // What is kept already may be wanted now.
                if renamed { self.register(fd, Interest::BOTH) } else { Ok(()) }
            }
        }
    }

    fn remove(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let fd = fd.as_raw_fd();
        self.entry_mut(fd).ok_or(io::ErrorKind::NotFound)?;
        let result = self.register(fd, Interest::NONE);
        self.entries[place(fd)] = None;
        result
    }

    fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        events.clear();
        let timeout = if self.has_kept() { Some(Duration::ZERO) } else { timeout };
        self.counters.waits += 1;
        let count = match sys::epoll_wait(self.epoll.as_fd(), &mut self.buffer, timeout_ms(timeout)) {
            Ok(count) => count,
            Err(error) if was_interrupted(&error) => 0,
            Err(error) => return Err(error),
        };
        self.counters.scanned += count as u64;
        for at in 0..count {
            let epoll_event { events: told, u64: data } = self.buffer[at];
            let (fd, generation) = ((data as u32).cast_signed(), (data >> 32) as u32);
            debug_assert!(sys::is_open(fd), "descriptor {fd} was closed before it was removed from the poller");
            if self.entry_mut(fd).is_none_or(|entry| entry.token.generation != generation) {
                self.forget_closed(fd)?;
                continue;
            }
            let failed = told & (sys::EPOLLERR | sys::EPOLLHUP) != 0;
            let ready = Interest::new(failed || told & sys::EPOLLIN != 0, failed || told & sys::EPOLLOUT != 0);
            match self.trigger {
                Trigger::Level => self.report(fd, ready, events),
                Trigger::Edge => self.keep(fd, ready, failed || told & sys::EPOLLRDHUP != 0),
            }
        }
        self.report_kept(events);
        self.counters.ready += events.len() as u64;
        Ok(())
    }

    fn exhausted(&mut self, fd: BorrowedFd<'_>, direction: Direction) {
        if let Some(entry) = self.entry_mut(fd.as_raw_fd()) {
            // No edge comes after the end. Its event may have found nobody interested, so that who reads does not know of it yet.
            if entry.ended && direction == Direction::Read {
                return;
            }
            let direction = match direction {
                Direction::Read => Interest::READ,
                Direction::Write => Interest::WRITE,
            };
            entry.ready = entry.ready.without(direction);
        }
    }

    fn narrow_eagerly(&mut self) {
        self.is_eager = true;
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}
