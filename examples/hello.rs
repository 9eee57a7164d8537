//! The server of the course in a program of one's own: a folder, a few routes, and a loop that waits as it is told.
//!
//! `cargo run --example hello -- poll`, then <http://127.0.0.1:8000/hello/you>.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tripoll::{Backend, HttpServer, Response, date};

fn main() {
    let backend = std::env::args().nth(1).map_or(Ok(Backend::Epoll), |word| word.parse::<Backend>());
    let result = backend.map_err(|error| format!("the backend: {error}")).and_then(serve);
    if let Err(message) = result {
        eprintln!("error: {message}");
        std::process::exit(1);
    }
}

fn serve(backend: Backend) -> Result<(), String> {
    // Handlers share what they need; they run on one thread here, but need not everywhere.
    let visits = Arc::new(AtomicU64::new(0));
    let server = HttpServer::new("127.0.0.1:8000", "static").backend(backend);
    let meter = server.meter();
    let server = server
        .route("GET", "/time", |request| Response::text(date::format_date(request.now())))
        .route("GET", "/hello/{name}", |request| Response::text(format!("Hello, {}!\n", request.param("name"))))
        .route("GET", "/visits", move |request| {
            let visit = visits.fetch_add(1, Ordering::Relaxed) + 1;
            Response::text(format!("visit {visit}, from {}\n", request.peer()))
        })
        .route("GET", "/turns", move |_| Response::text(format!("{} turns\n", meter.read().reactor.turns)))
        .not_found(|request| Response::text(format!("nothing at {}\n", request.path())));

    let bound = server.bind().map_err(|error| error.to_string())?;
    println!("http://{}/ waits by {}", bound.addresses()[0], bound.strategy());
    bound.run().map_err(|error| error.to_string())
}
