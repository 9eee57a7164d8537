//! What requests mean (RFC 9110): preconditions, ranges, codings, on files, listings and routes. Cases are a request and what must come of
//! it; each runs on a Link whole, byte by byte and cut at every offset, and over a socket on every backend, and as HEAD beside GET.

mod backends;
mod client;
mod multipart;
mod serving;
mod wire;

use backends::{on_every_backend, on_every_threaded_model};
use client::{Answer, Client, read_answer};
use multipart::read_multipart;
use proptest::prelude::*;
use proptest::strategy::Strategy as Generator;
use serving::{Serving, Way};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tripoll::Response;
use tripoll::files::{Files, Options, Resolver, Root};
use tripoll::http::{
    self, EntityTag, Limits, Listener, RANGES_MAX, Reject, Request, Service, StatusCode, Validators, Verdict,
    evaluate_preconditions, format_date,
};
use tripoll::router::{Endpoint, Router};
use wire::Wire;

const RESOLVERS: [Resolver; 2] = [Resolver::Openat2, Resolver::Walk];

/// When all that is served was changed last, and the seconds before and after.
const DATE: &str = "Sun, 09 Sep 2001 01:46:40 GMT";
const EARLIER: &str = "Sun, 09 Sep 2001 01:46:39 GMT";
const LATER: &str = "Sun, 09 Sep 2001 01:46:41 GMT";

fn changed() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_000_000_000_500)
}

/// A folder and routes, and their tags.
struct Site {
    outer: TempDir,
    resolver: Resolver,
    service: Arc<dyn Service>,
    file_tag: String,
    list_tag: String,
    /// Of a route that has one made of its bytes.
    hash_tag: String,
}

/// A hundred bytes, each its own number.
fn hundred() -> Vec<u8> {
    (0..100).collect()
}

/// Every table is run with files kept, and without: with one way to resolve names each.
fn options(resolver: Resolver) -> Options {
    match resolver {
        Resolver::Walk => Options { cache_bytes_max: 0, ..Options::default() },
        Resolver::Openat2 | Resolver::Follow => Options::default(),
    }
}

impl Site {
    fn new(resolver: Resolver) -> Site {
        let outer = TempDir::new().unwrap();
        fs::create_dir(outer.path().join("site")).unwrap();
        let nothing: Arc<dyn Service> = Arc::new(Router::new(NoFiles));
        let mut site = Site {
            outer,
            resolver,
            service: nothing,
            file_tag: String::new(),
            list_tag: String::new(),
            hash_tag: String::new(),
        };
        fs::write(site.outer.path().join("secret.gz"), "the secret").unwrap();
        site.write("list/a.txt", "a");
        site.write("index/index.html", "index");
        site.write("index/index.html.gz", "index, gzipped");
        site.write("empty.txt", "");
        for (name, content) in [
            ("x.css", "as it is"),
            ("x.css.br", "in brotli"),
            ("x.css.zst", "in zstandard"),
            ("x.css.gz", "in gzip"),
            ("y.js", "as it is"),
            ("y.js.gz", "in gzip"),
            ("alone.txt", "as it is"),
            ("picture.png", "as it is"),
            ("picture.png.gz", "in gzip"),
            ("old.css", "as it is"),
            ("old.css.br", "of what was before"),
            ("old.css.gz", "in gzip"),
            ("cut.css", "as it is"),
            ("cut.css.gz", "in gzip"),
            ("folder.css", "as it is"),
            ("folder.css.gz/x", ""),
            ("out.css", "as it is"),
            (".dot.css", "hidden"),
            (".dot.css.gz", "hidden"),
        ] {
            site.write(&format!("coded/{name}"), content);
        }
        site.set_modified("coded/old.css.br", changed() - Duration::from_nanos(1));
        site.set_modified("coded/cut.css.gz", changed() - Duration::from_millis(500)); // The second alone, as some programs set it.
        symlink("../../secret.gz", site.path("coded/out.css.gz")).unwrap();
        site.write("a.bin", hundred());
        site.write("aged/last", ""); // So that where its tag is strong all are. Nothing else asks for it.
        site.service = site.serve(options(resolver));
        site.file_tag = site.ask("GET /a.bin", "").field("ETag").unwrap().to_string();
        site.list_tag = site.ask("GET /list/", "").field("ETag").unwrap().to_string();
        site.hash_tag = site.ask("GET /route/hashed", "").field("ETag").unwrap().to_string();
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.outer.path().join("site").join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), content).unwrap();
        self.set_modified(name, changed());
    }

    fn set_modified(&self, name: &str, time: SystemTime) {
        File::options().write(true).open(self.path(name)).unwrap().set_modified(time).unwrap();
    }

    /// Nothing is kept, as if it were asked for the first time each time.
    fn keeps_nothing(&mut self) {
        self.service = self.serve(Options { cache_bytes_max: 0, ..Options::default() });
    }

    fn serve(&self, options: Options) -> Arc<dyn Service> {
        let root = Root::open(&self.path("")).unwrap().with_resolver(self.resolver);
        Arc::new(routes(Files::beneath(root, options)))
    }

    fn listener(&self) -> Listener {
        Listener::new(self.service.clone(), Limits::default())
    }

    fn ask(&self, line: &str, fields: &str) -> Answer {
        let wire = request(line, fields);
        let sent = answer_to(&self.listener(), [wire.as_bytes()], SystemTime::now());
        read(&sent, line.starts_with("HEAD"))
    }
}

struct NoFiles;

impl Service for NoFiles {
    fn respond(&self, _: &Request<'_>) -> http::Answer {
        Reject::NotFound.into()
    }
}

fn routes(files: Files) -> Router {
    let mut router = Router::new(files);
    let mut add = |method: &str, path: &str, handler: fn(&Request<'_>) -> Response| {
        router.add(method, path, Endpoint::new(handler)).unwrap();
    };
    let all = |_: &Request<'_>| {
        let tag = Some(EntityTag::strong("v1"));
        Response::text("all of it")
            .with_validators(&Validators { tag, last_modified: Some(changed()) })
            .field("Cache-Control", "max-age=60")
            .field("Expires", LATER)
            .field("Vary", "Accept-Language")
            .field("Content-Location", "/route/all.en")
            .field("Content-Language", "en")
            .field("X-Other", "kept")
    };
    add("GET", "/route/all", all);
    add("GET", "/route/tagged", |_| Response::text("tagged").field("ETag", "\"v1\""));
    add("GET", "/route/weak", |_| Response::text("weak").field("ETag", EntityTag::weak("v1").as_str()));
    add("GET", "/route/dated", |_| Response::text("dated").field("Last-Modified", DATE));
    add("GET", "/route/hashed", |_| Response::text("hashed").with_tag_of_content());
    add("GET", "/route/plain", |_| Response::text("plain"));
    add("GET", "/route/wrong", |_| Response::text("wrong").field("ETag", "v1").field("Last-Modified", "yesterday"));
    add("GET", "/route/gone", |_| Response::text("").with_status(StatusCode::GONE).field("ETag", "\"v1\""));
    add("GET", "/route/moved", |_| Response::text("").with_status(StatusCode::FOUND).field("ETag", "\"v1\""));
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        // Its own answer has a tag: that of what it made, which nobody can have named.
        add(method, "/route/unguarded", |_| Response::text("done").field("ETag", "\"v2\""));
        add(method, "/route/guarded", |request| change(request, Some("v1")));
        add(method, "/route/new", |request| change(request, None));
    }
    router
}

/// What a handler of a state-changing method does first.
fn change(request: &Request<'_>, tag: Option<&str>) -> Response {
    let current = tag.map(|tag| Validators { tag: Some(EntityTag::strong(tag)), last_modified: Some(changed()) });
    match evaluate_preconditions(request, current.as_ref()) {
        Verdict::Proceed => Response::new(StatusCode::NO_CONTENT),
        Verdict::Failed => Reject::PreconditionFailed.into(),
        Verdict::NotModified => unreachable!("of GET and HEAD alone"),
    }
}

