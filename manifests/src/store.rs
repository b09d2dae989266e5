//! Where things lie: URIs to stores, and the stores of a placement. URIs flow in, an `ObjectStore` with a path flows
//! out. All storage goes through `object_store`; S3 is one more way to open a store and no other change.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::future::ready;
use futures::{Stream, StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use crate::error::ManifestsError;

/// An object's place: its store and the path there.
#[derive(Clone, Debug)]
pub struct Located {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// The path in that store.
    pub path: Path,
}

/// Which store serves which URIs. A URI is a registered prefix and, raw (not percent-encoded), a path in that store.
#[derive(Clone, Debug, Default)]
pub struct ObjectStores {
    by_prefix: Vec<(String, Arc<dyn ObjectStore>)>,
    buckets: Option<Buckets>,
}

type OpenBucket = Arc<dyn Fn(&str) -> object_store::Result<Arc<dyn ObjectStore>> + Send + Sync>;

/// Buckets of S3, opened when they are first met.
#[derive(Clone)]
struct Buckets {
    open: OpenBucket,
    opened: Arc<Mutex<HashMap<String, Arc<dyn ObjectStore>>>>,
}

impl fmt::Debug for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Buckets")
    }
}

impl Buckets {
    fn get(&self, bucket: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = opened.get(bucket) {
            return Ok(store.clone());
        }
        let store = (self.open)(bucket)?;
        opened.insert(bucket.to_owned(), store.clone());
        Ok(store)
    }
}

/// How URIs of S3 begin.
const S3: &str = "s3://";
/// Tries at creating a document that is refused though none is there, and the wait after the second, in milliseconds; each
/// wait is twice the one before, about five seconds together. Another's write of a large commit may take as long.
const CREATE_TRIES: u32 = 10;
const CREATE_WAIT_MILLISECONDS: u64 = 20;

impl ObjectStores {
    /// Stores for `file://`.
    pub fn local() -> ObjectStores {
        let mut stores = ObjectStores::default();
        stores.register("file://", Arc::new(LocalFileSystem::new()));
        stores
    }

    /// Stores for `memory://`, empty.
    pub fn memory() -> ObjectStores {
        let mut stores = ObjectStores::default();
        stores.register("memory://", Arc::new(InMemory::new()));
        stores
    }

    /// Serves all URIs that start with `prefix` (`s3://bucket`) from `store`; the longest prefix wins.
    pub fn register(&mut self, prefix: &str, store: Arc<dyn ObjectStore>) {
        self.by_prefix.push((prefix.to_owned(), store));
        self.by_prefix.sort_by_key(|entry| std::cmp::Reverse(entry.0.len()));
    }

    /// The same with every bucket of `s3://` opened by `open`, once.
    #[must_use]
    pub fn with_buckets(self, open: impl Fn(&str) -> object_store::Result<Arc<dyn ObjectStore>> + Send + Sync + 'static) -> ObjectStores {
        ObjectStores { buckets: Some(Buckets { open: Arc::new(open), opened: Arc::default() }), ..self }
    }

    /// The same with every store seen through `wrap` (fault injection, counting).
    #[must_use]
    pub fn wrapped(self, wrap: impl Fn(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> + Send + Sync + 'static) -> ObjectStores {
        let by_prefix = self.by_prefix.into_iter().map(|(prefix, store)| (prefix, wrap(store))).collect();
        let wrapped = ObjectStores { by_prefix, buckets: None };
        match self.buckets {
            Some(Buckets { open, .. }) => wrapped.with_buckets(move |bucket| open(bucket).map(&wrap)),
            None => wrapped,
        }
    }

    /// The place of a URI. Refuses `..`, empty segments, and schemes nobody registered.
    pub fn locate(&self, uri: &str) -> Result<Located, ManifestsError> {
        let fail = |reason: String| ManifestsError::Uri { uri: uri.to_owned(), reason };
        let served = |(prefix, store): &(String, Arc<dyn ObjectStore>)| {
            let rest = uri.strip_prefix(prefix.as_str())?;
            // What stands between a bucket and a key belongs to neither.
            let separator = if prefix.starts_with(S3) && !prefix.ends_with('/') { "/" } else { "" };
            Some((rest.strip_prefix(separator).unwrap_or(rest), store.clone()))
        };
        let found = self.by_prefix.iter().find_map(served);
        let found = match found {
            None => self.locate_bucket(uri).transpose().map_err(|error| fail(error.to_string()))?,
            found => found,
        };
        let Some((rest, store)) = found else {
            let s3 = self.buckets.as_ref().map(|_| S3);
            let known: Vec<_> = self.by_prefix.iter().map(|entry| entry.0.as_str()).chain(s3).collect();
            return Err(fail(format!("only {} can be read here", known.join(", "))));
        };
        if uri.starts_with(S3) && rest.starts_with('/') {
            // A path would be the key without it, which is another object.
            return Err(fail("its key begins with `/`; copy it to one that does not".into()));
        }
        let path = Path::parse(rest).map_err(|error| match error {
            object_store::path::Error::EmptySegment { .. } => fail("it has an empty segment; copy it to a name without `//`".into()),
            error => fail(error.to_string()),
        })?;
        Ok(Located { store, path })
    }

    /// The key and the bucket of a URI of S3; `None` where it is none, or none is to be had.
    fn locate_bucket<'a>(&self, uri: &'a str) -> Option<object_store::Result<(&'a str, Arc<dyn ObjectStore>)>> {
        let (buckets, rest) = (self.buckets.as_ref()?, uri.strip_prefix(S3)?);
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        Some(buckets.get(bucket).map(|store| (key, store)))
    }
}

