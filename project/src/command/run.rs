//! `arc run`: one arc on one lot, exactly as a worker would run it; or, without a project, files in and Parquet out. The
//! receipt goes to stdout.

use std::path::PathBuf;

use arcs::runner::RunReport;
use manifests::{ArcSpec, Lot, RunPlan, State};
use project::Project;

use super::shaping::ShapingArgs;
use super::{Context, Exit, ProjectArgs, Trouble, detect, formats, run_files};
use crate::cloud::CloudArgs;
use crate::engine::{self, Engine, Job, Outcome, Planner, Progress, Ran, Stop};
use crate::logs;
use crate::output::escape;
use crate::output::{Cell, print_record};

/// Arguments of `arc run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  arc run --input 'logs/2023-07-*' --sink parquet/
  arc run --format s3-access --input 'logs/*' --sink parquet/ \\
    --partition dt,bucket --redact remote_ip=ip --compression snappy \\
    --select \"SELECT time, bucket, key FROM log WHERE http_status >= 400\"
  arc run --arc convert --lot 20230717PT5M250 -p project.jsonnet")]
pub struct Args {
    /// The arc to run, of a project.
    #[arg(long, value_name = "NAME", requires = "lot", conflicts_with = "input")]
    arc: Option<String>,
    /// The lot; with --input, that of now or the next one that the sink does not have, where not given.
    #[arg(long)]
    lot: Option<Lot>,
    /// The project file, JSON or Jsonnet; `-` reads stdin.
    #[arg(short, long = "project", value_name = "FILE", env = "ARC_PROJECT")]
    project: Option<PathBuf>,
    /// A Jsonnet external variable; may be given more than once.
    #[arg(long = "ext-str", value_name = "KEY=VALUE")]
    ext_str: Vec<String>,
    #[command(flatten)]
    cloud: CloudArgs,
    /// Run only if the source lots are in this state: complete, empty, partial or removed.
    #[arg(long, value_name = "STATE", conflicts_with = "input", value_parser = parse_state)]
    manifest_state: Option<State>,
    /// With --input: the format of the files; detected where not given.
    #[arg(long, requires = "input")]
    format: Option<String>,
    /// With --format: an option of the format; may be given more than once.
    #[arg(long = "format-option", value_name = "KEY=VALUE", requires = "format")]
    format_options: Vec<String>,
    /// Convert these files, without a project: paths or globs; may be given more than once.
    #[arg(long, value_name = "GLOB", num_args = 1.., requires = "sink")]
    input: Vec<String>,
    /// The folder that the Parquet goes to; rejects go to its `_rejects`.
    #[arg(long, value_name = "DIR", requires = "input")]
    sink: Option<PathBuf>,
    #[command(flatten)]
    shaping: ShapingArgs,
}

fn parse_state(text: &str) -> Result<State, String> {
    let known = State::ALL.into_iter().find(|state| state.as_str() == text);
    known.ok_or_else(|| format!("use {}", State::ALL.map(State::as_str).join(", ")))
}

/// Runs the arc or converts the files.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    if let Some(sink) = &args.sink {
        let (shaping, write) = args.shaping.read()?;
        let format = match &args.format {
            Some(format) => formats::named(format, &args.format_options)?,
            None => {
                let named = formats::of_spec(&detect::common(&run_files::paths(&args.input)?)?)?;
                if !context.quiet {
                    logs::say(&format!("format: {} (detected; --format names another)", escape(&named.spec.to_string())));
                }
                named
            }
        };
        let files = run_files::Files { format: &format, inputs: &args.input, sink, lot: args.lot, shaping, write };
        return run_files::run(&files, context).await;
    }
    let (Some(name), Some(lot)) = (&args.arc, args.lot) else {
        let next = "--input 'logs/*' --sink DIR for files, or --arc NAME --lot LOT -p FILE for an arc of a project";
        return Err(Trouble::usage("what is to be run?").next(next).into());
    };
    let Some(file) = args.project else {
        return Err(Trouble::usage(format!("which project is arc {name} of?"))
            .next("-p FILE, or ARC_PROJECT=FILE in the environment")
            .into());
    };
    let from = ProjectArgs { project: file, ext_str: args.ext_str, cloud: args.cloud };
    let project = from.load()?;
    let arc = find_arc(&project, name, "--arc")?.clone();
    check_unit(&arc, lot)?;
    let job = Job::of_environment();
    // What a job works on, its deployment has registered: a worker's role may not even read all of that.
    let engine = match job {
        Some(_) => Engine::look(project, &from.cloud).await?,
        None => from.open(project).await?,
    };
    let plan = plan(&engine, &arc, lot, context).await?;
    check_state(&engine, &arc, &plan, args.manifest_state).await?;
    let ran = run_or_stop(&engine, &arc, &plan, Stop::on_signals()?, context).await?;
    if let Some(job) = job {
        let metrics = job.metrics(&engine.project.name, &arc, &ran, chrono::Utc::now());
        metrics.iter().for_each(|line| logs::line(line));
        if matches!(ran.outcome, Outcome::Failed { is_transient: true, .. } | Outcome::Elsewhere) {
            logs::say(&escape(&ran.to_string()));
            std::process::exit(boundary::aws::EXIT_TRANSIENT);
        }
    }
    report(&ran, context)
}

