//! Tables as text: comma separated values by RFC 4180, tab separated ones and the like. A record flows in, a column per
//! value flows out.
//!
//! Columns are given with their types, or come from the header lines of the logs and are text. Where an object's header
//! has other names or another order, values go to their columns by name; those that have none go to `extra`.

use std::borrow::Cow;
use std::sync::Arc;

use memchr::memchr;
use serde_json::Value;

use super::json_text::ObjectText;
use super::names::{Names, snake};
use super::typed::{TIME_FORMAT_OPTION, TIME_ZONE_OPTION, TimeFormat, Type};
use super::zone::Zone;
use super::{
    Column, Example, Format, FormatOption, Framing, Grammar, Headers, Layout, OptionKind, Options, Parsed, Problem, Reject, Scope,
    TIME_COLUMN, Values,
};
use crate::columns::{Kind, Row};

/// The format.
pub static FORMAT: Format = Format {
    name: "delimited",
    summary: "comma or tab separated values, with a header line or with columns that are given",
    page: "https://www.rfc-editor.org/rfc/rfc4180",
    options: OPTIONS,
    examples: EXAMPLES,
    compile,
};

static OPTIONS: &[FormatOption] = &[
    FormatOption { name: "delimiter", kind: OptionKind::Text, meaning: "character between values, or `tab`; a comma if it is not set" },
    FormatOption {
        name: "quote",
        kind: OptionKind::Text,
        meaning: "character around values that hold the delimiter, written twice inside; empty for none; a double quote if it is not set",
    },
    FormatOption {
        name: "header",
        kind: OptionKind::Flag,
        meaning: "whether the first line of each object names the values; always so where no columns are given",
    },
    FormatOption {
        name: "columns",
        kind: OptionKind::Structure,
        meaning: "list of {name, type}, in the order of the values; types are string, int, bigint, double, boolean and timestamp, also with a \
                  format of times after a colon; without it columns are those of the header lines, and text",
    },
    FormatOption {
        name: "timeColumn",
        kind: OptionKind::Text,
        meaning: "name of the value that is the time of the event; its column is `time`",
    },
    TIME_FORMAT_OPTION,
    TIME_ZONE_OPTION,
];

static EXAMPLES: &[Example] = &[
    Example::plain("Name,eventTime,\"a \"\"b\"\"\"\nann,2026-02-06,\"one,\ntwo\"\n,,\n"),
    Example {
        options: r#"{"delimiter": "tab", "quote": "", "timeColumn": "ts", "timeFormat": "epochMillis"}"#,
        text: "ts\thost\tsaid\n1770336038123\t192.0.2.3\t\"quoted\n",
    },
    Example {
        options: r#"{"delimiter": ";", "columns": [{"name": "time", "type": "timestamp:%d.%m.%Y %H:%M:%S"}, {"name": "n", "type": "bigint"}, {"name": "ok", "type": "boolean"}]}"#,
        text: "06.02.2026 00:00:38;7;true\n06.02.2026 00:00:39;;false;more\n",
    },
];

/// The most columns, given or of headers.
const COLUMNS_MAX: usize = 5_000;

#[derive(Clone, Debug)]
struct Delimited {
    delimiter: u8,
    quote: Option<u8>,
    has_header: bool,
    /// Whether `columns` are given, so that logs add none.
    is_given: bool,
    columns: Vec<Column>,
    types: Vec<Type>,
    time_column: Option<String>,
    time_format: TimeFormat,
    zone: Zone,
}

fn compile(options: &Options<'_>) -> Result<Box<dyn Grammar>, Problem> {
    let mut grammar = Delimited {
        delimiter: byte(options, "delimiter", b',')?.ok_or_else(|| Problem::new("delimiter", "is empty"))?,
        quote: byte(options, "quote", b'"')?,
        has_header: options.flag("header") || options.value("columns").is_none(),
        is_given: options.value("columns").is_some(),
        columns: Vec::new(),
        types: Vec::new(),
        time_column: options.text("timeColumn").map(str::to_owned),
        time_format: TimeFormat::of_option(options, TIME_FORMAT_OPTION.name)?,
        zone: Zone::of_option(options, TIME_ZONE_OPTION.name)?,
    };
    if Some(grammar.delimiter) == grammar.quote {
        return Err(Problem::new("quote", "is the delimiter as well"));
    }
    if let Some(columns) = options.value("columns") {
        grammar.add_given(columns)?;
    }
    Ok(Box::new(grammar))
}

