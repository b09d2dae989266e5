//! The dispatch function: availability events, a sweep by the clock, states of jobs and activities flow in; jobs, arc state
//! and notices flow out. A sweep finds what lost events left due, so that no event has to be answered twice. What is looked at
//! is in `sweep`, how jobs are submitted in `submit`, what becomes of them in `follow`.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use manifests::{ArcSpec, Aws, Bus, DatasetId, EVENT_DETAIL_TYPE, EventBridgeBus, Lot, Stores};
use serde_json::{Value, json};
use tokio::sync::{Mutex, OnceCell};

use super::activity::LogTasks;
use super::batch::{BatchJobs, Submitted};
use super::exports::Exporter;
use super::submit::Found;
use super::sweep::Sweeper;
use super::{BatchQueue, Deployment, JobQueue, LogExport, Metrics, Until};
use crate::dispatch::{Dispatched, Dispatcher, DueRun, Worker};
use crate::due::Why;
use crate::error::BoundaryError;

/// The lease of an attempt that begins and ends here, in seconds: of an empty lot that is published, or of a job that never
/// came to one. Whoever dies between holds a lot up no longer than that.
pub(super) const LEASE_SECONDS: i64 = 120;
/// Minutes after which an event is left to the sweep, which comes every five. A backfill is tens of thousands of events, and what
/// waits for an hour would go to those that could not be delivered.
const STALE_MINUTES: i64 = 10;

