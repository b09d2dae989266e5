//! Named groups of a regular expression as columns: a pattern, and what is known of its groups, flow in once; records flow
//! in, a cell for each group flows out, or a [`Reject`] at the byte from which the pattern does not fit.
//!
//! The pattern has to fit from the first byte of a record on. What stands after it is never lost: it goes to `extra`, or,
//! where the groups are named as the columns of applications are, its lines are a stack trace or more of the message.
//!
//! Invariants: a record is read in time linear in its length, and at most [`RECORD_BYTES_MAX`] of it; what a pattern compiles
//! to is bounded; groups begin and end between characters, because the pattern fits nothing but UTF-8.

use std::cell::Cell;
use std::sync::{Mutex, PoisonError};

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::meta::{self, Regex};
use regex_automata::nfa::thompson;
use regex_automata::{Anchored, Input};
use regex_syntax::hir::{Hir, HirKind, Look};

use super::backtrack::Scratch;
use super::fields::after;
use super::json_text::ObjectText;
use super::names::{Names, snake};
use super::program::Program;
use super::typed::{TIME_FORMAT_OPTION, TIME_ZONE_OPTION, TYPES, TimeFormat, Type};
use super::zone::Zone;
use super::{Column, FormatOption, Framing, Grammar, OptionKind, Options, Parsed, Problem, Reject, Scope, TIME_COLUMN, Values, app};
use crate::columns::{Kind, Row};

/// The option that holds the pattern.
pub(super) const PATTERN: &str = "pattern";

/// The option that holds the types of groups.
const TYPES_OPTION: &str = "types";

/// The option that holds the name of the group that is the time of the event.
const TIME_COLUMN_OPTION: &str = "timeColumn";

/// The option that tells where records start.
const START: &str = "start";

/// The options that go with a pattern.
pub(super) const START_OPTION: FormatOption = FormatOption {
    name: START,
    kind: OptionKind::Text,
    meaning: "regular expression that says that a line starts a record, and that all others continue the last one; every line is a \
              record if it is not set",
};
pub(super) const TYPES_FORMAT_OPTION: FormatOption = FormatOption {
    name: TYPES_OPTION,
    kind: OptionKind::Structure,
    meaning: "object of names of groups to types: string, int, bigint, double, boolean and timestamp, also with a format of times after a \
              colon; string for groups it does not name; nothing and `-` are null but for strings",
};
pub(super) const TIME_COLUMN_FORMAT_OPTION: FormatOption = FormatOption {
    name: TIME_COLUMN_OPTION,
    kind: OptionKind::Text,
    meaning: "name of the group that is the time of the event; its column is `time`; the group `time` if its type is timestamp or \
              timeFormat is set",
};

/// Bytes of a pattern, with all that its names stand for.
pub(super) const PATTERN_BYTES_MAX: usize = 256 << 10;

/// Bytes that a pattern may compile to.
const COMPILED_BYTES_MAX: usize = 4 << 20;

/// Bytes that a search may keep of what it has found out about a pattern.
const CACHE_BYTES_MAX: usize = 4 << 20;

/// Groups within groups.
const NESTING_MAX: u32 = 100;

/// Bytes of the longest record that is read.
const RECORD_BYTES_MAX: usize = 1 << 20;

/// Bytes of a line that are looked at to tell whether it starts a record.
const START_BYTES_MAX: usize = 16 << 10;

/// The columns of applications that groups of these names fill.
const COMMON: [(&str, usize); 8] = [
    ("level", app::LEVEL),
    ("logger", app::LOGGER),
    ("thread", app::THREAD),
    ("message", app::MESSAGE),
    ("stack_trace", app::STACK_TRACE),
    ("exception", app::EXCEPTION),
    ("host", app::HOST),
    ("service", app::SERVICE),
];

/// A pattern and what is known of its groups.
pub(super) struct Source<'a> {
    /// The regular expression.
    pub pattern: &'a str,
    /// Where a byte of it stands: the option, and the byte in that.
    pub place: &'a dyn Fn(usize) -> (String, usize),
    /// What is known of groups; any other is known by its name alone.
    pub groups: &'a [Group],
}

/// A group.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// Its name in the regular expression.
    pub name: String,
    /// What users call it; several groups may have one name, and the first that fits is its value.
    pub shown: String,
    /// The name of its type, if it is known.
    pub kind: Option<String>,
    /// How its times are written, if that is known.
    pub format: Option<TimeFormat>,
}

