//! `query`: one SELECT over the sources' committed Parquet flows in, its rows flow out as Parquet. Sources are tables
//! named by role, and by dataset. Counts: `objects` and `bytes_in` are what was read, `lines` and `rows` what was written.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use datafusion::prelude::SessionContext;
use futures::{FutureExt, StreamExt, TryStreamExt};
use manifests::{ArcSpec, Counts, MAIN_ROLE, Manifest, ManifestObject, NamedType};
use object_store::ObjectStoreExt;
use serde::Deserialize;
use serde_json::Value;

use super::{Parameter, ParameterKind, Problem, RunInput, SinkFiles, StagedWork, Work, Workload, check_sinks};
use crate::committed::{CommittedFiles, LotFiles};
use crate::declared;
use crate::error::ArcsError;
use crate::partition::{PartitionKey, Partitioning};
use crate::read::ObjectProblem;
use crate::result::{ResultFile, ResultWriter};
use crate::runner::{SourceLots, source_object};
use crate::sql;
use crate::types;
use crate::write::StagedFile;

/// The queries that come with the program.
static BUILTINS: &[(&str, &str)] = &[("error_stats", include_str!("error_stats.sql"))];

/// Objects that are looked at side by side.
const HEADS_IN_FLIGHT: usize = 16;

/// Earlier lots that are looked at for the columns of a source that has nothing in this one.
const SCHEMA_LOTS_MAX: usize = 1_000;

/// Threads of a query.
const THREADS_MAX: u32 = 256;

/// The workload.
pub(super) struct Query;

#[derive(Deserialize)]
struct Parameters {
    sql: Option<String>,
    builtin: Option<String>,
    partitions: Option<Vec<PartitionKey>>,
    threads: Option<usize>,
    #[serde(default)]
    schemas: BTreeMap<String, Value>,
}

/// The text of a query that comes with the program.
pub fn builtin(name: &str) -> Option<&'static str> {
    BUILTINS.iter().find(|builtin| builtin.0 == name).map(|builtin| builtin.1)
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
        let session = sql::session(&input.context.options, parameters.threads.unwrap_or(1))?;
        let (mut counts, mut problems) = (Counts::default(), Vec::new());
        for source in &input.sources {
            let there = look(input, source).await?;
            counts.objects += there.objects.len() as u64;
            counts.bytes_in += there.objects.iter().map(|object| object.size).sum::<u64>();
            problems.extend(there.problems);
            register(&session, input, source, &there.objects, parameters.schemas.get(&source.role)).await?;
        }
        let keys = parameters.partitions.clone().unwrap_or_else(|| vec![PartitionKey::Dt]);
        let (columns, file) = execute(&session, input, text, &keys).await?;
        let rows = file.as_ref().map_or(0, |file| file.rows);
        (counts.lines, counts.rows, counts.bytes_out) = (rows, rows, file.as_ref().map_or(0, |file| file.size));
        Ok(Work { counts, problems, staged: Box::new(StagedQuery { file, columns }) })
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

/// The objects of a source that are there, sizes known, and those that are not.
struct There {
    objects: Vec<ManifestObject>,
    problems: Vec<ObjectProblem>,
}

/// Looks whether the objects of a source are there as they were committed. A redone run writes the same bytes again, so
/// it is the size that tells a replaced file and not the store's mark.
async fn look(input: &RunInput<'_>, source: &SourceLots) -> Result<There, ArcsError> {
    let heads: Vec<_> = source.objects().map(|object| head(input, object).boxed()).collect();
    let looked: Vec<Result<ManifestObject, ObjectProblem>> = futures::stream::iter(heads).buffered(HEADS_IN_FLIGHT).try_collect().await?;
    let mut there = There { objects: Vec::new(), problems: Vec::new() };
    for object in looked {
        match object {
            Ok(object) => there.objects.push(object),
            Err(problem) => there.problems.push(problem),
        }
    }
    Ok(there)
}

async fn head(input: &RunInput<'_>, object: &ManifestObject) -> Result<Result<ManifestObject, ObjectProblem>, ArcsError> {
    let problem = |reason: &str| Ok(Err(ObjectProblem { uri: object.uri.clone(), reason: reason.to_owned() }));
    if !object.uri.ends_with(".parquet") {
        return Err(ArcsError::Job { message: format!("`{}` is no Parquet file; let a convert arc read it first", object.uri) });
    }
    let place = match source_object(&input.context.stores, object) {
        Ok(place) => place,
        Err(problem) => return Ok(Err(problem)),
    };
    match place.store.head(&place.path).await {
        Ok(meta) if object.size == 0 || meta.size == object.size => Ok(Ok(ManifestObject { size: meta.size, ..object.clone() })),
        Ok(_) => problem("the object was replaced after it was committed"),
        Err(object_store::Error::NotFound { .. }) => problem("the object is not there"),
        Err(source) => Err(ArcsError::Store { action: "read", uri: object.uri.clone(), source }),
    }
}

