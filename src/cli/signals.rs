//! Signals come as bytes on a socket, so the loop hears of them as of everything else: a protocol like any other.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use tripoll::protocol::{Context, Cue, Protocol};
use tripoll::reactor::{Handle, Shutdown};
use tripoll::server::BoundServer;
use tripoll::sys::{self, Signal};

/// A request may be on its way to a server that is told to end by another program. A person at the keyboard waits.
const PATIENCE: Duration = Duration::from_secs(1);

/// From now on SIGTERM and SIGINT let the server finish what is in flight, for `grace` at most; a second one ends the process at once.
pub fn shut_down_on_signals(server: &mut BoundServer, grace: Duration) -> io::Result<()> {
    let (ours, theirs) = UnixStream::pair()?;
    for end in [&ours, &theirs] {
        end.set_nonblocking(true)?; // The handler must not block either.
    }
    sys::forward_signals(&[Signal::Interrupt, Signal::Terminate], theirs.into())?;
    let signals = Signals { handle: server.handle(), grace, is_second: false };
    server.reactor().adopt(ours, Box::new(signals))
}

/// Each byte is the number of a signal that came.
struct Signals {
    handle: Handle,
    grace: Duration,
    is_second: bool,
}

impl Protocol for Signals {
    fn receive(&mut self, input: &[u8], _: &mut Context<'_>) -> usize {
        let number = input[0];
        if std::mem::replace(&mut self.is_second, true) {
            // As a shell tells of a process that a signal ended.
            std::process::exit(128 + i32::from(number));
        }
        let patience = if Signal::Interrupt.has_number(number) { Duration::ZERO } else { PATIENCE };
        self.handle.shut_down(Shutdown { grace: self.grace, patience });
        1
    }

    fn cue(&mut self, _: Cue, _: &mut Context<'_>) {}

    fn input_max(&self) -> usize {
        1
    }
}
