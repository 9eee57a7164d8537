//! A folder that clients may change: whole files or none, and only what the client may and means to change.

mod backends;
mod client;
mod running;
mod serving;

use backends::on_every_backend;
use client::{Answer, Client};
use running::Running;
use serving::Serving;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tripoll::HttpServer;
use tripoll::files::{DotNames, Files, Options, Overwrite, Resolver, Root, Uploads};
use tripoll::http::Limits;
use tripoll::poller::Strategy;

on_every_backend! {
    a_file_is_put_read_replaced_and_removed,
    without_uploads_every_writing_method_is_405,
    a_reader_gets_the_old_or_the_new,
    what_is_cut_short_leaves_nothing,
    a_refusal_comes_before_the_body,
    what_was_put_is_served_at_once,
    of_many_who_replace_the_same_file_one_does,
    what_is_too_large_is_refused_and_leaves_nothing,
    a_full_disk_leaves_nothing,
    a_form_brings_files,
    twenty_clients_list_download_and_upload_at_once,
}

fn with_uploads(overwrite: Overwrite) -> Options {
    bounded(Uploads { overwrite, ..Uploads::default() })
}

fn bounded(uploads: Uploads) -> Options {
    Options { uploads: Some(uploads), ..Options::default() }
}

fn running(strategy: Strategy, overwrite: Overwrite) -> Running {
    Running::new(strategy, move |server: HttpServer| server.files(with_uploads(overwrite)))
}

#[track_caller]
fn ask(address: SocketAddr, method: &str, target: &str, fields: &str, body: &[u8]) -> Answer {
    let mut client = Client::new(address);
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    client.send(format!("{method} {target} HTTP/1.1\r\nHost: h\r\n{length}{fields}\r\n"));
    client.send(body);
    let answer = client.answer(method == "HEAD");
    assert_eq!(client.rest(true), b"", "one answer");
    answer
}

/// The tag of a file that changed long enough ago.
#[track_caller]
fn tag(address: SocketAddr, path: &Path, target: &str) -> String {
    age(path);
    ask(address, "HEAD", target, "", b"").field("ETag").unwrap().to_string()
}

/// Waits until the file's tag is a strong one: its change is looked at, not a clock of ours.
fn age(path: &Path) {
    use std::os::unix::fs::MetadataExt;
    let changed = |metadata: fs::Metadata| Duration::new(metadata.ctime() as u64, metadata.ctime_nsec() as u32);
    let changed = SystemTime::UNIX_EPOCH + changed(fs::metadata(path).unwrap());
    while SystemTime::now() < changed + Duration::from_millis(60) {
        std::thread::yield_now();
    }
}

/// All names in a folder and beneath it, hidden ones too.
fn names(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names.extend(self::names(&path));
        }
        names.push(path.file_name().unwrap().to_str().unwrap().to_string());
    }
    names.sort();
    names
}

/// Waits until so many files are on their way into a folder.
fn await_uploads(folder: &Path, count: usize) {
    while names(folder).iter().filter(|name| name.starts_with(".tripoll-")).count() < count {
        std::thread::yield_now();
    }
}

