//! A boundary of this process, how it hears of arrivals, and when it is to be looked at. On one machine it lists a folder,
//! and notifications wake it; on AWS it drains a queue.
//!
//! A message that nobody could commit counts as received, and one that was received too often goes to the dead letters. So a
//! queue is drained when there is a lot to commit, and not before: at the end of each interval, or for an infrequent boundary
//! when a message comes while no lot of this interval is committed.

use std::sync::Arc;

use anyhow::Context as _;
use boundary::aws::SqsQueue;
use boundary::{Boundary, BoundarySpec, CommitIndex, EventArrival, Listened, QueueArrivals, SqliteIndex, Ticked, Watch};
use chrono::{DateTime, TimeDelta, Utc};
use manifests::Aws;
use project::synth::ProjectNames;
use tokio::sync::Notify;

use super::listener::Listener;
use super::{Options, POLL_SECONDS, Waiting};
use crate::command::Trouble;
use crate::engine::Engine;
use crate::telemetry::Part;

/// The same as [`POLL_SECONDS`] while objects wait that an infrequent boundary takes as soon as they have settled.
const POLL_WAITING_SECONDS: i64 = 3;
/// The wait after a first failure, in seconds; it doubles.
const BACKOFF_SECONDS: i64 = 2;
/// The longest wait after a failure, in seconds.
const BACKOFF_SECONDS_MAX: i64 = 120;
/// How long a receipt of a scan waits for a first message, in seconds.
const RECEIPT_SECONDS: i32 = 1;
/// How far back the last commit is looked for first, in days.
const LOOK_BACK_DAYS: i64 = 1;

/// How arrivals are heard of.
enum Hearing {
    /// By listing, whenever it is time.
    Listing,
    /// By listing, and when a notification says so.
    Watched(#[allow(dead_code)] Watch),
    /// From a queue, whenever it is time.
    Queue(SqsQueue),
    /// From a queue, and when a message comes.
    Listened(SqsQueue, Listener),
}

/// A boundary.
pub(super) struct Entrance {
    boundary: Boundary,
    hearing: Hearing,
    next: DateTime<Utc>,
    failures: u32,
    last: Option<Waiting>,
}

impl Entrance {
    /// Opens a boundary on the engine's placement.
    pub(super) async fn open(engine: &Engine, spec: &BoundarySpec, wake: &Arc<Notify>, options: &Options) -> anyhow::Result<Entrance> {
        let (boundary, hearing) = match &engine.aws {
            Some(aws) => hearing_queue(engine, aws, spec, wake, options).await?,
            None => listing(engine, spec, wake, options)?,
        };
        Ok(Entrance { boundary, hearing, next: DateTime::<Utc>::MIN_UTC, failures: 0, last: None })
    }

    /// Whether it is to be looked at.
    pub(super) fn is_due(&self, now: DateTime<Utc>) -> bool {
        self.next <= now || matches!(&self.hearing, Hearing::Listened(_, listener) if listener.has_heard())
    }

    /// A notification has come: it may have been this one's.
    pub(super) fn notified(&mut self) {
        if matches!(self.hearing, Hearing::Watched(_)) {
            self.next = DateTime::<Utc>::MIN_UTC;
        }
    }

    /// When there may be something to do.
    pub(super) fn next(&self) -> DateTime<Utc> {
        self.next
    }

    /// What waited at the last look.
    pub(super) fn waiting(&self) -> Option<&Waiting> {
        self.last.as_ref()
    }

    /// Files that cannot be taken.
    pub(super) fn refused(&self) -> usize {
        self.boundary.refused()
    }

    /// Its queue, where it has one.
    pub(super) fn queue(&self) -> Option<(String, SqsQueue)> {
        match &self.hearing {
            Hearing::Queue(queue) | Hearing::Listened(queue, _) => Some((self.boundary.spec().name.clone(), queue.clone())),
            Hearing::Listing | Hearing::Watched(_) => None,
        }
    }

    /// Commits what is to be committed; how many lots that were, or what went wrong.
    pub(super) async fn tick(&mut self, now: DateTime<Utc>, options: &Options) -> Result<usize, String> {
        let ticked = self.boundary.tick(now).await;
        let spec = self.boundary.spec().clone();
        match ticked {
            Ok(ticked) => {
                self.queue().iter().for_each(|(name, _)| options.telemetry.answered(&Part::Queue(name.clone()), true));
                options.telemetry.ticked(&spec, &ticked, now);
                options.telemetry.stepped();
                options.tell_lots(&spec.name, &ticked);
                (self.failures, self.last) = (0, Some(Waiting::of(&spec, &ticked, now)));
                self.next = look_again(&ticked, spec.arrival, self.queue().is_some(), now);
                self.listen_from(ticked.open.start());
                Ok(ticked.committed.len())
            }
            Err(error) => {
                self.next = now + backoff(self.failures);
                self.failures += 1;
                // What was heard is held by the boundary, which hands it over at its next look.
                self.listen_from(self.next);
                Err(format!("boundary {}: {error}", spec.name))
            }
        }
    }

    fn listen_from(&self, from: DateTime<Utc>) {
        if let Hearing::Listened(_, listener) = &self.hearing {
            listener.listen_from(from);
        }
    }

