//! From the path of a target to a name beneath the folder: decoded once, dots resolved, nothing that hides.

use crate::http::Reject;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;

/// What of a segment is written as it is (RFC 3986 §2.3); all else is encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The one dot name that is meant to be seen (RFC 8615).
const WELL_KNOWN: &[u8] = b".well-known";

/// What the names of files that are being uploaded begin with. They are never served, listed or written by name.
pub(super) const RESERVED: &[u8] = b".tripoll-";

/// Why a name is refused that something was to get.
pub(super) const NO_NAME: &str = "nothing here can have that name";

/// Whether names that begin with a dot are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DotNames {
    /// As if they were not; but `.well-known` is.
    #[default]
    Hidden,
    /// As all others.
    Shown,
}

/// A name beneath the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Relative, without `.` and `..`; `.` alone is the folder itself.
    pub path: CString,
    /// The target says that it is a folder: it ends in a slash.
    pub is_directory: bool,
}

impl Resolved {
    fn new(segments: &[Vec<u8>], is_directory: bool) -> Resolved {
        let path = if segments.is_empty() { b".".to_vec() } else { segments.join(&b'/') };
        Resolved { path: CString::new(path).expect("no segment has a NUL"), is_directory }
    }

    /// The folder that it is in, and its name there; `None` of the folder itself.
    pub(super) fn split(&self) -> Option<(CString, CString)> {
        let part = |bytes: &[u8]| CString::new(bytes).expect("a part of a C string has no NUL");
        let path = self.path.as_bytes();
        match memchr::memrchr(b'/', path) {
            Some(at) => Some((part(&path[..at]), part(&path[at + 1..]))),
            None => (path != b".").then(|| (c".".into(), self.path.clone())),
        }
    }

    /// A file in this folder. `name` is a plain one.
    pub(super) fn join(&self, name: impl AsRef<OsStr>) -> Resolved {
        let path = [self.path.as_bytes(), b"/", name.as_ref().as_bytes()].concat();
        Resolved { path: CString::new(path).expect("neither part has a NUL"), is_directory: false }
    }

    /// What may get a name in this folder.
    ///
    /// # Errors
    /// 403 for what nothing here can be called.
    pub(super) fn child(&self, name: &str, dot_names: DotNames) -> Result<Resolved, Reject> {
        let is_none = matches!(name, "" | "." | "..") || name.contains(['/', '\0']);
        if is_none || is_left_out(name.as_bytes(), dot_names) {
            return Err(Reject::Forbidden(NO_NAME));
        }
        Ok(self.join(name))
    }

    /// The file beside this one whose name goes on so.
    pub(super) fn with_ending(&self, ending: &str) -> Resolved {
        let path = [self.path.as_bytes(), ending.as_bytes()].concat();
        Resolved { path: CString::new(path).expect("neither part has a NUL"), is_directory: false }
    }

    /// As the path of a URL: percent-encoded, with one slash in front and none behind.
    pub(super) fn to_url_path(&self) -> String {
        let segments = self.path.as_bytes().split(|byte| *byte == b'/').filter(|segment| *segment != b".");
        segments.flat_map(|segment| ["/".to_string(), encode_segment(segment)]).collect()
    }

    /// As a path of the file system.
    pub fn as_path(&self) -> &std::path::Path {
        OsStr::from_bytes(self.path.as_bytes()).as_ref()
    }
}

/// Resolves the path of a target as RFC 3986 §5.2.4 does, after decoding it once.
///
/// # Errors
/// 400 for what no path can be: a `%` without two digits, a NUL, a `..` past the top, `*`. 404 for what no file here can be called: names with an
/// encoded slash, reserved ones, and where they are hidden names that begin with a dot (but `.well-known`).
pub fn resolve(path: &str, dot_names: DotNames) -> Result<Resolved, Reject> {
    if !path.starts_with('/') {
        return Err(Reject::BadRequest("the target is not a path"));
    }
    let mut segments: Vec<Vec<u8>> = Vec::new();
    let mut is_directory = false;
    for raw in path[1..].split('/') {
        if !is_encoded_well(raw.as_bytes()) {
            return Err(Reject::BadRequest("a % in the path has no two hexadecimal digits behind it"));
        }
        let segment: Vec<u8> = percent_decode_str(raw).collect();
        is_directory = matches!(segment.as_slice(), b"" | b"." | b"..");
        match segment.as_slice() {
            b"" | b"." => {}
            b".." => {
                segments.pop().ok_or(Reject::BadRequest("the path leaves the folder"))?;
            }
            // An encoded slash is data, and no name has one. Dot names are hidden.
            name if name.contains(&b'/') => return Err(Reject::NotFound),
            name if is_left_out(name, dot_names) => return Err(Reject::NotFound),
            // Also in a segment that a `..` takes away again.
            name if name.contains(&0) => return Err(Reject::BadRequest("the path has a NUL")),
            _ => segments.push(segment),
        }
    }
    Ok(Resolved::new(&segments, is_directory))
}

