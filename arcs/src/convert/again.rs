//! Rejects as the input of a conversion: committed files of rejects flow in; their lines, read by today's format, flow
//! out as blocks with the lineage that they had. What is a row now goes to the tables of rows, what is none stays a
//! reject. The objects that the lines are from are not read.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::Scope;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, Int64Array, RecordBatch};
use arrow::buffer::Buffer;
use arrow::compute::concat;
use arrow::datatypes::{DataType, Int64Type};
use futures::StreamExt;
use manifests::{Counts, Located, Lot, ManifestObject};
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::arrow::async_reader::ParquetRecordBatchStream;
use tokio::runtime::Handle;

use crate::again::{Again, header_of, read_again};
use crate::convert::readers::{End, Message};
use crate::convert::{ConvertJob, SAMPLE_BYTES, SAMPLES_MAX};
use crate::error::ArcsError;
use crate::format::{Grammar, Headers};
use crate::header::Header;
use crate::lineage::{BlockOrigin, Origins};
use crate::parse::{LineAt, ParsedBlock};
use crate::pool::{Budget, Failure};
use crate::read::SourceObject;
use crate::reject::{Rejected, Rejects};
use crate::shape::Shape;
use crate::stored::StoredParquet;

/// Rejects that are read at a time.
const BATCH_ROWS: usize = 1024;

/// The parts that a conversion's files begin with, by folder; 0 where nothing is said. A conversion that adds to a lot
/// goes on after the parts that the lot has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FirstParts(BTreeMap<String, u32>);

impl FirstParts {
    /// After these files of a lot below `base` (a URI that ends in a slash).
    pub fn after<'a>(files: impl Iterator<Item = &'a ManifestObject>, base: &str, lot: Lot) -> FirstParts {
        let mut parts = BTreeMap::new();
        for relative in files.filter_map(|file| file.uri.strip_prefix(base)) {
            let (folder, name) = relative.rfind('/').map_or(("", relative), |slash| relative.split_at(slash + 1));
            let part =
                name.strip_prefix(&format!("{lot}-")).and_then(|name| name.strip_suffix(".parquet")).and_then(|part| part.parse().ok());
            let next: &mut u32 = parts.entry(folder.to_owned()).or_default();
            *next = part.map_or(*next, |part: u32| (*next).max(part + 1));
        }
        FirstParts(parts)
    }

    /// The first part of a folder.
    pub(super) fn of(&self, folder: &str) -> u32 {
        self.0.get(folder).copied().unwrap_or(0)
    }
}

/// What a conversion of rejects adds to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Continued {
    /// Parts of rows.
    pub main: FirstParts,
    /// Parts of rejects.
    pub rejects: FirstParts,
}

/// What reading rejects again would give, with nothing written.
pub(super) fn count(job: &ConvertJob, shape: &Shape, runtime: &Handle) -> Result<Counts, ArcsError> {
    let mut counts = Counts::default();
    for source in &job.sources {
        let mut file = RejectFile::open(source, runtime)?;
        while let Some(batch) = file.next()? {
            let (parsed, origins) = reread(job.grammar.as_ref(), job.lot, &batch)?;
            counts += match shape.is_plain() {
                true => parsed.counts,
                false => {
                    let given = Some(Box::new(origins));
                    let origin = BlockOrigin { lot: job.lot.to_string(), uri: source.uri.clone(), lines_before: 0, given };
                    shape.apply(parsed, &origin, job.redact_key.as_ref())?.parsed.counts
                }
            };
        }
    }
    Ok(counts)
}

/// Starts the reader of rejects.
pub(super) fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    job: &'scope ConvertJob,
    runtime: &'scope Handle,
    failure: &'scope Arc<Failure>,
    messages: Sender<Message>,
) {
    scope.spawn(move || match std::panic::catch_unwind(AssertUnwindSafe(|| send(job, runtime, failure, &messages))) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => failure.set(error),
        Err(_) => failure.set(ArcsError::internal("a reader panicked")),
    });
}

/// Sends the blocks of all sources, one after the other.
fn send(job: &ConvertJob, runtime: &Handle, failure: &Arc<Failure>, messages: &Sender<Message>) -> Result<(), ArcsError> {
    let budget = Budget::new(job.limits.in_flight_bytes);
    for (source, object) in job.sources.iter().enumerate() {
        let (mut file, mut blocks) = (RejectFile::open(object, runtime)?, 0);
        while let Some(batch) = file.next()? {
            let (parsed, origins) = reread(job.grammar.as_ref(), job.lot, &batch)?;
            let Some(share) = budget.take(parsed.text.len(), failure) else { return Err(ArcsError::Stopped) };
            let block = Message::Block { source, index: blocks, parsed: Box::new(parsed), share, origins: Some(Box::new(origins)) };
            let _ = messages.send(block);
            blocks += 1;
        }
        let _ = messages.send(Message::End(End { source, blocks, bytes_in: object.size, is_read: true, problem: None }));
    }
    Ok(())
}

