//! What the models have in common beside the serving: how connections reach workers, and how all come to an end.

use super::ropes::{Reins, Watch};
use super::shared::Shared;
use crate::protocol::Accept;
use crate::reactor::{Counters, Crew, HANDSHAKE, Shutdown, Visitor};
use crate::sys;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// What whoever was cut off may need to be gone; a handler that does not come back is not waited for.
const LAST_WORD: Duration = Duration::from_secs(1);

/// How a model gives connections to workers.
pub(super) trait Hands {
    /// Starts the workers that are there from the beginning. What it gives is readable when it is to [`look`](Self::look).
    fn begin(&mut self, staff: &mut Staff) -> io::Result<Vec<OwnedFd>>;

    /// As [`Crew::take`]; its workers make what they speak.
    fn take(&mut self, staff: &mut Staff, visitor: Visitor) -> Result<(), (io::Error, OwnedFd)>;

    /// As [`Crew::look`].
    fn look(&mut self, staff: &mut Staff) {
        let _ = staff;
    }

    /// No connection comes any more.
    fn close(&mut self) {}

    /// All workers have said their last word.
    fn part(&mut self) {}
}

/// The workers of a model, as their master sees them.
pub(super) struct Staff {
    pub shared: Arc<Shared>,
    pub reins: Reins,
    /// Descriptors of the sockets that listen, whoever accepts by them.
    listeners: Vec<OwnedFd>,
    loop_accepts: bool,
}

impl Staff {
    pub(super) fn new(shared: Shared, listeners: Vec<OwnedFd>, loop_accepts: bool) -> io::Result<Staff> {
        let reins = Reins::new(shared.tally.clone())?;
        Ok(Staff { shared: Arc::new(shared), reins, listeners, loop_accepts })
    }

    /// Nobody can connect any more, though processes that were forked have the sockets open.
    fn stop_listening(&mut self) {
        for listener in self.listeners.drain(..) {
            let _ = sys::stop_listening(listener.as_fd()); // One that does not listen any more is as good.
        }
    }

    /// For a new worker.
    pub(super) fn watch(&self) -> Watch {
        self.reins.watch().expect("who goes down takes nobody on")
    }

    /// For a worker that accepts by itself.
    pub(super) fn listeners(&self) -> io::Result<Vec<OwnedFd>> {
        self.listeners.iter().map(OwnedFd::try_clone).collect()
    }
}

/// Staff that serves for a loop.
pub(super) struct Employed<H> {
    pub staff: Staff,
    pub hands: H,
}

impl<H: Hands> Crew for Employed<H> {
    fn take(&mut self, visitor: Visitor, _: &mut dyn Accept) -> Result<(), (io::Error, OwnedFd)> {
        self.hands.take(&mut self.staff, visitor)
    }

    fn look(&mut self) {
        self.hands.look(&mut self.staff);
    }

    fn take_left(&mut self) -> Vec<u32> {
        self.staff.shared.take_left()
    }

    fn open(&self) -> usize {
        self.staff.shared.tally.open()
    }

    fn counters(&self) -> Counters {
        self.staff.shared.tally.counters()
    }

    fn shut_down(&mut self, shutdown: Shutdown) {
        if self.staff.loop_accepts {
            self.staff.stop_listening();
        } else {
            for listener in &self.staff.listeners {
                let _ = sys::bar_entry(listener.as_fd()); // Without it who comes between the last accept and the end is lost.
            }
            std::thread::sleep(HANDSHAKE);
        }
        self.hands.close();
        self.staff.reins.shut_down(shutdown);
    }

    fn is_gone(&self) -> bool {
        self.staff.reins.are_gone(Duration::ZERO)
    }

    fn end(&mut self) {
        self.hands.close();
        self.staff.reins.cut();
        if self.staff.reins.are_gone(LAST_WORD) {
            self.hands.part();
        }
        self.staff.stop_listening();
    }
}
