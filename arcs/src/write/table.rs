//! The files of one partition of one lot: batches flow in, in order; row groups and parts are cut by the text they stand
//! for, so the cuts depend on the rows alone.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use arrow::array::ArrayRef;
use arrow::datatypes::{Field, Schema, SchemaRef};
use chrono::{DateTime, Utc};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::schema::types::ColumnPath;

use crate::error::ArcsError;
use crate::format::Values;
use crate::pool::{Failure, Share, Tasks};
use crate::write::encode::Encoder;
use crate::write::stage::{Stage, StagedFile};
use crate::write::{Codec, WriteOptions};

/// Distinct values that a Bloom filter is made for at most; it shrinks to what a row group has.
const BLOOM_VALUES_MAX: u64 = 1 << 18;

/// False positives of a Bloom filter.
const BLOOM_FALSE_POSITIVES: f64 = 0.01;

/// Bytes of a value that the page index keeps.
const INDEX_VALUE_BYTES: usize = 64;

/// A column and how it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// Name and type.
    pub field: Field,
    /// How its values repeat.
    pub values: Values,
    /// Whether it has a Bloom filter.
    pub has_bloom: bool,
}

/// The columns of a table and how they are stored.
#[derive(Clone, Debug)]
pub(crate) struct TableSchema {
    /// Names and types; all nullable.
    pub schema: SchemaRef,
    /// How they are stored.
    pub properties: WriterPropertiesPtr,
}

impl TableSchema {
    /// A table of these columns.
    pub(crate) fn new(columns: impl Iterator<Item = Stored>, options: &WriteOptions) -> Result<TableSchema, ArcsError> {
        let level = ZstdLevel::try_new(options.zstd_level);
        let level = level.map_err(|_| ArcsError::Job { message: format!("zstd level {} is not one of 1 to 22", options.zstd_level) })?;
        let mut properties = WriterProperties::builder()
            .set_compression(match options.codec {
                Codec::Zstd => Compression::ZSTD(level),
                Codec::Snappy => Compression::SNAPPY,
                Codec::None => Compression::UNCOMPRESSED,
            })
            .set_created_by(concat!("arclake ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_column_index_truncate_length(Some(INDEX_VALUE_BYTES))
            .set_statistics_truncate_length(Some(INDEX_VALUE_BYTES))
            .set_max_row_group_row_count(None)
            .set_statistics_enabled(EnabledStatistics::Page);
        let mut fields = Vec::new();
        for Stored { field, values, has_bloom } in columns {
            let path = ColumnPath::from(field.name().as_str());
            if values != Values::Repeating {
                properties = properties.set_column_dictionary_enabled(path.clone(), false);
            }
            if values == Values::Ascending {
                properties = properties.set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED);
            }
            if has_bloom {
                properties = properties
                    .set_column_bloom_filter_enabled(path.clone(), true)
                    .set_column_bloom_filter_fpp(path.clone(), BLOOM_FALSE_POSITIVES)
                    .set_column_bloom_filter_max_ndv(path, BLOOM_VALUES_MAX);
            }
            fields.push(field);
        }
        Ok(TableSchema { schema: Arc::new(Schema::new(fields)), properties: Arc::new(properties.build()) })
    }

    /// The same, whose files say what their row groups are sorted by and carry these texts.
    pub(crate) fn saying(self, sorted: Vec<SortingColumn>, texts: Vec<KeyValue>) -> TableSchema {
        if sorted.is_empty() && texts.is_empty() {
            return self;
        }
        let properties = self.properties.as_ref().clone().into_builder();
        let properties = properties.set_sorting_columns((!sorted.is_empty()).then_some(sorted));
        let properties = properties.set_key_value_metadata((!texts.is_empty()).then_some(texts));
        TableSchema { properties: Arc::new(properties.build()), ..self }
    }
}

/// Rows of a table.
#[derive(Debug)]
pub(crate) struct Batch {
    /// One array a column, all of the same length.
    pub columns: Vec<ArrayRef>,
    /// The input's share of the bound on what is in flight, given back when the last column is encoded.
    pub _share: Option<Arc<Share>>,
}

/// What a batch stands for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BatchFacts {
    /// Rows.
    pub rows: u64,
    /// Bytes of the text they were read from.
    pub text_bytes: u64,
    /// Earliest and latest event time, in microseconds since 1970.
    pub times: Option<(i64, i64)>,
}

/// A finished file and its place among the files of its sink.
pub(crate) type Finished = (FileOrder, Result<StagedFile, ArcsError>);

