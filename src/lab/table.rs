//! The table at the end: of each cell the contestants, a line each, then what they come to in one sentence.

use super::plan::Work;
use super::report;
use super::row::{Row, Spread, Summary, summaries};
use super::run::{Run, Subject};
use super::text::{amount, figure, size, thousands, time};
use super::{models, story};
use std::fmt::Write;

/// The names of what [`line`] gives.
pub fn columns(subject: Subject) -> &'static [&'static str] {
    match subject {
        Subject::Strategies => &OF_STRATEGIES,
        Subject::Models => &OF_MODELS,
    }
}

const OF_STRATEGIES: [&str; 12] = [
    "strategy",
    "req/s",
    "CPU µs/req",
    "min–max",
    "user+sys",
    "p50",
    "p99",
    "p99.9",
    "waits/req",
    "passed/ev",
    "scanned/ev",
    "RSS",
];

const OF_MODELS: [&str; 10] =
    ["model", "req/s", "served", "CPU µs/req", "min–max", "p50", "p99", "p99.9", "memory", "a connection"];

/// All of it, as text.
pub fn render(run: &Run) -> String {
    let mut text = String::new();
    for group in summaries(&run.rows) {
        push(&mut text, &title(&group));
        let heads: Vec<String> = columns(run.subject).iter().map(|name| (*name).to_string()).collect();
        let lines: Vec<Vec<String>> = group.iter().map(line).collect();
        let widest = |at: usize| lines.iter().chain([&heads]).map(|line| line[at].chars().count()).max();
        let widths: Vec<usize> = (0..heads.len()).map(|at| widest(at).expect("there is the heading")).collect();
        push_line(&mut text, &heads, &widths, "");
        for (line, summary) in lines.iter().zip(&group) {
            push_line(&mut text, line, &widths, &marks(summary));
        }
        for line in group.iter().filter(|_| run.subject == Subject::Strategies) {
            push(&mut text, &format!("    {}: {}", line.strategy, calls(line)));
        }
        push(&mut text, &format!("  → {}\n", story::sentence(&group)));
    }
    push(&mut text, &models::markdown(run));
    let ceilings = run.ceilings.iter().map(|(work, ceiling)| format!("{work} {}/s", thousands(*ceiling as u64)));
    let ceilings: Vec<String> = ceilings.collect();
    if !ceilings.is_empty() {
        push(&mut text, &format!("The generator's own ceiling: {}.", ceilings.join(", ")));
    }
    if let Some(share) = disturbance(run).filter(|_| run.subject == Subject::Strategies) {
        push(&mut text, &share); // Of models it stands at their figures.
    }
    let facts = run.machine.facts().map(|(name, value)| format!("{name}: {value}"));
    push(&mut text, &facts.join("; "));
    run.left_out.iter().for_each(|what| push(&mut text, &format!("Left out: {what}")));
    run.failures.iter().for_each(|what| push(&mut text, &format!("Failed: {what}")));
    if run.was_interrupted {
        push(&mut text, "Interrupted: the rows above were finished, the rest was not measured.");
    }
    text
}

/// What is to be said where other programs took part of the time: latencies and requests/s are then theirs too.
pub fn disturbance(run: &Run) -> Option<String> {
    let share = Spread::of(run.rows.iter().map(Row::disturbed)).map(|spread| spread.median * 100.0);
    let share = share.filter(|share| *share >= story::DISTURBED_PERCENT)?;
    Some(format!(
        "Other programs took {share:.0} % of the time of these cores (median): requests/s and latencies are theirs too, CPU per request \
         less so. Measure again when the machine is quiet."
    ))
}

/// CPU per request of two runs, a line a setting and strategy.
pub fn side_by_side(run: &Run, other: &Run) -> String {
    let mut text = format!(
        "\nBeside the run of {} ({}): CPU µs per request here (least–greatest round), there, ratio\n",
        other.date, other.command
    );
    for [cell, strategy, here, there, ratio] in report::side_by_side(run, other) {
        push(&mut text, &format!("  {strategy:<10}  {here:>22}  {there:>22}  {ratio:>6}  {cell}"));
    }
    text
}

