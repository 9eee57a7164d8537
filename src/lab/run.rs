//! A run: every cell, by every strategy, round after round, each strategy having its turn in each round, so that what disturbs one
//! disturbs all.

use super::answerer;
use super::child::{Child, Settings};
use super::generator::{self, Load, Pace};
use super::hold::{self, Held, Order};
use super::interrupt::Interrupt;
use super::machine::{self, Machine};
use super::plan::{Cell, Offer, Options, Work};
use super::row::{Row, Spread};
use super::site::{self, Site};
use super::text::thousands;
use super::wait_cost::{self, WaitCost};
use serde::{Deserialize, Serialize};
use std::io;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};
use tripoll::poller::Strategy;
use tripoll::sys;

/// Accepts a turn while the connections of keepalive and large are opened, before anything is measured: 10,000 accepts by as many
/// selects over 10,000 descriptors would take longer than all measuring.
const ACCEPTS_BEFORE_MEASURING: usize = 64;

/// The most a server's connections may be measured for at a pace that the slowest strategy can't hold.
const CEILING_TIME: Duration = Duration::from_millis(250);

/// All that was found, as it is written and read again.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Run {
    pub command: String,
    pub date: String,
    pub machine: Machine,
    /// Requests a second that the generator could do, by work: what it did against a canned answerer, over its own CPU time.
    pub ceilings: Vec<(Work, f64)>,
    pub rows: Vec<Row>,
    pub waits: Vec<WaitCost>,
    /// Connections opened, and how many of them were served, with a limit of 1,024 descriptors.
    pub cliff: Vec<(usize, usize)>,
    /// What was not measured, and why.
    pub left_out: Vec<String>,
    /// What could not be measured though it should have been.
    pub failures: Vec<String>,
    pub was_interrupted: bool,
}

impl Run {
    /// Whether all that was asked for was measured without an error.
    pub fn is_good(&self) -> bool {
        !self.was_interrupted && self.failures.is_empty() && !self.rows.is_empty() && self.rows.iter().all(Row::is_good)
    }
}

/// Who hears how far it is.
pub trait Watch {
    fn total(&mut self, steps: u64);
    fn at(&mut self, what: &str);
    fn done(&mut self, steps: u64);
}

/// Measures what `options` ask for.
///
/// # Errors
/// What keeps all of it from being measured. What concerns one strategy or cell is among the failures instead.
pub fn measure(options: &Options, interrupt: &Interrupt, watch: &mut dyn Watch) -> io::Result<Run> {
    let (server_core, own_core) = machine::cores()?;
    let mut run = Run {
        command: options.command.clone(),
        date: tripoll::date::now(),
        machine: Machine::look(),
        ..Run::default()
    };
    if server_core == own_core {
        run.left_out.push(
            "There is one core only: server and generator take turns on it, so requests/s and latencies are of both together. CPU \
             per request is still the server's own."
                .into(),
        );
    }
    let site = Site::new()?;
    let cells = options.cells();
    let rounds = options.rounds() as u64;
    watch.total(cells.len() as u64 * rounds * options.strategies.len() as u64);
    watch.at("one wait");
    run.waits = std::thread::spawn({
        let strategies = options.strategies.clone();
        move || sys::pin(None, server_core).and_then(|()| wait_cost::measure(&strategies))
    })
    .join()
    .expect("it does not panic")?;
    sys::pin(None, own_core)?;
    let mut lab = Lab { options, interrupt, watch, run, site, server_core, own_core };
    for batch in batches(&cells) {
        if lab.run.was_interrupted {
            break;
        }
        lab.batch(&batch)?;
    }
    if (options.is_full || options.has_out) && !lab.run.was_interrupted {
        lab.cliff()?;
    }
    lab.run.rows.sort_by(|a, b| a.cell.partial_cmp(&b.cell).expect("no rate is NaN"));
    Ok(lab.run)
}

/// Cells that can share their servers and idle connections.
fn batches(cells: &[Cell]) -> Vec<Vec<Cell>> {
    let key = |cell: &Cell| (cell.work == Work::Close, cell.idle);
    let mut cells = cells.to_vec();
    cells.sort_by_key(key); // Stable: the closed loop stays before the rates that are a share of it.
    cells.chunk_by(|a, b| key(a) == key(b)).map(<[Cell]>::to_vec).collect()
}

