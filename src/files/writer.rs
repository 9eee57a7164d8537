//! What changes the folder: PUT, DELETE, MKCOL, MOVE (RFC 9110 §9.3, RFC 4918 §9).
//!
//! Invariant: who reads gets the old or the new, whole. What is uploaded is on the disk before it has its name, and what a request made
//! conditions about is what is changed: it is looked at again, under a lock, right before. The loop writes to the kernel's memory alone;
//! threads beside it sync, rename and remove.
//!
//! ```text
//!   head ─▶ name ─▶ what is there ─▶ preconditions, --overwrite ─▶ body into a temporary file ─▶ sync ─▶ lock: still the same? ─▶ rename
//! ```

mod names;

use super::path::{DotNames, NO_NAME, Resolved, resolve};
use super::posted::{Posted, may_replace};
use super::quota::{Exceeded, Quota, Room};
use super::resumable::{Asked, Registry, Wish};
use super::root::{Place, Root};
use super::temporary::{Maker, Temporary, sweep};
use super::validators::validators;
use super::{Cache, Overwrite, Uploads};
use crate::http::{
    Answer, Reception, Reject, Request, Response, Sink, StatusCode, Take, Validators, Verdict, evaluate_preconditions,
};
use crate::sys::{self, FileState, Replace};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// What can be asked of a file or folder where it may be changed.
const ALLOWED: &str = "DELETE, GET, HEAD, MKCOL, MOVE, OPTIONS, PUT";

/// And of a folder, if its name says that it is one.
const FOLDER_ALLOWED: &str = "DELETE, GET, HEAD, MKCOL, MOVE, OPTIONS, POST";

/// What can be asked of what has this path.
pub(super) fn allowed(path: &str) -> &'static str {
    if path.ends_with('/') { FOLDER_ALLOWED } else { ALLOWED }
}

/// Why a folder that a name would be in is not there: it may be a file, or lead out.
const NO_FOLDER: Reject = Reject::Conflict("there is no such folder");

/// Changes a folder.
#[derive(Debug)]
pub(super) struct Writer {
    root: Arc<Root>,
    cache: Cache,
    dot_names: DotNames,
    uploads: Uploads,
    quota: Arc<Quota>,
    maker: Maker,
    pub(super) resumable: Mutex<Registry>,
    /// Held from the last look at what is there to its change.
    change: Mutex<()>,
}

/// What has to be there still when a change is made.
#[derive(Debug)]
enum Guard {
    /// Nothing.
    Nothing,
    /// What was there when the request was judged.
    Same(FileState),
    /// Whatever.
    Anything,
}

impl Guard {
    fn check(&self, found: Option<&FileState>) -> Result<(), Reject> {
        let holds = match self {
            Guard::Nothing => found.is_none(),
            Guard::Same(state) => found == Some(state),
            Guard::Anything => true,
        };
        if holds { Ok(()) } else { Err(Reject::PreconditionFailed) }
    }
}

/// A file on its way.
#[derive(Debug)]
pub(super) struct Upload {
    at: Resolved,
    guard: Guard,
    room: Room,
    temporary: Temporary,
}

/// A file that comes with one request.
struct Whole {
    writer: Arc<Writer>,
    upload: Upload,
}

impl Sink for Whole {
    fn piece(&mut self, piece: &[u8], waker: &dyn Fn() -> Waker) -> Take {
        match self.upload.take(&self.writer, piece) {
            Ok(()) => self.upload.more_or_pause(waker),
            Err(reject) => Take::Refuse(self.writer.refusal(reject)),
        }
    }

    fn is_ready(&mut self) -> bool {
        self.upload.is_ready()
    }

    fn finish(self: Box<Self>, _: &Request<'_>) -> Answer {
        offload(move || self.upload.commit(&self.writer))
    }
}

impl Upload {
    /// What it will be called.
    pub(super) fn at(&self) -> &Resolved {
        &self.at
    }

    /// What it has so far, in bytes.
    pub(super) fn written(&self) -> u64 {
        self.temporary.bytes()
    }

