//! The loop over real sockets, under every strategy: what it does to connections, whatever they speak.

mod backends;
mod ways;

use backends::{on_every_backend, on_every_loop};
use std::cell::Cell;
use std::fs::{File, Permissions};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};
use tripoll::Model;
use tripoll::models::{Work, employ};
use tripoll::poller::Strategy;
use tripoll::protocol::{Accept, Chunk, Context, Cue, Deadline, MinRate, OUTBOX_HIGH, OpenFile, Protocol, Taken, pipe};
use tripoll::reactor::{Counters, Handle, Limits, Notice, Reactor, Shutdown as GoDown};
use tripoll::sys::{self, Calls, Kernel, Linux};
use ways::Way;

on_every_loop! {
    lines_come_back,
    many_connections_are_served_at_once,
    a_silent_peer_does_not_delay_the_next,
    a_large_answer_arrives_whole_through_small_buffers,
    a_peer_that_reads_late_gets_every_byte,
    a_large_transfer_leaves_others_their_turn,
    a_half_closed_peer_still_gets_its_answer,
    a_half_closed_peer_does_not_make_the_loop_spin,
    the_last_answer_is_not_destroyed_by_unread_input,
    a_reset_closes,
    every_kind_of_deadline_is_told,
    a_deadline_waits_until_the_outbox_is_empty,
    a_peer_that_takes_nothing_is_closed,
    wakes_from_threads_arrive,
    a_pipe_from_a_thread_reaches_the_peer,
    a_handle_stops_the_loop,
    past_the_maximum_the_newest_is_refused,
    past_the_maximum_who_is_idle_longest_gives_way,
    a_panic_costs_its_own_connection,
    a_panic_while_a_protocol_is_dropped_costs_nobody_else,
    a_half_written_outbox_is_not_the_next_ones,
    a_file_arrives_whole,
    a_file_that_shrinks_is_cut_short,
    a_file_that_is_rewritten_is_cut_short,
    a_file_whose_name_or_mode_changes_arrives_whole,
    who_does_not_close_is_closed,
    connections_that_come_and_go_leave_nothing,
    a_loop_that_goes_down_finishes_what_is_in_flight,
    a_loop_that_goes_down_is_cut_off_after_its_grace,
    a_loop_that_goes_down_tells_once_more_when_its_patience_ends,
}

/// Of a loop that the test turns, or makes by itself.
mod by_hand {
    use super::*;

    on_every_backend! {
        a_few_are_accepted_a_turn,
        more_are_accepted_a_turn_where_a_wait_goes_through_many,
        an_adopted_socket_is_served,
        what_was_read_to_its_end_is_quiet,
        what_blocks_is_quiet_until_there_is_room,
        a_peer_that_sips_is_not_closed,
        a_change_of_the_clock_on_the_wall_moves_no_deadline,
        a_deadline_set_before_the_outbox_filled_begins_when_it_is_empty,
        a_listener_goes_on_as_soon_as_a_connection_ends,
        a_timer_wakes_a_listener_that_rests,
        an_error_of_a_new_connection_costs_no_other,
        the_kernel_is_given_little_for_who_takes_nothing,
        who_waits_in_the_backlog_of_a_loop_that_goes_down_is_served,
        a_loop_that_goes_down_is_patient_first,
    }
}

/// What an event of a test's protocol tells its test.
type Told = Sender<String>;

/// A loop that serves what comes by its listeners in one way or the other.
fn reactor(Way { model, strategy }: Way, limits: Limits) -> Reactor {
    let mut reactor = Reactor::new(strategy, limits.clone()).unwrap();
    let nobody =
        || Box::new(|_: SocketAddr| -> Box<dyn Protocol> { unreachable!("listeners accept") }) as Box<dyn Accept>;
    employ(model, Work::new(limits, Vec::new(), nobody).unwrap(), &mut reactor).unwrap();
    reactor
}

/// A loop on a thread of its own.
struct Running {
    address: SocketAddr,
    handle: Handle,
    thread: Option<JoinHandle<Counters>>,
}

impl Running {
    fn start<A: Accept + 'static>(
        way: impl Into<Way>,
        limits: Limits,
        accept: impl FnOnce() -> A + Send + 'static,
    ) -> Running {
        let (tell, told) = mpsc::channel();
        let way = way.into();
        let thread = std::thread::spawn(move || {
            let mut reactor = reactor(way, limits);
            let listener = sys::listen("127.0.0.1:0".parse().unwrap(), 1024).unwrap();
            let listener = TcpListener::from(listener);
            tell.send((listener.local_addr().unwrap(), reactor.handle())).unwrap();
            reactor.listen(listener, accept()).unwrap();
            reactor.run().unwrap();
            reactor.counters()
        });
        let (address, handle) = told.recv().unwrap();
        Running { address, handle, thread: Some(thread) }
    }

    /// A loop whose connections are made by `make`, which gets a way to tell.
    fn tell<P: Protocol + 'static>(
        way: impl Into<Way>,
        limits: Limits,
        make: impl Fn(Told) -> P + Send + 'static,
    ) -> (Running, Receiver<String>) {
        let (tell, told) = mpsc::channel();
        let running =
            Running::start(way, limits, move || move |_: SocketAddr| Box::new(make(tell.clone())) as Box<dyn Protocol>);
        (running, told)
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    fn stop(mut self) -> Counters {
        self.handle.stop();
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            let result = thread.join();
            assert!(result.is_ok() || std::thread::panicking(), "the loop panicked");
        }
    }
}

/// Speaks in lines: each does what it says, and is else sent back.
struct Speaker {
    told: Told,
    file: Option<Arc<OpenFile>>,
}

fn speaker(told: Told) -> Speaker {
    Speaker { told, file: None }
}

/// How many bytes the answer to `large` has.
const LARGE: usize = 3_000_000;

/// Bytes of which each tells its place.
fn pattern(length: usize) -> Vec<u8> {
    (0..length.div_ceil(4) as u32).flat_map(u32::to_le_bytes).take(length).collect()
}

