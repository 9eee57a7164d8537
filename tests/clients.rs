//! Clients that others wrote, on every backend: a library as programs use it, and curl.

mod backends;
mod running;
#[allow(dead_code)] // Here it has no main.
#[path = "../examples/streams.rs"]
mod streams;

use backends::{on_every_backend, on_every_loop};
use running::{Running, Way};
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write, stderr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use tripoll::{HttpServer, Request, Response};
use ureq::http::header;
use ureq::{Agent, Body, ResponseExt, SendBody};

on_every_loop! {
    a_library_gets_files_and_parts_of_them,
    a_library_gets_a_large_file_byte_for_byte,
    a_library_follows_to_a_folder,
    a_library_sends_bodies_in_both_framings,
    a_library_uses_one_connection_for_many_requests,
    curl_gets_files_and_parts_of_them,
    curl_resumes_a_download,
    curl_sends_bodies_in_both_framings,
    curl_uses_one_connection_for_many_requests,
    curl_speaks_the_old_version,
    answers_of_unknown_length_are_read_to_their_end,
    events_come_as_they_are_sent,
    a_body_that_is_too_long_is_refused_before_it_is_sent,
}

const LARGE_BYTES: usize = 10 * 1024 * 1024;

/// Bytes of which no two blocks are alike, so that one lost, doubled or moved is seen.
static LARGE: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0u32..).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).take(LARGE_BYTES).collect());

/// The server, and the ports of those who asked its routes, in order.
fn serve(way: Way) -> (Running, Arc<Mutex<Vec<u16>>>) {
    let peers = Arc::new(Mutex::new(Vec::new()));
    let asked = peers.clone();
    let running = Running::new(way, move |server| with_echo(server, asked));
    fs::write(running.folder.path().join("large.bin"), &LARGE[..]).unwrap();
    fs::create_dir(running.folder.path().join("sub")).unwrap();
    fs::write(running.folder.path().join("sub/index.html"), "<p>sub").unwrap();
    (running, peers)
}

/// `/echo`, which also says how the body came.
fn with_echo(server: HttpServer, asked: Arc<Mutex<Vec<u16>>>) -> HttpServer {
    let echo = move |request: &Request<'_>| {
        asked.lock().unwrap().push(request.peer().port());
        let is_chunked = request.fields().all("transfer-encoding").next().is_some();
        Response::bytes("application/octet-stream", request.body())
            .field("X-Method", request.method().as_str())
            .field("X-Framing", if is_chunked { "chunked" } else { "length" })
    };
    ["GET", "POST", "PUT"].into_iter().fold(server, |server, method| server.route(method, "/echo", echo.clone()))
}

fn agent() -> Agent {
    let patience = Some(Duration::from_secs(30));
    Agent::config_builder().http_status_as_error(false).proxy(None).timeout_global(patience).build().new_agent()
}

fn url(running: &Running, target: &str) -> String {
    format!("http://{}{target}", running.address)
}

#[track_caller]
fn field<'a>(answer: &'a ureq::http::Response<Body>, name: &str) -> &'a str {
    answer.headers().get(name).unwrap_or_else(|| panic!("no {name}: {answer:?}")).to_str().unwrap()
}

#[track_caller]
fn bytes(mut answer: ureq::http::Response<Body>) -> Vec<u8> {
    answer.body_mut().with_config().limit(2 * LARGE_BYTES as u64).read_to_vec().unwrap()
}

