//! A thread for each connection, which ends with it.

use super::staff::{Hands, Staff};
use super::worker::{Bell, Worker};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

pub(super) struct Threads;

impl Hands for Threads {
    fn take(&mut self, staff: &mut Staff, socket: OwnedFd, peer: SocketAddr) -> Result<(), (io::Error, OwnedFd)> {
        let watch = staff.watch();
        let bell = match Bell::new() {
            Ok(bell) => bell,
            Err(error) => return Err((error, socket)),
        };
        // Shared, since what is given to a thread that can't be started is lost with it.
        let (socket, shared) = (Arc::new(socket), staff.shared.clone());
        let mine = socket.clone();
        staff.shared.tally.enter();
        let serve = move || Worker::new(shared, watch, bell).serve(mine.as_fd(), peer, &[]);
        match std::thread::Builder::new().name("connection".into()).spawn(serve) {
            Ok(_) => Ok(()),
            Err(error) => {
                staff.shared.tally.leave();
                Err((error, Arc::into_inner(socket).expect("its copy was lost with the thread")))
            }
        }
    }
}
