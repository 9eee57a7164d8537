//! What tells one state of a file from another (RFC 9110 §8.8).

use super::coding::Coding;
use crate::http::{EntityTag, Validators, seconds};
use crate::sys::FileState;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A file that changed less than this before it was looked at may change again without its times showing it: the kernel's clock for them
/// ticks coarsely. Until then its tag is weak. (git calls such entries racy.)
const RACY: Duration = Duration::from_millis(50);

/// Whether a file that was in this state at `now` or a little later can't change any more without its times showing it.
pub(super) fn is_settled(state: &FileState, now: SystemTime) -> bool {
    now >= state.changed() + RACY
}

/// Of a file that was in this state at `now` or a little later, and is sent as it is or as a coded form of another.
pub(super) fn validators(state: &FileState, coding: Option<Coding>, now: SystemTime) -> Validators {
    // ctime, not mtime: it can't be set back by hand.
    let changed = state.changed().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (size, second, nanosecond, inode) = (state.size(), changed.as_secs(), changed.subsec_nanos(), state.inode());
    // RFC 9110 §8.8.3.3: a coded form has a tag of its own, also where both are one file by a link.
    let (dash, form) = coding.map_or(("", ""), |coding| ("-", coding.name()));
    let tag = format!("{size:x}-{second:x}.{nanosecond:x}-{inode:x}{dash}{form}");
    let tag = if is_settled(state, now) { EntityTag::strong(tag) } else { EntityTag::weak(tag) };
    // RFC 9110 §8.8.2.1: never later than the answer's Date.
    let last_modified = UNIX_EPOCH + Duration::from_secs(seconds(state.modified().min(now)));
    Validators { tag: Some(tag), last_modified: Some(last_modified) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> FileState {
        FileState::from(&std::fs::metadata("Cargo.toml").unwrap())
    }

    #[test]
    fn a_file_just_changed_has_a_weak_tag() {
        let state = state();
        let changed = state.changed();
        for (age, is_weak) in [(Duration::ZERO, true), (RACY - Duration::from_nanos(1), true), (RACY, false)] {
            let tag = validators(&state, None, changed + age).tag.unwrap();
            assert_eq!(tag.is_weak(), is_weak, "{age:?} old");
        }
        let second = UNIX_EPOCH + Duration::from_secs(5);
        assert_eq!(validators(&state, None, second).last_modified, Some(second), "never later than now");
    }

    #[test]
    fn each_form_has_a_tag_of_its_own() {
        let state = state();
        let tag = |coding| validators(&state, coding, SystemTime::now()).tag.unwrap();
        assert_ne!(tag(None), tag(Some(Coding::Gzip)));
        assert_ne!(tag(Some(Coding::Brotli)), tag(Some(Coding::Gzip)));
    }
}
