//! Records by a pattern: the steps of a compiled layout and the text of a record flow in; the common columns of
//! applications, or a [`Reject`] that names the step that does not fit, flow out.
//!
//! A text goes on to what the pattern has after it; where several places fit, the first from which the rest of the
//! pattern fits as well. A message with something after it goes on to the last such place of its line. Lines after the
//! line that the pattern ends on are a stack trace, or more of the message.
//!
//! Invariant: at most [`TRIES_MAX`] places are tried, whatever the record holds.

use memchr::{memchr, memmem};

use super::app::{self, Defaults};
use super::clock::{Clock, Stamp};
use super::fields::after;
use super::{Column, Framing, Grammar, Parsed, Problem, Reject, Scope};
use crate::columns::Row;

/// Steps that a pattern may have.
const STEPS_MAX: usize = 64;

/// Places that are tried in one record.
const TRIES_MAX: usize = 512;

/// A piece of a pattern.
#[derive(Debug)]
pub(super) struct Step {
    pub part: Part,
    /// How the pattern writes it, for people.
    pub source: String,
    /// The least width, in characters; shorter texts have spaces around.
    pub least: usize,
    /// The greatest width, or 0 for any.
    pub most: usize,
}

impl Step {
    pub(super) fn new(part: Part, source: impl Into<String>) -> Step {
        Step { part, source: source.into(), least: 0, most: 0 }
    }
}

/// What a step reads.
#[derive(Debug)]
pub(super) enum Part {
    /// This text.
    Literal(Vec<u8>),
    /// This text, ready to be searched; made of a literal when the pattern is complete.
    Found(Box<Search>),
    /// A time.
    Clock(Clock),
    /// A level: a word.
    Level,
    /// Digits, or `?` for a number that nobody knows.
    Number(To),
    /// A text, up to what follows.
    Text(To),
    /// What was said.
    Message,
    /// A line break.
    Newline,
    /// The stack trace, which is found by its looks.
    Throwable,
    /// Colours for terminals, if they are there.
    Ansi,
    /// Spaces, if they are there.
    Spaces,
    /// So many steps that come next may be left out together.
    Maybe(usize),
}

impl Part {
    /// Whether it goes to the column `fields`.
    fn is_of_fields(&self) -> bool {
        matches!(self, Part::Number(To::Field(_)) | Part::Text(To::Field(_) | To::Fields))
    }

    /// Whether it goes to a column of its own.
    fn is_of_a_column(&self) -> bool {
        match self {
            Part::Number(to) | Part::Text(to) => matches!(to, To::Column(_) | To::Millis),
            part => matches!(part, Part::Clock(_) | Part::Level | Part::Message),
        }
    }

    /// Its name in the column `fields`, as JSON has it, with the colon; empty if it has none.
    fn name(&self) -> String {
        let mut name = String::new();
        if let Part::Number(To::Field(field)) | Part::Text(To::Field(field)) = self {
            app::string(&mut name, field);
            name.push(':');
        }
        name
    }
}

/// A text and searchers for it, from either end.
#[derive(Debug)]
pub(super) struct Search {
    text: Vec<u8>,
    first: memmem::Finder<'static>,
    last: memmem::FinderRev<'static>,
}

/// Where a text goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// A column of the common ones.
    Column(usize),
    /// A member of the column `fields`.
    Field(String),
    /// Several members, written `{a=1, b=2}`.
    Fields,
    /// Milliseconds that the time does not have.
    Millis,
    /// Nowhere: it says nothing new.
    Nowhere,
}

/// A compiled pattern with its defaults: the grammar of a layout.
#[derive(Debug)]
pub(super) struct Pattern {
    steps: Vec<Step>,
    /// The steps that tell whether a line starts a record; none where every line does.
    anchor: usize,
    /// The steps that go to columns of their own.
    cells: Vec<usize>,
    /// The steps that go to the column `fields`, with their names as JSON has them, colons included.
    fields: Vec<(usize, String)>,
    defaults: Defaults,
}

/// Steps that most patterns have at most.
const STEPS_USUAL: usize = 16;

/// What was read of a record.
struct Reading<'a> {
    text: &'a [u8],
    /// Where each step was found; nothing is kept of the steps beyond its length.
    spans: &'a mut [(u32, u32)],
    stamp: Option<Stamp>,
    tries: usize,
    /// The line that was looked at last: a place on it, and its end.
    line: (usize, usize),
    /// The furthest place at which a step did not fit, and that step.
    furthest: (usize, usize),
    /// Whether levels must be known ones.
    is_probe: bool,
}

