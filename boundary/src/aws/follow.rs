//! What becomes of jobs: what Batch says of them flows in, by events or because a sweep asked; arc state, commits of users'
//! images, and notices of failures flow out. Jobs of activities have no state: of them only failures are told.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use manifests::{ArcId, ArcSpec, ArcState, Attempt, Lot, paths};
use serde_json::{Value, json};

use super::batch::BatchJobs;
use super::dispatch_function::{LEASE_SECONDS, owner};
use super::job_state::{FailedJob, JobEnd, JobState};
use super::notice::{Failed, Notice};
use super::{DeployedArc, DispatchFunction, FAILED_RUNS, Metrics};
use crate::dispatch::Dispatcher;
use crate::error::BoundaryError;
use crate::foreign::{Adopted, ForeignRun, plan_read};

/// Minutes after which a job that Batch does not know counts as gone; right after its submission it may not know it yet.
const UNKNOWN_MINUTES: i64 = 15;

/// An arc of the deployment, as it is deployed and as the protocol sees it.
#[derive(Clone, Copy)]
struct Of<'a> {
    arc: &'a DeployedArc,
    spec: &'a ArcSpec,
}

impl DispatchFunction {
    /// Brings what an event says of a job into the arc's state.
    pub(super) async fn follow_job(&self, event: &Value, now: DateTime<Utc>) -> Result<Value, BoundaryError> {
        let Some(state) = JobState::read(event) else { return self.follow_activity(event, now).await };
        let Some(of) = self.arcs().find(|of| of.arc.name == state.arc) else {
            return Ok(json!({"ignored": "a job of an arc that is not deployed"}));
        };
        self.follow(of, &state, now).await
    }

    async fn follow_activity(&self, event: &Value, now: DateTime<Utc>) -> Result<Value, BoundaryError> {
        let Some(job) = FailedJob::read(event) else { return Ok(json!({"ignored": "a job without a lot that has not failed"})) };
        let Some(activity) = self.deployment.activities.iter().find(|activity| activity.job_definition == job.definition) else {
            return Ok(json!({"ignored": "a job of somebody else"}));
        };
        let what = Failed::Activity { name: &activity.name, job: &job };
        self.tell(what, &job.cause, (&activity.log_group, job.log_stream.as_deref())).await?;
        self.count(what, now);
        Ok(json!({"activity": activity.name, "state": "failed", "cause": job.cause}))
    }

    /// Asks after the jobs of users' images: their events may be lost. Gives the number of those that are over.
    pub(super) async fn follow_attempts(&self, now: DateTime<Utc>) -> Result<usize, BoundaryError> {
        let Some(jobs) = &self.jobs else { return Ok(0) };
        let mut over = 0;
        for of in self.arcs().filter(|of| of.arc.is_foreign) {
            let running = self.running(&of.spec.id).await?;
            let ids: Vec<String> = running.keys().cloned().collect();
            let mut states: BTreeMap<String, JobState> =
                jobs.describe(&ids).await?.into_iter().map(|state| (state.job.clone(), state)).collect();
            for (job, (lot, attempt)) in running {
                match states.remove(&job).or_else(|| gone(of.arc, &job, lot, &attempt, now)) {
                    Some(state) if state.end.is_some() => {
                        self.follow(of, &state, now).await?;
                        over += 1;
                    }
                    Some(state) => self.run_of(of, &state, &attempt.record.owner).prolong(&self.stores, attempt.record.until, now).await?,
                    None => {}
                }
            }
        }
        Ok(over)
    }

