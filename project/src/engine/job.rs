//! This process as a job of AWS Batch: its environment flows in; what its platform wants to know of a run flows out, as
//! metrics in a log line and as an exit code.

use arcs::runner::RunReport;
use boundary::aws::Metrics;
use chrono::{DateTime, Utc};
use manifests::ArcSpec;

use super::runs::{Outcome, Ran};

/// US dollars for an hour of one vCPU and of one GiB on Fargate, on demand, Linux, us-east-1: ARM, then x86. Source:
/// aws.amazon.com/fargate/pricing, November 2026. What Spot and other regions cost, a bill says.
const ARM_HOUR: (f64, f64) = (0.032_38, 0.003_56);
const X86_HOUR: (f64, f64) = (0.040_48, 0.004_445);

/// US dollars for a TB that Athena reads, and the bytes that it bills for the least of queries. Source:
/// aws.amazon.com/athena/pricing, November 2026.
const SCANNED_TB: f64 = 5.0;
const SCANNED_BYTES_MIN: u64 = 10 << 20;

/// A job.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    vcpus: f64,
    memory_gib: f64,
}

impl Job {
    /// The job that this process is; `None` where it is none.
    pub fn of_environment() -> Option<Job> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        variable("AWS_BATCH_JOB_ID")?;
        let number = |name: &str| variable(name).and_then(|text| text.parse::<f64>().ok());
        let vcpus = number("ARC_JOB_VCPUS").unwrap_or_else(|| super::threads() as f64);
        Some(Job { vcpus, memory_gib: number("ARC_JOB_MEMORY_MIB").unwrap_or(2_048.0) / 1_024.0 })
    }

    /// The metrics of a run of `arc` that ended, as log lines.
    pub fn metrics(&self, project: &str, arc: &ArcSpec, ran: &Ran, now: DateTime<Utc>) -> Vec<String> {
        let metrics = Metrics::new(now, vec![("Project", project.to_owned()), ("Arc", ran.arc.clone())]);
        let mut committed = Vec::new();
        let metrics = match &ran.outcome {
            Outcome::Done(report) if report.was_done => metrics.with("RunsDoneBefore", "Count", 1.0),
            Outcome::Done(report) => {
                committed.extend(arc.sinks.iter().map(|sink| Metrics::committed(now, project, &sink.dataset.id(), 1)));
                self.of_report(metrics, report, now)
            }
            Outcome::Failed { .. } | Outcome::Elsewhere => metrics.with("RunsEndedWithoutCommit", "Count", 1.0),
        };
        committed.push(metrics);
        committed.into_iter().map(|metrics| metrics.property("Lot", ran.lot.to_string()).line()).collect()
    }

    fn of_report(&self, metrics: Metrics, report: &RunReport, now: DateTime<Utc>) -> Metrics {
        let counts = &report.counts;
        let scanned = counts.bytes_scanned;
        let metrics = if scanned > 0 { metrics.with("BytesScanned", "Bytes", scanned as f64) } else { metrics };
        metrics
            .with("Runs", "Count", 1.0)
            .with("Rows", "Count", counts.rows as f64)
            .with("Rejects", "Count", counts.rejected as f64)
            .with("BytesIn", "Bytes", counts.bytes_in as f64)
            .with("BytesOut", "Bytes", counts.bytes_out as f64)
            .with("RunSeconds", "Seconds", report.seconds)
            .with("LatenessSeconds", "Seconds", (now - report.lot.end()).as_seconds_f64().max(0.0))
            .with("CostDollars", "None", self.dollars(report.seconds) + scanned_dollars(scanned))
            .property("State", report.state.as_str())
    }

    fn dollars(&self, seconds: f64) -> f64 {
        let (vcpu, gib) = if cfg!(target_arch = "aarch64") { ARM_HOUR } else { X86_HOUR };
        // Fargate bills whole seconds, a minute at least.
        seconds.ceil().max(60.0) / 3_600.0 * (self.vcpus * vcpu + self.memory_gib * gib)
    }
}

fn scanned_dollars(bytes: u64) -> f64 {
    if bytes == 0 { 0.0 } else { bytes.max(SCANNED_BYTES_MIN) as f64 / 1e12 * SCANNED_TB }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_athena_reads_is_billed_by_the_terabyte() {
        assert_eq!((scanned_dollars(0), scanned_dollars(2_000_000_000_000)), (0.0, 10.0));
        assert_eq!(scanned_dollars(1), scanned_dollars(SCANNED_BYTES_MIN));
    }

    #[test]
    fn a_run_says_of_each_sink_that_it_has_a_manifest_once() {
        let (at, id) =
            ("2023-07-17T20:55:05Z".parse().unwrap(), manifests::ArcId { project: "p".into(), version: "1".into(), arc: "a".into() });
        let sink = |name: &str| manifests::ArcSink {
            role: name.into(),
            dataset: manifests::Dataset { name: name.into(), version: "1".into(), path_uri: format!("s3://b/{name}/") },
        };
        let arc = ArcSpec {
            id,
            unit: manifests::LotUnit::Twelfths,
            sources: vec![],
            sinks: vec![sink("main"), sink("errors")],
            deadline: None,
            retries: 3,
            kind: "convert".into(),
            workload: serde_json::Value::Null,
        };
        let report = RunReport {
            lot: "20230717PT5M250".parse().unwrap(),
            state: manifests::State::Complete,
            counts: manifests::Counts::default(),
            seconds: 1.0,
            arc: "a".into(),
            attempt: 1,
            generation: 1,
            manifests: vec![],
            comment: None,
            past_reject_limit: false,
            was_done: false,
        };
        let lines = |report: RunReport| {
            let ran = Ran { arc: "a".into(), lot: report.lot, outcome: Outcome::Done(Box::new(report)) };
            let lines = Job { vcpus: 1.0, memory_gib: 2.0 }.metrics("p", &arc, &ran, at);
            let told = lines.iter().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
            told.map(|line| format!("{} {} {}", line["Dataset"], line["ManifestsCommitted"], line["Runs"])).collect::<Vec<_>>()
        };
        assert_eq!(lines(report.clone()), [r#""main/1" 1.0 null"#, r#""errors/1" 1.0 null"#, "null null 1.0"]);
        assert_eq!(lines(RunReport { was_done: true, ..report }), ["null null null"]);
    }

    #[test]
    fn a_short_run_costs_a_minute() {
        let job = Job { vcpus: 1.0, memory_gib: 2.0 };
        assert_eq!(job.dollars(0.5), job.dollars(60.0));
        assert!((0.0005..0.001).contains(&job.dollars(60.0)), "{}", job.dollars(60.0));
        assert!(job.dollars(3_600.0) > 50.0 * job.dollars(60.0));
    }
}
