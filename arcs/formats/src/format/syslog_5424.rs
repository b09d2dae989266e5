//! Syslog of RFC 5424, a message a line or in frames that say how long they are (RFC 6587). Records flow in; the common
//! columns of applications, with facility, pid and message id, flow out; structured data in `fields`.
//!
//! `-` is null. Lines that start with no priority and version continue the message before.

use std::borrow::Cow;

use super::app::{self, Defaults, HOST_OPTION, SERVICE_OPTION};
use super::syslog::{COLUMNS, MESSAGE_ID, PID, priority, priority_end};
use super::time::iso_micros;
use super::{Column, Example, Format, Framing, Grammar, Parsed, Reject, Scope};
use crate::columns::Row;

/// The format.
pub static FORMAT: Format = Format {
    name: "syslog-5424",
    summary: "syslog in the format of RFC 5424, a message a line or in octet-counted frames",
    page: "https://datatracker.ietf.org/doc/html/rfc5424",
    options: &[SERVICE_OPTION, HOST_OPTION],
    examples: EXAMPLES,
    compile: |options| Ok(Box::new(Syslog { defaults: Defaults::new(options)? })),
};

static EXAMPLES: &[Example] = &[
    Example::plain("<34>1 2026-02-06T01:02:03.456Z web1.example.org su - ID47 - \u{feff}'su root' failed for bob\n"),
    Example::plain(
        "<165>1 2026-02-06T01:02:03.000003-07:00 192.0.2.1 shop 4711 order [meta@32473 user=\"bob\" note=\"a \\\"b\\\" \\] \\\\\"][x@32473] sold 3\n",
    ),
    Example::plain("<13>1 - - - - - -\n"),
    Example::plain("39 <13>1 - web1 shop 7 - - sold\ntwo things30 <13>1 - web1 shop 7 - - sold 3"),
];

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[derive(Debug)]
struct Syslog {
    defaults: Defaults,
}

impl Grammar for Syslog {
    fn columns(&self) -> &[Column] {
        &COLUMNS
    }

    fn framing(&self) -> Framing {
        Framing::Octets
    }

    fn is_start(&self, line: &[u8]) -> bool {
        priority_end(line).is_some()
    }

    fn read(&self, record: &[u8], _: &Scope<'_>, row: &mut Row<'_>) -> Result<Parsed, Reject> {
        let start = priority(record, row)?;
        if record.get(start..start + 2) != Some(b"1 ") {
            return Err(Reject::new(start, "the version is not 1"));
        }
        let mut at = start + 2;
        let time = field(record, &mut at, "time")?;
        if let Some(time) = time {
            let has_zone = time.get(19..).is_some_and(|tail| tail.iter().any(|byte| matches!(byte, b'Z' | b'+' | b'-')));
            let micros = iso_micros(time, 0).filter(|_| has_zone);
            row.time(app::TIME, micros.ok_or_else(|| Reject::new(start + 2, "the time is none of RFC 3339"))?);
        }
        for (column, name) in [(app::HOST, "host"), (app::SERVICE, "application"), (PID, "process"), (MESSAGE_ID, "message id")] {
            if let Some(value) = field(record, &mut at, name)? {
                row.text(column, value);
            }
        }
        let message = structured(record, at, row)?;
        app::set_body(row, message.strip_prefix(BYTE_ORDER_MARK).unwrap_or(message));
        self.defaults.fill(row);
        Ok(Parsed::Row)
    }

    fn read_orphan(&self, lines: &[u8], _: &Scope<'_>, row: &mut Row<'_>) -> Result<Parsed, Reject> {
        app::set_body(row, lines);
        self.defaults.fill(row);
        Ok(Parsed::Cut)
    }
}

/// A field and the space after it; `None` for `-`.
fn field<'a>(record: &'a [u8], at: &mut usize, name: &str) -> Result<Option<&'a [u8]>, Reject> {
    let rest = record.get(*at..).unwrap_or_default();
    match memchr::memchr2(b' ', b'\n', rest).filter(|end| *end > 0 && rest[*end] == b' ') {
        Some(end) => {
            *at += end + 1;
            Ok(Some(&rest[..end]).filter(|field| *field != b"-"))
        }
        None => Err(Reject::new(*at, format!("the {name} is empty or the message ends with it"))),
    }
}

