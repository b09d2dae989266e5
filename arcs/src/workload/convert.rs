//! `convert`: log objects of one format flow in, Parquet flows out, what could not be read flows to the rejects.

use async_trait::async_trait;
use futures::TryStreamExt;
use manifests::{ArcSpec, Lot, MAIN_ROLE};
use object_store::ObjectStoreExt;
use serde::Deserialize;
use serde_json::Value;

use super::{Parameter, ParameterKind, Problem, RunInput, SinkFiles, StagedWork, Work, Workload, check_sinks};
use crate::convert::{ConvertJob, ConvertLimits, Staged, convert};
use crate::error::ArcsError;
use crate::format;
use crate::partition::PartitionKey;
use crate::write::{Target, WriteOptions};

/// Name of the parameter for rejects.
pub(super) const REJECT_LIMIT: &str = "rejectLimitPercent";

/// Lines of a lot that may be rejected before the run says so, in percent.
pub(super) const REJECT_LIMIT_PERCENT: f64 = 5.0;

/// The sink for rejects; without it they go to a folder below the main sink.
const REJECTS_ROLE: &str = "rejects";

/// The folder of rejects below a main sink; readers of whole folders pass over names with `_`.
const REJECTS_FOLDER: &str = "_rejects";

/// The workload.
pub(super) struct Convert;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    format: Value,
    partitions: Option<Vec<PartitionKey>>,
    zstd_level: Option<i32>,
}

#[async_trait]
impl Workload for Convert {
    fn name(&self) -> &'static str {
        "convert"
    }

    fn summary(&self) -> &'static str {
        "reads log objects of one format and writes Parquet, and what it could not read as rejects"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const fn parameter(name: &'static str, kind: ParameterKind, default: &'static str, meaning: &'static str) -> Parameter {
            Parameter { name, kind, default, meaning }
        }
        const PARAMETERS: &[Parameter] = &[
            parameter(
                "format",
                ParameterKind::Any,
                "",
                "the log format, as `arc formats` lists them: its name, or {name: …} with its options",
            ),
            parameter(
                "partitions",
                ParameterKind::Texts,
                r#"["dt"]"#,
                "partition folders, outermost first: dt, hour, time_ymd (of the event), lot",
            ),
            parameter(
                REJECT_LIMIT,
                ParameterKind::Number(100),
                "5",
                "rejected lines, in percent of all, past which a run ends with exit code 3; it commits all the same",
            ),
            parameter("zstdLevel", ParameterKind::Number(22), "1", "compression, 1 to 22"),
        ];
        PARAMETERS
    }

    fn check(&self, arc: &ArcSpec) -> Vec<Problem> {
        let mut problems = check_sinks(arc, &[MAIN_ROLE, REJECTS_ROLE]);
        if let Some(Err(wrong)) = arc.workload.get("format").map(format::compile) {
            let place = |at: String| if at.is_empty() { "workload.format".to_owned() } else { format!("workload.format.{at}") };
            problems.extend(wrong.into_iter().map(|problem| Problem::new(place(problem.at), problem.message)));
        }
        for (at, key) in arc.workload["partitions"].as_array().into_iter().flatten().enumerate() {
            let key = key.as_str().unwrap_or_default();
            if PartitionKey::find(key).is_none() {
                let known = PartitionKey::ALL.map(PartitionKey::as_str).join(", ");
                problems.push(
                    Problem::new(format!("workload.partitions[{at}]"), format!("`{key}` is no partition key")).fix(format!("use {known}")),
                );
            }
        }
        if arc.workload["zstdLevel"].as_f64().is_some_and(|level| level < 1.0 || level.fract() != 0.0) {
            problems.push(Problem::new("workload.zstdLevel", "must be a whole number from 1 to 22"));
        }
        problems
    }

    async fn run(&self, input: &RunInput<'_>) -> Result<Work, ArcsError> {
        let parameters: Parameters = input.parameters()?;
        let wrong = |problems: Vec<format::Problem>| {
            let problems: Vec<String> = problems.into_iter().map(|problem| format!("{} {}", problem.at, problem.message)).collect();
            ArcsError::Job { message: format!("format: {}", problems.join("; ").trim()) }
        };
        let grammar = format::compile(&parameters.format).map_err(wrong)?;
        let (main, rejects_sink) = (input.main_target()?, input.target(REJECTS_ROLE)?);
        let (sources, mut problems) = input.objects();
        let options = &input.context.options;
        let mut write = WriteOptions::default();
        write.zstd_level = parameters.zstd_level.unwrap_or(write.zstd_level);
        let job = ConvertJob {
            grammar,
            lot: input.lot,
            sources,
            rejects: rejects_sink.clone().unwrap_or_else(|| below(&main)),
            main,
            partitions: parameters.partitions.unwrap_or_else(|| vec![PartitionKey::Dt]),
            limits: ConvertLimits::new(options.threads, options.spill_folder.clone()),
            write,
            progress: input.context.progress.clone(),
        };
        let unlisted = (rejects_sink.is_none() && input.attempt > 1).then(|| (job.rejects.clone(), input.lot));
        let staged = convert(job).await?;
        problems.extend(staged.problems.clone());
        Ok(Work { counts: *staged.counts(), problems, staged: Box::new(StagedConvert { staged, unlisted }) })
    }
}

fn below(main: &Target) -> Target {
    let base = main.base.clone().join(REJECTS_FOLDER);
    Target { store: main.store.clone(), base, uri_base: format!("{}{REJECTS_FOLDER}/", main.uri_base) }
}

struct StagedConvert {
    staged: Staged,
    /// Where rejects lie that no manifest lists, and the lot, after an attempt that may have left others.
    unlisted: Option<(Target, Lot)>,
}

#[async_trait]
impl StagedWork for StagedConvert {
    async fn publish(self: Box<Self>) -> Result<Vec<SinkFiles>, ArcsError> {
        let published = self.staged.publish().await?;
        if let Some((folder, lot)) = self.unlisted {
            let kept: Vec<&str> = published.rejects.iter().map(|object| object.uri.as_str()).collect();
            remove_others(&folder, lot, &kept).await?;
        }
        let files = |role: &str, objects| SinkFiles { role: role.to_owned(), objects };
        Ok(vec![files(REJECTS_ROLE, published.rejects), files(MAIN_ROLE, published.main)])
    }

    async fn abort(self: Box<Self>) {
        self.staged.abort().await;
    }
}

/// Removes rejects of the lot that an earlier attempt wrote and this one did not.
async fn remove_others(folder: &Target, lot: Lot, kept: &[&str]) -> Result<(), ArcsError> {
    let fail = |source| ArcsError::Store { action: "remove old rejects below", uri: folder.uri_base.clone(), source };
    let listed: Vec<_> = folder.store.list(Some(&folder.base)).try_collect().await.map_err(fail)?;
    for meta in listed {
        let is_of_lot = meta.location.filename().is_some_and(|name| name.starts_with(&format!("{lot}-")));
        let relative: Option<Vec<_>> =
            meta.location.prefix_match(&folder.base).map(|parts| parts.map(|part| part.as_ref().to_owned()).collect());
        let uri = folder.uri(&relative.unwrap_or_default().join("/"));
        if is_of_lot && !kept.contains(&uri.as_str()) {
            match folder.store.delete(&meta.location).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(fail(error)),
            }
        }
    }
    Ok(())
}
