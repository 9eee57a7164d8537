//! A folder over HTTP: what is in it is served as it is now, what is not never is, by openat2 and by the walk that
//! stands in for it.

mod backends;
mod client;
mod serving;
mod wire;

use backends::{on_every_backend, on_every_threaded_model};
use client::{Answer, Client, read_answer};
use proptest::prelude::*;
use proptest::strategy::Strategy as Generator;
use serving::{Serving, Way};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tripoll::files::{DotNames, Files, Options, Resolver, Root};
use tripoll::http::{Limits, Listener, format_date};
use wire::Wire;

on_every_backend! {
    files_of_every_size_arrive_byte_for_byte,
    a_file_past_four_gib_is_served_near_its_end,
    a_file_cut_short_in_mid_download_is_a_short_body_and_a_close,
}

on_every_threaded_model! {
    files_of_every_size_arrive_byte_for_byte,
    a_file_past_four_gib_is_served_near_its_end,
    a_file_cut_short_in_mid_download_is_a_short_body_and_a_close,
}

/// What lies beside the folder and must never leave.
const SECRET: &str = "the-secret-beside-the-folder";

const RESOLVERS: [Resolver; 2] = [Resolver::Openat2, Resolver::Walk];

/// A folder in a folder: the inner one is served, the outer one has the secret.
struct Site {
    outer: TempDir,
    resolver: Resolver,
}

impl Site {
    fn new(resolver: Resolver) -> Site {
        let site = Site { outer: TempDir::new().unwrap(), resolver };
        fs::create_dir(site.folder()).unwrap();
        fs::write(site.outer.path().join("secret.txt"), SECRET).unwrap();
        site
    }

    fn folder(&self) -> PathBuf {
        self.outer.path().join("site")
    }

    fn path(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.folder().join(name.as_ref())
    }

    /// Writes a file and the folders above it.
    fn write(&self, name: impl AsRef<OsStr>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Without listings: a folder is its index or nothing.
    fn files(&self) -> Files {
        self.files_with(Options { lists: false, ..Options::default() })
    }

    fn files_with(&self, options: Options) -> Files {
        Files::beneath(Root::open(&self.folder()).unwrap().with_resolver(self.resolver), options)
    }

    /// With listings.
    #[track_caller]
    fn list(&self, target: &str, fields: &str) -> Answer {
        ask(self.files_with(Options::default()), "GET", target, fields, SystemTime::now())
    }

    #[track_caller]
    fn ask(&self, method: &str, target: &str, fields: &str) -> Answer {
        ask(self.files(), method, target, fields, SystemTime::now())
    }

    #[track_caller]
    fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, "")
    }
}

/// A second later nothing is fresh: tags are strong.
const AGE: Duration = Duration::from_secs(1);

/// Asks on a connection that was opened at `wall`, and is [`AGE`] old; and once more a moment later, when the file is kept.
#[track_caller]
fn ask(files: Files, method: &str, target: &str, fields: &str, wall: SystemTime) -> Answer {
    let listener = Listener::new(Arc::new(files), Limits::default());
    let first = ask_at(&listener, method, target, fields, wall);
    let second = ask_at(&listener, method, target, fields, wall + Duration::from_nanos(1));
    let known = |answer: &Answer| (answer.status, answer.fields().to_vec(), answer.body.clone());
    assert_eq!(known(&first), known(&second), "{method} {target} {fields:?}: what is kept is the same");
    first
}

#[track_caller]
fn ask_at(listener: &Listener, method: &str, target: &str, fields: &str, wall: SystemTime) -> Answer {
    let request = format!("{method} {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
    let mut wire = Wire::new(listener, wall);
    wire.wait(AGE);
    wire.feed(request.as_bytes());
    wire.end_of_input();
    assert!(!wire.is_open(), "{target}: all is said");
    let (answer, length) = read_answer(&wire.sent, method == "HEAD").unwrap().expect("an answer");
    assert_eq!(length, wire.sent.len(), "{target}: one answer");
    answer
}

/// Says why a test shows less here; cargo's harness would swallow what is printed.
fn skipped(what: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {what}");
}

/// Bytes that are nowhere the same for long.
fn pattern(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(length)
    .collect()
}

#[test]
fn a_file_is_served_with_all_that_is_known_of_it() {
    for resolver in RESOLVERS {
        let site = Site::new(resolver);
        let path = site.write("a/b.txt", "content");
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        let get = site.get("/a/b.txt");
        assert_eq!((get.status, get.body.as_slice()), (200, &b"content"[..]));
        assert_eq!(get.field("Content-Type"), Some("text/plain; charset=utf-8"));
        assert_eq!(get.field("Content-Length"), Some("7"));
        assert_eq!(get.field("Last-Modified"), Some(format_date(modified).as_str()));
        assert_eq!(get.field("Accept-Ranges"), Some("bytes"));
        let tag = get.field("ETag").unwrap();
        assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 10, "{tag}");
        let head = site.ask("HEAD", "/a/b.txt", "");
        assert_eq!(head.status, 200);
        for name in ["Content-Type", "Content-Length", "Last-Modified", "ETag", "Accept-Ranges"] {
            assert_eq!(head.field(name), get.field(name), "{name}");
        }
    }
}

#[test]
fn media_types_come_with_their_charset() {
    let site = Site::new(Resolver::Openat2);
    for (name, want) in [
        ("x.html", "text/html; charset=utf-8"),
        ("x.css", "text/css; charset=utf-8"),
        ("x.mjs", "text/javascript; charset=utf-8"),
        ("x.PNG", "image/png"),
        ("x.json", "application/json"),
        ("x.tar.gz", "application/gzip"),
        ("x", "application/octet-stream"),
    ] {
        site.write(name, "");
        assert_eq!(site.get(&format!("/{name}")).field("Content-Type"), Some(want), "{name}");
    }
}

