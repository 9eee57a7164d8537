//! Answers that go on, answers that come later, bodies that are taken piece by piece, another protocol: on a link with a clock of ours, and over
//! sockets on every backend.

mod backends;
mod client;
mod echo;
mod orders;
mod running;
mod wire;

use backends::{on_every_backend, on_every_loop};
use client::{Answer, Client, read_answer};
use orders::pattern;
use running::{Running, Way};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::task::Waker;
use std::time::{Duration, UNIX_EPOCH};
use tripoll::coroutine::{sleep, spawn};
use tripoll::http::{self, Body, Event, Events, Listener, Reject, Sink, StatusCode, Stream, Take};
use tripoll::poller::Strategy;
use tripoll::protocol::{Chunk, Cue, MinRate, SendError, Sender};
use tripoll::reactor::{self, Shutdown};
use tripoll::router::{Endpoint, Router};
use tripoll::{HttpServer, Request, Response, offload};
use wire::Wire;

on_every_loop! {
    a_stream_goes_on_as_its_sender_sends,
    a_full_stream_says_so_and_loses_nothing,
    a_stream_that_breaks_off_is_not_completed,
    a_client_that_takes_nothing_can_be_cut_off,
    a_client_that_is_gone_ends_its_stream,
    an_answer_that_comes_later_keeps_nobody_waiting,
    what_blocks_is_done_beside_the_loop,
    work_that_does_not_fit_is_refused,
    a_body_is_taken_as_fast_as_its_sink_takes_it,
    a_body_is_refused_before_it_is_sent,
    a_sink_whose_body_is_cut_off_is_dropped_unfinished,
    a_server_that_goes_down_ends_what_has_no_end_and_completes_the_rest,
    another_protocol_takes_the_connection_over,
}

const BOUND: usize = 64 * 1024;

/// A router that answers 404 where it has no route.
fn router() -> Router {
    struct Nothing;
    impl http::Service for Nothing {
        fn respond(&self, _: &Request<'_>) -> http::Answer {
            Reject::NotFound.into()
        }
    }
    Router::new(Nothing)
}

/// Counts the bytes of a body, and may be slow or choosy about it.
struct Counting {
    bytes: usize,
    max: usize,
    /// Each piece is followed by a pause, which whoever has this ends; `None`: by none.
    pauses: Option<Arc<dyn Fn(Pause) + Send + Sync>>,
    is_ready: Arc<AtomicBool>,
}

/// A pause: it ends when the flag is set and the waker used.
struct Pause {
    is_over: Arc<AtomicBool>,
    waker: Waker,
}

impl Counting {
    fn new() -> Counting {
        Counting { bytes: 0, max: usize::MAX, pauses: None, is_ready: Arc::default() }
    }
}

impl Sink for Counting {
    fn piece(&mut self, piece: &[u8], waker: &dyn Fn() -> Waker) -> Take {
        self.bytes += piece.len();
        if self.bytes > self.max {
            return Take::Refuse(Response::text("enough\n").with_status(StatusCode::PAYLOAD_TOO_LARGE));
        }
        let Some(pauses) = &self.pauses else { return Take::More };
        self.is_ready = Arc::default();
        pauses(Pause { is_over: self.is_ready.clone(), waker: waker() });
        Take::Pause
    }

    fn is_ready(&mut self) -> bool {
        self.is_ready.load(Ordering::SeqCst)
    }

    fn finish(self: Box<Self>, request: &Request<'_>) -> http::Answer {
        let is_paused = self.pauses.is_some() && self.bytes > 0 && !self.is_ready.load(Ordering::SeqCst);
        assert!(!is_paused, "nothing comes in a pause");
        Response::text(format!("{} of {:?}\n", self.bytes, request.content_length())).into()
    }
}

// ---- On a link ----

/// Requests of all kinds, one behind the other.
const ALL_KINDS: &str = "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n\
    PUT /sink HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n0123456789\
    GET /later HTTP/1.1\r\nHost: h\r\n\r\n\
    PUT /slow HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n\
    HEAD /stream HTTP/1.1\r\nHost: h\r\n\r\n\
    PUT /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nxy\
    GET /chunks HTTP/1.1\r\nHost: h\r\n\r\n\
    PUT /sink HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n\
    GET /stream HTTP/1.0\r\n\r\n";

