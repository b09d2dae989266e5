//! The registry of log formats. A format's options flow in, a [`Grammar`] flows out; text of one record flows into that,
//! cells of one row, or a [`Reject`], flow out. A format is one file in this folder and one line in [`FORMATS`]; it never
//! sees blocks, files, arrow or Parquet, and nothing in its input makes it fail.

mod alb;
mod apache_combined;
mod apache_common;
mod apache_log_format;
mod app;
mod backtrack;
mod captures;
mod class;
mod clb;
mod clock;
mod cloudfront;
mod cloudtrail;
mod cri;
mod delimited;
mod elb;
mod explain;
mod fields;
mod fluentd;
mod grok;
mod grok_patterns;
mod header;
mod iis_w3c;
mod java_time;
mod json;
mod json_columns;
mod json_fields;
mod json_record;
mod json_text;
mod layout_words;
mod log4j;
mod logback;
mod logfmt;
mod marks;
mod names;
mod nginx;
mod nginx_variables;
mod nlb;
mod options;
mod pattern;
mod program;
mod python;
mod regex;
mod route53_resolver;
mod s3_access;
#[cfg(test)]
mod shown;
mod strftime;
mod syslog;
mod syslog_3164;
mod syslog_5424;
mod template;
mod time;
mod time_shape;
mod trace;
mod typed;
mod vpc_flow;
mod waf;
mod web_template;
mod web_value;
mod zone;

use std::any::Any;
use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::Arc;

pub use explain::{Explained, Explainer, Outcome, explain, explain_all};
pub use options::{FormatOption, OptionKind, Options, Problem, compile};

use manifests::LearnedColumn;

use crate::columns::{Kind, Row};

/// All formats, by name. A test walks the folder and fails for a file that is missing here.
pub static FORMATS: &[&Format] = &[
    &alb::FORMAT,
    &apache_combined::FORMAT,
    &apache_common::FORMAT,
    &clb::FORMAT,
    &cloudfront::FORMAT,
    &cloudtrail::FORMAT,
    &cri::FORMAT,
    &delimited::FORMAT,
    &fluentd::FORMAT,
    &grok::FORMAT,
    &iis_w3c::FORMAT,
    &json::FORMAT,
    &log4j::FORMAT,
    &logback::FORMAT,
    &logfmt::FORMAT,
    &nginx::FORMAT,
    &nlb::FORMAT,
    &python::FORMAT,
    &regex::FORMAT,
    &route53_resolver::FORMAT,
    &s3_access::FORMAT,
    &syslog_3164::FORMAT,
    &syslog_5424::FORMAT,
    &vpc_flow::FORMAT,
    &waf::FORMAT,
];

/// The column whose value is the time of the event, in every format that has one.
pub const TIME_COLUMN: &str = "time";

/// The format of that name.
pub fn find(name: &str) -> Option<&'static Format> {
    FORMATS.iter().copied().find(|format| format.name == name)
}

/// A log format as the registry knows it.
#[derive(Debug)]
pub struct Format {
    /// Its name in project files and on the command line.
    pub name: &'static str,
    /// What writes such logs, in a sentence without full stop.
    pub summary: &'static str,
    /// The page of the vendor, or the specification, that it follows.
    pub page: &'static str,
    /// What a project file may set beside the name.
    pub options: &'static [FormatOption],
    /// Logs of our own that it reads whole, one per shape.
    pub examples: &'static [Example],
    /// Makes the grammar for some options. Those that [`Format::options`] does not name, and values of another type than
    /// it says, have been refused before.
    pub compile: fn(&Options<'_>) -> Result<Box<dyn Grammar>, Problem>,
}

/// A log that a format reads whole.
#[derive(Debug)]
pub struct Example {
    /// The options it is for, as a JSON object; empty for none.
    pub options: &'static str,
    /// The text of an object: one record or several, header lines included.
    pub text: &'static str,
}

impl Example {
    /// A log for the default options.
    pub const fn plain(text: &'static str) -> Example {
        Example { options: "", text }
    }
}

/// A format with its options: reads records. Columns never change; what header lines say is in the [`Scope`].
pub trait Grammar: Debug + Send + Sync {
    /// The columns, in the order of the Parquet file. At most one is [`Kind::Time`] and named [`TIME_COLUMN`].
    fn columns(&self) -> &[Column];

