//! Times by `strftime` patterns, as `%d/%b/%Y:%H:%M:%S %z`. A pattern flows in once, as a list of parts; text flows in and
//! its parts flow into a [`Moment`], which several patterns may fill together; microseconds since 1970 UTC flow out.
//! Names of months and days are English, as in the C locale.

use super::time::{Civil, digit, fraction_micros, month, zone};

/// A pattern, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Item>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Literal(u8),
    /// A number of up to so many digits.
    Number(Part, usize),
    /// Digits after a point; 0 for as many as there are.
    Fraction(usize),
    MonthName,
    DayName,
    Meridiem,
    Zone,
    ZoneName,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Year,
    YearOfCentury,
    Month,
    Day,
    DayOfYear,
    Hour,
    HourOfHalf,
    Minute,
    Second,
    Epoch(i64),
    /// The number of a week or of a weekday: says nothing that the date does not.
    Week,
}

/// Digits of the largest epoch that is read.
const EPOCH_DIGITS: usize = 18;

/// The fields of a pattern that stand for several.
const COMPOSED: [(u8, &str); 9] = [
    (b'D', "%m/%d/%y"),
    (b'F', "%Y-%m-%d"),
    (b'R', "%H:%M"),
    (b'T', "%H:%M:%S"),
    (b'X', "%H:%M:%S"),
    (b'r', "%I:%M:%S %p"),
    (b'x', "%m/%d/%y"),
    (b'c', "%a %b %e %H:%M:%S %Y"),
    (b'+', "%a %b %e %H:%M:%S %Z %Y"),
];

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// With the byte of a field that is unknown, and what it is.
    pub(super) fn compile(pattern: &str) -> Result<Pattern, (usize, String)> {
        let mut items = Vec::new();
        add(pattern.as_bytes(), &mut items)?;
        Ok(Pattern(items))
    }

    /// Seconds, milliseconds or microseconds since 1970, so many in a second.
    pub(super) fn epoch(per_second: i64) -> Pattern {
        Pattern(vec![Item::Number(Part::Epoch(1_000_000 / per_second), EPOCH_DIGITS)])
    }

    /// Exactly so many digits after the point of a second.
    pub(super) fn fraction(digits: usize) -> Pattern {
        Pattern(vec![Item::Fraction(digits)])
    }

    /// Whether patterns together say a date and an hour.
    pub(super) fn are_complete<'a>(patterns: impl Iterator<Item = &'a Pattern>) -> bool {
        let items: Vec<&Item> = patterns.flat_map(|pattern| &pattern.0).collect();
        let has = |part: Part| items.iter().any(|item| matches!(item, Item::Number(found, _) if *found == part));
        let is_half_said = has(Part::HourOfHalf) && items.contains(&&Item::Meridiem);
        let has_month = has(Part::Month) || items.contains(&&Item::MonthName);
        let has_date = (has(Part::Year) || has(Part::YearOfCentury)) && (has(Part::DayOfYear) || (has_month && has(Part::Day)));
        let has_epoch = items.iter().any(|item| matches!(item, Item::Number(Part::Epoch(_), _)));
        has_epoch || (has_date && (has(Part::Hour) || is_half_said))
    }

    /// Reads what `text` starts with. Gives how many bytes that were.
    pub(super) fn read(&self, text: &[u8], moment: &mut Moment) -> Option<usize> {
        let mut at = 0;
        for item in &self.0 {
            let rest = text.get(at..)?;
            at += match item {
                Item::Literal(byte) => (rest.first() == Some(byte)).then_some(1)?,
                Item::Number(part, digits_max) => number(rest, *part, *digits_max, moment)?,
                Item::Fraction(exactly) => fraction(rest, *exactly, moment)?,
                Item::MonthName => name(rest, &MONTHS, |at| moment.civil.month = at as i64 + 1)?,
                Item::DayName => name(rest, &DAYS, |_| {})?,
                Item::Meridiem => meridiem(rest, moment)?,
                Item::Zone => offset(rest, moment)?,
                Item::ZoneName => zone_name(rest, moment)?,
            };
        }
        Some(at)
    }

    /// Reads a text that is the time and nothing else, in microseconds since 1970 UTC. `zone_seconds` is the zone of a time
    /// that has none.
    pub(super) fn micros(&self, text: &[u8], zone_seconds: i64) -> Option<i64> {
        let mut moment = Moment::default();
        let end = self.read(text, &mut moment)?;
        moment.utc_micros(zone_seconds).filter(|_| end == text.len())
    }
}