    /// Appends.
    ///
    /// # Errors
    /// 413, 507; then a part of the piece may have been written.
    pub(super) fn take(&mut self, writer: &Writer, piece: &[u8]) -> Result<(), Reject> {
        let bytes = self.written() + piece.len() as u64;
        writer.check_size(bytes)?;
        self.room.grow_to(bytes)?;
        self.temporary.write(piece).map_err(|error| reject(&error))
    }

    /// What to say to who brings it, so that the disk keeps up.
    pub(super) fn more_or_pause(&self, waker: &dyn Fn() -> Waker) -> Take {
        if self.temporary.waits(waker) { Take::Pause } else { Take::More }
    }

    /// Whether it goes on after a pause.
    pub(super) fn is_ready(&self) -> bool {
        !self.temporary.is_ahead()
    }

    /// Gives it its name, on a thread that may wait. No ETag is told: until the file is a moment old it would be a weak one, which no If-Match
    /// ever finds.
    ///
    /// # Errors
    /// 412 where what it is to replace is no more what it was, 507; what writing says. Then nothing is left of it.
    pub(super) fn commit(self, writer: &Writer) -> Result<Response, Reject> {
        let Upload { at, guard, room, temporary } = self;
        temporary.sync().map_err(|error| reject(&error))?;
        // Resolved anew: the folder may have been moved.
        let place = writer.place(&at)?;
        let changing = writer.begin_change();
        let found = place.state().map_err(|error| reject(&error))?;
        guard.check(found.as_ref())?;
        found.as_ref().map_or(Ok(()), check_kind)?;
        let replace = if matches!(guard, Guard::Nothing) { Replace::Never } else { Replace::Always };
        temporary.name(&place, replace).map_err(|error| reject(&error))?;
        room.keep();
        writer.note_gone(found.as_ref());
        writer.cache.forget_changed(&at);
        drop(changing);
        place.sync_folder().map_err(|error| reject(&error))?;
        Ok(Response::new(made_or_replaced(found.is_some())))
    }
}

impl Writer {
    /// Sweeps away what a crash left.
    pub(super) fn new(root: Arc<Root>, cache: Cache, dot_names: DotNames, uploads: Uploads) -> Writer {
        let quota = Arc::new(Quota::new(uploads.quota_bytes_max, sweep(&root)));
        let (maker, resumable, change) = (Maker::default(), Mutex::default(), Mutex::default());
        Writer { root, cache, dot_names, uploads, quota, maker, resumable, change }
    }

    /// Answers a request without a body, or whose body does not matter; `None` where it is not for a writer.
    pub(super) fn respond(self: &Arc<Self>, request: &Request<'_>) -> Option<Answer> {
        if let Some(asked) = self.about_upload(request) {
            return Some(match asked {
                Ok(Asked::Answer(response)) => response.into(),
                Ok(Asked::Part(transfer)) => Box::new(transfer).finish(request),
                Err(response) => response.into(),
            });
        }
        let answer = match request.method().as_str() {
            "PUT" => return Some(self.put(request).map_or_else(Answer::from, |sink| sink.finish(request))),
            // Without a body it is no form.
            "POST" if request.path().ends_with('/') => {
                Err(Reject::UnsupportedMediaType("files come as multipart/form-data"))
            }
            "DELETE" => self.delete(request),
            "MKCOL" => self.make_folder(request),
            "MOVE" => self.move_to(request),
            _ => return None,
        };
        Some(answer.unwrap_or_else(Answer::from))
    }

    /// What becomes of a body; `None` where it is not for a writer.
    pub(super) fn receive_body(self: &Arc<Self>, request: &Request<'_>) -> Option<Reception> {
        match (request.method().as_str(), self.about_upload(request)) {
            (_, Some(Ok(Asked::Part(transfer)))) => Some(Reception::Sink(Box::new(transfer))),
            (_, Some(Ok(Asked::Answer(response)) | Err(response))) => Some(Reception::Refuse(response)),
            ("PUT", None) => Some(self.put(request).map_or_else(Reception::Refuse, Reception::Sink)),
            ("POST", None) if request.path().ends_with('/') => Some(match self.form(request) {
                Ok(posted) => Reception::Sink(Box::new(posted)),
                Err(reject) => Reception::Refuse(reject.into()),
            }),
            // RFC 9110 §9.3.5: it has no meaning.
            ("DELETE", None) => Some(Reception::Buffer),
            // RFC 4918 §9.3, §8.4
            ("MKCOL" | "MOVE", None) => {
                Some(Reception::Refuse(Reject::UnsupportedMediaType("the method takes no body").into()))
            }
            _ => None,
        }
    }