/// The starts of the rejected lines, for grammars whose columns are in the logs.
pub(super) fn samples(job: &ConvertJob, runtime: &Handle) -> Vec<Vec<u8>> {
    let mut samples: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let needs_header = job.grammar.headers() == Headers::First;
    for source in job.sources.iter().take(SAMPLES_MAX) {
        let Ok(Some(batch)) = RejectFile::open(source, runtime).and_then(|mut file| file.next()) else { continue };
        for row in batch.rows().filter(|row| row.is_whole() && (row.header.is_some() || !needs_header)) {
            let header = row.header.unwrap_or_default();
            if samples.last().is_none_or(|(known, _)| known != header) && samples.len() < SAMPLES_MAX {
                samples.push((header.to_vec(), [header, b"\n"].concat()));
            }
            if let Some((_, text)) = samples.last_mut().filter(|(known, text)| known == header && text.len() < SAMPLE_BYTES as usize) {
                text.extend_from_slice(row.raw);
                text.push(b'\n');
            }
        }
    }
    samples.into_iter().map(|(_, text)| text).collect()
}

/// Reads the rejects of a batch.
fn reread(grammar: &dyn Grammar, lot: Lot, batch: &RejectBatch) -> Result<(ParsedBlock, Origins), ArcsError> {
    let mut made = Made::new(batch);
    let mut last: Option<(Arc<str>, Option<Header>)> = None;
    for row in batch.rows() {
        if let Some(lines) = row.header.filter(|lines| last.as_ref().is_none_or(|(known, _)| known.as_bytes() != *lines)) {
            let lines = String::from_utf8_lossy(lines);
            last = Some((lines.as_ref().into(), header_of(grammar, &lines)));
        }
        let header = row.header.and(last.as_ref());
        let in_force = header.and_then(|(_, header)| header.as_ref());
        let again = match row.is_whole() {
            true => read_again(grammar, row.raw, in_force, lot.end().timestamp_micros()).map_err(internal)?,
            false => Again::Other,
        };
        made.add(&row, header.map(|(lines, _)| lines), again);
    }
    made.finish()
}

fn internal(error: arrow::error::ArrowError) -> ArcsError {
    ArcsError::internal(format!("rejects do not make arrays: {error}"))
}

/// Rows and rejects of a batch as they grow.
struct Made {
    text: Buffer,
    counts: Counts,
    rows: Vec<Vec<ArrayRef>>,
    times: Vec<Option<i64>>,
    row_lines: Vec<LineAt>,
    rejects: Rejects,
    reject_lines: Vec<u32>,
    origins: Origins,
    at: usize,
}

impl Made {
    fn new(batch: &RejectBatch) -> Made {
        let text: Vec<u8> = batch.rows().flat_map(|row| row.raw.iter().copied()).collect();
        Made {
            text: Buffer::from_vec(text),
            counts: Counts::default(),
            rows: Vec::new(),
            times: Vec::new(),
            row_lines: Vec::new(),
            rejects: Rejects::default(),
            reject_lines: Vec::new(),
            origins: Origins::default(),
            at: 0,
        }
    }

    fn add(&mut self, row: &RejectRow<'_>, header: Option<&Arc<str>>, again: Again) {
        let (start, end) = (self.at, self.at + row.raw.len());
        self.at = end;
        let number = self.counts.lines as u32;
        self.counts.lines += 1;
        self.origins.push(row.source_uri, row.source_line);
        let mut reject = Rejected {
            raw: (start, end),
            raw_bytes: row.raw_bytes,
            reason: row.reason,
            reason_at: row.reason_at,
            byte_offset: row.byte_offset,
            header,
        };
        match &again {
            Again::Row { columns, time, counts } => {
                self.counts.rows += 1;
                self.counts.recovered += counts.recovered;
                self.counts.extra += counts.extra;
                self.rows.push(columns.clone());
                self.times.push(*time);
                self.row_lines.push(LineAt { number, start: start as u32, end: end as u32 });
                return;
            }
            Again::Reject { reason, at } => (reject.reason, reject.reason_at) = (reason, Some(*at)),
            Again::Other => {}
        }
        self.counts.rejected += 1;
        self.rejects.append(reject, &self.text);
        self.reject_lines.push(number);
    }

    fn finish(self) -> Result<(ParsedBlock, Origins), ArcsError> {
        let columns = self.rows.first().map_or(0, Vec::len);
        let column = |at: usize| concat(&self.rows.iter().map(|row| row[at].as_ref()).collect::<Vec<_>>());
        let parsed = ParsedBlock {
            rows: (0..columns).map(column).collect::<Result<_, _>>().map_err(internal)?,
            rejects: self.rejects.finish(&self.text).map_err(internal)?,
            text: self.text,
            offset: 0,
            counts: self.counts,
            row_lines: self.row_lines,
            times: self.times,
            reject_lines: self.reject_lines,
        };
        Ok((parsed, self.origins))
    }
}

