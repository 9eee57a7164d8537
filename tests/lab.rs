//! The lab: its generator against servers whose faults are known, and the command as a person meets it.

// Its own crate uses all of it; here it is looked at in parts.
#[allow(dead_code, unused_imports)]
#[path = "../src/lab/mod.rs"]
mod lab;
mod process;

use lab::generator;
use lab::interrupt::Interrupt;
use lab::load::{Ask, Load, Measured, Moment, Pace};
use lab::plan::{MODELS, Options, Work};
use lab::run::Watch;
use lab::site::SLOW;
use process::{PATIENCE, Process, command};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tripoll::poller::Updates;
use tripoll::reactor::Handle;
use tripoll::sys;
use tripoll::{HttpServer, Response};

const REQUEST: &[u8] = b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A server of one route that does as `answer` says, for the length of a test.
struct Known {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
    address: SocketAddr,
    answer_bytes: usize,
}

impl Known {
    /// `answer` is told how many requests came before.
    fn new(answer: impl Fn(u64) -> Response + Send + Sync + 'static) -> Known {
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let count = AtomicU64::new(0);
            let server = HttpServer::without_files("127.0.0.1:0");
            let server =
                server.route("GET", "/x", move |_| answer(count.fetch_add(1, Ordering::Relaxed))).bind().unwrap();
            tell.send((server.handle(), server.addresses()[0])).unwrap();
            server.run().unwrap();
        });
        let (handle, address) = told.recv().unwrap();
        let model = HttpServer::without_files("127.0.0.1:0").route("GET", "/x", |_| ok());
        let answer_bytes = model.answer(REQUEST).unwrap().len();
        Known { handle, thread: Some(thread), address, answer_bytes }
    }

    fn ask(&self) -> Ask {
        Ask { request: REQUEST.to_vec(), answer_bytes: self.answer_bytes }
    }

    fn load(&self, pace: Pace, connections: usize, closes: bool) -> Load {
        let SocketAddr::V4(address) = self.address else { unreachable!("it listens at 127.0.0.1") };
        Load {
            address,
            ask: self.ask(),
            requests_per_send: 1,
            connections,
            beside: None,
            settles: None,
            closes,
            pace,
            warm_up: Duration::ZERO,
            time: Duration::from_millis(800),
        }
    }

    fn measure(&self, pace: Pace, connections: usize, closes: bool) -> Measured {
        generator::run(&self.load(pace, connections, closes), &Interrupt::default(), |_| Ok(())).unwrap()
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        self.handle.stop();
        let _ = self.thread.take().expect("it runs").join();
    }
}

fn ok() -> Response {
    Response::text("ok\n")
}

/// Good, but for one stall of 200 ms.
fn stalls_once() -> Known {
    Known::new(|before| {
        if before == 50 {
            std::thread::sleep(Duration::from_millis(200));
        }
        ok()
    })
}

#[test]
fn the_open_loop_shows_a_stall_that_the_closed_loop_hides() {
    // Of 0.8 s a quarter was stalled: what was due then waited, on average half as long. One connection in the closed loop asked once.
    let open = stalls_once().measure(Pace::Open { requests_per_second: 500.0 }, 4, false);
    assert_eq!(open.errors.total(), 0, "{:?}", open.errors);
    let share = open.latencies.count_between(50_000_000, u64::MAX) as f64 / open.latencies.len() as f64;
    assert!(share > 0.1, "three quarters of what was due in the stall waited 50 ms or more: {share}");
    assert!(open.latencies.max() >= 150_000_000, "{}", open.latencies.max());
    let closed = stalls_once().measure(Pace::Closed, 1, false);
    assert_eq!(closed.errors.total(), 0, "{:?}", closed.errors);
    assert_eq!(closed.latencies.count_between(190_000_000, u64::MAX), 1, "it asked once while it was stalled");
    assert!(closed.latencies.max() >= 190_000_000);
}

