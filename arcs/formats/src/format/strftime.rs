//! Date patterns as C's `strftime` has them, as far as logs use them: a pattern flows in, a [`Clock`] flows out.

use super::Problem;
use super::clock::{Clock, Item, Part};

/// Compiles a pattern. `at` is where problems are said to be.
pub(super) fn compile(pattern: &str, at: &str) -> Result<Clock, Problem> {
    Clock::new(items(pattern).map_err(|message| Problem::new(at, message))?, at)
}

/// Compiles a pattern that may tell no more than a part of a time.
///
/// # Errors
/// What in the pattern is unknown.
pub(super) fn compile_part(pattern: &str) -> Result<Clock, String> {
    items(pattern).map(Clock::of_part)
}

fn items(pattern: &str) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    let mut rest = pattern.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            items.push(Item::Byte(byte));
            continue;
        }
        // Flags, widths and the modifiers E and O say how numbers are padded or written: leading zeros are read or not, as
        // they come, and so are spaces after an underscore.
        let mut is_padded = false;
        let letter = rest.by_ref().find(|byte| {
            is_padded |= *byte == b'_';
            !matches!(byte, b'-' | b'_' | b'0'..=b'9' | b'^' | b'#' | b'E' | b'O' | b':')
        });
        items.extend(is_padded.then_some(Item::Spaces));
        if !letter.is_some_and(|letter| directive(letter, &mut items)) {
            let letter = letter.map_or(String::new(), |letter| char::from(letter).to_string());
            return Err(format!("`%{letter}` in the date pattern `{pattern}` is not known"));
        }
    }
    Ok(items)
}

fn directive(letter: u8, items: &mut Vec<Item>) -> bool {
    let two = |part| Item::Number(part, 1, 2);
    match letter {
        b'Y' => items.push(Item::Number(Part::Year, 4, 4)),
        b'y' => items.push(Item::Number(Part::YearOfCentury, 2, 2)),
        b'm' => items.push(two(Part::Month)),
        b'd' => items.push(two(Part::Day)),
        b'e' => items.extend([Item::Spaces, two(Part::Day)]),
        b'j' => items.push(Item::Number(Part::DayOfYear, 1, 3)),
        b'H' => items.push(two(Part::Hour)),
        b'k' => items.extend([Item::Spaces, two(Part::Hour)]),
        b'I' => items.push(two(Part::HalfHour)),
        b'l' => items.extend([Item::Spaces, two(Part::HalfHour)]),
        b'M' => items.push(two(Part::Minute)),
        b'S' => items.push(two(Part::Second)),
        b'f' | b'N' => items.push(Item::Fraction(1, 9)),
        b'L' => items.push(Item::Fraction(3, 3)),
        b's' => items.push(Item::Epoch(1_000_000)),
        b'p' | b'P' => items.push(Item::Half),
        b'a' | b'A' => items.push(Item::Weekday),
        b'b' | b'B' | b'h' => items.push(Item::MonthName),
        b'z' | b'Z' => items.push(Item::Zone { is_optional: letter == b'Z' }),
        b'u' | b'w' => items.push(Item::Number(Part::Other, 1, 1)),
        b'U' | b'V' | b'W' => items.push(two(Part::Other)),
        b'n' => items.push(Item::Byte(b'\n')),
        b't' => items.push(Item::Byte(b'\t')),
        b'+' => return all(b"a b e H:M:S Z Y", items),
        b'%' => items.push(Item::Byte(b'%')),
        b'T' | b'X' => return all(b"H:M:S", items),
        b'R' => return all(b"H:M", items),
        b'F' => return all(b"Y-m-d", items),
        b'D' | b'x' => return all(b"m/d/y", items),
        b'r' => return all(b"I:M:S p", items),
        b'c' => return all(b"a b e H:M:S Y", items),
        _ => return false,
    }
    true
}

