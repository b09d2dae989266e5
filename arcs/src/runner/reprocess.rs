//! Rejects of a lot that is done, read again: its latest commit flows in, the next generation flows out, with the same
//! files and new ones beside them for the lines that are rows now. Where none is, nothing is written. The sources are not
//! read: they may be gone.
//!
//! New files have names that the lot's earlier generations do not have, so until the commit all is as it was. The main
//! sink is committed first, because its commit says where the rejects lie too; what the rejects' own dataset says follows
//! from it, and whoever comes next commits that where this died.

use manifests::{ArcSpec, ArcState, Counts, Lease, Lot, MAIN_ROLE, Manifest, ManifestObject, NamedType, Receipt, RunPlan, State};

use super::{RunContext, RunReport, record_failure, run, source_object, stale, with_heartbeat};
use crate::convert::{Continued, ConvertJob, FirstParts, Published, convert_again, count_again};
use crate::error::ArcsError;
use crate::learned::{self, Reading};
use crate::types;
use crate::workload::{self, RunInput, convert};

/// What became of a lot's rejects.
#[derive(Clone, Debug, PartialEq)]
pub struct Reprocessed {
    /// The lot.
    pub lot: Lot,
    /// Rejects that it had.
    pub rejected: u64,
    /// How many of them are rows now.
    pub rows: u64,
    /// The next generation; `None` where no reject is a row now, or where nothing was to be written.
    pub report: Option<RunReport>,
}

/// Reads the rejects of a lot again and commits the next generation where some are rows now; with `is_dry`, only says
/// what would be. Fails like [`run`], and where the lot has no commit that says where its rejects lie.
pub async fn reprocess(context: &RunContext, arc: &ArcSpec, lot: Lot, is_dry: bool) -> Result<Reprocessed, ArcsError> {
    if !is_dry {
        settle_before(context, arc, lot).await?;
    }
    let base = base(context, arc, lot).await?;
    let counted = count_again(job(context, arc, &base.main, 0, Reading::RejectsToCount).await?).await?;
    base.check(&counted)?;
    let nothing = Reprocessed { lot, rejected: base.counts().rejected, rows: counted.rows, report: None };
    if moved(&counted) == 0 || is_dry {
        return Ok(nothing);
    }
    let (stores, is_dead) = (&context.stores, |owner: &str| (context.is_dead)(owner));
    let mut lease = stores.acquire(&arc.id, lot, &context.owner, context.now(), context.lease, is_dead).await?;
    let made = match produce(context, arc, lot, &mut lease).await {
        Ok(made) => made,
        Err(error) => {
            record_failure(context, arc, &base.plan(), &lease, &error).await;
            return Err(error);
        }
    };
    let Some((manifests, rows)) = made else {
        stores.finish(&lease, base.arc_state(), base.main.comment.clone(), false, context.now()).await?;
        return Ok(Reprocessed { rows: 0, ..nothing });
    };
    stores.settle_run(&manifests, &lease, context.bus.as_ref(), context.now()).await?;
    let report = RunReport::new(arc, &base.plan(), stores, &manifests, workload::is_past_reject_limit(arc, &manifests));
    Ok(Reprocessed { rows, report: Some(report), ..nothing })
}

/// Lets a run that died after its commit be settled first, so that what is read here is the truth of all sinks.
async fn settle_before(context: &RunContext, arc: &ArcSpec, lot: Lot) -> Result<(), ArcsError> {
    let last = context.stores.last_attempt(&arc.id, lot).await?;
    if last.is_none_or(|last| matches!(last.state, ArcState::Complete | ArcState::Partial)) {
        return Ok(());
    }
    let plan = base(context, arc, lot).await?.plan();
    if context.stores.published_run(arc, &RunPlan { replay: false, ..plan.clone() }).await?.is_none() {
        let message = format!("lot {lot} of arc {} is not up to date; run `arc up --once` first", arc.id.arc);
        return Err(ArcsError::Job { message });
    }
    run(context, arc, &RunPlan { replay: false, ..plan }).await.map(drop)
}

/// The latest commit of a lot's main sink.
struct Base {
    main: Manifest,
    receipt: Receipt,
}

async fn base(context: &RunContext, arc: &ArcSpec, lot: Lot) -> Result<Base, ArcsError> {
    let wrong = |what: &str| ArcsError::Job { message: format!("lot {lot} of arc {} {what}", arc.id.arc) };
    if arc.kind != convert::NAME {
        return Err(ArcsError::Job {
            message: format!("arc {} is of type {}: only {} arcs have rejects", arc.id.arc, arc.kind, convert::NAME),
        });
    }
    let sink = arc.sinks.iter().find(|sink| sink.role == MAIN_ROLE).ok_or_else(|| wrong("has no main sink"))?;
    let main = context.stores.latest(&sink.dataset, lot).await?.ok_or_else(|| wrong("has not been converted yet"))?;
    let receipt = main.receipt.clone().ok_or_else(|| wrong("was not converted by this program"))?;
    Ok(Base { main, receipt })
}

