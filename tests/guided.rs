//! The example `files` as its users have it: a script, a pipe, a terminal, and lines that break.

mod backends;
mod client;
mod process;
mod running;
mod serving;

use backends::on_every_backend;
use client::Client;
use process::{PATIENCE, Process};
use running::Running;
use serving::Serving;
use std::fs;
use std::io::{ErrorKind, Read, Write, stderr};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, OnceLock};
use tempfile::TempDir;
use tripoll::HttpServer;
use tripoll::files::{Files, Options, Uploads};
use tripoll::http::{Answer, Limits, Reception, Request, Response, Service, StatusCode};
use tripoll::poller::Strategy;

on_every_backend! {
    a_session_lists_makes_sends_fetches_and_deletes,
    a_download_that_breaks_three_times_arrives_whole,
    an_upload_that_breaks_three_times_arrives_whole,
    what_was_begun_is_gone_on_with_by_the_next,
    nothing_is_replaced_unasked,
}

/// The client, built as these tests are: nothing else would do it before they run.
fn executable() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--example", "files", "--features", "lab", "--message-format=json"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit()).output().unwrap();
        assert!(built.status.success());
        let messages = String::from_utf8(built.stdout).unwrap();
        let messages = messages.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let found = messages
            .filter(|message| message["target"]["name"] == "files")
            .find_map(|message| message["executable"].as_str().map(PathBuf::from));
        found.expect("cargo says what it built")
    })
}

/// A person's folder, and what the client remembers of them.
struct Home {
    folder: TempDir,
    state: TempDir,
}

impl Home {
    fn new() -> Home {
        Home { folder: TempDir::new().unwrap(), state: TempDir::new().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder.path()).env("XDG_STATE_HOME", self.state.path());
        command.env_remove("FILES_USER").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The client's exit code and what it says.
    #[track_caller]
    fn files(&self, address: SocketAddr, arguments: &[&str]) -> (Option<i32>, String, String) {
        let url = format!("http://{address}/");
        let all = [&[url.as_str()], arguments].concat();
        said(Process::new(self.command(executable(), &all)))
    }

    #[track_caller]
    fn succeeds(&self, address: SocketAddr, arguments: &[&str]) -> String {
        let (code, stdout, stderr) = self.files(address, arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {stdout}{stderr}");
        stdout
    }

    #[track_caller]
    fn fails(&self, address: SocketAddr, arguments: &[&str], words: &str) {
        let (code, stdout, stderr) = self.files(address, arguments);
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(words), "{arguments:?}: {words:?} is not in {stderr:?}");
    }
}

#[track_caller]
fn said(process: Process) -> (Option<i32>, String, String) {
    let (code, stdout, stderr) = process.end();
    (code, stdout.join("\n"), stderr.join("\n"))
}

fn with_uploads(strategy: Strategy) -> Running {
    let options = Options { uploads: Some(Uploads::default()), ..Options::default() };
    Running::new(strategy, move |server: HttpServer| server.files(options))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = entries.collect();
    names.sort();
    names
}

/// Bytes that are nowhere the same for long.
fn pattern(length: usize) -> Vec<u8> {
    (0..length / 8).flat_map(|n| (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect()
}

const LARGE: usize = 4_000_000;

/// What a line does once it has carried so many bytes.
#[derive(Clone, Copy)]
enum Fault {
    /// It breaks; so many lines do.
    Breaks { lines: usize },
    /// It carries nothing any more, and stays.
    Stalls,
}

/// Bytes that a line with a fault carries.
const CARRIED: usize = 900_000;

/// Lines to a server, some with a fault.
struct Lines {
    address: SocketAddr,
    /// The beginning of all that was read from clients at once: among it each request's head.
    heads: Arc<Mutex<String>>,
    /// How many have a fault before them.
    faulty: Arc<AtomicUsize>,
}

impl Lines {
    fn new(server: SocketAddr, fault: Fault) -> Lines {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(String::new()));
        let faulty = Arc::new(AtomicUsize::new(if let Fault::Breaks { lines } = fault { lines } else { 1 }));
        let (seen, left) = (heads.clone(), faulty.clone());
        std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let Ok(server) = TcpStream::connect(server) else { return };
                let carried = Arc::new(AtomicUsize::new(0));
                for (from, to, heads) in [(&client, &server, Some(seen.clone())), (&server, &client, None)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let (carried, faulty) = (carried.clone(), left.clone());
                    std::thread::spawn(move || carry(from, to, fault, &carried, &faulty, heads));
                }
            }
        });
        Lines { address, heads, faulty }
    }

    /// Whether no line will have a fault any more.
    fn are_sound(&self) -> bool {
        self.faulty.load(Ordering::SeqCst) == 0
    }

    fn count(&self, words: &str) -> usize {
        self.heads.lock().unwrap().to_lowercase().matches(words).count()
    }
}

