//! `copy`: the objects of the sources flow in, the same bytes flow out below the main sink, under the same relative
//! paths. Counts: `objects` and the bytes; a copy has no lines. What lies in S3 and goes there is copied by S3 itself.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use manifests::{ArcSpec, Counts, MAIN_ROLE, ManifestObject};
use serde::Deserialize;
use tokio::runtime::Handle;

use super::{Parameter, ParameterKind, Problem, RunInput, SinkFiles, StagedWork, Work, Workload, check_sinks};
use crate::error::ArcsError;
use crate::filter::{Filter, FilterSpec};
use crate::read::{ObjectProblem, SourceObject, Unread, open, unread};
use crate::runner::{remove_staged_beside, source_object};
use crate::s3_copy::{self, COPIES_AT_ONCE, S3Copier, S3Copy, Uncopied};
use crate::write::{Stage, StagedFile, Target};

/// Bytes that pass through at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// The workload.
pub(super) struct Copy;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    #[serde(default)]
    filter: FilterSpec,
    fail_arc_on_partial_percent: Option<f64>,
}

#[async_trait]
impl Workload for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }

    fn summary(&self) -> &'static str {
        "copies the objects of the sources below the main sink, under the same relative paths"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const PARAMETERS: &[Parameter] = &[
            Parameter {
                name: "filter",
                kind: ParameterKind::Object,
                default: "{}",
                meaning: "which objects, by globs relative to the source's path: {includes, excludes, pathSeparator, ignoreCase}",
            },
            Parameter {
                name: "failArcOnPartialPercent",
                kind: ParameterKind::Number(100),
                default: "100",
                meaning: "share of objects that cannot be copied, in percent, past which the run fails instead of being partial",
            },
        ];
        PARAMETERS
    }

    fn check(&self, arc: &ArcSpec) -> Vec<Problem> {
        let mut problems = check_sinks(arc, &[MAIN_ROLE]);
        let sink = arc.sinks.iter().find(|sink| sink.role == MAIN_ROLE).map(|sink| &sink.dataset.path_uri);
        if arc.sources.iter().any(|source| Some(&source.dataset.path_uri) == sink) {
            problems.push(Problem::new("sinks.main.pathURI", "is where the source lies: objects would be copied onto themselves"));
        }
        let Some(filter) = arc.workload.get("filter") else { return problems };
        match FilterSpec::deserialize(filter) {
            Err(error) => problems.push(Problem::new("workload.filter", error.to_string())),
            Ok(filter) => problems.extend(filter.build().err().map(|error| Problem::new("workload.filter", error.to_string()))),
        }
        problems
    }

    async fn run(&self, input: &RunInput<'_>) -> Result<Work, ArcsError> {
        let parameters: Parameters = input.parameters()?;
        let filter = parameters.filter.build().map_err(|error| ArcsError::Job { message: format!("filter: {error}") })?;
        let target = input.main_target()?;
        let (copies, problems) = planned(input, &filter, &target);
        if input.attempt > 1 {
            remove_staged_beside(copies.iter().map(|copy| target.uri(&copy.relative)).collect()).await;
        }
        let wanted = copies.len() + problems.len();
        let copied = copy_all(input, copies, &target).await?;
        let problems: Vec<ObjectProblem> = problems.into_iter().chain(copied.problems).collect();
        let limit_percent = parameters.fail_arc_on_partial_percent.unwrap_or(100.0);
        if problems.len() as f64 * 100.0 > limit_percent * wanted as f64 {
            Box::new(StagedCopy(copied.files)).abort().await;
            let first = problems.first().map(|problem| format!("{}: {}", problem.uri, problem.reason)).unwrap_or_default();
            let message = format!("{} of {wanted} objects could not be copied, more than {limit_percent} %: {first}", problems.len());
            return Err(ArcsError::Work { message, is_transient: false });
        }
        let bytes = copied.files.iter().map(CopiedFile::size).sum();
        let counts = Counts { objects: copied.files.len() as u64, bytes_in: bytes, bytes_out: bytes, ..Counts::default() };
        Ok(Work { counts, problems, staged: Box::new(StagedCopy(copied.files)) })
    }
}

