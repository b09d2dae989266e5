//! Sorted row groups: batches flow in, in order; they wait until they fill a row group and flow on, sorted, to their
//! table. Rows that compare equal stay in their order, so what a file holds depends on the rows alone. Without an order
//! batches pass straight through.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::{SortOptions, interleave};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};

use crate::error::ArcsError;
use crate::pool::{Budget, Failure};
use crate::spill::compact;
use crate::write::{Batch, BatchFacts, Table, TableContext};

/// Memory that rows take while they wait to be sorted, in bytes: a row group ends there, however little its text is. Rows of
/// many columns take more than their text.
const WAITING_BYTES_MAX: usize = 48 << 20;

/// What row groups are sorted by.
pub(crate) struct Sort {
    /// Places of the columns, and whether the greatest value is first; nulls are last.
    columns: Vec<(usize, bool)>,
    /// Sorted rows that are not encoded yet: one row group, beside the one that is gathered.
    budget: Arc<Budget>,
    failure: Arc<Failure>,
}

impl Sort {
    /// By these columns; `None` where there are none.
    pub(crate) fn by(columns: &[(usize, bool)], failure: &Arc<Failure>) -> Option<Arc<Sort>> {
        let sort = || Sort { columns: columns.to_vec(), budget: Budget::new(WAITING_BYTES_MAX), failure: failure.clone() };
        (!columns.is_empty()).then(|| Arc::new(sort()))
    }

    /// The rows of batches, sorted. Nothing of them is copied but views and numbers.
    fn sorted(&self, batches: &[Vec<ArrayRef>]) -> Result<Vec<ArrayRef>, ArrowError> {
        let Some(first) = batches.first() else { return Ok(Vec::new()) };
        let options = |is_descending| SortOptions { descending: is_descending, nulls_first: false };
        let field = |(column, is_descending): &(usize, bool)| {
            SortField::new_with_options(first[*column].data_type().clone(), options(*is_descending))
        };
        let converter = RowConverter::new(self.columns.iter().map(field).collect())?;
        let keys = |batch: &Vec<ArrayRef>| -> Result<Rows, ArrowError> {
            converter.convert_columns(&self.columns.iter().map(|(column, _)| batch[*column].clone()).collect::<Vec<_>>())
        };
        let keys: Vec<Rows> = batches.iter().map(keys).collect::<Result<_, _>>()?;
        let mut places: Vec<(usize, usize)> =
            keys.iter().enumerate().flat_map(|(batch, rows)| (0..rows.num_rows()).map(move |row| (batch, row))).collect();
        places.sort_by(|a, b| keys[a.0].row(a.1).cmp(&keys[b.0].row(b.1)));
        let column = |column: usize| {
            let arrays: Vec<_> = batches.iter().map(|batch| batch[column].as_ref()).collect();
            interleave(&arrays, &places)
        };
        (0..first.len()).map(column).collect()
    }
}

/// The files of one partition, whose row groups may be sorted.
pub(crate) struct SortedTable {
    table: Table,
    sort: Option<Arc<Sort>>,
    row_group_text_bytes: u64,
    waiting: Vec<Vec<ArrayRef>>,
    waiting_bytes: usize,
    facts: BatchFacts,
}

impl SortedTable {
    /// The files below `folder` (empty, or ending in a slash), from part `next_part`.
    pub(crate) fn new(context: &TableContext, folder: String, next_part: u32, sort: Option<Arc<Sort>>) -> SortedTable {
        let row_group_text_bytes = context.options.row_group_text_bytes as u64;
        let table = Table::new(context, folder, next_part);
        SortedTable { table, sort, row_group_text_bytes, waiting: Vec::new(), waiting_bytes: 0, facts: BatchFacts::default() }
    }

    /// Appends rows. Rows that wait to be sorted hold no block.
    pub(crate) fn write(&mut self, batch: Batch, facts: BatchFacts) -> Result<(), ArcsError> {
        if self.sort.is_none() {
            return self.table.write(&Arc::new(batch), facts);
        }
        let columns: Vec<ArrayRef> = batch.columns.into_iter().map(compact).collect();
        self.waiting_bytes += columns.iter().map(|column| column.get_buffer_memory_size()).sum::<usize>();
        self.waiting.push(columns);
        self.facts.add(facts);
        if self.pending_text_bytes() >= self.row_group_text_bytes { self.flush() } else { Ok(()) }
    }

    /// Hands the rows that wait on to the table, sorted, as one row group.
    fn flush(&mut self) -> Result<(), ArcsError> {
        let Some(sort) = self.sort.as_ref().filter(|_| !self.waiting.is_empty()) else { return Ok(()) };
        let waiting = std::mem::take(&mut self.waiting);
        let bytes = std::mem::take(&mut self.waiting_bytes);
        let share = sort.budget.take(bytes, &sort.failure).ok_or(ArcsError::Stopped)?;
        let columns = sort.sorted(&waiting).map_err(|error| ArcsError::internal(format!("rows cannot be sorted: {error}")))?;
        let batch = Arc::new(Batch { columns, _share: Some(Arc::new(share)) });
        self.table.write(&batch, std::mem::take(&mut self.facts))?;
        self.table.close_row_group();
        Ok(())
    }

    /// Text of the row group that is being gathered or written, in bytes; as much of a whole row group as its rows take of
    /// the memory for waiting, where that is more.
    pub(crate) fn pending_text_bytes(&self) -> u64 {
        let of_memory = self.waiting_bytes as u64 * self.row_group_text_bytes / WAITING_BYTES_MAX as u64;
        self.table.pending_text_bytes() + self.facts.text_bytes.max(of_memory)
    }

    /// Ends the row group, to give its memory back.
    pub(crate) fn close_row_group(&mut self) -> Result<(), ArcsError> {
        self.flush()?;
        self.table.close_row_group();
        Ok(())
    }

    /// Ends the file that is being written; gives the part that the next one would be.
    pub(crate) fn finish(&mut self) -> Result<u32, ArcsError> {
        self.flush()?;
        Ok(self.table.finish())
    }
}
