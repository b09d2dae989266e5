//! Access logs of nginx, by its `log_format`: a line flows in, a column per variable flows out. A format that is a flat
//! JSON object, with `escape=json`, is read as JSON; others, nested JSON among them, by their literals.

use memchr::memchr;

use super::json_fields::members;
use super::json_text::ObjectText;
use super::names::snake;
use super::nginx_variables::{name_time, variable};
use super::web_template::{Holds, Piece, Template, Value};
use super::web_value::{Reading, Writes};
use super::zone::Zone;
use super::{Column, Example, Format, FormatOption, Grammar, OptionKind, Options, Parsed, Problem, Reject, Scope, TIME_COLUMN};
use crate::columns::Row;

/// The format.
pub static FORMAT: Format = Format {
    name: "nginx",
    summary: "access logs of nginx in its combined format, or by a log_format",
    page: "https://nginx.org/en/docs/http/ngx_http_log_module.html",
    options: OPTIONS,
    examples: EXAMPLES,
    compile,
};

const LOG_FORMAT: &str = "logFormat";

static OPTIONS: &[FormatOption] = &[FormatOption {
    name: LOG_FORMAT,
    kind: OptionKind::Text,
    meaning: "log_format of the configuration: its text, or its quoted pieces, after escape=default, escape=json or escape=none if it has one",
}];

const COMBINED: &str =
    r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#;

static EXAMPLES: &[Example] = &[
    Example::plain("192.0.2.3 - - [06/Feb/2026:00:00:38 +0000] \"GET /a?b=c HTTP/1.1\" 200 612 \"-\" \"curl/8.5.0 \\x22x\\x22\""),
    Example::plain("2001:db8::1 - ann [06/Feb/2026:01:00:38 +0100] \"\\x16\\x03\\x01\\x02\\x00\" 400 157 \"-\" \"-\""),
    Example {
        options: r#"{"logFormat": "'$remote_addr [$time_local] \"$request\" $status ' '$request_time $upstream_response_time $pipe'"}"#,
        text: "192.0.2.3 [06/Feb/2026:00:00:38 +0000] \"GET / HTTP/1.1\" 502 0.350 0.1, 0.2 : 0.05 .",
    },
    Example {
        options: r#"{"logFormat": "escape=json '{\"ts\":\"$time_iso8601\",\"request\":\"$request\",' '\"status\":$status,\"up\":\"$upstream_addr\"}'"}"#,
        text: "{\"ts\":\"2026-02-06T00:00:38+00:00\",\"request\":\"GET /\\\"a\\\" HTTP/1.1\",\"status\":200,\"up\":\"\"}",
    },
    // Layouts that many use, for detection: of the packages, with times, and of the Kubernetes ingress.
    Example {
        options: r#"{"logFormat":"$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\" \"$http_x_forwarded_for\""}"#,
        text: "192.0.2.3 - - [06/Feb/2026:00:00:38 +0000] \"GET /a?b=c HTTP/1.1\" 200 612 \"-\" \"curl/8.5.0\" \"192.0.2.9, 10.0.0.1\"",
    },
    Example {
        options: r#"{"logFormat":"$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\" \"$http_x_forwarded_for\" $request_time $upstream_response_time"}"#,
        text: "192.0.2.3 - - [06/Feb/2026:00:00:38 +0000] \"GET /a?b=c HTTP/1.1\" 200 612 \"-\" \"curl/8.5.0\" \"-\" 0.350 0.348",
    },
    Example {
        options: r#"{"logFormat":"$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\" $request_length $request_time [$proxy_upstream_name] [$proxy_alternative_upstream_name] $upstream_addr $upstream_response_length $upstream_response_time $upstream_status $req_id"}"#,
        text: "192.0.2.3 - - [06/Feb/2026:00:00:38 +0000] \"GET /a?b=c HTTP/1.1\" 200 612 \"-\" \"curl/8.5.0\" 512 0.350 [default-shop-80] [] 10.0.0.1:8080 612 0.348 200 0f1e2d3c4b5a69788796a5b4c3d2e1f0",
    },
];

fn compile(options: &Options<'_>) -> Result<Box<dyn Grammar>, Problem> {
    let refused = |message: String| Problem::new(LOG_FORMAT, message);
    let (writes, letters) = letters(options.text(LOG_FORMAT).unwrap_or(COMBINED)).map_err(refused)?;
    let pieces = pieces(&letters, writes).map_err(refused)?;
    if let Some(shape) = JsonShape::of(&pieces).filter(|_| writes == Writes::Json) {
        return shape.grammar(pieces);
    }
    Ok(Box::new(Lines(Template::new(timed(pieces), writes, Zone::UTC, LOG_FORMAT)?)))
}

