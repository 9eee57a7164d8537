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

/// Marks the executor's own tokens: those without it are of a [host](super::Hosted) that waits by the same poller.
const OWN: u32 = 1 << 31;

const BELL: Token = Token { index: u32::MAX, generation: 0 };

/// The token that `poller` knows a source by, or the other way round.
fn marked(token: Token) -> Token {
    Token { index: token.index ^ OWN, ..token }
}

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
    let mut poller = strategy.open()?;
    let core = Core::new(Core::ready(&mut *poller)?, poller);
    let (entered, ends) = (Entered::new(core.clone()), Ends(core.clone()));
    let (mut main, mut events) = (core.spawn(main), Vec::new());
    loop {
        core.resume_woken();
        if main.is_finished() {
            break;
        }
        match core.wait(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::OutOfMemory => std::thread::sleep(WAIT_RETRY),
            waited => waited?,
        }
    }
    drop(entered);
    drop(ends);
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

/// As long as it lives the thread's functions find the executor.
pub struct Entered;

impl Entered {
    /// Panics within another.
    pub fn new(core: Rc<Core>) -> Entered {
        let outer = CURRENT.replace(Some(core));
        if outer.is_some() {
            CURRENT.replace(outer);
            panic!(
                "coroutine::run within coroutine::run on one thread: the outer's tasks would wait for it; try spawn"
            );
        }
        Entered
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.take();
    }
}

