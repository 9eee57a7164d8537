//! A response: what a handler makes, and how it lies on the wire.
//!
//! Invariant: the fields that frame a message (Content-Length, Transfer-Encoding, Connection) and Date are written here and nowhere else.

use super::fields::{is_field_content, is_token};
use super::{EntityTag, Method, Reject, Request, StatusCode, Stream, Validators, Verdict, Version};
use super::{evaluate_preconditions, format_date, parse_date};
use crate::protocol::{Chunk, OpenFile, Outbox};
use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::sync::Arc;

/// What a response carries.
#[derive(Debug, Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// This.
    One(Chunk),
    /// These, one after another.
    Parts(Vec<Chunk>),
    /// What is to come.
    Stream(Stream),
}

impl Body {
    /// Its length in bytes; `None` where nobody knows it yet.
    pub fn len(&self) -> Option<u64> {
        match self {
            Body::Empty => Some(0),
            Body::One(chunk) => Some(chunk.len()),
            Body::Parts(chunks) => Some(chunks.iter().map(Chunk::len).sum()),
            Body::Stream(_) => None,
        }
    }

    /// Whether it is known to have no byte.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }
}

impl From<Chunk> for Body {
    fn from(chunk: Chunk) -> Body {
        Body::One(chunk)
    }
}

/// The answer to a request.
#[derive(Debug)]
pub struct Response {
    status: StatusCode,
    fields: Lines,
    body: Body,
    /// The connection does not outlive it.
    closes: bool,
    /// It is the text of an error, which a client that accepts HTML gets as a page: with this reason.
    error: Option<&'static str>,
}

/// Rendered fields, `Name: value CR LF`, one after another: of one response, or of all that are sent of a file.
#[derive(Debug, Clone)]
enum Lines {
    Own(Vec<u8>),
    Shared(Arc<[u8]>),
}

impl Lines {
    fn as_slice(&self) -> &[u8] {
        match self {
            Lines::Own(lines) => lines,
            Lines::Shared(lines) => lines,
        }
    }

    fn to_mut(&mut self) -> &mut Vec<u8> {
        if let Lines::Shared(lines) = self {
            *self = Lines::Own(lines.to_vec());
        }
        let Lines::Own(lines) = self else { unreachable!("made so above") };
        lines
    }
}

/// Room for the fields of most answers, so that they are not moved while they grow.
const FIELDS_ROOM: usize = 192;

/// Fields that a handler can't set: they frame the message, or tell its time.
const FIELDS_OWNED: [&str; 5] = ["connection", "content-length", "date", "keep-alive", "transfer-encoding"];

/// Whether a response may be given such a field.
///
/// # Errors
/// In words: the name is no token, the value none that a field can have, or the server itself sets the field (Connection, Content-Length,
/// Date, Keep-Alive, Transfer-Encoding).
pub fn check_field(name: &str, value: &str) -> Result<(), String> {
    if !is_token(name.as_bytes()) {
        Err(format!("{name:?} is no field name"))
    } else if !is_field_content(value.as_bytes()) {
        Err(format!("{value:?} can't be the value of {name}"))
    } else if FIELDS_OWNED.iter().any(|owned| owned.eq_ignore_ascii_case(name)) {
        Err(format!("{name} is set by the server"))
    } else {
        Ok(())
    }
}

/// Fields that describe the content of a 200, which a client that is told 304 has (RFC 9110 §15.4.5: it should not be sent these again).
/// ETag, Vary, Cache-Control, Expires and Content-Location are to be there, and what is no metadata of a representation stays too.
const METADATA: [&str; 7] = [
    "accept-ranges",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-range",
    "content-type",
    "x-content-type-options",
];

/// What [`Response::text`] begins with.
const TEXT_TYPE_LINE: &[u8] = b"Content-Type: text/plain; charset=utf-8\r\n";

/// The page of an error: plain and small.
const PAGE: &str = include_str!("error.html");

impl Response {
    /// Without fields or body.
    pub fn new(status: StatusCode) -> Response {
        Response { status, fields: Lines::Own(Vec::new()), body: Body::Empty, closes: false, error: None }
    }

