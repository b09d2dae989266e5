//! Logback by its layout pattern, Spring Boot's included. Records flow in; the common columns of applications flow out,
//! the other conversions in `fields`.

use super::app::{Defaults, HOST_OPTION, SERVICE_OPTION, TIMEZONE};
use super::layout_words::{self, Dialect, PATTERN, Word};
use super::pattern::Pattern;
use super::{Example, Format, FormatOption, OptionKind};

/// The format.
pub static FORMAT: Format = Format {
    name: "logback",
    summary: "Java applications that log by a Logback pattern",
    page: "https://logback.qos.ch/manual/layouts.html",
    options: &[
        FormatOption {
            name: PATTERN,
            kind: OptionKind::Text,
            meaning: "the pattern of the encoder in Logback's configuration; %d [%thread] %-5level %logger - %msg%n by default",
        },
        TIMEZONE,
        SERVICE_OPTION,
        HOST_OPTION,
    ],
    examples: EXAMPLES,
    compile: |options| {
        let pattern = options.text(PATTERN).unwrap_or(DEFAULT);
        Ok(Box::new(Pattern::new(layout_words::compile(&DIALECT, pattern)?, Defaults::new(options)?, PATTERN)?))
    },
};

const DEFAULT: &str = "%d [%thread] %-5level %logger - %msg%n";

static EXAMPLES: &[Example] = &[
    Example::plain("2026-02-06 01:02:03,456 [main] DEBUG org.example.Shop - started in 12 ms\n"),
    Example {
        options: r#"{"pattern":"%clr(%d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX}){faint} %clr(${LOG_LEVEL_PATTERN:-%5p}) %clr(${PID:- }){magenta} %clr(---){faint} %clr([%15.15t]){faint} %clr(%-40.40logger{39}){cyan} %clr(:){faint} %m%n${LOG_EXCEPTION_CONVERSION_WORD:-%wEx}"}"#,
        text: "2026-02-06T01:02:03.456+01:00  INFO 4711 --- [           main] org.example.Shop                         : sold 3\n",
    },
    Example {
        options: r#"{"pattern":"%date{\"HH:mm:ss,SSS\", UTC} %-18([%thread]) %X{user:-nobody} %msg %kvp%n"}"#,
        text: "01:02:03,456 [main]             bob sold 3 \n",
    },
    // Layouts that many use, for detection.
    Example {
        options: r#"{"pattern":"%d{yyyy-MM-dd HH:mm:ss.SSS} [%thread] %-5level %logger{36} - %msg%n"}"#,
        text: "2026-02-06 01:02:03.456 [main] INFO  org.example.Shop - sold 3\n",
    },
    Example {
        options: r#"{"pattern":"%d{HH:mm:ss.SSS} [%thread] %-5level %logger{36} - %msg%n"}"#,
        text: "01:02:03.456 [main] INFO  org.example.Shop - sold 3\n",
    },
    // Spring Boot before 3.0, Cassandra, Dropwizard.
    Example {
        options: r#"{"pattern":"%d{yyyy-MM-dd HH:mm:ss.SSS} %5p ${PID:- } --- [%15.15t] %-40.40logger{39} : %m%n"}"#,
        text: "2026-02-06 01:02:03.456  INFO 4711 --- [           main] org.example.Shop                         : sold 3\n",
    },
    Example {
        options: r#"{"pattern":"%-5level [%thread] %date{ISO8601} %F:%L - %msg%n"}"#,
        text: "INFO  [main] 2026-02-06 01:02:03,456 Shop.java:42 - sold 3\n",
    },
    // Spring Boot from 3 on, for an application that has a name.
    Example {
        options: r#"{"pattern":"%d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX} %5p ${PID:- } --- [%property{spring.application.name}] [%15.15t] %-40.40logger{39} : %m%n"}"#,
        text: "2026-02-06T01:02:03.456+01:00  INFO 4711 --- [shop] [           main] org.example.Shop                         : sold 3\n",
    },
    Example {
        options: r#"{"pattern":"%-5p [%d{ISO8601,UTC}] %c: %m%n"}"#,
        text: "INFO  [2026-02-06 01:02:03,456] org.example.Shop: sold 3\n",
    },
];

