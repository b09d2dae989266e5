//! What earlier lots hold, asked of the commits themselves: for boundaries that hear of arrivals by message and keep
//! nothing between two ticks.
//!
//! An object that arrived at a time can only be in the lot of that time or a later one, because a lot takes what arrived
//! before its end. So what arrived in the open lot is in no commit, and of what is late only the commits from its lot on
//! are read. What earlier notifications of the same object said its time was does not change, so a repeated message is
//! always found. An object that is written again is a new arrival here, also with the same content.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::iter::Peekable;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::future::try_join_all;
use manifests::{DatasetId, Lot, LotEntry, LotUnit, Manifest, ManifestsError, Stores, paths};
use serde::Deserialize;

use crate::arrivals::Arrival;
use crate::error::BoundaryError;
use crate::index::{Folded, Index, identities};

/// Objects of lots that were folded in which are remembered, 16 bytes each.
const REMEMBERED_MAX: usize = 2_000_000;
/// Commits that are read side by side, and the bytes that they may have together. A larger one is read alone.
const COMMITS_AT_ONCE: usize = 16;
const COMMIT_BYTES_AT_ONCE: u64 = 16 << 20;

/// An index that reads commits when it is asked, each once a question.
#[derive(Debug)]
pub struct CommitIndex {
    stores: Stores,
    dataset: DatasetId,
    unit: LotUnit,
    since: DateTime<Utc>,
    last: Option<Lot>,
    /// What was folded in, by lot; bounded, and read again where it is no longer here.
    remembered: BTreeMap<Lot, HashSet<u128>>,
}

/// An arrival that may be in an earlier lot.
struct Asked {
    /// Its place in the question.
    at: usize,
    /// The lot of its time: no earlier one holds it.
    lot: Lot,
    identity: u128,
}

/// What of a commit says what it holds.
#[derive(Deserialize)]
struct Held<'a> {
    #[serde(borrow)]
    objects: Vec<HeldObject<'a>>,
}

#[derive(Deserialize)]
struct HeldObject<'a> {
    #[serde(borrow)]
    uri: Cow<'a, str>,
    size: u64,
    etag: Option<String>,
    #[serde(default)]
    arrived: Option<DateTime<Utc>>,
}

impl HeldObject<'_> {
    fn identity(&self) -> u128 {
        match &self.etag {
            Some(etag) => hash(&self.uri, etag),
            None => hash(&self.uri, &format!("{}-{}", self.size, self.arrived.map_or(0, |arrived| arrived.timestamp_micros()))),
        }
    }
}

impl CommitIndex {
    /// An index of a dataset's commits. Its last commit is looked for from `since` on, and only then among all.
    pub fn new(stores: Stores, dataset: DatasetId, unit: LotUnit, since: DateTime<Utc>) -> CommitIndex {
        CommitIndex { stores, dataset, unit, since, last: None, remembered: BTreeMap::new() }
    }

    async fn last_lot(&self) -> Result<Option<Lot>, BoundaryError> {
        let of_boundary = |(lot, entry): &(&Lot, &LotEntry)| entry.generation > 0 && lot.unit() == self.unit;
        let recent = self.stores.lots_from(&self.dataset, Lot::containing(self.unit, self.since)).await?;
        if let Some((lot, _)) = recent.iter().rev().find(of_boundary) {
            return Ok(Some(*lot));
        }
        let all = self.stores.lots(&self.dataset).await?;
        Ok(all.iter().rev().find(of_boundary).map(|(lot, _)| *lot))
    }

    fn remember(&mut self, commit: &Manifest) {
        let held: HashSet<u128> = identities(commit).map(|(uri, mark)| hash(&uri, &mark)).collect();
        let mut objects: usize = self.remembered.values().map(HashSet::len).sum::<usize>() + held.len();
        while objects > REMEMBERED_MAX
            && let Some((_, oldest)) = self.remembered.pop_first()
        {
            objects -= oldest.len();
        }
        self.remembered.insert(commit.lot_id, held);
    }

    fn remembers(&self, asked: &Asked) -> bool {
        self.remembered.range(asked.lot..).any(|(_, held)| held.contains(&asked.identity))
    }

