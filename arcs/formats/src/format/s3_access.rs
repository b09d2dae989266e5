//! Amazon S3 server access logs. A line flows in; 27 fields and the decoded key flow out.
//!
//! The format separates fields by spaces and puts three of them in quotes, but escapes nothing inside. What cannot lie
//! are the numbers after the request URI and the absence of quotes in the tail. A line is first split plainly; where
//! that meets a contradiction, [`recover`] looks for the numbers and splits around them. A row saved that way is marked.
//!
//! Longer than other files, because the columns, both readings and the examples are one thing.

use std::borrow::Cow;

use memchr::{memchr, memmem, memrchr};
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while_m_n, take_while1};
use nom::combinator::{consumed, peek};
use nom::sequence::{preceded, terminated};
use nom::{IResult, Parser};
use percent_encoding::percent_decode;

use crate::columns::{Cell, Kind, Row};
use crate::format::fields::{set_text, surplus_json, whole};
use crate::format::marks::Marks;
use crate::format::{Column, Example, Fixed, Format, Parsed, Reject, Values, time};

/// The format.
pub static FORMAT: Format = Format {
    name: "s3-access",
    summary: "Amazon S3 server access logs",
    page: "https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html",
    options: &[],
    examples: EXAMPLES,
    compile: |_| Fixed::grammar(COLUMNS, parse),
};

use Kind::{Int32, Int64, Text, Time};
use Values::{Distinct, Identifying, Repeating};

static COLUMNS: &[Column] = &[
    Column::fixed("bucket_owner", Text, "", Repeating, "canonical user id of the owner of the bucket"),
    Column::fixed("bucket", Text, "", Repeating, "bucket that the request was for"),
    Column::fixed("time", Time, "", Repeating, "when the request was received"),
    Column::fixed("remote_ip", Text, "", Repeating, "apparent IPv4 or IPv6 address of the requester; null for requests inside S3"),
    Column::fixed("requester", Text, "", Repeating, "canonical user id or IAM ARN of the requester; null if unauthenticated"),
    Column::fixed("request_id", Text, "", Identifying, "id that S3 gave the request"),
    Column::fixed("operation", Text, "", Repeating, "REST.method.resource, BATCH, WEBSITE, SOAP or S3 action"),
    Column::fixed(
        "key",
        Text,
        "",
        Distinct,
        "object key as written in the log, URL-encoded once or twice; null if the operation takes none",
    ),
    Column::fixed("request_uri", Text, "", Distinct, "request line: method, target and protocol, without its quotes"),
    Column::fixed("http_status", Int32, "", Repeating, "HTTP status of the response"),
    Column::fixed("error_code", Text, "", Repeating, "S3 error code; null if there was no error"),
    Column::fixed("bytes_sent", Int64, "bytes", Repeating, "bytes of the response without protocol overhead; null if none were sent"),
    Column::fixed("object_size", Int64, "bytes", Repeating, "size of the object in question"),
    Column::fixed("total_time", Int64, "ms", Repeating, "time the request was in flight from the server's view"),
    Column::fixed("turn_around_time", Int64, "ms", Repeating, "time S3 spent processing the request, up to the first byte of the response"),
    Column::fixed("referrer", Text, "", Repeating, "HTTP Referer header, without its quotes"),
    Column::fixed("user_agent", Text, "", Repeating, "HTTP User-Agent header, without its quotes"),
    Column::fixed("version_id", Text, "", Repeating, "version in the request; null if the operation takes none"),
    Column::fixed("host_id", Text, "", Repeating, "extended request id (x-amz-id-2)"),
    Column::fixed("signature_version", Text, "", Repeating, "SigV2 or SigV4; null if unauthenticated"),
    Column::fixed("cipher_suite", Text, "", Repeating, "TLS cipher; null for HTTP"),
    Column::fixed("authentication_type", Text, "", Repeating, "AuthHeader or QueryString; null if unauthenticated"),
    Column::fixed("host_header", Text, "", Repeating, "endpoint the request was sent to"),
    Column::fixed("tls_version", Text, "", Repeating, "TLS version; null for HTTP"),
    Column::fixed("access_point_arn", Text, "", Repeating, "ARN of the access point; null if none was used"),
    Column::fixed("acl_required", Text, "", Repeating, "Yes if an ACL was needed to authorise the request; null if not"),
    Column::fixed("source_region", Text, "", Repeating, "AWS Region that the request came from; null if unknown"),
    Column::fixed(
        "key_decoded",
        Text,
        "",
        Distinct,
        "object key with its URL encoding undone, where that differs: coalesce(key_decoded, key) is the key of every row",
    ),
];

