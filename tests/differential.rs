//! One server, however it waits: streams of requests that a seed makes (lawful, broken, pipelined, cut off) get the same bytes, Date aside, and
//! the same end of the connection, from each backend and model over a socket and from the Link alone.
//!
//! A failure names its seed. `TRIPOLL_SEED=7 TRIPOLL_STREAMS=1 cargo test --test differential` tries that stream again, and
//! `TRIPOLL_STREAMS=20000` many more than the sample.

#[allow(dead_code)] // It has listeners of its own.
mod serving;
mod wire;

use serving::{Serving, Way};
use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tripoll::Model;
use tripoll::files::{Files, Options};
use tripoll::http::{Limits, Listener, Request, Response, Service, StatusCode, format_date};
use tripoll::poller::Strategy;
use tripoll::protocol::{Link, Now};
use tripoll::router::{Endpoint, Router};
use tripoll::sys;
use wire::Wire;

/// Streams of each test, where `TRIPOLL_STREAMS` does not say how many.
const SAMPLE: u64 = 1_000;

/// Clients at a time: a loop has others to serve while one is slow.
const CLIENTS: u64 = 4;

/// Sent when all that is owed was received: its answer shows that the connection goes on.
const PROBE: &[u8] = b"GET /ping HTTP/1.1\r\nHost: h\r\nX-Probe: 1\r\n\r\n";

/// Longer than any answer takes on a busy machine: past it a hang is a failure.
const PATIENCE_MS: i32 = 30_000;

#[test]
fn every_backend_and_model_answers_as_the_link_does() {
    compare(&Reading { served_buffers_bytes: None, buffers_bytes: None, read_bytes_max: 64 * 1024 });
}

#[test]
fn every_backend_and_model_answers_as_the_link_does_to_a_slow_reader_through_small_buffers() {
    // Were its own buffers as small, each window would wait for a timer of the kernel's: 300 ms an answer.
    compare(&Reading {
        served_buffers_bytes: Some(4 * 1024),
        buffers_bytes: Some(64 * 1024),
        read_bytes_max: 4 * 1024,
    });
}

/// How a client takes its answers.
struct Reading {
    /// Of the server's sockets.
    served_buffers_bytes: Option<u32>,
    /// Of its own.
    buffers_bytes: Option<u32>,
    read_bytes_max: usize,
}

fn compare(reading: &Reading) {
    let site = Site::new();
    let serve = |way: Way| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        if let Some(bytes) = reading.served_buffers_bytes {
            sys::set_buffers(listener.as_fd(), bytes).unwrap();
        }
        (way, Serving::at(listener, way, site.service.clone(), limits()))
    };
    let models = [Model::Iterative, Model::Threads, Model::ThreadPool { workers: 2 }];
    let loops = Strategy::ALL.into_iter().flat_map(|strategy| [Way::from(strategy), Way::coroutines(strategy)]);
    let ways = loops.chain(models.map(Way::from));
    let servers: Vec<_> = ways.map(serve).collect();
    let number = |name: &str, default: u64| {
        std::env::var(name)
            .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
    };
    let (seed, streams) = (number("TRIPOLL_SEED", 1), number("TRIPOLL_STREAMS", SAMPLE));
    std::thread::scope(|scope| {
        for worker in 0..CLIENTS {
            let (site, servers) = (&site, &servers);
            scope.spawn(move || {
                for seed in (seed + worker..seed + streams).step_by(CLIENTS as usize) {
                    let stream = Stream::of(seed, &site.tags);
                    let want = site.said_by_the_link(&stream);
                    for (way, server) in servers {
                        let got = said_over_a_socket(server.address, &stream, &want, reading);
                        check(&got, &want.all, &format!("{way}, {stream}"));
                    }
                }
            });
        }
    });
    println!("{streams} streams from seed {seed}, each to {} servers", servers.len());
}

