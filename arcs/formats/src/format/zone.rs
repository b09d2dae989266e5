//! Time zones of logs: a date and a time of day as clocks showed them flow in, microseconds since 1970 UTC flow out; what
//! a log leaves out, the year or the day, is taken from when the log arrived.
//!
//! Where clocks were put back, and a time was twice, it is the first one; where they were put forward, and a time never
//! was, it counts on from before.

use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;

use super::time::{Civil, iso, offset};
use super::{Options, Problem};

/// How far clocks are ahead of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zone {
    /// Always the same seconds.
    Fixed(i64),
    /// As the time zone database says.
    Named(Tz),
}

/// What a log leaves out of its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing.
    Date,
    /// The year.
    MonthAndDay,
    /// Year, month and day.
    TimeOfDay,
}

impl Zone {
    pub(super) const UTC: Zone = Zone::Fixed(0);

    /// The zone of a name of the time zone database, of an offset, or of an abbreviation that is in use for one zone alone:
    /// CST, which is America's and China's, and IST are none, so that times with them are refused and not moved by hours.
    pub(super) fn find(name: &str) -> Option<Zone> {
        let hours = |hours: i64| Some(Zone::Fixed(hours * 3_600));
        match name {
            "UTC" | "GMT" | "UT" | "WET" => return hours(0),
            "CET" | "WEST" => return hours(1),
            "CEST" | "EET" => return hours(2),
            "EEST" | "MSK" => return hours(3),
            "JST" | "KST" => return hours(9),
            "EDT" => return hours(-4),
            "EST" | "CDT" => return hours(-5),
            "MDT" => return hours(-6),
            "MST" | "PDT" => return hours(-7),
            "PST" => return hours(-8),
            _ => {}
        }
        let text = name.strip_prefix("GMT").or_else(|| name.strip_prefix("UTC")).unwrap_or(name);
        offset(text.as_bytes()).map(Zone::Fixed).or_else(|| name.parse().ok().map(Zone::Named))
    }

    /// The zone that an option sets; UTC if it is not set.
    pub(super) fn of_option(options: &Options<'_>, name: &str) -> Result<Zone, Problem> {
        let Some(text) = options.text(name) else { return Ok(Zone::UTC) };
        Zone::find(text).ok_or_else(|| Problem::new(name, format!("`{text}` is no time zone: use one like Europe/Berlin or +01:00")))
    }

    /// Microseconds since 1970 UTC of what clocks of the zone show; `None` where there is no such date or time.
    pub(super) fn utc_micros(self, civil: &Civil) -> Option<i64> {
        match self {
            Zone::Fixed(seconds) => civil.utc_micros(seconds),
            Zone::Named(_) => self.local_micros(civil.utc_micros(0)?),
        }
    }

    /// Microseconds since 1970 UTC of what clocks of the zone show, given as microseconds since they showed 1970.
    pub(super) fn local_micros(self, local: i64) -> Option<i64> {
        let seconds = match self {
            Zone::Fixed(seconds) => seconds,
            Zone::Named(tz) => ahead(tz, local),
        };
        local.checked_sub(seconds * 1_000_000)
    }

    /// Microseconds since 1970 UTC of an ISO 8601 time, which is of this zone where it names none.
    pub(super) fn iso_micros(self, text: &[u8]) -> Option<i64> {
        let (civil, offset) = iso(text)?;
        offset.map_or(self, Zone::Fixed).utc_micros(&civil)
    }

    /// Those of a time that leaves something out: the one that is closest to `arrived`. The outer `None` means that
    /// there is no such time, the inner one that nobody knows when the log arrived.
    pub(super) fn closest_micros(self, civil: &Civil, known: Known, arrived: i64) -> Option<Option<i64>> {
        if known == Known::Date {
            return self.utc_micros(civil).map(Some);
        }
        if arrived == 0 {
            let is_valid = match known {
                Known::TimeOfDay => Civil { year: 2000, month: 1, day: 1, ..*civil },
                _ => Civil { year: 2000, ..*civil },
            };
            return is_valid.utc_micros(0).map(|_| None);
        }
        let near = (-1..=1).filter_map(|step| {
            let (year, month, day) = near(arrived, known, step)?;
            let civil = if known == Known::TimeOfDay { Civil { year, month, day, ..*civil } } else { Civil { year, ..*civil } };
            self.utc_micros(&civil)
        });
        near.min_by_key(|micros| micros.abs_diff(arrived)).map(Some)
    }
}