/// The grammar.
#[derive(Debug)]
pub(super) struct Captures {
    regex: Regex,
    /// The same, for what most records need of it.
    program: Option<Program>,
    start: Option<Start>,
    reach: Option<Reach>,
    columns: Vec<Column>,
    takes: Vec<Take>,
    zone: Zone,
    /// Whether the first columns are those of applications.
    is_application: bool,
}

/// Where a group goes.
#[derive(Debug)]
struct Take {
    group: usize,
    column: usize,
    how: How,
}

#[derive(Debug)]
enum How {
    Typed(Type),
    Level,
    Message,
    /// A text of an application: nothing is null.
    Word,
}

impl Captures {
    /// Compiles a pattern with the options that go with it.
    pub(super) fn new(source: &Source<'_>, options: &Options<'_>) -> Result<Captures, Problem> {
        let hir = hir(source.pattern, source.place)?;
        let regex = build(&hir, PATTERN)?;
        let start = match options.text(START) {
            Some(start) => Some(Start::new(&hir_of_option(start, START)?)?),
            None => None,
        };
        let named = regex.group_info().pattern_names(regex_automata::PatternID::ZERO).enumerate();
        let groups: Vec<(usize, Group)> = named.filter_map(|(n, name)| Some((n, source.group(name?)))).collect();
        if groups.is_empty() {
            return Err(Problem::new(PATTERN, "has no group with a name: write one as (?<name>…)"));
        }
        let shown: Vec<&str> = groups.iter().map(|(_, group)| group.shown.as_str()).collect();
        check_names(options, &shown)?;
        let reach = Reach::new(&hir);
        let zone = Zone::of_option(options, TIME_ZONE_OPTION.name)?;
        let types = types(options, &groups)?;
        let is_text = |n: usize| types[n].kind == Kind::Text;
        let is_application = shown.iter().enumerate().any(|(n, name)| matches!(snake(name).as_str(), "level" | "message") && is_text(n));
        let program = Program::new(&hir, regex.captures_len());
        let mut captures = Captures { regex, program, start, reach, columns: Vec::new(), takes: Vec::new(), zone, is_application };
        captures.add(&groups, types, options);
        Ok(captures)
    }

    /// Makes the columns.
    fn add(&mut self, groups: &[(usize, Group)], types: Vec<Type>, options: &Options<'_>) {
        let mut names = Names::default();
        if self.is_application {
            self.columns.extend_from_slice(app::COLUMNS);
            app::COLUMNS.iter().for_each(|column| drop(names.take(&column.name)));
        }
        let mut known: Vec<(&str, usize)> = Vec::new();
        for ((group, Group { shown, .. }), kind) in groups.iter().zip(types) {
            let own = snake(shown);
            let common = COMMON.iter().find(|(name, _)| self.is_application && kind.kind == Kind::Text && *name == own);
            let is_time = kind.kind == Kind::Time && is_event_time(options, shown, true);
            let seen = known.iter().find(|(name, _)| name == shown).map(|(_, column)| *column);
            let column = match (seen, common) {
                (Some(column), _) => column,
                (None, Some((_, column))) => *column,
                (None, None) if is_time && self.is_application => app::TIME,
                (None, None) => {
                    let name = if is_time { names.take(TIME_COLUMN) } else { names.take_text(&own) };
                    let values = if kind.kind == Kind::Text { Values::Distinct } else { Values::Repeating };
                    let meaning = if is_time { "time of the event".to_owned() } else { format!("group `{shown}` of the pattern") };
                    self.columns.push(Column::named(name, kind.kind, values, meaning));
                    self.columns.len() - 1
                }
            };
            known.push((shown, column));
            let how = match common {
                Some((_, app::LEVEL)) => How::Level,
                Some((_, app::MESSAGE)) => How::Message,
                Some(_) => How::Word,
                None => How::Typed(kind),
            };
            self.takes.push(Take { group: *group, column, how });
        }
    }

