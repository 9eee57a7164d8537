//! The flags.

#[cfg(feature = "lab")]
use clap::Subcommand;
use clap::builder::BoolishValueParser;
use clap::parser::ValueSource;
use clap::{ArgMatches, Parser, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;
use tripoll::files::Overwrite;
use tripoll::http::check_field;
use tripoll::models::Reap;
use tripoll::poller::Updates;
use tripoll::sys::{self, User};
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
    #[arg(value_name = "DIR", env = "TRIPOLL_DIR", hide_env = true)]
    pub directory: Option<PathBuf>,

    /// Address to listen at; can be given several times
    ///
    /// IPv4, IPv6 (in brackets where a port follows), or a name, of which every address is listened at on one port. 0.0.0.0 and
    /// [::] let others on the network in.
    #[arg(short, long, value_name = "ADDR[:PORT]", default_value = "127.0.0.1", help_heading = "Where")]
    #[arg(env = "TRIPOLL_BIND", hide_env = true, value_delimiter = ',')]
    pub bind: Vec<String>,

    /// Port, where --bind has none; 0 lets the kernel choose
    #[arg(short, long, default_value_t = 8000, help_heading = "Where", env = "TRIPOLL_PORT", hide_env = true)]
    pub port: u16,

    /// A user who may write: name and password, or its bcrypt hash
    ///
    /// Can be given several times. On the command line other users of this machine can see it: TRIPOLL_AUTH (a user a line) and
    /// --auth-file are not seen. A hash is what htpasswd -B writes. Where somebody listens on the way, use a proxy that secures it.
    #[arg(long, value_name = "USER:PASS", help_heading = "Who may ask")]
    #[arg(env = "TRIPOLL_AUTH", hide_env = true, value_delimiter = '\n')]
    pub auth: Vec<String>,

    /// A file of such users, one a line, as htpasswd -B writes it
    ///
    /// Empty lines and those that begin with # count for nothing. It must not lie in DIR.
    #[arg(long, hide_short_help = true, value_name = "FILE", help_heading = "Who may ask")]
    #[arg(env = "TRIPOLL_AUTH_FILE", hide_env = true)]
    pub auth_file: Option<PathBuf>,

    /// Users are asked for whatever is asked, not for writing alone
    #[arg(long, hide_short_help = true, value_parser = BoolishValueParser::new(), help_heading = "Who may ask")]
    #[arg(env = "TRIPOLL_AUTH_ALL", hide_env = true)]
    pub auth_all: bool,

    /// A name to answer to; can be given several times, * is any
    ///
    /// Asked for where every address is this machine's own (as 127.0.0.1 is): IP addresses and localhost are always answered, other
    /// names 421, so that no page of another site can read this server under a name of its own. From elsewhere any name will do.
    #[arg(long, hide_short_help = true, value_name = "NAME", value_parser = host_name, help_heading = "Who may ask")]
    #[arg(env = "TRIPOLL_HOST", hide_env = true, value_delimiter = ',')]
    pub host: Vec<String>,
    /// Who serves: a loop, processes, threads, coroutines
    ///
    /// reactor: one thread, one loop, all connections. coroutines: the same with a task for each connection. iterative: one client after another.
    /// fork, threads: a process or a thread for each connection. prefork, thread-pool: a pool, of which --workers is the size. All answer alike;
    /// docs/models.md says what each costs. What sets the loop up (--backend and so on) belongs to the reactor and to coroutines.
    #[arg(long, value_name = "MODEL", value_enum, default_value_t, hide_possible_values = true)]
    #[arg(help_heading = "Waiting", env = "TRIPOLL_MODEL", hide_env = true)]
    pub model: ModelName,

    /// How fork leaves no zombies: wait, double-fork or ignore
    ///
    /// wait: for each child, when SIGCHLD says that one has ended. double-fork: the child forks once more and ends, and its child is
    /// an orphan, whose end is for init to see to. ignore: SIGCHLD, so that the kernel keeps nothing of a child.
    #[arg(long, hide_short_help = true, value_name = "WAY", value_enum, default_value_t, hide_possible_values = true)]
    #[arg(help_heading = "Waiting", env = "TRIPOLL_REAP", hide_env = true)]
    pub reap: ReapName,

    /// Processes of prefork, threads of thread-pool
    ///
    /// Each serves one connection at a time. One that is idle gives way to those who wait.
    #[arg(long, hide_short_help = true, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    #[arg(help_heading = "Waiting", env = "TRIPOLL_WORKERS", hide_env = true)]
    pub workers: u16,

    /// The system call that waits: select, poll or epoll
    #[arg(long, default_value_t, help_heading = "Waiting", env = "TRIPOLL_BACKEND", hide_env = true)]
    pub backend: Backend,

    /// When epoll tells of readiness: level or edge
    ///
    /// level: as long as it lasts. edge: when it begins, so that all must be taken before the next wait.
    #[arg(long, value_name = "level|edge", default_value = "level", help_heading = "Waiting")]
    #[arg(env = "TRIPOLL_TRIGGER", hide_env = true)]
    pub trigger: Trigger,

    /// With select: turn clients away whose descriptor is N or more
    ///
    /// 1024 is the limit of a fixed fd_set, which select itself does not have.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..), help_heading = "Waiting")]
    #[arg(env = "TRIPOLL_SELECT_LIMIT", hide_env = true)]
    pub select_limit: Option<i32>,

    /// Connections accepted in one turn of the loop
    ///
    /// More let a crowd in sooner, and those who are served wait longer. The call that finds nobody costs more than a wait.
    #[arg(long, hide_short_help = true, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    #[arg(help_heading = "Waiting", env = "TRIPOLL_ACCEPT_MAX", hide_env = true)]
    pub accept_max: u32,

    /// When it changes what it watches: eager or lazy
    ///
    /// eager: at every change of mind, as textbooks do: for room before each answer, for input after it. lazy: when it must.
    #[arg(long, hide_short_help = true, value_name = "eager|lazy", default_value = "lazy", help_heading = "Waiting")]
    #[arg(env = "TRIPOLL_INTEREST", hide_env = true)]
    pub interest: Updates,

    /// The file that stands for its folder
    #[arg(long, value_name = "NAME", default_value = "index.html", value_parser = file_name, help_heading = "Files")]
    #[arg(env = "TRIPOLL_INDEX", hide_env = true)]
    pub index: String,

    /// A folder without an index is 403, not listed
    #[arg(long, value_parser = BoolishValueParser::new(), help_heading = "Files", env = "TRIPOLL_NO_LIST", hide_env = true)]
    pub no_list: bool,

    /// Serve names that begin with a dot
    #[arg(long, value_parser = BoolishValueParser::new(), help_heading = "Files", env = "TRIPOLL_HIDDEN", hide_env = true)]
    pub hidden: bool,

    /// Memory for files that were asked for lately
    ///
    /// 0 keeps none. Each is compared with the file system once a turn of the loop, so what is sent is never older than that.
    #[arg(long, hide_short_help = true, value_name = "SIZE", default_value = "64M", value_parser = size, help_heading = "Files")]
    #[arg(env = "TRIPOLL_CACHE_MAX", hide_env = true)]
    pub cache_max: u64,

    /// Follow symbolic links that leave DIR
    ///
    /// Whoever can make a link in DIR then decides what is served.
    #[arg(long, value_parser = BoolishValueParser::new(), help_heading = "Files", env = "TRIPOLL_FOLLOW_LINKS", hide_env = true)]
    pub follow_links: bool,

    /// A GET that accepts HTML and finds no file gets the root's index
    #[arg(long, value_parser = BoolishValueParser::new(), help_heading = "Files", env = "TRIPOLL_SPA", hide_env = true)]
    pub spa: bool,

    /// Cache-Control of files
    ///
    /// no-cache lets browsers keep them and ask each time whether they changed, which is answered 304.
    #[arg(long, hide_short_help = true, value_name = "VALUE", default_value = "no-cache", value_parser = field_value, help_heading = "Files")]
    #[arg(env = "TRIPOLL_CACHE_CONTROL", hide_env = true)]
    pub cache_control: String,

    /// A field for every answer; can be given several times
    #[arg(long, value_name = "NAME: VALUE", value_parser = field, help_heading = "Files")]
    #[arg(env = "TRIPOLL_HEADER", hide_env = true, value_delimiter = '\n')]
    pub header: Vec<(String, String)>,

    /// Let clients change DIR: PUT, DELETE, MKCOL, MOVE, and a form in listings
    ///
    /// Without --auth whoever can connect can, so mind --bind. A file that is put is on the disk before it has its name, and what is cut short leaves
    /// nothing. Without it these methods are 405.
    #[arg(long, value_parser = BoolishValueParser::new(), help_heading = "Files", env = "TRIPOLL_UPLOAD", hide_env = true)]
    pub upload: bool,

    /// When a file that is there is replaced: never, if-match or always
    ///
    /// never: 403. if-match: for who names its ETag in If-Match (428 without; a MOVE says Overwrite: T). always: unless a condition
    /// of the request fails.
    #[arg(long, hide_short_help = true, value_name = "WHEN", default_value = "if-match", help_heading = "Files")]
    #[arg(env = "TRIPOLL_OVERWRITE", hide_env = true)]
    pub overwrite: Overwrite,

    /// A file that is uploaded, in bytes: 413 past it [default: what the disk has room for]
    #[arg(long, hide_short_help = true, value_name = "SIZE", value_parser = size, help_heading = "Files")]
    #[arg(env = "TRIPOLL_UPLOAD_MAX", hide_env = true)]
    pub upload_max: Option<u64>,

    /// All files of DIR, in bytes: uploads that would make it more are 507 [default: what the disk has room for]
    ///
    /// Those that are there at the start count, and what clients change. A file counts from when it begins to come.
    #[arg(long, hide_short_help = true, value_name = "SIZE", value_parser = size, help_heading = "Files")]
    #[arg(env = "TRIPOLL_QUOTA", hide_env = true)]
    pub quota: Option<u64>,

    /// Answer the routes of the demonstration too, such as /time, as without DIR
    #[arg(long, value_parser = BoolishValueParser::new(), help_heading = "Beside the files", env = "TRIPOLL_DEMO", hide_env = true)]
    pub demo: bool,

    /// Log of answers: auto, off, short, common, combined, json
    ///
    /// On stdout, which never holds the server up: lines that nobody reads are dropped whole and counted. short is for people,
    /// common and combined are NCSA's, json is an object a line. auto is short on a terminal, else off.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t, hide_possible_values = true)]
    #[arg(help_heading = "Beside the files", env = "TRIPOLL_LOG", hide_env = true)]
    pub log: Log,

    /// A line a turn of the loop on stderr, to watch a strategy work
    ///
    /// Turn, descriptors passed to the kernel, places scanned, events ready, microseconds blocked and dispatching, changes of interest.
    #[arg(long, hide_short_help = true, value_parser = BoolishValueParser::new(), help_heading = "Beside the files", env = "TRIPOLL_TRACE_LOOP", hide_env = true)]
    pub trace_loop: bool,

    /// Open the browser as soon as it listens
    #[arg(long, value_parser = BoolishValueParser::new(), help_heading = "Beside the files", env = "TRIPOLL_OPEN", hide_env = true)]
    pub open: bool,

    /// Give up what no server needs: auto, on, off
    ///
    /// Once it listens, nothing outside DIR can be opened, nothing written, no program run, no TCP connection made (Landlock), and calls that
    /// change the machine are refused (seccomp). auto takes what the kernel has, which the start line tells; on fails where that is not
    /// all. With --follow-links anything can be read.
    #[arg(long, hide_short_help = true, value_name = "WHEN", value_enum, default_value_t, hide_possible_values = true)]
    #[arg(help_heading = "What it may do", env = "TRIPOLL_SANDBOX", hide_env = true)]
    pub sandbox: Demand,

    /// Become this user once it listens: for whoever has to start it as root
    ///
    /// With the user's groups, before anything is served. `root` stays root without being told that it need not.
    #[arg(long, hide_short_help = true, value_name = "NAME", value_parser = user, help_heading = "What it may do")]
    #[arg(env = "TRIPOLL_USER", hide_env = true)]
    pub user: Option<User>,

    /// A request's head, in bytes: 431 past it
    #[arg(long, value_name = "SIZE", default_value = "16K", value_parser = head_size, help_heading = "Limits")]
    #[arg(env = "TRIPOLL_HEAD_MAX", hide_env = true)]
    pub head_max: u64,

    /// A request's body, in bytes: 413 past it
    #[arg(long, value_name = "SIZE", default_value = "1M", value_parser = size, help_heading = "Limits")]
    #[arg(env = "TRIPOLL_BODY_MAX", hide_env = true)]
    pub body_max: u64,

    /// For the head of a request
    ///
    /// From accept, or from the first byte of a later head, to its end, whatever drips in.
    #[arg(long, hide_short_help = true, value_name = "TIME", default_value = "10s", value_parser = time, help_heading = "Limits")]
    #[arg(env = "TRIPOLL_HEAD_TIMEOUT", hide_env = true)]
    pub head_timeout: Duration,

    /// Between two requests
    #[arg(long, hide_short_help = true, value_name = "TIME", default_value = "60s", value_parser = time, help_heading = "Limits")]
    #[arg(env = "TRIPOLL_IDLE_TIMEOUT", hide_env = true)]
    pub idle_timeout: Duration,

    /// Without a byte of content of a body that is expected
    #[arg(long, hide_short_help = true, value_name = "TIME", default_value = "30s", value_parser = time, help_heading = "Limits")]
    #[arg(env = "TRIPOLL_BODY_TIMEOUT", hide_env = true)]
    pub body_timeout: Duration,

    /// Without the peer taking a byte of what waits for it
    #[arg(long, hide_short_help = true, value_name = "TIME", default_value = "30s", value_parser = time, help_heading = "Limits")]
    #[arg(env = "TRIPOLL_SEND_TIMEOUT", hide_env = true)]
    pub send_timeout: Duration,

    /// Bytes a second that bodies and answers must move on average; 0 is off
    ///
    /// Asked for once 20 s have passed since the body was expected, or since the peer did not take an answer at once. What frames
    /// chunks counts for nothing. A body that is slower is answered 408, a slower reader is cut off.
    #[arg(long, hide_short_help = true, value_name = "N", default_value_t = 500, help_heading = "Limits")]
    #[arg(env = "TRIPOLL_MIN_RATE", hide_env = true)]
    pub min_rate: u64,

    /// Connections at a time [default: what the descriptor limit leaves]
    ///
    /// Past it the one idle longest gives way, and where none is idle the newest is told 503. Under fork, threads and thread-pool none gives way;
    /// iterative and prefork never have more than workers.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    #[arg(env = "TRIPOLL_CONNECTIONS_MAX", hide_env = true)]
    pub connections_max: Option<u32>,

    /// Connections of one address at a time [default: any number]
    ///
    /// Past it its newest is told 503. IPv6 addresses count as one where their first 64 bits are the same. Behind a proxy all clients
    /// have the proxy's address.
    #[arg(long, hide_short_help = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    #[arg(env = "TRIPOLL_PER_ADDRESS_MAX", hide_env = true)]
    pub per_address_max: Option<u32>,

    /// For what is in flight to finish, after SIGTERM or SIGINT
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time, help_heading = "Limits")]
    #[arg(env = "TRIPOLL_GRACE", hide_env = true)]
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

