//! Where blocks meet again: messages flow in, in any order; rows and rejects flow on to their tables in the order of the
//! sources, with their line numbers. Everything that decides what a file holds is decided here, on one thread.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use manifests::Counts;
use parquet::file::metadata::{KeyValue, SortingColumn};
use tokio::runtime::Handle;

use crate::convert::again::Continued;
use crate::convert::partitions::{Partitions, Rows};
use crate::convert::readers::{End, Message};
use crate::convert::rejects;
use crate::convert::shaper::Shaper;
use crate::convert::{ConvertJob, Progress, Staged};
use crate::error::ArcsError;
use crate::lineage::{BlockOrigin, Origins, reject_columns};
use crate::parse::ParsedBlock;
use crate::partition::{PartitionKey, Partitioning};
use crate::pool::{Failure, Share, Tasks};
use crate::read::ObjectProblem;
use crate::shape::{PARTITION_KINDS, PARTITION_TYPES_KEY, PartitionColumn, Shape, Shaped, TableColumn};
use crate::write::{Batch, BatchFacts, Finished, Stage, StagedFile, Stored, Table, TableContext, TableSchema, Target};

/// How often it looks whether something failed, while nothing arrives.
const LOOK_MILLISECONDS: u64 = 50;

/// Blocks between two reports of progress within an object.
const PROGRESS_BLOCKS: usize = 16;

