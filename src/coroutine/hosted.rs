//! Tasks within somebody else's loop: on its thread, by its poller, with one wait a turn for both.
//!
//! Invariant: a wait of the host's wakes tasks and resumes none; they are resumed where the host says so.
//!
//! ```text
//!   the host's turn:   wait ──▶ Shared ──▶ the poller that was the host's ──┬──▶ events of the host's own
//!                                                                           └──▶ tasks are woken
//!                      act upon its events
//!                      Hosted::resume
//! ```

use super::executor::{Core, Entered};
use super::socket::Stream;
use crate::poller::{Counters, Direction, Event, Interest, Poll, Poller, Token};
use std::io;
use std::mem;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

/// An executor that has a host. Dropped, it ends its tasks.
pub(crate) struct Hosted(Rc<Core>);

/// The poller as its host has it from then on.
struct Shared(Rc<Core>);

impl Hosted {
    /// Moves in with whoever waits by `poller`, and goes on to: what is watched is watched.
    ///
    /// # Errors
    /// What eventfd(2) and the poller say; then nobody moved in.
    pub(crate) fn with(poller: &mut Box<dyn Poller>) -> io::Result<Hosted> {
        let ready = Core::ready(&mut **poller)?;
        let own = mem::replace(poller, Box::new(Poll::new())); // For two lines.
        let core = Core::new(ready, own);
        *poller = Box::new(Shared(core.clone()));
        Ok(Hosted(core))
    }

    /// A stream of its own. An error comes with the socket.
    pub(crate) fn stream(&self, socket: OwnedFd) -> Result<Stream, (io::Error, OwnedFd)> {
        Stream::new(self.0.clone(), socket)
    }

    /// Begins a task.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        drop(self.0.spawn(task)); // Nobody joins it.
    }

    /// Resumes who was woken. Tasks, and what they call, are within [`run`](super::run) meanwhile.
    pub(crate) fn resume(&self) {
        let _entered = Entered::new(self.0.clone());
        self.0.resume_woken();
    }

    /// Wakes every task.
    pub(crate) fn wake_all(&self) {
        self.0.wake_all();
    }

    /// Ends the task that has slept idly longest. Whether there was one.
    pub(crate) fn end_idle(&self) -> bool {
        self.0.end_idle()
    }

    /// Ends every task where it waits.
    pub(crate) fn end(&self) {
        self.0.end();
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Its descriptors are watched under its own tokens, without the executor's mark.
impl Poller for Shared {
    fn add(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        self.0.poller.borrow_mut().add(fd, token, interest)
    }

    fn modify(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        self.0.poller.borrow_mut().modify(fd, token, interest)
    }

    fn remove(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.0.poller.borrow_mut().remove(fd)
    }

    fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        self.0.wait(events, timeout)
    }

    fn exhausted(&mut self, fd: BorrowedFd<'_>, direction: Direction) {
        self.0.poller.borrow_mut().exhausted(fd, direction);
    }

    fn narrow_eagerly(&mut self) {
        self.0.poller.borrow_mut().narrow_eagerly();
    }

    fn counters(&self) -> Counters {
        self.0.poller.borrow().counters()
    }
}