impl Protocol for Speaker {
    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return 0 };
        match &input[..end] {
            // Less than would fill the outbox, more than small socket buffers hold.
            b"medium" => cx.out().push(Chunk::Bytes(pattern(60_000))),
            b"rest" => cx.deadline(Deadline::Idle(MINUTE)),
            b"in a minute" => cx.deadline(Deadline::After(MINUTE)),
            b"large" => cx.out().push(Chunk::Bytes(pattern(LARGE))),
            b"file" => {
                let file = self.file.clone().expect("a file was given");
                let size = file.size();
                cx.out().push(Chunk::File(file, 0..size));
            }
            b"finish" => {
                cx.out().write(b"bye");
                cx.finish();
            }
            b"panic" => {
                cx.out().write(b"half an ans");
                panic!("a protocol panics, as this test asks");
            }
            b"after" => cx.deadline(Deadline::After(Duration::from_millis(5))),
            b"idle" => cx.deadline(Deadline::Idle(Duration::from_millis(5))),
            b"at" => {
                let at = cx.now.monotonic + Duration::from_millis(5);
                cx.deadline(Deadline::At(at));
            }
            _ => cx.out().write(&input[..=end]),
        }
        end + 1
    }

    fn cue(&mut self, cue: Cue, cx: &mut Context<'_>) {
        let _ = self.told.send(format!("{cue:?}"));
        match cue {
            Cue::DeadlinePassed => cx.out().write(b"late\n"),
            Cue::EndOfInput => cx.finish(),
            Cue::Opened | Cue::Room | Cue::Woken | Cue::ShuttingDown | Cue::Closed => {}
        }
    }

    fn input_max(&self) -> usize {
        1024
    }
}

#[track_caller]
fn expect(stream: &mut TcpStream, want: &[u8]) {
    let mut got = vec![0; want.len()];
    stream.read_exact(&mut got).unwrap();
    assert!(got == want, "{} bytes, other than expected: {}", got.len(), got[..got.len().min(60)].escape_ascii());
}

#[track_caller]
fn ask(stream: &mut TcpStream, line: &str) {
    stream.write_all(line.as_bytes()).unwrap();
    expect(stream, line.as_bytes());
}

/// Waits until `want` is told, passing over everything else.
#[track_caller]
fn await_told(told: &Receiver<String>, want: &str) {
    while told.recv_timeout(Duration::from_secs(20)).expect(want) != want {}
}

fn lines_come_back(way: Way) {
    let (running, _) = Running::tell(way, Limits::default(), speaker);
    let mut stream = running.connect();
    ask(&mut stream, "one\n");
    ask(&mut stream, "two\nthree\nfour\n");
    stream.write_all(b"by").unwrap();
    ask(&mut running.connect(), "another\n");
    stream.write_all(b" parts\n").unwrap();
    expect(&mut stream, b"by parts\n");
}

fn many_connections_are_served_at_once(way: Way) {
    let (running, _) = Running::tell(way, Limits::default(), speaker);
    let mut streams: Vec<_> = (0..100).map(|_| running.connect()).collect();
    for (n, stream) in streams.iter_mut().enumerate() {
        stream.write_all(format!("{n}\n").as_bytes()).unwrap();
    }
    for (n, stream) in streams.iter_mut().enumerate().rev() {
        expect(stream, format!("{n}\n").as_bytes());
    }
    assert_eq!(running.stop().opened, 100);
}

fn a_silent_peer_does_not_delay_the_next(way: Way) {
    let (running, _) = Running::tell(way, Limits::default(), speaker);
    let _silent: Vec<_> = (0..20).map(|_| running.connect()).collect();
    let mut begun = running.connect();
    begun.write_all(b"half a li").unwrap();
    ask(&mut running.connect(), "served\n");
}

fn a_large_answer_arrives_whole_through_small_buffers(way: Way) {
    let (running, _) = Running::tell(way, Limits::default(), speaker);
    let mut stream = running.connect();
    sys::set_buffers(stream.as_fd(), 64 * 1024).unwrap();
    stream.write_all(b"large\nlarge\nend\n").unwrap();
    expect(&mut stream, &pattern(LARGE));
    expect(&mut stream, &pattern(LARGE));
    expect(&mut stream, b"end\n");
}

fn a_peer_that_reads_late_gets_every_byte(way: Way) {
    let (running, told) = Running::tell(way, Limits::default(), speaker);
    let mut late = running.connect();
    late.write_all(b"large\n").unwrap();
    let mut other = running.connect();
    for _ in 0..50 {
        ask(&mut other, "meanwhile\n");
    }
    // More than what is answered may not be taken in meanwhile: the input waits in the sockets.
    late.write_all(b"more\n").unwrap();
    expect(&mut late, &pattern(LARGE));
    expect(&mut late, b"more\n");
    await_told(&told, "Room");
}

fn a_large_transfer_leaves_others_their_turn(way: Way) {
    let limits = Limits { send_bytes_per_turn_max: 10_000, ..Limits::default() };
    let (running, _) = Running::tell(way, limits, speaker);
    let mut greedy = running.connect();
    greedy.write_all(b"large\nlarge\n").unwrap();
    let mut one = [0; 1];
    greedy.read_exact(&mut one).unwrap();
    ask(&mut running.connect(), "in between\n");
    let mut rest = vec![0; 2 * LARGE - 1];
    greedy.read_exact(&mut rest).unwrap();
    assert!(rest[..LARGE - 1] == pattern(LARGE)[1..] && rest[LARGE - 1..] == pattern(LARGE)[..]);
    let counters = running.stop();
    assert!(counters.turns as usize > 2 * LARGE / 10_000, "it took many turns: {}", counters.turns);
}

fn a_half_closed_peer_still_gets_its_answer(way: Way) {
    let (running, told) = Running::tell(way, Limits::default(), speaker);
    let mut stream = running.connect();
    stream.write_all(b"large\nlast\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert!(all == [pattern(LARGE), b"last\n".to_vec()].concat(), "{} bytes", all.len());
    await_told(&told, "Closed");
}

/// Holds back its end: what half-closed stays readable for ever.
struct Patient(Told);

impl Protocol for Patient {
    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        cx.out().write(input);
        input.len()
    }

    fn cue(&mut self, cue: Cue, _: &mut Context<'_>) {
        let _ = self.0.send(format!("{cue:?}"));
    }

    fn input_max(&self) -> usize {
        1
    }
}

