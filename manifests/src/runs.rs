//! The end of a run, the same for every worker: commit each sink, announce, remove what only the old generation had,
//! finish the attempt. Every step can be repeated, so a run that died at any of them is finished by the next attempt.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use object_store::ObjectStoreExt;

use crate::arc::{ArcSpec, MAIN_ROLE, REJECTS_ROLE, RunPlan};
use crate::attempts::Lease;
use crate::bus::Bus;
use crate::dataset::Dataset;
use crate::error::ManifestsError;
use crate::lot::Lot;
use crate::manifest::{Manifest, ManifestObject, NamedType, Receipt, State};
use crate::paths::ArcState;
use crate::store::Stores;

/// What a run wrote to one sink. Its data files are complete and readable before this is published.
#[derive(Clone, Debug, Default)]
pub struct SinkOutput {
    /// The sink's role.
    pub role: String,
    /// `complete`, `empty` or `partial`.
    pub state: State,
    /// Why it is partial, for people.
    pub comment: Option<String>,
    /// The data files, in their order.
    pub objects: Vec<ManifestObject>,
    /// For the main sink, the files of the rejects, whether they have a sink of their own or not.
    pub rejects: Vec<ManifestObject>,
    /// The columns of the data files.
    pub columns: Vec<NamedType>,
}

impl Stores {
    /// The manifests of a run that is published already (all sinks' latest commits were made from exactly
    /// `plan.sources`), in the order of the sinks; `None` where something is left to do. A replay is never published
    /// already.
    pub async fn published_run(&self, arc: &ArcSpec, plan: &RunPlan) -> Result<Option<Vec<Manifest>>, ManifestsError> {
        let mut manifests = Vec::new();
        for sink in &arc.sinks {
            let latest = self.latest(&sink.dataset, plan.lot).await?;
            match latest.filter(|latest| !plan.replay && is_made_from(latest, plan)) {
                Some(latest) => manifests.push(latest),
                None => return Ok(None),
            }
        }
        Ok(Some(manifests))
    }

    /// Commits the sinks of a run in their order (main last). Where the latest commit of a sink says the same already,
    /// it stands. Fails with [`ManifestsError::Committed`] when another run commits something else meanwhile.
    pub async fn commit_run(
        &self,
        arc: &ArcSpec,
        plan: &RunPlan,
        receipt: &Receipt,
        outputs: &[SinkOutput],
    ) -> Result<Vec<Manifest>, ManifestsError> {
        let mut manifests = Vec::new();
        for sink in &arc.sinks {
            let output = outputs.iter().find(|output| output.role == sink.role);
            let manifest = manifest_of(&sink.dataset, plan, receipt, output);
            manifests.push(self.commit_sink(manifest, plan.replay).await?);
        }
        Ok(manifests)
    }

    async fn commit_sink(&self, mut manifest: Manifest, replay: bool) -> Result<Manifest, ManifestsError> {
        let latest = self.latest(&manifest.dataset, manifest.lot_id).await?;
        if let Some(latest) = latest {
            if !replay && latest.is_same_data(&manifest) {
                return Ok(latest);
            }
            manifest.generation = latest.generation + 1;
        }
        match self.commit(&manifest).await {
            Err(ManifestsError::Committed { dataset, lot, generation }) => {
                let theirs = self.read_commit(&manifest.dataset.id(), lot, generation).await?;
                let same = theirs.filter(|theirs| theirs.is_same_data(&manifest));
                same.ok_or(ManifestsError::Committed { dataset, lot, generation })
            }
            done => done.map(|()| manifest),
        }
    }

    /// Commits a manifest of the main sink that goes on from the generation before it, and after it what follows from it.
    /// Fails with [`ManifestsError::Committed`] where that generation is taken; then nothing has changed.
    pub async fn commit_next(&self, arc: &ArcSpec, main: &Manifest) -> Result<Vec<Manifest>, ManifestsError> {
        self.commit(main).await?;
        self.follow_main(arc, main.lot_id).await
    }

