//! Listeners: who is let in, who gives way, who is turned away.
//!
//! Invariant: a listener that can't accept is not watched, or its readiness would make the loop spin.

use super::{Connection, Notice, Reactor, Source, Visitor};
use crate::poller::{Direction, Event, Interest, Token};
use crate::protocol::{Cue, Deadline, Link, Protocol};
use crate::sys::Kernel;
use crate::transport::{self, Accepted, Stage};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// How long a listener that could not accept rests before it tries again, in case no connection of ours ends before.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// A turn is long by so many events, and by so many descriptors that its wait handed to the kernel, again and again: to go through these costs
/// much more than to be told that nobody is at the door, or has said anything yet. So the longer a turn is, the more are accepted in it, and
/// served at once: else of a crowd at the door each would be let in by a long turn of its own, and served by another.
const EVENTS_PER_ACCEPT: usize = 4;
const PASSED_PER_ACCEPT: u64 = 128;

/// After so many events it is looked who came meanwhile.
pub(super) const EVENTS_PER_LOOK: usize = 128;

/// How long a turn is, in connections that may be accepted beside the first; 0 of most.
pub(super) fn turn_length(events: usize, passed: u64) -> usize {
    events.min(EVENTS_PER_LOOK) / EVENTS_PER_ACCEPT + (passed / PASSED_PER_ACCEPT) as usize
}

impl<K: Kernel> Reactor<K> {
    /// Takes a few from each listener that has an event.
    pub(super) fn accept(&mut self) {
        let mut accepting = std::mem::take(&mut self.accepting);
        let accepts_max = self.limits.accepts_per_turn_max.unwrap_or(1 + self.turn_length);
        for token in accepting.drain(..) {
            for _ in 0..accepts_max {
                if !self.accept_one(token) {
                    break;
                }
            }
        }
        self.accepting = accepting;
    }

    /// Takes a few from each listener, in the midst of a long turn: who came since its wait is in no event of it.
    pub(super) fn look_at_the_doors(&mut self) {
        self.accepting.clear();
        for token in &self.listeners {
            if let Some(Source::Listener(listener)) = self.slots.get_mut(*token)
                && !listener.rests
            {
                self.accepting.push(*token);
            }
        }
        self.accept();
    }

    /// Whether there may be another.
    pub(super) fn accept_one(&mut self, token: Token) -> bool {
        let Some(Source::Listener(listener)) = self.slots.get_mut(token) else { return false };
        match transport::accept(&mut self.kernel, listener.socket.as_fd()) {
            Accepted::Connection(socket, peer) => {
                if self.has_all_it_may(peer) {
                    self.refuse(token, socket);
                    self.notice(Notice::AddressFull(peer.ip()));
                } else if self.open_count() >= self.limits.connections_max && !self.evict_idle() {
                    self.refuse(token, socket);
                    self.notice(Notice::Full);
                } else if let Err((error, socket)) = self.begin(token, socket, peer) {
                    self.refuse(token, socket);
                    self.notice(Notice::CannotServe(error));
                }
                true
            }
            Accepted::Nothing => {
                self.poller.exhausted(listener.socket.as_fd(), Direction::Read);
                false
            }
            Accepted::Lost => true,
            // Who waits is there in the next turn too.
            Accepted::Short(_) if (self.on_shortage)() || self.evict_idle() => false,
            Accepted::Short(error) | Accepted::Unable(error) => {
                self.rest_listener(token);
                self.notice(Notice::CannotAccept(error));
                false
            }
        }
    }

    /// Whether its address has as many connections as one may have.
    fn has_all_it_may(&mut self, peer: SocketAddr) -> bool {
        let per_address_max = self.limits.per_address_max;
        if per_address_max == usize::MAX {
            return false;
        }
        if let Some(crew) = &mut self.crew {
            crew.take_left().into_iter().for_each(|ticket| self.origins.leave(ticket));
        }
        self.origins.count(peer) >= per_address_max
    }

    fn open_count(&self) -> usize {
        self.crew.as_ref().map_or(self.counters.open, |crew| crew.open())
    }

