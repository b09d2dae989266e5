//! Where blocks meet again: messages flow in, in any order; rows and rejects flow on to their tables in the order of the
//! sources, with their line numbers. Everything that decides what a file holds is decided here, on one thread.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array};
use manifests::Counts;
use tokio::runtime::Handle;

use crate::columns::constant;
use crate::convert::again::{Continued, Lineage, Origins};
use crate::convert::partitions::{Partitions, Rows};
use crate::convert::readers::{End, Message};
use crate::convert::{ConvertJob, Progress, Staged};
use crate::error::ArcsError;
use crate::format::Column;
use crate::lineage::{output_columns, reject_columns};
use crate::parse::ParsedBlock;
use crate::partition::{PartitionKey, Partitioning};
use crate::pool::{Failure, Share, Tasks};
use crate::read::ObjectProblem;
use crate::write::{Batch, BatchFacts, Finished, Stage, StagedFile, Table, TableContext, TableSchema, Target};

/// How often it looks whether something failed, while nothing arrives.
const LOOK_MILLISECONDS: u64 = 50;

/// Blocks between two reports of progress within an object.
const PROGRESS_BLOCKS: usize = 16;

/// Runs a conversion's tables until all sources are through, and all files staged.
pub(super) fn run(
    job: &ConvertJob,
    continued: &Continued,
    tasks: &Tasks,
    runtime: &Handle,
    failure: &Arc<Failure>,
    received: &Receiver<Message>,
) -> Result<Staged, ArcsError> {
    let (main, main_files) = context(job, &job.main, &output_columns(job.grammar.as_ref(), &job.partitions), tasks, runtime, failure)?;
    let (rejects, reject_files) = context(job, &job.rejects, &reject_columns(), tasks, runtime, failure)?;
    let schema = main.schema.schema.clone();
    let folder = Partitioning::new(&[PartitionKey::Dt], job.lot);
    let folder = folder.folder(folder.slot(Some(job.lot.start().timestamp_micros())));
    let first_reject_part = continued.rejects.of(&folder);
    let mut sequence = Sequence {
        job,
        failure,
        partitions: Partitions::new(job, main, &continued.main),
        rejects: Table::new(&rejects, folder, first_reject_part),
        counts: Counts::default(),
        problems: Vec::new(),
        lines_before: 0,
        objects: 0,
    };
    drop(rejects);
    sequence.receive_all(received)?;
    let parts = sequence.rejects.finish() - first_reject_part;
    let files = sequence.partitions.finish(failure)?;
    let (mut counts, problems) = (sequence.counts, sequence.problems);
    let main = collect(main_files, files, failure)?;
    let rejects = collect(reject_files, parts as usize, failure)?;
    counts.bytes_out = main.iter().chain(&rejects).map(|file| file.size).sum();
    Ok(Staged { counts, problems, schema, main, rejects })
}

fn context(
    job: &ConvertJob,
    target: &Target,
    columns: &[Column],
    tasks: &Tasks,
    runtime: &Handle,
    failure: &Arc<Failure>,
) -> Result<(TableContext, Receiver<Finished>), ArcsError> {
    let fields = columns.iter().map(|column| (column.kind.field(&column.name), column.values));
    let (finished, files) = channel();
    let context = TableContext {
        schema: TableSchema::new(fields, &job.write)?,
        stage: Stage::new(target.clone(), runtime.clone(), job.limits.spill_folder.clone()),
        tasks: tasks.clone(),
        failure: failure.clone(),
        finished,
        options: job.write,
        lot: job.lot.to_string(),
    };
    Ok((context, files))
}

/// Waits for so many files; gives them by path.
fn collect(files: Receiver<Finished>, expected: usize, failure: &Failure) -> Result<Vec<StagedFile>, ArcsError> {
    let mut staged = BTreeMap::new();
    while staged.len() < expected {
        match files.recv_timeout(Duration::from_millis(LOOK_MILLISECONDS)) {
            Ok((order, file)) => {
                staged.insert(order, file?);
            }
            Err(RecvTimeoutError::Timeout) if !failure.is_set() => {}
            Err(_) => return Err(ArcsError::Stopped),
        }
    }
    Ok(staged.into_values().collect())
}

struct Sequence<'a> {
    job: &'a ConvertJob,
    failure: &'a Failure,
    partitions: Partitions<'a>,
    rejects: Table,
    counts: Counts,
    problems: Vec<ObjectProblem>,
    lines_before: u64,
    objects: u64,
}

