//! Fluentd's and Fluent Bit's files: `time⇥tag⇥record`, where time and tag may be left out, spaces or commas may stand for
//! the tabs and the record is JSON, or one record of LTSV (`label:value⇥…`) a line. Records flow in; tag, and the columns of
//! the record, flow out.
//!
//! The record may wrap a line of another format in one of its fields: then the columns are those of that format, the
//! other fields go to `extra`, and its time comes before that of Fluentd.

use std::sync::Arc;

use manifests::LearnedColumn;

use super::app::{self, HOST_OPTION, SERVICE_OPTION, TIMEZONE};
use super::json::{COLUMNS_OPTION, Objects, add_member};
use super::json_columns::object;
use super::json_fields::{Json, members, skip_space};
use super::time::{iso_micros, offset};
use super::{
    Column, Example, Format, FormatOption, Framing, Grammar, Headers, OptionKind, Options, Parsed, Problem, Reject, Scope, TIME_COLUMN,
    Values, compile,
};
use crate::columns::{Cell, Kind, Row};

/// The format.
pub static FORMAT: Format = Format {
    name: "fluentd",
    summary: "files that Fluentd or Fluent Bit wrote: time, tag and a JSON object, or LTSV",
    page: "https://docs.fluentd.org/formatter/out_file",
    options: &[
        FormatOption {
            name: INNER,
            kind: OptionKind::Structure,
            meaning: "{format, field}: the format of the text in a field of each record; by default the record's fields are columns",
        },
        COLUMNS_OPTION,
        TIMEZONE,
        SERVICE_OPTION,
        HOST_OPTION,
    ],
    examples: EXAMPLES,
    compile: |options| match options.value(INNER) {
        Some(inner) => Ok(Box::new(Wrapped::new(inner, options)?)),
        None => Ok(Box::new(Records { objects: Objects::with(options, vec![TAG_COLUMN])? })),
    },
};

const INNER: &str = "inner";

static EXAMPLES: &[Example] = &[
    Example::plain("2026-02-06T01:02:03Z\tshop.web\t{\"level\":\"info\",\"message\":\"sold 3\",\"basket\":17}\n"),
    Example::plain("shop.web\t{\"a\":1}\n{\"a\":2}\n2026-02-06T01:02:03+01:00\t{\"a\":3}\n"),
    Example::plain("time:2026-02-06T01:02:03Z\tlevel:info\tmsg:sold 3\tbasket:17\n"),
    Example {
        options: r#"{"inner":{"format":{"name":"log4j","pattern":"%d{ISO8601} %p %c - %m%n"},"field":"log"}}"#,
        text: "2026-02-06T01:02:04Z\tshop\t{\"stream\":\"stdout\",\"log\":\"2026-02-06T01:02:03,456 WARN org.example.Shop - slow\\n\"}\n",
    },
];

const TAG_COLUMN: Column =
    Column::fixed("tag", Kind::Text, "", Values::Repeating, "tag of the event in Fluentd; null if the file has none");

/// The place of the tag where the record's fields are columns.
const TAG: usize = app::FINGERPRINT + 1;

/// A line, taken apart.
struct Line<'a> {
    time: Option<&'a [u8]>,
    tag: Option<&'a [u8]>,
    record: &'a [u8],
}

/// Takes a line apart: the record is what starts with a brace after at most two tabs; a single field before it is a time
/// if it looks like one. Without a brace, and without a time or a tag before it, the whole line is LTSV.
fn split(line: &[u8]) -> Line<'_> {
    let mut fields = line.splitn(3, |byte| *byte == b'\t');
    let (first, second, third) = (fields.next().unwrap_or_default(), fields.next(), fields.next());
    let is_object = |field: &[u8]| field.trim_ascii_start().starts_with(b"{");
    let some = |field| Some(field).filter(|field: &&[u8]| !field.is_empty());
    match (second, third) {
        _ if is_object(first) => Line { time: None, tag: None, record: line },
        (Some(second), _) if is_object(second) => {
            let record = &line[first.len() + 1..];
            let is_time = first.first().is_some_and(u8::is_ascii_digit);
            Line { time: some(first).filter(|_| is_time), tag: some(first).filter(|_| !is_time), record }
        }
        (Some(second), Some(third)) if is_object(third) => Line { time: some(first), tag: some(second), record: third },
        _ => split_otherwise(line).unwrap_or(Line { time: None, tag: None, record: line }),
    }
}

