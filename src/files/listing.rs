//! A folder without an index, as a page or as JSON.
//!
//! Invariant: a name reaches a page escaped and a link percent-encoded, whatever bytes it has; what would not be served is not listed.
//!
//! ```text
//!   few entries:  read, sorted, written at once ─────────────────────────────────────▶ a body with its length
//!   more:         read and sorted on a thread, within `Lists` ─▶ rows, some at a time ─▶ a stream
//! ```

use super::path::{DotNames, Resolved, encode_segment, is_left_out};
use super::quota::{Quota, Room};
use super::root::Root;
use super::{Uploads, reject};
use crate::http::{Body, EntityTag, Reject, Response, Stream, seconds};
use crate::protocol::Chunk;
use crate::sys::{self, DirectoryEntry, EntryKind};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::iter::once;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

const PAGE: &str = include_str!("listing.html");

/// What a page has besides where clients may change its folder, each at its place. Without script a form is left.
const CHANGES: [(&str, &str); 3] = [
    ("{changes.css}", include_str!("changes.css")),
    ("{changes.html}", include_str!("changes.html")),
    ("{changes.js}", include_str!("changes.js")),
];

/// A folder of more entries is listed beside the loop: these take a millisecond, ten thousand take thirty.
const ENTRIES_AT_ONCE_MAX: usize = 256;

/// What all lists that are made beside the loop, or are on their way to slow clients, may have in memory: more than a million entries.
pub(super) const LISTS_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Rows are sent so many bytes at a time.
const CHUNK_BYTES_MIN: usize = 64 * 1024;

/// How a listing is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Form {
    Page,
    Json,
}

/// A folder that is to be listed: folders first, then by name. Where clients may change it the page lets them.
pub(super) struct Listing {
    pub(super) root: Arc<Root>,
    pub(super) at: Resolved,
    /// What is at `at`.
    pub(super) directory: File,
    pub(super) dot_names: DotNames,
    pub(super) uploads: Option<Uploads>,
    pub(super) form: Form,
}

/// What is in a folder. The names stand in one block, since a million blocks would be hardly given back.
#[derive(Default)]
struct List {
    names: Vec<u8>,
    items: Vec<Item>,
}

/// Something in a folder.
struct Item {
    /// Where its name stands.
    name: Range<u32>,
    is_folder: bool,
    size: u64,
    /// Seconds since 1970.
    changed: u64,
}

impl Listing {
    /// All of it; `None` of a folder that has too many entries to be looked through while others wait.
    ///
    /// # Errors
    /// What reading the folder says.
    pub(super) fn at_once(&self) -> io::Result<Option<Response>> {
        let mut entries = 0;
        let few = |_: &List| {
            entries += 1;
            entries <= ENTRIES_AT_ONCE_MAX
        };
        let Some(list) = self.read(few)? else { return Ok(None) };
        let text: String = self.text(list).collect();
        Ok(Some(Response::bytes(self.form.media_type(), text)))
    }

    /// The same of any folder, for a thread that may take its time. It is read now, and written as the client takes it. Its tag is made of
    /// what it says, too.
    ///
    /// # Errors
    /// What reading the folder says; 503 where `lists`, of which it takes its memory, has no more just now, 403 where all of it would not do.
    pub(super) fn beside_the_loop(&self, lists: &Arc<Quota>) -> Result<Response, Reject> {
        let mut room = lists.room(0).expect("nothing is asked for");
        let mut bytes = 0;
        let list = self.read(|list| {
            bytes = list.bytes();
            room.grow_to(bytes).is_ok()
        });
        let list = list.map_err(|error| reject(&error))?.ok_or(match bytes > lists.bytes_max() {
            true => Reject::Forbidden("there is too much in it to be listed"),
            false => Reject::Busy,
        })?;
        let tag = self.tag(&list);
        let stream = Stream::offloaded(Pieces { rows: self.text(list), _room: room });
        let response = Response::of_type(self.form.media_type()).field("ETag", tag.as_str());
        Ok(response.with_body(Body::Stream(stream)))
    }