/// A user that there is.
fn user(name: &str) -> Result<User, String> {
    match sys::user_named(name) {
        Ok(found) => found.ok_or("there is no such user".into()),
        Err(error) => Err(format!("cannot look users up: {error}")),
    }
}

/// A duration that is not nothing.
fn time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("it must be more than nothing".into()),
        Ok(time) => Ok(time),
        Err(error) => Err(format!("{error}; try 10s")),
    }
}

/// Bytes, with a suffix that multiplies by 1,024 once, twice, three times.
fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 10),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 20),
        Some(b'G' | b'g') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: Option<u64> = digits.parse().ok().filter(|_| is_number);
    number.and_then(|number| number.checked_mul(1 << shift)).ok_or("it is a number of bytes; try 16K or 1M".into())
}

/// Every connection may make the server keep this much.
fn head_size(text: &str) -> Result<u64, String> {
    match size(text)? {
        size @ 256..=1_048_576 => Ok(size),
        _ => Err("it is between 256 and 1M".into()),
    }
}

fn file_name(text: &str) -> Result<String, String> {
    let is_plain = !text.is_empty() && !text.contains(['/', '\0']) && text != "." && text != "..";
    if is_plain { Ok(text.into()) } else { Err("it is the name of a file, without its folder".into()) }
}

