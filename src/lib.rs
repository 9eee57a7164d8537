//! tripoll
pub mod files;
pub mod http;
pub mod poller;
pub mod protocol;
pub mod reactor;
pub mod router;
pub mod server;
#[doc(hidden)]
pub mod sys;
mod timer;
mod transport;

pub use http::{Request, Response};
pub use poller::{Backend, Trigger};
pub use server::{Error, HttpServer, Result};
