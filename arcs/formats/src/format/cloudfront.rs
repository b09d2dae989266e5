//! Amazon CloudFront access logs: standard ones of every age, real-time ones, and those of RTMP distributions. Header
//! lines and lines flow in; the fields that the last `#Fields` line named flow out, each in its column.
//!
//! Fields are told by tabs, which no value holds. Without a header line an option names the fields, and without that
//! the lines are those of a standard log, whose tail may be missing. Values stay percent-encoded as they are written;
//! the user agent, which was at times encoded twice, stands beside it as it was sent.

use std::borrow::Cow;
use std::sync::Arc;

use memchr::{memchr, memchr_iter, memmem};
use percent_encoding::percent_decode;

use crate::columns::{Cell, Kind, Row};
use crate::format::fields::{set, unfit};
use crate::format::header::{Extra, Place, listed, places};
use crate::format::{
    Column, Example, Format, FormatOption, Grammar, Headers, Layout, OptionKind, Options, Parsed, Problem, Reject, Scope, Values, time,
};

/// The format.
pub static FORMAT: Format = Format {
    name: "cloudfront",
    summary: "Amazon CloudFront access logs: standard, real-time and RTMP",
    page: "https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/standard-logs-reference.html",
    options: &[FormatOption {
        name: "fields",
        kind: OptionKind::Text,
        meaning: "the fields of logs without header line, in their order, such as real-time logs; by default those of standard logs",
    }],
    examples: EXAMPLES,
    compile,
};

use Kind::{Double, Int32, Int64, Text, Time};
use Values::{Distinct, Identifying, Repeating};