fn host_name(text: &str) -> Result<String, String> {
    let is_name = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    let why = "it is a name without scheme and port, or *; try --host my.box";
    if is_name || text == "*" { Ok(text.into()) } else { Err(why.into()) }
}

fn field_value(text: &str) -> Result<String, String> {
    check_field("Cache-Control", text).map(|()| text.into())
}

fn field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("it is a name, a colon, a value; try 'X-Frame-Options: DENY'")?;
    let (name, value) = (name.to_string(), value.trim_matches([' ', '\t']).to_string());
    check_field(&name, &value).map(|()| (name, value))
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
    use clap::CommandFactory;

    #[test]
    fn the_flags_are_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn sizes_have_suffixes() {
        for (text, want) in [("0", 0), ("5", 5), ("16K", 16 << 10), ("1M", 1 << 20), ("3g", 3 << 30)] {
            assert_eq!(size(text), Ok(want), "{text}");
        }
        for text in ["", "K", "-1", "+1", "1 K", "1KB", "1.5M", "99999999999G", "18446744073709551616"] {
            assert!(size(text).is_err(), "{text}");
        }
        assert!(head_size("255").is_err() && head_size("256").is_ok());
        assert!(head_size("1M").is_ok() && head_size("1025K").is_err());
    }

    #[test]
    fn fields_are_fields() {
        assert_eq!(field("X-Frame-Options: DENY "), Ok(("X-Frame-Options".into(), "DENY".into())));
        for text in ["none", ": x", "a b: c", "a: b\nc: d", "Content-Length: 5", "date: now", "connection: close"] {
            assert!(field(text).is_err(), "{text}");
        }
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
