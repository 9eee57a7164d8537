//! What a run of models comes to: a sentence a setting, all models at a glance, and what courses say of them held against the figures.
//!
//! Invariant: it is computed of what was measured. Where a figure is missing nothing is said of it, and where rounds differ as much as models do
//! that is said.

use super::plan::{self, Contestant, Work};
use super::row::{Row, Summary, names, summaries};
use super::run::{Run, Subject};
use super::site::{COMPUTING, SLOW};
use super::story::{NO_VERDICT, SAME, least, most, overlap, taken};
use super::table;
use super::text::{amount, figure, thousands, time};

/// Of several numbers of connections that nearest to this stands for all.
const TYPICAL: usize = 64;

/// What the models of a cell come to, those without an error.
pub fn sentence(sound: &[&Summary<'_>]) -> String {
    let said = match (sound[0].cell.work, taken(sound)) {
        (Work::Keepalive | Work::Close | Work::Large | Work::Pipelined, _) => by_cpu(sound),
        (_, Some(percent)) => format!("Other programs took {percent:.0} % of the time of these cores: {NO_VERDICT}"),
        (Work::Sleep | Work::SleepClose, None) => by_rate(sound),
        (Work::Compute | Work::ComputeClose, None) => format!("{} {}", by_rate(sound), by_latency(sound)),
        (Work::Beside, None) => by_latency(sound),
    };
    format!("{said}{}", starving(sound))
}

fn by_cpu(sound: &[&Summary<'_>]) -> String {
    let sound: &[&Summary<'_>] = &serving_all(sound);
    if sound.len() < 2 {
        return "There are not two that serve all.".into();
    }
    let (dear, cheap) = (most(sound, Row::cpu), least(sound, Row::cpu));
    let (high, low) = (dear.median(Row::cpu), cheap.median(Row::cpu));
    if high / low < SAME {
        return format!("A request costs {} to {} µs of CPU, whoever serves it.", figure(low), figure(high));
    }
    if overlap(dear, cheap, Row::cpu) {
        let (low, high) = (figure(low), figure(high));
        return format!("Rounds differ as much as models do: {low} to {high} µs of CPU a request.");
    }
    let (cheap, dear, times) = (cheap.strategy, dear.strategy, figure(high / low));
    format!("{dear} pays {} µs of CPU a request, {cheap} {}: {times}×.", figure(high), figure(low))
}

fn by_rate(sound: &[&Summary<'_>]) -> String {
    let rate: fn(&Row) -> f64 = |row| row.requests_per_second;
    let (quick, slow) = (most(sound, rate), least(sound, rate));
    let (high, low) = (quick.median(rate), slow.median(rate));
    let said = |rate: f64| thousands(rate.round() as u64);
    match high / low < SAME || overlap(quick, slow, rate) {
        true => format!("{} to {} are answered a second, whoever serves.", said(low), said(high)),
        false => {
            let (quick, slow, times) = (quick.strategy, slow.strategy, figure(high / low));
            format!("{quick} answers {} a second, {slow} {}: {times}×.", said(high), said(low))
        }
    }
}

fn by_latency(sound: &[&Summary<'_>]) -> String {
    let p99: fn(&Row) -> f64 = |row| row.p99;
    let served = serving_all(sound);
    if served.len() < 2 {
        return String::new();
    }
    let (slow, quick) = (most(&served, p99), least(&served, p99));
    let (worst, best) = (slow.median(p99), quick.median(p99));
    let is_same = worst / best < SAME || overlap(slow, quick, p99);
    let (slow, quick) = (slow.strategy, quick.strategy);
    match is_same {
        true => format!("99 % have their answer within {} to {} by each.", time(best), time(worst)),
        false => format!("99 % have their answer within {} by {quick}, within {} by {slow}.", time(best), time(worst)),
    }
}

/// Those by whom no connection was kept waiting throughout.
fn serving_all<'a, 'b>(sound: &[&'a Summary<'b>]) -> Vec<&'a Summary<'b>> {
    sound.iter().copied().filter(|one| !one.starves()).collect()
}

/// Who keeps connections waiting as long as others ask.
fn starving(sound: &[&Summary<'_>]) -> String {
    let connections = |count: usize| thousands(count as u64);
    let served = |one: &Summary<'_>| {
        let starved = one.median(|row| row.starved() as f64) as usize;
        (starved > 0).then(|| format!("{} serves {}", one.strategy, connections(one.cell.active - starved)))
    };
    let said: Vec<String> = sound.iter().filter_map(|one| served(one)).collect();
    match said.is_empty() {
        true => String::new(),
        false => {
            let (all, said) = (connections(sound[0].cell.active), said.join(", "));
            format!(" Of {all} connections {said}; the others wait as long as those ask.")
        }
    }
}

/// The groups of a run by work, each with its number of connections.
struct Found<'a>(Vec<Vec<Summary<'a>>>);

impl<'a> Found<'a> {
    /// What a model did in `work`, with the typical number of connections; beside those that compute, with the least.
    fn typical(&self, work: Work, name: &str) -> Option<&Summary<'a>> {
        let of_work = self.0.iter().flatten().filter(|one| one.cell.work == work && one.is_good());
        let typical = if work == Work::Beside { 1 } else { TYPICAL };
        let active = of_work.clone().map(|one| one.cell.active).min_by_key(|active| active.abs_diff(typical))?;
        of_work.into_iter().find(|one| one.cell.active == active && one.strategy == name)
    }

    fn cpu(&self, work: Work, name: &str) -> Option<f64> {
        self.typical(work, name).map(|one| one.median(Row::cpu))
    }

    fn rate(&self, work: Work, name: &str) -> Option<f64> {
        self.typical(work, name).map(|one| one.median(|row| row.requests_per_second))
    }

    /// Where all connections were served.
    fn p99(&self, work: Work, name: &str) -> Option<f64> {
        self.typical(work, name).filter(|one| !one.starves()).map(|one| one.median(|row| row.p99))
    }

    /// Within which half of all are answered, and 99 %.
    fn latencies(&self, work: Work, name: &str) -> Option<[f64; 2]> {
        self.typical(work, name).map(|one| [one.median(|row| row.p50), one.median(|row| row.p99)])
    }

    /// What a new connection costs beside the request on it: less than nothing where rounds differ by more.
    fn connection(&self, name: &str) -> Option<f64> {
        Some(self.cpu(Work::Close, name)? - self.cpu(Work::Keepalive, name)?)
    }

    /// Of a connection, by as many as were open at most; of none whose connections share a few workers.
    fn memory(&self, name: &str) -> Option<f64> {
        plan::model(name).ok().filter(|model: &Contestant| model.at_a_time().is_none())?;
        let own = self.0.iter().flatten().filter(|one| one.cell.work == Work::Keepalive && one.strategy == name);
        own.max_by_key(|one| one.cell.active)?.median_of(Row::memory_a_connection)
    }

    /// Those that are no IO multiplexing.
    fn without_a_loop(&self) -> Vec<&'a str> {
        let is_one_loop = |name: &str| matches!(plan::model(name), Ok(Contestant::Model(model)) if model.is_one_loop());
        self.names().into_iter().filter(|name| !is_one_loop(name)).collect()
    }

    /// Models in the order in which they come.
    fn names(&self) -> Vec<&'a str> {
        names(self.0.iter().flatten())
    }
}

/// The columns of [`glance`].
pub const COLUMNS: [&str; 7] = [
    "model",
    "a request, CPU",
    "a connection, CPU",
    "a connection, memory",
    "handlers sleep: answers/s",
    "handlers compute: p99",
    "beside others that compute: p50, p99",
];

/// All models, a line each.
pub fn glance(run: &Run) -> Vec<[String; 7]> {
    let found = Found(summaries(&run.rows));
    let line = |name: &&str| {
        let or_none = |said: Option<String>| said.unwrap_or("–".into());
        [
            (*name).to_string(),
            or_none(found.cpu(Work::Keepalive, name).map(time)),
            or_none(found.connection(name).map(time)),
            or_none(found.memory(name).map(amount)),
            or_none(found.rate(Work::Sleep, name).map(|rate| thousands(rate.round() as u64))),
            or_none(found.p99(Work::Compute, name).map(time)),
            or_none(found.latencies(Work::Beside, name).map(|[p50, p99]| format!("{}, {}", time(p50), time(p99)))),
        ]
    };
    found.names().iter().map(line).collect()
}

/// How the table is to be read.
pub fn legend() -> String {
    format!(
        "With 64 connections, or the number nearest to that. A request: on a connection that stays open. A connection: what it costs more where \
         each request has its own; memory of all processes, by as many connections as were open at most (none where a few workers serve all). \
         Slow handlers take {} ms; p99 is of all clients, so there is none where some are not served. Beside others: a client that asks for a small \
         file, each time on a new connection, while {COMPUTING} more keep asking for what computes.",
        SLOW.as_millis()
    )
}

/// What courses say of the models, each with what was found.
pub fn claims(run: &Run) -> Vec<[String; 2]> {
    let found = Found(summaries(&run.rows));
    let said = [
        ("Threads cost less than processes.", threads_and_processes(&found)),
        ("IO multiplexing costs least.", multiplexing_costs(&found)),
        ("IO multiplexing can't compute.", multiplexing_computes(&found)),
        ("Iterative suits quick work.", iterative(&found)),
    ];
    said.into_iter().filter_map(|(claim, finding)| Some([claim.into(), finding?])).collect()
}

/// Whether `less` is less than `more` by what counts as a difference.
fn verdict(less: f64, more: f64) -> &'static str {
    match more / less {
        ratio if ratio >= SAME => "Holds",
        ratio if ratio > 1.0 / SAME => "No difference here",
        _ => "Does not hold here",
    }
}

