//! Source objects flow in, their stored bytes flow out, as [`std::io::Read`] for a thread of its own. An object that
//! cannot be had is a value (`Unread::Problem`); only a store that may recover is an error.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{GetOptions, GetResult, GetResultPayload, ObjectStore};
use tokio::runtime::Handle;

use crate::error::ArcsError;
use crate::pool::lock;

/// Bytes of one request for a part of an object: small enough that a request which has to be repeated costs little.
const RANGE_BYTES: u64 = 4 << 20;

/// Parts of an object that are fetched before they are read.
const RANGES_AHEAD: usize = 2;

/// An object to read.
#[derive(Clone, Debug)]
pub struct SourceObject {
    /// Its URI, as lineage and messages show it.
    pub uri: String,
    /// Its size in bytes when it arrived; for progress alone.
    pub size: u64,
    /// The store's mark of its content when it arrived. An object with another mark has been replaced and is not read.
    pub etag: Option<String>,
    /// The store's version that arrived, where it keeps versions: that one is read, also after it was replaced.
    pub version: Option<String>,
    /// Where it lies.
    pub store: Arc<dyn ObjectStore>,
    /// Its path there.
    pub path: Path,
}

/// An object that could not be read, wholly or in part; a run with any of these is partial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectProblem {
    /// The object.
    pub uri: String,
    /// Why, in words for people.
    pub reason: String,
}

/// Why an object cannot be opened.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It is missing, replaced, or may not be read: data, and the run goes on.
    Problem(String),
    /// The store may recover: the run fails and is tried again.
    Error(ArcsError),
}

/// Where a failure inside [`Stored`] is left for who reads through decoders that hide it.
pub(crate) type FailureSlot = Arc<Mutex<Option<object_store::Error>>>;

/// The stored bytes of one object.
pub(crate) struct Stored {
    bytes: Source,
    left: u64,
    failure: FailureSlot,
}

enum Source {
    File(std::fs::File),
    Stream { stream: BoxStream<'static, object_store::Result<Bytes>>, chunk: Bytes, runtime: Handle },
}

/// Opens an object. Blocks; not for a thread of the runtime.
pub(crate) fn open(source: &SourceObject, runtime: &Handle) -> Result<(Stored, FailureSlot), Unread> {
    let is_large = source.size > RANGE_BYTES && !source.uri.starts_with("file://");
    let options = options(source, is_large.then_some(0..RANGE_BYTES));
    let got = runtime.block_on(source.store.get_opts(&source.path, options)).map_err(|error| unread(source, error))?;
    let failure = FailureSlot::default();
    Ok((Stored::new(source, got, runtime, failure.clone()), failure))
}

fn options(source: &SourceObject, range: Option<Range<u64>>) -> GetOptions {
    let (if_match, version) = (source.etag.clone(), source.version.clone());
    GetOptions { if_match, version, range: range.map(Into::into), ..GetOptions::default() }
}

/// The bytes of an object from `from` to `to`, fetched in parts ahead of who reads them.
fn parts(source: &SourceObject, from: u64, to: u64, runtime: &Handle) -> BoxStream<'static, object_store::Result<Bytes>> {
    let (source, runtime) = (source.clone(), runtime.clone());
    let starts = (from..to).step_by(RANGE_BYTES as usize);
    let fetch = move |start: u64| {
        let (source, range) = (source.clone(), start..to.min(start + RANGE_BYTES));
        let fetched = runtime.spawn(async move { source.store.get_opts(&source.path, options(&source, Some(range))).await?.bytes().await });
        async move { fetched.await.unwrap_or_else(|error| Err(object_store::Error::JoinError { source: error })) }
    };
    futures::stream::iter(starts).map(fetch).buffered(RANGES_AHEAD).boxed()
}

/// Sorts a store's error into what becomes data and what is tried again.
pub(crate) fn unread(source: &SourceObject, error: object_store::Error) -> Unread {
    use object_store::Error as E;
    match &error {
        E::NotFound { .. } => Unread::Problem("the object is not there".into()),
        E::Precondition { .. } | E::NotModified { .. } => Unread::Problem("the object was replaced after it arrived".into()),
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => Unread::Problem("the object may not be read: permission denied".into()),
        E::InvalidPath { .. } | E::NotSupported { .. } => Unread::Problem(format!("the object cannot be read: {error}")),
        _ => match lasting_cause(&error) {
            Some(cause) => Unread::Problem(format!("the object cannot be read: {cause}")),
            None => Unread::Error(ArcsError::Store { action: "read", uri: source.uri.clone(), source: error }),
        },
    }
}

