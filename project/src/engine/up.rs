//! `arc up`: boundaries, dispatch and workers in one process. Time, the watched folders and the stores flow in; commits
//! flow out. What is due is looked for again and again, so a lost notification costs time and nothing else, and a second
//! process on the same root changes nothing but who does the work. An arc or a boundary that fails stops no other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use boundary::{Boundary, BoundarySpec, Dispatcher, DueRun, EventArrival, SqliteIndex, Ticked, Watch};
use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt;
use manifests::Lot;
use tokio::sync::{Notify, Semaphore};

use super::runs::{self, Outcome, Ran};
use super::{Engine, Progress, Stop};

/// The longest time without a look, in seconds.
const POLL_SECONDS: i64 = 30;
/// The same while objects wait that an infrequent boundary takes as soon as they have settled.
const POLL_WAITING_SECONDS: i64 = 3;
/// How long notifications are gathered before a look, in milliseconds.
const GATHER_MILLISECONDS: u64 = 500;
/// Runs side by side.
const RUNS_MAX: u32 = 2;
/// How often one run is begun without an end to the work, before it has to wait for the next look.
const BEGINNINGS_MAX: u32 = 10;
/// Pause between looks that found nothing but what another process has in hand, in milliseconds.
const ELSEWHERE_MILLISECONDS: u64 = 200;
/// Looks in a row that may find only empty lots before there is such a pause.
const EMPTY_LOOKS_MAX: u32 = 3;
/// Runs remembered for the listing at the end; beyond that only the sums go on.
const REMEMBERED_MAX: usize = 100_000;

/// How `up` works.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether to end when nothing is due.
    pub once: bool,
    /// The time that boundaries see; the clock where not given. Leases always go by the clock.
    pub as_of: Option<DateTime<Utc>>,
    /// Where progress is shown.
    pub progress: Progress,
    /// Whether a line is said for each lot and run.
    pub is_told: bool,
}

/// What was done until the end.
#[derive(Debug, Default)]
pub struct Summary {
    /// The runs of `--once`, as far as they are remembered.
    pub ran: Vec<Ran>,
    /// Lots that boundaries committed.
    pub lots: usize,
    /// All-empty lots that were published without a worker.
    pub empties: usize,
    /// Runs, ticks and looks that failed.
    pub failures: usize,
    /// Runs that are partial, or rejected more than they may.
    pub doubtful: usize,
    /// For each boundary: its name, what waits there, the open lot.
    pub waiting: Vec<(String, usize, Lot)>,
    /// Files that no boundary can take until they are renamed or made readable; the log says which.
    pub refused: usize,
}

/// The boundaries and the dispatcher of a project.
struct Edge {
    boundaries: Vec<Boundary>,
    dispatcher: Dispatcher,
    wake: Arc<Notify>,
    _watches: Vec<Watch>,
}

/// Works until stopped, or until nothing is due.
pub async fn up(engine: &Engine, options: &Options, mut stop: Stop) -> anyhow::Result<Summary> {
    let mut edge = Edge::open(engine, options).await?;
    let mut summary = Summary::default();
    loop {
        let next = edge.work_off(engine, options, &stop, &mut summary).await;
        if options.once || stop.is_asked() {
            return Ok(summary);
        }
        wait(next, &edge.wake, &mut stop).await;
        if stop.is_asked() {
            return Ok(summary);
        }
    }
}

async fn wait(next: DateTime<Utc>, wake: &Notify, stop: &mut Stop) {
    let length = (next - Utc::now()).clamp(TimeDelta::zero(), TimeDelta::seconds(POLL_SECONDS));
    tokio::select! {
        _ = tokio::time::sleep(length.to_std().unwrap_or_default()) => {}
        _ = stop.asked() => {}
        _ = wake.notified() => tokio::time::sleep(Duration::from_millis(GATHER_MILLISECONDS)).await,
    }
}

