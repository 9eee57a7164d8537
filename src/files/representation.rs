//! A file as it is sent: which form of it, what its fields say, and how much of it is asked for.
//!
//! Invariant: conditions and ranges are of the form that was chosen: its tag, its date, its bytes.

use super::coding::{Accepted, Coding};
use super::media_type::{is_compressible, media_type};
use super::path::Resolved;
use super::validators::{is_settled, validators};
use super::{Files, reject, with_cache_control};
use crate::http::{Body, Reject, Request, Response, StatusCode, Validators, Verdict};
use crate::http::{content_range, evaluate_preconditions, multipart, requested_ranges};
use crate::protocol::{Chunk, OpenFile};
use crate::sys::FileState;
use std::borrow::Cow;
use std::fs::{File, Metadata};
use std::hash::BuildHasher;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::slice;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

/// What is sent of a file is, up to this, read (and kept, if it is) and sent with its head in one call. Past it sendfile, though a call of its
/// own, costs less than copying: 4 to 20 % less from 20 to 80 KiB, measured.
const READ_BYTES_MAX: u64 = 16 * 1024;

/// Whether an answer may wait for a quiet moment of the file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hurry {
    No,
    Yes,
}

/// A form that a file can be sent in (RFC 9110 §3.2).
pub(super) struct Representation {
    content: Content,
    size: u64,
    /// Of the file, whatever its coding.
    media_type: Cow<'static, str>,
    coding: Option<Coding>,
    validators: Validators,
    /// The fields of the 200, rendered. HEAD and 304 have them too, as far as they have any.
    lines: Arc<[u8]>,
    not_modified_lines: OnceLock<Arc<[u8]>>,
}

/// Where the bytes are.
enum Content {
    Memory(Arc<[u8]>),
    File(Arc<OpenFile>),
}

/// A form, with the states of its file and of itself when it was chosen.
pub(super) struct Chosen {
    pub(super) representation: Arc<Representation>,
    pub(super) state: FileState,
    pub(super) form_state: FileState,
    /// It is of a type of which coded forms are looked for.
    pub(super) varies: bool,
    /// Neither can change any more without its times showing it.
    pub(super) is_settled: bool,
}

impl Representation {
    /// Chooses the form of the file that is open and named by `at`. `None` where it changed while it was read.
    ///
    /// # Errors
    /// 404 where it is no regular file; 406; what reading says.
    pub(super) fn choose(
        files: &Files,
        accepted: &Accepted,
        at: &Resolved,
        (file, metadata): (File, Metadata),
        now: SystemTime,
        hurry: Hurry,
    ) -> Result<Option<Chosen>, Reject> {
        if !metadata.is_file() {
            return Err(Reject::NotFound); // A FIFO, a socket, a device.
        }
        let media_type = media_type(&at.path);
        let state = FileState::from(&metadata);
        // Only of types that compressing makes smaller: a picture costs no open that fails, and a cache that keeps it need not tell clients
        // apart. Of the others Vary stands whether or not a coded form is there today.
        let varies = files.options.precompressed && is_compressible(&media_type);
        let is_file_settled = is_settled(&state, now);
        let coded = if varies { accepted.open(&files.root, at, &metadata) } else { None };
        let (file, metadata, coding) = match coded {
            Some((file, metadata, coding)) => (file, metadata, Some(coding)),
            None => accepted.check_plain().map(|()| (file, metadata, None))?,
        };
        let form_state = FileState::from(&metadata);
        let is_settled = is_file_settled && is_settled(&form_state, now);
        let file = OpenFile::new(file, &metadata);
        let size = file.size();
        let content = match hurry {
            Hurry::No if size <= READ_BYTES_MAX => {
                let Some(bytes) = read(&file, 0..size).map_err(|error| reject(&error))? else { return Ok(None) };
                Content::Memory(bytes.into())
            }
            Hurry::No | Hurry::Yes => Content::File(Arc::new(file)),
        };
        let validators = validators(&form_state, coding, now);
        let lines = lines(files, &media_type, coding, varies, &validators).into();
        let not_modified_lines = OnceLock::new();
        let representation =
            Representation { content, size, media_type, coding, validators, lines, not_modified_lines };
        Ok(Some(Chosen { representation: Arc::new(representation), state, form_state, varies, is_settled }))
    }

    /// Answers 304, 412, 416, 206 or 200, in this order of questions (RFC 9110 §13.2.2). `None` where the file changed while it was read.
    ///
    /// # Errors
    /// 416, and what reading says.
    pub(super) fn answer(
        &self,
        files: &Files,
        request: &Request<'_>,
        hurry: Hurry,
    ) -> Result<Option<Response>, Reject> {
        match evaluate_preconditions(request, Some(&self.validators)) {
            Verdict::Proceed => {}
            Verdict::NotModified => return Ok(Some(self.not_modified())),
            Verdict::Failed => return Err(Reject::PreconditionFailed),
        }
        let ranges = requested_ranges(request, &self.validators, self.size)?;
        // Content-Encoding beside multipart/byteranges would read as if the whole multipart were coded: then all is sent, as §14.2 allows.
        let Some(ranges) = ranges.filter(|ranges| ranges.len() == 1 || self.coding.is_none()) else {
            let chunk = match &self.content {
                Content::Memory(bytes) => Chunk::Shared(bytes.clone()),
                Content::File(file) => Chunk::File(file.clone(), 0..self.size),
            };
            return Ok(Some(self.head().with_body(chunk)));
        };
        let content = self.content(&ranges, hurry)?;
        Ok(content.map(|content| self.partial(files, request, &ranges, content)))
    }

