//! A file there and back, over lines that break.
//!
//! Invariant: under its own name a file is whole or not there; what replaces another is what somebody said yes to, on both sides.
//!
//! ```text
//!   get: HEAD ─▶ NAME.<tag>.part ─▶ GET, from its length on (Range, If-Range) ─▶ all of it, and of one piece? ─▶ NAME
//!   put: HEAD ─▶ small: PUT ──────────────────────────────────────────────────────────▶ HEAD: is it there, as long as here?
//!                large: PUT, Upload-Complete: ?0 ─▶ PATCH ─▶ broken: HEAD says from where ─▶ PATCH …
//! ```

use crate::memory::{Memory, hash};
use crate::names::shown_path;
use crate::remote::{Call, Failure, Found, Part, Remote, Seen, field, size_max};
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::Cell;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use ureq::Body;
use ureq::http::Response;

/// From here on an upload is one that can be gone on with: it costs two requests more.
const RESUMABLE_BYTES_MIN: u64 = 256 * 1024;

/// Tries in a row that move nothing: half a minute, with the pauses.
const TRIES_MAX: u32 = 7;

/// Before the second of them; it doubles.
const PAUSE_MIN: Duration = Duration::from_millis(200);

/// What a transfer needs to know.
pub struct Transfer<'a> {
    pub remote: &'a Remote,
    pub memory: &'a Memory,
    /// Whether something may be replaced.
    pub may_replace: &'a dyn Fn(&str) -> bool,
}

