//! What is in a folder, and in the folders in it: each as it is found.

use crate::files::path::{DotNames, Resolved, is_left_out};
use crate::files::reject;
use crate::files::root::Root;
use crate::http::{Reject, seconds};
use crate::protocol::OpenFile;
use crate::sys::{self, DirectoryEntry, EntryKind};
use std::ffi::OsStr;
use std::fs::Metadata;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// A file or folder.
pub(super) struct Entry {
    /// From the folder that is walked on, its own name first.
    pub(super) name: Vec<u8>,
    /// Whether it may be run or read, of which no more is told: 0755 or 0644.
    pub(super) mode: u32,
    /// Seconds since 1970.
    pub(super) changed: u64,
    pub(super) content: Content,
}

pub(super) enum Content {
    Folder,
    File(OpenFile),
}

/// Goes through a folder, in the order of names.
pub(super) struct Walk {
    root: Arc<Root>,
    dot_names: DotNames,
    /// What is to be looked at first, before there is a level.
    start: Option<(Resolved, Vec<u8>)>,
    levels: Vec<Level>,
}

/// A folder on the way.
struct Level {
    at: Resolved,
    name: Vec<u8>,
    left: std::vec::IntoIter<DirectoryEntry>,
}

impl Walk {
    /// Through what `at` names; it is called `name`.
    pub(super) fn new(root: Arc<Root>, at: Resolved, name: Vec<u8>, dot_names: DotNames) -> Walk {
        Walk { root, dot_names, start: Some((at, name)), levels: Vec::new() }
    }

    /// `None` where it is not to be had, or is neither file nor folder; a folder becomes a level.
    fn enter(&mut self, at: Resolved, name: Vec<u8>, kind: EntryKind) -> io::Result<Option<Entry>> {
        let file = self.root.open_beneath(&at.path)?;
        let metadata = file.metadata()?;
        let content = match kind {
            EntryKind::File | EntryKind::Link if metadata.is_file() => Content::File(OpenFile::new(file, &metadata)),
            EntryKind::Folder if metadata.is_dir() => {
                let mut entries = sys::read_directory(file.as_fd())?.collect::<io::Result<Vec<_>>>()?;
                entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
                self.levels.push(Level { at, name: name.clone(), left: entries.into_iter() });
                Content::Folder
            }
            EntryKind::File | EntryKind::Link | EntryKind::Folder | EntryKind::Other => return Ok(None),
        };
        let mode = if metadata.is_dir() || is_executable(&metadata) { 0o755 } else { 0o644 };
        Ok(Some(Entry { name, mode, changed: seconds(metadata.modified().unwrap_or(UNIX_EPOCH)), content }))
    }

    /// The next to be looked at.
    fn next_place(&mut self) -> Option<(Resolved, Vec<u8>, EntryKind)> {
        if let Some((at, name)) = self.start.take() {
            return Some((at, name, EntryKind::Folder));
        }
        loop {
            let level = self.levels.last_mut()?;
            let Some(entry) = level.left.next() else {
                self.levels.pop();
                continue;
            };
            let is_shown = !is_left_out(&entry.name, self.dot_names);
            if is_shown && entry.kind != EntryKind::Other {
                let at = level.at.join(OsStr::from_bytes(&entry.name));
                return Some((at, [&level.name, &b"/"[..], &entry.name].concat(), entry.kind));
            }
        }
    }
}

fn is_executable(metadata: &Metadata) -> bool {
    metadata.permissions().mode() & 0o111 != 0
}

impl Iterator for Walk {
    type Item = io::Result<Entry>;

    /// # Errors
    /// What is no fault of the file that is looked at: want of descriptors or memory, a disk that fails.
    fn next(&mut self) -> Option<io::Result<Entry>> {
        loop {
            let (at, name, kind) = self.next_place()?;
            match self.enter(at, name, kind) {
                Ok(Some(entry)) => return Some(Ok(entry)),
                Ok(None) => {}
                // GET would not give it either.
                Err(error) if matches!(reject(&error), Reject::NotFound | Reject::Forbidden(_)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
