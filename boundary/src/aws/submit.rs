//! Runs that are due become jobs: runs flow in, submissions and what came of them flow out. One that fails holds no other up.

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use manifests::{ArcSource, ArcSpec, Dataset, Extent, MAIN_ROLE, SourceCommit, paths};
use serde_json::{Value, json};

use super::batch::{BatchJobs, Submission, Submitted};
use super::dispatch_function::owner;
use super::{DispatchFunction, Until};
use crate::dispatch::{Dispatched, DueRun};
use crate::error::BoundaryError;
use crate::foreign::ForeignRun;

/// Jobs that are submitted at once. AWS Batch takes 50 a second.
const SUBMITS_AT_ONCE: usize = 8;
/// Source manifests by which a job is sized; of a lot that reads more, so many, evenly chosen, stand for the others. A size buys
/// time alone, and a manifest may list hundreds of thousands of objects.
const SIZED_BY_MAX: usize = 16;
/// Manifests of one run that are read at once.
const MANIFESTS_AT_ONCE: usize = 2;

/// What a call found and did.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub dispatched: Dispatched,
    /// Jobs that were submitted: arc, lot, id.
    pub jobs: Vec<Value>,
    /// Runs whose jobs were there.
    pub already: usize,
    /// Runs that there was no time for, by the places of their arcs.
    pub left: Vec<usize>,
    /// The first error; the call fails with it at its end.
    pub failed: Option<BoundaryError>,
}

impl Found {
    /// Tells of an error and goes on.
    pub(super) fn fail(&mut self, what: &str, error: BoundaryError) {
        tracing::warn!("{what}: {error}");
        self.failed.get_or_insert(error);
    }
}

impl DispatchFunction {
    /// Submits the jobs of runs, and adds both to what was found.
    pub(super) async fn submit_all(&self, dispatched: Dispatched, now: DateTime<Utc>, until: &Until, found: &mut Found) {
        let submit = |run| async move { if until.is_over() { None } else { Some(self.submit(run, now).await) } };
        let mut submitted =
            futures::stream::iter(&dispatched.runs).map(submit).buffered(SUBMITS_AT_ONCE).zip(futures::stream::iter(&dispatched.runs));
        while let Some((submitted, run)) = submitted.next().await {
            let (arc, lot) = (&self.specs[run.arc].id.arc, run.plan.lot);
            match submitted {
                None => found.left.push(run.arc),
                Some(Ok(Submitted::Already)) => found.already += 1,
                Some(Ok(Submitted::Job(job))) => found.jobs.push(json!({"arc": arc, "lot": lot.to_string(), "job": job})),
                Some(Err(error)) => found.fail(&format!("arc {arc} on {lot}"), error),
            }
        }
        drop(submitted);
        found.dispatched.empties.extend(dispatched.empties);
        found.dispatched.runs.extend(dispatched.runs);
    }

    /// Submits the job of a run, unless it is there.
    pub(super) async fn submit(&self, run: &DueRun, now: DateTime<Utc>) -> Result<Submitted, BoundaryError> {
        let (arc, spec) = (&self.deployment.arcs[run.arc], &self.specs[run.arc]);
        let Some(jobs) = &self.jobs else { return Ok(Submitted::Already) };
        let name = BatchJobs::name(&arc.name, &run.plan);
        if jobs.is_there(&name, now).await? {
            return Ok(Submitted::Already);
        }
        let (source, bytes) = self.reads(spec, run).await?;
        let job = jobs.submit(&name, &Submission { arc, plan: &run.plan, source, bytes }, now).await?;
        // Its image takes no attempt, so the job has one from the start: without, nobody would know of it but by events.
        if arc.is_foreign {
            ForeignRun { arc: spec, lot: run.plan.lot, owner: &owner(&job), submitted: None }.begin(&self.stores, now).await?;
        }
        Ok(Submitted::Job(job))
    }

    /// The source that a run is told of with the URI of its manifest, and about how many bytes it reads.
    async fn reads<'a>(&self, spec: &'a ArcSpec, run: &DueRun) -> Result<(Option<(&'a Dataset, String)>, u64), BoundaryError> {
        let of = |commit: &'_ SourceCommit| spec.sources.iter().find(|source| source.dataset.id() == commit.dataset);
        let reads: Vec<(&ArcSource, &SourceCommit)> = run.plan.sources.iter().filter_map(|commit| Some((of(commit)?, commit))).collect();
        let told = reads.iter().rposition(|(source, _)| source.role == MAIN_ROLE).unwrap_or(0);
        let extents = futures::stream::iter(sample(reads.len(), told)).map(|place| {
            let (source, commit) = reads[place];
            async move { Ok::<_, BoundaryError>(self.extent(source, commit).await?.map(|extent| (place, extent))) }
        });
        let extents: Vec<Option<(usize, Extent)>> = extents.buffered(MANIFESTS_AT_ONCE).try_collect().await?;
        let extents: Vec<(usize, Extent)> = extents.into_iter().flatten().collect();
        let source = extents.iter().find(|(place, _)| *place == told).or(extents.first()).map(|(place, extent)| {
            let (source, commit) = reads[*place];
            (&source.dataset, self.stores.manifest.uri(&paths::state_copy(&commit.dataset, commit.lot, extent.state)))
        });
        let bytes: u128 = extents.iter().map(|(_, extent)| u128::from(extent.bytes)).sum();
        let all = bytes * reads.len() as u128 / extents.len().max(1) as u128;
        Ok((source, u64::try_from(all).unwrap_or(u64::MAX)))
    }

    async fn extent(&self, source: &ArcSource, commit: &SourceCommit) -> Result<Option<Extent>, BoundaryError> {
        Ok(match commit.generation {
            0 => {
                let manifest = self.stores.latest(&source.dataset, commit.lot).await?;
                manifest.map(|manifest| Extent { state: manifest.state, bytes: manifest.bytes() })
            }
            generation => self.stores.extent(&commit.dataset, commit.lot, generation).await?,
        })
    }
}

/// Places, evenly chosen, of a list so long, with `one` among them.
fn sample(count: usize, one: usize) -> Vec<usize> {
    let chosen = count.min(SIZED_BY_MAX);
    let mut places: Vec<usize> = (0..chosen).map(|n| n * count / chosen).collect();
    if one < count {
        places.push(one);
    }
    places.sort_unstable();
    places.dedup();
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_bounded_even_and_has_what_is_told() {
        assert_eq!(sample(0, 0), [0; 0]);
        assert_eq!(sample(3, 2), [0, 1, 2]);
        let many = sample(288, 287);
        assert_eq!((many.len(), many[1], many[16]), (SIZED_BY_MAX + 1, 18, 287));
    }
}
