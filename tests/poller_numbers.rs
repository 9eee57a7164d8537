//! What the poller does about descriptor *numbers*: used again, closed too early, past select's limit.
//!
//! A number that one test closes, another may open. So these have a process of their own, and run one at a time.

mod backends;

use backends::on_every_backend;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tripoll::poller::{Direction, Event, Interest, LimitReached, Poller, Select, Strategy, Token};
use tripoll::sys;

on_every_backend! {
    a_number_used_again_never_gets_its_predecessors_event,
    a_number_used_again_keeps_no_readiness,
    the_set_follows_the_highest_number_down_and_up,
    a_close_before_removing_is_caught,
    a_close_without_interest_before_removing_does_no_harm,
}

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    // Who failed with it has closed what it opened all the same.
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

fn token(generation: u32) -> Token {
    Token { index: 1, generation }
}

/// Connected, non-blocking sockets.
fn pair() -> (OwnedFd, OwnedFd) {
    let (ours, peer) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    peer.set_nonblocking(true).unwrap();
    (ours.into(), peer.into())
}

/// A pair whose near end has the lowest number that is free.
#[track_caller]
fn pair_at(number: RawFd) -> (OwnedFd, OwnedFd) {
    let (ours, peer) = pair();
    assert_eq!(ours.as_raw_fd(), number, "the kernel gives the lowest number that is free");
    (ours, peer)
}

fn write(to: &OwnedFd) {
    assert_eq!(sys::send(to.as_fd(), b"x", false).unwrap(), 1);
}

/// Whom one wait reports, and as what.
#[track_caller]
fn told(poller: &mut dyn Poller) -> Vec<(Token, Interest)> {
    let mut events = Vec::new();
    poller.wait(&mut events, Some(Duration::ZERO)).unwrap();
    events.iter().map(|Event { token, readable, writable, .. }| (*token, Interest::new(*readable, *writable))).collect()
}

fn a_number_used_again_never_gets_its_predecessors_event(strategy: Strategy) {
    let _alone = alone();
    let mut poller = strategy.open().unwrap();
    for generation in 0..3 {
        for looks in 0..=1 {
            let (ours, peer) = pair();
            let number = ours.as_raw_fd();
            // A duplicate keeps the socket, and would keep its events, alive.
            let duplicate = ours.try_clone().unwrap();
            poller.add(ours.as_fd(), token(generation), Interest::READ).unwrap();
            write(&peer);
            for _ in 0..looks {
                assert_eq!(told(&mut *poller), [(token(generation), Interest::READ)]);
            }
            poller.remove(ours.as_fd()).unwrap();
            drop(ours);

            let (next, next_peer) = pair_at(number);
            poller.add(next.as_fd(), token(generation + 1), Interest::READ).unwrap();
            assert_eq!(told(&mut *poller), []);
            write(&peer);
            assert_eq!(told(&mut *poller), [], "its predecessor's bytes");
            write(&next_peer);
            assert_eq!(told(&mut *poller), [(token(generation + 1), Interest::READ)]);
            poller.remove(next.as_fd()).unwrap();
            drop(duplicate);
        }
    }
}

fn a_number_used_again_keeps_no_readiness(strategy: Strategy) {
    let _alone = alone();
    let mut poller = strategy.open().unwrap();
    let (ours, peer) = pair();
    let number = ours.as_raw_fd();
    poller.add(ours.as_fd(), token(1), Interest::BOTH).unwrap();
    drop(peer);
    assert_eq!(told(&mut *poller), [(token(1), Interest::BOTH)]);
    poller.remove(ours.as_fd()).unwrap();
    drop(ours);

    let (next, _peer) = pair_at(number);
    poller.add(next.as_fd(), token(2), Interest::READ).unwrap();
    assert_eq!(told(&mut *poller), []);
    poller.exhausted(next.as_fd(), Direction::Read);
    poller.modify(next.as_fd(), token(2), Interest::BOTH).unwrap();
    assert_eq!(told(&mut *poller), [(token(2), Interest::WRITE)]);
}