static EXAMPLES: &[Example] = &[
    Example::plain(
        "7cd47ef2be lake [06/Feb/2026:00:00:38 +0000] 192.0.2.3 7cd47ef2be 3E57427F3EXAMPLE REST.GET.OBJECT a%2520b.txt \"GET /lake/a%20b.txt HTTP/1.1\" 200 - 113 113 7 5 \"-\" \"curl/8.5.0\" - s9lzHYrFp76ZVxRcpX9= SigV4 ECDHE-RSA-AES128-GCM-SHA256 AuthHeader lake.s3.us-west-1.amazonaws.com TLSv1.2 arn:aws:s3:us-west-1:123456789012:accesspoint/ap Yes us-west-1",
    ),
    Example::plain(
        "7cd47ef2be lake [06/Feb/2026:00:00:38 +0000] - AmazonS3 5DB7427F3EXAMPLE S3.EXPIRE.OBJECT a%20b.txt \"-\" - - - 113 - - \"-\" \"-\" - s9lzHYrFp76ZVxRcpX9=",
    ),
    Example::plain(
        "7cd47ef2be lake [06/Feb/2026:00:00:38 +0000] 2001:db8::1 - 891CE47D2EXAMPLE REST.COPY.OBJECT_GET a.txt - 200 - - 32 - - - - - s9lzHYrFp76ZVxRcpX9= SigV4",
    ),
    Example::plain(
        "7cd47ef2be lake [06/Feb/2026:00:00:38 +0000] 192.0.2.3 - A1206F460EXAMPLE WEBSITE.GET.OBJECT a.txt \"GET /a b.txt\" 404 NoSuchKey 297 - 38 - \"https://example.org/?q=\"x\"\" \"a \"quoted\" agent\" - s9lzHYrFp76ZVxRcpX9= - - - lake.s3-website.amazonaws.com - - -",
    ),
];

const TIME: usize = 2;
const OPERATION: usize = 6;
const KEY: usize = 7;
const REQUEST_URI: usize = 8;
const HTTP_STATUS: usize = 9;
const ERROR_CODE: usize = 10;
const TURN_AROUND_TIME: usize = 14;
const REFERRER: usize = 15;
const USER_AGENT: usize = 16;
const VERSION_ID: usize = 17;
const SOURCE_REGION: usize = 26;
const KEY_DECODED: usize = 27;

/// Operations whose key is URL-encoded once; all others encode it twice.
const ENCODED_ONCE: [&[u8]; 2] = [b"BATCH.DELETE.OBJECT", b"S3.EXPIRE.OBJECT"];

/// Where the numbers can stand in a line that lies about them: more than this are not looked at.
const ANCHORS_MAX: usize = 64;

fn parse(line: &[u8], row: &mut Row<'_>) -> Result<Parsed, Reject> {
    let mut marks = Marks::new(line);
    let rest = head(line, &mut marks, row)?;
    let shape = match plain(line, &mut marks, rest, row) {
        Some(()) => Parsed::Row,
        None => recover(line, rest, row).map(|()| Parsed::Recovered)?,
    };
    decode_key(row);
    Ok(shape)
}

fn fail<T>(at: usize, reason: &'static str) -> Result<T, Reject> {
    Err(Reject::new(at, reason))
}

/// The first eight fields, which hold neither spaces nor quotes. Gives where the next one starts.
fn head(line: &[u8], marks: &mut Marks<'_>, row: &mut Row<'_>) -> Result<usize, Reject> {
    let mut at = 0;
    for column in 0..TIME {
        at = word(line, marks, at, row, column)?;
    }
    at = bracketed_time(line, at, row)?;
    for column in TIME + 1..REQUEST_URI {
        at = word(line, marks, at, row, column)?;
    }
    Ok(at)
}

