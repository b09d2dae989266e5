//! What a long-running process tells whoever watches it: what it did flows in; counts for Prometheus and whether it is
//! ready for its work flow out, over HTTP. Names of the project's arcs, boundaries and datasets are all that is told; never
//! a key, an error's text or a line of a log.

mod health;
mod metrics;
mod server;

use std::collections::BTreeMap;
use std::sync::Mutex;

use boundary::{BoundarySpec, Ticked};
use chrono::{DateTime, Utc};
use manifests::ArcSpec;
use project::Project;

use crate::engine::Ran;
use health::Health;
pub use health::Part;
pub use metrics::Failure;
use metrics::Metrics;
pub use server::serve;

/// What is told.
#[derive(Debug)]
pub struct Telemetry {
    metrics: Metrics,
    health: Mutex<Health>,
}

impl Telemetry {
    /// Of a project, with zeros for everything that it has.
    pub fn new(project: &Project) -> Telemetry {
        let ids = |arc: &ArcSpec| arc.sinks.iter().map(|sink| sink.dataset.id().to_string()).collect();
        let sinks = project.arcs.iter().map(|arc| (arc.id.arc.clone(), ids(arc))).collect();
        Telemetry::of(&project.boundaries, sinks)
    }

    /// Of these boundaries, and arcs with the ids of what they write.
    pub fn of(boundaries: &[BoundarySpec], sinks: BTreeMap<String, Vec<String>>) -> Telemetry {
        Telemetry { metrics: Metrics::new(boundaries, sinks), health: Mutex::default() }
    }

    /// Whether something that the work needs has answered just now.
    pub fn answered(&self, part: &Part, is_good: bool) {
        self.health().answered(part, is_good, Utc::now());
    }

    /// The process is about to end: it is not ready from now on.
    pub fn stopping(&self) {
        self.health().stop();
    }

    /// A boundary has been looked at.
    pub fn ticked(&self, spec: &BoundarySpec, ticked: &Ticked, now: DateTime<Utc>) {
        self.metrics.ticked(spec, ticked, now);
    }

    /// A queue holds about so many messages.
    pub fn depth(&self, boundary: &str, messages: u64) {
        self.metrics.depth(boundary, messages);
    }

    /// What is due has been looked for everywhere, or that failed: then nothing counts as looked at until it does not.
    pub fn looked(&self, is_good: bool) {
        self.health().is_failing = !is_good;
        self.stepped();
    }

    /// The work goes on: a boundary or an arc has been looked at, or a lot was published.
    pub fn stepped(&self) {
        let now = Utc::now();
        let mut health = self.health();
        health.stepped(now);
        if !health.is_failing {
            self.metrics.looked(now);
        }
    }

    /// A run has ended, or was given up.
    pub fn ran(&self, ran: &Ran, now: DateTime<Utc>) {
        self.metrics.ran(ran, now);
    }

    /// So many runs are at work and wait.
    pub fn at_work(&self, running: usize, waiting: usize) {
        self.metrics.at_work(running, waiting);
    }

    /// Something failed.
    pub fn failed(&self, what: Failure) {
        self.metrics.failed(what);
    }

    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
