//! What boundaries and arcs mean to each other: owners of datasets, units of lots, the order in which data flows,
//! folders that would feed or overwrite each other. Drafts flow in; arcs in order flow out, and all problems.

use std::collections::BTreeMap;

use boundary::BoundarySpec;
use manifests::{ArcId, ArcSource, ArcSpec, Dataset, DatasetId, LotUnit};

use super::arc::{DraftArc, DraftSource};
use super::fields::{Problems, nearest};
use super::placement::{STORE_FOLDERS, is_inside};
use crate::file::Placement;
use crate::synth::Names;

/// A dataset and who writes it.
struct Written<'a> {
    path: String,
    by: String,
    dataset: &'a Dataset,
    /// The position of the arc; `None` for a boundary.
    arc: Option<usize>,
}

/// The drafts of one project.
pub struct Drafts<'a> {
    /// Project name and version, for the arcs' ids.
    pub project: (&'a str, &'a str),
    /// With their JSON paths.
    pub boundaries: &'a [(String, BoundarySpec)],
    /// In the order of the file.
    pub arcs: &'a [DraftArc],
}

/// Judges the drafts together; the arcs that are not excluded, in the order in which data flows.
pub fn judge(drafts: &Drafts<'_>, problems: &Problems) -> Vec<ArcSpec> {
    let written = written(drafts);
    let owners = owners(&written, problems);
    for source in drafts.arcs.iter().flat_map(|arc| &arc.sources) {
        check_source(source, &owners, problems);
    }
    let order = order(drafts.arcs, &owners, problems);
    let mut units: BTreeMap<DatasetId, LotUnit> =
        drafts.boundaries.iter().map(|(_, boundary)| (boundary.dataset.id(), boundary.unit)).collect();
    let mut arcs = Vec::new();
    for draft in order.into_iter().filter_map(|at| drafts.arcs.get(at)) {
        let sources = sources(draft, &owners, &units);
        let unit = unit(draft, &sources, problems);
        units.extend(draft.sinks.iter().map(|(_, sink)| (sink.dataset.id(), unit)));
        if !draft.exclude {
            arcs.push(spec(draft, drafts.project, sources, unit));
        }
    }
    arcs
}

fn id(source: &DraftSource) -> DatasetId {
    DatasetId { name: source.name.clone(), version: source.version.clone() }
}

fn written<'a>(drafts: &Drafts<'a>) -> Vec<Written<'a>> {
    let boundaries = drafts.boundaries.iter().map(|(path, boundary)| Written {
        path: format!("{path}.dataset"),
        by: format!("boundary `{}`", boundary.name),
        dataset: &boundary.dataset,
        arc: None,
    });
    let arcs = drafts.arcs.iter().enumerate().flat_map(|(at, arc)| {
        arc.sinks.iter().map(move |(path, sink)| Written {
            path: path.clone(),
            by: format!("arc `{}`", arc.name),
            dataset: &sink.dataset,
            arc: Some(at),
        })
    });
    boundaries.chain(arcs).collect()
}

fn owners<'a>(written: &'a [Written<'a>], problems: &Problems) -> BTreeMap<DatasetId, &'a Written<'a>> {
    let mut owners: BTreeMap<DatasetId, &Written<'_>> = BTreeMap::new();
    for entry in written {
        let id = entry.dataset.id();
        match owners.get(&id) {
            Some(owner) => problems.add_fix(
                entry.path.clone(),
                format!("{id} already belongs to {} ({})", owner.by, owner.path),
                Some("give this one another name or version".to_owned()),
            ),
            None => drop(owners.insert(id, entry)),
        }
    }
    owners
}

fn check_source(source: &DraftSource, owners: &BTreeMap<DatasetId, &Written<'_>>, problems: &Problems) {
    let wanted = id(source);
    if owners.contains_key(&wanted) || source.elsewhere.is_some() {
        return;
    }
    let versions = owners.keys().filter(|known| known.name == wanted.name).map(|known| known.version.as_str());
    if let Some(version) = versions.max_by(|a, b| strsim::jaro(a, &wanted.version).total_cmp(&strsim::jaro(b, &wanted.version))) {
        let message = format!("`{}` has no version `{}` here", wanted.name, wanted.version);
        problems.add_fix(format!("{}.version", source.path), message, Some(format!("did you mean `{version}`?")));
        return;
    }
    let fix = match nearest(&wanted.name, owners.keys().map(|known| known.name.as_str())) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "if another project produces it, give its `pathURI` and `lotUnit` here".to_owned(),
    };
    problems.add_fix(format!("{}.name", source.path), format!("no boundary or arc produces `{}`", wanted.name), Some(fix));
}

