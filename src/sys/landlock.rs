//! landlock(7): what a thread, and whatever it starts, can no longer do to files, connections and other processes. libc has the calls'
//! numbers alone; the rest is as linux/landlock.h has it.

use super::cvt;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// What may be done to files, a bit each: `LANDLOCK_ACCESS_FS_*`.
#[allow(missing_docs)] // Each is the header's of its name.
pub mod access {
    pub const WRITE_FILE: u64 = 1 << 1;
    pub const READ_FILE: u64 = 1 << 2;
    pub const READ_DIR: u64 = 1 << 3;
    pub const REMOVE_DIR: u64 = 1 << 4;
    pub const REMOVE_FILE: u64 = 1 << 5;
    pub const MAKE_DIR: u64 = 1 << 7;
    pub const MAKE_REG: u64 = 1 << 8;
    pub const REFER: u64 = 1 << 13;
    pub const TRUNCATE: u64 = 1 << 14;
}

/// `LANDLOCK_CREATE_RULESET_VERSION`: nothing is made, the version is said.
const SAY_VERSION: libc::c_uint = 1;

/// `LANDLOCK_RULE_PATH_BENEATH`
const PATH_BENEATH: libc::c_int = 1;

/// `struct landlock_ruleset_attr`: what is denied where no rule allows it. A kernel takes a longer one than its own where the rest is 0.
#[repr(C)]
struct Handled {
    files: u64,
    network: u64,
    scopes: u64,
}

impl Handled {
    /// All that a kernel of `version` can deny.
    fn all(version: libc::c_long) -> Handled {
        let files = match version {
            ..=1 => 13,
            2 => 14,     // LANDLOCK_ACCESS_FS_REFER
            3 | 4 => 15, // LANDLOCK_ACCESS_FS_TRUNCATE
            5.. => 16,   // LANDLOCK_ACCESS_FS_IOCTL_DEV
        };
        // To bind and to connect TCP; abstract Unix sockets and signals.
        let both_since = |first| if version >= first { 0b11 } else { 0 };
        Handled { files: (1 << files) - 1, network: both_since(4), scopes: both_since(6) }
    }
}

/// `struct landlock_path_beneath_attr`
#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: RawFd,
}

/// What is to be denied, and what not.
#[derive(Debug)]
pub struct Landlock {
    ruleset: OwnedFd,
    files: u64,
}

impl Landlock {
    /// Denies all that this kernel can deny; `None` where it can't deny anything.
    pub fn new() -> io::Result<Option<Landlock>> {
        // SAFETY: asked for its version, the kernel takes no pointer and no size.
        let version =
            unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<Handled>(), 0, SAY_VERSION) };
        if version < 1 {
            return Ok(None); // ENOSYS, EOPNOTSUPP, or what a container says.
        }
        let handled = Handled::all(version);
        // SAFETY: `handled` is readable for its size and outlives the call; the kernel only reads it. What it makes is ours alone.
        let ruleset = unsafe {
            let size = size_of::<Handled>();
            let fd = libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::from_ref(&handled), size, 0);
            OwnedFd::from_raw_fd(cvt(fd as libc::c_int)?)
        };
        Ok(Some(Landlock { ruleset, files: handled.files }))
    }

    /// Allows what `allowed` says to what lies beneath `folder`, as far as it would be denied.
    pub fn allow_beneath(&self, folder: BorrowedFd<'_>, allowed: u64) -> io::Result<()> {
        let rule = PathBeneath { allowed: allowed & self.files, parent: folder.as_raw_fd() };
        let (ruleset, rule) = (self.ruleset.as_raw_fd(), std::ptr::from_ref(&rule));
        // SAFETY: `rule` outlives the call; the kernel reads as much of it as that kind of rule has.
        cvt(unsafe { libc::syscall(libc::SYS_landlock_add_rule, ruleset, PATH_BENEATH, rule, 0) } as libc::c_int)
            .map(drop)
    }

    /// From now on the rest is denied to this thread, which can't gain privileges any more (`PR_SET_NO_NEW_PRIVS`), and to what it starts.
    pub fn restrict_self(self) -> io::Result<()> {
        // SAFETY: no pointers.
        cvt(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
        let ruleset = self.ruleset.as_raw_fd();
        // SAFETY: no pointers.
        cvt(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0) } as libc::c_int).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the kernel's documentation lists them.
    #[test]
    fn no_more_is_asked_of_a_kernel_than_it_knows() {
        for (version, files, network, scopes) in [
            (1, 0x1fff, 0, 0),
            (2, 0x3fff, 0, 0),
            (3, 0x7fff, 0, 0),
            (4, 0x7fff, 3, 0),
            (5, 0xffff, 3, 0),
            (6, 0xffff, 3, 3),
            (9, 0xffff, 3, 3),
        ] {
            let Handled { files: all, network: net, scopes: scoped } = Handled::all(version);
            assert_eq!((all, net, scoped), (files, network, scopes), "version {version}");
        }
    }
}
