//! Ctrl-C: what is being measured is dropped, what was measured is kept.

use std::cell::Cell;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use tripoll::sys::{self, Signal};

/// Whether SIGINT or SIGTERM came. By default signals are none of its business.
#[derive(Debug, Default)]
pub struct Interrupt {
    signals: Option<UnixStream>,
    came: Cell<bool>,
}

impl Interrupt {
    /// From now on the two signals are told here.
    ///
    /// # Errors
    /// What socketpair(2) and sigaction(2) say.
    pub fn listen() -> io::Result<Interrupt> {
        let (ours, theirs) = UnixStream::pair()?;
        for end in [&ours, &theirs] {
            end.set_nonblocking(true)?; // The handler must not block either.
        }
        sys::forward_signals(&[Signal::Interrupt, Signal::Terminate], theirs.into())?;
        Ok(Interrupt { signals: Some(ours), came: Cell::new(false) })
    }

    /// Asks the kernel: a system call, so not to be asked for every request.
    pub fn came(&self) -> bool {
        if let Some(mut signals) = self.signals.as_ref().filter(|_| !self.came.get()) {
            self.came.set(signals.read(&mut [0; 1]).is_ok_and(|count| count > 0));
        }
        self.came.get()
    }
}
