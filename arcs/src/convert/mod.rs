//! A conversion: source objects and a format flow in; staged Parquet, rejects and counts flow out. Reading, decoding,
//! parsing, encoding and writing run side by side; blocks meet again in their order, so the same input gives the same
//! files, byte for byte, whatever the number of threads. Nothing is published here.
//!
//! Memory is bounded by [`ConvertLimits::in_flight_bytes`], the open row groups and a part of each open file, whatever
//! the size of the lot or of an object.

mod again;
mod partitions;
mod readers;
mod rejects;
mod sequence;
#[cfg(test)]
mod shaped_tests;
mod shaper;
#[cfg(test)]
mod tests;

use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};

use arrow::datatypes::SchemaRef;
use manifests::{Counts, Lot, ManifestObject};
use tokio::runtime::Handle;

pub use again::{Continued, FirstParts};

use crate::decode::{Decoder, InflationLimit};
use crate::error::ArcsError;
use crate::format::Grammar;
use crate::lines::LineLimits;
use crate::pool::{Failure, Pool};
use crate::read::{ObjectProblem, SourceObject};
use crate::shape::{RedactKey, Shape, Shaping};
use crate::workload::Problem;
use crate::write::{StagedFile, Target, WriteOptions};
use shaper::Shaper;

/// Objects whose start tells the columns, where a grammar does not know them.
const SAMPLES_MAX: usize = 16;

/// Bytes of such a start, decompressed.
const SAMPLE_BYTES: u64 = 256 << 10;

/// Text in flight for each thread, in bytes: enough that none waits, and so little that a block is encoded before it has
/// left the processor's cache.
const IN_FLIGHT_BYTES: usize = 8 << 20;

/// What to convert.
#[derive(Clone)]
pub struct ConvertJob {
    /// How records read. A grammar whose columns are in the logs takes them from the start of the sources.
    pub grammar: Arc<dyn Grammar>,
    /// The lot; it names the files and stands in the lineage.
    pub lot: Lot,
    /// What to read, in this order.
    pub sources: Vec<SourceObject>,
    /// Where rows go.
    pub main: Target,
    /// Where rejects go.
    pub rejects: Target,
    /// How rows of the format become rows of the table, and what they are partitioned by.
    pub shaping: Shaping,
    /// What redacted values are hashed with.
    pub redact_key: Option<RedactKey>,
    /// Bounds.
    pub limits: ConvertLimits,
    /// How files are cut and encoded.
    pub write: WriteOptions,
    /// Told how far it is, from a thread of the conversion: after every object and every few blocks.
    pub progress: Option<Arc<dyn Fn(Progress) + Send + Sync>>,
}

/// The bounds of a conversion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvertLimits {
    /// Threads that parse and encode.
    pub threads: usize,
    /// How input is cut, and the longest line.
    pub lines: LineLimits,
    /// How far an object may inflate.
    pub inflation: InflationLimit,
    /// Text that is read but not yet encoded, in bytes, over all readers.
    pub in_flight_bytes: usize,
    /// Partitions that are written side by side; rows of others wait on local disk.
    pub partitions_open_max: usize,
    /// Different partitions of one lot; rows of further ones go to the partition without value.
    pub partitions_max: usize,
    /// Where rows wait on local disk.
    pub spill_folder: PathBuf,
}

impl ConvertLimits {
    /// The usual bounds, for so many threads, with temporary files below `spill_folder`.
    pub fn new(threads: usize, spill_folder: PathBuf) -> ConvertLimits {
        ConvertLimits {
            threads: threads.max(1),
            lines: LineLimits::default(),
            inflation: InflationLimit::default(),
            in_flight_bytes: (threads * IN_FLIGHT_BYTES).clamp(2 * IN_FLIGHT_BYTES, 4 * IN_FLIGHT_BYTES),
            partitions_open_max: 16,
            partitions_max: 20_000,
            spill_folder,
        }
    }
}

/// How far a conversion is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Objects read to their end.
    pub objects: u64,
    /// Objects there are.
    pub objects_total: u64,
    /// Bytes of those objects, as stored.
    pub bytes_in: u64,
    /// Lines read.
    pub lines: u64,
}

/// A conversion whose files are all staged and none published.
#[derive(Debug)]
pub struct Staged {
    counts: Counts,
    /// Objects that could not be read; with any of these the lot is partial.
    pub problems: Vec<ObjectProblem>,
    schema: SchemaRef,
    main: Vec<StagedFile>,
    rejects: Vec<StagedFile>,
}

/// The files of a conversion, by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Files of rows.
    pub main: Vec<ManifestObject>,
    /// Files of rejects.
    pub rejects: Vec<ManifestObject>,
}

impl Staged {
    /// What became of the lines.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The columns of the rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// URIs of the files that [`Staged::publish`] will make readable: rejects, then rows, in that order.
    pub fn uris(&self) -> Vec<String> {
        self.rejects.iter().chain(&self.main).map(StagedFile::uri).collect()
    }

    /// Makes all files readable, rejects first.
    pub async fn publish(self) -> Result<Published, ArcsError> {
        let mut published = Published::default();
        for file in self.rejects {
            published.rejects.push(file.publish().await?);
        }
        for file in self.main {
            published.main.push(file.publish().await?);
        }
        Ok(published)
    }

    /// Takes all staged bytes away again.
    pub async fn abort(self) {
        for file in self.rejects.into_iter().chain(self.main) {
            file.abort().await;
        }
    }
}

/// Ends the conversion's threads when the future that waits for them goes away.
struct StopOnDrop(Arc<Failure>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.set(ArcsError::Stopped);
    }
}

