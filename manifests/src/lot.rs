//! Lots: named UTC intervals. Times and text flow in, lots and intervals flow out; nothing here reads a clock.
//!
//! Invariants: a [`Lot`] is always inside its day (`ordinal < unit.per_day()`), and lots of one unit order as their
//! ids and as time do.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::ManifestsError;

/// The length of a lot. Ids carry the ISO-8601 duration; project files may use the Clusterless names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LotUnit {
    /// `PT1M`, 1440 a day.
    Minutes,
    /// `PT5M`, 288 a day; Clusterless calls it Twelfths (of an hour).
    Twelfths,
    /// `PT10M`, 144 a day.
    Sixths,
    /// `PT15M`, 96 a day.
    Fourths,
    /// `PT1H`, 24 a day.
    Hours,
    /// `P1D`, one a day.
    Days,
}

/// What a unit is called: its ISO-8601 duration, its project-file name, its length in minutes, ordinal digits.
const UNITS: [(LotUnit, &str, &str, u32, usize); 6] = [
    (LotUnit::Minutes, "PT1M", "Minutes", 1, 4),
    (LotUnit::Twelfths, "PT5M", "Twelfths", 5, 3),
    (LotUnit::Sixths, "PT10M", "Sixths", 10, 3),
    (LotUnit::Fourths, "PT15M", "Fourths", 15, 3),
    (LotUnit::Hours, "PT1H", "Hours", 60, 3),
    (LotUnit::Days, "P1D", "Days", 1440, 3),
];

impl LotUnit {
    /// All six units, finest first.
    pub fn all() -> impl Iterator<Item = LotUnit> {
        UNITS.iter().map(|unit| unit.0)
    }

    fn row(self) -> &'static (LotUnit, &'static str, &'static str, u32, usize) {
        &UNITS[self as usize]
    }

    /// The ISO-8601 duration that ids carry, `PT5M`.
    pub fn iso(self) -> &'static str {
        self.row().1
    }

    /// The name project files use, `Twelfths`.
    pub fn name(self) -> &'static str {
        self.row().2
    }

    /// Length of one lot in minutes.
    pub fn minutes(self) -> u32 {
        self.row().3
    }

    /// Length of one lot.
    pub fn duration(self) -> TimeDelta {
        TimeDelta::minutes(i64::from(self.minutes()))
    }

    /// Lots in a day.
    pub fn per_day(self) -> u32 {
        1440 / self.minutes()
    }

    fn digits(self) -> usize {
        self.row().4
    }

    /// Whether one lot of this unit is made of whole lots of `finer` (true for equal units).
    pub fn is_covering(self, finer: LotUnit) -> bool {
        self.minutes() >= finer.minutes() && self.minutes().is_multiple_of(finer.minutes())
    }
}

impl fmt::Display for LotUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for LotUnit {
    type Err = ManifestsError;

    /// Reads a name or an ISO-8601 duration, in any case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        UNITS
            .iter()
            .find(|unit| unit.1.eq_ignore_ascii_case(text) || unit.2.eq_ignore_ascii_case(text))
            .map(|unit| unit.0)
            .ok_or_else(|| ManifestsError::LotUnit { text: text.to_owned() })
    }
}

impl Serialize for LotUnit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for LotUnit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One UTC interval, `20230717PT5M250` for 20:50 to 20:55 on 17 July 2023.
///
/// Invariants: `ordinal < unit.per_day()`; the year is 0000 to 9999, so that ids sort as time does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lot {
    unit: LotUnit,
    day: NaiveDate,
    ordinal: u32,
}

