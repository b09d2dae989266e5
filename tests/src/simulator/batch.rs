//! Workers as AWS Batch starts them: jobs flow in from the dispatch function, runs and events about them flow out. Jobs
//! start late, or twice for one call; their containers are killed, told to stop, and tried again as the job definition says;
//! what Batch tells of them is lost, late or said twice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arcs::ArcsError;
use arcs::runner;
use async_trait::async_trait;
use boundary::BoundaryError;
use boundary::aws::{DeployedArc, Deployment, DispatchFunction, EXIT_TRANSIENT, Job, JobQueue, StoreUris};
use chrono::{DateTime, TimeDelta, Utc};
use futures::future::{Either, select};
use manifests::{ArcSpec, ArcState, Fate, Faults, Lot, ManifestsError};
use serde_json::{Value, json};

use super::processes::{context, open_dispatcher};
use super::time::VirtualTime;
use super::world::{Dice, ROOT, World};

/// Attempts at a job, as its definition says.
const ATTEMPTS: u32 = 3;
/// What a container that was killed exits with.
const EXIT_KILLED: i64 = 137;
/// What `arc` exits with when a run was done and something is partial.
const EXIT_PARTIAL: i64 = 3;

/// A queue of jobs in memory.
pub(crate) struct SimBatch {
    time: VirtualTime,
    dice: Arc<Dice>,
    jobs: Mutex<BTreeMap<u64, Submitted>>,
    events: Mutex<Vec<(DateTime<Utc>, Value)>>,
}

struct Submitted {
    job: Job,
    stage: Stage,
    at: DateTime<Utc>,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Waits(DateTime<Utc>),
    Runs,
    Over,
}