impl Transfer<'_> {
    /// Fetches `target` into the file `local`. Says what it did.
    pub fn get(&self, target: &str, local: &Path) -> Result<String, Failure> {
        let seen = match self.remote.find(target)? {
            Found::File(seen) => seen,
            Found::Folder => return Err(Failure::Impossible("it is a folder; get takes files".into())),
            Found::Nothing => return Err(nothing()),
        };
        if local.is_dir() {
            return Err(Failure::Impossible(format!("{} is a folder here", shown_path(local))));
        }
        if local.symlink_metadata().is_ok() && !(self.may_replace)(&format!("{} is here already", shown_path(local))) {
            return Err(Failure::Declined);
        }
        let progress = Progress::new(seen.length, &shown_path(local));
        let mut patience = Patience::new();
        loop {
            let failure = match self.try_get(target, local, &progress) {
                Ok(how) => return Ok(progress.said("got", &shown_path(local), how)),
                Err(failure) => failure,
            };
            patience.wait(failure, &progress)?;
        }
    }

    /// Looks at what is there now, and fetches what is wanting of it.
    fn try_get(&self, target: &str, local: &Path, progress: &Progress) -> Result<&'static str, Failure> {
        let Found::File(seen) = self.remote.find(target)? else { return Err(nothing()) };
        let path = part_path(local, target, &seen);
        let part = open_part(&path, &seen).map_err(|error| here(&path, &error))?;
        let have = part.metadata().map_err(|error| here(&path, &error))?.len();
        progress.at(have, seen.length);
        if seen.length != Some(have) || have == 0 {
            self.fetch(target, &seen, &part, have, &path, progress)?;
        }
        let have = part.metadata().map_err(|error| here(&path, &error))?.len();
        if seen.length.is_some_and(|length| length != have) {
            return Err(Failure::Broken("the line broke".into()));
        }
        let how = match seen.strong_tag() {
            Some(_) => "checked by length and ETag",
            // A tag that vouches for nothing, or none: did it stay the same from before to after?
            None => match self.remote.find(target)? {
                Found::File(now) if now.is_same(&seen) => "checked by length, the same before and after",
                _ => {
                    let _ = fs::remove_file(&path);
                    return Err(Failure::Broken("the file changed while it came".into()));
                }
            },
        };
        fs::rename(&path, local).map_err(|error| here(local, &error))?;
        forget_parts(local);
        Ok(how)
    }

    /// Appends what is wanting to a part, which stays one of what was seen.
    fn fetch(
        &self,
        target: &str,
        seen: &Seen,
        mut part: &File,
        have: u64,
        path: &Path,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let range = format!("bytes={have}-");
        let fields = [("Range", range.as_str()), ("If-Range", seen.strong_tag().unwrap_or_default())];
        let fields = if have == 0 { &[][..] } else { &fields };
        let mut response = self.remote.call(&Call { method: "GET", target, fields, ..Call::default() })?;
        if Seen::of(&response).opaque_tag() != seen.opaque_tag() {
            return Err(Failure::Broken("the file changed while it came".into()));
        }
        match response.status().as_u16() {
            206 if begins_at(&response, have) => {}
            206 => return Err(Failure::Impossible("the server sends another part than it was asked for".into())),
            // It knows no ranges.
            200 => {
                part.set_len(0).map_err(|error| here(path, &error))?;
                progress.at(0, seen.length);
            }
            _ => return Err(Failure::Impossible("it is elsewhere, says the server".into())),
        }
        let mut body = response.body_mut().with_config().limit(u64::MAX).reader();
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let read = match body.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) => return Err(self.remote.failure(&error.into())),
            };
            part.write_all(&buffer[..read]).map_err(|error| here(path, &error))?;
            progress.bar.inc(read as u64);
        }
    }

    /// Sends the file `local` to `target`. Says what it did.
    pub fn put(&self, local: &Path, target: &str) -> Result<String, Failure> {
        let open = || File::open(local).and_then(|file| file.metadata().map(|metadata| (file, metadata)));
        let (file, metadata) = open().map_err(|error| here(local, &error))?;
        if !metadata.is_file() {
            return Err(Failure::Impossible(format!("{} is no file; put takes files", shown_path(local))));
        }
        let length = metadata.len();
        // Only to who sees nothing there is nothing to be replaced.
        let (name, tag) = match self.remote.find(target)? {
            Found::Nothing => ("If-None-Match", "*".to_string()),
            Found::Folder => return Err(Failure::Impossible("there is a folder of that name".into())),
            Found::File(_) if !(self.may_replace)("the server has such a file already") => {
                return Err(Failure::Declined);
            }
            // Without a tag that vouches for it, any is as good as the one that was seen.
            Found::File(seen) => ("If-Match", seen.strong_tag().unwrap_or("*").to_string()),
        };
        let guard = (name, tag.as_str());
        let limits = self.limits(target)?;
        if let Some(max) = limits.as_deref().and_then(size_max).filter(|max| *max < length) {
            let reason = format!("it is larger than the server takes, which is {}", HumanBytes(max));
            return Err(Failure::Refused { status: 413, reason });
        }
        let progress = Progress::new(Some(length), &shown_path(local));
        let sent = match limits {
            Some(_) if length >= RESUMABLE_BYTES_MIN => {
                self.put_resumably(&file, &metadata, local, target, guard, &progress)
            }
            _ => self.put_at_once(&file, length, target, guard, &progress),
        };
        let now = file.metadata().map_err(|error| here(local, &error))?;
        if stamp(&now) != stamp(&metadata) {
            let reason = "the file here changed while it was sent; put it again";
            return Err(Failure::Impossible(reason.into()));
        }
        sent?;
        match self.remote.find(target)? {
            Found::File(seen) if seen.length == Some(length) => {
                Ok(progress.said("put", &shown_path(local), "checked by length"))
            }
            _ => {
                Err(Failure::Impossible("the server says that it took it, but what is there is something else".into()))
            }
        }
    }

    /// What uploads may be, of a server that lets them go on after a break.
    fn limits(&self, target: &str) -> Result<Option<String>, Failure> {
        let response = self.remote.call(&Call { method: "OPTIONS", target, ..Call::default() });
        match response {
            Ok(response) => Ok(field(&response, "upload-limit").map(str::to_string)),
            // Not every server knows the method.
            Err(Failure::Refused { .. }) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    fn put_at_once(
        &self,
        file: &File,
        length: u64,
        target: &str,
        guard: (&str, &str),
        progress: &Progress,
    ) -> Result<(), Failure> {
        let part = Some(Part { file, from: 0, length, bar: &progress.bar });
        let fields = &[guard, ("Expect", "100-continue")];
        match self.remote.call(&Call { method: "PUT", target, fields, part, ..Call::default() }) {
            Ok(_) => Ok(()),
            Err(Failure::Broken(reason)) => {
                let reason = format!("{reason}, and whether the server took the file is open: see ls");
                Err(Failure::Broken(reason))
            }
            Err(failure) => Err(failure),
        }
    }

    /// draft-ietf-httpbis-resumable-upload, interop version 8: made empty, so that its place is known before a byte is on its way.
    fn put_resumably(
        &self,
        file: &File,
        metadata: &Metadata,
        local: &Path,
        target: &str,
        guard: (&str, &str),
        progress: &Progress,
    ) -> Result<(), Failure> {
        let key = (self.remote.host(), target, local.canonicalize().ok(), stamp(metadata));
        let mut upload = self.memory.upload(&key);
        let mut patience = Patience::new();
        loop {
            let location = match upload.take() {
                Some(location) => location,
                None => {
                    let location = self.begin(file, metadata.len(), target, guard, progress)?;
                    self.memory.remember_upload(&key, &location);
                    location
                }
            };
            let failure = match self.go_on(file, metadata.len(), &location, progress) {
                Ok(()) => {
                    self.memory.forget_upload(&key);
                    return Ok(());
                }
                Err(failure) => failure,
            };
            let failure = match failure {
                // Too old, or the server was started anew: from the beginning.
                Failure::Refused { status: 404, .. } => {
                    self.memory.forget_upload(&key);
                    Failure::Broken("the server does not know the upload any more".into())
                }
                // The offset is another by now, or the server is about to complete it.
                Failure::Refused { status: 409 | 503, reason } => {
                    upload = Some(location);
                    Failure::Broken(reason)
                }
                Failure::Refused { .. } => {
                    self.memory.forget_upload(&key);
                    return Err(failure);
                }
                failure => {
                    upload = Some(location);
                    failure
                }
            };
            patience.wait(failure, progress)?;
        }
    }

    /// Makes an upload: where it goes on.
    fn begin(
        &self,
        file: &File,
        length: u64,
        target: &str,
        guard: (&str, &str),
        progress: &Progress,
    ) -> Result<String, Failure> {
        let part = Some(Part { file, from: 0, length: 0, bar: &progress.bar });
        let length = length.to_string();
        let fields = &[guard, ("Upload-Complete", "?0"), ("Upload-Length", length.as_str())];
        let response = self.remote.call(&Call { method: "PUT", target, fields, part, ..Call::default() })?;
        // To no other server: it would be told the password.
        let location = field(&response, "location").filter(|at| at.starts_with('/') && !at.starts_with("//"));
        let nonsense = || Failure::Impossible("the server does not say where the upload goes on".into());
        location.map(str::to_string).ok_or_else(nonsense)
    }

    /// Sends what an upload lacks.
    fn go_on(&self, file: &File, length: u64, location: &str, progress: &Progress) -> Result<(), Failure> {
        let state = self.remote.call(&Call { method: "HEAD", target: location, ..Call::default() })?;
        if field(&state, "upload-complete") == Some("?1") {
            return Ok(());
        }
        let offset = field(&state, "upload-offset").and_then(|offset| offset.parse().ok());
        let Some(offset) = offset.filter(|offset| *offset <= length) else {
            return Err(Failure::Impossible("the server does not say how much of the upload it has".into()));
        };
        progress.at(offset, Some(length));
        let part = Some(Part { file, from: offset, length: length - offset, bar: &progress.bar });
        let offset = offset.to_string();
        let fields = &[
            ("Upload-Complete", "?1"),
            ("Upload-Offset", offset.as_str()),
            ("Content-Type", "application/partial-upload"),
            ("Expect", "100-continue"),
        ];
        self.remote.call(&Call { method: "PATCH", target: location, fields, part, ..Call::default() }).map(drop)
    }
}

fn nothing() -> Failure {
    Failure::Refused { status: 404, reason: "there is no such file".into() }
}

/// What went wrong on this side.
fn here(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Impossible(match error.kind() {
        ErrorKind::NotFound => format!("here is no {}", shown_path(path)),
        ErrorKind::StorageFull => format!("this disk has no room for {}", shown_path(path)),
        ErrorKind::PermissionDenied => format!("you may not do that with {} here", shown_path(path)),
        _ => format!("{} here: {error}", shown_path(path)),
    })
}

/// What tells that a file here changed.
fn stamp(metadata: &Metadata) -> (u64, Option<SystemTime>) {
    (metadata.len(), metadata.modified().ok())
}

/// Where a file is kept until it is whole: beside it, and by what it is a part of, so that nothing else is gone on with.
fn part_path(local: &Path, target: &str, seen: &Seen) -> PathBuf {
    with_ending(local, &format!(".{:016x}.part", hash(&(target, seen.opaque_tag()))))
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// A part to go on with, where there is one and its tag vouches for each byte; else an empty one.
fn open_part(path: &Path, seen: &Seen) -> std::io::Result<File> {
    let part = OpenOptions::new().create(true).append(true).open(path)?;
    let is_of_use = seen.strong_tag().is_some()
        && seen.length.is_some_and(|length| part.metadata().is_ok_and(|have| have.len() <= length));
    if !is_of_use {
        part.set_len(0)?;
    }
    Ok(part)
}

/// Removes parts of what the file was before.
fn forget_parts(local: &Path) {
    let folder = local.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Some(name) = local.file_name() else { return };
    for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        let entry = entry.file_name();
        let rest = entry.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
        let tag = rest.and_then(|rest| rest.strip_prefix(b".")?.strip_suffix(b".part"));
        if tag.is_some_and(|tag| tag.len() == 16 && tag.iter().all(u8::is_ascii_hexdigit)) {
            let _ = fs::remove_file(folder.join(entry));
        }
    }
}

/// RFC 9110 §14.4
fn begins_at(response: &Response<Body>, at: u64) -> bool {
    let range = field(response, "content-range").and_then(|range| range.strip_prefix("bytes "));
    range.and_then(|range| range.split_once('-')).is_some_and(|(first, _)| first.parse() == Ok(at))
}

/// A bar on the terminal, where there is one.
struct Progress {
    bar: ProgressBar,
    since: Instant,
    /// From where this try goes on: so much there is for certain.
    from: Cell<u64>,
}

impl Progress {
    fn new(length: Option<u64>, name: &str) -> Progress {
        let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
        let style = "{prefix}  {bar:24}  {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left";
        let style = ProgressStyle::with_template(style).expect("it is a good template");
        bar.set_style(style.progress_chars("━╸─"));
        bar.set_prefix(name.to_string());
        Progress { bar, since: Instant::now(), from: Cell::new(0) }
    }

    /// Goes on from what is there.
    fn at(&self, bytes: u64, length: Option<u64>) {
        if let Some(length) = length {
            self.bar.set_length(length);
        }
        self.bar.set_position(bytes);
        self.bar.reset_eta();
        if bytes > 0 && self.from.replace(bytes) != bytes {
            self.note(&format!("going on from {}", HumanBytes(bytes)));
        }
    }

    fn note(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    fn said(&self, done: &str, name: &str, how: &str) -> String {
        let (bytes, seconds) = (self.bar.position(), self.since.elapsed().as_secs_f64());
        self.bar.finish_and_clear();
        let rate = HumanBytes((bytes as f64 / seconds.max(0.001)) as u64);
        format!("{done} {name}: {} in {seconds:.1} s ({rate}/s), {how}", HumanBytes(bytes))
    }
}

/// How often something is tried again: as long as it moves.
struct Patience {
    reached: u64,
    tries: u32,
}

impl Patience {
    fn new() -> Patience {
        Patience { reached: 0, tries: 0 }
    }

    /// Waits a moment before the next try.
    ///
    /// # Errors
    /// The failure, where another try is no use, or there were too many.
    fn wait(&mut self, failure: Failure, progress: &Progress) -> Result<(), Failure> {
        let Failure::Broken(reason) = failure else { return Err(failure) };
        if progress.from.get() > self.reached {
            *self = Patience { reached: progress.from.get(), tries: 0 };
        }
        if self.tries == TRIES_MAX {
            return Err(Failure::Broken(format!("{reason}; what came is kept: say it again to go on from there")));
        }
        progress.note(&format!("{reason}; trying again"));
        std::thread::sleep(PAUSE_MIN * 2u32.pow(self.tries));
        self.tries += 1;
        Ok(())
    }
}
