//! How connections are served.

use std::fmt;
use tripoll::Model;
use tripoll::poller::Strategy;

/// How connections are served: by a loop that waits in one way or another, or by another model.
#[derive(Debug, Clone, Copy)]
pub struct Way {
    pub model: Model,
    pub strategy: Strategy,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.model {
            Model::Reactor => self.strategy.fmt(f),
            Model::Coroutines => write!(f, "coroutines, {}", self.strategy),
            model => model.fmt(f),
        }
    }
}

impl Way {
    #[allow(dead_code)] // Not every test needs it.
    pub fn coroutines(strategy: Strategy) -> Way {
        Way { model: Model::Coroutines, strategy }
    }
}

impl From<Strategy> for Way {
    fn from(strategy: Strategy) -> Way {
        Way { model: Model::Reactor, strategy }
    }
}

impl From<Model> for Way {
    fn from(model: Model) -> Way {
        Way { model, strategy: Strategy::ALL[2] }
    }
}
