//! The report: one file that needs nothing else, for light and dark, phone and paper.

use super::canvas;
use super::charts::{Chart, charts};
use super::models;
use super::plan::{Cell, is_typical};
use super::row::{Spread, summaries};
use super::run::{Run, Subject};
use super::table;
use super::text::{figure, thousands};
use super::{row::Row, story};
use std::fmt::Write;

const STYLE: &str = include_str!("report.css");

const HOW_STRATEGIES: &str = "\
<p>The server is tripoll itself, started once a strategy on the first core this process may use; the generator runs on the last. They differ in \
the one flag that says how to wait. Each strategy has its turn in every round; figures are medians of the rounds.</p>\
<ul><li><b>CPU per request</b> is the server's own CPU time (getrusage) over the answers it counted. How it divides into user and system is \
sampled by the kernel, the sum is exact.</li>\
<li><b>Closed loop</b>: the next request begins when the last was answered, as with wrk. A server that stalls is then asked less, so these \
latencies hide stalls.</li>\
<li><b>Open loop</b>: requests come at a fixed rate, and latency counts from when each was due.</li>\
<li><b>passed, scanned</b>: descriptors handed to the kernel, and places looked at afterwards, for each event that was ready.</li>\
<li><b>System calls</b> are counted by the server where it makes them; <code>strace -c</code> counts the same, but for reading a file that is not kept yet. wait is select, poll or epoll_wait, \
openat includes openat2, fstatat and fstat look whether a file changed.</li>\
<li>Idle connections were answered once each and wait for nothing. Where they are opened before measuring, 64 are accepted a turn to save \
time; in close rows it is --accept-max throughout.</li></ul>";

const HOW_MODELS: &str = "\
<p>The server is tripoll itself, started once a model with all its processes and threads on the first core this process may use; the generator \
runs on the last. Each model has its turn in every round; figures are medians of the rounds. All is closed loop: the next request of a \
connection begins when the last was answered.</p>\
<ul><li><b>CPU per request</b> is the CPU time of all processes over the answers they counted: of the parent and of those it waited for \
(getrusage), and of those that are there (schedstat). Before it counts and after, nobody asks until nothing is owed, so that all of them hold \
still while they are looked at.</li>\
<li><b>Memory</b> is what all processes wrote to (PSS: what they share counts once) with their page tables, all connections open. The program \
itself, the kernel's stack for each thread (16 KiB) and what it keeps of sockets are not in it.</li>\
<li><b>served</b>: connections that stay open are opened one after another and answered once before anybody asks on. Who serves a few at a time \
(iterative 1, prefork and thread-pool 32) gets to no others as long as those ask, so there all ask at once, and it is said how many were \
answered.</li>\
<li><b>sleep</b>: 5 ms by a timer under the reactor and coroutines, by a thread that sleeps elsewhere. <b>compute</b>: as many rounds as took 5 ms on that core when \
it was alone. <b>-close</b>: each request on a new connection. <b>beside</b>: as close, while four more connections keep asking for what \
computes; the figures are of the others.</li></ul>";