fn carry(
    mut from: TcpStream,
    mut to: TcpStream,
    fault: Fault,
    carried: &AtomicUsize,
    faulty: &AtomicUsize,
    heads: Option<Arc<Mutex<String>>>,
) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if let Some(heads) = &heads {
            heads.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..read.min(1000)]));
        }
        let is_over = carried.fetch_add(read, Ordering::SeqCst) > CARRIED;
        if is_over && faulty.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            match fault {
                Fault::Breaks { .. } => break,
                // The process ends with the test.
                Fault::Stalls => loop {
                    std::thread::park();
                },
            }
        }
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    for stream in [from, to] {
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn a_session_lists_makes_sends_fetches_and_deletes(strategy: Strategy) {
    let (server, home) = (with_uploads(strategy), Home::new());
    fs::write(home.path("one two.txt"), "content").unwrap();
    let url = format!("http://{}", server.address);
    let mut command = home.command(executable(), &[&url]);
    let mut process = Process::new({
        command.stdin(Stdio::piped());
        command
    });
    let lines = "mkdir 'new folder'\ncd new\\ folder\nput \"one two.txt\"\nls\nget 'one two.txt' back.txt\ncd ..\nls\nrm file.txt\n\
                 help\nls\nrm 'new folder'\nnonsense\n";
    process.child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let (code, stdout, stderr) = said(process);
    assert_eq!(code, Some(1), "not all was done: {stdout}{stderr}");
    let mut rest = stdout.as_str();
    for part in [
        "made /new folder/",
        "put one two.txt: 7 B",
        "7 B  20",
        "one two.txt",
        "got back.txt: 7 B",
        "new folder/",
        "file.txt",
        "deleted /file.txt",
        "mkdir FOLDER",
        "new folder/",
    ] {
        let at = rest.find(part).unwrap_or_else(|| panic!("{part:?} is not in {rest:?}"));
        rest = &rest[at + part.len()..];
    }
    assert!(!rest.contains("file.txt"), "{rest}");
    let wrong: Vec<_> = stderr.lines().collect();
    assert!(wrong[0].starts_with("error: ") && wrong[0].ends_with("(409)"), "it is not empty: {stderr}");
    assert!(wrong[1].starts_with("error: there is no command nonsense") && wrong.len() == 2, "{stderr}");
    assert_eq!(fs::read(home.path("back.txt")).unwrap(), b"content");
    assert_eq!(fs::read(server.folder.path().join("new folder/one two.txt")).unwrap(), b"content");
    assert_eq!(names(server.folder.path()), ["new folder"]);
}

fn a_download_that_breaks_three_times_arrives_whole(strategy: Strategy) {
    let (server, home) = (with_uploads(strategy), Home::new());
    let bytes = pattern(LARGE);
    put(server.address, "/a.bin", &bytes);
    let lines = Lines::new(server.address, Fault::Breaks { lines: 3 });
    let said = home.succeeds(lines.address, &["get", "a.bin"]);
    assert!(said.starts_with("got a.bin: 3.81 MiB") && said.ends_with("checked by length and ETag"), "{said}");
    assert!(fs::read(home.path("a.bin")).unwrap() == bytes);
    assert_eq!((lines.count("range: bytes="), lines.count("if-range: \"")), (3, 3));
    assert_eq!(names(home.folder.path()), ["a.bin"]);
}

fn an_upload_that_breaks_three_times_arrives_whole(strategy: Strategy) {
    let (server, home) = (with_uploads(strategy), Home::new());
    let bytes = pattern(LARGE);
    fs::write(home.path("a.bin"), &bytes).unwrap();
    let lines = Lines::new(server.address, Fault::Breaks { lines: 3 });
    home.succeeds(lines.address, &["put", "a.bin", "b.bin"]);
    assert!(fs::read(server.folder.path().join("b.bin")).unwrap() == bytes);
    assert_eq!(lines.count("patch /.tripoll-"), 4);
    assert_eq!(names(server.folder.path()), ["b.bin", "file.txt"]);
    assert_eq!(names(home.state.path().join("tripoll-files").as_path()), [""; 0], "nothing is left to go on with");
}

/// Puts a file as anybody would, and waits until its tag is a strong one.
#[track_caller]
fn put(address: SocketAddr, target: &str, bytes: &[u8]) {
    let mut client = Client::new(address);
    client.send(format!("PUT {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", bytes.len()));
    client.send(bytes);
    assert_eq!(client.answer(false).status, 201);
    loop {
        client.send(format!("HEAD {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        if client.answer(true).field("ETag").unwrap().starts_with('"') {
            return;
        }
    }
}

fn what_was_begun_is_gone_on_with_by_the_next(strategy: Strategy) {
    let (server, home) = (with_uploads(strategy), Home::new());
    let bytes = pattern(LARGE);
    put(server.address, "/a.bin", &bytes);
    fs::write(home.path("b.bin"), &bytes).unwrap();
    let folders = [home.folder.path(), server.folder.path()];
    for (arguments, folder, name, begun) in
        [(["get", "a.bin"], folders[0], "a.bin", "range: bytes="), (["put", "b.bin"], folders[1], "b.bin", "put /")]
    {
        let stalled = Lines::new(server.address, Fault::Stalls);
        let url = format!("http://{}/", stalled.address);
        let process = Process::new(home.command(executable(), &[&url, arguments[0], arguments[1]]));
        let half = loop {
            let mut others = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
            let half = others.find(|entry| {
                let name = entry.file_name().into_string().unwrap();
                name.ends_with(".part") || name.starts_with(".tripoll-")
            });
            match half {
                Some(half) if stalled.are_sound() && half.metadata().is_ok_and(|half| half.len() > 500_000) => {
                    break half.path();
                }
                _ => std::thread::yield_now(),
            }
        };
        drop(process);
        assert!(half.exists() && !folder.join(name).exists());
        // The next line has no fault.
        home.succeeds(stalled.address, &arguments);
        assert!(fs::read(folder.join(name)).unwrap() == bytes);
        assert!(!half.exists());
        assert_eq!(stalled.count(begun), 1, "{arguments:?}: not from the beginning");
    }
}

fn nothing_is_replaced_unasked(strategy: Strategy) {
    let (server, home) = (with_uploads(strategy), Home::new());
    let there = server.folder.path().join("file.txt");
    fs::write(home.path("file.txt"), "mine").unwrap();
    home.fails(server.address, &["get", "file.txt"], "file.txt is here already: --force replaces it");
    home.fails(server.address, &["put", "file.txt"], "the server has such a file already: --force replaces it");
    assert_eq!(
        (fs::read(&there).unwrap(), fs::read(home.path("file.txt")).unwrap()),
        (b"a file".into(), b"mine".into())
    );
    home.succeeds(server.address, &["put", "file.txt", "--force"]);
    assert_eq!(fs::read(&there).unwrap(), b"mine");
    fs::write(&there, "theirs").unwrap();
    home.succeeds(server.address, &["--force", "get", "file.txt"]);
    assert_eq!(fs::read(home.path("file.txt")).unwrap(), b"theirs");
    assert_eq!(names(home.folder.path()), ["file.txt"]);
}

#[test]
fn names_reach_neither_the_terminal_nor_the_folders_above() {
    let server = with_uploads(Strategy::ALL[2]);
    for name in ["\u{1b}]0;evil\u{7}", "a\nb", "\u{202e}txt.exe", ".hidden"] {
        fs::write(server.folder.path().join(name), "x").unwrap();
    }
    let home = Home::new();
    let said = home.succeeds(server.address, &["ls"]);
    assert!(said.chars().all(|c| c == '\n' || !(c.is_control() || c == '\u{202e}')), "{said:?}");
    for name in ["\\u{1b}]0;evil\\u{7}", "a\\u{a}b", "\\u{202e}txt.exe"] {
        assert!(said.contains(name), "{name}: {said}");
    }
    home.fails(server.address, &["get", "a\nb"], "a\\u{a}b is no good name for a file here: say another one after it");
    home.succeeds(server.address, &["get", "a\nb", "fine"]);
    fs::create_dir(home.path("inner")).unwrap();
    let url = format!("http://{}/", server.address);
    let inner = home.path("inner");
    let mut command = home.command(executable(), &[&url, "get", "../../file.txt"]);
    assert_eq!(said_of(command.current_dir(&inner)), Some(0));
    assert_eq!(
        (names(&inner), names(home.folder.path())),
        (vec!["file.txt".into()], vec!["fine".into(), "inner".into()])
    );
}

#[track_caller]
fn said_of(command: &mut Command) -> Option<i32> {
    command.status().unwrap().code()
}

#[test]
fn who_calls_it_wrongly_is_told_how() {
    let (home, server) = (Home::new(), with_uploads(Strategy::ALL[2]));
    for (arguments, words) in [
        (&["fly"][..], "there is no command fly; there are ls, cd, get, put"),
        (&["get"], "it is: get FILE [HERE]"),
        (&["get", "a", "b", "c"], "it is: get FILE [HERE]"),
        (&["ls", "a", "b"], "it is: ls [FOLDER]"),
        (&["rm", ""], "it is: rm NAME"),
        (&["--loud"], "--loud"),
    ] {
        let (code, stdout, stderr) = home.files(server.address, arguments);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(words), "{arguments:?}: {stderr}");
    }
    for (url, words) in [
        ("https://h/", "only http:// is spoken here"),
        ("http://", "is no URL"),
        ("ftp://h/", "only http:// is spoken here"),
    ] {
        let (code, stdout, stderr) = said(Process::new(home.command(executable(), &[url, "ls"])));
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{url}: {stderr}");
        assert!(stderr.contains(words), "{url}: {stderr}");
    }
    let (code, stdout, _) = said(Process::new(home.command(executable(), &["--help"])));
    assert_eq!(code, Some(0));
    for words in ["get FILE [HERE]", "--force", "--user", "FILES_USER", "1 (failed", "Examples:", "put notes.txt docs/"]
    {
        assert!(stdout.contains(words), "{words}: {stdout}");
    }
    assert!(stdout.lines().all(|line| line.chars().count() <= 130), "{stdout}");
}

/// Refuses each PUT and GET of `/STATUS` with that status, after it was said that there is nothing, or a file.
struct Refusing;

impl Service for Refusing {
    fn respond(&self, request: &Request<'_>) -> Answer {
        let status = request.path().trim_matches('/').parse().unwrap_or(404);
        let status = match request.method().as_str() {
            "OPTIONS" => 204,
            "HEAD" => 404,
            _ => status,
        };
        let status = StatusCode::from_u16(status).unwrap();
        let response = Response::text(format!("{status}: be\u{1b}cause\n")).with_status(status);
        let limit = if status == StatusCode::PAYLOAD_TOO_LARGE { "max-size=1000, max-age=3600" } else { "max-age=1" };
        response.field("Upload-Limit", limit).into()
    }

    fn receive_body(&self, request: &Request<'_>) -> Reception {
        match self.respond(request) {
            Answer::Now(response) => Reception::Refuse(response),
            _ => unreachable!("it always knows"),
        }
    }
}

#[test]
fn what_the_server_refuses_is_said_for_a_person() {
    let server = Serving::new(Strategy::ALL[2], Arc::new(Refusing), Limits::default());
    let home = Home::new();
    fs::write(home.path("a"), "content").unwrap();
    for (status, words) in [
        ("400", "the server does not understand: be\\u{1b}cause (400)"),
        ("401", "the server wants to know who you are, or the password is wrong: --user NAME (401)"),
        ("403", "the server does not allow it: be\\u{1b}cause (403)"),
        ("405", "this server takes no changes; it would with: tripoll DIR --upload (405)"),
        ("412", "somebody else changed it meanwhile: look at it, then try again (412)"),
        ("413", "it is larger than the server takes, which is 1000 B (413)"),
        ("428", "there is such a file, and the server does not know whether you have seen it: try again (428)"),
        ("500", "the server failed: be\\u{1b}cause (500)"),
        ("503", "the server is busy, try again in a while: be\\u{1b}cause (503)"),
        ("507", "the server has no room for it (507)"),
    ] {
        home.fails(server.address, &["put", "a", status], &format!("error: put a {status}: {words}"));
    }
    home.fails(server.address, &["get", "a"], "error: get a: there is no such file (404)");
    home.fails(server.address, &["put", "none"], "error: put none: here is no none");
    home.fails(server.address, &["put", "."], "error: put .: . is no file; put takes files");
}

#[test]
fn where_nobody_answers_that_is_said() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let home = Home::new();
    let words = format!("nobody answers at {address}: does the server run?");
    home.fails(address, &["ls"], &format!("error: ls: {words}"));
    home.fails(address, &[], &format!("error: {words}"));
}

