//! The flags.

use super::values::{field, field_value, file_name, head_size, host_name, size, time, user};
#[cfg(feature = "lab")]
use clap::Subcommand;
use clap::builder::BoolishValueParser;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, Parser, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;
use tripoll::files::Overwrite;
use tripoll::models::Reap;
use tripoll::poller::Updates;
use tripoll::sys::User;
use tripoll::{Backend, Model, Trigger};

const EXAMPLES: &str = "\
Examples:
  tripoll                             serve ./static at http://127.0.0.1:8000/
  tripoll ~/site                      serve another folder
  tripoll -p 0 .                      let the kernel choose the port; the start line says which
  tripoll -b 0.0.0.0 -b '[::]' .      let others on the network in
  tripoll --backend poll              the same answers, another way to wait
  tripoll --backend epoll --trigger edge
  tripoll --model threads             the same answers, a thread a connection in place of the loop
  tripoll --backend select --select-limit 1024
                                      the limit that a fixed fd_set has: past it clients get 503

  tripoll --spa --hidden app          an app that routes by itself
  tripoll --upload ~/in               let clients put, move and delete files: curl -T file http://127.0.0.1:8000/
  htpasswd -Bc users ann; tripoll --auth-file users --auth-all site
                                      ann alone, after a question for her password
  tripoll compare                     what select, poll and epoll cost on this machine, in a minute
  tripoll compare --models            the same of one loop, processes and threads
  TRIPOLL_PORT=9000 tripoll           every option also by environment

Without DIR it is the demonstration: ./static, and the routes /time, /hello/NAME, /counters, /events,
/turns and POST /echo.

Names that begin with a dot are not served unless --hidden says so (.well-known always is), and nothing from
outside DIR is unless --follow-links lets links lead there. Sizes are bytes, or end in K, M, G. Times end in ms, s, m, h.

Ctrl-C (SIGINT) or SIGTERM ends it when what is in flight is finished; a second one ends it at once.
Exit codes: 0 it was told to end, 1 it cannot run, 2 it was called wrongly, 130 or 143 a second signal.";

/// The command line. What can be said there the environment can say too: `TRIPOLL_IDLE_TIMEOUT` is `--idle-timeout`.
pub fn command() -> clap::Command {
    Options::command().mut_args(|arg| match arg.get_long() {
        Some(long) if !arg.is_hide_set() => {
            let variable: &'static str = format!("TRIPOLL_{}", long.to_ascii_uppercase().replace('-', "_")).leak();
            arg.env(variable).hide_env(true)
        }
        Some(_) | None => arg,
    })
}

