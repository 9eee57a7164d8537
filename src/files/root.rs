//! The folder: names are resolved beneath its descriptor, by the kernel.

use crate::sys::{self, FileState, LastLink, OpenHow, Replace};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// EAGAIN from openat2 says that something moved while a `..` was resolved: asked again this often.
const OPEN_TRIES: usize = 16;

/// How names are resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolver {
    /// openat2(2): links that stay beneath the folder are followed.
    Openat2,
    /// openat(2) component by component, for kernels and containers without openat2: no link is followed.
    Walk,
    /// openat(2): links are followed wherever they lead.
    Follow,
}

/// Folders that lead to a file, as they were when it was opened.
#[derive(Debug, Clone)]
pub(super) struct Way(Vec<(CString, FileState)>);

/// An open folder.
#[derive(Debug)]
pub struct Root {
    directory: OwnedFd,
    resolver: Resolver,
    /// How names are resolved that are to be written: never out of the folder.
    beneath: Resolver,
}

/// A name in a folder beneath the root, whether or not something has it.
#[derive(Debug)]
pub(super) struct Place {
    folder: File,
    name: CString,
}

impl Root {
    /// Opens `directory`, and finds out whether there is openat2.
    ///
    /// # Errors
    /// Where `directory` can't be opened or entered, or is none.
    pub fn open(directory: &Path) -> io::Result<Root> {
        let directory = sys::open_directory(directory)?;
        sys::state_of(directory.as_fd(), c".", LastLink::Show)?; // To open it takes no right to what is in it.
        let resolver = match sys::open_beneath(directory.as_fd(), c".", OpenHow::Directory) {
            Ok(_) => Resolver::Openat2,
            // ENOSYS; EPERM from a container's filter that does not know the call.
            Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied) => {
                Resolver::Walk
            }
            Err(error) => return Err(error),
        };
        Ok(Root { directory, resolver, beneath: resolver })
    }

    /// The same folder, resolved in a given way.
    pub fn with_resolver(self, resolver: Resolver) -> Root {
        let beneath = if resolver == Resolver::Follow { self.beneath } else { resolver };
        Root { resolver, beneath, ..self }
    }

    /// How names are resolved.
    pub fn resolver(&self) -> Resolver {
        self.resolver
    }

    /// Opens what `path`, relative and without `..`, names: for reading, whatever it is, without waiting.
    ///
    /// # Errors
    /// What the calls say; `CrossesDevices` where a link leads out, ELOOP where links are not followed; `WouldBlock` where things move all the time.
    pub fn open_beneath(&self, path: &CStr) -> io::Result<File> {
        match self.resolver {
            Resolver::Openat2 => self.openat2(path, OpenHow::Read),
            Resolver::Walk => self.walk(path, OpenHow::Read),
            Resolver::Follow => sys::open_following(self.directory.as_fd(), path),
        }
    }

    /// Opens the folder that `path` names, to change what is in it. Links lead there as far as they stay beneath, also where reading follows
    /// them anywhere.
    ///
    /// # Errors
    /// As [`open_beneath`](Self::open_beneath).
    pub(super) fn open_folder(&self, path: &CStr) -> io::Result<File> {
        match self.beneath {
            Resolver::Openat2 => self.openat2(path, OpenHow::Folder),
            Resolver::Walk | Resolver::Follow => self.walk(path, OpenHow::Folder),
        }
    }

    /// The place of a name, whose folder is there.
    ///
    /// # Errors
    /// As [`open_folder`](Self::open_folder) of its folder.
    pub(super) fn place(&self, folder: &CStr, name: CString) -> io::Result<Place> {
        Ok(Place { folder: self.open_folder(folder)?, name })
    }

    /// The folders on the way to what `path` names, if each is one and no link; the last name not looked at. Where links may lead anywhere
    /// the way does not matter.
    ///
    /// # Errors
    /// What the calls say; `NotADirectory` where a link is on the way.
    pub(super) fn way_to(&self, path: &CStr) -> io::Result<Way> {
        let bytes = path.to_bytes();
        let ends = memchr::memchr_iter(b'/', bytes).filter(|end| bytes[..*end] != *b".");
        let ends = ends.filter(|_| self.resolver != Resolver::Follow);
        let folder = |end: usize| {
            let path = CString::new(&bytes[..end]).expect("a part of a C string has no NUL");
            let state = sys::state_of(self.directory.as_fd(), &path, LastLink::Show)?;
            if state.is_directory() { Ok((path, state)) } else { Err(ErrorKind::NotADirectory.into()) }
        };
        ends.map(folder).collect::<io::Result<Vec<_>>>().map(Way)
    }

    /// The state of what `path` names now, with `way` leading there: a folder and no link each. So it lies beneath this one.
    ///
    /// # Errors
    /// What the calls say; `NotFound` where the way is another.
    pub(super) fn state_of(&self, way: &Way, path: &CStr) -> io::Result<FileState> {
        for (folder, state) in &way.0 {
            // An inode is used again: it could be a link by now.
            let now = sys::state_of(self.directory.as_fd(), folder, LastLink::Show)?;
            if !now.is_directory() || !now.is_same(state) {
                return Err(ErrorKind::NotFound.into());
            }
        }
        let last_link = if self.resolver == Resolver::Follow { LastLink::Follow } else { LastLink::Show };
        sys::state_of(self.directory.as_fd(), path, last_link)
    }

    fn openat2(&self, path: &CStr, how: OpenHow) -> io::Result<File> {
        for _ in 1..OPEN_TRIES {
            match sys::open_beneath(self.directory.as_fd(), path, how) {
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                other => return other,
            }
        }
        sys::open_beneath(self.directory.as_fd(), path, how)
    }

    fn walk(&self, path: &CStr, last: OpenHow) -> io::Result<File> {
        let mut directory: Option<File> = None;
        let mut names = path.to_bytes().split(|byte| *byte == b'/').peekable();
        while let Some(name) = names.next() {
            if name == b".." {
                return Err(ErrorKind::CrossesDevices.into()); // As openat2 says of what leaves.
            }
            let name = CString::new(name).expect("a part of a C string has no NUL");
            let from = directory.as_ref().map_or(self.directory.as_fd(), AsFd::as_fd);
            let how = if names.peek().is_some() { OpenHow::Directory } else { last };
            directory = Some(sys::open_component(from, &name, how)?);
        }
        directory.ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl Place {
    /// What has the name, a link shown as one; `None` where nothing does.
    ///
    /// # Errors
    /// What fstatat(2) says beside that.
    pub(super) fn state(&self) -> io::Result<Option<FileState>> {
        match sys::state_of(self.folder.as_fd(), &self.name, LastLink::Show) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            state => state.map(Some),
        }
    }

    /// Another name in the same folder.
    ///
    /// # Errors
    /// What duplicating a descriptor says.
    pub(super) fn beside(&self, name: CString) -> io::Result<Place> {
        Ok(Place { folder: self.folder.try_clone()?, name })
    }

    /// Makes a file, to write; nothing has the name yet.
    ///
    /// # Errors
    /// What openat(2) says.
    pub(super) fn create_file(&self) -> io::Result<File> {
        sys::create_file(self.folder.as_fd(), &self.name)
    }

    /// Makes a folder; nothing has the name yet.
    ///
    /// # Errors
    /// What mkdirat(2) says.
    pub(super) fn create_folder(&self) -> io::Result<()> {
        sys::create_directory(self.folder.as_fd(), &self.name)
    }

    /// Removes a file.
    ///
    /// # Errors
    /// What unlinkat(2) says.
    pub(super) fn remove_file(&self) -> io::Result<()> {
        sys::remove_file(self.folder.as_fd(), &self.name)
    }

    /// Removes a folder, which is empty.
    ///
    /// # Errors
    /// What unlinkat(2) says.
    pub(super) fn remove_folder(&self) -> io::Result<()> {
        sys::remove_directory(self.folder.as_fd(), &self.name)
    }

    /// Gives what is here the name of another place. `Replace::Never` looks first where the file system can't do both in one step: then only
    /// who holds a lock against the other writers is safe.
    ///
    /// # Errors
    /// What renameat2(2) says.
    pub(super) fn rename(&self, to: &Place, replace: Replace) -> io::Result<()> {
        let rename = |replace| sys::rename((self.folder.as_fd(), &self.name), (to.folder.as_fd(), &to.name), replace);
        match rename(replace) {
            // EINVAL also says that a folder can't go into itself; then it is said again.
            Err(error) if replace == Replace::Never && error.kind() == ErrorKind::InvalidInput => match to.state()? {
                Some(_) => Err(ErrorKind::AlreadyExists.into()),
                None => rename(Replace::Always),
            },
            result => result,
        }
    }

    /// Waits until the disk has what was made, renamed or removed here. For a thread that may wait.
    ///
    /// # Errors
    /// What fsync(2) says.
    pub(super) fn sync_folder(&self) -> io::Result<()> {
        self.folder.sync_all()
    }
}