fn add(pattern: &[u8], items: &mut Vec<Item>) -> Result<(), (usize, String)> {
    let mut at = 0;
    while let Some(byte) = pattern.get(at) {
        at += 1;
        if *byte != b'%' {
            items.push(Item::Literal(*byte));
            continue;
        }
        let start = at - 1;
        // Flags, a width and the modifiers E and O change how numbers are padded or written, not what they mean here.
        let prefix =
            pattern[at..].iter().take_while(|byte| matches!(byte, b'-' | b'_' | b'0'..=b'9' | b'^' | b'#' | b':' | b'E' | b'O')).count();
        at += prefix;
        let field = pattern.get(at).copied();
        at += 1;
        let composed = field.and_then(|field| COMPOSED.iter().find(|(name, _)| *name == field));
        match (composed, field.and_then(item)) {
            (Some((_, composed)), _) => add(composed.as_bytes(), items)?,
            (None, Some(item)) => items.push(item),
            (None, None) => {
                let shown = String::from_utf8_lossy(&pattern[start..at.min(pattern.len())]).into_owned();
                return Err((start, format!("`{shown}` is no field of a time that can be read")));
            }
        }
    }
    Ok(())
}

fn item(field: u8) -> Option<Item> {
    Some(match field {
        b'%' => Item::Literal(b'%'),
        b'n' => Item::Literal(b'\n'),
        b't' => Item::Literal(b'\t'),
        b'a' | b'A' => Item::DayName,
        b'b' | b'B' | b'h' => Item::MonthName,
        b'p' | b'P' => Item::Meridiem,
        b'z' => Item::Zone,
        b'Z' => Item::ZoneName,
        b'f' | b'L' | b'N' => Item::Fraction(0),
        b'Y' => Item::Number(Part::Year, 4),
        b'y' => Item::Number(Part::YearOfCentury, 2),
        b'm' => Item::Number(Part::Month, 2),
        b'd' | b'e' => Item::Number(Part::Day, 2),
        b'j' => Item::Number(Part::DayOfYear, 3),
        b'H' | b'k' => Item::Number(Part::Hour, 2),
        b'I' | b'l' => Item::Number(Part::HourOfHalf, 2),
        b'M' => Item::Number(Part::Minute, 2),
        b'S' => Item::Number(Part::Second, 2),
        b's' => Item::Number(Part::Epoch(1_000_000), EPOCH_DIGITS),
        b'u' | b'w' => Item::Number(Part::Week, 1),
        b'U' | b'V' | b'W' => Item::Number(Part::Week, 2),
        _ => return None,
    })
}

/// The parts of a time as they are read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moment {
    civil: Civil,
    is_afternoon: Option<bool>,
    day_of_year: Option<i64>,
    zone_seconds: Option<i64>,
    epoch_micros: Option<i64>,
    has_fraction: bool,
}

impl Moment {
    /// Microseconds since 1970 UTC; `None` where there is no such time.
    pub(super) fn utc_micros(&self, zone_seconds: i64) -> Option<i64> {
        if let Some(micros) = self.epoch_micros {
            let is_finer = self.has_fraction && micros % 1_000_000 == 0;
            return if is_finer { micros.checked_add(self.civil.micros) } else { Some(micros) };
        }
        let mut civil = self.civil;
        if let Some(is_afternoon) = self.is_afternoon {
            civil.hour = match civil.hour {
                hour @ 1..=12 => hour % 12 + if is_afternoon { 12 } else { 0 },
                _ => return None,
            };
        }
        let days = match self.day_of_year {
            None => 0,
            Some(day) => {
                (civil.month, civil.day) = (1, 1);
                let is_leap = civil.year % 4 == 0 && (civil.year % 100 != 0 || civil.year % 400 == 0);
                (1..=365 + i64::from(is_leap)).contains(&day).then_some(day - 1)?
            }
        };
        Some(civil.utc_micros(self.zone_seconds.unwrap_or(zone_seconds))? + days * 86_400_000_000)
    }
}