/// Reads the structured data, sets `fields`, and gives the message.
fn structured<'a>(record: &'a [u8], start: usize, row: &mut Row<'_>) -> Result<&'a [u8], Reject> {
    let rest = record.get(start..).unwrap_or_default();
    let mut at = start;
    if rest.starts_with(b"-") {
        at += 1;
    } else {
        let mut fields = String::new();
        while record.get(at) == Some(&b'[') {
            at = element(record, at, &mut fields)?;
        }
        app::close(&mut fields, 0);
        if fields.is_empty() {
            return Err(Reject::new(start, "the structured data is neither `-` nor in square brackets"));
        }
        row.owned(app::FIELDS, &fields);
    }
    match record.get(at..) {
        None | Some([]) => Ok(&[]),
        Some([b' ', message @ ..]) => Ok(message),
        Some(_) => Err(Reject::new(at, "no space follows the structured data")),
    }
}

/// Parameters of an element that are read; one with more is a reject.
const PARAMETERS_MAX: usize = 1_000;

/// A parameter of structured data: its name and its value.
type Parameter<'a> = (&'a [u8], Cow<'a, str>);

/// `[id name="value" …]`, added to a JSON object; gives where it ends.
fn element(record: &[u8], start: usize, fields: &mut String) -> Result<usize, Reject> {
    let name_end = |from: usize, ends: &[u8]| {
        let length = record[from..].iter().position(|byte| ends.contains(byte) || byte.is_ascii_control()).filter(|length| *length > 0);
        length.map(|length| from + length)
    };
    let mut at = name_end(start + 1, b" ]=\"").ok_or_else(|| Reject::new(start, "structured data has no name"))?;
    let id = String::from_utf8_lossy(&record[start + 1..at]);
    let mut parameters: Vec<Parameter<'_>> = Vec::new();
    while record.get(at) == Some(&b' ') {
        let end = name_end(at + 1, b" ]=\"").ok_or_else(|| Reject::new(at, "a parameter of structured data has no name"))?;
        if record.get(end..end + 2) != Some(b"=\"") {
            return Err(Reject::new(end, "no value in double quotes follows the name of a parameter"));
        }
        if parameters.len() == PARAMETERS_MAX {
            return Err(Reject::new(at, "the structured data has more parameters than are read"));
        }
        let (value, after) = value(record, end + 2)?;
        parameters.push((&record[at + 1..end], value));
        at = after;
    }
    if record.get(at) != Some(&b']') {
        return Err(Reject::new(at, "structured data has no closing bracket"));
    }
    app::name_of(fields, 0, &id);
    add_parameters(&parameters, fields);
    Ok(at + 1)
}

