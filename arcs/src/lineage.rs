//! The columns that a conversion adds to those of a format: how a line was read and where it came from.

use crate::columns::Kind;
use crate::format::{Column, Grammar, Values};
use crate::partition::PartitionKey;
use crate::reject::REJECT_COLUMNS;

const fn column(name: &'static str, kind: Kind, meaning: &'static str) -> Column {
    Column::fixed(name, kind, "", Values::Repeating, meaning)
}

/// How a line was read; these follow the columns of the format.
pub(crate) static READING: [Column; 2] = [
    column(
        "parse",
        Kind::Text,
        "`recovered` where the plain reading of the record did not suffice, `cut` where a part of it is missing; null otherwise",
    ),
    column("extra", Kind::Text, "fields that the format does not know: a JSON array, or an object where they have names; null if none"),
];

/// Where a line came from; these are the last columns of every table.
pub(crate) static LINEAGE: [Column; 3] = [
    column("lot", Kind::Text, "lot that the line's object arrived in"),
    column("source_uri", Kind::Text, "object that the line is from"),
    Column::fixed("source_line", Kind::Int64, "", Values::Ascending, "number of the record's first line in its object, from 1"),
];

/// All columns of the table that a conversion through `grammar` writes, in their order. The lot is left out where it is a
/// partition key.
pub fn output_columns(grammar: &dyn Grammar, partitions: &[PartitionKey]) -> Vec<Column> {
    grammar.columns().iter().chain(&READING).chain(lineage(partitions)).cloned().collect()
}

/// All columns of the rejects' table, in their order.
pub fn reject_columns() -> Vec<Column> {
    let own = REJECT_COLUMNS.iter().map(|own| column(own.name, own.kind, own.meaning));
    own.chain(LINEAGE.iter().cloned()).collect()
}

fn lineage(partitions: &[PartitionKey]) -> &'static [Column] {
    if partitions.contains(&PartitionKey::Lot) { &LINEAGE[1..] } else { &LINEAGE }
}
