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
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// Up to this a file that is given up is closed where it is: freeing so much takes some ten microseconds.
const CLOSED_AT_ONCE_BYTES_MAX: u64 = 1024 * 1024;

/// The disk is told to write as soon as it lacks so much, and waited for beside the loop: less at a time would be a call too often.
const WRITTEN_OUT_BYTES_MIN: u64 = 4 * 1024 * 1024;

/// Who writes waits while the disk lacks more. Past a part of its memory, on small machines some ten megabytes, the kernel would stop it in the
/// middle of a write, and with it the loop.
const AHEAD_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Makes temporary files.
#[derive(Debug, Default)]
pub(super) struct Maker {
    /// Names are random, so that several servers may share a folder.
    secret: RandomState,
    made: AtomicU64,
    beside: Beside,
}

/// Threads for what takes long: the disk, and closing what was given up: of a large file without a name the kernel frees the blocks then.
#[derive(Clone, Default)]
struct Beside(Arc<Pool>);

impl std::fmt::Debug for Beside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Beside")
    }
}

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Temporary {
    place: Place,
    /// `None` when it is over.
    file: Option<Arc<File>>,
    is_named: bool,
    bytes: u64,
    disk: Arc<Disk>,
    beside: Beside,
}

/// What the disk has of a file, for who writes it and for the thread that waits for the disk.
#[derive(Debug, Default)]
struct Disk {
    state: Mutex<OnDisk>,
    /// What it said, if it failed. Held while it is asked, since the kernel says so but once: to whom asks first.
    failed: Mutex<Option<io::Error>>,
}

#[derive(Debug, Default)]
struct OnDisk {
    /// So much from the file's beginning was written out.
    bytes: u64,
    /// A thread waits for more.
    is_busy: bool,
    /// Of those who wait for the thread.
    wakers: Vec<Waker>,
}

impl OnDisk {
    /// Whether who wrote that many bytes should wait. Where no thread could be had it would wait for nobody.
    fn is_behind(&self, bytes: u64) -> bool {
        self.is_busy && bytes - self.bytes > AHEAD_BYTES_MAX
    }
}

impl Disk {
    fn state(&self) -> MutexGuard<'_, OnDisk> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for something that may fail, or have failed.
    fn ask(&self, ask: impl FnOnce() -> io::Result<()>) -> MutexGuard<'_, Option<io::Error>> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = ask();
        *failed = failed.take().or(asked.err());
        failed
    }

    /// Writes out what the disk lacks of the first `bytes` of a file, and waits for it.
    fn write_out(&self, file: &File, bytes: u64) {
        let lacking = self.state().bytes..bytes;
        drop(self.ask(|| sys::write_out(file.as_fd(), lacking)));
        let mut state = self.state();
        state.bytes = bytes;
        state.is_busy = false;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
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
        let file = Some(Arc::new(place.create_file()?));
        let (disk, beside) = (Arc::default(), self.beside.clone());
        let temporary = Temporary { place, file, is_named: false, bytes: 0, disk, beside };
        sys::try_lock(temporary.file().as_fd())?;
        Ok(temporary)
    }
}

impl Temporary {
    fn file(&self) -> &Arc<File> {
        self.file.as_ref().expect("it is there until it is dropped")
    }

    /// What was written so far, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends, to memory that the kernel writes back when it likes, or is told to.
    ///
    /// # Errors
    /// What write(2) says: that there is no room, too.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file().as_ref().write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        self.write_out();
        Ok(())
    }

    /// Has the disk go on with what it lacks. Where no thread can be had for that it is left to the kernel.
    fn write_out(&self) {
        let mut state = self.disk.state();
        if state.is_busy || self.bytes - state.bytes < WRITTEN_OUT_BYTES_MIN {
            return;
        }
        let (disk, file, bytes) = (self.disk.clone(), self.file().clone(), self.bytes);
        state.is_busy = self.beside.0.submit(Box::new(move || disk.write_out(&file, bytes))).is_ok();
    }

    /// Whether who writes is so far ahead of the disk that it should wait.
    pub(super) fn is_ahead(&self) -> bool {
        self.disk.state().is_behind(self.bytes)
    }

    /// The same; where it is so the waker is used when that may be over.
    pub(super) fn waits(&self, waker: &dyn Fn() -> Waker) -> bool {
        let mut state = self.disk.state();
        let waits = state.is_behind(self.bytes);
        state.wakers.extend(waits.then(waker));
        waits
    }

    /// Waits until the disk has it. For a thread that may wait.
    ///
    /// # Errors
    /// What fsync(2) says, or the disk said before: that there is no room, too.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.disk.ask(|| self.file().sync_all()).take().map_or(Ok(()), Err)
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
            let _ = self.beside.0.submit(Box::new(move || drop(file))); // Where all are busy it is closed here.
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
        for entry in sys::read_directory(folder.as_fd()).unwrap_or_default() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offload::Limits;
    use std::path::Path;
    use std::sync::mpsc::{Sender, channel};
    use std::task::Wake;
    use tempfile::TempDir;

    struct Bell(Sender<()>);

    impl Wake for Bell {
        fn wake(self: Arc<Bell>) {
            self.0.send(()).unwrap();
        }
    }

    fn temporary(folder: &Path, pool: Pool) -> Temporary {
        let place = Root::open(folder).unwrap().place(c".", c"name".into()).unwrap();
        Maker { beside: Beside(Arc::new(pool)), ..Maker::default() }.make(&place).unwrap()
    }

    #[test]
    fn who_is_ahead_of_the_disk_waits_until_it_caught_up() {
        let folder = TempDir::new().unwrap();
        // The only thread is kept from the disk.
        let (begin, begun) = channel();
        let (release, released) = channel::<()>();
        let pool = Pool::new(Limits { threads_max: 1, queue_max: 1 });
        let held = move || {
            begin.send(()).unwrap();
            let _ = released.recv();
        };
        pool.submit(Box::new(held)).unwrap();
        begun.recv().unwrap();
        let mut file = temporary(folder.path(), pool);
        let (ring, rung) = channel();
        let waker = Waker::from(Arc::new(Bell(ring)));
        let piece = vec![b'x'; 1024 * 1024];
        for _ in 0..AHEAD_BYTES_MAX / 1024 / 1024 {
            file.write(&piece).unwrap();
            assert!(!file.waits(&|| waker.clone()), "{} bytes", file.bytes());
        }
        file.write(b"x").unwrap();
        assert!(file.waits(&|| waker.clone()) && file.waits(&|| waker.clone()) && file.is_ahead());
        drop(release);
        assert_eq!([rung.recv(), rung.recv()], [Ok(()), Ok(())], "who came before another, too");
        assert!(!file.is_ahead() && !file.waits(&|| waker.clone()));
        assert_eq!(file.disk.state().bytes, WRITTEN_OUT_BYTES_MIN);
        file.sync().unwrap();
        drop(file);
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn without_a_thread_nobody_waits_for_one() {
        let folder = TempDir::new().unwrap();
        let mut file = temporary(folder.path(), Pool::new(Limits { threads_max: 0, queue_max: 0 }));
        file.write(&vec![b'x'; AHEAD_BYTES_MAX as usize + 1]).unwrap();
        assert!(!file.is_ahead() && !file.waits(&|| unreachable!("nobody waits")));
    }
}
