//! Which folder a row goes to. Event times and column values flow in, folders such as `dt=2023-07-17/bucket=logs/` flow
//! out. A value from a log line is escaped, so no line can name another folder.

use std::borrow::Cow;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use manifests::Lot;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};

/// What rows without a usable event time, or with an empty value or none, have as their partition value; Hive's name for
/// none.
pub const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// The first day that partitions are looked for in tables, where nothing else is said: before the first cloud log was
/// written.
pub const FIRST_DAY: &str = "2006-01-01";

/// Bytes of a partition's folder, name and escaped value: what every file system takes as a name.
pub const FOLDER_BYTES_MAX: usize = 255;

/// Bytes of all folders of a row that columns name; a key of S3 has 1,024 for everything.
pub const FOLDERS_BYTES_MAX: usize = 600;

/// What stands in a folder as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.');

const MICROS_PER_HOUR: i64 = 3_600_000_000;
const HOURS_PER_DAY: i64 = 24;

/// A partition whose values are computed. Its name is the part before `=` in a folder; it is never a column of the files.
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

/// What the rows of a conversion are partitioned by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Partition {
    /// A computed key.
    Key(PartitionKey),
    /// The values of an output column, which then is no column of the files.
    Column(String),
}

impl Partition {
    /// The partition of that name: a key where there is one, else a column.
    pub fn named(name: &str) -> Partition {
        PartitionKey::find(name).map_or_else(|| Partition::Column(name.to_owned()), Partition::Key)
    }

    /// Its name, in project files and folders.
    pub fn as_str(&self) -> &str {
        match self {
            Partition::Key(key) => key.as_str(),
            Partition::Column(name) => name,
        }
    }
}

impl From<PartitionKey> for Partition {
    fn from(key: PartitionKey) -> Partition {
        Partition::Key(key)
    }
}

/// A value as a folder shows it: anything but ASCII letters, digits, `_`, `-` and `.` percent-encoded. Empty is no value.
pub fn escape(value: &str) -> Cow<'_, str> {
    match value {
        "" => NO_VALUE.into(),
        // The name for none, as a value.
        NO_VALUE => format!("%5F{}", &NO_VALUE[1..]).into(),
        value => utf8_percent_encode(value, PLAIN).into(),
    }
}

/// The value that a folder shows; the other way of [`escape`], with `None` for no value.
pub fn unescape(shown: &str) -> Option<Cow<'_, str>> {
    (shown != NO_VALUE).then(|| percent_decode_str(shown).decode_utf8_lossy())
}

/// A partition of one lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot {
    /// The hour or day of its rows since 1970; `None` for rows without a usable time.
    pub time: Option<i64>,
    /// The place of its column values among those of the lot; 0 where no column is a key.
    pub values: u32,
}

/// How rows of a lot are partitioned.
#[derive(Clone, Debug)]
pub(crate) struct Partitioning {
    keys: Vec<Partition>,
    lot: Lot,
    /// Microseconds of a slot; `None` where time plays no part.
    slot_micros: Option<i64>,
}

impl Partitioning {
    /// By these keys, in the order of the folders.
    pub(crate) fn new(keys: &[Partition], lot: Lot) -> Partitioning {
        let has = |key: PartitionKey| keys.contains(&key.into());
        let slot_micros = if has(PartitionKey::Hour) {
            Some(MICROS_PER_HOUR)
        } else if has(PartitionKey::Dt) || has(PartitionKey::TimeYmd) {
            Some(MICROS_PER_HOUR * HOURS_PER_DAY)
        } else {
            None
        };
        Partitioning { keys: keys.to_vec(), lot, slot_micros }
    }

    /// By computed keys.
    pub(crate) fn computed(keys: &[PartitionKey], lot: Lot) -> Partitioning {
        Partitioning::new(&keys.iter().copied().map(Partition::from).collect::<Vec<_>>(), lot)
    }

    /// The slot of an event time, in microseconds since 1970, and of column values.
    #[inline]
    pub(crate) fn slot(&self, micros: Option<i64>, values: u32) -> Slot {
        let time = match self.slot_micros {
            None => Some(0),
            Some(slot_micros) => micros.filter(|micros| is_usable(*micros)).map(|micros| micros.div_euclid(slot_micros)),
        };
        Slot { time, values }
    }

    /// The folder of a slot, with a slash at its end; empty where there are no keys. `values` are those of its columns,
    /// escaped, in the order of the folders, with `/` between.
    pub(crate) fn folder(&self, slot: Slot, values: &str) -> String {
        let time = slot.time.and_then(|slot| DateTime::<Utc>::from_timestamp_micros(slot.checked_mul(self.slot_micros.unwrap_or(0))?));
        let (mut folder, mut values) = (String::new(), values.split('/'));
        for key in &self.keys {
            let value = match (key, time) {
                (Partition::Column(_), _) => values.next().filter(|value| !value.is_empty()).unwrap_or(NO_VALUE).to_owned(),
                (Partition::Key(PartitionKey::Lot), _) => self.lot.to_string(),
                (_, None) => NO_VALUE.to_owned(),
                (Partition::Key(PartitionKey::Dt), Some(time)) => time.format("%Y-%m-%d").to_string(),
                (Partition::Key(PartitionKey::TimeYmd), Some(time)) => time.format("%Y%m%d").to_string(),
                (Partition::Key(PartitionKey::Hour), Some(time)) => time.format("%H").to_string(),
            };
            let _ = write!(folder, "{}={value}/", key.as_str());
        }
        folder
    }

    /// Whether the lot is one of the keys, and so no column of the files.
    pub(crate) fn has_lot(&self) -> bool {
        self.keys.contains(&PartitionKey::Lot.into())
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
    use proptest::prelude::*;

    #[test]
    fn folders_by_event_time() {
        let lot: Lot = "20230717PT5M250".parse().unwrap();
        let micros = "2023-07-17T05:06:07Z".parse::<DateTime<Utc>>().unwrap().timestamp_micros();
        let folder = |keys: &[PartitionKey], time| {
            let by = Partitioning::computed(keys, lot);
            by.folder(by.slot(time, 0), "")
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

    #[test]
    fn folders_by_columns_stand_in_the_order_of_the_keys() {
        let keys = ["bucket", "dt", "status"].map(Partition::named);
        let by = Partitioning::new(&keys, "20230717PT5M250".parse().unwrap());
        assert_eq!(by.folder(by.slot(Some(0), 3), "a%2Fb/200"), "bucket=a%2Fb/dt=1970-01-01/status=200/");
    }

    #[test]
    fn hostile_values_stay_values() {
        let shown = ["..", "../../etc", "a/b=c", "", NO_VALUE, "é 😀", "a%2Fb", "\0\n"].map(escape);
        assert_eq!(
            shown,
            ["..", "..%2F..%2Fetc", "a%2Fb%3Dc", NO_VALUE, "%5F_HIVE_DEFAULT_PARTITION__", "%C3%A9%20%F0%9F%98%80", "a%252Fb", "%00%0A"]
        );
    }

    proptest! {
        #[test]
        fn a_value_comes_back_and_names_one_folder(value in ".{0,40}") {
            let shown = escape(&value).into_owned();
            prop_assert!(shown.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.%".contains(&byte)));
            prop_assert_eq!(unescape(&shown).map(Cow::into_owned), (!value.is_empty()).then_some(value));
        }
    }
}