    /// Commits for the sink of rejects what the main sink's latest commit says of them, where a later attempt made it; the
    /// one that died between the two is finished by this. Gives the latest commits in the order of the sinks.
    pub async fn follow_main(&self, arc: &ArcSpec, lot: Lot) -> Result<Vec<Manifest>, ManifestsError> {
        let mut latest = Vec::new();
        for sink in &arc.sinks {
            latest.push((sink.role.as_str(), self.latest(&sink.dataset, lot).await?));
        }
        let main = latest.iter().find(|(role, _)| *role == MAIN_ROLE).and_then(|(_, main)| main.clone());
        let mut manifests = Vec::new();
        for (role, found) in latest {
            let Some(found) = found else { continue };
            let next = main.as_ref().filter(|_| role == REJECTS_ROLE).and_then(|main| followed(main, &found));
            if let Some(next) = &next {
                self.commit(next).await?;
            }
            manifests.push(next.unwrap_or(found));
        }
        Ok(manifests)
    }

    /// Writes state copies and events of the manifests, removes the files that only the generation before had, and
    /// finishes the attempt.
    pub async fn settle_run(&self, manifests: &[Manifest], lease: &Lease, bus: &dyn Bus, now: DateTime<Utc>) -> Result<(), ManifestsError> {
        for manifest in manifests {
            self.announce(manifest, bus).await?;
        }
        for manifest in manifests {
            self.remove_replaced(manifest).await?;
        }
        self.remove_uncommitted(manifests, lease).await?;
        let partial = manifests.iter().find(|manifest| manifest.state == State::Partial);
        let state = if partial.is_some() { ArcState::Partial } else { ArcState::Complete };
        self.finish(lease, state, partial.and_then(|manifest| manifest.comment.clone()), false, now).await
    }

    /// Deletes the lot's files of earlier generations that this one does not have; only below the dataset's own path. Of
    /// all of them, since whoever made the one before may have died before it came to this.
    async fn remove_replaced(&self, manifest: &Manifest) -> Result<(), ManifestsError> {
        let (id, lot) = (manifest.dataset.id(), manifest.lot_id);
        let mut kept: BTreeSet<String> = manifest.files().map(|object| object.uri.clone()).chain(manifest.uris.iter().cloned()).collect();
        for generation in (1..manifest.generation).rev() {
            let before = self.read_commit(&id, lot, generation).await?;
            for object in before.iter().flat_map(Manifest::files) {
                if object.uri.starts_with(&manifest.dataset.path_uri) && kept.insert(object.uri.clone()) {
                    self.remove_object(object, lot).await?;
                }
            }
        }
        Ok(())
    }

    /// Deletes what failed attempts said they would make readable, and what no commit lists now.
    async fn remove_uncommitted(&self, manifests: &[Manifest], lease: &Lease) -> Result<(), ManifestsError> {
        let listed: BTreeSet<&str> = manifests.iter().flat_map(Manifest::files).map(|object| object.uri.as_str()).collect();
        for uri in lease.publishes().iter().filter(|uri| !listed.contains(uri.as_str())) {
            let object = ManifestObject { uri: uri.clone(), ..ManifestObject::default() };
            self.remove_object(&object, lease.lot).await?;
        }
        Ok(())
    }

    /// Deletes a file of a lot, unless its name does not hold the lot: such a name, as copies keep it, may be another lot's
    /// by now, and between looking and deleting it may become so. It stays, as what an archive was given does.
    async fn remove_object(&self, object: &ManifestObject, lot: Lot) -> Result<(), ManifestsError> {
        if !object.uri.contains(&lot.to_string()) {
            return Ok(());
        }
        let place = self.objects.locate(&object.uri)?;
        match place.store.delete(&place.path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(ManifestsError::store("delete", &object.uri, error)),
        }
    }
}

/// The next commit of the rejects' dataset, where the main sink's commit is of a later attempt and names other files.
fn followed(main: &Manifest, rejects: &Manifest) -> Option<Manifest> {
    let attempt = |manifest: &Manifest| manifest.receipt.as_ref().map(|receipt| receipt.attempt);
    let uris: Vec<String> = main.rejects.iter().map(|object| object.uri.clone()).collect();
    if attempt(main) <= attempt(rejects) || uris == rejects.uris {
        return None;
    }
    let mut next = Manifest::new(rejects.dataset.clone(), rejects.lot_id, main.rejects.clone());
    next.generation = rejects.generation + 1;
    next.receipt = main.receipt.clone();
    if main.state == State::Partial {
        (next.state, next.comment) = (State::Partial, main.comment.clone());
    }
    Some(next)
}

