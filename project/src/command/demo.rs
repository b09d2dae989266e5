//! `arc demo`: an hour of access logs, the whole pipeline on them, and what came of it. Everything lies in one folder,
//! which the demo makes and may replace.

use std::path::{Path, PathBuf};
use std::time::Instant;

use chrono::TimeDelta;
use manifests::{Counts, Lot, Manifest, State};
use project::{Origin, load};

use super::demo_files::DemoFiles;
use super::run::counted;
use super::{Context, Exit, query, up};
use crate::cloud::CloudArgs;
use crate::engine::up::{Options, Summary, up as work};
use crate::engine::{Engine, Progress, Stop};
use crate::logs;
use crate::output::{self, Cell, Output, table};

/// The folder, below that of temporary files, where none is given.
const FOLDER: &str = "arclake-demo";
/// How long after the hour the first run sees it, in seconds: what arrived in its last seconds has settled.
const AFTER_SECONDS: i64 = 60;
/// Width of the page.
const PAGE_COLUMNS: u16 = 80;

const ERRORS: &str = "SELECT bucket, http_status AS status, error_code, sum(errors) AS errors, max(total_time_p99) AS p99_ms
  FROM error_stats WHERE errors > 0 GROUP BY 1, 2, 3 ORDER BY errors DESC, 1, 2 LIMIT 12";
const REJECTS: &str = "SELECT reason, count(*) AS lines, substr(max(source_uri), length(max(source_uri)) - 30) AS last_seen_in
  FROM access_logs_rejects GROUP BY reason ORDER BY lines DESC LIMIT 5";

/// Arguments of `arc demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder to make; one below the system's folder for temporary files unless given.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

/// Makes the folder, runs the pipeline twice, shows what came of it.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let started = Instant::now();
    let root = std::path::absolute(args.root.unwrap_or_else(|| std::env::temp_dir().join(FOLDER)))?;
    let stop = Stop::on_signals()?;
    let progress = Progress::new(context.progress);
    say(context, &format!("Writing an hour of S3 access logs to {}", root.display()));
    let mut files = DemoFiles::write(&root, context.now)?;
    let project = load(&Origin::File(files.project.clone()), &[], &std::env::current_dir()?)?;
    let engine = Engine::open(project, &CloudArgs::default()).await?;
    let as_of = Some(files.end + TimeDelta::seconds(AFTER_SECONDS));
    let mut options = Options { as_of, ..Options::once(&engine.project, progress, context.progress) };
    say(context, "Running the pipeline: logs to lots, lots to Parquet, Parquet to error statistics");
    let first = work(&engine, &options, stop.clone()).await?;
    say(context, "An object arrives late, another is delivered a second time; running again");
    files.write_late()?;
    options.as_of = Some(context.now);
    let second = work(&engine, &options, stop).await?;
    if context.output != Output::Table {
        let ran = [first.ran.clone(), second.ran.clone()].concat();
        up::print_runs(&ran, context)?;
    } else {
        page(&engine, &files.root, &files.project, &[&first, &second]).await?;
        output::write(&format!("All of it took {:.1} s.\n", started.elapsed().as_secs_f64()))?;
    }
    let is_failed = first.failures + second.failures > 0;
    Ok(if is_failed { Exit::Failed } else { Exit::Done })
}

fn say(context: &Context, text: &str) {
    if !context.quiet {
        logs::say(&format!("{text} …"));
    }
}

async fn page(engine: &Engine, root: &Path, project: &Path, runs: &[&Summary]) -> anyhow::Result<()> {
    output::write("\nLOTS  five minutes each, by the time the logs arrived (arc lots)\n\n")?;
    output::write(&lots(engine).await?)?;
    output::write("\nERRORS  what the built-in query counted (arc query)\n\n")?;
    output::write(&shown(engine, ERRORS).await?)?;
    output::write("\nREJECTS  lines that no reading saves; each is kept, and counted in its lot\n\n")?;
    output::write(&shown(engine, REJECTS).await?)?;
    let count: usize = runs.iter().map(|summary| summary.ran.len()).sum();
    output::write(&format!("\n{}\n", next(root, project, count)))?;
    Ok(())
}

async fn shown(engine: &Engine, sql: &str) -> anyhow::Result<String> {
    let (names, rows) = query::collect(&engine.project, &engine.stores, sql).await?;
    Ok(table(&names, &rows, Some(PAGE_COLUMNS)))
}

/// One row for each lot of the converted logs, and their sum.
async fn lots(engine: &Engine) -> anyhow::Result<String> {
    const COLUMNS: [&str; 7] = ["lot", "from", "state", "objects", "lines", "rows", "rejected"];
    let Some(converted) = engine.project.dataset("access-logs-parquet") else { return Ok(String::new()) };
    let mut rows = Vec::new();
    let mut sum = Counts::default();
    for (lot, _) in engine.stores.lots(&converted.dataset.id()).await? {
        let Some(manifest) = engine.stores.latest(&converted.dataset, lot).await? else { continue };
        let counts = manifest.receipt.as_ref().map(|receipt| receipt.counts).unwrap_or_default();
        sum += counts;
        rows.push(lot_row(lot, &manifest, &counts));
    }
    let total = |name: &str| counted(&sum).into_iter().find(|field| field.0 == name).map_or(Cell::Null, |field| field.1);
    rows.push(vec!["all".into(), Cell::Null, Cell::Null, total("objects"), total("lines"), total("rows"), total("rejected")]);
    Ok(table(&COLUMNS, &rows, Some(PAGE_COLUMNS)))
}

fn lot_row(lot: Lot, manifest: &Manifest, counts: &Counts) -> Vec<Cell> {
    let state = if manifest.state == State::Empty { "empty: nothing came" } else { manifest.state.as_str() };
    let from = lot.start().format("%H:%MZ").to_string();
    vec![
        lot.to_string().into(),
        from.into(),
        state.into(),
        counts.objects.into(),
        counts.lines.into(),
        counts.rows.into(),
        counts.rejected.into(),
    ]
}

/// What to try next, to be copied.
fn next(root: &Path, project: &Path, runs: usize) -> String {
    let (root, project) = (root.display(), project.display());
    format!(
        "PARQUET  for DuckDB, Spark, Athena, pandas ({runs} runs wrote it)

  {root}/parquet/access-logs/dt=*/*.parquet

NEXT  the project file says what runs, in words: {project}

  export ARC_PROJECT='{project}'
  arc query \"SELECT key, count(*) AS n FROM access_logs_parquet
             WHERE http_status = 503 GROUP BY key ORDER BY n DESC LIMIT 5\"
  arc lots                 every lot of every dataset
  arc status               every run of every arc
  arc audit                are all lines and files still accounted for?
  arc up                   goes on: copy a log into {root}/logs and wait for its lot
"
    )
}
