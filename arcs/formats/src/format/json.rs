//! JSON objects, one a line as a rule; several on a line, objects over several lines and arrays of objects are read as well.
//! Objects flow in; the common columns of applications, filled by the names that everybody uses, and columns for other
//! members flow out. A document that is an array is read element by element, each counted as a line.
//!
//! Nothing is lost: a value that its column cannot take, and a member that has no column, go to `extra`. Integers keep
//! all their digits; nested values stay JSON text. Members that are null are as members that are not there.

use manifests::LearnedColumn;

use super::app::{self, Defaults, HOST_OPTION, SERVICE_OPTION, TIMEZONE};
use super::json_columns::{Common, Members, Own, Record, Target, is_integer, object};
use super::json_fields::{Json, members, skip_space, value};
use super::time::epoch_seconds_micros;
use super::trace;
use super::{Column, Example, Format, FormatOption, Framing, Grammar, OptionKind, Options, Parsed, Problem, Reject, Scope};
use crate::columns::{Cell, Kind, Row};
use crate::elements;

/// The format.
pub static FORMAT: Format = Format {
    name: "json",
    summary: "applications that log JSON objects",
    page: "https://datatracker.ietf.org/doc/html/rfc8259",
    options: &[COLUMNS_OPTION, TIMEZONE, SERVICE_OPTION, HOST_OPTION],
    examples: EXAMPLES,
    compile: |options| Ok(Box::new(JsonLines { objects: Objects::new(options)? })),
};

const COLUMNS: &str = "columns";

/// The columns of members.
pub(super) const COLUMNS_OPTION: FormatOption = FormatOption {
    name: COLUMNS,
    kind: OptionKind::Structure,
    meaning: "columns beside those of all applications, {member: type}, of types string, json, int, bigint, double, boolean and timestamp; \
              by default those of the members that the logs have",
};

static EXAMPLES: &[Example] = &[
    Example::plain(
        "{\"ts\":1770339723.456,\"level\":\"info\",\"msg\":\"sold 3\",\"userId\":9007199254740993,\"basket\":{\"tea\":3}}\n\
         {\"ts\":1770339724,\"level\":\"warn\",\"msg\":\"slow\",\"userId\":\"bob\",\"basket\":null}\n",
    ),
    Example::plain(
        "{\n  \"@timestamp\": \"2026-02-06T01:02:03.456Z\",\n  \"log.level\": \"ERROR\"\n}\n{\"time\":1770339723456}{\"lvl\":30}\n",
    ),
    Example::plain(
        "[\n  {\n    \"time\": \"2026-02-06T01:02:03Z\",\n    \"msg\": \"sold 3\",\n    \"basket\": [\n      {\n        \"tea\": 3\n      }\n    ]\n  },\n  \
         {\n    \"time\": \"2026-02-06T01:02:04Z\",\n    \"msg\": \"slow\"\n  }\n]\n",
    ),
    Example {
        options: r#"{"columns":{"userId":"bigint","paidAt":"timestamp"},"service":"shop"}"#,
        text: "{\"message\":\"paid\",\"userId\":\"17\",\"paidAt\":\"2026-02-06T01:02:03Z\",\"more\":[1]}\n",
    },
];

/// Reads objects into rows; what formats that hold JSON share.
#[derive(Clone, Debug)]
pub(super) struct Objects {
    pub members: Members,
    pub defaults: Defaults,
    /// Whether the columns are those of the logs.
    pub infers: bool,
}

impl Objects {
    pub(super) fn new(options: &Options<'_>) -> Result<Objects, Problem> {
        Objects::with(options, Vec::new())
    }

    /// With columns after the common ones.
    pub(super) fn with(options: &Options<'_>, more: Vec<Column>) -> Result<Objects, Problem> {
        let mut members = Members::common(more);
        let columns = options.value(COLUMNS);
        if let Some(columns) = columns {
            members.declare(columns, COLUMNS)?;
        }
        Ok(Objects { members, defaults: Defaults::new(options)?, infers: columns.is_none() })
    }

