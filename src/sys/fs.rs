//! Opening files beneath a directory: openat2(2), openat(2).

use super::{cvt, cvt_len};
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

/// How a name beneath a directory is opened. Neither way waits (a FIFO without a writer) nor takes a terminal as the process's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenHow {
    /// `O_RDONLY`: a file or directory to read.
    Read,
    /// `O_PATH | O_DIRECTORY`: a directory to go on from.
    Directory,
}

impl OpenHow {
    fn flags(self) -> libc::c_int {
        match self {
            OpenHow::Read => libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY,
            // openat2 refuses what O_PATH has no use for.
            OpenHow::Directory => libc::O_PATH | libc::O_CLOEXEC | libc::O_DIRECTORY,
        }
    }
}

/// open(2) of a directory to resolve names beneath (`O_PATH`).
pub fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    use std::os::unix::fs::OpenOptionsExt;
    let options = libc::O_PATH | libc::O_DIRECTORY;
    Ok(std::fs::OpenOptions::new().read(true).custom_flags(options).open(path)?.into())
}

/// openat2(2) of a relative `path`, resolved without ever leaving `directory`: not by `..`, not by a symbolic link (an absolute one
/// leaves), not by a magic link of /proc.
///
/// # Errors
/// EXDEV where the path would leave; EAGAIN where something moved meanwhile (ask again); ENOSYS or EPERM where there is no openat2.
pub fn open_beneath(directory: BorrowedFd<'_>, path: &CStr, how: OpenHow) -> io::Result<File> {
    // SAFETY: open_how is plain integers; all-zero is its documented "nothing asked".
    let mut open_how: libc::open_how = unsafe { std::mem::zeroed() };
    open_how.flags = how.flags() as u64;
    open_how.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS;
    // SAFETY: `path` is NUL-terminated, `open_how` is readable for the size given, and both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            directory.as_raw_fd(),
            path.as_ptr(),
            std::ptr::from_ref(&open_how),
            size_of::<libc::open_how>(),
        )
    };
    let fd = cvt_len(result as libc::ssize_t)?;
    // SAFETY: the call succeeded, so this descriptor is new and nobody else's.
    Ok(unsafe { File::from_raw_fd(fd as libc::c_int) })
}

/// openat(2) of one `name` (no slash) in `directory`, never through a symbolic link (ELOOP): a step of the walk that stands in for
/// openat2 where there is none.
pub fn open_component(directory: BorrowedFd<'_>, name: &CStr, how: OpenHow) -> io::Result<File> {
    let flags = how.flags() | libc::O_NOFOLLOW;
    // SAFETY: `name` is NUL-terminated and outlives the call; the new descriptor is ours alone.
    Ok(unsafe { File::from_raw_fd(cvt(libc::openat(directory.as_raw_fd(), name.as_ptr(), flags))?) })
}
