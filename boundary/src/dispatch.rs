//! Dispatch: what is there is looked at, what is due comes out. Lots whose sources are all empty are published here and
//! never reach a worker. Events are only hints at where to look: a pass without any finds the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt};
use manifests::{
    ArcId, ArcSpec, ArcState, Bus, Counts, DatasetId, Lot, ManifestsError, Receipt, RunPlan, SinkOutput, SourceCommit, State, Stores,
};

use crate::due::{Standing, View, Why, plan, standings};
use crate::error::BoundaryError;
use crate::facts::{CommitKey, Facts};
use crate::look::{Listed, Lister, Look, Reach};

/// How far back committed lots are held against their sources, counted from the newest source lot. A source that
/// changes later than that is followed when its event arrives, or by `arc replay`.
pub const LOOKBACK_DAYS: i64 = 7;
/// The name of the dispatcher's queue on the bus.
pub const SUBSCRIBER: &str = "dispatch";
/// Events taken off the bus at once.
const EVENTS_PER_PASS: usize = 1_000;
/// Due lots of an arc that are looked into at once: whether their sources are all empty, and then published.
const PUBLISHES_AT_ONCE: usize = 16;
/// Source manifests of one lot that are read at once. Each may be large.
const STATES_AT_ONCE: usize = 4;

/// A run that needs a worker.
#[derive(Clone, Debug, PartialEq)]
pub struct DueRun {
    /// Which arc: its place in the list that was passed in.
    pub arc: usize,
    /// The run.
    pub plan: RunPlan,
    /// The reason.
    pub why: Why,
}

/// Who runs what is run here, and for how long at most without a sign of life.
#[derive(Clone)]
pub struct Worker {
    /// The owner that leases name.
    pub owner: String,
    /// The length of a lease.
    pub lease: TimeDelta,
    /// Whether another owner is certainly gone.
    pub is_dead: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

/// What a pass found.
#[derive(Clone, Debug, Default)]
pub struct Dispatched {
    /// Runs that need a worker, oldest lots first, in the order of the arcs.
    pub runs: Vec<DueRun>,
    /// All-empty lots that were published without one: the arc of each, by its place, in the order of the arcs.
    pub empties: Vec<usize>,
}

/// Looks at the stores and says what is due.
pub struct Dispatcher {
    stores: Stores,
    bus: Arc<dyn Bus>,
    facts: Facts,
    hinted: Vec<(DatasetId, Lot)>,
    /// Which arc of those that a pass is over makes a dataset.
    producers: Arc<HashMap<DatasetId, ArcId>>,
    /// Called when an arc has been looked at.
    step: Arc<dyn Fn() + Send + Sync>,
}

/// What bounds a look at some days of an arc.
pub(crate) struct Bounds<'a> {
    /// The start of the newest source lot that is known, where the days may not have it.
    pub newest: Option<DateTime<Utc>>,
    /// Due lots that are dealt with, oldest first; there may be more.
    pub due_max: usize,
    /// Whether to stop.
    pub is_over: &'a (dyn Fn() -> bool + Send + Sync),
}

/// What there is to know of some days of an arc, beside what is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The start of the newest source lot.
    pub newest: Option<DateTime<Utc>>,
    /// Whether time alone changes how some lot stands, or another look may: it is due, at work, in backoff or has a deadline.
    pub is_open: bool,
}

impl Dispatcher {
    /// A dispatcher over stores and a bus; subscribes to it.
    pub async fn new(stores: Stores, bus: Arc<dyn Bus>) -> Result<Dispatcher, BoundaryError> {
        bus.subscribe(SUBSCRIBER).await?;
        let (facts, step) = (Facts::default(), Arc::new(|| ()));
        Ok(Dispatcher { stores, bus, facts, hinted: Vec::new(), producers: Arc::default(), step })
    }

    /// The same, which calls `step` whenever a pass has looked at one more arc: one over many, and years of lots, takes long.
    #[must_use]
    pub fn stepping(self, step: Arc<dyn Fn() + Send + Sync>) -> Dispatcher {
        Dispatcher { step, ..self }
    }

