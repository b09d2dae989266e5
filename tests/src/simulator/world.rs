//! What a schedule is made of: the seed's dice, the stores seen through them, the project.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use boundary::{BoundarySpec, EventArrival, FilterSpec};
use chrono::TimeDelta;
use manifests::{
    ArcId, ArcSink, ArcSource, ArcSpec, Bus, Dataset, Fate, Faults, FaultyStore, LotUnit, MAIN_ROLE, MemoryBus, ObjectStores, Stores,
};
use serde_json::json;

use super::batch::SimBatch;
use super::bus::SimBus;
use super::edge::Edge;
use super::queue::SimQueue;
use super::store::SimStore;
use super::time::VirtualTime;
use crate::seed::Seed;

/// What happened in a schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Calls to the store.
    pub calls: u64,
    /// Calls that were refused, half done or done twice.
    pub faults: u64,
    /// Processes that died at a call.
    pub crashes: u64,
    /// Commits created.
    pub commits: u64,
    /// Objects that notifications told of.
    pub heard: u64,
    /// Jobs that were submitted.
    pub jobs: u64,
}

/// The dice of a seed, and what they have decided.
#[derive(Debug)]
pub(crate) struct Dice {
    seed: Seed,
    time: VirtualTime,
    stormy: AtomicBool,
    /// One call in so many is hit; 0 for none.
    odds: u64,
    /// Paths that have met a fault.
    met: Mutex<BTreeSet<String>>,
    calls: AtomicU64,
    faults: AtomicU64,
    pub(crate) crashes: AtomicU64,
}

impl Dice {
    /// The next number below `sides`; 0 where there are no sides.
    pub(crate) fn roll(&self, sides: u64) -> u64 {
        self.seed.roll(sides)
    }

    /// The same as a signed number, for lengths of time.
    pub(crate) fn below(&self, sides: u64) -> i64 {
        self.seed.below(sides)
    }

    /// A place in something of this length; 0 in nothing.
    pub(crate) fn place(&self, length: usize) -> usize {
        self.seed.place(length)
    }

    /// Whether faults happen.
    pub(crate) fn is_stormy(&self) -> bool {
        self.stormy.load(Ordering::Relaxed)
    }

    pub(crate) fn calm(&self) {
        self.stormy.store(false, Ordering::Relaxed);
    }

    /// A call takes its time: milliseconds, now and then (in a storm) minutes.
    pub(crate) async fn pass_time(&self) {
        let is_slow = self.is_stormy() && self.roll(60) == 0;
        let millis = if is_slow { 1_000 + self.below(240_000) } else { 1 + self.below(20) };
        self.time.sleep(TimeDelta::milliseconds(millis)).await;
    }
}

/// What becomes of a call that does not simply pass; of a path that has met a fault before, only the first three.
const FATES_WITHOUT_CONFLICT: usize = 3;
const FATES: [Fate; 6] = [Fate::Refuse, Fate::RefuseAfter, Fate::Twice, Fate::Conflict, Fate::ConflictAfter, Fate::ConflictBefore];

/// The dice decide what becomes of a call.
#[async_trait]
impl Faults for Dice {
    async fn fate(&self, _: &'static str, _: bool, path: &str) -> Fate {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.pass_time().await;
        if !self.is_stormy() || self.odds == 0 || self.roll(self.odds) != 0 {
            return Fate::Pass;
        }
        self.faults.fetch_add(1, Ordering::Relaxed);
        // Whoever meets a second conflict at once waits for the runtime, where the seed does not rule.
        let is_first = self.met.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned());
        FATES[self.place(if is_first { FATES.len() } else { FATES_WITHOUT_CONFLICT })]
    }
}

/// How all URIs of a schedule begin.
pub(crate) const ROOT: &str = "s3://sim";
/// Its bucket.
pub(crate) const BUCKET: &str = "sim";

/// A lake in virtual time.
pub(crate) struct World {
    pub(crate) time: VirtualTime,
    pub(crate) dice: Arc<Dice>,
    /// Whether objects are replaced by others of the same name. A copy under that name then belongs to the last lot.
    pub(crate) replaces: bool,
    /// Whether objects go away. A replay then makes less than the generation before.
    pub(crate) removes: bool,
    pub(crate) store: SimStore,
    /// The stores as processes see them.
    pub(crate) stores: Stores,
    /// The stores as they are.
    pub(crate) sound: Stores,
    pub(crate) bus: Arc<dyn Bus>,
    /// What the bus delivers, to whoever it delivers to.
    pub(crate) delivered: Arc<MemoryBus>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) arcs: Vec<ArcSpec>,
    /// Where jobs run; none where workers look for work by themselves.
    pub(crate) batch: Option<Arc<SimBatch>>,
}

