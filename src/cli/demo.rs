//! The demonstration: simple requests that are no web pages, as the course has them. `static/index.html` uses them.

use super::live::{Live, WAITING_BYTES_MAX};
use serde_json::{Value, json};
use std::sync::Arc;
use tripoll::server::{Counters, Meter};
use tripoll::{Backend, HttpServer, Response, Trigger, date};

/// What its pages show of the server.
pub struct Demo {
    model: &'static str,
    backend: Backend,
    trigger: Trigger,
    meter: Meter,
    /// Who listens.
    pub live: Live,
}

impl Demo {
    /// Of a server that serves and waits so.
    pub fn new(model: &'static str, backend: Backend, trigger: Trigger, meter: Meter) -> Arc<Demo> {
        Arc::new(Demo { model, backend, trigger, meter, live: Live::new() })
    }

    /// The counters, as an event has them.
    pub fn reading(&self) -> Value {
        json!({ "counters": self.counters() })
    }

    /// What the server did up to the end of the last turn.
    fn counters(&self) -> Value {
        counters(self.model, self.backend, self.trigger, &self.meter.read())
    }
}

/// The same server with the routes of the demonstration.
pub fn add_routes(server: HttpServer, demo: &Arc<Demo>) -> HttpServer {
    let read = demo.clone();
    server
        .route("GET", "/time", |request| no_store(Response::text(date::format_date(request.now()) + "\n")))
        .route("GET", "/hello/{name}", |request| Response::text(format!("Hello, {}!\n", request.param("name"))))
        // Text whatever it was: what somebody else's form sends here must not come back as a page of ours.
        .route("POST", "/echo", |request| no_store(Response::bytes("text/plain; charset=utf-8", request.body())))
        .route("GET", "/counters", move |_| no_store(Response::json(&read.counters())))
}

/// And with what the loop tells while it runs.
pub fn add_streams(server: HttpServer, demo: &Arc<Demo>) -> HttpServer {
    let [told, watched] = [0; 2].map(|_| demo.clone());
    server
        // The counters, told once a second.
        .route_live("GET", "/events", move |_| {
            let (demo, first) = (told.clone(), told.reading());
            Response::events(WAITING_BYTES_MAX, move |events| demo.live.hear_counters(events, &first))
        })
        .route_live("GET", "/turns", move |_| {
            let demo = watched.clone();
            Response::events(WAITING_BYTES_MAX, move |events| demo.live.hear_turns(events))
        })
}

fn no_store(response: Response) -> Response {
    response.field("Cache-Control", "no-store")
}

fn counters(model: &str, backend: Backend, trigger: Trigger, so_far: &Counters) -> Value {
    let Counters { answers, reactor } = so_far;
    let (poller, calls) = (reactor.poller, reactor.calls);
    json!({
        "model": model,
        "backend": backend.to_string(),
        "trigger": trigger.to_string(),
        "turns": reactor.turns,
        "connections": { "open": reactor.open, "opened": reactor.opened },
        "requests": answers,
        "bytes": { "received": reactor.received_bytes, "sent": reactor.sent_bytes },
        "poller": {
            "waits": poller.waits,
            "passed": poller.passed,
            "scanned": poller.scanned,
            "ready": poller.ready,
            "changes": poller.changes,
        },
        "calls": {
            "accept": calls.accept,
            "receive": calls.receive,
            "send": calls.send,
            "send_file": calls.send_file,
            "shutdown": calls.shutdown,
        },
    })
}
