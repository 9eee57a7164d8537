//! One measurement: a strategy or a model in a cell, in one round. What is written, read again and drawn.

use super::figures::Figures;
use super::load::Measured;
use super::plan::Cell;
use serde::{Deserialize, Serialize};

/// The share of a core from which on it counts as used up.
const SATURATED: f64 = 0.95;

/// Microseconds that the generator's own lateness may be at p99 of the open loop, or this share of the p99 that was measured.
const LATENESS_MICROSECONDS_MAX: f64 = 100.0;
const LATENESS_SHARE_MAX: f64 = 0.25;

/// A raw measurement. Times are in microseconds, shares of one core.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub cell: Cell,
    pub strategy: String,
    pub round: usize,
    pub seconds: f64,
    pub requests: u64,
    pub requests_per_second: f64,
    /// In the open loop: what was offered.
    pub offered_per_second: Option<f64>,
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
    pub errors: u64,
    pub errors_connect: u64,
    pub errors_closed: u64,
    #[serde(default)]
    pub errors_turned_away: u64,
    pub errors_answer: u64,
    pub errors_timeout: u64,
    #[serde(default)]
    pub errors_starved: u64,
    /// Idle connections that the server closed meanwhile.
    pub idle_lost: u64,
    pub server_share: f64,
    pub generator_share: f64,
    /// The generator's own lateness at p99, in the open loop.
    pub lateness_p99: f64,
    /// For which share of the time other programs kept the server, and the generator, from their cores.
    pub server_delayed_share: f64,
    pub generator_delayed_share: f64,
    pub resident_bytes: u64,
    /// Where it is a model that was measured.
    #[serde(default)]
    pub model: Option<OfModel>,
    pub server: Figures,
}

/// What is asked of models alone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OfModel {
    /// Connections that were answered at all.
    pub served: usize,
    /// Connections that were closed with a request on their way, as they seemed idle while others waited: who has few workers does so, and a
    /// client has to expect it of a connection that it used before (RFC 9112 §9.3.1).
    pub gave_way: u64,
    /// Memory of all processes, before any connection and with all of them open.
    pub memory: Option<Memory>,
}

/// In bytes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    pub before: u64,
    pub open: u64,
}

impl Row {
    pub fn new(cell: Cell, strategy: String, round: usize, measured: &Measured, server: Figures) -> Row {
        let microseconds = |quantile| measured.latencies.value_at_quantile(quantile) as f64 / 1000.0;
        let seconds = measured.elapsed.as_secs_f64();
        let errors = measured.errors;
        Row {
            cell,
            strategy,
            round,
            seconds,
            requests: measured.requests,
            requests_per_second: measured.requests as f64 / seconds,
            offered_per_second: None,
            p50: microseconds(0.5),
            p99: microseconds(0.99),
            p999: microseconds(0.999),
            max: measured.latencies.max() as f64 / 1000.0,
            errors: errors.total(),
            errors_connect: errors.connect,
            errors_closed: errors.closed,
            errors_turned_away: errors.turned_away,
            errors_answer: errors.answer,
            errors_timeout: errors.timeout,
            errors_starved: errors.starved,
            idle_lost: 0,
            server_share: server.cpu_microseconds() as f64 / 1e6 / seconds,
            generator_share: measured.cpu.total().as_secs_f64() / seconds,
            lateness_p99: measured.lateness.value_at_quantile(0.99) as f64 / 1000.0,
            server_delayed_share: 0.0,
            generator_delayed_share: measured.delayed.as_secs_f64() / seconds,
            resident_bytes: 0,
            model: None,
            server,
        }
    }

    /// No error, and something was measured. Some models keep connections waiting as long as others ask, or let go of them: that is what they
    /// are, and is said.
    pub fn is_good(&self) -> bool {
        let errors = self.errors - self.model.map_or(0, |model| self.errors_starved + model.gave_way);
        errors == 0 && self.idle_lost == 0 && self.requests > 0
    }

    /// Connections that were kept waiting as long as it was measured.
    pub fn starved(&self) -> usize {
        self.model.map_or(0, |model| self.cell.active - model.served)
    }

    /// Memory of all processes with all connections open, in bytes.
    pub fn memory(&self) -> Option<f64> {
        Some(self.model?.memory?.open as f64)
    }

    /// What of it a connection makes.
    pub fn memory_a_connection(&self) -> Option<f64> {
        let memory = self.model?.memory?;
        Some((memory.open as f64 - memory.before as f64) / self.cell.active as f64)
    }

    /// The generator was the bottleneck, so that this says nothing of the server's speed.
    pub fn is_generators(&self) -> bool {
        match self.offered_per_second {
            None => self.generator_share >= SATURATED && self.server_share < SATURATED,
            Some(_) => is_late(self.lateness_p99, self.p99),
        }
    }

    /// The share of the time that other programs took from either.
    pub fn disturbed(&self) -> f64 {
        self.server_delayed_share.max(self.generator_delayed_share)
    }

    fn each(&self, count: u64) -> f64 {
        count as f64 / self.server.answers.max(1) as f64
    }

    pub fn cpu(&self) -> f64 {
        self.server.cpu_microseconds() as f64 / self.server.answers.max(1) as f64
    }

