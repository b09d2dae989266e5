//! Lines that a web server writes by a configured template: literals and values in turn. A template flows in once and is
//! compiled into steps; a line flows in, one cell or several per value flow out.
//!
//! A line is first split plainly: each value ends at the first place where the literal after it stands. Where that meets a
//! contradiction, [`Template::recover`] tries later ends, shortest first, a bounded number of times: what is a number, a
//! time or a status cannot lie. A row saved that way is marked. A line that ends after its time and status, but before its
//! last value, is a row that is cut.

use std::borrow::Cow;

use memchr::memchr;

use super::clock::Clock;
use super::fields::after;
use super::names::Names;
use super::time::{CLF_BYTES, clf_micros};
use super::web_value::{Moments, REQUEST_PARTS, Reading, Writes, list, quote, set, surplus};
use super::zone::Zone;
use super::{Column, Parsed, Problem, Reject, Values};
use crate::columns::{Kind, Row};

/// Ends of values that are tried in a line that lies, at most; and bytes that are looked at for it.
const TRIES_MAX: usize = 2_000;
const TRIED_BYTES_MAX: usize = 1 << 26;

/// The most values a template may have.
const STEPS_MAX: usize = 500;

/// A piece of a template.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    /// Text that stands in every line.
    Literal(String),
    /// What differs.
    Value(Value),
}

/// A value of a template.
#[derive(Clone, Debug)]
pub(super) struct Value {
    /// As the template writes it, for messages.
    pub shown: String,
    /// Where it stands in the template, in bytes.
    pub at: usize,
    /// Its column. The time of the event is [`TIME_COLUMN`](super::TIME_COLUMN), of one value or of the parts of one time.
    pub name: String,
    /// How it is written.
    pub reading: Reading,
    /// The unit of its column.
    pub unit: &'static str,
    /// How its values repeat.
    pub values: Values,
    /// What it means.
    pub meaning: Cow<'static, str>,
    /// Whether it may be empty.
    pub is_empty_allowed: bool,
    /// What may stand in it without anything being wrong.
    pub holds: Holds,
}

/// What may stand in a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// No separator.
    Word,
    /// Colons, as in an IPv6 address.
    Colons,
    /// Spaces.
    Spaces,
}

/// A compiled template.
#[derive(Debug)]
pub(super) struct Template {
    columns: Vec<Column>,
    steps: Vec<Step>,
    /// The literal after the last value.
    after: Vec<u8>,
    writes: Writes,
    /// So many values a line must have to be a row; one that ends later is a row that is cut.
    needed: usize,
    /// The columns of the times that are put together from parts: at the start and at the end of a request.
    times: [Option<usize>; 2],
    /// The zone of times that say none.
    zone: Zone,
}

#[derive(Debug)]
struct Step {
    before: Vec<u8>,
    shown: String,
    reading: Reading,
    column: usize,
    end: End,
    is_empty_allowed: bool,
    holds: Holds,
    /// Whether it is a word that does not end at a space: none may stand in it either.
    is_one_word: bool,
}

/// Where a value ends.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    /// Its reading knows.
    Own,
    /// At a quote.
    Quote,
    /// At this byte.
    Byte(u8),
    /// At this text.
    Text(Vec<u8>),
    /// At a space that stands in no separator of a list.
    List,
    /// At a space, or at the end of the line: it is the last one.
    Word,
    /// At the end of the line.
    Line,
}

/// A value of a reading that is tried.
struct Try {
    start: usize,
    end: usize,
    /// Whether its end is no surprise.
    is_plain: bool,
}

/// What became of a value.
enum Taken {
    /// It ends there.
    To(usize),
    /// It does not read as it ought to; a later end may be looked for from there.
    Unfit(usize),
    /// It has no end.
    Endless,
}

impl Template {
    /// Compiles pieces. `option` is the name of the option that they are from, `zone` that of times without one.
    pub(super) fn new(pieces: Vec<Piece>, writes: Writes, zone: Zone, option: &str) -> Result<Template, Problem> {
        let mut template =
            Template { columns: Vec::new(), steps: Vec::new(), after: Vec::new(), writes, needed: 0, times: [None, None], zone };
        let (mut names, mut before) = (Names::default(), String::new());
        let complete = [0, 1].map(|moment| Clock::are_complete(pieces.iter().filter_map(|piece| piece.part(moment))));
        for piece in pieces {
            match piece {
                Piece::Literal(text) => before.push_str(&text),
                Piece::Value(mut value) => {
                    // Parts that make no time together, as a time of day without a date, stay text.
                    if let Reading::Part(_, moment) = value.reading {
                        value.reading = if complete[moment] { value.reading } else { Reading::Text };
                    }
                    template.add(value, std::mem::take(&mut before), &mut names).map_err(|message| Problem::new(option, message))?;
                }
            }
        }
        if template.steps.is_empty() {
            return Err(Problem::new(option, "holds no value: all of its lines would be the same"));
        }
        template.after = before.into_bytes();
        template.end_steps();
        let is_anchor = |step: &Step| step.reading == Reading::Status || step.reading.kind() == Kind::Time;
        template.needed = template.steps.iter().rposition(is_anchor).map_or(template.steps.len(), |last| last + 1);
        Ok(template)
    }

