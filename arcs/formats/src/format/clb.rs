//! Access logs of Classic Load Balancers. A line flows in; the fields of a request or of a TCP connection flow out,
//! addresses apart from their ports, the request line also in its parts.
//!
//! Quotes inside the user agent are written `\"`. Where a quote stands unescaped, the two words after the user agent
//! and the protocol at the end of the request line tell the quoted fields apart. Old lines stop after the request line.

use memchr::{memchr, memrchr};

use crate::columns::{Kind, Row};
use crate::format::elb::{Fields, request_and_user_agent, set_request};
use crate::format::fields::{set_text, surplus_json};
use crate::format::{Column, Example, Fixed, Format, Parsed, Reject, Values, time};

/// The format.
pub static FORMAT: Format = Format {
    name: "clb",
    summary: "Access logs of AWS Classic Load Balancers",
    page: "https://docs.aws.amazon.com/elasticloadbalancing/latest/classic/access-log-collection.html",
    options: &[],
    examples: EXAMPLES,
    compile: |_| Fixed::grammar(COLUMNS, parse),
};

use Kind::{Double, Int32, Int64, Text, Time};
use Values::{Distinct, Repeating};

static COLUMNS: &[Column] = &[
    Column::fixed("time", Time, "", Repeating, "when the request was received, or the connection opened"),
    Column::fixed("elb", Text, "", Repeating, "name of the load balancer"),
    Column::fixed("client_ip", Text, "", Repeating, "address of the client"),
    Column::fixed("client_port", Int32, "", Distinct, "port of the client"),
    Column::fixed("backend_ip", Text, "", Repeating, "address of the instance; null if the request reached none, or it did not answer"),
    Column::fixed("backend_port", Int32, "", Repeating, "port of the instance; null as its address"),
    Column::fixed(
        "request_processing_time",
        Double,
        "s",
        Repeating,
        "from the receipt of the request until it was sent to an instance; -1 if it was sent to none",
    ),
    Column::fixed(
        "backend_processing_time",
        Double,
        "s",
        Repeating,
        "from the sending of the request until the instance began to answer; -1 if it did not",
    ),
    Column::fixed(
        "response_processing_time",
        Double,
        "s",
        Repeating,
        "from the receipt of the answer until it was sent to the client; -1 if there was none",
    ),
    Column::fixed("elb_status_code", Int32, "", Repeating, "HTTP status that the load balancer answered; null for TCP listeners"),
    Column::fixed("backend_status_code", Int32, "", Repeating, "HTTP status that the instance answered; null for TCP listeners"),
    Column::fixed("received_bytes", Int64, "bytes", Repeating, "bytes of the request body; for TCP listeners all bytes from the client"),
    Column::fixed("sent_bytes", Int64, "bytes", Repeating, "bytes of the response body; for TCP listeners all bytes to the client"),
    Column::fixed("request", Text, "", Distinct, "request line as written in the log, without its quotes; dashes for TCP listeners"),
    Column::fixed("request_method", Text, "", Repeating, "method of the request line; null for TCP listeners"),
    Column::fixed("request_url", Text, "", Distinct, "protocol, host, port, path and query of the request line; null for TCP listeners"),
    Column::fixed("request_protocol", Text, "", Repeating, "HTTP version of the request line; null for TCP listeners"),
    Column::fixed(
        "user_agent",
        Text,
        "",
        Repeating,
        "User-Agent header as written in the log, at most 8 KiB of it; a quote inside is \\\"",
    ),
    Column::fixed("ssl_cipher", Text, "", Repeating, "TLS cipher; null without TLS"),
    Column::fixed("ssl_protocol", Text, "", Repeating, "TLS version; null without TLS"),
];

static EXAMPLES: &[Example] = &[
    Example::plain(
        "2026-02-06T00:00:38.945958Z front 192.0.2.3:2817 10.0.0.1:80 0.000086 0.001048 0.001337 200 200 0 57 \"GET https://www.example.org:443/a b HTTP/1.1\" \"an \\\"agent\\\"\" DHE-RSA-AES128-SHA TLSv1.2",
    ),
    Example::plain(
        "2026-02-06T00:00:38.945958Z front 192.0.2.3:2817 10.0.0.1:80 0.001069 0.000028 0.000041 - - 82 305 \"- - - \" \"-\" - -",
    ),
    Example::plain("2026-02-06T00:00:38.945958Z front 2001:db8::1:2817 - -1 -1 -1 503 0 0 0 \"GET http://www.example.org:80/ HTTP/1.1\""),
];

const CLIENT_IP: usize = 2;
const BACKEND_IP: usize = 4;
const SENT_BYTES: usize = 12;
const REQUEST: usize = 13;
const USER_AGENT: usize = 17;
const SSL_CIPHER: usize = 18;
const SSL_PROTOCOL: usize = 19;