#[test]
fn every_error_is_counted_by_its_kind() {
    let good = Known::new(|_| ok());
    for closes in [false, true] {
        let measured = good.measure(Pace::Closed, 4, closes);
        assert!(measured.requests > 0 && measured.errors.total() == 0, "{:?}", measured.errors);
    }
    let wrong = Known::new(|before| if before % 2 == 0 { ok() } else { Response::text("a longer answer than that\n") });
    let errors = wrong.measure(Pace::Closed, 2, false).errors;
    assert!(errors.answer > 0 && errors.answer == errors.total(), "{errors:?}");
    let mut gone = Known::new(|_| ok());
    gone.address.set_port(1);
    let measured = gone.measure(Pace::Closed, 1, false);
    let errors = measured.errors;
    assert!(measured.requests == 0 && errors.connect > 0 && errors.connect == errors.total(), "{errors:?}");
}

/// A good server, and how many requests it was asked so far.
fn counting() -> (Known, Arc<AtomicU64>) {
    let count = Arc::new(AtomicU64::new(0));
    let counted = count.clone();
    let count_one = move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        ok()
    };
    (Known::new(count_one), count)
}

#[test]
fn a_load_that_settles_is_owed_nothing_while_the_server_is_looked_at() {
    for closes in [false, true] {
        let (server, count) = counting();
        let load = Load { settles: Some(server.ask()), ..server.load(Pace::Closed, 16, closes) };
        let load = Load { warm_up: Duration::from_millis(50), time: Duration::from_millis(200), ..load };
        let mut seen = Vec::new();
        let look = |moment| {
            seen.push((moment, count.load(Ordering::Relaxed)));
            Ok(())
        };
        let measured = generator::run(&load, &Interrupt::default(), look).unwrap();
        let [(Moment::Begin, before), (Moment::End, after)] = seen[..] else { panic!("{seen:?}") };
        assert_eq!((measured.opened, measured.served, measured.errors.total()), (16, 16, 0), "{measured:?}");
        assert_eq!(measured.latencies.len(), after - before, "all that was asked was answered, and noted");
        assert!(measured.requests <= measured.latencies.len() && measured.requests > 0);
    }
}

#[test]
fn those_who_ask_beside_are_in_no_figure() {
    let (server, count) = counting();
    let load = Load { settles: Some(server.ask()), ..server.load(Pace::Closed, 1, true) };
    let load = Load { beside: Some((3, server.ask())), time: Duration::from_millis(200), ..load };
    let mut seen = Vec::new();
    let look = |_| {
        seen.push(count.load(Ordering::Relaxed));
        Ok(())
    };
    let measured = generator::run(&load, &Interrupt::default(), look).unwrap();
    assert_eq!((measured.served, measured.errors.total()), (1, 0), "{measured:?}");
    assert!(measured.latencies.len() < seen[1] - seen[0], "{} of {seen:?}", measured.latencies.len());
}

#[test]
fn it_compares_all_four_with_good_rows() {
    let folder = TempDir::new().unwrap();
    let words = ["compare", "--idle", "0,20", "--active", "2", "--rounds", "1", "--seconds", "0.2"];
    let (code, stdout, stderr) = Process::new(command(&words, folder.path())).end();
    let text = stdout.join("\n");
    assert_eq!((code, stderr), (Some(0), vec![]), "{text}");
    for strategy in ["select", "poll", "epoll", "epoll-edge"] {
        let lines = stdout.iter().filter(|line| line.split_whitespace().next() == Some(strategy)).count();
        assert_eq!(lines, 2, "{strategy}: {text}");
    }
    assert!(!text.contains("ERRORS") && text.contains("→ "), "{text}");
}

