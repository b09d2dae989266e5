//! Values of a declared type: a name such as `bigint` or `timestamp:%d/%m/%Y %H:%M` flows in once; texts flow in, cells flow
//! out. What does not read as its type is no null but a reason.

use super::clock::Clock;
use super::time::epoch_seconds_micros;
use super::web_value::integer;
use super::zone::Zone;
use super::{FormatOption, OptionKind, Options, Problem, Scope, strftime};
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
    /// By a pattern of `strftime`; where that has no year, the year that brings the time closest to arrival.
    Pattern(Clock),
}

/// What a type may be, for messages and for the meaning of options.
pub(super) const TYPES: &str = "string, int, bigint, double, boolean, or timestamp with the format of times after a colon";

/// What the format of times may be.
pub(super) const TIME_FORMATS: &str = "iso, epoch, epochMillis, epochMicros, or a strftime pattern such as %d/%b/%Y:%H:%M:%S %z";

/// How times are written, for formats whose values have declared types.
pub(super) const TIME_FORMAT_OPTION: FormatOption = FormatOption {
    name: "timeFormat",
    kind: OptionKind::Text,
    meaning: "how times are written: iso, epoch, epochMillis, epochMicros or a strftime pattern; iso if it is not set",
};

/// The zone of times that say none, for the same formats.
pub(super) const TIME_ZONE_OPTION: FormatOption = FormatOption {
    name: "timeZone",
    kind: OptionKind::Text,
    meaning: "zone of times that say none, such as Europe/Berlin or +01:00; UTC if it is not set",
};

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

    /// Sets a cell. Says whether the text reads as the type. A time without its year stays null where nobody knows when the
    /// log arrived.
    #[inline]
    pub(super) fn set(&self, text: &[u8], zone: Zone, scope: &Scope<'_>, column: usize, row: &mut Row<'_>) -> bool {
        match self.kind {
            Kind::Text | Kind::Bytes => {
                row.text(column, text);
                return true;
            }
            Kind::Int32 => integer(text).filter(|value| i32::try_from(*value).is_ok()).map(|value| row.int(column, value)),
            Kind::Int64 => integer(text).map(|value| row.int(column, value)),
            Kind::Double => double(text).map(|value| row.double(column, value)),
            Kind::Boolean => boolean(text).map(|value| row.boolean(column, value)),
            Kind::Time => self.format.micros(text, zone, scope.arrived).map(|micros| {
                if let Some(micros) = micros {
                    row.time(column, micros);
                }
            }),
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
                let clock = strftime::compile(pattern, "").map_err(|problem| problem.message)?;
                if !clock.tells_day() {
                    return Err(format!("the date pattern `{pattern}` does not say a day and an hour"));
                }
                TimeFormat::Pattern(clock)
            }
            _ => return Err(format!("is no format of times: use {TIME_FORMATS}")),
        })
    }

    /// Microseconds since 1970 UTC. The outer `None` means that the text is no such time, the inner one that it leaves out
    /// what nobody knows.
    pub(super) fn micros(&self, text: &[u8], zone: Zone, arrived: i64) -> Option<Option<i64>> {
        match self {
            TimeFormat::Iso => zone.iso_micros(text).map(Some),
            TimeFormat::Epoch(1) => epoch_seconds_micros(text).map(Some),
            TimeFormat::Epoch(per_second) => integer(text)?.checked_mul(1_000_000 / per_second).map(Some),
            TimeFormat::Pattern(clock) => clock.whole_micros(text, zone, arrived),
        }
    }

    /// The format that an option sets; ISO 8601 if it is not set.
    pub(super) fn of_option(options: &Options<'_>, name: &str) -> Result<TimeFormat, Problem> {
        let format = options.text(name).map_or(Ok(TimeFormat::Iso), TimeFormat::parse);
        format.map_err(|message| Problem::new(name, message))
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
    fn times_take_the_zone_and_the_year_from_elsewhere() {
        let known = |text: &str| text.parse::<chrono::DateTime<chrono::Utc>>().unwrap().timestamp_micros();
        let format = TimeFormat::parse("%b %e %H:%M:%S").unwrap();
        let berlin = Zone::find("Europe/Berlin").unwrap();
        let arrived = known("2026-01-02T00:00:00Z");
        assert_eq!(format.micros(b"Dec 31 23:00:00", berlin, arrived), Some(Some(known("2025-12-31T22:00:00Z"))));
        assert_eq!(format.micros(b"Dec 31 23:00:00", berlin, 0), Some(None));
        assert_eq!(format.micros(b"Dec 32 23:00:00", berlin, arrived), None);
        assert_eq!(TimeFormat::Iso.micros(b"2026-07-01 02:00:00", berlin, 0), Some(Some(known("2026-07-01T00:00:00Z"))));
    }

    #[test]
    fn values_by_type() {
        let reads = |name: &str, text: &str| {
            let (mut arena, kind) = (String::new(), Type::parse(name, &TimeFormat::Iso).unwrap());
            let mut row = Row::new(text.as_bytes(), &mut arena, 1);
            kind.set(text.as_bytes(), Zone::UTC, &Scope::default(), 0, &mut row)
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
