//! Files that were asked for lately: their heads as they are sent, small ones whole, large ones open.
//!
//! Invariant: what is taken from here is what the file system has in this turn of the loop. Each file is compared with it once a turn
//! (a request's time names the turn) by one fstatat(2): device, inode, mode, size and times; so is each folder on the way, lest one that
//! moved away be followed by a link. What a link leads to, and a file so new that it may change again without its times showing it, is not
//! kept.
//!
//! ```text
//!   path as it was written ─▶ Entry ─┬─ the file: its state, when it was compared last
//!                                    └─ forms: as it is, br, zstd, gzip: kept (with a state of its own), known to be missing, unknown
//! ```

use super::coding::{Accepted, Coding};
use super::path::Resolved;
use super::representation::{Chosen, Representation};
use super::root::{Root, Way};
use crate::sys::FileState;
use foldhash::fast::RandomState;
use lru::LruCache;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// Descriptors that are kept open for files too large for memory.
pub(crate) const DESCRIPTORS_MAX: usize = 128;

/// That there is no coded form beside a file is believed this long: looking each time would cost a call for each coding that a browser
/// takes. The file itself is never older than the turn, so what is sent meanwhile is right, if larger than it could be.
const MISSING_BELIEVED: Duration = Duration::from_secs(1);

/// What an entry costs beside its bytes: names, tables, allocation.
const ENTRY_BYTES: u64 = 512;

/// A path longer than this is resolved anew each time.
const KEY_BYTES_MAX: usize = 1024;

/// Kept files, bounded by the bytes they take. Clones share them.
#[derive(Clone)]
pub struct Cache {
    bytes_max: u64,
    kept: Arc<Mutex<Kept>>,
}

struct Kept {
    entries: LruCache<Box<str>, Entry, RandomState>,
    bytes: u64,
    descriptors: usize,
}

struct Entry {
    /// What it takes beside its forms.
    bytes: u64,
    at: Resolved,
    way: Way,
    state: FileState,
    /// The turn in which `state` was compared last.
    compared: SystemTime,
    /// There may be coded forms.
    varies: bool,
    /// As [`Form::index`] numbers them.
    forms: [Form; 1 + Coding::ALL.len()],
}

/// What is known of one form of a file.
enum Form {
    Unknown,
    Missing { until: SystemTime },
    Kept { representation: Arc<Representation>, state: FileState, compared: SystemTime },
}

impl Form {
    fn index(coding: Option<Coding>) -> usize {
        coding.map_or(0, |coding| 1 + coding as usize)
    }

