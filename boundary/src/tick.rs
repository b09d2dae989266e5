//! The tick of a boundary: time and a scan flow in, commits flow out. Catch up → commit → state copy → event, each step
//! repeatable; two processes may tick one boundary at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use manifests::{Bus, Lot, Manifest, ManifestsError, State, Stores, paths};

use crate::arrivals::{Ahead, Arrival, Arrivals, Listing, Scanned, Taker, is_settled};
use crate::error::BoundaryError;
use crate::filter::Filter;
use crate::gather::{self, Decision, OBJECTS_PER_LOT_MAX, URI_BYTES_PER_LOT_MAX};
use crate::index::{Folded, Index, mark};
use crate::names::Refused;
use crate::span::FirstLot;
use crate::spec::BoundarySpec;

/// The most lots one tick commits; after a long outage the next ticks do the rest.
pub const LOTS_PER_TICK_MAX: usize = 2_000;
/// Files that cannot be taken which are told of in the life of a boundary.
const TOLD_MAX: usize = 10_000;

/// A lot that a tick committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedLot {
    /// The lot.
    pub lot: Lot,
    /// `complete` or `empty`.
    pub state: State,
    /// Objects inside.
    pub objects: usize,
}

/// What a tick did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticked {
    /// What this process committed, in order.
    pub committed: Vec<CommittedLot>,
    /// Objects that wait for a lot to close, those that may still be written to included.
    pub waiting: usize,
    /// The open lot.
    pub open: Lot,
    /// When there may be something to do, unless something arrives; not after `now` when this tick stopped at its limit.
    pub next: DateTime<Utc>,
}

/// A boundary at work.
pub struct Boundary {
    spec: BoundarySpec,
    filter: Filter,
    stores: Stores,
    bus: Arc<dyn Bus>,
    index: Box<dyn Index>,
    arrivals: Box<dyn Arrivals>,
    ahead: Ahead,
    /// What has been told of files that cannot be taken, at most [`TOLD_MAX`].
    told: BTreeSet<Refused>,
    refused: usize,
    /// The boundary's first lot, once it is known.
    first: Option<FirstLot>,
    /// The last lot whose copy and event are known to be out.
    announced: Option<Lot>,
    /// Whether the index has been held against the commits.
    verified: bool,
}

/// What waits: the earliest arrivals of a scan that no lot holds, bounded.
struct Waiting<'a> {
    index: &'a mut dyn Index,
    ahead: &'a mut Ahead,
    now: DateTime<Utc>,
    settle: TimeDelta,
    keeps_times: bool,
    /// What arrived from the one to before the other is a backfill's for now.
    left: Option<(DateTime<Utc>, DateTime<Utc>)>,
    objects: Vec<Arrival>,
    uri_bytes: usize,
    total: usize,
}

impl Waiting<'_> {
    /// The arrival where it is settled. A file from the future gets the time at which it was first seen; without an etag its
    /// time is its identity and stays.
    fn settled(&mut self, arrival: Arrival) -> Option<Arrival> {
        if self.left.is_some_and(|(from, end)| from <= arrival.arrived && arrival.arrived < end) {
            return None;
        }
        if is_settled(arrival.arrived, self.now, self.settle) {
            return Some(arrival);
        }
        if arrival.arrived <= self.now || arrival.etag.is_none() || self.keeps_times {
            return None;
        }
        let arrived = self.ahead.look(&arrival, self.now, self.settle)?;
        Some(Arrival { arrived, ..arrival })
    }
}

#[async_trait]
impl Taker for Waiting<'_> {
    async fn take(&mut self, batch: Vec<Arrival>) -> Result<(), BoundaryError> {
        let new = self.index.unknown(batch).await?;
        self.total += new.len();
        for arrival in new {
            let settled = self.settled(arrival);
            self.uri_bytes += settled.iter().map(|arrival| arrival.uri.len()).sum::<usize>();
            self.objects.extend(settled);
        }
        if self.objects.len() > 2 * OBJECTS_PER_LOT_MAX || self.uri_bytes > 2 * URI_BYTES_PER_LOT_MAX {
            // What is cut off is found again by the next scan.
            self.objects.sort_by(|a, b| (a.arrived, &a.uri).cmp(&(b.arrived, &b.uri)));
            self.objects.truncate(gather::fitting(&self.objects));
            self.uri_bytes = self.objects.iter().map(|arrival| arrival.uri.len()).sum();
        }
        Ok(())
    }
}

