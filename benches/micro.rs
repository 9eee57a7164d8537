//! What the parts cost alone: reading a head, feeding a link, one wait by each strategy beside idle descriptors. Times vary with the
//! machine; `benches/instructions.rs` counts what does not.
//!
//! `cargo bench --bench micro`; `cargo bench --bench micro -- wait` for one group. Beside the waits stands the kernel's own cost: the
//! same calls in C, over the same kind of descriptors.

mod browser;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::io::Write;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;
use tripoll::files::{self, Files};
use tripoll::http::{Answer, Limits, Listener, Request, Response, Service, Storage, find_end, parse_head};
use tripoll::poller::{Interest, Strategy, Token};
use tripoll::protocol::{Cue, Driver, Link, Now, Outbox};
use tripoll::router::{Endpoint, Router};

const WRK: &[u8] = b"GET /1k.txt HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n";

fn browser_request() -> Vec<u8> {
    format!("GET /1k.txt HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n{}\r\n", browser::FIELDS).into_bytes()
}

struct Hello;

impl Service for Hello {
    fn respond(&self, _: &Request<'_>) -> Answer {
        Response::text("Hello, world\n").into()
    }
}

fn head(c: &mut Criterion) {
    let limits = Limits::default();
    let mut group = c.benchmark_group("head");
    for (name, wire) in [("wrk", WRK.to_vec()), ("browser", browser_request())] {
        group.throughput(Throughput::Bytes(wire.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let end = find_end(black_box(wire.as_slice()), &mut 0, &limits).unwrap().unwrap();
                let mut storage = Storage::new();
                assert!(parse_head(&wire[..end], &mut storage).unwrap().keep_alive);
            });
        });
    }
    group.finish();
}

fn link_feed(c: &mut Criterion) {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("1k.txt"), [b'x'; 1024]).unwrap();
    // As if it were later: a file that was written just now is not kept.
    let now = Now { monotonic: Instant::now(), wall: SystemTime::now() + Duration::from_secs(1) };
    let files = || Files::new(folder.path(), files::Options::default()).unwrap();
    let mut router = Router::new(files());
    router.add("GET", "/hello/{name}", Endpoint::new(|request| Response::text(request.param("name")))).unwrap();
    let (hello, files, router): (Arc<dyn Service>, Arc<dyn Service>, Arc<dyn Service>) =
        (Arc::new(Hello), Arc::new(files()), Arc::new(router));
    let waker = || Waker::noop().clone();
    let mut group = c.benchmark_group("link_feed");
    for (name, service, wire) in [
        ("one request", &hello, WRK.to_vec()),
        ("browser", &hello, browser_request()),
        ("16 pipelined", &hello, WRK.repeat(16)),
        ("kept file", &files, WRK.to_vec()),
        ("kept file, browser", &files, browser_request()),
        ("route", &router, b"GET /hello/world HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n".to_vec()),
    ] {
        let listener = Listener::new(service.clone(), Limits::default());
        let mut link = Link::new(Box::new(listener.connection("127.0.0.1:9".parse().unwrap())));
        let mut out = Outbox::default();
        link.cue(Cue::Opened, &mut Driver { now, out: &mut out, deadline: None, waker: &waker });
        group.bench_function(name, |b| {
            b.iter(|| {
                link.feed(black_box(&wire), &mut Driver { now, out: &mut out, deadline: None, waker: &waker });
                assert!(out.queued() > 100, "it answered");
                out.clear();
            });
        });
    }
    group.finish();
}

fn wait(c: &mut Criterion) {
    tripoll::sys::raise_descriptor_limit().unwrap();
    let mut group = c.benchmark_group("wait");
    group.measurement_time(Duration::from_secs(3));
    for idle in [10usize, 1_000, 10_000] {
        // Unconnected UDP sockets are idle for ever, and cost one descriptor each.
        let sockets: Result<Vec<_>, _> = (0..idle).map(|_| UdpSocket::bind("127.0.0.1:0")).collect();
        let Ok(sockets) = sockets else {
            let _ = writeln!(std::io::stderr(), "skipped: wait beside {idle} idle: the descriptor limit is too low");
            continue;
        };
        let (ready, mut peer) = UnixStream::pair().unwrap();
        peer.write_all(b"x").unwrap();
        for strategy in Strategy::ALL {
            let mut poller = strategy.open().unwrap();
            let fds = sockets.iter().map(AsFd::as_fd).chain([ready.as_fd()]);
            for (index, fd) in fds.enumerate() {
                poller.add(fd, Token { index: index as u32, generation: 0 }, Interest::READ).unwrap();
            }
            let mut events = Vec::new();
            // The edge trigger is told at first that all of them are writable, a few hundred a wait.
            for _ in 0..idle.div_ceil(100) {
                poller.wait(&mut events, Some(Duration::ZERO)).unwrap();
            }
            group.bench_function(BenchmarkId::new(strategy.to_string(), idle), |b| {
                b.iter(|| {
                    poller.wait(&mut events, None).unwrap();
                    assert_eq!(events.len(), 1);
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, head, link_feed, wait);
criterion_main!(benches);
