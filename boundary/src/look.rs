//! A look at the stores: an arc and how much of its past flow in, what is there of it flows out. What can be listed and read
//! side by side is; nothing is written.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use futures::future::{try_join, try_join_all};
use futures::{StreamExt, TryStreamExt};
use manifests::{ArcId, ArcSource, ArcSpec, ArcState, DatasetId, Lot, LotEntry, SourceCommit, Stores, paths};

use crate::due::{LastAttempt, Made, View};
use crate::error::BoundaryError;
use crate::facts::{CommitKey, Known};

/// Documents that are read at once.
pub(crate) const READS_AT_ONCE: usize = 64;

/// How much of an arc is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reach {
    /// All of it.
    All,
    /// A lot.
    Lot(Lot),
    /// The lots of the days from the first to the second, which is left out.
    Days(NaiveDate, NaiveDate),
}

/// Lists what is there of arcs.
#[derive(Clone)]
pub(crate) struct Lister {
    pub stores: Stores,
    /// Which arc makes a dataset, of those that are looked at.
    pub producers: Arc<HashMap<DatasetId, ArcId>>,
    /// Whether the owner of an attempt is certainly gone.
    pub is_dead: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

/// What the listings of an arc say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listed {
    sources: Vec<BTreeMap<Lot, u32>>,
    firsts: Vec<Option<Lot>>,
    sinks: Vec<BTreeMap<Lot, LotEntry>>,
    attempts: BTreeMap<Lot, LastAttempt>,
}

/// What a look at the stores found of one arc.
pub(crate) struct Look {
    pub view: View,
    /// Commits whose state copies do not say what they say: whoever announced them died, or was late.
    pub torn: Vec<CommitKey>,
    /// The start of the newest source lot.
    pub newest: Option<DateTime<Utc>>,
    /// Whether all is known that was asked for.
    pub is_whole: bool,
}

impl Lister {
    /// What is there. Attempts are listed before sinks: of a run that ends meanwhile the commit is then seen, if its end is.
    pub async fn list(&self, arc: &ArcSpec, reach: Reach) -> Result<Listed, BoundaryError> {
        let (sources, attempts) = try_join(self.sources(arc, reach), self.attempts(arc, reach)).await?;
        let ids: Vec<DatasetId> = arc.sinks.iter().map(|sink| sink.dataset.id()).collect();
        let sinks = try_join_all(ids.iter().map(|id| async move {
            match reach {
                Reach::All => self.stores.lots(id).await,
                Reach::Lot(lot) => self.stores.lots_within(id, lot, lot).await,
                Reach::Days(first, end) => self.stores.lots_of_days(id, first, end).await,
            }
        }));
        let sinks = async { Ok::<_, BoundaryError>(sinks.await?) };
        let (sinks, firsts) = try_join(sinks, self.firsts(arc, reach, &sources)).await?;
        Ok(Listed { sources, firsts, sinks, attempts })
    }

    /// The lots of the arc's sources, in their order, that are in reach.
    pub async fn sources(&self, arc: &ArcSpec, reach: Reach) -> Result<Vec<BTreeMap<Lot, u32>>, BoundaryError> {
        try_join_all(arc.sources.iter().map(|source| self.source(source, reach))).await
    }

    async fn source(&self, source: &ArcSource, reach: Reach) -> Result<BTreeMap<Lot, u32>, BoundaryError> {
        let id = source.dataset.id();
        let covered = if let Reach::Lot(lot) = reach { lot.covered(source.unit) } else { Vec::new() };
        let mut lots = match (reach, covered.first(), covered.last()) {
            (Reach::Days(first, end), ..) => self.stores.lots_of_days(&id, first, end).await?,
            (Reach::Lot(_), Some(first), Some(last)) => self.stores.lots_within(&id, *first, *last).await?,
            _ => self.stores.lots(&id).await?,
        };
        self.leave_out_unfinished(&id, &mut lots, reach).await?;
        Ok(lots.into_iter().map(|(lot, entry)| (lot, entry.generation)).collect())
    }