    /// How records are told from each other.
    fn framing(&self) -> Framing {
        Framing::Lines
    }

    /// Whether a line starts a record, for [`Framing::Records`]; the lines after it that start none belong to it.
    fn is_start(&self, _line: &[u8]) -> bool {
        true
    }

    /// Takes a line apart that holds a piece of a stream, for [`Framing::Streams`].
    fn part<'a>(&self, _line: &'a [u8]) -> Option<Part<'a>> {
        None
    }

    /// Which lines are header lines.
    fn headers(&self) -> Headers {
        Headers::None
    }

    /// What a header line says, given what the ones before it said; `None` where it changes nothing. With
    /// [`Headers::First`], `None` means that the first line is no header but data.
    fn layout(&self, _header: &[u8], _before: Option<&Layout>) -> Option<Layout> {
        None
    }

    /// Reads one record, without its last newline, into the cells of a row; every cell is null before.
    ///
    /// The record is valid UTF-8 and not blank. A reject leaves the cells in any state.
    fn read(&self, record: &[u8], scope: &Scope<'_>, row: &mut Row<'_>) -> Result<Parsed, Reject>;

    /// Reads lines at the start of an object, or after a record that was too long, that continue a record whose start is
    /// not there.
    fn read_orphan(&self, _lines: &[u8], _scope: &Scope<'_>, _row: &mut Row<'_>) -> Result<Parsed, Reject> {
        Err(Reject::new(0, "the line continues a record whose start is not in this object"))
    }

    /// The grammar for logs that begin like `samples`, for formats whose columns are in the logs; `None` for all others.
    /// The same samples, in the same order, give the same grammar.
    fn inferred(&self, _samples: &[&[u8]]) -> Option<Box<dyn Grammar>> {
        None
    }

    /// The same for a dataset that has learned columns already: they keep their names, types and places, and what samples
    /// show beside them comes after them.
    fn inferred_after(&self, _known: &[LearnedColumn], samples: &[&[u8]]) -> Option<Box<dyn Grammar>> {
        self.inferred(samples)
    }

    /// The columns that a later lot has to keep to; none where a column of some name has one type anyway.
    fn learned(&self) -> Vec<LearnedColumn> {
        Vec::new()
    }
}

/// How records are told from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A line is a record.
    Lines,
    /// A record starts at a line that [`Grammar::is_start`] and goes on over those that do not.
    Records,
    /// A line is a record, but for newlines between double quotes (RFC 4180).
    Quoted,
    /// Frames that say how long they are (RFC 6587), if the text starts with one; otherwise as [`Framing::Records`]. A
    /// frame counts as a line.
    Octets,
    /// Elements of JSON documents: of the array under this key in an object, of an array, or one after the other. An
    /// element counts as a line.
    Elements(&'static str),
    /// Elements of an array of JSON objects, if the text is one; otherwise as [`Framing::Records`]. An element counts as a
    /// line.
    Array,
    /// Lines of several streams between each other, as [`Grammar::part`] takes them apart: in each stream, a record starts
    /// at a text that [`Grammar::is_start`] and goes on over those that do not.
    Streams,
}

/// A line that holds a piece of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// The stream, and when the piece was written.
    pub origin: Origin,
    /// Whether the text goes on in the stream's next piece.
    pub is_partial: bool,
    /// The text, without its newline.
    pub text: Cow<'a, [u8]>,
}

/// Where a record of a stream comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The stream: 0 or 1.
    pub stream: usize,
    /// When its first line was written, in microseconds since 1970 UTC.
    pub micros: i64,
}

/// Which lines are header lines. They are no rows and are counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headers {
    /// None.
    None,
    /// The first line of an object, if [`Grammar::layout`] takes it for one.
    First,
    /// Every line that starts with this.
    Prefixed(&'static str),
}

/// What header lines have said; each format that has them knows its own type.
pub type Layout = Arc<dyn Any + Send + Sync>;

