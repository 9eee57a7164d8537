//! What the models have in common that fork.
//!
//! Invariant: a child never comes back into what its parent was doing: it serves, and ends by `_exit`. It does nothing to the parent's loop,
//! whose epoll set both have.

use super::ropes::Watch;
use super::shared::Shared;
use super::staff::Staff;
use crate::sys::{self, Ended, Forked, SoleThread};
use std::io;
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What a child that panicked outside of a connection ends with; nothing else looks at it.
const PANICKED: u8 = 101;

/// A child gets this many more tries to write out what it logged, where its reader is slow.
const FAREWELLS: u32 = 2;

/// Forks a child that does `work`; its id.
pub(super) fn fork(
    alone: &SoleThread,
    staff: &mut Staff,
    work: impl FnOnce(&SoleThread, Arc<Shared>, Watch),
) -> io::Result<u32> {
    (staff.shared.before_wait)(); // Lines that wait would be written by both.
    let watch = staff.watch();
    match sys::fork(alone)? {
        Forked::Parent(child) => Ok(child),
        Forked::Child => {
            staff.reins.let_go();
            let shared = staff.shared.clone();
            (shared.in_child)();
            let end = catch_unwind(AssertUnwindSafe(|| work(alone, shared.clone(), watch)));
            for _ in 0..FAREWELLS {
                let Some(time) = (shared.before_wait)() else { break };
                std::thread::sleep(time);
            }
            sys::exit_now(if end.is_ok() { 0 } else { PANICKED })
        }
    }
}

/// Lets `act` hear of each child that has ended, now that `signal` says that there is one; it is no zombie any more.
pub(super) fn reap_all(signal: BorrowedFd<'_>, mut act: impl FnMut(Ended)) {
    sys::clear_child_signal(signal);
    while let Ok(Some(ended)) = sys::reap() {
        act(ended);
    }
}
