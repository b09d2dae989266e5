//! `arc reprocess --rejects`: rejected lines of lots that are done, read again by today's program and project file. What
//! is a row now makes the lot's next generation; the objects that the lines are from are not read. A lot a row on stdout.

use arcs::ArcsError;
use arcs::runner::Reprocessed;
use futures::{StreamExt, TryStreamExt};
use manifests::{ArcSpec, Lot, MAIN_ROLE, ManifestsError, Stores};
use project::Project;

use super::replay::LotRange;
use super::run::{check_unit, find_arc};
use super::{Context, Exit, ProjectArgs, Trouble, kind};
use crate::engine::{self, Progress};
use crate::logs;
use crate::output::{Cell, escape, print};

/// The type of arcs that have rejects.
const CONVERT: &str = "convert";
/// Commits read at a time.
const COMMITS_IN_FLIGHT: usize = 64;

/// Arguments of `arc reprocess`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  arc reprocess --rejects --arc convert --dry-run -p project.jsonnet
  arc reprocess --rejects --arc convert -p project.jsonnet \\
    --lot 20230717PT5M000..20230717PT5M011")]
pub struct Args {
    /// Read the rejects again: the only thing that can be read again without its objects.
    #[arg(long, required = true)]
    rejects: bool,
    /// The arc, of type convert.
    #[arg(long)]
    arc: String,
    /// The lot, or the first and the last; all lots that have rejects where not given.
    #[arg(long, value_name = "LOT[..LOT]")]
    lot: Option<LotRange>,
    /// Say what would become rows, and write nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    project: ProjectArgs,
}

/// Reads the rejects again, lot by lot.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let project = args.project.load()?;
    let arc = convert_arc(&project, &args.arc)?.clone();
    if let Some(range) = args.lot {
        check_unit(&arc, range.first)?;
    }
    let engine = args.project.open(project).await?;
    let lots = lots(&engine.stores, &arc, args.lot).await?;
    let progress = Progress::new(context.progress);
    let mut read = Vec::new();
    for lot in lots {
        let done = engine::reprocess(&engine, &arc, lot, args.dry_run, &progress).await;
        tell(&arc, lot, &done, args.dry_run, context);
        read.push((lot, done));
    }
    report(&read, args.dry_run, context)
}

/// The arc of that name, which has to be one that can have rejects.
fn convert_arc<'a>(project: &'a Project, name: &str) -> Result<&'a ArcSpec, Trouble> {
    let arc = find_arc(project, name, "--arc")?;
    if arc.kind == CONVERT {
        return Ok(arc);
    }
    let names = project.arcs.iter().filter(|arc| arc.kind == CONVERT).map(|arc| format!("--arc {}", arc.id.arc));
    let names: Vec<String> = names.collect();
    let trouble = Trouble::usage(format!("arc {name} is of type {}, which has no rejects: only convert arcs have", kind(arc)));
    Err(if names.is_empty() { trouble } else { trouble.next(names.join(", or ")) })
}

/// The lots whose latest commit counts rejects, in order; a range that has none is not found.
async fn lots(stores: &Stores, arc: &ArcSpec, range: Option<LotRange>) -> anyhow::Result<Vec<Lot>> {
    let Some(sink) = arc.sinks.iter().find(|sink| sink.role == MAIN_ROLE) else { return Ok(Vec::new()) };
    let id = sink.dataset.id();
    let is_asked = |lot: &Lot| range.is_none_or(|range| range.first <= *lot && *lot <= range.last);
    let listed: Vec<_> = stores.lots(&id).await?.into_iter().filter(|(lot, _)| is_asked(lot)).collect();
    if range.is_some() && listed.is_empty() {
        return Err(Trouble::not_found(format!("arc {} has made none of these lots", arc.id.arc)).next("arc lots --list").into());
    }
    let read = listed.into_iter().map(|(lot, entry)| {
        let id = &id;
        async move { Ok::<_, ManifestsError>((lot, stores.read_commit(id, lot, entry.generation).await?)) }
    });
    let found: Vec<_> = futures::stream::iter(read).buffered(COMMITS_IN_FLIGHT).try_collect().await?;
    let has_rejects = |receipt: manifests::Receipt| receipt.counts.rejected > 0;
    let with_rejects =
        found.into_iter().filter(|(_, commit)| commit.as_ref().and_then(|commit| commit.receipt.clone()).is_some_and(has_rejects));
    Ok(with_rejects.map(|(lot, _)| lot).collect())
}

/// Says on stderr how it went with a lot.
fn tell(arc: &ArcSpec, lot: Lot, done: &Result<Reprocessed, ArcsError>, is_dry: bool, context: &Context) {
    let name = &arc.id.arc;
    match done {
        Ok(_) if context.quiet => {}
        Ok(done) if done.rows == 0 => {
            logs::say(&format!("{lot} {name}: none of {} rejects reads otherwise; nothing is changed", done.rejected))
        }
        Ok(done) if is_dry => logs::say(&format!("{lot} {name}: {} of {} rejects would be rows", done.rows, done.rejected)),
        Ok(done) => {
            let generation = done.report.as_ref().map_or(0, |report| report.generation);
            logs::say(&format!("{lot} {name}: {} of {} rejects are rows now, generation {generation}", done.rows, done.rejected));
        }
        Err(error) if is_elsewhere(error) => logs::say(&format!("{lot} {name}: another process has it")),
        Err(error) => logs::say(&format!("{lot} {name}: failed: {}", escape(&error.to_string()))),
    }
}

fn is_elsewhere(error: &ArcsError) -> bool {
    matches!(error, ArcsError::Manifests(ManifestsError::Leased { .. }))
}

/// Writes a row a lot; the exit code says how it went.
fn report(read: &[(Lot, Result<Reprocessed, ArcsError>)], is_dry: bool, context: &Context) -> anyhow::Result<Exit> {
    let row = |(lot, done): &(Lot, Result<Reprocessed, ArcsError>)| -> Vec<Cell> {
        let Ok(done) = done else { return vec![lot.to_string().into(), "failed".into(), Cell::Null, Cell::Null, Cell::Null, Cell::Null] };
        let state = if done.rows == 0 {
            "unchanged"
        } else if is_dry {
            "would change"
        } else {
            "changed"
        };
        let generation = done.report.as_ref().map(|report| u64::from(report.generation));
        let left = done.rejected - done.rows;
        vec![
            lot.to_string().into(),
            state.into(),
            done.rejected.into(),
            done.rows.into(),
            left.into(),
            generation.map_or(Cell::Null, Into::into),
        ]
    };
    let rows = read.iter().map(row).collect();
    print(context.output, &["lot", "result", "rejected_before", "rows_now", "rejected_now", "generation"], rows)?;
    if read.is_empty() && !context.quiet {
        logs::say("no lot has rejects");
    }
    let is_doubtful = |done: &Reprocessed| done.report.as_ref().is_some_and(|report| !report.is_clean());
    Ok(if read.iter().any(|(_, done)| done.is_err()) {
        Exit::Failed
    } else if read.iter().any(|(_, done)| done.as_ref().is_ok_and(is_doubtful)) {
        Exit::Partial
    } else {
        Exit::Done
    })
}
