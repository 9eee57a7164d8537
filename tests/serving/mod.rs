//! A service on a loop of its own thread, or under another model, stopped when it goes out of scope. A model that forks gets a process of its own.

#[path = "../ways/mod.rs"]
#[allow(clippy::duplicate_mod)] // Others have it too, and some tests have both.
mod ways;

pub use ways::Way;

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tripoll::Model;
use tripoll::http::{Limits, Listener, Service};
use tripoll::models::{Work, employ};
use tripoll::reactor::{self, Handle, Reactor};
use tripoll::sys::{self, Forked, SoleThread};

/// What serves.
pub struct Serving {
    pub address: SocketAddr,
    host: Host,
}

enum Host {
    Thread(Handle, Option<JoinHandle<()>>),
    Process(u32),
}

impl Serving {
    pub fn new(way: impl Into<Way>, service: Arc<dyn Service>, limits: Limits) -> Serving {
        Serving::at(TcpListener::bind("127.0.0.1:0").unwrap(), way, service, limits)
    }

    /// At a listener whose options its connections have too.
    pub fn at(listener: TcpListener, way: impl Into<Way>, service: Arc<dyn Service>, limits: Limits) -> Serving {
        let way = way.into();
        let address = listener.local_addr().unwrap();
        if let Model::Fork { .. } | Model::Prefork { .. } = way.model {
            let alone = until_alone();
            let host = match sys::fork(&alone).unwrap() {
                Forked::Parent(process) => Host::Process(process),
                Forked::Child => {
                    std::panic::set_hook(Box::new(|_| ())); // No harness keeps to itself what handlers panic for as they are asked.
                    let _ = catch_unwind(AssertUnwindSafe(|| serve(listener, way, service, limits, drop)));
                    sys::exit_now(1) // It is killed before.
                }
            };
            return Serving { address, host };
        }
        let (tell, told) = mpsc::channel();
        let thread =
            std::thread::spawn(move || serve(listener, way, service, limits, |handle| tell.send(handle).unwrap()));
        Serving { address, host: Host::Thread(told.recv().unwrap(), Some(thread)) }
    }
}

/// Threads that were joined are there for a moment more.
fn until_alone() -> SoleThread {
    let give_up = Instant::now() + Duration::from_secs(30);
    loop {
        match SoleThread::new() {
            Ok(alone) => return alone,
            Err(error) => assert!(Instant::now() < give_up, "{error}"),
        }
        std::thread::yield_now();
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
        let has_served = match &mut self.host {
            Host::Thread(handle, thread) => {
                handle.stop();
                matches!(thread.take().map(JoinHandle::join), Some(Ok(())))
            }
            Host::Process(process) => {
                let killed = Command::new("kill").args(["-KILL", &process.to_string()]).status();
                killed.is_ok_and(|status| status.success())
                    && sys::reap_one(*process).is_ok_and(|ended| ended.code.is_none())
            }
        };
        assert!(has_served || std::thread::panicking(), "what served has ended by itself");
    }
}
