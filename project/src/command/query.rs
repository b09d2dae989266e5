//! `arc query`: SQL flows in, rows flow out, from the committed files of the project's datasets alone. Only reading is
//! possible; memory is bounded and what exceeds it is spilled to temporary files.

use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::sync::Arc;

use anyhow::Context as _;
use arcs::committed::{CommittedFiles, LotFiles};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use manifests::{MAIN_ROLE, REJECTS_ROLE, Stores};
use project::{Owner, Produced, Project};

use super::{Context, Exit, ProjectArgs, Trouble};
use crate::committed;
use crate::logs;
use crate::output::{Cell, Listing, Output};

/// Rows that a table on a terminal shows unless told otherwise.
const TERMINAL_ROWS: usize = 100;
/// Rows that a table in a pipe shows unless told otherwise: a table is held in memory for its widths.
const TABLE_ROWS: usize = 10_000;
/// Consumers named when memory runs out.
const CONSUMERS_NAMED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(2);
/// What is added to a dataset's name for the table of its rejects, where they have no dataset of their own.
const REJECTS_SUFFIX: &str = "_rejects";
/// What DataFusion says of several statements.
const ONE_STATEMENT: &str = "single SQL statement";
/// Memory of the program's own queries, in MiB.
const OWN_QUERY_MIB: NonZeroUsize = NonZeroUsize::MIN.saturating_add(127);

/// Arguments of `arc query`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One SELECT. Datasets are tables under their names, `-` written `_` (or the name in double quotes).
    sql: String,
    #[command(flatten)]
    project: ProjectArgs,
    /// The most rows to show; 0 shows all. A table shows 100 on a terminal and 10000 in a pipe unless told otherwise.
    #[arg(long, value_name = "ROWS")]
    limit: Option<usize>,
    /// Memory for sorting, joining and grouping, in MiB; more is spilled to temporary files.
    #[arg(long, value_name = "MIB", default_value = "512")]
    memory: NonZeroUsize,
}

/// Runs the query and writes its rows.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let project = Arc::new(args.project.load()?);
    let stores = args.project.stores(&project).await?;
    let session = session(project.clone(), stores, args.memory)?;
    let frame = plan(&session, &project, &args.sql).await?;
    let limit = limit(&args, context.output);
    let schema = frame.schema().clone();
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let mut batches = frame.execute_stream().await.map_err(|error| trouble(&error))?;
    let mut listing = Listing::new(std::io::BufWriter::new(std::io::stdout().lock()), context.output, &names)?;
    let mut left = limit.unwrap_or(usize::MAX);
    let mut is_cut = false;
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(|error| trouble(&error))?;
        is_cut = batch.num_rows() > left;
        each_row(&batch.slice(0, batch.num_rows().min(left)), |row| listing.push(row))?;
        left -= batch.num_rows().min(left);
        if is_cut {
            break;
        }
    }
    listing.finish()?;
    if is_cut && !context.quiet {
        logs::say(&format!(
            "There are more than these {} rows: --limit 0 shows all, --output csv writes them as they come.",
            limit.unwrap_or(0)
        ));
    }
    Ok(Exit::Done)
}

/// A query's columns and rows, for the few that the program asks itself.
pub async fn collect(project: &Arc<Project>, stores: &Stores, sql: &str) -> anyhow::Result<(Vec<String>, Vec<Vec<Cell>>)> {
    let session = session(project.clone(), stores.clone(), OWN_QUERY_MIB)?;
    let frame = plan(&session, project, sql).await?;
    let names = frame.schema().fields().iter().map(|field| field.name().clone()).collect();
    let mut rows = Vec::new();
    for batch in frame.collect().await.map_err(|error| trouble(&error))? {
        each_row(&batch, |row| {
            rows.push(row);
            Ok(())
        })?;
    }
    Ok((names, rows))
}

fn limit(args: &Args, output: Output) -> Option<usize> {
    let default = match output {
        Output::Table if std::io::stdout().is_terminal() => Some(TERMINAL_ROWS),
        Output::Table => Some(TABLE_ROWS),
        _ => None,
    };
    args.limit.or(default).filter(|limit| *limit > 0)
}

fn session(project: Arc<Project>, stores: Stores, memory: NonZeroUsize) -> anyhow::Result<SessionContext> {
    let pool = TrackConsumersPool::new(FairSpillPool::new(memory.get().saturating_mul(1 << 20)), CONSUMERS_NAMED);
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool)).build_arc()?;
    let mut config = SessionConfig::new().with_information_schema(true);
    config.options_mut().execution.parquet.pushdown_filters = true;
    let opener = SessionContext::new_with_config_rt(config.clone(), runtime.clone()).state();
    let session = SessionContext::new_with_config_rt(config, runtime);
    let tables = Arc::new(Tables { project, stores, opener });
    let catalog = session.catalog("datafusion").context("no catalog")?;
    catalog.register_schema("public", tables)?;
    Ok(session)
}

