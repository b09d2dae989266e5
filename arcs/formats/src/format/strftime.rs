//! Date patterns as C's `strftime` has them, as far as logs use them: a pattern flows in, a [`Clock`] flows out.

use super::Problem;
use super::clock::{Clock, Item, Part};

/// Compiles a pattern. `at` is where problems are said to be.
pub(super) fn compile(pattern: &str, at: &str) -> Result<Clock, Problem> {
    let mut items = Vec::new();
    let mut rest = pattern.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            items.push(Item::Byte(byte));
            continue;
        }
        // A minus or an underscore says how numbers are padded: leading zeros are read or not, as they come.
        let letter = rest.by_ref().find(|byte| !matches!(byte, b'-' | b'_' | b'0' | b'E' | b'O' | b':'));
        if !letter.is_some_and(|letter| directive(letter, &mut items)) {
            let letter = letter.map_or(String::new(), |letter| char::from(letter).to_string());
            return Err(Problem::new(at, format!("`%{letter}` in the date pattern `{pattern}` is not known")));
        }
    }
    Clock::new(items, at)
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
        b's' => items.push(Item::EpochSeconds),
        b'p' | b'P' => items.push(Item::Half),
        b'a' | b'A' => items.push(Item::Weekday),
        b'b' | b'B' | b'h' => items.push(Item::MonthName),
        b'z' | b'Z' => items.push(Item::Zone { is_optional: letter == b'Z' }),
        b'u' | b'w' => items.push(Item::Number(Part::Other, 1, 1)),
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
}