fn all_kinds() -> Listener {
    let mut router = router();
    let mut add = |method, path, endpoint| router.add(method, path, endpoint).unwrap();
    let three = |sender: Sender| ["one ", "two ", "three"].map(|part| sender.send(part.as_bytes()).unwrap());
    add(
        "GET",
        "/stream",
        Endpoint::new(move |_| {
            Response::stream("text/plain", BOUND, move |sender| {
                three(sender);
            })
        }),
    );
    add("GET", "/later", Endpoint::new(|_| http::Answer::after(Duration::from_secs(1), || Response::text("late"))));
    add(
        "GET",
        "/chunks",
        Endpoint::new(|_| {
            let chunks = (0..5).map(|n| Ok(Chunk::Bytes(vec![b'0' + n; usize::from(n)])));
            Response::of_type("text/plain").with_body(Body::Stream(Stream::of_chunks(chunks)))
        }),
    );
    add("PUT", "/sink", Endpoint::Opener(Arc::new(|_| Ok(Box::new(Counting::new())))));
    let at_once = |pause: Pause| pause.is_over.store(true, Ordering::SeqCst);
    let slow = move || Counting { pauses: Some(Arc::new(at_once)), ..Counting::new() };
    add("PUT", "/slow", Endpoint::Opener(Arc::new(move |_| Ok(Box::new(slow())))));
    Listener::new(Arc::new(router), http::Limits::default())
}

/// Its answers, read strictly; the last may be ended by the connection's close alone.
fn read_all(mut sent: &[u8], heads: &[usize]) -> Vec<(u16, String)> {
    let mut answers = Vec::new();
    while !sent.is_empty() {
        let is_close_delimited =
            !sent.windows(16).any(|window| window == b"Content-Length: " || window == b"ransfer-Encoding");
        if is_close_delimited {
            let end = sent.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
            answers.push((200, String::from_utf8_lossy(&sent[end + 4..]).into_owned()));
            break;
        }
        let (Answer { status, body, .. }, length) =
            read_answer(sent, heads.contains(&answers.len())).unwrap().expect("the answer is whole");
        answers.push((status, String::from_utf8(body).unwrap()));
        sent = &sent[length..];
    }
    answers
}

/// Whoever waits for time or a waker gets both, again and again.
fn settle(link: &mut Wire) {
    for _ in 0..4 {
        link.cue(Cue::Woken);
        link.wait(Duration::from_secs(1));
    }
}

#[test]
fn where_the_network_cuts_does_not_matter_to_answers_that_take_their_time() {
    let (wire, listener) = (ALL_KINDS.as_bytes(), all_kinds());
    let answers_to = |pieces: &[&[u8]]| {
        let mut link = Wire::new(&listener, UNIX_EPOCH);
        for piece in pieces {
            link.feed(piece);
            link.cue(Cue::Woken);
        }
        (0..wire.len() / 40).for_each(|_| settle(&mut link));
        assert!(!link.is_open(), "HTTP/1.0 ends it");
        read_all(&link.sent, &[4])
    };
    let whole = answers_to(&[wire]);
    let want = [
        (200, "one two three"),
        (200, "10 of Some(10)\n"),
        (200, "late"),
        (200, "7 of None\n"),
        (200, ""),
        (200, "2 of Some(2)\n"),
        (200, "1223334444"),
        (200, "0 of Some(0)\n"),
        (200, "one two three"),
    ];
    assert_eq!(whole, want.map(|(status, body)| (status, body.to_string())));
    for cut in 0..=wire.len() {
        assert_eq!(answers_to(&[&wire[..cut], &wire[cut..]]), whole, "cut at byte {cut}");
    }
    assert_eq!(answers_to(&wire.chunks(1).collect::<Vec<_>>()), whole, "one byte at a time");
}