/// The date when a log arrived, that many years or days on.
fn near(arrived: i64, known: Known, step: i64) -> Option<(i64, i64, i64)> {
    use chrono::Datelike;
    let days = if known == Known::TimeOfDay { step } else { 0 };
    let date = DateTime::from_timestamp_micros(arrived.checked_add(days * 86_400_000_000)?)?;
    let years = if known == Known::TimeOfDay { 0 } else { step };
    Some((i64::from(date.year()) + years, i64::from(date.month()), i64::from(date.day())))
}

/// How many seconds clocks that show `local` are ahead of UTC.
fn ahead(tz: Tz, local: i64) -> i64 {
    let seconds = |local: NaiveDateTime| match tz.offset_from_local_datetime(&local) {
        LocalResult::Single(offset) | LocalResult::Ambiguous(offset, _) => Some(i64::from(offset.fix().local_minus_utc())),
        LocalResult::None => None,
    };
    let Some(local) = DateTime::from_timestamp_micros(local).map(|time| time.naive_utc()) else { return 0 };
    // Clocks are put forward by three hours at most, but for zones that once skipped a day.
    let before = [0, 3, 27].iter().find_map(|hours| seconds(local.checked_sub_signed(chrono::Duration::hours(*hours))?));
    before.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::time_text;

    fn civil(text: &str) -> Civil {
        let part = |at: usize, length: usize| text[at..at + length].parse().unwrap();
        Civil {
            year: part(0, 4),
            month: part(5, 2),
            day: part(8, 2),
            hour: part(11, 2),
            minute: part(14, 2),
            second: part(17, 2),
            micros: 0,
        }
    }

    #[test]
    fn clocks_of_zones() {
        let utc = |zone: &str, text: &str| Zone::find(zone).unwrap().utc_micros(&civil(text)).map(time_text);
        assert_eq!(utc("Europe/Berlin", "2026-07-01 12:00:00").as_deref(), Some("2026-07-01T10:00:00Z"));
        assert_eq!(utc("Europe/Berlin", "2026-01-01 00:30:00").as_deref(), Some("2025-12-31T23:30:00Z"));
        // Twice, and never.
        assert_eq!(utc("Europe/Berlin", "2026-10-25 02:30:00").as_deref(), Some("2026-10-25T00:30:00Z"));
        assert_eq!(utc("Europe/Berlin", "2026-03-29 02:30:00").as_deref(), Some("2026-03-29T01:30:00Z"));
        assert_eq!(utc("Pacific/Apia", "2011-12-30 12:00:00").as_deref(), Some("2011-12-30T22:00:00Z"));
        assert_eq!(utc("-0330", "2026-07-01 12:00:00").as_deref(), Some("2026-07-01T15:30:00Z"));
        assert_eq!(utc("GMT+02:00", "2026-07-01 12:00:00").as_deref(), Some("2026-07-01T10:00:00Z"));
        assert_eq!(utc("PDT", "2026-02-30 12:00:00"), None);
        assert_eq!((Zone::find("Mars/Olympus"), Zone::find("CST"), Zone::find("IST")), (None, None, None));
    }

    #[test]
    fn what_is_left_out_comes_from_the_arrival() {
        let arrived = |text: &str| Zone::UTC.utc_micros(&civil(text)).unwrap();
        let closest = |known, text: &str, at: i64| Zone::UTC.closest_micros(&civil(text), known, at).map(|time| time.map(time_text));
        let said = |text: &str| Some(Some(text.to_owned()));
        assert_eq!(closest(Known::MonthAndDay, "0000-12-31 23:59:59", arrived("2026-01-01 00:05:00")), said("2025-12-31T23:59:59Z"));
        assert_eq!(closest(Known::MonthAndDay, "0000-01-01 00:00:01", arrived("2025-12-31 23:59:00")), said("2026-01-01T00:00:01Z"));
        assert_eq!(closest(Known::MonthAndDay, "0000-02-29 00:00:01", arrived("2025-03-01 00:00:00")), said("2024-02-29T00:00:01Z"));
        assert_eq!(closest(Known::MonthAndDay, "0000-02-29 00:00:01", arrived("2026-03-01 00:00:00")), None);
        assert_eq!(closest(Known::TimeOfDay, "0000-00-00 23:59:59", arrived("2026-01-01 00:05:00")), said("2025-12-31T23:59:59Z"));
        assert_eq!(closest(Known::TimeOfDay, "0000-00-00 23:59:59", 0), Some(None));
        assert_eq!(closest(Known::MonthAndDay, "0000-02-30 23:59:59", 0), None);
    }
}