    /// What is in it, in order; `None` where `goes_on` says after an entry that it is too much.
    fn read(&self, mut goes_on: impl FnMut(&List) -> bool) -> io::Result<Option<List>> {
        let mut list = List::default();
        for entry in sys::read_directory(self.directory.as_fd())? {
            self.note(entry?, &mut list);
            if !goes_on(&list) {
                return Ok(None);
            }
        }
        let List { names, items } = &mut list;
        items.sort_unstable_by(|a, b| b.is_folder.cmp(&a.is_folder).then_with(|| name(names, a).cmp(name(names, b))));
        Ok(Some(list))
    }

    /// What is listed of an entry: files and folders, and links to either that do not lead out.
    fn note(&self, entry: DirectoryEntry, list: &mut List) {
        let DirectoryEntry { name, kind, size, changed } = entry;
        if is_left_out(&name, self.dot_names) {
            return;
        }
        match kind {
            EntryKind::File => list.push(&name, false, size, changed),
            EntryKind::Folder => list.push(&name, true, 0, changed),
            EntryKind::Link => {
                let opened = self.root.open_beneath(&self.at.join(OsStr::from_bytes(&name)).path);
                let Ok(target) = opened.and_then(|file| file.metadata()) else { return };
                let (is_folder, is_file) = (target.is_dir(), target.is_file());
                if is_folder || is_file {
                    let changed = seconds(target.modified().unwrap_or(UNIX_EPOCH));
                    list.push(&name, is_folder, if is_file { target.size() } else { 0 }, changed);
                }
            }
            EntryKind::Other => {}
        }
    }

    /// What it says, row by row.
    fn text(&self, list: List) -> impl Iterator<Item = String> + Send + use<> {
        let form = self.form;
        let (begin, end) = self.around(&list);
        let rows = (0..list.items.len()).map(move |at| form.row(&list, at));
        once(begin).chain(rows).chain(once(end))
    }

    /// What stands before and behind the rows.
    fn around(&self, list: &List) -> (String, String) {
        match self.form {
            Form::Page => page(&self.at, list, self.uploads.as_ref()),
            Form::Json => ("[".into(), "]".into()),
        }
    }

    /// Of all that the text is made of. Strong: other bytes give another tag.
    fn tag(&self, list: &List) -> EntityTag {
        // As `Response::with_tag_of_content`, of less.
        let mut hasher = DefaultHasher::new();
        (self.form, self.around(list)).hash(&mut hasher);
        for item in &list.items {
            (name(&list.names, item), item.is_folder, item.size, item.changed).hash(&mut hasher);
        }
        EntityTag::strong(format!("{}-{:016x}", list.items.len(), hasher.finish()))
    }
}

impl List {
    fn push(&mut self, name: &[u8], is_folder: bool, size: u64, changed: u64) {
        let from = self.names.len() as u32; // Of bytes that the kernel keeps for names of one folder.
        self.names.extend_from_slice(name);
        self.items.push(Item { name: from..self.names.len() as u32, is_folder, size, changed });
    }

    fn bytes(&self) -> u64 {
        (self.names.len() + self.items.len() * size_of::<Item>()) as u64
    }
}

fn name<'a>(names: &'a [u8], item: &Item) -> &'a [u8] {
    &names[item.name.start as usize..item.name.end as usize]
}

/// Rows in chunks, which give their memory back at the end.
struct Pieces<Rows> {
    rows: Rows,
    _room: Room,
}

impl<Rows: Iterator<Item = String>> Iterator for Pieces<Rows> {
    type Item = io::Result<Chunk>;

    fn next(&mut self) -> Option<io::Result<Chunk>> {
        let mut piece = String::new();
        while piece.len() < CHUNK_BYTES_MIN
            && let Some(row) = self.rows.next()
        {
            piece.push_str(&row);
        }
        (!piece.is_empty()).then(|| Ok(Chunk::Bytes(piece.into_bytes())))
    }
}