#[test]
fn a_folder_is_its_index_behind_a_slash() {
    for resolver in RESOLVERS {
        let site = Site::new(resolver);
        site.write("index.html", "top");
        site.write("sub/index.html", "sub");
        site.write("sub/x.txt", "x");
        site.write("bare/x.txt", "x");
        site.write("a dir/index.html", "");
        site.write("evil.example/index.html", "not evil");
        site.write("\\evil/index.html", "");
        site.write("index-is-folder/index.html/x", "");
        let check = |target: &str, status: u16, location: Option<&str>, body: Option<&str>| {
            let answer = site.get(target);
            let got = (answer.status, answer.field("Location"));
            assert_eq!(got, (status, location), "{target} by {resolver:?}");
            body.inspect(|body| assert_eq!(String::from_utf8_lossy(&answer.body), **body, "{target} by {resolver:?}"));
        };
        let is = |target: &str, body: &str| check(target, 200, None, Some(body));
        let redirects = |target: &str, location: &str| check(target, 301, Some(location), None);
        is("/", "top");
        is("//", "top");
        is("/?x", "top");
        is("/sub/", "sub");
        is("/sub/.", "sub");
        is("/sub/index.html", "sub");
        is("/sub/../sub/", "sub");
        is("//evil.example/", "not evil");
        is("//evil.example/..", "top");
        is("//elsewhere/..", "top");
        assert_eq!(site.get("/sub/").field("Content-Type"), Some("text/html; charset=utf-8"));
        redirects("/sub", "/sub/");
        redirects("/sub?", "/sub/?");
        redirects("/sub?a=b&c=//d", "/sub/?a=b&c=//d");
        redirects("/./sub", "/sub/");
        redirects("//sub", "/sub/");
        redirects("///sub", "/sub/");
        redirects("//evil.example", "/evil.example/");
        redirects("//evil.example/../sub", "/sub/");
        redirects("/%2e//evil.example", "/evil.example/");
        redirects("/a%20dir", "/a%20dir/");
        redirects("/%5Cevil", "/%5Cevil/");
        redirects("/\\evil", "/%5Cevil/");
        redirects("http://evil.example/sub?q", "/sub/?q");
        check("/sub/x.txt/", 404, None, None);
        check("/sub/x.txt/y", 404, None, None);
        check("/sub/x.txt/..", 200, None, Some("sub")); // As RFC 3986 resolves it, without looking.
        check("/bare/", 403, None, None);
        check("/bare", 301, Some("/bare/"), None);
        check("/index-is-folder/", 403, None, None);
        check("/nothing/", 404, None, None);
        check("/nothing", 404, None, None);
    }
}

#[test]
fn a_name_may_have_any_byte() {
    for resolver in RESOLVERS {
        let site = Site::new(resolver);
        let long = "n".repeat(255);
        let names: &[(&[u8], &str)] = &[
            (b"a b.txt", "/a%20b.txt"),
            (b"plus+.txt", "/plus+.txt"),
            ("\u{e4}.txt".as_bytes(), "/%C3%A4.txt"),
            ("\u{1f4a1}".as_bytes(), "/%f0%9F%92%a1"),
            (b"\xff\xfe.bin", "/%FF%FE.bin"),
            (b"100%.txt", "/100%25.txt"),
            (b"%41.txt", "/%2541.txt"),
            (b"A.txt", "/%41.txt"),
            (b"%2e%2e", "/%252e%252e"),
            (b"back\\slash", "/back%5Cslash"),
            (b"q?.txt", "/q%3F.txt"),
            (b"h#.txt", "/h%23.txt"),
            (b"new\nline", "/new%0Aline"),
            (b"tab\t\x01\x7f", "/tab%09%01%7F"),
            (b"<\">&'", "/%3C%22%3E&'"),
            (b"semi;a=b,c", "/semi;a=b,c"),
            (b"c:", "/c:"),
            (b"trailing.", "/trailing."),
            (b"trailing ", "/trailing%20"),
            (b"~", "/~"),
            (b"-", "/-"),
            (b"*", "/*"),
            (long.as_bytes(), &format!("/{long}")),
        ];
        for (name, target) in names {
            site.write(OsStr::from_bytes(name), name);
            let answer = site.get(target);
            let got = (answer.status, answer.body.escape_ascii().to_string());
            assert_eq!(got, (200, name.escape_ascii().to_string()), "{target} by {resolver:?}");
        }
        assert_eq!(site.get("/back\\slash").status, 200, "as some browsers write it");
        assert_eq!(site.get("/%252541.txt").status, 404, "decoded once");
    }
}

#[test]
fn what_no_path_can_be_is_refused() {
    let site = Site::new(Resolver::Openat2);
    site.write("a.txt", "a");
    site.write("a%.txt", "a");
    site.write("a%zz.txt", "a");
    for target in [
        "/%",
        "/a%.txt",
        "/a%2",
        "/a%zz.txt",
        "/%g1",
        "/%1g",
        "/a.txt%00",
        "/%00",
        "/a.txt%00.html",
        "/..",
        "/%2e%2e/a.txt",
    ] {
        let answer = site.get(target);
        assert_eq!((answer.status, answer.field("Connection")), (400, Some("close")), "{target}");
    }
}

