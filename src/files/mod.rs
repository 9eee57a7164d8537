//! A folder, served: one [`Service`] among others.
//!
//! Invariant: no byte from outside the folder leaves it, whatever the target, the links, or what moves meanwhile: the kernel resolves
//! names beneath the folder's descriptor, and no check of strings is relied on. [`Links::Anywhere`] gives that up, for links alone.
//!
//! ```text
//!   target ─▶ path: decoded once, ─▶ root: openat2 ─▶ regular file? ─▶ conditions ─▶ range ─▶ Response
//!             dots resolved          beneath DIR       index, slash     304           206, 416
//! ```

mod listing;
mod media_type;
mod path;
mod root;
mod validators;

pub use media_type::media_type;
pub use path::{DotNames, Resolved, resolve};
pub use root::{Resolver, Root};
pub use validators::Validators;

use crate::http::{Body, Method, Reject, Request, Response, Service, StatusCode, parse_range};
use crate::http::{RangeError, Reception};
use crate::protocol::OpenFile;
use crate::sys;
use listing::Form;
use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// Files up to this are read and sent with their heads in one call; sendfile costs a call of its own.
const READ_BYTES_MAX: u64 = 16 * 1024;

/// A file that changes while it is read is read again this often.
const READ_TRIES: usize = 3;

/// The folder's own page for what is not there.
const NOT_FOUND: &str = "/404.html";

/// Pages past this are not read into memory.
const PAGE_BYTES_MAX: u64 = 256 * 1024;

/// What can be asked of a file or folder.
const ALLOWED: &str = "GET, HEAD, OPTIONS";

/// How a folder is served.
#[derive(Debug, Clone)]
pub struct Options {
    /// The file that stands for its folder: a plain name.
    pub index: String,
    /// Whether names that begin with a dot are there.
    pub dot_names: DotNames,
    /// Where symbolic links may lead.
    pub links: Links,
    /// Whether a folder without an index is listed; else it is 403.
    pub lists: bool,
    /// A GET that accepts HTML and finds no file gets the root's index with 200: for an app that routes by itself.
    pub spa: bool,
    /// The value of Cache-Control for files and 304.
    pub cache_control: Option<String>,
}

impl Default for Options {
    /// `index.html`; listings on; dot names hidden; `no-cache`, so that browsers ask again and get 304, never a stale page.
    fn default() -> Options {
        let (index, cache_control) = ("index.html".into(), Some("no-cache".into()));
        let (dot_names, links) = (DotNames::Hidden, Links::Beneath);
        Options { index, dot_names, links, lists: true, spa: false, cache_control }
    }
}

/// Where symbolic links may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Links {
    /// To what lies in the folder too; others are not there.
    #[default]
    Beneath,
    /// Anywhere that the process may read: whoever can make a link in the folder decides what is served.
    Anywhere,
}

/// Serves the files beneath a folder.
#[derive(Debug)]
pub struct Files {
    root: Root,
    options: Options,
}

impl Files {
    /// # Errors
    /// Where `directory` can't be opened, or is none.
    pub fn new(directory: &Path, options: Options) -> io::Result<Files> {
        let root = Root::open(directory)?;
        let root = match options.links {
            Links::Beneath => root,
            Links::Anywhere => root.with_resolver(Resolver::Follow),
        };
        Ok(Files::beneath(root, options))
    }

    /// Files beneath a root that is open already, and resolves links as it will.
    pub fn beneath(root: Root, options: Options) -> Files {
        Files { root, options }
    }

    /// How names are resolved.
    pub fn resolver(&self) -> Resolver {
        self.root.resolver()
    }

    fn answer(&self, request: &Request<'_>) -> Result<Response, Reject> {
        if request.method() == Method::OPTIONS {
            return Ok(Response::new(StatusCode::NO_CONTENT).field("Allow", ALLOWED));
        }
        check_method(request.method())?;
        let is_get = request.method() == Method::GET;
        let answer = resolve(request.path(), self.options.dot_names).and_then(|at| self.answer_with(request, &at));
        match answer {
            Err(Reject::NotFound) if self.options.spa && is_get && request.accepts_html() => {
                self.answer_with(request, &resolve("/", self.options.dot_names)?)
            }
            Err(Reject::NotFound) => self.not_found(),
            answer => answer,
        }
    }

