//! Runs each fact on every backend.

/// Makes of each `fn fact(strategy: Strategy)`, or of what a strategy can be made, four tests: `select::fact`, `poll::fact`, `epoll::fact`,
/// `epoll_edge::fact`.
macro_rules! on_every_backend {
    ($($fact:ident),+ $(,)?) => {
        mod select { $(#[test] fn $fact() { super::$fact(tripoll::poller::Strategy::ALL[0].into()) })+ }
        mod poll { $(#[test] fn $fact() { super::$fact(tripoll::poller::Strategy::ALL[1].into()) })+ }
        mod epoll { $(#[test] fn $fact() { super::$fact(tripoll::poller::Strategy::ALL[2].into()) })+ }
        mod epoll_edge { $(#[test] fn $fact() { super::$fact(tripoll::poller::Strategy::ALL[3].into()) })+ }
    };
}
pub(crate) use on_every_backend;

/// Makes of each `fn fact(way: Way)` a test on every model but the reactor that can live beside the harness's threads: `iterative::fact`,
/// `threads::fact`, `thread_pool::fact`, `coroutines::fact`. And a list of them, for `tests/forking.rs`.
#[allow(unused_macros)] // Not every test has models.
macro_rules! on_every_threaded_model {
    ($($fact:ident),+ $(,)?) => {
        #[allow(dead_code, missing_docs)] // Only that has models that fork.
        pub const UNDER_MODELS: &[(&str, fn(Way))] = &[$((stringify!($fact), $fact)),+];
        mod iterative { $(#[test] fn $fact() { super::$fact(tripoll::Model::Iterative.into()) })+ }
        mod threads { $(#[test] fn $fact() { super::$fact(tripoll::Model::Threads.into()) })+ }
        mod thread_pool { $(#[test] fn $fact() { super::$fact(tripoll::Model::ThreadPool { workers: 2 }.into()) })+ }
        mod coroutines { $(#[test] fn $fact() { super::$fact(tripoll::Model::Coroutines.into()) })+ }
    };
}
#[allow(unused_imports)]
pub(crate) use on_every_threaded_model;

/// Makes of each `fn fact(way: Way)` the four tests of [`on_every_backend`], and two where tasks on the loop's thread serve: `coroutines::fact`,
/// `coroutines_edge::fact`.
#[allow(unused_macros)] // Not every test has models.
macro_rules! on_every_loop {
    ($($fact:ident),+ $(,)?) => {
        on_every_backend! { $($fact),+ }
        mod coroutines { $(#[test] fn $fact() { super::$fact(super::Way::coroutines(tripoll::poller::Strategy::ALL[2])) })+ }
        mod coroutines_edge { $(#[test] fn $fact() { super::$fact(super::Way::coroutines(tripoll::poller::Strategy::ALL[3])) })+ }
    };
}
#[allow(unused_imports)]
pub(crate) use on_every_loop;
