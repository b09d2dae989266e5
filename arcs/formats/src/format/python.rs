//! Python's logging by its format string. Records flow in; the common columns of applications flow out, other attributes
//! in `fields`: those of the `extra` argument have any name, so none is unknown.

use super::app::{self, Defaults, HOST_OPTION, SERVICE_OPTION, TIMEZONE};
use super::clock::{Clock, Item};
use super::pattern::{Part, Pattern, Step, To};
use super::{Example, Format, FormatOption, OptionKind, Problem, strftime};

/// The format.
pub static FORMAT: Format = Format {
    name: "python",
    summary: "Python applications that log by a format string of the logging module",
    page: "https://docs.python.org/3/library/logging.html#logrecord-attributes",
    options: &[
        FormatOption {
            name: FORMAT_OPTION,
            kind: OptionKind::Text,
            meaning: "the format string of the Formatter, in the style of %, { or $; %(asctime)s %(levelname)s %(name)s %(message)s by default",
        },
        FormatOption {
            name: DATE_OPTION,
            kind: OptionKind::Text,
            meaning: "the datefmt of the Formatter, as strftime has it; %Y-%m-%d %H:%M:%S,mmm by default",
        },
        TIMEZONE,
        SERVICE_OPTION,
        HOST_OPTION,
    ],
    examples: EXAMPLES,
    compile: |options| {
        let format = options.text(FORMAT_OPTION).unwrap_or("%(asctime)s %(levelname)s %(name)s %(message)s");
        let steps = steps(format, options.text(DATE_OPTION).unwrap_or("%Y-%m-%d %H:%M:%S,%L"))?;
        Ok(Box::new(Pattern::new(steps, Defaults::new(options)?, FORMAT_OPTION)?))
    },
};

const FORMAT_OPTION: &str = "format";
const DATE_OPTION: &str = "datefmt";