    /// One pass over the arcs: publishes what is all empty, returns what needs a worker.
    pub async fn pass(&mut self, arcs: &[ArcSpec], now: DateTime<Utc>, worker: &Worker) -> Result<Dispatched, BoundaryError> {
        let deliveries = self.bus.receive(SUBSCRIBER, EVENTS_PER_PASS).await?;
        self.hinted = deliveries.iter().map(|delivery| (delivery.event.dataset.id(), delivery.event.lot)).collect();
        self.producers = producers(arcs);
        let mut dispatched = Dispatched::default();
        for (place, arc) in arcs.iter().enumerate() {
            self.dispatch(place, arc, None, now, worker, &mut dispatched).await?;
            (self.step)();
        }
        for delivery in &deliveries {
            self.bus.acknowledge(SUBSCRIBER, delivery).await?;
        }
        Ok(dispatched)
    }

    /// The same for one event: looks at no more than the lots of arcs that read this lot of this dataset.
    pub async fn pass_at(
        &mut self,
        arcs: &[ArcSpec],
        event: (&DatasetId, Lot),
        now: DateTime<Utc>,
        worker: &Worker,
    ) -> Result<Dispatched, BoundaryError> {
        self.hinted = vec![(event.0.clone(), event.1)];
        self.producers = producers(arcs);
        let mut dispatched = Dispatched::default();
        for (place, arc) in arcs.iter().enumerate() {
            let reads = arc.sources.iter().any(|source| source.subscribe && source.dataset.id() == *event.0);
            if let Some(lot) = event.1.covering(arc.unit).filter(|_| reads) {
                self.dispatch(place, arc, Some(lot), now, worker, &mut dispatched).await?;
            }
        }
        Ok(dispatched)
    }

    /// Adds what is due of an arc, or of one lot of it; publishes what is all empty.
    async fn dispatch(
        &mut self,
        place: usize,
        arc: &ArcSpec,
        only: Option<Lot>,
        now: DateTime<Utc>,
        worker: &Worker,
        dispatched: &mut Dispatched,
    ) -> Result<(), BoundaryError> {
        let listed = self.lister(worker).list(arc, only.map_or(Reach::All, Reach::Lot)).await?;
        let bounds = Bounds { newest: None, due_max: usize::MAX, is_over: &|| false };
        self.dispatch_listed((place, arc), listed, &bounds, now, worker, dispatched).await.map(|_| ())
    }

