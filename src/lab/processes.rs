//! The processes of a server that forks, as proc(5) has them.
//!
//! A server and all that it forks are a group of processes. What one that ended has used its parent knows, once it waited for it
//! (getrusage(2), RUSAGE_CHILDREN): so the time of all is that of the parent, of those it waited for, and of those that are there. Times of
//! `stat` are counted in hundredths of a second, which is more than most of them live: `schedstat` has nanoseconds.

use super::machine::kib;
use std::fs;
use std::time::Duration;

/// The processes of the group of `leader`, itself among them.
pub fn group(leader: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers.filter(|process| group_of(*process) == Some(leader)).collect()
}

fn group_of(process: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, behind_name) = text.rsplit_once(") ")?; // The name may be anything.
    behind_name.split(' ').nth(2)?.parse().ok()
}

/// The time that a process of one thread had on a core.
pub fn cpu_time(process: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{process}/schedstat")).unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0))
}

/// Memory of a process: what it wrote to (of what it shares with others its part), and the tables that say where its pages are. The program
/// itself is not in it, of which all servers that run share one copy; nor the kernel's stack for each thread (16 KiB) and what it keeps of sockets.
pub fn memory_bytes(process: u32) -> u64 {
    let read = |name: &str| fs::read_to_string(format!("/proc/{process}/{name}")).unwrap_or_default();
    let (pages, status) = (read("smaps_rollup"), read("status"));
    let figures = [kib(&pages, "Pss_Anon:"), kib(&pages, "Pss_Shmem:"), kib(&status, "VmPTE:")];
    figures.into_iter().flatten().sum()
}
