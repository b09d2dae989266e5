//! The combined log format of Apache httpd, or any `LogFormat` string. A line flows in; a row flows out.

use super::{Example, Format, apache_log_format};

/// The format.
pub static FORMAT: Format = Format {
    name: "apache-combined",
    summary: "access logs of Apache httpd in its combined format, or by a LogFormat string",
    page: apache_log_format::PAGE,
    options: apache_log_format::OPTIONS,
    examples: EXAMPLES,
    compile: |options| apache_log_format::compile(options, COMBINED),
};

const COMBINED: &str = r#"%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i""#;

static EXAMPLES: &[Example] = &[
    Example::plain(
        "192.0.2.3 - ann [06/Feb/2026:00:00:38 +0000] \"GET /a?b=c HTTP/1.1\" 200 2326 \"https://example.org/\" \"Mozilla/5.0 (\\\"x\\\")\"",
    ),
    Example::plain("192.0.2.3 - - [06/Feb/2026:00:00:38 +0000] \"-\" 408 - \"-\" \"-\""),
    Example {
        options: r#"{"logFormat": "%{%Y-%m-%d %H:%M:%S}t.%{usec_frac}t %{%z}t %a %X %{ms}T %D \"%m %U%q %H\" %{SSL_PROTOCOL}x %!200{X-Id}i"}"#,
        text: "2026-02-06 00:00:38.000123 +0100 2001:db8::1 - 12 12345 \"GET /a?b HTTP/1.1\" TLSv1.3 -",
    },
    Example {
        options: r#"{"logFormat": "{\"time\": \"%{%FT%T%z}t\", \"status\": %>s, \"bytes\": %B, \"agent\": \"%{User-Agent}i\"}"}"#,
        text: "{\"time\": \"2026-02-06T00:00:38+0000\", \"status\": 200, \"bytes\": 12, \"agent\": \"a \\\"quoted\\\" one\"}",
    },
    // Layouts that many use, for detection: with bytes, and with microseconds.
    Example {
        options: r#"{"logFormat":"%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\" %I %O"}"#,
        text: "192.0.2.3 - - [06/Feb/2026:00:00:38 +0000] \"GET /a?b=c HTTP/1.1\" 200 612 \"-\" \"curl/8.5.0\" 512 1024",
    },
    Example {
        options: r#"{"logFormat":"%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\" %D"}"#,
        text: "192.0.2.3 - - [06/Feb/2026:00:00:38 +0000] \"GET /a?b=c HTTP/1.1\" 200 612 \"-\" \"curl/8.5.0\" 12345",
    },
];
