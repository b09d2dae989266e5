//! What is due, computed and not remembered: listings, receipts and attempts flow in, the standing of each lot of an arc
//! flows out. Nothing here touches a store or a clock.
//!
//! A lot of an arc is up to date when every sink's latest commit was made from exactly the source commits that are there
//! now, and the attempt that made it has been finished. Everything else follows.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use manifests::{ArcSource, ArcSpec, ArcState, Lot, RunPlan, SourceCommit};

/// How long after its first failure a run is tried again; each further failure doubles it.
pub const BACKOFF_SECONDS: i64 = 10;
/// The longest wait between two attempts.
pub const BACKOFF_SECONDS_MAX: i64 = 900;
/// Attempts in a row that died without a word before a lot is left to a person: a lot that kills its workers.
pub const SILENT_ATTEMPTS_MAX: u32 = 10;

/// The last attempt at a lot of an arc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastAttempt {
    /// Its state.
    pub state: ArcState,
    /// Lease end (running) or end.
    pub until: DateTime<Utc>,
    /// What went wrong.
    pub cause: Option<String>,
    /// Whether another attempt may do better by itself.
    pub transient: bool,
    /// Whether its owner is known to be gone, so that its lease holds nobody up.
    pub is_dead: bool,
    /// Attempts since the last success that did not succeed, this one included.
    pub failures: u32,
}

/// What one lot of an arc's sinks was made from: the source commits of every sink's latest commit, where all have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// Some sink has no commit.
    Nothing,
    /// All have; from these.
    From(Vec<Vec<SourceCommit>>),
    /// All have; older than anybody looks back, and taken for up to date.
    LongAgo,
}

/// What is there, as far as one arc is concerned.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// For each of the arc's sources, in their order: its lots and their latest generations.
    pub sources: Vec<BTreeMap<Lot, u32>>,
    /// The same for the first lot of each source, where `sources` begins later than it: a source has every lot from its first
    /// on, or lacks it.
    pub firsts: Vec<Option<Lot>>,
    /// What the sinks' lots were made from; absent means nothing.
    pub made: BTreeMap<Lot, Made>,
    /// The last attempts.
    pub attempts: BTreeMap<Lot, LastAttempt>,
}

/// Why a lot is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its sources are there and it was never made.
    New,
    /// A source has changed since.
    Newer,
    /// It failed, and may do better now.
    Retry,
    /// Its attempt died.
    Takeover,
    /// It is committed, but its attempt was not finished: the event may be missing.
    Repair,
    /// Its deadline has passed; it runs with what is there.
    Deadline,
}

/// How a lot of an arc stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// Source lots are missing.
    Waiting {
        /// How many.
        missing: usize,
    },
    /// It can run now.
    Due {
        /// The run.
        plan: RunPlan,
        /// The reason.
        why: Why,
    },
    /// Somebody works on it until then.
    Running(DateTime<Utc>),
    /// It failed and is tried again then.
    Backoff(DateTime<Utc>),
    /// It failed for good; `arc retry` tries again.
    Failed(String),
    /// Up to date: complete, or partial.
    Done(ArcState),
}

/// How every lot stands that the arc has or could have, in order.
pub fn standings(arc: &ArcSpec, view: &View, now: DateTime<Utc>) -> BTreeMap<Lot, Standing> {
    let lots: BTreeSet<Lot> = candidates(arc, view).collect();
    lots.into_iter().map(|lot| (lot, standing(arc, view, lot, now))).collect()
}

fn candidates<'a>(arc: &'a ArcSpec, view: &'a View) -> impl Iterator<Item = Lot> + 'a {
    let subscribed = arc.sources.iter().zip(&view.sources).filter(|(source, _)| source.subscribe);
    let covering = subscribed.flat_map(|(source, lots)| lots.keys().filter(|lot| lot.unit() == source.unit));
    covering.filter_map(|lot| lot.covering(arc.unit))
}

