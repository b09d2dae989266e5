//! Committed Parquet files as a table of DataFusion: the files that manifests list and no others, whatever lies beside
//! them. Objects and footers flow in, a table flows out. Keys of the folders (`dt=2023-07-17`) become columns.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, ScalarValue, project_schema};
use datafusion::datasource::TableType;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use manifests::{Dataset, ManifestObject, ManifestsError, Stores};
use object_store::{ObjectMeta, ObjectStore};

use crate::partition::NO_VALUE;

/// The schema is that of so many of the newest files: columns are only ever added.
const SCHEMA_FILES: usize = 8;

/// The committed Parquet files of a dataset.
#[derive(Debug)]
pub struct CommittedFiles {
    url: ObjectStoreUrl,
    schema: TableSchema,
    files: Vec<PartitionedFile>,
}

impl CommittedFiles {
    /// Opens the Parquet files among `objects`, oldest first; `None` where there is none. Their sizes must be known.
    pub async fn open(
        state: &dyn Session,
        stores: &Stores,
        dataset: &Dataset,
        objects: &[&ManifestObject],
    ) -> Result<Option<CommittedFiles>, DataFusionError> {
        let is_parquet = |object: &&&ManifestObject| object.uri.ends_with(".parquet");
        let objects: Vec<&ManifestObject> = objects.iter().filter(is_parquet).copied().collect();
        let Some(first) = objects.first() else { return Ok(None) };
        let external = |error: ManifestsError| DataFusionError::External(Box::new(error));
        let url = store_url(&first.uri)?;
        let store = stores.objects.locate(&first.uri).map_err(external)?.store;
        state.runtime_env().register_object_store(url.as_ref(), store.clone());
        let keys = partition_keys(dataset, &objects);
        let files: Result<Vec<PartitionedFile>, ManifestsError> =
            objects.iter().map(|object| partitioned(stores, dataset, &keys, object)).collect();
        let files = files.map_err(external)?;
        let newest: Vec<ObjectMeta> = files.iter().rev().take(SCHEMA_FILES).map(|file| file.object_meta.clone()).collect();
        let schema = schema_of(state, &store, &newest).await?;
        let columns: Vec<FieldRef> = keys.iter().map(|key| Arc::new(Field::new(key, DataType::Utf8, true))).collect();
        Ok(Some(CommittedFiles { url, schema: TableSchema::builder(schema).with_table_partition_cols(columns).build(), files }))
    }

    /// The same columns and no rows.
    #[must_use]
    pub fn without_rows(self) -> CommittedFiles {
        CommittedFiles { files: Vec::new(), ..self }
    }
}

/// The columns of the newest files together; of the newest alone where they do not fit together.
async fn schema_of(state: &dyn Session, store: &Arc<dyn ObjectStore>, newest: &[ObjectMeta]) -> Result<SchemaRef, DataFusionError> {
    let format = ParquetFormat::default();
    match format.infer_schema(state, store, newest).await {
        Err(DataFusionError::ArrowError(..)) => format.infer_schema(state, store, &newest[..1]).await,
        schema => schema,
    }
}

/// Scheme and authority of a URI: `file://`, `s3://bucket`.
fn store_url(uri: &str) -> Result<ObjectStoreUrl, DataFusionError> {
    let (scheme, rest) = uri.split_once("://").unwrap_or(("file", uri));
    let authority = rest.split('/').next().unwrap_or_default();
    ObjectStoreUrl::parse(format!("{scheme}://{authority}"))
}

/// The `key=value` folders between a dataset's path and a file.
fn keys_of<'a>(dataset: &Dataset, uri: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let relative = uri.strip_prefix(dataset.path_uri.as_str()).unwrap_or_default();
    let folders = relative.rsplit_once('/').map_or("", |(folders, _)| folders);
    folders.split('/').filter_map(|folder| folder.split_once('='))
}

fn partition_keys(dataset: &Dataset, objects: &[&ManifestObject]) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for (key, _) in objects.iter().flat_map(|object| keys_of(dataset, &object.uri)) {
        if !keys.iter().any(|known| known == key) {
            keys.push(key.to_owned());
        }
    }
    keys
}

fn partitioned(stores: &Stores, dataset: &Dataset, keys: &[String], object: &ManifestObject) -> Result<PartitionedFile, ManifestsError> {
    let location = stores.objects.locate(&object.uri)?.path;
    let meta = ObjectMeta { location, last_modified: chrono::DateTime::UNIX_EPOCH, size: object.size, e_tag: None, version: None };
    let value = |key: &String| {
        let found = keys_of(dataset, &object.uri).find(|(name, _)| name == key).map(|(_, value)| value);
        ScalarValue::Utf8(found.filter(|value| *value != NO_VALUE).map(str::to_owned))
    };
    Ok(PartitionedFile::new_from_meta(meta).with_partition_values(keys.iter().map(value).collect()))
}

#[async_trait::async_trait]
impl TableProvider for CommittedFiles {
    fn schema(&self) -> SchemaRef {
        self.schema.table_schema().clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        if self.files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(project_schema(&self.schema(), projection)?)));
        }
        let source = ParquetSource::new(self.schema.clone()).with_enable_page_index(true);
        let groups = FileGroup::new(self.files.clone()).split_files(state.config().target_partitions());
        let config = FileScanConfigBuilder::new(self.url.clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    /// The optimizer hands filters to the files itself, for pruning; they are applied again above.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>, DataFusionError> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stand_between_the_dataset_and_the_file() {
        let dataset = Dataset { name: "a".into(), version: "1".into(), path_uri: "file:///x=1/a/".into() };
        let keys: Vec<_> = keys_of(&dataset, "file:///x=1/a/dt=2023-07-17/lot=3/f=1.parquet").collect();
        assert_eq!(keys, [("dt", "2023-07-17"), ("lot", "3")]);
        assert_eq!(keys_of(&dataset, "file:///x=1/a/f.parquet").count(), 0);
    }

    #[test]
    fn a_store_is_scheme_and_authority() {
        assert_eq!(store_url("s3://bucket/a/b").unwrap().as_str(), "s3://bucket/");
        assert_eq!(store_url("file:///a/b").unwrap().as_str(), "file:///");
    }
}
