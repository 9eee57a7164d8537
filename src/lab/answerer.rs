//! A server that parses nothing: what a generator can do at most is measured against it.

use super::generator;
use super::interrupt::Interrupt;
use super::load::{Load, Measured};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use tripoll::poller::{Strategy, Trigger};
use tripoll::protocol::{Chunk, Context, Cue, Protocol};
use tripoll::reactor::{Limits, Reactor, Shutdown};
use tripoll::sys;

/// Takes requests of a known length and gives each the same bytes.
struct Answerer {
    request_bytes: usize,
    answer: Arc<[u8]>,
}

impl Protocol for Answerer {
    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        if input.len() < self.request_bytes {
            return 0;
        }
        cx.out().push(Chunk::Shared(self.answer.clone()));
        self.request_bytes
    }

    fn cue(&mut self, cue: Cue, cx: &mut Context<'_>) {
        match cue {
            Cue::EndOfInput | Cue::ShuttingDown => cx.finish(),
            Cue::Opened | Cue::Room | Cue::Woken | Cue::DeadlinePassed | Cue::Closed => {}
        }
    }

    fn input_max(&self) -> usize {
        self.request_bytes
    }
}

/// Runs `load` against the answerer, which runs on `core`, instead of its own address.
///
/// # Errors
/// What the sockets and the loop say.
pub fn measure(load: &Load, core: usize, interrupt: &Interrupt) -> io::Result<Measured> {
    let socket = sys::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), 4096)?;
    let listener: std::net::TcpListener = socket.into();
    let SocketAddr::V4(address) = listener.local_addr()? else { unreachable!("bound to an address of version 4") };
    let answer = answer(load.ask.answer_bytes);
    let request_bytes = load.ask.request.len();
    let (tell, told) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || -> io::Result<()> {
        sys::pin(None, core)?;
        let strategy = Strategy::Epoll { trigger: Trigger::Level };
        let mut reactor = Reactor::new(strategy, Limits::default())?;
        reactor.listen(listener, move |_peer| {
            Box::new(Answerer { request_bytes, answer: answer.clone() }) as Box<dyn Protocol>
        })?;
        let _ = tell.send(reactor.handle());
        reactor.run()
    });
    let handle = told.recv();
    let measured = match &handle {
        Ok(_) => generator::run(
            &Load { address: SocketAddrV4::new(*address.ip(), address.port()), ..load.clone() },
            interrupt,
            |_| Ok(()),
        ),
        Err(_) => Err(io::ErrorKind::Other.into()), // The thread says why.
    };
    if let Ok(handle) = handle {
        handle.shut_down(Shutdown { grace: std::time::Duration::ZERO, patience: std::time::Duration::ZERO });
    }
    thread.join().expect("it does not panic")?;
    measured
}

/// An answer of so many bytes in all.
fn answer(bytes: usize) -> Arc<[u8]> {
    let mut answer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    answer.resize(bytes.max(answer.len()), b'x');
    answer.into()
}
