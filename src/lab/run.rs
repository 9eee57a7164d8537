//! A run: every cell, by every contestant, round after round, each contestant having its turn in each round, so that what disturbs one
//! disturbs all.

use super::answerer;
use super::child::{Child, Settings};
use super::generator;
use super::hold::{self, Held, Order};
use super::interrupt::Interrupt;
use super::load::{Ask, Load, Measured, Moment, Pace};
use super::machine::{self, Machine};
use super::plan::{Cell, Contestant, Offer, Options, Work};
use super::row::{Memory, OfModel, Row, Spread};
use super::site::{self, Site};
use super::text::{size, thousands};
use super::wait_cost::{self, WaitCost};
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind};
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};
use tripoll::poller::Strategy;
use tripoll::sys;

/// A server is not given more connections than it would take this share of the memory that is free for, by what it took for fewer.
const MEMORY_SHARE_MAX: f64 = 0.5;

/// The most a server's connections may be measured for at a pace that the slowest strategy can't hold.
const CEILING_TIME: Duration = Duration::from_millis(250);

/// All that was found, as it is written and read again.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Run {
    #[serde(default)]
    pub subject: Subject,
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

/// What contestants differ in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// How the reactor waits.
    #[default]
    Strategies,
    /// Who serves connections.
    Models,
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
    let subject = if options.is_of_models() { Subject::Models } else { Subject::Strategies };
    let mut run = Run {
        subject,
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
    watch.total(cells.len() as u64 * rounds * options.contestants.len() as u64);
    watch.at("one wait");
    let strategies: Vec<Strategy> = options.contestants.iter().filter_map(|one| one.strategy()).collect();
    let before = move || {
        sys::pin(None, server_core)?;
        io::Result::Ok((wait_cost::measure(&strategies)?, site::rounds()))
    };
    let (waits, compute_rounds) = std::thread::spawn(before).join().expect("it does not panic")?;
    run.waits = waits;
    sys::pin(None, own_core)?;
    let mut lab = Lab { options, interrupt, watch, run, site, compute_rounds, server_core, own_core };
    for batch in batches(&cells, subject) {
        if lab.run.was_interrupted {
            break;
        }
        lab.batch(&batch)?;
    }
    if subject == Subject::Strategies && (options.is_full || options.has_out) && !lab.run.was_interrupted {
        lab.cliff()?;
    }
    lab.run.rows.sort_by(|a, b| a.cell.partial_cmp(&b.cell).expect("no rate is NaN"));
    Ok(lab.run)
}

/// Cells that can share their servers and idle connections. A model's memory is to be that of its connections, not what is left of other work.
fn batches(cells: &[Cell], subject: Subject) -> Vec<Vec<Cell>> {
    let key = |cell: &Cell| ((subject == Subject::Models).then_some(cell.work), cell.work.closes(), cell.idle);
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
    /// How many rounds a handler computes that takes its time.
    compute_rounds: u64,
    server_core: usize,
    own_core: usize,
}

/// A contestant's server, with its idle connections.
struct Bench<'a> {
    child: Child,
    held: Option<Held<'a>>,
    /// What it had before the first connection that counts, once that was looked at.
    memory_before: Option<u64>,
}

