//! A service on a loop of its own thread, stopped when it goes out of scope.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use tripoll::http::{Limits, Listener, Service};
use tripoll::poller::Strategy;
use tripoll::reactor::{self, Handle, Reactor};

/// A loop that serves.
pub struct Serving {
    pub address: SocketAddr,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    pub fn new(strategy: Strategy, service: Arc<dyn Service>, limits: Limits) -> Serving {
        Serving::at(TcpListener::bind("127.0.0.1:0").unwrap(), strategy, service, limits)
    }

    /// At a listener whose options its connections have too.
    pub fn at(listener: TcpListener, strategy: Strategy, service: Arc<dyn Service>, limits: Limits) -> Serving {
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut reactor = Reactor::new(strategy, reactor::Limits::default()).unwrap();
            reactor.listen(listener, Listener::new(service, limits)).unwrap();
            tell.send(reactor.handle()).unwrap();
            reactor.run().unwrap();
        });
        Serving { address, handle: told.recv().unwrap(), thread: Some(thread) }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.handle.stop();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the loop panicked");
    }
}