/// The one byte that an option sets; `None` where it is empty.
fn byte(options: &Options<'_>, name: &str, default: u8) -> Result<Option<u8>, Problem> {
    match options.text(name).map(str::as_bytes) {
        None => Ok(Some(default)),
        Some(b"") => Ok(None),
        Some(b"tab" | b"\\t") => Ok(Some(b'\t')),
        Some([byte]) if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Ok(Some(*byte)),
        Some(_) => Err(Problem::new(name, "must be one ASCII character, or `tab`")),
    }
}

impl Delimited {
    /// Adds the columns of the option.
    fn add_given(&mut self, columns: &Value) -> Result<(), Problem> {
        let list = columns.as_array().filter(|list| !list.is_empty() && list.len() <= COLUMNS_MAX);
        let list = list.ok_or_else(|| Problem::new("columns", "must be a list of {name, type}, and not empty"))?;
        let mut names = Names::default();
        for (n, column) in list.iter().enumerate() {
            let at = |member: &str| format!("columns[{n}].{member}");
            let known = ["name", "type"];
            let members = column.as_object().ok_or_else(|| Problem::new(format!("columns[{n}]"), "must be {name, type}"))?;
            if let Some(other) = members.keys().find(|key| !known.contains(&key.as_str())) {
                return Err(Problem::new(at(other), "is unknown: a column has `name` and `type`"));
            }
            let name = column["name"].as_str().ok_or_else(|| Problem::new(at("name"), "is missing: a text"))?;
            let kind = match &column["type"] {
                Value::Null => Type { format: self.time_format.clone(), ..Type::TEXT },
                Value::String(name) => Type::parse(name, &self.time_format).map_err(|message| Problem::new(at("type"), message))?,
                _ => return Err(Problem::new(at("type"), "must be the name of a type")),
            };
            if snake(name) == TIME_COLUMN && kind.kind != Kind::Time {
                return Err(Problem::new(at("type"), "must be timestamp: the column `time` is the time of the event"));
            }
            self.add(name, kind, &mut names);
        }
        match &self.time_column {
            Some(name) if !self.columns.iter().any(|column| column.name == TIME_COLUMN) => {
                Err(Problem::new("timeColumn", format!("`{name}` is none of the columns")))
            }
            _ => Ok(()),
        }
    }

    fn add(&mut self, name: &str, kind: Type, names: &mut Names) {
        let kind = if self.is_time(name) { Type { kind: Kind::Time, ..kind } } else { kind };
        let own = if kind.kind == Kind::Time { self.time_name(name, names) } else { names.take_text(&snake(name)) };
        let shown: String = name.chars().filter(|letter| !letter.is_control()).take(100).collect();
        let meaning = if own == TIME_COLUMN { "time of the event".to_owned() } else { format!("value `{shown}`") };
        let values = if kind.kind == Kind::Text { Values::Distinct } else { Values::Repeating };
        self.columns.push(Column::named(own, kind.kind, values, meaning));
        self.types.push(kind);
    }

    fn is_time(&self, name: &str) -> bool {
        self.time_column.as_ref().is_some_and(|time| time == name || snake(time) == snake(name))
    }

    fn time_name(&self, name: &str, names: &mut Names) -> String {
        names.take(&if self.is_time(name) { TIME_COLUMN.to_owned() } else { snake(name) })
    }

    /// The names of the columns for the names of a header, in its order.
    fn names(&self, header: &[Cow<'_, str>]) -> Vec<String> {
        let mut names = Names::default();
        let has_time = self.columns.iter().any(|column| column.name == TIME_COLUMN);
        let name = |text: &Cow<'_, str>| match self.is_time(text) || (has_time && snake(text) == TIME_COLUMN) {
            true => names.take(TIME_COLUMN),
            false => names.take_text(&snake(text)),
        };
        header.iter().map(name).collect()
    }

    /// Hands over the values of a record, one by one: where each starts, what it is, and whether it was quoted.
    fn values<'a>(
        &self,
        record: &'a [u8],
        mut take: impl FnMut(usize, usize, Cow<'a, [u8]>, bool) -> Result<(), Reject>,
    ) -> Result<usize, Reject> {
        let (mut at, mut n) = (0, 0);
        loop {
            let rest = record.get(at..).unwrap_or_default();
            let end = match self.quote {
                Some(quote) if rest.first() == Some(&quote) => {
                    let (value, len) = quoted(rest, quote).ok_or_else(|| Reject::new(at, "a quoted value has no end"))?;
                    if rest.get(len).is_some_and(|byte| *byte != self.delimiter) {
                        return Err(Reject::new(at + len, "neither a delimiter nor the end follows a quoted value"));
                    }
                    take(n, at, value, true)?;
                    at + len
                }
                _ => {
                    let len = memchr(self.delimiter, rest).unwrap_or(rest.len());
                    take(n, at, Cow::Borrowed(&rest[..len]), false)?;
                    at + len
                }
            };
            n += 1;
            if end >= record.len() {
                return Ok(n);
            }
            at = end + 1;
        }
    }

