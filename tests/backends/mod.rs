//! Facts that hold on every backend: each becomes four tests, named `select::…`, `poll::…`, `epoll::…`, `epoll_edge::…`.

/// Makes of each `fn fact(strategy: Strategy)` a test for each strategy.
macro_rules! on_every_backend {
    ($($fact:ident),+ $(,)?) => {
        on_every_backend! { @of select, 0, $($fact),+ }
        on_every_backend! { @of poll, 1, $($fact),+ }
        on_every_backend! { @of epoll, 2, $($fact),+ }
        on_every_backend! { @of epoll_edge, 3, $($fact),+ }
    };
    (@of $backend:ident, $at:literal, $($fact:ident),+) => {
        mod $backend {
            $(#[test] fn $fact() { super::$fact(tripoll::poller::Strategy::ALL[$at]); })+
        }
    };
}
pub(crate) use on_every_backend;