/// The dispatch function of a project.
pub struct DispatchFunction {
    /// None where there is no AWS to call: then there are no activities and no notices.
    pub(super) aws: Option<Aws>,
    pub(super) deployment: Deployment,
    pub(super) specs: Vec<ArcSpec>,
    pub(super) stores: Stores,
    pub(super) bus: Arc<dyn Bus>,
    /// None where the project has no arcs.
    pub(super) jobs: Option<BatchJobs>,
    pub(super) topic: Option<String>,
    pub(super) say: fn(&str),
    pub(super) sweeper: OnceCell<Mutex<Sweeper>>,
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
        DispatchFunction {
            aws: None,
            deployment,
            specs,
            stores,
            bus,
            jobs,
            topic: None,
            say: |line| println!("{line}"),
            sweeper: OnceCell::new(),
        }
    }

    /// The same, whose metrics go to `say`, a line at a time, and not to stdout.
    #[must_use]
    pub fn saying(self, say: fn(&str)) -> Self {
        DispatchFunction { say, ..self }
    }

    /// One call at `now`; the answer says what was done.
    pub async fn call(&self, event: &Value, now: DateTime<Utc>) -> Result<Value, BoundaryError> {
        self.call_until(event, now, &Until::never()).await
    }

    /// The same, which stops in time: what it leaves, the next sweep finds.
    pub async fn call_until(&self, event: &Value, now: DateTime<Utc>, until: &Until) -> Result<Value, BoundaryError> {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
        if let Some(name) = text("/activity") {
            return self.run_activity(name, now).await;
        }
        if let (Some(arc), Some(lot)) = (text("/retry/arc"), text("/retry/lot")) {
            return self.retry(arc, lot.parse()?, now).await;
        }
        match text("/detail-type") {
            Some("Batch Job State Change") => {
                self.heard_job(event, now).await?;
                self.follow_job(event, now).await
            }
            Some(EVENT_DETAIL_TYPE) => match hint(event) {
                Some(hint) => self.hear(hint, is_stale(event, now), now, until).await,
                None => Ok(json!({"ignored": "an event without a lot"})),
            },
            _ => self.sweep(now, until).await,
        }
    }

    pub(super) fn worker(&self) -> Worker {
        let owner = format!("dispatch/{}/{}", self.deployment.project, self.deployment.version);
        Worker { owner, lease: TimeDelta::seconds(LEASE_SECONDS), is_dead: Arc::new(|_| false) }
    }

    /// Submits the job of a lot however it stands: what a person asks for whose image runs nowhere but in jobs.
    async fn retry(&self, name: &str, lot: Lot, now: DateTime<Utc>) -> Result<Value, BoundaryError> {
        let mut dispatcher = Dispatcher::new(self.stores.clone(), self.bus.clone()).await?;
        let plan = match self.specs.iter().position(|spec| spec.id.arc == name) {
            Some(arc) => dispatcher.plan(&self.specs[arc], lot).await?.map(|plan| DueRun { arc, plan, why: Why::Retry }),
            None => None,
        };
        let run = plan.ok_or_else(|| BoundaryError::Service {
            action: "retry",
            name: name.to_owned(),
            reason: format!("there is no such arc here, or its sources have no lot for {lot}"),
            transient: false,
        })?;
        self.sweeper().await?.lock().await.heard_lot(run.arc, lot, now);
        let job = match self.submit(&run, now).await? {
            Submitted::Job(job) => Some(job),
            Submitted::Already => None,
        };
        Ok(json!({"arc": name, "lot": lot.to_string(), "submitted": job}))
    }

    /// An availability event. A stale one that a sweep makes good is left to it, so that a queue of many drains in no time.
    async fn hear(&self, hint: (DatasetId, Lot), is_stale: bool, now: DateTime<Utc>, until: &Until) -> Result<Value, BoundaryError> {
        if is_stale && self.is_for_sweep(&hint, now).await? {
            return Ok(json!({"left": "to the sweep"}));
        }
        self.dispatch(Some(hint), now, until).await
    }

    /// Finds what lost events left undone: jobs that are over, lots that are due, intervals of logs that nobody has exported.
    /// Where the one fails, the other is done.
    async fn sweep(&self, now: DateTime<Utc>, until: &Until) -> Result<Value, BoundaryError> {
        let over = self.follow_attempts(now).await;
        let dispatched = self.dispatch(None, now, until).await;
        let (all, mut exports): (Vec<&LogExport>, Value) = (self.deployment.exports.iter().collect(), Value::Null);
        if let Some(aws) = self.aws.as_ref().filter(|_| !all.is_empty() && !until.is_over()) {
            // What an export has to say, its own schedule says; a sweep would say it every few minutes.
            exports = self.exporter(&LogTasks::new(aws)).go_on(&all, now).await.unwrap_or_else(|error| {
                tracing::warn!("exports of logs go on with the next sweep: {error}");
                Value::Null
            });
        }
        let mut done = dispatched?;
        done["ended"] = over?.into();
        if !exports.is_null() {
            done["exports"] = exports;
        }
        Ok(done)
    }

    fn exporter<'a>(&'a self, tasks: &'a LogTasks) -> Exporter<'a> {
        let Deployment { project, version, .. } = &self.deployment;
        Exporter { tasks, stores: &self.stores, project, version }
    }

    async fn dispatch(&self, hint: Option<(DatasetId, Lot)>, now: DateTime<Utc>, until: &Until) -> Result<Value, BoundaryError> {
        let found = match hint {
            Some(hint) => self.look_at_lot(hint, now).await?,
            None => self.look_at_all(now, until).await?,
        };
        let Found { dispatched: Dispatched { runs, empties }, jobs, already, left, failed } = found;
        let due = runs.len();
        let line = Metrics::new(now, vec![("Project", self.deployment.project.clone())])
            .with("JobsSubmitted", "Count", jobs.len() as f64)
            .with("EmptyLots", "Count", empties.len() as f64)
            .with("RunsDue", "Count", due as f64);
        (self.say)(&line.line());
        for arcs in empties.chunk_by(|one, next| one == next) {
            self.say_committed(&self.specs[arcs[0]], arcs.len(), now);
        }
        let done = json!({"due": due, "submitted": jobs, "already": already, "left": left.len(), "empties": empties.len()});
        failed.map_or(Ok(done), Err)
    }

    /// Says that manifests of an arc were committed here and not by a worker.
    pub(super) fn say_committed(&self, arc: &ArcSpec, manifests: usize, now: DateTime<Utc>) {
        for sink in &arc.sinks {
            (self.say)(&Metrics::committed(now, &self.deployment.project, &sink.dataset.id(), manifests).line());
        }
    }

    async fn run_activity(&self, name: &str, now: DateTime<Utc>) -> Result<Value, BoundaryError> {
        let export = self.deployment.exports.iter().find(|export| export.name == name);
        let (export, aws) = export.zip(self.aws.as_ref()).ok_or_else(|| BoundaryError::Service {
            action: "run activity",
            name: name.to_owned(),
            reason: format!("project {} has none of this name", self.deployment.project),
            transient: false,
        })?;
        let tasks = LogTasks::new(aws);
        let exporter = self.exporter(&tasks);
        let done = exporter.go_on(&[export], now).await?;
        exporter.check(export, now).await?;
        Ok(done)
    }
}

