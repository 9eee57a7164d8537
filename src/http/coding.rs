//! What a client says of content codings (RFC 9110 §12.5.3).

use super::Request;
use super::fields::list;

/// The weights, in thousandths, that Accept-Encoding gives to content codings or `identity`, by their names or by `*`; 0 is "not
/// acceptable", `None` where it says nothing of it. Of a coding that is named twice the first counts; elements that are malformed are
/// passed over.
pub fn coding_weights<const COUNT: usize>(request: &Request<'_>, codings: [&str; COUNT]) -> [Option<u16>; COUNT] {
    let (mut weights, mut others) = ([None; COUNT], None);
    for (candidate, weight) in request.fields().all("accept-encoding").flat_map(list).filter_map(read) {
        // RFC 9110 §8.4.1: codings are compared without case, and `x-gzip` is gzip.
        let name = if candidate.eq_ignore_ascii_case(b"x-gzip") { b"gzip" } else { candidate };
        if name == b"*" {
            others.get_or_insert(weight);
        } else if let Some(at) = codings.iter().position(|coding| name.eq_ignore_ascii_case(coding.as_bytes())) {
            weights[at].get_or_insert(weight);
        }
    }
    // RFC 9110 §12.5.3: `*` stands for what is not named.
    weights.map(|weight| weight.or(others))
}

/// A coding and its weight.
fn read(element: &[u8]) -> Option<(&[u8], u16)> {
    match element.iter().position(|byte| *byte == b';') {
        None => Some((element, 1000)),
        Some(at) => {
            let (name, value) = element[at + 1..].trim_ascii().split_at_checked(2)?;
            let weight = if name.eq_ignore_ascii_case(b"q=") { thousandths(value)? } else { return None };
            Some((element[..at].trim_ascii(), weight))
        }
    }
}

/// RFC 9110 §12.4.2, `qvalue`: from 0 to 1, with up to three digits behind the point.
fn thousandths(value: &[u8]) -> Option<u16> {
    let (whole, digits) = match value {
        [whole @ (b'0' | b'1')] => (whole, &b""[..]),
        [whole @ (b'0' | b'1'), b'.', digits @ ..] if digits.len() <= 3 => (whole, digits),
        _ => return None,
    };
    let mut weight = u16::from(whole - b'0') * 1000;
    for (digit, place) in digits.iter().zip([100, 10, 1]) {
        weight += digit.is_ascii_digit().then(|| u16::from(digit - b'0') * place)?;
    }
    (weight <= 1000).then_some(weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_have_three_digits() {
        let cases = [
            ("0", Some(0)),
            ("1", Some(1000)),
            ("0.", Some(0)),
            ("0.5", Some(500)),
            ("0.001", Some(1)),
            ("0.999", Some(999)),
            ("1.000", Some(1000)),
            ("1.001", None),
            ("0.0001", None),
            ("2", None),
            ("-1", None),
            ("0,5", None),
            ("0.x", None),
            (".5", None),
            ("", None),
        ];
        for (value, want) in cases {
            assert_eq!(thousandths(value.as_bytes()), want, "{value}");
        }
    }

    #[test]
    fn an_element_is_a_coding_and_its_weight() {
        let cases: &[(&str, Option<(&str, u16)>)] = &[
            ("gzip", Some(("gzip", 1000))),
            ("gzip;q=0.5", Some(("gzip", 500))),
            ("gzip \t; Q=0", Some(("gzip", 0))),
            ("gzip;q= 0.5", None),
            ("gzip;level=9", None),
            ("gzip;q=0.5;q=1", None),
            ("gzip;", None),
        ];
        for (element, want) in cases {
            assert_eq!(read(element.as_bytes()), want.map(|(coding, weight)| (coding.as_bytes(), weight)), "{element}");
        }
    }
}
