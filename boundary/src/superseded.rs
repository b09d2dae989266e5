//! Which of several writes of one name is the last. S3 numbers the writes of a key (its "sequencer"), and messages come in any
//! order; where a bucket keeps no versions, only the last write can still be read.
//!
//! What is superseded is never missed: the message of the write that came after it is at hand, and its object is taken.

use std::collections::{HashMap, HashSet};

use crate::arrivals::Arrival;
use crate::commit_index::hash;
use crate::notification::Notified;

/// The writes that are superseded, among all that were noted.
#[derive(Debug, Default)]
pub(crate) struct Superseded {
    /// The last write of each URI, by its number.
    last: HashMap<u128, (u128, u128)>,
    gone: HashSet<u128>,
}

/// What tells a write from all others, in 128 bits: the same content, written again, is another arrival.
pub(crate) fn written(arrival: &Arrival) -> u128 {
    hash(&arrival.uri, &format!("{} {}", arrival.mark(), arrival.arrived.timestamp_micros()))
}

impl Superseded {
    /// Notes a write. One that keeps its version, or has no number, supersedes nothing and is never superseded.
    pub fn note(&mut self, notified: &Notified) {
        let (Some(number), None) = (notified.sequencer, &notified.arrival.version_id) else { return };
        let own = written(&notified.arrival);
        let last = self.last.entry(hash(&notified.arrival.uri, "")).or_insert((number, own));
        if last.1 != own && last.0 > number {
            self.gone.insert(own);
        }
        if last.0 < number {
            if last.1 != own {
                self.gone.insert(last.1);
            }
            // Of the same content and time as one before it: then that is there again.
            self.gone.remove(&own);
            *last = (number, own);
        }
    }

    /// Whether a later write has taken its place.
    pub fn holds(&self, arrival: &Arrival) -> bool {
        !self.gone.is_empty() && self.gone.contains(&written(arrival))
    }

    /// What is superseded, as [`written`] tells it.
    pub fn into_gone(self) -> HashSet<u128> {
        self.gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    fn notified(content: &str, sequencer: Option<u128>, version: Option<&str>) -> Notified {
        let (uri, etag, version_id) = ("s3://raw/a".to_owned(), Some(content.to_owned()), version.map(str::to_owned));
        Notified { arrival: Arrival { uri, size: 1, etag, version_id, arrived: DateTime::UNIX_EPOCH }, sequencer }
    }

    fn check(writes: &[(&str, u128)], gone: &[&str]) {
        let mut superseded = Superseded::default();
        writes.iter().for_each(|(content, number)| superseded.note(&notified(content, Some(*number), None)));
        for (content, _) in writes {
            let is_gone = superseded.holds(&notified(content, None, None).arrival);
            assert_eq!(is_gone, gone.contains(content), "{content} of {writes:?}");
        }
    }

    #[test]
    fn the_last_write_stays_in_whatever_order_messages_come() {
        check(&[("x", 1), ("y", 2)], &["x"]);
        check(&[("y", 2), ("x", 1)], &["x"]);
        check(&[("y", 2), ("x", 1), ("z", 3), ("x", 1)], &["x", "y"]);
        check(&[("x", 1), ("y", 2), ("x", 3), ("x", 1)], &["y"]);
        check(&[("x", 1), ("x", 1), ("y", 1)], &[]);
    }

    #[test]
    fn what_keeps_its_version_or_has_no_number_stays() {
        let mut superseded = Superseded::default();
        let writes = [notified("x", None, None), notified("y", Some(1), Some("v1")), notified("z", Some(2), Some("v2"))];
        writes.iter().for_each(|write| superseded.note(write));
        assert!(writes.iter().all(|write| !superseded.holds(&write.arrival)));
    }
}
