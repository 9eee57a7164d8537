//! The command under each model but the reactor, which `tests/command.rs` has: the same bytes, the same bounds, the same ends.
//!
//! The server is a process of its own: one that has threads, as a test has, can't fork.

mod client;
mod process;
mod tricks;

use client::Client;
use process::{PATIENCE, Process, command};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Instant;
use tempfile::TempDir;
use tripoll::models::Reap;
use tripoll::{HttpServer, Model};

const GET: &str = "GET /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Makes of each `fn fact(model: &[&str])`, which is given a model's flags, a test under each of them.
macro_rules! under_each {
    ({ $($model:ident: $flags:expr),+ $(,)? } $facts:tt) => { $(under_each! { @one $model: $flags, $facts })+ };
    (@one $model:ident: $flags:expr, [$($fact:ident),+ $(,)?]) => {
        mod $model { $(#[test] fn $fact() { super::$fact(&$flags) })+ }
    };
}

under_each! {
    {
        iterative: ["--model", "iterative"],
        fork: ["--model", "fork"],
        fork_double: ["--model", "fork", "--reap", "double-fork"],
        fork_ignore: ["--model", "fork", "--reap", "ignore"],
        prefork: ["--model", "prefork", "--workers", "3"],
        threads: ["--model", "threads"],
        thread_pool: ["--model", "thread-pool", "--workers", "3"],
        coroutines: ["--model", "coroutines"],
        coroutines_select: ["--model", "coroutines", "--backend", "select"],
        coroutines_poll: ["--model", "coroutines", "--backend", "poll"],
        coroutines_edge: ["--model", "coroutines", "--trigger", "edge"],
    }
    [
        what_it_says_are_the_reactors_bytes,
        a_signal_ends_it_in_good_order,
        what_is_in_flight_is_finished,
        a_second_signal_ends_it_at_once,
        what_takes_longer_than_the_grace_is_cut_off,
        each_answer_is_logged_once,
        what_workers_do_is_counted_together,
        who_is_late_is_told_so_and_who_is_idle_is_let_go,
        an_answer_that_is_not_taken_is_given_up,
    ]
}

// One client at a time, or few: who says nothing must not keep the others waiting.
mod crowd {
    #[test]
    fn iterative() {
        super::who_is_silent_gives_way_to_who_waits(&["--model", "iterative"]);
    }

    #[test]
    fn prefork() {
        super::who_is_silent_gives_way_to_who_waits(&["--model", "prefork", "--workers", "1"]);
    }

    #[test]
    fn thread_pool() {
        super::who_is_silent_gives_way_to_who_waits(&["--model", "thread-pool", "--workers", "1"]);
    }
}

mod cap {
    #[test]
    fn fork() {
        super::past_the_cap_the_newest_is_told_503(&["--model", "fork"]);
    }

    #[test]
    fn fork_double() {
        super::past_the_cap_the_newest_is_told_503(&["--model", "fork", "--reap", "double-fork"]);
    }

    #[test]
    fn fork_ignore() {
        super::past_the_cap_the_newest_is_told_503(&["--model", "fork", "--reap", "ignore"]);
    }

    #[test]
    fn threads() {
        super::past_the_cap_the_newest_is_told_503(&["--model", "threads"]);
    }

    #[test]
    fn thread_pool() {
        super::past_the_cap_the_newest_is_told_503(&["--model", "thread-pool", "--workers", "3"]);
    }
}

mod address {
    #[test]
    fn fork() {
        super::one_address_has_no_more_connections_than_it_may(&["--model", "fork"]);
    }

    #[test]
    fn threads() {
        super::one_address_has_no_more_connections_than_it_may(&["--model", "threads"]);
    }

    #[test]
    fn thread_pool() {
        super::one_address_has_no_more_connections_than_it_may(&["--model", "thread-pool"]);
    }

    #[test]
    fn coroutines() {
        super::one_address_has_no_more_connections_than_it_may(&["--model", "coroutines"]);
    }
}

mod zombies {
    #[test]
    fn wait() {
        super::a_thousand_connections_leave_no_zombie("wait");
    }

    #[test]
    fn double_fork() {
        super::a_thousand_connections_leave_no_zombie("double-fork");
    }

    #[test]
    fn ignore() {
        super::a_thousand_connections_leave_no_zombie("ignore");
    }
}

fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("a.txt"), "content").unwrap();
    std::fs::write(folder.path().join("big.bin"), vec![b'x'; 30_000_000]).unwrap();
    folder
}