fn a_library_gets_files_and_parts_of_them(way: Way) {
    let (running, _) = serve(way);
    let (agent, file) = (agent(), url(&running, "/file.txt"));
    let whole = agent.get(&file).call().unwrap();
    assert_eq!((whole.status().as_u16(), field(&whole, "content-type")), (200, "text/plain; charset=utf-8"));
    // A file that has just changed may change again within its time's precision: until then its tag is weak.
    let tag = field(&whole, "etag").trim_start_matches("W/").to_string();
    assert_eq!(bytes(whole), b"a file");

    let head = agent.head(&file).call().unwrap();
    assert_eq!((head.status().as_u16(), field(&head, "content-length")), (200, "6"));
    assert_eq!(field(&head, "etag").trim_start_matches("W/"), tag);
    assert_eq!(bytes(head), b"");

    for (range, status, content_range, want) in [
        ("bytes=2-3", 206, "bytes 2-3/6", &b"fi"[..]),
        ("bytes=2-", 206, "bytes 2-5/6", b"file"),
        ("bytes=-2", 206, "bytes 4-5/6", b"le"),
        ("bytes=6-", 416, "bytes */6", b"416 Range Not Satisfiable\n"),
    ] {
        let part = agent.get(&file).header(header::RANGE, range).call().unwrap();
        assert_eq!((part.status().as_u16(), field(&part, "content-range")), (status, content_range), "{range}");
        assert_eq!(bytes(part), want, "{range}");
    }

    let same = agent.get(&file).header(header::IF_NONE_MATCH, &tag).call().unwrap();
    assert_eq!(same.status(), 304);
    assert_eq!(bytes(same), b"");
    let missing = agent.get(url(&running, "/missing")).call().unwrap();
    assert_eq!(missing.status(), 404);
    assert_eq!(bytes(missing), b"404 Not Found\n");
}

fn a_library_gets_a_large_file_byte_for_byte(way: Way) {
    let (running, _) = serve(way);
    let answer = agent().get(url(&running, "/large.bin")).call().unwrap();
    assert_eq!(field(&answer, "content-length"), LARGE_BYTES.to_string());
    assert!(bytes(answer) == *LARGE, "other bytes than the file's");
}

fn a_library_follows_to_a_folder(way: Way) {
    let (running, _) = serve(way);
    let answer = agent().get(url(&running, "/sub?a=b")).call().unwrap();
    assert_eq!((answer.status().as_u16(), answer.get_uri().to_string()), (200, url(&running, "/sub/?a=b")));
    assert_eq!(bytes(answer), b"<p>sub");
}

fn a_library_sends_bodies_in_both_framings(way: Way) {
    let (running, _) = serve(way);
    let (agent, echo) = (agent(), url(&running, "/echo"));
    for length in [0, 1, 8192, 300_000] {
        let body = &LARGE[..length];
        let by_length = agent.post(&echo).send(body).unwrap();
        assert_eq!((by_length.status().as_u16(), field(&by_length, "x-framing")), (200, "length"), "{length}");
        assert!(bytes(by_length) == body, "{length}");
        // A reader whose length nobody knows.
        let in_chunks = agent.put(&echo).send(SendBody::from_reader(&mut body.chain(&b"!"[..]))).unwrap();
        assert_eq!((in_chunks.status().as_u16(), field(&in_chunks, "x-framing")), (200, "chunked"), "{length}");
        assert!(bytes(in_chunks) == [body, b"!"].concat(), "{length}");
    }
}

fn a_library_uses_one_connection_for_many_requests(way: Way) {
    let (running, peers) = serve(way);
    let (agent, echo) = (agent(), url(&running, "/echo"));
    for n in 0..10 {
        assert_eq!(bytes(agent.post(&echo).send(format!("{n}")).unwrap()), format!("{n}").as_bytes());
        assert_eq!(bytes(agent.head(&echo).call().unwrap()), b"");
        // What comes between must leave the connection as it was.
        assert_eq!(bytes(agent.get(url(&running, "/missing")).call().unwrap()), b"404 Not Found\n");
        assert_eq!(bytes(agent.get(url(&running, "/file.txt")).call().unwrap()), b"a file");
        let unwanted = SendBody::from_owned_reader(&b"in chunks"[..]);
        let refused = agent.post(url(&running, "/file.txt")).send(unwanted).unwrap();
        assert_eq!(refused.status(), 405);
        bytes(refused);
    }
    let peers = peers.lock().unwrap();
    assert_eq!(peers.len(), 20);
    assert_eq!(peers.iter().collect::<BTreeSet<_>>().len(), 1, "one port of the client's: {peers:?}");
}

