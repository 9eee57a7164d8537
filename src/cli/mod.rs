//! The command: flags in, a server out, and everything that a person reads.

mod options;
mod signals;

use clap::{CommandFactory, Parser, error::ErrorKind};
use options::Options;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tripoll::files::{self, DotNames, Resolver};
use tripoll::poller::Strategy;
use tripoll::server::BoundServer;
use tripoll::{HttpServer, http, reactor};

/// What is served where no DIR is given.
const DEFAULT_DIRECTORY: &str = "static";

/// Exit codes: 0 when it was told to stop, 1 when it can't run, 2 when it was called wrongly (clap's).
pub fn main() -> ExitCode {
    let options = Options::parse();
    if let Err(error) = Strategy::new(options.backend, options.trigger, options.select_limit) {
        Options::command().error(ErrorKind::ArgumentConflict, error).exit();
    }
    match serve(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // A closed stderr leaves nobody to tell.
            let _ = writeln!(std::io::stderr(), "error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn serve(options: Options) -> Result<(), String> {
    let directory = match options.directory.clone() {
        Some(directory) => directory,
        None if Path::new(DEFAULT_DIRECTORY).is_dir() => DEFAULT_DIRECTORY.into(),
        None => return Err(format!("no DIR given and ./{DEFAULT_DIRECTORY} does not exist (try: tripoll .)")),
    };
    let mut server = bind(&options, &directory).map_err(|error| error.to_string())?;
    signals::shut_down_on_signals(&mut server, options.grace)
        .map_err(|error| format!("cannot listen to signals: {error}"))?;
    say_where(&server, &directory);
    server.run().map_err(|error| error.to_string())
}

fn bind(options: &Options, directory: &Path) -> tripoll::Result<BoundServer> {
    let mut addresses = options.bind.iter().map(|bind| options::address(bind, options.port));
    let first = addresses.next().expect("there is a default");
    let mut server = HttpServer::new(first, directory)
        .backend(options.backend)
        .trigger(options.trigger)
        .files(files::Options {
            index: options.index.clone(),
            dot_names: if options.hidden { DotNames::Shown } else { DotNames::Hidden },
            lists: !options.no_list,
            spa: options.spa,
            cache_control: Some(options.cache_control.clone()),
            ..files::Options::default()
        })
        .limits(http::Limits {
            head_bytes_max: options.head_max as usize,
            body_bytes_max: options.body_max,
            head_timeout: options.head_timeout,
            idle_timeout: options.idle_timeout,
            body_timeout: options.body_timeout,
            ..http::Limits::default()
        })
        .loop_limits(reactor::Limits {
            send_timeout: options.send_timeout,
            connections_max: options.connections_max.map_or(usize::MAX, |connections| connections as usize),
            ..reactor::Limits::default()
        });
    for (name, value) in &options.header {
        server = server.field(name, value);
    }
    for address in addresses {
        server = server.also_at(address);
    }
    if let Some(limit) = options.select_limit {
        server = server.select_limit(limit);
    }
    let tell = |notice: &_| {
        let _ = writeln!(std::io::stderr(), "tripoll: {notice}");
    };
    server.on_notice(tell).bind()
}

/// The start line: from here on connections are accepted.
fn say_where(server: &BoundServer, directory: &Path) {
    let mut facts = server.strategy().to_string();
    if server.resolver() == Resolver::Walk {
        facts.push_str(", no openat2: links are not followed");
    }
    let (version, directory) = (env!("CARGO_PKG_VERSION"), PathBuf::from(directory));
    let mut stdout = std::io::stdout().lock();
    for address in server.addresses() {
        // A closed stdout is no reason not to serve.
        let _ = writeln!(stdout, "tripoll {version}: serving {} at http://{address}/ ({facts})", directory.display());
    }
    let _ = stdout.flush();
}
