//! What a server says of itself, over a pipe that is nobody else's: asked with a byte, answered with a line.
//!
//! The server's end is a protocol on its own loop, so that asking costs one event and no thread. When the asker is gone the server ends.

use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use tripoll::protocol::{Context, Cue, Protocol};
use tripoll::reactor::Handle;
use tripoll::server::{BoundServer, Meter};
use tripoll::sys::{self, Whose};

/// Counted since the server began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    pub answers: u64,
    pub turns: u64,
    pub waits: u64,
    pub passed: u64,
    pub scanned: u64,
    pub ready: u64,
    pub changes: u64,
    pub accept: u64,
    pub receive: u64,
    pub send: u64,
    pub send_file: u64,
    pub shutdown: u64,
    pub close: u64,
    pub unacknowledged: u64,
    pub open: u64,
    pub state: u64,
    pub stat: u64,
    /// Of all threads, and of processes that it forked and waited for.
    pub user_microseconds: u64,
    pub system_microseconds: u64,
    /// Of processes that it forked and that are there, as the asker finds; how it divides is not known. Since earlier it may be less, where
    /// some ended: then theirs is in the others.
    #[serde(default)]
    pub alive_microseconds: i64,
}

impl Figures {
    /// On the thread of the loop, whose file calls they are. A child is waited for on this thread too, so none is forgotten or counted twice.
    fn read(meter: &Meter) -> Figures {
        let counters = meter.read();
        let (poller, calls) = (counters.reactor.poller, counters.reactor.calls);
        let files = sys::file_calls();
        let [own, children] = [Whose::Process, Whose::Children].map(|whose| sys::cpu_time(whose).unwrap_or_default());
        Figures {
            answers: counters.answers,
            turns: counters.reactor.turns,
            waits: poller.waits,
            passed: poller.passed,
            scanned: poller.scanned,
            ready: poller.ready,
            changes: poller.changes,
            accept: calls.accept,
            receive: calls.receive,
            send: calls.send,
            send_file: calls.send_file,
            shutdown: calls.shutdown,
            close: counters.reactor.opened - counters.reactor.open as u64,
            unacknowledged: calls.unacknowledged,
            open: files.open,
            state: files.state,
            stat: calls.stat,
            user_microseconds: (own.user + children.user).as_micros() as u64,
            system_microseconds: (own.system + children.system).as_micros() as u64,
            alive_microseconds: 0,
        }
    }

    /// What was counted since `before`.
    pub fn since(self, before: Figures) -> Figures {
        Figures {
            answers: self.answers - before.answers,
            turns: self.turns - before.turns,
            waits: self.waits - before.waits,
            passed: self.passed - before.passed,
            scanned: self.scanned - before.scanned,
            ready: self.ready - before.ready,
            changes: self.changes - before.changes,
            accept: self.accept - before.accept,
            receive: self.receive - before.receive,
            send: self.send - before.send,
            send_file: self.send_file - before.send_file,
            shutdown: self.shutdown - before.shutdown,
            close: self.close - before.close,
            unacknowledged: self.unacknowledged - before.unacknowledged,
            open: self.open - before.open,
            state: self.state - before.state,
            stat: self.stat - before.stat,
            user_microseconds: self.user_microseconds - before.user_microseconds,
            system_microseconds: self.system_microseconds - before.system_microseconds,
            alive_microseconds: self.alive_microseconds - before.alive_microseconds,
        }
    }

    /// All CPU time.
    pub fn cpu_microseconds(self) -> i64 {
        (self.user_microseconds + self.system_microseconds) as i64 + self.alive_microseconds
    }
}

/// Lets `server` tell its figures to whoever holds the other end of its standard input, a socket, and end with it.
///
/// # Errors
/// Where standard input is no socket.
pub fn tell_on_stdin(server: &mut BoundServer) -> io::Result<()> {
    let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    stream.set_nonblocking(true)?;
    let teller = Teller { meter: server.meter(), handle: server.handle() };
    server.reactor().adopt(stream, Box::new(teller))
}

struct Teller {
    meter: Meter,
    handle: Handle,
}

impl Protocol for Teller {
    fn receive(&mut self, _: &[u8], cx: &mut Context<'_>) -> usize {
        let line = serde_json::to_vec(&Figures::read(&self.meter)).expect("numbers are JSON");
        cx.out().write(&line);
        cx.out().write(b"\n");
        1
    }

    fn cue(&mut self, cue: Cue, _: &mut Context<'_>) {
        match cue {
            Cue::EndOfInput | Cue::Closed => self.handle.stop(),
            Cue::Opened | Cue::Room | Cue::Woken | Cue::DeadlinePassed | Cue::ShuttingDown => {}
        }
    }

    fn input_max(&self) -> usize {
        1
    }
}
