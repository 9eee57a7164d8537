//! A folder as one download: what is in it, that it breaks off where it can't be whole, and that making it holds nobody up.

mod backends;
mod client;
mod running;

use backends::on_every_backend;
use client::Client;
use running::Running;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Cursor, Read, Write};
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use tripoll::files::{DotNames, Options};
use tripoll::http::{Body, Stream};
use tripoll::poller::Strategy;
use tripoll::protocol::Chunk;
use tripoll::{HttpServer, Response, offload};

on_every_backend! {
    an_archive_has_what_is_served_and_nothing_else,
    a_file_that_changes_while_it_is_sent_breaks_the_archive_off,
    readers_that_are_slow_keep_no_thread,
    where_threads_are_few_every_archive_is_whole_in_the_end,
    chunks_that_are_made_beside_the_loop_come_in_order_or_break_off,
}

/// The content of a chunked body, and whether its end was there.
#[track_caller]
fn content(answer: &[u8]) -> (Vec<u8>, bool) {
    let at = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&answer[..at]);
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("Transfer-Encoding: chunked"), "{head}");
    let (mut left, mut content) = (&answer[at + 4..], Vec::new());
    while let Some(end) = left.windows(2).position(|two| two == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&left[..end]).unwrap(), 16).unwrap();
        let rest = &left[end + 2..];
        if length == 0 {
            assert_eq!(rest, b"\r\n", "nothing follows");
            return (content, true);
        }
        content.extend(&rest[..length.min(rest.len())]);
        if rest.len() < length + 2 {
            break;
        }
        left = &rest[length + 2..];
    }
    (content, false)
}

fn request(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

/// A whole archive.
#[track_caller]
fn download(running: &Running, target: &str) -> Vec<u8> {
    let mut client = Client::new(running.address);
    client.send(request(target));
    let (content, is_whole) = content(&client.rest(false));
    assert!(is_whole, "{target}");
    content
}

/// Names, less what says that one is a folder, with what is in them and whether they can be run.
type Entries = BTreeMap<Vec<u8>, (Option<Vec<u8>>, bool)>;

/// What tar(1) unpacks.
fn of_tar(archive: &[u8]) -> Entries {
    let folder = tempfile::TempDir::new().unwrap();
    let mut tar =
        Command::new("tar").args(["xpf", "-"]).current_dir(folder.path()).stdin(Stdio::piped()).spawn().unwrap();
    tar.stdin.take().unwrap().write_all(archive).unwrap();
    assert!(tar.wait().unwrap().success());
    let mut entries = Entries::new();
    let mut folders = vec![folder.path().to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let name = path.strip_prefix(folder.path()).unwrap().as_os_str().as_bytes().to_vec();
            let is_folder = metadata.is_dir();
            assert!(is_folder || metadata.is_file(), "no links, no devices: {path:?}");
            let content = (!is_folder).then(|| fs::read(&path).unwrap());
            entries.insert(name, (content, metadata.permissions().mode() & 0o100 != 0));
            if is_folder {
                folders.push(path);
            }
        }
    }
    entries
}

fn of_zip(archive: Vec<u8>) -> Entries {
    let mut zip = zip::ZipArchive::new(Cursor::new(archive)).unwrap();
    let mut entries = Entries::new();
    for number in 0..zip.len() {
        let mut file = zip.by_index(number).unwrap();
        let (name, mode) = (file.name().unwrap().trim_end_matches('/').as_bytes().to_vec(), file.unix_mode().unwrap());
        let mut content = Vec::new();
        file.read_to_end(&mut content).unwrap(); // Its checksum is looked at here.
        entries.insert(name, (file.is_file().then_some(content), mode & 0o100 != 0));
    }
    entries
}

fn write(folder: &Path, name: impl AsRef<OsStr>, content: &[u8]) {
    let path = folder.join(name.as_ref());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Bytes that no compression makes fewer of.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(length)
    .collect()
}

