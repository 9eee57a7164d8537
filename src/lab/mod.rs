//! The lab: `tripoll compare` measures what select, poll and epoll cost on this machine, or what serving by threads and processes does, with
//! nothing else installed.
//!
//! Invariant: it uses the library from outside, as any program does, and knows of the server only what the server's flags and its private
//! pipe tell. What was not measured is said, never filled in.
//!
//! ```text
//!   plan ── cells ──▶ run ── a server a contestant ──▶ child ◀─ figures     core 0
//!                      ├──── idle connections ───────▶ hold                 ┐
//!                      └──── load ───────────────────▶ generator            ┘ core 1
//!                      ▼
//!                     row, summaries ──▶ table, story; CSV, JSON; charts, report
//! ```

pub mod answerer;
mod canvas;
mod charts;
mod child;
mod connection;
mod figures;
pub mod files;
pub mod generator;
pub mod hold;
pub mod interrupt;
pub mod load;
mod machine;
mod model_charts;
pub mod models;
pub mod plan;
mod processes;
mod progress;
pub mod report;
pub mod row;
pub mod run;
pub mod site;
mod story;
pub mod table;
mod text;
mod wait_cost;

pub use figures::tell_on_stdin;

use interrupt::Interrupt;
use plan::Options;
use progress::Bar;
use run::Run;

/// Measures what `options` ask for, with a progress bar on a terminal.
///
/// # Errors
/// What kept everything from being measured, in words.
pub fn compare(options: &Options) -> Result<Run, String> {
    let interrupt = Interrupt::listen().map_err(|error| format!("cannot listen to signals: {error}"))?;
    let mut bar = Bar::new();
    let run = run::measure(options, &interrupt, &mut bar);
    bar.end();
    run.map_err(|error| format!("cannot measure: {error}"))
}
