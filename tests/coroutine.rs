//! Coroutines under every strategy: who waits, who is woken, who goes on.

mod backends;

use backends::on_every_backend;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::future::{pending, poll_fn};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, SocketAddrV4, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::mpsc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tripoll::coroutine::{
    self, Closed, Failed, JoinHandle, Listener, Stream, TimedOut, TrySendError, channel, join_all, sleep, spawn,
    timeout, yield_now,
};
use tripoll::poller::Strategy;
use tripoll::protocol::{Taken, pipe};
use tripoll::sys;

on_every_backend! {
    sleeps_end_in_the_order_of_their_ends,
    tasks_are_resumed_in_the_order_in_which_they_were_woken,
    a_hundred_thousand_sleep_at_once,
    a_sleep_that_is_dropped_wakes_nobody_early,
    what_is_joined_comes_in_its_order,
    who_is_late_is_not_waited_for_and_goes_on,
    a_task_that_panics_ends_alone,
    a_destructor_that_panics_ends_its_task_alone,
    a_panic_of_main_is_passed_on,
    a_task_that_is_cancelled_lets_go_of_what_it_has,
    a_task_may_cancel_itself,
    when_main_is_done_the_others_are_dropped,
    what_main_returns_may_be_used_after_it,
    many_are_served_at_once,
    several_may_accept_from_one_listener,
    one_task_reads_while_another_writes,
    a_large_answer_arrives_whole_through_small_buffers,
    bytes_before_the_end_are_read_before_it,
    a_read_that_timed_out_took_nothing,
    who_gave_up_does_not_stand_in_the_way_of_who_waits,
    who_is_refused_is_told,
    what_nobody_waits_for_does_not_make_it_spin,
    who_never_waits_leaves_others_their_turn,
    a_full_channel_holds_its_senders_up,
    a_sender_that_gives_up_passes_its_place_on,
    a_channel_ends_with_its_last_sender,
    nobody_sends_to_a_receiver_that_is_gone,
    values_from_threads_arrive,
    bytes_of_a_pipe_from_a_thread_arrive,
    a_run_within_a_run_is_refused,
}

/// As long as a test must not last, where it needs a time that does not pass.
const EVER: Duration = Duration::from_secs(600);

const MS: Duration = Duration::from_millis(1);

fn run<T: 'static>(strategy: Strategy, main: impl Future<Output = T> + 'static) -> T {
    coroutine::run(strategy, main).unwrap()
}

/// A stream, and the peer's end of it, which blocks.
fn pair() -> (Stream, UnixStream) {
    let (stream, peer) = UnixStream::pair().unwrap();
    (stream.try_into().unwrap(), peer)
}

/// Two streams that are each other's peer.
fn streams() -> (Stream, Stream) {
    let (stream, peer) = pair();
    (stream, peer.try_into().unwrap())
}

async fn read_exact(stream: &Stream, count: usize) -> Vec<u8> {
    let (mut bytes, mut at) = (vec![0; count], 0);
    while at < count {
        match stream.read(&mut bytes[at..]).await.unwrap() {
            0 => panic!("the end after {at} bytes of {count}"),
            more => at += more,
        }
    }
    bytes
}

/// Ends without a word on stderr.
fn panic_quietly(text: &'static str) -> ! {
    resume_unwind(Box::new(text))
}