#[test]
fn an_answer_comes_when_it_is_time_and_to_who_says_no_more_too() {
    let mut link = Wire::new(&all_kinds(), UNIX_EPOCH);
    link.feed(b"GET /later HTTP/1.1\r\nHost: h\r\n\r\nGET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    link.end_of_input();
    link.wait(Duration::from_millis(999));
    link.cue(Cue::DeadlinePassed); // It is not.
    assert!(link.sent.is_empty());
    link.wait(Duration::from_millis(1));
    let want = [(200, "late".to_string()), (200, "one two three".to_string())];
    assert_eq!((read_all(&link.sent, &[]).as_slice(), link.is_open()), (want.as_slice(), false));
}

#[test]
fn a_request_that_waits_is_held_to_the_bounds_of_a_head() {
    let limits = http::Limits { head_bytes_max: 200, ..http::Limits::default() };
    for (waiting, is_taken) in [(199, true), (200, false)] {
        let mut router = router();
        let later = Endpoint::new(|_| http::Answer::after(Duration::from_secs(1), || Response::text("late")));
        router.add("GET", "/later", later).unwrap();
        let mut link = Wire::new(&Listener::new(Arc::new(router), limits.clone()), UNIX_EPOCH);
        link.feed(b"GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(!link.wants_input(), "nothing is read behind it");
        link.feed(&vec![b'x'; waiting]);
        link.wait(Duration::from_secs(1));
        let statuses: Vec<_> = read_all(&link.sent, &[]).iter().map(|(status, _)| *status).collect();
        assert_eq!(statuses[0], 200, "{waiting} bytes wait");
        assert_eq!(statuses.len() == 1, is_taken, "{waiting} bytes wait: {statuses:?}");
    }
}

#[test]
fn a_deadline_that_passes_for_nothing_ends_no_body_whose_sink_is_busy() {
    let (tell, told) = mpsc::channel::<Pause>();
    let mut router = router();
    let pauses: Arc<dyn Fn(Pause) + Send + Sync> = Arc::new(move |pause| tell.send(pause).unwrap());
    let slow = move || Counting { pauses: Some(pauses.clone()), ..Counting::new() };
    router.add("PUT", "/slow", Endpoint::Opener(Arc::new(move |_| Ok(Box::new(slow()))))).unwrap();
    let mut link = Wire::new(&Listener::new(Arc::new(router), http::Limits::default()), UNIX_EPOCH);
    link.feed(b"PUT /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na");
    link.wait(Duration::from_secs(3_600));
    link.cue(Cue::DeadlinePassed);
    assert_eq!((link.sent.len(), link.is_open()), (0, true), "its client has nothing to do with it");
    for piece in ["", "b"] {
        link.feed(piece.as_bytes());
        told.recv().unwrap().is_over.store(true, Ordering::SeqCst);
        link.cue(Cue::Woken);
    }
    assert_eq!(read_all(&link.sent, &[]), [(200, "2 of Some(2)\n".to_string())]);
}

/// A link with a stream of events, and the end to send them by.
fn events() -> (Wire, Events) {
    let (mut link, told) = awaiting_events();
    link.feed(EVENTS.as_bytes());
    (link, told.recv().unwrap())
}

const EVENTS: &str = "GET /events HTTP/1.1\r\nHost: h\r\nLast-Event-ID: 7\r\n\r\n";

/// Not asked yet.
fn awaiting_events() -> (Wire, Receiver<Events>) {
    let (tell, told) = mpsc::sync_channel(1);
    let mut router = router();
    let endpoint = move |request: &Request<'_>| {
        assert_eq!(request.last_event_id(), Some("7"));
        let tell = tell.clone();
        Response::events(BOUND, move |events| tell.send(events).unwrap())
    };
    router.add("GET", "/events", Endpoint::new(endpoint)).unwrap();
    (Wire::new(&Listener::new(Arc::new(router), http::Limits::default()), UNIX_EPOCH), told)
}

/// What came since the last look, as chunks lie on the wire.
fn news(link: &mut Wire) -> String {
    String::from_utf8(std::mem::take(&mut link.sent)).unwrap()
}

#[test]
fn silence_is_filled_with_heartbeats() {
    let (mut link, events) = events();
    let head = news(&mut link);
    assert!(head.contains("\r\nContent-Type: text/event-stream\r\n"), "{head}");
    assert!(head.contains("\r\nCache-Control: no-store\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    let (second, beat) = (Duration::from_secs(1), "3\r\n:\n\n\r\n");
    link.wait(14 * second);
    assert_eq!(news(&mut link), "");
    link.wait(second);
    assert_eq!(news(&mut link), beat);
    link.wait(14 * second);
    events.send(&Event::new("hi")).unwrap();
    link.cue(Cue::Woken);
    assert_eq!(news(&mut link), "a\r\ndata: hi\n\n\r\n");
    link.wait(14 * second);
    assert_eq!(news(&mut link), "", "an event is a heartbeat too");
    link.wait(second);
    assert_eq!(news(&mut link), beat);
    assert!(link.is_live(), "its pace is not the client's");
    drop(events);
    link.cue(Cue::Woken);
    assert_eq!((news(&mut link).as_str(), link.is_open(), link.is_live()), ("0\r\n\r\n", true, false));
}

#[test]
fn what_has_no_end_ends_with_the_client_and_with_the_server() {
    for cue in [Cue::EndOfInput, Cue::ShuttingDown] {
        let (mut link, events) = events();
        news(&mut link);
        match cue {
            Cue::EndOfInput => link.end_of_input(),
            cue => link.cue(cue),
        }
        assert_eq!((news(&mut link).as_str(), link.is_open()), ("0\r\n\r\n", false), "{cue:?}");
        assert!(!events.is_open(), "{cue:?}");
    }
}

/// A live answer that comes later, to a client that asks nothing more: only the server's end, or the client's, is its end.
#[test]
fn what_is_live_and_comes_later_ends_with_the_server_alone() {
    for goes_down in [false, true] {
        let (tell, told) = mpsc::sync_channel(1);
        let mut router = router();
        let endpoint = move |_: &Request<'_>| {
            let tell = tell.clone();
            http::Answer::after(Duration::ZERO, move || {
                Response::events(BOUND, move |events| tell.send(events).unwrap())
            })
        };
        router.add("GET", "/later", Endpoint::new(endpoint)).unwrap();
        let mut link = Wire::new(&Listener::new(Arc::new(router), http::Limits::default()), UNIX_EPOCH);
        link.feed(b"GET /later HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        if goes_down {
            link.cue(Cue::ShuttingDown);
        }
        link.wait(Duration::ZERO);
        let said = news(&mut link);
        assert_eq!((said.ends_with("\r\n\r\n0\r\n\r\n"), link.is_open()), (goes_down, !goes_down), "{said}");
        assert!(said.contains("\r\nConnection: close\r\n"), "{said}");
        assert_eq!(told.recv().unwrap().is_open(), !goes_down);
    }
}

/// Its request was on its way when the server began to go down.
#[test]
fn what_has_no_end_ends_at_once_where_the_server_goes_down_already() {
    for begun in [0, 10] {
        let (mut link, told) = awaiting_events();
        link.feed(&EVENTS.as_bytes()[..begun]);
        link.cue(Cue::ShuttingDown);
        link.feed(&EVENTS.as_bytes()[begun..]);
        let said = news(&mut link);
        assert!(said.contains("\r\nConnection: close\r\n") && said.ends_with("\r\n\r\n0\r\n\r\n"), "{said}");
        assert!(!link.is_open() && !told.recv().unwrap().is_open());
    }
}

#[test]
fn who_counts_answers_is_told_of_a_stream_when_it_is_over() {
    let told = std::rc::Rc::<std::cell::RefCell<Vec<_>>>::default();
    let note = told.clone();
    let listener = all_kinds().on_answer(move |answered| {
        let path = answered.request.map(|request| request.path().to_string());
        note.borrow_mut().push((path.unwrap_or_default(), answered.status.as_u16(), answered.body_bytes));
    });
    let mut link = Wire::new(&listener, UNIX_EPOCH);
    link.feed(
        b"GET /stream HTTP/1.1\r\nHost: h\r\n\r\nHEAD /stream HTTP/1.1\r\nHost: h\r\n\r\nGET /chunks HTTP/1.0\r\n\r\n",
    );
    let want = [("/stream", 200, 13), ("/stream", 200, 0), ("/chunks", 200, 10)];
    assert_eq!(*told.borrow(), want.map(|(path, status, bytes)| (path.to_string(), status, bytes)));
}

// ---- Over sockets ----

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

/// A server with one route whose stream's sender comes out of the channel.
fn streaming(way: Way, bound: usize) -> (Running, Receiver<Sender>) {
    let (tell, told) = mpsc::sync_channel(1);
    let running = Running::new(way, move |server| {
        server.route("GET", "/stream", move |_| {
            let tell = tell.clone();
            Response::stream("application/octet-stream", bound, move |sender| tell.send(sender).unwrap())
        })
    });
    (running, told)
}

fn a_stream_goes_on_as_its_sender_sends(way: Way) {
    let (running, senders) = streaming(way, BOUND);
    let mut client = Client::new(running.address);
    client.send(get("/stream") + &get("/hello"));
    let sender = senders.recv().unwrap();
    client.until(b"\r\n\r\n");
    for part in ["one", "two"] {
        sender.send(part.as_bytes()).unwrap();
        client.until(format!("3\r\n{part}\r\n").as_bytes());
    }
    drop(sender);
    client.until(b"0\r\n\r\n");
    assert_eq!(client.answer(false).body, b"hello", "what waited behind it");
}

#[test]
fn a_handler_of_a_coroutine_spawns_others() {
    for strategy in Strategy::ALL {
        let running = Running::new(Way::coroutines(strategy), |server| {
            server.route("GET", "/ticks", |_| {
                Response::stream("text/plain", BOUND, |sender| {
                    drop(spawn(async move {
                        for tick in ["one ", "two"] {
                            sleep(Duration::from_millis(5)).await;
                            sender.send(tick.as_bytes()).unwrap();
                        }
                    }));
                })
            })
        });
        let mut client = Client::new(running.address);
        client.send("GET /ticks HTTP/1.0\r\n\r\n");
        let said = String::from_utf8(client.rest(false)).unwrap();
        assert!(said.ends_with("\r\n\r\none two"), "{strategy}: {said}");
    }
}

fn a_full_stream_says_so_and_loses_nothing(way: Way) {
    let (running, senders) = streaming(way, BOUND);
    let mut client = Client::new(running.address);
    client.send(get("/stream"));
    let sender = senders.recv().unwrap();
    let all = pattern(64 * 1024 * 1024);
    // More than the pipe, the outbox and both sockets hold: it is full some time, since nobody reads.
    let is_taken = |piece: &&[u8]| sender.send(*piece).map_err(|error| assert_eq!(error, SendError::Full)).is_ok();
    let sent_bytes: usize = all.chunks(10_000).take_while(is_taken).map(<[u8]>::len).sum();
    assert!(sent_bytes < all.len());
    drop(sender);
    let answer = client.answer(false);
    assert_eq!(answer.body.len(), sent_bytes);
    assert!(answer.body == all[..sent_bytes], "nothing lost, repeated or moved");
}

fn a_stream_that_breaks_off_is_not_completed(way: Way) {
    let (running, senders) = streaming(way, BOUND);
    for path in ["cut", "panic", "source"] {
        let broken = Running::new(way, |server| {
            server.route("GET", "/source", |_| {
                let chunks = [Ok(Chunk::Bytes(b"part".to_vec())), Err(io::Error::other("as asked"))];
                Response::of_type("text/plain").with_body(Body::Stream(Stream::of_chunks(chunks.into_iter())))
            })
        });
        let mut client = Client::new(if path == "source" { broken.address } else { running.address });
        client.send(get(if path == "source" { "/source" } else { "/stream" }));
        if path != "source" {
            let sender = senders.recv().unwrap();
            sender.send(*b"part").unwrap();
            client.until(b"4\r\npart\r\n");
            if path == "cut" {
                sender.cut();
            } else {
                let panicking = std::thread::spawn(move || {
                    let _sender = sender;
                    std::panic::resume_unwind(Box::new("as asked")); // Prints nothing.
                });
                panicking.join().unwrap_err();
            }
        }
        let rest = client.rest(false);
        assert!(!rest.ends_with(b"0\r\n\r\n"), "{path}: {}", rest.escape_ascii());
    }
}

fn a_client_that_takes_nothing_can_be_cut_off(way: Way) {
    let (tell, senders) = mpsc::sync_channel(1);
    let (note, noted) = mpsc::sync_channel(1);
    let running = Running::new(way, move |server| {
        let stream = move |_: &Request<'_>| {
            let tell = tell.clone();
            Response::stream("text/plain", BOUND, move |sender| tell.send(sender).unwrap())
        };
        // By no timeout of its own.
        let send_timeout = Duration::from_secs(3_600);
        let limits = reactor::Limits { send_timeout, send_rate_min: MinRate::NONE, ..reactor::Limits::default() };
        let server = server.route("GET", "/stream", stream).loop_limits(limits);
        server.on_answer(move |answered| note.send(answered.body_bytes).unwrap())
    });
    let mut client = Client::new(running.address);
    client.send(get("/stream"));
    let sender = senders.recv().unwrap();
    // Full again and again: it is not the loop that has yet to come, but the client.
    let piece = vec![b'x'; 10_000];
    let mut times_full = 0;
    while times_full < 10_000 {
        times_full = if sender.send(piece.clone()).is_ok() { 0 } else { times_full + 1 };
        std::thread::yield_now();
    }
    assert_eq!(noted.try_recv(), Err(mpsc::TryRecvError::Empty));
    sender.cut();
    // Told of when it is over, though nothing was read.
    noted.recv_timeout(Duration::from_secs(60)).expect("it is cut off");
}

fn a_client_that_is_gone_ends_its_stream(way: Way) {
    let (tell, told) = mpsc::sync_channel(1);
    let running = Running::new(way, move |server| {
        server.route("GET", "/events", move |_| {
            let tell = tell.clone();
            Response::events(BOUND, move |events| tell.send(events).unwrap())
        })
    });
    let mut client = Client::new(running.address);
    client.send(get("/events"));
    let events = told.recv().unwrap();
    client.until(b"\r\n\r\n");
    drop(client);
    while events.is_open() {
        std::thread::yield_now(); // Without a byte sent: that the client closed is enough.
    }
    assert_eq!(events.send(&Event::new("hi")), Err(SendError::Closed));
}

fn an_answer_that_comes_later_keeps_nobody_waiting(way: Way) {
    let running = Running::new(way, |server| {
        server.route("GET", "/later", |_| http::Answer::after(Duration::from_millis(300), || Response::text("late")))
    });
    let mut patient = Client::new(running.address);
    patient.send(get("/later") + &get("/hello"));
    // Half-closed: it gets its answers all the same.
    let patient = std::thread::spawn(move || patient.rest(true));
    let mut other = Client::new(running.address);
    for _ in 0..3 {
        other.send(get("/hello"));
        assert_eq!(other.answer(false).body, b"hello");
    }
    let answers: Vec<_> = read_all(&patient.join().unwrap(), &[]).into_iter().map(|(_, body)| body).collect();
    assert_eq!(answers, ["late", "hello"]);
}

/// A job that says that it began, and ends when it is let.
fn held_work(begun: &SyncSender<SyncSender<()>>) -> Response {
    let (release, released) = mpsc::sync_channel(1);
    begun.send(release).unwrap();
    released.recv().unwrap();
    Response::text("worked")
}

/// A server whose `/work` says when it begins, and that has as many threads and places as given.
fn working(way: Way, threads_max: usize, queue_max: usize) -> (Running, Receiver<SyncSender<()>>) {
    let (begun, begins) = mpsc::sync_channel(9);
    let running = Running::new(way, move |server| {
        let work = move |_: &Request<'_>| {
            let begun = begun.clone();
            http::Answer::offload(move || held_work(&begun))
        };
        let panic = |_: &Request<'_>| http::Answer::offload(|| std::panic::resume_unwind(Box::new("as asked")));
        let limits = offload::Limits { threads_max, queue_max };
        server.route("GET", "/work", work).route("GET", "/panic", panic).offload_limits(limits)
    });
    (running, begins)
}

