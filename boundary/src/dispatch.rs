//! Dispatch: what is there is looked at, what is due comes out. Lots whose sources are all empty are published here and
//! never reach a worker. Events are only hints at where to look: a pass without any finds the same.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use manifests::{
    ArcId, ArcSpec, ArcState, Bus, Counts, DatasetId, Lot, LotEntry, ManifestsError, Receipt, RunPlan, SinkOutput, SourceCommit, State,
    Stores, paths,
};

use crate::due::{LastAttempt, Made, Standing, View, Why, plan, standings};
use crate::error::BoundaryError;

/// How far back committed lots are held against their sources, counted from the newest source lot. A source that
/// changes later than that is followed when its event arrives, or by `arc replay`.
pub const LOOKBACK_DAYS: i64 = 7;
/// The name of the dispatcher's queue on the bus.
pub const SUBSCRIBER: &str = "dispatch";
/// Events taken off the bus at once.
const EVENTS_PER_PASS: usize = 1_000;

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
    made: HashMap<CommitKey, CommitFacts>,
    hinted: Vec<(DatasetId, Lot)>,
    /// Which arc of those that a pass is over makes a dataset.
    producers: HashMap<DatasetId, ArcId>,
    /// Called when an arc has been looked at.
    step: Arc<dyn Fn() + Send + Sync>,
}

type CommitKey = (DatasetId, Lot, u32);

/// What is remembered of a commit.
#[derive(Clone, Debug, Default)]
struct CommitFacts {
    sources: Vec<SourceCommit>,
    state: Option<State>,
}

/// What a look at the stores found of one arc.
struct Look {
    view: View,
    /// Commits whose state copies do not say what they say: whoever announced them died, or was late.
    torn: Vec<CommitKey>,
}

impl Dispatcher {
    /// A dispatcher over stores and a bus; subscribes to it.
    pub async fn new(stores: Stores, bus: Arc<dyn Bus>) -> Result<Dispatcher, BoundaryError> {
        bus.subscribe(SUBSCRIBER).await?;
        Ok(Dispatcher { stores, bus, made: HashMap::new(), hinted: Vec::new(), producers: HashMap::new(), step: Arc::new(|| ()) })
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
        let look = self.look(arc, only, worker.is_dead.as_ref()).await?;
        self.mend(&look.torn).await?;
        for (_, standing) in standings(arc, &look.view, now) {
            let Standing::Due { plan, why } = standing else { continue };
            match self.publish_empty(arc, &plan, now, worker).await? {
                true => dispatched.empties.push(place),
                false => dispatched.runs.push(DueRun { arc: place, plan, why }),
            }
        }
        Ok(())
    }

    /// How every lot of an arc stands, for listings.
    pub async fn standings(
        &mut self,
        arc: &ArcSpec,
        now: DateTime<Utc>,
        worker: &Worker,
    ) -> Result<BTreeMap<Lot, Standing>, BoundaryError> {
        let look = self.look(arc, None, worker.is_dead.as_ref()).await?;
        Ok(standings(arc, &look.view, now))
    }

    /// The run of a lot with the source commits that are there now, whatever its standing; `None` where no source has a
    /// lot for it.
    pub async fn plan(&mut self, arc: &ArcSpec, lot: Lot) -> Result<Option<RunPlan>, BoundaryError> {
        let view = View { sources: self.sources(arc, Some(lot)).await?, ..View::default() };
        let (plan, _) = plan(arc, &view, lot);
        Ok((!plan.sources.is_empty()).then_some(plan))
    }

    /// The lots of the arc's sources, in their order; those that one lot of the arc covers, or all.
    async fn sources(&self, arc: &ArcSpec, only: Option<Lot>) -> Result<Vec<BTreeMap<Lot, u32>>, BoundaryError> {
        let mut sources = Vec::new();
        for source in &arc.sources {
            let id = source.dataset.id();
            let covered = only.map(|only| only.covered(source.unit)).unwrap_or_default();
            let mut lots = match (covered.first(), covered.last()) {
                (Some(first), Some(last)) => self.stores.lots_within(&id, *first, *last).await?,
                _ => self.stores.lots(&id).await?,
            };
            self.leave_out_unfinished(&id, &mut lots, only.is_some()).await?;
            sources.push(lots.into_iter().map(|(lot, entry)| (lot, entry.generation)).collect());
        }
        Ok(sources)
    }