/// Says when it is dropped.
struct Dropped(Rc<Cell<bool>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

fn v4(address: SocketAddr) -> SocketAddrV4 {
    let SocketAddr::V4(address) = address else { panic!("{address} is not IPv4") };
    address
}

fn sleeps_end_in_the_order_of_their_ends(strategy: Strategy) {
    let ended = Rc::new(RefCell::new(Vec::new()));
    let ends = ended.clone();
    run(strategy, async move {
        let mut tasks: Vec<_> = [30, 10, 20, 0, 10]
            .into_iter()
            .map(|ms| {
                let ends = ends.clone();
                spawn(async move {
                    let end = Instant::now() + MS * ms;
                    sleep(MS * ms).await;
                    assert!(Instant::now() >= end, "never early");
                    ends.borrow_mut().push(end);
                })
            })
            .collect();
        assert!(join_all(&mut tasks, None).await.iter().all(|result| matches!(result, Some(Ok(())))));
    });
    assert_eq!(ended.borrow().len(), 5);
    assert!(ended.borrow().is_sorted(), "{:?}", ended.borrow());
}

fn tasks_are_resumed_in_the_order_in_which_they_were_woken(strategy: Strategy) {
    let said = Rc::new(RefCell::new(String::new()));
    let tells = said.clone();
    run(strategy, async move {
        let mut tasks: Vec<_> = ["a", "b", "c"]
            .into_iter()
            .map(|name| {
                let tells = tells.clone();
                spawn(async move {
                    for _ in 0..3 {
                        tells.borrow_mut().push_str(name);
                        yield_now().await;
                    }
                })
            })
            .collect();
        join_all(&mut tasks, None).await;
    });
    assert_eq!(*said.borrow(), "abcabcabc");
}

fn a_hundred_thousand_sleep_at_once(strategy: Strategy) {
    let asleep = Rc::new(Cell::new(0));
    let most = Rc::new(Cell::new(0));
    let (sleeper, seen) = (asleep.clone(), most.clone());
    let sum: usize = run(strategy, async move {
        let mut tasks: Vec<_> = (0..100_000)
            .map(|number| {
                let (asleep, most) = (sleeper.clone(), seen.clone());
                spawn(async move {
                    asleep.set(asleep.get() + 1);
                    most.set(most.get().max(asleep.get()));
                    // Each lasts until all have begun, since one that is done goes on only when the executor has looked at the clock.
                    while most.get() < 100_000 {
                        sleep(MS * (1 + number % 50)).await;
                    }
                    asleep.set(asleep.get() - 1);
                    number as usize
                })
            })
            .collect();
        join_all(&mut tasks, None).await.into_iter().map(|result| result.unwrap().unwrap()).sum()
    });
    assert_eq!((sum, most.get(), asleep.get()), (100_000 * 99_999 / 2, 100_000, 0));
}

fn a_sleep_that_is_dropped_wakes_nobody_early(strategy: Strategy) {
    run(strategy, async {
        for _ in 0..100 {
            assert_eq!(timeout(EVER, async { 5 }).await, Ok(5));
        }
        let long = sleep(MS * 20);
        drop(sleep(MS)); // Its place is the next one's.
        let (begun, next) = (Instant::now(), sleep(MS * 5));
        next.await;
        assert!(begun.elapsed() >= MS * 5);
        long.await;
    });
}

fn what_is_joined_comes_in_its_order(strategy: Strategy) {
    run(strategy, async {
        let mut tasks: Vec<JoinHandle<u32>> = [3, 1, 2]
            .into_iter()
            .map(|number| {
                spawn(async move {
                    sleep(MS * number).await;
                    number
                })
            })
            .collect();
        let brought: Vec<_> =
            join_all(&mut tasks, Some(EVER)).await.into_iter().map(|it| it.unwrap().unwrap()).collect();
        assert_eq!(brought, [3, 1, 2]);
        assert!(join_all(&mut tasks, None).await.iter().all(Option::is_none), "taken before");
        assert!(join_all::<()>(&mut [], None).await.is_empty());
    });
}

fn who_is_late_is_not_waited_for_and_goes_on(strategy: Strategy) {
    run(strategy, async {
        let (go, mut gone) = channel(1);
        let late = spawn(async move { gone.recv().await.unwrap() });
        let mut tasks = [late, spawn(async { "quick" }), spawn(async { "too" })];
        let brought = join_all(&mut tasks, Some(MS)).await;
        assert!(matches!(brought[..], [None, Some(Ok("quick")), Some(Ok("too"))]), "{brought:?}");
        go.send("late").await.unwrap();
        let [late, ..] = tasks;
        assert_eq!(late.await.unwrap(), "late");
    });
}

fn a_task_that_panics_ends_alone(strategy: Strategy) {
    run(strategy, async {
        let (tell, mut told) = channel(1);
        let other = spawn(async move { told.recv().await });
        let panics: JoinHandle<()> = spawn(async {
            sleep(MS).await;
            panic_quietly("as asked");
        });
        let failed = panics.await.unwrap_err();
        assert!(matches!(failed, Failed::Panicked(_)));
        assert_eq!(failed.to_string(), "the task panicked: as asked");
        drop(spawn(async { panic_quietly("nobody listens") }));
        sleep(MS).await;
        tell.send("still here").await.unwrap();
        assert_eq!(other.await.unwrap(), Some("still here"));
    });
}

fn a_destructor_that_panics_ends_its_task_alone(strategy: Strategy) {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic_quietly("in a destructor");
        }
    }
    run(strategy, async {
        let ends: JoinHandle<()> = spawn(async { drop(Bad) });
        assert_eq!(ends.await.unwrap_err().to_string(), "the task panicked: in a destructor");
        let waits: JoinHandle<()> = spawn(async {
            let _bad = Bad;
            pending().await
        });
        yield_now().await;
        waits.cancel();
        assert!(matches!(waits.await, Err(Failed::Cancelled)));
        drop(spawn(async {
            let _bad = Bad; // Dropped when main is done.
            pending::<()>().await;
        }));
        yield_now().await;
    });
}