/// Takes a line apart that has spaces or commas for tabs, and perhaps a colon after the tag, as on standard output. A time
/// may hold spaces, a tag none.
fn split_otherwise(line: &[u8]) -> Option<Line<'_>> {
    let (head, record) = line.split_at(memchr::memchr(b'{', line)?);
    let (delimiter, head) = head.split_last().filter(|(delimiter, _)| matches!(delimiter, b' ' | b','))?;
    let is_tag_byte = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'*' | b'/');
    let is_time = head.first().is_some_and(u8::is_ascii_digit);
    let last = memchr::memrchr(*delimiter, head).map_or(0, |at| at + 1);
    // A time may end in a zone, or be but one word.
    if is_time && matches!(head.get(last), Some(b'+' | b'-' | b'0'..=b'9')) {
        return Some(Line { time: Some(head), tag: None, record });
    }
    let tag = head[last..].strip_suffix(b":").unwrap_or(&head[last..]);
    let time = last.checked_sub(1).map(|end| &head[..end]);
    let is_tag = !tag.is_empty() && tag.iter().all(is_tag_byte);
    (is_tag && time.is_some() == is_time).then_some(Line { time, tag: Some(tag), record })
}

/// Hands over the members of the record of the line that a text starts with, and gives where the line ends.
fn line_members<'a>(text: &'a [u8], take: &mut dyn FnMut(&[u8], Json<'a>)) -> Option<usize> {
    let end = memchr::memchr(b'\n', text).unwrap_or(text.len());
    let line = text[..end].trim_ascii_end();
    let Line { record, .. } = split(line);
    match record.trim_ascii_start().starts_with(b"{") {
        true => object(record, take)?,
        false => ltsv(line, |label, value| take(label, Json::Text(value.into()))).map(|()| 0).ok()?,
    };
    Some(end)
}

/// The time of a line in microseconds since 1970 UTC.
fn micros(objects: &Objects, time: &[u8]) -> Result<i64, Reject> {
    let zoned = || {
        // `2026-02-06 01:02:03 +0900`
        let space = memchr::memrchr(b' ', time)?;
        iso_micros(&time[..space], offset(&time[space + 1..])?)
    };
    let micros = objects.micros(&Json::Text(time.into())).or_else(zoned);
    micros.ok_or_else(|| Reject::new(0, "the first field is no time of ISO 8601 or number of seconds since 1970"))
}

/// The fields of LTSV, label by label.
fn ltsv<'a>(line: &'a [u8], mut take: impl FnMut(&'a [u8], &'a [u8])) -> Result<(), Reject> {
    let mut at = 0;
    for field in line.split(|byte| *byte == b'\t') {
        let is_label = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'@');
        match memchr::memchr(b':', field) {
            Some(colon) if colon > 0 && field[..colon].iter().all(is_label) => take(&field[..colon], &field[colon + 1..]),
            _ => return Err(Reject::new(at, "no JSON object, and no label and colon of LTSV, starts here")),
        }
        at += field.len() + 1;
    }
    Ok(())
}

/// Records whose fields are columns.
#[derive(Debug)]
struct Records {
    objects: Objects,
}

impl Grammar for Records {
    fn columns(&self) -> &[Column] {
        &self.objects.members.columns
    }

    fn read(&self, line: &[u8], _: &Scope<'_>, row: &mut Row<'_>) -> Result<Parsed, Reject> {
        let Line { time, tag, record } = split(line);
        if let Some(time) = time {
            row.time(app::TIME, micros(&self.objects, time)?);
        }
        if let Some(tag) = tag {
            row.text(TAG, tag);
        }
        let start = line.len() - record.len();
        if !record.trim_ascii_start().starts_with(b"{") {
            self.objects.read_pairs(row, |take| ltsv(line, |label, value| take(label, &Json::Text(value.into()))))?;
            return Ok(Parsed::Row);
        }
        let end = self.objects.read(record, row).map_err(|reject| Reject { at: reject.at + start, ..reject })?;
        match skip_space(record, end) {
            end if end < record.len() => Err(Reject::new(start + end, "something follows the object")),
            _ => Ok(Parsed::Row),
        }
    }

    fn inferred(&self, samples: &[&[u8]]) -> Option<Box<dyn Grammar>> {
        self.inferred_after(&[], samples)
    }

    fn inferred_after(&self, known: &[LearnedColumn], samples: &[&[u8]]) -> Option<Box<dyn Grammar>> {
        let inferred = || self.objects.inferred(known, samples, vec![TAG_COLUMN], line_members);
        self.objects.infers.then(|| Box::new(Records { objects: inferred() }) as Box<dyn Grammar>)
    }

