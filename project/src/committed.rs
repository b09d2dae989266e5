//! The latest manifest of every lot of a dataset: a listing and commits flow in, manifests flow out.

use futures::{StreamExt, TryStreamExt};
use manifests::{Dataset, Manifest, ManifestsError, Stores};

/// Commits read at a time.
const COMMITS_IN_FLIGHT: usize = 64;
/// The latest manifest of every lot of a dataset, in the order of lots; those without files are left out.
pub async fn manifests(stores: &Stores, dataset: &Dataset) -> Result<Vec<Manifest>, ManifestsError> {
    let lots = stores.lots(&dataset.id()).await?;
    let read = lots.into_iter().map(|(lot, entry)| async move {
        match entry.generation {
            0 => stores.latest(dataset, lot).await,
            generation => stores.read_commit(&dataset.id(), lot, generation).await,
        }
    });
    let read = futures::stream::iter(read).buffered(COMMITS_IN_FLIGHT);
    read.try_filter_map(|found| async move { Ok(found.filter(|manifest| manifest.files().next().is_some())) }).try_collect().await
}
