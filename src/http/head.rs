//! The head of a request: where it ends, and what it says (RFC 9112 §2-§3, §5).
//!
//! httparse splits the fields; strictness is ours. It takes bare LF as a line's end, non-ASCII and delimiters in targets, any number of
//! empty lines before the request, and no HTTP/1.2.

use super::fields::{bytes_of, is_token, list};
use super::{Fields, Framing, Limits, Method, Reject, Target, Version};
use httparse::{Header, Status};
use memchr::{memchr, memchr_iter};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use std::net::Ipv6Addr;

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

/// RFC 9112 §3: 414 for a target and 501 for a method that is longer than any that is served.
fn line_too_long(line: &[u8]) -> Reject {
    match memchr(b' ', line) {
        Some(_) => Reject::UriTooLong,
        None if is_token(line) => Reject::MethodTooLong,
        None => Reject::BadRequest("the method is not a token"),
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

/// RFC 9112 §3: method SP request-target SP HTTP-version, with single spaces.
fn parse_request_line(line: &[u8]) -> Result<(Method, &str, Version), Reject> {
    let no_words = Reject::BadRequest("the request line is not: method, target, version, a space between each");
    let is_space = |byte: &u8| *byte == b' ';
    // From both ends: of the target, the longest of the three, each byte is looked at once.
    let (Some(first), Some(last)) = (line.iter().position(is_space), line.iter().rposition(is_space)) else {
        return Err(no_words);
    };
    let Some(target) = line.get(first + 1..last) else { return Err(no_words) };
    let text = target_text(target);
    if text.is_none() && target.contains(&b' ') {
        return Err(no_words);
    }
    let version = parse_version(&line[last + 1..])?;
    // It takes tokens and nothing else.
    let method = Method::from_bytes(&line[..first]).map_err(|_| Reject::BadRequest("the method is not a token"))?;
    let target = text.ok_or(Reject::BadRequest("the target has a byte that must be percent-encoded"))?;
    Ok((method, target, version))
}

/// RFC 3986 has more; the others too are sent by browsers as they are, and none of them divides anything.
const NOT_IN_TARGET: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'#');

/// A target as text, where it has no other bytes. What need not be encoded is lent as it is: `str::from_utf8` would look at each byte once
/// more, and of so few takes ten times as long.
fn target_text(target: &[u8]) -> Option<&str> {
    let text = percent_encode(target, NOT_IN_TARGET).next().unwrap_or("");
    (text.as_bytes() == target).then_some(text)
}

/// RFC 9112 §2.3.
fn parse_version(version: &[u8]) -> Result<Version, Reject> {
    match version {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor] if minor.is_ascii_digit() => Ok(Version::Http11),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            Err(Reject::VersionNotSupported)
        }
        _ => Err(Reject::BadRequest("the request line does not end in HTTP/1.1")),
    }
}

