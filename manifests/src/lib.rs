//! The vocabulary of Arclake: lots, datasets, manifests, events, arc state, paths, the stores, the bus.
//!
//! What flows in is names, times and JSON; what flows out is typed values, and documents at the paths of the design.
//! This crate knows no log format, and of services only a store and a bus. It reads neither the clock nor the environment;
//! the AWS SDK does, for credentials.
#![deny(missing_docs)]

mod arc;
mod attempts;
#[cfg(feature = "aws")]
mod aws;
mod bus;
mod commits;
pub mod conformance;
mod dataset;
mod error;
mod event;
mod fault;
mod learned;
mod lot;
mod manifest;
pub mod paths;
mod runs;
mod store;

pub use arc::{ArcSink, ArcSource, ArcSpec, MAIN_ROLE, REJECTS_ROLE, RunPlan};
pub use attempts::{Attempt, AttemptRecord, Lease};
#[cfg(feature = "aws")]
pub use aws::{Aws, AwsSettings, EventBridgeBus, NO_CREDENTIALS, reason};
pub use bus::{Bus, Delivery, DiskBus, EVENTS_PER_RECEIVE_MAX, MemoryBus};
pub use commits::{Extent, LotEntry};
pub use dataset::{Dataset, DatasetId, NAME_BYTES_MAX, check_name};
pub use error::{ManifestsError, is_transient};
pub use event::{AvailabilityEvent, EVENT_DETAIL_TYPE, EVENT_SOURCE};
pub use fault::{Fate, Faults, FaultyStore};
pub use learned::LearnedColumn;
pub use lot::{Lot, LotUnit};
pub use manifest::{Counts, Manifest, ManifestObject, NamedType, Receipt, SourceCommit, State, StateCopy, UriType};
pub use paths::{ArcId, ArcState};
pub use runs::SinkOutput;
pub use store::{Located, ObjectStores, Root, Stores};
