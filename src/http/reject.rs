//! Requests that are refused: the status that says why, and whether the connection lives.

use super::{Response, StatusCode};

/// Why a request is not served as asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reject {
    /// 400: what came is not HTTP, or can be read in two ways. The reason is for a person.
    BadRequest(&'static str),
    /// 401, with the question for user and password (RFC 7617 §2).
    Unauthorized,
    /// 404
    NotFound,
    /// 403: it is there, and not to be had.
    Forbidden(&'static str),
    /// 405, with the methods that are allowed (RFC 9110 §10.2.1).
    #[allow(missing_docs)]
    MethodNotAllowed { allow: String },
    /// 406: what there is has only forms that the client says it does not take.
    NotAcceptable,
    /// 409: what is asked does not fit what is there: a folder that is not, or is not empty.
    Conflict(&'static str),
    /// 408: the rest of a request that was begun did not come in time.
    RequestTimeout,
    /// 412: a precondition of the request does not hold (RFC 9110 §13).
    PreconditionFailed,
    /// 413: the body is larger than [`body_bytes_max`](super::Limits::body_bytes_max).
    ContentTooLarge,
    /// 414: the request line is longer than [`request_line_bytes_max`](super::Limits::request_line_bytes_max).
    UriTooLong,
    /// 415: the body is of a type that is not taken here.
    UnsupportedMediaType(&'static str),
    /// 415: the body has a content coding, and none is taken here.
    ContentCoded,
    /// 416, with the size that the range was outside of (RFC 9110 §15.5.17).
    #[allow(missing_docs)]
    RangeNotSatisfiable { size: u64 },
    /// 417: an expectation that is not `100-continue`.
    ExpectationFailed,
    /// 421: an https URL, over a connection that is not secured (RFC 9110 §7.4).
    Misdirected,
    /// 421: a host that this server is not known by.
    ForeignHost,
    /// 428: something would be replaced that the client does not say it knows (RFC 6585 §3).
    PreconditionRequired(&'static str),
    /// 431: the head is longer than [`head_bytes_max`](super::Limits::head_bytes_max), or has too many fields.
    FieldsTooLarge,
    /// 500: a handler panicked, or said what can't be said.
    HandlerFailed,
    /// 500: reading a file failed for a reason of ours.
    ReadFailed,
    /// 500: writing a file failed for a reason of ours.
    WriteFailed,
    /// 501: a method that nothing here knows.
    MethodUnknown,
    /// 501: a method as long as a request line may be (RFC 9112 §3), so where the request ends is unknown too.
    MethodTooLong,
    /// 501: CONNECT. What would follow it is for the tunnel and no request.
    NoTunnel,
    /// 501: a transfer coding that nothing here knows, so the body's end is unknown too (RFC 9112 §6.1).
    CodingUnknown,
    /// 502: what is asked concerns another server too (RFC 4918 §9.9.4).
    OtherServer,
    /// 503: as many connections, or descriptors, are open as may be; or a name changed too often while it was resolved.
    Unavailable,
    /// 503: as much is being done beside the loop as may be.
    Busy,
    /// 505: a major version other than 1.
    VersionNotSupported,
    /// 507: what is sent finds no room (RFC 4918 §11.5).
    InsufficientStorage,
}

/// For whoever meets it in a browser and started the server.
const FOREIGN_HOST: &str = "this server is reached from its own machine alone, and answers to localhost and IP addresses, \
                            so that no other site's page can read it under a name of its own; to let it answer to this \
                            name, start it with --host NAME";

impl Reject {
    /// Its status and, for a person, the reason where the status does not say it.
    fn parts(&self) -> (StatusCode, &'static str) {
        match self {
            Reject::BadRequest(reason) => (StatusCode::BAD_REQUEST, reason),
            Reject::Unauthorized => (StatusCode::UNAUTHORIZED, "a user's name and password are needed"),
            Reject::NotFound => (StatusCode::NOT_FOUND, ""),
            Reject::Forbidden(reason) => (StatusCode::FORBIDDEN, reason),
            Reject::MethodNotAllowed { .. } => (StatusCode::METHOD_NOT_ALLOWED, ""),
            Reject::NotAcceptable => (StatusCode::NOT_ACCEPTABLE, "the request refuses every form of it that there is"),
            Reject::Conflict(reason) => (StatusCode::CONFLICT, reason),
            Reject::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "the rest of the request did not come in time"),
            Reject::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, ""),
            Reject::ContentTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, ""),
            Reject::UriTooLong => (StatusCode::URI_TOO_LONG, ""),
            Reject::UnsupportedMediaType(reason) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, reason),
            Reject::ContentCoded => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "it is taken as it is, without a Content-Encoding")
            }
            Reject::RangeNotSatisfiable { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, ""),
            Reject::ExpectationFailed => (StatusCode::EXPECTATION_FAILED, "only 100-continue is known"),
            Reject::Misdirected => (StatusCode::MISDIRECTED_REQUEST, "this connection is not secured"),
            Reject::ForeignHost => (StatusCode::MISDIRECTED_REQUEST, FOREIGN_HOST),
            Reject::PreconditionRequired(reason) => (StatusCode::PRECONDITION_REQUIRED, reason),
            Reject::FieldsTooLarge => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, ""),
            Reject::HandlerFailed | Reject::ReadFailed | Reject::WriteFailed => (StatusCode::INTERNAL_SERVER_ERROR, ""),
            Reject::MethodUnknown => (StatusCode::NOT_IMPLEMENTED, "that method is unknown"),
            Reject::MethodTooLong => (StatusCode::NOT_IMPLEMENTED, "no method is so long"),
            Reject::NoTunnel => (StatusCode::NOT_IMPLEMENTED, "this server is no tunnel"),
            Reject::CodingUnknown => (StatusCode::NOT_IMPLEMENTED, "that transfer coding is unknown"),
            Reject::OtherServer => (StatusCode::BAD_GATEWAY, "the destination is on another server"),
            Reject::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "too much is open at the moment"),
            Reject::Busy => (StatusCode::SERVICE_UNAVAILABLE, "too much is being done at the moment"),
            Reject::VersionNotSupported => (StatusCode::HTTP_VERSION_NOT_SUPPORTED, "this server speaks HTTP/1.1"),
            Reject::InsufficientStorage => (StatusCode::INSUFFICIENT_STORAGE, "there is no room for it"),
        }
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.parts().0
    }

    /// Whether the connection may serve another request: not where the end of this one is in doubt.
    pub fn connection_lives(&self) -> bool {
        match self {
            Reject::Unauthorized
            | Reject::NotFound
            | Reject::Forbidden(_)
            | Reject::MethodNotAllowed { .. }
            | Reject::NotAcceptable
            | Reject::Conflict(_)
            | Reject::PreconditionFailed
            | Reject::UnsupportedMediaType(_)
            | Reject::ContentCoded
            | Reject::PreconditionRequired(_)
            | Reject::WriteFailed
            | Reject::OtherServer
            | Reject::InsufficientStorage
            | Reject::RangeNotSatisfiable { .. }
            | Reject::ForeignHost
            | Reject::HandlerFailed
            | Reject::ReadFailed
            | Reject::MethodUnknown
            | Reject::Unavailable
            | Reject::Busy => true,
            Reject::BadRequest(_)
            | Reject::RequestTimeout
            | Reject::ContentTooLarge
            | Reject::ExpectationFailed
            | Reject::Misdirected
            | Reject::UriTooLong
            | Reject::FieldsTooLarge
            | Reject::MethodTooLong
            | Reject::NoTunnel
            | Reject::CodingUnknown
            | Reject::VersionNotSupported => false,
        }
    }
}

/// A handler may say `?` to what it can't do.
impl<Refusal: Into<Response>> From<Result<Response, Refusal>> for Response {
    fn from(result: Result<Response, Refusal>) -> Response {
        result.unwrap_or_else(Refusal::into)
    }
}

impl From<Reject> for Response {
    /// A line of text that says what the status says, and why where that helps. Nothing of the request is in it. A client that accepts
    /// HTML is sent a small page that says the same.
    fn from(reject: Reject) -> Response {
        let (status, reason) = reject.parts();
        let text = match reason {
            "" => format!("{status}\n"),
            reason => format!("{status}: {reason}\n"),
        };
        let response = Response::text(text).with_status(status);
        let response = response.into_error(reason, !reject.connection_lives());
        match reject {
            Reject::Unauthorized => response.field("WWW-Authenticate", "Basic realm=\"tripoll\", charset=\"UTF-8\""),
            Reject::MethodNotAllowed { allow } => response.field("Allow", &allow),
            // RFC 9110 §12.5.3: those that are taken.
            Reject::ContentCoded => response.field("Accept-Encoding", "identity"),
            Reject::RangeNotSatisfiable { size } => response.field("Content-Range", &format!("bytes */{size}")),
            _ => response,
        }
    }
}
