//! What a log needs: writing without waiting, and the time on the wall.

use super::wait::{POLLOUT, poll, pollfd};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

/// Bytes that are written to a pipe together or not at all (pipe(7)).
pub const PIPE_BUF: usize = libc::PIPE_BUF;

/// open(2) of what `fd` is open on, once more, to write without waiting. `O_NONBLOCK` belongs to the open file description, and that of
/// stdout is shared with the shell and whoever else it started.
///
/// # Errors
/// What open(2) says: without /proc, or for a socket, there is no such way.
pub fn reopen_to_write(fd: BorrowedFd<'_>) -> io::Result<File> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

/// Whether writing to `fd` would not wait: poll(2) without a timeout.
pub fn is_writable(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut entries = [pollfd { fd: fd.as_raw_fd(), events: POLLOUT, revents: 0 }];
    Ok(poll(&mut entries, 0)? != 0) // An error is writable: writing says which.
}

/// A time as this machine's clocks on the wall show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct LocalTime {
    pub year: i32,
    /// 1 to 12.
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    /// Up to 60: a leap second.
    pub second: u8,
    /// East of Greenwich.
    pub offset_minutes: i32,
}

/// localtime_r(3) of seconds since 1970: by the environment's TZ, or /etc/localtime.
pub fn local_time(seconds: u64) -> LocalTime {
    let time = libc::time_t::try_from(seconds).unwrap_or(libc::time_t::MAX);
    // SAFETY: tm is integers and a pointer, for which all-zero is valid.
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are ours and outlive the call. A time that has no year leaves `tm` as it is: the year 1900.
    unsafe { libc::localtime_r(&time, &mut tm) };
    let small = |number: libc::c_int| u8::try_from(number).unwrap_or(0);
    LocalTime {
        year: tm.tm_year + 1900,
        month: small(tm.tm_mon + 1),
        day: small(tm.tm_mday),
        hour: small(tm.tm_hour),
        minute: small(tm.tm_min),
        second: small(tm.tm_sec),
        offset_minutes: i32::try_from(tm.tm_gmtoff / 60).unwrap_or(0),
    }
}