impl Boundary {
    /// A boundary over stores and a bus, with an index that may be behind or empty, which lists the dataset's path to see
    /// what has arrived. Fails where a filter does not compile.
    pub fn new(spec: BoundarySpec, stores: Stores, bus: Arc<dyn Bus>, index: Box<dyn Index>) -> Result<Boundary, BoundaryError> {
        let filter = spec.filter.compile()?;
        let (arrivals, ahead, told) = (Box::new(Listing), Ahead::default(), BTreeSet::new());
        Ok(Boundary { spec, filter, stores, bus, index, arrivals, ahead, told, refused: 0, first: None, announced: None, verified: false })
    }

    /// The same, which hears of arrivals elsewhere.
    #[must_use]
    pub fn hearing(self, arrivals: Box<dyn Arrivals>) -> Boundary {
        Boundary { arrivals, ..self }
    }

    /// The same, which knows that the copy and the event of a lot are out: no store says so of an event, so whoever has not
    /// seen it themselves sends the last lot's once more.
    #[must_use]
    pub fn knowing(self, announced: Option<Lot>) -> Boundary {
        Boundary { announced, ..self }
    }

    /// The last lot whose copy and event are known to be out, for who comes next; true after any error, too.
    pub fn announced(&self) -> Option<Lot> {
        self.announced
    }

    /// What it was made from.
    pub fn spec(&self) -> &BoundarySpec {
        &self.spec
    }

    /// Files and folders that the last tick could not take: somebody has to rename them or make them readable. Each is told
    /// of in the log, once.
    pub fn refused(&self) -> usize {
        self.refused
    }

    /// Commits every lot that is to be committed at `now`. Safe to repeat after any error or crash.
    pub async fn tick(&mut self, now: DateTime<Utc>) -> Result<Ticked, BoundaryError> {
        match self.tick_once(now).await {
            // The index is behind now; catching up heals it.
            Err(BoundaryError::IndexLost { .. }) => self.tick_once(now).await,
            done => done,
        }
    }

    async fn tick_once(&mut self, now: DateTime<Utc>) -> Result<Ticked, BoundaryError> {
        let last = self.catch_up().await?;
        let mut open = self.open_lot(last, now).await?;
        let (mut waiting, total) = self.scan(last, now).await?;
        let mut committed = Vec::new();
        let next = loop {
            let is_waiting = waiting.iter().any(|object| gather::belongs(open, object.arrived));
            match gather::decide(self.spec.arrival, open, is_waiting, now, self.spec.settle) {
                Decision::Wait(until) => break until,
                Decision::Commit if committed.len() >= LOTS_PER_TICK_MAX => break now,
                Decision::Commit => committed.extend(self.commit(open, &mut waiting).await?),
            }
            open = open.next();
        };
        self.arrivals.forget(&self.stores, self.index.as_mut()).await?;
        let taken: usize = committed.iter().map(|lot| lot.objects).sum();
        Ok(Ticked { waiting: total.saturating_sub(taken), committed, open, next })
    }

    async fn scan(&mut self, last: Option<Lot>, now: DateTime<Utc>) -> Result<(Vec<Arrival>, usize), BoundaryError> {
        self.ahead.begin();
        let left = self.left(last).await?;
        let (index, ahead, settle, keeps_times) = (self.index.as_mut(), &mut self.ahead, self.spec.settle, self.arrivals.keeps_times());
        let mut waiting = Waiting { index, ahead, now, settle, keeps_times, left, objects: Vec::new(), uri_bytes: 0, total: 0 };
        let scanned = self.arrivals.scan(&self.spec, &self.filter, &self.stores, &mut waiting).await?;
        let (objects, total) = (waiting.objects, waiting.total);
        self.tell(&scanned);
        Ok((objects, total))
    }

