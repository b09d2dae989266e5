//! Data files: each committed file is there, has its size, reads to the end, and holds the promised rows and times.

use anyhow::Context as _;
use arcs::stored::StoredParquet;
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{max, min};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use chrono::{DateTime, Utc};
use futures::StreamExt;
use manifests::{Located, Lot, Manifest, ManifestObject, Stores};
use object_store::ObjectStoreExt;
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use project::Produced;

use super::Audit;

/// The column whose least and greatest value the manifest promises.
const TIME_COLUMN: &str = "time";
/// Rows decoded at a time.
const BATCH_ROWS: usize = 4096;

/// What reading a file gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Content {
    rows: u64,
    times: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

impl Audit<'_> {
    /// Reads the files of one dataset, as many at a time as there are cores.
    pub(super) async fn look_at_files(&mut self, produced: &Produced, manifests: &[Manifest]) -> anyhow::Result<()> {
        let name = produced.dataset.name.as_str();
        let files: Vec<(Lot, &ManifestObject)> =
            manifests.iter().flat_map(|manifest| of_sink(manifest, produced).map(|object| (manifest.lot_id, object))).collect();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let is_quick = self.scope.is_quick;
        let stores = self.stores;
        let checks = files.into_iter().map(|(lot, object)| {
            let (stores, object) = (stores.clone(), object.clone());
            let check = tokio::spawn(async move { check(&stores, &object, is_quick).await.map(|wrong| (object, wrong)) });
            async move { (lot, check.await) }
        });
        let mut checks = futures::stream::iter(checks).buffered(cores);
        while let Some((lot, checked)) = checks.next().await {
            let (object, wrong) = checked.context("a check ended early")??;
            self.looked.files += 1;
            self.looked.bytes += object.size;
            self.looked.rows += object.rows.unwrap_or(0);
            if let Some(what) = wrong {
                let next = self.redo(produced, lot);
                self.find(name, Some(lot), format!("{}: {what}", object.uri), next);
            }
        }
        Ok(())
    }

    /// The command that makes a lot anew.
    pub(super) fn redo(&self, produced: &Produced, lot: Lot) -> String {
        match &produced.owner {
            project::Owner::Arc { name, .. } => format!("arc replay --arc {name} --lot {lot}"),
            project::Owner::Boundary(name) => format!("look at what boundary {name} watches"),
        }
    }
}

/// The files that a commit answers for: its objects, and rejects that no other dataset's commit lists.
fn of_sink<'a>(manifest: &'a Manifest, produced: &Produced) -> impl Iterator<Item = &'a ManifestObject> {
    let below = produced.dataset.path_uri.clone();
    let own = manifest.rejects.iter().filter(move |object| object.uri.starts_with(&below));
    let is_listed = |object: &&ManifestObject| !manifest.uris.contains(&object.uri);
    manifest.objects.iter().chain(own.filter(is_listed))
}

/// What is wrong with a file; an error where the store cannot be asked.
async fn check(stores: &Stores, object: &ManifestObject, is_quick: bool) -> anyhow::Result<Option<String>> {
    let place = stores.objects.locate(&object.uri)?;
    let meta = match place.store.head(&place.path).await {
        Ok(meta) => meta,
        Err(object_store::Error::NotFound { .. }) => return Ok(Some("the file is not there".into())),
        Err(error) if manifests::is_transient(&error) => return Err(error.into()),
        Err(error) => return Ok(Some(format!("the file cannot be read: {error}"))),
    };
    if meta.size != object.size {
        return Ok(Some(format!("it has {} bytes, not {}", meta.size, object.size)));
    }
    let Some(rows) = object.rows else { return Ok(None) };
    let content = match read(place, meta.size, is_quick).await {
        Ok(content) => content,
        Err(error) => return Ok(Some(format!("it cannot be read to the end: {error}"))),
    };
    if content.rows != rows {
        return Ok(Some(format!("it has {} rows, not {rows}", content.rows)));
    }
    let promised = object.event_time_min.zip(object.event_time_max);
    let is_off = !is_quick && promised.is_some() && content.times.is_some() && content.times != promised;
    Ok(is_off.then(|| "its event times are not the promised ones".into()))
}

async fn read(place: Located, size: u64, is_quick: bool) -> parquet::errors::Result<Content> {
    let builder = ParquetRecordBatchStreamBuilder::new(StoredParquet { place, size }).await?;
    if is_quick {
        let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        return Ok(Content { rows, times: None });
    }
    let mut batches = builder.with_batch_size(BATCH_ROWS).build()?;
    let mut content = Content::default();
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        content.rows += batch.num_rows() as u64;
        if let Some((first, last)) = times(&batch) {
            content.times = Some(content.times.map_or((first, last), |(least, most)| (least.min(first), most.max(last))));
        }
    }
    Ok(content)
}

fn times(batch: &RecordBatch) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let column = batch.column_by_name(TIME_COLUMN)?;
    let DataType::Timestamp(TimeUnit::Microsecond, _) = column.data_type() else { return None };
    let micros = arrow::compute::cast(column, &DataType::Int64).ok()?;
    let micros = micros.as_primitive::<Int64Type>();
    min(micros).and_then(DateTime::from_timestamp_micros).zip(max(micros).and_then(DateTime::from_timestamp_micros))
}
