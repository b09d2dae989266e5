//! Arcs as the protocol sees them: who reads what, who writes what, in which unit. The workload is opaque here.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::dataset::Dataset;
use crate::lot::{Lot, LotUnit};
use crate::manifest::SourceCommit;
use crate::paths::ArcId;

/// The sink that a run commits last, and whose commit makes the run true.
pub const MAIN_ROLE: &str = "main";

/// The sink of what a format could not read. Its commit follows from that of [`MAIN_ROLE`].
pub const REJECTS_ROLE: &str = "rejects";

/// A dataset that an arc reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArcSource {
    /// The name the workload knows it by.
    pub role: String,
    /// The dataset.
    pub dataset: Dataset,
    /// The unit of its lots; the arc's unit is the same or covers it.
    pub unit: LotUnit,
    /// Whether the arc waits for its lots; a source that is not subscribed is read as it is when the arc runs.
    pub subscribe: bool,
}

/// A dataset that an arc writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArcSink {
    /// The name the workload knows it by; [`MAIN_ROLE`] is committed last.
    pub role: String,
    /// The dataset.
    pub dataset: Dataset,
}

/// An arc of a project.
///
/// Invariants: `unit` covers every source's unit; at least one source is subscribed; sinks are sorted with
/// [`MAIN_ROLE`] last; every dataset has one owner.
#[derive(Clone, Debug, PartialEq)]
pub struct ArcSpec {
    /// Project, version and name.
    pub id: ArcId,
    /// One run is one lot of this unit.
    pub unit: LotUnit,
    /// What it reads.
    pub sources: Vec<ArcSource>,
    /// What it writes.
    pub sinks: Vec<ArcSink>,
    /// How long after a lot's end the arc waits for source lots; then it runs with what is there. `None` waits for ever.
    pub deadline: Option<TimeDelta>,
    /// How many more attempts a run that failed transiently gets by itself.
    pub retries: u32,
    /// The kind of work, `convert`.
    pub kind: String,
    /// The workload's parameters, as the project file has them.
    pub workload: serde_json::Value,
}

/// One arc on one lot, with the commits it is to read.
#[derive(Clone, Debug, PartialEq)]
pub struct RunPlan {
    /// The lot, of the arc's unit.
    pub lot: Lot,
    /// The commits to read, sorted; generation 0 stands for a source lot that is not there (past the deadline), or that
    /// has a state copy alone.
    pub sources: Vec<SourceCommit>,
    /// Whether to write the next generation even where the last one says the same.
    pub replay: bool,
}