fn threads_and_processes(found: &Found<'_>) -> Option<String> {
    let (threads, fork) = (found.connection("threads")?, found.connection("fork")?);
    let (of_thread, of_fork) = (found.memory("threads")?, found.memory("fork")?);
    Some(format!(
        "{}: a connection costs {} by threads and {} by fork ({}×), and {} of memory against {} ({}×).",
        verdict(threads, fork),
        time(threads),
        time(fork),
        figure(fork / threads),
        amount(of_thread),
        amount(of_fork),
        figure(of_fork / of_thread)
    ))
}

fn multiplexing_costs(found: &Found<'_>) -> Option<String> {
    let others = found.without_a_loop();
    let cost = |name: &str| Some(found.cpu(Work::Keepalive, name)? + found.connection(name)?);
    let own = cost("reactor")?;
    let ranked = others.iter().filter_map(|name| Some((*name, cost(name)?)));
    let (next, its) = ranked.min_by(|a, b| a.1.total_cmp(&b.1))?;
    let memory = others.iter().filter_map(|name| Some((*name, found.memory(name)?)));
    let least = memory.min_by(|a, b| a.1.total_cmp(&b.1));
    let memory = match (found.memory("reactor"), least) {
        (Some(own), Some((name, its))) => {
            format!(", and {} of memory a connection against {} ({name})", amount(own), amount(its))
        }
        _ => String::new(),
    };
    Some(format!(
        "{}: a request on a new connection costs the reactor {}, the cheapest of those without a loop {} ({next}){memory}.",
        verdict(own, its),
        time(own),
        time(its)
    ))
}