fn a_half_closed_peer_does_not_make_the_loop_spin(way: Way) {
    let (running, told) = Running::tell(way, Limits::default(), Patient);
    let ended: Vec<_> = (0..5)
        .map(|_| {
            let stream = running.connect();
            stream.shutdown(Shutdown::Write).unwrap();
            await_told(&told, "EndOfInput");
            stream
        })
        .collect();
    let mut witness = running.connect();
    for _ in 0..20 {
        ask(&mut witness, "tick\n");
    }
    drop(ended);
    let turns = running.stop().turns;
    assert!(turns < 200, "{turns} turns for 6 connections, 5 ends and 20 lines");
}

fn the_last_answer_is_not_destroyed_by_unread_input(way: Way) {
    let (running, told) = Running::tell(way, Limits::default(), speaker);
    let mut stream = running.connect();
    stream.write_all(b"large\nfinish\n").unwrap();
    // Nobody will take these; closing over them would reset the connection.
    stream.write_all(&[b'x'; 200_000]).unwrap();
    expect(&mut stream, &pattern(LARGE));
    stream.write_all(&[b'x'; 200_000]).unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"bye");
    drop(stream);
    await_told(&told, "Closed");
}

fn a_reset_closes(way: Way) {
    let (running, told) = Running::tell(way, Limits::default(), speaker);
    let mut stream = running.connect();
    ask(&mut stream, "here\n");
    sys::abort_on_close(stream.as_fd()).unwrap();
    drop(stream);
    await_told(&told, "Closed");
    let counters = running.stop();
    assert_eq!((counters.open, counters.panics), (0, 0));
    assert!(told.try_iter().all(|cue| cue != "Closed"), "once");
}

fn every_kind_of_deadline_is_told(way: Way) {
    let (running, _) = Running::tell(way, Limits::default(), speaker);
    let mut stream = running.connect();
    for kind in ["after\n", "idle\n", "at\n"] {
        stream.write_all(kind.as_bytes()).unwrap();
        expect(&mut stream, b"late\n");
        ask(&mut stream, "once\n");
    }
}

fn a_deadline_waits_until_the_outbox_is_empty(way: Way) {
    let (running, told) = Running::tell(way, Limits::default(), speaker);
    let mut stream = running.connect();
    sys::set_buffers(stream.as_fd(), 64 * 1024).unwrap();
    stream.write_all(b"after\nlarge\nlarge\nlarge\nlarge\n").unwrap();
    let mut other = running.connect();
    for _ in 0..20 {
        other.write_all(b"after\n").unwrap();
        expect(&mut other, b"late\n");
    }
    assert_eq!(told.try_iter().filter(|cue| cue == "DeadlinePassed").count(), 20, "none of them was the first's");
    for _ in 0..4 {
        expect(&mut stream, &pattern(LARGE));
    }
    expect(&mut stream, b"late\n");
}

fn a_peer_that_takes_nothing_is_closed(way: Way) {
    let limits = Limits { send_timeout: Duration::from_millis(50), ..Limits::default() };
    let (running, told) = Running::tell(way, limits, speaker);
    let mut stream = running.connect();
    stream.write_all(b"large\nlarge\n").unwrap();
    await_told(&told, "Closed");
    ask(&mut running.connect(), "others live\n");
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    assert!(all.len() < 2 * LARGE);
}

/// Is woken from elsewhere, and says how often at least.
struct Sleeper(Sender<Waker>, Arc<Mutex<u32>>);

impl Protocol for Sleeper {
    fn receive(&mut self, input: &[u8], _: &mut Context<'_>) -> usize {
        input.len()
    }

    fn cue(&mut self, cue: Cue, cx: &mut Context<'_>) {
        match cue {
            Cue::Opened => self.0.send(cx.waker()).unwrap(),
            Cue::Woken => {
                let news = std::mem::take(&mut *self.1.lock().unwrap());
                cx.out().write(&news.to_be_bytes());
            }
            _ => {}
        }
    }

    fn input_max(&self) -> usize {
        1
    }
}

fn wakes_from_threads_arrive(way: Way) {
    let (give, get) = mpsc::channel();
    let news = Arc::new(Mutex::new(0));
    let for_protocol = news.clone();
    let running = Running::start(way, Limits::default(), move || {
        move |_: SocketAddr| Box::new(Sleeper(give.clone(), for_protocol.clone())) as Box<dyn Protocol>
    });
    let mut stream = running.connect();
    let waker: Waker = get.recv().unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (waker, news) = (waker.clone(), news.clone());
            std::thread::spawn(move || {
                for _ in 0..2_500 {
                    *news.lock().unwrap() += 1;
                    waker.wake_by_ref();
                }
            })
        })
        .collect();
    let mut seen = 0;
    while seen < 10_000 {
        let mut number = [0; 4];
        stream.read_exact(&mut number).unwrap();
        seen += u32::from_be_bytes(number);
    }
    assert_eq!(seen, 10_000, "no news is lost or told twice");
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    drop(stream);
    waker.wake_by_ref(); // Its connection may be gone: nothing happens.
}

/// Sends on what a thread sends.
struct Relay(Option<tripoll::protocol::Receiver>);

impl Protocol for Relay {
    fn receive(&mut self, input: &[u8], _: &mut Context<'_>) -> usize {
        input.len()
    }

    fn cue(&mut self, cue: Cue, cx: &mut Context<'_>) {
        if cue == Cue::Opened {
            let (sender, receiver) = pipe(10_000, cx.waker());
            self.0 = Some(receiver);
            std::thread::spawn(move || {
                for n in 0..20_000u32 {
                    while sender.send(n.to_le_bytes()).is_err() {
                        std::thread::yield_now();
                    }
                }
            });
        }
        let Some(receiver) = &self.0 else { return };
        while cx.out().queued() < OUTBOX_HIGH {
            match receiver.take() {
                Taken::Bytes(bytes) => cx.out().push(Chunk::Shared(bytes)),
                Taken::Empty => return,
                Taken::Ended => return cx.finish(),
                Taken::Cut => return cx.abort(),
            }
        }
    }

    fn input_max(&self) -> usize {
        1
    }
}

fn a_pipe_from_a_thread_reaches_the_peer(way: Way) {
    let (running, _) = Running::tell(way, Limits::default(), |_| Relay(None));
    let mut stream = running.connect();
    expect(&mut stream, &pattern(80_000));
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
}

fn a_handle_stops_the_loop(way: Way) {
    let (running, told) = Running::tell(way, Limits::default(), speaker);
    let mut streams: Vec<_> = (0..3).map(|_| running.connect()).collect();
    streams.iter_mut().for_each(|stream| ask(stream, "here\n"));
    let counters = running.stop();
    assert_eq!((counters.open, counters.opened), (0, 3));
    assert_eq!(told.try_iter().filter(|cue| cue == "Closed").count(), 3, "each is told");
    for stream in &mut streams {
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    }
}

