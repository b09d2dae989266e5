//! Values as web servers write them: a piece of a line flows in, typed cells flow out. Escapes are undone where they give
//! text; bytes that are no UTF-8 stay written as `\xhh`, so that nothing is lost.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memrchr};

use super::Values;
use super::clock::{Clock, Stamp};
use super::time::{digit, epoch_seconds_micros, iso_micros};
use super::zone::Zone;
use crate::columns::{Kind, Row};

/// How a value is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Text; `-` is null.
    Text,
    /// One ASCII character, `-` among them.
    Letter,
    /// An integer; `-` is null.
    Integer,
    /// A number of bytes; `-` is 0.
    Size,
    /// Three digits; `-` is null.
    Status,
    /// A number with a fraction or without; `-` is null.
    Decimal,
    /// `[30/Oct/2023:19:01:01 +0000]`.
    Clf,
    /// ISO 8601.
    Iso,
    /// Seconds since 1970 with a fraction.
    EpochSeconds,
    /// A time, or a part of one, by a pattern; of the start (0) or of the end (1) of a request.
    Part(Clock, usize),
    /// Several values with `, ` and ` : ` between them, kept as text.
    List,
    /// A request line, which gives four columns.
    Request,
}

/// The columns after the request line, which hold its parts.
pub(super) const REQUEST_PARTS: [(&str, Values, &str); 3] = [
    ("method", Values::Repeating, "method of the request line; null if it is none of HTTP"),
    ("request_uri", Values::Distinct, "target of the request line as the client sent it; null if it is none of HTTP"),
    ("protocol", Values::Repeating, "protocol of the request line, as `HTTP/1.1`; null if it has none"),
];

/// The times of a request that are put together from parts: at its start and at its end.
pub(super) type Moments = [Stamp; 2];

/// What a server does to values before it writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writes {
    /// Escapes quotes, backslashes and bytes; a value that is not there is `-`.
    Escaped,
    /// Escapes as JSON does; a value that is not there is empty.
    Json,
    /// Escapes nothing; a value that is not there is empty.
    Raw,
}

impl Reading {
    /// The type of the column.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Reading::Text | Reading::Letter | Reading::List | Reading::Request => Kind::Text,
            Reading::Integer | Reading::Size => Kind::Int64,
            Reading::Status => Kind::Int32,
            Reading::Decimal => Kind::Double,
            Reading::Clf | Reading::Iso | Reading::EpochSeconds | Reading::Part(..) => Kind::Time,
        }
    }

    /// Whether any value will do.
    pub(super) fn is_text(&self) -> bool {
        self.kind() == Kind::Text
    }

    /// Whether it shows by itself where it ends.
    pub(super) fn ends_itself(&self) -> bool {
        matches!(self, Reading::Letter | Reading::Clf | Reading::Part(..))
    }

    /// What a value has to be, for messages.
    pub(super) fn expected(&self) -> &'static str {
        match self {
            Reading::Text | Reading::List | Reading::Request => "a text",
            Reading::Letter => "one ASCII character",
            Reading::Integer => "a whole number of at most 64 bits",
            Reading::Size => "a number of bytes or `-`",
            Reading::Status => "a status of three digits",
            Reading::Decimal => "a number",
            Reading::Clf => "a time like [06/Feb/2026:00:00:38 +0000]",
            Reading::Iso => "an ISO 8601 time",
            Reading::EpochSeconds => "a time in seconds since 1970",
            Reading::Part(..) => "a time by its pattern",
        }
    }
}

/// Sets the column, or columns, of a value that does not end itself. Says whether it reads as it ought to.
#[inline]
pub(super) fn set(reading: &Reading, value: &[u8], writes: Writes, column: usize, row: &mut Row<'_>) -> bool {
    if value == b"-" {
        if *reading == Reading::Size {
            row.int(column, 0);
        }
        return true;
    }
    if value.is_empty() && (reading.kind() != Kind::Text || writes != Writes::Escaped) {
        return true;
    }
    match reading {
        Reading::Text | Reading::List | Reading::Letter => text(value, writes, column, row),
        Reading::Request => request(value, writes, column, row),
        Reading::Integer | Reading::Size => return integer(value).map(|value| row.int(column, value)).is_some(),
        Reading::Status => {
            let [a, b, c] = value else { return false };
            let status = digit(*a).zip(digit(*b)).zip(digit(*c));
            return status.map(|((a, b), c)| row.int(column, i64::from(a) * 100 + i64::from(b) * 10 + i64::from(c))).is_some();
        }
        Reading::Decimal => return decimal(value).map(|value| row.double(column, value)).is_some(),
        Reading::Iso => return iso_micros(value, 0).map(|micros| row.time(column, micros)).is_some(),
        Reading::EpochSeconds => return epoch_seconds_micros(value).map(|micros| row.time(column, micros)).is_some(),
        Reading::Part(clock, _) => {
            return clock.whole_micros(value, Zone::UTC, 0).flatten().map(|micros| row.time(column, micros)).is_some();
        }
        Reading::Clf => return false,
    }
    true
}