    /// Finds the groups of the pattern in a record, and says where it ends there.
    fn find(&self, record: &[u8], found: &mut Scratch) -> Option<usize> {
        match self.program.as_ref().and_then(|program| program.fits(record, found)) {
            Some(false) => return None,
            Some(true) => {}
            None => {
                let mut groups = self.regex.create_captures();
                self.regex.search_captures(&Input::new(record).anchored(Anchored::Yes), &mut groups);
                groups.get_match()?;
                found.clear(2 * groups.group_len());
                let spans = (0..groups.group_len()).filter_map(|group| Some((group, groups.get_group(group)?)));
                spans.for_each(|(group, span)| found.set(group, span.start, span.end));
            }
        }
        found.group(0).map(|(_, end)| end)
    }

    /// Sets the cells of the groups that were found, and gives the message.
    fn fill<'a>(&self, record: &'a [u8], found: &Scratch, scope: &Scope<'_>, row: &mut Row<'_>) -> Result<Option<&'a [u8]>, Reject> {
        let mut message = None;
        for Take { group, column, how } in &self.takes {
            let Some((start, end)) = found.group(*group) else { continue };
            let text = &record[start..end];
            match how {
                How::Level => app::set_level(row, text.trim_ascii()),
                How::Message => message = Some(text),
                How::Word if text.is_empty() => {}
                How::Typed(kind) if kind.kind != Kind::Text && matches!(text, b"" | b"-") => {}
                How::Word | How::Typed(Type { kind: Kind::Text, .. }) => row.text(*column, text),
                How::Typed(kind) => {
                    if !kind.set(text, self.zone, scope, *column, row) {
                        let name = self.columns.get(*column).map_or("", |column| &column.name);
                        return Err(Reject::new(start, format!("`{name}` is not {}", kind.expected())));
                    }
                }
            }
        }
        Ok(message)
    }

    /// Sets what stands after the pattern, and the message, which may go on there.
    fn finish(&self, message: Option<&[u8]>, rest: &[u8], row: &mut Row<'_>) {
        let (line, lines) = rest.split_at(memchr::memchr(b'\n', rest).unwrap_or(rest.len()));
        let is_whole = line.trim_ascii().is_empty();
        let rest = match message {
            Some(message) if is_whole => {
                match lines.is_empty() {
                    true => app::set_body(row, message),
                    false => app::set_message_and_rest(row, message, lines),
                }
                return;
            }
            Some(message) => {
                app::set_body(row, message);
                rest
            }
            None if is_whole && self.is_application && !lines.trim_ascii().is_empty() => {
                return app::set_body(row, lines.trim_ascii_start());
            }
            None => rest,
        };
        let rest = rest.trim_ascii_end();
        if !rest.is_empty() {
            let mut extra = ObjectText::default();
            extra.add_text(b"rest", rest);
            if let Some(extra) = extra.finish() {
                row.set_extra(&extra);
            }
        }
    }
}

impl Source<'_> {
    /// What is known of a group.
    fn group(&self, name: &str) -> Group {
        let known = self.groups.iter().find(|group| group.name == name).cloned();
        known.unwrap_or_else(|| Group { name: name.to_owned(), shown: name.to_owned(), kind: None, format: None })
    }
}

/// Whether a group is the time of the event.
fn is_event_time(options: &Options<'_>, shown: &str, is_time: bool) -> bool {
    match options.text(TIME_COLUMN_OPTION) {
        Some(name) => name == shown || snake(name) == snake(shown),
        None => shown == TIME_COLUMN && (is_time || options.text(TIME_FORMAT_OPTION.name).is_some()),
    }
}

/// Whether options name groups that there are.
fn check_names(options: &Options<'_>, shown: &[&str]) -> Result<(), Problem> {
    let known = |message: String| {
        let mut known: Vec<&str> = Vec::new();
        shown.iter().for_each(|name| {
            if !known.contains(name) {
                known.push(name)
            }
        });
        format!("{message}: it has {}", known.join(", "))
    };
    match options.value(TYPES_OPTION) {
        Some(serde_json::Value::Object(types)) => {
            if let Some(name) = types.keys().find(|name| !shown.contains(&name.as_str())) {
                return Err(Problem::new(format!("{TYPES_OPTION}.{name}"), known("is no group of the pattern".to_owned())));
            }
        }
        Some(_) => return Err(Problem::new(TYPES_OPTION, format!("must be an object of names of groups to types: {TYPES}"))),
        None => {}
    }
    let time = options.text(TIME_COLUMN_OPTION);
    match time.filter(|_| !shown.iter().any(|name| is_event_time(options, name, true))) {
        Some(time) => Err(Problem::new(TIME_COLUMN_OPTION, known(format!("`{time}` is no group of the pattern")))),
        None => Ok(()),
    }
}