/// An object to copy and its path below the sink.
struct PlannedCopy {
    source: SourceObject,
    relative: String,
}

/// The objects that the filter takes, and those that cannot have a place below the sink.
fn planned(input: &RunInput<'_>, filter: &Filter, target: &Target) -> (Vec<PlannedCopy>, Vec<ObjectProblem>) {
    let (mut copies, mut problems, mut taken) = (Vec::new(), Vec::new(), BTreeSet::new());
    for source in &input.sources {
        for object in source.objects() {
            let mut refuse = |reason: &str| problems.push(ObjectProblem { uri: object.uri.clone(), reason: reason.to_owned() });
            let Some(relative) = object.uri.strip_prefix(&source.dataset.path_uri).map(|relative| relative.trim_start_matches('/')) else {
                refuse("the object does not lie below its dataset's path");
                continue;
            };
            if !filter.takes(relative) {
                continue;
            }
            let place = source_object(&input.context.stores, object);
            match place {
                Err(problem) => problems.push(problem),
                Ok(_) if input.context.stores.objects.locate(&target.uri(relative)).is_err() => refuse("its path leaves the sink"),
                Ok(_) if !taken.insert(relative.to_owned()) => refuse("another object has the same path below the sink"),
                Ok(source) => copies.push(PlannedCopy { source, relative: relative.to_owned() }),
            }
        }
    }
    (copies, problems)
}

#[derive(Default)]
struct Copied {
    files: Vec<CopiedFile>,
    problems: Vec<ObjectProblem>,
}

/// A copy that is ready to be published.
enum CopiedFile {
    /// Its bytes are staged.
    Staged(StagedFile),
    /// S3 has copied it, into parts that nobody can read.
    InS3(S3Copy),
}

impl CopiedFile {
    fn size(&self) -> u64 {
        match self {
            CopiedFile::Staged(file) => file.size,
            CopiedFile::InS3(copy) => copy.size,
        }
    }
}

/// Stops the thread that copies when the future that waits for it goes away.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// S3 copies what lies in S3 and goes there; all else passes through here.
async fn copy_all(input: &RunInput<'_>, copies: Vec<PlannedCopy>, target: &Target) -> Result<Copied, ArcsError> {
    let copier = input.context.aws.as_ref().map(S3Copier::new);
    let is_inside = |copy: &PlannedCopy| copier.is_some() && s3_copy::is_inside(&copy.source.uri, &target.uri(&copy.relative));
    let (inside, mut through): (Vec<PlannedCopy>, Vec<PlannedCopy>) = copies.into_iter().partition(is_inside);
    let mut copied = Copied::default();
    if let Some(copier) = &copier {
        through.extend(copy_inside(copier, inside, target, &mut copied).await?);
    }
    if through.is_empty() {
        return Ok(copied);
    }
    let stop = StopOnDrop(Arc::new(AtomicBool::new(false)));
    let (is_stopped, runtime) = (stop.0.clone(), Handle::current());
    let stage = Stage::new(target.clone(), runtime.clone(), input.context.options.spill_folder.clone());
    let passed = tokio::task::spawn_blocking(move || pass_through(&through, &stage, &runtime, &is_stopped)).await;
    match passed.unwrap_or_else(|_| Err(ArcsError::internal("the thread that copies panicked"))) {
        Ok(passed) => {
            copied.files.extend(passed.files);
            copied.problems.extend(passed.problems);
            Ok(copied)
        }
        Err(error) => {
            Box::new(StagedCopy(copied.files)).abort().await;
            Err(error)
        }
    }
}