    /// Begins to take a file, with this request alone or with others.
    fn put(self: &Arc<Self>, request: &Request<'_>) -> Result<Box<dyn Sink>, Response> {
        let wish = Wish::of(request, 0)?.filter(Wish::is_of_use);
        let length = wish.map_or(request.content_length(), |wish| wish.length);
        let upload = self.upload(request, length).map_err(|reject| self.refusal(reject))?;
        if let Some(wish) = wish {
            if self.may_keep(request.now()) {
                return Ok(Box::new(self.keep(upload, wish, request.path())));
            }
            if !wish.completes {
                return Err(Reject::Busy.into());
            }
        }
        Ok(Box::new(Whole { writer: self.clone(), upload }))
    }

    /// Begins to take a file.
    fn upload(self: &Arc<Self>, request: &Request<'_>, length: Option<u64>) -> Result<Upload, Reject> {
        // RFC 9110 §14.5: it would be taken for the whole.
        if request.fields().get("content-range").is_some() {
            return Err(Reject::BadRequest("a file is put whole, not as a range"));
        }
        // It would be served as what it is not.
        if request.fields().get("content-encoding").is_some() {
            return Err(Reject::ContentCoded);
        }
        let at = self.new_name(request.path())?;
        let place = self.place(&at)?;
        let found = place.state().map_err(|error| reject(&error))?;
        // RFC 4918 §9.7.2
        if found.as_ref().map_or(at.is_directory, FileState::is_directory) {
            return Err(Reject::MethodNotAllowed { allow: FOLDER_ALLOWED.into() });
        }
        let guard = self.judge(request, found)?;
        // Of a body in chunks nobody knows.
        let length = length.unwrap_or(0);
        self.check_size(length)?;
        let room = self.quota.room(length)?;
        let temporary = self.maker.make(&place).map_err(|error| reject(&error))?;
        Ok(Upload { at, guard, room, temporary })
    }

    /// Which names are there.
    pub(super) fn dot_names(&self) -> DotNames {
        self.dot_names
    }

    /// What one file may have.
    pub(super) fn file_bytes_max(&self) -> u64 {
        self.uploads.file_bytes_max
    }

    fn check_size(&self, bytes: u64) -> Result<(), Reject> {
        if bytes <= self.uploads.file_bytes_max { Ok(()) } else { Err(Reject::ContentTooLarge) }
    }

    /// Begins to take a form's files into a folder.
    fn form(self: &Arc<Self>, request: &Request<'_>) -> Result<Posted, Reject> {
        let at = resolve(request.path(), self.dot_names)?;
        let missing = |error: io::Error| if is_missing(&error) { Reject::NotFound } else { reject(&error) };
        self.root.open_folder(&at.path).map_err(missing)?;
        Posted::new(self.clone(), at, request)
    }

    /// Begins to take a file of a form.
    pub(super) fn post(&self, at: Resolved) -> Result<Upload, Reject> {
        let place = self.place(&at)?;
        let guard = match place.state().map_err(|error| reject(&error))? {
            None => Guard::Nothing,
            Some(found) => {
                check_kind(&found)?;
                may_replace(self.uploads.overwrite).map(|()| Guard::Anything)?
            }
        };
        let room = self.quota.room(0)?;
        let temporary = self.maker.make(&place).map_err(|error| reject(&error))?;
        Ok(Upload { at, guard, room, temporary })
    }

    /// Whether what was found may give way to a file, and what has to be there still when it does.
    fn judge(&self, request: &Request<'_>, found: Option<FileState>) -> Result<Guard, Reject> {
        let is_conditional = check_preconditions(request, found.as_ref())?;
        let Some(found) = found else {
            // Where nothing need be known, whoever comes last wins.
            let is_guarded = is_conditional || self.uploads.overwrite != Overwrite::Always;
            return Ok(if is_guarded { Guard::Nothing } else { Guard::Anything });
        };
        check_kind(&found)?;
        match self.uploads.overwrite {
            Overwrite::Never => Err(Reject::Forbidden("what is there is not replaced")),
            Overwrite::IfMatch if request.fields().get("if-match").is_none() => {
                Err(Reject::PreconditionRequired("there is such a file: If-Match says which one is to be replaced"))
            }
            Overwrite::Always if !is_conditional => Ok(Guard::Anything),
            Overwrite::IfMatch | Overwrite::Always => Ok(Guard::Same(found)),
        }
    }

