//! Who may ask: under a name that is this server's, from a page that is its own, with a user's password. A [`Service`] around another.
//!
//! Invariant: what is refused reaches nothing behind it, neither its head nor its body.
//!
//! ```text
//!   Host ──▶ 421      Origin, Sec-Fetch-Site ──▶ 403      Authorization ──▶ 401      else ──▶ the service
//! ```

mod users;

pub use users::{UserError, Users};

use crate::http::{Answer, Inquiry, Method, Reception, Reject, Request, Service};
use memchr::{memchr, memrchr};

/// What is asked of a request: of none anything, by default.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Names that the server answers to beside localhost and what is no name, as IP addresses: 421 to all others. `None`: to any. A page of
    /// another site can give its own name the address of a server on its reader's machine (DNS rebinding), and is of the same origin then;
    /// what it can't do is have the browser say another Host.
    pub hosts: Option<Vec<String>>,
    /// 403 to a request that may change something and comes from a page of another origin (RFC 6454), as browsers tell it by Origin and
    /// Sec-Fetch-Site. Who says neither is no browser.
    pub own_pages_only: bool,
    /// Who may ask for what, by user and password (RFC 7617): 401 to all others. `None`: anybody.
    pub users: Option<(Users, Scope)>,
}

/// What only users may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What may change something: methods that are not safe (RFC 9110 §9.2.1), and to speak another protocol.
    Writing,
    /// All there is.
    Everything,
}

/// What becomes of a request.
enum Verdict {
    Pass,
    Refuse(Reject),
    /// It takes a while to say.
    Inquire(Inquiry),
}

impl Rules {
    /// Whether there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_none() && !self.own_pages_only && self.users.is_none()
    }

    fn judge(&self, request: &Request<'_>) -> Verdict {
        if self.hosts.as_ref().is_some_and(|names| !is_own_host(request.host, names)) {
            return Verdict::Refuse(Reject::ForeignHost);
        }
        if self.own_pages_only && may_change(request) && !is_of_own_page(request) {
            return Verdict::Refuse(Reject::Forbidden("a page of another site may not change anything here"));
        }
        match &self.users {
            Some((users, scope)) if *scope == Scope::Everything || may_change(request) => users.judge(request),
            Some(_) | None => Verdict::Pass,
        }
    }
}

/// RFC 9110 §9.2.1: other methods than the safe ones may change something; and who knows what is said in another protocol.
fn may_change(request: &Request<'_>) -> bool {
    let is_safe = matches!(request.method(), &Method::GET | &Method::HEAD | &Method::OPTIONS | &Method::TRACE);
    !is_safe || request.asks_upgrade
}

/// Whether a host, with its port or without, is an IP address, localhost, or one of `names`. None at all is no other site's either.
fn is_own_host(host: &[u8], names: &[String]) -> bool {
    let name = memchr(b':', host).map_or(host, |at| &host[..at]);
    // No name ends in a number: what does, browsers take for an IPv4 address, or for nothing (WHATWG URL, "ends in a number").
    let is_number = |label: &[u8]| !label.is_empty() && label.iter().all(u8::is_ascii_digit);
    if host.starts_with(b"[") || name.is_empty() || is_number(last_label(name)) {
        return true;
    }
    let name = name.strip_suffix(b".").unwrap_or(name);
    // RFC 6761 §6.3: names beneath localhost lead to this machine too.
    let is_local = last_label(name).eq_ignore_ascii_case(b"localhost");
    is_local || names.iter().any(|own| own.as_bytes().eq_ignore_ascii_case(name))
}

fn last_label(name: &[u8]) -> &[u8] {
    memrchr(b'.', name).map_or(name, |dot| &name[dot + 1..])
}

/// Whether no field says that another origin's page asks. Of several fields each must say so.
fn is_of_own_page(request: &Request<'_>) -> bool {
    let fields = request.fields();
    let is_own_site = |site: &[u8]| matches!(site, b"same-origin" | b"none");
    fields.all("origin").all(|origin| is_own_origin(origin, request.host()))
        && fields.all("sec-fetch-site").all(is_own_site)
}

/// Whether an origin (RFC 6454 §7) is that of `host`. Its scheme may be https: a proxy in front may secure the way.
fn is_own_origin(origin: &[u8], host: &str) -> bool {
    let Ok(origin) = std::str::from_utf8(origin) else { return false };
    let (authority, port) = match (origin.strip_prefix("http://"), origin.strip_prefix("https://")) {
        (Some(authority), _) => (authority, ":80"),
        (None, Some(authority)) => (authority, ":443"),
        (None, None) => return false, // "null" too: it is a page of no origin.
    };
    let without_port = |host: &str| host.strip_suffix(port).unwrap_or(host).to_ascii_lowercase();
    !host.is_empty() && without_port(authority) == without_port(host)
}

/// A service, guarded.
pub struct Guard<S> {
    service: S,
    rules: Rules,
}

impl<S: Service> Guard<S> {
    /// Lets `service` be asked what `rules` allow.
    pub fn new(service: S, rules: Rules) -> Guard<S> {
        Guard { service, rules }
    }
}

impl<S: Service> Service for Guard<S> {
    fn respond(&self, request: &Request<'_>) -> Answer {
        match self.rules.judge(request) {
            Verdict::Pass => self.service.respond(request),
            Verdict::Refuse(reject) => reject.into(),
            Verdict::Inquire(inquiry) => Answer::Later(inquiry.into()),
        }
    }

    fn receive_body(&self, request: &Request<'_>) -> Reception {
        match self.rules.judge(request) {
            Verdict::Pass => self.service.receive_body(request),
            Verdict::Refuse(reject) => Reception::Refuse(reject.into()),
            Verdict::Inquire(inquiry) => Reception::Inquire(inquiry),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_this_servers_by_address_by_localhost_or_by_what_was_said() {
        let names = ["My.box".to_string()];
        for host in [
            "127.0.0.1",
            "127.0.0.1:8000",
            "192.168.0.7:80",
            "10.1",
            "evil.1:80",
            "[::1]",
            "[::1]:8000",
            "localhost",
            "LOCALHOST:8000",
            "localhost.",
            "app.localhost:9",
            "my.BOX:8000",
            "my.box.",
            "",
            ":8000",
        ] {
            assert!(is_own_host(host.as_bytes(), &names), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8000",
            "localhost.evil.example",
            "notlocalhost",
            "127.0.0.1.evil.example",
            "127.0.0.1.",
            "0x7f000001",
            "not.my.box",
            "my.box.evil",
            "my",
            "%6cocalhost",
        ] {
            assert!(!is_own_host(host.as_bytes(), &names), "{host}");
        }
    }

    #[test]
    fn an_origin_is_own_where_host_and_port_are() {
        for (origin, host, want) in [
            ("http://a:8000", "a:8000", true),
            ("http://A:8000", "a:8000", true),
            ("http://a", "a", true),
            ("http://a", "a:80", true),
            ("https://a", "a", true),
            ("https://a", "a:443", true),
            ("https://a:443", "a", true),
            ("http://[::1]:8000", "[::1]:8000", true),
            ("http://a", "a:8000", false),
            ("http://a:8000", "a", false),
            ("http://a:9000", "a:8000", false),
            ("https://a", "a:80", false),
            ("http://b.a", "a", false),
            ("http://a.b", "a", false),
            ("http://", "", false),
            ("null", "a", false),
            ("null", "null", false),
            ("", "a", false),
            ("ftp://a", "a", false),
            ("http://a http://b", "a", false),
        ] {
            assert_eq!(is_own_origin(origin.as_bytes(), host), want, "{origin} at {host}");
        }
    }
}
