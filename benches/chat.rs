//! What the example `chat` costs with a crowd in its room: a message to all, and a member who is silent.
//!
//! ```sh
//! cargo bench --bench chat            # 5,000 terminals, then 5,000 pages, under each strategy
//! cargo bench --bench chat -- 1000
//! ```
//!
//! A broadcast lasts from when it is said to when the loop has given the last member's copy to the kernel. Both ends of the crowd are in this
//! process: the memory is all that it has more, of which clients here have next to nothing.

#[allow(unused_imports)] // Those of its tests, which a bench leaves out.
#[path = "../tests/chatting/mod.rs"]
mod chatting;

use chatting::chat::event::{Event, Wire};
use chatting::chat::text::Text;
use chatting::{Chat, connect, give_name, now, read_until};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime};
use tripoll::poller::Strategy;
use tripoll::protocol::Now;
use tripoll::sys;

const ROUNDS: usize = 101;

/// So many ask for their names at once.
const AT_ONCE: usize = 500;

const SAID: &str = "dinner is at eight, who comes?";

fn main() {
    let members = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(5_000);
    let needed = 2 * members as u64 + 200;
    let limit = sys::raise_descriptor_limit().expect("a limit");
    if limit < needed {
        return println!("skipped: {needed} descriptors needed, {limit} allowed (ulimit -Hn)");
    }
    println!("{members} members, {ROUNDS} messages of {} bytes\n", SAID.len());
    println!("strategy     wire       least     median   a member     memory of a member");
    for wire in [Wire::Lines, Wire::Json] {
        for strategy in Strategy::ALL {
            let Figures { mut times, bytes } = measure(strategy, wire, members);
            times.sort_unstable();
            let (least, median) = (times[0], times[ROUNDS / 2]);
            println!(
                "{:<12} {:<9?} {:>6.2} ms  {:>6.2} ms  {:>6.2} µs  {bytes:>12} bytes",
                strategy.to_string(),
                wire,
                least.as_secs_f64() * 1e3,
                median.as_secs_f64() * 1e3,
                median.as_secs_f64() * 1e6 / members as f64,
            );
        }
    }
}

struct Figures {
    times: Vec<Duration>,
    /// Of memory, a member.
    bytes: usize,
}

fn measure(strategy: Strategy, wire: Wire, members: usize) -> Figures {
    // Nobody here answers a ping.
    let chat = Chat::with_heartbeat(strategy, Duration::from_secs(3600));
    let mut watcher = chat.terminal_of("watcher");
    let memory = resident_bytes();
    let mut crowd: Vec<TcpStream> = (0..members).map(|_| connect(&chat, wire)).collect();
    for (batch, visitors) in crowd.chunks_mut(AT_ONCE).enumerate() {
        for (at, visitor) in visitors.iter_mut().enumerate() {
            give_name(visitor, wire, batch * AT_ONCE + at);
        }
        visitors.iter().for_each(|_| assert!(watcher.line().ends_with(" entered")));
    }
    let (seat, _receiver) = chat.seat_of("speaker");
    let tell = |said: &str, now: Now| seat.say(said, now).expect("it is not too much");
    tell("all are here", now());
    read_all(&mut crowd, wire, "all are here");
    let bytes = resident_bytes().saturating_sub(memory) / members;

    let text = Text::new(SAID).ok().flatten().expect("a text");
    let mut sent_bytes = settled_sent_bytes(&chat);
    let mut times = Vec::with_capacity(ROUNDS);
    for round in 1..=ROUNDS {
        // By the room's clock a second after the last.
        let now = Now { monotonic: Instant::now() + Duration::from_secs(round as u64), wall: SystemTime::now() };
        let number = round as u64 + 1;
        let said = Event::Said { number, name: "speaker", text: &text, at: now.wall };
        // The watcher's too.
        sent_bytes += (said.write(wire).len() * members + said.write(Wire::Lines).len()) as u64;
        let begin = Instant::now();
        tell(SAID, now);
        while chat.meter.read().reactor.sent_bytes < sent_bytes {
            std::thread::yield_now();
        }
        times.push(begin.elapsed());
    }
    tell("that was all", Now { monotonic: Instant::now() + Duration::from_secs(2 * ROUNDS as u64), ..now() });
    read_all(&mut crowd, wire, "that was all");
    Figures { times, bytes }
}

/// Each of the crowd reads what the speaker said, and all that came before.
fn read_all(crowd: &mut [TcpStream], wire: Wire, said: &str) {
    let end = match wire {
        Wire::Lines => format!("speaker: {said}\n"),
        Wire::Json => format!("\"text\":\"{said}\"}}"),
    };
    crowd.iter_mut().for_each(|stream| read_until(stream, end.as_bytes()));
}

/// What was sent when the loop has nothing to do any more.
fn settled_sent_bytes(chat: &Chat) -> u64 {
    let mut before = chat.meter.read().reactor;
    loop {
        std::thread::sleep(Duration::from_millis(100));
        let now = chat.meter.read().reactor;
        if now.turns == before.turns {
            return now.sent_bytes;
        }
        before = now;
    }
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number") * 4096
}