/// The owner of attempts that a job of Batch makes, as leases name it; a worker adds the number of Batch's own attempt.
pub(super) fn owner(job: &str) -> String {
    format!("batch/{job}")
}

/// Whether an event waited so long that a sweep was there before it, or soon will be.
fn is_stale(event: &Value, now: DateTime<Utc>) -> bool {
    let time = event.get("time").and_then(Value::as_str).and_then(|time| DateTime::parse_from_rfc3339(time).ok());
    time.is_some_and(|time| now - time.to_utc() > TimeDelta::minutes(STALE_MINUTES))
}

fn hint(event: &Value) -> Option<(DatasetId, Lot)> {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
    let (name, version) = (text("/detail/dataset/name")?.to_owned(), text("/detail/dataset/version")?.to_owned());
    Some((DatasetId { name, version }, text("/detail/lot")?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::aws::job_state::JobState;
    use crate::aws::{DeployedActivity, DeployedArc, StoreUris};
    use manifests::{ArcId, ArcSink, ArcState, Dataset, LotUnit, MemoryBus};

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
        let activity =
            DeployedActivity { name: "tidy".into(), job_definition: "test-p-1-activity-tidy".into(), log_group: "/arclake/p".into() };
        let (boundaries, exports, activities) = (vec![], vec![], vec![activity]);
        let deployment = Deployment { project, version, region, stores: uris, bus, boundaries, arcs: vec![arc], exports, activities };
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

    std::thread_local! {
        static COUNTED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    fn count(line: &str) {
        COUNTED.set(COUNTED.get() + usize::from(line.contains("FailedRuns")));
    }

    #[tokio::test]
    async fn a_failed_run_is_counted_when_nobody_tries_it_again() {
        let stores = Stores::memory().unwrap();
        let function = function(&stores).saying(count);
        for made in 0..4 {
            assert_eq!(COUNTED.get(), 0, "it is tried again");
            function.call(&failed(&format!("job-{made}"), made * 10), at(made * 10 + 5)).await.unwrap();
        }
        assert_eq!(COUNTED.get(), 1, "three retries have failed as well");
        function.call(&failed("job-0", 0), at(40)).await.unwrap();
        assert_eq!(COUNTED.get(), 1, "an event that comes again is no news");
        let mut lasting = failed("job-4", 50);
        lasting["detail"]["container"] = json!({"exitCode": 1});
        function.call(&lasting, at(55)).await.unwrap();
        assert_eq!(COUNTED.get(), 2);
    }

    #[tokio::test]
    async fn an_activity_that_fails_is_counted_and_told() {
        static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
        let stores = Stores::memory().unwrap();
        let function = function(&stores).saying(|line| SAID.lock().unwrap().push(line.to_owned()));
        let told = |definition: &str, status: &str| {
            let definition = format!("arn:aws:batch:us-east-1:123456789012:job-definition/{definition}:1");
            json!({"detail-type": "Batch Job State Change", "detail": {"jobName": "n", "jobId": "j", "status": status, "parameters": {},
                "jobDefinition": definition, "statusReason": "Essential container in task exited", "container": {"exitCode": 1}}})
        };
        let answer = function.call(&told("test-p-1-activity-tidy", "FAILED"), at(0)).await.unwrap();
        assert_eq!(answer["cause"], "exit code 1: Essential container in task exited");
        for (definition, status) in [("test-p-1-activity-tidy", "SUCCEEDED"), ("test-p-1-activity-other", "FAILED")] {
            assert!(function.call(&told(definition, status), at(0)).await.unwrap()["ignored"].is_string(), "{definition} {status}");
        }
        let said = std::mem::take(&mut *SAID.lock().unwrap());
        let counted: Value = serde_json::from_str(&said[0]).unwrap();
        assert_eq!(
            (said.len(), &counted["FailedRuns"], &counted["Project"], &counted["Activity"]),
            (1, &json!(1.0), &json!("p"), &json!("tidy"))
        );
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