/// A cause on local disk that another try does not cure.
fn lasting_cause(error: &object_store::Error) -> Option<String> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(at) = cause {
        if let Some(io) = at.downcast_ref::<io::Error>() {
            use io::ErrorKind as K;
            let lasting = [K::PermissionDenied, K::IsADirectory, K::NotADirectory, K::InvalidInput, K::InvalidFilename];
            return lasting.contains(&io.kind()).then(|| io.to_string());
        }
        cause = at.source();
    }
    None
}

impl Stored {
    fn new(source: &SourceObject, got: GetResult, runtime: &Handle, failure: FailureSlot) -> Stored {
        let (end, size) = (got.range.end, got.meta.size);
        let bytes = match got.payload {
            GetResultPayload::File(file, _) => Source::File(file),
            GetResultPayload::Stream(first) => {
                let stream = if end < size { first.chain(parts(source, end, size, runtime)).boxed() } else { first };
                Source::Stream { stream, chunk: Bytes::new(), runtime: runtime.clone() }
            }
        };
        Stored { bytes, left: size - got.range.start, failure }
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.bytes {
            Source::File(file) => file.read(buffer),
            Source::Stream { stream, chunk, runtime } => {
                while chunk.is_empty() {
                    match runtime.block_on(stream.next()) {
                        None => return Ok(0),
                        Some(Ok(next)) => *chunk = next,
                        Some(Err(error)) => {
                            let shown = io::Error::other(error.to_string());
                            *lock(&self.failure) = Some(error);
                            return Err(shown);
                        }
                    }
                }
                let bytes = chunk.len().min(buffer.len());
                buffer[..bytes].copy_from_slice(&chunk.split_to(bytes));
                Ok(bytes)
            }
        }
    }
}

impl Read for Stored {
    /// Reads what the object held when it was opened, and no more: a file may grow meanwhile.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let bytes = self.read_some(&mut buffer[..wanted])?;
        self.left -= bytes as u64;
        if bytes == 0 && wanted > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("the object ends {} bytes early", self.left)));
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::ObjectStoreExt;
    use object_store::local::LocalFileSystem;
    use object_store::memory::InMemory;

    fn source(store: &Arc<dyn ObjectStore>, path: &str) -> SourceObject {
        SourceObject { uri: format!("memory:///{path}"), size: 0, etag: None, version: None, store: store.clone(), path: Path::from(path) }
    }

    fn read_all(source: &SourceObject) -> Result<Vec<u8>, Unread> {
        let runtime = Handle::current();
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    let (mut stored, _) = open(source, &runtime)?;
                    let mut bytes = Vec::new();
                    stored.read_to_end(&mut bytes).map(|_| bytes).map_err(|error| Unread::Problem(error.to_string()))
                })
                .join()
                .unwrap()
        })
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn bytes_of_memory_and_disk() {
        let folder = tempfile::tempdir().unwrap();
        let disk: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
        for store in [Arc::new(InMemory::new()) as Arc<dyn ObjectStore>, disk] {
            store.put(&Path::from("d/a"), "text".into()).await.unwrap();
            let mut a = source(&store, "d/a");
            assert_eq!(read_all(&a).unwrap(), b"text");
            a.etag = Some("another".into());
            assert!(matches!(read_all(&a), Err(Unread::Problem(why)) if why.contains("replaced")));
            assert!(matches!(read_all(&source(&store, "none")), Err(Unread::Problem(why)) if why.contains("not there")));
            assert!(matches!(read_all(&source(&store, "d")), Err(Unread::Problem(_))), "a directory");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_large_object_is_read_in_parts() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        for size in [RANGE_BYTES, RANGE_BYTES + 1, 3 * RANGE_BYTES - 1, 5 * RANGE_BYTES] {
            let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            store.put(&Path::from("a"), bytes.clone().into()).await.unwrap();
            let read = read_all(&SourceObject { size, ..source(&store, "a") }).unwrap();
            assert!(read == bytes, "{size}");
        }
        let replaced = SourceObject { size: 5 * RANGE_BYTES, etag: Some("another".into()), ..source(&store, "a") };
        assert!(matches!(read_all(&replaced), Err(Unread::Problem(why)) if why.contains("replaced")));
    }

    #[test]
    fn a_store_that_may_recover_is_an_error() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let error = object_store::Error::Generic { store: "S3", source: "reset by peer".into() };
        assert!(matches!(unread(&source(&store, "a"), error), Unread::Error(error) if error.is_transient()));
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = object_store::Error::Generic { store: "disk", source: denied.into() };
        assert!(matches!(unread(&source(&store, "a"), error), Unread::Problem(_)));
    }
}