#[test]
fn every_work_gives_good_rows_eagerly_too() {
    let folder = TempDir::new().unwrap();
    let words = ["compare", "--work", "keepalive,close,large,pipelined", "--interest", "eager", "--accept-max", "4"];
    let words = [&words[..], &["--active", "2", "--rounds", "1", "--seconds", "0.2", "--rate", "200"]].concat();
    let (code, stdout, _) = Process::new(command(&words, folder.path())).end();
    assert_eq!(code, Some(0), "{}", stdout.join("\n"));
    // The textbook's changes: for room, and for input again.
    let keepalive = stdout.iter().skip_while(|line| !line.starts_with("keepalive"));
    let changes = keepalive.into_iter().find_map(|line| line.trim().strip_prefix("epoll: ")?.split("changes ").nth(1));
    assert!(changes.is_some_and(|changes| changes.parse::<f64>().unwrap() > 1.5), "{changes:?}");
}

#[test]
fn table_csv_and_json_say_the_same_and_can_be_drawn_again() {
    let folder = TempDir::new().unwrap();
    let words = ["compare", "--idle", "0,10", "--active", "2", "--rounds", "2", "--seconds", "0.2", "--out", "run"];
    let (code, table, stderr) = Process::new(command(&words, folder.path())).end();
    assert_eq!((code, stderr), (Some(0), vec![]), "{}", table.join("\n"));
    let run = lab::files::read(&folder.path().join("run")).unwrap();
    assert_eq!(run.rows.len(), 2 * 4 * 2);
    let csv = std::fs::read_to_string(folder.path().join("run/rounds.csv")).unwrap();
    assert_eq!(csv, lab::files::csv(&run.rows));
    let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let names = lines.next().unwrap();
    let of = |line: &[&str], name: &str| line[names.iter().position(|found| *found == name).unwrap()].to_string();
    for (line, row) in lines.zip(&run.rows) {
        assert_eq!(of(&line, "strategy"), row.strategy);
        assert_eq!(of(&line, "requests"), row.requests.to_string());
        assert_eq!(of(&line, "cpu_us_per_request"), format!("{:.4}", row.cpu()));
    }
    for name in ["cpu-over-idle.svg", "one-wait.svg", "calls.svg", "cliff.svg", "spread.svg", "report.html"] {
        assert!(folder.path().join("run").join(name).exists(), "{name}");
    }
    let report = || std::fs::read_to_string(folder.path().join("run/report.html")).unwrap();
    let before = report();
    let again = ["compare", "--from", "run", "--out", "run"];
    assert_eq!(Process::new(command(&again, folder.path())).end(), (Some(0), table, vec![]));
    assert_eq!(report(), before);
    let (code, both, _) = Process::new(command(&["compare", "--from", "run,run"], folder.path())).end();
    assert_eq!((code, both.iter().filter(|line| line.contains("  1.00  keepalive")).count()), (Some(0), 8));
    let (code, _, stderr) = Process::new(command(&["compare", "--from", "nothing"], folder.path())).end();
    assert!(code == Some(1) && stderr[0].starts_with("error: cannot read nothing/run.json: "), "{stderr:?}");
}

/// The rows of models in one work.
fn of_work(run: &lab::run::Run, work: Work) -> Vec<&lab::row::Row> {
    run.rows.iter().filter(|row| row.cell.work == work).collect()
}