    fn kept(&self) -> Option<&Arc<Representation>> {
        match self {
            Form::Kept { representation, .. } => Some(representation),
            Form::Unknown | Form::Missing { .. } => None,
        }
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("count", &self.count()).field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

impl Cache {
    /// Keeps nothing yet; with `bytes_max` 0 it never will.
    pub(super) fn new(bytes_max: u64) -> Cache {
        let kept = Kept { entries: LruCache::unbounded_with_hasher(RandomState::default()), bytes: 0, descriptors: 0 };
        Cache { bytes_max, kept: Arc::new(Mutex::new(kept)) }
    }

    /// The paths that are known at the moment.
    pub fn count(&self) -> usize {
        self.lock().entries.len()
    }

    /// The bytes that they take at the moment.
    pub fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    /// The descriptors that are kept open at the moment.
    pub fn descriptors(&self) -> usize {
        self.lock().descriptors
    }

    /// Whether it keeps anything at all.
    pub(super) fn keeps(&self) -> bool {
        self.bytes_max > 0
    }

    /// The form of the file behind `path` that suits who asks, if it is here, and still what the file system has.
    pub(super) fn find(
        &self,
        root: &Root,
        path: &str,
        accepted: &Accepted,
        now: SystemTime,
    ) -> Option<Arc<Representation>> {
        if !self.keeps() {
            return None;
        }
        let mut kept = self.lock();
        let entry = kept.entries.get_mut(path)?;
        let found = entry.find(root, accepted, now);
        if found.is_err() {
            kept.remove(path);
        }
        found.ok().flatten()
    }

    /// Keeps the form that was chosen of the file behind `path`, which `at` names. What the client would have liked better was looked for,
    /// where the type has coded forms, and is missing.
    pub(super) fn keep(
        &self,
        root: &Root,
        path: &str,
        at: &Resolved,
        accepted: &Accepted,
        chosen: &Chosen,
        now: SystemTime,
    ) {
        if !self.keeps() || path.len() > KEY_BYTES_MAX {
            return;
        }
        let Chosen { representation, state, form_state, varies, .. } = chosen;
        let (state, form_state, varies) = (*state, *form_state, *varies);
        let mut kept = self.lock();
        if kept.entries.peek(path).is_none_or(|entry| entry.state != state) {
            kept.remove(path);
            // Compared at once: it may have been opened through a link.
            let leads_here = |way: &Way| root.state_of(way, &at.path).is_ok_and(|found| found == state);
            let Some(way) = root.way_to(&at.path).ok().filter(leads_here) else { return };
            let forms = std::array::from_fn(|_| Form::Unknown);
            let bytes = ENTRY_BYTES + 2 * path.len() as u64;
            kept.entries.put(path.into(), Entry { bytes, at: at.clone(), way, state, compared: now, varies, forms });
            kept.bytes += bytes;
        }
        let entry = kept.entries.get_mut(path).expect("it was put there");
        let coding = representation.coding();
        for missing in entry.codings(accepted).iter().take_while(|liked| Some(**liked) != coding) {
            entry.forms[Form::index(Some(*missing))] = Form::Missing { until: now + MISSING_BELIEVED };
        }
        let form = Form::Kept { representation: representation.clone(), state: form_state, compared: now };
        let before = std::mem::replace(&mut entry.forms[Form::index(coding)], form);
        if let Some(before) = before.kept() {
            kept.note_gone(before);
        }
        kept.bytes += representation.kept_bytes();
        kept.descriptors += usize::from(representation.has_descriptor());
        while !kept.entries.is_empty() && (kept.bytes > self.bytes_max || kept.descriptors > DESCRIPTORS_MAX) {
            kept.remove_oldest();
        }
    }

    /// Lets go of the file behind `path`.
    pub(super) fn forget(&self, path: &str) {
        self.lock().remove(path);
    }

    /// Lets go of all that `at` names or is beneath it, under whatever path it was asked for, and of what it is a coded form of: it was
    /// changed here.
    pub(super) fn forget_changed(&self, at: &Resolved) {
        let changed = plain(at);
        let concerns = |entry: &Entry| {
            let path = plain(&entry.at);
            let is_it_or_beneath = path.strip_prefix(changed).is_some_and(|rest| matches!(rest, [] | [b'/', ..]));
            let is_form_of = |rest: &[u8]| Coding::ALL.iter().any(|coding| rest == coding.ending().as_bytes());
            is_it_or_beneath || changed.strip_prefix(path).is_some_and(is_form_of)
        };
        let mut kept = self.lock();
        let paths: Vec<_> =
            kept.entries.iter().filter(|(_, entry)| concerns(entry)).map(|(path, _)| path.clone()).collect();
        paths.iter().for_each(|path| kept.remove(path));
    }

    /// Lets go of entries, the least lately used first, until one of them had a descriptor, which is closed once no answer sends its file any
    /// more. False where none was kept.
    pub(crate) fn give_way(&self) -> bool {
        let mut kept = self.lock();
        let had = kept.descriptors;
        while kept.descriptors > 0 && kept.descriptors == had {
            kept.remove_oldest();
        }
        had > 0
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A path less the dot that an index of the root begins with.
fn plain(at: &Resolved) -> &[u8] {
    let path = at.path.as_bytes();
    path.strip_prefix(b"./").unwrap_or(path)
}

/// The file is not what it was.
struct Changed;

impl Entry {
    /// The codings that are looked for.
    fn codings<'a>(&self, accepted: &'a Accepted) -> &'a [Coding] {
        if self.varies { accepted.codings() } else { &[] }
    }

    /// The form that suits; `None` where it has to be looked for.
    fn find(
        &mut self,
        root: &Root,
        accepted: &Accepted,
        now: SystemTime,
    ) -> Result<Option<Arc<Representation>>, Changed> {
        if self.compared != now {
            if root.state_of(&self.way, &self.at.path).ok() != Some(self.state) {
                return Err(Changed);
            }
            self.compared = now;
        }
        for coding in self.codings(accepted) {
            match &mut self.forms[Form::index(Some(*coding))] {
                // The clock on the wall may go back.
                Form::Missing { until } if now < *until && now + MISSING_BELIEVED >= *until => {}
                Form::Missing { .. } | Form::Unknown => return Ok(None),
                Form::Kept { representation, state, compared } => {
                    if *compared != now {
                        let form = self.at.with_ending(coding.ending());
                        if root.state_of(&self.way, &form.path).ok() != Some(*state) {
                            return Err(Changed);
                        }
                        *compared = now;
                    }
                    return Ok(Some(representation.clone()));
                }
            }
        }
        Ok(self.forms[Form::index(None)].kept().filter(|_| accepted.is_plain_accepted()).cloned())
    }
}

impl Kept {
    fn remove(&mut self, path: &str) {
        if let Some(entry) = self.entries.pop(path) {
            self.note_removed(&entry);
        }
    }

    fn remove_oldest(&mut self) {
        if let Some((_, entry)) = self.entries.pop_lru() {
            self.note_removed(&entry);
        }
    }

    fn note_removed(&mut self, entry: &Entry) {
        self.bytes -= entry.bytes;
        entry.forms.iter().filter_map(Form::kept).for_each(|form| self.note_gone(form));
    }

    fn note_gone(&mut self, representation: &Representation) {
        self.bytes -= representation.kept_bytes();
        self.descriptors -= usize::from(representation.has_descriptor());
    }
}
