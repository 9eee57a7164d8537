//! A server of the library on a thread of its own, stopped when it goes out of scope.
#![allow(dead_code)] // Not every test needs all of it.

#[path = "../ways/mod.rs"]
#[allow(clippy::duplicate_mod)] // Others have it too, and some tests have both.
mod ways;

pub use ways::Way;

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;
use tempfile::TempDir;
use tripoll::poller::Strategy;
use tripoll::reactor::Handle;
use tripoll::{Backend, HttpServer, Response};

pub fn with_strategy(server: HttpServer, strategy: Strategy) -> HttpServer {
    match strategy {
        Strategy::Select { limit: None } => server.backend(Backend::Select),
        Strategy::Select { limit: Some(limit) } => server.backend(Backend::Select).select_limit(limit),
        Strategy::Poll => server.backend(Backend::Poll),
        Strategy::Epoll { trigger } => server.backend(Backend::Epoll).trigger(trigger),
    }
}

/// A server on a thread of its own.
pub struct Running {
    pub address: SocketAddr,
    pub handle: Handle,
    thread: Option<JoinHandle<tripoll::Result<()>>>,
    /// What it serves: `file.txt`, and what a test puts there.
    pub folder: TempDir,
}

impl Running {
    pub fn new(way: impl Into<Way>, configure: impl FnOnce(HttpServer) -> HttpServer + Send + 'static) -> Running {
        let Way { model, strategy } = way.into();
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("file.txt"), "a file").unwrap();
        let directory = folder.path().to_path_buf();
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let server = HttpServer::new("127.0.0.1:0", directory).route("GET", "/hello", |_| Response::text("hello"));
            let bound = with_strategy(configure(server), strategy).model(model).bind()?;
            tell.send((bound.addresses()[0], bound.handle())).unwrap();
            bound.run()
        });
        let Ok((address, handle)) = told.recv() else { panic!("{:?}", thread.join()) };
        Running { address, handle, thread: Some(thread), folder }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(Ok(())))), "the server failed: {ended:?}");
    }
}
