//! A thread for each connection, which ends with it.

use super::staff::{Hands, Staff};
use super::worker::{Bell, Worker};
use crate::reactor::Visitor;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

pub(super) struct Threads;

impl Hands for Threads {
    fn begin(&mut self, _: &mut Staff) -> io::Result<Vec<OwnedFd>> {
        Ok(Vec::new())
    }

    fn take(&mut self, staff: &mut Staff, visitor: Visitor) -> Result<(), (io::Error, OwnedFd)> {
        let Visitor { socket, peer, ticket } = visitor;
        let watch = staff.watch();
        let bell = match Bell::new() {
            Ok(bell) => bell,
            Err(error) => return Err((error, socket)),
        };
        // Shared, since what is given to a thread that can't be started is lost with it.
        let (socket, shared) = (Arc::new(socket), staff.shared.clone());
        let mine = socket.clone();
        staff.shared.tally.enter();
        let serve = move || Worker::new(shared, watch, bell).serve(mine.as_fd(), peer, Some(ticket), &[]);
        match std::thread::Builder::new().name("connection".into()).spawn(serve) {
            Ok(_) => Ok(()),
            Err(error) => {
                staff.shared.tally.leave();
                Err((error, Arc::into_inner(socket).expect("its copy was lost with the thread")))
            }
        }
    }
}
