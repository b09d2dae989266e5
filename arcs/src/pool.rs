//! Threads and the bound on what is in flight. Tasks flow in and run; blocks take a share of a [`Budget`] and give it
//! back when the last column of them is encoded. A task never waits for another task, so the pool cannot lock up.

use std::collections::VecDeque;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::ArcsError;

type Task = Box<dyn FnOnce() + Send>;

/// How soon a task should run. What frees memory goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Encoding: it gives blocks back.
    First,
    /// Parsing: it takes more in.
    Then,
}

#[derive(Default)]
struct Queues {
    first: VecDeque<Task>,
    then: VecDeque<Task>,
    /// Threads that wait: nobody has to be told where there are none.
    waiting: usize,
    closed: bool,
}

impl Queues {
    fn pop(&mut self) -> Option<Task> {
        self.first.pop_front().or_else(|| self.then.pop_front())
    }
}

struct Shared {
    queues: Mutex<Queues>,
    ready: Condvar,
}

/// A fixed number of threads, which end when it is closed or dropped, once the queues are empty. Readers that have nothing
/// to read, or no room for it, work beside them ([`Tasks::help`], [`Budget::of_helper`]): a thread that goes on with
/// other work stays where it is and keeps its cache, one that waits and is woken may be put beside another, on one core.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// A handle to hand tasks to a [`Pool`].
#[derive(Clone)]
pub(crate) struct Tasks(Arc<Shared>);

/// Locks, also after another thread panicked while it held the lock: the pool records the panic as a failure.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// Starts `threads` threads (at least one). A task that panics ends the run by `failure`.
    pub(crate) fn start(threads: usize, failure: &Arc<Failure>) -> Pool {
        let shared = Arc::new(Shared { queues: Mutex::default(), ready: Condvar::new() });
        let spawn = |_| {
            let (shared, failure) = (shared.clone(), failure.clone());
            std::thread::spawn(move || work(&shared, &failure))
        };
        let threads = (0..threads.max(1)).map(spawn).collect();
        Pool { shared, threads }
    }

    /// A handle for tasks.
    pub(crate) fn tasks(&self) -> Tasks {
        Tasks(self.shared.clone())
    }

    /// Lets all that work on the queues end once these are empty.
    pub(crate) fn close(&self) {
        lock(&self.shared.queues).closed = true;
        self.shared.ready.notify_all();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").finish_non_exhaustive()
    }
}

impl Tasks {
    /// Hands a task over; it runs soon, on one of the threads.
    pub(crate) fn submit(&self, urgency: Urgency, task: impl FnOnce() + Send + 'static) {
        let mut queues = lock(&self.0.queues);
        match urgency {
            Urgency::First => queues.first.push_back(Box::new(task)),
            Urgency::Then => queues.then.push_back(Box::new(task)),
        }
        let is_awaited = queues.waiting > 0;
        drop(queues);
        if is_awaited {
            self.0.ready.notify_one();
        }
    }

    /// Works on tasks, as the pool's own threads do, until the pool is closed.
    pub(crate) fn help(&self, failure: &Failure) {
        work(&self.0, failure);
    }

    /// Works on tasks until there is what is wanted. `None` once the run has failed.
    fn help_until<T>(&self, mut wanted: impl FnMut() -> Option<T>, failure: &Failure) -> Option<T> {
        let mut queues = lock(&self.0.queues);
        loop {
            if let Some(found) = wanted() {
                return Some(found);
            }
            if failure.is_set() {
                return None;
            }
            queues = match queues.pop() {
                Some(task) => {
                    drop(queues);
                    run(task, failure);
                    lock(&self.0.queues)
                }
                None => wait(&self.0, queues, Some(WAIT)),
            };
        }
    }
}

fn work(shared: &Shared, failure: &Failure) {
    while let Some(task) = next(shared) {
        run(task, failure);
    }
}

fn run(task: Task, failure: &Failure) {
    if std::panic::catch_unwind(AssertUnwindSafe(task)).is_err() {
        failure.set(ArcsError::internal("a worker thread panicked"));
    }
}

/// Waits for something new.
fn wait<'a>(shared: &'a Shared, mut queues: MutexGuard<'a, Queues>, most: Option<Duration>) -> MutexGuard<'a, Queues> {
    queues.waiting += 1;
    queues = match most {
        Some(most) => shared.ready.wait_timeout(queues, most).unwrap_or_else(PoisonError::into_inner).0,
        None => shared.ready.wait(queues).unwrap_or_else(PoisonError::into_inner),
    };
    queues.waiting -= 1;
    queues
}

fn next(shared: &Shared) -> Option<Task> {
    let mut queues = lock(&shared.queues);
    loop {
        if let Some(task) = queues.pop() {
            return Some(task);
        }
        if queues.closed {
            return None;
        }
        queues = wait(shared, queues, None);
    }
}

/// The first failure of a run; once set, every stage stops at its next step.
#[derive(Debug, Default)]
pub(crate) struct Failure {
    first: Mutex<(bool, Option<ArcsError>)>,
}