static COLUMNS: &[Column] = &[
    Column::fixed(
        "time",
        Time,
        "",
        Repeating,
        "fields date and time, or timestamp: when the response was finished; for WebSockets, when closed",
    ),
    Column::fixed("x_edge_location", Text, "", Repeating, "edge location that served the request: an airport's code and a number"),
    Column::fixed("sc_bytes", Int64, "bytes", Distinct, "bytes to the viewer, headers included"),
    Column::fixed("c_ip", Text, "", Repeating, "address of the viewer, or of its proxy"),
    Column::fixed("cs_method", Text, "", Repeating, "HTTP method"),
    Column::fixed("cs_host", Text, "", Repeating, "domain of the distribution; in real-time logs, the Host header"),
    Column::fixed("cs_uri_stem", Text, "", Distinct, "path of the URL, percent-encoded; in real-time and RTMP logs, the URL"),
    Column::fixed("sc_status", Int32, "", Repeating, "HTTP status; 0, written 000, if the viewer closed the connection before a response"),
    Column::fixed("cs_referer", Text, "", Repeating, "Referer header, percent-encoded"),
    Column::fixed("cs_user_agent", Text, "", Repeating, "User-Agent header as written in the log, percent-encoded once or twice"),
    Column::fixed("cs_uri_query", Text, "", Distinct, "query of the URL, percent-encoded; null if it had none"),
    Column::fixed("cs_cookie", Text, "", Distinct, "Cookie header, percent-encoded; null if there was none, or none is logged"),
    Column::fixed("x_edge_result_type", Text, "", Repeating, "Hit, RefreshHit, Miss, Error and others, after the last byte"),
    Column::fixed("x_edge_request_id", Text, "", Identifying, "id that CloudFront gave the request"),
    Column::fixed("x_host_header", Text, "", Repeating, "Host header of the viewer"),
    Column::fixed("cs_protocol", Text, "", Repeating, "http, https, ws, wss, grpcs"),
    Column::fixed("cs_bytes", Int64, "bytes", Distinct, "bytes from the viewer, headers included"),
    Column::fixed("time_taken", Double, "s", Distinct, "from the receipt of the request until the last byte was queued"),
    Column::fixed("x_forwarded_for", Text, "", Repeating, "addresses of the viewer and its proxies; null without a proxy"),
    Column::fixed("ssl_protocol", Text, "", Repeating, "TLS version; null for HTTP"),
    Column::fixed("ssl_cipher", Text, "", Repeating, "TLS cipher; null for HTTP"),
    Column::fixed("x_edge_response_result_type", Text, "", Repeating, "result type just before the response was sent"),
    Column::fixed("cs_protocol_version", Text, "", Repeating, "HTTP version of the request"),
    Column::fixed("fle_status", Text, "", Repeating, "outcome of field-level encryption; null if it is not configured"),
    Column::fixed("fle_encrypted_fields", Int32, "", Repeating, "number of fields encrypted; null if it is not configured"),
    Column::fixed("c_port", Int32, "", Distinct, "port of the viewer"),
    Column::fixed("time_to_first_byte", Double, "s", Distinct, "from the receipt of the request until the first byte was written"),
    Column::fixed("x_edge_detailed_result_type", Text, "", Repeating, "result type, with the cause of errors"),
    Column::fixed("sc_content_type", Text, "", Repeating, "Content-Type header of the response"),
    Column::fixed("sc_content_len", Int64, "bytes", Distinct, "Content-Length header of the response"),
    Column::fixed("sc_range_start", Int64, "", Distinct, "first byte of the Content-Range header"),
    Column::fixed("sc_range_end", Int64, "", Distinct, "last byte of the Content-Range header"),
    Column::fixed("user_agent_decoded", Text, "", Repeating, "user agent with its percent-encoding undone, as often as it was done"),
    Column::fixed("c_ip_version", Text, "", Repeating, "real-time: IPv4 or IPv6"),
    Column::fixed("cs_accept_encoding", Text, "", Repeating, "real-time: Accept-Encoding header, percent-encoded"),
    Column::fixed("cs_accept", Text, "", Repeating, "real-time: Accept header, percent-encoded"),
    Column::fixed("cache_behavior_path_pattern", Text, "", Repeating, "real-time: path pattern of the cache behaviour that matched"),
    Column::fixed("cs_headers", Text, "", Distinct, "real-time: names and values of the headers, percent-encoded, at most 800 bytes"),
    Column::fixed("cs_header_names", Text, "", Repeating, "real-time: names of the headers, percent-encoded"),
    Column::fixed("cs_headers_count", Int32, "", Repeating, "real-time: number of headers"),
    Column::fixed("origin_fbl", Double, "s", Distinct, "real-time: latency of the origin's first byte; null for hits"),
    Column::fixed("origin_lbl", Double, "s", Distinct, "real-time: latency of the origin's last byte; null for hits"),
    Column::fixed("asn", Int64, "", Repeating, "real-time: autonomous system of the viewer"),
    Column::fixed("c_country", Text, "", Repeating, "real-time: country of the viewer, by its address"),
    Column::fixed("primary_distribution_id", Text, "", Repeating, "real-time: primary distribution of a continuous deployment"),
    Column::fixed("primary_distribution_dns_name", Text, "", Repeating, "real-time: domain of the primary distribution"),
    Column::fixed("distribution_tenant_id", Text, "", Repeating, "tenant of a multi-tenant distribution; null for others"),
    Column::fixed("distributionid", Text, "", Repeating, "distribution, where a log of version 2 holds it"),
    Column::fixed("r_host", Text, "", Repeating, "real-time: origin that the request was routed to"),
    Column::fixed("sr_reason", Text, "", Repeating, "real-time: why the origin was chosen"),
    Column::fixed("x_edge_mqcs", Text, "", Repeating, "real-time: media quality score"),
    Column::fixed("x_event", Text, "", Repeating, "RTMP: connect, play, seek, stop and others"),
    Column::fixed("x_cf_status", Text, "", Repeating, "RTMP: outcome of the event"),
    Column::fixed("x_cf_client_id", Text, "", Identifying, "RTMP: id of the client"),
    Column::fixed("c_referrer", Text, "", Repeating, "RTMP: URI of the referrer"),
    Column::fixed("x_page_url", Text, "", Repeating, "RTMP: URL of the page that holds the player"),
    Column::fixed("c_user_agent", Text, "", Repeating, "RTMP: user agent, percent-encoded"),
    Column::fixed("x_sname", Text, "", Repeating, "RTMP: name of the stream"),
    Column::fixed("x_sname_query", Text, "", Distinct, "RTMP: query of the stream"),
    Column::fixed("x_file_ext", Text, "", Repeating, "RTMP: type of the stream, such as flv"),
    Column::fixed("x_sid", Text, "", Repeating, "RTMP: id of the stream"),
];