impl<'a> Reading<'a> {
    fn new(text: &'a [u8], spans: &'a mut [(u32, u32)], is_probe: bool) -> Reading<'a> {
        Reading { text, spans, stamp: None, tries: 0, line: (usize::MAX, 0), furthest: (0, 0), is_probe }
    }

    fn span(&self, step: usize) -> &'a [u8] {
        self.spans.get(step).and_then(|(start, end)| self.text.get(*start as usize..*end as usize)).unwrap_or_default()
    }

    fn set(&mut self, step: usize, start: usize, end: usize) {
        if let Some(span) = self.spans.get_mut(step) {
            *span = (start as u32, end as u32);
        }
    }

    fn rest(&self, at: usize) -> &'a [u8] {
        self.text.get(at..).unwrap_or_default()
    }

    /// Where the line ends that `at` stands on.
    fn line_end(&mut self, at: usize) -> usize {
        if !(self.line.0..=self.line.1).contains(&at) {
            self.line = (at, memchr(b'\n', self.rest(at)).map_or(self.text.len(), |newline| at + newline));
        }
        self.line.1
    }

    fn is_line_end(&self, at: usize) -> bool {
        matches!(self.rest(at).iter().find(|byte| !matches!(byte, b' ' | b'\r')), None | Some(b'\n'))
    }
}

impl Pattern {
    /// Makes the grammar of these steps. `option` is where problems are said to be.
    pub(super) fn new(mut steps: Vec<Step>, defaults: Defaults, option: &str) -> Result<Pattern, Problem> {
        let is_tail = |step: &Step| match &step.part {
            Part::Newline | Part::Throwable | Part::Spaces => true,
            Part::Literal(text) => text.trim_ascii().is_empty(),
            _ => false,
        };
        while steps.last().is_some_and(is_tail) {
            steps.pop();
        }
        steps.retain(|step| !matches!(step.part, Part::Throwable));
        for step in &mut steps {
            if matches!(step.part, Part::Newline) {
                step.part = Part::Literal(b"\n".to_vec());
            }
        }
        if steps.len() > STEPS_MAX || steps.is_empty() {
            return Err(Problem::new(option, format!("must have between 1 and {STEPS_MAX} parts")));
        }
        check(&steps, option)?;
        let anchor = anchor(&steps);
        for step in &mut steps {
            if let Part::Literal(text) = &mut step.part {
                let text = std::mem::take(text);
                let (first, last) = (memmem::Finder::new(&text).into_owned(), memmem::FinderRev::new(&text).into_owned());
                step.part = Part::Found(Box::new(Search { text, first, last }));
            }
        }
        let of = |is_it: fn(&Part) -> bool| steps.iter().enumerate().filter(move |(_, step)| is_it(&step.part));
        let cells = of(Part::is_of_a_column).map(|(n, _)| n).collect();
        let fields = of(Part::is_of_fields).map(|(n, step)| (n, step.part.name())).collect();
        Ok(Pattern { anchor, cells, fields, steps, defaults })
    }

    /// Whether a line starts as most records do: with the texts before the time, the time in its usual shape, and the text
    /// after it. A line that does not may start a record all the same.
    #[inline]
    fn is_usual_start(&self, line: &[u8]) -> bool {
        let Some(steps) = self.steps.get(..self.anchor).filter(|steps| steps.len() < self.steps.len()) else { return false };
        let end = steps.iter().try_fold(0, |at, step| match &step.part {
            Part::Found(search) => after(line.get(at..)?, &search.text).map(|rest| line.len() - rest.len()),
            Part::Clock(clock) => Some(at + clock.usual_end(line.get(at..)?)?),
            _ => None,
        });
        end.is_some()
    }

