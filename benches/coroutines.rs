//! What a switch costs: from a coroutine to another, beside a thread's and a process's; and what one that sleeps takes of memory.
//!
//! `cargo bench --bench coroutines`. Two at a time hand something to and fro, all on one core, so that each time one goes on the other has to
//! stop: a switch is half a round trip. Where both have a socket between them the same two system calls a switch are in all three figures.
//! Whatever else runs on that core makes them longer, so the lowest figure is the one to compare.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use tripoll::coroutine::{self, Stream, channel, join_all, sleep, spawn, yield_now};
use tripoll::poller::{Strategy, Trigger};
use tripoll::sys;

const ROUNDS: usize = 9;

/// Tells a child to hand back what it gets by its stdin, which is a socket.
const HAND_BACK: &str = "--hand-back";

const EPOLL: Strategy = Strategy::Epoll { trigger: Trigger::Level };

/// How so many round trips are made, and in what time.
type Measure = fn(u32) -> io::Result<Duration>;

/// Few of each, so that some rounds pass undisturbed on a machine that has other things to do.
const SWITCHES: [(&str, u32, Measure); 7] = [
    ("coroutine, that yields", 20_000, coroutines_that_yield),
    ("coroutine, by a channel", 20_000, coroutines_by_a_channel),
    ("coroutine, by a socket", 1_000, coroutines_by_a_socket),
    ("thread, by park and unpark", 1_000, threads_by_parking),
    ("thread, by a channel", 1_000, threads_by_a_channel),
    ("thread, by a socket", 1_000, threads_by_a_socket),
    ("process, by a socket", 1_000, processes_by_a_socket),
];

fn main() -> io::Result<()> {
    if std::env::args().any(|argument| argument == HAND_BACK) {
        return hand_back(io::stdin().as_fd().try_clone_to_owned()?.into());
    }
    sleepers()?;
    let core = sys::allowed_cores()?.pop().expect("it runs on one");
    sys::pin(None, core)?; // Threads and processes that it starts, too.
    let mut nanos = vec![Vec::new(); SWITCHES.len()];
    for _ in 0..ROUNDS {
        for ((_, round_trips, measure), nanos) in SWITCHES.iter().zip(&mut nanos) {
            nanos.push(measure(*round_trips)?.as_nanos() / u128::from(2 * round_trips));
        }
    }
    println!("\na switch, on core {core}, lowest of {ROUNDS} rounds (median)");
    for ((name, ..), mut nanos) in SWITCHES.iter().zip(nanos) {
        nanos.sort_unstable();
        println!("{name:<28} {:>7} ns   ({})", nanos[0], nanos[ROUNDS / 2]);
    }
    Ok(())
}

fn coroutines_that_yield(round_trips: u32) -> io::Result<Duration> {
    coroutine::run(EPOLL, async move {
        let yields = move || async move {
            for _ in 0..round_trips {
                yield_now().await;
            }
        };
        let begun = Instant::now();
        join_all(&mut [spawn(yields()), spawn(yields())], None).await;
        begun.elapsed()
    })
}

fn coroutines_by_a_channel(round_trips: u32) -> io::Result<Duration> {
    coroutine::run(EPOLL, async move {
        let ((there, mut arrived), (back, mut returned)) = (channel(1), channel(1));
        spawn(async move {
            while let Some(number) = arrived.recv().await {
                back.send(number).await.expect("it is awaited");
            }
        });
        let begun = Instant::now();
        for number in 0..round_trips {
            there.send(number).await.expect("it is received");
            assert_eq!(returned.recv().await, Some(number));
        }
        begun.elapsed()
    })
}

fn coroutines_by_a_socket(round_trips: u32) -> io::Result<Duration> {
    coroutine::run(EPOLL, async move {
        let (here, there) = UnixStream::pair()?;
        let (here, there) = (Stream::try_from(here)?, Stream::try_from(there)?);
        spawn(async move {
            let mut byte = [0];
            while there.read(&mut byte).await? > 0 {
                there.write_all(&byte).await?;
            }
            io::Result::Ok(())
        });
        let (begun, mut byte) = (Instant::now(), [0]);
        for _ in 0..round_trips {
            here.write_all(b"x").await?;
            assert_eq!(here.read(&mut byte).await?, 1);
        }
        Ok(begun.elapsed())
    })?
}