fn a_file_is_put_read_replaced_and_removed(strategy: Strategy) {
    let server = running(strategy, Overwrite::IfMatch);
    let (address, path) = (server.address, server.folder.path().join("a.txt"));
    let put = ask(address, "PUT", "/a.txt", "", b"one");
    assert_eq!((put.status, put.body.as_slice(), put.field("ETag")), (201, &b""[..], None));
    assert_eq!(ask(address, "GET", "/a.txt", "", b"").body, b"one");
    assert_eq!(ask(address, "PUT", "/a.txt", "", b"two").status, 428, "which one is to be replaced is not said");
    let one = tag(address, &path, "/a.txt");
    assert_eq!(ask(address, "PUT", "/a.txt", &format!("If-Match: {one}\r\n"), b"two").status, 204);
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(ask(address, "PUT", "/a.txt", &format!("If-Match: {one}\r\n"), b"three").status, 412);
    assert_eq!(ask(address, "PUT", "/a.txt", "If-None-Match: *\r\n", b"three").status, 412);
    assert_eq!(ask(address, "DELETE", "/a.txt", &format!("If-Match: {one}\r\n"), b"").status, 412);
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(ask(address, "PUT", "/a.txt", "If-Match: *\r\n", b"").status, 204, "an empty one");
    assert_eq!(fs::read(&path).unwrap(), b"");
    assert_eq!(ask(address, "DELETE", "/a.txt", "", b"").status, 204);
    assert_eq!(ask(address, "DELETE", "/a.txt", "", b"").status, 404);
    assert_eq!(ask(address, "PUT", "/a.txt", "If-Match: *\r\n", b"x").status, 412, "there is none");
    let chunked = "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n";
    assert_eq!(ask(address, "PUT", "/b.txt", chunked, b"").status, 201);
    assert_eq!(fs::read(server.folder.path().join("b.txt")).unwrap(), b"abcdefg");
    assert_eq!(names(server.folder.path()), ["b.txt", "file.txt"]);
}

fn without_uploads_every_writing_method_is_405(strategy: Strategy) {
    let server = Running::new(strategy, |server| server);
    for method in ["PUT", "DELETE", "MKCOL", "MOVE", "PATCH", "POST"] {
        for body in [&b""[..], b"x"] {
            let answer = ask(server.address, method, "/file.txt", "Destination: /new\r\n", body);
            assert_eq!((answer.status, answer.field("Allow")), (405, Some("GET, HEAD, OPTIONS")), "{method}");
        }
    }
    assert_eq!(names(server.folder.path()), ["file.txt"]);
    let server = running(strategy, Overwrite::IfMatch);
    let answer = ask(server.address, "OPTIONS", "/file.txt", "", b"");
    let allowed = Some("DELETE, GET, HEAD, MKCOL, MOVE, OPTIONS, PUT");
    assert_eq!((answer.status, answer.field("Allow")), (204, allowed));
    let answer = ask(server.address, "PATCH", "/file.txt", "", b"");
    assert_eq!((answer.status, answer.field("Allow")), (405, allowed));
}

fn a_reader_gets_the_old_or_the_new(strategy: Strategy) {
    let server = running(strategy, Overwrite::Always);
    let (old, new) = (vec![b'o'; 300_000], vec![b'n'; 200_000]);
    fs::write(server.folder.path().join("a.bin"), &old).unwrap();
    let mut writer = Client::new(server.address);
    writer.send(format!("PUT /a.bin HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", new.len()));
    for piece in new.chunks(50_000) {
        assert!(ask(server.address, "GET", "/a.bin", "", b"").body == old, "the old one");
        writer.send(piece);
    }
    assert_eq!(writer.answer(false).status, 204);
    assert!(ask(server.address, "GET", "/a.bin", "", b"").body == new, "the new one");
}

fn what_is_cut_short_leaves_nothing(strategy: Strategy) {
    let server = running(strategy, Overwrite::Always);
    fs::create_dir(server.folder.path().join("in")).unwrap();
    let large = "x".repeat(3_000_000);
    for (target, framing, body) in [
        ("/in/large", "Content-Length: 3000001", large.as_str()),
        ("/in/new.txt", "Content-Length: 100", "too short"),
        ("/in/new.txt", "Transfer-Encoding: chunked", "5\r\nabcde\r\n"),
        ("/in/new.txt", "Transfer-Encoding: chunked", "5\r\nabcde\r\nxyz\r\n"),
        ("/file.txt", "Content-Length: 100", "too short"),
    ] {
        let mut client = Client::new(server.address);
        client.send(format!("PUT {target} HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n{body}"));
        let rest = client.rest(true);
        assert!(rest.starts_with(b"HTTP/1.1 400 "), "{}", rest.escape_ascii());
        assert_eq!(names(server.folder.path()), ["file.txt", "in"], "{target} {framing}");
        assert_eq!(fs::read(server.folder.path().join("file.txt")).unwrap(), b"a file");
    }
}

