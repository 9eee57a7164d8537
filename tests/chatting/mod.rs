//! The example `chat` on a thread of its own, stopped when it goes out of scope, and its users.
#![allow(dead_code)] // Not every test needs all of it.

#[path = "../../examples/chat/main.rs"]
pub mod chat;
#[path = "../ways/mod.rs"]
#[allow(clippy::duplicate_mod)] // Others have it too, and some tests have both.
mod ways;

pub use ways::Way;

use chat::event::Wire;
use chat::room::{PIPE_BYTES_MAX, Room, Seat};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, mpsc};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};
use tripoll::poller::Strategy;
use tripoll::protocol::{Now, Receiver, pipe};
use tripoll::reactor::Handle;
use tripoll::server::Meter;
use tripoll::{Backend, Model, Trigger};
use tungstenite::{Message, WebSocket};

/// What is waited for takes this long only where it never comes.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The example on a thread of its own.
pub struct Chat {
    pub page: SocketAddr,
    pub lines: SocketAddr,
    pub room: Arc<Room>,
    pub meter: Meter,
    handle: Handle,
    thread: Option<JoinHandle<tripoll::Result<()>>>,
}

impl Chat {
    pub fn new(way: impl Into<Way>) -> Chat {
        Chat::with_heartbeat(way, Duration::from_secs(15))
    }

    pub fn with_heartbeat(way: impl Into<Way>, heartbeat: Duration) -> Chat {
        Chat::at(0, way, heartbeat)
    }

    /// With its page at a port.
    pub fn at(port: u16, way: impl Into<Way>, heartbeat: Duration) -> Chat {
        let Way { model, strategy } = way.into();
        let (backend, trigger) = match strategy {
            Strategy::Select { .. } => (Backend::Select, Trigger::Level),
            Strategy::Poll => (Backend::Poll, Trigger::Level),
            Strategy::Epoll { trigger } => (Backend::Epoll, trigger),
        };
        let bind = "127.0.0.1".to_string();
        let coroutines = model == Model::Coroutines;
        let options = chat::Options { bind, port, line_port: 0, backend, trigger, coroutines, heartbeat };
        let room = Room::new(SystemTime::now());
        let (their_room, (tell, told)) = (room.clone(), mpsc::channel());
        let thread = std::thread::spawn(move || {
            let (server, lines) = chat::bind(&options, &their_room).unwrap();
            tell.send((server.addresses()[0], lines, server.meter(), server.handle())).unwrap();
            server.run()
        });
        let (page, lines, meter, handle) = told.recv().unwrap();
        Chat { page, lines, room, meter, handle, thread: Some(thread) }
    }

    /// A terminal whose user has been asked for a name.
    pub fn terminal(&self) -> Terminal {
        let stream = TcpStream::connect(self.lines).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut terminal = Terminal(BufReader::new(stream));
        assert_eq!(terminal.line(), "What is your name?");
        terminal
    }

    /// A terminal whose user is in.
    #[track_caller]
    pub fn terminal_of(&self, name: &str) -> Terminal {
        let mut terminal = self.terminal();
        terminal.say(name);
        let welcome = terminal.line();
        assert!(welcome.starts_with(&format!("Welcome, {name}. ")), "{welcome}");
        terminal
    }

    pub fn page(&self) -> Page {
        let stream = TcpStream::connect(self.page).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Page(tungstenite::client(format!("ws://{}/room", self.page), stream).unwrap().0)
    }

    #[track_caller]
    pub fn page_of(&self, name: &str) -> Page {
        let mut page = self.page();
        page.say(name);
        let welcome = page.event();
        assert_eq!((&welcome["kind"], &welcome["name"]), (&Value::from("welcome"), &Value::from(name)));
        page
    }

    /// A seat that no connection has, and what the room has for it.
    pub fn seat_of(&self, name: &str) -> (Seat, Receiver) {
        let mut receiver = None;
        let open = || {
            let (sender, theirs) = pipe(PIPE_BYTES_MAX, Waker::noop().clone());
            receiver = Some(theirs);
            sender
        };
        let seat = self.room.enter(name, Wire::Lines, now(), open).unwrap();
        (seat, receiver.unwrap())
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        self.handle.stop();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(Ok(())))), "the server failed: {ended:?}");
    }
}

pub fn now() -> Now {
    Now { monotonic: Instant::now(), wall: SystemTime::now() }
}

/// As nc.
pub struct Terminal(pub BufReader<TcpStream>);

impl Terminal {
    pub fn say(&mut self, line: &str) {
        self.send(format!("{line}\n").as_bytes());
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    #[track_caller]
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "it ended: {line:?}");
        line.trim_end().to_string()
    }

    #[track_caller]
    pub fn lines<const N: usize>(&mut self) -> [String; N] {
        std::array::from_fn(|_| self.line())
    }

    /// All that comes until the server closes.
    pub fn rest(mut self) -> String {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).unwrap();
        rest
    }
}

/// What the page says and hears.
pub struct Page(pub WebSocket<TcpStream>);

impl Page {
    pub fn say(&mut self, line: &str) {
        self.0.send(Message::text(line)).unwrap();
    }

    #[track_caller]
    pub fn event(&mut self) -> Value {
        loop {
            match self.0.read().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next event as a terminal would have it.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let event = self.event();
        let [name, text] = ["name", "text"].map(|field| event[field].as_str().unwrap_or_default());
        match event["kind"].as_str().unwrap() {
            "said" => format!("{name}: {text}"),
            "refused" => format!("({})", event["reason"].as_str().unwrap()),
            kind => format!("{name} {kind}"),
        }
    }
}

/// One of a crowd, who is asked for a name.
pub fn connect(chat: &Chat, wire: Wire) -> TcpStream {
    let (address, request, end) = match wire {
        Wire::Lines => (chat.lines, "", &b"?\n"[..]),
        Wire::Json => (chat.page, UPGRADE, &b"\r\n\r\n"[..]),
    };
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    read_until(&mut stream, end);
    stream
}

const UPGRADE: &str = "GET /room HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// Says a name that no other number has.
pub fn give_name(stream: &mut TcpStream, wire: Wire, number: usize) {
    let name = format!("member-{number}");
    let bytes = match wire {
        Wire::Lines => format!("{name}\n").into_bytes(),
        Wire::Json => [&[0x81, 0x80 | name.len() as u8, 0, 0, 0, 0], name.as_bytes()].concat(), // Masked with zeros.
    };
    stream.write_all(&bytes).unwrap();
}

/// Reads what ends so.
#[track_caller]
pub fn read_until(stream: &mut TcpStream, end: &[u8]) {
    let (mut read, mut buffer) = (Vec::new(), [0; 64 * 1024]);
    while !read.ends_with(end) {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "it ended after {}", String::from_utf8_lossy(&read[read.len().saturating_sub(100)..]));
        read.extend_from_slice(&buffer[..count]);
    }
}
