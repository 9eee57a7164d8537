//! What is to be measured: cells, each by every strategy.

use super::child::Settings;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use tripoll::Model;
use tripoll::models::Reap;
use tripoll::poller::{Strategy, Updates};

/// Where one axis varies, the others stand here.
const IDLE: usize = 0;
const ACTIVE: usize = 64;

/// What models are put to by the whole programme.
const WORKS_OF_MODELS: [Work; 7] =
    [Work::Keepalive, Work::Close, Work::Sleep, Work::SleepClose, Work::Compute, Work::ComputeClose, Work::Beside];
const CONNECTIONS_OF_MODELS: [usize; 4] = [1, 64, 1_000, 5_000];

/// Transfers that keep a core busy with so few connections already.
const LARGE_ACTIVE_MAX: usize = 64;

/// How long by default the answer before a round may take. One worker that sleeps for each of those who wait at [`site::SLOW`](super::site::SLOW)
/// gets to it after 20 s, where the kernel lets 4,096 wait (`net.core.somaxconn`): clients of the round before, which are gone.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Requests that go out together in pipelined work.
pub const PIPELINE_DEPTH: usize = 16;

/// What each connection asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// A file of 1 KiB, again and again.
    Keepalive,
    /// The same on a new connection each time.
    Close,
    /// A file of 1 MiB, again and again.
    Large,
    /// As keepalive, sixteen requests at a time.
    Pipelined,
    /// What a handler answers after 5 ms in which it does nothing, by its server's own means.
    Sleep,
    /// The same on a new connection each time.
    SleepClose,
    /// What a handler answers that computes for 5 ms.
    Compute,
    /// The same on a new connection each time.
    ComputeClose,
    /// As close, while others have the server compute without a pause.
    Beside,
}

impl Work {
    pub const ALL: [Work; 9] = [
        Work::Keepalive,
        Work::Close,
        Work::Large,
        Work::Pipelined,
        Work::Sleep,
        Work::SleepClose,
        Work::Compute,
        Work::ComputeClose,
        Work::Beside,
    ];

    /// Whether a handler takes its time.
    pub fn is_slow(self) -> bool {
        match self {
            Work::Sleep | Work::SleepClose | Work::Compute | Work::ComputeClose => true,
            Work::Keepalive | Work::Close | Work::Large | Work::Pipelined | Work::Beside => false,
        }
    }

    /// Whether each request has a connection of its own.
    pub fn closes(self) -> bool {
        match self {
            Work::Close | Work::SleepClose | Work::ComputeClose | Work::Beside => true,
            Work::Keepalive | Work::Large | Work::Pipelined | Work::Sleep | Work::Compute => false,
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Work::Keepalive => "keepalive",
            Work::Close => "close",
            Work::Large => "large",
            Work::Pipelined => "pipelined",
            Work::Sleep => "sleep",
            Work::SleepClose => "sleep-close",
            Work::Compute => "compute",
            Work::ComputeClose => "compute-close",
            Work::Beside => "beside",
        })
    }
}

impl FromStr for Work {
    type Err = String;
    fn from_str(word: &str) -> Result<Work, String> {
        let work = Work::ALL.into_iter().find(|work| work.to_string() == word);
        work.ok_or_else(|| {
            "it is keepalive, close, large, pipelined, sleep, sleep-close, compute, compute-close or beside".into()
        })
    }
}

/// How requests are offered.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Offer {
    /// Closed loop: as many as are answered.
    Closed,
    /// Open loop: so many a second.
    PerSecond(f64),
    /// Open loop: so much of what the slowest contestant of the same cell reached in the closed loop.
    Share(f64),
}

/// Who is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contestant {
    /// The reactor, by the way it waits.
    Strategy(Strategy),
    /// Who serves connections.
    Model(Model),
}

/// The models by their names, in the order in which they are shown.
pub const MODELS: [(&str, Model); 7] = [
    ("reactor", Model::Reactor),
    ("iterative", Model::Iterative),
    ("fork", Model::Fork { reap: Reap::Wait }), // Only of children that are waited for the time is known.
    ("prefork", Model::Prefork { workers: WORKERS }),
    ("threads", Model::Threads),
    ("thread-pool", Model::ThreadPool { workers: WORKERS }),
    ("coroutines", Model::Coroutines),
];

/// Of the models that have a pool.
const WORKERS: usize = 32;

impl Contestant {
    /// How it waits, where that is what it is known for.
    pub fn strategy(self) -> Option<Strategy> {
        match self {
            Contestant::Strategy(strategy) => Some(strategy),
            Contestant::Model(_) => None,
        }
    }

