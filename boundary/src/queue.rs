//! Arrivals by message: notifications flow out of a queue, arrivals flow on, and a message is deleted only after the
//! commit that holds what it tells of.
//!
//! A queue gives out a bounded number of messages at once. Beyond [`HELD_MAX`] of them, what they tell of is written down
//! beside the dataset first (`waiting-{hash}.json`, created, never changed); then they are deleted, and more can be
//! received. Such a document is deleted when commits hold all of it.
//!
//! A scan takes what one lot takes and little more, by count and by bytes, documents included: what is left is for the next.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::stream::FuturesUnordered;
use futures::{StreamExt, TryStreamExt};
use manifests::{ManifestObject, ManifestsError, Stores, paths};
use sha2::{Digest, Sha256};

use crate::arrivals::{Arrival, Arrivals, Scanned, Taker};
use crate::error::BoundaryError;
use crate::filter::Filter;
use crate::gather::{OBJECTS_PER_LOT_MAX, URI_BYTES_PER_LOT_MAX};
use crate::index::Index;
use crate::notification;
use crate::spec::BoundarySpec;
use crate::superseded::{Superseded, written};

/// Messages that are held at once. SQS gives out 120,000 of a queue at most.
pub const HELD_MAX: usize = 100_000;
/// Bytes of the handles and URIs of messages that are held at once. A handle has about four hundred.
const HELD_BYTES_MAX: usize = 40_000_000;
/// Messages of one receipt, one deletion or one release, as SQS has it.
pub const MESSAGES_PER_CALL: usize = 10;
/// Calls to the queue side by side, at most; and when a scan begins.
const CALLS_MAX: usize = 64;
const CALLS_FIRST: usize = 4;
/// Receipts in a row that bring nothing before the queue counts as empty.
const EMPTY_RECEIPTS: usize = 3;
/// The longest that a scan receives, where nobody says less; what is left goes to the next lot.
const RECEIVE_MAX: Duration = Duration::from_secs(120);

/// A message, given out for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The queue's name for it.
    pub id: String,
    /// What it is deleted by.
    pub handle: String,
    /// Its text.
    pub body: String,
}

/// A queue of messages.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Up to [`MESSAGES_PER_CALL`] messages, which nobody else is given for a while; waits for the first one a little.
    async fn receive(&self) -> Result<Vec<Message>, BoundaryError>;
    /// Deletes up to [`MESSAGES_PER_CALL`] messages by their handles. Those that could not be deleted come again.
    async fn delete(&self, handles: Vec<String>) -> Result<(), BoundaryError>;
    /// Gives up to [`MESSAGES_PER_CALL`] messages back, for anybody to receive.
    async fn release(&self, handles: Vec<String>) -> Result<(), BoundaryError>;
    /// Hides up to [`MESSAGES_PER_CALL`] messages for so many seconds from now. Where a queue cannot, they stay hidden for as
    /// long as they are.
    async fn hide(&self, _handles: Vec<String>, _seconds: u32) -> Result<(), BoundaryError> {
        Ok(())
    }
}

/// Hears of arrivals from a queue.
pub struct QueueArrivals {
    queue: Arc<dyn Queue>,
    held_max: usize,
    receive_max: Duration,
    held: Vec<Held>,
    held_bytes: usize,
    /// Documents that the last scan has read.
    documents: Vec<String>,
    /// Writes that later ones of the last scan have taken the place of.
    gone: HashSet<u128>,
}

/// A message and what it tells of.
struct Held {
    handle: String,
    arrivals: Vec<Arrival>,
}

impl QueueArrivals {
    /// Hears from `queue`.
    pub fn new(queue: Arc<dyn Queue>) -> QueueArrivals {
        QueueArrivals::holding(queue, HELD_MAX)
    }

    /// The same, holding so many messages at most; for a queue that gives out fewer.
    pub fn holding(queue: Arc<dyn Queue>, held_max: usize) -> QueueArrivals {
        let (held, documents, gone) = (Vec::new(), Vec::new(), HashSet::new());
        QueueArrivals { queue, held_max, receive_max: RECEIVE_MAX, held, held_bytes: 0, documents, gone }
    }