/// A request: `line` is a method and a target.
fn request(line: &str, fields: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
}

/// A second later nothing is fresh: tags are strong.
const AGE: Duration = Duration::from_secs(1);

/// All that is sent in answer to `pieces` on a connection that was opened at `wall`, and is [`AGE`] old.
fn answer_to<'a>(listener: &Listener, pieces: impl IntoIterator<Item = &'a [u8]>, wall: SystemTime) -> Vec<u8> {
    let mut wire = Wire::new(listener, wall);
    wire.wait(AGE);
    pieces.into_iter().for_each(|piece| wire.feed(piece));
    assert!(wire.is_open(), "no answer to what was understood ends its connection");
    wire.end_of_input();
    wire.sent
}

#[track_caller]
fn read(sent: &[u8], to_head: bool) -> Answer {
    let (answer, length) = read_answer(sent, to_head).unwrap().expect("an answer");
    assert_eq!(length, sent.len(), "one answer");
    answer
}

struct Case {
    line: String,
    fields: String,
    status: u16,
    body: Option<Vec<u8>>,
    wants: Vec<(&'static str, Option<String>)>,
}

fn case(line: impl Into<String>, fields: impl Into<String>, status: u16) -> Case {
    Case { line: line.into(), fields: fields.into(), status, body: None, wants: Vec::new() }
}

impl Case {
    fn body(mut self, body: impl AsRef<[u8]>) -> Case {
        self.body = Some(body.as_ref().to_vec());
        self
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Case {
        self.wants.push((name, Some(value.into())));
        self
    }

    fn without(mut self, name: &'static str) -> Case {
        self.wants.push((name, None));
        self
    }

    fn request(&self) -> String {
        request(&self.line, &self.fields)
    }

    fn is_head(&self) -> bool {
        self.line.starts_with("HEAD")
    }

    #[track_caller]
    fn judge(&self, answer: &Answer, how: &str) {
        let about = format!("{} {:?}, {how}", self.line, self.fields);
        assert_eq!(answer.status, self.status, "{about}: {answer:?}");
        let body = self.body.iter().filter(|_| !self.is_head());
        body.for_each(|body| {
            assert_eq!(answer.body.escape_ascii().to_string(), body.escape_ascii().to_string(), "{about}")
        });
        for (name, value) in &self.wants {
            assert_eq!(answer.field(name), value.as_deref(), "{about}: {name}");
        }
        assert!(answer.status != 304 || answer.field("Content-Type").is_none(), "{about}: 304 describes no content");
    }

    /// The same request with another method, and without what is of GET alone.
    fn without_range(&self, method: &str) -> String {
        let (_, target) = self.line.split_once(' ').unwrap();
        let is_kept = |line: &&str| !line.starts_with("Range:") && !line.starts_with("If-Range:");
        let fields: String = self.fields.split_inclusive("\r\n").filter(is_kept).collect();
        request(&format!("{method} {target}"), &fields)
    }
}

#[track_caller]
fn on_a_link(cases: fn(&Site) -> Vec<Case>) {
    for resolver in RESOLVERS {
        let site = Site::new(resolver);
        let listener = site.listener();
        let wall = SystemTime::now();
        let cases = cases(&site);
        // Where there are many, the network cuts each of them elsewhere and not everywhere.
        let step = 1 + cases.len() / 40;
        for (number, case) in cases.iter().enumerate() {
            let wire = case.request();
            let bytes = wire.as_bytes();
            let whole = answer_to(&listener, [bytes], wall);
            case.judge(&read(&whole, case.is_head()), &format!("by {resolver:?}"));
            assert!(answer_to(&listener, bytes.chunks(1), wall) == whole, "{} {:?} bytewise", case.line, case.fields);
            for cut in (number % step..=bytes.len()).step_by(step) {
                let pieces = [&bytes[..cut], &bytes[cut..]];
                assert!(answer_to(&listener, pieces, wall) == whole, "{} {:?} cut at {cut}", case.line, case.fields);
            }
            if case.line.starts_with("GET") {
                head_is_get_without_the_body(&listener, case, wall);
            }
        }
    }
}

/// RFC 9110 §9.3.2 and §14.2: status and fields of HEAD are those of GET without Range.
#[track_caller]
fn head_is_get_without_the_body(listener: &Listener, case: &Case, wall: SystemTime) {
    let get = read(&answer_to(listener, [case.without_range("GET").as_bytes()], wall), false);
    let ranged = request(&case.line.replacen("GET", "HEAD", 1), &case.fields);
    for wire in [case.without_range("HEAD"), ranged] {
        let head = read(&answer_to(listener, [wire.as_bytes()], wall), true);
        assert_eq!((head.status, head.fields()), (get.status, get.fields()), "{wire}");
        assert!(head.body.is_empty());
    }
}

#[track_caller]
fn over_sockets(way: Way, cases: fn(&Site) -> Vec<Case>) {
    let site = Site::new(Resolver::Openat2);
    let serving = Serving::new(way, site.service.clone(), Limits::default());
    let mut client = Client::new(serving.address);
    // Until a file's last change is some time ago its tag is weak.
    loop {
        client.send(request("GET /aged/last", ""));
        if client.answer(false).field("ETag").is_some_and(|tag| !tag.starts_with("W/")) {
            break;
        }
    }
    let cases = cases(&site);
    for some in cases.chunks(50) {
        client.send(some.iter().map(Case::request).collect::<String>());
        some.iter().for_each(|case| case.judge(&client.answer(case.is_head()), "over a socket"));
    }
    assert_eq!(client.rest(true), b"");
}

/// Each fact is a function that returns cases: a test on the link, and one on every backend and under every model.
macro_rules! facts {
    ($($fact:ident),+ $(,)?) => {
        mod link {
            $(#[test] fn $fact() { super::on_a_link(super::cases::$fact); })+
        }
        $(fn $fact(way: Way) { over_sockets(way, cases::$fact); })+
        on_every_backend! {
            $($fact,)+
            several_ranges_of_a_large_file_arrive_byte_for_byte,
            ranges_past_four_gib_are_streamed,
        }
        on_every_threaded_model! {
            $($fact,)+
            several_ranges_of_a_large_file_arrive_byte_for_byte,
            ranges_past_four_gib_are_streamed,
        }
    };
}

facts! {
    if_match_wants_the_same_bytes,
    if_unmodified_since_wants_no_later_change,
    if_none_match_wants_another_state,
    if_modified_since_wants_a_later_change,
    preconditions_have_one_order,
    preconditions_are_of_what_would_succeed,
    preconditions_of_changes_are_the_handlers,
    a_route_with_validators_is_conditional,
    a_304_has_what_updates_a_cache_and_no_more,
    if_range_wants_the_same_bytes,
    one_range_is_a_part,
    several_ranges_are_several_parts,
    the_best_coding_is_sent,
    a_coded_form_is_no_older_and_no_other_file,
    conditions_and_ranges_are_of_the_form_that_was_chosen,
    types_are_meant,
    trace_is_not_allowed,
}

mod cases {
    use super::*;

    /// What has a tag: a file, a listing, routes.
    fn tagged(site: &Site) -> [(&'static str, &str); 5] {
        [
            ("/a.bin", &site.file_tag),
            ("/list/", &site.list_tag),
            ("/route/hashed", &site.hash_tag),
            ("/route/tagged", "\"v1\""),
            ("/route/all", "\"v1\""),
        ]
    }

    /// What has a date.
    const DATED: [&str; 3] = ["/a.bin", "/route/dated", "/route/all"];

    /// RFC 9110 §13.1.1
    pub fn if_match_wants_the_same_bytes(site: &Site) -> Vec<Case> {
        let mut cases = Vec::new();
        for (target, tag) in tagged(site) {
            let lists = [
                (tag.to_string(), 200),
                ("*".into(), 200),
                (" * ".into(), 200),
                (format!("\"x\", {tag}"), 200),
                (format!("\"a,b\",\t{tag} ,\"y\""), 200),
                (format!(",, {tag},"), 200),
                (format!("\"x\"\r\nIf-Match: {tag}"), 200),
                (format!("W/\"x\", {tag}"), 200),
                (format!("W/{tag}"), 412),
                ("\"x\"".into(), 412),
                ("\"x\", W/\"y\"".into(), 412),
                ("\"*\"".into(), 412),
                ("*, \"x\"".into(), 412),
                ("*\r\nIf-Match: *".into(), 412),
                (format!("\"x,{}", &tag[1..]), 412),
                (tag.trim_matches('"').into(), 412),
                (format!("\"x\" {tag}"), 412),
                (tag.to_uppercase().replace("V1", "V2"), if tag.to_uppercase() == tag { 200 } else { 412 }),
                (String::new(), 412),
                ("nonsense".into(), 412),
            ];
            for (list, status) in lists {
                for method in ["GET", "HEAD"] {
                    cases.push(case(format!("{method} {target}"), format!("If-Match: {list}\r\n"), status));
                }
            }
        }
        // What has no tag, or a weak one, is never the same bytes.
        for target in ["/route/plain", "/route/dated", "/route/weak", "/route/wrong"] {
            cases.push(case(format!("GET {target}"), "If-Match: *\r\n", 200));
            cases.push(case(format!("GET {target}"), "If-Match: \"v1\"\r\n", 412));
            cases.push(case(format!("GET {target}"), "If-Match: W/\"v1\"\r\n", 412));
        }
        cases
    }

    /// RFC 9110 §13.1.4
    pub fn if_unmodified_since_wants_no_later_change(_: &Site) -> Vec<Case> {
        let future = format_date(SystemTime::now() + Duration::from_secs(100_000));
        let dates = [
            (DATE, 200),
            (LATER, 200),
            (&future, 200),
            (EARLIER, 412),
            ("Sunday, 09-Sep-01 01:46:40 GMT", 200),
            ("Sunday, 09-Sep-01 01:46:39 GMT", 412),
            ("Sun Sep  9 01:46:40 2001", 200),
            ("Sun Sep  9 01:46:39 2001", 412),
            // No date is ignored, nor are several one.
            ("yesterday", 200),
            ("", 200),
            ("Mon, 09 Sep 2001 01:46:39 GMT", 200),
            (&format!("{EARLIER}, {EARLIER}"), 200),
            (&format!("{EARLIER}\r\nIf-Unmodified-Since: {EARLIER}"), 200),
        ]
        .map(|(date, status)| (format!("If-Unmodified-Since: {date}\r\n"), status));
        let of_dated = DATED.iter().flat_map(|target| {
            dates.iter().flat_map(move |(fields, status)| {
                ["GET", "HEAD"].map(|method| case(format!("{method} {target}"), fields, *status))
            })
        });
        // Ignored where there is no date.
        let of_others = ["/list/", "/route/tagged", "/route/wrong"]
            .map(|target| case(format!("GET {target}"), format!("If-Unmodified-Since: {EARLIER}\r\n"), 200));
        of_dated.chain(of_others).collect()
    }

    /// RFC 9110 §13.1.2
    pub fn if_none_match_wants_another_state(site: &Site) -> Vec<Case> {
        let mut cases = Vec::new();
        for (target, tag) in tagged(site) {
            let lists = [
                (tag.to_string(), 304),
                (format!("W/{tag}"), 304),
                ("*".into(), 304),
                (format!("\"x\", {tag}"), 304),
                (format!("\"x\",W/{tag} , \"y\""), 304),
                (format!("\"a,b\",{tag}"), 304),
                (format!("\"x\"\r\nIf-None-Match: {tag}"), 304),
                ("\"x\"".into(), 200),
                ("W/\"x\", \"y\"".into(), 200),
                ("*, \"x\"".into(), 200),
                ("\"*\"".into(), 200),
                (format!("w/{tag}"), 200),
                (format!("\"x,{}", &tag[1..]), 200),
                (tag.trim_matches('"').into(), 200),
                (String::new(), 200),
            ];
            for (list, status) in lists {
                for method in ["GET", "HEAD"] {
                    cases.push(case(format!("{method} {target}"), format!("If-None-Match: {list}\r\n"), status));
                }
            }
        }
        // A weak tag is enough, and none is none.
        cases.push(case("GET /route/weak", "If-None-Match: \"v1\"\r\n", 304).with("ETag", "W/\"v1\""));
        cases.push(case("GET /route/weak", "If-None-Match: W/\"v1\"\r\n", 304));
        cases.push(case("GET /route/plain", "If-None-Match: \"v1\"\r\n", 200).body("plain"));
        cases.push(case("GET /route/plain", "If-None-Match: *\r\n", 304));
        cases.push(case("GET /route/wrong", "If-None-Match: v1, \"v1\"\r\n", 200));
        cases
    }

    /// RFC 9110 §13.1.3
    pub fn if_modified_since_wants_a_later_change(site: &Site) -> Vec<Case> {
        let future = format_date(SystemTime::now() + Duration::from_secs(100_000));
        let dates = [
            (DATE, 304),
            (LATER, 304),
            (EARLIER, 200),
            ("Sunday, 09-Sep-01 01:46:40 GMT", 304),
            ("Sunday, 09-Sep-01 01:46:39 GMT", 200),
            ("Sun Sep  9 01:46:40 2001", 304),
            ("Sun Sep  9 01:46:39 2001", 200),
            (&future, 200),
            ("yesterday", 200),
            ("", 200),
            (&format!("{DATE}, {DATE}"), 200),
            (&format!("{DATE}\r\nIf-Modified-Since: {DATE}"), 200),
        ]
        .map(|(date, status)| (format!("If-Modified-Since: {date}\r\n"), status));
        let mut cases = Vec::new();
        for target in DATED {
            for (fields, status) in &dates {
                cases.push(case(format!("GET {target}"), fields, *status));
                cases.push(case(format!("HEAD {target}"), fields, *status));
            }
        }
        for (target, _) in tagged(site).iter().filter(|(target, _)| !DATED.contains(target)) {
            cases.push(case(format!("GET {target}"), format!("If-Modified-Since: {LATER}\r\n"), 200));
        }
        cases
    }

    /// RFC 9110 §13.2.2, step by step: every combination of fields that hold, do not hold, say nothing, or are not there.
    pub fn preconditions_have_one_order(site: &Site) -> Vec<Case> {
        let (yes, no) = (Some(true), Some(false));
        let tag = &site.file_tag;
        let field = |name: &str, value: &str| format!("{name}: {value}\r\n");
        let if_match = [(String::new(), None), (field("If-Match", tag), yes), (field("If-Match", "\"x\""), no)];
        let unmodified = [
            (String::new(), None),
            (field("If-Unmodified-Since", DATE), yes),
            (field("If-Unmodified-Since", EARLIER), no),
            (field("If-Unmodified-Since", "x"), None),
        ];
        let if_none_match =
            [(String::new(), None), (field("If-None-Match", "\"x\""), yes), (field("If-None-Match", tag), no)];
        let modified = [
            (String::new(), None),
            (field("If-Modified-Since", EARLIER), yes),
            (field("If-Modified-Since", DATE), no),
            (field("If-Modified-Since", "x"), None),
        ];
        // Whether a part is sent where all else holds.
        let ranges = [
            (String::new(), 200),
            (field("If-Range", tag), 200),
            (field("Range", "bytes=1-2"), 206),
            (field("Range", "bytes=1-2") + &field("If-Range", tag), 206),
            (field("Range", "bytes=1-2") + &field("If-Range", "\"x\""), 200),
            (field("Range", "bytes=900-"), 416),
            (field("Range", "bytes=900-") + &field("If-Range", "\"x\""), 200),
        ];
        let mut cases = Vec::new();
        for ((a, if_match), (b, unmodified)) in pairs(&if_match, &unmodified) {
            for ((c, if_none_match), (d, modified)) in pairs(&if_none_match, &modified) {
                for (e, by_range) in &ranges {
                    let fails = if_match == no || if_match.is_none() && unmodified == no;
                    let is_known = if_none_match == no || if_none_match.is_none() && modified == no;
                    let status = |by_range| match (fails, is_known) {
                        (true, _) => 412,
                        (false, true) => 304,
                        (false, false) => by_range,
                    };
                    // In an order that is not theirs.
                    let fields = [e.as_str(), d, b, c, a].concat();
                    cases.push(case("GET /a.bin", &fields, status(*by_range)));
                    cases.push(case("HEAD /a.bin", fields, status(200)));
                }
            }
        }
        cases
    }

    /// Fields, and whether they hold.
    type State<Text> = (Text, Option<bool>);

    fn pairs<'a>(a: &'a [State<String>], b: &'a [State<String>]) -> Vec<(State<&'a str>, State<&'a str>)> {
        let view = |(fields, holds): &'a State<String>| (fields.as_str(), *holds);
        a.iter().flat_map(|one| b.iter().map(move |other| (view(one), view(other)))).collect()
    }

    /// RFC 9110 §13.2.1
    pub fn preconditions_are_of_what_would_succeed(_: &Site) -> Vec<Case> {
        let conditions =
            ["If-Match: \"x\"\r\n", "If-None-Match: *\r\n", "If-None-Match: \"v1\"\r\n", "If-Match: \"v1\"\r\n"];
        let lines = [
            ("GET /nothing", 404),
            ("GET /coded", 301),
            ("GET /coded/.dot.css", 404),
            ("PUT /a.bin", 405),
            ("DELETE /a.bin", 405),
            ("OPTIONS /a.bin", 204),
            ("POST /route/tagged", 405),
            ("BREW /a.bin", 501),
            ("GET /route/gone", 410),
            ("GET /route/moved", 302),
        ];
        lines.iter().flat_map(|(line, status)| conditions.map(|fields| case(*line, fields, *status))).collect()
    }

    /// A handler's answer comes when the change is made: the server does not judge it. The handler asks before.
    pub fn preconditions_of_changes_are_the_handlers(_: &Site) -> Vec<Case> {
        let mut cases = Vec::new();
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            for fields in ["If-Match: \"x\"\r\n", "If-None-Match: *\r\n", "If-None-Match: \"v2\"\r\n"] {
                cases.push(case(format!("{method} /route/unguarded"), fields, 200).body("done"));
            }
        }
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            // Nothing is lost: whoever changes names what it read.
            for (target, fields, status) in [
                ("guarded", "If-Match: \"v1\"\r\n", 204),
                ("guarded", "If-Match: \"v0\"\r\n", 412),
                ("guarded", "If-Match: W/\"v1\"\r\n", 412),
                ("guarded", "If-Match: *\r\n", 204),
                ("guarded", "If-None-Match: *\r\n", 412),
                ("guarded", "If-None-Match: W/\"v1\"\r\n", 412),
                ("guarded", "If-None-Match: \"v0\"\r\n", 204),
                ("guarded", &format!("If-Unmodified-Since: {EARLIER}\r\n"), 412),
                ("guarded", &format!("If-Unmodified-Since: {DATE}\r\n"), 204),
                // §13.1.3: of GET and HEAD alone.
                ("guarded", &format!("If-Modified-Since: {DATE}\r\n"), 204),
                ("new", "If-None-Match: *\r\n", 204),
                ("new", "If-None-Match: \"v1\"\r\n", 204),
                ("new", "If-Match: *\r\n", 412),
                ("new", "If-Match: \"v1\"\r\n", 412),
                ("new", &format!("If-Unmodified-Since: {EARLIER}\r\n"), 204),
            ] {
                cases.push(case(format!("{method} /route/{target}"), fields, status));
            }
        }
        // §13.2.1: a method that neither selects nor changes a representation has none.
        cases.push(case("OPTIONS /route/guarded", "If-Match: \"v0\"\r\n", 204));
        cases.push(case("OPTIONS /route/guarded", "If-None-Match: *\r\n", 204));
        cases
    }