/// A loop that is turned by hand.
fn by_hand(strategy: Strategy, limits: Limits) -> (Reactor, SocketAddr) {
    let mut reactor = Reactor::new(strategy, limits).unwrap();
    let listener = TcpListener::from(sys::listen("127.0.0.1:0".parse().unwrap(), 64).unwrap());
    let address = listener.local_addr().unwrap();
    let (tell, _) = mpsc::channel();
    reactor.listen(listener, move |_: SocketAddr| Box::new(speaker(tell.clone())) as Box<dyn Protocol>).unwrap();
    (reactor, address)
}

fn a_few_are_accepted_a_turn(strategy: Strategy) {
    for accepts_max in [1, 3] {
        let limits = Limits { accepts_per_turn_max: Some(accepts_max), ..Limits::default() };
        let (mut reactor, address) = by_hand(strategy, limits);
        let _streams: Vec<_> = (0..7).map(|_| TcpStream::connect(address).unwrap()).collect();
        let mut opened = 0;
        while opened < 7 {
            reactor.turn(Some(Duration::from_secs(20))).unwrap();
            let now = reactor.counters().opened;
            assert!(now - opened <= accepts_max as u64, "{now} after {opened}");
            opened = now;
        }
    }
}

/// Where a wait goes through all that is watched, a crowd that comes at once would pay for one each.
fn more_are_accepted_a_turn_where_a_wait_goes_through_many(strategy: Strategy) {
    let (idle, _peer) = UnixStream::pair().unwrap();
    idle.set_nonblocking(true).unwrap();
    let goes_through_all = !matches!(strategy, Strategy::Epoll { .. });
    for (accepts_per_turn_max, watched, want) in
        [(None, 120, 1), (None, 260, if goes_through_all { 3 } else { 1 }), (Some(2), 260, 2)]
    {
        let limits = Limits { accepts_per_turn_max, ..Limits::default() };
        let (mut reactor, address) = by_hand(strategy, limits);
        let (tell, _) = mpsc::channel();
        for _ in 0..watched {
            reactor.adopt(idle.try_clone().unwrap(), Box::new(speaker(tell.clone()))).unwrap();
        }
        // The edge trigger tells of each once, some at a time, that there is room to write.
        (0..4).for_each(|_| reactor.turn(Some(Duration::ZERO)).unwrap());
        let _streams: Vec<_> = (0..7).map(|_| TcpStream::connect(address).unwrap()).collect();
        reactor.turn(Some(Duration::from_secs(20))).unwrap();
        assert_eq!(reactor.counters().opened, want, "{watched} watched");
    }
}

fn past_the_maximum_the_newest_is_refused(way: Way) {
    let (running, _) = Running::tell(way, Limits { connections_max: 2, ..Limits::default() }, speaker);
    let mut first = running.connect();
    ask(&mut first, "first\n");
    let mut second = running.connect();
    ask(&mut second, "second\n");
    let mut third = running.connect();
    assert_eq!(third.read(&mut [0; 1]).unwrap(), 0, "none of the others is idle");
    ask(&mut first, "first\n");
    first.write_all(b"finish\n").unwrap();
    let mut bye = String::new();
    first.read_to_string(&mut bye).unwrap();
    drop(first);
    ask(&mut second, "second\n");
    // The place is free when the first's end was seen, which is not to be seen from here.
    let is_served = (0..1_000).any(|_| {
        let mut third = running.connect();
        third.write_all(b"third\n").is_ok() && third.read_exact(&mut [0; 6]).is_ok()
    });
    assert!(is_served);
    assert_eq!(running.stop().panics, 0);
}

fn past_the_maximum_who_is_idle_longest_gives_way(way: Way) {
    let (running, told) = Running::tell(way, Limits { connections_max: 3, ..Limits::default() }, speaker);
    let mut busy = running.connect();
    ask(&mut busy, "busy\n");
    let mut long = running.connect();
    long.write_all(b"rest\n").unwrap();
    ask(&mut long, "long\n");
    let mut short = running.connect();
    short.write_all(b"rest\n").unwrap();
    ask(&mut short, "short\n");
    let mut new = running.connect();
    ask(&mut new, "new\n");
    await_told(&told, "Closed");
    assert_eq!(long.read(&mut [0; 1]).unwrap(), 0);
    ask(&mut busy, "busy\n");
    ask(&mut short, "short\n");
    assert_eq!(running.stop().opened, 4);
}

fn a_panic_costs_its_own_connection(way: Way) {
    let (running, told) = Running::tell(way, Limits::default(), speaker);
    let mut other = running.connect();
    ask(&mut other, "before\n");
    let mut stream = running.connect();
    stream.write_all(b"panic\n").unwrap();
    await_told(&told, "Closed");
    ask(&mut other, "afterwards\n");
    assert_eq!(running.stop().panics, 1);
}

/// Not even its end is sound: a lock that it asks for is poisoned, say.
struct Fragile(Speaker);

impl Protocol for Fragile {
    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        self.0.receive(input, cx)
    }

    fn cue(&mut self, cue: Cue, cx: &mut Context<'_>) {
        self.0.cue(cue, cx);
    }

    fn input_max(&self) -> usize {
        self.0.input_max()
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        let _ = self.0.told.send("dropped".into());
        std::panic::resume_unwind(Box::new("as asked"));
    }
}

fn a_panic_while_a_protocol_is_dropped_costs_nobody_else(way: Way) {
    let (running, told) = Running::tell(way, Limits::default(), |told| Fragile(speaker(told)));
    let mut other = running.connect();
    for _ in 0..3 {
        let mut stream = running.connect();
        ask(&mut stream, "mine\n");
        drop(stream);
        await_told(&told, "dropped");
        ask(&mut other, "afterwards\n");
    }
    drop(other);
    await_told(&told, "dropped");
    let counters = running.stop();
    assert_eq!((counters.open, counters.panics), (0, 4));
}

/// The outbox is the loop's own, lent to one connection after the other.
fn a_half_written_outbox_is_not_the_next_ones(way: Way) {
    let (running, told) = Running::tell(way, Limits::default(), speaker);
    let mut other = running.connect();
    for _ in 0..5 {
        let mut stream = running.connect();
        stream.write_all(b"panic\n").unwrap();
        await_told(&told, "Closed");
        ask(&mut other, "mine alone\n");
    }
}

