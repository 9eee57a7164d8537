//! tripoll
pub mod poller;
pub mod protocol;
pub mod reactor;
#[doc(hidden)]
pub mod sys;
mod timer;
mod transport;