fn a_panic_of_main_is_passed_on(strategy: Strategy) {
    let is_dropped = Rc::new(Cell::new(false));
    let dropped = Dropped(is_dropped.clone());
    let result = catch_unwind(AssertUnwindSafe(|| {
        coroutine::run(strategy, async {
            spawn(async move {
                let _dropped = dropped;
                pending::<()>().await;
            });
            yield_now().await;
            panic_quietly("main");
        })
    }));
    assert_eq!(result.unwrap_err().downcast_ref(), Some(&"main"));
    assert!(is_dropped.get());
    assert_eq!(run(strategy, async { 1 }), 1, "the thread may run another");
}

fn a_task_that_is_cancelled_lets_go_of_what_it_has(strategy: Strategy) {
    run(strategy, async {
        let (stream, mut peer) = pair();
        let task = spawn(async move { stream.read(&mut [0]).await.unwrap() });
        yield_now().await;
        task.cancel();
        assert!(task.is_finished());
        assert_eq!(peer.read(&mut [0]).unwrap(), 0, "it was closed");
        assert!(matches!(task.await, Err(Failed::Cancelled)));
        let done = spawn(async { 7 });
        yield_now().await;
        done.cancel();
        assert_eq!(done.await.unwrap(), 7, "what is done is done");
    });
}

fn a_task_may_cancel_itself(strategy: Strategy) {
    run(strategy, async {
        let is_dropped = Rc::new(Cell::new(false));
        let dropped = Dropped(is_dropped.clone());
        let own: Rc<RefCell<Option<JoinHandle<()>>>> = Rc::default();
        let mine = own.clone();
        let task = spawn(async move {
            let _dropped = dropped;
            mine.borrow().as_ref().unwrap().cancel();
            yield_now().await;
            unreachable!("it goes as far as it does not wait");
        });
        own.replace(Some(task));
        yield_now().await;
        assert!(is_dropped.get());
        assert!(matches!(own.take().unwrap().await, Err(Failed::Cancelled)));
    });
}

fn when_main_is_done_the_others_are_dropped(strategy: Strategy) {
    let is_dropped = Rc::new(Cell::new(false));
    let dropped = Dropped(is_dropped.clone());
    let mut peer = run(strategy, async {
        let (stream, peer) = pair();
        spawn(async move {
            let _dropped = dropped;
            stream.read(&mut [0]).await.unwrap();
        });
        yield_now().await;
        peer
    });
    assert!(is_dropped.get());
    assert_eq!(peer.read(&mut [0]).unwrap(), 0, "its descriptor is closed");
}