/// The type of each group.
fn types(options: &Options<'_>, groups: &[(usize, Group)]) -> Result<Vec<Type>, Problem> {
    let given = TimeFormat::of_option(options, TIME_FORMAT_OPTION.name)?;
    let has_format = options.text(TIME_FORMAT_OPTION.name).is_some();
    let of_group = |(_, group): &(usize, Group)| {
        let at = format!("{TYPES_OPTION}.{}", group.shown);
        let format = group.format.as_ref().filter(|_| !has_format).unwrap_or(&given);
        let (name, at) = match options.value(TYPES_OPTION).and_then(|types| types.get(&group.shown)) {
            Some(name) => (Some(name.as_str().ok_or_else(|| Problem::new(&at, "must be the name of a type"))?), at),
            // Groups of one name share a column, and so a type.
            None => {
                let alike = groups.iter().filter(|(_, other)| other.shown == group.shown);
                (alike.filter_map(|(_, other)| other.kind.as_deref()).next(), PATTERN.to_owned())
            }
        };
        let kind = name.map(|name| Type::parse(name, format).map_err(|message| Problem::new(&at, message))).transpose()?;
        let is_time = kind.as_ref().is_some_and(|kind| kind.kind == Kind::Time);
        if !is_event_time(options, &group.shown, is_time) {
            return Ok(kind.unwrap_or(Type::TEXT));
        }
        match kind {
            Some(kind) if kind.kind != Kind::Time => {
                Err(Problem::new(at, format!("`{}` must be timestamp: it is the time of the event", group.shown)))
            }
            Some(kind) => Ok(kind),
            None => Ok(Type { kind: Kind::Time, format: format.clone() }),
        }
    };
    groups.iter().map(of_group).collect()
}

/// Reads the regular expression of an option.
fn hir_of_option(pattern: &str, option: &str) -> Result<Hir, Problem> {
    hir(pattern, &|at| (option.to_owned(), at))
}

/// Reads a regular expression.
fn hir(pattern: &str, place: &dyn Fn(usize) -> (String, usize)) -> Result<Hir, Problem> {
    let (first, _) = place(0);
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(Problem::new(first, format!("is longer than {PATTERN_BYTES_MAX} bytes")));
    }
    let parsed = regex_syntax::ParserBuilder::new().nest_limit(NESTING_MAX).build().parse(pattern);
    parsed.map_err(|error| {
        let (at, message) = match &error {
            regex_syntax::Error::Parse(error) => (error.span().start.offset, error.kind().to_string()),
            regex_syntax::Error::Translate(error) => (error.span().start.offset, error.kind().to_string()),
            other => (0, other.to_string()),
        };
        let is_atomic =
            pattern.get(..at).is_some_and(|before| before.ends_with("(?")) && pattern.get(at..).is_some_and(|rest| rest.starts_with('>'));
        let (at, message) = if is_atomic { (at - 2, ATOMIC.to_owned()) } else { (at, message) };
        let (option, byte) = place(at);
        Problem::new(option, format!("{message}, at byte {byte}"))
    })
}

/// What is wrong with `(?>…)`, which other kinds of regular expressions have.
const ATOMIC: &str = "atomic groups are not supported: nothing is ever tried twice here, so write (?:…)";

/// Compiles a regular expression.
fn build(hir: &Hir, option: &str) -> Result<Regex, Problem> {
    let config = meta::Config::new().nfa_size_limit(Some(COMPILED_BYTES_MAX)).hybrid_cache_capacity(CACHE_BYTES_MAX);
    meta::Regex::builder().configure(config).build_from_hir(hir).map_err(|error| match error.size_limit() {
        Some(limit) => Problem::new(option, format!("compiles to more than {limit} bytes: use fewer or smaller repetitions and classes")),
        None => Problem::new(option, error.to_string()),
    })
}

/// Tells whether a line starts a record.
#[derive(Debug)]
struct Start {
    regex: Regex,
    /// The same, where it can only fit at the start of a line.
    program: Option<Program>,
    /// The text that a line starts with, where that is all.
    literal: Option<Box<[u8]>>,
}

