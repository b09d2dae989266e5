//! `convert`: log objects of one format flow in, Parquet flows out, what could not be read flows to the rejects.

use async_trait::async_trait;
use manifests::{ArcSpec, MAIN_ROLE, NamedType, REJECTS_ROLE};
use serde::Deserialize;
use serde_json::Value;

use super::{Parameter, ParameterKind, Problem, RunInput, SinkFiles, StagedWork, Work, Workload, check_sinks};
use crate::convert::{ConvertJob, ConvertLimits, Staged, convert};
use crate::error::ArcsError;
use crate::format;
use crate::learned::{self, Reading};
use crate::lineage::reject_columns;
use crate::partition::PartitionKey;
use crate::read::SourceObject;
use crate::types;
use crate::write::{Target, WriteOptions};

/// Name of the parameter for rejects.
pub(super) const REJECT_LIMIT: &str = "rejectLimitPercent";

/// Lines of a lot that may be rejected before the run says so, in percent.
pub(super) const REJECT_LIMIT_PERCENT: f64 = 5.0;

/// The folder of rejects below a main sink, where they have no sink of their own; readers of whole folders pass over
/// names with `_`.
const REJECTS_FOLDER: &str = "_rejects";

/// The `type` of its arcs.
pub(crate) const NAME: &str = "convert";

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
        NAME
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
        let (sources, mut problems) = input.objects();
        let job = learned::settled(input, job(input, sources)?, Reading::Objects).await?;
        let staged = convert(job).await?;
        problems.extend(staged.problems.clone());
        Ok(Work { counts: *staged.counts(), problems, staged: Box::new(StagedConvert(staged)) })
    }
}

/// The conversion that an arc describes, of these sources.
pub(crate) fn job(input: &RunInput<'_>, sources: Vec<SourceObject>) -> Result<ConvertJob, ArcsError> {
    let parameters: Parameters = input.parameters()?;
    let wrong = |problems: Vec<format::Problem>| {
        let problems: Vec<String> = problems.into_iter().map(|problem| format!("{} {}", problem.at, problem.message)).collect();
        ArcsError::Job { message: format!("format: {}", problems.join("; ").trim()) }
    };
    let grammar = format::compile(&parameters.format).map_err(wrong)?;
    let main = input.main_target()?;
    let rejects = input.target(REJECTS_ROLE)?.unwrap_or_else(|| below(&main));
    let options = &input.context.options;
    let mut write = WriteOptions::default();
    write.zstd_level = parameters.zstd_level.unwrap_or(write.zstd_level);
    Ok(ConvertJob {
        grammar,
        lot: input.lot,
        sources,
        main,
        rejects,
        partitions: parameters.partitions.unwrap_or_else(|| vec![PartitionKey::Dt]),
        limits: ConvertLimits::new(options.threads, options.spill_folder.clone()),
        write,
        progress: input.context.progress.clone(),
    })
}

fn below(main: &Target) -> Target {
    let base = main.base.clone().join(REJECTS_FOLDER);
    Target { store: main.store.clone(), base, uri_base: format!("{}{REJECTS_FOLDER}/", main.uri_base) }
}

struct StagedConvert(Staged);

#[async_trait]
impl StagedWork for StagedConvert {
    async fn publish(self: Box<Self>) -> Result<Vec<SinkFiles>, ArcsError> {
        let columns = types::named(self.0.schema());
        let published = self.0.publish().await?;
        let rejects = SinkFiles { role: REJECTS_ROLE.to_owned(), objects: published.rejects, columns: reject_types() };
        Ok(vec![rejects, SinkFiles { role: MAIN_ROLE.to_owned(), objects: published.main, columns }])
    }

    async fn abort(self: Box<Self>) {
        self.0.abort().await;
    }
}

fn reject_types() -> Vec<NamedType> {
    let named = |column: format::Column| NamedType { name: column.name.into_owned(), kind: column.kind.as_str().to_owned() };
    reject_columns().into_iter().map(named).collect()
}
