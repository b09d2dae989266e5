//! Backfill: objects from before a boundary become its lots too. A listing and times flow in; commits, state copies and
//! events flow out, as a tick makes them. It may be killed at any instant and begun again, by several at once.
//!
//! Two rules give each object its one commit. Lots before the boundary's first are a backfill's alone, and
//! [`Boundary::tick`](crate::Boundary::tick) never commits one. And, as for a boundary, a lot is committed only by someone
//! who has taken everything out of what waits that the commits before it hold, and those of the boundary too.
//!
//! A boundary that lists has taken all that was there with its first lots. Its backfill is the boundary itself, begun
//! earlier: the lots from then on, which the boundary goes on with. It can only come before the first lot.
//!
//! Where a boundary hears by queue, what the lots of a backfill cannot take (too much for the last of them, or come to
//! light after its lot was committed) is handed over to the boundary, which holds it against all later commits itself.
//!
//! S3 dates an upload in parts by its begin, and tells of its end: one from before the first lot may be told to the boundary
//! after it. Such an object is left to a later backfill until the boundary has been told, if ever.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt, TryStreamExt};
use manifests::{Bus, Lot, LotEntry, Manifest, ManifestObject, ManifestsError, State, Stores};

use crate::arrivals::{Arrival, Arrivals, Scanned};
use crate::error::BoundaryError;
use crate::gather::{OBJECTS_PER_LOT_MAX, URI_BYTES_PER_LOT_MAX, fitting};
use crate::queue::{HELD_MAX, create_document};
use crate::span::{Ask, FirstLot, Hears, NOTIFICATION_SECONDS, Span, refuse, span};
use crate::spec::BoundarySpec;
use crate::spool::Spool;
use crate::tick::{agree_on_first_lot, first_lot};

/// State copies and events under way at once, where the boundary is not one that lists.
pub const ANNOUNCES_AT_ONCE: usize = 32;
/// How long an upload in parts takes at most, in seconds.
const UPLOAD_SECONDS: i64 = 3_600;
/// Commits read side by side. Each may name a quarter of a million objects.
const COMMITS_AT_ONCE: usize = 8;

/// A lot of a backfill: planned, or committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackfilledLot {
    /// The lot.
    pub lot: Lot,
    /// Objects inside.
    pub objects: usize,
    /// Their bytes; where a lot is planned that cannot take all, about.
    pub bytes: u64,
}

/// What a backfill did beside committing lots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backfilled {
    /// Objects that its lots could not take. They follow in the next lots of the boundary.
    pub later: usize,
}

/// What a backfill found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// What was seen.
    pub scanned: Scanned,
    /// What the boundary may yet be told of.
    pub uploads: Option<Uploads>,
}

/// Objects that were uploaded in parts so lately that they may be the boundary's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uploads {
    /// How many.
    pub objects: usize,
    /// When a backfill can take what of them is in no lot then.
    pub after: DateTime<Utc>,
}

/// A backfill of one boundary.
pub struct Backfill {
    spec: BoundarySpec,
    hears: Hears,
    stores: Stores,
    bus: Arc<dyn Bus>,
    span: Span,
    /// The commits that are there.
    lots: BTreeMap<Lot, LotEntry>,
    /// What is handed over counts as arrived then. The boundary holds it against its commits from then on; those before were
    /// read here.
    handed: DateTime<Utc>,
}

impl Backfill {
    /// Looks at what is committed, and judges what is asked for. Writes nothing.
    pub async fn new(spec: BoundarySpec, hears: Hears, stores: Stores, bus: Arc<dyn Bus>, ask: &Ask) -> Result<Backfill, BoundaryError> {
        let first = first_lot(&stores, &spec).await?;
        let mut lots = stores.lots(&spec.dataset.id()).await?;
        lots.retain(|lot, entry| lot.unit() == spec.unit && entry.generation > 0);
        let first = first.filter(|first| first.lot.unit() == spec.unit);
        let first = first.or(lots.keys().next().map(|lot| FirstLot { lot: *lot, filled_from: None }));
        let span = span(&spec, hears, ask, first, &lots)?;
        let handed = ask.now - TimeDelta::seconds(NOTIFICATION_SECONDS);
        Ok(Backfill { spec, hears, stores, bus, span, lots, handed })
    }