    fn add(&mut self, value: Value, before: String, names: &mut Names) -> Result<(), String> {
        if before.contains('\n') {
            return Err(format!("a record of several lines cannot be read: a line break stands before `{}`", value.shown));
        }
        if self.steps.len() == STEPS_MAX {
            return Err(format!("holds more than {STEPS_MAX} values"));
        }
        let adjacent = self.steps.last().filter(|last| before.is_empty() && !last.reading.ends_itself());
        if let Some(last) = adjacent {
            let (left, right) = (&last.shown, &value.shown);
            return Err(format!("byte {}: nothing stands between `{left}` and `{right}`, so where one ends cannot be told", value.at));
        }
        let column = self.column(&value, names);
        self.steps.push(Step {
            before: before.into_bytes(),
            shown: value.shown,
            reading: value.reading,
            column,
            end: End::Line,
            is_empty_allowed: value.is_empty_allowed,
            holds: value.holds,
            is_one_word: false,
        });
        Ok(())
    }

    /// The column, or the first of the columns, of a value.
    fn column(&mut self, value: &Value, names: &mut Names) -> usize {
        let column = self.columns.len();
        if let Reading::Part(_, moment) = value.reading {
            if let Some(column) = self.times[moment] {
                return column;
            }
            self.times[moment] = Some(column);
        }
        let kind = value.reading.kind();
        let name = if kind == Kind::Time { names.take(&value.name) } else { names.take_text(&value.name) };
        let (unit, values, meaning) = (value.unit, value.values, value.meaning.clone());
        self.columns.push(Column { name: name.into(), kind, unit, meaning, values });
        if value.reading == Reading::Request {
            let parts =
                REQUEST_PARTS.map(|(name, values, meaning)| Column::named(names.take(name), Kind::Text, values, meaning.to_owned()));
            self.columns.extend(parts);
        }
        column
    }

    /// Decides where values end, now that it is known what follows them.
    fn end_steps(&mut self) {
        for n in 0..self.steps.len() {
            let after = self.steps.get(n + 1).map_or(&self.after, |next| &next.before).clone();
            let step = &mut self.steps[n];
            let is_quoted = step.before.ends_with(b"\"") && after.starts_with(b"\"");
            step.end = match after[..] {
                _ if step.reading.ends_itself() => End::Own,
                _ if is_quoted => End::Quote,
                [b' '] if step.reading == Reading::List => End::List,
                [byte] => End::Byte(byte),
                [] if step.holds == Holds::Spaces || step.reading == Reading::List => End::Line,
                [] => End::Word,
                _ => End::Text(after),
            };
            step.is_empty_allowed |= is_quoted && step.reading.kind() == Kind::Text;
            step.is_one_word =
                step.holds != Holds::Spaces && step.reading == Reading::Text && !matches!(step.end, End::Own | End::Byte(b' ') | End::Word);
        }
    }

    /// The columns.
    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Sets one value that something else has split and freed of its escapes.
    pub(super) fn set(&self, n: usize, value: &[u8], row: &mut Row<'_>) -> Result<(), Reject> {
        match self.steps.get(n) {
            Some(step) if !set(&step.reading, value, Writes::Raw, step.column, row) => Err(step.unfit(0)),
            _ => Ok(()),
        }
    }

    /// Reads a line.
    pub(super) fn read(&self, line: &[u8], row: &mut Row<'_>) -> Result<Parsed, Reject> {
        let Err(failed) = self.plain(line, row) else { return Ok(Parsed::Row) };
        let recovered = self.recover(line, true, row).or_else(|| self.recover(line, false, row));
        recovered.or_else(|| self.cut(line, row)).ok_or(failed)
    }

    fn plain(&self, line: &[u8], row: &mut Row<'_>) -> Result<(), Reject> {
        let (mut at, mut moments) = (0, Moments::default());
        for step in &self.steps {
            let Some(start) = step.start(line, at) else { return Err(step.misses(line, at)) };
            at = match step.take(line, start, start, self.writes, true, true, row, &mut moments) {
                Taken::To(end) => end,
                Taken::Unfit(next) if next == start + 1 => return Err(Reject::new(start, format!("`{}` is empty", step.shown))),
                Taken::Unfit(_) if step.is_one_word => return Err(Reject::new(start, format!("`{}` holds no spaces", step.shown))),
                Taken::Unfit(_) => return Err(step.unfit(start)),
                Taken::Endless if step.end == End::Own => return Err(step.unfit(start)),
                Taken::Endless => return Err(Reject::new(line.len(), format!("the line ends in `{}`", step.shown))),
            };
        }
        self.finish(line, at, row, &moments)
    }