/// RFC 9112 §3.2: origin-form, absolute-form, or the asterisk of OPTIONS; and the authority, where the target names one. The authority-form
/// belongs to CONNECT, which is refused whatever it says.
fn parse_target<'a>(target: &'a str, method: &Method) -> Result<(Option<&'a str>, Target<'a>), Reject> {
    const WHOLE_SERVER: Target<'_> = Target { path: "*", query: None };
    if method == Method::CONNECT {
        return Err(refuse_connect(target));
    }
    let (authority, rest) = match target {
        "*" if method == Method::OPTIONS => return Ok((None, WHOLE_SERVER)),
        _ if target.starts_with('/') => (None, target),
        _ => absolute_form(target)?,
    };
    // RFC 9112 §3.2.4: what a proxy was asked for so, an origin server is asked for by the asterisk.
    if rest.is_empty() && method == Method::OPTIONS {
        return Ok((authority, WHOLE_SERVER));
    }
    let (path, query) = match memchr(b'?', rest.as_bytes()) {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    // RFC 9110 §4.2.3: an empty path is the same as a slash.
    Ok((authority, Target { path: if path.is_empty() { "/" } else { path }, query }))
}

/// The authority of an http URL, and what follows it.
fn absolute_form(target: &str) -> Result<(Option<&str>, &str), Reject> {
    let no_url = Reject::BadRequest("the target is neither a path nor an http URL");
    let Some((scheme, rest)) = target.split_once("://") else { return Err(no_url) };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    // RFC 9110 §4.2.1: an http URL without a host is invalid, port or not; §4.2.4: so is one with userinfo.
    let names_host = !authority.is_empty() && !authority.starts_with(':') && is_host(authority.as_bytes());
    match scheme.to_ascii_lowercase().as_str() {
        "http" if names_host => Ok((Some(authority), rest)),
        // RFC 9110 §7.4: what is secured can't be asked for over a connection that is not.
        "https" if names_host => Err(Reject::Misdirected),
        _ => Err(no_url),
    }
}

/// RFC 9110 §9.3.6: a port that is none is 400; and no other is a tunnel's end here.
fn refuse_connect(target: &str) -> Reject {
    let port = target.rsplit_once(':').filter(|(host, _)| !host.is_empty() && is_host(target.as_bytes()));
    match port.and_then(|(_, port)| port.parse::<u16>().ok()) {
        None | Some(0) => Reject::BadRequest("the target of CONNECT is not a host and a port"),
        Some(_) => Reject::NoTunnel,
    }
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

/// RFC 9112 §3.2: a 1.1 request has exactly one Host, a 1.0 request at most one, and it is a host.
fn check_host(host: Option<&[u8]>, hosts: usize, version: Version) -> Result<&[u8], Reject> {
    match (host, hosts, version) {
        (None, _, Version::Http10) => Ok(b""),
        (None, _, Version::Http11) => Err(Reject::BadRequest("no Host")),
        (Some(host), 1, _) if is_host(host) => Ok(host),
        (Some(_), 1, _) => Err(Reject::BadRequest("the Host is malformed")),
        (Some(_), _, _) => Err(Reject::BadRequest("more than one Host")),
    }
}

/// RFC 9110 §7.2: uri-host [ ":" port ], where the host may be empty (RFC 3986 §3.2.2).
fn is_host(host: &[u8]) -> bool {
    let rest = match host.strip_prefix(b"[") {
        Some(literal) => match memchr(b']', literal) {
            Some(end) if is_ip_address(&literal[..end]) => &literal[end + 1..],
            Some(_) | None => return false,
        },
        None => &host[name_length(host)..],
    };
    match rest {
        [b':', port @ ..] => port.iter().all(u8::is_ascii_digit),
        rest => rest.is_empty(),
    }
}

/// How much of it is RFC 3986's reg-name, of which an IPv4 address is one.
fn name_length(host: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let rest = &host[at..];
        at += rest.iter().position(|byte| !NAME_BYTES[usize::from(*byte)]).unwrap_or(rest.len());
        match &host[at..] {
            [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => at += 3,
            _ => return at,
        }
    }
}

/// What stands between the brackets of an IP-literal: an IPv6 address, or one of the versions to come.
fn is_ip_address(address: &[u8]) -> bool {
    let Ok(address) = std::str::from_utf8(address) else { return false };
    let is_future =
        address.strip_prefix(['v', 'V']).and_then(|rest| rest.split_once('.')).is_some_and(|(version, rest)| {
            let is_rest = |byte: u8| NAME_BYTES[usize::from(byte)] || byte == b':';
            let is_version = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_version && !rest.is_empty() && rest.bytes().all(is_rest)
        });
    is_future || address.parse::<Ipv6Addr>().is_ok()
}

/// RFC 3986's unreserved and sub-delims.
static NAME_BYTES: [bool; 256] =
    bytes_of(b"!$&'()*+,-.0123456789;=ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~");
