//! What the measured servers serve, and how it is asked for.

use super::plan::{PIPELINE_DEPTH, Work};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A folder with the files of every work; gone with this value.
pub struct Site(PathBuf);

impl Site {
    /// # Errors
    /// Where the folder for temporary files can't be written to.
    pub fn new() -> io::Result<Site> {
        let folder = std::env::temp_dir().join(format!("tripoll-lab-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let site = Site(folder);
        fs::write(site.folder().join("1k.txt"), vec![b'x'; 1 << 10])?;
        fs::write(site.folder().join("1m.bin"), vec![b'x'; 1 << 20])?;
        Ok(site)
    }

    pub fn folder(&self) -> &Path {
        &self.0
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The bytes that ask for a piece of `work`, and how many requests they are.
pub fn request(work: Work) -> (Vec<u8>, usize) {
    let (path, field, times) = match work {
        Work::Keepalive => ("/1k.txt", "", 1),
        Work::Close => ("/1k.txt", "Connection: close\r\n", 1),
        Work::Large => ("/1m.bin", "", 1),
        Work::Pipelined => ("/1k.txt", "", PIPELINE_DEPTH),
    };
    (format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{field}\r\n").repeat(times).into_bytes(), times)
}

/// Asks once, and counts the bytes of the answer: every later one is as long.
///
/// # Errors
/// Where the answer is none.
pub fn answer_bytes(address: SocketAddrV4, request: &[u8], times: usize) -> io::Result<usize> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(&request[..request.len() / times])?;
    let mut answer = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        let count = stream.read(&mut piece)?;
        answer.extend_from_slice(&piece[..count]);
        if let Some(bytes) = whole_bytes(&answer).filter(|bytes| *bytes <= answer.len()) {
            return Ok(bytes * times);
        }
        if count == 0 {
            return Err(io::Error::other("the server does not answer as it should"));
        }
    }
}

/// How long the answer is that begins like this, when its head is there.
fn whole_bytes(answer: &[u8]) -> Option<usize> {
    let head_bytes = memchr::memmem::find(answer, b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&answer[..head_bytes]).ok()?.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim().parse::<usize>().ok()?;
    head.starts_with("http/1.1 200 ").then_some(head_bytes + length)
}