    /// What stands after the last value, and the times that are put together.
    fn finish(&self, line: &[u8], at: usize, row: &mut Row<'_>, moments: &Moments) -> Result<(), Reject> {
        let Some(rest) = line.get(at..).and_then(|rest| after(rest, &self.after)) else {
            let message = format!("`{}` is missing after the last value", String::from_utf8_lossy(&self.after));
            return Err(Reject::new(at, message));
        };
        self.set_times(row, moments).ok_or_else(|| Reject::new(0, "there is no such time"))?;
        if !rest.trim_ascii().is_empty() {
            let extra = surplus(rest).ok_or_else(|| Reject::new(at, "what follows the last value cannot be told from it"))?;
            row.set_extra(&extra);
        }
        Ok(())
    }

    fn set_times(&self, row: &mut Row<'_>, moments: &Moments) -> Option<()> {
        for (column, moment) in self.times.iter().zip(moments) {
            if let Some(column) = column {
                row.time(*column, moment.micros(0, self.zone, 0)??);
            }
        }
        Some(())
    }

    /// Tries later ends of values, shortest first. `trusts` says whether a backslash before a quote is believed.
    fn recover(&self, line: &[u8], trusts: bool, row: &mut Row<'_>) -> Option<Parsed> {
        let (mut at, mut moments) = (0, Moments::default());
        let mut taken: Vec<Try> = Vec::with_capacity(self.steps.len());
        let mut again: Option<(usize, usize)> = None;
        row.clear();
        for _ in 0..TRIES_MAX.min(TRIED_BYTES_MAX / line.len().max(1)) {
            let Some(step) = self.steps.get(taken.len()) else {
                if self.finish(line, at, row, &moments).is_ok() {
                    return Some(self.keep(line, trusts, &taken, row));
                }
                again = Some(self.back(&mut taken, row)?);
                continue;
            };
            let place = again.take().or_else(|| step.start(line, at).map(|start| (start, start)));
            let Some((start, from)) = place else {
                again = Some(self.back(&mut taken, row)?);
                continue;
            };
            match step.take(line, start, from, self.writes, trusts, false, row, &mut moments) {
                Taken::To(end) => {
                    taken.push(Try { start, end, is_plain: from == start || step.holds_its_end() });
                    at = end;
                }
                Taken::Unfit(from) => again = Some((start, from)),
                Taken::Endless => again = Some(self.back(&mut taken, row)?),
            }
        }
        None
    }

    /// Gives up the last value. Gives where it starts and where its next end is looked for.
    fn back(&self, taken: &mut Vec<Try>, row: &mut Row<'_>) -> Option<(usize, usize)> {
        let last = taken.pop()?;
        let step = self.steps.get(taken.len())?;
        // What ends itself is set again or fails; parts of a time have a column that stands before others.
        if step.end != End::Own {
            row.clear_from(step.column);
        }
        Some((last.start, last.end + 1))
    }

    /// Sets the texts of a line, now that it is settled where they end: no text is copied for a reading that is given up.
    fn keep(&self, line: &[u8], trusts: bool, taken: &[Try], row: &mut Row<'_>) -> Parsed {
        for (step, Try { start, end, .. }) in self.steps.iter().zip(taken) {
            if step.end != End::Own && step.reading.is_text() {
                set(&step.reading, &line[*start..*end], self.writes, step.column, row);
            }
        }
        if trusts && taken.iter().all(|value| value.is_plain) { Parsed::Row } else { Parsed::Recovered }
    }

    /// Reads a line that ends too early, as far as it goes; its last value may not be whole.
    fn cut(&self, line: &[u8], row: &mut Row<'_>) -> Option<Parsed> {
        let (mut at, mut moments) = (0, Moments::default());
        row.clear();
        for (n, step) in self.steps.iter().enumerate() {
            let is_enough = n >= self.needed;
            if is_enough && step.before.starts_with(&line[at..]) {
                break;
            }
            let start = step.start(line, at)?;
            at = match step.take(line, start, start, self.writes, true, true, row, &mut moments) {
                Taken::To(end) => end,
                Taken::Endless if is_enough && step.end != End::Own => {
                    set(&step.reading, &line[start..], self.writes, step.column, row).then_some(line.len())?
                }
                Taken::Unfit(_) | Taken::Endless => return None,
            };
        }
        self.set_times(row, &moments)?;
        (at == line.len() || self.steps.iter().any(|step| step.before.starts_with(&line[at..]))).then_some(Parsed::Cut)
    }
}