    /// With fields that were rendered before.
    pub(crate) fn with_lines(status: StatusCode, lines: Arc<[u8]>) -> Response {
        Response { fields: Lines::Shared(lines), ..Response::new(status) }
    }

    /// 200 with text.
    pub fn text(text: impl Into<String>) -> Response {
        Response::bytes("text/plain; charset=utf-8", text.into().into_bytes())
    }

    /// 200 with HTML.
    pub fn html(text: impl Into<String>) -> Response {
        Response::bytes("text/html; charset=utf-8", text.into().into_bytes())
    }

    /// 200 with bytes of the given media type.
    ///
    /// # Panics
    /// Where `content_type` can't be a field's value.
    pub fn bytes(content_type: &str, bytes: impl Into<Vec<u8>>) -> Response {
        Response::of_type(content_type).with_body(Chunk::Bytes(bytes.into()))
    }

    /// 200 of the given media type, without a body yet. The type is meant: a browser that guesses another from the bytes may run what was
    /// uploaded as text. Here is the one place that says so.
    ///
    /// # Panics
    /// Where `content_type` can't be a field's value.
    pub fn of_type(content_type: &str) -> Response {
        let mut response = Response::new(StatusCode::OK).field("Content-Type", content_type);
        response.fields.to_mut().extend_from_slice(b"X-Content-Type-Options: nosniff\r\n");
        response
    }

    /// 200 with JSON.
    ///
    /// # Panics
    /// For what JSON can't say, such as a map whose keys are no strings: a slip of the program, answered 500.
    pub fn json(value: &impl serde::Serialize) -> Response {
        Response::bytes("application/json", serde_json::to_vec(value).expect("the value has a form in JSON"))
    }

