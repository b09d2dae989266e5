//! Values of a declared type: a name such as `bigint` or `timestamp:%d/%m/%Y %H:%M` flows in once; texts flow in, cells flow
//! out. What does not read as its type is no null but a reason.

use super::time::{epoch_seconds_micros, iso_micros, zone};
use super::web_time::Pattern;
use super::web_value::integer;
use super::{Options, Problem};
use crate::columns::{Kind, Row};

/// A type, with the format of times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Type {
    /// The type of the column.
    pub kind: Kind,
    /// How times are written; of use for times only.
    pub format: TimeFormat,
}

/// How times are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TimeFormat {
    /// ISO 8601.
    Iso,
    /// Since 1970: so many of them in a second.
    Epoch(i64),
    /// By a pattern of `strftime`.
    Pattern(Pattern),
}

/// What a type may be, for messages and for the meaning of options.
pub(super) const TYPES: &str = "string, int, bigint, double, boolean, or timestamp with the format of times after a colon";

/// What the format of times may be.
pub(super) const TIME_FORMATS: &str = "iso, epoch, epochMillis, epochMicros, or a strftime pattern such as %d/%b/%Y:%H:%M:%S %z";

impl Type {
    /// Text.
    pub(super) const TEXT: Type = Type { kind: Kind::Text, format: TimeFormat::Iso };

    /// The type of that name; `format` is that of times that say none.
    pub(super) fn parse(name: &str, format: &TimeFormat) -> Result<Type, String> {
        let (name, own) = name.split_once(':').map_or((name, None), |(name, own)| (name, Some(own)));
        let kind = Kind::find(name.trim()).filter(|kind| *kind != Kind::Bytes);
        match (kind, own) {
            (Some(Kind::Time), Some(own)) => Ok(Type { kind: Kind::Time, format: TimeFormat::parse(own.trim())? }),
            (Some(kind), None) => Ok(Type { kind, format: format.clone() }),
            (Some(_), Some(_)) => Err(format!("`{name}` has no format")),
            (None, _) => Err(format!("`{name}` is no type: use {TYPES}")),
        }
    }

    /// Sets a cell. Says whether the text reads as the type.
    #[inline]
    pub(super) fn set(&self, text: &[u8], zone_seconds: i64, column: usize, row: &mut Row<'_>) -> bool {
        match self.kind {
            Kind::Text | Kind::Bytes => {
                row.text(column, text);
                return true;
            }
            Kind::Int32 => integer(text).filter(|value| i32::try_from(*value).is_ok()).map(|value| row.int(column, value)),
            Kind::Int64 => integer(text).map(|value| row.int(column, value)),
            Kind::Double => double(text).map(|value| row.double(column, value)),
            Kind::Boolean => boolean(text).map(|value| row.boolean(column, value)),
            Kind::Time => self.format.micros(text, zone_seconds).map(|micros| row.time(column, micros)),
        }
        .is_some()
    }

    /// What it is, for messages.
    pub(super) fn expected(&self) -> &'static str {
        match self.kind {
            Kind::Text | Kind::Bytes => "a text",
            Kind::Int32 => "a whole number of at most 32 bits",
            Kind::Int64 => "a whole number of at most 64 bits",
            Kind::Double => "a number",
            Kind::Boolean => "true or false",
            Kind::Time => "a time by its format",
        }
    }
}

impl TimeFormat {
    /// The format of that name, or that pattern.
    pub(super) fn parse(text: &str) -> Result<TimeFormat, String> {
        Ok(match text {
            "iso" => TimeFormat::Iso,
            "epoch" => TimeFormat::Epoch(1),
            "epochMillis" => TimeFormat::Epoch(1_000),
            "epochMicros" => TimeFormat::Epoch(1_000_000),
            pattern if pattern.contains('%') => {
                let pattern = Pattern::compile(pattern).map_err(|(at, message)| format!("byte {at}: {message}"))?;
                if !Pattern::are_complete(std::iter::once(&pattern)) {
                    return Err("does not say a date with its year and an hour".to_owned());
                }
                TimeFormat::Pattern(pattern)
            }
            _ => return Err(format!("is no format of times: use {TIME_FORMATS}")),
        })
    }

    /// Microseconds since 1970 UTC.
    pub(super) fn micros(&self, text: &[u8], zone_seconds: i64) -> Option<i64> {
        match self {
            TimeFormat::Iso => iso_micros(text, zone_seconds),
            TimeFormat::Epoch(1) => epoch_seconds_micros(text),
            TimeFormat::Epoch(per_second) => integer(text)?.checked_mul(1_000_000 / per_second),
            TimeFormat::Pattern(pattern) => pattern.micros(text, zone_seconds),
        }
    }
}

/// The zone that an option sets, in seconds ahead of UTC; UTC if it is not set.
pub(super) fn zone_option(options: &Options<'_>, name: &str) -> Result<i64, Problem> {
    match options.text(name) {
        None => Ok(0),
        Some(text) => zone(text.as_bytes()).ok_or_else(|| Problem::new(name, "is no zone like +01:00 or Z")),
    }
}

/// A number, with an exponent or without; neither infinite nor none.
fn double(text: &[u8]) -> Option<f64> {
    let is_number = text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'));
    std::str::from_utf8(text).ok()?.parse().ok().filter(|value: &f64| is_number && value.is_finite())
}

fn boolean(text: &[u8]) -> Option<bool> {
    match text {
        b"1" => Some(true),
        b"0" => Some(false),
        _ if text.eq_ignore_ascii_case(b"true") => Some(true),
        _ if text.eq_ignore_ascii_case(b"false") => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_by_name() {
        let parse = |name: &str| Type::parse(name, &TimeFormat::Epoch(1));
        assert_eq!(parse("bigint").unwrap().kind, Kind::Int64);
        assert_eq!(parse("timestamp").unwrap().format, TimeFormat::Epoch(1));
        assert_eq!(parse("timestamp:iso").unwrap().format, TimeFormat::Iso);
        assert!(matches!(parse("timestamp: %F %T").unwrap().format, TimeFormat::Pattern(_)));
        for wrong in ["integer", "binary", "int:iso", "timestamp:%F", "timestamp:ISO", "timestamp:%Q"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn values_by_type() {
        let reads = |name: &str, text: &str| {
            let (mut arena, kind) = (String::new(), Type::parse(name, &TimeFormat::Iso).unwrap());
            let mut row = Row::new(text.as_bytes(), &mut arena, 1);
            kind.set(text.as_bytes(), 0, 0, &mut row)
        };
        for (name, right, wrong) in [
            ("int", "-2147483648", "2147483648"),
            ("bigint", "9223372036854775807", "9223372036854775808"),
            ("double", "-1.5e3", "inf"),
            ("double", "1", "1,5"),
            ("boolean", "TRUE", "yes"),
            ("timestamp", "2026-02-06T00:00:38Z", "2026-02-06"),
            ("timestamp:epochMillis", "1770336038123", "1.5"),
            ("timestamp:epoch", "1770336038.123", "x"),
        ] {
            assert!(reads(name, right) && !reads(name, wrong), "{name}");
        }
    }
}