    /// Stops hearing; what was heard and not taken is anybody's again.
    pub(super) async fn close(self) {
        if let Hearing::Listened(_, listener) = self.hearing {
            listener.close().await;
        }
    }
}

fn backoff(failures: u32) -> TimeDelta {
    TimeDelta::seconds((BACKOFF_SECONDS << failures.min(10)).min(BACKOFF_SECONDS_MAX))
}

fn look_again(ticked: &Ticked, arrival: EventArrival, is_queue: bool, now: DateTime<Utc>) -> DateTime<Utc> {
    match arrival {
        _ if is_queue => ticked.next,
        EventArrival::Infrequent if ticked.waiting > 0 => ticked.next.min(now + TimeDelta::seconds(POLL_WAITING_SECONDS)),
        _ => ticked.next.min(now + TimeDelta::seconds(POLL_SECONDS)),
    }
}

/// A boundary that lists a folder; where objects are taken at once, notifications wake it.
fn listing(engine: &Engine, spec: &BoundarySpec, wake: &Arc<Notify>, options: &Options) -> anyhow::Result<(Boundary, Hearing)> {
    let index = SqliteIndex::open(&engine.index_path(&spec.name), spec.dataset.id())?;
    let boundary = Boundary::new(spec.clone(), engine.stores.clone(), engine.bus.clone(), Box::new(index))?;
    let folder = spec.dataset.path_uri.strip_prefix("file://").filter(|_| !options.once);
    let Some(folder) = folder else { return Ok((boundary, Hearing::Listing)) };
    std::fs::create_dir_all(folder).with_context(|| format!("boundary {}: cannot make {folder}", spec.name))?;
    if spec.arrival == EventArrival::Frequent {
        return Ok((boundary, Hearing::Listing));
    }
    Ok(match Watch::folder(folder.as_ref(), wake.clone()) {
        Ok(watch) => (boundary, Hearing::Watched(watch)),
        Err(error) => {
            options.progress.say(&format!("{error}; looking every {POLL_SECONDS} s instead"));
            (boundary, Hearing::Listing)
        }
    })
}

/// A boundary that drains the queue that `arc deploy` made for it.
async fn hearing_queue(
    engine: &Engine,
    aws: &Aws,
    spec: &BoundarySpec,
    wake: &Arc<Notify>,
    options: &Options,
) -> anyhow::Result<(Boundary, Hearing)> {
    let names = ProjectNames::of(&engine.project).ok_or_else(|| Trouble::usage("the placement is not on AWS"))?;
    let name = names.queue(&spec.name);
    let found = SqsQueue::find(aws, &name, RECEIPT_SECONDS).await?;
    let absent = || Trouble::not_found(format!("boundary {}: there is no queue {name}", spec.name)).next("arc deploy, which makes it");
    let queue = found.ok_or_else(absent)?;
    let is_listening = spec.arrival == EventArrival::Infrequent && !options.once;
    // S3 tells of whole objects: what is taken at once has nothing to settle.
    let spec = match spec.arrival {
        EventArrival::Infrequent => BoundarySpec { settle: TimeDelta::zero(), ..spec.clone() },
        EventArrival::Frequent => spec.clone(),
    };
    let (unit, since) = (spec.unit, Utc::now() - TimeDelta::days(LOOK_BACK_DAYS));
    let index = CommitIndex::new(engine.stores.clone(), spec.dataset.id(), unit, since);
    let boundary_name = spec.name.clone();
    let boundary = Boundary::new(spec, engine.stores.clone(), engine.bus.clone(), Box::new(index))?;
    if !is_listening {
        let arrivals = QueueArrivals::new(Arc::new(queue.clone()));
        return Ok((boundary.hearing(Box::new(arrivals)), Hearing::Queue(queue)));
    }
    let listened = Arc::new(Listened::new(Arc::new(queue.clone()), Arc::new(queue.waiting(super::listener::LISTEN_SECONDS))));
    let boundary = boundary.hearing(Box::new(QueueArrivals::new(listened.clone())));
    let listener = Listener::start(boundary_name, listened, wake.clone(), options.telemetry.clone());
    Ok((boundary, Hearing::Listened(queue, listener)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use manifests::Lot;

    #[test]
    fn what_settles_is_looked_at_soon() {
        let lot: Lot = "20260206PT5M120".parse().unwrap();
        let ticked = |waiting| Ticked { committed: vec![], waiting, open: lot, next: lot.end() };
        let start = lot.start();
        let look = |waiting, arrival, is_queue| look_again(&ticked(waiting), arrival, is_queue, start) - start;
        assert_eq!(look(1, EventArrival::Infrequent, false), TimeDelta::seconds(POLL_WAITING_SECONDS));
        assert_eq!(look(0, EventArrival::Infrequent, false), TimeDelta::seconds(POLL_SECONDS));
        assert_eq!(look(1, EventArrival::Frequent, false), TimeDelta::seconds(POLL_SECONDS));
        assert_eq!(look(1, EventArrival::Frequent, true), TimeDelta::minutes(5), "a message is received once an interval");
        assert_eq!(look(1, EventArrival::Infrequent, true), TimeDelta::minutes(5));
    }

    #[test]
    fn failures_wait_longer_and_never_too_long() {
        assert_eq!([0, 1, 2, 5, 30].map(|failures| backoff(failures).num_seconds()), [2, 4, 8, 64, 120]);
    }
}
