//! The command as a person or a script meets it: what it says, where it says it, and how it ends.

mod client;
mod process;

use client::Client;
use process::{PATIENCE, Process, TRIPOLL, command, lines};
use std::collections::BTreeSet;
use std::io::{Write, stderr};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Instant;
use tempfile::TempDir;

const GET: &str = "GET /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("a.txt"), "content").unwrap();
    folder
}

/// A port below those that the kernel gives to clients and to port 0, each call in a range of its own, so that no
/// other test takes it.
fn quiet_port() -> (TcpListener, u16) {
    static CALLS: AtomicU16 = AtomicU16::new(0);
    let process = u16::try_from(std::process::id() % 20).unwrap();
    let start = 20_000 + process * 600 + CALLS.fetch_add(1, Ordering::SeqCst) * 200;
    let listener = (start..start + 100).find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
    let listener = listener.expect("one of them is free");
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[test]
fn the_start_line_says_what_is_served_where_and_how() {
    let folder = folder();
    let directory = folder.path().to_str().unwrap();
    for (flags, how) in [
        (&[][..], "epoll"),
        (&["--backend", "epoll"], "epoll"),
        (&["--backend", "epoll", "--trigger", "level"], "epoll"),
        (&["--backend=epoll", "--trigger=edge"], "epoll-edge"),
        (&["--trigger", "edge"], "epoll-edge"),
        (&["--backend", "poll"], "poll"),
        (&["--backend", "select"], "select"),
        (&["--backend", "select", "--select-limit", "1024"], "select, limit 1024"),
    ] {
        let arguments = [&["-p", "0", "--sandbox", "off", directory], flags].concat();
        let (process, line, address) = Process::serving(command(&arguments, folder.path()));
        assert_ne!(address.port(), 0);
        let port = address.port();
        assert_eq!(
            line,
            format!("tripoll 0.1.0: serving {directory} at http://127.0.0.1:{port}/ ({how}, not sandboxed)")
        );
        client::is_well(address);
        process.signal("TERM");
        assert_eq!(process.end(), (Some(0), vec![], vec![]), "{flags:?}");
    }
}

#[test]
fn without_a_folder_static_is_served() {
    let outer = TempDir::new().unwrap();
    let none = Process::new(command(&["-p", "0"], outer.path())).end();
    let want = "error: no DIR given and ./static does not exist (try: tripoll .)";
    assert_eq!(none, (Some(1), vec![], vec![want.to_string()]));
    std::fs::create_dir(outer.path().join("static")).unwrap();
    std::fs::write(outer.path().join("static/a.txt"), "content").unwrap();
    let (_process, line, address) = Process::serving(command(&["-p", "0"], outer.path()));
    assert!(line.starts_with(&format!("tripoll 0.1.0: serving static at http://{address}/ (epoll, ")), "{line}");
    client::is_well(address);
}

#[test]
fn several_addresses_are_told_in_their_order() {
    let folder = folder();
    let (_process, _, first) =
        Process::serving(command(&["-b", "127.0.0.1", "--bind", "127.0.0.2:0", "-p", "0", "."], folder.path()));
    client::is_well(first);
    assert_eq!(first.ip().to_string(), "127.0.0.1");
    let second = _process.stdout.recv_timeout(PATIENCE).unwrap();
    let (_, address) = second.split_once("http://").unwrap();
    let address: SocketAddr = address.split('/').next().unwrap().parse().unwrap();
    assert_eq!(address.ip().to_string(), "127.0.0.2");
    assert!(second.starts_with(&format!("tripoll 0.1.0: serving . at http://{address}/ (epoll, ")), "{second}");
    client::is_well(address);
}

#[test]
fn an_address_of_version_6_needs_no_brackets() {
    if TcpListener::bind("[::1]:0").is_err() {
        let _ = writeln!(stderr(), "skipped: IPv6: this machine has no ::1");
        return;
    }
    let folder = folder();
    for bind in ["::1", "[::1]", "[::1]:0"] {
        let (_process, line, address) = Process::serving(command(&["-b", bind, "-p", "0", "."], folder.path()));
        assert!(address.is_ipv6() && line.contains("http://[::1]:"), "{line}");
        client::is_well(address);
    }
}

#[test]
fn a_port_is_the_one_that_was_asked_for() {
    let folder = folder();
    let (listener, port) = quiet_port();
    drop(listener);
    let (_process, _, address) = Process::serving(command(&["--port", &port.to_string(), "."], folder.path()));
    assert_eq!(address.port(), port);
    client::is_well(address);
}

#[test]
fn a_taken_port_leads_to_a_free_one() {
    let folder = folder();
    let (_listener, port) = quiet_port();
    let port = port.to_string();
    let (code, stdout, stderr) = Process::new(command(&["-p", &port, "."], folder.path())).end();
    assert_eq!((code, stdout.len(), stderr.len()), (Some(1), 0, 1), "{stderr:?}");
    assert!(stderr[0].starts_with(&format!("error: cannot listen at 127.0.0.1:{port}: ")), "{stderr:?}");
    let (_, free) = stderr[0].split_once("; try --port ").unwrap();
    let (_process, _, address) = Process::serving(command(&["-p", free, "."], folder.path()));
    client::is_well(address);
}

#[test]
fn what_cannot_be_served_is_one_line_that_says_what_to_try() {
    let folder = folder();
    for (arguments, parts) in [
        (&["-p", "0", "nothing"][..], ["cannot serve nothing: ", "try"]),
        (&["-p", "0", "a.txt"], ["cannot serve a.txt: ", "try"]),
        (&["-p", "0", "nothing/at/all"], ["nothing/at/all", "try"]),
        (&["-b", "127.0.0.1:99999", "."], ["127.0.0.1:99999", "try 127.0.0.1:8000"]),
        (&["-b", "127.0.0.1:x", "."], ["127.0.0.1:x", "try 127.0.0.1:8000"]),
        (&["-b", "", "."], ["no address", "try 127.0.0.1:8000"]),
        (&["-b", "192.0.2.1", "."], ["192.0.2.1:8000", "try --bind 127.0.0.1"]),
        (&["-p", "0", "-b", "127.0.0.1", "-b", "192.0.2.1", "."], ["192.0.2.1", "try --bind 127.0.0.1"]),
    ] {
        let (code, stdout, stderr) = Process::new(command(arguments, folder.path())).end();
        assert_eq!((code, stdout.len(), stderr.len()), (Some(1), 0, 1), "{arguments:?}: {stderr:?}");
        let is_told = stderr[0].starts_with("error: ") && parts.iter().all(|part| stderr[0].contains(part));
        assert!(is_told, "{arguments:?}: {stderr:?}");
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let folder = folder();
    for (arguments, named) in [
        (&["--unknown"][..], "--unknown"),
        (&["-x"], "-x"),
        (&["--port", "99999"], "99999"),
        (&["--port", "-1"], "-1"),
        (&["--port", "http"], "http"),
        (&["--port"], "--port"),
        (&["--backend", "kqueue"], "kqueue"),
        (&["--trigger", "both"], "both"),
        (&["--backend", "poll", "--trigger", "edge"], "poll has no edge trigger; try --backend epoll --trigger edge"),
        (&["--backend", "select", "--trigger", "edge"], "select has no edge trigger"),
        (&["--select-limit", "1024"], "epoll has no select limit; try --backend select --select-limit 1024"),
        (&["--backend", "poll", "--select-limit", "1024"], "poll has no select limit"),
        (&["--backend", "select", "--select-limit", "0"], "select-limit"),
        (&["--backend", "select", "--select-limit", "x"], "select-limit"),
        (&[".", "another"], "another"),
    ] {
        let (code, stdout, stderr) = Process::new(command(arguments, folder.path())).end();
        let said = stderr.join("\n");
        assert_eq!((code, stdout), (Some(2), vec![]), "{arguments:?}: {said}");
        assert!(said.contains(named), "{arguments:?}: {said}");
    }
}

#[test]
fn help_mentions_every_flag_and_version_is_a_line() {
    let folder = folder();
    let (_, short, _) = Process::new(command(&["-h"], folder.path())).end();
    assert!(short.len() <= 50, "-h is one screen: {} lines", short.len());
    for flag in ["--help", "-h"] {
        let (code, stdout, stderr) = Process::new(command(&[flag], folder.path())).end();
        let help = stdout.join("\n");
        assert_eq!((code, stderr), (Some(0), vec![]), "{flag}");
        let words =
            ["DIR", "-b, --bind", "-p, --port", "--backend", "--trigger", "--select-limit", "--help", "--version"];
        for word in words.iter().chain(&["select", "poll", "epoll", "level", "edge", "8000", "127.0.0.1", "./static"]) {
            assert!(help.contains(word), "{flag} does not mention {word}:\n{help}");
        }
        assert!(stdout.iter().all(|line| line.chars().count() <= 100), "{flag}:\n{help}");
    }
    for flag in ["--version", "-V"] {
        assert_eq!(
            Process::new(command(&[flag], folder.path())).end(),
            (Some(0), vec!["tripoll 0.1.0".into()], vec![])
        );
    }
}

#[test]
fn the_readme_and_the_help_name_the_same_flags() {
    let folder = folder();
    let (_, help, _) = Process::new(command(&["--help"], folder.path())).end();
    let of_help: BTreeSet<String> = help
        .iter()
        .map(|line| line.trim_start())
        .filter(|line| line.starts_with('-'))
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with("--")))
        .map(|flag| flag.trim_end_matches(',').to_string())
        .filter(|flag| !["--help", "--version"].contains(&flag.as_str()))
        .collect();
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let of_readme: BTreeSet<String> = readme
        .lines()
        .filter(|line| line.starts_with("| `-"))
        .filter_map(|line| line.split([' ', '`']).find(|word| word.starts_with("--")))
        .map(str::to_string)
        .collect();
    assert_eq!(of_help, of_readme);
    assert!(of_help.len() > 10, "{of_help:?}");
}

