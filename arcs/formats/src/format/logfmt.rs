//! logfmt: `key=value` pairs on a line. Pairs flow in; the common columns of applications flow out, and all other pairs
//! as one JSON object.
//!
//! A value may be quoted, with escapes; a key may stand alone, and is then `true`; a key may come more than once, and its
//! values are then an array. A time that is none known stays among the other pairs.

use std::borrow::Cow;

use memchr::memchr;

use super::json_fields::string;
use super::time::epoch_seconds_micros;
use super::zone::Zone;
use super::{Column, Example, Format, Grammar, Options, Parsed, Problem, Reject, Scope, app};
use crate::columns::{Cell, Row};

/// The format.
pub static FORMAT: Format = Format {
    name: "logfmt",
    summary: "lines of key=value pairs, as Go services, Heroku and Grafana's tools write them",
    page: "https://pkg.go.dev/github.com/kr/logfmt",
    options: &[app::TIMEZONE, app::SERVICE_OPTION, app::HOST_OPTION],
    examples: EXAMPLES,
    compile,
};

static EXAMPLES: &[Example] = &[
    Example::plain(
        r#"ts=2026-02-06T10:00:38.123Z level=info caller=main.go:42 msg="request done" method=GET status=200 duration=1.5ms tls"#,
    ),
    Example::plain(r#"time="2026-02-06T10:00:39+01:00" level=error msg="cannot reach \"db\": timeout" logger=pool host=web-1 tag=a tag=b"#),
];

/// Which keys have a column of their own, in the order of preference.
const KEYS: [(&str, usize); 30] = [
    ("time", app::TIME),
    ("ts", app::TIME),
    ("timestamp", app::TIME),
    ("@timestamp", app::TIME),
    ("t", app::TIME),
    ("level", app::LEVEL),
    ("lvl", app::LEVEL),
    ("severity", app::LEVEL),
    ("msg", app::MESSAGE),
    ("message", app::MESSAGE),
    ("event", app::MESSAGE),
    ("logger", app::LOGGER),
    ("component", app::LOGGER),
    ("module", app::LOGGER),
    ("name", app::LOGGER),
    ("thread", app::THREAD),
    ("goroutine", app::THREAD),
    ("stack", app::STACK_TRACE),
    ("stacktrace", app::STACK_TRACE),
    ("stack_trace", app::STACK_TRACE),
    ("exception", app::EXCEPTION),
    ("error.type", app::EXCEPTION),
    ("exception.type", app::EXCEPTION),
    ("host", app::HOST),
    ("hostname", app::HOST),
    ("instance", app::HOST),
    ("service", app::SERVICE),
    ("app", app::SERVICE),
    ("application", app::SERVICE),
    ("svc", app::SERVICE),
];

/// Pairs of a line that are looked at; more are a reject.
const PAIRS_MAX: usize = 10_000;

/// Pairs among which equal keys are found by looking at all.
const PAIRS_FEW: usize = 32;

#[derive(Debug)]
struct Logfmt {
    defaults: app::Defaults,
}

fn compile(options: &Options<'_>) -> Result<Box<dyn Grammar>, Problem> {
    Ok(Box::new(Logfmt { defaults: app::Defaults::new(options)? }))
}

/// A pair: its key, and its value unless the key stands alone.
type Pair<'a> = (&'a [u8], Option<Cow<'a, [u8]>>);

impl Grammar for Logfmt {
    fn columns(&self) -> &[Column] {
        app::COLUMNS
    }

    fn read(&self, record: &[u8], _: &Scope<'_>, row: &mut Row<'_>) -> Result<Parsed, Reject> {
        let (mut others, mut at, mut pairs, mut values) = (Vec::<Pair<'_>>::new(), 0, 0, 0);
        let mut shape = Parsed::Row;
        while let Some(start) = record[at..].iter().position(|byte| *byte > b' ').map(|skip| at + skip) {
            let Found { key, value, end, is_kept } = pair(record, start)?;
            shape = if is_kept { Parsed::Recovered } else { shape };
            (at, pairs, values) = (end, pairs + 1, values + usize::from(value.is_some()));
            if pairs > PAIRS_MAX {
                return Err(Reject::new(start, "the line has more pairs than are read"));
            }
            let value = match value {
                Some(value) => match self.set(row, key, &value) {
                    true => continue,
                    false => Some(value),
                },
                None => None,
            };
            others.push((key, value));
        }
        if values == 0 {
            return Err(Reject::new(0, "no key=value pair is on the line"));
        }
        if !others.is_empty() {
            match others.len() {
                ..=PAIRS_FEW => row.write(app::FIELDS, |out| write_object(&others, out)),
                _ => row.owned(app::FIELDS, &object(&others)),
            }
        }
        self.defaults.fill(row);
        Ok(shape)
    }
}

impl Logfmt {
    /// Sets the column of a key; false where it has none, or has one already, or the value does not fit it.
    fn set(&self, row: &mut Row<'_>, key: &[u8], value: &[u8]) -> bool {
        let Some((_, column)) = KEYS.iter().find(|(known, _)| known.as_bytes().first() == key.first() && known.as_bytes() == key) else {
            return false;
        };
        if row.cell(*column) != Cell::Null || value.is_empty() {
            return false;
        }
        match *column {
            app::TIME => match micros(value, self.defaults.zone) {
                Some(micros) => row.time(app::TIME, micros),
                None => return false,
            },
            app::LEVEL => app::set_level(row, value),
            // A router's time of service, as `service=12ms`.
            app::SERVICE if value.ends_with(b"ms") && value[0].is_ascii_digit() => return false,
            app::MESSAGE => app::set_message(row, value),
            column => row.text(column, value),
        }
        true
    }
}

/// A pair as it stands on a line.
struct Found<'a> {
    key: &'a [u8],
    value: Option<Cow<'a, [u8]>>,
    /// Where it ends.
    end: usize,
    /// Whether the value was kept as it is written, because its escapes are none that are known.
    is_kept: bool,
}

/// The pair that starts at `start`.
fn pair(record: &[u8], start: usize) -> Result<Found<'_>, Reject> {
    let rest = &record[start..];
    let key_end = rest.iter().position(|byte| *byte <= b' ' || matches!(byte, b'=' | b'"')).unwrap_or(rest.len());
    let at = start + key_end;
    let key = &rest[..key_end];
    match record.get(at) {
        Some(b'"') => return Err(Reject::new(at, "a quote stands where a key or a space should")),
        Some(b'=') if key.is_empty() => return Err(Reject::new(at, "a value has no key")),
        Some(b'=') => {}
        _ => return Ok(Found { key, value: None, end: at, is_kept: false }),
    }
    if record.get(at + 1) != Some(&b'"') {
        let value = &record[at + 1..];
        let end = value.iter().position(|byte| *byte <= b' ').unwrap_or(value.len());
        return match memchr(b'"', &value[..end]) {
            Some(quote) => Err(Reject::new(at + 1 + quote, "a quote stands inside a value that is not quoted")),
            None => Ok(Found { key, value: Some(Cow::Borrowed(&value[..end])), end: at + 1 + end, is_kept: false }),
        };
    }
    let end = quoted_end(record, at + 1).ok_or_else(|| Reject::new(at + 1, "a quoted value has no end"))?;
    let (value, is_kept) = match string(&record[..end], at + 1) {
        Ok((value, _)) => (value, false),
        Err(_) => (Cow::Borrowed(&record[at + 2..end - 1]), true),
    };
    match record.get(end) {
        None | Some(..=b' ') => Ok(Found { key, value: Some(value), end, is_kept }),
        Some(_) => Err(Reject::new(end, "no space follows a quoted value")),
    }
}

