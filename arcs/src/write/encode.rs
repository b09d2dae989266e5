//! One Parquet file: batches of arrays flow in, encoded bytes flow to its sink. The columns are dealt to lanes; a lane
//! encodes its columns of one batch after the other, lanes run side by side on the pool. When all lanes have closed a
//! row group it is appended, in order. Nothing waits: the last one to arrive does the next step.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use arrow::array::ArrayRef;
use arrow::datatypes::Field;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriterOptions, compute_leaves};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnPath, SchemaDescPtr};

use crate::error::ArcsError;
use crate::pool::{Failure, Tasks, Urgency, lock};
use crate::write::chunk::{Chunk, Encoded};
use crate::write::stage::{FileSink, StagedFile};
use crate::write::table::{Batch, TableSchema};

/// Columns of a lane: small enough to balance, large enough that handing over costs nothing. A column without a
/// dictionary is as much work as several with one, and has a lane to itself.
const LANE_COLUMNS: usize = 3;

/// Hands over a finished file.
pub(crate) type Done = Box<dyn FnOnce(Result<StagedFile, ArcsError>) + Send>;

/// A file being encoded.
pub(crate) struct Encoder {
    uri: String,
    tasks: Tasks,
    failure: Arc<Failure>,
    schema: TableSchema,
    columns: SchemaDescPtr,
    factory: ArrowRowGroupWriterFactory,
    lanes: Vec<Mutex<Lane>>,
    file: Mutex<FileState>,
}

struct Lane {
    columns: Range<usize>,
    queue: VecDeque<Step>,
    is_running: bool,
    row_group: usize,
    writers: Vec<ColumnWriter>,
}

/// Encodes a column of a row group.
enum ColumnWriter {
    Own(Box<Chunk>),
    Arrow(Box<ArrowColumnWriter>),
}

/// An encoded column of a row group.
enum Closed {
    Own(Encoded, Box<ColumnCloseResult>),
    Arrow(Box<ArrowColumnChunk>),
}

impl ColumnWriter {
    fn write(&mut self, array: &ArrayRef) -> Result<(), ParquetError> {
        match self {
            ColumnWriter::Own(chunk) => chunk.write(array),
            ColumnWriter::Arrow(writer) => {
                // The field says how to read the array; the writer knows what the file declares.
                let field = Field::new("", array.data_type().clone(), true);
                compute_leaves(&field, array)?.iter().try_for_each(|leaf| writer.write(leaf))
            }
        }
    }

    fn close(self) -> Result<Closed, ParquetError> {
        match self {
            ColumnWriter::Own(chunk) => chunk.close().map(|(bytes, closed)| Closed::Own(bytes, Box::new(closed))),
            ColumnWriter::Arrow(writer) => writer.close().map(|chunk| Closed::Arrow(Box::new(chunk))),
        }
    }
}

impl Closed {
    fn append_to<W: Write + Send>(self, row_group: &mut SerializedRowGroupWriter<'_, W>) -> Result<(), ParquetError> {
        match self {
            Closed::Own(bytes, closed) => row_group.append_column(&bytes, *closed),
            Closed::Arrow(chunk) => chunk.append_to_row_group(row_group),
        }
    }
}

enum Step {
    Open(Vec<ColumnWriter>),
    Write(Arc<Batch>),
    Close,
}

/// What lanes bring together.
struct FileState {
    writer: Option<SerializedFileWriter<FileSink>>,
    closed: BTreeMap<usize, Vec<(usize, Vec<Closed>)>>,
    appended: usize,
    end: Option<(usize, Done)>,
}

/// The columns of each lane.
fn lanes(schema: &TableSchema) -> Vec<Range<usize>> {
    let fields = schema.schema.fields();
    let is_heavy = |column: usize| !schema.properties.dictionary_enabled(&ColumnPath::from(fields[column].name().as_str()));
    let mut lanes: Vec<Range<usize>> = Vec::new();
    for column in 0..fields.len() {
        match lanes.last_mut() {
            Some(lane) if lane.len() < LANE_COLUMNS && !is_heavy(column) && !is_heavy(lane.start) => lane.end = column + 1,
            _ => lanes.push(column..column + 1),
        }
    }
    lanes
}

impl Encoder {
    /// Starts a file.
    pub(crate) fn start(
        schema: &TableSchema,
        sink: FileSink,
        uri: String,
        tasks: Tasks,
        failure: Arc<Failure>,
    ) -> Result<Arc<Encoder>, ArcsError> {
        let fail = |source| ArcsError::Parquet { uri: uri.clone(), source };
        let options = ArrowWriterOptions::new().with_properties(schema.properties.as_ref().clone()).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(sink, schema.schema.clone(), options).map_err(fail)?;
        let (writer, factory) = writer.into_serialized_writer().map_err(fail)?;
        let descriptor = Arc::new(writer.schema_descr().clone());
        let lane = |columns: Range<usize>| {
            Mutex::new(Lane { columns, queue: VecDeque::new(), is_running: false, row_group: 0, writers: Vec::new() })
        };
        let lanes = lanes(schema).into_iter().map(lane).collect();
        let file = Mutex::new(FileState { writer: Some(writer), closed: BTreeMap::new(), appended: 0, end: None });
        Ok(Arc::new(Encoder { uri, tasks, failure, schema: schema.clone(), columns: descriptor, factory, lanes, file }))
    }