/// Serves a folder over HTTP/1.1 on one thread, waiting by select, poll or epoll.
#[derive(Debug, Parser)]
#[command(version, after_help = "--help has more options, says more of each, and has examples.", after_long_help = EXAMPLES)]
#[command(max_term_width = 100, args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub struct Options {
    /// What else it can do than serve.
    #[cfg(feature = "lab")]
    #[command(subcommand)]
    pub command: Option<Command>,

    /// The folder to serve [default: ./static]
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,

    /// Address to listen at; can be given several times
    ///
    /// IPv4, IPv6 (in brackets where a port follows), or a name, of which every address is listened at on one port. 0.0.0.0 and
    /// [::] let others on the network in.
    #[arg(short, long, value_name = "ADDR[:PORT]", default_value = "127.0.0.1", help_heading = "Where")]
    #[arg(value_delimiter = ',')]
    pub bind: Vec<String>,

    /// Port, where --bind has none; 0 lets the kernel choose
    #[arg(short, long, default_value_t = 8000, help_heading = "Where")]
    pub port: u16,

    /// A user who may write: name and password, or its bcrypt hash
    ///
    /// Can be given several times. On the command line other users of this machine can see it: TRIPOLL_AUTH (a user a line) and
    /// --auth-file are not seen. A hash is what htpasswd -B writes. Where somebody listens on the way, use a proxy that secures it.
    #[arg(long, value_name = "USER:PASS", help_heading = "Who may ask")]
    #[arg(value_delimiter = '\n')]
    pub auth: Vec<String>,

    /// A file of such users, one a line, as htpasswd -B writes it
    ///
    /// Empty lines and those that begin with # count for nothing. It must not lie in DIR.
    #[arg(long, hide_short_help = true, value_name = "FILE", help_heading = "Who may ask")]
    pub auth_file: Option<PathBuf>,

    /// Users are asked for whatever is asked, not for writing alone
    #[arg(long, hide_short_help = true, value_parser = BoolishValueParser::new(), help_heading = "Who may ask")]
    pub auth_all: bool,

    /// A name to answer to; can be given several times, * is any
    ///
    /// Asked for where every address is this machine's own (as 127.0.0.1 is): IP addresses and localhost are always answered, other
    /// names 421, so that no page of another site can read this server under a name of its own. From elsewhere any name will do.
    #[arg(long, hide_short_help = true, value_name = "NAME", value_parser = host_name, help_heading = "Who may ask")]
    #[arg(value_delimiter = ',')]
    pub host: Vec<String>,
    /// Who serves: a loop, processes, threads, coroutines
    ///
    /// reactor: one thread, one loop, all connections. coroutines: the same with a task for each connection. iterative: one client after another.
    /// fork, threads: a process or a thread for each connection. prefork, thread-pool: a pool, of which --workers is the size. All answer alike;
    /// docs/models.md says what each costs. What sets the loop up (--backend and so on) belongs to the reactor and to coroutines.
    #[arg(long, value_name = "MODEL", value_enum, default_value_t, hide_possible_values = true)]
    #[arg(help_heading = "Waiting")]
    pub model: ModelName,

    /// How fork leaves no zombies: wait, double-fork or ignore
    ///
    /// wait: for each child, when SIGCHLD says that one has ended. double-fork: the child forks once more and ends, and its child is
    /// an orphan, whose end is for init to see to. ignore: SIGCHLD, so that the kernel keeps nothing of a child.
    #[arg(long, hide_short_help = true, value_name = "WAY", value_enum, default_value_t, hide_possible_values = true)]
    #[arg(help_heading = "Waiting")]
    pub reap: ReapName,

    /// Processes of prefork, threads of thread-pool
    ///
    /// Each serves one connection at a time. One that is idle gives way to those who wait.
    #[arg(long, hide_short_help = true, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    #[arg(help_heading = "Waiting")]
    pub workers: u16,

    /// The system call that waits: select, poll or epoll
    #[arg(long, default_value_t, help_heading = "Waiting")]
    pub backend: Backend,

    /// When epoll tells of readiness: level or edge
    ///
    /// level: as long as it lasts. edge: when it begins, so that all must be taken before the next wait.
    #[arg(long, value_name = "level|edge", default_value = "level", help_heading = "Waiting")]
    pub trigger: Trigger,

    /// With select: turn clients away whose descriptor is N or more
    ///
    /// 1024 is the limit of a fixed fd_set, which select itself does not have.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..), help_heading = "Waiting")]
    pub select_limit: Option<i32>,

    /// Connections accepted in one turn of the loop [default: 1, and more in long turns]
    ///
    /// More let a crowd in sooner, and those who are served wait longer. The call that finds nobody costs more than a short wait: so it is one,
    /// and one more for each four events and, by select and poll, for each 128 descriptors that are watched.
    #[arg(long, hide_short_help = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    #[arg(help_heading = "Waiting")]
    pub accept_max: Option<u32>,

    /// When it changes what it watches: eager or lazy
    ///
    /// eager: at every change of mind, as textbooks do: for room before each answer, for input after it. lazy: when it must.
    #[arg(long, hide_short_help = true, value_name = "eager|lazy", default_value = "lazy", help_heading = "Waiting")]
    pub interest: Updates,

    /// The file that stands for its folder
    #[arg(long, value_name = "NAME", default_value = "index.html", value_parser = file_name, help_heading = "Files")]
    pub index: String,

    /// A folder without an index is 403, not listed
    #[arg(long, value_parser = BoolishValueParser::new(), help_heading = "Files")]
    pub no_list: bool,

    /// Serve names that begin with a dot
    #[arg(long, value_parser = BoolishValueParser::new(), help_heading = "Files")]
    pub hidden: bool,

    /// Memory for files that were asked for lately
    ///
    /// 0 keeps none. Each is compared with the file system once a turn of the loop, so what is sent is never older than that.
    #[arg(long, hide_short_help = true, value_name = "SIZE", default_value = "64M", value_parser = size, help_heading = "Files")]
    pub cache_max: u64,

    /// Follow symbolic links that leave DIR
    ///
    /// Whoever can make a link in DIR then decides what is served.
    #[arg(long, value_parser = BoolishValueParser::new(), help_heading = "Files")]
    pub follow_links: bool,

    /// Who accepts HTML and asks for what is not there gets the root's index
    #[arg(long, value_parser = BoolishValueParser::new(), help_heading = "Files")]
    pub spa: bool,

    /// Cache-Control of files
    ///
    /// no-cache lets browsers keep them and ask each time whether they changed, which is answered 304.
    #[arg(long, hide_short_help = true, value_name = "VALUE", default_value = "no-cache", value_parser = field_value, help_heading = "Files")]
    pub cache_control: String,

    /// A field for every answer; can be given several times
    #[arg(long, value_name = "NAME: VALUE", value_parser = field, help_heading = "Files")]
    #[arg(value_delimiter = '\n')]
    pub header: Vec<(String, String)>,

    /// Let clients change DIR: PUT, DELETE, MKCOL, MOVE, and a form in listings
    ///
    /// Without --auth whoever can connect can, so mind --bind. A file that is put is on the disk before it has its name, and what is cut short leaves
    /// nothing. Without it these methods are 405.
    #[arg(long, value_parser = BoolishValueParser::new(), help_heading = "Files")]
    pub upload: bool,

    /// When a file that is there is replaced: never, if-match or always
    ///
    /// never: 403. if-match: for who names its ETag in If-Match (428 without; a MOVE says Overwrite: T). always: unless a condition
    /// of the request fails.
    #[arg(long, hide_short_help = true, value_name = "WHEN", default_value = "if-match", help_heading = "Files")]
    pub overwrite: Overwrite,

    /// A file that is uploaded, in bytes: 413 past it [default: what the disk has room for]
    #[arg(long, hide_short_help = true, value_name = "SIZE", value_parser = size, help_heading = "Files")]
    pub upload_max: Option<u64>,

    /// All files of DIR, in bytes: uploads that would make it more are 507 [default: what the disk has room for]
    ///
    /// Those that are there at the start count, and what clients change. A file counts from when it begins to come.
    #[arg(long, hide_short_help = true, value_name = "SIZE", value_parser = size, help_heading = "Files")]
    pub quota: Option<u64>,

    /// Answer the routes of the demonstration too, such as /time, as without DIR
    #[arg(long, value_parser = BoolishValueParser::new(), help_heading = "Beside the files")]
    pub demo: bool,

    /// Log of answers: auto, off, short, common, combined, json
    ///
    /// On stdout, which never holds the server up: lines that nobody reads are dropped whole and counted. short is for people,
    /// common and combined are NCSA's, json is an object a line. auto is short on a terminal, else off.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t, hide_possible_values = true)]
    #[arg(help_heading = "Beside the files")]
    pub log: Log,

    /// A line a turn of the loop on stderr, to watch a strategy work
    ///
    /// Turn, descriptors passed to the kernel, places scanned, events ready, microseconds blocked and dispatching, changes of interest.
    #[arg(long, hide_short_help = true, value_parser = BoolishValueParser::new(), help_heading = "Beside the files")]
    pub trace_loop: bool,

    /// Open the browser as soon as it listens
    #[arg(long, value_parser = BoolishValueParser::new(), help_heading = "Beside the files")]
    pub open: bool,

    /// Give up what no server needs: auto, on, off
    ///
    /// Once it listens, nothing outside DIR can be opened, nothing written, no program run, no TCP connection made (Landlock), and calls that
    /// change the machine are refused (seccomp). auto takes what the kernel has, which the start line tells; on fails where that is not
    /// all. With --follow-links anything can be read.
    #[arg(long, hide_short_help = true, value_name = "WHEN", value_enum, default_value_t, hide_possible_values = true)]
    #[arg(help_heading = "What it may do")]
    pub sandbox: Demand,

    /// Become this user once it listens: for whoever has to start it as root
    ///
    /// With the user's groups, before anything is served. `root` stays root without being told that it need not.
    #[arg(long, hide_short_help = true, value_name = "NAME", value_parser = user, help_heading = "What it may do")]
    pub user: Option<User>,

    /// A request's head, in bytes: 431 past it
    #[arg(long, value_name = "SIZE", default_value = "16K", value_parser = head_size, help_heading = "Limits")]
    pub head_max: u64,

    /// A request's body, in bytes: 413 past it
    #[arg(long, value_name = "SIZE", default_value = "1M", value_parser = size, help_heading = "Limits")]
    pub body_max: u64,

    /// For the head of a request
    ///
    /// From accept, or from the first byte of a later head, to its end, whatever drips in.
    #[arg(long, hide_short_help = true, value_name = "TIME", default_value = "10s", value_parser = time, help_heading = "Limits")]
    pub head_timeout: Duration,

    /// Between two requests
    #[arg(long, hide_short_help = true, value_name = "TIME", default_value = "60s", value_parser = time, help_heading = "Limits")]
    pub idle_timeout: Duration,

    /// Without a byte of content of a body that is expected
    #[arg(long, hide_short_help = true, value_name = "TIME", default_value = "30s", value_parser = time, help_heading = "Limits")]
    pub body_timeout: Duration,

    /// Without the peer taking a byte of what waits for it
    #[arg(long, hide_short_help = true, value_name = "TIME", default_value = "30s", value_parser = time, help_heading = "Limits")]
    pub send_timeout: Duration,

    /// Bytes a second that bodies and answers must move on average; 0 is off
    ///
    /// Asked for once 20 s have passed since the body was expected, or since the peer did not take an answer at once. What frames
    /// chunks counts for nothing. A body that is slower is answered 408, a slower reader is cut off.
    #[arg(long, hide_short_help = true, value_name = "N", default_value_t = 500, help_heading = "Limits")]
    pub min_rate: u64,

    /// Connections at a time [default: what the descriptor limit leaves]
    ///
    /// Past it the one idle longest gives way, and where none is idle the newest is told 503. Under fork, threads and thread-pool none gives way;
    /// iterative and prefork never have more than workers.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    pub connections_max: Option<u32>,

    /// Connections of one address at a time [default: any number]
    ///
    /// Past it its newest is told 503. IPv6 addresses count as one where their first 64 bits are the same. Behind a proxy all clients
    /// have the proxy's address.
    #[arg(long, hide_short_help = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    pub per_address_max: Option<u32>,

    /// For what is in flight to finish, after SIGTERM or SIGINT
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time, help_heading = "Limits")]
    pub grace: Duration,

    /// For --open: open the browser at this URL instead of serving.
    #[arg(long, hide = true)]
    pub browse: Option<String>,

    /// For the lab: tell figures on standard input, a socket, and have handlers that are slow.
    #[cfg(feature = "lab")]
    #[arg(long, hide = true)]
    pub lab_figures: bool,

    /// For the lab: hold idle connections instead of serving.
    #[cfg(feature = "lab")]
    #[arg(long, hide = true)]
    pub lab_hold: Option<crate::lab::hold::Order>,
}

