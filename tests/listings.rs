//! A folder as a list: few entries at once, many beside the loop; and both say the same in the same bytes.

mod backends;
mod client;
mod running;
mod serving;

use backends::{on_every_backend, on_every_threaded_model};
use client::{Answer, Client};
use running::Running;
use serving::{Serving, Way};
use std::fs::{self, File};
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use tempfile::TempDir;
use tripoll::files::{Files, Options};
use tripoll::http::{self, Limits};
use tripoll::poller::Strategy;
use tripoll::{Response, offload};

/// A folder of more entries is listed beside the loop.
const AT_ONCE_MAX: usize = 256;

/// The two forms, and the media type of each.
const FORMS: [(&str, &str); 2] = [("/", "text/html; charset=utf-8"), ("/?json", "application/json")];

on_every_backend! {
    many_entries_are_listed_as_few_are,
    a_listing_has_all_folders_first_however_many,
    a_listing_of_many_holds_nobody_up,
}

on_every_threaded_model! {
    many_entries_are_listed_as_few_are,
    a_listing_has_all_folders_first_however_many,
}

fn fill(folder: &Path, files: usize) {
    for number in 0..files {
        File::create(folder.join(format!("file-{number:06}"))).unwrap();
    }
}

fn serve(way: Way, folder: &TempDir) -> Serving {
    Serving::new(way, Arc::new(Files::new(folder.path(), Options::default()).unwrap()), Limits::default())
}

#[track_caller]
fn ask(serving: &Serving, method: &str, target: &str, fields: &str) -> Answer {
    let mut client = Client::new(serving.address);
    client.send(format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"));
    client.answer(method == "HEAD")
}

/// What tells of a body's length, and the field that does.
fn framing(answer: &Answer) -> (Option<&str>, Option<&str>) {
    (answer.field("Content-Length"), answer.field("Transfer-Encoding"))
}

fn many_entries_are_listed_as_few_are(way: Way) {
    let folder = TempDir::new().unwrap();
    fill(folder.path(), AT_ONCE_MAX);
    let serving = serve(way, &folder);
    let few = FORMS.map(|(target, _)| ask(&serving, "GET", target, ""));
    // One entry more, which is not listed.
    File::create(folder.path().join(".hidden")).unwrap();
    for ((target, media_type), few) in FORMS.into_iter().zip(few) {
        let many = ask(&serving, "GET", target, "");
        assert_eq!((framing(&few).0.is_some(), framing(&many)), (true, (None, Some("chunked"))), "{target}");
        assert_eq!((few.status, many.status), (200, 200), "{target}");
        assert!(few.body == many.body, "{target}: the same bytes");
        for (name, want) in [("Content-Type", media_type), ("Vary", "Accept"), ("Cache-Control", "no-cache")] {
            assert_eq!((few.field(name), many.field(name)), (Some(want), Some(want)), "{target}");
        }
        let head = ask(&serving, "HEAD", target, "");
        let of_it = |answer: &Answer| {
            let fields = answer.fields().iter().filter(|(name, _)| name != "Date");
            fields.cloned().collect::<Vec<_>>()
        };
        assert_eq!((of_it(&head), head.body), (of_it(&many), vec![]), "{target}");
        let tag = many.field("ETag").unwrap();
        assert!(!tag.starts_with("W/"), "{tag}");
        let known = ask(&serving, "GET", target, &format!("If-None-Match: {tag}\r\n"));
        assert_eq!((known.status, known.field("ETag")), (304, Some(tag)), "{target}");
        let mut old = Client::new(serving.address);
        old.send(format!("GET {target} HTTP/1.0\r\n\r\n"));
        let answer = old.rest(false);
        let body = answer.windows(4).position(|four| four == b"\r\n\r\n").map(|at| &answer[at + 4..]);
        assert!(body == Some(&*many.body), "{target}: to HTTP/1.0 its end is the connection's");
    }
    let tags = |target| ask(&serving, "GET", target, "").field("ETag").unwrap().to_string();
    let (page, json) = (tags("/"), tags("/?json"));
    assert_ne!(page, json, "other bytes, other tag");
    // The folder's own times do not change with this.
    fs::write(folder.path().join("file-000007"), "seven bytes").unwrap();
    assert!(tags("/") != page && tags("/?json") != json, "it says something else");
}

fn a_listing_has_all_folders_first_however_many(way: Way) {
    const FILES: usize = 2_000; // More than one thread's batch.
    let folder = TempDir::new().unwrap();
    fill(folder.path(), FILES);
    for name in ["z", "a {rows}"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    let serving = serve(way, &folder);
    let json: serde_json::Value = serde_json::from_slice(&ask(&serving, "GET", "/?json", "").body).unwrap();
    let names: Vec<&str> = json.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect();
    assert_eq!((names.len(), &names[..2]), (FILES + 2, &["a {rows}", "z"][..]));
    assert!(names[2..].is_sorted());
    let page = String::from_utf8(ask(&serving, "GET", "/", "").body).unwrap();
    let shown: Vec<&str> = page.split("<tr data-name=\"").skip(1).map(|row| row.split('"').next().unwrap()).collect();
    assert_eq!((shown.len(), &shown[..2]), (FILES + 2, &["a &#123;rows}", "z"][..]));
    assert_eq!(shown[2..], names[2..]);
    assert!(page.contains("2 folders, 2000 files, 0 B") && page.trim_end().ends_with("</html>"));
}

/// The only thread is held. What is listed meanwhile waits for it, and nobody else does: so it is made there.
fn a_listing_of_many_holds_nobody_up(strategy: Strategy) {
    let (release, released) = mpsc::channel::<()>();
    let (begun, begins) = mpsc::channel();
    let released = Arc::new(Mutex::new(released));
    let running = Running::new(strategy, move |server| {
        let hold = move |_: &http::Request<'_>| {
            let (begun, released) = (begun.clone(), released.clone());
            http::Answer::offload(move || {
                begun.send(()).unwrap();
                released.lock().unwrap().recv().unwrap();
                Response::text("held")
            })
        };
        server.offload_limits(offload::Limits { threads_max: 1, queue_max: 1 }).route("GET", "/hold", hold)
    });
    let many = running.folder.path().join("many");
    fs::create_dir(&many).unwrap();
    fill(&many, AT_ONCE_MAX + 1);
    let [mut holder, mut reader, mut other] = [(); 3].map(|()| Client::new(running.address));
    let request = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    holder.send(request("/hold"));
    begins.recv().unwrap();
    reader.send(request("/many/?json"));
    // The second answer is of a later turn than the one that saw what was asked before.
    for _ in 0..2 {
        other.send(request("/hello"));
        assert_eq!(other.answer(false).body, b"hello");
    }
    File::create(many.join("late")).unwrap();
    release.send(()).unwrap();
    assert_eq!(holder.answer(false).body, b"held");
    let listing = reader.answer(false);
    assert_eq!(listing.status, 200);
    assert!(String::from_utf8(listing.body).unwrap().contains("\"late\""), "it was read after that was made");
}