/// A field that ends at the next space. Gives where the next one starts.
#[inline]
fn word(line: &[u8], marks: &mut Marks<'_>, at: usize, row: &mut Row<'_>, column: usize) -> Result<usize, Reject> {
    match marks.space(at) {
        Some(end) if end == at => fail(at, "a field is empty: two spaces in a row"),
        Some(end) => {
            set_text(row, column, &line[at..end]);
            Ok(end + 1)
        }
        None => fail(line.len(), "the line ends before its request URI"),
    }
}

fn bracketed_time(line: &[u8], at: usize, row: &mut Row<'_>) -> Result<usize, Reject> {
    let Some(text) = line.get(at..at + time::CLF_BYTES) else { return fail(at, "the line ends in its time") };
    match (time::clf_micros(text), line.get(at + time::CLF_BYTES)) {
        (Some(micros), Some(b' ')) => {
            row.time(TIME, micros);
            Ok(at + time::CLF_BYTES + 1)
        }
        _ => fail(at, "the third field is no time like [06/Feb/2026:00:00:38 +0000]"),
    }
}

/// The plain reading of everything after the key; `None` where it meets a contradiction.
fn plain(line: &[u8], marks: &mut Marks<'_>, at: usize, row: &mut Row<'_>) -> Option<()> {
    let (uri, at) = quoted(line, marks, at)?;
    let at = numbers(line, marks, at, row)?;
    let (referrer, at) = quoted(line, marks, at)?;
    let (user_agent, at) = quoted(line, marks, at)?;
    tail(line, marks, at, row)?;
    set_text(row, REQUEST_URI, uri);
    set_text(row, REFERRER, referrer);
    set_text(row, USER_AGENT, user_agent);
    Some(())
}

/// A field in quotes, or a bare `-`, with the space after it. Gives its content and where the next field starts.
#[inline]
fn quoted<'l>(line: &'l [u8], marks: &mut Marks<'_>, at: usize) -> Option<(&'l [u8], usize)> {
    match line.get(at..)? {
        [b'"', ..] => {
            let end = marks.quote(at + 1)?;
            (line.get(end + 1) == Some(&b' ')).then(|| (&line[at + 1..end], end + 2))
        }
        [b'-', b' ', ..] => Some((b"-", at + 2)),
        _ => None,
    }
}

/// Status, error code and the four numbers. Gives where the next field starts.
fn numbers(line: &[u8], marks: &mut Marks<'_>, mut at: usize, row: &mut Row<'_>) -> Option<usize> {
    for column in HTTP_STATUS..=TURN_AROUND_TIME {
        let end = marks.space(at)?;
        let value = &line[at..end];
        match column {
            ERROR_CODE if value.is_empty() || marks.quote(at).is_some_and(|quote| quote < end) => return None,
            ERROR_CODE => set_text(row, column, value),
            HTTP_STATUS if value.len() != 3 && value != b"-" => return None,
            _ => set_number(row, column, value)?,
        }
        at = end + 1;
    }
    Some(at)
}

#[inline]
fn set_number(row: &mut Row<'_>, column: usize, value: &[u8]) -> Option<()> {
    if value != b"-" {
        row.int(column, whole(value)?);
    }
    Some(())
}

/// The fields after the user agent: at least the version id, no quotes. What follows the last known one is extra, and
/// may hold quotes only if no other end of the user agent fits.
fn tail(line: &[u8], marks: &mut Marks<'_>, at: usize, row: &mut Row<'_>) -> Option<()> {
    let quote = memchr(b'"', line.get(at..)?).map_or(line.len(), |quote| at + quote);
    let mut at = at;
    for column in VERSION_ID..=SOURCE_REGION {
        let found = marks.space(at);
        let end = found.unwrap_or(line.len());
        if end == at || quote < end {
            return None;
        }
        set_text(row, column, &line[at..end]);
        match found {
            Some(end) => at = end + 1,
            None => return Some(()),
        }
    }
    let rest = &line[at..];
    if hides_a_tail(rest) {
        return None;
    }
    row.set_extra(&surplus_json(rest));
    Some(())
}

/// Whether surplus fields look as if the user agent had only pretended to end: a quote is followed by a whole tail.
fn hides_a_tail(surplus: &[u8]) -> bool {
    memrchr(b'"', surplus).is_some_and(|quote| matches!(surplus.get(quote + 1..), Some([b' ', after @ ..]) if is_tail(after)))
}