/// What the command does beside serving.
#[cfg(feature = "lab")]
#[derive(Debug, Subcommand)]
pub enum Command {
    Compare(super::compare::Compare),
}

/// Who serves connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ModelName {
    #[default]
    Reactor,
    Iterative,
    Fork,
    Prefork,
    Threads,
    ThreadPool,
    Coroutines,
}

impl ModelName {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            ModelName::Reactor => "reactor",
            ModelName::Iterative => "iterative",
            ModelName::Fork => "fork",
            ModelName::Prefork => "prefork",
            ModelName::Threads => "threads",
            ModelName::ThreadPool => "thread-pool",
            ModelName::Coroutines => "coroutines",
        }
    }
}

/// How fork leaves no zombies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ReapName {
    #[default]
    Wait,
    DoubleFork,
    Ignore,
}

impl Options {
    /// Who serves connections, with what belongs to it.
    pub fn model(&self) -> Model {
        let reap = match self.reap {
            ReapName::Wait => Reap::Wait,
            ReapName::DoubleFork => Reap::DoubleFork,
            ReapName::Ignore => Reap::Ignore,
        };
        let workers = usize::from(self.workers);
        match self.model {
            ModelName::Reactor => Model::Reactor,
            ModelName::Iterative => Model::Iterative,
            ModelName::Fork => Model::Fork { reap },
            ModelName::Prefork => Model::Prefork { workers },
            ModelName::Threads => Model::Threads,
            ModelName::ThreadPool => Model::ThreadPool { workers },
            ModelName::Coroutines => Model::Coroutines,
        }
    }
}