fn a_refusal_comes_before_the_body(strategy: Strategy) {
    let server = running(strategy, Overwrite::IfMatch);
    let mut client = Client::new(server.address);
    client.send("PUT /file.txt HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.answer(false).status, 428);
    assert_eq!(client.rest(false), b"", "no 100, and the end");
    let mut client = Client::new(server.address);
    client.send("PUT /new.txt HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.answer(false).status, 201);
}

fn what_was_put_is_served_at_once(strategy: Strategy) {
    let server = running(strategy, Overwrite::Always);
    let style = server.folder.path().join("a.css");
    fs::write(&style, "plain").unwrap();
    age(&style);
    let mut client = Client::new(server.address);
    let get = "GET /a.css HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n";
    for _ in 0..2 {
        client.send(get);
        assert_eq!(client.answer(false).body, b"plain", "now it is kept, and that it has no coded form");
    }
    client.send("PUT /a.css.gz HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\ncoded");
    assert_eq!(client.answer(false).status, 201);
    client.send(get);
    assert_eq!(client.answer(false).body, b"coded", "though a moment ago there was none");
    client.send("DELETE /a.css.gz HTTP/1.1\r\nHost: h\r\n\r\nMKCOL /b HTTP/1.1\r\nHost: h\r\n\r\n".to_string() + get);
    let answers = [client.answer(false), client.answer(false), client.answer(false)];
    assert_eq!(answers.map(|answer| answer.status), [204, 201, 200], "in order");
}

fn of_many_who_replace_the_same_file_one_does(strategy: Strategy) {
    let server = running(strategy, Overwrite::IfMatch);
    let tag = tag(server.address, &server.folder.path().join("file.txt"), "/file.txt");
    let mut clients: Vec<_> = (0..8).map(|_| Client::new(server.address)).collect();
    for condition in [format!("/file.txt HTTP/1.1\r\nIf-Match: {tag}"), "/new.txt HTTP/1.1\r\nX: y".into()] {
        for client in &mut clients {
            client.send(format!("PUT {condition}\r\nHost: h\r\nContent-Length: 2\r\n\r\n1"));
        }
        await_uploads(server.folder.path(), clients.len());
        clients.iter_mut().for_each(|client| client.send("2"));
        let mut statuses: Vec<_> = clients.iter_mut().map(|client| client.answer(false).status).collect();
        statuses.sort_unstable();
        assert!(statuses[0] < 300 && statuses[1..].iter().all(|status| *status == 412), "{condition}: {statuses:?}");
    }
}

/// A folder beside a secret, served by each way to resolve names.
struct Site {
    outer: TempDir,
    server: Serving,
}

impl Site {
    fn new(resolver: Resolver, options: Options) -> Site {
        let outer = TempDir::new().unwrap();
        let folder = outer.path().join("site");
        fs::create_dir(&folder).unwrap();
        fs::create_dir(outer.path().join("outside")).unwrap();
        let files = Files::beneath(Root::open(&folder).unwrap().with_resolver(resolver), options);
        Site { outer, server: Serving::new(Strategy::ALL[2], Arc::new(files), Limits::default()) }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.outer.path().join("site").join(name)
    }

    #[track_caller]
    fn check(&self, method: &str, target: &str, fields: &str, want: u16) {
        let answer = ask(self.server.address, method, target, fields, if method == "PUT" { b"new" } else { b"" });
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, want, "{method} {target} {fields:?}: {said}");
    }
}

const RESOLVERS: [Resolver; 3] = [Resolver::Openat2, Resolver::Walk, Resolver::Follow];

#[test]
fn names_that_nothing_may_have_are_refused() {
    for resolver in RESOLVERS {
        let site = Site::new(resolver, with_uploads(Overwrite::Always));
        fs::write(site.path("a.txt"), "old").unwrap();
        fs::create_dir(site.path("d")).unwrap();
        let long = format!("/{}", "n".repeat(256));
        for (name, want) in [
            ("/../x", 400),
            ("/%2e%2e/x", 400),
            ("/a%00b", 400),
            ("/%ff", 400),
            (long.as_str(), 400),
            ("/a%2fb", 403),
            ("/.hidden", 403),
            ("/.d/x", 403),
            ("/.tripoll-0", 403),
            ("/d/%2etripoll-0", 403),
            ("/nowhere/x", 409),
            ("/a.txt/x", 409),
        ] {
            site.check("PUT", name, "", want);
            site.check("MKCOL", name, "", want);
            site.check("MOVE", "/a.txt", &format!("Destination: {name}\r\n"), want);
        }
        for name in ["/", "/d", "/d/"] {
            site.check("PUT", name, "", 405);
            site.check("MKCOL", name, "", 405);
        }
        site.check("PUT", "/new/", "", 405);
        site.check("PUT", &format!("/{}", "n".repeat(255)), "", 201);
        fs::remove_file(site.path(&"n".repeat(255))).unwrap();
        assert_eq!(names(&site.path("")), ["a.txt", "d"], "{resolver:?}");
        let hidden = Site::new(resolver, Options { dot_names: DotNames::Shown, ..with_uploads(Overwrite::Always) });
        hidden.check("PUT", "/.hidden", "", 201);
        hidden.check("PUT", "/.tripoll-0", "", 403);
    }
}

#[test]
fn no_write_follows_a_link_out() {
    for resolver in RESOLVERS {
        let site = Site::new(resolver, with_uploads(Overwrite::Always));
        let outside = site.outer.path().join("outside");
        fs::write(outside.join("secret"), "secret").unwrap();
        symlink("../outside", site.path("out")).unwrap();
        symlink(&outside, site.path("absolute")).unwrap();
        symlink("../outside/secret", site.path("secret")).unwrap();
        fs::write(site.path("a.txt"), "old").unwrap();
        for folder in ["/out", "/absolute", "/out/../out"] {
            let name = format!("{folder}/x").replace("/out/../", "/");
            site.check("PUT", &name, "", 409);
            site.check("MKCOL", &name, "", 409);
            site.check("MOVE", "/a.txt", &format!("Destination: {name}\r\n"), 409);
            site.check("DELETE", &format!("{folder}/secret"), "", 404);
        }
        for link in ["/secret", "/out"] {
            site.check("PUT", link, "", 403);
            site.check("DELETE", link, "", 403);
            site.check("MOVE", link, "Destination: /taken\r\n", 403);
            site.check("MOVE", "/a.txt", &format!("Destination: {link}\r\nOverwrite: T\r\n"), 403);
        }
        assert_eq!(names(&outside), ["secret"], "{resolver:?}");
        assert_eq!(fs::read(outside.join("secret")).unwrap(), b"secret");
        fs::create_dir(site.path("d")).unwrap();
        symlink("d", site.path("within")).unwrap();
        // Where there is no openat2 no link is followed at all.
        let want = if resolver == Resolver::Walk { 409 } else { 201 };
        site.check("PUT", "/within/x", "", want);
        assert_eq!(site.path("d/x").exists(), want == 201);
    }
}

#[test]
fn folders_are_made_moved_and_removed() {
    let site = Site::new(Resolver::Openat2, with_uploads(Overwrite::IfMatch));
    for (method, target, fields, want) in [
        ("MKCOL", "/d", "", 201),
        ("MKCOL", "/d", "", 405),
        ("MKCOL", "/d", "If-None-Match: *\r\n", 412),
        ("MKCOL", "/d/e/f/", "", 409),
        ("MKCOL", "/d/e/", "", 201),
        ("MKCOL", "/x", "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", 415),
        ("PUT", "/d/e/file", "", 201),
        ("DELETE", "/d", "", 409),
        ("DELETE", "/d/e/file/", "", 404),
        ("DELETE", "/", "", 403),
        ("MOVE", "/d", "", 400),
        ("MOVE", "/d", "Destination: d2\r\n", 400),
        ("MOVE", "/d", "Destination: /d2?x\r\n", 400),
        ("MOVE", "/d", "Destination: /d2\r\nDestination: /d3\r\n", 400),
        ("MOVE", "/d", "Destination: /d2\r\nOverwrite: yes\r\n", 400),
        ("MOVE", "/d", "Destination: http://elsewhere/d2\r\n", 502),
        ("MOVE", "/d", "Destination: ftp://h/d2\r\n", 400),
        ("MOVE", "/d", "Destination: /d\r\n", 403),
        ("MOVE", "/d", "Destination: /d/e/d\r\n", 403),
        ("MOVE", "/", "Destination: /d2\r\n", 403),
        ("MOVE", "/d/e/file", "Destination: /file/\r\n", 409),
        ("MOVE", "/none", "Destination: /d2\r\n", 404),
        ("MOVE", "/d", "Destination: http://H/d2\r\n", 201),
        ("MOVE", "/d2/e/file", "Destination: /file\r\n", 201),
        ("PUT", "/other", "", 201),
        ("MOVE", "/file", "Destination: /other\r\n", 428),
        ("MOVE", "/file", "Destination: /other\r\nOverwrite: F\r\n", 412),
        ("MOVE", "/file", "Destination: /d2\r\nOverwrite: T\r\n", 409),
        ("MOVE", "/d2", "Destination: /other\r\nOverwrite: T\r\n", 409),
        ("MOVE", "/file", "Destination: /other\r\nOverwrite: T\r\nIf-Match: \"x\"\r\n", 412),
        ("MOVE", "/file", "Destination: /other\r\nOverwrite: T\r\n", 204),
        ("DELETE", "/d2/e", "", 204),
        ("DELETE", "/d2/", "", 204),
    ] {
        site.check(method, target, fields, want);
    }
    assert_eq!(names(&site.path("")), ["other"]);
}

#[test]
fn what_is_replaced_is_a_matter_of_policy() {
    for (overwrite, put, matched, moved, meant) in [
        (Overwrite::Never, 403, 403, 403, 403),
        (Overwrite::IfMatch, 428, 204, 428, 204),
        (Overwrite::Always, 204, 204, 204, 204),
    ] {
        let site = Site::new(Resolver::Openat2, with_uploads(overwrite));
        let write = || ["a", "b"].iter().for_each(|name| fs::write(site.path(name), "old").unwrap());
        write();
        site.check("PUT", "/a", "", put);
        site.check("PUT", "/a", "If-Match: *\r\n", matched);
        site.check("PUT", "/a", "If-Match: \"x\"\r\n", 412);
        site.check("PUT", "/a", "If-None-Match: *\r\n", 412);
        site.check("PUT", "/new", "If-None-Match: *\r\n", 201);
        for (fields, want) in [("", moved), ("Overwrite: T\r\n", meant), ("Overwrite: F\r\n", 412)] {
            write();
            site.check("MOVE", "/a", &format!("Destination: /b\r\n{fields}"), want);
            assert_eq!(site.path("a").exists(), want != 204);
        }
    }
}

#[test]
fn what_a_body_is_said_to_be_is_heeded() {
    let site = Site::new(Resolver::Openat2, with_uploads(Overwrite::Always));
    site.check("PUT", "/a", "Content-Range: bytes 0-2/9\r\n", 400);
    let coded = ask(site.server.address, "PUT", "/a", "Content-Encoding: gzip\r\n", b"x");
    assert_eq!((coded.status, coded.field("Accept-Encoding")), (415, Some("identity")));
    let typed = ask(site.server.address, "MKCOL", "/a", "", b"x");
    assert_eq!((typed.status, typed.field("Accept-Encoding")), (415, None));
    fs::write(site.path("b"), "").unwrap();
    assert_eq!(ask(site.server.address, "DELETE", "/b", "", b"no matter").status, 204);
    assert_eq!(names(&site.path("")), [""; 0]);
}

#[test]
fn what_a_crash_left_is_swept_away_unless_somebody_writes_it() {
    let outer = TempDir::new().unwrap();
    let folder = outer.path().join("d/e");
    fs::create_dir_all(&folder).unwrap();
    let left = [outer.path().join(".tripoll-0123456789abcdef"), folder.join(".tripoll-1")];
    left.iter().for_each(|path| fs::write(path, "half").unwrap());
    fs::write(folder.join(".hidden"), "mine").unwrap();
    let served = |options| Files::new(outer.path(), options).unwrap();
    served(Options { dot_names: DotNames::Shown, ..Options::default() });
    assert!(left.iter().all(|path| path.exists()), "who only reads changes nothing");
    let held = fs::File::open(&left[1]).unwrap();
    tripoll::sys::try_lock(std::os::fd::AsFd::as_fd(&held)).unwrap();
    served(with_uploads(Overwrite::Never));
    assert_eq!(names(outer.path()), [".hidden", ".tripoll-1", "d", "e"]);
    drop(held);
    served(with_uploads(Overwrite::Never));
    assert_eq!(names(outer.path()), [".hidden", "d", "e"]);
}

#[test]
fn what_is_being_uploaded_is_neither_listed_nor_served() {
    let site = Site::new(Resolver::Openat2, Options { dot_names: DotNames::Shown, ..with_uploads(Overwrite::Never) });
    let mut client = Client::new(site.server.address);
    client.send("PUT /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nha");
    let listing = || ask(site.server.address, "GET", "/?json", "", b"").body;
    await_uploads(&site.path(""), 1);
    let name = names(&site.path("")).remove(0);
    assert!(name.starts_with(".tripoll-"), "{name}");
    assert_eq!(listing(), b"[]");
    site.check("GET", &format!("/{name}"), "", 404);
    site.check("DELETE", &format!("/{name}"), "", 404);
    client.send("lf");
    assert_eq!(client.answer(false).status, 201);
    assert_eq!(names(&site.path("")), ["a"]);
}

#[test]
fn permissions_are_those_that_the_umask_leaves() {
    let site = Site::new(Resolver::Openat2, with_uploads(Overwrite::Never));
    site.check("PUT", "/a", "", 201);
    site.check("MKCOL", "/d", "", 201);
    let (file, folder) = (site.path("want"), site.path("want.d"));
    fs::write(&file, "").unwrap();
    fs::create_dir(&folder).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&site.path("a")), mode(&file));
    assert_eq!(mode(&site.path("d")), mode(&folder));
}

