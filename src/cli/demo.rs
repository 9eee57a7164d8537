//! The demonstration: simple requests that are no web pages, as the course has them. `static/index.html` uses them.

use serde_json::{Value, json};
use tripoll::server::Counters;
use tripoll::{Backend, HttpServer, Response, Trigger, date};

/// The same server with the routes of the demonstration.
pub fn add_routes(server: HttpServer, model: &'static str, backend: Backend, trigger: Trigger) -> HttpServer {
    let meter = server.meter();
    server
        .route("GET", "/time", |request| no_store(Response::text(date::format_date(request.now()) + "\n")))
        .route("GET", "/hello/{name}", |request| Response::text(format!("Hello, {}!\n", request.param("name"))))
        // Text whatever it was: what somebody else's form sends here must not come back as a page of ours.
        .route("POST", "/echo", |request| no_store(Response::bytes("text/plain; charset=utf-8", request.body())))
        .route("GET", "/counters", move |_| no_store(Response::json(&counters(model, backend, trigger, &meter.read()))))
}

fn no_store(response: Response) -> Response {
    response.field("Cache-Control", "no-store")
}

/// What the server did up to the end of the last turn.
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