impl Failure {
    /// Records a failure, unless there was one before.
    pub(crate) fn set(&self, error: ArcsError) {
        let mut first = lock(&self.first);
        if !first.0 {
            *first = (true, Some(error));
        }
    }

    /// Whether something failed.
    pub(crate) fn is_set(&self) -> bool {
        lock(&self.first).0
    }

    /// The failure, once.
    pub(crate) fn take(&self) -> Option<ArcsError> {
        lock(&self.first).1.take()
    }
}

/// A bound on bytes in flight, shared by the blocks of one reader.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes_max: usize,
    used: Mutex<usize>,
    freed: Condvar,
    /// Where who waits for a share works meanwhile.
    tasks: Option<Tasks>,
}

/// A share of a [`Budget`], given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

/// How long a reader waits for a share before it looks whether the run has failed.
const WAIT: Duration = Duration::from_millis(50);

impl Budget {
    /// A budget of so many bytes.
    pub(crate) fn new(bytes_max: usize) -> Arc<Budget> {
        Arc::new(Budget { bytes_max, used: Mutex::new(0), freed: Condvar::new(), tasks: None })
    }

    /// The same, for one who works on tasks where there is no room.
    pub(crate) fn of_helper(bytes_max: usize, tasks: Tasks) -> Arc<Budget> {
        Arc::new(Budget { bytes_max, used: Mutex::new(0), freed: Condvar::new(), tasks: Some(tasks) })
    }

    /// Waits until `bytes` are free, or all is free where `bytes` is more than there ever can be. `None` once the run
    /// has failed.
    pub(crate) fn take(self: &Arc<Budget>, bytes: usize, failure: &Failure) -> Option<Share> {
        let bytes = bytes.min(self.bytes_max);
        if let Some(tasks) = &self.tasks {
            return tasks.help_until(|| self.share(&mut lock(&self.used), bytes), failure);
        }
        let mut used = lock(&self.used);
        loop {
            if let Some(share) = self.share(&mut used, bytes) {
                return Some(share);
            }
            used = self.freed.wait_timeout(used, WAIT).unwrap_or_else(PoisonError::into_inner).0;
            if failure.is_set() {
                return None;
            }
        }
    }

    fn share(self: &Arc<Self>, used: &mut usize, bytes: usize) -> Option<Share> {
        (*used + bytes <= self.bytes_max).then(|| {
            *used += bytes;
            Share { budget: self.clone(), bytes }
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        *lock(&self.budget.used) -= self.bytes;
        match &self.budget.tasks {
            // Under the lock, so that nobody begins to wait between the look and the word.
            Some(Tasks(shared)) if lock(&shared.queues).waiting > 0 => shared.ready.notify_all(),
            Some(_) => {}
            None => self.budget.freed.notify_all(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_task_runs_and_a_panic_is_a_failure() {
        let (failure, ran) = (Arc::new(Failure::default()), Arc::new(AtomicUsize::new(0)));
        let pool = Pool::start(3, &failure);
        for n in 0..100 {
            let ran = ran.clone();
            pool.tasks().submit(if n % 2 == 0 { Urgency::First } else { Urgency::Then }, move || {
                assert_ne!(n, 50, "on purpose");
                ran.fetch_add(1, Ordering::SeqCst);
            });
        }
        drop(pool);
        assert_eq!(ran.load(Ordering::SeqCst), 99);
        assert!(matches!(failure.take(), Some(ArcsError::Internal { .. })));
    }

    #[test]
    fn a_budget_holds_back_and_gives_way_to_failure() {
        let (failure, budget) = (Failure::default(), Budget::new(10));
        let first = budget.take(6, &failure).unwrap();
        let all = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| budget.take(100, &failure).map(|share| share.bytes));
            drop(first);
            waiting.join().unwrap()
        });
        assert_eq!(all, Some(10), "more than there ever is waits for all there is");
        let _held = budget.take(10, &failure);
        failure.set(ArcsError::Stopped);
        assert!(budget.take(1, &failure).is_none());
    }

    #[test]
    fn who_waits_for_room_works_meanwhile() {
        let failure = Arc::new(Failure::default());
        let (pool, (begin, begun)) = (Pool::start(1, &failure), std::sync::mpsc::channel::<()>());
        let tasks = pool.tasks();
        // The pool's own thread is busy until the helper has done what it waits for.
        tasks.submit(Urgency::First, move || {
            let _ = begun.recv();
        });
        let budget = Budget::of_helper(10, tasks.clone());
        let all = budget.take(10, &failure).unwrap();
        tasks.submit(Urgency::Then, move || {
            drop(all);
            let _ = begin.send(());
        });
        assert_eq!(budget.take(7, &failure).unwrap().bytes, 7);
        // Who has nothing to read works until the pool is closed.
        std::thread::scope(|scope| {
            let helper = scope.spawn(|| tasks.help(&failure));
            tasks.submit(Urgency::First, || ());
            pool.close();
            helper.join().unwrap();
        });
        let held = budget.take(10, &failure);
        failure.set(ArcsError::Stopped);
        assert!(held.is_some() && budget.take(1, &failure).is_none());
    }
}
