//! Charts of a run, as SVG.
//!
//! Invariant: each is drawn of what was measured; where that is missing there is no chart. Two colours stand for "as the text" and "as
//! the grid": whoever shows a chart puts its own in their place, so that it fits a light page and a dark one.

use super::canvas::{Bar, Canvas, Line, Scale};
use super::model_charts;
use super::plan::{Cell, Offer, Work};
use super::row::{Row, Summary, names, summaries};
use super::run::{Run, Subject};
use super::text::thousands;
use std::collections::BTreeSet;

/// A chart and what it shows.
pub struct Chart {
    /// Its file's name, less the ending.
    pub name: &'static str,
    pub title: &'static str,
    pub caption: String,
    pub svg: String,
}

/// Every chart that the run has something for.
pub fn charts(run: &Run) -> Vec<Chart> {
    let groups = summaries(&run.rows);
    if run.subject == Subject::Models {
        return model_charts::charts(&groups).into_iter().chain(spread(&groups)).collect();
    }
    let draw = [
        cpu_over_idle(&groups),
        wait_cost(run),
        percentiles(&groups),
        latency_over_load(&groups),
        calls(&groups),
        cliff(run),
        spread(&groups),
    ];
    draw.into_iter().flatten().collect()
}

/// Contestants in a cell.
pub type Group<'a> = Vec<Summary<'a>>;
type Value = fn(&Row) -> f64;