/// Whatever is tried, the secret stays where it is. The statuses: by openat2, and by the walk, which follows no link.
#[test]
fn nothing_gets_out() {
    let encoded_deep = "/%2e%2e".repeat(40) + "/secret.txt";
    let deep = "/a".repeat(40) + &"/..".repeat(41) + "/secret.txt";
    let cases: &[(&str, u16, u16)] = &[
        ("/../secret.txt", 400, 400),
        ("/..", 400, 400),
        ("/sub/../../secret.txt", 400, 400),
        ("/sub/../..", 400, 400),
        ("//../secret.txt", 400, 400),
        ("/./../secret.txt", 400, 400),
        ("/%2e%2e/secret.txt", 400, 400),
        ("/%2E%2E/secret.txt", 400, 400),
        ("/.%2e/secret.txt", 400, 400),
        ("/%2E./secret.txt", 400, 400),
        ("/sub/%2e%2E/%2E%2e/secret.txt", 400, 400),
        (&encoded_deep, 400, 400),
        (&deep, 400, 400),
        ("/%252e%252e/secret.txt", 404, 404),
        ("/%25252e%25252e/secret.txt", 404, 404),
        ("/..%2fsecret.txt", 404, 404),
        ("/..%2Fsecret.txt", 404, 404),
        ("/%2e%2e%2fsecret.txt", 404, 404),
        ("/sub%2f..%2f..%2fsecret.txt", 404, 404),
        ("/sub/%2fsecret.txt", 404, 404),
        ("/sub%2fa.txt", 404, 404),
        ("/sub%2Fa.txt", 404, 404),
        ("/sub%2f.hidden", 404, 404),
        ("/sub/..%2fsub/a.txt", 404, 404),
        ("/%2fetc/passwd", 404, 404),
        ("/..\\secret.txt", 404, 404),
        ("/..%5csecret.txt", 404, 404),
        ("/..%5Csecret.txt", 404, 404),
        ("/sub\\..\\..\\secret.txt", 404, 404),
        ("/\\..\\secret.txt", 404, 404),
        ("/..%c0%afsecret.txt", 404, 404),
        ("/%c0%ae%c0%ae/secret.txt", 404, 404),
        ("/%e0%80%ae%e0%80%ae/secret.txt", 404, 404),
        ("/%u002e%u002e/secret.txt", 400, 400),
        ("/..;/secret.txt", 404, 404),
        ("/.../secret.txt", 404, 404),
        ("/....//secret.txt", 404, 404),
        ("/..%00/secret.txt", 404, 404),
        ("/%00../secret.txt", 400, 400),
        ("/../secret.txt%00.html", 400, 400),
        ("/absolute", 404, 404),
        ("/absolute-folder/secret.txt", 404, 404),
        ("/absolute-folder/", 404, 404),
        ("/absolute-folder", 404, 404),
        ("/absolute-to-inside", 404, 404),
        ("/relative", 404, 404),
        ("/relative-folder/secret.txt", 404, 404),
        ("/sub/relative", 404, 404),
        ("/sub/up", 404, 404),
        ("/loop", 404, 404),
        ("/loop/x", 404, 404),
        ("/dangling", 404, 404),
        ("/index-out/", 403, 403),
        ("/self-root/etc/passwd", 404, 404),
        ("/self-cwd/Cargo.toml", 404, 404),
        ("/inside", 200, 404),
        ("/inside-folder/a.txt", 200, 404),
        ("/sub/inside-above", 200, 404),
        ("/inside-folder", 301, 404),
        ("/inside-folder/../a.txt", 404, 404),
        ("/.hidden", 404, 404),
        ("/%2ehidden", 404, 404),
        ("/.hidden-folder/a.txt", 404, 404),
        ("/sub/.hidden", 404, 404),
        ("/.well-known/a.txt", 200, 200),
        ("/.well-known/.hidden", 404, 404),
        ("/.well-known", 301, 301),
        ("/.well-knownx", 404, 404),
    ];
    for resolver in RESOLVERS {
        let site = Site::new(resolver);
        let secret = site.outer.path().join("secret.txt");
        for name in [
            "sub/a.txt",
            ".hidden",
            ".hidden-folder/a.txt",
            "sub/.hidden",
            ".well-known/a.txt",
            ".well-known/.hidden",
            ".well-knownx",
        ] {
            site.write(name, "inside");
        }
        site.write("index-out/x", "");
        let links: &[(&str, &Path)] = &[
            ("absolute", &secret),
            ("absolute-folder", site.outer.path()),
            ("absolute-to-inside", &site.path("sub/a.txt")),
            ("relative", Path::new("../secret.txt")),
            ("relative-folder", Path::new("..")),
            ("sub/relative", Path::new("../../secret.txt")),
            ("sub/up", Path::new("../../site/../secret.txt")),
            ("index-out/index.html", &secret),
            ("loop", Path::new("loop")),
            ("dangling", Path::new("nothing")),
            ("self-root", Path::new("/proc/self/root")),
            ("self-cwd", Path::new("/proc/self/cwd")),
            ("inside", Path::new("sub/a.txt")),
            ("inside-folder", Path::new("sub")),
            ("sub/inside-above", Path::new("../sub/a.txt")),
        ];
        links.iter().for_each(|(name, to)| symlink(to, site.path(name)).unwrap());
        for (target, by_openat2, by_walk) in cases {
            let answer = site.get(target);
            let want = if resolver == Resolver::Openat2 { by_openat2 } else { by_walk };
            let body = String::from_utf8_lossy(&answer.body);
            assert_eq!(answer.status, *want, "{target} by {resolver:?}: {body}");
            assert!(!body.contains(SECRET), "{target} by {resolver:?}");
            assert_eq!(answer.status == 200, body == "inside", "{target} by {resolver:?}");
        }
    }
}

#[test]
fn magic_links_are_no_way_out() {
    for resolver in RESOLVERS {
        for target in
            ["/root/etc/passwd", "/cwd/Cargo.toml", "/exe", "/fd/0", "/fd/1", "/root/", "/ns/net", "/map_files/"]
        {
            let root = Root::open(Path::new("/proc/self")).unwrap().with_resolver(resolver);
            let files = Files::beneath(root, Options { lists: false, ..Options::default() });
            let answer = ask(files, "GET", target, "", SystemTime::now());
            assert!(matches!(answer.status, 403 | 404), "{target} by {resolver:?}: {}", answer.status);
        }
    }
}

#[test]
fn the_walk_itself_does_not_go_up() {
    let site = Site::new(Resolver::Walk);
    site.write("sub/a.txt", "");
    for resolver in RESOLVERS {
        let root = Root::open(&site.folder()).unwrap().with_resolver(resolver);
        assert_eq!(root.resolver(), resolver);
        for path in [c"..", c"../secret.txt", c"sub/../../secret.txt"] {
            assert!(root.open_beneath(path).is_err(), "{path:?} by {resolver:?}");
        }
        assert!(root.open_beneath(c"sub/a.txt").is_ok());
        assert!(root.open_beneath(c".").is_ok());
    }
    assert!(Root::open(&site.path("nothing")).is_err());
    assert!(Root::open(&site.path("sub/a.txt")).is_err(), "a file is no folder");
}

#[test]
fn names_too_long_are_not_there() {
    for resolver in RESOLVERS {
        let site = Site::new(resolver);
        site.write("a.txt", "a");
        assert_eq!(site.get(&format!("/{}", "n".repeat(256))).status, 404);
        assert_eq!(site.get(&format!("/{}", "n".repeat(5_000))).status, 404);
        assert_eq!(site.get(&"/a".repeat(2_000)).status, 404);
        assert_eq!(site.get(&"/a".repeat(2_100)).status, 404, "more than a path can have");
        assert_eq!(site.get(&("/a/..".repeat(1_000) + "/a.txt")).status, 200);
        assert_eq!(site.get(&("/".repeat(5_000) + "a.txt")).status, 200);
    }
}

