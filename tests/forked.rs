//! What is answered later, or goes on, under every model: work that is offloaded, timers, streams, bodies taken piece by piece.
//!
//! A program without a harness, whose threads would keep the models that fork from forking: called with a model it serves, else it asks one
//! server of each.

mod client;
mod process;

use client::Client;
use process::{PATIENCE, Process};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tripoll::http::{Answer, Sink, StatusCode, Take};
use tripoll::models::Reap;
use tripoll::poller::Trigger;
use tripoll::{HttpServer, Model, Request, Response};

const MODELS: [(&str, Model); 11] = [
    ("reactor", Model::Reactor),
    ("iterative", Model::Iterative),
    ("fork", Model::Fork { reap: Reap::Wait }),
    ("fork_edge", Model::Fork { reap: Reap::Wait }),
    ("fork_double", Model::Fork { reap: Reap::DoubleFork }),
    ("fork_ignore", Model::Fork { reap: Reap::Ignore }),
    ("prefork", Model::Prefork { workers: 2 }),
    ("prefork_edge", Model::Prefork { workers: 2 }),
    ("threads", Model::Threads),
    ("thread_pool", Model::ThreadPool { workers: 2 }),
    ("coroutines", Model::Coroutines),
];

type Fact = fn(SocketAddr);

const FACTS: [(&str, Fact); 5] = [
    ("a_timer_answers", |address| assert_eq!(body(address, "GET /later", ""), "later")),
    ("work_is_done_elsewhere", |address| assert_eq!(body(address, "GET /offload", ""), "done by offload")),
    ("a_stream_goes_on_from_another_thread", |address| {
        let wire = said(address, "GET /stream", "");
        assert!(wire.ends_with("\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"), "{wire}");
    }),
    ("a_body_is_taken_piece_by_piece", |address| {
        assert_eq!(body(address, "POST /count", &"x".repeat(3_000_000)), "3000000");
    }),
    ("a_live_stream_ends_with_its_client_and_keeps_nobody_else", |address| {
        let mut live = TcpStream::connect(address).unwrap();
        live.set_read_timeout(Some(PATIENCE)).unwrap();
        live.write_all(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"data: 2\n\n\r\n") {
            let mut byte = [0];
            live.read_exact(&mut byte).unwrap();
            seen.push(byte[0]);
        }
        drop(live); // An iterative server has nobody else meanwhile; now it has.
        assert_eq!(body(address, "GET /later", ""), "later");
    }),
];

fn main() {
    let mut arguments = std::env::args().skip(1);
    if let (Some("serve"), Some(name)) = (arguments.next().as_deref(), arguments.next()) {
        let (_, model) = MODELS.into_iter().find(|(candidate, _)| *candidate == name).expect("it is a model");
        return serve(model, if name.ends_with("_edge") { Trigger::Edge } else { Trigger::Level }).unwrap();
    }
    for (name, _) in MODELS {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["serve", name]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let process = Process::new(command);
        let address = process.stdout.recv_timeout(PATIENCE).unwrap().parse().unwrap();
        for (fact, check) in FACTS {
            println!("test {name}::{fact} ...");
            check(address);
        }
        println!("test {name}::it_comes_to_rest ...");
        if name.starts_with("prefork") {
            end_a_worker(process.child.id());
        }
        await_rest(process.child.id());
    }
    println!("all of {} facts under {} models hold", FACTS.len(), MODELS.len());
}

fn serve(model: Model, trigger: Trigger) -> tripoll::Result<()> {
    let server = HttpServer::without_files("127.0.0.1:0")
        .model(model)
        .trigger(trigger)
        .route("GET", "/later", |_| Answer::after(Duration::from_millis(20), || Response::text("later")))
        .route("GET", "/offload", |_| {
            Answer::offload(|| {
                let thread = std::thread::current();
                Response::text(format!("done by {}", thread.name().unwrap_or_default()))
            })
        })
        .route("GET", "/stream", |_| {
            Response::stream("text/plain", 1000, |sender| {
                std::thread::spawn(move || {
                    sender.send(*b"one").unwrap();
                    std::thread::sleep(Duration::from_millis(20)); // So that the second comes alone.
                    sender.send(*b"two").unwrap();
                });
            })
        })
        .route("GET", "/live", |_| {
            Response::events(1000, |events| {
                std::thread::spawn(move || {
                    for number in 0.. {
                        std::thread::sleep(Duration::from_millis(10));
                        if events.send(&tripoll::http::Event::new(number.to_string())).is_err() {
                            return;
                        }
                    }
                });
            })
        })
        .route_sink("POST", "/count", |_| Ok(Box::new(Count(0))))
        .bind()?;
    println!("{}", server.addresses()[0]);
    server.run()
}

struct Count(usize);

impl Sink for Count {
    fn piece(&mut self, piece: &[u8], _: &dyn Fn() -> std::task::Waker) -> Take {
        self.0 += piece.len();
        Take::More
    }

    fn finish(self: Box<Self>, _: &Request<'_>) -> Answer {
        Response::text(self.0.to_string()).with_status(StatusCode::OK).into()
    }
}

#[track_caller]
fn body(address: SocketAddr, request: &str, content: &str) -> String {
    let mut client = Client::new(address);
    client.send(format!("{request} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{content}", content.len()));
    let answer = client.answer(false);
    assert_eq!(answer.status, 200, "{request}");
    String::from_utf8(answer.body).unwrap()
}

/// Of a server that employs some, which sees that one is missing.
fn end_a_worker(server: u32) {
    let parent_of = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok()
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let worker = pids.find(|pid| parent_of(*pid) == Some(server)).expect("it has workers");
    assert!(Command::new("kill").args(["-KILL", &worker.to_string()]).status().unwrap().success());
}

/// Waits until the process sleeps however often one looks: who spins is ready to run (proc_pid_stat(5)).
fn await_rest(pid: u32) {
    let is_asleep = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit_once(") ").unwrap().1.starts_with('S')
    };
    let give_up = Instant::now() + PATIENCE;
    let mut looks_asleep = 0;
    while looks_asleep < 50 {
        assert!(Instant::now() < give_up, "it spins");
        std::thread::sleep(Duration::from_millis(1));
        looks_asleep = if is_asleep() { looks_asleep + 1 } else { 0 };
    }
}

/// All of an answer that goes on.
fn said(address: SocketAddr, request: &str, fields: &str) -> String {
    let mut client = Client::new(address);
    client.send(format!("{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n"));
    String::from_utf8(client.rest(false)).unwrap()
}