/// A format that is read by its literals.
#[derive(Debug)]
struct Lines(Template);

impl Grammar for Lines {
    fn columns(&self) -> &[Column] {
        self.0.columns()
    }

    fn read(&self, record: &[u8], _: &Scope<'_>, row: &mut Row<'_>) -> Result<Parsed, Reject> {
        self.0.read(record, row)
    }
}

/// The letters of a format, each with the byte of the option that it stands at: quotes around pieces and escapes are gone.
type Letters = Vec<(char, usize)>;

/// Takes `log_format NAME`, `escape=…`, quotes and the semicolon off.
fn letters(text: &str) -> Result<(Writes, Letters), String> {
    let mut rest = text.trim();
    let mut is_directive = false;
    if let Some(after) = rest.strip_prefix("log_format").filter(|after| after.starts_with(char::is_whitespace)) {
        rest = after.trim_start().split_once(char::is_whitespace).map_or("", |(_, rest)| rest.trim_start());
        is_directive = true;
    }
    let mut writes = Writes::Escaped;
    if let Some(after) = rest.strip_prefix("escape=") {
        let (word, after) = after.split_once(char::is_whitespace).unwrap_or((after, ""));
        writes = match word {
            "default" => Writes::Escaped,
            "json" => Writes::Json,
            "none" => Writes::Raw,
            _ => return Err(format!("escape is `default`, `json` or `none`, not `{word}`")),
        };
        rest = after.trim_start();
        is_directive = true;
    }
    let start = text.trim_end().len() - rest.len();
    let all: Letters = rest.char_indices().map(|(at, letter)| (letter, start + at)).collect();
    let letters = match rest.chars().next() {
        Some('\'') => unquoted(&all)?,
        // Without single quotes, a double quote may as well be the first letter of the format.
        Some('"') if is_directive => unquoted(&all).unwrap_or(all),
        _ => all,
    };
    Ok((writes, letters))
}

/// The letters inside quoted pieces, one after the other.
fn unquoted(all: &[(char, usize)]) -> Result<Letters, String> {
    let (mut inside, mut letters) = (None, Letters::new());
    let mut rest = all.iter().copied();
    while let Some((letter, at)) = rest.next() {
        match inside {
            None if letter.is_whitespace() || letter == ';' => {}
            None if letter == '\'' || letter == '"' => inside = Some((letter, at)),
            None => return Err(format!("byte {at}: neither a quote nor the end follows a quoted piece")),
            Some((quote, _)) if quote == letter => inside = None,
            Some(_) if letter == '\\' => {
                let (escape, _) = rest.next().unwrap_or(('\\', at));
                match escape {
                    't' => letters.push(('\t', at)),
                    'n' => letters.push(('\n', at)),
                    'r' => letters.push(('\r', at)),
                    '\\' | '"' | '\'' => letters.push((escape, at)),
                    _ => letters.extend([('\\', at), (escape, at)]),
                }
            }
            Some(_) => letters.push((letter, at)),
        }
    }
    match inside {
        Some((_, at)) => Err(format!("byte {at}: a quoted piece has no end")),
        None => Ok(letters),
    }
}