/// Whether text reads as the fields after a user agent, by those with fixed words: signature, authentication, TLS.
fn is_tail(text: &[u8]) -> bool {
    let fields: Vec<&[u8]> = text.split(|byte| *byte == b' ').collect();
    let known = |field: Option<&&[u8]>, words: &[&[u8]]| {
        field.is_none_or(|field| *field == b"-" || words.iter().any(|word| field.starts_with(word)))
    };
    fields.len() >= 2
        && fields.iter().all(|field| !field.is_empty() && memchr(b'"', field).is_none())
        && known(fields.get(2), &[b"SigV"])
        && known(fields.get(4), &[b"AuthHeader", b"QueryString"])
        && known(fields.get(6), &[b"TLS"])
}

/// Reads a line that lies: looks for the numbers after the request URI, prefers those after `HTTP/…"`, and takes what is
/// left and right of them for the quoted fields.
fn recover(line: &[u8], at: usize, row: &mut Row<'_>) -> Result<(), Reject> {
    let rest = &line[at..];
    if !matches!(rest, [b'"', ..] | [b'-', b' ', ..]) {
        return fail(at, "the ninth field is no request URI: neither quoted nor `-`");
    }
    let anchors = anchors(rest);
    let is_ended_by_protocol =
        |(uri, _): &(usize, usize)| memmem::rfind(&rest[..*uri], b" HTTP/").is_some_and(|found| uri - found <= b" HTTP/1.1\"".len());
    let (first, others): (Vec<_>, Vec<_>) = anchors.into_iter().partition(is_ended_by_protocol);
    let mut failed = Reject::new(at, "no status, error code and four numbers stand after the request URI");
    for (uri, numbers_end) in first.into_iter().chain(others) {
        row.clear_from(REQUEST_URI);
        let tried = around(line, at, at + uri, at + numbers_end, row);
        match tried {
            Ok(()) => return Ok(()),
            Err(reject) => failed = reject,
        }
    }
    Err(failed)
}

/// Where numbers stand that have a quoted field, or `-`, before and behind: (end of what is before, end of the numbers).
fn anchors(rest: &[u8]) -> Vec<(usize, usize)> {
    let bare = rest.starts_with(b"- ").then_some(1);
    let after_quotes = memmem::find_iter(rest, b"\" ").map(|quote| quote + 1).filter(|end| *end > 1);
    let found = bare.into_iter().chain(after_quotes).filter_map(|end| {
        let (_, (text, _)) = consumed(anchor).parse(&rest[end..]).ok()?;
        Some((end, end + text.len()))
    });
    found.take(ANCHORS_MAX).collect()
}

/// ` 200 NoSuchKey 1 2 3 4 `, and what follows is a quote or a bare `-`.
fn anchor(input: &[u8]) -> IResult<&[u8], ()> {
    let dash = || tag(&b"-"[..]);
    let digits = |least, most| take_while_m_n(least, most, |byte: u8| byte.is_ascii_digit());
    let spaced_number = || preceded(tag(&b" "[..]), alt((dash(), digits(1, 19))));
    let status = preceded(tag(&b" "[..]), alt((dash(), digits(3, 3))));
    let code = preceded(tag(&b" "[..]), take_while1(|byte: u8| byte != b' ' && byte != b'"'));
    let follows = peek(alt((tag(&b"\""[..]), tag(&b"- "[..]))));
    let numbers = (status, code, spaced_number(), spaced_number(), spaced_number(), spaced_number());
    terminated(numbers, (tag(&b" "[..]), follows)).map(|_| ()).parse(input)
}

/// Reads a line around numbers that stand from `uri_end` to `numbers_end`.
fn around(line: &[u8], at: usize, uri_end: usize, numbers_end: usize, row: &mut Row<'_>) -> Result<(), Reject> {
    let mut marks = Marks::new(line);
    if numbers(line, &mut marks, uri_end + 1, row).is_none() {
        return fail(uri_end + 1, "a number after the request URI has more than 64 bits");
    }
    let (referrer, user_agent, tail_at) = headers(line, numbers_end)?;
    if tail(line, &mut marks, tail_at, row).is_none() {
        return fail(tail_at, "the fields after the user agent cannot be told from it");
    }
    set_text(row, REQUEST_URI, unquote(&line[at..uri_end]));
    set_text(row, REFERRER, unquote(referrer));
    set_text(row, USER_AGENT, unquote(user_agent));
    Ok(())
}

