//! What has arrived: a listing of the dataset's path flows in, objects that pass the filter flow out. Content is never
//! read, and no name, however strange, stops a scan.

use std::collections::HashMap;
use std::path::PathBuf;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use manifests::{ManifestObject, Stores};
use object_store::{ObjectMeta, ObjectStoreExt};
use tokio::sync::mpsc;

use crate::error::BoundaryError;
use crate::filter::Filter;
use crate::index::Index;
use crate::names::{self, Refused, Walked};
use crate::spec::BoundarySpec;

/// Objects that a listing hands over at once.
pub const ARRIVALS_PER_BATCH: usize = 1_000;
/// Objects asked for side by side where a folder cannot be listed.
const HEADS_AT_ONCE: usize = 8;
/// Objects from the future that are remembered from one look to the next; more of them wait longer.
const AHEAD_MAX: usize = 100_000;

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

    /// From what a manifest lists; `None` where it does not say when it arrived.
    pub fn from_object(object: ManifestObject) -> Option<Arrival> {
        let ManifestObject { uri, size, etag, version_id, arrived, .. } = object;
        Some(Arrival { uri, size, etag, version_id, arrived: arrived? })
    }

    /// The mark that tells contents of one URI apart: the etag, else size and time.
    pub fn mark(&self) -> String {
        self.etag.clone().unwrap_or_else(|| format!("{}-{}", self.size, self.arrived.timestamp_micros()))
    }
}

/// What a scan has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Objects that passed the filter.
    pub objects: usize,
    /// What lies there and cannot be taken.
    pub refused: Vec<Refused>,
    /// How many cannot be taken.
    pub refused_total: usize,
}

/// Somebody who takes arrivals, a batch at a time.
#[async_trait]
pub trait Taker: Send {
    /// Takes a batch: of a listing, which has no end, at most [`ARRIVALS_PER_BATCH`]; of messages all that a scan has heard,
    /// which is bounded by itself, so that earlier commits are asked after all of it at once.
    async fn take(&mut self, batch: Vec<Arrival>) -> Result<(), BoundaryError>;
}

/// Where a boundary hears of what has arrived.
#[async_trait]
pub trait Arrivals: Send {
    /// Hands over all that has arrived and may be in no commit yet, settled or not; again and again until told to forget it.
    async fn scan(
        &mut self,
        spec: &BoundarySpec,
        filter: &Filter,
        stores: &Stores,
        taker: &mut dyn Taker,
    ) -> Result<Scanned, BoundaryError>;
    /// What the index knows by now is in a commit and need not be handed over again.
    async fn forget(&mut self, stores: &Stores, index: &mut dyn Index) -> Result<(), BoundaryError>;
    /// Whether an arrival's time is a service's and the same whenever it is told again, so that one which lies ahead of the
    /// clock is waited for. Files have any times: theirs are then replaced.
    fn keeps_times(&self) -> bool {
        true
    }
}

/// Hears by listing the dataset's path, which itself remembers what is there.
#[derive(Clone, Copy, Debug)]
pub struct Listing;

#[async_trait]
impl Arrivals for Listing {
    async fn scan(
        &mut self,
        spec: &BoundarySpec,
        filter: &Filter,
        stores: &Stores,
        taker: &mut dyn Taker,
    ) -> Result<Scanned, BoundaryError> {
        scan(spec, filter, stores, taker).await
    }

    async fn forget(&mut self, _stores: &Stores, _index: &mut dyn Index) -> Result<(), BoundaryError> {
        Ok(())
    }

    fn keeps_times(&self) -> bool {
        false
    }
}