#[track_caller]
fn check(got: &[u8], want: &[u8], about: &str) {
    if got != want {
        let at = got.iter().zip(want).take_while(|(got, want)| got == want).count();
        let near = |bytes: &[u8]| bytes[at.saturating_sub(100)..bytes.len().min(at + 100)].escape_ascii().to_string();
        let (got_length, want_length) = (got.len(), want.len());
        panic!(
            "{about}\n\n{got_length} bytes and not {want_length}; they differ at {at}:\n  {}\nand not\n  {}",
            near(got),
            near(want)
        );
    }
}

/// Small enough that streams reach each of them.
fn limits() -> Limits {
    Limits {
        request_line_bytes_max: 300,
        head_bytes_max: 1_000,
        body_bytes_max: 6_000,
        discard_bytes_max: 2_000,
        ..Limits::default()
    }
}

/// What the Link said.
struct Said {
    /// Until the client's last byte.
    first: Vec<u8>,
    /// To the end of the connection: the same, and what its end, or the probe and then its end, brought.
    all: Vec<u8>,
    /// The client has to end the connection.
    is_open: bool,
}

/// What is asked: a folder and routes.
struct Site {
    service: Arc<dyn Service>,
    /// ETags of its files.
    tags: Vec<String>,
    _folder: TempDir,
}

impl Site {
    fn new() -> Site {
        let folder = tempfile::tempdir().unwrap();
        let add = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, bytes).unwrap();
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(changed()).unwrap();
        };
        let numbers: String = (0..60_000).fold(String::new(), |mut text, number| {
            let _ = writeln!(text, "{number}");
            text
        });
        add("hello.txt", b"Hello, world!\n");
        add("empty.txt", b"");
        add("large.txt", numbers.as_bytes());
        add("a b.html", b"<p>a b</p>");
        add("style.css", &[b'x'; 3_000]);
        // What is compressed need not be what is not, to tell which was sent.
        add("style.css.gz", &[b'z'; 300]);
        add("style.css.br", &[b'b'; 200]);
        add("folder/index.html", b"<p>index</p>");
        add("list/one.txt", b"1");
        add("list/two.txt", b"22");
        add("404.html", b"<p>not here</p>");
        for path in ["list", "folder", "."] {
            std::fs::File::open(folder.path().join(path)).unwrap().set_modified(changed()).unwrap();
        }
        let service = service(folder.path());
        let mut site = Site { service, tags: Vec::new(), _folder: folder };
        site.tags = ["hello.txt", "large.txt", "style.css"].map(|name| site.strong_tag(name)).into();
        site
    }

    /// Asks until the tag is strong: it is weak as long as the file was changed a moment ago.
    fn strong_tag(&self, name: &str) -> String {
        loop {
            let said = self.link().answer(format!("HEAD /{name} HTTP/1.0\r\n\r\n").as_bytes(), now()).unwrap();
            let head = String::from_utf8(said).unwrap();
            let tag = head.lines().find_map(|line| line.strip_prefix("ETag: ")).expect("a file has a tag");
            if !tag.starts_with("W/") {
                return tag.to_string();
            }
            std::thread::yield_now();
        }
    }

    fn listener(&self) -> Listener {
        Listener::new(self.service.clone(), limits())
    }

    fn link(&self) -> Link {
        Link::new(Box::new(self.listener().connection(([127, 0, 0, 1], 9).into())))
    }

    /// Whole, byte by byte, and cut as the stream says: all the same.
    fn said_by_the_link(&self, stream: &Stream) -> Said {
        let said = |pieces: &[&[u8]]| {
            let mut wire = Wire::new(&self.listener(), now().wall);
            pieces.iter().for_each(|piece| wire.feed(piece));
            let (first, is_open) = (without_what_may_differ(&wire.sent), wire.is_open());
            if stream.end == End::AfterProbe && is_open {
                wire.feed(PROBE);
            }
            wire.end_of_input();
            assert!(!wire.is_open(), "a client that has said all and heard all is let go: {stream}");
            Said { first, all: without_what_may_differ(&wire.sent), is_open }
        };
        let whole = said(&[&stream.bytes]);
        for (how, pieces) in [("byte by byte", stream.bytes.chunks(1).collect()), ("in pieces", stream.pieces())] {
            let got = said(&pieces);
            check(&got.all, &whole.all, &format!("the Link {how}, {stream}"));
            assert_eq!(got.is_open, whole.is_open, "the Link {how}, {stream}");
        }
        if stream.end == End::Behind || !whole.is_open {
            let answer = self.link().answer(&stream.bytes, now()).unwrap();
            check(&without_what_may_differ(&answer), &whole.all, &format!("Link::answer, {stream}"));
        }
        whole
    }
}

