//! One client after another: whoever comes meanwhile waits in the kernel's queue.
//!
//! The one that serves is a thread beside the loop, which only hears of the end.

use super::staff::{Hands, Staff};
use super::worker::{Bell, Worker};
use crate::reactor::Visitor;
use std::io;
use std::os::fd::OwnedFd;

pub(super) struct Iterative;

impl Hands for Iterative {
    fn begin(&mut self, staff: &mut Staff) -> io::Result<Vec<OwnedFd>> {
        let (shared, watch, bell, listeners) = (staff.shared.clone(), staff.watch(), Bell::new()?, staff.listeners()?);
        let serve = move || Worker::new(shared, watch, bell).serve_all(&listeners);
        std::thread::Builder::new().name("server".into()).spawn(serve)?;
        Ok(Vec::new())
    }

    fn take(&mut self, _: &mut Staff, _: Visitor) -> Result<(), (io::Error, OwnedFd)> {
        unreachable!("its one thread accepts by itself")
    }
}
