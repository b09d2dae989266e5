//! JSON objects as formats read them: text flows in, the members of the outermost object flow out, one by one, nested
//! values as the text they are. Strings without escapes are not copied. `serde_json` reads what is rare: escapes, nesting.

use std::borrow::Cow;

use memchr::memchr2;
use serde::de::IgnoredAny;

use super::Reject;

/// A value of a member.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number as it is written; one that JSON allows.
    Number(&'a [u8]),
    /// A string, without its quotes and escapes.
    Text(Cow<'a, [u8]>),
    /// An object or an array, as it is written; well-formed.
    Nested(&'a [u8]),
}

impl<'a> Json<'a> {
    /// The value as text, as it would stand in a text column: strings without quotes, the rest as written; `None` for null.
    pub(super) fn into_text(self) -> Option<Cow<'a, [u8]>> {
        match self {
            Json::Null => None,
            Json::Boolean(value) => Some(Cow::Borrowed(if value { b"true" } else { b"false" })),
            Json::Number(text) | Json::Nested(text) => Some(Cow::Borrowed(text)),
            Json::Text(text) => Some(text),
        }
    }

    /// The value as a 64-bit integer: a number, or a string that is one; `None` for all others and for fractions.
    pub(super) fn int(&self) -> Option<i64> {
        let text: &[u8] = match self {
            Json::Number(text) => text,
            Json::Text(text) => text,
            _ => return None,
        };
        std::str::from_utf8(text).ok()?.parse().ok()
    }

    /// The value as a floating-point number: a number, or a string that is one.
    pub(super) fn double(&self) -> Option<f64> {
        let text: &[u8] = match self {
            Json::Number(text) => text,
            Json::Text(text) => text,
            _ => return None,
        };
        std::str::from_utf8(text).ok()?.parse().ok().filter(|value: &f64| value.is_finite())
    }
}

/// Reads the object that `text` starts with (after white space) and hands over its members in their order, repeated keys
/// included. Gives where the object ends. `text` is valid UTF-8.
///
/// # Errors
/// With the byte at which the text is no JSON object, or what `take` refuses.
pub(super) fn members<'a>(text: &'a [u8], mut take: impl FnMut(Cow<'a, [u8]>, Json<'a>) -> Result<(), Reject>) -> Result<usize, Reject> {
    let mut at = skip_space(text, 0);
    if text.get(at) != Some(&b'{') {
        return Err(Reject::new(at, "no JSON object starts here"));
    }
    at = skip_space(text, at + 1);
    if text.get(at) == Some(&b'}') {
        return Ok(at + 1);
    }
    loop {
        let (key, end) = string(text, at)?;
        at = skip_space(text, end);
        if text.get(at) != Some(&b':') {
            return Err(Reject::new(at, "a colon is missing after the key of a JSON member"));
        }
        let (value, end) = value(text, skip_space(text, at + 1))?;
        take(key, value)?;
        at = skip_space(text, end);
        match text.get(at) {
            Some(b',') => at = skip_space(text, at + 1),
            Some(b'}') => return Ok(at + 1),
            Some(_) => return Err(Reject::new(at, "neither a comma nor the end of the object follows a JSON member")),
            None => return Err(Reject::new(at, "the JSON object has no end")),
        }
    }
}

/// The value that starts at `at`, and where it ends.
pub(super) fn value(text: &[u8], at: usize) -> Result<(Json<'_>, usize), Reject> {
    let rest = text.get(at..).unwrap_or_default();
    match rest.first() {
        Some(b'"') => string(text, at).map(|(text, end)| (Json::Text(text), end)),
        Some(b'{' | b'[') => {
            let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
            match values.next() {
                Some(Ok(_)) => {
                    let end = values.byte_offset();
                    Ok((Json::Nested(&rest[..end]), at + end))
                }
                _ => Err(Reject::new(at, "a nested JSON value is not well-formed")),
            }
        }
        Some(b't') if rest.starts_with(b"true") => Ok((Json::Boolean(true), at + 4)),
        Some(b'f') if rest.starts_with(b"false") => Ok((Json::Boolean(false), at + 5)),
        Some(b'n') if rest.starts_with(b"null") => Ok((Json::Null, at + 4)),
        Some(b'-' | b'0'..=b'9') => {
            let end = number(rest).ok_or_else(|| Reject::new(at, "a number is not one that JSON allows"))?;
            Ok((Json::Number(&rest[..end]), at + end))
        }
        _ => Err(Reject::new(at, "no JSON value starts here")),
    }
}

/// Where a number of JSON's grammar ends.
fn number(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(text.starts_with(b"-"));
    let whole = digits(at);
    if whole == 0 || (whole > 1 && text[at] == b'0') {
        return None;
    }
    at += whole;
    if text.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        at += 1 + fraction;
        if fraction == 0 {
            return None;
        }
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1 + usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at.min(text.len()));
        at += exponent;
        if exponent == 0 {
            return None;
        }
    }
    Some(at)
}