impl Start {
    fn new(hir: &Hir) -> Result<Start, Problem> {
        let regex = build(hir, START)?;
        let is_first = hir.properties().look_set_prefix().contains(Look::Start);
        let program = if is_first { Program::new(hir, regex.captures_len()) } else { None };
        Ok(Start { regex, program, literal: literal_at_start(hir) })
    }

    fn fits(&self, line: &[u8]) -> bool {
        if let Some(literal) = &self.literal {
            return after(line, literal).is_some();
        }
        let program = self.program.as_ref().filter(|_| line.len() <= START_BYTES_MAX);
        let fits = program.and_then(|program| with_scratch(|scratch| program.fits(line, scratch)));
        fits.unwrap_or_else(|| self.regex.is_match(Input::new(line).range(..line.len().min(START_BYTES_MAX))))
    }
}

/// The text that a pattern like `^text` is.
fn literal_at_start(hir: &Hir) -> Option<Box<[u8]>> {
    let HirKind::Concat(parts) = hir.kind() else { return None };
    match [parts.first()?.kind(), parts.get(1)?.kind()] {
        [HirKind::Look(Look::Start), HirKind::Literal(literal)] if parts.len() == 2 => Some(literal.0.clone()),
        _ => None,
    }
}

thread_local! {
    /// What searches on a thread need room for.
    static SCRATCH: Cell<Scratch> = const { Cell::new(Scratch::new()) };
}

/// Lends out what a search needs room for.
fn with_scratch<T>(search: impl FnOnce(&mut Scratch) -> T) -> T {
    let mut scratch = SCRATCH.take();
    let found = search(&mut scratch);
    SCRATCH.set(scratch);
    found
}

/// Tells how far a pattern fits that does not fit.
#[derive(Debug)]
struct Reach {
    dfa: DFA,
    cache: Mutex<Cache>,
}

impl Reach {
    /// `None` for the few patterns that it cannot be told for.
    fn new(hir: &Hir) -> Option<Reach> {
        let config = thompson::Config::new().nfa_size_limit(Some(COMPILED_BYTES_MAX)).which_captures(thompson::WhichCaptures::None);
        let nfa = thompson::Compiler::new().configure(config).build_from_hir(hir).ok()?;
        let config = DFA::config().cache_capacity(CACHE_BYTES_MAX).unicode_word_boundary(true);
        let dfa = DFA::builder().configure(config).build_from_nfa(nfa).ok()?;
        let cache = Mutex::new(dfa.create_cache());
        Some(Reach { dfa, cache })
    }

    /// The first byte of a record with which no text can go on that the pattern fits.
    fn place(&self, record: &[u8]) -> usize {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let input = Input::new(record).anchored(Anchored::Yes);
        let Ok(mut state) = self.dfa.start_state_forward(&mut cache, &input) else { return 0 };
        for (at, byte) in record.iter().enumerate() {
            state = match self.dfa.next_state(&mut cache, state, *byte) {
                Ok(next) if !next.is_dead() && !next.is_quit() => next,
                _ => return (0..=at).rev().find(|at| record[*at] & 0xc0 != 0x80).unwrap_or(0),
            };
        }
        record.len()
    }
}

impl Grammar for Captures {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn framing(&self) -> Framing {
        if self.start.is_some() { Framing::Records } else { Framing::Lines }
    }

    fn is_start(&self, line: &[u8]) -> bool {
        self.start.as_ref().is_none_or(|start| start.fits(line))
    }

    fn read(&self, record: &[u8], scope: &Scope<'_>, row: &mut Row<'_>) -> Result<Parsed, Reject> {
        if record.len() > RECORD_BYTES_MAX {
            return Err(Reject::new(RECORD_BYTES_MAX, "the record is longer than what a regular expression is tried on"));
        }
        with_scratch(|found| {
            let Some(end) = self.find(record, found) else {
                let at = self.reach.as_ref().map_or(0, |reach| reach.place(record));
                return Err(Reject::new(at, "the pattern does not fit from here on"));
            };
            let message = self.fill(record, found, scope, row)?;
            self.finish(message, &record[end..], row);
            Ok(Parsed::Row)
        })
    }

    fn read_orphan(&self, lines: &[u8], _: &Scope<'_>, row: &mut Row<'_>) -> Result<Parsed, Reject> {
        if !self.is_application {
            return Err(Reject::new(0, "no line before it starts a record"));
        }
        app::set_body(row, lines);
        Ok(Parsed::Cut)
    }
}