impl Form {
    fn media_type(self) -> &'static str {
        match self {
            Form::Page => "text/html; charset=utf-8",
            Form::Json => "application/json",
        }
    }

    /// What is said of one item.
    fn row(self, list: &List, at: usize) -> String {
        let item = &list.items[at];
        let name = name(&list.names, item);
        match self {
            Form::Page => item.to_row(name),
            Form::Json => format!("{}{}", if at > 0 { "," } else { "" }, item.to_json(name)),
        }
    }
}

impl Item {
    /// The link from its folder's page to it.
    fn href(&self, name: &[u8]) -> String {
        // "./" so that a name with a colon is no scheme.
        format!("./{}{}", encode_segment(name), if self.is_folder { "/" } else { "" })
    }

    fn to_json(&self, name: &[u8]) -> Value {
        let kind = if self.is_folder { "folder" } else { "file" };
        let size = if self.is_folder { Value::Null } else { self.size.into() };
        let (shown, changed) = (String::from_utf8_lossy(name), timestamp(self.changed));
        json!({ "name": shown, "href": self.href(name), "type": kind, "size": size, "changed": changed })
    }

    fn to_row(&self, name: &[u8]) -> String {
        let (shown, slash) = (escape(&String::from_utf8_lossy(name)), if self.is_folder { "/" } else { "" });
        let folder = if self.is_folder { " data-folder=\"1\"" } else { "" };
        let size = if self.is_folder { String::new() } else { human_size(self.size) };
        let (href, time) = (self.href(name), timestamp(self.changed));
        format!(
            "<tr data-name=\"{shown}\" data-size=\"{}\" data-time=\"{}\"{folder}><td><a href=\"{href}\">{shown}{slash}</a>\
             <td class=\"size\">{size}<td class=\"time\">{}\n",
            self.size,
            self.changed,
            &time[..16].replace('T', " "),
        )
    }
}

/// A page up to the first row, and from the last one on.
fn page(at: &Resolved, list: &List, uploads: Option<&Uploads>) -> (String, String) {
    let segments: Vec<&[u8]> =
        at.path.as_bytes().split(|byte| *byte == b'/').filter(|segment| *segment != b".").collect();
    let folders = list.items.iter().filter(|item| item.is_folder).count();
    let files = list.items.len() - folders;
    let bytes = list.items.iter().fold(0, |bytes: u64, item| bytes.saturating_add(item.size));
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let summary = format!("{}, {}, {}", plural(folders, "folder"), plural(files, "file"), human_size(bytes));
    let title = escape(&format!("/{}", String::from_utf8_lossy(&segments.join(&b'/'))));
    let page = frame(uploads)
        .replacen("{title}", &title, 1)
        .replacen("{breadcrumb}", &breadcrumb(&segments), 1)
        .replacen("{summary}", &summary, 1);
    let (begin, end) =
        page.split_once("{rows}").expect("names have no braces here, and the page has one place for rows");
    let up =
        if segments.is_empty() { "" } else { "<tr><td><a href=\"../\">..</a><td class=\"size\"><td class=\"time\">\n" };
    (format!("{begin}{up}"), end.to_string())
}

/// The page without what it says of the folder.
fn frame(uploads: Option<&Uploads>) -> String {
    let overwrite = uploads.map_or("", |uploads| uploads.overwrite.name());
    let with = |page: String, (place, change)| page.replacen(place, if uploads.is_some() { change } else { "" }, 1);
    CHANGES.into_iter().fold(PAGE.to_string(), with).replacen("{overwrite}", overwrite, 1)
}

/// A link to each folder above, by as many steps up.
fn breadcrumb(segments: &[&[u8]]) -> String {
    let mut trail =
        format!("<a href=\"{}\">/</a>", if segments.is_empty() { "./".into() } else { "../".repeat(segments.len()) });
    for (depth, segment) in segments.iter().enumerate() {
        let name = escape(&String::from_utf8_lossy(segment));
        let up = segments.len() - depth - 1;
        match up {
            0 => trail.push_str(&format!(" {name} <span>/</span>")),
            up => trail.push_str(&format!(" <a href=\"{}\">{name}</a> <span>/</span>", "../".repeat(up))),
        }
    }
    trail
}