    /// Fits steps from `n` up to `stop`, and gives where they end.
    fn run(&self, mut n: usize, mut at: usize, stop: usize, reading: &mut Reading<'_>) -> Option<usize> {
        reading.tries += 1;
        while n < stop && reading.tries < TRIES_MAX {
            let step = self.steps.get(n)?;
            let end = match &step.part {
                Part::Found(search) => literal(&search.text, reading, at),
                Part::Literal(text) => literal(text, reading, at),
                Part::Clock(clock) => {
                    let mut stamp = Stamp::default();
                    let length = clock.read_part(reading.rest(at), &mut stamp);
                    reading.stamp = if length.is_some() { Some(stamp) } else { reading.stamp };
                    length.map(|length| at + length)
                }
                Part::Level | Part::Number(_) => word(step, reading, at),
                Part::Ansi => Some(at + ansi(reading.rest(at))),
                Part::Spaces | Part::Newline | Part::Throwable => {
                    let spaces = reading.rest(at).iter().take_while(|byte| **byte == b' ').count();
                    let next = self.steps.get(n + 1).map(|step| &step.part);
                    let is_wanted = matches!(next, Some(Part::Found(search)) if search.text.starts_with(b" "));
                    Some(at + spaces.saturating_sub(usize::from(is_wanted)))
                }
                Part::Maybe(length) => {
                    if let Some(end) = self.run(n + 1, at, stop, reading) {
                        return Some(end);
                    }
                    (n + 1..=n + length).for_each(|skipped| reading.set(skipped, 0, 0));
                    n += length;
                    Some(at)
                }
                Part::Text(_) => return self.text(n, at, stop, reading),
                Part::Message => return self.message(n, at, stop, reading),
            };
            let Some(end) = end else {
                reading.furthest = reading.furthest.max((at, n));
                return None;
            };
            if !matches!(step.part, Part::Maybe(_)) {
                reading.set(n, at, end);
            }
            (n, at) = (n + 1, end);
        }
        let is_end = n == stop && (stop < self.steps.len() || reading.is_line_end(at));
        reading.furthest = reading.furthest.max((at, n));
        is_end.then_some(at)
    }

    /// Fits a text and what follows it.
    fn text(&self, n: usize, at: usize, stop: usize, reading: &mut Reading<'_>) -> Option<usize> {
        let (step, line_end) = (self.steps.get(n)?, reading.line_end(at));
        let mut from = at;
        if step.least > 0 {
            let line = std::str::from_utf8(reading.text.get(at..line_end)?).ok()?;
            from = at + line.char_indices().nth(step.least).map_or(line.len(), |(width, _)| width);
        }
        if matches!(step.part, Part::Text(To::Fields)) && reading.rest(at).starts_with(b"{") {
            from = at + memchr(b'}', reading.rest(at)).map_or(0, |brace| brace + 1);
        }
        if n + 1 == self.steps.len() {
            from = line_end;
        }
        if n + 1 == self.steps.len() || step.least > 0 && step.least == step.most {
            reading.set(n, at, from);
            return self.run(n + 1, from, stop, reading);
        }
        let first = follow(&self.steps, n + 1);
        while from <= line_end && reading.tries < TRIES_MAX {
            let Some(found) = reading.text.get(from..).and_then(|text| first.find(text)).map(|skip| from + skip) else { break };
            if found > line_end {
                break;
            }
            reading.set(n, at, found);
            if let Some(end) = self.run(n + 1, found, stop, reading) {
                return Some(end);
            }
            from = found + 1;
        }
        reading.furthest = reading.furthest.max((at, n));
        None
    }

    /// Fits the message: all that is left, or up to the last place of a line from which the rest fits.
    fn message(&self, n: usize, at: usize, stop: usize, reading: &mut Reading<'_>) -> Option<usize> {
        if n + 1 >= self.steps.len() {
            reading.set(n, at, reading.text.len());
            return Some(reading.text.len());
        }
        let mut line = at;
        while line <= reading.text.len() && reading.tries < TRIES_MAX {
            let end = reading.line_end(line);
            if let Some(end) = self.message_on_line(n, at, (line, end), stop, reading) {
                return Some(end);
            }
            line = end + 1;
        }
        None
    }

    /// Fits a message that starts at `at` and ends on this line.
    fn message_on_line(&self, n: usize, at: usize, line: (usize, usize), stop: usize, reading: &mut Reading<'_>) -> Option<usize> {
        let (first, mut to) = (follow(&self.steps, n + 1), line.1);
        while let Some(found) = reading.text.get(line.0..to).and_then(|text| first.rfind(text)) {
            let found = line.0 + found;
            reading.set(n, at, found);
            if let Some(end) = self.run(n + 1, found, stop, reading) {
                return Some(end);
            }
            to = (found + first.overlap()).min(to.checked_sub(1)?);
            if reading.tries >= TRIES_MAX {
                return None;
            }
        }
        // Spaces at the end of the line may be lost.
        reading.set(n, at, line.1);
        self.run(n + 1, line.1, stop, reading)
    }