    /// Reads the object that `text` starts with, and gives where it ends.
    pub(super) fn read(&self, text: &[u8], row: &mut Row<'_>) -> Result<usize, Reject> {
        self.read_pairs(row, |take| {
            members(text, |name, value| {
                take(&name, &value);
                Ok(())
            })
        })
    }

    /// Reads names and values that `each` hands over.
    pub(super) fn read_pairs<T>(
        &self,
        row: &mut Row<'_>,
        each: impl FnOnce(&mut dyn FnMut(&[u8], &Json<'_>)) -> Result<T, Reject>,
    ) -> Result<T, Reject> {
        let (mut next, mut extra) = (0, String::new());
        let end = each(&mut |name, value| {
            let target = self.members.target(name, &mut next);
            if *value != Json::Null && !self.set(target, value, row) {
                add_member(&mut extra, name, value);
            }
        })?;
        if !extra.is_empty() {
            app::close(&mut extra, 0);
            row.set_extra(&extra);
        }
        self.defaults.fill(row);
        Ok(end)
    }

    /// Sets the cells that a value goes to; false where none takes it.
    #[inline]
    fn set(&self, target: Target, value: &Json<'_>, row: &mut Row<'_>) -> bool {
        let is_own = target.own.is_some_and(|(column, own)| row.cell(column) == Cell::Null && self.set_own(column, own, value, row));
        target.common.is_some_and(|common| self.set_common(common, value, row)) || is_own
    }

    fn set_own(&self, column: usize, own: Own, value: &Json<'_>, row: &mut Row<'_>) -> bool {
        let number = match own {
            Own::Int | Own::Kind(Kind::Int64) if own != Own::Int || matches!(value, Json::Number(_)) => value.int(),
            Own::Kind(Kind::Int32) => value.int().filter(|number| i32::try_from(*number).is_ok()),
            Own::Kind(Kind::Time) => self.micros(value),
            Own::Boolean | Own::Kind(Kind::Boolean) => match value {
                Json::Boolean(value) => Some(i64::from(*value)),
                _ => None,
            },
            Own::Double | Own::Kind(Kind::Double) => {
                let is_number = own != Own::Double || matches!(value, Json::Number(_));
                let is_exact = value.int().map_or(!is_integer(value), |whole| whole.unsigned_abs() <= 1 << 53);
                let double = value.double().filter(|_| is_number && is_exact);
                double.into_iter().for_each(|double| row.double(column, double));
                return double.is_some();
            }
            Own::Text | Own::Nested | Own::Any | Own::Large | Own::Kind(_) | Own::Int => {
                let is_taken = match value {
                    Json::Text(_) => matches!(own, Own::Text | Own::Any | Own::Kind(_)),
                    Json::Nested(_) => matches!(own, Own::Nested | Own::Any | Own::Kind(_)),
                    _ => matches!(own, Own::Any | Own::Kind(_)),
                };
                let is_taken = is_taken || own == Own::Large && is_integer(value);
                if is_taken {
                    set_text(row, column, value);
                }
                return is_taken;
            }
        };
        number.into_iter().for_each(|number| row.int(column, number));
        number.is_some()
    }

    /// Sets a common column that is not set yet.
    fn set_common(&self, common: Common, value: &Json<'_>, row: &mut Row<'_>) -> bool {
        let is_free = |row: &Row<'_>, column| row.cell(column) == Cell::Null;
        match (common, value) {
            (Common::Time, _) if is_free(row, app::TIME) => {
                let micros = self.micros(value);
                micros.into_iter().for_each(|micros| row.time(app::TIME, micros));
                micros.is_some()
            }
            (Common::Level, Json::Text(text)) if is_free(row, app::LEVEL) => {
                app::set_level(row, text);
                !text.is_empty()
            }
            (Common::Level, Json::Number(number)) if is_free(row, app::LEVEL) => set_numbered_level(number, row),
            (Common::Message, Json::Text(text)) if is_free(row, app::MESSAGE) => {
                app::set_body(row, text);
                true
            }
            (Common::Message, Json::Number(text) | Json::Nested(text)) if is_free(row, app::MESSAGE) => {
                app::set_message(row, text);
                true
            }
            (Common::Exception, Json::Text(text)) => set_exception(text, row),
            (Common::Exception, Json::Nested(text)) => set_nested_exception(text, row),
            (Common::StackTrace, Json::Text(text)) if is_free(row, app::STACK_TRACE) => {
                set_trace(text, row);
                true
            }
            (Common::StackTrace, Json::Nested(text)) if is_free(row, app::STACK_TRACE) => match joined(text) {
                Some(lines) => {
                    set_trace(lines.as_bytes(), row);
                    true
                }
                None => false,
            },
            (Common::Fields, Json::Nested(text)) if is_free(row, app::FIELDS) && text.starts_with(b"{") => {
                row.text(app::FIELDS, text);
                true
            }
            (Common::Text(column), Json::Text(_) | Json::Number(_)) if is_free(row, column) => {
                set_text(row, column, value);
                true
            }
            _ => false,
        }
    }

    /// A time: ISO 8601, or a number since 1970 whose unit its size tells.
    pub(super) fn micros(&self, value: &Json<'_>) -> Option<i64> {
        let text: &[u8] = match value {
            Json::Text(text) => text,
            Json::Number(text) => text,
            _ => return None,
        };
        self.defaults.zone.iso_micros(text).or_else(|| epoch_micros(text))
    }
}

/// Seconds, milliseconds, microseconds or nanoseconds since 1970, of between 9 and 19 digits before the point.
fn epoch_micros(text: &[u8]) -> Option<i64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole: i64 = std::str::from_utf8(&text[..digits]).ok()?.parse().ok()?;
    let is_whole = digits == text.len();
    match digits {
        9..=11 if is_whole || text[digits] == b'.' => epoch_seconds_micros(text),
        9..=11 => {
            let seconds: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
            Some((seconds * 1e6) as i64)
        }
        1 if !is_whole => {
            // 1.770339723456E9
            let seconds: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
            (1e8..1e11).contains(&seconds).then_some((seconds * 1e6).round() as i64)
        }
        12..=14 if is_whole || text[digits] == b'.' => Some(whole * 1_000 + fraction_of_milli(&text[digits..])),
        15..=17 if is_whole => Some(whole),
        18..=19 if is_whole => Some(whole / 1_000),
        _ => None,
    }
}

fn fraction_of_milli(text: &[u8]) -> i64 {
    text.get(1..).and_then(super::time::fraction_micros).unwrap_or(0) / 1_000
}

/// The levels that pino and bunyan write as numbers.
fn set_numbered_level(number: &[u8], row: &mut Row<'_>) -> bool {
    let name = match number {
        b"10" => "TRACE",
        b"20" => "DEBUG",
        b"30" => "INFO",
        b"40" => "WARN",
        b"50" => "ERROR",
        b"60" => "FATAL",
        _ => return false,
    };
    row.owned(app::LEVEL, name);
    row.text(app::LEVEL_ORIGINAL, number);
    true
}

/// A trace, or the class of an exception with its message or without. Other text is no exception.
fn set_exception(text: &[u8], row: &mut Row<'_>) -> bool {
    if row.cell(app::EXCEPTION) != Cell::Null {
        return false;
    }
    let parts = trace::split_rest(text);
    let named = parts.exception.or_else(|| trace::class(text));
    let Some(class) = named else { return false };
    if class.len() < text.len() {
        if row.cell(app::STACK_TRACE) != Cell::Null {
            return false;
        }
        row.text(app::STACK_TRACE, text);
    }
    row.text(app::EXCEPTION, class);
    true
}

/// An object that has the class and the trace of an exception. Without a trace, it is kept whole beside its class.
fn set_nested_exception(text: &[u8], row: &mut Row<'_>) -> bool {
    let mut has_trace = false;
    let read = members(text, |name, value| {
        match (&*name, &value) {
            (b"type" | b"name" | b"class" | b"className" | b"exception_class", Json::Text(class))
                if row.cell(app::EXCEPTION) == Cell::Null =>
            {
                row.text(app::EXCEPTION, class);
            }
            (b"stack" | b"stacktrace" | b"stack_trace" | b"stackTrace", Json::Text(trace)) if row.cell(app::STACK_TRACE) == Cell::Null => {
                row.text(app::STACK_TRACE, trace);
                has_trace = true;
            }
            _ => {}
        }
        Ok(())
    });
    read.is_ok() && has_trace
}

fn set_trace(text: &[u8], row: &mut Row<'_>) {
    row.text(app::STACK_TRACE, text);
    let class = trace::split_rest(text).exception;
    if let (Some(class), Cell::Null) = (class, row.cell(app::EXCEPTION)) {
        row.text(app::EXCEPTION, class);
    }
}

/// The strings of an array as lines.
fn joined(array: &[u8]) -> Option<String> {
    let lines: Vec<String> = serde_json::from_slice(array).ok()?;
    Some(lines.join("\n"))
}

fn set_text(row: &mut Row<'_>, column: usize, value: &Json<'_>) {
    match value {
        Json::Text(text) => row.text(column, text),
        Json::Number(text) | Json::Nested(text) => row.text(column, text),
        Json::Boolean(value) => row.owned(column, if *value { "true" } else { "false" }),
        Json::Null => {}
    }
}

/// Adds a member to an object of JSON text.
pub(super) fn add_member(out: &mut String, name: &[u8], value: &Json<'_>) {
    app::name_of(out, 0, &String::from_utf8_lossy(name));
    match value {
        Json::Text(text) => app::string(out, &String::from_utf8_lossy(text)),
        Json::Number(text) | Json::Nested(text) => out.push_str(&String::from_utf8_lossy(text)),
        Json::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
        Json::Null => out.push_str("null"),
    }
}

#[derive(Debug)]
struct JsonLines {
    objects: Objects,
}

impl Grammar for JsonLines {
    fn columns(&self) -> &[Column] {
        &self.objects.members.columns
    }

