//! The lake of a schedule: one boundary that hears by queue, one arc that converts access logs, on S3 behind a proxy.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arcs::runner::{Clock, RunContext};
use boundary::aws::BoundaryFunction;
use boundary::{BoundarySpec, Dispatcher, EventArrival, FilterSpec};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use manifests::{ArcId, ArcSink, ArcSource, ArcSpec, Aws, Bus, Dataset, Lot, LotUnit, MAIN_ROLE, MemoryBus, REJECTS_ROLE, Stores};
use object_store::{BackoffConfig, ObjectStoreExt, RetryConfig};
use serde_json::json;

use super::BUCKET;
use super::queue::ClockedQueue;
use crate::promises::{Arrived, Broken, Identity, Lake};
use crate::proxy::{Fault, Proxy};
use crate::seed::Seed;
use crate::work::{self, LEASE_SECONDS, work_once};

/// Passes of a worker until everything must be done.
const PASSES_MAX: u32 = 30;
/// When every schedule begins.
const START: i64 = 1_700_000_040;
/// A line that the format reads, and one that it does not.
const LINE: &str = "7cd47ef2be lake [14/Nov/2023:22:14:38 +0000] 192.0.2.3 - 3E57427F3EXAMPLE REST.GET.OBJECT a%2520b.txt \
\"GET /lake/a%20b.txt HTTP/1.1\" 200 - 113 113 7 5 \"-\" \"curl/8.5.0\" - s9lzHYrFp76ZVxRcpX9= SigV4 ECDHE-RSA-AES128-GCM-SHA256 \
AuthHeader lake.s3.us-west-1.amazonaws.com TLSv1.2 - - us-west-1\n";
const OTHER_LINE: &str = "not a line\n";

/// The stores of a schedule at an address, with so many tries again of a request.
pub(super) fn stores(url: &str, name: &str, max_retries: usize) -> Stores {
    let backoff = BackoffConfig { init_backoff: Duration::from_millis(1), max_backoff: Duration::from_millis(20), base: 2.0 };
    let retries = RetryConfig { backoff, max_retries, retry_timeout: Duration::from_secs(60) };
    let aws = Aws::of_keys("test", "not-a-secret", "us-east-1", url).with_retries(retries);
    Stores::below(aws.objects(), &format!("s3://{BUCKET}/{name}/lake")).expect("a path of S3")
}

/// A lake, and what was put into it.
pub(super) struct FaultyLake {
    pub(super) seed: Seed,
    pub(super) proxy: Proxy,
    millis: Arc<AtomicI64>,
    /// The stores as everybody sees them.
    stores: Stores,
    /// The stores as they are.
    sound: Stores,
    bus: Arc<dyn Bus>,
    queue: Arc<ClockedQueue>,
    spec: BoundarySpec,
    arcs: [ArcSpec; 1],
    told: Mutex<BTreeMap<Identity, usize>>,
    lines: AtomicU64,
}

impl FaultyLake {
    /// An empty lake of its own, with a proxy of its own.
    pub(super) async fn open(url: &str, seed: u64) -> FaultyLake {
        let dice = Seed::new(seed);
        let proxy = Proxy::start(url, seed, Fault::ALL, [5, 10, 20][dice.place(3)]).await;
        let millis = Arc::new(AtomicI64::new(START * 1_000));
        let name = format!("schedule-{seed}");
        let max_retries = dice.place(4);
        FaultyLake {
            stores: stores(proxy.url(), &name, max_retries),
            sound: stores(url, &name, 10),
            queue: Arc::new(ClockedQueue::new(clock(&millis))),
            bus: Arc::new(MemoryBus::default()),
            spec: boundary(&name, if dice.roll(3) == 0 { EventArrival::Infrequent } else { EventArrival::Frequent }),
            arcs: [convert(&name)],
            told: Mutex::default(),
            lines: AtomicU64::new(0),
            seed: dice,
            proxy,
            millis,
        }
    }

    fn now(&self) -> DateTime<Utc> {
        clock(&self.millis)()
    }

    /// Some minutes pass.
    pub(super) fn pass_time(&self) {
        self.millis.fetch_add(30_000 + self.seed.below(180_000), Ordering::Relaxed);
    }

    /// The lot of now is over and settled.
    pub(super) fn close_lot(&self) {
        let close = Lot::containing(self.spec.unit, self.now()).end() + self.spec.settle * 2;
        self.millis.store(close.timestamp_millis(), Ordering::Relaxed);
    }

    /// Objects are put past the proxy and told of, some late, some twice.
    pub(super) async fn put(&self, round: u64) {
        for n in 0..self.seed.roll(4) {
            let (good, bad) = (1 + self.seed.place(3), self.seed.place(2));
            let body = LINE.repeat(good) + &OTHER_LINE.repeat(bad);
            let (uri, size) = (format!("{}{round}-{n}.log", self.spec.dataset.path_uri), body.len());
            let place = self.sound.objects.locate(&uri).expect("a path of S3");
            let put = place.store.put(&place.path, body.into()).await.expect("the server takes it");
            let etag = put.e_tag.unwrap_or_default();
            let record = json!({"eventName": "ObjectCreated:Put", "eventTime": self.now().to_rfc3339_opts(SecondsFormat::Millis, true),
                "s3": {"bucket": {"name": BUCKET},
                    "object": {"key": place.path.as_ref(), "size": size, "eTag": etag.trim_matches('"')}}});
            let body = json!({"Records": [record]}).to_string();
            for copy in 0..=self.seed.roll(5) / 4 {
                let late = if self.seed.roll(5) == 0 { self.seed.below(300) } else { 0 };
                self.queue.send(format!("{round}-{n}-{copy}"), body.clone(), TimeDelta::seconds(late));
            }
            self.lines.fetch_add((good + bad) as u64, Ordering::Relaxed);
            self.told.lock().unwrap_or_else(PoisonError::into_inner).insert((uri, Some(etag)), 1);
        }
    }