/// Files, for who has the password.
struct Guarded(Files);

impl Guarded {
    fn refusal(request: &Request<'_>) -> Option<Response> {
        let is_known = request.fields().get("authorization") == Some(b"Basic YW5uOnBhc3M6d8O2cmQ="); // ann:pass:wörd
        let refusal = Response::text("401 Unauthorized\n").with_status(StatusCode::UNAUTHORIZED);
        (!is_known).then(|| refusal.field("WWW-Authenticate", "Basic realm=\"files\""))
    }
}

impl Service for Guarded {
    fn respond(&self, request: &Request<'_>) -> Answer {
        Guarded::refusal(request).map_or_else(|| self.0.respond(request), Answer::from)
    }

    fn receive_body(&self, request: &Request<'_>) -> Reception {
        Guarded::refusal(request).map_or_else(|| self.0.receive_body(request), Reception::Refuse)
    }
}

fn guarded(folder: &TempDir) -> Serving {
    let options = Options { uploads: Some(Uploads::default()), ..Options::default() };
    let files = Files::new(folder.path(), options).unwrap();
    Serving::new(Strategy::ALL[2], Arc::new(Guarded(files)), Limits::default())
}

#[test]
fn who_says_the_password_is_let_in() {
    let folder = TempDir::new().unwrap();
    let (server, home) = (guarded(&folder), Home::new());
    fs::write(home.path("a"), "content").unwrap();
    home.succeeds(server.address, &["--user", "ann:pass:wörd", "put", "a"]);
    home.fails(server.address, &["--user", "ann:wrong", "ls"], "the password is wrong");
    home.fails(server.address, &["--user", "ann", "ls"], "who you are");
    let mut command = home.command(executable(), &[&format!("http://{}/", server.address), "ls"]);
    command.env("FILES_USER", "ann:pass:wörd");
    let (code, stdout, stderr) = said(Process::new(command));
    assert!(code == Some(0) && stdout.ends_with("  a"), "{stdout}{stderr}");
    let url = format!("http://ann:pass%3Aw%C3%B6rd@{}/", server.address);
    let (code, _, stderr) = said(Process::new(home.command(executable(), &[&url, "get", "a", "b"])));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
}

