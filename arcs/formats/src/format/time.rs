//! Times as logs write them: text flows in, microseconds since 1970 UTC flow out. Years are those of the proleptic
//! Gregorian calendar; a second may be 60, and is then the next minute's first.

/// Length of `[06/Feb/2026:00:00:38 +0000]`.
pub(super) const CLF_BYTES: usize = 28;

/// Reads `[06/Feb/2026:00:00:38 +0000]` into microseconds since 1970 UTC.
pub(super) fn clf_micros(text: &[u8]) -> Option<i64> {
    let shape = text.len() == CLF_BYTES
        && [(0, b'['), (3, b'/'), (7, b'/'), (12, b':'), (15, b':'), (18, b':'), (21, b' '), (27, b']')]
            .iter()
            .all(|(at, byte)| text[*at] == *byte);
    if !shape {
        return None;
    }
    let two = |at: usize| Some(i64::from(digit(text[at])?) * 10 + i64::from(digit(text[at + 1])?));
    let (day, year) = (two(1)?, two(8)? * 100 + two(10)?);
    let (hour, minute, second) = (two(13)?, two(16)?, two(19)?);
    let (zone_hour, zone_minute) = (two(23)?, two(25)?);
    let zone = match text[22] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    } * (zone_hour * 60 + zone_minute);
    let civil = Civil { year, month: month(&text[4..7])?, day, hour, minute, second, micros: 0 };
    let is_valid = zone_hour < 24 && zone_minute < 60;
    civil.utc_micros(zone * 60).filter(|_| is_valid)
}

/// A date and a time of day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Civil {
    /// From 0 to 9999.
    pub year: i64,
    /// From 1.
    pub month: i64,
    /// From 1.
    pub day: i64,
    /// Of the day.
    pub hour: i64,
    /// Of the hour.
    pub minute: i64,
    /// Of the minute.
    pub second: i64,
    /// Of the second.
    pub micros: i64,
}

impl Civil {
    /// Microseconds since 1970 UTC, where clocks are `zone_seconds` ahead of UTC; `None` where there is no such date or time.
    pub(super) fn utc_micros(&self, zone_seconds: i64) -> Option<i64> {
        let is_valid = (1..=12).contains(&self.month)
            && (1..=month_days(self.year, self.month)).contains(&self.day)
            && (0..24).contains(&self.hour)
            && (0..60).contains(&self.minute)
            && (0..61).contains(&self.second);
        let seconds = days_since_1970(self.year, self.month, self.day) * 86_400 + self.hour * 3_600 + self.minute * 60 + self.second;
        is_valid.then_some((seconds - zone_seconds) * 1_000_000 + self.micros)
    }
}

/// Reads an ISO 8601 time, `2023-07-17T20:51:07.113Z`: a space for the `T`, a comma for the point, no fraction, no
/// seconds, and zones as `+01:00`, `+0100`, `+01` will do. `zone_seconds` is the zone of a time that has none. The whole
/// text is the time.
pub(super) fn iso_micros(text: &[u8], zone_seconds: i64) -> Option<i64> {
    let (civil, offset) = iso(text)?;
    civil.utc_micros(offset.unwrap_or(zone_seconds))
}

/// Bytes of `2023-07-17T20:51`.
const ISO_MINUTE_BYTES: usize = 16;

/// The same, not yet put together: what clocks showed, and how many seconds they were ahead of UTC if the text says so.
pub(super) fn iso(text: &[u8]) -> Option<(Civil, Option<i64>)> {
    let two = |at: usize| Some(i64::from(digit(*text.get(at)?)?) * 10 + i64::from(digit(*text.get(at + 1)?)?));
    let is_shaped = text.len() >= ISO_MINUTE_BYTES
        && [(4, b'-'), (7, b'-'), (13, b':')].iter().all(|(at, byte)| text[*at] == *byte)
        && matches!(text[10], b'T' | b't' | b' ');
    if !is_shaped {
        return None;
    }
    let mut civil =
        Civil { year: two(0)? * 100 + two(2)?, month: two(5)?, day: two(8)?, hour: two(11)?, minute: two(14)?, second: 0, micros: 0 };
    let mut rest = &text[ISO_MINUTE_BYTES..];
    if rest.first() == Some(&b':') {
        civil.second = two(ISO_MINUTE_BYTES + 1)?;
        rest = &text[ISO_MINUTE_BYTES + 3..];
        if let [b'.' | b',', fraction @ ..] = rest {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            civil.micros = fraction_micros(&fraction[..digits])?;
            rest = &fraction[digits..];
        }
    }
    if rest.is_empty() { Some((civil, None)) } else { Some((civil, Some(offset(rest)?))) }
}

/// Digits of a fraction that are microseconds.
const MICROS_DIGITS: usize = 6;

/// Microseconds of the digits after the point; what is finer than a microsecond is cut off. `None` for no digits.
pub(super) fn fraction_micros(digits: &[u8]) -> Option<i64> {
    let (six, finer) = digits.split_at(digits.len().min(MICROS_DIGITS));
    let value = six.iter().try_fold(0, |value, byte| Some(value * 10 + i64::from(digit(*byte)?)))?;
    let is_number = !six.is_empty() && finer.iter().all(u8::is_ascii_digit);
    is_number.then(|| value * 10_i64.pow((MICROS_DIGITS - six.len()) as u32))
}

