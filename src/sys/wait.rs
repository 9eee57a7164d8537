//! The three ways to wait: select(2), poll(2), epoll(7).

use super::cvt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

pub use libc::{EBADF, POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, epoll_event, pollfd};

/// The events of epoll_ctl(2), as the unsigned mask that `epoll_event` carries (libc types them as `int`).
pub const EPOLLIN: u32 = libc::EPOLLIN as u32;
/// See [`EPOLLIN`].
pub const EPOLLOUT: u32 = libc::EPOLLOUT as u32;
/// See [`EPOLLIN`].
pub const EPOLLERR: u32 = libc::EPOLLERR as u32;
/// See [`EPOLLIN`].
pub const EPOLLHUP: u32 = libc::EPOLLHUP as u32;
/// See [`EPOLLIN`].
pub const EPOLLRDHUP: u32 = libc::EPOLLRDHUP as u32;
/// See [`EPOLLIN`].
pub const EPOLLEXCLUSIVE: u32 = libc::EPOLLEXCLUSIVE as u32;
/// See [`EPOLLIN`].
pub const EPOLLET: u32 = libc::EPOLLET as u32;

/// select(2): waits until a descriptor in `read` is readable or one in `write` is writable; the sets then hold only those.
///
/// Bit `b` of word `w` stands for descriptor `w * usize::BITS + b`. libc's `fd_set` ends at 1,024 descriptors, the kernel does not:
/// the sets may be as long as they need to be. Returns how many bits are left set. `timeout` `None` blocks.
///
/// # Panics
/// When a set is too short for `nfds` descriptors.
pub fn select(nfds: usize, read: &mut [usize], write: &mut [usize], timeout: Option<Duration>) -> io::Result<usize> {
    let words = nfds.div_ceil(usize::BITS as usize);
    assert!(words <= read.len() && words <= write.len(), "a set of {words} words is needed");
    let mut timeval = timeout.map(|timeout| libc::timeval {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_usec: timeout.subsec_micros().into(),
    });
    let timeval = timeval.as_mut().map_or(std::ptr::null_mut(), std::ptr::from_mut);
    let nfds = libc::c_int::try_from(nfds).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the kernel reads and writes the first `nfds` bits of each set, rounded up to words, which the assertion above covers;
    // the sets and `timeval` are exclusively ours for the call, and no pointer is kept. glibc's select passes them on as they are.
    let ready = cvt(unsafe {
        libc::select(nfds, read.as_mut_ptr().cast(), write.as_mut_ptr().cast(), std::ptr::null_mut(), timeval)
    })?;
    Ok(ready as usize)
}

/// poll(2): waits until one of `fds` is ready and writes what it is ready for into `revents`. Returns how many are.
///
/// `timeout_ms` −1 blocks. A negative `fd` is passed over.
pub fn poll(fds: &mut [pollfd], timeout_ms: i32) -> io::Result<usize> {
    // SAFETY: `fds` is exclusively ours for the call; the kernel reads and writes `fds.len()` entries and keeps no pointer.
    let ready = cvt(unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout_ms) })?;
    Ok(ready as usize)
}

/// What epoll_ctl(2) is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpollChange {
    /// `EPOLL_CTL_ADD`
    Add,
    /// `EPOLL_CTL_MOD`
    Modify,
    /// `EPOLL_CTL_DEL`
    Delete,
}

/// epoll_create1(2), close-on-exec.
pub fn epoll_create() -> io::Result<OwnedFd> {
    // SAFETY: no pointers; on success the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(cvt(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) })
}

/// epoll_ctl(2): changes what `epoll` watches `fd` for; `data` comes back with each of its events.
///
/// `fd` is a number, not a borrow: a number that is no open descriptor is an error (EBADF), never undefined.
pub fn epoll_ctl(epoll: BorrowedFd<'_>, change: EpollChange, fd: RawFd, events: u32, data: u64) -> io::Result<()> {
    let op = match change {
        EpollChange::Add => libc::EPOLL_CTL_ADD,
        EpollChange::Modify => libc::EPOLL_CTL_MOD,
        EpollChange::Delete => libc::EPOLL_CTL_DEL,
    };
    let mut event = epoll_event { events, u64: data };
    // SAFETY: `event` is a valid epoll_event that outlives the call; the kernel copies it and keeps no pointer.
    cvt(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), op, fd, &mut event) }).map(drop)
}

/// epoll_wait(2): fills `events` from its front and returns how many. `timeout_ms` −1 blocks.
pub fn epoll_wait(epoll: BorrowedFd<'_>, events: &mut [epoll_event], timeout_ms: i32) -> io::Result<usize> {
    let room = libc::c_int::try_from(events.len()).unwrap_or(libc::c_int::MAX);
    // SAFETY: `events` is exclusively ours for the call and writable for `room` entries; the kernel writes at most `room`.
    let ready = cvt(unsafe { libc::epoll_wait(epoll.as_raw_fd(), events.as_mut_ptr(), room, timeout_ms) })?;
    Ok(ready as usize)
}