fn multiplexing_computes(found: &Found<'_>) -> Option<String> {
    let [own, own_99] = found.latencies(Work::Beside, "reactor")?;
    let others = found.without_a_loop().into_iter();
    let ranked = others.filter_map(|name| Some((name, found.latencies(Work::Beside, name)?)));
    let (best, [its, its_99]) = ranked.min_by(|a, b| a.1[0].total_cmp(&b.1[0]))?;
    Some(format!(
        "{}: while {COMPUTING} others have it compute, half of the quick requests are answered within {} by the reactor (99 % within {}), within \
         {} by {best} (99 % within {}).",
        verdict(its, own),
        time(own),
        time(own_99),
        time(its),
        time(its_99)
    ))
}

fn iterative(found: &Found<'_>) -> Option<String> {
    let cost = |name: &str| found.cpu(Work::Close, name);
    let (own, threads, fork) = (cost("iterative")?, cost("threads")?, cost("fork")?);
    let (slow, by_threads) = (found.rate(Work::Sleep, "iterative")?, found.rate(Work::Sleep, "threads")?);
    Some(format!(
        "{}: a quick request on a new connection costs it {}, threads {}, fork {}; but where handlers sleep it answers {} a second, threads {}.",
        verdict(own, threads.min(fork)),
        time(own),
        time(threads),
        time(fork),
        thousands(slow.round() as u64),
        thousands(by_threads.round() as u64)
    ))
}

/// Both, as `docs/models.md` has them. Nothing of a run that is not of models.
pub fn markdown(run: &Run) -> String {
    if run.subject != Subject::Models || run.rows.is_empty() {
        return String::new();
    }
    let mut lines = vec![format!("| {} |", COLUMNS.join(" | ")), format!("|---|{}", "---:|".repeat(COLUMNS.len() - 1))];
    lines.extend(glance(run).iter().map(|line| format!("| {} |", line.join(" | "))));
    lines.extend([String::new(), legend(), String::new()]);
    lines.extend(table::disturbance(run).into_iter().flat_map(|said| [said, String::new()]));
    lines.extend(claims(run).iter().map(|[claim, finding]| format!("- **{claim}** {finding}")));
    lines.join("\n") + "\n"
}
