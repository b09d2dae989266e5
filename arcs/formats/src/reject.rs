//! Rejects: input that a format could not read. What was wrong flows in; rows of the rejects' table flow out. Nothing is
//! dropped: a reject keeps its raw bytes up to [`KEPT_BYTES_MAX`] and says how many there were. With the header lines that
//! it was read with, that is all it takes to read it again.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_buffer::Buffer;
use arrow_schema::ArrowError;

use crate::columns::{Cell, Columns, Kind};
use crate::lines::KEPT_BYTES_MAX;

/// A column of the rejects' table.
#[derive(Clone, Copy, Debug)]
pub struct RejectColumn {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// What it means.
    pub meaning: &'static str,
}

/// The columns of the rejects' table, before lineage (`lot`, `source_uri`, `source_line`).
pub const REJECT_COLUMNS: [RejectColumn; 6] = [
    RejectColumn { name: "raw", kind: Kind::Bytes, meaning: "the bytes of the line without its newline, at most 64 KiB of them" },
    RejectColumn { name: "raw_bytes", kind: Kind::Int64, meaning: "how many bytes the line has" },
    RejectColumn { name: "reason", kind: Kind::Text, meaning: "why it is no row" },
    RejectColumn {
        name: "reason_at",
        kind: Kind::Int64,
        meaning: "the byte of the line at which reading stopped, from 0; null where no format saw the line: it is too long, or cut off",
    },
    RejectColumn { name: "byte_offset", kind: Kind::Int64, meaning: "where the line starts in its object, once decompressed" },
    RejectColumn {
        name: "header",
        kind: Kind::Text,
        meaning: "the header lines that the line was read with; null where there are none, or more than 64 KiB of them",
    },
];

/// One reject, its raw bytes in a block.
#[derive(Clone, Copy, Debug)]
pub struct Rejected<'a> {
    /// Where the kept bytes lie in the block.
    pub raw: (usize, usize),
    /// All bytes of the line.
    pub raw_bytes: u64,
    /// Why.
    pub reason: &'a str,
    /// Where in the line, if a format saw it.
    pub reason_at: Option<u64>,
    /// Where the line starts in its object.
    pub byte_offset: u64,
    /// The header lines it was read with.
    pub header: Option<&'a Arc<str>>,
}

/// Rejects as they grow into arrays of [`REJECT_COLUMNS`].
pub struct Rejects {
    columns: Columns,
    arena: String,
    /// The last header and where it lies in the arena: the rejects of an object mostly have the same.
    header: Option<(Arc<str>, Cell)>,
}

impl Default for Rejects {
    fn default() -> Rejects {
        let columns = Columns::new(REJECT_COLUMNS.iter().map(|column| column.kind), 0);
        Rejects { columns, arena: String::new(), header: None }
    }
}

impl Rejects {
    /// Appends a reject of a block.
    pub fn append(&mut self, rejected: Rejected<'_>, block: &[u8]) {
        let (start, end) = rejected.raw;
        let kept = end.min(start + KEPT_BYTES_MAX) - start;
        let reason = keep(&mut self.arena, rejected.reason);
        let header = rejected.header.map_or(Cell::Null, |header| self.header_cell(header));
        let cells = [
            Cell::Block { offset: start as u32, len: kept as u32 },
            Cell::Int(rejected.raw_bytes as i64),
            reason,
            rejected.reason_at.map_or(Cell::Null, |at| Cell::Int(at as i64)),
            Cell::Int(rejected.byte_offset as i64),
            header,
        ];
        self.columns.append(&cells, &[], block, self.arena.as_bytes());
    }

    fn header_cell(&mut self, header: &Arc<str>) -> Cell {
        if let Some((_, cell)) = self.header.as_ref().filter(|(known, _)| Arc::ptr_eq(known, header)) {
            return *cell;
        }
        let cell = keep(&mut self.arena, header);
        self.header = Some((header.clone(), cell));
        cell
    }

    /// The arrays, over the block.
    pub fn finish(self, block: &Buffer) -> Result<Vec<ArrayRef>, ArrowError> {
        self.columns.finish(block, self.arena)
    }
}

fn keep(arena: &mut String, text: &str) -> Cell {
    let offset = arena.len() as u32;
    arena.push_str(text);
    Cell::Arena { offset, len: text.len() as u32 }
}
