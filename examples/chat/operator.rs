//! The operator: a member called admin, whose wire is the server's terminal, and who may send others away.
//!
//! Two threads, since a terminal can't be in the loop: its O_NONBLOCK is shared with the shell, and epoll refuses regular files. They reach
//! the loop as any thread may: by pipes and wakers. When there is no more input, or no more output, the loop goes on.

use super::event::Wire;
use super::room::{PIPE_BYTES_MAX, Refusal, Room, Seat};
use super::text::TEXT_BYTES_MAX;
use std::io::{self, BufRead, Read, Write};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant, SystemTime};
use tripoll::protocol::{Now, Receiver, Taken, pipe};

pub const NAME: &str = "admin";

/// How long a file as input waits when the room has had enough.
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// Takes the operator's seat, to be kept as long as nobody else should have the name. What happens is written to `output`.
pub fn enter(room: &Arc<Room>, output: impl Write + Send + 'static) -> Result<Arc<Seat>, Refusal> {
    let (tell, told) = std::sync::mpsc::channel::<Receiver>();
    let printer = thread::spawn(move || told.recv().map(|receiver| print(&receiver, output)));
    let open = || {
        let (sender, receiver) = pipe(PIPE_BYTES_MAX, Waker::from(Arc::new(Unpark(printer.thread().clone()))));
        let _ = tell.send(receiver); // The thread waits for it.
        sender
    };
    room.enter(NAME, Wire::Lines, now(), open).map(Arc::new)
}

/// Writes what comes until nothing does, or nobody reads.
fn print(receiver: &Receiver, mut output: impl Write) -> io::Result<()> {
    loop {
        match receiver.take() {
            Taken::Bytes(line) => output.write_all(&line)?,
            Taken::Empty => {
                output.flush()?;
                thread::park();
            }
            Taken::Ended | Taken::Cut => return Ok(()),
        }
    }
}

/// Wakes a thread that may sleep, as a loop's own waker wakes a connection.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Does what the lines of `input` say until it ends. What it answers goes to `output`.
pub fn obey(mut input: impl BufRead, mut output: impl Write, room: &Room, seat: &Seat) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.by_ref().take(TEXT_BYTES_MAX as u64).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        match line.split_once(' ').unwrap_or((line, "")) {
            ("/who", _) => writeln!(output, "({})", room.names().join(", "))?,
            ("/kick", name) if room.kick(name) => {}
            ("/kick", name) => writeln!(output, "(there is no {name}: /who says who is here)")?,
            (word, _) if word.starts_with('/') => writeln!(output, "(there are /who and /kick NAME)")?,
            _ => {
                while seat.say(line, now()) == Err(Refusal::Busy) {
                    thread::sleep(BUSY_PAUSE);
                }
            }
        }
    }
}

fn now() -> Now {
    Now { monotonic: Instant::now(), wall: SystemTime::now() }
}