fn push(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// What a group is called: its cell, what was offered, how often it was measured.
pub fn title(group: &[Summary<'_>]) -> String {
    let rows: Vec<&&Row> = group.iter().flat_map(|summary| &summary.rows).collect();
    let rate = rows.iter().find_map(|row| row.offered_per_second);
    let rate = rate.map(|rate| format!(": {} offered/s", thousands(rate as u64))).unwrap_or_default();
    let rounds = rows.iter().map(|row| row.round).max().unwrap_or(0) + 1;
    let plural = if rounds == 1 { "" } else { "s" };
    format!("{}{rate} ({rounds} round{plural})", cell_of(group))
}

/// What its cell is called.
pub fn cell_of(group: &[Summary<'_>]) -> String {
    match group[0].rows[0].model {
        Some(_) => group[0].cell.of_models(),
        None => group[0].cell.to_string(),
    }
}

/// The medians of a contestant in a cell, as text.
pub fn line(summary: &Summary<'_>) -> Vec<String> {
    let median = |value: fn(&Row) -> f64| summary.median(value);
    let Spread { median: cpu, least, greatest } = summary.spread(Row::cpu);
    if summary.rows[0].model.is_some() {
        let size = |value: fn(&Row) -> Option<f64>| summary.median_of(value).map_or("–".into(), amount);
        let (asked, starved) = (summary.cell.active, median(|row| row.starved() as f64) as usize);
        // Of two kinds of requests together it says nothing of either.
        let costs = match summary.cell.work {
            Work::Beside => ["–".into(), "–".into()],
            _ => [figure(cpu), format!("{}–{}", figure(least), figure(greatest))],
        };
        let first = [
            summary.strategy.into(),
            thousands(median(|row| row.requests_per_second).round() as u64),
            match starved {
                0 => thousands(asked as u64),
                _ => format!("{} of {}", thousands((asked - starved) as u64), thousands(asked as u64)),
            },
        ];
        let times = [time(median(|row| row.p50)), time(median(|row| row.p99)), time(median(|row| row.p999))];
        let last = [size(Row::memory), size(Row::memory_a_connection)];
        return [&first[..], &costs, &times, &last].concat();
    }
    vec![
        summary.strategy.into(),
        thousands(median(|row| row.requests_per_second).round() as u64),
        figure(cpu),
        format!("{}–{}", figure(least), figure(greatest)),
        format!("{}+{}", figure(median(Row::user)), figure(median(Row::system))),
        time(median(|row| row.p50)),
        time(median(|row| row.p99)),
        time(median(|row| row.p999)),
        figure(median(Row::waits)),
        figure(median(Row::passed)),
        figure(median(Row::scanned)),
        size(median(|row| row.resident_bytes as f64) as u64),
    ]
}

/// System calls for each request, by name.
fn calls(summary: &Summary<'_>) -> String {
    let names = summary.rows[0].calls().map(|(name, _)| name);
    let of = |at: usize| summary.median(|row| row.calls()[at].1);
    let said = names.iter().enumerate().map(|(at, name)| (name, of(at))).filter(|(_, count)| *count >= 0.0005);
    let said: Vec<String> = said.map(|(name, count)| format!("{name} {}", figure(count))).collect();
    let total: f64 = (0..names.len()).map(of).sum();
    let changes = figure(summary.median(Row::changes));
    format!("{} system calls a request ({}); interest changes {changes}", figure(total), said.join(", "))
}

fn push_line(text: &mut String, cells: &[String], widths: &[usize], marks: &str) {
    let mut line = format!("  {:<1$}", cells[0], widths[0]);
    for (cell, width) in cells.iter().zip(widths).skip(1) {
        write!(line, "  {cell:>width$}").expect("writing to memory does not fail");
    }
    push(text, format!("{line}{marks}").trim_end());
}

/// What is to be said of a line beside its figures.
pub fn marks(summary: &Summary<'_>) -> String {
    let mut marks = String::new();
    let total = |value: fn(&Row) -> u64| summary.rows.iter().map(|row| value(row)).sum::<u64>();
    let kinds = [
        ("connect", total(|row| row.errors_connect)),
        ("closed early", total(|row| row.errors_closed)),
        ("turned away", total(|row| row.errors_turned_away)),
        ("wrong answer", total(|row| row.errors_answer)),
        ("no answer", total(|row| row.errors_timeout)),
        ("none ever", total(|row| if row.model.is_some() { 0 } else { row.errors_starved })),
        ("idle lost", total(|row| row.idle_lost)),
        ("rounds without any answer", total(|row| u64::from(row.requests == 0))),
    ];
    for (kind, count) in kinds {
        match count {
            0 => {}
            _ => marks += &format!("  ERRORS: {kind} {}", thousands(count)),
        }
    }
    let gave_way: u64 = summary.rows.iter().filter_map(|row| row.model).map(|model| model.gave_way).sum();
    if gave_way > 0 {
        marks += &format!("  {} gave way that seemed idle", thousands(gave_way));
    }
    if summary.is_generators() && summary.rows.iter().any(|row| row.offered_per_second.is_some()) {
        let late = time(summary.median(|row| row.lateness_p99));
        marks += &format!("  * 1 % were sent {late} late or more, which is not the server's doing: no verdict");
    } else if summary.is_generators() {
        let share = summary.median(|row| row.generator_share) * 100.0;
        marks += &format!("  * the generator was the bottleneck ({share:.0} % of its core): no verdict");
    }
    marks
}