static EXAMPLES: &[Example] = &[
    Example::plain(
        "#Version: 1.0\n#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id x-host-header cs-protocol cs-bytes time-taken x-forwarded-for ssl-protocol ssl-cipher x-edge-response-result-type cs-protocol-version fle-status fle-encrypted-fields c-port time-to-first-byte x-edge-detailed-result-type sc-content-type sc-content-len sc-range-start sc-range-end\n2026-02-06\t00:00:38\tLAX1\t392\t192.0.2.100\tGET\td111111abcdef8.cloudfront.net\t/index.html\t200\t-\tMozilla/5.0%20(X11)\t-\t-\tHit\tSOX4xwn4XV6Q4rgb7XiVGOHms_BGlTAC4KyHmureZmBNrjGdRLiNIQ==\twww.example.org\thttps\t23\t0.001\t192.0.2.7,%20192.0.2.8\tTLSv1.3\tTLS_AES_128_GCM_SHA256\tHit\tHTTP/2.0\t-\t-\t11040\t0.001\tHit\ttext/html\t78\t-\t-\n#Fields: date time cs-method\n2026-02-06\t00:00:39\tHEAD\n",
    ),
    Example::plain(
        "2026-02-06\t00:00:38\tLAX1\t0\t2001:db8::1\tGET\td111111abcdef8.cloudfront.net\t/index.html\t000\t-\tMozilla/5.0%2520(X11)\ta=b\t-\tError\n",
    ),
    Example::plain(
        "#Version: 1.0\n#Fields: date time x-edge-location c-ip x-event sc-bytes x-cf-status x-cf-client-id cs-uri-stem cs-uri-query c-referrer x-page-url c-user-agent x-sname x-sname-query x-file-ext x-sid\n2012-03-12\t23:51:21\tSEA4\t192.0.2.222\tplay\t3914\tOK\tbfd8a98bee0840d9\trtmp://example.org/st\tkey=value\thttp://example.org/p.swf\thttp://example.org/?n=1\tLNX%2010,0,32,18\tvideo\tp=2&q=4\tflv\t1\n",
    ),
    Example {
        options: r#"{"fields": "timestamp c-ip time-to-first-byte sc-status cs-user-agent cs-headers cmcd-buffer-length"}"#,
        text: "1770336038.541\t192.0.2.100\t0.042\t200\tcurl/8.5.0\tHost:example.org%0AAccept:*/*%0A\t27800\n",
    },
];

/// Standard logs, which lines without header are.
const STANDARD: &str = "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent) \
    cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id x-host-header cs-protocol cs-bytes time-taken x-forwarded-for \
    ssl-protocol ssl-cipher x-edge-response-result-type cs-protocol-version fle-status fle-encrypted-fields c-port time-to-first-byte \
    x-edge-detailed-result-type sc-content-type sc-content-len sc-range-start sc-range-end";

/// The fields of the first standard logs, of 2010: a line has at least these.
const STANDARD_MIN: usize = 12;

const TIME: usize = 0;
const CS_USER_AGENT: usize = 9;
const USER_AGENT_DECODED: usize = 32;
const C_USER_AGENT: usize = 56;

