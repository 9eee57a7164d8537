//! A client that takes one large file after another, as a process of its own: so it can run at another priority.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Bytes that came in this time.
pub fn over_and_over(address: &str, target: &str, time: Duration) -> u64 {
    let (begun, mut bytes, mut buffer) = (Instant::now(), 0, vec![0; 256 * 1024]);
    while begun.elapsed() < time {
        let mut socket = TcpStream::connect(address).expect("it accepts");
        write!(socket, "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("it reads");
        while begun.elapsed() < time {
            match socket.read(&mut buffer).expect("it answers") {
                0 => break,
                count => bytes += count as u64,
            }
        }
    }
    bytes
}
