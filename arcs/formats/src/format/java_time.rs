//! Date patterns as Java writes them (`SimpleDateFormat`, `DateTimeFormatter`, and the names that Log4j and Logback have
//! for some): a pattern flows in, a [`Clock`] flows out, or what in the pattern is unknown, with its place.

use super::Problem;
use super::clock::{Clock, Item, Part};

/// Compiles a pattern. `at` is where problems are said to be.
pub(super) fn compile(pattern: &str, at: &str) -> Result<Clock, Problem> {
    let mut items = Vec::new();
    let mut rest = pattern.char_indices().peekable();
    while let Some((start, letter)) = rest.next() {
        match letter {
            '\'' => quoted(pattern, start, at, &mut rest, &mut items)?,
            'A'..='Z' | 'a'..='z' => {
                let mut count = 1;
                while rest.next_if(|(_, next)| *next == letter).is_some() {
                    count += 1;
                }
                let is_tight = rest.peek().is_some_and(|(_, next)| next.is_ascii_alphabetic());
                let item = field(letter, count, is_tight);
                items.push(item.ok_or_else(|| Problem::new(at, format!("`{letter}` in the date pattern `{pattern}` is not known")))?);
            }
            other => items.extend(other.to_string().bytes().map(Item::Byte)),
        }
    }
    Clock::new(items, at)
}

/// Text between quotes; two quotes are one.
fn quoted(
    pattern: &str,
    start: usize,
    at: &str,
    rest: &mut std::iter::Peekable<std::str::CharIndices<'_>>,
    items: &mut Vec<Item>,
) -> Result<(), Problem> {
    let mut is_empty = true;
    loop {
        match rest.next() {
            Some((_, '\'')) if rest.next_if(|(_, next)| *next == '\'' && !is_empty).is_some() => items.push(Item::Byte(b'\'')),
            Some((_, '\'')) if is_empty => {
                items.push(Item::Byte(b'\''));
                return Ok(());
            }
            Some((_, '\'')) => return Ok(()),
            Some((_, other)) => items.extend(other.to_string().bytes().map(Item::Byte)),
            None => return Err(Problem::new(at, format!("a quote is not closed in the date pattern `{pattern}`, byte {start}"))),
        }
        is_empty = false;
    }
}

/// A letter that stands so many times. Numbers that digits follow have as many digits as they have letters.
fn field(letter: char, count: usize, is_tight: bool) -> Option<Item> {
    let number = |part, most: usize| Item::Number(part, count, if is_tight || count > 1 { count } else { most });
    Some(match (letter, count) {
        ('y' | 'u' | 'Y', 2) => number(Part::YearOfCentury, 2),
        ('y' | 'u' | 'Y', 1) => Item::Number(Part::Year, 4, 4),
        ('y' | 'u' | 'Y', _) => number(Part::Year, 4),
        ('M' | 'L', 1 | 2) => number(Part::Month, 2),
        ('M' | 'L', _) => Item::MonthName,
        ('d', _) => number(Part::Day, 2),
        ('D', _) => number(Part::DayOfYear, 3),
        ('E', _) => Item::Weekday,
        ('e' | 'c', 3..) => Item::Weekday,
        ('e' | 'c' | 'w' | 'W' | 'F', _) => number(Part::Other, 2),
        ('a' | 'B', _) => Item::Half,
        // 24 is midnight where hours start at 1: rare enough to be no time.
        ('H' | 'k', _) => number(Part::Hour, 2),
        ('K' | 'h', _) => number(Part::HalfHour, 2),
        ('m', _) => number(Part::Minute, 2),
        ('s', _) => number(Part::Second, 2),
        ('S' | 'n', _) => Item::Fraction(count.min(9), count.max(if count == 1 { 9 } else { count })),
        ('z' | 'Z' | 'X' | 'x' | 'O' | 'V' | 'v', _) => Item::Zone { is_optional: false },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::time_text;
    use crate::format::zone::Zone;

    fn read(pattern: &str, text: &str) -> String {
        let clock = compile(pattern, "pattern").unwrap();
        let Some((stamp, end)) = clock.read(text.as_bytes()) else { return "∅".into() };
        let arrived = 1_770_000_000_000_000;
        let time = clock.micros(&stamp, 0, Zone::find("+01:00").unwrap(), arrived).map(|time| time.map(time_text));
        format!("{} {}", time.flatten().unwrap_or("none".into()), &text[end..])
    }

    #[test]
    fn patterns_of_java() {
        assert_eq!(read("yyyy-MM-dd HH:mm:ss,SSS", "2026-02-06 01:02:03,456 x"), "2026-02-06T00:02:03.456Z  x");
        assert_eq!(read("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "2026-02-06T01:02:03.456-03:30]"), "2026-02-06T04:32:03.456Z ]");
        assert_eq!(read("yyyyMMddHHmmssSSS", "20260206010203456"), "2026-02-06T00:02:03.456Z ");
        assert_eq!(read("dd MMM yyyy HH:mm:ss,nnnnnn", "06 Feb 2026 01:02:03,456789"), "2026-02-06T00:02:03.456789Z ");
        assert_eq!(read("EEE MMM d h:mm:ss a z yyyy", "Fri Feb 6 1:02:03 PM UTC 2026"), "2026-02-06T13:02:03Z ");
        assert_eq!(read("EEEE, d. MMMM yy 'o''clock' HH", "Friday, 6. February 26 o'clock 01"), "2026-02-06T00:00:00Z ");
        assert_eq!(read("HH:mm:ss", "01:02:03"), "2026-02-02T00:02:03Z ");
        assert_eq!(read("MM-dd HH:mm:ss", "12-31 01:02:03"), "2025-12-31T00:02:03Z ");
        assert_eq!(read("yyyy-DDD HH VV", "2026-037 01 Europe/Berlin"), "2026-02-06T00:00:00Z ");
        assert_eq!(read("yyyy-MM-dd HH:mm z", "2026-02-06 01:02 XYZ"), "∅");
        assert_eq!(read("yyyy-MM-dd HH:mm", "2026-02-30 01:02"), "none ");
        assert_eq!(compile("yyyy-bb HH", "p").unwrap_err(), Problem::new("p", "`b` in the date pattern `yyyy-bb HH` is not known"));
        assert!(compile("HH 'x", "p").is_err() && compile("yyyy", "p").is_err());
    }
}
