//! Layout patterns of Log4j and Logback: a pattern flows in, the steps of a [`Pattern`](super::pattern::Pattern) flow
//! out, or what in it is unknown, with its place. The two differ in their words, in how they group and in their dates.

use super::Problem;
use super::app;
use super::clock::{Clock, Item};
use super::java_time;
use super::pattern::{Part, Step, To};
use super::zone::Zone;

/// Patterns within patterns.
const DEPTH_MAX: usize = 8;

/// The property that is the name of a service.
const SPRING_APPLICATION: &str = "spring.application.name";

/// A dialect of layout patterns.
#[derive(Debug)]
pub(super) struct Dialect {
    /// Its words.
    pub words: &'static [(&'static str, Word)],
    /// Its names for date patterns; the empty name is the default.
    pub dates: &'static [(&'static str, &'static str)],
    /// Whether parentheses group, as in Logback; otherwise braces hold patterns, as in Log4j.
    pub groups: bool,
}

/// What a conversion word stands for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Word {
    Date,
    Level,
    Logger,
    Thread,
    Message,
    Newline,
    Throwable,
    /// Prints nothing.
    Nothing,
    /// A number of the column `fields`, under that name.
    Number(&'static str),
    /// A text of the column `fields`, under that name.
    Text(&'static str),
    /// A text of the mapped diagnostic context: of a key, or all of it.
    Context,
    /// A pattern, as it stands, perhaps coloured.
    Inner,
    /// A pattern that prints nothing if its parts are empty.
    Optional,
}

/// The option that holds a pattern.
pub(super) const PATTERN: &str = "pattern";

/// Compiles a pattern.
pub(super) fn compile(dialect: &Dialect, pattern: &str) -> Result<Vec<Step>, Problem> {
    let pattern = resolved(pattern)?;
    let mut compiler = Compiler { dialect, pattern: &pattern, at: 0, steps: Vec::new() };
    compiler.sequence(pattern.len(), 0)?;
    Ok(compiler.steps)
}

fn problem(at: usize, message: impl std::fmt::Display) -> Problem {
    Problem::new(PATTERN, format!("{message}, at byte {at}"))
}

/// The pattern with the defaults of properties, `${name:-default}`, in their place.
fn resolved(pattern: &str) -> Result<String, Problem> {
    let mut pattern = pattern.to_owned();
    // From the last on, so that inner properties come first.
    while let Some(start) = pattern.rfind("${") {
        let end = pattern[start..].find('}').map(|end| start + end).ok_or_else(|| problem(start, "a property has no closing brace"))?;
        let inside = &pattern[start + 2..end];
        let value = match inside.split_once(":-") {
            Some(("PID", _)) => "%pid".to_owned(),
            Some((_, default)) => default.to_owned(),
            None => return Err(problem(start, format!("the property `${{{inside}}}` must be replaced by its value"))),
        };
        pattern.replace_range(start..=end, &value);
    }
    Ok(pattern)
}

struct Compiler<'a> {
    dialect: &'a Dialect,
    pattern: &'a str,
    at: usize,
    steps: Vec<Step>,
}

