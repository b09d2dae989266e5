//! What earlier lots hold, asked of the commits themselves: for boundaries that hear of arrivals by message and keep
//! nothing between two ticks.
//!
//! An object that arrived at a time can only be in the lot of that time or a later one, because a lot takes what arrived
//! before its end. So what arrived in the open lot is in no commit, and of what is late only the commits from its lot on
//! are read. What earlier notifications of the same object said its time was does not change, so a repeated message is
//! always found. An object that is written again is a new arrival here, also with the same content.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use manifests::{DatasetId, Lot, LotUnit, Manifest, Stores};

use crate::arrivals::Arrival;
use crate::error::BoundaryError;
use crate::index::{Folded, Index, identities, mark};

/// Objects of earlier lots that are remembered for the next question, 16 bytes each.
const REMEMBERED_MAX: usize = 2_000_000;

/// An index that reads commits when it is asked.
#[derive(Debug)]
pub struct CommitIndex {
    stores: Stores,
    dataset: DatasetId,
    unit: LotUnit,
    since: DateTime<Utc>,
    last: Option<Folded>,
    remembered: BTreeMap<Lot, HashSet<u128>>,
}

impl CommitIndex {
    /// An index of a dataset's commits. Its last commit is looked for from `since` on, and only then among all.
    pub fn new(stores: Stores, dataset: DatasetId, unit: LotUnit, since: DateTime<Utc>) -> CommitIndex {
        CommitIndex { stores, dataset, unit, since, last: None, remembered: BTreeMap::new() }
    }

    async fn last_lot(&self) -> Result<Option<Lot>, BoundaryError> {
        let from = Lot::containing(self.unit, self.since);
        for lots in [self.stores.lots_from(&self.dataset, from).await?, self.stores.lots(&self.dataset).await?] {
            let of_boundary = |(lot, entry): &(&Lot, &manifests::LotEntry)| entry.generation > 0 && lot.unit() == self.unit;
            if let Some((lot, _)) = lots.iter().rev().find(of_boundary) {
                return Ok(Some(*lot));
            }
        }
        Ok(None)
    }

    /// What a lot holds; `None` where it has no commit, which is not remembered: a backfill may bring one.
    async fn held(&mut self, lot: Lot) -> Result<Option<&HashSet<u128>>, BoundaryError> {
        if !self.remembered.contains_key(&lot)
            && let Some(commit) = self.stores.read_commit(&self.dataset, lot, 1).await?
        {
            self.remember(lot, &commit);
        }
        Ok(self.remembered.get(&lot))
    }

    fn remember(&mut self, lot: Lot, commit: &Manifest) {
        let held: HashSet<u128> = identities(commit).map(|(uri, mark)| hash(&uri, &mark)).collect();
        let mut objects: usize = self.remembered.values().map(HashSet::len).sum::<usize>() + held.len();
        while objects > REMEMBERED_MAX
            && let Some((_, oldest)) = self.remembered.pop_first()
        {
            objects -= oldest.len();
        }
        self.remembered.insert(lot, held);
    }
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
        if self.last.is_none()
            && let Some(lot) = self.last_lot().await?
            && let Some(commit) = self.stores.read_commit(&self.dataset, lot, 1).await?
        {
            self.last = Some(Folded { lot, mark: mark(&commit) });
        }
        Ok(self.last.clone())
    }

    async fn fold(&mut self, manifest: &Manifest) -> Result<(), BoundaryError> {
        self.remember(manifest.lot_id, manifest);
        if self.last.as_ref().is_none_or(|last| last.lot <= manifest.lot_id) {
            self.last = Some(Folded { lot: manifest.lot_id, mark: mark(manifest) });
        }
        Ok(())
    }

    async fn unknown(&mut self, mut arrivals: Vec<Arrival>) -> Result<Vec<Arrival>, BoundaryError> {
        let Some(last) = self.last.as_ref().map(|last| last.lot) else { return Ok(arrivals) };
        let lot_of = |arrival: &Arrival| Lot::containing(self.unit, arrival.arrived);
        let Some(mut lot) = arrivals.iter().map(lot_of).min() else { return Ok(arrivals) };
        while lot <= last {
            if let Some(held) = self.held(lot).await? {
                arrivals.retain(|arrival| !held.contains(&hash(&arrival.uri, &arrival.mark())));
            }
            lot = lot.next();
        }
        Ok(arrivals)
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
}