/// How one lot stands.
pub fn standing(arc: &ArcSpec, view: &View, lot: Lot, now: DateTime<Utc>) -> Standing {
    let (plan, missing) = plan(arc, view, lot);
    let overdue = arc.deadline.is_some_and(|deadline| now >= lot.end() + deadline);
    if missing > 0 && !overdue {
        return Standing::Waiting { missing };
    }
    let made = view.made.get(&lot).unwrap_or(&Made::Nothing);
    let attempt = view.attempts.get(&lot);
    let new = if missing > 0 { Why::Deadline } else { Why::New };
    match (made, attempt) {
        (Made::LongAgo, attempt) if attempt.is_none_or(|attempt| is_final(attempt.state)) => done(attempt),
        (Made::From(made), attempt) if made.iter().all(|made| is_same(arc, made, &plan.sources)) => finished_or(attempt, plan, now),
        (Made::Nothing, None) => Standing::Due { plan, why: new },
        (Made::Nothing, Some(attempt)) => again(arc, attempt, plan, Why::Retry, now),
        (_, Some(attempt)) => again(arc, attempt, plan, Why::Newer, now),
        (_, None) => Standing::Due { plan, why: Why::Newer },
    }
}

/// The run of a lot with what is there now, and how many source lots are missing from it.
pub fn plan(arc: &ArcSpec, view: &View, lot: Lot) -> (RunPlan, usize) {
    let (sources, missing) = sources_of(arc, view, lot);
    (RunPlan { lot, sources, replay: false }, missing)
}

fn is_final(state: ArcState) -> bool {
    matches!(state, ArcState::Complete | ArcState::Partial)
}

fn done(attempt: Option<&LastAttempt>) -> Standing {
    Standing::Done(attempt.map_or(ArcState::Complete, |attempt| attempt.state))
}

/// The sinks are up to date: done, unless the attempt has yet to be finished.
fn finished_or(attempt: Option<&LastAttempt>, plan: RunPlan, now: DateTime<Utc>) -> Standing {
    match attempt {
        Some(attempt) if is_final(attempt.state) => done(Some(attempt)),
        Some(attempt) if is_leased(attempt, now) => Standing::Running(attempt.until),
        _ => Standing::Due { plan, why: Why::Repair },
    }
}

fn is_leased(attempt: &LastAttempt, now: DateTime<Utc>) -> bool {
    attempt.state == ArcState::Running && now < attempt.until && !attempt.is_dead
}

/// The sinks are not up to date and there was an attempt: whether there is to be another.
fn again(arc: &ArcSpec, attempt: &LastAttempt, plan: RunPlan, why: Why, now: DateTime<Utc>) -> Standing {
    let cause = || attempt.cause.clone().unwrap_or_else(|| "no cause was recorded".to_owned());
    match attempt.state {
        ArcState::Complete | ArcState::Partial => Standing::Due { plan, why: Why::Newer },
        ArcState::Running if is_leased(attempt, now) => Standing::Running(attempt.until),
        ArcState::Running if attempt.failures > SILENT_ATTEMPTS_MAX => {
            Standing::Failed(format!("{} attempts in a row died without a word", attempt.failures))
        }
        ArcState::Running => Standing::Due { plan, why: Why::Takeover },
        ArcState::Missing if !attempt.transient || attempt.failures > arc.retries => Standing::Failed(cause()),
        ArcState::Missing => {
            let again = attempt.until + backoff(attempt.failures);
            if now >= again { Standing::Due { plan, why } } else { Standing::Backoff(again) }
        }
    }
}

/// The wait after the n-th failure in a row.
fn backoff(failures: u32) -> TimeDelta {
    let seconds = BACKOFF_SECONDS.saturating_mul(1 << failures.saturating_sub(1).min(20));
    TimeDelta::seconds(seconds.min(BACKOFF_SECONDS_MAX))
}