/// Fields that make the column `time` together or alone; they are no columns of their own.
const DATE: usize = 1_000;
const TIME_OF_DAY: usize = 1_001;
const TIMESTAMP: usize = 1_002;
const TIMESTAMP_MS: usize = 1_003;

/// How a header line starts that names the fields.
const FIELDS: &str = "#Fields:";

#[derive(Debug)]
struct CloudFront {
    /// The places of lines without header.
    places: Vec<Place>,
    /// Whether nothing but the format itself says so.
    is_default: bool,
}

fn compile(options: &Options<'_>) -> Result<Box<dyn Grammar>, Problem> {
    let fields = options.text("fields");
    let places = named(listed(fields.unwrap_or(STANDARD)));
    if !places.iter().any(|place| matches!(place, Place::Column(_))) {
        return Err(Problem::new("fields", "names no field of CloudFront logs: list them as in `timestamp c-ip sc-status cs-uri-stem`"));
    }
    Ok(Box::new(CloudFront { places, is_default: fields.is_none() }))
}

/// The places of fields. A date without a time of day, and a time of day without a date, make no time: they are extra.
fn named<'a>(names: impl Iterator<Item = &'a str>) -> Vec<Place> {
    let mut places = places(names, find);
    let has = |column| places.contains(&Place::Column(column));
    if has(DATE) != has(TIME_OF_DAY) {
        for place in &mut places {
            match place {
                Place::Column(DATE) => *place = Place::Extra("date".to_owned()),
                Place::Column(TIME_OF_DAY) => *place = Place::Extra("time".to_owned()),
                _ => {}
            }
        }
    }
    places
}

/// The column of a field, which is written as `cs(User-Agent)` or as `cs-user-agent`.
fn find(name: &str) -> Option<usize> {
    let mut snake = String::with_capacity(name.len());
    for letter in name.chars().filter(char::is_ascii_graphic) {
        match letter {
            '-' | '(' => snake.push('_'),
            ')' => {}
            other => snake.push(other.to_ascii_lowercase()),
        }
    }
    match snake.as_str() {
        "date" => Some(DATE),
        "time" => Some(TIME_OF_DAY),
        "timestamp" => Some(TIMESTAMP),
        "timestamp_ms" => Some(TIMESTAMP_MS),
        "user_agent_decoded" => None,
        snake => COLUMNS.iter().position(|column| column.name == snake),
    }
}

impl Grammar for CloudFront {
    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn headers(&self) -> Headers {
        Headers::Prefixed("#")
    }

    fn layout(&self, header: &[u8], _: Option<&Layout>) -> Option<Layout> {
        let names = std::str::from_utf8(header).ok()?.strip_prefix(FIELDS)?;
        Some(Arc::new(named(names.split_ascii_whitespace())))
    }

    fn read(&self, line: &[u8], scope: &Scope<'_>, row: &mut Row<'_>) -> Result<Parsed, Reject> {
        let header = scope.layout.and_then(|layout| layout.downcast_ref::<Vec<Place>>());
        let is_default = header.is_none() && self.is_default;
        let read = read_fields(line, header.unwrap_or(&self.places), row).map_err(|reject| match is_default {
            true if !is_standard(line) => {
                Reject::new(0, "the line is of no standard log, and neither a header line nor the option `fields` names its fields")
            }
            _ => reject,
        })?;
        match read {
            Read::All => {}
            Read::Surplus(at) if is_default => row.set_extra(&surplus_json(&line[at..])),
            Read::Surplus(at) => return Err(Reject::new(at, "the line has more fields than were named")),
            Read::Missing(read) if is_default && read >= STANDARD_MIN => {}
            Read::Missing(_) => return Err(Reject::new(line.len(), "the line has fewer fields than were named")),
        }
        decode_user_agent(row);
        Ok(Parsed::Row)
    }
}

/// How the fields of a line compare to those that were named.
enum Read {
    All,
    /// More, from this byte on.
    Surplus(usize),
    /// Fewer: this many.
    Missing(usize),
}

