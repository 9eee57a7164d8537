//! A single-threaded HTTP/1.1 server whose event loop is written by hand over raw select, poll and epoll.
//!
//! ```no_run
//! use tripoll::{Backend, HttpServer, Response};
//!
//! fn main() -> tripoll::Result<()> {
//!     HttpServer::new("127.0.0.1:8000", "static")
//!         .backend(Backend::Epoll)
//!         .route("GET", "/time", |_| Response::text(tripoll::date::now()))
//!         .route("GET", "/hello/{name}", |request| Response::text(format!("Hello, {}!\n", request.param("name"))))
//!         .serve_forever()
//! }
//! ```
//!
//! [`HttpServer`] is where most begin: a folder, routes, one of three ways to wait, and the same answers by each.
//!
//! # The way in
//!
//! ```text
//!   server      HttpServer: the one place where HTTP meets sockets
//!   sandbox     what a server has no need of, given up (a feature)
//!   ─────────────────────────────────────────────────────────────────────────
//!   guard                who may ask
//!   router  files        what answers a request
//!   websocket            what follows a request that asks for more than an answer
//!   http                 HTTP/1.1 without sockets or clocks
//!   ─────────────────────────────────────────────────────────────────────────
//!   protocol             the waist: a connection less its socket
//!   ─────────────────────────────────────────────────────────────────────────
//!   reactor              the loop: one turn is a numbered list
//!   coroutine            async tasks in its place
//!   poller               select, poll, epoll behind one contract
//! ```
//!
//! To see how a server waits, read [`poller`], whose [`Poller`](poller::Poller) is the contract, then [`reactor`]. To see how HTTP is
//! read, begin at [`http`]; for sockets that stay open, at [`websocket`]. To speak something else on the same loop, implement
//! [`Protocol`](protocol::Protocol), as `examples/echo.rs` does in fifty lines; or write it as if each connection had a thread, with [`coroutine`].

mod bell;
pub mod coroutine;
pub mod files;
pub mod guard;
pub mod http;
pub mod models;
pub mod offload;
pub mod poller;
pub mod protocol;
pub mod reactor;
pub mod router;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod server;
mod slab;
#[doc(hidden)]
pub mod sys;
mod timer;
mod transport;
pub mod websocket;

pub use http::{Request, Response, date};
pub use models::Model;
pub use poller::{Backend, Trigger};
pub use server::{Error, HttpServer, Result};

/// What the README shows is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