/// Whether a name is as if it were not there: it begins with a dot, where these are hidden, or is reserved.
pub(super) fn is_left_out(name: &[u8], dot_names: DotNames) -> bool {
    let is_hidden = name.first() == Some(&b'.') && name != WELL_KNOWN && dot_names == DotNames::Hidden;
    is_hidden || name.starts_with(RESERVED)
}

/// A name as a segment of a URL's path.
pub(super) fn encode_segment(name: &[u8]) -> String {
    percent_encode(name, ENCODED).to_string()
}

fn is_encoded_well(raw: &[u8]) -> bool {
    let is_digit = |at: usize| raw.get(at).is_some_and(u8::is_ascii_hexdigit);
    memchr::memchr_iter(b'%', raw).all(|at| is_digit(at + 1) && is_digit(at + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, want: &str, is_directory: bool) {
        let resolved = resolve(path, DotNames::Hidden).unwrap_or_else(|reject| panic!("{path}: {reject:?}"));
        assert_eq!((resolved.as_path().to_str().unwrap(), resolved.is_directory), (want, is_directory), "{path}");
    }

    #[test]
    fn a_path_is_decoded_once_and_its_dots_resolved() {
        check("/", ".", true);
        check("//", ".", true);
        check("/.", ".", true);
        check("/a", "a", false);
        check("/a/", "a", true);
        check("/a/.", "a", true);
        check("/a//b", "a/b", false);
        check("/a/./b", "a/b", false);
        check("/a/../b", "b", false);
        check("/a/%2e%2E/b", "b", false);
        check("/a/..", ".", true);
        check("/a%20b", "a b", false);
        check("/%C3%A4", "ä", false);
        check("/100%2525", "100%25", false);
        check("/%252e%252e/x", "%2e%2e/x", false);
        check("/a%5C..%5Cb", "a\\..\\b", false);
    }

    #[test]
    fn what_is_no_name_here_is_refused() {
        for path in ["/..", "/../x", "/a/../../x", "/%2e%2e/x", "/.%2e/x", "*", "", "x"] {
            assert!(matches!(resolve(path, DotNames::Hidden), Err(Reject::BadRequest(_))), "{path}");
        }
        for path in ["/%", "/%2", "/%zz", "/a%0", "/%00", "/a%00.html", "/a%00/../b"] {
            assert!(matches!(resolve(path, DotNames::Hidden), Err(Reject::BadRequest(_))), "{path}");
        }
        for path in ["/.git/config", "/a/.htaccess", "/a%2Fb", "/..%2Fx", "/...", "/%2egit", "/..\\..\\x"] {
            assert_eq!(resolve(path, DotNames::Hidden), Err(Reject::NotFound), "{path}");
        }
        check("/.well-known/acme", ".well-known/acme", false);
        let shown = resolve("/.git/config", DotNames::Shown).unwrap();
        assert_eq!(shown.as_path().to_str(), Some(".git/config"));
        assert!(resolve("/.git/../../x", DotNames::Shown).is_err());
        for path in ["/.tripoll-1", "/a/%2Etripoll-1", "/.tripoll-/x"] {
            assert_eq!(resolve(path, DotNames::Shown), Err(Reject::NotFound), "{path}");
        }
    }

    #[test]
    fn a_redirect_names_this_host() {
        for (path, want) in [("//evil", "/evil"), ("/a b/", "/a%20b"), ("/", ""), ("/%2f%2fevil", "")] {
            let Ok(resolved) = resolve(path, DotNames::Hidden) else { continue };
            assert_eq!(resolved.to_url_path(), want, "{path}");
        }
    }
}
