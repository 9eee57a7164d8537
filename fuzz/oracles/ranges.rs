//! Ranges of a file: what is sent is what was asked for, byte for byte, inside the size, and never more than the whole.
//!
//! Input: a byte that chooses the size; the value of Range.

use super::reader::Answer;
use super::site::{self, SIZES, content, field_value};
use std::ops::Range;

/// So many are never ignored.
const RANGES_MAX: usize = 64;

pub fn judge(data: &[u8]) {
    let Some((choice, value)) = data.split_first() else { return };
    let size = SIZES[usize::from(*choice) % SIZES.len()];
    let value = field_value(value);
    if value.len() > 4000 {
        return;
    }
    let answer = site::with(|site| site.ask("GET", size, &[b"Range: ", value.as_slice(), b"\r\n"].concat()));
    let about = format!("{size}, {}", value.escape_ascii());
    let want = wanted(&value, size as u64);
    let whole = content(size);
    match answer.status {
        200 => {
            assert!(want.may_be_ignored, "{about}: not the whole");
            assert!(answer.body == whole && answer.field("content-range").is_none(), "{about}: not the whole");
        }
        206 => check_parts(&answer, &want.ranges, &whole, &about),
        416 => {
            assert!(want.is_range && want.ranges.is_empty(), "{about}: it can be had");
            // RFC 9110 §15.5.17.
            assert_eq!(answer.field("content-range"), Some(format!("bytes */{size}").as_str()), "{about}");
        }
        status => panic!("{about}: {status}"),
    }
}

struct Wanted {
    /// It is a set of byte ranges.
    is_range: bool,
    /// Those of which there is a byte.
    ranges: Vec<Range<u64>>,
    /// 200 with the whole is an answer.
    may_be_ignored: bool,
}

/// RFC 9110 §14.1. What is not strictly written, of nothing, or of very many may be ignored (§14.2).
fn wanted(value: &[u8], size: u64) -> Wanted {
    let nonsense = Wanted { is_range: false, ranges: Vec::new(), may_be_ignored: true };
    let Ok(text) = std::str::from_utf8(value) else { return nonsense };
    let Some((unit, set)) = text.split_once('=') else { return nonsense };
    if !unit.eq_ignore_ascii_case("bytes") {
        return nonsense;
    }
    let (mut ranges, mut count, mut is_doubtful) = (Vec::new(), 0, false);
    for spec in set.split(',') {
        let spec = spec.trim_matches([' ', '\t']);
        if spec.is_empty() {
            continue;
        }
        count += 1;
        let Some((first, last)) = spec.split_once('-') else { return nonsense };
        if !first.bytes().chain(last.bytes()).all(|byte| byte.is_ascii_digit()) {
            return nonsense;
        }
        // What no number holds is past every size, and all that is so large is the same.
        let number = |digits: &str| digits.parse::<u64>().unwrap_or(u64::MAX);
        let (from, to) = match (first, last) {
            ("", "") => return nonsense,
            ("", suffix) => {
                // It can be satisfied of nothing (§14.1.2), but no Content-Range can say so.
                is_doubtful |= size == 0 && number(suffix) > 0;
                (size.saturating_sub(number(suffix)), size)
            }
            (first, "") => (number(first), size),
            (first, last) if number(first) > number(last) => return nonsense,
            (first, last) => {
                is_doubtful |= number(first) == u64::MAX;
                (number(first), number(last).saturating_add(1).min(size))
            }
        };
        if from < to {
            ranges.push(from..to);
        }
    }
    if count == 0 {
        return nonsense;
    }
    let is_strict = count <= RANGES_MAX && !set.starts_with([' ', '\t']);
    Wanted { is_range: true, ranges, may_be_ignored: !is_strict || is_doubtful }
}

fn check_parts(answer: &Answer, want: &[Range<u64>], whole: &[u8], about: &str) {
    assert!(!want.is_empty(), "{about}: nothing of it is there");
    let parts = match answer.field("content-range") {
        Some(value) => vec![(read_content_range(value, whole.len(), about), answer.body.clone())],
        None => read_multipart(answer, whole.len(), about),
    };
    let mut sent = vec![false; whole.len()];
    for (range, bytes) in &parts {
        assert!(bytes == &whole[range.clone()], "{about}: other bytes than those of {range:?}");
        for byte in &mut sent[range.clone()] {
            assert!(!*byte, "{about}: a byte is sent twice");
            *byte = true;
        }
    }
    let mut asked = vec![false; whole.len()];
    want.iter().for_each(|range| asked[range.start as usize..range.end as usize].fill(true));
    // What is asked for, all of it, and no byte more.
    assert!(sent == asked, "{about}: sent {:?}", parts.iter().map(|(range, _)| range).collect::<Vec<_>>());
    assert!(parts.len() > 1 || answer.field("content-range").is_some(), "RFC 9110 §15.3.7.2: {about}");
}

/// RFC 9110 §14.4: `bytes first-last/size`.
fn read_content_range(value: &str, size: usize, about: &str) -> Range<usize> {
    let range = value.strip_prefix("bytes ").and_then(|rest| rest.strip_suffix(&format!("/{size}")));
    let (first, last) = range.and_then(|range| range.split_once('-')).unwrap_or_else(|| panic!("{about}: {value}"));
    let range = first.parse::<usize>().expect("a number")..last.parse::<usize>().expect("a number") + 1;
    assert!(range.start < range.end && range.end <= size, "{about}: {value}");
    range
}

/// RFC 9110 §14.6, RFC 2046 §5.1.
fn read_multipart(answer: &Answer, size: usize, about: &str) -> Vec<(Range<usize>, Vec<u8>)> {
    let media_type = answer.field("content-type").expect("a multipart says so");
    let boundary = media_type.strip_prefix("multipart/byteranges; boundary=").expect("its boundary is told");
    let boundary = boundary.trim_matches('"');
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    let framed = [b"\r\n", answer.body.as_slice()].concat();
    let mut rest = framed.strip_prefix(delimiter.as_slice()).expect("it begins with a delimiter");
    let mut parts = Vec::new();
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        let end = part.windows(4).position(|four| four == b"\r\n\r\n").expect("a part has a head");
        let head = std::str::from_utf8(&part[..end]).expect("a head is text");
        let ranges: Vec<_> = head.split("\r\n").filter_map(|line| line.strip_prefix("Content-Range: ")).collect();
        let [value] = ranges.as_slice() else { panic!("{about}: {head}") };
        let range = read_content_range(value, size, about);
        let content = &part[end + 4..];
        rest = content[range.len()..].strip_prefix(delimiter.as_slice()).expect("a part ends in a delimiter");
        parts.push((range.clone(), content[..range.len()].to_vec()));
    }
    assert!(rest == b"--" || rest == b"--\r\n", "{about}: it ends in {}", rest.escape_ascii());
    parts
}
