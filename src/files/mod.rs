//! A folder, served: one [`Service`] among others.
//!
//! Invariant: no byte from outside the folder leaves it, whatever the target, the links, or what moves meanwhile: the kernel resolves
//! names beneath the folder's descriptor, and no check of strings is relied on. [`Links::Anywhere`] gives that up, for links alone.
//!
//! Who serves it reads; where [`Options::uploads`] says so, clients change it too.
//!
//! ```text
//!   target ─▶ path: decoded once, ─▶ root: openat2 ─▶ regular file? ─▶ representation: which form, ─▶ Response
//!             dots resolved          beneath DIR       index, slash     conditions, ranges
//! ```

mod archive;
mod cache;
mod coding;
mod listing;
mod media_type;
mod options;
mod path;
mod posted;
mod quota;
mod representation;
mod resumable;
mod root;
mod temporary;
mod validators;
mod writer;

pub use cache::Cache;
pub(crate) use cache::DESCRIPTORS_MAX;
pub use media_type::media_type;
pub use options::{Links, Options, Overwrite, Uploads};
pub use path::{DotNames, Resolved, resolve};
pub use root::{Resolver, Root};

use crate::http::{Answer, Method, Reception, Reject, Request, Response, Service, StatusCode};
use crate::protocol::{Chunk, OpenFile};
use crate::sys;
use archive::Format;
use coding::Accepted;
use listing::{Form, LISTS_BYTES_MAX, Listing};
use quota::Quota;
use representation::{Hurry, Representation, read};
use std::fs::{File, Metadata};
use std::hash::RandomState;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use writer::Writer;

/// Tries to answer with a file that changes meanwhile: the last reads nothing ahead, so that it always answers.
const READ_TRIES: usize = 3;

/// The folder's own page for what is not there.
const NOT_FOUND: &str = "/404.html";

/// Pages past this are not read into memory.
const PAGE_BYTES_MAX: u64 = 256 * 1024;

/// What can be asked of a file or folder.
const ALLOWED: &str = "GET, HEAD, OPTIONS";

/// Serves the files beneath a folder.
#[derive(Debug)]
pub struct Files {
    root: Arc<Root>,
    /// What the folder itself is called, when it is downloaded.
    name: Vec<u8>,
    options: Options,
    cache: Cache,
    writer: Option<Arc<Writer>>,
    /// What lists that are made beside the loop may take.
    lists: Arc<Quota>,
    /// What boundaries between ranges are made with: random, so that nobody can write one into a file beforehand.
    secret: RandomState,
}

/// RFC 9110 §12.5.5: who asks otherwise is answered otherwise.
fn with_vary_accept(answer: Answer) -> Answer {
    match answer {
        // A listing says so itself, one that is made beside the loop too.
        Answer::Now(response) if response.field_value("vary") == Some(b"Accept") => response.into(),
        Answer::Now(response) => response.field("Vary", "Accept").into(),
        answer @ (Answer::Later(_) | Answer::Upgrade(..)) => answer,
    }
}

impl Files {
    /// # Errors
    /// Where `directory` can't be opened or entered, or is none.
    pub fn new(directory: &Path, options: Options) -> io::Result<Files> {
        let root = Root::open(directory)?;
        let root = match options.links {
            Links::Beneath => root,
            Links::Anywhere => root.with_resolver(Resolver::Follow),
        };
        let resolved = directory.canonicalize().unwrap_or_default();
        let name = resolved.file_name().map_or(&b""[..], |name| name.as_bytes());
        let files = Files::beneath(root, options);
        Ok(if name.is_empty() { files } else { Files { name: name.into(), ..files } })
    }

    /// Files beneath a root that is open already, and resolves links as it will.
    pub fn beneath(root: Root, options: Options) -> Files {
        let (root, cache) = (Arc::new(root), Cache::new(options.cache_bytes_max));
        let writer = |uploads| Writer::new(root.clone(), cache.clone(), options.dot_names, uploads);
        let writer = options.uploads.clone().map(writer).map(Arc::new);
        let lists = Arc::new(Quota::new(LISTS_BYTES_MAX, 0));
        Files { root, name: b"files".to_vec(), options, cache, writer, lists, secret: RandomState::new() }
    }

