//! Schedules of activities: a unit of lots, `cron(…)` or `rate(…)` as EventBridge has them; exports of logs. Text flows in;
//! what is wrong with it flows out.
//!
//! Source: Amazon EventBridge user guide, "Setting a schedule pattern for scheduled rules".

use chrono::NaiveDate;
use manifests::LotUnit;
use serde_json::Value;

use super::aws::Deployment;
use super::fields::Problems;
use super::graph::check_store_bucket;
use super::placement::bucket_uri;
use crate::synth;

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
/// The fields of `cron`: name, least, most, the words for numbers from the least on.
const FIELDS: [Field; 6] = [
    ("minutes", 0, 59, &[]),
    ("hours", 0, 23, &[]),
    ("day of month", 1, 31, &[]),
    ("month", 1, 12, &MONTHS),
    ("day of week", 1, 7, &WEEKDAYS),
    ("year", 1970, 2199, &[]),
];
/// The longest name of a log group, in bytes.
const GROUP_BYTES_MAX: usize = 512;
/// A field of `cron`.
type Field = (&'static str, u32, u32, &'static [&'static str]);
const DAY_OF_MONTH: usize = 2;
const MONTH: usize = 3;
const DAY_OF_WEEK: usize = 4;
const YEAR: usize = 5;
/// Years before this one were over when this program was first released.
const YEAR_LEAST: u32 = 2026;
/// The longest that a rate may wait; nobody means a longer one.
const RATE_DAYS_MAX: u64 = 3_660;

/// Reports schedules that EventBridge would refuse, and exports that lead nowhere.
pub fn check(deployment: &Deployment<'_>, problems: &Problems) {
    for (path, entry) in deployment.list("activities") {
        if let Some(Err(message)) = entry["schedule"].as_str().map(check_schedule) {
            problems.add(format!("{path}.schedule"), message);
        }
        if synth::is_export(entry) {
            check_export(&path, entry, problems);
        }
    }
}

/// An export holds an interval of a log group: neither is a pattern, and each interval has to have a name.
fn check_export(path: &str, entry: &Value, problems: &Problems) {
    let text = |key: &str| entry[key].as_str();
    if let Some(Err(error)) = text("interval").map(str::parse::<LotUnit>) {
        let fix = Some("each export holds one interval, and is called by its lot: Hours, for one".to_owned());
        problems.add_fix(format!("{path}.interval"), error.to_string(), fix);
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_/#".contains(&byte);
    let is_group = |name: &str| (1..=GROUP_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_plain);
    if let Some(group) = text("logGroupName").filter(|name| !is_group(name)) {
        let message = format!("`{group}` is no log group: 1 to {GROUP_BYTES_MAX} letters, digits, `.`, `-`, `_`, `/` and `#`");
        problems.add(format!("{path}.logGroupName"), message);
    }
    if let Some(uri) = text("pathURI") {
        check_target(format!("{path}.pathURI"), uri, problems);
    }
}

/// Where an export goes.
fn check_target(path: String, uri: &str, problems: &Problems) {
    match bucket_uri(uri) {
        Err(message) => problems.add(path, message),
        Ok(uri) => check_store_bucket(path, &uri, problems),
    }
}

/// What is wrong with a schedule.
pub fn check_schedule(text: &str) -> Result<(), String> {
    if text.parse::<LotUnit>().is_ok() {
        return Ok(());
    }
    let inside = |word: &str| text.strip_prefix(word)?.strip_prefix('(')?.strip_suffix(')');
    match (inside("cron"), inside("rate")) {
        (Some(fields), _) => check_cron(fields),
        (_, Some(rate)) => check_rate(rate),
        _ => Err(format!("`{text}` is no schedule: use a lot unit such as Twelfths, rate(5 minutes) or cron(0 6 * * ? *)")),
    }
}

fn check_rate(text: &str) -> Result<(), String> {
    let wrong = || Err(format!("rate({text}): use a number from 1 and minutes, hours or days"));
    let Some((number, unit)) = text.split_once(' ') else { return wrong() };
    let Some(number) = whole(number) else { return wrong() };
    let singular = unit.strip_suffix('s').unwrap_or(unit);
    if number == 0 || !["minute", "hour", "day"].contains(&singular) {
        return wrong();
    }
    let in_a_day = [("minute", 24 * 60), ("hour", 24), ("day", 1)].into_iter().find(|known| known.0 == singular).map_or(1, |known| known.1);
    if u64::from(number) > RATE_DAYS_MAX * in_a_day {
        return Err(format!("rate({text}): is longer than ten years"));
    }
    match (number == 1, unit == singular) {
        (true, false) => Err(format!("rate({text}): with 1 it is `{singular}`")),
        (false, true) => Err(format!("rate({text}): with {number} it is `{singular}s`")),
        _ => Ok(()),
    }
}

fn check_cron(text: &str) -> Result<(), String> {
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    if fields.len() != FIELDS.len() {
        let names = FIELDS.map(|field| field.0).join(", ");
        return Err(format!("cron({text}): has {} fields, and needs six: {names}", fields.len()));
    }
    for (at, (field, spec)) in fields.iter().zip(FIELDS).enumerate() {
        if !field.split(',').all(|part| is_part(part, at, spec)) {
            return Err(format!("cron({text}): `{field}` is no {}", spec.0));
        }
    }
    match (fields[DAY_OF_MONTH], fields[DAY_OF_WEEK]) {
        ("?", "?") => Err(format!("cron({text}): only one of day of month and day of week can be `?`")),
        ("?", _) | (_, "?") => check_coming(&fields, text),
        _ => Err(format!("cron({text}): one of day of month and day of week must be `?`")),
    }
}

/// Refuses days that there are not, and years that are over.
fn check_coming(fields: &[&str], text: &str) -> Result<(), String> {
    let years: Vec<u32> = numbers(fields[YEAR], FIELDS[YEAR]).into_iter().filter(|year| *year >= YEAR_LEAST).collect();
    if years.is_empty() {
        return Err(format!("cron({text}): `{}` is over", fields[YEAR]));
    }
    let has_leap = years.iter().any(|year| NaiveDate::from_ymd_opt(i32::try_from(*year).unwrap_or_default(), 2, 29).is_some());
    let days_of = |month: u32| match month {
        2 if has_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let first = numbers(fields[DAY_OF_MONTH], FIELDS[DAY_OF_MONTH]).into_iter().min().unwrap_or(1);
    match numbers(fields[MONTH], FIELDS[MONTH]).into_iter().any(|month| first <= days_of(month)) {
        true => Ok(()),
        false => Err(format!("cron({text}): never comes: there is no such day")),
    }
}

/// The numbers that a field stands for; all where it goes by the calendar.
fn numbers(field: &str, spec: Field) -> Vec<u32> {
    let (_, least, most, _) = spec;
    let number = |text: &str| value(text.strip_suffix('W').unwrap_or(text), spec);
    let part = |part: &str| {
        let (span, step) = part.split_once('/').map_or((part, None), |(span, step)| (span, whole(step)));
        let (from, to) = match (span.split_once('-'), number(span)) {
            (Some((from, to)), _) => (number(from).unwrap_or(least), number(to).unwrap_or(most)),
            (None, Some(one)) => (one, if step.is_some() { most } else { one }),
            (None, None) => (least, most),
        };
        // A span that ends before it begins goes over the end.
        let to = if from <= to { to } else { most };
        (from..=to).step_by(usize::try_from(step.unwrap_or(1)).unwrap_or(1).max(1))
    };
    field.split(',').flat_map(part).collect()
}

/// A number of digits alone.
fn whole(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// One of the alternatives of a field: `*`, `5`, `1-5`, `0/15`, `MON-FRI`, `L`, `15W`, `FRI#2`.
fn is_part(part: &str, at: usize, spec: Field) -> bool {
    let number = |text: &str| value(text, spec).is_some();
    let span = |text: &str| match text.split_once('-') {
        Some((from, to)) => number(from) && number(to),
        None => text == "*" || number(text),
    };
    match (at, part) {
        (DAY_OF_MONTH | DAY_OF_WEEK, "?" | "L") => return true,
        (DAY_OF_MONTH, _) if part.strip_suffix('W').is_some_and(|day| day == "L" || number(day)) => return true,
        (DAY_OF_WEEK, _) if part.strip_suffix('L').is_some_and(number) => return true,
        (DAY_OF_WEEK, _) => {
            if let Some((day, week)) = part.split_once('#') {
                return number(day) && matches!(week, "1" | "2" | "3" | "4" | "5");
            }
        }
        _ => {}
    }
    match part.split_once('/') {
        Some((from, step)) => span(from) && whole(step).is_some_and(|step| (1..=spec.2).contains(&step)),
        None => span(part),
    }
}

fn value(text: &str, spec: Field) -> Option<u32> {
    let (_, least, most, words) = spec;
    let word = || (least..).zip(words).find(|(_, word)| word.eq_ignore_ascii_case(text)).map(|(number, _)| number);
    whole(text).or_else(word).filter(|number| (least..=most).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn schedules_that_are_taken() {
        for text in [
            "Twelfths",
            "PT1H",
            "rate(1 minute)",
            "rate(5 minutes)",
            "rate(2 days)",
            "cron(0 6 * * ? *)",
            "cron(0/15 8-18 ? * MON-FRI 2026-2030)",
            "cron(5,35 14 L * ? *)",
            "cron(0 0 15W JAN,JUL ? *)",
            "cron(0 9 ? * FRI#2 *)",
            "cron(0 9 ? * 6L *)",
            "cron(0 6 29 FEB ? 2026-2028)",
            "cron(0 6 31 * ? *)",
            "cron(0 6 LW FEB ? *)",
            "cron(0 6 30/5,1 2 ? *)",
            "cron(0 20-8 ? * FRI-MON *)",
            "cron(0 6 1 1 ? 1999,2030)",
        ] {
            assert_eq!(check_schedule(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn schedules_that_are_not() {
        let texts = [
            "",
            "daily",
            "rate()",
            "rate(0 minutes)",
            "rate(1 minutes)",
            "rate(5 minute)",
            "rate(5 weeks)",
            "cron(0 6 * * *)",
            "cron(0 6 * * * *)",
            "cron(0 6 ? * ? *)",
            "cron(60 6 * * ? *)",
            "cron(0 6 * * ? 1969)",
            "cron(0/0 6 * * ? *)",
            "cron(a 6 * * ? *)",
            "cron(0/90 6 * * ? *)",
            "cron(0/+5 6 * * ? *)",
            "cron(0 6 31 FEB ? *)",
            "cron(0 6 31W 4,6 ? *)",
            "cron(0 6 29 FEB ? 2027)",
            "cron(0 6 1 1 ? 1999)",
            "rate(+5 minutes)",
            "rate(4000000000 days)",
            "rate(6000000 minutes)",
        ];
        let said: Vec<String> = texts.iter().filter_map(|text| check_schedule(text).err()).collect();
        assert_eq!(said.len(), texts.len());
        expect![[r#"
            `` is no schedule: use a lot unit such as Twelfths, rate(5 minutes) or cron(0 6 * * ? *)
            `daily` is no schedule: use a lot unit such as Twelfths, rate(5 minutes) or cron(0 6 * * ? *)
            rate(): use a number from 1 and minutes, hours or days
            rate(0 minutes): use a number from 1 and minutes, hours or days
            rate(1 minutes): with 1 it is `minute`
            rate(5 minute): with 5 it is `minutes`
            rate(5 weeks): use a number from 1 and minutes, hours or days
            cron(0 6 * * *): has 5 fields, and needs six: minutes, hours, day of month, month, day of week, year
            cron(0 6 * * * *): one of day of month and day of week must be `?`
            cron(0 6 ? * ? *): only one of day of month and day of week can be `?`
            cron(60 6 * * ? *): `60` is no minutes
            cron(0 6 * * ? 1969): `1969` is no year
            cron(0/0 6 * * ? *): `0/0` is no minutes
            cron(a 6 * * ? *): `a` is no minutes
            cron(0/90 6 * * ? *): `0/90` is no minutes
            cron(0/+5 6 * * ? *): `0/+5` is no minutes
            cron(0 6 31 FEB ? *): never comes: there is no such day
            cron(0 6 31W 4,6 ? *): never comes: there is no such day
            cron(0 6 29 FEB ? 2027): never comes: there is no such day
            cron(0 6 1 1 ? 1999): `1999` is over
            rate(+5 minutes): use a number from 1 and minutes, hours or days
            rate(4000000000 days): is longer than ten years
            rate(6000000 minutes): is longer than ten years"#]]
        .assert_eq(&said.join("\n"));
    }
}
