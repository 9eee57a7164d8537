//! Where it was measured: what a reader needs to compare with a machine of their own.

use serde::{Deserialize, Serialize};
use std::fs;
use std::time::Duration;
use tripoll::sys;

/// The machine, the kernel, and what of them bears on the figures.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    pub processor: String,
    /// Cores that this process may use.
    pub cores: usize,
    pub kernel: String,
    pub memory: String,
    /// What the kernel does against the processor's faults: it is paid at every system call.
    pub mitigations: String,
    pub descriptors_max: u64,
    pub somaxconn: String,
    pub ports: String,
    pub version: String,
}

impl Machine {
    pub fn look() -> Machine {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().replace('\t', " ");
        let field = |path: &str, name: &str| {
            let text = read(path);
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("unknown");
            line.trim_start_matches([' ', ':']).trim().to_string()
        };
        Machine {
            processor: field("/proc/cpuinfo", "model name"),
            cores: sys::allowed_cores().map_or(1, |cores| cores.len()),
            kernel: read("/proc/version").split(' ').take(3).collect::<Vec<_>>().join(" "),
            memory: field("/proc/meminfo", "MemTotal"),
            mitigations: mitigations(),
            descriptors_max: sys::raise_descriptor_limit().unwrap_or(0),
            somaxconn: read("/proc/sys/net/core/somaxconn"),
            ports: read("/proc/sys/net/ipv4/ip_local_port_range"),
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }

    /// Names and values, in the order of interest.
    pub fn facts(&self) -> [(&'static str, String); 9] {
        [
            ("Processor", self.processor.clone()),
            ("Cores this process may use", self.cores.to_string()),
            ("Kernel", self.kernel.clone()),
            ("Memory", self.memory.clone()),
            ("Mitigations", self.mitigations.clone()),
            ("Descriptors a process may have", self.descriptors_max.to_string()),
            ("Backlog at most (net.core.somaxconn)", self.somaxconn.clone()),
            ("Ports for clients", self.ports.clone()),
            ("tripoll", self.version.clone()),
        ]
    }
}

/// Those that are at work, by name.
fn mitigations() -> String {
    let Ok(faults) = fs::read_dir("/sys/devices/system/cpu/vulnerabilities") else { return "unknown".into() };
    let mut at_work: Vec<String> = faults
        .flatten()
        .filter(|fault| fs::read_to_string(fault.path()).is_ok_and(|text| text.starts_with("Mitigation")))
        .map(|fault| fault.file_name().to_string_lossy().into_owned())
        .collect();
    at_work.sort();
    if at_work.is_empty() { "none".into() } else { at_work.join(", ") }
}

/// How long a process or thread (its name beneath /proc) was ready to run while others did: the second figure of its `schedstat`. Zero
/// where the kernel does not say.
pub fn delayed(process: &str) -> Duration {
    let text = fs::read_to_string(format!("/proc/{process}/schedstat")).unwrap_or_default();
    let nanoseconds = text.split(' ').nth(1).and_then(|second| second.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// How long a core had nothing to do (proc(5), `stat`), to a hundredth of a second.
pub fn idle(core: usize) -> Duration {
    const TICK: Duration = Duration::from_millis(10); // USER_HZ is 100.
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("cpu{core} ")));
    let figures = line.unwrap_or_default().split(' ').map(|figure| figure.parse::<u32>().unwrap_or(0));
    TICK * figures.skip(3).take(2).sum::<u32>() // idle, iowait
}

/// Memory that programs could have, in bytes (proc(5), `meminfo`). `None` where the kernel does not say.
pub fn memory_available() -> Option<u64> {
    kib(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
}

/// What stands behind `name` in a text of proc(5), in bytes.
pub fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The core of the server and that of the generator: one and the same where there is no second.
pub fn cores() -> std::io::Result<(usize, usize)> {
    let cores = sys::allowed_cores()?;
    match (cores.first(), cores.last()) {
        (Some(first), Some(last)) => Ok((*first, *last)),
        _ => Ok((0, 0)),
    }
}