    /// Its lots.
    pub fn span(&self) -> Span {
        self.span
    }

    /// The times of the objects that it takes. The first lot of a boundary that lists takes all that is older.
    pub fn times(&self) -> (DateTime<Utc>, DateTime<Utc>) {
        let after = match self.hears {
            Hears::Listing => DateTime::<Utc>::MIN_UTC,
            Hears::Queue => self.span.first.start(),
        };
        (after, self.span.end.start())
    }

    /// Fills the spool with what is listed and no commit holds.
    pub async fn list(&self, arrivals: &mut dyn Arrivals, spool: &mut Spool) -> Result<Listed, BoundaryError> {
        let filter = self.spec.filter.compile()?;
        let scanned = arrivals.scan(&self.spec, &filter, &self.stores, spool).await?;
        let id = self.spec.dataset.id();
        // A listing takes its time: the boundary may have come further.
        let mut lots = self.stores.lots(&id).await?;
        lots.retain(|lot, entry| lot.unit() == self.spec.unit && *lot >= self.span.first && is_of_interest(entry));
        let lots: Vec<Lot> = lots.into_keys().collect();
        let read = lots.into_iter().map(|lot| self.stores.read_commit(&id, lot, 1));
        let mut commits = futures::stream::iter(read).buffer_unordered(COMMITS_AT_ONCE);
        while let Some(commit) = commits.try_next().await? {
            commit.iter().try_for_each(|commit| spool.remove(commit))?;
        }
        let wait = TimeDelta::seconds(UPLOAD_SECONDS);
        let left = if self.hears == Hears::Queue { spool.leave_parts(self.handed - wait)? } else { None };
        let told_by = |begun| begun + wait + TimeDelta::seconds(NOTIFICATION_SECONDS);
        let uploads = left.map(|(objects, begun)| Uploads { objects, after: told_by(begun) });
        Ok(Listed { scanned, uploads })
    }

    /// The lots that it would commit now, in order, and what they could not take.
    pub fn plan(&self, spool: &mut Spool) -> Result<(Vec<BackfilledLot>, Backfilled), BoundaryError> {
        let mut shares = spool.shares(self.spec.unit)?.into_iter().peekable();
        let (mut objects, mut bytes, mut uri_bytes, mut planned) = (0, 0, 0, Vec::new());
        for lot in self.open_lots() {
            while let Some(share) = shares.next_if(|share| share.lot <= lot) {
                objects += share.objects;
                bytes += share.bytes;
                uri_bytes += share.uri_bytes;
            }
            let fits = if uri_bytes <= URI_BYTES_PER_LOT_MAX { objects } else { URI_BYTES_PER_LOT_MAX / (uri_bytes / objects) };
            let taken = objects.min(OBJECTS_PER_LOT_MAX).min(fits);
            let of_taken = |all: u64| if taken == objects { all } else { all / objects as u64 * taken as u64 };
            planned.push(BackfilledLot { lot, objects: taken, bytes: of_taken(bytes) });
            uri_bytes -= usize::try_from(of_taken(uri_bytes as u64)).unwrap_or(uri_bytes);
            (objects, bytes) = (objects - taken, bytes - of_taken(bytes));
        }
        let later = objects + shares.map(|share| share.objects).sum::<usize>();
        Ok((planned, Backfilled { later }))
    }