#[inline]
fn text(value: &[u8], writes: Writes, column: usize, row: &mut Row<'_>) {
    match writes != Writes::Raw && memchr(b'\\', value).is_some() {
        true => row.owned(column, &unescaped(value)),
        false => row.text(column, value),
    }
}

/// The request line, and its parts where it is one.
#[inline]
fn request(value: &[u8], writes: Writes, column: usize, row: &mut Row<'_>) {
    let plain: Cow<'_, [u8]> = match writes != Writes::Raw && memchr(b'\\', value).is_some() {
        true => unescaped(value).into_bytes().into(),
        false => value.into(),
    };
    row.text(column, &plain);
    let Some((method, target, protocol)) = request_parts(&plain) else { return };
    row.text(column + 1, method);
    if !target.is_empty() {
        row.text(column + 2, target);
    }
    if !protocol.is_empty() {
        row.text(column + 3, protocol);
    }
}

/// Method, target and protocol. The target may hold spaces; without a protocol (HTTP/0.9) it is all that follows the method.
fn request_parts(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = memchr(b' ', line)?;
    let (method, rest) = (&line[..space], &line[space + 1..]);
    let is_method = !method.is_empty() && method.iter().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_'));
    if !is_method {
        return None;
    }
    let last = memrchr(b' ', rest).map_or(0, |space| space + 1);
    match is_protocol(&rest[last..]) {
        true => Some((method, &rest[..last.saturating_sub(1)], &rest[last..])),
        false => Some((method, rest, &[])),
    }
}

/// `HTTP/1.1`, `RTSP/1.0` and the like.
fn is_protocol(word: &[u8]) -> bool {
    let slash = memchr(b'/', word).unwrap_or(0);
    let version = word.get(slash + 1..).unwrap_or_default();
    slash > 0
        && word[..slash].iter().all(u8::is_ascii_uppercase)
        && version.first().is_some_and(u8::is_ascii_digit)
        && version.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
}

/// A whole number; `None` for anything else, or more than 64 bits hold.
#[inline]
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let (is_negative, digits) = text.strip_prefix(b"-").map_or((false, text), |digits| (true, digits));
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    let value = digits.iter().try_fold(0i64, |value, byte| value.checked_mul(10)?.checked_add(i64::from(digit(*byte)?)))?;
    Some(if is_negative { -value } else { value })
}

/// A number in digits, with a fraction or without.
#[inline]
pub(super) fn decimal(text: &[u8]) -> Option<f64> {
    let is_plain = text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-'));
    std::str::from_utf8(text).ok()?.parse().ok().filter(|value: &f64| is_plain && value.is_finite())
}

/// Undoes the escapes of httpd, of nginx and of JSON: `\"`, `\n` and the like, `\xhh`, `\uhhhh`. What is no escape stays.
pub(super) fn unescaped(value: &[u8]) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(value.len()), value);
    while let Some(at) = memchr(b'\\', rest) {
        bytes.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let used = unescape(rest, &mut bytes);
        rest = rest.get(used..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest);
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}

/// Undoes the escape that `text` starts with. Gives how many bytes it took.
fn unescape(text: &[u8], out: &mut Vec<u8>) -> usize {
    let hex = |range: std::ops::Range<usize>| {
        let digits = text.get(range).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let letter = match text.get(1) {
        Some(b'x' | b'X') => {
            if let Some(byte) = hex(2..4) {
                out.push(byte as u8);
                return 4;
            }
            None
        }
        Some(b'u') => {
            if let Some(letter) = hex(2..6).and_then(char::from_u32) {
                out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                return 6;
            }
            None
        }
        Some(byte @ (b'"' | b'\\' | b'/')) => Some(*byte),
        Some(b'b') => Some(8),
        Some(b'n') => Some(b'\n'),
        Some(b'r') => Some(b'\r'),
        Some(b't') => Some(b'\t'),
        Some(b'v') => Some(11),
        Some(b'f') => Some(12),
        _ => None,
    };
    out.push(letter.unwrap_or(b'\\'));
    1 + usize::from(letter.is_some())
}

/// Where a value in quotes ends: at the first quote from `from`, or at the first that no backslash escapes.
#[inline]
pub(super) fn quote(line: &[u8], from: usize, skips_escapes: bool) -> Option<usize> {
    let mut at = from;
    loop {
        let rest = line.get(at..)?;
        let found = at + if skips_escapes { memchr2(b'"', b'\\', rest)? } else { memchr(b'"', rest)? };
        if line[found] == b'"' {
            return Some(found);
        }
        at = found + 2;
    }
}

/// Where a list ends that a space ends: at the first space from `from` that stands in no `, ` and no ` : `.
pub(super) fn list(line: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let space = at + memchr(b' ', line.get(at..)?)?;
        at = match () {
            () if line[..space].ends_with(b",") => space + 1,
            () if line[space..].starts_with(b" : ") => space + 3,
            () => return Some(space),
        };
    }
}

