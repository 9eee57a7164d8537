//! An independent reader of HTTP/1.1: slow, plain, and written from RFC 9112 alone, without a line of the server's.
//!
//! It reads in two ways. What is read [`Strict`](Strictness::Strict)ly is lawful and short of every bound: a server has to take it. What is
//! not even read [`Sloppy`](Strictness::Sloppy)ly has no lawful reading: a server has to refuse it. Between them a server may choose.

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    Strict,
    Sloppy,
}
use Strictness::*;

/// A body, and how much of the input it is.
#[derive(Debug, PartialEq, Eq)]
pub enum Body {
    Whole { content: Vec<u8>, taken: usize },
    Cut,
    Bad,
}

/// RFC 9112 §7.1, the decoding that §7.1.3 spells out.
pub fn read_chunked(wire: &[u8], strictness: Strictness) -> Body {
    let (mut at, mut content) = (0, Vec::new());
    loop {
        let Some(line) = read_line(&wire[at..]) else { return Body::Cut };
        let Some(size) = chunk_size(line, strictness) else { return Body::Bad };
        at += line.len() + 2;
        if size == 0 {
            break;
        }
        let Some(end) = usize::try_from(size).ok().and_then(|size| at.checked_add(size)) else { return Body::Cut };
        let Some(bytes) = wire.get(at..end) else { return Body::Cut };
        content.extend_from_slice(bytes);
        match wire.get(end..end + 2) {
            Some(b"\r\n") => at = end + 2,
            Some(_) => return Body::Bad,
            None => return Body::Cut,
        }
    }
    loop {
        let Some(line) = read_line(&wire[at..]) else { return Body::Cut };
        at += line.len() + 2;
        if line.is_empty() {
            return Body::Whole { content, taken: at };
        }
        if read_field(line, strictness).is_none() {
            return Body::Bad;
        }
    }
}

/// chunk-size [ chunk-ext ]
fn chunk_size(line: &[u8], strictness: Strictness) -> Option<u64> {
    let count = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, extensions) = line.split_at(count);
    let size = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    let is_lawful = match strictness {
        Strict => count <= 8 && are_extensions(extensions),
        Sloppy => extensions.iter().all(|byte| is_text(*byte)),
    };
    is_lawful.then_some(size)
}

/// RFC 9112 §7.1.1: *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )
fn are_extensions(text: &[u8]) -> bool {
    let mut rest = text.iter().copied().peekable();
    let blanks =
        |rest: &mut std::iter::Peekable<_>| while rest.next_if(|byte| matches!(byte, b' ' | b'\t')).is_some() {};
    let token = |rest: &mut std::iter::Peekable<_>| {
        let mut length = 0;
        while rest.next_if(|byte| is_token_byte(*byte)).is_some() {
            length += 1;
        }
        length > 0
    };
    while rest.peek().is_some() {
        blanks(&mut rest);
        if rest.next() != Some(b';') {
            return false;
        }
        blanks(&mut rest);
        if !token(&mut rest) {
            return false;
        }
        let mut after_name = rest.clone();
        blanks(&mut after_name);
        if after_name.next() != Some(b'=') {
            continue;
        }
        rest = after_name;
        blanks(&mut rest);
        if rest.next_if_eq(&b'"').is_none() {
            if !token(&mut rest) {
                return false;
            }
            continue;
        }
        loop {
            match rest.next() {
                Some(b'"') => break,
                Some(b'\\') if rest.next().is_some_and(is_text) => {}
                Some(b'\\') | None => return false,
                Some(byte) if is_text(byte) => {}
                Some(_) => return false,
            }
        }
    }
    true
}

/// A line without its CRLF, where it is there.
fn read_line(wire: &[u8]) -> Option<&[u8]> {
    wire.windows(2).position(|two| two == b"\r\n").map(|end| &wire[..end])
}

/// RFC 9112 §5: field-name ":" OWS field-value OWS.
fn read_field(line: &[u8], strictness: Strictness) -> Option<(String, Vec<u8>)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_name = !name.is_empty() && name.iter().all(|byte| is_token_byte(*byte));
    let is_value = value.iter().all(|byte| is_text(*byte));
    let is_lawful = is_name && is_value && (strictness == Sloppy || line.len() < 1000);
    let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t');
    let front = value.iter().take_while(is_blank).count();
    let back = value[front..].iter().rev().take_while(is_blank).count();
    is_lawful.then(|| (String::from_utf8_lossy(name).into_owned(), value[front..value.len() - back].to_vec()))
}

/// RFC 9110 §5.6.2.
pub fn is_token_byte(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
    ) || byte.is_ascii_digit()
        || byte.is_ascii_alphabetic()
}

