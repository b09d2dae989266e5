//! The records of a text: what a block holds flows in, and each record, blank line and header line flows out in order, as
//! its framing tells them apart. Text that is no UTF-8 is made so first, and every place in it leads back to the bytes that
//! were there.

use memchr::{memchr_iter, memchr2_iter};

use crate::columns::Row;
use crate::format::{Framing, Grammar, Headers, Parsed as Shape, Reject, Scope};
use crate::header::Header;
use crate::{elements, octets, streams};

/// How a recovered row is marked in the `parse` column.
pub const RECOVERED: &str = "recovered";

/// How a row of a record that is not whole is marked in the `parse` column.
pub const CUT: &str = "cut";

/// Why a record is a reject whatever the format.
pub const TOO_LONG: &str = "the line is longer than the limit";

/// Why a frame is a reject that says it is longer than what is there.
const CUT_FRAME: &str = "the frame is longer than what is left of the object";

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

    /// The valid text, where it is not the text itself.
    pub(crate) fn repaired(&self) -> Option<&[u8]> {
        self.repaired.as_ref().map(|repaired| repaired.text.as_slice())
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
        Framing::Array if elements::is_array(valid, is_first) => walk.elements(elements::NO_KEY),
        Framing::Records | Framing::Octets | Framing::Array => walk.records(),
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
