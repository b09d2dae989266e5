//! Rows set aside: rows of partitions for which no writer is open flow in, and flow out again partition by partition.
//! They lie, as arrow's IPC stream, in one temporary file that vanishes with the process; memory holds an index and a
//! bounded buffer.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;

use crate::error::ArcsError;
use crate::partition::Slot;
use crate::write::BatchFacts;

/// Bytes that wait in memory before all of them are written.
const BUFFER_BYTES: usize = 16 << 20;

/// What an array takes in memory beside its values, in bytes, about.
const ARRAY_BYTES: usize = 256;

/// Rows set aside.
pub(crate) struct Spill {
    folder: PathBuf,
    file: Option<File>,
    file_bytes: u64,
    waiting: BTreeMap<Slot, Vec<(RecordBatch, BatchFacts)>>,
    waiting_bytes: usize,
    written: BTreeMap<Slot, Vec<Extent>>,
}

/// Where rows lie in the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    offset: u64,
    /// How many bytes they are.
    pub bytes: usize,
    facts: BatchFacts,
}

impl Spill {
    /// Sets rows aside in `folder`; nothing is created before it is needed.
    pub(crate) fn new(folder: PathBuf) -> Spill {
        Spill { folder, file: None, file_bytes: 0, waiting: BTreeMap::new(), waiting_bytes: 0, written: BTreeMap::new() }
    }

    /// Sets rows aside. Their texts are copied, so that they hold no block.
    pub(crate) fn add(&mut self, slot: Slot, columns: Vec<ArrayRef>, facts: BatchFacts) -> Result<(), ArcsError> {
        let columns: Vec<ArrayRef> = columns.into_iter().map(compact).collect();
        self.waiting_bytes += columns.iter().map(|column| column.get_buffer_memory_size() + ARRAY_BYTES).sum::<usize>();
        let batch = batch(columns).map_err(unfit)?;
        self.waiting.entry(slot).or_default().push((batch, facts));
        if self.waiting_bytes > BUFFER_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), ArcsError> {
        let fail = |source| ArcsError::Spill { folder: self.folder.display().to_string(), source };
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(tempfile::tempfile_in(&self.folder).map_err(fail)?),
        };
        for (slot, batches) in std::mem::take(&mut self.waiting) {
            let mut facts = BatchFacts::default();
            batches.iter().for_each(|(_, more)| facts.add(*more));
            let bytes = encoded(&batches).map_err(unfit)?;
            file.write_all_at(&bytes, self.file_bytes).map_err(fail)?;
            self.written.entry(slot).or_default().push(Extent { offset: self.file_bytes, bytes: bytes.len(), facts });
            self.file_bytes += bytes.len() as u64;
        }
        self.waiting_bytes = 0;
        Ok(())
    }

    /// Where the rows of each partition lie, partitions in order.
    pub(crate) fn partitions(&mut self) -> Result<Vec<(Slot, Vec<Extent>)>, ArcsError> {
        if self.waiting_bytes > 0 {
            self.write()?;
        }
        Ok(std::mem::take(&mut self.written).into_iter().collect())
    }

    /// Reads rows back.
    pub(crate) fn read(&self, extent: Extent) -> Result<(Vec<ArrayRef>, BatchFacts), ArcsError> {
        let Some(file) = &self.file else { return Err(ArcsError::internal("nothing was set aside")) };
        let fail = |source| ArcsError::Spill { folder: self.folder.display().to_string(), source };
        let mut bytes = vec![0; extent.bytes];
        file.read_exact_at(&mut bytes, extent.offset).map_err(fail)?;
        let batch = StreamReader::try_new(bytes.as_slice(), None).and_then(|mut read| read.next().transpose()).map_err(unfit)?;
        let batch = batch.ok_or_else(|| ArcsError::internal("rows set aside are not there any more"))?;
        Ok((batch.columns().to_vec(), extent.facts))
    }
}

/// The same values in buffers of their own.
pub(crate) fn compact(column: ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
        DataType::Utf8View => Arc::new(column.as_string_view().gc()),
        _ => column,
    }
}

fn batch(columns: Vec<ArrayRef>) -> Result<RecordBatch, ArrowError> {
    let fields: Vec<Field> = columns.iter().map(|column| Field::new("", column.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn encoded(batches: &[(RecordBatch, BatchFacts)]) -> Result<Vec<u8>, ArrowError> {
    let Some((first, _)) = batches.first() else { return Ok(Vec::new()) };
    let all = concat_batches(first.schema_ref(), batches.iter().map(|(batch, _)| batch))?;
    let mut writer = StreamWriter::try_new(Vec::new(), first.schema_ref())?;
    writer.write(&all)?;
    writer.into_inner()
}

fn unfit(error: ArrowError) -> ArcsError {
    ArcsError::internal(format!("rows cannot be set aside: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{BinaryViewArray, Int64Array};
    use arrow::datatypes::Int64Type;

    #[test]
    fn rows_come_back_by_partition() {
        let folder = tempfile::tempdir().unwrap();
        let mut spill = Spill::new(folder.path().to_owned());
        let long = vec![b'x'; BUFFER_BYTES / 3];
        let slot = |time: Option<i64>| Slot { time, values: 0 };
        let mut add = |time, number: i64, text: &[u8]| {
            let columns: Vec<ArrayRef> =
                vec![Arc::new(BinaryViewArray::from_iter_values([text])), Arc::new(Int64Array::from(vec![number]))];
            spill.add(slot(time), columns, BatchFacts { rows: 1, text_bytes: 2, times: Some((number, number)) }).unwrap();
        };
        for number in 0..10 {
            add(Some(number % 2), number + 1, &long);
            add(None, number + 1, b"short");
        }
        let partitions = spill.partitions().unwrap();
        assert_eq!(partitions.iter().map(|(slot, _)| *slot).collect::<Vec<_>>(), [None, Some(0), Some(1)].map(slot));
        let numbers = |extents: &[Extent]| -> Vec<i64> {
            let read = extents.iter().map(|extent| spill.read(*extent).unwrap().0[1].clone());
            read.flat_map(|column| column.as_primitive::<Int64Type>().values().to_vec()).collect()
        };
        assert_eq!(numbers(&partitions[2].1), [2, 4, 6, 8, 10]);
        assert_eq!(numbers(&partitions[0].1), (1..=10).collect::<Vec<_>>());
        let (columns, facts) = spill.read(partitions[1].1[0]).unwrap();
        assert!(columns[0].as_binary_view().iter().all(|text| text == Some(long.as_slice())));
        assert_eq!((facts.rows, facts.times.unwrap().0), (columns[0].len() as u64, 1));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the file has no name");
    }
}