struct Lab<'a> {
    options: &'a Options,
    interrupt: &'a Interrupt,
    watch: &'a mut dyn Watch,
    run: Run,
    site: Site,
    server_core: usize,
    own_core: usize,
}

/// A strategy's server, with its idle connections.
struct Bench<'a> {
    strategy: Strategy,
    child: Child,
    held: Option<Held<'a>>,
}

impl<'a> Lab<'a> {
    fn batch(&mut self, cells: &[Cell]) -> io::Result<()> {
        let first = cells[0];
        let steps = (cells.len() * self.options.rounds()) as u64;
        if first.idle > hold::connections_max()? {
            self.run.left_out.push(format!(
                "{} idle connections: a process may have {} descriptors here (raise it with `ulimit -Hn`)",
                thousands(first.idle as u64),
                self.run.machine.descriptors_max
            ));
            self.watch.done(steps * self.options.strategies.len() as u64);
            return Ok(());
        }
        let mut benches = Vec::new();
        for &strategy in &self.options.strategies {
            if self.interrupted() {
                return Ok(());
            }
            self.watch.at(&format!("{strategy}: opening {} idle connections", thousands(first.idle as u64)));
            match self.open(strategy, first) {
                Ok(bench) if bench.held.as_ref().is_none_or(|held| held.connections() == first.idle) => {
                    benches.push(bench);
                }
                Ok(bench) => {
                    let held = bench.held.map_or(0, |held| held.connections() as u64);
                    let (held, idle) = (thousands(held), thousands(first.idle as u64));
                    self.run.left_out.push(format!("{strategy} beside {idle} idle: it took no more than {held}"));
                    self.watch.done(steps);
                }
                Err(_) if self.interrupted() => return Ok(()),
                Err(error) => self.fail(strategy, first, &error),
            }
        }
        for cell in cells {
            self.cell(*cell, &mut benches)?;
        }
        Ok(())
    }

    fn interrupted(&mut self) -> bool {
        self.run.was_interrupted |= self.interrupt.came();
        self.run.was_interrupted
    }

