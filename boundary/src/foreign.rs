//! Runs of a user's image, which knows neither attempts nor commits. The job that was started and the manifests that it left
//! (state copies) flow in; an attempt, and commits with receipts, flow out, so that everything downstream goes on as after
//! a run of our own. Whoever hears of the job's end does this, by an event or by a sweep: the second finds it done.
//!
//! Invariants: what an image writes counts when its job has succeeded, and not before; a run that ended well has a commit for
//! every sink, or the lot has failed; a receipt names source commits only where they are known to be those that were read.

use std::cmp::Reverse;

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt};
use manifests::paths::{self, ManifestPath};
use manifests::{
    ArcSink, ArcSpec, ArcState, Bus, Counts, Lot, ManifestObject, ManifestsError, Receipt, RunPlan, SinkOutput, State, StateCopy, Stores,
    UriType,
};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use crate::error::BoundaryError;

/// How long the attempt of a job is its own without a sign of life, in hours. A sweep asks after jobs and prolongs it.
pub(crate) const LEASE_HOURS: i64 = 24;
/// Objects looked at at a time.
const OBJECTS_IN_FLIGHT: usize = 32;
/// Objects that a comment names one by one.
const NAMED_MAX: usize = 3;

/// A job of a user's image, on a lot of an arc.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ForeignRun<'a> {
    /// The arc.
    pub arc: &'a ArcSpec,
    /// The lot.
    pub lot: Lot,
    /// The job, as leases name it.
    pub owner: &'a str,
    /// When it was submitted, where that is known.
    pub submitted: Option<DateTime<Utc>>,
}

/// What came of a job that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Adopted {
    /// What it left is committed.
    Committed(ArcState),
    /// Its attempt was over already.
    Over,
    /// What it left is no result; why, for people.
    Useless(String),
}