fn what_main_returns_may_be_used_after_it(strategy: Strategy) {
    let (stream, mut peer, handle) = run(strategy, async {
        let (stream, peer) = pair();
        (stream, peer, spawn(pending::<()>()))
    });
    assert!(handle.is_finished(), "it was dropped");
    handle.cancel();
    stream.shutdown_write().unwrap();
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
}

async fn echo(stream: Stream) {
    let mut bytes = [0; 100];
    loop {
        match stream.read(&mut bytes).await.unwrap() {
            0 => return,
            count => stream.write_all(&bytes[..count]).await.unwrap(),
        }
    }
}

fn many_are_served_at_once(strategy: Strategy) {
    run(strategy, async {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr();
        spawn(async move {
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                assert!(peer.ip().is_loopback());
                spawn(echo(stream));
            }
        });
        let (arrive, mut arrived) = channel(1);
        let mut clients: Vec<_> = (0..100)
            .map(|number: u32| {
                let arrive = arrive.clone();
                spawn(async move {
                    let stream = Stream::connect(v4(address)).await.unwrap();
                    let said = number.to_be_bytes();
                    stream.write_all(&said).await.unwrap();
                    assert_eq!(read_exact(&stream, 4).await, said);
                    arrive.send(()).await.unwrap();
                    stream.write_all(b"again").await.unwrap();
                    assert_eq!(read_exact(&stream, 5).await, b"again");
                    stream // Open until all were served.
                })
            })
            .collect();
        for _ in 0..100 {
            arrived.recv().await.unwrap();
        }
        assert!(join_all(&mut clients, None).await.iter().all(|result| matches!(result, Some(Ok(_)))));
    });
}

fn several_may_accept_from_one_listener(strategy: Strategy) {
    run(strategy, async {
        let listener = Rc::new(Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap());
        let address = listener.local_addr();
        let mut pool: Vec<_> = (0..4)
            .map(|_| {
                let listener = listener.clone();
                spawn(async move { listener.accept().await.unwrap().1 })
            })
            .collect();
        yield_now().await;
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(Stream::connect(v4(address)).await.unwrap());
        }
        let peers: HashSet<_> =
            join_all(&mut pool, None).await.into_iter().map(|peer| peer.unwrap().unwrap()).collect();
        assert_eq!(peers.len(), 4, "each took one");
    });
}

fn one_task_reads_while_another_writes(strategy: Strategy) {
    run(strategy, async {
        let (stream, other) = streams();
        let stream = Rc::new(stream);
        let reads = stream.clone();
        let reader = spawn(async move { read_exact(&reads, 5).await });
        yield_now().await; // It waits.
        sys::set_buffers(stream.as_fd(), 1).unwrap();
        let writes = stream.clone();
        let writer = spawn(async move { writes.write_all(&[b'x'; 1 << 20]).await.unwrap() });
        yield_now().await; // It waits too.
        other.write_all(b"hello").await.unwrap();
        assert_eq!(reader.await.unwrap(), b"hello");
        assert!(!writer.is_finished());
        assert_eq!(read_exact(&other, 1 << 20).await, vec![b'x'; 1 << 20]);
        writer.await.unwrap();
    });
}

fn a_large_answer_arrives_whole_through_small_buffers(strategy: Strategy) {
    let sent: Vec<u8> = (0..3_000_000u32).map(|number| (number % 251) as u8).collect();
    let (want, told) = (sent.clone(), mpsc::channel());
    run(strategy, async move {
        let (stream, mut peer) = pair();
        sys::set_buffers(stream.as_fd(), 1).unwrap();
        let tell = told.0;
        let reader = std::thread::spawn(move || {
            let mut got = Vec::new();
            peer.read_to_end(&mut got).unwrap();
            tell.send(()).unwrap();
            got
        });
        stream.write_all(&sent).await.unwrap();
        stream.shutdown_write().unwrap();
        told.1.recv().unwrap();
        assert!(reader.join().unwrap() == want);
    });
}

