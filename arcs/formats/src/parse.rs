//! Blocks of records flow in; arrays of rows and of rejects flow out, with what became of each line. Runs on any thread,
//! for any block, in any order: what header lines of earlier blocks said comes with the block, nothing else is needed.

use arrow_array::ArrayRef;
use arrow_buffer::Buffer;
use arrow_schema::ArrowError;
use manifests::Counts;
use memchr::{memchr_iter, memchr2_iter};

use crate::columns::{Cell, Columns, Kind, Row};
use crate::elements;
use crate::format::{Framing, Grammar, Headers, Parsed as Shape, Reject, Scope, time_column};
use crate::header::Header;
use crate::octets;
use crate::reject::{Rejected, Rejects};
use crate::streams;

/// Bytes of a typical line, to make room for rows.
const LINE_BYTES_TYPICAL: usize = 400;

/// How a recovered row is marked in the `parse` column.
pub const RECOVERED: &str = "recovered";

/// How a row of a record that is not whole is marked in the `parse` column.
pub const CUT: &str = "cut";

/// Both marks, as they stand at the start of every arena.
const MARKS: &str = "recoveredcut";

/// Why a record is a reject whatever the format.
pub const TOO_LONG: &str = "the line is longer than the limit";

/// Why a frame is a reject that says it is longer than what is there.
const CUT_FRAME: &str = "the frame is longer than what is left of the object";

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
            let valid = text.repaired.as_ref().map(|repaired| Buffer::from_slice_ref(&repaired.text));
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

/// Text and, where it is not valid UTF-8, what it was repaired to.
pub(crate) struct Text<'a> {
    raw: &'a [u8],
    repaired: Option<Repaired>,
    /// Where frames lie in the valid text, and whether all of each is there; none where records are lines.
    frames: Option<Vec<(u32, u32, bool)>>,
}

/// Text made valid UTF-8.
struct Repaired {
    text: Vec<u8>,
    /// Where replaced bytes end, in the valid and in the raw text, in order; for frames, which are repaired one by one,
    /// nothing.
    changes: Vec<(u32, u32)>,
    /// Where frames start and end in the raw text, and whether they were changed.
    frames: Vec<(u32, u32, bool)>,
}

impl Repaired {
    /// How many changes end up to a place of the valid text.
    fn changes_up_to(&self, at: u32) -> usize {
        self.changes.partition_point(|(valid, _)| *valid <= at)
    }

    /// The place in the raw text.
    fn raw(&self, at: u32) -> u32 {
        let before = self.changes_up_to(at).checked_sub(1).and_then(|n| self.changes.get(n));
        before.map_or(at, |(valid, raw)| raw + (at - valid))
    }
}

impl<'a> Text<'a> {
    pub(crate) fn new(raw: &'a [u8], grammar: &dyn Grammar) -> Text<'a> {
        let is_valid = std::str::from_utf8(raw).is_ok();
        if grammar.framing() != Framing::Octets || !octets::starts(raw) {
            return Text { raw, repaired: (!is_valid).then(|| repair(raw)), frames: None };
        }
        let mut frames: Vec<_> = octets::frames(raw).map(|frame| (frame.start as u32, frame.end as u32, frame.is_whole)).collect();
        let repaired = (!is_valid).then(|| repair_frames(raw, &mut frames));
        Text { raw, repaired, frames: Some(frames) }
    }

    /// The valid text.
    pub(crate) fn valid(&self) -> &[u8] {
        self.repaired.as_ref().map_or(self.raw, |repaired| &repaired.text)
    }

    /// Where what lies from `start` to `end` in the valid text, on these lines, lies in the raw text, and whether it was
    /// changed.
    fn raw_of(&self, (first, last): (u32, u32), start: u32, end: u32) -> (u32, u32, bool) {
        match &self.repaired {
            None => (start, end, false),
            Some(Repaired { frames, .. }) if !frames.is_empty() => {
                let frames = &frames[first as usize..=last as usize];
                (frames[0].0, frames[frames.len() - 1].1, frames.iter().any(|(_, _, is_changed)| *is_changed))
            }
            Some(repaired) => {
                let is_changed = repaired.changes_up_to(start) != repaired.changes_up_to(end);
                (repaired.raw(start), repaired.raw(end), is_changed)
            }
        }
    }
}

/// Puts a replacement character in the place of bytes that are not UTF-8. None of them is ASCII, so lines stay lines.
fn repair(text: &[u8]) -> Repaired {
    let (mut out, mut changes, mut raw) = (Vec::with_capacity(text.len() + text.len() / 8), Vec::new(), 0);
    for chunk in text.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        raw += chunk.valid().len() + chunk.invalid().len();
        if !chunk.invalid().is_empty() {
            out.extend_from_slice(char::REPLACEMENT_CHARACTER.encode_utf8(&mut [0; 4]).as_bytes());
            changes.push((out.len() as u32, raw as u32));
        }
    }
    Repaired { text: out, changes, frames: Vec::new() }
}

