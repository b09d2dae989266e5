//! Attempts at an arc run, and the leases that keep two from working at once. Times are parameters. An attempt's
//! `running.arc` is created only if absent, so of two racing workers one wins; a later attempt takes over when the
//! lease has expired. A finished attempt's `complete.arc`, `partial.arc` or `missing.arc` outweighs its `running.arc`, which stays.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::commits::{from_json, to_json};
use crate::error::ManifestsError;
use crate::lot::Lot;
use crate::paths::{self, ArcId, ArcState};
use crate::store::Stores;

/// What a state file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptRecord {
    /// Who works on it: host and process, or the Batch job.
    pub owner: String,
    /// When the attempt began.
    pub started: DateTime<Utc>,
    /// Until when nobody else may take over (running), or when it ended.
    pub until: DateTime<Utc>,
    /// What went wrong or what is missing, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// For a failed attempt: whether another attempt may do better without anybody changing anything.
    #[serde(default)]
    pub transient: bool,
    /// URIs of files that the attempt makes readable under names that no earlier commit has. Whoever comes after it
    /// removes those that no commit lists then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publishes: Vec<String>,
}

/// The last attempt at a lot of an arc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// Its state.
    pub state: ArcState,
    /// Its state file.
    pub record: AttemptRecord,
}

impl Attempt {
    /// Whether somebody is at work on it at `now`.
    pub fn is_leased(&self, now: DateTime<Utc>) -> bool {
        self.state == ArcState::Running && now < self.record.until
    }
}

/// The right to work on a lot of an arc, until `until` or longer if renewed.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The arc.
    pub arc: ArcId,
    /// The lot.
    pub lot: Lot,
    /// The attempt, from 1.
    pub attempt: u32,
    record: AttemptRecord,
    length: TimeDelta,
}

impl Lease {
    /// Says which files this attempt is about to make readable; the next renewal writes it down.
    pub fn will_publish(&mut self, uris: impl IntoIterator<Item = String>) {
        self.record.publishes.extend(uris);
    }

    /// Files that this attempt, or failed ones right before it, made readable, as far as they said so.
    pub fn publishes(&self) -> &[String] {
        &self.record.publishes
    }
}

impl Stores {
    /// The last attempt at a lot; `None` before the first.
    pub async fn last_attempt(&self, arc: &ArcId, lot: Lot) -> Result<Option<Attempt>, ManifestsError> {
        let listed = self.arc_state.list(&paths::arc_lot_dir(arc, lot)).await?;
        let Some((number, state)) =
            last_of(listed.iter().filter_map(paths::parse_attempt_path).map(|(_, _, number, state)| (number, state)))
        else {
            return Ok(None);
        };
        let path = paths::attempt(arc, lot, number, state);
        match self.arc_state.get(&path).await? {
            Some(body) => Ok(Some(Attempt { number, state, record: read_record(&self.arc_state.uri(&path), &body)? })),
            // Finished between listing and reading: the terminal file is there now.
            None => Box::pin(self.last_attempt(arc, lot)).await,
        }
    }

    /// The last attempt's number and state of every lot of an arc, from the listing alone, in order.
    pub async fn attempts(&self, arc: &ArcId) -> Result<std::collections::BTreeMap<Lot, (u32, ArcState)>, ManifestsError> {
        let mut lots: std::collections::BTreeMap<Lot, (u32, ArcState)> = std::collections::BTreeMap::new();
        for path in self.arc_state.list(&paths::arc_dir(arc)).await? {
            if let Some((_, lot, number, state)) = paths::parse_attempt_path(&path) {
                let last = lots.get(&lot).copied().into_iter().chain([(number, state)]);
                lots.extend(last_of(last).map(|last| (lot, last)));
            }
        }
        Ok(lots)
    }

    /// Takes the lease for the next attempt. Fails with [`ManifestsError::Leased`] while another attempt holds it or
    /// when another wins the race for it. An owner of whom `is_dead` is certain holds nothing (a process of this host
    /// that is gone); where nobody can be certain, the lease has to expire.
    pub async fn acquire(
        &self,
        arc: &ArcId,
        lot: Lot,
        owner: &str,
        now: DateTime<Utc>,
        length: TimeDelta,
        is_dead: impl Fn(&str) -> bool,
    ) -> Result<Lease, ManifestsError> {
        let last = self.last_attempt(arc, lot).await?;
        let leased = |attempt: u32, until| ManifestsError::Leased { arc: arc.arc.clone(), lot, attempt, until };
        if let Some(last) = last.as_ref().filter(|last| last.is_leased(now) && !is_dead(&last.record.owner)) {
            return Err(leased(last.number, last.record.until));
        }
        let attempt = last.as_ref().map_or(0, |last| last.number) + 1;
        let failed = last.filter(|last| matches!(last.state, ArcState::Running | ArcState::Missing));
        let publishes = failed.map(|last| last.record.publishes).unwrap_or_default();
        let record = AttemptRecord { owner: owner.to_owned(), started: now, until: now + length, cause: None, transient: false, publishes };
        let path = paths::attempt(arc, lot, attempt, ArcState::Running);
        match self.arc_state.claim(&path, to_json(&record)?).await? {
            true => Ok(Lease { arc: arc.clone(), lot, attempt, record, length }),
            false => Err(leased(attempt, now + length)),
        }
    }

