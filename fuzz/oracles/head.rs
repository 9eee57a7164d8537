//! Heads: one reading, wherever the network cuts, and it is the one that an independent reader has.
//!
//! Input: a byte that chooses the limits; two that say where to cut; a head, and what follows it.

use super::reader::{self, Reading, Strictness, read_head};
use tripoll::http::{Framing, Limits, Reject, Storage, Version, find_end, parse_head};

pub fn judge(data: &[u8]) {
    let Some((choice, wire)) = data.split_at_checked(3) else { return };
    let limits = match choice[0] & 1 {
        0 => Limits::default(),
        _ => Limits { request_line_bytes_max: 100, head_bytes_max: 300, ..Limits::default() },
    };
    let cut = usize::from(u16::from_be_bytes([choice[1], choice[2]])) % (wire.len() + 1);
    let about = wire[..wire.len().min(400)].escape_ascii();
    let whole = read(wire, [wire.len()], &limits);
    assert_eq!(read(wire, [cut, wire.len()], &limits), whole, "cut at {cut}: {about}");
    assert_eq!(read(wire, 1..=wire.len(), &limits), whole, "byte by byte: {about}");

    if let Some(Ok((got, end))) = &whole {
        let Reading::Whole(want, want_end) = read_head(wire, Strictness::Sloppy) else {
            panic!("taken, but there is no such head: {about}")
        };
        assert_eq!(*end, want_end, "{about}");
        compare(got, &want);
        // What was understood, written anew, is understood as the same, by both.
        let written = want.written();
        assert_eq!(read_head(&written, Strictness::Sloppy), Reading::Whole(want, written.len()));
        let again = read(&written, [written.len()], &Limits::default());
        assert_eq!(again, Some(Ok((got.clone(), written.len()))), "{about}");
    }
    if let Reading::Whole(_, end) = read_head(wire, Strictness::Strict)
        && end <= if choice[0] & 1 == 0 { 4000 } else { 100 }
    {
        assert!(matches!(whole, Some(Ok(_))), "lawful, but {whole:?}: {about}");
    }
}

/// A head without its lifetimes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Understood {
    method: String,
    path: String,
    query: Option<String>,
    version: Version,
    fields: Vec<(String, Vec<u8>)>,
    framing: Framing,
    keep_alive: bool,
    expects_continue: bool,
}

/// What comes of input that grows to these lengths; `None` where more must come.
fn read(
    wire: &[u8],
    lengths: impl IntoIterator<Item = usize>,
    limits: &Limits,
) -> Option<Result<(Understood, usize), Reject>> {
    let mut searched = 0;
    for length in lengths {
        let end = match find_end(&wire[..length], &mut searched, limits) {
            Ok(None) => {
                assert!(length < limits.head_bytes_max, "it waits for more than it may");
                continue;
            }
            Ok(Some(end)) => end,
            Err(reject) => return Some(Err(reject)),
        };
        let mut storage = Storage::new();
        let head = parse_head(&wire[..end], &mut storage);
        return Some(head.map(|head| {
            let understood = Understood {
                method: head.method.to_string(),
                path: head.target.path.into(),
                query: head.target.query.map(Into::into),
                version: head.version,
                fields: head.fields.iter().map(|(name, value)| (name.into(), value.into())).collect(),
                framing: head.framing,
                keep_alive: head.keep_alive,
                expects_continue: head.expects_continue,
            };
            (understood, end)
        }));
    }
    None
}

#[track_caller]
fn compare(got: &Understood, want: &reader::Head) {
    assert_eq!(got.method, want.method);
    let (path, query) = want.path_and_query();
    // RFC 9112 §3.2.4: OPTIONS of a URL without a path is of the whole server.
    let is_whole_server = got.path == "*" && got.method == "OPTIONS" && path == "/" && !want.target.ends_with('/');
    assert!(got.path == path || is_whole_server, "{:?}, not {path:?}", got.path);
    assert_eq!(got.query, query);
    assert_eq!(got.version == Version::Http10, want.minor == 0);
    assert_eq!(got.fields, want.fields);
    let framing = match want.framing {
        reader::Framing::None => Framing::None,
        reader::Framing::Length(length) => Framing::Length(length),
        reader::Framing::Chunked => Framing::Chunked,
    };
    assert_eq!((got.framing, got.keep_alive), (framing, want.keep_alive));
    assert!(!got.expects_continue || want.all("expect").next().is_some());
}
