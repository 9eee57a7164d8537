//! Coroutines do what threads would, on one thread: they sleep, they are joined, they serve.
//!
//! `cargo run --example coroutines`, then `nc 127.0.0.1 7000` in as many terminals as you like: lines go to everybody, and every ten seconds
//! a ticker says how long it has been at it. `cargo run --example coroutines -- poll` waits by poll(2).

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tripoll::coroutine::{self, Listener, Sender, Stream, channel, join_all, sleep, spawn, timeout};
use tripoll::poller::{Backend, Strategy, Trigger};

const SECOND: Duration = Duration::from_secs(1);
const LINE_BYTES_MAX: usize = 1000;

/// Who reads more slowly misses lines; nobody waits for it.
const LINES_BEHIND_MAX: usize = 100;

/// One thread: a room needs no lock, and nobody sees it between two `await`s.
type Room = Rc<RefCell<HashMap<SocketAddr, Sender<String>>>>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let backend = std::env::args().nth(1).map_or(Ok(Backend::default()), |word| word.parse())?;
    let strategy = Strategy::new(backend, Trigger::Level, None)?;
    coroutine::run(strategy, async {
        sleeps().await;
        joins().await;
        serves().await
    })??;
    Ok(())
}

/// A thousand sleeps of a tenth of a second last a tenth of a second.
async fn sleeps() {
    let begun = Instant::now();
    let mut sleepers: Vec<_> = (0..1000).map(|_| spawn(sleep(SECOND / 10))).collect();
    join_all(&mut sleepers, None).await;
    println!("1,000 sleeps of 0.1 s, one thread: {:.2?}", begun.elapsed());
}

/// Who is joined says what became of it: it is done, it failed, or it is late.
async fn joins() {
    let late = async {
        sleep(10 * SECOND).await;
        "late"
    };
    let mut tasks = [spawn(async { "done" }), spawn(async { panic!("a task that panics ends alone") }), spawn(late)];
    for brought in join_all(&mut tasks, Some(SECOND / 10)).await {
        match brought {
            Some(Ok(word)) => println!("joined: {word}"),
            Some(Err(failed)) => println!("joined: {failed}"),
            None => println!("not joined: it is late, and cancelled"),
        }
    }
    tasks.iter().for_each(|task| task.cancel());
}

/// A task accepts, two serve each guest, one ticks.
async fn serves() -> io::Result<()> {
    let listener = Listener::bind(([127, 0, 0, 1], 7000).into())?;
    println!("a room at {}; try: nc 127.0.0.1 7000", listener.local_addr());
    let room = Room::default();
    spawn(ticks(room.clone()));
    loop {
        match listener.accept().await {
            Ok((stream, name)) => drop(spawn(hosts(stream, name, room.clone()))),
            Err(error) => {
                eprintln!("can't accept: {error}"); // Mostly since no descriptor is left: somebody has to leave first.
                sleep(SECOND).await;
            }
        }
    }
}

async fn ticks(room: Room) {
    let begun = Instant::now();
    loop {
        sleep(10 * SECOND).await;
        say(&room, &format!("* {} here, {} s\n", room.borrow().len(), begun.elapsed().as_secs()));
    }
}

fn say(room: &Room, line: &str) {
    for guest in room.borrow().values() {
        let _ = guest.try_send(line.to_string());
    }
}

/// A guest from the door to the door: this task reads, another writes.
async fn hosts(stream: Stream, name: SocketAddr, room: Room) {
    let stream = Rc::new(stream);
    let (send, mut lines) = channel::<String>(LINES_BEHIND_MAX);
    room.borrow_mut().insert(name, send);
    say(&room, &format!("* {name} is here\n"));
    let out = stream.clone();
    let writer = spawn(async move {
        while let Some(line) = lines.recv().await {
            out.write_all(line.as_bytes()).await?;
        }
        io::Result::Ok(())
    });
    let _ = listens(&stream, name, &room).await; // However it ends, the guest is gone.
    room.borrow_mut().remove(&name);
    say(&room, &format!("* {name} left\n"));
    // The writer ends with its channel, once all is written; a guest that reads nothing is not waited for.
    let _ = timeout(SECOND, writer).await;
    let _ = stream.shutdown_write();
}

/// Lines, until there are no more, or none for five minutes.
async fn listens(stream: &Stream, name: SocketAddr, room: &Room) -> io::Result<()> {
    let (mut line, mut bytes) = (Vec::new(), [0; 1000]);
    while let Ok(count) = timeout(300 * SECOND, stream.read(&mut bytes)).await {
        match count? {
            0 => break,
            count => line.extend_from_slice(&bytes[..count]),
        }
        while let Some(end) = line.iter().position(|byte| *byte == b'\n') {
            let said: Vec<u8> = line.drain(..=end).collect();
            say(room, &format!("{name}: {}\n", String::from_utf8_lossy(&said).trim_end()));
        }
        if line.len() > LINE_BYTES_MAX {
            break;
        }
    }
    Ok(())
}
