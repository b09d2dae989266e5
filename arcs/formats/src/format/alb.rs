//! Access logs of Application Load Balancers. A line flows in; the fields of a request flow out, addresses apart from
//! their ports, the request line also in its parts.
//!
//! Quotes inside quoted fields are written as `\x22`, so that a line splits plainly. What a client could make it hold all
//! the same meets what cannot lie: the numbers before the request line, and the rule's priority followed by a time.
//! Lines of older load balancers stop after any field from the trace id on.

use memchr::{memchr, memmem, memrchr};

use crate::columns::{Kind, Row};
use crate::format::elb::{Fields, request_and_user_agent, set_request};
use crate::format::fields::{int, set_text, surplus_json};
use crate::format::{Column, Example, Fixed, Format, Parsed, Reject, Values, time};

/// The format.
pub static FORMAT: Format = Format {
    name: "alb",
    summary: "Access logs of AWS Application Load Balancers",
    page: "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html",
    options: &[],
    examples: EXAMPLES,
    compile: |_| Fixed::grammar(COLUMNS, parse),
};

use Kind::{Double, Int32, Int64, Text, Time};
use Values::{Distinct, Identifying, Repeating};

static COLUMNS: &[Column] = &[
    Column::fixed("type", Text, "", Repeating, "http, https, h2, grpcs, ws or wss"),
    Column::fixed("time", Time, "", Repeating, "when the response to the client was made; for WebSockets, when the connection was closed"),
    Column::fixed("elb", Text, "", Repeating, "resource id of the load balancer"),
    Column::fixed("client_ip", Text, "", Repeating, "address of the client, without brackets"),
    Column::fixed("client_port", Int32, "", Distinct, "port of the client"),
    Column::fixed("target_ip", Text, "", Repeating, "address of the target; null if the request reached none, or a Lambda function"),
    Column::fixed("target_port", Int32, "", Repeating, "port of the target; null as its address"),
    Column::fixed(
        "request_processing_time",
        Double,
        "s",
        Repeating,
        "from the receipt of the request until it was sent to a target; -1 if it was sent to none",
    ),
    Column::fixed(
        "target_processing_time",
        Double,
        "s",
        Repeating,
        "from the sending of the request until the target began to send headers; -1 if there was no answer",
    ),
    Column::fixed(
        "response_processing_time",
        Double,
        "s",
        Repeating,
        "from the receipt of the headers until the response was sent to the client; -1 if there was no answer",
    ),
    Column::fixed("elb_status_code", Int32, "", Repeating, "HTTP status that the load balancer answered"),
    Column::fixed("target_status_code", Int32, "", Repeating, "HTTP status that the target answered; null if it did not"),
    Column::fixed("received_bytes", Int64, "bytes", Repeating, "bytes from the client, headers included"),
    Column::fixed("sent_bytes", Int64, "bytes", Repeating, "bytes to the client, headers included"),
    Column::fixed("request", Text, "", Distinct, "request line as written in the log, without its quotes; a quote inside is \\x22"),
    Column::fixed("request_method", Text, "", Repeating, "method of the request line; null if there was none"),
    Column::fixed("request_url", Text, "", Distinct, "protocol, host, port, path and query of the request line"),
    Column::fixed("request_protocol", Text, "", Repeating, "HTTP version of the request line; null if there was none"),
    Column::fixed("user_agent", Text, "", Repeating, "User-Agent header as written in the log, at most 8 KiB of it"),
    Column::fixed("ssl_cipher", Text, "", Repeating, "TLS cipher; null for HTTP listeners"),
    Column::fixed("ssl_protocol", Text, "", Repeating, "TLS version; null for HTTP listeners"),
    Column::fixed("target_group_arn", Text, "", Repeating, "ARN of the target group"),
    Column::fixed("trace_id", Text, "", Identifying, "X-Amzn-Trace-Id header"),
    Column::fixed("domain_name", Text, "", Repeating, "SNI domain of the client; null if it sent none or no certificate is for it"),
    Column::fixed("chosen_cert_arn", Text, "", Repeating, "ARN of the certificate that was shown, or session-reused"),
    Column::fixed(
        "matched_rule_priority",
        Int32,
        "",
        Repeating,
        "priority of the rule that matched; 0 for the default action, -1 for an error in a rule, null for other errors",
    ),
    Column::fixed("request_creation_time", Time, "", Repeating, "when the request was received"),
    Column::fixed("actions_executed", Text, "", Repeating, "actions taken, separated by commas; null if none was"),
    Column::fixed("redirect_url", Text, "", Repeating, "where the client was redirected to; null if it was not"),
    Column::fixed("error_reason", Text, "", Repeating, "why a Lambda function, an authentication or a rule failed; null if none did"),
    Column::fixed("target_port_list", Text, "", Repeating, "addresses and ports of all targets that were tried, separated by spaces"),
    Column::fixed("target_status_code_list", Text, "", Repeating, "HTTP statuses of all targets that were tried, separated by spaces"),
    Column::fixed("classification", Text, "", Repeating, "Acceptable, Ambiguous or Severe, for desync mitigation; null if compliant"),
    Column::fixed("classification_reason", Text, "", Repeating, "why the request does not comply; null if it does"),
    Column::fixed("conn_trace_id", Text, "", Identifying, "id that links requests to their line in the connection log"),
    Column::fixed("transformed_host", Text, "", Repeating, "Host header after a transform changed it; null if none did"),
    Column::fixed("transformed_uri", Text, "", Distinct, "request URI after a transform changed it; null if none did"),
    Column::fixed("request_transform_status", Text, "", Repeating, "how the transform of the request went; null if there was none"),
];

