//! Whether the process can do its work, and whether it does: answers of what it depends on and signs that work goes on flow
//! in; whether all of them answered lately, and else which did not, flows out. Times are parameters.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};

/// How long an answer counts, in seconds: a few of the probes that are made all the time.
const READY_SECONDS: i64 = 90;

/// How long the work may give no sign before the process counts as stuck, in seconds. A look at one boundary or arc is one: the
/// longest of them, with years of lots and a full queue, takes some minutes.
const STUCK_SECONDS: i64 = 1_800;

/// Something that the work depends on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The stores of the placement.
    Stores,
    /// The bus of availability events, which is only told and never asked.
    Bus,
    /// The queue of a boundary.
    Queue(String),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Stores => f.write_str("stores"),
            Part::Bus => f.write_str("bus"),
            Part::Queue(boundary) => write!(f, "queue of boundary {boundary}"),
        }
    }
}

/// The last answers.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// When a part answered well last, and whether its last answer was such.
    parts: BTreeMap<Part, (Option<DateTime<Utc>>, bool)>,
    is_stopping: bool,
    /// The last sign that work goes on; none before it has begun.
    last_step: Option<DateTime<Utc>>,
    /// Whether the last look for what is due failed.
    pub(super) is_failing: bool,
}

impl Health {
    pub(super) fn answered(&mut self, part: &Part, is_good: bool, now: DateTime<Utc>) {
        let (last, was_good) = self.parts.entry(part.clone()).or_default();
        *was_good = is_good;
        if is_good {
            *last = Some(now);
        }
    }

    pub(super) fn stop(&mut self) {
        self.is_stopping = true;
    }

    pub(super) fn stepped(&mut self, now: DateTime<Utc>) {
        self.last_step = Some(now);
    }

    /// For how many seconds the process has been stuck, where it is: nothing but a new one helps then. One that lets its last
    /// runs finish looks at nothing any more.
    pub(super) fn stuck_seconds(&self, now: DateTime<Utc>) -> Option<i64> {
        let silent = self.last_step.map(|last| (now - last).num_seconds());
        silent.filter(|silent| *silent > STUCK_SECONDS && !self.is_stopping)
    }

    /// Why the process is not ready; empty when it is.
    pub(super) fn reasons(&self, now: DateTime<Utc>) -> Vec<String> {
        let mut reasons = Vec::from_iter(self.is_stopping.then(|| "the process is stopping".to_owned()));
        if !self.parts.contains_key(&Part::Stores) {
            reasons.push("stores: not asked yet".to_owned());
        }
        reasons.extend(self.parts.iter().filter_map(|(part, (last, is_good))| {
            let age = last.map(|last| (now - last).num_seconds());
            match (part, age) {
                (Part::Bus, _) if *is_good => None,
                (Part::Bus, _) => Some(format!("{part}: the last event could not be published")),
                (_, None) => Some(format!("{part}: no answer yet")),
                (_, Some(age)) if age > READY_SECONDS => Some(format!("{part}: no answer for {age} s")),
                (_, Some(_)) => None,
            }
        }));
        reasons
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap()
    }

    #[test]
    fn ready_while_all_have_answered_lately() {
        let mut health = Health::default();
        let queue = Part::Queue("in".into());
        assert_eq!(health.reasons(at(0)), ["stores: not asked yet"]);
        health.answered(&Part::Stores, true, at(0));
        health.answered(&queue, false, at(0));
        health.answered(&Part::Bus, false, at(0));
        assert_eq!(health.reasons(at(0)), ["bus: the last event could not be published", "queue of boundary in: no answer yet"]);
        health.answered(&queue, true, at(1));
        health.answered(&Part::Bus, true, at(1));
        assert_eq!(health.reasons(at(1)), Vec::<String>::new());
        health.answered(&queue, false, at(2));
        assert_eq!(health.reasons(at(READY_SECONDS)), Vec::<String>::new(), "one failure is no outage");
        let late = at(READY_SECONDS) + TimeDelta::seconds(2);
        assert_eq!(health.reasons(late), ["stores: no answer for 92 s", "queue of boundary in: no answer for 91 s"]);
        health.answered(&Part::Stores, true, late);
        health.answered(&queue, true, late);
        health.stop();
        assert_eq!(health.reasons(late), ["the process is stopping"]);
    }

    #[test]
    fn stuck_when_the_work_gives_no_sign() {
        let mut health = Health::default();
        assert_eq!(health.stuck_seconds(at(9_999)), None, "it has not begun");
        health.stepped(at(0));
        assert_eq!([STUCK_SECONDS, STUCK_SECONDS + 1].map(|second| health.stuck_seconds(at(second))), [None, Some(STUCK_SECONDS + 1)]);
        health.stepped(at(STUCK_SECONDS));
        assert_eq!(health.stuck_seconds(at(STUCK_SECONDS + 1)), None);
        health.stop();
        assert_eq!(health.stuck_seconds(at(9_999)), None, "its last runs may take as long as they like");
    }
}