    /// How many connections it serves at a time, where that does not depend on how many come.
    pub fn at_a_time(self) -> Option<usize> {
        match self {
            Contestant::Strategy(_) => None,
            Contestant::Model(Model::Iterative) => Some(1),
            Contestant::Model(Model::Prefork { workers } | Model::ThreadPool { workers }) => Some(workers),
            Contestant::Model(Model::Reactor | Model::Fork { .. } | Model::Threads | Model::Coroutines) => None,
        }
    }
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Contestant::Strategy(strategy) => strategy.fmt(f),
            Contestant::Model(model) => {
                let (name, _) = MODELS.iter().find(|(_, one)| one == model).expect("all are in the table");
                f.write_str(name)
            }
        }
    }
}

/// One setting, which every contestant is put into.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Cell {
    pub work: Work,
    pub idle: usize,
    pub active: usize,
    pub offer: Offer,
}

/// What the command was asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Empty: the preset's.
    pub idle: Vec<usize>,
    pub active: Vec<usize>,
    pub work: Vec<Work>,
    pub rates: Vec<f64>,
    /// Strategies, or models.
    pub contestants: Vec<Contestant>,
    pub rounds: Option<usize>,
    /// How long an answer may take that is asked for before a round.
    pub patience: Duration,
    pub time: Option<Duration>,
    pub accept_max: Option<usize>,
    pub updates: Updates,
    pub is_full: bool,
    /// Files are wanted, so that what is only drawn is measured too.
    pub has_out: bool,
    /// The words of the command, to repeat it.
    pub command: String,
    /// The program that is started as server.
    pub program: PathBuf,
}

impl Options {
    pub fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.is_full { 5 } else { 3 })
    }

    pub fn time(&self) -> Duration {
        let preset = match (self.is_full, self.is_of_models()) {
            (true, _) => 1000,
            (false, true) => 250,
            (false, false) => 400,
        };
        self.time.unwrap_or(Duration::from_millis(preset))
    }

    /// Whether it is models that are compared.
    pub fn is_of_models(&self) -> bool {
        matches!(self.contestants[..], [Contestant::Model(_), ..])
    }

    /// Long enough for caches, branch predictors and TCP windows; not measured.
    pub fn warm_up(&self) -> Duration {
        (self.time() / 4).clamp(Duration::from_millis(50), Duration::from_millis(500))
    }

    pub fn settings(&self) -> Settings {
        Settings { accept_max: self.accept_max, is_eager: self.updates == Updates::Eager }
    }

    /// The cells, grouped so that idle connections are opened once. Without axes the preset's: a cross, one axis at a time; with axes
    /// every combination of what was given.
    pub fn cells(&self) -> Vec<Cell> {
        let has_axes = !(self.idle.is_empty() && self.active.is_empty() && self.work.is_empty());
        if self.is_of_models() {
            return self.cells_of_models(has_axes);
        }
        let mut cells = match (has_axes, self.is_full) {
            (true, _) | (false, true) => self.product(),
            (false, false) => cross(),
        };
        let open = match (self.rates.is_empty(), has_axes, self.is_full) {
            (false, ..) => self.rates.iter().map(|rate| Offer::PerSecond(*rate)).collect(),
            (true, true, false) => Vec::new(),
            (true, false, false) => vec![Offer::Share(0.5)],
            (true, _, true) => [0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 1.1].map(Offer::Share).to_vec(),
        };
        cells.extend(self.open_cells(&cells, &open));
        sort(&mut cells);
        cells
    }

    /// As for strategies, of works and numbers of connections.
    fn cells_of_models(&self, has_axes: bool) -> Vec<Cell> {
        let is_preset = |work: Work, active: usize| match (self.is_full, work) {
            // What one core computes two hundred times a second takes a thousand clients nowhere.
            (true, Work::Compute | Work::ComputeClose) => active <= ACTIVE,
            // Where many ask, they wait for each other.
            (_, Work::Beside) => active == 1,
            (true, _) => true,
            (false, Work::Keepalive | Work::Sleep) => active <= 1_000,
            (false, _) => active == ACTIVE,
        };
        let (works, actives): (&[Work], &[usize]) = match has_axes && !self.is_full {
            true => (&[Work::Keepalive], &[ACTIVE]),
            false if self.is_full => (&WORKS_OF_MODELS, &CONNECTIONS_OF_MODELS),
            false => {
                (&[Work::Keepalive, Work::Close, Work::Sleep, Work::Compute, Work::Beside], &CONNECTIONS_OF_MODELS)
            }
        };
        let works = if self.work.is_empty() { works } else { &self.work };
        let actives = if self.active.is_empty() { actives } else { &self.active };
        let combined = works.iter().flat_map(|work| actives.iter().map(|active| (*work, *active)));
        let wanted = combined.filter(|(work, active)| has_axes || is_preset(*work, *active));
        let mut cells: Vec<Cell> =
            wanted.map(|(work, active)| Cell { work, idle: IDLE, active, offer: Offer::Closed }).collect();
        sort(&mut cells); // What memory a few took is not to be left of many.
        cells
    }

    fn product(&self) -> Vec<Cell> {
        let (works, idles, actives): (&[Work], &[usize], &[usize]) = match self.is_full {
            true => (&[Work::Keepalive, Work::Close, Work::Large], &[0, 100, 1_000, 10_000], &[1, 16, 64, 256]),
            false => (&[Work::Keepalive], &[IDLE], &[ACTIVE]),
        };
        let or = |given: &[usize], preset: &[usize]| if given.is_empty() { preset.to_vec() } else { given.to_vec() };
        let works = if self.work.is_empty() { works } else { &self.work };
        let mut cells = Vec::new();
        for &work in works {
            for &idle in &or(&self.idle, idles) {
                for &active in &or(&self.active, actives) {
                    let is_preset = self.active.is_empty();
                    if work != Work::Large || active <= LARGE_ACTIVE_MAX || !is_preset {
                        cells.push(Cell { work, idle, active, offer: Offer::Closed });
                    }
                }
            }
        }
        cells
    }

    /// Fixed rates are for keep-alive, and for close where they are asked for, at one number of active connections: the one nearest to
    /// the centre.
    fn open_cells(&self, closed: &[Cell], offers: &[Offer]) -> Vec<Cell> {
        let is_asked_for = !self.rates.is_empty();
        let of_work = |cell: &&Cell| cell.work == Work::Keepalive || cell.work == Work::Close && is_asked_for;
        let fitting = || closed.iter().filter(of_work);
        let Some(active) = fitting().map(|cell| cell.active).min_by_key(|active| active.abs_diff(ACTIVE)) else {
            return Vec::new();
        };
        let is_preset = !is_asked_for && !self.is_full;
        let fits = |cell: &&Cell| cell.active == active && (!is_preset || cell.idle == 1_000);
        fitting().filter(fits).flat_map(|cell| offers.iter().map(|offer| Cell { offer: *offer, ..*cell })).collect()
    }
}

