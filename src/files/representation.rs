//! A file as it is sent: which form of it, what its fields say, and how much of it is asked for.
//!
//! Invariant: conditions and ranges are of the form that was chosen: its tag, its date, its bytes.

use super::coding::{Accepted, Coding};
use super::media_type::{is_compressible, media_type};
use super::path::Resolved;
use super::validators::validators;
use super::{Files, reject};
use crate::http::{Body, Method, Reject, Request, Response, StatusCode, Validators, Verdict};
use crate::http::{content_range, evaluate_preconditions, multipart, requested_ranges};
use crate::protocol::{Chunk, OpenFile};
use std::borrow::Cow;
use std::fs::{File, Metadata};
use std::hash::BuildHasher;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::slice;
use std::sync::Arc;

/// What is sent of a file is, up to this, read and sent with its head in one call; sendfile costs a call of its own.
const READ_BYTES_MAX: u64 = 16 * 1024;

/// Whether an answer may wait for a quiet moment of the file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hurry {
    No,
    Yes,
}

/// The form of a file that was chosen for a request (RFC 9110 §3.2).
pub(super) struct Representation {
    file: Arc<OpenFile>,
    /// Of the file, whatever its coding.
    media_type: Cow<'static, str>,
    coding: Option<Coding>,
    /// It might have been another for another client.
    varies: bool,
    validators: Validators,
}

impl Representation {
    /// Chooses the form of the file that is open and named by `at`.
    ///
    /// # Errors
    /// 404 where it is no regular file; 406.
    pub(super) fn choose(
        files: &Files,
        request: &Request<'_>,
        at: &Resolved,
        file: File,
        metadata: &Metadata,
    ) -> Result<Representation, Reject> {
        if !metadata.is_file() {
            return Err(Reject::NotFound); // A FIFO, a socket, a device.
        }
        let media_type = media_type(&at.path);
        let accepted = Accepted::by(request);
        // Only of types that compressing makes smaller: a picture costs no open that fails, and a cache that keeps it need not tell clients
        // apart. Of the others Vary stands whether or not a coded form is there today.
        let varies = files.options.precompressed && is_compressible(&media_type);
        let coded = if varies { accepted.open(&files.root, at, metadata) } else { None };
        let form = |file, metadata: &Metadata, coding| Representation {
            file: Arc::new(OpenFile::new(file, metadata)),
            media_type,
            coding,
            varies,
            validators: validators(metadata, coding, request.now()),
        };
        match coded {
            Some((file, metadata, coding)) => Ok(form(file, &metadata, Some(coding))),
            None => accepted.check_plain().map(|()| form(file, metadata, None)),
        }
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
        let verdict = evaluate_preconditions(request, Some(&self.validators));
        if verdict != Verdict::Proceed {
            return Ok(Some(self.head(files, &self.media_type).judged(verdict)));
        }
        let size = self.file.size();
        let ranges = requested_ranges(request, &self.validators, size)?;
        // Content-Encoding beside multipart/byteranges would read as if the whole multipart were coded: then all is sent, as §14.2 allows.
        let Some(ranges) = ranges.filter(|ranges| ranges.len() == 1 || self.coding.is_none()) else {
            let whole = self.content(slice::from_ref(&(0..size)), request, hurry)?.and_then(|mut chunks| chunks.pop());
            return Ok(whole.map(|whole| self.head(files, &self.media_type).with_body(whole.into())));
        };
        let content = self.content(&ranges, request, hurry)?;
        Ok(content.map(|content| self.partial(files, request, &ranges, content)))
    }

    /// 206: `content` has a chunk for each of the ranges.
    fn partial(
        &self,
        files: &Files,
        request: &Request<'_>,
        ranges: &[Range<u64>],
        mut content: Vec<Chunk>,
    ) -> Response {
        let size = self.file.size();
        let response = match (ranges, content.pop()) {
            // RFC 9110 §15.3.7.1
            ([range], Some(chunk)) => self
                .head(files, &self.media_type)
                .field("Content-Range", &content_range(range, size))
                .with_body(chunk.into()),
            // RFC 9110 §15.3.7.2: each part has its own Content-Range, the whole has none.
            (ranges, last) => {
                let boundary = self.boundary(files, ranges);
                let parts = ranges.iter().cloned().zip(content.into_iter().chain(last));
                self.head(files, &format!("multipart/byteranges; boundary={boundary}"))
                    .with_body(Body::Parts(multipart(parts, size, &self.media_type, &boundary)))
            }
        };
        // RFC 9110 §15.3.7: whoever names what it has a part of in If-Range has the fields of that. The type stays all the same: players
        // decide by it.
        let known: &[&str] = if request.fields().get("if-range").is_some() { &["last-modified"] } else { &[] };
        response.with_status(StatusCode::PARTIAL_CONTENT).without_fields(known)
    }

    /// The fields of the 200. HEAD and 304 have them too, as far as they have any.
    fn head(&self, files: &Files, content_type: &str) -> Response {
        let mut response = Response::of_type(content_type);
        if let Some(coding) = self.coding {
            response = response.field("Content-Encoding", coding.name());
        }
        if self.varies {
            response = response.field("Vary", "Accept-Encoding");
        }
        files.with_cache_control(response.with_validators(&self.validators)).field("Accept-Ranges", "bytes")
    }

    /// A boundary that no file has in it but by a chance of one in 2⁶⁴ a place: whoever writes the file does not know the server's secret, and
    /// whoever saw a boundary and writes it into the file gets another, since the tag changes. The same request gets the same bytes.
    fn boundary(&self, files: &Files, ranges: &[Range<u64>]) -> String {
        let tag = self.validators.tag.as_ref().map(|tag| tag.as_str());
        format!("{:016x}", files.secret.hash_one((tag, ranges)))
    }

    /// The bytes of some ranges, read where they are few and somebody is sent them, else as ranges of the file. `None` as for
    /// [`answer`](Self::answer).
    fn content(
        &self,
        ranges: &[Range<u64>],
        request: &Request<'_>,
        hurry: Hurry,
    ) -> Result<Option<Vec<Chunk>>, Reject> {
        let length: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        if request.method() == Method::GET && length <= READ_BYTES_MAX && hurry == Hurry::No {
            return read(&self.file, ranges).map_err(|error| reject(&error));
        }
        Ok(Some(ranges.iter().map(|range| Chunk::File(self.file.clone(), range.clone())).collect()))
    }
}

/// Ranges of a file as bytes, or `None` where the file changed since it was opened.
pub(super) fn read(file: &OpenFile, ranges: &[Range<u64>]) -> io::Result<Option<Vec<Chunk>>> {
    let mut chunks = Vec::with_capacity(ranges.len());
    for range in ranges {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        match file.file().read_exact_at(&mut bytes, range.start) {
            Ok(()) => chunks.push(Chunk::Bytes(bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(file.is_unchanged()?.then_some(chunks))
}