fn an_archive_has_what_is_served_and_nothing_else(strategy: Strategy) {
    let running = Running::new(strategy, |server| server);
    let outer = tempfile::TempDir::new().unwrap();
    write(outer.path(), "secret", b"secret");
    let top = running.folder.path().join("a b\u{e4}");
    let long = "n".repeat(200);
    let mut want = Entries::new();
    let mut add = |name: &[u8], content: Option<&[u8]>, runs: bool| {
        if let Some(content) = content {
            write(&top, OsStr::from_bytes(name), content);
        } else {
            fs::create_dir_all(top.join(OsStr::from_bytes(name))).unwrap();
        }
        let name = [&b"a b\xc3\xa4/"[..], name].concat();
        want.insert(name, (content.map(<[u8]>::to_vec), runs || content.is_none()));
    };
    add(b"empty", Some(b""), false);
    add(b"no files", None, false);
    add(b"one", Some(b"1"), false);
    add(b"run", Some(b"#!/bin/sh\n"), true);
    add(b"block", Some(&[7; 512]), false);
    add(b"large", Some(&noise(3_000_000)), false);
    add(b"photo.JPG", Some(&noise(200_000)), false);
    add(b"with", None, false);
    add(b"with/index.html", Some(b"an index hides no file from an archive"), false);
    add("k\u{e4}se".as_bytes(), Some(b"utf-8"), false);
    add(long.as_bytes(), None, false);
    add(format!("{long}/{long}").as_bytes(), Some(b"deep"), false);
    for number in 0..300 {
        add(format!("with/{number}").as_bytes(), Some(&[b'x'; 700]), false);
    }
    fs::set_permissions(top.join("run"), fs::Permissions::from_mode(0o700)).unwrap();
    want.insert(b"a b\xc3\xa4".to_vec(), (None, true));
    want.insert(b"a b\xc3\xa4/link".to_vec(), (Some(b"1".to_vec()), false));
    symlink("one", top.join("link")).unwrap();
    symlink("with", top.join("link to a folder")).unwrap();
    symlink("..", top.join("with/up")).unwrap();
    symlink(outer.path().join("secret"), top.join("out")).unwrap();
    symlink("../../../../../../../etc/passwd", top.join("with/far out")).unwrap();
    write(&top, ".hidden/x", b"hidden");
    write(&top, ".htaccess", b"hidden");
    assert!(Command::new("mkfifo").arg(top.join("fifo")).status().unwrap().success());

    let names = |entries: &Entries| entries.keys().map(|name| name.escape_ascii().to_string()).collect::<Vec<_>>();
    for got in [of_tar(&download(&running, "/a%20b%C3%A4/?tar")), of_zip(download(&running, "/a%20b%C3%A4/?zip"))] {
        assert_eq!(names(&got), names(&want));
        assert!(got == want, "what is in them, and whether they can be run");
    }
    let inner = of_tar(&download(&running, "/a%20b%C3%A4/no%20files/?tar"));
    assert_eq!(inner, Entries::from([(b"no files".to_vec(), (None, true))]));
    // Bytes that are no UTF-8 a tar has as they are, and a zip by their numbers.
    write(running.folder.path(), OsStr::from_bytes(b"b/\xff"), b"bytes");
    assert!(of_tar(&download(&running, "/b/?tar")).contains_key(&b"b/\xff"[..]));
    assert!(of_zip(download(&running, "/b/?zip")).contains_key(&b"b/%FF"[..]));
}

#[test]
fn an_archive_is_where_a_listing_is_and_says_its_name() {
    let folder = tempfile::TempDir::new().unwrap();
    write(folder.path(), "site/one", b"1");
    write(folder.path(), "site/with/index.html", b"index");
    write(folder.path(), "site/.dot/one", b"1");
    let ask = |options: Options, request: &str| {
        let server = HttpServer::new("127.0.0.1:0", folder.path().join("site")).files(options);
        String::from_utf8(server.answer(request.as_bytes()).unwrap()).unwrap()
    };
    let get = |options: Options, target: &str| ask(options, &request(target));
    let archive = get(Options::default(), "/?tar");
    for line in ["Content-Type: application/x-tar", "Content-Disposition: attachment; filename=\"site.tar\"", "nosniff"]
    {
        assert!(archive.contains(line), "{archive}");
    }
    let head = ask(Options::default(), &request("/?zip").replace("GET", "HEAD"));
    assert!(head.contains("Content-Type: application/zip\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(head.contains("filename=\"site.zip\""), "{head}");
    let json = ask(Options::default(), &request("/?zip").replace("\r\n\r\n", "\r\nAccept: application/json\r\n\r\n"));
    assert!(json.contains("application/zip"), "what is asked for by name goes first: {json}");
    for (options, target, want) in [
        (Options::default(), "/?tart", "text/html"),
        (Options::default(), "/with/?tar", "index"),
        (Options::default(), "/one?tar", "\r\n\r\n1"),
        (Options::default(), "/.dot/?tar", "404"),
        (Options { dot_names: DotNames::Shown, ..Options::default() }, "/.dot/?tar", "filename=\".dot.tar\""),
        (Options { lists: false, ..Options::default() }, "/?tar", "403"),
        (Options { lists: false, ..Options::default() }, "/?zip", "403"),
    ] {
        let answer = get(options, target);
        assert!(answer.contains(want), "{target}: {answer}");
    }
    let page = get(Options::default(), "/");
    assert!(page.contains("href=\"?zip\"") && page.contains("href=\"?tar\""), "{page}");
}