/// Whether a cell stands for those of its kind: of several numbers of active connections that nearest to the centre, of several
/// rates the middle one.
pub fn is_typical(cell: Cell, all: &[Cell]) -> bool {
    let alike = || all.iter().filter(|other| other.work == cell.work && other.idle == cell.idle);
    let is_open = |cell: &Cell| cell.offer != Offer::Closed;
    let kind: Vec<&Cell> = alike().filter(|other| is_open(other) == is_open(&cell)).collect();
    let nearest = kind.iter().map(|other| other.active.abs_diff(ACTIVE)).min();
    let nearest: Vec<&&Cell> = kind.iter().filter(|other| Some(other.active.abs_diff(ACTIVE)) == nearest).collect();
    nearest[nearest.len() / 2] == &&cell
}

/// By work, then idle connections, active ones, what is offered.
fn sort(cells: &mut [Cell]) {
    cells.sort_by(|a, b| a.partial_cmp(b).expect("no rate is NaN"));
}

fn cross() -> Vec<Cell> {
    let centre = Cell { work: Work::Keepalive, idle: IDLE, active: ACTIVE, offer: Offer::Closed };
    vec![
        Cell { active: 1, ..centre },
        centre,
        Cell { idle: 1_000, ..centre },
        Cell { idle: 10_000, ..centre },
        Cell { work: Work::Close, ..centre },
    ]
}

/// A strategy by its name in tables and charts.
pub fn strategy(word: &str) -> Result<Contestant, String> {
    let strategy = Strategy::ALL.into_iter().find(|strategy| strategy.to_string() == word);
    strategy.map(Contestant::Strategy).ok_or_else(|| "it is select, poll, epoll or epoll-edge".into())
}

/// A model by its name.
pub fn model(word: &str) -> Result<Contestant, String> {
    let found = MODELS.into_iter().find(|(name, _)| *name == word);
    let names = MODELS.map(|(name, _)| name).join(", ");
    found.map(|(_, model)| Contestant::Model(model)).ok_or_else(|| format!("it is one of {names}"))
}

impl Cell {
    /// What it is called where models are put into it.
    pub fn of_models(self) -> String {
        let connections = super::text::thousands(self.active as u64);
        match self.active {
            1 => format!("{}, 1 connection", self.work),
            _ => format!("{}, {connections} connections", self.work),
        }
    }
}

/// What a cell is called in tables and charts.
impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cell { work, idle, active, offer } = self;
        write!(f, "{work}, {active} active, {} idle", super::text::thousands(*idle as u64))?;
        match offer {
            Offer::Closed => f.write_str(", closed loop"),
            Offer::PerSecond(rate) => write!(f, ", open loop at {}/s", super::text::thousands(*rate as u64)),
            Offer::Share(share) => write!(f, ", open loop at {:.0} % of the slowest", share * 100.0),
        }
    }
}