/// The page; with `beside`, another run set against this one.
pub fn render(run: &Run, beside: Option<&Run>) -> String {
    let mut page = String::new();
    let put = &mut page;
    push(put, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">");
    push(put, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    let (title, how) = match run.subject {
        Subject::Strategies => ("select, poll, epoll: what waiting costs", HOW_STRATEGIES),
        Subject::Models => ("One server, by processes, threads and one loop: what each costs", HOW_MODELS),
    };
    push(put, &format!("<title>{title}</title><style>{STYLE}</style><main>"));
    push(put, &format!("<h1>{title}</h1>"));
    let kernel = escape(&run.machine.kernel);
    push(put, &format!("<p class=\"soft\">{} on {kernel}, {}</p>", escape(&run.machine.processor), escape(&run.date)));
    at_a_glance(put, run);
    push(put, "<h2>In short</h2><ul>");
    let groups = summaries(&run.rows);
    let cells: Vec<Cell> = groups.iter().map(|group| group[0].cell).collect();
    for group in groups.iter().filter(|group| is_typical(group[0].cell, &cells)) {
        let (cell, sentence) = (escape(&table::cell_of(group)), escape(&story::sentence(group)));
        push(put, &format!("<li><span class=\"story\">{sentence}</span> <small>{cell}</small></li>"));
    }
    push(
        put,
        "</ul><p class=\"soft\">One setting of each kind; what the others come to stands below their figures.</p>",
    );
    remarks(put, run);
    push(put, "<h2>Charts</h2><div class=\"charts\">");
    charts(run).iter().for_each(|chart| push(put, &figure_of(chart)));
    push(put, "</div>");
    if let Some(other) = beside {
        set_beside(put, run, other);
    }
    push(put, "<h2>Figures</h2>");
    tables(put, run);
    push(put, &format!("<h2>How it was measured</h2>{how}"));
    facts(put, run);
    push(put, "</main></html>");
    page
}

fn push(page: &mut String, line: &str) {
    page.push_str(line);
    page.push('\n');
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn figure_of(chart: &Chart) -> String {
    let svg = chart.svg.replace(canvas::TEXT, "currentColor").replace(canvas::GRID, "var(--grid)");
    let (title, caption) = (escape(chart.title), escape(&chart.caption));
    format!("<figure><h3>{title}</h3>{svg}<figcaption>{caption}</figcaption></figure>")
}

fn remarks(page: &mut String, run: &Run) {
    let left_out = run.left_out.iter().map(|what| ("Left out", what));
    let all: Vec<_> = left_out.chain(run.failures.iter().map(|what| ("Failed", what))).collect();
    for (kind, what) in all {
        push(page, &format!("<p><b class=\"mark\">{kind}:</b> {}</p>", escape(what)));
    }
    if let Some(what) = table::disturbance(run) {
        push(page, &format!("<p><b class=\"mark\">Disturbed:</b> {}</p>", escape(&what)));
    }
    if run.was_interrupted {
        push(page, "<p><b class=\"mark\">Interrupted:</b> what follows was finished, the rest was not measured.</p>");
    }
}

/// Models, a line each, and what is said of them.
fn at_a_glance(page: &mut String, run: &Run) {
    if run.subject != Subject::Models {
        return;
    }
    let row = |tag: &str, cells: &[String]| {
        let cells: String = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect();
        format!("<tr>{cells}</tr>")
    };
    push(page, "<h2>At a glance</h2><div class=\"wide\"><table class=\"glance\">");
    push(page, &row("th", &models::COLUMNS.map(str::to_string)));
    models::glance(run).iter().for_each(|line| push(page, &row("td", line)));
    push(page, &format!("</table></div><p class=\"soft\">{}</p>", escape(&models::legend())));
    push(page, "<h2>What is said of them</h2><ul>");
    for [claim, finding] in models::claims(run) {
        push(page, &format!("<li><span class=\"story\">{}</span> {}</li>", escape(&claim), escape(&finding)));
    }
    push(page, "</ul>");
}

fn tables(page: &mut String, run: &Run) {
    for group in summaries(&run.rows) {
        push(page, &format!("<section><h3>{}</h3><div class=\"wide\"><table><tr>", escape(&table::title(&group))));
        let more: &[&str] = match run.subject {
            Subject::Strategies => &["calls/req", "changes/req", ""],
            Subject::Models => &[""],
        };
        for column in table::columns(run.subject).iter().chain(more) {
            push(page, &format!("<th>{}</th>", escape(column)));
        }
        push(page, "</tr>");
        for summary in &group {
            let calls: f64 = summary.median(|row| row.calls().iter().map(|(_, count)| count).sum());
            let mut cells = table::line(summary);
            if run.subject == Subject::Strategies {
                cells.extend([figure(calls), figure(summary.median(Row::changes))]);
            }
            let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect();
            let marks = escape(table::marks(summary).trim());
            push(page, &format!("<tr>{cells}<td class=\"mark\">{marks}</td></tr>"));
        }
        let sentence = escape(&story::sentence(&group));
        push(page, &format!("</table></div><p class=\"story\">{sentence}</p></section>"));
    }
}

/// What each strategy cost in both runs, where both have the setting.
fn set_beside(page: &mut String, run: &Run, other: &Run) {
    push(
        page,
        &format!(
            "<h2>Beside another run</h2><p class=\"soft\">{}, {}</p>",
            escape(&other.command),
            escape(&other.date)
        ),
    );
    push(
        page,
        "<div class=\"wide\"><table><tr><th>setting</th><th>strategy</th><th>CPU µs/req</th><th>there</th><th>ratio</th></tr>",
    );
    for [cell, strategy, own, there, ratio] in side_by_side(run, other) {
        let cell = escape(&cell);
        push(
            page,
            &format!("<tr><td>{cell}</td><td>{strategy}</td><td>{own}</td><td>{there}</td><td>{ratio}</td></tr>"),
        );
    }
    push(page, "</table></div>");
}

/// Setting, strategy, CPU per request in the one run, in the other (each with its least and greatest round), and the second over the first.
pub fn side_by_side(run: &Run, other: &Run) -> Vec<[String; 5]> {
    let theirs = summaries(&other.rows);
    let mut lines = Vec::new();
    for own in summaries(&run.rows).iter().flatten() {
        let found = theirs.iter().flatten().find(|one| one.cell == own.cell && one.strategy == own.strategy);
        if let Some(found) = found {
            let (here, there) = (own.spread(Row::cpu), found.spread(Row::cpu));
            let said =
                |cost: Spread| format!("{} ({}–{})", figure(cost.median), figure(cost.least), figure(cost.greatest));
            let ratio = figure(there.median / here.median);
            lines.push([own.cell.to_string(), own.strategy.into(), said(here), said(there), ratio]);
        }
    }
    lines
}

fn facts(page: &mut String, run: &Run) {
    push(page, "<h2>Where, and how to repeat it</h2><table class=\"facts\">");
    let mut fact = |name: &str, value: &str| {
        write!(page, "<tr><td>{}</td><td><code>{}</code></td></tr>", escape(name), escape(value))
            .expect("writing to memory does not fail");
    };
    fact("Command", &run.command);
    run.machine.facts().iter().for_each(|(name, value)| fact(name, value));
    for (work, ceiling) in &run.ceilings {
        fact(&format!("The generator's ceiling, {work}"), &format!("{} requests/s", thousands(*ceiling as u64)));
    }
    push(page, "</table>");
}