/// Literals and variables, in their order.
fn pieces(letters: &[(char, usize)], writes: Writes) -> Result<Vec<Piece>, String> {
    let (mut pieces, mut literal, mut n) = (Vec::new(), String::new(), 0);
    while let Some((letter, at)) = letters.get(n).copied() {
        n += 1;
        if letter != '$' {
            literal.push(letter);
            continue;
        }
        let is_braced = letters.get(n).is_some_and(|(letter, _)| *letter == '{');
        n += usize::from(is_braced);
        let rest = letters[n..].iter().map(|(letter, _)| *letter);
        let name: String = rest.take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect();
        n += name.len();
        if name.is_empty() || (is_braced && letters.get(n).is_none_or(|(letter, _)| *letter != '}')) {
            return Err(format!("byte {at}: no name of a variable follows `$`"));
        }
        n += usize::from(is_braced);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
        }
        let value = variable(&name, format!("${name}"), at, writes);
        match pieces.last_mut() {
            Some(Piece::Value(last)) if is_one_with(last, &name) => join(last, &value),
            _ => pieces.push(Piece::Value(value)),
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

/// Whether a variable that follows another without a literal makes one value with it, such as a path and its arguments.
fn is_one_with(left: &Value, right: &str) -> bool {
    match right {
        "is_args" => left.name.ends_with("uri"),
        "args" | "query_string" => left.name.ends_with("is_args"),
        "request_uri" | "uri" => matches!(left.name.as_str(), "host" | "http_host" | "server_name"),
        _ => false,
    }
}

fn join(left: &mut Value, right: &Value) {
    left.shown.push_str(&right.shown);
    left.name = format!("{}_{}", left.name, right.name);
    left.meaning = format!("{} as one text", left.shown).into();
    *left = Value { is_empty_allowed: false, holds: Holds::Spaces, reading: Reading::Text, ..left.clone() };
}

/// Names the time of the event, and reads `[$time_local]` with its brackets, which is faster.
fn timed(mut pieces: Vec<Piece>) -> Vec<Piece> {
    name_time(pieces.iter_mut().filter_map(Piece::value_mut));
    for n in 1..pieces.len().saturating_sub(1) {
        let [Piece::Literal(before), Piece::Value(value), Piece::Literal(after)] = &mut pieces[n - 1..n + 2] else { continue };
        if matches!(value.reading, Reading::Part(..)) && before.ends_with('[') && after.starts_with(']') {
            before.pop();
            after.remove(0);
            value.reading = Reading::Clf;
        }
    }
    pieces
}

/// A format that is a flat JSON object: its keys, and what their values are.
struct JsonShape(Vec<(String, Place)>);

/// What the value of a member is.
#[derive(Clone, Debug)]
enum Place {
    /// This text.
    Constant(Vec<u8>),
    /// The variable with this number.
    Variable(usize),
}

/// Stands around the number of a variable in a format that is looked at as JSON.
const MARK: char = '\u{1}';

impl JsonShape {
    /// The shape, if the pieces make a JSON object whose values are a variable or a constant each.
    fn of(pieces: &[Piece]) -> Option<JsonShape> {
        let (mut text, mut is_inside, mut n) = (String::new(), false, 0);
        for piece in pieces {
            match piece {
                Piece::Literal(literal) => {
                    let mut is_escaped = false;
                    for letter in literal.chars() {
                        is_inside ^= letter == '"' && !is_escaped;
                        is_escaped = letter == '\\' && !is_escaped;
                    }
                    text.push_str(literal);
                }
                Piece::Value(_) => {
                    let quote = if is_inside { "" } else { "\"" };
                    text.push_str(&format!("{quote}{MARK}{n}{MARK}{quote}"));
                    n += 1;
                }
            }
        }
        let mut keys = Vec::new();
        let end = members(text.as_bytes(), |key, value| {
            let value = value.into_text().unwrap_or_default();
            let place = match number(&value) {
                Some(n) => Place::Variable(n),
                None if memchr(MARK as u8, &value).is_none() => Place::Constant(value.into_owned()),
                None => return Err(Reject::new(0, "a value is more than one variable")),
            };
            keys.push((String::from_utf8_lossy(&key).into_owned(), place));
            Ok(())
        });
        end.ok().filter(|end| text[*end..].trim().is_empty()).map(|_| JsonShape(keys))
    }

    /// The grammar: columns are named by the keys and typed by the variables.
    fn grammar(self, mut pieces: Vec<Piece>) -> Result<Box<dyn Grammar>, Problem> {
        let mut values: Vec<&mut Value> = pieces.iter_mut().filter_map(Piece::value_mut).collect();
        name_time(values.iter_mut().map(|value| &mut **value));
        for (key, place) in &self.0 {
            let Place::Variable(n) = place else { continue };
            if let Some(value) = values.get_mut(*n).filter(|value| value.name != TIME_COLUMN) {
                value.name = snake(key);
            }
        }
        let template = Template::new(pieces, Writes::Json, Zone::UTC, LOG_FORMAT)?;
        Ok(Box::new(JsonLines { keys: self.0, template }))
    }
}

/// The number of the variable that a value is and nothing else.
fn number(value: &[u8]) -> Option<usize> {
    let inside = std::str::from_utf8(value).ok()?.strip_prefix(MARK)?.strip_suffix(MARK)?;
    inside.parse().ok()
}

/// A format that is a JSON object.
#[derive(Debug)]
struct JsonLines {
    /// The keys in their order, and which value of the template each is.
    keys: Vec<(String, Place)>,
    template: Template,
}

impl Grammar for JsonLines {
    fn columns(&self) -> &[Column] {
        self.template.columns()
    }

    fn read(&self, record: &[u8], _: &Scope<'_>, row: &mut Row<'_>) -> Result<Parsed, Reject> {
        let Err(failed) = self.read_members(record, row) else { return Ok(Parsed::Row) };
        // A variable without quotes that is empty, as an upstream time, leaves no JSON.
        row.clear();
        match self.template.read(record, row) {
            Ok(Parsed::Row) => Ok(Parsed::Recovered),
            Ok(shape) => Ok(shape),
            Err(_) => Err(failed),
        }
    }
}

impl JsonLines {
    fn read_members(&self, record: &[u8], row: &mut Row<'_>) -> Result<(), Reject> {
        let (mut next, mut others) = (0, ObjectText::default());
        let end = members(record, |key, value| {
            let is_next = self.keys.get(next).is_some_and(|(known, _)| known.as_bytes() == &key[..]);
            let found = if is_next { Some(next) } else { self.keys.iter().position(|(known, _)| known.as_bytes() == &key[..]) };
            next = found.map_or(next, |n| n + 1);
            match found.and_then(|n| self.keys.get(n)) {
                Some((_, Place::Variable(n))) => match value.into_text() {
                    Some(text) => self.template.set(*n, &text, row).map_err(|reject| Reject { at: place(record, &text), ..reject }),
                    None => Ok(()),
                },
                Some((_, Place::Constant(constant))) if value.clone().into_text().as_deref() == Some(constant) => Ok(()),
                _ => {
                    others.add(&key, &value);
                    Ok(())
                }
            }
        })?;
        if !record[end..].trim_ascii().is_empty() {
            return Err(Reject::new(end, "something follows the JSON object"));
        }
        if let Some(others) = others.finish() {
            row.set_extra(&others);
        }
        Ok(())
    }
}

/// Where a value stands in the record; 0 where it is not a piece of it.
fn place(record: &[u8], value: &[u8]) -> usize {
    let at = (value.as_ptr() as usize).checked_sub(record.as_ptr() as usize);
    at.filter(|at| *at <= record.len()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::shown::{columns, grammar, problem, sample, shown};
    use crate::format::{Outcome, explain_all};
    use expect_test::{Expect, expect};
    use serde_json::json;

    fn check(line: &str, expected: Expect) {
        expected.assert_eq(&shown(grammar(json!("nginx")).as_ref(), line));
    }

    fn check_by(format: &str, text: &str, expected: Expect) {
        expected.assert_eq(&shown(grammar(json!({"name": "nginx", "logFormat": format})).as_ref(), text));
    }

    #[test]
    fn combined_lines() {
        check(
            r#"192.0.2.3 - ann [06/Feb/2026:01:00:38 +0100] "GET /\x22a\x22 HTTP/2.0" 200 612 "-" "x\x5Cy \xD0\x98""#,
            expect![[r#"
            row
              remote_addr: 192.0.2.3
              remote_user: ann
              time: 2026-02-06T00:00:38Z
              request: GET /"a" HTTP/2.0
              method: GET
              request_uri: /"a"
              protocol: HTTP/2.0
              status: 200
              body_bytes_sent: 612
              http_user_agent: x\y И
        "#]],
        );
        check(
            r#"192.0.2.3 - - [06/Feb/2026:01:00:38 +0100] "-" 000 0 "" "-" "-""#,
            expect![[r#"
            row
              remote_addr: 192.0.2.3
              time: 2026-02-06T00:00:38Z
              status: 0
              body_bytes_sent: 0
              http_referer: 
              extra: ["-"]
        "#]],
        );
        check(
            r#"192.0.2.3 - a b [06/Feb/2026:01:00:38 +0100] "\x16\x03\xFC" 400 0 "-" "-""#,
            expect![[r#"
            recovered
              remote_addr: 192.0.2.3
              remote_user: a b
              time: 2026-02-06T00:00:38Z
              request: \xfc
              status: 400
              body_bytes_sent: 0
        "#]],
        );
        check(
            r#"unix: - - [06/Feb/2026:01:00:38 +0100] "GET / HTTP/1.1" 499 0 "-" "cut he"#,
            expect![[r#"
            cut
              remote_addr: unix:
              time: 2026-02-06T00:00:38Z
              request: GET / HTTP/1.1
              method: GET
              request_uri: /
              protocol: HTTP/1.1
              status: 499
              body_bytes_sent: 0
              http_user_agent: cut he
        "#]],
        );
    }

    #[test]
    fn rejects_say_where_and_why() {
        check(
            "rubbish",
            expect![[r#"
                reject at 7 ``: the line ends in `$remote_addr`
            "#]],
        );
        check(
            r#"shop.example.com 192.0.2.3 - - [06/Feb/2026:01:00:38 +0100] "GET / HTTP/1.1" 200 0 "-" "-""#,
            expect![[r#"
                reject at 0 `shop.example.com 192.0.2.3 - - [06/Feb/2`: `$remote_addr` holds no spaces
            "#]],
        );
        check(
            r#"192.0.2.3 - - [06/Feb/2026:01:00:38 +0100] "GET / HTTP/1.1" 20 0 "-" "-""#,
            expect![[r#"
                reject at 60 `20 0 "-" "-"`: `$status` is not a status of three digits
            "#]],
        );
        check(
            r#"192.0.2.3 - - [2026-02-06] "GET / HTTP/1.1" 200 0 "-" "-""#,
            expect![[r#"
                reject at 14 `[2026-02-06] "GET / HTTP/1.1" 200 0 "-" `: `$time_local` is not a time like [06/Feb/2026:00:00:38 +0000]
            "#]],
        );
    }

    const UPSTREAM: &str = r#"log_format up '$host:$server_port $msec $time_iso8601 $status '
        '"$request" rt=$request_time ua=$upstream_addr us=$upstream_status $upstream_response_time $upstream_cache_status '
        '$gzip_ratio ${custom} $http_x_forwarded_for $scheme://$host$request_uri $uri$is_args$args';"#;

    #[test]
    fn formats_with_upstreams() {
        check_by(
            UPSTREAM,
            "[2001:db8::1]:443 1770336038.123 2026-02-06T00:00:38+00:00 200 \"GET /a?b HTTP/1.1\" rt=0.350 ua=192.0.2.7:80, unix:/s : 192.0.2.8:80 \
             us=502, - : 200 0.1, - : 0.25 MISS 2.31 own 192.0.2.3, 192.0.2.4 https://example.org/a?b /a?b",
            expect![[r#"
                row
                  host: [2001:db8::1]
                  server_port: 443
                  time: 2026-02-06T00:00:38.123Z
                  time_iso8601: 2026-02-06T00:00:38Z
                  status: 200
                  request: GET /a?b HTTP/1.1
                  method: GET
                  request_uri: /a?b
                  protocol: HTTP/1.1
                  request_time: 0.35
                  upstream_addr: 192.0.2.7:80, unix:/s : 192.0.2.8:80
                  upstream_status: 502, - : 200
                  upstream_response_time: 0.1, - : 0.25
                  upstream_cache_status: MISS
                  gzip_ratio: 2.31
                  custom: own
                  http_x_forwarded_for: 192.0.2.3, 192.0.2.4
                  scheme: https
                  host_request_uri: example.org/a?b
                  uri_is_args_args: /a?b
            "#]],
        );
        check_by(
            "$status|$upstream_response_time|$http_x_a|$request_time",
            "200|0.1, 0.2|x | y|-",
            expect![[r#"
            recovered
              status: 200
              upstream_response_time: 0.1, 0.2
              http_x_a: x | y
        "#]],
        );
    }

    #[test]
    fn formats_that_are_json() {
        let flat = r#"escape=json '{"t":"$msec","local":"$time_local","req":"$request","took":$upstream_response_time,"len":$bytes_sent,' '"userAgent":"$http_user_agent","kind":"access","time":"$arg_time"}'"#;
        check_by(
            flat,
            "{\"t\":\"1770336038.123\",\"local\":\"06/Feb/2026:00:00:38 +0000\",\"req\":\"GET /\\u0016 HTTP/1.1\",\"took\":0.25,\"len\":12,\"userAgent\":\"\",\"kind\":\"access\",\"time\":\"now\"}\n\
             {\"len\":12, \"t\":\"1770336038\", \"new\":{\"a\":[1]}, \"kind\":7, \"more\":null}\n\
             {\"t\":\"1770336038.123\",\"local\":\"06/Feb/2026:00:00:38 +0000\",\"req\":\"\",\"took\":,\"len\":12,\"userAgent\":\"x\",\"kind\":\"access\",\"time\":\"\"}\n\
             {\"t\":\"1770336038.123\",\"len\":\"many\"}\n\
             {\"t\":\"1770336038.123\"} x\n\
             [1]",
            expect![[r#"
                row
                  time: 2026-02-06T00:00:38.123Z
                  local: 2026-02-06T00:00:38Z
                  req: GET / HTTP/1.1
                  method: GET
                  request_uri: /
                  protocol: HTTP/1.1
                  took: 0.25
                  len: 12
                  time_text: now
                row
                  time: 2026-02-06T00:00:38Z
                  len: 12
                  extra: {"new":{"a":[1]},"kind":7,"more":null}
                recovered
                  time: 2026-02-06T00:00:38.123Z
                  local: 2026-02-06T00:00:38Z
                  len: 12
                  user_agent: x
                reject at 29 `many"}`: `$bytes_sent` is not a whole number of at most 64 bits
                reject at 22 ` x`: something follows the JSON object
                reject at 0 `[1]`: no JSON object starts here
            "#]],
        );
        check_by(
            r#"escape=json '{"time":"$time_iso8601","http":{"status":$status},"where":"$host from $remote_addr"}'"#,
            "{\"time\":\"2026-02-06T00:00:38+00:00\",\"http\":{\"status\":200},\"where\":\"a from b\"}",
            expect![[r#"
                row
                  time: 2026-02-06T00:00:38Z
                  status: 200
                  host: a
                  remote_addr: b
            "#]],
        );
    }

    #[test]
    fn columns_have_types_and_names_of_their_own() {
        let grammar = grammar(json!({"name": "nginx", "logFormat": UPSTREAM}));
        expect![[r#"
            host: string
            server_port: bigint
            time: timestamp
            time_iso8601: timestamp
            status: int
            request: string
            method: string
            request_uri: string
            protocol: string
            request_time: double s
            upstream_addr: string
            upstream_status: string
            upstream_response_time: string
            upstream_cache_status: string
            gzip_ratio: double
            custom: string
            http_x_forwarded_for: string
            scheme: string
            host_request_uri: string
            uri_is_args_args: string
        "#]]
        .assert_eq(&columns(grammar.columns()));
    }

    #[test]
    fn formats_that_cannot_be_read_are_refused_with_their_place() {
        let wrong = |format: &str| problem(json!({"name": "nginx", "logFormat": format}));
        let all = [
            "$status$body_bytes_sent",
            "'$status",
            "'$status' x",
            "escape=xml '$status'",
            "a $ b",
            "${status",
            "nothing",
            "log_format main",
        ];
        expect![[r#"
            logFormat: byte 7: nothing stands between `$status` and `$body_bytes_sent`, so where one ends cannot be told
            logFormat: byte 0: a quoted piece has no end
            logFormat: byte 10: neither a quote nor the end follows a quoted piece
            logFormat: escape is `default`, `json` or `none`, not `xml`
            logFormat: byte 2: no name of a variable follows `$`
            logFormat: byte 0: no name of a variable follows `$`
            logFormat: holds no value: all of its lines would be the same
            logFormat: holds no value: all of its lines would be the same"#]]
        .assert_eq(&all.map(wrong).join("\n"));
    }

    #[test]
    fn without_escapes_quotes_are_what_they_are() {
        check_by(
            "escape=none \"$request\" $status \"$http_user_agent\"",
            "\"GET /\\x22 HTTP/1.1\" 200 \"a \"b\" c\"",
            expect![[r#"
            recovered
              request: GET /\x22 HTTP/1.1
              method: GET
              request_uri: /\x22
              protocol: HTTP/1.1
              status: 200
              http_user_agent: a "b" c
        "#]],
        );
    }

    #[test]
    fn real_logs_read_whole() {
        let Some(file) = sample("nginx/opensearch-catalog/nginx__raw.log") else { return };
        let bytes = std::fs::read(file).unwrap();
        let main = format!("{COMBINED} \"$http_x_forwarded_for\"");
        // These lines are of the format `main`; read as combined ones, the forwarded-for at their end is a surplus field.
        for (spec, expected) in [(json!("nginx"), Some(r#"["-"]"#)), (json!({"name": "nginx", "logFormat": main}), None)] {
            let records = explain_all(grammar(spec).as_ref(), &bytes, 0);
            for record in &records {
                assert_eq!(record.outcome, Outcome::Row { mark: None, extra: expected.map(str::to_owned) }, "{}", record.text);
                assert!(
                    ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"].contains(&record.columns[4].1.as_deref().unwrap()),
                    "{}",
                    record.text
                );
            }
            assert_eq!(records.len(), 1_408);
        }
    }
}