/// Referrer and user agent with their quotes, and where the tail starts. No quote stands in the tail, so the last quote
/// of the line ends the last quoted field.
fn headers(line: &[u8], at: usize) -> Result<(&[u8], &[u8], usize), Reject> {
    let rest = &line[at..];
    if rest.starts_with(b"- - ") {
        return Ok((b"-", b"-", at + 4));
    }
    let end = memrchr(b'"', rest).map_or(0, |quote| quote + 1);
    if rest.get(end) != Some(&b' ') {
        return fail(at + end, "the line ends in its referrer or its user agent");
    }
    let is_quoted = |field: &[u8]| field.len() >= 2 && field.starts_with(b"\"");
    if rest.starts_with(b"- ") {
        let user_agent = rest.get(2..end).filter(|field| is_quoted(field));
        return user_agent.map_or(fail(at + 2, "the user agent is neither quoted nor `-`"), |field| Ok((b"-", field, at + end + 1)));
    }
    let both = &rest[..end];
    let between = memmem::find(both.get(1..).unwrap_or_default(), b"\" \"");
    match between.map(|between| both.split_at(between + 2)) {
        Some((referrer, user_agent)) if is_quoted(&user_agent[1..]) => Ok((referrer, &user_agent[1..], at + end + 1)),
        None if is_quoted(both) && rest[end..].starts_with(b" - ") => Ok((both, b"-", at + end + 3)),
        _ => fail(at + end, "the line ends between its referrer and its user agent"),
    }
}

fn unquote(field: &[u8]) -> &[u8] {
    field.strip_prefix(b"\"").and_then(|field| field.strip_suffix(b"\"")).unwrap_or(field)
}

