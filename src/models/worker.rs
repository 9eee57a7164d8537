//! A thread or process that serves one connection at a time, and does nothing else meanwhile.
//!
//! Invariant: it waits in one place, poll(2), for all that can happen to its connection. What the models differ in is who calls
//! [`Worker::serve`].
//!
//! ```text
//!   wait for: the socket · the bell (wakers) · the watch (the end) · the crowd (others who wait) · a deadline
//! ```

use super::connection::{Connection, Desk, Ready, Waits};
use super::door::Door;
use super::ropes::Watch;
use super::shared::Shared;
use crate::poller::{WAIT_RETRY, timeout_ms};
use crate::protocol::Accept;
use crate::reactor::{Descent, Notice};
use crate::sys::{self, EventFd, POLLIN, POLLOUT, pollfd};
use crate::transport::{self, Accepted};
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// A connection that awaits a request gives way to others that wait for its worker, once it was silent for so long: twice, since those who
/// come may be taken by another worker.
const PATIENCE_IN_A_CROWD: Duration = Duration::from_millis(50);

/// How long a worker that could not accept rests before it tries again.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// A thread or process that serves connections, one at a time.
pub(super) struct Worker {
    shared: Arc<Shared>,
    desk: RefCell<Desk>,
    watch: Watch,
    accept: Box<dyn Accept>,
    bell: Arc<Bell>,
    entries: Vec<pollfd>,
}

/// Rung by wakers: of this connection, or late ones of one before, which do no harm.
pub(super) struct Bell(EventFd);

impl Bell {
    pub(super) fn new() -> io::Result<Arc<Bell>> {
        Ok(Arc::new(Bell(EventFd::new()?)))
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.ring();
    }
}

/// Waits for a connection by blocking.
struct Blocking<'a> {
    shared: &'a Shared,
    watch: &'a mut Watch,
    bell: &'a Arc<Bell>,
    entries: &'a mut Vec<pollfd>,
    /// Descriptors that are readable while others wait for this worker.
    crowd: &'a [BorrowedFd<'a>],
    /// Since when its connection is quiet, if it is.
    quiet_since: Option<Instant>,
    /// Others were seen to wait since then.
    crowd_since: Option<Instant>,
}

impl Worker {
    /// Idle; made by the thread or process that it is.
    pub(super) fn new(shared: Arc<Shared>, watch: Watch, bell: Arc<Bell>) -> Worker {
        let desk = RefCell::new(Desk::new(shared.clone()));
        Worker { desk, watch, accept: (shared.make)(), bell, entries: Vec::new(), shared }
    }

    /// Accepts and serves, one after another, until it is told to end; then those who wait already.
    pub(super) fn serve_all(&mut self, listeners: &[OwnedFd]) {
        let crowd: Vec<_> = listeners.iter().map(OwnedFd::as_fd).collect();
        let door = match Door::new(listeners, &self.watch) {
            Ok(door) => door,
            Err(error) => return self.notice(Notice::CannotAccept(error)),
        };
        loop {
            let is_up = self.watch.descent() == Descent::Up;
            if is_up {
                self.desk.get_mut().count_calls();
                let retry = (self.shared.before_wait)();
                match door.wait(retry) {
                    Ok(true) => self.watch.hear(Instant::now()),
                    Ok(false) => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        self.notice(Notice::CannotWait(error));
                        std::thread::sleep(WAIT_RETRY);
                    }
                }
            }
            let came = crowd.iter().filter(|listener| self.accept_one(**listener, &crowd)).count();
            if !is_up && came == 0 || self.watch.descent().is_over(Instant::now()) {
                return;
            }
        }
    }

    /// Whether somebody was there.
    fn accept_one(&mut self, listener: BorrowedFd<'_>, crowd: &[BorrowedFd<'_>]) -> bool {
        match transport::accept(&mut self.desk.get_mut().kernel, listener) {
            Accepted::Connection(socket, peer) => {
                self.shared.tally.enter();
                self.serve(socket.as_fd(), peer, None, crowd);
                true
            }
            Accepted::Nothing => false,
            Accepted::Lost => true,
            Accepted::Short(_) if (self.shared.on_shortage)() => true,
            Accepted::Short(error) | Accepted::Unable(error) => {
                self.notice(Notice::CannotAccept(error));
                std::thread::sleep(ACCEPT_RETRY);
                false
            }
        }
    }

    fn notice(&mut self, notice: Notice) {
        self.shared.notice(&notice, Instant::now());
        (self.shared.before_wait)();
    }

    /// Serves one connection, which was counted, from its first byte to its last. `crowd` are descriptors that are readable while others wait for this worker.
    pub(super) fn serve(
        &mut self,
        socket: BorrowedFd<'_>,
        peer: SocketAddr,
        ticket: Option<u32>,
        crowd: &[BorrowedFd<'_>],
    ) {
        let Worker { shared, desk, watch, accept, bell, entries } = self;
        desk.get_mut().read_clock();
        let mut waits = Blocking { shared, watch, bell, entries, crowd, quiet_since: None, crowd_since: None };
        at_once(Connection::new(desk, socket, accept.protocol(peer), ticket).serve(&mut waits));
        (shared.before_wait)();
    }
}

