//! Where a request's body ends (RFC 9112 §6-§7): exactly one reading, or none.

use super::fields::{is_field_content, is_token, list};
use super::{Fields, Reject, Version};
use memchr::memchr;

/// How a body's end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// It is so many bytes long.
    Length(u64),
    /// It comes in chunks, the last of size 0.
    Chunked,
}

impl Framing {
    /// RFC 9112 §6.3 for requests. `transfer_encoding` and `content_length` are one of the fields of that name each, `fields` all of them.
    pub(super) fn of(
        transfer_encoding: Option<&[u8]>,
        content_length: Option<&[u8]>,
        version: Version,
        fields: Fields<'_>,
    ) -> Result<Framing, Reject> {
        match (transfer_encoding, content_length) {
            (None, None) => Ok(Framing::None),
            (None, Some(length)) => match parse_length(length)? {
                0 => Ok(Framing::None),
                length => Ok(Framing::Length(length)),
            },
            // §6.1: the two together are how requests are smuggled.
            (Some(_), Some(_)) => Err(Reject::BadRequest("both Transfer-Encoding and Content-Length")),
            (Some(_), None) if version == Version::Http10 => Err(Reject::BadRequest("Transfer-Encoding in HTTP/1.0")),
            (Some(_), None) => Self::of_codings(fields),
        }
    }

    /// §6.1: `chunked` alone. Where it is last and once, what stands before it is a coding that is unknown here: 501, and the content would be
    /// of no use. Else the body has no end that all would agree on: 400, whatever the codings (§6.3).
    fn of_codings(fields: Fields<'_>) -> Result<Framing, Reject> {
        let (mut codings, mut chunked, mut is_last, mut are_tokens) = (0, 0, false, true);
        for coding in fields.all("transfer-encoding").flat_map(list) {
            is_last = coding.eq_ignore_ascii_case(b"chunked");
            codings += 1;
            chunked += usize::from(is_last);
            // §7.2: a parameter is an error, and so is a quote.
            are_tokens &= is_token(coding);
        }
        match (codings, chunked, is_last, are_tokens) {
            (1, 1, true, true) => Ok(Framing::Chunked),
            (_, 1, true, true) => Err(Reject::CodingUnknown),
            _ => Err(Reject::BadRequest("the Transfer-Encoding does not end in chunked, once")),
        }
    }
}

/// RFC 9110 §8.6: digits only. No sign, no list, no white space within.
fn parse_length(value: &[u8]) -> Result<u64, Reject> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let digits = std::str::from_utf8(value).ok().filter(|_| is_number);
    digits.and_then(|digits| digits.parse().ok()).ok_or(Reject::BadRequest("the Content-Length is not a number"))
}

/// A chunk's size line with its extensions, or a trailer line, in bytes with its CRLF.
const CHUNK_LINE_BYTES_MAX: usize = 4 * 1024;

/// All trailer lines of a body together.
const TRAILER_BYTES_MAX: usize = 16 * 1024;

/// Size lines and trailers may be this much more than content, and this many times it: a body of one-byte chunks with long extensions is
/// an attack, not a body.
const OVERHEAD_BYTES_MAX: u64 = 64 * 1024;
const OVERHEAD_PER_BYTE_MAX: u64 = 16;

/// Reads a body in chunks (RFC 9112 §7.1), step by step.
#[derive(Debug, Clone, Default)]
pub struct ChunkedReader {
    place: Place,
    content_bytes: u64,
    overhead_bytes: u64,
}

#[derive(Debug, Clone, Default)]
enum Place {
    #[default]
    SizeLine,
    Content {
        left: u64,
    },
    /// The CRLF behind a chunk's content.
    ContentEnd,
    Trailer {
        bytes: usize,
    },
}

/// What a step through a body found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Too little to go on.
    More,
    /// So many bytes that were framing.
    Framing(usize),
    /// So many bytes that are content.
    Content(usize),
    /// So many bytes that are content, and the body is over.
    LastContent(usize),
    /// So many bytes that were framing, and the body is over.
    End(usize),
}