#[test]
fn models_are_compared_with_all_their_processes() {
    let folder = TempDir::new().unwrap();
    let words = ["compare", "--models", "--work", "keepalive,compute", "--active", "4,40", "--rounds", "1"];
    let words = [&words[..], &["--seconds", "0.1", "--out", "run"]].concat();
    let (code, table, stderr) = Process::new(command(&words, folder.path())).end();
    let text = table.join("\n");
    assert_eq!((code, stderr), (Some(0), vec![]), "{text}");
    assert!(!text.contains("ERRORS") && text.contains("→ "), "{text}");
    let run = lab::files::read(&folder.path().join("run")).unwrap();
    for work in [Work::Keepalive, Work::Compute] {
        let names: Vec<_> = of_work(&run, work).iter().map(|row| row.strategy.as_str()).collect();
        assert_eq!(names, MODELS.map(|(name, _)| name).repeat(2), "each in each setting");
    }
    // Whoever computes: its time is that of the work, or it was looked for in the wrong process.
    for row in of_work(&run, Work::Compute) {
        assert!(row.cpu() > 2_000.0, "{}: {} µs", row.strategy, row.cpu());
    }
    let of = |name: &str, active: usize| {
        let rows = of_work(&run, Work::Keepalive);
        *rows.iter().find(|row| row.strategy == name && row.cell.active == active).unwrap()
    };
    // On a machine that has other things to do one of them may seem idle, and give way to the next.
    let starved = |name| of(name, 40).starved();
    assert!(starved("iterative") > 0, "it has one worker: {text}");
    assert_eq!(["reactor", "fork", "threads"].map(starved), [0; 3], "{text}");
    let memory = ["reactor", "threads", "fork"].map(|name| of(name, 40).memory_a_connection().unwrap());
    assert!(memory.is_sorted(), "a slot, a stack and a buffer, pages of its own: {memory:?}");
    for name in ["rate-over-connections.svg", "memory-over-connections.svg", "figures.md", "report.html"] {
        assert!(folder.path().join("run").join(name).exists(), "{name}");
    }
    let csv = std::fs::read_to_string(folder.path().join("run/rounds.csv")).unwrap();
    assert!(csv.starts_with("work,idle,active,offered_per_second,model,"), "{csv}");
    let again = ["compare", "--from", "run", "--out", "run"];
    assert_eq!(Process::new(command(&again, folder.path())).end(), (Some(0), table, vec![]));
}

#[test]
fn models_sleep_by_their_own_means_and_are_asked_beside_what_computes() {
    let folder = TempDir::new().unwrap();
    let words = ["compare", "--models", "--work", "close,sleep,sleep-close,beside", "--active", "8", "--rounds", "1"];
    let words = [&words[..], &["--seconds", "0.1", "--out", "run"]].concat();
    let (code, table, stderr) = Process::new(command(&words, folder.path())).end();
    let text = table.join("\n");
    assert_eq!((code, stderr), (Some(0), vec![]), "{text}");
    let run = lab::files::read(&folder.path().join("run")).unwrap();
    assert_eq!(run.rows.len(), 4 * MODELS.len(), "{text}");
    for row in of_work(&run, Work::Sleep).into_iter().chain(of_work(&run, Work::SleepClose)) {
        let at_a_time = if row.strategy == "iterative" { 1.0 } else { 8.0 };
        let most = at_a_time / SLOW.as_secs_f64();
        assert!(row.requests_per_second <= most * 1.1, "{}: {} a second", row.strategy, row.requests_per_second);
        assert!(row.cpu() < 5_000.0, "{} sleeps, and takes no time: {} µs", row.strategy, row.cpu());
    }
    for row in of_work(&run, Work::Beside) {
        assert_eq!(row.model.unwrap().served, 8, "{}", row.strategy);
        assert!(row.cpu() > 0.0 && row.server.answers >= row.requests, "{}", row.strategy);
    }
}

#[test]
fn a_model_that_has_no_room_is_left_out_and_said_so() {
    let folder = TempDir::new().unwrap();
    let words = ["compare", "--models", "threads,thread-pool", "--active", "300", "--rounds", "2", "--seconds", "0.1"];
    let (code, table, stderr) = Process::new(command(&words, folder.path())).end();
    let text = table.join("\n");
    assert_eq!((code, stderr), (Some(0), vec![]), "{text}");
    let left_out: Vec<_> = table.iter().filter(|line| line.starts_with("Left out: ")).collect();
    assert_eq!(left_out.len(), 1, "once, not once a round: {text}");
    assert!(left_out[0].starts_with("Left out: thread-pool, keepalive, 300 connections: it has no room"), "{text}");
    assert!(table.iter().any(|line| line.split_whitespace().next() == Some("threads")), "{text}");
    assert!(!table.iter().any(|line| line.split_whitespace().next() == Some("thread-pool")), "{text}");
}