    /// 404 with the folder's own page, where it has one that is small enough to be read at once.
    fn not_found(&self) -> Result<Response, Reject> {
        let at = resolve(NOT_FOUND, DotNames::Hidden)?;
        let Ok((file, metadata)) = self.open(&at) else { return Err(Reject::NotFound) };
        if !metadata.is_file() || metadata.len() > PAGE_BYTES_MAX {
            return Err(Reject::NotFound);
        }
        let file = OpenFile::new(file, &metadata);
        match read(&file, &(0..metadata.len())) {
            Ok(Some(page)) => Ok(Response::bytes(&media_type(&at.path), page).with_status(StatusCode::NOT_FOUND)),
            Ok(None) | Err(_) => Err(Reject::NotFound), // It is being rewritten just now.
        }
    }

    fn answer_with(&self, request: &Request<'_>, at: &Resolved) -> Result<Response, Reject> {
        for _ in 1..READ_TRIES {
            if let Some(response) = self.try_answer(request, at, Hurry::No)? {
                return Ok(response);
            }
        }
        let response = self.try_answer(request, at, Hurry::Yes)?;
        Ok(response.expect("in a hurry there is always an answer"))
    }

    /// `None` where the file changed while it was read.
    fn try_answer(&self, request: &Request<'_>, at: &Resolved, hurry: Hurry) -> Result<Option<Response>, Reject> {
        let (file, metadata) = self.open(at)?;
        if !metadata.is_dir() {
            return if at.is_directory {
                Err(Reject::NotFound)
            } else {
                self.send(request, at, file, &metadata, hurry)
            };
        }
        if !at.is_directory {
            return Ok(Some(redirect(at, request.query())));
        }
        let index = at.join(&self.options.index);
        match self.open(&index) {
            Ok((file, metadata)) if metadata.is_file() => self.send(request, &index, file, &metadata, hurry),
            Ok(_) | Err(Reject::NotFound) if self.options.lists => self.list(request, at, &file).map(Some),
            Ok(_) | Err(Reject::NotFound) => Err(Reject::Forbidden("this folder has no index")),
            Err(reject) => Err(reject),
        }
    }

    /// As JSON to who asks for that, by `?json` or by Accept; else as a page.
    fn list(&self, request: &Request<'_>, at: &Resolved, directory: &File) -> Result<Response, Reject> {
        let accepts_json = request.fields().get("accept").is_some_and(|value| value.starts_with(b"application/json"));
        let form = if accepts_json || request.query() == Some("json") { Form::Json } else { Form::Page };
        let listing = listing::list(&self.root, at, directory, self.options.dot_names, form);
        let response = listing.map_err(|error| reject(&error))?.field("Vary", "Accept");
        Ok(self.with_cache_control(response))
    }

    /// Answers with a file that is open: 304, 206, 416 or 200, in this order of questions (RFC 9110 §13.2.2).
    fn send(
        &self,
        request: &Request<'_>,
        at: &Resolved,
        file: File,
        metadata: &Metadata,
        hurry: Hurry,
    ) -> Result<Option<Response>, Reject> {
        if !metadata.is_file() {
            return Err(Reject::NotFound); // A FIFO, a socket, a device.
        }
        let validators = Validators::of(metadata, request.now());
        if validators.match_request(request) {
            return Ok(Some(self.describe(Response::new(StatusCode::NOT_MODIFIED), &validators)));
        }
        let file = Arc::new(OpenFile::new(file, metadata));
        let range = range(request, &validators, file.size())?;
        let wanted = range.clone().unwrap_or(0..file.size());
        let body = match request.method() {
            &Method::GET if wanted.end - wanted.start <= READ_BYTES_MAX && hurry == Hurry::No => {
                match read(&file, &wanted).map_err(|error| reject(&error))? {
                    Some(bytes) => Body::Bytes(bytes),
                    None => return Ok(None),
                }
            }
            _ => Body::File(file.clone(), wanted),
        };
        let response = Response::new(StatusCode::OK).field("Content-Type", &media_type(&at.path));
        let response = self.describe(response, &validators).field("Accept-Ranges", "bytes").with_body(body);
        Ok(Some(match range {
            None => response,
            Some(Range { start, end }) => response
                .with_status(StatusCode::PARTIAL_CONTENT)
                .field("Content-Range", &format!("bytes {start}-{}/{}", end - 1, file.size())),
        }))
    }