/// Reads a body, however it is framed, step by step.
#[derive(Debug, Clone)]
pub(super) enum BodyReader {
    Length { left: u64 },
    Chunked(ChunkedReader),
}

impl BodyReader {
    /// `None` where there is no body.
    pub(super) fn new(framing: Framing) -> Option<BodyReader> {
        match framing {
            Framing::None => None,
            Framing::Length(left) => Some(BodyReader::Length { left }),
            Framing::Chunked => Some(BodyReader::Chunked(ChunkedReader::default())),
        }
    }

    /// As [`ChunkedReader::step`].
    pub(super) fn step(&mut self, input: &[u8]) -> Result<Step, Reject> {
        match self {
            BodyReader::Chunked(reader) => reader.step(input),
            BodyReader::Length { left } => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= taken as u64;
                Ok(if *left == 0 { Step::LastContent(taken) } else { Step::Content(taken) })
            }
        }
    }
}

impl ChunkedReader {
    /// How much may wait for a step that says [`Step::More`].
    pub const INPUT_MAX: usize = CHUNK_LINE_BYTES_MAX;

    /// Takes one piece from the front of `input`.
    ///
    /// # Errors
    /// 400 for anything but the strict form: sizes in hexadecimal digits, lines that end in CR LF.
    pub fn step(&mut self, input: &[u8]) -> Result<Step, Reject> {
        match self.place {
            Place::SizeLine => {
                // At once: whoever sends no size may send no end of its line either.
                if input.first().is_some_and(|first| !first.is_ascii_hexdigit()) {
                    return Err(BAD_SIZE);
                }
                let Some((line, taken)) = take_line(input)? else { return Ok(Step::More) };
                let size = parse_size_line(line)?;
                self.count_overhead(taken)?;
                self.place = if size == 0 { Place::Trailer { bytes: 0 } } else { Place::Content { left: size } };
                Ok(Step::Framing(taken))
            }
            Place::Content { left } => {
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                let left = left - taken as u64;
                self.content_bytes = self.content_bytes.saturating_add(taken as u64);
                self.place = if left == 0 { Place::ContentEnd } else { Place::Content { left } };
                Ok(Step::Content(taken))
            }
            Place::ContentEnd => match input {
                [] | [b'\r'] => Ok(Step::More),
                [b'\r', b'\n', ..] => {
                    self.place = Place::SizeLine;
                    Ok(Step::Framing(2))
                }
                _ => Err(Reject::BadRequest("a chunk is longer than its size")),
            },
            Place::Trailer { bytes } => {
                let Some((line, taken)) = take_line(input)? else { return Ok(Step::More) };
                if line.is_empty() {
                    return Ok(Step::End(taken));
                }
                check_trailer(line)?;
                let bytes = bytes + taken;
                if bytes > TRAILER_BYTES_MAX {
                    return Err(Reject::FieldsTooLarge);
                }
                self.place = Place::Trailer { bytes };
                Ok(Step::Framing(taken))
            }
        }
    }

    fn count_overhead(&mut self, bytes: usize) -> Result<(), Reject> {
        self.overhead_bytes += bytes as u64;
        let allowed = OVERHEAD_BYTES_MAX.saturating_add(self.content_bytes.saturating_mul(OVERHEAD_PER_BYTE_MAX));
        if self.overhead_bytes > allowed { Err(Reject::BadRequest("the chunks are mostly framing")) } else { Ok(()) }
    }
}

/// The line that `input` begins with, without its CRLF, and its length with it.
fn take_line(input: &[u8]) -> Result<Option<(&[u8], usize)>, Reject> {
    let window = &input[..input.len().min(CHUNK_LINE_BYTES_MAX)];
    let end = memchr(b'\n', window);
    let line = &window[..end.unwrap_or(window.len())];
    let text = line.strip_suffix(b"\r").unwrap_or(line);
    // Before the line's end is there: a control byte, or a CR without its LF, is refused when it comes.
    let is_bad = !is_field_content(text) || (end.is_some() && text.len() == line.len());
    match end {
        _ if is_bad => Err(Reject::BadRequest("a chunk's line does not end in CR LF, or a control byte is in it")),
        Some(end) => Ok(Some((text, end + 1))),
        None if input.len() >= CHUNK_LINE_BYTES_MAX => Err(Reject::BadRequest("a chunk's line is too long")),
        None => Ok(None),
    }
}