    /// Sets the cells of what was read.
    fn fill(&self, reading: &Reading<'_>, end: usize, scope: &Scope<'_>, row: &mut Row<'_>) -> Result<(), Reject> {
        let mut clock = None;
        let (mut millis, mut message) = (0, None);
        for n in self.cells.iter().copied() {
            let span = reading.span(n);
            match &self.steps[n].part {
                Part::Clock(found) if !span.is_empty() => clock = Some((found, reading.spans.get(n).map_or(0, |span| span.0))),
                Part::Level if !span.is_empty() => app::set_level(row, span.trim_ascii()),
                Part::Number(To::Millis) => {
                    millis = std::str::from_utf8(span.trim_ascii()).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
                }
                Part::Text(To::Column(column)) | Part::Number(To::Column(column)) => set_text(row, *column, span),
                Part::Message => message = Some(n),
                _ => {}
            }
        }
        if let (Some((clock, at)), Some(stamp)) = (clock, &reading.stamp) {
            let micros = clock.micros(stamp, millis, self.defaults.zone, scope.arrived);
            let micros = micros.ok_or_else(|| Reject::new(at as usize, "there is no such date or time"))?;
            if let Some(micros) = micros {
                row.time(app::TIME, micros);
            }
        }
        if !self.fields.is_empty() {
            self.fill_fields(reading, row);
        }
        match message {
            Some(n) if n + 1 == self.steps.len() => app::set_body(row, reading.span(n)),
            Some(n) => app::set_message_and_rest(row, reading.span(n), reading.rest(end)),
            None => app::set_body(row, reading.rest(end).trim_ascii_start()),
        }
        self.defaults.fill(row);
        Ok(())
    }

    fn fill_fields(&self, reading: &Reading<'_>, row: &mut Row<'_>) {
        let mut is_empty = true;
        row.write(app::FIELDS, |out| {
            let from = out.len();
            for (n, name) in &self.fields {
                let text = std::str::from_utf8(reading.span(*n).trim_ascii()).unwrap_or_default();
                let part = &self.steps[*n].part;
                if text.is_empty() {
                    continue;
                }
                if matches!(part, Part::Text(To::Fields)) {
                    members(out, from, text);
                    continue;
                }
                out.push(if out.len() == from { '{' } else { ',' });
                out.push_str(name);
                let is_number = matches!(part, Part::Number(_)) && text != "?" && (text.len() == 1 || !text.starts_with('0'));
                if is_number { out.push_str(text) } else { app::string(out, text) }
            }
            app::close(out, from);
            is_empty = out.len() == from;
        });
        if is_empty {
            row.clear_cell(app::FIELDS);
        }
    }
}

/// Sets a text, if there is one.
fn set_text(row: &mut Row<'_>, column: usize, text: &[u8]) {
    let text = text.trim_ascii();
    if !text.is_empty() {
        row.text(column, text);
    }
}

/// Adds what a map prints as, `{a=1, b=2}` or `a=1, b=2`, to a JSON object.
fn members(out: &mut String, from: usize, text: &str) {
    let inside = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
    for pair in inside.split(", ").filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some((name, value)) => app::member(out, from, name, value),
            None => app::member(out, from, "context", pair),
        }
    }
}

/// Where a literal ends. One that ends in spaces may have lost them at the end of a line.
fn literal(text: &[u8], reading: &Reading<'_>, at: usize) -> Option<usize> {
    if after(reading.rest(at), text).is_some() {
        return Some(at + text.len());
    }
    let shorter = text.trim_ascii_end();
    let end = at + shorter.len();
    (shorter.len() < text.len() && reading.rest(at).starts_with(shorter) && reading.is_line_end(end)).then_some(end)
}

/// Where a level or a number ends, with the spaces that make it as wide as it is to be.
fn word(step: &Step, reading: &Reading<'_>, at: usize) -> Option<usize> {
    let rest = reading.rest(at);
    let spaces = |text: &[u8], most: usize| text.iter().take(most).take_while(|byte| **byte == b' ').count();
    let before = spaces(rest, step.least.saturating_sub(1));
    let text = rest.get(before..)?;
    let is_level = matches!(step.part, Part::Level);
    let length = match text.first()? {
        b'?' if !is_level => 1,
        b'-' if !is_level => 1 + text[1..].iter().take_while(|byte| byte.is_ascii_digit()).count(),
        _ if is_level => text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count(),
        _ => text.iter().take_while(|byte| byte.is_ascii_digit()).count(),
    };
    if length == 0 || is_level && reading.is_probe && app::level(&text[..length]).is_none() {
        return None;
    }
    let end = before + length;
    Some(at + end + spaces(&rest[end..], step.least.saturating_sub(end)))
}

/// The length of the escape sequences that colour what follows.
fn ansi(text: &[u8]) -> usize {
    let mut at = 0;
    while text[at..].starts_with(b"\x1b[") {
        let digits = text[at + 2..].iter().take_while(|byte| byte.is_ascii_digit() || **byte == b';').count();
        match text.get(at + 2 + digits) {
            Some(b'm') => at += digits + 3,
            _ => break,
        }
    }
    at
}

/// What may come first after a text; none where what comes first may be missing, so that every place must be tried.
#[derive(Clone, Copy)]
struct Follow<'a>(Option<&'a Search>);

