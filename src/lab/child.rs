//! The server that is measured: this same program, as a child that runs on a core of its own.

use super::figures::Figures;
use super::machine;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child as Process, Command, Stdio};
use std::time::Duration;
use tripoll::poller::{Strategy, Trigger};
use tripoll::sys;

/// Longer than any server takes to listen, or to tell its figures on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a server is told beside its strategy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub accept_max: usize,
    pub is_eager: bool,
}

/// A server that runs, and ends with this value.
pub struct Child {
    process: Process,
    pipe: BufReader<UnixStream>,
    address: SocketAddrV4,
}

impl Child {
    /// Lets `program` serve `folder` on `core`; comes back when it listens.
    ///
    /// # Errors
    /// Where it can't be started or does not listen: what it said.
    pub fn start(
        program: &Path,
        strategy: Strategy,
        settings: &Settings,
        folder: &Path,
        core: usize,
    ) -> io::Result<Child> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(PATIENCE))?;
        let mut command = Command::new(program);
        // Ctrl-C is this process's to hear, not the child's: hence a group of its own.
        command.args(flags(strategy)).args(["--accept-max", &settings.accept_max.to_string()]).process_group(0);
        command.args(["--interest", if settings.is_eager { "eager" } else { "lazy" }]);
        command.args(["--port", "0", "--log", "off", "--idle-timeout", "1d", "--lab-figures"]);
        // A filter of system calls costs the same at each of them: not what is compared.
        command.args(["--sandbox", "off"]).arg(folder);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TRIPOLL_") {
                command.env_remove(name);
            }
        }
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn()?;
        drop(command); // With it goes our copy of the child's end: else its end of input never came.
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("piped")).read_line(&mut line)?;
        let address = line.split_once("http://").and_then(|(_, rest)| rest.split('/').next()?.parse().ok());
        let Some(address) = address else {
            let mut said = String::new();
            process.stderr.take().expect("piped").read_to_string(&mut said)?;
            let _ = process.wait();
            return Err(io::Error::other(format!("the {strategy} server does not start: {}", said.trim())));
        };
        let child = Child { process, pipe: BufReader::new(ours), address };
        sys::pin(Some(child.process.id()), core)?;
        Ok(child)
    }

    pub fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// What it counted so far.
    ///
    /// # Errors
    /// Where it does not answer: it is gone.
    pub fn figures(&mut self) -> io::Result<Figures> {
        self.pipe.get_mut().write_all(b"?")?;
        let mut line = String::new();
        self.pipe.read_line(&mut line)?;
        serde_json::from_str(&line).map_err(|_| io::Error::other("the server ended while it was measured"))
    }

    /// How long others kept its core from it so far.
    pub fn delayed(&self) -> Duration {
        machine::delayed(&self.process.id().to_string())
    }

    /// Its resident memory (`VmRSS` of proc(5)).
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How the command is told a strategy.
fn flags(strategy: Strategy) -> Vec<String> {
    let words: &[&str] = match strategy {
        Strategy::Select { limit: None } => &["--backend", "select"],
        Strategy::Select { limit: Some(limit) } => {
            return vec!["--backend=select".into(), format!("--select-limit={limit}")];
        }
        Strategy::Poll => &["--backend", "poll"],
        Strategy::Epoll { trigger: Trigger::Level } => &["--backend", "epoll"],
        Strategy::Epoll { trigger: Trigger::Edge } => &["--backend", "epoll", "--trigger", "edge"],
    };
    words.iter().map(|word| (*word).to_string()).collect()
}