/// A loop that answers `file` with a file of that many bytes, and the file's folder.
fn with_file(way: Way, length: usize) -> (Running, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, pattern(length)).unwrap();
    let file = File::open(&path).unwrap();
    let metadata = file.metadata().unwrap();
    let file = Arc::new(OpenFile::new(file, &metadata));
    let (running, _) = Running::tell(way, Limits::default(), move |told| Speaker { told, file: Some(file.clone()) });
    (running, folder)
}

const FILE: usize = 12_000_000;

/// The first bytes of the answer; much of the file is not sent yet, since nobody reads.
fn begin_file(running: &Running) -> (TcpStream, Vec<u8>) {
    let mut stream = running.connect();
    sys::set_buffers(stream.as_fd(), 64 * 1024).unwrap();
    stream.write_all(b"file\nend\n").unwrap();
    let mut begun = vec![0; 1000];
    stream.read_exact(&mut begun).unwrap();
    (stream, begun)
}

fn rest(mut stream: TcpStream, mut begun: Vec<u8>) -> Vec<u8> {
    // A connection that is cut may end by a reset.
    let _ = stream.read_to_end(&mut begun);
    begun
}

fn a_file_arrives_whole(way: Way) {
    for length in [0, 1, 65_536, FILE] {
        let (running, _folder) = with_file(way, length);
        let mut stream = running.connect();
        stream.write_all(b"head\nfile\nend\n").unwrap();
        expect(&mut stream, &[b"head\n", pattern(length).as_slice(), b"end\n"].concat());
    }
}

fn a_file_that_shrinks_is_cut_short(way: Way) {
    let (running, folder) = with_file(way, FILE);
    let (stream, begun) = begin_file(&running);
    File::options().write(true).open(folder.path().join("file")).unwrap().set_len(FILE as u64 / 2).unwrap();
    let all = rest(stream, begun);
    assert!(all.len() <= FILE / 2, "{} bytes", all.len());
    assert!(all == pattern(FILE)[..all.len()], "nothing is padded");
}

fn a_file_that_is_rewritten_is_cut_short(way: Way) {
    let (running, folder) = with_file(way, FILE);
    let (stream, begun) = begin_file(&running);
    std::fs::write(folder.path().join("file"), vec![0; FILE]).unwrap();
    let all = rest(stream, begun);
    assert!(
        all.len() < FILE,
        "{} bytes: what is no longer the file that was promised is not sent to its end",
        all.len()
    );
}

fn a_file_whose_name_or_mode_changes_arrives_whole(way: Way) {
    type Act = fn(&std::path::Path);
    let acts: [Act; 4] = [
        |folder| {
            std::fs::write(folder.join("new"), "new").unwrap();
            std::fs::rename(folder.join("new"), folder.join("file")).unwrap();
        },
        |folder| std::fs::remove_file(folder.join("file")).unwrap(),
        |folder| std::fs::rename(folder.join("file"), folder.join("elsewhere")).unwrap(),
        |folder| std::fs::set_permissions(folder.join("file"), Permissions::from_mode(0o000)).unwrap(),
    ];
    for act in acts {
        let (running, folder) = with_file(way, FILE);
        let (mut stream, begun) = begin_file(&running);
        act(folder.path());
        let mut left = vec![0; FILE - begun.len()];
        stream.read_exact(&mut left).unwrap();
        assert!([begun, left].concat() == pattern(FILE));
        expect(&mut stream, b"end\n");
    }
}

fn who_does_not_close_is_closed(way: Way) {
    let limits = Limits { linger_timeout: Duration::from_millis(10), ..Limits::default() };
    let (running, told) = Running::tell(way, limits, speaker);
    let mut stream = running.connect();
    stream.write_all(b"finish\n").unwrap();
    let mut bye = String::new();
    stream.read_to_string(&mut bye).unwrap();
    await_told(&told, "Closed");
    assert_eq!(bye, "bye", "all was said before");
    assert_eq!(running.stop().open, 0);
}

fn an_adopted_socket_is_served(strategy: Strategy) {
    let limits = Limits { linger_timeout: Duration::from_millis(10), ..Limits::default() };
    let mut reactor = Reactor::new(strategy, limits).unwrap();
    let (ours, mut peer) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let (tell, told) = mpsc::channel();
    reactor.adopt(ours, Box::new(speaker(tell))).unwrap();
    peer.write_all(b"hello\nfinish\n").unwrap();
    while told.try_iter().all(|cue| cue != "Closed") {
        reactor.turn(Some(Duration::from_secs(20))).unwrap();
    }
    let mut all = String::new();
    peer.read_to_string(&mut all).unwrap();
    assert_eq!(all, "hello\nbye");
}

fn connections_that_come_and_go_leave_nothing(way: Way) {
    let (running, told) = Running::tell(way, Limits::default(), speaker);
    for n in 0..300 {
        let mut stream = running.connect();
        match n % 3 {
            0 => ask(&mut stream, "a line\n"),
            1 => stream.write_all(b"half").unwrap(),
            _ => sys::abort_on_close(stream.as_fd()).unwrap(),
        }
    }
    // Connections that are reset before they are accepted are seen too: Linux accepts them, and the first read tells.
    let mut closed = 0;
    while closed < 300 {
        closed += u32::from(told.recv_timeout(Duration::from_secs(20)).unwrap() == "Closed");
    }
    let counters = running.stop();
    assert_eq!((counters.open, counters.opened, counters.panics), (0, 300, 0));
}

const MINUTE: Duration = Duration::from_secs(60);

/// The real kernel, with a clock that stands until a test moves it, and accept(2) with the error that a test asks for.
struct Clocked {
    linux: Linux,
    began: Instant,
    moved: Rc<Cell<Duration>>,
    /// What the clock on the wall shows, in time since 1970.
    wall: Rc<Cell<Duration>>,
    accept_error: Rc<Cell<Option<i32>>>,
}