/// What a server that was started with `flags` and `variables` answers to `request`.
#[track_caller]
fn answer_of(flags: &[&str], variables: &[(&str, &str)], request: &str) -> (u16, String, String) {
    let folder = folder();
    for (name, text) in [("index.html", "index"), ("home.htm", "home"), (".dot", "dot")] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    std::os::unix::fs::symlink("/proc/self/comm", folder.path().join("out")).unwrap();
    let mut command = command(&[&["-p", "0", "."], flags].concat(), folder.path());
    command.envs(variables.iter().copied());
    let (_process, _, address) = Process::serving(command);
    let mut client = Client::new(address);
    client.send(request.replace('\n', "\r\n"));
    let answer = client.answer(request.starts_with("HEAD"));
    let field = |name| answer.field(name).unwrap_or("none");
    let fields = format!("{} {}", field("Cache-Control"), field("X-Test"));
    (answer.status, fields, String::from_utf8(answer.body).unwrap())
}

#[test]
fn each_option_does_what_it_says() {
    #[track_caller]
    fn check(flags: &[&str], request: &str, status: u16, fields: &str, body: &str) {
        let (got_status, got_fields, got_body) = answer_of(flags, &[], request);
        assert_eq!((got_status, got_fields.as_str()), (status, fields), "{flags:?} {request:?}");
        assert!(got_body.starts_with(body), "{flags:?} {request:?}: {got_body}");
    }
    let html = "Host: localhost\nAccept: text/html,*/*;q=0.8\n\n";
    check(&[], "GET / HTTP/1.1\nHost: localhost\n\n", 200, "no-cache none", "index");
    check(&["--index", "home.htm"], "GET / HTTP/1.1\nHost: localhost\n\n", 200, "no-cache none", "home");
    check(&[], "GET /.dot HTTP/1.1\nHost: localhost\n\n", 404, "none none", "404");
    check(&["--hidden"], "GET /.dot HTTP/1.1\nHost: localhost\n\n", 200, "no-cache none", "dot");
    check(&[], &format!("GET /app/7 HTTP/1.1\n{html}"), 404, "none none", "<!DOCTYPE html>");
    check(&["--spa"], &format!("GET /app/7 HTTP/1.1\n{html}"), 200, "no-cache none", "index");
    check(&["--spa"], &format!("GET /a.txt HTTP/1.1\n{html}"), 200, "no-cache none", "content");
    check(&["--spa"], "GET /app.js HTTP/1.1\nHost: localhost\nAccept: */*\n\n", 404, "none none", "404");
    check(&["--spa"], &format!("DELETE /app/7 HTTP/1.1\n{html}"), 405, "none none", "<!DOCTYPE html>");
    check(&[], "GET /out HTTP/1.1\nHost: localhost\n\n", 404, "none none", "404");
    check(&["--follow-links"], "GET /out HTTP/1.1\nHost: localhost\n\n", 200, "no-cache none", "");
    check(&[], "GET /hello/x HTTP/1.1\nHost: localhost\n\n", 404, "none none", "404");
    check(&["--demo"], "GET /hello/x HTTP/1.1\nHost: localhost\n\n", 200, "none none", "Hello, x!");
    check(&["--demo"], "GET / HTTP/1.1\nHost: localhost\n\n", 200, "no-cache none", "index");
    check(&["--cache-control", "max-age=60"], "GET / HTTP/1.1\nHost: localhost\n\n", 200, "max-age=60 none", "index");
    let not_modified = "GET / HTTP/1.1\nHost: localhost\nIf-None-Match: *\n\n";
    check(&["--cache-control", "max-age=60"], not_modified, 304, "max-age=60 none", "");
    let header = &["--header", "X-Test: yes"];
    check(header, "GET / HTTP/1.1\nHost: localhost\n\n", 200, "no-cache yes", "index");
    check(header, "GET /none HTTP/1.1\nHost: localhost\n\n", 404, "none yes", "404");
    check(header, "nonsense\n", 400, "none yes", "400");
    check(
        &["--header", "X-A: b", "--header", "X-Test:  c"],
        "GET / HTTP/1.1\nHost: localhost\n\n",
        200,
        "no-cache c",
        "index",
    );
    let head = format!("GET / HTTP/1.1\nHost: localhost\nX: {}\n\n", "x".repeat(1000));
    check(&["--head-max", "2K"], &head, 200, "no-cache none", "index");
    check(&["--head-max", "1K"], &head, 431, "none none", "431");
    let body = "GET / HTTP/1.1\nHost: localhost\nContent-Length: 5\n\n12345";
    check(&["--body-max", "5"], body, 200, "no-cache none", "index");
    check(&["--body-max", "4"], body, 413, "none none", "413");
    check(&["--head-timeout", "50ms"], "GET / HT", 408, "none none", "408");
    check(&["--body-timeout", "50ms"], &body[..body.len() - 1], 408, "none none", "408");
}

