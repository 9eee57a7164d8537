//! The head of a request: where it ends, and what it says (RFC 9112 §2-§3, §5).
//!
//! httparse splits the fields; strictness is ours. It takes bare LF as a line's end, non-ASCII and delimiters in targets, any number of
//! empty lines before the request, and no HTTP/1.2.

use super::fields::list;
use super::host::check_host;
use super::request_line::{line_too_long, parse_request_line, parse_target};
use super::{Fields, Framing, Limits, Method, Reject, Target, Version};
use httparse::{Header, Status};
use memchr::{memchr, memchr_iter};

/// Fields of a head: 431 past it.
const FIELDS_MAX: usize = 100;

/// Fields that a browser's head has, and some more. Room for them is cleared for each request, so it is not for [`FIELDS_MAX`].
const FIELDS_USUAL: usize = 24;

/// One text for all bytes that may not be in a head: which of them is seen first depends on where the network cuts.
const BAD_BYTE: Reject = Reject::BadRequest("a line does not end in CR LF, or a control byte is in the head");

/// A head, understood.
#[derive(Debug)]
pub struct Head<'a> {
    /// What is to be done.
    pub method: Method,
    /// With what.
    pub target: Target<'a>,
    /// Of which host, with its port where one is named: the target's, where that names one, else the Host field's; empty where neither does.
    /// ASCII.
    pub host: &'a [u8],
    /// What the client understands.
    pub version: Version,
    /// Every field.
    pub fields: Fields<'a>,
    /// Where the body ends.
    pub framing: Framing,
    /// The client wants to send more requests, or would if it were told that it may.
    pub keep_alive: bool,
    /// `Expect: 100-continue`: the client waits with the body.
    pub expects_continue: bool,
    /// It has a precondition (RFC 9110 §13.1), or If-Range.
    pub is_conditional: bool,
    /// It asks for another protocol (RFC 9110 §7.8) than `h2c`, which clients offer with any request.
    pub asks_upgrade: bool,
}

/// Whether what came of a head begins with the method HEAD: so the answer has no body (RFC 9110 §9.3.2), even where the rest is refused. A bad
/// byte within the method is found before its end is, so cuts of the network make no difference.
pub(super) fn asks_for_head(input: &[u8]) -> bool {
    input.starts_with(b"HEAD ")
}

/// Room for the fields of a head: for as many as most have, and only where that is not enough for all.
#[derive(Debug)]
pub struct Storage<'a> {
    few: [Header<'a>; FIELDS_USUAL],
    all: Vec<Header<'a>>,
}

impl Storage<'_> {
    /// No fields yet.
    pub const fn new() -> Self {
        Storage { few: [httparse::EMPTY_HEADER; FIELDS_USUAL], all: Vec::new() }
    }
}

impl Default for Storage<'_> {
    fn default() -> Self {
        Storage::new()
    }
}

/// Looks for the end of the head that `input` begins with: the index after its empty line, or `None` where more input is needed.
/// `searched` says how much was searched before, 0 at first, and is brought up to date.
///
/// # Errors
/// At once, not when the head is complete: for a request line that is none, a line that ends in a bare LF, a control byte, a line or a head
/// too long.
pub fn find_end(input: &[u8], searched: &mut usize, limits: &Limits) -> Result<Option<usize>, Reject> {
    let line_max = limits.request_line_bytes_max.min(limits.head_bytes_max);
    let line_end = match *searched > line_max {
        true => None, // It was judged before.
        false => memchr(b'\n', &input[..input.len().min(line_max)]),
    };
    let (bytes_max, too_long) = match *searched > line_max || line_end.is_some() {
        true => (limits.head_bytes_max, Reject::FieldsTooLarge),
        false => (line_max, line_too_long(&input[..input.len().min(line_max)])),
    };
    // Nothing past the limit is looked at: the answer must not depend on how much came in one read.
    let window = &input[..input.len().min(bytes_max)];
    let from = (*searched).min(window.len());
    let found = match line_end {
        Some(end) if end >= from && !window[..end].ends_with(b"\r") => Err(BAD_BYTE),
        Some(end) if end >= from => find_empty_line(window, end + 1),
        Some(_) | None => find_empty_line(window, from),
    };
    if let (Ok(None) | Err(_), Some(line_end)) = (&found, line_end.filter(|end| *end >= from)) {
        // Whoever sends no request may send no end of a head either. Before what follows the line: byte by byte it would come first.
        read_request_line(&input[..=line_end])?;
    }
    *searched = window.len();
    match found? {
        None if input.len() >= bytes_max => Err(too_long),
        found => Ok(found),
    }
}

/// The index after the empty line that ends a head.
fn find_empty_line(head: &[u8], from: usize) -> Result<Option<usize>, Reject> {
    for at in memchr_iter(b'\n', &head[from..]).map(|at| from + at) {
        if at == 0 || head[at - 1] != b'\r' {
            return Err(BAD_BYTE);
        }
        if at >= 2 && head[at - 2] == b'\n' {
            return Ok(Some(at + 1));
        }
    }
    check_bytes(head, from)?;
    Ok(None)
}

/// Refuses control bytes, and CR or LF without the other, from `from` on.
fn check_bytes(head: &[u8], from: usize) -> Result<(), Reject> {
    // The byte before `from` may be a CR whose LF should be the next.
    for at in from.saturating_sub(1)..head.len() {
        let is_bad = match head[at] {
            b'\r' => head.get(at + 1).is_some_and(|next| *next != b'\n'),
            b'\n' => at == 0 || head[at - 1] != b'\r',
            b'\t' => false,
            byte => byte < b' ' || byte == 0x7f,
        };
        if is_bad {
            return Err(BAD_BYTE);
        }
    }
    Ok(())
}

