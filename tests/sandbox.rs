//! The sandbox: what a handler can no longer do inside, what still works, and what the command says of it.
//!
//! It holds for a thread and what that starts, so that most of this needs no process of its own.

mod backends;
mod client;
mod process;
mod running;

use backends::on_every_backend;
use client::Client;
use process::{Process, command};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use std::fs;
use std::io::{ErrorKind, Write, stderr};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use tempfile::TempDir;
use tripoll::http::StatusCode;
use tripoll::poller::Strategy;
use tripoll::sandbox::{InForce, Sandbox};
use tripoll::{HttpServer, Response, sys};

const WHOLE: InForce = InForce { landlock: true, seccomp: true };

/// Whether this machine can do all of it; said where it can't.
fn is_whole_here() -> bool {
    let in_force = std::thread::spawn(|| Sandbox::new().enter().unwrap()).join().unwrap();
    if in_force != WHOLE {
        let _ = writeln!(stderr(), "skipped: the sandbox: {in_force}");
    }
    in_force == WHOLE
}

/// What came of something, as a handler answers it.
fn outcome<T>(result: std::io::Result<T>) -> Response {
    Response::text(match result {
        Ok(_) => "done".to_string(),
        Err(error) => error.kind().to_string(),
    })
}

/// Calls that are to be refused, and say something else than EPERM.
fn not_refused() -> Vec<String> {
    let tried = sys::try_refused_calls().into_iter();
    let others =
        tried.filter(|(_, result)| result.as_ref().err().and_then(std::io::Error::raw_os_error) != Some(sys::EPERM));
    others.map(|(call, result)| format!("{call}: {result:?}")).collect()
}

/// Asks a server in the sandbox, which may read `read` and write `write`.
fn ask_inside(strategy: Strategy, folder: &TempDir, ask: impl FnOnce(SocketAddr)) {
    let (read, write) = (folder.path().join("read"), folder.path().join("write"));
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere_at = elsewhere.local_addr().unwrap();
    let (tell, told) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let (inside, beside) = (write.join("new"), read.join("new"));
        let server = HttpServer::new("127.0.0.1:0", &read)
            .route("GET", "/passwd", |_| outcome(fs::read("/etc/passwd")))
            .route("GET", "/parent", |_| outcome(fs::read_dir("/")))
            .route("GET", "/run", |_| outcome(Command::new("/bin/true").status()))
            .route("GET", "/connect", move |_| outcome(TcpStream::connect(elsewhere_at)))
            .route("GET", "/listen", |_| outcome(TcpListener::bind("127.0.0.1:0")))
            .route("GET", "/write", move |_| outcome(fs::write(&inside, "x")))
            .route("GET", "/replace", move |_| outcome(fs::rename(write.join("new"), write.join("old"))))
            .route("GET", "/write-beside", move |_| outcome(fs::write(&beside, "x")))
            .route("GET", "/write-tmp", |_| outcome(fs::write("/tmp/never", "x")))
            .route("GET", "/thread", |_| {
                outcome(std::thread::spawn(|| fs::read("/etc/passwd")).join().expect("it does not panic"))
            })
            .route("GET", "/calls", |_| Response::text(not_refused().join(" ")))
            .route("GET", "/panic", |_| -> Response { panic!("on purpose") });
        let bound = running::with_strategy(server, strategy).bind().unwrap();
        let sandbox = Sandbox::new().read(&read).unwrap().write(read.with_file_name("write")).unwrap();
        assert_eq!(sandbox.enter().unwrap(), WHOLE);
        tell.send((bound.addresses()[0], bound.handle())).unwrap();
        bound.run()
    });
    let (address, handle) = told.recv().expect("it is sandboxed, and listens");
    ask(address);
    handle.stop();
    thread.join().unwrap().unwrap();
}

fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    for (path, text) in [("read/sub/index.html", "index"), ("read/a.txt", "content"), ("read/404.html", "nothing here")]
    {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::create_dir(folder.path().join("write")).unwrap();
    folder
}

fn get(address: SocketAddr, path: &str) -> (StatusCode, String) {
    let mut client = Client::new(address);
    client.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n\r\n"));
    let answer = client.answer(false);
    (StatusCode::from_u16(answer.status).unwrap(), String::from_utf8(answer.body).unwrap())
}

fn a_handler_can_do_no_more_than_it_was_allowed(strategy: Strategy) {
    if !is_whole_here() {
        return;
    }
    let folder = folder();
    ask_inside(strategy, &folder, |address| {
        let denied = ErrorKind::PermissionDenied.to_string();
        for (path, want) in [
            ("/passwd", &*denied),
            ("/parent", &denied),
            ("/run", &denied),
            ("/connect", &denied),
            ("/listen", &denied),
            ("/write", "done"),
            ("/replace", "done"),
            ("/write-beside", &denied),
            ("/write-tmp", &denied),
            ("/thread", &denied),
            ("/calls", ""), // Each is refused.
            ("/a.txt", "content"),
            ("/sub/", "index"),
        ] {
            assert_eq!(get(address, path), (StatusCode::OK, want.into()), "{path}");
        }
        assert_eq!(get(address, "/nothing"), (StatusCode::NOT_FOUND, "nothing here".into()));
        assert!(get(address, "/").1.contains("a.txt"), "a listing");
    });
    assert!(folder.path().join("write/old").exists());
    // The thread that asked is not in it.
    assert!(fs::read("/etc/passwd").is_ok() && Command::new("/bin/true").status().is_ok());
}

