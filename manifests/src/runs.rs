//! The end of a run, the same for every worker: commit each sink, announce, remove what only the old generation had,
//! finish the attempt. Every step can be repeated, so a run that died at any of them is finished by the next attempt.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use object_store::ObjectStoreExt;

use crate::arc::{ArcSpec, RunPlan};
use crate::attempts::Lease;
use crate::bus::Bus;
use crate::dataset::Dataset;
use crate::error::ManifestsError;
use crate::lot::Lot;
use crate::manifest::{Manifest, ManifestObject, Receipt, State};
use crate::paths::ArcState;
use crate::store::Stores;

/// What a run wrote to one sink. Its data files are complete and readable before this is published.
#[derive(Clone, Debug)]
pub struct SinkOutput {
    /// The sink's role.
    pub role: String,
    /// `complete`, `empty` or `partial`.
    pub state: State,
    /// Why it is partial, for people.
    pub comment: Option<String>,
    /// The data files, in their order.
    pub objects: Vec<ManifestObject>,
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

    /// Writes state copies and events of the manifests, removes the files that only the generation before had, and
    /// finishes the attempt.
    pub async fn settle_run(&self, manifests: &[Manifest], lease: &Lease, bus: &dyn Bus, now: DateTime<Utc>) -> Result<(), ManifestsError> {
        for manifest in manifests {
            self.announce(manifest, bus).await?;
        }
        for manifest in manifests {
            self.remove_replaced(manifest).await?;
        }
        let partial = manifests.iter().find(|manifest| manifest.state == State::Partial);
        let state = if partial.is_some() { ArcState::Partial } else { ArcState::Complete };
        self.finish(lease, state, partial.and_then(|manifest| manifest.comment.clone()), false, now).await
    }

    /// Deletes the lot's files of earlier generations that this one does not have; only below the dataset's own path. Of
    /// all of them, since whoever made the one before may have died before it came to this.
    async fn remove_replaced(&self, manifest: &Manifest) -> Result<(), ManifestsError> {
        let (id, lot) = (manifest.dataset.id(), manifest.lot_id);
        let mut kept: BTreeSet<String> = manifest.uris.iter().cloned().collect();
        for generation in (1..manifest.generation).rev() {
            let before = self.read_commit(&id, lot, generation).await?;
            for object in before.into_iter().flat_map(|before| before.objects) {
                if object.uri.starts_with(&manifest.dataset.path_uri) && kept.insert(object.uri.clone()) {
                    self.remove_object(&object, lot).await?;
                }
            }
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

fn is_made_from(manifest: &Manifest, plan: &RunPlan) -> bool {
    manifest.receipt.as_ref().is_some_and(|receipt| receipt.sources == plan.sources)
}

fn manifest_of(dataset: &Dataset, plan: &RunPlan, receipt: &Receipt, output: Option<&SinkOutput>) -> Manifest {
    let mut manifest = Manifest::new(dataset.clone(), plan.lot, output.map(|output| output.objects.clone()).unwrap_or_default());
    if let Some(output) = output {
        manifest.state = output.state;
        manifest.comment = output.comment.clone();
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
        let lease = stores.acquire(&arc().id, plan.lot, "me", now, TimeDelta::zero(), |_| false).await.unwrap();
        let receipt = Receipt { arc: "a".into(), attempt: lease.attempt, sources: vec![], counts: Counts::default(), seconds: 0.5 };
        let mut objects = Vec::new();
        for uri in files {
            let place = stores.objects.locate(uri).unwrap();
            let etag = place.store.put(&place.path, "x".into()).await.unwrap().e_tag;
            objects.push(ManifestObject { uri: uri.to_string(), size: 1, etag, ..ManifestObject::default() });
        }
        let output = SinkOutput { role: "main".into(), state: State::Complete, comment: None, objects };
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
    async fn a_run_that_died_between_two_commits_is_finished() {
        let stores = Stores::memory().unwrap();
        let receipt = Receipt { arc: "a".into(), attempt: 1, sources: vec![], counts: Counts::default(), seconds: 0.1 };
        let half = manifest_of(&arc().sinks[0].dataset, &plan(1, false), &receipt, None);
        stores.commit(&half).await.unwrap();
        let manifests = run(&stores, &plan(1, false), &["memory:///main/a"]).await;
        assert_eq!(manifests.iter().map(|manifest| manifest.generation).collect::<Vec<_>>(), [1, 1]);
    }
}
