//! Committed Parquet files as a table of DataFusion: the files that manifests list and no others, whatever lies beside
//! them. Objects and footers flow in, a table flows out. Keys of the folders (`dt=2023-07-17`) become columns.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::TableParquetOptions;
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
use datafusion::physical_plan::union::UnionExec;
use manifests::{Dataset, Lot, Manifest, ManifestObject, ManifestsError, NamedType, Stores};
use object_store::{ObjectMeta, ObjectStore};
use serde_json::Value;

use crate::columns::Kind;
use crate::partition::{PartitionKey, unescape};
use crate::shape::{PARTITION_KINDS, PARTITION_TYPES_KEY};
use crate::types;

/// The partition folder that stands for a column of files without it: which lot they are of.
const LOT: &str = "lot";

/// Committed files of a lot, and their columns as its commit names them; where it names none, their footers tell.
#[derive(Clone, Debug)]
pub struct LotFiles<'a> {
    /// The columns of the files.
    pub columns: &'a [NamedType],
    /// The files.
    pub files: Vec<&'a ManifestObject>,
}

impl<'a> LotFiles<'a> {
    /// The rows of a lot.
    pub fn of(manifest: &'a Manifest) -> LotFiles<'a> {
        LotFiles { columns: &manifest.columns, files: manifest.objects.iter().collect() }
    }

    /// The rejects of a lot that its main sink's commit lists.
    pub fn rejects_of(manifest: &'a Manifest) -> LotFiles<'a> {
        LotFiles { columns: &[], files: manifest.rejects.iter().collect() }
    }
}

/// The committed Parquet files of a dataset.
#[derive(Debug)]
pub struct CommittedFiles {
    url: ObjectStoreUrl,
    schema: TableSchema,
    groups: Vec<Group>,
}

/// Files that have the same columns in their folders. There are several groups where a column became a folder, or was one.
#[derive(Debug)]
struct Group {
    schema: TableSchema,
    files: Vec<PartitionedFile>,
}

impl CommittedFiles {
    /// Opens the Parquet files of lots, oldest first; `None` where there is none. Their sizes must be known. The table has
    /// the columns of all lots, null where a lot has them not; a column whose type has changed has the type that takes
    /// both. Fails where there is none, with the files and what to do.
    pub async fn open(
        state: &dyn Session,
        stores: &Stores,
        dataset: &Dataset,
        lots: &[LotFiles<'_>],
    ) -> Result<Option<CommittedFiles>, DataFusionError> {
        let mut lots = lots.to_vec();
        lots.iter_mut().for_each(|lot| lot.files.retain(|object| object.uri.ends_with(".parquet")));
        CommittedFiles::open_all(state, stores, dataset, &lots).await
    }

    /// The same of files that are Parquet whatever they are called.
    pub(crate) async fn open_all(
        state: &dyn Session,
        stores: &Stores,
        dataset: &Dataset,
        lots: &[LotFiles<'_>],
    ) -> Result<Option<CommittedFiles>, DataFusionError> {
        let objects: Vec<&ManifestObject> = lots.iter().flat_map(|lot| lot.files.iter().copied()).collect();
        let Some(first) = objects.first() else { return Ok(None) };
        let external = |error: ManifestsError| DataFusionError::External(Box::new(error));
        let url = store_url(&first.uri)?;
        let store = stores.objects.locate(&first.uri).map_err(external)?.store;
        state.runtime_env().register_object_store(url.as_ref(), store.clone());
        let keys = partition_keys(dataset, &objects);
        let metas: Result<Vec<ObjectMeta>, ManifestsError> = objects.iter().map(|object| meta(stores, object)).collect();
        let metas = metas.map_err(external)?;
        let (fields, moved) = schema_of(state, &store, lots, &metas, &keys).await?;
        let types = partition_types(state, &store, &metas, &keys).await?;
        let kind = |key: &str| {
            let name = types.get(key).and_then(Value::as_str);
            let said = name.and_then(|name| PARTITION_KINDS.iter().find(|kind| kind.0 == name)).map(|kind| &kind.1);
            said.or_else(|| moved.iter().find(|field| field.name() == key).map(Field::data_type))
        };
        let values: Vec<Vec<ScalarValue>> = keys.iter().map(|key| values(dataset, key, &objects, kind(key))).collect();
        let column = |(key, values): (&String, &Vec<ScalarValue>)| {
            let kind = values.first().map_or(DataType::Utf8, ScalarValue::data_type);
            Arc::new(Field::new(key, kind, true))
        };
        let columns: Vec<FieldRef> = keys.iter().zip(&values).map(column).collect();
        let mut files: BTreeMap<Vec<bool>, Vec<PartitionedFile>> = BTreeMap::new();
        for (at, meta) in metas.into_iter().enumerate() {
            let has_folder = |key: &str| keys_of(dataset, &objects[at].uri).any(|(folder, _)| folder == key);
            let in_folder: Vec<bool> = keys.iter().map(|key| moved.iter().all(|field| field.name() != key) || has_folder(key)).collect();
            let own = in_folder.iter().zip(&values).filter(|(in_folder, _)| **in_folder).map(|(_, values)| values[at].clone());
            let file = PartitionedFile::new_from_meta(meta).with_partition_values(own.collect());
            files.entry(in_folder).or_default().push(file);
        }
        let group = |(in_folder, files): (Vec<bool>, Vec<PartitionedFile>)| {
            let (folders, others): (Vec<_>, Vec<_>) = columns.iter().zip(in_folder).partition(|(_, in_folder)| *in_folder);
            let others = others.into_iter().map(|(column, _)| column.clone());
            let schema = Arc::new(Schema::new(fields.iter().cloned().chain(others).collect::<Vec<_>>()));
            let folders: Vec<FieldRef> = folders.into_iter().map(|(column, _)| column.clone()).collect();
            Group { schema: TableSchema::builder(schema).with_table_partition_cols(folders).build(), files }
        };
        let groups = files.into_iter().map(group).collect();
        let schema = TableSchema::builder(Arc::new(Schema::new(fields))).with_table_partition_cols(columns.clone()).build();
        Ok(Some(CommittedFiles { url, schema, groups }))
    }

    /// Whether a column is a partition folder.
    pub fn is_partition(&self, column: &str) -> bool {
        self.schema.table_partition_cols().iter().any(|field| field.name() == column)
    }

    /// The same columns and no rows.
    #[must_use]
    pub fn without_rows(self) -> CommittedFiles {
        CommittedFiles { groups: Vec::new(), ..self }
    }
}

/// The columns of all lots: those of the newest first, then what only earlier ones have; apart from them those that are
/// folders of other files. `files` are those of the lots.
async fn schema_of(
    state: &dyn Session,
    store: &Arc<dyn ObjectStore>,
    lots: &[LotFiles<'_>],
    files: &[ObjectMeta],
    keys: &[String],
) -> Result<(Vec<FieldRef>, Vec<Field>), DataFusionError> {
    let (mut all, mut end) = (Union::default(), files.len());
    for lot in lots.iter().rev() {
        let own = &files[end - lot.files.len()..end];
        end -= own.len();
        match (types::schema(lot.columns), lot.files.first()) {
            (Some(schema), Some(first)) => all.add(&schema, &first.uri)?,
            _ => {
                for (file, object) in own.iter().zip(&lot.files) {
                    let metas = std::slice::from_ref(file);
                    all.add(
                        ParquetFormat::default().with_options(options()).infer_schema(state, store, metas).await?.as_ref(),
                        &object.uri,
                    )?;
                }
            }
        }
    }
    Ok(all.finish(keys))
}

/// How files are read: times of other programs in 96 bits are microseconds too, and so reach beyond the year 2262.
fn options() -> TableParquetOptions {
    let mut options = TableParquetOptions::default();
    options.global.coerce_int96 = Some("us".to_owned());
    options
}

/// The columns of files, as they come together.
#[derive(Default)]
struct Union {
    fields: Vec<(Field, String)>,
    /// Types that were met already: most lots have the same.
    last: Option<Schema>,
}

impl Union {
    fn add(&mut self, schema: &Schema, uri: &str) -> Result<(), DataFusionError> {
        if self.last.as_ref() == Some(schema) {
            return Ok(());
        }
        for field in schema.fields() {
            let kind = without_views(field.data_type());
            match self.fields.iter_mut().find(|(known, _)| known.name() == field.name()) {
                None => self.fields.push((Field::new(field.name(), kind, true), uri.to_owned())),
                Some((known, _)) if *known.data_type() == kind => {}
                Some((known, first)) => match wider(known.data_type(), &kind) {
                    Some(wider) => *known = Field::new(field.name(), wider, true),
                    None => return Err(conflict(known, first, &kind, uri)),
                },
            }
        }
        self.last = Some(schema.clone());
        Ok(())
    }

    /// The columns without those that are folders of other files, and these, but for the lot: the files' names say it as
    /// well.
    fn finish(self, keys: &[String]) -> (Vec<FieldRef>, Vec<Field>) {
        let fields = self.fields.into_iter().map(|(field, _)| field);
        let (moved, fields): (Vec<_>, Vec<_>) = fields.partition(|field| keys.iter().any(|key| key == field.name()));
        let view = |field: Field| match field.data_type() {
            DataType::Utf8 => field.with_data_type(DataType::Utf8View),
            DataType::Binary => field.with_data_type(DataType::BinaryView),
            _ => field,
        };
        let moved = moved.into_iter().filter(|field| field.name() != LOT).collect();
        (fields.into_iter().map(view).map(Arc::new).collect(), moved)
    }
}

fn conflict(newer: &Field, newer_uri: &str, older: &DataType, older_uri: &str) -> DataFusionError {
    let (name, newer) = (newer.name(), types::word(newer.data_type()));
    DataFusionError::Plan(format!(
        "column `{name}` is {newer} in {newer_uri} and {} in {older_uri}, and no type takes both; make the older lots anew with \
         `arc replay`, or give the changed data a dataset version of its own",
        types::word(older)
    ))
}

fn without_views(kind: &DataType) -> DataType {
    match kind {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, value) => without_views(value),
        other => other.clone(),
    }
}

/// The type that values of both types are cast to, where there is one: the wider number, else text.
fn wider(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType as T;
    let has_text = |kind: &DataType| kind.is_numeric() || matches!(kind, T::Utf8 | T::Boolean | T::Date32 | T::Timestamp(..) | T::Null);
    Some(match (a, b) {
        (T::Null, other) | (other, T::Null) => other.clone(),
        (T::Int8 | T::Int16 | T::Int32 | T::Int64, T::Int8 | T::Int16 | T::Int32 | T::Int64) => {
            if a.primitive_width() > b.primitive_width() { a.clone() } else { b.clone() }
        }
        (a, b) if a.is_floating() && b.is_numeric() || a.is_numeric() && b.is_floating() => T::Float64,
        (T::Timestamp(..), T::Timestamp(..)) => Kind::Time.data_type(),
        (T::Utf8, other) | (other, T::Utf8) if has_text(other) => T::Utf8,
        _ => return None,
    })
}

/// Scheme and authority of a URI: `file://`, `s3://bucket`.
fn store_url(uri: &str) -> Result<ObjectStoreUrl, DataFusionError> {
    let (scheme, rest) = uri.split_once("://").unwrap_or(("file", uri));
    let authority = rest.split('/').next().unwrap_or_default();
    ObjectStoreUrl::parse(format!("{scheme}://{authority}"))
}

/// The `key=value` folders between a dataset's path and a file.
pub(crate) fn keys_of<'a>(dataset: &Dataset, uri: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let relative = uri.strip_prefix(dataset.path_uri.as_str()).unwrap_or_default();
    let folders = relative.rsplit_once('/').map_or("", |(folders, _)| folders);
    folders.split('/').filter_map(|folder| folder.split_once('='))
}

/// The lot that a file's name begins with.
fn lot_of(uri: &str) -> Option<&str> {
    let name = uri.rsplit('/').next()?;
    name.split_once('-').map(|(lot, _)| lot).filter(|lot| lot.parse::<Lot>().is_ok())
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

fn meta(stores: &Stores, object: &ManifestObject) -> Result<ObjectMeta, ManifestsError> {
    let location = stores.objects.locate(&object.uri)?.path;
    Ok(ObjectMeta { location, last_modified: chrono::DateTime::UNIX_EPOCH, size: object.size, e_tag: None, version: None })
}

/// The types of the partition folders that are columns of rows, as the newest file says them.
async fn partition_types(
    state: &dyn Session,
    store: &Arc<dyn ObjectStore>,
    files: &[ObjectMeta],
    keys: &[String],
) -> Result<Value, DataFusionError> {
    let Some(newest) = files.last().filter(|_| keys.iter().any(|key| PartitionKey::find(key).is_none())) else { return Ok(Value::Null) };
    let format = ParquetFormat::default().with_skip_metadata(false);
    let schema = format.infer_schema(state, store, std::slice::from_ref(newest)).await?;
    let types = schema.metadata().get(PARTITION_TYPES_KEY).and_then(|types| serde_json::from_str(types).ok());
    Ok(types.unwrap_or(Value::Null))
}

/// The values of a folder's key, a file each: of this type, or text where one does not fit it.
fn values(dataset: &Dataset, key: &str, objects: &[&ManifestObject], kind: Option<&DataType>) -> Vec<ScalarValue> {
    let shown = |object: &&ManifestObject| {
        let folder = keys_of(dataset, &object.uri).find(|(name, _)| *name == key).map(|(_, value)| value);
        let value = folder.or_else(|| (key == LOT).then(|| lot_of(&object.uri)).flatten()).and_then(unescape);
        value.map(Cow::into_owned)
    };
    let shown: Vec<Option<String>> = objects.iter().map(shown).collect();
    let typed = |kind: &DataType| -> Result<Vec<ScalarValue>, DataFusionError> {
        let read = |value: &Option<String>| match value {
            Some(value) => ScalarValue::try_from_string(value.clone(), kind),
            None => ScalarValue::try_from(kind),
        };
        shown.iter().map(read).collect()
    };
    let typed = kind.and_then(|kind| typed(kind).ok());
    typed.unwrap_or_else(|| shown.into_iter().map(ScalarValue::Utf8).collect())
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
        let all = self.schema();
        let wanted: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..all.fields().len()).collect());
        let mut plans: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        for group in &self.groups {
            let own = group.schema.table_schema();
            let places: Result<Vec<usize>, _> = wanted.iter().map(|column| own.index_of(all.field(*column).name())).collect();
            let source = ParquetSource::new(group.schema.clone()).with_table_parquet_options(options()).with_enable_page_index(true);
            let files = FileGroup::new(group.files.clone()).split_files(state.config().target_partitions());
            let config = FileScanConfigBuilder::new(self.url.clone(), Arc::new(source))
                .with_file_groups(files)
                .with_projection_indices(Some(places?))?
                .with_limit(limit)
                .build();
            plans.push(DataSourceExec::from_data_source(config));
        }
        match plans.len() {
            0 => Ok(Arc::new(EmptyExec::new(project_schema(&all, projection)?))),
            1 => Ok(plans.remove(0)),
            _ => UnionExec::try_new(plans),
        }
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
    fn types_that_go_together() {
        use DataType as T;
        let time = Kind::Time.data_type();
        let pairs = [
            (T::Int32, T::Int64, Some(T::Int64)),
            (T::Int64, T::Float64, Some(T::Float64)),
            (T::Boolean, T::Utf8, Some(T::Utf8)),
            (time.clone(), T::Utf8, Some(T::Utf8)),
            (T::Date32, T::Utf8, Some(T::Utf8)),
            (T::Boolean, T::Int64, None),
            (time, T::Int64, None),
            (T::Binary, T::Utf8, None),
        ];
        for (a, b, expected) in pairs {
            assert_eq!((wider(&a, &b), wider(&b, &a)), (expected.clone(), expected), "{a} {b}");
        }
    }

    #[test]
    fn a_conflict_names_the_files_and_what_to_do() {
        let schema = |kind| Schema::new(vec![Field::new("flag", kind, true)]);
        let mut all = Union::default();
        all.add(&schema(DataType::Boolean), "file:///new.parquet").unwrap();
        let error = all.add(&schema(DataType::Int64), "file:///old.parquet").unwrap_err();
        expect_test::expect![[r#"Error during planning: column `flag` is boolean in file:///new.parquet and bigint in file:///old.parquet, and no type takes both; make the older lots anew with `arc replay`, or give the changed data a dataset version of its own"#]].assert_eq(&error.strip_backtrace());
        assert_eq!(lot_of("file:///a/20230717PT5M250-00001.parquet"), Some("20230717PT5M250"));
        assert_eq!(lot_of("file:///a/b-c.parquet"), None);
        let (fields, moved) = Union { fields: all.fields, last: None }.finish(&["flag".to_owned()]);
        assert_eq!((fields.len(), moved.len()), (0, 1));
    }

    #[test]
    fn a_store_is_scheme_and_authority() {
        assert_eq!(store_url("s3://bucket/a/b").unwrap().as_str(), "s3://bucket/");
        assert_eq!(store_url("file:///a/b").unwrap().as_str(), "file:///");
    }
}
