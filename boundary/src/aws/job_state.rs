//! What Batch says of a job: its event flows in; the arc, the lot, how it stands and why flow out.

use chrono::{DateTime, Utc};
use manifests::Lot;
use serde_json::Value;

/// Where a job of an arc stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct JobState {
    /// The arc's name.
    pub arc: String,
    /// The lot.
    pub lot: Lot,
    /// The job's id.
    pub job: String,
    /// The job's name.
    pub name: String,
    /// When it was made.
    pub created: Option<DateTime<Utc>>,
    /// Whether it is over, and how.
    pub end: Option<JobEnd>,
    /// The log stream of its last attempt.
    pub log_stream: Option<String>,
    /// Seconds that its last attempt took, where it is over.
    pub seconds: f64,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum JobEnd {
    /// Its container exited with 0.
    Succeeded,
    /// It did not.
    Failed {
        /// Why, as Batch says it.
        cause: String,
        /// Whether the same job may end better when it is run again.
        is_transient: bool,
    },
}

/// What a job exits with when another try may do better. `sysexits.h` calls it a temporary failure.
pub const EXIT_TRANSIENT: i32 = 75;
/// What `arc` exits with when it was told nonsense.
const EXIT_USAGE: i64 = 2;

impl JobState {
    /// Reads the event; `None` for jobs that are none of ours.
    pub(super) fn read(event: &Value) -> Option<JobState> {
        let detail = event.get("detail")?;
        let text = |pointer: &str| detail.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let number = |pointer: &str| detail.pointer(pointer).and_then(Value::as_i64);
        let log_stream = text("/container/logStreamName")
            .or_else(|| detail.get("attempts")?.as_array()?.last()?.pointer("/container/logStreamName")?.as_str().map(str::to_owned));
        let end = match text("/status")?.as_str() {
            "SUCCEEDED" => Some(JobEnd::Succeeded),
            "FAILED" => Some(failure(detail)),
            _ => None,
        };
        Some(JobState {
            arc: text("/parameters/arc")?,
            lot: text("/parameters/lot")?.parse().ok()?,
            job: text("/jobId")?,
            name: text("/jobName").unwrap_or_default(),
            created: detail.get("createdAt").and_then(Value::as_i64).and_then(DateTime::from_timestamp_millis),
            end,
            log_stream,
            seconds: number("/stoppedAt").zip(number("/startedAt")).map_or(0.0, |(stopped, started)| (stopped - started) as f64 / 1_000.0),
        })
    }
}

fn failure(detail: &Value) -> JobEnd {
    let text = |pointer: &str| detail.pointer(pointer).and_then(Value::as_str);
    let code = detail.pointer("/container/exitCode").and_then(Value::as_i64);
    let reasons = [text("/statusReason"), text("/container/reason")];
    let mut cause = reasons.into_iter().flatten().collect::<Vec<_>>().join("; ");
    if let Some(code) = code {
        cause = format!("exit code {code}: {cause}");
    }
    // A container that never ran, or was taken away, may do better; one that ended by itself said so by its code.
    let is_transient = code.is_none_or(|code| code == i64::from(EXIT_TRANSIENT) || code > 128) && code != Some(EXIT_USAGE);
    JobEnd::Failed { cause, is_transient }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(status: &str, code: Option<i64>) -> Value {
        json!({"source": "aws.batch", "detail-type": "Batch Job State Change", "detail": {
            "jobName": "convert-1", "jobId": "j-1", "status": status, "statusReason": "Essential container in task exited",
            "parameters": {"arc": "convert", "lot": "20230717PT5M250"},
            "container": {"exitCode": code, "logStreamName": "convert/default/1"}}})
    }

    #[test]
    fn how_a_job_stands() {
        let state = JobState::read(&event("RUNNING", None)).unwrap();
        assert_eq!((state.arc.as_str(), state.end, state.log_stream.as_deref()), ("convert", None, Some("convert/default/1")));
        assert_eq!(JobState::read(&event("SUCCEEDED", Some(0))).unwrap().end, Some(JobEnd::Succeeded));
        for (code, transient) in [(Some(1), false), (Some(2), false), (Some(75), true), (Some(137), true), (None, true)] {
            let Some(JobEnd::Failed { cause, is_transient }) = JobState::read(&event("FAILED", code)).unwrap().end else { panic!() };
            assert_eq!(is_transient, transient, "{code:?}");
            assert!(cause.contains("Essential container"), "{cause}");
        }
        assert_eq!(JobState::read(&json!({"detail": {"status": "FAILED", "jobId": "x"}})), None, "not ours");
    }
}
