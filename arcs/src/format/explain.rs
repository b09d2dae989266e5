//! How one line reads, for people: a line flows in, its columns and values, or why it is a reject, flow out. What it
//! says is what a conversion would do, because both call the same function of the format.

use crate::columns::{Cell, Kind, Row, time_text};
use crate::format::{Column, Format, Parsed};

/// How one line reads.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The columns with their values, in the order of the format.
    pub columns: Vec<(&'static Column, Option<String>)>,
    /// What the line is.
    pub outcome: Outcome,
}

/// What a line is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A row.
    Row {
        /// Whether it needed more than the plain reading.
        recovered: bool,
        /// Fields the format does not know, as JSON text.
        extra: Option<String>,
    },
    /// A line with nothing on it.
    Blank,
    /// A header line.
    Header,
    /// A reject.
    Reject {
        /// The byte at which reading stopped.
        at: usize,
        /// Why.
        reason: &'static str,
    },
}

/// Reads one line, with or without its newline.
pub fn explain(format: &Format, line: &[u8]) -> Explained {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = String::from_utf8_lossy(line);
    let repaired = matches!(text, std::borrow::Cow::Owned(_));
    if text.trim_ascii().is_empty() {
        return Explained { columns: Vec::new(), outcome: Outcome::Blank };
    }
    let mut arena = String::new();
    let mut row = Row::new(text.as_bytes(), &mut arena, format.columns.len());
    let parsed = (format.parse)(text.as_bytes(), &mut row);
    let outcome = match parsed {
        Err(reject) => {
            return Explained { columns: Vec::new(), outcome: Outcome::Reject { at: reject.at.min(line.len()), reason: reject.reason } };
        }
        Ok(Parsed::Header) => return Explained { columns: Vec::new(), outcome: Outcome::Header },
        Ok(parsed) => Outcome::Row { recovered: repaired || parsed == Parsed::Recovered, extra: row.shown(row.extra()) },
    };
    let columns = format.columns.iter().enumerate().map(|(n, column)| (column, show(&row, n, column))).collect();
    Explained { columns, outcome }
}

fn show(row: &Row<'_>, n: usize, column: &Column) -> Option<String> {
    match row.cell(n) {
        Cell::Int(micros) if column.kind == Kind::Time => Some(time_text(micros)),
        cell => row.shown(cell),
    }
}
