//! Which backend waits, and what it is told: the values of flags, their words, and what does not go together.
//!
//! Invariant: a [`Strategy`] can be run; what can't is none.

use super::{Epoll, Poll, Poller, Select};
use std::fmt;
use std::io;
use std::os::fd::RawFd;
use std::str::FromStr;

/// The system call that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backend {
    /// select(2)
    Select,
    /// poll(2)
    Poll,
    /// epoll(7)
    #[default]
    Epoll,
}

impl Backend {
    /// Every backend, in the order of their age.
    pub const ALL: [Backend; 3] = [Backend::Select, Backend::Poll, Backend::Epoll];
}

/// When epoll tells of readiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trigger {
    /// As long as it lasts.
    #[default]
    Level,
    /// When it begins: `EPOLLET`.
    Edge,
}

/// When a change of what a connection waits for is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Updates {
    /// Once, at the end of what happens to a connection, and only where it differs then; and epoll narrows only when an event comes that nobody
    /// wants.
    #[default]
    Lazy,
    /// At every change of mind, as textbooks do: a connection with an answer to send waits for room first, and for input again after it.
    Eager,
}

/// A backend with what it can be told: every value is one that can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// select(2), refusing descriptors from `limit` on where one is given.
    #[allow(missing_docs)]
    Select { limit: Option<RawFd> },
    /// poll(2)
    Poll,
    /// epoll(7)
    #[allow(missing_docs)]
    Epoll { trigger: Trigger },
}

impl Strategy {
    /// The four that differ in what they ask of the kernel: select, poll, epoll, epoll-edge.
    pub const ALL: [Strategy; 4] = [
        Strategy::Select { limit: None },
        Strategy::Poll,
        Strategy::Epoll { trigger: Trigger::Level },
        Strategy::Epoll { trigger: Trigger::Edge },
    ];

    /// # Errors
    /// What does not go together, in words: an edge trigger without epoll, a select limit without select.
    pub fn new(backend: Backend, trigger: Trigger, select_limit: Option<RawFd>) -> Result<Strategy, StrategyError> {
        match (backend, trigger, select_limit) {
            (Backend::Select | Backend::Poll, Trigger::Edge, _) => Err(StrategyError::EdgeWithout { backend }),
            (Backend::Poll | Backend::Epoll, _, Some(_)) => Err(StrategyError::SelectLimitWithout { backend }),
            (Backend::Select, Trigger::Level, limit) => Ok(Strategy::Select { limit }),
            (Backend::Poll, Trigger::Level, None) => Ok(Strategy::Poll),
            (Backend::Epoll, trigger, None) => Ok(Strategy::Epoll { trigger }),
        }
    }

    /// A poller of this kind, watching nothing. To be made after a fork: a child's change to an epoll set would reach its parent.
    ///
    /// # Errors
    /// What epoll_create1(2) says. There is no falling back to another backend.
    pub fn open(self) -> io::Result<Box<dyn Poller>> {
        Ok(match self {
            Strategy::Select { limit } => Box::new(Select::new(limit)),
            Strategy::Poll => Box::new(Poll::new()),
            Strategy::Epoll { trigger } => Box::new(Epoll::new(trigger)?),
        })
    }
}

/// Parts of a [`Strategy`] that do not go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum StrategyError {
    EdgeWithout { backend: Backend },
    SelectLimitWithout { backend: Backend },
}

impl fmt::Display for StrategyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StrategyError::EdgeWithout { backend } => {
                write!(f, "{backend} has no edge trigger; try --backend epoll --trigger edge")
            }
            StrategyError::SelectLimitWithout { backend } => {
                write!(f, "{backend} has no select limit; try --backend select --select-limit 1024")
            }
        }
    }
}

impl std::error::Error for StrategyError {}

/// select, poll, epoll, epoll-edge: the words of flags, start line, tables and charts.
impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Strategy::Select { limit: None } => f.write_str("select"),
            Strategy::Select { limit: Some(limit) } => write!(f, "select, limit {limit}"),
            Strategy::Poll => f.write_str("poll"),
            Strategy::Epoll { trigger: Trigger::Level } => f.write_str("epoll"),
            Strategy::Epoll { trigger: Trigger::Edge } => f.write_str("epoll-edge"),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Backend::Select => "select",
            Backend::Poll => "poll",
            Backend::Epoll => "epoll",
        })
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Trigger::Level => "level",
            Trigger::Edge => "edge",
        })
    }
}

impl FromStr for Backend {
    type Err = String;
    fn from_str(word: &str) -> Result<Backend, String> {
        Backend::ALL
            .into_iter()
            .find(|backend| backend.to_string() == word)
            .ok_or_else(|| "it is select, poll or epoll".into())
    }
}

impl fmt::Display for Updates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Updates::Lazy => "lazy",
            Updates::Eager => "eager",
        })
    }
}

impl FromStr for Updates {
    type Err = String;
    fn from_str(word: &str) -> Result<Updates, String> {
        match word {
            "lazy" => Ok(Updates::Lazy),
            "eager" => Ok(Updates::Eager),
            _ => Err("it is eager or lazy".into()),
        }
    }
}

impl FromStr for Trigger {
    type Err = String;
    fn from_str(word: &str) -> Result<Trigger, String> {
        match word {
            "level" => Ok(Trigger::Level),
            "edge" => Ok(Trigger::Edge),
            _ => Err("it is level or edge".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_go_together_is_no_strategy() {
        use {Backend::*, Trigger::*};
        for backend in [Select, Poll] {
            assert_eq!(Strategy::new(backend, Edge, None), Err(StrategyError::EdgeWithout { backend }));
        }
        for backend in [Poll, Epoll] {
            assert_eq!(Strategy::new(backend, Level, Some(9)), Err(StrategyError::SelectLimitWithout { backend }));
        }
        let words: Vec<_> = Strategy::ALL.iter().map(Strategy::to_string).collect();
        assert_eq!(words, ["select", "poll", "epoll", "epoll-edge"]);
    }
}
