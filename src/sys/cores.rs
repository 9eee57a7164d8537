//! Cores and what was spent on them: sched_setaffinity(2), sched_getaffinity(2), getrusage(2).

use super::cvt;
use std::io;
use std::mem::{size_of, zeroed};
use std::time::Duration;

/// The cores that this process may run on, by number.
pub fn allowed_cores() -> io::Result<Vec<usize>> {
    // SAFETY: cpu_set_t is an array of bits for which all-zero is "no core".
    let mut set: libc::cpu_set_t = unsafe { zeroed() };
    // SAFETY: `set` is ours and writable for its size; the kernel writes at most that.
    cvt(unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) })?;
    // SAFETY: CPU_ISSET reads one bit, and every number here is below the size of the set.
    let is_allowed = |core: &usize| unsafe { libc::CPU_ISSET(*core, &set) };
    Ok((0..libc::CPU_SETSIZE as usize).filter(is_allowed).collect())
}

/// Lets a process of one thread, or with `None` the calling thread, run on `core` alone.
pub fn pin(process: Option<u32>, core: usize) -> io::Result<()> {
    let process = process.map_or(Ok(0), libc::pid_t::try_from).map_err(|_| io::ErrorKind::InvalidInput)?;
    if core >= libc::CPU_SETSIZE as usize {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: as above.
    let mut set: libc::cpu_set_t = unsafe { zeroed() };
    // SAFETY: CPU_SET writes one bit, whose number was compared with the size of the set.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: `set` is readable for its size; the kernel only reads it.
    cvt(unsafe { libc::sched_setaffinity(process, size_of::<libc::cpu_set_t>(), &set) }).map(drop)
}

/// Whose time is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// All threads of this process, those that ended too.
    Process,
    /// The calling thread.
    Thread,
    /// Processes that this one forked and waited for, and those that they did.
    Children,
}

/// CPU time spent. The sum is exact; how it divides is sampled at each tick of the clock (proc(5)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// In the program.
    pub user: Duration,
    /// In the kernel, on the program's behalf.
    pub system: Duration,
}

impl CpuTime {
    /// Both.
    pub fn total(self) -> Duration {
        self.user + self.system
    }
}

/// getrusage(2): CPU time so far.
pub fn cpu_time(whose: Whose) -> io::Result<CpuTime> {
    let who = match whose {
        Whose::Process => libc::RUSAGE_SELF,
        Whose::Thread => libc::RUSAGE_THREAD,
        Whose::Children => libc::RUSAGE_CHILDREN,
    };
    // SAFETY: rusage is plain numbers, for which all-zero is valid.
    let mut usage: libc::rusage = unsafe { zeroed() };
    // SAFETY: `usage` is ours and outlives the call; the kernel writes it.
    cvt(unsafe { libc::getrusage(who, &mut usage) })?;
    let time = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    Ok(CpuTime { user: time(usage.ru_utime), system: time(usage.ru_stime) })
}
