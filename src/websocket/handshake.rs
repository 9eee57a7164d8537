//! The opening handshake as a server sees it (RFC 6455 §4.2): a request that asks for a socket, and the answer that opens it.
//!
//! Invariant: an [`Upgrade`] is of a request that obeys §4.2.1. That its target and Host are sound the head was held to.

use super::{Limits, Session, Socket};
use crate::http::{Answer, Method, Reject, Request, Response, StatusCode, Version, is_token, list};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha1_smol::Sha1;
use std::sync::Arc;

/// RFC 6455 §1.3: what no server says that does not know the protocol.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The one version that there is.
const VERSION: &str = "13";

/// A request for a socket.
#[derive(Debug, Clone)]
pub struct Upgrade<'a> {
    accept: String,
    offered: Vec<&'a str>,
    chosen: Option<&'a str>,
    origin: Option<&'a str>,
    host: &'a str,
}

impl<'a> Upgrade<'a> {
    /// Reads a request for a socket.
    ///
    /// # Errors
    /// The answer to one that is none: 405 to another method than GET, 426 where no upgrade to this version of WebSocket is asked for, else
    /// 400.
    pub fn of(request: &Request<'a>) -> Result<Upgrade<'a>, Response> {
        if request.method() != Method::GET {
            return Err(Reject::MethodNotAllowed { allow: "GET".to_string() }.into());
        }
        let fields = request.fields();
        let names = |name: &str, word: &str| {
            fields.all(name).flat_map(list).any(|element| element.eq_ignore_ascii_case(word.as_bytes()))
        };
        // RFC 9110 §7.8: Upgrade in HTTP/1.0 is to be ignored.
        let is_asked =
            request.version() == Version::Http11 && names("connection", "upgrade") && names("upgrade", "websocket");
        if !is_asked {
            return Err(upgrade_required("this is for WebSocket"));
        }
        match single(request, "sec-websocket-version") {
            Ok(Some(VERSION)) => {}
            Ok(Some(_)) => return Err(upgrade_required("that version of WebSocket is unknown")),
            Ok(None) | Err(()) => return Err(bad("Sec-WebSocket-Version has to be there once")),
        }
        let Ok(Some(key)) = single(request, "sec-websocket-key") else {
            return Err(bad("Sec-WebSocket-Key has to be there once"));
        };
        if !BASE64_STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16) {
            return Err(bad("Sec-WebSocket-Key is not 16 bytes in base64"));
        }
        let Ok(origin) = single(request, "origin") else { return Err(bad("there are two Origins")) };
        let mut offered = Vec::new();
        for element in fields.all("sec-websocket-protocol").flat_map(list) {
            match std::str::from_utf8(element) {
                Ok(name) if is_token(element) && !offered.contains(&name) => offered.push(name),
                _ => return Err(bad("Sec-WebSocket-Protocol is no list of different names")),
            }
        }
        Ok(Upgrade { accept: accept(key), offered, chosen: None, origin, host: request.host() })
    }

    /// Chooses the subprotocol that the client wants most of those that are spoken here (compared with case). Where there is none the
    /// socket opens without, and a client that insists closes it.
    pub fn choose(mut self, ours: &[&str]) -> Upgrade<'a> {
        self.chosen = self.offered.iter().copied().find(|name| ours.contains(name));
        self
    }

    /// The subprotocol that was chosen.
    pub fn subprotocol(&self) -> Option<&'a str> {
        self.chosen
    }

    /// Which site's page asks, where it is a page: `https://example.org`. Pages of any site can open sockets to any other, with its
    /// cookies, so who serves more than what everybody may see looks at this.
    pub fn origin(&self) -> Option<&'a str> {
        self.origin
    }

    /// Whether no page of another host asks: there is no Origin, or it has the host and port that the request has.
    pub fn is_same_origin(&self) -> bool {
        self.origin.is_none_or(|origin| {
            origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(self.host))
        })
    }

    /// Opens the socket and lets `session` speak.
    pub fn accept<S: Session + 'static>(&self, limits: &Arc<Limits>, session: S) -> Answer {
        Answer::Upgrade(self.response(), Box::new(Socket::new(limits.clone(), session)))
    }

    /// The answer that opens the socket, for who has another [`Protocol`](crate::protocol::Protocol) for it.
    pub fn response(&self) -> Response {
        let response = Response::new(StatusCode::SWITCHING_PROTOCOLS)
            .field("Upgrade", "websocket")
            .field("Sec-WebSocket-Accept", &self.accept);
        match self.chosen {
            Some(name) => response.field("Sec-WebSocket-Protocol", name),
            None => response,
        }
    }
}

/// The value of a field that may be there once.
fn single<'a>(request: &Request<'a>, name: &str) -> Result<Option<&'a str>, ()> {
    let fields = request.fields();
    let mut values = fields.all(name);
    match (values.next(), values.next()) {
        (Some(value), None) => std::str::from_utf8(value).map(Some).map_err(|_| ()),
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(()),
    }
}

/// RFC 6455 §4.2.2: what proves that the key was understood.
fn accept(key: &str) -> String {
    let mut hash = Sha1::from(key);
    hash.update(GUID);
    BASE64_STANDARD.encode(hash.digest().bytes())
}

/// RFC 9110 §15.5.22, RFC 6455 §4.4: what to ask for instead.
fn upgrade_required(reason: &str) -> Response {
    Response::text(format!("426 Upgrade Required: {reason}\n"))
        .with_status(StatusCode::UPGRADE_REQUIRED)
        .field("Upgrade", "websocket")
        .field("Sec-WebSocket-Version", VERSION)
}

fn bad(reason: &'static str) -> Response {
    Reject::BadRequest(reason).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_rfc_is_accepted_as_there() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
