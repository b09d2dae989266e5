//! Blocks of lines flow in; arrays of rows and of rejects flow out, with what became of each line. Runs on any thread,
//! for any block, in any order: nothing it needs comes from another block.

use arrow::array::ArrayRef;
use arrow::buffer::Buffer;
use manifests::Counts;
use memchr::memchr_iter;

use crate::columns::{Cell, Columns, Kind, Row};
use crate::format::{Format, Parsed as Shape};
use crate::pool::Share;
use crate::reject::{self, Rejected};

/// Bytes of a typical line, to make room for rows.
const LINE_BYTES_TYPICAL: usize = 400;

/// How a recovered row is marked in the `parse` column.
pub(crate) const RECOVERED: &str = "recovered";

/// Why a line is a reject whatever the format.
pub(crate) const TOO_LONG: &str = "the line is longer than the limit";

/// A stretch of one object.
pub(crate) struct Block {
    /// The bytes.
    pub text: Buffer,
    /// Where they start in the plain bytes of the object.
    pub offset: u64,
    /// What they are.
    pub content: Content,
    /// Their share of the bound on what is in flight.
    pub share: Option<Share>,
}

/// What the bytes of a block are.
pub(crate) enum Content {
    /// Whole lines.
    Lines,
    /// The start of one line, `bytes` long, that is a reject for a reason known already.
    Reject {
        /// The whole line's length.
        bytes: u64,
        /// Why.
        reason: String,
    },
}

/// What a block gave. Lines are counted from 0 in the block.
pub(crate) struct ParsedBlock {
    /// The block, for those who need the raw lines again.
    pub text: Buffer,
    /// What became of the lines.
    pub counts: Counts,
    /// The rows: the format's columns, then `parse` and `extra`.
    pub rows: Vec<ArrayRef>,
    /// The line of each row, with its place in the block.
    pub row_lines: Vec<LineAt>,
    /// The event time of each row, in microseconds since 1970.
    pub times: Vec<Option<i64>>,
    /// The rejects, as [`reject::REJECT_COLUMNS`].
    pub rejects: Vec<ArrayRef>,
    /// The line of each reject.
    pub reject_lines: Vec<u32>,
    /// The block's share of the bound on what is in flight.
    pub share: Option<Share>,
}

/// A line of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineAt {
    /// Its number in the block, from 0.
    pub number: u32,
    /// Where it starts in the block.
    pub start: u32,
    /// Where it ends, before its newline.
    pub end: u32,
}

/// Reads all lines of a block.
pub(crate) fn parse(format: &Format, block: Block, line_bytes_max: usize) -> Result<ParsedBlock, arrow::error::ArrowError> {
    match &block.content {
        Content::Lines => {
            // A line break is one byte in UTF-8 as in what is not, so lines of the repaired text are those of the text.
            let repaired = std::str::from_utf8(&block.text).err().map(|_| repair(&block.text));
            let text = repaired.as_ref().map_or(&block.text, |repaired| &repaired.text);
            let mut lines = Lines::new(format, &block, text, line_bytes_max);
            lines.read_all(repaired.as_ref());
            lines.finish(&block.text, text, repaired.is_some()).map(|parsed| ParsedBlock { share: block.share, ..parsed })
        }
        Content::Reject { bytes, reason } => {
            let (mut columns, mut arena) = (reject::columns(), String::new());
            let rejected = Rejected { raw: (0, block.text.len()), raw_bytes: *bytes, reason, byte_offset: block.offset };
            reject::append(&mut columns, rejected, &block.text, &mut arena);
            Ok(ParsedBlock {
                counts: Counts { lines: 1, rejected: 1, ..Counts::default() },
                rows: Vec::new(),
                row_lines: Vec::new(),
                times: Vec::new(),
                rejects: columns.finish(&block.text, arena)?,
                reject_lines: vec![0],
                text: block.text,
                share: block.share,
            })
        }
    }
}

/// Reads text as a conversion would and keeps nothing: what would become of its lines. For benchmarks and fuzzing.
pub fn read_through(format: &Format, text: Vec<u8>) -> Counts {
    let block = Block { text: Buffer::from_vec(text), offset: 0, content: Content::Lines, share: None };
    parse(format, block, usize::MAX).map(|parsed| parsed.counts).unwrap_or_default()
}

/// A block made valid UTF-8.
struct Repaired {
    text: Buffer,
    /// Which lines were changed, in order.
    lines: Vec<bool>,
    /// Where each line starts in the raw block.
    raw: Vec<(u32, u32)>,
}

fn repair(text: &[u8]) -> Repaired {
    let (mut out, mut lines, mut raw) = (Vec::with_capacity(text.len() + text.len() / 8), Vec::new(), Vec::new());
    let mut start = 0;
    for end in memchr_iter(b'\n', text).chain((!text.ends_with(b"\n")).then_some(text.len())) {
        let line = String::from_utf8_lossy(&text[start..end]);
        lines.push(matches!(line, std::borrow::Cow::Owned(_)));
        raw.push((start as u32, end as u32));
        out.extend_from_slice(line.as_bytes());
        if end < text.len() {
            out.push(b'\n');
        }
        start = end + 1;
    }
    Repaired { text: Buffer::from_vec(out), lines, raw }
}

