//! Every path of the stores, built and read in this one place, so that a listing alone says what ran and what is
//! missing. Checked names flow in, relative paths flow out; nothing here touches a store.

use chrono::NaiveDate;
use object_store::path::Path;

use crate::dataset::DatasetId;
use crate::lot::Lot;
use crate::manifest::State;

/// An arc of a project, as paths name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ArcId {
    /// The project's name.
    pub project: String,
    /// The project's version.
    pub version: String,
    /// The arc's name.
    pub arc: String,
}

/// What the state file of an attempt is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ArcState {
    /// Somebody works on it, or did until its lease expired.
    Running,
    /// Committed.
    Complete,
    /// Committed, with some input unreadable.
    Partial,
    /// Failed; nothing was committed.
    Missing,
}

impl ArcState {
    /// All four, in the order of listings.
    pub const ALL: [ArcState; 4] = [ArcState::Running, ArcState::Complete, ArcState::Partial, ArcState::Missing];

    /// As it stands in paths.
    pub fn as_str(self) -> &'static str {
        match self {
            ArcState::Running => "running",
            ArcState::Complete => "complete",
            ArcState::Partial => "partial",
            ArcState::Missing => "missing",
        }
    }
}

impl std::fmt::Display for ArcState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Folder of a dataset in the manifest store.
pub fn dataset_dir(dataset: &DatasetId) -> String {
    format!("datasets/name={}/version={}", dataset.name, dataset.version)
}

/// Folder of a lot of a dataset in the manifest store.
pub fn lot_dir(dataset: &DatasetId, lot: Lot) -> String {
    format!("{}/lot={lot}", dataset_dir(dataset))
}

/// The truth of a generation (from 1) in the manifest store.
pub fn commit(dataset: &DatasetId, lot: Lot, generation: u32) -> String {
    format!("{}/commit-{generation:06}.json", lot_dir(dataset, lot))
}

/// The copy for people and other tools in the manifest store.
pub fn state_copy(dataset: &DatasetId, lot: Lot, state: State) -> String {
    format!("{}/state={state}/manifest.json", lot_dir(dataset, lot))
}

/// The state copy's path as Clusterless hands it to workloads (an RFC 6570 template), relative to the manifest store.
pub fn state_copy_template(dataset: &DatasetId) -> String {
    format!("{}/lot={{lot}}/state={{state}}{{/attempt*}}/manifest.json", dataset_dir(dataset))
}

/// Folder of an arc in the arc-state store.
pub fn arc_dir(arc: &ArcId) -> String {
    format!("arcs/project={}/version={}/arc={}", arc.project, arc.version, arc.arc)
}

/// Folder of a lot of an arc in the arc-state store.
pub fn arc_lot_dir(arc: &ArcId, lot: Lot) -> String {
    format!("{}/lot={lot}", arc_dir(arc))
}

/// State file of an attempt (from 1) in the arc-state store.
pub fn attempt(arc: &ArcId, lot: Lot, attempt: u32, state: ArcState) -> String {
    format!("{}/attempt={attempt:06}/{}.arc", arc_lot_dir(arc, lot), state.as_str())
}

/// Folder of an export of logs in the arc-state store, where what was exported is written down. Beside the arcs of its
/// project, and never the path of an attempt.
pub fn export_dir(project: &str, version: &str, export: &str) -> String {
    format!("arcs/project={project}/version={version}/export={export}")
}

/// Where the lots of a day, and of later days, begin in the folder of a dataset or an arc: it sorts before all of them.
pub fn day(folder: &str, day: NaiveDate) -> String {
    format!("{folder}/lot={}", day.format("%Y%m%d"))
}

/// The project as deployed, in the metadata store.
pub fn project(name: &str, version: &str) -> String {
    format!("projects/name={name}/version={version}/project.json")
}

/// Folder of all projects in the metadata store.
pub const PROJECTS_DIR: &str = "projects";

/// Folder of all datasets, in the manifest store and in the metadata store.
pub const DATASETS_DIR: &str = "datasets";

/// The project, name and version, in whose folder of the metadata store a path lies.
pub fn parse_project_dir(path: &Path) -> Option<(String, String)> {
    name_and_version(path, PROJECTS_DIR)
}