/// Undoes the URL encoding of the key: once for the operations that encode once, twice for the others. Most keys are
/// written as they are: a second copy of all of them would be a fifth of the table.
fn decode_key(row: &mut Row<'_>) {
    let (key, operation) = (row.cell(KEY), row.cell(OPERATION));
    if key == Cell::Null || memchr(b'%', row.bytes(key)).is_none() {
        return;
    }
    let once: Cow<'_, [u8]> = percent_decode(row.bytes(key)).into();
    let decoded = if ENCODED_ONCE.contains(&row.bytes(operation)) { once } else { percent_decode(&once).collect::<Vec<u8>>().into() };
    let decoded = String::from_utf8_lossy(&decoded).into_owned();
    row.owned(KEY_DECODED, &decoded);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Grammar, Outcome, explain};
    use expect_test::{Expect, expect};
    use std::fmt::Write as _;

    const HEAD: &str = "owner lake [06/Feb/2026:00:00:38 +0000] 192.0.2.3 user REQ REST.GET.OBJECT k";
    const TAIL: &str = "- host= SigV4 cipher AuthHeader lake.s3.amazonaws.com TLSv1.2 - - us-east-1";

    fn grammar() -> Box<dyn Grammar> {
        Fixed::grammar(COLUMNS, parse).unwrap()
    }

    /// The columns from the request URI to the version id, the last one set, and what the line is.
    fn check(line: &str, expected: Expect) {
        let explained = explain(grammar().as_ref(), line.as_bytes());
        let value = |n: usize| explained.columns[n].1.as_deref().unwrap_or("∅");
        let mut shown = String::new();
        match &explained.outcome {
            Outcome::Row { mark, extra } => {
                let _ = writeln!(shown, "{}", mark.unwrap_or("plain"));
                for n in [REQUEST_URI, REFERRER, USER_AGENT] {
                    let _ = writeln!(shown, "{}: {}", COLUMNS[n].name, value(n));
                }
                let numbers: Vec<_> = (HTTP_STATUS..=TURN_AROUND_TIME).map(value).collect();
                let _ = writeln!(shown, "{}", numbers.join(" "));
                let tail: Vec<_> = (VERSION_ID..=SOURCE_REGION).map(value).collect();
                let _ = writeln!(shown, "{}", tail.join(" "));
                if let Some(extra) = extra {
                    let _ = writeln!(shown, "extra: {extra}");
                }
            }
            Outcome::Reject { at, reason } => {
                let _ = writeln!(shown, "reject at {at} `{}`: {reason}", String::from_utf8_lossy(&line.as_bytes()[*at..]));
            }
            other => {
                let _ = writeln!(shown, "{other:?}");
            }
        }
        expected.assert_eq(&shown);
    }

    #[test]
    fn plain_lines() {
        check(
            &format!("{HEAD} \"GET /k HTTP/1.1\" 200 - 1 2 3 4 \"-\" \"curl\" {TAIL}"),
            expect![[r#"
            plain
            request_uri: GET /k HTTP/1.1
            referrer: ∅
            user_agent: curl
            200 ∅ 1 2 3 4
            ∅ host= SigV4 cipher AuthHeader lake.s3.amazonaws.com TLSv1.2 ∅ ∅ us-east-1
        "#]],
        );
        check(
            &format!("{HEAD} - - - - - - - - - - h"),
            expect![[r#"
            plain
            request_uri: ∅
            referrer: ∅
            user_agent: ∅
            ∅ ∅ ∅ ∅ ∅ ∅
            ∅ h ∅ ∅ ∅ ∅ ∅ ∅ ∅ ∅
        "#]],
        );
        check(
            &format!("{HEAD} \"-\" 204 NoSuchKey - - 3 - \"\" \"-\" v"),
            expect![[r#"
            plain
            request_uri: ∅
            referrer: 
            user_agent: ∅
            204 NoSuchKey ∅ ∅ 3 ∅
            v ∅ ∅ ∅ ∅ ∅ ∅ ∅ ∅ ∅
        "#]],
        );
    }

    #[test]
    fn tails_of_every_length() {
        let tail: Vec<&str> = TAIL.split(' ').collect();
        for fields in 1..=tail.len() {
            let line = format!("{HEAD} \"GET /k HTTP/1.1\" 200 - 1 2 3 4 \"-\" \"curl\" {}", tail[..fields].join(" "));
            let explained = explain(grammar().as_ref(), line.as_bytes());
            assert_eq!(explained.outcome, Outcome::Row { mark: None, extra: None }, "{line}");
            for (n, field) in tail.iter().enumerate() {
                let expected = (n < fields && *field != "-").then(|| (*field).to_owned());
                assert_eq!(explained.columns[VERSION_ID + n].1, expected);
            }
        }
        check(
            &format!("{HEAD} \"GET /k HTTP/1.1\" 200 - 1 2 3 4 \"-\" \"curl\" {TAIL} new \"two words\""),
            expect![[r#"
            plain
            request_uri: GET /k HTTP/1.1
            referrer: ∅
            user_agent: curl
            200 ∅ 1 2 3 4
            ∅ host= SigV4 cipher AuthHeader lake.s3.amazonaws.com TLSv1.2 ∅ ∅ us-east-1
            extra: ["new","two words"]
        "#]],
        );
        check(
            &format!("{HEAD} \"GET /k HTTP/1.1\" 200 - 1 2 3 4 \"-\" \"curl\""),
            expect![[r#"
            reject at 119 ``: the line ends in its referrer or its user agent
        "#]],
        );
    }

    #[test]
    fn quotes_inside_headers() {
        check(
            &format!("{HEAD} \"GET /k HTTP/1.1\" 200 - 1 2 3 4 \"-\" \"a (\"quoted\") b\" {TAIL}"),
            expect![[r#"
            recovered
            request_uri: GET /k HTTP/1.1
            referrer: ∅
            user_agent: a ("quoted") b
            200 ∅ 1 2 3 4
            ∅ host= SigV4 cipher AuthHeader lake.s3.amazonaws.com TLSv1.2 ∅ ∅ us-east-1
        "#]],
        );
        check(
            &format!("{HEAD} \"GET /k HTTP/1.1\" 200 - 1 2 3 4 \"-\" \"a \"quoted\" b\" {TAIL}"),
            expect![[r#"
            recovered
            request_uri: GET /k HTTP/1.1
            referrer: ∅
            user_agent: a "quoted" b
            200 ∅ 1 2 3 4
            ∅ host= SigV4 cipher AuthHeader lake.s3.amazonaws.com TLSv1.2 ∅ ∅ us-east-1
        "#]],
        );
        check(
            &format!("{HEAD} \"GET /k HTTP/1.1\" 200 - 1 2 3 4 \"https://x/?q=\"a b\"&p=1\" \"curl\" {TAIL}"),
            expect![[r#"
            recovered
            request_uri: GET /k HTTP/1.1
            referrer: https://x/?q="a b"&p=1
            user_agent: curl
            200 ∅ 1 2 3 4
            ∅ host= SigV4 cipher AuthHeader lake.s3.amazonaws.com TLSv1.2 ∅ ∅ us-east-1
        "#]],
        );
        check(
            &format!("{HEAD} \"GET /k HTTP/1.1\" 200 - 1 2 3 4 \"https://x/?q=\"a b\"\" - {TAIL}"),
            expect![[r#"
            recovered
            request_uri: GET /k HTTP/1.1
            referrer: https://x/?q="a b"
            user_agent: ∅
            200 ∅ 1 2 3 4
            ∅ host= SigV4 cipher AuthHeader lake.s3.amazonaws.com TLSv1.2 ∅ ∅ us-east-1
        "#]],
        );
        check(
            &format!("{HEAD} \"GET /k HTTP/1.1\" 200 - 1 2 3 4 - \"\"\" {TAIL}"),
            expect![[r#"
            recovered
            request_uri: GET /k HTTP/1.1
            referrer: ∅
            user_agent: "
            200 ∅ 1 2 3 4
            ∅ host= SigV4 cipher AuthHeader lake.s3.amazonaws.com TLSv1.2 ∅ ∅ us-east-1
        "#]],
        );
    }

    #[test]
    fn a_user_agent_that_plays_the_rest_of_a_line() {
        check(
            &format!("{HEAD} \"GET /k HTTP/1.1\" 403 AccessDenied 1 2 3 4 \"-\" \"x\" 200 - 9 9 9 9 \"-\" \"y\" {TAIL}"),
            expect![[r#"
            recovered
            request_uri: GET /k HTTP/1.1
            referrer: ∅
            user_agent: x" 200 - 9 9 9 9 "-" "y
            403 AccessDenied 1 2 3 4
            ∅ host= SigV4 cipher AuthHeader lake.s3.amazonaws.com TLSv1.2 ∅ ∅ us-east-1
        "#]],
        );
        check(
            &format!("{HEAD} \"GET /k HTTP/1.1\" 403 AccessDenied 1 2 3 4 \"-\" \"x\" {TAIL} \" {TAIL}"),
            expect![[r#"
            recovered
            request_uri: GET /k HTTP/1.1
            referrer: ∅
            user_agent: x" - host= SigV4 cipher AuthHeader lake.s3.amazonaws.com TLSv1.2 - - us-east-1 
            403 AccessDenied 1 2 3 4
            ∅ host= SigV4 cipher AuthHeader lake.s3.amazonaws.com TLSv1.2 ∅ ∅ us-east-1
        "#]],
        );
    }

    #[test]
    fn request_lines_with_spaces_and_quotes() {
        check(
            &format!("{HEAD} \"GET /a b\" 404 NoSuchKey 1 2 3 4 \"-\" \"curl\" {TAIL}"),
            expect![[r#"
            plain
            request_uri: GET /a b
            referrer: ∅
            user_agent: curl
            404 NoSuchKey 1 2 3 4
            ∅ host= SigV4 cipher AuthHeader lake.s3.amazonaws.com TLSv1.2 ∅ ∅ us-east-1
        "#]],
        );
        check(
            &format!("{HEAD} \"GET /a\"b HTTP/1.1\" 404 NoSuchKey 1 2 3 4 \"-\" \"curl\" {TAIL}"),
            expect![[r#"
            recovered
            request_uri: GET /a"b HTTP/1.1
            referrer: ∅
            user_agent: curl
            404 NoSuchKey 1 2 3 4
            ∅ host= SigV4 cipher AuthHeader lake.s3.amazonaws.com TLSv1.2 ∅ ∅ us-east-1
        "#]],
        );
        check(
            &format!("{HEAD} \"GET /a\" 200 - 9 9 9 9 \"b HTTP/1.1\" 404 NoSuchKey 1 2 3 4 \"-\" \"curl\" {TAIL}"),
            expect![[r#"
            recovered
            request_uri: GET /a" 200 - 9 9 9 9 "b HTTP/1.1
            referrer: ∅
            user_agent: curl
            404 NoSuchKey 1 2 3 4
            ∅ host= SigV4 cipher AuthHeader lake.s3.amazonaws.com TLSv1.2 ∅ ∅ us-east-1
        "#]],
        );
    }

    #[test]
    fn rejects_say_where_and_why() {
        check(
            "rubbish",
            expect![[r#"
            reject at 7 ``: the line ends before its request URI
        "#]],
        );
        check(
            "a  b",
            expect![[r#"
            reject at 2 ` b`: a field is empty: two spaces in a row
        "#]],
        );
        check(
            "owner lake [31/Feb/2026:00:00:38 +0000] - - R O k - - - - - - - - - - h",
            expect![[r#"
            reject at 11 `[31/Feb/2026:00:00:38 +0000] - - R O k - - - - - - - - - - h`: the third field is no time like [06/Feb/2026:00:00:38 +0000]
        "#]],
        );
        check(
            &format!("{HEAD} GET 200"),
            expect![[r#"
            reject at 77 `GET 200`: the ninth field is no request URI: neither quoted nor `-`
        "#]],
        );
        check(
            &format!("{HEAD} \"GET /k HTTP/1.1\" 200 - x 2 3 4 \"-\" \"curl\" {TAIL}"),
            expect![[r#"
            reject at 77 `"GET /k HTTP/1.1" 200 - x 2 3 4 "-" "curl" - host= SigV4 cipher AuthHeader lake.s3.amazonaws.com TLSv1.2 - - us-east-1`: no status, error code and four numbers stand after the request URI
        "#]],
        );
        check(
            &format!("{HEAD} \"GET /k HTTP/1.1\" 200 - 9999999999999999999 2 3 4 \"-\" \"curl\" {TAIL}"),
            expect![[r#"
            reject at 95 `200 - 9999999999999999999 2 3 4 "-" "curl" - host= SigV4 cipher AuthHeader lake.s3.amazonaws.com TLSv1.2 - - us-east-1`: a number after the request URI has more than 64 bits
        "#]],
        );
        check(
            &format!("{HEAD} \"GET /k HTTP/1.1\" 200 - 1 2 3 4 \"-\" \"cu"),
            expect![[r#"
            reject at 114 `cu`: the line ends in its referrer or its user agent
        "#]],
        );
    }

    #[test]
    fn keys_are_decoded_as_often_as_they_were_encoded() {
        let decoded = |operation: &str, key: &str| {
            let line = format!("owner lake [06/Feb/2026:00:00:38 +0000] - - R {operation} {key} - - - - - - - - - - h");
            explain(grammar().as_ref(), line.as_bytes()).columns[KEY_DECODED].1.clone()
        };
        assert_eq!(decoded("REST.GET.OBJECT", "a%2520b%252Fc").as_deref(), Some("a b/c"));
        assert_eq!(decoded("BATCH.DELETE.OBJECT", "a%2520b%2Fc").as_deref(), Some("a%20b/c"));
        assert_eq!(decoded("S3.EXPIRE.OBJECT", "100%25").as_deref(), Some("100%"));
        assert_eq!(decoded("REST.GET.OBJECT", "a%25E4b%zz%").as_deref(), Some("a\u{fffd}b%zz%"));
        assert_eq!(decoded("REST.GET.OBJECT", "plain+key"), None, "it is the key as it stands");
        assert_eq!(decoded("REST.GET.BUCKET", "-"), None);
    }

    #[test]
    fn real_logs_read_whole() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/s3access");
        if !folder.is_dir() {
            eprintln!("SKIPPED: no real S3 logs in ../shared/data/s3access");
            return;
        }
        let files = ["aws-docs/LogFormat_samples.log", "opensearch-catalog/amazon_s3__raw.log", "tessellate/aws-s3-access-log.txt"];
        let mut rows = 0;
        for file in files {
            let text = std::fs::read_to_string(folder.join(file)).unwrap();
            for line in text.lines().filter(|line| !line.trim().is_empty()) {
                let outcome = explain(grammar().as_ref(), line.as_bytes()).outcome;
                assert_eq!(outcome, Outcome::Row { mark: None, extra: None }, "{line}");
                rows += 1;
            }
        }
        assert!(rows >= 25, "{rows}");
    }
}