fn a_handler_that_panics_still_gives_its_500(strategy: Strategy) {
    const IS_CHILD: &str = "TRIPOLL_TEST_IN_SANDBOX";
    if !is_whole_here() {
        return;
    }
    if std::env::var_os(IS_CHILD).is_none() {
        // What is to be printed of a panic is read from the environment once, so this runs in a child.
        let name = std::thread::current().name().unwrap().to_string();
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", &name, "--nocapture"]).env(IS_CHILD, "1").env("RUST_BACKTRACE", "1");
        let output = child.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("on purpose") && said.contains("stack backtrace:"), "{said}");
        return;
    }
    ask_inside(strategy, &folder(), |address| {
        for _ in 0..2 {
            assert_eq!(get(address, "/panic").0, StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!(get(address, "/a.txt").1, "content", "it goes on");
        }
    });
}

on_every_backend!(a_handler_can_do_no_more_than_it_was_allowed, a_handler_that_panics_still_gives_its_500);

/// What the start line says in its parentheses, and what asking `paths` of it gives.
#[track_caller]
fn serve(flags: &[&str], folder: &Path, paths: &[(&str, u16, &str)]) -> String {
    let (process, line, address) = Process::serving(command(&[&["-p", "0", "read"], flags].concat(), folder));
    for (path, status, body) in paths {
        let (got, text) = get(address, path);
        assert_eq!(got.as_u16(), *status, "{flags:?} {path}");
        assert!(text.contains(body), "{flags:?} {path}: {text}");
    }
    process.signal("TERM");
    let (code, _, stderr) = process.end();
    assert_eq!((code, stderr), (Some(0), vec![]), "{flags:?}");
    line.rsplit_once(" (").unwrap().1.trim_end_matches(')').to_string()
}

#[test]
fn the_command_serves_as_before_and_says_what_is_in_force() {
    if !is_whole_here() {
        return;
    }
    let folder = folder();
    fs::write(folder.path().join("outside.txt"), "outside").unwrap();
    std::os::unix::fs::symlink("../outside.txt", folder.path().join("read/out")).unwrap();
    std::os::unix::fs::symlink("a.txt", folder.path().join("read/in")).unwrap();
    let files = [("/a.txt", 200, "content"), ("/in", 200, "content"), ("/sub/", 200, "index"), ("/", 200, "a.txt")];
    let own_page = [("/nothing", 404, "nothing here"), ("/out", 404, "nothing here")];
    for flags in [&[][..], &["--sandbox", "auto"], &["--sandbox", "on"]] {
        assert_eq!(serve(flags, folder.path(), &[&files[..], &own_page].concat()), "epoll, sandboxed");
    }
    assert_eq!(serve(&["--sandbox", "off"], folder.path(), &files), "epoll, not sandboxed");
    let links = "epoll, links are followed anywhere, sandboxed but for reading";
    assert_eq!(serve(&["--follow-links"], folder.path(), &[&files[..], &[("/out", 200, "outside")]].concat()), links);
    let app = ["--spa", "--index", "a.txt", "--demo"];
    assert_eq!(serve(&app, folder.path(), &[("/app/7", 200, "content"), ("/time", 200, "GMT")]), "epoll, sandboxed");
}

/// What `work` says on a thread that the kernel refuses `calls` to, as if it had none of them; what it starts is refused them too.
fn without_calls<T: Send + 'static>(calls: &'static [i64], work: impl FnOnce() -> T + Send + 'static) -> T {
    const ENOSYS: u32 = 38;
    let thread = std::thread::spawn(move || {
        let refused = calls.iter().map(|call| (*call, Vec::new())).collect();
        let machine = std::env::consts::ARCH.try_into().unwrap();
        let filter = SeccompFilter::new(refused, SeccompAction::Allow, SeccompAction::Errno(ENOSYS), machine);
        seccompiler::apply_filter(&BpfProgram::try_from(filter.unwrap()).unwrap()).unwrap();
        work()
    });
    thread.join().unwrap()
}

