//! Six mistakes that learners of event loops make, each live: the wrong loop, what it did, the right one.
//!
//! `cargo run --example pitfalls` shows all, `cargo run --example pitfalls -- NAME` one. `docs/pitfalls.md` tells the stories.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use tripoll::sys::{self, EPOLLET, EPOLLIN, EPOLLOUT, EpollChange, EventFd, epoll_event};

/// A loop that waits in vain gives up after this.
const PATIENCE_MS: i32 = 100;

/// How long a loop is watched that may spin.
const WATCHED: Duration = Duration::from_millis(50);

/// Waits in that time that are no spinning.
const CALM: u64 = 10;

struct Pitfall {
    name: &'static str,
    mistake: &'static str,
    /// Runs the wrong loop or, with `true`, the right one.
    run: fn(bool) -> io::Result<Outcome>,
    /// Where this project does it right.
    see: &'static str,
}

struct Outcome {
    story: String,
    went_well: bool,
}

const PITFALLS: [Pitfall; 7] = [
    Pitfall {
        name: "edge-undrained",
        mistake: "edge trigger: reading once an event",
        run: edge_undrained,
        see: "src/poller/epoll.rs, Epoll::exhausted: what the kernel told is kept until somebody saw EAGAIN or a short read",
    },
    Pitfall {
        name: "edge-accept",
        mistake: "edge trigger: accepting once an event",
        run: edge_accept,
        see: "src/reactor/accepting.rs, accept_one: only EAGAIN says `exhausted`, so that the listener is reported again until then",
    },
    Pitfall {
        name: "write-always",
        mistake: "waiting for room to write all the time",
        run: write_always,
        see: "src/reactor/touching.rs, touch: write interest only while an outbox has bytes that the kernel did not take",
    },
    Pitfall {
        name: "write-never",
        mistake: "never waiting for room to write",
        run: write_never,
        see: "src/transport.rs, flush: what was not taken stays in the outbox, and touch raises write interest",
    },
    Pitfall {
        name: "fd-1024",
        mistake: "descriptor 1,024 in a fixed fd_set",
        run: fd_1024,
        see: "src/poller/select.rs, Select::add: the sets grow, and --select-limit refuses before a bit is set",
    },
    Pitfall {
        name: "eagain-is-end",
        mistake: "taking EAGAIN for the end of the request",
        run: eagain_is_end,
        see: "src/protocol/link.rs, Link::feed: what no message is complete in stays until more comes",
    },
    Pitfall {
        name: "emfile",
        mistake: "ignoring EMFILE",
        run: emfile,
        see: "src/reactor/accepting.rs, rest_listener: not watched until a descriptor is free, and by a timer too",
    },
];

fn main() -> io::Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = wanted.iter().find(|name| PITFALLS.iter().all(|pitfall| pitfall.name != **name)) {
        let names = PITFALLS.map(|pitfall| pitfall.name).join(", ");
        eprintln!("error: there is no pitfall {unknown}; try {names}");
        std::process::exit(2);
    }
    for pitfall in PITFALLS.iter().filter(|one| wanted.is_empty() || wanted.iter().any(|name| name == one.name)) {
        println!("{}: {}", pitfall.name, pitfall.mistake);
        for (is_right, name) in [(false, "wrong"), (true, "right")] {
            let Outcome { story, went_well } = (pitfall.run)(is_right)?;
            let surprise = if went_well == is_right { "" } else { " (which it should not: this kernel is another)" };
            println!("  {name}: {story}{surprise}");
        }
        println!("  see:   {}\n", pitfall.see);
    }
    Ok(())
}

/// epoll with one descriptor, and how often it was waited for.
struct Epoll {
    epoll: OwnedFd,
    waits: u64,
}

impl Epoll {
    fn new(fd: BorrowedFd<'_>, events: u32) -> io::Result<Epoll> {
        let epoll = sys::epoll_create()?;
        sys::epoll_ctl(epoll.as_fd(), EpollChange::Add, fd.as_raw_fd(), events, 0)?;
        Ok(Epoll { epoll, waits: 0 })
    }

    /// Whether there was an event in time.
    fn wait(&mut self, timeout_ms: i32) -> io::Result<bool> {
        self.waits += 1;
        let mut events = [epoll_event { events: 0, u64: 0 }];
        Ok(sys::epoll_wait(self.epoll.as_fd(), &mut events, timeout_ms)? > 0)
    }

    fn change(&self, fd: BorrowedFd<'_>, events: u32) -> io::Result<()> {
        sys::epoll_ctl(self.epoll.as_fd(), EpollChange::Modify, fd.as_raw_fd(), events, 0)
    }
}

