//! What of a source is there: the objects of its manifests flow in; those that lie as they were committed flow out, sizes
//! known, and apart from them those that do not. Content is not read.

use futures::{FutureExt, StreamExt, TryStreamExt};
use manifests::ManifestObject;
use object_store::ObjectStoreExt;

use crate::error::ArcsError;
use crate::read::ObjectProblem;
use crate::runner::{SourceLots, source_object};
use crate::workload::RunInput;

/// Objects that are looked at side by side.
const HEADS_IN_FLIGHT: usize = 16;

/// The objects of a source that are there, sizes known, and those that are not.
pub(super) struct There {
    pub objects: Vec<ManifestObject>,
    pub problems: Vec<ObjectProblem>,
}

/// Looks whether the objects of a source are there as they were committed. A redone run writes the same bytes again, so
/// it is the size that tells a replaced file and not the store's mark.
pub(super) async fn look(input: &RunInput<'_>, source: &SourceLots) -> Result<There, ArcsError> {
    let heads: Vec<_> = source.objects().map(|object| head(input, object).boxed()).collect();
    let looked: Vec<Result<ManifestObject, ObjectProblem>> = futures::stream::iter(heads).buffered(HEADS_IN_FLIGHT).try_collect().await?;
    let mut there = There { objects: Vec::new(), problems: Vec::new() };
    for object in looked {
        match object {
            Ok(object) => there.objects.push(object),
            Err(problem) => there.problems.push(problem),
        }
    }
    Ok(there)
}

async fn head(input: &RunInput<'_>, object: &ManifestObject) -> Result<Result<ManifestObject, ObjectProblem>, ArcsError> {
    let problem = |reason: &str| Ok(Err(ObjectProblem { uri: object.uri.clone(), reason: reason.to_owned() }));
    if !object.uri.ends_with(".parquet") {
        return Err(ArcsError::Job { message: format!("`{}` is no Parquet file; let a convert arc read it first", object.uri) });
    }
    let place = match source_object(&input.context.stores, object) {
        Ok(place) => place,
        Err(problem) => return Ok(Err(problem)),
    };
    match place.store.head(&place.path).await {
        Ok(meta) if object.size == 0 || meta.size == object.size => Ok(Ok(ManifestObject { size: meta.size, ..object.clone() })),
        Ok(_) => problem("the object was replaced after it was committed"),
        Err(object_store::Error::NotFound { .. }) => problem("the object is not there"),
        Err(source) => Err(ArcsError::Store { action: "read", uri: object.uri.clone(), source }),
    }
}
