//! The promises, held against what a schedule left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures::TryStreamExt;
use manifests::{ArcSpec, ArcState, Manifest, SourceCommit, State};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::world::{World, dataset};

/// A promise of the design that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// 1 to 6.
    pub promise: u8,
    /// What was seen.
    pub seen: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "promise {}: {}", self.promise, self.seen)
    }
}

fn broken(promise: u8, seen: String) -> Vec<Broken> {
    vec![Broken { promise, seen }]
}

/// All that is broken, nothing if all is well.
pub(crate) async fn check(world: &World, is_quiet: bool) -> Vec<Broken> {
    let mut found: Vec<Broken> = world.store.wrong().into_iter().map(watched).collect();
    if !is_quiet {
        found.extend(broken(5, "something is left to do for ever".into()));
        return found;
    }
    let commits = latest(world, "raw").await;
    found.extend(arrivals(world, &commits).await);
    found.extend(gaps(&commits));
    found.extend(copies(world, &commits).await);
    for arc in &world.arcs {
        found.extend(arc_is_up_to_date(world, arc).await);
    }
    found
}

fn watched(seen: String) -> Broken {
    let promise = if seen.starts_with("promise 4") { 4 } else { 3 };
    Broken { promise, seen }
}

/// The latest commits of a dataset, in order.
async fn latest(world: &World, name: &str) -> Vec<Manifest> {
    let mut commits = Vec::new();
    for (lot, _) in world.sound.lots(&dataset(name).id()).await.unwrap_or_default() {
        commits.extend(world.sound.latest(&dataset(name), lot).await.ok().flatten());
    }
    commits
}

/// Promises 1 and 2: what lies there is in one commit, and nothing is in two.
async fn arrivals(world: &World, commits: &[Manifest]) -> Vec<Broken> {
    let mut times: BTreeMap<(String, Option<String>), usize> = BTreeMap::new();
    for object in commits.iter().flat_map(|commit| &commit.objects) {
        *times.entry((object.uri.clone(), object.etag.clone())).or_default() += 1;
    }
    let twice = times.iter().filter(|(_, times)| **times > 1).map(|(object, _)| format!("{object:?} is in more than one commit"));
    let mut found: Vec<Broken> = twice.map(|seen| Broken { promise: 2, seen }).collect();
    let there: Vec<_> = world.store.list(Some(&Path::from("raw"))).try_collect().await.unwrap_or_default();
    for meta in there {
        let key = (format!("memory:///{}", meta.location), meta.e_tag);
        if !times.contains_key(&key) {
            found.extend(broken(1, format!("{key:?} is in no commit")));
        }
    }
    found
}

/// Promise 6.
fn gaps(commits: &[Manifest]) -> Vec<Broken> {
    let pairs = commits.windows(2).filter(|pair| pair[0].lot_id.next() != pair[1].lot_id);
    pairs.flat_map(|pair| broken(6, format!("nothing between {} and {}", pair[0].lot_id, pair[1].lot_id))).collect()
}

/// A lot has one state copy, and it says what the commit says (promise 3).
async fn copies(world: &World, commits: &[Manifest]) -> Vec<Broken> {
    let mut found = Vec::new();
    for commit in commits {
        let folder = manifests::paths::lot_dir(&commit.dataset.id(), commit.lot_id);
        let listed = world.sound.manifest.list(&folder).await.unwrap_or_default();
        let copies: Vec<_> = listed.iter().filter(|path| path.as_ref().contains("/state=")).collect();
        let expected = format!("state={}/manifest.json", commit.state);
        if copies.len() != 1 || !copies[0].as_ref().ends_with(&expected) {
            found.extend(broken(3, format!("{folder} has copies {copies:?}, not {expected}")));
        }
    }
    found
}

/// Promises 4 and 5: every lot that could be made was, from the latest sources, finished, and its files are all there are.
async fn arc_is_up_to_date(world: &World, arc: &ArcSpec) -> Vec<Broken> {
    let mut found = Vec::new();
    let (source, sink) = (&arc.sources[0], &arc.sinks[0]);
    let mut by_lot: BTreeMap<manifests::Lot, Vec<SourceCommit>> = BTreeMap::new();
    for (lot, entry) in world.sound.lots(&source.dataset.id()).await.unwrap_or_default() {
        let Some(covering) = lot.covering(arc.unit) else { continue };
        by_lot.entry(covering).or_default().push(SourceCommit { dataset: source.dataset.id(), lot, generation: entry.generation });
    }
    // The last coarse lot may not be whole.
    if source.unit != arc.unit {
        by_lot.pop_last();
    }
    let commits = latest(world, &sink.dataset.name).await;
    found.extend(copies(world, &commits).await);
    for (lot, sources) in &by_lot {
        let made = commits.iter().find(|commit| commit.lot_id == *lot);
        if made.and_then(|made| made.receipt.as_ref()).map(|receipt| &receipt.sources) != Some(sources) {
            found.extend(broken(5, format!("{} of {} was not made from {sources:?}", lot, arc.id.arc)));
        }
        let attempt = world.sound.last_attempt(&arc.id, *lot).await.ok().flatten().map(|attempt| attempt.state);
        if !matches!(attempt, Some(ArcState::Complete | ArcState::Partial)) {
            found.extend(broken(5, format!("{} of {} was left {attempt:?}", lot, arc.id.arc)));
        }
    }
    if !world.replaces {
        found.extend(files(world, &sink.dataset.name, &commits).await);
    }
    found
}

/// The committed files are there with their sizes, and nothing else is.
async fn files(world: &World, name: &str, commits: &[Manifest]) -> Vec<Broken> {
    let mut found = Vec::new();
    let mut listed = BTreeSet::new();
    for object in commits.iter().filter(|commit| commit.state != State::Removed).flat_map(|commit| &commit.objects) {
        let path = Path::parse(object.uri.trim_start_matches("memory://")).unwrap_or_default();
        let size = world.store.head(&path).await.map(|meta| meta.size).ok();
        if size != Some(object.size) {
            found.extend(broken(4, format!("{} has {size:?} bytes, its commit says {}", object.uri, object.size)));
        }
        listed.insert(path);
    }
    let there: Vec<_> = world.store.list(Some(&Path::from(name))).try_collect().await.unwrap_or_default();
    let once = if world.removes { Some(ever_committed(world, name, commits).await) } else { None };
    // A copy that died before its commit leaves what the next one, without its source, knows nothing of; nor does it
    // delete what has a name that may be another lot's.
    let is_known = |meta: &ObjectMeta| once.as_ref().is_none_or(|once| once.contains(&(meta.location.clone(), meta.e_tag.clone())));
    let strays = there.into_iter().filter(|meta| !listed.contains(&meta.location) && is_known(meta)).map(|meta| meta.location);
    found.extend(strays.flat_map(|path| broken(4, format!("{path} is in no commit"))));
    found
}

/// The files of all generations of all lots whose names hold their lot.
async fn ever_committed(world: &World, name: &str, commits: &[Manifest]) -> BTreeSet<(Path, Option<String>)> {
    let mut paths = BTreeSet::new();
    for commit in commits {
        for generation in 1..=commit.generation {
            let read = world.sound.read_commit(&dataset(name).id(), commit.lot_id, generation).await;
            let objects = read.ok().flatten().into_iter().flat_map(|read| read.objects);
            let objects = objects.filter(|object| object.uri.contains(&commit.lot_id.to_string()));
            paths.extend(objects.filter_map(|object| Some((Path::parse(object.uri.trim_start_matches("memory://")).ok()?, object.etag))));
        }
    }
    paths
}
