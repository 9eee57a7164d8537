//! A run as files: raw rounds as CSV and JSON, charts, the report. And back again.

use super::canvas;
use super::charts::charts;
use super::row::{Memory, OfModel, Row};
use super::run::{Run, Subject};
use super::{models, report};
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;

/// What `--from` reads.
const JSON: &str = "run.json";

/// Writes all of it into `folder`, which is made where it is not there.
///
/// # Errors
/// What the file system says.
pub fn write(folder: &Path, run: &Run, beside: Option<&Run>) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join(JSON), serde_json::to_string_pretty(run)? + "\n")?;
    fs::write(folder.join("rounds.csv"), csv(&run.rows))?;
    for chart in charts(run) {
        fs::write(folder.join(format!("{}.svg", chart.name)), standalone(&chart.svg))?;
    }
    if run.subject == Subject::Models {
        fs::write(folder.join("figures.md"), models::markdown(run))?;
    }
    fs::write(folder.join("report.html"), report::render(run, beside))
}

/// Reads a run that was written.
///
/// # Errors
/// Where there is none, in words.
pub fn read(folder: &Path) -> Result<Run, String> {
    let path = folder.join(JSON);
    let try_what = "it is a folder that `tripoll compare --out` wrote";
    let text = fs::read(&path).map_err(|error| format!("cannot read {}: {error}; {try_what}", path.display()))?;
    serde_json::from_slice(&text).map_err(|error| format!("{} is no run: {error}; {try_what}", path.display()))
}

/// A chart on a page of its own: dark on white.
fn standalone(svg: &str) -> String {
    let svg = svg.replace(canvas::TEXT, "#222222").replace(canvas::GRID, "#dddddd");
    svg.replacen('>', "><rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>", 1)
}

/// A line a round, with the names of its fields first.
pub fn csv(rows: &[Row]) -> String {
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        let fields = fields(row);
        if at == 0 {
            let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
            writeln!(text, "{}", names.join(",")).expect("writing to memory does not fail");
        }
        let values: Vec<&str> = fields.iter().map(|(_, value)| value.as_str()).collect();
        writeln!(text, "{}", values.join(",")).expect("writing to memory does not fail");
    }
    text
}

fn fields(row: &Row) -> Vec<(&'static str, String)> {
    let cell = row.cell;
    let offered = row.offered_per_second.map_or(String::new(), |rate| format!("{rate:.1}"));
    let figure = |value: f64| format!("{value:.4}");
    let mut fields = vec![
        ("work", cell.work.to_string()),
        ("idle", cell.idle.to_string()),
        ("active", cell.active.to_string()),
        ("offered_per_second", offered),
        (if row.model.is_some() { "model" } else { "strategy" }, row.strategy.clone()),
        ("round", row.round.to_string()),
        ("seconds", figure(row.seconds)),
        ("requests", row.requests.to_string()),
        ("requests_per_second", figure(row.requests_per_second)),
        ("cpu_us_per_request", figure(row.cpu())),
        ("p50_us", figure(row.p50)),
        ("p99_us", figure(row.p99)),
        ("p999_us", figure(row.p999)),
        ("max_us", figure(row.max)),
    ];
    match row.model {
        Some(OfModel { served, gave_way, memory }) => {
            let bytes = |value: fn(Memory) -> u64| memory.map_or(String::new(), |memory| value(memory).to_string());
            fields.extend([
                ("connections_served", served.to_string()),
                ("connections_gave_way", gave_way.to_string()),
                ("memory_before_bytes", bytes(|memory| memory.before)),
                ("memory_open_bytes", bytes(|memory| memory.open)),
            ]);
        }
        None => {
            fields.extend([
                ("user_us_per_request", figure(row.user())),
                ("system_us_per_request", figure(row.system())),
                ("waits_per_request", figure(row.waits())),
                ("passed_per_event", figure(row.passed())),
                ("scanned_per_event", figure(row.scanned())),
                ("changes_per_request", figure(row.changes())),
            ]);
            fields.extend(row.calls().map(|(name, count)| (name, figure(count))));
        }
    }
    fields.extend([
        ("resident_bytes", row.resident_bytes.to_string()),
        ("server_core_share", figure(row.server_share)),
        ("generator_core_share", figure(row.generator_share)),
        ("server_delayed_share", figure(row.server_delayed_share)),
        ("generator_delayed_share", figure(row.generator_delayed_share)),
        ("generator_was_bottleneck", row.is_generators().to_string()),
        ("errors_connect", row.errors_connect.to_string()),
        ("errors_closed", row.errors_closed.to_string()),
        ("errors_turned_away", row.errors_turned_away.to_string()),
        ("errors_answer", row.errors_answer.to_string()),
        ("errors_timeout", row.errors_timeout.to_string()),
        ("errors_starved", row.errors_starved.to_string()),
        ("idle_lost", row.idle_lost.to_string()),
    ]);
    fields
}