    /// Holds the lease for its length from `now`. Fails with [`ManifestsError::Leased`] when another attempt took over:
    /// then stop and publish nothing.
    pub async fn renew(&self, lease: &mut Lease, now: DateTime<Utc>) -> Result<(), ManifestsError> {
        if let Some(last) = self.last_attempt(&lease.arc, lease.lot).await?.filter(|last| last.number != lease.attempt) {
            return Err(ManifestsError::Leased {
                arc: lease.arc.arc.clone(),
                lot: lease.lot,
                attempt: last.number,
                until: last.record.until,
            });
        }
        lease.record.until = now + lease.length;
        let path = paths::attempt(&lease.arc, lease.lot, lease.attempt, ArcState::Running);
        self.arc_state.put(&path, to_json(&lease.record)?).await
    }

    /// Ends the running attempt of `owner`, who holds no lease any more or never knew of one, as [`Stores::finish`] does.
    /// True when it was this call that ended it: an attempt that is over, or is another's by now, stays as it is.
    #[allow(clippy::too_many_arguments)]
    pub async fn end_attempt(
        &self,
        arc: &ArcId,
        lot: Lot,
        owner: &str,
        state: ArcState,
        cause: Option<String>,
        transient: bool,
        now: DateTime<Utc>,
    ) -> Result<bool, ManifestsError> {
        let Some(lease) = self.lease_of(arc, lot, owner, TimeDelta::zero()).await? else { return Ok(false) };
        self.finish(&lease, state, cause, transient, now).await?;
        Ok(true)
    }

    /// The lease of the running attempt of `owner`, for who goes on in its name; `None` where that is over, or another
    /// attempt has come after it.
    pub async fn lease_of(&self, arc: &ArcId, lot: Lot, owner: &str, length: TimeDelta) -> Result<Option<Lease>, ManifestsError> {
        let last = self.last_attempt(arc, lot).await?;
        let own = last.filter(|last| last.state == ArcState::Running && last.record.owner == owner);
        Ok(own.map(|last| Lease { arc: arc.clone(), lot, attempt: last.number, record: last.record, length }))
    }

    /// Ends the attempt in `state` at `now`, with the cause where it is not complete. Its `running.arc` stays: it is what
    /// keeps somebody with an old listing from taking the same attempt once more.
    pub async fn finish(
        &self,
        lease: &Lease,
        state: ArcState,
        cause: Option<String>,
        transient: bool,
        now: DateTime<Utc>,
    ) -> Result<(), ManifestsError> {
        let mut record = AttemptRecord { until: now, cause, transient, ..lease.record.clone() };
        if state != ArcState::Missing {
            record.publishes.clear();
        }
        self.arc_state.put(&paths::attempt(&lease.arc, lease.lot, lease.attempt, state), to_json(&record)?).await
    }
}

/// The highest attempt; of its states a final one before `running`.
fn last_of(attempts: impl Iterator<Item = (u32, ArcState)>) -> Option<(u32, ArcState)> {
    attempts.max_by_key(|(number, state)| (*number, *state != ArcState::Running))
}

fn read_record(path: &str, body: &[u8]) -> Result<AttemptRecord, ManifestsError> {
    from_json(path, "an attempt's state", body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap()
    }

    fn arc() -> (ArcId, Lot) {
        let arc = ArcId { project: "p".into(), version: "1".into(), arc: "a".into() };
        (arc, "20230717PT5M250".parse().unwrap())
    }

    #[tokio::test]
    async fn a_lease_keeps_others_out_until_it_expires() {
        let (stores, (arc, lot), minute) = (Stores::memory().unwrap(), arc(), TimeDelta::minutes(1));
        let mut first = stores.acquire(&arc, lot, "one", at(0), minute, |_| false).await.unwrap();
        assert!(stores.acquire(&arc, lot, "two", at(59), minute, |_| false).await.unwrap_err().is_transient());
        stores.renew(&mut first, at(30)).await.unwrap();
        assert!(stores.acquire(&arc, lot, "two", at(89), minute, |_| false).await.is_err());
        let dead = stores.acquire(&arc, lot, "two", at(89), minute, |owner| owner == "nobody").await;
        assert!(dead.is_err());
        let second = stores.acquire(&arc, lot, "two", at(90), minute, |_| false).await.unwrap();
        assert_eq!(second.attempt, 2);
        let fenced = stores.renew(&mut first, at(91)).await.unwrap_err();
        assert!(matches!(fenced, ManifestsError::Leased { attempt: 2, .. }), "{fenced}");
    }

    #[tokio::test]
    async fn a_final_state_outweighs_running() {
        let (stores, (arc, lot), minute) = (Stores::memory().unwrap(), arc(), TimeDelta::minutes(1));
        let lease = stores.acquire(&arc, lot, "one", at(0), minute, |_| false).await.unwrap();
        stores.finish(&lease, ArcState::Missing, Some("disk full".into()), true, at(5)).await.unwrap();
        let running = paths::attempt(&arc, lot, 1, ArcState::Running);
        assert!(!stores.arc_state.create(&running, "{}").await.unwrap(), "an attempt is taken once");
        let last = stores.last_attempt(&arc, lot).await.unwrap().unwrap();
        assert_eq!((last.state, last.record.cause.as_deref()), (ArcState::Missing, Some("disk full")));
        assert_eq!(stores.attempts(&arc).await.unwrap()[&lot], (1, ArcState::Missing));
        assert_eq!(stores.acquire(&arc, lot, "two", at(6), minute, |_| false).await.unwrap().attempt, 2);
    }
}