/// Positions of the arcs, each after those it reads from; arcs in a cycle are reported and stand last.
fn order(arcs: &[DraftArc], owners: &BTreeMap<DatasetId, &Written<'_>>, problems: &Problems) -> Vec<usize> {
    let reads = |at: usize| -> Vec<usize> {
        let sources = arcs.get(at).map(|arc| arc.sources.iter()).into_iter().flatten();
        sources.filter_map(|source| owners.get(&id(source))?.arc).collect()
    };
    let mut order: Vec<usize> = Vec::new();
    loop {
        let is_ready = |at: &usize| !order.contains(at) && reads(*at).iter().all(|before| order.contains(before));
        match (0..arcs.len()).find(is_ready) {
            Some(at) => order.push(at),
            None => break,
        }
    }
    let mut left: Vec<usize> = (0..arcs.len()).filter(|at| !order.contains(at)).collect();
    while let Some(first) = left.first().copied() {
        let Some(cycle) = cycle(first, &left, &reads) else { break };
        let names: Vec<&str> = cycle.iter().chain(cycle.first()).filter_map(|at| arcs.get(*at)).map(|arc| arc.name.as_str()).collect();
        if let Some(arc) = cycle.first().and_then(|at| arcs.get(*at)) {
            problems.add(format!("{}.sources", arc.path), format!("the arcs read each other in a circle: {}", names.join(" -> ")));
        }
        left.retain(|at| !cycle.contains(at) && !leads_into(*at, &cycle, &reads));
    }
    order.extend((0..arcs.len()).filter(|at| !order.contains(at)).collect::<Vec<_>>());
    order
}

/// The cycle met when going upstream from `first` among `left`, in the order in which data flows.
fn cycle(first: usize, left: &[usize], reads: &impl Fn(usize) -> Vec<usize>) -> Option<Vec<usize>> {
    let mut walked = vec![first];
    loop {
        let before = reads(*walked.last()?).into_iter().find(|before| left.contains(before))?;
        if let Some(start) = walked.iter().position(|at| *at == before) {
            let mut cycle = walked.split_off(start);
            cycle.reverse();
            return Some(cycle);
        }
        walked.push(before);
    }
}

/// Whether `at` is only in trouble because it reads, over any number of steps, from the cycle.
fn leads_into(at: usize, cycle: &[usize], reads: &impl Fn(usize) -> Vec<usize>) -> bool {
    let (mut seen, mut open) = (vec![at], vec![at]);
    while let Some(next) = open.pop() {
        for before in reads(next) {
            if cycle.contains(&before) {
                return true;
            }
            if !seen.contains(&before) {
                seen.push(before);
                open.push(before);
            }
        }
    }
    false
}

fn sources(draft: &DraftArc, owners: &BTreeMap<DatasetId, &Written<'_>>, units: &BTreeMap<DatasetId, LotUnit>) -> Vec<(String, ArcSource)> {
    let resolve = |source: &DraftSource| {
        let found = owners.get(&id(source)).and_then(|owner| Some((owner.dataset.path_uri.clone(), *units.get(&owner.dataset.id())?)));
        let (path_uri, unit) = found.or_else(|| source.elsewhere.clone())?;
        let dataset = Dataset { name: source.name.clone(), version: source.version.clone(), path_uri };
        Some((source.path.clone(), ArcSource { role: source.role.clone(), dataset, unit, subscribe: source.subscribe }))
    };
    draft.sources.iter().filter_map(resolve).collect()
}

/// The unit of an arc: as the file says, else the coarsest of its sources. Reports sources that do not fit into it.
fn unit(draft: &DraftArc, sources: &[(String, ArcSource)], problems: &Problems) -> LotUnit {
    let coarsest = sources.iter().map(|(_, source)| source.unit).max_by_key(|unit| unit.minutes());
    let unit = draft.unit.or(coarsest).unwrap_or(LotUnit::Twelfths);
    for (path, source) in sources.iter().filter(|(_, source)| !unit.is_covering(source.unit)) {
        let why = match source.unit.minutes() > unit.minutes() {
            true => "is coarser than",
            false => "does not divide",
        };
        let fix = LotUnit::all().find(|wider| sources.iter().all(|(_, source)| wider.is_covering(source.unit)));
        let path = if draft.unit.is_some() { format!("{}.lotUnit", draft.path) } else { path.clone() };
        problems.add_fix(
            path,
            format!("source `{}` comes in {}, which {why} the arc's {unit}", source.role, source.unit),
            fix.map(|fix| format!("set `lotUnit` to `{fix}`")),
        );
    }
    unit
}

