//! A connection, whoever waits for it: the driver of a [`Link`] that is the same for a thread, a process and a task.
//!
//! Invariant: it waits in one place, [`Waits::wait`], and nothing else of it blocks. A worker's wait blocks its thread, a task's gives the
//! thread to others.
//!
//! ```text
//!   ┌▶ wait for: the socket · the bell (wakers) · the end · a deadline
//!   └─ act: Link::feed, Link::cue ─▶ send what it says ─▶ it goes on, lingers, is over
//! ```

use super::shared::Shared;
use crate::poller::Direction;
use crate::protocol::{Cue, Deadline, Driver, Link, Now, Outbox, Protocol};
use crate::reactor::Pace;
use crate::sys::{Calls, Kernel, Linux};
use crate::transport::{self, Received, Settled, Stage};
use std::cell::RefCell;
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

/// How a connection's driver waits.
pub(super) trait Waits {
    /// Waits until something can be done, and sees to it that the desk knows the time. `None`: its connection is over, since it can't be waited
    /// for or gives way.
    async fn wait(&mut self, connection: &Connection<'_>) -> Option<Ready>;

    /// As [`Poller::exhausted`](crate::poller::Poller::exhausted), of its connection's socket.
    fn exhausted(&mut self, direction: Direction) {
        let _ = direction;
    }

    /// As [`Event::ended`](crate::poller::Event::ended).
    fn has_ended(&self) -> bool {
        false
    }

    /// Rings the bell.
    fn waker(&self) -> Waker;

    /// How often its connection is to have been told that all goes down; `None`: it is over.
    fn tellings(&mut self, now: Instant) -> Option<u8>;
}

/// What ended a wait.
#[derive(Default, Clone, Copy)]
pub(super) struct Ready {
    pub socket: bool,
    pub bell: bool,
}

/// What the connections of a thread have in common. One at a time uses it.
pub(super) struct Desk {
    pub shared: Arc<Shared>,
    pub kernel: Linux,
    /// What every receive is received into.
    input: Box<[u8]>,
    /// Lent to the connection at work; it keeps it when the kernel does not take it all.
    outbox: Outbox,
    /// When the clocks were read last.
    now: Now,
    /// What was counted of `kernel`'s calls.
    counted: Calls,
}

/// A connection at work. It was counted; however it ends it is told so and counted out.
pub(super) struct Connection<'a> {
    desk: &'a RefCell<Desk>,
    socket: BorrowedFd<'a>,
    link: Link,
    stage: Stage,
    /// As the protocol wished; it begins when nothing waits to be sent.
    deadline: Deadline,
    /// When that is to be looked at, or the pace.
    look_at: Option<Instant>,
    sending: Option<Box<Sending>>,
    has_received: bool,
    /// How often it was told that all goes down.
    told: u8,
    /// To be told when it is over.
    ticket: Option<u32>,
}

/// What the kernel did not take yet.
struct Sending {
    outbox: Outbox,
    pace: Pace,
}

/// How a connection goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Open,
    Linger,
    Over,
}

impl Desk {
    pub(super) fn new(shared: Arc<Shared>) -> Desk {
        let input = vec![0; shared.limits.receive_bytes_per_turn_max].into_boxed_slice();
        let mut kernel = Linux::default();
        let now = Now { monotonic: kernel.monotonic(), wall: kernel.wall() };
        Desk { shared, kernel, input, outbox: Outbox::default(), now, counted: Calls::default() }
    }

    /// To be done after each wait, before anything happens to a connection.
    pub(super) fn read_clock(&mut self) -> Instant {
        self.now = Now { monotonic: self.kernel.monotonic(), wall: self.kernel.wall() };
        self.now.monotonic
    }

    /// Adds to the tally what was called since the last time.
    pub(super) fn count_calls(&mut self) {
        let calls = self.kernel.calls();
        self.shared.tally.count_calls(calls - self.counted);
        self.counted = calls;
    }
}