    /// The function of the boundary is called by the clock.
    pub(super) async fn hear(&self) {
        let (stores, bus) = (self.stores.clone(), self.bus.clone());
        let function = BoundaryFunction::over("faults".into(), self.spec.clone(), stores, bus, Some(self.queue.clone()));
        let _ = function.holding(4).saying(|_| ()).call_at(&json!({"tick": true}), self.now()).await;
    }

    fn context(&self, owner: &str) -> RunContext {
        work::context(&self.stores, &self.bus, clock(&self.millis), owner)
    }

    async fn dispatcher(&self) -> Dispatcher {
        Dispatcher::new(self.stores.clone(), self.bus.clone()).await.expect("a bus in memory to subscribe to")
    }

    /// A worker looks for what is due and does it.
    pub(super) async fn work(&self, n: i64) {
        let owner = format!("worker-{n}-{}", self.now().timestamp_millis());
        work_once(&self.context(&owner), &self.arcs, &mut self.dispatcher().await, false).await;
    }

    /// Somebody asks for a lot to be done again.
    pub(super) async fn replay(&self) {
        work::replay(&self.context("replay"), &self.arcs[0], &mut self.dispatcher().await, |count| self.seed.place(count)).await;
    }

    /// A worker does what there is, and what failed for good, until nothing is left; false where that never comes.
    pub(super) async fn work_to_the_end(&self) -> bool {
        let mut dispatcher = self.dispatcher().await;
        for _ in 0..PASSES_MAX {
            if work_once(&self.context("calm"), &self.arcs, &mut dispatcher, true).await == Some(0) {
                return true;
            }
            // Leases end meanwhile.
            self.millis.fetch_add(LEASE_SECONDS * 1_000, Ordering::Relaxed);
        }
        false
    }

    /// Whether every message is done with.
    pub(super) fn is_heard(&self) -> bool {
        self.queue.left() == 0
    }

    fn lake(&self) -> Lake<'_> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let boundaries = vec![(&self.spec.dataset, Arrived::Told(told))];
        Lake { stores: &self.sound, boundaries, arcs: &self.arcs, replaces: false, removes: false }
    }

    /// Commits of the boundary and of the arc, the latest of each lot.
    pub(super) async fn commits(&self) -> u64 {
        let mut commits = 0;
        for dataset in [&self.spec.dataset, &self.arcs[0].sinks[1].dataset] {
            commits += self.lake().latest(dataset).await.len() as u64;
        }
        commits
    }

    /// All that is broken, seen past the proxy.
    pub(super) async fn check(&self) -> Vec<Broken> {
        let lake = self.lake();
        let mut found = lake.check().await;
        let waiting = lake.documents(&self.spec.dataset).await;
        if !waiting.is_empty() {
            found.push(Broken { promise: 5, seen: format!("{waiting:?} are left") });
        }
        let (mut lines, mut told) = (0, 0);
        for commit in lake.latest(&self.arcs[0].sinks[1].dataset).await {
            let counts = commit.receipt.map(|receipt| receipt.counts).unwrap_or_default();
            lines += counts.lines;
            told += commit.objects.iter().filter_map(|object| object.rows).sum::<u64>() + counts.rejected;
        }
        let put = self.lines.load(Ordering::Relaxed);
        if (lines, told) != (put, put) {
            found.push(Broken { promise: 7, seen: format!("{put} lines were put, {lines} read, {told} are rows or rejects") });
        }
        found
    }
}

fn clock(millis: &Arc<AtomicI64>) -> Clock {
    let millis = millis.clone();
    Arc::new(move || DateTime::from_timestamp_millis(millis.fetch_add(1, Ordering::Relaxed)).unwrap_or_default())
}

fn dataset(schedule: &str, name: &str) -> Dataset {
    Dataset { name: name.into(), version: "1".into(), path_uri: format!("s3://{BUCKET}/{schedule}/{name}/") }
}

fn boundary(schedule: &str, arrival: EventArrival) -> BoundarySpec {
    BoundarySpec {
        name: "in".into(),
        dataset: dataset(schedule, "raw"),
        unit: LotUnit::Twelfths,
        arrival,
        filter: FilterSpec::default(),
        settle: TimeDelta::seconds(2),
        from: None,
    }
}

fn convert(schedule: &str) -> ArcSpec {
    let sink = |role: &str, name: &str| ArcSink { role: role.into(), dataset: dataset(schedule, name) };
    let unit = LotUnit::Twelfths;
    ArcSpec {
        id: ArcId { project: "faults".into(), version: "1".into(), arc: "convert".into() },
        unit,
        sources: vec![ArcSource { role: MAIN_ROLE.into(), dataset: dataset(schedule, "raw"), unit, subscribe: true }],
        sinks: vec![sink(REJECTS_ROLE, "rejects"), sink(MAIN_ROLE, "parquet")],
        deadline: None,
        retries: 3,
        kind: "convert".into(),
        workload: json!({"format": "s3-access"}),
    }
}
