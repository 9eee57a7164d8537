//! Uploads that go on after a break: draft-ietf-httpbis-resumable-upload, interop version 8.
//!
//! Invariant: of one upload one transfer goes on, the one that began last; who asks for the offset ends the others, so that what it is told
//! stays true. State is in memory: an upload outlives its connections, not its server, whose next start sweeps its file away.
//!
//! ```text
//!   PUT /name, Upload-Complete ─▶ Open ─▶ transfers: as much as came is kept ─▶ ?1: Completing ─▶ as a PUT ends ─▶ Complete
//!      104, Location: .tripoll-…   │ HEAD: how much. PATCH: on from there                              └─ 503: Open again
//!                                  └ DELETE, too long without a transfer, or larger than was said: gone
//! ```

use super::path::RESERVED;
use super::writer::{Upload, Writer};
use crate::http::{Answer, Fields, Method, Reject, Request, Response, Sink, StatusCode, Take, Version};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::str;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, SystemTime};

/// The draft's version that is spoken here.
const INTEROP_VERSION: u64 = 8;

/// Uploads that are known at once, each with two descriptors. Past it the one idle longest gives way.
const KNOWN_MAX: usize = 64;

/// How long an upload is kept without a transfer.
const IDLE_MAX: Duration = Duration::from_secs(3600);

/// The type of what is appended.
const PARTIAL: &[u8] = b"application/partial-upload";

/// What can be asked of an upload.
const ALLOWED: &str = "DELETE, GET, HEAD, OPTIONS, PATCH";

/// All uploads that may go on.
#[derive(Debug, Default)]
pub(super) struct Registry {
    known: HashMap<String, Entry>,
    /// Who knows a token may go on with its upload, so none can be guessed.
    secret: RandomState,
    made: u64,
}

#[derive(Debug)]
struct Entry {
    stage: Stage,
    /// Where the client said it.
    length: Option<u64>,
    /// Which transfer may go on.
    turn: u64,
    is_moving: bool,
    /// Since when nothing moves; of what broke off, since that was noticed.
    idle_since: Option<SystemTime>,
}

#[derive(Debug)]
enum Stage {
    Open(Upload),
    Completing,
    /// With so many bytes.
    Complete(u64),
}

/// What a request says of an upload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    /// Its body is the last part.
    pub(super) completes: bool,
    /// Of all parts together.
    pub(super) length: Option<u64>,
    /// The client knows 104.
    is_told: bool,
}

/// A part on its way.
#[derive(Debug)]
pub(super) struct Transfer {
    writer: Arc<Writer>,
    token: String,
    turn: u64,
    wish: Wish,
    /// Of the first part: where the upload goes on.
    location: Option<String>,
}

impl Wish {
    /// `None` of a request that is no part of such an upload.
    ///
    /// # Errors
    /// 400 where it says two lengths.
    pub(super) fn of(request: &Request<'_>, offset: u64) -> Result<Option<Wish>, Response> {
        let fields = request.fields();
        let Some(completes) = boolean(fields, "upload-complete") else { return Ok(None) };
        let said = integer(fields, "upload-length");
        let rest = request.content_length().filter(|_| completes).map(|rest| offset.saturating_add(rest));
        if let (Some(said), Some(rest)) = (said, rest)
            && said != rest
        {
            return Err(inconsistent_length());
        }
        let is_told = integer(fields, "upload-draft-interop-version") == Some(INTEROP_VERSION)
            && request.version() == Version::Http11;
        Ok(Some(Wish { completes, length: said.or(rest), is_told }))
    }

    /// Whether the client will know where to go on: without 104 not before a whole part is there.
    pub(super) fn is_of_use(&self) -> bool {
        self.is_told || !self.completes
    }
}

impl Registry {
    /// Lets go of what was idle for too long.
    fn expire(&mut self, now: SystemTime) {
        for entry in self.known.values_mut().filter(|entry| !entry.is_moving) {
            entry.idle_since.get_or_insert(now);
        }
        // The clock on the wall may go back.
        let is_over = |since: SystemTime| now.duration_since(since).is_ok_and(|time| time >= IDLE_MAX);
        self.known.retain(|_, entry| !entry.idle_since.is_some_and(is_over));
    }