fn now() -> Now {
    Now { monotonic: std::time::Instant::now(), wall: SystemTime::now() }
}

/// Every file was changed then.
fn changed() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn service(folder: &Path) -> Arc<dyn Service> {
    let mut router = Router::new(Files::new(folder, Options::default()).unwrap());
    let mut add = |method: &str, path: &str, handler: fn(&Request<'_>) -> Response| {
        router.add(method, path, Endpoint::new(handler)).unwrap();
    };
    add("GET", "/ping", |request| match request.fields().get_str("x-probe") {
        Some(value) => Response::text("pong").field("X-Probe", value),
        None => Response::text("pong"),
    });
    add("GET", "/query/{name}", |request| Response::text(format!("{} {:?}", request.param("name"), request.query())));
    add("GET", "/many", |_| Response::bytes("text/plain", vec![b'm'; 150_000]));
    add("GET", "/none", |_| Response::new(StatusCode::NO_CONTENT));
    // resume_unwind does not print what the tests want to happen.
    add("GET", "/panic", |_| std::panic::resume_unwind(Box::new("as asked")));
    for method in ["POST", "PUT"] {
        add(method, "/echo", |request| Response::bytes("application/octet-stream", request.body()));
    }
    Arc::new(router)
}

/// Interim answers left out, since they depend on when the body comes, and what Date says.
fn without_what_may_differ(sent: &[u8]) -> Vec<u8> {
    let (interim, date) = (b"HTTP/1.1 100 Continue\r\n\r\n", b"\r\nDate: ");
    let (mut kept, mut at) = (Vec::with_capacity(sent.len()), 0);
    while let Some(next) = memchr::memchr2(b'H', b'\r', &sent[at..]) {
        kept.extend_from_slice(&sent[at..at + next]);
        at += next;
        if sent[at..].starts_with(interim) {
            at += interim.len();
        } else if sent[at..].starts_with(date) {
            kept.extend_from_slice(date);
            at = (at + date.len() + format_date(UNIX_EPOCH).len()).min(sent.len());
        } else {
            kept.push(sent[at]);
            at += 1;
        }
    }
    kept.extend_from_slice(&sent[at..]);
    kept
}

/// Sends a stream and takes what comes until the server closes. What it says is compared by the caller; that it closes by itself where the Link
/// did, and not before where it did not, is seen here.
fn said_over_a_socket(address: SocketAddr, stream: &Stream, want: &Said, reading: &Reading) -> Vec<u8> {
    let mut client = Client::new(address, reading);
    for piece in stream.pieces() {
        client.send(piece);
    }
    if want.is_open {
        match stream.end {
            End::Behind => {}
            End::AfterAnswers => client.receive_until(want.first.len(), stream),
            End::AfterProbe => {
                client.receive_until(want.first.len(), stream);
                client.send(PROBE);
            }
        }
        client.socket.shutdown(Shutdown::Write).unwrap_or_else(|error| panic!("closed early: {error}; {stream}"));
    }
    while client.receive() {}
    without_what_may_differ(&client.received)
}

/// A client that reads while it can't write, and as little at a time as it is told.
struct Client {
    socket: TcpStream,
    received: Vec<u8>,
    buffer: Vec<u8>,
}

