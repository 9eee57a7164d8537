//! One connection, served by somebody who does nothing else meanwhile: the blocking driver of a [`Link`].
//!
//! Invariant: it waits in one place, poll(2), for all that can happen to its connection, and nothing else of it blocks. What the models
//! differ in is who calls [`Worker::serve`].
//!
//! ```text
//!   ┌▶ wait for: the socket · the bell (wakers) · the watch (the end) · the crowd (others who wait) · a deadline
//!   └─ act: Link::feed, Link::cue ─▶ flush ─▶ goes on, lingers, is over
//! ```

use super::door::Door;
use super::ropes::Watch;
use super::tally::Tally;
use crate::poller::{WAIT_RETRY, timeout_ms};
use crate::protocol::{Accept, Cue, Deadline, Driver, Link, Now, Outbox};
use crate::reactor::{Descent, Limits, Notice, Pace, Told};
use crate::sys::{self, Calls, EventFd, Kernel, Linux, POLLIN, POLLOUT, pollfd};
use crate::transport::{self, Accepted, Received, Settled};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

/// A connection that awaits a request gives way to others that wait for its worker, once it was silent for so long: twice, since those who
/// come may be taken by another worker.
const PATIENCE_IN_A_CROWD: Duration = Duration::from_millis(50);

/// How long a worker that could not accept rests before it tries again.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What all workers of a server have in common.
pub(super) struct Shared {
    pub limits: Limits,
    pub make: Box<dyn Fn() -> Box<dyn Accept> + Send + Sync>,
    pub tally: Tally,
    /// Called before each wait, as a loop's `after_turn`.
    pub before_wait: Box<dyn Fn() -> Option<Duration> + Send + Sync>,
    /// Closes a descriptor that is dispensable, where one is wanting. Whether there was one.
    pub on_shortage: Box<dyn Fn() -> bool + Send + Sync>,
    /// What a child does first, after a fork.
    pub in_child: Box<dyn Fn() + Send + Sync>,
    pub notices: Mutex<Notices>,
    /// Tickets of connections that are over, where they are asked for.
    pub left: Mutex<Vec<u32>>,
}

/// Who hears of notices.
pub(super) struct Notices {
    pub tell: Box<dyn FnMut(&Notice) + Send>,
    pub told: Told,
}

impl Shared {
    /// A connection is over.
    pub(super) fn note_left(&self, ticket: u32) {
        if self.limits.per_address_max < usize::MAX {
            self.left.lock().unwrap_or_else(PoisonError::into_inner).push(ticket);
        }
    }

    pub(super) fn notice(&self, notice: &Notice, now: Instant) {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        if notices.told.is_news(notice, now) {
            (notices.tell)(notice);
        }
    }
}

/// A thread or process that serves connections, one at a time.
pub(super) struct Worker {
    pub shared: Arc<Shared>,
    pub watch: Watch,
    pub kernel: Linux,
    accept: Box<dyn Accept>,
    bell: Arc<Bell>,
    input: Box<[u8]>,
    entries: Vec<pollfd>,
    /// What was counted of `kernel`'s calls.
    counted: Calls,
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

/// A connection at work.
struct Connection<'a> {
    socket: BorrowedFd<'a>,
    link: Link,
    out: Outbox,
    /// As the protocol wished; it begins when the outbox is empty.
    deadline: Deadline,
    /// What is watched as long as it is not.
    pace: Option<Pace>,
    /// When one of both is to be looked at.
    look_at: Option<Instant>,
    has_received: bool,
    /// Since when it awaits a request, if it does.
    idle_since: Option<Instant>,
    /// Others were seen to wait since then.
    crowd_since: Option<Instant>,
}

/// How a connection goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Open,
    Linger,
    Over,
}

/// What ended a wait.
#[derive(Default)]
struct Ready {
    socket: bool,
    bell: bool,
    watch: bool,
    /// `None`: it was not looked at.
    crowd: Option<bool>,
}