fn bytes_before_the_end_are_read_before_it(strategy: Strategy) {
    run(strategy, async {
        let (stream, mut peer) = pair();
        let reader = spawn(async move {
            let (mut got, mut bytes) = (Vec::new(), [0; 2]);
            loop {
                match stream.read(&mut bytes).await.unwrap() {
                    0 => return got,
                    count => got.extend_from_slice(&bytes[..count]),
                }
            }
        });
        yield_now().await;
        peer.write_all(b"hello").unwrap();
        drop(peer);
        assert_eq!(reader.await.unwrap(), b"hello");
    });
}

fn a_read_that_timed_out_took_nothing(strategy: Strategy) {
    run(strategy, async {
        let (stream, mut peer) = pair();
        let mut bytes = [0; 9];
        for _ in 0..3 {
            let read = timeout(MS, stream.read(&mut bytes)).await;
            assert!(matches!(read, Err(TimedOut)));
        }
        peer.write_all(b"late").unwrap();
        assert_eq!(stream.read(&mut bytes).await.unwrap(), 4);
    });
}

/// Two reads of one task, of which one gives up, and the other task's read.
fn who_gave_up_does_not_stand_in_the_way_of_who_waits(strategy: Strategy) {
    run(strategy, async {
        let (stream, mut peer) = pair();
        let stream = Rc::new(stream);
        let other = stream.clone();
        let reader = spawn(async move { read_exact(&other, 2).await });
        yield_now().await;
        let mut byte = [0];
        assert!(timeout(MS, stream.read(&mut byte)).await.is_err());
        peer.write_all(b"a").unwrap();
        sleep(MS).await;
        peer.write_all(b"b").unwrap();
        assert_eq!(reader.await.unwrap(), b"ab");
    });
}

fn who_is_refused_is_told(strategy: Strategy) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = v4(listener.local_addr().unwrap());
    drop(listener);
    let error = run(strategy, async move { Stream::connect(address).await.err() });
    assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::ConnectionRefused));
}

fn what_nobody_waits_for_does_not_make_it_spin(strategy: Strategy) {
    run(strategy, async {
        let (stream, mut peer) = pair();
        peer.write_all(b"xx").unwrap();
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 1);
        assert!(timeout(MS, stream.write(b"")).await.is_ok());
        let (idle, mut idle_peer) = pair();
        assert!(timeout(MS, idle.read(&mut [0])).await.is_err(), "it is watched");
        idle_peer.write_all(b"x").unwrap(); // For who gave up.
        let before = coroutine::counters().waits;
        for _ in 0..10 {
            sleep(MS).await;
        }
        drop(idle_peer);
        sleep(MS * 30).await;
        assert_eq!(stream.read(&mut [0; 9]).await.unwrap(), 1);
        assert!(timeout(MS * 30, stream.read(&mut [0; 9])).await.is_err(), "it was read to its end");
        let waits = coroutine::counters().waits - before;
        assert!(waits < 60, "{waits} waits");
    });
}

fn who_never_waits_leaves_others_their_turn(strategy: Strategy) {
    run(strategy, async {
        let (stream, _peer) = pair();
        spawn(async move {
            while stream.write(&[]).await.is_ok() {} // Until main is done.
        });
        let (quick, mut peer) = pair();
        let echo = spawn(echo(quick));
        sleep(MS).await;
        peer.write_all(b"x").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        echo.await.unwrap();
        assert_eq!(peer.read(&mut [0; 9]).unwrap(), 1);
    });
}

fn a_full_channel_holds_its_senders_up(strategy: Strategy) {
    run(strategy, async {
        let (send, mut receive) = channel(2);
        let sent = Rc::new(Cell::new(0));
        let counts = sent.clone();
        spawn(async move {
            for number in 0..100 {
                send.send(number).await.unwrap();
                counts.set(number + 1);
            }
        });
        for number in 0..100 {
            yield_now().await;
            assert!(sent.get() <= number + 2, "{} were sent, {number} received", sent.get());
            assert_eq!(receive.recv().await, Some(number));
        }
        assert_eq!(receive.recv().await, None);
    });
}

