//! Why a server can't run, in words that say what to try.

use crate::models::Model;
use crate::poller::StrategyError;
use crate::router::RouteError;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a server can't run.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Error {
    /// An address that is none.
    Address { text: String, source: io::Error },
    /// An address at which listening is not possible, and a port at which it would be.
    Bind { address: SocketAddr, source: io::Error, free_port: Option<u16> },
    /// A folder that can't be opened.
    Directory { path: PathBuf, source: io::Error },
    /// A route that can't be added.
    Route(RouteError),
    /// A backend with a setting that it does not have.
    Strategy(StrategyError),
    /// A model that can't serve.
    Model { model: Model, source: io::Error },
    /// A model that can't know how many connections an address has, with a bound for it.
    PerAddressMax { model: Model },
    /// A route that answers without end, with a model whose workers it would keep.
    LiveRoute { path: String, model: Model },
    /// What the loop itself needs can't be had.
    Loop(io::Error),
}

/// What can be had of a server, or why not.
pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Address { text, source } => {
                write!(f, "{text:?} is no address to listen at: {}; try 127.0.0.1:8000", said(source))
            }
            Error::Bind { address, source, free_port } => {
                write!(f, "cannot listen at {address}: {}", said(source))?;
                match (source.kind(), free_port) {
                    (ErrorKind::AddrNotAvailable, _) => f.write_str("; try --bind 127.0.0.1"),
                    (ErrorKind::PermissionDenied, _) => f.write_str("; try a port from 1024 up, as in --port 8000"),
                    (_, Some(port)) => write!(f, "; try --port {port}"),
                    (_, None) => f.write_str("; try --port 0, which lets the kernel choose"),
                }
            }
            Error::Directory { path, source } => {
                let there = match source.kind() {
                    ErrorKind::PermissionDenied => "you may enter",
                    _ => "is there",
                };
                let path = path.display();
                write!(f, "cannot serve {path}: {}; try a folder that {there}, as in: tripoll .", said(source))
            }
            Error::Route(error) => error.fmt(f),
            Error::Strategy(error) => error.fmt(f),
            Error::Model { model, source } => write!(f, "cannot serve by {model}: {}", said(source)),
            Error::PerAddressMax { model } => {
                write!(f, "connections of one address can't be counted by {model}; try threads, or fork that waits")
            }
            Error::LiveRoute { path, model } => {
                write!(
                    f,
                    "{path} answers without end, and would keep a worker of {model} for each that listens; try reactor, or coroutines"
                )
            }
            Error::Loop(error) => write!(f, "the loop cannot run: {}", said(error)),
        }
    }
}

/// An error in words, without "(os error 98)".
fn said(error: &io::Error) -> String {
    let mut text = error.to_string();
    if let Some(at) = text.find(" (os error ") {
        text.truncate(at);
    }
    text
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Loop(error)
    }
}

impl From<RouteError> for Error {
    fn from(error: RouteError) -> Error {
        Error::Route(error)
    }
}

impl From<StrategyError> for Error {
    fn from(error: StrategyError) -> Error {
        Error::Strategy(error)
    }
}
