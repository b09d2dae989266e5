//! A boundary as the protocol sees it.

use chrono::{DateTime, TimeDelta, Utc};
use manifests::{Dataset, LotUnit};
use serde::{Deserialize, Serialize};

use crate::filter::{Filter, FilterSpec};

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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
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
    #[serde(rename = "settleSeconds", with = "seconds")]
    pub settle: TimeDelta,
    /// The first lot is the one that holds this instant; where not given, the last one closed at the first tick.
    pub from: Option<DateTime<Utc>>,
}

impl BoundarySpec {
    /// Whether an object lies below the dataset's path and passes the filter. A name that ends in a slash is what consoles
    /// make folders of, and is no log.
    pub fn wants(&self, filter: &Filter, uri: &str) -> bool {
        let relative = uri.strip_prefix(self.dataset.path_uri.as_str());
        relative.is_some_and(|relative| !relative.is_empty() && !relative.ends_with('/') && filter.is_taken(relative))
    }
}

/// Lengths of time as whole seconds.
mod seconds {
    use chrono::TimeDelta;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(length: &TimeDelta, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(length.num_seconds())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TimeDelta, D::Error> {
        TimeDelta::try_seconds(i64::deserialize(deserializer)?).ok_or_else(|| serde::de::Error::custom("too long"))
    }
}
