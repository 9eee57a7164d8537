//! A server that listens, and serves.

use super::{Error, Meter, Result};
use crate::files::Resolver;
use crate::models::{self, Model, Work};
use crate::poller::Strategy;
use crate::reactor::{Handle, Reactor};
use std::net::SocketAddr;
use std::time::Duration;

/// A server that listens.
pub struct BoundServer {
    pub(super) reactor: Reactor,
    /// What others than the loop itself are to serve, under a model that has them.
    pub(super) work: Option<Work>,
    pub(super) model: Model,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) strategy: Strategy,
    pub(super) resolver: Option<Resolver>,
    pub(super) meter: Meter,
}

impl BoundServer {
    /// Where it listens, with the ports that the kernel chose.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Who serves connections.
    pub fn model(&self) -> Model {
        self.model
    }

    /// How it waits.
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// How names beneath its folder are resolved, if it has one.
    pub fn resolver(&self) -> Option<Resolver> {
        self.resolver
    }

    /// Shows what it does, to other threads while it runs.
    pub fn meter(&self) -> Meter {
        self.meter.clone()
    }

    /// Stops it, from any thread.
    pub fn handle(&self) -> Handle {
        self.reactor.handle()
    }

    /// What is done at the end of each turn of the loop, and under other models by each worker before it waits, such as writing out what was
    /// logged. It says after how long it wants to be called again at the latest. It must not block.
    pub fn after_turn(&mut self, act: impl Fn() -> Option<Duration> + Clone + Send + Sync + 'static) {
        self.reactor.after_turn(act.clone());
        if let Some(work) = &mut self.work {
            work.before_wait = Box::new(act);
        }
    }

    /// What each process does first that a model forks. It has a copy of what waited to be written out.
    pub fn in_child(&mut self, act: impl Fn() + Send + Sync + 'static) {
        if let Some(work) = &mut self.work {
            work.in_child = Box::new(act);
        }
    }

    /// The loop, to let it do more than HTTP.
    pub fn reactor(&mut self) -> &mut Reactor {
        &mut self.reactor
    }

    /// Serves until its [`Handle`] stops it.
    ///
    /// # Errors
    /// What waiting says: of a sound loop, nothing. Under other models, also where the first threads or processes can't be had.
    pub fn run(mut self) -> Result<()> {
        if let Some(work) = self.work {
            let model_error = |source| Error::Model { model: self.model, source };
            models::employ(self.model, work, &mut self.reactor).map_err(model_error)?;
        }
        Ok(self.reactor.run()?)
    }
}
