//! A boundary as the protocol sees it.

use chrono::{DateTime, TimeDelta, Utc};
use manifests::{Dataset, LotUnit};
use serde::{Deserialize, Serialize};

use crate::filter::FilterSpec;

/// How long a file must have been left alone before it is taken, unless the project says otherwise.
pub const SETTLE_SECONDS_DEFAULT: i64 = 5;

/// Whether objects come all the time or now and then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventArrival {
    /// A lot is committed when its interval is over.
    #[default]
    Frequent,
    /// A lot is committed as soon as something waits for it; what comes later in the interval goes to the next.
    Infrequent,
}

/// A boundary of a project.
#[derive(Clone, Debug, PartialEq)]
pub struct BoundarySpec {
    /// Its name.
    pub name: String,
    /// What it produces; `path_uri` is where objects arrive.
    pub dataset: Dataset,
    /// The unit of its lots.
    pub unit: LotUnit,
    /// When lots are committed.
    pub arrival: EventArrival,
    /// What is taken.
    pub filter: FilterSpec,
    /// How long an object's modification time must lie back before it is taken.
    pub settle: TimeDelta,
    /// The first lot is the one that holds this instant; where not given, the last one closed at the first tick.
    pub from: Option<DateTime<Utc>>,
}
