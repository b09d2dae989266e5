//! The dispatch function: availability events, a sweep by the clock, states of jobs and activities flow in; jobs, arc state
//! and notices flow out. A sweep finds what lost events left due, so that no event has to be answered twice.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use manifests::{ArcId, ArcSpec, ArcState, Attempt, Aws, Bus, DatasetId, EVENT_DETAIL_TYPE, EventBridgeBus, Lot, State, Stores, paths};
use serde_json::{Value, json};

use super::batch::{BatchJobs, Submission, Submitted};
use super::job_state::{JobEnd, JobState};
use super::notice::Notice;
use super::{BatchQueue, DeployedArc, Deployment, JobQueue, Metrics, activity};
use crate::dispatch::{Dispatched, Dispatcher, DueRun, Worker};
use crate::error::BoundaryError;

/// The lease of an attempt that begins and ends here, in seconds: of an empty lot that is published, or of a job that never
/// came to one. Whoever dies between holds a lot up no longer than that.
const LEASE_SECONDS: i64 = 120;
/// The lease of a job whose image knows nothing of attempts, in seconds.
const FOREIGN_LEASE_SECONDS: i64 = 24 * 3_600;
/// Jobs submitted by one call; what is left, the next sweep finds.
const JOBS_PER_CALL_MAX: usize = 500;

/// The dispatch function of a project.
pub struct DispatchFunction {
    /// None where there is no AWS to call: then there are no activities and no notices.
    aws: Option<Aws>,
    deployment: Deployment,
    specs: Vec<ArcSpec>,
    stores: Stores,
    bus: Arc<dyn Bus>,
    /// None where the project has no arcs.
    jobs: Option<BatchJobs>,
    topic: Option<String>,
    say: fn(&str),
}

impl DispatchFunction {
    /// The function of a deployment, with a job queue and a topic for failures.
    pub fn new(aws: Aws, deployment: Deployment, queue: Option<&str>, topic: Option<String>) -> Result<DispatchFunction, BoundaryError> {
        let stores = deployment.stores(&aws)?;
        let bus = Arc::new(EventBridgeBus::new(&aws, &deployment.bus));
        let jobs = queue.map(|queue| -> Arc<dyn JobQueue> { Arc::new(BatchQueue::new(&aws, queue)) });
        Ok(DispatchFunction { aws: Some(aws), topic, ..DispatchFunction::over(deployment, stores, bus, jobs) })
    }

    /// The same over any stores, bus and job queue, with nobody to be told of failures.
    pub fn over(deployment: Deployment, stores: Stores, bus: Arc<dyn Bus>, jobs: Option<Arc<dyn JobQueue>>) -> DispatchFunction {
        let (specs, jobs) = (deployment.arc_specs(), jobs.map(BatchJobs::new));
        DispatchFunction { aws: None, deployment, specs, stores, bus, jobs, topic: None, say: |line| println!("{line}") }
    }

    /// The same, whose metrics go to `say`, a line at a time, and not to stdout.
    #[must_use]
    pub fn saying(self, say: fn(&str)) -> Self {
        DispatchFunction { say, ..self }
    }

    /// One call at `now`; the answer says what was done.
    pub async fn call(&self, event: &Value, now: DateTime<Utc>) -> Result<Value, BoundaryError> {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
        if let Some(name) = text("/activity") {
            return self.run_activity(name, now).await;
        }
        match text("/detail-type") {
            Some("Batch Job State Change") => self.follow_job(event, now).await,
            Some(EVENT_DETAIL_TYPE) => match hint(event) {
                Some(hint) => self.dispatch(Some(hint), now).await,
                None => Ok(json!({"ignored": "an event without a lot"})),
            },
            _ => self.dispatch(None, now).await,
        }
    }

    fn worker(&self) -> Worker {
        let owner = format!("dispatch/{}/{}", self.deployment.project, self.deployment.version);
        Worker { owner, lease: TimeDelta::seconds(LEASE_SECONDS), is_dead: Arc::new(|_| false) }
    }

