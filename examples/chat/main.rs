//! A group chat: one room and one loop, for lines over raw TCP and for a page over WebSocket.
//!
//! ```sh
//! cargo run --release --example chat       # then http://127.0.0.1:8000/ in a browser, or two
//! nc 127.0.0.1 8001                        # and terminals, as many as you like
//! ```
//!
//! What is typed where it runs everyone sees as `admin: text`; `/who` says who is here, `/kick NAME` sends somebody away.

pub(crate) mod event;
mod lines;
pub(crate) mod name;
pub(crate) mod operator;
mod pace;
mod page;
pub(crate) mod room;
mod socket;
pub(crate) mod text;
mod visitor;

use clap::Parser;
use room::Room;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tripoll::protocol::Protocol;
use tripoll::server::BoundServer;
use tripoll::{Backend, HttpServer, Model, Trigger, sys};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 4096;

/// One room for terminals (nc) and browsers, on one thread.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// Address to listen at; 0.0.0.0 lets others on the network in
    #[arg(short, long, default_value = "127.0.0.1", value_name = "ADDR")]
    pub(crate) bind: String,

    /// Port of the page; 0 lets the kernel choose
    #[arg(short, long, default_value_t = 8000)]
    pub(crate) port: u16,

    /// Port for lines, as nc speaks them
    #[arg(short, long, default_value_t = 8001, value_name = "PORT")]
    pub(crate) line_port: u16,

    /// The system call that waits: select, poll or epoll
    #[arg(long, default_value_t)]
    pub(crate) backend: Backend,

    /// When epoll tells of readiness: level or edge
    #[arg(long, default_value = "level", value_name = "level|edge")]
    pub(crate) trigger: Trigger,

    /// A task for each connection, in place of the loop that calls them
    #[arg(long)]
    pub(crate) coroutines: bool,

    /// How often silent members are asked whether they are there; who does not answer has left after twice that
    #[arg(long, default_value = "15s", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) heartbeat: Duration,
}

fn main() {
    let result = run(&Options::parse());
    if let Err(error) = result {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn run(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let room = Room::new(SystemTime::now());
    let (server, lines) = bind(options, &room)?;
    println!("the room is at http://{}/ ({})", server.addresses()[0], server.strategy());
    println!("and for terminals: nc {} {}", lines.ip(), lines.port());
    let seat = operator::enter(&room, io::stdout()).map_err(|refusal| refusal.to_string())?;
    let (their_room, their_seat) = (room.clone(), seat.clone());
    std::thread::spawn(move || operator::obey(io::stdin().lock(), io::stdout(), &their_room, &their_seat));
    Ok(server.run()?)
}

/// A server of the page that lets lines into the same room, and where it listens for these.
pub(crate) fn bind(
    options: &Options,
    room: &Arc<Room>,
) -> Result<(BoundServer, SocketAddr), Box<dyn std::error::Error>> {
    let server = HttpServer::without_files(format!("{}:{}", options.bind, options.port))
        .backend(options.backend)
        .trigger(options.trigger)
        .model(if options.coroutines { Model::Coroutines } else { Model::Reactor })
        .on_notice(|notice| eprintln!("{notice}"))
        .route_live("GET", "/room", socket::route(room, options.heartbeat));
    let mut server = page::serve(server).bind()?;

    let address = format!("{}:{}", options.bind, options.line_port);
    let address = address.to_socket_addrs()?.next().ok_or(format!("{address} is no address"))?;
    let listener = sys::listen(address, BACKLOG).map_err(|error| format!("cannot listen on {address}: {error}"))?;
    // A terminal can't be asked whether it is there, but its machine can.
    sys::keep_alive(listener.as_fd(), options.heartbeat)?;
    let listener = TcpListener::from(listener);
    let address = listener.local_addr()?;
    let room = room.clone();
    server.reactor().listen(listener, move |_| Box::new(lines::Lines::new(room.clone())) as Box<dyn Protocol>)?;
    Ok((server, address))
}