    /// The files that are kept.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// How names are resolved.
    pub fn resolver(&self) -> Resolver {
        self.root.resolver()
    }

    fn answer(&self, request: &Request<'_>) -> Result<Answer, Reject> {
        if request.method() == Method::OPTIONS {
            let response = Response::new(StatusCode::NO_CONTENT).field("Allow", self.allowed(request));
            return Ok(self.writer.iter().fold(response, |response, writer| writer.limits(response)).into());
        }
        self.check_method(request)?;
        match self.answer_path(request, request.path()) {
            Err(Reject::NotFound) => self.answer_not_found(request),
            answer => answer,
        }
    }

    /// Answers where the path names nothing: by the app that routes by itself, if there is one, to who accepts HTML.
    fn answer_not_found(&self, request: &Request<'_>) -> Result<Answer, Reject> {
        let is_app = self.options.spa && [Method::GET, Method::HEAD].contains(request.method());
        let answer = match is_app && request.accepts_html() {
            true => self.answer_path(request, "/"),
            false => self.not_found().map(Answer::from),
        };
        if is_app { answer.map(with_vary_accept) } else { answer }
    }

    /// Answers with what `path` names: from the cache, or from the file system.
    fn answer_path(&self, request: &Request<'_>, path: &str) -> Result<Answer, Reject> {
        let accepted = Accepted::by(request);
        if let Some(representation) = self.cache.find(&self.root, path, &accepted, request.now()) {
            match representation.answer(self, request, Hurry::No)? {
                Some(response) => return Ok(response.into()),
                None => self.cache.forget(path),
            }
        }
        let at = resolve(path, self.options.dot_names)?;
        for _ in 1..READ_TRIES {
            if let Some(answer) = self.try_answer(request, path, &at, &accepted, Hurry::No)? {
                return Ok(answer);
            }
        }
        let answer = self.try_answer(request, path, &at, &accepted, Hurry::Yes)?;
        Ok(answer.expect("in a hurry there is always an answer"))
    }

    /// 404 with the folder's own page, where it has one that is small enough to be read at once.
    fn not_found(&self) -> Result<Response, Reject> {
        let at = resolve(NOT_FOUND, DotNames::Hidden)?;
        let Ok((file, metadata)) = self.open(&at) else { return Err(Reject::NotFound) };
        if !metadata.is_file() || metadata.len() > PAGE_BYTES_MAX {
            return Err(Reject::NotFound);
        }
        let file = OpenFile::new(file, &metadata);
        // `None`: it is being rewritten just now.
        let page = read(&file, 0..metadata.len()).ok().flatten().ok_or(Reject::NotFound)?;
        let response = Response::of_type(&media_type(&at.path)).with_status(StatusCode::NOT_FOUND);
        Ok(response.with_body(Chunk::Bytes(page)))
    }

    /// `None` where the file changed while it was read.
    fn try_answer(
        &self,
        request: &Request<'_>,
        path: &str,
        at: &Resolved,
        accepted: &Accepted,
        hurry: Hurry,
    ) -> Result<Option<Answer>, Reject> {
        let send = |at: &Resolved, opened| {
            let now = request.now();
            let Some(chosen) = Representation::choose(self, accepted, at, opened, now, hurry)? else { return Ok(None) };
            if chosen.is_settled {
                self.cache.keep(&self.root, path, at, accepted, &chosen, now);
            }
            Ok(chosen.representation.answer(self, request, hurry)?.map(Answer::from))
        };
        let (file, metadata) = self.open(at)?;
        if !metadata.is_dir() {
            return if at.is_directory { Err(Reject::NotFound) } else { send(at, (file, metadata)) };
        }
        if !at.is_directory {
            return Ok(Some(redirect(at, request.query()).into()));
        }
        let index = at.join(&self.options.index);
        match self.open(&index) {
            Ok((file, metadata)) if metadata.is_file() => send(&index, (file, metadata)),
            Ok(_) | Err(Reject::NotFound) if self.options.lists => self.list(request, at, file).map(Some),
            Ok(_) | Err(Reject::NotFound) => Err(Reject::Forbidden("this folder has no index")),
            Err(reject) => Err(reject),
        }
    }