/// Has S3 copy; gives back what it does not copy by itself.
async fn copy_inside(
    copier: &S3Copier,
    copies: Vec<PlannedCopy>,
    target: &Target,
    copied: &mut Copied,
) -> Result<Vec<PlannedCopy>, ArcsError> {
    let is_unsupported = AtomicBool::new(false);
    let stage = |copy: PlannedCopy| async {
        let staged = match is_unsupported.load(Ordering::SeqCst) {
            true => Err(Uncopied::Unsupported),
            false => copier.stage(&copy.source, &target.uri(&copy.relative)).await,
        };
        (copy, staged)
    };
    let (mut through, mut failed) = (Vec::new(), None);
    let mut staged = futures::stream::iter(copies).map(stage).buffer_unordered(COPIES_AT_ONCE);
    while let Some((copy, staged)) = staged.next().await {
        match staged {
            Ok(file) => copied.files.push(CopiedFile::InS3(file)),
            Err(Uncopied::Problem(reason)) => copied.problems.push(ObjectProblem { uri: copy.source.uri, reason }),
            Err(Uncopied::Unsupported) => {
                if !is_unsupported.swap(true, Ordering::SeqCst) {
                    tracing::warn!("this S3 does not copy by itself: objects pass through the worker");
                }
                through.push(copy);
            }
            Err(Uncopied::Error(error)) => {
                failed = Some(error);
                break;
            }
        }
    }
    drop(staged);
    let Some(error) = failed else { return Ok(through) };
    Box::new(StagedCopy(std::mem::take(&mut copied.files))).abort().await;
    Err(error)
}

fn pass_through(copies: &[PlannedCopy], stage: &Arc<Stage>, runtime: &Handle, is_stopped: &AtomicBool) -> Result<Copied, ArcsError> {
    let mut copied = Copied::default();
    for copy in copies {
        match pass_one(copy, stage, runtime, is_stopped) {
            Ok(file) => copied.files.push(CopiedFile::Staged(file)),
            Err(Unread::Problem(reason)) => copied.problems.push(ObjectProblem { uri: copy.source.uri.clone(), reason }),
            Err(Unread::Error(error)) => {
                copied.files.into_iter().for_each(|file| runtime.block_on(abort(file)));
                return Err(error);
            }
        }
    }
    Ok(copied)
}

fn pass_one(copy: &PlannedCopy, stage: &Arc<Stage>, runtime: &Handle, is_stopped: &AtomicBool) -> Result<StagedFile, Unread> {
    let (mut stored, failure) = open(&copy.source, runtime)?;
    let (mut sink, mut chunk) = (stage.create(copy.relative.clone()), vec![0; CHUNK_BYTES]);
    loop {
        if is_stopped.load(Ordering::SeqCst) {
            return Err(Unread::Error(ArcsError::Stopped));
        }
        let bytes = match stored.read(&mut chunk) {
            Ok(0) => break,
            Ok(bytes) => bytes,
            Err(error) => {
                let failed = crate::pool::lock(&failure).take();
                return Err(failed.map_or_else(|| Unread::Problem(error.to_string()), |failed| unread(&copy.source, failed)));
            }
        };
        if let Err(error) = sink.write_all(&chunk[..bytes]) {
            let fallback = ArcsError::internal(format!("a copy could not be staged: {error}"));
            return Err(Unread::Error(sink.failure(fallback)));
        }
    }
    sink.finish().map_err(Unread::Error)
}

async fn abort(file: CopiedFile) {
    match file {
        CopiedFile::Staged(file) => file.abort().await,
        CopiedFile::InS3(copy) => copy.abort().await,
    }
}

struct StagedCopy(Vec<CopiedFile>);

#[async_trait]
impl StagedWork for StagedCopy {
    async fn publish(self: Box<Self>) -> Result<Vec<SinkFiles>, ArcsError> {
        let published = futures::stream::iter(self.0).map(publish).buffer_unordered(COPIES_AT_ONCE);
        let mut objects: Vec<ManifestObject> = published.try_collect().await?;
        objects.sort_by(|a, b| a.uri.cmp(&b.uri));
        Ok(vec![SinkFiles { role: MAIN_ROLE.to_owned(), objects, columns: Vec::new() }])
    }

    async fn abort(self: Box<Self>) {
        futures::stream::iter(self.0).for_each_concurrent(COPIES_AT_ONCE, abort).await;
    }
}

async fn publish(file: CopiedFile) -> Result<ManifestObject, ArcsError> {
    match file {
        CopiedFile::Staged(file) => Ok(ManifestObject { rows: None, ..file.publish().await? }),
        CopiedFile::InS3(copy) => copy.publish().await,
    }
}