/// A file of this size, in a body whose length is said or not.
fn put(target: &str, length: usize, is_chunked: bool) -> Vec<u8> {
    let body = vec![b'x'; length];
    let (framing, body) = match is_chunked {
        true => (
            "Transfer-Encoding: chunked".into(),
            [format!("{length:x}\r\n").as_bytes(), &body, b"\r\n0\r\n\r\n"].concat(),
        ),
        false => (format!("Content-Length: {length}"), body),
    };
    [format!("PUT {target} HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n").as_bytes(), &body].concat()
}

fn what_is_too_large_is_refused_and_leaves_nothing(strategy: Strategy) {
    let uploads = Uploads { overwrite: Overwrite::Always, file_bytes_max: 1000, quota_bytes_max: 2506 };
    let server = Running::new(strategy, move |server: HttpServer| server.files(bounded(uploads)));
    let folder = server.folder.path();
    for (target, length, is_chunked, want, there) in [
        ("/a", 1000, false, 201, &["a", "file.txt"][..]),
        ("/b", 1001, false, 413, &["a", "file.txt"]),
        ("/b", 1001, true, 413, &["a", "file.txt"]),
        ("/b", 1000, true, 201, &["a", "b", "file.txt"]),
        // file.txt has 6 bytes: 500 are left.
        ("/c", 501, false, 507, &["a", "b", "file.txt"]),
        ("/c", 501, true, 507, &["a", "b", "file.txt"]),
        ("/c", 500, true, 201, &["a", "b", "c", "file.txt"]),
        // Both are there for a moment.
        ("/c", 500, false, 507, &["a", "b", "c", "file.txt"]),
    ] {
        let mut client = Client::new(server.address);
        client.send(put(target, length, is_chunked));
        assert_eq!(client.answer(false).status, want, "{target} {length} {is_chunked}");
        drop(client);
        assert_eq!(names(folder), there, "{target} {length} {is_chunked}");
    }
    for (method, target, fields) in
        [("DELETE", "/a", ""), ("PUT", "/a", ""), ("MOVE", "/a", "Destination: /b\r\n"), ("PUT", "/a", "")]
    {
        let body = vec![b'x'; if method == "PUT" { 1000 } else { 0 }];
        let answer = ask(server.address, method, target, fields, &body);
        assert!(answer.status < 300, "{method} {target}: what is gone makes room: {}", answer.status);
    }
    let mut client = Client::new(server.address);
    for (length, want) in [(1001, 413), (900, 507)] {
        client.send(format!("PUT /d HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"));
        assert_eq!(client.answer(false).status, want, "before the body");
        client = Client::new(server.address);
    }
}

