//! The decisions of a tick: which lot is next, when it may be committed, what goes in. Values in, values out.
//!
//! Invariant: the commits of a boundary's dataset are contiguous; the next lot is always the one after the last.

use chrono::{DateTime, TimeDelta, Utc};
use manifests::{Lot, LotUnit};

use crate::arrivals::Arrival;
use crate::spec::EventArrival;

/// The most objects one lot takes; the surplus goes to the next.
pub const OBJECTS_PER_LOT_MAX: usize = 250_000;
/// The most bytes that the URIs of one lot have together: those of 250,000 objects with URIs of 200 bytes. A commit says
/// each twice, so that this is what memory is for.
pub const URI_BYTES_PER_LOT_MAX: usize = 50_000_000;

/// How many of the objects, from the first on, one lot takes.
pub fn fitting(objects: &[Arrival]) -> usize {
    let mut bytes = 0;
    let fits = |object: &&Arrival| {
        bytes += object.uri.len();
        bytes <= URI_BYTES_PER_LOT_MAX
    };
    objects.iter().take(OBJECTS_PER_LOT_MAX).take_while(fits).count()
}

/// The first lot of a boundary that has none: the one that holds `from`, else the last one closed at `now`, so that
/// objects from before the boundary are taken at once.
pub fn first_lot(unit: LotUnit, from: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Lot {
    from.map_or_else(|| Lot::containing(unit, now).previous(), |from| Lot::containing(unit, from))
}

/// What to do about the open lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Commit it now with all that belongs to it.
    Commit,
    /// Wait until then.
    Wait(DateTime<Utc>),
}

/// Whether the open lot is to be committed at `now`. A frequent lot closes `settle` after its end, so that everything
/// that arrived inside has settled; an infrequent one as soon as something waits, at the earliest when it begins.
pub fn decide(arrival: EventArrival, open: Lot, waiting: bool, now: DateTime<Utc>, settle: TimeDelta) -> Decision {
    let close = open.end() + settle;
    match arrival {
        _ if now >= close => Decision::Commit,
        EventArrival::Infrequent if waiting && now >= open.start() => Decision::Commit,
        EventArrival::Infrequent if waiting => Decision::Wait(open.start()),
        _ => Decision::Wait(close),
    }
}

/// Whether an arrival belongs to the open lot: it arrived before the lot's end, however long ago. So an object is never in
/// a lot before that of its arrival, and whoever looks for it begins there.
pub fn belongs(open: Lot, arrived: DateTime<Utc>) -> bool {
    arrived < open.end()
}

/// Takes what belongs to the open lot out of what waits, in the order of arrival, as much as one lot takes.
pub fn take(open: Lot, waiting: &mut Vec<Arrival>) -> Vec<Arrival> {
    // What was written twice, or told of in two shapes, has two times: the earlier counts.
    waiting.sort_by(|a, b| (&a.uri, &a.etag, a.arrived).cmp(&(&b.uri, &b.etag, b.arrived)));
    waiting.dedup_by(|later, first| later.uri == first.uri && later.mark() == first.mark());
    waiting.sort_by_key(|object| object.arrived);
    let count = waiting.iter().take_while(|object| belongs(open, object.arrived)).count();
    let rest = waiting.split_off(fitting(&waiting[..count]));
    std::mem::replace(waiting, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-11-21T{text}Z").parse().unwrap()
    }

    fn open() -> Lot {
        Lot::containing(LotUnit::Twelfths, at("10:00:00"))
    }

    #[test]
    fn a_frequent_lot_closes_when_all_inside_has_settled() {
        let settle = TimeDelta::seconds(5);
        let decide = |now| decide(EventArrival::Frequent, open(), true, at(now), settle);
        assert_eq!(decide("10:05:04"), Decision::Wait(at("10:05:05")));
        assert_eq!(decide("10:05:05"), Decision::Commit);
    }

    #[test]
    fn an_infrequent_lot_goes_at_once_but_not_before_it_begins() {
        let settle = TimeDelta::seconds(5);
        let decide = |waiting, now| decide(EventArrival::Infrequent, open(), waiting, at(now), settle);
        assert_eq!(decide(true, "09:59:00"), Decision::Wait(at("10:00:00")));
        assert_eq!(decide(true, "10:00:00"), Decision::Commit);
        assert_eq!(decide(false, "10:00:00"), Decision::Wait(at("10:05:05")));
        assert_eq!(decide(false, "10:05:05"), Decision::Commit);
    }

    #[test]
    fn the_first_lot_is_the_last_closed_one() {
        assert_eq!(first_lot(LotUnit::Twelfths, None, at("10:07:00")), open());
        assert_eq!(first_lot(LotUnit::Hours, Some(at("10:07:00")), at("12:00:00")).start(), at("10:00:00"));
    }

    #[test]
    fn a_content_is_in_a_lot_once_whatever_times_it_was_told_with() {
        let object = |uri: &str, etag: Option<&str>, arrived| Arrival {
            uri: uri.into(),
            size: 1,
            etag: etag.map(str::to_owned),
            version_id: None,
            arrived: at(arrived),
        };
        let mut waiting = vec![
            object("a", Some("1"), "10:00:02"),
            object("b", Some("2"), "10:00:01.5"),
            object("a", Some("1"), "10:00:01"),
            object("c", None, "10:00:01"),
            object("c", None, "10:00:02"),
            object("d", Some("3"), "10:05:00"),
        ];
        let taken = take(open(), &mut waiting);
        let shown: Vec<(String, DateTime<Utc>)> = taken.into_iter().map(|object| (object.uri, object.arrived)).collect();
        let expected = [("a", "10:00:01"), ("c", "10:00:01"), ("b", "10:00:01.5"), ("c", "10:00:02")];
        assert_eq!(shown, expected.map(|(uri, arrived)| (uri.to_owned(), at(arrived))));
        assert_eq!(waiting.len(), 1, "what arrived after the end of the lot belongs to a later one");
    }

    #[test]
    fn a_lot_takes_what_arrived_before_its_end_and_no_more_than_its_limit() {
        let object = |n: usize, arrived| Arrival { uri: format!("{n:07}"), size: 1, etag: None, version_id: None, arrived };
        let mut waiting: Vec<_> = (0..OBJECTS_PER_LOT_MAX + 1).rev().map(|n| object(n, at("09:00:00"))).collect();
        waiting.extend([object(0, at("09:00:00")), object(9_999_999, at("10:05:00"))]);
        let taken = take(open(), &mut waiting);
        assert_eq!((taken.len(), waiting.len()), (OBJECTS_PER_LOT_MAX, 2));
        assert_eq!(taken[1].uri, "0000001");
        let taken = take(open().next(), &mut waiting);
        assert_eq!((taken.len(), waiting.len()), (2, 0));
    }

    #[test]
    fn long_names_fill_a_lot_before_many_do() {
        let object = |n: usize| Arrival { uri: format!("{n:01000}"), size: 1, etag: None, version_id: None, arrived: at("09:00:00") };
        let mut waiting: Vec<_> = (0..URI_BYTES_PER_LOT_MAX / 1_000 + 1).map(object).collect();
        let taken = take(open(), &mut waiting);
        assert_eq!((taken.len(), waiting.len()), (URI_BYTES_PER_LOT_MAX / 1_000, 1));
    }
}