    fn header_names<'a>(&self, line: &'a [u8]) -> Option<Vec<Cow<'a, str>>> {
        let mut names = Vec::new();
        let read = self.values(line, |_, _, value, _| {
            names.push(match value {
                Cow::Borrowed(name) => String::from_utf8_lossy(name.trim_ascii()),
                Cow::Owned(name) => Cow::Owned(String::from_utf8_lossy(name.trim_ascii()).into_owned()),
            });
            Ok(())
        });
        read.ok().filter(|count| *count <= COLUMNS_MAX).map(|_| names)
    }

    fn set(&self, column: usize, (at, value, is_quoted): (usize, &[u8], bool), scope: &Scope<'_>, row: &mut Row<'_>) -> Result<(), Reject> {
        let (Some(kind), Some(Column { name, .. })) = (self.types.get(column), self.columns.get(column)) else { return Ok(()) };
        if value.is_empty() && !(is_quoted && kind.kind == Kind::Text) {
            return Ok(());
        }
        match kind.set(value, self.zone, scope, column, row) {
            true => Ok(()),
            false => Err(Reject::new(at, format!("`{name}` is not {}", kind.expected()))),
        }
    }

    /// Reads a record whose values stand in the order of the columns.
    fn read_in_order(&self, record: &[u8], scope: &Scope<'_>, row: &mut Row<'_>) -> Result<Parsed, Reject> {
        let mut surplus: Vec<Value> = Vec::new();
        self.values(record, |n, at, value, is_quoted| {
            if n < self.columns.len() {
                return self.set(n, (at, &value, is_quoted), scope, row);
            }
            surplus.push(String::from_utf8_lossy(&value).into());
            Ok(())
        })?;
        // A delimiter after the last value is no value more.
        if surplus.last().is_some_and(|last| last == "") {
            surplus.pop();
        }
        if !surplus.is_empty() {
            row.set_extra(&Value::from(surplus).to_string());
        }
        Ok(Parsed::Row)
    }

    /// Reads a record whose values a header names.
    fn read_by_name(&self, record: &[u8], heading: &[Place], scope: &Scope<'_>, row: &mut Row<'_>) -> Result<Parsed, Reject> {
        let mut others = ObjectText::default();
        let count = self.values(record, |n, at, value, is_quoted| match heading.get(n) {
            Some(Place::Column(column)) => self.set(*column, (at, &value, is_quoted), scope, row),
            Some(Place::Other(_)) if value.is_empty() => Ok(()),
            Some(Place::Other(name)) => {
                others.add_text(name.as_bytes(), &value);
                Ok(())
            }
            None if n == heading.len() && at >= record.len() => Ok(()),
            None => Err(Reject::new(at, "the record has more values than the header names")),
        })?;
        if let Some(others) = others.finish() {
            row.set_extra(&others);
        }
        Ok(if count < heading.len() { Parsed::Cut } else { Parsed::Row })
    }
}

/// Where a value of an object goes.
#[derive(Clone, Debug)]
enum Place {
    Column(usize),
    /// To `extra`, under this name.
    Other(String),
}

/// The value in quotes that `text` starts with, and its length with the quotes.
fn quoted(text: &[u8], quote: u8) -> Option<(Cow<'_, [u8]>, usize)> {
    let (mut at, mut is_doubled) = (1, false);
    loop {
        at += memchr(quote, text.get(at..)?)?;
        if text.get(at + 1) != Some(&quote) {
            break;
        }
        is_doubled = true;
        at += 2;
    }
    let inside = &text[1..at];
    if !is_doubled {
        return Some((Cow::Borrowed(inside), at + 1));
    }
    let (mut value, mut rest) = (Vec::with_capacity(inside.len()), inside);
    while let Some(found) = memchr(quote, rest) {
        value.extend_from_slice(&rest[..=found]);
        rest = rest.get(found + 2..).unwrap_or_default();
    }
    value.extend_from_slice(rest);
    Some((Cow::Owned(value), at + 1))
}

impl Grammar for Delimited {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn framing(&self) -> Framing {
        if self.quote == Some(b'"') { Framing::Quoted } else { Framing::Lines }
    }

    fn headers(&self) -> Headers {
        if self.has_header { Headers::First } else { Headers::None }
    }

