//! Sleeping, and an end to waiting.

use super::executor::Core;
use crate::poller::Token;
use crate::protocol::Deadline;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// A time that passes, from when it was made.
pub struct Sleep {
    core: Rc<Core>,
    token: Token,
}

/// The time was over first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedOut;

/// Waits for `time` at least, counted from this call.
///
/// # Panics
/// Outside [`run`](super::run).
pub fn sleep(time: Duration) -> Sleep {
    Sleep::until(Deadline::After(time))
}

/// Waits for `future`, `time_max` at most; then it is dropped where it stands.
///
/// # Errors
/// [`TimedOut`]. What is done is done, even where the time is over too.
///
/// # Panics
/// Outside [`run`](super::run).
pub async fn timeout<F: Future>(time_max: Duration, future: F) -> Result<F::Output, TimedOut> {
    let (mut future, mut sleep) = (pin!(future), sleep(time_max));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => Pin::new(&mut sleep).poll(cx).map(|()| Err(TimedOut)),
    })
    .await
}

impl Sleep {
    /// Panics outside [`run`](super::run).
    pub(crate) fn until(deadline: Deadline) -> Sleep {
        let core = Core::current();
        let token = core.fall_asleep(deadline);
        Sleep { core, token }
    }

    /// Sleeps until then instead, whether it is over or not. A task that sleeps [idly](Deadline::Idle) may be ended for others' sake.
    pub(crate) fn reset(&mut self, deadline: Deadline) {
        self.core.forget_sleep(self.token);
        self.token = self.core.fall_asleep(deadline);
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.core.is_asleep(self.token, cx.waker()) { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.core.forget_sleep(self.token);
    }
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time is over")
    }
}

impl std::error::Error for TimedOut {}
