//! The rooms of the design: which module may name which, and where `unsafe` stands.

use std::fs;
use std::path::{Path, PathBuf};

/// Each room and the rooms whose names may stand in it. A path that is not here points up.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("sys", &[]),
    ("bell", &["sys"]),
    ("poller", &["sys"]),
    ("slab", &["poller"]),
    ("protocol", &[]),
    ("timer", &["protocol"]),
    ("transport", &["sys", "protocol"]),
    ("reactor", &["sys", "bell", "poller", "slab", "protocol", "timer", "transport"]),
    ("coroutine", &["sys", "bell", "poller", "slab", "protocol", "timer", "transport"]),
    ("offload", &[]),
    ("http", &["protocol", "offload"]),
    ("websocket", &["protocol", "http"]),
    ("files", &["sys", "protocol", "offload", "http"]),
    ("router", &["http"]),
    ("models", &["sys", "poller", "protocol", "transport", "reactor", "coroutine"]),
    ("sandbox", &["sys"]),
    ("guard", &["http", "offload"]),
    ("server", &["sys", "poller", "protocol", "reactor", "models", "offload", "http", "files", "router", "guard"]),
    ("lab", &[]), // From outside, as any program: `tripoll::`.
    ("lib", &["poller", "models", "http", "server"]),
];

/// Every Rust file beneath `folder`, with its text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push((path.clone(), fs::read_to_string(path).unwrap()));
            }
        }
    }
    found
}

/// The room that a file of `src` belongs to: the first part of its path beneath it.
fn room(path: &Path) -> String {
    let beneath = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    Path::new(beneath.iter().next().unwrap()).file_stem().unwrap().to_str().unwrap().to_string()
}

/// A text without comments, so that what they say is not taken for code. Strings stay: no path of ours stands in one.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

/// Every room that a text names after `crate::`, alone or in braces.
fn names(code: &str) -> Vec<String> {
    let word = |text: &str| -> String { text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let mut found = Vec::new();
    for (at, path) in code.match_indices("crate::") {
        let is_ours = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let rest = code[at + path.len()..].trim_start();
        match rest.strip_prefix('{') {
            _ if !is_ours => {}
            None => found.push(word(rest)),
            Some(group) => found.extend(first_words(group)),
        }
    }
    found
}

/// The first word of each element of a brace group, whose inner groups are passed over.
fn first_words(group: &str) -> Vec<String> {
    let (mut depth, mut element, mut found) = (0, String::new(), Vec::new());
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => found.push(std::mem::take(&mut element)),
            _ if depth == 0 => element.push(c),
            _ => {}
        }
    }
    found.push(element);
    let first = |element: &String| element.trim().split("::").next().unwrap_or("").to_string();
    found.iter().map(first).filter(|word| !word.is_empty()).collect()
}

#[test]
fn imports_point_down() {
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        let room = room(&path);
        if ["main", "cli"].contains(&room.as_str()) {
            continue; // A crate of its own, above the library.
        }
        let allowed = MAY_NAME.iter().find(|(name, _)| *name == room);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("the room {room} is not in the table"));
        for name in names(&code(&text)) {
            if name != room && !allowed.contains(&name.as_str()) {
                wrong.push(format!("{}: {room} names {name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_finder_sees_paths_wherever_they_stand() {
    let text = "use crate::{http::{self, x}, sys};\nfn f() { crate::poller::g(); dollar_crate::no(); } // crate::timer";
    assert_eq!(names(&code(text)), ["http", "sys", "poller"]);
}

#[test]
fn unsafe_and_libc_stand_in_sys_alone() {
    // Put together here, so that this file does not find itself.
    let marks = [["unsafe", " {"], ["unsafe", " fn"], ["unsafe", " impl"], ["unsafe", " extern"], ["libc", "::"]];
    let mut wrong = Vec::new();
    for folder in ["src", "examples", "benches", "tests", "fuzz/oracles", "fuzz/fuzz_targets"] {
        for (path, text) in sources(folder) {
            if path.starts_with(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sys")) {
                continue;
            }
            let code = code(&text);
            wrong.extend(
                marks
                    .iter()
                    .map(|mark| mark.concat())
                    .filter(|mark| code.contains(mark))
                    .map(|mark| format!("{}: {mark}", path.display())),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Rooms that have the time as a parameter: the others wait, or are above those who do.
const TIMELESS: [&str; 12] = [
    "bell",
    "poller",
    "slab",
    "protocol",
    "timer",
    "transport",
    "offload",
    "http",
    "websocket",
    "files",
    "router",
    "guard",
];

/// Lest two readings within a turn differ, and so that tests say what time it is. The one exception is for handlers.
#[test]
fn no_clock_is_read_where_time_is_a_parameter() {
    for (path, text) in sources("src") {
        if !TIMELESS.contains(&room(&path).as_str()) || path.ends_with("http/date.rs") {
            continue;
        }
        let code = code(text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default());
        for clock in ["Instant::now", "SystemTime::now", ".elapsed()", "date::now("] {
            assert!(!code.contains(clock), "{}: {clock}", path.display());
        }
    }
}