    pub fn a_route_with_validators_is_conditional(_: &Site) -> Vec<Case> {
        let text = "text/plain; charset=utf-8";
        vec![
            case("GET /route/tagged", "", 200).body("tagged").with("ETag", "\"v1\"").with("Content-Type", text),
            case("GET /route/tagged", "If-None-Match: \"v1\"\r\n", 304).body("").with("ETag", "\"v1\""),
            case("GET /route/tagged", "If-None-Match: \"v2\"\r\n", 200).body("tagged"),
            case("GET /route/tagged", "If-Match: \"v2\"\r\n", 412).without("ETag").body("412 Precondition Failed\n"),
            case("GET /route/tagged", "If-Match: \"v2\"\r\nAccept: text/html\r\n", 412).with("Vary", "Accept"),
            case("GET /route/dated", format!("If-Modified-Since: {DATE}\r\n"), 304).with("Last-Modified", DATE),
            case("GET /route/dated", format!("If-Unmodified-Since: {EARLIER}\r\n"), 412),
            // No ranges of what a handler makes.
            case("GET /route/tagged", "Range: bytes=0-0\r\n", 200).body("tagged").without("Accept-Ranges"),
            case("GET /route/tagged", "Range: bytes=0-0\r\nIf-Range: \"x\"\r\n", 200).body("tagged"),
        ]
    }