/// What curl prints, given some bytes on stdin; None where it is not installed, which a line says.
#[track_caller]
fn curl(arguments: &[&str], stdin: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::new("curl");
    command.args(["-sS", "-g", "-q", "--noproxy", "*", "--max-time", "30"]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        let _ = writeln!(stderr(), "skipped: curl: it is not installed");
        return None;
    };
    let (mut pipe, stdin) = (child.stdin.take().unwrap(), stdin.to_vec());
    let writer = std::thread::spawn(move || pipe.write_all(&stdin));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let _ = writer.join().unwrap(); // Who sends no body does not read it.
    Some(output.stdout)
}

#[track_caller]
fn assert_curl(arguments: &[&str], stdin: &[u8], want: &[u8]) {
    if let Some(got) = curl(arguments, stdin) {
        let shown = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
        assert!(got == want, "{arguments:?}\n got {:?}\nwant {:?}", shown(&got), shown(want));
    }
}

fn curl_gets_files_and_parts_of_them(way: Way) {
    let (running, _) = serve(way);
    let file = url(&running, "/file.txt");
    assert_curl(&[&file], b"", b"a file");
    assert_curl(&["-r", "2-3", &file], b"", b"fi");
    assert_curl(&["-r", "-2", &file], b"", b"le");
    // It may be asked to compress, and need not.
    assert_curl(&["--compressed", &file], b"", b"a file");
    assert_curl(&["-L", &url(&running, "/sub")], b"", b"<p>sub");
    assert_curl(&[&url(&running, "/large.bin")], b"", &LARGE);
    assert_curl(&["-r", "5000000-5999999", &url(&running, "/large.bin")], b"", &LARGE[5_000_000..6_000_000]);
    let codes = "%{http_code} %{size_download} %{content_type}\n";
    assert_curl(
        &["-o", "/dev/null", "-w", codes, &url(&running, "/missing")],
        b"",
        b"404 14 text/plain; charset=utf-8\n",
    );
    if let Some(head) = curl(&["-I", &file], b"") {
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(head.contains("\r\nContent-Length: 6\r\n") && !head.contains("Content-Encoding"), "{head}");
    }
}

