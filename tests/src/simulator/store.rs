//! The store of a schedule: memory, with virtual modification times, that watches what is written to it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use manifests::Manifest;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};

use super::time::VirtualTime;

#[derive(Debug, Default)]
struct Watched {
    modified: BTreeMap<String, DateTime<Utc>>,
    /// What was seen that must never be.
    wrong: Vec<String>,
    commits: u64,
}

/// A store in memory.
#[derive(Clone, Debug)]
pub(crate) struct SimStore {
    inner: Arc<InMemory>,
    time: VirtualTime,
    /// Whether a name may be another lot's meanwhile.
    replaces: bool,
    watched: Arc<Mutex<Watched>>,
}

impl SimStore {
    pub(crate) fn new(time: VirtualTime, replaces: bool) -> SimStore {
        SimStore { inner: Arc::new(InMemory::new()), time, replaces, watched: Arc::default() }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Watched) -> T) -> T {
        work(&mut self.watched.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What must never be seen, and was.
    pub(crate) fn wrong(&self) -> Vec<String> {
        self.with(|watched| watched.wrong.clone())
    }

    /// Commits created.
    pub(crate) fn commits(&self) -> u64 {
        self.with(|watched| watched.commits)
    }

    /// Puts an object with a modification time, as `cp -p` does.
    pub(crate) async fn put_at(&self, path: &Path, modified: DateTime<Utc>) {
        let body = format!("{path} {modified}\n");
        let _ = self.inner.put(path, body.into()).await;
        self.with(|watched| watched.modified.insert(path.to_string(), modified));
    }

    /// Takes an object away, if it is there.
    pub(crate) async fn take_away(&self, path: &Path) {
        let _ = self.inner.delete(path).await;
    }

    /// Watches a commit as it is created: all that it lists is there, whole (promise 4).
    async fn watch_commit(&self, path: &Path, payload: &PutPayload) {
        let body: Vec<u8> = payload.iter().flat_map(|bytes| bytes.to_vec()).collect();
        let Ok(manifest) = serde_json::from_slice::<Manifest>(&body) else {
            return self.with(|watched| watched.wrong.push(format!("promise 3: {path} is no manifest")));
        };
        self.with(|watched| watched.commits += 1);
        for object in manifest.objects.iter().filter(|_| manifest.receipt.is_some()) {
            let place = Path::parse(object.uri.trim_start_matches("memory://")).unwrap_or_default();
            let size = self.inner.head(&place).await.map(|meta| meta.size).ok();
            if size != Some(object.size) && !(self.replaces && size.is_some()) {
                let wrong = format!("promise 4: {path} was committed while {} had {size:?} bytes of {}", object.uri, object.size);
                self.with(|watched| watched.wrong.push(wrong));
            }
        }
    }

    fn dated(&self, mut meta: ObjectMeta) -> ObjectMeta {
        let modified = self.with(|watched| watched.modified.get(meta.location.as_ref()).copied());
        meta.last_modified = modified.unwrap_or_else(|| self.time.now());
        meta
    }
}

impl fmt::Display for SimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated store")
    }
}

fn is_commit(path: &Path) -> bool {
    path.filename().is_some_and(|name| name.starts_with("commit-"))
}

#[async_trait]
impl ObjectStore for SimStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if is_commit(path) && options.mode != PutMode::Create {
            self.with(|watched| watched.wrong.push(format!("promise 3: {path} was written without If-None-Match")));
        }
        let done = self.inner.put_opts(path, payload.clone(), options).await?;
        if is_commit(path) {
            self.watch_commit(path, &payload).await;
        }
        Ok(done)
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let watched = paths.inspect_ok(move |path| {
            if is_commit(path) {
                this.with(|watched| watched.wrong.push(format!("promise 3: {path} was deleted")));
            }
        });
        self.inner.delete_stream(watched.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let this = self.clone();
        self.inner.list(prefix).map_ok(move |meta| this.dated(meta)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
