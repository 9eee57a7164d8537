//! What the workers of a model count together, threads or processes.

use crate::reactor::{Counters, Shutdown};
use crate::sys::{Calls, SharedNumbers};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counters in memory that processes share. Clones are the same counters, in a forked process too.
#[derive(Debug, Clone)]
pub struct Tally(Arc<SharedNumbers>);

/// What is counted, each at its place.
#[derive(Debug, Clone, Copy)]
enum Place {
    Answers,
    Open,
    Opened,
    Panics,
    ReceivedBytes,
    SentBytes,
    Accept,
    Receive,
    Send,
    SendFile,
    Stat,
    Shutdown,
    Unacknowledged,
    /// Of the way down, in microseconds.
    Grace,
    Patience,
}

const PLACES: usize = Place::Patience as usize + 1;

impl Tally {
    /// Nothing counted yet.
    ///
    /// # Errors
    /// What mmap(2) says.
    pub fn new() -> io::Result<Tally> {
        Ok(Tally(Arc::new(SharedNumbers::new(PLACES)?)))
    }

    fn at(&self, place: Place) -> &AtomicU64 {
        &self.0[place as usize]
    }

    fn add(&self, place: Place, count: u64) {
        if count > 0 {
            self.at(place).fetch_add(count, Ordering::Relaxed);
        }
    }

    fn get(&self, place: Place) -> u64 {
        self.at(place).load(Ordering::Relaxed)
    }

    /// One more answer.
    pub fn count_answer(&self) {
        self.add(Place::Answers, 1);
    }

    /// Answers so far.
    pub fn answers(&self) -> u64 {
        self.get(Place::Answers)
    }

    /// What a loop's counters would say. Its turns and its waiting are nobody's here.
    pub fn counters(&self) -> Counters {
        Counters {
            opened: self.get(Place::Opened),
            open: self.open(),
            panics: self.get(Place::Panics),
            received_bytes: self.get(Place::ReceivedBytes),
            sent_bytes: self.get(Place::SentBytes),
            calls: Calls {
                accept: self.get(Place::Accept),
                receive: self.get(Place::Receive),
                send: self.get(Place::Send),
                send_file: self.get(Place::SendFile),
                stat: self.get(Place::Stat),
                shutdown: self.get(Place::Shutdown),
                unacknowledged: self.get(Place::Unacknowledged),
            },
            ..Counters::default()
        }
    }

    pub(super) fn open(&self) -> usize {
        usize::try_from(self.get(Place::Open)).unwrap_or(usize::MAX)
    }

    /// A connection begins.
    pub(super) fn enter(&self) {
        self.add(Place::Opened, 1);
        self.add(Place::Open, 1);
    }

    /// A connection is over, or never began.
    pub(super) fn leave(&self) {
        self.at(Place::Open).fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn count_panic(&self) {
        self.add(Place::Panics, 1);
    }

    pub(super) fn count_bytes(&self, received: u64, sent: u64) {
        self.add(Place::ReceivedBytes, received);
        self.add(Place::SentBytes, sent);
    }

    pub(super) fn count_calls(&self, calls: Calls) {
        let Calls { accept, receive, send, send_file, stat, shutdown, unacknowledged } = calls;
        self.add(Place::Accept, accept);
        self.add(Place::Receive, receive);
        self.add(Place::Send, send);
        self.add(Place::SendFile, send_file);
        self.add(Place::Stat, stat);
        self.add(Place::Shutdown, shutdown);
        self.add(Place::Unacknowledged, unacknowledged);
    }

    /// Says how all go down, before they are told to.
    pub(super) fn say_shutdown(&self, shutdown: Shutdown) {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.at(Place::Grace).store(micros(shutdown.grace), Ordering::SeqCst);
        self.at(Place::Patience).store(micros(shutdown.patience), Ordering::SeqCst);
    }

    pub(super) fn shutdown(&self) -> Shutdown {
        let time = |place| Duration::from_micros(self.at(place).load(Ordering::SeqCst));
        Shutdown { grace: time(Place::Grace), patience: time(Place::Patience) }
    }
}
