//! What commits say that does not change: their keys flow in, what they were made from and their states flow out, read side
//! by side and remembered up to a bound.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use manifests::{ArcSpec, DatasetId, Lot, SourceCommit, State, Stores};

use crate::error::BoundaryError;
use crate::look::READS_AT_ONCE;

/// Source commits that are remembered, some 200 bytes each; of commits beyond them each is read again when it is asked for.
const REMEMBERED_MAX: usize = 400_000;
/// Commits that are read before the time is looked at again.
const READS_PER_STEP: usize = 4 * READS_AT_ONCE;

/// A commit: dataset, lot, generation.
pub(crate) type CommitKey = (DatasetId, Lot, u32);

/// What there is to know of a commit.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CommitFacts {
    pub sources: Vec<SourceCommit>,
    pub state: Option<State>,
}

/// What is known of the commits that were asked for; not of all where time ran out.
pub(crate) type Known = HashMap<CommitKey, Arc<CommitFacts>>;

/// What is remembered. Commits never change, so none of it grows old.
#[derive(Debug)]
pub(crate) struct Facts {
    by_dataset: HashMap<DatasetId, HashMap<(Lot, u32), Arc<CommitFacts>>>,
    remembered: usize,
    remembered_max: usize,
}

impl Default for Facts {
    fn default() -> Facts {
        Facts { by_dataset: HashMap::new(), remembered: 0, remembered_max: REMEMBERED_MAX }
    }
}

impl Facts {
    /// What there is to know of these commits, the newest lots read first, until `is_over`.
    pub async fn learn(
        &mut self,
        stores: &Stores,
        wanted: BTreeSet<CommitKey>,
        is_over: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<Known, BoundaryError> {
        let (mut known, mut missing) = (Known::new(), Vec::new());
        for key in wanted {
            match self.by_dataset.get(&key.0).and_then(|lots| lots.get(&(key.1, key.2))) {
                Some(facts) => _ = known.insert(key, facts.clone()),
                None => missing.push(key),
            }
        }
        missing.sort_by_key(|key| std::cmp::Reverse(key.1.start()));
        for step in missing.chunks(READS_PER_STEP) {
            if is_over() {
                break;
            }
            let mut read = futures::stream::iter(step).map(|key| read(stores, key)).buffer_unordered(READS_AT_ONCE);
            while let Some((key, facts)) = read.try_next().await? {
                self.remember(key, &facts);
                known.insert(key.clone(), facts);
            }
        }
        Ok(known)
    }

    fn remember(&mut self, key: &CommitKey, facts: &Arc<CommitFacts>) {
        let weight = weight(facts);
        if self.remembered + weight <= self.remembered_max {
            self.remembered += weight;
            self.by_dataset.entry(key.0.clone()).or_default().insert((key.1, key.2), facts.clone());
        }
    }

    /// Forgets what is older of an arc's sinks.
    pub fn forget(&mut self, arc: &ArcSpec, oldest: DateTime<Utc>) {
        for sink in &arc.sinks {
            let Some(lots) = self.by_dataset.get_mut(&sink.dataset.id()) else { continue };
            lots.retain(|(lot, _), facts| {
                let is_kept = lot.start() >= oldest;
                self.remembered -= if is_kept { 0 } else { weight(facts) };
                is_kept
            });
        }
    }
}

fn weight(facts: &CommitFacts) -> usize {
    1 + facts.sources.len()
}

async fn read<'a>(stores: &Stores, key: &'a CommitKey) -> Result<(&'a CommitKey, Arc<CommitFacts>), BoundaryError> {
    let commit = stores.read_commit(&key.0, key.1, key.2).await?;
    let facts = commit.map_or_else(CommitFacts::default, |commit| CommitFacts {
        sources: commit.receipt.map(|receipt| receipt.sources).unwrap_or_default(),
        state: Some(commit.state),
    });
    Ok((key, Arc::new(facts)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use manifests::{ArcId, ArcSink, Dataset, LotUnit, Manifest};

    #[tokio::test]
    async fn what_is_remembered_is_bounded_and_read_again_where_it_is_not() {
        let (stores, start) = (Stores::memory().unwrap(), "2026-11-21T00:00:00Z".parse::<DateTime<Utc>>().unwrap());
        let dataset = Dataset { name: "out".into(), version: "1".into(), path_uri: "memory:///out/".into() };
        let lots: Vec<Lot> = (0..10).map(|n| Lot::containing(LotUnit::Hours, start + TimeDelta::hours(n))).collect();
        for lot in &lots {
            stores.commit(&Manifest::new(dataset.clone(), *lot, vec![])).await.unwrap();
        }
        let wanted = || lots.iter().map(|lot| (dataset.id(), *lot, 1)).collect::<BTreeSet<CommitKey>>();
        let mut facts = Facts { remembered_max: 4, ..Facts::default() };
        for _ in 0..2 {
            let known = facts.learn(&stores, wanted(), &|| false).await.unwrap();
            assert_eq!((known.len(), facts.remembered), (10, 4));
        }
        assert_eq!(facts.learn(&stores, wanted(), &|| true).await.unwrap().len(), 4, "no time to read");
        let (id, source) = (ArcId { project: "p".into(), version: "1".into(), arc: "a".into() }, Vec::new());
        let sinks = vec![ArcSink { role: "main".into(), dataset: dataset.clone() }];
        let arc = ArcSpec {
            id,
            unit: LotUnit::Hours,
            sources: source,
            sinks,
            deadline: None,
            retries: 0,
            kind: "copy".into(),
            workload: serde_json::Value::Null,
        };
        facts.forget(&arc, start + TimeDelta::days(1));
        assert_eq!(facts.remembered, 0);
        let mut facts = Facts::default();
        facts.learn(&stores, wanted(), &|| false).await.unwrap();
        facts.forget(&arc, lots[7].start());
        assert_eq!(facts.remembered, 3);
    }
}