    /// The same, whose scans receive for so long at most.
    #[must_use]
    pub fn receiving(self, receive_max: Duration) -> QueueArrivals {
        QueueArrivals { receive_max: receive_max.min(RECEIVE_MAX), ..self }
    }

    /// Receives until the queue is empty, the scan full or its time over.
    async fn drain(&mut self, scan: &mut Scan<'_>) -> Result<(), BoundaryError> {
        let (started, queue) = (Instant::now(), self.queue.clone());
        let mut calls = FuturesUnordered::new();
        let (mut width, mut empties) = (CALLS_FIRST, 0);
        while empties < EMPTY_RECEIPTS && !scan.is_full() && started.elapsed() < self.receive_max {
            while calls.len() < width {
                calls.push(queue.receive());
            }
            let Some(messages) = calls.try_next().await? else { break };
            empties = if messages.is_empty() { empties + 1 } else { 0 };
            width = if messages.len() == MESSAGES_PER_CALL { (width * 2).min(CALLS_MAX) } else { CALLS_FIRST.max(width / 2) };
            self.hold(messages, scan).await?;
        }
        // What is on its way is given out already: it is taken as well.
        while let Some(messages) = calls.try_next().await? {
            self.hold(messages, scan).await?;
        }
        Ok(())
    }

    async fn hold(&mut self, messages: Vec<Message>, scan: &mut Scan<'_>) -> Result<(), BoundaryError> {
        for message in messages {
            match notification::read(&message.body) {
                Ok(notified) => {
                    let wanted = notified.into_iter().filter(|notified| scan.spec.wants(scan.filter, &notified.arrival.uri));
                    let wanted = wanted.inspect(|notified| scan.superseded.note(notified));
                    let arrivals: Vec<Arrival> = wanted.map(|notified| notified.arrival).collect();
                    scan.add(&arrivals);
                    self.held_bytes += message.handle.len() + arrivals.iter().map(|arrival| arrival.uri.len()).sum::<usize>();
                    self.held.push(Held { handle: message.handle, arrivals });
                }
                // It comes again until the queue sets it aside for a person.
                Err(error) => tracing::warn!("message {} is left in the queue: {error}", message.id),
            }
        }
        if self.held.len() >= self.held_max || self.held_bytes >= HELD_BYTES_MAX {
            self.write_down(scan).await?;
        }
        Ok(())
    }

    /// Writes down what is held, and deletes the messages that told of it.
    async fn write_down(&mut self, scan: &Scan<'_>) -> Result<(), BoundaryError> {
        let held = std::mem::take(&mut self.held);
        self.held_bytes = 0;
        let mut handles = Vec::with_capacity(held.len());
        let mut objects: Vec<ManifestObject> = Vec::new();
        for Held { handle, arrivals } in held {
            handles.push(handle);
            let arrivals = arrivals.into_iter().filter(|arrival| !scan.superseded.holds(arrival));
            objects.extend(arrivals.map(Arrival::into_object));
        }
        let path = create_document(scan.stores, scan.spec, &objects).await?;
        self.documents.push(path);
        delete_all(self.queue.as_ref(), handles).await
    }
}

/// A scan going on.
struct Scan<'a> {
    spec: &'a BoundarySpec,
    filter: &'a Filter,
    stores: &'a Stores,
    batch: Vec<Arrival>,
    uri_bytes: usize,
    /// What was heard: a message that is given out twice tells of nothing new.
    seen: HashSet<u128>,
    superseded: Superseded,
}

impl Scan<'_> {
    fn add(&mut self, arrivals: &[Arrival]) {
        for arrival in arrivals {
            if self.seen.insert(written(arrival)) {
                self.uri_bytes += arrival.uri.len();
                self.batch.push(arrival.clone());
            }
        }
    }

    /// Whether it has what one lot takes.
    fn is_full(&self) -> bool {
        self.batch.len() >= OBJECTS_PER_LOT_MAX || self.uri_bytes >= URI_BYTES_PER_LOT_MAX
    }

    /// What it has heard, and what of it is superseded.
    fn end(self) -> (Vec<Arrival>, HashSet<u128>) {
        let Scan { mut batch, superseded, .. } = self;
        batch.retain(|arrival| !superseded.holds(arrival));
        (batch, superseded.into_gone())
    }
}