fn what_blocks_is_done_beside_the_loop(way: Way) {
    let (running, begins) = working(way, 2, 0);
    let mut waiting = Client::new(running.address);
    waiting.send(get("/work") + &get("/hello"));
    let release = begins.recv().unwrap();
    let mut other = Client::new(running.address);
    other.send(get("/hello") + &get("/panic") + &get("/hello"));
    let statuses: Vec<_> = (0..3).map(|_| other.answer(false).status).collect();
    assert_eq!(statuses, [200, 500, 200], "while a thread is at work");
    release.send(()).unwrap();
    assert_eq!((waiting.answer(false).body, waiting.answer(false).body), (b"worked".to_vec(), b"hello".to_vec()));
}

fn work_that_does_not_fit_is_refused(way: Way) {
    let (running, begins) = working(way, 1, 1);
    let ask = || {
        let mut client = Client::new(running.address);
        client.send(get("/work"));
        client
    };
    let mut first = ask();
    let release = begins.recv().unwrap();
    // One of these waits, the other finds no place.
    let (mut second, mut third) = (ask(), ask());
    let release_the_next = || {
        release.send(()).unwrap();
        begins.recv().unwrap().send(()).unwrap();
    };
    // Which of the two came first is the kernel's to say: the refusal comes before anybody is let go.
    let refused = std::thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        for client in [&mut second, &mut third] {
            let tell = tell.clone();
            scope.spawn(move || tell.send(client.answer(false).status).unwrap());
        }
        let refused = told.recv().unwrap();
        release_the_next();
        (refused, told.recv().unwrap())
    });
    assert_eq!((refused, first.answer(false).status), ((503, 200), 200));
}

