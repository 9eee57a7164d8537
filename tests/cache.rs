//! Files that are kept: what is sent is what the file system has in this turn, whatever happened to it, and what is kept is bounded.

mod backends;
mod client;
mod serving;
mod wire;

use backends::on_every_backend;
use client::{Answer, Client, read_answer};
use serving::Serving;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tripoll::files::{Cache, Files, Options, Resolver, Root};
use tripoll::http::{Limits, Listener};
use tripoll::poller::Strategy;
use tripoll::sys;
use wire::Wire;

const RESOLVERS: [Resolver; 3] = [Resolver::Openat2, Resolver::Walk, Resolver::Follow];

/// Long enough for a file's times to be told from those before.
const SETTLED: Duration = Duration::from_millis(100);

/// More than one of the files that are sent from memory.
const LARGE: usize = 200_000;

/// What the server goes by for as long: that a file has no coded form.
const BELIEVED: Duration = Duration::from_secs(1);

on_every_backend! { what_is_kept_follows_the_file_system }

/// A folder in a folder, served with what is kept of it.
struct Site {
    outer: TempDir,
    listener: Listener,
    cache: Cache,
    /// The time of the next turn.
    turn: SystemTime,
}

impl Site {
    fn new(resolver: Resolver, cache_bytes_max: u64, files: &[(&str, &[u8])]) -> Site {
        let outer = TempDir::new().unwrap();
        let folder = outer.path().join("site");
        fs::create_dir(&folder).unwrap();
        for (name, content) in files {
            fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
            fs::write(folder.join(name), content).unwrap();
        }
        let root = Root::open(&folder).unwrap().with_resolver(resolver);
        let files = Files::beneath(root, Options { cache_bytes_max, ..Options::default() });
        let cache = files.cache().clone();
        let listener = Listener::new(Arc::new(files), Limits::default());
        // As if it were later: what was written just now is settled then.
        Site { outer, listener, cache, turn: SystemTime::now() + SETTLED }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.outer.path().join("site").join(name)
    }

    /// Asks in a turn of its own.
    #[track_caller]
    fn ask(&mut self, target: &str, fields: &str) -> Answer {
        self.turn = self.turn.max(SystemTime::now()) + SETTLED;
        self.ask_in_this_turn(target, fields)
    }

    #[track_caller]
    fn ask_in_this_turn(&self, target: &str, fields: &str) -> Answer {
        let mut wire = Wire::new(&self.listener, self.turn);
        wire.feed(format!("GET {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n").as_bytes());
        wire.end_of_input();
        read_answer(&wire.sent, false).unwrap().expect("an answer").0
    }

    #[track_caller]
    fn body(&mut self, target: &str) -> String {
        let answer = self.ask(target, "");
        assert_eq!(answer.status, 200, "{target}");
        String::from_utf8(answer.body).unwrap()
    }
}