/// A small file system of its own, where this user may have one.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn new(options: &str) -> Option<SmallDisk> {
        let folder = TempDir::new().unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder.path()).output();
        if mount.is_ok_and(|mount| mount.status.success()) { Some(SmallDisk(folder)) } else { None }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").args(["--lazy"]).arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

fn a_full_disk_leaves_nothing(strategy: Strategy) {
    let Some(disk) = SmallDisk::new("size=1m") else {
        let _ = writeln!(std::io::stderr(), "skipped: a full disk: this user may not mount");
        return;
    };
    let files = Files::new(disk.0.path(), with_uploads(Overwrite::Always)).unwrap();
    let server = Serving::new(strategy, Arc::new(files), Limits::default());
    for is_chunked in [false, true] {
        for (target, length, want) in
            [("/a", 600_000, 201), ("/b", 600_000, 507), ("/a", 600_000, 507), ("/b", 300_000, 201)]
        {
            let mut client = Client::new(server.address);
            client.send(put(target, length, is_chunked));
            assert_eq!(client.answer(false).status, want, "{target} {length}");
            assert!(names(disk.0.path()).iter().all(|name| name == "a" || name == "b"), "{target} {length}");
        }
        assert_eq!(fs::metadata(disk.0.path().join("a")).unwrap().len(), 600_000);
        for target in ["/a", "/b"] {
            assert_eq!(ask(server.address, "DELETE", target, "", b"").status, 204, "what is full can be emptied");
        }
    }
}

