//! A few threads for what would block the loop: a bounded pool with a bounded queue.
//!
//! Invariant: no thread before the first job, never more than `threads_max`; a job waits only where all of them are at work.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What is to be done elsewhere.
pub type Job = Box<dyn FnOnce() + Send>;

/// The bounds of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Threads. Few: what is done by them waits for a disk or counts on the cores that the loop leaves.
    pub threads_max: usize,
    /// Jobs that wait for a thread.
    pub queue_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { threads_max: 4, queue_max: 64 }
    }
}

/// As many jobs as may be are at work or wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// Threads that wait for jobs. They end when the pool is dropped, after the jobs that are queued.
pub struct Pool {
    shared: Arc<Shared>,
    limits: Limits,
}

struct Shared {
    state: Mutex<State>,
    news: Condvar,
}

struct State {
    queue: VecDeque<Job>,
    threads: usize,
    /// Threads that are at a job.
    busy: usize,
    is_over: bool,
}

impl Pool {
    /// A pool without threads yet.
    pub fn new(limits: Limits) -> Pool {
        let state = State { queue: VecDeque::new(), threads: 0, busy: 0, is_over: false };
        Pool { shared: Arc::new(Shared { state: Mutex::new(state), news: Condvar::new() }), limits }
    }

    /// Has `job` done. A panic in it ends nothing but the job.
    ///
    /// # Errors
    /// [`Full`]; also where no thread can be had at all.
    pub fn submit(&self, job: Job) -> Result<(), Full> {
        let mut state = self.shared.state();
        if state.queue.len() >= state.threads - state.busy && state.threads < self.limits.threads_max {
            // A thread that can't be had is one fewer; only where there is none the job would wait for ever.
            state.threads += usize::from(self.start_thread());
        }
        let free = state.threads - state.busy;
        if state.threads == 0 || state.queue.len() >= free + self.limits.queue_max {
            return Err(Full);
        }
        state.queue.push_back(job);
        drop(state);
        self.shared.news.notify_one();
        Ok(())
    }

    fn start_thread(&self) -> bool {
        let shared = self.shared.clone();
        std::thread::Builder::new().name("offload".into()).spawn(move || shared.work()).is_ok()
    }
}

impl Default for Pool {
    fn default() -> Pool {
        Pool::new(Limits::default())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.state().is_over = true;
        self.shared.news.notify_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread's life: job after job, until there are no more and the pool is gone.
    fn work(&self) {
        let mut state = self.state();
        loop {
            if let Some(job) = state.queue.pop_front() {
                state.busy += 1;
                drop(state);
                let _ = catch_unwind(AssertUnwindSafe(job)); // Whoever waits for it sees that it left without a word.
                state = self.state();
                state.busy -= 1;
            } else if state.is_over {
                return;
            } else {
                state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// A job that says when it begins and ends when it is told to.
    fn held(begun: &mpsc::Sender<usize>, name: usize) -> (Job, mpsc::Sender<()>) {
        let (release, released) = mpsc::channel();
        let begun = begun.clone();
        let job = move || {
            begun.send(name).unwrap();
            let _ = released.recv();
        };
        (Box::new(job), release)
    }

    #[test]
    fn as_many_jobs_as_threads_are_at_work_and_as_many_as_fit_wait() {
        let (begun, begins) = mpsc::channel();
        let pool = Pool::new(Limits { threads_max: 2, queue_max: 3 });
        assert_eq!(pool.shared.state().threads, 0, "none before the first job");
        let (jobs, releases): (Vec<_>, Vec<_>) = (0..5).map(|name| held(&begun, name)).unzip();
        for job in jobs {
            assert_eq!(pool.submit(job), Ok(()));
        }
        assert_eq!(pool.submit(Box::new(|| unreachable!("it is refused"))), Err(Full));
        let mut first = [begins.recv().unwrap(), begins.recv().unwrap()];
        first.sort_unstable();
        assert_eq!((first, pool.shared.state().threads), ([0, 1], 2));
        assert_eq!(pool.submit(Box::new(|| unreachable!("it is refused"))), Err(Full), "though the first are begun");
        drop(pool); // What is queued is done all the same.
        drop(releases);
        let mut rest: Vec<_> = (0..3).map(|_| begins.recv().unwrap()).collect();
        rest.sort_unstable();
        assert_eq!(rest, [2, 3, 4]);
    }

    #[test]
    fn a_thread_that_is_free_is_used_before_one_is_made_and_outlives_a_panic() {
        let pool = Pool::new(Limits { threads_max: 4, queue_max: 0 });
        let (done, dones) = mpsc::channel();
        for round in 0..20 {
            let done = done.clone();
            let job: Job = Box::new(move || {
                done.send(round).unwrap();
                if round % 2 == 0 {
                    std::panic::resume_unwind(Box::new("as asked")); // Prints nothing.
                }
            });
            pool.submit(job).unwrap();
            assert_eq!(dones.recv(), Ok(round));
            while pool.shared.state().busy > 0 {
                std::thread::yield_now();
            }
        }
        assert_eq!(pool.shared.state().threads, 1);
    }

    #[test]
    fn a_pool_without_threads_takes_nothing() {
        assert_eq!(Pool::new(Limits { threads_max: 0, queue_max: 9 }).submit(Box::new(|| ())), Err(Full));
    }
}
