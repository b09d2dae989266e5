//! A tick of a boundary that hears from a queue, with as many objects as one lot takes: seconds, and the memory of the
//! process. The queue and the stores are in memory, so that what is measured is our own work: `cargo bench -p tests --bench
//! boundary`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use boundary::{
    Boundary, BoundaryError, BoundarySpec, CommitIndex, EventArrival, FilterSpec, MESSAGES_PER_CALL, Message, Queue, QueueArrivals,
};
use chrono::{DateTime, TimeDelta, Utc};
use manifests::{Dataset, LotUnit, MemoryBus, Stores};

/// Objects of one lot, at most.
const OBJECTS: usize = 250_000;

/// Messages that are made when they are received.
#[derive(Debug, Default)]
struct Endless {
    given: AtomicUsize,
    deleted: AtomicUsize,
}

fn message(n: usize) -> Message {
    let key = format!("logs/2023/07/17/20/50/AWSLogs-123456789012-us-east-2-{n:012}-0123456789abcdef.log.gz");
    let body = format!(
        r#"{{"Records":[{{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-east-2","eventTime":"2023-07-17T20:51:07.113Z","eventName":"ObjectCreated:Put","s3":{{"s3SchemaVersion":"1.0","bucket":{{"name":"raw-logs","arn":"arn:aws:s3:::raw-logs"}},"object":{{"key":"{key}","size":5120,"eTag":"{n:032x}","sequencer":"0055AED6DCD90281E5"}}}}}}]}}"#
    );
    // A handle of SQS has about four hundred characters.
    Message { id: format!("{n:036}"), handle: format!("{n:0400}"), body }
}

#[async_trait]
impl Queue for Endless {
    async fn receive(&self) -> Result<Vec<Message>, BoundaryError> {
        let first = self.given.fetch_add(MESSAGES_PER_CALL, Ordering::SeqCst);
        Ok((first..(first + MESSAGES_PER_CALL).min(OBJECTS)).map(message).collect())
    }

    async fn delete(&self, handles: Vec<String>) -> Result<(), BoundaryError> {
        self.deleted.fetch_add(handles.len(), Ordering::SeqCst);
        Ok(())
    }

    async fn release(&self, _handles: Vec<String>) -> Result<(), BoundaryError> {
        Ok(())
    }
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1_024
}

fn main() {
    let at = |text: &str| text.parse::<DateTime<Utc>>().expect("a time");
    let spec = BoundarySpec {
        name: "in".into(),
        dataset: Dataset { name: "raw".into(), version: "1".into(), path_uri: "s3://raw-logs/logs/".into() },
        unit: LotUnit::Twelfths,
        arrival: EventArrival::Frequent,
        filter: FilterSpec::default(),
        settle: TimeDelta::zero(),
        from: Some(at("2023-07-17T20:50:00Z")),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let stores = Stores::memory().expect("stores in memory");
        let queue = Arc::new(Endless::default());
        let index = CommitIndex::new(stores.clone(), spec.dataset.id(), spec.unit, at("2023-07-17T00:00:00Z"));
        let boundary = Boundary::new(spec, stores, Arc::new(MemoryBus::default()), Box::new(index)).expect("a filter");
        let mut boundary = boundary.hearing(Box::new(QueueArrivals::new(queue.clone())));
        let (before, started) = (peak_mib(), Instant::now());
        let ticked = boundary.tick(at("2023-07-17T20:55:01Z")).await.expect("a tick");
        let seconds = started.elapsed().as_secs_f64();
        let objects: usize = ticked.committed.iter().map(|lot| lot.objects).sum();
        let deleted = queue.deleted.load(Ordering::SeqCst);
        assert_eq!((objects, deleted), (OBJECTS, OBJECTS));
        println!("{objects} objects in {} lot: {seconds:.2} s, {} MiB at the peak ({before} before)", ticked.committed.len(), peak_mib());
    });
}
