//! The readers of a conversion: source objects flow in, parsed blocks flow out as messages, in any order. Each reader is
//! a thread that takes one object after the other; its own share of the bound on what is in flight lets the object
//! whose turn it is always go on. Readers of local files parse and encode themselves where there is no room, and at the end.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::thread::Scope;

use arrow::buffer::Buffer;
use bytes::Bytes;
use tokio::runtime::Handle;

use crate::convert::ConvertJob;
use crate::decode::{Compression, Decoder};
use crate::error::ArcsError;
use crate::header::Header;
use crate::lineage::{BlockOrigin, Origins};
use crate::lines::{Blocks, Piece, Pieces};
use crate::parse::{Block, Content, ParsedBlock, header_after, parse};
use crate::pool::{Budget, Failure, Share, Tasks, Urgency};
use crate::read::{self, FailureSlot, SourceObject, Unread};
use crate::shape::Shaped;

/// Objects read side by side.
const READERS_MAX: usize = 4;

/// Threads that one reader of local files keeps busy. The next object's text would only push that of the one whose turn it is
/// out of the cache.
const THREADS_PER_LOCAL_READER: usize = 4;

/// What readers and parsers tell the sequence.
pub(super) enum Message {
    /// A block of an object, by its place there; with the lineage of its rows where that is not its place.
    Block { source: usize, index: usize, parsed: Box<ParsedBlock>, share: Share, origins: Option<Box<Origins>> },
    /// An object is read to its end.
    End(End),
    /// A block is shaped: its place among all blocks, and where it comes from.
    Shaped { place: usize, origin: BlockOrigin, shaped: Box<Shaped>, share: Share },
}

/// The end of an object.
pub(super) struct End {
    /// Its place among the sources.
    pub source: usize,
    /// How many blocks it gave.
    pub blocks: usize,
    /// Its stored bytes that were read.
    pub bytes_in: u64,
    /// Whether it could be opened.
    pub is_read: bool,
    /// Why it could not be read, wholly or in part.
    pub problem: Option<String>,
}

/// What a reader needs.
struct Reader<'a> {
    job: &'a ConvertJob,
    tasks: Tasks,
    runtime: &'a Handle,
    failure: &'a Arc<Failure>,
    messages: Sender<Message>,
    budget: Arc<Budget>,
    blocks: Blocks,
}

/// Starts the readers.
pub(super) fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    job: &'scope ConvertJob,
    tasks: &Tasks,
    runtime: &'scope Handle,
    failure: &'scope Arc<Failure>,
    messages: Sender<Message>,
) {
    let (next, blocks) = (Arc::new(AtomicUsize::new(0)), Blocks::default());
    let readers = readers(&job.sources, job.limits.threads);
    let is_helping = helpers(job) > 0;
    for _ in 0..readers {
        let bytes_max = job.limits.in_flight_bytes / readers;
        let budget = if is_helping { Budget::of_helper(bytes_max, tasks.clone()) } else { Budget::new(bytes_max) };
        let reader = Reader { job, tasks: tasks.clone(), runtime, failure, messages: messages.clone(), budget, blocks: blocks.clone() };
        let next = next.clone();
        scope.spawn(move || {
            let work = AssertUnwindSafe(|| reader.work(&next));
            if std::panic::catch_unwind(work).is_err() {
                failure.set(ArcsError::internal("a reader panicked"));
            }
            let tasks = reader.tasks.clone();
            drop(reader);
            if is_helping {
                tasks.help(failure);
            }
        });
    }
}

/// How many readers work on tasks as the pool's threads do. Those that wait for a network do not: there should always be one
/// that listens.
pub(super) fn helpers(job: &ConvertJob) -> usize {
    if is_local(&job.sources) { readers(&job.sources, job.limits.threads) } else { 0 }
}

fn is_local(sources: &[SourceObject]) -> bool {
    sources.iter().all(|source| source.uri.starts_with("file://"))
}

/// How many readers there are. Where objects come over a network, the next ones are asked for while one is read.
fn readers(sources: &[SourceObject], threads: usize) -> usize {
    let wanted = if is_local(sources) { threads.div_ceil(THREADS_PER_LOCAL_READER) } else { threads };
    wanted.min(sources.len()).clamp(1, READERS_MAX)
}

