//! Virtual time: a clock that only the scheduler moves, and sleeps that end when it does.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use chrono::{DateTime, TimeDelta, Utc};

/// When every schedule begins.
const START: i64 = 1_700_000_040;

/// Waits of a tenth of a millisecond, while nobody sleeps and nobody is woken, after which nothing will come.
const IDLE_WAITS_MAX: usize = 10_000;

#[derive(Debug, Default)]
struct State {
    micros: i64,
    /// Who sleeps, by deadline, each with a number of its own.
    sleeps: BTreeMap<(i64, u64), Option<Waker>>,
    numbers: u64,
}

/// The clock of a schedule. Clones show the same time.
#[derive(Clone, Debug, Default)]
pub(crate) struct VirtualTime {
    state: Arc<Mutex<State>>,
}

impl VirtualTime {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The time.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        let start = DateTime::from_timestamp(START, 0).unwrap_or_default();
        start + TimeDelta::microseconds(self.with(|state| state.micros))
    }

    /// Ends when so much time has passed.
    pub(crate) fn sleep(&self, length: TimeDelta) -> Sleep {
        let micros = length.num_microseconds().unwrap_or(0).max(0);
        let (deadline, number) = self.with(|state| {
            state.numbers += 1;
            let deadline = state.micros + micros;
            state.sleeps.insert((deadline, state.numbers), None);
            (deadline, state.numbers)
        });
        Sleep { time: self.clone(), deadline, number }
    }

    /// Moves to the next deadline and wakes who sleeps until then; false where nobody sleeps.
    fn advance(&self) -> bool {
        let woken = self.with(|state| {
            let next = state.sleeps.first_key_value().map(|((deadline, _), _)| *deadline)?;
            state.micros = state.micros.max(next);
            // Who is not polled meanwhile finds that the time is over when they are.
            let later = state.sleeps.split_off(&(next, u64::MAX));
            let due = std::mem::replace(&mut state.sleeps, later);
            Some(due.into_values().flatten().collect::<Vec<_>>())
        });
        let is_somebody = woken.is_some();
        woken.into_iter().flatten().for_each(Waker::wake);
        is_somebody
    }

    /// Polls the processes that were woken and, when none was, moves the clock, until all are done or `until` has passed.
    /// False where they wait for something that never comes. Time stands still for nobody but the processes: none of
    /// them may leave work to a thread of its own.
    pub(crate) async fn run(&self, processes: Vec<Pin<Box<dyn Future<Output = ()> + '_>>>, until: TimeDelta) -> bool {
        let end = self.now() + until;
        let mut idle = 0;
        let mut living: Vec<_> = processes.into_iter().map(|process| (Arc::new(Woken(AtomicBool::new(true))), process)).collect();
        while !living.is_empty() {
            let mut is_idle = true;
            living.retain_mut(|(woken, process)| {
                if !woken.0.swap(false, Ordering::Relaxed) {
                    return true;
                }
                is_idle = false;
                process.as_mut().poll(&mut Context::from_waker(&Waker::from(woken.clone()))).is_pending()
            });
            if !is_idle {
                idle = 0;
            } else if !self.advance() {
                // Somebody waits for the runtime.
                tokio::time::sleep(std::time::Duration::from_micros(100)).await;
                idle += 1;
                if idle > IDLE_WAITS_MAX {
                    return false;
                }
            }
            if self.now() > end {
                return true;
            }
        }
        true
    }
}

/// Whether a process was woken.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// See [`VirtualTime::sleep`].
#[derive(Debug)]
pub(crate) struct Sleep {
    time: VirtualTime,
    deadline: i64,
    number: u64,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.time.with(|state| {
            if state.micros >= self.deadline {
                return Poll::Ready(());
            }
            state.sleeps.insert((self.deadline, self.number), Some(context.waker().clone()));
            Poll::Pending
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.time.with(|state| {
            state.sleeps.remove(&(self.deadline, self.number));
        });
    }
}