/// Checks that it is one SELECT over known tables, and plans it.
async fn plan(session: &SessionContext, project: &Project, sql: &str) -> anyhow::Result<datafusion::dataframe::DataFrame> {
    let state = session.state();
    let statement = state.sql_to_statement(sql, &state.config_options().sql_parser.dialect).map_err(|error| trouble(&error))?;
    if !is_reading(&statement) {
        return Err(only_queries().into());
    }
    for table in state.resolve_table_references(&statement).map_err(|error| trouble(&error))? {
        let is_own = table.schema().is_none_or(|schema| schema == "public");
        if is_own && find(project, table.table()).is_none() {
            return Err(unknown_table(project, table.table()).into());
        }
    }
    let plan = state.statement_to_plan(statement).await.map_err(|error| trouble(&error))?;
    let reading = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    reading.verify_plan(&plan).map_err(|_| only_queries())?;
    session.execute_logical_plan(plan).await.map_err(|error| trouble(&error).into())
}

fn only_queries() -> Trouble {
    Trouble::usage("only queries can be run: SELECT …, WITH … SELECT …, EXPLAIN, SHOW TABLES, DESCRIBE")
}

/// Whether a statement is of a kind that reads; what is inside it is judged by its plan.
fn is_reading(statement: &Statement) -> bool {
    use ast::Statement as S;
    match statement {
        Statement::Explain(_) => true,
        Statement::Statement(inner) => {
            matches!(**inner, S::Query(_) | S::ExplainTable { .. } | S::ShowTables { .. } | S::ShowColumns { .. } | S::ShowFunctions { .. })
        }
        _ => false,
    }
}

/// A table's name: the dataset's, in lower case, with `_` for what needs quotes.
fn table_name(dataset: &str) -> String {
    dataset.to_lowercase().replace(['-', '.'], "_")
}

fn find(project: &Project, table: &str) -> Option<Table> {
    let is_named = |name: &str| name == table || table_name(name) == table_name(table);
    let produced = project.produced();
    if let Some(found) = produced.iter().find(|found| is_named(&found.dataset.name)) {
        return Some(Table { produced: found.clone(), is_rejects: false });
    }
    let found = with_unnamed_rejects(project).into_iter().find(|found| is_named(&format!("{}{REJECTS_SUFFIX}", found.dataset.name)));
    found.map(|produced| Table { produced, is_rejects: true })
}

/// A table that a query may name.
struct Table {
    /// The dataset whose commits list its files.
    produced: Produced,
    /// Whether it holds the rejects of that dataset's arc, which has no sink for them.
    is_rejects: bool,
}

/// Main datasets of conversions whose rejects have no dataset of their own.
fn with_unnamed_rejects(project: &Project) -> Vec<Produced> {
    let has_none = |found: &Produced| match &found.owner {
        Owner::Arc { name, role } if role == MAIN_ROLE => {
            project.arc(name).is_some_and(|arc| arc.kind == "convert" && arc.sinks.iter().all(|sink| sink.role != REJECTS_ROLE))
        }
        _ => false,
    };
    project.produced().into_iter().filter(has_none).collect()
}

/// The tables that can hold rows: what boundaries take in is not Parquet.
fn readable(project: &Project) -> Vec<String> {
    let is_readable = |found: &Produced| !matches!(found.owner, Owner::Boundary(_));
    let names = project.produced().into_iter().filter(is_readable).map(|found| table_name(&found.dataset.name));
    let rejects = with_unnamed_rejects(project).into_iter().map(|found| format!("{}{REJECTS_SUFFIX}", table_name(&found.dataset.name)));
    names.chain(rejects).collect()
}

fn unknown_table(project: &Project, table: &str) -> Trouble {
    let names = readable(project);
    let similar = names.iter().max_by(|a, b| strsim::jaro_winkler(a, table).total_cmp(&strsim::jaro_winkler(b, table)));
    let next = similar.filter(|name| strsim::jaro_winkler(name, table) > 0.7).map(|name| format!("FROM {name}"));
    let known = Trouble::not_found(format!("there is no table `{table}`; there are: {}", names.join(", ")));
    Trouble { next, ..known }
}

/// The tables of a project; each is opened when a query names it.
#[derive(Debug)]
struct Tables {
    project: Arc<Project>,
    stores: Stores,
    opener: SessionState,
}