fn a_body_is_taken_as_fast_as_its_sink_takes_it(way: Way) {
    let (tell, told) = mpsc::channel::<Pause>();
    let pauses: Arc<dyn Fn(Pause) + Send + Sync> = Arc::new(move |pause| tell.send(pause).unwrap());
    let running = Running::new(way, move |server| {
        server.route_sink("PUT", "/slow", move |_| {
            Ok(Box::new(Counting { pauses: Some(pauses.clone()), ..Counting::new() }))
        })
    });
    // Each pause is ended from elsewhere, after a wake for nothing.
    let waking = std::thread::spawn(move || {
        for pause in told {
            pause.waker.wake_by_ref();
            std::thread::yield_now();
            pause.is_over.store(true, Ordering::SeqCst);
            pause.waker.wake();
        }
    });
    const BYTES: usize = 3_000_000;
    let mut client = Client::new(running.address);
    client.send(format!("PUT /slow HTTP/1.1\r\nHost: h\r\nContent-Length: {BYTES}\r\n\r\n"));
    client.send(vec![b'x'; BYTES]);
    assert_eq!(client.answer(false).body, format!("{BYTES} of Some({BYTES})\n").as_bytes());
    client.send("PUT /slow HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    for size in [1, 70_000, 300_000] {
        client.send([format!("{size:x}\r\n").as_bytes(), &vec![b'x'; size], b"\r\n"].concat());
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.answer(false).body, b"370001 of None\n");
    drop(running);
    waking.join().unwrap();
}

