//! What a server has no need of, given up for good once it listens: files outside its folder, other programs, the machine.
//!
//! Invariant: what is given up stays so, for the thread that enters, and for every thread and process that it starts from then on.
//!
//! ```text
//!   bind ─▶ what else needs files or programs ─▶ enter ─▶ the first thread, run
//!           (a log, a browser)                   │
//!                                                ├─ Landlock: nothing is opened, run, connected to or listened at but what was allowed
//!                                                └─ seccomp:  exec, ptrace, mount, modules … are EPERM (`sys::refused_calls`)
//! ```
//!
//! ```no_run
//! use tripoll::{HttpServer, sandbox::Sandbox};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = HttpServer::new("127.0.0.1:8000", "static").bind()?;
//! let in_force = Sandbox::new().read("static")?.enter()?;
//! println!("{in_force}"); // "sandboxed"
//! server.run()?;
//! # Ok(())
//! # }
//! ```

use crate::sys;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, Errno, PathBeneath, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope, make_bitflags,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::Path;

/// What this was tried with. Kernels that know less refuse what they know of: Linux 5.13 files, 6.2 truncation too, 6.7 connections, 6.10
/// devices, 6.12 abstract sockets and signals.
const LANDLOCK: ABI = ABI::V7;

/// What may be done to what lies beneath a folder that is read: not run.
const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});

/// What may be done to what lies beneath a folder that is written: no devices, no sockets.
const WRITE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    ReadFile | ReadDir | WriteFile | Truncate | MakeReg | MakeDir | RemoveFile | RemoveDir | Refer
});

/// What is still allowed inside. What was opened before stays open, whatever it is.
#[derive(Debug, Default)]
pub struct Sandbox {
    allowed: Vec<(OwnedFd, BitFlags<AccessFs>)>,
}

/// What the kernel had to offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InForce {
    /// Files, connections and signals are restricted.
    pub landlock: bool,
    /// System calls are refused.
    pub seccomp: bool,
}

impl Sandbox {
    /// Nothing may be opened.
    pub fn new() -> Sandbox {
        Sandbox::default()
    }

    /// Lets what lies beneath `folder` be read. It is opened here: what has that name later is another matter.
    ///
    /// # Errors
    /// Where it can't be opened, or is no folder.
    pub fn read(self, folder: impl AsRef<Path>) -> io::Result<Sandbox> {
        self.allow(folder.as_ref(), READ)
    }

    /// Lets what lies beneath `folder` be read and written, made and removed.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn write(self, folder: impl AsRef<Path>) -> io::Result<Sandbox> {
        self.allow(folder.as_ref(), WRITE)
    }

    fn allow(mut self, folder: &Path, access: BitFlags<AccessFs>) -> io::Result<Sandbox> {
        self.allowed.push((sys::open_directory(folder)?, access));
        Ok(self)
    }

    /// Gives up the rest, in this thread and those it starts from now on: threads that are there already go on as they were. What the kernel
    /// does not have is not in force, which is no error.
    ///
    /// Inside, a program can't be run, and nothing can be connected to by TCP or listened at: bind before. Opening what is not allowed
    /// and making what is not writable is `PermissionDenied`.
    ///
    /// # Errors
    /// What a kernel says that has what is needed, and fails.
    pub fn enter(self) -> io::Result<InForce> {
        Ok(InForce { landlock: self.restrict()?, seccomp: filter()? })
    }

    fn restrict(self) -> io::Result<bool> {
        let restricted = || -> Result<_, RulesetError> {
            let mut ruleset = Ruleset::default()
                .handle_access(AccessFs::from_all(LANDLOCK))?
                .handle_access(AccessNet::from_all(LANDLOCK))?
                .scope(Scope::from_all(LANDLOCK))?
                .create()?;
            for (folder, access) in &self.allowed {
                ruleset = ruleset.add_rule(PathBeneath::new(folder, *access))?;
            }
            ruleset.restrict_self()
        };
        let status = restricted().map_err(|error| io::Error::from_raw_os_error(*Errno::from(error)))?;
        Ok(status.ruleset != RulesetStatus::NotEnforced)
    }
}

/// Whether the kernel takes the filter.
fn filter() -> io::Result<bool> {
    let Ok(machine) = std::env::consts::ARCH.try_into() else { return Ok(false) };
    let refused = sys::refused_calls().into_iter().map(|call| (call, Vec::new())).collect();
    let eperm = SeccompAction::Errno(sys::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(refused, SeccompAction::Allow, eperm, machine);
    let program = filter.and_then(BpfProgram::try_from).expect("numbers without conditions, and few enough");
    match seccompiler::apply_filter(&program) {
        Ok(()) => Ok(true),
        Err(seccompiler::Error::Seccomp(error)) if is_lack(&error) => Ok(false),
        Err(seccompiler::Error::Seccomp(error) | seccompiler::Error::Prctl(error)) => Err(error),
        Err(_) => unreachable!("the filter is not empty, and other threads are left alone"),
    }
}

/// Whether it is for want of filters: the kernel has none (ENOSYS, EINVAL), or a container does not let them be made (EPERM, EACCES).
fn is_lack(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::InvalidInput | ErrorKind::PermissionDenied)
}

impl InForce {
    /// Whether all of it is.
    pub fn is_whole(self) -> bool {
        self.landlock && self.seccomp
    }
}

/// As a start line says it.
impl fmt::Display for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.landlock, self.seccomp) {
            (true, true) => "sandboxed",
            (true, false) => "sandboxed by Landlock alone: no seccomp here",
            (false, true) => "sandboxed by seccomp alone: no Landlock here",
            (false, false) => "not sandboxed: neither Landlock nor seccomp here",
        })
    }
}