/// Reads a whole head, as [`find_end`] found it.
///
/// # Errors
/// Whatever is wrong with it. A bad byte goes before anything else but the request line, since byte by byte it would have been found first.
pub fn parse_head<'a>(head: &'a [u8], storage: &'a mut Storage<'a>) -> Result<Head<'a>, Reject> {
    let line_end = memchr(b'\n', head).ok_or(BAD_BYTE)?;
    let (line, fields) = head.split_at(line_end + 1);
    let line = read_request_line(line)?;
    parse(line, fields, storage).map_err(|reject| check_bytes(head, 0).err().unwrap_or(reject))
}

fn parse<'a>(
    (method, target, version): (Method, &'a str, Version),
    fields: &'a [u8],
    storage: &'a mut Storage<'a>,
) -> Result<Head<'a>, Reject> {
    let mut parsed = httparse::parse_headers(fields, &mut storage.few);
    if parsed == Err(httparse::Error::TooManyHeaders) {
        storage.all = vec![httparse::EMPTY_HEADER; FIELDS_MAX];
        parsed = httparse::parse_headers(fields, &mut storage.all);
    }
    let fields = match parsed {
        Ok(Status::Complete((_, fields))) => Fields(fields),
        Ok(Status::Partial) => return Err(BAD_BYTE),
        Err(httparse::Error::TooManyHeaders) => return Err(Reject::FieldsTooLarge),
        Err(httparse::Error::HeaderName) => {
            return Err(Reject::BadRequest("a field's name is not a token, or white space is before its colon"));
        }
        Err(_) => return Err(Reject::BadRequest("a field is malformed")),
    };
    let known = KnownFields::read(fields)?;
    let host_field = check_host(known.host, known.hosts, version)?;
    let framing = Framing::of(known.transfer_encoding, known.content_length, version, fields)?;
    let expects_continue = match version {
        // RFC 9110 §10.1.1: ignored in a 1.0 request.
        Version::Http10 => false,
        Version::Http11 if known.expects_other => return Err(Reject::ExpectationFailed),
        Version::Http11 => known.expects_continue,
    };
    let keep_alive = match version {
        Version::Http11 => !known.close,
        Version::Http10 => known.keep_alive && !known.close,
    };
    let (authority, target) = parse_target(target, &method)?;
    // RFC 9112 §3.2.2: the target's authority goes before Host, which must be well-formed all the same (§3.2).
    let host = authority.map_or(host_field, str::as_bytes);
    let KnownFields { is_conditional, asks_upgrade, .. } = known;
    Ok(Head {
        method,
        target,
        host,
        version,
        fields,
        framing,
        keep_alive,
        expects_continue,
        is_conditional,
        asks_upgrade,
    })
}

/// Reads a request line with its CRLF.
fn read_request_line(line: &[u8]) -> Result<(Method, &str, Version), Reject> {
    let parsed = line.strip_suffix(b"\r\n").ok_or(BAD_BYTE).and_then(parse_request_line);
    parsed.map_err(|reject| check_bytes(line, 0).err().unwrap_or(reject))
}

/// The fields that decide how the connection goes on, found in one pass.
#[derive(Default)]
struct KnownFields<'a> {
    host: Option<&'a [u8]>,
    hosts: usize,
    content_length: Option<&'a [u8]>,
    transfer_encoding: Option<&'a [u8]>,
    expects_continue: bool,
    /// It expects what nobody here can meet.
    expects_other: bool,
    close: bool,
    keep_alive: bool,
    is_conditional: bool,
    asks_upgrade: bool,
}

impl<'a> KnownFields<'a> {
    fn read(fields: Fields<'a>) -> Result<KnownFields<'a>, Reject> {
        let mut known = KnownFields::default();
        for (name, value) in fields.iter() {
            // The length and the first letter first: most fields are none of these.
            let Some(first) = name.as_bytes().first() else { continue };
            match (name.len(), first | 0x20) {
                (4, b'h') if name.eq_ignore_ascii_case("host") => {
                    known.hosts += 1;
                    known.host = Some(value);
                }
                // RFC 9110 §10.1.1: a list, so several fields of it are one. A parameter's comma divides it too: it is no 100-continue anyway.
                (6, b'e') if name.eq_ignore_ascii_case("expect") => {
                    for expectation in list(value) {
                        let is_continue = expectation.eq_ignore_ascii_case(b"100-continue");
                        known.expects_continue |= is_continue;
                        known.expects_other |= !is_continue;
                    }
                }
                (7, b'u') if name.eq_ignore_ascii_case("upgrade") => {
                    known.asks_upgrade |= list(value).any(|protocol| !protocol.eq_ignore_ascii_case(b"h2c"));
                }
                (10, b'c') if name.eq_ignore_ascii_case("connection") => {
                    for option in list(value) {
                        known.close |= option.eq_ignore_ascii_case(b"close");
                        known.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                    }
                }
                // RFC 9112 §6.3: a length that is told twice is told wrong.
                (14, b'c')
                    if name.eq_ignore_ascii_case("content-length") && known.content_length.replace(value).is_some() =>
                {
                    return Err(Reject::BadRequest("more than one Content-Length"));
                }
                (5.., b'i') if name.as_bytes()[..3].eq_ignore_ascii_case(b"if-") => known.is_conditional = true,
                (17, b't') if name.eq_ignore_ascii_case("transfer-encoding") => known.transfer_encoding = Some(value),
                _ => {}
            }
        }
        Ok(known)
    }
}
