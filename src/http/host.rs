//! What a Host field, and the authority of a target, may be (RFC 9110 §7.2, RFC 3986 §3.2).

use super::fields::bytes_of;
use super::{Reject, Version};
use memchr::memchr;
use std::net::Ipv6Addr;

/// RFC 9112 §3.2: a 1.1 request has exactly one Host, a 1.0 request at most one, and it is a host.
pub(super) fn check_host(host: Option<&[u8]>, hosts: usize, version: Version) -> Result<&[u8], Reject> {
    match (host, hosts, version) {
        (None, _, Version::Http10) => Ok(b""),
        (None, _, Version::Http11) => Err(Reject::BadRequest("no Host")),
        (Some(host), 1, _) if is_host(host) => Ok(host),
        (Some(_), 1, _) => Err(Reject::BadRequest("the Host is malformed")),
        (Some(_), _, _) => Err(Reject::BadRequest("more than one Host")),
    }
}

/// RFC 9110 §7.2: uri-host [ ":" port ], where the host may be empty (RFC 3986 §3.2.2).
pub(super) fn is_host(host: &[u8]) -> bool {
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