    /// Whether there is room for one more, by letting go of the one that is idle longest if need be, of complete ones first.
    fn make_room(&mut self) -> bool {
        if self.known.len() < KNOWN_MAX {
            return true;
        }
        let idle = self.known.iter().filter(|(_, entry)| !entry.is_moving);
        let Some(token) = idle.min_by_key(|(_, entry)| entry.rank()).map(|(token, _)| token.clone()) else {
            return false;
        };
        self.known.remove(&token).is_some()
    }

    fn new_token(&mut self) -> String {
        self.made += 1;
        format!("{:016x}{:016x}", self.secret.hash_one((self.made, 0)), self.secret.hash_one((self.made, 1)))
    }

    /// What a transfer adds to, if it still may.
    fn of(&mut self, transfer: &Transfer) -> Option<(&mut Upload, Option<u64>)> {
        let entry = self.known.get_mut(&transfer.token).filter(|entry| entry.turn == transfer.turn)?;
        match &mut entry.stage {
            Stage::Open(upload) => Some((upload, entry.length)),
            Stage::Completing | Stage::Complete(_) => None,
        }
    }
}

impl Entry {
    /// Who gives way first.
    fn rank(&self) -> (bool, Option<SystemTime>) {
        (!matches!(self.stage, Stage::Complete(_)), self.idle_since)
    }

    /// Ends the transfer that goes on, and begins another.
    fn begin_turn(&mut self) {
        self.turn += 1;
        self.is_moving = true;
        self.idle_since = None;
    }

    /// Ends the transfer that goes on.
    fn rest(&mut self, now: SystemTime) {
        self.turn += 1;
        self.is_moving = false;
        self.idle_since = Some(now);
    }

    /// Holds what a request says of the length against what was said before.
    fn note_length(&mut self, length: Option<u64>) -> Result<(), Response> {
        match (self.length, length) {
            (Some(known), Some(said)) if known != said => Err(inconsistent_length()),
            _ => {
                self.length = self.length.or(length);
                Ok(())
            }
        }
    }
}

impl Transfer {
    fn append(&mut self, piece: &[u8], waker: &dyn Fn() -> Waker) -> Result<Take, Response> {
        let mut registry = self.writer.registry();
        let (upload, length) = registry.of(self).ok_or(SUPERSEDED)?;
        let is_within = length.is_none_or(|length| upload.written() + piece.len() as u64 <= length);
        let taken = if is_within {
            let taken = upload.take(&self.writer, piece).map(|()| upload.more_or_pause(waker));
            taken.map_err(|reject| self.writer.refusal(reject))
        } else {
            Err(inconsistent_length())
        };
        if taken.is_err() {
            // A part of the piece may have been written: from where to go on is not known.
            registry.known.remove(&self.token);
        }
        taken
    }

    /// A part is whole.
    fn end(&self, now: SystemTime) -> Result<Answer, Response> {
        let mut registry = self.writer.registry();
        let (upload, length) = registry.of(self).ok_or(SUPERSEDED)?;
        let offset = upload.written();
        let entry = registry.known.get_mut(&self.token).expect("it was there just now");
        if !self.wish.completes {
            entry.rest(now);
            let status = if self.location.is_some() { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
            let response = self.writer.limits(self.announced(Response::new(status)));
            return Ok(response.field("Upload-Complete", "?0").field("Upload-Offset", &offset.to_string()).into());
        }
        let stage = std::mem::replace(&mut entry.stage, Stage::Completing);
        entry.begin_turn();
        if length.is_some_and(|length| length != offset) {
            registry.known.remove(&self.token);
            return Err(inconsistent_length());
        }
        let completion = Completion { writer: self.writer.clone(), token: self.token.clone(), stage: Some(stage) };
        Ok(Answer::offload(move || completion.complete()))
    }

    /// With the place of the upload, in answers to its beginning.
    fn announced(&self, response: Response) -> Response {
        match &self.location {
            Some(location) => response.field("Location", location),
            None => response,
        }
    }
}

impl Sink for Transfer {
    fn interim(&self) -> Option<Response> {
        let response = Response::new(StatusCode::from_u16(104).expect("it is a status"));
        let response = response.field("Upload-Draft-Interop-Version", &INTEROP_VERSION.to_string());
        let is_due = self.location.is_some() && self.wish.is_told;
        is_due.then(|| self.writer.limits(self.announced(response)))
    }

    fn piece(&mut self, piece: &[u8], waker: &dyn Fn() -> Waker) -> Take {
        self.append(piece, waker).unwrap_or_else(Take::Refuse)
    }