/// Whether a line starts as those of standard logs do.
fn is_standard(line: &[u8]) -> bool {
    matches!(line, [_, _, _, _, b'-', _, _, b'-', _, _, b'\t', ..])
}

/// Reads fields to their places.
fn read_fields(line: &[u8], places: &[Place], row: &mut Row<'_>) -> Result<Read, Reject> {
    let (mut extra, mut moment) = (Extra::default(), Moment::default());
    let mut ends = memchr_iter(b'\t', line).chain([line.len()]);
    let (mut at, mut missing) = (0, None);
    for (read, place) in places.iter().enumerate() {
        let Some(end) = ends.next() else {
            missing = Some(read);
            break;
        };
        let value = &line[at..end];
        match place {
            Place::Column(column @ DATE..) => moment.take(*column, value, at)?,
            Place::Column(column) => set(row, COLUMNS, *column, value, at)?,
            Place::Extra(_) if value == b"-" => {}
            Place::Extra(name) => extra.text(name, value),
        }
        at = end + 1;
    }
    if let Some(micros) = moment.micros()? {
        row.time(TIME, micros);
    }
    extra.set(row);
    Ok(match missing {
        Some(read) => Read::Missing(read),
        // A tab at the end of a line adds nothing.
        None if at < line.len() => Read::Surplus(at),
        None => Read::All,
    })
}

/// What the fields of a line say about its time.
#[derive(Default)]
struct Moment<'a> {
    date: &'a [u8],
    time_of_day: &'a [u8],
    /// Where the later of the two stands.
    at: usize,
    stamped: Option<i64>,
}

impl<'a> Moment<'a> {
    fn take(&mut self, field: usize, value: &'a [u8], at: usize) -> Result<(), Reject> {
        if value == b"-" {
            return Ok(());
        }
        let stamped = match field {
            DATE => {
                (self.date, self.at) = (value, at);
                return Ok(());
            }
            TIME_OF_DAY => {
                (self.time_of_day, self.at) = (value, at);
                return Ok(());
            }
            TIMESTAMP => time::epoch_seconds_micros(value),
            _ => super::fields::int(value).and_then(|millis| millis.checked_mul(1_000)),
        };
        let stamped = stamped.ok_or_else(|| unfit(COLUMNS, TIME, at))?;
        // The one of milliseconds is the finer one.
        if field == TIMESTAMP_MS || self.stamped.is_none() {
            self.stamped = Some(stamped);
        }
        Ok(())
    }

    /// Microseconds since 1970.
    fn micros(&self) -> Result<Option<i64>, Reject> {
        if self.date.is_empty() && self.time_of_day.is_empty() {
            return Ok(self.stamped);
        }
        let mut text = [b'T'; DATE_BYTES + 1 + TIME_BYTES];
        if self.date.len() != DATE_BYTES || self.time_of_day.len() != TIME_BYTES {
            return Err(unfit(COLUMNS, TIME, self.at));
        }
        text[..DATE_BYTES].copy_from_slice(self.date);
        text[DATE_BYTES + 1..].copy_from_slice(self.time_of_day);
        let micros = time::iso_micros(&text, 0).ok_or_else(|| unfit(COLUMNS, TIME, self.at))?;
        Ok(Some(self.stamped.unwrap_or(micros)))
    }
}

/// Length of `2026-02-06`.
const DATE_BYTES: usize = 10;

/// Length of `00:00:38`.
const TIME_BYTES: usize = 8;

/// Surplus fields as a JSON array of texts.
fn surplus_json(surplus: &[u8]) -> String {
    let fields: Vec<Cow<'_, str>> = surplus.split(|byte| *byte == b'\t').map(String::from_utf8_lossy).collect();
    serde_json::Value::from(fields).to_string()
}