/// A form's body, of files with these names and contents.
fn form(files: &[(&str, &[u8])]) -> Vec<u8> {
    let part = |(name, content): &(&str, &[u8])| {
        let head = format!("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n");
        [head.as_bytes(), content, b"\r\n"].concat()
    };
    files.iter().flat_map(part).chain(*b"--b--\r\n").collect()
}

const FORM: &str = "Content-Type: multipart/form-data; boundary=b\r\n";

fn a_form_brings_files(strategy: Strategy) {
    let server = running(strategy, Overwrite::IfMatch);
    let (address, folder) = (server.address, server.folder.path());
    fs::create_dir(folder.join("d")).unwrap();
    let page = |target| String::from_utf8(ask(address, "GET", target, "", b"").body).unwrap();
    assert!(page("/").contains("enctype=\"multipart/form-data\"") && page("/d/").contains("type=\"file\""));
    let large: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
    let answer =
        ask(address, "POST", "/d/", FORM, &form(&[("a b.txt", b"one"), ("large", &large), ("", b""), ("ä", b"")]));
    assert_eq!((answer.status, answer.field("Location")), (303, Some("/d/")));
    assert_eq!(fs::read(folder.join("d/a b.txt")).unwrap(), b"one");
    assert!(fs::read(folder.join("d/large")).unwrap() == large);
    assert_eq!(names(&folder.join("d")), ["a b.txt", "large", "ä"]);
    let answer = ask(address, "POST", "/", FORM, &form(&[("some/folder/b.txt", b"two")]));
    assert_eq!((answer.status, answer.field("Location")), (303, Some("/")));
    assert_eq!(fs::read(folder.join("b.txt")).unwrap(), b"two");
    let there = names(folder);
    let many: Vec<(String, &[u8])> = (0..33).map(|n| (n.to_string(), &b"x"[..])).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(name, content)| (name.as_str(), *content)).collect();
    let whole = form(&[("new", b"x")]);
    for (target, fields, body, want) in [
        ("/", FORM, form(&[("new", b"x"), ("file.txt", b"y")]), 409),
        ("/", FORM, form(&[("new", b"x"), ("d", b"y")]), 409),
        ("/", FORM, form(&[("new", b"x"), ("new", b"y")]), 409),
        ("/", FORM, form(&[("new", b"x"), (".hidden", b"y")]), 403),
        ("/", FORM, form(&[("new", b"x"), (".tripoll-1", b"y")]), 403),
        ("/", FORM, form(&[("new", b"x"), ("..", b"y")]), 403),
        ("/", FORM, form(&many), 400),
        ("/", FORM, whole[..whole.len() - 4].to_vec(), 400),
        ("/", "", whole.clone(), 415),
        ("/", "Content-Type: text/plain\r\n", whole.clone(), 415),
        ("/", FORM, Vec::new(), 415),
        ("/none/", FORM, whole.clone(), 404),
        ("/file.txt/", FORM, whole.clone(), 404),
        ("/d", FORM, whole.clone(), 405),
    ] {
        assert_eq!(ask(address, "POST", target, fields, &body).status, want, "{target} {}", body.escape_ascii());
        assert_eq!(names(folder), there, "{target} {}", body.escape_ascii());
    }
    let mut client = Client::new(address);
    client.send(format!("POST / HTTP/1.1\r\nHost: h\r\n{FORM}Content-Length: {}\r\n\r\n", whole.len() + 1));
    client.send(&whole);
    assert!(client.rest(true).starts_with(b"HTTP/1.1 400 "));
    assert_eq!(names(folder), there, "cut short");
    assert_eq!(
        ask(address, "OPTIONS", "/", "", b"").field("Allow"),
        Some("DELETE, GET, HEAD, MKCOL, MOVE, OPTIONS, POST")
    );
    drop(server);
    let server = running(strategy, Overwrite::Always);
    assert_eq!(ask(server.address, "POST", "/", FORM, &form(&[("file.txt", b"new")])).status, 303);
    assert_eq!(fs::read(server.folder.path().join("file.txt")).unwrap(), b"new");
    let closed = Running::new(strategy, |server| server);
    let page = String::from_utf8(ask(closed.address, "GET", "/", "", b"").body).unwrap();
    assert!(!page.contains("multipart/form-data") && !page.contains("{upload}"));
}