    /// Serves what `listener` accepted, or has it served.
    fn begin(&mut self, listener: Token, socket: OwnedFd, peer: SocketAddr) -> Result<(), (io::Error, OwnedFd)> {
        let Some(Source::Listener(listener)) = self.slots.get_mut(listener) else { unreachable!("it accepted") };
        if let Some(crew) = &mut self.crew {
            let ticket = self.next_ticket;
            crew.take(Visitor { socket, peer, ticket }, &mut *listener.accept)?;
            self.next_ticket = ticket.wrapping_add(1);
            if self.limits.per_address_max < usize::MAX {
                self.origins.enter(ticket, peer);
            }
            return Ok(());
        }
        let protocol = listener.accept.protocol(peer);
        let token = self.open(socket, protocol, Some(peer))?;
        if self.turn_length > 0 {
            // By now it has said what it wants, mostly, and is not put at the end of the next turn.
            self.receive(&Event { token, readable: true, writable: false, ended: false });
        }
        Ok(())
    }

    /// Closes the connection that has been idle longest. Whether there was one.
    fn evict_idle(&mut self) -> bool {
        if let Some(crew) = &mut self.crew {
            return crew.evict_idle();
        }
        let Some(token) = self.timers.longest_idle().and_then(|slot| self.slots.token(slot)) else { return false };
        self.close(token);
        true
    }

    /// Gives a connection its slot and its first cue; one that came by a listener has a peer. An error comes with the socket, unwatched.
    /// The cue may have been its last.
    pub(super) fn open(
        &mut self,
        socket: OwnedFd,
        protocol: Box<dyn Protocol>,
        peer: Option<SocketAddr>,
    ) -> Result<Token, (io::Error, OwnedFd)> {
        let is_accepted = peer.is_some();
        let (link, interest) = (Link::new(protocol), Interest::READ);
        let connection = Connection { socket, link, sending: None, interest, stage: Stage::Serving, is_accepted };
        let token = self.slots.insert(Source::Connection(connection));
        let Some(Source::Connection(connection)) = self.slots.get_mut(token) else { unreachable!("inserted just now") };
        if let Err(error) = self.poller.add(connection.socket.as_fd(), token, interest) {
            let Some(Source::Connection(Connection { socket, link, .. })) = self.slots.remove(token) else {
                unreachable!("it is there")
            };
            if catch_unwind(AssertUnwindSafe(|| drop(link))).is_err() {
                self.note_panic();
            }
            return Err((error, socket));
        }
        if let Some(peer) = peer.filter(|_| self.limits.per_address_max < usize::MAX) {
            self.origins.enter(token.index, peer);
        }
        self.counters.opened += u64::from(is_accepted);
        self.counters.open += usize::from(is_accepted);
        self.touch(token, &mut |link, driver| link.cue(Cue::Opened, driver));
        Ok(token)
    }

    /// Tells a client that it can't be served: one send, then its request is read away so that closing does not reset the answer.
    fn refuse(&mut self, listener: Token, socket: OwnedFd) {
        let Some(Source::Listener(listener)) = self.slots.get_mut(listener) else { return };
        let refusal = listener.accept.refusal(self.now);
        if !refusal.is_empty() {
            // Whether it arrives is the client's luck: it gets this one chance and no place in the loop.
            let _ = self.kernel.send(socket.as_fd(), &refusal, true);
            let _ = self.kernel.shutdown_write(socket.as_fd());
            let _ = transport::receive(&mut self.kernel, socket.as_fd(), &mut self.input);
        }
    }

    /// Stops listening until a connection ends, or for [`ACCEPT_RETRY`]: readable for ever, the listener would make the loop spin.
    fn rest_listener(&mut self, token: Token) {
        let Some(Source::Listener(listener)) = self.slots.get_mut(token) else { return };
        let narrowed = self.poller.modify(listener.socket.as_fd(), token, Interest::NONE);
        debug_assert!(narrowed.is_ok(), "a listener is watched and narrowing needs no memory: {narrowed:?}");
        if !std::mem::replace(&mut listener.rests, true) {
            self.resting.push(token);
        }
        self.timers.set(token.index, Deadline::After(ACCEPT_RETRY));
    }

    pub(super) fn resume_listener(&mut self, token: Token) {
        let Some(Source::Listener(listener)) = self.slots.get_mut(token) else { return };
        if listener.rests {
            match self.poller.modify(listener.socket.as_fd(), token, Interest::READ) {
                Ok(()) => {
                    listener.rests = false;
                    self.resting.retain(|resting| *resting != token);
                }
                Err(_) => self.timers.set(token.index, Deadline::After(ACCEPT_RETRY)),
            }
        }
    }
}
