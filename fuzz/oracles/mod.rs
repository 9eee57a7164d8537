//! What must hold of any input: a module for each fuzz target, whose `judge` panics where it does not.
//!
//! Shared by `fuzz_targets/*.rs`, which search, and by `tests/corpus.rs`, which replays what they found. What is expected is written from the
//! RFCs, by the plainest code there is, and never by calling what is judged.
#![allow(dead_code)] // A target needs one of these.

pub mod chunked;
pub mod conditions;
pub mod connection;
pub mod form;
pub mod frames;
pub mod head;
pub mod path;
pub mod ranges;

mod cut;
mod reader;
mod site;
#[path = "../../tests/wire/mod.rs"]
mod wire;
