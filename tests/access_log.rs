//! The access log as those who read it get it: its forms, and what becomes of it when nobody reads.

mod client;
mod process;

use client::Client;
use process::{PATIENCE, Process, command, rest};
use std::io::{BufRead, BufReader, Read, Write, stderr};
use std::net::SocketAddr;
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, TryRecvError};
use tempfile::TempDir;

/// What a pipe holds (pipe(7)) and what may wait in the process: past it lines are dropped.
const HELD_BYTES_MAX: usize = 2 * 64 * 1024;

fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("a.txt"), "content").unwrap();
    folder
}

/// The log of one connection that sends `requests`, each of which is answered.
#[track_caller]
fn log_of(format: &str, requests: &[&str]) -> Vec<String> {
    let folder = folder();
    let mut command = command(&["-p", "0", "--log", format, "."], folder.path());
    command.env("TZ", "UTC");
    let (process, _, address) = Process::serving(command);
    let mut client = Client::new(address);
    for request in requests {
        client.send(request);
        client.answer(request.starts_with("HEAD"));
    }
    client.rest(true);
    process.signal("INT");
    let (code, lines, stderr) = process.end();
    assert_eq!((code, stderr), (Some(0), vec![]));
    lines
}

/// Whether `line` is `pattern`, in which `#` stands for a digit.
fn is_like(line: &str, pattern: &str) -> bool {
    let is_like = |(got, want): (char, char)| got == want || (want == '#' && got.is_ascii_digit());
    line.chars().count() == pattern.chars().count() && line.chars().zip(pattern.chars()).all(is_like)
}

#[track_caller]
fn check(format: &str, request: &str, pattern: &str) {
    let lines = log_of(format, &[request]);
    assert!(matches!(&lines[..], [line] if is_like(line, pattern)), "{format}: {lines:?} is not {pattern:?}");
}

const GET: &str =
    "GET /a.txt?q=%22 HTTP/1.1\r\nHost: h\r\nUser-Agent: a \"b\" \\ \u{e4}\tc\r\nReferer: http://r/\r\n\r\n";

#[test]
fn a_line_has_the_form_that_was_asked_for() {
    // The month's letters differ, so the pattern takes the date from the line's own place.
    let date = |lines: &[String]| lines[0].split(['[', ':']).nth(1).unwrap().to_string();
    check("short", GET, "##:##:## 200 GET /a.txt?q=%22 7 B 127.0.0.1");
    check("short", "HEAD /nothing HTTP/1.1\r\nHost: h\r\n\r\n", "##:##:## 404 HEAD /nothing 0 B 127.0.0.1");
    check("short", "nonsense\r\n\r\n", "##:##:## 400 (no request) 88 B 127.0.0.1");

    let lines = log_of("common", &[GET, "HEAD /a.txt HTTP/1.0\r\n\r\n"]);
    let day = date(&lines);
    assert!(is_like(&day[..3], "##/") && is_like(&day[6..], "/####"), "{day}");
    let start = format!("127.0.0.1 - - [{day}:##:##:## +0000] ");
    assert!(is_like(&lines[0], &format!("{start}\"GET /a.txt?q=%22 HTTP/1.1\" 200 7")), "{lines:?}");
    assert!(is_like(&lines[1], &format!("{start}\"HEAD /a.txt HTTP/1.0\" 200 -")), "{lines:?}");

    let lines = log_of("combined", &[GET, "nonsense\r\n\r\n"]);
    let agent = r"a \x22b\x22 \x5C \xC3\xA4\x09c";
    let want = format!("{start}\"GET /a.txt?q=%22 HTTP/1.1\" 200 7 \"http://r/\" \"{agent}\"");
    assert!(is_like(&lines[0], &want), "{lines:?}");
    assert!(is_like(&lines[1], &format!("{start}\"-\" 400 88 \"-\" \"-\"")), "{lines:?}");

    let lines = log_of("json", &[GET, "nonsense\r\n\r\n"]);
    let values: Vec<serde_json::Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(is_like(values[0]["time"].as_str().unwrap(), "####-##-##T##:##:##+00:00"));
    assert_eq!(values[0]["user_agent"], "a \"b\" \\ \u{e4}\tc");
    assert_eq!((&values[0]["method"], &values[0]["target"]), (&"GET".into(), &"/a.txt?q=%22".into()));
    assert_eq!((&values[0]["status"], &values[0]["bytes"]), (&200.into(), &7.into()));
    assert_eq!((&values[0]["peer"], &values[0]["version"]), (&"127.0.0.1".into(), &"HTTP/1.1".into()));
    assert_eq!((&values[1]["status"], &values[1]["method"]), (&400.into(), &serde_json::Value::Null));
}

