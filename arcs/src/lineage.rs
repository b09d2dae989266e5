//! The columns that a conversion adds to those of a format: how a line was read and where it came from.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryViewArray, Int64Array};

use crate::columns::{Kind, constant};
use crate::error::ArcsError;
use crate::format::{Column, Grammar, Values};
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

/// All columns of the table that a conversion through `grammar` writes where nothing shapes it, in their order.
pub fn output_columns(grammar: &dyn Grammar) -> Vec<Column> {
    grammar.columns().iter().chain(&READING).chain(&LINEAGE).cloned().collect()
}

/// All columns of the rejects' table, in their order.
pub fn reject_columns() -> Vec<Column> {
    let own = REJECT_COLUMNS.iter().map(|own| column(own.name, own.kind, own.meaning));
    own.chain(LINEAGE.iter().cloned()).collect()
}

/// Where the records of a block come from: from one place in an object on, unless each has its own.
#[derive(Debug)]
pub(crate) struct BlockOrigin {
    /// The lot.
    pub lot: String,
    /// The object.
    pub uri: String,
    /// Lines of the object before the block.
    pub lines_before: i64,
    /// The origins of the records, where they are of several objects.
    pub given: Option<Box<Origins>>,
}

/// Objects and lines of records, by the numbers of the records in their block.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    uris: Vec<String>,
    lines: Vec<i64>,
}

impl Origins {
    /// Adds the next record, with its line from 1.
    pub(crate) fn push(&mut self, uri: &[u8], line: i64) {
        self.uris.push(String::from_utf8_lossy(uri).into_owned());
        self.lines.push(line);
    }
}

impl BlockOrigin {
    /// The columns of [`LINEAGE`] for the records of these numbers, from 0; the lot only where it `has_lot`.
    pub(crate) fn lineage(&self, numbers: impl Iterator<Item = u32>, has_lot: bool) -> Result<Vec<ArrayRef>, ArcsError> {
        let numbers: Vec<u32> = numbers.collect();
        let constant = |text: &str| {
            constant(text, numbers.len()).map_err(|error| ArcsError::internal(format!("lineage does not make arrays: {error}")))
        };
        let mut columns = Vec::with_capacity(LINEAGE.len());
        if has_lot {
            columns.push(constant(&self.lot)?);
        }
        match &self.given {
            Some(origins) => {
                let at = |number: &u32| *number as usize;
                columns.push(Arc::new(BinaryViewArray::from_iter_values(numbers.iter().map(|number| origins.uris[at(number)].as_bytes()))));
                columns.push(Arc::new(Int64Array::from_iter_values(numbers.iter().map(|number| origins.lines[at(number)]))));
            }
            None => {
                columns.push(constant(&self.uri)?);
                columns
                    .push(Arc::new(Int64Array::from_iter_values(numbers.iter().map(|number| self.lines_before + i64::from(*number) + 1))));
            }
        }
        Ok(columns)
    }
}