/// select hands the kernel numbers up to the highest: words come and go with it.
fn the_set_follows_the_highest_number_down_and_up(strategy: Strategy) {
    let _alone = alone();
    const PAIRS: usize = 100; // 200 numbers: four words of 64.
    let mut poller = strategy.open().unwrap();
    let pairs: Vec<_> = (0..PAIRS).map(|_| pair()).collect();
    for _ in 0..2 {
        for (index, (ours, peer)) in pairs.iter().enumerate() {
            poller.add(ours.as_fd(), token(index as u32), Interest::READ).unwrap();
            write(peer);
            assert_eq!(told(&mut *poller), [(token(index as u32), Interest::READ)]);
            sys::receive(ours.as_fd(), &mut [0; 2]).unwrap();
            poller.exhausted(ours.as_fd(), Direction::Read);
        }
        for (index, (ours, peer)) in pairs.iter().enumerate().rev() {
            write(peer);
            let highest = ours.as_raw_fd() as u64;
            let before = poller.counters();
            assert_eq!(told(&mut *poller), [(token(index as u32), Interest::READ)]);
            let after = poller.counters();
            let (passed, scanned) = match strategy {
                Strategy::Select { .. } => (index as u64 + 1, highest + 1),
                Strategy::Poll => (index as u64 + 1, index as u64 + 1),
                Strategy::Epoll { .. } => (0, 1),
            };
            assert_eq!((after.passed - before.passed, after.scanned - before.scanned), (passed, scanned));
            sys::receive(ours.as_fd(), &mut [0; 2]).unwrap();
            poller.remove(ours.as_fd()).unwrap();
        }
    }
}

/// Our bug, and made to be seen.
#[cfg(debug_assertions)]
fn a_close_before_removing_is_caught(strategy: Strategy) {
    let _alone = alone();
    let mut poller = strategy.open().unwrap();
    let (ours, peer) = pair();
    let number = ours.as_raw_fd();
    // Without a duplicate the kernel itself would take it out of an epoll set: nothing left to catch, and nothing to
    // spin on.
    let _duplicate = ours.try_clone().unwrap();
    poller.add(ours.as_fd(), token(1), Interest::READ).unwrap();
    drop(ours);
    write(&peer);
    let wait = std::panic::AssertUnwindSafe(|| told(&mut *poller));
    let panic = std::panic::catch_unwind(wait).expect_err("an assertion fails");
    let message = panic.downcast_ref::<String>().expect("it says what");
    assert_eq!(*message, format!("descriptor {number} was closed before it was removed from the poller"));
}

