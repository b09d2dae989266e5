//! The tables of a lot, one a partition: rows flow in, in order, and go to the table of their event time. Few tables are
//! open at a time; rows of others are set aside on local disk and written afterwards, partition by partition. Which rows
//! wait depends on the rows alone.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;

use crate::convert::ConvertJob;
use crate::convert::again::FirstParts;
use crate::error::ArcsError;
use crate::parse::ParsedBlock;
use crate::partition::{Partitioning, Slot};
use crate::pool::{Budget, Failure, Share};
use crate::spill::{Extent, Spill};
use crate::write::{Batch, BatchFacts, Table, TableContext};

/// Text that goes by before a table without rows gives its place to another, in bytes.
const IDLE_TEXT_BYTES: u64 = 64 << 20;

/// What a file in the making takes, however few its rows, in bytes.
const ENCODER_BYTES: usize = 1 << 20;

/// Rows of one block.
pub(super) struct Rows<'a> {
    /// All columns, lineage included.
    pub columns: Vec<ArrayRef>,
    /// The block.
    pub parsed: &'a ParsedBlock,
    /// The block's share of the bound on what is in flight.
    pub share: Option<Arc<Share>>,
}

/// The tables of a lot.
pub(super) struct Partitions<'a> {
    job: &'a ConvertJob,
    first: &'a FirstParts,
    by: Partitioning,
    context: TableContext,
    open: BTreeMap<Slot, OpenTable>,
    /// The next part of every partition met so far.
    parts: BTreeMap<Slot, u32>,
    text_bytes: u64,
    spill: Spill,
}

struct OpenTable {
    table: Table,
    /// Text that had gone by when it last got rows.
    used_at: u64,
}