fn pair() -> io::Result<(UnixStream, UnixStream)> {
    let (ours, peer) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((ours, peer))
}

fn would_block<T>(result: &io::Result<T>) -> bool {
    result.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// The edge comes when bytes come, not when some are left.
fn edge_undrained(is_right: bool) -> io::Result<Outcome> {
    let (mut ours, mut peer) = pair()?;
    let mut epoll = Epoll::new(ours.as_fd(), EPOLLIN | EPOLLET)?;
    peer.write_all(&[b'x'; 100])?;
    let (mut taken, mut piece) = (0, [0; 10]);
    while epoll.wait(PATIENCE_MS)? {
        loop {
            match ours.read(&mut piece) {
                Ok(count) => taken += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
            if !is_right {
                break; // The mistake: the rest will be told of again, as level-triggered epoll would.
            }
        }
    }
    let story = format!("100 bytes came, {taken} were read, then {} waits and no event more", epoll.waits);
    Ok(Outcome { story, went_well: taken == 100 })
}

/// Five clients that come together make one edge.
fn edge_accept(is_right: bool) -> io::Result<Outcome> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let mut epoll = Epoll::new(listener.as_fd(), EPOLLIN | EPOLLET)?;
    let clients = (0..5).map(|_| TcpStream::connect(listener.local_addr()?)).collect::<io::Result<Vec<_>>>()?;
    let mut served = 0;
    while epoll.wait(PATIENCE_MS)? {
        while listener.accept().is_ok() {
            served += 1;
            if !is_right {
                break; // The mistake.
            }
        }
    }
    let story =
        format!("{} clients connected, {served} were accepted; the others wait until one more comes", clients.len());
    let story = if is_right { format!("{} clients connected, {served} were accepted", clients.len()) } else { story };
    Ok(Outcome { story, went_well: served == clients.len() })
}

/// A socket has room nearly always.
fn write_always(is_right: bool) -> io::Result<Outcome> {
    let (ours, _peer) = pair()?;
    let mut epoll = Epoll::new(ours.as_fd(), if is_right { EPOLLIN } else { EPOLLIN | EPOLLOUT })?;
    let since = Instant::now();
    while since.elapsed() < WATCHED {
        epoll.wait(WATCHED.as_millis() as i32)?; // Nothing to read, nothing to send.
    }
    let story = format!("{} waits in {} ms in which nothing happened", epoll.waits, WATCHED.as_millis());
    Ok(Outcome { story, went_well: epoll.waits <= CALM })
}

/// What does not fit the kernel's buffer must be kept, and sent when there is room.
fn write_never(is_right: bool) -> io::Result<Outcome> {
    const ANSWER_BYTES: usize = 1 << 20;
    let (mut ours, mut peer) = pair()?;
    let mut epoll = Epoll::new(ours.as_fd(), EPOLLIN)?;
    let reader = std::thread::spawn(move || {
        let mut taken = Vec::new();
        peer.read_to_end(&mut taken).map(|count| count as u64)
    });
    let (answer, mut sent) = (vec![b'x'; ANSWER_BYTES], 0);
    while sent < ANSWER_BYTES {
        match ours.write(&answer[sent..]) {
            Ok(count) => sent += count,
            result if would_block(&result) && is_right => {
                epoll.change(ours.as_fd(), EPOLLOUT)?;
                epoll.wait(-1)?;
                epoll.change(ours.as_fd(), EPOLLIN)?;
            }
            _ => break, // The mistake: "send failed", and the rest is forgotten.
        }
    }
    drop(ours);
    let taken = reader.join().expect("it does not panic")?;
    let story =
        format!("an answer of {ANSWER_BYTES} bytes; the client got {taken}, after {} waits for room", epoll.waits);
    Ok(Outcome { story, went_well: taken == ANSWER_BYTES as u64 })
}

/// `fd_set` has 1,024 bits, and `FD_SET` does not look. Here the next variable in memory stands behind them.
fn fd_1024(is_right: bool) -> io::Result<Outcome> {
    const WORDS: usize = 1024 / usize::BITS as usize;
    sys::raise_descriptor_limit()?;
    let mut opened: Vec<EventFd> = Vec::new();
    let last: RawFd = loop {
        let one = EventFd::new()?;
        let fd = one.as_fd().as_raw_fd();
        opened.push(one);
        if fd > 1024 {
            break fd;
        }
    };
    opened.iter().rfind(|one| one.as_fd().as_raw_fd() == last).expect("opened just now").ring();
    let (word, bit) = (last as usize / usize::BITS as usize, last as usize % usize::BITS as usize);
    if is_right {
        let (mut read, mut write) = (vec![0; word + 1], vec![0; word + 1]); // As many words as it takes.
        read[word] |= 1 << bit;
        let ready = sys::select(last as usize + 1, &mut read, &mut write, Some(Duration::ZERO))?;
        return Ok(Outcome { story: format!("select over descriptor {last}: {ready} ready"), went_well: ready == 1 });
    }
    let mut memory = [0_usize; WORDS + 1];
    memory[WORDS] = 1000; // Somebody else's: an amount of money, say.
    memory[word] |= 1 << bit; // FD_SET(last, &set)
    let (mut read, mut write) = (memory[..WORDS].to_vec(), vec![0; WORDS]);
    let ready = sys::select(1024, &mut read, &mut write, Some(Duration::ZERO))?;
    let story = format!(
        "FD_SET of descriptor {last} made the variable behind the set {} of 1000, and select saw {ready} ready",
        memory[WORDS]
    );
    Ok(Outcome { story, went_well: memory[WORDS] == 1000 && ready == 1 })
}

/// The network cuts where it likes.
fn eagain_is_end(is_right: bool) -> io::Result<Outcome> {
    const PIECES: [&str; 2] = ["GET /index", ".html HTTP/1.1\r\nHost: h\r\n\r\n"];
    let (mut ours, mut peer) = pair()?;
    let mut epoll = Epoll::new(ours.as_fd(), EPOLLIN)?;
    let (mut request, mut piece, mut pieces) = (Vec::new(), [0; 512], PIECES.iter());
    loop {
        let result = ours.read(&mut piece);
        match &result {
            Ok(count) => request.extend_from_slice(&piece[..*count]),
            // The mistake: "no more comes".
            Err(_) if would_block(&result) && !is_right && !request.is_empty() => break,
            Err(_) if would_block(&result) => {
                let next = pieces.next().expect("the request ends with the last piece");
                peer.write_all(next.as_bytes())?;
                epoll.wait(-1)?;
            }
            Err(_) => return result.map(|_| unreachable!("it is an error")),
        }
        if request.ends_with(b"\r\n\r\n") {
            break;
        }
    }
    let line = String::from_utf8_lossy(&request);
    let line = line.lines().next().unwrap_or_default();
    let story = format!("the request line was taken for {line:?}, after {} waits", epoll.waits);
    Ok(Outcome { story, went_well: line == "GET /index.html HTTP/1.1" })
}

/// A connection that can't be accepted stays in the queue, so the listener stays readable.
fn emfile(is_right: bool) -> io::Result<Outcome> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let mut epoll = Epoll::new(listener.as_fd(), EPOLLIN)?;
    let _client = TcpStream::connect(listener.local_addr()?)?;
    let lowest_free = EventFd::new()?.as_fd().as_raw_fd();
    sys::set_descriptor_limit(lowest_free as u64)?; // None is left.
    let (since, mut failures) = (Instant::now(), 0_u64);
    while since.elapsed() < WATCHED {
        if epoll.wait(WATCHED.as_millis() as i32 / 2)? && listener.accept().is_err() {
            failures += 1;
            if is_right {
                epoll.change(listener.as_fd(), 0)?; // Until a descriptor is free, or some time is over.
            }
        }
    }
    sys::raise_descriptor_limit()?;
    let story =
        format!("{failures} times \"too many open files\" in {} ms, {} waits", WATCHED.as_millis(), epoll.waits);
    Ok(Outcome { story, went_well: epoll.waits <= CALM })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One after another: descriptors and their limit belong to all threads of a process.
    #[test]
    fn each_wrong_loop_fails_and_each_right_one_does_not() {
        for pitfall in &PITFALLS {
            for is_right in [false, true] {
                let outcome = (pitfall.run)(is_right).unwrap();
                assert_eq!(outcome.went_well, is_right, "{}: {}", pitfall.name, outcome.story);
            }
        }
    }

    #[test]
    fn where_it_is_done_right_is_there() {
        for pitfall in &PITFALLS {
            let (path, rest) = pitfall.see.split_once(", ").unwrap();
            let text = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
            let name = rest.split(':').next().unwrap();
            let name = rest.split_once("::").map_or(name, |(_, name)| name.split(':').next().unwrap());
            assert!(text.contains(&format!("fn {name}(")), "{path} has no {name}");
        }
    }
}
