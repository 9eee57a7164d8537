//! A server of files: requests, and what is wrong with them in words.
//!
//! Invariant: whatever the server says reaches a person through `names::shown` alone, and of no answer more is kept than a bound.

use crate::names::{entry_name, shown};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use indicatif::{HumanBytes, ProgressBar};
use serde_json::Value;
use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::time::Duration;
use ureq::http::{Request, Response, Uri, header};
use ureq::{Agent, Body, SendBody};

/// A listing past this is not taken.
const LISTING_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Of what a server says about an error, no more than a line or two is shown.
const SAID_BYTES_MAX: u64 = 300;

/// How often a person may try to say who they are.
const LOGINS_MAX: usize = 3;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Without a byte, either way. A server may have to wait for its disk before it answers.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);

/// Why something was not done.
#[derive(Debug)]
pub enum Failure {
    /// The server said no.
    Refused { status: u16, reason: String },
    /// Nobody answered, or not to the end: it may be tried again.
    Broken(String),
    /// It can't be done, here or there.
    Impossible(String),
    /// The person did not want it.
    Declined,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused { status, reason } => write!(f, "{reason} ({status})"),
            Failure::Broken(reason) | Failure::Impossible(reason) => f.write_str(reason),
            Failure::Declined => f.write_str("left as it is"),
        }
    }
}

impl Failure {
    pub fn status(&self) -> Option<u16> {
        if let Failure::Refused { status, .. } = self { Some(*status) } else { None }
    }
}

/// Who asks a person for user and password: of a place, and a user who may be known already.
pub type AskLogin = Box<dyn Fn(&str, Option<&str>) -> Option<(String, String)>>;

/// A server of files.
pub struct Remote {
    agent: Agent,
    /// `http://host:port`
    origin: String,
    login: RefCell<Login>,
    ask_login: AskLogin,
}

/// What is known of who asks.
#[derive(Default)]
struct Login {
    user: Option<String>,
    /// The value of Authorization.
    authorization: Option<String>,
}

/// A request.
#[derive(Default)]
pub struct Call<'a> {
    pub method: &'a str,
    pub target: &'a str,
    pub fields: &'a [(&'a str, &'a str)],
    pub part: Option<Part<'a>>,
    /// Nobody is to be asked anything.
    pub is_quiet: bool,
}

/// What is sent with a request: a file, from a byte on, for so many bytes.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    pub file: &'a File,
    pub from: u64,
    pub length: u64,
    pub bar: &'a ProgressBar,
}

/// What a server tells of a file.
#[derive(Debug, Clone)]
pub struct Seen {
    pub length: Option<u64>,
    tag: Option<String>,
    changed: Option<String>,
}

impl Seen {
    pub fn of(response: &Response<Body>) -> Seen {
        let length = field(response, "content-length").and_then(|length| length.parse().ok());
        let owned = |name| field(response, name).map(str::to_string);
        Seen { length, tag: owned("etag"), changed: owned("last-modified") }
    }

    /// The tag less how far it vouches: of a file that changed a moment ago it is a weak one, and the same as a strong one later.
    pub fn opaque_tag(&self) -> Option<&str> {
        self.tag.as_deref().map(|tag| tag.strip_prefix("W/").unwrap_or(tag))
    }

    /// Whether nothing tells that the file changed in between.
    pub fn is_same(&self, later: &Seen) -> bool {
        let parts = |seen: &Seen| (seen.length, seen.opaque_tag().map(str::to_string), seen.changed.clone());
        parts(self) == parts(later)
    }

    /// RFC 9110 §8.8.1: a tag that vouches for each byte.
    pub fn strong_tag(&self) -> Option<&str> {
        self.tag.as_deref().filter(|tag| tag.starts_with('"'))
    }
}

/// What lies at a path.
pub enum Found {
    Nothing,
    File(Seen),
    Folder,
}

/// A line of a listing.
pub struct Entry {
    pub name: Vec<u8>,
    pub is_folder: bool,
    pub size: Option<u64>,
    pub changed: String,
}