impl SimBatch {
    pub(crate) fn new(time: VirtualTime, dice: Arc<Dice>) -> SimBatch {
        SimBatch { time, dice, jobs: Mutex::default(), events: Mutex::default() }
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<u64, Submitted>) -> T) -> T {
        work(&mut self.jobs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Jobs so far.
    pub(crate) fn submitted(&self) -> u64 {
        self.with(|jobs| jobs.len() as u64)
    }

    fn add(&self, job: &Job) -> String {
        let at = self.time.now();
        let is_slow = self.dice.is_stormy() && self.dice.roll(6) == 0;
        let starts = at + TimeDelta::seconds(self.dice.below(if is_slow { 900 } else { 40 }));
        self.with(|jobs| {
            let number = jobs.len() as u64 + 1;
            jobs.insert(number, Submitted { job: job.clone(), stage: Stage::Waits(starts), at });
            id(number)
        })
    }

    /// A job whose time has come, which then runs.
    fn start(&self) -> Option<(u64, Job)> {
        let now = self.time.now();
        self.with(|jobs| {
            let is_due = |submitted: &Submitted| matches!(submitted.stage, Stage::Waits(starts) if starts <= now);
            let due: Vec<u64> = jobs.iter().filter(|(_, submitted)| is_due(submitted)).map(|(number, _)| *number).collect();
            let number = *due.get(self.dice.place(due.len()))?;
            let submitted = jobs.get_mut(&number)?;
            submitted.stage = Stage::Runs;
            Some((number, submitted.job.clone()))
        })
    }

    /// Whether a job waits or runs.
    fn is_busy(&self) -> bool {
        self.with(|jobs| jobs.values().any(|submitted| submitted.stage != Stage::Over))
    }

    /// The end of all that ran when the storm ended, of which Batch says nothing more.
    pub(crate) fn lose_running(&self) {
        self.with(|jobs| jobs.values_mut().filter(|job| job.stage == Stage::Runs).for_each(|job| job.stage = Stage::Over));
    }

    /// Says how a job stands: once, or never, or twice, now or later.
    fn say(&self, number: u64, job: &Job, status: &str, exit: Option<i64>, reason: &str) {
        let made = self.with(|jobs| jobs.get(&number).map(|submitted| submitted.at.timestamp_millis()));
        let event = json!({"source": "aws.batch", "detail-type": "Batch Job State Change", "detail": {
            "jobName": job.name, "jobId": id(number), "status": status, "statusReason": reason, "createdAt": made,
            "parameters": job.parameters, "container": {"exitCode": exit}}});
        let copies = if self.dice.is_stormy() { self.dice.roll(3) } else { 1 };
        for _ in 0..copies {
            let late = if self.dice.roll(5) == 0 { self.dice.below(600) } else { self.dice.below(4) };
            let at = self.time.now() + TimeDelta::seconds(late);
            self.events.lock().unwrap_or_else(PoisonError::into_inner).push((at, event.clone()));
        }
    }

    /// Events whose time has come, in any order.
    pub(crate) fn events(&self) -> Vec<Value> {
        let now = self.time.now();
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let (due, rest) = events.drain(..).partition(|(at, _)| *at <= now);
        *events = rest;
        let due: Vec<(DateTime<Utc>, Value)> = due;
        due.into_iter().map(|(_, event)| event).collect()
    }
}

fn id(number: u64) -> String {
    format!("job-{number:06}")
}

fn refusal(action: &'static str) -> BoundaryError {
    BoundaryError::Service { action, name: "jobs".into(), reason: "injected fault".into(), transient: true }
}

#[async_trait]
impl JobQueue for SimBatch {
    async fn is_active(&self, name: &str) -> Result<bool, BoundaryError> {
        if matches!(self.dice.fate("list jobs of", false, name).await, Fate::Refuse | Fate::RefuseAfter) {
            return Err(refusal("list jobs of"));
        }
        // Listings come to know a job after a while.
        let known = self.time.now() - TimeDelta::seconds(if self.dice.is_stormy() { self.dice.below(20) } else { 0 });
        let is_active = |submitted: &Submitted| submitted.job.name == name && submitted.stage != Stage::Over && submitted.at <= known;
        Ok(self.with(|jobs| jobs.values().any(is_active)))
    }

    async fn submit(&self, job: &Job) -> Result<String, BoundaryError> {
        match self.dice.fate("submit job", true, &job.name).await {
            // Nothing of this is a document that is to be created.
            Fate::Pass | Fate::Conflict | Fate::ConflictAfter | Fate::ConflictBefore => Ok(self.add(job)),
            Fate::Refuse => Err(refusal("submit job")),
            Fate::RefuseAfter => {
                self.add(job);
                Err(refusal("submit job"))
            }
            Fate::Twice => {
                self.add(job);
                Ok(self.add(job))
            }
        }
    }

    /// Nobody asks: no arc here runs a user's image.
    async fn describe(&self, _ids: &[String]) -> Result<Vec<Value>, BoundaryError> {
        Err(refusal("describe jobs of"))
    }
}

/// The dispatch function over a schedule's stores.
pub(crate) fn dispatch_function(world: &World, batch: &Arc<SimBatch>) -> DispatchFunction {
    let uri = |store: &str| format!("{ROOT}/lake/{store}");
    let stores = StoreUris { manifest: uri("manifest"), arc_state: uri("arc-state"), metadata: uri("metadata"), artifact: uri("artifact") };
    let deployment = Deployment {
        project: "sim".into(),
        version: "1".into(),
        region: "us-east-1".into(),
        stores,
        bus: "sim".into(),
        boundaries: world.edges.iter().map(|edge| edge.spec.clone()).collect(),
        arcs: world.arcs.iter().map(deployed).collect(),
        exports: Vec::new(),
        activities: Vec::new(),
    };
    DispatchFunction::over(deployment, world.stores.clone(), world.bus.clone(), Some(batch.clone())).saying(|_| ())
}

fn deployed(arc: &ArcSpec) -> DeployedArc {
    DeployedArc {
        name: arc.id.arc.clone(),
        unit: arc.unit,
        sources: arc.sources.clone(),
        sinks: arc.sinks.clone(),
        deadline_seconds: arc.deadline.map(|deadline| deadline.num_seconds()),
        retries: arc.retries,
        kind: arc.kind.clone(),
        job_definition: arc.id.arc.clone(),
        log_group: String::new(),
        size: None,
        is_foreign: false,
    }
}

/// Starts one job after the other, for ever.
pub(crate) async fn compute_for_ever(world: &World, batch: &SimBatch) {
    loop {
        match batch.start() {
            Some((number, job)) => run_job(world, batch, number, &job).await,
            None => world.time.sleep(TimeDelta::seconds(3)).await,
        }
    }
}

/// Runs jobs until none is left.
pub(crate) async fn compute_all(world: &World, batch: &SimBatch) {
    while batch.is_busy() {
        match batch.start() {
            Some((number, job)) => run_job(world, batch, number, &job).await,
            None => world.time.sleep(TimeDelta::seconds(10)).await,
        }
    }
}

/// How one attempt ended: its exit code, where it has one, and what Batch says of it.
struct Ended {
    exit: Option<i64>,
    reason: &'static str,
}

impl Ended {
    /// Whether the job's definition tries again.
    fn is_tried_again(&self) -> bool {
        self.exit == Some(i64::from(EXIT_TRANSIENT)) || self.reason.starts_with("Your Spot Task was interrupted")
    }
}

async fn run_job(world: &World, batch: &SimBatch, number: u64, job: &Job) {
    let mut ended = Ended { exit: None, reason: "" };
    for attempt in 1..=ATTEMPTS {
        batch.say(number, job, "RUNNING", None, "");
        ended = run_attempt(world, &format!("batch/{}/{attempt}", id(number)), job).await;
        if !ended.is_tried_again() {
            break;
        }
        world.time.sleep(TimeDelta::seconds(1 + world.dice.below(60))).await;
    }
    batch.with(|jobs| _ = jobs.entry(number).and_modify(|submitted| submitted.stage = Stage::Over));
    let status = if ended.exit == Some(0) { "SUCCEEDED" } else { "FAILED" };
    batch.say(number, job, status, ended.exit, ended.reason);
}

/// A container, until it ends by itself, is killed, is told to stop or goes with its host.
async fn run_attempt(world: &World, owner: &str, job: &Job) -> Ended {
    let (Some(arc), Some(lot)) = (arc_of(world, job), job.parameters.get("lot").and_then(|lot| lot.parse().ok())) else {
        return Ended { exit: Some(2), reason: "Essential container in task exited" };
    };
    if !world.dice.is_stormy() || world.dice.roll(3) != 0 {
        return Ended { exit: Some(work(world, owner, arc, lot).await), reason: "Essential container in task exited" };
    }
    let death = Box::pin(world.time.sleep(TimeDelta::milliseconds(world.dice.below(4_000))));
    if let Either::Left((exit, _)) = select(Box::pin(work(world, owner, arc, lot)), death).await {
        return Ended { exit: Some(exit), reason: "Essential container in task exited" };
    }
    match world.dice.roll(3) {
        0 => Ended { exit: Some(EXIT_KILLED), reason: "Essential container in task exited" },
        1 => Ended { exit: None, reason: "Your Spot Task was interrupted." },
        _ => {
            // It was told to stop, and says so while it may.
            let (cause, now) = (Some("the worker was told to stop".to_owned()), world.time.now());
            let _ = world.stores.end_attempt(&arc.id, lot, owner, ArcState::Missing, cause, true, now).await;
            Ended { exit: Some(i64::from(EXIT_TRANSIENT)), reason: "Essential container in task exited" }
        }
    }
}

fn arc_of<'a>(world: &'a World, job: &Job) -> Option<&'a ArcSpec> {
    world.arcs.iter().find(|arc| Some(&arc.id.arc) == job.parameters.get("arc"))
}

/// What `arc run` does as a job; its exit code.
async fn work(world: &World, owner: &str, arc: &ArcSpec, lot: Lot) -> i64 {
    let plan = match open_dispatcher(world).await.plan(arc, lot).await {
        Ok(Some(plan)) => plan,
        Ok(None) => return 4,
        Err(error) if error.is_transient() => return i64::from(EXIT_TRANSIENT),
        Err(_) => return 1,
    };
    let job = owner.rsplit_once('/').map_or(owner, |split| split.0).to_owned();
    let mine = owner.to_owned();
    let is_dead = move |other: &str| other != mine && other.starts_with(&format!("{job}/"));
    let context = runner::RunContext { is_dead: Arc::new(is_dead), ..context(world, owner) };
    match runner::run(&context, arc, &plan).await {
        Ok(report) if report.is_clean() => 0,
        Ok(_) => EXIT_PARTIAL,
        Err(ArcsError::Manifests(ManifestsError::Leased { .. })) => i64::from(EXIT_TRANSIENT),
        Err(error) if error.is_transient() => i64::from(EXIT_TRANSIENT),
        Err(_) => 1,
    }
}
