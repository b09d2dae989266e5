//! `query`: one SELECT over the sources' committed Parquet flows in, its rows flow out as Parquet. Sources are tables
//! named by role, and by dataset. Counts: `objects` and `bytes_in` are what was read, `lines` and `rows` what was written.

mod athena;
mod execution;
mod local;
mod look;
mod order;
mod rows;
mod statement;

use std::collections::BTreeMap;

use async_trait::async_trait;
use manifests::{ArcSpec, Counts, MAIN_ROLE, ManifestObject};
use serde::Deserialize;
use serde_json::Value;

use super::{Parameter, ParameterKind, Problem, RunInput, Work, Workload, check_sinks};
use crate::declared;
use crate::error::ArcsError;
use crate::partition::PartitionKey;
use crate::runner::SourceLots;
use crate::sql;
pub use athena::AthenaPlace;

/// The queries that come with the program.
static BUILTINS: &[(&str, &str)] = &[("error_stats", include_str!("error_stats.sql"))];

/// Threads of a query.
const THREADS_MAX: u32 = 256;

/// The workload.
pub(super) struct Query;

#[derive(Deserialize)]
struct Parameters {
    sql: Option<String>,
    builtin: Option<String>,
    #[serde(default)]
    engine: Engine,
    workgroup: Option<String>,
    partitions: Option<Vec<PartitionKey>>,
    threads: Option<usize>,
    #[serde(default)]
    schemas: BTreeMap<String, Value>,
}

/// Who runs the query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Engine {
    /// This worker.
    #[default]
    DataFusion,
    /// Amazon Athena.
    Athena,
}

/// A source with its objects that are there.
struct Source<'a> {
    lots: &'a SourceLots,
    objects: Vec<ManifestObject>,
}

impl Source<'_> {
    /// What queries call it.
    fn names(&self) -> Vec<String> {
        names(&self.lots.role, &self.lots.dataset.name)
    }
}

/// What queries call a source: by its role and by its dataset, each as it is and as it needs no quotes.
fn names(role: &str, dataset: &str) -> Vec<String> {
    let mut names = vec![role.to_owned(), sql::table_name(role), dataset.to_owned(), sql::table_name(dataset)];
    names.dedup();
    names
}

/// The text of a query that comes with the program.
pub fn builtin(name: &str) -> Option<&'static str> {
    BUILTINS.iter().find(|builtin| builtin.0 == name).map(|builtin| builtin.1)
}

/// Whether the arc's query is Athena's to run.
pub fn is_athena(arc: &ArcSpec) -> bool {
    arc.kind == "query" && arc.workload.get("engine").and_then(Value::as_str) == Some("athena")
}

#[async_trait]
impl Workload for Query {
    fn name(&self) -> &'static str {
        "query"
    }

    fn summary(&self) -> &'static str {
        "runs one SELECT over the sources, tables named by role, and writes its rows as Parquet"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const fn parameter(name: &'static str, kind: ParameterKind, default: &'static str, meaning: &'static str) -> Parameter {
            Parameter { name, kind, default, meaning }
        }
        const PARAMETERS: &[Parameter] = &[
            parameter("sql", ParameterKind::Text, "null", "the query; this or `builtin`"),
            parameter("sqlFile", ParameterKind::Text, "null", "a file with the query, beside the project file"),
            parameter("builtin", ParameterKind::Text, "null", "a query that comes with the program: error_stats"),
            parameter(
                "engine",
                ParameterKind::Text,
                r#""datafusion""#,
                "who runs the query: datafusion (the worker) or athena, for what is too much for one machine",
            ),
            parameter("workgroup", ParameterKind::Text, "null", "the workgroup of Athena; the project's own where not given"),
            parameter("partitions", ParameterKind::Texts, r#"["dt"]"#, "partition folders, by the lot's start: dt, hour, time_ymd, lot"),
            parameter(
                "threads",
                ParameterKind::Number(THREADS_MAX),
                "1",
                "cores; with more than 1, last digits of floating point results may differ between runs",
            ),
            parameter(
                "schemas",
                ParameterKind::Object,
                "{}",
                "columns of sources that may have no data at all yet: by role a log format, `rejects`, or {column: type}",
            ),
        ];
        PARAMETERS
    }

    fn check(&self, arc: &ArcSpec) -> Vec<Problem> {
        let mut problems = check_sinks(arc, &[MAIN_ROLE]);
        problems.extend(check_query(&arc.workload));
        problems.extend(check_engine(arc));
        for (role, schema) in arc.workload["schemas"].as_object().into_iter().flatten() {
            let at = format!("workload.schemas.{role}");
            if arc.sources.iter().all(|source| source.role != *role) {
                problems.push(Problem::new(at.clone(), format!("`{role}` is no source of this arc")));
            }
            problems.extend(declared::schema_of(schema).err().map(|message| Problem::new(at, message)));
        }
        for (at, key) in arc.workload["partitions"].as_array().into_iter().flatten().enumerate() {
            if key.as_str().and_then(PartitionKey::find).is_none() {
                let known = PartitionKey::ALL.map(PartitionKey::as_str).join(", ");
                problems.push(
                    Problem::new(format!("workload.partitions[{at}]"), format!("{key} is no partition key")).fix(format!("use {known}")),
                );
            }
        }
        problems
    }

    async fn run(&self, input: &RunInput<'_>) -> Result<Work, ArcsError> {
        let parameters: Parameters = input.parameters()?;
        let text = query_text(&parameters)?;
        let (mut counts, mut problems, mut sources) = (Counts::default(), Vec::new(), Vec::new());
        for lots in &input.sources {
            let there = look::look(input, lots).await?;
            problems.extend(there.problems);
            sources.push(Source { lots, objects: there.objects });
        }
        if parameters.engine == Engine::Athena {
            problems.extend(athena::leave_out_unknown(input, &mut sources));
        }
        let objects = || sources.iter().flat_map(|source| &source.objects);
        (counts.objects, counts.bytes_in) = (objects().count() as u64, objects().map(|object| object.size).sum());
        let keys = parameters.partitions.clone().unwrap_or_else(|| vec![PartitionKey::Dt]);
        let staged = match parameters.engine {
            Engine::DataFusion => rows::stage(local::frame(input, &parameters, text, &sources).await?, input, &keys).await?,
            Engine::Athena => {
                let run = athena::Run::new(input, parameters.workgroup.as_deref())?;
                let (staged, scanned) = run.stage(text, &sources, &keys).await?;
                counts.bytes_scanned = scanned;
                staged
            }
        };
        let (rows, bytes) = staged.file.as_ref().map_or((0, 0), |file| (file.rows, file.size));
        (counts.lines, counts.rows, counts.bytes_out) = (rows, rows, bytes);
        Ok(Work { counts, problems, staged: Box::new(staged) })
    }
}