    /// Leaves out lots that have state copies alone while the arc that makes them is at work on them, or has failed: what a
    /// user's image writes counts from its commit on.
    async fn leave_out_unfinished(&self, id: &DatasetId, lots: &mut BTreeMap<Lot, LotEntry>, is_few: bool) -> Result<(), BoundaryError> {
        let Some(arc) = self.producers.get(id) else { return Ok(()) };
        let copied: Vec<Lot> = lots.iter().filter(|(_, entry)| entry.generation == 0).map(|(lot, _)| *lot).collect();
        if copied.is_empty() {
            return Ok(());
        }
        let mut states = BTreeMap::new();
        if is_few {
            for lot in copied {
                states.extend(self.stores.last_attempt(arc, lot).await?.map(|last| (lot, last.state)));
            }
        } else {
            states.extend(self.stores.attempts(arc).await?.into_iter().map(|(lot, (_, state))| (lot, state)));
        }
        let is_over = |state: &ArcState| matches!(state, ArcState::Complete | ArcState::Partial);
        lots.retain(|lot, entry| entry.generation > 0 || states.get(lot).is_none_or(is_over));
        Ok(())
    }

    async fn look(
        &mut self,
        arc: &ArcSpec,
        only: Option<Lot>,
        is_dead: &(dyn Fn(&str) -> bool + Send + Sync),
    ) -> Result<Look, BoundaryError> {
        let sources = self.sources(arc, only).await?;
        let newest = sources.iter().filter_map(|lots| lots.keys().next_back().map(|lot| lot.start())).max();
        let oldest = newest.map_or(DateTime::<Utc>::MIN_UTC, |newest| newest - TimeDelta::days(LOOKBACK_DAYS));
        let attempts = self.attempts(arc, only, is_dead).await?;
        let (made, torn) = self.made(arc, only, oldest).await?;
        Ok(Look { view: View { sources, made, attempts }, torn })
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

    /// Last attempts: of those that succeeded the listing says all there is to know, the others are read.
    async fn attempts(
        &self,
        arc: &ArcSpec,
        only: Option<Lot>,
        is_dead: &(dyn Fn(&str) -> bool + Send + Sync),
    ) -> Result<BTreeMap<Lot, LastAttempt>, BoundaryError> {
        let mut listed: BTreeMap<Lot, BTreeMap<u32, ArcState>> = BTreeMap::new();
        let folder = only.map_or_else(|| paths::arc_dir(&arc.id), |lot| paths::arc_lot_dir(&arc.id, lot));
        for path in self.stores.arc_state.list(&folder).await? {
            let Some((_, lot, number, state)) = paths::parse_attempt_path(&path) else { continue };
            let states = listed.entry(lot).or_default();
            let known = states.entry(number).or_insert(state);
            // Where a failing store has left two ends of one attempt, the later in the listing counts, as when it is read.
            *known = if state == ArcState::Running { *known } else { state };
        }
        let mut attempts = BTreeMap::new();
        for (lot, states) in listed {
            let is_good = |state: &ArcState| matches!(state, ArcState::Complete | ArcState::Partial);
            let failures = u32::try_from(states.values().rev().take_while(|state| !is_good(state)).count()).unwrap_or(u32::MAX);
            let last = if failures == 0 { None } else { self.stores.last_attempt(&arc.id, lot).await? };
            let attempt = match last {
                Some(last) => LastAttempt {
                    state: last.state,
                    until: last.record.until,
                    is_dead: last.state == ArcState::Running && is_dead(&last.record.owner),
                    cause: last.record.cause,
                    transient: last.record.transient,
                    failures,
                },
                None => {
                    let state = states.values().next_back().copied().unwrap_or(ArcState::Complete);
                    LastAttempt { state, until: lot.end(), cause: None, transient: false, is_dead: false, failures }
                }
            };
            attempts.insert(lot, attempt);
        }
        Ok(attempts)
    }

    async fn made(
        &mut self,
        arc: &ArcSpec,
        only: Option<Lot>,
        oldest: DateTime<Utc>,
    ) -> Result<(BTreeMap<Lot, Made>, Vec<CommitKey>), BoundaryError> {
        let mut made: BTreeMap<Lot, (usize, Vec<Vec<SourceCommit>>)> = BTreeMap::new();
        let mut torn = Vec::new();
        for sink in &arc.sinks {
            let id = sink.dataset.id();
            let lots = match only {
                Some(lot) => self.stores.lots_within(&id, lot, lot).await?,
                None => self.stores.lots(&id).await?,
            };
            for (lot, entry) in lots {
                let (sinks, from) = made.entry(lot).or_default();
                *sinks += 1;
                // A state copy alone is another tool's, and does not say what it was made from: it is taken for up to date.
                let is_ours = entry.generation > 0;
                if is_ours && (lot.start() >= oldest || self.is_hinted(arc, lot)) {
                    let key = (id.clone(), lot, entry.generation);
                    let facts = self.facts(&key).await?;
                    if entry.copies != 1 || entry.state != facts.state {
                        torn.push(key);
                    }
                    from.push(facts.sources);
                }
            }
        }
        let is_all = |sinks: usize| sinks == arc.sinks.len();
        let judged = |(lot, (sinks, from)): (Lot, (usize, Vec<_>))| match from.is_empty() {
            _ if !is_all(sinks) => (lot, Made::Nothing),
            true => (lot, Made::LongAgo),
            false => (lot, Made::From(from)),
        };
        Ok((made.into_iter().map(judged).collect(), torn))
    }

    fn is_hinted(&self, arc: &ArcSpec, lot: Lot) -> bool {
        let reads = |id: &DatasetId| arc.sources.iter().any(|source| source.dataset.id() == *id);
        self.hinted.iter().any(|(id, source)| reads(id) && source.covering(arc.unit) == Some(lot))
    }

    /// What there is to know of a commit. Commits never change, so each is read once.
    async fn facts(&mut self, key: &CommitKey) -> Result<CommitFacts, BoundaryError> {
        if let Some(facts) = self.made.get(key) {
            return Ok(facts.clone());
        }
        let commit = self.stores.read_commit(&key.0, key.1, key.2).await?;
        let facts = commit.map_or_else(CommitFacts::default, |commit| CommitFacts {
            sources: commit.receipt.map(|receipt| receipt.sources).unwrap_or_default(),
            state: Some(commit.state),
        });
        self.made.insert(key.clone(), facts.clone());
        Ok(facts)
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
        for commit in &plan.sources {
            let Some(source) = arc.sources.iter().find(|source| source.dataset.id() == commit.dataset) else { return Ok(false) };
            let manifest = match commit.generation {
                0 => self.stores.latest(&source.dataset, commit.lot).await?,
                generation => self.stores.read_commit(&commit.dataset, commit.lot, generation).await?,
            };
            if manifest.is_none_or(|manifest| manifest.state != State::Empty) {
                return Ok(false);
            }
        }
        Ok(!plan.sources.is_empty())
    }
}

fn producers(arcs: &[ArcSpec]) -> HashMap<DatasetId, ArcId> {
    arcs.iter().flat_map(|arc| arc.sinks.iter().map(|sink| (sink.dataset.id(), arc.id.clone()))).collect()
}

fn empty_output(role: &str) -> SinkOutput {
    SinkOutput { role: role.to_owned(), ..SinkOutput::default() }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use manifests::{ArcSink, ArcSource, Dataset, LotUnit, Manifest, ManifestObject, MemoryBus};

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