impl Client {
    fn new(address: SocketAddr, reading: &Reading) -> Client {
        let socket = TcpStream::connect(address).unwrap();
        if let Some(bytes) = reading.buffers_bytes {
            sys::set_buffers(socket.as_fd(), bytes).unwrap();
        }
        socket.set_nodelay(true).unwrap();
        socket.set_nonblocking(true).unwrap();
        Client { socket, received: Vec::new(), buffer: vec![0; reading.read_bytes_max] }
    }

    /// Sends all of it. A server that waits for its answers to be taken takes no more requests, so where it blocks answers are taken.
    fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.socket.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let ready = self.wait(sys::POLLIN | sys::POLLOUT);
                    if ready & sys::POLLIN != 0 && !self.take() {
                        return; // It is over for the server; what it makes of the rest nobody sees.
                    }
                }
                Err(error) => panic!("{error}, after {} bytes", self.received.len()),
            }
        }
    }

    /// Receives until so many bytes are there, of those that count.
    fn receive_until(&mut self, count: usize, stream: &Stream) {
        while self.received.len() < count || without_what_may_differ(&self.received).len() < count {
            assert!(self.receive(), "closed after {} bytes of {count}, {stream}", self.received.len());
        }
    }

    /// Waits for more. Whether there was any.
    fn receive(&mut self) -> bool {
        self.wait(sys::POLLIN);
        self.take()
    }

    /// Takes what is there. Whether there may be more.
    fn take(&mut self) -> bool {
        match self.socket.read(&mut self.buffer) {
            Ok(count) => {
                self.received.extend_from_slice(&self.buffer[..count]);
                count > 0
            }
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => true,
            Err(error) => panic!("{error}, after {} bytes", self.received.len()),
        }
    }

    fn wait(&self, events: i16) -> i16 {
        let mut fds = [sys::pollfd { fd: self.socket.as_raw_fd(), events, revents: 0 }];
        loop {
            match sys::poll(&mut fds, PATIENCE_MS) {
                Ok(0) => panic!("nothing comes after {} bytes: {}", self.received.len(), self.received.escape_ascii()),
                Ok(_) => return fds[0].revents,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// When a client ends its side, where the server does not end the connection first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Right behind its last byte: a half-closed client still gets its answers.
    Behind,
    /// When it has all that is owed.
    AfterAnswers,
    /// So too, but behind one request more.
    AfterProbe,
}

/// What a client sends, and how.
struct Stream {
    seed: u64,
    bytes: Vec<u8>,
    /// Where it is cut: sorted.
    cuts: Vec<usize>,
    end: End,
}

impl std::fmt::Display for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Stream { seed, bytes, cuts, end } = self;
        write!(f, "TRIPOLL_SEED={seed} TRIPOLL_STREAMS=1: {}, cut at {cuts:?}, ends {end:?}", bytes.escape_ascii())
    }
}

