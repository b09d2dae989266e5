//! Virtual time: a clock that only the scheduler moves, and sleeps that end when it does.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use chrono::{DateTime, TimeDelta, Utc};

/// When every schedule begins.
const START: i64 = 1_700_000_040;

/// Polls without a timer after which processes wait for something that will not come.
const IDLE_POLLS_MAX: usize = 10_000;

#[derive(Debug, Default)]
struct State {
    micros: i64,
    /// Deadlines of sleeps, each with a number of its own.
    sleeps: BTreeSet<(i64, u64)>,
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
            state.sleeps.insert((deadline, state.numbers));
            (deadline, state.numbers)
        });
        Sleep { time: self.clone(), deadline, number }
    }

    /// Moves to the next deadline; false where nobody sleeps.
    fn advance(&self) -> bool {
        self.with(|state| {
            let next = state.sleeps.first().map(|(deadline, _)| *deadline);
            state.micros = state.micros.max(next.unwrap_or(0));
            next.is_some()
        })
    }

    /// Polls the processes and moves the clock until all are done or `until` has passed. False where they wait for
    /// something that never comes.
    pub(crate) async fn run(&self, mut processes: Vec<Pin<Box<dyn Future<Output = ()> + '_>>>, until: TimeDelta) -> bool {
        let end = self.now() + until;
        let mut idle = 0usize;
        while !processes.is_empty() {
            let before = self.with(|state| state.numbers);
            let mut context = Context::from_waker(Waker::noop());
            processes.retain_mut(|process| process.as_mut().poll(&mut context).is_pending());
            if self.with(|state| state.numbers) != before {
                idle = 0;
                continue;
            }
            // Lets tasks go on that the processes have spawned, before time does.
            tokio::task::yield_now().await;
            idle += 1;
            if idle > 100 {
                // Somebody waits for a thread of the runtime.
                tokio::time::sleep(std::time::Duration::from_micros(100)).await;
            }
            if idle.is_multiple_of(2) && !self.advance() && idle > IDLE_POLLS_MAX {
                return false;
            }
            if self.now() > end {
                return true;
            }
        }
        true
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

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let is_over = self.time.with(|state| state.micros >= self.deadline);
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.time.with(|state| {
            state.sleeps.remove(&(self.deadline, self.number));
            state.numbers += 1;
        });
    }
}
