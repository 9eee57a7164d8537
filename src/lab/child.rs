//! The server that is measured: this same program, as a child that runs on a core of its own.

use super::figures::Figures;
use super::plan::Contestant;
use super::{machine, processes};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child as Process, Command, Stdio};
use std::time::Duration;
use tripoll::poller::{Strategy, Trigger};
use tripoll::{Model, sys};

/// Longer than any server takes to listen, or to tell its figures on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a server is told beside how it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `None`: as the server has it by default.
    pub accept_max: Option<usize>,
    pub is_eager: bool,
}

/// A server that runs, and ends with this value.
pub struct Child {
    process: Process,
    pipe: BufReader<UnixStream>,
    address: SocketAddrV4,
    contestant: Contestant,
}

impl Child {
    /// Lets `program` serve `folder` on `core`; comes back when it listens.
    ///
    /// # Errors
    /// Where it can't be started or does not listen: what it said.
    pub fn start(
        program: &Path,
        contestant: Contestant,
        settings: &Settings,
        folder: &Path,
        core: usize,
    ) -> io::Result<Child> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(PATIENCE))?;
        let mut command = Command::new(program);
        // Ctrl-C is this process's to hear, not the child's: hence a group of its own.
        command.args(flags(contestant, settings)).process_group(0);
        command.args(["--port", "0", "--log", "off", "--idle-timeout", "1d", "--lab-figures"]);
        // A filter of system calls costs the same at each of them: not what is compared.
        command.args(["--sandbox", "off"]).arg(folder);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TRIPOLL_") {
                command.env_remove(name);
            }
        }
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Where it is started there it stays, with all that it starts itself.
        let start = || sys::pin(None, core).and_then(|()| command.spawn());
        let started = std::thread::scope(|scope| scope.spawn(start).join());
        let mut process = started.expect("it does not panic")?;
        drop(command); // With it goes our copy of the child's end: else its end of input never came.
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("piped")).read_line(&mut line)?;
        let address = line.split_once("http://").and_then(|(_, rest)| rest.split('/').next()?.parse().ok());
        let Some(address) = address else {
            let mut said = String::new();
            process.stderr.take().expect("piped").read_to_string(&mut said)?;
            let _ = process.wait();
            return Err(io::Error::other(format!("the {contestant} server does not start: {}", said.trim())));
        };
        Ok(Child { process, pipe: BufReader::new(ours), address, contestant })
    }

    /// Who it is.
    pub fn contestant(&self) -> Contestant {
        self.contestant
    }

    pub fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// What it counted so far, with the time of processes that it forked. One that ends between the two questions is missed: there is none
    /// where nothing is owed.
    ///
    /// # Errors
    /// Where it does not answer: it is gone, or so late that it is ended here.
    pub fn figures(&mut self) -> io::Result<Figures> {
        self.pipe.get_mut().write_all(b"?")?;
        let mut line = Vec::new();
        if let Err(error) = self.pipe.read_until(b'\n', &mut line) {
            let _ = self.process.kill(); // What it told later would pass for the answer to the next question.
            return Err(match error.kind() {
                ErrorKind::WouldBlock => {
                    let late = format!("its figures did not come within {} s, so it was ended", PATIENCE.as_secs());
                    io::Error::new(ErrorKind::TimedOut, late)
                }
                _ => error,
            });
        }
        let gone = |_| io::Error::other("the server ended while it was measured");
        let mut figures: Figures = serde_json::from_slice(&line).map_err(gone)?;
        if let Contestant::Model(Model::Fork { .. } | Model::Prefork { .. }) = self.contestant {
            let own = self.process.id();
            let workers = processes::group(own).into_iter().filter(|process| *process != own);
            figures.alive_microseconds = workers.map(processes::cpu_time).sum::<Duration>().as_micros() as i64;
        }
        Ok(figures)
    }

    /// How long others kept its core from it so far.
    pub fn delayed(&self) -> Duration {
        machine::delayed(&self.process.id().to_string())
    }

    /// Its resident memory (`VmRSS` of proc(5)).
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        machine::kib(&status, "VmRSS:").unwrap_or(0)
    }

    /// The memory of all its processes: see [`processes::memory_bytes`].
    pub fn memory_bytes(&self) -> u64 {
        processes::group(self.process.id()).into_iter().map(processes::memory_bytes).sum()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // What it forked has its end of the pipe too, and ends by itself: until then it takes time from who is measured next.
        let _ = self.pipe.read_to_end(&mut Vec::new());
    }
}

/// How the command is told who it is.
fn flags(contestant: Contestant, settings: &Settings) -> Vec<String> {
    let model = |name: &str| vec![format!("--model={name}")];
    match contestant {
        Contestant::Strategy(strategy) => {
            let interest = format!("--interest={}", if settings.is_eager { "eager" } else { "lazy" });
            let accept_max = settings.accept_max.map(|accept_max| format!("--accept-max={accept_max}"));
            waits_by(strategy).into_iter().chain(accept_max).chain([interest]).collect()
        }
        Contestant::Model(Model::Prefork { workers } | Model::ThreadPool { workers }) => {
            [model(&contestant.to_string()), vec![format!("--workers={workers}")]].concat()
        }
        Contestant::Model(
            Model::Reactor | Model::Iterative | Model::Fork { .. } | Model::Threads | Model::Coroutines,
        ) => model(&contestant.to_string()),
    }
}

fn waits_by(strategy: Strategy) -> Vec<String> {
    let words: &[&str] = match strategy {
        Strategy::Select { limit: None } => &["--backend=select"],
        Strategy::Select { limit: Some(limit) } => {
            return vec!["--backend=select".into(), format!("--select-limit={limit}")];
        }
        Strategy::Poll => &["--backend=poll"],
        Strategy::Epoll { trigger: Trigger::Level } => &["--backend=epoll"],
        Strategy::Epoll { trigger: Trigger::Edge } => &["--backend=epoll", "--trigger=edge"],
    };
    words.iter().map(|word| (*word).to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_that_do_not_come_are_said_so_and_end_the_server() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let process = Command::new("sleep").arg("600").spawn().unwrap();
        let address = SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 1);
        let contestant = Contestant::Model(Model::Iterative);
        let mut child = Child { process, pipe: BufReader::new(ours), address, contestant };
        let error = child.figures().unwrap_err();
        assert_eq!(error.to_string(), "its figures did not come within 30 s, so it was ended");
        assert!(!child.process.wait().unwrap().success());
    }
}