    fn layout(&self, header: &[u8], _: Option<&Layout>) -> Option<Layout> {
        let header = self.header_names(header)?;
        let place = |(name, shown): (String, &Cow<'_, str>)| match self.columns.iter().position(|column| column.name == name) {
            Some(column) => Place::Column(column),
            None => Place::Other(shown.clone().into_owned()),
        };
        let places: Vec<Place> = self.names(&header).into_iter().zip(&header).map(place).collect();
        Some(Arc::new(places))
    }

    fn read(&self, record: &[u8], scope: &Scope<'_>, row: &mut Row<'_>) -> Result<Parsed, Reject> {
        match scope.layout.and_then(|layout| layout.downcast_ref::<Vec<Place>>()) {
            Some(places) => self.read_by_name(record, places, scope, row),
            None if self.has_header => Err(Reject::new(0, "the object has no header line that can be read")),
            None => self.read_in_order(record, scope, row),
        }
    }

    /// The columns are those of all headers: those of the first sample, then what each further one adds.
    fn inferred(&self, samples: &[&[u8]]) -> Option<Box<dyn Grammar>> {
        if self.is_given {
            return None;
        }
        let mut grammar = Delimited { columns: Vec::new(), types: Vec::new(), ..self.clone() };
        for sample in samples {
            let sample = String::from_utf8_lossy(sample);
            let Some(header) = self.header_names(self.first_record(sample.as_bytes())) else { continue };
            for (name, shown) in self.names(&header).into_iter().zip(&header) {
                let is_known = grammar.columns.iter().any(|column| column.name == name);
                if is_known || grammar.columns.len() == COLUMNS_MAX {
                    continue;
                }
                let kind = if name == TIME_COLUMN { Kind::Time } else { Kind::Text };
                let shown: String = shown.chars().filter(|letter| !letter.is_control()).take(100).collect();
                let meaning = if kind == Kind::Time { "time of the event".to_owned() } else { format!("value `{shown}` of the header") };
                grammar.columns.push(Column::named(name, kind, Values::Distinct, meaning));
                grammar.types.push(Type { kind, format: self.time_format.clone() });
            }
        }
        Some(Box::new(grammar))
    }
}