impl World {
    pub(crate) fn new(seed: u64) -> World {
        let time = VirtualTime::default();
        let dice = Arc::new(Dice {
            seed: Seed::new(seed),
            time: time.clone(),
            stormy: AtomicBool::new(true),
            odds: [0, 10, 25, 60][usize::try_from(seed % 4).unwrap_or(0)],
            met: Mutex::default(),
            calls: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            crashes: AtomicU64::new(0),
        });
        let replaces = seed.is_multiple_of(5);
        let store = SimStore::new(time.clone(), replaces);
        let mut plain = ObjectStores::default();
        plain.register(ROOT, Arc::new(store.clone()));
        let fates = dice.clone();
        let faulty = plain.clone().wrapped(move |store| Arc::new(FaultyStore::new(store, fates.clone())));
        let open = |stores| Stores::below(stores, &format!("{ROOT}/lake")).expect("a path in memory");
        let delivered = Arc::new(MemoryBus::default());
        let bus = Arc::new(SimBus { inner: delivered.clone(), dice: dice.clone() });
        let edges = edges(&time, &dice, &store);
        let batch = (dice.roll(2) == 0).then(|| Arc::new(SimBatch::new(time.clone(), dice.clone())));
        World {
            stores: open(faulty),
            sound: open(plain),
            bus,
            delivered,
            arcs: arcs(&edges),
            edges,
            replaces,
            removes: seed % 7 == 3,
            time,
            dice,
            store,
            batch,
        }
    }

    pub(crate) fn summary(&self) -> Summary {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Summary {
            calls: read(&self.dice.calls),
            faults: read(&self.dice.faults),
            crashes: read(&self.dice.crashes),
            commits: self.store.commits(),
            heard: self.edges.iter().map(|edge| edge.told().len() as u64).sum(),
            jobs: self.batch.as_ref().map_or(0, |batch| batch.submitted()),
        }
    }
}

pub(crate) fn dataset(name: &str) -> Dataset {
    Dataset { name: name.into(), version: "1".into(), path_uri: format!("{ROOT}/{name}/") }
}

/// A boundary that lists, one that hears by queue, or both.
fn edges(time: &VirtualTime, dice: &Arc<Dice>, store: &SimStore) -> Vec<Edge> {
    let arrival = || if dice.roll(3) == 0 { EventArrival::Infrequent } else { EventArrival::Frequent };
    let listing = || Edge::new(boundary("raw", arrival()), None, 0);
    let hearing = || {
        let in_flight_max = if dice.roll(2) == 0 { 1_000 } else { 4 + dice.place(20) };
        let late_minutes_max = if dice.roll(8) == 0 { 180 } else { 20 };
        let queue = SimQueue::new(time.clone(), dice.clone(), store.clone(), in_flight_max);
        Edge::new(boundary("heard", arrival()), Some(Arc::new(queue)), late_minutes_max * 60)
    };
    match dice.roll(3) {
        0 => vec![listing()],
        1 => vec![hearing()],
        _ => vec![listing(), hearing()],
    }
}

fn boundary(name: &str, arrival: EventArrival) -> BoundarySpec {
    BoundarySpec {
        name: name.into(),
        dataset: dataset(name),
        unit: LotUnit::Twelfths,
        arrival,
        filter: FilterSpec::default(),
        settle: TimeDelta::seconds(2),
        from: None,
    }
}

/// Two copies, one after the other; the second in quarters of an hour, so that it waits for three lots of the first, and for
/// those of the second boundary where there is one.
fn arcs(edges: &[Edge]) -> Vec<ArcSpec> {
    let arc = |name: &str, from: Vec<ArcSource>, to: &str, unit: LotUnit| ArcSpec {
        id: ArcId { project: "sim".into(), version: "1".into(), arc: name.into() },
        unit,
        sources: from,
        sinks: vec![ArcSink { role: MAIN_ROLE.into(), dataset: dataset(to) }],
        deadline: None,
        retries: 3,
        kind: "copy".into(),
        workload: json!({}),
    };
    let source = |role: &str, name: &str| ArcSource { role: role.into(), dataset: dataset(name), unit: LotUnit::Twelfths, subscribe: true };
    let main = |name: &str| source(MAIN_ROLE, name);
    let others = edges[1..].iter().map(|edge| source("other", edge.folder()));
    vec![
        arc("first", vec![main(edges[0].folder())], "mid", LotUnit::Twelfths),
        arc("second", std::iter::once(main("mid")).chain(others).collect(), "out", LotUnit::Fourths),
    ]
}
