//! Conditional requests (RFC 9110 §13): what a client makes its request depend on, held against what is there.
//!
//! Invariant: preconditions have one order, that of §13.2.2, and one function that evaluates them; files, listings and routes ask it.
//!
//! ```text
//!   If-Match ─────▶ or, only without it, If-Unmodified-Since ──── false: 412
//!      │ true
//!   If-None-Match ▶ or, only without it, If-Modified-Since ────── false: 304 (GET, HEAD), 412 (others: the tag alone)
//!      │ true
//!   If-Range ─────▶ false: Range is ignored
//! ```

use super::{Method, Request, parse_date, seconds};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// An entity tag (RFC 9110 §8.8.3), as it stands in ETag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityTag(String);

impl EntityTag {
    /// The same tag is the same bytes.
    ///
    /// # Panics
    /// Where `opaque` has what no tag can have: a control byte, a space, a quote.
    pub fn strong(opaque: impl fmt::Display) -> EntityTag {
        let text = format!("\"{opaque}\"");
        assert!(is_tag(text.as_bytes()), "{text} can't be an entity tag");
        EntityTag(text)
    }

    /// The same tag is as good, but may be other bytes: it can't join ranges, and If-Match never finds it.
    ///
    /// # Panics
    /// As [`strong`](Self::strong).
    pub fn weak(opaque: impl fmt::Display) -> EntityTag {
        EntityTag(format!("W/{}", EntityTag::strong(opaque).0))
    }

    /// Reads the value of an ETag field.
    pub fn parse(value: &[u8]) -> Option<EntityTag> {
        let text = std::str::from_utf8(value).ok()?;
        is_tag(opaque(value)).then(|| EntityTag(text.into()))
    }

    /// The value of an ETag field.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is weak.
    pub fn is_weak(&self) -> bool {
        self.0.starts_with("W/")
    }

    /// RFC 9110 §8.8.3.2: both are strong, and the same.
    fn matches_strongly(&self, other: &[u8]) -> bool {
        !self.is_weak() && self.0.as_bytes() == other
    }

    /// RFC 9110 §8.8.3.2: the same, whether they are weak or strong.
    fn matches_weakly(&self, other: &[u8]) -> bool {
        opaque(self.0.as_bytes()) == opaque(other)
    }
}

/// A tag less its `W/`, which is case-sensitive.
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// RFC 9110 §8.8.3, `opaque-tag`.
fn is_tag(text: &[u8]) -> bool {
    let opaque = text.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    opaque.is_some_and(|opaque| opaque.iter().all(|byte| *byte > b' ' && *byte != b'"' && *byte != 0x7f))
}

/// What tells one state of a representation from another (RFC 9110 §8.8).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Validators {
    /// ETag.
    pub tag: Option<EntityTag>,
    /// Last-Modified.
    pub last_modified: Option<SystemTime>,
}

/// What preconditions make of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is performed.
    Proceed,
    /// 304: the client has it already.
    NotModified,
    /// 412: it is not performed.
    Failed,
}

/// Evaluates the preconditions of a request for a resource whose current representation has these validators; `None` where it has no
/// representation yet. For GET and HEAD the server asks this itself of every answer with 2xx. A handler of a state-changing method asks
/// before it changes anything, and answers [`Verdict::Failed`] with [`Reject::PreconditionFailed`](super::Reject::PreconditionFailed).
pub fn evaluate_preconditions(request: &Request<'_>, current: Option<&Validators>) -> Verdict {
    // RFC 9110 §13.2.1: methods that neither select nor modify a representation have no preconditions.
    let has_none = matches!(request.method(), &Method::CONNECT | &Method::OPTIONS | &Method::TRACE);
    // Most have none, and are asked for no field by its name.
    if has_none || !request.is_conditional {
        return Verdict::Proceed;
    }
    let is_read = matches!(request.method(), &Method::GET | &Method::HEAD);
    let changed = current.and_then(|current| current.last_modified).map(seconds);
    // RFC 9110 §13.2.2, steps 1 and 2: the date only without the tags (§13.1.4), and only of what has one.
    let is_met = match is_named(request, "if-match", current, EntityTag::matches_strongly) {
        Some(is_named) => is_named,
        None => match (changed, one_date(request, "if-unmodified-since")) {
            (Some(changed), Some(since)) => changed <= seconds(since),
            (None, _) | (_, None) => true,
        },
    };
    if !is_met {
        return Verdict::Failed;
    }
    // Steps 3 and 4: again the date only without the tags (§13.1.3).
    match is_named(request, "if-none-match", current, EntityTag::matches_weakly) {
        Some(true) if is_read => Verdict::NotModified,
        Some(true) => Verdict::Failed,
        Some(false) => Verdict::Proceed,
        None => match (changed, one_date(request, "if-modified-since")) {
            // A date in the future is of another clock, and says nothing (RFC 9110 §13.1.3: it is in terms of the origin's).
            (Some(changed), Some(since)) if is_read && since <= request.now() && changed <= seconds(since) => {
                Verdict::NotModified
            }
            _ => Verdict::Proceed,
        },
    }
}

