//! Lines by a regular expression of the user's own. A record flows in, a column for each named group flows out.

use super::captures::{Captures, PATTERN, START_OPTION, Source, TIME_COLUMN_FORMAT_OPTION, TYPES_FORMAT_OPTION};
use super::typed::{TIME_FORMAT_OPTION, TIME_ZONE_OPTION};
use super::{Example, Format, FormatOption, Grammar, OptionKind, Options, Problem};

/// The format.
pub static FORMAT: Format = Format {
    name: "regex",
    summary: "lines of any kind, by a regular expression whose named groups are the columns",
    page: "https://docs.rs/regex/latest/regex/#syntax",
    options: &[
        FormatOption {
            name: PATTERN,
            kind: OptionKind::Text,
            meaning: "regular expression that fits a record from its start on; each group (?<name>…) is a column, groups without a name are \
                      none; what stands after it goes to `extra`; with a group `message` or `level` the columns of applications are there",
        },
        START_OPTION,
        TYPES_FORMAT_OPTION,
        TIME_COLUMN_FORMAT_OPTION,
        TIME_FORMAT_OPTION,
        TIME_ZONE_OPTION,
    ],
    examples: EXAMPLES,
    compile,
};

static EXAMPLES: &[Example] = &[
    Example {
        options: r#"{"pattern": "(?<door>\\w+)>(?<badge>\\d+)@(?<time>\\S+)", "types": {"badge": "bigint", "time": "timestamp:epoch"}}"#,
        text: "north>17@1770336038\nsouth>42@1770336039.5\n",
    },
    Example {
        options: r#"{"pattern": "~(?<at>[^~]+)~(?<level>\\w+)~(?<message>.*)", "start": "^~", "timeColumn": "at", "timeFormat": "%d.%m.%Y %H:%M:%S"}"#,
        text: "~06.02.2026 01:02:03~Error~no stock\na.NoStockException: 17\n\tat a.Shop.order(Shop.java:42)\n~06.02.2026 01:02:04~Info~sold 3\n",
    },
];

fn compile(options: &Options<'_>) -> Result<Box<dyn Grammar>, Problem> {
    let pattern = options.text(PATTERN).ok_or_else(|| Problem::new(PATTERN, "is missing: a regular expression with named groups"))?;
    let place = |at| (PATTERN.to_owned(), at);
    Ok(Box::new(Captures::new(&Source { pattern, place: &place, groups: &[] }, options)?))
}

#[cfg(test)]
mod tests {
    use crate::format::app::checks::{grammar, problem, shown};
    use expect_test::{Expect, expect};
    use serde_json::{Value, json};

    const ARRIVED: i64 = 1_770_400_000_000_000;

    fn check(options: Value, text: &str, expected: Expect) {
        let mut spec = options;
        spec["name"] = "regex".into();
        expected.assert_eq(&shown(grammar(&spec).as_ref(), text, ARRIVED));
    }

