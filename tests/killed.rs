//! A server that is killed, or whose disk fails, while clients upload: what has a name is whole, and what has none is gone, after a kill by the
//! next start.

mod client;
mod process;

use client::Client;
use process::{Process, TRIPOLL, command};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use tempfile::TempDir;

/// Kills in the whole suite; `TRIPOLL_KILLS` says another number.
const KILLS: u64 = 8;

/// Who uploads as fast as it can.
const CLIENTS: u64 = 4;

/// What says of itself how long it is, and what its bytes are.
fn content(seed: u64, length: u64) -> Vec<u8> {
    let words = (0..length / 8).map(|n| (seed ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    [seed, length].into_iter().chain(words).flat_map(u64::to_le_bytes).collect()
}

fn is_whole(bytes: &[u8]) -> bool {
    let word = |at: usize| bytes.get(at..at + 8).map(|word| u64::from_le_bytes(word.try_into().unwrap()));
    let (Some(seed), Some(length)) = (word(0), word(8)) else { return false };
    length < 1 << 30 && bytes == content(seed, length)
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn leftovers(folder: &Path) -> usize {
    names(folder).iter().filter(|name| name.starts_with(".tripoll-")).count()
}

fn serve(folder: &Path) -> (Process, SocketAddr) {
    let arguments = ["-p", "0", "--upload", "--overwrite", "always", folder.to_str().unwrap()];
    let (process, _, address) = Process::serving(command(&arguments, folder));
    (process, address)
}

/// Uploads one file after another until the server is gone: the names of those that it was told are there.
fn upload(address: SocketAddr, round: u64, client: u64, sent: Arc<AtomicU64>) -> JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        let mut told = Vec::new();
        let Ok(mut socket) = TcpStream::connect(address) else { return told };
        for file in 0.. {
            // New names, and one that all replace.
            let name = if file % 3 == 0 { "shared".into() } else { format!("{round}-{client}-{file}") };
            let body = content(round << 32 | client << 16 | file, 8 * ((file * 7919 + client * 104_729) % 40_000));
            let head = format!("PUT /{name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
            let mut ok = socket.write_all(head.as_bytes()).is_ok();
            for piece in body.chunks(30_000) {
                ok = ok && socket.write_all(piece).is_ok();
                sent.fetch_add(piece.len() as u64, Ordering::SeqCst);
            }
            let mut answer = Vec::new();
            let mut byte = [0];
            while ok && !answer.ends_with(b"\r\n\r\n") {
                ok = matches!(socket.read(&mut byte), Ok(1));
                answer.push(byte[0]);
            }
            if !ok {
                return told;
            }
            assert!(answer.starts_with(b"HTTP/1.1 20"), "{}", answer.escape_ascii());
            told.push(name);
        }
        unreachable!("the server is killed")
    })
}

/// Begins a file and stays in its midst until it is told.
fn linger(address: SocketAddr, over: Arc<AtomicBool>) -> JoinHandle<()> {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.write_all(b"PUT /half HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nhalf").unwrap();
    std::thread::spawn(move || {
        while !over.load(Ordering::SeqCst) {
            std::thread::park();
        }
        drop(socket);
    })
}

#[test]
fn what_is_uploaded_is_whole_or_not_there_whenever_the_server_is_killed() {
    let kills = std::env::var("TRIPOLL_KILLS").map_or(KILLS, |kills| kills.parse().expect("TRIPOLL_KILLS is a number"));
    let folder = TempDir::new().unwrap();
    let (mut told, mut left) = (0, 0);
    for round in 0..kills {
        let (mut process, address) = serve(folder.path());
        assert_eq!(leftovers(folder.path()), 0, "round {round}: a start sweeps away what a kill left");
        let (sent, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let half = linger(address, over.clone());
        let clients: Vec<_> = (0..CLIENTS).map(|client| upload(address, round, client, sent.clone())).collect();
        let enough = 100_000 + round.wrapping_mul(2_654_435_761) % 3_000_000;
        while sent.load(Ordering::SeqCst) < enough || leftovers(folder.path()) == 0 {
            std::thread::yield_now();
        }
        process.child.kill().unwrap(); // SIGKILL
        process.child.wait().unwrap();
        over.store(true, Ordering::SeqCst);
        half.thread().unpark();
        half.join().unwrap();
        left += leftovers(folder.path());
        for name in clients.into_iter().flat_map(|client| client.join().unwrap()) {
            assert!(folder.path().join(&name).exists(), "round {round}: {name} was said to be there");
            told += 1;
        }
        for name in names(folder.path()).iter().filter(|name| !name.starts_with(".tripoll-")) {
            let bytes = fs::read(folder.path().join(name)).unwrap();
            assert!(is_whole(&bytes), "round {round}: {name} has {} bytes", bytes.len());
            if name != "shared" {
                fs::remove_file(folder.path().join(name)).unwrap();
            }
        }
    }
    assert!(left as u64 >= kills, "each kill came in mid-upload");
    serve(folder.path());
    assert_eq!(leftovers(folder.path()), 0);
    let _ = writeln!(std::io::stderr(), "{kills} kills, {told} files told and whole, {left} halves swept away");
}

/// The server, one of whose calls always fails; `None` where this user may not trace it.
fn failing(folder: &Path, call: &str, errno: &str) -> Option<(Process, SocketAddr)> {
    let may_trace = Command::new("strace").args(["-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    if !may_trace.is_ok_and(|status| status.success()) {
        return None;
    }
    // -D: the server is our child, and strace ends with it.
    let mut command = Command::new("strace");
    let inject = format!("inject={call}:error={errno}");
    command.args([
        "-D",
        "-f",
        "-o",
        "/dev/null",
        "-e",
        &inject,
        TRIPOLL,
        "-p",
        "0",
        "--upload",
        "--overwrite",
        "always",
    ]);
    command.arg(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (process, _, address) = Process::serving(command);
    Some((process, address))
}

#[test]
fn what_the_disk_does_not_take_is_said_and_leaves_nothing() {
    for (call, errno, method, want) in [
        ("fsync", "ENOSPC", "PUT", 507),
        ("fsync", "EDQUOT", "PUT", 507),
        ("fsync", "EIO", "PUT", 500),
        ("sync_file_range", "EIO", "PUT", 500),
        ("renameat2", "EACCES", "PUT", 403),
        ("renameat2", "EIO", "PUT", 500),
        ("renameat2", "EXDEV", "MOVE", 409),
        ("flock", "EAGAIN", "PUT", 503),
        ("mkdirat", "ENOSPC", "MKCOL", 507),
        ("mkdirat", "EROFS", "MKCOL", 403),
        ("unlinkat", "EBUSY", "DELETE", 409),
    ] {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("there"), "old").unwrap();
        let Some((_process, address)) = failing(folder.path(), call, errno) else {
            let _ = writeln!(std::io::stderr(), "skipped: calls that fail: this user may not trace, or has no strace");
            return;
        };
        let targets = if method == "MKCOL" || method == "MOVE" { &["there"][..] } else { &["there", "new"] };
        for target in targets.iter().filter(|target| method != "DELETE" || **target == "there") {
            let target = if method == "MKCOL" { "folder" } else { target };
            // So much that it has to wait for the disk in its midst.
            let times = if call == "sync_file_range" { 14 << 20 } else { 1 };
            let body = if method == "PUT" { "new".repeat(times) } else { String::new() };
            let mut client = Client::new(address);
            let length = body.len();
            client.send(format!(
                "{method} /{target} HTTP/1.1\r\nHost: localhost\r\nDestination: /moved\r\nContent-Length: {length}\r\n\r\n{body}"
            ));
            assert_eq!(client.answer(false).status, want, "{call} {errno}, {method} {target}");
            assert_eq!(names(folder.path()), ["there"], "{call} {errno}, {method} {target}");
            assert_eq!(fs::read(folder.path().join("there")).unwrap(), b"old", "{call} {errno}, {method} {target}");
        }
    }
}
