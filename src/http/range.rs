//! Byte ranges (RFC 9110 §14).
//!
//! Invariant: ranges that come out of here are not empty, lie inside, and neither overlap nor touch: sent together they are never more than
//! the whole.

use super::conditions::{Validators, if_range_holds};
use super::fields::list;
use super::{Method, Reject, Request};
use crate::protocol::Chunk;
use std::ops::Range;

/// Ranges that are looked at in one request; past it the whole is sent. Readers of indexed formats ask for a dozen; and each part costs its
/// sender a head of some 120 bytes and a sendfile, for four bytes of request (RFC 9110 §17.15).
pub const RANGES_MAX: usize = 64;

/// Why a Range field gives no range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeError {
    /// It is malformed, of another unit, or asks for more than [`RANGES_MAX`]: it is ignored and the whole is sent (§14.2 allows that).
    Ignore,
    /// It is outside of what there is: 416.
    NotSatisfiable,
}

/// What of a representation of `size` bytes a request wants: `None` is all of it.
///
/// # Errors
/// 416
pub fn requested_ranges(
    request: &Request<'_>,
    current: &Validators,
    size: u64,
) -> Result<Option<Vec<Range<u64>>>, Reject> {
    let fields = request.fields();
    let mut values = fields.all("range");
    // RFC 9110 §14.2: of GET alone; and the field is no list of fields.
    let (Some(value), None, &Method::GET) = (values.next(), values.next(), request.method()) else { return Ok(None) };
    // RFC 9110 §13.2.2, step 5: before it is asked whether the ranges can be had, since they are of what the client has a part of.
    if !if_range_holds(request, current) {
        return Ok(None);
    }
    match parse_ranges(value, size) {
        Ok(ranges) => Ok(Some(ranges)),
        Err(RangeError::Ignore) => Ok(None),
        Err(RangeError::NotSatisfiable) => Err(Reject::RangeNotSatisfiable { size }),
    }
}

/// The ranges of a representation of `size` bytes that a Range field asks for, in the order of the field. Those that overlap or touch are
/// one, in the place of the first; those outside are left out.
///
/// # Errors
/// [`RangeError`]
pub fn parse_ranges(value: &[u8], size: u64) -> Result<Vec<Range<u64>>, RangeError> {
    let equals = value.iter().position(|byte| *byte == b'=').ok_or(RangeError::Ignore)?;
    let (unit, set) = (&value[..equals], &value[equals + 1..]);
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return Err(RangeError::Ignore);
    }
    let mut ranges: Vec<Range<u64>> = Vec::new();
    let mut count = 0;
    for range in list(set) {
        count += 1;
        // RFC 9110 §14.1.1: one that is invalid makes the set invalid.
        let range = parse_range(range, size)?;
        if count > RANGES_MAX {
            return Err(RangeError::Ignore);
        }
        if !range.is_empty() {
            insert(&mut ranges, range);
        }
    }
    match (count, ranges.is_empty()) {
        (0, _) => Err(RangeError::Ignore),
        (_, true) if size == 0 && has_suffix(set) => Err(RangeError::Ignore),
        (_, true) => Err(RangeError::NotSatisfiable),
        (_, false) => Ok(ranges),
    }
}

/// One range; empty where it is outside.
fn parse_range(range: &[u8], size: u64) -> Result<Range<u64>, RangeError> {
    let dash = range.iter().position(|byte| *byte == b'-').ok_or(RangeError::Ignore)?;
    Ok(match (position(&range[..dash])?, position(&range[dash + 1..])?) {
        (None, None) => return Err(RangeError::Ignore),
        (Some(first), Some(last)) if first > last => return Err(RangeError::Ignore),
        // RFC 9110 §14.1.2: an end past the end is the end.
        (Some(first), Some(last)) => first..last.saturating_add(1).min(size),
        (Some(first), None) => first..size,
        (None, Some(suffix)) => size.saturating_sub(suffix)..size,
    })
}

/// A position, or `None` where it is left out. One that no number holds is past every end.
fn position(digits: &[u8]) -> Result<Option<u64>, RangeError> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(RangeError::Ignore);
    }
    let text = std::str::from_utf8(digits).expect("digits are text");
    Ok((!text.is_empty()).then(|| text.parse().unwrap_or(u64::MAX)))
}

/// RFC 9110 §14.1.2: the one thing that can be satisfied of nothing. No Content-Range can say which bytes that are, so it is ignored.
fn has_suffix(set: &[u8]) -> bool {
    list(set).any(|range| range.strip_prefix(b"-").is_some_and(|digits| digits.iter().any(|digit| *digit != b'0')))
}

/// Adds a range. RFC 9110 §15.3.7.2: what overlaps is coalesced, so that the same bytes are not sent twice, and the order is that of the
/// field. Gaps are not filled, though they may be smaller than a part's head: who names two ranges gets two.
fn insert(ranges: &mut Vec<Range<u64>>, range: Range<u64>) {
    let touches = |other: &Range<u64>| other.start <= range.end && range.start <= other.end;
    match ranges.iter().position(touches) {
        None => ranges.push(range),
        Some(first) => {
            // Those there do not touch each other, so what touches the union touches the new one.
            let both = |one: Range<u64>, other: &Range<u64>| one.start.min(other.start)..one.end.max(other.end);
            let union = ranges.iter().filter(|other| touches(other)).fold(range.clone(), both);
            ranges.retain(|other| !touches(other));
            ranges.insert(first, union);
        }
    }
}

