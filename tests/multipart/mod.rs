//! A reader of 206 that trusts nobody: it finds the parts by their boundary, as RFC 2046 has it, and then holds them against what each says of
//! itself.

use super::client::Answer;

/// One range as it was sent.
pub struct Part {
    pub first: u64,
    /// Of the whole.
    pub size: u64,
    pub media_type: String,
    pub content: Vec<u8>,
}

/// The parts of a 206, or its one range.
pub fn read_multipart(answer: &Answer) -> Result<Vec<Part>, String> {
    let media_type = answer.field("Content-Type").ok_or("no Content-Type")?;
    if !media_type.starts_with("multipart/") {
        let range = answer.field("Content-Range").ok_or("no Content-Range")?;
        return Ok(vec![part(media_type, range, &answer.body)?]);
    }
    if let Some(range) = answer.field("Content-Range") {
        return Err(format!("Content-Range {range} of several"));
    }
    let delimiter = format!("\r\n--{}", boundary(media_type));
    // The line end before the first may be left out.
    let body = [b"\r\n", answer.body.as_slice()].concat();
    let mut rest =
        after(&body, delimiter.as_bytes()).filter(|(before, _)| before.is_empty()).ok_or("no boundary first")?.1;
    let mut parts = Vec::new();
    while let Some(inside) = rest.strip_prefix(b"\r\n") {
        let (head, behind) = after(inside, b"\r\n\r\n").ok_or("a part without an end of its head")?;
        let (content, next) = after(behind, delimiter.as_bytes()).ok_or("a part without an end")?;
        let head = std::str::from_utf8(head).map_err(|error| error.to_string())?;
        let value = |name: &str| {
            let mut values = head.split("\r\n").filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            values.next().ok_or(format!("no {name}: {head}"))
        };
        parts.push(part(value("Content-Type")?, value("Content-Range")?, content)?);
        rest = next;
    }
    match rest {
        b"--\r\n" if parts.len() > 1 => Ok(parts),
        b"--\r\n" => Err(format!("{} parts", parts.len())),
        rest => Err(format!("behind the last part: {}", rest.escape_ascii())),
    }
}

/// What stands between the parts.
#[track_caller]
pub fn boundary(media_type: &str) -> &str {
    let boundary = media_type.strip_prefix("multipart/byteranges; boundary=").expect("several ranges");
    // RFC 2046 §5.1.1: 1 to 70 characters, and of these some that need no quotes.
    assert!((1..=70).contains(&boundary.len()) && boundary.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    boundary
}

/// What lies before and behind the first `mark`.
fn after<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(mark.len()).position(|window| window == mark)?;
    Some((&bytes[..at], &bytes[at + mark.len()..]))
}

fn part(media_type: &str, range: &str, content: &[u8]) -> Result<Part, String> {
    let numbers = range.strip_prefix("bytes ").and_then(|rest| {
        let (range, size) = rest.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?, size.parse::<u64>().ok()?))
    });
    let (first, last, size) = numbers.ok_or(format!("Content-Range: {range}"))?;
    if last < first || size <= last || content.len() as u64 != last - first + 1 {
        return Err(format!("Content-Range {range} of {} bytes", content.len()));
    }
    Ok(Part { first, size, media_type: media_type.into(), content: content.to_vec() })
}
