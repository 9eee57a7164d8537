//! Sockets whose operations let the task wait in place of the thread.
//!
//! Invariant: a source is watched for what somebody waits for. It is widened when somebody begins to wait, narrowed when an event comes.

use super::executor::Core;
use crate::poller::{Direction, Event, Interest, Token};
use crate::sys::{self, Linux};
use crate::transport::{self, Accepted};
use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::mem;
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Connections that wait to be accepted; listen(2) cuts it to what the system allows.
const BACKLOG: u32 = 4096;

/// A stream socket. Several tasks may use it, as one that reads and one that writes: share it by an [`Rc`]. Dropping it closes it.
///
/// It belongs to the [`run`](super::run) that it was made in: nobody resumes who waits for it elsewhere.
pub struct Stream(Watched);

/// A socket that listens.
pub struct Listener {
    watched: Watched,
    address: SocketAddr,
}

/// A socket, and who waits for it.
pub struct Source {
    socket: OwnedFd,
    waiting: RefCell<Waiting>,
    /// An event said that its end is behind what can be read.
    has_ended: Cell<bool>,
}

#[derive(Default)]
struct Waiting {
    readers: Vec<(u64, Waker)>,
    writers: Vec<(u64, Waker)>,
    /// Who waits has a number, so that who gives up finds its own place.
    next_number: u64,
}

/// A source that has a place with an executor.
struct Watched {
    core: Rc<Core>,
    source: Rc<Source>,
    token: Token,
}

/// Waits for one event of one direction.
struct Readiness<'a> {
    watched: &'a Watched,
    direction: Direction,
    /// Once it waits.
    number: Option<u64>,
}

impl Stream {
    /// A connection to `to`.
    ///
    /// # Errors
    /// What connect(2) and the poller say.
    ///
    /// # Panics
    /// Outside [`run`](super::run).
    pub async fn connect(to: SocketAddrV4) -> io::Result<Stream> {
        let stream = Stream::new(Core::current(), sys::connect(None, to)?).map_err(without_socket)?;
        // Nothing can be sent until it is connected, not even nothing.
        stream.write(&[]).await?;
        Ok(stream)
    }

    /// An error comes with the socket.
    pub(super) fn new(core: Rc<Core>, socket: OwnedFd) -> Result<Stream, (io::Error, OwnedFd)> {
        Watched::new(core, socket).map(Stream)
    }

    /// Waits for an event of that direction, which is a hint.
    pub(crate) fn ready(&self, direction: Direction) -> impl Future<Output = io::Result<()>> + Unpin + use<'_> {
        Readiness { watched: &self.0, direction, number: None }
    }

    /// To be told as [`Poller::exhausted`](crate::poller::Poller::exhausted).
    pub(crate) fn exhausted(&self, direction: Direction) {
        self.0.core.exhausted(self.as_fd(), direction);
    }

    /// As [`Event::ended`].
    pub(crate) fn has_ended(&self) -> bool {
        self.0.source.has_ended.get()
    }

    /// Reads what is there, at most as much as fits, and waits where nothing is there: 0 is the end of the stream.
    ///
    /// # Errors
    /// What recv(2) and the poller say.
    pub async fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        self.0.attempt(Direction::Read, |socket| sys::receive(socket, into)).await
    }

    /// Writes as much as the kernel takes now, and waits where it takes nothing.
    ///
    /// # Errors
    /// What send(2) and the poller say.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.attempt(Direction::Write, |socket| sys::send(socket, bytes, false)).await
    }

    /// Writes all, waiting as often as it has to.
    ///
    /// # Errors
    /// As [`write`](Self::write); how much went before is not said.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            bytes = &bytes[self.write(bytes).await?..];
        }
        Ok(())
    }

    /// Says that no more will be written: the peer reads all, then the end of the stream.
    ///
    /// # Errors
    /// What shutdown(2) says.
    pub fn shutdown_write(&self) -> io::Result<()> {
        sys::shutdown_write(self.as_fd())
    }
}

impl Listener {
    /// Listens at `address`; port 0 lets the kernel choose.
    ///
    /// # Errors
    /// What socket(2), bind(2), listen(2) and the poller say.
    ///
    /// # Panics
    /// Outside [`run`](super::run).
    pub fn bind(address: SocketAddr) -> io::Result<Listener> {
        Listener::try_from(TcpListener::from(sys::listen(address, BACKLOG)?))
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Waits for a connection: with who is at its other end.
    ///
    /// # Errors
    /// What accept(2) says of this process, mostly that no descriptor is left, and what the poller says of the new one. Who asks again at once
    /// is told the same: it is time to [`sleep`](super::sleep).
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let accept = |listener: BorrowedFd<'_>| match transport::accept(&mut Linux::default(), listener) {
            Accepted::Connection(socket, peer) => Ok((socket, peer)),
            Accepted::Nothing => Err(ErrorKind::WouldBlock.into()),
            Accepted::Lost => Err(ErrorKind::Interrupted.into()), // The next may be there.
            Accepted::Short(error) | Accepted::Unable(error) => Err(error),
        };
        let (socket, peer) = self.watched.attempt(Direction::Read, accept).await?;
        Ok((Stream::new(self.watched.core.clone(), socket).map_err(without_socket)?, peer))
    }
}