/// Makes a source a table, under its role and under its dataset's name.
async fn register(
    session: &SessionContext,
    input: &RunInput<'_>,
    source: &SourceLots,
    objects: &[ManifestObject],
    schema: Option<&Value>,
) -> Result<(), ArcsError> {
    let (state, known): (_, HashMap<&str, &ManifestObject>) =
        (session.state(), objects.iter().map(|object| (object.uri.as_str(), object)).collect());
    let of_lot = |lot: &'_ Manifest| -> Vec<&ManifestObject> {
        lot.objects.iter().filter_map(|object| known.get(object.uri.as_str()).copied()).collect()
    };
    let lots: Vec<LotFiles<'_>> = source.lots.iter().map(|lot| LotFiles { columns: &lot.columns, files: of_lot(lot) }).collect();
    let open = CommittedFiles::open(&state, &input.context.stores, &source.dataset, &lots);
    let table: Arc<dyn TableProvider> = match open.await.map_err(sql::query_error)? {
        Some(files) => Arc::new(files),
        None => empty_table(session, input, source, schema).await?,
    };
    let mut names = vec![source.role.clone(), table_name(&source.role), source.dataset.name.clone(), table_name(&source.dataset.name)];
    names.dedup();
    for name in names {
        let name = datafusion::common::TableReference::bare(name);
        if !session.table_exist(name.clone()).map_err(sql::query_error)? {
            session.register_table(name, table.clone()).map_err(sql::query_error)?;
        }
    }
    Ok(())
}

/// A name that SQL takes without quotes.
fn table_name(name: &str) -> String {
    name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' }).collect()
}

/// The columns of a source without rows: as the arc declares them, or as its last lot with data has them.
async fn empty_table(
    session: &SessionContext,
    input: &RunInput<'_>,
    source: &SourceLots,
    schema: Option<&Value>,
) -> Result<Arc<dyn TableProvider>, ArcsError> {
    if let Some(schema) = schema {
        let schema = declared::schema_of(schema).map_err(|message| ArcsError::Job { message })?;
        return Ok(Arc::new(EmptyTable::new(schema)));
    }
    let stores = &input.context.stores;
    let lots = stores.lots(&source.dataset.id()).await?;
    for lot in lots.into_keys().rev().take(SCHEMA_LOTS_MAX) {
        let Some(manifest) = stores.latest(&source.dataset, lot).await? else { continue };
        let files = manifest.objects.iter().filter(|object| object.size > 0).collect();
        let lot = LotFiles { columns: &manifest.columns, files };
        let opened = CommittedFiles::open(&session.state(), stores, &source.dataset, &[lot]).await;
        if let Ok(Some(files)) = opened {
            return Ok(Arc::new(files.without_rows()));
        }
    }
    let message =
        format!("source `{}` has no data in any lot yet, so its columns are not known; declare them in workload.schemas", source.role);
    Err(ArcsError::Job { message })
}

/// Runs the query and stages its rows; no file where it has none.
async fn execute(
    session: &SessionContext,
    input: &RunInput<'_>,
    text: &str,
    keys: &[PartitionKey],
) -> Result<(Vec<NamedType>, Option<StagedFile>), ArcsError> {
    let frame = sql::select(session, text).await?;
    if let Some(function) = sql::unrepeatable_function(frame.logical_plan())? {
        let message = format!("{function}() gives other rows when the lot is run again; use the times in the data, or `lot`");
        return Err(ArcsError::Job { message });
    }
    let lot = input.lot.to_string();
    let by = Partitioning::computed(keys, input.lot);
    let columns = frame.schema().as_arrow();
    check_columns(columns, keys)?;
    let has_lot = by.has_lot() || columns.column_with_name("lot").is_some();
    let schema = with_lot(columns, has_lot);
    let folder = by.folder(by.slot(Some(input.lot.start().timestamp_micros()), 0), "");
    let file = ResultFile { target: input.main_target()?, relative: format!("{folder}{lot}-00000.parquet"), schema: schema.clone() };
    let writer = ResultWriter::start(file, input.context.options.spill_folder.clone())?;
    let mut rows = frame.execute_stream().await.map_err(sql::query_error)?;
    while let Some(batch) = rows.next().await {
        let batch: RecordBatch = batch.map_err(sql::query_error)?;
        let batch = sql::plain_batch(&batch, &schema, (!has_lot).then_some(lot.as_str()))?;
        if !writer.write(batch).await {
            break;
        }
    }
    Ok((types::named(&schema), writer.finish().await?))
}

fn with_lot(columns: &Schema, has_lot: bool) -> SchemaRef {
    let plain = sql::plain_schema(columns);
    if has_lot {
        return plain;
    }
    let lot = Arc::new(Field::new("lot", DataType::Utf8, true));
    Arc::new(Schema::new([lot].into_iter().chain(plain.fields().iter().cloned()).collect::<Vec<_>>()))
}

/// Names have to be lower_snake and different, and none may be a partition column's.
fn check_columns(columns: &Schema, keys: &[PartitionKey]) -> Result<(), ArcsError> {
    for (at, field) in columns.fields().iter().enumerate() {
        let name = field.name();
        let wrong = if !sql::is_plain_name(name) {
            "has to be named with AS, in lower-case letters, digits and `_`"
        } else if keys.iter().any(|key| key.as_str() == name) {
            "is the name of a partition column, which folders hold; leave it out or rename it with AS"
        } else if columns.fields()[..at].iter().any(|other| other.name() == name) {
            "is there twice; rename one with AS"
        } else {
            continue;
        };
        return Err(ArcsError::Job { message: format!("column `{name}` of the result {wrong}") });
    }
    Ok(())
}

struct StagedQuery {
    file: Option<StagedFile>,
    columns: Vec<NamedType>,
}

#[async_trait]
impl StagedWork for StagedQuery {
    async fn publish(self: Box<Self>) -> Result<Vec<SinkFiles>, ArcsError> {
        let mut objects = Vec::new();
        if let Some(file) = self.file {
            objects.push(file.publish().await?);
        }
        let columns = self.columns;
        Ok(vec![SinkFiles { role: MAIN_ROLE.to_owned(), objects, columns }])
    }

    async fn abort(self: Box<Self>) {
        if let Some(file) = self.file {
            file.abort().await;
        }
    }
}
