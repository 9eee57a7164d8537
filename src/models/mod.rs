//! The other ways to serve many: the same server, driven by threads, processes and tasks that wait for one connection each.
//!
//! Invariant: a connection is the same [`Link`](crate::protocol::Link) under each, with one driver (`connection`); the models differ in who
//! calls it, and whether its wait blocks (`worker`) or not (`coroutines`). What they have in common with the reactor, they have from it: it accepts where one process accepts for
//! all, turns away, hears of signals, goes down.
//!
//! ```text
//!   iterative     one thread: accept, serve, accept, serve …
//!   fork          the loop accepts ──▶ a process a connection
//!   prefork       a pool of processes: accept, serve … each, from one listener
//!   threads       the loop accepts ──▶ a thread a connection
//!   thread-pool   the loop accepts ──▶ a bounded queue ──▶ a pool of threads
//!   coroutines    the loop accepts ──▶ a task a connection, resumed by the loop itself
//! ```

mod connection;
mod coroutines;
mod door;
mod fork;
mod iterative;
mod prefork;
mod processes;
mod ropes;
mod shared;
mod staff;
mod tally;
mod thread_pool;
mod threads;
mod worker;

pub use tally::Tally;

use crate::protocol::Accept;
use crate::reactor::{Limits, Notice, Reactor};
use shared::Shared;
use staff::{Employed, Hands, Staff};
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Who serves a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Model {
    /// One thread, one loop, all connections.
    #[default]
    Reactor,
    /// One client after another.
    Iterative,
    /// A process for each connection.
    #[allow(missing_docs)]
    Fork { reap: Reap },
    /// A pool of so many processes, each of which accepts by itself.
    #[allow(missing_docs)]
    Prefork { workers: usize },
    /// A thread for each connection.
    Threads,
    /// A pool of so many threads, and a bounded queue before it.
    #[allow(missing_docs)]
    ThreadPool { workers: usize },
    /// A task for each connection, on the loop's own thread. A handler may [`spawn`](crate::coroutine::spawn) others.
    Coroutines,
}

/// How a process that forks leaves no zombies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reap {
    /// It waits for its children when SIGCHLD says that one has ended.
    #[default]
    Wait,
    /// Its children fork once more and end, and whoever waits for orphans waits for their children.
    DoubleFork,
    /// It ignores SIGCHLD, so that the kernel keeps nothing of a child that ended.
    Ignore,
}

impl Model {
    /// Whether one loop serves all connections: then those that go on without end keep nobody else waiting, and how it waits matters.
    pub fn is_one_loop(self) -> bool {
        matches!(self, Model::Reactor | Model::Coroutines)
    }

    /// Whether the loop accepts, and not the workers.
    pub fn loop_accepts(self) -> bool {
        match self {
            Model::Reactor | Model::Fork { .. } | Model::Threads | Model::ThreadPool { .. } | Model::Coroutines => true,
            Model::Iterative | Model::Prefork { .. } => false,
        }
    }

    /// Whether it can be known of each address how many connections it has: where one process accepts them all, and hears of their end.
    pub fn knows_addresses(self) -> bool {
        match self {
            Model::Reactor
            | Model::Fork { reap: Reap::Wait }
            | Model::Threads
            | Model::ThreadPool { .. }
            | Model::Coroutines => true,
            Model::Iterative | Model::Prefork { .. } | Model::Fork { reap: Reap::DoubleFork | Reap::Ignore } => false,
        }
    }

    /// How many descriptors of this process a connection takes.
    pub(crate) fn descriptors_a_connection(self) -> usize {
        match self {
            Model::Reactor | Model::Iterative | Model::Fork { .. } | Model::Prefork { .. } | Model::Coroutines => 1,
            Model::Threads | Model::ThreadPool { .. } => 2, // And a bell.
        }
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Model::Reactor => f.write_str("reactor"),
            Model::Iterative => f.write_str("iterative"),
            Model::Fork { reap } => write!(f, "fork, reap {reap}"),
            Model::Prefork { workers } => write!(f, "prefork, {workers} workers"),
            Model::Threads => f.write_str("threads"),
            Model::ThreadPool { workers } => write!(f, "thread-pool, {workers} workers"),
            Model::Coroutines => f.write_str("coroutines"),
        }
    }
}

impl fmt::Display for Reap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reap::Wait => "wait",
            Reap::DoubleFork => "double-fork",
            Reap::Ignore => "ignore",
        })
    }
}

/// What is to be served, by whom the model has for it.
pub struct Work {
    /// As those of the loop.
    pub limits: Limits,
    /// What all count together.
    pub tally: Tally,
    /// Makes what a worker's connections come from; called by each worker.
    pub make: Box<dyn Fn() -> Box<dyn Accept> + Send + Sync>,
    /// As [`Reactor::after_turn`], called by each worker before it waits.
    pub before_wait: Box<dyn Fn() -> Option<Duration> + Send + Sync>,
    /// As [`Reactor::on_shortage`].
    pub on_shortage: Box<dyn Fn() -> bool + Send + Sync>,
    /// As [`Reactor::on_notice`].
    pub on_notice: Box<dyn FnMut(&Notice) + Send>,
    /// What a child does first, after a fork: it has a copy of all that waits to be written out.
    pub in_child: Box<dyn Fn() + Send + Sync>,
    /// All sockets that listen, whether it is the loop that accepts or a worker.
    pub listeners: Vec<OwnedFd>,
}

impl Work {
    /// Connections that `make` makes, at `listeners`, of which nobody is told anything.
    ///
    /// # Errors
    /// What mmap(2) says.
    pub fn new(
        limits: Limits,
        listeners: Vec<OwnedFd>,
        make: impl Fn() -> Box<dyn Accept> + Send + Sync + 'static,
    ) -> io::Result<Work> {
        Ok(Work {
            limits,
            tally: Tally::new()?,
            make: Box::new(make),
            before_wait: Box::new(|| None),
            on_shortage: Box::new(|| false),
            on_notice: Box::new(|_| ()),
            in_child: Box::new(|| ()),
            listeners,
        })
    }
}

/// From now on connections are served by `model`. Where [`loop_accepts`](Model::loop_accepts) says so, the listeners are to be given to the loop
/// as well.
///
/// # Errors
/// Where what it needs can't be had.
pub fn employ(model: Model, work: Work, reactor: &mut Reactor) -> io::Result<()> {
    match model {
        Model::Reactor => Ok(()),
        Model::Iterative => begin(model, iterative::Iterative, work, reactor),
        Model::Fork { reap } => begin(model, fork::Fork::new(reap)?, work, reactor),
        Model::Prefork { workers } => begin(model, prefork::Prefork::new(workers)?, work, reactor),
        Model::Threads => begin(model, threads::Threads, work, reactor),
        Model::ThreadPool { workers } => begin(model, thread_pool::ThreadPool::new(workers)?, work, reactor),
        Model::Coroutines => {
            let crew = coroutines::Coroutines::new(work, reactor)?;
            reactor.hand_over_to(crew, Vec::new())
        }
    }
}

fn begin(model: Model, mut hands: impl Hands + 'static, work: Work, reactor: &mut Reactor) -> io::Result<()> {
    let (shared, listeners) = Shared::new(work);
    let mut staff = Staff::new(shared, listeners, model.loop_accepts())?;
    let mut watched = hands.begin(&mut staff)?;
    watched.push(staff.reins.gone()?);
    reactor.hand_over_to(Employed { staff, hands }, watched)
}
