//! What the access logs of the load balancers share: a line flows in; fields between spaces, some of them in quotes,
//! addresses with their ports, and the parts of a request line flow out.

use memchr::{memchr, memchr_iter, memmem, memrchr};

use super::fields::{set, set_text, unfit};
use super::{Column, Reject};
use crate::columns::Row;

/// The words of a request line that end it.
const PROTOCOL: &[u8] = b"HTTP/";

/// Where reading stands in a line.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    columns: &'static [Column],
    line: &'a [u8],
    /// Where the next field starts; one behind the end of the line after the last field.
    pub at: usize,
}

impl<'a> Fields<'a> {
    pub(super) fn new(columns: &'static [Column], line: &'a [u8], at: usize) -> Fields<'a> {
        Fields { columns, line, at }
    }

    /// Whether the last field has been read.
    pub(super) fn is_over(&self) -> bool {
        self.at > self.line.len()
    }

    /// What has not been read.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.line.get(self.at..).unwrap_or_default()
    }

    /// A field that ends at the next space; `None` where there is none, or an empty one.
    #[inline]
    pub(super) fn word(&mut self) -> Option<&'a [u8]> {
        let rest = self.line.get(self.at..)?;
        let len = memchr(b' ', rest).unwrap_or(rest.len());
        self.at += len + 1;
        rest.get(..len).filter(|word| !word.is_empty())
    }

    /// A field in quotes, or a bare `-`: what stands in the quotes. `\"` ends nothing. `None` where it is neither.
    #[inline]
    pub(super) fn quoted(&mut self) -> Option<&'a [u8]> {
        let rest = self.line.get(self.at..)?;
        let inside = match rest {
            [b'"', inside @ ..] => inside,
            [b'-'] | [b'-', b' ', ..] => {
                self.at += 2;
                return rest.get(..1);
            }
            _ => return None,
        };
        let end = memchr_iter(b'"', inside).find(|quote| !is_escaped(&inside[..*quote]))?;
        self.at += end + 3;
        matches!(inside.get(end + 1), None | Some(b' ')).then(|| &inside[..end])
    }

    /// A field with quotes or without.
    pub(super) fn any(&mut self) -> Option<&'a [u8]> {
        if self.rest().starts_with(b"\"") { self.quoted() } else { self.word() }
    }

    /// Reads a word into a column.
    #[inline]
    pub(super) fn set(&mut self, row: &mut Row<'_>, column: usize) -> Result<(), Reject> {
        let at = self.at;
        match self.word() {
            Some(value) => set(row, self.columns, column, value, at),
            None => Err(self.missing(column, at)),
        }
    }

    /// Reads an address with its port into a column and the one after it.
    #[inline]
    pub(super) fn set_address(&mut self, row: &mut Row<'_>, column: usize) -> Result<(), Reject> {
        let at = self.at;
        let Some(value) = self.word() else { return Err(self.missing(column, at)) };
        if value == b"-" {
            return Ok(());
        }
        let (ip, port) = address(value).ok_or_else(|| Reject::new(at, "an address is none like 192.0.2.1:443"))?;
        row.text(column, ip);
        match port {
            Some(port) => set(row, self.columns, column + 1, port, at),
            None => Ok(()),
        }
    }

    #[cold]
    fn missing(&self, column: usize, at: usize) -> Reject {
        match self.columns.get(column) {
            _ if at < self.line.len() => Reject::new(at, "a field is empty: two spaces in a row"),
            Some(column) => Reject::new(self.line.len(), format!("the line ends before its `{}`", column.name)),
            None => unfit(self.columns, column, at),
        }
    }
}

