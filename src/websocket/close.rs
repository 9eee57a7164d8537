//! Why a socket closes (RFC 6455 §7.4).
//!
//! Invariant: a [`CloseCode`] can stand in a Close frame.

use std::fmt;

/// A status code as it may stand in a Close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: what the socket was for is done.
    pub const NORMAL: CloseCode = CloseCode(1000);
    /// 1001: the server goes down, or the browser to another page.
    pub const GOING_AWAY: CloseCode = CloseCode(1001);
    /// 1002: what came is not the protocol.
    pub const PROTOCOL_ERROR: CloseCode = CloseCode(1002);
    /// 1003: a kind of data that is not taken here, as binary where text is meant.
    pub const UNSUPPORTED: CloseCode = CloseCode(1003);
    /// 1007: data that is not what its kind says, as text that is not UTF-8.
    pub const INVALID_DATA: CloseCode = CloseCode(1007);
    /// 1008: a message that breaks the rules of the house, where no other code fits.
    pub const POLICY: CloseCode = CloseCode(1008);
    /// 1009: a message that is too big.
    pub const TOO_BIG: CloseCode = CloseCode(1009);
    /// 1011: something here went wrong.
    pub const INTERNAL_ERROR: CloseCode = CloseCode(1011);
    /// 1013: too much is going on here, another time perhaps.
    pub const TRY_AGAIN_LATER: CloseCode = CloseCode(1013);

    /// A code of which §7.4 and its registry say that it may be sent: 1000 to 1003, 1007 to 1014, those of libraries (3000 to 3999) and of
    /// applications (4000 to 4999). `None` for 1004, which is reserved, for 1005, 1006 and 1015, which tell an application what no frame
    /// said, and for what has no meaning yet.
    pub fn new(code: u16) -> Option<CloseCode> {
        matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999).then_some(CloseCode(code))
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }
}

/// What a peer sent that fails the connection (RFC 6455 §7.1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// What the peer is told.
    pub code: CloseCode,
    /// The same for a person.
    pub reason: &'static str,
}

impl Failure {
    pub(super) fn protocol(reason: &'static str) -> Failure {
        Failure { code: CloseCode::PROTOCOL_ERROR, reason }
    }

    pub(super) fn not_utf8() -> Failure {
        Failure { code: CloseCode::INVALID_DATA, reason: "a text is not UTF-8" }
    }

    pub(super) fn too_big() -> Failure {
        Failure { code: CloseCode::TOO_BIG, reason: "the message is too big" }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.get(), self.reason)
    }
}

impl std::error::Error for Failure {}
