//! SQL as arcs and people run it: one SELECT flows in, rows flow out, within bounded memory. Nothing that writes, loads
//! or changes settings is let through.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::prelude::{DataFrame, SQLOptions, SessionConfig, SessionContext};
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast;

use crate::error::ArcsError;
use crate::runner::RunOptions;

/// Bytes of a query.
pub const SQL_BYTES_MAX: usize = 1 << 20;

/// Functions that tell the time: their rows differ from run to run.
const CLOCK_FUNCTIONS: [&str; 5] = ["now", "current_timestamp", "current_date", "current_time", "today"];

/// Accepts exactly one SELECT (or VALUES, or a query WITH ...); otherwise says what to change.
pub fn check_select(sql: &str) -> Result<(), String> {
    parse_select(sql).map(drop)
}

/// The same, parsed.
pub(crate) fn parse_select(sql: &str) -> Result<Box<ast::Query>, String> {
    if sql.len() > SQL_BYTES_MAX {
        return Err(format!("the query is longer than {SQL_BYTES_MAX} bytes"));
    }
    let mut statements = DFParser::parse_sql(sql).map_err(|error| format!("the SQL does not parse: {}", error.strip_backtrace()))?;
    let query = |statement| match statement {
        Some(Statement::Statement(inner)) => {
            if let ast::Statement::Query(query) = *inner {
                Some(query)
            } else {
                None
            }
        }
        _ => None,
    };
    match statements.len() {
        0 => Err("there is no query; write one SELECT".into()),
        1 => query(statements.pop_front()).ok_or_else(|| "only SELECT is allowed: a query reads and writes nothing else".into()),
        count => Err(format!("there are {count} statements; write one SELECT")),
    }
}

/// A session whose queries stay within `options` and spill to local disk beyond. With one partition the same data gives
/// the same rows in the same order, last digits included; with more, sums of floating point numbers may differ there.
pub fn session(options: &RunOptions, partitions: usize) -> Result<SessionContext, ArcsError> {
    let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Directories(vec![options.spill_folder.clone()]));
    let pool = Arc::new(FairSpillPool::new(options.query_memory_bytes));
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).with_disk_manager_builder(disk).build_arc().map_err(plan_error)?;
    let config = SessionConfig::new().with_target_partitions(partitions.max(1));
    Ok(SessionContext::new_with_config_rt(config, runtime))
}

/// Plans one SELECT over the tables of a session.
pub async fn select(session: &SessionContext, sql: &str) -> Result<DataFrame, ArcsError> {
    check_select(sql).map_err(|message| ArcsError::Job { message })?;
    let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    session.sql_with_options(sql, options).await.map_err(plan_error)
}

/// The first function of a plan that gives other rows when the query runs again.
pub fn unrepeatable_function(plan: &LogicalPlan) -> Result<Option<String>, ArcsError> {
    let mut found = None;
    let mut look = |expr: &Expr| {
        if let Expr::ScalarFunction(call) = expr {
            let is_clock = CLOCK_FUNCTIONS.contains(&call.name());
            if is_clock || call.func.signature().volatility == Volatility::Volatile {
                found = Some(call.name().to_owned());
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    };
    let walked = plan.apply_with_subqueries(|node| node.apply_expressions(|expr| expr.apply(&mut look)));
    walked.map_err(plan_error)?;
    Ok(found)
}

/// A query that cannot be planned, by what a caller can do about it. Planners quote the query and names of columns: no row has
/// been read yet.
pub fn plan_error(error: DataFusionError) -> ArcsError {
    use DataFusionError as E;
    match error.find_root() {
        E::Plan(_) | E::SQL(..) | E::SchemaError(..) | E::NotImplemented(_) | E::Configuration(_) | E::Internal(_) => {
            ArcsError::Job { message: format!("the query fails: {}", error.strip_backtrace()) }
        }
        _ => run_error(error),
    }
}

/// A query that fails while it runs, by what a caller can do about it. What the engine says then may quote a row, under every
/// kind of error; so the kind alone is told, and how to see the value.
pub fn run_error(error: DataFusionError) -> ArcsError {
    let root = error.find_root();
    if let Some(source) = cause::<object_store::Error>(&error) {
        let message = format!("the query could not read its data: {source}");
        return ArcsError::Work { message, is_transient: manifests::is_transient(source) };
    }
    if let Some(source) = cause::<manifests::ManifestsError>(&error) {
        return ArcsError::Work { message: format!("the query could not read its data: {source}"), is_transient: source.is_transient() };
    }
    match root {
        DataFusionError::ResourcesExhausted(message) => {
            ArcsError::Work { message: format!("the query needs more memory than it may use: {message}"), is_transient: false }
        }
        DataFusionError::IoError(source) => {
            ArcsError::Work { message: format!("the query could not use local disk: {}", source.kind()), is_transient: true }
        }
        DataFusionError::ArrowError(source, _) => ArcsError::Job { message: format!("the query fails: {}", arrow_kind(source)) },
        DataFusionError::ParquetError(_) => {
            ArcsError::Job { message: "the query fails: a committed file does not read as Parquet; arc audit says which".into() }
        }
        _ => ArcsError::Job { message: format!("the query fails: {FUNCTION_FAILS}") },
    }
}

/// What is told of a function that fails.
const FUNCTION_FAILS: &str = "a function does not take a value; arc query over the same datasets shows which";

/// What went wrong with some value, and what to change. The value itself is nobody's business who reads a log.
fn arrow_kind(error: &ArrowError) -> &'static str {
    match error {
        ArrowError::CastError(_) | ArrowError::ParseError(_) => {
            "a value cannot be cast as the query says; TRY_CAST makes NULL of such values, and arc query shows them"
        }
        ArrowError::DivideByZero => "a division by zero; divide by NULLIF(…, 0)",
        ArrowError::ArithmeticOverflow(_) => "a number is too large for its type; cast it to a wider one",
        ArrowError::ParquetError(_) => "a committed file does not read as Parquet; arc audit says which",
        _ => FUNCTION_FAILS,
    }
}

/// The cause of that type, wherever it is wrapped in.
fn cause<'a, E: std::error::Error + 'static>(error: &'a DataFusionError) -> Option<&'a E> {
    let first: &'a (dyn std::error::Error + 'static) = error;
    let mut causes = std::iter::successors(Some(first), |error| error.source());
    causes.find_map(|error| error.downcast_ref::<E>().or_else(|| error.downcast_ref::<Box<E>>().map(AsRef::as_ref)))
}

/// The type that every reader of Parquet takes alike: times in microseconds UTC, no views, dictionaries or unsigned
/// numbers.
pub fn plain_type(kind: &DataType) -> DataType {
    let inside = |field: &Field| Arc::new(Field::new(field.name(), plain_type(field.data_type()), true));
    match kind {
        DataType::Timestamp(..) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, value) => plain_type(value),
        DataType::UInt8 | DataType::UInt16 | DataType::Int8 | DataType::Int16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 | DataType::Duration(_) => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::List(field) | DataType::LargeList(field) | DataType::ListView(field) => DataType::List(inside(field)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| inside(field)).collect()),
        kind => kind.clone(),
    }
}

