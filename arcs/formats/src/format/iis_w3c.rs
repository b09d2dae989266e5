//! Logs of Internet Information Services in the W3C extended format. Lines flow in; a row per request flows out. `#Fields`
//! lines say which values follow and in which order, and may come again in mid-file; `#Date` says the day of values that
//! have a time only. Values are separated by single spaces; the server writes `+` for a space and `-` for nothing.
//!
//! A line with more values than fields has a space where there ought to be none. It is read where only one text can hold
//! it, because numbers and times cannot lie; such a row is marked. A line with fewer values is cut.

use memchr::{memchr, memchr_iter, memmem};

use super::json_text::ObjectText;
use super::time::iso_micros;
use super::web_value::integer;
use super::{Column, Example, Format, FormatOption, Grammar, Headers, Layout, OptionKind, Options, Parsed, Problem, Reject, Scope, Values};
use crate::columns::{Kind, Row};

/// The format.
pub static FORMAT: Format = Format {
    name: "iis-w3c",
    summary: "access and error logs of Internet Information Services and HTTP.sys in the W3C extended format",
    page: "https://learn.microsoft.com/windows/win32/http/w3c-logging",
    options: OPTIONS,
    examples: EXAMPLES,
    compile,
};

const FIELDS: &str = "fields";

static OPTIONS: &[FormatOption] = &[FormatOption {
    name: FIELDS,
    kind: OptionKind::Text,
    meaning: "names of the values, as after #Fields, for logs in which no such line comes first; none if it is not set",
}];

use Kind::{Int32, Int64, Text, Time};
use Values::{Distinct, Repeating};

static COLUMNS: &[Column] = &[
    Column::fixed("time", Time, "", Repeating, "when the request was done, in UTC"),
    Column::fixed("s_sitename", Text, "", Repeating, "site that the request was for, as W3SVC1"),
    Column::fixed("s_computername", Text, "", Repeating, "name of the server"),
    Column::fixed("s_ip", Text, "", Repeating, "address of the server"),
    Column::fixed("cs_method", Text, "", Repeating, "method of the request"),
    Column::fixed("cs_uri_stem", Text, "", Distinct, "path of the request"),
    Column::fixed("cs_uri_query", Text, "", Distinct, "query of the request; null if there is none"),
    Column::fixed("s_port", Int32, "", Repeating, "port of the server"),
    Column::fixed("cs_username", Text, "", Repeating, "user; null if anonymous"),
    Column::fixed("c_ip", Text, "", Repeating, "address of the client"),
    Column::fixed("cs_version", Text, "", Repeating, "protocol of the request"),
    Column::fixed("cs_user_agent", Text, "", Repeating, "User-Agent header, with spaces for `+`"),
    Column::fixed("cs_cookie", Text, "", Distinct, "Cookie header, with spaces for `+`"),
    Column::fixed("cs_referer", Text, "", Repeating, "Referer header, with spaces for `+`"),
    Column::fixed("cs_host", Text, "", Repeating, "Host header"),
    Column::fixed("sc_status", Int32, "", Repeating, "HTTP status of the response"),
    Column::fixed("sc_substatus", Int32, "", Repeating, "what the server adds to the status, as the 7 of 404.7"),
    Column::fixed("sc_win32_status", Int64, "", Repeating, "Windows error code; 0 if there was none"),
    Column::fixed("sc_bytes", Int64, "bytes", Repeating, "bytes sent"),
    Column::fixed("cs_bytes", Int64, "bytes", Repeating, "bytes received"),
    Column::fixed("time_taken", Int64, "ms", Repeating, "time from the first byte received to the last byte sent"),
    Column::fixed("c_port", Int32, "", Repeating, "port of the client; in error logs"),
    Column::fixed("cs_uri", Text, "", Distinct, "path and query of the request; in error logs"),
    Column::fixed("s_siteid", Text, "", Repeating, "number of the site; in error logs"),
    Column::fixed("s_reason", Text, "", Repeating, "why the request failed; in error logs"),
    Column::fixed("s_queuename", Text, "", Repeating, "application pool that the request was for; in error logs"),
    Column::fixed("streamid", Text, "", Repeating, "number of the HTTP/2 stream"),
    Column::fixed("streamid_ex", Text, "", Repeating, "number of the HTTP/3 stream"),
    Column::fixed("transport", Text, "", Repeating, "TCP or QUIC; in error logs"),
    Column::fixed("x_session", Text, "", Repeating, "session; in FTP logs"),
    Column::fixed("x_fullpath", Text, "", Distinct, "path of the file; in FTP logs"),
    Column::fixed("x_debug", Text, "", Repeating, "what went wrong; in FTP logs"),
    Column::fixed("crypt_protocol", Text, "", Repeating, "TLS version, as the server numbers it"),
    Column::fixed("crypt_cipher", Text, "", Repeating, "TLS cipher, as the server numbers it"),
    Column::fixed("crypt_hash", Text, "", Repeating, "TLS hash, as the server numbers it"),
    Column::fixed("crypt_keyexchange", Text, "", Repeating, "TLS key exchange, as the server numbers it"),
];