    /// The fields that a 304 has as the 200 would (RFC 9110 §15.4.5).
    fn describe(&self, response: Response, validators: &Validators) -> Response {
        self.with_cache_control(validators.add_to(response))
    }

    fn with_cache_control(&self, response: Response) -> Response {
        match &self.options.cache_control {
            Some(value) => response.field("Cache-Control", value),
            None => response,
        }
    }

    fn open(&self, at: &Resolved) -> Result<(File, Metadata), Reject> {
        let file = self.root.open_beneath(&at.path).map_err(|error| reject(&error))?;
        let metadata = file.metadata().map_err(|error| reject(&error))?;
        Ok((file, metadata))
    }
}

/// Whether an answer may wait for a quiet moment of the file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hurry {
    No,
    Yes,
}

impl Service for Files {
    fn respond(&self, request: &Request<'_>) -> Response {
        self.answer(request).unwrap_or_else(Response::from)
    }

    fn receive_body(&self, request: &Request<'_>) -> Reception {
        match check_method(request.method()) {
            Ok(()) => Reception::Buffer,
            Err(reject) => Reception::Refuse(reject.into()),
        }
    }
}

fn check_method(method: &Method) -> Result<(), Reject> {
    match method {
        &Method::GET | &Method::HEAD | &Method::OPTIONS => Ok(()),
        _ => Err(Reject::MethodNotAllowed { allow: ALLOWED.into() }),
    }
}

/// What opening or reading a file failed with, as an answer. What is not there, leads out, or is no file looks the same from outside.
fn reject(error: &io::Error) -> Reject {
    use io::ErrorKind::*;
    match error.kind() {
        NotFound | NotADirectory | CrossesDevices | InvalidFilename => Reject::NotFound,
        PermissionDenied => Reject::Forbidden("it can't be read"),
        WouldBlock => Reject::Unavailable,
        _ if sys::is_out_of_resources(error) => Reject::Unavailable,
        _ if sys::is_no_file(error) => Reject::NotFound,
        _ => Reject::ReadFailed,
    }
}

/// RFC 9110 §15.4.2, to the same name with a slash, query kept. One slash in front: two would name another host.
fn redirect(at: &Resolved, query: Option<&str>) -> Response {
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let location = format!("{}/{query}", at.to_url_path());
    Response::text("301 Moved Permanently: a folder's address ends in a slash\n")
        .with_status(StatusCode::MOVED_PERMANENTLY)
        .field("Location", &location)
}

/// The range that is asked for, if one is (RFC 9110 §14.2: of GET only) and the file is still the one that it was asked of (§13.1.5).
fn range(request: &Request<'_>, validators: &Validators, size: u64) -> Result<Option<Range<u64>>, Reject> {
    let fields = request.fields();
    let asked = fields.get("range").filter(|_| request.method() == Method::GET);
    let is_same = fields.get("if-range").is_none_or(|value| validators.is_strongly(value));
    match asked.filter(|_| is_same).map(|value| parse_range(value, size)) {
        None | Some(Err(RangeError::Ignore)) => Ok(None),
        Some(Ok(range)) => Ok(Some(range)),
        Some(Err(RangeError::NotSatisfiable)) => Err(Reject::RangeNotSatisfiable { size }),
    }
}

/// A range of a file as bytes, or `None` where the file changed since it was opened.
fn read(file: &OpenFile, range: &Range<u64>) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    match file.file().read_exact_at(&mut bytes, range.start) {
        Ok(()) => Ok(file.is_unchanged()?.then_some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}
