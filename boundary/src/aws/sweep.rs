//! What the dispatch function looks at: an event's lot, or arcs and their pasts flow in; runs that are due flow out and become jobs
//! arc by arc.
//!
//! A sweep looks at the last days of every arc first, then at their pasts as far as the time goes (`past`), a few side by side.
//! It begins with the arc that the last one did not get to. What commits say is remembered from call to call.

use chrono::{DateTime, NaiveDate, Utc};
use futures::future::{join_all, try_join_all};
use manifests::{ArcSpec, DatasetId, Lot};
use tokio::sync::Mutex;

use super::submit::Found;
use super::{DispatchFunction, Until};
use crate::dispatch::{Bounds, Dispatched, Dispatcher};
use crate::error::BoundaryError;
use crate::look::{Lister, Reach};
use crate::past::{Past, Slice};

/// Arcs, or slices of their pasts, that are listed at once. A listing of a slice of lots of a minute is some 10 MB.
const LISTED_AT_ONCE: usize = 4;
/// Due lots of an arc, or of a slice of its past, that a sweep deals with. Those that are submitted and have not begun count, so
/// this is also about how many jobs of an arc wait; the next sweep goes on.
const DUE_PER_LOOK_MAX: usize = 500;
/// The day on which the last days end.
const END: NaiveDate = match NaiveDate::from_ymd_opt(9999, 12, 31) {
    Some(day) => day,
    None => NaiveDate::MAX,
};

/// What outlives a call.
pub(super) struct Sweeper {
    dispatcher: Dispatcher,
    /// Of each arc of the deployment.
    pasts: Vec<Past>,
    /// The arc that the next sweep begins with.
    begin: usize,
}

impl Sweeper {
    /// A lot of a dataset has changed: where that is long ago, sweeps look there until nothing is open. Gives those arcs, with
    /// their lots, of which it is.
    pub(super) fn heard(&mut self, arcs: &[ArcSpec], (dataset, lot): &(DatasetId, Lot), now: DateTime<Utc>) -> Vec<(usize, Lot)> {
        let reads = |arc: &ArcSpec| arc.sources.iter().any(|source| source.dataset.id() == *dataset);
        let covering = |place: usize| Some((place, lot.covering(arcs[place].unit).filter(|_| reads(&arcs[place]))?));
        let old = (0..arcs.len()).filter_map(covering).filter(|(place, lot)| self.pasts[*place].heard(*lot, now));
        old.collect()
    }

    /// The same for a lot of an arc.
    pub(super) fn heard_lot(&mut self, arc: usize, lot: Lot, now: DateTime<Utc>) {
        self.pasts[arc].heard(lot, now);
    }

    /// Arcs in the order of this sweep.
    fn order(&self) -> Vec<usize> {
        (self.begin..self.pasts.len()).chain(0..self.begin).collect()
    }

    /// The slices to look at next, of one arc after the other.
    fn slices(&mut self, order: &[usize]) -> Vec<(usize, Option<Slice>)> {
        let mut slices = Vec::new();
        loop {
            let before = slices.len();
            for place in order {
                if slices.len() == LISTED_AT_ONCE {
                    return slices;
                }
                slices.extend(self.pasts[*place].next().map(|slice| (*place, Some(slice))));
            }
            if slices.len() == before {
                return slices;
            }
        }
    }
}

impl DispatchFunction {
    pub(super) async fn sweeper(&self) -> Result<&Mutex<Sweeper>, BoundaryError> {
        let open = || async {
            let dispatcher = Dispatcher::new(self.stores.clone(), self.bus.clone()).await?;
            Ok(Mutex::new(Sweeper { dispatcher, pasts: vec![Past::default(); self.specs.len()], begin: 0 }))
        };
        self.sweeper.get_or_try_init(open).await
    }

