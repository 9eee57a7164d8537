//! What the values of flags mean, and what to try in place of one that means nothing.

use std::time::Duration;
use tripoll::http::check_field;
use tripoll::sys::{self, User};

/// A user that there is.
pub fn user(name: &str) -> Result<User, String> {
    match sys::user_named(name) {
        Ok(found) => found.ok_or("there is no such user".into()),
        Err(error) => Err(format!("cannot look users up: {error}")),
    }
}

/// A duration that is not nothing.
pub fn time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("it must be more than nothing".into()),
        Ok(time) => Ok(time),
        Err(error) => Err(format!("{error}; try 10s")),
    }
}

/// Bytes, with a suffix that multiplies by 1,024 once, twice, three times.
pub fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 10),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 20),
        Some(b'G' | b'g') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: Option<u64> = digits.parse().ok().filter(|_| is_number);
    number.and_then(|number| number.checked_mul(1 << shift)).ok_or("it is a number of bytes; try 16K or 1M".into())
}

/// Every connection may make the server keep this much.
pub fn head_size(text: &str) -> Result<u64, String> {
    match size(text)? {
        size @ 256..=1_048_576 => Ok(size),
        _ => Err("it is between 256 and 1M".into()),
    }
}

pub fn file_name(text: &str) -> Result<String, String> {
    let is_plain = !text.is_empty() && !text.contains(['/', '\0']) && text != "." && text != "..";
    if is_plain { Ok(text.into()) } else { Err("it is the name of a file, without its folder".into()) }
}

pub fn host_name(text: &str) -> Result<String, String> {
    let is_name = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    let why = "it is a name without scheme and port, or *; try --host my.box";
    if is_name || text == "*" { Ok(text.into()) } else { Err(why.into()) }
}

pub fn field_value(text: &str) -> Result<String, String> {
    check_field("Cache-Control", text).map(|()| text.into())
}

pub fn field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("it is a name, a colon, a value; try 'X-Frame-Options: DENY'")?;
    let (name, value) = (name.to_string(), value.trim_matches([' ', '\t']).to_string());
    check_field(&name, &value).map(|()| (name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_suffixes() {
        for (text, want) in [("0", 0), ("5", 5), ("16K", 16 << 10), ("1M", 1 << 20), ("3g", 3 << 30)] {
            assert_eq!(size(text), Ok(want), "{text}");
        }
        for text in ["", "K", "-1", "+1", "1 K", "1KB", "1.5M", "99999999999G", "18446744073709551616"] {
            assert!(size(text).is_err(), "{text}");
        }
        assert!(head_size("255").is_err() && head_size("256").is_ok());
        assert!(head_size("1M").is_ok() && head_size("1025K").is_err());
    }

    #[test]
    fn fields_are_fields() {
        assert_eq!(field("X-Frame-Options: DENY "), Ok(("X-Frame-Options".into(), "DENY".into())));
        for text in ["none", ": x", "a b: c", "a: b\nc: d", "Content-Length: 5", "date: now", "connection: close"] {
            assert!(field(text).is_err(), "{text}");
        }
    }
}
