//! Names: what a server says, what a person types and sees, where a file lands.
//!
//! Invariant: what is shown has no control character, whoever chose the name; no name of a server's leads out of the folder that a file is
//! put into. What is shown can be typed: both know the same escapes.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What a segment of a target need not hide: RFC 3986's unreserved characters.
const HIDDEN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A name for the terminal: what it would take for a command, or what turns the direction of text, is written as an escape.
pub fn shown(name: &[u8]) -> String {
    let mut shown = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => shown.push_str("\\\\"),
                c if is_unprintable(c) => shown.extend(c.escape_unicode()),
                c => shown.push(c),
            }
        }
        for byte in chunk.invalid() {
            write!(shown, "\\x{byte:02x}").expect("a string takes all");
        }
    }
    shown
}

fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A name as a word of a line.
pub fn typed(name: &[u8]) -> String {
    shown(name).chars().fold(String::new(), |mut typed, c| {
        if c.is_whitespace() || c == '"' || c == '\'' {
            typed.push('\\');
        }
        typed.push(c);
        typed
    })
}

/// A word of a line, and at which byte it begins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Word {
    pub start: usize,
    pub text: Vec<u8>,
}

/// The words of a line, and whether the last one may still go on.
pub fn words(line: &str) -> Result<(Vec<Word>, bool), String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None, None);
    let mut chars = line.char_indices();
    while let Some((at, c)) = chars.next() {
        if quote.is_none() && c.is_whitespace() {
            words.extend(word.take());
            continue;
        }
        let text = &mut word.get_or_insert_with(|| Word { start: at, text: Vec::new() }).text;
        match c {
            '"' | '\'' if quote.is_none() => quote = Some(c),
            c if quote == Some(c) => quote = None,
            '\\' if quote != Some('\'') => {
                let (bytes, count) = escape(chars.as_str())?;
                text.extend(bytes);
                (0..count).for_each(|_| _ = chars.next());
            }
            c => text.extend(c.to_string().as_bytes()),
        }
    }
    let is_open = word.is_some();
    words.extend(word);
    Ok((words, is_open))
}

/// The bytes that stand for what follows a backslash, and how many characters of it that were.
fn escape(rest: &str) -> Result<(Vec<u8>, usize), String> {
    let hexadecimal = |digits: Option<&str>| digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    match rest.chars().next() {
        None => Ok((b"\\".to_vec(), 0)),
        Some('x') => match hexadecimal(rest.get(1..3)) {
            Some(byte) => Ok((vec![byte as u8], 3)),
            None => Err("after \\x come two hexadecimal digits".into()),
        },
        Some('u') => {
            let digits = rest.strip_prefix("u{").and_then(|rest| rest.split_once('}')).map(|(digits, _)| digits);
            match hexadecimal(digits).and_then(char::from_u32) {
                Some(c) => Ok((c.to_string().into_bytes(), digits.unwrap_or_default().len() + 3)),
                None => Err("a character by its number is \\u{…}".into()),
            }
        }
        Some(c) => Ok((c.to_string().into_bytes(), 1)),
    }
}

/// What a server has, by the names that lead there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RemotePath {
    segments: Vec<Vec<u8>>,
    is_folder: bool,
}

impl RemotePath {
    /// The folder that a URL's path names.
    pub fn of_url(path: &str) -> RemotePath {
        let decoded: Vec<u8> = percent_decode_str(path).collect();
        RemotePath::default().join(&decoded).into_folder()
    }

    /// What is called `name` from this folder; dots go up, but not past the root.
    pub fn join(&self, name: &[u8]) -> RemotePath {
        let mut segments = if name.starts_with(b"/") { Vec::new() } else { self.segments.clone() };
        let mut is_folder = true;
        for segment in name.split(|byte| *byte == b'/') {
            is_folder = matches!(segment, b"" | b"." | b"..");
            match segment {
                b"" | b"." => {}
                b".." => drop(segments.pop()),
                segment => segments.push(segment.to_vec()),
            }
        }
        RemotePath { segments, is_folder }
    }

    pub fn into_folder(self) -> RemotePath {
        RemotePath { is_folder: true, ..self }
    }

    pub fn is_folder(&self) -> bool {
        self.is_folder
    }

    /// The last of its names; none of the root.
    pub fn name(&self) -> Option<&[u8]> {
        self.segments.last().map(Vec::as_slice)
    }

