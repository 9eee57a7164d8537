//! Byte ranges (RFC 9110 §14).

use std::ops::Range;

/// Why a Range field gives no range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeError {
    /// It is malformed, of another unit, or asks for several: it is ignored and the whole is sent (§14.2 allows that).
    Ignore,
    /// It is outside of what there is: 416.
    NotSatisfiable,
}

/// The one range of a representation of `size` bytes that a Range field asks for; never empty.
///
/// # Errors
/// [`RangeError`]
pub fn parse_range(value: &[u8], size: u64) -> Result<Range<u64>, RangeError> {
    let value = std::str::from_utf8(value).map_err(|_| RangeError::Ignore)?;
    let (unit, ranges) = value.split_once('=').ok_or(RangeError::Ignore)?;
    let (first, last) = ranges.trim_matches([' ', '\t']).split_once('-').ok_or(RangeError::Ignore)?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return Err(RangeError::Ignore);
    }
    let range = match (position(first)?, position(last)?) {
        (None, None) => return Err(RangeError::Ignore),
        (Some(first), Some(last)) if first > last => return Err(RangeError::Ignore),
        (Some(first), Some(last)) => first..last.saturating_add(1).min(size),
        (Some(first), None) => first..size,
        (None, Some(suffix)) => size.saturating_sub(suffix)..size,
    };
    if range.start < range.end { Ok(range) } else { Err(RangeError::NotSatisfiable) }
}

/// A position, or `None` where it is left out. One that no number holds is past every end.
fn position(digits: &str) -> Result<Option<u64>, RangeError> {
    match digits {
        "" => Ok(None),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok(Some(digits.parse().unwrap_or(u64::MAX))),
        _ => Err(RangeError::Ignore),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_of_a_hundred_bytes() {
        use RangeError::*;
        let cases: &[(&str, Result<Range<u64>, RangeError>)] = &[
            ("bytes=0-0", Ok(0..1)),
            ("bytes=0-99", Ok(0..100)),
            ("bytes=0-100", Ok(0..100)),
            ("bytes=99-", Ok(99..100)),
            ("bytes=10-19", Ok(10..20)),
            ("BYTES= 10-19 ", Ok(10..20)),
            ("bytes=-1", Ok(99..100)),
            ("bytes=-100", Ok(0..100)),
            ("bytes=-500", Ok(0..100)),
            ("bytes=5-99999999999999999999999", Ok(5..100)),
            ("bytes=5-18446744073709551615", Ok(5..100)),
            ("bytes=100-", Err(NotSatisfiable)),
            ("bytes=100-200", Err(NotSatisfiable)),
            ("bytes=99999999999999999999999-", Err(NotSatisfiable)),
            ("bytes=-0", Err(NotSatisfiable)),
            ("bytes=9-5", Err(Ignore)),
            ("bytes=-", Err(Ignore)),
            ("bytes=", Err(Ignore)),
            ("bytes", Err(Ignore)),
            ("bytes=a-5", Err(Ignore)),
            ("bytes=+1-5", Err(Ignore)),
            ("bytes=0--5", Err(Ignore)),
            ("bytes=0-1,3-4", Err(Ignore)),
            ("lines=0-5", Err(Ignore)),
            ("", Err(Ignore)),
        ];
        for (value, want) in cases {
            assert_eq!(&parse_range(value.as_bytes(), 100), want, "{value}");
        }
        assert_eq!(parse_range(b"bytes=\xff-5", 100), Err(Ignore));
        for value in ["bytes=0-", "bytes=0-0", "bytes=-5"] {
            assert_eq!(parse_range(value.as_bytes(), 0), Err(NotSatisfiable), "{value} of nothing");
        }
    }
}
