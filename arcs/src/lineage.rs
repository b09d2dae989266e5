//! The columns that a conversion adds to those of a format: how a line was read and where it came from.

use crate::columns::Kind;
use crate::format::{Column, Format, Values};
use crate::partition::PartitionKey;
use crate::reject::REJECT_COLUMNS;

const fn column(name: &'static str, kind: Kind, meaning: &'static str) -> Column {
    Column { name, kind, unit: "", meaning, values: Values::Repeating }
}

/// How a line was read; these follow the columns of the format.
pub(crate) static READING: [Column; 2] = [
    column("parse", Kind::Text, "`recovered` where the plain reading of the line did not suffice; null where it did"),
    column("extra", Kind::Text, "JSON array of the fields at the end of the line that the format does not know; null if none"),
];

/// Where a line came from; these are the last columns of every table.
pub(crate) static LINEAGE: [Column; 3] = [
    column("lot", Kind::Text, "lot that the line's object arrived in"),
    column("source_uri", Kind::Text, "object that the line is from"),
    Column { values: Values::Ascending, ..column("source_line", Kind::Int64, "number of the line in its object, from 1") },
];

/// All columns of the table that a conversion of `format` writes, in their order. The lot is left out where it is a
/// partition key.
pub fn output_columns(format: &Format, partitions: &[PartitionKey]) -> Vec<Column> {
    format.columns.iter().chain(&READING).chain(lineage(partitions)).copied().collect()
}

/// All columns of the rejects' table, in their order.
pub fn reject_columns() -> Vec<Column> {
    let own = REJECT_COLUMNS.iter().map(|own| column(own.name, own.kind, own.meaning));
    own.chain(LINEAGE.iter().copied()).collect()
}

fn lineage(partitions: &[PartitionKey]) -> &'static [Column] {
    if partitions.contains(&PartitionKey::Lot) { &LINEAGE[1..] } else { &LINEAGE }
}