    /// A name that something may get.
    fn new_name(&self, path: &str) -> Result<Resolved, Reject> {
        let at = resolve(path, self.dot_names).map_err(|reject| match reject {
            Reject::NotFound => Reject::Forbidden(NO_NAME),
            other => other,
        })?;
        if at.path.to_str().is_err() {
            return Err(Reject::BadRequest("the name is not UTF-8"));
        }
        Ok(at)
    }

    /// The place that a name is for, in a folder that is there.
    fn place(&self, at: &Resolved) -> Result<Place, Reject> {
        let is_root = || Reject::MethodNotAllowed { allow: FOLDER_ALLOWED.into() };
        let (folder, name) = at.split().ok_or_else(is_root)?;
        let no_folder = |error: io::Error| if is_missing(&error) { NO_FOLDER } else { reject(&error) };
        self.root.place(&folder, name).map_err(no_folder)
    }

    /// What a file took is free again.
    fn note_gone(&self, found: Option<&FileState>) {
        let bytes = found.filter(|found| found.is_file()).map_or(0, FileState::size);
        self.quota.give_back(bytes);
    }

    fn begin_change(&self) -> MutexGuard<'_, ()> {
        self.change.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether there are preconditions; they hold. A folder has no tag, but is there.
fn check_preconditions(request: &Request<'_>, found: Option<&FileState>) -> Result<bool, Reject> {
    let validators = found.map(|found| match found.is_file() {
        true => validators(found, None, request.now()),
        false => Validators::default(),
    });
    match evaluate_preconditions(request, validators.as_ref()) {
        Verdict::Failed => Err(Reject::PreconditionFailed),
        Verdict::Proceed | Verdict::NotModified => Ok(request.is_conditional),
    }
}

/// Files and folders are changed; links, sockets and the like are left to who made them.
fn check_kind(found: &FileState) -> Result<(), Reject> {
    let is_ours = found.is_file() || found.is_directory();
    if is_ours { Ok(()) } else { Err(Reject::Forbidden("what is there is neither a file nor a folder")) }
}

impl From<Exceeded> for Reject {
    fn from(_: Exceeded) -> Reject {
        Reject::InsufficientStorage
    }
}

fn offload(change: impl FnOnce() -> Result<Response, Reject> + Send + 'static) -> Answer {
    Answer::offload(move || change().into())
}

fn made_or_replaced(was_there: bool) -> StatusCode {
    if was_there { StatusCode::NO_CONTENT } else { StatusCode::CREATED }
}

/// What is not there, leads out, or is none on the way looks the same from outside.
fn is_missing(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | CrossesDevices) || sys::is_no_file(error)
}

/// What changing something failed with, as an answer.
fn reject(error: &io::Error) -> Reject {
    use io::ErrorKind::*;
    match error.kind() {
        StorageFull | QuotaExceeded => Reject::InsufficientStorage,
        FileTooLarge => Reject::ContentTooLarge,
        PermissionDenied | ReadOnlyFilesystem => Reject::Forbidden("it can't be written"),
        InvalidFilename => Reject::BadRequest("no file can have that name"),
        DirectoryNotEmpty => Reject::Conflict("the folder is not empty"),
        IsADirectory | NotADirectory => Reject::Conflict("a file and a folder do not replace each other"),
        InvalidInput => Reject::Forbidden("a folder does not go into itself"),
        CrossesDevices => Reject::Conflict("it does not go from one file system to another"),
        NotFound => Reject::Conflict("it is there no more"),
        ResourceBusy => Reject::Conflict("it is in use"),
        // Somebody was faster.
        AlreadyExists => Reject::PreconditionFailed,
        WouldBlock => Reject::Unavailable,
        _ if sys::is_out_of_resources(error) => Reject::Unavailable,
        _ => Reject::WriteFailed,
    }
}