/// Bytes that only this file has.
fn bytes_of(client: usize, round: usize) -> Vec<u8> {
    let seed = (client * 1000 + round) as u64;
    (0..12_000 + seed % 1000).flat_map(|n| (seed << 32 ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect()
}

fn twenty_clients_list_download_and_upload_at_once(strategy: Strategy) {
    let server = running(strategy, Overwrite::Always);
    let address = server.address;
    std::thread::scope(|scope| {
        for client in 0..20 {
            scope.spawn(move || {
                for round in 0..3 {
                    let name = format!("/client-{client}.bin");
                    let bytes = bytes_of(client, round);
                    let put = ask(address, "PUT", &name, "", &bytes);
                    assert_eq!(put.status, if round == 0 { 201 } else { 204 }, "{name}");
                    let listing = String::from_utf8(ask(address, "GET", "/?json", "", b"").body).unwrap();
                    assert!(listing.contains(&format!("\"client-{client}.bin\"")), "{listing}");
                    assert!(!listing.contains(".tripoll-"), "{listing}");
                    assert!(ask(address, "GET", &name, "", b"").body == bytes, "{name} as it was put");
                    // Another's is the one or the other of its states.
                    let other = (client + 7) % 20;
                    let got = ask(address, "GET", &format!("/client-{other}.bin"), "", b"");
                    let is_whole = got.status == 404 || (0..3).any(|round| got.body == bytes_of(other, round));
                    assert!(is_whole, "client-{other}.bin: {} with {} bytes", got.status, got.body.len());
                }
            });
        }
    });
    for client in 0..20 {
        assert!(fs::read(server.folder.path().join(format!("client-{client}.bin"))).unwrap() == bytes_of(client, 2));
    }
    assert_eq!(names(server.folder.path()).len(), 21);
}
