//! Opening files beneath a directory: openat2(2), openat(2). And looking at them by name: fstatat(2).

use super::{cvt, cvt_len};
use std::cell::Cell;
use std::ffi::CStr;
use std::fs::{File, Metadata};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
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

/// How often files were asked for by name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileCalls {
    /// openat2(2) and openat(2).
    pub open: u64,
    /// fstatat(2).
    pub state: u64,
}

thread_local! {
    static CALLS: Cell<FileCalls> = const { Cell::new(FileCalls { open: 0, state: 0 }) };
}

/// The calls of this thread so far: those of its loop, where it runs one.
pub fn file_calls() -> FileCalls {
    CALLS.get()
}

fn count_open() {
    let calls = CALLS.get();
    CALLS.set(FileCalls { open: calls.open + 1, ..calls });
}

fn count_state() {
    let calls = CALLS.get();
    CALLS.set(FileCalls { state: calls.state + 1, ..calls });
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
    count_open();
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

/// openat(2) of a relative `path`, through links wherever they lead, to read. As little as the others it waits.
pub fn open_following(directory: BorrowedFd<'_>, path: &CStr) -> io::Result<File> {
    count_open();
    // SAFETY: `path` is NUL-terminated and outlives the call; the new descriptor is ours alone.
    Ok(unsafe { File::from_raw_fd(cvt(libc::openat(directory.as_raw_fd(), path.as_ptr(), OpenHow::Read.flags()))?) })
}

/// What tells one state of one file from all others, as far as the kernel's clock does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileState {
    device: u64,
    inode: u64,
    mode: u32,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<&Metadata> for FileState {
    fn from(metadata: &Metadata) -> FileState {
        FileState {
            device: metadata.dev(),
            inode: metadata.ino(),
            mode: metadata.mode(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl FileState {
    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFDIR
    }

    /// Whether both are the same file or directory, whatever became of it.
    pub fn is_same(&self, other: &FileState) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// Whether the last name of a path is followed where it is a symbolic link. Those before are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum LastLink {
    Follow,
    Show,
}

/// fstatat(2) of a relative `path`.
pub fn state_of(directory: BorrowedFd<'_>, path: &CStr, last_link: LastLink) -> io::Result<FileState> {
    count_state();
    let flags = match last_link {
        LastLink::Follow => 0,
        LastLink::Show => libc::AT_SYMLINK_NOFOLLOW,
    };
    // SAFETY: stat is plain data for which all-zero is valid.
    let mut stat: libc::stat64 = unsafe { std::mem::zeroed() };
    // SAFETY: `path` is NUL-terminated, `stat` is writable, and both outlive the call.
    cvt(unsafe { libc::fstatat64(directory.as_raw_fd(), path.as_ptr(), &mut stat, flags) })?;
    Ok(FileState {
        device: stat.st_dev,
        inode: stat.st_ino,
        mode: stat.st_mode,
        size: stat.st_size.try_into().unwrap_or(0),
        modified: (stat.st_mtime, stat.st_mtime_nsec),
        changed: (stat.st_ctime, stat.st_ctime_nsec),
    })
}

/// What an entry of a directory is, links not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum EntryKind {
    File,
    Folder,
    Link,
    Other,
}

/// An entry of a directory.
#[derive(Debug, Clone)]
pub struct DirectoryEntry {
    /// As it is on disk: any bytes but a slash and NUL.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Bytes.
    pub size: u64,
    /// The last change of its content: seconds since 1970, 0 where that was before.
    pub changed: u64,
}

/// readdir(3) and fstatat(2) of everything in `directory` but `.` and `..`; what vanishes meanwhile is left out.
pub fn read_directory(directory: BorrowedFd<'_>) -> io::Result<Vec<DirectoryEntry>> {
    // A stream of its own, from its own position at the beginning.
    let stream_fd = open_component(directory, c".", OpenHow::Read)?;
    // SAFETY: the descriptor is open; where that succeeds it is the stream's, and closedir below closes it.
    let stream = unsafe { libc::fdopendir(stream_fd.as_raw_fd()) };
    if stream.is_null() {
        return Err(io::Error::last_os_error()); // It stayed ours, and is closed here.
    }
    let _ = std::os::fd::IntoRawFd::into_raw_fd(stream_fd);
    let mut entries = Vec::new();
    let result = loop {
        // SAFETY: errno is this thread's own; `stream` is open. The entry is valid until the next readdir, its name NUL-terminated.
        let entry = unsafe {
            *libc::__errno_location() = 0;
            libc::readdir(stream)
        };
        if entry.is_null() {
            let error = io::Error::last_os_error();
            break if error.raw_os_error() == Some(0) { Ok(entries) } else { Err(error) };
        }
        // SAFETY: as above; what is needed is copied before the next readdir.
        let name = unsafe { CStr::from_ptr((*entry).d_name.as_ptr()) };
        if name != c"." && name != c".." {
            match stat_entry(directory, name) {
                Ok(entry) => entries.extend(entry),
                Err(error) => break Err(error),
            }
        }
    };
    // SAFETY: it is open and used no more.
    unsafe { libc::closedir(stream) };
    result
}

/// fstatat(2) without following a link; `None` where it is gone, or not to be asked. Other errors are errors: a list that is short of what
/// could not be read for want of memory would be taken for the whole.
fn stat_entry(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<Option<DirectoryEntry>> {
    count_state();
    // SAFETY: stat is plain data for which all-zero is valid.
    let mut stat: libc::stat64 = unsafe { std::mem::zeroed() };
    // SAFETY: `name` is NUL-terminated, `stat` is writable, and both outlive the call.
    let result = unsafe { libc::fstatat64(directory.as_raw_fd(), name.as_ptr(), &mut stat, libc::AT_SYMLINK_NOFOLLOW) };
    match cvt(result) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            return Ok(None);
        }
        result => result?,
    };
    let kind = match stat.st_mode & libc::S_IFMT {
        libc::S_IFREG => EntryKind::File,
        libc::S_IFDIR => EntryKind::Folder,
        libc::S_IFLNK => EntryKind::Link,
        _ => EntryKind::Other,
    };
    let (size, changed) = (stat.st_size.try_into().unwrap_or(0), stat.st_mtime.try_into().unwrap_or(0));
    Ok(Some(DirectoryEntry { name: name.to_bytes().to_vec(), kind, size, changed }))
}

/// openat(2) of one `name` (no slash) in `directory`, never through a symbolic link (ELOOP): a step of the walk that stands in for
/// openat2 where there is none.
pub fn open_component(directory: BorrowedFd<'_>, name: &CStr, how: OpenHow) -> io::Result<File> {
    count_open();
    let flags = how.flags() | libc::O_NOFOLLOW;
    // SAFETY: `name` is NUL-terminated and outlives the call; the new descriptor is ours alone.
    Ok(unsafe { File::from_raw_fd(cvt(libc::openat(directory.as_raw_fd(), name.as_ptr(), flags))?) })
}
