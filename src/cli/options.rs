//! The flags.

use clap::Parser;
use std::path::PathBuf;
use std::time::Duration;
use tripoll::{Backend, Trigger};

const EXAMPLES: &str = "\
Examples:
  tripoll                             serve ./static at http://127.0.0.1:8000/
  tripoll ~/site                      serve another folder
  tripoll -p 0 .                      let the kernel choose the port; the start line says which
  tripoll -b 0.0.0.0 -b '[::]' .      let others on the network in
  tripoll --backend poll              the same answers, another way to wait
  tripoll --backend epoll --trigger edge
  tripoll --backend select --select-limit 1024
                                      the limit that a fixed fd_set has: past it clients get 503

Ctrl-C (SIGINT) or SIGTERM ends it when what is in flight is finished; a second one ends it at once.
Exit codes: 0 it was told to end, 1 it cannot run, 2 it was called wrongly, 130 or 143 a second signal.";

/// Serves a folder over HTTP/1.1 on one thread, waiting by select, poll or epoll.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXAMPLES, max_term_width = 100)]
pub struct Options {
    /// The folder to serve [default: ./static]
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,

    /// Address to listen at, with or without a port; can be given several times
    #[arg(short, long, value_name = "ADDR[:PORT]", default_value = "127.0.0.1")]
    pub bind: Vec<String>,

    /// Port, where --bind has none; 0 lets the kernel choose
    #[arg(short, long, default_value_t = 8000)]
    pub port: u16,

    /// The system call that waits: select, poll or epoll
    #[arg(long, default_value_t, hide_default_value = false)]
    pub backend: Backend,

    /// When epoll tells of readiness: level (as long as it lasts) or edge (when it begins)
    #[arg(long, value_name = "level|edge", default_value = "level")]
    pub trigger: Trigger,

    /// With select: turn clients away whose descriptor is N or more
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub select_limit: Option<i32>,

    /// After SIGTERM or SIGINT: how long what is in flight may take to finish
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    pub grace: Duration,
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
