//! Jobs of AWS Batch: an arc, a lot and what there is to read flow in; a submitted job flows out, unless one of that name is
//! at work already.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_batch::Client;
use aws_sdk_batch::types::{
    ContainerDetail, ContainerOverrides, JobDetail, JobStatus, KeyValuePair, KeyValuesPair, ResourceRequirement, ResourceType,
};
use chrono::{DateTime, TimeDelta, Utc};
use manifests::{Aws, Dataset, RunPlan};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::job_state::JobState;
use super::{DeployedArc, service};
use crate::error::BoundaryError;

/// The longest name of a job.
const JOB_NAME_MAX: usize = 128;
/// Bytes of a hash of the source commits in the name of a job.
const MARK_BYTES: usize = 4;
/// Jobs that one call describes.
const JOBS_PER_CALL: usize = 100;
/// How long a submission is remembered, in minutes: listings may not know it at once.
const REMEMBERED_MINUTES: i64 = 5;

/// Sizes of a job, by the most bytes that it reads: vCPUs and memory in MiB, as Fargate has them.
const SIZES: [(u64, JobSize); 4] = [
    (256 << 20, JobSize { vcpu_milli: 1_000, memory_mib: 2_048 }),
    (4 << 30, JobSize { vcpu_milli: 2_000, memory_mib: 4_096 }),
    (32 << 30, JobSize { vcpu_milli: 4_000, memory_mib: 8_192 }),
    (u64::MAX, JobSize { vcpu_milli: 8_000, memory_mib: 16_384 }),
];

/// What a job gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobSize {
    /// Processors, in thousandths of a vCPU.
    pub vcpu_milli: u32,
    /// Memory, in MiB.
    pub memory_mib: u32,
}

impl JobSize {
    /// For so many bytes to read. A worker's memory does not grow with them, so this buys time: a lot should be done before
    /// the next one comes.
    pub fn for_bytes(bytes: u64) -> JobSize {
        SIZES.iter().find(|(most, _)| bytes <= *most).map_or(SIZES[0].1, |size| size.1)
    }
}

/// What is to be submitted.
pub(super) struct Submission<'a> {
    pub arc: &'a DeployedArc,
    pub plan: &'a RunPlan,
    /// The source that the run is told of, and the URI of its manifest.
    pub source: Option<(&'a Dataset, String)>,
    pub bytes: u64,
}

/// What came of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Submitted {
    /// A new job of this id.
    Job(String),
    /// One of this name is at work.
    Already,
}

/// A job as a queue takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its name: the same for the same arc, lot and source commits.
    pub name: String,
    /// The job definition's name.
    pub definition: String,
    /// What it gets.
    pub size: JobSize,
    /// What `Ref::` in the definition's command stands for.
    pub parameters: BTreeMap<&'static str, String>,
}

/// A queue of jobs.
#[async_trait]
pub trait JobQueue: Send + Sync {
    /// Whether a job of this name is on its way or at work, as far as the queue knows yet.
    async fn is_active(&self, name: &str) -> Result<bool, BoundaryError>;
    /// Takes a job, also one of a name that it has; gives its id.
    async fn submit(&self, job: &Job) -> Result<String, BoundaryError>;
    /// How jobs stand, by their ids, as the details of their events tell it; without those that the queue has forgotten.
    async fn describe(&self, ids: &[String]) -> Result<Vec<Value>, BoundaryError>;
}

/// A job queue of AWS Batch.
#[derive(Clone, Debug)]
pub struct BatchQueue {
    client: Client,
    queue: String,
}

impl BatchQueue {
    /// The queue of this name or ARN.
    pub fn new(aws: &Aws, queue: &str) -> BatchQueue {
        BatchQueue { client: Client::new(aws.config()), queue: queue.to_owned() }
    }
}

