//! A store that misbehaves on demand: every call asks [`Faults`] for its fate first. Calls flow in, calls or refusals
//! flow out. The simulator decides fates by seed; the `arc` program's crash tests kill the process at the n-th write.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It happens.
    Pass,
    /// It fails and has no effect.
    Refuse,
    /// It has its effect, and the caller is told it failed.
    RefuseAfter,
    /// It happens twice.
    Twice,
    /// Where it creates what must not be there, the caller is told of a conflict with another write of the same name, as S3
    /// says with 409: it has no effect. All else happens.
    Conflict,
    /// The same, and it has its effect: the other write was an earlier try of the same caller.
    ConflictAfter,
    /// The same, and it has its effect only when the store is next written to.
    ConflictBefore,
}

/// Who decides. `write` says whether the call changes the store; `action` and `path` say what it is.
#[async_trait]
pub trait Faults: Send + Sync + fmt::Debug {
    /// The fate of the call that is about to happen.
    async fn fate(&self, action: &'static str, write: bool, path: &str) -> Fate;
}

/// A store seen through [`Faults`].
#[derive(Clone, Debug)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    faults: Arc<dyn Faults>,
    under_way: Arc<Mutex<Vec<(Path, PutPayload)>>>,
}

impl FaultyStore {
    /// `inner`, with every call's fate decided by `faults`.
    pub fn new(inner: Arc<dyn ObjectStore>, faults: Arc<dyn Faults>) -> FaultyStore {
        FaultyStore { inner, faults, under_way: Arc::default() }
    }

    async fn run<T, F: Future<Output = Result<T>>>(
        &self,
        action: &'static str,
        write: bool,
        path: &Path,
        call: impl Fn() -> F,
    ) -> Result<T> {
        let fate = self.faults.fate(action, write, path.as_ref()).await;
        self.meet(fate, action, call).await
    }

    async fn meet<T, F: Future<Output = Result<T>>>(&self, fate: Fate, action: &'static str, call: impl Fn() -> F) -> Result<T> {
        match fate {
            Fate::Pass | Fate::Conflict | Fate::ConflictAfter | Fate::ConflictBefore => call().await,
            Fate::Refuse => Err(refusal(action)),
            Fate::RefuseAfter => {
                call().await?;
                Err(refusal(action))
            }
            Fate::Twice => {
                let first = call().await;
                let _ = call().await;
                first
            }
        }
    }

    /// Creates a document, in conflict with another write where its fate says so.
    async fn create(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let fate = self.faults.fate("put", true, path.as_ref()).await;
        self.land().await;
        match fate {
            Fate::Conflict => {}
            Fate::ConflictAfter => _ = self.inner.put_opts(path, payload, options).await,
            Fate::ConflictBefore => self.with_under_way(|under_way| under_way.push((path.clone(), payload))),
            fate => return self.meet(fate, "put", || self.inner.put_opts(path, payload.clone(), options.clone())).await,
        }
        Err(Error::AlreadyExists { path: path.to_string(), source: "injected conflict".into() })
    }

    /// What was under way lands, where nothing else has come first.
    async fn land(&self) {
        for (path, payload) in self.with_under_way(std::mem::take) {
            let _ = self.inner.put_opts(&path, payload, PutMode::Create.into()).await;
        }
    }

    fn with_under_way<T>(&self, work: impl FnOnce(&mut Vec<(Path, PutPayload)>) -> T) -> T {
        work(&mut self.under_way.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn refusal(action: &'static str) -> Error {
    Error::Generic { store: "faulty", source: format!("injected fault in {action}").into() }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if options.mode == PutMode::Create {
            return self.create(path, payload, options).await;
        }
        self.run("put", true, path, || self.inner.put_opts(path, payload.clone(), options.clone())).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.run("begin", true, path, || self.inner.put_multipart_opts(path, options.clone())).await?;
        Ok(Box::new(FaultyUpload { inner, faults: self.faults.clone(), path: path.to_string() }))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.run("get", false, path, || self.inner.get_opts(path, options.clone())).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let delete = move |path: Path| {
            let this = this.clone();
            async move {
                this.run("delete", true, &path, || this.inner.delete(&path)).await?;
                Ok(path)
            }
        };
        paths.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (this, prefix) = (self.clone(), prefix.cloned());
        let listed = async move {
            let path = prefix.clone().unwrap_or_default();
            this.run("list", false, &path, || this.inner.list(prefix.as_ref()).try_collect::<Vec<_>>()).await
        };
        futures::stream::once(listed).map_ok(|metas| futures::stream::iter(metas.into_iter().map(Ok))).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let path = prefix.cloned().unwrap_or_default();
        self.run("list", false, &path, || self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.run("copy", true, to, || self.inner.copy_opts(from, to, options.clone())).await
    }
}

#[derive(Debug)]
struct FaultyUpload {
    inner: Box<dyn MultipartUpload>,
    faults: Arc<dyn Faults>,
    path: String,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (part, faults, path) = (self.inner.put_part(data), self.faults.clone(), self.path.clone());
        Box::pin(async move {
            match faults.fate("part", true, &path).await {
                Fate::Refuse | Fate::RefuseAfter => Err(refusal("part")),
                _ => part.await,
            }
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        match self.faults.fate("complete", true, &self.path).await {
            Fate::Refuse => Err(refusal("complete")),
            Fate::RefuseAfter => {
                self.inner.complete().await?;
                Err(refusal("complete"))
            }
            _ => self.inner.complete().await,
        }
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