#[test]
fn the_demonstration_answers_what_is_no_page() {
    let folder = folder();
    std::fs::create_dir(folder.path().join("static")).unwrap();
    for (flags, backend, trigger) in [
        (&["--backend", "select"][..], "select", "level"),
        (&["--backend", "poll"], "poll", "level"),
        (&["--backend", "epoll"], "epoll", "level"),
        (&["--trigger", "edge"], "epoll", "edge"),
    ] {
        let (_process, line, address) = Process::serving(command(&[&["-p", "0"], flags].concat(), folder.path()));
        assert!(line.contains("serving static at"), "{line}");
        let mut client = Client::new(address);
        let mut ask = |request: &str| {
            client.send(request.replace('\n', "\r\n"));
            let answer = client.answer(false);
            assert_eq!(answer.status, 200, "{request}");
            (answer.field("Content-Type").unwrap().to_string(), String::from_utf8(answer.body).unwrap())
        };
        let text = |body: &str| ("text/plain; charset=utf-8".to_string(), body.to_string());
        let (_, time) = ask("GET /time HTTP/1.1\nHost: localhost\n\n");
        assert!(
            time.ends_with(" GMT\n")
                && tripoll::http::parse_date(time.trim().as_bytes(), std::time::SystemTime::now()).is_some(),
            "{time}"
        );
        assert_eq!(ask("GET /hello/W%C3%B6rld HTTP/1.1\nHost: localhost\n\n"), text("Hello, Wörld!\n"));
        let echo = "POST /echo HTTP/1.1\nHost: localhost\nContent-Type: text/html\nContent-Length: 3\n\n<b>";
        assert_eq!(ask(echo), text("<b>"), "never as a page");
        let (media_type, counters) = ask("GET /counters HTTP/1.1\nHost: localhost\n\n");
        let counters: serde_json::Value = serde_json::from_str(&counters).unwrap();
        let said = |pointer: &str| counters.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {counters}"));
        assert_eq!(media_type, "application/json");
        assert_eq!((said("/backend"), said("/trigger")), (&backend.into(), &trigger.into()));
        assert_eq!((said("/requests"), said("/connections/open")), (&3.into(), &1.into()), "up to this request");
        assert!(said("/bytes/received").as_u64() > Some(100) && said("/bytes/sent").as_u64() > Some(300), "{counters}");
        assert!(said("/turns").as_u64() >= Some(4) && said("/poller/waits").as_u64() >= Some(4), "{counters}");
        for name in ["passed", "scanned", "ready", "changes"] {
            assert!(said(&format!("/poller/{name}")).is_u64(), "{counters}");
        }
        // What it says once, it says again and again to who listens: at once, and when something is news.
        for (path, first, later) in
            [("/events", "{\"counters\":{\"backend\":\"", "\"turns\":"), ("/turns", "\"turns\":0}", "\"turn\":")]
        {
            let mut listener = Client::new(address);
            listener.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
            listener.until(b"\r\nContent-Type: text/event-stream\r\n");
            listener.until(first);
            (0..2).for_each(|_| drop(listener.until(later)));
        }
    }
}