    /// The same for what a [`Lister`] has listed. What was found before an error stands in `dispatched`.
    pub(crate) async fn dispatch_listed(
        &mut self,
        (place, arc): (usize, &ArcSpec),
        listed: Listed,
        bounds: &Bounds<'_>,
        now: DateTime<Utc>,
        worker: &Worker,
        dispatched: &mut Dispatched,
    ) -> Result<Seen, BoundaryError> {
        let look = self.look(arc, listed, bounds.newest, bounds.is_over).await?;
        self.mend(&look.torn).await?;
        let standings = standings(arc, &look.view, now);
        let seen = Seen { newest: look.newest, is_open: !look.is_whole || standings.values().any(|standing| is_open(arc, standing)) };
        let due = standings.into_values().filter_map(|standing| match standing {
            Standing::Due { plan, why } => Some((plan, why)),
            _ => None,
        });
        let this = &*self;
        let publish = |(plan, why)| async move { (this.publish_empty(arc, &plan, now, worker).await, plan, why) };
        let mut published = futures::stream::iter(due.take(bounds.due_max)).map(publish).buffered(PUBLISHES_AT_ONCE);
        let mut failed = None;
        while let Some((is_published, plan, why)) = published.next().await {
            match is_published {
                Ok(true) => dispatched.empties.push(place),
                Ok(false) => dispatched.runs.push(DueRun { arc: place, plan, why }),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(seen), Err)
    }

    /// What lists what is there of arcs, for this worker.
    pub(crate) fn lister(&self, worker: &Worker) -> Lister {
        Lister { stores: self.stores.clone(), producers: self.producers.clone(), is_dead: worker.is_dead.clone() }
    }

    /// Says which arcs the next looks are about.
    pub(crate) fn meet(&mut self, arcs: &[ArcSpec]) {
        self.producers = producers(arcs);
        self.hinted.clear();
    }

    async fn look(
        &mut self,
        arc: &ArcSpec,
        listed: Listed,
        newest: Option<DateTime<Utc>>,
        is_over: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<Look, BoundaryError> {
        let newest = listed.newest().max(newest);
        let oldest = newest.map_or(DateTime::<Utc>::MIN_UTC, |newest| newest - TimeDelta::days(LOOKBACK_DAYS));
        let hinted: BTreeSet<Lot> = self.hinted.iter().filter_map(|(id, lot)| covering(arc, id, *lot)).collect();
        self.facts.forget(arc, oldest);
        let wanted = listed.commits(arc, |lot| lot.start() >= oldest || hinted.contains(&lot));
        let count = wanted.len();
        let known = self.facts.learn(&self.stores, wanted, is_over).await?;
        Ok(listed.judge(arc, newest, known.len() == count, &known))
    }

    /// How every lot of an arc stands, for listings.
    pub async fn standings(
        &mut self,
        arc: &ArcSpec,
        now: DateTime<Utc>,
        worker: &Worker,
    ) -> Result<BTreeMap<Lot, Standing>, BoundaryError> {
        let listed = self.lister(worker).list(arc, Reach::All).await?;
        let look = self.look(arc, listed, None, &|| false).await?;
        Ok(standings(arc, &look.view, now))
    }

    /// The run of a lot with the source commits that are there now, whatever its standing; `None` where no source has a
    /// lot for it.
    pub async fn plan(&mut self, arc: &ArcSpec, lot: Lot) -> Result<Option<RunPlan>, BoundaryError> {
        let lister = Lister { stores: self.stores.clone(), producers: self.producers.clone(), is_dead: Arc::new(|_| false) };
        let view = View { sources: lister.sources(arc, Reach::Lot(lot)).await?, ..View::default() };
        let (plan, _) = plan(arc, &view, lot);
        Ok((!plan.sources.is_empty()).then_some(plan))
    }

    /// Announces again what is not announced as it was committed.
    async fn mend(&self, torn: &[CommitKey]) -> Result<(), BoundaryError> {
        for (id, lot, generation) in torn {
            if let Some(commit) = self.stores.read_commit(id, *lot, *generation).await? {
                self.stores.announce(&commit, self.bus.as_ref()).await?;
            }
        }
        Ok(())
    }

    /// Publishes a run whose sources are all empty; false where they are not, or where somebody else is at it.
    async fn publish_empty(&self, arc: &ArcSpec, plan: &RunPlan, now: DateTime<Utc>, worker: &Worker) -> Result<bool, BoundaryError> {
        if !self.is_all_empty(arc, plan).await? {
            return Ok(false);
        }
        let lease = match self.stores.acquire(&arc.id, plan.lot, &worker.owner, now, worker.lease, |owner| (worker.is_dead)(owner)).await {
            Ok(lease) => lease,
            Err(ManifestsError::Leased { .. }) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        let receipt = Receipt {
            arc: arc.id.arc.clone(),
            attempt: lease.attempt,
            sources: plan.sources.clone(),
            counts: Counts::default(),
            seconds: 0.0,
        };
        let outputs: Vec<SinkOutput> = arc.sinks.iter().map(|sink| empty_output(&sink.role)).collect();
        match self.stores.commit_run(arc, plan, &receipt, &outputs).await {
            Ok(manifests) => self.stores.settle_run(&manifests, &lease, self.bus.as_ref(), now).await?,
            Err(error) => {
                self.stores.finish(&lease, ArcState::Missing, Some(error.to_string()), true, now).await?;
                return Err(error.into());
            }
        }
        Ok(true)
    }

    async fn is_all_empty(&self, arc: &ArcSpec, plan: &RunPlan) -> Result<bool, BoundaryError> {
        let mut states = futures::stream::iter(&plan.sources).map(|commit| self.state(arc, commit)).buffered(STATES_AT_ONCE);
        while let Some(state) = states.try_next().await? {
            if state != Some(State::Empty) {
                return Ok(false);
            }
        }
        Ok(!plan.sources.is_empty())
    }

    async fn state(&self, arc: &ArcSpec, commit: &SourceCommit) -> Result<Option<State>, BoundaryError> {
        let Some(source) = arc.sources.iter().find(|source| source.dataset.id() == commit.dataset) else { return Ok(None) };
        Ok(match commit.generation {
            0 => self.stores.latest(&source.dataset, commit.lot).await?.map(|manifest| manifest.state),
            generation => self.stores.extent(&commit.dataset, commit.lot, generation).await?.map(|extent| extent.state),
        })
    }
}

/// The lot of an arc that a lot of a dataset is in, where the arc reads it.
fn covering(arc: &ArcSpec, dataset: &DatasetId, lot: Lot) -> Option<Lot> {
    arc.sources.iter().find(|source| source.dataset.id() == *dataset).and_then(|_| lot.covering(arc.unit))
}

fn is_open(arc: &ArcSpec, standing: &Standing) -> bool {
    match standing {
        Standing::Due { .. } | Standing::Running(_) | Standing::Backoff(_) => true,
        Standing::Waiting { .. } => arc.deadline.is_some(),
        Standing::Failed(_) | Standing::Done(_) => false,
    }
}

fn producers(arcs: &[ArcSpec]) -> Arc<HashMap<DatasetId, ArcId>> {
    Arc::new(arcs.iter().flat_map(|arc| arc.sinks.iter().map(|sink| (sink.dataset.id(), arc.id.clone()))).collect())
}

fn empty_output(role: &str) -> SinkOutput {
    SinkOutput { role: role.to_owned(), ..SinkOutput::default() }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use manifests::{ArcSink, ArcSource, Dataset, LotUnit, Manifest, ManifestObject, MemoryBus, paths};

    fn dataset(name: &str) -> Dataset {
        Dataset { name: name.into(), version: "1".into(), path_uri: format!("memory:///{name}/") }
    }

    fn arc() -> ArcSpec {
        ArcSpec {
            id: ArcId { project: "p".into(), version: "1".into(), arc: "a".into() },
            unit: LotUnit::Twelfths,
            sources: vec![ArcSource { role: "main".into(), dataset: dataset("in"), unit: LotUnit::Twelfths, subscribe: true }],
            sinks: ["rejects", "main"].map(|role| ArcSink { role: role.into(), dataset: dataset(role) }).to_vec(),
            deadline: None,
            retries: 1,
            kind: "copy".into(),
            workload: serde_json::Value::Null,
        }
    }

    fn at(minute: i64) -> DateTime<Utc> {
        "2026-11-21T10:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minute)
    }

    fn lot(minute: i64) -> Lot {
        Lot::containing(LotUnit::Twelfths, at(minute))
    }

    fn worker() -> Worker {
        Worker { owner: "me".into(), lease: TimeDelta::minutes(1), is_dead: Arc::new(|owner| owner == "gone") }
    }

    async fn arrive(stores: &Stores, bus: &MemoryBus, lot: Lot, uris: &[&str], generation: u32) {
        let objects = uris.iter().map(|uri| ManifestObject { uri: uri.to_string(), ..ManifestObject::default() }).collect();
        let manifest = Manifest { generation, ..Manifest::new(dataset("in"), lot, objects) };
        stores.commit(&manifest).await.unwrap();
        stores.announce(&manifest, bus).await.unwrap();
    }

    async fn run(stores: &Stores, bus: &MemoryBus, plan: &RunPlan) {
        let lease = stores.acquire(&arc().id, plan.lot, "me", at(0), TimeDelta::minutes(1), |_| false).await.unwrap();
        let receipt = Receipt { arc: "a".into(), attempt: 1, sources: vec![], counts: Counts::default(), seconds: 0.0 };
        let manifests = stores.commit_run(&arc(), plan, &receipt, &[]).await.unwrap();
        stores.settle_run(&manifests, &lease, bus, at(0)).await.unwrap();
    }

    #[tokio::test]
    async fn empty_lots_are_published_here_and_the_rest_is_handed_out_once() {
        let (stores, bus) = (Stores::memory().unwrap(), Arc::new(MemoryBus::default()));
        let mut dispatcher = Dispatcher::new(stores.clone(), bus.clone()).await.unwrap();
        arrive(&stores, &bus, lot(0), &[], 1).await;
        arrive(&stores, &bus, lot(5), &["memory:///in/a"], 1).await;
        let found = dispatcher.pass(&[arc()], at(20), &worker()).await.unwrap();
        assert_eq!((found.empties.len(), found.runs.len(), found.runs[0].why), (1, 1, Why::New));
        let empty = stores.latest(&dataset("main"), lot(0)).await.unwrap().unwrap();
        assert_eq!((empty.state, empty.generation), (State::Empty, 1));
        run(&stores, &bus, &found.runs[0].plan).await;
        let found = dispatcher.pass(&[arc()], at(20), &worker()).await.unwrap();
        assert_eq!((found.empties.len(), found.runs.len()), (0, 0));
        arrive(&stores, &bus, lot(5), &["memory:///in/a", "memory:///in/b"], 2).await;
        let found = dispatcher.pass(&[arc()], at(20), &worker()).await.unwrap();
        assert_eq!((found.runs[0].why, found.runs[0].plan.sources[0].generation), (Why::Newer, 2));
    }

    #[tokio::test]
    async fn a_dead_owner_holds_nobody_up_and_a_lost_event_changes_nothing() {
        let stores = Stores::memory().unwrap();
        let nobody_listens = MemoryBus::default();
        arrive(&stores, &nobody_listens, lot(0), &["memory:///in/a"], 1).await;
        let mut dispatcher = Dispatcher::new(stores.clone(), Arc::new(MemoryBus::default())).await.unwrap();
        for (owner, runs) in [("alive", 0), ("gone", 1)] {
            let lease = TimeDelta::minutes(if owner == "alive" { 1 } else { 9 });
            let now = at(if owner == "alive" { 10 } else { 12 });
            stores.acquire(&arc().id, lot(0), owner, now, lease, |_| false).await.unwrap();
            let found = dispatcher.pass(&[arc()], now, &worker()).await.unwrap();
            assert_eq!(found.runs.len(), runs, "{owner}");
        }
    }

    #[tokio::test]
    async fn a_pass_tells_of_each_arc_that_it_got_through() {
        let (stores, steps) = (Stores::memory().unwrap(), Arc::new(AtomicU32::new(0)));
        let counted = steps.clone();
        let dispatcher = Dispatcher::new(stores, Arc::new(MemoryBus::default())).await.unwrap();
        let count = move || {
            counted.fetch_add(1, Ordering::Relaxed);
        };
        let mut dispatcher = dispatcher.stepping(Arc::new(count));
        dispatcher.pass(&[arc(), arc(), arc()], at(0), &worker()).await.unwrap();
        assert_eq!(steps.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn an_attempt_with_two_ends_is_repaired() {
        let (stores, bus) = (Stores::memory().unwrap(), Arc::new(MemoryBus::default()));
        let mut dispatcher = Dispatcher::new(stores.clone(), bus.clone()).await.unwrap();
        arrive(&stores, &bus, lot(0), &["memory:///in/a"], 1).await;
        let found = dispatcher.pass(&[arc()], at(20), &worker()).await.unwrap();
        run(&stores, &bus, &found.runs[0].plan).await;
        // The store took `complete` and said that it had not.
        let [complete, missing] = [ArcState::Complete, ArcState::Missing].map(|state| paths::attempt(&arc().id, lot(0), 1, state));
        let record = stores.arc_state.get(&complete).await.unwrap().unwrap();
        stores.arc_state.put(&missing, record).await.unwrap();
        let found = dispatcher.pass(&[arc()], at(20), &worker()).await.unwrap();
        assert_eq!(found.runs.iter().map(|run| run.why).collect::<Vec<_>>(), [Why::Repair]);
    }

    #[tokio::test]
    async fn a_copy_that_contradicts_its_commit_is_mended() {
        let (stores, bus) = (Stores::memory().unwrap(), Arc::new(MemoryBus::default()));
        let mut dispatcher = Dispatcher::new(stores.clone(), bus.clone()).await.unwrap();
        arrive(&stores, &bus, lot(0), &["memory:///in/a"], 1).await;
        let found = dispatcher.pass(&[arc()], at(20), &worker()).await.unwrap();
        run(&stores, &bus, &found.runs[0].plan).await;
        let sink = dataset("main").id();
        let stale = paths::state_copy(&sink, lot(0), State::Partial);
        stores.manifest.put(&stale, "{}").await.unwrap();
        assert_eq!(stores.lots(&sink).await.unwrap()[&lot(0)].copies, 2);
        dispatcher.pass(&[arc()], at(20), &worker()).await.unwrap();
        let lots = stores.lots(&sink).await.unwrap();
        assert_eq!((lots[&lot(0)].copies, lots[&lot(0)].state), (1, Some(State::Empty)));
    }

    #[tokio::test]
    async fn a_lot_that_another_tool_wrote_is_not_made_again_and_again() {
        let (stores, bus) = (Stores::memory().unwrap(), Arc::new(MemoryBus::default()));
        let mut dispatcher = Dispatcher::new(stores.clone(), bus.clone()).await.unwrap();
        arrive(&stores, &bus, lot(0), &["memory:///in/a"], 1).await;
        for role in ["rejects", "main"] {
            let copy = paths::state_copy(&dataset(role).id(), lot(0), State::Complete);
            stores.manifest.put(&copy, "{}").await.unwrap();
        }
        stores.acquire(&arc().id, lot(0), "batch/job", at(0), TimeDelta::days(1), |_| false).await.unwrap();
        stores.end_attempt(&arc().id, lot(0), "batch/job", ArcState::Complete, None, false, at(1)).await.unwrap();
        assert!(dispatcher.pass(&[arc()], at(20), &worker()).await.unwrap().runs.is_empty());
        let event = (&dataset("in").id(), lot(0));
        assert!(dispatcher.pass_at(&[arc()], event, at(20), &worker()).await.unwrap().runs.is_empty());
    }

    #[tokio::test]
    async fn a_coarse_lot_waits_for_its_first_lots_whichever_event_comes_first() {
        let (stores, bus) = (Stores::memory().unwrap(), Arc::new(MemoryBus::default()));
        let mut dispatcher = Dispatcher::new(stores.clone(), bus.clone()).await.unwrap();
        let arcs = [ArcSpec { unit: LotUnit::Fourths, ..arc() }];
        let object = ["memory:///in/a"];
        for minute in [-15, 5, 10] {
            arrive(&stores, &bus, lot(minute), &object, 1).await;
        }
        let event = (&dataset("in").id(), lot(10));
        let found = dispatcher.pass_at(&arcs, event, at(20), &worker()).await.unwrap();
        assert_eq!(found.runs.len(), 0, "the lot of 10:00 is missing, as one before it is there");
        arrive(&stores, &bus, lot(0), &object, 1).await;
        let found = dispatcher.pass_at(&arcs, event, at(20), &worker()).await.unwrap();
        assert_eq!(found.runs.iter().map(|run| run.plan.sources.len()).collect::<Vec<_>>(), [3]);
    }

    #[tokio::test]
    async fn what_a_backfill_brings_is_due_without_an_event_however_old_it_is() {
        let (stores, bus) = (Stores::memory().unwrap(), Arc::new(MemoryBus::default()));
        let mut dispatcher = Dispatcher::new(stores.clone(), bus.clone()).await.unwrap();
        arrive(&stores, &bus, lot(0), &[], 1).await;
        dispatcher.pass(&[arc()], at(20), &worker()).await.unwrap();
        let object = ManifestObject { uri: "memory:///in/a".into(), ..ManifestObject::default() };
        let year_ago = lot(-365 * 24 * 60);
        stores.commit(&Manifest::new(dataset("in"), year_ago, vec![object])).await.unwrap();
        let found = dispatcher.pass(&[arc()], at(20), &worker()).await.unwrap();
        assert_eq!(found.runs.iter().map(|run| (run.plan.lot, run.why)).collect::<Vec<_>>(), [(year_ago, Why::New)]);
    }

    #[tokio::test]
    async fn an_old_lot_is_looked_at_when_its_event_comes() {
        let (stores, bus) = (Stores::memory().unwrap(), Arc::new(MemoryBus::default()));
        let mut dispatcher = Dispatcher::new(stores.clone(), bus.clone()).await.unwrap();
        let days = |days: i64| days * 24 * 60;
        arrive(&stores, &bus, lot(0), &["memory:///in/a"], 1).await;
        let found = dispatcher.pass(&[arc()], at(20), &worker()).await.unwrap();
        run(&stores, &bus, &found.runs[0].plan).await;
        arrive(&stores, &bus, lot(days(LOOKBACK_DAYS + 1)), &[], 1).await;
        dispatcher.pass(&[arc()], at(days(9)), &worker()).await.unwrap();
        stores.commit(&Manifest { generation: 2, ..Manifest::new(dataset("in"), lot(0), vec![]) }).await.unwrap();
        let silent = dispatcher.pass(&[arc()], at(days(9)), &worker()).await.unwrap();
        assert_eq!((silent.runs.len(), silent.empties.len()), (0, 0), "nobody looks that far back");
        arrive(&stores, &bus, lot(0), &[], 3).await;
        let told = dispatcher.pass(&[arc()], at(days(9)), &worker()).await.unwrap();
        assert_eq!((told.runs.len(), told.empties.len()), (0, 1));
    }
}