#[test]
fn what_the_kernel_lacks_is_said_and_on_fails() {
    if !is_whole_here() {
        return;
    }
    const LANDLOCK: &[i64] = &[444, 445, 446];
    const SECCOMP: &[i64] = &[if cfg!(target_arch = "x86_64") { 317 } else { 277 }];
    const BOTH: &[i64] = &[LANDLOCK[0], LANDLOCK[1], LANDLOCK[2], SECCOMP[0]];
    let tried_by = |calls| {
        without_calls(calls, || {
            let in_force = Sandbox::new().enter().unwrap();
            (in_force, fs::read("/etc/passwd").is_ok(), Command::new("/bin/true").status().is_ok())
        })
    };
    // Each of the two does its part alone; Landlock lets nothing be opened to be run either.
    assert_eq!(tried_by(LANDLOCK), (InForce { landlock: false, seccomp: true }, true, false));
    assert_eq!(tried_by(SECCOMP), (InForce { landlock: true, seccomp: false }, false, false));
    assert_eq!(tried_by(BOTH), (InForce { landlock: false, seccomp: false }, true, true));
    for (lacking, said, lack) in [
        (LANDLOCK, "epoll, sandboxed by seccomp alone: no Landlock here", "no Landlock"),
        (SECCOMP, "epoll, sandboxed by Landlock alone: no seccomp here", "no seccomp filters"),
        (BOTH, "epoll, not sandboxed: neither Landlock nor seccomp here", "neither Landlock nor seccomp filters"),
    ] {
        without_calls(lacking, move || {
            let folder = folder();
            assert_eq!(serve(&[], folder.path(), &[("/a.txt", 200, "content")]), said);
            let on = Process::new(command(&["-p", "0", "--user", "root", "--sandbox", "on", "read"], folder.path()));
            let want = format!(
                "error: cannot be sandboxed: this kernel has {lack}; try --sandbox auto, which takes what there is"
            );
            assert_eq!(on.end(), (Some(1), vec![], vec![want]));
        });
    }
}

/// The zone's file is read before the folder is all that can be read.
#[test]
fn the_log_has_this_machines_time() {
    if !is_whole_here() {
        return;
    }
    let folder = folder();
    let zone = "/usr/share/zoneinfo/Asia/Kathmandu";
    if !Path::new(zone).exists() {
        let _ = writeln!(stderr(), "skipped: {zone} is not here");
        return;
    }
    let mut command = command(&["-p", "0", "--sandbox", "on", "--log", "common", "read"], folder.path());
    command.env("TZ", "Asia/Kathmandu");
    let (process, _, address) = Process::serving(command);
    assert_eq!(get(address, "/a.txt").1, "content");
    process.signal("TERM");
    let (_, log, _) = process.end();
    assert!(log[0].contains(" +0545] "), "{log:?}");
}

#[test]
fn root_is_told_and_becomes_somebody_else() {
    let folder = folder();
    let unknown = Process::new(command(&["--user", "no such user"], folder.path())).end();
    assert_eq!(unknown.0, Some(2));
    assert!(unknown.2[0].contains("'no such user'") && unknown.2[0].contains("there is no such user"), "{unknown:?}");
    if !process::is_root() {
        let refused = Process::new(command(&["-p", "0", "--user", "nobody", "read"], folder.path())).end();
        assert_eq!(refused.0, Some(1));
        assert!(refused.2[0].starts_with("error: cannot become nobody: "), "{refused:?}");
        let _ = writeln!(stderr(), "skipped: --user: this is not root");
        return;
    }
    // Whom the folder's own name is shut to, and what is in it is not.
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(folder.path().join("read/secret"), "secret").unwrap();
    fs::set_permissions(folder.path().join("read/secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let (process, line, address) = Process::serving(command(&["-p", "0", "--user", "nobody", "read"], folder.path()));
    assert!(line.contains("(epoll, as nobody, "), "{line}");
    let status = fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap();
    let ids = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().map(|id| id.parse().unwrap()).collect::<Vec<u32>>()
    };
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let nobody: Vec<&str> = passwd.lines().find(|line| line.starts_with("nobody:")).unwrap().split(':').collect();
    let (user, group): (u32, u32) = (nobody[2].parse().unwrap(), nobody[3].parse().unwrap());
    assert_eq!((ids("Uid:"), ids("Gid:"), ids("Groups:")), (vec![user; 4], vec![group; 4], vec![group]));
    assert_eq!(get(address, "/a.txt").1, "content");
    assert_eq!(get(address, "/secret").0, StatusCode::FORBIDDEN);
    process.signal("TERM");
    assert_eq!(process.end(), (Some(0), vec![], vec![]), "nobody is not told that he is root");

    // Whom the folder itself is shut to.
    fs::set_permissions(folder.path().join("read"), fs::Permissions::from_mode(0o700)).unwrap();
    let shut_out = Process::new(command(&["-p", "0", "--user", "nobody", "read"], folder.path())).end();
    let want =
        "error: nobody may not enter read: Permission denied (os error 13); try chmod o+rx read, or another --user";
    assert_eq!(shut_out, (Some(1), vec![], vec![want.to_string()]));

    let (process, line, _) = Process::serving(command(&["-p", "0", "--user", "root", "read"], folder.path()));
    assert!(line.contains("(epoll, as root, "), "{line}");
    process.signal("TERM");
    assert_eq!(process.end(), (Some(0), vec![], vec![]), "who asked for it is not told either");
}