#[test]
fn the_browser_is_shown_the_server() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let (browser, shown) = (folder.path().join("xdg-open"), folder.path().join("shown"));
    std::fs::write(&browser, format!("#!/bin/sh\necho \"$@\" > {0}.new && mv {0}.new {0}\n", shown.display())).unwrap();
    std::fs::set_permissions(&browser, std::fs::Permissions::from_mode(0o755)).unwrap();
    let with_path = |path: String| {
        let mut command = command(&["-p", "0", "-b", "0.0.0.0", "--open", "."], folder.path());
        command.env("PATH", path);
        Process::serving(command)
    };
    let (process, _, address) = with_path(format!("{}:/usr/bin:/bin", folder.path().display()));
    let give_up = Instant::now() + PATIENCE;
    while !shown.exists() {
        assert!(Instant::now() < give_up, "no browser was opened");
        std::thread::yield_now();
    }
    let want = format!("http://127.0.0.1:{}/\n", address.port());
    assert_eq!(std::fs::read_to_string(&shown).unwrap(), want, "0.0.0.0 is no address to go to");
    process.signal("INT");
    assert_eq!(process.end(), (Some(0), vec![], vec![]));

    let (process, _, address) = with_path("/nowhere".into());
    let told = process.stderr.recv_timeout(PATIENCE).unwrap();
    assert!(told.ends_with(&format!("; open http://127.0.0.1:{}/ yourself", address.port())), "{told}");
    client::is_well(([127, 0, 0, 1], address.port()).into());
    process.signal("INT");
    assert_eq!(process.end(), (Some(0), vec![], vec![]));
}

