//! Staged files: bytes flow in from any thread, parts flow to the store, and nothing can be read until
//! [`StagedFile::publish`]. On local disk that is a temporary file and a rename, on S3 a multipart upload.
//!
//! Bounds: three parts of [`PART_BYTES`] for each file; [`UPLOADS_MAX`] small files staged in the store, further small ones
//! wait in one temporary file, so that a lot of a great many partitions needs neither memory nor handles.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use manifests::ManifestObject;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload, PutResult};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::{ArcsError, PUBLISH, WRITE};
use crate::pool::lock;
use crate::write::Target;

/// Bytes of a part. S3 takes 10,000 parts of 5 MiB to 5 GiB.
const PART_BYTES: usize = 8 << 20;

/// Bytes of a part of a local file after its first one: it is still in the cache when it is written.
const LOCAL_PART_BYTES: usize = 512 << 10;

/// Bytes of parts that may wait for the store.
const WAITING_BYTES_MAX: usize = PART_BYTES;

/// Files smaller than a part that are staged in the store.
const UPLOADS_MAX: usize = 128;

/// Where the files of one sink are staged.
#[derive(Debug)]
pub(crate) struct Stage {
    target: Target,
    runtime: Handle,
    spill_folder: PathBuf,
    uploads: AtomicUsize,
    held: Mutex<Option<Held>>,
}

#[derive(Debug)]
struct Held {
    file: Arc<File>,
    bytes: u64,
}

/// A file whose bytes are all staged.
#[derive(Debug)]
pub struct StagedFile {
    target: Target,
    /// Its path below the sink.
    pub relative: String,
    /// Its bytes.
    pub size: u64,
    /// Its rows.
    pub rows: u64,
    /// The earliest and latest event times inside, where there are any.
    pub event_times: Option<(DateTime<Utc>, DateTime<Utc>)>,
    bytes: StagedBytes,
}

#[derive(Debug)]
enum StagedBytes {
    Upload(Box<dyn MultipartUpload>),
    Held { file: Arc<File>, offset: u64, len: usize },
}

impl Stage {
    /// Stages files for `target`.
    pub(crate) fn new(target: Target, runtime: Handle, spill_folder: PathBuf) -> Arc<Stage> {
        Arc::new(Stage { target, runtime, spill_folder, uploads: AtomicUsize::new(0), held: Mutex::new(None) })
    }

    /// Starts a file.
    pub(crate) fn create(self: &Arc<Stage>, relative: String) -> FileSink {
        FileSink { stage: self.clone(), relative, buffer: Vec::new(), size: 0, upload: None }
    }

    /// The URI of one of its files.
    pub(crate) fn uri(&self, relative: &str) -> String {
        self.target.uri(relative)
    }

    fn hold(&self, bytes: &[u8]) -> Result<StagedBytes, ArcsError> {
        let fail = |source| ArcsError::Spill { folder: self.spill_folder.display().to_string(), source };
        let mut held = lock(&self.held);
        if held.is_none() {
            *held = Some(Held { file: Arc::new(tempfile::tempfile_in(&self.spill_folder).map_err(fail)?), bytes: 0 });
        }
        let Some(held) = held.as_mut() else { return Err(ArcsError::internal("no file for held files")) };
        held.file.write_all_at(bytes, held.bytes).map_err(fail)?;
        let offset = held.bytes;
        held.bytes += bytes.len() as u64;
        Ok(StagedBytes::Held { file: held.file.clone(), offset, len: bytes.len() })
    }

    /// Bytes of the parts after the first one.
    fn part_bytes(&self) -> usize {
        if self.target.uri_base.starts_with("file://") { LOCAL_PART_BYTES } else { PART_BYTES }
    }

    fn start(&self, relative: &str) -> Upload {
        let (parts, waiting) = mpsc::channel(WAITING_BYTES_MAX / self.part_bytes());
        let (store, path) = (self.target.store.clone(), self.target.path(relative));
        let task = self.runtime.spawn(async move {
            let mut upload = store.put_multipart(&path).await?;
            match send_parts(upload.as_mut(), waiting).await {
                Ok(true) => return Ok(Some(upload)),
                Ok(false) => upload.abort().await?,
                Err(error) => {
                    let _ = upload.abort().await;
                    return Err(error);
                }
            }
            Ok(None)
        });
        Upload { parts, task }
    }
}

enum Part {
    Bytes(Bytes),
    Finish,
}

/// Sends parts until told to finish; false when the writer went away before.
async fn send_parts(upload: &mut dyn MultipartUpload, mut waiting: mpsc::Receiver<Part>) -> object_store::Result<bool> {
    while let Some(part) = waiting.recv().await {
        match part {
            Part::Bytes(bytes) => upload.put_part(PutPayload::from_bytes(bytes)).await?,
            Part::Finish => return Ok(true),
        }
    }
    Ok(false)
}

struct Upload {
    parts: mpsc::Sender<Part>,
    task: JoinHandle<object_store::Result<Option<Box<dyn MultipartUpload>>>>,
}

