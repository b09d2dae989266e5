//! What a schedule is made of: the seed's dice, the stores seen through them, the project.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use boundary::{BoundarySpec, EventArrival, FilterSpec};
use chrono::TimeDelta;
use manifests::{
    ArcId, ArcSink, ArcSource, ArcSpec, Bus, Dataset, Fate, Faults, FaultyStore, LotUnit, MAIN_ROLE, MemoryBus, ObjectStores, Stores,
};
use serde_json::json;

use super::bus::SimBus;
use super::store::SimStore;
use super::time::VirtualTime;

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
}

/// The dice of a seed, and what they have decided.
#[derive(Debug)]
pub(crate) struct Dice {
    state: Mutex<u64>,
    time: VirtualTime,
    stormy: AtomicBool,
    /// One call in so many is hit; 0 for none.
    odds: u64,
    calls: AtomicU64,
    faults: AtomicU64,
    pub(crate) crashes: AtomicU64,
}

impl Dice {
    /// The next number below `sides`; 0 where there are no sides. SplitMix64.
    pub(crate) fn roll(&self, sides: u64) -> u64 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        if sides == 0 { 0 } else { (mixed ^ (mixed >> 31)) % sides }
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
        let millis = if is_slow { 1_000 + self.roll(240_000) } else { 1 + self.roll(20) };
        self.time.sleep(TimeDelta::milliseconds(i64::try_from(millis).unwrap_or(0))).await;
    }
}

/// The dice decide what becomes of a call.
#[async_trait]
impl Faults for Dice {
    async fn fate(&self, _: &'static str, _: bool, _: &str) -> Fate {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.pass_time().await;
        if !self.is_stormy() || self.odds == 0 || self.roll(self.odds) != 0 {
            return Fate::Pass;
        }
        self.faults.fetch_add(1, Ordering::Relaxed);
        [Fate::Refuse, Fate::RefuseAfter, Fate::Twice][usize::try_from(self.roll(3)).unwrap_or(0)]
    }
}

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
    pub(crate) boundary: BoundarySpec,
    pub(crate) arcs: Vec<ArcSpec>,
}

impl World {
    pub(crate) fn new(seed: u64) -> World {
        let time = VirtualTime::default();
        let dice = Arc::new(Dice {
            state: Mutex::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d)),
            time: time.clone(),
            stormy: AtomicBool::new(true),
            odds: [0, 10, 25, 60][usize::try_from(seed % 4).unwrap_or(0)],
            calls: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            crashes: AtomicU64::new(0),
        });
        let replaces = seed.is_multiple_of(5);
        let store = SimStore::new(time.clone(), replaces);
        let mut plain = ObjectStores::default();
        plain.register("memory://", Arc::new(store.clone()));
        let fates = dice.clone();
        let faulty = plain.clone().wrapped(move |store| Arc::new(FaultyStore::new(store, fates.clone())));
        let open = |stores| Stores::below(stores, "memory:///lake").expect("a path in memory");
        let bus = Arc::new(SimBus { inner: Arc::new(MemoryBus::default()), dice: dice.clone() });
        let arrival = if dice.roll(3) == 0 { EventArrival::Infrequent } else { EventArrival::Frequent };
        World {
            stores: open(faulty),
            sound: open(plain),
            bus,
            boundary: boundary(arrival),
            arcs: arcs(),
            replaces,
            removes: seed % 7 == 3,
            time,
            dice,
            store,
        }
    }

    pub(crate) fn summary(&self) -> Summary {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Summary {
            calls: read(&self.dice.calls),
            faults: read(&self.dice.faults),
            crashes: read(&self.dice.crashes),
            commits: self.store.commits(),
        }
    }
}

pub(crate) fn dataset(name: &str) -> Dataset {
    Dataset { name: name.into(), version: "1".into(), path_uri: format!("memory:///{name}/") }
}

fn boundary(arrival: EventArrival) -> BoundarySpec {
    BoundarySpec {
        name: "in".into(),
        dataset: dataset("raw"),
        unit: LotUnit::Twelfths,
        arrival,
        filter: FilterSpec::default(),
        settle: TimeDelta::seconds(2),
        from: None,
    }
}

/// Two copies, one after the other; the second in quarters of an hour, so that it waits for three lots of the first.
fn arcs() -> Vec<ArcSpec> {
    let arc = |name: &str, from: &str, to: &str, unit: LotUnit| ArcSpec {
        id: ArcId { project: "sim".into(), version: "1".into(), arc: name.into() },
        unit,
        sources: vec![ArcSource { role: MAIN_ROLE.into(), dataset: dataset(from), unit: LotUnit::Twelfths, subscribe: true }],
        sinks: vec![ArcSink { role: MAIN_ROLE.into(), dataset: dataset(to) }],
        deadline: None,
        retries: 3,
        kind: "copy".into(),
        workload: json!({}),
    };
    vec![arc("first", "raw", "mid", LotUnit::Twelfths), arc("second", "mid", "out", LotUnit::Fourths)]
}
