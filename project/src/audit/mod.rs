//! Whether what the manifests promise is so. Manifests, data files and source objects flow in; findings flow out. Nothing
//! is written. Memory holds sixteen bytes for each object and file, and a few blocks of data, whatever there is.

mod discard;
mod files;
mod lots;
mod receipts;
mod strays;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::{DateTime, Utc};
use manifests::{Lot, Manifest, Stores};
use project::{Owner, Produced, Project};

use crate::engine::Progress;
use lots::Seen;

/// Something that is not as promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whose data.
    pub dataset: String,
    /// The lot, where it is about one.
    pub lot: Option<Lot>,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub next: String,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Datasets.
    pub datasets: u64,
    /// Lots that have a manifest.
    pub lots: u64,
    /// Objects that boundaries took in.
    pub objects: u64,
    /// Data files that were read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their rows.
    pub rows: u64,
    /// Lines that were counted again.
    pub lines: u64,
    /// Receipts that could not be recomputed, since a source object is gone or was replaced.
    pub unrepeatable: u64,
}

/// What to look at.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Datasets by name; all where there is none.
    pub datasets: Vec<String>,
    /// Lots that end after this.
    pub earliest: Option<DateTime<Utc>>,
    /// Lots that start before this.
    pub latest: Option<DateTime<Utc>>,
    /// Whether to read all rows and count source lines again, or only sizes and footers.
    pub is_quick: bool,
}

/// An audit under way.
#[derive(Debug)]
pub struct Audit<'a> {
    project: &'a Project,
    stores: &'a Stores,
    scope: &'a Scope,
    progress: &'a Progress,
    /// What is wrong, in the order of datasets and lots.
    pub findings: Vec<Finding>,
    /// What was looked at.
    pub looked: Looked,
    committed: HashSet<u128>,
}

/// Manifests held at a time.
const LOTS_AT_ONCE: usize = 8;
/// Findings that are kept; more would say no more.
pub const FINDINGS_MAX: usize = 10_000;

impl<'a> Audit<'a> {
    /// An audit that has looked at nothing yet.
    pub fn new(project: &'a Project, stores: &'a Stores, scope: &'a Scope, progress: &'a Progress) -> Audit<'a> {
        Audit { project, stores, scope, progress, findings: Vec::new(), looked: Looked::default(), committed: HashSet::new() }
    }

    /// Looks at everything in scope.
    pub async fn run(&mut self) -> anyhow::Result<()> {
        for produced in self.project.produced() {
            if self.is_in_scope(&produced) {
                self.looked.datasets += 1;
                self.look_at_dataset(&produced).await?;
            }
        }
        self.look_for_strays().await
    }

    /// Looks at one dataset, a few lots at a time.
    async fn look_at_dataset(&mut self, produced: &Produced) -> anyhow::Result<()> {
        let lots: Vec<Lot> = self.stores.lots(&produced.dataset.id()).await?.into_keys().filter(|lot| self.is_lot_in_scope(*lot)).collect();
        let line = self.progress.count(format!("lots of {}", produced.dataset.name), lots.len() as u64);
        let mut seen = Seen::default();
        for lots in lots.chunks(LOTS_AT_ONCE) {
            let manifests = self.manifests(produced, lots).await?;
            for manifest in &manifests {
                self.look_at_lot(produced, manifest, &mut seen);
            }
            if let Owner::Arc { name, role } = &produced.owner {
                self.look_at_receipts(produced, name, role, &manifests).await?;
                self.look_at_files(produced, &manifests).await?;
            }
            line.more(lots.len() as u64);
        }
        Ok(())
    }

    fn is_in_scope(&self, produced: &Produced) -> bool {
        let id = produced.dataset.id().to_string();
        self.scope.datasets.is_empty() || self.scope.datasets.iter().any(|name| *name == produced.dataset.name || *name == id)
    }

    fn is_lot_in_scope(&self, lot: Lot) -> bool {
        self.scope.earliest.is_none_or(|earliest| lot.end() > earliest) && self.scope.latest.is_none_or(|latest| lot.start() < latest)
    }

    /// The latest manifests of some lots; a commit that does not read is a finding.
    async fn manifests(&mut self, produced: &Produced, lots: &[Lot]) -> anyhow::Result<Vec<Manifest>> {
        let (stores, dataset) = (self.stores, &produced.dataset);
        let read = lots.iter().map(|lot| async move { (*lot, stores.latest(dataset, *lot).await) });
        let mut found = Vec::new();
        for (lot, latest) in futures::future::join_all(read).await {
            match latest {
                Ok(latest) => found.extend(latest),
                Err(error) if error.is_transient() => return Err(error.into()),
                Err(error) => self.find(dataset.name.as_str(), Some(lot), error.to_string(), "restore the file from a backup"),
            }
        }
        self.looked.lots += found.len() as u64;
        self.committed.extend(
            found.iter().flat_map(|manifest| manifest.uris.iter().chain(manifest.rejects.iter().map(|object| &object.uri)).map(mark)),
        );
        Ok(found)
    }

    fn find(&mut self, dataset: &str, lot: Option<Lot>, what: impl Into<String>, next: impl Into<String>) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { dataset: dataset.to_owned(), lot, what: what.into(), next: next.into() });
        }
    }
}

/// Sixteen bytes that stand for a value.
fn mark(value: &impl Hash) -> u128 {
    let half = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        (salt, value).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}
