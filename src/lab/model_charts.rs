//! Charts of a run of models.

use super::canvas::{Bar, Canvas, Line, Scale};
use super::charts::{Chart, Group, lines};
use super::plan::Work;
use super::row::{Row, Summary};
use super::site::COMPUTING;

/// Every chart that the groups have something for.
pub fn charts(groups: &[Group<'_>]) -> Vec<Chart> {
    let draw = [
        rate(groups),
        cpu(groups),
        connection(groups),
        memory(groups),
        sleep_rate(groups),
        sleep_latency(groups),
        beside(groups),
    ];
    draw.into_iter().flatten().collect()
}

/// Who serves a few at a time, and what that does to lines over connections.
const OF_A_FEW: &str = "iterative serves one connection at a time, prefork and thread-pool 32: beyond that these lines are of those who are served, \
                        while the others wait.";

/// Those of a work, where it was done with several numbers of connections.
fn of<'a, 'b>(groups: &'a [Group<'b>], work: Work) -> Option<Vec<&'a Group<'b>>> {
    let found: Vec<_> = groups.iter().filter(|group| group[0].cell.work == work).collect();
    (found.len() > 1).then_some(found)
}

fn connections(one: &Summary<'_>) -> f64 {
    one.cell.active as f64
}

fn over_connections(y: &'static str, y_scale: Scale, lines: &[Line]) -> String {
    Canvas { x: "connections that ask", y, x_scale: Scale::Log, y_scale }.lines(lines)
}

fn rate(groups: &[Group<'_>]) -> Option<Chart> {
    let found = of(groups, Work::Keepalive)?;
    Some(Chart {
        name: "rate-over-connections",
        title: "Quick answers: how many a second",
        caption: format!(
            "A file of 1 KiB again and again, on connections that stay open; one core for the server. {OF_A_FEW}"
        ),
        svg: over_connections(
            "requests a second",
            Scale::Linear,
            &lines(&found, connections, |row| row.requests_per_second),
        ),
    })
}

fn cpu(groups: &[Group<'_>]) -> Option<Chart> {
    let found = of(groups, Work::Keepalive)?;
    Some(Chart {
        name: "cpu-over-connections",
        title: "Quick answers: what one costs",
        caption: format!(
            "CPU time of all processes and threads for a request, on connections that stay open. Lower is better. {OF_A_FEW}"
        ),
        svg: over_connections("CPU time per request, µs", Scale::Linear, &lines(&found, connections, Row::cpu)),
    })
}

/// The group of a work whose number of connections is nearest to 64.
fn typical<'a, 'b>(groups: &'a [Group<'b>], work: Work) -> Option<&'a Group<'b>> {
    let found = groups.iter().filter(|group| group[0].cell.work == work);
    found.min_by_key(|group| group[0].cell.active.abs_diff(64))
}

fn connection(groups: &[Group<'_>]) -> Option<Chart> {
    let (kept, new) = (typical(groups, Work::Keepalive)?, typical(groups, Work::Close)?);
    let bar = |one: &Summary<'_>| {
        let request = kept.iter().find(|other| other.strategy == one.strategy)?.median(Row::cpu);
        let all = one.median(Row::cpu);
        let parts = vec![
            ("the request".to_string(), request.min(all)),
            ("its connection".to_string(), (all - request).max(0.0)),
        ];
        Some(Bar { name: one.strategy.into(), group: String::new(), parts })
    };
    let bars: Vec<Bar> = new.iter().filter_map(bar).collect();
    let canvas = Canvas { y: "CPU time, µs", ..Canvas::default() };
    (!bars.is_empty()).then(|| Chart {
        name: "connection",
        title: "What a connection costs",
        caption: format!(
            "{} clients, each request on a connection of its own: the lower part is what the same request costs on one that stays open, the \
             upper what comes with the connection: to accept and to close it, and by fork and threads to start and to end who serves it.",
            new[0].cell.active
        ),
        svg: canvas.bars(&bars),
    })
}

fn memory(groups: &[Group<'_>]) -> Option<Chart> {
    const MIB: f64 = 1024.0 * 1024.0;
    let found = of(groups, Work::Keepalive)?;
    let memory = |row: &Row| row.memory().unwrap_or(0.0) / MIB;
    Some(Chart {
        name: "memory-over-connections",
        title: "Memory of the whole server",
        caption: "Of all its processes, with all connections open: what they wrote to, and page tables. Both axes are logarithmic. The program itself, \
                  and what the kernel keeps for sockets and as stacks, is not in it."
            .into(),
        svg: over_connections("memory, MiB", Scale::Log, &lines(&found, connections, memory)),
    })
}

fn sleep_rate(groups: &[Group<'_>]) -> Option<Chart> {
    let found = of(groups, Work::Sleep)?;
    Some(Chart {
        name: "sleep-rate",
        title: "Handlers that sleep 5 ms: how many answers a second",
        caption: "They wait for something else, as for a database. Who serves 32 at a time answers no more than 32 in 5 ms, who serves one no \
                  more than one. Both axes are logarithmic."
            .into(),
        svg: over_connections("answers a second", Scale::Log, &lines(&found, connections, |row| row.requests_per_second)),
    })
}

fn sleep_latency(groups: &[Group<'_>]) -> Option<Chart> {
    let found = of(groups, Work::Sleep)?;
    let mut lines: Vec<Line> = Vec::new();
    for one in found.iter().flat_map(|group| group.iter()).filter(|one| !one.starves()) {
        let point = (connections(one), one.spread(|row| row.p99 / 1e3));
        match lines.iter_mut().find(|line| line.name == one.strategy) {
            Some(line) => line.points.push(point),
            None => lines.push(Line { name: one.strategy.to_string(), points: vec![point] }),
        }
    }
    (!lines.is_empty()).then(|| Chart {
        name: "sleep-p99",
        title: "Handlers that sleep 5 ms: how long an answer takes",
        caption: "99 % of requests are answered within this. A line ends where some connections are not served at all. Both axes are \
                  logarithmic."
            .into(),
        svg: over_connections("p99, ms", Scale::Log, &lines),
    })
}

fn beside(groups: &[Group<'_>]) -> Option<Chart> {
    let group =
        groups.iter().filter(|group| group[0].cell.work == Work::Beside).min_by_key(|group| group[0].cell.active)?;
    let bar = |one: &Summary<'_>| {
        let (p50, p99) = (one.median(|row| row.p50 / 1e3), one.median(|row| row.p99 / 1e3));
        let parts = vec![("half of them".into(), p50), ("99 %".into(), p99 - p50)];
        Bar { name: one.strategy.into(), group: String::new(), parts }
    };
    let bars: Vec<Bar> = group.iter().map(bar).collect();
    let canvas = Canvas { y: "quick requests are answered within, ms", ..Canvas::default() };
    let (who, asks) = match group[0].cell.active {
        1 => ("One client".into(), "asks"),
        active => (format!("{active} clients"), "ask"),
    };
    Some(Chart {
        name: "beside",
        title: "Quick requests beside some that compute",
        caption: format!(
            "{who} {asks} for a small file, each time on a new connection; {COMPUTING} more keep asking for what computes 5 ms. One thread has to \
             finish what it computes before it looks up; of many the kernel interrupts those that do."
        ),
        svg: canvas.bars(&bars),
    })
}
