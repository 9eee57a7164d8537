//! The system calls this project makes, as typed and safe functions: descriptors in as [`BorrowedFd`], results out as [`io::Result`].
//!
//! Invariant: every `unsafe` block and every use of `libc` in the project stands in this folder (`tests/tidy.rs` looks). Nothing here
//! has a policy: no retry, no loop, no state but the signal handler's descriptor and counts of calls.
//!
//! [`BorrowedFd`]: std::os::fd::BorrowedFd

mod cores;
mod fork;
mod fs;
mod kernel;
mod memory;
mod net;
mod output;
mod process;
mod refused;
mod user;
mod wait;

pub use cores::{CpuTime, Whose, allowed_cores, cpu_time, pin};
pub use fork::{
    Ended, Forked, SoleThread, child_signal, clear_child_signal, exit_now, fork, ignore_children, reap, reap_one,
};
pub use fs::{
    DirectoryEntries, DirectoryEntry, EntryKind, FileCalls, FileState, LastLink, OpenHow, Replace, create_directory,
    create_file, file_calls, open_beneath, open_component, open_directory, open_following, read_directory,
    remove_directory, remove_file, rename, state_of, try_lock, write_out,
};
pub use kernel::{Calls, Kernel, Linux};
pub use memory::SharedNumbers;
pub use net::{
    abort_on_close, accept, bar_entry, connect, discard, is_of_new_connection, keep_alive, listen, receive, send,
    send_file, set_buffers, shutdown_write, stop_listening,
};
pub use output::{LocalTime, PIPE_BUF, is_writable, local_time, reopen_to_write};
pub use process::{
    EventFd, Signal, forward_signals, is_no_file, is_open, is_out_of_resources, raise_descriptor_limit,
    set_descriptor_limit, signal_thread,
};
pub use refused::{EPERM, refused_calls, try_refused_calls};
pub use user::{User, become_user, is_root, user_named};
pub use wait::{
    EBADF, EPOLLERR, EPOLLET, EPOLLEXCLUSIVE, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, EpollChange, POLLERR, POLLHUP,
    POLLIN, POLLNVAL, POLLOUT,
};
pub use wait::{epoll_create, epoll_ctl, epoll_event, epoll_wait, poll, pollfd, select};

use std::io;

/// The result of a call that says "failed" with −1 and why in `errno`.
fn cvt(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// As [`cvt`], for calls that return how many bytes they moved.
fn cvt_len(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
