//! The facts of `tests/http.rs`, `tests/files.rs` and `tests/semantics.rs` under the models that fork.
//!
//! A program without a harness, whose threads would keep them from forking: each fact's server is a child of this process.
#![allow(clippy::duplicate_mod)] // Each of the three has its helpers.

#[path = "files.rs"]
#[allow(unused)] // What has a harness is more.
mod files;
#[path = "http.rs"]
#[allow(unused)]
mod http;
#[path = "semantics.rs"]
#[allow(unused)]
mod semantics;

use tripoll::Model;
use tripoll::models::Reap;

const MODELS: [(&str, Model); 4] = [
    ("fork", Model::Fork { reap: Reap::Wait }),
    ("fork_double", Model::Fork { reap: Reap::DoubleFork }),
    ("fork_ignore", Model::Fork { reap: Reap::Ignore }),
    ("prefork", Model::Prefork { workers: 2 }),
];

fn main() {
    let mut held = 0;
    for (name, model) in MODELS {
        macro_rules! check {
            ($($suite:ident),+) => {
                $(for (fact, check) in $suite::UNDER_MODELS {
                    println!("test {name}::{}::{fact} ...", stringify!($suite));
                    check(model.into());
                    held += 1;
                })+
            };
        }
        check!(http, files, semantics);
    }
    println!("all {held} facts hold");
}