/// The source commits of a lot, sorted, and how many are missing. Lots from before a source's first do not count.
fn sources_of(arc: &ArcSpec, view: &View, lot: Lot) -> (Vec<SourceCommit>, usize) {
    let (mut commits, mut missing) = (Vec::new(), 0);
    for (place, (source, lots)) in arc.sources.iter().zip(&view.sources).enumerate() {
        let known = view.firsts.get(place).into_iter().flatten();
        let first = lots.keys().chain(known).filter(|lot| lot.unit() == source.unit).min();
        if source.subscribe && first.is_none() {
            missing += 1;
        }
        for covered in lot.covered(source.unit).into_iter().filter(|covered| first.is_some_and(|first| covered >= first)) {
            let commit = |generation| SourceCommit { dataset: source.dataset.id(), lot: covered, generation };
            match lots.get(&covered) {
                Some(generation) => commits.push(commit(*generation)),
                None if source.subscribe => missing += 1,
                None => {}
            }
        }
    }
    commits.sort();
    (commits, missing)
}

/// Whether a commit was made from what is there now, of the sources that the arc waits for.
fn is_same(arc: &ArcSpec, made: &[SourceCommit], now: &[SourceCommit]) -> bool {
    let counts =
        |commit: &&SourceCommit| arc.sources.iter().any(|source: &ArcSource| source.subscribe && source.dataset.id() == commit.dataset);
    made.iter().filter(counts).eq(now.iter().filter(counts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use manifests::{ArcId, ArcSink, Dataset, LotUnit};

    fn dataset(name: &str) -> Dataset {
        Dataset { name: name.into(), version: "1".into(), path_uri: format!("memory:///{name}/") }
    }

    fn arc(unit: LotUnit, sources: &[&str], deadline_minutes: Option<i64>) -> ArcSpec {
        let source = |name: &&str| ArcSource {
            role: name.to_string(),
            dataset: dataset(name),
            unit: LotUnit::Twelfths,
            subscribe: !name.starts_with('~'),
        };
        ArcSpec {
            id: ArcId { project: "p".into(), version: "1".into(), arc: "a".into() },
            unit,
            sources: sources.iter().map(source).collect(),
            sinks: vec![ArcSink { role: "main".into(), dataset: dataset("out") }],
            deadline: deadline_minutes.map(TimeDelta::minutes),
            retries: 2,
            kind: "copy".into(),
            workload: serde_json::Value::Null,
        }
    }

    fn at(minute: i64) -> DateTime<Utc> {
        "2026-11-21T10:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minute)
    }

    /// The lot `n` five-minute steps after 10:00.
    fn lot(n: i64) -> Lot {
        Lot::containing(LotUnit::Twelfths, at(5 * n))
    }

    fn lots(generations: &[(i64, u32)]) -> BTreeMap<Lot, u32> {
        generations.iter().map(|(n, generation)| (lot(*n), *generation)).collect()
    }

    fn attempt(state: ArcState, minute: i64, failures: u32) -> LastAttempt {
        LastAttempt { state, until: at(minute), cause: Some("disk full".into()), transient: true, is_dead: false, failures }
    }

    fn check(arc: &ArcSpec, view: &View, minute: i64, expect: Expect) {
        let mut text = String::new();
        for (lot, standing) in standings(arc, view, at(minute)) {
            let standing = match standing {
                Standing::Due { plan, why } => {
                    let from: Vec<_> = plan.sources.iter().map(|from| format!("{}:{}", from.dataset.name, from.generation)).collect();
                    format!("due {why:?} from {}", from.join(" "))
                }
                other => format!("{other:?}"),
            };
            text += &format!("{} {standing}\n", &lot.to_string()[8..]);
        }
        expect.assert_eq(&text);
    }

    fn made(arc: &ArcSpec, n: i64, generation: u32) -> Made {
        let from = arc.sources.iter().map(|source| SourceCommit { dataset: source.dataset.id(), lot: lot(n), generation });
        Made::From(vec![from.collect()])
    }

    #[test]
    fn a_new_lot_is_due_a_made_one_is_done_a_newer_source_makes_it_due_again() {
        let arc = arc(LotUnit::Twelfths, &["a"], None);
        let mut view = View { sources: vec![lots(&[(0, 1), (1, 1), (2, 2), (3, 1)])], ..View::default() };
        view.made.extend([(lot(1), made(&arc, 1, 1)), (lot(2), made(&arc, 2, 1)), (lot(3), made(&arc, 3, 1))]);
        view.attempts.extend([
            (lot(1), attempt(ArcState::Complete, 0, 0)),
            (lot(2), attempt(ArcState::Complete, 0, 0)),
            (lot(3), attempt(ArcState::Running, 0, 1)),
        ]);
        check(
            &arc,
            &view,
            60,
            expect![[r#"
            PT5M120 due New from a:1
            PT5M121 Done(Complete)
            PT5M122 due Newer from a:2
            PT5M123 due Repair from a:1
        "#]],
        );
    }

    #[test]
    fn a_coarse_lot_waits_for_all_it_covers_or_its_deadline() {
        let arc = arc(LotUnit::Fourths, &["a"], Some(10));
        // The dataset begins with the second lot of the first quarter.
        let view = View { sources: vec![lots(&[(1, 1), (2, 1), (3, 1), (6, 1)])], ..View::default() };
        check(
            &arc,
            &view,
            39,
            expect![[r#"
            PT15M040 due New from a:1 a:1
            PT15M041 Waiting { missing: 2 }
            PT15M042 Waiting { missing: 2 }
        "#]],
        );
        check(
            &arc,
            &view,
            40,
            expect![[r#"
            PT15M040 due New from a:1 a:1
            PT15M041 due Deadline from a:1
            PT15M042 Waiting { missing: 2 }
        "#]],
        );
    }

    #[test]
    fn several_sources_are_awaited_and_unsubscribed_ones_are_not() {
        let arc = arc(LotUnit::Twelfths, &["a", "b", "~c"], None);
        let view = View { sources: vec![lots(&[(0, 1), (1, 1)]), lots(&[(0, 1)]), lots(&[(0, 7)])], ..View::default() };
        check(
            &arc,
            &view,
            60,
            expect![[r#"
            PT5M120 due New from a:1 b:1 ~c:7
            PT5M121 Waiting { missing: 1 }
        "#]],
        );
        let silent = View { sources: vec![lots(&[(0, 1)]), lots(&[]), lots(&[])], ..View::default() };
        check(
            &arc,
            &silent,
            60,
            expect![[r#"
            PT5M120 Waiting { missing: 1 }
        "#]],
        );
    }

    #[test]
    fn failures_back_off_and_end() {
        let arc = arc(LotUnit::Twelfths, &["a"], None);
        let mut view = View { sources: vec![lots(&[(0, 1), (1, 1), (2, 1), (3, 1), (4, 1), (5, 1)])], ..View::default() };
        view.attempts.extend([
            (lot(0), attempt(ArcState::Missing, 59, 1)),
            (lot(1), attempt(ArcState::Missing, 60, 2)),
            (lot(2), attempt(ArcState::Missing, 0, 3)),
            (lot(3), LastAttempt { transient: false, ..attempt(ArcState::Missing, 0, 1) }),
            (lot(4), attempt(ArcState::Running, 61, 1)),
            (lot(5), LastAttempt { is_dead: true, ..attempt(ArcState::Running, 61, 1) }),
        ]);
        check(
            &arc,
            &view,
            60,
            expect![[r#"
            PT5M120 due Retry from a:1
            PT5M121 Backoff(2026-11-21T11:00:20Z)
            PT5M122 Failed("disk full")
            PT5M123 Failed("disk full")
            PT5M124 Running(2026-11-21T11:01:00Z)
            PT5M125 due Takeover from a:1
        "#]],
        );
    }
}
