//! Log4j 2 by its layout pattern. Records flow in; the common columns of applications flow out, the other conversions in
//! `fields`. Log4j 1 writes the same but for its ISO8601, which has a space for the `T`: either is read.

use super::app::{Defaults, HOST_OPTION, SERVICE_OPTION, TIMEZONE};
use super::layout_words::{self, Dialect, PATTERN, Word};
use super::pattern::Pattern;
use super::{Example, Format, FormatOption, OptionKind};

/// The format.
pub static FORMAT: Format = Format {
    name: "log4j",
    summary: "Java applications that log by a Log4j PatternLayout",
    page: "https://logging.apache.org/log4j/2.x/manual/pattern-layout.html",
    options: &[
        FormatOption {
            name: PATTERN,
            kind: OptionKind::Text,
            meaning: "the pattern of the layout in Log4j's configuration; %d [%t] %-5p %c - %m%n by default",
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

const DEFAULT: &str = "%d [%t] %-5p %c - %m%n";

static EXAMPLES: &[Example] = &[
    Example::plain("2026-02-06 01:02:03,456 [main] INFO  org.example.Shop - started in 12 ms\n"),
    Example::plain(
        "2026-02-06 01:02:03,456 [pool-1-thread-2] ERROR org.example.Shop - order 17 failed\n\
         java.lang.IllegalStateException: no stock\n\tat org.example.Shop.order(Shop.java:42)\n\t... 3 more\n",
    ),
    Example {
        options: r#"{"pattern":"[%d{ISO8601}] [%-5p] %m (%c) %X{request}%n","timezone":"Europe/Berlin","service":"shop"}"#,
        text: "[2026-02-06T01:02:03,456] [WARN ] slow (org.example.Shop) r-17\n",
    },
    Example {
        options: r#"{"pattern":"%d{UNIX_MILLIS} %highlight{%p} %notEmpty{[%X{user}] }%C{1}.%M:%L %m%n%ex"}"#,
        text: "1770339723456 INFO [bob] Shop.order:42 sold\n1770339723457 INFO Shop.order:? sold\n",
    },
    // Layouts that many use, for detection.
    Example {
        options: r#"{"pattern":"%d{yyyy-MM-dd HH:mm:ss} %-5p %c{1}:%L - %m%n"}"#,
        text: "2026-02-06 01:02:03 INFO  Shop:42 - sold 3\n",
    },
    // Kafka.
    Example { options: r#"{"pattern":"[%d] %p %m (%c)%n"}"#, text: "[2026-02-06 01:02:03,456] INFO sold 3 (org.example.Shop)\n" },
    Example {
        options: r#"{"pattern":"[%d] [%-5p] [%t] [%c] - %m%n"}"#,
        text: "[2026-02-06 01:02:03,456] [WARN ] [main] [org.example.Shop] - slow\n",
    },
    // Elasticsearch, without and with its node; Logstash.
    Example {
        options: r#"{"pattern":"[%d{ISO8601}][%-5p][%-25c{1.}] %m%n"}"#,
        text: "[2026-02-06T01:02:03,456][INFO ][o.e.Shop                 ] sold 3\n",
    },
    Example {
        options: r#"{"pattern":"[%d{ISO8601}][%-5p][%-25c{1.}] [%X{node}] %m%n"}"#,
        text: "[2026-02-06T01:02:03,456][INFO ][o.e.Shop                 ] [node-1] sold 3\n",
    },
    Example {
        options: r#"{"pattern":"[%d{ISO8601}][%-5p][%-25c][%t] %m%n"}"#,
        text: "[2026-02-06T01:02:03,456][INFO ][org.example.Shop         ][main] sold 3\n",
    },
    // Hadoop, HDFS and Spark.
    Example { options: r#"{"pattern":"%d{ISO8601} %p %c: %m%n"}"#, text: "2026-02-06 01:02:03,456 INFO org.example.Shop: sold 3\n" },
    Example { options: r#"{"pattern":"%d{yyMMdd HHmmss} %T %p %c: %m%n"}"#, text: "260206 010203 17 INFO org.example.Shop: sold 3\n" },
    Example { options: r#"{"pattern":"%d{yy/MM/dd HH:mm:ss} %p %c{1}: %m%n"}"#, text: "26/02/06 01:02:03 INFO Shop: sold 3\n" },
    // ZooKeeper, WildFly.
    Example {
        options: r#"{"pattern":"%d{ISO8601} [myid:%X{myid}] - %-5p [%t:%C{1}@%L] - %m%n"}"#,
        text: "2026-02-06 01:02:03,456 [myid:1] - INFO  [main:Shop@42] - sold 3\n",
    },
    Example {
        options: r#"{"pattern":"%d %-5p [%c] (%t) %m%n"}"#,
        text: "2026-02-06 01:02:03,456 INFO  [org.example.Shop] (main) sold 3\n",
    },
];

static DIALECT: Dialect = Dialect {
    groups: false,
    dates: &[
        ("", "yyyy-MM-dd HH:mm:ss,SSS"),
        ("DEFAULT", "yyyy-MM-dd HH:mm:ss,SSS"),
        ("DEFAULT_MICROS", "yyyy-MM-dd HH:mm:ss,nnnnnn"),
        ("DEFAULT_NANOS", "yyyy-MM-dd HH:mm:ss,nnnnnnnnn"),
        ("DEFAULT_PERIOD", "yyyy-MM-dd HH:mm:ss.SSS"),
        ("ISO8601", "yyyy-MM-dd'T'HH:mm:ss,SSS"),
        ("ISO8601_BASIC", "yyyyMMdd'T'HHmmss,SSS"),
        ("ISO8601_BASIC_PERIOD", "yyyyMMdd'T'HHmmss.SSS"),
        ("ISO8601_PERIOD", "yyyy-MM-dd'T'HH:mm:ss.SSS"),
        ("ISO8601_PERIOD_MICROS", "yyyy-MM-dd'T'HH:mm:ss.nnnnnn"),
        ("ISO8601_OFFSET_DATE_TIME_HH", "yyyy-MM-dd'T'HH:mm:ss,SSSX"),
        ("ISO8601_OFFSET_DATE_TIME_HHMM", "yyyy-MM-dd'T'HH:mm:ss,SSSXX"),
        ("ISO8601_OFFSET_DATE_TIME_HHCMM", "yyyy-MM-dd'T'HH:mm:ss,SSSXXX"),
        ("ABSOLUTE", "HH:mm:ss,SSS"),
        ("ABSOLUTE_MICROS", "HH:mm:ss,nnnnnn"),
        ("ABSOLUTE_NANOS", "HH:mm:ss,nnnnnnnnn"),
        ("ABSOLUTE_PERIOD", "HH:mm:ss.SSS"),
        ("COMPACT", "yyyyMMddHHmmssSSS"),
        ("DATE", "dd MMM yyyy HH:mm:ss,SSS"),
        ("DATE_PERIOD", "dd MMM yyyy HH:mm:ss.SSS"),
        ("US_MONTH_DAY_YEAR2_TIME", "MM/dd/yy HH:mm:ss.SSS"),
        ("US_MONTH_DAY_YEAR4_TIME", "MM/dd/yyyy HH:mm:ss.SSS"),
    ],
    words: &[
        ("c", Word::Logger),
        ("logger", Word::Logger),
        ("C", Word::Text("class")),
        ("class", Word::Text("class")),
        ("d", Word::Date),
        ("date", Word::Date),
        ("enc", Word::Inner),
        ("encode", Word::Inner),
        ("endOfBatch", Word::Text("end_of_batch")),
        ("equals", Word::Optional),
        ("equalsIgnoreCase", Word::Optional),
        ("ex", Word::Throwable),
        ("exception", Word::Throwable),
        ("throwable", Word::Throwable),
        ("xEx", Word::Throwable),
        ("xException", Word::Throwable),
        ("xThrowable", Word::Throwable),
        ("xwEx", Word::Throwable),
        ("rEx", Word::Throwable),
        ("rException", Word::Throwable),
        ("rThrowable", Word::Throwable),
        ("F", Word::Text("file")),
        ("file", Word::Text("file")),
        ("fqcn", Word::Text("caller_class")),
        ("highlight", Word::Inner),
        ("style", Word::Inner),
        ("K", Word::Context),
        ("map", Word::Context),
        ("MAP", Word::Context),
        ("l", Word::Text("location")),
        ("location", Word::Text("location")),
        ("L", Word::Number("line")),
        ("line", Word::Number("line")),
        ("m", Word::Message),
        ("msg", Word::Message),
        ("message", Word::Message),
        ("M", Word::Text("method")),
        ("method", Word::Text("method")),
        ("marker", Word::Text("marker")),
        ("markerSimpleName", Word::Text("marker")),
        ("maxLen", Word::Inner),
        ("maxLength", Word::Inner),
        ("n", Word::Newline),
        ("N", Word::Number("nanoseconds")),
        ("nano", Word::Number("nanoseconds")),
        ("notEmpty", Word::Optional),
        ("varsNotEmpty", Word::Optional),
        ("variablesNotEmpty", Word::Optional),
        ("p", Word::Level),
        ("level", Word::Level),
        ("pid", Word::Number("pid")),
        ("processId", Word::Number("pid")),
        ("r", Word::Number("elapsed_ms")),
        ("relative", Word::Number("elapsed_ms")),
        ("replace", Word::Inner),
        ("repeat", Word::Inner),
        ("sn", Word::Number("sequence")),
        ("sequenceNumber", Word::Number("sequence")),
        ("t", Word::Thread),
        ("tn", Word::Thread),
        ("thread", Word::Thread),
        ("threadName", Word::Thread),
        ("T", Word::Number("thread_id")),
        ("tid", Word::Number("thread_id")),
        ("threadId", Word::Number("thread_id")),
        ("tp", Word::Number("thread_priority")),
        ("threadPriority", Word::Number("thread_priority")),
        ("u", Word::Text("uuid")),
        ("uuid", Word::Text("uuid")),
        ("x", Word::Text("context_stack")),
        ("NDC", Word::Text("context_stack")),
        ("X", Word::Context),
        ("mdc", Word::Context),
        ("MDC", Word::Context),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::app::checks::{differences, grammar, labelled, problem, rows, samples, shown};
    use expect_test::{Expect, expect};
    use serde_json::json;

    const ARRIVED: i64 = 1_770_400_000_000_000;

    fn check(pattern: &str, text: &str, expected: Expect) {
        expected.assert_eq(&shown(grammar(&json!({"name": "log4j", "pattern": pattern})).as_ref(), text, ARRIVED));
    }

    #[test]
    fn records_of_several_lines() {
        check(
            DEFAULT,
            "\tat org.example.A.b(A.java:1)\n\n2026-02-06 01:02:03,456 [main] INFO  a.B - one\ntwo\n\nthree\n2026-02-06 01:02:04,456 [a] b] ERROR a.B - x - y\r\na.BException: z\r\n\tat a.B.c(B.java:3)\r\n",
            expect![[r#"
                cut stack_trace="\tat org.example.A.b(A.java:1)"
                Blank
                row time="2026-02-06T01:02:03.456Z" level="INFO" logger="a.B" thread="main" message="one\ntwo\n\nthree"
                row time="2026-02-06T01:02:04.456Z" level="ERROR" logger="a.B" thread="a] b" message="x - y" stack_trace="a.BException: z\r\n\tat a.B.c(B.java:3)" exception="a.BException"
            "#]],
        );
        check(
            "%m%n",
            "any line\n  is a record\n",
            expect![[r#"
            row message="any line"
            row message="  is a record"
        "#]],
        );
        check(
            "%d{ABSOLUTE} %p%n%m%n",
            "01:02:03,456 INFO\nsold 3\n01:02:04,456 WARN\nsold\n",
            expect![[r#"
            row time="2026-02-07T01:02:03.456Z" level="INFO" message="sold 3"
            row time="2026-02-07T01:02:04.456Z" level="WARN" message="sold"
        "#]],
        );
        check(
            "%-5p: %m",
            "INFO : a\nNOTE: no level of Log4j, but known\nThis: is more\n",
            expect![[r#"
            row level="INFO" message="a"
            row level="INFO" level_original="NOTE" message="no level of Log4j, but known\nThis: is more"
        "#]],
        );
    }

    #[test]
    fn what_stands_around_the_message() {
        check(
            "[%d] %p %m (%c)%n",
            "[2026-02-06 01:02:03,456] INFO a (b) (c.D)\n\tat a.b(c)\n[2026-02-06 01:02:03,456] INFO two\nlines (c.D)\n[2026-02-06 01:02:03,456] INFO no logger\n",
            expect![[r#"
            row time="2026-02-06T01:02:03.456Z" level="INFO" logger="c.D" message="a (b)" stack_trace="\tat a.b(c)"
            row time="2026-02-06T01:02:03.456Z" level="INFO" logger="c.D" message="two\nlines"
            reject at 40 "": ` (` of the pattern does not fit here
        "#]],
        );
        check(
            "%d{COMPACT} %5p %X{id} %X %m %x%n",
            "20260206010203456  INFO r-1 {a=1, b=x y} hello there n1\n20260206010203456 ERROR  {} hello \n",
            expect![[r#"
            row time="2026-02-06T01:02:03.456Z" level="INFO" message="hello there" fields="{\"id\":\"r-1\",\"a\":\"1\",\"b\":\"x y\",\"context_stack\":\"n1\"}"
            row time="2026-02-06T01:02:03.456Z" level="ERROR" message="hello"
        "#]],
        );
        check(
            "%d %style{%p}{red} %c{1.} [%15.15t] %m",
            "2026-02-06 01:02:03,456 \u{1b}[31mINFO\u{1b}[m c.D [  a] long name ] x\n",
            expect![[r#"
            row time="2026-02-06T01:02:03.456Z" level="INFO" logger="c.D" thread="a] long name" message="x"
        "#]],
        );
        check(
            "%d %p %equals{[%marker]}{[]}{} %c - %m",
            "2026-02-06 01:02:03,456 INFO [M] a.B - x\n2026-02-06 01:02:03,456 INFO  a.B - y\n",
            expect![[r#"
            row time="2026-02-06T01:02:03.456Z" level="INFO" logger="a.B" message="x" fields="{\"marker\":\"M\"}"
            row time="2026-02-06T01:02:03.456Z" level="INFO" logger="a.B" message="y"
        "#]],
        );
        check(
            "%p %notEmpty{[%X{id}]} - %m",
            "INFO [7] - x\nINFO  - y\n",
            expect![[r#"
            row level="INFO" message="x" fields="{\"id\":\"7\"}"
            row level="INFO" message="y"
        "#]],
        );
        check(
            "%d [%t] %m",
            "2026-02-06 01:02:03,456 [main x\n",
            expect![[r#"
            reject at 25 "main x": `%t` of the pattern does not fit here
        "#]],
        );
        check(
            "%d %p - %m",
            "2026-02-06 01:02:03,456 INFO -\n2026-02-30 01:02:03,456 INFO - x\n2026-02-06 01:02:03,456 INFO x\n",
            expect![[r#"
            row time="2026-02-06T01:02:03.456Z" level="INFO" message=""
            reject at 0 "2026-02-30 01:02:03,456 INFO - x": there is no such date or time
            reject at 28 " x": ` - ` of the pattern does not fit here
        "#]],
        );
    }

    #[test]
    fn patterns_that_are_none() {
        let wrong = |pattern: &str| problem(&json!({"name": "log4j", "pattern": pattern}));
        let all =
            ["%d %q %m", "%d{yyyy-bb} %m", "%t%m", "%m %c %m", "%highlight", "%d{ISO8601", "${x} %m", "", "%d{HH:mm}{Mars} %m"].map(wrong);
        expect![[r#"
            pattern: `%q` is no conversion, at byte 3
            pattern: `b` in the date pattern `yyyy-bb` is not known, at byte 0
            pattern: nothing tells where `%t` ends and `%m` begins
            pattern: has the message twice
            pattern: a pattern in braces is missing, at byte 0
            pattern: a brace is not closed, at byte 2
            pattern: the property `${x}` must be replaced by its value, at byte 0
            pattern: must have between 1 and 64 parts
            pattern: `Mars` is no time zone; a date pattern with a comma stands in double quotes, at byte 0"#]]
        .assert_eq(&all.join("\n"));
        let zone = problem(&json!({"name": "log4j", "timezone": "Mars"}));
        expect!["timezone: `Mars` is no time zone: use one like Europe/Berlin or +01:00"].assert_eq(&zone);
    }

    /// Files of Kafka, Elasticsearch and Logstash, their patterns, and what another parser found in them.
    const FILES: &[(&str, &str, &str)] = &[
        ("kafka_log__controller.log", KAFKA, "kafka.log.class"),
        ("kafka_log__controller-2.0.0.log", KAFKA, "kafka.log.class"),
        ("kafka_log__server.log", KAFKA, "kafka.log.class"),
        ("kafka_log__server-2.0.0.log", KAFKA, "kafka.log.class"),
        ("kafka_log__state-change.log", KAFKA, "kafka.log.class"),
        ("kafka_log__state-change-1.1.0.log", KAFKA, "kafka.log.class"),
        ("kafka_log__state-change-2.0.0.log", KAFKA, "kafka.log.class"),
        ("kafka_log__state-change-2.2.2.log", "[%d] [%-5p] [%t] [%c] - %m%n", "kafka.log.class"),
        ("elasticsearch_server__elasticsearch.624.log", ELASTIC, "elasticsearch.component"),
        ("elasticsearch_server__test.log", ELASTIC, "elasticsearch.component"),
        ("elasticsearch_deprecation__elasticsearch_deprecation.log", ELASTIC, "elasticsearch.component"),
        ("elasticsearch_deprecation__other_elasticsearch_deprecation.log", ELASTIC, "elasticsearch.component"),
        ("elasticsearch_slowlog__auditlog_index_indexing_slowlog.log", ELASTIC, "elasticsearch.component"),
        ("elasticsearch_slowlog__test.log", ELASTIC, "elasticsearch.component"),
        ("logstash_log__logstash-plain.log", ELASTIC, "logstash.log.module"),
        ("logstash_log__logstash-plain-7.4.log", "[%d{ISO8601}][%-5p][%-25c][%t] %m%n", "logstash.log.module"),
    ];
    const KAFKA: &str = "[%d] %p %m (%c)%n";
    const ELASTIC: &str = "[%d{ISO8601}][%-5p][%-25c{1.}] %m%n";

    /// What differs: the other parser takes the node or the component in brackets off the message, ends lines of Kafka
    /// elsewhere, and keeps traces in the message; all of which the comparison of messages allows for.
    #[test]
    fn real_logs_read_as_another_parser_reads_them() {
        let Some(folder) = samples("java_app/elastic-beats") else { return };
        let mut found = String::new();
        for (file, pattern, logger) in FILES {
            let grammar = grammar(&json!({"name": "log4j", "pattern": pattern, "timezone": "-02:00"}));
            let text = std::fs::read(folder.join(file)).unwrap();
            let (rows, others) = rows(grammar.as_ref(), &text, 0);
            assert!(others.is_empty(), "{file}: {others:?}");
            let traces = rows.iter().filter(|row| row.contains_key("stack_trace")).count();
            found += &format!("{file}: {} rows, {traces} traces\n", rows.len());
            let Ok(expected) = std::fs::read_to_string(folder.join(format!("{file}-expected.json"))) else { continue };
            let pairs = [("time", "@timestamp"), ("level", "log.level"), ("logger", logger), ("message", "message")];
            for difference in differences((&rows, &text), &expected, &pairs) {
                found += &format!("  {difference}\n");
            }
        }
        expect![[r#"
            kafka_log__controller.log: 20 rows, 0 traces
            kafka_log__controller-2.0.0.log: 22 rows, 0 traces
            kafka_log__server.log: 20 rows, 0 traces
            kafka_log__server-2.0.0.log: 159 rows, 1 traces
            kafka_log__state-change.log: 1 rows, 0 traces
            kafka_log__state-change-1.1.0.log: 1 rows, 0 traces
            kafka_log__state-change-2.0.0.log: 1 rows, 0 traces
            kafka_log__state-change-2.2.2.log: 2 rows, 1 traces
            elasticsearch_server__elasticsearch.624.log: 59 rows, 0 traces
            elasticsearch_server__test.log: 19 rows, 3 traces
            elasticsearch_deprecation__elasticsearch_deprecation.log: 7 rows, 0 traces
            elasticsearch_deprecation__other_elasticsearch_deprecation.log: 16 rows, 0 traces
            elasticsearch_slowlog__auditlog_index_indexing_slowlog.log: 6 rows, 0 traces
            elasticsearch_slowlog__test.log: 7 rows, 0 traces
            logstash_log__logstash-plain.log: 3 rows, 0 traces
            logstash_log__logstash-plain-7.4.log: 2 rows, 0 traces
        "#]]
        .assert_eq(&found);
    }

    /// Sets of logs with the level, component and content that people found in them, and a pattern that reads them.
    const LABELLED: &[(&str, &str)] = &[
        ("HDFS", "%d{yyMMdd HHmmss} %tid %p %c: %m%n"),
        ("Android", "%d{MM-dd HH:mm:ss.SSS} %5pid %5tid %p %c: %m%n"),
        ("HealthApp", "%d{yyyyMMdd-H:m:s:S}|%c|%pid|%m%n"),
        ("Apache", "[%d{EEE MMM dd HH:mm:ss yyyy}] [%p] %m%n"),
    ];

    #[test]
    fn labelled_logs_read_as_people_read_them() {
        let Some(folder) = samples("loghub") else { return };
        let mut found = String::new();
        for (set, pattern) in LABELLED {
            let grammar = grammar(&json!({"name": "log4j", "pattern": pattern}));
            found += &labelled(&folder, set, grammar.as_ref());
        }
        expect![[r#"
            HDFS: 2000 rows, 2000 the same, others []
            Android: 2000 rows, 2000 the same, others []
            HealthApp: 2000 rows, 2000 the same, others []
            Apache: 2000 rows, 2000 the same, others []
        "#]]
        .assert_eq(&found);
    }
}