/// Values after the last known one, as a JSON array of texts; `None` where they are not well-formed: words without quotes,
/// or words in quotes.
pub(super) fn surplus(text: &[u8]) -> Option<String> {
    let (mut rest, mut values) = (text, Vec::new());
    loop {
        let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        rest = &rest[blanks..];
        if rest.is_empty() {
            return Some(serde_json::Value::from(values).to_string());
        }
        if blanks == 0 {
            return None;
        }
        let (value, end) = match rest[0] {
            b'"' => quote(rest, 1, true).map(|end| (&rest[1..end], end + 1))?,
            _ => {
                let end = memchr2(b' ', b'\t', rest).unwrap_or(rest.len());
                (&rest[..end], end)
            }
        };
        if rest[0] != b'"' && memchr(b'"', value).is_some() {
            return None;
        }
        values.push(unescaped(value));
        rest = &rest[end..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_are_undone_where_they_give_text() {
        let plain = |text: &str| unescaped(text.as_bytes());
        assert_eq!(plain(r#"a \"b\" \\ \t\x41\u00e9/\/"#), "a \"b\" \\ \tAé//");
        assert_eq!(plain(r"\xD0\x98 \xe4\xe5 \x16\x03"), "И \\xe4\\xe5 \u{16}\u{3}");
        assert_eq!(plain(r"C:\path\q\xzz\ud800\"), r"C:\path\q\xzz\ud800\");
    }

    #[test]
    fn request_lines_are_split_where_they_are_of_http() {
        let parts = |line: &'static str| {
            let text = |bytes: &'static [u8]| std::str::from_utf8(bytes).unwrap();
            request_parts(line.as_bytes()).map(|(method, target, protocol)| (text(method), text(target), text(protocol)))
        };
        assert_eq!(parts("GET /a b HTTP/1.1"), Some(("GET", "/a b", "HTTP/1.1")));
        assert_eq!(parts("GET /a b"), Some(("GET", "/a b", "")));
        assert_eq!(parts("M-SEARCH * HTTP/2"), Some(("M-SEARCH", "*", "HTTP/2")));
        assert_eq!(parts("OPTIONS sip:nm SIP/2.0"), Some(("OPTIONS", "sip:nm", "SIP/2.0")));
        assert_eq!(parts("GET  HTTP/1.1"), Some(("GET", "", "HTTP/1.1")));
        assert_eq!(parts("GET HTTP/1.1"), Some(("GET", "", "HTTP/1.1")));
        for text in ["", "GET", "\u{16}\u{3}\u{1} x", "t3 12.2.1", " /"] {
            assert_eq!(parts(text), None, "{text}");
        }
    }

    #[test]
    fn lists_end_where_no_separator_stands() {
        let end = |text: &str| list(text.as_bytes(), 0).map(|end| text[..end].to_owned());
        assert_eq!(end("0.1, 0.2 : -, 0.3 200").as_deref(), Some("0.1, 0.2 : -, 0.3"));
        assert_eq!(end("- 200").as_deref(), Some("-"));
        assert_eq!(end("0.1, 0.2"), None);
        assert_eq!(surplus(br#" a "b \"c" 3 "#).as_deref(), Some(r#"["a","b \"c","3"]"#));
        assert_eq!([surplus(br#" a" b"#), surplus(b"a"), surplus(br#" "a"#), surplus(br#" "a"b"#)], [None, None, None, None]);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[\\\\\"xu0-9a-fé :,/HTP.-]{0,40}") {
            let _ = (unescaped(text.as_bytes()), request_parts(text.as_bytes()), list(text.as_bytes(), 0), surplus(text.as_bytes()));
            let _ = (quote(text.as_bytes(), 0, true), integer(text.as_bytes()), decimal(text.as_bytes()));
        }
    }
}
