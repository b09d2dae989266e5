//! The result of a query as one Parquet file: batches flow in, a staged file flows out. Row groups are cut by bytes, so a
//! result larger than memory passes through; the same batches give the same bytes.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::errors::ParquetError;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::ArcsError;
use crate::format::Values;
use crate::write::{FileSink, Stage, StagedFile, Stored, TableSchema, Target, WriteOptions};

/// Memory that a row group may take while it is written, in bytes.
const ROW_GROUP_MEMORY_BYTES: usize = 48 << 20;

/// Batches that may wait for the encoder.
const BATCHES_WAITING_MAX: usize = 2;

/// The file to write.
pub(crate) struct ResultFile {
    /// The sink.
    pub target: Target,
    /// The file's path below it.
    pub relative: String,
    /// Its columns.
    pub schema: SchemaRef,
}

/// Writes the file on a thread of its own. Dropped before [`ResultWriter::finish`], it leaves nothing.
pub(crate) struct ResultWriter {
    batches: mpsc::Sender<Option<RecordBatch>>,
    thread: JoinHandle<Result<Option<StagedFile>, ArcsError>>,
}

impl ResultWriter {
    /// Starts the file; small results wait below `spill_folder`.
    pub(crate) fn start(file: ResultFile, spill_folder: PathBuf) -> Result<ResultWriter, ArcsError> {
        let options = WriteOptions::default();
        let columns =
            file.schema.fields().iter().map(|field| Stored { field: field.as_ref().clone(), values: Values::Repeating, has_bloom: false });
        let table = TableSchema::new(columns, &options)?;
        let stage = Stage::new(file.target, Handle::current(), spill_folder);
        let (batches, waiting) = mpsc::channel(BATCHES_WAITING_MAX);
        let thread = tokio::task::spawn_blocking(move || write(&stage, file.relative, &table, waiting));
        Ok(ResultWriter { batches, thread })
    }

    /// Appends rows; false where the file has failed, which [`ResultWriter::finish`] then says.
    pub(crate) async fn write(&self, batch: RecordBatch) -> bool {
        self.batches.send(Some(batch)).await.is_ok()
    }

    /// Stages what is left; `None` where there was no row.
    pub(crate) async fn finish(self) -> Result<Option<StagedFile>, ArcsError> {
        let _ = self.batches.send(None).await;
        self.thread.await.unwrap_or_else(|_| Err(ArcsError::internal("the thread that writes a result panicked")))
    }
}

fn write(
    stage: &Arc<Stage>,
    relative: String,
    table: &TableSchema,
    mut waiting: mpsc::Receiver<Option<RecordBatch>>,
) -> Result<Option<StagedFile>, ArcsError> {
    let uri = stage.uri(&relative);
    let options = ArrowWriterOptions::new().with_properties((*table.properties).clone()).with_skip_arrow_metadata(true);
    let fail = |source| ArcsError::Parquet { uri: uri.clone(), source };
    let mut writer = ArrowWriter::try_new_with_options(stage.create(relative), table.schema.clone(), options).map_err(fail)?;
    let mut rows = 0;
    loop {
        let batch = match waiting.blocking_recv() {
            Some(Some(batch)) => batch,
            Some(None) => break,
            None => return Err(ArcsError::Stopped),
        };
        rows += batch.num_rows() as u64;
        if let Err(source) = append(&mut writer, &batch) {
            let sink = std::mem::replace(writer.inner_mut(), stage.create(String::new()));
            return Err(sink.failure(fail(source)));
        }
    }
    if rows == 0 {
        return Ok(None);
    }
    if let Err(source) = writer.finish() {
        let sink = std::mem::replace(writer.inner_mut(), stage.create(String::new()));
        return Err(sink.failure(fail(source)));
    }
    let sink = std::mem::replace(writer.inner_mut(), stage.create(String::new()));
    sink.finish().map(|file| Some(file.holding(rows, None)))
}

fn append(writer: &mut ArrowWriter<FileSink>, batch: &RecordBatch) -> Result<(), ParquetError> {
    writer.write(batch)?;
    if writer.memory_size() >= ROW_GROUP_MEMORY_BYTES {
        writer.flush()?;
    }
    Ok(())
}
