//! The command as a child process.
#![allow(dead_code)] // Not every test needs all of it.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

pub const TRIPOLL: &str = env!("CARGO_BIN_EXE_tripoll");

/// Longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn command(arguments: &[&str], cwd: &Path) -> Command {
    let mut command = Command::new(TRIPOLL);
    command.args(arguments).current_dir(cwd).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A child that does not outlive its test, however that ends.
pub struct Process {
    pub child: Child,
    /// Its lines, as they come; disconnected when it closes them.
    pub stdout: Receiver<String>,
    pub stderr: Receiver<String>,
}

impl Process {
    pub fn new(mut command: Command) -> Process {
        let mut child = command.spawn().unwrap();
        let (stdout, stderr) = (lines(child.stdout.take()), lines(child.stderr.take()));
        Process { child, stdout, stderr }
    }

    /// A server, its start line, and where it listens.
    #[track_caller]
    pub fn serving(command: Command) -> (Process, String, SocketAddr) {
        let has_user = command.get_args().any(|flag| flag.to_string_lossy().contains("--user"));
        let process = Process::new(command);
        if !has_user {
            process.tells_root();
        }
        let Ok(line) = process.stdout.recv_timeout(PATIENCE) else { panic!("it says: {:?}", process.end()) };
        let (_, after) = line.split_once("http://").unwrap_or_else(|| panic!("no address in {line:?}"));
        let address = after.split('/').next().and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("no address in {line:?}"));
        (process, line, address)
    }

    /// Takes what a server without `--user` tells root before its start line, so that what is left on stderr is what a test is about.
    #[track_caller]
    pub fn tells_root(&self) {
        if is_root() {
            let line = self.stderr.recv_timeout(PATIENCE);
            assert!(line.as_ref().is_ok_and(|line| line.starts_with("tripoll: it runs as root, ")), "{line:?}");
        }
    }

    /// Its exit code and what else it says, when it ends by itself.
    #[track_caller]
    pub fn end(mut self) -> (Option<i32>, Vec<String>, Vec<String>) {
        let (stdout, stderr) = (rest(&self.stdout), rest(&self.stderr));
        (self.child.wait().unwrap().code(), stdout, stderr)
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a server that is started here would run as root.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

pub fn lines(stream: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (tell, told) = mpsc::channel();
    if let Some(stream) = stream {
        std::thread::spawn(move || {
            BufReader::new(stream).lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
        });
    }
    told
}

#[track_caller]
pub fn rest(lines: &Receiver<String>) -> Vec<String> {
    let mut rest = Vec::new();
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => rest.push(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => return rest,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("it neither ends nor says more than {rest:?}"),
        }
    }
}