const BAD_SIZE: Reject = Reject::BadRequest("a chunk's size is malformed");

/// RFC 9112 §7.1: chunk-size [ chunk-ext ]. Extensions are read over, but must be lawful: what they hide, another server may read.
fn parse_size_line(line: &[u8]) -> Result<u64, Reject> {
    let digits_end = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let (digits, extensions) = line.split_at(digits_end);
    let digits = std::str::from_utf8(digits).ok().filter(|_| are_extensions(extensions));
    // Sixteen digits are all that a size can have: more would be zeros in front, or overflow.
    let size = digits.filter(|digits| digits.len() <= 16).and_then(|digits| u64::from_str_radix(digits, 16).ok());
    size.ok_or(BAD_SIZE)
}

/// RFC 9112 §7.1.1: any number of `;name` or `;name=value`, the value a token or in quotes; white space before and after `;` and `=` only.
fn are_extensions(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        let Some(name) = skip_blanks(rest).strip_prefix(b";").map(skip_blanks) else { return false };
        let Some(after_name) = skip_token(name) else { return false };
        rest = match skip_blanks(after_name).strip_prefix(b"=").map(skip_blanks) {
            None => after_name,
            Some(value) => match skip_token(value).or_else(|| skip_quoted(value)) {
                Some(after_value) => after_value,
                None => return false,
            },
        };
    }
    true
}

fn skip_blanks(bytes: &[u8]) -> &[u8] {
    let blanks = bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &bytes[blanks..]
}

fn skip_token(bytes: &[u8]) -> Option<&[u8]> {
    let length = bytes.iter().take_while(|byte| is_token(std::slice::from_ref(*byte))).count();
    (length > 0).then_some(&bytes[length..])
}

/// RFC 9110 §5.6.4: what follows a quoted-string, in which a backslash takes the next byte as it is.
fn skip_quoted(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.strip_prefix(b"\"")?;
    loop {
        rest = match rest {
            [b'"', after @ ..] => return Some(after),
            [b'\\', _, after @ ..] | [_, after @ ..] => after,
            [] => return None,
        };
    }
}

