//! The request line: a method, a target, a version (RFC 9112 §3), and what a target names.

use super::fields::is_token;
use super::host::is_host;
use super::{Method, Reject, Target, Version};
use memchr::memchr;
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

/// RFC 9112 §3: 414 for a target and 501 for a method that is longer than any that is served.
pub(super) fn line_too_long(line: &[u8]) -> Reject {
    match memchr(b' ', line) {
        Some(_) => Reject::UriTooLong,
        None if is_token(line) => Reject::MethodTooLong,
        None => Reject::BadRequest("the method is not a token"),
    }
}

/// RFC 9112 §3: method SP request-target SP HTTP-version, with single spaces.
pub(super) fn parse_request_line(line: &[u8]) -> Result<(Method, &str, Version), Reject> {
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
pub(super) fn parse_target<'a>(target: &'a str, method: &Method) -> Result<(Option<&'a str>, Target<'a>), Reject> {
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