/// A file being written, from a thread that may block. Dropped before [`FileSink::finish`], it leaves nothing.
pub(crate) struct FileSink {
    stage: Arc<Stage>,
    relative: String,
    buffer: Vec<u8>,
    size: u64,
    upload: Option<Upload>,
}

impl FileSink {
    fn send(&mut self, part: Part) -> io::Result<()> {
        let upload = self.upload.get_or_insert_with(|| self.stage.start(&self.relative));
        upload.parts.blocking_send(part).map_err(|_| io::Error::other("the store refused a part"))
    }

    /// Takes the file out of a writer that does not give it back, leaving one that is never started.
    pub(crate) fn take(&mut self) -> FileSink {
        let empty = self.stage.create(String::new());
        std::mem::replace(self, empty)
    }

    /// Why the store refused a part.
    pub(crate) fn failure(self, fallback: ArcsError) -> ArcsError {
        let uri = self.stage.uri(&self.relative);
        let Some(Upload { parts, task }) = self.upload else { return fallback };
        drop(parts);
        match self.stage.runtime.block_on(task) {
            Ok(Err(source)) => ArcsError::Store { action: WRITE, uri, source },
            _ => fallback,
        }
    }

    /// Stages what is left. Gives the file without rows and times.
    pub(crate) fn finish(mut self) -> Result<StagedFile, ArcsError> {
        let is_small = self.upload.is_none();
        let bytes = if is_small && self.stage.uploads.fetch_add(1, Ordering::SeqCst) >= UPLOADS_MAX {
            self.stage.hold(&self.buffer)?
        } else {
            self.finish_upload()?
        };
        let target = self.stage.target.clone();
        Ok(StagedFile { target, relative: self.relative, size: self.size, rows: 0, event_times: None, bytes })
    }

    fn finish_upload(&mut self) -> Result<StagedBytes, ArcsError> {
        let last = Bytes::from(std::mem::take(&mut self.buffer));
        let sent = if last.is_empty() { Ok(()) } else { self.send(Part::Bytes(last)) };
        let _ = sent.and_then(|()| self.send(Part::Finish));
        let uri = self.stage.uri(&self.relative);
        let Some(Upload { parts, task }) = self.upload.take() else { return Err(ArcsError::internal("an upload without parts")) };
        drop(parts);
        match self.stage.runtime.block_on(task) {
            Ok(Ok(Some(upload))) => Ok(StagedBytes::Upload(upload)),
            Ok(Err(source)) => Err(ArcsError::Store { action: WRITE, uri, source }),
            Ok(Ok(None)) | Err(_) => Err(ArcsError::Stopped),
        }
    }
}

impl Write for FileSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The first part is large, for small files are staged in another way.
        let part_bytes = if self.upload.is_some() { self.stage.part_bytes() } else { PART_BYTES };
        let taken = bytes.len().min(part_bytes - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        self.size += taken as u64;
        if self.buffer.len() == part_bytes {
            let next = Vec::with_capacity(self.stage.part_bytes());
            let part = std::mem::replace(&mut self.buffer, next);
            self.send(Part::Bytes(part.into()))?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl StagedFile {
    /// The same, said to hold these rows.
    pub(crate) fn holding(self, rows: u64, event_times: Option<(DateTime<Utc>, DateTime<Utc>)>) -> StagedFile {
        StagedFile { rows, event_times, ..self }
    }

    /// Its URI once published.
    pub fn uri(&self) -> String {
        self.target.uri(&self.relative)
    }

    /// Makes it readable under its name, replacing what was there.
    pub async fn publish(self) -> Result<ManifestObject, ArcsError> {
        let uri = self.uri();
        let done = match self.bytes {
            StagedBytes::Upload(mut upload) => upload.complete().await,
            StagedBytes::Held { file, offset, len } => put_held(&self.target, &self.relative, &file, offset, len).await,
        };
        let put = done.map_err(|source| ArcsError::Store { action: PUBLISH, uri: uri.clone(), source })?;
        let times = self.event_times.unzip();
        Ok(ManifestObject {
            uri,
            size: self.size,
            etag: put.e_tag,
            version_id: put.version,
            arrived: None,
            rows: Some(self.rows),
            event_time_min: times.0,
            event_time_max: times.1,
        })
    }

    /// Takes its bytes away again.
    pub async fn abort(self) {
        if let StagedBytes::Upload(mut upload) = self.bytes {
            let _ = upload.abort().await;
        }
    }
}

async fn put_held(target: &Target, relative: &str, file: &Arc<File>, offset: u64, len: usize) -> object_store::Result<PutResult> {
    let mut bytes = vec![0; len];
    let read = file.read_exact_at(&mut bytes, offset);
    read.map_err(|error| object_store::Error::Generic { store: "held files", source: error.into() })?;
    target.store.put(&target.path(relative), PutPayload::from(bytes)).await
}
