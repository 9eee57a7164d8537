//! What the command says while it serves.
//!
//! Invariant: nothing here waits for who reads, and what is lost is counted and told.

use super::access_log::{AccessLog, Format};
use super::options::Log;
use super::output::{self, Lines};
use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tripoll::guard::Users;
use tripoll::http::Answered;
use tripoll::reactor::Turn;
use tripoll::sys::PIPE_BUF;

/// The access log on stdout, notices on stderr.
pub struct Console {
    access_log: Option<AccessLog>,
    log: Lines,
    notices: Lines,
    /// That nobody reads the log was said.
    is_silent: bool,
}

impl Console {
    /// Nothing is said yet.
    pub fn new(log: Log, users: Option<Users>) -> Arc<Mutex<Console>> {
        let stdout = std::io::stdout();
        let format = match log {
            Log::Auto if stdout.is_terminal() => {
                // https://no-color.org
                Some(Format::Short { coloured: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) })
            }
            Log::Auto | Log::Off => None,
            Log::Short => Some(Format::Short { coloured: false }),
            Log::Common => Some(Format::Common),
            Log::Combined => Some(Format::Combined),
            Log::Json => Some(Format::Json),
        };
        let (log, notices) = (Lines::new(stdout.as_fd()), Lines::new(std::io::stderr().as_fd()));
        let access_log = format.map(|format| AccessLog::new(format, users));
        Arc::new(Mutex::new(Console { access_log, log, notices, is_silent: false }))
    }

    /// Whether answers are to be noted.
    pub fn has_access_log(&self) -> bool {
        self.access_log.is_some()
    }

    /// Logs an answer.
    pub fn note(&mut self, answered: &Answered<'_>) {
        if let Some(access_log) = &mut self.access_log {
            access_log.note(answered, &mut self.log);
        }
    }

    /// Says something to the operator, on one line.
    pub fn tell(&mut self, notice: &dyn Display) {
        self.notices.push(|line| {
            let mut text = format!("tripoll: {notice}").replace('\n', " ").into_bytes();
            text.truncate(PIPE_BUF - 1);
            line.extend(text);
            line.push(b'\n');
        });
    }

    /// Says what a turn of the loop came to.
    pub fn trace(&mut self, turn: &Turn) {
        self.notices.push(|line| writeln!(line, "{turn}").expect("writing to memory does not fail"));
    }

    /// Writes what can be written without waiting. When to try again, where something is left.
    pub fn flush(&mut self) -> Option<Duration> {
        let is_log_left = self.log.flush();
        if let Some(dropped) = self.log.take_dropped() {
            self.tell(&format_args!("{dropped} lines of the access log were dropped: stdout is read too slowly"));
        }
        if self.access_log.is_some() && self.log.is_closed() && !std::mem::replace(&mut self.is_silent, true) {
            self.tell(&"the access log ends: nobody reads stdout any more");
        }
        let are_notices_left = self.notices.flush();
        if let Some(dropped) = self.notices.take_dropped() {
            self.tell(&format_args!("{dropped} lines were dropped: stderr is read too slowly"));
        }
        (is_log_left || are_notices_left).then_some(output::RETRY)
    }

    /// Forgets what waits: it is another process's to say.
    pub fn forget(&mut self) {
        self.log.forget();
        self.notices.forget();
    }

    /// Gives those who read a moment, before the process ends.
    pub fn say_farewell(&mut self) {
        self.log.say_farewell();
        self.flush();
        self.notices.say_farewell();
    }
}