fn parse(line: &[u8], row: &mut Row<'_>) -> Result<Parsed, Reject> {
    let line = line.trim_ascii_end();
    let at = head(line, row).map_err(|reject| stranger(line).unwrap_or(reject))?;
    if plain(line, at, row).is_some() {
        return Ok(Parsed::Row);
    }
    row.clear_from(REQUEST);
    match recover(&line[at.min(line.len())..], row) {
        Some(()) => Ok(Parsed::Recovered),
        None if at >= line.len() => Err(Reject::new(line.len(), "the line ends before its request line")),
        None => Err(Reject::new(at, "the fields from the request line on cannot be told from each other")),
    }
}

/// The fields before the request line, which no client can write into. Gives where the request line starts.
fn head(line: &[u8], row: &mut Row<'_>) -> Result<usize, Reject> {
    let mut fields = Fields::new(COLUMNS, line, 0);
    let mut column = 0;
    while column <= SENT_BYTES {
        if column == CLIENT_IP || column == BACKEND_IP {
            fields.set_address(row, column)?;
            column += 2;
        } else {
            fields.set(row, column)?;
            column += 1;
        }
    }
    Ok(fields.at)
}

/// What is wrong with a line of another load balancer.
fn stranger(line: &[u8]) -> Option<Reject> {
    let mut words = line.split(|byte| *byte == b' ');
    let is_application = words.next()?.iter().all(u8::is_ascii_alphanumeric) && time::iso_micros(words.next()?, 0).is_some();
    is_application.then(|| Reject::new(0, "the line is one of an Application Load Balancer: use `alb`"))
}

/// The plain reading from the request line on; `None` where it meets a contradiction.
fn plain(line: &[u8], at: usize, row: &mut Row<'_>) -> Option<()> {
    let mut fields = Fields::new(COLUMNS, line, at);
    set_request(row, REQUEST, fields.quoted()?);
    if fields.is_over() {
        return Some(());
    }
    set_text(row, USER_AGENT, fields.quoted()?);
    for column in SSL_CIPHER..=SSL_PROTOCOL {
        if fields.is_over() {
            return Some(());
        }
        set_text(row, column, fields.word().filter(|word| memchr(b'"', word).is_none())?);
    }
    // A quote in what follows tells that the user agent had only pretended to end.
    if memchr(b'"', fields.rest()).is_some() {
        return None;
    }
    if !fields.is_over() {
        row.set_extra(&surplus_json(fields.rest()));
    }
    Some(())
}