    /// RFC 9110 §15.4.5
    pub fn a_304_has_what_updates_a_cache_and_no_more(site: &Site) -> Vec<Case> {
        let file =
            || case("GET /a.bin", format!("If-None-Match: {}\r\n", site.file_tag), 304).with("ETag", &site.file_tag);
        let list =
            || case("GET /list/", format!("If-None-Match: {}\r\n", site.list_tag), 304).with("ETag", &site.list_tag);
        let route = || case("GET /route/all", "If-None-Match: \"v1\"\r\n", 304).with("ETag", "\"v1\"");
        let bare = |case: Case| {
            let names = [
                "Content-Type",
                "Content-Length",
                "Content-Language",
                "Content-Encoding",
                "Accept-Ranges",
                "Last-Modified",
                "X-Content-Type-Options",
            ];
            names.into_iter().fold(case, Case::without).body("")
        };
        vec![
            bare(file().with("Cache-Control", "no-cache").without("Vary")),
            bare(list().with("Cache-Control", "no-cache").with("Vary", "Accept")),
            bare(route().with("Cache-Control", "max-age=60").with("Vary", "Accept-Language"))
                .with("Expires", LATER)
                .with("Content-Location", "/route/all.en")
                .with("X-Other", "kept"),
            // A form of its own for each that asks: the tag is of the page, not of the JSON.
            case("GET /list/?json", format!("If-None-Match: {}\r\n", site.list_tag), 200),
        ]
    }

    /// RFC 9110 §13.1.5
    pub fn if_range_wants_the_same_bytes(site: &Site) -> Vec<Case> {
        let tag = &site.file_tag;
        let values = [
            (tag.clone(), 206),
            (DATE.into(), 206),
            ("Sunday, 09-Sep-01 01:46:40 GMT".into(), 206),
            ("Sun Sep  9 01:46:40 2001".into(), 206),
            (format!("W/{tag}"), 200),
            ("\"x\"".into(), 200),
            ("*".into(), 200),
            (String::new(), 200),
            (format!("{tag}, \"x\""), 200),
            (format!("{tag}\r\nIf-Range: {tag}"), 200),
            // Exactly: later is not the same.
            (LATER.into(), 200),
            (EARLIER.into(), 200),
            ("yesterday".into(), 200),
        ];
        let mut cases = Vec::new();
        for (value, status) in values {
            let if_range = format!("If-Range: {value}\r\n");
            let body = if status == 206 { hundred()[10..20].to_vec() } else { hundred() };
            cases.push(case("GET /a.bin", format!("Range: bytes=10-19\r\n{if_range}"), status).body(body));
            let outside = if status == 206 { 416 } else { 200 };
            cases.push(case("GET /a.bin", format!("Range: bytes=900-\r\n{if_range}"), outside));
            // Without Range it is ignored.
            cases.push(case("GET /a.bin", if_range, 200).body(hundred()));
        }
        // §15.3.7: it knows the date; without If-Range it may not.
        let range = "Range: bytes=0-0\r\n";
        cases.push(
            case("GET /a.bin", format!("{range}If-Range: {tag}\r\n"), 206).without("Last-Modified").with("ETag", tag),
        );
        cases.push(case("GET /a.bin", range, 206).with("Last-Modified", DATE).with("ETag", tag));
        cases
    }

