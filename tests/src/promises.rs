//! The promises of the design, held against what a lake holds at a quiet moment: stores, boundaries and arcs flow in; what is
//! broken flows out, nothing if all is well. Looks at the stores alone, and computes what must be there by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures::TryStreamExt;
use manifests::{ArcSource, ArcSpec, ArcState, Dataset, Lot, Manifest, SourceCommit, State, Stores, paths};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

/// A promise of the design that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// 1 to 7.
    pub promise: u8,
    /// What was seen.
    pub seen: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "promise {}: {}", self.promise, self.seen)
    }
}

/// What tells one content of one object from all others: its URI and its etag.
pub type Identity = (String, Option<String>);

/// What a boundary's commits must hold.
#[derive(Clone, Debug)]
pub enum Arrived {
    /// What lies below the dataset's path.
    There,
    /// What notifications told of, and how often it was written: each content once at least, and once a time it was written
    /// at most.
    Told(BTreeMap<Identity, usize>),
}

/// A lake.
pub struct Lake<'a> {
    /// Its stores, as they are.
    pub stores: &'a Stores,
    /// The datasets of its boundaries.
    pub boundaries: Vec<(&'a Dataset, Arrived)>,
    /// Its arcs.
    pub arcs: &'a [ArcSpec],
    /// Whether objects are replaced by others of the same name; what files are there then says nothing.
    pub replaces: bool,
    /// Whether objects go away. What a copy without its source leaves is then known to nobody.
    pub removes: bool,
}

fn broken(promise: u8, seen: String) -> Vec<Broken> {
    vec![Broken { promise, seen }]
}

