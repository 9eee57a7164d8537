//! Runs each fact on every backend.

/// Makes of each `fn fact(strategy: Strategy)` four tests: `select::fact`, `poll::fact`, `epoll::fact`, `epoll_edge::fact`.
macro_rules! on_every_backend {
    ($($fact:ident),+ $(,)?) => {
        mod select { $(#[test] fn $fact() { super::$fact(tripoll::poller::Strategy::ALL[0]) })+ }
        mod poll { $(#[test] fn $fact() { super::$fact(tripoll::poller::Strategy::ALL[1]) })+ }
        mod epoll { $(#[test] fn $fact() { super::$fact(tripoll::poller::Strategy::ALL[2]) })+ }
        mod epoll_edge { $(#[test] fn $fact() { super::$fact(tripoll::poller::Strategy::ALL[3]) })+ }
    };
}
pub(crate) use on_every_backend;
