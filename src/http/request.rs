//! A request as a handler sees it.

use super::fields::list;
use super::{Fields, Framing, Method};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use std::net::SocketAddr;

/// The minor version that decides what a client understands. HTTP/1.2 and up are answered as 1.1 (RFC 9110 §2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// What a request is about (RFC 9112 §3.2), as it was written: percent-encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// Begins with a slash; `*` where the whole server is meant.
    pub path: &'a str,
    /// What follows the question mark.
    pub query: Option<&'a str>,
}

/// A request: its head borrowed from the connection's input, its body all there.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) target: Target<'a>,
    /// Of ASCII.
    pub(crate) host: &'a [u8],
    pub(crate) version: Version,
    pub(crate) fields: Fields<'a>,
    pub(crate) framing: Framing,
    pub(crate) body: &'a [u8],
    pub(crate) peer: SocketAddr,
    pub(crate) now: std::time::SystemTime,
    /// It has preconditions, or If-Range.
    pub(crate) is_conditional: bool,
    /// It asks for another protocol: what is said then may change something, whatever the method.
    pub(crate) asks_upgrade: bool,
    /// What a route's pattern matched: names and values as they stand in the path.
    pub(crate) params: Vec<(&'a str, &'a str)>,
}

impl<'a> Request<'a> {
    /// What is to be done.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The path as it was written: percent-encoded, beginning with a slash (or `*`).
    pub fn path(&self) -> &'a str {
        self.target.path
    }

    /// What follows the question mark, percent-encoded.
    pub fn query(&self) -> Option<&'a str> {
        self.target.query
    }

    /// The host that is asked, and its port where one is named (RFC 9112 §3.3): from the target where that is a whole URL, which goes before
    /// the Host field; empty where nobody says it. Ask this and not `fields()`.
    pub fn host(&self) -> &'a str {
        std::str::from_utf8(self.host).expect("a host is ASCII")
    }

    /// What the client understands.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The fields of the head.
    pub fn fields(&self) -> Fields<'a> {
        self.fields
    }

    /// Bytes of the body, as the client declared them (RFC 9110 §8.6); `None` where it is chunked, so that nobody knows.
    pub fn content_length(&self) -> Option<u64> {
        match self.framing {
            Framing::None => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Chunked => None,
        }
    }

    /// The body, without its framing. Empty for who takes it by a [`Sink`](super::Sink).
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Who asks.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// When: the time of the loop's turn.
    pub fn now(&self) -> std::time::SystemTime {
        self.now
    }

    /// Whether the client names HTML among what it accepts (RFC 9110 §12.5.1): a browser that follows a link does; one that loads a script or
    /// a picture, and curl, do not.
    pub fn accepts_html(&self) -> bool {
        self.fields.all("accept").flat_map(list).any(takes_html)
    }

    /// What stands in the path where the route has `{name}`, percent-decoded; bytes that are not UTF-8 become U+FFFD.
    ///
    /// # Panics
    /// When the route has no such parameter: a slip of the program, answered 500.
    pub fn param(&self, name: &str) -> Cow<'a, str> {
        let found = self.params.iter().find(|(candidate, _)| *candidate == name);
        let (_, value) = found.unwrap_or_else(|| panic!("the route of {} has no parameter {name}", self.path()));
        percent_decode_str(value).decode_utf8_lossy()
    }
}

/// Whether an element of Accept is text/html with a weight (RFC 9110 §12.4.2) above 0, wherever among its parameters that stands (§12.5.1).
fn takes_html(range: &[u8]) -> bool {
    let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let is_html = parts.next().is_some_and(|media_type| media_type.eq_ignore_ascii_case(b"text/html"));
    let is_zero = |part: &[u8]| {
        let is_weight = part.len() > 2 && part[..2].eq_ignore_ascii_case(b"q=");
        is_weight && part[2..].iter().all(|byte| matches!(byte, b'0' | b'.'))
    };
    is_html && !parts.any(is_zero)
}