/// RFC 9110 §5.5: visible, obs-text, space or tab.
pub fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= 0x20 && byte != 0x7f)
}

/// The elements of a list (RFC 9110 §5.6.1), empty ones left out.
pub fn elements(value: &[u8]) -> Vec<&[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty()).collect()
}

/// Where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// A head, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub method: String,
    pub target: String,
    /// 1.x
    pub minor: u8,
    pub fields: Vec<(String, Vec<u8>)>,
    pub framing: Framing,
    pub keep_alive: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Reading<Message> {
    Whole(Message, usize),
    Cut,
    Bad,
}

impl Head {
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        let is_it = move |(candidate, _): &&(String, Vec<u8>)| candidate.eq_ignore_ascii_case(name);
        self.fields.iter().filter(is_it).map(|(_, value)| value.as_slice())
    }

    /// Path and query. RFC 9112 §3.2: of the origin-form, the absolute-form, the asterisk.
    pub fn path_and_query(&self) -> (String, Option<String>) {
        let local = match self.target.find("://") {
            _ if self.target.starts_with('/') || self.target == "*" => self.target.as_str(),
            None => self.target.as_str(),
            Some(at) => {
                let rest = &self.target[at + 3..];
                &rest[rest.find(['/', '?']).unwrap_or(rest.len())..]
            }
        };
        let (path, query) = match local.find('?') {
            None => (local, None),
            Some(at) => (&local[..at], Some(local[at + 1..].to_string())),
        };
        (if path.is_empty() { "/" } else { path }.to_string(), query)
    }

    /// A head again, which must be read as this one.
    pub fn written(&self) -> Vec<u8> {
        let mut wire = format!("{} {} HTTP/1.{}\r\n", self.method, self.target, self.minor).into_bytes();
        for (name, value) in &self.fields {
            wire.extend([name.as_bytes(), b":", value, b" \r\n"].concat());
        }
        wire.extend(b"\r\n");
        wire
    }
}

/// RFC 9112 §2-§6. The lines before a request that §2.2 lets a server read over are not of the head.
pub fn read_head(wire: &[u8], strictness: Strictness) -> Reading<Head> {
    let Some(line) = read_line(wire) else { return Reading::Cut };
    let mut taken = line.len() + 2;
    let Some((method, target, minor)) = request_line(line, strictness) else { return Reading::Bad };
    let mut fields = Vec::new();
    loop {
        let Some(line) = read_line(&wire[taken..]) else { return Reading::Cut };
        taken += line.len() + 2;
        if line.is_empty() {
            break;
        }
        let Some(field) = read_field(line, strictness) else { return Reading::Bad };
        fields.push(field);
    }
    let mut head = Head { method, target, minor, fields, framing: Framing::None, keep_alive: false };
    let Some(framing) = framing(&head) else { return Reading::Bad };
    let options: Vec<_> = head.all("connection").flat_map(elements).map(<[u8]>::to_ascii_lowercase).collect();
    let says = |option: &[u8]| options.iter().any(|candidate| candidate == option);
    let keep_alive = !says(b"close") && (minor > 0 || says(b"keep-alive"));
    let hosts: Vec<_> = head.all("host").collect();
    let has_host = match hosts.as_slice() {
        [] => minor == 0,
        [host] => strictness == Sloppy || host.iter().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(byte)),
        [_, _, ..] => false,
    };
    let is_lawful = has_host && (strictness == Sloppy || (fields_are_plain(&head) && taken < 4000));
    head.framing = framing;
    head.keep_alive = keep_alive;
    if is_lawful { Reading::Whole(head, taken) } else { Reading::Bad }
}

fn fields_are_plain(head: &Head) -> bool {
    head.fields.len() < 50 && head.all("expect").next().is_none() && head.all("upgrade").next().is_none()
}

fn request_line(line: &[u8], strictness: Strictness) -> Option<(String, String, u8)> {
    let line = std::str::from_utf8(line).ok()?;
    let words: Vec<_> = line.split(' ').collect();
    let [method, target, version] = words.as_slice() else { return None };
    let minor = version.strip_prefix("HTTP/1.").filter(|minor| minor.len() == 1)?.parse().ok()?;
    let is_method = !method.is_empty() && method.bytes().all(is_token_byte);
    let is_target = !target.is_empty() && target.bytes().all(|byte| byte.is_ascii_graphic());
    let is_plain = target.starts_with('/')
        && target.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/?&=-._~%".contains(&byte))
        && ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"].contains(method);
    let is_lawful = is_method && is_target && (strictness == Sloppy || is_plain);
    is_lawful.then(|| (method.to_string(), target.to_string(), minor))
}