/// Each file small, of which the bytes are kept, and large, of which a descriptor is.
fn contents() -> [(&'static str, Vec<u8>); 2] {
    [("small", b"before".to_vec()), ("large", vec![b'x'; LARGE])]
}

#[test]
fn what_is_sent_is_what_is_there_in_this_turn() {
    type Change = fn(&Path);
    let changes: [(&str, Change, Option<&str>); 9] = [
        ("replaced", |path| replace(path, "after!"), Some("after!")),
        ("written over", |path| fs::write(path, "after!").unwrap(), Some("after!")),
        ("grown", |path| write!(File::options().append(true).open(path).unwrap(), "!").unwrap(), None),
        ("cut short", |path| File::options().write(true).open(path).unwrap().set_len(3).unwrap(), None),
        ("touched", |path| File::open(path).unwrap().set_modified(SystemTime::now()).unwrap(), None),
        ("made unreadable", |path| fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap(), None),
        ("removed", |path| fs::remove_file(path).unwrap(), Some("")),
        ("a folder now", |path| fs::remove_file(path).and_then(|()| fs::create_dir(path)).unwrap(), Some("")),
        ("renamed", |path| fs::rename(path, path.with_extension("away")).unwrap(), Some("")),
    ];
    for resolver in RESOLVERS {
        for (name, content) in contents() {
            for (change, act, want) in &changes {
                let mut site = Site::new(resolver, 1 << 20, &[(name, &content)]);
                let target = format!("/{name}");
                let (before, again) = (site.ask(&target, ""), site.ask(&target, ""));
                assert_eq!((before.status, &before.body), (200, &content));
                assert_eq!((again.status, &again.body), (200, &content), "from what is kept");
                assert_eq!(site.cache.count(), 1, "{name} is kept");
                act(&site.path(name));
                let after = site.ask(&target, "");
                let on_disk = fs::read(site.path(name)).ok();
                match (want, on_disk) {
                    (Some(""), _) => assert!([301, 404].contains(&after.status), "{name} {change}: {}", after.status),
                    (Some(text), _) => assert_eq!(after.body, text.as_bytes(), "{name} {change} by {resolver:?}"),
                    // Some users read everything.
                    (None, None) => assert_eq!(after.status, 403, "{name} {change} by {resolver:?}"),
                    (None, Some(on_disk)) => assert_eq!(after.body, on_disk, "{name} {change} by {resolver:?}"),
                }
                if after.status == 200 {
                    assert_ne!(before.field("ETag"), after.field("ETag"), "{name} {change}");
                }
            }
        }
    }
}

fn replace(path: &Path, content: &str) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(new, path).unwrap();
}

#[test]
fn within_a_turn_it_is_compared_once() {
    let mut site = Site::new(Resolver::Openat2, 1 << 20, &[("a", b"before")]);
    assert_eq!(site.body("/a"), "before");
    assert_eq!(site.body("/a"), "before");
    replace(&site.path("a"), "after");
    assert_eq!(site.ask_in_this_turn("/a", "").body, b"before", "the turn has compared it");
    assert_eq!(site.body("/a"), "after");
}

/// The file is the same, and so are its times; but it is no more beneath the folder, or behind a link that is not followed.
#[test]
fn a_folder_that_moved_away_takes_its_files_with_it() {
    for (resolver, want) in [(Resolver::Openat2, 404), (Resolver::Walk, 404), (Resolver::Follow, 200)] {
        let mut site = Site::new(resolver, 1 << 20, &[("a/b/c", b"inside")]);
        for _ in 0..2 {
            assert_eq!(site.body("/a/b/c"), "inside");
        }
        assert_eq!(site.cache.count(), 1);
        let away = site.outer.path().join("away");
        fs::rename(site.path("a"), &away).unwrap();
        assert_eq!(site.ask("/a/b/c", "").status, 404);
        symlink(&away, site.path("a")).unwrap();
        assert_eq!(site.ask("/a/b/c", "").status, want, "{resolver:?}: a link that leads out");
        fs::remove_file(site.path("a")).unwrap();
        fs::rename(&away, site.path("a")).unwrap();
        assert_eq!(site.body("/a/b/c"), "inside", "it came back");
    }
}

#[test]
fn a_link_is_followed_anew_each_time() {
    let mut site = Site::new(Resolver::Openat2, 1 << 20, &[("one", b"one"), ("two", b"two")]);
    symlink("one", site.path("link")).unwrap();
    for _ in 0..2 {
        assert_eq!(site.body("/link"), "one");
    }
    fs::remove_file(site.path("link")).unwrap();
    symlink("two", site.path("link")).unwrap();
    assert_eq!(site.body("/link"), "two");
    fs::write(site.outer.path().join("secret"), "secret").unwrap();
    fs::remove_file(site.path("link")).unwrap();
    symlink("../secret", site.path("link")).unwrap();
    assert_eq!(site.ask("/link", "").status, 404);
}

#[test]
fn a_file_that_may_still_change_unseen_is_not_kept() {
    let mut site = Site::new(Resolver::Openat2, 1 << 20, &[("a", b"before")]);
    site.turn = SystemTime::now();
    fs::write(site.path("a"), "before").unwrap();
    let tag = site.ask_in_this_turn("/a", "").field("ETag").unwrap().to_string();
    assert!(tag.starts_with("W/"), "{tag}");
    assert_eq!(site.cache.count(), 0);
    site.body("/a");
    assert_eq!(site.cache.count(), 1, "later it is");
}