    /// RFC 9110 §14.1.2, §15.3.7.1, §15.5.17
    pub fn one_range_is_a_part(_: &Site) -> Vec<Case> {
        let part = |value: &str, first: usize, last: usize| {
            case("GET /a.bin", format!("Range: {value}\r\n"), 206)
                .body(&hundred()[first..=last])
                .with("Content-Range", format!("bytes {first}-{last}/100"))
                .with("Content-Length", (last - first + 1).to_string())
                .with("Content-Type", "application/octet-stream")
                .with("Cache-Control", "no-cache")
                .with("Accept-Ranges", "bytes")
        };
        let whole = |value: &str| {
            case("GET /a.bin", format!("Range: {value}\r\n"), 200).body(hundred()).without("Content-Range")
        };
        let outside = |target: &str, value: &str, size: u64| {
            case(format!("GET {target}"), format!("Range: {value}\r\n"), 416)
                .with("Content-Range", format!("bytes */{size}"))
                .without("ETag")
        };
        vec![
            part("bytes=0-0", 0, 0),
            part("bytes=10-19", 10, 19),
            part("bytes=0-99", 0, 99),
            part("bytes=98-200", 98, 99),
            part("bytes=1-99999999999999999999999", 1, 99),
            part("bytes=50-", 50, 99),
            part("bytes=-1", 99, 99),
            part("bytes=-100", 0, 99),
            part("bytes=-1000", 0, 99),
            part("BYTES= 1-2 ", 1, 2),
            // What is one when it is put together is one.
            part("bytes=0-9,10-19", 0, 19),
            part("bytes=10-19,0-9", 0, 19),
            part("bytes=0-50,40-60", 0, 60),
            part("bytes=7-7,7-7,7-7", 7, 7),
            part("bytes=5-6,200-300", 5, 6),
            part("bytes=0-,-1,50-", 0, 99),
            outside("/a.bin", "bytes=100-", 100),
            outside("/a.bin", "bytes=-0", 100),
            outside("/a.bin", "bytes=99999999999999999999999-", 100),
            outside("/a.bin", "bytes=100-,200-", 100),
            outside("/empty.txt", "bytes=0-", 0),
            outside("/empty.txt", "bytes=0-0,5-", 0),
            whole("bytes=2-1"),
            whole("bytes=0-1,2-1"),
            whole("bytes=0-1,x"),
            whole("bytes=900-,x"),
            whole("bytes=-"),
            whole("bytes="),
            whole("bytes"),
            whole("lines=0-1"),
            whole(""),
            whole("bytes=0-1\r\nRange: bytes=2-3"),
            case("GET /empty.txt", "Range: bytes=-5\r\n", 200).body(""),
            case("HEAD /a.bin", "Range: bytes=0-1\r\n", 200).with("Content-Length", "100").without("Content-Range"),
            case("HEAD /a.bin", "Range: bytes=900-\r\n", 200),
            case("GET /list/", "Range: bytes=0-1\r\n", 200).without("Accept-Ranges"),
        ]
    }

    /// RFC 9110 §14.6, §15.3.7.2. What is in the parts is checked by the property below; here that there are some, and the bound.
    pub fn several_ranges_are_several_parts(_: &Site) -> Vec<Case> {
        let several = |value: String| {
            case("GET /a.bin", format!("Range: bytes={value}\r\n"), 206)
                .without("Content-Range")
                .with("Accept-Ranges", "bytes")
                .with("Cache-Control", "no-cache")
        };
        let repeated = |count: usize| format!("0-0,{}", vec!["98-"; count - 1].join(","));
        vec![
            several("0-0,-1".into()),
            several("0-1,3-4".into()),
            several("90-,0-9".into()),
            several(repeated(RANGES_MAX)),
            case("GET /a.bin", format!("Range: bytes={}\r\n", repeated(RANGES_MAX + 1)), 200).body(hundred()),
        ]
    }

    /// RFC 9110 §12.5.3: the weight decides, then what is smallest; a coding that is not named is not sent.
    pub fn the_best_coding_is_sent(_: &Site) -> Vec<Case> {
        let sent = |target: &str, accept: &str, coding: Option<&str>, body: &str| {
            let fields = if accept == "(none)" { String::new() } else { format!("Accept-Encoding: {accept}\r\n") };
            let media_type = if target.ends_with("js") { "text/javascript" } else { "text/css" };
            let case = case(format!("GET {target}"), fields, 200).body(body).with("Vary", "Accept-Encoding");
            let case = case.with("Content-Type", format!("{media_type}; charset=utf-8"));
            coding.map_or_else(|| case_without_coding(&case), |coding| with_coding(&case, coding))
        };
        let css = |accept: &str, coding: Option<&str>| {
            let body = match coding {
                Some("br") => "in brotli",
                Some("zstd") => "in zstandard",
                Some(_) => "in gzip",
                None => "as it is",
            };
            sent("/coded/x.css", accept, coding, body)
        };
        let (br, zstd, gzip) = (Some("br"), Some("zstd"), Some("gzip"));
        let mut cases = vec![
            css("(none)", None),
            css("", None),
            css("gzip", gzip),
            css("GZip", gzip),
            css("x-gzip", gzip),
            css("zstd", zstd),
            css("br", br),
            css("gzip, deflate, br, zstd", br),
            css("gzip, zstd", zstd),
            css("gzip;q=1, br;q=0.9", gzip),
            css("gzip;q=0.001", gzip),
            css("br;q=0.5,zstd;q=0.7 , gzip ; q=0.6", zstd),
            css("gzip\r\nAccept-Encoding: br", br),
            css("*", br),
            css("*;q=0.5, br;q=0", zstd),
            css("gzip;q=0.5, *;q=0.6", br),
            css("gzip, *;q=0", gzip),
            css("deflate", None),
            css("gzip;q=0", None),
            css("gzip;q=0.000, br;q=0", None),
            css("gzip;q=2", None),
            css("gzip;q=x", None),
            css("gzip;level=9", None),
            css("gzipped", None),
            css("gzip br", None),
            css("identity", None),
            css("gzip, identity", gzip),
            css("gzip;q=0.5, identity", None),
            css("identity;q=0.5, gzip;q=0.4", None),
            css("identity;q=0.4, gzip;q=0.5", gzip),
            css("identity;q=1, *;q=0", None),
            css("identity;q=0, gzip", gzip),
            sent("/coded/y.js", "br, gzip;q=0.1", gzip, "in gzip"),
            sent("/coded/y.js", "br, zstd", None, "as it is"),
        ];
        // RFC 9110 §12.5.3, §15.5.7: the file as it is can be excluded too.
        for (target, accept, status) in [
            ("/coded/x.css", "*;q=0", 406),
            ("/coded/x.css", "identity;q=0", 406),
            ("/coded/y.js", "br, identity;q=0", 406),
            ("/coded/alone.txt", "gzip, *;q=0", 406),
            ("/coded/picture.png", "identity;q=0, gzip", 406),
            ("/coded/picture.png", "gzip, *;q=0.1", 200),
            ("/nothing", "*;q=0", 404),
        ] {
            let fields = format!("Accept-Encoding: {accept}\r\nIf-Match: \"x\"\r\nRange: bytes=900-\r\n");
            let fields = if status == 200 { format!("Accept-Encoding: {accept}\r\n") } else { fields };
            cases.push(case(format!("GET {target}"), fields, status));
        }
        cases
    }

