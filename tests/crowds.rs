//! Thousands of descriptors on every backend.
//!
//! They need most of what a process may open, so they have one of their own, and run one at a time.

mod backends;

use backends::on_every_backend;
use std::collections::BTreeSet;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tripoll::poller::{Direction, Interest, LimitReached, Poller, Select, Strategy, Token};
use tripoll::sys::{self, EventFd};

on_every_backend! {
    each_of_a_crowd_is_reported_exactly_when_it_is_ready,
    all_of_a_crowd_are_reported_if_not_in_one_wait,
    a_crowd_leaves_in_any_order,
}

const CROWD: usize = 3_000;
/// The crowd, and what a test process has open beside it.
const DESCRIPTORS: u64 = CROWD as u64 + 100;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs `fact` on a crowd of bells, all watched for reading, unless the system does not allow so many: then it says so.
fn with_crowd(strategy: Strategy, fact: impl FnOnce(&mut dyn Poller, &[EventFd])) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if !may_open(DESCRIPTORS) {
        return;
    }
    let mut poller = strategy.open().unwrap();
    let bells: Vec<_> = (0..CROWD).map(|_| EventFd::new().unwrap()).collect();
    assert!(bells[CROWD - 1].as_fd().as_raw_fd() > 1_024, "more than libc's fd_set holds");
    for (index, bell) in bells.iter().enumerate() {
        poller.add(bell.as_fd(), token(index), Interest::READ).unwrap();
    }
    settle(&mut *poller);
    fact(&mut *poller, &bells);
}

/// Waits until the kernel has nothing to say. Each bell has room, which nobody asks of, but the edge trigger hears of
/// once; a wait brings but so many edges.
fn settle(poller: &mut dyn Poller) {
    loop {
        let before = poller.counters().scanned;
        assert_eq!(told(poller), [0usize; 0]);
        if poller.counters().scanned == before {
            return;
        }
    }
}

fn may_open(descriptors: u64) -> bool {
    let limit = sys::raise_descriptor_limit().unwrap();
    if limit < descriptors {
        // Not `eprintln!`, which the harness shows of failed tests alone.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {descriptors} descriptors needed, {limit} allowed (ulimit -Hn)");
    }
    limit >= descriptors
}

fn token(index: usize) -> Token {
    Token { index: index as u32, generation: 0 }
}

/// Whom one wait reports as readable.
#[track_caller]
fn told(poller: &mut dyn Poller) -> Vec<usize> {
    let mut events = Vec::new();
    poller.wait(&mut events, Some(Duration::ZERO)).unwrap();
    assert!(events.iter().all(|event| event.readable && !event.writable));
    events.iter().map(|event| event.token.index as usize).collect()
}

/// Silences a bell, as the reactor would.
fn hear(poller: &mut dyn Poller, bell: &EventFd) {
    bell.clear();
    poller.exhausted(bell.as_fd(), Direction::Read);
}

fn each_of_a_crowd_is_reported_exactly_when_it_is_ready(strategy: Strategy) {
    with_crowd(strategy, |poller, bells| {
        for (index, bell) in bells.iter().enumerate() {
            bell.ring();
            assert_eq!(told(poller), [index]);
            hear(poller, bell);
        }
        assert_eq!(told(poller), [0usize; 0]);
    });
}

fn all_of_a_crowd_are_reported_if_not_in_one_wait(strategy: Strategy) {
    with_crowd(strategy, |poller, bells| {
        bells.iter().for_each(EventFd::ring);
        // Heard or not: who is not silenced comes again, who waits is not starved by those.
        let mut seen = BTreeSet::new();
        let mut waits = 0;
        while seen.len() < CROWD {
            seen.extend(told(poller));
            waits += 1;
            assert!(waits <= CROWD, "{} of {CROWD} after {waits} waits", seen.len());
        }
        // Heard, each comes once and no more.
        let mut left: BTreeSet<_> = (0..CROWD).collect();
        while !left.is_empty() {
            let told = told(poller);
            assert!(!told.is_empty(), "{} are ready and not told", left.len());
            for index in told {
                hear(poller, &bells[index]);
                assert!(left.remove(&index), "{index} was silent");
            }
        }
        settle(poller);
    });
}

fn a_crowd_leaves_in_any_order(strategy: Strategy) {
    with_crowd(strategy, |poller, bells| {
        // A step that has no divisor in common with the crowd visits each once, in no order a table would like.
        const STEP: usize = 1_877;
        let mut next = 0;
        let mut left: BTreeSet<_> = (0..CROWD).collect();
        for _ in 0..CROWD - 1 {
            poller.remove(bells[next].as_fd()).unwrap();
            bells[next].ring();
            left.remove(&next);
            next = (next + STEP) % CROWD;
            bells[next].ring();
            assert_eq!(told(poller), [next], "{} left", left.len());
            hear(poller, &bells[next]);
        }
        assert_eq!(left.len(), 1);
        poller.remove(bells[next].as_fd()).unwrap();
        assert_eq!(told(poller), [0usize; 0]);
    });
}

#[test]
fn the_textbook_limit_of_select_is_1024() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if !may_open(1_200) {
        return;
    }
    let mut poller = Select::new(Some(1_024));
    let bells: Vec<_> = (0..1_100).map(|_| EventFd::new().unwrap()).collect();
    let mut refused = Vec::new();
    for (index, bell) in bells.iter().enumerate() {
        let fd = bell.as_fd().as_raw_fd();
        match poller.add(bell.as_fd(), token(index), Interest::READ) {
            Ok(()) => assert!(fd <= 1_023, "{fd} was taken"),
            Err(error) => {
                let reason = error.get_ref().and_then(|reason| reason.downcast_ref());
                assert_eq!(reason, Some(&LimitReached { fd, limit: 1_024 }));
                refused.push(fd);
            }
        }
    }
    assert_eq!(refused.first(), Some(&1_024));
    // Who was refused is not watched, who was taken is.
    bells.iter().for_each(EventFd::ring);
    let told = told(&mut poller);
    assert_eq!(told.len(), bells.len() - refused.len());
    assert_eq!(told.last().map(|index| bells[*index].as_fd().as_raw_fd()), Some(1_023));
}
