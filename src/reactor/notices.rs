//! Which trouble was told lately.

use super::Notice;
use std::mem::{Discriminant, discriminant};
use std::time::{Duration, Instant};

/// The same trouble is told again no earlier than this.
const INTERVAL: Duration = Duration::from_secs(10);

/// When each kind of trouble was told last.
#[derive(Debug, Default)]
pub(crate) struct Told(Vec<(Discriminant<Notice>, Instant)>);

impl Told {
    /// Whether `notice` is to be told; then it is taken for told.
    pub(crate) fn is_news(&mut self, notice: &Notice, now: Instant) -> bool {
        self.0.retain(|(_, at)| now < *at + INTERVAL);
        let kind = discriminant(notice);
        let is_news = self.0.iter().all(|(told, _)| *told != kind);
        if is_news {
            self.0.push((kind, now));
        }
        is_news
    }
}