/// What a round came to.
enum Outcome {
    Row(Box<Row>),
    /// Why it can't be had.
    LeftOut(String),
    Interrupted,
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
            self.watch.done(steps * self.options.contestants.len() as u64);
            return Ok(());
        }
        let mut benches = Vec::new();
        for &contestant in &self.options.contestants {
            if self.interrupted() {
                return Ok(());
            }
            self.watch.at(&format!("{contestant}: opening {} idle connections", thousands(first.idle as u64)));
            match self.open(contestant, first) {
                Ok(bench) if bench.held.as_ref().is_none_or(|held| held.connections() == first.idle) => {
                    benches.push(bench);
                }
                Ok(bench) => {
                    let held = bench.held.map_or(0, |held| held.connections() as u64);
                    let (held, idle) = (thousands(held), thousands(first.idle as u64));
                    self.run.left_out.push(format!("{contestant} beside {idle} idle: it took no more than {held}"));
                    self.watch.done(steps);
                }
                Err(_) if self.interrupted() => return Ok(()),
                Err(error) => self.fail(contestant, first, &error),
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

    fn open(&self, contestant: Contestant, cell: Cell) -> io::Result<Bench<'a>> {
        let own = self.options.settings();
        let settings = match cell.work.closes() {
            true => own,
            false => Settings { accept_max: None, ..own }, // All are accepted before anything is measured.
        };
        let program = &self.options.program;
        let child = Child::start(program, contestant, &settings, self.site.folder(), self.server_core)?;
        let order = Order { address: child.address(), connections: cell.idle };
        let held = (cell.idle > 0).then(|| Held::open(program, order, self.own_core, self.interrupt)).transpose()?;
        Ok(Bench { child, held, memory_before: None })
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
        let (request, requests_per_send) = site::request(cell.work, self.compute_rounds);
        let load = Load {
            address: SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 0),
            ask: Ask { request, answer_bytes: 0 },
            requests_per_send,
            connections: cell.active,
            beside: None,
            settles: None,
            closes: cell.work.closes(),
            pace: rate.map_or(Pace::Closed, |requests_per_second| Pace::Open { requests_per_second }),
            warm_up: self.options.warm_up(),
            time: self.options.time(),
        };
        let mut unfit = Vec::new();
        for round in 0..self.options.rounds() {
            for bench in &mut *benches {
                if self.interrupted() {
                    return Ok(());
                }
                let contestant = bench.child.contestant();
                self.watch.at(&format!("{contestant}, {cell}"));
                self.watch.done(1);
                if unfit.contains(&contestant.to_string()) {
                    continue;
                }
                match self.round(cell, round, bench, load.clone()) {
                    Ok(Outcome::Row(row)) => self.run.rows.push(Row { offered_per_second: rate, ..*row }),
                    Ok(Outcome::LeftOut(why)) => {
                        self.run.left_out.push(format!("{contestant}, {}: {why}", cell.of_models()));
                        unfit.push(contestant.to_string());
                    }
                    Ok(Outcome::Interrupted) => self.run.was_interrupted = true,
                    Err(_) if self.interrupted() => return Ok(()),
                    Err(error) => {
                        self.fail(contestant, cell, &error);
                        unfit.push(contestant.to_string());
                    }
                }
            }
        }
        Ok(())
    }

    fn round(&mut self, cell: Cell, round: usize, bench: &mut Bench<'a>, mut load: Load) -> io::Result<Outcome> {
        let contestant = bench.child.contestant();
        load.address = bench.child.address();
        load.ask.answer_bytes = match self.answer_bytes(load.address, &load.ask.request, load.requests_per_send) {
            Err(error) if error.kind() == ErrorKind::TimedOut && contestant.at_a_time().is_some() => {
                return Ok(Outcome::LeftOut(format!(
                    "{error} before round {}: clients of earlier rounds, which are gone, still stand in its queue; try fewer with --active",
                    round + 1
                )));
            }
            asked => asked?,
        };
        self.find_ceiling(cell.work, &load)?;
        if let Some(why) = self.lacks_memory(cell, bench) {
            return Ok(Outcome::LeftOut(why));
        }
        let is_model = contestant.strategy().is_none();
        self.give_manners(&mut load, cell.work, contestant)?;
        let (child, memory_before) = (&mut bench.child, &mut bench.memory_before);
        if is_model {
            memory_before.get_or_insert_with(|| child.memory_bytes());
        }
        let (mut before, mut after, mut memory) = (None, None, None);
        let mut begun = Instant::now();
        let measured = generator::run(&load, self.interrupt, |moment| {
            match moment {
                Moment::Begin => {
                    before = Some((child.figures()?, child.delayed(), machine::idle(self.server_core)));
                    begun = Instant::now();
                }
                Moment::End if is_model => {
                    let (idle, worked) = (machine::idle(self.server_core), begun.elapsed());
                    after = Some((child.figures()?, idle, worked));
                    memory = (cell.work == Work::Keepalive).then(|| child.memory_bytes());
                }
                Moment::End => {}
            }
            Ok(())
        })?;
        if measured.was_interrupted {
            return Ok(Outcome::Interrupted);
        }
        if let Some(why) = does_not_fit(&load, &measured).filter(|_| is_model) {
            return Ok(Outcome::LeftOut(why));
        }
        let (figures_before, delayed_before, idle_before) = before.expect("it began");
        let mut row;
        if let Some((figures, idle, worked)) = after {
            row = Row::new(cell, contestant.to_string(), round, &measured, figures.since(figures_before));
            // Its threads and processes keep each other from the core: what others had is what was neither its own nor nobody's.
            let own = Duration::from_micros(row.server.cpu_microseconds().max(0) as u64);
            let others = worked.saturating_sub(idle.saturating_sub(idle_before)).saturating_sub(own);
            row.server_share = own.as_secs_f64() / worked.as_secs_f64();
            row.server_delayed_share = others.as_secs_f64() / worked.as_secs_f64();
            let memory = memory.zip(*memory_before).map(|(open, before)| Memory { before, open });
            let has_few_workers = contestant.at_a_time().is_some();
            let gives_way = has_few_workers && !cell.work.closes();
            let gave_way = if gives_way { std::mem::take(&mut row.errors_closed) } else { 0 };
            // Those it let go of wait as well, and who is last in a long queue.
            row.errors_starved += if has_few_workers { std::mem::take(&mut row.errors_timeout) } else { 0 };
            row.model = Some(OfModel { served: measured.served, gave_way, memory });
        } else {
            // Between the end of the load and this nothing is asked for; closing connections is not in it, as they close later.
            let delayed = child.delayed().saturating_sub(delayed_before);
            row = Row::new(cell, contestant.to_string(), round, &measured, child.figures()?.since(figures_before));
            // The open loop waits for what it is owed: the server worked longer than requests were sent.
            let worked = begun.elapsed().as_secs_f64();
            row.server_share *= row.seconds / worked;
            row.server_delayed_share = delayed.as_secs_f64() / worked;
        }
        row.resident_bytes = child.resident_bytes();
        if let Some(held) = &mut bench.held {
            row.idle_lost = held.lost()? as u64;
        }
        Ok(Outcome::Row(Box::new(row)))
    }

    /// How the load is put on: what models differ in is to be seen, and nothing else.
    fn give_manners(&self, load: &mut Load, work: Work, contestant: Contestant) -> io::Result<()> {
        let ask = |work: Work| -> io::Result<Ask> {
            let (request, times) = site::request(work, self.compute_rounds);
            Ok(Ask { answer_bytes: self.answer_bytes(load.address, &request, times)?, request })
        };
        let beside = (work == Work::Beside).then(|| ask(Work::ComputeClose)).transpose()?;
        // Who serves a few at a time never gets to the others as long as those ask.
        let gets_to_all = work.closes() || contestant.at_a_time().is_none();
        let settles = contestant.strategy().is_none() && gets_to_all;
        let settles = settles.then(|| ask(Work::Keepalive)).transpose()?;
        load.beside = beside.map(|ask| (site::COMPUTING, ask));
        load.settles = settles;
        Ok(())
    }

    fn answer_bytes(&self, address: SocketAddrV4, request: &[u8], times: usize) -> io::Result<usize> {
        site::answer_bytes(address, request, times, self.options.patience)
    }

    /// Whether so many connections would take more memory than there is, by what it took for fewer.
    fn lacks_memory(&self, cell: Cell, bench: &Bench<'_>) -> Option<String> {
        let contestant = bench.child.contestant();
        let (name, available) = (contestant.to_string(), machine::memory_available()?);
        let own = self.run.rows.iter().filter(|row| row.strategy == name && row.cell.active < cell.active);
        let with_most = own.max_by_key(|row| (row.memory().is_some(), row.cell.active))?;
        let needed = with_most.memory_a_connection().filter(|_| contestant.at_a_time().is_none())? * cell.active as f64;
        (needed > available as f64 * MEMORY_SHARE_MAX).then(|| {
            format!("it would take {} of the {} of memory that are free", size(needed as u64), size(available))
        })
    }

    /// What the generator could do, once for each work.
    fn find_ceiling(&mut self, work: Work, load: &Load) -> io::Result<()> {
        if self.run.ceilings.iter().any(|(known, _)| *known == work) {
            return Ok(());
        }
        if work.is_slow() {
            return Ok(()); // An answerer does not sleep.
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

    /// The least of the contestants' requests a second in the closed loop of the same setting.
    fn slowest(&self, cell: Cell) -> Option<f64> {
        let closed = Cell { offer: Offer::Closed, ..cell };
        let of = |contestant: &Contestant| {
            let name = contestant.to_string();
            let rows = self.run.rows.iter().filter(|row| row.cell == closed && row.strategy == name);
            Spread::of(rows.map(|row| row.requests_per_second)).map(|spread| spread.median)
        };
        self.options.contestants.iter().filter_map(of).min_by(f64::total_cmp)
    }

    fn fail(&mut self, contestant: Contestant, cell: Cell, error: &io::Error) {
        self.run.failures.push(format!("{contestant}, {cell}: {error}"));
    }

    /// How many connections a select is served that has the limit of a fixed fd_set.
    fn cliff(&mut self) -> io::Result<()> {
        let settings = Settings { accept_max: None, is_eager: false };
        let strategy = Contestant::Strategy(Strategy::Select { limit: Some(1024) });
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

/// Why a server can't be measured with as many connections as `load` has, if it can't.
fn does_not_fit(load: &Load, measured: &Measured) -> Option<String> {
    let (opened, turned_away) = (thousands(measured.opened as u64), measured.errors.turned_away);
    if turned_away > 0 {
        return Some("it has no room for as many, and turns who comes away with 503".into());
    }
    (measured.opened < load.connections).then(|| format!("it took no more than {opened}"))
}