impl Kernel for Clocked {
    fn accept(&mut self, listener: BorrowedFd<'_>) -> std::io::Result<(OwnedFd, SocketAddr)> {
        match self.accept_error.get() {
            Some(number) => Err(std::io::Error::from_raw_os_error(number)),
            None => self.linux.accept(listener),
        }
    }
    fn receive(&mut self, socket: BorrowedFd<'_>, into: &mut [u8]) -> std::io::Result<usize> {
        self.linux.receive(socket, into)
    }
    fn send(&mut self, socket: BorrowedFd<'_>, bytes: &[u8], more: bool) -> std::io::Result<usize> {
        self.linux.send(socket, bytes, more)
    }
    fn send_file(&mut self, socket: BorrowedFd<'_>, file: &File, offset: u64, length: usize) -> std::io::Result<usize> {
        self.linux.send_file(socket, file, offset, length)
    }
    fn shutdown_write(&mut self, socket: BorrowedFd<'_>) -> std::io::Result<()> {
        self.linux.shutdown_write(socket)
    }
    fn unacknowledged(&mut self, socket: BorrowedFd<'_>) -> Option<u64> {
        self.linux.unacknowledged(socket)
    }
    fn monotonic(&mut self) -> Instant {
        self.began + self.moved.get()
    }
    fn wall(&mut self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.wall.get()
    }
    fn calls(&self) -> Calls {
        self.linux.calls()
    }
}

/// A loop that is turned by hand, on a clock that is moved by hand, with one connection over small socket buffers.
struct ByHand {
    reactor: Reactor<Clocked>,
    moved: Rc<Cell<Duration>>,
    wall: Rc<Cell<Duration>>,
    accept_error: Rc<Cell<Option<i32>>>,
    peer: UnixStream,
    told: Receiver<String>,
}

impl ByHand {
    fn new(strategy: Strategy, limits: Limits) -> ByHand {
        let (moved, wall): (Rc<Cell<Duration>>, Rc<Cell<Duration>>) = Default::default();
        let accept_error = Rc::new(Cell::new(None));
        let (linux, began) = (Linux::default(), Instant::now());
        let kernel =
            Clocked { linux, began, moved: moved.clone(), wall: wall.clone(), accept_error: accept_error.clone() };
        let mut reactor = Reactor::with_kernel(kernel, strategy.open().unwrap(), limits).unwrap();
        let (ours, peer) = UnixStream::pair().unwrap();
        sys::set_buffers(ours.as_fd(), 4096).unwrap();
        for end in [&ours, &peer] {
            end.set_nonblocking(true).unwrap();
        }
        let (tell, told) = mpsc::channel();
        reactor.adopt(ours, Box::new(speaker(tell))).unwrap();
        let mut by_hand = ByHand { reactor, moved, wall, accept_error, peer, told };
        by_hand.settle();
        by_hand
    }

    /// Turns until a few turns in a row had nothing to do: a Unix socket has no way on which something could still be.
    fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..10_000 {
            let before = self.reactor.counters().poller.ready;
            self.reactor.turn(Some(Duration::ZERO)).unwrap();
            quiet = if self.reactor.counters().poller.ready == before { quiet + 1 } else { 0 };
            if quiet == 4 {
                return;
            }
        }
        panic!("the loop spins");
    }

    /// Turns that wait a little for what comes over TCP.
    fn turn_thrice(&mut self) {
        for _ in 0..3 {
            self.reactor.turn(Some(Duration::from_millis(20))).unwrap();
        }
    }

    fn say(&mut self, line: &str) {
        self.peer.write_all(line.as_bytes()).unwrap();
        self.settle();
    }

    fn move_clock(&mut self, by: Duration) {
        self.moved.set(self.moved.get() + by);
        self.settle();
    }

    /// Up to `most` bytes of what came.
    fn take(&mut self, most: usize) -> Vec<u8> {
        let mut all = Vec::new();
        let mut buffer = vec![0; most];
        while all.len() < most {
            match self.peer.read(&mut buffer[..most - all.len()]) {
                Ok(0) => break,
                Ok(count) => all.extend_from_slice(&buffer[..count]),
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                    let before = self.reactor.counters().calls.send;
                    self.settle();
                    if self.reactor.counters().calls.send == before {
                        break;
                    }
                }
            }
        }
        all
    }
}

/// That the edge trigger is told of what was exhausted: else it would report it for ever.
fn what_was_read_to_its_end_is_quiet(strategy: Strategy) {
    let mut by_hand = ByHand::new(strategy, Limits::default());
    for _ in 0..3 {
        by_hand.say("line\n");
        assert_eq!(by_hand.take(100), b"line\n");
    }
}

fn what_blocks_is_quiet_until_there_is_room(strategy: Strategy) {
    let mut by_hand = ByHand::new(strategy, Limits::default());
    for amount in ["medium\n", "large\n"] {
        by_hand.say(amount);
        by_hand.say("end\n");
        let length = if amount == "large\n" { LARGE } else { 60_000 };
        assert!(by_hand.take(length) == pattern(length), "{amount}");
        assert_eq!(by_hand.take(100), b"end\n");
    }
}

fn a_peer_that_sips_is_not_closed(strategy: Strategy) {
    let mut by_hand =
        ByHand::new(strategy, Limits { send_timeout: MINUTE, send_rate_min: MinRate::NONE, ..Limits::default() });
    by_hand.say("large\n");
    let mut all = Vec::new();
    for _ in 0..10 {
        by_hand.move_clock(MINUTE * 2 / 3);
        all.extend(by_hand.take(50_000));
        by_hand.settle();
    }
    assert!(all == pattern(500_000), "{} bytes", all.len());
    by_hand.move_clock(MINUTE - Duration::from_nanos(1));
    assert!(by_hand.told.try_iter().all(|cue| cue != "Closed"), "not before its time");
    // What it took of what the kernel had is seen when its time is looked at, and may be as old as that.
    by_hand.move_clock(Duration::from_nanos(1));
    by_hand.move_clock(MINUTE);
    assert!(by_hand.told.try_iter().any(|cue| cue == "Closed"), "who takes nothing for the whole of it is closed");
}

fn a_change_of_the_clock_on_the_wall_moves_no_deadline(strategy: Strategy) {
    let mut by_hand = ByHand::new(strategy, Limits::default());
    by_hand.say("in a minute\n");
    let passed = |by_hand: &ByHand| by_hand.told.try_iter().any(|cue| cue == "DeadlinePassed");
    for years in [30, 0, 50] {
        by_hand.wall.set(365 * 24 * 60 * MINUTE * years);
        by_hand.settle();
        assert!(!passed(&by_hand), "the year is {}", 1970 + years);
    }
    by_hand.wall.set(Duration::ZERO);
    by_hand.move_clock(MINUTE);
    assert!(passed(&by_hand), "the clock that only goes forward says so");
}

