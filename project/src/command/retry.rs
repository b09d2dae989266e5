//! `arc retry`: another attempt at every run that failed, and a new generation of every run that is partial.

use manifests::{ArcSpec, ArcState, Lot, RunPlan};

use super::run::find_arc;
use super::{Context, Exit, ProjectArgs, replay};
use crate::engine::{self, Engine, Planner, Progress};

/// Arguments of `arc retry`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this arc; all where not given.
    #[arg(long)]
    arc: Option<String>,
    #[command(flatten)]
    project: ProjectArgs,
}

/// Runs them again, in the order in which data flows.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let project = args.project.load()?;
    let arcs: Vec<ArcSpec> = match &args.arc {
        Some(name) => vec![find_arc(&project, name)?.clone()],
        None => project.arcs.clone(),
    };
    let engine = Engine::open(project).await?;
    let progress = Progress::new(context.progress);
    let mut ran = Vec::new();
    for arc in &arcs {
        for plan in to_retry(&engine, arc, context).await? {
            ran.push(engine::run(&engine, arc, &plan, &progress).await);
            replay::tell(ran.last(), context);
        }
    }
    if ran.is_empty() && !context.quiet {
        eprintln!("nothing has failed and nothing is partial");
    }
    replay::finish(&ran, context)
}

/// The plans of an arc's failed and partial lots. A partial lot says the same already, so it is made anew.
async fn to_retry(engine: &Engine, arc: &ArcSpec, context: &Context) -> anyhow::Result<Vec<RunPlan>> {
    let planner = Planner::new(engine, arc).await?;
    let attempts = engine.stores.attempts(&arc.id).await?;
    let plan = |(lot, (_, state)): (Lot, (u32, ArcState))| {
        let is_partial = state == ArcState::Partial;
        let is_wanted = is_partial || state == ArcState::Missing;
        let plan = if is_wanted { planner.plan(lot, context.now) } else { None };
        plan.map(|plan| RunPlan { replay: is_partial, ..plan })
    };
    Ok(attempts.into_iter().filter_map(plan).collect())
}
