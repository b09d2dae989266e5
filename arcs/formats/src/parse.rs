//! Blocks of records flow in; arrays of rows and of rejects flow out, with what became of each line. Runs on any thread,
//! for any block, in any order: what header lines of earlier blocks said comes with the block, nothing else is needed.

use arrow_array::ArrayRef;
use arrow_buffer::Buffer;
use arrow_schema::ArrowError;
use manifests::Counts;
use memchr::memchr_iter;

use crate::columns::{Cell, Columns, Kind, Row};
use crate::format::{Grammar, Headers, Reject, time_column};
use crate::header::Header;
use crate::reject::{Rejected, Rejects};
pub use crate::walk::{CUT, RECOVERED, TOO_LONG};
use crate::walk::{Found, Text, Visit, walk};

/// Bytes of a typical line, to make room for rows.
const LINE_BYTES_TYPICAL: usize = 400;

/// Both marks, as they stand at the start of every arena.
const MARKS: &str = "recoveredcut";

/// A stretch of one object.
#[derive(Debug)]
pub struct Block {
    /// The bytes.
    pub text: Buffer,
    /// Where they start in the plain bytes of the object.
    pub offset: u64,
    /// What they are.
    pub content: Content,
    /// The header lines before them.
    pub header: Option<Header>,
    /// When the object arrived, in microseconds since 1970 UTC; 0 where nobody knows.
    pub arrived: i64,
}

/// What the bytes of a block are.
#[derive(Debug)]
pub enum Content {
    /// Whole records.
    Records {
        /// Whether they are the first of their object.
        is_first: bool,
    },
    /// The start of one line, `bytes` long, that is a reject for a reason known already.
    Reject {
        /// The whole line's length.
        bytes: u64,
        /// Why.
        reason: String,
    },
}

/// What a block gave. Lines are counted from 0 in the block.
#[derive(Debug)]
pub struct ParsedBlock {
    /// The block, for those who need the raw lines again.
    pub text: Buffer,
    /// Where it starts in the plain bytes of the object.
    pub offset: u64,
    /// What became of the lines.
    pub counts: Counts,
    /// The rows: the format's columns, then `parse` and `extra`.
    pub rows: Vec<ArrayRef>,
    /// The record of each row.
    pub row_lines: Vec<LineAt>,
    /// The event time of each row, in microseconds since 1970.
    pub times: Vec<Option<i64>>,
    /// The rejects, as [`crate::reject::REJECT_COLUMNS`].
    pub rejects: Vec<ArrayRef>,
    /// The first line of each reject.
    pub reject_lines: Vec<u32>,
}

/// A record of a block.
#[derive(Clone, Copy, Debug)]
pub struct LineAt {
    /// The number of its first line in the block, from 0.
    pub number: u32,
    /// Where it starts in the block.
    pub start: u32,
    /// Where it ends, before its newline.
    pub end: u32,
}

/// Reads all records of a block.
pub fn parse(grammar: &dyn Grammar, block: Block, line_bytes_max: usize) -> Result<ParsedBlock, ArrowError> {
    match &block.content {
        Content::Records { is_first } => {
            let text = Text::new(&block.text, grammar);
            let valid = text.repaired().map(Buffer::from_slice_ref);
            let mut rows = Rows::new(grammar, &block, text.valid());
            let mut arena = MARKS.to_owned();
            walk(grammar, &text, block.header.clone(), *is_first, block.arrived, line_bytes_max, &mut arena, &mut rows);
            rows.finish(&block.text, valid.as_ref().unwrap_or(&block.text), arena)
        }
        Content::Reject { bytes, reason } => {
            let mut rejects = Rejects::default();
            let raw = (0, block.text.len());
            let rejected = Rejected { raw, raw_bytes: *bytes, reason, reason_at: None, byte_offset: block.offset, header: None };
            rejects.append(rejected, &block.text);
            Ok(ParsedBlock {
                counts: Counts { lines: 1, rejected: 1, ..Counts::default() },
                rows: Vec::new(),
                row_lines: Vec::new(),
                times: Vec::new(),
                rejects: rejects.finish(&block.text)?,
                reject_lines: vec![0],
                offset: block.offset,
                text: block.text,
            })
        }
    }
}

