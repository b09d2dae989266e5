//! One statement in Athena, from its start to its end: a statement flows in, what Athena says of it flows out. Whoever goes
//! away before the end stops it. Of failures that may quote data only the kind is told.

use std::time::Duration;

use aws_sdk_athena::Client;
use aws_sdk_athena::error::ProvideErrorMetadata;
use aws_sdk_athena::types::{QueryExecution, QueryExecutionState, ResultConfiguration};
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::error::ArcsError;
use crate::runner::shortened;

/// The first wait for the end of a statement; each further one is half as long again.
const WAIT_FIRST: Duration = Duration::from_millis(400);

/// The longest wait between two looks.
const WAIT_MAX: Duration = Duration::from_secs(15);

/// The longest that a statement may take. A job has a time of its own, which is mostly shorter.
const STATEMENT_SECONDS_MAX: u64 = 2 * 3_600;

/// The longest that stopping a statement may take.
const STOP_SECONDS_MAX: u64 = 5;

/// Bytes of a reason that are told.
const REASON_BYTES_MAX: usize = 600;

/// What calls say that no further attempt mends.
const LASTING: [&str; 6] = [
    "InvalidRequestException",
    "AccessDeniedException",
    "ResourceNotFoundException",
    "MetadataException",
    "UnrecognizedClientException",
    "ValidationException",
];

/// Kinds of failures that speak of the query and its tables alone. All others may quote a value of a row.
const OF_THE_QUERY: [&str; 18] = [
    "SYNTAX_ERROR",
    "SCHEMA_NOT_FOUND",
    "TABLE_NOT_FOUND",
    "COLUMN_NOT_FOUND",
    "FUNCTION_NOT_FOUND",
    "FUNCTION_NOT_REGISTERED",
    "TYPE_MISMATCH",
    "TYPE_NOT_FOUND",
    "MISSING_COLUMN_NAME",
    "MISMATCHED_COLUMN_ALIASES",
    "DUPLICATE_COLUMN_NAME",
    "AMBIGUOUS_NAME",
    "EXPRESSION_NOT_AGGREGATE",
    "EXPRESSION_NOT_SCALAR",
    "NOT_SUPPORTED",
    "CONSTRAINT_VIOLATION",
    "PERMISSION_DENIED",
    "EXCEEDED_MEMORY_LIMIT",
];

/// Athena's category of its own errors.
const SYSTEM: i32 = 1;

/// A statement to run.
pub(super) struct Statement<'a> {
    /// Its text.
    pub text: &'a str,
    /// The workgroup.
    pub workgroup: &'a str,
    /// Where Athena leaves what it says of the statement, an S3 URI.
    pub output: &'a str,
    /// The same for every submission of the same run, so that Athena starts it once.
    pub token: &'a str,
}

/// A statement that came to a good end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// Bytes that Athena read.
    pub scanned_bytes: u64,
    /// The object that lists the files that it wrote.
    pub written: Option<String>,
}

/// Runs a statement to its end.
pub(super) async fn run(client: &Client, statement: &Statement<'_>) -> Result<Ended, ArcsError> {
    let output = ResultConfiguration::builder().output_location(statement.output).build();
    let call = client.start_query_execution().query_string(statement.text).work_group(statement.workgroup);
    let call = call.client_request_token(statement.token).result_configuration(output);
    let started = call.send().await.map_err(|error| refused("start the query", &error))?;
    let id = started.query_execution_id().unwrap_or_default().to_owned();
    tracing::info!(execution = id, "Athena runs the query");
    let mut running = Running { client, id, is_over: false };
    let ended = follow(client, &running.id).await?;
    running.is_over = true;
    ended
}

/// Looks until the statement has ended; fails where Athena cannot be asked, or where it takes too long.
async fn follow(client: &Client, id: &str) -> Result<Result<Ended, ArcsError>, ArcsError> {
    let (mut wait, mut waited) = (WAIT_FIRST, Duration::ZERO);
    while waited.as_secs() < STATEMENT_SECONDS_MAX {
        tokio::time::sleep(wait).await;
        waited += wait;
        wait = (wait * 3 / 2).min(WAIT_MAX);
        let answer = client.get_query_execution().query_execution_id(id).send().await;
        match answer.map_err(|error| refused("ask for the query", &error)) {
            Ok(answer) => {
                if let Some(ended) = answer.query_execution().and_then(end) {
                    return Ok(ended);
                }
            }
            Err(error) if error.is_transient() => tracing::warn!(execution = id, "{error}"),
            Err(error) => return Err(error),
        }
    }
    let message = format!("the query took longer than {STATEMENT_SECONDS_MAX} seconds in Athena (execution {id}); let it read less");
    Err(ArcsError::Work { message, is_transient: false })
}

fn refused<E: ProvideErrorMetadata + std::error::Error>(action: &str, error: &E) -> ArcsError {
    let is_transient = error.code().is_none_or(|code| !LASTING.contains(&code));
    ArcsError::Work { message: format!("{action} in Athena: {}", manifests::reason(error)), is_transient }
}

/// How a statement ended; `None` while it has not.
fn end(execution: &QueryExecution) -> Option<Result<Ended, ArcsError>> {
    let status = execution.status()?;
    match status.state()? {
        QueryExecutionState::Succeeded => {
            let statistics = execution.statistics();
            let scanned = statistics.and_then(|statistics| statistics.data_scanned_in_bytes()).unwrap_or_default();
            let written = statistics.and_then(|statistics| statistics.data_manifest_location()).map(str::to_owned);
            Some(Ok(Ended { scanned_bytes: u64::try_from(scanned).unwrap_or_default(), written }))
        }
        QueryExecutionState::Failed | QueryExecutionState::Cancelled => Some(Err(failure(execution))),
        _ => None,
    }
}