#[test]
fn an_index_is_kept_for_its_folder() {
    for resolver in RESOLVERS {
        let mut site = Site::new(resolver, 1 << 20, &[("index.html", b"top"), ("a/index.html", b"of a")]);
        for _ in 0..2 {
            assert_eq!((site.body("/"), site.body("/a/")), ("top".into(), "of a".into()));
        }
        assert_eq!(site.cache.count(), 2);
        assert_eq!(site.ask("/a", "").status, 301, "the slash is asked for as ever");
        fs::remove_file(site.path("a/index.html")).unwrap();
        assert!(site.body("/a/").starts_with("<!DOCTYPE html>"), "a listing");
    }
}

#[test]
fn forms_are_kept_each_for_who_takes_it() {
    let all = "Accept-Encoding: gzip, br\r\n";
    for resolver in RESOLVERS {
        let mut site = Site::new(resolver, 1 << 20, &[("x.css", b"plain"), ("x.css.gz", b"in gzip")]);
        for _ in 0..2 {
            assert_eq!(site.ask("/x.css", all).body, b"in gzip");
            assert_eq!(site.ask("/x.css", "").body, b"plain");
            assert_eq!(site.ask("/x.css", "Accept-Encoding: identity;q=0\r\n").status, 406);
        }
        // A form that appears is noticed within a second; the file itself at once.
        fs::write(site.path("x.css.br"), "in brotli").unwrap();
        assert_eq!(site.ask("/x.css", all).body, b"in gzip");
        site.turn += Duration::from_secs(1);
        assert_eq!(site.ask("/x.css", all).body, b"in brotli");
        fs::remove_file(site.path("x.css.br")).unwrap();
        assert_eq!(site.ask("/x.css", all).body, b"in gzip", "what is gone is not sent");
        replace(&site.path("x.css"), "changed");
        let answer = site.ask("/x.css", all);
        assert_eq!((answer.field("Content-Encoding"), answer.body.as_slice()), (None, &b"changed"[..]), "it is older");
    }
}

#[test]
fn conditions_and_ranges_are_of_what_is_kept() {
    for (name, content) in contents() {
        let mut site = Site::new(Resolver::Openat2, 1 << 20, &[(name, &content)]);
        let target = format!("/{name}");
        let tag = site.ask(&target, "").field("ETag").unwrap().to_string();
        for _ in 0..2 {
            let answer = site.ask(&target, &format!("If-None-Match: {tag}\r\n"));
            assert_eq!((answer.status, answer.field("ETag")), (304, Some(tag.as_str())));
            assert_eq!((answer.field("Content-Type"), answer.field("Cache-Control")), (None, Some("no-cache")));
            assert_eq!(site.ask(&target, "If-Match: \"x\"\r\n").status, 412);
            let part = site.ask(&target, "Range: bytes=1-3\r\n");
            assert_eq!((part.status, part.body.as_slice()), (206, &content[1..4]));
            let parts = site.ask(&target, "Range: bytes=0-0,2-2\r\n");
            assert!(parts.field("Content-Type").unwrap().starts_with("multipart/byteranges"), "{name}");
        }
    }
}

#[test]
fn what_is_kept_is_bounded() {
    let files: Vec<(String, Vec<u8>)> = (0..40).map(|at| (format!("f{at}"), vec![b'x'; 10_000])).collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, content)| (name.as_str(), content.as_slice())).collect();
    let bound = 100_000;
    let mut site = Site::new(Resolver::Openat2, bound, &files);
    for (name, _) in &files {
        site.ask(&format!("/{name}"), "");
        assert!(site.cache.bytes() <= bound, "{} bytes", site.cache.bytes());
    }
    let count = site.cache.count();
    assert!((7..=9).contains(&count), "{count} of 10,000 bytes each");
    // One that is larger than all that may be kept is sent all the same.
    let mut site = Site::new(Resolver::Openat2, 5_000, &files);
    assert_eq!((site.body("/f0").len(), site.cache.count(), site.cache.bytes()), (10_000, 0, 0));
    // Paths are bounded too, whatever a client makes up: these all name one file.
    let mut site = Site::new(Resolver::Openat2, 50_000, &[("a", b"a")]);
    for at in 0..500 {
        site.body(&format!("/{}a", "./".repeat(at)));
        assert!(site.cache.bytes() <= 50_000);
    }
    assert!(site.cache.count() <= 97, "{}", site.cache.count());
    // And a path that is longer than any is kept for costs no memory.
    for (path_bytes, count) in [(1024, 1), (1025, 0)] {
        let mut site = Site::new(Resolver::Openat2, 50_000, &[("a", b"a")]);
        let target = format!("/{}a", "/".repeat(path_bytes - 2));
        assert_eq!((site.body(&target).as_str(), site.cache.count()), ("a", count), "{path_bytes} bytes");
    }
}