#[test]
fn every_option_is_also_a_variable() {
    let request = "GET / HTTP/1.1\nHost: localhost\n\n";
    let variables =
        [("TRIPOLL_INDEX", "home.htm"), ("TRIPOLL_HEADER", "X-Test: env"), ("TRIPOLL_CACHE_CONTROL", "no-store")];
    assert_eq!(answer_of(&[], &variables, request), (200, "no-store env".into(), "home".into()));
    assert_eq!(answer_of(&["--index", "index.html"], &variables, request).2, "index", "a flag goes before it");
    let dot = "GET /.dot HTTP/1.1\nHost: localhost\n\n";
    for (word, status) in [("1", 200), ("true", 200), ("yes", 200), ("on", 200), ("0", 404), ("false", 404)] {
        assert_eq!(answer_of(&[], &[("TRIPOLL_HIDDEN", word)], dot).0, status, "{word:?}");
    }
    let folder = folder();
    let (_, help, _) = Process::new(command(&["--help"], folder.path())).end();
    for flag in
        help.iter().filter_map(|line| line.trim_start().strip_prefix("--")).filter_map(|rest| rest.split(' ').next())
    {
        if !["help", "version", "hidden", "spa", "header", "bind"].contains(&flag) && !flag.contains("says") {
            let variable = format!("TRIPOLL_{}", flag.to_uppercase().replace('-', "_"));
            let mut wrong = command(&["-p", "0"], folder.path());
            let (code, _, stderr) = Process::new({
                wrong.env(&variable, "\u{1}/nonsense");
                wrong
            })
            .end();
            assert_eq!(code, Some(2), "{variable} is not read: {stderr:?}");
        }
    }
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let folder = folder();
    let (_process, _, address) = Process::serving(command(&["-p", "0", "--idle-timeout", "50ms", "."], folder.path()));
    let mut client = Client::new(address);
    client.send(GET);
    client.answer(false);
    assert_eq!(client.rest(false), b"");
}