    /// The times that a backfill is filling lots of: what arrived then may be in one of its next commits. It ends with the lot
    /// before the boundary's first, which the index has to have come to: where `last` is earlier, it would not ask the lots after.
    async fn left(&mut self, last: Option<Lot>) -> Result<Option<(DateTime<Utc>, DateTime<Utc>)>, BoundaryError> {
        let Some(FirstLot { lot, filled_from: Some(from) }) = self.first else { return Ok(None) };
        let is_behind = last.is_none_or(|last| last < lot.previous());
        if is_behind || self.stores.read_commit(&self.spec.dataset.id(), lot.previous(), 1).await?.is_none() {
            return Ok(Some((from.start(), lot.start())));
        }
        self.first = Some(FirstLot { lot, filled_from: None });
        Ok(None)
    }

    /// Says once of each file that cannot be taken that it is not.
    fn tell(&mut self, scanned: &Scanned) {
        self.refused = scanned.refused_total;
        for refused in &scanned.refused {
            if self.told.len() < TOLD_MAX && self.told.insert(refused.clone()) {
                tracing::warn!("boundary {}: {refused}", self.spec.name);
            }
        }
    }

    /// Folds in what others (or this boundary, in an earlier life) committed; the last committed lot.
    async fn catch_up(&mut self) -> Result<Option<Lot>, BoundaryError> {
        let id = self.spec.dataset.id();
        let mut folded = self.index.folded().await?;
        if !self.verified && !self.is_current(folded.as_ref()).await? {
            self.index.clear().await?;
            folded = None;
        }
        self.verified = true;
        let lots = match &folded {
            Some(folded) => self.stores.lots_from(&id, folded.lot).await?,
            None => self.stores.lots(&id).await?,
        };
        let mut last = folded.map(|folded| folded.lot);
        for (lot, entry) in lots {
            if entry.generation == 0 || lot.unit() != self.spec.unit || last.is_some_and(|last| lot <= last) {
                continue;
            }
            self.fold(lot).await?;
            last = Some(lot);
        }
        if let Some(last) = last.filter(|last| self.announced != Some(*last))
            && let Some(commit) = self.stores.read_commit(&id, last, 1).await?
        {
            self.announce(&commit).await?;
        }
        Ok(last)
    }

    /// Whether the index speaks of these commits, not of others that were here before.
    async fn is_current(&self, folded: Option<&Folded>) -> Result<bool, BoundaryError> {
        let Some((lot, known)) = folded.and_then(|folded| Some((folded.lot, folded.mark.as_ref()?))) else { return Ok(true) };
        let commit = self.stores.read_commit(&self.spec.dataset.id(), lot, 1).await?;
        Ok(commit.is_some_and(|commit| mark(&commit) == *known))
    }

    async fn fold(&mut self, lot: Lot) -> Result<Option<Manifest>, BoundaryError> {
        let manifest = self.stores.read_commit(&self.spec.dataset.id(), lot, 1).await?;
        if let Some(manifest) = &manifest {
            self.index.fold(manifest).await?;
        }
        Ok(manifest)
    }

    async fn announce(&mut self, commit: &Manifest) -> Result<(), BoundaryError> {
        self.stores.announce(commit, self.bus.as_ref()).await?;
        self.announced = Some(commit.lot_id);
        Ok(())
    }

    /// The lot after the last. Lots from before the boundary's first are a backfill's, which may not have come to its end.
    async fn open_lot(&mut self, last: Option<Lot>, now: DateTime<Utc>) -> Result<Lot, BoundaryError> {
        if self.first.is_none() {
            self.first = match last {
                Some(last) => first_lot(&self.stores, &self.spec).await?.filter(|first| first.lot.unit() == last.unit()),
                None => {
                    let lot = gather::first_lot(self.spec.unit, self.spec.from, now);
                    Some(agree_on_first_lot(&self.stores, &self.spec, FirstLot { lot, filled_from: None }).await?)
                }
            };
        }
        let after_last = last.map(Lot::next);
        Ok(after_last.max(self.first.map(|first| first.lot)).unwrap_or_else(|| gather::first_lot(self.spec.unit, self.spec.from, now)))
    }