impl Lot {
    /// The lot of `unit` that holds the instant `at`. Times outside the years 0000 to 9999 are held to that range.
    pub fn containing(unit: LotUnit, at: DateTime<Utc>) -> Lot {
        let first = NaiveDate::from_ymd_opt(0, 1, 1).unwrap_or(NaiveDate::MIN);
        let last = NaiveDate::from_ymd_opt(9999, 12, 31).unwrap_or(NaiveDate::MAX);
        let day = at.date_naive();
        let minute = u32::try_from(at.timestamp().rem_euclid(86_400) / 60).unwrap_or(0);
        match day {
            day if day < first => Lot { unit, day: first, ordinal: 0 },
            day if day > last => Lot { unit, day: last, ordinal: unit.per_day() - 1 },
            day => Lot { unit, day, ordinal: minute / unit.minutes() },
        }
    }

    /// Its unit.
    pub fn unit(self) -> LotUnit {
        self.unit
    }

    /// Its UTC day.
    pub fn day(self) -> NaiveDate {
        self.day
    }

    /// The first instant inside.
    pub fn start(self) -> DateTime<Utc> {
        self.day.and_time(chrono::NaiveTime::MIN).and_utc() + TimeDelta::minutes(i64::from(self.ordinal * self.unit.minutes()))
    }

    /// The first instant after.
    pub fn end(self) -> DateTime<Utc> {
        self.start() + self.unit.duration()
    }

    /// The lot that follows; the last lot of the year 9999 follows itself.
    #[must_use]
    pub fn next(self) -> Lot {
        if self.ordinal + 1 < self.unit.per_day() {
            return Lot { ordinal: self.ordinal + 1, ..self };
        }
        match self.day.checked_add_days(Days::new(1)) {
            Some(day) => Lot::containing(self.unit, day.and_time(chrono::NaiveTime::MIN).and_utc()).max(self),
            None => self,
        }
    }

    /// The lot before; the first lot of the year 0 precedes itself.
    #[must_use]
    pub fn previous(self) -> Lot {
        Lot::containing(self.unit, self.start() - self.unit.duration())
    }

    /// The lot of a coarser (or the same) `unit` that covers this one, or `None` where no one lot does.
    pub fn covering(self, unit: LotUnit) -> Option<Lot> {
        unit.is_covering(self.unit).then(|| Lot::containing(unit, self.start()))
    }

    /// The lots of a finer (or the same) `unit` inside this one, in order; empty where they do not fit.
    pub fn covered(self, unit: LotUnit) -> Vec<Lot> {
        if !self.unit.is_covering(unit) {
            return Vec::new();
        }
        let first = Lot::containing(unit, self.start());
        let count = self.unit.minutes() / unit.minutes();
        (0..count).map(|step| Lot { ordinal: first.ordinal + step, ..first }).collect()
    }

    /// All lots from `first` to `last`, both inside; empty when they are of different units or in the wrong order.
    pub fn range(first: Lot, last: Lot) -> impl Iterator<Item = Lot> {
        let start = (first.unit == last.unit && first <= last).then_some(first);
        std::iter::successors(start, move |lot| (*lot < last).then(|| lot.next()))
    }
}

impl fmt::Display for Lot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (day, iso, width) = (self.day.format("%Y%m%d"), self.unit.iso(), self.unit.digits());
        write!(f, "{day}{iso}{:0width$}", self.ordinal)
    }
}

impl fmt::Debug for Lot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lot({self})")
    }
}

impl FromStr for Lot {
    type Err = ManifestsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| ManifestsError::Lot { text: text.to_owned() })
    }
}