static EXAMPLES: &[Example] = &[
    Example::plain(
        "2026-02-06 01:02:03,456 ERROR shop.orders order 17 failed\nTraceback (most recent call last):\n  \
         File \"/srv/shop/orders.py\", line 42, in order\n    stock[item]\nKeyError: 'tea'\n",
    ),
    Example {
        options: r#"{"format":"{asctime} [{process:d}] {levelname:<8} {name}:{lineno} {message}","datefmt":"%d/%b/%Y %H:%M:%S %z"}"#,
        text: "06/Feb/2026 01:02:03 +0100 [4711] WARNING  shop.orders:42 slow\n",
    },
    Example {
        options: r#"{"format":"%(asctime)s.%(msecs)03d|%(threadName)s|%(levelname)-8s|%(request_id)s|%(message)s","datefmt":"%H:%M:%S"}"#,
        text: "01:02:03.456|MainThread|INFO    |r-17|sold 3\n",
    },
    Example { options: r#"{"format":"$levelname:$name:$message"}"#, text: "INFO:shop:sold 3\n" },
    // Layouts that many use, for detection.
    Example { options: r#"{"format":"%(levelname)s:%(name)s:%(message)s"}"#, text: "INFO:shop:sold 3\n" },
    Example {
        options: r#"{"format":"%(asctime)s - %(name)s - %(levelname)s - %(message)s"}"#,
        text: "2026-02-06 01:02:03,456 - shop.orders - INFO - sold 3\n",
    },
    Example {
        options: r#"{"format":"%(asctime)s [%(levelname)s] %(name)s: %(message)s"}"#,
        text: "2026-02-06 01:02:03,456 [INFO] shop.orders: sold 3\n",
    },
    Example { options: r#"{"format":"%(asctime)s [%(levelname)s] %(message)s"}"#, text: "2026-02-06 01:02:03,456 [INFO] sold 3\n" },
    Example { options: r#"{"format":"%(asctime)s - %(levelname)s - %(message)s"}"#, text: "2026-02-06 01:02:03,456 - INFO - sold 3\n" },
    // Flask, Celery, Airflow.
    Example {
        options: r#"{"format":"[%(asctime)s] %(levelname)s in %(module)s: %(message)s"}"#,
        text: "[2026-02-06 01:02:03,456] INFO in orders: sold 3\n",
    },
    Example {
        options: r#"{"format":"[%(asctime)s: %(levelname)s/%(processName)s] %(message)s"}"#,
        text: "[2026-02-06 01:02:03,456: INFO/MainProcess] sold 3\n",
    },
    Example {
        options: r#"{"format":"[%(asctime)s] {%(filename)s:%(lineno)d} %(levelname)s - %(message)s"}"#,
        text: "[2026-02-06 01:02:03,456] {orders.py:42} INFO - sold 3\n",
    },
];

/// An attribute as a format string writes it.
struct Attribute<'a> {
    name: &'a str,
    /// Where what follows starts.
    end: usize,
    width: usize,
    is_number: bool,
}

/// The steps of a format string, in the style that it is in.
fn steps(format: &str, date: &str) -> Result<Vec<Step>, Problem> {
    let read: fn(&str) -> Option<Attribute<'_>> = match format {
        _ if format.contains("%(") => percent,
        _ if format.contains("${") || format.contains("$message") => dollar,
        _ => brace,
    };
    let mark = if format.contains("%(") {
        '%'
    } else if format.contains("${") || format.contains("$message") {
        '$'
    } else {
        '{'
    };
    let (mut steps, mut at, mut text) = (Vec::new(), 0, String::new());
    while let Some(next) = format.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = &format[at..];
        let doubled = [mark, mark];
        if rest.starts_with(&doubled[..].iter().collect::<String>()) || mark == '{' && rest.starts_with("}}") {
            text.push(next);
            at += 2;
        } else if next == mark {
            let attribute = read(rest).ok_or_else(|| Problem::new(FORMAT_OPTION, format!("no attribute is named at byte {at}")))?;
            push_text(&mut steps, &mut text);
            let part = part(&attribute, date)?;
            let least = if matches!(part, Part::Message | Part::Clock(_)) { 0 } else { attribute.width };
            steps.push(Step { part, source: rest[..attribute.end].to_owned(), least, most: 0 });
            at += attribute.end;
        } else {
            text.push(next);
            at += next.len_utf8();
        }
    }
    push_text(&mut steps, &mut text);
    Ok(steps)
}

fn push_text(steps: &mut Vec<Step>, text: &mut String) {
    for (n, line) in text.split('\n').enumerate() {
        if n > 0 {
            steps.push(Step::new(Part::Newline, "\\n"));
        }
        if !line.is_empty() {
            steps.push(Step::new(Part::Literal(line.as_bytes().to_vec()), line));
        }
    }
    text.clear();
}

/// `%(name)-8s`
fn percent(text: &str) -> Option<Attribute<'_>> {
    let close = text.find(')')?;
    let spec = &text[close + 1..];
    let flags = spec.bytes().take_while(|byte| matches!(byte, b'-' | b'+' | b' ' | b'#' | b'0')).count();
    let digits = spec[flags..].bytes().take_while(u8::is_ascii_digit).count();
    let precision = spec[flags + digits..].bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let kind = spec[flags + digits + precision..].chars().next().filter(char::is_ascii_alphabetic)?;
    let end = close + 1 + flags + digits + precision + 1;
    let name = text.get(2..close).filter(|_| text.starts_with("%("))?;
    Some(Attribute { name, end, width: spec[flags..flags + digits].parse().unwrap_or(0), is_number: matches!(kind, 'd' | 'i' | 'u') })
}

/// `{name:<8}`
fn brace(text: &str) -> Option<Attribute<'_>> {
    let close = text.find('}')?;
    let (name, spec) = text[1..close].split_once(':').unwrap_or((&text[1..close], ""));
    let name = name.split('!').next().filter(|name| !name.is_empty())?;
    let width = spec.trim_start_matches(|other: char| !other.is_ascii_digit() || other == '0');
    let digits = width.bytes().take_while(u8::is_ascii_digit).count();
    Some(Attribute {
        name,
        end: close + 1,
        width: width[..digits].parse().unwrap_or(0),
        is_number: spec.ends_with('d') || spec.ends_with(".0f"),
    })
}

/// `${name}` or `$name`
fn dollar(text: &str) -> Option<Attribute<'_>> {
    let (name, end) = match text.strip_prefix("${") {
        Some(rest) => (&rest[..rest.find('}')?], rest.find('}')? + 3),
        None => {
            let end = text[1..].find(|other: char| !other.is_ascii_alphanumeric() && other != '_').unwrap_or(text.len() - 1);
            (&text[1..=end], end + 1)
        }
    };
    (!name.is_empty()).then_some(Attribute { name, end, width: 0, is_number: false })
}