    /// Whether a sweep finds what an event tells of. It does not hold lots of long ago against their sources, so where
    /// there is something in the sinks of those already, the event is all there is.
    pub(super) async fn is_for_sweep(&self, hint: &(DatasetId, Lot), now: DateTime<Utc>) -> Result<bool, BoundaryError> {
        let old = self.sweeper().await?.lock().await.heard(&self.specs, hint, now);
        let sinks = old.iter().flat_map(|(arc, lot)| self.specs[*arc].sinks.iter().map(move |sink| (sink.dataset.id(), *lot)));
        let made = try_join_all(sinks.map(|(id, lot)| async move { self.stores.lots_within(&id, lot, lot).await })).await?;
        Ok(made.iter().all(|lots| lots.is_empty()))
    }

    /// What is due because of one lot. That is little, and none of it is left: a sweep may not find it.
    pub(super) async fn look_at_lot(&self, (dataset, lot): (DatasetId, Lot), now: DateTime<Utc>) -> Result<Found, BoundaryError> {
        let sweeper = &mut *self.sweeper().await?.lock().await;
        sweeper.heard(&self.specs, &(dataset.clone(), lot), now);
        let dispatched = sweeper.dispatcher.pass_at(&self.specs, (&dataset, lot), now, &self.worker()).await?;
        let mut found = Found::default();
        self.submit_all(dispatched, now, &Until::never(), &mut found).await;
        Ok(found)
    }

    /// What is due wherever it is, as far as the time goes.
    pub(super) async fn look_at_all(&self, now: DateTime<Utc>, until: &Until) -> Result<Found, BoundaryError> {
        let sweeper = &mut *self.sweeper().await?.lock().await;
        sweeper.dispatcher.meet(&self.specs);
        let (order, mut found) = (sweeper.order(), Found::default());
        for places in order.chunks(LISTED_AT_ONCE) {
            if until.is_over() {
                sweeper.begin = places[0];
                return Ok(found);
            }
            let last_days: Vec<_> = places.iter().map(|place| (*place, None)).collect();
            self.look_at(sweeper, &last_days, now, until, &mut found).await;
            if let Some(place) = found.left.first() {
                // Whoever came first and took all the time has had its turn.
                let is_first = *place == order[0];
                sweeper.begin = (place + usize::from(is_first)) % order.len();
                return Ok(found);
            }
        }
        sweeper.begin = (sweeper.begin + 1) % self.specs.len().max(1);
        self.look_at_pasts(sweeper, &order, now, until, &mut found).await;
        Ok(found)
    }

    async fn look_at_pasts(&self, sweeper: &mut Sweeper, order: &[usize], now: DateTime<Utc>, until: &Until, found: &mut Found) {
        let lister = sweeper.dispatcher.lister(&self.worker());
        for place in order {
            if sweeper.pasts[*place].sweep(now) && !until.is_over() {
                match first_lot(&lister, &self.specs[*place]).await {
                    Ok(first) => sweeper.pasts[*place].begin(first, now),
                    Err(error) => found.fail(&format!("arc {}", self.specs[*place].id.arc), error),
                }
            }
        }
        while !until.is_over() {
            let slices = sweeper.slices(order);
            if slices.is_empty() {
                return;
            }
            self.look_at(sweeper, &slices, now, until, found).await;
        }
    }

    /// Looks at the last days of arcs, or at slices of their pasts.
    async fn look_at(&self, sweeper: &mut Sweeper, asked: &[(usize, Option<Slice>)], now: DateTime<Utc>, until: &Until, found: &mut Found) {
        let (worker, lister) = (self.worker(), sweeper.dispatcher.lister(&self.worker()));
        let list = |(place, slice): &(usize, Option<Slice>)| {
            let (first, end) = slice.map_or_else(|| (sweeper.pasts[*place].recent(now), END), Slice::days);
            lister.list(&self.specs[*place], Reach::Days(first, end))
        };
        let listed = join_all(asked.iter().map(list)).await;
        for ((place, slice), listed) in asked.iter().zip(listed) {
            let (arc, past) = ((*place, &self.specs[*place]), &mut sweeper.pasts[*place]);
            let bounds = Bounds { newest: past.newest(), due_max: DUE_PER_LOOK_MAX, is_over: &|| until.is_over() };
            let mut dispatched = Dispatched::default();
            let seen = match listed {
                Ok(listed) => sweeper.dispatcher.dispatch_listed(arc, listed, &bounds, now, &worker, &mut dispatched).await,
                Err(error) => Err(error),
            };
            if let Some(slice) = slice {
                past.saw_slice(*slice, seen.as_ref().is_ok_and(|seen| seen.is_open) || seen.is_err());
            }
            match seen {
                Ok(seen) => past.saw(seen.newest),
                Err(error) => found.fail(&format!("arc {}", arc.1.id.arc), error),
            }
            self.submit_all(dispatched, now, until, found).await;
        }
    }

