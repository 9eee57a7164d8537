//! Uploads that go on after a break, by draft-ietf-httpbis-resumable-upload.

mod backends;
mod client;
mod orders;
mod running;
mod wire;

use backends::on_every_backend;
use client::{Answer, Client, read_answer};
use orders::pattern;
use running::Running;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tripoll::files::{Files, Options, Overwrite, Uploads};
use tripoll::http::{Limits, Listener};
use tripoll::poller::Strategy;
use wire::Wire;

on_every_backend! {
    an_upload_that_is_broken_five_times_arrives_whole,
    an_upload_comes_in_parts,
    a_newer_request_ends_the_transfer,
    what_does_not_fit_is_refused,
    an_upload_is_cancelled,
    who_knows_no_104_uploads_as_ever,
    the_end_is_that_of_a_put,
    limits_are_told_and_hold,
}

/// Of clients that know 104.
const DRAFT: &str = "Upload-Draft-Interop-Version: 8\r\n";

const PARTIAL: &str = "Content-Type: application/partial-upload\r\n";

fn running(strategy: Strategy, uploads: Uploads) -> Running {
    let options = Options { uploads: Some(uploads), ..Options::default() };
    Running::new(strategy, move |server| server.files(options))
}

#[track_caller]
fn ask(address: SocketAddr, method: &str, target: &str, fields: &str, body: &[u8]) -> Answer {
    let mut client = Client::new(address);
    client.send(format!("{method} {target} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n{fields}\r\n", body.len()));
    client.send(body);
    client.answer(method == "HEAD")
}

/// Begins an upload without content: its address.
#[track_caller]
fn begin(address: SocketAddr, target: &str, fields: &str) -> String {
    let answer = ask(address, "PUT", target, &format!("Upload-Complete: ?0\r\n{fields}"), b"");
    assert_eq!((answer.status, answer.field("Upload-Complete")), (201, Some("?0")));
    answer.field("Location").unwrap().to_string()
}

#[track_caller]
fn append(address: SocketAddr, upload: &str, offset: usize, completes: bool, body: &[u8]) -> Answer {
    let completes = if completes { "?1" } else { "?0" };
    let fields = format!("Upload-Complete: {completes}\r\nUpload-Offset: {offset}\r\n{PARTIAL}");
    ask(address, "PATCH", upload, &fields, body)
}

