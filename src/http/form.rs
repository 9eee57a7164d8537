//! multipart/form-data (RFC 7578, RFC 2046 §5.1), as it comes: what browsers send of a form that has files.
//!
//! Invariant: what is said of a body does not depend on where the network cuts it, and what is held back of it is bounded: the head of a part,
//! or what may be the beginning of a delimiter.
//!
//! ```text
//!   Preamble ─▶ delimiter ─┬─ CRLF ─▶ Head ─▶ Content ─┐
//!                  ▲       └─ "--" ─▶ Epilogue         │
//!                  └───────────────────────────────────┘
//! ```

use super::Reject;
use memchr::memmem;

/// RFC 2046 §5.1.1
const BOUNDARY_BYTES_MAX: usize = 70;

/// The fields of a part: a name, a file's name, a type.
const HEAD_BYTES_MAX: usize = 8 * 1024;

const FIELDS_MAX: usize = 16;

/// What stands before the first part and behind the last. Nobody reads it, and browsers send none.
const AROUND_BYTES_MAX: usize = 1024;

/// What a form has, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum FormEvent<'a> {
    /// A part begins. `file_name` as it was sent, where it is a file; it is empty where none was chosen.
    #[allow(missing_docs)]
    Part { name: &'a str, file_name: Option<&'a str> },
    /// The next bytes of its content.
    Content(&'a [u8]),
    /// It is whole.
    End,
}

/// Reads a form.
#[derive(Debug)]
pub struct FormReader {
    /// With the line end before it.
    delimiter: Vec<u8>,
    phase: Phase,
    /// What could not be told yet.
    held: Vec<u8>,
    /// Of what stands around the parts.
    around_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Preamble,
    /// Behind a delimiter.
    Delimited,
    Head,
    Content,
    Epilogue,
}

const MALFORMED: Reject = Reject::BadRequest("the form is malformed");

impl FormReader {
    /// For a body whose Content-Type is this; `None` where that is no form with a boundary.
    pub fn new(content_type: &[u8]) -> Option<FormReader> {
        let content_type = str::from_utf8(content_type).ok()?;
        let (media_type, parameters) = content_type.split_once(';')?;
        let boundary = parameter(parameters, "boundary")?;
        let is_form = media_type.trim().eq_ignore_ascii_case("multipart/form-data");
        let is_boundary = (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len()) && boundary.is_ascii();
        let delimiter = format!("\r\n--{boundary}").into_bytes();
        // The first delimiter may stand at the very beginning, as if a line had ended.
        let held = b"\r\n".to_vec();
        (is_form && is_boundary).then_some(FormReader { delimiter, phase: Phase::Preamble, held, around_bytes: 0 })
    }

