//! The project as the rest of the program sees it: checked values. Nothing here reads a file.
//!
//! Invariants of a [`Project`]: names can stand in paths; every dataset that an arc reads or a boundary or arc writes
//! has exactly one owner; the arcs have no cycle and stand in the order in which data flows; URIs on a local placement
//! are absolute and raw (`file:///…/`).

use boundary::BoundarySpec;
use manifests::{ArcSpec, Dataset, LotUnit};
use serde_json::Value;

/// Where a project lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// One machine.
    Local {
        /// Folder of all stores, a raw URI without a trailing slash: `file:///srv/lake`.
        root_uri: String,
    },
    /// An account of Amazon Web Services.
    Aws {
        /// The stage, `test`; empty where there is none.
        stage: String,
        /// The account's twelve digits.
        account: String,
        /// The region, `us-east-2`.
        region: String,
    },
}

/// Something in a project file that is not as it must be, or (as a note) that is kept without being run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, as in `arcs[1].sources.main.name`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// The likely correction.
    pub fix: Option<String>,
}

/// Who writes a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The boundary of this name.
    Boundary(String),
    /// The arc of this name, as the sink of this role.
    Arc {
        /// The arc's name.
        name: String,
        /// The sink's role.
        role: String,
    },
}

/// A dataset that this project produces.
#[derive(Clone, Debug, PartialEq)]
pub struct Produced {
    /// The dataset.
    pub dataset: Dataset,
    /// The unit of its lots.
    pub unit: LotUnit,
    /// Who writes it.
    pub owner: Owner,
}

/// A checked project.
#[derive(Clone, Debug, PartialEq)]
pub struct Project {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it lives.
    pub placement: Placement,
    /// Where outside objects enter.
    pub boundaries: Vec<BoundarySpec>,
    /// The steps, in the order in which data flows.
    pub arcs: Vec<ArcSpec>,
    /// Buckets, tables and the like, as the file has them.
    pub resources: Vec<Value>,
    /// Scheduled activities, as the file has them.
    pub activities: Vec<Value>,
    /// What was accepted but is not run on this placement.
    pub notes: Vec<Problem>,
    /// The whole file as it was evaluated.
    pub document: Value,
}

/// The same of a project file.
pub(crate) fn is_served_by_up(document: &Value) -> bool {
    document["placement"]["workers"].as_str().is_some_and(|word| word.eq_ignore_ascii_case("up"))
}

impl Project {
    /// Every dataset the project produces: those of boundaries, then those of arcs in the order of the arcs, main first.
    pub fn produced(&self) -> Vec<Produced> {
        let boundaries = self.boundaries.iter().map(|boundary| Produced {
            dataset: boundary.dataset.clone(),
            unit: boundary.unit,
            owner: Owner::Boundary(boundary.name.clone()),
        });
        let arcs = self.arcs.iter().flat_map(|arc| {
            arc.sinks.iter().rev().map(|sink| Produced {
                dataset: sink.dataset.clone(),
                unit: arc.unit,
                owner: Owner::Arc { name: arc.id.arc.clone(), role: sink.role.clone() },
            })
        });
        boundaries.chain(arcs).collect()
    }

    /// Whether `arc up` does the project's work on AWS: then it has neither functions nor jobs there.
    pub fn is_served_by_up(&self) -> bool {
        is_served_by_up(&self.document)
    }

    /// The dataset called `name` or `name/version`.
    pub fn dataset(&self, name: &str) -> Option<Produced> {
        self.produced().into_iter().find(|found| found.dataset.name == name || found.dataset.id().to_string() == name)
    }

    /// The arc of this name.
    pub fn arc(&self, name: &str) -> Option<&ArcSpec> {
        self.arcs.iter().find(|arc| arc.id.arc == name)
    }
}