    fn learned(&self) -> Vec<LearnedColumn> {
        self.objects.members.learned()
    }
}

/// Records that wrap another format in a field.
#[derive(Debug)]
struct Wrapped {
    inner: Arc<dyn Grammar>,
    field: String,
    columns: Vec<Column>,
    /// The time column, and the place of the tag.
    time: usize,
    tag: usize,
    objects: Objects,
}

impl Wrapped {
    fn new(options: &serde_json::Value, outer: &Options<'_>) -> Result<Wrapped, Problem> {
        if outer.value(COLUMNS_OPTION.name).is_some() {
            return Err(Problem::new(COLUMNS_OPTION.name, format!("cannot be set beside `{INNER}`: the columns are those of its format")));
        }
        let missing = |name: &str| Problem::new(format!("{INNER}.{name}"), "is missing");
        let spec = options.get("format").ok_or_else(|| missing("format"))?;
        let field = options.get("field").and_then(serde_json::Value::as_str).ok_or_else(|| missing("field"))?;
        let inner = compile(spec).map_err(|problems| {
            let at = |problem: &Problem| if problem.at.is_empty() { String::new() } else { format!(".{}", problem.at) };
            let first = problems.into_iter().next().unwrap_or_else(|| Problem::new("", "is no format"));
            Problem::new(format!("{INNER}.format{}", at(&first)), first.message)
        })?;
        if inner.headers() != Headers::None || inner.framing() == Framing::Quoted {
            return Err(Problem::new(format!("{INNER}.format"), "cannot be in a field: it has header lines or quoted line breaks"));
        }
        Ok(Wrapped::with(inner, field.to_owned(), Objects::new(outer)?))
    }

    fn with(inner: Arc<dyn Grammar>, field: String, objects: Objects) -> Wrapped {
        let mut columns = inner.columns().to_vec();
        let time = columns.iter().position(|column| column.kind == Kind::Time && column.name == TIME_COLUMN).unwrap_or(columns.len());
        if time == columns.len() {
            columns.push(Column::fixed(TIME_COLUMN, Kind::Time, "", Values::Ascending, "when Fluentd took the event"));
        }
        let name = if columns.iter().any(|column| column.name == "tag") { "fluentd_tag" } else { "tag" };
        let tag = columns.len();
        columns.push(Column { name: name.into(), ..TAG_COLUMN });
        Wrapped { inner, field, columns, time, tag, objects }
    }

    /// The text of the field, and the other fields as JSON.
    fn unwrap<'a>(&self, line: &'a [u8], record: &'a [u8]) -> Result<(std::borrow::Cow<'a, [u8]>, String), Reject> {
        let (mut text, mut others) = (None, String::new());
        let start = line.len() - record.len();
        let mut take = |name: &[u8], value: Json<'a>| match value {
            Json::Null => {}
            value if name == self.field.as_bytes() && text.is_none() => text = value.into_text(),
            value => add_member(&mut others, name, &value),
        };
        if record.trim_ascii_start().starts_with(b"{") {
            members(record, |name, value| {
                take(&name, value);
                Ok(())
            })
            .map_err(|reject| Reject { at: reject.at + start, ..reject })?;
        } else {
            ltsv(line, |label, value| take(label, Json::Text(value.into())))?;
        }
        let text = text.ok_or_else(|| Reject::new(start, format!("the record has no field `{}`", self.field)))?;
        app::close(&mut others, 0);
        Ok((text, others))
    }
}

impl Grammar for Wrapped {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn read(&self, line: &[u8], scope: &Scope<'_>, row: &mut Row<'_>) -> Result<Parsed, Reject> {
        let Line { time, tag, record } = split(line);
        let time = time.map(|time| micros(&self.objects, time)).transpose()?;
        let (text, others) = self.unwrap(line, record)?;
        let text = text.trim_ascii_end();
        let start = line.len() - record.len();
        let is_whole =
            self.inner.framing() == Framing::Lines || self.inner.is_start(text.split(|byte| *byte == b'\n').next().unwrap_or_default());
        let read = if is_whole { self.inner.read(text, scope, row) } else { self.inner.read_orphan(text, scope, row) };
        let parsed =
            read.map_err(|reject| Reject::new(start, format!("the field `{}`, byte {}: {}", self.field, reject.at, reject.reason)))?;
        if let Parsed::Followed(at) = parsed {
            return Err(Reject::new(start, format!("the field `{}`, byte {at}: another record starts", self.field)));
        }
        if let (Some(time), Cell::Null) = (time, row.cell(self.time)) {
            row.time(self.time, time);
        }
        if let Some(tag) = tag {
            row.text(self.tag, tag);
        }
        self.add_extra(&others, row);
        Ok(parsed)
    }

