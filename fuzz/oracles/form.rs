//! Forms (multipart/form-data): however they are cut, the reader finds the same; where it finds a whole one, it has the parts that a plain
//! decoder finds, and what browsers write is taken, with its names.
//!
//! Input: two bytes that say where to cut; the form, whose boundary is `b`.

use super::cut::however_cut;
use tripoll::http::{FormEvent, FormReader, Reject};

const DELIMITER: &[u8] = b"\r\n--b";

/// Below this no bound on heads, or on what stands around parts, is reached.
const UNBOUNDED_BYTES: usize = 1000;

pub fn judge(data: &[u8]) {
    let Some((wire, whole)) = however_cut(data, |pieces| read(pieces)) else { return };
    let about = wire[..wire.len().min(300)].escape_ascii();
    if whole.end == End::Whole {
        let contents: Vec<_> = whole.parts.iter().map(|part| part.content.clone()).collect();
        assert_eq!(Some(contents), contents_of(wire), "taken, but not so: {about}");
        assert!(whole.parts.iter().all(|part| part.is_whole), "taken, but a part has no end: {about}");
    }
    if let Some(parts) = as_browsers_write(wire)
        && wire.len() < UNBOUNDED_BYTES
    {
        assert_eq!(whole, Read { parts, end: End::Whole }, "lawful, but not taken: {about}");
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Read {
    parts: Vec<Part>,
    end: End,
}

#[derive(Debug, PartialEq, Eq)]
struct Part {
    name: String,
    file_name: Option<String>,
    content: Vec<u8>,
    is_whole: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Whole,
    Cut,
    Refused(Reject),
}

/// Reads a form that comes in these pieces.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Read {
    let mut reader = FormReader::new(b"multipart/form-data; boundary=b").expect("it is a form");
    let mut parts: Vec<Part> = Vec::new();
    for piece in pieces {
        let fed = reader.feed(piece, &mut |event| {
            match event {
                FormEvent::Part { name, file_name } => {
                    assert!(parts.iter().all(|part| part.is_whole), "a part in a part");
                    let (name, file_name) = (name.to_string(), file_name.map(str::to_string));
                    parts.push(Part { name, file_name, content: Vec::new(), is_whole: false });
                }
                FormEvent::Content(bytes) => open(&mut parts).content.extend_from_slice(bytes),
                FormEvent::End => open(&mut parts).is_whole = true,
            }
            Ok(())
        });
        if let Err(reject) = fed {
            return Read { parts, end: End::Refused(reject) };
        }
    }
    Read { parts, end: if reader.is_whole() { End::Whole } else { End::Cut } }
}

fn open(parts: &mut [Part]) -> &mut Part {
    parts.last_mut().filter(|part| !part.is_whole).expect("a part has begun")
}

/// RFC 2046 §5.1.1, of the whole: what stands between the delimiters, without the heads. `None` where there is no last delimiter.
fn contents_of(wire: &[u8]) -> Option<Vec<Vec<u8>>> {
    let text = [b"\r\n", wire].concat();
    let (_, mut rest) = divide(&text, DELIMITER)?;
    let mut contents = Vec::new();
    loop {
        let padding = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        if rest[padding..].starts_with(b"--") {
            return Some(contents);
        }
        let (_, inside) = divide(rest[padding..].strip_prefix(b"\r\n")?, b"\r\n\r\n")?;
        let (content, next) = divide(inside, DELIMITER)?;
        contents.push(content.to_vec());
        rest = next;
    }
}

/// What lies before and behind the first `mark`.
fn divide<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(mark.len()).position(|window| window == mark)?;
    Some((&bytes[..at], &bytes[at + mark.len()..]))
}

/// WHATWG HTML, "multipart/form-data encoding algorithm". `None` of what no browser writes.
fn as_browsers_write(wire: &[u8]) -> Option<Vec<Part>> {
    let mut rest = wire.strip_prefix(b"--b")?;
    let mut parts = Vec::new();
    while let Some(inside) = rest.strip_prefix(b"\r\n") {
        let (head, after) = divide(inside, b"\r\n\r\n")?;
        let (content, next) = divide(after, DELIMITER)?;
        let head = std::str::from_utf8(head).ok()?;
        let (disposition, media_type) = match head.split_once("\r\n") {
            None => (head, None),
            Some((disposition, second)) => (disposition, Some(second.strip_prefix("Content-Type: ")?)),
        };
        let named = disposition.strip_prefix("Content-Disposition: form-data; name=\"")?.strip_suffix('"')?;
        let (name, file_name) = match named.split_once("\"; filename=\"") {
            None => (named, None),
            Some((name, file_name)) => (name, Some(decoded(file_name)?)),
        };
        let is_type = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if media_type.is_some() != file_name.is_some() || !media_type.is_none_or(is_type) {
            return None;
        }
        parts.push(Part { name: decoded(name)?, file_name, content: content.to_vec(), is_whole: true });
        rest = next;
    }
    (rest == b"--\r\n").then_some(parts)
}

/// A name, of which three characters are written otherwise. `None` where it has one as it is, or what no field may have.
fn decoded(name: &str) -> Option<String> {
    let is_written = !name.contains(|c: char| c == '"' || c.is_control());
    is_written.then(|| name.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n"))
}