/// The same frame by frame, since a length may end in the middle of a character; `frames` then say where they lie in the
/// repaired text.
fn repair_frames(text: &[u8], frames: &mut [(u32, u32, bool)]) -> Repaired {
    let mut repaired = Repaired { text: Vec::with_capacity(text.len() + text.len() / 8), changes: Vec::new(), frames: Vec::new() };
    for frame in frames {
        let valid = String::from_utf8_lossy(&text[frame.0 as usize..frame.1 as usize]);
        repaired.frames.push((frame.0, frame.1, matches!(valid, std::borrow::Cow::Owned(_))));
        let start = repaired.text.len() as u32;
        repaired.text.extend_from_slice(valid.as_bytes());
        (frame.0, frame.1) = (start, repaired.text.len() as u32);
    }
    repaired
}

/// Where lines end: their newlines, and the end of a last line without one.
fn line_ends(text: &[u8]) -> impl Iterator<Item = usize> + '_ {
    memchr_iter(b'\n', text).chain((!text.ends_with(b"\n") && !text.is_empty()).then_some(text.len()))
}

/// A record that a walk found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// The number of its first line, from 0.
    pub line: u32,
    /// How many lines it has.
    pub lines: u32,
    /// Where it starts in the valid text.
    pub start: u32,
    /// Where it ends there, before its newline and a carriage return.
    pub end: u32,
    /// Where it starts and ends in the raw text.
    pub raw: (u32, u32),
    /// Whether bytes of it were no UTF-8.
    pub is_repaired: bool,
}

/// Is told what a walk finds, in order.
pub(crate) trait Visit {
    /// A row, and how it is marked.
    fn row(&mut self, found: &Found, row: &Row<'_>, mark: Option<&'static str>);
    /// A blank line.
    fn blank(&mut self, found: &Found);
    /// A header line, or a record that is no data.
    fn header(&mut self, found: &Found);
    /// A reject, and the header lines it was read with.
    fn reject(&mut self, found: &Found, reject: Reject, header: Option<&Header>);
    /// A reject that no format saw.
    fn unread(&mut self, found: &Found, reason: &'static str);
}

/// Reads the records of a text one after the other. `arena` takes the text of cells that stands in no record.
#[expect(clippy::too_many_arguments, reason = "each is another part of what a block is read with")]
pub(crate) fn walk(
    grammar: &dyn Grammar,
    text: &Text<'_>,
    header: Option<Header>,
    is_first: bool,
    arrived: i64,
    line_bytes_max: usize,
    arena: &mut String,
    visit: &mut impl Visit,
) {
    let valid = text.valid();
    let row = Row::new(valid, arena, grammar.columns().len());
    let mut walk = Walk { grammar, text, valid, header, is_first, arrived, line_bytes_max, row, number: 0, shared: 0, record: None, visit };
    match grammar.framing() {
        Framing::Lines => walk.lines(line_ends(valid)),
        Framing::Octets if text.frames.is_some() => walk.frames(),
        Framing::Streams => walk.streams(),
        Framing::Records | Framing::Octets => walk.records(),
        Framing::Quoted => walk.quoted(),
        Framing::Elements(key) => walk.elements(key),
    }
}

struct Walk<'a, V> {
    grammar: &'a dyn Grammar,
    text: &'a Text<'a>,
    valid: &'a [u8],
    header: Option<Header>,
    is_first: bool,
    arrived: i64,
    line_bytes_max: usize,
    row: Row<'a>,
    number: u32,
    /// Records so far that started on a line on which another ended: each counts as a line of its own.
    shared: u32,
    /// The record that is being put together.
    record: Option<Open>,
    visit: &'a mut V,
}

/// A record that may go on.
#[derive(Clone, Copy)]
struct Open {
    line: u32,
    lines: u32,
    start: usize,
    end: usize,
    is_orphan: bool,
}

