//! `arc backfill`: objects from before a boundary become lots of its dataset. Everything is decided in the boundary's crate;
//! here are the arguments, what is told and the listing at the end.

use std::collections::BTreeMap;

use boundary::{
    Arrivals, Ask, Backfill, Backfilled, BackfilledLot, BoundaryError, BoundarySpec, Hears, Listed, Listing, Scanned, Span, Spool, Uploads,
};
use indicatif::{HumanBytes, HumanCount};
use project::{Project, parse_moment};

use super::{Context, Exit, ProjectArgs, Trouble, usage};
use crate::cloud;
use crate::engine::{Engine, Progress, S3Listing};
use crate::logs;
use crate::output::{self, Cell, Output};

/// Arguments of `arc backfill`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The boundary.
    #[arg(long, value_name = "NAME")]
    boundary: String,
    /// From the lot that holds this: a time, a date, a lot, or 90d (ago). An object's lot is that of its last modification.
    #[arg(long, value_name = "TIME")]
    from: String,
    /// Up to the end of the last lot that is over by then; up to the first lot of the boundary where not given, or to now where it
    /// has none.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Show what would be taken, and commit nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    project: ProjectArgs,
}

/// Commits what there is.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let project = args.project.load()?;
    let spec = find_boundary(&project, &args.boundary)?.clone();
    let moment = |text: &str| parse_moment(text, context.now).map_err(usage);
    let ask = Ask { from: moment(&args.from)?, to: args.to.as_deref().map(moment).transpose()?, now: context.now };
    let engine = if args.dry_run { Engine::look(project, &args.project.cloud).await? } else { args.project.open(project).await? };
    let backfill = Backfill::new(spec.clone(), engine.hears(), engine.stores.clone(), engine.bus.clone(), &ask).await.map_err(refused)?;
    let (after, before) = backfill.times();
    let mut spool = Spool::create(&engine.spool_path(&spec.name), after, before)?;
    let progress = Progress::new(context.progress);
    let Listed { scanned, uploads } = backfill.list(listing(&engine, &spec, &progress).as_mut(), &mut spool).await.map_err(refused)?;
    tell_refused(&scanned);
    let (planned, mut done) = backfill.plan(&mut spool)?;
    if !context.quiet {
        logs::say(&summary(&spec, &scanned, &planned));
        tell_beginning(&engine, &spec, backfill.span());
    }
    let mut lots = planned;
    if !args.dry_run {
        let line = progress.count("lots", lots.len() as u64);
        lots = Vec::with_capacity(lots.len());
        let mut told = |lot: BackfilledLot| {
            line.more(1);
            lots.push(lot);
        };
        done = backfill.run(&mut spool, &mut told).await.map_err(refused)?;
    }
    print(&lots, context)?;
    uploads.iter().for_each(tell_uploads);
    if !context.quiet {
        tell_rest(&engine, &done, args.dry_run);
    }
    Ok(if scanned.refused_total > 0 || uploads.is_some() { Exit::Partial } else { Exit::Done })
}

fn find_boundary<'a>(project: &'a Project, name: &str) -> Result<&'a BoundarySpec, Trouble> {
    project.boundaries.iter().find(|boundary| boundary.name == name).ok_or_else(|| {
        let names: Vec<&str> = project.boundaries.iter().map(|boundary| boundary.name.as_str()).collect();
        let next = project::nearest(name, names.iter().copied()).map(|similar| format!("--boundary {similar}"));
        Trouble { next, ..Trouble::not_found(format!("there is no boundary `{name}`; there are: {}", names.join(", "))) }
    })
}

fn refused(error: BoundaryError) -> anyhow::Error {
    match error {
        BoundaryError::Backfill { reason, next } => Trouble::usage(reason).next(next).into(),
        error if error.is_transient() => Trouble::failed(error.to_string()).next("the same command again, which goes on from there").into(),
        error => error.into(),
    }
}

fn listing(engine: &Engine, spec: &BoundarySpec, progress: &Progress) -> Box<dyn Arrivals> {
    let line = || progress.spinner(format!("listing {}", spec.dataset.path_uri));
    match &engine.aws {
        Some(aws) if spec.dataset.path_uri.starts_with("s3://") => Box::new(S3Listing::new(cloud::s3_client(aws), line())),
        _ => Box::new(Listing),
    }
}