impl Compiler<'_> {
    fn byte(&self, at: usize) -> Option<u8> {
        self.pattern.as_bytes().get(at).copied()
    }

    /// Compiles up to byte `end`, or to the parenthesis that closes the group.
    fn sequence(&mut self, end: usize, depth: usize) -> Result<(), Problem> {
        while self.at < end {
            match self.byte(self.at) {
                Some(b')') if self.dialect.groups && depth > 0 => return Ok(()),
                Some(b'%') if self.byte(self.at + 1) == Some(b'%') => {
                    self.at += 2;
                    self.literal("%");
                }
                Some(b'%') => self.conversion(depth)?,
                Some(b'\\') if self.at + 1 < end => {
                    let escaped = self.pattern[self.at + 1..].chars().next().unwrap_or('\\');
                    self.at += 1 + escaped.len_utf8();
                    match escaped {
                        'n' => self.push(Part::Newline, "\\n"),
                        't' => self.literal("\t"),
                        'r' => {}
                        '_' if self.dialect.groups => {}
                        other => self.literal(other.encode_utf8(&mut [0; 4])),
                    }
                }
                _ => {
                    let rest = &self.pattern[self.at..end];
                    let length = rest.find(|other| matches!(other, '%' | '\\') || other == ')' && depth > 0).unwrap_or(rest.len()).max(1);
                    let text = rest.get(..length).unwrap_or(rest).to_owned();
                    self.at += text.len();
                    self.literal(&text);
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, part: Part, source: &str) {
        self.steps.push(Step::new(part, source));
    }

    fn literal(&mut self, text: &str) {
        if let Some(Step { part: Part::Literal(before), source, .. }) = self.steps.last_mut() {
            before.extend_from_slice(text.as_bytes());
            source.push_str(text);
        } else {
            self.push(Part::Literal(text.as_bytes().to_vec()), text);
        }
    }

    /// `%-5.10word{option}…`, or `%-5(…)`.
    fn conversion(&mut self, depth: usize) -> Result<(), Problem> {
        let start = self.at;
        self.at += 1;
        let least = self.width();
        let most = if self.byte(self.at) == Some(b'.') {
            self.at += 1;
            self.width()
        } else {
            0
        };
        if depth > DEPTH_MAX {
            return Err(problem(start, "patterns within patterns are too deep"));
        }
        if self.dialect.groups && self.byte(self.at) == Some(b'(') {
            return self.group(start, least, depth);
        }
        let word = self.word(start)?;
        if matches!(word, Word::Inner | Word::Optional) {
            return self.nested(start, word, least, depth);
        }
        let mut options = Vec::new();
        while let Some(option) = self.braces()? {
            options.push(option);
        }
        let source = self.pattern[start..self.at].to_owned();
        for part in self.parts(word, &options, start)? {
            let (least, most) = if matches!(word, Word::Message) { (0, 0) } else { (least, most) };
            self.steps.push(Step { part, source: source.clone(), least, most });
        }
        Ok(())
    }

    fn width(&mut self) -> usize {
        if self.byte(self.at) == Some(b'-') {
            self.at += 1;
        }
        let digits = self.pattern[self.at..].bytes().take_while(u8::is_ascii_digit).count();
        let width = self.pattern[self.at..self.at + digits].parse().unwrap_or(0);
        self.at += digits;
        width
    }

    /// The word that stands here. Log4j takes the longest one that it knows and leaves the rest to be text.
    fn word(&mut self, start: usize) -> Result<Word, Problem> {
        let letters = self.pattern[self.at..].bytes().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let text = &self.pattern[self.at..self.at + letters];
        let fits = |word: &str| if self.dialect.groups { word == text } else { text.starts_with(word) };
        let found = self.dialect.words.iter().filter(|(word, _)| fits(word)).max_by_key(|(word, _)| word.len());
        let (word, meaning) = found.ok_or_else(|| problem(start, format!("`%{text}` is no conversion")))?;
        self.at += word.len();
        Ok(*meaning)
    }

    /// What stands between braces here, if they do.
    fn braces(&mut self) -> Result<Option<String>, Problem> {
        if self.byte(self.at) != Some(b'{') {
            return Ok(None);
        }
        let mut depth = 0;
        for (at, byte) in self.pattern.bytes().enumerate().skip(self.at) {
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                let inside = self.pattern[self.at + 1..at].to_owned();
                self.at = at + 1;
                return Ok(Some(inside));
            }
        }
        Err(problem(self.at, "a brace is not closed"))
    }

    /// `(…)`, which spaces may make wider.
    fn group(&mut self, start: usize, least: usize, depth: usize) -> Result<(), Problem> {
        self.at += 1;
        if least > 0 {
            self.push(Part::Spaces, "");
        }
        self.sequence(self.pattern.len(), depth + 1)?;
        if self.byte(self.at) != Some(b')') {
            return Err(problem(start, "a parenthesis is not closed"));
        }
        self.at += 1;
        if least > 0 {
            self.push(Part::Spaces, "");
        }
        Ok(())
    }

    /// A word that has a pattern: in parentheses, or in its first braces. Colours are put around it.
    fn nested(&mut self, start: usize, word: Word, least: usize, depth: usize) -> Result<(), Problem> {
        let from = self.steps.len();
        self.push(if matches!(word, Word::Optional) { Part::Maybe(0) } else { Part::Ansi }, "");
        if self.dialect.groups {
            if self.byte(self.at) != Some(b'(') {
                return Err(problem(start, "a pattern in parentheses is missing"));
            }
            self.group(start, least, depth)?;
        } else {
            let (open, Some(inside)) = (self.at, self.braces()?) else { return Err(problem(start, "a pattern in braces is missing")) };
            let after = std::mem::replace(&mut self.at, open + 1);
            self.sequence(open + 1 + inside.len(), depth + 1)?;
            self.at = after;
        }
        while self.braces()?.is_some() {}
        let inner = self.steps.len() - from - 1;
        match word {
            Word::Optional => {
                self.steps[from].part = Part::Maybe(inner);
                // What follows is no part of it.
                if matches!(self.steps.last(), Some(Step { part: Part::Literal(_), .. })) {
                    self.push(Part::Ansi, "");
                }
            }
            _ => self.push(Part::Ansi, ""),
        }
        Ok(())
    }

    fn parts(&self, word: Word, options: &[String], start: usize) -> Result<Vec<Part>, Problem> {
        let field = |name: &str| To::Field(name.to_owned());
        Ok(vec![match word {
            Word::Date => Part::Clock(self.date(options, start)?),
            Word::Level => Part::Level,
            Word::Logger => Part::Text(To::Column(app::LOGGER)),
            Word::Thread => Part::Text(To::Column(app::THREAD)),
            Word::Message => Part::Message,
            Word::Newline => Part::Newline,
            Word::Throwable => Part::Throwable,
            Word::Nothing | Word::Inner | Word::Optional => return Ok(Vec::new()),
            Word::Number(name) => Part::Number(field(name)),
            Word::Text(name) => Part::Text(field(name)),
            Word::Context => match options.first().map(|key| key.split(":-").next().unwrap_or(key)) {
                Some(SPRING_APPLICATION) => Part::Text(To::Column(app::SERVICE)),
                Some(key) if !key.is_empty() && !key.contains(',') => Part::Text(field(key)),
                _ => Part::Text(To::Fields),
            },
        }])
    }

    /// `%d{pattern}{zone}` in Log4j, `%d{"pattern", zone, locale}` in Logback.
    fn date(&self, options: &[String], start: usize) -> Result<Clock, Problem> {
        let arguments: Vec<String> = match self.dialect.groups {
            true => options.first().map(|inside| quoted_list(inside)).unwrap_or_default(),
            false => options.to_vec(),
        };
        let pattern = arguments.first().map_or("", |pattern| pattern.trim());
        match pattern {
            "UNIX" => return Clock::new(vec![Item::Epoch(1_000_000)], PATTERN),
            "UNIX_MILLIS" => return Clock::new(vec![Item::Epoch(1_000)], PATTERN),
            _ => {}
        }
        let named = self.dialect.dates.iter().find(|(name, _)| *name == pattern).map(|(_, pattern)| *pattern);
        let within = |inner: Problem| problem(start, inner.message);
        let mut clock = java_time::compile(named.unwrap_or(pattern), PATTERN).map_err(within)?;
        if pattern == "ISO8601" {
            clock.relax_date_end();
        }
        if let Some(zone) = arguments.get(1).map(|zone| zone.trim()).filter(|zone| !zone.is_empty()) {
            let unknown = || problem(start, format!("`{zone}` is no time zone; a date pattern with a comma stands in double quotes"));
            clock.zone = Some(Zone::find(zone).ok_or_else(unknown)?);
        }
        Ok(clock)
    }
}

/// Texts between commas; quotes, single ones around all of a text and double ones, hold commas together.
fn quoted_list(text: &str) -> Vec<String> {
    let (mut texts, mut one, mut is_quoted) = (Vec::new(), String::new(), false);
    for char in text.chars() {
        match char {
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => texts.push(std::mem::take(&mut one)),
            char => one.push(char),
        }
    }
    texts.push(one);
    texts
}
