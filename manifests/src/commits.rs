//! Commits: the one truth of a lot. Manifests flow in and are created, never changed; the state copy and the event
//! follow from the commit and can be made again at any time.

use std::collections::BTreeMap;

use crate::bus::Bus;
use crate::dataset::{Dataset, DatasetId};
use crate::error::ManifestsError;
use crate::event::AvailabilityEvent;
use crate::lot::Lot;
use crate::manifest::{Manifest, State, StateCopy};
use crate::paths::{self, ManifestPath};
use crate::store::Stores;

/// What a listing says of a lot of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LotEntry {
    /// The latest generation; 0 where there are state copies alone, as Clusterless writes them.
    pub generation: u32,
    /// The state, as far as the listing knows it: from the state copy.
    pub state: Option<State>,
    /// State copies. More than one, or one that says other than the commit, is what an announcer left that died.
    pub copies: u32,
}

impl Stores {
    /// Creates the commit. Fails with [`ManifestsError::Committed`] where that generation is taken by another one; the other's
    /// commit is then the truth. The state copy and the event are not written here: see [`Stores::announce`].
    pub async fn commit(&self, manifest: &Manifest) -> Result<(), ManifestsError> {
        let (dataset, lot, generation) = (manifest.dataset.id(), manifest.lot_id, manifest.generation);
        let path = paths::commit(&dataset, lot, generation);
        match self.manifest.claim(&path, to_json(manifest)?).await? {
            true => Ok(()),
            false => Err(ManifestsError::Committed { dataset: dataset.to_string(), lot, generation }),
        }
    }

    /// Writes the state copy of a commit, removes all other copies, publishes the event. Safe to repeat. Where a
    /// later generation is there, or comes meanwhile, that one is announced: the copy says what the last commit says.
    pub async fn announce(&self, manifest: &Manifest, bus: &dyn Bus) -> Result<(), ManifestsError> {
        let (dataset, lot) = (manifest.dataset.id(), manifest.lot_id);
        let mut newer: Option<Manifest> = None;
        let mut listed = self.manifest.list(&paths::lot_dir(&dataset, lot)).await?;
        loop {
            let generation = listed.iter().filter_map(generation_of).max().unwrap_or(0);
            if generation > newer.as_ref().unwrap_or(manifest).generation {
                newer = self.read_commit(&dataset, lot, generation).await?.or(newer);
            }
            let latest = newer.as_ref().unwrap_or(manifest);
            self.copy_state(latest, &listed).await?;
            listed = self.manifest.list(&paths::lot_dir(&dataset, lot)).await?;
            let is_newer = |path| generation_of(path).is_some_and(|generation| generation > latest.generation);
            let copy = paths::state_copy(&dataset, lot, latest.state);
            if !listed.iter().any(|path| is_newer(path) || is_other_copy(path, &copy)) {
                break;
            }
        }
        let latest = newer.as_ref().unwrap_or(manifest);
        let copy = self.manifest.uri(&paths::state_copy(&dataset, lot, latest.state));
        bus.publish(&AvailabilityEvent::new(latest, copy), latest.generation).await
    }

    async fn copy_state(&self, manifest: &Manifest, listed: &[object_store::path::Path]) -> Result<(), ManifestsError> {
        let copy = paths::state_copy(&manifest.dataset.id(), manifest.lot_id, manifest.state);
        // A statement of its own: the copy's quarter of a million URIs are gone before its text is sent.
        let body = to_json(&manifest.state_copy())?;
        self.manifest.put(&copy, body).await?;
        for path in listed {
            if is_other_copy(path, &copy) {
                self.manifest.delete(path.as_ref()).await?;
            }
        }
        Ok(())
    }

    /// The commit of one generation; `None` where there is none.
    pub async fn read_commit(&self, dataset: &DatasetId, lot: Lot, generation: u32) -> Result<Option<Manifest>, ManifestsError> {
        let path = paths::commit(dataset, lot, generation);
        self.manifest.get(&path).await?.map(|body| from_json(&self.manifest.uri(&path), "a commit", &body)).transpose()
    }

