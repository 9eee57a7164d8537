//! The process: descriptor limits, the bell that wakes a loop, signals.

use super::cvt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::thread::JoinHandleExt;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread::JoinHandle;

/// Raises the soft limit of open descriptors (`RLIMIT_NOFILE`) to the hard one and says what it is now.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is ours and outlives the call; the kernel writes it.
    cvt(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: `limit` outlives the call; the kernel only reads it.
        cvt(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    }
    Ok(limit.rlim_cur)
}

/// Sets the soft limit of open descriptors, within the hard one, so that a test can run out of them.
pub fn set_descriptor_limit(soft: u64) -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is ours and outlives both calls; the kernel writes it, then reads it.
    unsafe {
        cvt(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit))?;
        limit.rlim_cur = soft;
        cvt(libc::setrlimit(libc::RLIMIT_NOFILE, &limit)).map(drop)
    }
}

/// Whether `fd` is an open descriptor of this process (fcntl(2), `F_GETFD`).
pub fn is_open(fd: RawFd) -> bool {
    // SAFETY: no pointers; a number that is no descriptor gives EBADF.
    unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
}

/// Whether `error` says that this process (EMFILE) or the system (ENFILE) has no descriptor left, or no memory for one.
pub fn is_out_of_resources(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// Whether `error` says that what was opened is there but no file: a socket (ENXIO), a device without a driver
/// (ENODEV), a link that is not followed (ELOOP).
pub fn is_no_file(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENXIO | libc::ENODEV | libc::ELOOP))
}

/// A counter in the kernel that becomes readable when it is rung: eventfd(2), non-blocking.
#[derive(Debug)]
pub struct EventFd(File);

impl EventFd {
    /// A bell that has not rung.
    pub fn new() -> io::Result<EventFd> {
        // SAFETY: no pointers; on success the descriptor is new and nobody else's.
        let file = unsafe { File::from_raw_fd(cvt(libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC))?) };
        Ok(EventFd(file))
    }

    /// Makes it readable. A full counter (2⁶⁴−2 rings unheard) is as readable as can be, so that error is none.
    pub fn ring(&self) {
        let _ = (&self.0).write(&1u64.to_ne_bytes());
    }

    /// Makes it unreadable until the next ring.
    pub fn clear(&self) {
        let _ = (&self.0).read(&mut [0; 8]);
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The signals that ask a process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C: SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Signal {
    /// Whether it is the signal of that number.
    pub fn has_number(self, number: u8) -> bool {
        self.number() == libc::c_int::from(number)
    }

    fn number(self) -> libc::c_int {
        match self {
            Signal::Interrupt => libc::SIGINT,
            Signal::Terminate => libc::SIGTERM,
        }
    }
}

/// Where the handler writes. −1: nowhere yet.
static FORWARD_TO: AtomicI32 = AtomicI32::new(-1);

/// From now on each of `signals` that arrives puts one byte, its number, into `to`: the self-pipe, so that a loop hears of a signal as
/// it hears of everything else.
///
/// `to` stays open until the process ends: the handler may run at any time.
pub fn forward_signals(signals: &[Signal], to: OwnedFd) -> io::Result<()> {
    FORWARD_TO.store(to.into_raw_fd(), Ordering::Release);
    for signal in signals {
        // SAFETY: sigaction is plain data for which all-zero is "no flags, empty mask".
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = forward as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: `action` is readable and outlives the call; its handler is an `extern "C" fn(c_int)` that calls only what
        // signal-safety(7) allows.
        cvt(unsafe { libc::sigaction(signal.number(), &action, std::ptr::null_mut()) })?;
    }
    Ok(())
}

/// Sends `signal` to one thread (pthread_kill(3)), so that a test sees what a signal does to the call which that thread is in.
pub fn signal_thread<T>(thread: &JoinHandle<T>, signal: Signal) -> io::Result<()> {
    // SAFETY: no pointers; a thread's id stays valid until it is joined or detached, and both need the handle that is borrowed here.
    match unsafe { libc::pthread_kill(thread.as_pthread_t(), signal.number()) } {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// The handler: one write(2), errno left as it was found.
extern "C" fn forward(number: libc::c_int) {
    let byte = number as u8;
    // SAFETY: errno is this thread's own; `byte` is readable for one byte; the descriptor is never closed once it is stored. All of it is
    // async-signal-safe. A full pipe loses the byte, which only repeats what is already in there.
    unsafe {
        let errno = *libc::__errno_location();
        libc::write(FORWARD_TO.load(Ordering::Acquire), std::ptr::from_ref(&byte).cast(), 1);
        *libc::__errno_location() = errno;
    }
}
