//! What Batch says of a job: its event flows in; the arc, the lot, how it stands and why flow out. Jobs of activities have
//! neither arc nor lot, and are known by their definition.

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
            log_stream: log_stream(detail),
            seconds: number("/stoppedAt").zip(number("/startedAt")).map_or(0.0, |(stopped, started)| (stopped - started) as f64 / 1_000.0),
        })
    }
}

/// A job that failed, whatever it was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FailedJob {
    /// The job's id.
    pub job: String,
    /// The name of its definition.
    pub definition: String,
    /// The name of its queue.
    pub queue: String,
    /// Why, as Batch says it.
    pub cause: String,
    /// The log stream of its last attempt.
    pub log_stream: Option<String>,
}

impl FailedJob {
    /// Reads the event; `None` where it tells of no failure.
    pub(super) fn read(event: &Value) -> Option<FailedJob> {
        let detail = event.get("detail").filter(|detail| detail["status"] == "FAILED")?;
        let JobEnd::Failed { cause, .. } = failure(detail) else { return None };
        Some(FailedJob {
            job: detail.get("jobId")?.as_str()?.to_owned(),
            definition: name_of(detail.get("jobDefinition")?.as_str()?),
            queue: name_of(detail.get("jobQueue").and_then(Value::as_str).unwrap_or_default()),
            cause,
            log_stream: log_stream(detail),
        })
    }
}

/// The name in `arn:aws:batch:REGION:ACCOUNT:KIND/NAME:REVISION`.
fn name_of(arn: &str) -> String {
    let name = arn.rsplit_once('/').map_or(arn, |split| split.1);
    name.split(':').next().unwrap_or(name).to_owned()
}

fn log_stream(detail: &Value) -> Option<String> {
    let last = || detail.get("attempts")?.as_array()?.last()?.pointer("/container/logStreamName");
    Some(detail.pointer("/container/logStreamName").or_else(last)?.as_str()?.to_owned())
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

    #[test]
    fn jobs_without_a_lot_are_known_by_their_definition() {
        let mut told = event("FAILED", Some(3));
        assert_eq!(FailedJob::read(&told), None, "without a definition nobody knows whose it is");
        told["detail"]["jobDefinition"] = "arn:aws:batch:us-east-2:123456789012:job-definition/test-lake-1-activity-tidy:7".into();
        told["detail"]["jobQueue"] = "arn:aws:batch:us-east-2:123456789012:job-queue/test-lake-1".into();
        let failed = FailedJob::read(&told).unwrap();
        assert_eq!((failed.definition.as_str(), failed.queue.as_str()), ("test-lake-1-activity-tidy", "test-lake-1"));
        assert_eq!(failed.cause, "exit code 3: Essential container in task exited");
        told["detail"]["status"] = "SUCCEEDED".into();
        assert_eq!(FailedJob::read(&told), None);
    }
}