    fn inferred(&self, samples: &[&[u8]]) -> Option<Box<dyn Grammar>> {
        self.inferred_after(&[], samples)
    }

    fn learned(&self) -> Vec<LearnedColumn> {
        self.inner.learned()
    }

    fn inferred_after(&self, known: &[LearnedColumn], samples: &[&[u8]]) -> Option<Box<dyn Grammar>> {
        let lines = samples.iter().flat_map(|sample| sample.split(|byte| *byte == b'\n'));
        let texts: Vec<_> = lines.filter_map(|line| Some(self.unwrap(line, split(line).record).ok()?.0)).collect();
        let texts: Vec<&[u8]> = texts.iter().map(|text| &**text).collect();
        let inner = self.inner.inferred_after(known, &texts)?;
        Some(Box::new(Wrapped::with(Arc::from(inner), self.field.clone(), self.objects.clone())))
    }
}

impl Wrapped {
    /// The other fields, with what the inner format did not know under the name of the field.
    fn add_extra(&self, others: &str, row: &mut Row<'_>) {
        let inner = row.shown(row.extra());
        match (others, inner) {
            ("", None) => {}
            (others, None) => row.set_extra(others),
            (others, Some(inner)) => {
                let mut all = others.strip_suffix('}').unwrap_or(others).to_owned();
                app::name_of(&mut all, 0, &self.field);
                all.push_str(&inner);
                app::close(&mut all, 0);
                row.set_extra(&all);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::app::checks::{grammar, problem, samples, shown};
    use expect_test::{Expect, expect};
    use serde_json::json;

    fn check(options: serde_json::Value, text: &str, expected: Expect) {
        let mut spec = options;
        spec["name"] = "fluentd".into();
        let grammar = grammar(&spec);
        let inferred = grammar.inferred(&[text.as_bytes()]);
        expected.assert_eq(&shown(inferred.as_deref().unwrap_or(grammar.as_ref()), text, 0));
    }

    #[test]
    fn spaces_and_commas_for_tabs() {
        check(
            json!({}),
            "2026-02-06T01:02:03+01:00 shop.web {\"a\":\"x {y}\"}\n2026-02-06T01:02:03Z,shop.web,{\"a\":\"2\"}\n\
             2026-02-06 01:02:03.123456789 +0100 shop.web: {\"a\":\"3\"}\n2026-02-06 01:02:03 +0100 {\"a\":\"4\"}\n\
             1770336038,{\"a\":\"5\"}\nshop.web: {\"a\":\"6\"}\nsoon, shop.web {\"a\":\"7\"}\na:b {c}\n",
            expect![[r#"
                row time="2026-02-06T00:02:03Z" tag="shop.web" a="x {y}"
                row time="2026-02-06T01:02:03Z" tag="shop.web" a="2"
                row time="2026-02-06T00:02:03.123456Z" tag="shop.web" a="3"
                row time="2026-02-06T00:02:03Z" a="4"
                row time="2026-02-06T00:00:38Z" a="5"
                row tag="shop.web" a="6"
                reject at 0 "soon, shop.web {\"a\":\"7\"}": no JSON object, and no label and colon of LTSV, starts here
                row a="b {c}"
            "#]],
        );
    }

    #[test]
    fn lines_of_every_shape() {
        for (example, expected) in EXAMPLES.iter().zip([
            expect![[r#"
            row time="2026-02-06T01:02:03Z" level="INFO" level_original="info" message="sold 3" tag="shop.web" basket="17"
        "#]],
            expect![[r#"
            row tag="shop.web" a="1"
            row a="2"
            row time="2026-02-06T00:02:03Z" a="3"
        "#]],
            expect![[r#"
            row time="2026-02-06T01:02:03Z" level="INFO" level_original="info" message="sold 3" basket="17"
        "#]],
            expect![[r#"
            row time="2026-02-06T01:02:03.456Z" level="WARN" logger="org.example.Shop" message="slow" tag="shop" extra={"stream":"stdout"}
        "#]],
        ]) {
            let options = if example.options.is_empty() { "{}" } else { example.options };
            check(serde_json::from_str(options).unwrap(), example.text, expected);
        }
        check(
            json!({"timezone": "Europe/Berlin"}),
            "2026-02-06 01:02:03 +0900\tt\t{\"a\":1}\n2026-02-06 01:02:03\tt\t{\"time\":\"x\",\"a\":\"b\"}\n1770339723\tt\t{}\n",
            expect![[r#"
                row time="2026-02-05T16:02:03Z" tag="t" a="1"
                row time="2026-02-06T00:02:03Z" tag="t" extra={"time":"x","a":"b"}
                row time="2026-02-06T01:02:03Z" tag="t"
            "#]],
        );
    }

    #[test]
    fn inner_formats() {
        check(
            json!({"inner": {"format": "json", "field": "log"}}),
            "t\t{\"log\":\"{\\\"level\\\":\\\"info\\\",\\\"user\\\":7,\\\"more\\\":null}\",\"x\":1}\nt\t{\"log\":\"{\\\"user\\\":\\\"bob\\\"}\",\"x\":1}\nt\t{\"log\":\"{}{}\"}\nt\t{\"log\":{\"user\":8}}\nt\t{\"lag\":7}\n",
            expect![[r#"
                row level="INFO" level_original="info" user="7" tag="t" extra={"x":1}
                row tag="t" extra={"x":1,"log":{"user":"bob"}}
                reject at 2 "{\"log\":\"{}{}\"}": the field `log`, byte 2: another record starts
                row user="8" tag="t"
                reject at 2 "{\"lag\":7}": the record has no field `log`
            "#]],
        );
        check(
            json!({"inner": {"format": "log4j", "field": "log"}}),
            "2026-02-06T01:02:04Z\tt\t{\"log\":\"\\tat a.b(c)\"}\nt\t{\"log\":\"2026-02-06 01:02:03,456 [a] INFO  b - c\\na.BException: x\\n\\tat a.b(c)\"}\nlog:2026-02-06 01:02:03,456 [a] INFO  b - c\tx:y\n",
            expect![[r#"
                cut time="2026-02-06T01:02:04Z" stack_trace="\tat a.b(c)" tag="t"
                row time="2026-02-06T01:02:03.456Z" level="INFO" logger="b" thread="a" message="c" stack_trace="a.BException: x\n\tat a.b(c)" exception="a.BException" tag="t"
                row time="2026-02-06T01:02:03.456Z" level="INFO" logger="b" thread="a" message="c" extra={"x":"y"}
            "#]],
        );
    }

    #[test]
    fn what_is_wrong() {
        check(
            json!({}),
            "soon\tt\t{\"a\":1}\nplain text\na:1\tb\nt\t{\"a\":1} more\nt\t{\"a\":\n",
            expect![[r#"
            reject at 0 "soon\tt\t{\"a\":1}": the first field is no time of ISO 8601 or number of seconds since 1970
            reject at 0 "plain text": no JSON object, and no label and colon of LTSV, starts here
            reject at 4 "b": no JSON object, and no label and colon of LTSV, starts here
            reject at 10 "more": something follows the object
            reject at 7 "": no JSON value starts here
        "#]],
        );
        let wrong = |options: serde_json::Value| problem(&options);
        let all = [
            json!({"name": "fluentd", "inner": {}}),
            json!({"name": "fluentd", "inner": {"format": "json"}}),
            json!({"name": "fluentd", "inner": {"format": {"name": "log4j", "pattern": "%q"}, "field": "log"}}),
            json!({"name": "fluentd", "inner": {"format": "json", "field": "log"}, "columns": {}}),
        ]
        .map(wrong);
        expect![[r#"
            inner.format: is missing
            inner.field: is missing
            inner.format.pattern: `%q` is no conversion, at byte 0
            columns: cannot be set beside `inner`: the columns are those of its format"#]]
        .assert_eq(&all.join("\n"));
    }

    #[test]
    fn real_files() {
        let Some(folder) = samples("fluentd_out_s3") else { return };
        let expected = [
            (
                "out_s3_default_format.log",
                expect![[r#"
                row time="2011-01-02T13:14:15Z" tag="test" a="1"
                row time="2011-01-02T13:14:15Z" tag="test" a="2"
            "#]],
            ),
            (
                "out_s3_include_tag_time.log",
                expect![[r#"
                row time="2011-01-02T13:14:15Z" tag="test" a="1" tag_2="test" extra={"time":"2011-01-02T13:14:15Z"}
                row time="2011-01-02T13:14:15Z" tag="test" a="2" tag_2="test" extra={"time":"2011-01-02T13:14:15Z"}
            "#]],
            ),
            (
                "out_s3_ltsv.log",
                expect![[r#"
                row a="1" b="1"
                row a="2" b="2"
            "#]],
            ),
        ];
        for (file, expected) in expected {
            check(json!({}), &std::fs::read_to_string(folder.join(file)).unwrap(), expected);
        }
    }
}