/// Text as HTML, also within quotes. Braces too, so that no name looks like a place of the page to fill.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '{' => escaped.push_str("&#123;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Bytes for a person: three digits and a unit.
fn human_size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ if value < 10.0 => format!("{value:.1} {}", UNITS[unit]),
        _ => format!("{value:.0} {}", UNITS[unit]),
    }
}

/// Seconds since 1970 as RFC 3339 writes them.
fn timestamp(seconds: u64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds.min(253_402_300_799))).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        let cases = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 KiB"),
            (1024, "1.0 KiB"),
            (10_240, "10 KiB"),
            (1_048_576, "1.0 MiB"),
            (5_368_709_120, "5.0 GiB"),
            (u64::MAX, "16 EiB"),
        ];
        for (bytes, want) in cases {
            assert_eq!(human_size(bytes), want);
        }
    }

    /// A folder of `count` files with names of one byte.
    fn listing(count: u8) -> (tempfile::TempDir, Listing) {
        let folder = tempfile::TempDir::new().unwrap();
        for number in 0..count {
            std::fs::write(folder.path().join(OsStr::from_bytes(&[b'a' + number])), "").unwrap();
        }
        let root = Arc::new(Root::open(folder.path()).unwrap());
        let directory = root.open_beneath(c".").unwrap();
        let at = crate::files::resolve("/", DotNames::Hidden).unwrap();
        let (dot_names, uploads, form) = (DotNames::Hidden, None, Form::Json);
        (folder, Listing { root, at, directory, dot_names, uploads, form })
    }

    #[test]
    fn lists_take_no_more_memory_than_they_may() {
        let (_folder, listing) = listing(9);
        let bytes = 9 * (size_of::<Item>() + 1) as u64;
        let ask = |lists: &Arc<Quota>| listing.beside_the_loop(lists).map_err(|reject| reject.status().as_u16());
        let (enough, short) = (Arc::new(Quota::new(bytes, 0)), Arc::new(Quota::new(bytes - 1, 0)));
        assert_eq!(ask(&short).unwrap_err(), 403, "it never will do");
        let first = ask(&enough).unwrap();
        assert_eq!(ask(&enough).unwrap_err(), 503, "as long as the first is on its way");
        drop(first);
        assert_eq!(ask(&enough).unwrap().status(), 200);
        assert_eq!(ask(&Arc::new(Quota::new(2 * bytes, 0))).unwrap().status(), 200);
    }

    #[test]
    fn names_are_text_and_nothing_else() {
        assert_eq!(escape("<a href='x'>&\"{rows}"), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;&#123;rows}");
    }

    #[test]
    fn where_nothing_may_be_changed_the_page_has_nothing_of_it() {
        let without = frame(None);
        let marks = ["changes", "upload", "dialog", "XMLHttpRequest", "fetch", "type=\"file\"", "drop"];
        assert!(!marks.iter().any(|mark| without.contains(mark)), "{without}");
        let with = frame(Some(&Uploads::default()));
        assert!(with.contains("data-overwrite=\"if-match\"") && marks.iter().all(|mark| with.contains(mark)), "{with}");
        let more: usize = CHANGES.iter().map(|(_, change)| change.len()).sum();
        assert_eq!(with.len(), without.len() + more - "{overwrite}".len() + "if-match".len());
    }

    #[test]
    fn a_breadcrumb_leads_up() {
        assert_eq!(breadcrumb(&[]), "<a href=\"./\">/</a>");
        let trail = breadcrumb(&[b"a", b"<b>"]);
        assert_eq!(trail, "<a href=\"../../\">/</a> <a href=\"../\">a</a> <span>/</span> &lt;b&gt; <span>/</span>");
    }
}