impl Piece {
    /// Its value.
    pub(super) fn value(&self) -> Option<&Value> {
        match self {
            Piece::Value(value) => Some(value),
            Piece::Literal(_) => None,
        }
    }

    /// Its value.
    pub(super) fn value_mut(&mut self) -> Option<&mut Value> {
        match self {
            Piece::Value(value) => Some(value),
            Piece::Literal(_) => None,
        }
    }

    /// The pattern of a part of one of the two times of a request.
    fn part(&self, moment: usize) -> Option<&Clock> {
        match &self.value()?.reading {
            Reading::Part(pattern, of) if *of == moment => Some(pattern),
            _ => None,
        }
    }
}

impl Step {
    /// Where the value starts whose literal stands at `at`.
    #[inline]
    fn start(&self, line: &[u8], at: usize) -> Option<usize> {
        after(line.get(at..)?, &self.before).map(|rest| line.len() - rest.len())
    }

    /// Reads the value that starts at `start` and ends at `from` or later.
    #[inline]
    #[expect(clippy::too_many_arguments, reason = "the plain reading and the two others share it")]
    fn take(
        &self,
        line: &[u8],
        start: usize,
        from: usize,
        writes: Writes,
        trusts: bool,
        is_final: bool,
        row: &mut Row<'_>,
        moments: &mut Moments,
    ) -> Taken {
        if self.end == End::Own {
            let len = if from > start { None } else { self.take_own(&line[start..], row, moments) };
            return len.map_or(Taken::Endless, |len| Taken::To(start + len));
        }
        let Some(end) = self.end(line, from, trusts && writes != Writes::Raw) else { return Taken::Endless };
        let is_whole = !self.is_one_word || holds_no_space(&line[start..end]);
        let is_fit = is_whole && (start < end || self.is_empty_allowed);
        let is_kept = is_final || !self.reading.is_text();
        match is_fit && (!is_kept || set(&self.reading, &line[start..end], writes, self.column, row)) {
            true => Taken::To(end),
            false => Taken::Unfit(end + 1),
        }
    }

    /// Reads a value that knows its end itself. Gives its length.
    fn take_own(&self, rest: &[u8], row: &mut Row<'_>, moments: &mut Moments) -> Option<usize> {
        match &self.reading {
            Reading::Part(pattern, moment) => pattern.read_part(rest, &mut moments[*moment]),
            Reading::Clf => {
                row.time(self.column, clf_micros(rest.get(..CLF_BYTES)?)?);
                Some(CLF_BYTES)
            }
            _ => {
                row.text(self.column, rest.get(..1).filter(|letter| letter.is_ascii())?);
                Some(1)
            }
        }
    }

    /// The first end at `from` or later.
    #[inline]
    fn end(&self, line: &[u8], from: usize, skips_escapes: bool) -> Option<usize> {
        let rest = line.get(from..)?;
        match &self.end {
            End::Byte(byte) => memchr(*byte, rest).map(|len| from + len),
            End::Quote => quote(line, from, skips_escapes),
            End::Text(text) => find(rest, text).map(|len| from + len),
            End::List => list(line, from),
            End::Word => Some(memchr(b' ', rest).map_or(line.len(), |len| from + len)),
            End::Line => Some(line.len()),
            End::Own => None,
        }
    }

    /// Whether what ends it may stand in it, so that a later end is no surprise.
    fn holds_its_end(&self) -> bool {
        match &self.end {
            End::Byte(b':') => self.holds == Holds::Colons,
            End::Byte(b' ') => self.reading == Reading::Request,
            _ => false,
        }
    }

    fn misses(&self, line: &[u8], at: usize) -> Reject {
        let (literal, shown) = (String::from_utf8_lossy(&self.before), &self.shown);
        match at >= line.len() {
            true => Reject::new(at, format!("the line ends before `{shown}`")),
            false => Reject::new(at, format!("`{literal}` is missing before `{shown}`")),
        }
    }

    fn unfit(&self, start: usize) -> Reject {
        Reject::new(start, format!("`{}` is not {}", self.shown, self.reading.expected()))
    }
}

/// Apart from what nearly all values go through.
#[inline(never)]
fn holds_no_space(text: &[u8]) -> bool {
    !text.contains(&b' ')
}

/// Where a short text that starts with a rare byte stands.
#[inline]
fn find(rest: &[u8], text: &[u8]) -> Option<usize> {
    let first = *text.first()?;
    let mut at = 0;
    loop {
        at += memchr(first, rest.get(at..)?)?;
        if rest[at..].starts_with(text) {
            return Some(at);
        }
        at += 1;
    }
}
