//! The store of a schedule: memory, with virtual modification times, that watches what is written to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use manifests::{Manifest, ManifestObject};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};

use super::time::VirtualTime;
use super::world::ROOT;
use crate::promises::Identity;

#[derive(Debug, Default)]
struct Watched {
    modified: BTreeMap<String, DateTime<Utc>>,
    /// What boundaries have committed.
    committed: BTreeSet<Identity>,
    /// Documents of arrivals that wait, by path.
    waiting: BTreeMap<String, Vec<Identity>>,
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

    /// Notes something that must never be seen; it begins with the promise that it breaks.
    pub(crate) fn note(&self, wrong: String) {
        self.with(|watched| watched.wrong.push(wrong));
    }

    /// Whether a commit of a boundary, or a document of what waits for one, has the object.
    pub(crate) fn holds(&self, object: &Identity) -> bool {
        self.with(|watched| watched.committed.contains(object) || watched.waiting.values().any(|waiting| waiting.contains(object)))
    }

    /// Documents of arrivals that wait.
    pub(crate) fn documents(&self) -> usize {
        self.with(|watched| watched.waiting.len())
    }

    /// The etag and size of an object that is there.
    pub(crate) async fn etag(&self, path: &Path) -> Option<(String, u64)> {
        let meta = self.head(path).await.ok()?;
        Some((meta.e_tag?, meta.size))
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
        let Ok(manifest) = serde_json::from_slice::<Manifest>(&body(payload)) else {
            return self.note(format!("promise 3: {path} is no manifest"));
        };
        self.with(|watched| {
            watched.commits += 1;
            if manifest.receipt.is_none() {
                watched.committed.extend(manifest.objects.iter().map(identity));
            }
        });
        for object in manifest.objects.iter().filter(|_| manifest.receipt.is_some()) {
            let place = Path::parse(object.uri.trim_start_matches(ROOT)).unwrap_or_default();
            let size = self.inner.head(&place).await.map(|meta| meta.size).ok();
            if size != Some(object.size) && !(self.replaces && size.is_some()) {
                self.note(format!("promise 4: {path} was committed while {} had {size:?} bytes of {}", object.uri, object.size));
            }
        }
    }

    /// Watches a document of arrivals that wait as it is created.
    fn watch_document(&self, path: &Path, payload: &PutPayload) {
        match serde_json::from_slice::<Vec<ManifestObject>>(&body(payload)) {
            Ok(objects) => self.with(|watched| _ = watched.waiting.insert(path.to_string(), objects.iter().map(identity).collect())),
            Err(_) => self.note(format!("promise 1: {path} is no list of arrivals")),
        }
    }

    /// Watches a document go: all that it held is committed (promise 1).
    fn watch_removal(&self, path: &Path) {
        if is_commit(path) {
            self.note(format!("promise 3: {path} was deleted"));
        }
        self.with(|watched| {
            let gone = watched.waiting.remove(path.as_ref()).unwrap_or_default();
            for object in gone.iter().filter(|object| !watched.committed.contains(*object)) {
                watched.wrong.push(format!("promise 1: {path} went while {object:?} was in no commit"));
            }
        });
    }

    fn dated(&self, mut meta: ObjectMeta) -> ObjectMeta {
        let modified = self.with(|watched| watched.modified.get(meta.location.as_ref()).copied());
        meta.last_modified = modified.unwrap_or_else(|| self.time.now());
        meta.e_tag = meta.e_tag.map(|etag| format!("\"{etag}\""));
        meta
    }
}

fn body(payload: &PutPayload) -> Vec<u8> {
    payload.iter().flat_map(|bytes| bytes.to_vec()).collect()
}

fn identity(object: &ManifestObject) -> Identity {
    (object.uri.clone(), object.etag.clone())
}

impl fmt::Display for SimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated store")
    }
}

fn is_document(path: &Path) -> bool {
    path.filename().is_some_and(|name| name.starts_with("waiting-"))
}

fn is_commit(path: &Path) -> bool {
    path.filename().is_some_and(|name| name.starts_with("commit-"))
}

#[async_trait]
impl ObjectStore for SimStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if is_commit(path) && options.mode != PutMode::Create {
            self.note(format!("promise 3: {path} was written without If-None-Match"));
        }
        let done = self.inner.put_opts(path, payload.clone(), options).await?;
        if is_commit(path) {
            self.watch_commit(path, &payload).await;
        }
        if is_document(path) {
            self.watch_document(path, &payload);
        }
        Ok(PutResult { e_tag: done.e_tag.map(|etag| format!("\"{etag}\"")), ..done })
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        // Etags are in quotes, as those of S3 are.
        let if_match = options.if_match.map(|etag| etag.trim_matches('"').to_owned());
        let mut got = self.inner.get_opts(path, GetOptions { if_match, ..options }).await?;
        got.meta = self.dated(got.meta);
        Ok(got)
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let watched = paths.inspect_ok(move |path| this.watch_removal(path));
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