/// Reads the text of an object as a conversion would and keeps nothing: what would become of its lines. For benchmarks and
/// fuzzing.
pub fn read_through(grammar: &dyn Grammar, text: Vec<u8>) -> Counts {
    let content = Content::Records { is_first: true };
    let block = Block { text: Buffer::from_vec(text), offset: 0, content, header: None, arrived: 0 };
    parse(grammar, block, usize::MAX).map(|parsed| parsed.counts).unwrap_or_default()
}

/// Reads the text of an object, and makes no arrays: how many records are rows and how many are rejects. For benchmarks.
pub fn read_only(grammar: &dyn Grammar, text: &[u8]) -> (u64, u64) {
    let (text, mut count, mut arena) = (Text::new(text, grammar), Count::default(), String::new());
    walk(grammar, &text, None, true, 0, usize::MAX, &mut arena, &mut count);
    (count.rows, count.rejects)
}

/// Counts what a walk finds.
#[derive(Default)]
struct Count {
    rows: u64,
    rejects: u64,
}

impl Visit for Count {
    #[inline]
    fn row(&mut self, _: &Found, _: &Row<'_>, _: Option<&'static str>) {
        self.rows += 1;
    }

    fn blank(&mut self, _: &Found) {}

    fn header(&mut self, _: &Found) {}

    fn reject(&mut self, _: &Found, _: Reject, _: Option<&Header>) {
        self.rejects += 1;
    }

    fn unread(&mut self, _: &Found, _: &'static str) {
        self.rejects += 1;
    }
}

/// The header lines of those before a block and of the block itself, for the block after it.
pub fn header_after(grammar: &dyn Grammar, text: &[u8], is_first: bool, before: Option<Header>) -> Option<Header> {
    let (first_only, prefix) = match grammar.headers() {
        Headers::None => return before,
        Headers::First if !is_first => return before,
        Headers::First => (true, ""),
        Headers::Prefixed(prefix) => (false, prefix),
    };
    let starts = std::iter::once(0).chain(memchr_iter(b'\n', text).map(|newline| newline + 1));
    let starts = starts.take(if first_only { 1 } else { usize::MAX });
    let mut header = before;
    for start in starts.filter(|start| text[*start..].starts_with(prefix.as_bytes())) {
        let line = text[start..].split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
        header = Header::after(grammar, line.as_bytes(), header).unwrap_or_else(|before| before);
    }
    header
}

/// The rows of a block as they grow.
struct Rows<'a> {
    time: Option<usize>,
    valid: &'a [u8],
    raw: &'a [u8],
    offset: u64,
    counts: Counts,
    columns: Columns,
    row_lines: Vec<LineAt>,
    times: Vec<Option<i64>>,
    rejects: Rejects,
    reject_lines: Vec<u32>,
}

impl<'a> Rows<'a> {
    fn new(grammar: &dyn Grammar, block: &'a Block, valid: &'a [u8]) -> Rows<'a> {
        let rows = valid.len() / LINE_BYTES_TYPICAL + 1;
        let kinds = grammar.columns().iter().map(|column| column.kind).chain([Kind::Text, Kind::Text]);
        Rows {
            time: time_column(grammar),
            valid,
            raw: &block.text,
            offset: block.offset,
            counts: Counts::default(),
            columns: Columns::new(kinds, rows),
            row_lines: Vec::with_capacity(rows),
            times: Vec::with_capacity(rows),
            rejects: Rejects::default(),
            reject_lines: Vec::new(),
        }
    }

    fn count(&mut self, found: &Found) {
        self.counts.lines += u64::from(found.lines);
        self.counts.continuation += u64::from(found.lines - 1);
    }

    fn finish(self, raw: &Buffer, valid: &Buffer, arena: String) -> Result<ParsedBlock, ArrowError> {
        Ok(ParsedBlock {
            counts: self.counts,
            rows: self.columns.finish(valid, arena)?,
            row_lines: self.row_lines,
            times: self.times,
            rejects: self.rejects.finish(raw)?,
            reject_lines: self.reject_lines,
            offset: self.offset,
            text: raw.clone(),
        })
    }
}