    /// The latest manifest of a lot: its last commit, else its state copy (generation 0); `None` where there is neither.
    pub async fn latest(&self, dataset: &Dataset, lot: Lot) -> Result<Option<Manifest>, ManifestsError> {
        let id = dataset.id();
        let listed = self.manifest.list(&paths::lot_dir(&id, lot)).await?;
        let generation = listed.iter().filter_map(generation_of).max();
        if let Some(generation) = generation {
            return self.read_commit(&id, lot, generation).await;
        }
        let copy = listed.iter().find(|path| matches!(paths::parse_manifest_path(path), Some(ManifestPath::StateCopy(..))));
        let Some(path) = copy else { return Ok(None) };
        let Some(body) = self.manifest.get(path.as_ref()).await? else { return Ok(None) };
        let copy: StateCopy = from_json(&self.manifest.uri(path.as_ref()), "a manifest", &body)?;
        Ok(Some(copy.into_manifest(dataset.clone())))
    }

    /// All lots of a dataset, from the listing alone, in order.
    pub async fn lots(&self, dataset: &DatasetId) -> Result<BTreeMap<Lot, LotEntry>, ManifestsError> {
        Ok(entries(self.manifest.list(&paths::dataset_dir(dataset)).await?))
    }

    /// The lots of a dataset from `first` on (of `first`'s unit), from the listing alone, in order.
    pub async fn lots_from(&self, dataset: &DatasetId, first: Lot) -> Result<BTreeMap<Lot, LotEntry>, ManifestsError> {
        let after = paths::lot_dir(dataset, first);
        Ok(entries(self.manifest.list_after(&paths::dataset_dir(dataset), &after).await?))
    }

    /// The lots of a dataset from `first` on whose first commit holds objects, as far as a listing tells, and the bytes of
    /// that commit. For a boundary's dataset, which has no other generations.
    pub async fn first_commits_from(&self, dataset: &DatasetId, first: Lot) -> Result<BTreeMap<Lot, u64>, ManifestsError> {
        let after = paths::lot_dir(dataset, first);
        let listed = self.manifest.list_sizes_after(&paths::dataset_dir(dataset), &after).await?;
        let (mut commits, mut states) = (BTreeMap::new(), BTreeMap::new());
        for (path, bytes) in &listed {
            match paths::parse_manifest_path(path) {
                Some(ManifestPath::Commit(_, lot, 1)) => _ = commits.insert(lot, *bytes),
                Some(ManifestPath::StateCopy(_, lot, state)) => states.entry(lot).or_insert_with(Vec::new).push(state),
                _ => {}
            }
        }
        commits.retain(|lot, _| states.get(lot).is_none_or(|states| states != &[State::Empty]));
        Ok(commits)
    }

    /// The lots of a dataset from `first` to `last`, both included, from a listing of little more than them.
    pub async fn lots_within(&self, dataset: &DatasetId, first: Lot, last: Lot) -> Result<BTreeMap<Lot, LotEntry>, ManifestsError> {
        if first == last {
            return Ok(entries(self.manifest.list(&paths::lot_dir(dataset, first)).await?));
        }
        let mut lots = self.lots_from(dataset, first).await?;
        lots.retain(|lot, _| lot.unit() == first.unit() && *lot <= last);
        Ok(lots)
    }
}

fn generation_of(path: &object_store::path::Path) -> Option<u32> {
    match paths::parse_manifest_path(path) {
        Some(ManifestPath::Commit(_, _, generation)) => Some(generation),
        _ => None,
    }
}

/// Whether the path is a state copy other than `copy`: of another state, or where another tool keeps its attempts apart.
fn is_other_copy(path: &object_store::path::Path, copy: &str) -> bool {
    path.as_ref() != copy && matches!(paths::parse_manifest_path(path), Some(ManifestPath::StateCopy(..)))
}