/// Lists the dataset's path and hands over what passes the filter, settled or not, in batches; memory does not grow with
/// the listing. A path that is not there yet is an empty one.
pub async fn scan(spec: &BoundarySpec, filter: &Filter, stores: &Stores, taker: &mut dyn Taker) -> Result<Scanned, BoundaryError> {
    let fail = |source| BoundaryError::Listing { uri: spec.dataset.path_uri.clone(), source };
    let base_uri = spec.dataset.path_uri.trim_end_matches('/');
    let base = stores.objects.locate(base_uri)?;
    let walked = look_over(base_uri, filter).await;
    let listing = if walked.is_blocked { by_name(base_uri, filter, stores) } else { base.store.list(Some(&base.path)) };
    let mut chunks = listing.try_chunks(ARRIVALS_PER_BATCH);
    let mut scanned = Scanned { objects: 0, refused: walked.refused, refused_total: walked.refused_total };
    while let Some(chunk) = chunks.next().await {
        let mut batch = Vec::new();
        for meta in chunk.map_err(|error| fail(error.1))? {
            let Some(relative) = meta.location.prefix_match(&base.path) else { continue };
            let relative = relative.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/");
            if relative.is_empty() || !filter.is_taken(&relative) {
                continue;
            }
            let uri = format!("{base_uri}/{relative}");
            batch.push(Arrival { uri, size: meta.size, etag: meta.e_tag, version_id: meta.version, arrived: meta.last_modified });
        }
        scanned.objects += batch.len();
        taker.take(batch).await?;
    }
    Ok(scanned)
}

/// The folder that a URI means, where it means one.
fn folder(uri: &str) -> Option<PathBuf> {
    uri.strip_prefix("file://").map(PathBuf::from)
}

/// Looks for what would end a listing of a folder, or would be left out of it in silence.
async fn look_over(base_uri: &str, filter: &Filter) -> Walked {
    let (Some(folder), filter) = (folder(base_uri), filter.clone()) else { return Walked::default() };
    let walked = tokio::task::spawn_blocking(move || names::walk(&folder, &filter, |_| true));
    walked.await.unwrap_or_default()
}

/// The listing of a folder that a store cannot list: each name that can be taken, asked for by itself.
fn by_name(base_uri: &str, filter: &Filter, stores: &Stores) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
    let (sender, receiver) = mpsc::channel::<String>(ARRIVALS_PER_BATCH);
    let (folder, filter) = (folder(base_uri).unwrap_or_default(), filter.clone());
    tokio::task::spawn_blocking(move || names::walk(&folder, &filter, |name| sender.blocking_send(name).is_ok()));
    let names = futures::stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|name| (name, receiver)) });
    let (stores, base_uri) = (stores.clone(), base_uri.to_owned());
    let ask = move |name: String| {
        let located = stores.objects.locate(&format!("{base_uri}/{name}"));
        async move {
            let place = located.ok()?;
            match place.store.head(&place.path).await {
                Ok(meta) => Some(Ok(meta)),
                Err(object_store::Error::NotFound { .. }) => None,
                Err(error) => {
                    // The next scan meets it again.
                    tracing::warn!("{name:?} is not taken for now: {error}");
                    None
                }
            }
        }
    };
    names.map(ask).buffered(HEADS_AT_ONCE).filter_map(|meta| async { meta }).boxed()
}

/// Whether an object has been left alone long enough to be taken.
pub fn is_settled(modified: DateTime<Utc>, now: DateTime<Utc>, settle: TimeDelta) -> bool {
    modified + settle <= now
}

/// Objects whose times lie ahead of the clock, which therefore says nothing about when they were last written to. They
/// are settled when two looks, the settle time apart, found the same.
#[derive(Debug, Default)]
pub struct Ahead {
    seen: HashMap<String, (String, DateTime<Utc>)>,
    last: HashMap<String, (String, DateTime<Utc>)>,
}

impl Ahead {
    /// Begins a look; what the last one did not meet is forgotten.
    pub fn begin(&mut self) {
        self.last = std::mem::take(&mut self.seen);
    }