impl<'a> Connection<'a> {
    pub(super) fn new(
        desk: &'a RefCell<Desk>,
        socket: BorrowedFd<'a>,
        protocol: Box<dyn Protocol>,
        ticket: Option<u32>,
    ) -> Connection<'a> {
        Connection {
            desk,
            socket,
            link: Link::new(protocol),
            stage: Stage::Serving,
            deadline: Deadline::Never,
            look_at: None,
            sending: None,
            has_received: false,
            told: 0,
            ticket,
        }
    }

    /// From its first byte to its last.
    pub(super) async fn serve(&mut self, waits: &mut impl Waits) {
        let mut step = self.touch(waits, &mut |link, driver| link.cue(Cue::Opened, driver));
        loop {
            step = match step {
                Step::Open => self.turn(waits).await,
                Step::Linger => self.begin_to_linger(),
                Step::Over => return,
            };
        }
    }

    pub(super) fn socket(&self) -> BorrowedFd<'a> {
        self.socket
    }

    pub(super) fn desk(&self) -> &'a RefCell<Desk> {
        self.desk
    }

    /// Whether it is to be waited for bytes to receive, and for room to send.
    pub(super) fn wants(&self) -> (bool, bool) {
        match self.stage {
            Stage::Serving => (self.link.wants_input(), self.sending.is_some() || self.link.wants_room()),
            Stage::Lingering => (true, false),
        }
    }

    /// When it is to be looked at, whatever comes.
    pub(super) fn look_at(&self) -> Option<Instant> {
        self.look_at
    }

    /// The same, as the protocol wished it where that is what is looked at.
    pub(super) fn alarm(&self) -> Deadline {
        match (self.look_at, self.stage) {
            (Some(_), Stage::Serving) if self.sending.is_none() => self.deadline,
            (Some(at), _) => Deadline::At(at),
            (None, _) => Deadline::Never,
        }
    }

    /// How often it was told that all goes down.
    pub(super) fn told(&self) -> u8 {
        self.told
    }

    /// Whether it awaits a request, of which no byte has come: then nobody owes anybody anything.
    pub(super) fn is_quiet(&self) -> bool {
        let is_idle = !self.has_received || matches!(self.deadline, Deadline::Idle(_));
        is_idle && self.stage == Stage::Serving && self.sending.is_none() && self.link.wants_input()
    }

    fn now(&self) -> Instant {
        self.desk.borrow().now.monotonic
    }

    /// Waits once, and lets everything happen to the connection that came.
    async fn turn(&mut self, waits: &mut impl Waits) -> Step {
        let now = self.now();
        let Some(tellings) = waits.tellings(now) else { return Step::Over };
        if self.told < tellings && self.stage == Stage::Serving {
            self.told += 1;
            return self.touch(waits, &mut |link, driver| link.cue(Cue::ShuttingDown, driver));
        }
        let Some(ready) = waits.wait(self).await else { return Step::Over };
        let now = self.now();
        let mut step = Step::Open;
        if ready.socket {
            step = self.receive(waits);
        }
        if step == Step::Open && ready.bell {
            step = self.touch(waits, &mut |link, driver| link.cue(Cue::Woken, driver));
        }
        if step == Step::Open && self.look_at.is_some_and(|at| at <= now) {
            step = self.deadline_passed(waits, now);
        }
        step
    }

    /// Receives once, where input is wanted, and feeds what came.
    fn receive(&mut self, waits: &mut impl Waits) -> Step {
        let is_lingering = self.stage == Stage::Lingering;
        let mut desk = self.desk.borrow_mut();
        let Desk { shared, kernel, input, .. } = &mut *desk;
        let mut received = Received::Nothing;
        if is_lingering || self.link.wants_input() {
            received = transport::receive(kernel, self.socket, input);
            if received.is_short(input.len(), waits.has_ended()) {
                waits.exhausted(Direction::Read);
            }
        }
        match received {
            Received::Dead => Step::Over,
            Received::End if is_lingering => Step::Over,
            Received::Bytes(_) | Received::Nothing if is_lingering => Step::Open,
            Received::End => {
                drop(desk);
                self.touch(waits, &mut |link, driver| link.end_of_input(driver))
            }
            Received::Nothing => {
                drop(desk);
                self.touch(waits, &mut |_, _| ()) // There is room for more to be sent.
            }
            Received::Bytes(count) => {
                shared.tally.count_bytes(count as u64, 0);
                self.has_received = true;
                let input = std::mem::take(input);
                drop(desk);
                let step = self.touch(waits, &mut |link, driver| link.feed(&input[..count], driver));
                self.desk.borrow_mut().input = input;
                step
            }
        }
    }

    /// Lets `act` happen to the connection, then sends what its link says, and notes what it waits for.
    // `dyn`, so that all this is there once for each way to wait.
    fn touch(&mut self, waits: &mut impl Waits, act: &mut dyn FnMut(&mut Link, &mut Driver<'_>)) -> Step {
        if self.stage == Stage::Lingering {
            return Step::Open;
        }
        let mut desk = self.desk.borrow_mut();
        let Desk { shared, kernel, outbox, now, .. } = &mut *desk;
        let Connection { socket, link, sending, deadline, look_at, .. } = self;
        debug_assert!(outbox.queued() == 0, "the lent outbox came back empty");
        let mut held = sending.take();
        let out = held.as_mut().map_or(&mut *outbox, |sending| &mut sending.outbox);
        let waker = || waits.waker();
        let mut driver = Driver { now: *now, out, deadline: None, waker: &waker };
        let budget_max = shared.limits.send_bytes_per_turn_max;
        let mut budget = budget_max;
        let settled = catch_unwind(AssertUnwindSafe(|| {
            act(link, &mut driver);
            transport::settle(kernel, *socket, link, &mut driver, &mut budget)
        }));
        let (wish, has_more) = (driver.deadline, driver.out.queued() > 0);
        let (sent, now) = (budget_max - budget, now.monotonic);
        shared.tally.count_bytes(0, sent);
        if let Ok(Settled::Open { is_blocked: true }) = settled {
            waits.exhausted(Direction::Write);
        }
        let step = match settled {
            Ok(Settled::Open { .. }) => Step::Open,
            Ok(Settled::Said) => Step::Linger,
            Ok(Settled::Over) => Step::Over,
            Err(_) => {
                shared.note_panic(now);
                Step::Over
            }
        };
        if step != Step::Open {
            outbox.clear(); // What it could not send is not the next one's to send.
            return step;
        }
        *deadline = wish.unwrap_or(*deadline);
        match (has_more, held) {
            (false, held) => {
                if held.is_some() || wish.is_some() {
                    *look_at = deadline.passes_at(now);
                }
            }
            // It is looked at when it would have been: what came meanwhile is seen then.
            (true, Some(mut held)) => {
                if sent > 0 {
                    held.pace.note_sent(sent, now);
                }
                *sending = Some(held);
            }
            (true, None) => {
                let pace = Pace::new(now, kernel.unacknowledged(*socket));
                *sending = Some(Box::new(Sending { outbox: std::mem::take(outbox), pace }));
                *look_at = now.checked_add(shared.limits.rate_min_of(link).first_look(shared.limits.send_timeout));
            }
        }
        Step::Open
    }

    /// The protocol's deadline, or the time to look how fast its peer takes what waits, or the end of the patience with one that is to close.
    fn deadline_passed(&mut self, waits: &mut impl Waits, now: Instant) -> Step {
        if self.stage == Stage::Lingering {
            return Step::Over;
        }
        self.look_at = None;
        let Some(sending) = &mut self.sending else {
            self.deadline = Deadline::Never;
            return self.touch(waits, &mut |link, driver| link.cue(Cue::DeadlinePassed, driver));
        };
        let Desk { shared, kernel, .. } = &mut *self.desk.borrow_mut();
        sending.pace.look(kernel.unacknowledged(self.socket), now);
        self.look_at = sending.pace.ends_at(shared.limits.send_timeout, shared.limits.rate_min_of(&self.link));
        if self.look_at.is_some_and(|at| at <= now) {
            kernel.reset_on_close(self.socket); // Else the kernel would keep megabytes for it for minutes, in its own hope.
            return Step::Over;
        }
        Step::Open
    }

    /// All is said: shuts the sending side, then waits for the peer to close, unless it has.
    fn begin_to_linger(&mut self) -> Step {
        let desk = &mut *self.desk.borrow_mut();
        if self.link.has_ended() || desk.kernel.shutdown_write(self.socket).is_err() {
            return Step::Over;
        }
        self.stage = Stage::Lingering;
        self.sending = None;
        self.look_at = desk.now.monotonic.checked_add(desk.shared.limits.linger_timeout);
        Step::Open
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        let desk = &mut *self.desk.borrow_mut();
        let mut out = Outbox::default(); // What it says now reaches nobody.
        let mut driver = Driver { now: desk.now, out: &mut out, deadline: None, waker: &|| Waker::noop().clone() };
        if !self.link.close(&mut driver) {
            desk.shared.note_panic(desk.now.monotonic);
        }
        desk.count_calls();
        desk.shared.tally.leave();
        if let Some(ticket) = self.ticket {
            desk.shared.note_left(ticket);
        }
    }
}