/// A server of `folder` with the demonstration's routes.
#[track_caller]
fn serving(model: &[&str], more: &[&str], folder: &TempDir) -> (Process, SocketAddr) {
    let flags = [&["-p", "0", "--demo"][..], model, more, &["."]].concat();
    let (process, _, address) = Process::serving(command(&flags, folder.path()));
    (process, address)
}

/// Waits until it is so.
#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < give_up, "{what}");
        std::thread::yield_now();
    }
}

/// Waits until nobody is let in any more.
#[track_caller]
fn until_it_is_deaf(address: SocketAddr) {
    // Where a worker has to take who waits first, who comes is not refused yet, but not heard either.
    let tries = std::time::Duration::from_millis(200);
    until("it still listens", || TcpStream::connect_timeout(&address, tries).is_err());
}

/// All that comes of `wire`, whose sender then ends its side; the lines of the date left out.
fn said(address: SocketAddr, wire: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(wire).unwrap();
    let _ = stream.shutdown(Shutdown::Write); // The server may have closed first.
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    let lines = all.split_inclusive(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"Date: "));
    lines.collect::<Vec<_>>().concat().escape_ascii().to_string()
}

fn what_it_says_are_the_reactors_bytes(model: &[&str]) {
    let folder = folder();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    std::fs::write(folder.path().join("sub/b.html"), "<p>b").unwrap();
    std::fs::write(folder.path().join("a.txt.gz"), "no content of a.txt").unwrap();
    let (_reactor, reactor) = serving(&["--model", "reactor"], &[], &folder);
    let (_process, address) = serving(model, &[], &folder);
    // Until the file's last change is some time ago its tag is weak.
    until("its tag stays weak", || !said(reactor, GET.as_bytes()).contains("W/"));
    let mut wires: Vec<Vec<u8>> = tricks::all().into_iter().map(|trick| trick.wire).collect();
    for requests in [
        &["GET /a.txt", "HEAD /a.txt", "GET /a.txt\nRange: bytes=1-3", "GET /a.txt\nRange: bytes=9-"][..],
        &["GET /a.txt\nAccept-Encoding: gzip", "GET /a.txt\nIf-None-Match: *", "GET /a.txt\nIf-Match: \"x\""],
        &["GET /sub", "GET /sub/", "GET /sub/?json", "GET /sub/b.html", "GET /none", "GET /none\nAccept: text/html"],
        &["OPTIONS *", "DELETE /a.txt", "GET /hello/you", "GET /../a.txt", "GET /a.txt"],
        &["POST /echo\nContent-Length: 3\n\nabc", "POST /echo\nTransfer-Encoding: chunked\n\n1\na\n0\n"],
        &["POST /echo\nContent-Length: 9999999"],
        &["POST /echo\nContent-Length: 4\n\na"],
        &["GET /big.bin\nRange: bytes=5-70000", "GET /a.txt\nConnection: close", "GET /a.txt"],
        &["BREW /a.txt"],
        &["GET  /a.txt"],
    ] {
        let wire: String = requests
            .iter()
            .map(|request| {
                let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
                let (line, fields) = head.split_once('\n').unwrap_or((head, ""));
                let fields: String = fields.lines().map(|field| format!("{field}\r\n")).collect();
                format!("{line} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n{}", body.replace('\n', "\r\n"))
            })
            .collect();
        wires.push(wire.into_bytes());
    }
    for wire in wires {
        assert_eq!(said(address, &wire), said(reactor, &wire), "{}", wire.escape_ascii());
    }
    // More than any socket holds, and the same bytes.
    let mut client = Client::new(address);
    client.send("GET /big.bin HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(client.answer(false).body == vec![b'x'; 30_000_000]);
}

fn a_signal_ends_it_in_good_order(model: &[&str]) {
    let folder = folder();
    for signal in ["TERM", "INT"] {
        let (process, address) = serving(model, &[], &folder);
        let mut idle = Client::new(address);
        idle.send(GET);
        assert_eq!(idle.answer(false).status, 200);
        process.signal(signal);
        assert_eq!(idle.rest(false), b"");
        assert_eq!(process.end(), (Some(0), vec![], vec![]), "{signal}");
    }
}

fn what_is_in_flight_is_finished(model: &[&str]) {
    let folder = folder();
    let (process, address) = serving(model, &[], &folder);
    let mut client = Client::new(address);
    // The answer to the first says that both were read.
    client.send(format!("{GET}GET /big.bin HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    client.answer(false);
    process.signal("TERM");
    until_it_is_deaf(address);
    assert_eq!(client.answer(false).body.len(), 30_000_000);
    drop(client);
    assert_eq!(process.end(), (Some(0), vec![], vec![]));
}

fn a_second_signal_ends_it_at_once(model: &[&str]) {
    let folder = folder();
    let (process, address) = serving(model, &["--grace", "1h"], &folder);
    let mut client = Client::new(address);
    client.send(format!("{GET}GET /big.bin HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    client.answer(false);
    process.signal("INT");
    until_it_is_deaf(address);
    let workers = children(process.child.id());
    process.signal("TERM");
    assert_eq!(process.end(), (Some(143), vec![], vec![]));
    until("its workers outlive it", || workers.iter().all(|worker| state(*worker).is_none_or(|state| state.0 == 'Z')));
}

fn what_takes_longer_than_the_grace_is_cut_off(model: &[&str]) {
    let folder = folder();
    let (process, address) = serving(model, &["--grace", "100ms"], &folder);
    let mut client = Client::new(address);
    client.send(format!("{GET}GET /big.bin HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    client.answer(false);
    process.signal("TERM");
    assert_eq!(process.end(), (Some(0), vec![], vec![]));
    let (mut stream, mut rest) = (client.into_stream(), Vec::new());
    let _ = stream.read_to_end(&mut rest); // The end, or a reset.
    assert!(rest.len() < 30_000_000, "all of it was sent");
}

fn each_answer_is_logged_once(model: &[&str]) {
    let folder = folder();
    let (process, address) = serving(model, &["--log", "short"], &folder);
    for number in 0..50 {
        let mut client = Client::new(address);
        client.send(format!("GET /{number} HTTP/1.1\r\nHost: localhost\r\n\r\n").repeat(2));
        assert_eq!((client.answer(false).status, client.answer(false).status), (404, 404));
    }
    process.signal("TERM");
    let (code, lines, errors) = process.end();
    assert_eq!((code, errors), (Some(0), vec![]));
    let mut logged: Vec<_> = lines.iter().map(|line| line.split(' ').nth(3).unwrap().to_string()).collect();
    logged.sort();
    let mut asked: Vec<_> = (0..50).flat_map(|number| [format!("/{number}"), format!("/{number}")]).collect();
    asked.sort();
    assert_eq!(logged, asked);
}

fn what_workers_do_is_counted_together(model: &[&str]) {
    let folder = folder();
    let (_process, address) = serving(model, &[], &folder);
    for _ in 0..20 {
        client::is_well(address);
    }
    let mut client = Client::new(address);
    let counters = |client: &mut Client| -> serde_json::Value {
        client.send("GET /counters HTTP/1.1\r\nHost: localhost\r\n\r\n");
        serde_json::from_slice(&client.answer(false).body).unwrap()
    };
    // Who asked has its answers; that its connection is over is counted a moment later.
    until("connections that are over stay open", || counters(&mut client)["connections"]["open"] == 1);
    let counters = counters(&mut client);
    assert_eq!(counters["model"], model[1]);
    assert_eq!(counters["connections"]["opened"], 21);
    assert!(counters["requests"].as_u64() > Some(20), "{counters}");
    assert!(counters["bytes"]["received"].as_u64() >= Some(20 * GET.len() as u64), "{counters}");
    assert!(counters["bytes"]["sent"].as_u64() > Some(20 * 100), "{counters}");
    assert!(counters["calls"]["send"].as_u64() > Some(20), "{counters}");
}

fn who_is_late_is_told_so_and_who_is_idle_is_let_go(model: &[&str]) {
    let folder = folder();
    let (_process, address) = serving(model, &["--head-timeout", "50ms", "--idle-timeout", "50ms"], &folder);
    let mut late = Client::new(address);
    late.send("GET / HT");
    assert_eq!(late.answer(false).status, 408);
    assert_eq!(late.rest(false), b"");
    let mut idle = Client::new(address);
    idle.send(GET);
    assert_eq!(idle.answer(false).status, 200);
    assert_eq!(idle.rest(false), b"");
    assert_eq!(Client::new(address).rest(false), b"", "who says nothing at all is owed nothing");
}

fn an_answer_that_is_not_taken_is_given_up(model: &[&str]) {
    let folder = folder();
    let (_process, address) = serving(model, &["--send-timeout", "100ms"], &folder);
    let mut client = Client::new(address);
    client.send("GET /big.bin HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut watcher = Client::new(address);
    watcher.send("GET /counters HTTP/1.1\r\nHost: localhost\r\n\r\n");
    // An iterative server answers when it has given up; others say when it is so.
    until("it waits for ever", || {
        let counters: serde_json::Value = serde_json::from_slice(&watcher.answer(false).body).unwrap();
        watcher.send("GET /counters HTTP/1.1\r\nHost: localhost\r\n\r\n");
        counters["connections"]["open"] == 1
    });
    let (mut stream, mut rest) = (client.into_stream(), Vec::new());
    let end = stream.read_to_end(&mut rest);
    assert!(rest.len() < 30_000_000 && end.is_err(), "cut off by a reset: {} bytes, {end:?}", rest.len());
}

/// A browser opens a second connection before it knows what for.
fn who_is_silent_gives_way_to_who_waits(model: &[&str]) {
    let folder = folder();
    let (_process, address) = serving(model, &["--head-timeout", "1h", "--idle-timeout", "1h"], &folder);
    let mut idle = Client::new(address);
    idle.send(GET);
    assert_eq!(idle.answer(false).status, 200);
    let silent = Client::new(address);
    client::is_well(address);
    assert_eq!((idle.rest(false), silent.rest(false)), (vec![], vec![]));
    // Nobody waits: who is idle stays.
    let mut alone = Client::new(address);
    alone.send(GET);
    assert_eq!(alone.answer(false).status, 200);
    std::thread::sleep(std::time::Duration::from_millis(300)); // Longer than one who gives way is heard.
    alone.send(GET);
    assert_eq!(alone.answer(false).status, 200);
    // In the middle of a request nobody gives way.
    let mut busy = Client::new(address);
    drop(alone);
    busy.send(&GET[..10]);
    let mut next = Client::new(address);
    next.send(GET);
    std::thread::sleep(std::time::Duration::from_millis(300));
    busy.send(&GET[10..]);
    assert_eq!((busy.answer(false).status, next.answer(false).status), (200, 200));
}

fn past_the_cap_the_newest_is_told_503(model: &[&str]) {
    let folder = folder();
    let (process, address) = serving(model, &["--connections-max", "2"], &folder);
    let mut served: Vec<_> = (0..2).map(|_| Client::new(address)).collect();
    for client in &mut served {
        client.send(GET);
        assert_eq!(client.answer(false).status, 200);
    }
    let mut third = Client::new(address);
    assert_eq!(third.answer(false).status, 503);
    assert_eq!(third.rest(false), b"");
    served.pop().unwrap().rest(true);
    until("there is no place for another", || {
        let mut client = Client::new(address);
        client.send(GET);
        let is_served = client.answer(false).status == 200;
        client.rest(true);
        is_served
    });
    drop(served);
    process.signal("TERM");
    let (code, _, stderr) = process.end();
    assert_eq!(code, Some(0));
    assert!(stderr.len() == 1 && stderr[0].starts_with("tripoll: clients are turned away: "), "{stderr:?}");
}

fn one_address_has_no_more_connections_than_it_may(model: &[&str]) {
    let folder = folder();
    let (_process, address) = serving(model, &["--per-address-max", "2"], &folder);
    let mut first = Client::new(address);
    first.send(GET);
    assert_eq!(first.answer(false).status, 200);
    let _second = Client::new(address);
    assert_eq!(Client::new(address).answer(false).status, 503);
    first.rest(true);
    until("who left is still counted", || {
        let mut client = Client::new(address);
        client.send(GET);
        client.answer(false).status == 200
    });
}

#[test]
fn past_its_queue_a_pool_of_threads_says_503() {
    let folder = folder();
    let (_process, address) =
        serving(&["--model", "thread-pool", "--workers", "1"], &["--head-timeout", "1h"], &folder);
    let mut busy = Client::new(address);
    busy.send(format!("{GET}{}", &GET[..10]));
    assert_eq!(busy.answer(false).status, 200);
    let mut queued: Vec<_> = (0..128).map(|_| Client::new(address)).collect();
    let mut last = Client::new(address);
    assert_eq!(last.answer(false).status, 503);
    busy.send(&GET[10..]);
    assert_eq!(busy.answer(false).status, 200, "who is at work goes on");
    busy.rest(true);
    let mut first = queued.remove(0);
    first.send(GET);
    assert_eq!(first.answer(false).status, 200, "who is queued has its turn");
}

/// The processes whose parent is `pid`.
fn children(pid: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap();
    let ids = processes.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    ids.filter(|id| state(*id).is_some_and(|(_, parent)| parent == pid)).collect()
}

/// proc_pid_stat(5): a process's state and its parent, where it is there.
fn state(pid: u32) -> Option<(char, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after) = stat.rsplit_once(") ")?;
    let mut words = after.split(' ');
    Some((words.next()?.chars().next()?, words.next()?.parse().ok()?))
}

/// Those of its children that have ended and are still kept.
fn zombies(pid: u32) -> usize {
    children(pid).into_iter().filter(|child| state(*child).is_some_and(|(state, _)| state == 'Z')).count()
}

fn a_thousand_connections_leave_no_zombie(reap: &str) {
    let folder = folder();
    let (process, address) = serving(&["--model", "fork", "--reap", reap], &[], &folder);
    let (pid, mut most) = (process.child.id(), 0);
    for number in 0..1_000 {
        client::is_well(address);
        if number % 50 == 0 {
            most = most.max(zombies(pid));
        }
    }
    // Who waits for them may be told of the last ones only now; the others keep none, ever.
    let most_meanwhile = if reap == "wait" { 20 } else { 0 };
    assert!(most <= most_meanwhile, "{most} zombies at a time");
    until("zombies are left", || zombies(pid) == 0);
    process.signal("TERM");
    assert_eq!(process.end(), (Some(0), vec![], vec![]));
}

#[test]
fn a_worker_that_is_killed_is_replaced() {
    let folder = folder();
    let (process, address) = serving(&["--model", "prefork", "--workers", "2"], &[], &folder);
    let pid = process.child.id();
    until("there are no workers", || children(pid).len() == 2); // They begin when it has said that it listens.
    let before: BTreeSet<u32> = children(pid).into_iter().collect();
    for worker in &before {
        assert!(std::process::Command::new("kill").args(["-KILL", &worker.to_string()]).status().unwrap().success());
    }
    until("they are not replaced", || children(pid).iter().filter(|worker| !before.contains(worker)).count() == 2);
    client::is_well(address);
    process.signal("TERM");
    assert_eq!(process.end(), (Some(0), vec![], vec![]));
}

#[test]
fn workers_end_with_their_master_however_that_ends() {
    let folder = folder();
    for model in [&["--model", "prefork", "--workers", "2"][..], &["--model", "fork"]] {
        let (process, address) = serving(model, &[], &folder);
        let mut client = Client::new(address);
        client.send(GET);
        client.answer(false);
        let workers = children(process.child.id());
        assert!(!workers.is_empty());
        process.signal("KILL");
        until("they outlive it", || workers.iter().all(|worker| state(*worker).is_none_or(|state| state.0 == 'Z')));
        assert_eq!(client.rest(false), b"");
    }
}

#[test]
fn a_signal_for_the_whole_group_is_heard_once() {
    use std::os::unix::process::CommandExt;
    let folder = folder();
    for model in ["fork", "prefork"] {
        let mut command = command(&["-p", "0", "--model", model, "."], folder.path());
        command.process_group(0);
        let (process, _, address) = Process::serving(command);
        let mut client = Client::new(address);
        client.send(format!("{GET}GET /big.bin HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        client.answer(false);
        // As a terminal sends it, for Ctrl-C.
        let group = format!("-{}", process.child.id());
        assert!(std::process::Command::new("kill").args(["-INT", "--", &group]).status().unwrap().success());
        assert_eq!(client.answer(false).body.len(), 30_000_000, "{model}");
        drop(client);
        assert_eq!(process.end(), (Some(0), vec![], vec![]), "{model}");
    }
}

#[test]
fn a_process_with_threads_is_not_forked() {
    let folder = folder();
    for model in [Model::Fork { reap: Reap::Wait }, Model::Prefork { workers: 1 }] {
        let server = HttpServer::new("127.0.0.1:0", folder.path()).model(model).bind().unwrap();
        let error = server.run().unwrap_err().to_string();
        assert_eq!(error, format!("cannot serve by {model}: a process that has other threads can't be forked"));
    }
}

#[test]
fn what_is_of_no_use_to_a_model_is_a_usage_error() {
    let folder = folder();
    for (flags, want) in [
        (
            &["--model", "threads", "--backend", "epoll"][..],
            "--backend belongs to --model reactor and coroutines, not to threads",
        ),
        (
            &["--model", "fork", "--trigger", "level"],
            "--trigger belongs to --model reactor and coroutines, not to fork, reap wait",
        ),
        (
            &["--model", "iterative", "--select-limit", "9"],
            "--select-limit belongs to --model reactor and coroutines, not to iterative",
        ),
        (
            &["--model", "threads", "--accept-max", "9"],
            "--accept-max belongs to --model reactor and coroutines, not to threads",
        ),
        (&["--model", "threads", "--interest", "lazy"], "--interest belongs to --model reactor, not to threads"),
        (&["--model", "coroutines", "--interest", "lazy"], "--interest belongs to --model reactor, not to coroutines"),
        (
            &["--model", "coroutines", "--workers", "9"],
            "--workers belongs to --model prefork and thread-pool, not to coroutines",
        ),
        (&["--model", "coroutines", "--backend", "poll", "--trigger", "edge"], "poll has no edge trigger"),
        (
            &["--model", "threads", "--trace-loop"],
            "--trace-loop belongs to --model reactor and coroutines, not to threads",
        ),
        (&["--model", "threads", "--reap", "wait"], "--reap belongs to --model fork, not to threads"),
        (&["--workers", "9"], "--workers belongs to --model prefork and thread-pool, not to reactor"),
        (&["--model", "prefork", "--per-address-max", "9"], "not to prefork, 32 workers"),
        (&["--model", "fork", "--reap", "ignore", "--per-address-max", "9"], "not to fork, reap ignore"),
        (&["--model", "twisted"], "invalid value 'twisted'"),
        (&["--model", "prefork", "--workers", "0"], "invalid value '0'"),
    ] {
        let (code, stdout, stderr) = Process::new(command(&[flags, &["."]].concat(), folder.path())).end();
        assert_eq!((code, stdout), (Some(2), vec![]), "{flags:?}");
        assert!(stderr[0].contains(want), "{flags:?}: {stderr:?}");
    }
}
