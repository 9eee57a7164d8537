//! What outlives a session: the lines that were typed, and where uploads go on that broke off.
//!
//! Invariant: nothing depends on it. Where there is no folder for it, all works but for what it would have remembered.

use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// No server keeps a broken upload for so long.
const UPLOAD_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

pub struct Memory {
    folder: Option<PathBuf>,
}

impl Memory {
    /// In the XDG folder for state, which only its user reads.
    pub fn new() -> Memory {
        let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")));
        let folder = state.map(|state| state.join("tripoll-files"));
        let make = |folder: &PathBuf| DirBuilder::new().recursive(true).mode(0o700).create(folder);
        Memory { folder: folder.filter(|folder| make(folder).is_ok()) }
    }

    /// The file of typed lines.
    pub fn history(&self) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join("history"))
    }

    /// Where an upload goes on, by what tells it from others.
    pub fn upload(&self, key: &impl Hash) -> Option<String> {
        fs::read_to_string(self.place(key)?).ok()
    }

    pub fn remember_upload(&self, key: &impl Hash, location: &str) {
        self.forget_old();
        if let Some(place) = self.place(key) {
            // What can't be remembered can't be gone on with by another session: no reason to stop this one.
            let _ = fs::write(place, location);
        }
    }

    pub fn forget_upload(&self, key: &impl Hash) {
        if let Some(place) = self.place(key) {
            let _ = fs::remove_file(place);
        }
    }

    fn place(&self, key: &impl Hash) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(format!("{:016x}.upload", hash(key))))
    }

    fn forget_old(&self) {
        let entries = self.folder.as_ref().and_then(|folder| fs::read_dir(folder).ok());
        for path in entries.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())) {
            let changed = fs::metadata(&path).and_then(|metadata| metadata.modified());
            let age = changed.ok().and_then(|changed| SystemTime::now().duration_since(changed).ok());
            if path.extension().is_some_and(|ending| ending == "upload") && age.is_some_and(|age| age > UPLOAD_AGE_MAX)
            {
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// The same in every run of one build. In another what was begun is begun anew.
pub fn hash(key: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}
