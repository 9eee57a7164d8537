//! Servers as children of a bench: told a free port, waited for until they listen, gone with their value.
#![allow(dead_code)] // Not every bench needs all of it.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tripoll::sys;

/// A server takes no longer to listen.
const START: Duration = Duration::from_secs(10);

/// How often it is looked whether it does.
const LOOK: Duration = Duration::from_micros(200);

/// This server's strategies, each with the flags that choose it.
const STRATEGIES: [(&str, &str); 4] = [
    ("epoll", "--backend epoll"),
    ("epoll-edge", "--backend epoll --trigger edge"),
    ("poll", "--backend poll"),
    ("select", "--backend select"),
];

/// This server under each strategy, with these flags: names and commands for [`Running::new`]. No peer has a sandbox or a log.
pub fn strategies(flags: &str, folder: &str) -> Vec<(&'static str, Vec<String>)> {
    let command = |strategy: &str| {
        let flags = format!("{strategy} {flags} --log off --sandbox off -p PORT");
        let words = flags.split_whitespace().map(str::to_string);
        [env!("CARGO_BIN_EXE_tripoll").to_string()].into_iter().chain(words).chain([folder.to_string()]).collect()
    };
    STRATEGIES.into_iter().map(|(name, strategy)| (name, command(strategy))).collect()
}

pub fn is_installed(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A server that runs, and ends with this value.
pub struct Running {
    pub name: &'static str,
    pub address: SocketAddr,
    child: Child,
}

impl Running {
    /// In `command`, and in what a last word names that ends in `.conf`, `PORT` stands for the port. With a `core` it never runs on another.
    /// `None`, and said, where it does not listen.
    pub fn new(name: &'static str, mut command: Vec<String>, core: Option<usize>) -> Option<Running> {
        let probe = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = probe.local_addr().expect("an address");
        drop(probe);
        let port = address.port().to_string();
        for word in &mut command {
            *word = word.replace("PORT", &port);
        }
        if let Some(configuration) = command.last_mut().filter(|word| word.ends_with(".conf")) {
            let text = fs::read_to_string(&configuration).expect("it was written").replace("PORT", &port);
            *configuration = format!("{configuration}.{port}");
            fs::write(&configuration, text).expect("a file");
        }
        let (program, words) = command.split_first().expect("a program");
        let mut command = Command::new(program);
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // A child may use the cores of the thread that starts it.
        let start = || {
            core.into_iter().for_each(|core| sys::pin(None, core).expect("the core is there"));
            command.spawn().expect("it starts")
        };
        let child = thread::scope(|scope| scope.spawn(start).join()).expect("it starts");
        let mut running = Running { name, child, address };
        let give_up = Instant::now() + START;
        while TcpStream::connect(address).is_err() {
            let has_ended = running.child.try_wait().is_ok_and(|end| end.is_some());
            if has_ended || Instant::now() > give_up {
                println!("skipped: {name} does not listen");
                return None;
            }
            thread::sleep(LOOK);
        }
        Some(running)
    }

    /// CPU time of all its threads so far, in nanoseconds.
    pub fn cpu_nanoseconds(&self) -> u64 {
        self.schedstat(0)
    }

    /// How long its threads were ready to run while others had the core, in nanoseconds.
    pub fn delayed_nanoseconds(&self) -> u64 {
        self.schedstat(1)
    }

    /// A figure of proc(5)'s schedstat, of all its threads.
    fn schedstat(&self, at: usize) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs");
        let figure = |task: fs::DirEntry| {
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            text.split(' ').nth(at).and_then(|figure| figure.parse::<u64>().ok()).unwrap_or(0)
        };
        tasks.flatten().map(figure).sum()
    }

    /// Memory that is its own share, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id())).expect("it runs");
        let line = text.lines().find(|line| line.starts_with("Pss:")).expect("Linux 4.14 or later");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("KiB") * 1024
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
