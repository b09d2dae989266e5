//! One arc on one lot, the same for every worker. A plan flows in; published files, commits, events and a report flow
//! out. Workloads stage, this decides: nothing is published before the last byte is staged and the lease is still ours,
//! and what is committed is never called failed. Time is asked of the caller's clock.

mod report;
mod reprocess;
mod sources;
mod stale;

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use manifests::{
    ArcSpec, ArcState, Aws, Bus, Lease, MAIN_ROLE, Manifest, ManifestsError, REJECTS_ROLE, Receipt, RunPlan, SinkOutput, State, Stores,
};

use crate::convert::Progress;
use crate::error::ArcsError;
use crate::read::ObjectProblem;
use crate::workload::{self, AthenaPlace, RunInput, SinkFiles, Work};

pub use report::RunReport;
pub use reprocess::{Reprocessed, reprocess};
pub use sources::SourceLots;
pub(crate) use sources::{list_below, source_object, target};
pub(crate) use stale::remove_beside as remove_staged_beside;

/// Objects that the comment of a partial manifest names; the others are counted.
const COMMENT_PROBLEMS_MAX: usize = 3;

/// Bytes of a failure's cause that the attempt keeps.
const CAUSE_BYTES_MAX: usize = 2_000;

/// Renewals in the length of a lease.
const HEARTBEATS_PER_LEASE: i32 = 3;

/// Memory that a query may use before it spills, in bytes.
const QUERY_MEMORY_BYTES: usize = 100 << 20;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// Gives the value of an environment variable.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What a worker brings to every run.
#[derive(Clone)]
pub struct RunContext {
    /// Manifests, arc state and data.
    pub stores: Stores,
    /// Where availability is announced.
    pub bus: Arc<dyn Bus>,
    /// The time.
    pub clock: Clock,
    /// This worker, as leases name it.
    pub owner: String,
    /// Whether the worker of that name is certainly gone.
    pub is_dead: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    /// How long a lease holds without being renewed.
    pub lease: TimeDelta,
    /// Threads, memory and local disk.
    pub options: RunOptions,
    /// Values of environment variables, for the keys that arcs name.
    pub environment: Environment,
    /// The account of AWS that the placement is in; none for a local one.
    pub aws: Option<Aws>,
    /// What the project has in Athena; none on a local placement.
    pub athena: Option<AthenaPlace>,
    /// Told how far a conversion is.
    pub progress: Option<Arc<dyn Fn(Progress) + Send + Sync>>,
}

/// What a run may use of its machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOptions {
    /// Threads that parse and encode.
    pub threads: usize,
    /// Memory that a query may use before it spills, in bytes.
    pub query_memory_bytes: usize,
    /// Where rows wait on local disk.
    pub spill_folder: PathBuf,
}

impl RunOptions {
    /// So many threads, temporary files below `spill_folder`, and the usual 100 MiB for a query.
    pub fn new(threads: usize, spill_folder: PathBuf) -> RunOptions {
        RunOptions { threads: threads.max(1), query_memory_bytes: QUERY_MEMORY_BYTES, spill_folder }
    }
}

impl RunContext {
    fn now(&self) -> DateTime<Utc> {
        (self.clock)()
    }
}

/// What a run committed, now or before.
struct Committed {
    manifests: Vec<Manifest>,
    is_past_reject_limit: bool,
}

/// Runs one arc on one lot and settles it. A lot that is done already is reported and not done again; one that is
/// committed but not announced is announced. Fails with a [`ManifestsError::Leased`] inside when another worker has the
/// lot, or took it over; then nothing of this run is published. Dropping the future leaves nothing readable, except what
/// was published before it; the next attempt finishes that.
pub async fn run(context: &RunContext, arc: &ArcSpec, plan: &RunPlan) -> Result<RunReport, ArcsError> {
    if let Some(manifests) = finished(context, arc, plan).await? {
        let is_past_reject_limit = workload::is_past_reject_limit(arc, &manifests);
        let report = RunReport::new(arc, plan, &context.stores, &manifests, is_past_reject_limit);
        return Ok(RunReport { was_done: true, ..report });
    }
    let (stores, is_dead) = (&context.stores, |owner: &str| (context.is_dead)(owner));
    let mut lease = stores.acquire(&arc.id, plan.lot, &context.owner, context.now(), context.lease, is_dead).await?;
    let committed = match produce(context, arc, plan, &mut lease).await {
        Ok(committed) => committed,
        Err(error) => {
            record_failure(context, arc, plan, &lease, &error).await;
            return Err(error);
        }
    };
    // From here on the lot is done. Where settling fails the attempt stays as it is, and the next one settles.
    stores.settle_run(&committed.manifests, &lease, context.bus.as_ref(), context.now()).await?;
    Ok(RunReport::new(arc, plan, stores, &committed.manifests, committed.is_past_reject_limit))
}

/// The manifests of a lot that is published and settled.
async fn finished(context: &RunContext, arc: &ArcSpec, plan: &RunPlan) -> Result<Option<Vec<Manifest>>, ArcsError> {
    let Some(manifests) = context.stores.published_run(arc, plan).await? else { return Ok(None) };
    let last = context.stores.last_attempt(&arc.id, plan.lot).await?;
    let is_settled = last.is_some_and(|last| matches!(last.state, ArcState::Complete | ArcState::Partial));
    Ok(is_settled.then_some(manifests))
}