/// Why an option that was given is of no use to the model, if one was.
pub fn misplaced(matches: &ArgMatches, model: Model) -> Option<String> {
    let of_loop = ["backend", "trigger", "select_limit", "accept_max", "interest", "trace_loop"];
    let is_useless = |id: &&str| match *id {
        "reap" => !matches!(model, Model::Fork { .. }),
        "workers" => !matches!(model, Model::Prefork { .. } | Model::ThreadPool { .. }),
        "per_address_max" => !model.knows_addresses(),
        "interest" => model != Model::Reactor,
        _ => !model.is_one_loop(),
    };
    let is_given = |id: &&str| matches.value_source(id).is_some_and(|source| source != ValueSource::DefaultValue);
    let id = of_loop.into_iter().chain(["reap", "workers", "per_address_max"]).filter(is_useless).find(is_given)?;
    let of = match id {
        "reap" => "--model fork",
        "workers" => "--model prefork and thread-pool",
        "per_address_max" => "--model reactor, coroutines, threads, thread-pool, and fork with --reap wait",
        "interest" => "--model reactor",
        _ => "--model reactor and coroutines",
    };
    Some(format!("--{} belongs to {of}, not to {model}", id.replace('_', "-")))
}

/// What is logged of answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Log {
    #[default]
    Auto,
    Off,
    Short,
    Common,
    Combined,
    Json,
}

