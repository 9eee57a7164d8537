//! The executor: who is resumed when.
//!
//! Invariant: tasks are resumed from one place, and nothing of the executor is borrowed while foreign code runs: futures, wakes, destructors.
//!
//! ```text
//!   ┌▶ 1 resume who was woken, until nobody is left or it is time to look at the world
//!   │  2 wait: not at all if somebody is left, else until the nearest sleep is over at most
//!   └─ 3 wake whose descriptor is ready, whose sleep is over
//! ```

use super::ready::{Ready, Ticket};
use super::socket::Source;
use super::task::{Failed, JoinHandle, Resume, yield_now};
use crate::poller::{Counters, Direction, Event, Interest, Poller, Strategy, Token, WAIT_RETRY};
use crate::protocol::Deadline;
use crate::slab::Slab;
use crate::timer::Timers;
use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

/// Looking at the world costs a system call: once for so many switches it is a small part of them, and descriptors and sleeps don't wait long.
const RESUMES_PER_TURN_MAX: usize = 256;

/// Operations that a task may do each time that it is resumed without having to wait, before it is the others' turn.
const STEPS_PER_RESUME_MAX: u32 = 64;

thread_local! {
    static CURRENT: RefCell<Option<Rc<Core>>> = const { RefCell::new(None) };
}

/// Runs `main` and all that it spawns on this thread, waiting by `strategy`, until `main` is done. What other tasks there are then is dropped.
///
/// # Errors
/// What making a poller and an eventfd(2) says, and what waiting says: of a sound executor nothing. Want of kernel memory passes.
///
/// # Panics
/// As `main` does. Within another `run` on the same thread, whose tasks it would hold up.
pub fn run<F: Future + 'static>(strategy: Strategy, main: F) -> io::Result<F::Output> {
    let core = Core::new(strategy)?;
    let entered = Entered::new(core.clone());
    let mut main = core.spawn(main);
    loop {
        core.resume_woken();
        if main.is_finished() {
            break;
        }
        core.wait()?;
    }
    drop(entered);
    match main.take().expect("it is finished") {
        Ok(output) => Ok(output),
        Err(Failed::Panicked(payload)) => resume_unwind(payload),
        Err(Failed::Cancelled) => unreachable!("nobody else has its handle"),
    }
}

/// Begins a task, which is resumed when the one that spawns it waits. It goes on without its handle.
///
/// # Panics
/// Outside [`run`].
pub fn spawn<F: Future + 'static>(future: F) -> JoinHandle<F::Output> {
    Core::current().spawn(future)
}

/// What waiting has cost this thread's executor so far.
///
/// # Panics
/// Outside [`run`].
pub fn counters() -> Counters {
    Core::current().poller.borrow().counters()
}

/// As long as it lives the thread's functions find the executor; then its tasks end.
struct Entered(Rc<Core>);

impl Entered {
    fn new(core: Rc<Core>) -> Entered {
        let outer = CURRENT.replace(Some(core.clone()));
        if outer.is_some() {
            CURRENT.replace(outer);
            panic!(
                "coroutine::run within coroutine::run on one thread: the outer's tasks would wait for it; try spawn"
            );
        }
        Entered(core)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.take();
        self.0.end();
    }
}

/// What an executor knows. Streams and sleeps hold it too, and may outlive the run.
pub struct Core {
    ready: Arc<Ready>,
    tasks: RefCell<Slab<Rc<dyn Resume>>>,
    poller: RefCell<Box<dyn Poller>>,
    /// By the tokens of the poller's events; without the bell, whose token is kept apart.
    sources: RefCell<Slab<Option<Rc<Source>>>>,
    bell: Token,
    sleepers: RefCell<Sleepers>,
    /// What the task at work may do before it is the others' turn.
    steps_left: Cell<u32>,
}

struct Sleepers {
    /// A slot for each sleep that is not over.
    timers: Timers,
    /// Who waits for it, once somebody does.
    wakers: Slab<Option<Waker>>,
}