fn check_query(workload: &Value) -> Vec<Problem> {
    let given = |key: &str| workload[key].as_str();
    match (given("sql"), given("builtin"), given("sqlFile")) {
        (Some(_), Some(_), _) => vec![Problem::new("workload", "has both `sql` and `builtin`").fix("keep one of them")],
        (Some(text), None, _) => sql::check_select(text).err().map(|message| Problem::new("workload.sql", message)).into_iter().collect(),
        (None, Some(name), _) if builtin(name).is_none() => {
            let known: Vec<_> = BUILTINS.iter().map(|builtin| builtin.0).collect();
            let problem = Problem::new("workload.builtin", format!("`{name}` is no query that comes with the program"));
            vec![problem.fix(format!("use {}", known.join(", ")))]
        }
        (None, Some(_), _) | (None, None, Some(_)) => vec![],
        (None, None, None) => vec![Problem::new("workload.sql", "is missing").fix("sql: 'SELECT …' or builtin: 'error_stats'")],
    }
}

fn query_text(parameters: &Parameters) -> Result<&str, ArcsError> {
    let text = parameters.sql.as_deref().or_else(|| parameters.builtin.as_deref().and_then(builtin));
    text.ok_or_else(|| ArcsError::Job { message: "the arc has no query; give `sql` or `builtin`".into() })
}

/// What the engine does not go with.
fn check_engine(arc: &ArcSpec) -> Vec<Problem> {
    let given = |key: &str| arc.workload.get(key).filter(|value| !value.is_null());
    let engine = given("engine").and_then(Value::as_str).unwrap_or("datafusion");
    if !["datafusion", "athena"].contains(&engine) {
        return vec![Problem::new("workload.engine", format!("`{engine}` is no engine")).fix("use datafusion or athena")];
    }
    let mut problems = Vec::new();
    if engine != "athena" {
        let is_given = given("workgroup").is_some();
        problems.extend(is_given.then(|| Problem::new("workload.workgroup", "is of engine athena alone").fix("engine: 'athena'")));
        return problems;
    }
    if let Some(name) = given("workgroup").and_then(Value::as_str).filter(|name| !athena::is_workgroup(name)) {
        let message = format!("`{name}` is no name of a workgroup: 1 to 128 letters, digits, `.`, `_` and `-`");
        problems.push(Problem::new("workload.workgroup", message));
    }
    if given("threads").is_some() {
        problems.push(Problem::new("workload.threads", "is of engine datafusion alone").fix("remove it"));
    }
    if given("builtin").is_some() {
        problems.push(Problem::new("workload.builtin", "is written for engine datafusion").fix("sql: 'SELECT …'"));
    }
    if let Some(text) = given("sql").and_then(Value::as_str).filter(|text| sql::check_select(text).is_ok()) {
        let names: Vec<String> = arc.sources.iter().flat_map(|source| names(&source.role, &source.dataset.name)).collect();
        problems.extend(statement::check(text, &names).err().map(|message| Problem::new("workload.sql", message)));
    }
    problems
}

/// Why a function is refused whose rows would differ from run to run.
fn unrepeatable(function: &str) -> String {
    format!("{function}() gives other rows when the lot is run again; use the times in the data, or `lot`")
}
