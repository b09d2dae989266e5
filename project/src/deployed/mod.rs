//! What is deployed on a placement, from its stores alone: no project file. Documents and listings flow in; projects, datasets
//! and arcs flow out. What another tool wrote there, and nobody here can read, is shown as such and fails nothing.

mod datasets;
mod projects;
mod recent;

pub use datasets::{DeployedDataset, datasets};
pub use projects::{DeployedProject, projects};
pub use recent::{latest_lot, latest_run};

/// Documents read, and listings made, at a time.
const IN_FLIGHT: usize = 16;