#[test]
fn a_model_whose_queue_is_full_of_clients_that_are_gone_is_left_out_and_said_so() {
    struct Nobody;
    impl Watch for Nobody {
        fn total(&mut self, _: u64) {}
        fn at(&mut self, _: &str) {}
        fn done(&mut self, _: u64) {}
    }
    let options = Options {
        idle: vec![],
        active: vec![400],
        work: vec![Work::Sleep],
        rates: vec![],
        contestants: vec![lab::plan::model("iterative").unwrap()],
        rounds: Some(3),
        patience: Duration::from_millis(500), // The queue is one of 400 times 5 ms.
        time: Some(Duration::from_millis(10)),
        accept_max: None,
        updates: Updates::Lazy,
        is_full: false,
        has_out: false,
        command: String::new(),
        program: process::TRIPOLL.into(),
    };
    let run = lab::run::measure(&options, &Interrupt::default(), &mut Nobody).unwrap();
    let why = "iterative, sleep, 400 connections: no answer within 0.5 s before round 2: clients of earlier rounds, which are gone, still stand \
               in its queue; try fewer with --active";
    assert_eq!((run.left_out.last().unwrap().as_str(), run.failures.len()), (why, 0), "{:?}", run.left_out);
    assert!(run.rows.len() == 1 && run.is_good(), "what was measured before stays");
}

#[test]
fn docs_quote_the_reference_run_of_models() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let run = lab::files::read(&folder.join("lab/models")).unwrap();
    let figures = std::fs::read_to_string(folder.join("lab/models/figures.md")).unwrap();
    assert_eq!(
        figures,
        lab::models::markdown(&run),
        "as it is drawn: tripoll compare --from docs/lab/models --out docs/lab/models"
    );
    let quoted = std::fs::read_to_string(folder.join("models.md")).unwrap();
    assert!(quoted.contains(&figures), "docs/lab/models/README.md says how figures come into docs/models.md");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let folder = TempDir::new().unwrap();
    for words in [
        &["compare", "--idle", "x"][..],
        &["compare", "--backends", "kqueue"],
        &["compare", "--work", "dance"],
        &["compare", "--models", "apache"],
        &["compare", "--models", "fork", "--idle", "10"],
        &["compare", "--models", "--backends", "epoll"],
        &["compare", "--models", "--rate", "100"],
        &["compare", "--rounds", "0"],
        &["compare", "--seconds", "0"],
        &["compare", "--interest", "never"],
        &["compare", "--nonsense"],
        &["compare", "folder"],
    ] {
        let (code, stdout, stderr) = Process::new(command(words, folder.path())).end();
        assert_eq!((code, stdout.len()), (Some(2), 0), "{words:?}: {stderr:?}");
    }
}

#[test]
fn a_folder_called_compare_is_a_path() {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("compare")).unwrap();
    let (_process, line, _) = Process::serving(command(&["-p", "0", "./compare"], folder.path()));
    assert!(line.contains("serving ./compare at"), "{line}");
}

