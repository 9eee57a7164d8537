//! How far it is, on a terminal only.

use super::run::Watch;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// A bar on stderr; nothing where that is no terminal.
pub struct Bar(ProgressBar);

impl Bar {
    pub fn new() -> Bar {
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len}, {eta} left  {wide_msg}");
        let bar = ProgressBar::new(0).with_style(style.expect("a template that was tried"));
        bar.enable_steady_tick(Duration::from_millis(200));
        Bar(bar)
    }

    pub fn end(self) {
        self.0.finish_and_clear();
    }
}

impl Watch for Bar {
    fn total(&mut self, steps: u64) {
        self.0.set_length(steps);
    }

    fn at(&mut self, what: &str) {
        self.0.set_message(what.to_string());
    }

    fn done(&mut self, steps: u64) {
        self.0.inc(steps);
    }
}
