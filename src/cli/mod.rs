//! The command: flags in, a server out, and everything that a person reads.

mod access_log;
#[cfg(feature = "lab")]
mod compare;
mod console;
mod demo;
mod live;
mod options;
mod output;
mod privileges;
mod signals;
mod users;
mod values;

use clap::{FromArgMatches, error::ErrorKind};
use console::Console;
use demo::Demo;
use options::Options;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tripoll::files::{self, DotNames, Resolver};
use tripoll::guard::{Scope, Users};
use tripoll::poller::Strategy;
use tripoll::protocol::MinRate;
use tripoll::server::BoundServer;
use tripoll::{HttpServer, Model, http, reactor};

/// What is served where no DIR is given.
const DEFAULT_DIRECTORY: &str = "static";

/// What shows a page in the browser that its reader likes best, in the order in which it is tried: on any desktop, on GNOME's, on KDE's, on the
/// Windows around a Linux.
const OPENERS: [&[&str]; 6] =
    [&["xdg-open"], &["gio", "open"], &["kde-open"], &["kde-open6"], &["kde-open5"], &["wslview"]];

/// Exit codes: 0 when it was told to stop, 1 when it can't run, 2 when it was called wrongly (clap's).
pub fn main() -> ExitCode {
    let matches = options::command().get_matches();
    #[allow(unused_mut)] // The lab takes its part out.
    let mut options = Options::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    #[cfg(feature = "lab")]
    match (options.command.take(), options.lab_hold) {
        (Some(options::Command::Compare(options)), _) => return compare::compare(options),
        (None, Some(order)) => return code(crate::lab::hold::hold(order).map_err(|error| error.to_string())),
        (None, None) => {}
    }
    if let Some(url) = &options.browse {
        return code(browse(url));
    }
    if let Some(message) = options::misplaced(&matches, options.model()) {
        options::command().error(ErrorKind::ArgumentConflict, message).exit();
    }
    if let Err(error) = Strategy::new(options.backend, options.trigger, options.select_limit) {
        options::command().error(ErrorKind::ArgumentConflict, error).exit();
    }
    let users =
        users::of(&options).unwrap_or_else(|error| options::command().error(ErrorKind::ValueValidation, error).exit());
    code(serve(options, users))
}