/// What a record is read with, beside its own bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope<'a> {
    /// What header lines before it have said.
    pub layout: Option<&'a Layout>,
    /// When its object arrived, in microseconds since 1970 UTC, for times without a year; 0 where nobody knows.
    pub arrived: i64,
    /// Where the record comes from, for [`Framing::Streams`].
    pub origin: Option<Origin>,
}

/// A column of a format.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name, lower_snake.
    pub name: Cow<'static, str>,
    /// Its type.
    pub kind: Kind,
    /// The unit of numbers, or empty.
    pub unit: &'static str,
    /// What it means, in a sentence without full stop; where null is special, what null means.
    pub meaning: Cow<'static, str>,
    /// How its values repeat.
    pub values: Values,
}

impl Column {
    /// A column that is known when the program is built.
    pub const fn fixed(name: &'static str, kind: Kind, unit: &'static str, values: Values, meaning: &'static str) -> Column {
        Column { name: Cow::Borrowed(name), kind, unit, meaning: Cow::Borrowed(meaning), values }
    }

    /// A column that options or logs name.
    pub fn named(name: String, kind: Kind, values: Values, meaning: String) -> Column {
        Column { name: Cow::Owned(name), kind, unit: "", meaning: Cow::Owned(meaning), values }
    }
}

/// How the values of a column repeat, which decides how they are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Few different ones: a dictionary.
    Repeating,
    /// Mostly different ones: no dictionary is tried.
    Distinct,
    /// Numbers that mostly grow by little: their differences are stored.
    Ascending,
    /// Ids that people search for: no dictionary, and a Bloom filter.
    Identifying,
}

/// What a record gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A row, by the plain reading.
    Row,
    /// A row, saved by more than the plain reading.
    Recovered,
    /// A row of a record that is not whole: its start or its end is in no line of this object.
    Cut,
    /// A row, by the plain reading, that ends before the record does: another record starts at this byte of it.
    Followed(usize),
    /// No data: a header line, or a record of another kind that belongs to the format.
    Header,
}

/// A record that is no row: why, and at which byte of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The byte of the record at which reading stopped.
    pub at: usize,
    /// Why, in words for people, without full stop.
    pub reason: Cow<'static, str>,
}

impl Reject {
    /// At a byte, for a reason.
    pub fn new(at: usize, reason: impl Into<Cow<'static, str>>) -> Reject {
        Reject { at, reason: reason.into() }
    }
}

/// The place of the time column.
pub fn time_column(grammar: &dyn Grammar) -> Option<usize> {
    grammar.columns().iter().position(|column| column.kind == Kind::Time && column.name == TIME_COLUMN)
}

/// A grammar without options: fixed columns, and a function that reads a line.
#[derive(Debug)]
struct Fixed {
    columns: &'static [Column],
    read: fn(&[u8], &mut Row<'_>) -> Result<Parsed, Reject>,
}

impl Fixed {
    fn grammar(columns: &'static [Column], read: fn(&[u8], &mut Row<'_>) -> Result<Parsed, Reject>) -> Result<Box<dyn Grammar>, Problem> {
        Ok(Box::new(Fixed { columns, read }))
    }
}

impl Grammar for Fixed {
    fn columns(&self) -> &[Column] {
        self.columns
    }

