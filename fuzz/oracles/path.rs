//! Paths: what is resolved stays beneath the folder, is what RFC 3986 says, and comes back the same when it is written as a URL.
//!
//! Input: a byte whose lowest bit shows dot names; the path.

use tripoll::files::{DotNames, resolve};
use tripoll::http::Reject;

pub fn judge(data: &[u8]) {
    let Some((first, path)) = data.split_first() else { return };
    let Ok(path) = std::str::from_utf8(path) else { return };
    let dot_names = if first & 1 == 1 { DotNames::Shown } else { DotNames::Hidden };
    let want = naive(path.as_bytes(), dot_names);
    match (resolve(path, dot_names), want) {
        (Ok(resolved), Ok(want)) => {
            let got = resolved.path.as_bytes();
            assert_eq!(got.escape_ascii().to_string(), name_of(&want.names).escape_ascii().to_string(), "{path}");
            assert_eq!(resolved.is_directory, want.is_directory, "{path}");
            check_is_beneath(got, dot_names);
            let written = url_of(&want.names, want.is_directory);
            assert_eq!(resolve(&written, dot_names).as_ref(), Ok(&resolved), "{path} written as {written}");
        }
        (Err(Reject::BadRequest(_)), Err(400)) | (Err(Reject::NotFound), Err(404)) => {}
        // Of two faults the one that stands first is told; which of them it is is nobody's promise.
        (Err(Reject::BadRequest(_) | Reject::NotFound), Err(_)) => {}
        (got, want) => panic!("{path}: {got:?}, not {:?}", want.map(|want| name_of(&want.names))),
    }
}

struct Wanted {
    names: Vec<Vec<u8>>,
    is_directory: bool,
}

fn naive(path: &[u8], dot_names: DotNames) -> Result<Wanted, u16> {
    if path.first() != Some(&b'/') {
        return Err(400);
    }
    let mut names: Vec<Vec<u8>> = Vec::new();
    let mut is_directory = false;
    for raw in path[1..].split(|byte| *byte == b'/') {
        let name = decode(raw).ok_or(400_u16)?;
        is_directory = name.is_empty() || name == b"." || name == b"..";
        if name == b".." {
            names.pop().ok_or(400_u16)?;
        } else if is_directory {
            continue;
        } else if name.contains(&b'/') || (dot_names == DotNames::Hidden && name[0] == b'.' && name != b".well-known") {
            return Err(404);
        } else if name.contains(&0) {
            return Err(400);
        } else {
            names.push(name);
        }
    }
    Ok(Wanted { names, is_directory })
}

fn decode(raw: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < raw.len() {
        if raw[at] == b'%' {
            let digits = raw.get(at + 1..at + 3)?;
            let digit = |byte: u8| char::from(byte).to_digit(16);
            decoded.push((digit(digits[0])? * 16 + digit(digits[1])?) as u8);
            at += 3;
        } else {
            decoded.push(raw[at]);
            at += 1;
        }
    }
    Some(decoded)
}

fn name_of(names: &[Vec<u8>]) -> Vec<u8> {
    if names.is_empty() { b".".to_vec() } else { names.join(&b'/') }
}

fn url_of(names: &[Vec<u8>], is_directory: bool) -> String {
    let mut url = String::new();
    for name in names {
        url.push('/');
        name.iter().for_each(|byte| url.push_str(&format!("%{byte:02X}")));
    }
    if is_directory || names.is_empty() { url + "/" } else { url }
}

fn check_is_beneath(name: &[u8], dot_names: DotNames) {
    assert!(!name.contains(&0) && !name.starts_with(b"/") && !name.is_empty());
    if name == b"." {
        return;
    }
    for segment in name.split(|byte| *byte == b'/') {
        assert!(!segment.is_empty() && segment != b"." && segment != b"..", "{}", name.escape_ascii());
        let is_hidden = segment[0] == b'.' && segment != b".well-known";
        assert!(!is_hidden || dot_names == DotNames::Shown, "{}", name.escape_ascii());
    }
}