static DIALECT: Dialect = Dialect {
    groups: true,
    dates: &[("", "yyyy-MM-dd HH:mm:ss,SSS"), ("ISO8601", "yyyy-MM-dd HH:mm:ss,SSS"), ("STRICT", "yyyy-MM-dd'T'HH:mm:ss,SSS")],
    words: &[
        ("c", Word::Logger),
        ("lo", Word::Logger),
        ("logger", Word::Logger),
        ("C", Word::Text("class")),
        ("class", Word::Text("class")),
        ("contextName", Word::Text("context_name")),
        ("cn", Word::Text("context_name")),
        ("caller", Word::Text("caller")),
        ("d", Word::Date),
        ("date", Word::Date),
        ("F", Word::Text("file")),
        ("file", Word::Text("file")),
        ("kvp", Word::Text("key_values")),
        ("maskedKvp", Word::Text("key_values")),
        ("L", Word::Number("line")),
        ("line", Word::Number("line")),
        ("m", Word::Message),
        ("msg", Word::Message),
        ("message", Word::Message),
        ("M", Word::Text("method")),
        ("method", Word::Text("method")),
        ("n", Word::Newline),
        ("p", Word::Level),
        ("le", Word::Level),
        ("level", Word::Level),
        ("pid", Word::Number("pid")),
        ("r", Word::Number("elapsed_ms")),
        ("relative", Word::Number("elapsed_ms")),
        ("sn", Word::Number("sequence")),
        ("sequenceNumber", Word::Number("sequence")),
        ("t", Word::Thread),
        ("thread", Word::Thread),
        ("X", Word::Context),
        ("mdc", Word::Context),
        ("marker", Word::Text("marker")),
        ("property", Word::Context),
        ("replace", Word::Inner),
        ("prefix", Word::Inner),
        ("ex", Word::Throwable),
        ("exception", Word::Throwable),
        ("throwable", Word::Throwable),
        ("xEx", Word::Throwable),
        ("xException", Word::Throwable),
        ("xThrowable", Word::Throwable),
        ("rEx", Word::Throwable),
        ("rootException", Word::Throwable),
        ("wEx", Word::Throwable),
        ("wex", Word::Throwable),
        ("nopex", Word::Nothing),
        ("nopexception", Word::Nothing),
        ("clr", Word::Inner),
        ("highlight", Word::Inner),
        ("black", Word::Inner),
        ("red", Word::Inner),
        ("green", Word::Inner),
        ("yellow", Word::Inner),
        ("blue", Word::Inner),
        ("magenta", Word::Inner),
        ("cyan", Word::Inner),
        ("white", Word::Inner),
        ("gray", Word::Inner),
        ("boldRed", Word::Inner),
        ("boldGreen", Word::Inner),
        ("boldYellow", Word::Inner),
        ("boldBlue", Word::Inner),
        ("boldMagenta", Word::Inner),
        ("boldCyan", Word::Inner),
        ("boldWhite", Word::Inner),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::app::checks::{grammar, problem, shown};
    use expect_test::{Expect, expect};
    use serde_json::json;

    fn check(pattern: &str, text: &str, expected: Expect) {
        expected.assert_eq(&shown(grammar(&json!({"name": "logback", "pattern": pattern})).as_ref(), text, 0));
    }

    #[test]
    fn properties_and_the_name_of_the_application() {
        check(
            "%p [%property{spring.application.name}] [%property{zone}] %m%n",
            "INFO [shop] [eu] x\n",
            expect![[r#"
            row level="INFO" message="x" service="shop" fields="{\"zone\":\"eu\"}"
        "#]],
        );
    }

    #[test]
    fn records_of_patterns() {
        let mut all = String::new();
        for example in EXAMPLES.iter().filter(|example| !example.options.is_empty()) {
            let mut spec: serde_json::Value = serde_json::from_str(example.options).unwrap();
            spec["name"] = "logback".into();
            all += &shown(grammar(&spec).as_ref(), example.text, 1_770_400_000_000_000);
        }
        expect![[r#"
            row time="2026-02-06T00:02:03.456Z" level="INFO" logger="org.example.Shop" thread="main" message="sold 3" fields="{\"pid\":4711}"
            row time="2026-02-07T01:02:03.456Z" thread="main" message="sold 3" fields="{\"user\":\"bob\"}"
            row time="2026-02-06T01:02:03.456Z" level="INFO" logger="org.example.Shop" thread="main" message="sold 3"
            row time="2026-02-07T01:02:03.456Z" level="INFO" logger="org.example.Shop" thread="main" message="sold 3"
            row time="2026-02-06T01:02:03.456Z" level="INFO" logger="org.example.Shop" thread="main" message="sold 3" fields="{\"pid\":4711}"
            row time="2026-02-06T01:02:03.456Z" level="INFO" thread="main" message="sold 3" fields="{\"file\":\"Shop.java\",\"line\":42}"
            row time="2026-02-06T00:02:03.456Z" level="INFO" logger="org.example.Shop" thread="main" message="sold 3" service="shop" fields="{\"pid\":4711}"
            row time="2026-02-06T01:02:03.456Z" level="INFO" logger="org.example.Shop" message="sold 3"
        "#]].assert_eq(&all);
        check(
            DEFAULT,
            "2026-02-06 01:02:03,456 [a] ERROR b.C - x\njava.lang.Error: y\n\tat a.B.c(B.java:3)\n",
            expect![[r#"
            row time="2026-02-06T01:02:03.456Z" level="ERROR" logger="b.C" thread="a" message="x" stack_trace="java.lang.Error: y\n\tat a.B.c(B.java:3)" exception="java.lang.Error"
        "#]],
        );
        check(
            "%d{STRICT} %highlight(%-5level) %cyan(%logger{15}) - %msg \\(%F:%L\\)%n%ex{short}",
            "2026-02-06T01:02:03,456 \u{1b}[1;31mERROR\u{1b}[0;39m \u{1b}[36mb.C\u{1b}[0;39m - x (C.java:7)\n",
            expect![[r#"
            row time="2026-02-06T01:02:03.456Z" level="ERROR" logger="b.C" message="x" fields="{\"file\":\"C.java\",\"line\":7}"
        "#]],
        );
    }

    #[test]
    fn patterns_that_are_none() {
        let wrong = |pattern: &str| problem(&json!({"name": "logback", "pattern": pattern}));
        let all = ["%d %msgx", "%d{HH:mm:ss,SSS} %m", "%-20(%m", "%clr %m", "%d{HH:mm \"x}"].map(wrong);
        expect![[r#"
            pattern: `%msgx` is no conversion, at byte 3
            pattern: `SSS` is no time zone; a date pattern with a comma stands in double quotes, at byte 0
            pattern: a parenthesis is not closed, at byte 0
            pattern: a pattern in parentheses is missing, at byte 0
            fine"#]]
        .assert_eq(&all.join("\n"));
    }
}