/// Each in a thread of its own, so that who waits fails and does not hang.
#[test]
fn what_is_no_file_is_refused_without_waiting() {
    for resolver in RESOLVERS {
        let site = Site::new(resolver);
        let _socket = UnixListener::bind(site.path("socket")).unwrap();
        symlink("/dev/zero", site.path("link-to-device")).unwrap();
        fs::create_dir(site.path("with-fifo")).unwrap();
        let made = |program: &str, arguments: &[&str], name: &str| {
            let done = Command::new(program).arg(site.path(name)).args(arguments).output();
            let is_made = done.is_ok_and(|output| output.status.success());
            if !is_made {
                skipped(&format!("{name}: {program} does not make one here"));
            }
            is_made
        };
        let mut targets = vec![("/socket", 404), ("/link-to-device", 404)];
        if made("mkfifo", &[], "fifo") && made("mkfifo", &[], "with-fifo/index.html") {
            targets.extend([("/fifo", 404), ("/with-fifo/", 403), ("/fifo/", 404), ("/fifo/x", 404)]);
        }
        if made("mknod", &["c", "1", "5"], "zero") {
            targets.push(("/zero", 404));
        }
        for (target, want) in targets {
            for method in ["GET", "HEAD"] {
                let (tell, told) = mpsc::channel();
                let files = site.files();
                std::thread::spawn(move || tell.send(ask(files, method, target, "", SystemTime::now()).status));
                let status = told.recv_timeout(Duration::from_secs(30));
                assert_eq!(status, Ok(want), "{method} {target} by {resolver:?}");
            }
        }
    }
}