/// A committed file of rejects.
struct RejectFile<'a> {
    source: &'a SourceObject,
    runtime: &'a Handle,
    batches: ParquetRecordBatchStream<StoredParquet>,
}

impl<'a> RejectFile<'a> {
    /// Blocks; not for a thread of the runtime.
    fn open(source: &'a SourceObject, runtime: &'a Handle) -> Result<RejectFile<'a>, ArcsError> {
        let place = Located { store: source.store.clone(), path: source.path.clone() };
        let reader = StoredParquet { place, size: source.size };
        let opened = runtime.block_on(ParquetRecordBatchStreamBuilder::new(reader));
        let batches = opened.and_then(|builder| builder.with_batch_size(BATCH_ROWS).build()).map_err(|error| unread(source, error))?;
        Ok(RejectFile { source, runtime, batches })
    }

    fn next(&mut self) -> Result<Option<RejectBatch>, ArcsError> {
        let next = self.runtime.block_on(self.batches.next()).transpose().map_err(|error| unread(self.source, error))?;
        next.map(|batch| RejectBatch::new(self.source, &batch)).transpose()
    }
}

fn unread(source: &SourceObject, error: parquet::errors::ParquetError) -> ArcsError {
    ArcsError::Parquet { uri: source.uri.clone(), source: error }
}

/// Some rejects, as their file holds them. Columns that came later are null in files from before.
struct RejectBatch {
    raw: BinaryViewArray,
    reason: BinaryViewArray,
    header: BinaryViewArray,
    source_uri: BinaryViewArray,
    raw_bytes: Int64Array,
    reason_at: Int64Array,
    byte_offset: Int64Array,
    source_line: Int64Array,
}

/// One of them.
struct RejectRow<'a> {
    raw: &'a [u8],
    raw_bytes: u64,
    reason: &'a str,
    reason_at: Option<u64>,
    byte_offset: u64,
    header: Option<&'a [u8]>,
    source_uri: &'a [u8],
    source_line: i64,
}

impl RejectRow<'_> {
    /// Whether a format saw the line, and all of it is there.
    fn is_whole(&self) -> bool {
        self.reason_at.is_some() && self.raw.len() as u64 == self.raw_bytes
    }
}

impl RejectBatch {
    fn new(source: &SourceObject, batch: &RecordBatch) -> Result<RejectBatch, ArcsError> {
        let message = |name: &str| ArcsError::Job { message: format!("`{}` is no file of rejects: it has no column `{name}`", source.uri) };
        let required = |name: &str| batch.column_by_name(name).ok_or_else(|| message(name));
        let bytes = |name: &str| required(name).and_then(|column| bytes(column).ok_or_else(|| message(name)));
        let ints = |name: &str| required(name).and_then(|column| ints(column).ok_or_else(|| message(name)));
        let rows = batch.num_rows();
        Ok(RejectBatch {
            raw: bytes("raw")?,
            reason: bytes("reason")?,
            header: bytes("header").unwrap_or_else(|_| BinaryViewArray::new_null(rows)),
            source_uri: bytes("source_uri")?,
            raw_bytes: ints("raw_bytes")?,
            reason_at: ints("reason_at").unwrap_or_else(|_| Int64Array::new_null(rows)),
            byte_offset: ints("byte_offset")?,
            source_line: ints("source_line")?,
        })
    }

    fn rows(&self) -> impl Iterator<Item = RejectRow<'_>> {
        let unsigned = |array: &Int64Array, row: usize| array.value(row).unsigned_abs();
        (0..self.raw.len()).map(move |row| RejectRow {
            raw: self.raw.value(row),
            raw_bytes: unsigned(&self.raw_bytes, row),
            reason: std::str::from_utf8(self.reason.value(row)).unwrap_or_default(),
            reason_at: self.reason_at.is_valid(row).then(|| unsigned(&self.reason_at, row)),
            byte_offset: unsigned(&self.byte_offset, row),
            header: self.header.is_valid(row).then(|| self.header.value(row)),
            source_uri: self.source_uri.value(row),
            source_line: self.source_line.value(row),
        })
    }
}

fn bytes(column: &ArrayRef) -> Option<BinaryViewArray> {
    let view = match column.data_type() {
        DataType::Utf8 => BinaryViewArray::from_iter(column.as_string::<i32>().iter().map(|text| text.map(str::as_bytes))),
        DataType::Binary => BinaryViewArray::from_iter(column.as_binary::<i32>().iter()),
        _ => return None,
    };
    Some(view)
}

fn ints(column: &ArrayRef) -> Option<Int64Array> {
    column.as_primitive_opt::<Int64Type>().cloned()
}