    fn framing(&self) -> Framing {
        Framing::Array
    }

    /// Lines that can continue an object start none: those that are indented, and those that start with what cannot.
    fn is_start(&self, line: &[u8]) -> bool {
        !matches!(line.first(), Some(b' ' | b'\t' | b'}' | b']' | b'"' | b',' | b':'))
    }

    fn read(&self, record: &[u8], _: &Scope<'_>, row: &mut Row<'_>) -> Result<Parsed, Reject> {
        let between = |at: usize| at + elements::between(&record[at..], elements::NO_KEY);
        let start = match record.get(between(0)) {
            None => return Ok(Parsed::Header),
            Some(b'{') => between(0),
            Some(_) => skip_space(record, 0),
        };
        if record[start] != b'{' && value(record, start).is_ok() {
            return Err(Reject::new(start, "a JSON value that is no object"));
        }
        let read = self.objects.read(&record[start..], row).map_err(|reject| Reject { at: reject.at + start, ..reject })?;
        let end = between(start + read);
        Ok(if end < record.len() { Parsed::Followed(end) } else { Parsed::Row })
    }

    fn read_orphan(&self, lines: &[u8], scope: &Scope<'_>, row: &mut Row<'_>) -> Result<Parsed, Reject> {
        self.read(lines, scope, row)
    }

