//! Signals come as bytes on a socket, so the loop hears of them as of everything else: a protocol like any other.

use std::io;
use std::os::unix::net::UnixStream;
use tripoll::protocol::{Context, Cue, Protocol};
use tripoll::reactor::Handle;
use tripoll::server::BoundServer;
use tripoll::sys::{self, Signal};

/// From now on SIGINT and SIGTERM stop the server.
pub fn stop_on_signals(server: &mut BoundServer) -> io::Result<()> {
    let (ours, theirs) = UnixStream::pair()?;
    for end in [&ours, &theirs] {
        end.set_nonblocking(true)?; // The handler must not block either.
    }
    sys::forward_signals(&[Signal::Interrupt, Signal::Terminate], theirs.into())?;
    let stop = Stop(server.handle());
    server.reactor().adopt(ours, Box::new(stop))
}

/// Stops the server at the first byte.
struct Stop(Handle);

impl Protocol for Stop {
    fn receive(&mut self, input: &[u8], _: &mut Context<'_>) -> usize {
        self.0.stop();
        input.len()
    }

    fn cue(&mut self, cue: Cue, cx: &mut Context<'_>) {
        match cue {
            Cue::EndOfInput | Cue::DeadlinePassed | Cue::ShuttingDown => cx.finish(),
            Cue::Opened | Cue::Room | Cue::Woken | Cue::Closed => {}
        }
    }

    fn input_max(&self) -> usize {
        1
    }
}