fn a_file_that_changes_while_it_is_sent_breaks_the_archive_off(strategy: Strategy) {
    let running = Running::new(strategy, |server| server);
    let path = running.folder.path().join("d/large");
    // More than buffers of the kernel hold, so that most of it is not sent yet when it changes.
    let content = noise(1 << 20).repeat(16);
    for (format, change) in
        [("tar", "longer"), ("tar", "shorter"), ("zip", "longer"), ("zip", "shorter"), ("zip", "other")]
    {
        write(running.folder.path(), "d/large", &content);
        let mut socket = TcpStream::connect(running.address).unwrap();
        socket.write_all(request(&format!("/d/?{format}")).as_bytes()).unwrap();
        let mut answer = vec![0; 100_000];
        socket.read_exact(&mut answer).unwrap();
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        match change {
            "longer" => file.write_all(b"more").unwrap(),
            "shorter" => file.set_len(content.len() as u64 - 1).unwrap(),
            _ => fs::write(&path, &content).unwrap(),
        }
        let end = socket.read_to_end(&mut answer); // A reset is an end, too.
        let (_, is_whole) = self::content(&answer);
        assert!(!is_whole, "{format}, {change}: {end:?} after {} bytes", answer.len());
        running_is_well(&running);
    }
}

#[track_caller]
fn running_is_well(running: &Running) {
    let mut client = Client::new(running.address);
    client.send("GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.answer(false).body, b"hello");
}

fn readers_that_are_slow_keep_no_thread(strategy: Strategy) {
    let running = Running::new(strategy, |server| server);
    write(running.folder.path(), "d/large", &noise(1 << 20).repeat(16));
    write(running.folder.path(), "small/one", b"1");
    // More than there are threads, and each has more to come than the kernel takes.
    let mut slow: Vec<TcpStream> = Vec::new();
    for _ in 0..12 {
        let mut socket = TcpStream::connect(running.address).unwrap();
        socket.write_all(request("/d/?zip").as_bytes()).unwrap();
        socket.read_exact(&mut [0; 100]).unwrap();
        slow.push(socket);
    }
    running_is_well(&running);
    assert_eq!(of_zip(download(&running, "/small/?zip")).len(), 2);
}

fn where_threads_are_few_every_archive_is_whole_in_the_end(strategy: Strategy) {
    let limits = offload::Limits { threads_max: 1, queue_max: 0 };
    let running = Running::new(strategy, move |server| server.offload_limits(limits));
    let content = noise(1_000_000);
    write(running.folder.path(), "d/one", &content);
    let mut clients: Vec<Client> = (0..6).map(|_| Client::new(running.address)).collect();
    clients.iter_mut().for_each(|client| client.send(request("/d/?zip")));
    for client in clients {
        let (archive, is_whole) = self::content(&client.rest(false));
        assert!(is_whole);
        assert_eq!(of_zip(archive)[&b"d/one"[..]].0.as_ref(), Some(&content));
    }
}

fn chunks_that_are_made_beside_the_loop_come_in_order_or_break_off(strategy: Strategy) {
    fn chunk(number: u32) -> io::Result<Chunk> {
        Ok(Chunk::Bytes(format!("{number:010}").repeat(1000).into_bytes()))
    }
    fn stream(chunks: impl Iterator<Item = io::Result<Chunk>> + Send + 'static) -> Response {
        Response::of_type("text/plain").with_body(Body::Stream(Stream::offloaded(chunks)))
    }
    let running = Running::new(strategy, |server| {
        server
            .route("GET", "/whole", |_| stream((0..200).map(chunk)))
            .route("GET", "/none", |_| stream(std::iter::empty()))
            .route("GET", "/error", |_| {
                stream((0..200).map(|n| if n < 150 { chunk(n) } else { Err(io::ErrorKind::Other.into()) }))
            })
            .route("GET", "/panic", |_| {
                stream(
                    (0..200).map(|n| if n < 150 { chunk(n) } else { std::panic::resume_unwind(Box::new("as asked")) }),
                )
            })
    });
    let whole: Vec<u8> = (0..200).flat_map(|n| format!("{n:010}").repeat(1000).into_bytes()).collect();
    for (target, want) in [("/whole", Some(whole.as_slice())), ("/none", Some(b"")), ("/error", None), ("/panic", None)]
    {
        let mut client = Client::new(running.address);
        client.send(request(target));
        let answer = client.rest(false);
        let (got, is_whole) = content(&answer);
        assert_eq!(is_whole, want.is_some(), "{target}");
        assert!(got == want.unwrap_or(&whole[..got.len()]), "{target}");
    }
}

/// Runs a line of shell in a folder with `$url` as the folder that is served; what it says.
#[track_caller]
fn shell(folder: &Path, running: &Running, line: &str) -> String {
    let url = format!("http://{}", running.address);
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", line]).current_dir(folder).env("url", url).stdin(Stdio::null());
    let done = command.output().unwrap();
    let (said, errors) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{line}: {said}{errors}");
    said.trim().to_string()
}

/// What is not installed of what others unpack with.
fn missing_programs() -> Option<String> {
    let found = |name: &&&str| Command::new(name).arg("--help").output().is_ok();
    let missing: Vec<&str> = ["curl", "unzip", "python3", "tar"].iter().filter(|name| !found(name)).copied().collect();
    (!missing.is_empty())
        .then(|| format!("skipped: archives unpacked by others: not installed: {}", missing.join(", ")))
}

/// Whether python3 finds each file of a zip whole; their number, and the length of the greatest.
const PYTHON: &str = "python3 -c 'import sys, zipfile
archive = zipfile.ZipFile(sys.argv[1])
assert archive.testzip() is None
print(len(archive.namelist()), max(entry.file_size for entry in archive.infolist()))'";

/// A file that is nearly all holes, and says where it is at places where lengths need one bit more.
fn sparse(path: &Path, size: u64) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = fs::File::create(path).unwrap();
    file.set_len(size).unwrap();
    for at in [0, (1 << 31) - 4, (1 << 32) - 4, (1 << 33) - 4, size - 8u64].iter().filter(|at| **at + 8 <= size) {
        file.write_all_at(&at.to_le_bytes(), *at).unwrap();
    }
}