/// A line a contestant, a point a group.
pub fn lines(groups: &[&Group<'_>], x: fn(&Summary<'_>) -> f64, y: Value) -> Vec<Line> {
    let line = |name: &str| {
        let points = groups.iter().flat_map(|group| group.iter().filter(|one| one.strategy == name));
        let mut points: Vec<_> = points.map(|one| (x(one), one.spread(y))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Line { name: name.to_string(), points }
    };
    names(groups.iter().flat_map(|group| group.iter())).into_iter().map(line).collect()
}

fn cpu_over_idle(groups: &[Group<'_>]) -> Option<Chart> {
    let keepalive = |cell: Cell| cell.work == Work::Keepalive && cell.offer == Offer::Closed;
    let of = |active: usize| {
        groups
            .iter()
            .filter(move |group| keepalive(group[0].cell) && group[0].cell.active == active)
            .collect::<Vec<_>>()
    };
    let actives: BTreeSet<usize> = groups.iter().map(|group| group[0].cell.active).collect();
    let active = actives.into_iter().max_by_key(|active| (of(*active).len(), usize::MAX - active.abs_diff(64)))?;
    let groups = of(active);
    if groups.len() < 2 {
        return None;
    }
    let open = |one: &Summary<'_>| (one.cell.idle + one.cell.active) as f64;
    let canvas = Canvas { x: "connections open, idle and active", y: "CPU time per request, µs", ..Canvas::default() };
    Some(Chart {
        name: "cpu-over-idle",
        title: "What a request costs while others are idle",
        caption: format!(
            "{active} connections ask without a pause; all others were answered once and wait. Both axes are logarithmic; bars reach from \
             the cheapest round to the dearest. A line that stays flat does not pay for those who wait."
        ),
        svg: Canvas { x_scale: Scale::Log, y_scale: Scale::Log, ..canvas }.lines(&lines(&groups, open, Row::cpu)),
    })
}

fn wait_cost(run: &Run) -> Option<Chart> {
    let mut found: Vec<Line> = Vec::new();
    for cost in &run.waits {
        let point = (cost.registered as f64, super::row::Spread::of([cost.microseconds].into_iter())?);
        match found.iter_mut().find(|line| line.name == cost.strategy) {
            Some(line) => line.points.push(point),
            None => found.push(Line { name: cost.strategy.clone(), points: vec![point] }),
        }
    }
    let canvas = Canvas { x: "descriptors watched, one of them ready", y: "one wait, µs", ..Canvas::default() };
    (!found.is_empty()).then(|| Chart {
        name: "one-wait",
        title: "What one wait costs",
        caption: "The poller alone, without sockets or HTTP. select and poll look at every descriptor in every call; epoll is handed the \
                  ready one. (epoll-edge remembers what it was told until somebody has taken it all.)"
            .into(),
        svg: Canvas { x_scale: Scale::Log, y_scale: Scale::Log, ..canvas }.lines(&found),
    })
}

/// Groups of the open loop at one setting.
fn open_groups<'a, 'b>(groups: &'a [Group<'b>]) -> Vec<Vec<&'a Group<'b>>> {
    let open: Vec<&Group<'_>> = groups.iter().filter(|group| group[0].cell.offer != Offer::Closed).collect();
    open.chunk_by(|a, b| (a[0].cell.idle, a[0].cell.active) == (b[0].cell.idle, b[0].cell.active))
        .map(<[&Group<'_>]>::to_vec)
        .collect()
}

fn rate(summary: &Summary<'_>) -> f64 {
    summary.rows[0].offered_per_second.unwrap_or(0.0)
}

/// What is to be said where the figures are not the server's alone.
fn caveat(groups: &[&Group<'_>]) -> &'static str {
    match groups.iter().any(|group| group.iter().any(Summary::is_generators)) {
        true => " Requests were sent late at times: then these are the machine's latencies more than the strategies'.",
        false => "",
    }
}

fn percentiles(groups: &[Group<'_>]) -> Option<Chart> {
    const PERCENTILES: [(&str, Value); 4] =
        [("p50", |row| row.p50), ("p99", |row| row.p99), ("p99.9", |row| row.p999), ("max", |row| row.max)];
    let open = open_groups(groups);
    // The setting with most idle connections, and of it the rate nearest to the middle.
    let setting = open.last()?;
    let group = setting[setting.len() / 2];
    let line = |one: &Summary<'_>| {
        let point = |(at, (_, value)): (usize, &(&str, Value))| (at as f64, one.spread(value));
        Line { name: one.strategy.to_string(), points: PERCENTILES.iter().enumerate().map(point).collect() }
    };
    let lines: Vec<Line> = group.iter().map(line).collect();
    let (cell, rate) = (group[0].cell, rate(&group[0]));
    let ticks = PERCENTILES.iter().map(|(name, _)| (*name).to_string()).collect();
    let canvas = Canvas { x: "of all requests", y: "latency, µs", y_scale: Scale::Log, ..Canvas::default() };
    Some(Chart {
        name: "latency",
        title: "How long a request takes at a fixed rate",
        caption: format!(
            "{} requests a second, whoever answers them, beside {} idle connections. Latency counts from when a request was due, so that \
             a server which stalls can't hide it.{}",
            thousands(rate as u64),
            thousands(cell.idle as u64),
            caveat(&[group])
        ),
        svg: Canvas { x_scale: Scale::Words(ticks), ..canvas }.lines(&lines),
    })
}

fn latency_over_load(groups: &[Group<'_>]) -> Option<Chart> {
    let open = open_groups(groups);
    let setting = open.iter().rev().find(|setting| setting.len() > 2)?;
    let canvas = Canvas { x: "requests offered a second", y: "p99, µs", y_scale: Scale::Log, ..Canvas::default() };
    let idle = thousands(setting[0][0].cell.idle as u64);
    Some(Chart {
        name: "latency-over-load",
        title: "Latency over load",
        caption: format!(
            "99 % are answered within this, beside {idle} idle connections. Where a line turns up its strategy can do no more.{}",
            caveat(setting)
        ),
        svg: canvas.lines(&lines(setting, rate, |row| row.p99)),
    })
}

fn calls(groups: &[Group<'_>]) -> Option<Chart> {
    let mut bars = Vec::new();
    let mut works = BTreeSet::new();
    for group in groups.iter().filter(|group| group[0].cell.offer == Offer::Closed && group[0].cell.idle == 0) {
        let cell = group[0].cell;
        let best = groups.iter().map(|group| group[0].cell).filter(|other| other.work == cell.work);
        let nearest = best.map(|other| other.active.abs_diff(64)).min().unwrap_or(0);
        if cell.active.abs_diff(64) != nearest || cell.work == Work::Large || !works.insert(cell.work) {
            continue;
        }
        for one in group {
            let calls = one.rows[0].calls();
            let part = |at: usize| (calls[at].0.to_string(), one.median(|row| row.calls()[at].1));
            let parts = (0..calls.len()).map(part).collect();
            bars.push(Bar { name: one.strategy.to_string(), group: cell.work.to_string(), parts });
        }
    }
    let is_made =
        |name: &str| bars.iter().flat_map(|bar| &bar.parts).any(|(part, count)| part == name && *count >= 0.01);
    let made: BTreeSet<String> =
        bars.iter().flat_map(|bar| &bar.parts).map(|(name, _)| name.clone()).filter(|name| is_made(name)).collect();
    bars.iter_mut().for_each(|bar| bar.parts.retain(|(name, _)| made.contains(name)));
    let canvas = Canvas { x: "", y: "system calls per request", ..Canvas::default() };
    (!bars.is_empty()).then(|| Chart {
        name: "calls",
        title: "System calls per request",
        caption:
            "Counted where they are made, by name. A connection per request makes epoll pay twice more: to add it, to remove it."
                .into(),
        svg: canvas.bars(&bars),
    })
}

fn cliff(run: &Run) -> Option<Chart> {
    let point = |count: f64| super::row::Spread::of([count].into_iter()).expect("there is one");
    let served = run.cliff.iter().map(|(opened, served)| (*opened as f64, point(*served as f64))).collect();
    let asked = run.cliff.iter().map(|(opened, _)| (*opened as f64, point(*opened as f64))).collect();
    let lines =
        [Line { name: "asked for".into(), points: asked }, Line { name: "select, limit 1024".into(), points: served }];
    let canvas = Canvas { x: "connections opened", y: "connections served", ..Canvas::default() };
    (run.cliff.len() > 1).then(|| Chart {
        name: "cliff",
        title: "The cliff of a fixed fd_set",
        caption: "With --select-limit 1024, as with a fixed fd_set, whoever gets a descriptor from 1,024 on is told 503. select itself has \
                  no such limit."
            .into(),
        svg: canvas.lines(&lines),
    })
}

fn spread(groups: &[Group<'_>]) -> Option<Chart> {
    let closed: Vec<&Group<'_>> = groups.iter().filter(|group| group[0].cell.offer == Offer::Closed).collect();
    let names = names(closed.iter().flat_map(|group| group.iter()));
    let mut dots = Vec::new();
    for (at, name) in names.iter().enumerate() {
        for one in closed.iter().flat_map(|group| group.iter()).filter(|one| one.strategy == *name) {
            let median = one.median(Row::cpu);
            dots.extend(one.rows.iter().map(|row| (at, (row.cpu() / median - 1.0) * 100.0)));
        }
    }
    let words = names.iter().map(|name| (*name).to_string()).collect();
    let canvas =
        Canvas { x: "", y: "CPU per request, % off the median", x_scale: Scale::Words(words), ..Canvas::default() };
    (dots.len() > names.len()).then(|| Chart {
        name: "spread",
        title: "How much rounds differ",
        caption: "Each dot is a round of a closed loop against the median of its setting. Differences that are smaller than this are none."
            .into(),
        svg: canvas.dots(&names, &dots),
    })
}
