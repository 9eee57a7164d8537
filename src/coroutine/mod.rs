//! Coroutines: `async` tasks on one thread, over the same [`Poller`](crate::poller::Poller) as the reactor, by an executor of a few hundred
//! lines.
//!
//! ```no_run
//! use tripoll::coroutine::{self, Listener, Stream};
//! use tripoll::poller::Strategy;
//!
//! async fn echo(stream: Stream) -> std::io::Result<()> {
//!     let mut bytes = [0; 4096];
//!     loop {
//!         match stream.read(&mut bytes).await? {
//!             0 => return Ok(()),
//!             count => stream.write_all(&bytes[..count]).await?,
//!         }
//!     }
//! }
//!
//! fn main() -> std::io::Result<()> {
//!     coroutine::run(Strategy::ALL[2], async {
//!         let listener = Listener::bind(([127, 0, 0, 1], 7000).into())?;
//!         loop {
//!             let (stream, _peer) = listener.accept().await?;
//!             coroutine::spawn(echo(stream));
//!         }
//!     })?
//! }
//! ```
//!
//! It reads as a server that has a thread for each connection, and there is one thread: what greenlet and gevent give Python. There a
//! coroutine has a stack of its own, and a switch exchanges stacks. Here the compiler makes of each `async fn` a state machine that holds
//! what lives across its `await`s, and a switch is a return and a call.
//!
//! # How a coroutine yields, and is resumed
//!
//! ```text
//!   task                     Stream                      executor                    poller
//!    │ read(..).await          │                            │                          │
//!    ├────────────────────────▶│ recv(2): EAGAIN            │                          │
//!    │                         │ leaves its Waker with the  │                          │
//!    │                         │ source, widens interest ───┼─────────────────────────▶│
//!    │◀─────── Pending ────────┤                            │                          │
//!    ├──────────────── Pending: the switch ────────────────▶│ others are resumed, then │
//!    │                                                      ├─ wait ──────────────────▶│ ⋮
//!    │                                                      │◀──────────── readable ───┤
//!    │                                                      │ takes the Waker, narrows interest, wakes it:
//!    │                                                      │ the task is in the queue of the ready again
//!    │◀───────────────────── poll: the switch back ─────────┤
//!    ├────────────────────────▶│ recv(2): 42 bytes          │
//!    │◀────── Ready(42) ───────┤                            │
//! ```
//!
//! 1. An operation first tries. As long as the kernel has what is asked for nobody waits, and nothing is switched (but see 5).
//! 2. At EAGAIN it tells the poller that the descriptor is [exhausted](crate::poller::Poller::exhausted), puts the task's
//!    [`Waker`](std::task::Waker) where the descriptor's events are looked up, makes sure that the poller watches it for that direction, and
//!    returns `Pending`. Every `async fn` above returns the same: control is back in the executor, and all that the task knows stays in
//!    its state machine.
//! 3. The executor resumes whoever is ready. When none is left it waits, by select, poll or epoll, until a descriptor is ready, the nearest
//!    sleep is over, or another thread rings the bell.
//! 4. An event wakes who waits for it. Waking does not resume: it puts the task into a queue, once, however often it is woken. Only the
//!    executor resumes, from one place, so nothing re-enters. The operation tries again: an event is a hint.
//! 5. A task that never has to wait would keep the thread for ever. So each has a share of operations for each time that it is resumed; then
//!    it goes to the end of the queue. One that computes keeps the thread all the same: that is what coroutines can't do.
//!
//! A server under `Model::Coroutines` has no executor beside its loop: its tasks are the loop's guests, on the same thread and by the same poller.
//! Handlers are within [`run`] there, so they may [`spawn`].
//!
//! # What is promised
//!
//! - A task that panics ends alone: whoever joins it is told, the others go on.
//! - Wakers may be used from any thread; so [`Sender::try_send`] and [`protocol::pipe`](crate::protocol::pipe) bring what other threads have
//!   to say. A wake costs a system call only when the executor sleeps.
//! - What is dropped waits no more: [`timeout`] ends an operation by dropping it, [`JoinHandle::cancel`] a task. Bytes that a dropped `write_all` had
//!   sent are sent; a dropped `read` took nothing, a dropped [`send`](Sender::send) sent nothing.
//! - When the future given to [`run`] is done, so are all other tasks: they are dropped where they stand.

mod channel;
mod executor;
mod hosted;
mod ready;
mod socket;
mod task;
mod time;

pub use channel::{Closed, Receiver, Sender, TrySendError, channel};
pub use executor::{counters, run, spawn};
pub(crate) use hosted::Hosted;
pub use socket::{Listener, Stream};
pub use task::{Failed, JoinHandle, join_all, yield_now};
pub use time::{Sleep, TimedOut, sleep, timeout};