/// What a future brings that never waits.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("a worker blocks where a task would wait"),
    }
}

impl Waits for Blocking<'_> {
    async fn wait(&mut self, connection: &Connection<'_>) -> Option<Ready> {
        connection.desk().borrow_mut().count_calls();
        let now = connection.desk().borrow_mut().read_clock(); // What happened since the last wait may have taken long.
        let retry = (self.shared.before_wait)().and_then(|time| now.checked_add(time));
        self.note_quiet(connection.is_quiet(), now);
        let crowd_at = self.looks_at_crowd(now).filter(|_| !self.crowd.is_empty());
        let looks_at_crowd = crowd_at.is_some_and(|at| at <= now);
        // A crowd is waited for; one that was seen before is looked for once more, without waiting.
        let crowd_at = crowd_at.filter(|_| !looks_at_crowd || self.crowd_since.is_some());
        let times = [connection.look_at(), self.watch.descent().next(), retry, crowd_at];
        let until = times.into_iter().flatten().min();
        let (reads, writes) = connection.wants();
        let events = if reads { POLLIN } else { 0 } | if writes { POLLOUT } else { 0 };
        let raw = connection.socket().as_raw_fd();
        // Masked where nothing is wanted, since POLLERR and POLLHUP come unasked and would end every wait.
        self.entries.clear();
        self.entries.push(pollfd { fd: if events == 0 { !raw } else { raw }, events, revents: 0 });
        let others = [self.bell.0.as_fd(), self.watch.fd()].into_iter();
        let crowd = self.crowd.iter().copied().filter(|_| looks_at_crowd);
        let readable = |fd: BorrowedFd<'_>| pollfd { fd: fd.as_raw_fd(), events: POLLIN, revents: 0 };
        self.entries.extend(others.chain(crowd).map(readable));
        poll(self.entries, until.map(|at| at.saturating_duration_since(now)));
        let now = connection.desk().borrow_mut().read_clock();
        let is_ready = |entry: &pollfd| entry.revents != 0;
        let [socket, bell, watch, crowd @ ..] = &self.entries[..] else { unreachable!("three were put there") };
        let (ready, is_crowded) =
            (Ready { socket: is_ready(socket), bell: is_ready(bell) }, crowd.iter().any(is_ready));
        if is_ready(watch) {
            self.watch.hear(now);
            return Some(Ready::default()); // It is told of the end first.
        }
        if ready.bell {
            self.bell.0.clear();
        }
        let is_silent = !ready.socket && !ready.bell;
        let gives_way = looks_at_crowd && is_silent && self.gives_way(is_crowded, now);
        (!gives_way).then_some(ready)
    }

    fn waker(&self) -> Waker {
        Waker::from(self.bell.clone())
    }

    fn tellings(&mut self, now: Instant) -> Option<u8> {
        self.watch.finish(now);
        let descent = self.watch.descent();
        (!descent.is_over(now)).then(|| descent.tellings())
    }
}

impl Blocking<'_> {
    fn note_quiet(&mut self, is_quiet: bool, now: Instant) {
        self.quiet_since = is_quiet.then(|| self.quiet_since.unwrap_or(now));
        if !is_quiet {
            self.crowd_since = None;
        }
    }

    /// When to look whether others wait for its worker.
    fn looks_at_crowd(&self, now: Instant) -> Option<Instant> {
        let since = self.crowd_since.or(self.quiet_since)?;
        Some(since.checked_add(PATIENCE_IN_A_CROWD).unwrap_or(now))
    }

    /// It was looked: others wait, or not.
    fn gives_way(&mut self, is_crowded: bool, now: Instant) -> bool {
        let was_crowded = self.crowd_since.is_some();
        self.crowd_since = is_crowded.then(|| self.crowd_since.unwrap_or(now));
        is_crowded && was_crowded
    }
}

/// poll(2), which a signal or want of memory ends early.
fn poll(entries: &mut [pollfd], timeout: Option<Duration>) {
    if let Err(error) = sys::poll(entries, timeout_ms(timeout)) {
        entries.iter_mut().for_each(|entry| entry.revents = 0);
        if error.kind() != io::ErrorKind::Interrupted {
            std::thread::sleep(WAIT_RETRY);
        }
    }
}
