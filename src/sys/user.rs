//! Whose process this is: getpwnam(3), initgroups(3), setresuid(2).

use super::cvt;
use std::ffi::{CStr, CString};
use std::io;
use std::ptr;

/// Bytes for the texts of one entry of the user database; glibc's own suggestion is 1,024.
const ENTRY_BYTES_MAX: usize = 64 * 1024;

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    name: CString,
    user: libc::uid_t,
    group: libc::gid_t,
}

/// The user of that name, if there is one.
///
/// # Errors
/// Where the database can't be read.
pub fn user_named(name: &str) -> io::Result<Option<User>> {
    let Ok(name) = CString::new(name) else { return Ok(None) };
    // SAFETY: passwd is integers and pointers, for which all-zero is valid.
    let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
    let (mut texts, mut found) = (vec![0; ENTRY_BYTES_MAX], ptr::null_mut());
    // SAFETY: `name` is NUL-terminated; the kernel is not asked: libc writes `entry`, its texts into `texts` within the length given, and
    // `found`, all of which outlive the call.
    let errno = unsafe { libc::getpwnam_r(name.as_ptr(), &mut entry, texts.as_mut_ptr(), texts.len(), &mut found) };
    match errno {
        0 if found.is_null() => Ok(None),
        0 => Ok(Some(User { name, user: entry.pw_uid, group: entry.pw_gid })),
        // Some databases say "not found" so (getpwnam(3)).
        libc::ENOENT | libc::ESRCH => Ok(None),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

impl User {
    /// As the database has it.
    pub fn name(&self) -> &CStr {
        &self.name
    }
}

/// Makes this process `user`'s, for good: its supplementary groups, its group, then its user id, real, effective and saved. What is open
/// stays open.
///
/// # Errors
/// EPERM for whoever is not root.
pub fn become_user(user: &User) -> io::Result<()> {
    // SAFETY: the name is NUL-terminated and outlives the call; the others take no pointers. In this order, since the last gives up the
    // right to the first two.
    unsafe {
        cvt(libc::initgroups(user.name.as_ptr(), user.group))?;
        cvt(libc::setresgid(user.group, user.group, user.group))?;
        cvt(libc::setresuid(user.user, user.user, user.user)).map(drop)
    }
}

/// Whether this process may do what root may.
pub fn is_root() -> bool {
    // SAFETY: no pointers, no errors.
    unsafe { libc::geteuid() == 0 }
}