impl Worker {
    /// Idle; made by the thread or process that it is.
    pub(super) fn new(shared: Arc<Shared>, watch: Watch, bell: Arc<Bell>) -> Worker {
        Worker {
            watch,
            kernel: Linux::default(),
            accept: (shared.make)(),
            bell,
            input: vec![0; shared.limits.receive_bytes_per_turn_max].into_boxed_slice(),
            entries: Vec::new(),
            counted: Calls::default(),
            shared,
        }
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
                self.count_calls();
                let retry = (self.shared.before_wait)();
                match door.wait(retry) {
                    Ok(true) => self.watch.hear(self.kernel.monotonic()),
                    Ok(false) => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        self.notice(Notice::CannotWait(error));
                        std::thread::sleep(WAIT_RETRY);
                    }
                }
            }
            let came = crowd.iter().filter(|listener| self.accept_one(**listener, &crowd)).count();
            if !is_up && came == 0 || self.watch.descent().is_over(self.kernel.monotonic()) {
                return;
            }
        }
    }

    /// Whether somebody was there.
    fn accept_one(&mut self, listener: BorrowedFd<'_>, crowd: &[BorrowedFd<'_>]) -> bool {
        match transport::accept(&mut self.kernel, listener) {
            Accepted::Connection(socket, peer) => {
                self.shared.tally.enter();
                self.serve(socket.as_fd(), peer, crowd);
                true
            }
            Accepted::Nothing => false,
            Accepted::Lost => true,
            Accepted::Unable(_) if (self.shared.on_shortage)() => true,
            Accepted::Unable(error) => {
                self.notice(Notice::CannotAccept(error));
                std::thread::sleep(ACCEPT_RETRY);
                false
            }
        }
    }

    fn notice(&mut self, notice: Notice) {
        self.shared.notice(&notice, self.kernel.monotonic());
        (self.shared.before_wait)();
    }

    /// Serves one connection, which was counted, from its first byte to its last. `crowd` are descriptors that are readable while others wait for this worker.
    pub(super) fn serve(&mut self, socket: BorrowedFd<'_>, peer: SocketAddr, crowd: &[BorrowedFd<'_>]) {
        let mut connection = Connection {
            socket,
            link: Link::new(self.accept.protocol(peer)),
            out: Outbox::default(),
            deadline: Deadline::Never,
            pace: None,
            look_at: None,
            has_received: false,
            idle_since: None,
            crowd_since: None,
        };
        let mut step = self.touch(&mut connection, |link, driver| link.cue(Cue::Opened, driver));
        let told = match self.watch.descent() {
            Descent::Up | Descent::Barred { .. } => 0,
            Descent::Patient { .. } => 1,
            Descent::Finishing { .. } | Descent::Down => 2,
        };
        for _ in 0..told {
            if step == Step::Open {
                step = self.touch(&mut connection, |link, driver| link.cue(Cue::ShuttingDown, driver));
            }
        }
        while step == Step::Open {
            step = self.turn(&mut connection, crowd);
        }
        if step == Step::Linger {
            self.linger(&mut connection);
        }
        let mut out = Outbox::default(); // What it says now reaches nobody.
        let mut driver = self.driver(&mut out);
        let told = catch_unwind(AssertUnwindSafe(|| connection.link.cue(Cue::Closed, &mut driver)));
        if told.is_err() {
            self.shared.tally.count_panic();
        }
        self.count_calls();
        self.shared.tally.leave();
        (self.shared.before_wait)();
    }

    fn now(&mut self) -> Now {
        Now { monotonic: self.kernel.monotonic(), wall: self.kernel.wall() }
    }

    /// Waits once, and lets everything happen to the connection that came.
    fn turn(&mut self, connection: &mut Connection<'_>, crowd: &[BorrowedFd<'_>]) -> Step {
        let now = self.kernel.monotonic();
        if self.watch.descent().is_over(now) {
            return Step::Over;
        }
        if self.watch.finish(now) {
            return self.touch(connection, |link, driver| link.cue(Cue::ShuttingDown, driver));
        }
        let ready = self.wait(connection, crowd, now);
        let now = self.kernel.monotonic();
        if ready.watch {
            let was_up = self.watch.descent() == Descent::Up;
            self.watch.hear(now);
            return match was_up {
                true => self.touch(connection, |link, driver| link.cue(Cue::ShuttingDown, driver)),
                false => Step::Over,
            };
        }
        let mut step = Step::Open;
        if ready.socket {
            step = self.receive(connection);
        }
        if ready.bell {
            self.bell.0.clear();
            if step == Step::Open {
                step = self.touch(connection, |link, driver| link.cue(Cue::Woken, driver));
            }
        }
        if step == Step::Open && connection.look_at.is_some_and(|at| at <= now) {
            step = self.deadline_passed(connection, now);
        }
        match ready.crowd {
            Some(is_crowded) if step == Step::Open => connection.give_way(is_crowded, now),
            Some(_) | None => step,
        }
    }

    /// Receives once, where input is wanted, and feeds what came.
    fn receive(&mut self, connection: &mut Connection<'_>) -> Step {
        if !connection.link.wants_input() {
            return self.touch(connection, |_, _| ());
        }
        match transport::receive(&mut self.kernel, connection.socket, &mut self.input) {
            Received::Dead => Step::Over,
            Received::Nothing => self.touch(connection, |_, _| ()), // There is room for more to be sent.
            Received::End => self.touch(connection, |link, driver| link.end_of_input(driver)),
            Received::Bytes(count) => {
                self.shared.tally.count_bytes(count as u64, 0);
                connection.has_received = true;
                let input = std::mem::take(&mut self.input);
                let step = self.touch(connection, |link, driver| link.feed(&input[..count], driver));
                self.input = input;
                step
            }
        }
    }

    fn driver<'a>(&mut self, out: &'a mut Outbox) -> Driver<'a> {
        Driver { now: self.now(), out, deadline: None, waker: &|| Waker::noop().clone() }
    }

    /// Lets `act` happen to the connection, then sends what its link says, and notes what it waits for.
    fn touch(&mut self, connection: &mut Connection<'_>, act: impl FnOnce(&mut Link, &mut Driver<'_>)) -> Step {
        let now = self.now();
        let Connection { socket, link, out, deadline, pace, look_at, .. } = connection;
        let waker = || Waker::from(self.bell.clone());
        let mut driver = Driver { now, out, deadline: None, waker: &waker };
        let budget_max = self.shared.limits.send_bytes_per_turn_max;
        let mut budget = budget_max;
        let settled = catch_unwind(AssertUnwindSafe(|| {
            act(link, &mut driver);
            transport::settle(&mut self.kernel, *socket, link, &mut driver, &mut budget)
        }));
        let (wish, sent) = (driver.deadline, budget_max - budget);
        self.shared.tally.count_bytes(0, sent);
        *deadline = wish.unwrap_or(*deadline);
        let now = now.monotonic;
        match settled {
            Err(_) => {
                self.shared.tally.count_panic();
                self.shared.notice(&Notice::ProtocolPanicked, now);
                return Step::Over;
            }
            Ok(Settled::Over) => return Step::Over,
            Ok(Settled::Said) => return Step::Linger,
            Ok(Settled::Open { .. }) => {}
        }
        if out.queued() == 0 {
            if pace.take().is_some() || wish.is_some() {
                *look_at = deadline.passes_at(now);
            }
        } else if let Some(pace) = pace {
            if sent > 0 {
                pace.note_sent(sent, now);
            }
        } else {
            *pace = Some(Pace::new(now, self.kernel.unacknowledged(*socket)));
            let limits = &self.shared.limits;
            *look_at = now.checked_add(limits.rate_min_of(link).first_look(limits.send_timeout));
        }
        connection.note_idleness(now);
        Step::Open
    }

    /// The protocol's deadline, or the time to look how fast its peer takes what waits.
    fn deadline_passed(&mut self, connection: &mut Connection<'_>, now: Instant) -> Step {
        connection.look_at = None;
        let limits = &self.shared.limits;
        let Some(pace) = &mut connection.pace else {
            connection.deadline = Deadline::Never;
            return self.touch(connection, |link, driver| link.cue(Cue::DeadlinePassed, driver));
        };
        pace.look(self.kernel.unacknowledged(connection.socket), now);
        connection.look_at = pace.ends_at(limits.send_timeout, limits.rate_min_of(&connection.link));
        if connection.look_at.is_some_and(|at| at <= now) {
            self.kernel.reset_on_close(connection.socket);
            return Step::Over;
        }
        Step::Open
    }

    /// Waits until something can be done.
    fn wait(&mut self, connection: &Connection<'_>, crowd: &[BorrowedFd<'_>], now: Instant) -> Ready {
        self.count_calls();
        let retry = (self.shared.before_wait)().and_then(|time| now.checked_add(time));
        let crowd_at = connection.looks_at_crowd(now).filter(|_| !crowd.is_empty());
        let looks_at_crowd = crowd_at.is_some_and(|at| at <= now);
        // A crowd is waited for; one that was seen before is looked for once more, without waiting.
        let crowd_at = crowd_at.filter(|_| !looks_at_crowd || connection.crowd_since.is_some());
        let times = [connection.look_at, self.watch.descent().next(), retry, crowd_at];
        let until = times.into_iter().flatten().min();
        let is_sending = connection.out.queued() > 0 || connection.link.wants_room();
        let events = if connection.link.wants_input() { POLLIN } else { 0 } | if is_sending { POLLOUT } else { 0 };
        let raw = connection.socket.as_raw_fd();
        // Masked where nothing is wanted, since POLLERR and POLLHUP come unasked and would end every wait.
        self.entries.clear();
        self.entries.push(pollfd { fd: if events == 0 { !raw } else { raw }, events, revents: 0 });
        let others = [self.bell.0.as_fd(), self.watch.fd()].into_iter();
        let crowd = crowd.iter().copied().filter(|_| looks_at_crowd);
        let readable = |fd: BorrowedFd<'_>| pollfd { fd: fd.as_raw_fd(), events: POLLIN, revents: 0 };
        self.entries.extend(others.chain(crowd).map(readable));
        poll(&mut self.entries, until.map(|at| at.saturating_duration_since(now)));
        let is_ready = |entry: &pollfd| entry.revents != 0;
        match &self.entries[..] {
            [socket, bell, watch, crowd @ ..] => Ready {
                socket: is_ready(socket),
                bell: is_ready(bell),
                watch: is_ready(watch),
                crowd: looks_at_crowd.then(|| crowd.iter().any(is_ready)),
            },
            _ => unreachable!("three were put there"),
        }
    }

    /// All is said: shuts the sending side, then waits for the peer to close, unless it has.
    fn linger(&mut self, connection: &mut Connection<'_>) {
        if connection.link.has_ended() || self.kernel.shutdown_write(connection.socket).is_err() {
            return;
        }
        let end = self.kernel.monotonic().checked_add(self.shared.limits.linger_timeout);
        loop {
            let now = self.kernel.monotonic();
            if end.is_some_and(|end| end <= now) || self.watch.descent().is_over(now) {
                return;
            }
            self.count_calls();
            let until = end.into_iter().chain(self.watch.descent().next()).min();
            let readable = |fd: BorrowedFd<'_>| pollfd { fd: fd.as_raw_fd(), events: POLLIN, revents: 0 };
            let mut entries = [readable(connection.socket), readable(self.watch.fd())];
            poll(&mut entries, until.map(|at| at.saturating_duration_since(now)));
            if entries[1].revents != 0 {
                self.watch.hear(now);
            }
            self.watch.finish(now);
            if entries[0].revents != 0
                && matches!(
                    transport::receive(&mut self.kernel, connection.socket, &mut self.input),
                    Received::End | Received::Dead
                )
            {
                return;
            }
        }
    }

    fn count_calls(&mut self) {
        let calls = self.kernel.calls();
        self.shared.tally.count_calls(calls, self.counted);
        self.counted = calls;
    }
}

impl Connection<'_> {
    /// Whether it awaits a request, of which no byte has come: then nobody owes anybody anything.
    fn note_idleness(&mut self, now: Instant) {
        let is_idle = !self.has_received || matches!(self.deadline, Deadline::Idle(_));
        let is_quiet = is_idle && self.out.queued() == 0 && self.link.wants_input();
        self.idle_since = is_quiet.then(|| self.idle_since.unwrap_or(now));
        if !is_quiet {
            self.crowd_since = None;
        }
    }

    /// When to look whether others wait for its worker.
    fn looks_at_crowd(&self, now: Instant) -> Option<Instant> {
        let since = self.crowd_since.or(self.idle_since)?;
        Some(since.checked_add(PATIENCE_IN_A_CROWD).unwrap_or(now))
    }

    /// It was looked: others wait, or not.
    fn give_way(&mut self, is_crowded: bool, now: Instant) -> Step {
        match (is_crowded, self.crowd_since) {
            (true, Some(_)) => return Step::Over,
            (true, None) => self.crowd_since = Some(now),
            (false, _) => self.crowd_since = None,
        }
        Step::Open
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