    async fn dispatch(&self, hint: Option<(DatasetId, Lot)>, now: DateTime<Utc>) -> Result<Value, BoundaryError> {
        let mut dispatcher = Dispatcher::new(self.stores.clone(), self.bus.clone()).await?;
        let Dispatched { runs, empties } = match &hint {
            Some((dataset, lot)) => dispatcher.pass_at(&self.specs, (dataset, *lot), now, &self.worker()).await?,
            None => dispatcher.pass(&self.specs, now, &self.worker()).await?,
        };
        let (due, mut jobs, mut already) = (runs.len(), Vec::new(), 0);
        for run in runs.iter().take(JOBS_PER_CALL_MAX) {
            match self.submit(run, now).await? {
                Submitted::Job(job) => jobs.push(json!({"arc": self.specs[run.arc].id.arc, "lot": run.plan.lot.to_string(), "job": job})),
                Submitted::Already => already += 1,
            }
        }
        let line = Metrics::new(now, vec![("Project", self.deployment.project.clone())])
            .with("JobsSubmitted", "Count", jobs.len() as f64)
            .with("EmptyLots", "Count", empties as f64)
            .with("RunsDue", "Count", due as f64);
        (self.say)(&line.line());
        Ok(json!({"due": due, "submitted": jobs, "already": already, "empties": empties}))
    }

    async fn submit(&self, run: &DueRun, now: DateTime<Utc>) -> Result<Submitted, BoundaryError> {
        let (arc, spec) = (&self.deployment.arcs[run.arc], &self.specs[run.arc]);
        let (mut bytes, mut source) = (0, None);
        for commit in &run.plan.sources {
            let Some(read) = spec.sources.iter().find(|source| source.dataset.id() == commit.dataset) else { continue };
            let Some(manifest) = self.stores.latest(&read.dataset, commit.lot).await? else { continue };
            bytes += manifest.bytes();
            if source.is_none() || read.role == manifests::MAIN_ROLE {
                let copy = self.stores.manifest.uri(&paths::state_copy(&commit.dataset, commit.lot, manifest.state));
                source = Some((&read.dataset, copy));
            }
        }
        let Some(jobs) = &self.jobs else { return Ok(Submitted::Already) };
        jobs.submit(&Submission { arc, plan: &run.plan, source, bytes }, now).await
    }

    async fn run_activity(&self, name: &str, now: DateTime<Utc>) -> Result<Value, BoundaryError> {
        let export = self.deployment.exports.iter().find(|export| export.name == name);
        let (export, aws) = export.zip(self.aws.as_ref()).ok_or_else(|| BoundaryError::Service {
            action: "run activity",
            name: name.to_owned(),
            reason: format!("project {} has none of this name", self.deployment.project),
            transient: false,
        })?;
        let lot = activity::export(aws, export, now).await?;
        Ok(json!({"activity": name, "lot": lot.to_string()}))
    }

    /// Brings what Batch says of a job into the arc's state; tells a person where it failed.
    async fn follow_job(&self, event: &Value, now: DateTime<Utc>) -> Result<Value, BoundaryError> {
        let Some(state) = JobState::read(event) else { return Ok(json!({"ignored": "a job of somebody else"})) };
        let Some(arc) = self.deployment.arcs.iter().find(|arc| arc.name == state.arc) else {
            return Ok(json!({"ignored": "a job of an arc that is not deployed"}));
        };
        let id = ArcId { project: self.deployment.project.clone(), version: self.deployment.version.clone(), arc: arc.name.clone() };
        if let (Some(jobs), Some(_)) = (&self.jobs, &state.end) {
            jobs.forget(&state.name);
        }
        match &state.end {
            None if arc.is_foreign => self.begin(&id, &state, FOREIGN_LEASE_SECONDS, now).await?,
            None => {}
            Some(JobEnd::Succeeded) if arc.is_foreign => return self.end_foreign(arc, &id, &state, now).await,
            Some(JobEnd::Succeeded) => {}
            Some(JobEnd::Failed { cause, is_transient }) => {
                return self.fail(arc, &id, &state, cause, *is_transient, now).await;
            }
        }
        Ok(json!({"arc": arc.name, "lot": state.lot.to_string()}))
    }