impl ForeignRun<'_> {
    /// Takes the attempt of the job, unless it has one, or a later one has begun since it was submitted.
    pub(crate) async fn begin(&self, stores: &Stores, now: DateTime<Utc>) -> Result<(), BoundaryError> {
        let last = stores.last_attempt(&self.arc.id, self.lot).await?;
        let is_late = |started: DateTime<Utc>| self.submitted.is_some_and(|submitted| submitted < started);
        if last.is_some_and(|last| last.record.owner == self.owner || is_late(last.record.started)) {
            return Ok(());
        }
        match stores.acquire(&self.arc.id, self.lot, self.owner, now, TimeDelta::hours(LEASE_HOURS), |_| false).await {
            Ok(_) | Err(ManifestsError::Leased { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps the attempt of a job that goes on, where half of its lease is over.
    pub(crate) async fn prolong(&self, stores: &Stores, until: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), BoundaryError> {
        let length = TimeDelta::hours(LEASE_HOURS);
        if until - now > length / 2 {
            return Ok(());
        }
        match stores.lease_of(&self.arc.id, self.lot, self.owner, length).await? {
            Some(mut lease) => Ok(stores.renew(&mut lease, now).await?),
            None => Ok(()),
        }
    }

    /// Commits what the job left, as made from the sources of `plan`, announces it and ends the attempt. `seconds` is what the
    /// job took.
    pub(crate) async fn adopt(
        &self,
        stores: &Stores,
        bus: &dyn Bus,
        plan: &RunPlan,
        seconds: f64,
        now: DateTime<Utc>,
    ) -> Result<Adopted, BoundaryError> {
        let length = TimeDelta::hours(LEASE_HOURS);
        let Some(lease) = stores.lease_of(&self.arc.id, self.lot, self.owner, length).await? else { return Ok(Adopted::Over) };
        let mut outputs = Vec::new();
        for sink in &self.arc.sinks {
            let left = match left_in(stores, sink, self.lot).await {
                Err(BoundaryError::Manifests(error @ ManifestsError::Document { .. })) => return Ok(Adopted::Useless(error.to_string())),
                left => left?,
            };
            outputs.push((left.is_some(), output(stores, sink, left).await?));
        }
        if !outputs.iter().any(|(is_left, _)| *is_left) {
            return Ok(Adopted::Useless("the job succeeded and wrote no manifest".to_owned()));
        }
        let outputs: Vec<SinkOutput> = outputs.into_iter().map(|(_, output)| output).collect();
        let counts = counts(stores, plan, &outputs).await?;
        let receipt = Receipt { arc: self.arc.id.arc.clone(), attempt: lease.attempt, sources: plan.sources.clone(), counts, seconds };
        let manifests = stores.commit_run(self.arc, plan, &receipt, &outputs).await?;
        stores.settle_run(&manifests, &lease, bus, now).await?;
        let is_partial = manifests.iter().any(|manifest| manifest.state == State::Partial);
        Ok(Adopted::Committed(if is_partial { ArcState::Partial } else { ArcState::Complete }))
    }
}

/// The plan that a job was started for, seen from its end: `now` where that is still the plan. Else a source has changed while
/// it ran, and nobody knows what it read: the receipt then names no generation, so that the lot is due again.
pub(crate) fn plan_read(now: RunPlan, is_still: bool) -> RunPlan {
    let mut plan = now;
    plan.sources.iter_mut().filter(|_| !is_still).for_each(|source| source.generation = 0);
    plan
}

/// The manifest of a sink's lot that a job left: the newest that is not ours. Ours of an earlier generation where there is no
/// other: the job wrote the same again, or left it as it was.
async fn left_in(stores: &Stores, sink: &ArcSink, lot: Lot) -> Result<Option<StateCopy>, BoundaryError> {
    let folder = paths::lot_dir(&sink.dataset.id(), lot);
    let mut copies = Vec::new();
    let mut generation = 0;
    for path in stores.manifest.list(&folder).await? {
        match paths::parse_manifest_path(&path) {
            Some(ManifestPath::StateCopy(..)) => copies.extend(read_copy(stores, path.as_ref(), lot).await?),
            Some(ManifestPath::Commit(_, _, found)) => generation = generation.max(found),
            None => {}
        }
    }
    let ours = stores.read_commit(&sink.dataset.id(), lot, generation).await?.map(|commit| commit.state_copy());
    let rank = |(copy, written): &(StateCopy, DateTime<Utc>)| (Some(copy) != ours.as_ref(), *written, Reverse(copy.state));
    Ok(copies.into_iter().max_by_key(rank).map(|(copy, _)| copy))
}

async fn read_copy(stores: &Stores, path: &str, lot: Lot) -> Result<Option<(StateCopy, DateTime<Utc>)>, BoundaryError> {
    let Some((body, written)) = stores.manifest.get_dated(path).await? else { return Ok(None) };
    let wrong = |reason| ManifestsError::Document { path: stores.manifest.uri(path), what: "a manifest", reason };
    let copy: StateCopy = serde_json::from_slice(&body).map_err(|error| wrong(error.to_string()))?;
    match copy.lot_id == lot {
        true => Ok(Some((copy, written))),
        false => Err(wrong(format!("it is of lot {}, not of {lot}", copy.lot_id)).into()),
    }
}

/// What a sink gets by the manifest that was left for it. Without one nobody can say whether it is empty: it is partial then.
async fn output(stores: &Stores, sink: &ArcSink, left: Option<StateCopy>) -> Result<SinkOutput, BoundaryError> {
    let role = sink.role.clone();
    let Some(copy) = left else {
        let comment = Some(format!("the job wrote no manifest for sink `{role}`"));
        return Ok(SinkOutput { role, state: State::Partial, comment, ..SinkOutput::default() });
    };
    let (mut objects, mut missing) = (Vec::new(), Vec::new());
    let uris = copy.uris.iter().filter(|_| matches!(copy.state, State::Complete | State::Partial));
    let found = futures::stream::iter(uris.map(|uri| found(stores, copy.uri_type, uri))).buffered(OBJECTS_IN_FLIGHT);
    let found: Vec<Found> = found.try_collect().await?;
    for found in found {
        match found {
            Found::Objects(more) => objects.extend(more),
            Found::Missing(uri) => missing.push(uri),
        }
    }
    let told = told(&missing);
    let state = if told.is_some() { State::Partial } else { copy.state };
    let comment = [copy.comment, told].into_iter().flatten().collect::<Vec<_>>().join("; ");
    Ok(SinkOutput { role, state, comment: (!comment.is_empty()).then_some(comment), objects, ..SinkOutput::default() })
}

fn told(missing: &[String]) -> Option<String> {
    let named = missing.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    match missing.len() {
        0 => None,
        count if count > NAMED_MAX => Some(format!("the job lists objects that are not there: {named} and {} more", count - NAMED_MAX)),
        _ => Some(format!("the job lists objects that are not there: {named}")),
    }
}

/// What there is at a URI of a manifest.
enum Found {
    Objects(Vec<ManifestObject>),
    Missing(String),
}

/// Looks. What may not be looked at, or lies where nobody here can look, is taken as the manifest has it, its size unknown.
async fn found(stores: &Stores, kind: UriType, uri: &str) -> Result<Found, BoundaryError> {
    let unseen = || Found::Objects(vec![ManifestObject { uri: uri.to_owned(), ..ManifestObject::default() }]);
    let looked = match kind {
        UriType::Identifier => {
            let Ok(place) = stores.objects.locate(uri) else { return Ok(unseen()) };
            place.store.head(&place.path).await.map(|meta| vec![object(uri.to_owned(), meta)])
        }
        UriType::Path | UriType::Prefix => {
            let folder = uri.rsplit_once('/').map_or(uri, |(folder, _)| folder);
            let Ok(place) = stores.objects.locate(folder) else { return Ok(unseen()) };
            let root = folder.strip_suffix(place.path.as_ref()).unwrap_or(folder);
            let listed: object_store::Result<Vec<ObjectMeta>> = place.store.list(Some(&place.path)).try_collect().await;
            let named = |meta: ObjectMeta| object(format!("{root}{}", meta.location), meta);
            listed.map(|listed| listed.into_iter().map(named).filter(|object| object.uri.starts_with(uri)).collect())
        }
    };
    match looked {
        Ok(objects) => Ok(Found::Objects(objects)),
        Err(object_store::Error::NotFound { .. }) => Ok(Found::Missing(uri.to_owned())),
        Err(error) if manifests::is_transient(&error) => Err(BoundaryError::Listing { uri: uri.to_owned(), source: error }),
        Err(_) => Ok(unseen()),
    }
}

fn object(uri: String, meta: ObjectMeta) -> ManifestObject {
    ManifestObject { uri, size: meta.size, etag: meta.e_tag, version_id: meta.version, ..ManifestObject::default() }
}

/// Objects and bytes, as far as manifests tell; of lines nobody knows.
async fn counts(stores: &Stores, plan: &RunPlan, outputs: &[SinkOutput]) -> Result<Counts, BoundaryError> {
    let mut counts = Counts::default();
    for commit in plan.sources.iter().filter(|commit| commit.generation > 0) {
        let source = stores.read_commit(&commit.dataset, commit.lot, commit.generation).await?;
        counts.objects += source.as_ref().map_or(0, |source| source.objects.len() as u64);
        counts.bytes_in += source.as_ref().map_or(0, manifests::Manifest::bytes);
    }
    counts.bytes_out = outputs.iter().flat_map(|output| &output.objects).map(|object| object.size).sum();
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::dispatch::{Dispatcher, DueRun, Worker};
    use crate::due::Why;
    use expect_test::{Expect, expect};
    use manifests::{ArcId, ArcSource, Dataset, LotUnit, Manifest, MemoryBus};

    const OWNER: &str = "batch/job-1";

    fn dataset(name: &str) -> Dataset {
        Dataset { name: name.into(), version: "1".into(), path_uri: format!("memory:///{name}/") }
    }

    fn arc(name: &str, source: &str, sinks: &[(&str, &str)]) -> ArcSpec {
        let sink = |(role, name): &(&str, &str)| ArcSink { role: role.to_string(), dataset: dataset(name) };
        ArcSpec {
            id: ArcId { project: "p".into(), version: "1".into(), arc: name.into() },
            unit: LotUnit::Twelfths,
            sources: vec![ArcSource { role: "main".into(), dataset: dataset(source), unit: LotUnit::Twelfths, subscribe: true }],
            sinks: sinks.iter().map(sink).collect(),
            deadline: None,
            retries: 1,
            kind: "exec".into(),
            workload: serde_json::Value::Null,
        }
    }

    /// A user's image that writes two datasets, and an arc of our own that reads one of them.
    fn arcs() -> [ArcSpec; 2] {
        [arc("image", "in", &[("side", "side"), ("main", "out")]), arc("after", "out", &[("main", "last")])]
    }

    fn at(minute: i64) -> DateTime<Utc> {
        "2026-11-21T10:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minute)
    }

    fn lot() -> Lot {
        Lot::containing(LotUnit::Twelfths, at(0))
    }

    struct Lake {
        stores: Stores,
        bus: Arc<MemoryBus>,
        dispatcher: Dispatcher,
    }

    impl Lake {
        async fn new() -> Lake {
            let (stores, bus) = (Stores::memory().unwrap(), Arc::new(MemoryBus::default()));
            let dispatcher = Dispatcher::new(stores.clone(), bus.clone()).await.unwrap();
            let lake = Lake { stores, bus, dispatcher };
            lake.arrive(1).await;
            lake
        }

        async fn arrive(&self, generation: u32) {
            let object = |n: u32| ManifestObject { uri: format!("memory:///in/{n}"), size: 5, ..ManifestObject::default() };
            let manifest = Manifest { generation, ..Manifest::new(dataset("in"), lot(), (0..generation).map(object).collect()) };
            self.stores.commit(&manifest).await.unwrap();
            self.stores.announce(&manifest, self.bus.as_ref()).await.unwrap();
        }

        async fn due(&mut self, minute: i64) -> Vec<DueRun> {
            let worker = Worker { owner: "me".into(), lease: TimeDelta::minutes(1), is_dead: Arc::new(|_| false) };
            self.dispatcher.pass(&arcs(), at(minute), &worker).await.unwrap().runs
        }

        /// What the image writes: an object, and a manifest that lists it.
        async fn write(&self, name: &str, path: &str, state: &str, uris: &[&str]) {
            for uri in uris.iter().filter(|uri| !uri.ends_with("gone")) {
                let place = self.stores.objects.locate(uri).unwrap();
                place.store.put(&place.path, "12345678".into()).await.unwrap();
            }
            let copy =
                serde_json::json!({"state": state, "comment": null, "lotId": lot().to_string(), "uriType": "identifier", "uris": uris});
            let path = format!("{}/{path}", paths::lot_dir(&dataset(name).id(), lot()));
            self.stores.manifest.put(&path, copy.to_string()).await.unwrap();
        }

        async fn begin(&self, owner: &str, minute: i64) {
            run(&arcs()[0], owner).begin(&self.stores, at(minute)).await.unwrap();
        }

        async fn adopt(&mut self, owner: &str, is_still: bool, minute: i64) -> Adopted {
            let arc = &arcs()[0];
            let plan = plan_read(self.dispatcher.plan(arc, lot()).await.unwrap().unwrap(), is_still);
            run(arc, owner).adopt(&self.stores, self.bus.as_ref(), &plan, 1.5, at(minute)).await.unwrap()
        }

        async fn check(&self, name: &str, expect: Expect) {
            let latest = self.stores.latest(&dataset(name), lot()).await.unwrap().unwrap();
            let from: Vec<u32> = latest.receipt.iter().flat_map(|receipt| &receipt.sources).map(|source| source.generation).collect();
            let (state, comment, bytes) = (latest.state, latest.comment.clone().unwrap_or_default(), latest.bytes());
            expect.assert_eq(&format!("{}: {state} {bytes} bytes from {from:?} {comment}", latest.generation));
        }
    }

    fn run<'a>(arc: &'a ArcSpec, owner: &'a str) -> ForeignRun<'a> {
        ForeignRun { arc, lot: lot(), owner, submitted: None }
    }

    fn names(runs: &[DueRun]) -> Vec<(usize, Why)> {
        runs.iter().map(|run| (run.arc, run.why)).collect()
    }

    const COPY: &str = "state=complete/manifest.json";

    #[tokio::test]
    async fn what_an_image_writes_counts_when_its_job_has_succeeded_and_follows_its_sources() {
        let mut lake = Lake::new().await;
        assert_eq!(names(&lake.due(10).await), [(0, Why::New)]);
        lake.begin(OWNER, 11).await;
        lake.write("out", COPY, "complete", &["memory:///out/a"]).await;
        lake.write("side", "state=empty/manifest.json", "empty", &[]).await;
        assert_eq!(names(&lake.due(12).await), [], "nothing reads it before the job is over");
        assert_eq!(lake.adopt(OWNER, true, 13).await, Adopted::Committed(ArcState::Complete));
        lake.check("out", expect!["1: complete 8 bytes from [1] "]).await;
        lake.check("side", expect!["1: empty 0 bytes from [1] "]).await;
        let due = lake.due(14).await;
        assert_eq!((names(&due), due[0].plan.sources[0].generation), (vec![(1, Why::New)], 1));
        assert_eq!(lake.adopt(OWNER, true, 15).await, Adopted::Over, "the event comes twice");
        lake.arrive(2).await;
        assert_eq!(names(&lake.due(16).await), [(0, Why::Newer), (1, Why::New)]);
        lake.begin("batch/job-2", 17).await;
        lake.write("out", COPY, "complete", &["memory:///out/a", "memory:///out/b"]).await;
        assert_eq!(lake.adopt("batch/job-2", true, 18).await, Adopted::Committed(ArcState::Complete));
        lake.check("out", expect!["2: complete 16 bytes from [2] "]).await;
        lake.check("side", expect!["2: empty 0 bytes from [2] "]).await;
        assert_eq!(names(&lake.due(19).await), [(1, Why::New)]);
    }

    #[tokio::test]
    async fn a_sink_without_manifest_is_partial_and_the_lot_is_not_run_for_ever() {
        let mut lake = Lake::new().await;
        lake.begin(OWNER, 11).await;
        lake.write("out", COPY, "complete", &["memory:///out/a", "memory:///out/gone"]).await;
        assert_eq!(lake.adopt(OWNER, true, 13).await, Adopted::Committed(ArcState::Partial));
        lake.check("side", expect!["1: partial 0 bytes from [1] the job wrote no manifest for sink `side`"]).await;
        lake.check("out", expect!["1: partial 8 bytes from [1] the job lists objects that are not there: memory:///out/gone"]).await;
        assert_eq!(names(&lake.due(60).await), [(1, Why::New)]);
        let last = lake.stores.last_attempt(&arcs()[0].id, lot()).await.unwrap().unwrap();
        assert_eq!((last.number, last.state), (1, ArcState::Partial));
    }

    #[tokio::test]
    async fn what_is_no_result_commits_nothing() {
        let mut lake = Lake::new().await;
        lake.begin(OWNER, 11).await;
        assert_eq!(lake.adopt(OWNER, true, 12).await, Adopted::Useless("the job succeeded and wrote no manifest".into()));
        let copy = format!("{}/{COPY}", paths::lot_dir(&dataset("out").id(), lot()));
        lake.stores.manifest.put(&copy, "{").await.unwrap();
        let Adopted::Useless(cause) = lake.adopt(OWNER, true, 13).await else { panic!() };
        assert!(cause.contains("does not read as a manifest"), "{cause}");
        assert!(lake.stores.lots(&dataset("side").id()).await.unwrap().is_empty());
        lake.stores.end_attempt(&arcs()[0].id, lot(), OWNER, ArcState::Missing, Some(cause), false, at(14)).await.unwrap();
        assert_eq!(names(&lake.due(60).await), [], "what it left is nobody's to read, and it is not run again by itself");
    }

    #[tokio::test]
    async fn a_source_that_changed_meanwhile_makes_the_lot_due_again() {
        let mut lake = Lake::new().await;
        lake.begin(OWNER, 11).await;
        lake.arrive(2).await;
        lake.write("out", COPY, "complete", &["memory:///out/a"]).await;
        lake.write("side", COPY, "complete", &["memory:///side/a"]).await;
        assert_eq!(lake.adopt(OWNER, false, 13).await, Adopted::Committed(ArcState::Complete));
        lake.check("out", expect!["1: complete 8 bytes from [0] "]).await;
        assert_eq!(names(&lake.due(14).await), [(0, Why::Newer), (1, Why::New)]);
    }

    #[tokio::test]
    async fn the_newest_manifest_counts_and_the_others_go() {
        let mut lake = Lake::new().await;
        lake.begin(OWNER, 11).await;
        lake.write("side", "state=partial/attempt=1/manifest.json", "partial", &["memory:///side/a"]).await;
        lake.write("out", "state=partial/attempt=1/manifest.json", "partial", &["memory:///out/a"]).await;
        lake.write("out", COPY, "complete", &["memory:///out/a", "memory:///out/b"]).await;
        assert_eq!(lake.adopt(OWNER, true, 13).await, Adopted::Committed(ArcState::Partial));
        lake.check("out", expect!["1: complete 16 bytes from [1] "]).await;
        let copies = |name: &str| (lake.stores.clone(), dataset(name).id());
        for (stores, id) in ["out", "side"].map(copies) {
            assert_eq!(stores.lots(&id).await.unwrap()[&lot()].copies, 1, "{id}");
        }
    }

    #[tokio::test]
    async fn who_died_between_commit_and_end_is_followed_by_the_next() {
        let mut lake = Lake::new().await;
        lake.begin(OWNER, 11).await;
        lake.write("out", COPY, "complete", &["memory:///out/a"]).await;
        lake.write("side", COPY, "complete", &["memory:///side/a"]).await;
        lake.adopt(OWNER, true, 13).await;
        let end = paths::attempt(&arcs()[0].id, lot(), 1, ArcState::Complete);
        lake.stores.arc_state.delete(&end).await.unwrap();
        assert_eq!(lake.adopt(OWNER, true, 14).await, Adopted::Committed(ArcState::Complete));
        lake.check("out", expect!["1: complete 8 bytes from [1] "]).await;
    }

    #[tokio::test]
    async fn an_attempt_is_taken_once_prolonged_and_not_by_a_job_of_the_past() {
        let lake = Lake::new().await;
        let arc = &arcs()[0];
        for minute in [11, 12] {
            lake.begin(OWNER, minute).await;
        }
        let day = TimeDelta::hours(LEASE_HOURS);
        let until = at(11) + day;
        run(arc, OWNER).prolong(&lake.stores, until, at(20)).await.unwrap();
        let last = || async { lake.stores.last_attempt(&arc.id, lot()).await.unwrap().unwrap() };
        assert_eq!(last().await.record.until, until);
        let later = until - TimeDelta::hours(1);
        run(arc, OWNER).prolong(&lake.stores, until, later).await.unwrap();
        assert_eq!((last().await.number, last().await.record.until), (1, later + day));
        lake.stores.end_attempt(&arc.id, lot(), OWNER, ArcState::Complete, None, false, later).await.unwrap();
        let stale = ForeignRun { submitted: Some(at(5)), ..run(arc, "batch/job-0") };
        stale.begin(&lake.stores, later).await.unwrap();
        assert_eq!(last().await.number, 1);
    }
}