    pub fn user(&self) -> f64 {
        self.each(self.server.user_microseconds)
    }

    pub fn system(&self) -> f64 {
        self.each(self.server.system_microseconds)
    }

    pub fn waits(&self) -> f64 {
        self.each(self.server.waits)
    }

    pub fn changes(&self) -> f64 {
        self.each(self.server.changes)
    }

    /// Descriptors handed to the kernel for each ready event.
    pub fn passed(&self) -> f64 {
        self.server.passed as f64 / self.server.ready.max(1) as f64
    }

    /// Descriptors looked at for each ready event.
    pub fn scanned(&self) -> f64 {
        self.server.scanned as f64 / self.server.ready.max(1) as f64
    }

    /// Descriptors looked at in each wait.
    pub fn scanned_a_wait(&self) -> f64 {
        self.server.scanned as f64 / self.server.waits.max(1) as f64
    }

    /// System calls of the server for each request, by name.
    #[inline(never)] // Once for all who ask for one of them.
    pub fn calls(&self) -> [(&'static str, f64); 12] {
        let Figures { waits, accept, receive, send, send_file, shutdown, changes, .. } = self.server;
        let Figures { close, unacknowledged, open, state, stat, .. } = self.server;
        // What select and poll watch is changed in memory of ours.
        let changes = if self.strategy.starts_with("epoll") { changes } else { 0 };
        [
            ("wait", self.each(waits)),
            ("epoll_ctl", self.each(changes)),
            ("accept", self.each(accept)),
            ("receive", self.each(receive)),
            ("send", self.each(send)),
            ("send_file", self.each(send_file)),
            ("shutdown", self.each(shutdown)),
            ("close", self.each(close)),
            ("ioctl", self.each(unacknowledged)),
            ("openat", self.each(open)),
            ("fstatat", self.each(state)),
            ("fstat", self.each(stat)),
        ]
    }
}

/// Whether an open loop's own lateness, in microseconds at p99, spoils what it measured.
pub fn is_late(lateness: f64, measured: f64) -> bool {
    lateness > LATENESS_MICROSECONDS_MAX && lateness > measured * LATENESS_SHARE_MAX
}

/// The middle of some values, with the least and the greatest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub greatest: f64,
}

impl Spread {
    /// `None` of nothing.
    pub fn of(values: impl Iterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            0 => (values.get(middle.checked_sub(1)?)? + values[middle]) / 2.0,
            _ => values[middle],
        };
        Some(Spread { median, least: values[0], greatest: *values.last()? })
    }
}

/// The rounds of a contestant in a cell.
#[derive(Debug, Clone)]
pub struct Summary<'a> {
    pub cell: Cell,
    pub strategy: &'a str,
    pub rows: Vec<&'a Row>,
}

impl Summary<'_> {
    pub fn spread(&self, value: impl Fn(&Row) -> f64) -> Spread {
        self.spread_of(&value)
    }

    pub fn median(&self, value: impl Fn(&Row) -> f64) -> f64 {
        self.spread_of(&value).median
    }

    #[inline(never)] // Once for all values, not as a part of each of fifty callers.
    fn spread_of(&self, value: &dyn Fn(&Row) -> f64) -> Spread {
        Spread::of(self.rows.iter().map(|row| value(row))).expect("no summary without a row")
    }

    pub fn is_good(&self) -> bool {
        self.rows.iter().all(|row| row.is_good())
    }

    /// Of rounds that have such a value.
    pub fn median_of(&self, value: impl Fn(&Row) -> Option<f64>) -> Option<f64> {
        Spread::of(self.rows.iter().filter_map(|row| value(row))).map(|spread| spread.median)
    }

    /// Whether in any round a connection was kept waiting throughout.
    pub fn starves(&self) -> bool {
        self.rows.iter().any(|row| row.starved() > 0)
    }

    /// In more rounds than not.
    pub fn is_generators(&self) -> bool {
        self.rows.iter().filter(|row| row.is_generators()).count() * 2 > self.rows.len()
    }
}

/// Contestants in the order in which they come.
pub fn names<'a, 'b: 'a>(summaries: impl Iterator<Item = &'a Summary<'b>>) -> Vec<&'b str> {
    let mut names: Vec<&str> = Vec::new();
    for summary in summaries {
        if !names.contains(&summary.strategy) {
            names.push(summary.strategy);
        }
    }
    names
}

/// Cells in their order, of each the contestants in theirs.
pub fn summaries(rows: &[Row]) -> Vec<Vec<Summary<'_>>> {
    let mut groups: Vec<Vec<Summary<'_>>> = Vec::new();
    for row in rows {
        let at = groups.iter().position(|group| group[0].cell == row.cell).unwrap_or_else(|| {
            groups.push(vec![Summary { cell: row.cell, strategy: &row.strategy, rows: Vec::new() }]);
            groups.len() - 1
        });
        match groups[at].iter_mut().find(|summary| summary.strategy == row.strategy) {
            Some(summary) => summary.rows.push(row),
            None => groups[at].push(Summary { cell: row.cell, strategy: &row.strategy, rows: vec![row] }),
        }
    }
    groups
}
