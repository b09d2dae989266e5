//! Streams that were written line by line into one file: its text flows in; the records of each stream, put together from
//! their lines and from the pieces of long lines, flow out, in the order of their first lines.
//!
//! A record goes on over the next lines of its stream that start none, if they were written within [`PAUSE_MICROS`]: so
//! what a record is depends on what stands around it, never on where blocks are cut. A piece that is not the last of its
//! line waits for the others however long it takes.

use std::borrow::Cow;

use memchr::memchr_iter;

use crate::format::{Grammar, Origin, Part};

/// How much later than the line before a line may be written that continues its record.
const PAUSE_MICROS: i64 = 5_000_000;

/// Streams of a file.
const STREAMS: usize = 2;

/// A record of a stream, or a line that belongs to none.
#[derive(Debug)]
pub(crate) struct Record {
    /// The number of its first line.
    pub first: u32,
    /// The number of its last line.
    pub last: u32,
    /// How many lines it has; lines of other streams may stand between them.
    pub lines: u32,
    /// Where its first line starts.
    pub start: usize,
    /// Where its last line ends.
    pub end: usize,
    /// Its stream; none for a line that is of no stream.
    pub origin: Option<Origin>,
    /// Whether its start is not there.
    pub is_orphan: bool,
    /// Whether its end is not there.
    pub is_cut: bool,
    text: Joined,
}

/// The text of a record.
#[derive(Debug)]
enum Joined {
    /// That of one line, as it stands in the block.
    Block(usize, usize),
    /// Put together.
    Own(Vec<u8>),
}

impl Record {
    /// Its text, without what its lines say of the stream. `block` is the text that it was found in.
    pub(crate) fn text<'a>(&'a self, block: &'a [u8]) -> &'a [u8] {
        match &self.text {
            Joined::Block(start, end) => block.get(*start..*end).unwrap_or_default(),
            Joined::Own(text) => text,
        }
    }

    fn append(&mut self, block: &[u8], between: &[u8], part: &[u8]) {
        let mut text = match std::mem::replace(&mut self.text, Joined::Block(0, 0)) {
            Joined::Block(start, end) => block.get(start..end).unwrap_or_default().to_vec(),
            Joined::Own(text) => text,
        };
        text.extend_from_slice(between);
        text.extend_from_slice(part);
        self.text = Joined::Own(text);
    }
}

/// A record that may go on: when its last line was written, and whether that line goes on.
#[derive(Clone, Copy)]
struct Open {
    place: usize,
    micros: i64,
    is_partial: bool,
}

impl Open {
    /// What a piece is to the record before it.
    fn takes(&self, grammar: &dyn Grammar, part: &Part<'_>) -> Option<&'static [u8]> {
        match self.is_partial {
            true => Some(b""),
            false if part.origin.micros.saturating_sub(self.micros) > PAUSE_MICROS || grammar.is_start(&part.text) => None,
            false => Some(b"\n"),
        }
    }
}

/// All records of a block.
pub(crate) fn records(grammar: &dyn Grammar, block: &[u8], ends: impl Iterator<Item = usize>) -> Vec<Record> {
    let (mut records, mut open, mut start) = (Vec::<Record>::new(), [None::<Open>; STREAMS], 0);
    for (number, end) in ends.enumerate() {
        let line = trimmed(&block[start..end]);
        let part = grammar.part(line).filter(|part| part.origin.stream < STREAMS);
        let before = part.as_ref().and_then(|part| open[part.origin.stream]);
        let joins = part.as_ref().and_then(|part| Some((part, before?, before?.takes(grammar, part)?)));
        let place = match joins {
            Some((part, before, between)) => {
                let record = &mut records[before.place];
                record.append(block, between, &part.text);
                (record.last, record.end, record.lines) = (number as u32, start + line.len(), record.lines + 1);
                before.place
            }
            None => {
                records.push(record(grammar, block, (start, line), number as u32, part.as_ref()));
                records.len() - 1
            }
        };
        if let Some(part) = part {
            open[part.origin.stream] = Some(Open { place, micros: part.origin.micros, is_partial: part.is_partial });
        }
        start = end + 1;
    }
    for open in open.into_iter().flatten().filter(|open| open.is_partial) {
        records[open.place].is_cut = true;
    }
    records
}

fn record(grammar: &dyn Grammar, block: &[u8], (start, line): (usize, &[u8]), number: u32, part: Option<&Part<'_>>) -> Record {
    let text = match part.map(|part| &part.text) {
        Some(Cow::Borrowed(text)) => {
            let from = (text.as_ptr() as usize).wrapping_sub(block.as_ptr() as usize);
            Joined::Block(from, from.wrapping_add(text.len()))
        }
        Some(Cow::Owned(text)) => Joined::Own(text.clone()),
        None => Joined::Block(start, start + line.len()),
    };
    let is_orphan = part.is_some_and(|part| !part.text.trim_ascii().is_empty() && !grammar.is_start(&part.text));
    let (end, origin) = (start + line.len(), part.map(|part| part.origin));
    Record { first: number, last: number, lines: 1, start, end, origin, is_orphan, is_cut: false, text }
}

/// The last start of a line of a text before which no record of any stream goes on behind it.
pub(crate) fn last_cut(grammar: &dyn Grammar, text: &[u8]) -> Option<usize> {
    /// A line: where it starts, its stream, and whether it starts a record.
    struct Line(usize, usize, bool);
    let (mut lines, mut open, mut start, mut latest) = (Vec::new(), [None::<Open>; STREAMS], 0, i64::MIN);
    for end in memchr_iter(b'\n', text) {
        if let Some(part) = grammar.part(trimmed(&text[start..end])).filter(|part| part.origin.stream < STREAMS) {
            let Origin { stream, micros } = part.origin;
            let is_new = open[stream].is_none_or(|open| open.takes(grammar, &part).is_none());
            lines.push(Line(start, stream, is_new));
            open[stream] = Some(Open { place: 0, micros, is_partial: part.is_partial });
            latest = latest.max(micros);
        }
        start = end + 1;
    }
    // From the end on: whether what a stream says next, if it says anything, starts a record.
    let over = |open: Option<Open>| open.is_none_or(|open| !open.is_partial && latest.saturating_sub(open.micros) > PAUSE_MICROS);
    let mut is_over = open.map(over);
    for Line(start, stream, is_new) in lines.into_iter().rev() {
        is_over[stream] = is_new;
        if start > 0 && is_over.iter().all(|over| *over) {
            return Some(start);
        }
    }
    None
}

fn trimmed(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}
