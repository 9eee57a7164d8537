//! What happens to one connection that has a slot, and what comes of it: here alone it is sent to, watched for something else, closed.
//!
//! Invariant: once `touch` returns, what is watched, the timer and what is queued are as the link wants them, or the connection is gone.

use super::{Connection, Pace, Reactor, Source};
use crate::poller::{Direction, Interest, Token, Updates};
use crate::protocol::{Deadline, Driver, Link, Outbox};
use crate::sys::Kernel;
use crate::transport::{self, Settled, Stage};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What the kernel did not take yet.
pub(super) struct Sending {
    outbox: Outbox,
    /// The protocol's deadline, which begins when the outbox is empty: until then the pace is watched.
    deadline: Deadline,
    pace: Pace,
}

impl<K: Kernel> Reactor<K> {
    /// Lets `act` happen to one connection, then does what its link wants now: send, interest, deadline, close.
    // `dyn`, so that all this is there once.
    pub(super) fn touch(&mut self, token: Token, act: &mut dyn FnMut(&mut Link, &mut Driver<'_>)) {
        let Some(Source::Connection(connection)) = self.slots.get_mut(token) else { return };
        if connection.stage == Stage::Lingering {
            return;
        }
        let Connection { socket, link, sending, interest, .. } = connection;
        let waker = || self.remote.waker(token);
        debug_assert!(self.outbox.queued() == 0, "the lent outbox came back empty");
        let mut held = sending.take();
        let out = held.as_mut().map_or(&mut self.outbox, |sending| &mut sending.outbox);
        let mut driver = Driver { now: self.now, out, deadline: None, waker: &waker };
        let mut budget = self.send_share;

        let mut is_sound = catch_unwind(AssertUnwindSafe(|| act(link, &mut driver))).is_ok();
        if self.limits.updates == Updates::Eager && driver.out.queued() > 0 && *interest != Interest::WRITE {
            // The textbook's way. What fails here fails again below, where it is seen to.
            let _ = self.poller.modify(socket.as_fd(), token, Interest::WRITE);
            *interest = Interest::WRITE;
        }
        let mut settled = Settled::Over;
        if is_sound {
            let settle = || transport::settle(&mut self.kernel, socket.as_fd(), link, &mut driver, &mut budget);
            match catch_unwind(AssertUnwindSafe(settle)) {
                Ok(now) => settled = now,
                Err(_) => is_sound = false,
            }
        }
        if settled == (Settled::Open { is_blocked: true }) {
            self.poller.exhausted(socket.as_fd(), Direction::Write);
        }

        let (wish, now) = (driver.deadline, self.now.monotonic);
        let sent_bytes = self.send_share - budget;
        self.counters.sent_bytes += sent_bytes;
        match settled {
            Settled::Open { .. } if driver.out.queued() > 0 => {
                let is_new = held.is_none();
                let mut held = held.unwrap_or_else(|| {
                    let outbox = std::mem::take(&mut self.outbox);
                    let pace = Pace::new(now, self.kernel.unacknowledged(socket.as_fd()));
                    Box::new(Sending { outbox, deadline: self.timers.get(token.index), pace })
                });
                held.deadline = wish.unwrap_or(held.deadline);
                // The timer stays where it is: what came meanwhile is seen when it passes, which costs less than setting it anew.
                if is_new {
                    let first_look = self.limits.rate_min_of(link).first_look(self.limits.send_timeout);
                    self.timers.set(token.index, Deadline::After(first_look));
                } else if sent_bytes > 0 {
                    held.pace.note_sent(sent_bytes, now);
                }
                *sending = Some(held);
            }
            Settled::Open { .. } => {
                if let Some(deadline) = wish.or(held.map(|held| held.deadline)) {
                    self.timers.set(token.index, deadline);
                }
            }
            Settled::Said | Settled::Over => {
                self.outbox.clear(); // What it could not send is not the next one's to send.
                if !is_sound {
                    self.note_panic();
                }
                return if settled == Settled::Said { self.linger(token) } else { self.close(token) };
            }
        }
        let wanted = Interest::new(link.wants_input(), sending.is_some() || link.wants_room());
        if wanted != *interest {
            *interest = wanted;
            if self.poller.modify(socket.as_fd(), token, wanted).is_err() {
                self.close(token); // Unwatched it would hang for ever.
            }
        }
    }

    /// Looks how fast a peer took what waits for it, and closes who is too slow.
    pub(super) fn look_at_pace(&mut self, token: Token) {
        let Some(Source::Connection(Connection { sending: Some(sending), socket, link, .. })) =
            self.slots.get_mut(token)
        else {
            return;
        };
        let now = self.now.monotonic;
        sending.pace.look(self.kernel.unacknowledged(socket.as_fd()), now);
        match sending.pace.ends_at(self.limits.send_timeout, self.limits.rate_min_of(link)) {
            Some(at) if at <= now => {
                // Else the kernel would keep megabytes for it for minutes, in its own hope.
                self.kernel.reset_on_close(socket.as_fd());
                self.close(token);
            }
            Some(at) => self.timers.set(token.index, Deadline::At(at)),
            None => {}
        }
    }

    /// All is said: shuts the sending side, then waits for the peer to close, unless it has.
    fn linger(&mut self, token: Token) {
        let Some(Source::Connection(connection)) = self.slots.get_mut(token) else { return };
        let socket = connection.socket.as_fd();
        if connection.link.has_ended() || self.kernel.shutdown_write(socket).is_err() {
            return self.close(token);
        }
        connection.stage = Stage::Lingering;
        if connection.interest != Interest::READ {
            connection.interest = Interest::READ;
            if self.poller.modify(socket, token, Interest::READ).is_err() {
                return self.close(token);
            }
        }
        self.timers.set(token.index, Deadline::After(self.limits.linger_timeout));
    }

    /// Ends a connection, or a listener.
    pub(super) fn close(&mut self, token: Token) {
        match self.slots.remove(token) {
            None => return,
            Some(Source::Bell) => self.unwatch(self.remote.clone().as_fd()),
            Some(Source::Listener(listener)) => self.unwatch(listener.socket.as_fd()),
            Some(Source::OfCrew(fd)) => self.unwatch(fd.as_fd()),
            Some(Source::Connection(Connection { socket, mut link, sending, is_accepted, .. })) => {
                let waker = || self.remote.waker(token);
                // What it says now reaches nobody.
                let mut out = Outbox::default();
                let mut driver = Driver { now: self.now, out: &mut out, deadline: None, waker: &waker };
                if !link.close(&mut driver) {
                    self.note_panic();
                }
                self.unwatch(socket.as_fd());
                self.counters.open -= usize::from(is_accepted);
                self.origins.leave(token.index);
                drop((socket, sending)); // Descriptors are free.
                std::mem::take(&mut self.resting).into_iter().for_each(|listener| self.resume_listener(listener));
            }
        }
        self.timers.clear(token.index);
    }

    pub(super) fn close_all(&mut self) {
        let tokens: Vec<_> = self.slots.tokens().collect();
        tokens.into_iter().for_each(|token| self.close(token));
    }

    pub(super) fn unwatch(&mut self, fd: impl AsFd) {
        let removed = self.poller.remove(fd.as_fd());
        debug_assert!(removed.is_ok(), "whoever has a slot is watched: {removed:?}");
    }
}