    /// A job of an arc has begun or ended: sweeps look at its lot, however old it is, until nothing there is open.
    pub(super) async fn heard_job(&self, event: &serde_json::Value, now: DateTime<Utc>) -> Result<(), BoundaryError> {
        let Some(state) = super::job_state::JobState::read(event) else { return Ok(()) };
        if let Some(arc) = self.specs.iter().position(|spec| spec.id.arc == state.arc) {
            self.sweeper().await?.lock().await.heard_lot(arc, state.lot, now);
        }
        Ok(())
    }
}

/// The first lot of the sources that an arc waits for.
async fn first_lot(lister: &Lister, arc: &ArcSpec) -> Result<Option<Lot>, BoundaryError> {
    let firsts = arc.sources.iter().filter(|source| source.subscribe).map(|source| lister.first(source));
    let firsts = try_join_all(firsts).await?;
    Ok(firsts.into_iter().flatten().min_by_key(|first| first.start()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use chrono::TimeDelta;
    use manifests::{
        ArcSink, ArcSource, ArcState, Counts, Dataset, Fate, Faults, FaultyStore, LotUnit, MAIN_ROLE, Manifest, ManifestObject, MemoryBus,
        ObjectStores, Receipt, SourceCommit, Stores, paths,
    };
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::aws::{DeployedArc, Deployment, Job, JobQueue, StoreUris};
    use crate::dispatch::{DueRun, Worker};

    /// Counts reads and listings, and how many reads are under way at most.
    #[derive(Debug, Default)]
    struct Counting {
        gets: AtomicUsize,
        lists: AtomicUsize,
        at_once: AtomicUsize,
        at_once_max: AtomicUsize,
    }

    impl Counting {
        fn take(&self) -> (usize, usize) {
            (self.gets.swap(0, Ordering::SeqCst), self.lists.swap(0, Ordering::SeqCst))
        }
    }

    #[async_trait]
    impl Faults for Counting {
        async fn fate(&self, action: &'static str, _: bool, _: &str) -> Fate {
            match action {
                "get" => self.gets.fetch_add(1, Ordering::SeqCst),
                "list" => self.lists.fetch_add(1, Ordering::SeqCst),
                _ => 0,
            };
            let at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            self.at_once_max.fetch_max(at_once, Ordering::SeqCst);
            tokio::task::yield_now().await;
            self.at_once.fetch_sub(1, Ordering::SeqCst);
            Fate::Pass
        }
    }

    /// Jobs that never begin. Those of `refused` are refused.
    #[derive(Debug, Default)]
    struct Jobs {
        names: std::sync::Mutex<Vec<String>>,
        refused: &'static str,
    }

    #[async_trait]
    impl JobQueue for Jobs {
        async fn is_active(&self, name: &str) -> Result<bool, BoundaryError> {
            Ok(self.names.lock().unwrap().iter().any(|known| known == name))
        }

        async fn submit(&self, job: &Job) -> Result<String, BoundaryError> {
            if !self.refused.is_empty() && job.name.contains(self.refused) {
                let reason = "too many requests".into();
                return Err(BoundaryError::Service { action: "submit job", name: job.name.clone(), reason, transient: true });
            }
            self.names.lock().unwrap().push(job.name.clone());
            Ok(job.name.clone())
        }

        async fn describe(&self, _: &[String]) -> Result<Vec<Value>, BoundaryError> {
            Ok(Vec::new())
        }
    }

    fn dataset(name: &str) -> Dataset {
        Dataset { name: name.into(), version: "1".into(), path_uri: format!("memory:///{name}/") }
    }

    fn deployed(name: &str, unit: LotUnit, source: (&str, LotUnit), sinks: &[&str]) -> DeployedArc {
        let role = |place: usize| if place + 1 == sinks.len() { MAIN_ROLE.to_owned() } else { format!("side{place}") };
        let sink = |(place, sink): (usize, &&str)| ArcSink { role: role(place), dataset: dataset(sink) };
        DeployedArc {
            name: name.into(),
            unit,
            sources: vec![ArcSource { role: MAIN_ROLE.into(), dataset: dataset(source.0), unit: source.1, subscribe: true }],
            sinks: sinks.iter().enumerate().map(sink).collect(),
            deadline_seconds: None,
            retries: 3,
            kind: "copy".into(),
            job_definition: name.into(),
            log_group: String::new(),
            size: None,
            is_foreign: false,
        }
    }

    /// Rows of an hour, and of the day that they are in.
    fn arcs() -> Vec<DeployedArc> {
        let hour = deployed("hour", LotUnit::Hours, ("in", LotUnit::Hours), &["rejects", "out"]);
        vec![hour, deployed("day", LotUnit::Days, ("out", LotUnit::Hours), &["report"])]
    }

    fn function(stores: &Stores, arcs: Vec<DeployedArc>, jobs: Jobs) -> DispatchFunction {
        let uris = StoreUris { manifest: String::new(), arc_state: String::new(), metadata: String::new(), artifact: String::new() };
        let (project, version, region, bus) = ("p".into(), "1".into(), "us-east-1".into(), "bus".into());
        let deployment =
            Deployment { project, version, region, stores: uris, bus, boundaries: vec![], arcs, exports: vec![], activities: vec![] };
        DispatchFunction::over(deployment, stores.clone(), Arc::new(MemoryBus::default()), Some(Arc::new(jobs))).saying(|_| ())
    }

    fn now() -> DateTime<Utc> {
        "2026-11-21T10:30:00Z".parse().unwrap()
    }

    /// The lot so many hours ago.
    fn hour(ago: i64) -> Lot {
        Lot::containing(LotUnit::Hours, now() - TimeDelta::hours(ago))
    }

    async fn commit(stores: &Stores, name: &str, lot: Lot, generation: u32, from: &[SourceCommit]) {
        let object = ManifestObject { uri: format!("memory:///{name}/{lot}-{generation}"), size: 7, ..ManifestObject::default() };
        let receipt = Receipt { arc: "a".into(), attempt: 1, sources: from.to_vec(), counts: Counts::default(), seconds: 0.0 };
        let receipt = (!from.is_empty()).then_some(receipt);
        let manifest = Manifest { generation, receipt, ..Manifest::new(dataset(name), lot, vec![object]) };
        stores.commit(&manifest).await.unwrap();
        stores.announce(&manifest, &MemoryBus::default()).await.unwrap();
    }

    /// An hour that is there, in so many generations, and was made from the first of them, if `state` says so.
    async fn arrive(stores: &Stores, function: &DispatchFunction, lot: Lot, generations: u32, state: Option<ArcState>) {
        for generation in 1..=generations {
            commit(stores, "in", lot, generation, &[]).await;
        }
        let Some(state) = state else { return };
        let lease = stores.acquire(&function.specs[0].id, lot, "batch/x/1", now(), TimeDelta::minutes(-1), |_| false).await.unwrap();
        if state == ArcState::Complete {
            let from = [SourceCommit { dataset: dataset("in").id(), lot, generation: 1 }];
            commit(stores, "rejects", lot, 1, &from).await;
            commit(stores, "out", lot, 1, &from).await;
        }
        if state != ArcState::Running {
            stores.finish(&lease, state, Some("x".into()), true, now() - TimeDelta::hours(1)).await.unwrap();
        }
    }

    fn sorted(runs: Vec<DueRun>) -> BTreeMap<(usize, Lot), String> {
        runs.into_iter().map(|run| ((run.arc, run.plan.lot), format!("{:?} {:?}", run.why, run.plan.sources))).collect()
    }

    /// What a pass over everything finds.
    async fn all(stores: &Stores, function: &DispatchFunction) -> BTreeMap<(usize, Lot), String> {
        let mut dispatcher = Dispatcher::new(stores.clone(), Arc::new(MemoryBus::default())).await.unwrap();
        let worker: Worker = function.worker();
        sorted(dispatcher.pass(&function.specs, now(), &worker).await.unwrap().runs)
    }

    async fn swept(function: &DispatchFunction) -> BTreeMap<(usize, Lot), String> {
        let found = function.look_at_all(now(), &Until::never()).await.unwrap();
        assert!(found.failed.is_none(), "{:?}", found.failed);
        sorted(found.dispatched.runs)
    }

    fn event(lot: Lot, minutes_ago: i64) -> Value {
        let detail = json!({"dataset": dataset("in"), "lot": lot.to_string()});
        json!({"detail-type": "Clusterless Arc Notification", "time": (now() - TimeDelta::minutes(minutes_ago)).to_rfc3339(), "detail": detail})
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_sweep_finds_what_a_look_at_everything_finds(
            newest in 0i64..900,
            hours in prop::collection::btree_map(0i64..1_200, (1u32..3, 0usize..5), 1..40),
            later in prop::collection::btree_set(0i64..1_200, 0..6),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let stores = Stores::memory().unwrap();
                let function = function(&stores, arcs(), Jobs::default());
                for (ago, (generations, state)) in &hours {
                    let state = [None, Some(ArcState::Complete), Some(ArcState::Complete), Some(ArcState::Running), Some(ArcState::Missing)][*state];
                    arrive(&stores, &function, hour(newest + ago), *generations, state).await;
                }
                assert_eq!(swept(&function).await, all(&stores, &function).await, "after a start");
                for ago in later.iter().filter(|ago| !hours.contains_key(ago)) {
                    arrive(&stores, &function, hour(newest + ago), 1, None).await;
                    let answer = function.call(&event(hour(newest + ago), 11), now()).await.unwrap();
                    assert_eq!(answer["left"], "to the sweep");
                }
                assert_eq!(swept(&function).await, all(&stores, &function).await, "after events that came late");
            });
        }
    }

    #[tokio::test]
    async fn what_commits_say_is_read_once_and_many_at_a_time() {
        let (counting, five) = (Arc::new(Counting::default()), LotUnit::Twelfths);
        let faults: Arc<dyn Faults> = counting.clone();
        let objects = ObjectStores::memory().wrapped(move |store| Arc::new(FaultyStore::new(store, faults.clone())));
        let stores = Stores::below(objects, "memory:///lake").unwrap();
        let convert = |n: usize| deployed(&format!("arc{n}"), five, ("in", five), &[&format!("rejects{n}"), &format!("out{n}")]);
        let function = function(&stores, vec![convert(0), convert(1)], Jobs::default());
        let manifests = &stores.manifest;
        let lots: Vec<Lot> = (0..8 * 288).map(|n| Lot::containing(five, now() - TimeDelta::minutes(5 * n))).collect();
        for lot in &lots {
            let put = |path: String, body: Vec<u8>| async move { manifests.put(&path, body).await.unwrap() };
            for name in ["in", "rejects0", "out0", "rejects1", "out1"] {
                let from = vec![SourceCommit { dataset: dataset("in").id(), lot: *lot, generation: 1 }];
                let receipt = Receipt { arc: "a".into(), attempt: 1, sources: from, counts: Counts::default(), seconds: 0.0 };
                let object = ManifestObject { uri: "memory:///x".into(), ..ManifestObject::default() };
                let manifest = Manifest { receipt: Some(receipt), ..Manifest::new(dataset(name), *lot, vec![object]) };
                // The newest lot was not made: its event was lost.
                if name == "in" || *lot != lots[0] {
                    put(paths::commit(&dataset(name).id(), *lot, 1), serde_json::to_vec(&manifest).unwrap()).await;
                    put(paths::state_copy(&dataset(name).id(), *lot, manifest.state), b"{}".to_vec()).await;
                }
            }
            for spec in &function.specs {
                let path = paths::attempt(&spec.id, *lot, 1, ArcState::Complete);
                stores.arc_state.put(&path, "{}").await.unwrap_or_default();
            }
        }
        for spec in &function.specs {
            stores.arc_state.delete(&paths::attempt(&spec.id, lots[0], 1, ArcState::Complete)).await.unwrap();
        }
        counting.take();
        assert_eq!(swept(&function).await.keys().map(|(_, lot)| *lot).collect::<Vec<_>>(), [lots[0], lots[0]]);
        let (gets, lists) = counting.take();
        // Of 7 days and the lot that ends them, without the newest, two sinks of two arcs; the newest lot's manifest, whether
        // it is empty and how large.
        assert_eq!((gets, lists), (4 * 7 * 288 + 4, 18));
        assert!(counting.at_once_max.load(Ordering::SeqCst) >= 32);
        swept(&function).await;
        assert_eq!(counting.take(), (2, 8), "the newest lot's manifest, and the listings of the last days");
    }

    #[tokio::test]
    async fn a_sweep_stops_in_time_and_the_next_begins_where_it_stopped() {
        let stores = Stores::memory().unwrap();
        let names: Vec<String> = (0..3 * LISTED_AT_ONCE).map(|n| format!("arc{n:02}")).collect();
        let convert = |name: &String| deployed(name, LotUnit::Hours, ("in", LotUnit::Hours), &[name.as_str()]);
        let function = function(&stores, names.iter().map(convert).collect(), Jobs::default());
        commit(&stores, "in", hour(1), 1, &[]).await;
        let deadline = now() + TimeDelta::seconds(120);
        let sweep = async || {
            // Time is up when jobs of the third arcs that are listed together are being submitted.
            let asked = AtomicUsize::new(0);
            let late = move || if asked.fetch_add(1, Ordering::SeqCst) < 12 { now() } else { deadline };
            let done = function.call_until(&json!({"sweep": true}), now(), &Until::new(Arc::new(late), deadline)).await.unwrap();
            let arcs = done["submitted"].as_array().unwrap().iter().map(|job| job["arc"].as_str().unwrap().to_owned());
            (arcs.collect::<Vec<_>>(), done["left"].clone())
        };
        assert_eq!(sweep().await, (names[..9].to_vec(), json!(3)));
        assert_eq!(sweep().await.0, names[9..]);
    }

    #[tokio::test]
    async fn a_job_that_is_refused_holds_no_other_up_and_is_told() {
        let stores = Stores::memory().unwrap();
        let function = function(&stores, arcs(), Jobs { refused: "20261121PT1H008", ..Jobs::default() });
        for ago in 1..4 {
            commit(&stores, "in", hour(ago), 1, &[]).await;
        }
        let found = function.look_at_all(now(), &Until::never()).await.unwrap();
        assert_eq!((found.jobs.len(), found.already, found.failed.is_some()), (2, 0, true));
        assert!(function.call(&json!({"sweep": true}), now()).await.is_err(), "so that the call counts as failed");
    }

    #[tokio::test]
    async fn a_stale_event_is_left_to_the_sweep_unless_it_is_all_there_is() {
        let stores = Stores::memory().unwrap();
        let function = function(&stores, arcs(), Jobs::default());
        arrive(&stores, &function, hour(1), 1, None).await;
        assert_eq!(function.call(&event(hour(1), 11), now()).await.unwrap(), json!({"left": "to the sweep"}));
        assert_eq!(function.call(&event(hour(1), 9), now()).await.unwrap()["due"], 1);
        let old = 24 * 30;
        arrive(&stores, &function, hour(old), 2, Some(ArcState::Complete)).await;
        assert_eq!(swept(&function).await.len(), 1, "a sweep does not hold it against its source");
        let answer = function.call(&event(hour(old), 11), now()).await.unwrap();
        assert_eq!((answer["due"].as_u64(), answer["submitted"].as_array().map(Vec::len)), (Some(1), Some(1)));
    }
}