/// The head of a part.
fn patch(upload: &str, completes: &str, offset: usize, framing: &str) -> String {
    let fields = format!("{PARTIAL}Upload-Complete: {completes}\r\nUpload-Offset: {offset}\r\n{framing}\r\n");
    format!("PATCH {upload} HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
}

/// What the server says of an upload: offset, whether it is complete, length.
#[track_caller]
fn state(address: SocketAddr, upload: &str) -> (usize, bool, Option<usize>) {
    let answer = ask(address, "HEAD", upload, "", b"");
    assert_eq!((answer.status, answer.field("Cache-Control")), (204, Some("no-store")));
    assert!(answer.field("Upload-Limit").is_some());
    let is_complete = answer.field("Upload-Complete").unwrap() == "?1";
    let number = |name| answer.field(name).map(|value| value.parse().unwrap());
    (number("Upload-Offset").unwrap(), is_complete, number("Upload-Length"))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = entries.collect();
    names.sort();
    names
}

fn an_upload_that_is_broken_five_times_arrives_whole(strategy: Strategy) {
    let server = running(strategy, Uploads::default());
    let bytes = pattern(3_000_000);
    let mut client = Client::new(server.address);
    let length = bytes.len();
    client.send(format!(
        "PUT /a.bin HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\nUpload-Complete: ?1\r\n{DRAFT}\r\n"
    ));
    let interim = String::from_utf8(client.until(b"\r\n\r\n")).unwrap();
    assert!(interim.starts_with("HTTP/1.1 104 \r\n"), "{interim:?}");
    assert!(interim.contains("Upload-Draft-Interop-Version: 8\r\n") && interim.contains("Upload-Limit: max-age="));
    let (_, location) = interim.split_once("Location: ").unwrap();
    let upload = location.split("\r\n").next().unwrap();
    client.send(&bytes[..400_000]);
    drop(client);
    for part in 1..6 {
        let (offset, is_complete, said) = state(server.address, upload);
        assert!(offset <= part * 400_000 && !is_complete && said == Some(length), "{offset} {said:?}");
        let mut client = Client::new(server.address);
        let left = length - offset;
        client.send(patch(upload, "?1", offset, &format!("Content-Length: {left}")));
        client.send(&bytes[offset..part * 400_000 + 400_000]);
    }
    let (offset, ..) = state(server.address, upload);
    let end = append(server.address, upload, offset, true, &bytes[offset..]);
    assert_eq!((end.status, end.field("Upload-Complete"), end.field("Location")), (201, Some("?1"), None));
    assert!(fs::read(server.folder.path().join("a.bin")).unwrap() == bytes);
    assert_eq!(state(server.address, upload), (length, true, Some(length)), "for who did not hear it");
    assert_eq!(append(server.address, upload, length, true, b"").status, 409);
    assert_eq!(names(server.folder.path()), ["a.bin", "file.txt"]);
}

fn an_upload_comes_in_parts(strategy: Strategy) {
    let server = running(strategy, Uploads::default());
    let first = ask(server.address, "PUT", "/a.txt", &format!("Upload-Complete: ?0\r\n{DRAFT}"), b"one, ");
    let upload = first.field("Location").unwrap();
    assert_eq!((first.status, first.field("Upload-Complete")), (201, Some("?0")));
    assert_eq!(state(server.address, upload), (5, false, None));
    assert_eq!(ask(server.address, "GET", "/a.txt", "", b"").status, 404, "not before it is whole");
    let second = append(server.address, upload, 5, false, b"two, ");
    assert_eq!((second.status, second.field("Upload-Complete")), (204, Some("?0")));
    let mut client = Client::new(server.address);
    client.send(patch(upload, "?0;x=1", 10, "Transfer-Encoding: chunked") + "5\r\nthree\r\n0\r\n\r\n");
    assert_eq!(client.answer(false).status, 204);
    assert_eq!(append(server.address, upload, 15, true, b"").status, 201, "without content");
    assert_eq!(fs::read(server.folder.path().join("a.txt")).unwrap(), b"one, two, three");
    let empty = ask(server.address, "PUT", "/empty", &format!("Upload-Complete: ?1\r\n{DRAFT}"), b"");
    assert_eq!((empty.status, empty.field("Upload-Complete")), (201, Some("?1")));
    assert_eq!(fs::read(server.folder.path().join("empty")).unwrap(), b"");
}

fn a_newer_request_ends_the_transfer(strategy: Strategy) {
    let server = running(strategy, Uploads::default());
    let upload = begin(server.address, "/a.txt", "");
    let part = |offset: usize| {
        let framing = format!("Expect: 100-continue\r\nContent-Length: {}", 9 - offset);
        patch(&upload, "?1", offset, &framing)
    };
    let begin_part = |offset: usize| {
        let mut client = Client::new(server.address);
        client.send(part(offset));
        assert_eq!(client.until(b"\r\n\r\n"), b"HTTP/1.1 100 Continue\r\n\r\n");
        client
    };
    let mut old = begin_part(0);
    old.send("abc");
    let mut offset = 0;
    while offset < 3 {
        (offset, ..) = state(server.address, &upload);
        if offset < 3 {
            old = begin_part(offset); // It was asked too early: what came later is not taken.
            old.send(&"abc"[offset..]);
        }
    }
    let mut new = begin_part(3);
    old.send("XYZ");
    assert_eq!(old.answer(false).status, 409, "what was told of the offset stays true");
    assert_eq!(old.rest(false), b"");
    new.send("defghi");
    assert_eq!(new.answer(false).status, 201);
    assert_eq!(fs::read(server.folder.path().join("a.txt")).unwrap(), b"abcdefghi");
}

fn what_does_not_fit_is_refused(strategy: Strategy) {
    let server = running(strategy, Uploads::default());
    let address = server.address;
    let upload = begin(address, "/a.txt", "Upload-Length: 9\r\n");
    assert_eq!(state(address, &upload), (0, false, Some(9)));
    let answer = append(address, &upload, 2, false, b"abc");
    assert_eq!(
        (answer.status, answer.field("Upload-Offset"), answer.field("Upload-Complete")),
        (409, Some("0"), Some("?0"))
    );
    assert_eq!(answer.field("Content-Type"), Some("application/problem+json"));
    let text = String::from_utf8(answer.body).unwrap();
    for part in ["#mismatching-upload-offset", "\"expected-offset\":0", "\"provided-offset\":2"] {
        assert!(text.contains(part), "{text}");
    }
    for (fields, want) in [
        ("Upload-Complete: ?0\r\nUpload-Offset: 0\r\n".to_string(), 415),
        ("Upload-Complete: ?0\r\nUpload-Offset: 0\r\nContent-Type: text/plain\r\n".into(), 415),
        (format!("Upload-Complete: ?0\r\n{PARTIAL}"), 400),
        (format!("Upload-Complete: ?0\r\nUpload-Offset: -1\r\n{PARTIAL}"), 400),
        (format!("Upload-Complete: ?0\r\nUpload-Offset: 0\r\nUpload-Offset: 0\r\n{PARTIAL}"), 400),
        (format!("Upload-Offset: 0\r\n{PARTIAL}"), 400),
        (format!("Upload-Complete: true\r\nUpload-Offset: 0\r\n{PARTIAL}"), 400),
        (format!("Upload-Complete: ?0\r\nUpload-Length: 8\r\nUpload-Offset: 0\r\n{PARTIAL}"), 400),
        (format!("Upload-Complete: ?1\r\nUpload-Offset: 0\r\n{PARTIAL}"), 400),
    ] {
        let answer = ask(address, "PATCH", &upload, &fields, b"abc");
        assert_eq!(answer.status, want, "{fields:?}");
        assert_eq!(answer.field("Accept-Patch").is_some(), want == 415);
    }
    assert_eq!(state(address, &upload), (0, false, Some(9)), "none of it did anything");
    for method in ["PUT", "POST", "MKCOL", "MOVE"] {
        let answer = ask(address, method, &upload, "", b"");
        assert_eq!(
            (answer.status, answer.field("Allow")),
            (405, Some("DELETE, GET, HEAD, OPTIONS, PATCH")),
            "{method}"
        );
    }
    assert_eq!(append(address, &upload, 0, false, b"0123456789").status, 400, "larger than was said");
    assert_eq!(ask(address, "HEAD", &upload, "", b"").status, 404, "and over");
    let upload = begin(address, "/a.txt", "Upload-Length: 9\r\n");
    let answer = ask(
        address,
        "PATCH",
        &upload,
        &format!("Upload-Complete: ?1\r\nUpload-Offset: 0\r\n{PARTIAL}Transfer-Encoding: chunked\r\n"),
        b"",
    );
    assert_eq!(answer.status, 400, "two framings");
    let inconsistent = ask(address, "PUT", "/a.txt", "Upload-Complete: ?1\r\nUpload-Length: 4\r\n", b"abc");
    assert_eq!((inconsistent.status, inconsistent.field("Upload-Complete")), (400, Some("?0")));
    assert!(String::from_utf8(inconsistent.body).unwrap().contains("#inconsistent-upload-length"));
    assert_eq!(ask(address, "DELETE", &upload, "", b"").status, 204);
    assert_eq!(names(server.folder.path()), ["file.txt"]);
}

fn an_upload_is_cancelled(strategy: Strategy) {
    let server = running(strategy, Uploads::default());
    let upload = begin(server.address, "/a.txt", "");
    assert_eq!(append(server.address, &upload, 0, false, b"abc").status, 204);
    assert_eq!(names(server.folder.path()).len(), 2);
    let options = ask(server.address, "OPTIONS", &upload, "", b"");
    assert_eq!((options.status, options.field("Allow")), (204, Some("DELETE, GET, HEAD, OPTIONS, PATCH")));
    assert_eq!(ask(server.address, "DELETE", &upload, "", b"").status, 204);
    assert_eq!(names(server.folder.path()), ["file.txt"]);
    for method in ["HEAD", "DELETE", "PATCH"] {
        assert_eq!(ask(server.address, method, &upload, "", b"").status, 404, "{method}");
    }
}

fn who_knows_no_104_uploads_as_ever(strategy: Strategy) {
    let server = running(strategy, Uploads::default());
    for (version, fields) in [("1.1", ""), ("1.1", "Upload-Draft-Interop-Version: 7\r\n"), ("1.0", DRAFT)] {
        let mut client = Client::new(server.address);
        client.send(format!(
            "PUT /a HTTP/{version}\r\nHost: h\r\nContent-Length: 9\r\nUpload-Complete: ?1\r\n{fields}\r\nabc"
        ));
        let rest = client.rest(true);
        assert!(rest.starts_with(b"HTTP/1.1 400 "), "no 104: {}", rest.escape_ascii());
        assert_eq!(names(server.folder.path()), ["file.txt"], "nothing is kept that nobody can ask for");
    }
    assert_eq!(ask(server.address, "PUT", "/a", "Upload-Complete: ?1\r\n", b"abc").status, 201);
}

fn the_end_is_that_of_a_put(strategy: Strategy) {
    let server = running(strategy, Uploads::default());
    let address = server.address;
    let answer = ask(address, "PUT", "/file.txt", "Upload-Complete: ?0\r\n", b"abc");
    assert_eq!((answer.status, answer.field("Location")), (428, None), "before anything is kept");
    let upload = begin(address, "/file.txt", "If-Match: *\r\n");
    assert_eq!(append(address, &upload, 0, true, b"abc").status, 204);
    assert_eq!(fs::read(server.folder.path().join("file.txt")).unwrap(), b"abc");
    let upload = begin(address, "/new.txt", "");
    fs::write(server.folder.path().join("new.txt"), "theirs").unwrap();
    let end = append(address, &upload, 0, true, b"ours");
    assert_eq!((end.status, end.field("Upload-Complete")), (412, Some("?1")));
    assert_eq!(ask(address, "HEAD", &upload, "", b"").status, 404, "nothing is left");
    assert_eq!(fs::read(server.folder.path().join("new.txt")).unwrap(), b"theirs");
    assert_eq!(names(server.folder.path()), ["file.txt", "new.txt"]);
}

fn limits_are_told_and_hold(strategy: Strategy) {
    let uploads = Uploads { file_bytes_max: 10, quota_bytes_max: 26, overwrite: Overwrite::Always };
    let server = running(strategy, uploads);
    let address = server.address;
    let limit = Some("max-size=10, max-age=3600");
    assert_eq!(ask(address, "OPTIONS", "/x", "", b"").field("Upload-Limit"), limit);
    let large = ask(address, "PUT", "/a", "Upload-Complete: ?0\r\nUpload-Length: 11\r\n", b"abc");
    assert_eq!((large.status, large.field("Upload-Limit")), (413, limit));
    let (first, second) = (begin(address, "/a", "Upload-Length: 10\r\n"), begin(address, "/b", ""));
    let large = append(address, &second, 0, false, b"0123456789a");
    assert_eq!((large.status, large.field("Upload-Limit")), (413, limit));
    assert_eq!(ask(address, "HEAD", &second, "", b"").status, 404);
    // file.txt has 6 bytes, and 10 are set aside.
    let second = begin(address, "/b", "Upload-Length: 10\r\n");
    assert_eq!(ask(address, "PUT", "/c", "", b"x").status, 507);
    assert_eq!(append(address, &first, 0, true, b"0123456789").status, 201);
    assert_eq!(ask(address, "DELETE", &second, "", b"").status, 204);
    assert_eq!(ask(address, "PUT", "/c", "", b"x").status, 201, "what is given up makes room");
}

/// A folder with uploads, and a connection to it whose clock is ours.
fn served(folder: &TempDir) -> Listener {
    let options = Options { uploads: Some(Uploads::default()), ..Options::default() };
    Listener::new(Arc::new(Files::new(folder.path(), options).unwrap()), Limits::default())
}

#[track_caller]
fn ask_at(listener: &Listener, wall: SystemTime, request: &str) -> Answer {
    let mut wire = Wire::new(listener, wall);
    wire.feed(request.as_bytes());
    read_answer(&wire.sent, request.starts_with("HEAD")).unwrap().expect("an answer").0
}

const BEGIN: &str = "PUT /a HTTP/1.1\r\nHost: h\r\nUpload-Complete: ?0\r\nContent-Length: 1\r\n\r\nx";

#[test]
fn an_upload_that_nobody_goes_on_with_expires() {
    let folder = TempDir::new().unwrap();
    let listener = served(&folder);
    let noon = SystemTime::now();
    let hour = Duration::from_secs(3600);
    let head =
        |upload: &str, wall| ask_at(&listener, wall, &format!("HEAD {upload} HTTP/1.1\r\nHost: h\r\n\r\n")).status;
    let upload = ask_at(&listener, noon, BEGIN).field("Location").unwrap().to_string();
    let moment = Duration::from_millis(1);
    assert_eq!(head(&upload, noon), 204);
    assert_eq!(head(&upload, noon + hour - moment), 204, "from here it counts anew");
    assert_eq!(head(&upload, noon + hour), 204);
    assert_eq!(names(folder.path()).len(), 1);
    assert_eq!(head(&upload, noon + hour + hour), 404);
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn an_upload_that_moves_does_not_expire() {
    let folder = TempDir::new().unwrap();
    let listener = served(&folder);
    let noon = SystemTime::now();
    let upload = ask_at(&listener, noon, BEGIN).field("Location").unwrap().to_string();
    let mut wire = Wire::new(&listener, noon);
    wire.feed((patch(&upload, "?0", 1, "Content-Length: 2") + "y").as_bytes());
    for hours in [0, 2, 4] {
        ask_at(&listener, noon + Duration::from_secs(3600) * hours, BEGIN);
    }
    wire.feed(b"z");
    assert!(wire.sent.starts_with(b"HTTP/1.1 204 "), "{}", wire.sent.escape_ascii());
}

#[test]
fn of_too_many_uploads_the_one_idle_longest_gives_way() {
    let folder = TempDir::new().unwrap();
    let listener = served(&folder);
    let noon = SystemTime::now();
    let begin = |n: u64| ask_at(&listener, noon + Duration::from_secs(n), BEGIN).field("Location").unwrap().to_string();
    let uploads: Vec<_> = (0..64).map(begin).collect();
    let head = |upload: &str| {
        ask_at(&listener, noon + Duration::from_secs(70), &format!("HEAD {upload} HTTP/1.1\r\nHost: h\r\n\r\n")).status
    };
    assert_eq!(head(&uploads[0]), 204, "now it is not the one any more");
    begin(80);
    assert_eq!([0, 1, 2].map(|n| head(&uploads[n])), [204, 404, 204]);
    assert_eq!(names(folder.path()).len(), 64);
}
