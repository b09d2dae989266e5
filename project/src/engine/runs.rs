//! Runs of arcs in this process, exactly as any worker does them: plans flow in, what became of them flows out. A run
//! that fails is a value, so that it stops no other.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arcs::ArcsError;
use arcs::runner::{Reprocessed, RunContext, RunOptions, RunReport};
use boundary::{Standing, View, Worker};
use chrono::{DateTime, TimeDelta, Utc};
use manifests::{ArcSpec, Lot, ManifestsError, RunPlan};
use project::synth::ProjectNames;

use super::{Engine, Line, Progress};

/// How long a lease holds without being renewed, in seconds.
const LEASE_SECONDS: i64 = 60;
/// A run that reads less may run beside another one, in bytes.
const SMALL_BYTES: u64 = 64 << 20;
/// Text of a failure that is shown, in characters.
const CAUSE_CHARACTERS: usize = 400;

/// What became of one arc on one lot.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The arc's name.
    pub arc: String,
    /// The lot.
    pub lot: Lot,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Committed, now or before.
    Done(Box<RunReport>),
    /// Not committed.
    Failed {
        /// Why.
        cause: String,
        /// Whether it is tried again by itself.
        is_transient: bool,
    },
    /// Another worker has it.
    Elsewhere,
}

impl Ran {
    /// Whether it is partial, or rejected more than it may.
    pub fn is_doubtful(&self) -> bool {
        matches!(&self.outcome, Outcome::Done(report) if !report.is_clean())
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (lot, arc) = (self.lot, &self.arc);
        match &self.outcome {
            Outcome::Elsewhere => write!(f, "{lot} {arc}: another process has it"),
            Outcome::Failed { cause, is_transient } => {
                let cause: String = crate::output::escape(cause).chars().take(CAUSE_CHARACTERS).collect();
                let again = if *is_transient { "; it is tried again" } else { "; arc retry tries again once that is mended" };
                write!(f, "{lot} {arc}: failed: {cause}{again}")
            }
            Outcome::Done(report) if report.was_done => write!(f, "{lot} {arc}: done before"),
            Outcome::Done(report) => {
                let counts = &report.counts;
                write!(f, "{lot} {arc}: {}, {} rows", report.state, counts.rows)?;
                if counts.rejected > 0 {
                    write!(f, ", {} rejected", counts.rejected)?;
                }
                write!(f, ", {:.1} s", report.seconds)?;
                report.comment.iter().try_for_each(|comment| write!(f, " ({})", crate::output::escape(comment)))
            }
        }
    }
}

/// This process as dispatch knows it.
pub fn worker(engine: &Engine) -> Worker {
    Worker { owner: engine.owner.clone(), lease: TimeDelta::seconds(LEASE_SECONDS), is_dead: Arc::new(Engine::is_dead) }
}

/// This process as the runner knows it. Temporary files lie in the placement's cache.
fn context(engine: &Engine, line: Option<Line>) -> RunContext {
    let spill = engine.root.join("cache");
    let _ = std::fs::create_dir_all(&spill);
    let worker = worker(engine);
    RunContext {
        stores: engine.stores.clone(),
        bus: engine.bus.clone(),
        clock: Arc::new(Utc::now),
        owner: worker.owner,
        is_dead: worker.is_dead,
        lease: worker.lease,
        options: RunOptions::new(threads(), spill),
        environment: Arc::new(|name| std::env::var(name).ok()),
        aws: engine.aws.clone(),
        athena: ProjectNames::of(&engine.project).map(|names| names.athena()),
        progress: line.map(|line| -> Arc<dyn Fn(arcs::Progress) + Send + Sync> { Arc::new(move |at| line.show(&at)) }),
    }
}

/// Cores of this machine.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs one arc on one lot.
pub async fn run(engine: &Engine, arc: &ArcSpec, plan: &RunPlan, progress: &Progress) -> Ran {
    let name = arc.id.arc.clone();
    let line = progress.is_shown().then(|| progress.spinner(format!("{} {name}", plan.lot)));
    let outcome = match arcs::runner::run(&context(engine, line), arc, plan).await {
        Ok(report) => Outcome::Done(Box::new(report)),
        Err(ArcsError::Manifests(ManifestsError::Leased { .. })) => Outcome::Elsewhere,
        Err(error) => Outcome::Failed { cause: error.to_string(), is_transient: error.is_transient() },
    };
    Ran { arc: name, lot: plan.lot, outcome }
}

/// Reads the rejects of one lot again.
pub async fn reprocess(engine: &Engine, arc: &ArcSpec, lot: Lot, is_dry: bool, progress: &Progress) -> Result<Reprocessed, ArcsError> {
    let line = progress.is_shown().then(|| progress.spinner(format!("{lot} {}", arc.id.arc)));
    arcs::runner::reprocess(&context(engine, line), arc, lot, is_dry).await
}

/// Whether a run reads little enough to run beside another.
pub async fn is_small(engine: &Engine, arc: &ArcSpec, plan: &RunPlan) -> bool {
    let mut bytes = 0;
    for commit in &plan.sources {
        let Some(source) = arc.sources.iter().find(|source| source.dataset.id() == commit.dataset) else { continue };
        match engine.stores.latest(&source.dataset, commit.lot).await {
            Ok(manifest) => bytes += manifest.map_or(0, |manifest| manifest.bytes()),
            Err(_) => return false,
        }
        if bytes > SMALL_BYTES {
            return false;
        }
    }
    true
}

/// The lots of an arc's sources, and with them the plan of any of its lots: what dispatch would plan.
#[derive(Debug)]
pub struct Planner<'a> {
    arc: &'a ArcSpec,
    view: View,
}

impl<'a> Planner<'a> {
    /// Lists the sources.
    pub async fn new(engine: &Engine, arc: &'a ArcSpec) -> Result<Planner<'a>, ManifestsError> {
        let mut sources = Vec::new();
        for source in &arc.sources {
            let lots = engine.stores.lots(&source.dataset.id()).await?;
            sources.push(lots.into_iter().map(|(lot, entry)| (lot, entry.generation)).collect::<BTreeMap<_, _>>());
        }
        Ok(Planner { arc, view: View { sources, ..View::default() } })
    }

    /// The plan of a lot; `None` where sources that the arc waits for are not there.
    pub fn plan(&self, lot: Lot, now: DateTime<Utc>) -> Option<RunPlan> {
        match boundary::standing(self.arc, &self.view, lot, now) {
            Standing::Due { plan, .. } if !plan.sources.is_empty() => Some(plan),
            _ => None,
        }
    }

    /// The source lots that a lot waits for, as `dataset lot`.
    pub fn missing(&self, lot: Lot) -> Vec<String> {
        let missing = self.arc.sources.iter().zip(&self.view.sources).filter(|(source, _)| source.subscribe);
        let of_source = |(source, lots): (&manifests::ArcSource, &BTreeMap<Lot, u32>)| -> Vec<String> {
            let covered = lot.covered(source.unit).into_iter().filter(|covered| !lots.contains_key(covered));
            covered.map(|covered| format!("{} {covered}", source.dataset.name)).collect()
        };
        missing.flat_map(of_source).collect()
    }
}
