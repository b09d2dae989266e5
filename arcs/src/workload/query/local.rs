//! A query on this machine: sources become tables of DataFusion, planned rows flow out. A source without rows has the
//! columns that the arc declares, or those of its last lot with data.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use datafusion::prelude::{DataFrame, SessionContext};
use manifests::{Manifest, ManifestObject};
use serde_json::Value;

use super::{Parameters, Source};
use crate::committed::{CommittedFiles, LotFiles};
use crate::declared;
use crate::error::ArcsError;
use crate::runner::SourceLots;
use crate::sql;
use crate::workload::RunInput;

/// Earlier lots that are looked at for the columns of a source that has nothing in this one.
const SCHEMA_LOTS_MAX: usize = 1_000;

/// Plans the query.
pub(super) async fn frame(
    input: &RunInput<'_>,
    parameters: &Parameters,
    text: &str,
    sources: &[Source<'_>],
) -> Result<DataFrame, ArcsError> {
    let session = sql::session(&input.context.options, parameters.threads.unwrap_or(1))?;
    for source in sources {
        register(&session, input, source, parameters.schemas.get(&source.lots.role)).await?;
    }
    let frame = sql::select(&session, text).await?;
    if let Some(function) = sql::unrepeatable_function(frame.logical_plan())? {
        return Err(ArcsError::Job { message: super::unrepeatable(&function) });
    }
    Ok(frame)
}

/// Makes a source a table, under its role and under its dataset's name.
async fn register(session: &SessionContext, input: &RunInput<'_>, source: &Source<'_>, schema: Option<&Value>) -> Result<(), ArcsError> {
    let known: HashMap<&str, &ManifestObject> = source.objects.iter().map(|object| (object.uri.as_str(), object)).collect();
    let (state, dataset) = (session.state(), &source.lots.dataset);
    let of_lot = |lot: &'_ Manifest| -> Vec<&ManifestObject> {
        lot.objects.iter().filter_map(|object| known.get(object.uri.as_str()).copied()).collect()
    };
    let lots: Vec<LotFiles<'_>> = source.lots.lots.iter().map(|lot| LotFiles { columns: &lot.columns, files: of_lot(lot) }).collect();
    let open = CommittedFiles::open(&state, &input.context.stores, dataset, &lots);
    let table: Arc<dyn TableProvider> = match open.await.map_err(sql::plan_error)? {
        Some(files) => Arc::new(files),
        None => empty_table(session, input, source.lots, schema).await?,
    };
    for name in source.names() {
        let name = datafusion::common::TableReference::bare(name);
        if !session.table_exist(name.clone()).map_err(sql::plan_error)? {
            session.register_table(name, table.clone()).map_err(sql::plan_error)?;
        }
    }
    Ok(())
}

/// The columns of a source without rows: as the arc declares them, or as its last lot with data has them.
async fn empty_table(
    session: &SessionContext,
    input: &RunInput<'_>,
    source: &SourceLots,
    schema: Option<&Value>,
) -> Result<Arc<dyn TableProvider>, ArcsError> {
    if let Some(schema) = schema {
        let schema = declared::schema_of(schema).map_err(|message| ArcsError::Job { message })?;
        return Ok(Arc::new(EmptyTable::new(schema)));
    }
    let stores = &input.context.stores;
    let lots = stores.lots(&source.dataset.id()).await?;
    for lot in lots.into_keys().rev().take(SCHEMA_LOTS_MAX) {
        let Some(manifest) = stores.latest(&source.dataset, lot).await? else { continue };
        let files = manifest.objects.iter().filter(|object| object.size > 0).collect();
        let lot = LotFiles { columns: &manifest.columns, files };
        let opened = CommittedFiles::open(&session.state(), stores, &source.dataset, &[lot]).await;
        if let Ok(Some(files)) = opened {
            return Ok(Arc::new(files.without_rows()));
        }
    }
    let message =
        format!("source `{}` has no data in any lot yet, so its columns are not known; declare them in workload.schemas", source.role);
    Err(ArcsError::Job { message })
}