/// The client at a terminal of its own.
struct Terminal {
    stdin: ChildStdin,
    stdout: Receiver<Vec<u8>>,
    process: Process,
    /// What it said since it was last waited for.
    said: String,
}

impl Terminal {
    fn new(home: &Home, address: SocketAddr) -> Option<Terminal> {
        let line = format!("{} http://{address}/", executable().display());
        let mut command = home.command("script", &["--quiet", "--return", "--command", &line, "/dev/null"]);
        let spawned = command.stdin(Stdio::piped()).env("TERM", "xterm").spawn();
        if spawned.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            let _ = writeln!(stderr(), "skipped: the client at a terminal: there is no script(1)");
            return None;
        }
        let mut child = spawned.unwrap();
        let (stdin, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (tell, stdout) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 1000];
            while let Ok(read @ 1..) = output.read(&mut buffer) {
                let _ = tell.send(buffer[..read].to_vec());
            }
        });
        let process = Process { child, stdout: mpsc::channel().1, stderr: mpsc::channel().1 };
        Some(Terminal { stdin, stdout, process, said: String::new() })
    }

    /// All that it says up to these words.
    #[track_caller]
    fn until(&mut self, words: &str) -> String {
        loop {
            if let Some(at) = self.said.find(words) {
                let rest = self.said.split_off(at + words.len());
                return std::mem::replace(&mut self.said, rest);
            }
            let Ok(more) = self.stdout.recv_timeout(PATIENCE) else { panic!("{words:?} is not in {:?}", self.said) };
            self.said.push_str(&String::from_utf8_lossy(&more));
        }
    }

    fn types(&mut self, keys: &str) {
        self.stdin.write_all(keys.as_bytes()).unwrap();
    }
}