fn threads_by_parking(round_trips: u32) -> io::Result<Duration> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static TURN: AtomicU32 = AtomicU32::new(0);
    TURN.store(0, Ordering::SeqCst);
    // Each waits until the number is of its parity, then counts on.
    let takes_turns = move |own: u32, other: thread::Thread| {
        for turn in 0..round_trips {
            while TURN.load(Ordering::SeqCst) != 2 * turn + own {
                thread::park();
            }
            TURN.fetch_add(1, Ordering::SeqCst);
            other.unpark();
        }
    };
    let main = thread::current();
    let other = thread::spawn(move || takes_turns(1, main));
    let begun = Instant::now();
    takes_turns(0, other.thread().clone());
    other.join().expect("it counts");
    Ok(begun.elapsed())
}

fn threads_by_a_channel(round_trips: u32) -> io::Result<Duration> {
    let ((there, arrived), (back, returned)) = (mpsc::sync_channel(1), mpsc::sync_channel(1));
    let other = thread::spawn(move || arrived.into_iter().try_for_each(|number: u32| back.send(number)));
    let begun = Instant::now();
    for number in 0..round_trips {
        there.send(number).expect("it is received");
        assert_eq!(returned.recv(), Ok(number));
    }
    let elapsed = begun.elapsed();
    drop(there);
    other.join().expect("it hands back").expect("it was awaited");
    Ok(elapsed)
}

fn threads_by_a_socket(round_trips: u32) -> io::Result<Duration> {
    let (here, there) = UnixStream::pair()?;
    let other = thread::spawn(move || hand_back(there));
    let elapsed = hand_over(here, round_trips)?;
    other.join().expect("it hands back")?;
    Ok(elapsed)
}

fn processes_by_a_socket(round_trips: u32) -> io::Result<Duration> {
    let (here, there) = UnixStream::pair()?;
    let mut command = Command::new(std::env::current_exe()?);
    let mut other = command.arg(HAND_BACK).stdin(Stdio::from(OwnedFd::from(there))).spawn()?;
    drop(command); // It holds the other end.
    let elapsed = hand_over(here, round_trips)?;
    other.wait()?;
    Ok(elapsed)
}

fn hand_over(mut socket: UnixStream, round_trips: u32) -> io::Result<Duration> {
    let mut byte = [0];
    socket.write_all(b"x")?; // The other one has to start first.
    socket.read_exact(&mut byte)?;
    let begun = Instant::now();
    for _ in 0..round_trips {
        socket.write_all(b"x")?;
        socket.read_exact(&mut byte)?;
    }
    Ok(begun.elapsed())
}

fn hand_back(mut socket: UnixStream) -> io::Result<()> {
    let mut byte = [0];
    while socket.read(&mut byte)? > 0 {
        socket.write_all(&byte)?;
    }
    Ok(())
}

/// Memory of those that do nothing but sleep.
fn sleepers() -> io::Result<()> {
    let (coroutines, threads) = (100_000, 1_000);
    let of_coroutines = coroutine::run(EPOLL, async move {
        let before = resident_bytes()?;
        let tasks: Vec<_> = (0..coroutines).map(|_| spawn(sleep(Duration::from_secs(3600)))).collect();
        yield_now().await; // All of them begin.
        let bytes = resident_bytes()? - before;
        drop(tasks);
        io::Result::Ok(bytes)
    })??;
    println!("a coroutine that sleeps        {:>7} bytes   ({coroutines} of them)", of_coroutines / coroutines);
    let before = resident_bytes()?;
    let ((tell, told), (_go, wait)) = (mpsc::channel(), mpsc::channel::<()>());
    let wait = std::sync::Arc::new(std::sync::Mutex::new(wait));
    for _ in 0..threads {
        let (tell, wait) = (tell.clone(), wait.clone());
        thread::Builder::new().spawn(move || {
            let _ = tell.send(());
            let _ = wait.lock().map(|wait| wait.recv());
        })?;
    }
    (0..threads).for_each(|_| told.recv().expect("each begins"));
    let of_threads = resident_bytes()? - before;
    println!(
        "a thread that sleeps           {:>7} bytes   ({threads} of them; and its stack in the kernel)",
        of_threads / threads
    );
    Ok(())
}

/// What this process has in memory (`/proc/self/statm`, proc(5)).
fn resident_bytes() -> io::Result<u64> {
    const PAGE_BYTES: u64 = 4096;
    let text = fs::read_to_string("/proc/self/statm")?;
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    Ok(pages.ok_or(io::ErrorKind::InvalidData)? * PAGE_BYTES)
}
