//! How long a call may go on: a clock and a deadline flow in, whether to stop flows out.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

/// Seconds before the deadline at which nothing more is begun: what is under way ends in them, metrics are told, and what was
/// learned is kept for the next call. Who is cut off by the deadline starts with nothing in memory.
const RESERVE_SECONDS: i64 = 20;

/// Until when a call may begin something.
#[derive(Clone)]
pub struct Until {
    clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    stop: DateTime<Utc>,
}

impl fmt::Debug for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Until({})", self.stop)
    }
}

impl Until {
    /// Until shortly before a deadline, by this clock.
    pub fn new(clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>, deadline: DateTime<Utc>) -> Until {
        Until { clock, stop: deadline - TimeDelta::seconds(RESERVE_SECONDS) }
    }

    /// Without end.
    pub fn never() -> Until {
        Until { clock: Arc::new(|| DateTime::<Utc>::MIN_UTC), stop: DateTime::<Utc>::MAX_UTC }
    }

    /// Whether to stop.
    pub fn is_over(&self) -> bool {
        (self.clock)() >= self.stop
    }
}