/// Converts. Everything is written and nothing is published. Fails only for stores that may recover, for local disk,
/// and for bugs; what cannot be read is a reject. Dropping the future stops it and leaves nothing.
pub async fn convert(job: ConvertJob) -> Result<Staged, ArcsError> {
    let failure = Arc::new(Failure::default());
    let stop = StopOnDrop(failure.clone());
    let runtime = Handle::current();
    let done = tokio::task::spawn_blocking(move || run(&inferred(job, &runtime, false), None, &runtime, &failure)).await;
    drop(stop);
    done.unwrap_or_else(|_| Err(ArcsError::internal("the conversion's thread panicked")))
}

/// Converts the lines that committed files of rejects hold, the sources of the job. Lines that are a row each now become
/// rows with the lineage that they had; all others are rejects again. Files begin with the parts of `continued`.
pub async fn convert_again(job: ConvertJob, continued: Continued) -> Result<Staged, ArcsError> {
    let failure = Arc::new(Failure::default());
    let stop = StopOnDrop(failure.clone());
    let runtime = Handle::current();
    let done = tokio::task::spawn_blocking(move || run(&inferred(job, &runtime, true), Some(&continued), &runtime, &failure)).await;
    drop(stop);
    done.unwrap_or_else(|_| Err(ArcsError::internal("the conversion's thread panicked")))
}

/// What [`convert_again`] would make of the lines; nothing is written.
pub async fn count_again(job: ConvertJob) -> Result<Counts, ArcsError> {
    let runtime = Handle::current();
    let count = move || {
        let job = inferred(job, &runtime, true);
        again::count(&job, &shape(&job)?, &runtime)
    };
    let done = tokio::task::spawn_blocking(count).await;
    done.unwrap_or_else(|_| Err(ArcsError::internal("the conversion's thread panicked")))
}

/// What tells the columns of a grammar that does not know them: the starts of sources, or of the lines of rejects.
pub(crate) async fn heads(job: &ConvertJob, is_again: bool) -> Result<Vec<Vec<u8>>, ArcsError> {
    let (job, runtime) = (job.clone(), Handle::current());
    let read = tokio::task::spawn_blocking(move || read_heads(&job, &runtime, is_again)).await;
    read.map_err(|_| ArcsError::internal("the thread that looks at sources panicked"))
}

/// The job with the columns that its sources have, where the grammar does not know them. What cannot be read is passed
/// over here, and told of when it is read.
fn inferred(mut job: ConvertJob, runtime: &Handle, is_again: bool) -> ConvertJob {
    if job.grammar.inferred(&[]).is_none() {
        return job;
    }
    let heads = read_heads(&job, runtime, is_again);
    let heads: Vec<&[u8]> = heads.iter().map(Vec::as_slice).collect();
    if let Some(grammar) = job.grammar.inferred(&heads) {
        job.grammar = grammar.into();
    }
    job
}

fn read_heads(job: &ConvertJob, runtime: &Handle, is_again: bool) -> Vec<Vec<u8>> {
    let head = |source: &SourceObject| {
        let (stored, _) = crate::read::open(source, runtime).ok()?;
        let mut head = Vec::new();
        Decoder::new(stored, job.limits.inflation).ok()?.take(SAMPLE_BYTES).read_to_end(&mut head).ok()?;
        Some(head)
    };
    match is_again {
        true => again::samples(job, runtime),
        false => job.sources.iter().take(SAMPLES_MAX).filter_map(head).collect(),
    }
}

/// The compiled shaping, or all that is wrong with it.
fn shape(job: &ConvertJob) -> Result<Shape, ArcsError> {
    let said = |problems: Vec<Problem>| {
        let lines = problems.into_iter().map(|problem| format!("{}: {}", problem.path, problem.message));
        ArcsError::Job { message: lines.collect::<Vec<_>>().join("; ") }
    };
    let shape = Shape::new(&job.shaping, job.grammar.as_ref()).map_err(said)?;
    shaper::check_key(&shape, job.redact_key.as_ref())?;
    Ok(shape)
}

fn run(job: &ConvertJob, continued: Option<&Continued>, runtime: &Handle, failure: &Arc<Failure>) -> Result<Staged, ArcsError> {
    let shape = Arc::new(shape(job)?);
    let helpers = if continued.is_none() { readers::helpers(job) } else { 0 };
    let pool = Pool::start(job.limits.threads.saturating_sub(helpers), failure);
    let (messages, received) = mpsc::channel();
    let sequenced = std::thread::scope(|scope| {
        let shaper = (!shape.is_plain()).then(|| Shaper::new(job, &shape, &pool.tasks(), failure, messages.clone()));
        match continued {
            None => readers::start(scope, job, &pool.tasks(), runtime, failure, messages),
            Some(_) => again::start(scope, job, runtime, failure, messages),
        }
        let continued = continued.cloned().unwrap_or_default();
        let sequenced = sequence::run(job, &shape, shaper, &continued, &pool.tasks(), runtime, failure, &received);
        // Before the readers hear that there is no more work, so that none of them goes on reading.
        let sequenced = sequenced.map_err(|error| failure.set(error)).ok();
        pool.close();
        sequenced
    });
    drop(pool);
    match (failure.take(), sequenced) {
        (None, Some(staged)) if staged.counts.is_balanced() => Ok(staged),
        (None, Some(staged)) => {
            runtime.block_on(staged.abort());
            Err(ArcsError::internal("the lines of the lot are not all accounted for"))
        }
        (error, staged) => {
            if let Some(staged) = staged {
                runtime.block_on(staged.abort());
            }
            Err(error.unwrap_or_else(|| ArcsError::internal("a conversion failed without saying why")))
        }
    }
}