fn curl_resumes_a_download(way: Way) {
    let (running, _) = serve(way);
    let folder = tempfile::tempdir().unwrap();
    let part = folder.path().join("part");
    for so_far in [0, 1, LARGE_BYTES / 2, LARGE_BYTES - 1] {
        fs::write(&part, &LARGE[..so_far]).unwrap();
        if let Some(told) = curl(
            &["-C", "-", "-o", text(&part), "-w", "%{http_code} %{size_download}", &url(&running, "/large.bin")],
            b"",
        ) {
            let status = if so_far == 0 { 200 } else { 206 };
            assert_eq!(String::from_utf8(told).unwrap(), format!("{status} {}", LARGE_BYTES - so_far));
            assert!(fs::read(&part).unwrap() == *LARGE, "after {so_far} bytes");
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn curl_sends_bodies_in_both_framings(way: Way) {
    let (running, _) = serve(way);
    let echo = url(&running, "/echo");
    assert_curl(&["--data", "a=b&c", &echo], b"", b"a=b&c");
    assert_curl(
        &["--data-binary", "@-", "-w", " %header{x-method} %header{x-framing}", &echo],
        b"x\0\n",
        b"x\0\n POST length",
    );
    assert_curl(&["-T", "-", "-w", " %header{x-method} %header{x-framing}", &echo], b"piped", b"piped PUT chunked");
    // So long that curl asks first whether it is welcome.
    assert_curl(&["-T", "-", "-H", "Expect: 100-continue", &echo], &LARGE[..1_000_000], &LARGE[..1_000_000]);
    assert_curl(
        &["--data-binary", "@-", "-H", "Expect: 100-continue", &echo],
        &LARGE[..1_000_000],
        &LARGE[..1_000_000],
    );
}

fn curl_uses_one_connection_for_many_requests(way: Way) {
    let (running, peers) = serve(way);
    let (echo, file) = (url(&running, "/echo"), url(&running, "/file.txt"));
    let connects = ["-w", "%{num_connects} "];
    let arguments = [&connects[..], &["--data", "x", &echo, &echo, &echo]].concat();
    assert_curl(&arguments, b"", b"x1 x0 x0 ");
    assert_curl(&["-w", "%{num_connects} ", &file, &url(&running, "/sub/"), &file], b"", b"a file1 <p>sub0 a file0 ");
    let peers = peers.lock().unwrap();
    assert_eq!(peers.iter().collect::<BTreeSet<_>>().len(), peers.len().min(1), "{peers:?}");
}

fn curl_speaks_the_old_version(way: Way) {
    let (running, _) = serve(way);
    let (file, echo) = (url(&running, "/file.txt"), url(&running, "/echo"));
    // By HTTP/1.0 a connection ends with its answer: each needs one of its own.
    assert_curl(&["-0", "-w", "%{num_connects} ", &file, &file], b"", b"a file1 a file1 ");
    assert_curl(&["-0", "--data", "x=y", &echo], b"", b"x=y");
    assert_curl(&["-0", &url(&running, "/large.bin")], b"", &LARGE);
    if let Some(answer) = curl(&["-0", "-i", &file], b"") {
        let answer = String::from_utf8(answer).unwrap();
        // RFC 9112 §2.3: a server says its own version, whatever the client's.
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\na file"), "{answer}");
        assert!(answer.contains("\r\nConnection: close\r\n") && !answer.contains("Transfer-Encoding"), "{answer}");
    }
}

/// What `GET /lines/{count}` says.
fn lines(count: u32) -> Vec<u8> {
    (1..=count).flat_map(|line| format!("{line}\n").into_bytes()).collect()
}

fn answers_of_unknown_length_are_read_to_their_end(way: Way) {
    let running = Running::new(way, streams::with_routes);
    let agent = agent();
    for count in [0, 1, 100_000] {
        let target = url(&running, &format!("/lines/{count}"));
        let answer = agent.get(&target).call().unwrap();
        assert_eq!(field(&answer, "transfer-encoding"), "chunked");
        assert!(answer.headers().get("content-length").is_none());
        assert!(bytes(answer) == lines(count), "{count}");
        assert_eq!(bytes(agent.head(&target).call().unwrap()), b"");
        // Twice, over one connection.
        let twice = [lines(count), b"1".to_vec(), lines(count), b"0".to_vec()].concat();
        assert_curl(&["-w", "%{num_connects}", &target, &target], b"", &twice);
        // By HTTP/1.0 its end is the connection's.
        assert_curl(&["-0", &target], b"", &lines(count));
    }
    assert_curl(&[&url(&running, "/primes/1000"), &url(&running, "/egg/0")], b"", b"168\ndone\n");
    assert_curl(&["-T", "-", &url(&running, "/upload")], &LARGE, format!("{LARGE_BYTES} bytes\n").as_bytes());
}

fn events_come_as_they_are_sent(way: Way) {
    let running = Running::new(way, streams::with_routes);
    let mut command = Command::new("curl");
    command.args(["-sSN", "-q", "--noproxy", "*", "--max-time", "30", "-H", "Last-Event-ID: 0"]);
    let Ok(mut child) = command.arg(url(&running, "/clock")).stdout(Stdio::piped()).spawn() else {
        let _ = writeln!(stderr(), "skipped: curl: it is not installed");
        return;
    };
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(said.next().unwrap(), "event: missed");
    assert!(said.next().unwrap().starts_with("data: 1"), "the seconds since 1970");
    // Each is printed when it comes: there is no end that it could be kept for.
    for _ in 0..2 {
        assert_eq!(said.next().unwrap(), "");
        assert!(said.next().unwrap().starts_with("id: 1"));
        assert_eq!(said.next().unwrap(), "retry: 500");
        assert!(said.next().unwrap().ends_with(" GMT"));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

fn a_body_that_is_too_long_is_refused_before_it_is_sent(way: Way) {
    let running = Running::new(way, streams::with_routes);
    // Nine gigabytes that take no room.
    let file = running.folder.path().join("nine");
    fs::File::create(&file).unwrap().set_len(9 << 30).unwrap();
    let told = "%{http_code} %{size_upload}\n";
    let nine = ["-H", "Expect: 100-continue", "-T", text(&file), "-o", "/dev/null", "-w", told];
    assert_curl(&[&nine[..], &[&url(&running, "/upload")]].concat(), b"", b"413 0\n");
}
