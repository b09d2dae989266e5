//! Schedules of activities: a unit of lots, `cron(…)` or `rate(…)` as EventBridge has them; exports of logs. Text flows in;
//! what is wrong with it flows out.
//!
//! Source: Amazon EventBridge user guide, "Setting a schedule pattern for scheduled rules".

use manifests::LotUnit;
use serde_json::Value;

use super::aws::Deployment;
use super::fields::Problems;
use super::graph::check_store_bucket;
use super::placement::bucket_uri;

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
/// The fields of `cron`: name, least, most, the words for numbers from the least on.
const FIELDS: [(&str, u32, u32, &[&str]); 6] = [
    ("minutes", 0, 59, &[]),
    ("hours", 0, 23, &[]),
    ("day of month", 1, 31, &[]),
    ("month", 1, 12, &MONTHS),
    ("day of week", 1, 7, &WEEKDAYS),
    ("year", 1970, 2199, &[]),
];
/// The longest name of a log group, in bytes.
const GROUP_BYTES_MAX: usize = 512;
const DAY_OF_MONTH: usize = 2;
const DAY_OF_WEEK: usize = 4;

/// Reports schedules that EventBridge would refuse, and exports that lead nowhere.
pub fn check(deployment: &Deployment<'_>, problems: &Problems) {
    for (path, entry) in deployment.list("activities") {
        if let Some(Err(message)) = entry["schedule"].as_str().map(check_schedule) {
            problems.add(format!("{path}.schedule"), message);
        }
        if entry["type"] == "aws:core:cloudWatchExport" {
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
    let Ok(number) = number.parse::<u32>() else { return wrong() };
    let singular = unit.strip_suffix('s').unwrap_or(unit);
    if number == 0 || !["minute", "hour", "day"].contains(&singular) {
        return wrong();
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
        ("?", _) | (_, "?") => Ok(()),
        _ => Err(format!("cron({text}): one of day of month and day of week must be `?`")),
    }
}

/// One of the alternatives of a field: `*`, `5`, `1-5`, `0/15`, `MON-FRI`, `L`, `15W`, `FRI#2`.
fn is_part(part: &str, at: usize, spec: (&str, u32, u32, &[&str])) -> bool {
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
        Some((from, step)) => span(from) && step.parse::<u32>().is_ok_and(|step| step > 0),
        None => span(part),
    }
}

fn value(text: &str, spec: (&str, u32, u32, &[&str])) -> Option<u32> {
    let (_, least, most, words) = spec;
    let word = || (least..).zip(words).find(|(_, word)| word.eq_ignore_ascii_case(text)).map(|(number, _)| number);
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten().or_else(word).filter(|number| (least..=most).contains(number))
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
            cron(a 6 * * ? *): `a` is no minutes"#]]
        .assert_eq(&said.join("\n"));
    }
}