fn parse(text: &str) -> Option<Lot> {
    let (day, rest) = text.split_at_checked(8)?;
    let row = UNITS.iter().find(|unit| rest.len() == unit.1.len() + unit.4 && rest.starts_with(unit.1))?;
    let ordinal = &rest[row.1.len()..];
    if !day.bytes().chain(ordinal.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let day = NaiveDate::from_ymd_opt(day[..4].parse().ok()?, day[4..6].parse().ok()?, day[6..].parse().ok()?)?;
    let ordinal: u32 = ordinal.parse().ok()?;
    (ordinal < row.0.per_day()).then_some(Lot { unit: row.0, day, ordinal })
}

impl Serialize for Lot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unit() -> impl Strategy<Value = LotUnit> {
        (0usize..6).prop_map(|row| UNITS[row].0)
    }

    fn instant() -> impl Strategy<Value = DateTime<Utc>> {
        (-62_167_219_200i64..253_402_300_800).prop_map(|second| DateTime::from_timestamp(second, 0).unwrap())
    }

    #[test]
    fn the_design_example() {
        let lot: Lot = "20230717PT5M250".parse().unwrap();
        assert_eq!(lot.start().to_rfc3339(), "2023-07-17T20:50:00+00:00");
        assert_eq!(lot.end().to_rfc3339(), "2023-07-17T20:55:00+00:00");
        assert_eq!(lot.covering(LotUnit::Hours).unwrap().to_string(), "20230717PT1H020");
        assert_eq!(lot.covering(LotUnit::Minutes), None);
        assert_eq!(Lot::containing(LotUnit::Minutes, lot.start()).to_string(), "20230717PT1M1250");
        assert_eq!(Lot::containing(LotUnit::Days, lot.start()).to_string(), "20230717P1D000");
    }

    #[test]
    fn what_is_no_lot() {
        for text in
            ["", "20230717", "20230717PT5M288", "20230717PT5M25", "20230231PT5M000", "20230717PT2M000", "20230717PT5M+25", "２０２３"]
        {
            assert!(text.parse::<Lot>().is_err(), "{text}");
        }
        assert!("twelfths".parse::<LotUnit>().is_ok() && "pt5m".parse::<LotUnit>().is_ok() && "PT2M".parse::<LotUnit>().is_err());
    }

    #[test]
    fn the_ends_of_time_stay_put() {
        let last: Lot = "99991231PT5M287".parse().unwrap();
        assert_eq!(last.next(), last);
        let first: Lot = "00000101PT5M000".parse().unwrap();
        assert_eq!(first.previous(), first);
    }

    proptest! {
        #[test]
        fn an_id_reads_back(unit in unit(), at in instant()) {
            let lot = Lot::containing(unit, at);
            prop_assert_eq!(lot.to_string().parse::<Lot>().unwrap(), lot);
            prop_assert!(lot.start() <= at && at < lot.end());
        }

        #[test]
        fn ids_sort_as_time_does(unit in unit(), a in instant(), b in instant()) {
            let (a, b) = (Lot::containing(unit, a), Lot::containing(unit, b));
            prop_assert_eq!(a.to_string().cmp(&b.to_string()), a.start().cmp(&b.start()));
            prop_assert_eq!(a.cmp(&b), a.start().cmp(&b.start()));
        }

        #[test]
        fn neighbours_touch(unit in unit(), at in instant()) {
            let lot = Lot::containing(unit, at);
            prop_assert!(lot.next() == lot || lot.end() == lot.next().start());
            prop_assert!(lot.next() == lot || lot.next().previous() == lot);
        }

        #[test]
        fn covered_lots_fill_the_coarse_one(fine in unit(), coarse in unit(), at in instant()) {
            let lot = Lot::containing(coarse, at);
            let inside = lot.covered(fine);
            prop_assert_eq!(inside.is_empty(), !coarse.is_covering(fine));
            if let (Some(first), Some(last)) = (inside.first(), inside.last()) {
                prop_assert!(first.start() == lot.start() && last.end() == lot.end());
                prop_assert!(inside.iter().all(|fine| fine.covering(coarse) == Some(lot)));
                prop_assert_eq!(Lot::range(*first, *last).collect::<Vec<_>>(), inside);
            }
        }

        #[test]
        fn any_text_is_a_lot_or_an_error(text in ".{0,24}") {
            if let Ok(lot) = text.parse::<Lot>() {
                prop_assert_eq!(lot.to_string(), text);
            }
        }
    }
}