#[test]
fn a_signal_ends_it_in_good_order() {
    let folder = folder();
    for strategy in
        [&["--backend", "select"][..], &["--backend", "poll"], &["--backend", "epoll"], &["--trigger", "edge"]]
    {
        for signal in ["TERM", "INT"] {
            let arguments = [&["-p", "0", "."], strategy].concat();
            let (process, _, address) = Process::serving(command(&arguments, folder.path()));
            let idle = Client::new(address);
            client::is_well(address);
            process.signal(signal);
            assert_eq!(idle.rest(false), b"");
            assert_eq!(process.end(), (Some(0), vec![], vec![]), "{signal}, {strategy:?}");
        }
    }
}

#[test]
fn what_is_in_flight_is_finished_and_a_second_signal_ends_at_once() {
    let folder = folder();
    std::fs::write(folder.path().join("big.bin"), vec![b'x'; 30_000_000]).unwrap();
    let big = "GET /big.bin HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (signals, code) in
        [(&["INT"][..], 0), (&["TERM"], 0), (&["INT", "INT"], 130), (&["INT", "TERM"], 143), (&["TERM", "INT"], 130)]
    {
        let (process, _, address) = Process::serving(command(&["-p", "0", "."], folder.path()));
        let mut client = Client::new(address);
        // The answer to the first says that both were read.
        client.send(format!("{GET}{big}"));
        client.answer(false);
        for signal in signals {
            process.signal(signal);
            // Two of a kind that come before the first is taken are one (signal(7)): it is taken when nobody is let in any more.
            let give_up = Instant::now() + PATIENCE;
            while TcpStream::connect(address).is_ok() {
                assert!(Instant::now() < give_up, "{signals:?}: it still listens");
            }
        }
        if code == 0 {
            assert_eq!(client.answer(false).body.len(), 30_000_000, "{signals:?}");
            drop(client);
        }
        assert_eq!(process.end(), (Some(code), vec![], vec![]), "{signals:?}");
    }
}