    /// Where another went on with it, it is told so by the next piece.
    fn is_ready(&mut self) -> bool {
        let mut registry = self.writer.registry();
        registry.of(self).is_none_or(|(upload, _)| upload.is_ready())
    }

    fn finish(self: Box<Self>, request: &Request<'_>) -> Answer {
        self.end(request.now()).unwrap_or_else(Answer::from)
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        let mut registry = self.writer.registry();
        if let Some(entry) = registry.known.get_mut(&self.token).filter(|entry| entry.turn == self.turn) {
            entry.is_moving = false;
        }
    }
}

/// An upload that is whole, on its way to its name. Dropped before, for want of threads, it may be completed again.
struct Completion {
    writer: Arc<Writer>,
    token: String,
    stage: Option<Stage>,
}

impl Completion {
    fn complete(mut self) -> Response {
        let Some(Stage::Open(upload)) = self.stage.take() else { unreachable!("it was open") };
        let length = upload.written();
        let done = upload.commit(&self.writer);
        // Of one that failed nothing is left: it can't be gone on with.
        self.stage = done.is_ok().then_some(Stage::Complete(length));
        Response::from(done).field("Upload-Complete", "?1")
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        let mut registry = self.writer.registry();
        match self.stage.take() {
            None => drop(registry.known.remove(&self.token)),
            Some(stage) => {
                if let Some(entry) = registry.known.get_mut(&self.token) {
                    entry.stage = stage;
                    entry.is_moving = false;
                }
            }
        }
    }
}

impl Writer {
    /// Whether there may be one upload more that goes on.
    pub(super) fn may_keep(&self, now: SystemTime) -> bool {
        let mut registry = self.registry();
        registry.expire(now);
        registry.make_room()
    }

    /// Makes an upload one that may go on, to what has this path.
    pub(super) fn keep(self: &Arc<Self>, upload: Upload, wish: Wish, path: &str) -> Transfer {
        let mut registry = self.registry();
        let token = registry.new_token();
        let entry =
            Entry { stage: Stage::Open(upload), length: wish.length, turn: 0, is_moving: true, idle_since: None };
        registry.known.insert(token.clone(), entry);
        let location = Some(location(path, &token));
        Transfer { writer: self.clone(), token, turn: 0, wish, location }
    }

    /// Answers a request about an upload, or takes its body; `None` where it is about none that is known.
    pub(super) fn about_upload(self: &Arc<Self>, request: &Request<'_>) -> Option<Result<Asked, Response>> {
        let (_, name) = request.path().rsplit_once('/')?;
        let token = name.strip_prefix(str::from_utf8(RESERVED).expect("it is text"))?;
        let mut registry = self.registry();
        registry.expire(request.now());
        let is_known = registry.known.contains_key(token);
        // What else could be asked of such a name is answered as of any.
        let is_asked = is_known || request.method() == Method::PATCH;
        is_asked.then(|| self.of_upload(request, token, &mut registry))
    }

    fn of_upload(
        self: &Arc<Self>,
        request: &Request<'_>,
        token: &str,
        registry: &mut Registry,
    ) -> Result<Asked, Response> {
        let entry = registry.known.get_mut(token).ok_or(Reject::NotFound)?;
        match request.method().as_str() {
            "OPTIONS" => Ok(Asked::Answer(Response::new(StatusCode::NO_CONTENT).field("Allow", ALLOWED))),
            "HEAD" | "GET" => {
                let (offset, is_complete) = match &entry.stage {
                    Stage::Open(upload) => (upload.written(), "?0"),
                    Stage::Complete(length) => (*length, "?1"),
                    Stage::Completing => return Err(Reject::Unavailable.into()),
                };
                entry.rest(request.now());
                let response = self.limits(Response::new(StatusCode::NO_CONTENT)).field("Upload-Complete", is_complete);
                let response = response.field("Upload-Offset", &offset.to_string()).field("Cache-Control", "no-store");
                Ok(Asked::Answer(match entry.length {
                    Some(length) => response.field("Upload-Length", &length.to_string()),
                    None => response,
                }))
            }
            "PATCH" => {
                let offset = match &entry.stage {
                    Stage::Open(upload) => upload.written(),
                    Stage::Complete(_) => return Err(Response::from(COMPLETE).field("Upload-Complete", "?0")),
                    Stage::Completing => return Err(Reject::Unavailable.into()),
                };
                let wish = appends(request, offset)?;
                entry.note_length(wish.length)?;
                entry.begin_turn();
                let (turn, token) = (entry.turn, token.to_string());
                Ok(Asked::Part(Transfer { writer: self.clone(), token, turn, wish, location: None }))
            }
            "DELETE" if matches!(entry.stage, Stage::Completing) => Err(Reject::Unavailable.into()),
            "DELETE" => {
                registry.known.remove(token);
                Ok(Asked::Answer(Response::new(StatusCode::NO_CONTENT)))
            }
            _ => Err(Reject::MethodNotAllowed { allow: ALLOWED.into() }.into()),
        }
    }