    /// Takes the next bytes, and tells what they say.
    ///
    /// # Errors
    /// 400 where it is malformed; what `tell` says. Then it is over.
    pub fn feed<E: From<Reject>>(
        &mut self,
        bytes: &[u8],
        tell: &mut impl FnMut(FormEvent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(bytes);
        let mut rest = held.as_slice();
        while let Some(taken) = self.step(rest, tell)? {
            rest = &rest[taken..];
        }
        self.held = rest.to_vec();
        Ok(())
    }

    /// Whether the last delimiter was there.
    pub fn is_whole(&self) -> bool {
        self.phase == Phase::Epilogue
    }

    /// Takes one thing, and says how many bytes that was; `None` where more has to come.
    fn step<E: From<Reject>>(
        &mut self,
        rest: &[u8],
        tell: &mut impl FnMut(FormEvent<'_>) -> Result<(), E>,
    ) -> Result<Option<usize>, E> {
        match self.phase {
            Phase::Preamble => match memmem::find(rest, &self.delimiter) {
                Some(at) => {
                    self.note_around(at)?;
                    self.phase = Phase::Delimited;
                    Ok(Some(at + self.delimiter.len()))
                }
                None => {
                    let free = self.free_of_delimiter(rest);
                    self.note_around(free)?;
                    Ok((free > 0).then_some(free))
                }
            },
            Phase::Delimited if rest.starts_with(b"--") => {
                self.phase = Phase::Epilogue;
                Ok(Some(2))
            }
            // RFC 2046 §5.1.1: white space that a gateway added.
            Phase::Delimited if matches!(rest.first(), Some(b' ' | b'\t')) => {
                self.note_around(1)?;
                Ok(Some(1))
            }
            Phase::Delimited if rest.starts_with(b"\r\n") => {
                self.phase = Phase::Head;
                Ok(Some(2))
            }
            Phase::Delimited if matches!(rest, [] | [b'-'] | [b'\r']) => Ok(None),
            Phase::Delimited => Err(MALFORMED.into()),
            Phase::Head => match memmem::find(rest, b"\r\n\r\n") {
                Some(end) if end + 4 <= HEAD_BYTES_MAX => {
                    read_head(&rest[..end + 4], tell)?;
                    self.phase = Phase::Content;
                    Ok(Some(end + 4))
                }
                None if rest.len() < HEAD_BYTES_MAX => Ok(None),
                Some(_) | None => Err(MALFORMED.into()),
            },
            Phase::Content => match memmem::find(rest, &self.delimiter) {
                Some(at) => {
                    if at > 0 {
                        tell(FormEvent::Content(&rest[..at]))?;
                    }
                    tell(FormEvent::End)?;
                    self.phase = Phase::Delimited;
                    Ok(Some(at + self.delimiter.len()))
                }
                None => match self.free_of_delimiter(rest) {
                    0 => Ok(None),
                    free => {
                        tell(FormEvent::Content(&rest[..free]))?;
                        Ok(Some(free))
                    }
                },
            },
            Phase::Epilogue => {
                self.note_around(rest.len())?;
                Ok((!rest.is_empty()).then_some(rest.len()))
            }
        }
    }

    /// How many of these bytes, among which there is no delimiter, can't be the beginning of one.
    fn free_of_delimiter(&self, bytes: &[u8]) -> usize {
        let last = bytes.len().saturating_sub(self.delimiter.len() - 1);
        let begins = |at: &usize| self.delimiter.starts_with(&bytes[*at..]);
        memchr::memchr_iter(b'\r', &bytes[last..]).map(|at| last + at).find(begins).unwrap_or(bytes.len())
    }

    fn note_around(&mut self, bytes: usize) -> Result<(), Reject> {
        self.around_bytes += bytes;
        if self.around_bytes <= AROUND_BYTES_MAX { Ok(()) } else { Err(MALFORMED) }
    }
}

/// RFC 7578 §4.2: Content-Disposition alone says what the part is.
fn read_head<E: From<Reject>>(head: &[u8], tell: &mut impl FnMut(FormEvent<'_>) -> Result<(), E>) -> Result<(), E> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let Ok(httparse::Status::Complete((_, fields))) = httparse::parse_headers(head, &mut fields) else {
        return Err(MALFORMED.into());
    };
    let disposition = fields.iter().find(|field| field.name.eq_ignore_ascii_case("content-disposition"));
    let value = disposition.and_then(|field| str::from_utf8(field.value).ok()).ok_or(MALFORMED)?;
    let (kind, parameters) = value.split_once(';').ok_or(MALFORMED)?;
    let name = parameter(parameters, "name").filter(|_| kind.trim().eq_ignore_ascii_case("form-data"));
    let file_name = parameter(parameters, "filename").map(unescape);
    tell(FormEvent::Part { name: &unescape(name.ok_or(MALFORMED)?), file_name: file_name.as_deref() })
}

/// The value of a parameter, without its quotes. Nothing is escaped within these by a backslash: paths of Windows were sent so.
fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = parameters;
    loop {
        let (key, after) = rest.split_once('=')?;
        let (value, more) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => {
                let (value, more) = after.split_at(after.find(';').unwrap_or(after.len()));
                (value.trim(), more)
            }
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = more.trim_start().strip_prefix(';')?;
    }
}

/// What browsers write for what would end a quoted name (WHATWG HTML, "multipart/form-data encoding algorithm").
fn unescape(text: &str) -> String {
    text.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a body says, put together: a line a part.
    fn read(boundary: &str, pieces: &[&[u8]]) -> Result<Vec<String>, Reject> {
        let mut reader = FormReader::new(format!("multipart/form-data; boundary={boundary}").as_bytes()).unwrap();
        let mut said: Vec<String> = Vec::new();
        for piece in pieces {
            reader.feed(piece, &mut |event| {
                match event {
                    FormEvent::Part { name, file_name } => said.push(format!("{name} {file_name:?} ")),
                    FormEvent::Content(bytes) => said.last_mut().unwrap().push_str(&bytes.escape_ascii().to_string()),
                    FormEvent::End => said.last_mut().unwrap().push_str(" end"),
                }
                Ok::<(), Reject>(())
            })?;
            assert!(reader.held.len() < HEAD_BYTES_MAX, "what is held back is bounded");
        }
        if reader.is_whole() { Ok(said) } else { Err(MALFORMED) }
    }

    /// Whole, at every split, and byte by byte.
    #[track_caller]
    fn check(body: &str, want: Result<&[&str], ()>) {
        let want = want.map(|parts| parts.iter().map(ToString::to_string).collect::<Vec<_>>());
        let body = body.as_bytes();
        let case = body.escape_ascii();
        assert_eq!(read("b", &[body]).map_err(drop), want, "{case}");
        for cut in 0..=body.len() {
            assert_eq!(read("b", &[&body[..cut], &body[cut..]]).map_err(drop), want, "{case} cut at {cut}");
        }
        let bytes: Vec<&[u8]> = body.chunks(1).collect();
        assert_eq!(read("b", &bytes).map_err(drop), want, "{case} byte by byte");
    }

    const FILE: &str = "Content-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\n";

    #[test]
    fn parts_are_told_wherever_the_network_cuts() {
        let two = format!("--b\r\n{FILE}Content-Type: text/plain\r\n\r\none\r\n--b\r\n{FILE}\r\n\r\n--b--\r\n");
        check(&two, Ok(&["f Some(\"a.txt\") one end", "f Some(\"a.txt\")  end"]));
        check("--b--", Ok(&[]));
        let plain = "--b\r\ncontent-disposition:form-data;name=x\r\n\r\ny\r\n--b--";
        check(plain, Ok(&["x None y end"]));
        check(&format!("before\r\n{plain}\r\nafter"), Ok(&["x None y end"]));
        check("--b \t\r\nContent-Disposition: form-data; name=x\r\n\r\ny\r\n--b--", Ok(&["x None y end"]));
        let near = format!("--b\r\n{FILE}\r\n\r\r\n\r\n-\r\n--\r\n--a--b\r\n--b--");
        check(&near, Ok(&["f Some(\"a.txt\") \\r\\r\\n\\r\\n-\\r\\n--\\r\\n--a--b end"]));
        let none = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"\"\r\n\r\n\r\n--b--";
        check(none, Ok(&["f Some(\"\")  end"]));
        let odd =
            "--b\r\nContent-Disposition: form-data; filename=\"C:\\x; name=y%22.txt\" ; name=\"f\"\r\n\r\n\r\n--b--";
        check(odd, Ok(&["f Some(\"C:\\\\x; name=y\\\".txt\")  end"]));
        let spaced = "--b\r\nContent-Disposition: form-data; name= f ; filename=\" a \"\r\n\r\n\r\n--b--";
        check(spaced, Ok(&["f Some(\" a \")  end"]));
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for body in [
            "",
            "--b",
            "--b\r\n",
            "--bx\r\n",
            "--b\n--b--",
            "--b-\r\n",
            "nothing",
            "--b\r\n\r\n\r\n--b--",
            "--b\r\nContent-Type: text/plain\r\n\r\n\r\n--b--",
            "--b\r\nContent-Disposition: form-data; filename=x\r\n\r\n\r\n--b--",
            "--b\r\nContent-Disposition: attachment; name=x\r\n\r\n\r\n--b--",
            "--b\r\nContent-Disposition: form-data; name=x\r\n\r\nnever ends",
            "--b\r\nContent-Disposition: form-data; name=\"x\r\n\r\n\r\n--b--",
        ] {
            check(body, Err(()));
        }
        let long = |length: usize| format!("{}\r\n--b--", "x".repeat(length));
        assert!(read("b", &[long(AROUND_BYTES_MAX - 2).as_bytes()]).is_ok());
        assert!(read("b", &[long(AROUND_BYTES_MAX - 1).as_bytes()]).is_err());
        let head = |length: usize| {
            let fields = "Content-Disposition: form-data; name=x\r\nX: ";
            let more = "y".repeat(length - fields.len() - 4);
            format!("--b\r\n{fields}{more}\r\n\r\n\r\n--b--")
        };
        assert!(read("b", &[head(HEAD_BYTES_MAX).as_bytes()]).is_ok());
        assert!(read("b", &[head(HEAD_BYTES_MAX + 1).as_bytes()]).is_err());
    }

    #[test]
    fn a_boundary_is_found_in_a_type() {
        for (content_type, want) in [
            ("multipart/form-data; boundary=x", true),
            ("Multipart/Form-Data;charset=utf-8; BOUNDARY=\"x y\"", true),
            ("multipart/form-data", false),
            ("multipart/form-data; boundary=", false),
            ("multipart/form-data; boundary=\"x", false),
            ("multipart/mixed; boundary=x", false),
            ("application/x-www-form-urlencoded; boundary=x", false),
        ] {
            assert_eq!(FormReader::new(content_type.as_bytes()).is_some(), want, "{content_type}");
        }
        let long = |length: usize| format!("multipart/form-data; boundary={}", "x".repeat(length));
        assert!(FormReader::new(long(70).as_bytes()).is_some() && FormReader::new(long(71).as_bytes()).is_none());
    }
}