static EXAMPLES: &[Example] = &[
    Example::plain(
        "#Software: Microsoft Internet Information Services 10.0\n#Version: 1.0\n#Date: 2026-02-06 00:00:38\n\
         #Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) sc-status sc-substatus sc-win32-status time-taken\n\
         2026-02-06 00:00:38 192.0.2.1 GET /a.aspx q=1 443 - 192.0.2.3 Mozilla/5.0+(Windows+NT+10.0) https://example.org/ 200 0 0 15\n",
    ),
    Example::plain(
        "#Fields: date time c-ip cs-uri-stem sc-status\n2026-02-06 00:00:38 192.0.2.3 /a 200\n\
         #Fields: date time sc-status c-ip X-Forwarded-For\n2026-02-06 00:00:39 404 2001:db8::1 192.0.2.9\n",
    ),
    Example {
        options: r#"{"fields": "date time c-ip c-port s-ip s-port cs-version cs-method cs-uri streamid sc-status s-siteid s-reason s-queuename"}"#,
        text: "2026-02-06 00:00:38 192.0.2.3 50112 192.0.2.1 443 - - - - - - Timer_ConnectionIdle -",
    },
];

/// What a value is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    Date,
    Time,
    /// The column with this number; with `+` for spaces.
    Known(usize, bool),
    /// A name that no column has.
    Unknown(String),
}

/// What header lines have said.
#[derive(Clone, Debug, Default)]
struct Heading {
    fields: Option<Vec<Field>>,
    /// The day, as `2026-02-06`.
    date: Option<String>,
}

/// The most fields that a header line may name.
const FIELDS_MAX: usize = 200;

/// Bytes of a value in which `+` is replaced without making room for it.
const PLUS_BYTES: usize = 512;

#[derive(Debug)]
struct Iis {
    /// What holds before any header line.
    heading: Heading,
}

fn compile(options: &Options<'_>) -> Result<Box<dyn Grammar>, Problem> {
    let fields = options.text(FIELDS).map(|text| fields(text.trim().trim_start_matches("#Fields:")));
    if fields.as_ref().is_some_and(|fields| !fields.contains(&Field::Time)) {
        return Err(Problem::new(FIELDS, "does not name `time`"));
    }
    Ok(Box::new(Iis { heading: Heading { fields, date: None } }))
}

/// The fields that a header line names. A name that comes again is none that is known.
fn fields(names: &str) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    for name in names.split_ascii_whitespace().take(FIELDS_MAX) {
        let field = field(name);
        let is_new = !fields.contains(&field);
        fields.push(if is_new { field } else { Field::Unknown(name.to_owned()) });
    }
    fields
}

fn field(name: &str) -> Field {
    let mut column = name.to_ascii_lowercase().replace('-', "_");
    if let Some(header) = column.strip_prefix("cs(").and_then(|rest| rest.strip_suffix(')')) {
        column = format!("cs_{}", if header == "referrer" { "referer" } else { header });
    }
    match (column.as_str(), COLUMNS.iter().position(|known| known.name == column)) {
        ("date", _) => Field::Date,
        ("time", _) => Field::Time,
        (name, Some(found)) => Field::Known(found, matches!(name, "cs_user_agent" | "cs_cookie" | "cs_referer")),
        (_, None) => Field::Unknown(name.to_owned()),
    }
}

impl Grammar for Iis {
    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn headers(&self) -> Headers {
        Headers::Prefixed("#")
    }

    fn layout(&self, header: &[u8], before: Option<&Layout>) -> Option<Layout> {
        let header = std::str::from_utf8(header).ok()?;
        let before = before.and_then(|layout| layout.downcast_ref::<Heading>()).unwrap_or(&self.heading);
        let (name, text) = header.split_once(':')?;
        let heading = match name.trim() {
            "#Fields" => Heading { fields: Some(fields(text)), ..before.clone() },
            "#Date" => Heading { date: text.trim().get(..10).map(str::to_owned), ..before.clone() },
            _ => return None,
        };
        Some(std::sync::Arc::new(heading))
    }