impl Remote {
    /// A server by its URL, and the path in it.
    ///
    /// # Errors
    /// Where it is none that this program can ask, with why.
    pub fn new(url: &str, user: Option<&str>, ask_login: AskLogin) -> Result<(Remote, String), String> {
        let url = if url.contains("://") { url.to_string() } else { format!("http://{url}") };
        let uri: Uri = url.parse().map_err(|error| format!("{} is no URL: {error}", shown(url.as_bytes())))?;
        if uri.scheme_str() != Some("http") {
            return Err(format!("{}: only http:// is spoken here", shown(url.as_bytes())));
        }
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let (userinfo, host) = match authority.rsplit_once('@') {
            Some((userinfo, host)) => {
                (Some(percent_encoding::percent_decode_str(userinfo).decode_utf8_lossy().into_owned()), host)
            }
            None => (None, authority),
        };
        if host.is_empty() {
            return Err(format!("{} names no server; try http://127.0.0.1:8000/", shown(url.as_bytes())));
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .allow_non_standard_methods(true)
            // The server is near: what the environment says of proxies is meant for elsewhere.
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_per_read(Some(SILENCE_TIMEOUT))
            .timeout_per_write(Some(SILENCE_TIMEOUT))
            .user_agent("tripoll-files");
        let login = user.map(str::to_string).or(userinfo).map_or_else(Login::default, |said| Login::of(&said));
        let origin = format!("http://{host}");
        Ok((Remote { agent: config.build().into(), origin, login: login.into(), ask_login }, uri.path().to_string()))
    }

    /// Host and port.
    pub fn host(&self) -> &str {
        &self.origin["http://".len()..]
    }

    /// Asks, and asks for user and password where the server wants to know them. A redirect is an answer.
    ///
    /// # Errors
    /// Where the answer is a no, or none comes.
    pub fn call(&self, call: &Call<'_>) -> Result<Response<Body>, Failure> {
        for _ in 0..LOGINS_MAX {
            let answer = self.try_call(call);
            let is_asked = answer.as_ref().is_err_and(|failure| failure.status() == Some(401)) && !call.is_quiet;
            if !is_asked || !self.ask_who() {
                return answer;
            }
        }
        self.try_call(call)
    }

    fn ask_who(&self) -> bool {
        let user = self.login.borrow().user.clone();
        let Some((user, password)) = (self.ask_login)(self.host(), user.as_deref()) else { return false };
        *self.login.borrow_mut() = Login::of(&format!("{user}:{password}"));
        true
    }

    fn try_call(&self, call: &Call<'_>) -> Result<Response<Body>, Failure> {
        let answer = self.send(call);
        // A connection that was kept may have ended meanwhile. What changes nothing may be asked twice.
        let is_safe = matches!(call.method, "GET" | "HEAD" | "OPTIONS");
        let answer = match answer {
            Err(ureq::Error::Io(_)) if is_safe => self.send(call),
            answer => answer,
        };
        let response = answer.map_err(|error| self.failure(&error))?;
        if response.status().as_u16() < 400 { Ok(response) } else { Err(refusal(response)) }
    }

    fn send(&self, call: &Call<'_>) -> Result<Response<Body>, ureq::Error> {
        let mut request = Request::builder().method(call.method).uri(format!("{}{}", self.origin, call.target));
        for (name, value) in call.fields {
            request = request.header(*name, *value);
        }
        if let Some(authorization) = &self.login.borrow().authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        match call.part {
            None => self.agent.run(request.body(())?),
            Some(part) => {
                let mut content = Content(part);
                let request = request.header(header::CONTENT_LENGTH, part.length);
                self.agent.run(request.body(SendBody::from_reader(&mut content))?)
            }
        }
    }

    /// What `target` names.
    pub fn find(&self, target: &str) -> Result<Found, Failure> {
        match self.call(&Call { method: "HEAD", target, ..Call::default() }) {
            Ok(response) if response.status().is_redirection() => Ok(Found::Folder),
            Ok(_) if target.ends_with('/') => Ok(Found::Folder),
            Ok(response) => Ok(Found::File(Seen::of(&response))),
            Err(Failure::Refused { status: 404, .. }) => Ok(Found::Nothing),
            Err(failure) => Err(failure),
        }
    }

    /// What is in a folder.
    pub fn list(&self, target: &str, is_quiet: bool) -> Result<Vec<Entry>, Failure> {
        let target = format!("{target}?json");
        let fields = &[("Accept", "application/json")];
        let mut response = self.call(&Call { method: "GET", target: &target, fields, is_quiet, ..Call::default() })?;
        if !field(&response, "content-type").is_some_and(|value| value.starts_with("application/json")) {
            let reason = "the folder has a page of its own, so the server does not list it; get and cd go on working";
            return Err(Failure::Impossible(reason.into()));
        }
        let body = response.body_mut().with_config().limit(LISTING_BYTES_MAX).read_to_vec();
        let body = body.map_err(|error| self.failure(&error))?;
        let list: Value = serde_json::from_slice(&body)
            .map_err(|_| Failure::Impossible("the server's list of the folder can't be read".into()))?;
        Ok(list.as_array().map(Vec::as_slice).unwrap_or_default().iter().filter_map(Entry::of).collect())
    }

    /// What a connection that failed says to a person.
    pub fn failure(&self, error: &ureq::Error) -> Failure {
        let host = shown(self.host().as_bytes());
        Failure::Broken(match error {
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                format!("nobody answers at {host}: does the server run? (tripoll DIR --upload)")
            }
            ureq::Error::HostNotFound => format!("no machine is called {host}"),
            ureq::Error::Timeout(ureq::Timeout::Connect) => format!("nobody answers at {host}"),
            ureq::Error::Timeout(_) => format!("{host} stopped talking"),
            ureq::Error::Io(error) if is_end(error) => "the line broke".into(),
            ureq::Error::Io(error) => format!("the line to {host} failed: {error}"),
            ureq::Error::Protocol(error) => {
                return Failure::Impossible(format!("{host} does not talk as a web server does: {error}"));
            }
            error => return Failure::Impossible(shown(error.to_string().as_bytes())),
        })
    }
}

fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

impl Login {
    /// From `USER` or `USER:PASSWORD`.
    fn of(said: &str) -> Login {
        match said.split_once(':') {
            None => Login { user: Some(said.into()), authorization: None },
            Some((user, _)) => {
                // RFC 7617
                let authorization = format!("Basic {}", BASE64_STANDARD.encode(said.as_bytes()));
                Login { user: Some(user.into()), authorization: Some(authorization) }
            }
        }
    }
}

/// A part of a file, as long as it was said to be, whatever becomes of the file.
struct Content<'a>(Part<'a>);

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let part = &mut self.0;
        let wanted = usize::try_from(part.length).unwrap_or(usize::MAX).min(buffer.len());
        let read = part.file.read_at(&mut buffer[..wanted], part.from)?;
        if read == 0 && wanted > 0 {
            return Err(io::Error::other("the file became shorter while it was sent"));
        }
        part.from += read as u64;
        part.length -= read as u64;
        part.bar.inc(read as u64);
        Ok(read)
    }
}

impl Entry {
    /// `None` of what no folder can have: another server than ours may say anything.
    fn of(value: &Value) -> Option<Entry> {
        let name = entry_name(value["href"].as_str()?)?;
        let is_folder = value["type"] == "folder";
        let changed: String = value["changed"].as_str().unwrap_or_default().chars().take(16).collect();
        let changed = shown(changed.replace('T', " ").as_bytes());
        Some(Entry { name, is_folder, size: value["size"].as_u64(), changed })
    }
}

pub fn field<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// Whether `Allow` names the one method by which a folder and a file alike can be changed.
pub fn takes_changes(response: &Response<Body>) -> bool {
    field(response, "allow").is_some_and(|allow| allow.contains("DELETE"))
}

/// Why the server says no, for a person.
fn refusal(mut response: Response<Body>) -> Failure {
    let status = response.status().as_u16();
    let largest = field(&response, "upload-limit").and_then(size_max);
    let takes_changes = takes_changes(&response);
    let said = said(&mut response);
    let or = |reason: &str| said.clone().unwrap_or_else(|| reason.into());
    let reason = match status {
        401 => "the server wants to know who you are, or the password is wrong: --user NAME".into(),
        403 => format!("the server does not allow it: {}", or("it does not say why")),
        404 => "there is no such file or folder".into(),
        405 if takes_changes => "something of that name is there already".into(),
        405 => "this server takes no changes; it would with: tripoll DIR --upload".into(),
        409 => or("something else stands in the way there"),
        412 => "somebody else changed it meanwhile: look at it, then try again".into(),
        413 => match largest {
            Some(size) => format!("it is larger than the server takes, which is {}", HumanBytes(size)),
            None => "it is larger than the server takes".into(),
        },
        423 => "somebody else is working on it".into(),
        428 => "there is such a file, and the server does not know whether you have seen it: try again".into(),
        429 | 503 => format!("the server is busy, try again in a while: {}", or("it does not say why")),
        507 => "the server has no room for it".into(),
        500.. => format!("the server failed: {}", or("it does not say why")),
        _ => format!("the server does not understand: {}", or("it does not say why")),
    };
    Failure::Refused { status, reason }
}

/// The first line of a text that comes with an error, without the status that it may begin with.
fn said(response: &mut Response<Body>) -> Option<String> {
    field(response, "content-type").filter(|value| value.starts_with("text/plain"))?;
    let mut text = Vec::new();
    response.body_mut().as_reader().take(SAID_BYTES_MAX).read_to_end(&mut text).ok()?;
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let status = response.status().to_string();
    let line = line.strip_prefix(status.as_bytes()).unwrap_or(line);
    let line = shown(line.strip_prefix(b": ").unwrap_or(line).trim_ascii());
    (!line.is_empty()).then_some(line)
}

/// How large an upload may be, by `Upload-Limit`.
pub fn size_max(limit: &str) -> Option<u64> {
    limit.split(',').find_map(|part| part.trim().strip_prefix("max-size=")?.parse().ok())
}