/// Reads quoted fields that hold quotes: nothing after the user agent does.
fn recover(quoted: &[u8], row: &mut Row<'_>) -> Option<()> {
    let end = memrchr(b'"', quoted)? + 1;
    let (request, user_agent) = request_and_user_agent(&quoted[..end])?;
    let mut words = quoted[end..].split(|byte| *byte == b' ').skip(1);
    for (column, word) in (SSL_CIPHER..=SSL_PROTOCOL).zip(&mut words) {
        set_text(row, column, word);
    }
    if words.next().is_some() {
        return None;
    }
    set_request(row, REQUEST, request);
    set_text(row, USER_AGENT, user_agent);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::shown::first;
    use expect_test::{Expect, expect};

    const HEAD: &str = "2026-02-06T00:00:38.945958Z front 192.0.2.3:2817 10.0.0.1:80 0.000086 0.001048 0.001337 200 200 0 57";

    fn check_from(column: usize, line: &str, expected: Expect) {
        expected.assert_eq(&first(Fixed::grammar(COLUMNS, parse).unwrap().as_ref(), column, line));
    }

    fn check(rest: &str, expected: Expect) {
        check_from(REQUEST, &format!("{HEAD} {rest}"), expected);
    }

    #[test]
    fn lines_of_every_shape() {
        check_from(
            0,
            EXAMPLES[0].text,
            expect![[r#"
                row
                  time: 2026-02-06T00:00:38.945958Z
                  elb: front
                  client_ip: 192.0.2.3
                  client_port: 2817
                  backend_ip: 10.0.0.1
                  backend_port: 80
                  request_processing_time: 0.000086
                  backend_processing_time: 0.001048
                  response_processing_time: 0.001337
                  elb_status_code: 200
                  backend_status_code: 200
                  received_bytes: 0
                  sent_bytes: 57
                  request: GET https://www.example.org:443/a b HTTP/1.1
                  request_method: GET
                  request_url: https://www.example.org:443/a b
                  request_protocol: HTTP/1.1
                  user_agent: an \"agent\"
                  ssl_cipher: DHE-RSA-AES128-SHA
                  ssl_protocol: TLSv1.2
            "#]],
        );
        check_from(
            0,
            EXAMPLES[1].text,
            expect![[r#"
                row
                  time: 2026-02-06T00:00:38.945958Z
                  elb: front
                  client_ip: 192.0.2.3
                  client_port: 2817
                  backend_ip: 10.0.0.1
                  backend_port: 80
                  request_processing_time: 0.001069
                  backend_processing_time: 0.000028
                  response_processing_time: 0.000041
                  received_bytes: 82
                  sent_bytes: 305
                  request: - - - 
            "#]],
        );
        check_from(
            0,
            EXAMPLES[2].text,
            expect![[r#"
                row
                  time: 2026-02-06T00:00:38.945958Z
                  elb: front
                  client_ip: 2001:db8::1
                  client_port: 2817
                  request_processing_time: -1
                  backend_processing_time: -1
                  response_processing_time: -1
                  elb_status_code: 503
                  backend_status_code: 0
                  received_bytes: 0
                  sent_bytes: 0
                  request: GET http://www.example.org:80/ HTTP/1.1
                  request_method: GET
                  request_url: http://www.example.org:80/
                  request_protocol: HTTP/1.1
            "#]],
        );
        check(
            "\"GET http://h:80/ HTTP/1.1\" \"curl\"",
            expect![[r#"
                row
                  request: GET http://h:80/ HTTP/1.1
                  request_method: GET
                  request_url: http://h:80/
                  request_protocol: HTTP/1.1
                  user_agent: curl
            "#]],
        );
        check(
            "\"GET http://h:80/ HTTP/1.1\" \"curl\" - - new fields",
            expect![[r#"
                row
                  request: GET http://h:80/ HTTP/1.1
                  request_method: GET
                  request_url: http://h:80/
                  request_protocol: HTTP/1.1
                  user_agent: curl
                  extra: ["new","fields"]
            "#]],
        );
    }

    #[test]
    fn quotes_inside_quoted_fields() {
        check(
            "\"GET http://h:80/ HTTP/1.1\" \"ends in a backslash \\\\\" - -",
            expect![[r#"
                row
                  request: GET http://h:80/ HTTP/1.1
                  request_method: GET
                  request_url: http://h:80/
                  request_protocol: HTTP/1.1
                  user_agent: ends in a backslash \\
            "#]],
        );
        check(
            "\"GET http://h:80/ HTTP/1.1\" \"ends in a backslash \\\" - -",
            expect![[r#"
                recovered
                  request: GET http://h:80/ HTTP/1.1
                  request_method: GET
                  request_url: http://h:80/
                  request_protocol: HTTP/1.1
                  user_agent: ends in a backslash \
            "#]],
        );
        check(
            "\"GET http://h:80/\"a\" b HTTP/1.1\" \"an \"agent\" here\" CIPHER TLSv1.2",
            expect![[r#"
                recovered
                  request: GET http://h:80/"a" b HTTP/1.1
                  request_method: GET
                  request_url: http://h:80/"a" b
                  request_protocol: HTTP/1.1
                  user_agent: an "agent" here
                  ssl_cipher: CIPHER
                  ssl_protocol: TLSv1.2
            "#]],
        );
        check(
            "\"GET http://h:80/ HTTP/1.1\" \"x\" - - \"y\" CIPHER TLSv1.2",
            expect![[r#"
                recovered
                  request: GET http://h:80/ HTTP/1.1
                  request_method: GET
                  request_url: http://h:80/
                  request_protocol: HTTP/1.1
                  user_agent: x" - - "y
                  ssl_cipher: CIPHER
                  ssl_protocol: TLSv1.2
            "#]],
        );
        check(
            "\"GET http://h:80/ HTTP/1.1\" \"x HTTP/1.1\" \"y\" CIPHER TLSv1.2",
            expect![[r#"
            reject at 101 `"GET http://h:80/ HTTP/1.1" "x HTTP/1.1"`: the fields from the request line on cannot be told from each other
        "#]],
        );
    }

    #[test]
    fn rejects_say_where_and_why() {
        check_from(
            0,
            "rubbish",
            expect![[r#"
            reject at 0 `rubbish`: `time` is no time
        "#]],
        );
        check_from(
            0,
            HEAD,
            expect![[r#"
            reject at 100 ``: the line ends before its request line
        "#]],
        );
        check(
            "\"GET http://h:80/ HTTP/1.1",
            expect![[r#"
            reject at 101 `"GET http://h:80/ HTTP/1.1`: the fields from the request line on cannot be told from each other
        "#]],
        );
        check_from(
            0,
            "2026-02-06T00:00:38.945958Z front 192.0.2.3:2817 10.0.0.1:80 0.1 0.1 0.1 OK 200 0 57",
            expect![[r#"
            reject at 73 `OK 200 0 57`: `elb_status_code` is no integer
        "#]],
        );
        check_from(
            0,
            "http 2026-02-06T00:00:38.186641Z app/front/50dc 192.0.2.3:2817 -",
            expect![[r#"
            reject at 0 `http 2026-02-06T00:00:38.186641Z app/fro`: the line is one of an Application Load Balancer: use `alb`
        "#]],
        );
    }
}