/// A trailer field is read over (§7.1.2: it may be discarded), but must be one.
fn check_trailer(line: &[u8]) -> Result<(), Reject> {
    let is_field = memchr(b':', line).is_some_and(|colon| is_token(&line[..colon]) && is_field_content(&line[colon..]));
    if is_field { Ok(()) } else { Err(Reject::BadRequest("a trailer field is malformed")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `want`: the content, and what is left of `wire` behind the body.
    #[track_caller]
    fn check(wire: &[u8], want: Result<(&[u8], &[u8]), ()>) {
        let mut reader = ChunkedReader::default();
        let (mut rest, mut content) = (wire, Vec::new());
        let got = loop {
            match reader.step(rest) {
                Ok(Step::More) => panic!("{} is not complete", wire.escape_ascii()),
                Ok(Step::LastContent(_)) => panic!("only a trailer ends chunks"),
                Ok(Step::Framing(taken)) => rest = &rest[taken..],
                Ok(Step::Content(taken)) => {
                    content.extend_from_slice(&rest[..taken]);
                    rest = &rest[taken..];
                }
                Ok(Step::End(taken)) => break Ok((content.as_slice(), &rest[taken..])),
                Err(_) => break Err(()),
            }
        };
        assert_eq!(got, want, "{}", wire[..wire.len().min(80)].escape_ascii());
    }

    #[test]
    fn chunks_are_read_to_their_end_and_not_past_it() {
        check(b"0\r\n\r\nGET", Ok((b"", b"GET")));
        check(b"3\r\nabc\r\n0\r\n\r\n", Ok((b"abc", b"")));
        check(b"1\r\na\r\n2\r\nbc\r\n000\r\n\r\n", Ok((b"abc", b"")));
        check(b"A\r\n0123456789\r\n0\r\n\r\n", Ok((b"0123456789", b"")));
        check(b"1;name=value\r\na\r\n0 ; x=\"a b\"\r\n\r\n\r\n", Ok((b"a", b"\r\n")));
        check(b"1\r\na\r\n0\r\nName: value\r\nOther:\r\n\r\nx", Ok((b"a", b"x")));
    }

    #[test]
    fn anything_but_the_strict_form_is_refused() {
        for wire in [
            &b"0\n\r\n"[..],
            b"1\r\na\n0\r\n\r\n",
            b"1\r\nab\r\n0\r\n\r\n",
            b"\r\n",
            b"x\r\n",
            b"0x1\r\na\r\n0\r\n\r\n",
            b"+1\r\na\r\n0\r\n\r\n",
            b"-1\r\na\r\n0\r\n\r\n",
            b" 1\r\na\r\n0\r\n\r\n",
            b"1 \r\na\r\n0\r\n\r\n",
            b"1 2\r\na\r\n0\r\n\r\n",
            b"1;a\0\r\na\r\n0\r\n\r\n",
            b"1;a\r\r\na\r\n0\r\n\r\n",
            b"0\r;a\r\n\r\n",
            b"1\x0c;a\r\na\r\n0\r\n\r\n",
            b"10000000000000000\r\n",
            b"00000000000000001\r\na\r\n0\r\n\r\n",
            b"0\r\nno colon\r\n\r\n",
            b"0\r\n: no name\r\n\r\n",
            b"0\r\nname : value\r\n\r\n",
            b"0\r\n folded: value\r\n\r\n",
            b"0\r\nname: \x01\r\n\r\n",
        ] {
            check(wire, Err(()));
        }
    }

    #[test]
    fn a_line_may_be_as_long_as_its_limit() {
        let line = |length: usize| [b"1;".as_slice(), &vec![b'x'; length - 4], b"\r\na\r\n0\r\n\r\n"].concat();
        check(&line(CHUNK_LINE_BYTES_MAX), Ok((b"a", b"")));
        check(&line(CHUNK_LINE_BYTES_MAX + 1), Err(()));
    }

    #[test]
    fn trailers_end_at_their_limit() {
        let body = |lines: usize| [b"0\r\n".as_slice(), &b"a: 456\r\n"[..].repeat(lines), b"\r\n"].concat();
        let lines_max = TRAILER_BYTES_MAX / 8;
        check(&body(lines_max), Ok((b"", b"")));
        check(&body(lines_max + 1), Err(()));
    }

    #[test]
    fn a_body_that_is_mostly_framing_is_refused() {
        let chunk = [b"1;".as_slice(), &[b'x'; 1_000], b"\r\na\r\n"].concat();
        check(&chunk.repeat(100), Err(()));
        // All that is allowed is overhead, and a byte more.
        let one = |extension: usize| [b"1;".as_slice(), &vec![b'x'; extension - 4], b"\r\na\r\n"].concat();
        let lines = OVERHEAD_BYTES_MAX as usize / CHUNK_LINE_BYTES_MAX;
        let content = vec![b'a'; lines + 1];
        // Before the last line there were as many bytes of content as lines, and each allows for some more.
        let last = lines * OVERHEAD_PER_BYTE_MAX as usize;
        let all = |last: usize| [one(CHUNK_LINE_BYTES_MAX).repeat(lines), one(last), b"0\r\n\r\n".to_vec()].concat();
        check(&all(last - 3), Ok((&content, b"")));
        check(&all(last + 1), Err(()));
        let one_by_one = [&b"1\r\na\r\n".repeat(50_000)[..], b"0\r\n\r\n"].concat();
        check(&one_by_one, Ok((&[b'a'; 50_000], b"")));
    }
}