/// A table's name that SQL takes without quotes: lower-case letters, digits and `_`.
pub fn table_name(name: &str) -> String {
    name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' }).collect()
}

/// Whether a column's name needs no quotes anywhere: lower-case letters, digits and `_`, no digit first.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.bytes().all(is_letter) && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
}

/// The same columns, nullable, of plain types.
pub fn plain_schema(schema: &Schema) -> SchemaRef {
    let field = |field: &Arc<Field>| Field::new(field.name(), plain_type(field.data_type()), true);
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

/// The rows of a batch as columns of `schema`; where `lot` is given it is put before them.
pub(crate) fn plain_batch(batch: &RecordBatch, schema: &SchemaRef, lot: Option<&str>) -> Result<RecordBatch, ArcsError> {
    let lot: Option<ArrayRef> =
        lot.map(|lot| Arc::new(StringArray::from_iter_values(std::iter::repeat_n(lot, batch.num_rows()))) as ArrayRef);
    let first = lot.iter().len();
    let mut columns: Vec<ArrayRef> = lot.into_iter().collect();
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    for (array, field) in batch.columns().iter().zip(&schema.fields()[first..]) {
        let cast = cast_with_options(array, field.data_type(), &strict);
        let message = |error| format!("column `{}` of the result: {}; cast it in the query", field.name(), arrow_kind(&error));
        columns.push(cast.map_err(|error| ArcsError::Job { message: message(error) })?);
    }
    RecordBatch::try_new(schema.clone(), columns).map_err(|error| ArcsError::internal(format!("a result is no batch: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn one_select_and_nothing_else() {
        assert!(check_select("SELECT 1").is_ok());
        assert!(check_select("-- why\nWITH a AS (SELECT 1) SELECT * FROM a UNION SELECT 2;").is_ok());
        let hostile = [
            "COPY (SELECT 1) TO '/tmp/x'",
            "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
            "CREATE VIEW v AS SELECT 1",
            "DROP TABLE main",
            "INSERT INTO main VALUES (1)",
            "SET datafusion.execution.batch_size = 1",
            "EXPLAIN SELECT 1",
            "SELECT 1; SELECT 2",
            "SELECT 1; DROP TABLE main",
            "",
            "SELEC 1",
        ];
        let lines: Vec<String> = hostile.iter().map(|sql| check_select(sql).unwrap_err()).collect();
        expect![[r#"
            only SELECT is allowed: a query reads and writes nothing else
            only SELECT is allowed: a query reads and writes nothing else
            only SELECT is allowed: a query reads and writes nothing else
            only SELECT is allowed: a query reads and writes nothing else
            only SELECT is allowed: a query reads and writes nothing else
            only SELECT is allowed: a query reads and writes nothing else
            only SELECT is allowed: a query reads and writes nothing else
            there are 2 statements; write one SELECT
            there are 2 statements; write one SELECT
            there is no query; write one SELECT
            the SQL does not parse: SQL error: ParserError("Expected: an SQL statement, found: SELEC at Line: 1, Column: 1")"#]]
        .assert_eq(&lines.join("\n"));
        assert!(check_select(&format!("SELECT '{}'", "x".repeat(SQL_BYTES_MAX))).is_err());
    }

    #[tokio::test]
    async fn files_are_no_tables_and_writing_inside_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let options = RunOptions::new(1, folder.path().to_owned());
        let session = session(&options, 1).unwrap();
        for sql in ["SELECT * FROM '/etc/passwd'", "SELECT * FROM \"/etc/passwd\"", "SELECT * FROM nothing"] {
            let error = select(&session, sql).await.unwrap_err();
            assert!(matches!(&error, ArcsError::Job { message } if message.contains("not found")), "{error}");
        }
        for (sql, function) in [("SELECT now()", "now"), ("SELECT 1 WHERE (SELECT random()) > 0", "random"), ("SELECT uuid()", "uuid")] {
            let frame = select(&session, sql).await.unwrap();
            assert_eq!(unrepeatable_function(frame.logical_plan()).unwrap().as_deref(), Some(function));
        }
        let frame = select(&session, "SELECT upper('a')").await.unwrap();
        assert_eq!(unrepeatable_function(frame.logical_plan()).unwrap(), None);
    }
}