impl Delimited {
    /// The first record of a text, without its line end.
    fn first_record<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        let mut is_open = false;
        let is_end = |byte: &u8| {
            is_open ^= self.quote == Some(b'"') && *byte == b'"';
            *byte == b'\n' && !is_open
        };
        let record = &text[..text.iter().position(is_end).unwrap_or(text.len())];
        record.strip_suffix(b"\r").unwrap_or(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::shown::{columns, grammar, problem, sample, shown};
    use crate::format::{Outcome, explain_all};
    use expect_test::{Expect, expect};
    use serde_json::json;

    /// Reads a text with the columns that its own header gives, or those of `spec`.
    fn check(spec: Value, text: &str, expected: Expect) {
        let grammar = grammar(spec);
        let inferred = grammar.inferred(&[text.as_bytes()]).map(Arc::from);
        expected.assert_eq(&shown(inferred.unwrap_or(grammar).as_ref(), text));
    }

    #[test]
    fn values_with_quotes_and_line_breaks() {
        check(
            json!("delimited"),
            "a,b,c\r\n\"x,\"\"y\"\"\n\",\"\",\r\n1, \"2\" ,3\r\n1,2,3,\r\n\"é\",,\"\"\"\"",
            expect![[r#"
            Header
            row
              a: x,"y"

              b: 
            row
              a: 1
              b:  "2" 
              c: 3
            row
              a: 1
              b: 2
              c: 3
            row
              a: é
              c: "
        "#]],
        );
    }

    #[test]
    fn records_that_are_not_whole() {
        check(
            json!("delimited"),
            "a,b,c\n1,2\n1,2,3,4\n\"1\"2,3,4\n1,2,\"3",
            expect![[r#"
                Header
                cut
                  a: 1
                  b: 2
                reject at 6 `4`: the record has more values than the header names
                reject at 3 `2,3,4`: neither a delimiter nor the end follows a quoted value
                reject at 4 `"3`: a quoted value has no end
            "#]],
        );
    }

    #[test]
    fn columns_with_types() {
        let columns =
            json!([{"name": "At", "type": "timestamp"}, {"name": "n", "type": "int"}, {"name": "x", "type": "double"}, {"name": "Said"}]);
        let spec = json!({"name": "delimited", "delimiter": "|", "columns": columns, "timeColumn": "At", "timeFormat": "%Y%m%d%H%M%S", "timeZone": "+01:00"});
        check(
            spec.clone(),
            "20260206010038|7|1e3|hm\n20260206010038|||\n20260206010038\n20260206010038|1|2|\"a|b\"|more|\n20260206010038|x|2|3\nsoon|1|2|3",
            expect![[r#"
                row
                  time: 2026-02-06T00:00:38Z
                  n: 7
                  x: 1000
                  said: hm
                row
                  time: 2026-02-06T00:00:38Z
                row
                  time: 2026-02-06T00:00:38Z
                row
                  time: 2026-02-06T00:00:38Z
                  n: 1
                  x: 2
                  said: a|b
                  extra: ["more"]
                reject at 15 `x|2|3`: `n` is not a whole number of at most 32 bits
                reject at 0 `soon|1|2|3`: `time` is not a time by its format
            "#]],
        );
        let mut with_header = spec;
        with_header["header"] = true.into();
        check(
            with_header,
            "said|at|new\nhm|20260206010038|9",
            expect![[r#"
            Header
            row
              time: 2026-02-06T00:00:38Z
              said: hm
              extra: {"new":"9"}
        "#]],
        );
    }

    #[test]
    fn headers_that_differ_between_objects() {
        let base = grammar(json!({"name": "delimited", "timeColumn": "eventTime", "timeFormat": "epoch"}));
        let samples: [&[u8]; 3] = [b"eventTime,userID,Time\n", b"\"userID\",eventTime,a,a\n1,2,3,4", b"\"open"];
        let inferred = base.inferred(&samples).unwrap();
        expect![[r#"
            time: timestamp
            user_id: string
            time_text: string
            a: string
            a_2: string
        "#]]
        .assert_eq(&columns(inferred.columns()));
        expect![[r#"
            Header
            row
              time: 2026-02-06T00:00:38.500Z
              a: 1
              extra: {"other":"2"}
        "#]]
        .assert_eq(&shown(inferred.as_ref(), "a,other,eventTime\n1,2,1770336038.5\n"));
        expect![[r#"
            Header
            row
              extra: {"a":"1","b":"2"}
        "#]]
        .assert_eq(&shown(base.as_ref(), "a,b\n1,2\n"));
    }

    #[test]
    fn options_that_make_no_sense_are_refused() {
        let wrong = |options: Value| {
            let mut spec = options;
            spec["name"] = "delimited".into();
            problem(spec)
        };
        let all = [
            json!({"delimiter": "||"}),
            json!({"delimiter": "\""}),
            json!({"columns": []}),
            json!({"columns": {"name": "a"}}),
            json!({"columns": [{"name": "a", "kind": "int"}]}),
            json!({"columns": [{"name": "a", "type": "integer"}]}),
            json!({"columns": [{"name": "time", "type": "int"}]}),
            json!({"columns": [{"name": "a"}], "timeColumn": "b"}),
            json!({"timeFormat": "%H"}),
            json!({"timeZone": "Berlin"}),
        ];
        expect![[r#"
            delimiter: must be one ASCII character, or `tab`
            quote: is the delimiter as well
            columns: must be a list of {name, type}, and not empty
            columns: must be a list of {name, type}, and not empty
            columns[0].kind: is unknown: a column has `name` and `type`
            columns[0].type: `integer` is no type: use string, int, bigint, double, boolean, or timestamp with the format of times after a colon
            columns[0].type: must be timestamp: the column `time` is the time of the event
            timeColumn: `b` is none of the columns
            timeFormat: the date pattern `%H` does not say a day and an hour
            timeZone: `Berlin` is no time zone: use one like Europe/Berlin or +01:00"#]].assert_eq(&all.map(wrong).join("\n"));
    }

    #[test]
    fn real_tables_read_whole() {
        let Some(folder) = sample("loghub") else { return };
        let mut rows = 0;
        for name in ["Android", "Apache", "HDFS", "HealthApp", "Linux", "OpenSSH"] {
            for kind in ["structured", "templates"] {
                let bytes = std::fs::read(folder.join(format!("{name}/{name}_2k.log_{kind}.csv"))).unwrap();
                let grammar = grammar(json!("delimited")).inferred(&[&bytes]).unwrap();
                let records = explain_all(grammar.as_ref(), &bytes, 0);
                for (n, record) in records.iter().enumerate().skip(1) {
                    assert_eq!(record.outcome, Outcome::Row { mark: None, extra: None }, "{}", record.text);
                    let is_numbered = kind == "templates" || record.columns[0].1.as_deref() == Some(n.to_string().as_str());
                    assert!(is_numbered, "{}", record.text);
                }
                rows += records.len() - 1;
            }
        }
        assert_eq!(rows, 6 * 2_000 + 406);
    }
}
