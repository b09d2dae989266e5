//! Counts of what a process did, as Prometheus reads them. What happened flows in; text in the OpenMetrics format flows
//! out. Labels are names of the project's arcs, boundaries and datasets, and words of this file: their number is bounded.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use boundary::{BoundarySpec, Ticked};
use chrono::{DateTime, Utc};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::engine::{Outcome, Ran};

/// What every name begins with.
const PREFIX: &str = "arclake";
/// Upper ends of the histogram of run times, in seconds.
const RUN_SECONDS: [f64; 12] = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0];

type Seconds = Gauge<f64, AtomicU64>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfBoundary {
    boundary: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfDataset {
    dataset: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfArc {
    arc: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRun {
    arc: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfFailure {
    what: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

/// How runs end.
const OUTCOMES: [&str; 7] = ["complete", "partial", "empty", "removed", "failed", "elsewhere", "done_before"];

/// What can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A look at a boundary.
    Tick,
    /// Listening to a queue.
    Queue,
    /// Looking for what is due.
    Look,
    /// A run.
    Run,
}

impl Failure {
    const ALL: [Failure; 4] = [Failure::Tick, Failure::Queue, Failure::Look, Failure::Run];

    fn label(self) -> OfFailure {
        let what = match self {
            Failure::Tick => "tick",
            Failure::Queue => "queue",
            Failure::Look => "look",
            Failure::Run => "run",
        };
        OfFailure { what }
    }
}

/// The counts.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    /// The datasets that each arc writes, by their ids.
    sinks: BTreeMap<String, Vec<String>>,
    lots: Family<OfBoundary, Counter>,
    objects: Family<OfBoundary, Counter>,
    waiting: Family<OfBoundary, Gauge>,
    messages: Family<OfBoundary, Gauge>,
    lateness: Family<OfDataset, Seconds>,
    runs: Family<OfRun, Counter>,
    rows: Family<OfArc, Counter>,
    rejects: Family<OfArc, Counter>,
    bytes_in: Family<OfArc, Counter>,
    bytes_out: Family<OfArc, Counter>,
    leases_lost: Family<OfArc, Counter>,
    seconds: Family<OfArc, Histogram>,
    running: Gauge,
    queued: Gauge,
    failures: Family<OfFailure, Counter>,
    last_look: Seconds,
}

impl Metrics {
    /// Zeros for these boundaries and arcs, and for what arcs write; so that a rate is known from the first count on.
    pub(super) fn new(boundaries: &[BoundarySpec], sinks: BTreeMap<String, Vec<String>>) -> Metrics {
        let metrics = Metrics::registered(sinks);
        boundaries.iter().for_each(|boundary| metrics.begin_boundary(boundary));
        metrics.sinks.iter().for_each(|(arc, datasets)| metrics.begin_arc(arc, datasets));
        for what in Failure::ALL {
            metrics.failures.get_or_create_owned(&what.label());
        }
        metrics
    }

    fn begin_boundary(&self, boundary: &BoundarySpec) {
        let of = OfBoundary { boundary: boundary.name.clone() };
        self.lots.get_or_create_owned(&of);
        self.objects.get_or_create_owned(&of);
        self.waiting.get_or_create_owned(&of);
        self.lateness.get_or_create_owned(&OfDataset { dataset: boundary.dataset.id().to_string() });
    }

    fn begin_arc(&self, arc: &str, datasets: &[String]) {
        let of = OfArc { arc: arc.to_owned() };
        for counter in [&self.rows, &self.rejects, &self.bytes_in, &self.bytes_out, &self.leases_lost] {
            counter.get_or_create_owned(&of);
        }
        self.seconds.get_or_create_owned(&of);
        for outcome in OUTCOMES {
            self.runs.get_or_create_owned(&OfRun { arc: arc.to_owned(), outcome });
        }
        for dataset in datasets {
            self.lateness.get_or_create_owned(&OfDataset { dataset: dataset.clone() });
        }
    }

    fn registered(sinks: BTreeMap<String, Vec<String>>) -> Metrics {
        let seconds: Family<OfArc, Histogram> = Family::new_with_constructor(|| Histogram::new(RUN_SECONDS));
        let mut metrics = Metrics {
            registry: Registry::with_prefix(PREFIX),
            sinks,
            lots: Family::default(),
            objects: Family::default(),
            waiting: Family::default(),
            messages: Family::default(),
            lateness: Family::default(),
            runs: Family::default(),
            rows: Family::default(),
            rejects: Family::default(),
            bytes_in: Family::default(),
            bytes_out: Family::default(),
            leases_lost: Family::default(),
            seconds,
            running: Gauge::default(),
            queued: Gauge::default(),
            failures: Family::default(),
            last_look: Seconds::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let all = &mut self.registry;
        all.register("build", "The program", Info::new(Build { version: env!("CARGO_PKG_VERSION") }));
        all.register("lots_committed", "Lots that boundaries committed, empty ones included", self.lots.clone());
        all.register("objects", "Objects in committed lots", self.objects.clone());
        all.register("objects_waiting", "Objects that waited for a lot at the last look", self.waiting.clone());
        all.register("queue_messages", "Messages in the queue of a boundary, about", self.messages.clone());
        all.register("lateness_seconds", "Seconds from the end of a lot to its commit, of the last one", self.lateness.clone());
        all.register(
            "runs",
            "Runs that ended, by outcome; elsewhere: another worker had the lease; done_before: nothing was left to do",
            self.runs.clone(),
        );
        all.register("rows", "Rows written", self.rows.clone());
        all.register("rejects", "Lines that a format could not read", self.rejects.clone());
        all.register("bytes_in", "Bytes read, as they were stored", self.bytes_in.clone());
        all.register("bytes_out", "Bytes written", self.bytes_out.clone());
        all.register("leases_lost", "Runs given up because another worker had or took their lease", self.leases_lost.clone());
        all.register("run_seconds", "Seconds from the first read of a run to the last byte written", self.seconds.clone());
        all.register("runs_at_work", "Runs at work", self.running.clone());
        all.register("runs_waiting", "Runs that are due and wait for a place", self.queued.clone());
        all.register("failures", "Looks, receipts and runs that failed", self.failures.clone());
        all.register(
            "last_look_timestamp_seconds",
            "When a boundary or an arc was last looked at; stands still while looking fails",
            self.last_look.clone(),
        );
    }

    pub(super) fn ticked(&self, spec: &BoundarySpec, ticked: &Ticked, now: DateTime<Utc>) {
        let of = OfBoundary { boundary: spec.name.clone() };
        let objects: usize = ticked.committed.iter().map(|lot| lot.objects).sum();
        self.lots.get_or_create(&of).inc_by(ticked.committed.len() as u64);
        self.objects.get_or_create(&of).inc_by(objects as u64);
        self.waiting.get_or_create(&of).set(i64::try_from(ticked.waiting).unwrap_or(i64::MAX));
        if let Some(last) = ticked.committed.last() {
            self.late(&spec.dataset.id().to_string(), last.lot.end(), now);
        }
    }

    fn late(&self, dataset: &str, end: DateTime<Utc>, now: DateTime<Utc>) {
        let of = OfDataset { dataset: dataset.to_owned() };
        self.lateness.get_or_create(&of).set((now - end).as_seconds_f64().max(0.0));
    }

    pub(super) fn depth(&self, boundary: &str, messages: u64) {
        let of = OfBoundary { boundary: boundary.to_owned() };
        self.messages.get_or_create(&of).set(i64::try_from(messages).unwrap_or(i64::MAX));
    }

    pub(super) fn looked(&self, now: DateTime<Utc>) {
        self.last_look.set(now.timestamp_millis() as f64 / 1_000.0);
    }

    pub(super) fn ran(&self, ran: &Ran, now: DateTime<Utc>) {
        let of = OfArc { arc: ran.arc.clone() };
        let outcome = match &ran.outcome {
            Outcome::Failed { .. } => "failed",
            Outcome::Elsewhere => "elsewhere",
            // Counted by whoever did it.
            Outcome::Done(report) if report.was_done => "done_before",
            Outcome::Done(report) => {
                let counts = &report.counts;
                self.rows.get_or_create(&of).inc_by(counts.rows);
                self.rejects.get_or_create(&of).inc_by(counts.rejected);
                self.bytes_in.get_or_create(&of).inc_by(counts.bytes_in);
                self.bytes_out.get_or_create(&of).inc_by(counts.bytes_out);
                self.seconds.get_or_create(&of).observe(report.seconds);
                for dataset in self.sinks.get(&ran.arc).into_iter().flatten() {
                    self.late(dataset, ran.lot.end(), now);
                }
                report.state.as_str()
            }
        };
        if outcome == "elsewhere" {
            self.leases_lost.get_or_create(&of).inc();
        }
        self.runs.get_or_create(&OfRun { arc: ran.arc.clone(), outcome }).inc();
    }

    pub(super) fn at_work(&self, running: usize, waiting: usize) {
        self.running.set(i64::try_from(running).unwrap_or(i64::MAX));
        self.queued.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    pub(super) fn failed(&self, what: Failure) {
        self.failures.get_or_create(&what.label()).inc();
    }

    /// All of it as text.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