    /// Lots that have no commit yet and are to get one, in order. What a boundary that lists has committed has no holes.
    fn open_lots(&self) -> impl Iterator<Item = Lot> + use<'_> {
        let first = match self.hears {
            Hears::Listing => self.lots.keys().next_back().map(|last| last.next()).max(Some(self.span.first)),
            Hears::Queue => Some(self.span.first),
        };
        let last = self.span.end.previous();
        first.into_iter().flat_map(move |first| Lot::range(first, last)).filter(|lot| !self.lots.contains_key(lot))
    }

    /// Commits all that is to be committed, and tells of each lot. Safe to repeat after any error or crash, from
    /// [`Backfill::new`] on.
    pub async fn run(&self, spool: &mut Spool, told: &mut (dyn FnMut(BackfilledLot) + Send)) -> Result<Backfilled, BoundaryError> {
        self.claim().await?;
        let mut announcing = Announcing::new(if self.hears == Hears::Listing { 0 } else { ANNOUNCES_AT_ONCE });
        for lot in self.unannounced() {
            let commit = self.stores.read_commit(&self.spec.dataset.id(), lot, 1).await?;
            announcing.add(self, commit).await?;
        }
        for lot in self.open_lots() {
            let commit = self.commit(lot, spool, told).await?;
            announcing.add(self, commit).await?;
        }
        announcing.end().await?;
        self.hand_over(spool).await
    }

    /// Agrees with a boundary that is only about to begin on where it does.
    async fn claim(&self) -> Result<(), BoundaryError> {
        let Some(begins) = self.span.begins else { return Ok(()) };
        let filled_from = (self.hears == Hears::Queue).then_some(self.span.first);
        let agreed = agree_on_first_lot(&self.stores, &self.spec, FirstLot { lot: begins, filled_from }).await?;
        match agreed {
            FirstLot { lot, filled_from: from } if lot == begins && from == filled_from => Ok(()),
            FirstLot { lot: agreed, .. } => {
                Err(refuse(format!("boundary {} began meanwhile, with lot {agreed}", self.spec.name), "the same command again"))
            }
        }
    }

    /// Lots whose state copy or event may have got lost with whoever committed them: those without a copy, and the last
    /// before the first that is missing.
    fn unannounced(&self) -> Vec<Lot> {
        let stop = self.open_lots().next().unwrap_or(self.span.end);
        let within = || self.lots.range(self.span.first..self.span.end);
        let mut lots: Vec<Lot> = within().filter(|(_, entry)| entry.copies != 1).map(|(lot, _)| *lot).collect();
        lots.extend(within().rev().filter(|(lot, entry)| **lot < stop && entry.copies == 1).take(ANNOUNCES_AT_ONCE).map(|(lot, _)| *lot));
        lots
    }

    /// Commits a lot with what has arrived before its end, or adapts to the one who was faster: their objects no longer
    /// wait. Gives the commit that is there now.
    async fn commit(
        &self,
        lot: Lot,
        spool: &mut Spool,
        told: &mut (dyn FnMut(BackfilledLot) + Send),
    ) -> Result<Option<Manifest>, BoundaryError> {
        let mut taken = spool.before(lot.end(), OBJECTS_PER_LOT_MAX)?;
        taken.truncate(fitting(&taken));
        let manifest = Manifest::new(self.spec.dataset.clone(), lot, taken.into_iter().map(Arrival::into_object).collect());
        let commit = match self.stores.commit(&manifest).await {
            Ok(()) => {
                told(BackfilledLot { lot, objects: manifest.uris.len(), bytes: manifest.bytes() });
                Some(manifest)
            }
            Err(ManifestsError::Committed { .. }) => self.stores.read_commit(&self.spec.dataset.id(), lot, 1).await?,
            Err(error) => return Err(error.into()),
        };
        commit.iter().try_for_each(|commit| spool.remove(commit))?;
        Ok(commit)
    }

    /// Leaves what its lots could not take to the boundary: one that lists finds it by itself.
    async fn hand_over(&self, spool: &mut Spool) -> Result<Backfilled, BoundaryError> {
        let mut later = 0;
        loop {
            let mut rest = spool.before(self.span.end.start(), HELD_MAX)?;
            rest.truncate(fitting(&rest));
            if rest.is_empty() {
                return Ok(Backfilled { later });
            }
            later += rest.len();
            let rest = Manifest::new(self.spec.dataset.clone(), self.span.end, rest.into_iter().map(Arrival::into_object).collect());
            if self.hears == Hears::Queue {
                let handed = |object: &ManifestObject| ManifestObject { arrived: Some(self.handed), ..object.clone() };
                let objects: Vec<ManifestObject> = rest.objects.iter().map(handed).collect();
                create_document(&self.stores, &self.spec, &objects).await?;
            }
            spool.remove(&rest)?;
        }
    }
}

fn is_of_interest(entry: &LotEntry) -> bool {
    entry.generation > 0 && entry.state != Some(State::Empty)
}

/// State copies and events under way.
struct Announcing<'a> {
    at_once: usize,
    under_way: FuturesUnordered<BoxFuture<'a, Result<usize, ManifestsError>>>,
    objects: usize,
}