/// The process whose words, each ended by NUL, are such, when there is one.
fn process_with(is_it: impl Fn(&str) -> bool) -> String {
    let give_up = Instant::now() + PATIENCE;
    loop {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let found = processes
            .into_iter()
            .find(|one| std::fs::read_to_string(one.path().join("cmdline")).is_ok_and(|words| is_it(&words)));
        if let Some(found) = found {
            return found.file_name().into_string().unwrap();
        }
        assert!(Instant::now() < give_up, "it does not come so far");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_interrupted_run_keeps_what_was_finished() {
    let folder = TempDir::new().unwrap();
    let words =
        ["compare", "--rounds", "20", "--seconds", "0.05", "--backends", "epoll", "--idle", "0,3", "--active", "1"];
    let mut run = command(&words, folder.path());
    run.env("TMPDIR", folder.path());
    let process = Process::new(run);
    // Who holds idle connections comes when the rows without them are finished; nobody else here asks for three.
    process_with(|words| words.contains("--lab-hold") && words.contains(",3\0"));
    process.signal("INT");
    let (code, stdout, stderr) = process.end();
    assert_eq!((code, stderr), (Some(130), vec![]));
    let text = stdout.join("\n");
    assert!(text.contains("Interrupted:") && text.contains("keepalive, 1 active, 0 idle"), "{text}");
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "it leaves nothing behind");
}

#[test]
fn an_interrupt_is_heard_while_idle_connections_are_opened() {
    let folder = TempDir::new().unwrap();
    let words = ["compare", "--backends", "epoll", "--idle", "3001", "--active", "1", "--rounds", "1"];
    let mut run = command(&words, folder.path());
    run.env("TMPDIR", folder.path());
    let process = Process::new(run);
    let holder = process_with(|words| words.contains("--lab-hold") && words.contains(",3001\0"));
    // A holder that stands still never says that all are open.
    assert!(Command::new("kill").args(["-STOP", &holder]).status().unwrap().success());
    process.signal("INT");
    let (code, stdout, stderr) = process.end();
    assert_eq!((code, stderr), (Some(130), vec![]), "{stdout:?}");
    assert!(stdout.join("\n").contains("Interrupted:"), "{stdout:?}");
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "it leaves nothing behind");
}

#[test]
fn a_row_in_which_the_generator_was_the_bottleneck_gives_no_verdict() {
    let folder = TempDir::new().unwrap();
    let words = ["compare", "--idle", "5", "--active", "2", "--rounds", "1", "--seconds", "0.1", "--rate", "200"];
    let words = [&words[..], &["--backends", "poll,epoll", "--out", "run"]].concat();
    let (code, table, _) = Process::new(command(&words, folder.path())).end();
    assert_eq!(code, Some(0), "{}", table.join("\n"));
    let path = folder.path().join("run/run.json");
    let measured = std::fs::read(&path).unwrap();
    // The open loop's own mark is lateness that is large beside what was measured; and others may have had the cores.
    for (share, lateness, delayed, marked, undecided) in [
        (0.2, 0.0, 0.0, 0, 0),
        (0.99, 0.0, 0.0, 1, 1),
        (0.2, 900.0, 0.0, 1, 1),
        (0.99, 900.0, 0.0, 2, 2),
        (0.2, 0.0, 0.5, 0, 1),
    ] {
        let mut run: serde_json::Value = serde_json::from_slice(&measured).unwrap();
        for row in run["rows"].as_array_mut().unwrap() {
            row["generator_share"] = share.into();
            row["server_share"] = 0.5.into();
            row["lateness_p99"] = lateness.into();
            row["p99"] = 1e3.into();
            row["server_delayed_share"] = delayed.into();
            row["generator_delayed_share"] = 0.0.into();
        }
        std::fs::write(&path, run.to_string()).unwrap();
        let (_, table, _) = Process::new(command(&["compare", "--from", "run", "--out", "run"], folder.path())).end();
        let text = table.join("\n");
        let rows = table.iter().filter(|line| line.contains("  * ") && line.ends_with("no verdict")).count();
        let verdicts = table.iter().filter(|line| line.contains("→ ") && line.ends_with("no verdict.")).count();
        assert_eq!((rows, verdicts), (marked * 2, undecided), "{text}");
        assert!(!table.iter().any(|line| line.contains("→ ") && line.contains("cost") && share > 0.9), "{text}");
        let report = std::fs::read_to_string(folder.path().join("run/report.html")).unwrap();
        assert_eq!(report.contains("no verdict"), undecided > 0);
    }
}

