//! What a sweep looks at beyond the last days of an arc: times, and what earlier looks found, flow in; slices of its past flow
//! out. Nothing here touches a store or a clock.
//!
//! The past is cut into slices of some days. Those in which something is open are looked at in every sweep, the others one after
//! the other, from the last to the first, again every few hours and after a start. So what a sweep costs does not grow with the
//! age of a dataset, and whatever was lost is found in the end.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};
use manifests::Lot;

use crate::dispatch::LOOKBACK_DAYS;

/// The days of a slice: whole ones, so that no lot is in two.
const SLICE_DAYS: i32 = 16;
/// The first of the last days that count as long ago: a lot may be held against its sources now, and not in the next sweep.
const OLD_DAYS: i64 = 3;
/// Hours from the begin of one round through the past to the begin of the next.
const ROUND_HOURS: i64 = 6;

/// The past of an arc.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Past {
    newest: Option<DateTime<Utc>>,
    open: BTreeSet<Slice>,
    round: Option<Round>,
    began: Option<DateTime<Utc>>,
    /// Open slices that are still to be looked at before any is again.
    due: BTreeSet<Slice>,
}

/// Some days of the past, by their number from the first of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slice(i32);

/// What is left of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Round {
    first: Slice,
    next: Slice,
}

impl Slice {
    fn of(day: NaiveDate) -> Slice {
        Slice(day.num_days_from_ce().div_euclid(SLICE_DAYS))
    }

    /// Its first day, and the first one after it.
    pub fn days(self) -> (NaiveDate, NaiveDate) {
        let day = |slice: i32| NaiveDate::from_num_days_from_ce_opt(slice * SLICE_DAYS).unwrap_or(NaiveDate::MAX);
        (day(self.0), day(self.0 + 1))
    }
}

impl Past {
    /// The start of the newest source lot that was ever seen.
    pub fn newest(&self) -> Option<DateTime<Utc>> {
        self.newest
    }

    /// The first of the days that every sweep looks at: so long before the newest source lot as lots are held against theirs,
    /// and a day more, since lots may be a day long.
    pub fn recent(&self, now: DateTime<Utc>) -> NaiveDate {
        let newest = self.newest.map_or(now, |newest| newest.min(now));
        (newest - TimeDelta::days(LOOKBACK_DAYS + 1)).date_naive()
    }

    /// A lot may have become due, or may become so later. True where the next sweep may not hold it against its sources any more.
    pub fn heard(&mut self, lot: Lot, now: DateTime<Utc>) -> bool {
        let recent = self.recent(now);
        if lot.day() < recent {
            self.open.insert(Slice::of(lot.day()));
        }
        lot.day() < recent + TimeDelta::days(OLD_DAYS)
    }

    /// A sweep begins. True when a round through the past is to begin with it.
    pub fn sweep(&mut self, now: DateTime<Utc>) -> bool {
        if self.due.is_empty() {
            self.due = self.open.clone();
        }
        self.round.is_none() && self.began.is_none_or(|began| now - began >= TimeDelta::hours(ROUND_HOURS))
    }

    /// A round begins that ends with the first lot that there is.
    pub fn begin(&mut self, first: Option<Lot>, now: DateTime<Utc>) {
        self.began = Some(now);
        let (first, next) = (first.map(|lot| Slice::of(lot.day())), Slice::of(self.recent(now)));
        self.round = first.filter(|first| *first <= next).map(|first| Round { first, next });
    }

    /// The next slice to look at in this sweep; it counts as looked at.
    pub fn next(&mut self) -> Option<Slice> {
        if let Some(slice) = self.due.pop_first() {
            return Some(slice);
        }
        let round = self.round.as_mut()?;
        let slice = round.next;
        round.next = Slice(slice.0 - 1);
        if round.next < round.first {
            self.round = None;
        }
        Some(slice)
    }

    /// What a look at the last days found.
    pub fn saw(&mut self, newest: Option<DateTime<Utc>>) {
        self.newest = self.newest.max(newest);
    }

    /// What a look at a slice found: whether something in it is open. One that failed is.
    pub fn saw_slice(&mut self, slice: Slice, is_open: bool) {
        if is_open {
            self.open.insert(slice)
        } else {
            self.open.remove(&slice)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: &str) -> DateTime<Utc> {
        format!("{day}T12:00:00Z").parse().unwrap()
    }

    fn slices(past: &mut Past) -> Vec<String> {
        std::iter::from_fn(|| past.next()).map(|slice| slice.days().0.to_string()).collect()
    }

    #[test]
    fn a_round_goes_through_the_past_once_and_again_later() {
        let (mut past, now) = (Past::default(), at("2026-11-21"));
        let first: Lot = "20261001PT5M000".parse().unwrap();
        assert!(past.sweep(now), "after a start");
        past.begin(Some(first), now);
        assert!(!past.sweep(now), "it is under way");
        let all = slices(&mut past);
        assert_eq!(all, ["2026-10-31", "2026-10-15", "2026-09-29"]);
        assert!(!past.sweep(now + TimeDelta::hours(ROUND_HOURS - 1)));
        assert!(past.sweep(now + TimeDelta::hours(ROUND_HOURS)));
    }

    #[test]
    fn what_is_open_is_looked_at_every_time() {
        let (mut past, now) = (Past::default(), at("2026-11-21"));
        past.begin(None, now);
        assert!(!past.heard("20261116PT5M000".parse().unwrap(), now));
        assert!(past.heard("20261115PT5M000".parse().unwrap(), now));
        assert!(!past.sweep(now) && past.next().is_none(), "that is recent");
        assert!(past.heard("20261002PT5M000".parse().unwrap(), now));
        for _ in 0..2 {
            past.sweep(now);
            assert_eq!(slices(&mut past), ["2026-09-29"]);
        }
        past.saw_slice(Slice::of(at("2026-10-02").date_naive()), false);
        past.sweep(now);
        assert_eq!(slices(&mut past), [""; 0]);
    }

    #[test]
    fn of_a_dataset_that_ended_its_last_days_are_looked_at() {
        let (mut past, now) = (Past::default(), at("2026-11-21"));
        past.saw(Some(at("2025-01-09")));
        assert_eq!(past.recent(now).to_string(), "2025-01-01");
        past.saw(Some(at("2027-01-01")));
        assert_eq!(past.recent(now).to_string(), "2026-11-13", "nothing is newer than now");
    }
}