/// Where the quoted value that starts at `start` ends, after its quote.
fn quoted_end(record: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match record.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// A time in ISO 8601, or in seconds, milliseconds, microseconds or nanoseconds since 1970 by its size.
fn micros(text: &[u8], zone: Zone) -> Option<i64> {
    const SECONDS_DIGITS: usize = 10;
    if let Some(micros) = zone.iso_micros(text) {
        return Some(micros);
    }
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits < text.len() || digits <= SECONDS_DIGITS {
        return epoch_seconds_micros(text).filter(|_| digits >= SECONDS_DIGITS - 1);
    }
    let number: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(match digits {
        11..=13 => number.checked_mul(1_000)?,
        14..=16 => number,
        _ => number / 1_000,
    })
}

/// Adds a few pairs as a JSON object, keys in the order in which they first came.
fn write_object(pairs: &[Pair<'_>], out: &mut String) {
    let from = out.len();
    for (n, (key, value)) in pairs.iter().enumerate() {
        if pairs[..n].iter().any(|(before, _)| before == key) {
            continue;
        }
        app::name_of(out, from, &text(key));
        let mut more = pairs[n + 1..].iter().filter(|(after, _)| after == key).peekable();
        if more.peek().is_none() {
            write_value(value, out);
            continue;
        }
        out.push('[');
        write_value(value, out);
        for (_, value) in more {
            out.push(',');
            write_value(value, out);
        }
        out.push(']');
    }
    app::close(out, from);
}

fn write_value(value: &Option<Cow<'_, [u8]>>, out: &mut String) {
    match value {
        Some(value) => app::string(out, &text(value)),
        None => out.push_str("true"),
    }
}

/// The text that bytes are; nearly all are text as they stand.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// Pairs as a JSON object, keys in the order in which they first came.
fn object(pairs: &[Pair<'_>]) -> String {
    let quoted = |text: &[u8]| serde_json::to_string(&String::from_utf8_lossy(text)).unwrap_or_default();
    let shown = |value: &Option<Cow<'_, [u8]>>| value.as_ref().map_or_else(|| "true".to_owned(), |value| quoted(value));
    let mut grouped: Vec<(&[u8], Vec<String>)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for (key, value) in pairs {
        let place = *places.entry(*key).or_insert(grouped.len());
        match grouped.get_mut(place) {
            Some((_, values)) => values.push(shown(value)),
            None => grouped.push((key, vec![shown(value)])),
        }
    }
    let members: Vec<String> = grouped
        .into_iter()
        .map(|(key, values)| match values.as_slice() {
            [value] => format!("{}:{value}", quoted(key)),
            values => format!("{}:[{}]", quoted(key), values.join(",")),
        })
        .collect();
    format!("{{{}}}", members.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Outcome, compile as compile_format, explain};
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    fn check(line: &str, expected: Expect) {
        let grammar = compile_format(&serde_json::json!({"name": "logfmt", "timezone": "Europe/Berlin"})).unwrap();
        let explained = explain(grammar.as_ref(), line.as_bytes());
        let mut shown = match &explained.outcome {
            Outcome::Reject { at, reason } => format!("reject at {at}: {reason}\n"),
            outcome => format!("{outcome:?}\n"),
        };
        for (column, value) in &explained.columns {
            if let Some(value) = value {
                shown += &format!("{}: {value}\n", column.name);
            }
        }
        expected.assert_eq(&shown);
    }

    #[test]
    fn pairs_of_every_kind() {
        check(
            "at=info service=12ms status=200",
            expect![[r#"
            Row { mark: None, extra: None }
            fields: {"at":"info","service":"12ms","status":"200"}
        "#]],
        );
        check(
            EXAMPLES[0].text,
            expect![[r#"
            Row { mark: None, extra: None }
            time: 2026-02-06T10:00:38.123Z
            level: INFO
            level_original: info
            message: request done
            fields: {"caller":"main.go:42","method":"GET","status":"200","duration":"1.5ms","tls":true}
            template: request done
            fingerprint: 8002994312066880126
        "#]],
        );
        check(
            EXAMPLES[1].text,
            expect![[r#"
            Row { mark: None, extra: None }
            time: 2026-02-06T09:00:39Z
            level: ERROR
            level_original: error
            logger: pool
            message: cannot reach "db": timeout
            host: web-1
            fields: {"tag":["a","b"]}
            template: cannot reach "db": timeout
            fingerprint: -8581687969034748794
        "#]],
        );
        check(
            r#"time=2026-07-06T10:00:38 level=Notice message="" bare x= "#,
            expect![[r#"
            Row { mark: None, extra: None }
            time: 2026-07-06T08:00:38Z
            level: INFO
            level_original: Notice
            fields: {"message":"","bare":true,"x":""}
        "#]],
        );
        check(
            r#"ts=1700000000123 msg="bad \x1b escape" err=boom err="two words" flag flag"#,
            expect![[r#"
            Row { mark: Some("recovered"), extra: None }
            time: 2023-11-14T22:13:20.123Z
            message: bad \x1b escape
            fields: {"err":["boom","two words"],"flag":[true,true]}
            template: bad \x<*>b escape
            fingerprint: -5199007179845572619
        "#]],
        );
    }

    proptest! {
        #[test]
        fn few_pairs_and_many_make_the_same_object(pairs in proptest::collection::vec(("[ab\"é]{1,2}", proptest::option::of("[a\u{1}\"\\\\é]{0,3}")), 0..9)) {
            let bytes = |(key, value): &'_ (String, Option<String>)| (key.clone().into_bytes(), value.clone().map(String::into_bytes));
            let owned: Vec<_> = pairs.iter().map(bytes).collect();
            let pairs: Vec<Pair<'_>> = owned.iter().map(|(key, value)| (key.as_slice(), value.as_deref().map(Cow::Borrowed))).collect();
            let mut few = "before".to_owned();
            write_object(&pairs, &mut few);
            let many = if pairs.is_empty() { String::new() } else { object(&pairs) };
            prop_assert_eq!(few, format!("before{many}"));
        }
    }

    #[test]
    fn rejects_say_where_and_why() {
        check(
            "just words",
            expect![[r#"
            reject at 0: no key=value pair is on the line
        "#]],
        );
        check(
            "a=b \"c\"",
            expect![[r#"
            reject at 4: a quote stands where a key or a space should
        "#]],
        );
        check(
            "a=\"b",
            expect![[r#"
            reject at 2: a quoted value has no end
        "#]],
        );
        check(
            "a=\"b\"c=d",
            expect![[r#"
            reject at 5: no space follows a quoted value
        "#]],
        );
        check(
            "=b",
            expect![[r#"
            reject at 0: a value has no key
        "#]],
        );
        check(
            "a=b\"c",
            expect![[r#"
            reject at 3: a quote stands inside a value that is not quoted
        "#]],
        );
    }
}