fn entries(listed: Vec<object_store::path::Path>) -> BTreeMap<Lot, LotEntry> {
    let mut lots = BTreeMap::new();
    for found in listed.iter().filter_map(paths::parse_manifest_path) {
        let (lot, generation, state) = match found {
            ManifestPath::Commit(_, lot, generation) => (lot, generation, None),
            ManifestPath::StateCopy(_, lot, state) => (lot, 0, Some(state)),
        };
        let entry = lots.entry(lot).or_insert(LotEntry { generation: 0, state: None, copies: 0 });
        entry.generation = entry.generation.max(generation);
        entry.copies += u32::from(state.is_some());
        entry.state = state.or(entry.state);
    }
    lots
}

pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, ManifestsError> {
    serde_json::to_vec(value).map_err(|error| document("", "JSON", &error))
}

pub(crate) fn from_json<T: serde::de::DeserializeOwned>(path: &str, what: &'static str, body: &[u8]) -> Result<T, ManifestsError> {
    serde_json::from_slice(body).map_err(|error| document(path, what, &error))
}

fn document(path: &str, what: &'static str, error: &serde_json::Error) -> ManifestsError {
    ManifestsError::Document { path: path.to_owned(), what, reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::MemoryBus;
    use crate::manifest::ManifestObject;

    fn manifest(generation: u32, uris: &[&str]) -> Manifest {
        let dataset = Dataset { name: "logs".into(), version: "1".into(), path_uri: "memory:///logs/".into() };
        let objects = uris.iter().map(|uri| ManifestObject { uri: uri.to_string(), ..ManifestObject::default() }).collect();
        Manifest { generation, ..Manifest::new(dataset, "20230717PT5M250".parse().unwrap(), objects) }
    }

    #[tokio::test]
    async fn one_truth_a_generation() {
        let stores = Stores::memory().unwrap();
        stores.commit(&manifest(1, &["a"])).await.unwrap();
        let error = stores.commit(&manifest(1, &["b"])).await.unwrap_err();
        assert!(matches!(error, ManifestsError::Committed { generation: 1, .. }) && !error.is_transient());
        stores.commit(&manifest(1, &["a"])).await.expect("the answer was lost, and the client asked again");
        let latest = stores.latest(&manifest(1, &[]).dataset, manifest(1, &[]).lot_id).await.unwrap().unwrap();
        assert_eq!(latest.uris, ["a"]);
    }

    #[tokio::test]
    async fn a_lot_is_never_both_empty_and_complete() {
        let (stores, bus) = (Stores::memory().unwrap(), MemoryBus::default());
        for manifest in [manifest(1, &[]), manifest(2, &["a"])] {
            stores.commit(&manifest).await.unwrap();
            stores.announce(&manifest, &bus).await.unwrap();
            stores.announce(&manifest, &bus).await.unwrap();
        }
        stores.announce(&manifest(1, &[]), &bus).await.unwrap();
        let lots = stores.lots(&manifest(1, &[]).dataset.id()).await.unwrap();
        assert_eq!(lots.values().collect::<Vec<_>>(), [&LotEntry { generation: 2, state: Some(State::Complete), copies: 1 }]);
        let copies = stores.manifest.list("datasets").await.unwrap();
        assert_eq!(copies.iter().filter(|path| path.as_ref().contains("state=")).count(), 1);
    }

    #[tokio::test]
    async fn a_dataset_of_clusterless_reads_from_its_state_copy() {
        let stores = Stores::memory().unwrap();
        let manifest = manifest(1, &["a"]);
        let path = paths::state_copy(&manifest.dataset.id(), manifest.lot_id, State::Complete);
        stores.manifest.put(&path, to_json(&manifest.state_copy()).unwrap()).await.unwrap();
        let read = stores.latest(&manifest.dataset, manifest.lot_id).await.unwrap().unwrap();
        assert_eq!((read.generation, read.uris), (0, vec!["a".to_owned()]));
        stores.manifest.put(&path, "{").await.unwrap();
        let error = stores.latest(&manifest.dataset, manifest.lot_id).await.unwrap_err().to_string();
        assert!(error.contains("does not read as a manifest"), "{error}");
    }
}