impl Base {
    fn counts(&self) -> &Counts {
        &self.receipt.counts
    }

    fn plan(&self) -> RunPlan {
        RunPlan { lot: self.main.lot_id, sources: self.receipt.sources.clone(), replay: true }
    }

    fn arc_state(&self) -> ArcState {
        if self.main.state == State::Partial { ArcState::Partial } else { ArcState::Complete }
    }

    /// Whether the files of rejects hold what the receipt says.
    fn check(&self, counted: &Counts) -> Result<(), ArcsError> {
        let (lot, rejected) = (self.main.lot_id, self.counts().rejected);
        if counted.lines == rejected {
            return Ok(());
        }
        let message = match self.main.rejects.is_empty() {
            true => format!("the commit of lot {lot} does not say where its {rejected} rejects lie; `arc replay` makes the lot anew"),
            false => format!("lot {lot} has {rejected} rejects by its receipt and {} in its files; see `arc audit`", counted.lines),
        };
        Err(ArcsError::Job { message })
    }

    /// The next generation: the same files and the new ones, the same lines, some of which are rows now.
    fn next(&self, published: Published, again: &Counts, columns: Vec<NamedType>, attempt: u32, seconds: f64) -> Manifest {
        let mut next = self.main.clone();
        next.generation += 1;
        next.objects.extend(published.main);
        next.uris = next.objects.iter().map(|object| object.uri.clone()).collect();
        next.rejects = published.rejects;
        if next.state == State::Empty {
            next.state = State::Complete;
        }
        if !next.columns.is_empty() {
            let known = |column: &NamedType| self.main.columns.iter().any(|known| known.name == column.name);
            next.columns.extend(columns.into_iter().filter(|column| !known(column)));
        } else if self.main.objects.is_empty() {
            next.columns = columns;
        }
        let mut counts = *self.counts();
        counts.rows += again.rows;
        counts.filtered += again.filtered;
        counts.rejected -= moved(again);
        counts.recovered += again.recovered;
        counts.extra += again.extra;
        counts.bytes_out = next.files().map(|file: &ManifestObject| file.size).sum();
        next.receipt = Some(Receipt { attempt, counts, seconds, ..self.receipt.clone() });
        next
    }
}

/// Rejects that are none any more: rows, and lines that the arc does not want.
fn moved(again: &Counts) -> u64 {
    again.rows + again.filtered
}

/// The conversion of a lot's rejects.
async fn job(context: &RunContext, arc: &ArcSpec, main: &Manifest, attempt: u32, reading: Reading) -> Result<ConvertJob, ArcsError> {
    // A redone run writes the same bytes under other marks, so it is the size alone that counts.
    let file = |object: &ManifestObject| source_object(&context.stores, &ManifestObject { etag: None, ..object.clone() });
    let files: Result<Vec<_>, _> = main.rejects.iter().map(file).collect();
    let files = files.map_err(|problem| ArcsError::Job { message: format!("{}: {}", problem.uri, problem.reason) })?;
    let input = RunInput { context, arc, lot: main.lot_id, attempt, sources: Vec::new() };
    learned::settled(&input, convert::job(&input, files)?, reading).await
}

/// Everything up to the commits; `None` where no reject is a row now.
async fn produce(context: &RunContext, arc: &ArcSpec, lot: Lot, lease: &mut Lease) -> Result<Option<(Vec<Manifest>, u64)>, ArcsError> {
    let (stores, started) = (&context.stores, context.now());
    stores.follow_main(arc, lot).await?;
    stale::remove(arc, lot).await;
    let base = base(context, arc, lot).await?;
    let job = job(context, arc, &base.main, lease.attempt, Reading::Rejects).await?;
    let continued = Continued {
        main: FirstParts::after(base.main.objects.iter(), &job.main.uri_base, lot),
        rejects: FirstParts::after(base.main.rejects.iter(), &job.rejects.uri_base, lot),
    };
    let staged = with_heartbeat(context, lease, convert_again(job, continued)).await?;
    let (counts, columns) = (*staged.counts(), types::named(staged.schema()));
    lease.will_publish(staged.uris());
    let ready = match base.check(&counts) {
        Ok(()) if moved(&counts) == 0 => Ok(false),
        // The last look before anything can be read; it also writes down which files those are.
        Ok(()) => stores.renew(lease, context.now()).await.map(|()| true).map_err(ArcsError::from),
        Err(error) => Err(error),
    };
    if !matches!(ready, Ok(true)) {
        staged.abort().await;
        return ready.map(|_| None);
    }
    let published = with_heartbeat(context, lease, staged.publish()).await?;
    let seconds = (context.now() - started).num_milliseconds() as f64 / 1_000.0;
    let next = base.next(published, &counts, columns, lease.attempt, seconds);
    let manifests = stores.commit_next(arc, &next).await?;
    Ok(Some((manifests, counts.rows)))
}