/// RFC 9112 §6.3, and of what it leaves to the server the side on which no two can disagree.
fn framing(head: &Head) -> Option<Framing> {
    let codings: Vec<_> = head.all("transfer-encoding").flat_map(elements).collect();
    let has_coding = head.all("transfer-encoding").next().is_some();
    let lengths: Vec<_> = head.all("content-length").collect();
    match (has_coding, lengths.as_slice()) {
        (false, []) => Some(Framing::None),
        (false, [length]) => {
            let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
            let length = std::str::from_utf8(length).ok().filter(|_| is_number)?.parse().ok()?;
            Some(if length == 0 { Framing::None } else { Framing::Length(length) })
        }
        (true, []) if head.minor > 0 => match codings.as_slice() {
            [coding] if coding.eq_ignore_ascii_case(b"chunked") => Some(Framing::Chunked),
            _ => None,
        },
        _ => None,
    }
}

/// A request with its body.
#[derive(Debug)]
pub struct Message {
    pub head: Head,
    pub body: Vec<u8>,
}

/// Lines before a request that are read over.
const EMPTY_LINES_MAX: usize = 8;

/// The request that `wire` begins with.
pub fn read_message(wire: &[u8], strictness: Strictness) -> Reading<Message> {
    let mut at = 0;
    while wire[at..].starts_with(b"\r\n") {
        at += 2;
        if at > 2 * EMPTY_LINES_MAX {
            return Reading::Bad;
        }
    }
    let (head, taken) = match read_head(&wire[at..], strictness) {
        Reading::Whole(head, taken) => (head, taken),
        Reading::Cut => return Reading::Cut,
        Reading::Bad => return Reading::Bad,
    };
    at += taken;
    match head.framing {
        Framing::None => Reading::Whole(Message { head, body: Vec::new() }, at),
        Framing::Length(length) => {
            let end = usize::try_from(length).ok().and_then(|length| at.checked_add(length));
            match end.and_then(|end| wire.get(at..end)) {
                Some(body) => Reading::Whole(Message { head, body: body.to_vec() }, at + body.len()),
                None => Reading::Cut,
            }
        }
        Framing::Chunked => match read_chunked(&wire[at..], strictness) {
            Body::Whole { content, taken } => Reading::Whole(Message { head, body: content }, at + taken),
            Body::Cut => Reading::Cut,
            Body::Bad => Reading::Bad,
        },
    }
}

/// A final answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(candidate, _)| candidate.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} is there twice: {:?}", self.fields);
        value
    }

    pub fn closes(&self) -> bool {
        self.field("connection") == Some("close")
    }
}

/// All answers of a whole stream, interim ones (1xx) left out. One without a body although it has a length answers HEAD: a service says so by
/// `X-Method: HEAD`; of an answer that the service did not give it is known by the stream's end.
pub fn read_answers(mut wire: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !wire.is_empty() {
        let end = wire.windows(4).position(|four| four == b"\r\n\r\n").expect("a head has an end");
        let head = std::str::from_utf8(&wire[..end]).expect("a head is text");
        wire = &wire[end + 4..];
        let mut lines = head.split("\r\n");
        let status_line = lines.next().expect("split gives one at least");
        let status = status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status: u16 = status.unwrap_or_else(|| panic!("no status line: {status_line:?}"));
        assert_eq!(status_line.as_bytes().get(12), Some(&b' '), "RFC 9112 §4: {status_line:?}");
        assert!((100..600).contains(&status), "{status_line:?}");
        let fields: Vec<(String, String)> = lines
            .map(|line| {
                let (name, value) = read_field(line.as_bytes(), Sloppy).unwrap_or_else(|| panic!("no field: {line:?}"));
                (name, String::from_utf8(value).expect("a head is text"))
            })
            .collect();
        let mut answer = Answer { status, fields, body: Vec::new() };
        if status < 200 {
            assert!(answer.field("content-length").is_none() && status == 100, "{head}");
            continue;
        }
        assert!(answer.field("date").is_some(), "RFC 9110 §6.6.1: {head}");
        assert!(answer.field("transfer-encoding").is_none(), "{head}");
        let length =
            answer.field("content-length").map(|length| length.parse::<usize>().expect("a length is a number"));
        let length = match (status, length) {
            (204 | 304, None) => 0,
            (204 | 304, Some(_)) => panic!("RFC 9110 §8.6: {head}"),
            (_, None) => panic!("no length: {head}"),
            (_, Some(_)) if answer.field("x-method") == Some("HEAD") => 0,
            (_, Some(_)) if wire.is_empty() && answer.closes() && status >= 400 => 0,
            (_, Some(length)) => length,
        };
        answer.body = wire.get(..length).unwrap_or_else(|| panic!("cut off after: {head}")).to_vec();
        wire = &wire[length..];
        answers.push(answer);
    }
    answers
}