    /// The first lots of those sources whose listing begins later than what is looked at: the lots between are missing, or
    /// from before the source's time.
    async fn firsts(&self, arc: &ArcSpec, reach: Reach, sources: &[BTreeMap<Lot, u32>]) -> Result<Vec<Option<Lot>>, BoundaryError> {
        let listed = |place: usize| sources[place].keys().find(|lot| lot.unit() == arc.sources[place].unit);
        let begins = match reach {
            Reach::All => return Ok(Vec::new()),
            Reach::Lot(lot) => Some(lot.start()),
            Reach::Days(..) => {
                let subscribed = (0..sources.len()).filter(|place| arc.sources[*place].subscribe);
                subscribed.filter_map(|place| listed(place)?.covering(arc.unit)).map(Lot::start).min()
            }
        };
        let is_late = |place: usize| begins.is_some_and(|begins| listed(place).is_none_or(|first| first.start() > begins));
        try_join_all(
            (0..sources.len()).map(|place| async move { if is_late(place) { self.first(&arc.sources[place]).await } else { Ok(None) } }),
        )
        .await
    }

    /// The first lot of a source.
    pub async fn first(&self, source: &ArcSource) -> Result<Option<Lot>, BoundaryError> {
        let id = source.dataset.id();
        let mut lots = self.stores.first_lots(&id).await?;
        let days = (lots.keys().map(|lot| lot.day()).min(), lots.keys().map(|lot| lot.day()).max());
        let reach = match days {
            (Some(first), Some(last)) => Reach::Days(first, last.succ_opt().unwrap_or(last)),
            _ => Reach::All,
        };
        self.leave_out_unfinished(&id, &mut lots, reach).await?;
        Ok(lots.into_keys().find(|lot| lot.unit() == source.unit))
    }

    /// Leaves out lots that have state copies alone while the arc that makes them is at work on them, or has failed: what a
    /// user's image writes counts from its commit on.
    async fn leave_out_unfinished(&self, id: &DatasetId, lots: &mut BTreeMap<Lot, LotEntry>, reach: Reach) -> Result<(), BoundaryError> {
        let Some(arc) = self.producers.get(id) else { return Ok(()) };
        let copied: Vec<Lot> = lots.iter().filter(|(_, entry)| entry.generation == 0).map(|(lot, _)| *lot).collect();
        if copied.is_empty() {
            return Ok(());
        }
        let mut states = BTreeMap::new();
        if let Reach::Lot(_) = reach {
            for lot in copied {
                states.extend(self.stores.last_attempt(arc, lot).await?.map(|last| (lot, last.state)));
            }
        } else {
            let last = |states: BTreeMap<u32, ArcState>| states.into_values().next_back();
            states.extend(self.states(arc, reach).await?.into_iter().filter_map(|(lot, states)| Some((lot, last(states)?))));
        }
        let is_over = |state: &ArcState| matches!(state, ArcState::Complete | ArcState::Partial);
        lots.retain(|lot, entry| entry.generation > 0 || states.get(lot).is_none_or(is_over));
        Ok(())
    }

    /// The states of all attempts, from the listing alone.
    async fn states(&self, arc: &ArcId, reach: Reach) -> Result<BTreeMap<Lot, BTreeMap<u32, ArcState>>, BoundaryError> {
        let (store, folder) = (&self.stores.arc_state, paths::arc_dir(arc));
        let paths = match reach {
            Reach::All => store.list(&folder).await?,
            Reach::Lot(lot) => store.list(&paths::arc_lot_dir(arc, lot)).await?,
            Reach::Days(first, end) => store.list_between(&folder, &paths::day(&folder, first), &paths::day(&folder, end)).await?,
        };
        let mut lots: BTreeMap<Lot, BTreeMap<u32, ArcState>> = BTreeMap::new();
        for (_, lot, number, state) in paths.iter().filter_map(paths::parse_attempt_path) {
            let known = lots.entry(lot).or_default().entry(number).or_insert(state);
            // Where a failing store has left two ends of one attempt, the later in the listing counts, as when it is read.
            *known = if state == ArcState::Running { *known } else { state };
        }
        Ok(lots)
    }

