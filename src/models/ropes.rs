//! How workers hear that they are to end, and how it is known that they have: pipes into which nobody writes.
//!
//! Invariant: each worker, thread or process, holds the reading ends of two pipes, of which an end of file says something, and the writing
//! end of a third. So nothing need be sent to anybody, however many there are, and a master that dies lets its workers go as well.
//!
//! ```text
//!   master                                     workers
//!   down ●───────────────────────────────────▶ closed: finish what is in flight
//!   cut  ●───────────────────────────────────▶ closed: end at once
//!        ◀───────────────────────────────────● gone, closed by the last of them that ends
//! ```

use super::tally::Tally;
use crate::poller::timeout_ms;
use crate::reactor::{Descent, Shutdown};
use crate::sys::{self, POLLIN, pollfd};
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The master's ends.
pub(super) struct Reins {
    down: Option<PipeWriter>,
    cut: Option<PipeWriter>,
    gone: PipeReader,
    /// For new workers, until it goes down.
    ropes: Option<Arc<Ropes>>,
}

/// A worker's ends. Threads share them, processes inherit them.
pub(super) struct Ropes {
    down: PipeReader,
    cut: PipeReader,
    _gone: PipeWriter,
    tally: Tally,
}

impl Reins {
    pub(super) fn new(tally: Tally) -> io::Result<Reins> {
        let ((down, down_writer), (cut, cut_writer), (gone, gone_writer)) = (io::pipe()?, io::pipe()?, io::pipe()?);
        let ropes = Arc::new(Ropes { down, cut, _gone: gone_writer, tally });
        Ok(Reins { down: Some(down_writer), cut: Some(cut_writer), gone, ropes: Some(ropes) })
    }

    /// What a new worker holds. `None`: nobody begins any more.
    pub(super) fn watch(&self) -> Option<Watch> {
        self.ropes.clone().map(|ropes| Watch { ropes, descent: Descent::Up })
    }

    /// Lets go of all that is the master's: what a forked process does first, or it would hold the ropes for ever.
    pub(super) fn let_go(&mut self) {
        (self.down, self.cut, self.ropes) = (None, None, None);
    }

    /// Tells all to finish what is in flight.
    pub(super) fn shut_down(&mut self, shutdown: Shutdown) {
        if let Some(ropes) = self.ropes.take() {
            ropes.tally.say_shutdown(shutdown);
        }
        self.down = None;
    }

    /// Tells all to end at once.
    pub(super) fn cut(&mut self) {
        self.let_go();
    }

    /// A descriptor that becomes readable when the last is gone.
    pub(super) fn gone(&self) -> io::Result<OwnedFd> {
        self.gone.as_fd().try_clone_to_owned()
    }

    /// Whether all that held ropes are gone, waiting `timeout` for it at most.
    pub(super) fn are_gone(&self, timeout: Duration) -> bool {
        let mut entries = [pollfd { fd: self.gone.as_raw_fd(), events: POLLIN, revents: 0 }];
        sys::poll(&mut entries, timeout_ms(Some(timeout))).is_ok_and(|ready| ready > 0)
    }
}

/// What a worker knows of the end. It is never barred: that is for who listens.
#[derive(Clone)]
pub(super) struct Watch {
    ropes: Arc<Ropes>,
    descent: Descent,
}

impl Watch {
    /// Readable when there is something to [`hear`](Self::hear).
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        match self.descent {
            Descent::Up | Descent::Barred { .. } => self.ropes.down.as_fd(),
            Descent::Patient { .. } | Descent::Finishing { .. } | Descent::Down => self.ropes.cut.as_fd(),
        }
    }

    /// Notes that [`fd`](Self::fd) is readable.
    pub(super) fn hear(&mut self, now: Instant) {
        self.descent = match self.descent {
            Descent::Up | Descent::Barred { .. } => Descent::begin(self.ropes.tally.shutdown(), now),
            Descent::Patient { .. } | Descent::Finishing { .. } | Descent::Down => Descent::Down,
        };
    }

    /// How far it went down.
    pub(super) fn descent(&self) -> Descent {
        self.descent
    }

    /// Whether connections are to be told once more.
    pub(super) fn finish(&mut self, now: Instant) -> bool {
        self.descent.finish(now)
    }
}
