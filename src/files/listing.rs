//! A folder without an index, as a page or as JSON.
//!
//! Invariant: a name reaches a page escaped and a link percent-encoded, whatever bytes it has; what would not be served is not listed.

use super::path::{DotNames, Resolved, encode_segment, is_left_out};
use super::root::Root;
use crate::http::{Response, seconds};
use crate::sys::{self, DirectoryEntry, EntryKind};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, UNIX_EPOCH};

const PAGE: &str = include_str!("listing.html");

/// For browsers without script.
const UPLOAD: &str = "<form method=\"post\" enctype=\"multipart/form-data\">\n\
    <label>Put files here <input type=\"file\" name=\"file\" multiple required></label>\n<button>Upload</button>\n</form>\n";

/// Something in a folder.
struct Item {
    name: Vec<u8>,
    is_folder: bool,
    size: u64,
    /// Seconds since 1970.
    changed: u64,
}

/// How a listing is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Page,
    Json,
}

/// Lists the folder that `directory` is open on and `at` names: folders first, then by name; on a page with a form for files, where it is open
/// to them.
///
/// # Errors
/// What reading the folder says.
pub(super) fn list(
    root: &Root,
    at: &Resolved,
    directory: &File,
    dot_names: DotNames,
    form: Form,
    is_open: bool,
) -> io::Result<Response> {
    let entries = sys::read_directory(directory.as_fd())?;
    let mut items: Vec<Item> = entries
        .into_iter()
        .filter(|entry| !is_left_out(&entry.name, dot_names))
        .filter_map(|entry| item(root, at, entry))
        .collect();
    items.sort_unstable_by(|a, b| b.is_folder.cmp(&a.is_folder).then_with(|| a.name.cmp(&b.name)));
    Ok(match form {
        Form::Page => Response::html(page(at, &items, is_open)),
        Form::Json => {
            let list: Vec<Value> = items.iter().map(Item::to_json).collect();
            Response::bytes("application/json", Value::from(list).to_string())
        }
    })
}

/// What is listed of an entry: files and folders, and links to either that do not lead out.
fn item(root: &Root, at: &Resolved, entry: DirectoryEntry) -> Option<Item> {
    let DirectoryEntry { name, kind, size, changed } = entry;
    match kind {
        EntryKind::File => Some(Item { name, is_folder: false, size, changed }),
        EntryKind::Folder => Some(Item { name, is_folder: true, size: 0, changed }),
        EntryKind::Link => {
            let target = root.open_beneath(&at.join(OsStr::from_bytes(&name)).path).ok()?.metadata().ok()?;
            let (is_folder, is_file) = (target.is_dir(), target.is_file());
            let size = if is_file { target.size() } else { 0 };
            let changed = seconds(target.modified().unwrap_or(UNIX_EPOCH));
            (is_folder || is_file).then_some(Item { name, is_folder, size, changed })
        }
        EntryKind::Other => None,
    }
}

impl Item {
    /// The link from its folder's page to it.
    fn href(&self) -> String {
        // "./" so that a name with a colon is no scheme.
        format!("./{}{}", encode_segment(&self.name), if self.is_folder { "/" } else { "" })
    }

    fn shown_name(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }

    fn to_json(&self) -> Value {
        let kind = if self.is_folder { "folder" } else { "file" };
        let size = if self.is_folder { Value::Null } else { self.size.into() };
        let changed = timestamp(self.changed);
        json!({ "name": self.shown_name(), "href": self.href(), "type": kind, "size": size, "changed": changed })
    }
}

fn page(at: &Resolved, items: &[Item], is_open: bool) -> String {
    let mut rows = String::with_capacity(items.len() * 200);
    let segments: Vec<&[u8]> =
        at.path.as_bytes().split(|byte| *byte == b'/').filter(|segment| *segment != b".").collect();
    if !segments.is_empty() {
        rows.push_str("<tr><td><a href=\"../\">..</a><td class=\"size\"><td class=\"time\">\n");
    }
    for item in items {
        let (name, slash) = (escape(&item.shown_name()), if item.is_folder { "/" } else { "" });
        let folder = if item.is_folder { " data-folder=\"1\"" } else { "" };
        let size = if item.is_folder { String::new() } else { human_size(item.size) };
        let (href, time) = (item.href(), timestamp(item.changed));
        rows.push_str(&format!(
            "<tr data-name=\"{name}\" data-size=\"{}\" data-time=\"{}\"{folder}><td><a href=\"{href}\">{name}{slash}</a>\
             <td class=\"size\">{size}<td class=\"time\">{}\n",
            item.size,
            item.changed,
            &time[..16].replace('T', " "),
        ));
    }
    let folders = items.iter().filter(|item| item.is_folder).count();
    let files = items.len() - folders;
    let bytes: u64 = items.iter().map(|item| item.size).sum();
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let summary = format!("{}, {}, {}", plural(folders, "folder"), plural(files, "file"), human_size(bytes));
    let title = escape(&format!("/{}", String::from_utf8_lossy(&segments.join(&b'/'))));
    // The rows last: what stands in names is not looked through for places to fill.
    PAGE.replacen("{title}", &title, 1)
        .replacen("{breadcrumb}", &breadcrumb(&segments), 1)
        .replacen("{summary}", &summary, 1)
        .replacen("{upload}", if is_open { UPLOAD } else { "" }, 1)
        .replacen("{rows}", &rows, 1)
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

    #[test]
    fn names_are_text_and_nothing_else() {
        assert_eq!(escape("<a href='x'>&\"{rows}"), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;&#123;rows}");
    }

    #[test]
    fn a_breadcrumb_leads_up() {
        assert_eq!(breadcrumb(&[]), "<a href=\"./\">/</a>");
        let trail = breadcrumb(&[b"a", b"<b>"]);
        assert_eq!(trail, "<a href=\"../../\">/</a> <a href=\"../\">a</a> <span>/</span> &lt;b&gt; <span>/</span>");
    }
}
