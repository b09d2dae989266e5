//! The Common Log Format, which Apache httpd calls `common`. A line flows in; a row flows out.

use super::{Example, Format, apache_log_format};

/// The format.
pub static FORMAT: Format = Format {
    name: "apache-common",
    summary: "access logs of Apache httpd in the Common Log Format, or by a LogFormat string",
    page: apache_log_format::PAGE,
    options: apache_log_format::OPTIONS,
    examples: EXAMPLES,
    compile: |options| apache_log_format::compile(options, COMMON),
};

const COMMON: &str = r#"%h %l %u %t "%r" %>s %b"#;

static EXAMPLES: &[Example] = &[
    Example::plain("192.0.2.3 - ann [06/Feb/2026:00:00:38 +0000] \"GET /a?b=c HTTP/1.1\" 200 2326"),
    Example::plain("2001:db8::1 - - [06/Feb/2026:00:00:38 -0330] \"\\x16\\x03\\x01\\x02\\\"\" 400 -"),
    Example {
        options: r#"{"logFormat": "%v:%p %h %l %u %t \\\"%r\\\" %>s %O \\\"%{Referer}i\\\" \\\"%{User-Agent}i\\\""}"#,
        text: "www.example.org:443 192.0.2.3 - - [06/Feb/2026:00:00:38 +0000] \"GET / HTTP/2.0\" 304 180 \"-\" \"curl/8.5.0\"",
    },
];
