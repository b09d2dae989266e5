//! Which lots a backfill may commit: what is asked, the boundary's first lot and the lots that are there flow in; the lots,
//! or why there are none and what to ask instead, flow out. Nothing here touches a store or a clock.
//!
//! Invariant: the lots end where the boundary's own begin, so that no gap is left, and never reach into those.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use manifests::{Lot, LotEntry};

use crate::error::BoundaryError;
use crate::spec::BoundarySpec;

/// The most lots of one backfill: nineteen years of five minutes.
pub const LOTS_PER_BACKFILL_MAX: i64 = 2_000_000;
/// How long after its first lot a boundary that hears by queue may still be told of objects from before, in seconds. Their
/// notifications have to be in commits before a backfill looks at these.
pub(crate) const NOTIFICATION_SECONDS: i64 = 3_600;

/// How a boundary hears of what arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hears {
    /// It lists the dataset's path.
    Listing,
    /// By notifications.
    Queue,
}

/// What somebody asks for.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// From the lot that holds this.
    pub from: DateTime<Utc>,
    /// Up to the lot before the one that holds this; where not given, up to the boundary's first or the open lot.
    pub to: Option<DateTime<Utc>>,
    /// The time.
    pub now: DateTime<Utc>,
}

/// The lots of a backfill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub first: Lot,
    /// The one after the last.
    pub end: Lot,
    /// The boundary's first lot, where nobody has agreed on one yet.
    pub begins: Option<Lot>,
}

pub(crate) fn refuse(reason: String, next: impl Into<String>) -> BoundaryError {
    BoundaryError::Backfill { reason, next: next.into() }
}

fn text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The first lot of a boundary, and the first of the backfill that chose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FirstLot {
    pub(crate) lot: Lot,
    pub(crate) filled_from: Option<Lot>,
}

/// The lots that may be committed for what is asked, or why there are none. `began` is where the boundary begins.
pub(crate) fn span(
    spec: &BoundarySpec,
    hears: Hears,
    ask: &Ask,
    began: Option<FirstLot>,
    lots: &BTreeMap<Lot, LotEntry>,
) -> Result<Span, BoundaryError> {
    let (name, lot_of) = (&spec.name, |at| Lot::containing(spec.unit, at));
    let (from, open) = (lot_of(ask.from), lot_of(ask.now - spec.settle));
    let to = ask.to.map(lot_of);
    let end = match (hears, began) {
        (Hears::Listing, Some(FirstLot { lot: began, .. })) if began > from => {
            let reason = format!("boundary {name} began with lot {began} and took all that was there into it and the lots after");
            return Err(refuse(reason, "nothing is left to do; a new version of the dataset can be backfilled before it begins"));
        }
        (Hears::Queue, Some(began)) => end_before(name, began, to, from, lots)?,
        (Hears::Listing, _) | (Hears::Queue, None) => to.unwrap_or(open).min(open),
    };
    if from >= end {
        return Err(refuse(format!("no whole lot of boundary {name} lies between --from and {}", text(end.start())), "an earlier --from"));
    }
    if (end.start() - from.start()).num_minutes() / i64::from(spec.unit.minutes()) > LOTS_PER_BACKFILL_MAX {
        return Err(refuse(format!("these are more than {LOTS_PER_BACKFILL_MAX} lots"), "a later --from"));
    }
    let from = first_hole(from, lots).unwrap_or(from);
    let begins = began.is_none().then_some(if hears == Hears::Listing { from } else { end });
    Ok(Span { first: from, end, begins })
}

/// The first lot without a commit before `from` and after one that has one: an earlier backfill has not come to its end.
fn first_hole(from: Lot, lots: &BTreeMap<Lot, LotEntry>) -> Option<Lot> {
    let first = lots.keys().next().filter(|first| **first < from)?;
    Lot::range(*first, from.previous()).find(|lot| !lots.contains_key(lot))
}