    /// Notes an object; when it is settled, the time of the first look at it, which is taken for its arrival.
    pub fn look(&mut self, arrival: &Arrival, now: DateTime<Utc>, settle: TimeDelta) -> Option<DateTime<Utc>> {
        let mark = arrival.mark();
        let first = match self.last.remove(&arrival.uri) {
            Some((before, first)) if before == mark => first,
            _ => now,
        };
        if self.seen.len() < AHEAD_MAX {
            self.seen.insert(arrival.uri.clone(), (mark, first));
        }
        (first < now && first + settle <= now).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::FilterSpec;
    use crate::spec::EventArrival;
    use manifests::{Dataset, LotUnit, ObjectStores};

    struct Names(Vec<String>);

    #[async_trait]
    impl Taker for Names {
        async fn take(&mut self, batch: Vec<Arrival>) -> Result<(), BoundaryError> {
            assert!(batch.len() <= ARRIVALS_PER_BATCH && batch.iter().all(|arrival| arrival.etag.is_some()));
            self.0.extend(batch.into_iter().filter_map(|arrival| Some(arrival.uri.rsplit_once("/in/")?.1.to_owned())));
            Ok(())
        }
    }

    /// Scans the folder `in` of a folder on disk.
    async fn scan_disk(root: &std::path::Path) -> (Vec<String>, Scanned) {
        let path_uri = format!("file://{}/in/", root.display());
        let spec = BoundarySpec {
            name: "in".into(),
            dataset: Dataset { name: "raw".into(), version: "1".into(), path_uri },
            unit: LotUnit::Twelfths,
            arrival: EventArrival::Frequent,
            filter: FilterSpec::default(),
            settle: TimeDelta::zero(),
            from: None,
        };
        let stores = Stores::below(ObjectStores::local(), &format!("file://{}/lake", root.display())).unwrap();
        let mut names = Names(Vec::new());
        let scanned = scan(&spec, &spec.filter.compile().unwrap(), &stores, &mut names).await.unwrap();
        names.0.sort();
        (names.0, scanned)
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn no_name_stops_a_scan() {
        use std::os::unix::ffi::OsStrExt;
        let root = tempfile::tempdir().unwrap();
        assert_eq!(scan_disk(root.path()).await, (vec![], Scanned::default()), "no folder yet");
        let folder = root.path().join("in");
        std::fs::create_dir_all(folder.join("deep er/x")).unwrap();
        let mut good: Vec<String> = (0..ARRIVALS_PER_BATCH).map(|n| format!("deep er/{n:04}")).collect();
        good.extend(["a b", "per%20cent", "%2e%2e", "quo\"te", "back\\slash", "ümläut", "a#b", "?q=1&x"].map(str::to_owned));
        good.sort();
        for name in &good {
            std::fs::write(folder.join(name), "x").unwrap();
        }
        let (names, scanned) = scan_disk(root.path()).await;
        assert_eq!((names, scanned.objects, scanned.refused_total), (good.clone(), good.len(), 0));
        std::os::unix::fs::symlink(&folder, folder.join("deep er/x/loop")).unwrap();
        let (names, scanned) = scan_disk(root.path()).await;
        assert_eq!((names, scanned.refused_total), (good.clone(), 0), "a link that leads back up");
        for name in [&b"bad\xff"[..], b"two\nlines", b"a#7"] {
            std::fs::write(folder.join(std::ffi::OsStr::from_bytes(name)), "x").unwrap();
        }
        let (names, scanned) = scan_disk(root.path()).await;
        assert_eq!((names, scanned.objects, scanned.refused_total), (good.clone(), good.len(), 3));
    }

    #[test]
    fn an_object_from_the_future_is_taken_when_two_looks_found_the_same() {
        let at = |second: i64| DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap();
        let object = |size| Arrival { uri: "a".into(), size, etag: None, version_id: None, arrived: at(9_999_999) };
        let mut ahead = Ahead::default();
        let mut look = |size, second| {
            ahead.begin();
            ahead.look(&object(size), at(second), TimeDelta::seconds(5))
        };
        assert_eq!((look(1, 0), look(1, 4)), (None, None));
        assert_eq!((look(2, 5), look(2, 9)), (None, None), "it has grown");
        assert_eq!((look(2, 10), look(2, 99)), (Some(at(5)), Some(at(5))));
    }
}