#[test]
fn a_file_that_may_not_be_read_is_forbidden() {
    let site = Site::new(Resolver::Openat2);
    let path = site.write("a.txt", "a");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if File::open(&path).is_ok() {
        return skipped("403 of an unreadable file: this user reads everything");
    }
    assert_eq!(site.get("/a.txt").status, 403);
    assert_eq!(site.ask("HEAD", "/a.txt", "").status, 403);
    // A folder that can't be read is not listed, and one that can't be entered hides what is in it.
    site.write("unreadable/b.txt", "b");
    fs::set_permissions(site.path("unreadable"), fs::Permissions::from_mode(0o111)).unwrap();
    assert_eq!((site.list("/unreadable/", "").status, site.get("/unreadable/b.txt").status), (403, 200));
    fs::set_permissions(site.path("unreadable"), fs::Permissions::from_mode(0o000)).unwrap();
    assert_eq!((site.list("/unreadable/", "").status, site.get("/unreadable/b.txt").status), (403, 403));
    assert_eq!(site.list("/", "").status, 200, "the others are");
    fs::set_permissions(site.path("unreadable"), fs::Permissions::from_mode(0o755)).unwrap();
    // One that is all there is to serve is an error at once.
    fs::set_permissions(site.folder(), fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(Root::open(&site.folder()).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    fs::set_permissions(site.folder(), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn what_vanishes_after_it_was_listed_is_not_there() {
    let site = Site::new(Resolver::Openat2);
    let path = site.write("a.txt", "a");
    assert_eq!(listed(&site.list("/?json", "")).len(), 1);
    fs::remove_file(path).unwrap();
    assert_eq!(site.get("/a.txt").status, 404);
    assert_eq!(listed(&site.list("/?json", "")).len(), 0);
}

#[test]
fn only_get_head_and_options_are_allowed() {
    let site = Site::new(Resolver::Openat2);
    site.write("a.txt", "a");
    for method in ["POST", "PUT", "PATCH", "DELETE", "TRACE", "MKCOL", "MOVE"] {
        for target in ["/a.txt", "/nothing"] {
            let answer = site.ask(method, target, "");
            assert_eq!((answer.status, answer.field("Allow")), (405, Some("GET, HEAD, OPTIONS")), "{method} {target}");
        }
    }
    assert_eq!(site.ask("PUT", "/a.txt", "Content-Length: 0\r\n").status, 405);
    for target in ["/a.txt", "/nothing", "*"] {
        let answer = site.ask("OPTIONS", target, "");
        assert_eq!((answer.status, answer.field("Allow")), (204, Some("GET, HEAD, OPTIONS")), "{target}");
    }
}

#[test]
fn a_client_that_has_it_already_is_told_so() {
    for resolver in RESOLVERS {
        let site = Site::new(resolver);
        let path = site.write("a.txt", "content");
        let modified = SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_000_000_500);
        File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        let first = site.get("/a.txt");
        let (tag, date) = (first.field("ETag").unwrap(), first.field("Last-Modified").unwrap());
        assert_eq!(date, "Sun, 09 Sep 2001 01:46:40 GMT");
        let future = format_date(SystemTime::now() + Duration::from_secs(7200));
        let since = |date: &str| format!("If-Modified-Since: {date}\r\n");
        let none_match = |tags: &str| format!("If-None-Match: {tags}\r\n");
        let cases = [
            (none_match(tag), 304),
            (none_match(&format!("W/{tag}")), 304),
            (none_match(&format!("\"x\", {tag}")), 304),
            (none_match(&format!("\"x\",W/{tag} , \"y\"")), 304),
            (none_match("\"x\"") + &none_match(tag), 304),
            (none_match("*"), 304),
            (none_match("\"x\""), 200),
            (none_match("W/\"x\", \"y\""), 200),
            (none_match(tag.trim_matches('"')), 200),
            (none_match(""), 200),
            (since(date), 304),
            (since("Sunday, 09-Sep-01 01:46:40 GMT"), 304),
            (since("Sun Sep  9 01:46:40 2001"), 304),
            (since("Sun, 09 Sep 2001 01:46:41 GMT"), 304),
            (since("Sun, 09 Sep 2001 01:46:39 GMT"), 200),
            (since(&future), 200),
            (since("yesterday"), 200),
            (since(""), 200),
            // The tag goes before the date, and both before a range.
            (none_match("\"x\"") + &since(date), 200),
            (none_match(tag) + &since("Sun, 09 Sep 2001 01:46:39 GMT"), 304),
            (none_match(tag) + "Range: bytes=0-1\r\n", 304),
            (since(date) + "Range: bytes=900-\r\n", 304),
            (none_match("\"x\"") + "Range: bytes=0-1\r\n", 206),
        ];
        for (fields, want) in &cases {
            for method in ["GET", "HEAD"] {
                let answer = site.ask(method, "/a.txt", fields);
                let want = if method == "HEAD" && *want == 206 { 200 } else { *want };
                assert_eq!(answer.status, want, "{method} {fields:?}");
                let told = (want == 200 || want == 206).then_some(date);
                let got = (answer.field("ETag"), answer.field("Last-Modified"));
                assert_eq!(got, (Some(tag), told), "{fields:?}");
                assert!(want != 304 || answer.body.is_empty());
            }
        }
    }
}

#[test]
fn a_tag_stands_for_one_content() {
    let site = Site::new(Resolver::Openat2);
    let path = site.write("a.txt", "one");
    let before = fs::metadata(&path).unwrap();
    let tag = |site: &Site| site.get("/a.txt").field("ETag").unwrap().to_string();
    let first = tag(&site);
    assert_eq!(tag(&site), first);
    // Another content of the same length in the same file, its time set back: only ctime tells.
    loop {
        fs::write(&path, "two").unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(before.modified().unwrap()).unwrap();
        let after = fs::metadata(&path).unwrap();
        assert_eq!((after.ino(), after.modified().unwrap()), (before.ino(), before.modified().unwrap()));
        if (after.ctime(), after.ctime_nsec()) != (before.ctime(), before.ctime_nsec()) {
            break;
        }
    }
    let second = tag(&site);
    assert_ne!(second, first);
    assert_eq!(site.ask("GET", "/a.txt", &format!("If-None-Match: {first}\r\n")).status, 200);
    // Just changed, it may change again unseen: the tag is weak, so it joins no ranges.
    let changed = fs::metadata(&path).unwrap();
    let changed = SystemTime::UNIX_EPOCH + Duration::new(changed.ctime() as u64, changed.ctime_nsec() as u32);
    let fresh = |fields: &str| ask(site.files(), "GET", "/a.txt", fields, changed - AGE);
    assert_eq!(fresh("").field("ETag"), Some(format!("W/{second}").as_str()));
    assert_eq!(fresh(&format!("If-None-Match: {second}\r\n")).status, 304);
    assert_eq!(fresh(&format!("Range: bytes=0-0\r\nIf-Range: {second}\r\n")).status, 200);
    assert_eq!(fresh(&format!("Range: bytes=0-0\r\nIf-Range: W/{second}\r\n")).status, 200);
    assert_eq!(fresh("Range: bytes=0-0\r\n").status, 206);
}

#[test]
fn last_modified_is_never_in_the_future() {
    let site = Site::new(Resolver::Openat2);
    let path = site.write("a.txt", "a");
    let future = SystemTime::now() + Duration::from_secs(1_000_000);
    File::options().write(true).open(&path).unwrap().set_modified(future).unwrap();
    let answer = site.get("/a.txt");
    assert_eq!(answer.field("Last-Modified"), answer.field("Date"));
}

#[test]
fn a_range_is_exactly_what_was_asked_for() {
    let content: Vec<u8> = (0..100).collect();
    for resolver in RESOLVERS {
        let site = Site::new(resolver);
        site.write("a.bin", &content);
        let whole = || (200, None, 0..100);
        let part = |first: usize, last: usize| (206, Some(format!("bytes {first}-{last}/100")), first..last + 1);
        let outside = || (416, Some("bytes */100".to_string()), 0..0);
        let cases = [
            ("bytes=0-0", part(0, 0)),
            ("bytes=0-99", part(0, 99)),
            ("bytes=10-19", part(10, 19)),
            ("bytes=99-99", part(99, 99)),
            ("bytes=98-200", part(98, 99)),
            ("bytes=0-18446744073709551615", part(0, 99)),
            ("bytes=1-99999999999999999999999", part(1, 99)),
            ("bytes=50-", part(50, 99)),
            ("bytes=99-", part(99, 99)),
            ("bytes=-1", part(99, 99)),
            ("bytes=-100", part(0, 99)),
            ("bytes=-1000", part(0, 99)),
            ("Bytes=1-2", part(1, 2)),
            ("bytes=100-", outside()),
            ("bytes=100-200", outside()),
            ("bytes=18446744073709551615-", outside()),
            ("bytes=-0", outside()),
            ("bytes=2-1", whole()),
            ("bytes=-", whole()),
            ("bytes=", whole()),
            ("bytes", whole()),
            ("bytes=a-b", whole()),
            ("bytes=0-1,1-6", part(0, 6)),
            ("bytes=0x1-2", whole()),
            ("lines=0-1", whole()),
            ("", whole()),
        ];
        for (value, (status, content_range, range)) in cases {
            let answer = site.ask("GET", "/a.bin", &format!("Range: {value}\r\n"));
            let got = (answer.status, answer.field("Content-Range").map(str::to_string));
            assert_eq!(got, (status, content_range), "{value}");
            assert!(status == 416 || answer.body == content[range], "{value}: {:?}", answer.body);
            assert_eq!(site.ask("HEAD", "/a.bin", &format!("Range: {value}\r\n")).status, 200, "HEAD, {value}");
        }
        let tag = site.get("/a.bin").field("ETag").unwrap().to_string();
        for (value, want) in [(tag.as_str(), 206), (&format!("W/{tag}"), 200), ("\"x\"", 200), ("*", 200), ("", 200)] {
            let answer = site.ask("GET", "/a.bin", &format!("Range: bytes=0-0\r\nIf-Range: {value}\r\n"));
            assert_eq!(answer.status, want, "If-Range: {value}");
        }
        let answer = site.ask("GET", "/a.bin", "Range: bytes=900-\r\nIf-Range: \"x\"\r\n");
        assert_eq!((answer.status, answer.body.len()), (200, 100), "the range is of another file");
    }
}

#[test]
fn a_file_may_be_empty() {
    for resolver in RESOLVERS {
        let site = Site::new(resolver);
        site.write("empty.txt", "");
        for method in ["GET", "HEAD"] {
            let answer = site.ask(method, "/empty.txt", "");
            assert_eq!((answer.status, answer.field("Content-Length"), answer.body.len()), (200, Some("0"), 0));
        }
        // Of nothing the last bytes are nothing, and there is no Content-Range to say so.
        assert_eq!(site.ask("GET", "/empty.txt", "Range: bytes=-1\r\n").status, 200);
        for range in ["bytes=0-", "bytes=0-0", "bytes=-0"] {
            let answer = site.ask("GET", "/empty.txt", &format!("Range: {range}\r\n"));
            assert_eq!((answer.status, answer.field("Content-Range")), (416, Some("bytes */0")), "{range}");
        }
    }
}

#[test]
fn a_file_is_served_as_it_is_now() {
    for resolver in RESOLVERS {
        let site = Site::new(resolver);
        let path = site.write("a.txt", "first");
        let check = |status: u16, body: &str| {
            let answer = site.get("/a.txt");
            assert_eq!(answer.status, status, "{resolver:?}");
            assert!(status != 200 || answer.body == body.as_bytes(), "{resolver:?}: {}", answer.body.escape_ascii());
        };
        check(200, "first");
        site.write("b.txt", "renamed over it");
        fs::rename(site.path("b.txt"), &path).unwrap();
        check(200, "renamed over it");
        OpenOptions::new().write(true).open(&path).unwrap().set_len(7).unwrap();
        check(200, "renamed");
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b" and grown").unwrap();
        check(200, "renamed and grown");
        fs::write(&path, "").unwrap();
        check(200, "");
        fs::remove_file(&path).unwrap();
        check(404, "");
        fs::create_dir(&path).unwrap();
        check(301, "");
        fs::remove_dir(&path).unwrap();
        site.write("a.txt", "again");
        check(200, "again");
    }
}

#[test]
fn the_folder_is_the_one_that_was_opened() {
    let site = Site::new(Resolver::Openat2);
    site.write("a.txt", "inside");
    let files = site.files();
    fs::rename(site.folder(), site.outer.path().join("moved")).unwrap();
    fs::create_dir(site.folder()).unwrap();
    assert_eq!(ask(files, "GET", "/a.txt", "", SystemTime::now()).body, b"inside");
}

fn files_of_every_size_arrive_byte_for_byte(way: Way) {
    let site = Site::new(Resolver::Openat2);
    let sizes = [0, 1, 16 << 10, 64 << 10, 1 << 20]
        .into_iter()
        .flat_map(|size: usize| [size.saturating_sub(1), size, size + 1]);
    let sizes: Vec<usize> = sizes.chain([3_000_001]).collect();
    let content = pattern(3_000_001);
    sizes.iter().for_each(|size| drop(site.write(size.to_string(), &content[..*size])));
    let serving = Serving::new(way, Arc::new(site.files()), Limits::default());
    let mut client = Client::new(serving.address);
    // All at once: answers wait for each other.
    client.send(sizes.iter().map(|size| format!("GET /{size} HTTP/1.1\r\nHost: h\r\n\r\n")).collect::<String>());
    for size in &sizes {
        let answer = client.answer(false);
        assert_eq!((answer.status, answer.body.len()), (200, *size));
        assert!(answer.body == content[..*size], "{size} bytes, and others");
    }
    for (first, last) in [(0, 16_383), (0, 16_384), (1, 16_384), (1, 16_385), (70_000, 170_000), (2_000_000, 3_000_000)]
    {
        client.send(format!("GET /3000001 HTTP/1.1\r\nHost: h\r\nRange: bytes={first}-{last}\r\n\r\n"));
        let answer = client.answer(false);
        assert_eq!((answer.status, answer.body.len()), (206, last + 1 - first));
        assert!(answer.body == content[first..=last], "{first} to {last}, and others");
    }
    assert_eq!(client.rest(true), b"");
}

fn a_file_past_four_gib_is_served_near_its_end(way: Way) {
    const SIZE: u64 = (5 << 30) + 12_345;
    let site = Site::new(Resolver::Openat2);
    let file = File::create(site.path("large.bin")).unwrap();
    if file.set_len(SIZE).is_err() {
        return skipped("files past 4 GiB: this file system has none");
    }
    let content = pattern(200_000);
    file.write_all_at(&content, SIZE - 200_000).unwrap();
    file.write_all_at(b"between", 4 << 30).unwrap();
    let serving = Serving::new(way, Arc::new(site.files()), Limits::default());
    let mut client = Client::new(serving.address);
    client.send("HEAD /large.bin HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.answer(true).field("Content-Length"), Some("5368721465"));
    // Small ones are read, large ones sent by sendfile.
    for (range, from, want) in [
        ("bytes=-200000", SIZE - 200_000, &content[..]),
        ("bytes=-10", SIZE - 10, &content[199_990..]),
        ("bytes=4294967296-4294967302", 4 << 30, b"between"),
    ] {
        client.send(format!("GET /large.bin HTTP/1.1\r\nHost: h\r\nRange: {range}\r\n\r\n"));
        let answer = client.answer(false);
        let content_range = format!("bytes {from}-{}/{SIZE}", from + want.len() as u64 - 1);
        assert_eq!((answer.status, answer.field("Content-Range")), (206, Some(content_range.as_str())));
        assert!(answer.body == want, "{range}");
    }
    assert_eq!(client.rest(true), b"");
}

fn a_file_cut_short_in_mid_download_is_a_short_body_and_a_close(way: Way) {
    const SIZE: u64 = 48 << 20; // More than both sockets hold.
    type Act = fn(&File);
    let acts: [(&str, Act); 3] = [
        ("truncated", |file| file.set_len(1 << 20).unwrap()),
        ("emptied", |file| file.set_len(0).unwrap()),
        ("grown", |mut file| {
            file.seek(SeekFrom::End(0)).unwrap();
            file.write_all(b"more").unwrap();
        }),
    ];
    for (name, act) in acts {
        let site = Site::new(Resolver::Openat2);
        let mut file = File::create(site.path("a.bin")).unwrap();
        (0..SIZE >> 20).for_each(|_| file.write_all(&[b'x'; 1 << 20]).unwrap());
        let serving = Serving::new(way, Arc::new(site.files()), Limits::default());
        let mut client = Client::new(serving.address);
        client.send("HEAD /a.bin HTTP/1.1\r\nHost: h\r\n\r\nGET /a.bin HTTP/1.1\r\nHost: h\r\n\r\n");
        client.answer(true); // The download has begun, and cannot be over: nobody reads it.
        act(&file);
        let rest = client.rest(false);
        let head_end = rest.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let (head, body) = rest.split_at(head_end);
        assert!(String::from_utf8_lossy(head).contains(&format!("Content-Length: {SIZE}\r\n")), "{name}");
        assert!((body.len() as u64) < SIZE, "{name}: {} bytes", body.len());
        assert!(body.iter().all(|byte| *byte == b'x'), "{name}: only what was there");
    }
}

/// Pieces of which escapes are made, and some that are nothing special.
fn path_piece() -> impl Generator<Value = Vec<u8>> {
    let pieces: &'static [&'static str] = &[
        "/",
        "/",
        "/",
        "..",
        ".",
        "%2e",
        "%2E%2e",
        "%252e",
        "%2f",
        "%2F",
        "%5c",
        "\\",
        "%00",
        "%",
        "%zz",
        "a.txt",
        "sub",
        "secret.txt",
        "absolute",
        "relative",
        "relative-folder",
        "inside",
        "index.html",
        "site",
        ".hidden",
        "?",
        ";",
        "//",
        "/../",
        "/./",
    ];
    let raw = any::<u8>().prop_filter("no line ends here", |byte| *byte > b' ' && *byte != 0x7f);
    prop_oneof![
        6 => prop::sample::select(pieces).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|byte| format!("%{byte:02x}").into_bytes()),
        1 => raw.prop_map(|byte| vec![byte]),
    ]
}

#[test]
fn no_path_at_all_gets_out() {
    let sites = RESOLVERS.map(|resolver| {
        let site = Site::new(resolver);
        site.write("sub/a.txt", "inside");
        site.write("a.txt", "inside");
        site.write("index.html", "inside");
        site.write(".hidden", SECRET);
        symlink(site.outer.path().join("secret.txt"), site.path("absolute")).unwrap();
        symlink("../secret.txt", site.path("relative")).unwrap();
        symlink("..", site.path("relative-folder")).unwrap();
        symlink("sub", site.path("inside")).unwrap();
        let listener = Listener::new(Arc::new(site.files()), Limits::default());
        (site, listener)
    });
    let config = ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(pieces in prop::collection::vec(path_piece(), 0..12))| {
        let path = pieces.concat();
        let request = [b"GET /", &path[..], b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"].concat();
        for (site, listener) in &sites {
            let mut wire = Wire::new(listener, SystemTime::now());
            wire.feed(&request);
            prop_assert!(!wire.is_open());
            let (answer, length) = read_answer(&wire.sent, false).map_err(TestCaseError::fail)?.expect("an answer");
            prop_assert_eq!(length, wire.sent.len(), "one answer");
            let body = String::from_utf8_lossy(&answer.body);
            prop_assert!(!body.contains(SECRET), "{:?}", site.resolver);
            prop_assert!(matches!(answer.status, 200 | 301 | 400 | 403 | 404), "{}", answer.status);
            prop_assert_eq!(answer.status == 200, body == "inside");
            let location = answer.field("Location").unwrap_or("/");
            let names_a_host = location.starts_with("//") || location.starts_with("/\\");
            prop_assert!(location.starts_with('/') && !names_a_host, "{}", location);
        }
    });
}

/// The names, links and kinds of a listing.
#[track_caller]
fn listed(answer: &Answer) -> Vec<(String, String, String)> {
    assert_eq!((answer.status, answer.field("Content-Type")), (200, Some("application/json")));
    let list: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let text = |item: &serde_json::Value, key: &str| item[key].as_str().unwrap().to_string();
    let items = list.as_array().unwrap().iter();
    items.map(|item| (text(item, "name"), text(item, "href"), text(item, "type"))).collect()
}

#[test]
fn a_folder_without_an_index_is_listed_folders_first() {
    for resolver in RESOLVERS {
        let site = Site::new(resolver);
        for name in ["b.txt", "a.txt", "z/inner.txt", "y/index.html", "C.txt"] {
            site.write(name, "1234");
        }
        let names = |answer: &Answer| listed(answer).into_iter().map(|(name, ..)| name).collect::<Vec<_>>();
        let want = ["y", "z", "C.txt", "a.txt", "b.txt"];
        assert_eq!(names(&site.list("/?json", "")), want);
        assert_eq!(names(&site.list("/", "Accept: application/json\r\n")), want);
        assert_eq!(names(&site.list("/z/?json", "")), ["inner.txt"]);
        assert_eq!(site.list("/y/?json", "").body, b"1234", "an index goes before a listing");
        let page = site.list("/", "Accept: text/html\r\n");
        assert_eq!(page.field("Content-Type"), Some("text/html; charset=utf-8"));
        assert_eq!((page.field("Vary"), page.field("Cache-Control")), (Some("Accept"), Some("no-cache")));
        let text = String::from_utf8(page.body).unwrap();
        let places: Vec<_> = want.iter().map(|name| text.find(&format!(">{name}")).expect(name)).collect();
        assert!(places.is_sorted(), "{places:?}");
        assert_eq!(site.get("/").status, 403, "with listings off");
    }
}

/// Whatever names a folder has, each link of its listing leads to what it names.
#[test]
fn every_link_of_a_listing_is_served() {
    for resolver in RESOLVERS {
        let site = Site::new(resolver);
        let names: [&[u8]; 13] = [
            b"plain",
            b"a b",
            b"100%",
            b"50%25",
            b"q?x=y",
            b"#hash",
            b"back\\slash",
            b"quo\"te'",
            b"<b>&amp;",
            b"javascript:alert(1)",
            b"\xff\xfe",
            "\u{e4}\u{2028}".as_bytes(),
            b"{rows}{title}",
        ];
        for name in names {
            site.write(OsStr::from_bytes(name), name);
            site.write(OsStr::from_bytes(&[name, b"-folder/in"].concat()), "in");
        }
        let list = listed(&site.list("/?json", ""));
        assert_eq!(list.len(), 2 * names.len());
        for (name, href, kind) in list {
            let target = href.strip_prefix('.').unwrap();
            match kind.as_str() {
                "file" => {
                    let body = site.list(target, "").body;
                    assert_eq!(String::from_utf8_lossy(&body), name, "{href}");
                }
                _ => assert_eq!(listed(&site.list(&format!("{target}?json"), ""))[0].0, "in", "{href}"),
            }
        }
        let page = String::from_utf8(site.list("/", "").body).unwrap();
        assert!(!page.contains("<b>") && !page.contains("href=\"javascript") && !page.contains("{rows}"), "{page}");
        assert_eq!(page.matches("<tr data-name").count(), 2 * names.len());
    }
}

#[test]
fn what_would_not_be_served_is_not_listed() {
    for resolver in RESOLVERS {
        let site = Site::new(resolver);
        site.write("seen.txt", "");
        site.write(".hidden", "");
        site.write(".well-known/x", "");
        symlink("../secret.txt", site.path("out")).unwrap();
        symlink("/etc", site.path("out-folder")).unwrap();
        symlink("nowhere", site.path("dangling")).unwrap();
        symlink("seen.txt", site.path("in")).unwrap();
        let _socket = UnixListener::bind(site.path("socket")).unwrap();
        let names = |files: Files| {
            let answer = ask(files, "GET", "/?json", "", SystemTime::now());
            listed(&answer).into_iter().map(|(name, ..)| name).collect::<Vec<_>>()
        };
        let links: &[&str] = if resolver == Resolver::Openat2 { &["in"] } else { &[] };
        let want = [&[".well-known"][..], links, &["seen.txt"]].concat();
        assert_eq!(names(site.files_with(Options::default())), want, "{resolver:?}");
        let shown = names(site.files_with(Options { dot_names: DotNames::Shown, ..Options::default() }));
        assert_eq!(shown, [&[".well-known", ".hidden"][..], links, &["seen.txt"]].concat(), "{resolver:?}");
    }
}

#[test]
fn an_error_is_a_page_to_who_accepts_html_and_text_to_others() {
    let site = Site::new(Resolver::Openat2);
    let cases = [
        ("/none", "", "text/plain; charset=utf-8", "404 Not Found\n"),
        ("/none", "Accept: */*\r\n", "text/plain; charset=utf-8", "404 Not Found\n"),
        ("/none", "Accept: text/HTML, */*;q=0.1\r\n", "text/html; charset=utf-8", "<h1>404 Not Found</h1>"),
        ("/..", "Accept: text/html\r\n", "text/html; charset=utf-8", "<h1>400 Bad Request</h1>"),
    ];
    for (target, fields, content_type, want) in cases {
        let answer = site.ask("GET", target, fields);
        assert_eq!(
            (answer.field("Content-Type"), answer.field("Vary")),
            (Some(content_type), Some("Accept")),
            "{target}"
        );
        let body = String::from_utf8(answer.body).unwrap();
        assert!(body.contains(want), "{target}: {body}");
    }
    let evil = site.ask("GET", "/%3Cscript%3E'\\", "Accept: text/html\r\n");
    let body = String::from_utf8(evil.body).unwrap();
    assert!(!body.contains("script") && !body.contains("{reason}"), "nothing of the request is in it: {body}");
}

/// RFC 9110 §9.3.2: HEAD is told what GET is. §12.5.5: whether it is the app or none is by Accept, and every answer says so.
#[test]
fn an_app_that_routes_by_itself_is_there_whatever_is_asked_for() {
    let site = Site::new(Resolver::Openat2);
    site.write("index.html", "the app");
    let html = "Accept: text/html\r\n";
    let vary = |answer: &Answer| answer.fields().iter().filter(|(name, _)| name == "Vary").count();
    for own_page in [false, true] {
        if own_page {
            site.write("404.html", "not here");
        }
        for spa in [false, true] {
            for method in ["GET", "HEAD"] {
                let files = || site.files_with(Options { lists: false, spa, ..Options::default() });
                let ask = |target: &str, fields: &str| ask(files(), method, target, fields, SystemTime::now());
                let (page, none) = (ask("/a/b", html), ask("/a/b", ""));
                let about = format!("{method}, spa: {spa}, 404.html: {own_page}");
                assert_eq!((page.status, none.status), (if spa { 200 } else { 404 }, 404), "{about}");
                let by_accept =
                    |answer: &Answer| answer.fields().iter().any(|(name, value)| name == "Vary" && value == "Accept");
                // An error of ours is a page or a text.
                let want = spa || !own_page;
                assert_eq!((by_accept(&page), by_accept(&none)), (want, want), "{about}");
                assert_eq!(vary(&none), usize::from(want), "{about}: said once");
                assert!(!by_accept(&ask("/", html)), "{about}: what is there is the same for all");
                if spa {
                    let known = format!("{html}If-None-Match: {}\r\n", page.field("ETag").unwrap());
                    let answer = ask("/a/b", &known);
                    assert_eq!((answer.status, by_accept(&answer)), (304, true), "{about}");
                }
                fs::remove_file(site.path("index.html")).unwrap();
                let listed = site.files_with(Options { spa, ..Options::default() });
                let listed = self::ask(listed, method, "/a/b", html, SystemTime::now());
                if spa {
                    assert_eq!((listed.status, vary(&listed)), (200, 1), "{about}: said once");
                }
                site.write("index.html", "the app");
            }
        }
    }
}

#[test]
fn a_folder_may_have_its_own_page_for_what_is_not_there() {
    for resolver in RESOLVERS {
        let site = Site::new(resolver);
        site.write("404.html", "<p>ours");
        for (method, body) in [("GET", "<p>ours"), ("HEAD", "")] {
            let answer = site.ask(method, "/none/at/all", "");
            assert_eq!((answer.status, answer.field("Content-Type")), (404, Some("text/html; charset=utf-8")));
            assert_eq!((answer.field("Content-Length"), answer.field("ETag")), (Some("7"), None));
            assert_eq!(answer.body, body.as_bytes());
        }
        assert_eq!(site.get("/404.html").status, 200, "asked for by name it is a file");
        for (size, is_ours) in [(256 * 1024, true), (256 * 1024 + 1, false)] {
            site.write("404.html", vec![b'x'; size]);
            assert_eq!(site.get("/none").body.len() == size, is_ours, "a page of {size} bytes");
        }
        assert_eq!(site.get("/..").status, 400, "only of what is not there");
        fs::remove_file(site.path("404.html")).unwrap();
        symlink("../secret.txt", site.path("404.html")).unwrap();
        assert_eq!(site.get("/none").body, b"404 Not Found\n", "and never from outside");
    }
}