/// Whether it is to be sandboxed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Demand {
    #[default]
    Auto,
    On,
    Off,
}

/// `bind` with a port: its own, or `port`. A bare IPv6 address gets its brackets.
pub fn address(bind: &str, port: u16) -> String {
    let is_bare_v6 = bind.parse::<std::net::Ipv6Addr>().is_ok();
    let has_port = bind.rsplit_once(':').is_some_and(|(host, _)| !host.is_empty() && !bind.ends_with(']'));
    match (is_bare_v6, has_port) {
        (true, _) => format!("[{bind}]:{port}"),
        (false, true) => bind.into(),
        (false, false) => format!("{bind}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        command().debug_assert();
    }

    #[test]
    fn an_address_gets_the_port_unless_it_has_one() {
        for (bind, want) in [
            ("127.0.0.1", "127.0.0.1:8000"),
            ("127.0.0.1:9", "127.0.0.1:9"),
            ("localhost", "localhost:8000"),
            ("localhost:0", "localhost:0"),
            ("[::1]", "[::1]:8000"),
            ("[::1]:9", "[::1]:9"),
            ("::1", "[::1]:8000"),
            ("::", "[::]:8000"),
            ("host:", "host:"),
        ] {
            assert_eq!(address(bind, 8000), want, "{bind}");
        }
    }
}
