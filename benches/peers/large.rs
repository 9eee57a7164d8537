//! Small requests beside a download of a large file.

use crate::running::{is_installed, median};
use crate::servers::Server;
use crate::{KEEP, Options, chosen, wrk};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What is downloaded while others ask.
pub const LARGE: &str = "/1g.bin";

/// What wrk saw without the download and beside it, and how fast that was.
struct Round {
    alone: wrk::Seen,
    beside: wrk::Seen,
    mebibytes_per_second: f64,
}

/// How long small requests take beside a download of a large file, and without one. Who downloads runs where wrk leaves the core to it: else
/// it would be wrk that is late, and not the server.
pub fn measure(servers: &[Server], options: &Options) {
    if !is_installed("chrt") {
        return println!("skipped: chrt is not installed (util-linux)");
    }
    println!(
        "large: {} connections ask for 1 KiB beside a download of 1 GiB after another; µs, medians of rounds",
        KEEP.connections
    );
    println!("{:<8} {:<12} {:>9} {:>10} {:>6} {:>8}", "work", "server", "p99 alone", "p99 beside", "ratio", "MiB/s");
    let running: Vec<_> = chosen(servers, options).filter(|server| server.name != "limit").collect();
    let running: Vec<_> = running.into_iter().filter_map(|server| server.run(&KEEP)).collect();
    let mut rounds: Vec<Vec<Round>> = running.iter().map(|_| Vec::new()).collect();
    for _ in 0..options.rounds {
        for (server, own) in running.iter().zip(&mut rounds) {
            let url = format!("http://{}{}", server.address, KEEP.path);
            let ask = || wrk::run(&url, KEEP.connections, options.seconds, &[]);
            let alone = ask();
            let (address, seconds) = (server.address.to_string(), options.seconds.to_string());
            let download = Command::new("chrt")
                .args(["-i", "0"])
                .arg(std::env::current_exe().expect("its own path"))
                .args(["--download", &address, &seconds])
                .stdout(Stdio::piped())
                .spawn()
                .expect("it is installed");
            let beside = ask();
            let output = download.wait_with_output().expect("it ends");
            let bytes = String::from_utf8_lossy(&output.stdout).trim().parse::<f64>().expect("it counts bytes");
            let mebibytes_per_second = bytes / f64::from(1 << 20) / options.seconds as f64;
            own.push(Round { alone, beside, mebibytes_per_second });
        }
    }
    for (server, own) in running.iter().zip(&rounds) {
        let of = |value: fn(&Round) -> f64| median(own.iter().map(value));
        let troubles = own.iter().flat_map(|round| [&round.alone, &round.beside]).map(|seen| seen.trouble.as_str());
        println!(
            "{:<8} {:<12} {:>9.0} {:>10.0} {:>6.2} {:>8.0}  {}",
            "large",
            server.name,
            of(|round| round.alone.p99_microseconds),
            of(|round| round.beside.p99_microseconds),
            of(|round| round.beside.p99_microseconds / round.alone.p99_microseconds),
            of(|round| round.mebibytes_per_second),
            troubles.into_iter().find(|trouble| !trouble.is_empty()).unwrap_or_default()
        );
    }
}

/// Takes the large file over and over, and says how many bytes came: for a process of its own, which can run at another priority.
pub fn download(address: &str, time: Duration) -> u64 {
    let (begun, mut bytes, mut buffer) = (Instant::now(), 0, vec![0; 256 * 1024]);
    while begun.elapsed() < time {
        let mut socket = TcpStream::connect(address).expect("it accepts");
        write!(socket, "GET {LARGE} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("it reads");
        while begun.elapsed() < time {
            match socket.read(&mut buffer).expect("it answers") {
                0 => break,
                count => bytes += count as u64,
            }
        }
    }
    bytes
}