impl Edge {
    async fn open(engine: &Engine, options: &Options) -> anyhow::Result<Edge> {
        let wake = Arc::new(Notify::new());
        let (mut boundaries, mut watches) = (Vec::new(), Vec::new());
        for spec in &engine.project.boundaries {
            if !options.once {
                watches.extend(watch(spec, &wake, options)?);
            }
            let index = SqliteIndex::open(&engine.index_path(&spec.name), spec.dataset.id())?;
            boundaries.push(Boundary::new(spec.clone(), engine.stores.clone(), engine.bus.clone(), Box::new(index))?);
        }
        let dispatcher = Dispatcher::new(engine.stores.clone(), engine.bus.clone()).await?;
        Ok(Edge { boundaries, dispatcher, wake, _watches: watches })
    }

    /// Ticks, dispatches and runs until nothing is due; comes back with the time of the next look.
    async fn work_off(&mut self, engine: &Engine, options: &Options, stop: &Stop, summary: &mut Summary) -> DateTime<Utc> {
        let mut begun: HashMap<(usize, Lot), u32> = HashMap::new();
        let mut empty_looks = 0;
        loop {
            let (next, committed) = self.tick(options, summary).await;
            let (runs, empties) = self.dispatch(engine, options, summary).await;
            let runs: Vec<DueRun> = runs.into_iter().filter(|run| is_to_begin(&mut begun, run)).collect();
            empty_looks = if runs.is_empty() && committed == 0 { empty_looks + 1 } else { 0 };
            if stop.is_asked() || (empty_looks > 0 && empties == 0) {
                return next;
            }
            if empty_looks > EMPTY_LOOKS_MAX {
                tokio::time::sleep(Duration::from_millis(ELSEWHERE_MILLISECONDS)).await;
            }
            run_all(engine, options, stop, runs, summary).await;
        }
    }

    /// One tick of every boundary: when to look again, and how many lots were committed.
    async fn tick(&mut self, options: &Options, summary: &mut Summary) -> (DateTime<Utc>, usize) {
        let now = options.as_of.unwrap_or_else(Utc::now);
        let mut next = now + TimeDelta::seconds(POLL_SECONDS);
        let mut committed = 0;
        summary.waiting.clear();
        summary.refused = 0;
        for boundary in &mut self.boundaries {
            let (name, arrival) = (boundary.spec().name.clone(), boundary.spec().arrival);
            match boundary.tick(now).await {
                Ok(ticked) => {
                    next = next.min(look_again(&ticked, arrival, now));
                    committed += ticked.committed.len();
                    tell_lots(options, &name, &ticked);
                    summary.waiting.push((name, ticked.waiting, ticked.open));
                }
                Err(error) => fail(options, summary, &format!("boundary {name}: {error}")),
            }
            summary.refused += boundary.refused();
        }
        summary.lots += committed;
        (next, committed)
    }

    async fn dispatch(&mut self, engine: &Engine, options: &Options, summary: &mut Summary) -> (Vec<DueRun>, usize) {
        match self.dispatcher.pass(&engine.project.arcs, Utc::now(), &runs::worker(engine)).await {
            Ok(found) => {
                summary.empties += found.empties;
                (found.runs, found.empties)
            }
            Err(error) => {
                fail(options, summary, &format!("looking for what is due: {error}"));
                (Vec::new(), 0)
            }
        }
    }
}

/// Notifications for a boundary that takes objects at once; the others look when their lot ends.
fn watch(spec: &BoundarySpec, wake: &Arc<Notify>, options: &Options) -> anyhow::Result<Option<Watch>> {
    let Some(folder) = spec.dataset.path_uri.strip_prefix("file://") else { return Ok(None) };
    std::fs::create_dir_all(folder).map_err(|error| anyhow::anyhow!("boundary {}: cannot make {folder}: {error}", spec.name))?;
    if spec.arrival == EventArrival::Frequent {
        return Ok(None);
    }
    match Watch::folder(folder.as_ref(), wake.clone()) {
        Ok(watch) => Ok(Some(watch)),
        Err(error) => {
            options.progress.say(&format!("{error}; looking every {POLL_SECONDS} s instead"));
            Ok(None)
        }
    }
}

