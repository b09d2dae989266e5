//! `arc retry`: another attempt at every run that failed, and a new generation of every run that is partial. What runs here
//! runs in this process; a user's image on AWS runs in jobs alone, so there the dispatch function is asked for one.

use aws_sdk_lambda::primitives::Blob;
use manifests::{ArcSpec, ArcState, Lot, RunPlan};
use project::synth::{self, ProjectNames};

use super::run::find_arc;
use super::{Context, Exit, ProjectArgs, Trouble, replay};
use crate::cloud::said;
use crate::engine::{self, Engine, Planner, Progress};
use crate::logs;

/// Arguments of `arc retry`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this arc; all where not given.
    #[arg(long)]
    arc: Option<String>,
    /// Only this lot; all where not given.
    #[arg(long, value_name = "LOT")]
    lot: Option<Lot>,
    #[command(flatten)]
    project: ProjectArgs,
}

/// Runs them again, in the order in which data flows.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let project = args.project.load()?;
    let arcs: Vec<ArcSpec> = match &args.arc {
        Some(name) => vec![find_arc(&project, name, "--arc")?.clone()],
        None => project.arcs.clone(),
    };
    let engine = args.project.open(project).await?;
    let progress = Progress::new(context.progress);
    let (mut ran, mut submitted) = (Vec::new(), 0);
    for arc in &arcs {
        let plans = to_retry(&engine, arc, context).await?;
        for plan in plans.into_iter().filter(|plan| args.lot.is_none_or(|lot| lot == plan.lot)) {
            if let Some(function) = remote(&engine, arc) {
                submit(&engine, arc, &plan, &function).await?;
                submitted += 1;
                continue;
            }
            ran.push(engine::run(&engine, arc, &plan, &progress).await);
            replay::tell(ran.last(), context);
        }
    }
    if ran.is_empty() && submitted == 0 && !context.quiet {
        logs::say("nothing has failed and nothing is partial");
    }
    replay::finish(&ran, context)
}

/// The function to ask where an arc's image runs nowhere but in jobs.
fn remote(engine: &Engine, arc: &ArcSpec) -> Option<String> {
    let names = ProjectNames::of(&engine.project).filter(|_| synth::is_user_image(arc));
    names.map(|names| names.dispatch_function())
}

/// Has the job of a lot submitted.
async fn submit(engine: &Engine, arc: &ArcSpec, plan: &RunPlan, function: &str) -> anyhow::Result<()> {
    let Some(aws) = &engine.aws else { return Ok(()) };
    let event = serde_json::json!({"retry": {"arc": arc.id.arc, "lot": plan.lot.to_string()}});
    let call = aws_sdk_lambda::Client::new(aws.config()).invoke().function_name(function).payload(Blob::new(event.to_string()));
    let answer = call.send().await.map_err(|error| said(&format!("ask function {function} for a job"), &error))?;
    match answer.function_error() {
        Some(_) => Err(Trouble::failed(format!("function {function} submits no job of {} on {}", arc.id.arc, plan.lot))
            .next("the log of the function")
            .into()),
        None => {
            logs::say(&format!("{} {}: its job is submitted", arc.id.arc, plan.lot));
            Ok(())
        }
    }
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
