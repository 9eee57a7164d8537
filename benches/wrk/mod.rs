//! wrk, and what it says.
#![allow(dead_code)] // Not every bench needs all of it.

use std::process::Command;

/// What it saw.
pub struct Seen {
    pub requests: f64,
    pub per_second: f64,
    pub p99_microseconds: f64,
    /// Errors, in its words.
    pub trouble: String,
}

/// Runs it with one thread, on the core of who calls, and with these words beside.
pub fn run(url: &str, connections: usize, seconds: usize, words: &[String]) -> Seen {
    let mut command = Command::new("wrk");
    command.args(["-t1", "--latency", &format!("-c{connections}"), &format!("-d{seconds}s")]).args(words).arg(url);
    let output = command.output().expect("it is installed");
    let text = String::from_utf8_lossy(&output.stdout);
    let line_with = |word: &str| text.lines().find(|line| line.contains(word)).unwrap_or_default();
    let number = |word: &str| {
        let number = line_with(word).split_whitespace().find_map(|word| word.parse::<f64>().ok());
        number.unwrap_or_else(|| panic!("wrk counts no {word}: {text}{}", String::from_utf8_lossy(&output.stderr)))
    };
    Seen {
        requests: number("requests in"),
        per_second: number("Requests/sec"),
        p99_microseconds: microseconds(p99_in(&text)),
        trouble: [line_with("Socket errors"), line_with("Non-2xx")].concat().trim().to_string(),
    }
}

/// The 99th percentile, which has a line of its own: another may say of a spread that it has `93.99%`.
fn p99_in(text: &str) -> &str {
    text.lines().find_map(|line| line.trim_start().strip_prefix("99%")).unwrap_or_default().trim()
}

/// A time as wrk writes it: `706.00us`, `1.02ms`, `1.50s`, `2.00m`.
fn microseconds(time: &str) -> f64 {
    let (number, unit) = time.split_at(time.find(char::is_alphabetic).unwrap_or(time.len()));
    let factor = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 60e6,
        _ => panic!("wrk says no time: {time:?}"),
    };
    number.parse::<f64>().expect("a number") * factor
}