impl<'a> Announcing<'a> {
    fn new(at_once: usize) -> Announcing<'a> {
        Announcing { at_once, under_way: FuturesUnordered::new(), objects: 0 }
    }

    /// Adds one, and waits until there are no more than may be at once, with no more objects than one lot may have.
    async fn add(&mut self, backfill: &'a Backfill, commit: Option<Manifest>) -> Result<(), ManifestsError> {
        let Some(commit) = commit else { return Ok(()) };
        self.objects += commit.uris.len();
        let announce = async move { backfill.stores.announce(&commit, backfill.bus.as_ref()).await.map(|()| commit.uris.len()) };
        self.under_way.push(announce.boxed());
        while self.under_way.len() > self.at_once || self.objects > OBJECTS_PER_LOT_MAX {
            let Some(objects) = self.under_way.next().await else { break };
            self.objects -= objects?;
        }
        Ok(())
    }

    async fn end(self) -> Result<(), ManifestsError> {
        self.under_way.try_for_each(|_| async { Ok(()) }).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::arrivals::Taker;
    use crate::commit_index::CommitIndex;
    use crate::filter::{Filter, FilterSpec};
    use crate::index::MemoryIndex;
    use crate::spec::EventArrival;
    use crate::tick::Boundary;
    use async_trait::async_trait;
    use manifests::{Dataset, DiskBus, Fate, Faults, FaultyStore, LotUnit, MemoryBus, ObjectStores};
    use object_store::ObjectStore;
    use object_store::memory::InMemory;
    use proptest::prelude::*;

    fn at(minute: i64) -> DateTime<Utc> {
        "2023-07-17T20:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minute)
    }

    fn lot(minute: i64) -> Lot {
        Lot::containing(LotUnit::Twelfths, at(minute))
    }

    fn spec() -> BoundarySpec {
        BoundarySpec {
            name: "in".into(),
            dataset: Dataset { name: "raw".into(), version: "1".into(), path_uri: "memory:///raw/".into() },
            unit: LotUnit::Twelfths,
            arrival: EventArrival::Frequent,
            filter: FilterSpec::default(),
            settle: TimeDelta::seconds(5),
            from: None,
        }
    }

    fn object(name: &str, minute: i64) -> Arrival {
        let (uri, etag) = (format!("memory:///raw/{name}"), Some(format!("e{name}")));
        Arrival { uri, size: 3, etag, version_id: None, arrived: at(minute) }
    }

    /// What is there, as if listed.
    struct There(Vec<Arrival>);

    #[async_trait]
    impl Arrivals for There {
        async fn scan(
            &mut self,
            spec: &BoundarySpec,
            filter: &Filter,
            _: &Stores,
            taker: &mut dyn Taker,
        ) -> Result<Scanned, BoundaryError> {
            let taken: Vec<Arrival> = self.0.iter().filter(|arrival| spec.wants(filter, &arrival.uri)).cloned().collect();
            let objects = taken.len();
            taker.take(taken).await?;
            Ok(Scanned { objects, ..Scanned::default() })
        }

        async fn forget(&mut self, _: &Stores, _: &mut dyn crate::Index) -> Result<(), BoundaryError> {
            Ok(())
        }
    }

    struct Lake {
        stores: Stores,
        bus: Arc<dyn Bus>,
        folder: tempfile::TempDir,
        spools: AtomicUsize,
    }

    impl Lake {
        fn new(stores: Stores) -> Lake {
            let (folder, spools) = (tempfile::tempdir().unwrap(), AtomicUsize::new(0));
            Lake { stores, bus: Arc::new(MemoryBus::default()), folder, spools }
        }

        async fn prepare(&self, hears: Hears, ask: &Ask, there: &[Arrival]) -> Result<(Backfill, Spool), BoundaryError> {
            let backfill = Backfill::new(spec(), hears, self.stores.clone(), self.bus.clone(), ask).await?;
            let path = self.folder.path().join(self.spools.fetch_add(1, Ordering::SeqCst).to_string());
            let mut spool = Spool::create(&path, backfill.times().0, backfill.times().1)?;
            backfill.list(&mut There(there.to_vec()), &mut spool).await?;
            Ok((backfill, spool))
        }

        async fn fill(&self, hears: Hears, ask: &Ask, there: &[Arrival]) -> Result<(usize, Backfilled), BoundaryError> {
            let (backfill, mut spool) = self.prepare(hears, ask, there).await?;
            let mut lots = 0;
            let done = backfill.run(&mut spool, &mut |_| lots += 1).await?;
            Ok((lots, done))
        }

        /// A boundary that remembers nothing, and hears of these.
        fn boundary(&self, hears: Hears, heard: &[Arrival]) -> Boundary {
            let index: Box<dyn crate::Index> = match hears {
                Hears::Listing => Box::new(MemoryIndex::default()),
                Hears::Queue => Box::new(CommitIndex::new(self.stores.clone(), spec().dataset.id(), LotUnit::Twelfths, at(0))),
            };
            Boundary::new(spec(), self.stores.clone(), self.bus.clone(), index).unwrap().hearing(Box::new(There(heard.to_vec())))
        }

        async fn commits(&self) -> Vec<Manifest> {
            let id = spec().dataset.id();
            let mut all = Vec::new();
            for (lot, entry) in self.stores.lots(&id).await.unwrap() {
                let commit = self.stores.read_commit(&id, lot, 1).await.unwrap().unwrap();
                assert_eq!((entry.generation, entry.copies, entry.state), (1, 1, Some(commit.state)), "{lot} is not announced");
                all.push(commit);
            }
            all
        }

        /// No gap from the first to the last, and each of the objects once; the lots of each, by minute.
        async fn check(&self, (first, last): (Lot, Lot), there: &[Arrival]) -> BTreeMap<String, Lot> {
            let commits = self.commits().await;
            let lots: Vec<Lot> = commits.iter().map(|commit| commit.lot_id).collect();
            assert_eq!(lots, Lot::range(first, last).collect::<Vec<_>>(), "a gap");
            let mut held = BTreeMap::new();
            for commit in &commits {
                for object in &commit.objects {
                    assert_eq!(held.insert(object.uri.clone(), commit.lot_id), None, "{} twice", object.uri);
                }
            }
            let there: BTreeSet<_> = there.iter().map(|object| object.uri.clone()).collect();
            assert_eq!(held.keys().cloned().collect::<BTreeSet<_>>(), there);
            held
        }
    }

    fn own_lot(held: &BTreeMap<String, Lot>, objects: &[Arrival]) -> bool {
        objects.iter().all(|object| held[&object.uri] == Lot::containing(LotUnit::Twelfths, object.arrived))
    }

    #[tokio::test]
    async fn before_a_boundary_begins_its_lots_come_first_and_the_filter_holds() {
        let lake = Lake::new(Stores::memory().unwrap());
        let there = [object("a", 1), object("b/c", 11), object("d", 14), object("e.tmp", 14), object("f", 26), object("older", -1)];
        let ask = Ask { from: at(2), to: Some(at(25)), now: at(60) };
        let (backfill, mut spool) = lake.prepare(Hears::Queue, &ask, &there).await.unwrap();
        let planned: Vec<usize> = backfill.plan(&mut spool).unwrap().0.iter().map(|lot| lot.objects).collect();
        assert_eq!(planned, [1, 0, 2, 0, 0]);
        assert!(lake.stores.metadata.list("").await.unwrap().is_empty(), "a plan writes nothing");
        assert_eq!(lake.fill(Hears::Queue, &ask, &there).await.unwrap(), (5, Backfilled { later: 0 }));
        let held = lake.check((lot(0), lot(20)), &there[..3]).await;
        assert!(own_lot(&held, &there[..3]));
        assert_eq!(lake.fill(Hears::Queue, &ask, &there).await.unwrap().0, 0, "once is enough");
        // A message from before comes late, another comes twice.
        let heard = [object("d", 14), object("f", 26), object("f", 26)];
        lake.boundary(Hears::Queue, &heard).tick(at(41)).await.unwrap();
        lake.check((lot(0), lot(35)), &[&there[..3], &there[4..5]].concat()).await;
        let earlier = Ask { from: at(-3), ..ask };
        let wait = lake.fill(Hears::Queue, &earlier, &there).await.unwrap_err();
        assert!(matches!(wait, BoundaryError::Backfill { .. }), "{wait}");
        lake.boundary(Hears::Queue, &heard).tick(at(100)).await.unwrap();
        assert_eq!(lake.fill(Hears::Queue, &earlier, &there).await.unwrap().0, 1);
        lake.check((lot(-5), lot(90)), &[&there[..3], &there[4..]].concat()).await;
    }

    #[tokio::test]
    async fn a_boundary_that_lists_goes_on_after_its_backfill_and_takes_the_rest() {
        let lake = Lake::new(Stores::memory().unwrap());
        let there = [object("older", -900), object("a", 1), object("b", 11), object("c", 33)];
        let ask = Ask { from: at(0), to: Some(at(20)), now: at(60) };
        assert_eq!(lake.fill(Hears::Listing, &ask, &there).await.unwrap().0, 4);
        let mut boundary = lake.boundary(Hears::Listing, &there);
        boundary.tick(at(61)).await.unwrap();
        let held = lake.check((lot(0), lot(55)), &there).await;
        assert!(own_lot(&held, &there[1..3]) && held[&there[0].uri] == lot(0));
        let nothing_left = lake.fill(Hears::Listing, &Ask { from: at(-60), ..ask }, &there).await.unwrap_err();
        assert!(nothing_left.to_string().contains("took all that was there"), "{nothing_left}");
    }

    #[tokio::test]
    async fn what_comes_to_light_after_its_lot_is_taken_by_the_boundary() {
        let lake = Lake::new(Stores::memory().unwrap());
        let ask = Ask { from: at(0), to: Some(at(20)), now: at(60) };
        lake.fill(Hears::Queue, &ask, &[object("a", 1)]).await.unwrap();
        let there = [object("a", 1), object("late", 2)];
        for _ in 0..2 {
            assert_eq!(lake.fill(Hears::Queue, &ask, &there).await.unwrap(), (0, Backfilled { later: 1 }));
        }
        let queue: Arc<dyn crate::Queue> = Arc::new(Silent);
        let arrivals = crate::QueueArrivals::new(queue);
        lake.boundary(Hears::Queue, &[]).hearing(Box::new(arrivals)).tick(at(61)).await.unwrap();
        lake.check((lot(0), lot(55)), &there).await;
        assert_eq!(lake.stores.metadata.list("").await.unwrap().len(), 1, "what is handed over is forgotten when a lot has it");
    }

    #[tokio::test]
    async fn what_may_just_have_been_uploaded_is_left_until_the_boundary_was_told() {
        let lake = Lake::new(Stores::memory().unwrap());
        let begun = |name, minute| Arrival { etag: Some("\"0a-3\"".into()), ..object(name, minute) };
        let there = [begun("long ago", -61), object("whole", 58), begun("ended before", 54), begun("ended after", 57)];
        let ask = Ask { from: at(-70), to: Some(at(60)), now: at(61) };
        let (backfill, mut spool) = lake.prepare(Hears::Queue, &ask, &[]).await.unwrap();
        let listed = backfill.list(&mut There(there.to_vec()), &mut spool).await.unwrap();
        assert_eq!(listed.uploads, Some(Uploads { objects: 2, after: at(57 + 120) }));
        assert_eq!(lake.fill(Hears::Queue, &ask, &there).await.unwrap(), (26, Backfilled { later: 0 }));
        lake.check((lot(-70), lot(55)), &there[..2]).await;
        // A notification names the end.
        let told = Arrival { arrived: at(61), ..there[3].clone() };
        lake.boundary(Hears::Queue, &[told]).tick(at(177)).await.unwrap();
        assert_eq!(lake.fill(Hears::Queue, &Ask { now: at(178), ..ask }, &there).await.unwrap(), (0, Backfilled { later: 1 }));
        let arrivals = crate::QueueArrivals::new(Arc::new(Silent));
        lake.boundary(Hears::Queue, &[]).hearing(Box::new(arrivals)).tick(at(186)).await.unwrap();
        let held = lake.check((lot(-70), lot(180)), &there).await;
        assert!(own_lot(&held, &there[..2]) && held["memory:///raw/ended after"] == lot(60));
    }

    /// A backfill that comes to its end between two calls of a tick: before the boundary asks for its first lot.
    #[derive(Debug)]
    struct Meanwhile(Stores, Manifest);

    #[async_trait]
    impl Faults for Meanwhile {
        async fn fate(&self, action: &'static str, _: bool, path: &str) -> Fate {
            if action == "get" && path.ends_with("first-lot.json") {
                self.0.commit(&self.1).await.unwrap();
            }
            Fate::Pass
        }
    }

    #[tokio::test]
    async fn what_a_backfill_commits_during_a_tick_is_not_taken_by_it() {
        let plain: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let sound = open(plain.clone());
        let commit = |minute, objects: Vec<Arrival>| {
            Manifest::new(spec().dataset, lot(minute), objects.into_iter().map(Arrival::into_object).collect())
        };
        agree_on_first_lot(&sound, &spec(), FirstLot { lot: lot(60), filled_from: Some(lot(50)) }).await.unwrap();
        sound.commit(&commit(50, vec![])).await.unwrap();
        let last = Meanwhile(sound.clone(), commit(55, vec![object("a", 57)]));
        let lake = Lake::new(open(Arc::new(FaultyStore::new(plain, Arc::new(last)))));
        lake.boundary(Hears::Queue, &[object("a", 57)]).tick(at(66)).await.unwrap();
        let id = spec().dataset.id();
        let taken = |minute| sound.read_commit(&id, lot(minute), 1);
        assert_eq!(taken(55).await.unwrap().unwrap().uris.len(), 1);
        assert!(taken(60).await.unwrap().unwrap().uris.is_empty(), "it would be in two lots");
    }

    #[derive(Debug)]
    struct Silent;

    #[async_trait]
    impl crate::Queue for Silent {
        async fn receive(&self) -> Result<Vec<crate::Message>, BoundaryError> {
            Ok(Vec::new())
        }

        async fn delete(&self, _: Vec<String>) -> Result<(), BoundaryError> {
            Ok(())
        }

        async fn release(&self, _: Vec<String>) -> Result<(), BoundaryError> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_lot_takes_no_more_than_its_limit_and_the_rest_follows() {
        let lake = Lake::new(Stores::memory().unwrap());
        let there: Vec<Arrival> = (0..OBJECTS_PER_LOT_MAX + 2).map(|n| object(&n.to_string(), 1)).collect();
        let ask = Ask { from: at(0), to: Some(at(10)), now: at(60) };
        let (backfill, mut spool) = lake.prepare(Hears::Queue, &ask, &there).await.unwrap();
        let planned: Vec<usize> = backfill.plan(&mut spool).unwrap().0.iter().map(|lot| lot.objects).collect();
        assert_eq!(planned, [OBJECTS_PER_LOT_MAX, 2]);
        backfill.run(&mut spool, &mut |_| {}).await.unwrap();
        lake.check((lot(0), lot(5)), &there).await;
    }

    #[tokio::test]
    async fn a_lot_takes_no_more_names_than_there_is_room_for() {
        let lake = Lake::new(Stores::memory().unwrap());
        let name = |n: usize| format!("{n:05}{}", "x".repeat(1_000));
        let there: Vec<Arrival> = (0..URI_BYTES_PER_LOT_MAX / 1_000).map(|n| object(&name(n), 1)).collect();
        let ask = Ask { from: at(0), to: Some(at(10)), now: at(60) };
        let (backfill, mut spool) = lake.prepare(Hears::Queue, &ask, &there).await.unwrap();
        let planned: Vec<usize> = backfill.plan(&mut spool).unwrap().0.iter().map(|lot| lot.objects).collect();
        backfill.run(&mut spool, &mut |_| {}).await.unwrap();
        lake.check((lot(0), lot(5)), &there).await;
        let committed: Vec<usize> = lake.commits().await.iter().map(|commit| commit.uris.len()).collect();
        assert_eq!(planned, committed);
        assert_eq!(committed[0], URI_BYTES_PER_LOT_MAX / there[0].uri.len(), "{committed:?}");
    }

    /// Refuses, half-does or doubles the calls whose numbers it is given.
    #[derive(Debug)]
    struct Schedule {
        calls: AtomicUsize,
        fates: BTreeMap<usize, Fate>,
    }

    #[async_trait]
    impl Faults for Schedule {
        async fn fate(&self, _: &'static str, _: bool, _: &str) -> Fate {
            let call = self.calls.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            self.fates.get(&call).copied().unwrap_or(Fate::Pass)
        }
    }

    fn open(store: Arc<dyn ObjectStore>) -> Stores {
        let mut stores = ObjectStores::default();
        stores.register("memory://", store);
        Stores::below(stores, "memory:///lake").unwrap()
    }

    /// The same lake with calls failing as they are scheduled, events on it included.
    fn faulty(sound: &Arc<dyn ObjectStore>, fates: BTreeMap<usize, Fate>) -> Lake {
        let schedule = Arc::new(Schedule { calls: AtomicUsize::new(0), fates });
        let stores = open(Arc::new(FaultyStore::new(sound.clone(), schedule)));
        Lake { bus: Arc::new(DiskBus::new(stores.artifact.clone())), ..Lake::new(stores) }
    }

    /// Again and again until it is done, as somebody would.
    async fn until_done(lake: &Lake, hears: Hears, ask: &Ask, there: &[Arrival]) {
        for _ in 0..100 {
            if lake.fill(hears, ask, there).await.is_ok() {
                return;
            }
        }
        panic!("it never comes to its end");
    }

    /// A boundary at its work.
    async fn tick(lake: Lake, hears: Hears, there: &[Arrival], minutes: &[i64]) {
        let mut boundary = lake.boundary(hears, there);
        for &minute in minutes {
            boundary.tick(at(minute)).await.unwrap();
        }
    }

    fn fates() -> impl Strategy<Value = BTreeMap<usize, Fate>> {
        let fate = prop_oneof![Just(Fate::Refuse), Just(Fate::RefuseAfter), Just(Fate::Twice)];
        proptest::collection::btree_map(0usize..250, fate, 0..20)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]
        /// Two backfills at once, each begun again after every failure, and the boundary as well. One that hears by queue is told
        /// of all, before they are in lots and again, and a backfill from earlier follows. Each object is in one commit, that of
        /// its time, and no interval is left out.
        #[test]
        fn whatever_happens_every_object_is_in_one_commit(
            minutes in proptest::collection::vec(0i64..60, 0..30),
            told_again in proptest::collection::vec(0usize..30, 0..5),
            (one, two) in (fates(), fates()),
            lists: bool,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let hears = if lists { Hears::Listing } else { Hears::Queue };
                let there: Vec<Arrival> = minutes.iter().enumerate().map(|(n, minute)| object(&n.to_string(), *minute)).collect();
                let plain: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
                let (one, two, sound) = (faulty(&plain, one), faulty(&plain, two), Lake::new(open(plain.clone())));
                let begin = if lists { 0 } else { 30 };
                let ask = Ask { from: at(begin), to: Some(at(60)), now: at(70) };
                let backfills = async { tokio::join!(until_done(&one, hears, &ask, &there), until_done(&two, hears, &ask, &there)) };
                if lists {
                    agree_on_first_lot(&sound.stores, &spec(), FirstLot { lot: lot(0), filled_from: None }).await.unwrap();
                    tokio::join!(backfills, tick(faulty(&plain, BTreeMap::new()), hears, &there, &[30, 66, 131]));
                } else {
                    let claimed = FirstLot { lot: lot(60), filled_from: Some(lot(begin)) };
                    agree_on_first_lot(&sound.stores, &spec(), claimed).await.unwrap();
                    let in_range: Vec<Arrival> = there.iter().filter(|object| object.arrived >= at(begin)).cloned().collect();
                    let boundary = tick(faulty(&plain, BTreeMap::new()), hears, &in_range, &[66, 71, 81, 101]);
                    tokio::join!(backfills, boundary);
                    let held = sound.check((lot(begin), lot(95)), &in_range).await;
                    prop_assert!(own_lot(&held, &in_range));
                    let told = told_again.iter().filter_map(|n| there.get(*n)).filter(|object| object.arrived >= at(begin)).cloned();
                    sound.boundary(hears, &told.collect::<Vec<_>>()).tick(at(131)).await.unwrap();
                    until_done(&one, hears, &Ask { from: at(0), now: at(140), ..ask }, &there).await;
                }
                let held = sound.check((lot(0), lot(125)), &there).await;
                prop_assert!(own_lot(&held, &there));
                Ok(())
            })?;
        }
    }
}