    /// Takes out what commits up to `last` hold. A lot without a commit is not remembered: a backfill may bring one.
    async fn look_up(&self, asked: &mut Vec<Asked>, last: Lot) -> Result<(), BoundaryError> {
        let Some(first) = asked.iter().map(|asked| asked.lot).min() else { return Ok(()) };
        if Lot::range(first, last).all(|lot| self.remembered.contains_key(&lot)) {
            return Ok(());
        }
        let mut commits = self.stores.first_commits_from(&self.dataset, first).await?;
        commits.retain(|lot, _| lot.unit() == self.unit && *lot <= last && !self.remembered.contains_key(lot));
        let (mut commits, wanted) = (commits.into_iter().peekable(), asked.iter().map(|asked| asked.identity).collect());
        while !asked.is_empty() && commits.peek().is_some() {
            let read = side_by_side(&mut commits).into_iter().map(|lot| self.found(lot, &wanted));
            for (lot, found) in try_join_all(read).await? {
                asked.retain(|asked| asked.lot > lot || !found.contains(&asked.identity));
            }
        }
        Ok(())
    }

    /// What a lot holds of what is wanted.
    async fn found(&self, lot: Lot, wanted: &HashSet<u128>) -> Result<(Lot, HashSet<u128>), BoundaryError> {
        let path = paths::commit(&self.dataset, lot, 1);
        let Some(body) = self.stores.manifest.get(&path).await? else { return Ok((lot, HashSet::new())) };
        let held: Held = serde_json::from_slice(&body).map_err(|error| {
            let (path, reason) = (self.stores.manifest.uri(&path), error.to_string());
            ManifestsError::Document { path, what: "a commit", reason }
        })?;
        Ok((lot, held.objects.iter().map(HeldObject::identity).filter(|identity| wanted.contains(identity)).collect()))
    }
}

/// The next commits that are read side by side: one at least.
fn side_by_side(commits: &mut Peekable<impl Iterator<Item = (Lot, u64)>>) -> Vec<Lot> {
    let (mut lots, mut sum) = (Vec::new(), 0);
    while let Some((lot, bytes)) =
        commits.next_if(|(_, bytes)| lots.is_empty() || (lots.len() < COMMITS_AT_ONCE && sum + bytes <= COMMIT_BYTES_AT_ONCE))
    {
        sum += bytes;
        lots.push(lot);
    }
    lots
}

/// 128 bits of an identity: of two million, two are the same once in 10²⁶ times.
pub(crate) fn hash(uri: &str, mark: &str) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, uri, mark).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

#[async_trait]
impl Index for CommitIndex {
    async fn folded(&mut self) -> Result<Option<Folded>, BoundaryError> {
        if self.last.is_none() {
            self.last = self.last_lot().await?;
        }
        Ok(self.last.map(|lot| Folded { lot, mark: None }))
    }

    async fn fold(&mut self, manifest: &Manifest) -> Result<(), BoundaryError> {
        self.remember(manifest);
        self.last = self.last.max(Some(manifest.lot_id));
        Ok(())
    }

    async fn unknown(&mut self, arrivals: Vec<Arrival>) -> Result<Vec<Arrival>, BoundaryError> {
        let Some(last) = self.last else { return Ok(arrivals) };
        let mut is_known = vec![false; arrivals.len()];
        let mut asked = Vec::new();
        for (at, arrival) in arrivals.iter().enumerate() {
            let lot = Lot::containing(self.unit, arrival.arrived);
            if lot <= last {
                is_known[at] = true;
                asked.push(Asked { at, lot, identity: hash(&arrival.uri, &arrival.mark()) });
            }
        }
        asked.retain(|asked| !self.remembers(asked));
        self.look_up(&mut asked, last).await?;
        asked.iter().for_each(|asked| is_known[asked.at] = false);
        Ok(arrivals.into_iter().zip(is_known).filter(|(_, is_known)| !is_known).map(|(arrival, _)| arrival).collect())
    }

