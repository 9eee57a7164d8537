//! What tells one state of a file from another (RFC 9110 §8.8), and requests that ask by it (§13).

use crate::http::{Request, Response, format_date, parse_date, seconds};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A file that changed less than this before it was looked at may change again without its times showing it: the kernel's clock for them
/// ticks coarsely. Until then its tag is weak. (git calls such entries racy.)
const RACY: Duration = Duration::from_millis(50);

/// A file's ETag and Last-Modified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validators {
    /// With its quotes, without `W/`.
    opaque_tag: String,
    is_weak: bool,
    /// Whole seconds, as the field can tell.
    last_modified: SystemTime,
}

impl Validators {
    /// Of a file that said `metadata` of itself at `now` or a little later.
    pub fn of(metadata: &Metadata, now: SystemTime) -> Validators {
        // ctime, not mtime: it can't be set back by hand.
        let (size, second, nanosecond, inode) =
            (metadata.size(), metadata.ctime(), metadata.ctime_nsec(), metadata.ino());
        let changed = UNIX_EPOCH + Duration::new(second.try_into().unwrap_or(0), nanosecond.try_into().unwrap_or(0));
        let modified = metadata.modified().unwrap_or(UNIX_EPOCH);
        Validators {
            opaque_tag: format!("\"{size:x}-{second:x}.{nanosecond:x}-{inode:x}\""),
            is_weak: now < changed + RACY,
            // §8.8.2.1: never later than the answer's Date.
            last_modified: UNIX_EPOCH + Duration::from_secs(seconds(modified.min(now))),
        }
    }

    /// The same response with both fields.
    pub fn add_to(&self, response: Response) -> Response {
        let weak = if self.is_weak { "W/" } else { "" };
        let response = response.field("ETag", &format!("{weak}{}", self.opaque_tag));
        response.field("Last-Modified", &format_date(self.last_modified))
    }

    /// Whether the client has this already: If-None-Match or, only without that, If-Modified-Since (§13.2.2).
    pub fn match_request(&self, request: &Request<'_>) -> bool {
        let fields = request.fields();
        if fields.get("if-none-match").is_some() {
            return fields.all("if-none-match").any(|value| self.is_among(value));
        }
        let since = fields.get("if-modified-since").and_then(|value| parse_date(value, request.now()));
        // §13.1.3: a date that is invalid, or in the future, says nothing.
        since.is_some_and(|since| since <= request.now() && self.last_modified <= since)
    }

    /// Whether `value` is this tag, compared strongly (§8.8.3.2), for If-Range.
    pub fn is_strongly(&self, value: &[u8]) -> bool {
        !self.is_weak && value == self.opaque_tag.as_bytes()
    }

    /// Whether a list of tags has this one, compared weakly, or is `*`.
    fn is_among(&self, list: &[u8]) -> bool {
        let mut rest = list.trim_ascii();
        if rest == b"*" {
            return true;
        }
        while let Some((tag, after)) = split_tag(rest) {
            if tag == self.opaque_tag.as_bytes() {
                return true;
            }
            rest = after;
        }
        false
    }
}

/// The first tag of a list, without `W/`, and what follows it. A tag may hold commas, so a list is not split at them.
fn split_tag(list: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = list.iter().position(|byte| !matches!(byte, b',' | b' ' | b'\t'))?;
    let list = &list[start..];
    let list = list.strip_prefix(b"W/").unwrap_or(list);
    let end = list.strip_prefix(b"\"")?.iter().position(|byte| *byte == b'"')? + 2;
    Some(list.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_in_a_list() {
        let validators = Validators { opaque_tag: "\"a,b\"".into(), is_weak: false, last_modified: UNIX_EPOCH };
        for list in ["\"a,b\"", "W/\"a,b\"", "*", " * ", "\"x\", \"a,b\"", "W/\"x\",\t,W/\"a,b\" , \"y\""] {
            assert!(validators.is_among(list.as_bytes()), "{list}");
        }
        for list in ["", "a,b", "\"a\", \"b\"", "\"a,b", "w/\"a,b\"", "\"x\" nonsense \"a,b\"", "\"*\""] {
            assert!(!validators.is_among(list.as_bytes()), "{list}");
        }
    }

    #[test]
    fn a_file_just_changed_has_a_weak_tag() {
        let metadata = std::fs::metadata("Cargo.toml").unwrap();
        let changed = UNIX_EPOCH + Duration::new(metadata.ctime() as u64, metadata.ctime_nsec() as u32);
        for (age, is_weak) in [(Duration::ZERO, true), (RACY - Duration::from_nanos(1), true), (RACY, false)] {
            assert_eq!(Validators::of(&metadata, changed + age).is_weak, is_weak, "{age:?} old");
        }
        let early = Validators::of(&metadata, UNIX_EPOCH + Duration::from_secs(5));
        assert_eq!(early.last_modified, UNIX_EPOCH + Duration::from_secs(5), "never later than now");
    }
}