#[test]
fn a_server_that_takes_no_changes_is_known_by_its_greeting() {
    let server = Running::new(Strategy::ALL[2], |server| server);
    let home = Home::new();
    let Some(mut terminal) = Terminal::new(&home, server.address) else { return };
    terminal.until("It can only be read");
    terminal.until("/> ");
    terminal.types("mkdir new\r");
    terminal.until("error: mkdir new: this server takes no changes; it would with: tripoll DIR --upload (405)");
}

/// A file, whose tag is a weak one for the first two who ask.
struct Settling(AtomicUsize);

impl Service for Settling {
    fn respond(&self, _: &Request<'_>) -> Answer {
        let weak = if self.0.fetch_add(1, Ordering::SeqCst) < 2 { "W/" } else { "" };
        Response::text("content").field("ETag", &format!("{weak}\"1\"")).into()
    }

    fn receive_body(&self, _: &Request<'_>) -> Reception {
        Reception::Buffer
    }
}

#[test]
fn a_tag_that_becomes_strong_meanwhile_is_no_change() {
    let server = Serving::new(Strategy::ALL[2], Arc::new(Settling(AtomicUsize::new(0))), Limits::default());
    let home = Home::new();
    let (code, stdout, stderr) = home.files(server.address, &["get", "a"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.ends_with("checked by length, the same before and after"), "{stdout}");
}

#[test]
fn at_a_terminal_names_are_completed_questions_asked_and_passwords_hidden() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("some folder")).unwrap();
    fs::write(folder.path().join("some folder/remote.txt"), "theirs").unwrap();
    let (server, home) = (guarded(&folder), Home::new());
    fs::write(home.path("remote.txt"), "mine").unwrap();
    let Some(mut terminal) = Terminal::new(&home, server.address) else { return };
    terminal.until("user at ");
    terminal.types("ann\r");
    terminal.until("password of ann: ");
    terminal.types("pass:wörd\r");
    let greeting = terminal.until("/> ");
    assert!(greeting.contains("get FILE [HERE]") && !greeting.contains("wörd"), "{greeting:?}");
    assert!(!greeting.contains("It can only be read"), "{greeting:?}");
    terminal.types("cd so\t");
    terminal.until("some\\ folder/");
    terminal.types("\r");
    terminal.until("/some folder/> ");
    terminal.types("get r\t");
    terminal.until("remote.txt ");
    terminal.types("\r");
    terminal.until("remote.txt is here already: replace it? [y/N] ");
    terminal.types("\r");
    terminal.until("left as it is");
    assert_eq!(fs::read(home.path("remote.txt")).unwrap(), b"mine");
    terminal.until("/some folder/> ");
    // The line before, by its arrow.
    terminal.types("\u{1b}[A");
    terminal.until("get remote.txt");
    terminal.types("\r");
    terminal.until("replace it? [y/N] ");
    terminal.types("y\r");
    terminal.until("got remote.txt: 6 B");
    assert_eq!(fs::read(home.path("remote.txt")).unwrap(), b"theirs");
    terminal.until("/some folder/> ");
    terminal.types("rm remote.txt\r");
    terminal.until("delete /some folder/remote.txt? [y/N] ");
    terminal.types("y\r");
    terminal.until("deleted ");
    terminal.until("/some folder/> ");
    terminal.types("quit\r");
    assert_eq!(terminal.process.child.wait().unwrap().code(), Some(0));
    assert_eq!(names(&folder.path().join("some folder")), [""; 0]);
    let history = fs::read_to_string(home.state.path().join("tripoll-files/history")).unwrap();
    assert!(history.contains("cd some") && !history.contains("wörd") && !history.contains("\ny\n"), "{history:?}");
}
