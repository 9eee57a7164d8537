//! Idle connections, held open by a process of their own, so that the generator's descriptors are its own.
//!
//! Each gets one answer first: a server has then seen all of it, and waits for its next request.

use super::interrupt::Interrupt;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::str::FromStr;
use std::time::Duration;
use tripoll::sys;

/// Connections that are opened at a time.
const BATCH: usize = 128;

/// Connections from one address: fewer than the ports that the kernel has for them.
const PER_ADDRESS_MAX: usize = 20_000;

/// Descriptors of the holder that are no connections of its own.
const DESCRIPTORS_RESERVED: usize = 32;

/// Longer than a server needs for a batch.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often it is looked whether somebody pressed Ctrl-C while a holder is waited for.
const LOOK: Duration = Duration::from_millis(50);

const REQUEST: &[u8] = b"GET /1k.txt HTTP/1.1\r\nHost: lab\r\n\r\n";
const GOOD: &[u8] = b"HTTP/1.1 200 ";

/// How many connections are to be held, towards whom: `127.0.0.1:8000,1000` as a word of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    pub address: SocketAddrV4,
    pub connections: usize,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.address, self.connections)
    }
}

impl FromStr for Order {
    type Err = String;
    fn from_str(word: &str) -> Result<Order, String> {
        let parts = word.split_once(',').and_then(|(address, connections)| {
            Some(Order { address: address.parse().ok()?, connections: connections.parse().ok()? })
        });
        parts.ok_or_else(|| "it is ADDRESS:PORT,CONNECTIONS".into())
    }
}

/// How many idle connections a process can hold here.
///
/// # Errors
/// What getrlimit(2) says.
pub fn connections_max() -> io::Result<usize> {
    Ok(usize::try_from(sys::raise_descriptor_limit()?).unwrap_or(usize::MAX).saturating_sub(DESCRIPTORS_RESERVED))
}

/// The holder: opens, says how many it holds on a line, and each time it is sent a line how many are still open; ends with its input.
///
/// # Errors
/// What its pipes say.
pub fn hold(order: Order) -> io::Result<()> {
    sys::raise_descriptor_limit()?;
    let mut held = Vec::new();
    while held.len() < order.connections {
        let wanted = BATCH.min(order.connections - held.len());
        let opened = open_batch(order.address, held.len(), wanted);
        let is_refused = opened.len() < wanted;
        held.extend(opened);
        if is_refused {
            break; // The server has no more room, or is gone: more attempts would only disturb it.
        }
    }
    let mut stdout = io::stdout();
    writeln!(stdout, "{}", held.len())?;
    for line in io::stdin().lines() {
        line?;
        held.retain(is_open);
        writeln!(stdout, "{}", held.len())?;
    }
    Ok(())
}

/// Opens some at once, so that a server's turn has many to see to, and keeps those that were answered.
fn open_batch(address: SocketAddrV4, held: usize, wanted: usize) -> Vec<TcpStream> {
    let source = |index: usize| {
        let host = u8::try_from((held + index) / PER_ADDRESS_MAX).unwrap_or(u8::MAX - 2);
        Some(Ipv4Addr::new(127, 0, 0, 2 + host))
    };
    let begun: Vec<TcpStream> =
        (0..wanted).map_while(|index| sys::connect(source(index), address).ok()).map(TcpStream::from).collect();
    let ask = |mut stream: TcpStream| -> io::Result<TcpStream> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(REQUEST)?; // Waits until it is connected.
        Ok(stream)
    };
    let asked: Vec<TcpStream> = begun.into_iter().flat_map(ask).collect();
    asked.into_iter().filter(was_answered).collect()
}

/// Takes the whole answer. Whether it was a good one.
fn was_answered(stream: &TcpStream) -> bool {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length, mut is_good) = (Vec::new(), 0, false);
    loop {
        line.clear();
        match reader.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return false,
            Ok(_) if line == b"\r\n" => break,
            Ok(_) => {}
        }
        is_good |= line.starts_with(GOOD);
        if let Some(value) = line.to_ascii_lowercase().strip_prefix(b"content-length:") {
            length = std::str::from_utf8(value).ok().and_then(|value| value.trim().parse().ok()).unwrap_or(0);
        }
    }
    let taken = io::copy(&mut reader.take(length), &mut io::sink());
    is_good && taken.is_ok_and(|taken| taken == length) && stream.set_nonblocking(true).is_ok()
}

fn is_open(stream: &TcpStream) -> bool {
    let mut stream = stream;
    stream.read(&mut [0; 1]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// A holder that runs, and ends with this value.
pub struct Held<'a> {
    process: Child,
    pipe: BufReader<UnixStream>,
    connections: usize,
    interrupt: &'a Interrupt,
}

impl Held<'_> {
    /// Lets `program` hold the connections of `order`; comes back when they are open.
    ///
    /// # Errors
    /// Where it can't be started or does not answer, or is interrupted.
    pub fn open<'a>(program: &Path, order: Order, core: usize, interrupt: &'a Interrupt) -> io::Result<Held<'a>> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(LOOK))?;
        let mut command = Command::new(program);
        command.args(["--lab-hold", &order.to_string()]).process_group(0);
        command.stdin(OwnedFd::from(theirs.try_clone()?)).stdout(OwnedFd::from(theirs));
        let process = command.spawn()?;
        drop(command); // With it go our copies of the holder's end: else its end were no end of input here.
        let mut held = Held { process, pipe: BufReader::new(ours), connections: 0, interrupt };
        sys::pin(Some(held.process.id()), core)?;
        held.connections = held.answer()?;
        Ok(held)
    }

    /// How many it could open.
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// How many of them the server closed since.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn lost(&mut self) -> io::Result<usize> {
        self.pipe.get_mut().write_all(b"\n")?;
        Ok(self.connections - self.answer()?)
    }

    fn answer(&mut self) -> io::Result<usize> {
        let mut line = Vec::new();
        while let Err(error) = self.pipe.read_until(b'\n', &mut line) {
            // Opening thousands may take a minute: Ctrl-C is heard meanwhile.
            if error.kind() != io::ErrorKind::WouldBlock || self.interrupt.came() {
                return Err(error);
            }
        }
        let number = std::str::from_utf8(&line).ok().and_then(|line| line.trim().parse().ok());
        number.ok_or_else(|| io::Error::other("the holder of idle connections does not answer"))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
