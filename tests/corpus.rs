//! What the fuzzers found, replayed: every input beneath `fuzz/corpus` is judged as its target judges it.

#[path = "../fuzz/oracles/mod.rs"]
mod oracles;

use std::fs;
use std::path::Path;

/// Judges every input of a target.
#[track_caller]
fn replay(target: &str, judge: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut paths: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() > 10, "{} has next to nothing", folder.display());
    for path in paths {
        let input = fs::read(&path).unwrap();
        if let Err(panic) = std::panic::catch_unwind(|| judge(&input)) {
            eprintln!("the input is {}", path.display());
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn heads() {
    replay("head", oracles::head::judge);
}

#[test]
fn chunked_bodies() {
    replay("chunked", oracles::chunked::judge);
}

#[test]
fn forms() {
    replay("form", oracles::form::judge);
}

#[test]
fn frames() {
    replay("frames", oracles::frames::judge);
}

#[test]
fn ranges() {
    replay("ranges", oracles::ranges::judge);
}

#[test]
fn conditions() {
    replay("conditions", oracles::conditions::judge);
}

#[test]
fn paths() {
    replay("path", oracles::path::judge);
}

#[test]
fn connections() {
    replay("connection", oracles::connection::judge);
}

/// A folder that no test reads is a target that nobody replays.
#[test]
fn every_target_is_replayed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let targets = |folder: &str, ending: &str| -> Vec<String> {
        let names =
            fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.map(|name| name.trim_end_matches(ending).to_string()).collect();
        names.sort();
        names
    };
    let replayed = ["chunked", "conditions", "connection", "form", "frames", "head", "path", "ranges"];
    assert_eq!(targets("fuzz/corpus", ""), replayed);
    assert_eq!(targets("fuzz/fuzz_targets", ".rs"), replayed);
}