fn failure(execution: &QueryExecution) -> ArcsError {
    let status = execution.status();
    let reason = status.and_then(|status| status.state_change_reason()).unwrap_or_default();
    let error = status.and_then(|status| status.athena_error());
    let is_cancelled = status.and_then(|status| status.state()) == Some(&QueryExecutionState::Cancelled);
    let is_limit = reason.to_lowercase().contains("limit");
    let is_throttled = ["SlowDown", "reduce your request rate", "TooManyRequests"].iter().any(|word| reason.contains(word));
    let is_system = error.is_some_and(|error| error.retryable() || error.error_category() == Some(SYSTEM));
    let id = execution.query_execution_id().unwrap_or_default();
    let what = if is_cancelled { "was cancelled in" } else { "fails in" };
    let message = format!("the query {what} Athena: {} (execution {id})", told(reason));
    ArcsError::Work { message, is_transient: is_throttled || is_system || (is_cancelled && !is_limit) }
}

/// As much of a reason as holds no data.
fn told(reason: &str) -> String {
    let kind = reason.split([':', ' ']).next().unwrap_or_default();
    let is_kind = kind.len() > 3 && kind.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    match is_kind && !OF_THE_QUERY.contains(&kind) {
        true => format!("{kind}, Athena's console shows more"),
        false => shortened(reason, REASON_BYTES_MAX),
    }
}

/// A statement that is stopped when its run goes away.
struct Running<'a> {
    client: &'a Client,
    id: String,
    is_over: bool,
}

impl Drop for Running<'_> {
    /// Waits for the answer: a process that was told to stop is gone before a task beside it would get to ask.
    fn drop(&mut self) {
        let Some(runtime) = Handle::try_current().ok().filter(|_| !self.is_over) else { return };
        let stop = self.client.stop_query_execution().query_execution_id(&self.id).send();
        let stop = async move {
            let stopped = tokio::time::timeout(Duration::from_secs(STOP_SECONDS_MAX), stop).await;
            if let Ok(Err(error)) = stopped {
                tracing::warn!("the query goes on in Athena: {}", manifests::reason(&error));
            }
        };
        match runtime.runtime_flavor() {
            RuntimeFlavor::MultiThread => tokio::task::block_in_place(|| runtime.block_on(stop)),
            _ => drop(runtime.spawn(stop)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_athena::types::{AthenaError, QueryExecutionStatistics, QueryExecutionStatus};
    use expect_test::expect;

    fn execution(state: QueryExecutionState, reason: &str, error: Option<AthenaError>) -> QueryExecution {
        let status = QueryExecutionStatus::builder().state(state).state_change_reason(reason).set_athena_error(error).build();
        let statistics = QueryExecutionStatistics::builder().data_scanned_in_bytes(7).data_manifest_location("s3://r/m.csv").build();
        QueryExecution::builder().query_execution_id("id-1").status(status).statistics(statistics).build()
    }

    #[test]
    fn a_good_end() {
        assert_eq!(end(&execution(QueryExecutionState::Running, "", None)).map(|ended| ended.is_ok()), None);
        let ended = end(&execution(QueryExecutionState::Succeeded, "", None)).unwrap().unwrap();
        assert_eq!(ended, Ended { scanned_bytes: 7, written: Some("s3://r/m.csv".into()) });
    }

    #[test]
    fn failures_tell_no_data_and_what_may_pass_is_transient() {
        let system = AthenaError::builder().error_category(SYSTEM).build();
        let cases = [
            (QueryExecutionState::Failed, "SYNTAX_ERROR: line 3:8: Column 'bukket' cannot be resolved", None),
            (QueryExecutionState::Failed, "INVALID_CAST_ARGUMENT: Cannot cast 'secret' to bigint", None),
            (QueryExecutionState::Failed, "GENERIC_INTERNAL_ERROR: a row with secret", Some(system)),
            (QueryExecutionState::Failed, "HIVE_CANNOT_OPEN_SPLIT: s3://b/k: SlowDown", None),
            (QueryExecutionState::Failed, "Query exhausted resources at this scale factor", None),
            (QueryExecutionState::Cancelled, "Bytes scanned limit was exceeded", None),
            (QueryExecutionState::Cancelled, "Query cancelled by user", None),
        ];
        let line = |(state, reason, error)| {
            let error = end(&execution(state, reason, error)).unwrap().unwrap_err();
            format!("{}: {error}\n", if error.is_transient() { "again" } else { "final" })
        };
        expect![[r#"
            final: the query fails in Athena: SYNTAX_ERROR: line 3:8: Column 'bukket' cannot be resolved (execution id-1)
            final: the query fails in Athena: INVALID_CAST_ARGUMENT, Athena's console shows more (execution id-1)
            again: the query fails in Athena: GENERIC_INTERNAL_ERROR, Athena's console shows more (execution id-1)
            again: the query fails in Athena: HIVE_CANNOT_OPEN_SPLIT, Athena's console shows more (execution id-1)
            final: the query fails in Athena: Query exhausted resources at this scale factor (execution id-1)
            final: the query was cancelled in Athena: Bytes scanned limit was exceeded (execution id-1)
            again: the query was cancelled in Athena: Query cancelled by user (execution id-1)
        "#]]
        .assert_eq(&cases.map(line).concat());
    }
}
