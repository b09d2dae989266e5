//! A worker of schedules: looks for what is due and runs it, as `arc up` does, with a clock that is not the machine's.

use std::sync::Arc;

use arcs::runner::{self, Clock, RunContext, RunOptions};
use boundary::{Dispatcher, Standing, Worker};
use chrono::TimeDelta;
use manifests::{ArcSpec, Bus, Lot, RunPlan, Stores};

/// The length of a lease, in seconds.
pub(crate) const LEASE_SECONDS: i64 = 90;

/// A worker as dispatch knows it.
pub(crate) fn worker(owner: &str) -> Worker {
    Worker { owner: owner.to_owned(), lease: TimeDelta::seconds(LEASE_SECONDS), is_dead: Arc::new(|_| false) }
}

/// The same as the runner knows it.
pub(crate) fn context(stores: &Stores, bus: &Arc<dyn Bus>, clock: Clock, owner: &str) -> RunContext {
    let Worker { owner, lease, is_dead } = worker(owner);
    RunContext {
        stores: stores.clone(),
        bus: bus.clone(),
        clock,
        owner,
        is_dead,
        lease,
        options: RunOptions::new(1, std::env::temp_dir()),
        environment: Arc::new(|_| None),
        aws: None,
        athena: None,
        progress: None,
    }
}

/// One pass: what is due is run. Gives how much was left to do when it began; `None` where looking failed. With `retry`,
/// what failed for good is run as well, as `arc retry` does.
pub(crate) async fn work_once(context: &RunContext, arcs: &[ArcSpec], dispatcher: &mut Dispatcher, retry: bool) -> Option<usize> {
    let (now, worker) = ((context.clock)(), worker(&context.owner));
    let found = dispatcher.pass(arcs, now, &worker).await.ok()?;
    let mut left = found.empties.len() + found.runs.len();
    for run in &found.runs {
        let _ = runner::run(context, &arcs[run.arc], &run.plan).await;
    }
    for arc in arcs.iter().filter(|_| retry) {
        let standings = dispatcher.standings(arc, (context.clock)(), &worker).await.ok()?;
        left += standings.values().filter(|standing| !matches!(standing, Standing::Done(_) | Standing::Waiting { .. })).count();
        for (lot, standing) in standings {
            if let Standing::Failed(_) = standing {
                run_anyway(context, arc, dispatcher, lot, false).await;
            }
        }
    }
    Some(left)
}

/// Somebody asks for a lot that is done to be done again; `pick` says which of how many.
pub(crate) async fn replay(context: &RunContext, arc: &ArcSpec, dispatcher: &mut Dispatcher, pick: impl Fn(usize) -> usize) {
    let standings = dispatcher.standings(arc, (context.clock)(), &worker(&context.owner)).await.unwrap_or_default();
    let done: Vec<Lot> = standings.into_iter().filter(|(_, standing)| matches!(standing, Standing::Done(_))).map(|(lot, _)| lot).collect();
    if let Some(lot) = done.get(pick(done.len())) {
        run_anyway(context, arc, dispatcher, *lot, true).await;
    }
}

async fn run_anyway(context: &RunContext, arc: &ArcSpec, dispatcher: &mut Dispatcher, lot: Lot, replay: bool) {
    if let Ok(Some(plan)) = dispatcher.plan(arc, lot).await {
        let _ = runner::run(context, arc, &RunPlan { replay, ..plan }).await;
    }
}
