//! What waits at a boundary after a look, and for what: a tick flows in; how long that settles, and a sentence, flow out.

use boundary::{BoundarySpec, EventArrival, Ticked};
use chrono::{DateTime, TimeDelta, Utc};
use manifests::Lot;

use crate::output::plural;

/// The longest that is waited for files to settle, in seconds: a boundary may ask for an hour.
const SETTLING_SECONDS_MAX: i64 = 30;

/// What waits at a boundary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its name.
    boundary: String,
    /// Objects that no lot holds.
    objects: usize,
    /// The open lot.
    open: Lot,
    /// When that was so.
    at: DateTime<Utc>,
    arrival: EventArrival,
    settle: TimeDelta,
}

impl Waiting {
    /// What a tick left.
    pub(super) fn of(spec: &BoundarySpec, ticked: &Ticked, at: DateTime<Utc>) -> Waiting {
        let (boundary, arrival, settle) = (spec.name.clone(), spec.arrival, spec.settle);
        Waiting { boundary, objects: ticked.waiting, open: ticked.open, at, arrival, settle }
    }

    /// How long until all of it may be in a lot, where a lot is open for whatever has settled and that takes seconds.
    pub(super) fn settling(&self) -> Option<TimeDelta> {
        let is_soon = self.settle > TimeDelta::zero() && self.settle <= TimeDelta::seconds(SETTLING_SECONDS_MAX);
        (self.objects > 0 && self.takes_at_once() && is_soon).then_some(self.settle)
    }

    fn takes_at_once(&self) -> bool {
        self.arrival == EventArrival::Infrequent && self.open.start() <= self.at + self.settle
    }

    /// The sentence for people; none where nothing waits.
    pub fn told(&self) -> Option<String> {
        let Waiting { boundary, objects, open, .. } = self;
        let time = |at: DateTime<Utc>| at.format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let why = match self.arrival {
            EventArrival::Frequent => format!("lot {open} closes at {}", time(open.end())),
            EventArrival::Infrequent if self.takes_at_once() => {
                format!("lot {open} takes what has been left alone for {} s", self.settle.num_seconds())
            }
            EventArrival::Infrequent => format!("this interval has its lot; {open} begins at {}", time(open.start())),
        };
        (*objects > 0).then(|| format!("{boundary}: {} waiting: {why}", plural(*objects, "object")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    /// At 10:02:03, with a lot open.
    fn check(arrival: EventArrival, settle: i64, open: &str, expected: Expect) {
        let at = "2026-02-06T10:02:03Z".parse().unwrap();
        let (boundary, open, settle) = ("in".to_owned(), open.parse().unwrap(), TimeDelta::seconds(settle));
        let waiting = Waiting { boundary, objects: 24, open, at, arrival, settle };
        let told = waiting.told().unwrap();
        expected.assert_eq(&format!("{told}; settles in {:?}", waiting.settling().map(|length| length.num_seconds())));
        assert_eq!((Waiting { objects: 0, ..waiting.clone() }.told(), Waiting { objects: 0, ..waiting }.settling()), (None, None));
    }

    #[test]
    fn what_is_waited_for() {
        let (frequent, infrequent) = (EventArrival::Frequent, EventArrival::Infrequent);
        let (current, next) = ("20260206PT5M120", "20260206PT5M121");
        check(frequent, 5, current, expect!["in: 24 objects waiting: lot 20260206PT5M120 closes at 2026-02-06T10:05:00Z; settles in None"]);
        check(
            infrequent,
            5,
            current,
            expect!["in: 24 objects waiting: lot 20260206PT5M120 takes what has been left alone for 5 s; settles in Some(5)"],
        );
        check(
            infrequent,
            3_600,
            current,
            expect!["in: 24 objects waiting: lot 20260206PT5M120 takes what has been left alone for 3600 s; settles in None"],
        );
        check(
            infrequent,
            5,
            next,
            expect!["in: 24 objects waiting: this interval has its lot; 20260206PT5M121 begins at 2026-02-06T10:05:00Z; settles in None"],
        );
        check(
            infrequent,
            0,
            next,
            expect!["in: 24 objects waiting: this interval has its lot; 20260206PT5M121 begins at 2026-02-06T10:05:00Z; settles in None"],
        );
    }
}