fn spec(draft: &DraftArc, project: (&str, &str), sources: Vec<(String, ArcSource)>, unit: LotUnit) -> ArcSpec {
    ArcSpec {
        id: ArcId { project: project.0.to_owned(), version: project.1.to_owned(), arc: draft.name.clone() },
        unit,
        sources: sources.into_iter().map(|source| source.1).collect(),
        sinks: draft.sinks.iter().map(|sink| sink.1.clone()).collect(),
        deadline: draft.deadline,
        retries: draft.retries,
        kind: draft.kind.unwrap_or_default().to_owned(),
        workload: draft.workload.clone(),
    }
}

/// Reports folders that would feed a boundary what arcs write, mix two datasets, or lie among the program's own.
pub fn check_folders(drafts: &Drafts<'_>, placement: &Placement, problems: &Problems) {
    let written = written(drafts);
    for sink in written.iter().filter(|entry| entry.arc.is_some() && entry.dataset.path_uri.ends_with('/')) {
        let path = || format!("{}.pathURI", sink.path);
        let folder = sink.dataset.path_uri.as_str();
        for (_, boundary) in drafts.boundaries.iter().filter(|(_, boundary)| is_fed(folder, boundary)) {
            let message = format!("lies in the folder that boundary `{}` watches: it would take what the arc writes", boundary.name);
            problems.add_fix(path(), message, Some("use a folder beside it, or add it to the boundary's `excludes`".to_owned()));
        }
        let is_same_place =
            |other: &&Written<'_>| other.arc.is_some() && other.path < sink.path && is_mixed(folder, &other.dataset.path_uri);
        for other in written.iter().filter(is_same_place) {
            let message = format!("shares its folder with {} ({}): their files would mix", other.dataset.id(), other.path);
            problems.add(path(), message);
        }
    }
    for entry in &written {
        let (is_boundary, folder) = (entry.arc.is_none(), entry.dataset.path_uri.as_str());
        let path = format!("{}.pathURI", entry.path);
        match placement {
            Placement::Local { root_uri } => check_store_folder(path, folder, is_boundary, root_uri, problems),
            Placement::Aws { .. } => check_store_bucket(path, folder, problems),
        }
    }
}

fn check_store_folder(path: String, folder: &str, is_boundary: bool, root_uri: &str, problems: &Problems) {
    let mut stores = STORE_FOLDERS.into_iter().map(|name| format!("{root_uri}/{name}/"));
    let is_own = |store: &String| is_inside(folder, store) || (is_boundary && is_inside(store, folder));
    if let Some(store) = stores.find(is_own) {
        let message = format!("overlaps `{store}`, where the placement keeps its own files");
        problems.add_fix(path, message, Some("use a folder beside it".to_owned()));
    }
}

/// Reports a URI in a store of this placement or of another: who may write data there may delete commits.
pub fn check_store_bucket(path: String, uri: &str, problems: &Problems) {
    let bucket = uri.strip_prefix("s3://").and_then(|rest| rest.split('/').next());
    if let Some(bucket) = bucket.filter(|bucket| Names::of_bucket(bucket).is_some()) {
        let message = format!("lies in {bucket}, where a placement keeps its own files");
        problems.add_fix(path, message, Some("use another bucket".to_owned()));
    }
}

/// Whether files in `folder` would arrive at the boundary.
fn is_fed(folder: &str, boundary: &BoundarySpec) -> bool {
    let relative = folder.strip_prefix(boundary.dataset.path_uri.as_str());
    let filter = boundary.filter.compile().ok();
    relative.zip(filter).is_some_and(|(relative, filter)| filter.is_taken(&format!("{relative}dt=2023-07-17/part.parquet")))
}

/// Whether readers of one folder would meet the files of the other; what starts with `_` or `.` they pass over.
fn is_mixed(one: &str, other: &str) -> bool {
    let is_seen = |rest: &str| !rest.split('/').any(|part| part.starts_with(['_', '.']));
    one.strip_prefix(other).or_else(|| other.strip_prefix(one)).is_some_and(is_seen)
}