impl Lake<'_> {
    /// All that is broken.
    pub async fn check(&self) -> Vec<Broken> {
        let mut found = Vec::new();
        for (dataset, arrived) in &self.boundaries {
            let commits = self.latest(dataset).await;
            found.extend(self.arrivals(dataset, arrived, &commits).await);
            found.extend(gaps(&commits));
            found.extend(self.copies(&commits).await);
        }
        for arc in self.arcs {
            found.extend(self.arc(arc).await);
        }
        found
    }

    /// The latest commits of a dataset, in order.
    pub async fn latest(&self, dataset: &Dataset) -> Vec<Manifest> {
        let mut commits = Vec::new();
        for (lot, _) in self.stores.lots(&dataset.id()).await.unwrap_or_default() {
            commits.extend(self.stores.latest(dataset, lot).await.ok().flatten());
        }
        commits
    }

    /// What lies below a dataset's path, by URI.
    async fn there(&self, dataset: &Dataset) -> BTreeMap<String, ObjectMeta> {
        let Ok(place) = self.stores.objects.locate(dataset.path_uri.trim_end_matches('/')) else { return BTreeMap::new() };
        let listed: Vec<ObjectMeta> = place.store.list(Some(&place.path)).try_collect().await.unwrap_or_default();
        let folder = format!("{}/", place.path);
        let uri = |meta: &ObjectMeta| Some(format!("{}{}", dataset.path_uri, meta.location.as_ref().strip_prefix(&folder)?));
        listed.into_iter().filter_map(|meta| Some((uri(&meta)?, meta))).collect()
    }

    /// Promises 1 and 2: what arrived is in one commit, and nothing is in two.
    async fn arrivals(&self, dataset: &Dataset, arrived: &Arrived, commits: &[Manifest]) -> Vec<Broken> {
        let mut times: BTreeMap<Identity, usize> = BTreeMap::new();
        for object in commits.iter().flat_map(|commit| &commit.objects) {
            *times.entry((object.uri.clone(), object.etag.clone())).or_default() += 1;
        }
        let (there, told) = match arrived {
            Arrived::There => (self.there(dataset).await.into_iter().map(|(uri, meta)| (uri, meta.e_tag)).collect(), None),
            Arrived::Told(told) => (told.keys().cloned().collect::<Vec<_>>(), Some(told)),
        };
        let lost = there.iter().filter(|object| !times.contains_key(*object));
        let mut found: Vec<Broken> = lost.flat_map(|object| broken(1, format!("{object:?} is in no commit"))).collect();
        for (object, times) in &times {
            let most = told.map_or(1, |told| told.get(object).copied().unwrap_or(0));
            if *times > most {
                found.extend(broken(2, format!("{object:?} is in {times} commits and was written {most} times")));
            }
        }
        found.extend(told.is_some().then(|| repeated(commits)).into_iter().flatten());
        found
    }

    /// A lot has one state copy, and it says what the commit says (promise 3).
    async fn copies(&self, commits: &[Manifest]) -> Vec<Broken> {
        let mut found = Vec::new();
        for commit in commits {
            let folder = paths::lot_dir(&commit.dataset.id(), commit.lot_id);
            let listed = self.stores.manifest.list(&folder).await.unwrap_or_default();
            let copies: Vec<_> = listed.iter().filter(|path| path.as_ref().contains("/state=")).collect();
            let expected = format!("state={}/manifest.json", commit.state);
            if copies.len() != 1 || !copies[0].as_ref().ends_with(&expected) {
                found.extend(broken(3, format!("{folder} has copies {copies:?}, not {expected}")));
            }
        }
        found
    }

    /// Promises 4, 5 and 7: every lot that could be made was, from the latest sources, finished, its lines are accounted
    /// for, and its files are all there are.
    async fn arc(&self, arc: &ArcSpec) -> Vec<Broken> {
        let (mut found, expected) = (Vec::new(), self.expected(arc).await);
        for sink in &arc.sinks {
            let commits = self.latest(&sink.dataset).await;
            found.extend(self.copies(&commits).await);
            found.extend(commits.iter().flat_map(unbalanced));
            for (lot, sources) in &expected {
                let made = commits.iter().find(|commit| commit.lot_id == *lot);
                if made.and_then(|made| made.receipt.as_ref()).map(|receipt| &receipt.sources) != Some(sources) {
                    found.extend(broken(5, format!("{} of {} was not made from {sources:?}", lot, sink.dataset.name)));
                }
            }
            if !self.replaces {
                found.extend(self.files(&sink.dataset, &commits).await);
            }
        }
        for lot in expected.keys() {
            let attempt = self.stores.last_attempt(&arc.id, *lot).await.ok().flatten().map(|attempt| attempt.state);
            if !matches!(attempt, Some(ArcState::Complete | ArcState::Partial)) {
                found.extend(broken(5, format!("{} of {} was left {attempt:?}", lot, arc.id.arc)));
            }
        }
        found
    }

    /// The lots of an arc whose sources are all there, and those sources.
    async fn expected(&self, arc: &ArcSpec) -> BTreeMap<Lot, Vec<SourceCommit>> {
        let mut sources: Vec<(&ArcSource, BTreeMap<Lot, u32>)> = Vec::new();
        for source in &arc.sources {
            let lots = self.stores.lots(&source.dataset.id()).await.unwrap_or_default();
            sources.push((source, lots.into_iter().map(|(lot, entry)| (lot, entry.generation)).collect()));
        }
        let lots: BTreeSet<Lot> = sources.iter().flat_map(|(_, lots)| lots.keys()).filter_map(|lot| lot.covering(arc.unit)).collect();
        lots.into_iter().filter_map(|lot| Some((lot, commits_for(lot, &sources)?))).collect()
    }

    /// The committed files are there with their sizes, and nothing else is.
    async fn files(&self, dataset: &Dataset, commits: &[Manifest]) -> Vec<Broken> {
        let (mut found, mut listed) = (Vec::new(), BTreeSet::new());
        for object in commits.iter().filter(|commit| commit.state != State::Removed).flat_map(|commit| &commit.objects) {
            let size = self.size(&object.uri).await;
            if size != Some(object.size) {
                found.extend(broken(4, format!("{} has {size:?} bytes, its commit says {}", object.uri, object.size)));
            }
            listed.insert(object.uri.clone());
        }
        let once = if self.removes { Some(self.ever_committed(dataset, commits).await) } else { None };
        // A copy that died before its commit leaves what the next one, without its source, knows nothing of; nor does it
        // delete what has a name that may be another lot's.
        let is_known = |uri: &String, etag: &Option<String>| once.as_ref().is_none_or(|once| once.contains(&(uri.clone(), etag.clone())));
        let strays = self.there(dataset).await.into_iter().filter(|(uri, meta)| !listed.contains(uri) && is_known(uri, &meta.e_tag));
        found.extend(strays.flat_map(|(uri, _)| broken(4, format!("{uri} is in no commit"))));
        found
    }

    async fn size(&self, uri: &str) -> Option<u64> {
        let place = self.stores.objects.locate(uri).ok()?;
        place.store.head(&place.path).await.map(|meta| meta.size).ok()
    }

    /// The files of all generations of all lots whose names hold their lot.
    async fn ever_committed(&self, dataset: &Dataset, commits: &[Manifest]) -> BTreeSet<Identity> {
        let mut once = BTreeSet::new();
        for commit in commits {
            for generation in 1..=commit.generation {
                let read = self.stores.read_commit(&dataset.id(), commit.lot_id, generation).await;
                let objects = read.ok().flatten().into_iter().flat_map(|read| read.objects);
                let objects = objects.filter(|object| object.uri.contains(&commit.lot_id.to_string()));
                once.extend(objects.map(|object| (object.uri, object.etag)));
            }
        }
        once
    }

    /// Documents of arrivals that wait for a lot; none at a quiet moment.
    pub async fn documents(&self, dataset: &Dataset) -> Vec<Path> {
        let listed = self.stores.metadata.list(&paths::dataset_dir(&dataset.id())).await.unwrap_or_default();
        listed.into_iter().filter(paths::is_waiting_arrivals).collect()
    }
}