    /// 200 with a file, all of it, sent as the client takes it.
    ///
    /// # Errors
    /// What fstat(2) says; `InvalidInput` for what is no regular file.
    ///
    /// # Panics
    /// Where `content_type` can't be a field's value.
    pub fn file(content_type: &str, file: File) -> io::Result<Response> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "only a regular file can be a body"));
        }
        let size = metadata.len();
        let chunk = Chunk::File(Arc::new(OpenFile::new(file, &metadata)), 0..size);
        Ok(Response::of_type(content_type).with_body(chunk))
    }

    /// The same with another status.
    pub fn with_status(self, status: StatusCode) -> Response {
        Response { status, ..self }
    }

    /// The same with another body.
    pub fn with_body(self, body: impl Into<Body>) -> Response {
        Response { body: body.into(), error: None, ..self }
    }

    /// The same with one more field.
    ///
    /// # Panics
    /// For a name that is no token, a value that no field can have, or a field that the server itself sets (see [`check_field`]): a slip of
    /// the program, answered 500.
    pub fn field(mut self, name: &str, value: &str) -> Response {
        if let Err(error) = check_field(name, value) {
            panic!("{error}");
        }
        let lines = self.fields.to_mut();
        if lines.is_empty() {
            lines.reserve(FIELDS_ROOM);
        }
        for part in [name.as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            lines.extend_from_slice(part);
        }
        self
    }

    /// The same with ETag and Last-Modified.
    pub fn with_validators(mut self, validators: &Validators) -> Response {
        if let Some(tag) = &validators.tag {
            self = self.field("ETag", tag.as_str());
        }
        match validators.last_modified {
            Some(time) => self.field("Last-Modified", &format_date(time)),
            None => self,
        }
    }

    /// The same with an ETag that is made of its bytes, so that a client that has these is told 304. A strong one: other bytes give another
    /// tag. Not for files, whose bytes are not read for it.
    pub fn with_tag_of_content(self) -> Response {
        let bytes: &[u8] = match &self.body {
            Body::Empty => &[],
            Body::One(Chunk::Bytes(bytes)) => bytes,
            Body::One(Chunk::Shared(bytes)) => bytes,
            Body::One(Chunk::File(..)) | Body::Parts(_) | Body::Stream(_) => return self,
        };
        // The standard library's hash with its fixed key: the same after a restart, and where several servers share an address.
        let mut hasher = DefaultHasher::new();
        hasher.write(bytes);
        let tag = EntityTag::strong(format!("{:x}-{:016x}", bytes.len(), hasher.finish()));
        self.field("ETag", tag.as_str())
    }

    /// The same without the fields that `drop` names in lower case.
    pub fn without_fields(mut self, drop: &[&str]) -> Response {
        if !drop.is_empty() {
            let lines = self.fields.as_slice().split_inclusive(|byte| *byte == b'\n');
            let kept = lines.filter(|line| !drop.iter().any(|name| value_of(line, name).is_some()));
            self.fields = Lines::Own(kept.flatten().copied().collect());
        }
        self
    }

    /// The same, as an error that may end its connection.
    pub(super) fn into_error(self, reason: &'static str, closes: bool) -> Response {
        Response { error: Some(reason), closes, ..self }
    }

    /// As it is for the client that asked: what its preconditions leave of it, and an error as a page where that is accepted.
    pub(super) fn settle(self, request: &Request<'_>) -> Response {
        // RFC 9110 §13.2.1: preconditions are of what would be 2xx without them. Of methods that change something they are the handler's: when
        // its answer is here it is too late. Files ask before they read, and are asked again here with the same outcome.
        let is_read = matches!(request.method(), &Method::GET | &Method::HEAD);
        let response = match is_read && self.status.is_success() && request.is_conditional {
            true => {
                let verdict = evaluate_preconditions(request, Some(&self.validators(request)));
                self.judged(verdict)
            }
            false => self,
        };
        response.negotiate(request)
    }

    /// What a verdict leaves of it.
    pub(crate) fn judged(self, verdict: Verdict) -> Response {
        match verdict {
            Verdict::Proceed => self,
            Verdict::NotModified => self.into_not_modified(),
            Verdict::Failed => Reject::PreconditionFailed.into(),
        }
    }

    /// RFC 9110 §15.4.5: what the 200 would have, less what describes content that is not sent. The date is of use without a tag only.
    fn into_not_modified(self) -> Response {
        let has_tag = self.field_value("etag").is_some();
        let response = self.without_fields(&METADATA).with_status(StatusCode::NOT_MODIFIED).with_body(Body::Empty);
        if has_tag { response.without_fields(&["last-modified"]) } else { response }
    }

    /// The validators that its fields say.
    fn validators(&self, request: &Request<'_>) -> Validators {
        let last_modified = self.field_value("last-modified").and_then(|value| parse_date(value, request.now()));
        Validators { tag: self.field_value("etag").and_then(EntityTag::parse), last_modified }
    }

    /// The value of its first field of a name, which is in lower case.
    pub(crate) fn field_value(&self, name: &str) -> Option<&[u8]> {
        self.fields.as_slice().split_inclusive(|byte| *byte == b'\n').find_map(|line| value_of(line, name))
    }

    /// RFC 9110 §12.1: an error is a page where that is accepted.
    fn negotiate(mut self, request: &Request<'_>) -> Response {
        let Some(reason) = self.error.take() else { return self };
        if !request.accepts_html() {
            return self.field("Vary", "Accept");
        }
        // Both texts are ours, so nothing is to be escaped.
        let page = PAGE.replace("{status}", &self.status.to_string()).replace("{reason}", reason);
        let others = self.fields.as_slice().strip_prefix(TEXT_TYPE_LINE).expect("an error is text first").to_vec();
        let page = Response { fields: Lines::Own(others), body: Chunk::Bytes(page.into_bytes()).into(), ..self };
        page.field("Content-Type", "text/html; charset=utf-8").field("Vary", "Accept")
    }

    /// Whether the connection ends with it.
    pub(super) fn closes(&self) -> bool {
        self.closes
    }

    /// Its fields, rendered.
    pub(crate) fn into_lines(mut self) -> Vec<u8> {
        std::mem::take(self.fields.to_mut())
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What it carries.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Whether its body is sent. RFC 9110 §9.3.2: to HEAD none is; §15.3.6: a 205 has none.
    pub(super) fn sends_body(&self, is_head: bool) -> bool {
        !is_head && has_content(self.status) && self.status != StatusCode::RESET_CONTENT
    }

    /// Puts its status and fields on the wire, with nothing that frames or dates a final answer.
    pub(super) fn render_interim(self, out: &mut Outbox) {
        out.write_with(|head| {
            write_status_line(self.status, head);
            head.extend_from_slice(self.fields.as_slice());
            head.extend_from_slice(b"\r\n");
        });
    }

    /// Puts it on the wire; a stream, whose head it was, is given back to be begun.
    pub(super) fn render(self, exchange: &Exchange<'_>, out: &mut Outbox) -> Option<Stream> {
        let has_body = self.sends_body(exchange.is_head);
        // RFC 9110 §15.3.6: a 205 has no content.
        let body = if self.status == StatusCode::RESET_CONTENT { Body::Empty } else { self.body };
        out.write_with(|head| {
            write_status_line(self.status, head);
            head.extend_from_slice(exchange.date.as_bytes());
            if let Some(connection) = exchange.connection(self.status) {
                for part in ["Connection: ", connection, "\r\n"] {
                    head.extend_from_slice(part.as_bytes());
                }
            }
            match body.len() {
                _ if !has_content(self.status) => {}
                Some(length) => {
                    head.extend_from_slice(b"Content-Length: ");
                    head.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
                    head.extend_from_slice(b"\r\n");
                }
                None if exchange.version == Version::Http11 => {
                    head.extend_from_slice(b"Transfer-Encoding: chunked\r\n")
                }
                None => {} // The connection's end is the body's.
            }
            head.extend_from_slice(self.fields.as_slice());
            head.extend_from_slice(exchange.fields);
            head.extend_from_slice(b"\r\n");
        });
        match body {
            _ if !has_body => {}
            Body::Empty => {}
            Body::One(chunk) => out.append(chunk),
            Body::Parts(chunks) => chunks.into_iter().for_each(|chunk| out.append(chunk)),
            Body::Stream(stream) => return Some(stream),
        }
        None
    }
}