/// The dataset in whose folder, of the manifest store or the metadata store, a path lies.
pub fn parse_dataset_dir(path: &Path) -> Option<DatasetId> {
    name_and_version(path, DATASETS_DIR).map(|(name, version)| DatasetId { name, version })
}

fn name_and_version(path: &Path, folder: &str) -> Option<(String, String)> {
    let mut parts = path.as_ref().strip_prefix(folder)?.strip_prefix('/')?.split('/');
    let (name, version) = (parts.next()?.strip_prefix("name=")?, parts.next()?.strip_prefix("version=")?);
    (!name.is_empty() && !version.is_empty()).then(|| (name.to_owned(), version.to_owned()))
}

/// A dataset's one owner, in the metadata store.
pub fn dataset_owner(dataset: &DatasetId) -> String {
    format!("{}/dataset.json", dataset_dir(dataset))
}

/// The lot a boundary's dataset begins with, in the metadata store; created once.
pub fn first_lot(dataset: &DatasetId) -> String {
    format!("{}/first-lot.json", dataset_dir(dataset))
}

/// The columns that a dataset has learned from its logs (numbers from 1), in the metadata store; created once each.
pub fn learned_columns(dataset: &DatasetId, number: u32) -> String {
    format!("{}/columns-{number:06}.json", dataset_dir(dataset))
}

/// The number of such a document; `None` for anything else.
pub fn parse_learned_columns(path: &Path) -> Option<u32> {
    numbered(path.filename()?.strip_prefix("columns-")?.strip_suffix(".json")?)
}

/// Arrivals that wait for a lot and are no longer in any queue, in the metadata store; created once each, deleted when commits
/// hold them. The name is made of the content: whoever deletes it a second time deletes nothing else.
pub fn waiting_arrivals(dataset: &DatasetId, hash: u64) -> String {
    format!("{}/waiting-{hash:016x}.json", dataset_dir(dataset))
}

