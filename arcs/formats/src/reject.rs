//! Rejects: input that a format could not read. What was wrong flows in; rows of the rejects' table flow out. Nothing is
//! dropped: a reject keeps its raw bytes up to [`KEPT_BYTES_MAX`] and says how many there were.

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
pub const REJECT_COLUMNS: [RejectColumn; 4] = [
    RejectColumn { name: "raw", kind: Kind::Bytes, meaning: "the bytes of the line without its newline, at most 64 KiB of them" },
    RejectColumn { name: "raw_bytes", kind: Kind::Int64, meaning: "how many bytes the line has" },
    RejectColumn { name: "reason", kind: Kind::Text, meaning: "why it is no row" },
    RejectColumn { name: "byte_offset", kind: Kind::Int64, meaning: "where the line starts in its object, once decompressed" },
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
    /// Where the line starts in its object.
    pub byte_offset: u64,
}

/// Appends a reject to columns of [`REJECT_COLUMNS`].
pub fn append(columns: &mut Columns, rejected: Rejected<'_>, block: &[u8], arena: &mut String) {
    let (start, end) = rejected.raw;
    let kept = end.min(start + KEPT_BYTES_MAX) - start;
    let reason = Cell::Arena { offset: arena.len() as u32, len: rejected.reason.len() as u32 };
    arena.push_str(rejected.reason);
    let cells = [
        Cell::Block { offset: start as u32, len: kept as u32 },
        Cell::Int(rejected.raw_bytes as i64),
        reason,
        Cell::Int(rejected.byte_offset as i64),
    ];
    columns.append(cells.into_iter(), block, arena.as_bytes());
}

/// Empty columns of [`REJECT_COLUMNS`].
pub fn columns() -> Columns {
    Columns::new(REJECT_COLUMNS.iter().map(|column| column.kind), 0)
}
