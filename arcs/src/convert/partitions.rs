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
use crate::shape::{Shape, Shaped};
use crate::spill::{Extent, Spill};
use crate::write::{Batch, BatchFacts, Sort, SortedTable, TableContext};

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
    /// The slot of each row.
    pub slots: Vec<Slot>,
    /// The block's share of the bound on what is in flight.
    pub share: Option<Arc<Share>>,
}

/// The tables of a lot.
pub(super) struct Partitions<'a> {
    job: &'a ConvertJob,
    first: &'a FirstParts,
    by: Partitioning,
    /// Whether rows past the bound on partitions would lose a value in the one without value.
    loses_values: bool,
    /// The different values of the partition columns met so far, as folders show them, and the place of each.
    values: Vec<String>,
    places: HashMap<String, u32>,
    sort: Option<Arc<Sort>>,
    context: TableContext,
    open: BTreeMap<Slot, OpenTable>,
    /// How many parts each partition met so far has.
    parts: BTreeMap<Slot, u32>,
    text_bytes: u64,
    spill: Spill,
}

struct OpenTable {
    table: SortedTable,
    /// Text that had gone by when it last got rows.
    used_at: u64,
}

impl<'a> Partitions<'a> {
    pub(super) fn new(
        job: &'a ConvertJob,
        shape: &Shape,
        context: TableContext,
        first: &'a FirstParts,
        failure: &Arc<Failure>,
    ) -> Partitions<'a> {
        Partitions {
            job,
            first,
            by: Partitioning::new(&shape.partitions, job.lot),
            loses_values: shape.loses_values(),
            values: Vec::new(),
            places: HashMap::new(),
            sort: Sort::by(&shape.sort, failure),
            context,
            open: BTreeMap::new(),
            parts: BTreeMap::new(),
            text_bytes: 0,
            spill: Spill::new(job.limits.spill_folder.clone()),
        }
    }

    /// The slots of rows by their times alone; past the bound on partitions, the one without value.
    pub(super) fn slots(&mut self, times: &[Option<i64>]) -> Vec<Slot> {
        let mut slots: Vec<Slot> = times.iter().map(|time| self.by.slot(*time, 0)).collect();
        let is_one = slots.first().is_some_and(|first| self.is_admitted(*first) && slots.iter().all(|slot| slot == first));
        if !is_one {
            slots.iter_mut().for_each(|slot| *slot = if self.is_admitted(*slot) { *slot } else { self.without_time(*slot) });
        }
        slots
    }

    fn without_time(&mut self, slot: Slot) -> Slot {
        let slot = Slot { time: None, ..slot };
        self.parts.entry(slot).or_insert(0);
        slot
    }

    /// Whether a partition is known, or may become so.
    fn is_admitted(&mut self, slot: Slot) -> bool {
        if self.parts.contains_key(&slot) {
            return true;
        }
        let has_room = self.parts.len() < self.job.limits.partitions_max;
        if has_room {
            self.parts.insert(slot, 0);
        }
        has_room
    }

    /// The slots of the rows of a shaped block; otherwise, for each row, why it can be no row: past the bound on partitions
    /// nothing is written to the partition without value that would lose its own there.
    pub(super) fn admit(&mut self, shaped: &Shaped) -> Result<Vec<Slot>, Vec<Option<String>>> {
        let times = &shaped.parsed.times;
        if !self.loses_values {
            return Ok(self.slots(times));
        }
        let mut known: Vec<Option<u32>> = shaped.values.iter().map(|value| self.places.get(value).copied()).collect();
        let (mut slots, mut is_past) = (Vec::with_capacity(times.len()), Vec::new());
        for (row, time) in times.iter().enumerate() {
            let place = shaped.places.get(row).map(|place| *place as usize);
            let next = self.values.len() as u32;
            let values = place.map_or(0, |place| known[place].unwrap_or(next));
            let slot = self.by.slot(*time, values);
            let is_admitted = self.is_admitted(slot);
            if let Some(place) = place.filter(|place| is_admitted && known[*place].is_none()) {
                known[place] = Some(next);
                self.places.insert(shaped.values[place].clone(), next);
                self.values.push(shaped.values[place].clone());
            }
            slots.push(slot);
            is_past.push(!is_admitted);
        }
        if is_past.contains(&true) {
            let reason = format!("the lot has more than {} partitions", self.job.limits.partitions_max);
            return Err(is_past.into_iter().map(|is_past| is_past.then(|| reason.clone())).collect());
        }
        Ok(slots)
    }

    /// The folder of a slot.
    fn folder(&self, slot: Slot) -> String {
        self.by.folder(slot, self.values.get(slot.values as usize).map_or("", String::as_str))
    }

    /// Writes the rows of a block, or sets them aside.
    pub(super) fn write(&mut self, rows: Rows<'_>) -> Result<(), ArcsError> {
        let first = rows.slots[0];
        if rows.slots.iter().all(|slot| *slot == first) {
            return self.write_some(first, &rows, None);
        }
        for (slot, some) in split(&rows.slots) {
            self.write_some(slot, &rows, Some(some))?;
        }
        Ok(())
    }

    /// Writes rows of one slot; all of the block where `some` is none.
    fn write_some(&mut self, slot: Slot, rows: &Rows<'_>, some: Option<Vec<u32>>) -> Result<(), ArcsError> {
        let facts = facts(rows.parsed, some.as_deref());
        self.text_bytes += facts.text_bytes;
        if !self.make_room(slot)? {
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
        if !self.open.contains_key(&slot) {
            let opened = OpenTable { table: self.table(slot), used_at: 0 };
            self.open.insert(slot, opened);
        }
        if let Some(open) = self.open.get_mut(&slot) {
            open.used_at = self.text_bytes;
            open.table.write(Batch { columns, _share: rows.share.clone() }, facts)?;
        }
        self.bound_row_groups()
    }

    /// The first part of a slot's files.
    fn first_part(&self, slot: Slot) -> u32 {
        self.first.of(&self.folder(slot))
    }

    /// The next part of a slot's files.
    fn table(&self, slot: Slot) -> SortedTable {
        let part = self.first_part(slot) + self.parts.get(&slot).copied().unwrap_or(0);
        SortedTable::new(&self.context, self.folder(slot), part, self.sort.clone())
    }

    /// Whether a slot has a table, or may have one; a table that has been idle for long gives its place.
    fn make_room(&mut self, slot: Slot) -> Result<bool, ArcsError> {
        if self.open.contains_key(&slot) || self.open.len() < self.job.limits.partitions_open_max.max(1) {
            return Ok(true);
        }
        let idlest = self.open.iter().min_by_key(|(slot, open)| (open.used_at, **slot)).map(|(slot, open)| (*slot, open.used_at));
        let Some((idlest, _)) = idlest.filter(|(_, used_at)| self.text_bytes - used_at >= IDLE_TEXT_BYTES) else { return Ok(false) };
        if let Some(mut open) = self.open.remove(&idlest) {
            let parts = open.table.finish()? - self.first_part(idlest);
            self.parts.insert(idlest, parts);
        }
        Ok(true)
    }

    /// Keeps the text of all open row groups together below that of one: the largest is closed.
    fn bound_row_groups(&mut self) -> Result<(), ArcsError> {
        let pending: u64 = self.open.values().map(|open| open.table.pending_text_bytes()).sum();
        if self.open.len() > 1 && pending > self.job.write.row_group_text_bytes as u64 {
            let largest = self.open.values_mut().max_by_key(|open| open.table.pending_text_bytes());
            largest.into_iter().try_for_each(|open| open.table.close_row_group())?;
        }
        Ok(())
    }

    /// Writes what was set aside and ends all files; gives how many there are.
    pub(super) fn finish(mut self, failure: &Failure) -> Result<usize, ArcsError> {
        for (slot, mut open) in std::mem::take(&mut self.open) {
            let parts = open.table.finish()? - self.first_part(slot);
            self.parts.insert(slot, parts);
        }
        let budget = Budget::new(self.job.limits.in_flight_bytes);
        for (slot, extents) in self.spill.partitions()? {
            let mut table = self.table(slot);
            for extent in extents {
                self.take_back(extent, &mut table, &budget, failure)?;
            }
            self.parts.insert(slot, table.finish()? - self.first_part(slot));
        }
        Ok(self.parts.values().map(|parts| *parts as usize).sum())
    }

    /// Writes rows that were set aside.
    fn take_back(&self, extent: Extent, table: &mut SortedTable, budget: &Arc<Budget>, failure: &Failure) -> Result<(), ArcsError> {
        let share = budget.take(extent.bytes.max(ENCODER_BYTES), failure).ok_or(ArcsError::Stopped)?;
        let (columns, facts) = self.spill.read(extent)?;
        table.write(Batch { columns, _share: Some(Arc::new(share)) }, facts)
    }
}

/// Rows by slot, slots in the order of their first rows.
fn split(slots: &[Slot]) -> Vec<(Slot, Vec<u32>)> {
    let (mut places, mut split) = (HashMap::new(), Vec::<(Slot, Vec<u32>)>::new());
    for (row, slot) in slots.iter().enumerate() {
        let place = *places.entry(*slot).or_insert_with(|| {
            split.push((*slot, Vec::new()));
            split.len() - 1
        });
        split[place].1.push(row as u32);
    }
    split
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