    async fn clear(&mut self) -> Result<(), BoundaryError> {
        self.last = None;
        self.remembered.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use manifests::{Dataset, ManifestObject};

    fn lot(number: u32) -> Lot {
        format!("20230717PT5M{number:03}").parse().unwrap()
    }

    fn arrival(uri: &str, number: u32) -> Arrival {
        let (uri, etag, arrived) = (uri.into(), Some("e".into()), lot(number).start());
        Arrival { uri, size: 1, etag, version_id: None, arrived }
    }

    async fn commit(stores: &Stores, number: u32, uris: &[&str]) -> Manifest {
        let dataset = Dataset { name: "raw".into(), version: "1".into(), path_uri: "memory:///raw/".into() };
        let object = |uri: &&str| ManifestObject { uri: uri.to_string(), etag: Some("e".into()), ..ManifestObject::default() };
        let manifest = Manifest::new(dataset, lot(number), uris.iter().map(object).collect());
        stores.commit(&manifest).await.unwrap();
        manifest
    }

    #[tokio::test]
    async fn what_is_late_is_looked_for_from_its_lot_on() {
        let stores = Stores::memory().unwrap();
        let id = commit(&stores, 1, &["a", "b"]).await.dataset.id();
        commit(&stores, 2, &["c"]).await;
        for since in [lot(0).start(), lot(2).end()] {
            let mut index = CommitIndex::new(stores.clone(), id.clone(), LotUnit::Twelfths, since);
            assert_eq!(index.folded().await.unwrap().unwrap().lot, lot(2));
            let asked = ["a", "b", "c", "d"].map(|uri| arrival(uri, 1)).to_vec();
            assert_eq!(index.unknown(asked).await.unwrap(), [arrival("d", 1)]);
            assert_eq!(index.unknown(vec![arrival("a", 3)]).await.unwrap().len(), 1, "written again in the open lot");
        }
    }

    #[tokio::test]
    async fn what_was_folded_is_known_without_reading() {
        let stores = Stores::memory().unwrap();
        let one = commit(&stores, 1, &["a"]).await;
        let mut index = CommitIndex::new(Stores::memory().unwrap(), one.dataset.id(), LotUnit::Twelfths, lot(0).start());
        assert_eq!(index.folded().await.unwrap(), None);
        index.fold(&one).await.unwrap();
        assert_eq!(index.unknown(vec![arrival("a", 1), arrival("a", 0)]).await.unwrap(), []);
    }

    #[tokio::test]
    async fn an_arrival_is_not_in_a_lot_before_its_own() {
        let stores = Stores::memory().unwrap();
        let id = commit(&stores, 1, &["a"]).await.dataset.id();
        commit(&stores, 2, &["b"]).await;
        commit(&stores, 4, &[]).await;
        let mut index = CommitIndex::new(stores, id, LotUnit::Twelfths, lot(0).start());
        index.folded().await.unwrap();
        let asked = [arrival("a", 1), arrival("a", 2), arrival("b", 1), arrival("b", 2), arrival("b", 3)].to_vec();
        assert_eq!(index.unknown(asked).await.unwrap(), [arrival("a", 2), arrival("b", 3)], "written again with the same content");
    }

    /// Counts what is asked of a store.
    #[derive(Debug, Default)]
    struct Counted(std::sync::Mutex<BTreeMap<&'static str, usize>>);

    #[async_trait]
    impl manifests::Faults for Counted {
        async fn fate(&self, action: &'static str, _: bool, _: &str) -> manifests::Fate {
            *self.0.lock().unwrap().entry(action).or_default() += 1;
            manifests::Fate::Pass
        }
    }

    #[tokio::test]
    async fn each_commit_that_holds_something_is_read_once_for_all_that_is_late() {
        let counted = std::sync::Arc::new(Counted::default());
        let faults: std::sync::Arc<dyn manifests::Faults> = counted.clone();
        let objects =
            manifests::ObjectStores::memory().wrapped(move |store| std::sync::Arc::new(manifests::FaultyStore::new(store, faults.clone())));
        let stores = Stores::below(objects, "memory:///lake").unwrap();
        let mut id = None;
        for number in 10..40 {
            let name = format!("in-{number}");
            let uris: Vec<&str> = if number % 3 == 0 { vec![&name] } else { vec![] };
            let manifest = commit(&stores, number, &uris).await;
            stores.announce(&manifest, &manifests::MemoryBus::default()).await.unwrap();
            id = Some(manifest.dataset.id());
        }
        let mut index = CommitIndex::new(stores, id.unwrap(), LotUnit::Twelfths, lot(0).start());
        index.folded().await.unwrap();
        counted.0.lock().unwrap().clear();
        let mut asked: Vec<Arrival> = (0..3_000).map(|n| arrival(&format!("new-{n}"), n % 40)).collect();
        let new = asked.clone();
        asked.insert(7, arrival("in-12", 3));
        asked.push(arrival("in-39", 39));
        assert_eq!(index.unknown(asked).await.unwrap(), new);
        assert_eq!(*counted.0.lock().unwrap(), BTreeMap::from([("get", 10), ("list", 1)]), "ten lots of thirty hold something");
    }

    #[test]
    fn large_commits_are_read_alone_and_small_ones_together() {
        let read = |bytes: &[u64]| {
            let mut commits = (0..).map(lot).zip(bytes.iter().copied()).peekable();
            std::iter::from_fn(|| Some(side_by_side(&mut commits).len()).filter(|count| *count > 0)).collect::<Vec<_>>()
        };
        assert_eq!(read(&[1; 40]), [16, 16, 8]);
        assert_eq!(read(&[COMMIT_BYTES_AT_ONCE * 9, 1, COMMIT_BYTES_AT_ONCE, 5, 5]), [1, 1, 1, 2]);
    }
}