    /// Commits the open lot with what belongs to it, or adapts to the one who was faster: their objects no longer wait.
    async fn commit(&mut self, open: Lot, waiting: &mut Vec<Arrival>) -> Result<Option<CommittedLot>, BoundaryError> {
        let taken = gather::take(open, waiting);
        let manifest = Manifest::new(self.spec.dataset.clone(), open, taken.into_iter().map(Arrival::into_object).collect());
        match self.stores.commit(&manifest).await {
            Ok(()) => {
                self.index.fold(&manifest).await?;
                // A lot may be a quarter of a million objects: what was just written is not read again.
                self.announce(&manifest).await?;
                Ok(Some(CommittedLot { lot: open, state: manifest.state, objects: manifest.uris.len() }))
            }
            Err(ManifestsError::Committed { .. }) => {
                // Without it nothing says that this lot is done: the next must not be begun.
                let Some(theirs) = self.fold(open).await? else {
                    return Err(self.stores.manifest.contended(&paths::commit(&self.spec.dataset.id(), open, 1)).into());
                };
                waiting.extend(manifest.objects.into_iter().filter_map(Arrival::from_object));
                *waiting = self.index.unknown(std::mem::take(waiting)).await?;
                self.announce(&theirs).await?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The lot that a boundary's dataset begins with, where that has been agreed on.
pub(crate) async fn first_lot(stores: &Stores, spec: &BoundarySpec) -> Result<Option<FirstLot>, BoundaryError> {
    let path = paths::first_lot(&spec.dataset.id());
    let Some(body) = stores.metadata.get(&path).await? else { return Ok(None) };
    let read = || {
        let read: serde_json::Value = serde_json::from_slice(&body).ok()?;
        let lot = |name| read.get(name)?.as_str()?.parse().ok();
        Some(FirstLot { lot: lot("lot")?, filled_from: lot("filled_from") })
    };
    read().map(Some).ok_or_else(|| {
        let (path, reason) = (stores.metadata.uri(&path), "no lot in it".to_owned());
        BoundaryError::Manifests(ManifestsError::Document { path, what: "the first lot of a boundary", reason })
    })
}

/// The first lot is agreed on once, whoever begins first, so that two boundaries never begin at two lots: `lot`, unless
/// another is there.
pub(crate) async fn agree_on_first_lot(stores: &Stores, spec: &BoundarySpec, first: FirstLot) -> Result<FirstLot, BoundaryError> {
    let mut document = serde_json::json!({"lot": first.lot.to_string()});
    if let Some(from) = first.filled_from {
        document["filled_from"] = from.to_string().into();
    }
    stores.metadata.create(&paths::first_lot(&spec.dataset.id()), document.to_string()).await?;
    first_lot(stores, spec).await?.ok_or_else(|| stores.metadata.contended(&paths::first_lot(&spec.dataset.id())).into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::filter::FilterSpec;
    use crate::index::{MemoryIndex, SqliteIndex};
    use crate::spec::EventArrival;
    use manifests::{Dataset, Fate, Faults, FaultyStore, LotUnit, MemoryBus, ObjectStores};
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;
    use proptest::prelude::*;

    fn spec(arrival: EventArrival, from: Option<&str>) -> BoundarySpec {
        BoundarySpec {
            name: "in".into(),
            dataset: Dataset { name: "raw".into(), version: "1".into(), path_uri: "memory:///raw/".into() },
            unit: LotUnit::Twelfths,
            arrival,
            filter: FilterSpec::default(),
            settle: TimeDelta::zero(),
            from: from.map(|from| from.parse().unwrap()),
        }
    }

    fn boundary(stores: &Stores, arrival: EventArrival) -> Boundary {
        Boundary::new(spec(arrival, None), stores.clone(), Arc::new(MemoryBus::default()), Box::new(MemoryIndex::default())).unwrap()
    }

    async fn put(stores: &Stores, name: &str) {
        let place = stores.objects.locate(&format!("memory:///raw/{name}")).unwrap();
        place.store.put(&place.path, "x".into()).await.unwrap();
    }

    /// Every commit of the dataset, in order.
    async fn commits(stores: &Stores) -> Vec<Manifest> {
        let id = spec(EventArrival::Frequent, None).dataset.id();
        let mut all = Vec::new();
        for (lot, entry) in stores.lots(&id).await.unwrap() {
            assert_eq!(entry.generation, 1);
            all.push(stores.read_commit(&id, lot, 1).await.unwrap().unwrap());
        }
        all
    }

    /// Every object in exactly one commit, no interval without one.
    async fn check(stores: &Stores, arrived: usize) {
        let commits = commits(stores).await;
        assert!(commits.windows(2).all(|pair| pair[0].lot_id.next() == pair[1].lot_id), "a gap");
        let mut times = BTreeMap::new();
        for object in commits.iter().flat_map(|commit| &commit.objects) {
            *times.entry((object.uri.clone(), object.etag.clone())).or_insert(0) += 1;
        }
        assert!(times.values().all(|times| *times == 1), "twice: {times:?}");
        assert_eq!(times.len(), arrived, "lost");
    }

    fn soon() -> DateTime<Utc> {
        Utc::now() + TimeDelta::minutes(6)
    }

    #[tokio::test]
    async fn what_is_there_at_the_first_tick_is_taken_and_nothing_twice() {
        let stores = Stores::memory().unwrap();
        for name in ["a", "b/c", "b/.d", "_e", "f.tmp"] {
            put(&stores, name).await;
        }
        let mut one = boundary(&stores, EventArrival::Frequent);
        let first = one.tick(soon()).await.unwrap();
        assert_eq!(first.committed.iter().map(|lot| lot.objects).sum::<usize>(), 2);
        put(&stores, "g").await;
        put(&stores, "a").await;
        one.tick(soon() + TimeDelta::minutes(20)).await.unwrap();
        boundary(&stores, EventArrival::Frequent).tick(soon() + TimeDelta::minutes(20)).await.unwrap();
        check(&stores, 4).await;
        let back = one.tick(soon() - TimeDelta::hours(5)).await.unwrap();
        assert_eq!(back.committed, [], "a clock that jumps back commits nothing");
    }

    #[tokio::test]
    async fn intervals_of_an_outage_get_their_manifests_a_bounded_number_at_once() {
        let stores = Stores::memory().unwrap();
        let mut one = boundary(&stores, EventArrival::Frequent);
        one.tick(soon()).await.unwrap();
        let after = soon() + TimeDelta::days(8);
        let ticked = one.tick(after).await.unwrap();
        assert_eq!(ticked.committed.len(), LOTS_PER_TICK_MAX);
        assert!(ticked.next <= after && ticked.committed.iter().all(|lot| lot.state == State::Empty));
        let rest = one.tick(after).await.unwrap();
        assert!(rest.next > after);
        check(&stores, 0).await;
    }

    #[tokio::test]
    async fn an_infrequent_lot_is_there_at_once_and_the_second_object_waits_for_the_next() {
        let stores = Stores::memory().unwrap();
        let mut one = boundary(&stores, EventArrival::Infrequent);
        let now = Lot::containing(LotUnit::Twelfths, soon()).start() + TimeDelta::minutes(1);
        one.tick(now).await.unwrap();
        put(&stores, "a").await;
        let ticked = one.tick(now).await.unwrap();
        assert_eq!(ticked.committed.iter().map(|lot| lot.objects).collect::<Vec<_>>(), [1]);
        put(&stores, "b").await;
        let ticked = one.tick(now).await.unwrap();
        assert_eq!((ticked.committed.len(), ticked.waiting), (0, 1));
        let ticked = one.tick(ticked.next).await.unwrap();
        assert_eq!(ticked.committed.iter().map(|lot| lot.objects).collect::<Vec<_>>(), [1]);
        check(&stores, 2).await;
    }

    #[tokio::test]
    async fn two_boundaries_at_once_commit_each_object_once() {
        let stores = Stores::memory().unwrap();
        let (mut one, mut two) = (boundary(&stores, EventArrival::Frequent), boundary(&stores, EventArrival::Frequent));
        for round in 0..6 {
            put(&stores, &format!("a{round}")).await;
            // One of them believes it is a little later, and begins at another lot.
            let now = soon() + TimeDelta::minutes(4 * round);
            let (one, two) = tokio::join!(one.tick(now), two.tick(now + TimeDelta::minutes(5)));
            one.unwrap();
            two.unwrap();
        }
        one.tick(soon() + TimeDelta::minutes(60)).await.unwrap();
        check(&stores, 6).await;
    }

    #[tokio::test]
    async fn a_hundred_thousand_objects_fit_one_lot() {
        let stores = Stores::memory().unwrap();
        for n in 0..100_000 {
            put(&stores, &format!("{n:06}")).await;
        }
        let folder = tempfile::tempdir().unwrap();
        let index = SqliteIndex::open(&folder.path().join("i.sqlite"), spec(EventArrival::Frequent, None).dataset.id()).unwrap();
        let mut one =
            Boundary::new(spec(EventArrival::Frequent, None), stores.clone(), Arc::new(MemoryBus::default()), Box::new(index)).unwrap();
        let ticked = one.tick(soon() + TimeDelta::minutes(5)).await.unwrap();
        assert_eq!(ticked.committed.iter().map(|lot| lot.objects).max(), Some(100_000));
        one.tick(soon() + TimeDelta::minutes(15)).await.unwrap();
        check(&stores, 100_000).await;
    }

    #[tokio::test]
    async fn an_index_may_be_deleted_damaged_or_of_another_lake() {
        let stores = Stores::memory().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/i.sqlite");
        let id = spec(EventArrival::Frequent, None).dataset.id();
        for round in 0..5i64 {
            put(&stores, &format!("a{round}")).await;
            match round {
                1 => std::fs::remove_dir_all(path.parent().unwrap()).unwrap(),
                2 => std::fs::write(&path, "this is no database, and long enough to be sure of it".repeat(100)).unwrap(),
                3 => {
                    let mut other = SqliteIndex::open(&path, id.clone()).unwrap();
                    let lot = Lot::containing(LotUnit::Twelfths, soon() + TimeDelta::days(1));
                    other.fold(&Manifest::new(spec(EventArrival::Frequent, None).dataset, lot, vec![])).await.unwrap();
                }
                _ => {}
            }
            let index = SqliteIndex::open(&path, id.clone()).unwrap();
            let bus = Arc::new(MemoryBus::default());
            let mut one = Boundary::new(spec(EventArrival::Frequent, None), stores.clone(), bus, Box::new(index)).unwrap();
            one.tick(soon() + TimeDelta::minutes(5 * round)).await.unwrap();
        }
        check(&stores, 5).await;
        assert!(
            SqliteIndex::open(&path, manifests::DatasetId { name: "other".into(), version: "1".into() })
                .unwrap()
                .folded()
                .await
                .unwrap()
                .is_none()
        );
    }

    #[tokio::test]
    async fn names_that_nobody_can_take_hold_up_no_others_and_the_future_is_taken_at_a_second_look() {
        let folder = tempfile::tempdir().unwrap();
        let stores = Stores::below(ObjectStores::local(), &format!("file://{}/lake", folder.path().display())).unwrap();
        let path_uri = format!("file://{}/in/", folder.path().display());
        let plain = spec(EventArrival::Frequent, None);
        let spec = BoundarySpec { dataset: Dataset { path_uri, ..plain.dataset }, settle: TimeDelta::seconds(5), ..plain };
        std::fs::create_dir(folder.path().join("in")).unwrap();
        for name in ["two\nlines", "a#1", "good"] {
            std::fs::write(folder.path().join("in").join(name), "x").unwrap();
        }
        let ahead = std::fs::File::create(folder.path().join("in/ahead")).unwrap();
        ahead.set_modified((Utc::now() + TimeDelta::days(9_999)).into()).unwrap();
        let mut one = Boundary::new(spec, stores.clone(), Arc::new(MemoryBus::default()), Box::new(MemoryIndex::default())).unwrap();
        let ticked = one.tick(soon()).await.unwrap();
        assert_eq!((ticked.committed.iter().map(|lot| lot.objects).sum::<usize>(), ticked.waiting, one.refused()), (1, 1, 2));
        let ticked = one.tick(soon() + TimeDelta::minutes(10)).await.unwrap();
        assert_eq!((ticked.committed.iter().map(|lot| lot.objects).sum::<usize>(), ticked.waiting), (1, 0));
        one.tick(soon() + TimeDelta::minutes(20)).await.unwrap();
        check(&stores, 2).await;
    }

    /// Refuses, half-does or doubles the calls whose numbers it is given.
    #[derive(Debug)]
    struct Schedule {
        calls: std::sync::atomic::AtomicUsize,
        fates: BTreeMap<usize, Fate>,
    }

    #[async_trait]
    impl Faults for Schedule {
        async fn fate(&self, _: &'static str, _: bool, _: &str) -> Fate {
            let call = self.calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            self.fates.get(&call).copied().unwrap_or(Fate::Pass)
        }
    }

    fn fate() -> impl Strategy<Value = Fate> {
        prop_oneof![
            Just(Fate::Refuse),
            Just(Fate::RefuseAfter),
            Just(Fate::Twice),
            Just(Fate::Conflict),
            Just(Fate::ConflictAfter),
            Just(Fate::ConflictBefore)
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]
        /// Ticks at jumping times, by a boundary that is restarted after every failure, while objects arrive, are replaced
        /// and calls fail in every way: nothing is lost, nothing is there twice, no interval is left out.
        #[test]
        fn whatever_happens_every_object_is_in_one_commit(
            steps in proptest::collection::vec((0i64..40, proptest::collection::vec(0u8..12, 0..4)), 1..12),
            fates in proptest::collection::btree_map(0usize..200, fate(), 0..20),
            infrequent: bool,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let arrival = if infrequent { EventArrival::Infrequent } else { EventArrival::Frequent };
                let plain: Arc<dyn object_store::ObjectStore> = Arc::new(InMemory::new());
                let open = |store: Arc<dyn object_store::ObjectStore>| {
                    let mut stores = ObjectStores::default();
                    stores.register("memory://", store);
                    Stores::below(stores, "memory:///lake").unwrap()
                };
                let sound = open(plain.clone());
                let schedule = Arc::new(Schedule { calls: Default::default(), fates });
                let faulty = open(Arc::new(FaultyStore::new(plain, schedule)));
                let mut one = boundary(&faulty, arrival);
                let mut arrived = 0;
                for (round, (minutes, names)) in (0i64..).zip(&steps) {
                    for name in names {
                        put(&sound, &format!("{name}")).await;
                    }
                    let now = soon() + TimeDelta::minutes(100 * round + *minutes - 10);
                    if one.tick(now).await.is_err() {
                        one = boundary(&faulty, arrival);
                    }
                    // What was there before the next replacement must not be lost: let it be committed.
                    let mut careful = boundary(&sound, arrival);
                    for later in 0..12 {
                        careful.tick(soon() + TimeDelta::minutes(100 * round + 45 + 5 * later)).await.unwrap();
                    }
                    arrived += names.iter().collect::<std::collections::BTreeSet<_>>().len();
                }
                check(&sound, arrived).await;
            });
        }
    }
}