    fn read(&self, record: &[u8], scope: &Scope<'_>, row: &mut Row<'_>) -> Result<Parsed, Reject> {
        let heading = scope.layout.and_then(|layout| layout.downcast_ref::<Heading>()).unwrap_or(&self.heading);
        let Some(fields) = &heading.fields else {
            return Err(Reject::new(0, "no #Fields line came before, and the option `fields` is not set"));
        };
        let record = record.trim_ascii_end();
        let values = memchr_iter(b' ', record).count() + 1;
        match values.cmp(&fields.len()) {
            std::cmp::Ordering::Equal => split(record, fields, heading, None, row).map(|()| Parsed::Row),
            std::cmp::Ordering::Less => split(record, fields.get(..values).unwrap_or_default(), heading, None, row).map(|()| Parsed::Cut),
            std::cmp::Ordering::Greater => recover(record, fields, heading, values - fields.len(), row),
        }
    }
}

/// Reads a line of as many values as there are fields; one field may hold some more spaces.
fn split(record: &[u8], fields: &[Field], heading: &Heading, holder: Option<(usize, usize)>, row: &mut Row<'_>) -> Result<(), Reject> {
    let (mut at, mut date, mut time) = (0, None, None);
    let mut others = ObjectText::default();
    for (n, field) in fields.iter().enumerate() {
        let spaces = holder.filter(|(holder, _)| *holder == n).map_or(0, |(_, spaces)| spaces);
        let rest = record.get(at..).unwrap_or_default();
        let len = match spaces {
            0 => memchr(b' ', rest).unwrap_or(rest.len()),
            spaces => memchr_iter(b' ', rest).nth(spaces).unwrap_or(rest.len()),
        };
        let value = &rest[..len];
        match field {
            _ if value.is_empty() => return Err(Reject::new(at, "a value is empty: two spaces in a row")),
            Field::Date => date = Some((at, value)),
            Field::Time => time = Some((at, value)),
            Field::Known(column, has_plus) => set(*column, *has_plus, value, row).map_err(|reason| Reject::new(at, reason))?,
            Field::Unknown(name) if value != b"-" => others.add_text(name.as_bytes(), value),
            Field::Unknown(_) => {}
        }
        at += len + 1;
    }
    if let Some(others) = others.finish() {
        row.set_extra(&others);
    }
    set_time(record, date, time, heading, row)
}

/// Sets the time from date and time of day, which mostly stand side by side.
fn set_time(
    record: &[u8],
    date: Option<(usize, &[u8])>,
    time: Option<(usize, &[u8])>,
    heading: &Heading,
    row: &mut Row<'_>,
) -> Result<(), Reject> {
    let (at, time) = time.ok_or_else(|| Reject::new(0, "the line has no time"))?;
    let micros = match date {
        Some((start, date)) if start + date.len() + 1 == at => iso_micros(&record[start..at + time.len()], 0),
        Some((_, date)) => iso_micros(&[date, b" ", time].concat(), 0),
        None => {
            let date =
                heading.date.as_ref().ok_or_else(|| Reject::new(at, "the time has no date: neither a field nor a #Date line says it"))?;
            iso_micros(&[date.as_bytes(), b" ", time].concat(), 0)
        }
    };
    row.time(0, micros.ok_or_else(|| Reject::new(at, "date and time are none like 2026-02-06 00:00:38"))?);
    Ok(())
}

#[inline]
fn set(column: usize, has_plus: bool, value: &[u8], row: &mut Row<'_>) -> Result<(), String> {
    if value == b"-" {
        return Ok(());
    }
    let Column { kind, name, .. } = &COLUMNS[column];
    match kind {
        Text if has_plus && value.contains(&b'+') => set_with_spaces(column, value, row),
        Text => row.text(column, value),
        _ => {
            let is_fit = |value: &i64| *kind == Int64 || i32::try_from(*value).is_ok();
            let number = integer(value).filter(is_fit).ok_or_else(|| format!("`{name}` is not a whole number"))?;
            row.int(column, number);
        }
    }
    Ok(())
}

/// Sets a text with spaces for `+`.
fn set_with_spaces(column: usize, value: &[u8], row: &mut Row<'_>) {
    let mut room = [0; PLUS_BYTES];
    match room.get_mut(..value.len()) {
        Some(text) => {
            text.copy_from_slice(value);
            text.iter_mut().filter(|byte| **byte == b'+').for_each(|byte| *byte = b' ');
            row.text(column, text);
        }
        None => row.owned(column, &String::from_utf8_lossy(value).replace('+', " ")),
    }
}

