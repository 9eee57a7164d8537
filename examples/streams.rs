//! Answers that go on, come later, or become something else: a page whose clock ticks by server-sent events, an upload that is counted as it
//! comes, work that would hold the loop up, and a WebSocket that says back what it hears.
//!
//! ```sh
//! cargo run --example streams -- poll level 8000    # then http://127.0.0.1:8000/
//! curl -N http://127.0.0.1:8000/clock
//! curl http://127.0.0.1:8000/lines/1000000 | tail -1
//! curl http://127.0.0.1:8000/primes/10000000
//! curl -T FILE http://127.0.0.1:8000/upload
//! websockets ws://127.0.0.1:8000/socket             # pip install websockets
//! ```

use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tripoll::http::{Answer, Body, Event, Events, Reject, Sink, Stream, Take};
use tripoll::protocol::{Chunk, SendError};
use tripoll::websocket::{self, Message, Peer, Session};
use tripoll::{Backend, HttpServer, Request, Response, Trigger, date};

/// What may wait for one who listens to the clock: some hundred ticks.
const WAITING_BYTES_MAX: usize = 10_000;

/// What an upload may have. It costs no memory, but somebody's time.
const UPLOAD_BYTES_MAX: u64 = 8 << 30;

fn main() -> Result<(), String> {
    let mut words = std::env::args().skip(1);
    let backend = words.next().map_or(Ok(Backend::Epoll), |word| word.parse::<Backend>())?;
    let trigger = words.next().map_or(Ok(Trigger::Level), |word| word.parse::<Trigger>())?;
    let port = words.next().unwrap_or_else(|| "8000".to_string());
    let server = HttpServer::without_files(format!("127.0.0.1:{port}")).backend(backend).trigger(trigger);
    let bound = with_routes(server).bind().map_err(|error| error.to_string())?;
    println!("http://{}/ waits by {}", bound.addresses()[0], bound.strategy());
    bound.run().map_err(|error| error.to_string())
}

/// Also what tests and other clients ask: `tests/clients.rs`, `tests/browser.rs`, `.ci/clients`.
pub fn with_routes(server: HttpServer) -> HttpServer {
    let (clock, limits) = (Clock::start(), Arc::new(websocket::Limits::default()));
    server
        .route("GET", "/", |_| Response::html(include_str!("streams.html")))
        .route_live("GET", "/clock", move |request| listen(&clock, request))
        .route("GET", "/lines/{count}", lines)
        .route("GET", "/egg/{seconds}", egg)
        .route("GET", "/primes/{below}", primes)
        .route_sink("PUT", "/upload", Upload::open)
        .route_live("GET", "/socket", move |request| websocket::upgrade(request, &limits, Echo))
}

// ---- An answer that goes on: whoever has news has a bounded way to each who listens ----

/// Who listens to the clock.
#[derive(Default)]
struct Clock(Mutex<Vec<Events>>);

impl Clock {
    /// It ticks on a thread of its own until the server is gone.
    fn start() -> Arc<Clock> {
        let clock = Arc::<Clock>::default();
        let ticking = Arc::downgrade(&clock);
        std::thread::spawn(move || {
            while let Some(clock) = ticking.upgrade() {
                clock.tick(SystemTime::now());
                drop(clock);
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        clock
    }

    fn tick(&self, now: SystemTime) {
        let time = time(now).encode(); // Once for all.
        let mut listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| match listener.send_encoded(time.clone()) {
            Ok(()) => true,
            Err(SendError::Closed) => false,
            // It takes too little. A browser comes back and says what it saw last.
            Err(SendError::Full) => {
                listener.cut();
                false
            }
        });
    }
}

fn time(now: SystemTime) -> Event {
    let (text, id) = (date::format_date(now), seconds(now).to_string());
    Event::new(text).with_id(&id).with_retry(Duration::from_millis(500))
}

fn listen(clock: &Arc<Clock>, request: &Request<'_>) -> Response {
    let seen = request.last_event_id().and_then(|id| id.parse::<u64>().ok());
    let now = request.now();
    let missed = seen.map(|id| Event::new(seconds(now).saturating_sub(id).to_string()).named("missed"));
    let clock = clock.clone();
    Response::events(WAITING_BYTES_MAX, move |events| {
        for event in missed.into_iter().chain([time(now)]) {
            let _ = events.send(&event); // There is room; and who is gone again the next tick sees.
        }
        clock.0.lock().unwrap_or_else(PoisonError::into_inner).push(events);
    })
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The other way: chunks that are made as the client takes them, so that any number costs no memory.
fn lines(request: &Request<'_>) -> Result<Response, Response> {
    let lines =
        (1..=number(request, "count", u64::MAX)?).map(|line| Ok(Chunk::Bytes(format!("{line}\n").into_bytes())));
    Ok(Response::of_type("text/plain").with_body(Body::Stream(Stream::of_chunks(lines))))
}

/// A number in the target, which may be so large.
fn number(request: &Request<'_>, name: &str, max: u64) -> Result<u64, Response> {
    let number = request.param(name).parse().ok().filter(|number| *number <= max);
    number.ok_or_else(|| Reject::BadRequest("that is no number, or too large a one").into())
}

// ---- Answers that come later, while the loop serves others ----

fn egg(request: &Request<'_>) -> Answer {
    match number(request, "seconds", 600) {
        Ok(seconds) => Answer::after(Duration::from_secs(seconds), || Response::text("done\n")),
        Err(refusal) => refusal.into(),
    }
}

/// Takes some seconds at worst: on a thread beside the loop, of which there are a few. More than wait for one are told 503.
fn primes(request: &Request<'_>) -> Answer {
    match number(request, "below", 10_000_000) {
        Ok(below) => Answer::offload(move || Response::text(format!("{}\n", count_primes(below)))),
        Err(refusal) => refusal.into(),
    }
}

fn count_primes(below: u64) -> usize {
    let is_prime =
        |n: &u64| (2..).take_while(|divisor| divisor * divisor <= *n).all(|divisor| !n.is_multiple_of(divisor));
    (2..below).filter(is_prime).count()
}

// ---- A body of any length, piece by piece ----

/// Counts what comes and keeps none of it.
struct Upload {
    bytes: u64,
}

impl Upload {
    /// Who asks first (`Expect: 100-continue`, as curl does) is told before a byte is sent.
    fn open(request: &Request<'_>) -> Result<Box<dyn Sink>, Response> {
        match request.content_length() {
            Some(length) if length > UPLOAD_BYTES_MAX => Err(Reject::ContentTooLarge.into()),
            _ => Ok(Box::new(Upload { bytes: 0 })),
        }
    }
}

impl Sink for Upload {
    fn piece(&mut self, piece: &[u8], _: &dyn Fn() -> Waker) -> Take {
        self.bytes += piece.len() as u64;
        if self.bytes > UPLOAD_BYTES_MAX { Take::Refuse(Reject::ContentTooLarge.into()) } else { Take::More }
    }

    fn finish(self: Box<Self>, _: &Request<'_>) -> Answer {
        Response::text(format!("{} bytes\n", self.bytes)).into()
    }
}

// ---- Something else than HTTP ----

struct Echo;

impl Session for Echo {
    fn message(&mut self, message: Message, peer: &mut Peer<'_>) {
        match message {
            Message::Text(text) => peer.text(&text),
            Message::Binary(bytes) => peer.binary(&bytes),
        }
    }
}
