//! Points in time and lengths of time as people write them: `12h`, `now`, `2023-07-17T20:50:00Z`, a lot. Text and the
//! current time flow in, times flow out.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use manifests::Lot;

use crate::error::ProjectError;

/// The longest length of time, in days.
const DAYS_MAX: i64 = 36_500;

/// A length of time: a whole number and `s`, `m`, `h`, `d` or `w`. `None` for anything else, or for more than a century.
pub fn parse_length(text: &str) -> Option<TimeDelta> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: i64 = is_number.then(|| number.parse().ok()).flatten()?;
    let length = TimeDelta::try_seconds(number.checked_mul(seconds)?)?;
    (length <= TimeDelta::days(DAYS_MAX)).then_some(length)
}

/// A point in time: `now`, a length of time before now, an RFC 3339 time, a date (its midnight UTC), or a lot (its start).
pub fn parse_moment(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, ProjectError> {
    let lot = || text.parse::<Lot>().ok().map(Lot::start);
    let date = || text.parse::<NaiveDate>().ok().map(|day| day.and_time(NaiveTime::MIN).and_utc());
    let rfc3339 = || DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc());
    let ago = || parse_length(text).and_then(|length| now.checked_sub_signed(length));
    let found = if text == "now" { Some(now) } else { ago().or_else(lot).or_else(rfc3339).or_else(date) };
    found.ok_or_else(|| ProjectError::Moment { text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write() {
        let now: DateTime<Utc> = "2023-07-17T20:52:10Z".parse().unwrap();
        let cases = [
            ("now", "2023-07-17T20:52:10Z"),
            ("30m", "2023-07-17T20:22:10Z"),
            ("12h", "2023-07-17T08:52:10Z"),
            ("2d", "2023-07-15T20:52:10Z"),
            ("20230717PT5M250", "2023-07-17T20:50:00Z"),
            ("2023-07-17T22:50:00+02:00", "2023-07-17T20:50:00Z"),
            ("2023-07-17", "2023-07-17T00:00:00Z"),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_moment(text, now).unwrap(), expected.parse::<DateTime<Utc>>().unwrap(), "{text}");
        }
    }

    #[test]
    fn what_is_no_time() {
        for text in ["", "h", "-3h", "3", "99999999999999999999h", "9999999999w", "yesterday", "é", "1é", "2023-02-30"] {
            assert!(parse_moment(text, DateTime::UNIX_EPOCH).is_err(), "{text}");
        }
    }
}