static EXAMPLES: &[Example] = &[
    Example::plain(
        "https 2026-02-06T00:00:38.186641Z app/front/50dc6c495c0c9188 192.0.2.3:2817 10.0.0.1:80 0.086 0.048 0.037 200 200 0 57 \"GET https://www.example.org:443/a HTTP/1.1\" \"curl/8.5.0\" TLS_AES_128_GCM_SHA256 TLSv1.3 arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/front/73e2d6bc24d8a067 \"Root=1-58337281-1d84f3d73c47ec4e58577259\" \"www.example.org\" \"arn:aws:acm:us-east-2:123456789012:certificate/12345678\" 1 2026-02-06T00:00:38.100000Z \"authenticate,forward\" \"-\" \"-\" \"10.0.0.1:80\" \"200\" \"-\" \"-\" TID_1234abcd5678ef90 \"-\" \"-\" \"-\"",
    ),
    Example::plain(
        "http 2026-02-06T00:00:38.186641Z app/front/50dc6c495c0c9188 2001:db8::1:2817 - -1 -1 -1 400 - 34 366 \"- http://www.example.org:80- -\" \"-\" - - - \"-\" \"-\" \"-\" - 2026-02-06T00:00:38.100000Z \"-\" \"-\" \"-\" \"-\" \"-\" \"Severe\" \"BadVersion\"",
    ),
    Example::plain(
        "h2 2018-07-02T22:23:00.186641Z app/front/50dc6c495c0c9188 192.0.2.3:48160 10.0.0.66:9000 0.000 0.002 0.000 200 200 5 257 \"GET https://192.0.2.9:773/a b HTTP/2.0 \" \"an \\x22agent\\x22\" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/front/73e2d6bc24d8a067 \"Root=1-58337327-72bd00b0343d75b906739c42\"",
    ),
];

const CLIENT_IP: usize = 3;
const TARGET_IP: usize = 5;
const SENT_BYTES: usize = 13;
const REQUEST: usize = 14;
const USER_AGENT: usize = 18;
const SSL_CIPHER: usize = 19;
const TARGET_GROUP_ARN: usize = 21;
const TRACE_ID: usize = 22;
const CHOSEN_CERT_ARN: usize = 24;
const MATCHED_RULE_PRIORITY: usize = 25;
const REQUEST_CREATION_TIME: usize = 26;
const CLASSIFICATION_REASON: usize = 33;
const REQUEST_TRANSFORM_STATUS: usize = 37;

/// Length of `2026-02-06T00:00:38.186641Z`.
const TIME_BYTES: usize = 27;

/// Priorities followed by a time that are looked at in a line that lies.
const ANCHORS_MAX: usize = 16;