    /// Starts a row group of about so many rows.
    pub(crate) fn open_row_group(self: &Arc<Self>, row_group: usize, rows: u64) -> Result<(), ArcsError> {
        let fail = |source| ArcsError::Parquet { uri: self.uri.clone(), source };
        let writers = self.factory.create_column_writers(row_group).map_err(fail)?;
        let mut writers = writers.into_iter().enumerate().map(|(column, writer)| self.column_writer(column, writer, rows));
        for lane in 0..self.lanes.len() {
            let columns = lock(&self.lanes[lane]).columns.len();
            self.push(lane, Step::Open(writers.by_ref().take(columns).collect()));
        }
        Ok(())
    }

    fn column_writer(&self, column: usize, writer: ArrowColumnWriter, rows: u64) -> ColumnWriter {
        let fields = self.schema.schema.fields();
        let is_flat = self.columns.num_columns() == fields.len();
        let chunk = || Chunk::new(fields[column].data_type(), &self.columns.column(column), &self.schema.properties, rows);
        match is_flat.then(chunk).flatten() {
            Some(chunk) => ColumnWriter::Own(Box::new(chunk)),
            None => ColumnWriter::Arrow(Box::new(writer)),
        }
    }

    /// Adds rows to the current row group.
    pub(crate) fn write(self: &Arc<Self>, batch: &Arc<Batch>) {
        for lane in 0..self.lanes.len() {
            self.push(lane, Step::Write(batch.clone()));
        }
    }

    /// Ends the current row group.
    pub(crate) fn close_row_group(self: &Arc<Self>) {
        for lane in 0..self.lanes.len() {
            self.push(lane, Step::Close);
        }
    }

    /// Ends the file after `row_groups` row groups; `done` gets it when its last byte is staged.
    pub(crate) fn finish(self: &Arc<Self>, row_groups: usize, done: Done) {
        lock(&self.file).end = Some((row_groups, done));
        let this = self.clone();
        self.tasks.submit(Urgency::First, move || this.advance());
    }

    fn push(self: &Arc<Self>, lane: usize, step: Step) {
        let mut state = lock(&self.lanes[lane]);
        state.queue.push_back(step);
        if !std::mem::replace(&mut state.is_running, true) {
            let this = self.clone();
            self.tasks.submit(Urgency::First, move || this.run(lane));
        }
    }

    /// Works through a lane's queue.
    fn run(&self, lane: usize) {
        loop {
            let mut state = lock(&self.lanes[lane]);
            let Some(step) = state.queue.pop_front() else {
                state.is_running = false;
                return;
            };
            let (first_column, row_group) = (state.columns.start, state.row_group);
            let writers = std::mem::take(&mut state.writers);
            drop(state);
            match self.step(step, first_column, row_group, writers) {
                Ok((row_group, writers)) => {
                    let mut state = lock(&self.lanes[lane]);
                    (state.row_group, state.writers) = (row_group, writers);
                }
                Err(source) => self.failure.set(ArcsError::Parquet { uri: self.uri.clone(), source }),
            }
        }
    }

    fn step(
        &self,
        step: Step,
        first_column: usize,
        row_group: usize,
        mut writers: Vec<ColumnWriter>,
    ) -> Result<(usize, Vec<ColumnWriter>), ParquetError> {
        if self.failure.is_set() {
            return Ok((row_group, writers));
        }
        match step {
            Step::Open(writers) => Ok((row_group, writers)),
            Step::Write(batch) => {
                for (writer, array) in writers.iter_mut().zip(&batch.columns[first_column..]) {
                    writer.write(array)?;
                }
                Ok((row_group, writers))
            }
            Step::Close => {
                let chunks: Result<Vec<_>, _> = writers.into_iter().map(ColumnWriter::close).collect();
                self.close(row_group, first_column, chunks?);
                Ok((row_group + 1, Vec::new()))
            }
        }
    }

    fn close(&self, row_group: usize, first_column: usize, chunks: Vec<Closed>) {
        lock(&self.file).closed.entry(row_group).or_default().push((first_column, chunks));
        self.advance();
    }

    /// Appends row groups that all lanes have closed, and ends the file after the last.
    fn advance(&self) {
        let mut file = lock(&self.file);
        if let Err(source) = self.append_ready(&mut file) {
            let fallback = ArcsError::Parquet { uri: self.uri.clone(), source };
            let sink = file.writer.take().map(|mut writer| writer.inner_mut().take());
            self.failure.set(match sink {
                Some(sink) => sink.failure(fallback),
                None => fallback,
            });
        }
        let is_over = file.end.as_ref().is_some_and(|(row_groups, _)| *row_groups == file.appended);
        if let (true, Some(writer)) = (is_over, file.writer.take_if(|_| is_over)) {
            let done = file.end.take();
            drop(file);
            let finished = self.seal(writer);
            if let Some((_, done)) = done {
                done(finished);
            }
        }
    }

    fn append_ready(&self, file: &mut FileState) -> Result<(), ParquetError> {
        while file.closed.get(&file.appended).is_some_and(|lanes| lanes.len() == self.lanes.len()) {
            let mut lanes = file.closed.remove(&file.appended).unwrap_or_default();
            lanes.sort_by_key(|(first_column, _)| *first_column);
            let Some(writer) = file.writer.as_mut() else { return Ok(()) };
            let mut row_group = writer.next_row_group()?;
            for chunk in lanes.into_iter().flat_map(|(_, chunks)| chunks) {
                chunk.append_to(&mut row_group)?;
            }
            row_group.close()?;
            file.appended += 1;
        }
        Ok(())
    }

    fn seal(&self, mut writer: SerializedFileWriter<FileSink>) -> Result<StagedFile, ArcsError> {
        let finished = writer.finish();
        let sink = writer.inner_mut().take();
        match finished {
            Ok(_) => sink.finish(),
            Err(source) => Err(sink.failure(ArcsError::Parquet { uri: self.uri.clone(), source })),
        }
    }
}