impl TryFrom<TcpStream> for Stream {
    type Error = io::Error;
    /// Panics outside [`run`](super::run).
    fn try_from(stream: TcpStream) -> io::Result<Stream> {
        stream.set_nonblocking(true)?;
        Stream::new(Core::current(), stream.into()).map_err(without_socket)
    }
}

impl TryFrom<UnixStream> for Stream {
    type Error = io::Error;
    /// Panics outside [`run`](super::run).
    fn try_from(stream: UnixStream) -> io::Result<Stream> {
        stream.set_nonblocking(true)?;
        Stream::new(Core::current(), stream.into()).map_err(without_socket)
    }
}

impl TryFrom<TcpListener> for Listener {
    type Error = io::Error;
    /// Panics outside [`run`](super::run).
    fn try_from(listener: TcpListener) -> io::Result<Listener> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let watched = Watched::new(Core::current(), listener.into()).map_err(without_socket)?;
        Ok(Listener { watched, address })
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.source.as_fd()
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Source {
    /// Moves those who wait for what `event` says into `into`; what is still waited for.
    pub fn take_waiting(&self, event: &Event, into: &mut Vec<Waker>) -> Interest {
        self.has_ended.set(self.has_ended.get() | event.ended);
        let mut waiting = self.waiting.borrow_mut();
        for (is_ready, direction) in [(event.readable, Direction::Read), (event.writable, Direction::Write)] {
            if is_ready {
                into.extend(waiting.of(direction).drain(..).map(|(_, waker)| waker));
            }
        }
        waiting.interest()
    }
}

impl Waiting {
    fn of(&mut self, direction: Direction) -> &mut Vec<(u64, Waker)> {
        match direction {
            Direction::Read => &mut self.readers,
            Direction::Write => &mut self.writers,
        }
    }

    fn interest(&self) -> Interest {
        Interest::new(!self.readers.is_empty(), !self.writers.is_empty())
    }
}

/// Of an error that came with a socket, which is closed.
fn without_socket((error, _): (io::Error, OwnedFd)) -> io::Error {
    error
}

impl Watched {
    fn new(core: Rc<Core>, socket: OwnedFd) -> Result<Watched, (io::Error, OwnedFd)> {
        let source = Rc::new(Source { socket, waiting: RefCell::default(), has_ended: Cell::new(false) });
        match core.watch(&source) {
            Ok(token) => Ok(Watched { core, source, token }),
            Err(error) => Err((error, Rc::into_inner(source).expect("the core has let go of it").socket)),
        }
    }

    /// Lets `call` try until it says something else than "not now".
    async fn attempt<T>(
        &self,
        direction: Direction,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        self.core.step().await;
        loop {
            match call(self.source.as_fd()) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.core.exhausted(self.source.as_fd(), direction);
                    Readiness { watched: self, direction, number: None }.await?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.core.unwatch(self.token);
    }
}

impl Future for Readiness<'_> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Watched { core, source, token } = self.watched;
        let (mut waiting, direction) = (source.waiting.borrow_mut(), self.direction);
        let Some(number) = self.number else {
            let number = waiting.next_number;
            waiting.next_number += 1;
            let places = waiting.of(direction);
            places.reserve_exact(1); // Mostly there is one, and a vector would begin with four.
            places.push((number, cx.waker().clone()));
            self.number = Some(number);
            return match core.watch_for(source.as_fd(), *token, waiting.interest()) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            };
        };
        let Some((_, waker)) = waiting.of(direction).iter_mut().find(|(other, _)| *other == number) else {
            return Poll::Ready(Ok(()));
        };
        let before = (!waker.will_wake(cx.waker())).then(|| mem::replace(waker, cx.waker().clone()));
        drop(waiting);
        drop(before); // Nothing is borrowed.
        Poll::Pending
    }
}

impl Drop for Readiness<'_> {
    /// Who gives up leaves its place. That nobody waits any more is told to the poller when an event comes.
    fn drop(&mut self) {
        let mut waiting = self.watched.source.waiting.borrow_mut();
        let places = waiting.of(self.direction);
        let at = places.iter().position(|(number, _)| Some(*number) == self.number);
        let left = at.map(|at| places.remove(at));
        drop(waiting);
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{run, timeout};
    use super::*;
    use crate::poller::Strategy;
    use std::time::Duration;

    #[test]
    fn who_gives_up_leaves_nothing_behind() {
        for strategy in Strategy::ALL {
            let gives_up = async move {
                let (stream, _peer) = UnixStream::pair().unwrap();
                let stream = Stream::try_from(stream).unwrap();
                for _ in 0..10 {
                    assert!(timeout(Duration::ZERO, stream.read(&mut [0])).await.is_err());
                }
                assert!(stream.0.source.waiting.borrow().readers.is_empty(), "{strategy}");
            };
            run(strategy, gives_up).unwrap();
        }
    }
}
