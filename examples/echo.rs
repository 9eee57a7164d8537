//! Lines come back as they came: the loop without HTTP.
//!
//! `cargo run --example echo`, then `nc 127.0.0.1 7000`. `cargo run --example echo -- poll` waits by poll(2).

use std::net::TcpListener;
use std::time::Duration;
use tripoll::poller::{Backend, Strategy, Trigger};
use tripoll::protocol::{Context, Cue, Deadline, Protocol};
use tripoll::reactor::{Limits, Reactor};

const LINE_BYTES_MAX: usize = 4096;
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

struct Echo;

impl Protocol for Echo {
    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        cx.deadline(Deadline::Idle(IDLE_TIMEOUT));
        match input.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n') {
            Some(end) => {
                cx.out().write(&input[..=end]);
                end + 1
            }
            None => {
                if input.len() >= LINE_BYTES_MAX {
                    cx.out().write(b"that line is too long\n");
                    cx.finish();
                }
                0
            }
        }
    }

    fn cue(&mut self, cue: Cue, cx: &mut Context<'_>) {
        match cue {
            Cue::Opened => cx.deadline(Deadline::Idle(IDLE_TIMEOUT)),
            Cue::EndOfInput | Cue::DeadlinePassed | Cue::ShuttingDown => cx.finish(),
            Cue::Room | Cue::Woken | Cue::Closed => {}
        }
    }

    fn input_max(&self) -> usize {
        LINE_BYTES_MAX
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let backend = std::env::args().nth(1).map_or(Ok(Backend::default()), |word| word.parse())?;
    let mut reactor = Reactor::new(Strategy::new(backend, Trigger::Level, None)?, Limits::default())?;
    let listener = TcpListener::bind("127.0.0.1:7000")?;
    listener.set_nonblocking(true)?;
    println!("echoing lines at {} ({backend}); try: nc 127.0.0.1 7000", listener.local_addr()?);
    reactor.listen(listener, |_peer| Box::new(Echo) as Box<dyn Protocol>)?;
    Ok(reactor.run()?)
}