#[test]
fn nothing_is_kept_where_nothing_may_be() {
    let mut site = Site::new(Resolver::Openat2, 0, &[("a", b"a"), ("large", &vec![b'x'; LARGE])]);
    site.body("/a");
    site.body("/large");
    assert_eq!((site.cache.count(), site.cache.bytes(), site.cache.descriptors()), (0, 0, 0));
}

#[test]
fn descriptors_are_bounded() {
    let files: Vec<String> = (0..200).map(|at| format!("f{at}")).collect();
    let content = vec![b'x'; LARGE];
    let named: Vec<(&str, &[u8])> = files.iter().map(|name| (name.as_str(), content.as_slice())).collect();
    let mut site = Site::new(Resolver::Openat2, 1 << 20, &named);
    for name in &files {
        site.ask(&format!("/{name}"), "");
        assert!(site.cache.descriptors() <= 128);
    }
    assert_eq!((site.cache.descriptors(), site.cache.count()), (128, 128));
}

fn what_is_kept_follows_the_file_system(strategy: Strategy) {
    let folder = TempDir::new().unwrap();
    for (name, content) in contents() {
        let path = folder.path().join(name);
        fs::write(&path, &content).unwrap();
        let files = Files::new(folder.path(), Options::default()).unwrap();
        let cache = files.cache().clone();
        let serving = Serving::new(strategy, Arc::new(files), Limits::default());
        let mut client = Client::new(serving.address);
        let request = format!("GET /{name} HTTP/1.1\r\nHost: h\r\n\r\n");
        let mut ask = || {
            client.send(&request);
            client.answer(false)
        };
        while cache.count() == 0 {
            assert_eq!(ask().body, content); // Until it is old enough to be kept.
        }
        for _ in 0..10 {
            assert_eq!(ask().body, content);
        }
        write!(File::options().append(true).open(&path).unwrap(), "!").unwrap();
        assert_eq!(ask().body, [&content[..], b"!"].concat(), "grown");
        File::options().write(true).open(&path).unwrap().set_len(3).unwrap();
        assert_eq!(ask().body, content[..3], "cut short");
        replace(&path, "after");
        assert_eq!(ask().body, b"after");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        let status = if File::open(&path).is_ok() { 200 } else { 403 };
        assert_eq!(ask().status, status, "made unreadable");
        fs::remove_file(&path).unwrap();
        assert_eq!(ask().status, 404);
        assert_eq!(cache.count(), 0);
        assert_eq!(client.rest(true), b"");
    }
}

/// Of a picture no coded form is looked for, and of a text once a second: what is kept is not opened again for it.
#[test]
fn what_has_no_coded_forms_is_opened_once() {
    let mut site = Site::new(Resolver::Openat2, 1 << 20, &[("a.png", b"picture"), ("a.txt", b"text")]);
    for (target, is_looked_for) in [("/a.png", false), ("/a.txt", true)] {
        site.ask(target, "Accept-Encoding: gzip, br\r\n");
        let before = sys::file_calls().open;
        site.ask(target, "Accept-Encoding: gzip, br\r\n");
        assert_eq!(sys::file_calls().open, before, "{target}: it is kept");
        for _ in 0..3 {
            site.turn += 2 * BELIEVED;
            site.ask(target, "Accept-Encoding: gzip, br\r\n");
        }
        assert_eq!(sys::file_calls().open > before, is_looked_for, "{target}");
    }
}
