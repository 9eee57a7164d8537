//! Files that a browser's form brings: POST of multipart/form-data to a folder.
//!
//! Invariant: as with PUT each file is whole or not there; none of a form is there before the form is whole.

use super::Overwrite;
use super::path::Resolved;
use super::writer::{Upload, Writer};
use crate::http::{Answer, FormEvent, FormReader, Reject, Request, Response, Sink, StatusCode, Take};
use std::sync::Arc;
use std::task::Waker;

/// Files of one form; each takes two descriptors until the form is whole.
const FILES_MAX: usize = 32;

/// A form on its way.
pub(super) struct Posted {
    writer: Arc<Writer>,
    folder: Resolved,
    reader: FormReader,
    files: Files,
}

/// What came of it so far.
#[derive(Default)]
struct Files {
    whole: Vec<Upload>,
    /// The part that comes is a file.
    coming: Option<Upload>,
}

impl Posted {
    /// For a request to a folder, which is there.
    ///
    /// # Errors
    /// 415 where it is no such form.
    pub(super) fn new(writer: Arc<Writer>, folder: Resolved, request: &Request<'_>) -> Result<Posted, Reject> {
        let reader = FormReader::new(request.fields().get("content-type").unwrap_or_default());
        let reader = reader.ok_or(Reject::UnsupportedMediaType("files come as multipart/form-data"))?;
        Ok(Posted { writer, folder, reader, files: Files::default() })
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), Reject> {
        let Posted { writer, folder, reader, files } = self;
        reader.feed(piece, &mut |event| match event {
            FormEvent::Part { file_name: Some(name), .. } if !name.is_empty() => files.begin(writer, folder, name),
            // Other fields mean nothing here, and where no file was chosen none comes.
            FormEvent::Part { .. } => Ok(()),
            FormEvent::Content(bytes) => files.coming.as_mut().map_or(Ok(()), |file| file.take(writer, bytes)),
            FormEvent::End => {
                files.whole.extend(files.coming.take());
                Ok(())
            }
        })
    }
}

impl Files {
    fn begin(&mut self, writer: &Writer, folder: &Resolved, name: &str) -> Result<(), Reject> {
        if self.whole.len() == FILES_MAX {
            return Err(Reject::BadRequest("there are more than 32 files in the form"));
        }
        // RFC 7578 §4.2: folders that a client names are not heeded.
        let name = name.rsplit('/').next().unwrap_or_default();
        let at = folder.child(name, writer.dot_names())?;
        if self.whole.iter().any(|file| *file.at() == at) {
            return Err(Reject::Conflict("the form has a name twice"));
        }
        self.coming = Some(writer.post(at)?);
        Ok(())
    }
}

impl Sink for Posted {
    fn piece(&mut self, piece: &[u8], waker: &dyn Fn() -> Waker) -> Take {
        match self.take(piece) {
            Ok(()) => self.files.coming.as_ref().map_or(Take::More, |file| file.more_or_pause(waker)),
            Err(reject) => Take::Refuse(self.writer.refusal(reject)),
        }
    }

    fn is_ready(&mut self) -> bool {
        self.files.coming.as_ref().is_none_or(Upload::is_ready)
    }

    /// 303 back to the folder, whose listing shows them.
    fn finish(self: Box<Self>, request: &Request<'_>) -> Answer {
        if !self.reader.is_whole() {
            return Reject::BadRequest("the form is cut off").into();
        }
        let folder = request.path().to_string();
        let Posted { writer, files, .. } = *self;
        Answer::offload(move || {
            for file in files.whole {
                if let Err(reject) = file.commit(&writer) {
                    return reject.into();
                }
            }
            // RFC 9110 §15.4.4
            Response::new(StatusCode::SEE_OTHER).field("Location", &folder)
        })
    }
}

/// Whether a file that a form brings may replace one: a form can't say which it means.
pub(super) fn may_replace(overwrite: Overwrite) -> Result<(), Reject> {
    match overwrite {
        Overwrite::Always => Ok(()),
        Overwrite::Never | Overwrite::IfMatch => Err(Reject::Conflict("there is a file of that name already")),
    }
}
