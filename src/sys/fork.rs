//! Processes: fork(2), _exit(2), waitpid(2), and what becomes of children that end.

use super::cvt;
use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// That this process has one thread. Whoever holds it starts no other.
///
/// A fork copies the thread that calls it and no other: what those held locked would stay locked in the child.
#[derive(Debug)]
pub struct SoleThread(());

impl SoleThread {
    /// Looks into /proc; where there is none, it is believed.
    ///
    /// # Errors
    /// Where there are others.
    pub fn new() -> io::Result<SoleThread> {
        match std::fs::read_dir("/proc/self/task").map(Iterator::count) {
            Ok(2..) => Err(io::Error::other("a process that has other threads can't be forked")),
            Ok(_) | Err(_) => Ok(SoleThread(())),
        }
    }
}

/// Who comes back from a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forked {
    /// The one that called; the other has this id.
    Parent(u32),
    /// The new one. It ends by [`exit_now`], and never comes back into what its parent was doing.
    Child,
}

/// fork(2). The child ignores SIGINT and SIGTERM, from its first instruction on: both often go to a whole group of processes, and it is for the
/// parent to tell its children. SIGCHLD means nothing special to it.
pub fn fork(_: &SoleThread) -> io::Result<Forked> {
    let before = change_mask(libc::SIG_BLOCK, &[libc::SIGINT, libc::SIGTERM])?;
    // SAFETY: the process has one thread (the parameter says so), so the child is a whole copy of it.
    let forked = cvt(unsafe { libc::fork() });
    if let Ok(0) = forked {
        // Its parent's code is not for it to go on in, whatever happens.
        return if settle_child(&before).is_ok() { Ok(Forked::Child) } else { exit_now(1) };
    }
    set_mask(&before)?;
    Ok(Forked::Parent(forked? as u32))
}

fn settle_child(before: &libc::sigset_t) -> io::Result<()> {
    set_disposition(libc::SIGINT, libc::SIG_IGN)?;
    set_disposition(libc::SIGTERM, libc::SIG_IGN)?;
    set_disposition(libc::SIGCHLD, libc::SIG_DFL)?;
    set_mask(before)?;
    change_mask(libc::SIG_UNBLOCK, &[libc::SIGCHLD]).map(drop)
}

/// _exit(2): ends this process without what exit(3) does, which is its parent's to do.
pub fn exit_now(code: u8) -> ! {
    // SAFETY: no pointers; it does not return.
    unsafe { libc::_exit(code.into()) }
}

/// A child that ended, and is a zombie no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Which.
    pub pid: u32,
    /// What it said with [`exit_now`]; `None` where a signal ended it, so that it did nothing of what is done at the end.
    pub code: Option<i32>,
}

/// waitpid(2) of any child, without waiting: `None` where none has ended, or there is none.
pub fn reap() -> io::Result<Option<Ended>> {
    match wait(-1, libc::WNOHANG) {
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(None),
        ended => ended,
    }
}

/// waitpid(2) of this child: waits until it ends.
pub fn reap_one(pid: u32) -> io::Result<Ended> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::ErrorKind::InvalidInput)?;
    loop {
        match wait(pid, 0) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            ended => return ended.map(|ended| ended.expect("it waits until there is one")),
        }
    }
}

fn wait(pid: libc::pid_t, options: libc::c_int) -> io::Result<Option<Ended>> {
    let mut status = 0;
    // SAFETY: `status` is ours and outlives the call; the kernel writes that one int.
    let pid = cvt(unsafe { libc::waitpid(pid, &mut status, options) })?;
    Ok((pid > 0).then(|| Ended { pid: pid as u32, code: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)) }))
}

/// From now on children that end leave nothing to wait for: SIGCHLD ignored (sigaction(2), notes).
pub fn ignore_children() -> io::Result<()> {
    set_disposition(libc::SIGCHLD, libc::SIG_IGN)
}

/// SIGCHLD as a descriptor, and no other way from now on: signalfd(2), readable when a child has ended.
pub fn child_signal() -> io::Result<OwnedFd> {
    let signals = [libc::SIGCHLD];
    change_mask(libc::SIG_BLOCK, &signals)?;
    let set = set_of(&signals);
    // SAFETY: `set` is readable and outlives the call; on success the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(cvt(libc::signalfd(-1, &set, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC))?) })
}

/// Makes a [`child_signal`] unreadable until the next child ends. Several that ended together may be one signal (signal(7)).
pub fn clear_child_signal(signal: BorrowedFd<'_>) {
    // SAFETY: signalfd_siginfo is plain data for which all-zero is valid.
    let mut info: libc::signalfd_siginfo = unsafe { zeroed() };
    // SAFETY: `info` is ours and writable for its size; what is read into it nobody needs.
    unsafe { libc::read(signal.as_raw_fd(), std::ptr::from_mut(&mut info).cast(), size_of_val(&info)) };
}

fn set_of(signals: &[libc::c_int]) -> libc::sigset_t {
    // SAFETY: sigset_t is plain data, and sigemptyset makes whatever it was the empty set.
    let mut set: libc::sigset_t = unsafe { zeroed() };
    for signal in signals {
        // SAFETY: `set` is ours, and the kernel's numbers are valid.
        unsafe { libc::sigaddset(&mut set, *signal) };
    }
    set
}

/// sigprocmask(2), of a process of one thread or of the calling thread: what it was before.
fn change_mask(how: libc::c_int, signals: &[libc::c_int]) -> io::Result<libc::sigset_t> {
    let (set, mut before) = (set_of(signals), set_of(&[]));
    // SAFETY: both sets are ours and outlive the call.
    match unsafe { libc::pthread_sigmask(how, &set, &mut before) } {
        0 => Ok(before),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

fn set_mask(set: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: `set` outlives the call.
    match unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, set, std::ptr::null_mut()) } {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// sigaction(2): what the kernel does with `signal` by itself.
fn set_disposition(signal: libc::c_int, disposition: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: sigaction is plain data for which all-zero is "no flags, empty mask".
    let mut action: libc::sigaction = unsafe { zeroed() };
    action.sa_sigaction = disposition;
    // SAFETY: `action` is readable and outlives the call; SIG_IGN and SIG_DFL are no handlers of ours.
    cvt(unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) }).map(drop)
}