    /// As a request's target.
    pub fn target(&self) -> String {
        self.written(|segment| percent_encode(segment, HIDDEN).to_string())
    }

    pub fn shown(&self) -> String {
        self.written(shown)
    }

    fn written(&self, segment: impl Fn(&[u8]) -> String) -> String {
        let mut path: String = self.segments.iter().map(|name| format!("/{}", segment(name))).collect();
        if self.is_folder || path.is_empty() {
            path.push('/');
        }
        path
    }
}

/// A server's name as that of an entry of a folder, if it can be one.
pub fn entry_name(href: &str) -> Option<Vec<u8>> {
    let href = href.strip_prefix("./").unwrap_or(href);
    let name: Vec<u8> = percent_decode_str(href.strip_suffix('/').unwrap_or(href)).collect();
    is_plain(&name).then_some(name)
}

fn is_plain(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.iter().any(|byte| *byte == b'/' || *byte == 0)
}

/// Where a file with this name goes, when nobody says where: into the folder that this program runs in.
///
/// # Errors
/// Where the name is none for a local file, with what to do.
pub fn local_name(name: &[u8]) -> Result<PathBuf, String> {
    let is_printable = str::from_utf8(name).is_ok_and(|name| !name.contains(is_unprintable));
    if !is_plain(name) || !is_printable {
        return Err(format!("{} is no good name for a file here: say another one after it", shown(name)));
    }
    Ok(PathBuf::from(OsStr::from_bytes(name)))
}

pub fn shown_path(path: &Path) -> String {
    shown(path.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_has_no_control_characters_and_can_be_typed() {
        for (name, want) in [
            (&b"plain.txt"[..], "plain.txt"),
            ("Grüße 1".as_bytes(), "Grüße 1"),
            (b"\x1b[2Jx\r\n\x07", "\\u{1b}[2Jx\\u{d}\\u{a}\\u{7}"),
            ("\u{9b}31m\u{202e}cod".as_bytes(), "\\u{9b}31m\\u{202e}cod"),
            (b"\xff\\", "\\xff\\\\"),
            (b"a'b\"c", "a'b\"c"),
        ] {
            assert_eq!(shown(name), want);
            let (words, is_open) = words(&typed(name)).unwrap();
            assert_eq!((words, is_open), (vec![Word { start: 0, text: name.to_vec() }], true), "{want}");
        }
    }

    #[test]
    fn lines_are_words() {
        for (line, want, open) in [
            ("", &[][..], false),
            ("get a", &["get", "a"], true),
            ("  get  'a b' \"c\\\" d\"  ", &["get", "a b", "c\" d"], false),
            ("get 'a\\b", &["get", "a\\b"], true),
            ("get \\u{e9}\\x41z", &["get", "éAz"], true),
            ("get \\", &["get", "\\"], true),
            ("put ''", &["put", ""], true),
        ] {
            let (words, is_open) = words(line).unwrap();
            let texts: Vec<_> = words.iter().map(|word| str::from_utf8(&word.text).unwrap()).collect();
            assert_eq!((texts.as_slice(), is_open), (want, open), "{line}");
        }
        assert!(words("\\x4").is_err() && words("\\xé").is_err() && words("\\u{110000}").is_err());
    }

    #[test]
    fn no_path_leads_past_the_root() {
        let folder = RemotePath::of_url("/a%20b");
        for (name, want) in [
            ("x", "/a%20b/x"),
            ("x/", "/a%20b/x/"),
            ("..", "/"),
            ("../../../x", "/x"),
            ("/y/./z/..", "/y/"),
            ("é?#%", "/a%20b/%C3%A9%3F%23%25"),
            (".", "/a%20b/"),
        ] {
            assert_eq!(folder.join(name.as_bytes()).target(), want, "{name}");
        }
    }

    #[test]
    fn a_servers_name_stays_in_the_folder() {
        for name in ["../x", "..", ".", "", "a/b", "/etc/passwd", "a\0", "a\u{1b}"] {
            assert!(local_name(name.as_bytes()).is_err(), "{name:?}");
        }
        for href in ["./..", "./../", "./a%2Fb", "./", "%2e%2e/", "./a%00"] {
            assert_eq!(entry_name(href), None, "{href}");
        }
        assert_eq!(entry_name("./a%20b/").unwrap(), b"a b");
        assert_eq!(local_name(b".profile").unwrap(), Path::new(".profile"));
    }
}