#[async_trait]
impl JobQueue for BatchQueue {
    async fn is_active(&self, name: &str) -> Result<bool, BoundaryError> {
        let filter = KeyValuesPair::builder().name("JOB_NAME").values(name).build();
        let is_over = |status: &JobStatus| matches!(status, JobStatus::Succeeded | JobStatus::Failed);
        // A page may be empty and not the last.
        let mut jobs = self.client.list_jobs().job_queue(&self.queue).filters(filter).into_paginator().items().send();
        while let Some(job) = jobs.next().await {
            let job = job.map_err(|error| service("list jobs of", &self.queue, error))?;
            if job.job_name() == Some(name) && job.status().is_some_and(|status| !is_over(status)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn submit(&self, job: &Job) -> Result<String, BoundaryError> {
        let (vcpus, memory) = (format!("{}", f64::from(job.size.vcpu_milli) / 1_000.0), job.size.memory_mib.to_string());
        let need = |kind, value: &str| ResourceRequirement::builder().r#type(kind).value(value).build();
        let variable = |name: &str, value: &str| KeyValuePair::builder().name(name).value(value).build();
        let overrides = ContainerOverrides::builder()
            .resource_requirements(need(ResourceType::Vcpu, &vcpus))
            .resource_requirements(need(ResourceType::Memory, &memory))
            .environment(variable("ARC_JOB_VCPUS", &vcpus))
            .environment(variable("ARC_JOB_MEMORY_MIB", &memory))
            .build();
        let mut call = self.client.submit_job().job_name(&job.name).job_queue(&self.queue).container_overrides(overrides);
        call = call.job_definition(&job.definition).propagate_tags(true);
        for (key, value) in &job.parameters {
            call = call.parameters(*key, value);
        }
        let answer = call.send().await.map_err(|error| service("submit job", &job.name, error))?;
        Ok(answer.job_id().unwrap_or_default().to_owned())
    }

    async fn describe(&self, ids: &[String]) -> Result<Vec<Value>, BoundaryError> {
        let mut details = Vec::new();
        for ids in ids.chunks(JOBS_PER_CALL) {
            let answer = self.client.describe_jobs().set_jobs(Some(ids.to_vec())).send().await;
            let answer = answer.map_err(|error| service("describe jobs of", &self.queue, error))?;
            details.extend(answer.jobs().iter().map(as_in_event));
        }
        Ok(details)
    }
}

/// A job as the event of its state tells of it.
fn as_in_event(job: &JobDetail) -> Value {
    let container = job.container();
    json!({
        "jobName": job.job_name(), "jobId": job.job_id(), "status": job.status().map(JobStatus::as_str),
        "statusReason": job.status_reason(), "parameters": job.parameters(),
        "createdAt": job.created_at(), "startedAt": job.started_at(), "stoppedAt": job.stopped_at(),
        "container": {
            "exitCode": container.and_then(ContainerDetail::exit_code), "reason": container.and_then(ContainerDetail::reason),
            "logStreamName": container.and_then(ContainerDetail::log_stream_name),
        },
    })
}

/// A job queue and what was submitted to it a short while ago.
pub(super) struct BatchJobs {
    queue: Arc<dyn JobQueue>,
    recent: Mutex<BTreeMap<String, DateTime<Utc>>>,
}

impl BatchJobs {
    pub(super) fn new(queue: Arc<dyn JobQueue>) -> BatchJobs {
        BatchJobs { queue, recent: Mutex::default() }
    }

    /// The name of the job of an arc on a lot: the same for the same source commits, so that a second submission is seen.
    pub(super) fn name(arc: &str, plan: &RunPlan) -> String {
        let mut hash = Sha256::new();
        for source in &plan.sources {
            hash.update(format!("{}/{}/{}\n", source.dataset, source.lot, source.generation));
        }
        let mark: String = hash.finalize().iter().take(MARK_BYTES).map(|byte| format!("{byte:02x}")).collect();
        let letter = |letter: char| if letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_') { letter } else { '_' };
        let tail = format!("-{}-{mark}", plan.lot);
        let head: String = arc.chars().map(letter).take(JOB_NAME_MAX - tail.len()).collect();
        // A name begins with a letter or a digit.
        let head = if head.starts_with(|letter: char| letter.is_ascii_alphanumeric()) { head } else { format!("a{}", &head[1..]) };
        head + &tail
    }

    fn remembers(&self, name: &str, now: DateTime<Utc>) -> bool {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|_, at| now - *at < TimeDelta::minutes(REMEMBERED_MINUTES));
        recent.contains_key(name)
    }

    /// Forgets a submission, so that the next one of its name is made.
    pub(super) fn forget(&self, name: &str) {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// How jobs stand, by their ids; those that Batch has forgotten are left out.
    pub(super) async fn describe(&self, ids: &[String]) -> Result<Vec<JobState>, BoundaryError> {
        let details = self.queue.describe(ids).await?;
        Ok(details.into_iter().filter_map(|detail| JobState::read(&json!({"detail": detail}))).collect())
    }

    /// Whether a job of this name is there that is not over.
    pub(super) async fn is_there(&self, name: &str, now: DateTime<Utc>) -> Result<bool, BoundaryError> {
        Ok(self.remembers(name, now) || self.queue.is_active(name).await?)
    }

    /// Submits it under its name, which is remembered.
    pub(super) async fn submit(&self, name: &str, submission: &Submission<'_>, now: DateTime<Utc>) -> Result<String, BoundaryError> {
        let size = submission.arc.size.unwrap_or_else(|| JobSize::for_bytes(submission.bytes));
        let (definition, parameters) = (submission.arc.job_definition.clone(), parameters(submission));
        let id = self.queue.submit(&Job { name: name.to_owned(), definition, size, parameters }).await?;
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), now);
        Ok(id)
    }
}

/// What `Ref::` stands for.
fn parameters(submission: &Submission<'_>) -> BTreeMap<&'static str, String> {
    let mut given = BTreeMap::from([("arc", submission.arc.name.clone()), ("lot", submission.plan.lot.to_string())]);
    if let Some((dataset, manifest)) = &submission.source {
        given.insert("manifest", manifest.clone());
        given.insert("dataset_name", dataset.name.clone());
        given.insert("dataset_version", dataset.version.clone());
        given.insert("dataset_path_uri", dataset.path_uri.clone());
        given.insert("dataset_id", dataset.id().to_string());
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;
    use manifests::{DatasetId, SourceCommit};
    use proptest::prelude::*;

    fn plan(generation: u32) -> RunPlan {
        let lot = "20230717PT5M250".parse().unwrap();
        let dataset = DatasetId { name: "raw".into(), version: "1".into() };
        RunPlan { lot, sources: vec![SourceCommit { dataset, lot, generation }], replay: false }
    }

    proptest! {
        #[test]
        fn names_are_names_of_batch(arc in "\\PC{1,150}") {
            let name = BatchJobs::name(&arc, &plan(1));
            prop_assert!(name.len() <= JOB_NAME_MAX && name.starts_with(|c: char| c.is_ascii_alphanumeric()), "{}", name);
            prop_assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{}", name);
        }
    }

    #[test]
    fn a_name_outlives_the_program_that_made_it() {
        assert_eq!(BatchJobs::name("convert", &plan(1)), "convert-20230717PT5M250-afc9ef5a");
    }

    #[test]
    fn the_same_sources_have_the_same_name_and_others_another() {
        assert_eq!(BatchJobs::name("convert", &plan(1)), BatchJobs::name("convert", &plan(1)));
        assert_ne!(BatchJobs::name("convert", &plan(1)), BatchJobs::name("convert", &plan(2)));
        assert_eq!(
            [0, 256 << 20, (256 << 20) + 1, u64::MAX].map(|bytes| JobSize::for_bytes(bytes).vcpu_milli),
            [1_000, 1_000, 2_000, 8_000]
        );
    }
}
