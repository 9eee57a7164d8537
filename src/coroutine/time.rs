//! Sleeping, and an end to waiting.

use super::executor::Core;
use crate::poller::Token;
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
    let core = Core::current();
    let token = core.fall_asleep(time);
    Sleep { core, token }
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