impl Sequence<'_> {
    fn receive_all(&mut self, received: &Receiver<Message>) -> Result<(), ArcsError> {
        let (mut blocks, mut ends) = (BTreeMap::new(), BTreeMap::new());
        let (mut source, mut index) = (0usize, 0usize);
        while source < self.job.sources.len() {
            if let Some((parsed, share, lineage)) = blocks.remove(&(source, index)) {
                self.place(source, parsed, share, lineage)?;
                index += 1;
                if index.is_multiple_of(PROGRESS_BLOCKS) {
                    self.report();
                }
                continue;
            }
            if ends.get(&source).is_some_and(|end: &End| end.blocks == index) {
                if let Some(end) = ends.remove(&source) {
                    self.end(&end);
                }
                (source, index) = (source + 1, 0);
                continue;
            }
            match received.recv_timeout(Duration::from_millis(LOOK_MILLISECONDS)) {
                Ok(Message::Block { source, index, parsed, share, lineage }) => {
                    blocks.insert((source, index), (*parsed, share, lineage));
                }
                Ok(Message::End(end)) => drop(ends.insert(end.source, end)),
                Err(RecvTimeoutError::Timeout) if !self.failure.is_set() => {}
                Err(_) => return Err(ArcsError::Stopped),
            }
        }
        Ok(())
    }

    fn end(&mut self, end: &End) {
        self.counts.objects += u64::from(end.is_read);
        self.counts.bytes_in += end.bytes_in;
        self.lines_before = 0;
        self.objects += 1;
        if let Some(reason) = &end.problem {
            self.problems.push(ObjectProblem { uri: self.job.sources[end.source].uri.clone(), reason: reason.clone() });
        }
        self.report();
    }

    fn report(&self) {
        if let Some(progress) = &self.job.progress {
            progress(Progress {
                objects: self.objects,
                objects_total: self.job.sources.len() as u64,
                bytes_in: self.counts.bytes_in,
                lines: self.counts.lines,
            });
        }
    }

    /// Sends the rows and rejects of the next block on to their tables.
    fn place(&mut self, source: usize, mut parsed: ParsedBlock, share: Share, lineage: Option<Box<Lineage>>) -> Result<(), ArcsError> {
        let before = self.lines_before as i64;
        let (row_origins, reject_origins) = lineage.map_or((None, None), |lineage| (Some(lineage.rows), Some(lineage.rejects)));
        let share = Some(Arc::new(share));
        self.counts += parsed.counts;
        self.lines_before += parsed.counts.lines;
        if !parsed.reject_lines.is_empty() {
            let numbers = parsed.reject_lines.iter().map(|line| before + i64::from(*line) + 1).collect();
            let columns = with_lineage(self.job, source, std::mem::take(&mut parsed.rejects), numbers, reject_origins, true)?;
            let rows = parsed.reject_lines.len() as u64;
            let facts = BatchFacts { rows, text_bytes: rows + parsed.text.len() as u64, times: None };
            self.rejects.write(&Arc::new(Batch { columns, _share: share.clone() }), facts)?;
        }
        if !parsed.row_lines.is_empty() {
            let numbers: Vec<i64> = parsed.row_lines.iter().map(|line| before + i64::from(line.number) + 1).collect();
            let columns =
                with_lineage(self.job, source, std::mem::take(&mut parsed.rows), numbers, row_origins, !self.partitions.has_lot())?;
            self.partitions.write(Rows { columns, parsed: &parsed, share })?;
        }
        Ok(())
    }
}

/// Adds the lineage columns: the lines of a source by their numbers, or what is given.
fn with_lineage(
    job: &ConvertJob,
    source: usize,
    mut columns: Vec<ArrayRef>,
    numbers: Vec<i64>,
    given: Option<Origins>,
    has_lot: bool,
) -> Result<Vec<ArrayRef>, ArcsError> {
    let fail = |error| ArcsError::internal(format!("lineage does not make arrays: {error}"));
    if has_lot {
        columns.push(constant(&job.lot.to_string(), numbers.len()).map_err(fail)?);
    }
    let (uris, lines) = match given {
        Some(origins) => (origins.uris(), origins.lines),
        None => (constant(&job.sources[source].uri, numbers.len()).map_err(fail)?, numbers),
    };
    columns.push(uris);
    columns.push(Arc::new(Int64Array::from(lines)));
    Ok(columns)
}