    /// Which form of the file it is.
    pub(super) fn coding(&self) -> Option<Coding> {
        self.coding
    }

    /// The memory that its bytes take.
    pub(super) fn kept_bytes(&self) -> u64 {
        let content = if let Content::Memory(bytes) = &self.content { bytes.len() } else { 0 };
        (content + 2 * self.lines.len()) as u64
    }

    /// Whether it keeps its file open.
    pub(super) fn has_descriptor(&self) -> bool {
        matches!(self.content, Content::File(_))
    }

    /// The 200, without its body.
    fn head(&self) -> Response {
        Response::with_lines(StatusCode::OK, self.lines.clone())
    }

    fn not_modified(&self) -> Response {
        let lines =
            self.not_modified_lines.get_or_init(|| self.head().judged(Verdict::NotModified).into_lines().into());
        Response::with_lines(StatusCode::NOT_MODIFIED, lines.clone())
    }

    /// 206: `content` has a chunk for each of the ranges.
    fn partial(
        &self,
        files: &Files,
        request: &Request<'_>,
        ranges: &[Range<u64>],
        mut content: Vec<Chunk>,
    ) -> Response {
        let size = self.size;
        let response = match (ranges, content.pop()) {
            // RFC 9110 §15.3.7.1
            ([range], Some(chunk)) => self.head().field("Content-Range", &content_range(range, size)).with_body(chunk),
            // RFC 9110 §15.3.7.2: each part has its own Content-Range, the whole has none.
            (ranges, last) => {
                let boundary = self.boundary(files, ranges);
                let parts = ranges.iter().cloned().zip(content.into_iter().chain(last));
                let media_type = format!("multipart/byteranges; boundary={boundary}");
                self.head()
                    .without_fields(&["content-type"])
                    .field("Content-Type", &media_type)
                    .with_body(Body::Parts(multipart(parts, size, &self.media_type, &boundary)))
            }
        };
        // RFC 9110 §15.3.7: whoever names what it has a part of in If-Range has the fields of that. The type stays all the same: players
        // decide by it.
        let known: &[&str] = if request.fields().get("if-range").is_some() { &["last-modified"] } else { &[] };
        response.with_status(StatusCode::PARTIAL_CONTENT).without_fields(known)
    }

    /// A boundary that no file has in it but by a chance of one in 2⁶⁴ a place: whoever writes the file does not know the server's secret, and
    /// whoever saw a boundary and writes it into the file gets another, since the tag changes. The same request gets the same bytes.
    fn boundary(&self, files: &Files, ranges: &[Range<u64>]) -> String {
        let tag = self.validators.tag.as_ref().map(|tag| tag.as_str());
        format!("{:016x}", files.secret.hash_one((tag, ranges)))
    }

    /// The bytes of some ranges: from memory, read where they are few, else as ranges of the file. `None` as for [`answer`](Self::answer).
    fn content(&self, ranges: &[Range<u64>], hurry: Hurry) -> Result<Option<Vec<Chunk>>, Reject> {
        let length: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        match &self.content {
            Content::Memory(bytes) => {
                let part = |range: &Range<u64>| bytes[range.start as usize..range.end as usize].to_vec();
                Ok(Some(ranges.iter().map(|range| Chunk::Bytes(part(range))).collect()))
            }
            Content::File(file) if length <= READ_BYTES_MAX && hurry == Hurry::No => {
                let bytes = read_all(file, ranges).map_err(|error| reject(&error))?;
                Ok(bytes.map(|bytes| bytes.into_iter().map(Chunk::Bytes).collect()))
            }
            Content::File(file) => {
                Ok(Some(ranges.iter().map(|range| Chunk::File(file.clone(), range.clone())).collect()))
            }
        }
    }
}

/// The fields of the 200.
fn lines(files: &Files, media_type: &str, coding: Option<Coding>, varies: bool, validators: &Validators) -> Vec<u8> {
    let mut response = Response::of_type(media_type);
    if let Some(coding) = coding {
        response = response.field("Content-Encoding", coding.name());
    }
    if varies {
        response = response.field("Vary", "Accept-Encoding");
    }
    let response = with_cache_control(response.with_validators(validators), files.options.cache_control.as_deref());
    response.field("Accept-Ranges", "bytes").into_lines()
}

/// A range of a file as bytes, or `None` where the file changed since it was opened.
pub(super) fn read(file: &OpenFile, range: Range<u64>) -> io::Result<Option<Vec<u8>>> {
    Ok(read_all(file, slice::from_ref(&range))?.and_then(|mut ranges| ranges.pop()))
}

/// The same of several.
fn read_all(file: &OpenFile, ranges: &[Range<u64>]) -> io::Result<Option<Vec<Vec<u8>>>> {
    let mut all = Vec::with_capacity(ranges.len());
    for range in ranges {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        match file.file().read_exact_at(&mut bytes, range.start) {
            Ok(()) => all.push(bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(file.is_unchanged(&file.file().metadata()?).then_some(all))
}