impl Follow<'_> {
    fn find(self, text: &[u8]) -> Option<usize> {
        match self.0 {
            None => Some(0),
            Some(Search { text: one, .. }) if one.len() == 1 => memchr(one[0], text),
            Some(search) => search.first.find(text),
        }
    }

    fn rfind(self, text: &[u8]) -> Option<usize> {
        match self.0 {
            Some(search) => search.last.rfind(text),
            None => (!text.is_empty()).then_some(text.len()),
        }
    }

    /// How far the next place to try may reach into this one.
    fn overlap(self) -> usize {
        self.0.map_or(0, |search| search.text.len().saturating_sub(1))
    }
}

fn follow(steps: &[Step], n: usize) -> Follow<'_> {
    match steps.get(n).map(|step| &step.part) {
        Some(Part::Found(search)) => Follow(Some(search)),
        _ => Follow(None),
    }
}

/// Whether it is told where each text ends.
fn check(steps: &[Step], option: &str) -> Result<(), Problem> {
    let is_text = |step: &Step| matches!(step.part, Part::Text(_) | Part::Message);
    for (n, step) in steps.iter().enumerate() {
        let next = steps[n + 1..].iter().find(|step| !matches!(step.part, Part::Ansi | Part::Spaces | Part::Maybe(_)));
        let is_fixed = step.least > 0 && (step.least == step.most || !is_text(step));
        let is_fluid = is_text(step) || matches!(step.part, Part::Level | Part::Number(_)) && next.is_some_and(is_text);
        let unmarked = next.filter(|next| is_fluid && !is_fixed && !matches!(next.part, Part::Literal(_)));
        if let Some(next) = unmarked {
            return Err(Problem::new(option, format!("nothing tells where `{}` ends and `{}` begins", step.source, next.source)));
        }
    }
    match steps.iter().filter(|step| matches!(step.part, Part::Message)).count() {
        0 | 1 => Ok(()),
        _ => Err(Problem::new(option, "has the message twice")),
    }
}

/// How many steps tell whether a line starts a record: up to the first that few texts fit, and the text after it; else
/// all before the message, if there is any fixed text among them.
fn anchor(steps: &[Step]) -> usize {
    let is_break = |step: &Step| matches!(&step.part, Part::Literal(text) if text.contains(&b'\n'));
    let head = steps.iter().position(|step| matches!(step.part, Part::Message) || is_break(step)).unwrap_or(steps.len());
    let strong = steps[..head].iter().position(|step| matches!(step.part, Part::Clock(_) | Part::Level));
    match strong {
        Some(n) if steps[..n].iter().all(|step| !matches!(step.part, Part::Maybe(_))) => {
            n + 1 + usize::from(matches!(steps[..head].get(n + 1), Some(Step { part: Part::Literal(_), .. })))
        }
        _ if steps[..head].iter().any(|step| matches!(step.part, Part::Literal(_))) => head,
        _ => 0,
    }
}

impl Grammar for Pattern {
    fn columns(&self) -> &[Column] {
        app::COLUMNS
    }

    fn framing(&self) -> Framing {
        if self.anchor == 0 { Framing::Lines } else { Framing::Records }
    }

    fn is_start(&self, line: &[u8]) -> bool {
        self.anchor == 0 || self.is_usual_start(line) || self.run(0, 0, self.anchor, &mut Reading::new(line, &mut [], true)).is_some()
    }

    fn read(&self, record: &[u8], scope: &Scope<'_>, row: &mut Row<'_>) -> Result<Parsed, Reject> {
        let (mut few, mut many);
        let spans = if self.steps.len() <= STEPS_USUAL {
            few = [(0, 0); STEPS_USUAL];
            &mut few[..]
        } else {
            many = [(0, 0); STEPS_MAX];
            &mut many[..]
        };
        let mut reading = Reading::new(record, spans, false);
        match self.run(0, 0, self.steps.len(), &mut reading) {
            Some(end) => self.fill(&reading, end, scope, row).map(|()| Parsed::Row),
            None => {
                let (at, n) = reading.furthest;
                let reason = match self.steps.get(n) {
                    Some(step) => format!("`{}` of the pattern does not fit here", step.source),
                    None => "the line goes on after the end of the pattern".to_owned(),
                };
                Err(Reject::new(at, reason))
            }
        }
    }

    fn read_orphan(&self, lines: &[u8], _: &Scope<'_>, row: &mut Row<'_>) -> Result<Parsed, Reject> {
        app::set_body(row, lines);
        self.defaults.fill(row);
        Ok(Parsed::Cut)
    }
}