#[test]
fn nobody_to_read_its_lines_is_no_reason_to_end() {
    let folder = folder();
    let (listener, port) = quiet_port();
    drop(listener);
    let address: SocketAddr = ([127, 0, 0, 1], port).into();
    let port = port.to_string();
    // Closed from the start; closed while it writes.
    let mut closed = Command::new("sh");
    closed.args(["-c", "exec \"$0\" \"$@\" >&- 2>&- <&-", TRIPOLL, "-p", &port, "."]).current_dir(folder.path());
    let mut broken = command(&["-p", &port, "."], folder.path());
    broken.stderr(Stdio::null());
    for (name, command) in [("closed", &mut closed), ("broken", &mut broken)] {
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let mut process = Process { child, stdout: lines(None::<&[u8]>), stderr: lines(None::<&[u8]>) };
        let give_up = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(
                process.child.try_wait().unwrap().is_none() && Instant::now() < give_up,
                "{name}: it does not listen"
            );
            std::thread::yield_now();
        }
        client::is_well(address);
        client::is_well(address);
        process.signal("TERM");
        assert_eq!(process.end().0, Some(0), "{name}");
    }
}

#[test]
fn past_select_limit_clients_are_told_503_and_the_operator_why() {
    let folder = folder();
    let arguments = ["-p", "0", "--backend", "select", "--select-limit", "20", "."];
    let (process, line, address) = Process::serving(command(&arguments, folder.path()));
    assert!(line.contains(" (select, limit 20, "), "{line}");
    let mut clients: Vec<_> = (0..20).map(|_| Client::new(address)).collect();
    let mut last = clients.pop().unwrap();
    let answer = last.answer(false);
    assert_eq!((answer.status, answer.field("Connection")), (503, Some("close")));
    assert_eq!(last.rest(false), b"");
    clients[0].send(GET);
    assert_eq!(clients[0].answer(false).body, b"content", "who was there before goes on");
    clients.into_iter().for_each(|client| drop(client.rest(true)));
    client::is_well(address);
    process.signal("TERM");
    let (code, _, stderr) = process.end();
    assert_eq!((code, stderr.len()), (Some(0), 1), "{stderr:?}");
    assert!(stderr[0].starts_with("tripoll: a client was turned away: "), "{stderr:?}");
}

#[test]
fn a_limit_that_leaves_no_room_for_the_loop_is_an_error() {
    let folder = folder();
    let arguments = ["-p", "0", "--backend", "select", "--select-limit", "1", "."];
    let (code, stdout, stderr) = Process::new(command(&arguments, folder.path())).end();
    assert_eq!((code, stdout.len(), stderr.len()), (Some(1), 0, 1), "{stderr:?}");
    assert!(stderr[0].starts_with("error: "), "{stderr:?}");
}

#[test]
fn the_loop_can_be_watched_turn_by_turn() {
    let folder = folder();
    for backend in ["select", "poll", "epoll"] {
        let arguments = ["-p", "0", "--trace-loop", "--backend", backend, "."];
        let (process, _, address) = Process::serving(command(&arguments, folder.path()));
        client::is_well(address);
        let line = process.stderr.recv_timeout(PATIENCE).unwrap();
        assert!(line.starts_with("turn 1: passed ") && line.contains(", ready 1, blocked "), "{line}");
        assert_eq!(line.contains("passed 0,"), backend == "epoll", "{line}");
        process.signal("INT");
        let (code, _, lines) = process.end();
        assert!(code == Some(0) && lines.iter().all(|line| line.starts_with("turn ")), "{lines:?}");
    }
}