struct Lines<'a> {
    format: &'a Format,
    time: usize,
    text: &'a [u8],
    raw: &'a [u8],
    offset: u64,
    line_bytes_max: usize,
    counts: Counts,
    columns: Columns,
    arena: String,
    row_lines: Vec<LineAt>,
    times: Vec<Option<i64>>,
    rejects: Columns,
    reject_arena: String,
    reject_lines: Vec<u32>,
}

impl<'a> Lines<'a> {
    fn new(format: &'a Format, block: &'a Block, text: &'a Buffer, line_bytes_max: usize) -> Lines<'a> {
        let rows = text.len() / LINE_BYTES_TYPICAL + 1;
        let kinds = format.columns.iter().map(|column| column.kind).chain([Kind::Text, Kind::Text]);
        Lines {
            format,
            time: format.time_column(),
            text,
            raw: &block.text,
            offset: block.offset,
            line_bytes_max,
            counts: Counts::default(),
            columns: Columns::new(kinds, rows),
            arena: RECOVERED.to_owned(),
            row_lines: Vec::with_capacity(rows),
            times: Vec::with_capacity(rows),
            rejects: reject::columns(),
            reject_arena: String::new(),
            reject_lines: Vec::new(),
        }
    }

    fn read_all(&mut self, repaired: Option<&Repaired>) {
        let (text, mut arena) = (self.text, std::mem::take(&mut self.arena));
        let mut row = Row::new(text, &mut arena, self.format.columns.len());
        let (mut start, mut number) = (0, 0);
        for end in memchr_iter(b'\n', text).chain((!text.ends_with(b"\n") && !text.is_empty()).then_some(text.len())) {
            let line = LineAt { number: number as u32, start: start as u32, end: end as u32 };
            let changed = repaired.is_some_and(|repaired| repaired.lines[number]);
            let raw = repaired.map_or((line.start, line.end), |repaired| repaired.raw[number]);
            self.read(&mut row, line, raw, changed);
            start = end + 1;
            number += 1;
        }
        self.arena = arena;
    }

    /// Reads one line. `raw` is its place in the block as it came, `changed` whether it had to be repaired.
    fn read(&mut self, row: &mut Row<'_>, at: LineAt, raw: (u32, u32), changed: bool) {
        self.counts.lines += 1;
        let line = &self.text[at.start as usize..at.end as usize];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if (raw.1 - raw.0) as usize > self.line_bytes_max {
            return self.reject(at.number, raw, TOO_LONG);
        }
        let raw = (raw.0, raw.1 - u32::from(line.len() < (at.end - at.start) as usize));
        if line.trim_ascii().is_empty() {
            self.counts.blank += 1;
            return;
        }
        row.clear();
        match (self.format.parse)(line, row) {
            Ok(Shape::Header) => self.counts.header += 1,
            Ok(shape) => self.keep(row, LineAt { start: raw.0, end: raw.1, ..at }, changed || shape == Shape::Recovered),
            Err(rejected) => self.reject(at.number, raw, rejected.reason),
        }
    }

    fn keep(&mut self, row: &Row<'_>, line: LineAt, recovered: bool) {
        let mark = if recovered { Cell::Arena { offset: 0, len: RECOVERED.len() as u32 } } else { Cell::Null };
        self.counts.rows += 1;
        self.counts.recovered += u64::from(recovered);
        self.counts.extra += u64::from(row.extra() != Cell::Null);
        let cells = row.cells().iter().copied().chain([mark, row.extra()]);
        self.columns.append(cells, self.text, row.arena());
        self.row_lines.push(line);
        self.times.push(match row.cell(self.time) {
            Cell::Int(micros) => Some(micros),
            _ => None,
        });
    }

    fn reject(&mut self, number: u32, raw: (u32, u32), reason: &str) {
        self.counts.rejected += 1;
        self.reject_lines.push(number);
        let (start, end) = (raw.0 as usize, raw.1 as usize);
        let rejected = Rejected { raw: (start, end), raw_bytes: (end - start) as u64, reason, byte_offset: self.offset + start as u64 };
        reject::append(&mut self.rejects, rejected, self.raw, &mut self.reject_arena);
    }

    fn finish(self, raw: &Buffer, text: &Buffer, repaired: bool) -> Result<ParsedBlock, arrow::error::ArrowError> {
        debug_assert!(repaired || raw.as_ptr() == text.as_ptr());
        Ok(ParsedBlock {
            counts: self.counts,
            rows: self.columns.finish(text, self.arena)?,
            row_lines: self.row_lines,
            times: self.times,
            rejects: self.rejects.finish(raw, self.reject_arena)?,
            reject_lines: self.reject_lines,
            text: raw.clone(),
            share: None,
        })
    }
}