fn parse(line: &[u8], row: &mut Row<'_>) -> Result<Parsed, Reject> {
    let line = line.trim_ascii_end();
    let at = head(line, row).map_err(|reject| stranger(line).unwrap_or(reject))?;
    match plain(line, at, row) {
        Some(()) => Ok(Parsed::Row),
        None => recover(line, at, row).map(|()| Parsed::Recovered),
    }
}

/// The fields before the request line, which no client can write into. Gives where the request line starts.
fn head(line: &[u8], row: &mut Row<'_>) -> Result<usize, Reject> {
    let mut fields = Fields::new(COLUMNS, line, 0);
    let mut column = 0;
    while column <= SENT_BYTES {
        if column == CLIENT_IP || column == TARGET_IP {
            fields.set_address(row, column)?;
            column += 2;
        } else {
            fields.set(row, column)?;
            column += 1;
        }
    }
    Ok(fields.at)
}

/// What is wrong with a line of another load balancer, or of another log of this one.
fn stranger(line: &[u8]) -> Option<Reject> {
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').take(4).collect();
    let is_time = |word: &[u8]| time::iso_micros(word, 0).is_some();
    let is_port = |word: &[u8]| word.len() <= 5 && !word.is_empty() && word.iter().all(u8::is_ascii_digit);
    let reason = match words[..] {
        [first, _, client, listener] if is_time(first) && is_port(client) && is_port(listener) => {
            "this is a line of a connection log, which is another format than access logs"
        }
        [first, ..] if is_time(first) => "the line starts with a time, as those of Classic Load Balancers do: use `clb`",
        [b"tls", _, third, ..] if is_time(third) => "the line is one of a Network Load Balancer: use `nlb`",
        _ => return None,
    };
    Some(Reject::new(0, reason))
}

/// The plain reading from the request line on; `None` where it meets a contradiction.
fn plain(line: &[u8], at: usize, row: &mut Row<'_>) -> Option<()> {
    let mut fields = Fields::new(COLUMNS, line, at);
    let (request, user_agent) = (fields.quoted()?, fields.quoted()?);
    for column in SSL_CIPHER..=TARGET_GROUP_ARN {
        set_bare(row, column, fields.word()?)?;
    }
    for column in TRACE_ID..=CHOSEN_CERT_ARN {
        if column > TRACE_ID && fields.is_over() {
            break;
        }
        set_text(row, column, fields.quoted()?);
    }
    if !fields.is_over() {
        tail(line, fields.at, row)?;
    }
    set_request(row, REQUEST, request);
    set_text(row, USER_AGENT, user_agent);
    Some(())
}

/// Sets a field that has no quotes around it, and must have none inside.
fn set_bare(row: &mut Row<'_>, column: usize, value: &[u8]) -> Option<()> {
    let is_arn = column != TARGET_GROUP_ARN || value == b"-" || value.starts_with(b"arn:");
    (is_arn && memchr(b'"', value).is_none()).then(|| set_text(row, column, value))
}

/// The fields from the rule's priority on. What follows the last known one is extra. `None` where another priority with a
/// time follows, which tells that a field before had only pretended to end.
fn tail(line: &[u8], at: usize, row: &mut Row<'_>) -> Option<()> {
    let mut fields = Fields::new(COLUMNS, line, at);
    fields.set(row, MATCHED_RULE_PRIORITY).ok()?;
    fields.set(row, REQUEST_CREATION_TIME).ok()?;
    if anchors(line, fields.at).next().is_some() {
        return None;
    }
    for column in REQUEST_CREATION_TIME + 1..=REQUEST_TRANSFORM_STATUS {
        if fields.is_over() {
            return Some(());
        }
        // Newer fields than these have changed between quoted and bare.
        let value = if column <= CLASSIFICATION_REASON { fields.quoted() } else { fields.any() };
        set_text(row, column, value?);
    }
    if !fields.is_over() {
        row.set_extra(&surplus_json(fields.rest()));
    }
    Some(())
}