    fn arcs(&self) -> impl Iterator<Item = Of<'_>> {
        self.deployment.arcs.iter().zip(&self.specs).map(|(arc, spec)| Of { arc, spec })
    }

    /// The attempts of an arc that are not over, by their jobs.
    async fn running(&self, arc: &ArcId) -> Result<BTreeMap<String, (Lot, Attempt)>, BoundaryError> {
        let mut running = BTreeMap::new();
        for (lot, (_, state)) in self.stores.attempts(arc).await? {
            if state != ArcState::Running {
                continue;
            }
            let last = self.stores.last_attempt(arc, lot).await?.filter(|last| last.state == ArcState::Running);
            let job = last.and_then(|last| Some((last.record.owner.strip_prefix(&owner(""))?.to_owned(), last)));
            running.extend(job.map(|(job, last)| (job, (lot, last))));
        }
        Ok(running)
    }

    fn run_of<'a>(&self, of: Of<'a>, state: &JobState, owner: &'a str) -> ForeignRun<'a> {
        ForeignRun { arc: of.spec, lot: state.lot, owner, submitted: state.created }
    }

    async fn follow(&self, of: Of<'_>, state: &JobState, now: DateTime<Utc>) -> Result<Value, BoundaryError> {
        if let (Some(jobs), Some(_)) = (&self.jobs, &state.end) {
            jobs.forget(&state.name);
        }
        match &state.end {
            None if of.arc.is_foreign => self.run_of(of, state, &owner(&state.job)).begin(&self.stores, now).await?,
            Some(JobEnd::Succeeded) if of.arc.is_foreign => return self.end_foreign(of, state, now).await,
            Some(JobEnd::Failed { cause, is_transient }) => return self.fail(of, state, cause, *is_transient, now).await,
            None | Some(JobEnd::Succeeded) => {}
        }
        Ok(json!({"arc": of.arc.name, "lot": state.lot.to_string()}))
    }

    /// Ends the run of a user's image that succeeded: what its manifests say is committed.
    async fn end_foreign(&self, of: Of<'_>, state: &JobState, now: DateTime<Utc>) -> Result<Value, BoundaryError> {
        let owner = owner(&state.job);
        let run = self.run_of(of, state, &owner);
        run.begin(&self.stores, now).await?;
        let mut dispatcher = Dispatcher::new(self.stores.clone(), self.bus.clone()).await?;
        let plan =
            dispatcher.plan(of.spec, state.lot).await?.unwrap_or(manifests::RunPlan { lot: state.lot, sources: Vec::new(), replay: false });
        // Its name says for which source commits it was started.
        let is_still = BatchJobs::name(&of.arc.name, &plan) == state.name;
        let plan = plan_read(plan, is_still);
        let end = match run.adopt(&self.stores, self.bus.as_ref(), &plan, state.seconds, now).await? {
            Adopted::Committed(end) => {
                self.say_committed(of.spec, 1, now);
                end.as_str()
            }
            Adopted::Over => "over",
            Adopted::Useless(cause) => return self.fail(of, state, &cause, false, now).await,
        };
        Ok(json!({"arc": of.arc.name, "lot": state.lot.to_string(), "state": end}))
    }

    /// Takes an attempt for a job that never came to one.
    pub(super) async fn begin(&self, id: &ArcId, state: &JobState, lease_seconds: i64, now: DateTime<Utc>) -> Result<(), BoundaryError> {
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

    /// Ends the attempt of a job that failed, and tells a person.
    async fn fail(
        &self,
        of: Of<'_>,
        state: &JobState,
        cause: &str,
        is_transient: bool,
        now: DateTime<Utc>,
    ) -> Result<Value, BoundaryError> {
        // What the worker itself wrote down says more than Batch knows.
        let (id, owner) = (&of.spec.id, owner(&state.job));
        let last = self.stores.last_attempt(id, state.lot).await?;
        let (mut cause, mut is_transient, mut is_news) = (cause.to_owned(), is_transient, true);
        let is_own = |last: &Attempt| last.record.owner.starts_with(&owner);
        // Others have ended an attempt since the job was made: what Batch says comes late, or again.
        let is_late = |last: &Attempt| last.state != ArcState::Running && state.created.is_some_and(|made| last.record.until >= made);
        match last {
            // It is committed: the exit code says that something was rejected past its limit, or is partial.
            Some(last) if matches!(last.state, ArcState::Complete | ArcState::Partial) && (is_own(&last) || is_late(&last)) => {
                return Ok(json!({"arc": of.arc.name, "lot": state.lot.to_string(), "state": last.state.as_str()}));
            }
            Some(last) if last.state == ArcState::Missing && is_own(&last) => {
                (cause, is_transient) = (last.record.cause.unwrap_or(cause), last.record.transient);
            }
            Some(last) if last.state == ArcState::Running && is_own(&last) => {
                let owner = &last.record.owner;
                self.stores.end_attempt(id, state.lot, owner, ArcState::Missing, Some(cause.clone()), is_transient, now).await?;
            }
            // Whoever came after it says how the lot ends.
            Some(last) if last.is_leased(now) || is_late(&last) => is_news = false,
            // It never came to an attempt: one is made, so that listings show the failure and retries are counted.
            _ => {
                self.begin(id, state, LEASE_SECONDS, now).await?;
                self.stores.end_attempt(id, state.lot, &owner, ArcState::Missing, Some(cause.clone()), is_transient, now).await?;
            }
        }
        let is_final = !is_transient || self.failures(id, state.lot).await? > of.spec.retries;
        let what = Failed::Run { arc: &of.arc.name, lot: state.lot, is_transient: !is_final };
        self.tell(what, &cause, (&of.arc.log_group, state.log_stream.as_deref())).await?;
        // Told first: where that fails the function is called again, and would count the run again.
        if is_news && is_final {
            self.count(what, now);
        }
        Ok(json!({"arc": of.arc.name, "lot": state.lot.to_string(), "state": "missing", "cause": cause}))
    }

    /// Attempts of a lot since the last one that ended well: what dispatch holds against the arc's retries.
    async fn failures(&self, arc: &ArcId, lot: Lot) -> Result<u32, BoundaryError> {
        let mut attempts: BTreeMap<u32, bool> = BTreeMap::new();
        for path in self.stores.arc_state.list(&paths::arc_lot_dir(arc, lot)).await? {
            let Some((.., number, state)) = paths::parse_attempt_path(&path) else { continue };
            *attempts.entry(number).or_default() |= matches!(state, ArcState::Complete | ArcState::Partial);
        }
        Ok(u32::try_from(attempts.values().rev().take_while(|is_good| !**is_good).count()).unwrap_or(u32::MAX))
    }

    /// Counts a failure.
    fn count(&self, what: Failed<'_>, now: DateTime<Utc>) {
        let line = Metrics::new(now, vec![("Project", self.deployment.project.clone())]).with(FAILED_RUNS, "Count", 1.0);
        let line = match what {
            Failed::Run { arc, lot, .. } => line.property("Arc", arc).property("Lot", lot.to_string()),
            Failed::Activity { name, .. } => line.property("Activity", name),
        };
        (self.say)(&line.line());
    }

    /// Tells a person; `log` is its group and stream.
    async fn tell(&self, what: Failed<'_>, cause: &str, log: (&str, Option<&str>)) -> Result<(), BoundaryError> {
        let (Some(aws), Some(topic)) = (&self.aws, &self.topic) else { return Ok(()) };
        let notice = Notice {
            project: &self.deployment.project,
            version: &self.deployment.version,
            region: &self.deployment.region,
            what,
            cause,
            log_group: log.0,
            log_stream: log.1,
        };
        notice.publish(aws, topic).await
    }
}

/// The end of a job that Batch does not know any more; `None` where it may not know it yet.
fn gone(arc: &DeployedArc, job: &str, lot: Lot, attempt: &Attempt, now: DateTime<Utc>) -> Option<JobState> {
    let is_old = now - attempt.record.started > TimeDelta::minutes(UNKNOWN_MINUTES);
    is_old.then(|| JobState {
        arc: arc.name.clone(),
        lot,
        job: job.to_owned(),
        name: String::new(),
        end: Some(JobEnd::Failed { cause: "Batch does not know its job any more".to_owned(), is_transient: true }),
        log_stream: None,
        created: None,
        seconds: 0.0,
    })
}
