//! A client that trusts nobody: its own small reader of responses, strict where RFC 9112 is, and a socket that never
//! waits for ever.
#![allow(dead_code)] // Not every test needs all of it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longer than any answer takes on a busy machine: past it a hang is a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// A final answer, as it lay on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// All fields, in the order they came.
    pub fn fields(&self) -> &[(String, String)] {
        &self.fields
    }

    /// The value of a field, which stands there once or not at all.
    #[track_caller]
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(candidate, _)| candidate.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} is there twice: {:?}", self.fields);
        value
    }
}

/// The answer that `wire` begins with, and how long it is; `None` where more must come. Interim answers (1xx) before
/// it are read over. `to_head`: it answers HEAD, so no body follows; a service can say so by a field `X-Method: HEAD`
/// too.
pub fn read_answer(wire: &[u8], to_head: bool) -> Result<Option<(Answer, usize)>, String> {
    let Some(head_end) = wire.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&wire[..head_end]).map_err(|_| "the head is not text".to_string())?;
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = read_status_line(status_line).ok_or(format!("no status line: {status_line:?}"))?;
    let fields =
        lines.map(|line| read_field(line).ok_or(format!("no field: {line:?}"))).collect::<Result<Vec<_>, _>>()?;
    let body_begins = head_end + 4;
    let mut answer = Answer { status, fields, body: Vec::new() };
    if (100..200).contains(&status) {
        return match read_answer(&wire[body_begins..], to_head)? {
            _ if status != 104 && !answer.fields.is_empty() => Err(format!("an interim answer with fields: {head:?}")),
            None => Ok(None),
            Some((answer, length)) => Ok(Some((answer, body_begins + length))),
        };
    }
    for name in ["Date", "Content-Length", "Connection", "Content-Type", "ETag", "Location"] {
        answer.field(name); // At most once.
    }
    if answer.field("Date").is_none() {
        return Err(format!("no Date: {head:?}"));
    }
    let is_to_head = to_head || answer.field("X-Method") == Some("HEAD");
    if let Some(coding) = answer.field("Transfer-Encoding") {
        if coding != "chunked" || answer.field("Content-Length").is_some() {
            return Err(format!("two lengths, or a coding that is unknown: {head:?}"));
        }
        if is_to_head {
            return Ok(Some((answer, body_begins)));
        }
        let Some((body, length)) = read_chunks(&wire[body_begins..])? else { return Ok(None) };
        answer.body = body;
        return Ok(Some((answer, body_begins + length)));
    }
    let has_no_length = status == 204 || status == 304;
    let length = match answer.field("Content-Length") {
        None if has_no_length => 0,
        Some(digits) if !has_no_length && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse::<usize>().map_err(|_| format!("Content-Length: {digits}"))?
        }
        other => return Err(format!("{status} with Content-Length {other:?}")),
    };
    let length = if is_to_head { 0 } else { length };
    let Some(body) = wire.get(body_begins..body_begins + length) else { return Ok(None) };
    answer.body = body.to_vec();
    Ok(Some((answer, body_begins + length)))
}

/// The content of a chunked body and how long it lay on the wire; `None` where more must come.
fn read_chunks(wire: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    let (mut content, mut at) = (Vec::new(), 0);
    loop {
        let Some(line) = wire[at..].windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
        let digits = std::str::from_utf8(&wire[at..at + line]).unwrap_or("");
        let size = usize::from_str_radix(digits, 16).map_err(|_| format!("a chunk's size: {digits:?}"))?;
        at += line + 2;
        let Some(chunk) = wire.get(at..at + size + 2) else { return Ok(None) };
        if !chunk.ends_with(b"\r\n") {
            return Err("a chunk is longer than its size".into());
        }
        content.extend_from_slice(&chunk[..size]);
        at += size + 2;
        if size == 0 {
            return Ok(Some((content, at)));
        }
    }
}

fn read_status_line(line: &str) -> Option<u16> {
    let (status, reason) = line.strip_prefix("HTTP/1.1 ")?.split_at_checked(3)?;
    let is_reason = reason.starts_with(' ') && reason.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    status.parse().ok().filter(|status| is_reason && (100..600).contains(status))
}

fn read_field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(": ")?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_value = value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    (is_name && is_value).then(|| (name.to_string(), value.to_string()))
}

/// errno(3)
const EMFILE: i32 = 24;

/// A socket that is connected and waits for nothing longer than [`PATIENCE`]. A server in this process may have the last descriptor for a moment,
/// since accept(2) takes one even where nobody waits: then it tries again.
#[track_caller]
pub fn connect(address: SocketAddr) -> TcpStream {
    let give_up = Instant::now() + PATIENCE;
    let socket = loop {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Err(error) if error.raw_os_error() == Some(EMFILE) && Instant::now() < give_up => {}
            connected => break connected.expect("the server listens"),
        }
    };
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// A connection to a server.
pub struct Client {
    socket: TcpStream,
    /// What was received and not read as an answer yet.
    received: Vec<u8>,
}

impl Client {
    #[track_caller]
    pub fn new(address: SocketAddr) -> Client {
        let socket = connect(address);
        socket.set_nodelay(true).unwrap();
        Client { socket, received: Vec::new() }
    }

    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).expect("the server takes what is sent");
    }

    /// The next answer.
    #[track_caller]
    pub fn answer(&mut self, to_head: bool) -> Answer {
        loop {
            match read_answer(&self.received, to_head) {
                Ok(Some((answer, length))) => {
                    self.received.drain(..length);
                    return answer;
                }
                Ok(None) => assert!(self.receive(), "cut off: {}", self.received.escape_ascii()),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// What comes, up to and with `wanted`.
    #[track_caller]
    pub fn until(&mut self, wanted: impl AsRef<[u8]>) -> Vec<u8> {
        let wanted = wanted.as_ref();
        loop {
            if let Some(at) = self.received.windows(wanted.len()).position(|window| window == wanted) {
                return self.received.drain(..at + wanted.len()).collect();
            }
            assert!(self.receive(), "no {} in {}", wanted.escape_ascii(), self.received.escape_ascii());
        }
    }

    /// Says that no more is sent, where that was not said, and returns all that comes until the server closes.
    #[track_caller]
    pub fn rest(mut self, half_closes: bool) -> Vec<u8> {
        if half_closes {
            let _ = self.socket.shutdown(Shutdown::Write); // The server may have closed first.
        }
        while self.receive() {}
        self.received
    }

    /// The connection itself, of which nothing more was read.
    pub fn into_stream(self) -> TcpStream {
        self.socket
    }

    /// Whether there was more.
    #[track_caller]
    fn receive(&mut self) -> bool {
        let mut buffer = [0; 64 * 1024];
        let count = loop {
            match self.socket.read(&mut buffer) {
                Ok(count) => break count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{error}, after {} bytes", self.received.len()),
            }
        };
        self.received.extend_from_slice(&buffer[..count]);
        count > 0
    }
}

/// Asserts that a server answers with its file `a.txt`, whose content is `content`.
#[track_caller]
pub fn is_well(address: SocketAddr) {
    let mut client = Client::new(address);
    client.send("GET /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let answer = client.answer(false);
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"content"[..]));
    assert_eq!(client.rest(true), b"");
}