/// RFC 9110 §13.1.5: whether what Range asks for may be sent, since it is a part of what the client has.
pub(super) fn if_range_holds(request: &Request<'_>, current: &Validators) -> bool {
    let fields = request.fields();
    let mut values = fields.all("if-range");
    let value = match (values.next(), values.next()) {
        (None, _) => return true,
        (Some(value), None) => value,
        (Some(_), Some(_)) => return false, // It is no list.
    };
    // A tag is told from a date by a quote among the first three.
    if value.iter().take(3).any(|byte| *byte == b'"') {
        return current.tag.as_ref().is_some_and(|tag| tag.matches_strongly(value));
    }
    let (Some(changed), Some(date)) = (current.last_modified, parse_date(value, request.now())) else { return false };
    // RFC 9110 §8.8.2.2: a date is strong when the second it names is over, so that nothing more can happen in it; and not while the tag
    // says that the file may still change unseen.
    let is_over = request.now() >= UNIX_EPOCH + Duration::from_secs(seconds(changed) + 1);
    let is_settled = !current.tag.as_ref().is_some_and(EntityTag::is_weak);
    is_over && is_settled && seconds(date) == seconds(changed)
}

/// Whether what is there is among the tags of a field, or the field is `*` and something is there. `None` without the field.
fn is_named(
    request: &Request<'_>,
    field: &str,
    current: Option<&Validators>,
    matches: fn(&EntityTag, &[u8]) -> bool,
) -> Option<bool> {
    let fields = request.fields();
    let mut lines = fields.all(field).peekable();
    let first = *lines.peek()?;
    if first == b"*" {
        // RFC 9110 §13.1.1: `*` stands alone; with others it is no valid list, and names nothing.
        return Some(current.is_some() && fields.all(field).count() == 1);
    }
    let Some(tag) = current.and_then(|current| current.tag.as_ref()) else { return Some(false) };
    Some(lines.flat_map(tags).any(|candidate| matches(tag, candidate)))
}

/// The tags of a list, each with its `W/`, as far as the list is one. A tag may hold commas, so it is not split at them.
fn tags(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let start = rest.iter().position(|byte| !matches!(byte, b',' | b' ' | b'\t'))?;
        rest = &rest[start..];
        let quote = rest.len() - opaque(rest).strip_prefix(b"\"")?.len();
        let length = quote + rest[quote..].iter().position(|byte| *byte == b'"')? + 1;
        let (tag, after) = rest.split_at(length);
        let follows = after.trim_ascii_start();
        rest = if follows.is_empty() || follows[0] == b',' { follows } else { b"" };
        Some(tag)
    })
}

/// The date of a field that is there once. RFC 9110 §13.1.3, §13.1.4: what is no date, or several, is ignored.
fn one_date(request: &Request<'_>, field: &str) -> Option<SystemTime> {
    let fields = request.fields();
    let mut values = fields.all(field);
    match (values.next(), values.next()) {
        (Some(value), None) => parse_date(value, request.now()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_tags_is_split_where_no_quote_is_open() {
        let cases: &[(&str, &[&str])] = &[
            ("\"a,b\"", &["\"a,b\""]),
            ("\"x\", W/\"a,b\"", &["\"x\"", "W/\"a,b\""]),
            (" ,\t\"x\" ,,\"\" , ", &["\"x\"", "\"\""]),
            ("", &[]),
            ("a,b", &[]),
            ("\"a", &[]),
            ("w/\"a\", \"b\"", &[]),
            ("\"a\" nonsense, \"b\"", &["\"a\""]),
            ("\"a\"\"b\"", &["\"a\""]),
            ("*, \"a\"", &[]),
        ];
        for (list, want) in cases {
            let want: Vec<_> = want.iter().map(|tag| tag.as_bytes()).collect();
            assert_eq!(tags(list.as_bytes()).collect::<Vec<_>>(), want, "{list}");
        }
    }

    /// RFC 9110 §8.8.3.2, Table 3.
    #[test]
    fn tags_compare_strongly_and_weakly() {
        let cases = [
            ("W/\"1\"", "W/\"1\"", false, true),
            ("W/\"1\"", "W/\"2\"", false, false),
            ("W/\"1\"", "\"1\"", false, true),
            ("\"1\"", "W/\"1\"", false, true),
            ("\"1\"", "\"1\"", true, true),
            ("\"a\"", "\"A\"", false, false),
        ];
        for (one, other, strongly, weakly) in cases {
            let tag = EntityTag::parse(one.as_bytes()).unwrap();
            let got = (tag.matches_strongly(other.as_bytes()), tag.matches_weakly(other.as_bytes()));
            assert_eq!(got, (strongly, weakly), "{one} and {other}");
        }
        for no_tag in ["", "\"", "x", "\"a b\"", "\"a\"b\"", "w/\"a\"", "W/", "W/x", "\"\x7f\""] {
            assert_eq!(EntityTag::parse(no_tag.as_bytes()), None, "{no_tag}");
        }
        assert_eq!(EntityTag::strong("v1").as_str(), "\"v1\"");
        assert_eq!(EntityTag::weak("v1").as_str(), "W/\"v1\"");
    }
}