/// Writes arrivals down beside the dataset, for the next scan to hand over.
pub(crate) async fn create_document(stores: &Stores, spec: &BoundarySpec, objects: &[ManifestObject]) -> Result<String, BoundaryError> {
    let body = serde_json::to_vec(objects).map_err(|error| unread_document("", &error))?;
    let mut digest = Sha256::digest(&body);
    loop {
        let name = digest.first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
        let path = paths::waiting_arrivals(&spec.dataset.id(), name);
        if stores.metadata.create(&path, body.clone()).await? {
            return Ok(path);
        }
        // The same is there, and may be about to go: this one has a name of its own.
        digest = Sha256::digest(digest);
    }
}

/// Documents of arrivals that wait.
async fn documents(stores: &Stores, spec: &BoundarySpec) -> Result<Vec<String>, BoundaryError> {
    let listed = stores.metadata.list(&paths::dataset_dir(&spec.dataset.id())).await?;
    Ok(listed.iter().filter(|path| paths::is_waiting_arrivals(path)).map(|path| path.as_ref().to_owned()).collect())
}

async fn read_document(stores: &Stores, path: &str) -> Result<Vec<Arrival>, BoundaryError> {
    let body = stores.metadata.get(path).await?.unwrap_or_else(|| "[]".into());
    let objects: Vec<ManifestObject> =
        serde_json::from_slice(&body).map_err(|error| unread_document(&stores.metadata.uri(path), &error))?;
    Ok(objects.into_iter().filter_map(Arrival::from_object).collect())
}

fn unread_document(path: &str, error: &serde_json::Error) -> BoundaryError {
    let (path, reason) = (path.to_owned(), error.to_string());
    ManifestsError::Document { path, what: "arrivals that wait", reason }.into()
}

/// Calls `call` with ten handles at a time, many times side by side.
pub(crate) async fn in_tens<'a, F: Future<Output = Result<(), BoundaryError>> + Send + 'a>(
    handles: Vec<String>,
    call: impl Fn(Vec<String>) -> F,
) -> Result<(), BoundaryError> {
    let tens: Vec<Vec<String>> = handles.chunks(MESSAGES_PER_CALL).map(<[String]>::to_vec).collect();
    futures::stream::iter(tens.into_iter().map(call)).buffer_unordered(CALLS_MAX).try_collect::<()>().await
}

async fn delete_all(queue: &dyn Queue, handles: Vec<String>) -> Result<(), BoundaryError> {
    in_tens(handles, |handles| queue.delete(handles)).await
}

#[async_trait]
impl Arrivals for QueueArrivals {
    async fn scan(
        &mut self,
        spec: &BoundarySpec,
        filter: &Filter,
        stores: &Stores,
        taker: &mut dyn Taker,
    ) -> Result<Scanned, BoundaryError> {
        let (seen, superseded) = (HashSet::new(), Superseded::default());
        let mut scan = Scan { spec, filter, stores, batch: Vec::new(), uri_bytes: 0, seen, superseded };
        // Only after a tick that failed is anything held. It is hidden from everybody else for a while, so it is handed over
        // once more from here; what was committed or given out elsewhere meanwhile is told apart as always.
        self.held.iter().for_each(|held| scan.add(&held.arrivals));
        self.documents.clear();
        for path in documents(stores, spec).await? {
            if scan.is_full() {
                break;
            }
            scan.add(&read_document(stores, &path).await?);
            self.documents.push(path);
        }
        self.drain(&mut scan).await?;
        let (batch, gone) = scan.end();
        self.gone = gone;
        let objects = batch.len();
        taker.take(batch).await?;
        Ok(Scanned { objects, ..Scanned::default() })
    }