#[async_trait::async_trait]
impl SchemaProvider for Tables {
    fn table_names(&self) -> Vec<String> {
        readable(&self.project)
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let Some(Table { produced: found, is_rejects }) = find(&self.project, name) else { return Ok(None) };
        let fail = |message: String| DataFusionError::Plan(message);
        if let Owner::Boundary(boundary) = &found.owner {
            return Err(fail(format!(
                "{name} holds the objects that boundary {boundary} took in, not Parquet; query what an arc made of them"
            )));
        }
        let manifests = committed::manifests(&self.stores, &found.dataset).await.map_err(|error| fail(error.to_string()))?;
        let lots: Vec<LotFiles<'_>> = manifests.iter().map(if is_rejects { LotFiles::rejects_of } else { LotFiles::of }).collect();
        match CommittedFiles::open(&self.opener, &self.stores, &found.dataset, &lots).await? {
            Some(table) => Ok(Some(Arc::new(table))),
            None if is_rejects => Err(fail(format!("{name} has no rows: nothing was rejected"))),
            None if manifests.is_empty() => {
                Err(fail(format!("{name} has no data yet; `arc lots` shows what there is, `arc up --once` makes it")))
            }
            None => Err(fail(format!("{name} holds files that are not Parquet"))),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        find(&self.project, name).is_some()
    }
}

/// DataFusion's words without the layers around them, and the exit code that fits.
fn trouble(error: &DataFusionError) -> Trouble {
    let message = error.strip_backtrace();
    let root = error.find_root();
    match root {
        DataFusionError::Plan(reason) => Trouble::usage(reason.clone()),
        DataFusionError::SQL(reason, _) => Trouble::usage(format!("this is not SQL as DataFusion reads it: {reason}")),
        DataFusionError::NotImplemented(reason) if reason.contains(ONE_STATEMENT) => {
            Trouble::usage("there is more than one statement").next("arc query once for each, without `;` between them")
        }
        DataFusionError::SchemaError(reason, _) => Trouble::usage(reason.to_string()),
        DataFusionError::ResourcesExhausted(reason) => {
            Trouble::failed(format!("out of memory: {reason}")).next("a larger --memory, or a query that sorts and groups less")
        }
        DataFusionError::ObjectStore(_) | DataFusionError::ParquetError(_) => {
            Trouble::failed(format!("a committed file cannot be read: {message}"))
                .next("arc audit, which says which files are damaged and what to do")
        }
        _ => Trouble::failed(message),
    }
}

/// Hands on the cells of a batch, row by row.
fn each_row(batch: &RecordBatch, mut take: impl FnMut(Vec<Cell>) -> std::io::Result<()>) -> anyhow::Result<()> {
    let columns: Vec<Column> = batch.columns().iter().map(Column::new).collect::<Result<_, _>>()?;
    for row in 0..batch.num_rows() {
        take(columns.iter().map(|column| column.cell(row)).collect())?;
    }
    Ok(())
}

/// A column ready to be read cell by cell.
enum Column<'a> {
    Integers(ArrayRef),
    Counts(ArrayRef),
    Floats(ArrayRef),
    Flags(ArrayRef),
    Bytes(ArrayRef),
    Texts(&'a ArrayRef, ArrayFormatter<'a>),
}

impl<'a> Column<'a> {
    fn new(array: &'a ArrayRef) -> Result<Column<'a>, arrow::error::ArrowError> {
        let cast = |to: &DataType| arrow::compute::cast(array, to);
        Ok(match array.data_type() {
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Column::Integers(cast(&DataType::Int64)?),
            DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => Column::Counts(cast(&DataType::UInt64)?),
            DataType::Float16 | DataType::Float32 | DataType::Float64 => Column::Floats(cast(&DataType::Float64)?),
            DataType::Boolean => Column::Flags(array.clone()),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Column::Bytes(cast(&DataType::LargeBinary)?),
            _ => Column::Texts(array, ArrayFormatter::try_new(array.as_ref(), &FormatOptions::default())?),
        })
    }

    fn array(&self) -> &ArrayRef {
        match self {
            Column::Integers(array) | Column::Counts(array) | Column::Floats(array) => array,
            Column::Flags(array) | Column::Bytes(array) => array,
            Column::Texts(array, _) => array,
        }
    }

    fn cell(&self, row: usize) -> Cell {
        if self.array().is_null(row) {
            return Cell::Null;
        }
        match self {
            Column::Integers(array) => Cell::Integer(array.as_primitive::<Int64Type>().value(row)),
            Column::Counts(array) => Cell::Count(array.as_primitive::<UInt64Type>().value(row)),
            Column::Floats(array) => Cell::Float(array.as_primitive::<Float64Type>().value(row)),
            Column::Flags(array) => Cell::Flag(array.as_boolean().value(row)),
            Column::Bytes(array) => Cell::Text(String::from_utf8_lossy(array.as_binary::<i64>().value(row)).into_owned()),
            Column::Texts(_, formatter) => Cell::Text(formatter.value(row).to_string()),
        }
    }
}