    fn inferred(&self, samples: &[&[u8]]) -> Option<Box<dyn Grammar>> {
        self.inferred_after(&[], samples)
    }

    fn inferred_after(&self, known: &[LearnedColumn], samples: &[&[u8]]) -> Option<Box<dyn Grammar>> {
        let infers = self.objects.infers;
        infers.then(|| Box::new(JsonLines { objects: self.objects.inferred(known, samples, Vec::new(), object) }) as Box<dyn Grammar>)
    }

    fn learned(&self) -> Vec<LearnedColumn> {
        self.objects.members.learned()
    }
}

impl Objects {
    /// The same with the columns that are known and those of the members that samples have.
    pub(super) fn inferred(&self, known: &[LearnedColumn], samples: &[&[u8]], more: Vec<Column>, record: Record) -> Objects {
        let mut members = Members::common(more);
        members.infer(known, samples, record);
        Objects { members, defaults: self.defaults.clone(), infers: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::app::checks::{differences, grammar, problem, rows, samples, shown};
    use expect_test::{Expect, expect};
    use serde_json::json;

    fn check(options: serde_json::Value, text: &str, expected: Expect) {
        let mut spec = options;
        spec["name"] = "json".into();
        let grammar = grammar(&spec);
        let inferred = grammar.inferred(&[text.as_bytes()]);
        expected.assert_eq(&shown(inferred.as_deref().unwrap_or(grammar.as_ref()), text, 0));
    }

    #[test]
    fn objects_in_every_place() {
        check(
            json!({}),
            "  {\"a\":1} {\"a\":2}{\"a\":\n3}\n{\n  \"a\": 4,\n  \"b\": [\n    1\n  ]\n} {\"a\":5}\nnot JSON\n\n{\"a\":6} trailing\n[7]\n{\"a\":8\n{\"a\":9}",
            expect![[r#"
                row a="1"
                row a="2"
                reject at 5 "": no JSON value starts here
                reject at 0 "3}": a JSON value that is no object
                row a="4" b="[\n    1\n  ]"
                row a="5"
                reject at 0 "not JSON": no JSON object starts here
                Blank
                row a="6"
                reject at 0 "trailing": no JSON object starts here
                reject at 0 "[7]": a JSON value that is no object
                reject at 6 "": the JSON object has no end
                row a="9"
            "#]],
        );
        for (example, expected) in EXAMPLES.iter().zip([expect![[r#"
            row time="2026-02-06T01:02:03.456Z" level="INFO" level_original="info" message="sold 3" user_id="9007199254740993" basket="{\"tea\":3}"
            row time="2026-02-06T01:02:04Z" level="WARN" level_original="warn" message="slow" extra={"userId":"bob"}
        "#]], expect![[r#"
            row time="2026-02-06T01:02:03.456Z" level="ERROR"
            row time="2026-02-06T01:02:03.456Z"
            row level="INFO" level_original="30"
        "#]], expect![[r#"
            row time="2026-02-06T01:02:03Z" message="sold 3" basket="[\n      {\n        \"tea\": 3\n      }\n    ]"
            row time="2026-02-06T01:02:04Z" message="slow"
        "#]], expect![[r#"
            row message="paid" service="shop" user_id="17" paid_at="2026-02-06T01:02:03Z" extra={"more":[1]}
        "#]]]) {
            let options = if example.options.is_empty() { "{}" } else { example.options };
            check(serde_json::from_str(options).unwrap(), example.text, expected);
        }
    }

    #[test]
    fn arrays_of_objects() {
        check(
            json!({}),
            "[{\"a\":1},{\"a\":2} , {\"a\":\n3}\n]\n[{\"a\":4}]\n",
            expect![[r#"
            row a="1"
            row a="2"
            row a="3"
            row a="4"
        "#]],
        );
        // What is no object, and what has no end.
        check(
            json!({}),
            "[\n{\"a\":1},\n7,\n{\"a\":\"x\n{\"a\":2},,\n{\"a\":3",
            expect![[r#"
            row a="1"
            reject at 0 "7,": a JSON value that is no object
            reject at 5 "\"x": a JSON string has no end
            row a="2"
            reject at 6 "": the JSON object has no end
        "#]],
        );
        // Among lines.
        check(
            json!({}),
            "{\"a\":1},\n[]\n[{\"a\":2},{\"a\":3}]\n[\n  {\n    \"a\": 4\n  },\n  {\n    \"a\": 5\n  }\n]\n[7]\n",
            expect![[r#"
                row a="1"
                Header
                row a="2"
                row a="3"
                row a="4"
                row a="5"
                reject at 0 "[7]": a JSON value that is no object
            "#]],
        );
        check(json!({}), "[]\n", expect![[r#""#]]);
    }

    #[test]
    fn values_that_change_their_type_go_to_extra() {
        check(
            json!({}),
            "{\"n\":1,\"d\":1.5,\"t\":\"x\",\"o\":{\"a\":1},\"b\":true}\n{\"n\":\"1\",\"d\":9007199254740993,\"t\":2,\"o\":\"y\",\"b\":0}\n{\"n\":1.5,\"d\":2,\"t\":null,\"o\":[],\"b\":false}\n{\"n\":18446744073709551615,\"n\":7,\"t\":\"a\\u00e4\\n\"}\n",
            expect![[r#"
                row n="1" d="1.5" t="x" o="{\"a\":1}" b="true"
                row extra={"n":"1","d":9007199254740993,"t":2,"o":"y","b":0}
                row n="1.5" d="2" o="[]" b="false"
                row n="7" t="aä\n" extra={"n":18446744073709551615}
            "#]],
        );
        check(
            json!({"columns": {"n": "int", "big": "bigint", "d": "double", "t": "string", "j": "json", "b": "boolean", "at": "timestamp", "ts": "bigint"}}),
            "{\"n\":\"1\",\"big\":9007199254740993,\"d\":2,\"t\":3,\"j\":[1],\"b\":true,\"at\":1770339723,\"ts\":1770339723456}\n{\"n\":3000000000,\"big\":1.5,\"d\":\"x\",\"t\":{\"a\":1},\"j\":\"s\",\"b\":\"true\",\"at\":\"soon\",\"ts\":\"x\"}\n",
            expect![[r#"
                row time="2026-02-06T01:02:03.456Z" n="1" big="9007199254740993" d="2" t="3" j="[1]" b="true" at="2026-02-06T01:02:03Z" ts="1770339723456"
                row t="{\"a\":1}" j="s" extra={"n":3000000000,"big":1.5,"d":"x","b":"true","at":"soon","ts":"x"}
            "#]],
        );
    }

    #[test]
    fn names_that_everybody_uses() {
        check(
            json!({"timezone": "Europe/Berlin"}),
            "{\"asctime\":\"2026-02-06 01:02:03,456\",\"levelname\":\"WARNING\",\"msg\":\"m 1\",\"logger_name\":\"l\",\"threadName\":\"t\",\"hostname\":\"h\",\"service.name\":\"s\",\"mdc\":{\"a\":\"b\"}}\n{\"time\":1770339723456789012,\"timestamp\":\"again\",\"lvl\":\"x\",\"level\":50,\"message\":{\"a\":1},\"error\":{\"type\":\"E\",\"stack\":\"E: x\\n    at f (a.js:1:2)\"}}\n{\"ts\":1.770339723456E9,\"level\":35,\"error\":\"no route\",\"exception\":\"a.BException: x\"}\n{\"ts\":\"1770339723\",\"stacktrace\":[\"a.BException: x\",\"at a.b(c)\"],\"exc_info\":\"Traceback (most recent call last):\\n  File \\\"a\\\"\\nKeyError: 1\",\"host\":{\"name\":\"h\"}}\n{\"timestamp\":12,\"error\":{\"code\":7}}\n",
            expect![[r#"
                row time="2026-02-06T00:02:03.456Z" level="WARN" level_original="WARNING" logger="l" thread="t" message="m 1" host="h" service="s" fields="{\"a\":\"b\"}"
                row time="2026-02-06T01:02:03.456789Z" level="X" level_original="x" message="{\"a\":1}" stack_trace="E: x\n    at f (a.js:1:2)" exception="E" extra={"timestamp":"again","level":50}
                row time="2026-02-06T01:02:03.456Z" stack_trace="a.BException: x" exception="a.BException" extra={"level":35,"error":"no route"}
                row time="2026-02-06T01:02:03Z" stack_trace="a.BException: x\nat a.b(c)" exception="a.BException" extra={"exc_info":"Traceback (most recent call last):\n  File \"a\"\nKeyError: 1","host":{"name":"h"}}
                row extra={"timestamp":12,"error":{"code":7}}
            "#]],
        );
    }

    #[test]
    fn columns_that_are_none() {
        let wrong = |columns: serde_json::Value| problem(&json!({"name": "json", "columns": columns}));
        let all = [
            json!({"a": "text"}),
            json!({"a": 1}),
            json!(["a"]),
            json!({"time": "bigint"}),
            json!({"level": "string"}),
            json!({"a": "binary"}),
        ]
        .map(wrong);
        expect![[r#"
            columns.a: must be string, json, int, bigint, double, boolean or timestamp
            columns.a: must be string, json, int, bigint, double, boolean or timestamp
            columns: must be an object {member: type}
            columns.time: is one of the columns of all applications: its type is timestamp
            fine
            columns.a: must be string, json, int, bigint, double, boolean or timestamp"#]]
        .assert_eq(&all.join("\n"));
    }

    const PAIRS: &[(&str, &str)] = &[("time", "@timestamp"), ("level", "log.level"), ("message", "message")];

    /// What differs: the other parser leaves two messages as the JSON that they were in.
    #[test]
    fn real_logs_read_as_another_parser_reads_them() {
        let mut found = String::new();
        for folder in ["java_app/elastic-beats", "jsonl_app/elastic-beats", "jsonl_app/github4daniel", "multiline/elastic-beats"] {
            let Some(folder) = samples(folder) else { return };
            let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
            files.sort();
            for path in files {
                let (name, text) = (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap());
                if !text.starts_with(b"{") || name.ends_with("expected.json") || name.starts_with("docker") {
                    continue;
                }
                let grammar = grammar(&json!({"name": "json"})).inferred(&[&text]).unwrap();
                let (rows, others) = rows(grammar.as_ref(), &text, 0);
                found += &format!("{name}: {} rows, {} columns, others {others:?}\n", rows.len(), grammar.columns().len());
                let Ok(expected) = std::fs::read_to_string(folder.join(format!("{name}-expected.json"))) else { continue };
                for difference in differences((&rows, &text), &expected, PAIRS) {
                    found += &format!("  {}\n", difference.chars().take(160).collect::<String>());
                }
            }
        }
        expect![[r#"
            elasticsearch_deprecation__es_deprecation-json.800.log: 15 rows, 18 columns, others []
            elasticsearch_deprecation__test-json.log: 16 rows, 18 columns, others []
            elasticsearch_server__elasticsearch-json.800.log: 3 rows, 18 columns, others []
            elasticsearch_server__test-json.log: 58 rows, 18 columns, others []
            elasticsearch_slowlog__es74_index_indexing_slowlog-json.log: 2 rows, 24 columns, others []
            elasticsearch_slowlog__es74_index_search_slowlog-json.log: 9 rows, 27 columns, others []
            elasticsearch_slowlog__es_index_indexing_slowlog-json.log: 2 rows, 18 columns, others []
              0 message: "[index1/PJlGJFFURIO1zIboktQMUw] took[4.6ms], took_millis[4], type[_doc], id[1], routing[], source[{\"somefield\":\"somevalue\"}]" for "{\"type\": \"
              1 message: "[index1/PJlGJFFURIO1zIboktQMUw] took[803micros], took_millis[0], type[_doc], id[2], routing[], source[{\"somefield\":\"somevalue\"}]" for "{\"type\"
            elasticsearch_slowlog__es_index_search_slowlog-json.log: 3 rows, 18 columns, others []
            elasticsearch_slowlog__es_indexing_slowlog.800.log: 2 rows, 22 columns, others []
            elasticsearch_slowlog__es_search_slowlog.800.log: 2 rows, 26 columns, others []
            elasticsearch_slowlog__slowlogs-json.log: 5 rows, 27 columns, others []
            logstash_log__logstash-json.log: 4 rows, 14 columns, others []
            kibana_log__log.624.log: 84 rows, 23 columns, others []
            kibana_log__log.verbose.624.log: 180 rows, 28 columns, others []
            kibana_log__test.log: 4 rows, 20 columns, others []
            pi-land.jsonl: 2 rows, 15 columns, others []
            json.log: 3 rows, 14 columns, others []
            json_id.log: 3 rows, 18 columns, others []
            json_int.log: 2 rows, 15 columns, others []
            json_null.log: 1 rows, 16 columns, others []
            json_override.log: 1 rows, 14 columns, others []
            json_tag.log: 1 rows, 15 columns, others []
            json_timestamp.log: 5 rows, 13 columns, others []
            json_type.log: 3 rows, 17 columns, others []
        "#]].assert_eq(&found);
    }
}