/// Files are published in the order of their paths.
pub(crate) type FileOrder = String;

/// What tables share.
#[derive(Clone)]
pub(crate) struct TableContext {
    /// Columns and storage.
    pub schema: TableSchema,
    /// Where files are staged.
    pub stage: Arc<Stage>,
    /// Where columns are encoded.
    pub tasks: Tasks,
    /// The run's first failure.
    pub failure: Arc<Failure>,
    /// Where finished files go.
    pub finished: Sender<Finished>,
    /// How files are cut.
    pub options: WriteOptions,
    /// The lot, as file names show it.
    pub lot: String,
}

/// The files of one partition.
pub(crate) struct Table {
    context: TableContext,
    folder: String,
    next_part: u32,
    open: Option<OpenFile>,
}

struct OpenFile {
    relative: String,
    encoder: Arc<Encoder>,
    row_groups: usize,
    row_group_text_bytes: u64,
    facts: BatchFacts,
}

impl Table {
    /// The files below `folder` (empty, or ending in a slash), from part `next_part`.
    pub(crate) fn new(context: &TableContext, folder: String, next_part: u32) -> Table {
        Table { context: context.clone(), folder, next_part, open: None }
    }

    /// Appends rows.
    pub(crate) fn write(&mut self, batch: &Arc<Batch>, facts: BatchFacts) -> Result<(), ArcsError> {
        let options = self.context.options;
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                let opened = OpenFile::start(&self.context, &self.folder, self.next_part)?;
                self.next_part += 1;
                self.open.insert(opened)
            }
        };
        if open.row_group_text_bytes == 0 {
            let texts = options.row_group_text_bytes as u64 / facts.text_bytes.max(1) + 1;
            open.encoder.open_row_group(open.row_groups, facts.rows * texts)?;
        }
        open.encoder.write(batch);
        open.facts.add(facts);
        open.row_group_text_bytes += facts.text_bytes;
        if open.row_group_text_bytes >= options.row_group_text_bytes as u64 {
            open.close_row_group();
        }
        if open.facts.text_bytes >= options.part_text_bytes {
            self.finish();
        }
        Ok(())
    }

    /// Text of the row group that is being written, in bytes.
    pub(crate) fn pending_text_bytes(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.row_group_text_bytes)
    }

    /// Ends the row group that is being written, to give its memory back.
    pub(crate) fn close_row_group(&mut self) {
        if let Some(open) = self.open.as_mut().filter(|open| open.row_group_text_bytes > 0) {
            open.close_row_group();
        }
    }

    /// Ends the file that is being written; gives the part that the next one would be.
    pub(crate) fn finish(&mut self) -> u32 {
        if let Some(mut open) = self.open.take() {
            if open.row_group_text_bytes > 0 {
                open.close_row_group();
            }
            let (finished, order, facts) = (self.context.finished.clone(), open.relative, open.facts);
            let done = move |file: Result<StagedFile, ArcsError>| {
                let file = file.map(|file| file.holding(facts.rows, facts.event_times()));
                let _ = finished.send((order, file));
            };
            open.encoder.finish(open.row_groups, Box::new(done));
        }
        self.next_part
    }
}

impl OpenFile {
    fn start(context: &TableContext, folder: &str, part: u32) -> Result<OpenFile, ArcsError> {
        let relative = format!("{folder}{}-{part:05}.parquet", context.lot);
        let (sink, uri) = (context.stage.create(relative.clone()), context.stage.uri(&relative));
        let encoder = Encoder::start(&context.schema, sink, uri, context.tasks.clone(), context.failure.clone())?;
        Ok(OpenFile { relative, encoder, row_groups: 0, row_group_text_bytes: 0, facts: BatchFacts::default() })
    }

    fn close_row_group(&mut self) {
        self.encoder.close_row_group();
        self.row_groups += 1;
        self.row_group_text_bytes = 0;
    }
}

impl BatchFacts {
    /// Takes in what another batch stands for.
    pub(crate) fn add(&mut self, other: BatchFacts) {
        self.rows += other.rows;
        self.text_bytes += other.text_bytes;
        self.times = match (self.times, other.times) {
            (Some((first, last)), Some((from, to))) => Some((first.min(from), last.max(to))),
            (mine, others) => mine.or(others),
        };
    }

    fn event_times(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let (first, last) = self.times?;
        Some((DateTime::from_timestamp_micros(first)?, DateTime::from_timestamp_micros(last)?))
    }
}
