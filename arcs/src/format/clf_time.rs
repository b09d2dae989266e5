//! The time of web server logs, `[06/Feb/2026:00:00:38 +0000]`: text flows in, microseconds since 1970 UTC flow out.

/// Length of `[06/Feb/2026:00:00:38 +0000]`.
pub(super) const BYTES: usize = 28;

/// Reads `[06/Feb/2026:00:00:38 +0000]` into microseconds since 1970 UTC.
pub(super) fn micros(text: &[u8]) -> Option<i64> {
    let shape = text.len() == BYTES
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
    let month = month(&text[4..7])?;
    let is_valid =
        (1..=month_days(year, month)).contains(&day) && hour < 24 && minute < 60 && second < 61 && zone_hour < 24 && zone_minute < 60;
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + (minute - zone) * 60 + second;
    is_valid.then_some(seconds * 1_000_000)
}

/// A decimal digit.
pub(super) fn digit(byte: u8) -> Option<u8> {
    byte.is_ascii_digit().then(|| byte - b'0')
}

fn month(name: &[u8]) -> Option<i64> {
    Some(match name {
        b"Jan" => 1,
        b"Feb" => 2,
        b"Mar" => 3,
        b"Apr" => 4,
        b"May" => 5,
        b"Jun" => 6,
        b"Jul" => 7,
        b"Aug" => 8,
        b"Sep" => 9,
        b"Oct" => 10,
        b"Nov" => 11,
        b"Dec" => 12,
        _ => return None,
    })
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
        let micros = |text: &str| super::micros(text.as_bytes());
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
