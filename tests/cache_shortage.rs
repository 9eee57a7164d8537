//! No descriptor left while files are kept open: they give way before anybody who is connected does. In a process of its own, since all of
//! it shares the limit.

mod client;
mod running;

use client::Client;
use running::Running;
use std::fs::File;
use tripoll::poller::Strategy;
use tripoll::sys;

/// Too large for memory.
const LARGE: usize = 20_000;

const FILES: usize = 30;

#[test]
fn files_that_are_kept_give_way_to_who_comes() {
    for strategy in Strategy::ALL {
        let running = Running::new(strategy, |server| server);
        sys::set_descriptor_limit(120).unwrap(); // The server raised it.
        for number in 0..FILES {
            std::fs::write(running.folder.path().join(format!("{number}.bin")), vec![b'x'; LARGE]).unwrap();
        }
        let get = |client: &mut Client, target: &str| {
            client.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
            client.answer(false)
        };
        let mut idle = Client::new(running.address);
        let open = || (0..120).filter(|fd| sys::is_open(*fd)).count();
        let before = open();
        // Until they are old enough to be kept.
        while open() < before + FILES {
            (0..FILES).for_each(|number| assert_eq!(get(&mut idle, &format!("/{number}.bin")).body.len(), LARGE));
        }
        let mut ballast: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        let mut clients = Vec::new();
        for _ in 0..10 {
            ballast.pop(); // For the client's end; the server has none.
            let mut client = Client::new(running.address);
            assert_eq!(get(&mut client, "/file.txt").body, b"a file", "{strategy}");
            clients.push(client);
        }
        assert_eq!(get(&mut idle, "/file.txt").body, b"a file", "{strategy}: it is still connected");
        drop(ballast);
        clients.into_iter().chain([idle]).for_each(|client| assert_eq!(client.rest(true), b""));
    }
}