    async fn forget(&mut self, stores: &Stores, index: &mut dyn Index) -> Result<(), BoundaryError> {
        for path in std::mem::take(&mut self.documents) {
            let arrivals = read_document(stores, &path).await?;
            if unknown(index, arrivals, &self.gone).await?.is_empty() {
                stores.metadata.delete(&path).await?;
            }
        }
        let (mut messages, mut all) = (Vec::new(), Vec::new());
        for Held { handle, arrivals } in std::mem::take(&mut self.held) {
            messages.push((handle, arrivals.iter().map(written).collect::<Vec<u128>>()));
            all.extend(arrivals);
        }
        self.held_bytes = 0;
        let unknown = unknown(index, all, &self.gone).await?;
        let is_waiting = |message: &(String, Vec<u128>)| message.1.iter().any(|write| unknown.contains(write));
        let (waiting, known): (Vec<_>, Vec<_>) = messages.into_iter().partition(is_waiting);
        let handles = |messages: Vec<(String, Vec<u128>)>| messages.into_iter().map(|message| message.0).collect();
        delete_all(self.queue.as_ref(), handles(known)).await?;
        in_tens(handles(waiting), |handles| self.queue.release(handles)).await
    }
}

/// Those that no commit holds and no later write has taken the place of, all asked after at once: each
/// commit is then read once, however many messages are late.
pub(crate) async fn unknown(
    index: &mut dyn Index,
    mut arrivals: Vec<Arrival>,
    gone: &HashSet<u128>,
) -> Result<HashSet<u128>, BoundaryError> {
    arrivals.retain(|arrival| gone.is_empty() || !gone.contains(&written(arrival)));
    if arrivals.is_empty() {
        return Ok(HashSet::new());
    }
    Ok(index.unknown(arrivals).await?.iter().map(written).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    use super::*;
    use crate::commit_index::CommitIndex;
    use crate::filter::FilterSpec;
    use crate::memory_queue::MemoryQueue;
    use crate::spec::EventArrival;
    use crate::tick::Boundary;
    use chrono::{DateTime, TimeDelta, Utc};
    use manifests::{Dataset, Fate, Faults, FaultyStore, Lot, LotUnit, MemoryBus, ObjectStores};
    use proptest::prelude::*;
    use serde_json::json;

    fn spec() -> BoundarySpec {
        BoundarySpec {
            name: "in".into(),
            dataset: Dataset { name: "raw".into(), version: "1".into(), path_uri: "s3://raw/in/".into() },
            unit: LotUnit::Twelfths,
            arrival: EventArrival::Frequent,
            filter: FilterSpec::default(),
            settle: TimeDelta::zero(),
            from: Some(at(0)),
        }
    }

    fn at(second: i64) -> DateTime<Utc> {
        "2023-07-17T20:50:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::seconds(second)
    }

    /// A boundary that remembers nothing of earlier ones, as a function that is started anew.
    fn boundary(stores: &Stores, queue: &Arc<MemoryQueue>, held_max: usize) -> Boundary {
        let index = CommitIndex::new(stores.clone(), spec().dataset.id(), LotUnit::Twelfths, at(-600));
        let boundary = Boundary::new(spec(), stores.clone(), Arc::new(MemoryBus::default()), Box::new(index)).unwrap();
        boundary.hearing(Box::new(QueueArrivals::holding(queue.clone(), held_max)))
    }

    /// The URIs of every commit, in order.
    async fn committed(stores: &Stores) -> Vec<(Lot, Vec<String>)> {
        let mut all = Vec::new();
        for (lot, _) in stores.lots(&spec().dataset.id()).await.unwrap() {
            all.push((lot, stores.read_commit(&spec().dataset.id(), lot, 1).await.unwrap().unwrap().uris));
        }
        all
    }

    #[tokio::test]
    async fn a_message_goes_when_its_object_is_committed_and_not_before() {
        let (stores, queue) = (Stores::memory().unwrap(), Arc::new(MemoryQueue::default()));
        queue.send("in/a", at(10));
        queue.send("in/a", at(10));
        queue.send("in/later", at(301));
        queue.send("in/_hidden", at(11));
        queue.send("elsewhere/b", at(11));
        queue.send("in/folder/", at(11));
        queue.send_text(json!({"Event": "s3:TestEvent"}).to_string());
        queue.send_text("no notification".into());
        let ticked = boundary(&stores, &queue, 10).tick(at(302)).await.unwrap();
        assert_eq!((ticked.committed.len(), ticked.waiting), (1, 1));
        assert_eq!(queue.left(), 2, "what waits for its lot, and what nobody can read");
        queue.send("in/a", at(10));
        queue.send("in/late", at(12));
        boundary(&stores, &queue, 10).tick(at(601)).await.unwrap();
        let uris: Vec<Vec<String>> = committed(&stores).await.into_iter().map(|(_, uris)| uris).collect();
        assert_eq!(uris, [vec!["s3://raw/in/a".to_owned()], vec!["s3://raw/in/late".into(), "s3://raw/in/later".into()]]);
        assert_eq!(queue.left(), 1);
    }

    #[tokio::test]
    async fn more_than_can_be_held_is_written_down() {
        let (stores, queue) = (Stores::memory().unwrap(), Arc::new(MemoryQueue::default()));
        (0..1_000).for_each(|n| queue.send(&format!("in/{n:04}"), at(n % 400)));
        boundary(&stores, &queue, 50).tick(at(401)).await.unwrap();
        let found = committed(&stores).await;
        assert_eq!(found[0].1.len(), 800, "what arrived before the end of the lot");
        assert!(!documents(&stores, &spec()).await.unwrap().is_empty(), "some of what waits is written down");
        boundary(&stores, &queue, 50).tick(at(601)).await.unwrap();
        let found = committed(&stores).await;
        let uris: BTreeSet<&String> = found.iter().flat_map(|(_, uris)| uris).collect();
        assert_eq!((found.len(), uris.len(), found[1].1.len()), (2, 1_000, 200));
        assert_eq!((queue.left(), documents(&stores, &spec()).await.unwrap()), (0, vec![]));
    }

    #[tokio::test]
    async fn of_two_writes_of_a_key_the_last_is_taken_and_both_messages_go() {
        let (stores, queue) = (Stores::memory().unwrap(), Arc::new(MemoryQueue::default()));
        for (etag, sequencer, version) in [("2", "0A2", None), ("1", "0A1F", None), ("3", "1", Some("v1")), ("4", "2", Some("v2"))] {
            let key = if version.is_some() { "in/kept" } else { "in/a" };
            let object = json!({"key": key, "size": 1, "eTag": etag, "sequencer": sequencer, "versionId": version});
            let record = json!({"eventName": "ObjectCreated:Put", "eventTime": at(10).to_rfc3339(), "s3": {"bucket": {"name": "raw"}, "object": object}});
            queue.send_text(json!({"Records": [record]}).to_string());
        }
        boundary(&stores, &queue, 10).tick(at(301)).await.unwrap();
        let commit = stores.read_commit(&spec().dataset.id(), committed(&stores).await[0].0, 1).await.unwrap().unwrap();
        let etags: BTreeSet<&str> = commit.objects.iter().filter_map(|object| object.etag.as_deref()).collect();
        assert_eq!((etags, queue.left()), (BTreeSet::from(["\"2\"", "\"3\"", "\"4\""]), 0));
    }

    /// Takes everything and counts it.
    struct Count(usize);

    #[async_trait]
    impl Taker for Count {
        async fn take(&mut self, batch: Vec<Arrival>) -> Result<(), BoundaryError> {
            self.0 += batch.len();
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_scan_that_is_full_leaves_documents_and_messages_to_the_next() {
        let (stores, queue) = (Stores::memory().unwrap(), Arc::new(MemoryQueue::default()));
        for name in ["a", "b"] {
            let uri = format!("s3://raw/in/{}", name.repeat(URI_BYTES_PER_LOT_MAX));
            let object = ManifestObject { uri, arrived: Some(at(10)), ..ManifestObject::default() };
            create_document(&stores, &spec(), &[object]).await.unwrap();
        }
        queue.send("in/last", at(11));
        let (mut arrivals, mut count) = (QueueArrivals::new(queue.clone()), Count(0));
        arrivals.scan(&spec(), &spec().filter.compile().unwrap(), &stores, &mut count).await.unwrap();
        assert_eq!((count.0, arrivals.documents.len(), arrivals.held.len()), (1, 1, 0));
    }

    #[tokio::test]
    async fn a_scan_without_time_receives_nothing_and_loses_nothing() {
        let (stores, queue) = (Stores::memory().unwrap(), Arc::new(MemoryQueue::default()));
        queue.send("in/a", at(11));
        let mut arrivals = QueueArrivals::new(queue.clone()).receiving(Duration::ZERO);
        let mut count = Count(0);
        arrivals.scan(&spec(), &spec().filter.compile().unwrap(), &stores, &mut count).await.unwrap();
        assert_eq!((count.0, queue.receive().await.unwrap().len()), (0, 1));
    }

    #[tokio::test]
    async fn a_document_may_tell_twice_of_a_content_that_was_written_twice() {
        let (stores, queue) = (Stores::memory().unwrap(), Arc::new(MemoryQueue::default()));
        let written = |second| ManifestObject {
            uri: "s3://raw/in/a".into(),
            etag: Some("e".into()),
            arrived: Some(at(second)),
            ..ManifestObject::default()
        };
        create_document(&stores, &spec(), &[written(10), written(310)]).await.unwrap();
        for second in [301, 601, 901] {
            boundary(&stores, &queue, 10).tick(at(second)).await.unwrap();
        }
        let objects: Vec<usize> = committed(&stores).await.iter().map(|(_, uris)| uris.len()).collect();
        assert_eq!((objects, documents(&stores, &spec()).await.unwrap()), (vec![1, 1, 0], vec![]));
    }

    #[tokio::test]
    async fn a_document_that_is_deleted_late_is_no_other() {
        let stores = Stores::memory().unwrap();
        let [one, other] = ["s3://raw/in/a", "s3://raw/in/b"].map(|uri| [ManifestObject { uri: uri.into(), ..ManifestObject::default() }]);
        let first = create_document(&stores, &spec(), &one).await.unwrap();
        let again = create_document(&stores, &spec(), &one).await.unwrap();
        assert_ne!(first, again);
        // Two boundaries find that commits hold it. One deletes it; more comes; then the other deletes it.
        stores.metadata.delete(&first).await.unwrap();
        let next = create_document(&stores, &spec(), &other).await.unwrap();
        stores.metadata.delete(&first).await.unwrap();
        assert_eq!(documents(&stores, &spec()).await.unwrap().into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([again, next]));
    }

    /// All that commits hold of a boundary that lives on, when its clock shows these seconds one after the other; before each
    /// of them the queue tells of `in/a` at second `told` once more.
    async fn heard_at(arrival: EventArrival, told: i64, seconds: &[i64]) -> Vec<(Lot, Vec<String>)> {
        let (stores, queue) = (Stores::memory().unwrap(), Arc::new(MemoryQueue::default()));
        let index = CommitIndex::new(stores.clone(), spec().dataset.id(), LotUnit::Twelfths, at(-600));
        let spec = BoundarySpec { arrival, ..spec() };
        let boundary = Boundary::new(spec, stores.clone(), Arc::new(MemoryBus::default()), Box::new(index)).unwrap();
        let mut boundary = boundary.hearing(Box::new(QueueArrivals::new(queue.clone())));
        for second in seconds {
            queue.send("in/a", at(told));
            boundary.tick(at(*second)).await.unwrap();
        }
        committed(&stores).await.into_iter().filter(|(_, uris)| !uris.is_empty()).collect()
    }

    #[tokio::test]
    async fn after_an_outage_an_infrequent_object_is_in_the_lot_of_its_time_and_nowhere_again() {
        let lot = Lot::containing(LotUnit::Twelfths, at(1_000));
        let expected = vec![(lot, vec!["s3://raw/in/a".to_owned()])];
        assert_eq!(heard_at(EventArrival::Infrequent, 1_000, &[1_010, 1_210, 1_510, 1_810]).await, expected);
    }

    #[tokio::test]
    async fn a_clock_that_is_behind_waits_for_the_time_of_a_message() {
        let lot = Lot::containing(LotUnit::Twelfths, at(310));
        let expected = vec![(lot, vec!["s3://raw/in/a".to_owned()])];
        assert_eq!(heard_at(EventArrival::Frequent, 310, &[250, 290, 301, 601, 901]).await, expected);
    }

    #[derive(Debug)]
    struct FailAt(Mutex<Vec<(usize, Fate)>>);

    #[async_trait]
    impl Faults for FailAt {
        async fn fate(&self, _action: &'static str, _write: bool, _path: &str) -> Fate {
            let mut fates = self.0.lock().unwrap();
            let Some((left, fate)) = fates.last_mut() else { return Fate::Pass };
            if *left > 0 {
                *left -= 1;
                return Fate::Pass;
            }
            let fate = *fate;
            fates.pop();
            fate
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        /// Ticks that fail anywhere, messages that come twice, late or in any order, processes that begin anew at each tick
        /// or go on, one of them or two at once: every object in exactly one commit, no lot missing, and in the end an
        /// empty queue.
        #[test]
        fn nothing_lost_and_nothing_twice(
            sends in prop::collection::vec((0usize..60, 0i64..1_500), 1..80),
            fates in prop::collection::vec((0usize..30, 0u8..6), 0..8),
            failures in 0u32..6,
            held_max in 1usize..40,
            processes in 1usize..3,
            go_on: bool,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let queue = Arc::new(MemoryQueue::default());
                let fates_of_calls =
                    [Fate::Refuse, Fate::RefuseAfter, Fate::Twice, Fate::Conflict, Fate::ConflictAfter, Fate::ConflictBefore];
                let fate = |n: u8| fates_of_calls[usize::from(n)];
                let storm = Arc::new(FailAt(Mutex::new(fates.iter().map(|(left, n)| (*left, fate(*n))).collect())));
                let faults: Arc<dyn Faults> = storm.clone();
                let objects = ObjectStores::memory().wrapped(move |store| Arc::new(FaultyStore::new(store, faults.clone())));
                let stores = Stores::below(objects, "memory:///lake").unwrap();
                let mut names = BTreeSet::new();
                let start = || (0..processes).map(|_| boundary(&stores, &queue, held_max)).collect::<Vec<_>>();
                let mut at_work = start();
                for (step, tens) in sends.chunks(10).enumerate() {
                    for (name, second) in tens {
                        // The time of an object is its own: a message that comes again says the same.
                        let second = (second * 7 + *name as i64 * 13) % 300 + *name as i64 * 20;
                        let key = format!("in/{name:02}-{second}");
                        queue.send(&key, at(second));
                        names.insert(format!("s3://raw/{key}"));
                    }
                    *queue.failures.lock().unwrap() = failures * u32::from(step % 2 == 0);
                    if !go_on {
                        at_work = start();
                    }
                    futures::future::join_all(at_work.iter_mut().map(|boundary| boundary.tick(at(step as i64 * 400)))).await;
                    if step % 3 != 0 {
                        queue.expire();
                    }
                }
                queue.expire();
                let mut tries = 0;
                let last = &mut at_work[0];
                while last.tick(at(9_000)).await.is_err() {
                    tries += 1;
                    queue.expire();
                    assert!(tries < 100);
                }
                storm.0.lock().unwrap().clear();
                queue.expire();
                last.tick(at(9_600)).await.unwrap();
                let found = committed(&stores).await;
                assert!(found.windows(2).all(|pair| pair[0].0.next() == pair[1].0), "a lot is missing");
                let all: Vec<String> = found.into_iter().flat_map(|(_, uris)| uris).collect();
                assert_eq!(all.len(), names.len(), "lost or twice");
                assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), names);
                assert_eq!((queue.left(), documents(&stores, &spec()).await.unwrap()), (0, vec![]));
            });
        }
    }
}