    /// Last attempts: of those that succeeded the listing says all there is to know, the others are read.
    async fn attempts(&self, arc: &ArcSpec, reach: Reach) -> Result<BTreeMap<Lot, LastAttempt>, BoundaryError> {
        let listed = futures::stream::iter(self.states(&arc.id, reach).await?);
        let read = listed.map(|(lot, states)| async move { Ok((lot, self.last_attempt(&arc.id, lot, &states).await?)) });
        read.buffer_unordered(READS_AT_ONCE).try_collect().await
    }

    async fn last_attempt(&self, arc: &ArcId, lot: Lot, states: &BTreeMap<u32, ArcState>) -> Result<LastAttempt, BoundaryError> {
        let is_good = |state: &ArcState| matches!(state, ArcState::Complete | ArcState::Partial);
        let failures = u32::try_from(states.values().rev().take_while(|state| !is_good(state)).count()).unwrap_or(u32::MAX);
        let last = if failures == 0 { None } else { self.stores.last_attempt(arc, lot).await? };
        Ok(match last {
            Some(last) => LastAttempt {
                state: last.state,
                until: last.record.until,
                is_dead: last.state == ArcState::Running && (self.is_dead)(&last.record.owner),
                cause: last.record.cause,
                transient: last.record.transient,
                failures,
            },
            None => {
                let state = states.values().next_back().copied().unwrap_or(ArcState::Complete);
                LastAttempt { state, until: lot.end(), cause: None, transient: false, is_dead: false, failures }
            }
        })
    }
}

impl Listed {
    /// The start of the newest source lot.
    pub fn newest(&self) -> Option<DateTime<Utc>> {
        self.sources.iter().filter_map(|lots| lots.keys().next_back().map(|lot| lot.start())).max()
    }

    /// The sinks' latest commits of the lots that are asked for. A state copy alone is another tool's, and does not say what it
    /// was made from: it is taken for up to date.
    pub fn commits(&self, arc: &ArcSpec, is_wanted: impl Fn(Lot) -> bool) -> BTreeSet<CommitKey> {
        let all = self.commits_of_sinks(arc).filter(|(key, _)| is_wanted(key.1));
        all.map(|(key, _)| key).collect()
    }

    fn commits_of_sinks<'a>(&'a self, arc: &'a ArcSpec) -> impl Iterator<Item = (CommitKey, LotEntry)> + 'a {
        let sinks = arc.sinks.iter().zip(&self.sinks).map(|(sink, lots)| (sink.dataset.id(), lots));
        let ours = |entry: &LotEntry| entry.generation > 0;
        sinks.flat_map(move |(id, lots)| {
            let lots = lots.iter().filter(move |(_, entry)| ours(entry));
            lots.map(move |(lot, entry)| ((id.clone(), *lot, entry.generation), *entry))
        })
    }

    /// The look, with what is known of the commits that were asked for.
    pub fn judge(self, arc: &ArcSpec, newest: Option<DateTime<Utc>>, is_whole: bool, known: &Known) -> Look {
        let mut from: BTreeMap<Lot, Vec<Vec<SourceCommit>>> = BTreeMap::new();
        let mut torn = Vec::new();
        for (key, entry) in self.commits_of_sinks(arc) {
            let Some(facts) = known.get(&key) else { continue };
            from.entry(key.1).or_default().push(facts.sources.clone());
            if entry.copies != 1 || entry.state != facts.state {
                torn.push(key);
            }
        }
        let mut sinks: BTreeMap<Lot, usize> = BTreeMap::new();
        self.sinks.iter().flat_map(|lots| lots.keys()).for_each(|lot| *sinks.entry(*lot).or_default() += 1);
        let judged = sinks.into_iter().map(|(lot, sinks)| match from.remove(&lot) {
            _ if sinks != arc.sinks.len() => (lot, Made::Nothing),
            None => (lot, Made::LongAgo),
            Some(from) => (lot, Made::From(from)),
        });
        let made = judged.collect();
        let view = View { sources: self.sources, firsts: self.firsts, made, attempts: self.attempts };
        Look { view, torn, newest, is_whole }
    }
}