    fn with_coding(one: &Case, coding: &str) -> Case {
        let Case { line, fields, status, body, wants } = one;
        let copy = Case {
            line: line.clone(),
            fields: fields.clone(),
            status: *status,
            body: body.clone(),
            wants: wants.clone(),
        };
        copy.with("Content-Encoding", coding)
    }

    fn case_without_coding(one: &Case) -> Case {
        let mut plain = with_coding(one, "");
        plain.wants.pop();
        plain.without("Content-Encoding")
    }

    pub fn a_coded_form_is_no_older_and_no_other_file(_: &Site) -> Vec<Case> {
        let all = "Accept-Encoding: gzip, br, zstd\r\n";
        let plain = |target: &str| case(format!("GET {target}"), all, 200).body("as it is").without("Content-Encoding");
        let gzip = |target: &str| case(format!("GET {target}"), all, 200).with("Content-Encoding", "gzip");
        vec![
            gzip("/coded/old.css").body("in gzip"), // The one in brotli is older by a nanosecond.
            gzip("/coded/cut.css").body("in gzip"),
            plain("/coded/folder.css").with("Vary", "Accept-Encoding"),
            plain("/coded/out.css").with("Vary", "Accept-Encoding"),
            plain("/coded/alone.txt").with("Vary", "Accept-Encoding"),
            plain("/coded/picture.png").without("Vary"),
            gzip("/index/").body("index, gzipped").with("Content-Type", "text/html; charset=utf-8"),
            case("GET /coded/.dot.css", all, 404),
            case("GET /coded/.dot.css.gz", all, 404),
            case("GET /coded/nothing.css", all, 404),
            // Asked for by its own name it is a file like others.
            case("GET /coded/x.css.gz", all, 200)
                .body("in gzip")
                .with("Content-Type", "application/gzip")
                .without("Content-Encoding")
                .without("Vary"),
            case("GET /coded/x.css.br", "", 200).body("in brotli").without("Content-Encoding"),
        ]
    }

    pub fn conditions_and_ranges_are_of_the_form_that_was_chosen(site: &Site) -> Vec<Case> {
        let tag = |fields: &str| site.ask("GET /coded/x.css", fields).field("ETag").unwrap().to_string();
        let gzip = "Accept-Encoding: gzip\r\n";
        let (plain_tag, gzip_tag, br_tag) = (tag(""), tag(gzip), tag("Accept-Encoding: br\r\n"));
        assert!(plain_tag != gzip_tag && gzip_tag != br_tag && br_tag != plain_tag, "each form has a tag of its own");
        let ask = |fields: &str, status: u16| case("GET /coded/x.css", fields, status);
        let none_match = |tag: &str| format!("If-None-Match: {tag}\r\n");
        let vary = "Accept-Encoding";
        vec![
            ask(&(none_match(&gzip_tag) + gzip), 304)
                .with("ETag", &gzip_tag)
                .with("Vary", vary)
                .without("Content-Encoding"),
            ask(&none_match(&gzip_tag), 200).with("ETag", &plain_tag).with("Vary", vary).body("as it is"),
            ask(&(none_match(&plain_tag) + gzip), 200).with("ETag", &gzip_tag).body("in gzip"),
            ask(&none_match(&plain_tag), 304).with("ETag", &plain_tag).with("Vary", vary),
            ask(&format!("If-Match: {plain_tag}\r\n{gzip}"), 412),
            ask(&format!("If-Match: {gzip_tag}\r\n{gzip}"), 200).body("in gzip"),
            // RFC 9110 §14.1.2: ranges are of the coded bytes.
            ask(&format!("Range: bytes=3-\r\n{gzip}"), 206)
                .body("gzip")
                .with("Content-Range", "bytes 3-6/7")
                .with("Content-Encoding", "gzip")
                .with("Vary", vary)
                .with("ETag", &gzip_tag),
            ask(&format!("Range: bytes=3-\r\nIf-Range: {gzip_tag}\r\n{gzip}"), 206).body("gzip"),
            ask(&format!("Range: bytes=3-\r\nIf-Range: {plain_tag}\r\n{gzip}"), 200).body("in gzip"),
            ask(&format!("Range: bytes=7-\r\n{gzip}"), 416).with("Content-Range", "bytes */7"),
            ask("Range: bytes=7-\r\n", 206).body("s"),
            // Of several it could not be told whether the parts are coded or the whole.
            ask(&format!("Range: bytes=0-0,3-\r\n{gzip}"), 200).body("in gzip").with("Content-Encoding", "gzip"),
            ask(&format!("Range: bytes=0-2,3-4\r\n{gzip}"), 206).body("in gz").with("Content-Encoding", "gzip"),
            ask("Range: bytes=0-0,3-\r\n", 206).without("Content-Encoding"),
        ]
    }

    pub fn types_are_meant(site: &Site) -> Vec<Case> {
        let meant = |line: &str, fields: &str, status: u16| {
            case(line, fields, status).with("X-Content-Type-Options", "nosniff")
        };
        vec![
            meant("GET /a.bin", "", 200),
            meant("GET /a.bin", "Range: bytes=0-0\r\n", 206),
            meant("GET /a.bin", "Range: bytes=0-0,9-9\r\n", 206),
            meant("GET /a.bin", "Range: bytes=900-\r\n", 416),
            meant("GET /a.bin", "If-Match: \"x\"\r\n", 412),
            meant("GET /coded/x.css", "Accept-Encoding: gzip\r\n", 200),
            meant("GET /list/", "", 200),
            meant("GET /list/?json", "", 200),
            meant("GET /list", "", 301),
            meant("GET /nothing", "", 404),
            meant("GET /nothing", "Accept: text/html\r\n", 404),
            meant("PUT /a.bin", "", 405),
            meant("BREW /a.bin", "", 501),
            meant("GET /route/plain", "", 200),
            case("GET /a.bin", format!("If-None-Match: {}\r\n", site.file_tag), 304).without("X-Content-Type-Options"),
        ]
    }

