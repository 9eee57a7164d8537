//! A task: a future, and what became of it.
//!
//! Invariant: a future is polled by nobody but its task, which lets go of it as soon as its end is known.

use super::executor::Core;
use super::time::timeout;
use crate::poller::Token;
use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// A task as the executor sees it.
pub trait Resume {
    /// Lets it go on until it waits: whether it is over. It does not panic.
    fn resume(&self, cx: &mut Context<'_>) -> bool;
    /// Ends it where it stands, if it goes on. It does not panic.
    fn cancel(&self);
}

/// A task as those see it who wait for what it brings.
trait Join<T>: Resume {
    fn end(&self) -> &RefCell<End<T>>;
}

struct Task<F: Future> {
    /// `None` while it is resumed, and when it is over.
    future: RefCell<Option<Pin<Box<F>>>>,
    end: RefCell<End<F::Output>>,
}

/// What is known of a task's end.
enum End<T> {
    /// It goes on; who is to be woken when it does not.
    Ahead(Option<Waker>),
    /// Nobody took what it brought yet.
    Known(Result<T, Failed>),
    /// Somebody did.
    Taken,
}

/// Why a task brought nothing.
pub enum Failed {
    /// It panicked; with what it was told, which [`resume_unwind`](std::panic::resume_unwind) would pass on.
    Panicked(Box<dyn Any + Send>),
    /// It was [cancelled](JoinHandle::cancel), or its executor ended.
    Cancelled,
}

/// Waits for a task: a future of what it returns. Dropped, it leaves the task to go on.
pub struct JoinHandle<T> {
    task: Rc<dyn Join<T>>,
    core: Rc<Core>,
    token: Token,
}

impl<F: Future> Task<F> {
    fn ends(&self, result: Result<F::Output, Failed>) {
        let before = self.end.replace(End::Known(result));
        if let End::Ahead(Some(waker)) = before {
            waker.wake();
        }
    }

    fn is_ahead(&self) -> bool {
        matches!(*self.end.borrow(), End::Ahead(_))
    }
}

impl<F: Future> Resume for Task<F> {
    fn resume(&self, cx: &mut Context<'_>) -> bool {
        let Some(mut future) = self.future.take() else { return true };
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        if matches!(polled, Ok(Poll::Pending)) && self.is_ahead() {
            self.future.replace(Some(future));
            return false;
        }
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(future)));
        match (polled, dropped) {
            (Ok(Poll::Pending), _) => {} // It cancelled itself.
            (Err(payload), _) | (Ok(Poll::Ready(_)), Err(payload)) => self.ends(Err(Failed::Panicked(payload))),
            (Ok(Poll::Ready(output)), Ok(())) => self.ends(Ok(output)),
        }
        true
    }

    fn cancel(&self) {
        let future = self.future.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(future))); // It is gone all the same.
        if self.is_ahead() {
            self.ends(Err(Failed::Cancelled));
        }
    }
}

impl<F: Future> Join<F::Output> for Task<F> {
    fn end(&self) -> &RefCell<End<F::Output>> {
        &self.end
    }
}

impl<T> JoinHandle<T> {
    /// A task that `admit` takes in.
    pub(super) fn new<F: Future<Output = T> + 'static>(
        future: F,
        admit: impl FnOnce(Rc<dyn Resume>) -> (Rc<Core>, Token),
    ) -> JoinHandle<T> {
        let task = Rc::new(Task { future: RefCell::new(Some(Box::pin(future))), end: RefCell::new(End::Ahead(None)) });
        let (core, token) = admit(task.clone());
        JoinHandle { task, core, token }
    }

    /// Whether the task is over.
    pub fn is_finished(&self) -> bool {
        !matches!(*self.task.end().borrow(), End::Ahead(_))
    }

    /// Ends the task where it waits, by dropping its future, unless it is over.
    pub fn cancel(&self) {
        self.task.cancel();
        self.core.forget(self.token);
    }

    /// What the task brought, once it is over. `None` as long as it is not, and when it was taken before.
    pub fn take(&mut self) -> Option<Result<T, Failed>> {
        let mut end = self.task.end().borrow_mut();
        match mem::replace(&mut *end, End::Taken) {
            End::Known(result) => Some(result),
            before => {
                *end = before;
                None
            }
        }
    }

    /// Waits until the task is over, and leaves what it brought where it is.
    pub async fn finished(&mut self) {
        poll_fn(|cx| self.wait(cx)).await;
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let before = match &mut *self.task.end().borrow_mut() {
            End::Ahead(waker) => waker.replace(cx.waker().clone()),
            End::Known(_) | End::Taken => return Poll::Ready(()),
        };
        drop(before); // Nothing is borrowed.
        Poll::Pending
    }
}

/// Waits for all `tasks`, at most `time_max` where that is given, and takes what they brought, in their order. `None`: it is not over, or was
/// taken before. Those that are not over go on.
pub async fn join_all<T>(tasks: &mut [JoinHandle<T>], time_max: Option<Duration>) -> Vec<Option<Result<T, Failed>>> {
    let all = async {
        for task in &mut *tasks {
            task.finished().await;
        }
    };
    match time_max {
        None => all.await,
        Some(time) => _ = timeout(time, all).await, // Who is late is seen below.
    }
    tasks.iter_mut().map(JoinHandle::take).collect()
}

/// Lets every other task that is ready have its turn.
pub async fn yield_now() {
    let mut was_polled = false;
    poll_fn(|cx| match mem::replace(&mut was_polled, true) {
        true => Poll::Ready(()),
        false => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

/// What the task returns, once. Panics where that was taken before.
impl<T> Future for JoinHandle<T> {
    type Output = Result<T, Failed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, Failed>> {
        self.wait(cx).map(|()| self.take().expect("what a task brought is taken once"))
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failed::Cancelled => f.write_str("the task was cancelled"),
            Failed::Panicked(payload) => {
                let text = payload.downcast_ref::<&str>().copied();
                match text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)) {
                    Some(text) => write!(f, "the task panicked: {text}"),
                    None => f.write_str("the task panicked"),
                }
            }
        }
    }
}

impl fmt::Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failed {}