#[test]
fn a_sentence_names_those_that_it_speaks_of_where_not_all_have_a_verdict() {
    let folder = TempDir::new().unwrap();
    let words = ["compare", "--idle", "0", "--active", "2", "--rounds", "1", "--seconds", "0.1", "--work", "close"];
    let words = [&words[..], &["--backends", "select,poll,epoll", "--out", "run"]].concat();
    let (code, table, _) = Process::new(command(&words, folder.path())).end();
    assert_eq!(code, Some(0), "{}", table.join("\n"));
    let path = folder.path().join("run/run.json");
    let measured = std::fs::read(&path).unwrap();
    for (share_beside_epoll, who) in [(0.2, "select and poll cost"), (0.99, "the strategies cost")] {
        let mut run: serde_json::Value = serde_json::from_slice(&measured).unwrap();
        for row in run["rows"].as_array_mut().unwrap() {
            let is_marked = share_beside_epoll == 0.2 && row["strategy"] == "epoll";
            row["generator_share"] = if is_marked { 0.99 } else { 0.2 }.into();
            row["server_share"] = 0.5.into();
            row["server"]["user_microseconds"] = 0.into();
            row["server"]["system_microseconds"] = row["server"]["answers"].clone(); // 1 µs a request each.
        }
        std::fs::write(&path, run.to_string()).unwrap();
        let (_, table, _) = Process::new(command(&["compare", "--from", "run"], folder.path())).end();
        assert!(table.iter().any(|line| line.contains("→ ") && line.contains(who)), "{}", table.join("\n"));
    }
}

#[test]
fn descriptors_that_do_not_fit_are_said_and_left_out() {
    let folder = TempDir::new().unwrap();
    let mut run = Command::new("sh");
    let words = "compare --backends epoll --idle 0,300 --active 1 --rounds 1 --seconds 0.1";
    run.args(["-c", &format!("ulimit -n 200 && exec {} {words}", process::TRIPOLL)]).current_dir(folder.path());
    run.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (code, stdout, stderr) = Process::new(run).end();
    let text = stdout.join("\n");
    assert_eq!((code, stderr), (Some(0), vec![]), "{text}");
    assert!(text.contains("Left out: 300 idle connections: a process may have 200 descriptors here"), "{text}");
    assert!(text.contains("keepalive, 1 active, 0 idle") && !text.contains("300 idle, closed"), "{text}");
}

#[test]
fn with_one_core_it_says_what_that_does_to_the_figures() {
    let folder = TempDir::new().unwrap();
    let words = ["compare", "--backends", "epoll", "--idle", "0", "--active", "1", "--rounds", "1", "--seconds", "0.1"];
    // A child may use the cores of the thread that starts it.
    let started = std::thread::scope(|scope| {
        let start = || {
            sys::pin(None, sys::allowed_cores().unwrap()[0]).unwrap();
            Process::new(command(&words, folder.path()))
        };
        scope.spawn(start).join().unwrap()
    });
    let (code, stdout, stderr) = started.end();
    let text = stdout.join("\n");
    assert_eq!((code, stderr), (Some(0), vec![]), "{text}");
    assert!(text.contains("Cores this process may use: 1;"), "{text}");
    assert!(text.contains("Left out: There is one core only: server and generator take turns on it"), "{text}");
}

#[test]
fn the_closed_loop_goes_on_until_as_many_are_answered_as_it_has_connections() {
    let slow = Known::new(|before| {
        if before < 4 {
            std::thread::sleep(Duration::from_millis(300));
        }
        ok()
    });
    // Of 0.8 s three are answered, and the first of them is of before.
    let measured = slow.measure(Pace::Closed, 4, false);
    assert!(measured.requests >= 4 && measured.errors.total() == 0, "{} {:?}", measured.requests, measured.errors);
    assert!(measured.elapsed >= Duration::from_millis(800));
}