/// Directives without their percent signs, and what stands between them.
fn all(letters: &[u8], items: &mut Vec<Item>) -> bool {
    letters.iter().all(|letter| {
        if letter.is_ascii_alphabetic() {
            return directive(*letter, items);
        }
        items.push(Item::Byte(*letter));
        true
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::time_text;
    use crate::format::zone::Zone;
    use proptest::prelude::*;

    #[test]
    fn patterns_of_c() {
        let read = |pattern: &str, text: &str| {
            let clock = compile(pattern, "datefmt").unwrap();
            let (stamp, end) = clock.read(text.as_bytes())?;
            Some((time_text(clock.micros(&stamp, 0, Zone::UTC, 0)??), text[end..].to_owned()))
        };
        let all = [
            ("%Y-%m-%d %H:%M:%S", "2026-02-06 01:02:03,4"),
            ("%d/%b/%Y:%H:%M:%S %z", "06/Feb/2026:01:02:03 +0100]"),
            ("%c", "Fri Feb  6 01:02:03 2026"),
            ("%FT%T.%f%z", "2026-02-06T01:02:03.123456Z"),
            ("%A, %-d. %B %y %I:%M %p %Z", "Friday, 6. February 26 01:02 PM CET"),
            ("%s.%L", "1770339723.456"),
            ("%j %Y %R", "037 2026 01:02"),
        ];
        let shown: Vec<_> =
            all.iter().map(|(pattern, text)| read(pattern, text).map_or("∅".into(), |(time, rest)| format!("{time} {rest}"))).collect();
        let expected = [
            "2026-02-06T01:02:03Z ,4",
            "2026-02-06T00:02:03Z ]",
            "2026-02-06T01:02:03Z ",
            "2026-02-06T01:02:03.123456Z ",
            "2026-02-06T12:02:00Z ",
            "2026-02-06T01:02:03.456Z ",
            "2026-02-06T01:02:00Z ",
        ];
        assert_eq!(shown, expected);
        assert_eq!(compile("%Y %q", "datefmt").unwrap_err().message, "`%q` in the date pattern `%Y %q` is not known");
        assert!(compile("%H %", "datefmt").is_err());
    }

    fn read(pattern: &str, text: &str) -> Option<i64> {
        compile_part(pattern).unwrap().whole_micros(text.as_bytes(), Zone::Fixed(3_600), 0)?
    }

    #[test]
    fn times_as_patterns_say() {
        let known = |text: &str| Some(text.parse::<chrono::DateTime<chrono::Utc>>().unwrap().timestamp_micros());
        let cases = [
            ("%d/%b/%Y:%H:%M:%S %z", "30/Oct/2023:19:01:01 -0330", "2023-10-30T22:31:01Z"),
            ("%c", "Sun Dec  4 04:47:44 2005", "2005-12-04T03:47:44Z"),
            ("%a %b %d %T.%f %Y", "Sun Dec 04 04:47:44.1234567 2005", "2005-12-04T03:47:44.123456Z"),
            ("%F %I:%M %p", "2024-02-29 12:05 AM", "2024-02-28T23:05:00Z"),
            ("%D %r %Z", "02/29/24 01:02:03 PM GMT", "2024-02-29T13:02:03Z"),
            ("%Y%j %k%%%M%:z", "2024366  7%05+01:00", "2024-12-31T06:05:00Z"),
            ("%A, %-d %B %y %H", "Friday, 3 May 99 04", "1999-05-03T03:00:00Z"),
            ("%s", "1700000000", "2023-11-14T22:13:20Z"),
            ("%s.%3N", "1700000000.25", "2023-11-14T22:13:20.25Z"),
            ("%s", "-1", "1969-12-31T23:59:59Z"),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(read(pattern, text), known(expected), "{pattern}");
        }
    }

    #[test]
    fn what_is_no_time() {
        for (pattern, text) in [
            ("%F", "2023-02-29"),
            ("%F", "23-02-01"),
            ("%F %I %p", "2023-02-01 13 AM"),
            ("%F %Z", "2023-02-01 CST"),
            ("%F", "2023-02-01 "),
            ("%Y %j", "2023 366"),
            ("%s", "9223372036854775807"),
            ("%b %Y", "Foo 2023"),
        ] {
            assert_eq!(read(pattern, text), None, "{pattern} {text}");
        }
        assert_eq!(compile_part("a %Q").unwrap_err(), "`%Q` in the date pattern `a %Q` is not known");
        assert!(compile_part("100%").is_err());
    }

    #[test]
    fn what_makes_a_time_complete() {
        let is_complete = |patterns: &[&str]| {
            let patterns: Vec<_> = patterns.iter().map(|pattern| compile_part(pattern).unwrap()).collect();
            Clock::are_complete(patterns.iter())
        };
        assert!(is_complete(&["%F", "%T", "%z"]) && is_complete(&["%s"]) && is_complete(&["%y%j %I%p"]));
        assert!(!is_complete(&["%F"]) && !is_complete(&["%T", "%b %d"]) && !is_complete(&["%F %I"]));
    }

    proptest! {
        #[test]
        fn nothing_panics(pattern in "[%a-zA-Z0-9+:é -]{0,12}", text in "[a-zA-Z0-9:+-é ]{0,30}") {
            if let Ok(clock) = compile_part(&pattern) {
                let _ = clock.whole_micros(text.as_bytes(), Zone::UTC, 0);
            }
        }
    }
}