fn a_body_is_refused_before_it_is_sent(way: Way) {
    let running = Running::new(way, |server| {
        server.route_sink("PUT", "/small", |request| match request.content_length() {
            Some(11..) => Err(Reject::ContentTooLarge.into()),
            Some(..=10) | None => Ok(Box::new(Counting { max: 10, ..Counting::new() })),
        })
    });
    let put = |fields: &str| format!("PUT /small HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
    for (request, want) in [
        (put("Content-Length: 10\r\n") + "0123456789", 200),
        // It waits for 100, and is told 413.
        (put("Content-Length: 11\r\nExpect: 100-continue\r\n"), 413),
        (put("Content-Length: 99999999999\r\n"), 413),
        // Nobody knew how long it would be.
        (put("Transfer-Encoding: chunked\r\n") + "a\r\n0123456789\r\n1\r\nx\r\n", 413),
        (put("Transfer-Encoding: chunked\r\n") + "a\r\n0123456789\r\n0\r\n\r\n", 200),
    ] {
        let mut client = Client::new(running.address);
        client.send(&request);
        assert_eq!(client.answer(false).status, want, "{request}");
    }
}

/// Says when it is dropped, and whether it was finished.
struct Watched {
    tell: SyncSender<&'static str>,
    is_finished: bool,
    panics: bool,
}

impl Sink for Watched {
    fn piece(&mut self, _: &[u8], _: &dyn Fn() -> Waker) -> Take {
        if self.panics {
            std::panic::resume_unwind(Box::new("as asked")); // Prints nothing.
        }
        Take::More
    }

    fn finish(mut self: Box<Self>, _: &Request<'_>) -> http::Answer {
        self.is_finished = true;
        Response::text("finished").into()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.tell.send(if self.is_finished { "finished" } else { "dropped" }).unwrap();
    }
}

fn a_sink_whose_body_is_cut_off_is_dropped_unfinished(way: Way) {
    let (tell, told) = mpsc::sync_channel(9);
    let running = Running::new(way, move |server| {
        server.route_sink("PUT", "/{name}", move |request| {
            Ok(Box::new(Watched { tell: tell.clone(), is_finished: false, panics: request.param("name") == "panic" }))
        })
    });
    let head = |name: &str, fields: &str| format!("PUT /{name} HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
    for (request, status, fate) in [
        (head("whole", "Content-Length: 3\r\n") + "abc", 200, "finished"),
        (head("cut", "Content-Length: 3\r\n") + "ab", 400, "dropped"),
        (head("malformed", "Transfer-Encoding: chunked\r\n") + "3\r\nabcd\r\n", 400, "dropped"),
        (head("panic", "Content-Length: 3\r\n") + "abc", 500, "dropped"),
    ] {
        let mut client = Client::new(running.address);
        client.send(&request);
        let answers = read_all(&client.rest(true), &[]);
        assert_eq!((answers.len(), answers[0].0, told.recv()), (1, status, Ok(fate)), "{request}");
    }
    // Gone without a word.
    let mut client = Client::new(running.address);
    client.send(head("gone", "Content-Length: 3\r\n") + "a");
    drop(client);
    assert_eq!(told.recv(), Ok("dropped"));
}

fn a_server_that_goes_down_ends_what_has_no_end_and_completes_the_rest(way: Way) {
    let (tell, told) = mpsc::sync_channel(1);
    let (live, lives) = mpsc::sync_channel(1);
    let running = Running::new(way, move |server: HttpServer| {
        let stream = move |_: &Request<'_>| {
            let tell = tell.clone();
            Response::stream("text/plain", BOUND, move |sender| tell.send(sender).unwrap())
        };
        let events = move |_: &Request<'_>| {
            let live = live.clone();
            Response::events(BOUND, move |events| live.send(events).unwrap())
        };
        server.route("GET", "/stream", stream).route("GET", "/events", events)
    });
    let (mut reader, mut listener) = (Client::new(running.address), Client::new(running.address));
    reader.send(get("/stream"));
    listener.send(get("/events"));
    let (sender, events) = (told.recv().unwrap(), lives.recv().unwrap());
    let patience = Duration::from_secs(3_600);
    running.handle.shut_down(Shutdown { grace: patience, patience });
    assert_eq!(listener.answer(false).body, b"", "it ends in good order");
    assert!(!events.is_open());
    sender.send(*b"to the end").unwrap();
    drop(sender);
    assert_eq!(reader.answer(false).body, b"to the end");
    assert_eq!(reader.rest(false), b"");
}