impl Visit for Rows<'_> {
    #[inline]
    fn row(&mut self, found: &Found, row: &Row<'_>, mark: Option<&'static str>) {
        self.count(found);
        let cell = mark.map_or(Cell::Null, |mark| Cell::Arena {
            offset: if mark == CUT { RECOVERED.len() as u32 } else { 0 },
            len: mark.len() as u32,
        });
        self.counts.rows += 1;
        self.counts.recovered += u64::from(mark.is_some());
        self.counts.extra += u64::from(row.extra() != Cell::Null);
        self.columns.append(row.cells(), &[cell, row.extra()], self.valid, row.arena());
        self.row_lines.push(LineAt { number: found.line, start: found.raw.0, end: found.raw.1 });
        self.times.push(match self.time.map(|time| row.cell(time)) {
            Some(Cell::Int(micros)) => Some(micros),
            _ => None,
        });
    }

    fn blank(&mut self, found: &Found) {
        self.count(found);
        self.counts.blank += 1;
    }

    fn header(&mut self, found: &Found) {
        self.count(found);
        self.counts.header += 1;
    }

    fn reject(&mut self, found: &Found, reject: Reject, header: Option<&Header>) {
        let at = (reject.at as u64).min(u64::from(found.end - found.start));
        self.add_reject(found, &reject.reason, Some(at), header);
    }

    fn unread(&mut self, found: &Found, reason: &'static str) {
        self.add_reject(found, reason, None, None);
    }
}

