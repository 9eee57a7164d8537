//! Work of a connection that is done beside the loop.

use crate::offload::{Full, Pool};
use crate::protocol::Context;
use std::sync::mpsc::{self, Receiver};
use std::task::Waker;

/// Has `job` done by `pool`. The connection is woken when what it gives is there, or never will be: then it panicked.
///
/// # Errors
/// [`Full`]
pub(super) fn start<Found: Send + 'static>(
    pool: &Pool,
    job: impl FnOnce() -> Found + Send + 'static,
    cx: &Context<'_>,
) -> Result<Receiver<Found>, Full> {
    let (tell, told) = mpsc::sync_channel(1);
    let waker = cx.waker();
    let job = move || {
        let _bell = Bell(waker); // It rings though `job` panics,
        let tell = tell; // and then after this is gone: else nobody would look again.
        let _ = tell.send(job());
    };
    pool.submit(Box::new(job)).map(|()| told)
}

/// Wakes when it is dropped.
struct Bell(Waker);

impl Drop for Bell {
    fn drop(&mut self) {
        self.0.wake_by_ref();
    }
}
