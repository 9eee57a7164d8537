//! What the measured servers serve, and how it is asked for.

use super::plan::{PIPELINE_DEPTH, Work};
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tripoll::http::Answer;
use tripoll::{HttpServer, Model, Response};

/// How long a slow handler sleeps or computes.
pub const SLOW: Duration = Duration::from_millis(5);

/// Requests that have the server compute in work that is done beside them.
pub const COMPUTING: usize = 4;

/// Rounds that are timed to know how many take so long, and how often: the quickest counts.
const ROUNDS_TIMED: u64 = 200_000;
const TIMES: usize = 20;

/// A folder with the files of every work; gone with this value.
pub struct Site(PathBuf);

impl Site {
    /// # Errors
    /// Where the folder for temporary files can't be written to.
    pub fn new() -> io::Result<Site> {
        let folder = std::env::temp_dir().join(format!("tripoll-lab-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let site = Site(folder);
        fs::write(site.folder().join("1k.txt"), vec![b'x'; 1 << 10])?;
        fs::write(site.folder().join("1m.bin"), vec![b'x'; 1 << 20])?;
        Ok(site)
    }

    pub fn folder(&self) -> &Path {
        &self.0
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The same server with handlers that are slow: one that sleeps, one that computes as many rounds as it is asked for. Who serves all by one
/// thread sleeps by its timers, as it should; who has a thread for a connection lets that sleep.
pub fn add_routes(server: HttpServer, model: Model) -> HttpServer {
    let sleep = move || match model.is_one_loop() {
        true => Answer::after(SLOW, || Response::text("slept\n")),
        false => {
            std::thread::sleep(SLOW);
            Response::text("slept\n").into()
        }
    };
    server.route("GET", "/lab/sleep", move |_| sleep()).route("GET", "/lab/compute/{rounds}", |request| {
        std::hint::black_box(compute(request.param("rounds").parse().unwrap_or(0)));
        Response::text("computed\n")
    })
}

/// Computes, without memory or the kernel.
#[inline(never)]
fn compute(rounds: u64) -> u64 {
    (0..rounds).fold(1, |state: u64, round| (state ^ round).wrapping_mul(6_364_136_223_846_793_005).rotate_left(17))
}

/// How many rounds the core computes in [`SLOW`] that this runs on: all servers are asked for as many, so that who is interrupted does not get
/// away with less.
pub fn rounds() -> u64 {
    let time = |_| {
        let begun = Instant::now();
        std::hint::black_box(compute(std::hint::black_box(ROUNDS_TIMED)));
        begun.elapsed()
    };
    let quickest = (0..TIMES).map(time).min().expect("it was timed");
    (ROUNDS_TIMED as f64 * SLOW.as_secs_f64() / quickest.as_secs_f64()) as u64
}

/// The bytes that ask for a piece of `work`, and how many requests they are. Who computes does so for `rounds`.
pub fn request(work: Work, rounds: u64) -> (Vec<u8>, usize) {
    let path = match work {
        Work::Keepalive | Work::Close | Work::Pipelined | Work::Beside => "/1k.txt",
        Work::Large => "/1m.bin",
        Work::Sleep | Work::SleepClose => "/lab/sleep",
        Work::Compute | Work::ComputeClose => &format!("/lab/compute/{rounds}"),
    };
    let field = if work.closes() { "Connection: close\r\n" } else { "" };
    let times = if work == Work::Pipelined { PIPELINE_DEPTH } else { 1 };
    (format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{field}\r\n").repeat(times).into_bytes(), times)
}

/// Asks once, and counts the bytes of the answer: every later one is as long.
///
/// # Errors
/// Where the answer is none; [`ErrorKind::TimedOut`] where for so long nothing of it comes.
pub fn answer_bytes(address: SocketAddrV4, request: &[u8], times: usize, patience: Duration) -> io::Result<usize> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(&request[..request.len() / times])?;
    let mut answer = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        let count = stream.read(&mut piece).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => {
                io::Error::new(ErrorKind::TimedOut, format!("no answer within {} s", patience.as_secs_f64()))
            }
            _ => error,
        })?;
        answer.extend_from_slice(&piece[..count]);
        if let Some(bytes) = whole_bytes(&answer).filter(|bytes| *bytes <= answer.len()) {
            return Ok(bytes * times);
        }
        if count == 0 {
            return Err(io::Error::other("the server does not answer as it should"));
        }
    }
}

/// How long the answer is that begins like this, when its head is there.
fn whole_bytes(answer: &[u8]) -> Option<usize> {
    let head_bytes = memchr::memmem::find(answer, b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&answer[..head_bytes]).ok()?.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim().parse::<usize>().ok()?;
    head.starts_with("http/1.1 200 ").then_some(head_bytes + length)
}
