//! What tells one state of a file from another (RFC 9110 §8.8).

use super::coding::Coding;
use crate::http::{EntityTag, Validators, seconds};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A file that changed less than this before it was looked at may change again without its times showing it: the kernel's clock for them
/// ticks coarsely. Until then its tag is weak. (git calls such entries racy.)
const RACY: Duration = Duration::from_millis(50);

/// Whether a file that said `metadata` of itself at `now` or a little later can't change any more without its times showing it.
pub(super) fn is_settled(metadata: &Metadata, now: SystemTime) -> bool {
    let (second, nanosecond) = (metadata.ctime(), metadata.ctime_nsec());
    now >= UNIX_EPOCH + Duration::new(second.try_into().unwrap_or(0), nanosecond.try_into().unwrap_or(0)) + RACY
}

/// Of a file that said `metadata` of itself at `now` or a little later, and is sent as it is or as a coded form of another.
pub(super) fn validators(metadata: &Metadata, coding: Option<Coding>, now: SystemTime) -> Validators {
    // ctime, not mtime: it can't be set back by hand.
    let (size, second, nanosecond, inode) = (metadata.size(), metadata.ctime(), metadata.ctime_nsec(), metadata.ino());
    let modified = metadata.modified().unwrap_or(UNIX_EPOCH);
    // RFC 9110 §8.8.3.3: a coded form has a tag of its own, also where both are one file by a link.
    let (dash, form) = coding.map_or(("", ""), |coding| ("-", coding.name()));
    let tag = format!("{size:x}-{second:x}.{nanosecond:x}-{inode:x}{dash}{form}");
    let tag = if is_settled(metadata, now) { EntityTag::strong(tag) } else { EntityTag::weak(tag) };
    // RFC 9110 §8.8.2.1: never later than the answer's Date.
    let last_modified = UNIX_EPOCH + Duration::from_secs(seconds(modified.min(now)));
    Validators { tag: Some(tag), last_modified: Some(last_modified) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_just_changed_has_a_weak_tag() {
        let metadata = std::fs::metadata("Cargo.toml").unwrap();
        let changed = UNIX_EPOCH + Duration::new(metadata.ctime() as u64, metadata.ctime_nsec() as u32);
        for (age, is_weak) in [(Duration::ZERO, true), (RACY - Duration::from_nanos(1), true), (RACY, false)] {
            let tag = validators(&metadata, None, changed + age).tag.unwrap();
            assert_eq!(tag.is_weak(), is_weak, "{age:?} old");
        }
        let second = UNIX_EPOCH + Duration::from_secs(5);
        assert_eq!(validators(&metadata, None, second).last_modified, Some(second), "never later than now");
    }

    #[test]
    fn each_form_has_a_tag_of_its_own() {
        let metadata = std::fs::metadata("Cargo.toml").unwrap();
        let tag = |coding| validators(&metadata, coding, SystemTime::now()).tag.unwrap();
        assert_ne!(tag(None), tag(Some(Coding::Gzip)));
        assert_ne!(tag(Some(Coding::Brotli)), tag(Some(Coding::Gzip)));
    }
}