/// Reads a line with more values than fields: one text holds all of the surplus spaces. Which one has to be clear.
fn recover(record: &[u8], fields: &[Field], heading: &Heading, spaces: usize, row: &mut Row<'_>) -> Result<Parsed, Reject> {
    let is_text = |field: &Field| matches!(field, Field::Known(column, _) if COLUMNS[*column].kind == Text);
    let holders: Vec<usize> = (0..fields.len()).filter(|n| is_text(&fields[*n])).collect();
    // Only where spaces end matters for the tries; texts are set once, at the end.
    let fits = |n: &usize| are_fit(record, fields, *n, spaces);
    let mut fit = holders.into_iter().filter(fits);
    match (fit.next(), fit.next()) {
        (Some(holder), None) => {
            row.clear();
            split(record, fields, heading, Some((holder, spaces)), row).map(|()| Parsed::Recovered)
        }
        (Some(_), Some(_)) => Err(Reject::new(0, "the line has more values than #Fields names, and which one holds spaces cannot be told")),
        (None, _) => Err(Reject::new(0, "the line has more values than #Fields names")),
    }
}

/// Whether the numbers, addresses and times of a line are some if the field `holder` holds so many spaces.
fn are_fit(record: &[u8], fields: &[Field], holder: usize, spaces: usize) -> bool {
    let mut rest = record;
    for (n, field) in fields.iter().enumerate() {
        let mut ends = memchr_iter(b' ', rest);
        let end = ends.nth(if n == holder { spaces } else { 0 }).unwrap_or(rest.len());
        let value = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        let is_fit = match field {
            _ if value.is_empty() => false,
            _ if value == b"-" => n != holder,
            // A dash that stands alone is a value of its own.
            _ if value.starts_with(b"- ") || value.ends_with(b" -") => false,
            Field::Known(column, _) => match &*COLUMNS[*column].name {
                "s_ip" | "c_ip" => value.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':' | b'%')),
                "cs_method" => value.iter().all(u8::is_ascii_uppercase),
                "cs_uri_stem" => value.starts_with(b"/") || value == b"*",
                "cs_version" => value.starts_with(b"HTTP/"),
                "cs_referer" => memmem::find(value, b"://").is_some(),
                _ => COLUMNS[*column].kind == Text || integer(value).is_some(),
            },
            Field::Date => value.len() == 10 && value[4] == b'-',
            Field::Time => value.len() >= 8 && value[2] == b':',
            Field::Unknown(_) => true,
        };
        if !is_fit {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::shown::{grammar, problem, shown};
    use expect_test::{Expect, expect};
    use serde_json::json;

    const HEAD: &str = "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) sc-status sc-substatus sc-win32-status time-taken\n";
    const START: &str = "2026-02-06 00:00:38 192.0.2.1 GET";

    fn check(text: &str, expected: Expect) {
        expected.assert_eq(&shown(grammar(json!("iis-w3c")).as_ref(), text));
    }

    #[test]
    fn plain_lines() {
        check(
            &format!(
                "#Version: 1.0\n{HEAD}{START} /a+b q=1+2 443 ann+b 2001:db8::1%3 a+(b;+c) https://example.org/+ 404 7 2148074254 15\r\n"
            ),
            expect![[r#"
                Header
                Header
                row
                  time: 2026-02-06T00:00:38Z
                  s_ip: 192.0.2.1
                  cs_method: GET
                  cs_uri_stem: /a+b
                  cs_uri_query: q=1+2
                  s_port: 443
                  cs_username: ann+b
                  c_ip: 2001:db8::1%3
                  cs_user_agent: a (b; c)
                  cs_referer: https://example.org/ 
                  sc_status: 404
                  sc_substatus: 7
                  sc_win32_status: 2148074254
                  time_taken: 15
            "#]],
        );
    }

    #[test]
    fn fields_change_in_mid_file() {
        check(
            "#Fields: time c-ip cs(Cookie) x-new sc-status sc-status\n00:00:01 192.0.2.3 a=1;+b=2 n 200 0\n#Date: 2026-02-06 12:00:00\n\
             00:00:01 192.0.2.3 a=1;+b=2 n 200 0\n#Fields: time date sc-bytes\n00:00:02.5 2026-02-07 9\n#Remark: done",
            expect![[r#"
                Header
                reject at 0 `00:00:01 192.0.2.3 a=1;+b=2 n 200 0`: the time has no date: neither a field nor a #Date line says it
                Header
                row
                  time: 2026-02-06T00:00:01Z
                  c_ip: 192.0.2.3
                  cs_cookie: a=1; b=2
                  sc_status: 200
                  extra: {"x-new":"n","sc-status":"0"}
                Header
                row
                  time: 2026-02-07T00:00:02.500Z
                  sc_bytes: 9
                Header
            "#]],
        );
    }

    #[test]
    fn spaces_where_none_ought_to_be() {
        check(
            &format!("{HEAD}{START} /a - 443 - 192.0.2.3 Mozilla/5.0 (X 11) - 200 0 0 15"),
            expect![[r#"
                Header
                recovered
                  time: 2026-02-06T00:00:38Z
                  s_ip: 192.0.2.1
                  cs_method: GET
                  cs_uri_stem: /a
                  s_port: 443
                  c_ip: 192.0.2.3
                  cs_user_agent: Mozilla/5.0 (X 11)
                  sc_status: 200
                  sc_substatus: 0
                  sc_win32_status: 0
                  time_taken: 15
            "#]],
        );
        check(
            &format!("{HEAD}{START} /a b - 443 - 192.0.2.3 - - 200 0 0 15"),
            expect![[r#"
                Header
                recovered
                  time: 2026-02-06T00:00:38Z
                  s_ip: 192.0.2.1
                  cs_method: GET
                  cs_uri_stem: /a b
                  s_port: 443
                  c_ip: 192.0.2.3
                  sc_status: 200
                  sc_substatus: 0
                  sc_win32_status: 0
                  time_taken: 15
            "#]],
        );
        check(
            &format!("{HEAD}{START} /a x=1 2 443 - 192.0.2.3 - - 200 0 0 15"),
            expect![[r#"
                Header
                reject at 0 `2026-02-06 00:00:38 192.0.2.1 GET /a x=1`: the line has more values than #Fields names, and which one holds spaces cannot be told
            "#]],
        );
        check(
            &format!("{HEAD}{START} /a - 443 - 192.0.2.3 a b c 200 0 0 15 99"),
            expect![[r#"
                Header
                reject at 0 `2026-02-06 00:00:38 192.0.2.1 GET /a - 4`: the line has more values than #Fields names
            "#]],
        );
    }

    #[test]
    fn lines_that_end_too_early() {
        check(
            &format!("{HEAD}{START} /a - 443 - 192.0.2.3 a"),
            expect![[r#"
            Header
            cut
              time: 2026-02-06T00:00:38Z
              s_ip: 192.0.2.1
              cs_method: GET
              cs_uri_stem: /a
              s_port: 443
              c_ip: 192.0.2.3
              cs_user_agent: a
        "#]],
        );
        check(
            &format!("{HEAD}2026-02-06"),
            expect![[r#"
                Header
                reject at 0 `2026-02-06`: the line has no time
            "#]],
        );
    }

    #[test]
    fn rejects_say_where_and_why() {
        check(
            "2026-02-06 00:00:38 x",
            expect![[r#"
                reject at 0 `2026-02-06 00:00:38 x`: no #Fields line came before, and the option `fields` is not set
            "#]],
        );
        check(
            &format!("{HEAD}{START} /a - https - 192.0.2.3 a - 200 0 0 15"),
            expect![[r#"
                Header
                reject at 39 `https - 192.0.2.3 a - 200 0 0 15`: `s_port` is not a whole number
            "#]],
        );
        check(
            &format!("{HEAD}{START} /a - 4430000000000 - 192.0.2.3 a - 200 0 0 15"),
            expect![[r#"
                Header
                reject at 39 `4430000000000 - 192.0.2.3 a - 200 0 0 15`: `s_port` is not a whole number
            "#]],
        );
        check(
            &format!("{HEAD}{START}  - 443 - 192.0.2.3 a - 200 0 0 15"),
            expect![[r#"
                Header
                reject at 34 ` - 443 - 192.0.2.3 a - 200 0 0 15`: a value is empty: two spaces in a row
            "#]],
        );
        check(
            "#Fields: date time\n2026-02-30 00:00:38",
            expect![[r#"
                Header
                reject at 11 `00:00:38`: date and time are none like 2026-02-06 00:00:38
            "#]],
        );
        check(
            "#Fields:\nx",
            expect![[r#"
                Header
                reject at 0 `x`: the line has more values than #Fields names
            "#]],
        );
        assert_eq!(problem(json!({"name": "iis-w3c", "fields": "date c-ip"})), "fields: does not name `time`");
    }

    #[test]
    fn long_headers_are_whole() {
        let agent = "a+".repeat(PLUS_BYTES);
        let text = format!("#Fields: date time cs(User-Agent)\n2026-02-06 00:00:38 {agent}");
        assert!(shown(grammar(json!("iis-w3c")).as_ref(), &text).contains(&"a ".repeat(PLUS_BYTES)));
    }
}