fn is_escaped(before: &[u8]) -> bool {
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// The two parts of `192.0.2.1:443`, `[2001:db8::1]:443` or, as load balancers write it, `2001:db8::1:443`. A bare IPv4
/// address has no port; of a bare IPv6 address nobody could tell, so that the last part is always the port.
fn address(text: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let Some(colon) = memrchr(b':', text) else { return Some((text, None)) };
    let (ip, port) = (&text[..colon], &text[colon + 1..]);
    let ip = ip.strip_prefix(b"[").and_then(|ip| ip.strip_suffix(b"]")).unwrap_or(ip);
    let is_port = (1..=5).contains(&port.len()) && port.iter().all(u8::is_ascii_digit);
    let is_whole = !ip.is_empty() && (!ip.ends_with(b":") || ip.ends_with(b"::"));
    (is_port && is_whole).then_some((ip, Some(port)))
}

/// Sets a request line and, in the three columns after it, its method, its target and its protocol. What is no request
/// line has no method, and what has no protocol none.
pub(super) fn set_request(row: &mut Row<'_>, column: usize, request: &[u8]) {
    set_text(row, column, request);
    let trimmed = request.trim_ascii_end();
    let Some(space) = memchr(b' ', trimmed) else { return };
    let (method, rest) = (&trimmed[..space], &trimmed[space + 1..]);
    let (target, protocol) = match memrchr(b' ', rest).map(|space| (&rest[..space], &rest[space + 1..])) {
        Some((target, protocol)) if protocol == b"-" || protocol.starts_with(PROTOCOL) => (target, protocol),
        _ => (rest, &b"-"[..]),
    };
    if !method.is_empty() && !target.is_empty() {
        set_text(row, column + 1, method);
        set_text(row, column + 2, target);
        set_text(row, column + 3, protocol);
    }
}

/// The two quoted fields of a text whose quotes lie: the request line, which ends in its protocol, and the user agent.
/// `None` where the text can be split at more than one place.
pub(super) fn request_and_user_agent(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = text.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let ends_in_protocol = |end: usize| {
        let request = inside[..end].trim_ascii_end();
        request == b"- - -" || memrchr(b' ', request).is_some_and(|space| request[space + 1..].starts_with(PROTOCOL))
    };
    let all: Vec<usize> = memmem::find_iter(inside, b"\" \"").take(BETWEEN_MAX).collect();
    let mut likely = all.iter().copied().filter(|end| ends_in_protocol(*end));
    let end = match (likely.next(), likely.next(), &all[..]) {
        (Some(end), None, _) | (None, None, &[end]) => end,
        _ => return None,
    };
    Some((&inside[..end], &inside[end + 3..]))
}

/// Places between two quoted fields that are looked at.
const BETWEEN_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(part: &[u8]) -> &str {
        std::str::from_utf8(part).unwrap()
    }

    #[test]
    fn addresses_with_ports() {
        let parts = |text: &'static str| address(text.as_bytes()).map(|(ip, port)| (self::text(ip), port.map(self::text)));
        assert_eq!(parts("192.0.2.1:443"), Some(("192.0.2.1", Some("443"))));
        assert_eq!(parts("2001:db8::1:443"), Some(("2001:db8::1", Some("443"))));
        assert_eq!(parts("2001:db8:::443"), Some(("2001:db8::", Some("443"))));
        assert_eq!(parts("[2001:db8::1]:443"), Some(("2001:db8::1", Some("443"))));
        assert_eq!(parts("192.0.2.1"), Some(("192.0.2.1", None)));
        for text in ["192.0.2.1:", ":443", "2001:db8::abc", "2001:db8::1", "192.0.2.1:443443", "[]:1"] {
            assert_eq!(parts(text), None, "{text}");
        }
    }

    #[test]
    fn two_quoted_fields_that_hold_quotes() {
        let parts = |text: &'static str| request_and_user_agent(text.as_bytes()).map(|(a, b)| (self::text(a), self::text(b)));
        assert_eq!(parts(r#""GET /"a" "b HTTP/1.1" "x "y" z""#), Some((r#"GET /"a" "b HTTP/1.1"#, r#"x "y" z"#)));
        assert_eq!(parts(r#""GET /a" "x "y"""#), Some(("GET /a", r#"x "y""#)));
        assert_eq!(parts(r#""GET /a HTTP/1.1" "x HTTP/1.1" "y""#), None);
        assert_eq!(parts(r#""GET /a" "x" "y""#), None);
        assert_eq!(parts(r#""GET /a""#), None);
        assert_eq!(parts(r#"""#), None);
    }
}