fn a_deadline_set_before_the_outbox_filled_begins_when_it_is_empty(strategy: Strategy) {
    for amount in ["large\n", "medium\n"] {
        let mut by_hand = ByHand::new(
            strategy,
            Limits { send_timeout: 10 * MINUTE, send_rate_min: MinRate::NONE, ..Limits::default() },
        );
        by_hand.say("in a minute\n");
        by_hand.say(amount);
        by_hand.move_clock(2 * MINUTE);
        assert!(by_hand.told.try_iter().all(|cue| cue != "DeadlinePassed"), "while bytes wait for the peer");
        by_hand.take(LARGE);
        by_hand.move_clock(MINUTE - Duration::from_nanos(1));
        assert!(by_hand.told.try_iter().all(|cue| cue != "DeadlinePassed"), "{amount}");
        by_hand.move_clock(Duration::from_nanos(1));
        assert!(by_hand.told.try_iter().any(|cue| cue == "DeadlinePassed"), "{amount}");
    }
}

/// The same loop, listening.
fn with_a_listener(strategy: Strategy) -> (ByHand, SocketAddr) {
    let mut by_hand = ByHand::new(strategy, Limits::default());
    let listener = TcpListener::from(sys::listen("127.0.0.1:0".parse().unwrap(), 64).unwrap());
    let address = listener.local_addr().unwrap();
    let (tell, _) = mpsc::channel();
    let accept = move |_: SocketAddr| Box::new(speaker(tell.clone())) as Box<dyn Protocol>;
    by_hand.reactor.listen(listener, accept).unwrap();
    (by_hand, address)
}

/// Turns until so many connections were opened in all.
#[track_caller]
fn turn_until_opened(by_hand: &mut ByHand, opened: u64) {
    for _ in 0..200 {
        if by_hand.reactor.counters().opened == opened {
            return;
        }
        by_hand.reactor.turn(Some(Duration::from_millis(50))).unwrap();
    }
    panic!("{} were opened, not {opened}", by_hand.reactor.counters().opened);
}

/// Whoever asks and does not read, or resets, costs no more than a window and a little.
fn the_kernel_is_given_little_for_who_takes_nothing(strategy: Strategy) {
    let (mut by_hand, address) = with_a_listener(strategy);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"large\n").unwrap();
    turn_until_opened(&mut by_hand, 1);
    by_hand.settle();
    let sent = by_hand.reactor.counters().sent_bytes;
    assert!((1..=512 * 1024).contains(&sent), "{sent} bytes");
    let reader = std::thread::spawn(move || expect(&mut stream, &pattern(LARGE)));
    while by_hand.reactor.counters().sent_bytes < LARGE as u64 {
        by_hand.reactor.turn(Some(MINUTE)).unwrap();
    }
    reader.join().unwrap();
}

/// A loop without descriptors, one connection and one client that waits.
fn short_of_descriptors(strategy: Strategy) -> (ByHand, [TcpStream; 2]) {
    let (mut by_hand, address) = with_a_listener(strategy);
    let first = TcpStream::connect(address).unwrap();
    turn_until_opened(&mut by_hand, 1);
    by_hand.accept_error.set(Some(24)); // EMFILE
    let second = TcpStream::connect(address).unwrap();
    by_hand.turn_thrice();
    by_hand.settle();
    by_hand.accept_error.set(None);
    by_hand.turn_thrice();
    assert_eq!(by_hand.reactor.counters().opened, 1, "it does not ask again, as long as the clock stands");
    (by_hand, [first, second])
}

fn a_listener_goes_on_as_soon_as_a_connection_ends(strategy: Strategy) {
    let (mut by_hand, [first, _second]) = short_of_descriptors(strategy);
    drop(first);
    turn_until_opened(&mut by_hand, 2);
}

fn a_timer_wakes_a_listener_that_rests(strategy: Strategy) {
    let (mut by_hand, _clients) = short_of_descriptors(strategy);
    by_hand.move_clock(MINUTE);
    turn_until_opened(&mut by_hand, 2);
}

/// accept(2) reports what the network says of who comes, too; only where descriptors or memory are wanting does closing one help.
fn an_error_of_a_new_connection_costs_no_other(strategy: Strategy) {
    // EPROTO, ENOPROTOOPT, EHOSTDOWN, ENONET, EOPNOTSUPP, ENETDOWN; and EINVAL, which is the listener's.
    let of_the_peer = [71, 92, 112, 64, 95, 100];
    for (error, rests) in of_the_peer.map(|error| (error, false)).into_iter().chain([(22, true)]) {
        let (mut by_hand, address) = with_a_listener(strategy);
        by_hand.say("rest\n"); // From now on it is idle.
        by_hand.accept_error.set(Some(error));
        let _client = TcpStream::connect(address).unwrap();
        by_hand.turn_thrice();
        by_hand.accept_error.set(None);
        if rests {
            by_hand.turn_thrice();
            assert_eq!(by_hand.reactor.counters().opened, 0, "it does not ask again, as long as the clock stands");
            by_hand.move_clock(MINUTE / 2);
        }
        turn_until_opened(&mut by_hand, 1);
        assert!(by_hand.told.try_iter().all(|cue| cue != "Closed"), "error {error}");
    }
}

/// Between the barring of the door and its closing.
const HANDSHAKE: Duration = Duration::from_millis(25);

const NO_PATIENCE: GoDown = GoDown { grace: Duration::from_secs(60), patience: Duration::ZERO };

fn a_loop_that_goes_down_finishes_what_is_in_flight(way: Way) {
    let (mut running, told) = Running::tell(way, Limits::default(), speaker);
    let mut stream = running.connect();
    stream.write_all(b"large\nlarge\nlarge\nlarge\n").unwrap();
    expect(&mut stream, &pattern(LARGE));
    running.handle.shut_down(NO_PATIENCE);
    await_told(&told, "ShuttingDown");
    assert!(TcpStream::connect(running.address).is_err(), "nobody is accepted any more");
    for _ in 0..3 {
        expect(&mut stream, &pattern(LARGE));
    }
    ask(&mut stream, "the loop lives as long as its connection\n");
    drop(stream);
    let counters = running.thread.take().unwrap().join().unwrap();
    assert_eq!((counters.open, counters.opened), (0, 1));
}