/// Runs a conversion's tables until all sources are through, and all files staged.
#[expect(clippy::too_many_arguments, reason = "each is another part of what a conversion runs with")]
pub(super) fn run(
    job: &ConvertJob,
    shape: &Arc<Shape>,
    shaper: Option<Shaper>,
    continued: &Continued,
    tasks: &Tasks,
    runtime: &Handle,
    failure: &Arc<Failure>,
    received: &Receiver<Message>,
) -> Result<Staged, ArcsError> {
    let main = TableSchema::new(shape.columns.iter().map(Stored::from), &job.write)?.saying(sorted(shape), partition_types(shape));
    let schema = main.schema.clone();
    let (main, main_files) = context(job, &job.main, main, tasks, runtime, failure);
    let rejects = TableSchema::new(reject_columns().iter().map(TableColumn::from).map(|column| Stored::from(&column)), &job.write)?;
    let (rejects, reject_files) = context(job, &job.rejects, rejects, tasks, runtime, failure);
    let folder = Partitioning::computed(&[PartitionKey::Dt], job.lot);
    let folder = folder.folder(folder.slot(Some(job.lot.start().timestamp_micros()), 0), "");
    let first_reject_part = continued.rejects.of(&folder);
    let mut sequence = Sequence {
        job,
        failure,
        shape,
        shaper,
        partitions: Partitions::new(job, shape, main, &continued.main, failure),
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
    schema: TableSchema,
    tasks: &Tasks,
    runtime: &Handle,
    failure: &Arc<Failure>,
) -> (TableContext, Receiver<Finished>) {
    let (finished, files) = channel();
    let context = TableContext {
        schema,
        stage: Stage::new(target.clone(), runtime.clone(), job.limits.spill_folder.clone()),
        tasks: tasks.clone(),
        failure: failure.clone(),
        finished,
        options: job.write,
        lot: job.lot.to_string(),
    };
    (context, files)
}

/// What row groups are sorted by, as files say it.
fn sorted(shape: &Shape) -> Vec<SortingColumn> {
    let column =
        |(column, descending): &(usize, bool)| SortingColumn { column_idx: *column as i32, descending: *descending, nulls_first: false };
    shape.sort.iter().map(column).collect()
}

/// The types of the partition columns, as files say them: folders show text alone.
fn partition_types(shape: &Shape) -> Vec<KeyValue> {
    let typed = shape.partition_columns.iter().filter(|column| column.kind != DataType::Utf8);
    let named = |column: &PartitionColumn| {
        let kind = PARTITION_KINDS.iter().find(|kind| kind.1 == column.kind).map_or("string", |kind| kind.0);
        (column.name.clone(), kind.into())
    };
    let types: serde_json::Map<String, serde_json::Value> = typed.map(named).collect();
    if types.is_empty() {
        return Vec::new();
    }
    vec![KeyValue::new(PARTITION_TYPES_KEY.to_owned(), serde_json::Value::from(types).to_string())]
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
    shape: &'a Shape,
    shaper: Option<Shaper>,
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
        let (mut blocks, mut ends, mut shaped) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (mut source, mut index, mut placed) = (0usize, 0usize, 0usize);
        while source < self.job.sources.len() || placed < self.shaper.as_ref().map_or(0, Shaper::submitted) {
            if let Some((origin, block, share)) = shaped.remove(&placed) {
                self.place_shaped(&origin, block, share)?;
                placed += 1;
                continue;
            }
            if let Some((parsed, share, origins)) = blocks.remove(&(source, index)) {
                self.accept(source, parsed, origins, share)?;
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
                Ok(Message::Block { source, index, parsed, share, origins }) => {
                    blocks.insert((source, index), (*parsed, share, origins));
                }
                Ok(Message::End(end)) => drop(ends.insert(end.source, end)),
                Ok(Message::Shaped { place, origin, shaped: block, share }) => drop(shaped.insert(place, (origin, *block, share))),
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

    /// Takes the next block: to be shaped, or as it is.
    fn accept(&mut self, source: usize, parsed: ParsedBlock, given: Option<Box<Origins>>, share: Share) -> Result<(), ArcsError> {
        let (lines_before, uri) = (self.lines_before as i64, self.job.sources[source].uri.clone());
        self.lines_before += parsed.counts.lines;
        let origin = BlockOrigin { lot: self.job.lot.to_string(), uri, lines_before, given };
        match &mut self.shaper {
            Some(shaper) => shaper.submit(parsed, origin, share),
            None => self.place(parsed, &origin, share)?,
        }
        Ok(())
    }

    /// Sends the rows and rejects of the next block on to their tables.
    fn place(&mut self, mut parsed: ParsedBlock, origin: &BlockOrigin, share: Share) -> Result<(), ArcsError> {
        let share = Some(Arc::new(share));
        self.counts += parsed.counts;
        if !parsed.reject_lines.is_empty() {
            let rejects = std::mem::take(&mut parsed.rejects);
            self.reject(rejects, &parsed.reject_lines, origin, parsed.text.len(), share.clone())?;
        }
        if !parsed.row_lines.is_empty() {
            let mut columns = std::mem::take(&mut parsed.rows);
            let numbers = parsed.row_lines.iter().map(|line| line.number);
            columns.extend(origin.lineage(numbers, self.shape.has_lot())?);
            let slots = self.partitions.slots(&parsed.times);
            self.partitions.write(Rows { columns, parsed: &parsed, slots, share })?;
        }
        Ok(())
    }

    /// The same for a shaped block, whose rows have their lineage. Rows past the bound on partitions become rejects.
    fn place_shaped(&mut self, origin: &BlockOrigin, mut shaped: Shaped, share: Share) -> Result<(), ArcsError> {
        let share = Some(Arc::new(share));
        let slots = match self.partitions.admit(&shaped) {
            Ok(slots) => slots,
            Err(reasons) => {
                shaped.fail(reasons)?;
                self.partitions.admit(&shaped).map_err(|_| ArcsError::internal("rows of known partitions have none"))?
            }
        };
        let parsed = &mut shaped.parsed;
        self.counts += parsed.counts;
        let (columns, lines) = rejects::merge(parsed, &shaped.failed, self.shape.keeps_raw)?;
        if !lines.is_empty() {
            self.reject(columns, &lines, origin, parsed.text.len(), share.clone())?;
        }
        if !parsed.row_lines.is_empty() {
            let columns = std::mem::take(&mut parsed.rows);
            self.partitions.write(Rows { columns, parsed, slots, share })?;
        }
        Ok(())
    }

    /// Writes rejects that are on these lines of a block.
    fn reject(
        &mut self,
        mut columns: Vec<ArrayRef>,
        lines: &[u32],
        origin: &BlockOrigin,
        text_bytes: usize,
        share: Option<Arc<Share>>,
    ) -> Result<(), ArcsError> {
        columns.extend(origin.lineage(lines.iter().copied(), true)?);
        let rows = lines.len() as u64;
        let facts = BatchFacts { rows, text_bytes: rows + text_bytes as u64, times: None };
        self.rejects.write(&Arc::new(Batch { columns, _share: share }), facts)
    }
}
