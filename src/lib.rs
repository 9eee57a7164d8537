//! tripoll
pub mod poller;
#[doc(hidden)]
pub mod sys;
