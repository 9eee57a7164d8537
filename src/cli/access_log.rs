//! The access log: a line an answer, in the form that a person or a program reads.
//!
//! Invariant: a line fits `PIPE_BUF`, and nothing that a client sends ends it, colours it, or breaks its quotes.

use super::output::Lines;
use std::io::Write;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};
use tripoll::http::{Answered, Request, Version};
use tripoll::sys::{self, LocalTime};

/// The parts of a line that a client chooses are cut to so many bytes as they are written, so that all fit `PIPE_BUF` together.
const METHOD_BYTES_MAX: usize = 64;
const TARGET_BYTES_MAX: usize = 2048;
const FIELD_BYTES_MAX: usize = 768;

/// What stands at the end of what was cut.
const CUT: &[u8] = b"...";

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For a person who watches.
    Short { coloured: bool },
    /// NCSA's, as most programs that read logs know it.
    Common,
    /// The same with Referer and User-Agent.
    Combined,
    /// An object a line.
    Json,
}

/// Where lines are made.
pub struct AccessLog {
    format: Format,
    /// The time of the second that was last written about.
    stamp: Stamp,
}

impl AccessLog {
    pub fn new(format: Format) -> AccessLog {
        sys::local_time(0); // Reads the time zone's file, which a sandbox forbids later.
        AccessLog { format, stamp: Stamp::default() }
    }

    /// Adds the line of an answer.
    pub fn note(&mut self, answered: &Answered<'_>, lines: &mut Lines) {
        let AccessLog { format, stamp } = self;
        let time = stamp.at(*format, answered.now);
        lines.push(|line| write_line(*format, time, answered, line));
    }
}

/// Time as text, made once a second.
#[derive(Default)]
struct Stamp {
    second: Option<u64>,
    text: String,
}

impl Stamp {
    fn at(&mut self, format: Format, wall: SystemTime) -> &str {
        let second = wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if self.second != Some(second) {
            self.second = Some(second);
            self.text = time_text(format, sys::local_time(second));
        }
        &self.text
    }
}

fn time_text(format: Format, time: LocalTime) -> String {
    let LocalTime { year, month, day, hour, minute, second, offset_minutes } = time;
    let sign = if offset_minutes < 0 { '-' } else { '+' };
    let (offset_hours, offset_rest) = (offset_minutes.abs() / 60, offset_minutes.abs() % 60);
    match format {
        Format::Short { .. } => format!("{hour:02}:{minute:02}:{second:02}"),
        Format::Common | Format::Combined => {
            let month = MONTHS[usize::from(month.clamp(1, 12)) - 1];
            format!("{day:02}/{month}/{year}:{hour:02}:{minute:02}:{second:02} {sign}{offset_hours:02}{offset_rest:02}")
        }
        Format::Json => format!(
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{sign}{offset_hours:02}:{offset_rest:02}"
        ),
    }
}

fn write_line(format: Format, time: &str, answered: &Answered<'_>, line: &mut Vec<u8>) {
    match format {
        Format::Short { coloured } => write_short(coloured, time, answered, line),
        Format::Common => write_common(time, answered, line),
        Format::Combined => {
            write_common(time, answered, line);
            for name in ["referer", "user-agent"] {
                let value = answered.request.and_then(|request| request.fields().get(name));
                line.extend(b" \"");
                write_cut(line, value.unwrap_or(b"-"), FIELD_BYTES_MAX);
                line.push(b'"');
            }
        }
        Format::Json => write_json(time, answered, line),
    }
    line.push(b'\n');
}

/// `13:49:37 200 GET /files/hello.txt 1234 B 127.0.0.1`
fn write_short(coloured: bool, time: &str, answered: &Answered<'_>, line: &mut Vec<u8>) {
    let (dim, colour, plain) = match (coloured, answered.status.as_u16()) {
        (false, _) => ("", "", ""),
        (true, ..=299) => ("\x1b[2m", "\x1b[32m", "\x1b[0m"),
        (true, 300..=399) => ("\x1b[2m", "\x1b[36m", "\x1b[0m"),
        (true, 400..=499) => ("\x1b[2m", "\x1b[33m", "\x1b[0m"),
        (true, 500..) => ("\x1b[2m", "\x1b[31m", "\x1b[0m"),
    };
    let status = answered.status.as_str();
    for part in [dim, time, plain, " ", colour, status, plain, " "] {
        line.extend(part.as_bytes());
    }
    match answered.request {
        Some(request) => write_request(line, request),
        None => line.extend(b"(no request)"),
    }
    line.extend([" ", dim].concat().as_bytes());
    line.extend(itoa::Buffer::new().format(answered.body_bytes).as_bytes());
    line.extend(b" B ");
    write_address(line, answered);
    line.extend(plain.as_bytes());
}