    fn read(&self, record: &[u8], _: &Scope<'_>, row: &mut Row<'_>) -> Result<Parsed, Reject> {
        (self.read)(record, row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;
    use std::sync::LazyLock;

    /// Files of the folder that are no format.
    const MACHINERY: &[&str] = &[
        "mod",
        "apache-log-format",
        "app",
        "backtrack",
        "captures",
        "class",
        "clock",
        "elb",
        "explain",
        "fields",
        "grok-patterns",
        "header",
        "java-time",
        "json-columns",
        "json-fields",
        "json-record",
        "json-text",
        "layout-words",
        "names",
        "marks",
        "nginx-variables",
        "options",
        "pattern",
        "program",
        "shown",
        "strftime",
        "syslog",
        "template",
        "time",
        "time-shape",
        "trace",
        "typed",
        "web-template",
        "web-value",
        "zone",
    ];

    type Way = (&'static Format, &'static Example, Arc<dyn Grammar>);

    /// Every way that examples use a format; made once, as some take long to compile.
    static GRAMMARS: LazyLock<Vec<Way>> = LazyLock::new(|| {
        let each = |format: &'static Format| {
            format.examples.iter().map(move |example| {
                let mut spec: Value = serde_json::from_str(if example.options.is_empty() { "{}" } else { example.options }).unwrap();
                spec["name"] = format.name.into();
                let grammar = compile(&spec).unwrap_or_else(|problems| panic!("{}: {problems:?}", format.name));
                let inferred = grammar.inferred(&[example.text.as_bytes()]).map(Arc::from);
                (format, example, inferred.unwrap_or(grammar))
            })
        };
        FORMATS.iter().copied().flat_map(each).collect()
    });

    #[test]
    fn every_file_of_the_folder_is_registered() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/format");
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().path().file_stem().unwrap().to_string_lossy().replace('_', "-");
            assert!(MACHINERY.contains(&name.as_str()) || find(&name).is_some(), "format/{name} is not in FORMATS");
        }
    }

    #[test]
    fn every_format_keeps_its_promises() {
        for format in FORMATS {
            assert!(format.page.starts_with("https://"), "{}", format.name);
            assert!(!format.examples.is_empty() && !format.summary.ends_with('.'), "{}", format.name);
        }
        for (format, example, grammar) in &*GRAMMARS {
            let times: Vec<_> = grammar.columns().iter().filter(|column| column.name == TIME_COLUMN).collect();
            assert!(matches!(times[..], [] | [&Column { kind: Kind::Time, .. }]), "{}", format.name);
            for column in grammar.columns() {
                let is_snake = column.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
                assert!(is_snake && !column.name.is_empty(), "{}.{}", format.name, column.name);
                assert!(!column.meaning.is_empty() && !column.meaning.ends_with('.'), "{}.{}", format.name, column.name);
            }
            let explained = explain_all(grammar.as_ref(), example.text.as_bytes(), 0);
            assert!(explained.iter().any(|record| matches!(record.outcome, Outcome::Row { .. })), "{}: {}", format.name, example.text);
            for record in &explained {
                assert!(!matches!(record.outcome, Outcome::Reject { .. }), "{}: {} {:?}", format.name, example.text, record.outcome);
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            for (_, _, grammar) in &*GRAMMARS {
                let _ = explain_all(grammar.as_ref(), &text, 0);
            }
        }

        #[test]
        fn every_line_is_counted(lines in proptest::collection::vec((0usize..100, 0usize..3), 0..12)) {
            for (format, example, grammar) in &*GRAMMARS {
                let known: Vec<&str> = example.text.split_inclusive('\n').collect();
                let line = |(n, kind): &(usize, usize)| match kind {
                    0 => "{} {\"a\":\n1} rubbish\n",
                    1 => "\n",
                    _ => known[n % known.len()],
                };
                let text: String = lines.iter().map(line).collect();
                let counts = crate::parse::read_through(grammar.as_ref(), text.clone().into_bytes());
                prop_assert!(counts.is_balanced(), "{counts:?}");
                let is_framed = matches!(grammar.framing(), Framing::Octets | Framing::Quoted | Framing::Elements(_));
                let is_framed = is_framed || grammar.framing() == Framing::Array && crate::elements::is_array(text.as_bytes(), true);
                let lines = text.lines().count() as u64;
                // Records of JSON that share a line count as a line each.
                let is_right = counts.lines == lines || (format.name == "json" && counts.lines > lines);
                prop_assert!(is_framed || is_right, "{}: {counts:?} {text:?}", format.name);
            }
        }

        #[test]
        fn no_damaged_example_panics(cut in 0usize..1000, insert in "[ \"\\-\\[\\]%:{},\\\\\n0-9a é]{0,6}", remove in 0usize..20) {
            for (_, example, grammar) in &*GRAMMARS {
                let text = example.text;
                let at = (0..=text.len()).filter(|at| text.is_char_boundary(*at)).nth(cut % text.len()).unwrap_or(0);
                let rest: String = text[at..].chars().skip(remove).collect();
                let _ = explain_all(grammar.as_ref(), format!("{}{insert}{rest}", &text[..at]).as_bytes(), 0);
            }
        }
    }
}