#[test]
fn what_a_client_chooses_is_cut_so_that_a_line_fits() {
    let method = "M".repeat(3000);
    let hostile = "\"".repeat(3000);
    let long = format!(
        "{method} /{0} HTTP/1.1\r\nHost: h\r\nReferer: {1}\r\nUser-Agent: {1}\r\n\r\n",
        "x".repeat(4000),
        hostile
    );
    for format in ["short", "common", "combined", "json"] {
        let lines = log_of(format, &[&long]);
        let [line] = &lines[..] else { panic!("{format}: {lines:?}") };
        assert!(line.len() < 4096 && line.contains("..."), "{format}: {} bytes", line.len());
        if format == "json" {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
    }
}

#[test]
fn what_is_as_long_as_it_may_be_is_written_whole() {
    let long = |method: usize, target: usize, field: usize| {
        let (method, target, field) = ("M".repeat(method), "x".repeat(target - 1), "f".repeat(field));
        format!("{method} /{target} HTTP/1.1\r\nHost: h\r\nReferer: {field}\r\nUser-Agent: {field}\r\n\r\n")
    };
    for format in ["combined", "json"] {
        for (lengths, cuts) in [((64, 2048, 768), 0), ((65, 2048, 768), 1), ((64, 2049, 768), 1), ((64, 2048, 769), 2)]
        {
            let lines = log_of(format, &[&long(lengths.0, lengths.1, lengths.2)]);
            assert_eq!(lines[0].matches("...").count(), cuts, "{format}: {lengths:?}");
        }
    }
}

#[test]
fn without_a_terminal_nothing_is_logged_unless_asked_for() {
    for flags in [&[][..], &["--log", "auto"], &["--log", "off"]] {
        let folder = folder();
        let arguments = [&["-p", "0", "."], flags].concat();
        let (process, _, address) = Process::serving(command(&arguments, folder.path()));
        let mut client = Client::new(address);
        client.send(GET);
        client.answer(false);
        drop(client);
        process.signal("INT");
        assert_eq!(process.end(), (Some(0), vec![], vec![]), "{flags:?}");
    }
}

/// A server whose stdout is read when the test wants it.
fn unread(format: &str, folder: &TempDir) -> (Process, SocketAddr, BufReader<ChildStdout>) {
    let mut child = command(&["-p", "0", "--log", format, "."], folder.path()).spawn().unwrap();
    let mut stdout = BufReader::with_capacity(1, child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).unwrap().parse().unwrap();
    let stderr = process::lines(child.stderr.take());
    let process = Process { child, stdout: process::lines(None::<&[u8]>), stderr };
    process.tells_root();
    (process, address, stdout)
}

#[test]
fn a_log_that_nobody_reads_loses_lines_whole_and_keeps_nobody_waiting() {
    let folder = folder();
    let (process, address, mut stdout) = unread("common", &folder);
    let query = "x".repeat(900);
    let total = 3 * HELD_BYTES_MAX / query.len();
    let mut client = Client::new(address);
    for number in 0..total {
        client.send(format!("GET /a.txt?{number}-{query} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!(client.answer(false).body, b"content");
    }
    drop(client);
    // From here on somebody reads; the loop finds out by itself.
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    let told = process.stderr.recv_timeout(PATIENCE).unwrap();
    process.signal("INT");
    assert_eq!(process.end(), (Some(0), vec![], vec![]));
    let dropped: usize =
        told.strip_prefix("tripoll: ").and_then(|told| told.split(' ').next()).unwrap().parse().unwrap();
    assert!(told.ends_with(" lines of the access log were dropped: stdout is read too slowly"), "{told}");
    let text = reading.join().unwrap().unwrap();
    let mut last = None;
    for line in text.lines() {
        let number: usize =
            line.split(['?', '-']).nth(3).and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{line}"));
        assert!(
            line.ends_with(&format!("-{query} HTTP/1.1\" 200 7")) && last < Some(number),
            "torn or out of order: {line}"
        );
        last = Some(number);
    }
    assert_eq!(text.lines().count() + dropped, total);
}

#[test]
fn a_log_whose_reader_is_gone_ends_and_is_told() {
    let folder = folder();
    let (process, address, stdout) = unread("short", &folder);
    drop(stdout);
    let mut client = Client::new(address);
    // A child that another test is just starting may hold the reading end for a moment.
    let told = loop {
        client.send(GET);
        assert_eq!(client.answer(false).body, b"content");
        match process.stderr.try_recv() {
            Ok(told) => break told,
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => panic!("it ended"),
        }
    };
    assert_eq!(told, "tripoll: the access log ends: nobody reads stdout any more");
    drop(client);
    process.signal("INT");
    assert_eq!(process.end(), (Some(0), vec![], vec![]));
}

#[test]
fn a_terminal_sees_each_answer_in_colour() {
    if Command::new("script").arg("--version").stdout(Stdio::null()).status().is_err() {
        let _ = writeln!(stderr(), "skipped: a terminal: script(1) is not installed");
        return;
    }
    for (variables, want) in [
        (&[][..], "\x1b[0m \x1b[32m200\x1b[0m GET /a.txt?q=%22 \x1b[2m7 B 127.0.0.1\x1b[0m"),
        (&[("NO_COLOR", "1")], " 200 GET /a.txt?q=%22 7 B 127.0.0.1"),
    ] {
        let folder = folder();
        let mut script = Command::new("script");
        // What root is told would come by the same terminal.
        let user = if process::is_root() { "--user root" } else { "" };
        script
            .args(["-qefc", &format!("exec {} -p 0 {user} .", process::TRIPOLL), "/dev/null"])
            .current_dir(folder.path());
        script.envs(variables.iter().copied()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (process, _, address) = Process::serving(script);
        let mut client = Client::new(address);
        client.send(GET);
        client.answer(false);
        let line = next(&process.stdout);
        assert!(line.trim_end().ends_with(want), "{line:?}");
    }
}

#[track_caller]
fn next(lines: &Receiver<String>) -> String {
    lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("nothing more is said: {:?}", rest(lines)))
}
