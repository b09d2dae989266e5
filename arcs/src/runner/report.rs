//! What a run tells whoever started it. Manifests flow in, one flat record flows out.

use manifests::{ArcSpec, Counts, Lot, Manifest, RunPlan, State, Stores, paths};
use serde::Serialize;

/// What became of a run; flat, so that it is one row of any listing. The counts are those of the receipt.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunReport {
    /// The lot.
    pub lot: Lot,
    /// The state of the main sink.
    pub state: State,
    /// What became of the input.
    #[serde(flatten)]
    pub counts: Counts,
    /// Seconds from the first read to the last byte written.
    pub seconds: f64,
    /// The arc's name.
    pub arc: String,
    /// The attempt that committed, from 1.
    pub attempt: u32,
    /// The generation of the main sink's manifest.
    pub generation: u32,
    /// URIs of the commits, main last.
    pub manifests: Vec<String>,
    /// What is missing, where the state is partial.
    pub comment: Option<String>,
    /// Whether more lines were rejected than the arc's `rejectLimitPercent` allows.
    pub past_reject_limit: bool,
    /// Whether the lot was done before this run, which then wrote nothing. No part of what became of the lot.
    #[serde(skip)]
    pub was_done: bool,
}

impl RunReport {
    /// The report of manifests in the order of the sinks.
    pub(super) fn new(arc: &ArcSpec, plan: &RunPlan, stores: &Stores, manifests: &[Manifest], past_reject_limit: bool) -> RunReport {
        let main = manifests.last();
        let receipt = main.and_then(|main| main.receipt.as_ref());
        let uri = |manifest: &Manifest| stores.manifest.uri(&paths::commit(&manifest.dataset.id(), manifest.lot_id, manifest.generation));
        RunReport {
            lot: plan.lot,
            state: main.map_or(State::Empty, |main| main.state),
            counts: receipt.map(|receipt| receipt.counts).unwrap_or_default(),
            seconds: receipt.map_or(0.0, |receipt| receipt.seconds),
            arc: arc.id.arc.clone(),
            attempt: receipt.map_or(0, |receipt| receipt.attempt),
            generation: main.map_or(0, |main| main.generation),
            manifests: manifests.iter().map(uri).collect(),
            comment: main.and_then(|main| main.comment.clone()),
            past_reject_limit,
            was_done: false,
        }
    }

    /// Whether everything was read and few enough lines were rejected; otherwise the `arc` program ends with 3.
    pub fn is_clean(&self) -> bool {
        self.state != State::Partial && !self.past_reject_limit
    }
}
