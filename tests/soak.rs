//! Millions of requests, connections that come and go as they like: at the end there are as many descriptors as there were, and as much memory.
//!
//! ```sh
//! TRIPOLL_SOAK_SECONDS=60 cargo test --release --test soak -- --ignored --nocapture
//! ```

mod client;
mod process;

use client::read_answer;
use process::{Process, command};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const CLIENTS: u64 = 8;

/// What the allocator may keep of the busiest moment: buffers of the clients there are at a time.
const GROWTH_KIB_MAX: u64 = 8 * 1024;

/// What it takes without connections, a kept file included.
const DESCRIPTORS_IDLE: usize = 16;

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// One connection: some requests, all at once or one after another, and an end in order, midway, or by a reset. How many were answered.
fn connection(address: SocketAddr, dice: &mut Dice) -> u64 {
    let Ok(mut stream) = TcpStream::connect(address) else { return 0 };
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut answered = 0;
    for _ in 0..1 + dice.below(20) {
        let (request, want): (&str, (u16, usize)) = match dice.below(8) {
            0 => ("GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n", (200, 1 << 20)),
            1 => ("GET /missing HTTP/1.1\r\nHost: localhost\r\n\r\n", (404, 0)),
            2 => ("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody", (200, 4)),
            3 => (
                "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
                (200, 4),
            ),
            4 => ("GET / HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n", (200, 0)),
            _ => ("GET /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\n", (200, 7)),
        };
        let times = if dice.below(4) == 0 { 1 + dice.below(30) as usize } else { 1 };
        let way_out = dice.below(40);
        let wire = request.repeat(times);
        let sent = if way_out == 0 { dice.below(wire.len() as u64) as usize } else { wire.len() };
        stream.write_all(&wire.as_bytes()[..sent]).expect("it takes requests");
        if way_out < 2 {
            if dice.below(2) == 0 {
                let _ = tripoll::sys::abort_on_close(stream.as_fd());
            }
            return answered; // Midway, or with all answers unread.
        }
        let (mut received, mut left) = (Vec::new(), times);
        while left > 0 {
            while let Some((answer, length)) = read_answer(&received, false).unwrap() {
                assert_eq!(answer.status, want.0, "{request}");
                assert!(want.1 == 0 || answer.body.len() == want.1, "{request}: {} bytes", answer.body.len());
                received.drain(..length);
                left -= 1;
                answered += 1;
            }
            let mut buffer = [0; 256 * 1024];
            match if left == 0 { 0 } else { stream.read(&mut buffer).unwrap() } {
                0 => assert_eq!(left, 0, "cut off"),
                count => received.extend_from_slice(&buffer[..count]),
            }
        }
    }
    answered
}

/// Asks for so long; how many answers that were.
fn load(address: SocketAddr, time: Duration, seed: u64) -> u64 {
    let (over, answers) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (over, answers) = (&over, &answers);
            scope.spawn(move || {
                let mut dice = Dice(seed + client);
                while !over.load(Ordering::Relaxed) {
                    answers.fetch_add(connection(address, &mut dice), Ordering::Relaxed);
                }
            });
        }
        let end = Instant::now() + time;
        std::thread::sleep(end.saturating_duration_since(Instant::now()));
        over.store(true, Ordering::Relaxed);
    });
    answers.into_inner()
}

/// Descriptors, and resident memory in KiB.
fn taken(process: &Process) -> (usize, u64) {
    let of = |name: &str| format!("/proc/{}/{name}", process.child.id());
    let status = std::fs::read_to_string(of("status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    (std::fs::read_dir(of("fd")).unwrap().count(), line.split_whitespace().nth(1).unwrap().parse().unwrap())
}

/// What is there when those that were cut off are closed too.
fn settled(process: &Process, descriptors: usize) -> (usize, u64) {
    for _ in 0..100 {
        if taken(process).0 <= descriptors {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    taken(process)
}

#[test]
#[ignore = "a minute of load; .ci/run asks for it"]
fn descriptors_and_memory_end_where_they_began() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("a.txt"), "content").unwrap();
    std::fs::write(folder.path().join("big"), vec![b'x'; 1 << 20]).unwrap();
    let seconds = std::env::var("TRIPOLL_SOAK_SECONDS").map_or(60, |seconds| seconds.parse().unwrap());
    let share = Duration::from_secs(seconds) / 4;
    for flags in [["--backend", "select"], ["--backend", "poll"], ["--backend", "epoll"], ["--trigger", "edge"]] {
        let all = [&["-p", "0", "--demo", "."][..], &flags].concat();
        let (process, _, address) = Process::serving(command(&all, folder.path()));
        load(address, share / 4, 1);
        let before = settled(&process, DESCRIPTORS_IDLE);
        let answers = load(address, share * 3 / 4, 1_000);
        let after = settled(&process, before.0);
        println!(
            "{flags:?}: {answers} answers; descriptors {} → {}, {} → {} KiB",
            before.0, after.0, before.1, after.1
        );
        assert!(after.0 <= before.0, "{flags:?}: {} descriptors, before {}", after.0, before.0);
        assert!(after.1 <= before.1 + GROWTH_KIB_MAX, "{flags:?}: {} KiB, before {}", after.1, before.1);
        process.signal("TERM");
        assert_eq!(process.end(), (Some(0), vec![], vec![]), "{flags:?}");
    }
}
