//! Files beneath a directory: opening them by openat2(2) and openat(2), looking at them by name, and changing what is there.

use super::{cvt, cvt_len};
use std::cell::Cell;
use std::ffi::CStr;
use std::fs::{File, Metadata};
use std::io;
use std::mem::size_of;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How a name beneath a directory is opened. Neither way waits (a FIFO without a writer) nor takes a terminal as the process's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenHow {
    /// `O_RDONLY`: a file or directory to read.
    Read,
    /// `O_PATH | O_DIRECTORY`: a directory to go on from.
    Directory,
    /// `O_RDONLY | O_DIRECTORY`: a directory to change and to sync, which `O_PATH` can't be.
    Folder,
}

impl OpenHow {
    fn flags(self) -> libc::c_int {
        match self {
            OpenHow::Read => libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY,
            // openat2 refuses what O_PATH has no use for.
            OpenHow::Directory => libc::O_PATH | libc::O_CLOEXEC | libc::O_DIRECTORY,
            OpenHow::Folder => libc::O_RDONLY | libc::O_CLOEXEC | libc::O_DIRECTORY,
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

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFREG
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its number on its device.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// mtime; 1970 where it was before.
    pub fn modified(&self) -> SystemTime {
        since_1970(self.modified)
    }

    /// ctime, which can't be set by hand; 1970 where it was before.
    pub fn changed(&self) -> SystemTime {
        since_1970(self.changed)
    }

    /// Whether both are the same file or directory, whatever became of it.
    pub fn is_same(&self, other: &FileState) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

fn since_1970((second, nanosecond): (i64, i64)) -> SystemTime {
    let nanosecond = u32::try_from(nanosecond).unwrap_or(0);
    UNIX_EPOCH + u64::try_from(second).map_or(Duration::ZERO, |second| Duration::new(second, nanosecond))
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

/// openat(2) of a `name` in `directory` that nothing has yet (EEXIST), to write, with the permissions that the umask leaves.
pub fn create_file(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<File> {
    count_open();
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let mode: libc::mode_t = 0o666;
    // SAFETY: `name` is NUL-terminated and outlives the call; the new descriptor is ours alone.
    Ok(unsafe { File::from_raw_fd(cvt(libc::openat(directory.as_raw_fd(), name.as_ptr(), flags, mode))?) })
}

/// mkdirat(2) of a `name` in `directory`, with the permissions that the umask leaves.
pub fn create_directory(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    // SAFETY: `name` is NUL-terminated and outlives the call.
    cvt(unsafe { libc::mkdirat(directory.as_raw_fd(), name.as_ptr(), 0o777) }).map(drop)
}

/// unlinkat(2) of a file, or whatever is no directory. A link itself goes, never what it leads to.
pub fn remove_file(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    // SAFETY: `name` is NUL-terminated and outlives the call.
    cvt(unsafe { libc::unlinkat(directory.as_raw_fd(), name.as_ptr(), 0) }).map(drop)
}

/// unlinkat(2) of a directory, which is empty (ENOTEMPTY).
pub fn remove_directory(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    // SAFETY: `name` is NUL-terminated and outlives the call.
    cvt(unsafe { libc::unlinkat(directory.as_raw_fd(), name.as_ptr(), libc::AT_REMOVEDIR) }).map(drop)
}

/// Whether what has a name already gives way to what is renamed to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// `RENAME_NOREPLACE`: EEXIST. EINVAL where the file system does not know that.
    Never,
    /// In one step: who opens the name gets the old or the new.
    Always,
}

/// renameat2(2) of a name in one directory to a name in another, or the same. Links are renamed and replaced themselves.
pub fn rename(from: (BorrowedFd<'_>, &CStr), to: (BorrowedFd<'_>, &CStr), replace: Replace) -> io::Result<()> {
    let flags = match replace {
        Replace::Never => libc::RENAME_NOREPLACE,
        Replace::Always => 0,
    };
    let ((from_directory, from), (to_directory, to)) = (from, to);
    // SAFETY: both names are NUL-terminated and outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            from_directory.as_raw_fd(),
            from.as_ptr(),
            to_directory.as_raw_fd(),
            to.as_ptr(),
            flags,
        )
    };
    cvt_len(result as libc::ssize_t).map(drop)
}

/// sync_file_range(2): has these bytes of a file written out, and waits for that. What they lie in is not synced, nor what says where.
///
/// # Errors
/// What the disk said, once for this open file: fsync(2) does not say it again.
pub fn write_out(file: BorrowedFd<'_>, range: Range<u64>) -> io::Result<()> {
    let all = libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    let (offset, length) = (range.start.cast_signed(), (range.end - range.start).cast_signed());
    // SAFETY: no pointers.
    cvt(unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, all) }).map(drop)
}

/// flock(2) for this open file alone, until it is closed; EWOULDBLOCK where another has it.
pub fn try_lock(file: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no pointers.
    cvt(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }).map(drop)
}