/// `127.0.0.1 - - [24/Nov/2026:13:49:37 +0000] "GET / HTTP/1.1" 200 1234`
fn write_common(time: &str, answered: &Answered<'_>, line: &mut Vec<u8>) {
    write_address(line, answered);
    for part in [" - - [", time, "] \""] {
        line.extend(part.as_bytes());
    }
    match answered.request {
        Some(request) => {
            write_request(line, request);
            line.push(b' ');
            line.extend(version(request).as_bytes());
        }
        None => line.push(b'-'),
    }
    line.extend(b"\" ");
    line.extend(answered.status.as_str().as_bytes());
    line.push(b' ');
    match answered.body_bytes {
        0 => line.push(b'-'),
        bytes => line.extend(itoa::Buffer::new().format(bytes).as_bytes()),
    }
}

/// Keys in the order of interest; those of the request are null where there was none.
fn write_json(time: &str, answered: &Answered<'_>, line: &mut Vec<u8>) {
    let request = answered.request;
    let field = |name| request.and_then(|request| request.fields().get(name));
    for part in [r#"{"time":""#, time, r#"","peer":""#] {
        line.extend(part.as_bytes());
    }
    write_address(line, answered);
    line.extend(br#"","method":"#);
    write_json_string(line, request.map(|request| request.method().as_str().as_bytes()), METHOD_BYTES_MAX);
    line.extend(br#","target":"#);
    let target = request.map(target);
    write_json_string(line, target.as_deref(), TARGET_BYTES_MAX);
    line.extend(br#","version":"#);
    write_json_string(line, request.map(|request| version(request).as_bytes()), METHOD_BYTES_MAX);
    line.extend(br#","status":"#);
    line.extend(answered.status.as_str().as_bytes());
    line.extend(br#","bytes":"#);
    line.extend(itoa::Buffer::new().format(answered.body_bytes).as_bytes());
    line.extend(br#","referer":"#);
    write_json_string(line, field("referer"), FIELD_BYTES_MAX);
    line.extend(br#","user_agent":"#);
    write_json_string(line, field("user-agent"), FIELD_BYTES_MAX);
    line.push(b'}');
}

fn version(request: &Request<'_>) -> &'static str {
    match request.version() {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
    }
}

fn target(request: &Request<'_>) -> Vec<u8> {
    match request.query() {
        None => request.path().into(),
        Some(query) => [request.path(), "?", query].concat().into(),
    }
}

/// Method and target.
fn write_request(line: &mut Vec<u8>, request: &Request<'_>) {
    write_cut(line, request.method().as_str().as_bytes(), METHOD_BYTES_MAX);
    line.push(b' ');
    match request.query() {
        None => write_cut(line, request.path().as_bytes(), TARGET_BYTES_MAX),
        Some(_) => write_cut(line, &target(request), TARGET_BYTES_MAX),
    }
}

fn write_address(line: &mut Vec<u8>, answered: &Answered<'_>) {
    let written = match answered.peer.ip() {
        IpAddr::V4(ip) => write!(line, "{ip}"),
        IpAddr::V6(ip) => write!(line, "{}", ip.to_canonical()),
    };
    written.expect("writing to memory does not fail");
}

/// Writes what is visible ASCII as it is, all else as `\xHH`.
fn write_cut(line: &mut Vec<u8>, bytes: &[u8], bytes_max: usize) {
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    if bytes.len() <= bytes_max && bytes.iter().all(is_plain) {
        return line.extend(bytes);
    }
    write_each(line, bytes_max, bytes.iter(), |byte, line| match is_plain(byte) {
        true => line.push(*byte),
        false => write!(line, "\\x{byte:02X}").expect("writing to memory does not fail"),
    });
}

/// Writes a string as JSON has it; bytes that are not UTF-8 become U+FFFD.
fn write_json_string(line: &mut Vec<u8>, bytes: Option<&[u8]>, bytes_max: usize) {
    let Some(bytes) = bytes else { return line.extend(b"null") };
    line.push(b'"');
    write_each(line, bytes_max, String::from_utf8_lossy(bytes).chars(), |c, line| match c {
        '"' | '\\' => line.extend([b'\\', c as u8]),
        c if c.is_control() => write!(line, "\\u{:04x}", u32::from(c)).expect("writing to memory does not fail"),
        c => line.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
    });
    line.push(b'"');
}

/// Writes item by item, and no more than `bytes_max` bytes: the last of them say where something is missing.
fn write_each<Item>(
    line: &mut Vec<u8>,
    bytes_max: usize,
    items: impl Iterator<Item = Item>,
    write: impl Fn(Item, &mut Vec<u8>),
) {
    let start = line.len();
    let mut end_before_cut = start;
    for item in items {
        write(item, line);
        if line.len() - start > bytes_max {
            line.truncate(end_before_cut);
            return line.extend(CUT);
        }
        if line.len() - start <= bytes_max - CUT.len() {
            end_before_cut = line.len();
        }
    }
}