/// The value of Content-Range for a part.
pub fn content_range(range: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", range.start, range.end - 1)
}

/// The content of a multipart/byteranges (RFC 9110 §14.6) whose parts are these ranges of a representation of `size` bytes.
pub fn multipart(
    parts: impl IntoIterator<Item = (Range<u64>, Chunk)>,
    size: u64,
    media_type: &str,
    boundary: &str,
) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut line_end = "";
    for (range, content) in parts {
        let range = content_range(&range, size);
        let head = format!("{line_end}--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: {range}\r\n\r\n");
        chunks.extend([Chunk::Bytes(head.into_bytes()), content]);
        line_end = "\r\n"; // It belongs to the boundary (RFC 2046 §5.1.1), and the first has none before it.
    }
    chunks.push(Chunk::Bytes(format!("\r\n--{boundary}--\r\n").into_bytes()));
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_a_hundred_bytes() {
        use RangeError::*;
        let many = |count: usize| format!("bytes={}", vec!["1-2"; count].join(","));
        let (all_at_the_bound, past_the_bound) = (many(RANGES_MAX), many(RANGES_MAX + 1));
        type Spans = &'static [(u64, u64)];
        let cases: &[(&str, Result<Spans, RangeError>)] = &[
            ("bytes=0-0", Ok(&[(0, 1)])),
            ("bytes=0-99", Ok(&[(0, 100)])),
            ("bytes=0-100", Ok(&[(0, 100)])),
            ("bytes=99-", Ok(&[(99, 100)])),
            ("bytes=10-19", Ok(&[(10, 20)])),
            ("BYTES= 10-19 ", Ok(&[(10, 20)])),
            ("bytes=-1", Ok(&[(99, 100)])),
            ("bytes=-100", Ok(&[(0, 100)])),
            ("bytes=-500", Ok(&[(0, 100)])),
            ("bytes=5-99999999999999999999999", Ok(&[(5, 100)])),
            ("bytes=5-18446744073709551615", Ok(&[(5, 100)])),
            ("bytes=0-1,3-4", Ok(&[(0, 2), (3, 5)])),
            ("bytes= 0-1 ,\t,3-4,", Ok(&[(0, 2), (3, 5)])),
            ("bytes=3-4,0-1", Ok(&[(3, 5), (0, 2)])),
            ("bytes=0-1,2-4", Ok(&[(0, 5)])),
            ("bytes=2-4,0-1", Ok(&[(0, 5)])),
            ("bytes=0-0,-1", Ok(&[(0, 1), (99, 100)])),
            ("bytes=0-9,20-29,40-49,5-44", Ok(&[(0, 50)])),
            ("bytes=0-9,60-69,20-29,9-20", Ok(&[(0, 30), (60, 70)])),
            ("bytes=60-69,0-9,65-70,100-", Ok(&[(60, 71), (0, 10)])),
            ("bytes=5-5,5-5,5-5", Ok(&[(5, 6)])),
            ("bytes=0-,0-,-100", Ok(&[(0, 100)])),
            ("bytes=100-,5-5,-0", Ok(&[(5, 6)])),
            (&all_at_the_bound, Ok(&[(1, 3)])),
            (&past_the_bound, Err(Ignore)),
            ("bytes=100-", Err(NotSatisfiable)),
            ("bytes=100-200", Err(NotSatisfiable)),
            ("bytes=99999999999999999999999-", Err(NotSatisfiable)),
            ("bytes=-0", Err(NotSatisfiable)),
            ("bytes=100-,200-300,-0", Err(NotSatisfiable)),
            ("bytes=9-5", Err(Ignore)),
            ("bytes=0-1,9-5", Err(Ignore)),
            ("bytes=0-1,x", Err(Ignore)),
            ("bytes=200-,x", Err(Ignore)),
            ("bytes=-", Err(Ignore)),
            ("bytes=", Err(Ignore)),
            ("bytes=,", Err(Ignore)),
            ("bytes", Err(Ignore)),
            ("bytes =0-1", Err(Ignore)),
            ("bytes=a-5", Err(Ignore)),
            ("bytes=+1-5", Err(Ignore)),
            ("bytes=1 -5", Err(Ignore)),
            ("bytes=0--5", Err(Ignore)),
            ("lines=0-5", Err(Ignore)),
            ("", Err(Ignore)),
        ];
        for (value, want) in cases {
            let want = want.map(|ranges| ranges.iter().map(|(start, end)| *start..*end).collect());
            assert_eq!(parse_ranges(value.as_bytes(), 100), want, "{value}");
        }
        assert_eq!(parse_ranges(b"bytes=\xff-5", 100), Err(Ignore));
        for value in ["bytes=0-", "bytes=0-0", "bytes=-0"] {
            assert_eq!(parse_ranges(value.as_bytes(), 0), Err(NotSatisfiable), "{value} of nothing");
        }
        assert_eq!(parse_ranges(b"bytes=-5", 0), Err(Ignore), "the last five of nothing are nothing");
    }
}
