//! WebSocket over sockets: a server with a route, and somebody else's client, on every backend.

mod backends;
mod client;
mod echo;
mod running;

use backends::{on_every_backend, on_every_loop};
use client::Client;
use running::{Running, Way};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use tripoll::HttpServer;
use tripoll::protocol::{SendError, Sender};
use tripoll::reactor::{self, Shutdown};
use tripoll::websocket::{self, Ended, Limits, Message, Peer, Session, binary_frame, text_frame};
use tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};
use tungstenite::{Message as Said, WebSocket};

/// What is waited for takes this long only where it never comes.
const PATIENCE: Duration = Duration::from_secs(30);

on_every_loop! {
    messages_come_back_whole,
    frames_that_come_with_the_request_are_read,
    a_body_of_the_request_is_read_before_the_protocol_changes,
    a_room_sends_one_frame_to_all,
    a_member_that_takes_nothing_is_cut_off_and_the_others_are_not,
    a_peer_that_says_nothing_is_lost,
    a_socket_does_not_give_way_where_connections_are_short,
    a_server_that_goes_down_says_so,
    a_request_that_is_none_for_a_socket_goes_on_as_http,
}

/// A client, connected to the socket at `/`.
fn connect(address: SocketAddr) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let (socket, answer) = tungstenite::client(format!("ws://{address}/socket"), stream).unwrap();
    assert_eq!(answer.status().as_u16(), 101);
    socket
}

/// A server whose `/socket` is spoken with by what `session` makes.
fn serve<S: Session + 'static>(way: Way, limits: Limits, session: impl Fn() -> S + Send + Sync + 'static) -> Running {
    let limits = Arc::new(limits);
    let route = move |request: &tripoll::Request<'_>| websocket::upgrade(request, &limits, session());
    Running::new(way, |server: HttpServer| server.route("GET", "/socket", route))
}

fn messages_come_back_whole(way: Way) {
    let server = serve(way, Limits::default(), || echo::Messages);
    let mut client = connect(server.address);
    let big: Vec<u8> = (0..1024 * 1024u32).map(|at| (at % 251) as u8).collect();
    let messages = [Said::text(""), Said::text("Grüße 😀"), Said::binary(big), Said::text("ä".repeat(70_000))];
    for message in &messages {
        client.send(message.clone()).unwrap();
        assert_eq!(client.read().unwrap(), *message);
    }
    // Many at once, in few segments.
    let many: Vec<_> = (0..500).map(|number| Said::text(format!("number {number}"))).collect();
    many.iter().for_each(|message| client.write(message.clone()).unwrap());
    client.send(Said::Ping("still there?".into())).unwrap();
    for message in many {
        assert_eq!(client.read().unwrap(), message);
    }
    assert_eq!(client.read().unwrap(), Said::Pong("still there?".into()));
    let enough = CloseFrame { code: CloseCode::Library(4000), reason: "enough".into() };
    client.close(Some(enough)).unwrap();
    assert!(matches!(client.read(), Ok(Said::Close(Some(CloseFrame { code: CloseCode::Library(4000), .. })))));
    assert!(matches!(client.read(), Err(tungstenite::Error::ConnectionClosed)), "closed by the server, in good order");
}