/// Everything up to the commits.
async fn produce(context: &RunContext, arc: &ArcSpec, plan: &RunPlan, lease: &mut Lease) -> Result<Committed, ArcsError> {
    if lease.attempt > 1 {
        context.stores.follow_main(arc, plan.lot).await?;
    }
    if let Some(manifests) = context.stores.published_run(arc, plan).await? {
        return Ok(Committed { is_past_reject_limit: workload::is_past_reject_limit(arc, &manifests), manifests });
    }
    let started = context.now();
    if lease.attempt > 1 {
        stale::remove(arc, plan.lot).await;
    }
    let work = stage(context, arc, plan, lease).await?;
    let (counts, problems) = (work.counts, work.problems);
    // The last look before anything can be read: whoever was taken over stops here.
    if let Err(error) = context.stores.renew(lease, context.now()).await {
        work.staged.abort().await;
        return Err(error.into());
    }
    let files = with_heartbeat(context, lease, work.staged.publish()).await?;
    let seconds = (context.now() - started).num_milliseconds() as f64 / 1_000.0;
    let receipt = Receipt { arc: arc.id.arc.clone(), attempt: lease.attempt, sources: plan.sources.clone(), counts, seconds };
    let outputs: Vec<SinkOutput> = arc.sinks.iter().map(|sink| output(&sink.role, &files, &problems)).collect();
    let manifests = context.stores.commit_run(arc, plan, &receipt, &outputs).await?;
    Ok(Committed { is_past_reject_limit: workload::is_past_reject_limit(arc, &manifests), manifests })
}

/// What a sink's manifest is to say.
fn output(role: &str, files: &[SinkFiles], problems: &[ObjectProblem]) -> SinkOutput {
    let of = |role: &str| files.iter().filter(|files| files.role == role).flat_map(|files| files.objects.clone()).collect::<Vec<_>>();
    let objects = of(role);
    let rejects = if role == MAIN_ROLE { of(REJECTS_ROLE) } else { Vec::new() };
    let columns = files.iter().filter(|files| files.role == role).flat_map(|files| files.columns.clone()).collect();
    let state = match (problems.is_empty(), objects.is_empty()) {
        (false, _) => State::Partial,
        (true, true) => State::Empty,
        (true, false) => State::Complete,
    };
    SinkOutput { role: role.to_owned(), state, comment: comment(problems), objects, rejects, columns }
}

/// Reads the sources and lets the workload stage its files; sources that are all empty start no workload.
async fn stage(context: &RunContext, arc: &ArcSpec, plan: &RunPlan, lease: &mut Lease) -> Result<Work, ArcsError> {
    let workload = workload::of(arc)?;
    let sources = sources::read(&context.stores, arc, plan).await?;
    if sources.iter().all(SourceLots::is_empty) {
        return Ok(Work::nothing());
    }
    let input = RunInput { context, arc, lot: plan.lot, attempt: lease.attempt, sources };
    let work = with_heartbeat(context, lease, workload.run(&input)).await?;
    if !work.counts.is_balanced() {
        work.staged.abort().await;
        return Err(ArcsError::internal("the lines of the lot are not all accounted for"));
    }
    Ok(work)
}

/// Keeps the lease while `work` goes on. A store that cannot be reached is tried again at the next beat; another owner
/// ends the work.
async fn with_heartbeat<T>(
    context: &RunContext,
    lease: &mut Lease,
    work: impl Future<Output = Result<T, ArcsError>>,
) -> Result<T, ArcsError> {
    let beat = (context.lease / HEARTBEATS_PER_LEASE).to_std().unwrap_or_default().max(std::time::Duration::from_millis(1));
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(beat) => match context.stores.renew(lease, context.now()).await {
                Err(error @ ManifestsError::Leased { .. }) => return Err(error.into()),
                Err(error) => tracing::warn!(arc = lease.arc.arc, lot = %lease.lot, "the lease could not be renewed: {error}"),
                Ok(()) => {}
            },
        }
    }
}

/// Finishes the attempt as missing, unless another has it, or its commits are there after all.
async fn record_failure(context: &RunContext, arc: &ArcSpec, plan: &RunPlan, lease: &Lease, error: &ArcsError) {
    if matches!(error, ArcsError::Manifests(ManifestsError::Leased { .. })) {
        return;
    }
    if !plan.replay && !matches!(context.stores.published_run(arc, plan).await, Ok(None)) {
        return;
    }
    let is_race_lost = matches!(error, ArcsError::Manifests(ManifestsError::Committed { .. }));
    let cause = shortened(&error.to_string(), CAUSE_BYTES_MAX);
    let done = context.stores.finish(lease, ArcState::Missing, Some(cause), error.is_transient() || is_race_lost, context.now()).await;
    if let Err(error) = done {
        tracing::warn!(arc = lease.arc.arc, lot = %lease.lot, "the failed attempt could not be finished: {error}");
    }
}

fn comment(problems: &[ObjectProblem]) -> Option<String> {
    let shown = problems.iter().take(COMMENT_PROBLEMS_MAX).map(|problem| format!("{}: {}", problem.uri, problem.reason));
    let mut parts: Vec<String> = shown.map(|text| shortened(&text, CAUSE_BYTES_MAX)).collect();
    if problems.len() > COMMENT_PROBLEMS_MAX {
        parts.push(format!("and {} more", problems.len() - COMMENT_PROBLEMS_MAX));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// At most `bytes_max` bytes of a text, cut between characters, with control characters escaped.
pub(crate) fn shortened(text: &str, bytes_max: usize) -> String {
    let mut shown = String::new();
    for character in text.chars() {
        if shown.len() >= bytes_max {
            shown.push('…');
            break;
        }
        match character.is_control() {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    shown
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod reprocess_tests;
#[cfg(test)]
mod tests;
