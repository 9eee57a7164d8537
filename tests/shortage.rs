//! No descriptor left: EMFILE. In a process of its own, since all of it shares the limit.

mod client;
mod echo;

use client::connect;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;
use tripoll::poller::Strategy;
use tripoll::protocol::Protocol;
use tripoll::reactor::{Limits, Notice, Reactor};
use tripoll::sys;

fn ask(stream: &mut TcpStream) {
    stream.write_all(b"ping").unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"ping");
}

/// Those that are served go on, the loop does not spin, whoever runs it is told once, and who waits is served when there is room.
#[test]
fn a_server_without_descriptors_goes_on() {
    sys::set_descriptor_limit(100).unwrap();
    for strategy in Strategy::ALL {
        let (tell, told) = mpsc::channel();
        let (tell_notice, notices) = mpsc::channel();
        let server = std::thread::spawn(move || {
            let listener = TcpListener::from(sys::listen("127.0.0.1:0".parse().unwrap(), 64).unwrap());
            let mut reactor = Reactor::new(strategy, Limits::default()).unwrap();
            tell.send((listener.local_addr().unwrap(), reactor.handle())).unwrap();
            reactor.listen(listener, |_: SocketAddr| Box::new(echo::Bytes) as Box<dyn Protocol>).unwrap();
            reactor.on_notice(move |notice: &Notice| tell_notice.send(notice.to_string()).unwrap());
            reactor.run().unwrap();
            reactor.counters()
        });
        let (address, handle) = told.recv().unwrap();
        let mut first = connect(address);
        ask(&mut first);
        // Its end is the server's close: from here on the descriptor is free.
        first.shutdown(Shutdown::Write).unwrap();
        assert_eq!(first.read(&mut [0; 4]).unwrap(), 0);
        drop(first);
        let mut ballast: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        // Four connections, of two ends each, and the client's end of a fifth.
        ballast.truncate(ballast.len() - 9);
        let mut served: Vec<_> = (0..4).map(|_| connect(address)).collect();
        served.iter_mut().for_each(ask);
        let mut waiting = connect(address);
        waiting.write_all(b"wait").unwrap();
        let notice = notices.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(notice.starts_with("cannot accept connections for now: "), "{notice}");
        for _ in 0..50 {
            served.iter_mut().for_each(ask);
        }
        served.pop();
        let mut answer = [0; 4];
        waiting.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"wait");
        ask(&mut waiting);
        drop(ballast);
        ask(&mut connect(address));
        handle.stop();
        let counters = server.join().unwrap();
        assert_eq!(notices.try_iter().count(), 0, "told once");
        // 200 questions and a dozen connections: a turn or two each, and one each 100 ms of rest.
        assert!(counters.turns < 1_500, "{strategy}: {} turns", counters.turns);
    }
}
