//! A service on a loop of its own thread, or under another model, stopped when it goes out of scope.

#[path = "../ways/mod.rs"]
mod ways;

pub use ways::Way;

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use tripoll::http::{Limits, Listener, Service};
use tripoll::models::{Work, employ};
use tripoll::reactor::{self, Handle, Reactor};

/// What serves.
pub struct Serving {
    pub address: SocketAddr,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    pub fn new(way: impl Into<Way>, service: Arc<dyn Service>, limits: Limits) -> Serving {
        Serving::at(TcpListener::bind("127.0.0.1:0").unwrap(), way, service, limits)
    }

    /// At a listener whose options its connections have too.
    pub fn at(listener: TcpListener, way: impl Into<Way>, service: Arc<dyn Service>, limits: Limits) -> Serving {
        let way = way.into();
        let address = listener.local_addr().unwrap();
        let (tell, told) = mpsc::channel();
        let thread =
            std::thread::spawn(move || serve(listener, way, service, limits, |handle| tell.send(handle).unwrap()));
        Serving { address, handle: told.recv().unwrap(), thread: Some(thread) }
    }
}

fn serve(listener: TcpListener, way: Way, service: Arc<dyn Service>, limits: Limits, tell: impl FnOnce(Handle)) {
    listener.set_nonblocking(true).unwrap();
    let Way { model, strategy } = way;
    let mut reactor = Reactor::new(strategy, reactor::Limits::default()).unwrap();
    let listeners: Vec<OwnedFd> = vec![listener.try_clone().unwrap().into()];
    let make = move || Listener::new(service.clone(), limits.clone());
    if model.loop_accepts() {
        reactor.listen(listener, make()).unwrap();
    }
    let work = Work::new(reactor::Limits::default(), listeners, move || Box::new(make())).unwrap();
    employ(model, work, &mut reactor).unwrap();
    tell(reactor.handle());
    reactor.run().unwrap();
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.handle.stop();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the loop panicked");
    }
}
