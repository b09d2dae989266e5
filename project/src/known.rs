//! The columns of a dataset that may have data: a checked project and its stores flow in, columns flow out. Of data no
//! more than footers is read, and those only where commits do not name the columns.

use std::sync::Arc;

use arcs::committed::{CommittedFiles, LotFiles};
use arcs::shape::PartitionColumn;
use arrow::datatypes::Field;
use datafusion::prelude::SessionContext;
use manifests::{Dataset, Stores};
use project::columns::{self, Known};
use project::{Produced, Project};

use crate::committed;

/// The columns of a dataset: from the format that was converted, else from its committed files, else from the query that
/// will make it. `None` where nothing of that tells.
pub async fn of_dataset(project: &Project, stores: &Stores, produced: &Produced) -> anyhow::Result<Option<Known>> {
    let Some((arc, role)) = columns::producer(project, produced) else { return Ok(None) };
    if let Some(known) = columns::converted(arc, role) {
        return Ok(Some(known));
    }
    if let Some(known) = committed_files(stores, &produced.dataset).await? {
        return Ok(Some(known));
    }
    Ok(columns::queried(project, arc).await.transpose()?)
}

/// What the committed Parquet files of a dataset have together; `None` where there is no file.
async fn committed_files(stores: &Stores, dataset: &Dataset) -> anyhow::Result<Option<Known>> {
    let session = SessionContext::new();
    let manifests = committed::manifests(stores, dataset).await?;
    let lots: Vec<LotFiles<'_>> = manifests.iter().map(LotFiles::of).collect();
    let Some(files) = CommittedFiles::open(&session.state(), stores, dataset, &lots).await? else { return Ok(None) };
    let schema = datafusion::catalog::TableProvider::schema(&files);
    let is_folder = |field: &&Arc<Field>| files.is_partition(field.name());
    let partitions: Vec<PartitionColumn> = schema.fields().iter().filter(is_folder).map(|field| columns::partition(field)).collect();
    Ok(Some(Known { columns: columns::described(&schema, &partitions), partitions }))
}
