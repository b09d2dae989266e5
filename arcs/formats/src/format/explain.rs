//! How records read, for people: text flows in; columns and values, or why a record is a reject, flow out. What it says
//! is what a conversion would do, because both walk and read records through the same functions.

use std::borrow::Cow;

use crate::columns::{Cell, Kind, Row, time_text};
use crate::format::{Column, Grammar, Reject};
use crate::header::Header;
use crate::parse::header_after;
use crate::walk::{Found, Text, Visit, walk};

/// How one record reads.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The columns with their values, in the order of the format; empty where it is no row.
    pub columns: Vec<(Column, Option<String>)>,
    /// What the record is.
    pub outcome: Outcome,
    /// Its first line, from 1.
    pub line: u64,
    /// Its text as it was read, without its last newline.
    pub text: String,
}

/// What a record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A row.
    Row {
        /// `recovered` or `cut`; `None` where the plain reading sufficed.
        mark: Option<&'static str>,
        /// Fields the format does not know, as JSON text.
        extra: Option<String>,
    },
    /// A line with nothing on it.
    Blank,
    /// A header line, or a record that is no data.
    Header,
    /// A reject.
    Reject {
        /// The byte at which reading stopped.
        at: usize,
        /// Why.
        reason: Cow<'static, str>,
    },
}

/// Reads the first record of a text.
pub fn explain(grammar: &dyn Grammar, text: &[u8]) -> Explained {
    let first = explain_all(grammar, text, 0).into_iter().next();
    first.unwrap_or(Explained { columns: Vec::new(), outcome: Outcome::Blank, line: 1, text: String::new() })
}

/// Reads all records of the text of an object that arrived then (microseconds since 1970 UTC; 0 where nobody knows).
pub fn explain_all(grammar: &dyn Grammar, text: &[u8], arrived: i64) -> Vec<Explained> {
    Explainer::new(grammar, arrived).explain(text)
}

/// Reads an object piece by piece.
#[derive(Debug)]
pub struct Explainer<'g> {
    grammar: &'g dyn Grammar,
    arrived: i64,
    header: Option<Header>,
    is_first: bool,
    lines: u64,
}

impl<'g> Explainer<'g> {
    /// At the start of an object that arrived then (microseconds since 1970 UTC; 0 where nobody knows).
    pub fn new(grammar: &'g dyn Grammar, arrived: i64) -> Explainer<'g> {
        Explainer { grammar, arrived, header: None, is_first: true, lines: 0 }
    }

    /// Reads the records of the next piece, which are whole.
    pub fn explain(&mut self, piece: &[u8]) -> Vec<Explained> {
        let text = Text::new(piece, self.grammar);
        let mut shown = Shown { grammar: self.grammar, text: text.valid(), first_line: self.lines + 1, found: Vec::new() };
        let (header, arrived) = (self.header.clone(), self.arrived);
        walk(self.grammar, &text, header, self.is_first, arrived, usize::MAX, &mut String::new(), &mut shown);
        self.header = header_after(self.grammar, piece, self.is_first, self.header.take());
        self.lines += memchr::memchr_iter(b'\n', piece).count() as u64;
        self.is_first = false;
        shown.found
    }

    /// Passes over a line that is not in any piece.
    pub fn skip_line(&mut self) {
        self.lines += 1;
        self.is_first = false;
    }

    /// Lines read so far that ended.
    pub fn lines(&self) -> u64 {
        self.lines
    }
}

struct Shown<'a> {
    grammar: &'a dyn Grammar,
    text: &'a [u8],
    first_line: u64,
    found: Vec<Explained>,
}

impl Shown<'_> {
    fn add(&mut self, found: &Found, columns: Vec<(Column, Option<String>)>, outcome: Outcome) {
        let text = String::from_utf8_lossy(&self.text[found.start as usize..found.end as usize]).into_owned();
        self.found.push(Explained { columns, outcome, line: self.first_line + u64::from(found.line), text });
    }
}

impl Visit for Shown<'_> {
    fn row(&mut self, found: &Found, row: &Row<'_>, mark: Option<&'static str>) {
        let columns = self.grammar.columns().iter().enumerate();
        let columns = columns.map(|(n, column)| (column.clone(), show(row, n, column))).collect();
        self.add(found, columns, Outcome::Row { mark, extra: row.shown(row.extra()) });
    }

    fn blank(&mut self, found: &Found) {
        self.add(found, Vec::new(), Outcome::Blank);
    }

    fn header(&mut self, found: &Found) {
        self.add(found, Vec::new(), Outcome::Header);
    }

    fn reject(&mut self, found: &Found, reject: Reject, _: Option<&Header>) {
        let at = reject.at.min((found.end - found.start) as usize);
        self.add(found, Vec::new(), Outcome::Reject { at, reason: reject.reason });
    }

    fn unread(&mut self, found: &Found, reason: &'static str) {
        self.add(found, Vec::new(), Outcome::Reject { at: 0, reason: reason.into() });
    }
}

fn show(row: &Row<'_>, n: usize, column: &Column) -> Option<String> {
    match (row.cell(n), column.kind) {
        (Cell::Int(micros), Kind::Time) => Some(time_text(micros)),
        (Cell::Int(value), Kind::Boolean) => Some((value == 1).to_string()),
        (cell, _) => row.shown(cell),
    }
}