impl<'a> Partitions<'a> {
    pub(super) fn new(job: &'a ConvertJob, context: TableContext, first: &'a FirstParts) -> Partitions<'a> {
        Partitions {
            job,
            first,
            by: Partitioning::new(&job.partitions, job.lot),
            context,
            open: BTreeMap::new(),
            parts: BTreeMap::new(),
            text_bytes: 0,
            spill: Spill::new(job.limits.spill_folder.clone()),
        }
    }

    pub(super) fn has_lot(&self) -> bool {
        self.by.has_lot()
    }

    /// Writes the rows of a block, or sets them aside.
    pub(super) fn write(&mut self, rows: Rows<'_>) -> Result<(), ArcsError> {
        let times = &rows.parsed.times;
        let first = self.slot(times[0]);
        if times.iter().all(|time| self.by.slot(*time) == self.by.slot(times[0])) {
            return self.write_some(first, &rows, None);
        }
        for (slot, some) in self.split(times) {
            self.write_some(slot, &rows, Some(some))?;
        }
        Ok(())
    }

    /// The slot of a time; past the bound on partitions, the one without value.
    fn slot(&mut self, time: Option<i64>) -> Slot {
        let slot = self.by.slot(time);
        if self.parts.contains_key(&slot) || self.parts.len() < self.job.limits.partitions_max {
            self.parts.entry(slot).or_insert_with(|| self.first.of(&self.by.folder(slot)));
            return slot;
        }
        self.parts.entry(None).or_insert_with(|| self.first.of(&self.by.folder(None)));
        None
    }

    /// Rows by slot, slots in the order of their first rows.
    fn split(&mut self, times: &[Option<i64>]) -> Vec<(Slot, Vec<u32>)> {
        let (mut places, mut split) = (HashMap::new(), Vec::<(Slot, Vec<u32>)>::new());
        for (row, time) in times.iter().enumerate() {
            let slot = self.slot(*time);
            let place = *places.entry(slot).or_insert_with(|| {
                split.push((slot, Vec::new()));
                split.len() - 1
            });
            split[place].1.push(row as u32);
        }
        split
    }

    /// Writes rows of one slot; all of the block where `some` is none.
    fn write_some(&mut self, slot: Slot, rows: &Rows<'_>, some: Option<Vec<u32>>) -> Result<(), ArcsError> {
        let facts = facts(rows.parsed, some.as_deref());
        self.text_bytes += facts.text_bytes;
        if !self.make_room(slot) {
            let columns = match some {
                None => rows.columns.clone(),
                Some(some) => pick(&rows.columns, some)?,
            };
            return self.spill.add(slot, columns, facts);
        }
        let columns = match some {
            None => rows.columns.clone(),
            Some(some) => pick(&rows.columns, some)?,
        };
        let (context, by, part) = (&self.context, &self.by, self.parts.get(&slot).copied().unwrap_or(0));
        let open = self.open.entry(slot).or_insert_with(|| OpenTable { table: Table::new(context, by.folder(slot), part), used_at: 0 });
        open.used_at = self.text_bytes;
        open.table.write(&Arc::new(Batch { columns, _share: rows.share.clone() }), facts)?;
        self.bound_row_groups();
        Ok(())
    }

    /// Whether a slot has a table, or may have one; a table that has been idle for long gives its place.
    fn make_room(&mut self, slot: Slot) -> bool {
        if self.open.contains_key(&slot) || self.open.len() < self.job.limits.partitions_open_max.max(1) {
            return true;
        }
        let idlest = self.open.iter().min_by_key(|(slot, open)| (open.used_at, **slot)).map(|(slot, open)| (*slot, open.used_at));
        let Some((idlest, _)) = idlest.filter(|(_, used_at)| self.text_bytes - used_at >= IDLE_TEXT_BYTES) else { return false };
        if let Some(mut open) = self.open.remove(&idlest) {
            self.parts.insert(idlest, open.table.finish());
        }
        true
    }

    /// Keeps the text of all open row groups together below that of one: the largest is closed.
    fn bound_row_groups(&mut self) {
        let pending: u64 = self.open.values().map(|open| open.table.pending_text_bytes()).sum();
        if self.open.len() > 1 && pending > self.job.write.row_group_text_bytes as u64 {
            let largest = self.open.values_mut().max_by_key(|open| open.table.pending_text_bytes());
            largest.into_iter().for_each(|open| open.table.close_row_group());
        }
    }

    /// Writes what was set aside and ends all files; gives how many there are.
    pub(super) fn finish(mut self, failure: &Failure) -> Result<usize, ArcsError> {
        for (slot, mut open) in std::mem::take(&mut self.open) {
            self.parts.insert(slot, open.table.finish());
        }
        let budget = Budget::new(self.job.limits.in_flight_bytes);
        for (slot, extents) in self.spill.partitions()? {
            let part = self.parts.get(&slot).copied().unwrap_or(0);
            let mut table = Table::new(&self.context, self.by.folder(slot), part);
            for extent in extents {
                self.take_back(extent, &mut table, &budget, failure)?;
            }
            self.parts.insert(slot, table.finish());
        }
        Ok(self.parts.iter().map(|(slot, parts)| (parts - self.first.of(&self.by.folder(*slot))) as usize).sum())
    }

    /// Writes rows that were set aside.
    fn take_back(&self, extent: Extent, table: &mut Table, budget: &Arc<Budget>, failure: &Failure) -> Result<(), ArcsError> {
        let share = budget.take(extent.bytes.max(ENCODER_BYTES), failure).ok_or(ArcsError::Stopped)?;
        let (columns, facts) = self.spill.read(extent)?;
        table.write(&Arc::new(Batch { columns, _share: Some(Arc::new(share)) }), facts)
    }
}

fn facts(parsed: &ParsedBlock, some: Option<&[u32]>) -> BatchFacts {
    let fact = |row: usize| {
        let (line, time) = (parsed.row_lines[row], parsed.times[row]);
        BatchFacts { rows: 1, text_bytes: u64::from(line.end - line.start) + 1, times: time.map(|time| (time, time)) }
    };
    let mut all = BatchFacts::default();
    match some {
        None => (0..parsed.row_lines.len()).for_each(|row| all.add(fact(row))),
        Some(some) => some.iter().for_each(|row| all.add(fact(*row as usize))),
    }
    all
}

fn pick(columns: &[ArrayRef], some: Vec<u32>) -> Result<Vec<ArrayRef>, ArcsError> {
    let some = UInt32Array::from(some);
    let picked: Result<_, _> = columns.iter().map(|column| take(column, &some, None)).collect();
    picked.map_err(|error| ArcsError::internal(format!("rows of a partition cannot be picked: {error}")))
}
