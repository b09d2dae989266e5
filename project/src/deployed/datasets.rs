//! Datasets as their documents in the metadata store tell of them, and those that have manifests alone.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use manifests::{DatasetId, Lot, LotEntry, ManifestsError, Stores, paths};
use object_store::ObjectStore;
use object_store::path::Path;

use super::{IN_FLIGHT, latest_lot};
use crate::engine::DatasetOwner;

/// A dataset of a placement.
#[derive(Clone, Debug)]
pub struct DeployedDataset {
    /// Its name and version.
    pub id: DatasetId,
    /// Who writes it, and where it lies; `Err` says why that is not known.
    pub owner: Result<DatasetOwner, String>,
    /// Its latest lot.
    pub latest: Option<(Lot, LotEntry)>,
}

/// The datasets of the placement that `wants` says yes to, by name and version, with their latest lots as of `now`.
pub async fn datasets(
    stores: &Stores,
    now: DateTime<Utc>,
    wants: impl Fn(&DatasetId) -> bool,
) -> Result<Vec<DeployedDataset>, ManifestsError> {
    let listed = stores.metadata.list(paths::DATASETS_DIR).await?;
    let mut ids: BTreeSet<DatasetId> = listed.iter().filter_map(paths::parse_dataset_dir).collect();
    ids.extend(with_manifests(stores).await?);
    let read = ids.into_iter().filter(|id| wants(id)).map(|id| read(stores, id, now));
    futures::stream::iter(read).buffered(IN_FLIGHT).try_collect().await
}

async fn read(stores: &Stores, id: DatasetId, now: DateTime<Utc>) -> Result<DeployedDataset, ManifestsError> {
    let owner = match stores.metadata.get(&paths::dataset_owner(&id)).await? {
        Some(body) => serde_json::from_slice(&body).map_err(|error| format!("another tool's: its dataset.json does not read: {error}")),
        None => Err("another tool's: it has no dataset.json".to_owned()),
    };
    let latest = latest_lot(stores, &id, now).await?;
    Ok(DeployedDataset { id, owner, latest })
}

/// Datasets that have manifests, from the names of folders alone.
async fn with_manifests(stores: &Stores) -> Result<Vec<DatasetId>, ManifestsError> {
    let mut ids = Vec::new();
    for name in folders(stores, &stores.manifest.path(paths::DATASETS_DIR)).await? {
        for version in folders(stores, &name).await? {
            let parts = [paths::DATASETS_DIR, name.filename().unwrap_or_default(), version.filename().unwrap_or_default()];
            ids.extend(paths::parse_dataset_dir(&Path::from_iter(parts)));
        }
    }
    Ok(ids)
}

async fn folders(stores: &Stores, below: &Path) -> Result<Vec<Path>, ManifestsError> {
    let listed = stores.manifest.store().list_with_delimiter(Some(below)).await;
    let fail = |source| ManifestsError::Store { action: "list", path: below.to_string(), source };
    Ok(listed.map_err(fail)?.common_prefixes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use manifests::{Dataset, Manifest, MemoryBus, State};

    #[tokio::test]
    async fn ours_are_read_and_others_are_shown() {
        let stores = Stores::memory().unwrap();
        let now: DateTime<Utc> = "2026-11-21T10:00:00Z".parse().unwrap();
        let dataset = Dataset { name: "logs".into(), version: "1".into(), path_uri: "s3://b/logs/".into() };
        let owner =
            DatasetOwner { dataset: dataset.clone(), project: "lake".into(), kind: "boundary".into(), name: "in".into(), role: None };
        stores.metadata.put(&paths::dataset_owner(&dataset.id()), serde_json::to_vec(&owner).unwrap()).await.unwrap();
        stores.metadata.put("datasets/name=odd/version=1/dataset.json", "{}").await.unwrap();
        let manifest = Manifest::new(dataset, "20261121PT5M119".parse().unwrap(), vec![]);
        stores.commit(&manifest).await.unwrap();
        stores.announce(&manifest, &MemoryBus::default()).await.unwrap();
        let theirs = DatasetId { name: "theirs".into(), version: "7".into() };
        let copy = paths::state_copy(&theirs, "20230717PT5M250".parse().unwrap(), State::Complete);
        stores.manifest.put(&copy, "{}").await.unwrap();
        let mut told = String::new();
        for found in datasets(&stores, now, |_| true).await.unwrap() {
            let latest = found.latest.map(|(lot, entry)| (lot, entry.generation, entry.state));
            told += &format!("{} {:?} {latest:?}\n", found.id, found.owner.map(|owner| owner.name));
        }
        expect![[r#"
            logs/1 Ok("in") Some((Lot(20261121PT5M119), 1, Some(Empty)))
            odd/1 Err("another tool's: its dataset.json does not read: missing field `dataset` at line 1 column 2") None
            theirs/7 Err("another tool's: it has no dataset.json") Some((Lot(20230717PT5M250), 0, Some(Complete)))
        "#]]
        .assert_eq(&told);
        assert_eq!(datasets(&stores, now, |id| id.name == "odd").await.unwrap().len(), 1);
    }
}