/// A number, after blanks that fill it up. A year has all of its digits.
fn number(text: &[u8], part: Part, digits_max: usize, moment: &mut Moment) -> Option<usize> {
    let blanks = text.iter().take_while(|byte| **byte == b' ').count().min(digits_max - 1);
    let is_negative = matches!(part, Part::Epoch(_)) && text.get(blanks) == Some(&b'-');
    let start = blanks + usize::from(is_negative);
    let (mut value, mut end) = (0i64, start);
    while let Some(digit) = text.get(end).filter(|_| end - start < digits_max).and_then(|byte| digit(*byte)) {
        value = value * 10 + i64::from(digit);
        end += 1;
    }
    if end == start || (part == Part::Year && end - start < digits_max) {
        return None;
    }
    let civil = &mut moment.civil;
    match part {
        Part::Year => civil.year = value,
        Part::YearOfCentury => civil.year = value + if value < 69 { 2000 } else { 1900 },
        Part::Month => civil.month = value,
        Part::Day => civil.day = value,
        Part::DayOfYear => moment.day_of_year = Some(value),
        Part::Hour | Part::HourOfHalf => civil.hour = value,
        Part::Minute => civil.minute = value,
        Part::Second => civil.second = value,
        Part::Epoch(micros) => moment.epoch_micros = Some(if is_negative { -value } else { value }.checked_mul(micros)?),
        Part::Week => {}
    }
    Some(end)
}

fn fraction(text: &[u8], exactly: usize, moment: &mut Moment) -> Option<usize> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let used = if exactly == 0 { digits } else { exactly };
    moment.civil.micros = fraction_micros(text.get(..used)?)?;
    moment.has_fraction = true;
    Some(used)
}

const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A name, whole or its first three letters.
fn name(text: &[u8], names: &[&str], found: impl FnOnce(usize)) -> Option<usize> {
    let short = text.get(..3)?;
    let at = match names.len() {
        12 => (month(short)? - 1) as usize,
        _ => names.iter().position(|name| &name.as_bytes()[..3] == short)?,
    };
    let name = names.get(at)?;
    found(at);
    Some(if text.starts_with(name.as_bytes()) { name.len() } else { 3 })
}

fn meridiem(text: &[u8], moment: &mut Moment) -> Option<usize> {
    moment.is_afternoon = Some(match text.get(..2)? {
        b"AM" | b"am" => false,
        b"PM" | b"pm" => true,
        _ => return None,
    });
    Some(2)
}

/// `Z`, `+0100`, `+01:00` or `+01`.
fn offset(text: &[u8], moment: &mut Moment) -> Option<usize> {
    let is_digit = |at: usize| text.get(at).is_some_and(u8::is_ascii_digit);
    let len = match (text.first()?, text.get(3)) {
        (b'Z' | b'z', _) => 1,
        (_, Some(b':')) if is_digit(4) && is_digit(5) => 6,
        _ if is_digit(3) && is_digit(4) => 5,
        _ => 3,
    };
    moment.zone_seconds = Some(zone(text.get(..len)?)?);
    Some(len)
}

/// The name of a zone. Only those that say the same everywhere are known.
fn zone_name(text: &[u8], moment: &mut Moment) -> Option<usize> {
    let name = text.get(..text.iter().take_while(|byte| byte.is_ascii_alphabetic()).count())?;
    matches!(name, b"UTC" | b"GMT" | b"Z" | b"UCT").then(|| {
        moment.zone_seconds = Some(0);
        name.len()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pattern: &str, text: &str) -> Option<i64> {
        Pattern::compile(pattern).unwrap().micros(text.as_bytes(), 3_600)
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
        assert_eq!(Pattern::compile("a %Q"), Err((2, "`%Q` is no field of a time that can be read".to_owned())));
        assert!(Pattern::compile("100%").is_err());
    }

    #[test]
    fn what_makes_a_time_complete() {
        let is_complete = |patterns: &[&str]| {
            let patterns: Vec<_> = patterns.iter().map(|pattern| Pattern::compile(pattern).unwrap()).collect();
            Pattern::are_complete(patterns.iter())
        };
        assert!(is_complete(&["%F", "%T", "%z"]) && is_complete(&["%s"]) && is_complete(&["%y%j %I%p"]));
        assert!(!is_complete(&["%F"]) && !is_complete(&["%T", "%b %d"]) && !is_complete(&["%F %I"]));
    }

    proptest! {
        #[test]
        fn nothing_panics(pattern in "[%a-zA-Z0-9+:é -]{0,12}", text in "[a-zA-Z0-9:+-é ]{0,30}") {
            if let Ok(pattern) = Pattern::compile(&pattern) {
                let _ = pattern.micros(text.as_bytes(), 0);
            }
        }
    }
}