impl Reader<'_> {
    fn work(&self, next: &AtomicUsize) {
        while !self.failure.is_set() {
            let source = next.fetch_add(1, Ordering::SeqCst);
            let Some(object) = self.job.sources.get(source) else { return };
            match self.read(source, object) {
                Ok(end) => {
                    let _ = self.messages.send(Message::End(end));
                }
                Err(error) => self.failure.set(error),
            }
        }
    }

    fn read(&self, source: usize, object: &SourceObject) -> Result<End, ArcsError> {
        let (stored, slot) = match read::open(object, self.runtime) {
            Ok(opened) => opened,
            Err(Unread::Error(error)) => return Err(error),
            Err(Unread::Problem(reason)) => {
                self.reject(source, 0, Vec::new(), 0, 0, reason.clone());
                return Ok(End { source, blocks: 1, bytes_in: 0, is_read: false, problem: Some(reason) });
            }
        };
        match Decoder::new(stored, self.job.limits.inflation) {
            Ok(decoder) => self.pieces(source, object, decoder, &slot),
            Err(error) => {
                let (reason, problem) = broken(object, &slot, Compression::Plain, &error)?;
                self.reject(source, 0, Vec::new(), 0, 0, reason);
                Ok(End { source, blocks: 1, bytes_in: 0, is_read: true, problem })
            }
        }
    }

    fn pieces(&self, source: usize, object: &SourceObject, decoder: Decoder, slot: &FailureSlot) -> Result<End, ArcsError> {
        let compression = decoder.compression();
        let grammar = self.job.grammar.as_ref();
        let mut pieces = Pieces::within(decoder, grammar, self.job.limits.lines, &self.blocks);
        let (mut blocks, mut problem, mut header) = (0, None, None);
        while let Some(piece) = pieces.next_piece() {
            if self.failure.is_set() {
                return Err(ArcsError::Stopped);
            }
            match piece {
                Piece::Lines { text, offset } => {
                    let is_first = blocks == 0;
                    let after = header_after(grammar, &text, is_first, header.clone());
                    self.submit(source, blocks, text, offset, Content::Records { is_first }, std::mem::replace(&mut header, after));
                }
                Piece::Overlong { head, offset, bytes } => {
                    self.reject(source, blocks, head, offset, bytes, crate::parse::TOO_LONG.to_owned());
                }
                Piece::Broken { fragment, offset, bytes, error } => {
                    let (reason, found) = broken(object, slot, compression, &error)?;
                    problem = found;
                    self.reject(source, blocks, fragment, offset, bytes, reason);
                }
            }
            blocks += 1;
        }
        Ok(End { source, blocks, bytes_in: pieces.reader().stored_bytes(), is_read: true, problem })
    }

    fn reject(&self, source: usize, index: usize, head: Vec<u8>, offset: u64, bytes: u64, reason: String) {
        self.submit(source, index, head.into(), offset, Content::Reject { bytes, reason }, None);
    }

    /// Hands a block to the parsers once there is room for it.
    fn submit(&self, source: usize, index: usize, text: Bytes, offset: u64, content: Content, header: Option<Header>) {
        let memory = text.len().max(self.job.limits.lines.block_bytes);
        let Some(share) = self.budget.take(memory, self.failure) else { return };
        let arrived = self.job.lot.end().timestamp_micros();
        let block = Block { text: Buffer::from(text), offset, content, header, arrived };
        let (grammar, line_bytes_max) = (self.job.grammar.clone(), self.job.limits.lines.line_bytes_max);
        let (messages, failure) = (self.messages.clone(), self.failure.clone());
        self.tasks.submit(Urgency::Then, move || match parse(grammar.as_ref(), block, line_bytes_max) {
            Ok(parsed) => {
                let _ = messages.send(Message::Block { source, index, parsed: Box::new(parsed), share, origins: None });
            }
            Err(error) => failure.set(ArcsError::internal(format!("rows of a block do not make arrays: {error}"))),
        });
    }
}

/// Why an object broke off: the reason of the reject, and the problem if the object itself could not be read.
fn broken(
    object: &SourceObject,
    slot: &FailureSlot,
    compression: Compression,
    error: &std::io::Error,
) -> Result<(String, Option<String>), ArcsError> {
    if let Some(failure) = crate::pool::lock(slot).take() {
        return match read::unread(object, failure) {
            Unread::Error(error) => Err(error),
            Unread::Problem(reason) => Ok((reason.clone(), Some(reason))),
        };
    }
    if error.raw_os_error().is_some() || compression == Compression::Plain {
        let reason = format!("the object cannot be read on: {error}");
        return Ok((reason.clone(), Some(reason)));
    }
    Ok((format!("the {} data cannot be decoded on: {error}", compression.as_str()), None))
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use object_store::path::Path;

    use super::*;

    fn objects(uris: &[&str]) -> Vec<SourceObject> {
        let store: Arc<dyn object_store::ObjectStore> = Arc::new(InMemory::new());
        let object = |uri: &&str| {
            let (uri, path, store) = ((*uri).to_owned(), Path::from("a"), store.clone());
            SourceObject { uri, size: 1, etag: None, version: None, store, path }
        };
        uris.iter().map(object).collect()
    }

    #[test]
    fn local_files_share_a_reader_and_distant_ones_are_asked_for_side_by_side() {
        let (local, distant) = (objects(&["file:///a"; 9]), objects(&["s3://lake/a"; 9]));
        assert_eq!([1, 2, 4, 5, 64].map(|threads| readers(&local, threads)), [1, 1, 1, 2, 4]);
        assert_eq!([1, 2, 4, 5, 64].map(|threads| readers(&distant, threads)), [1, 2, 4, 4, 4]);
        assert_eq!(readers(&objects(&["file:///a", "s3://lake/a"]), 4), 2, "one distant object is enough, and two need no more");
        assert_eq!(readers(&[], 4), 1);
    }
}