/// One store of a placement: a folder or a bucket, with helpers for small documents.
#[derive(Clone, Debug)]
pub struct Root {
    uri: String,
    store: Arc<dyn ObjectStore>,
    base: Path,
}

impl Root {
    /// The store below `uri` (no trailing slash needed).
    pub fn new(stores: &ObjectStores, uri: &str) -> Result<Root, ManifestsError> {
        let uri = uri.trim_end_matches('/').to_owned();
        let located = stores.locate(&uri)?;
        Ok(Root { uri, store: located.store, base: located.path })
    }

    /// URI of a relative path.
    pub fn uri(&self, relative: &str) -> String {
        format!("{}/{relative}", self.uri)
    }

    /// The underlying store.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// A relative path as a path of the underlying store.
    pub fn path(&self, relative: &str) -> Path {
        let joined = if self.base.as_ref().is_empty() { relative.to_owned() } else { format!("{}/{relative}", self.base) };
        Path::parse(joined).unwrap_or_else(|_| self.base.parts().chain(Path::from(relative).parts()).collect())
    }

    /// Writes a document, replacing what is there.
    pub async fn put(&self, relative: &str, body: impl Into<Bytes>) -> Result<(), ManifestsError> {
        let payload = PutPayload::from_bytes(body.into());
        let done = self.store.put(&self.path(relative), payload).await;
        done.map(|_| ()).map_err(|error| ManifestsError::store("write", self.uri(relative), error))
    }

    /// Writes a document that must not be there yet: true when this call made it, false when it was there.
    ///
    /// S3 refuses as well while another write of the same name is under way (409 `ConditionalRequestConflict`), which may come
    /// to nothing. So a refusal alone says nothing: what is refused and not there is tried again, and at last is
    /// [`ManifestsError::Contended`].
    pub async fn create(&self, relative: &str, body: impl Into<Bytes>) -> Result<bool, ManifestsError> {
        self.create_in(CREATE_TRIES, relative, PutPayload::from_bytes(body.into())).await
    }

