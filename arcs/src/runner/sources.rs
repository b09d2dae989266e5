//! What a run reads: the commits of its plan flow in, objects flow out. Exactly the planned generations are read, so a
//! commit that came meanwhile is the business of the next run.

use futures::TryStreamExt;
use manifests::{ArcSpec, Dataset, Manifest, ManifestObject, ManifestsError, RunPlan, SourceCommit, Stores, UriType};

use crate::error::ArcsError;
use crate::read::{ObjectProblem, SourceObject};
use crate::write::Target;

/// The lots of one source.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceLots {
    /// The role the workload knows it by.
    pub role: String,
    /// The dataset.
    pub dataset: Dataset,
    /// The manifests, by lot; lots that are not there are left out.
    pub lots: Vec<Manifest>,
}

impl SourceLots {
    /// Its objects, lot by lot, in the order of the manifests.
    pub fn objects(&self) -> impl Iterator<Item = &ManifestObject> {
        self.lots.iter().flat_map(|lot| &lot.objects)
    }

    /// Whether there is no object.
    pub fn is_empty(&self) -> bool {
        self.objects().next().is_none()
    }
}

/// The manifests of the plan, source by source.
pub(super) async fn read(stores: &Stores, arc: &ArcSpec, plan: &RunPlan) -> Result<Vec<SourceLots>, ArcsError> {
    let mut sources = Vec::new();
    for source in &arc.sources {
        let mut lots = Vec::new();
        for commit in plan.sources.iter().filter(|commit| commit.dataset == source.dataset.id()) {
            if let Some(manifest) = read_lot(stores, &source.dataset, commit).await? {
                lots.push(expanded(stores, unmarked(manifest)).await?);
            }
        }
        lots.sort_by_key(|lot| lot.lot_id);
        sources.push(SourceLots { role: source.role.clone(), dataset: source.dataset.clone(), lots });
    }
    Ok(sources)
}

async fn read_lot(stores: &Stores, dataset: &Dataset, commit: &SourceCommit) -> Result<Option<Manifest>, ArcsError> {
    if commit.generation == 0 {
        let latest = stores.latest(dataset, commit.lot).await?;
        return Ok(latest.filter(|latest| latest.generation == 0));
    }
    let found = stores.read_commit(&commit.dataset, commit.lot, commit.generation).await?;
    let message =
        || format!("generation {} of lot {} of {} is not there; plan the run again", commit.generation, commit.lot, commit.dataset);
    found.map(Some).ok_or_else(|| ArcsError::Job { message: message() })
}

/// An arc's files without the store's marks: a redone run writes the same bytes again, under marks that no commit knows.
/// What arrived from outside keeps them, so that a file that was replaced since is not taken for the one that arrived.
fn unmarked(mut manifest: Manifest) -> Manifest {
    if manifest.receipt.is_some() {
        manifest.objects.iter_mut().for_each(|object| (object.etag, object.version_id) = (None, None));
    }
    manifest
}

/// Lists what lies below the URIs of a manifest that names folders or prefixes, as Clusterless's may.
async fn expanded(stores: &Stores, manifest: Manifest) -> Result<Manifest, ArcsError> {
    if manifest.uri_type == UriType::Identifier {
        return Ok(manifest);
    }
    let mut objects = Vec::new();
    for uri in &manifest.uris {
        objects.extend(list_below(stores, uri).await?);
    }
    objects.sort_by(|a, b| a.uri.cmp(&b.uri));
    Ok(Manifest { objects, ..manifest })
}

/// The objects whose URIs start with `prefix`.
pub(crate) async fn list_below(stores: &Stores, prefix: &str) -> Result<Vec<ManifestObject>, ArcsError> {
    let folder = prefix.rsplit_once('/').map_or(prefix, |(folder, _)| folder);
    let place = stores.objects.locate(folder)?;
    let root = folder.strip_suffix(place.path.as_ref()).unwrap_or(folder);
    let fail = |source| ArcsError::Store { action: "list", uri: folder.to_owned(), source };
    let listed: Vec<_> = place.store.list(Some(&place.path)).try_collect().await.map_err(fail)?;
    let object = |meta: object_store::ObjectMeta| ManifestObject {
        uri: format!("{root}{}", meta.location),
        size: meta.size,
        etag: meta.e_tag,
        version_id: meta.version,
        ..ManifestObject::default()
    };
    Ok(listed.into_iter().map(object).filter(|object| object.uri.starts_with(prefix)).collect())
}

/// An object as readers take it; one whose URI no store serves, or that leaves its store, is a problem of that object.
pub(crate) fn source_object(stores: &Stores, object: &ManifestObject) -> Result<SourceObject, ObjectProblem> {
    let place = stores.objects.locate(&object.uri);
    let place = place.map_err(|error| ObjectProblem { uri: object.uri.clone(), reason: error.to_string() })?;
    let (uri, size, etag, version) = (object.uri.clone(), object.size, object.etag.clone(), object.version_id.clone());
    Ok(SourceObject { uri, size, etag, version, store: place.store, path: place.path })
}

/// Where the files of a sink go.
pub(crate) fn target(stores: &Stores, path_uri: &str) -> Result<Target, ManifestsError> {
    let folder = path_uri.trim_end_matches('/');
    let place = stores.objects.locate(folder)?;
    Ok(Target { store: place.store, base: place.path, uri_base: format!("{folder}/") })
}