/// Where priorities start that have a quoted field before and a time and a quoted field behind.
fn anchors(line: &[u8], from: usize) -> impl Iterator<Item = usize> + '_ {
    let rest = line.get(from..).unwrap_or_default();
    memmem::find_iter(rest, b"Z \"").filter_map(move |end| {
        let time = (end + 1).checked_sub(TIME_BYTES)?;
        time::iso_micros(rest.get(time..=end)?, 0)?;
        let before = rest[..time].strip_suffix(b" ")?;
        let priority = memrchr(b' ', before)? + 1;
        let is_priority = &before[priority..] == b"-" || int(&before[priority..]).is_some();
        (is_priority && before[..priority].ends_with(b"\" ")).then_some(from + priority)
    })
}

/// Reads a line that lies: looks for the priority and its time, takes the fields before it from the right, and what is
/// left for request line and user agent.
fn recover(line: &[u8], at: usize, row: &mut Row<'_>) -> Result<(), Reject> {
    let fail = |reason| Err(Reject::new(at, reason));
    let mut fitting = Vec::new();
    for anchor in anchors(line, at).take(ANCHORS_MAX) {
        row.clear_from(REQUEST);
        if around(line, at, anchor, row).is_some() {
            fitting.push(anchor);
        }
    }
    row.clear_from(REQUEST);
    match fitting[..] {
        [anchor] if around(line, at, anchor, row).is_some() => Ok(()),
        [] => fail("the fields from the request line on cannot be told from each other"),
        _ => fail("the line can be split into fields in more than one way"),
    }
}