impl Core {
    fn new(strategy: Strategy) -> io::Result<Rc<Core>> {
        let (ready, mut poller, mut sources) = (Ready::new()?, strategy.open()?, Slab::new());
        let bell = sources.insert(None);
        poller.add(ready.bell.as_fd(), bell, Interest::READ)?;
        Ok(Rc::new(Core {
            ready,
            tasks: RefCell::new(Slab::new()),
            poller: RefCell::new(poller),
            sources: RefCell::new(sources),
            bell,
            sleepers: RefCell::new(Sleepers { timers: Timers::new(Instant::now()), wakers: Slab::new() }),
            steps_left: Cell::new(0),
        }))
    }

    /// The executor that runs on this thread.
    #[track_caller]
    pub fn current() -> Rc<Core> {
        CURRENT.with_borrow(|core| core.clone()).expect("there are no coroutines outside tripoll::coroutine::run")
    }

    fn spawn<F: Future + 'static>(self: &Rc<Core>, future: F) -> JoinHandle<F::Output> {
        JoinHandle::new(future, |task| {
            let token = self.tasks.borrow_mut().insert(task);
            self.ready.admit(token);
            (self.clone(), token)
        })
    }

    /// Takes a task out that is not to be resumed any more.
    pub fn forget(&self, task: Token) {
        let task = self.tasks.borrow_mut().remove(task);
        drop(task); // Nothing is borrowed.
    }

    /// 1.
    fn resume_woken(&self) {
        let (mut batch, mut resumed) = (Vec::new(), 0);
        while resumed < RESUMES_PER_TURN_MAX && self.ready.take(&mut batch) {
            resumed += batch.len();
            batch.drain(..).for_each(|ticket| self.resume(ticket));
        }
        self.tasks.borrow_mut().reuse_released();
    }

    fn resume(&self, ticket: Arc<Ticket>) {
        let token = ticket.token;
        let Some(task) = self.tasks.borrow_mut().get_mut(token).cloned() else { return }; // It has ended.
        self.steps_left.set(STEPS_PER_RESUME_MAX);
        ticket.is_used();
        let is_over = task.resume(&mut Context::from_waker(&Waker::from(ticket)));
        if is_over {
            self.forget(token);
        }
    }

    /// 2 and 3.
    fn wait(&self) -> io::Result<()> {
        let mut events = Vec::new();
        self.ready.bell.falls_asleep();
        let timeout = match self.ready.is_empty() {
            true => self.sleepers.borrow_mut().timers.next().map(|at| at.saturating_duration_since(Instant::now())),
            false => Some(Duration::ZERO),
        };
        let waited = self.poller.borrow_mut().wait(&mut events, timeout);
        self.ready.bell.wakes_up();
        match waited {
            Err(error) if error.kind() == ErrorKind::OutOfMemory => std::thread::sleep(WAIT_RETRY),
            waited => waited?,
        }
        let mut wakers = Vec::new();
        events.iter().for_each(|event| self.dispatch(event, &mut wakers));
        self.sleepers.borrow_mut().expire(Instant::now(), &mut wakers);
        self.sources.borrow_mut().reuse_released();
        wakers.into_iter().for_each(Waker::wake);
        Ok(())
    }

    fn dispatch(&self, event: &Event, wakers: &mut Vec<Waker>) {
        let (mut sources, mut poller) = (self.sources.borrow_mut(), self.poller.borrow_mut());
        if event.token == self.bell {
            self.ready.bell.clear();
            return poller.exhausted(self.ready.bell.as_fd(), Direction::Read);
        }
        let source = sources.get_mut(event.token).and_then(|source| source.as_ref());
        let source = source.expect("whoever is watched has a place, and nobody leaves during a wait");
        let interest = source.take_waiting(event, wakers);
        let narrowed = poller.modify(source.as_fd(), event.token, interest);
        debug_assert!(narrowed.is_ok(), "whoever has a place is watched: {narrowed:?}");
    }

    /// Begins to watch a source, for nothing yet.
    pub fn watch(&self, source: &Rc<Source>) -> io::Result<Token> {
        let mut sources = self.sources.borrow_mut();
        let token = sources.insert(Some(source.clone()));
        let added = self.poller.borrow_mut().add(source.as_fd(), token, Interest::NONE);
        if added.is_err() {
            sources.remove(token);
        }
        added.map(|()| token)
    }

    /// Watches a source for what is waited for now.
    pub fn watch_for(&self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        self.poller.borrow_mut().modify(fd, token, interest)
    }

    /// The kernel had nothing more for `fd`.
    pub fn exhausted(&self, fd: BorrowedFd<'_>, direction: Direction) {
        self.poller.borrow_mut().exhausted(fd, direction);
    }

    /// Watches a source no more; it is closed after that.
    pub fn unwatch(&self, token: Token) {
        let source = self.sources.borrow_mut().remove(token).flatten();
        let source = source.expect("it is unwatched once");
        let removed = self.poller.borrow_mut().remove(source.as_fd());
        debug_assert!(removed.is_ok(), "whoever has a place is watched: {removed:?}");
    }

    /// Begins a sleep.
    pub fn fall_asleep(&self, time: Duration) -> Token {
        let Sleepers { timers, wakers } = &mut *self.sleepers.borrow_mut();
        let token = wakers.insert(None);
        timers.set(token.index, Deadline::After(time), Instant::now());
        token
    }

    /// Whether the sleep goes on; then `waker` is woken at its end.
    pub fn is_asleep(&self, sleep: Token, waker: &Waker) -> bool {
        let mut sleepers = self.sleepers.borrow_mut();
        let Some(place) = sleepers.wakers.get_mut(sleep) else { return false };
        let before = match place {
            Some(known) if known.will_wake(waker) => None,
            place => place.replace(waker.clone()),
        };
        drop(sleepers);
        drop(before); // Nothing is borrowed.
        true
    }

    /// Ends a sleep of which nobody wants to know the end, if it goes on.
    pub fn forget_sleep(&self, sleep: Token) {
        let waker = self.sleepers.borrow_mut().forget(sleep);
        drop(waker); // Nothing is borrowed.
    }

    /// To be awaited before each operation that may not have to wait: lets the others have their turn where the share is used up.
    pub async fn step(&self) {
        if self.steps_left.get() == 0 {
            yield_now().await;
        }
        self.steps_left.set(self.steps_left.get().saturating_sub(1));
    }

    /// Drops all tasks.
    fn end(&self) {
        self.ready.end();
        let tokens: Vec<_> = self.tasks.borrow().tokens().collect();
        for token in tokens {
            let task = self.tasks.borrow_mut().remove(token);
            task.into_iter().for_each(|task| task.cancel());
        }
    }
}

impl Sleepers {
    fn forget(&mut self, sleep: Token) -> Option<Waker> {
        let waker = self.wakers.remove(sleep)?;
        self.timers.clear(sleep.index);
        self.wakers.reuse_released(); // A token tells its sleep by the generation.
        waker
    }

    /// Takes out those whose sleep is over.
    fn expire(&mut self, now: Instant, into: &mut Vec<Waker>) {
        while let Some(slot) = self.timers.expire(now) {
            let token = self.wakers.token(slot).expect("each timer has a sleeper");
            into.extend(self.wakers.remove(token).flatten());
        }
        self.wakers.reuse_released();
    }
}

impl Drop for Core {
    /// Descriptors are removed before they are closed, as the poller's contract asks; sources are by their owners, who hold the core.
    fn drop(&mut self) {
        let removed = self.poller.get_mut().remove(self.ready.bell.as_fd());
        debug_assert!(removed.is_ok(), "it is watched from the beginning: {removed:?}");
    }
}
