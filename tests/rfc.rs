//! The tables of rules, `rfc9110.md` and `rfc9112.md`: each row names tests that exist, or says why its rule does not apply.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

const TABLES: [&str; 2] = ["tests/rfc9110.md", "tests/rfc9112.md"];

/// Marks a rule whose test is still to come.
const PENDING: &str = "PENDING";

/// A row of a table.
#[derive(Debug)]
struct Row {
    /// The table and the line in it.
    place: String,
    section: String,
    rule: String,
    test: String,
    reason: String,
}

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The rows of a table, without its heads.
fn rows(table: &str) -> Vec<Row> {
    let text = fs::read_to_string(at(table)).unwrap();
    let lines = text.lines().enumerate().filter(|(_, line)| line.starts_with('|'));
    let cells = |(number, line): (usize, &str)| {
        let place = format!("{table}:{}", number + 1);
        let cells: Vec<_> = line.trim_matches('|').split('|').map(|cell| cell.trim().to_string()).collect();
        let [section, rule, test, reason] =
            <[String; 4]>::try_from(cells).unwrap_or_else(|_| panic!("{place}: not four cells"));
        Row { place, section, rule, test, reason }
    };
    lines.map(cells).filter(|row| row.section != "section" && !row.section.starts_with("--")).collect()
}

/// The names of all tests in a file: functions that are marked, and those that a macro makes tests of.
fn tests_in(text: &str) -> HashSet<String> {
    let name_of =
        |line: &str| line.trim().strip_prefix("fn ").and_then(|rest| rest.split('(').next()).map(str::to_string);
    let marked = text.split("#[test]").skip(1).filter_map(|behind| behind.lines().map(str::trim).find_map(name_of));
    let lists = ["facts! {", "on_every_backend! {", "on_every_loop! {"]
        .into_iter()
        .flat_map(|opening| text.split(opening).skip(1));
    let words = lists
        .filter_map(|behind| behind.split('}').next())
        .flat_map(|list| list.split(|c: char| c == ',' || c.is_whitespace()));
    let is_name =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    // A name in a list is a test only where the function is there too.
    let listed = words.filter(|word| is_name(word) && text.contains(&format!("fn {word}("))).map(str::to_string);
    marked.chain(listed).collect()
}

/// `5`, `15.3.7.2`, or an appendix: `C.1`.
fn is_section(text: &str) -> bool {
    let mut parts = text.split('.');
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_appendix = |part: &str| part.len() == 1 && part.as_bytes()[0].is_ascii_uppercase();
    parts.next().is_some_and(|first| is_number(first) || is_appendix(first)) && parts.all(is_number)
}

#[test]
fn each_rule_has_a_test_that_exists_or_a_reason() {
    let mut known: HashMap<String, HashSet<String>> = HashMap::new();
    let mut wrong = Vec::new();
    for row in TABLES.into_iter().flat_map(rows) {
        let mut is_wrong = |what: &str| wrong.push(format!("{}: {what}", row.place));
        if !is_section(&row.section) {
            is_wrong("no section");
        }
        if row.rule.is_empty() {
            is_wrong("no rule");
        }
        if row.test.is_empty() == row.reason.is_empty() {
            is_wrong("it has to have tests or a reason, and not both");
        }
        if row.test.starts_with(PENDING) {
            continue;
        }
        for path in row.test.split_whitespace() {
            let Some((file, name)) = path.trim_matches('`').split_once("::") else {
                is_wrong("not file::name");
                continue;
            };
            let tests = known
                .entry(file.to_string())
                .or_insert_with(|| fs::read_to_string(at(file)).map(|text| tests_in(&text)).unwrap_or_default());
            if !tests.contains(name) {
                is_wrong(&format!("there is no test {file}::{name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_rule_is_pending() {
    let pending: Vec<_> = TABLES
        .into_iter()
        .flat_map(rows)
        .filter(|row| row.test.contains(PENDING))
        .map(|row| format!("{}: §{} {} ({})", row.place, row.section, row.rule, row.test))
        .collect();
    assert!(pending.is_empty(), "{} rules have no test yet:\n{}", pending.len(), pending.join("\n"));
}

#[test]
fn the_finder_knows_a_test_when_it_sees_one() {
    // Put together here, so that this file has no such lists.
    let text = [
        "facts! {\n    one,\n    two, // Not here.\n    gone,\n}\nfn one(x: u8) {}\nfn helper() {}\n",
        "pub fn two() {}\n#[",
        "test]\n#[should_panic(expected = \"x\")]\nfn three() {}\nfn also_helper() {}\n",
        "on_every_backend! { $($fact,)+ four }\nfn four() {}",
    ]
    .concat();
    let mut found: Vec<_> = tests_in(&text).into_iter().collect();
    found.sort();
    assert_eq!(found, ["four", "one", "three", "two"]);
    assert!(["1", "15.3.7.2", "B", "C.2.1"].iter().all(|text| is_section(text)));
    assert!(["", "x", "1.", ".1", "1.x", "AB", "section"].iter().all(|text| !is_section(text)));
}
