//! The thin edge of Arclake: what arrives becomes lots, what is due becomes runs.
//!
//! Listings and times flow in, commits and plans flow out. Log content is never read, and nothing columnar is linked.
#![deny(missing_docs)]

mod arrivals;
pub mod aws;
mod backfill;
mod commit_index;
mod dispatch;
mod due;
mod error;
mod facts;
mod filter;
mod foreign;
pub mod gather;
mod index;
mod listen;
mod look;
#[cfg(test)]
mod memory_queue;
mod names;
pub mod notification;
mod past;
mod queue;
mod span;
mod spec;
mod spool;
mod superseded;
mod tick;
mod watch;

pub use arrivals::{ARRIVALS_PER_BATCH, Arrival, Arrivals, Listing, Scanned, Taker, scan};
pub use backfill::{ANNOUNCES_AT_ONCE, Backfill, Backfilled, BackfilledLot, Listed, Uploads};
pub use commit_index::CommitIndex;
pub use dispatch::{Dispatched, Dispatcher, DueRun, LOOKBACK_DAYS, SUBSCRIBER, Worker};
pub use due::{
    BACKOFF_SECONDS, BACKOFF_SECONDS_MAX, LastAttempt, Made, SILENT_ATTEMPTS_MAX, Standing, View, Why, plan, standing, standings,
};
pub use error::BoundaryError;
pub use filter::{EXCLUDES_DEFAULT, Filter, FilterSpec};
pub use index::{Folded, Index, MemoryIndex, SqliteIndex};
pub use listen::Listened;
pub use names::{REFUSED_MAX, Refused};
pub use queue::{HELD_MAX, MESSAGES_PER_CALL, Message, Queue, QueueArrivals};
pub use span::{Ask, Hears, LOTS_PER_BACKFILL_MAX, Span};
pub use spec::{BoundarySpec, EventArrival, SETTLE_SECONDS_DEFAULT};
pub use spool::Spool;
pub use tick::{Boundary, CommittedLot, LOTS_PER_TICK_MAX, Ticked};
pub use watch::Watch;