    fn open(&self, strategy: Strategy, cell: Cell) -> io::Result<Bench<'a>> {
        let own = self.options.settings();
        let settings = match cell.work {
            Work::Close => own,
            Work::Keepalive | Work::Large | Work::Pipelined => {
                Settings { accept_max: own.accept_max.max(ACCEPTS_BEFORE_MEASURING), ..own }
            }
        };
        let program = &self.options.program;
        let child = Child::start(program, strategy, &settings, self.site.folder(), self.server_core)?;
        let order = Order { address: child.address(), connections: cell.idle };
        let held = (cell.idle > 0).then(|| Held::open(program, order, self.own_core, self.interrupt)).transpose()?;
        Ok(Bench { strategy, child, held })
    }

    fn cell(&mut self, cell: Cell, benches: &mut [Bench<'a>]) -> io::Result<()> {
        let rate = match cell.offer {
            Offer::Closed => None,
            Offer::PerSecond(rate) => Some(rate),
            Offer::Share(share) => match self.slowest(cell) {
                Some(slowest) => Some((slowest * share).max(1.0)),
                None => return Ok(()), // Its closed loop failed, and said so.
            },
        };
        let (request, requests_per_send) = site::request(cell.work);
        let mut load = Load {
            address: SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 0),
            request,
            requests_per_send,
            answer_bytes: 0,
            connections: cell.active,
            closes: cell.work == Work::Close,
            pace: rate.map_or(Pace::Closed, |requests_per_second| Pace::Open { requests_per_second }),
            warm_up: self.options.warm_up(),
            time: self.options.time(),
        };
        for round in 0..self.options.rounds() {
            for bench in &mut *benches {
                if self.interrupted() {
                    return Ok(());
                }
                self.watch.at(&format!("{}, {cell}", bench.strategy));
                match self.round(cell, round, bench, &mut load) {
                    Ok(Some(row)) => self.run.rows.push(Row { offered_per_second: rate, ..row }),
                    Ok(None) => self.run.was_interrupted = true,
                    Err(_) if self.interrupted() => return Ok(()),
                    Err(error) => self.fail(bench.strategy, cell, &error),
                }
                self.watch.done(1);
            }
        }
        Ok(())
    }

    fn round(&mut self, cell: Cell, round: usize, bench: &mut Bench<'a>, load: &mut Load) -> io::Result<Option<Row>> {
        load.address = bench.child.address();
        load.answer_bytes = site::answer_bytes(load.address, &load.request, load.requests_per_send)?;
        self.find_ceiling(cell.work, load)?;
        let mut before = None;
        let mut begun = Instant::now();
        let measured = generator::run(load, self.interrupt, || {
            begun = Instant::now();
            before = Some((bench.child.figures()?, bench.child.delayed()));
            Ok(())
        })?;
        if measured.was_interrupted {
            return Ok(None);
        }
        // Between the end of the load and this nothing is asked for; closing connections is not in it, as they close later.
        let (figures_before, delayed_before) = before.expect("it began");
        let delayed = bench.child.delayed().saturating_sub(delayed_before);
        let figures = bench.child.figures()?.since(figures_before);
        let mut row = Row::new(cell, bench.strategy.to_string(), round, &measured, figures);
        // The open loop waits for what it is owed: the server worked longer than requests were sent.
        let worked = begun.elapsed().as_secs_f64();
        row.server_share *= row.seconds / worked;
        row.server_delayed_share = delayed.as_secs_f64() / worked;
        row.resident_bytes = bench.child.resident_bytes();
        if let Some(held) = &mut bench.held {
            row.idle_lost = held.lost()? as u64;
        }
        Ok(Some(row))
    }

    /// What the generator could do, once for each work.
    fn find_ceiling(&mut self, work: Work, load: &Load) -> io::Result<()> {
        if self.run.ceilings.iter().any(|(known, _)| *known == work) {
            return Ok(());
        }
        let load =
            Load { pace: Pace::Closed, time: CEILING_TIME, warm_up: CEILING_TIME / 5, connections: 64, ..load.clone() };
        let measured = answerer::measure(&load, self.server_core, self.interrupt)?;
        if !measured.was_interrupted {
            let ceiling = measured.requests as f64 / measured.cpu.total().as_secs_f64().max(f64::MIN_POSITIVE);
            self.run.ceilings.push((work, ceiling));
        }
        Ok(())
    }

    /// The least of the strategies' requests a second in the closed loop of the same setting.
    fn slowest(&self, cell: Cell) -> Option<f64> {
        let closed = Cell { offer: Offer::Closed, ..cell };
        let of = |strategy: &Strategy| {
            let name = strategy.to_string();
            let rows = self.run.rows.iter().filter(|row| row.cell == closed && row.strategy == name);
            Spread::of(rows.map(|row| row.requests_per_second)).map(|spread| spread.median)
        };
        self.options.strategies.iter().filter_map(of).min_by(f64::total_cmp)
    }

    fn fail(&mut self, strategy: Strategy, cell: Cell, error: &io::Error) {
        self.run.failures.push(format!("{strategy}, {cell}: {error}"));
    }

    /// How many connections a select is served that has the limit of a fixed fd_set.
    fn cliff(&mut self) -> io::Result<()> {
        let settings = Settings { accept_max: ACCEPTS_BEFORE_MEASURING, is_eager: false };
        let strategy = Strategy::Select { limit: Some(1024) };
        for opened in [256, 512, 768, 1024, 1280, 1536] {
            if self.interrupted() || opened > hold::connections_max()? {
                return Ok(());
            }
            self.watch.at("the cliff of select at 1,024");
            let (program, folder) = (&self.options.program, self.site.folder());
            let child = Child::start(program, strategy, &settings, folder, self.server_core)?;
            let order = Order { address: child.address(), connections: opened };
            match Held::open(program, order, self.own_core, self.interrupt) {
                Ok(held) => self.run.cliff.push((opened, held.connections())),
                Err(_) if self.interrupted() => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