fn another_protocol_takes_the_connection_over(way: Way) {
    let running = Running::new(way, |server| {
        server.route("GET", "/parrot", |_| {
            http::Answer::Upgrade(Response::new(StatusCode::OK).field("Upgrade", "parrot"), Box::new(echo::Bytes))
        })
    });
    let mut client = Client::new(running.address);
    // What follows the head in the same segment is the other protocol's.
    client.send(get("/parrot") + &get("/hello"));
    client.until(b"HTTP/1.1 101 Switching Protocols\r\n");
    client.until(b"\r\nConnection: Upgrade\r\nUpgrade: parrot\r\n\r\n");
    client.until(get("/hello").as_bytes());
    client.send("polly");
    assert_eq!(client.rest(true), b"polly");
}

/// Says something before the body comes.
struct Interim(Option<StatusCode>);

impl Sink for Interim {
    fn interim(&self) -> Option<Response> {
        let status = self.0.unwrap_or_else(|| std::panic::resume_unwind(Box::new("as asked")));
        Some(Response::new(status).field("X", "y"))
    }

    fn piece(&mut self, _: &[u8], _: &dyn Fn() -> Waker) -> Take {
        Take::More
    }

    fn finish(self: Box<Self>, _: &Request<'_>) -> http::Answer {
        Response::text("end").into()
    }
}