fn code(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // A closed stderr leaves nobody to tell.
            let _ = writeln!(std::io::stderr(), "error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn serve(options: Options, users: Option<Users>) -> Result<(), String> {
    let (directory, is_demo) = match options.directory.clone() {
        Some(directory) => (directory, options.demo),
        None if Path::new(DEFAULT_DIRECTORY).is_dir() => (DEFAULT_DIRECTORY.into(), true),
        None => return Err(format!("no DIR given and ./{DEFAULT_DIRECTORY} does not exist (try: tripoll .)")),
    };
    let console = Console::new(options.log, users.clone());
    let (mut server, demo) =
        bind(&options, &directory, is_demo, users.as_ref(), &console).map_err(|error| error.to_string())?;
    signals::shut_down_on_signals(&mut server, options.grace)
        .map_err(|error| format!("cannot listen to signals: {error}"))?;
    #[cfg(feature = "lab")]
    if options.lab_figures {
        crate::lab::tell_on_stdin(&mut server).map_err(|error| format!("no socket to tell figures on: {error}"))?;
    }
    let sandbox = privileges::sandbox(&options, &directory)?;
    privileges::become_user(options.user.as_ref(), &directory)?;
    if options.open {
        open_browser(server.addresses()[0]);
    }
    let confinement = privileges::enter(sandbox, &options)?;
    if users.is_some() && !server.addresses().iter().all(|address| address.ip().to_canonical().is_loopback()) {
        let text = "tripoll: passwords cross the network as they are: anybody on the way can read them; try a proxy that secures it";
        let _ = writeln!(std::io::stderr(), "{text}"); // A closed stderr leaves nobody to tell.
    }
    say_where(&server, &directory, &options, &confinement);
    let (trace, shown) = (options.trace_loop.then(|| console.clone()), demo.clone());
    if trace.is_some() || shown.is_some() {
        let (is_traced, heard) = (trace.is_some(), shown.clone());
        let is_heard = move || is_traced || heard.as_ref().is_some_and(|demo| demo.live.is_heard());
        server.reactor().on_turn(is_heard, move |turn| {
            trace.iter().for_each(|console| lock(console).trace(turn));
            shown.iter().for_each(|demo| demo.live.note(turn));
        });
    }
    let (flush, child) = (console.clone(), console.clone());
    server.in_child(move || lock(&child).forget());
    server.after_turn(move || {
        let told = demo.as_ref().and_then(|demo| demo.live.tell(Instant::now, || demo.reading()));
        lock(&flush).flush().into_iter().chain(told).min()
    });
    let result = server.run().map_err(|error| error.to_string());
    lock(&console).say_farewell();
    result
}

/// Nothing in the console is left half done by a panic.
fn lock(console: &Mutex<Console>) -> MutexGuard<'_, Console> {
    console.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bind(
    options: &Options,
    directory: &Path,
    is_demo: bool,
    users: Option<&Users>,
    console: &Arc<Mutex<Console>>,
) -> tripoll::Result<(BoundServer, Option<Arc<Demo>>)> {
    let mut addresses = options.bind.iter().map(|bind| options::address(bind, options.port));
    let first = addresses.next().expect("there is a default");
    let uploads = files::Uploads {
        overwrite: options.overwrite,
        file_bytes_max: options.upload_max.unwrap_or(u64::MAX),
        quota_bytes_max: options.quota.unwrap_or(u64::MAX),
    };
    let mut server = HttpServer::new(first, directory)
        .model(options.model())
        .backend(options.backend)
        .trigger(options.trigger)
        .files(files::Options {
            index: options.index.clone(),
            dot_names: if options.hidden { DotNames::Shown } else { DotNames::Hidden },
            links: privileges::links(options),
            lists: !options.no_list,
            spa: options.spa,
            cache_control: Some(options.cache_control.clone()),
            cache_bytes_max: options.cache_max,
            uploads: options.upload.then_some(uploads),
            ..files::Options::default()
        })
        .limits(http::Limits {
            head_bytes_max: options.head_max as usize,
            body_bytes_max: options.body_max,
            head_timeout: options.head_timeout,
            idle_timeout: options.idle_timeout,
            body_timeout: options.body_timeout,
            body_rate_min: MinRate { bytes_per_second: options.min_rate, ..MinRate::default() },
            ..http::Limits::default()
        })
        .loop_limits(reactor::Limits {
            accepts_per_turn_max: options.accept_max.map(|accepts| accepts as usize),
            updates: options.interest,
            send_timeout: options.send_timeout,
            send_rate_min: MinRate { bytes_per_second: options.min_rate, ..MinRate::default() },
            per_address_max: options.per_address_max.map_or(usize::MAX, |connections| connections as usize),
            connections_max: options.connections_max.map_or(usize::MAX, |connections| connections as usize),
            ..reactor::Limits::default()
        });
    server = server.own_pages_only();
    if !options.host.iter().any(|name| name == "*") {
        server = server.own_hosts_only(&options.host);
    }
    if let Some(users) = users {
        server = server.users(users.clone(), if options.auth_all { Scope::Everything } else { Scope::Writing });
    }
    for (name, value) in &options.header {
        server = server.field(name, value);
    }
    for address in addresses {
        server = server.also_at(address);
    }
    let demo = is_demo.then(|| Demo::new(options.model.name(), options.backend, options.trigger, server.meter()));
    if let Some(demo) = &demo {
        server = demo::add_routes(server, demo);
        // A stream would keep one of few workers, and processes hear nothing of each other.
        if options.model().is_one_loop() {
            server = demo::add_streams(server, demo);
        }
    }
    #[cfg(feature = "lab")]
    if options.lab_figures {
        server = crate::lab::site::add_routes(server, options.model());
    }
    if let Some(limit) = options.select_limit {
        server = server.select_limit(limit);
    }
    let (tell, note) = (console.clone(), console.clone());
    server = server.on_notice(move |notice| lock(&tell).tell(notice));
    if lock(console).has_access_log() {
        server = server.on_answer(move |answered| lock(&note).note(answered));
    }
    Ok((server.bind()?, demo))
}

/// The start line: from here on connections are accepted.
fn say_where(server: &BoundServer, directory: &Path, options: &Options, confinement: &str) {
    let mut facts = match server.model() {
        Model::Reactor => server.strategy().to_string(),
        Model::Coroutines => format!("coroutines, {}", server.strategy()),
        model => model.to_string(),
    };
    match server.resolver() {
        Some(Resolver::Openat2) | None => {}
        Some(Resolver::Walk) => facts.push_str(", no openat2: links are not followed"),
        Some(Resolver::Follow) => facts.push_str(", links are followed anywhere"),
    }
    if options.upload {
        facts.push_str(", clients may change it");
    }
    if let Some(user) = &options.user {
        facts.push_str(&format!(", as {}", user.name().to_string_lossy()));
    }
    facts.push_str(&format!(", {confinement}"));
    let (version, directory) = (env!("CARGO_PKG_VERSION"), PathBuf::from(directory));
    let mut stdout = std::io::stdout().lock();
    for address in server.addresses() {
        // A closed stdout is no reason not to serve.
        let _ = writeln!(stdout, "tripoll {version}: serving {} at http://{address}/ ({facts})", directory.display());
    }
    let _ = stdout.flush();
}

/// Shows the server in a browser. One that listens everywhere is asked at this machine's own address. A child starts it, so that it is
/// nobody's child when that is gone, and leaves no zombie here.
fn open_browser(address: SocketAddr) {
    let mut address = address;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    let url = format!("http://{address}/");
    let opened = std::env::current_exe()
        .and_then(|program| Command::new(program).args(["--browse", &url]).stdin(Stdio::null()).output());
    let failed = match opened {
        Ok(output) if output.status.success() => return,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().trim_start_matches("error: ").to_string(),
        Err(error) => error.to_string(),
    };
    let _ = writeln!(std::io::stderr(), "tripoll: no browser could be opened ({failed}); open {url} yourself");
}

/// Starts the first opener that is there, and leaves it to itself: nobody waits for it, and Ctrl-C at this terminal does not reach it.
fn browse(url: &str) -> Result<(), String> {
    for opener in OPENERS {
        let mut command = Command::new(opener[0]);
        command.args(&opener[1..]).arg(url).process_group(0);
        match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("{}: {error}", opener[0])),
        }
    }
    Err(format!("there is none of {}", OPENERS.map(|opener| opener[0]).join(", ")))
}
