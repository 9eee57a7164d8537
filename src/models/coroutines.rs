//! A task for each connection, on the loop's own thread and by its own poller.
//!
//! Invariant: a task gives the thread away in one place, where it waits for its connection; and what it borrows there is its own.

use super::Work;
use super::connection::{Connection, Desk, Ready, Waits};
use super::shared::Shared;
use crate::coroutine::{Hosted, Sleep, Stream};
use crate::poller::Direction;
use crate::protocol::{Accept, Deadline};
use crate::reactor::{Counters, Crew, Reactor, Shutdown, Visitor};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Wake, Waker};
use std::time::Instant;

pub(super) struct Coroutines {
    executor: Hosted,
    shared: Arc<Shared>,
    desk: Rc<RefCell<Desk>>,
    /// How often connections are to have been told that all goes down.
    tellings: Rc<Cell<u8>>,
}

impl Coroutines {
    /// Within that loop, which accepts for it, and closes its listeners by itself.
    pub(super) fn new(work: Work, reactor: &mut Reactor) -> io::Result<Coroutines> {
        let (shared, _) = Shared::new(work);
        let (shared, executor) = (Arc::new(shared), Hosted::with(reactor.poller())?);
        let desk = Rc::new(RefCell::new(Desk::new(shared.clone())));
        Ok(Coroutines { executor, shared, desk, tellings: Rc::default() })
    }

    fn tell(&self, tellings: u8) {
        self.tellings.set(tellings);
        self.executor.wake_all();
    }
}

impl Crew for Coroutines {
    fn take(&mut self, visitor: Visitor, accept: &mut dyn Accept) -> Result<(), (io::Error, OwnedFd)> {
        let Visitor { socket, peer, ticket } = visitor;
        let stream = self.executor.stream(socket)?;
        self.shared.tally.enter();
        let (desk, tellings, protocol) = (self.desk.clone(), self.tellings.clone(), accept.protocol(peer));
        // No `async fn`: of that each parameter has two places, one as it came and one as it is used.
        self.executor.spawn(async move {
            let task = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
            let bell = Arc::new(Bell { is_rung: AtomicBool::new(false), task });
            let sleep = Sleep::until(Deadline::Never);
            let mut waits = Awaiting { stream: &stream, sleep, slept_for: None, bell, tellings: &tellings };
            Connection::new(&desk, stream.as_fd(), protocol, Some(ticket)).serve(&mut waits).await;
        });
        Ok(())
    }

    fn work(&mut self) {
        self.desk.borrow_mut().read_clock();
        self.executor.resume();
        self.desk.borrow_mut().count_calls();
    }

    fn evict_idle(&mut self) -> bool {
        self.executor.end_idle()
    }

    fn take_left(&mut self) -> Vec<u32> {
        self.shared.take_left()
    }

    fn open(&self) -> usize {
        self.shared.tally.open()
    }

    fn counters(&self) -> Counters {
        self.shared.tally.counters()
    }

    fn shut_down(&mut self, _: Shutdown) {
        self.tell(1); // The loop sees to the time.
    }

    fn finish(&mut self) {
        self.tell(2);
    }

    fn is_gone(&self) -> bool {
        self.open() == 0
    }

    fn end(&mut self) {
        self.executor.end();
    }
}

/// Rung by wakers, from any thread.
struct Bell {
    is_rung: AtomicBool,
    task: Waker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.is_rung.store(true, Ordering::SeqCst);
        self.task.wake_by_ref();
    }
}

/// Waits for a connection by giving the thread to other tasks.
struct Awaiting<'a> {
    stream: &'a Stream,
    sleep: Sleep,
    /// What the sleep was set for.
    slept_for: Option<Instant>,
    bell: Arc<Bell>,
    tellings: &'a Cell<u8>,
}

impl Waits for Awaiting<'_> {
    async fn wait(&mut self, connection: &Connection<'_>) -> Option<Ready> {
        if connection.look_at() != self.slept_for {
            self.slept_for = connection.look_at();
            self.sleep.reset(connection.alarm());
        }
        let (reads, writes) = connection.wants();
        let mut readable = reads.then(|| self.stream.ready(Direction::Read));
        let mut writable = writes.then(|| self.stream.ready(Direction::Write));
        poll_fn(|cx| {
            if self.tellings.get() > connection.told() {
                return Poll::Ready(Some(Ready::default())); // It is told of the end first.
            }
            let mut ready = Ready { socket: false, bell: self.bell.is_rung.swap(false, Ordering::SeqCst) };
            for socket in [&mut readable, &mut writable].into_iter().flatten() {
                match Pin::new(socket).poll(cx) {
                    Poll::Ready(Ok(())) => ready.socket = true,
                    Poll::Ready(Err(_)) => return Poll::Ready(None), // Unwatched it would hang for ever.
                    Poll::Pending => {}
                }
            }
            let is_over = Pin::new(&mut self.sleep).poll(cx).is_ready();
            if ready.socket || ready.bell || is_over { Poll::Ready(Some(ready)) } else { Poll::Pending }
        })
        .await
    }

    fn exhausted(&mut self, direction: Direction) {
        self.stream.exhausted(direction);
    }

    fn has_ended(&self) -> bool {
        self.stream.has_ended()
    }

    fn waker(&self) -> Waker {
        Waker::from(self.bell.clone())
    }

    fn tellings(&mut self, _: Instant) -> Option<u8> {
        Some(self.tellings.get()) // Who is over is ended where it stands.
    }
}