fn tell_refused(scanned: &Scanned) {
    for refused in &scanned.refused {
        logs::warn(&refused.to_string());
    }
    if scanned.refused_total > scanned.refused.len() {
        logs::warn(&format!("{} objects are not taken, of which the first are named", scanned.refused_total));
    }
}

fn tell_uploads(uploads: &Uploads) {
    let (objects, after) = (HumanCount(uploads.objects as u64), uploads.after.format("%Y-%m-%dT%H:%M:%SZ"));
    eprintln!("warning: {objects} objects were uploaded in parts so lately that the boundary may yet be told of them; they are left out");
    eprintln!("next: the same command again after {after}, which takes those it was not told of");
}

/// What is not in the bucket yet is nobody's before the boundary is told of it.
fn tell_beginning(engine: &Engine, spec: &BoundarySpec, span: Span) {
    if let (Some(begins), Hears::Queue) = (span.begins, engine.hears()) {
        let at = begins.start().format("%Y-%m-%dT%H:%M:%SZ");
        logs::say(&format!(
            "boundary {} has no lot yet and begins with {begins}: what comes after {at} has to be told to its queue",
            spec.name
        ));
    }
}

fn summary(spec: &BoundarySpec, scanned: &Scanned, planned: &[BackfilledLot]) -> String {
    let objects: usize = planned.iter().map(|lot| lot.objects).sum();
    let bytes = HumanBytes(planned.iter().map(|lot| lot.bytes).sum());
    let found = HumanCount(scanned.objects as u64);
    let from = format!("{}: {found} objects are there, {} ({bytes}) are to be taken", spec.dataset.path_uri, HumanCount(objects as u64));
    match (planned.first(), planned.last()) {
        (Some(first), Some(last)) => format!("{from} into {} lots, {} to {}", planned.len(), first.lot, last.lot),
        _ => format!("{from}: all lots are there"),
    }
}

fn tell_rest(engine: &Engine, done: &Backfilled, is_dry: bool) {
    if done.later > 0 {
        logs::say(&format!("{} objects more than these lots take follow in the next lots of the boundary", done.later));
    }
    if is_dry {
        return;
    }
    match engine.aws {
        Some(_) => logs::say("the arcs follow by events; arc status shows how far they are"),
        None => logs::say("next: arc up, which runs what is due now"),
    }
}

const LOTS: [&str; 4] = ["lot", "state", "objects", "bytes"];
const DAYS: [&str; 5] = ["day", "lots", "empty", "objects", "bytes"];

/// Writes the lots; for people a row a day.
fn print(lots: &[BackfilledLot], context: &Context) -> std::io::Result<()> {
    match context.output {
        Output::Table if lots.is_empty() => Ok(()),
        Output::Table => output::print(context.output, &DAYS, days(lots)),
        _ => output::print(context.output, &LOTS, lots.iter().map(row).collect()),
    }
}

fn row(lot: &BackfilledLot) -> Vec<Cell> {
    let state = if lot.objects == 0 { manifests::State::Empty } else { manifests::State::Complete };
    vec![lot.lot.to_string().into(), state.as_str().into(), lot.objects.into(), lot.bytes.into()]
}

fn days(lots: &[BackfilledLot]) -> Vec<Vec<Cell>> {
    let mut days: BTreeMap<_, (usize, usize, usize, u64)> = BTreeMap::new();
    for lot in lots {
        let day = days.entry(lot.lot.day()).or_default();
        let is_empty = usize::from(lot.objects == 0);
        *day = (day.0 + 1, day.1 + is_empty, day.2 + lot.objects, day.3 + lot.bytes);
    }
    let row = |(day, (lots, empty, objects, bytes)): (chrono::NaiveDate, (usize, usize, usize, u64))| -> Vec<Cell> {
        vec![day.to_string().into(), lots.into(), empty.into(), objects.into(), bytes.into()]
    };
    days.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn people_see_a_row_a_day() {
        let lot = |id: &str, objects| BackfilledLot { lot: id.parse().unwrap(), objects, bytes: 1_000 * objects as u64 };
        let lots = [lot("20230717PT5M286", 7), lot("20230717PT5M287", 0), lot("20230718PT5M000", 120_000)];
        expect![[r#"
            day         lots  empty  objects  bytes
            ────────────────────────────────────────────
            2023-07-17     2      1        7       7000
            2023-07-18     1      0   120000  120000000
        "#]]
        .assert_eq(&output::table(&DAYS, &days(&lots), Some(80)));
    }
}