fn look_again(ticked: &Ticked, arrival: EventArrival, now: DateTime<Utc>) -> DateTime<Utc> {
    match arrival {
        EventArrival::Infrequent if ticked.waiting > 0 => ticked.next.min(now + TimeDelta::seconds(POLL_WAITING_SECONDS)),
        _ => ticked.next,
    }
}

/// A run that comes back again and again without anything else happening is left for later.
fn is_to_begin(begun: &mut HashMap<(usize, Lot), u32>, run: &DueRun) -> bool {
    let times = begun.entry((run.arc, run.plan.lot)).or_default();
    *times += 1;
    *times <= BEGINNINGS_MAX
}

fn fail(options: &Options, summary: &mut Summary, message: &str) {
    summary.failures += 1;
    options.progress.say(&format!("error: {message}"));
}

fn tell_lots(options: &Options, boundary: &str, ticked: &Ticked) {
    for lot in ticked.committed.iter().filter(|lot| options.is_told && lot.objects > 0) {
        options.progress.say(&format!("{} {boundary}: {} with {} objects", lot.lot, lot.state, lot.objects));
    }
}

/// Runs what is due, small runs side by side; after a request to stop nothing more is begun.
async fn run_all(engine: &Engine, options: &Options, stop: &Stop, due: Vec<DueRun>, summary: &mut Summary) {
    let permits = Semaphore::new(RUNS_MAX as usize);
    let line = (due.len() > 1).then(|| options.progress.count("runs", due.len() as u64));
    let all = due.iter().map(|due| async {
        let arc = &engine.project.arcs[due.arc];
        let weight = if runs::is_small(engine, arc, &due.plan).await { 1 } else { RUNS_MAX };
        let _permit = permits.acquire_many(weight).await;
        match stop.is_asked() {
            true => None,
            false => Some(runs::run(engine, arc, &due.plan, &options.progress).await),
        }
    });
    let mut all = futures::stream::iter(all).buffer_unordered(RUNS_MAX as usize);
    while let Some(ran) = all.next().await {
        if let Some(line) = &line {
            line.more(1);
        }
        let Some(ran) = ran else { continue };
        if options.is_told || matches!(ran.outcome, Outcome::Failed { .. }) {
            options.progress.say(&ran.to_string());
        }
        summary.failures += usize::from(matches!(ran.outcome, Outcome::Failed { .. }));
        summary.doubtful += usize::from(ran.is_doubtful());
        if options.once && summary.ran.len() < REMEMBERED_MAX {
            summary.ran.push(ran);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use boundary::Why;
    use manifests::RunPlan;

    #[test]
    fn a_run_that_comes_back_for_ever_has_to_wait() {
        let lot: Lot = "20260206PT5M120".parse().unwrap();
        let run = |arc| DueRun { arc, plan: RunPlan { lot, sources: vec![], replay: false }, why: Why::New };
        let mut begun = HashMap::new();
        assert_eq!((0..100).filter(|_| is_to_begin(&mut begun, &run(0))).count(), BEGINNINGS_MAX as usize);
        assert!(is_to_begin(&mut begun, &run(1)), "it holds up no other arc");
    }

    #[test]
    fn what_settles_is_looked_at_soon() {
        let lot: Lot = "20260206PT5M120".parse().unwrap();
        let ticked = |waiting| Ticked { committed: vec![], waiting, open: lot, next: lot.end() };
        let soon = lot.start() + TimeDelta::seconds(POLL_WAITING_SECONDS);
        assert_eq!(look_again(&ticked(1), EventArrival::Infrequent, lot.start()), soon);
        assert_eq!(look_again(&ticked(0), EventArrival::Infrequent, lot.start()), lot.end());
        assert_eq!(look_again(&ticked(1), EventArrival::Frequent, lot.start()), lot.end());
    }
}