#[test]
fn a_sink_is_heard_before_its_body_comes() {
    let mut router = router();
    let open = |request: &Request<'_>| -> Result<Box<dyn Sink>, Response> {
        let number = request.param("status").parse().ok();
        Ok(Box::new(Interim(number.map(|number| StatusCode::from_u16(number).unwrap()))))
    };
    router.add("PUT", "/{status}", Endpoint::Opener(Arc::new(open))).unwrap();
    let listener = Listener::new(Arc::new(router), http::Limits::default());
    let told = "HTTP/1.1 104 \r\nX: y\r\n\r\n";
    for (status, version, expects, want) in [
        ("104", "1.1", "", told.to_string()),
        ("104", "1.1", "Expect: 100-continue\r\n", format!("{told}HTTP/1.1 100 Continue\r\n\r\n")),
        ("104", "1.0", "", String::new()),
        ("101", "1.1", "", "HTTP/1.1 500 ".into()),
        ("200", "1.1", "", "HTTP/1.1 500 ".into()),
        ("panic", "1.1", "", "HTTP/1.1 500 ".into()),
    ] {
        let mut link = Wire::new(&listener, UNIX_EPOCH);
        link.feed(format!("PUT /{status} HTTP/{version}\r\nHost: h\r\nContent-Length: 1\r\n{expects}\r\n").as_bytes());
        let is_refused = want.contains("500");
        let sent = String::from_utf8(link.sent.clone()).unwrap();
        assert!(if is_refused { sent.starts_with(&want) } else { sent == want }, "{status} {version}: {sent:?}");
        link.feed(b"x");
        assert_eq!(link.sent.ends_with(b"end"), !is_refused, "{status} {version}");
    }
}