/// Where a backfill ends that comes before the first lot of a boundary which hears by queue.
fn end_before(name: &str, first: FirstLot, to: Option<Lot>, from: Lot, lots: &BTreeMap<Lot, LotEntry>) -> Result<Lot, BoundaryError> {
    let FirstLot { lot: began, filled_from } = first;
    let end = to.unwrap_or(began);
    let leave_out = || format!("leave --to out: it is {} then", text(began.start()));
    if end > began {
        let reason = format!("boundary {name} began with lot {began}, at {}: what came later is in its own lots", text(began.start()));
        return Err(refuse(reason, leave_out()));
    }
    if !Lot::range(end.max(from), began.previous()).all(|lot| lots.contains_key(&lot)) {
        let reason = format!("boundary {name} begins with lot {began}: between it and --to there would be lots without a manifest");
        return Err(refuse(reason, leave_out()));
    }
    // While the backfill that chose the first lot is under way, the boundary leaves to it what is from its time.
    let is_left = filled_from.is_some_and(|filled| filled <= from) && !lots.contains_key(&began.previous());
    if is_left || Lot::range(from, began.previous()).all(|lot| lots.contains_key(&lot)) {
        return Ok(end);
    }
    let told_until = began.start() + TimeDelta::seconds(NOTIFICATION_SECONDS);
    let last = lots.keys().next_back().filter(|last| **last >= began);
    if last.is_some_and(|last| last.end() >= told_until) {
        return Ok(end);
    }
    let reason = format!("boundary {name} began with lot {began} and may still be told of objects from before");
    let last = last.map_or("there is none yet".to_owned(), |last| format!("the last one is {last}"));
    Err(refuse(reason, format!("again once the lot after {} is there; {last}", text(told_until))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::FilterSpec;
    use crate::spec::EventArrival;
    use expect_test::{Expect, expect};
    use manifests::{Dataset, LotUnit};

    fn at(minute: i64) -> DateTime<Utc> {
        "2023-07-17T20:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minute)
    }

    /// What comes of `from`, `to` and the time now, in minutes after 20:00; the boundary began at one such minute, and the lots
    /// from one to before another are there.
    fn check(hears: Hears, (from, to, now): (i64, Option<i64>, i64), began: Option<i64>, there: (i64, i64), expected: Expect) {
        let spec = BoundarySpec {
            name: "in".into(),
            dataset: Dataset { name: "raw".into(), version: "1".into(), path_uri: "memory:///raw/".into() },
            unit: LotUnit::Twelfths,
            arrival: EventArrival::Frequent,
            filter: FilterSpec::default(),
            settle: TimeDelta::seconds(5),
            from: None,
        };
        let lot = |minute| Lot::containing(LotUnit::Twelfths, at(minute));
        let entry = LotEntry { generation: 1, state: None, copies: 1 };
        let filled_from = began.filter(|began| there.0 < (*began).min(there.1)).map(|_| lot(there.0 - 5));
        let began = began.map(|minute| FirstLot { lot: lot(minute), filled_from });
        let lots = (there.0..there.1).step_by(5).map(|minute| (lot(minute), entry)).collect();
        let ask = Ask { from: at(from), to: to.map(at), now: at(now) };
        let told = match span(&spec, hears, &ask, began, &lots) {
            Ok(Span { first, end, begins }) => {
                format!("{first} to before {end}, begins {}", begins.map_or("-".into(), |lot| lot.to_string()))
            }
            Err(BoundaryError::Backfill { reason, next }) => format!("{reason} ({next})"),
            Err(error) => error.to_string(),
        };
        expected.assert_eq(&told);
    }

    #[test]
    fn a_boundary_that_lists_is_begun_earlier() {
        let none = (0, 0);
        check(Hears::Listing, (7, None, 61), None, none, expect!["20230717PT5M241 to before 20230717PT5M252, begins 20230717PT5M241"]);
        check(Hears::Listing, (7, Some(31), 61), None, none, expect!["20230717PT5M241 to before 20230717PT5M246, begins 20230717PT5M241"]);
        check(Hears::Listing, (7, Some(99), 60), None, none, expect!["20230717PT5M241 to before 20230717PT5M251, begins 20230717PT5M241"]);
        check(Hears::Listing, (7, None, 61), Some(5), (5, 20), expect!["20230717PT5M241 to before 20230717PT5M252, begins -"]);
        check(
            Hears::Listing,
            (7, None, 61),
            Some(10),
            (10, 15),
            expect![
                "boundary in began with lot 20230717PT5M242 and took all that was there into it and the lots after (nothing is left to do; a new version of the dataset can be backfilled before it begins)"
            ],
        );
    }

    #[test]
    fn a_boundary_that_hears_by_queue_keeps_its_lots_and_no_gap_comes_before_them() {
        let began = Some(60);
        check(Hears::Queue, (7, None, 300), began, (60, 120), expect!["20230717PT5M241 to before 20230717PT5M252, begins -"]);
        check(Hears::Queue, (7, Some(62), 300), began, (60, 120), expect!["20230717PT5M241 to before 20230717PT5M252, begins -"]);
        check(
            Hears::Queue,
            (7, Some(65), 300),
            began,
            (60, 120),
            expect![
                "boundary in began with lot 20230717PT5M252, at 2023-07-17T21:00:00Z: what came later is in its own lots (leave --to out: it is 2023-07-17T21:00:00Z then)"
            ],
        );
        check(
            Hears::Queue,
            (7, Some(55), 300),
            began,
            (60, 120),
            expect![
                "boundary in begins with lot 20230717PT5M252: between it and --to there would be lots without a manifest (leave --to out: it is 2023-07-17T21:00:00Z then)"
            ],
        );
        check(Hears::Queue, (7, Some(30), 300), began, (30, 120), expect!["20230717PT5M241 to before 20230717PT5M246, begins -"]);
        check(
            Hears::Queue,
            (7, None, 300),
            began,
            (60, 115),
            expect![
                "boundary in began with lot 20230717PT5M252 and may still be told of objects from before (again once the lot after 2023-07-17T22:00:00Z is there; the last one is 20230717PT5M262)"
            ],
        );
        check(
            Hears::Queue,
            (7, None, 300),
            began,
            (0, 0),
            expect![
                "boundary in began with lot 20230717PT5M252 and may still be told of objects from before (again once the lot after 2023-07-17T22:00:00Z is there; there is none yet)"
            ],
        );
        check(
            Hears::Queue,
            (2, None, 61),
            began,
            (10, 30),
            expect![
                "boundary in began with lot 20230717PT5M252 and may still be told of objects from before (again once the lot after 2023-07-17T22:00:00Z is there; there is none yet)"
            ],
        );
        check(Hears::Queue, (7, None, 61), None, (0, 0), expect!["20230717PT5M241 to before 20230717PT5M252, begins 20230717PT5M252"]);
        check(Hears::Queue, (7, None, 61), began, (10, 30), expect!["20230717PT5M241 to before 20230717PT5M252, begins -"]);
        check(Hears::Queue, (32, None, 61), began, (10, 20), expect!["20230717PT5M244 to before 20230717PT5M252, begins -"]);
        check(
            Hears::Queue,
            (62, None, 300),
            began,
            (60, 120),
            expect!["no whole lot of boundary in lies between --from and 2023-07-17T21:00:00Z (an earlier --from)"],
        );
        check(Hears::Queue, (-60_000_000, None, 300), began, (60, 120), expect!["these are more than 2000000 lots (a later --from)"]);
    }
}