impl Rows<'_> {
    fn add_reject(&mut self, found: &Found, reason: &str, reason_at: Option<u64>, header: Option<&Header>) {
        self.count(found);
        self.counts.rejected += 1;
        self.reject_lines.push(found.line);
        let (start, end) = (found.raw.0 as usize, found.raw.1 as usize);
        let (raw_bytes, byte_offset) = ((end - start) as u64, self.offset + start as u64);
        let header = header.and_then(Header::text);
        self.rejects.append(Rejected { raw: (start, end), raw_bytes, reason, reason_at, byte_offset, header }, self.raw);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::{LineLimits, Piece, Pieces};
    use arrow_array::cast::AsArray;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn parsed(grammar: &dyn Grammar, text: &[u8]) -> ParsedBlock {
        parsed_block(grammar, text, true)
    }

    fn parsed_block(grammar: &dyn Grammar, text: &[u8], is_first: bool) -> ParsedBlock {
        let content = Content::Records { is_first };
        let block = Block { text: Buffer::from_slice_ref(text), offset: 0, content, header: None, arrived: 0 };
        parse(grammar, block, usize::MAX).unwrap()
    }

    fn cloudtrail() -> Arc<dyn Grammar> {
        crate::format::compile(&json!("cloudtrail")).unwrap()
    }

    const EVENT: &[u8] = br#"{"eventTime":"2026-02-06T00:00:38Z","eventName":"#;

    /// An event with this name.
    fn event(name: &[u8]) -> Vec<u8> {
        [EVENT, b"\"", name, b"\"}"].concat()
    }

    #[test]
    fn raw_text_is_found_again_where_it_was_repaired() {
        let events = [event(b"A"), event(b"\xff\xfeB\xe2\x82"), event(b"\xe4"), b"{}".to_vec(), event(b"C")];
        let text = [b"{\"Records\":[\xff\n".to_vec(), events.join(&b", "[..]), b"]}".to_vec()].concat();
        let block = parsed(cloudtrail().as_ref(), &text);
        let raw: Vec<&[u8]> = block.row_lines.iter().map(|line| &text[line.start as usize..line.end as usize]).collect();
        assert_eq!(raw, [&events[0], &events[1], &events[2], &events[4]]);
        assert_eq!(block.row_lines.iter().map(|line| line.number).collect::<Vec<_>>(), [1, 2, 3, 5]);
        assert_eq!((block.counts.rows, block.counts.recovered, block.counts.rejected, block.counts.lines), (4, 2, 2, 6));
        assert_eq!(block.reject_lines, [0, 4]);
    }

    #[test]
    fn raw_lines_are_found_again_where_they_were_repaired() {
        let line = |name: &str| format!("2 1 {name} - - - - - - - 1770336038 1770336098 - NODATA\r\n").into_bytes();
        let mut lines = [line("a"), line("b"), line("c")];
        lines[1][4] = 0xff;
        let text = lines.concat();
        let block = parsed(crate::format::compile(&json!("vpc-flow")).unwrap().as_ref(), &text);
        let raw: Vec<&[u8]> = block.row_lines.iter().map(|line| &text[line.start as usize..line.end as usize]).collect();
        assert_eq!(raw, lines.each_ref().map(|line| line.strip_suffix(b"\r\n").unwrap()));
        assert_eq!(block.counts.recovered, 1);
    }

    proptest! {
        #[test]
        fn a_document_reads_the_same_in_blocks_of_any_size(
            names in proptest::collection::vec("[a-c{}\\[\\], ]{0,9}", 0..9),
            pretty: bool,
            block_bytes in 1usize..200,
        ) {
            let event = |name: &String| json!({"eventTime": "2026-02-06T00:00:38Z", "eventName": name, "requestParameters": {"Records": [name]}});
            let document = json!({"Records": names.iter().map(event).collect::<Vec<_>>()});
            let text = if pretty { serde_json::to_string_pretty(&document).unwrap() } else { document.to_string() };
            let grammar = cloudtrail();
            let limits = LineLimits { block_bytes, line_bytes_max: 1 << 20 };
            let (mut pieces, mut lines, mut rows) = (Pieces::new(text.as_bytes(), grammar.as_ref(), limits), 0, 0);
            while let Some(Piece::Lines { text, .. }) = pieces.next_piece() {
                let block = parsed(grammar.as_ref(), &text);
                (lines, rows) = (lines + block.counts.lines, rows + block.counts.rows);
            }
            prop_assert_eq!((lines, rows), (names.len() as u64, names.len() as u64));
        }

        #[test]
        fn an_array_reads_the_same_in_blocks_of_any_size(
            names in proptest::collection::vec("[a-c{}\\[\\], ]{0,9}", 1..9),
            style in 0usize..4,
            block_bytes in 1usize..200,
        ) {
            let object = |name: &String| json!({"n": name, "list": [{"n": name}, {}]});
            let objects: Vec<Value> = names.iter().map(object).collect();
            let lines: Vec<String> = objects.iter().map(Value::to_string).collect();
            let text = match style {
                0 => serde_json::to_string_pretty(&objects).unwrap(),
                1 => json!(objects).to_string(),
                2 => format!("[\r\n{}\r\n]\r\n", lines.join(",\r\n")),
                _ => format!("[ {}\n]\n[]", lines.join("\n, ")),
            };
            let grammar = crate::format::compile(&json!("json")).unwrap();
            let grammar = grammar.inferred(&[text.as_bytes()]).unwrap();
            let limits = LineLimits { block_bytes, line_bytes_max: 1 << 20 };
            let (mut pieces, mut found, mut lines) = (Pieces::new(text.as_bytes(), grammar.as_ref(), limits), Vec::new(), 0);
            let n = grammar.columns().iter().position(|column| column.name == "n").unwrap();
            while let Some(Piece::Lines { text, offset }) = pieces.next_piece() {
                let block = parsed_block(grammar.as_ref(), &text, offset == 0);
                prop_assert_eq!(block.counts.lines, block.counts.rows);
                lines += block.counts.lines;
                found.extend(block.rows[n].as_binary_view().iter().map(|name| String::from_utf8(name.unwrap().to_vec()).unwrap()));
            }
            prop_assert_eq!(lines, names.len() as u64);
            prop_assert_eq!(found, names);
        }
    }
}
