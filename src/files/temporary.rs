//! A file that is not whole yet: it lies beside the name that it is to have, under one of its own.
//!
//! Invariant: nobody sees it by that name (see [`RESERVED`]), and it is gone when it is dropped before it was named. What a crash leaves is
//! swept away at the next start: who writes holds a lock, which the kernel lets go of with the process.
//!
//! `O_TMPFILE` would leave nothing in a crash, but not every file system has it, and it can't replace what is there: linkat(2) needs a free
//! name, so a file would have a second name for a moment all the same. One way for all, and a sweep, are less.

use super::path::RESERVED;
use super::root::{Place, Root};
use crate::offload::Pool;
use crate::sys::{self, EntryKind, Replace};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Up to this a file that is given up is closed where it is: freeing so much takes some ten microseconds.
const CLOSED_AT_ONCE_BYTES_MAX: u64 = 1024 * 1024;

/// Makes temporary files.
#[derive(Debug, Default)]
pub(super) struct Maker {
    /// Names are random, so that several servers may share a folder.
    secret: RandomState,
    made: AtomicU64,
    closer: Closer,
}

/// A thread that closes what was given up: of a large file without a name the kernel frees the blocks then, which takes long.
#[derive(Clone, Default)]
struct Closer(Arc<Pool>);

impl std::fmt::Debug for Closer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Closer")
    }
}

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Temporary {
    place: Place,
    /// `None` when it is over.
    file: Option<File>,
    is_named: bool,
    closer: Closer,
}

impl Maker {
    /// An empty one in the folder of `target`.
    ///
    /// # Errors
    /// What making or locking it says.
    pub(super) fn make(&self, target: &Place) -> io::Result<Temporary> {
        let number = self.secret.hash_one(self.made.fetch_add(1, Ordering::Relaxed));
        let name = [RESERVED, format!("{number:016x}").as_bytes()].concat();
        let place = target.beside(CString::new(name).expect("there is no NUL in it"))?;
        let file = place.create_file()?;
        let temporary = Temporary { place, file: Some(file), is_named: false, closer: self.closer.clone() };
        sys::try_lock(temporary.file().as_fd())?;
        Ok(temporary)
    }
}

impl Temporary {
    fn file(&self) -> &File {
        self.file.as_ref().expect("it is there until it is dropped")
    }

    /// Appends, to memory that the kernel writes back when it likes.
    ///
    /// # Errors
    /// What write(2) says: that there is no room, too.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.file().write_all(bytes)
    }

    /// Waits until the disk has it. For a thread that may wait.
    ///
    /// # Errors
    /// What fsync(2) says: that there is no room, too.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file().sync_all()
    }

    /// Gives it its name, in one step.
    ///
    /// # Errors
    /// What renaming says; then it is gone.
    pub(super) fn name(mut self, to: &Place, replace: Replace) -> io::Result<()> {
        self.place.rename(to, replace)?;
        self.is_named = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.is_named {
            return;
        }
        // The name goes at once: whatever becomes of this process, nothing is left. An error leaves it to the next sweep.
        let _ = self.place.remove_file();
        let Some(file) = self.file.take() else { return };
        if file.metadata().is_ok_and(|metadata| metadata.len() > CLOSED_AT_ONCE_BYTES_MAX) {
            let _ = self.closer.0.submit(Box::new(move || drop(file))); // Where all are busy it is closed here.
        }
    }
}

/// Removes what crashes left beneath `root`: reserved names that nobody writes any more. What can't be looked into is passed over. Says how
/// many bytes all other files have.
pub(super) fn sweep(root: &Root) -> u64 {
    let mut bytes = 0u64;
    let mut folders = vec![CString::from(c".")];
    while let Some(path) = folders.pop() {
        let Ok(folder) = root.open_folder(&path) else { continue };
        let Ok(entries) = sys::read_directory(folder.as_fd()) else { continue };
        // What was found before an error counts all the same.
        for entry in entries.map_while(Result::ok) {
            match entry.kind {
                EntryKind::Folder => folders.push(beneath(&path, &entry.name)),
                EntryKind::File if entry.name.starts_with(RESERVED) => remove_leftover(&folder, &entry.name),
                EntryKind::File => bytes = bytes.saturating_add(entry.size),
                EntryKind::Link | EntryKind::Other => {}
            }
        }
    }
    bytes
}

fn beneath(folder: &CStr, name: &[u8]) -> CString {
    CString::new([folder.to_bytes(), b"/", name].concat()).expect("neither part has a NUL")
}

/// An error leaves it: it takes room, and nobody sees it.
fn remove_leftover(folder: &File, name: &[u8]) {
    let name = CString::new(name).expect("no name has a NUL");
    let opened = sys::open_component(folder.as_fd(), &name, sys::OpenHow::Read);
    if opened.is_ok_and(|file| sys::try_lock(file.as_fd()).is_ok()) {
        let _ = sys::remove_file(folder.as_fd(), &name);
    }
}