impl Stream {
    fn of(seed: u64, tags: &[String]) -> Stream {
        let mut random = Random(seed);
        let mut bytes = Vec::new();
        for _ in 0..random.up_to(6) + 1 {
            let mut message = message(&mut random, tags);
            if random.one_in(12) {
                mutate(&mut message, &mut random);
            }
            bytes.append(&mut message);
        }
        if random.one_in(5) {
            bytes.truncate(random.up_to(bytes.len()));
        }
        let mut cuts: Vec<_> = (0..random.up_to(4)).map(|_| random.up_to(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let end = *random.pick(&[End::Behind, End::AfterAnswers, End::AfterProbe]);
        Stream { seed, bytes, cuts, end }
    }

    fn pieces(&self) -> Vec<&[u8]> {
        let ends = self.cuts.iter().copied().chain([self.bytes.len()]);
        let starts = [0].into_iter().chain(self.cuts.iter().copied());
        starts.zip(ends).map(|(start, end)| &self.bytes[start..end]).collect()
    }
}

/// A request, or something like it.
fn message(random: &mut Random, tags: &[String]) -> Vec<u8> {
    if random.one_in(50) {
        return random.pick(NONSENSE).to_vec();
    }
    let mut wire = "\r\n".repeat(if random.one_in(15) { random.up_to(10) } else { 0 });
    // Mostly what makes sense together, so that most connections live to their second request.
    let method = *if random.one_in(30) { random.pick(METHODS) } else { random.pick(&METHODS[..9]) };
    let takes_body = ["POST", "PUT", "PATCH", "DELETE"].contains(&method);
    let target = match random.up_to(30) {
        0 => format!("/query/{}", "q".repeat(random.up_to(400))),
        1 => random.pick(TARGETS_ODD).to_string(),
        2.. if takes_body => "/echo".into(),
        2.. => random.pick(TARGETS).to_string(),
    };
    let version = match random.up_to(40) {
        0 => *random.pick(&["2.0", "0.9", "1.10"]),
        1 => "1.2",
        2 | 3 => "1.0",
        4.. => "1.1",
    };
    let _ = write!(wire, "{method} {target} HTTP/{version}\r\n");
    if !random.one_in(80) {
        wire.push_str(random.pick::<&str>(&[
            "Host: h\r\n",
            "Host: h\r\n",
            "host:h:80\r\n",
            "Host: [::1]\r\n",
            "Host: \r\n",
        ]));
    }
    for _ in 0..random.up_to(4) {
        let field = field(random, tags);
        wire.push_str(&field);
        wire.push_str("\r\n");
    }
    let mut wire = wire.into_bytes();
    if takes_body || random.one_in(12) {
        add_body(&mut wire, random);
    } else {
        wire.extend(b"\r\n");
    }
    wire
}

/// Nine that are served, and others.
const METHODS: &[&str] = &[
    "GET", "GET", "GET", "GET", "HEAD", "OPTIONS", "POST", "POST", "PUT", "DELETE", "TRACE", "PATCH", "MKCOL",
    "CONNECT", "FROB", "get",
];

const TARGETS: &[&str] = &[
    "/hello.txt",
    "/hello.txt",
    "/hello.txt?x=y",
    "/large.txt",
    "/large.txt",
    "/empty.txt",
    "/a%20b.html",
    "/style.css",
    "/style.css",
    "/folder",
    "/folder/",
    "/folder?x",
    "/list/",
    "/list/?json",
    "/",
    "/nothing",
    "/ping",
    "/ping",
    "/query/a%20b?c=d",
    "/many",
    "/none",
    "/panic",
    "/echo",
    "http://other/ping",
    "http://other:80/hello.txt?x",
];

const TARGETS_ODD: &[&str] = &[
    "/../etc/passwd",
    "/%2e%2e/x",
    "/a%00b",
    "/.hidden",
    "/hello.txt/",
    "//hello.txt",
    "*",
    "http://h",
    "https://h/ping",
    "h:80",
    "ping",
];

/// Kept apart from what the generator writes piece by piece: the shapes that no mutation of a lawful request comes to.
const NONSENSE: &[&[u8]] = &[
    b"nonsense\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET / HTTP/1.1\nHost: h\n\n",
    b"GET /ping HTTP/1.1\r\nHost: h\r\nA: b\r\n folded\r\n\r\n",
    b"GET /ping HTTP/1.1\r\nHost : h\r\n\r\n",
    b"GET /ping HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"GET /ping HTTP/1.1\r\n\r\n",
    b"GET  /ping HTTP/1.1\r\nHost: h\r\n\r\n",
    b"\r",
    b"\0",
];

fn field(random: &mut Random, tags: &[String]) -> String {
    let tag = random.pick(tags).clone();
    let tags = [tag.clone(), format!("W/{tag}"), "*".into(), "\"x\"".into(), format!("\"x\", {tag}"), "x".into()];
    let hour = Duration::from_secs(3_600);
    let dates = [
        format_date(changed()),
        format_date(changed() + hour),
        format_date(changed() - hour),
        "Sunday, 06-Nov-94 08:49:37 GMT".into(),
        "Tue, 24 Nov 2099 08:49:37 GMT".into(),
        "yesterday".into(),
    ];
    let ranges = [
        "bytes=0-0",
        "bytes=-5",
        "bytes=3-",
        "bytes=100000-200000",
        "bytes=999999-",
        "bytes=5-4",
        "bytes=0-0,2-3",
        "bytes=0-100, 50-70000, -1",
        "lines=1-2",
        "bytes=",
    ];
    let (name, value) = match random.up_to(16) {
        0 | 1 | 14 | 15 => ("Range", random.pick(&ranges).to_string()),
        2 => ("If-None-Match", random.pick(&tags).clone()),
        3 => ("If-Match", random.pick(&tags).clone()),
        4 => ("If-Modified-Since", random.pick(&dates).clone()),
        5 => ("If-Unmodified-Since", random.pick(&dates).clone()),
        6 => ("If-Range", if random.one_in(2) { random.pick(&tags).clone() } else { random.pick(&dates).clone() }),
        7 => (
            "Accept-Encoding",
            random.pick(&["gzip", "br, gzip;q=0.5", "identity;q=0", "*;q=0", "zstd,br", ""]).to_string(),
        ),
        8 => ("Accept", random.pick(&["text/html", "application/json", "*/*"]).to_string()),
        9 => ("Connection", random.pick(&["keep-alive", "keep-alive", "x", "upgrade", "x, close"]).to_string()),
        10 => ("Expect", random.pick(&["100-continue", "100-continue", "100-continue", "wonders"]).to_string()),
        11 => ("X-Long", "l".repeat(random.up_to(900))),
        12 => ("Upgrade", "h2c".into()),
        13 => ("X-Probe", "p\u{e4}".into()),
        _ => unreachable!("up_to excludes its end"),
    };
    format!("{name}: {value}")
}

/// The fields that frame a body, the empty line, and the body, or something like it.
fn add_body(wire: &mut Vec<u8>, random: &mut Random) {
    let length = *random.pick(&[0, 1, 3, 100, 1_000, 3_000, 6_000, 6_001, 8_000]);
    let body: Vec<u8> = (0..length).map(|at| b'a' + (at % 26) as u8).collect();
    if random.one_in(2) {
        let told = match random.up_to(40) {
            0 => format!("{}", length + 1),
            1 => format!("{}", length / 2),
            2 => format!("+{length}"),
            3 => format!("{length}, {length}"),
            4 => format!("00{length}"),
            _ => length.to_string(),
        };
        wire.extend(format!("Content-Length: {told}\r\n\r\n").as_bytes());
        wire.extend(body);
        return;
    }
    wire.extend(b"Transfer-Encoding: chunked\r\n");
    if random.one_in(40) {
        wire.extend(b"Content-Length: 3\r\n");
    }
    wire.extend(b"\r\n");
    let mut rest = body.as_slice();
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at((random.up_to(2_000) + 1).min(rest.len()));
        let extension = *random.pick(&["", "", "", "", ";a=b", " ; a=\"b c\""]);
        let told = if random.one_in(60) { chunk.len() + 1 } else { chunk.len() };
        wire.extend(format!("{told:x}{extension}\r\n").as_bytes());
        wire.extend(chunk);
        wire.extend(b"\r\n");
        rest = after;
    }
    wire.extend(*random.pick(&[
        &b"0\r\n\r\n"[..],
        b"0\r\n\r\n",
        b"000\r\nT: v\r\n\r\n",
        b"0\r\nno field\r\n\r\n",
        b"0\r\n",
    ]));
}

/// Changes a byte or two.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..random.up_to(2) + 1 {
        let at = random.up_to(bytes.len());
        let byte = *random.pick(b"\r\n\0 \t:;,/%0aA\x7f\xff");
        match random.up_to(4) {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 if bytes.len() > 1 => drop(bytes.remove(at)),
            _ => bytes[at] ^= 1 << random.up_to(8),
        }
    }
}

/// SplitMix64: the same numbers from the same seed, on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`, or 0.
    fn up_to(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.up_to(count) == 0
    }

    fn pick<'a, Item>(&mut self, items: &'a [Item]) -> &'a Item {
        &items[self.up_to(items.len())]
    }
}