fn part(attribute: &Attribute<'_>, date: &str) -> Result<Part, Problem> {
    let field = |name: &str| To::Field(name.to_owned());
    Ok(match attribute.name {
        "asctime" => Part::Clock(strftime::compile(date, DATE_OPTION)?),
        "created" => Part::Clock(Clock::new(vec![Item::Epoch(1_000_000), Item::Byte(b'.'), Item::Fraction(1, 9)], FORMAT_OPTION)?),
        "msecs" => Part::Number(To::Millis),
        "message" => Part::Message,
        "levelname" => Part::Level,
        "levelno" => Part::Number(To::Nowhere),
        "name" => Part::Text(To::Column(app::LOGGER)),
        "threadName" => Part::Text(To::Column(app::THREAD)),
        "exc_text" | "stack_info" => Part::Throwable,
        "lineno" => Part::Number(field("line")),
        "process" => Part::Number(field("pid")),
        "thread" => Part::Number(field("thread_id")),
        "filename" => Part::Text(field("file")),
        "pathname" => Part::Text(field("path")),
        "funcName" => Part::Text(field("function")),
        "module" => Part::Text(field("module")),
        "processName" => Part::Text(field("process")),
        "taskName" => Part::Text(field("task")),
        "relativeCreated" if attribute.is_number => Part::Number(field("elapsed_ms")),
        "relativeCreated" => Part::Text(field("elapsed_ms")),
        other if attribute.is_number => Part::Number(field(other)),
        other => Part::Text(field(other)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::app::checks::{grammar, problem, shown};
    use expect_test::{Expect, expect};
    use serde_json::json;

    fn check(options: serde_json::Value, text: &str, expected: Expect) {
        let mut spec = options;
        spec["name"] = "python".into();
        expected.assert_eq(&shown(grammar(&spec).as_ref(), text, 1_770_400_000_000_000));
    }

    #[test]
    fn styles() {
        for (example, expected) in EXAMPLES.iter().zip([expect![[r#"
            row time="2026-02-06T01:02:03.456Z" level="ERROR" logger="shop.orders" message="order 17 failed" stack_trace="Traceback (most recent call last):\n  File \"/srv/shop/orders.py\", line 42, in order\n    stock[item]\nKeyError: 'tea'" exception="KeyError"
        "#]], expect![[r#"
            row time="2026-02-06T00:02:03Z" level="WARN" level_original="WARNING" logger="shop.orders" message="slow" fields="{\"pid\":4711,\"line\":42}"
        "#]], expect![[r#"
            row time="2026-02-07T01:02:03.456Z" level="INFO" thread="MainThread" message="sold 3" fields="{\"request_id\":\"r-17\"}"
        "#]], expect![[r#"
            row level="INFO" logger="shop" message="sold 3"
        "#]]]) {
            let options = if example.options.is_empty() { "{}" } else { example.options };
            check(serde_json::from_str(options).unwrap(), example.text, expected);
        }
    }

    #[test]
    fn tracebacks_and_lines_that_go_on() {
        check(
            json!({"format": "%(asctime)s - %(name)s - %(levelname)s - %(message)s", "timezone": "America/New_York"}),
            "ValueError: its start is elsewhere\n2026-07-06 01:02:03,456 - a.b - INFO - one - two\nmore\n2026-07-06 01:02:04,456 - a.b - CRITICAL - \n",
            expect![[r#"
                cut message="ValueError: its start is elsewhere"
                row time="2026-07-06T05:02:03.456Z" level="INFO" logger="a.b" message="one - two\nmore"
                row time="2026-07-06T05:02:04.456Z" level="FATAL" level_original="CRITICAL" logger="a.b" message=""
            "#]],
        );
        check(
            json!({"format": "%(created)f %(relativeCreated)d %(levelno)s%% %(message)s [%(filename)s:%(lineno)d]"}),
            "1770339723.456789 12 20% hi [there] [a.py:7]\n",
            expect![[r#"
                row time="2026-02-06T01:02:03.456789Z" message="hi [there]" fields="{\"elapsed_ms\":12,\"file\":\"a.py\",\"line\":7}"
            "#]],
        );
        check(
            json!({}),
            "2026-07-06 01:02:03,456 INFO root\n2026-07-06 01:02 INFO a b\n",
            expect![[r#"
            reject at 29 "root\n2026-07-06 01:02 INFO a b": `%(name)s` of the pattern does not fit here
        "#]],
        );
    }

    #[test]
    fn formats_that_are_none() {
        let wrong = |format: &str, date: &str| problem(&json!({"name": "python", "format": format, "datefmt": date}));
        let all = [
            wrong("%(asctime)s %(message", "%H"),
            wrong("%(asctime)s %(message)s", "%H %q"),
            wrong("%(name)s%(message)s", "%H"),
            wrong("{} {message}", "%H"),
            wrong("$ $message", "%H"),
        ];
        expect![[r#"
            format: no attribute is named at byte 12
            datefmt: `%q` in the date pattern `%H %q` is not known
            format: nothing tells where `%(name)s` ends and `%(message)s` begins
            format: no attribute is named at byte 0
            format: no attribute is named at byte 0"#]]
        .assert_eq(&all.join("\n"));
    }
}