fn is_made_from(manifest: &Manifest, plan: &RunPlan) -> bool {
    manifest.receipt.as_ref().is_some_and(|receipt| receipt.sources == plan.sources)
}

fn manifest_of(dataset: &Dataset, plan: &RunPlan, receipt: &Receipt, output: Option<&SinkOutput>) -> Manifest {
    let mut manifest = Manifest::new(dataset.clone(), plan.lot, output.map(|output| output.objects.clone()).unwrap_or_default());
    if let Some(output) = output {
        manifest.state = output.state;
        manifest.comment = output.comment.clone();
        manifest.rejects = output.rejects.clone();
        manifest.columns = output.columns.clone();
    }
    manifest.receipt = Some(Receipt { sources: plan.sources.clone(), ..receipt.clone() });
    manifest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arc::ArcSink;
    use crate::bus::MemoryBus;
    use crate::lot::LotUnit;
    use crate::manifest::{Counts, SourceCommit};
    use crate::paths::ArcId;
    use chrono::TimeDelta;

    fn arc() -> ArcSpec {
        let dataset = |name: &str| Dataset { name: name.into(), version: "1".into(), path_uri: format!("memory:///{name}/") };
        let sink = |role: &str| ArcSink { role: role.into(), dataset: dataset(role) };
        ArcSpec {
            id: ArcId { project: "p".into(), version: "1".into(), arc: "a".into() },
            unit: LotUnit::Twelfths,
            sources: vec![],
            sinks: vec![sink("rejects"), sink("main")],
            deadline: None,
            retries: 3,
            kind: "convert".into(),
            workload: serde_json::Value::Null,
        }
    }

    fn plan(generation: u32, replay: bool) -> RunPlan {
        let lot: Lot = "20230717PT5M250".parse().unwrap();
        let dataset = crate::dataset::DatasetId { name: "raw".into(), version: "1".into() };
        RunPlan { lot, sources: vec![SourceCommit { dataset, lot, generation }], replay }
    }

    async fn run(stores: &Stores, plan: &RunPlan, files: &[&str]) -> Vec<Manifest> {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let lease = stores.acquire(&arc().id, plan.lot, "me", now, TimeDelta::zero(), |owner| owner == "dead").await.unwrap();
        let receipt = Receipt { arc: "a".into(), attempt: lease.attempt, sources: vec![], counts: Counts::default(), seconds: 0.5 };
        let mut objects = Vec::new();
        for uri in files {
            let place = stores.objects.locate(uri).unwrap();
            let etag = place.store.put(&place.path, "x".into()).await.unwrap().e_tag;
            objects.push(ManifestObject { uri: uri.to_string(), size: 1, etag, ..ManifestObject::default() });
        }
        let output = SinkOutput { role: "main".into(), state: State::Complete, objects, ..SinkOutput::default() };
        let manifests = stores.commit_run(&arc(), plan, &receipt, &[output]).await.unwrap();
        stores.settle_run(&manifests, &lease, &MemoryBus::default(), now).await.unwrap();
        manifests
    }

    #[tokio::test]
    async fn doing_it_again_changes_nothing_and_a_replay_is_the_next_generation() {
        let stores = Stores::memory().unwrap();
        assert_eq!(stores.published_run(&arc(), &plan(1, false)).await.unwrap(), None);
        let first = run(&stores, &plan(1, false), &["memory:///main/a", "memory:///main/20230717PT5M250-00001"]).await;
        let again = run(&stores, &plan(1, false), &["memory:///main/a", "memory:///main/20230717PT5M250-00001"]).await;
        assert_eq!(first, again);
        assert_eq!(stores.published_run(&arc(), &plan(1, false)).await.unwrap(), Some(first));
        assert_eq!(stores.published_run(&arc(), &plan(2, false)).await.unwrap(), None, "a newer source makes it due");
        let replayed = run(&stores, &plan(1, true), &["memory:///main/a"]).await;
        assert_eq!(replayed.iter().map(|manifest| manifest.generation).collect::<Vec<_>>(), [2, 2]);
        let gone = stores.objects.locate("memory:///main/20230717PT5M250-00001").unwrap();
        assert!(gone.store.head(&gone.path).await.is_err(), "what only generation 1 had is removed");
        stores.objects.locate("memory:///main/a").unwrap().store.put(&"main/a".into(), "another lot's".into()).await.unwrap();
        run(&stores, &plan(1, true), &[]).await;
        let kept = stores.objects.locate("memory:///main/a").unwrap();
        assert!(kept.store.head(&kept.path).await.is_ok());
    }

    #[tokio::test]
    async fn rejects_follow_the_commit_of_the_main_sink() {
        let stores = Stores::memory().unwrap();
        let object = |uri: &str| ManifestObject { uri: uri.into(), size: 1, rows: Some(1), ..ManifestObject::default() };
        let receipt = |attempt| Receipt { arc: "a".into(), attempt, sources: vec![], counts: Counts::default(), seconds: 0.1 };
        let output = |role: &str, objects: &[ManifestObject]| SinkOutput {
            role: role.into(),
            state: State::Complete,
            objects: objects.to_vec(),
            rejects: if role == "main" { vec![object("memory:///rejects/0")] } else { vec![] },
            ..SinkOutput::default()
        };
        let outputs = [output("rejects", &[object("memory:///rejects/0")]), output("main", &[])];
        let first = stores.commit_run(&arc(), &plan(1, false), &receipt(1), &outputs).await.unwrap();
        assert_eq!(stores.follow_main(&arc(), plan(1, false).lot).await.unwrap(), first, "there is nothing to follow");
        let next = Manifest { generation: 2, rejects: vec![], receipt: Some(receipt(2)), ..first[1].clone() };
        // As if it had died right after the first of its two commits.
        stores.commit(&next).await.unwrap();
        let followed = stores.follow_main(&arc(), plan(1, false).lot).await.unwrap();
        assert_eq!((followed[0].generation, followed[0].state, followed[0].uris.len()), (2, State::Empty, 0));
        assert_eq!(stores.follow_main(&arc(), plan(1, false).lot).await.unwrap(), followed);
        stores.commit_next(&arc(), &next).await.expect("the same again is the same");
        let others = Manifest { receipt: Some(receipt(3)), ..next };
        assert!(matches!(stores.commit_next(&arc(), &others).await, Err(ManifestsError::Committed { generation: 2, .. })));
    }

    #[tokio::test]
    async fn what_a_failed_attempt_left_goes() {
        let (stores, lot) = (Stores::memory().unwrap(), plan(1, false).lot);
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let mut lease = stores.acquire(&arc().id, lot, "dead", now, TimeDelta::minutes(1), |_| false).await.unwrap();
        let uris = ["memory:///main/20230717PT5M250-00001", "memory:///main/20230717PT5M250-00002"];
        lease.will_publish(uris.map(str::to_owned));
        stores.renew(&mut lease, now).await.unwrap();
        for uri in uris {
            let place = stores.objects.locate(uri).unwrap();
            place.store.put(&place.path, "x".into()).await.unwrap();
        }
        run(&stores, &plan(1, false), &uris[1..]).await;
        let mut are_there = Vec::new();
        for place in uris.map(|uri| stores.objects.locate(uri).unwrap()) {
            are_there.push(place.store.head(&place.path).await.is_ok());
        }
        assert_eq!(are_there, [false, true]);
        let after = stores.last_attempt(&arc().id, lot).await.unwrap().unwrap();
        assert_eq!((after.number, after.record.publishes.len()), (2, 0));
    }

    #[tokio::test]
    async fn a_run_that_died_between_two_commits_is_finished() {
        let stores = Stores::memory().unwrap();
        let receipt = Receipt { arc: "a".into(), attempt: 1, sources: vec![], counts: Counts::default(), seconds: 0.1 };
        let half = manifest_of(&arc().sinks[0].dataset, &plan(1, false), &receipt, None);
        stores.commit(&half).await.unwrap();
        let manifests = run(&stores, &plan(1, false), &["memory:///main/a"]).await;
        assert_eq!(manifests.iter().map(|manifest| manifest.generation).collect::<Vec<_>>(), [1, 1]);
    }
}
