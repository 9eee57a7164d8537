//! HTTP/1.1 without sockets or clocks: RFC 9110 (what messages mean) and RFC 9112 (how they lie on the wire).
//!
//! Invariant: a request has exactly one reading, or none. How a message is framed, and whether its connection goes on, is decided in one
//! place each ([`Framing`], `connection`); after a framing in doubt no further request is read.
//!
//! ```text
//!   input ─▶ find_end ───▶ parse_head ──▶ Framing ─▶ Service ─▶ Response ─▶ render ─▶ Outbox
//!            every LF      request line,   none,      routes,    status,     Date, Connection,
//!            after a CR    fields          length,    files      fields,     Content-Length
//!                                          chunked               body
//! ```

mod answer;
mod beside;
mod coding;
mod conditions;
mod connection;
pub mod date;
mod events;
mod fields;
mod form;
mod framing;
mod head;
mod host;
mod incoming;
mod listener;
mod pending;
mod range;
mod reject;
mod request;
mod request_line;
mod response;
mod stream;

pub use answer::{Answer, Inquiry, Later, Sink, Take};
pub use coding::coding_weights;
pub use conditions::{EntityTag, Validators, Verdict, evaluate_preconditions};
pub use connection::Connection;
pub(crate) use date::seconds;
pub use date::{format_date, parse_date};
pub use events::{Event, Events};
pub use fields::Fields;
pub(crate) use fields::{is_token, list};
pub use form::{FormEvent, FormReader};
pub use framing::{ChunkedReader, Framing, Step};
pub use head::{Head, Storage, find_end, parse_head};
pub use listener::{Answered, Listener};
pub use range::{RANGES_MAX, RangeError, parse_ranges};
pub(crate) use range::{content_range, multipart, requested_ranges};
pub use reject::Reject;
pub use request::{Request, Target, Version};
pub use response::{Body, Response, check_field};
pub use stream::Stream;

pub use ::http::{Method, StatusCode};

use crate::protocol::MinRate;
use std::time::Duration;

/// Methods that a handler may be asked for. Others are answered 501 (RFC 9110 §9.1).
const METHODS_KNOWN: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "MKCOL", "MOVE"];

/// What answers requests: a router, a folder of files. One for all connections, and for all threads of the models that have several.
pub trait Service: Send + Sync {
    /// Answers a request whose body is all there. A panic is answered 500.
    fn respond(&self, request: &Request<'_>) -> Answer;

    /// Asked when the head of a request with a body is there and the body is not: whether to read it.
    fn receive_body(&self, request: &Request<'_>) -> Reception {
        let _ = request;
        Reception::Buffer
    }
}

/// What becomes of a request's body.
pub enum Reception {
    /// It is read, up to [`Limits::body_bytes_max`], and [`Service::respond`] gets it whole.
    Buffer,
    /// This takes it piece by piece. [`Service::respond`] is not asked.
    Sink(Box<dyn Sink>),
    /// Nobody wants it: this is the answer.
    Refuse(Response),
    /// That is to be found out first. [`Service::receive_body`] is asked again then.
    Inquire(Inquiry),
}

/// The bounds of a connection.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Request line, in bytes with its CRLF: 414 past it. RFC 9112 §3 recommends at least 8,000.
    pub request_line_bytes_max: usize,
    /// A request's head, in bytes with its empty line: 431 past it. Every connection may keep this much while it waits for the rest.
    pub head_bytes_max: usize,
    /// A body that is collected for a handler: 413 past it.
    pub body_bytes_max: u64,
    /// A body that nobody wants is read, so that the connection can go on, up to this; past it closing is cheaper.
    pub discard_bytes_max: u64,
    /// From the first byte of a head (of the first, from the connection's opening) to its end.
    pub head_timeout: Duration,
    /// Between two requests.
    pub idle_timeout: Duration,
    /// Without a byte of a body's content that is expected: sizes of chunks, their extensions and trailers are none.
    pub body_timeout: Duration,
    /// What of a body's content has to come on average: 408 below it.
    pub body_rate_min: MinRate,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            request_line_bytes_max: 8 * 1024,
            head_bytes_max: 16 * 1024,
            body_bytes_max: 1024 * 1024,
            discard_bytes_max: 256 * 1024,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(30),
            body_rate_min: MinRate::default(),
        }
    }
}
