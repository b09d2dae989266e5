//! What has arrived: a listing of the dataset's path flows in, settled objects that pass the filter flow out. Content is
//! never read, and no name, however strange, stops a scan.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt};
use manifests::{ManifestObject, Stores};

use crate::error::BoundaryError;
use crate::filter::Filter;
use crate::spec::BoundarySpec;

/// Objects handed over at once.
pub const ARRIVALS_PER_BATCH: usize = 1_000;

/// An object that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Where it lies, raw.
    pub uri: String,
    /// Bytes.
    pub size: u64,
    /// The store's mark of its content; with the URI, its identity.
    pub etag: Option<String>,
    /// The store's version, where it keeps versions.
    pub version_id: Option<String>,
    /// When it arrived: its modification time.
    pub arrived: DateTime<Utc>,
}

impl Arrival {
    /// As a manifest lists it.
    pub fn into_object(self) -> ManifestObject {
        let Arrival { uri, size, etag, version_id, arrived } = self;
        ManifestObject { uri, size, etag, version_id, arrived: Some(arrived), ..ManifestObject::default() }
    }

    /// The mark that tells contents of one URI apart: the etag, else size and time.
    pub fn mark(&self) -> String {
        self.etag.clone().unwrap_or_else(|| format!("{}-{}", self.size, self.arrived.timestamp_micros()))
    }
}

/// What a scan has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Objects that passed the filter.
    pub objects: usize,
    /// Of those, the ones that may still be written to; a later scan takes them.
    pub unsettled: usize,
}

/// Somebody who takes arrivals, a batch at a time.
#[async_trait]
pub trait Taker: Send {
    /// Takes a batch of at most [`ARRIVALS_PER_BATCH`].
    async fn take(&mut self, batch: Vec<Arrival>) -> Result<(), BoundaryError>;
}

/// Lists the dataset's path and hands over what is settled at `now`, in batches; memory does not grow with the listing.
/// A path that is not there yet is an empty one.
pub async fn scan(
    spec: &BoundarySpec,
    filter: &Filter,
    stores: &Stores,
    now: DateTime<Utc>,
    taker: &mut dyn Taker,
) -> Result<Scanned, BoundaryError> {
    let fail = |source| BoundaryError::Listing { uri: spec.dataset.path_uri.clone(), source };
    let base_uri = spec.dataset.path_uri.trim_end_matches('/');
    let base = stores.objects.locate(base_uri)?;
    let mut listing = base.store.list(Some(&base.path)).try_chunks(ARRIVALS_PER_BATCH);
    let mut scanned = Scanned::default();
    while let Some(chunk) = listing.next().await {
        let mut batch = Vec::new();
        for meta in chunk.map_err(|error| fail(error.1))? {
            let Some(relative) = meta.location.prefix_match(&base.path) else { continue };
            let relative = relative.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/");
            if relative.is_empty() || !filter.is_taken(&relative) {
                continue;
            }
            scanned.objects += 1;
            if !is_settled(meta.last_modified, now, spec.settle) {
                scanned.unsettled += 1;
                continue;
            }
            let uri = format!("{base_uri}/{relative}");
            batch.push(Arrival { uri, size: meta.size, etag: meta.e_tag, version_id: meta.version, arrived: meta.last_modified });
        }
        taker.take(batch).await?;
    }
    Ok(scanned)
}

/// Whether an object has been left alone long enough. One from the future (a clock that is off) has to wait as well:
/// nobody can tell whether it is still written to.
pub fn is_settled(modified: DateTime<Utc>, now: DateTime<Utc>, settle: TimeDelta) -> bool {
    modified + settle <= now
}