impl<V: Visit> Walk<'_, V> {
    fn lines(&mut self, ends: impl Iterator<Item = usize>) {
        let mut start = 0;
        for end in ends {
            let line = Open { line: self.number, lines: 1, start, end, is_orphan: false };
            self.line(line);
            start = end + 1;
            self.number += 1;
        }
    }

    /// A line that is a record, a blank line or a header line.
    fn line(&mut self, line: Open) {
        let found = self.found(line);
        let bytes = &self.valid[found.start as usize..found.end as usize];
        if bytes.trim_ascii().is_empty() {
            return self.visit.blank(&found);
        }
        if !self.is_header(bytes, line.line) {
            self.read(&found, false);
        } else {
            self.visit.header(&found);
        }
    }

    /// Takes a header line in.
    #[inline]
    fn is_header(&mut self, line: &[u8], number: u32) -> bool {
        match self.grammar.headers() {
            Headers::None => false,
            Headers::First if !self.is_first || number > 0 => false,
            Headers::First => self.take_header(line),
            Headers::Prefixed(prefix) if !line.starts_with(prefix.as_bytes()) => false,
            Headers::Prefixed(_) => {
                self.take_header(line);
                true
            }
        }
    }

    /// Whether the line says something that header lines say.
    fn take_header(&mut self, line: &[u8]) -> bool {
        let taken = Header::after(self.grammar, line, self.header.take());
        let is_taken = taken.is_ok();
        self.header = taken.unwrap_or_else(|before| before);
        is_taken
    }

    fn records(&mut self) {
        let (mut start, valid) = (0, self.valid);
        // Blank lines belong to a record where another of its lines follows.
        let mut blank: Vec<Open> = Vec::new();
        for end in line_ends(valid) {
            let line = Open { line: self.number, lines: 1, start, end, is_orphan: false };
            let bytes = valid[start..end].strip_suffix(b"\r").unwrap_or(&valid[start..end]);
            start = end + 1;
            self.number += 1;
            if bytes.trim_ascii().is_empty() {
                blank.push(line);
                continue;
            }
            let is_start = self.grammar.is_start(bytes);
            if let Some(record) = self.record.as_mut().filter(|_| !is_start) {
                (record.end, record.lines) = (end, record.lines + 1 + blank.len() as u32);
                blank.clear();
                continue;
            }
            self.end_record();
            blank.drain(..).for_each(|line| self.line(line));
            if self.is_header(bytes, line.line) {
                let found = self.found(line);
                self.visit.header(&found);
            } else {
                self.record = Some(Open { is_orphan: !is_start, ..line });
            }
        }
        self.end_record();
        blank.drain(..).for_each(|line| self.line(line));
    }

    fn end_record(&mut self) {
        if let Some(record) = self.record.take() {
            let found = self.found(record);
            self.read(&found, record.is_orphan);
        }
    }

    /// Frames, each counted as a line.
    fn frames(&mut self) {
        for (start, end, is_whole) in self.text.frames.iter().flatten().copied() {
            let frame = Open { line: self.number, lines: 1, start: start as usize, end: end as usize, is_orphan: false };
            match is_whole {
                true => self.line(frame),
                false => {
                    let found = self.found(frame);
                    self.visit.unread(&found, CUT_FRAME);
                }
            }
            self.number += 1;
        }
    }

    /// Records of streams, in the order of their first lines. One has the raw bytes from its first line to its last, those
    /// of other streams between them included.
    fn streams(&mut self) {
        let valid = self.valid;
        for record in streams::records(self.grammar, valid, line_ends(valid)) {
            let (start, end) = (record.start as u32, record.end as u32);
            let (raw_start, raw_end, is_repaired) = self.text.raw_of((record.first, record.last), start, end);
            let found = Found { line: record.first, lines: record.lines, start, end, raw: (raw_start, raw_end), is_repaired };
            let text = record.text(valid);
            if text.trim_ascii().is_empty() {
                self.visit.blank(&found);
                continue;
            }
            if text.len() > self.line_bytes_max {
                self.visit.unread(&found, TOO_LONG);
                continue;
            }
            let scope = Scope { layout: None, arrived: self.arrived, origin: record.origin };
            self.row.clear();
            let read = match record.is_orphan {
                false => self.grammar.read(text, &scope, &mut self.row),
                true => self.grammar.read_orphan(text, &scope, &mut self.row),
            };
            match read {
                Ok(Shape::Header) => self.visit.header(&found),
                Ok(shape) => self.visit.row(&found, &self.row, mark(if record.is_cut { Shape::Cut } else { shape }, is_repaired)),
                Err(reject) => self.visit.reject(&found, reject, None),
            }
        }
    }

    fn quoted(&mut self) {
        let (mut start, mut is_open, mut lines, valid) = (0, false, 1, self.valid);
        let end_line = |this: &mut Self, start: usize, end: usize, lines: u32| {
            this.line(Open { line: this.number, lines, start, end, is_orphan: false });
            this.number += lines;
        };
        for at in memchr2_iter(b'"', b'\n', valid) {
            match (valid[at], is_open) {
                (b'"', _) => is_open = !is_open,
                (_, true) => lines += 1,
                (_, false) => {
                    end_line(self, start, at, lines);
                    (start, lines) = (at + 1, 1);
                }
            }
        }
        if start < valid.len() {
            end_line(self, start, valid.len() - usize::from(valid.ends_with(b"\n")), lines - u32::from(is_open && valid.ends_with(b"\n")));
        }
    }

    fn elements(&mut self, key: &str) {
        let mut from = 0;
        while let Some(element) = elements::next(self.valid, from, key) {
            from = element.end;
            self.line(Open { line: self.number, lines: 1, start: element.start, end: element.end, is_orphan: false });
            self.number += 1;
        }
    }

    fn found(&self, open: Open) -> Found {
        let bytes = &self.valid[open.start..open.end];
        let carriage = u32::from(bytes.ends_with(b"\r"));
        let (start, end) = (open.start as u32, open.end as u32);
        let last = open.line + open.lines - 1;
        let (raw_start, raw_end, is_repaired) = self.text.raw_of((open.line, last), start, end);
        let raw = (raw_start, raw_end - carriage);
        Found { line: open.line + self.shared, lines: open.lines, start, end: end - carriage, raw, is_repaired }
    }

    #[inline]
    fn read(&mut self, found: &Found, is_orphan: bool) {
        if (found.raw.1 - found.raw.0) as usize > self.line_bytes_max {
            return self.visit.unread(found, TOO_LONG);
        }
        let mut found = *found;
        while let Some(rest) = self.read_one(&found, is_orphan) {
            found = rest;
        }
    }

    /// Reads a record; gives what is left of it where another one follows.
    #[inline]
    fn read_one(&mut self, found: &Found, is_orphan: bool) -> Option<Found> {
        let record = &self.valid[found.start as usize..found.end as usize];
        let scope = Scope { layout: self.header.as_ref().map(|header| &header.layout), arrived: self.arrived, origin: None };
        self.row.clear();
        let read = match is_orphan {
            false => self.grammar.read(record, &scope, &mut self.row),
            true => self.grammar.read_orphan(record, &scope, &mut self.row),
        };
        match read {
            Ok(Shape::Header) => self.visit.header(found),
            Ok(Shape::Followed(at)) if at > 0 && at < record.len() => {
                let (whole, (found, rest)) = (found, self.divide(found, at));
                self.shared += found.lines + rest.lines - whole.lines;
                self.row_of(&found, Shape::Row);
                return Some(rest);
            }
            Ok(shape) => self.row_of(found, shape),
            Err(reject) => self.visit.reject(found, reject, self.header.as_ref()),
        }
        None
    }

    #[inline]
    fn row_of(&mut self, found: &Found, shape: Shape) {
        self.visit.row(found, &self.row, mark(shape, found.is_repaired));
    }

    /// A record in two: up to the one that starts at byte `at` of it, and that. Both have the line that they share.
    fn divide(&self, found: &Found, at: usize) -> (Found, Found) {
        let before = &self.valid[found.start as usize..found.start as usize + at];
        let end = before.trim_ascii_end().len();
        let newlines = memchr_iter(b'\n', before).count() as u32;
        let is_shared = !before[end..].contains(&b'\n');
        let (middle, end) = (found.start + at as u32, found.start + end as u32);
        let lines = newlines + u32::from(is_shared);
        let first = Found { lines, end, ..*found };
        let rest = Found { line: found.line + lines, lines: found.lines - newlines, start: middle, ..*found };
        // Where bytes were repaired, a record has the raw bytes of all that share its lines.
        match self.text.repaired {
            None => (Found { raw: (first.start, first.end), ..first }, Found { raw: (rest.start, found.raw.1), ..rest }),
            Some(_) => (first, rest),
        }
    }
}

/// The mark of a row in its `parse` column.
fn mark(shape: Shape, repaired: bool) -> Option<&'static str> {
    match shape {
        Shape::Cut => Some(CUT),
        Shape::Recovered => Some(RECOVERED),
        _ => repaired.then_some(RECOVERED),
    }
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
    use proptest::prelude::*;
    use serde_json::json;
    use std::sync::Arc;

    fn parsed(grammar: &dyn Grammar, text: &[u8]) -> ParsedBlock {
        let content = Content::Records { is_first: true };
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
    }
}