    #[test]
    fn groups_are_columns() {
        check(
            json!({"pattern": r"(?<userName>\S*) (\S+) (?<n>\S*)(?: (?<time>\d+))?", "types": {"n": "int"}}),
            "ann x 7\n - - -\r\nbob y 2 17\nbob y 2 17 more\nbob y 2x\nbob\n\nb\u{e9}n y 99999999999\n",
            expect![[r#"
                row user_name="ann" n="7"
                row user_name="" extra={"rest":" -"}
                row user_name="bob" n="2" time_text="17"
                row user_name="bob" n="2" time_text="17" extra={"rest":" more"}
                reject at 6 "2x": `n` is not a whole number of at most 32 bits
                reject at 3 "": the pattern does not fit from here on
                Blank
                reject at 7 "99999999999": `n` is not a whole number of at most 32 bits
            "#]],
        );
        check(
            json!({"pattern": r#"(?<t>[^"]+) "(?<what>[^"]*)" (?<ok>\w+)$"#, "types": {"ok": "boolean"}, "timeColumn": "t", "timeFormat": "%d/%m/%Y %H:%M", "timeZone": "Europe/Berlin"}),
            "06/07/2026 12:00 \"a b\" true\n06/07/2026 12:00 \"\" maybe\n31/02/2026 12:00 \"x\" false\n06/07/2026 12:00 \"x\" true.\n",
            expect![[r#"
                row time="2026-07-06T10:00:00Z" what="a b" ok="true"
                reject at 20 "maybe": `ok` is not true or false
                reject at 0 "31/02/2026 12:00 \"x\" false": `time` is not a time by its format
                reject at 25 ".": the pattern does not fit from here on
            "#]],
        );
    }

    #[test]
    fn records_of_several_lines() {
        let options =
            json!({"pattern": r"\[(?<time>[^\]]+)\] (?<level>\w+) (?<job>\w+): (?<message>.*)", "start": r"^\[\d", "timeFormat": "iso"});
        check(
            options,
            "\tat a.b(c)\n[2026-02-06 01:02:03] Warning sell: slow\nand slower\n[2026-02-06 01:02:04] ERROR sell: failed\njava.io.IOException: x\n\tat a.b(c)\r\n[2026] broken\nrest\n",
            expect![[r#"
                cut stack_trace="\tat a.b(c)"
                row time="2026-02-06T01:02:03Z" level="WARN" level_original="Warning" message="slow\nand slower" job="sell"
                row time="2026-02-06T01:02:04Z" level="ERROR" message="failed" stack_trace="java.io.IOException: x\n\tat a.b(c)" exception="java.io.IOException" job="sell"
                reject at 13 "\nrest": the pattern does not fit from here on
            "#]],
        );
        check(
            json!({"pattern": r"(?s)BEGIN (?<id>\d+)\n(?<body>.*)END", "start": "^BEGIN "}),
            "lost\nBEGIN 7\na\nb\nEND\nBEGIN 8\nEND\nsurplus\nBEGIN 9\n",
            expect![[r#"
                reject at 0 "lost": no line before it starts a record
                row id="7" body="a\nb\n"
                row id="8" body="" extra={"rest":"\nsurplus"}
                reject at 7 "": the pattern does not fit from here on
            "#]],
        );
    }

    #[test]
    fn patterns_that_make_no_sense_are_refused() {
        let wrong = |spec: Value| {
            let mut spec = spec;
            spec["name"] = "regex".into();
            problem(&spec)
        };
        let all = [
            json!({}),
            json!({"pattern": "no group"}),
            json!({"pattern": "(?<a>x"}),
            json!({"pattern": "(?<a>x)(?<a>y)"}),
            json!({"pattern": "(?<a>x)(?=y)"}),
            json!({"pattern": "(?<a>x)(?>y)"}),
            json!({"pattern": r"(?<a>x)\1"}),
            json!({"pattern": r"(?<a>\pX)"}),
            json!({"pattern": r"(?<a>\w{1000}{100})"}),
            json!({"pattern": format!("{}(?<a>x){}", "(?:".repeat(200), ")".repeat(200))}),
            json!({"pattern": "(?<a>x)", "start": "["}),
            json!({"pattern": "(?<a>x)", "types": {"b": "int"}}),
            json!({"pattern": "(?<a>x)", "types": {"a": "integer"}}),
            json!({"pattern": "(?<a>x)", "types": ["a"]}),
            json!({"pattern": "(?<a>x)", "types": {"a": "int"}, "timeColumn": "a"}),
            json!({"pattern": "(?<a>x)", "timeColumn": "b"}),
            json!({"pattern": "(?<a>x)", "timeColumn": "a", "timeFormat": "%H"}),
            json!({"pattern": "(?<a>x)", "timeZone": "Mars"}),
        ]
        .map(wrong);
        expect![[r#"
            pattern: is missing: a regular expression with named groups
            pattern: has no group with a name: write one as (?<name>…)
            pattern: unclosed group, at byte 0
            pattern: duplicate capture group name, at byte 10
            pattern: look-around, including look-ahead and look-behind, is not supported, at byte 7
            pattern: atomic groups are not supported: nothing is ever tried twice here, so write (?:…), at byte 7
            pattern: backreferences are not supported, at byte 7
            pattern: Unicode property not found, at byte 5
            pattern: compiles to more than 4194304 bytes: use fewer or smaller repetitions and classes
            pattern: exceed the maximum number of nested parentheses/brackets (100), at byte 300
            start: unclosed character class, at byte 0
            types.b: is no group of the pattern: it has a
            types.a: `integer` is no type: use string, int, bigint, double, boolean, or timestamp with the format of times after a colon
            types: must be an object of names of groups to types: string, int, bigint, double, boolean, or timestamp with the format of times after a colon
            types.a: `a` must be timestamp: it is the time of the event
            timeColumn: `b` is no group of the pattern: it has a
            timeFormat: the date pattern `%H` does not say a day and an hour
            timeZone: `Mars` is no time zone: use one like Europe/Berlin or +01:00"#]].assert_eq(&all.join("\n"));
    }

    #[test]
    fn columns_by_the_names_of_groups() {
        let columns = |spec: Value| {
            let grammar = grammar(&spec);
            grammar.columns().iter().map(|column| format!("{} {}", column.name, column.kind.as_str())).collect::<Vec<_>>().join(", ")
        };
        let plain = columns(json!({"name": "regex", "pattern": "(?<time>.)(?<userId>.)(?<parse>.)"}));
        assert_eq!(plain, "time_text string, user_id string, parse_2 string");
        let timed = columns(json!({"name": "regex", "pattern": "(?<a>.)(?<time>.)", "types": {"time": "timestamp", "a": "double"}}));
        assert_eq!(timed, "a double, time timestamp");
        let application = columns(json!({"name": "regex", "pattern": "(?<message>.)(?<Host>.)(?<at>.)(?<x>.)", "timeColumn": "at"}));
        assert!(application.starts_with("time timestamp, level string, ") && application.ends_with(", fingerprint bigint, x string"));
        let number = columns(json!({"name": "regex", "pattern": "(?<level>.)", "types": {"level": "int"}}));
        assert_eq!(number, "level int");
    }

    #[test]
    fn a_record_past_the_limit_is_a_reject() {
        let grammar = grammar(&json!({"name": "regex", "pattern": "(?<a>x*)$"}));
        let lengths = [1 << 20, (1 << 20) + 1].map(|length| shown(grammar.as_ref(), &"x".repeat(length), 0));
        assert!(lengths[0].starts_with("row") && lengths[1].starts_with("reject at 1048576"));
    }
}