#[test]
fn curl_agrees() {
    if Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_err() {
        let _ = writeln!(stderr(), "skipped: curl: it is not installed");
        return;
    }
    let folder = folder();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    std::fs::write(folder.path().join("sub/index.html"), "<p>sub").unwrap();
    let (_process, _, address) = Process::serving(command(&["-p", "0", "."], folder.path()));
    let curl = |arguments: &[&str], target: &str| {
        let mut command = Command::new("curl");
        command.args(["-sS", "-g", "--noproxy", "*", "--max-time", "30"]).args(arguments);
        let output = command.arg(format!("http://{address}{target}")).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let code = &["-o", "/dev/null", "-w", "%{http_code} %{size_download}"];
    assert_eq!(curl(&[], "/a.txt"), "content");
    assert!(curl(&["-i"], "/a.txt").starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(curl(&["-I"], "/a.txt").contains("Content-Length: 7\r\n"));
    assert_eq!(curl(&["-L"], "/sub"), "<p>sub");
    assert_eq!(curl(&["-r", "1-3"], "/a.txt"), "ont");
    assert_eq!(curl(&["-0"], "/a.txt"), "content");
    assert_eq!(curl(code, "/nothing"), "404 14");
    assert_eq!(curl(&[&["-d", "a=b"], &code[..]].concat(), "/a.txt"), "405 23");
    assert_eq!(curl(&[&["-z", "Fri, 01 Jan 1999 00:00:00 GMT"], &code[..]].concat(), "/a.txt"), "200 7");
    assert_eq!(curl(&[&["--path-as-is"], &code[..]].concat(), "/../a.txt").split(' ').next(), Some("400"));
    // A body that nobody wants, large enough for curl to ask first.
    let large = folder.path().join("large");
    std::fs::write(&large, vec![b'x'; 3_000_000]).unwrap();
    assert!(curl(&[&["-T", large.to_str().unwrap()], &code[..]].concat(), "/a.txt").starts_with("405 "));
}

#[test]
fn with_upload_clients_change_the_folder_and_nothing_else() {
    let folder = folder();
    let directory = folder.path().to_str().unwrap();
    let limits = ["--overwrite", "always", "--upload-max", "1K", "--quota", "2K"];
    for flags in [&["--upload"][..], &["--upload", "--follow-links"], &["--upload", "--sandbox", "off"]] {
        let arguments = [&["-p", "0", directory], flags, &limits].concat();
        let (process, line, address) = Process::serving(command(&arguments, folder.path()));
        assert!(line.contains(", clients may change it"), "{line}");
        let mut client = Client::new(address);
        let large = "x".repeat(1000);
        for (method, target, fields, body, want) in [
            ("PUT", "/new", "", "new", 201),
            ("PUT", "/new", "", "newer", 204),
            ("MKCOL", "/d", "", "", 201),
            ("MOVE", "/new", "Destination: /d/moved\r\n", "", 201),
            ("GET", "/d/moved", "", "", 200),
            ("PUT", "/1", "", &large, 201),
            ("PUT", "/2", "", &large, 201),
            ("PUT", "/3", "", &large, 507),
            ("DELETE", "/1", "", "", 204),
            ("DELETE", "/2", "", "", 204),
            ("DELETE", "/d/moved", "", "", 204),
            ("DELETE", "/d", "", "", 204),
            ("PUT", "/4", "", &large.repeat(2), 413),
        ] {
            client.send(format!(
                "{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n{fields}\r\n{body}",
                body.len()
            ));
            assert_eq!(client.answer(false).status, want, "{flags:?}: {method} {target}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "what it was");
        process.signal("TERM");
        assert_eq!(process.end().0, Some(0));
    }
}

#[test]
fn a_foreign_page_neither_writes_nor_reads_under_its_own_name() {
    let write = "POST /echo HTTP/1.1\nContent-Length: 0\n";
    let own_origin = format!("{write}Host: localhost\nOrigin: http://localhost\n\n");
    let foreign_origin = format!("{write}Host: localhost\nOrigin: http://evil.example\n\n");
    let foreign_host = "GET /time HTTP/1.1\nHost: evil.example:80\n\n";
    for (flags, request, want) in [
        (&["--demo"][..], own_origin.as_str(), 200),
        (&["--demo"], &foreign_origin, 403),
        (&["--demo"], foreign_host, 421),
        (&["--demo", "--host", "other.example"], foreign_host, 421),
        (&["--demo", "--host", "other.example", "--host", "evil.example"], foreign_host, 200),
        (&["--demo", "--host", "*"], foreign_host, 200),
        (&["--demo", "--host", "*"], &foreign_origin, 403),
    ] {
        assert_eq!(answer_of(flags, &[], request).0, want, "{flags:?} {request}");
    }
    assert_eq!(answer_of(&["--demo"], &[("TRIPOLL_HOST", "other.example,evil.example")], foreign_host).0, 200);
}