/// Ends the tasks, however the run ends.
struct Ends(Rc<Core>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// What an executor knows. Streams and sleeps hold it too, and may outlive the run.
pub struct Core {
    ready: Arc<Ready>,
    tasks: RefCell<Slab<Rc<dyn Resume>>>,
    /// Who has this waits by it too, if the executor has a host.
    pub poller: RefCell<Box<dyn Poller>>,
    /// By the tokens of the poller's events, less their mark.
    sources: RefCell<Slab<Rc<Source>>>,
    sleepers: RefCell<Sleepers>,
    /// The task at work, or the last that was.
    at_work: Cell<Token>,
    /// What the task at work may do before it is the others' turn.
    steps_left: Cell<u32>,
    /// Empty, for their memory.
    batch: Cell<Vec<Arc<Ticket>>>,
    wakers: Cell<Vec<Waker>>,
}

struct Sleepers {
    timers: Timers,
    /// By the slots of the timers: each sleep that is not over.
    sleeps: Slab<Sleeping>,
}

struct Sleeping {
    /// Whose it is.
    task: Token,
    /// Who waits for its end, once somebody does.
    waker: Option<Waker>,
}

impl Core {
    /// What other threads are to see of an executor that waits by `poller`, which watches its bell.
    pub fn ready(poller: &mut dyn Poller) -> io::Result<Arc<Ready>> {
        let ready = Ready::new()?;
        poller.add(ready.bell.as_fd(), BELL, Interest::READ)?;
        Ok(ready)
    }

    /// The executor of which that is seen.
    pub fn new(ready: Arc<Ready>, poller: Box<dyn Poller>) -> Rc<Core> {
        Rc::new(Core {
            ready,
            tasks: RefCell::new(Slab::new()),
            poller: RefCell::new(poller),
            sources: RefCell::new(Slab::new()),
            sleepers: RefCell::new(Sleepers { timers: Timers::new(Instant::now()), sleeps: Slab::new() }),
            at_work: Cell::new(BELL),
            steps_left: Cell::new(0),
            batch: Cell::default(),
            wakers: Cell::default(),
        })
    }

    /// The executor that runs on this thread.
    #[track_caller]
    pub fn current() -> Rc<Core> {
        CURRENT.with_borrow(|core| core.clone()).expect("there are no coroutines outside tripoll::coroutine::run")
    }

    /// Begins a task.
    pub fn spawn<F: Future + 'static>(self: &Rc<Core>, future: F) -> JoinHandle<F::Output> {
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
    pub fn resume_woken(&self) {
        let (mut batch, mut resumed) = (self.batch.take(), 0);
        while resumed < RESUMES_PER_TURN_MAX && self.ready.take(&mut batch) {
            resumed += batch.len();
            batch.drain(..).for_each(|ticket| self.resume(ticket));
        }
        self.batch.set(batch);
        self.tasks.borrow_mut().reuse_released();
    }

    fn resume(&self, ticket: Arc<Ticket>) {
        let token = ticket.token;
        let Some(task) = self.tasks.borrow_mut().get_mut(token).cloned() else { return }; // It has ended.
        self.at_work.set(token);
        self.steps_left.set(STEPS_PER_RESUME_MAX);
        ticket.is_used();
        let is_over = task.resume(&mut Context::from_waker(&Waker::from(ticket)));
        if is_over {
            self.forget(token);
        }
    }

    /// 2 and 3. Waits `timeout` at most; what is in `events` after it is the host's.
    pub fn wait(&self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        self.ready.bell.falls_asleep();
        let timeout = match self.ready.is_empty() {
            true => {
                let timers = &mut self.sleepers.borrow_mut().timers;
                timers.set_now(Instant::now());
                timers.next().into_iter().chain(timeout).min()
            }
            false => Some(Duration::ZERO),
        };
        let waited = self.poller.borrow_mut().wait(events, timeout);
        self.ready.bell.wakes_up();
        waited?;
        let mut wakers = self.wakers.take();
        events.retain(|event| {
            let is_own = event.token.index & OWN != 0;
            if is_own {
                self.dispatch(event, &mut wakers);
            }
            !is_own
        });
        self.sleepers.borrow_mut().expire(Instant::now(), &mut wakers);
        self.sources.borrow_mut().reuse_released();
        wakers.drain(..).for_each(Waker::wake);
        self.wakers.set(wakers);
        Ok(())
    }

    fn dispatch(&self, event: &Event, wakers: &mut Vec<Waker>) {
        let (mut sources, mut poller) = (self.sources.borrow_mut(), self.poller.borrow_mut());
        if event.token == BELL {
            self.ready.bell.clear();
            return poller.exhausted(self.ready.bell.as_fd(), Direction::Read);
        }
        let source = sources.get_mut(marked(event.token));
        let source = source.expect("whoever is watched has a place, and nobody leaves during a wait");
        let interest = source.take_waiting(event, wakers);
        let narrowed = poller.modify(source.as_fd(), event.token, interest);
        debug_assert!(narrowed.is_ok(), "whoever has a place is watched: {narrowed:?}");
    }

    /// Wakes every task.
    pub fn wake_all(&self) {
        self.tasks.borrow().tokens().for_each(|token| self.ready.admit(token));
    }

    /// Ends the task whose [idle](Deadline::Idle) sleep began first. Whether there was one.
    pub fn end_idle(&self) -> bool {
        let task = self.sleepers.borrow_mut().longest_idle();
        let task = task.and_then(|task| self.tasks.borrow_mut().remove(task));
        task.inspect(|task| task.cancel()).is_some()
    }

    /// Begins to watch a source, for nothing yet.
    pub fn watch(&self, source: &Rc<Source>) -> io::Result<Token> {
        let mut sources = self.sources.borrow_mut();
        let token = sources.insert(source.clone());
        let added = self.poller.borrow_mut().add(source.as_fd(), marked(token), Interest::NONE);
        if added.is_err() {
            sources.remove(token);
        }
        added.map(|()| token)
    }

    /// Watches a source for what is waited for now.
    pub fn watch_for(&self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        self.poller.borrow_mut().modify(fd, marked(token), interest)
    }

    /// The kernel had nothing more for `fd`.
    pub fn exhausted(&self, fd: BorrowedFd<'_>, direction: Direction) {
        self.poller.borrow_mut().exhausted(fd, direction);
    }

    /// Watches a source no more; it is closed after that.
    pub fn unwatch(&self, token: Token) {
        let source = self.sources.borrow_mut().remove(token).expect("it is unwatched once");
        let removed = self.poller.borrow_mut().remove(source.as_fd());
        debug_assert!(removed.is_ok(), "whoever has a place is watched: {removed:?}");
    }

    /// Begins a sleep of the task at work.
    pub fn fall_asleep(&self, until: Deadline) -> Token {
        let Sleepers { timers, sleeps } = &mut *self.sleepers.borrow_mut();
        let token = sleeps.insert(Sleeping { task: self.at_work.get(), waker: None });
        timers.set_now(Instant::now());
        timers.set(token.index, until);
        token
    }

    /// Whether the sleep goes on; then `waker` is woken at its end.
    pub fn is_asleep(&self, sleep: Token, waker: &Waker) -> bool {
        let mut sleepers = self.sleepers.borrow_mut();
        let Some(Sleeping { waker: place, .. }) = sleepers.sleeps.get_mut(sleep) else { return false };
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
    pub fn end(&self) {
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
        let Sleeping { waker, .. } = self.sleeps.remove(sleep)?;
        self.timers.clear(sleep.index);
        self.sleeps.reuse_released(); // A token tells its sleep by the generation.
        waker
    }

    /// Takes out those whose sleep is over.
    fn expire(&mut self, now: Instant, into: &mut Vec<Waker>) {
        self.timers.set_now(now);
        while let Some(slot) = self.timers.expire() {
            let token = self.sleeps.token(slot).expect("each timer has a sleep");
            into.extend(self.sleeps.remove(token).and_then(|sleep| sleep.waker));
        }
        self.sleeps.reuse_released();
    }

    /// Whose sleep is idle longest.
    fn longest_idle(&mut self) -> Option<Token> {
        let token = self.sleeps.token(self.timers.longest_idle()?).expect("each timer has a sleep");
        self.sleeps.get_mut(token).map(|sleep| sleep.task)
    }
}

impl Drop for Core {
    /// Descriptors are removed before they are closed, as the poller's contract asks; sources are by their owners, who hold the core.
    fn drop(&mut self) {
        let removed = self.poller.get_mut().remove(self.ready.bell.as_fd());
        debug_assert!(removed.is_ok(), "it is watched from the beginning: {removed:?}");
    }
}