    /// As JSON to who asks for that, by `?json` or by Accept; as an archive of all that is in it by `?tar` or `?zip`; else as a page.
    fn list(&self, request: &Request<'_>, at: &Resolved, directory: File) -> Result<Answer, Reject> {
        match request.query() {
            Some("tar") => return Ok(self.archive(at, Format::Tar).into()),
            Some("zip") => return Ok(self.archive(at, Format::Zip).into()),
            Some(_) | None => {}
        }
        let Options { dot_names, uploads, cache_control, .. } = &self.options;
        let accepts_json = request.fields().get("accept").is_some_and(|value| value.starts_with(b"application/json"));
        let form = if accepts_json || request.query() == Some("json") { Form::Json } else { Form::Page };
        let (root, at, uploads) = (self.root.clone(), at.clone(), uploads.clone());
        let listing = Listing { root, at, directory, dot_names: *dot_names, uploads, form };
        if let Some(response) = listing.at_once().map_err(|error| reject(&error))? {
            let response = with_cache_control(response.field("Vary", "Accept"), cache_control.as_deref());
            // What is listed has no time of its own, and may change without its folder's: the tag is of what the listing says.
            return Ok(response.with_tag_of_content().into());
        }
        let (lists, cache_control) = (self.lists.clone(), cache_control.clone());
        Ok(Answer::offload(move || match listing.beside_the_loop(&lists) {
            Ok(response) => with_cache_control(response.field("Vary", "Accept"), cache_control.as_deref()),
            Err(reject) => reject.into(),
        }))
    }

    fn archive(&self, at: &Resolved, format: Format) -> Response {
        let name = at.last_name().unwrap_or(&self.name);
        let response = archive::archive(self.root.clone(), at.clone(), name, self.options.dot_names, format);
        with_cache_control(response, self.options.cache_control.as_deref())
    }

    fn allowed(&self, request: &Request<'_>) -> &'static str {
        if self.writer.is_some() { writer::allowed(request.path()) } else { ALLOWED }
    }

    fn check_method(&self, request: &Request<'_>) -> Result<(), Reject> {
        match request.method() {
            &Method::GET | &Method::HEAD | &Method::OPTIONS => Ok(()),
            _ => Err(Reject::MethodNotAllowed { allow: self.allowed(request).into() }),
        }
    }

    fn open(&self, at: &Resolved) -> Result<(File, Metadata), Reject> {
        let opened = match self.root.open_beneath(&at.path) {
            // Whoever asks goes before who may ask again.
            Err(error) if sys::is_out_of_resources(&error) && self.cache.give_way() => self.root.open_beneath(&at.path),
            opened => opened,
        };
        let file = opened.map_err(|error| reject(&error))?;
        let metadata = file.metadata().map_err(|error| reject(&error))?;
        Ok((file, metadata))
    }
}

impl Service for Files {
    fn respond(&self, request: &Request<'_>) -> Answer {
        if let Some(written) = self.writer.as_ref().and_then(|writer| writer.respond(request)) {
            return written;
        }
        self.answer(request).unwrap_or_else(|reject| Response::from(reject).into())
    }

    fn receive_body(&self, request: &Request<'_>) -> Reception {
        let received = self.writer.as_ref().and_then(|writer| writer.receive_body(request));
        received.unwrap_or_else(|| match self.check_method(request) {
            Ok(()) => Reception::Buffer,
            Err(reject) => Reception::Refuse(reject.into()),
        })
    }
}

fn with_cache_control(response: Response, value: Option<&str>) -> Response {
    match value {
        Some(value) => response.field("Cache-Control", value),
        None => response,
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
