//! `arc up`: boundaries, dispatch and workers in one process until stopped. What is told goes to stderr; with `--once`
//! the receipts of the runs go to stdout at the end.

use chrono::{DateTime, Utc};
use project::parse_moment;

use super::{Context, Exit, ProjectArgs, run::receipt};
use crate::engine::up::{Options, Summary, up};
use crate::engine::{Engine, Outcome, Progress, Ran, Stop};
use crate::output::{Cell, Output, print};

/// Columns of the listing for people, out of those of a receipt.
const SHOWN: [&str; 7] = ["lot", "arc", "state", "objects", "rows", "rejected", "seconds"];

/// Arguments of `arc up`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    project: ProjectArgs,
    /// End when nothing is due.
    #[arg(long)]
    once: bool,
    /// The time that boundaries see, in place of the clock: what they take in has arrived by then.
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
}

/// Works until stopped, or until nothing is due.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let stop = Stop::on_signals()?;
    let as_of: Option<DateTime<Utc>> =
        args.as_of.as_deref().map(|text| parse_moment(text, context.now)).transpose().map_err(super::usage)?;
    let engine = Engine::open(args.project.load()?).await?;
    let options = Options { once: args.once, as_of, progress: Progress::new(context.progress), is_told: !context.quiet };
    if options.is_told && !options.once {
        eprintln!("{} boundaries, {} arcs; Ctrl-C stops", engine.project.boundaries.len(), engine.project.arcs.len());
    }
    let summary = up(&engine, &options, stop).await?;
    if args.once {
        print_runs(&summary.ran, context)?;
    }
    if options.is_told {
        tell(&summary);
    }
    Ok(exit(&summary))
}

/// How the program ends after so much work.
pub fn exit(summary: &Summary) -> Exit {
    match (summary.failures, summary.doubtful + summary.refused) {
        (0, 0) => Exit::Done,
        (0, _) => Exit::Partial,
        _ => Exit::Failed,
    }
}

/// Writes the receipts of runs: all fields, or for people those that fit.
pub fn print_runs(ran: &[Ran], context: &Context) -> std::io::Result<()> {
    let rows: Vec<Vec<(&str, Cell)>> = ran.iter().filter_map(fields).collect();
    let is_shown = |name: &&str| context.output != Output::Table || SHOWN.contains(name);
    let names: Vec<&str> = match rows.first() {
        Some(row) => row.iter().map(|field| field.0).filter(|name| is_shown(name)).collect(),
        None => SHOWN.to_vec(),
    };
    if rows.is_empty() && context.output == Output::Table {
        return Ok(());
    }
    let cells = rows.into_iter().map(|row| row.into_iter().filter(|field| is_shown(&field.0)).map(|field| field.1).collect());
    print(context.output, &names, cells.collect())
}

fn fields(ran: &Ran) -> Option<Vec<(&'static str, Cell)>> {
    let Outcome::Done(report) = &ran.outcome else { return None };
    Some(receipt(report))
}

fn tell(summary: &Summary) {
    let done = summary.ran.iter().filter(|ran| matches!(ran.outcome, Outcome::Done(_))).count();
    eprintln!("{} lots taken in, {done} runs, {} empty lots passed on, {} failures", summary.lots, summary.empties, summary.failures);
    for (boundary, waiting, open) in &summary.waiting {
        if *waiting > 0 {
            eprintln!("{boundary}: {waiting} objects wait; lot {open} closes at {}", open.end().format("%Y-%m-%dT%H:%M:%SZ"));
        }
    }
    if summary.refused > 0 {
        eprintln!("{} files are not taken until somebody renames them or makes them readable: see the warnings", summary.refused);
    }
    if summary.doubtful > 0 {
        eprintln!("{} runs are partial or rejected more than they may: arc status says which", summary.doubtful);
    }
}