/// The request of RFC 6455 §1.2.
fn request(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

fn frames_that_come_with_the_request_are_read(way: Way) {
    let server = serve(way, Limits::default(), || echo::Messages);
    let mut client = TcpStream::connect(server.address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    // "Hello" and a Close, as RFC 6455 §5.7 has the one.
    let frames = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x88\x80\0\0\0\0";
    client.write_all(&[request("/socket").as_bytes(), frames].concat()).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8_lossy(&answer[..end]);
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    for field in ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="] {
        assert_eq!(head.matches(&format!("\r\n{field}\r\n")).count(), 1, "{head}");
    }
    assert!(!head.contains("Content-Length") && !head.contains("Transfer-Encoding"), "{head}");
    assert_eq!(answer[end..], *b"\x81\x05Hello\x88\x00");
}

/// RFC 9110 §7.8: 100 first, where it is expected.
fn a_body_of_the_request_is_read_before_the_protocol_changes(way: Way) {
    let server = serve(way, Limits::default(), || echo::Messages);
    for expect in ["", "Expect: 100-continue\r\n"] {
        let mut client = Client::new(server.address);
        client.send(request("/socket").replacen("\r\n\r\n", &format!("\r\n{expect}Content-Length: 4\r\n\r\n"), 1));
        if !expect.is_empty() {
            client.until(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        client.send(b"\x81\x80\0\0\x81\x80\0\0\0\0"); // Four bytes of a body, then an empty text.
        client.until(b"HTTP/1.1 101 Switching Protocols\r\n");
        client.until(b"\r\n\r\n");
        assert_eq!(client.rest(true), b"\x81\x00", "{expect}");
    }
}

/// Bytes that may wait for a member.
const MEMBER_BYTES_MAX: usize = 200_000;

/// Who is in a room, and who was cut off.
#[derive(Default)]
struct Room(Mutex<Vec<Option<Sender>>>);

impl Room {
    /// How many did not get it, of which those that are too slow are cut off.
    fn send(&self, frame: &Arc<[u8]>) -> usize {
        let mut members = self.0.lock().unwrap();
        let sent = |member: &Option<Sender>| member.as_ref().map(|sender| sender.send(frame.clone()));
        members
            .iter_mut()
            .filter_map(|member| match sent(member) {
                Some(Err(SendError::Full)) => member.take().map(|sender| sender.cut()),
                Some(Ok(())) | Some(Err(SendError::Closed)) | None => None,
            })
            .count()
    }
}

struct Member(Arc<Room>, mpsc::Sender<Ended>);

impl Session for Member {
    fn opened(&mut self, peer: &mut Peer<'_>) {
        let sender = peer.sender(MEMBER_BYTES_MAX);
        self.0.0.lock().unwrap().push(Some(sender));
        peer.text("welcome");
    }

    fn message(&mut self, message: Message, _peer: &mut Peer<'_>) {
        let Message::Text(text) = message else { return };
        self.0.send(&text_frame(&text));
    }

    fn closed(&mut self, ended: Ended) {
        let _ = self.1.send(ended);
    }
}

fn serve_room(way: Way, limits: Limits) -> (Running, Arc<Room>, mpsc::Receiver<Ended>) {
    let (room, (tell, told)) = (Arc::<Room>::default(), mpsc::channel());
    let tell = Mutex::new(tell);
    let (of_server, tell) = (room.clone(), move || tell.lock().unwrap().clone());
    (serve(way, limits, move || Member(of_server.clone(), tell())), room, told)
}

/// A client that has been welcomed.
fn join(address: SocketAddr) -> WebSocket<TcpStream> {
    let mut client = connect(address);
    assert_eq!(client.read().unwrap(), Said::text("welcome"));
    client
}

fn a_room_sends_one_frame_to_all(way: Way) {
    let (server, room, _) = serve_room(way, Limits::default());
    let mut members: Vec<_> = (0..40).map(|_| join(server.address)).collect();
    members[7].send(Said::text("hello, all")).unwrap();
    for member in &mut members {
        assert_eq!(member.read().unwrap(), Said::text("hello, all"));
    }
    // From a thread that is not the loop's.
    assert_eq!(room.send(&binary_frame(b"from elsewhere")), 0);
    for member in &mut members {
        assert_eq!(member.read().unwrap(), Said::binary(&b"from elsewhere"[..]));
    }
}

fn a_member_that_takes_nothing_is_cut_off_and_the_others_are_not(way: Way) {
    let (server, room, told) = serve_room(way, Limits::default());
    let (_slow, mut quick) = (join(server.address), join(server.address));
    let frame = binary_frame(&vec![7; 50_000]);
    loop {
        let cut_off = room.send(&frame);
        // It reads as fast as it is sent to, so it has nothing waiting.
        assert_eq!(quick.read().unwrap().len(), 50_000);
        if cut_off > 0 {
            break;
        }
    }
    assert_eq!(told.recv_timeout(PATIENCE), Ok(Ended::Here));
    quick.send(Said::text("who is here?")).unwrap();
    assert_eq!(quick.read().unwrap(), Said::text("who is here?"));
}

fn a_peer_that_says_nothing_is_lost(way: Way) {
    let limits = Limits { heartbeat: Duration::from_millis(50), ..Limits::default() };
    let (server, _, told) = serve_room(way, limits);
    let mut silent = join(server.address);
    assert_eq!(told.recv_timeout(PATIENCE), Ok(Ended::Lost));
    let mut rest = Vec::new();
    let _ = silent.get_mut().read_to_end(&mut rest); // Reset or not, it is over.
    assert_eq!(rest, b"\x89\x00");
}

fn a_socket_does_not_give_way_where_connections_are_short(way: Way) {
    let limits = Arc::new(Limits::default());
    let server = Running::new(way, move |server| {
        server
            .route("GET", "/socket", move |request| websocket::upgrade(request, &limits, echo::Messages))
            .loop_limits(reactor::Limits { connections_max: 2, ..reactor::Limits::default() })
    });
    let mut socket = connect(server.address);
    let mut idle = Client::new(server.address);
    idle.send("GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(idle.answer(false).body, b"hello");
    // The socket has been silent longer, and it is the other that gives way.
    let mut another = connect(server.address);
    assert_eq!(idle.rest(false), b"");
    assert!(Client::new(server.address).rest(false).starts_with(b"HTTP/1.1 503 "), "nobody is idle");
    for socket in [&mut socket, &mut another] {
        socket.send(Said::text("still here")).unwrap();
        assert_eq!(socket.read().unwrap(), Said::text("still here"));
    }
}

fn a_server_that_goes_down_says_so(way: Way) {
    let (server, _, told) = serve_room(way, Limits::default());
    let mut client = join(server.address);
    server.handle.shut_down(Shutdown { grace: PATIENCE, patience: Duration::ZERO });
    assert!(matches!(client.read(), Ok(Said::Close(Some(CloseFrame { code: CloseCode::Away, .. })))));
    assert!(matches!(client.read(), Err(tungstenite::Error::ConnectionClosed)));
    assert_eq!(told.recv_timeout(PATIENCE), Ok(Ended::Here));
}

fn a_request_that_is_none_for_a_socket_goes_on_as_http(way: Way) {
    let server = serve(way, Limits::default(), || echo::Messages);
    let mut client = TcpStream::connect(server.address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let plain = "GET /socket HTTP/1.1\r\nHost: h\r\n\r\n";
    let last = "GET /file.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    client.write_all([plain, last].concat().as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{answer}");
    assert!(
        answer.contains("\r\nConnection: Upgrade\r\n") && answer.contains("\r\nUpgrade: websocket\r\n"),
        "{answer}"
    );
    assert!(answer.ends_with("\r\n\r\na file"), "{answer}");
}