/// The seconds that an offset, `Z`, `+01:00`, `-0330` or `+01`, is ahead of UTC.
pub(super) fn offset(text: &[u8]) -> Option<i64> {
    let sign = match text {
        [b'Z' | b'z'] => return Some(0),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    let two = |high: u8, low: u8| Some(i64::from(digit(high)?) * 10 + i64::from(digit(low)?));
    let (hours, minutes) = match text[1..] {
        [h, i] => (two(h, i)?, 0),
        [h, i, m, n] | [h, i, b':', m, n] => (two(h, i)?, two(m, n)?),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

/// A time as seconds since 1970 UTC, with a fraction or without, in microseconds.
pub(super) fn epoch_seconds_micros(text: &[u8]) -> Option<i64> {
    let (whole, fraction) = text.split_at(text.iter().position(|byte| *byte == b'.').unwrap_or(text.len()));
    let seconds: i64 = std::str::from_utf8(whole).ok()?.parse().ok()?;
    let micros = if fraction.is_empty() { 0 } else { fraction_micros(&fraction[1..])? };
    seconds.checked_mul(1_000_000)?.checked_add(if whole.starts_with(b"-") { -micros } else { micros })
}

/// A decimal digit.
pub(super) fn digit(byte: u8) -> Option<u8> {
    byte.is_ascii_digit().then(|| byte - b'0')
}

/// The number of a month by its first three letters, from 1.
pub(super) fn month(name: &[u8]) -> Option<i64> {
    // Byte by byte: twelve calls to compare texts would take longer than the rest of a line.
    Some(match name {
        [b'J', b'a', b'n'] => 1,
        [b'F', b'e', b'b'] => 2,
        [b'M', b'a', b'r'] => 3,
        [b'A', b'p', b'r'] => 4,
        [b'M', b'a', b'y'] => 5,
        [b'J', b'u', b'n'] => 6,
        [b'J', b'u', b'l'] => 7,
        [b'A', b'u', b'g'] => 8,
        [b'S', b'e', b'p'] => 9,
        [b'O', b'c', b't'] => 10,
        [b'N', b'o', b'v'] => 11,
        [b'D', b'e', b'c'] => 12,
        _ => return None,
    })
}

/// How many days a year has.
pub(super) fn year_days(year: i64) -> i64 {
    337 + month_days(year, 2)
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; years are counted from March, so that leap days end them.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let months_since_march = (month + 9) % 12;
    let day_of_year = (153 * months_since_march + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_any_zone() {
        let micros = |text: &str| clf_micros(text.as_bytes());
        let known = |text: &str| text.parse::<chrono::DateTime<chrono::Utc>>().unwrap().timestamp_micros();
        assert_eq!(micros("[29/Feb/2024:23:59:60 +0000]"), Some(known("2024-03-01T00:00:00Z")));
        assert_eq!(micros("[01/Jan/2026:01:00:00 +0530]"), Some(known("2025-12-31T19:30:00Z")));
        assert_eq!(micros("[31/Dec/1969:23:59:59 -0100]"), Some(known("1970-01-01T00:59:59Z")));
        assert_eq!(micros("[01/Mar/0000:00:00:00 +0000]"), Some(known("0000-03-01T00:00:00Z")));
        for text in [
            "[29/Feb/2023:00:00:00 +0000]",
            "[01/jan/2026:00:00:00 +0000]",
            "[01/Jan/2026:24:00:00 +0000]",
            "[01/Jan/2026 00:00:00 +0000]",
            "",
        ] {
            assert_eq!(micros(text), None, "{text}");
        }
    }

    #[test]
    fn iso_8601_as_logs_write_it() {
        let known = |text: &str| Some(text.parse::<chrono::DateTime<chrono::Utc>>().unwrap().timestamp_micros());
        let read = |text: &str| iso_micros(text.as_bytes(), 3_600);
        assert_eq!(read("2023-07-17T20:51:07.113Z"), known("2023-07-17T20:51:07.113Z"));
        assert_eq!(read("2023-07-17 20:51:07,1134567"), known("2023-07-17T19:51:07.113456Z"));
        assert_eq!(read("2023-07-17T20:51:07-0330"), known("2023-07-18T00:21:07Z"));
        assert_eq!(read("2023-07-17t20:51:07+02"), known("2023-07-17T18:51:07Z"));
        assert_eq!(read("2023-07-17T20:51Z"), known("2023-07-17T20:51:00Z"));
        assert_eq!(read("2023-07-17 20:51"), known("2023-07-17T19:51:00Z"));
        for text in
            ["2023-07-17T20:51:07.Z", "2023-07-17T20:51:07 Z", "2023-13-17T20:51:07Z", "2023-07-17T20:51:", "", "2023-07-17T20:51:07+1"]
        {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(epoch_seconds_micros(b"1700000000.25"), Some(1_700_000_000_250_000));
        assert_eq!(epoch_seconds_micros(b"-1.5"), Some(-1_500_000));
        assert_eq!((epoch_seconds_micros(b"1."), epoch_seconds_micros(b"x")), (None, None));
    }

    #[test]
    fn every_day_of_four_centuries() {
        let first = chrono::NaiveDate::from_ymd_opt(1890, 1, 1).unwrap();
        for date in first.iter_days().take(146_097) {
            use chrono::Datelike;
            let days = days_since_1970(i64::from(date.year()), i64::from(date.month()), i64::from(date.day()));
            assert_eq!(days, date.signed_duration_since(chrono::NaiveDate::default()).num_days(), "{date}");
            assert!(i64::from(date.day()) <= month_days(i64::from(date.year()), i64::from(date.month())));
        }
    }
}