    /// With what uploads may be: `Upload-Limit`.
    pub(super) fn limits(&self, response: Response) -> Response {
        let age = format!("max-age={}", IDLE_MAX.as_secs());
        let size = self.file_bytes_max();
        // A structured field's integers have 15 digits at most.
        let size = if size < 1_000_000_000_000_000 { format!("max-size={size}, ") } else { String::new() };
        response.field("Upload-Limit", &format!("{size}{age}"))
    }

    /// A reject of an upload; of one that is too large, with how large it may be.
    pub(super) fn refusal(&self, reject: Reject) -> Response {
        let is_too_large = reject == Reject::ContentTooLarge;
        let response = Response::from(reject);
        if is_too_large { self.limits(response) } else { response }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.resumable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What comes of a request about an upload.
#[derive(Debug)]
pub(super) enum Asked {
    Answer(Response),
    Part(Transfer),
}

/// Another request went on with it.
const SUPERSEDED: Reject = Reject::Conflict("another request went on with this upload");

const COMPLETE: Reject = Reject::Conflict("the upload is complete");

/// What a PATCH says, which fits an upload that has `offset` bytes.
fn appends(request: &Request<'_>, offset: u64) -> Result<Wish, Response> {
    let media_type = request.fields().get("content-type").unwrap_or_default();
    let media_type = media_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if !media_type.eq_ignore_ascii_case(PARTIAL) {
        let reject = Reject::UnsupportedMediaType("what is appended is application/partial-upload");
        // RFC 5789 §2.2
        return Err(Response::from(reject).field("Accept-Patch", "application/partial-upload"));
    }
    let provided = integer(request.fields(), "upload-offset").ok_or(Reject::BadRequest("there is no Upload-Offset"))?;
    if provided != offset {
        let more = serde_json::json!({ "expected-offset": offset, "provided-offset": provided });
        let response =
            problem(StatusCode::CONFLICT, "mismatching-upload-offset", "the upload has another offset", more);
        return Err(response.field("Upload-Offset", &offset.to_string()));
    }
    Wish::of(request, offset)?.ok_or(Reject::BadRequest("there is no Upload-Complete").into())
}

fn inconsistent_length() -> Response {
    let title = "the upload's length is not what it was said to be";
    problem(StatusCode::BAD_REQUEST, "inconsistent-upload-length", title, serde_json::json!({}))
}

/// RFC 9457
fn problem(status: StatusCode, name: &str, title: &str, mut value: serde_json::Value) -> Response {
    value["type"] = format!("https://iana.org/assignments/http-problem-types#{name}").into();
    value["title"] = title.into();
    let response = Response::bytes("application/problem+json", value.to_string());
    response.with_status(status).field("Upload-Complete", "?0")
}

/// Beside what is uploaded: a browser that was asked for a password there says it here unasked (RFC 7617 §2.2). Elsewhere it would send what
/// it has to send once in vain.
fn location(path: &str, token: &str) -> String {
    let (folder, _) = path.rsplit_once('/').expect("a path has a slash");
    format!("{folder}/{}{token}", str::from_utf8(RESERVED).expect("it is text"))
}

/// RFC 9651: the bare item of a field that is there once; parameters mean nothing here. Others are as if they were not.
fn item<'a>(fields: Fields<'a>, name: &str) -> Option<&'a str> {
    let mut values = fields.all(name);
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    str::from_utf8(value).ok()?.split(';').next().map(str::trim_end)
}

fn boolean(fields: Fields<'_>, name: &str) -> Option<bool> {
    match item(fields, name)? {
        "?0" => Some(false),
        "?1" => Some(true),
        _ => None,
    }
}

fn integer(fields: Fields<'_>, name: &str) -> Option<u64> {
    let digits = item(fields, name)?;
    let is_integer = (1..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_integer)
}
