//! `tripoll compare`: the flags of the lab.

use crate::lab::plan::{self, Contestant, Options, Work};
use crate::lab::{self, files, table};
use clap::Args;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tripoll::poller::Updates;

const EXAMPLES: &str = "\
Examples:
  tripoll compare                                   the picture in a minute
  tripoll compare --idle 0,1000,10000               one axis
  tripoll compare --work close --accept-max 16      connections, sixteen accepted a turn
  tripoll compare --rate 1000,5000,20000            open loop: latency from when each request was due
  tripoll compare --out run                         with CSV, JSON, charts and run/report.html
  tripoll compare --from run,other                  two runs side by side
  tripoll compare --full                            every combination, five rounds: half an hour
  tripoll compare --models                          one loop, processes, threads: what each model costs, in two minutes
  tripoll compare --models fork,threads --work close --active 64,1000

With axes every combination of what is given is measured; without, one axis at a time around 64 active, 0 idle, keepalive.
Closed loop: the next request begins when the last was answered, so a server that stalls is asked less, and its latencies hide it.
Models are compared in the closed loop alone; memory and CPU time are those of all processes of a server.

The server runs on the first core this process may use, the generator on the last. A folder called compare is served as ./compare.
Exit codes: 0 all rows are good, 1 some are not or nothing could be measured, 2 it was called wrongly, 130 Ctrl-C: finished rows are kept.";

/// Compares select, poll and epoll on this machine, or models
///
/// Starts this server once a strategy, puts the same load on each, beside idle connections, and says what a request costs. With --models
/// once a model: by one loop, by processes, by threads.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Compare {
    /// Idle connections held open beside the active ones
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    pub idle: Vec<usize>,

    /// Connections that are never idle
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = positive)]
    pub active: Vec<usize>,

    /// keepalive, close, large, pipelined; sleep, compute, beside
    ///
    /// A file of 1 KiB again and again; the same on a new connection each time; a file of 1 MiB; sixteen requests at a time. A handler that
    /// sleeps for 5 ms, one that computes for as long (sleep-close and compute-close: on new connections); as close, while four more
    /// connections have the server compute.
    #[arg(long, value_name = "WORK,…", value_delimiter = ',')]
    pub work: Vec<Work>,

    /// select, poll, epoll, epoll-edge
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = plan::strategy)]
    #[arg(default_value = "select,poll,epoll,epoll-edge")]
    pub backends: Vec<Contestant>,

    /// Compare models: reactor, iterative, fork, prefork, threads, thread-pool, coroutines [default: all]
    ///
    /// With 1, 64 and 1,000 connections that ask, with --full 5,000 too; prefork and thread-pool have 32 workers.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = plan::model, num_args = 0..=1)]
    #[arg(default_missing_values = plan::MODELS.map(|(name, _)| name), conflicts_with_all = ["backends", "idle", "rate", "accept_max", "interest"])]
    pub models: Vec<Contestant>,

    /// Rounds, in each of which all have their turn [default: 3, with --full 5]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub rounds: Option<usize>,

    /// Seconds that each measurement takes [default: 0.4, of models 0.25, with --full 1]
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub seconds: Option<Duration>,

    /// Open loop too, at so many requests a second
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = rate)]
    pub rate: Vec<f64>,

    /// Connections that the servers accept a turn [default: as the server's own]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub accept_max: Option<usize>,

    /// When the servers change what they watch: eager or lazy
    #[arg(long, value_name = "eager|lazy", default_value = "lazy")]
    pub interest: Updates,

    /// Every combination, and latency over load
    #[arg(long)]
    pub full: bool,

    /// Write CSV, JSON, charts and a report into DIR
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Measure nothing: show, and with --out draw again, what --out wrote; of two, side by side
    #[arg(long, value_name = "DIR[,DIR]", value_delimiter = ',', conflicts_with_all = ["idle", "active", "work", "rate", "full", "models"])]
    pub from: Vec<PathBuf>,
}

/// Measures, and says what was found.
pub fn compare(compare: Compare) -> ExitCode {
    match found(compare) {
        Ok(code) => code,
        Err(message) => {
            // A closed stderr leaves nobody to tell.
            let _ = writeln!(std::io::stderr(), "error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn found(compare: Compare) -> Result<ExitCode, String> {
    let program = std::env::current_exe().map_err(|error| format!("cannot find this program to start it: {error}"))?;
    let words: Vec<String> = std::env::args().skip(1).collect();
    let options = Options {
        idle: compare.idle,
        active: compare.active,
        work: compare.work,
        rates: compare.rate,
        contestants: if compare.models.is_empty() { compare.backends } else { compare.models },
        rounds: compare.rounds,
        patience: plan::PATIENCE,
        time: compare.seconds,
        accept_max: compare.accept_max,
        updates: compare.interest,
        is_full: compare.full,
        has_out: compare.out.is_some(),
        command: format!("tripoll {}", words.join(" ")),
        program,
    };
    let mut runs = compare.from.iter().map(|folder| files::read(folder));
    let run = runs.next().unwrap_or_else(|| lab::compare(&options))?;
    let beside = runs.next().transpose()?;
    // A closed stdout is no reason to fail: the files may be what was wanted.
    let _ = write!(std::io::stdout(), "{}", table::render(&run));
    if let Some(other) = &beside {
        let _ = write!(std::io::stdout(), "{}", table::side_by_side(&run, other));
    }
    if let Some(folder) = compare.out {
        let cannot = |error| format!("cannot write into {}: {error}; try another folder", folder.display());
        files::write(&folder, &run, beside.as_ref()).map_err(cannot)?;
        let _ = writeln!(std::io::stdout(), "Written: {}", folder.join("report.html").display());
    }
    Ok(match (run.was_interrupted, run.is_good()) {
        (true, _) => ExitCode::from(130),
        (false, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::FAILURE,
    })
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "it is a number from 1 on".into())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.01..=3600.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "it is a number of seconds from 0.01 to 3600".into())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| (1.0..=10_000_000.0).contains(rate));
    rate.ok_or_else(|| "it is requests a second, from 1 on".into())
}