/// Our bug, survived: the others are served, nothing spins, and the number can be used again.
#[cfg(not(debug_assertions))]
fn a_close_before_removing_is_caught(strategy: Strategy) {
    let _alone = alone();
    let mut poller = strategy.open().unwrap();
    let (first, first_peer) = pair();
    let (ours, peer) = pair();
    let (last, last_peer) = pair();
    let number = ours.as_raw_fd();
    let _duplicate = ours.try_clone().unwrap();
    for (index, fd) in [&first, &ours, &last].into_iter().enumerate() {
        poller.add(fd.as_fd(), token(index as u32), Interest::READ).unwrap();
    }
    drop(ours);
    [&first_peer, &peer, &last_peer].into_iter().for_each(write);

    let watches_sockets = matches!(strategy, Strategy::Epoll { .. });
    if watches_sockets {
        // It can't tell, until the number is somebody else's.
        assert_eq!(told(&mut *poller).len(), 3);
        let (next, _next_peer) = pair_at(number);
        assert_eq!(poller.remove(next.as_fd()).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    } else {
        // select's wait fails as a whole, and tells nothing but that; poll's tells of the others.
        let others = if strategy == Strategy::Poll { 2 } else { 0 };
        assert_eq!(told(&mut *poller).len(), others);
    }
    let (next, next_peer) = pair_at(number);
    poller.add(next.as_fd(), token(9), Interest::READ).unwrap();
    told(&mut *poller);
    for wait in 1..=2 {
        let mut tokens = told(&mut *poller);
        tokens.sort_by_key(|(token, _)| *token);
        assert_eq!(tokens, [(token(0), Interest::READ), (token(2), Interest::READ)], "wait {wait}");
    }
    for fd in [&first, &last] {
        sys::receive(fd.as_fd(), &mut [0; 2]).unwrap();
        poller.exhausted(fd.as_fd(), Direction::Read);
    }
    let before = poller.counters();
    assert_eq!(told(&mut *poller), []);
    assert_eq!(poller.counters().scanned, before.scanned, "the kernel reports it no more");
    write(&next_peer);
    assert_eq!(told(&mut *poller), [(token(9), Interest::READ)]);
    for fd in [&first, &next, &last] {
        poller.remove(fd.as_fd()).unwrap();
    }
    assert_eq!(told(&mut *poller), []);
}

fn a_close_without_interest_before_removing_does_no_harm(strategy: Strategy) {
    let _alone = alone();
    let mut poller = strategy.open().unwrap();
    let (other, other_peer) = pair();
    poller.add(other.as_fd(), token(2), Interest::READ).unwrap();
    let (ours, peer) = pair();
    poller.add(ours.as_fd(), token(1), Interest::NONE).unwrap();
    write(&peer);
    assert_eq!(told(&mut *poller), []);
    drop(ours);
    assert_eq!(told(&mut *poller), []);
    write(&other_peer);
    assert_eq!(told(&mut *poller), [(token(2), Interest::READ)]);
}

/// 0 is a descriptor: what hides it must not be its negative. So this runs in a child whose standard input is a socket.
#[test]
fn a_masked_descriptor_zero_is_hidden() {
    const IS_CHILD: &str = "TRIPOLL_TEST_STDIN_IS_A_SOCKET";
    if std::env::var_os(IS_CHILD).is_none() {
        let _alone = alone();
        let (ours, _peer) = pair();
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "a_masked_descriptor_zero_is_hidden"]).env(IS_CHILD, "1").stdin(ours);
        let output = child.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let stdin = std::io::stdin();
    for strategy in Strategy::ALL {
        let mut poller = strategy.open().unwrap();
        poller.add(stdin.as_fd(), token(0), Interest::WRITE).unwrap();
        assert_eq!(told(&mut *poller), [(token(0), Interest::WRITE)], "{strategy}");
        poller.modify(stdin.as_fd(), token(0), Interest::NONE).unwrap();
        assert_eq!([told(&mut *poller), told(&mut *poller)], [[], []], "{strategy}");
        poller.modify(stdin.as_fd(), token(0), Interest::WRITE).unwrap();
        assert_eq!(told(&mut *poller), [(token(0), Interest::WRITE)], "{strategy}");
        poller.remove(stdin.as_fd()).unwrap();
    }
}

#[test]
fn select_refuses_numbers_from_its_limit_on() {
    let _alone = alone();
    let (ours, peer) = pair();
    let number = ours.as_raw_fd();
    for (limit, is_refused) in [(0, true), (number - 1, true), (number, true), (number + 1, false), (1_024, false)] {
        let mut poller = Select::new(Some(limit));
        match poller.add(ours.as_fd(), token(0), Interest::READ) {
            Ok(()) => assert!(!is_refused, "limit {limit}"),
            Err(error) => {
                let reason = error.get_ref().and_then(|reason| reason.downcast_ref());
                assert_eq!(reason, Some(&LimitReached { fd: number, limit }));
                assert!(is_refused, "limit {limit}");
                let missing = std::io::ErrorKind::NotFound;
                assert_eq!(poller.remove(ours.as_fd()).unwrap_err().kind(), missing, "limit {limit}");
            }
        }
    }
    drop(peer);
}
