//! The limit of one core: an epoll loop that answers whatever comes with one answer, and parses nothing. What a server loses against it is
//! the server's own.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use tripoll::sys::{self, EPOLLIN, EpollChange};

/// Answers that are kept ready for pipelined requests.
const DEPTH: usize = 64;

/// Serves for ever.
pub fn serve(port: u16, body_bytes: usize, closes: bool) {
    let field = if closes { "Connection: close" } else { "Server: limit" };
    let head =
        format!("HTTP/1.1 200 OK\r\n{field}\r\nContent-Type: text/plain\r\nContent-Length: {body_bytes}\r\n\r\n");
    let answer = [head.into_bytes(), vec![b'x'; body_bytes]].concat();
    let answers = answer.repeat(DEPTH);
    let listener = sys::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), 4096).expect("the port is free");
    let epoll = sys::epoll_create().expect("epoll");
    let watch = |fd: &OwnedFd, data: u64| {
        sys::epoll_ctl(epoll.as_fd(), EpollChange::Add, fd.as_raw_fd(), EPOLLIN, data).expect("it is open");
    };
    watch(&listener, u64::MAX);
    let mut connections: Vec<Option<OwnedFd>> = Vec::new();
    let mut events = [sys::epoll_event { events: 0, u64: 0 }; 512];
    let mut input = vec![0; 64 * 1024];
    loop {
        let ready = sys::epoll_wait(epoll.as_fd(), &mut events, -1).expect("epoll");
        for event in &events[..ready] {
            let data = event.u64;
            if data == u64::MAX {
                while let Ok((socket, _)) = sys::accept(listener.as_fd()) {
                    let at = socket.as_raw_fd() as usize;
                    watch(&socket, at as u64);
                    connections.resize_with(connections.len().max(at + 1), || None);
                    connections[at] = Some(socket);
                }
                continue;
            }
            let at = data as usize;
            let Some(socket) = connections[at].as_ref() else { continue };
            let received = sys::receive(socket.as_fd(), &mut input).unwrap_or(0);
            let mut requests = memchr::memmem::find_iter(&input[..received], b"\r\n\r\n").count();
            while requests > 0 {
                let batch = requests.min(DEPTH);
                let mut left = &answers[..batch * answer.len()];
                while !left.is_empty() {
                    match sys::send(socket.as_fd(), left, false) {
                        Ok(sent) => left = &left[sent..],
                        // It may spin: the load generator reads promptly.
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        Err(_) => break, // The client is gone, and its end is received next.
                    }
                }
                requests -= batch;
            }
            if received == 0 || closes {
                connections[at] = None;
            }
        }
    }
}