    /// Takes an attempt for a job that does not take one itself.
    async fn begin(&self, id: &ArcId, state: &JobState, lease_seconds: i64, now: DateTime<Utc>) -> Result<(), BoundaryError> {
        let owner = owner(&state.job);
        let last = self.stores.last_attempt(id, state.lot).await?;
        if last.is_some_and(|last| last.record.owner == owner) {
            return Ok(());
        }
        match self.stores.acquire(id, state.lot, &owner, now, TimeDelta::seconds(lease_seconds), |_| false).await {
            Ok(_) | Err(manifests::ManifestsError::Leased { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends it, as Clusterless does: by the manifests that the image has written.
    async fn end_foreign(&self, arc: &DeployedArc, id: &ArcId, state: &JobState, now: DateTime<Utc>) -> Result<Value, BoundaryError> {
        self.begin(id, state, FOREIGN_LEASE_SECONDS, now).await?;
        let mut states = Vec::new();
        for sink in &arc.sinks {
            if let Some(manifest) = self.stores.latest(&sink.dataset, state.lot).await? {
                states.push(manifest.state);
                self.stores.announce(&manifest, self.bus.as_ref()).await?;
            }
        }
        if states.is_empty() {
            let cause = "the job succeeded and wrote no manifest".to_owned();
            return self.fail(arc, id, state, &cause, false, now).await;
        }
        let end = if states.contains(&State::Partial) { ArcState::Partial } else { ArcState::Complete };
        self.stores.end_attempt(id, state.lot, &owner(&state.job), end, None, false, now).await?;
        Ok(json!({"arc": arc.name, "lot": state.lot.to_string(), "state": end.as_str()}))
    }

    async fn fail(
        &self,
        arc: &DeployedArc,
        id: &ArcId,
        state: &JobState,
        cause: &str,
        is_transient: bool,
        now: DateTime<Utc>,
    ) -> Result<Value, BoundaryError> {
        // What the worker itself wrote down says more than Batch knows.
        let last = self.stores.last_attempt(id, state.lot).await?;
        let (mut cause, mut is_transient) = (cause.to_owned(), is_transient);
        let is_own = |last: &Attempt| last.record.owner.starts_with(&owner(&state.job));
        // Others have ended an attempt since the job was made: what Batch says comes late, or again.
        let is_late = |last: &Attempt| last.state != ArcState::Running && state.created.is_some_and(|made| last.record.until >= made);
        match last {
            // It is committed: the exit code says that something was rejected past its limit, or is partial.
            Some(last) if matches!(last.state, ArcState::Complete | ArcState::Partial) && (is_own(&last) || is_late(&last)) => {
                return Ok(json!({"arc": arc.name, "lot": state.lot.to_string(), "state": last.state.as_str()}));
            }
            Some(last) if last.state == ArcState::Missing && is_own(&last) => {
                (cause, is_transient) = (last.record.cause.unwrap_or(cause), last.record.transient);
            }
            Some(last) if last.state == ArcState::Running && is_own(&last) => {
                self.stores
                    .end_attempt(id, state.lot, &last.record.owner, ArcState::Missing, Some(cause.clone()), is_transient, now)
                    .await?;
            }
            Some(last) if last.is_leased(now) || is_late(&last) => {}
            // It never came to an attempt: one is made, so that listings show the failure and retries are counted.
            _ => {
                self.begin(id, state, LEASE_SECONDS, now).await?;
                self.stores
                    .end_attempt(id, state.lot, &owner(&state.job), ArcState::Missing, Some(cause.clone()), is_transient, now)
                    .await?;
            }
        }
        self.tell(arc, state, &cause, is_transient, now).await?;
        Ok(json!({"arc": arc.name, "lot": state.lot.to_string(), "state": "missing", "cause": cause}))
    }

    async fn tell(
        &self,
        arc: &DeployedArc,
        state: &JobState,
        cause: &str,
        is_transient: bool,
        now: DateTime<Utc>,
    ) -> Result<(), BoundaryError> {
        let line = Metrics::new(now, vec![("Project", self.deployment.project.clone())]).with("FailedRuns", "Count", 1.0);
        (self.say)(&line.property("Arc", arc.name.as_str()).property("Lot", state.lot.to_string()).line());
        let (Some(aws), Some(topic)) = (&self.aws, &self.topic) else { return Ok(()) };
        let notice = Notice {
            project: &self.deployment.project,
            version: &self.deployment.version,
            region: &self.deployment.region,
            arc: &arc.name,
            lot: state.lot,
            cause,
            log_group: &arc.log_group,
            log_stream: state.log_stream.as_deref(),
            is_transient,
        };
        notice.publish(aws, topic).await
    }
}

/// The owner of attempts that a job of Batch makes, as leases name it; a worker adds the number of Batch's own attempt.
pub(super) fn owner(job: &str) -> String {
    format!("batch/{job}")
}

fn hint(event: &Value) -> Option<(DatasetId, Lot)> {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
    let (name, version) = (text("/detail/dataset/name")?.to_owned(), text("/detail/dataset/version")?.to_owned());
    Some((DatasetId { name, version }, text("/detail/lot")?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::StoreUris;
    use manifests::{ArcSink, Dataset, LotUnit, MemoryBus};

    fn function(stores: &Stores) -> DispatchFunction {
        let dataset = Dataset { name: "parquet".into(), version: "1".into(), path_uri: "memory:///parquet/".into() };
        let arc = DeployedArc {
            name: "convert".into(),
            unit: LotUnit::Twelfths,
            sources: vec![],
            sinks: vec![ArcSink { role: manifests::MAIN_ROLE.into(), dataset }],
            deadline_seconds: None,
            retries: 3,
            kind: "convert".into(),
            job_definition: "convert".into(),
            log_group: String::new(),
            size: None,
            is_foreign: false,
        };
        let uris = StoreUris { manifest: String::new(), arc_state: String::new(), metadata: String::new(), artifact: String::new() };
        let (project, version, region, bus) = ("p".into(), "1".into(), "us-east-1".into(), "bus".into());
        let deployment = Deployment { project, version, region, stores: uris, bus, boundaries: vec![], arcs: vec![arc], exports: vec![] };
        DispatchFunction::over(deployment, stores.clone(), Arc::new(MemoryBus::default()), None)
    }

    fn at(second: i64) -> DateTime<Utc> {
        "2023-07-17T20:56:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::seconds(second)
    }

    /// What Batch says of a job, made at a second, whose container never ran.
    fn failed(job: &str, made: i64) -> Value {
        json!({"detail-type": "Batch Job State Change", "detail": {"jobName": "n", "jobId": job, "status": "FAILED",
            "statusReason": "Host terminated", "createdAt": at(made).timestamp_millis(),
            "parameters": {"arc": "convert", "lot": "20230717PT5M250"}}})
    }

    async fn last(stores: &Stores) -> (u32, ArcState, String) {
        let id = ArcId { project: "p".into(), version: "1".into(), arc: "convert".into() };
        let last = stores.last_attempt(&id, "20230717PT5M250".parse().unwrap()).await.unwrap().unwrap();
        (last.number, last.state, last.record.owner)
    }

    #[tokio::test]
    async fn a_job_that_never_came_to_an_attempt_is_a_failed_attempt_once() {
        let (stores, id) = (Stores::memory().unwrap(), ArcId { project: "p".into(), version: "1".into(), arc: "convert".into() });
        let (function, lot) = (function(&stores), "20230717PT5M250".parse().unwrap());
        function.call(&failed("one", 0), at(10)).await.unwrap();
        assert_eq!(last(&stores).await, (1, ArcState::Missing, "batch/one".into()));
        let lease = stores.acquire(&id, lot, "batch/two/1", at(20), TimeDelta::minutes(1), |_| false).await.unwrap();
        stores.finish(&lease, ArcState::Complete, None, false, at(30)).await.unwrap();
        function.call(&failed("one", 0), at(40)).await.unwrap();
        assert_eq!(last(&stores).await, (2, ArcState::Complete, "batch/two/1".into()), "what is told late says nothing new");
        function.call(&failed("three", 31), at(50)).await.unwrap();
        assert_eq!(last(&stores).await, (3, ArcState::Missing, "batch/three".into()));
    }

    #[tokio::test]
    async fn who_dies_while_a_failure_is_written_down_holds_nobody_up_for_long() {
        let (stores, id) = (Stores::memory().unwrap(), ArcId { project: "p".into(), version: "1".into(), arc: "convert".into() });
        let state = JobState::read(&failed("one", 0)).unwrap();
        function(&stores).begin(&id, &state, LEASE_SECONDS, at(10)).await.unwrap();
        let next = stores.acquire(&id, state.lot, "batch/two/1", at(10 + LEASE_SECONDS), TimeDelta::minutes(1), |_| false).await;
        assert_eq!(next.unwrap().attempt, 2);
    }
}
