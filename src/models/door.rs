//! Where workers that accept by themselves wait for somebody to come.
//!
//! Invariant: who comes wakes one of those that wait, not all of them (`EPOLLEXCLUSIVE`, epoll_ctl(2)).

use super::ropes::Watch;
use crate::poller::timeout_ms;
use crate::sys::{self, EPOLLEXCLUSIVE, EPOLLIN, EpollChange, epoll_event};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

/// Marks the watch among the events; listeners are told apart by trying.
const WATCH: u64 = u64::MAX;

/// Listeners, and the watch.
pub(super) struct Door(OwnedFd);

impl Door {
    /// Made by who waits at it: after a fork, a change of one would reach the other.
    pub(super) fn new(listeners: &[OwnedFd], watch: &Watch) -> io::Result<Door> {
        let epoll = sys::epoll_create()?;
        for listener in listeners {
            sys::epoll_ctl(epoll.as_fd(), EpollChange::Add, listener.as_raw_fd(), EPOLLIN | EPOLLEXCLUSIVE, 0)?;
        }
        sys::epoll_ctl(epoll.as_fd(), EpollChange::Add, watch.fd().as_raw_fd(), EPOLLIN, WATCH)?;
        Ok(Door(epoll))
    }

    /// Waits until somebody comes, or the watch has something to say: whether it has.
    pub(super) fn wait(&self, timeout: Option<Duration>) -> io::Result<bool> {
        let mut events = [epoll_event { events: 0, u64: 0 }; 4];
        let count = sys::epoll_wait(self.0.as_fd(), &mut events, timeout_ms(timeout))?;
        Ok(events[..count].iter().any(|event| event.u64 == WATCH))
    }
}
