//! What the generator is told to do, and what it saw.

use hdrhistogram::Histogram;
use std::net::SocketAddrV4;
use std::time::Duration;
use tripoll::sys::CpuTime;

/// What a connection asks for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The bytes of a request, or of several that are sent together.
    pub request: Vec<u8>,
    /// Bytes of the answer to it, heads and bodies.
    pub answer_bytes: usize,
}

/// What is asked for, how, how often.
#[derive(Debug, Clone)]
pub struct Load {
    pub address: SocketAddrV4,
    pub ask: Ask,
    /// How many requests that are.
    pub requests_per_send: usize,
    pub connections: usize,
    /// So many more, which ask for something else: they are a part of the load, and of no figure.
    pub beside: Option<(usize, Ask)>,
    /// In the closed loop: nothing is owed when it begins to count, nor at the end, so that a server of many processes holds still while each of
    /// them is looked at; and connections that stay open are all opened before anybody asks, each with an answer to this.
    pub settles: Option<Ask>,
    /// A connection is used for one request only.
    pub closes: bool,
    pub pace: Pace,
    pub warm_up: Duration,
    pub time: Duration,
}

/// What begins the next request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// The answer to the last one on its connection.
    Closed,
    /// The clock.
    #[allow(missing_docs)]
    Open { requests_per_second: f64 },
}

impl Load {
    /// With those beside.
    pub fn connections_in_all(&self) -> usize {
        self.connections + self.beside.as_ref().map_or(0, |(count, _)| *count)
    }

    /// Those that are measured come first.
    pub fn is_measured(&self, index: usize) -> bool {
        index < self.connections
    }

    /// What a connection asks for, first where it is opened and then.
    pub fn ask_of(&self, index: usize, is_opening: bool) -> &Ask {
        match (&self.settles, &self.beside) {
            (Some(first), _) if is_opening => first,
            (_, Some((_, other))) if !self.is_measured(index) => other,
            (..) => &self.ask,
        }
    }
}

/// When somebody may look at the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The warm-up is over.
    Begin,
    /// It counts no more, and all connections are still there.
    End,
}

/// What went wrong, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Errors {
    /// No connection could be had.
    pub connect: u64,
    /// It ended before its answer did.
    pub closed: u64,
    /// The answer was that there is no room (503).
    pub turned_away: u64,
    /// Any other answer that was not 200, or longer than it should be.
    pub answer: u64,
    /// No answer in time.
    pub timeout: u64,
    /// No answer in time, on a connection that had none before.
    pub starved: u64,
}

impl Errors {
    pub fn total(self) -> u64 {
        self.connect + self.closed + self.turned_away + self.answer + self.timeout + self.starved
    }
}

/// What was seen after the warm-up.
#[derive(Debug)]
pub struct Measured {
    /// Connections that could be opened, where all are opened first. Fewer than were asked for: then nothing else was tried.
    pub opened: usize,
    /// Connections that were answered at all.
    pub served: usize,
    pub requests: u64,
    pub errors: Errors,
    /// Nanoseconds.
    pub latencies: Histogram<u64>,
    /// Open loop: how late requests were sent though a connection was free. The generator's own fault. Nanoseconds.
    pub lateness: Histogram<u64>,
    pub elapsed: Duration,
    /// The generator's own.
    pub cpu: CpuTime,
    /// How long it was ready to run while others did.
    pub delayed: Duration,
    pub was_interrupted: bool,
}