/// Whether a path is that of such a document.
pub fn is_waiting_arrivals(path: &Path) -> bool {
    let hash = path.filename().and_then(|name| name.strip_prefix("waiting-")?.strip_suffix(".json"));
    hash.is_some_and(|hash| hash.len() == 16 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// What a path in the manifest store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestPath {
    /// `commit-{generation}.json`.
    Commit(DatasetId, Lot, u32),
    /// `state={state}/…/manifest.json`, with Clusterless's attempt folder or without.
    StateCopy(DatasetId, Lot, State),
}

/// Reads a path relative to the manifest store; `None` for anything else that may lie there. A year of lots is a hundred
/// thousand paths, so nothing is allocated but the names.
pub fn parse_manifest_path(path: &Path) -> Option<ManifestPath> {
    let mut parts = path.as_ref().strip_prefix("datasets/")?.split('/');
    let (name, version) = (parts.next()?.strip_prefix("name=")?, parts.next()?.strip_prefix("version=")?);
    let lot: Lot = parts.next()?.strip_prefix("lot=")?.parse().ok()?;
    let (first, last) = (parts.next()?, parts.next_back());
    let dataset = DatasetId { name: name.to_owned(), version: version.to_owned() };
    let Some(file) = last else {
        let generation = numbered(first.strip_prefix("commit-")?.strip_suffix(".json")?)?;
        return Some(ManifestPath::Commit(dataset, lot, generation));
    };
    let state = first.strip_prefix("state=")?;
    let state = State::ALL.into_iter().find(|known| known.as_str() == state)?;
    matches!(file, "manifest.json" | "manifest-data.json").then_some(ManifestPath::StateCopy(dataset, lot, state))
}

/// Reads a path relative to the arc-state store: arc, lot, attempt, state.
pub fn parse_attempt_path(path: &Path) -> Option<(ArcId, Lot, u32, ArcState)> {
    let mut parts = path.as_ref().strip_prefix("arcs/")?.split('/');
    let mut named = |key: &str| parts.next()?.strip_prefix(key);
    let (project, version, arc) = (named("project=")?, named("version=")?, named("arc=")?);
    let lot = named("lot=")?.parse().ok()?;
    let attempt = numbered(named("attempt=")?)?;
    let state = parts.next()?.strip_suffix(".arc")?;
    let state = ArcState::ALL.into_iter().find(|known| known.as_str() == state)?;
    let id = ArcId { project: project.to_owned(), version: version.to_owned(), arc: arc.to_owned() };
    parts.next().is_none().then_some((id, lot, attempt, state))
}

/// A number of six digits or more, from 1, in its one spelling.
fn numbered(text: &str) -> Option<u32> {
    let is_spelled = text.len() >= 6 && text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 6 || !text.starts_with('0'));
    text.parse().ok().filter(|number| is_spelled && *number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lot::LotUnit;
    use expect_test::expect;
    use proptest::prelude::*;

    #[test]
    fn the_paths_of_the_design() {
        let dataset = DatasetId { name: "logs".into(), version: "1".into() };
        let arc = ArcId { project: "p".into(), version: "2".into(), arc: "convert".into() };
        let lot: Lot = "20230717PT5M250".parse().unwrap();
        let all = [
            commit(&dataset, lot, 1),
            state_copy(&dataset, lot, State::Empty),
            attempt(&arc, lot, 12, ArcState::Running),
            project("p", "2"),
            dataset_owner(&dataset),
        ];
        expect![[r#"
            datasets/name=logs/version=1/lot=20230717PT5M250/commit-000001.json
            datasets/name=logs/version=1/lot=20230717PT5M250/state=empty/manifest.json
            arcs/project=p/version=2/arc=convert/lot=20230717PT5M250/attempt=000012/running.arc
            projects/name=p/version=2/project.json
            datasets/name=logs/version=1/dataset.json"#]]
        .assert_eq(&all.join("\n"));
    }

    #[test]
    fn clusterless_and_tessellate_copies_read_too() {
        for path in [
            "datasets/name=a/version=1/lot=20230717PT5M250/state=partial/attempt=1689627071/manifest.json",
            "datasets/name=a/version=1/lot=20230717PT5M250/state=partial/manifest.json/manifest-data.json",
        ] {
            let read = parse_manifest_path(&Path::from(path));
            assert!(matches!(read, Some(ManifestPath::StateCopy(_, _, State::Partial))), "{path}");
        }
    }

    #[test]
    fn folders_of_projects_and_datasets() {
        let project = |path: &str| parse_project_dir(&Path::from(path));
        assert_eq!(project("projects/name=p/version=2/project.json"), Some(("p".into(), "2".into())));
        assert_eq!(project("projects/name=p/version=2"), Some(("p".into(), "2".into())));
        assert_eq!((project("projects/name=p"), project("projects/p/2"), project("datasets/name=p/version=2")), (None, None, None));
        let dataset = parse_dataset_dir(&Path::from("datasets/name=a/version=1/lot=x/anything")).unwrap();
        assert_eq!(dataset.to_string(), "a/1");
    }

    proptest! {
        #[test]
        fn every_path_reads_back(name in "[a-z0-9][a-z0-9._-]{0,9}", version in "[0-9]{8}", second in 0i64..4_000_000_000, n in 1u32..2_000_000, row in 0usize..4) {
            let id = DatasetId { name: name.clone(), version: version.clone() };
            let lot = Lot::containing(LotUnit::Twelfths, chrono::DateTime::from_timestamp(second, 0).unwrap());
            let path = Path::from(commit(&id, lot, n));
            prop_assert_eq!(parse_manifest_path(&path), Some(ManifestPath::Commit(id.clone(), lot, n)));
            let path = Path::from(state_copy(&id, lot, State::ALL[row]));
            prop_assert_eq!(parse_manifest_path(&path), Some(ManifestPath::StateCopy(id, lot, State::ALL[row])));
            let arc = ArcId { project: name.clone(), version, arc: name };
            let path = Path::from(attempt(&arc, lot, n, ArcState::ALL[row]));
            prop_assert_eq!(parse_attempt_path(&path), Some((arc, lot, n, ArcState::ALL[row])));
        }

        #[test]
        fn any_path_is_something_or_nothing(text in "[a-z=/0-9PTM.-]{0,60}") {
            let path = Path::from(text);
            let _ = (parse_manifest_path(&path), parse_attempt_path(&path));
        }
    }
}