/// Runs until done or told to stop. A run that is stopped leaves nothing readable, and its attempt is over, so that the next
/// one need not wait for its lease to end.
async fn run_or_stop(engine: &Engine, arc: &ArcSpec, plan: &RunPlan, mut stop: Stop, context: &Context) -> anyhow::Result<Ran> {
    let progress = Progress::new(context.progress);
    tokio::select! {
        ran = engine::run(engine, arc, plan, &progress) => return Ok(ran),
        () = stop.asked() => {}
    }
    let (cause, now) = ("the worker was told to stop".to_owned(), chrono::Utc::now());
    let state = manifests::ArcState::Missing;
    engine.stores.end_attempt(&arc.id, plan.lot, &engine.owner, state, Some(cause.clone()), true, now).await?;
    Ok(Ran { arc: arc.id.arc.clone(), lot: plan.lot, outcome: Outcome::Failed { cause, is_transient: true } })
}

/// The arc of that name, or what its name may have been meant to be, after `before` as the command takes it.
pub fn find_arc<'a>(project: &'a Project, name: &str, before: &str) -> Result<&'a ArcSpec, Trouble> {
    let names: Vec<&str> = project.arcs.iter().map(|arc| arc.id.arc.as_str()).collect();
    project.arc(name).ok_or_else(|| {
        let next = project::nearest(name, names.iter().copied()).map(|similar| format!("{before} {similar}"));
        Trouble { next, ..Trouble::not_found(format!("there is no arc `{name}`; there are: {}", names.join(", "))) }
    })
}

/// Refuses a lot of another unit than the arc's.
pub fn check_unit(arc: &ArcSpec, lot: Lot) -> Result<(), Trouble> {
    if lot.unit() == arc.unit {
        return Ok(());
    }
    let next = Lot::containing(arc.unit, lot.start());
    Err(Trouble::usage(format!("arc {} runs on lots of {}, and {lot} is one of {}", arc.id.arc, arc.unit, lot.unit()))
        .next(format!("--lot {next}")))
}

/// What the arc would read for the lot; not found where a source lot is not there.
async fn plan(engine: &Engine, arc: &ArcSpec, lot: Lot, context: &Context) -> anyhow::Result<RunPlan> {
    let planner = Planner::new(engine, arc).await?;
    let missing = || {
        let names = planner.missing(lot).join(", ");
        let first = arc.sources.first().map(|source| source.dataset.name.as_str()).unwrap_or_default();
        let next = format!("arc lots {first} --list, which shows the lots there are; arc up --once makes those that are due");
        Trouble::not_found(format!("arc {} cannot run on {lot}: not there: {names}", arc.id.arc)).next(next)
    };
    Ok(planner.plan(lot, context.now).ok_or_else(missing)?)
}

async fn check_state(engine: &Engine, arc: &ArcSpec, plan: &RunPlan, wanted: Option<State>) -> anyhow::Result<()> {
    let Some(wanted) = wanted else { return Ok(()) };
    for commit in &plan.sources {
        let Some(source) = arc.sources.iter().find(|source| source.dataset.id() == commit.dataset) else { continue };
        let state = engine.stores.latest(&source.dataset, commit.lot).await?.map(|manifest| manifest.state);
        if state != Some(wanted) {
            let is = state.map_or("not there".to_owned(), |state| state.to_string());
            let trouble = Trouble::not_found(format!("lot {} of {} is {is}, not {wanted}", commit.lot, commit.dataset));
            return Err(trouble.next("the same without --manifest-state, or another state").into());
        }
    }
    Ok(())
}

/// Writes the receipt; the exit code says how it went.
fn report(ran: &Ran, context: &Context) -> anyhow::Result<Exit> {
    match &ran.outcome {
        Outcome::Done(report) => {
            if report.was_done && !context.quiet {
                logs::say(&format!("lot {} was done before, and this is its receipt; arc replay does it again", ran.lot));
            }
            let mut fields = receipt(report);
            fields.extend([("attempt", report.attempt.into()), ("generation", report.generation.into())]);
            let manifests: Vec<serde_json::Value> = report.manifests.iter().map(|uri| uri.as_str().into()).collect();
            fields.extend([("manifests", Cell::Nested(manifests.into())), ("comment", report.comment.clone().into())]);
            print_record(context.output, fields)?;
            Ok(if report.is_clean() { Exit::Done } else { Exit::Partial })
        }
        Outcome::Failed { cause, is_transient } => {
            let next = if *is_transient { "the same again" } else { "arc status, and arc explain for log lines" };
            Err(Trouble::failed(format!("arc {} failed on lot {}: {cause}", ran.arc, ran.lot)).next(next).into())
        }
        Outcome::Elsewhere => {
            let message = format!("another process is at work on lot {} of arc {}", ran.lot, ran.arc);
            Err(Trouble::failed(message).next("arc status, which says who and until when").into())
        }
    }
}

/// The fields of a receipt, in the order that listings promise.
pub fn receipt(report: &RunReport) -> Vec<(&'static str, Cell)> {
    let counts = &report.counts;
    let mut fields = vec![("lot", report.lot.to_string().into()), ("state", report.state.as_str().into())];
    fields.extend(counted(counts));
    fields.extend([("seconds", report.seconds.into()), ("arc", report.arc.as_str().into())]);
    fields
}

/// The counts of a receipt, in the order that listings promise.
pub fn counted(counts: &manifests::Counts) -> [(&'static str, Cell); 12] {
    [
        ("objects", counts.objects.into()),
        ("lines", counts.lines.into()),
        ("rows", counts.rows.into()),
        ("blank", counts.blank.into()),
        ("header", counts.header.into()),
        ("continuation", counts.continuation.into()),
        ("rejected", counts.rejected.into()),
        ("filtered", counts.filtered.into()),
        ("recovered", counts.recovered.into()),
        ("extra", counts.extra.into()),
        ("bytes_in", counts.bytes_in.into()),
        ("bytes_out", counts.bytes_out.into()),
    ]
}