/// RFC 9112 §4: with the space before a reason that is not there, too.
fn write_status_line(status: StatusCode, head: &mut Vec<u8>) {
    if status == StatusCode::OK {
        return head.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    for part in ["HTTP/1.1 ", status.as_str(), " ", status.canonical_reason().unwrap_or(""), "\r\n"] {
        head.extend_from_slice(part.as_bytes());
    }
}

/// The value of a rendered field, where it has that name.
fn value_of<'a>(line: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let (candidate, rest) = line.split_at_checked(name.len())?;
    let value = rest.strip_prefix(b":").filter(|_| candidate.eq_ignore_ascii_case(name.as_bytes()))?;
    Some(value.trim_ascii())
}

/// What of the request decides how its answer lies on the wire.
pub(super) struct Exchange<'a> {
    /// The request is HEAD, as far as it was understood.
    pub(super) is_head: bool,
    pub(super) version: Version,
    pub(super) after: After,
    /// Rendered.
    pub(super) date: &'a str,
    /// Rendered fields of every answer.
    pub(super) fields: &'a [u8],
}

impl Exchange<'_> {
    /// What the answer says of the connection (RFC 9110 §7.6.1).
    fn connection(&self, status: StatusCode) -> Option<&'static str> {
        // RFC 9110 §7.8: who says Upgrade, as every 426 does, says that it is about the connection.
        let upgrades = status == StatusCode::UPGRADE_REQUIRED;
        match (self.after, self.version) {
            (After::Close, _) => Some(if upgrades { "close, Upgrade" } else { "close" }),
            (After::Upgrade, _) => Some("Upgrade"),
            (After::KeepAlive, Version::Http10) => Some("keep-alive"), // RFC 9112 §9.3
            (After::KeepAlive, Version::Http11) => upgrades.then_some("Upgrade"),
        }
    }
}

/// What becomes of the connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    KeepAlive,
    Close,
    /// Another protocol takes it over.
    Upgrade,
}

/// RFC 9110 §8.6: 1xx and 204 have no content, and no length of it. A 304 could have one, but only that of the 200 which it stands for.
fn has_content(status: StatusCode) -> bool {
    !status.is_informational() && status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED
}