/// Undoes the encoding of the user agent. One that was encoded twice has encoded spaces, and no others, when it is
/// undone once.
fn decode_user_agent(row: &mut Row<'_>) {
    let Some(column) = [CS_USER_AGENT, C_USER_AGENT].into_iter().find(|column| row.cell(*column) != Cell::Null) else { return };
    let written = row.bytes(row.cell(column));
    if memchr(b'%', written).is_none() {
        return row.copy(column, USER_AGENT_DECODED);
    }
    let once: Cow<'_, [u8]> = percent_decode(written).into();
    let is_twice = memchr(b' ', &once).is_none() && memmem::find(&once, b"%20").is_some();
    let decoded: Cow<'_, [u8]> = if is_twice { percent_decode(&once).collect::<Vec<u8>>().into() } else { once };
    let decoded = String::from_utf8_lossy(&decoded).into_owned();
    row.owned(USER_AGENT_DECODED, &decoded);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::shown::shown;
    use crate::format::{Explained, Outcome, explain_all};
    use expect_test::{Expect, expect};

    fn grammar(fields: Option<&str>) -> Arc<dyn Grammar> {
        let spec = match fields {
            Some(fields) => serde_json::json!({"name": "cloudfront", "fields": fields}),
            None => serde_json::json!("cloudfront"),
        };
        crate::format::compile(&spec).unwrap()
    }

    fn check(text: &str, expected: Expect) {
        expected.assert_eq(&shown(grammar(None).as_ref(), text));
    }

    #[test]
    fn the_last_header_names_the_fields() {
        check(
            EXAMPLES[0].text,
            expect![[r#"
                Header
                Header
                row
                  time: 2026-02-06T00:00:38Z
                  x_edge_location: LAX1
                  sc_bytes: 392
                  c_ip: 192.0.2.100
                  cs_method: GET
                  cs_host: d111111abcdef8.cloudfront.net
                  cs_uri_stem: /index.html
                  sc_status: 200
                  cs_user_agent: Mozilla/5.0%20(X11)
                  x_edge_result_type: Hit
                  x_edge_request_id: SOX4xwn4XV6Q4rgb7XiVGOHms_BGlTAC4KyHmureZmBNrjGdRLiNIQ==
                  x_host_header: www.example.org
                  cs_protocol: https
                  cs_bytes: 23
                  time_taken: 0.001
                  x_forwarded_for: 192.0.2.7,%20192.0.2.8
                  ssl_protocol: TLSv1.3
                  ssl_cipher: TLS_AES_128_GCM_SHA256
                  x_edge_response_result_type: Hit
                  cs_protocol_version: HTTP/2.0
                  c_port: 11040
                  time_to_first_byte: 0.001
                  x_edge_detailed_result_type: Hit
                  sc_content_type: text/html
                  sc_content_len: 78
                  user_agent_decoded: Mozilla/5.0 (X11)
                Header
                row
                  time: 2026-02-06T00:00:39Z
                  cs_method: HEAD
            "#]],
        );
        check(
            EXAMPLES[1].text,
            expect![[r#"
                row
                  time: 2026-02-06T00:00:38Z
                  x_edge_location: LAX1
                  sc_bytes: 0
                  c_ip: 2001:db8::1
                  cs_method: GET
                  cs_host: d111111abcdef8.cloudfront.net
                  cs_uri_stem: /index.html
                  sc_status: 0
                  cs_user_agent: Mozilla/5.0%2520(X11)
                  cs_uri_query: a=b
                  x_edge_result_type: Error
                  user_agent_decoded: Mozilla/5.0 (X11)
            "#]],
        );
        check(
            EXAMPLES[2].text,
            expect![[r#"
                Header
                Header
                row
                  time: 2012-03-12T23:51:21Z
                  x_edge_location: SEA4
                  sc_bytes: 3914
                  c_ip: 192.0.2.222
                  cs_uri_stem: rtmp://example.org/st
                  cs_uri_query: key=value
                  user_agent_decoded: LNX 10,0,32,18
                  x_event: play
                  x_cf_status: OK
                  x_cf_client_id: bfd8a98bee0840d9
                  c_referrer: http://example.org/p.swf
                  x_page_url: http://example.org/?n=1
                  c_user_agent: LNX%2010,0,32,18
                  x_sname: video
                  x_sname_query: p=2&q=4
                  x_file_ext: flv
                  x_sid: 1
            "#]],
        );
        check(
            "#Fields:\tdate\ttime\tx-new\tcs(Host)\n2026-02-06\t00:00:38\t%20\"\th\n2026-02-06\t00:00:38\t-\t-\n",
            expect![[r#"
                Header
                row
                  time: 2026-02-06T00:00:38Z
                  cs_host: h
                  extra: {"x-new":"%20\""}
                row
                  time: 2026-02-06T00:00:38Z
            "#]],
        );
        expect![[r#"
            row
              time: 2026-02-06T00:00:38.541Z
              c_ip: 192.0.2.1
              extra: {"cmcd-a":"12"}
        "#]]
        .assert_eq(&shown(grammar(Some("timestamp ${c-ip},cmcd-a")).as_ref(), "1770336038.541\t192.0.2.1\t12"));
    }

    #[test]
    fn columns_stand_where_they_are_named() {
        assert_eq!(COLUMNS[CS_USER_AGENT].name, "cs_user_agent");
        assert_eq!(COLUMNS[USER_AGENT_DECODED].name, "user_agent_decoded");
        assert_eq!(COLUMNS[C_USER_AGENT].name, "c_user_agent");
        let standard = named(listed(STANDARD));
        assert_eq!(standard[..2], [Place::Column(DATE), Place::Column(TIME_OF_DAY)]);
        let others: Vec<Place> = (1..USER_AGENT_DECODED).map(Place::Column).collect();
        assert_eq!(standard[2..], others);
        assert_eq!((find("cs(User-Agent)"), find("x-page-url\u{200b}")), (Some(CS_USER_AGENT), find("x_page_url")));
        assert_eq!(find("user-agent-decoded"), None);
    }

    #[test]
    fn times_of_every_kind() {
        check(
            "#Fields: timestamp(ms) timestamp date time\n1770336038541\t1770336038\t2026-02-06\t00:00:38",
            expect![[r#"
                Header
                row
                  time: 2026-02-06T00:00:38.541Z
            "#]],
        );
        check(
            "#Fields: date sc-status\n2026-02-06\t000",
            expect![[r#"
                Header
                row
                  sc_status: 0
                  extra: {"date":"2026-02-06"}
            "#]],
        );
        check(
            "#Fields: date time\n-\t-\n2026-02-06\t-\n2026-02-30\t00:00:38\n2026-02-06\t0:00:38",
            expect![[r#"
                Header
                row
                reject at 0 `2026-02-06	-`: `time` is no time
                reject at 11 `00:00:38`: `time` is no time
                reject at 11 `0:00:38`: `time` is no time
            "#]],
        );
        check(
            "#Fields: timestamp\n1770336038.\n-\nx",
            expect![[r#"
                Header
                reject at 0 `1770336038.`: `time` is no time
                row
                reject at 0 `x`: `time` is no time
            "#]],
        );
    }

    #[test]
    fn user_agents_are_decoded_as_often_as_they_were_encoded() {
        let decoded = |written: &str| {
            let text = format!("#Fields: cs(User-Agent)\n{written}");
            let explained = explain_all(grammar(None).as_ref(), text.as_bytes(), 0);
            explained[1].columns[USER_AGENT_DECODED].1.clone()
        };
        assert_eq!(decoded("Mozilla/5.0%20(X11)").as_deref(), Some("Mozilla/5.0 (X11)"));
        assert_eq!(decoded("Mozilla/5.0%2520(X11)").as_deref(), Some("Mozilla/5.0 (X11)"));
        assert_eq!(decoded("100%2525%20a%2520b").as_deref(), Some("100%25 a%20b"));
        assert_eq!(decoded("a%22b%5C%E4").as_deref(), Some("a\"b\\\u{fffd}"));
        assert_eq!(decoded("curl/8.5.0").as_deref(), Some("curl/8.5.0"));
        assert_eq!(decoded("100%").as_deref(), Some("100%"));
        assert_eq!(decoded("-"), None);
    }

    #[test]
    fn rejects_say_where_and_why() {
        check(
            "#Fields: date time sc-bytes\n2026-02-06\t00:00:38\t1\t2\n2026-02-06\t00:00:38\n2026-02-06\t00:00:38\tx\nrubbish",
            expect![[r#"
            Header
            reject at 22 `2`: the line has more fields than were named
            reject at 19 ``: the line has fewer fields than were named
            reject at 20 `x`: `sc_bytes` is no integer
            reject at 0 `rubbish`: `time` is no time
        "#]],
        );
        check(
            "1770336038.541\t192.0.2.1\t12\trubbish",
            expect![[r#"
            reject at 0 `1770336038.541	192.0.2.1	12	rubbish`: the line is of no standard log, and neither a header line nor the option `fields` names its fields
        "#]],
        );
        check(
            "2026-02-06\t00:00:38\tLAX1\tx",
            expect![[r#"
            reject at 25 `x`: `sc_bytes` is no integer
        "#]],
        );
        check(
            "2026-02-06\t00:00:38\tLAX1\t12",
            expect![[r#"
            reject at 27 ``: the line has fewer fields than were named
        "#]],
        );
        assert_eq!(crate::format::compile(&serde_json::json!({"name": "cloudfront", "fields": "x"})).unwrap_err()[0].at, "fields");
    }

    /// The lines of a real log with what they were named as, and how they read.
    fn real(folder: &std::path::Path, file: &str) -> Vec<(Vec<(String, String)>, Explained)> {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        let names: Vec<&str> = text.lines().find_map(|line| line.strip_prefix(FIELDS)).unwrap().split_ascii_whitespace().collect();
        let rows = explain_all(grammar(None).as_ref(), text.as_bytes(), 0).into_iter().filter(|record| record.outcome != Outcome::Header);
        let named = |record: Explained| {
            assert_eq!(record.outcome, Outcome::Row { mark: None, extra: None }, "{file}: {}", record.text);
            (names.iter().zip(record.text.split('\t')).map(|(name, value)| ((*name).to_owned(), value.to_owned())).collect(), record)
        };
        rows.map(named).collect()
    }

    #[test]
    fn real_logs_read_whole() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/cloudfront");
        if !folder.is_dir() {
            eprintln!("SKIPPED: no real CloudFront logs in ../shared/data/cloudfront");
            return;
        }
        let files = [
            ("claygregory/web-1-0.txt", 2),
            ("claygregory/web-1-0-2019-12.txt", 3),
            ("claygregory/rtmp-1-0.txt", 6),
            ("claygregory/kinesis-1-0.txt", 1),
            ("opensearch-catalog/amazon_cloudfront__raw.log", 40),
        ];
        for (file, lines) in files {
            let rows = real(&folder, file);
            assert_eq!(rows.len(), lines, "{file}");
            for (fields, explained) in rows {
                for (name, written) in fields {
                    let Some((column, read)) = find(&name).and_then(|column| explained.columns.get(column)) else { continue };
                    let read = read.as_deref().unwrap_or("-");
                    let is_same = match column.kind {
                        Double if read != "-" => read.parse::<f64>() == written.parse(),
                        _ => read == written,
                    };
                    assert!(is_same, "{file}: {name} {written} {read}");
                }
                assert!(explained.columns[TIME].1.is_some() && explained.columns[USER_AGENT_DECODED].1.is_some());
            }
        }
    }
}