/// Adds parameters as a JSON object; those of one name are an array, where the first of them stands.
fn add_parameters(parameters: &[Parameter<'_>], fields: &mut String) {
    let from = fields.len();
    for (n, (name, value)) in parameters.iter().enumerate() {
        if parameters[..n].iter().any(|(before, _)| before == name) {
            continue;
        }
        app::name_of(fields, from, &String::from_utf8_lossy(name));
        let mut more = parameters[n + 1..].iter().filter(|(after, _)| after == name).peekable();
        if more.peek().is_none() {
            app::string(fields, value);
            continue;
        }
        let values: Vec<&str> = std::iter::once(value).chain(more.map(|(_, value)| value)).map(|value| &**value).collect();
        fields.push_str(&serde_json::Value::from(values).to_string());
    }
    fields.push_str(if parameters.is_empty() { "{}" } else { "}" });
}

/// A value without its escapes, and where its closing quote ends.
fn value(record: &[u8], start: usize) -> Result<(Cow<'_, str>, usize), Reject> {
    let (mut value, mut kept, mut at) = (Vec::new(), start, start);
    loop {
        let rest = record.get(at..).unwrap_or_default();
        match memchr::memchr2(b'"', b'\\', rest).map(|skip| (at + skip, rest[skip])) {
            Some((end, b'"')) if value.is_empty() => return Ok((String::from_utf8_lossy(&record[kept..end]), end + 1)),
            Some((end, b'"')) => {
                value.extend_from_slice(&record[kept..end]);
                return Ok((String::from_utf8_lossy(&value).into_owned().into(), end + 1));
            }
            Some((escape, _)) => {
                let is_escape = matches!(record.get(escape + 1), Some(b'"' | b'\\' | b']'));
                at = escape + 1 + usize::from(is_escape);
                if is_escape {
                    value.extend_from_slice(&record[kept..escape]);
                    kept = escape + 1;
                }
            }
            None => return Err(Reject::new(start, "a value of structured data has no closing quote")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::app::checks::{grammar, shown};
    use expect_test::{Expect, expect};
    use serde_json::json;

    fn check(text: &str, expected: Expect) {
        expected.assert_eq(&shown(grammar(&json!("syslog-5424")).as_ref(), text, 0));
    }

    #[test]
    fn parameters_have_a_limit() {
        let read = |parameters: usize| {
            let text = format!("<13>1 - h a p m [x{}] y", " a=\"\"".repeat(parameters));
            shown(grammar(&json!("syslog-5424")).as_ref(), &text, 0)
        };
        assert!(read(PARAMETERS_MAX).starts_with("row "));
        assert!(read(PARAMETERS_MAX + 1).starts_with("reject at 5018 "), "{}", read(PARAMETERS_MAX + 1));
    }

    #[test]
    fn messages_of_every_shape() {
        for (example, expected) in EXAMPLES.iter().zip([expect![[r#"
            row time="2026-02-06T01:02:03.456Z" level="FATAL" level_original="crit" message="'su root' failed for bob" host="web1.example.org" service="su" facility="auth" message_id="ID47"
        "#]], expect![[r#"
            row time="2026-02-06T08:02:03.000003Z" level="INFO" level_original="notice" message="sold 3" host="192.0.2.1" service="shop" fields="{\"meta@32473\":{\"user\":\"bob\",\"note\":\"a \\\"b\\\" ] \\\\\"},\"x@32473\":{}}" facility="local4" pid="4711" message_id="order"
        "#]], expect![[r#"
            row level="INFO" level_original="notice" message="" facility="user"
        "#]], expect![[r#"
            row level="INFO" level_original="notice" message="sold\ntwo things" host="web1" service="shop" facility="user" pid="7"
            row level="INFO" level_original="notice" message="sold 3" host="web1" service="shop" facility="user" pid="7"
        "#]]]) {
            check(example.text, expected);
        }
        check(
            "more of it\n<11>1 2026-02-06T01:02:03Z h a - - [e ip=\"192.0.2.1\" ip=\"192.0.2.2\"] x\na.BException: y\n\tat a.b(c)\n",
            expect![[r#"
                cut message="more of it"
                row time="2026-02-06T01:02:03Z" level="ERROR" level_original="err" message="x" stack_trace="a.BException: y\n\tat a.b(c)" exception="a.BException" host="h" service="a" fields="{\"e\":{\"ip\":[\"192.0.2.1\",\"192.0.2.2\"]}}" facility="user"
            "#]],
        );
    }

    #[test]
    fn what_is_wrong() {
        check(
            "<192>1 - - - - - -\n<13>2 - - - - - -\n<13>1 2026-02-06T01:02:03 - - - - -\n<13>1 - - -\n<13>1 - - - - - x\n<13>1 - - - - - [a b]\n<13>1 - - - - - [a b=\"c]\n<13>1 - - - - - [a]x\n",
            expect![[r#"
                cut message="<192>1 - - - - - -"
                reject at 4 "2 - - - - - -": the version is not 1
                reject at 6 "2026-02-06T01:02:03 - - - - -": the time is none of RFC 3339
                reject at 10 "-": the application is empty or the message ends with it
                reject at 16 "x": the structured data is neither `-` nor in square brackets
                reject at 20 "]": no value in double quotes follows the name of a parameter
                reject at 22 "c]": a value of structured data has no closing quote
                reject at 19 "x": no space follows the structured data
            "#]],
        );
        check(
            "18 <13>1 - - - - - - 99 <13>1 - - - - - - cut",
            expect![[r#"
            row level="INFO" level_original="notice" message="" facility="user"
            reject at 0 "<13>1 - - - - - - cut": the frame is longer than what is left of the object
        "#]],
        );
    }

    #[test]
    fn frames_that_are_not_utf_8_keep_their_lengths() {
        let grammar = grammar(&json!("syslog-5424"));
        let text = b"21 <13>1 - - - - - - \xff\xfe\x2119 <13>1 - - - - - - x";
        let explained = crate::format::explain_all(grammar.as_ref(), text, 0);
        let messages: Vec<_> =
            explained.iter().map(|record| record.columns.get(app::MESSAGE).and_then(|(_, value)| value.clone())).collect();
        assert_eq!(messages, [Some("\u{fffd}\u{fffd}!".to_owned()), Some("x".to_owned())]);
    }
}