    /// RFC 9110 §9.3.8: it would show a script what cookies it may not see.
    pub fn trace_is_not_allowed(_: &Site) -> Vec<Case> {
        let targets = [
            ("/a.bin", "GET, HEAD, OPTIONS"),
            ("/list/", "GET, HEAD, OPTIONS"),
            ("/nothing", "GET, HEAD, OPTIONS"),
            ("/route/plain", "GET, HEAD, OPTIONS"),
            ("/route/new", "DELETE, OPTIONS, PATCH, POST, PUT"),
        ];
        targets.map(|(target, allow)| case(format!("TRACE {target}"), "", 405).with("Allow", allow)).into()
    }
}

/// RFC 9110 §8.8.2.2: within the second that it names a date may stand for two states; and as long as the tag is weak the file may change unseen.
#[test]
fn a_date_is_no_strong_validator_before_its_second_is_over() {
    let site = Site::new(Resolver::Openat2);
    // A file that is changed early in a second.
    let changed = loop {
        fs::write(site.path("a.bin"), hundred()).unwrap();
        let metadata = fs::metadata(site.path("a.bin")).unwrap();
        if metadata.mtime_nsec() < 800_000_000 {
            break metadata.modified().unwrap();
        }
    };
    let second = UNIX_EPOCH + Duration::from_secs(changed.duration_since(UNIX_EPOCH).unwrap().as_secs());
    let wire = request("GET /a.bin", &format!("Range: bytes=0-0\r\nIf-Range: {}\r\n", format_date(changed)));
    for (now, is_strong, status) in [
        (changed, false, 200),
        (changed + Duration::from_millis(150), true, 200),
        (second + Duration::from_nanos(999_999_999), true, 200),
        (second + Duration::from_secs(1), true, 206),
    ] {
        let answer = read(&answer_to(&site.listener(), [wire.as_bytes()], now - AGE), false);
        let is_tag_strong = !answer.field("ETag").unwrap().starts_with("W/");
        assert_eq!((is_tag_strong, answer.status), (is_strong, status), "{:?} later", now.duration_since(changed));
    }
    // The date is of long ago, and was set a moment ago.
    site.set_modified("a.bin", UNIX_EPOCH + Duration::from_secs(1_000_000_000));
    let wire = request("GET /a.bin", &format!("Range: bytes=0-0\r\nIf-Range: {DATE}\r\n"));
    let at = |now: SystemTime| read(&answer_to(&site.listener(), [wire.as_bytes()], now - AGE), false).status;
    assert_eq!((at(changed), at(SystemTime::now() + AGE)), (200, 206));
}

#[test]
fn a_weak_tag_says_304_but_never_412_otherwise() {
    let mut site = Site::new(Resolver::Openat2);
    site.keeps_nothing(); // Of what was settled once that stays known, and here the clock goes back.
    let tag = &site.file_tag;
    // At the moment of its last change.
    let now = SystemTime::now() - AGE * 2;
    for (fields, want) in [
        (format!("If-None-Match: {tag}\r\n"), 304),
        (format!("If-None-Match: W/{tag}\r\n"), 304),
        (format!("If-Match: {tag}\r\n"), 412),
        (format!("If-Match: W/{tag}\r\n"), 412),
        ("If-Match: *\r\n".into(), 200),
        (format!("Range: bytes=0-0\r\nIf-Range: W/{tag}\r\n"), 200),
        (format!("Range: bytes=0-0\r\nIf-Range: {tag}\r\n"), 200),
    ] {
        let wire = request("GET /a.bin", &fields);
        assert_eq!(read(&answer_to(&site.listener(), [wire.as_bytes()], now), false).status, want, "{fields}");
    }
}

#[test]
fn a_listing_has_a_tag_of_what_it_says() {
    for resolver in RESOLVERS {
        let site = Site::new(resolver);
        let tag = |target: &str| site.ask(&format!("GET {target}"), "").field("ETag").unwrap().to_string();
        let (page, json) = (tag("/list/"), tag("/list/?json"));
        assert_eq!((tag("/list/"), tag("/list/?json")), (page.clone(), json.clone()));
        assert!(page != json && !page.starts_with("W/"), "other bytes, other tag; and the same tag is the same bytes");
        // The folder's own times do not change with these.
        let changes: [&dyn Fn(); 3] =
            [&|| site.write("list/a.txt", "ab"), &|| site.set_modified("list/a.txt", SystemTime::now()), &|| {
                site.write("list/b.txt", "")
            }];
        let mut before = page;
        for change in changes {
            change();
            let after = tag("/list/");
            assert_ne!(after, before);
            assert_eq!(site.ask("GET /list/", &format!("If-None-Match: {before}\r\n")).status, 200);
            assert_eq!(site.ask("GET /list/", &format!("If-None-Match: {after}\r\n")).status, 304);
            before = after;
        }
    }
}

#[test]
fn precompressed_files_can_be_left_alone() {
    for resolver in RESOLVERS {
        let mut site = Site::new(resolver);
        site.service = site.serve(Options { precompressed: false, ..Options::default() });
        let answer = site.ask("GET /coded/x.css", "Accept-Encoding: gzip, br\r\n");
        assert_eq!((answer.field("Content-Encoding"), answer.field("Vary")), (None, None));
        assert_eq!(answer.body, b"as it is");
    }
}

/// A coded form follows its file: gone, made anew, outdated.
#[test]
fn a_coded_form_is_looked_for_each_time() {
    for resolver in RESOLVERS {
        let mut site = Site::new(resolver);
        site.keeps_nothing(); // With the cache it is looked for once a second: see tests/cache.rs.
        let sent = || String::from_utf8(site.ask("GET /coded/y.js", "Accept-Encoding: gzip\r\n").body).unwrap();
        assert_eq!(sent(), "in gzip");
        site.set_modified("coded/y.js", changed() + Duration::from_nanos(1));
        assert_eq!(sent(), "as it is", "the file is newer");
        site.set_modified("coded/y.js.gz", changed() + Duration::from_nanos(1));
        assert_eq!(sent(), "in gzip");
        site.set_modified("coded/y.js.gz", UNIX_EPOCH + Duration::from_secs(999_999_999));
        assert_eq!(sent(), "as it is", "a whole second is older too");
        fs::remove_file(site.path("coded/y.js.gz")).unwrap();
        assert_eq!(sent(), "as it is");
        fs::remove_file(site.path("coded/y.js")).unwrap();
        site.write("coded/y.js.gz", "alone");
        assert_eq!(site.ask("GET /coded/y.js", "Accept-Encoding: gzip\r\n").status, 404, "a form of what is not there");
    }
}

/// What is sent is bounded by what is there and a part's head for each range, however often it is asked for; what is looked at, by the head.
#[test]
fn what_is_asked_for_many_times_is_sent_once() {
    let site = Site::new(Resolver::Openat2);
    let ranges = |range: fn(usize) -> String, count: usize| {
        let value = (0..count).map(range).collect::<Vec<_>>().join(",");
        let answer = site.ask("GET /a.bin", &format!("Range: bytes={value}\r\n"));
        assert_eq!(answer.status, 206, "{value}");
        answer.body
    };
    assert_eq!(ranges(|_| "0-".into(), RANGES_MAX), hundred());
    assert_eq!(ranges(|at| format!("-{}", at + 1), RANGES_MAX), hundred()[100 - RANGES_MAX..]);
    let apart = ranges(|at| format!("{0}-{0}", 2 * at), 50);
    assert!(apart.len() <= 50 * (1 + 160) + 60, "{} bytes for fifty", apart.len());
    // A list of tags is read to its end, however long; past what a head may be it is not read at all.
    let tags = |count: usize| format!("If-None-Match: {}{}\r\n", "\"no\",".repeat(count), site.file_tag);
    for (fields, status) in [(tags(2_500), 304), (tags(4_000), 431), ("a:\r\n".repeat(10_000), 431)] {
        let mut wire = Wire::new(&site.listener(), SystemTime::now());
        wire.feed(request("GET /a.bin", &fields).as_bytes());
        let answer = read(&wire.sent, false);
        assert_eq!((answer.status, answer.body.len() < 100), (status, true), "{} bytes", fields.len());
    }
}

/// The boundary is not in the file, also where somebody who saw one wrote it there.
#[test]
fn a_boundary_that_was_seen_is_not_used_again() {
    let site = Site::new(Resolver::Openat2);
    let ranges = "Range: bytes=0-49,60-\r\n";
    let mut seen = Vec::new();
    for _ in 0..3 {
        let answer = site.ask("GET /a.bin", ranges);
        let boundary = multipart::boundary(answer.field("Content-Type").unwrap()).to_string();
        assert_eq!(answer.body, site.ask("GET /a.bin", ranges).body, "the same request gets the same bytes");
        assert!(!seen.contains(&boundary));
        let content = format!("{:0>60}\r\n--{boundary}--\r\n{:0>60}", "", "");
        site.write("a.bin", &content);
        let parts = read_multipart(&site.ask("GET /a.bin", ranges)).unwrap();
        let bytes: Vec<_> = parts.iter().map(|part| part.content.as_slice()).collect();
        assert_eq!(bytes, [&content.as_bytes()[..50], &content.as_bytes()[60..]]);
        seen.push(boundary);
    }
}

const LARGE: usize = 3_000_000;

fn pattern(length: usize) -> Vec<u8> {
    (0..length as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// Parts from memory and by sendfile, one behind another, on one connection.
fn several_ranges_of_a_large_file_arrive_byte_for_byte(way: Way) {
    let site = Site::new(Resolver::Openat2);
    let content = pattern(LARGE);
    site.write("large.txt", &content);
    let serving = Serving::new(way, site.service.clone(), Limits::default());
    let mut client = Client::new(serving.address);
    let sets: [&[(usize, usize)]; 4] = [
        &[(0, 0), (LARGE - 1, LARGE - 1)],
        &[(1_000_000, 2_500_000), (0, 10), (2_900_000, LARGE - 1), (20, 900_000)],
        &[(0, 16_384), (20_000, 20_001)],
        &[(0, 8_000), (20_000, 28_000)],
    ];
    let list = |set: &[(usize, usize)]| {
        set.iter().map(|(first, last)| format!("{first}-{last}")).collect::<Vec<_>>().join(", ")
    };
    client.send(sets.map(|set| request("GET /large.txt", &format!("Range: bytes={}\r\n", list(set)))).concat());
    for set in sets {
        let answer = client.answer(false);
        assert_eq!(answer.status, 206);
        let parts = read_multipart(&answer).unwrap();
        let got: Vec<_> =
            parts.iter().map(|part| (part.first as usize, part.first as usize + part.content.len() - 1)).collect();
        assert_eq!(got, set);
        for part in parts {
            assert_eq!((part.size, part.media_type.as_str()), (LARGE as u64, "text/plain; charset=utf-8"));
            assert!(part.content == content[part.first as usize..][..part.content.len()], "from {}", part.first);
        }
    }
    assert_eq!(client.rest(true), b"");
}

/// Its length is told, and its first bytes come, though nobody could hold it.
fn ranges_past_four_gib_are_streamed(way: Way) {
    const SIZE: u64 = 1 << 40;
    let site = Site::new(Resolver::Openat2);
    let file = File::create(site.path("large.bin")).unwrap();
    if file.set_len(SIZE).is_err() {
        let _ = writeln!(std::io::stderr(), "skipped: ranges of a file of 1 TiB: this file system has none");
        return;
    }
    file.write_all_at(b"here", 5 << 30).unwrap();
    let serving = Serving::new(way, site.service.clone(), Limits::default());
    let mut socket = TcpStream::connect(serving.address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let range = format!("Range: bytes=-1, {}-549755813887, 0-7\r\n", 5u64 << 30);
    socket.write_all(request("GET /large.bin", &range).as_bytes()).unwrap();
    let mut came = Vec::new();
    let end = |came: &[u8]| came.windows(4).position(|four| four == b"here").filter(|at| came.len() > at + 100);
    while end(&came).is_none() {
        let mut buffer = [0; 4096];
        let count = socket.read(&mut buffer).unwrap();
        assert!(count > 0, "cut off: {}", came.escape_ascii());
        came.extend_from_slice(&buffer[..count]);
    }
    let text = String::from_utf8_lossy(&came[..end(&came).unwrap()]).into_owned();
    let length: u64 = text.split("Content-Length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
    let heads = length - (1 + (549_755_813_888 - (5 << 30)) + 8);
    assert!((300..600).contains(&heads), "{heads} bytes beside the ranges: {text}");
    assert!(text.contains(&format!("Content-Range: bytes {}-{}/{SIZE}\r\n", SIZE - 1, SIZE - 1)), "{text}");
}

/// What Range asks for, read by hand: `None` where it says nothing, else each range that it names, ends included.
fn asked_for(value: &str, size: u64) -> Option<Vec<Option<(u64, u64)>>> {
    let set = value.strip_prefix("bytes=")?;
    let mut named = Vec::new();
    for range in set.split(',').map(|range| range.trim_matches([' ', '\t'])).filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-')?;
        let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u128>().ok());
        let size = u128::from(size);
        named.push(match (number(first)?, number(last)?) {
            (None, None) => return None,
            (Some(first), Some(last)) if last < first => return None,
            (Some(first), _) if first >= size => None,
            (Some(first), last) => Some((first, last.unwrap_or(size).min(size - 1))),
            (None, Some(0)) => None,
            (None, Some(_)) if size == 0 => return None,
            (None, Some(suffix)) => Some((size - suffix.min(size), size - 1)),
        });
    }
    let small = |(first, last): (u128, u128)| (first as u64, last as u64);
    (!named.is_empty()).then(|| named.into_iter().map(|range| range.map(small)).collect())
}

/// Sizes around what is read at once and what is not.
const SIZES: [u64; 6] = [0, 1, 7, 40, 20_000, 100_000];

fn any_range() -> impl Generator<Value = (u64, String)> {
    prop::sample::select(&SIZES[..]).prop_flat_map(|size| {
        let number = move || prop_oneof![8 => 0..=size, 2 => 0..=size * 5 / 4 + 2, 1 => Just(u64::MAX)];
        let range = prop_oneof![
            8 => (number(), 0..=size / 4 + 1).prop_map(|(first, more)| format!("{first}-{}", first.saturating_add(more))),
            2 => (number(), number()).prop_map(|(first, last)| format!("{first}-{last}")),
            2 => number().prop_map(|first| format!("{first}-")),
            2 => number().prop_map(|suffix| format!("-{suffix}")),
            1 => prop::sample::select(&["", "-", "0", "x-1", "1-x", "0x1-2", "99999999999999999999999-", "+0-1", "0-0-0", "-0"][..])
                .prop_map(str::to_string),
        ];
        let comma = prop::sample::select(&[",", ", ", " ,\t"][..]);
        let set = prop::collection::vec((range, comma), 0..6);
        let unit = prop_oneof![19 => Just("bytes="), 1 => prop::sample::select(&["byte=", "bytes", "lines=", ""][..])];
        (Just(size), unit, set).prop_map(|(size, unit, set)| {
            let set: String = set.into_iter().map(|(range, comma)| range + comma).collect();
            (size, format!("{unit}{set}"))
        })
    })
}

/// Whatever is asked for, the bytes that come are those bytes of the file, each once, in the order of the question.
#[test]
fn any_range_gives_these_bytes_and_no_others() {
    let site = Site::new(Resolver::Openat2);
    SIZES.iter().for_each(|size| site.write(&format!("{size}.txt"), pattern(*size as usize)));
    let config = ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |((size, value) in any_range())| {
        let content = pattern(size as usize);
        let answer = site.ask(&format!("GET /{size}.txt"), &format!("Range: {value}\r\n"));
        let Some(asked) = asked_for(&value, size) else {
            prop_assert_eq!(answer.status, 200);
            prop_assert!(answer.body == content);
            return Ok(());
        };
        let ranges: Vec<(u64, u64)> = asked.into_iter().flatten().collect();
        if ranges.is_empty() {
            let outside = format!("bytes */{size}");
            prop_assert_eq!((answer.status, answer.field("Content-Range")), (416, Some(outside.as_str())));
            return Ok(());
        }
        prop_assert_eq!(answer.status, 206);
        let parts = read_multipart(&answer).map_err(TestCaseError::fail)?;
        prop_assert!(parts.len() == 1 || parts.len() <= ranges.len());
        let mut wanted = vec![false; size as usize];
        ranges.iter().for_each(|(first, last)| wanted[*first as usize..=*last as usize].fill(true));
        let mut sent = vec![false; size as usize];
        let mut places = Vec::new();
        for part in &parts {
            let (first, end) = (part.first as usize, part.first as usize + part.content.len());
            prop_assert_eq!((part.size, part.media_type.as_str()), (size, "text/plain; charset=utf-8"));
            prop_assert!(part.content == content[first..end], "the bytes from {first}");
            prop_assert!(!sent[first.saturating_sub(1)..(end + 1).min(size as usize)].contains(&true), "none twice, none apart that touch");
            sent[first..end].fill(true);
            places.push(ranges.iter().position(|(begin, _)| (first..end).contains(&(*begin as usize))).unwrap());
        }
        prop_assert!(sent == wanted, "all that was asked for, and no more");
        prop_assert!(places.is_sorted(), "in the order of the field: {:?}", places);
    });
}