    async fn create_in(&self, tries: u32, relative: &str, payload: PutPayload) -> Result<bool, ManifestsError> {
        let mut wait = Duration::from_millis(CREATE_WAIT_MILLISECONDS);
        for tried in 0..tries {
            if tried > 1 {
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
            if self.try_create(relative, payload.clone()).await? {
                return Ok(true);
            }
            if self.exists(relative).await? {
                return Ok(false);
            }
        }
        Err(self.contended(relative))
    }

    async fn try_create(&self, relative: &str, payload: PutPayload) -> Result<bool, ManifestsError> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(&self.path(relative), payload, options).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(false),
            Err(error) => Err(ManifestsError::store("create", self.uri(relative), error)),
        }
    }

    async fn exists(&self, relative: &str) -> Result<bool, ManifestsError> {
        match self.store.head(&self.path(relative)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(ManifestsError::store("read", self.uri(relative), error)),
        }
    }

    /// What to say of a document that was to be there, and is not.
    pub fn contended(&self, relative: &str) -> ManifestsError {
        ManifestsError::Contended { path: self.uri(relative) }
    }

    /// The same, and true as well where the very same content is there already. A client that tries again after an answer was
    /// lost is told that the document is there, though it made it itself; so what is claimed must say whose it is, or mean
    /// the same whoever writes it.
    pub async fn claim(&self, relative: &str, body: impl Into<Bytes>) -> Result<bool, ManifestsError> {
        let body = body.into();
        if self.create(relative, body.clone()).await? {
            return Ok(true);
        }
        let there = self.get(relative).await?;
        there.map(|there| there == body).ok_or_else(|| self.contended(relative))
    }

    /// Reads a document; `None` where there is none.
    pub async fn get(&self, relative: &str) -> Result<Option<Bytes>, ManifestsError> {
        Ok(self.get_dated(relative).await?.map(|found| found.0))
    }

    /// The same with the time at which it was written, by the store's clock.
    pub async fn get_dated(&self, relative: &str) -> Result<Option<(Bytes, DateTime<Utc>)>, ManifestsError> {
        let fail = |error| ManifestsError::store("read", self.uri(relative), error);
        match self.store.get(&self.path(relative)).await {
            Ok(found) => {
                let written = found.meta.last_modified;
                found.bytes().await.map(|body| Some((body, written))).map_err(fail)
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(fail(error)),
        }
    }

    /// Deletes a document; nothing happens where there is none.
    pub async fn delete(&self, relative: &str) -> Result<(), ManifestsError> {
        match self.store.delete(&self.path(relative)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(ManifestsError::store("delete", self.uri(relative), error)),
        }
    }

    /// Relative paths of all documents below a folder, sorted.
    pub async fn list(&self, relative: &str) -> Result<Vec<Path>, ManifestsError> {
        let prefix = self.path(relative);
        let listed: Result<Vec<ObjectMeta>, _> = self.store.list(Some(&prefix)).try_collect().await;
        let listed = listed.map_err(|error| ManifestsError::store("list", self.uri(relative), error))?;
        let mut paths: Vec<Path> = listed.into_iter().filter_map(|meta| self.relative(&meta.location)).collect();
        paths.sort();
        Ok(paths)
    }

    /// Relative paths of all documents below a folder whose path sorts after `after`, sorted; spares the rest where
    /// the store can.
    pub async fn list_after(&self, relative: &str, after: &str) -> Result<Vec<Path>, ManifestsError> {
        Ok(self.list_sizes_after(relative, after).await?.into_iter().map(|(path, _)| path).collect())
    }

    /// The same with the bytes of each.
    pub async fn list_sizes_after(&self, relative: &str, after: &str) -> Result<Vec<(Path, u64)>, ManifestsError> {
        let (prefix, offset) = (self.path(relative), self.path(after));
        let listed: Result<Vec<ObjectMeta>, _> = self.store.list_with_offset(Some(&prefix), &offset).try_collect().await;
        let listed = listed.map_err(|error| ManifestsError::store("list", self.uri(relative), error))?;
        let mut sizes: Vec<(Path, u64)> = listed.into_iter().filter_map(|meta| Some((self.relative(&meta.location)?, meta.size))).collect();
        sizes.sort();
        Ok(sizes)
    }

    /// The same of those that sort before `before` as well; where the store lists in order, little more than them is listed.
    pub async fn list_between(&self, relative: &str, after: &str, before: &str) -> Result<Vec<Path>, ManifestsError> {
        let (prefix, offset, end) = (self.path(relative), self.path(after), self.path(before));
        let is_before = |meta: &ObjectMeta| meta.location < end;
        let listed = self.store.list_with_offset(Some(&prefix), &offset);
        let listed = listed.try_take_while(|meta| ready(Ok(!self.lists_in_order() || is_before(meta))));
        self.sorted(relative, listed.try_filter(|meta| ready(is_before(meta)))).await
    }

    /// Relative paths of documents below a folder, sorted: the first `count`, or more where the store does not list in order.
    pub async fn list_first(&self, relative: &str, count: usize) -> Result<Vec<Path>, ManifestsError> {
        let prefix = self.path(relative);
        let count = if self.lists_in_order() { count } else { usize::MAX };
        self.sorted(relative, self.store.list(Some(&prefix)).take(count)).await
    }

    /// Whether listings come in the order of their paths, as those of S3 do.
    fn lists_in_order(&self) -> bool {
        self.uri.starts_with(S3)
    }

    async fn sorted(
        &self,
        relative: &str,
        listed: impl Stream<Item = object_store::Result<ObjectMeta>>,
    ) -> Result<Vec<Path>, ManifestsError> {
        let paths = listed.try_filter_map(|meta| ready(Ok(self.relative(&meta.location)))).try_collect().await;
        let mut paths: Vec<Path> = paths.map_err(|error| ManifestsError::store("list", self.uri(relative), error))?;
        paths.sort();
        Ok(paths)
    }

    fn relative(&self, path: &Path) -> Option<Path> {
        let rest = path.as_ref().strip_prefix(self.base.as_ref())?;
        let relative = if self.base.as_ref().is_empty() { rest } else { rest.strip_prefix('/')? };
        Path::parse(relative).ok()
    }
}

/// The stores of a placement, and the stores its data lies in.
#[derive(Clone, Debug)]
pub struct Stores {
    /// Commits and state copies.
    pub manifest: Root,
    /// Attempts.
    pub arc_state: Root,
    /// Projects and dataset owners.
    pub metadata: Root,
    /// Queues of the bus on disk, uploaded code.
    pub artifact: Root,
    /// Where data objects lie.
    pub objects: ObjectStores,
}