fn a_sender_that_gives_up_passes_its_place_on(strategy: Strategy) {
    run(strategy, async {
        let (send, mut receive) = channel(1);
        send.send("first").await.unwrap();
        let [gives_up, waits] = ["gives up", "waits"].map(|value| {
            let send = send.clone();
            spawn(async move { send.send(value).await })
        });
        yield_now().await;
        assert_eq!(receive.recv().await, Some("first")); // Wakes who gives up.
        gives_up.cancel();
        assert_eq!(receive.recv().await, Some("waits"));
        assert_eq!(waits.await.unwrap(), Ok(()));
    });
}

fn a_channel_ends_with_its_last_sender(strategy: Strategy) {
    run(strategy, async {
        let (send, mut receive) = channel(3);
        let other = send.clone();
        let receiver = spawn(async move {
            let mut got = Vec::new();
            while let Some(value) = receive.recv().await {
                got.push(value);
            }
            got
        });
        send.send(1).await.unwrap();
        drop(send);
        yield_now().await;
        assert!(!receiver.is_finished());
        other.send(2).await.unwrap();
        drop(other);
        assert_eq!(receiver.await.unwrap(), [1, 2]);
    });
}

fn nobody_sends_to_a_receiver_that_is_gone(strategy: Strategy) {
    run(strategy, async {
        let (send, receive) = channel(1);
        assert_eq!(send.try_send(1), Ok(()));
        assert_eq!(send.try_send(2), Err(TrySendError::Full(2)));
        let other = send.clone();
        let waits = spawn(async move { other.send(3).await });
        yield_now().await;
        drop(receive);
        assert_eq!(waits.await.unwrap(), Err(Closed(3)));
        assert_eq!(send.send(4).await, Err(Closed(4)));
        assert_eq!(send.try_send(5), Err(TrySendError::Closed(5)));
    });
}

fn values_from_threads_arrive(strategy: Strategy) {
    run(strategy, async {
        let (send, mut receive) = channel(4);
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let send = send.clone();
                std::thread::spawn(move || {
                    for _ in 0..2_500 {
                        while send.try_send(1) == Err(TrySendError::Full(1)) {
                            std::thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        drop(send);
        let mut sum = 0;
        while let Some(value) = receive.recv().await {
            sum += value;
        }
        assert_eq!(sum, 10_000);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

fn bytes_of_a_pipe_from_a_thread_arrive(strategy: Strategy) {
    run(strategy, async {
        let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        let (sender, receiver) = pipe(1000, waker);
        let thread = std::thread::spawn(move || (0..100).for_each(|_| sender.send(*b"bytes").unwrap_or(())));
        let mut count = 0;
        poll_fn(|_| {
            loop {
                match receiver.take() {
                    Taken::Bytes(bytes) => count += bytes.len(),
                    Taken::Empty => return Poll::Pending,
                    Taken::Ended => return Poll::Ready(()),
                    Taken::Cut => panic!("it was cut"),
                }
            }
        })
        .await;
        thread.join().unwrap();
        assert!(count >= 5 && count % 5 == 0, "{count}");
    });
}

fn a_run_within_a_run_is_refused(strategy: Strategy) {
    run(strategy, async move {
        let inner = spawn(async move { coroutine::run(strategy, async {}) });
        assert!(matches!(inner.await, Err(Failed::Panicked(_))));
        assert_eq!(spawn(async { 1 }).await.unwrap(), 1, "the outer one is there");
    });
}

#[test]
#[should_panic(expected = "there are no coroutines outside")]
fn who_spawns_outside_a_run_is_told() {
    spawn(async {});
}

#[test]
#[should_panic(expected = "a channel holds one value at least")]
fn a_channel_without_room_is_refused() {
    channel::<()>(0);
}
