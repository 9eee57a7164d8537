//! A service on a loop of its own thread, or under another model, stopped when it goes out of scope.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use tripoll::Model;
use tripoll::http::{Limits, Listener, Service};
use tripoll::models::{Work, employ};
use tripoll::poller::Strategy;
use tripoll::reactor::{self, Handle, Reactor};

/// How connections are served: by a loop that waits in one way or another, or by another model.
#[derive(Debug, Clone, Copy)]
pub struct Way {
    model: Model,
    strategy: Strategy,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.model {
            Model::Reactor => self.strategy.fmt(f),
            model => model.fmt(f),
        }
    }
}

impl From<Strategy> for Way {
    fn from(strategy: Strategy) -> Way {
        Way { model: Model::Reactor, strategy }
    }
}

impl From<Model> for Way {
    fn from(model: Model) -> Way {
        Way { model, strategy: Strategy::ALL[2] }
    }
}

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