impl Stores {
    /// The stores below one URI, as on a local placement: `{root}/manifest/` and so on.
    pub fn below(objects: ObjectStores, root_uri: &str) -> Result<Stores, ManifestsError> {
        let root = root_uri.trim_end_matches('/');
        let open = |name: &str| Root::new(&objects, &format!("{root}/{name}"));
        let (manifest, arc_state, metadata, artifact) = (open("manifest")?, open("arc-state")?, open("metadata")?, open("artifact")?);
        Ok(Stores { manifest, arc_state, metadata, artifact, objects })
    }

    /// Stores in memory, empty; for tests and the simulator.
    pub fn memory() -> Result<Stores, ManifestsError> {
        Stores::below(ObjectStores::memory(), "memory:///lake")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Fate, Faults, FaultyStore};

    #[tokio::test]
    async fn memory_conforms() {
        crate::conformance::store(&Stores::memory().unwrap().manifest).await;
    }

    /// The fates of the first writes; later ones pass.
    #[derive(Debug)]
    struct First(Mutex<Vec<Fate>>);

    #[async_trait::async_trait]
    impl Faults for First {
        async fn fate(&self, _: &'static str, write: bool, _: &str) -> Fate {
            write.then(|| self.0.lock().unwrap().pop()).flatten().unwrap_or(Fate::Pass)
        }
    }

    fn in_conflict(fates: &[Fate]) -> Root {
        let faults: Arc<dyn Faults> = Arc::new(First(Mutex::new(fates.iter().rev().copied().collect())));
        let objects = ObjectStores::memory().wrapped(move |store| Arc::new(FaultyStore::new(store, faults.clone())));
        Root::new(&objects, "memory:///lake").unwrap()
    }

    #[tokio::test]
    async fn a_conflict_is_no_document() {
        for fates in [vec![Fate::Conflict], vec![Fate::Conflict; 3]] {
            let root = in_conflict(&fates);
            assert!(root.create("a", "1").await.unwrap(), "nobody else has made it");
            assert!(!root.claim("a", "2").await.unwrap());
            assert_eq!(root.get("a").await.unwrap().unwrap(), "1");
        }
        for fate in [Fate::ConflictAfter, Fate::ConflictBefore] {
            assert!(in_conflict(&[fate]).claim("a", "1").await.unwrap(), "{fate:?}: its own earlier try made it");
            assert!(!in_conflict(&[fate]).create("a", "1").await.unwrap(), "{fate:?}");
        }
    }

    #[tokio::test]
    async fn a_conflict_without_end_is_transient() {
        let error = in_conflict(&[Fate::Conflict; 99]).create_in(4, "a", "1".into()).await.unwrap_err();
        assert!(matches!(error, ManifestsError::Contended { .. }) && error.is_transient(), "{error}");
    }

    #[tokio::test]
    async fn disk_conforms() {
        let folder = tempfile::tempdir().unwrap();
        let stores = Stores::below(ObjectStores::local(), &format!("file://{}/a b/", folder.path().display())).unwrap();
        crate::conformance::store(&stores.manifest).await;
    }

    #[test]
    fn a_bucket_is_opened_once_and_seen_through_what_wraps_it() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let (opened, wrapped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (opening, wrapping) = (opened.clone(), wrapped.clone());
        let stores = ObjectStores::local().with_buckets(move |_| {
            opening.fetch_add(1, Ordering::SeqCst);
            Ok(Arc::new(InMemory::new()))
        });
        let stores = stores.wrapped(move |store| {
            wrapping.fetch_add(1, Ordering::SeqCst);
            store
        });
        for uri in ["s3://one/a b", "s3://one/c%20d", "s3://two", "s3://two/"] {
            stores.locate(uri).unwrap();
        }
        assert_eq!((opened.load(Ordering::SeqCst), wrapped.load(Ordering::SeqCst)), (2, 3), "two buckets, and the disk");
        assert_eq!(stores.locate("s3://one/c%20d").unwrap().path.as_ref(), "c%20d");
        for uri in ["s3://one/../x", "s3://one//a", "s3://one/a//b", "http://one/x"] {
            assert!(stores.locate(uri).is_err(), "{uri}");
        }
    }

    #[test]
    fn a_registered_bucket_serves_its_keys() {
        let mut stores = ObjectStores::default();
        stores.register("s3://one", Arc::new(InMemory::new()));
        assert_eq!(stores.locate("s3://one/a/b").unwrap().path.as_ref(), "a/b");
        assert!(stores.locate("s3://one//a").is_err());
    }

    #[test]
    fn a_uri_cannot_leave_its_store() {
        let stores = ObjectStores::local();
        for uri in ["file:///a/../b", "s3://bucket/a", "file:///a//b", "a", ""] {
            assert!(stores.locate(uri).is_err(), "{uri}");
        }
        assert_eq!(stores.locate("file:///a b/c%20d").unwrap().path.to_string(), "a b/c%20d");
    }
}