/// Beyond four gibibytes of a file a zip says its length otherwise, beyond four of its own a place, beyond 65,535 files their number; beyond eight
/// a tar says a length otherwise.
#[test]
#[ignore = "it takes minutes, and five gigabytes of the disk: .ci/run --full"]
fn what_no_old_archive_has_others_unpack() {
    if let Some(skipped) = missing_programs() {
        let _ = writeln!(io::stderr(), "{skipped}");
        return;
    }
    let running = Running::new(Strategy::Epoll { trigger: tripoll::Trigger::Level }, |server| server);
    let (served, own) = (running.folder.path(), tempfile::TempDir::new().unwrap());
    let sh = |line: &str| shell(own.path(), &running, line);
    let (size, path) = (9 << 30, served.join("d/large"));
    sparse(&path, size);
    write(served, "d/last", b"behind it");
    let large = path.display();
    sh(&format!("curl -sSf $url/d/?tar | tar xO d/large | cmp - {large}"));
    assert_eq!(sh("curl -sSf $url/d/?tar | tar xO d/last"), "behind it");
    sh(&format!("curl -sSf $url/d/?zip -o d.zip && unzip -p d.zip d/large | cmp - {large}"));
    assert_eq!(sh("unzip -p d.zip d/last"), "behind it");
    assert_eq!(sh(&format!("{PYTHON} d.zip")), format!("3 {size}"));

    write(served, "noise/0", &noise(64 << 20));
    (1..70).for_each(|number| fs::hard_link(served.join("noise/0"), served.join(format!("noise/{number}"))).unwrap());
    write(served, "noise/last", b"behind all that");
    sh("curl -sSf $url/noise/?zip -o noise.zip && unzip -tq noise.zip");
    assert_eq!(sh("unzip -p noise.zip noise/last"), "behind all that");
    assert_eq!(sh(&format!("{PYTHON} noise.zip")), format!("72 {}", 64 << 20));
    fs::remove_file(own.path().join("noise.zip")).unwrap();
    fs::create_dir(served.join("many")).unwrap();
    (0..70_000).for_each(|number| drop(fs::File::create(served.join(format!("many/{number}"))).unwrap()));
    write(served, "many/last", b"of many");
    sh("curl -sSf $url/many/?zip -o many.zip && unzip -tq many.zip");
    assert_eq!(sh("unzip -p many.zip many/last"), "of many");
    assert_eq!(sh(&format!("{PYTHON} many.zip")), "70002 7");
    assert_eq!(sh("curl -sSf $url/many/?tar | tar t | wc -l"), "70002");
}
