//! `convert`: log objects of one format flow in, Parquet flows out, what could not be read flows to the rejects.

use async_trait::async_trait;
use manifests::{ArcSpec, MAIN_ROLE, NamedType, REJECTS_ROLE};
use serde_json::Value;

use super::{Parameter, ParameterKind, Problem, RunInput, SinkFiles, StagedWork, Work, Workload, check_sinks};
use crate::convert::{ConvertJob, ConvertLimits, Staged, convert};
use crate::error::ArcsError;
use crate::format;
use crate::learned::{self, Reading};
use crate::lineage::reject_columns;
use crate::read::SourceObject;
use crate::shape::{self, FILE_MIB_MAX, ROW_GROUP_MIB_MAX, RedactKey, Shaping};
use crate::types;
use crate::write::Target;

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
                "partition folders, outermost first: dt, hour, time_ymd (of the event), lot, or an output column",
            ),
            parameter(
                "select",
                ParameterKind::Text,
                "null",
                "one SELECT over the table `log`, with columns and WHERE alone: which rows to keep, and as what",
            ),
            parameter(
                "sortBy",
                ParameterKind::Texts,
                "[]",
                "output columns that the rows of each row group are sorted by; `-name` for descending",
            ),
            parameter(
                "redact",
                ParameterKind::Object,
                "{}",
                "columns of the format that must not be kept as they are: {column: 'hash' | 'drop' | 'ip' | {truncate: characters}}; `extra` goes too unless it is 'keep'",
            ),
            parameter(
                "redactKeyEnv",
                ParameterKind::Text,
                "null",
                "the environment variable with the key of hashes, at least 16 bytes; '' for hashes without a key",
            ),
            parameter(
                "rejectsRaw",
                ParameterKind::Text,
                "null",
                "'keep' or 'drop': whether rejects keep their bytes; dropped where `redact` is set",
            ),
            parameter(
                REJECT_LIMIT,
                ParameterKind::Number(100),
                "5",
                "rejected lines, in percent of all, past which a run ends with exit code 3; it commits all the same",
            ),
            parameter("rowGroupMiB", ParameterKind::Number(ROW_GROUP_MIB_MAX), "96", "text that goes into a row group, in MiB"),
            parameter(
                "fileMiB",
                ParameterKind::Number(FILE_MIB_MAX),
                "4096",
                "text that goes into a file before the next part starts, in MiB",
            ),
            parameter("compression", ParameterKind::Text, "\"zstd\"", "zstd, snappy or none"),
            parameter("zstdLevel", ParameterKind::Number(22), "1", "how hard zstd compresses, 1 to 22"),
            parameter("bloom", ParameterKind::Texts, "null", "output columns that get a Bloom filter, in place of the ids of the format"),
        ];
        PARAMETERS
    }

    fn check(&self, arc: &ArcSpec) -> Vec<Problem> {
        let mut problems = check_sinks(arc, &[MAIN_ROLE, REJECTS_ROLE]);
        if let Some(Err(wrong)) = arc.workload.get("format").map(format::compile) {
            let place = |at: String| if at.is_empty() { "workload.format".to_owned() } else { format!("workload.format.{at}") };
            problems.extend(wrong.into_iter().map(|problem| Problem::new(place(problem.at), problem.message)));
        }
        problems.extend(shape::parquet(&arc.workload).err().into_iter().flatten());
        match Shaping::read(&arc.workload) {
            Err(wrong) => problems.extend(wrong),
            Ok(shaping) => {
                let grammar = arc.workload.get("format").and_then(|format| format::compile(format).ok());
                problems.extend(grammar.map(|grammar| shaping.check(grammar.as_ref())).unwrap_or_default());
            }
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
    let parameters: Value = input.parameters()?;
    let refused = |problems: Vec<Problem>| {
        let problems: Vec<String> = problems.into_iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect();
        ArcsError::Job { message: problems.join("; ") }
    };
    let wrong = |problems: Vec<format::Problem>| {
        let problems: Vec<String> = problems.into_iter().map(|problem| format!("{} {}", problem.at, problem.message)).collect();
        ArcsError::Job { message: format!("format: {}", problems.join("; ").trim()) }
    };
    let grammar = format::compile(&parameters["format"]).map_err(wrong)?;
    let main = input.main_target()?;
    let rejects = input.target(REJECTS_ROLE)?.unwrap_or_else(|| below(&main));
    let options = &input.context.options;
    let shaping = Shaping::read(&parameters).map_err(refused)?;
    let key = shaping.redact_key_env.as_deref().map(|name| RedactKey::read(name, input.context.environment.as_ref()));
    let redact_key = key.transpose().map_err(|message| ArcsError::Job { message })?;
    Ok(ConvertJob {
        grammar,
        lot: input.lot,
        sources,
        main,
        rejects,
        shaping,
        redact_key,
        limits: ConvertLimits::new(options.threads, options.spill_folder.clone()),
        write: shape::parquet(&parameters).map_err(refused)?,
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