fn a_loop_that_goes_down_is_cut_off_after_its_grace(way: Way) {
    let (mut running, told) = Running::tell(way, Limits::default(), speaker);
    let mut stream = running.connect();
    ask(&mut stream, "here\n");
    running.handle.shut_down(GoDown { grace: Duration::from_millis(20), patience: Duration::from_secs(60) });
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    await_told(&told, "Closed");
    running.thread.take().unwrap().join().unwrap();
}

fn a_loop_that_goes_down_tells_once_more_when_its_patience_ends(way: Way) {
    let (mut running, told) = Running::tell(way, Limits::default(), speaker);
    let mut stream = running.connect();
    ask(&mut stream, "here\n");
    running.handle.shut_down(GoDown { grace: Duration::from_secs(3600), patience: Duration::from_millis(20) });
    await_told(&told, "ShuttingDown");
    await_told(&told, "ShuttingDown");
    drop(stream);
    running.thread.take().unwrap().join().unwrap();
}

fn who_waits_in_the_backlog_of_a_loop_that_goes_down_is_served(strategy: Strategy) {
    let (mut reactor, address) = by_hand(strategy, Limits::default());
    let mut streams: Vec<_> = (0..5).map(|_| TcpStream::connect(address).unwrap()).collect();
    streams.iter_mut().for_each(|stream| stream.write_all(b"line\n").unwrap());
    reactor.handle().shut_down(NO_PATIENCE);
    let clients = std::thread::spawn(move || streams.iter_mut().for_each(|stream| expect(stream, b"line\n")));
    reactor.run().unwrap();
    clients.join().unwrap();
    assert_eq!(reactor.counters().opened, 5);
}

fn a_loop_that_goes_down_is_patient_first(strategy: Strategy) {
    let mut by_hand = ByHand::new(strategy, Limits::default());
    let listener = TcpListener::from(sys::listen("127.0.0.1:0".parse().unwrap(), 64).unwrap());
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel();
    let accept = move |_: SocketAddr| Box::new(speaker(tell.clone())) as Box<dyn Protocol>;
    by_hand.reactor.listen(listener, accept).unwrap();
    let _client = TcpStream::connect(address).unwrap();
    turn_until_opened(&mut by_hand, 1);
    let count = |told: &Receiver<String>| told.try_iter().filter(|cue| cue == "ShuttingDown").count();
    by_hand.reactor.handle().shut_down(GoDown { grace: 2 * MINUTE, patience: MINUTE });
    by_hand.settle();
    assert_eq!(count(&told), 0, "those who were let in arrive");
    by_hand.move_clock(HANDSHAKE);
    assert_eq!(count(&told), 1, "one thing more");
    by_hand.move_clock(MINUTE - HANDSHAKE - Duration::from_nanos(1));
    assert_eq!(count(&told), 0);
    by_hand.move_clock(Duration::from_nanos(1));
    assert_eq!(count(&told), 1, "nothing more");
    by_hand.reactor.handle().shut_down(GoDown { grace: Duration::MAX, patience: Duration::MAX });
    by_hand.settle();
    by_hand.move_clock(2 * MINUTE);
    assert_eq!(count(&told), 0, "asked again it awaits the new times");
    by_hand.reactor.handle().shut_down(NO_PATIENCE);
    by_hand.settle();
    assert_eq!(count(&told), 1, "and does not begin anew");
}

/// A client past `--select-limit` is told, once, and the others go on.
#[test]
fn a_client_that_can_not_be_watched_is_told() {
    [Model::Reactor, Model::Coroutines].into_iter().for_each(past_the_select_limit);
}

fn past_the_select_limit(model: Model) {
    struct Refusing(Told);
    impl Accept for Refusing {
        fn protocol(&mut self, _: SocketAddr) -> Box<dyn Protocol> {
            Box::new(speaker(self.0.clone()))
        }
        fn refusal(&mut self, _: tripoll::protocol::Now) -> Vec<u8> {
            b"too many\n".to_vec()
        }
    }
    // The limit is found by trying: descriptors of tests that run beside this one take numbers too.
    let (tell, _told) = mpsc::channel();
    let probe = File::open("/dev/null").unwrap();
    let limit = std::os::fd::AsRawFd::as_raw_fd(&probe) + 40;
    let mut reactor = reactor(Way { model, strategy: Strategy::Select { limit: Some(limit) } }, Limits::default());
    let listener = TcpListener::from(sys::listen("127.0.0.1:0".parse().unwrap(), 256).unwrap());
    let address = listener.local_addr().unwrap();
    reactor.listen(listener, Refusing(tell)).unwrap();
    let notices = Arc::new(Mutex::new(Vec::new()));
    let noted = notices.clone();
    reactor.on_notice(move |notice: &Notice| noted.lock().unwrap().push(notice.to_string()));
    let handle = reactor.handle();
    let clients = std::thread::spawn(move || {
        let mut first = TcpStream::connect(address).unwrap();
        ask(&mut first, "served\n");
        let (mut served, mut refused) = (vec![first], 0);
        while refused < 3 {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"line\n").unwrap();
            let mut answer = Vec::new();
            let mut buffer = [0; 64];
            while !answer.ends_with(b"\n") {
                let count = stream.read(&mut buffer).unwrap();
                assert!(count > 0, "closed after {answer:?}");
                answer.extend_from_slice(&buffer[..count]);
            }
            match answer.as_slice() {
                b"line\n" => served.push(stream),
                b"too many\n" => {
                    assert_eq!(stream.read(&mut buffer).unwrap(), 0, "and closed in order");
                    refused += 1;
                }
                other => panic!("{:?}", other.escape_ascii().to_string()),
            }
            assert!(served.len() < 200, "the limit never came");
        }
        for stream in &mut served {
            ask(stream, "still served\n");
        }
        handle.stop();
    });
    reactor.run().unwrap();
    clients.join().unwrap();
    let notices = notices.lock().unwrap();
    assert_eq!(notices.len(), 1, "told once, not at every client: {notices:?}");
    assert!(notices[0].contains("--select-limit"), "{notices:?}");
}

#[test]
fn the_echo_example_is_short() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/echo.rs")).unwrap();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count();
    assert!(lines <= 60, "{lines} lines of code");
}