/// The string whose opening quote stands at `at`, without quotes and escapes, and where it ends.
pub(super) fn string(text: &[u8], at: usize) -> Result<(Cow<'_, [u8]>, usize), Reject> {
    if text.get(at) != Some(&b'"') {
        return Err(Reject::new(at, "no JSON string starts here"));
    }
    let (start, mut end, mut is_escaped) = (at + 1, at + 1, false);
    loop {
        match memchr2(b'"', b'\\', text.get(end..).unwrap_or_default()) {
            None => return Err(Reject::new(at, "a JSON string has no end")),
            Some(found) if text[end + found] == b'"' => {
                end += found;
                break;
            }
            Some(found) => {
                is_escaped = true;
                end += found + 2;
            }
        }
    }
    if !is_escaped {
        return Ok((Cow::Borrowed(&text[start..end]), end + 1));
    }
    Ok((Cow::Owned(unescaped(&text[start..end]).ok_or_else(|| Reject::new(at, "a JSON string has an escape that is none"))?), end + 1))
}

/// Undoes JSON's escapes. A half of a surrogate pair becomes U+FFFD.
fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let escape = *rest.get(at + 1)?;
        rest = &rest[at + 2..];
        out.push(match escape {
            b'"' | b'\\' | b'/' => escape,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let (character, used) = unicode(rest)?;
                rest = &rest[used..];
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            _ => return None,
        });
    }
    out.extend_from_slice(rest);
    Some(out)
}

/// The character of the four digits that `text` starts with, and of a second half that follows.
fn unicode(text: &[u8]) -> Option<(char, usize)> {
    let four = |text: &[u8]| {
        let digits = text.get(..4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let first = four(text)?;
    if let (0xd800..0xdc00, Some([b'\\', b'u', ..])) = (first, text.get(4..))
        && let Some(second @ 0xdc00..0xe000) = four(&text[6..])
    {
        return Some((char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))?, 10));
    }
    Some((char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 4))
}

pub(super) fn skip_space(text: &[u8], at: usize) -> usize {
    at + text.get(at..).unwrap_or_default().iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(text: &str) -> Result<(Vec<(String, Json<'_>)>, usize), Reject> {
        let mut found = Vec::new();
        let end = members(text.as_bytes(), |key, value| {
            found.push((String::from_utf8_lossy(&key).into_owned(), value));
            Ok(())
        })?;
        Ok((found, end))
    }

    #[test]
    fn members_with_values_of_every_kind() {
        let text = r#" {"a" : -1.5e+3, "b":"x\"\u00e4\ud83d\ude00\ud83d","c":{"d":[1,"}"]}, "e":null,"f":true,"a":12} rest"#;
        let (found, end) = all(text).unwrap();
        let shown: Vec<_> = found
            .into_iter()
            .map(|(key, value)| (key, value.into_text().map(|text| String::from_utf8_lossy(&text).into_owned())))
            .collect();
        let expected = [
            ("a", Some("-1.5e+3")),
            ("b", Some("x\"ä😀\u{fffd}")),
            ("c", Some(r#"{"d":[1,"}"]}"#)),
            ("e", None),
            ("f", Some("true")),
            ("a", Some("12")),
        ];
        assert_eq!(shown, expected.map(|(key, value)| (key.to_owned(), value.map(str::to_owned))));
        assert_eq!(&text[end..], " rest");
        assert_eq!(all("{}").unwrap().1, 2);
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        let at = |text: &str| all(text).unwrap_err().at;
        assert_eq!(at("[1]"), 0);
        assert_eq!(at(r#"{"a" 1}"#), 5);
        assert_eq!(at(r#"{"a":01}"#), 5);
        assert_eq!(at(r#"{"a":1."#), 5);
        assert_eq!(at(r#"{"a":1"#), 6);
        assert_eq!(at(r#"{"a":[1}"#), 5);
        assert_eq!(at(r#"{"a":"b"#), 5);
        assert_eq!(at(r#"{"a":"\x"}"#), 5);
        assert_eq!(at(r#"{"a":1,}"#), 7);
    }

    proptest! {
        #[test]
        fn what_serde_json_writes_reads_back(text in ".{0,40}", number: f64, nested in proptest::collection::vec(".{0,9}", 0..4)) {
            let object = serde_json::json!({"t": text, "n": number, "x": nested});
            let written = object.to_string();
            let (found, end) = all(&written).unwrap();
            prop_assert_eq!(end, written.len());
            prop_assert_eq!(&found[0].1, &Json::Text(text.as_bytes().into()));
            prop_assert_eq!(found[1].1.double(), Some(number).filter(|number| number.is_finite()));
            let Json::Nested(again) = found[2].1 else { panic!("nested") };
            prop_assert_eq!(serde_json::from_slice::<Vec<String>>(again).unwrap(), nested);
        }

        #[test]
        fn nothing_panics(text in "[{}\\[\\]\":,\\\\u0-9a-f \\-.eE]{0,40}") {
            let _ = all(&text);
        }
    }
}