/// Reads a line around the priority that starts at `anchor`.
fn around(line: &[u8], at: usize, anchor: usize, row: &mut Row<'_>) -> Option<()> {
    tail(line, anchor, row)?;
    let mut rest = line.get(at..anchor)?.strip_suffix(b" ")?;
    for column in (TRACE_ID..=CHOSEN_CERT_ARN).rev() {
        let inside = rest.strip_suffix(b"\"")?;
        let quote = memrchr(b'"', inside)?;
        set_text(row, column, &inside[quote + 1..]);
        rest = inside[..quote].strip_suffix(b" ")?;
    }
    for column in (SSL_CIPHER..=TARGET_GROUP_ARN).rev() {
        let space = memrchr(b' ', rest)?;
        set_bare(row, column, &rest[space + 1..])?;
        rest = &rest[..space];
    }
    let (request, user_agent) = request_and_user_agent(rest)?;
    set_request(row, REQUEST, request);
    set_text(row, USER_AGENT, user_agent);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::shown::first;
    use crate::format::{Grammar, Outcome, explain};
    use expect_test::{Expect, expect};

    const HEAD: &str = "https 2026-02-06T00:00:38.186641Z app/front/50dc 192.0.2.3:2817 10.0.0.1:80 0.086 0.048 0.037 200 200 0 57";
    const MIDDLE: &str = "CIPHER TLSv1.3 arn:aws:tg \"Root=1-5833\" \"www.example.org\" \"arn:aws:acm:c\"";
    const TAIL: &str = "1 2026-02-06T00:00:38.100000Z \"forward\" \"-\" \"-\" \"10.0.0.1:80\" \"200\" \"-\" \"-\" TID_12 \"-\" \"-\" \"-\"";

    fn grammar() -> Box<dyn Grammar> {
        Fixed::grammar(COLUMNS, parse).unwrap()
    }

    fn check_from(column: usize, line: &str, expected: Expect) {
        expected.assert_eq(&first(grammar().as_ref(), column, line));
    }

    fn check(line: &str, expected: Expect) {
        check_from(0, line, expected);
    }

    #[test]
    fn all_fields() {
        check(
            EXAMPLES[0].text,
            expect![[r#"
                row
                  type: https
                  time: 2026-02-06T00:00:38.186641Z
                  elb: app/front/50dc6c495c0c9188
                  client_ip: 192.0.2.3
                  client_port: 2817
                  target_ip: 10.0.0.1
                  target_port: 80
                  request_processing_time: 0.086
                  target_processing_time: 0.048
                  response_processing_time: 0.037
                  elb_status_code: 200
                  target_status_code: 200
                  received_bytes: 0
                  sent_bytes: 57
                  request: GET https://www.example.org:443/a HTTP/1.1
                  request_method: GET
                  request_url: https://www.example.org:443/a
                  request_protocol: HTTP/1.1
                  user_agent: curl/8.5.0
                  ssl_cipher: TLS_AES_128_GCM_SHA256
                  ssl_protocol: TLSv1.3
                  target_group_arn: arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/front/73e2d6bc24d8a067
                  trace_id: Root=1-58337281-1d84f3d73c47ec4e58577259
                  domain_name: www.example.org
                  chosen_cert_arn: arn:aws:acm:us-east-2:123456789012:certificate/12345678
                  matched_rule_priority: 1
                  request_creation_time: 2026-02-06T00:00:38.100Z
                  actions_executed: authenticate,forward
                  target_port_list: 10.0.0.1:80
                  target_status_code_list: 200
                  conn_trace_id: TID_1234abcd5678ef90
            "#]],
        );
        check(
            EXAMPLES[1].text,
            expect![[r#"
                row
                  type: http
                  time: 2026-02-06T00:00:38.186641Z
                  elb: app/front/50dc6c495c0c9188
                  client_ip: 2001:db8::1
                  client_port: 2817
                  request_processing_time: -1
                  target_processing_time: -1
                  response_processing_time: -1
                  elb_status_code: 400
                  received_bytes: 34
                  sent_bytes: 366
                  request: - http://www.example.org:80- -
                  request_url: http://www.example.org:80-
                  request_creation_time: 2026-02-06T00:00:38.100Z
                  classification: Severe
                  classification_reason: BadVersion
            "#]],
        );
        check(
            EXAMPLES[2].text,
            expect![[r#"
                row
                  type: h2
                  time: 2018-07-02T22:23:00.186641Z
                  elb: app/front/50dc6c495c0c9188
                  client_ip: 192.0.2.3
                  client_port: 48160
                  target_ip: 10.0.0.66
                  target_port: 9000
                  request_processing_time: 0
                  target_processing_time: 0.002
                  response_processing_time: 0
                  elb_status_code: 200
                  target_status_code: 200
                  received_bytes: 5
                  sent_bytes: 257
                  request: GET https://192.0.2.9:773/a b HTTP/2.0 
                  request_method: GET
                  request_url: https://192.0.2.9:773/a b
                  request_protocol: HTTP/2.0
                  user_agent: an \x22agent\x22
                  ssl_cipher: ECDHE-RSA-AES128-GCM-SHA256
                  ssl_protocol: TLSv1.2
                  target_group_arn: arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/front/73e2d6bc24d8a067
                  trace_id: Root=1-58337327-72bd00b0343d75b906739c42
            "#]],
        );
    }

    #[test]
    fn lines_of_every_age() {
        let whole = format!("{HEAD} \"GET https://h:443/ HTTP/1.1\" \"curl\" {MIDDLE} {TAIL}");
        let ends: Vec<usize> = whole.match_indices(' ').map(|(at, _)| at).chain([whole.len()]).collect();
        let first = whole.find("\" \"www").unwrap() + 1;
        for end in ends.into_iter().filter(|end| *end >= first) {
            let outcome = explain(grammar().as_ref(), &whole.as_bytes()[..end]).outcome;
            // A priority never stands without its time.
            let is_whole = !whole[..end].ends_with("\" 1");
            assert_eq!(matches!(outcome, Outcome::Row { mark: None, extra: None }), is_whole, "{}", &whole[..end]);
        }
        check_from(
            CLASSIFICATION_REASON,
            &format!("{whole} 10.0.0.9 \"two words\" "),
            expect![[r#"
                row
                  conn_trace_id: TID_12
                  extra: ["10.0.0.9","two words"]
            "#]],
        );
        check_from(
            CLASSIFICATION_REASON,
            &whole.replace("TID_12 \"-\" \"-\" \"-\"", "\"TID_12\" host /uri -"),
            expect![[r#"
                row
                  conn_trace_id: TID_12
                  transformed_host: host
                  transformed_uri: /uri
            "#]],
        );
    }

    #[test]
    fn request_lines_of_any_shape() {
        let with = |request: &str| format!("{HEAD} \"{request}\" \"-\" {MIDDLE}");
        for (request, expected) in [
            ("GET https://h:443/a b HTTP/1.1 ", expect!["GET https://h:443/a b HTTP/1.1  | GET | https://h:443/a b | HTTP/1.1"]),
            ("GET https://h:443/a b", expect!["GET https://h:443/a b | GET | https://h:443/a b | ∅"]),
            ("- http://h:80- -", expect!["- http://h:80- - | ∅ | http://h:80- | ∅"]),
            ("-", expect!["∅ | ∅ | ∅ | ∅"]),
            ("", expect![" | ∅ | ∅ | ∅"]),
            (
                "GET https://h:443/\\x22a\\x22 HTTP/1.1",
                expect![[r#"GET https://h:443/\x22a\x22 HTTP/1.1 | GET | https://h:443/\x22a\x22 | HTTP/1.1"#]],
            ),
        ] {
            let explained = explain(grammar().as_ref(), with(request).as_bytes());
            let shown: Vec<_> = explained.columns[REQUEST..USER_AGENT].iter().map(|(_, value)| value.as_deref().unwrap_or("∅")).collect();
            expected.assert_eq(&shown.join(" | "));
        }
    }

    #[test]
    fn quotes_that_nobody_escaped() {
        let with = |quoted: &str| format!("{HEAD} {quoted} {MIDDLE} {TAIL}");
        check_from(
            REQUEST,
            &with("\"GET https://h:443/\"a\" HTTP/1.1\" \"an \"agent\" here\""),
            expect![[r#"
                recovered
                  request: GET https://h:443/"a" HTTP/1.1
                  request_method: GET
                  request_url: https://h:443/"a"
                  request_protocol: HTTP/1.1
                  user_agent: an "agent" here
                  ssl_cipher: CIPHER
                  ssl_protocol: TLSv1.3
                  target_group_arn: arn:aws:tg
                  trace_id: Root=1-5833
                  domain_name: www.example.org
                  chosen_cert_arn: arn:aws:acm:c
                  matched_rule_priority: 1
                  request_creation_time: 2026-02-06T00:00:38.100Z
                  actions_executed: forward
                  target_port_list: 10.0.0.1:80
                  target_status_code_list: 200
                  conn_trace_id: TID_12
            "#]],
        );
        // The agent plays the rest of a line: the last priority with a time is the true one.
        check_from(
            REQUEST,
            &with(&format!("\"GET https://h:443/ HTTP/1.1\" \"x\" {MIDDLE} {TAIL} \"y\"")),
            expect![[r#"
                recovered
                  request: GET https://h:443/ HTTP/1.1
                  request_method: GET
                  request_url: https://h:443/
                  request_protocol: HTTP/1.1
                  user_agent: x" CIPHER TLSv1.3 arn:aws:tg "Root=1-5833" "www.example.org" "arn:aws:acm:c" 1 2026-02-06T00:00:38.100000Z "forward" "-" "-" "10.0.0.1:80" "200" "-" "-" TID_12 "-" "-" "-" "y
                  ssl_cipher: CIPHER
                  ssl_protocol: TLSv1.3
                  target_group_arn: arn:aws:tg
                  trace_id: Root=1-5833
                  domain_name: www.example.org
                  chosen_cert_arn: arn:aws:acm:c
                  matched_rule_priority: 1
                  request_creation_time: 2026-02-06T00:00:38.100Z
                  actions_executed: forward
                  target_port_list: 10.0.0.1:80
                  target_status_code_list: 200
                  conn_trace_id: TID_12
            "#]],
        );
        // So does the request line, and nobody could tell where it ends.
        check_from(
            REQUEST,
            &with(&format!("\"GET / HTTP/1.1\" \"x\" {MIDDLE} {TAIL} \"y HTTP/1.1\" \"z\"")),
            expect![[r#"
            reject at 107 `"GET / HTTP/1.1" "x" CIPHER TLSv1.3 arn:`: the fields from the request line on cannot be told from each other
        "#]],
        );
    }

    #[test]
    fn rejects_say_where_and_why() {
        check(
            "rubbish",
            expect![[r#"
            reject at 7 ``: the line ends before its `time`
        "#]],
        );
        check(
            "http 2026-02-06T00:00:38Z  x",
            expect![[r#"
            reject at 26 ` x`: a field is empty: two spaces in a row
        "#]],
        );
        check(
            "http 2026-02-30T00:00:38Z x",
            expect![[r#"
            reject at 5 `2026-02-30T00:00:38Z x`: `time` is no time
        "#]],
        );
        check(
            "http 2026-02-06T00:00:38Z app/x 2001:db8::1 - - - -",
            expect![[r#"
            reject at 32 `2001:db8::1 - - - -`: an address is none like 192.0.2.1:443
        "#]],
        );
        check(
            "http 2026-02-06T00:00:38Z app/x 192.0.2.3:99999999999 - - - -",
            expect![[r#"
            reject at 32 `192.0.2.3:99999999999 - - - -`: an address is none like 192.0.2.1:443
        "#]],
        );
        check(
            "http 2026-02-06T00:00:38Z app/x 192.0.2.3:1 - 0.1 x 0.1 200",
            expect![[r#"
            reject at 50 `x 0.1 200`: `target_processing_time` is no number
        "#]],
        );
        check(
            HEAD,
            expect![[r#"
            reject at 106 ``: the fields from the request line on cannot be told from each other
        "#]],
        );
        check(
            &format!("{HEAD} \"GET / HTTP/1.1\" \"cu"),
            expect![[r#"
            reject at 107 `"GET / HTTP/1.1" "cu`: the fields from the request line on cannot be told from each other
        "#]],
        );
        check(
            &format!("{HEAD} \"GET / HTTP/1.1\" \"curl\" {MIDDLE} x{TAIL}"),
            expect![[r#"
            reject at 107 `"GET / HTTP/1.1" "curl" CIPHER TLSv1.3 a`: the fields from the request line on cannot be told from each other
        "#]],
        );
        check(
            "2026-02-06T00:00:38.000000Z 192.0.2.3 43242 443 TLSv1.2 CIPHER 4.036 \"CN=example.org\" NotBefore=2025-09-21T22:43:21Z;NotAfter=2026-06-17T22:43:21Z FEF2 Success TID_12",
            expect![[r#"
                reject at 0 `2026-02-06T00:00:38.000000Z 192.0.2.3 43`: this is a line of a connection log, which is another format than access logs
            "#]],
        );
        check(
            "2026-02-06T00:00:38.000000Z front 192.0.2.3:2817 10.0.0.1:80 0.1 0.1 0.1 200 200 0 29 \"GET / HTTP/1.1\"",
            expect![[r#"
            reject at 0 `2026-02-06T00:00:38.000000Z front 192.0.`: the line starts with a time, as those of Classic Load Balancers do: use `clb`
        "#]],
        );
        check(
            "tls 2.0 2026-02-06T00:00:38 net/front/c6e7 g3d4 192.0.2.3:51341 10.0.0.1:443 5 2 98 246 -",
            expect![[r#"
            reject at 0 `tls 2.0 2026-02-06T00:00:38 net/front/c6`: the line is one of a Network Load Balancer: use `nlb`
        "#]],
        );
    }

    #[test]
    fn real_logs_read_whole() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/elb/opensearch-catalog");
        if !folder.is_dir() {
            eprintln!("SKIPPED: no real load balancer logs in ../shared/data/elb");
            return;
        }
        let text = std::fs::read_to_string(folder.join("amazon_elb__raw.log")).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        for line in &lines {
            let explained = explain(grammar().as_ref(), line.as_bytes());
            assert_eq!(explained.outcome, Outcome::Row { mark: None, extra: None }, "{line}");
            // Joined again, the columns are the line.
            let value = |n: usize| explained.columns[n].1.clone().unwrap_or_else(|| "-".to_owned());
            assert!(line.contains(&format!(" {}:{} {}:{} ", value(3), value(4), value(5), value(6))), "{line}");
            let request = format!(" {} {} {} {} \"{}\" \"{}\" ", value(10), value(11), value(12), value(13), value(14), value(18));
            assert!(line.contains(&request), "{line}");
            assert_eq!(value(14), format!("{} {} {}", value(15), value(16), value(17)));
            assert!(line.ends_with(&format!("\"{}\" \"{}\" \"{}\" \"{}\"", value(30), value(31), value(32), value(33))), "{line}");
        }
        assert_eq!(lines.len(), 63);
    }
}