/// One writing of an object, told of in whatever shape, is in one commit (promise 2). Some shapes tell whole seconds.
fn repeated(commits: &[Manifest]) -> Vec<Broken> {
    let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
    for commit in commits {
        let once: BTreeSet<_> = commit.objects.iter().map(|object| (&object.uri, &object.etag)).collect();
        if once.len() < commit.objects.len() {
            found.extend(broken(2, format!("lot {} lists an object twice", commit.lot_id)));
        }
    }
    for object in commits.iter().flat_map(|commit| &commit.objects) {
        let second = object.arrived.map(|arrived| arrived.timestamp());
        if !seen.insert((&object.uri, &object.etag, second)) {
            found.extend(broken(2, format!("{} of second {second:?} is in two commits", object.uri)));
        }
    }
    found
}

/// Promise 6.
fn gaps(commits: &[Manifest]) -> Vec<Broken> {
    let pairs = commits.windows(2).filter(|pair| pair[0].lot_id.next() != pair[1].lot_id);
    pairs.flat_map(|pair| broken(6, format!("nothing between {} and {}", pair[0].lot_id, pair[1].lot_id))).collect()
}

/// Promise 7.
fn unbalanced(commit: &Manifest) -> Vec<Broken> {
    match &commit.receipt {
        Some(receipt) if receipt.counts.is_balanced() => Vec::new(),
        receipt => broken(7, format!("the lines of {} {} do not balance: {receipt:?}", commit.dataset.name, commit.lot_id)),
    }
}

/// The commits that a lot is made from; `None` where one is missing. Lots from before a source's first do not count.
fn commits_for(lot: Lot, sources: &[(&ArcSource, BTreeMap<Lot, u32>)]) -> Option<Vec<SourceCommit>> {
    let mut commits = Vec::new();
    for (source, lots) in sources {
        let first = lots.keys().next()?;
        for covered in lot.covered(source.unit).into_iter().filter(|covered| covered >= first) {
            commits.push(SourceCommit { dataset: source.dataset.id(), lot: covered, generation: *lots.get(&covered)? });
        }
    }
    commits.sort();
    Some(commits)
}
