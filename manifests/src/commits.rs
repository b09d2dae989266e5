//! Commits: the one truth of a lot. Manifests flow in and are created, never changed; the state copy and the event
//! follow from the commit and can be made again at any time.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::bus::Bus;
use crate::dataset::{Dataset, DatasetId};
use crate::error::ManifestsError;
use crate::event::AvailabilityEvent;
use crate::lot::Lot;
use crate::manifest::{Manifest, State, StateCopy};
use crate::paths::{self, ManifestPath};
use crate::store::Stores;

/// Paths that are listed to find a dataset's first lots: a page of S3.
const FIRST_PATHS: usize = 1_000;

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

/// How much there is in a lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Extent {
    /// The state.
    pub state: State,
    /// Bytes of all objects.
    #[serde(rename = "objects", deserialize_with = "sum_of_sizes")]
    pub bytes: u64,
}

/// Adds up sizes and keeps nothing of the objects.
fn sum_of_sizes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    struct Sized {
        size: u64,
    }
    struct Sum;
    impl<'de> Visitor<'de> for Sum {
        type Value = u64;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a list of objects")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut objects: A) -> Result<u64, A::Error> {
            let mut bytes = 0_u64;
            while let Some(object) = objects.next_element::<Sized>()? {
                bytes = bytes.saturating_add(object.size);
            }
            Ok(bytes)
        }
    }
    deserializer.deserialize_seq(Sum)
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
        let mut lots = entries(self.manifest.list_after(&paths::dataset_dir(dataset), &before(dataset, first)).await?);
        lots.retain(|lot, _| lot.unit() != first.unit() || *lot >= first);
        Ok(lots)
    }

    /// The lots of a dataset from `first` on whose first commit holds objects, as far as a listing tells, and the bytes of
    /// that commit. For a boundary's dataset, which has no other generations.
    pub async fn first_commits_from(&self, dataset: &DatasetId, first: Lot) -> Result<BTreeMap<Lot, u64>, ManifestsError> {
        let listed = self.manifest.list_sizes_after(&paths::dataset_dir(dataset), &before(dataset, first)).await?;
        let (mut commits, mut states) = (BTreeMap::new(), BTreeMap::new());
        for (path, bytes) in &listed {
            match paths::parse_manifest_path(path) {
                Some(ManifestPath::Commit(_, lot, 1)) => _ = commits.insert(lot, *bytes),
                Some(ManifestPath::StateCopy(_, lot, state)) => states.entry(lot).or_insert_with(Vec::new).push(state),
                _ => {}
            }
        }
        commits.retain(|lot, _| *lot >= first && states.get(lot).is_none_or(|states| states != &[State::Empty]));
        Ok(commits)
    }

    /// The lots of a dataset from `first` to `last`, both included, from a listing of little more than them.
    pub async fn lots_within(&self, dataset: &DatasetId, first: Lot, last: Lot) -> Result<BTreeMap<Lot, LotEntry>, ManifestsError> {
        if first == last {
            return Ok(entries(self.manifest.list(&paths::lot_dir(dataset, first)).await?));
        }
        // What is below the folder of the last lot sorts before that name and a `0`, which comes after `/`.
        let (after, before) = (paths::lot_dir(dataset, first), format!("{}0", paths::lot_dir(dataset, last)));
        let mut lots = entries(self.manifest.list_between(&paths::dataset_dir(dataset), &after, &before).await?);
        lots.retain(|lot, _| lot.unit() == first.unit() && *lot <= last);
        Ok(lots)
    }

    /// The lots of a dataset that begin on the day `first` or later and before the day `end`, from a listing of little more.
    pub async fn lots_of_days(
        &self,
        dataset: &DatasetId,
        first: NaiveDate,
        end: NaiveDate,
    ) -> Result<BTreeMap<Lot, LotEntry>, ManifestsError> {
        let folder = paths::dataset_dir(dataset);
        Ok(entries(self.manifest.list_between(&folder, &paths::day(&folder, first), &paths::day(&folder, end)).await?))
    }

    /// The first lots of a dataset, some hundred of them or more, from one page of its listing.
    pub async fn first_lots(&self, dataset: &DatasetId) -> Result<BTreeMap<Lot, LotEntry>, ManifestsError> {
        Ok(entries(self.manifest.list_first(&paths::dataset_dir(dataset), FIRST_PATHS).await?))
    }

    /// The state and the bytes of a commit, without what it lists: a large lot's manifest is many times what is asked here.
    pub async fn extent(&self, dataset: &DatasetId, lot: Lot, generation: u32) -> Result<Option<Extent>, ManifestsError> {
        let path = paths::commit(dataset, lot, generation);
        self.manifest.get(&path).await?.map(|body| from_json(&self.manifest.uri(&path), "a commit", &body)).transpose()
    }
}

/// What a listing begins after that is to hold `first`: the lot before it. S3 lists what a folder holds after the folder's own
/// name, others (SeaweedFS) do not.
fn before(dataset: &DatasetId, first: Lot) -> String {
    paths::lot_dir(dataset, first.previous())
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
    async fn an_extent_is_what_the_manifest_says() {
        let stores = Stores::memory().unwrap();
        let mut manifest = manifest(3, &["a", "b"]);
        manifest.objects.iter_mut().for_each(|object| object.size = 21);
        stores.commit(&manifest).await.unwrap();
        let (id, lot) = (manifest.dataset.id(), manifest.lot_id);
        assert_eq!(stores.extent(&id, lot, 3).await.unwrap(), Some(Extent { state: State::Complete, bytes: manifest.bytes() }));
        assert_eq!(stores.extent(&id, lot, 2).await.unwrap(), None);
    }

    #[tokio::test]
    async fn lots_of_days_and_the_first_ones() {
        let stores = Stores::memory().unwrap();
        let lots = ["20230716PT5M287", "20230717P1D000", "20230717PT5M000", "20230717PT5M287", "20230718PT5M000"];
        for lot in lots {
            stores.commit(&Manifest { lot_id: lot.parse().unwrap(), ..manifest(1, &["a"]) }).await.unwrap();
        }
        let id = manifest(1, &[]).dataset.id();
        let day = |day: u32| NaiveDate::from_ymd_opt(2023, 7, day).unwrap();
        let names = |found: BTreeMap<Lot, LotEntry>| found.keys().map(ToString::to_string).collect::<std::collections::BTreeSet<_>>();
        let some = |places: &[usize]| places.iter().map(|place| lots[*place].to_owned()).collect();
        assert_eq!(names(stores.lots_of_days(&id, day(17), day(18)).await.unwrap()), some(&[1, 2, 3]));
        assert_eq!(names(stores.lots_of_days(&id, day(18), day(30)).await.unwrap()), some(&[4]));
        assert_eq!(names(stores.first_lots(&id).await.unwrap()), some(&[0, 1, 2, 3, 4]));
        let [first, last] = [2, 3].map(|place: usize| lots[place].parse().unwrap());
        assert_eq!(names(stores.lots_within(&id, first, last).await.unwrap()), some(&[2, 3]));
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
