//! Which folder a row goes to. Event times flow in, folders such as `dt=2023-07-17/` flow out. Values are computed, never
//! taken from a log line, so no line can name a folder.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use manifests::Lot;
use serde::{Deserialize, Serialize};

/// What rows without a usable event time have as their partition value; Hive's name for none.
pub const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

const MICROS_PER_HOUR: i64 = 3_600_000_000;
const HOURS_PER_DAY: i64 = 24;

/// A partition column. Its name is the part before `=` in a folder; it is never a column of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionKey {
    /// `dt=2023-07-17`: the UTC day of the event.
    Dt,
    /// `hour=05`: the UTC hour of the event in its day.
    Hour,
    /// `time_ymd=20230717`: the UTC day of the event, as Clusterless writes it.
    TimeYmd,
    /// `lot=20230717PT5M250`: the lot that the line arrived in.
    Lot,
}

impl PartitionKey {
    /// All keys.
    pub const ALL: [PartitionKey; 4] = [PartitionKey::Dt, PartitionKey::Hour, PartitionKey::TimeYmd, PartitionKey::Lot];

    /// Its name, in project files and folders.
    pub fn as_str(self) -> &'static str {
        match self {
            PartitionKey::Dt => "dt",
            PartitionKey::Hour => "hour",
            PartitionKey::TimeYmd => "time_ymd",
            PartitionKey::Lot => "lot",
        }
    }

    /// The key of that name.
    pub fn find(name: &str) -> Option<PartitionKey> {
        PartitionKey::ALL.into_iter().find(|key| key.as_str() == name)
    }
}

/// A partition of one lot: the hour or day of its rows since 1970, or `None` for rows without a usable time.
pub(crate) type Slot = Option<i64>;

/// How rows of a lot are partitioned.
#[derive(Clone, Debug)]
pub(crate) struct Partitioning {
    keys: Vec<PartitionKey>,
    lot: Lot,
    /// Microseconds of a slot; `None` where time plays no part.
    slot_micros: Option<i64>,
}

impl Partitioning {
    /// By these keys, in the order of the folders.
    pub(crate) fn new(keys: &[PartitionKey], lot: Lot) -> Partitioning {
        let slot_micros = if keys.contains(&PartitionKey::Hour) {
            Some(MICROS_PER_HOUR)
        } else if keys.iter().any(|key| matches!(key, PartitionKey::Dt | PartitionKey::TimeYmd)) {
            Some(MICROS_PER_HOUR * HOURS_PER_DAY)
        } else {
            None
        };
        Partitioning { keys: keys.to_vec(), lot, slot_micros }
    }

    /// The slot of an event time, in microseconds since 1970.
    #[inline]
    pub(crate) fn slot(&self, micros: Option<i64>) -> Slot {
        match self.slot_micros {
            None => Some(0),
            Some(slot_micros) => micros.filter(|micros| is_usable(*micros)).map(|micros| micros.div_euclid(slot_micros)),
        }
    }

    /// The folder of a slot, with a slash at its end; empty where there are no keys.
    pub(crate) fn folder(&self, slot: Slot) -> String {
        let time = slot.and_then(|slot| DateTime::<Utc>::from_timestamp_micros(slot.checked_mul(self.slot_micros.unwrap_or(0))?));
        let mut folder = String::new();
        for key in &self.keys {
            let value = match (key, time) {
                (PartitionKey::Lot, _) => self.lot.to_string(),
                (_, None) => NO_VALUE.to_owned(),
                (PartitionKey::Dt, Some(time)) => time.format("%Y-%m-%d").to_string(),
                (PartitionKey::TimeYmd, Some(time)) => time.format("%Y%m%d").to_string(),
                (PartitionKey::Hour, Some(time)) => time.format("%H").to_string(),
            };
            let _ = write!(folder, "{}={value}/", key.as_str());
        }
        folder
    }

    /// Whether the lot is one of the keys, and so no column of the files.
    pub(crate) fn has_lot(&self) -> bool {
        self.keys.contains(&PartitionKey::Lot)
    }
}

/// Whether a time has a year of four digits, so that its folder sorts and every reader takes it for a date.
fn is_usable(micros: i64) -> bool {
    use chrono::Datelike;
    DateTime::<Utc>::from_timestamp_micros(micros).is_some_and(|time| (1..=9999).contains(&time.year()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_by_event_time() {
        let lot: Lot = "20230717PT5M250".parse().unwrap();
        let micros = "2023-07-17T05:06:07Z".parse::<DateTime<Utc>>().unwrap().timestamp_micros();
        let folder = |keys: &[PartitionKey], time| {
            let by = Partitioning::new(keys, lot);
            by.folder(by.slot(time))
        };
        use PartitionKey as K;
        assert_eq!(folder(&[K::Dt], Some(micros)), "dt=2023-07-17/");
        assert_eq!(folder(&[K::Dt, K::Hour], Some(micros)), "dt=2023-07-17/hour=05/");
        assert_eq!(folder(&[K::TimeYmd, K::Lot], Some(micros)), "time_ymd=20230717/lot=20230717PT5M250/");
        assert_eq!(folder(&[K::Dt], Some(-1)), "dt=1969-12-31/");
        assert_eq!(folder(&[K::Dt], None), "dt=__HIVE_DEFAULT_PARTITION__/");
        assert_eq!(folder(&[K::Dt], Some(i64::MAX)), "dt=__HIVE_DEFAULT_PARTITION__/");
        assert_eq!(folder(&[], None), "");
        assert_eq!(folder(&[K::Lot], None), "lot=20230717PT5M250/");
    }
}
