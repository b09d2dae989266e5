//! Lines by a grok pattern, as Logstash users have them: names such as `%{IPORHOST:client}` are put in for the regular
//! expressions they stand for, and what comes out of that reads records as `regex` does.
//!
//! Invariants: putting in ends, since no name may stand for itself and the result is bounded; every problem is said at the
//! byte of the text that the user wrote.

use serde_json::Value;

use super::captures::{Captures, Group, PATTERN, PATTERN_BYTES_MAX, START_OPTION, Source, TIME_COLUMN_FORMAT_OPTION, TYPES_FORMAT_OPTION};
use super::grok_patterns;
use super::typed::{TIME_FORMAT_OPTION, TIME_ZONE_OPTION, TimeFormat};
use super::{Example, Format, FormatOption, Grammar, OptionKind, Options, Problem};

/// The format.
pub static FORMAT: Format = Format {
    name: "grok",
    summary: "lines of any kind, by a grok pattern as Logstash has them",
    page: "https://www.elastic.co/docs/reference/logstash/plugins/plugins-filters-grok",
    options: &[
        FormatOption {
            name: PATTERN,
            kind: OptionKind::Text,
            meaning: "grok pattern that fits a record from its start on: %{NAME}, %{NAME:column} or %{NAME:column:type}, where int is 64 bits and \
                      float is double; [a][b] is the column a_b; what stands after it goes to `extra`; with a column `message` or `level` \
                      the columns of applications are there",
        },
        FormatOption {
            name: DEFINITIONS,
            kind: OptionKind::Structure,
            meaning: "object of names to patterns of your own, which may use other names and come before those that are known",
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

/// The option that holds patterns of the user's own.
const DEFINITIONS: &str = "definitions";

static EXAMPLES: &[Example] = &[
    Example {
        options: r#"{"pattern": "@%{SYSLOGTIMESTAMP:at} %{NOTSPACE:[door][name]} #%{INT:badge:int} %{GREEDYDATA:said}", "timeColumn": "at"}"#,
        text: "@Feb  6 01:02:03 north #17 let in\n@Feb  6 01:02:04 south #18 turned away\n",
    },
    Example {
        options: r#"{"pattern": "<%{TIMESTAMP_ISO8601:time}> %{LOGLEVEL:level} %{ORDER:order} %{GREEDYDATA:message}", "definitions": {"ORDER": "o-%{NONNEGINT}"}, "types": {"time": "timestamp"}, "start": "^<"}"#,
        text: "<2026-02-06 01:02:03,456> ERROR o-17 failed\na.NoStockException: none left\n\tat a.Shop.order(Shop.java:42)\n",
    },
    // Layouts that many use, for detection.
    Example { options: HTTPD_ERROR, text: HTTPD_ERROR_TEXT },
    Example { options: LOGCAT, text: LOGCAT_TEXT },
];

/// The error log of Apache httpd: what 2.4 writes by default, and what 2.2 wrote. A message goes on over lines that programs
/// of others wrote. What stands in the first brackets is read as a time anyway, so it is not looked at twice.
const HTTPD_ERROR: &str = r#"{"pattern": "\\[%{HTTPDERROR_DATE:time}\\] \\[(?:(?:%{WORD:logger}|-)?:)?%{WORD:level}\\](?: (?:\\[pid %{INT:pid:int}(?::tid %{INT:tid:int})?\\](?: |$))?(?:(?<file>[A-Za-z0-9_./-]+\\(\\d+\\)):(?: |$))?(?:(?<error>\\(\\d+\\)[^:\\[]*):(?: |$))?(?:\\[(?:client|remote) (?<client>[^\\]]+)\\](?: |$))?|$)%{GREEDYDATA:message}", "definitions": {"HTTPDERROR_DATE": "[^\\]]+"}, "timeColumn": "time", "start": "^\\[[A-Z][a-z]{2} [A-Z][a-z]{2} "}"#;

const HTTPD_ERROR_TEXT: &str = "\
    [Fri Feb 06 01:02:03.902022 2026] [core:error] [pid 35708:tid 4328636416] [client 192.0.2.3:4022] File does not exist: /srv/shop/tea\n\
    [Fri Feb 06 01:02:04 2026] [notice] caught SIGTERM, shutting down\n";

/// The log of Android as `logcat` shows it by default, and in the layout that was the default before (`-v time`).
const LOGCAT: &str = r#"{"pattern": "--------- %{GREEDYDATA:message}|(?<time>\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d\\.\\d{3})(?: +(?:%{WORD:uid} +)?%{INT:pid:int} +%{INT:tid:int} %{WORD:level} %{DATA:logger} *(?:: |:$)| %{WORD:level}/%{DATA:logger}\\( *%{INT:pid:int}\\):(?: |$))%{GREEDYDATA:message}", "timeFormat": "%m-%d %H:%M:%S.%L"}"#;

const LOGCAT_TEXT: &str = "\
    --------- beginning of main\n\
    02-06 01:02:03.456  1702  2395 D WindowManager: added window 3 of org.example.shop\n\
    02-06 01:02:04.456 I/ActivityManager( 1702): started org.example.shop\n";

fn compile(options: &Options<'_>) -> Result<Box<dyn Grammar>, Problem> {
    let pattern = options.text(PATTERN).ok_or_else(|| Problem::new(PATTERN, "is missing: a grok pattern"))?;
    let mut writer = Writer { definitions: options.value(DEFINITIONS), ..Writer::default() };
    writer.check_definitions()?;
    writer.add(pattern, PATTERN)?;
    let place = |at| writer.place(at);
    Ok(Box::new(Captures::new(&Source { pattern: &writer.text, place: &place, groups: &writer.groups }, options)?))
}

/// Writes the regular expression.
#[derive(Default)]
struct Writer<'a> {
    definitions: Option<&'a Value>,
    text: String,
    /// Where pieces start in the text, and the option and the byte in it that they are from.
    pieces: Vec<(usize, String, usize)>,
    groups: Vec<Group>,
    /// The names that are being put in, the outermost first.
    open: Vec<&'a str>,
}

/// `%{NAME:column:type}`, taken apart.
struct Reference<'a> {
    name: &'a str,
    column: Option<&'a str>,
    kind: Option<&'a str>,
}

impl<'a> Reference<'a> {
    /// `inside` is what stands between the braces.
    fn parse(inside: &'a str) -> Option<Reference<'a>> {
        let mut parts = inside.splitn(3, ':');
        let (name, column, kind) = (parts.next()?, parts.next(), parts.next());
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let is_column = column.is_none_or(|column| column.bytes().any(|byte| byte.is_ascii_alphanumeric()));
        (is_name && is_column).then_some(Reference { name, column, kind })
    }
}

impl<'a> Writer<'a> {
    fn check_definitions(&self) -> Result<(), Problem> {
        match self.definitions {
            None => Ok(()),
            Some(Value::Object(definitions)) => match definitions.iter().find(|(_, pattern)| !pattern.is_string()) {
                Some((name, _)) => Err(Problem::new(format!("{DEFINITIONS}.{name}"), "must be a pattern, a text")),
                None => Ok(()),
            },
            Some(_) => Err(Problem::new(DEFINITIONS, "must be an object of names to patterns")),
        }
    }

    /// What a name stands for, and the option that says so.
    fn find(&self, name: &str) -> Option<(&'a str, String)> {
        let own = self.definitions.and_then(|definitions| definitions.get(name)?.as_str());
        let own = own.map(|pattern| (pattern, format!("{DEFINITIONS}.{name}")));
        own.or_else(|| grok_patterns::find(name).map(|pattern| (pattern, format!("%{{{name}}}"))))
    }

    /// Adds a pattern that stands in an option.
    fn add(&mut self, pattern: &'a str, option: &str) -> Result<(), Problem> {
        let mut at = 0;
        while let Some(start) = pattern[at..].find("%{").map(|skip| at + skip) {
            self.keep(&pattern[at..start], option, at);
            let wrong = |message: String| Problem::new(option, format!("{message}, at byte {start}"));
            let length = pattern[start..].find('}').ok_or_else(|| wrong("`%{` is not closed".to_owned()))?;
            let inside = &pattern[start + 2..start + length];
            let shape = || wrong(format!("`%{{{inside}}}` is not of the form %{{NAME}}, %{{NAME:column}} or %{{NAME:column:type}}"));
            let reference = Reference::parse(inside).ok_or_else(shape)?;
            self.put_in(&reference, &wrong)?;
            at = start + length + 1;
        }
        self.keep(&pattern[at..], option, at);
        Ok(())
    }

    fn keep(&mut self, piece: &str, option: &str, at: usize) {
        self.pieces.push((self.text.len(), option.to_owned(), at));
        self.text.push_str(piece);
    }

    /// Adds what a name stands for, as a group.
    fn put_in(&mut self, reference: &Reference<'a>, wrong: &dyn Fn(String) -> Problem) -> Result<(), Problem> {
        let name = reference.name;
        let Some((pattern, option)) = self.find(name) else { return Err(wrong(self.unknown(name))) };
        if self.open.contains(&name) {
            return Err(wrong(format!("`{name}` stands for itself: {} > {name}", self.open.join(" > "))));
        }
        if self.text.len() > PATTERN_BYTES_MAX {
            return Err(wrong(format!("the names stand for more than {PATTERN_BYTES_MAX} bytes")));
        }
        match reference.column {
            None => self.text.push_str("(?:"),
            Some(column) => {
                // Columns may be named more than once and by what is no name of a group.
                let group = format!("__{}", self.groups.len());
                self.text.push_str(&format!("(?<{group}>"));
                let format = grok_patterns::clock(name).map(TimeFormat::Pattern);
                self.groups.push(Group { name: group, shown: plain(column), kind: reference.kind.map(kind), format });
            }
        }
        self.open.push(name);
        self.add(pattern, &option)?;
        self.open.pop();
        self.text.push(')');
        Ok(())
    }

    /// What to say of a name that stands for nothing.
    fn unknown(&self, name: &str) -> String {
        let mut known: Vec<&str> = grok_patterns::names().collect();
        if let Some(Value::Object(definitions)) = self.definitions {
            known.extend(definitions.keys().map(String::as_str));
        }
        let is_like = |known: &&str| {
            let common = known.bytes().zip(name.to_ascii_uppercase().bytes()).take_while(|(one, other)| one == other).count();
            common >= 3 && common * 2 >= name.len()
        };
        let like: Vec<&str> = known.into_iter().filter(is_like).take(5).collect();
        match like[..] {
            [] => format!("`{name}` is no pattern that is known: give it in `{DEFINITIONS}`"),
            _ => format!("`{name}` is no pattern that is known: give it in `{DEFINITIONS}`, or use {}", like.join(", ")),
        }
    }

    /// Where a byte of the regular expression stands.
    fn place(&self, at: usize) -> (String, usize) {
        let n = self.pieces.partition_point(|(start, ..)| *start <= at);
        match n.checked_sub(1).and_then(|n| self.pieces.get(n)) {
            Some((start, option, byte)) => (option.clone(), byte + (at - start)),
            None => (PATTERN.to_owned(), 0),
        }
    }
}

/// A column as options name it: `[a][b]` is `a_b`.
fn plain(column: &str) -> String {
    match column.strip_prefix('[').and_then(|column| column.strip_suffix(']')) {
        Some(inside) => inside.replace("][", "_"),
        None => column.to_owned(),
    }
}

/// A type as formats here name it. Grok's integers have no size.
fn kind(name: &str) -> String {
    match name {
        "int" | "long" => "bigint",
        "float" => "double",
        other => other,
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use crate::format::app::checks::{grammar, labelled, problem, rows, samples, shown};
    use crate::format::{backtrack, compile, explain_all};
    use expect_test::{Expect, expect};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn spec(options: Value) -> Value {
        let mut spec = options;
        spec["name"] = "grok".into();
        spec
    }

    fn check(options: Value, text: &str, expected: Expect) {
        expected.assert_eq(&shown(grammar(&spec(options)).as_ref(), text, 1_770_400_000_000_000));
    }

    #[test]
    fn names_columns_and_types() {
        check(
            json!({"pattern": "%{COMBINEDAPACHELOG}", "timeColumn": "timestamp"}),
            "192.0.2.1 - ann [06/Feb/2026:01:02:03 +0100] \"GET /a?b HTTP/1.1\" 200 5000000000 \"-\" \"curl \\\"x\\\"\"\n::1 - - [06/Feb/2026:01:02:03 +0000] \"\\x16\" 400 - \"-\" \"-\" more\n::1 - - [06/Feb/2026] x\n",
            expect![[r#"
                row clientip="192.0.2.1" ident="-" auth="ann" time="2026-02-06T00:02:03Z" verb="GET" request="/a?b" httpversion="1.1" response="200" bytes="5000000000" referrer="\"-\"" agent="\"curl \\\"x\\\"\""
                row clientip="::1" ident="-" auth="-" time="2026-02-06T01:02:03Z" rawrequest="\\x16" response="400" referrer="\"-\"" agent="\"-\"" extra={"rest":" more"}
                reject at 20 "] x": the pattern does not fit from here on
            "#]],
        );
        check(
            json!({"pattern": "%{SYSLOGBASE} %{GREEDYDATA:message}", "timeColumn": "timestamp", "timeZone": "Europe/Berlin"}),
            "Dec  6 01:02:03 web-1 sshd[17]: Failed password\nFeb 30 01:02:03 web-1 cron: x\n",
            expect![[r#"
                row time="2025-12-06T00:02:03Z" message="Failed password" logsource="web-1" program="sshd" pid="17"
                reject at 0 "Feb 30 01:02:03 web-1 cron: x": `time` is not a time by its format
            "#]],
        );
        check(
            json!({"pattern": r"(?<queue>[0-9A-F]+): (?:%{INT:[a][b]:int}|%{WORD:[a][b]}x) %{NUMBER:c:float} %{TIMESTAMP_ISO8601:d:timestamp}"}),
            "0A: 17 1.5 2026-02-06 01:02:03\n0B: 5x 1 2026-02-06T01:02:03Z\n0C: yx 1 2026-02-06T01:02:03Z\n",
            expect![[r#"
                row queue="0A" a_b="17" c="1.5" d="2026-02-06T01:02:03Z"
                row queue="0B" a_b="5" c="1" d="2026-02-06T01:02:03Z"
                reject at 4 "yx 1 2026-02-06T01:02:03Z": `a_b` is not a whole number of at most 64 bits
            "#]],
        );
        check(
            json!({"pattern": "%{A}", "definitions": {"A": "%{INT:n:int}%{B}", "B": " (?:%{INT:m:double})?", "INT": "[a-f]?[0-9]+"}}),
            "17 2.5\n17 3\na1 \n",
            expect![[r#"
                row n="17" m="2" extra={"rest":".5"}
                row n="17" m="3"
                reject at 0 "a1 ": `n` is not a whole number of at most 64 bits
            "#]],
        );
    }

    #[test]
    fn patterns_that_make_no_sense_are_refused() {
        let wrong = |options: Value| problem(&spec(options));
        let all = [
            json!({}),
            json!({"pattern": "%{INT}"}),
            json!({"pattern": "a %{INT:n"}),
            json!({"pattern": "a %{INT:}"}),
            json!({"pattern": "é %{}"}),
            json!({"pattern": "a %{IPORHOSTS:n}"}),
            json!({"pattern": "a %{MINE:n}"}),
            json!({"pattern": "%{A:n}", "definitions": {"A": "x%{B}", "B": "y%{A}"}}),
            json!({"pattern": "%{INT:n:integer}"}),
            json!({"pattern": "%{INT:n} (?<=a)"}),
            json!({"pattern": "%{INT:n} (?>a)"}),
            json!({"pattern": "%{A:n}", "definitions": {"A": "x%{INT}(?!a)"}}),
            json!({"pattern": "%{A:n}", "definitions": {"A": 3}}),
            json!({"pattern": "%{A:n}", "definitions": []}),
            json!({"pattern": "%{A:n}", "definitions": {"A": "%{B}%{B}%{B}%{B}%{B}%{B}%{B}%{B}", "B": "%{C}%{C}%{C}%{C}%{C}%{C}%{C}%{C}", "C": "%{D}%{D}%{D}%{D}%{D}%{D}%{D}%{D}", "D": "%{E}%{E}%{E}%{E}%{E}%{E}%{E}%{E}", "E": "%{F}%{F}%{F}%{F}%{F}%{F}%{F}%{F}", "F": "%{INT}%{INT}%{INT}%{INT}"}}),
            json!({"pattern": "%{INT:n}", "types": {"m": "int"}}),
        ];
        expect![[r#"
            pattern: is missing: a grok pattern
            pattern: has no group with a name: write one as (?<name>…)
            pattern: `%{` is not closed, at byte 2
            pattern: `%{INT:}` is not of the form %{NAME}, %{NAME:column} or %{NAME:column:type}, at byte 2
            pattern: `%{}` is not of the form %{NAME}, %{NAME:column} or %{NAME:column:type}, at byte 3
            pattern: `IPORHOSTS` is no pattern that is known: give it in `definitions`, or use IPORHOST, at byte 2
            pattern: `MINE` is no pattern that is known: give it in `definitions`, or use MINUTE, at byte 2
            definitions.B: `A` stands for itself: A > B > A, at byte 1
            pattern: `integer` is no type: use string, int, bigint, double, boolean, or timestamp with the format of times after a colon
            pattern: look-around, including look-ahead and look-behind, is not supported, at byte 9
            pattern: atomic groups are not supported: nothing is ever tried twice here, so write (?:…), at byte 9
            definitions.A: look-around, including look-ahead and look-behind, is not supported, at byte 7
            definitions.A: must be a pattern, a text
            definitions: must be an object of names to patterns
            definitions.F: the names stand for more than 262144 bytes, at byte 18
            types.m: is no group of the pattern: it has n"#]]
        .assert_eq(&all.map(wrong).join("\n"));
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in "[%{}:()?<>a-cINTWORD|*+.^$0-9 é\\\\\\[\\]]{0,30}", own in "[%{}A:()?x|*é]{0,12}", text in "[ -~é\n]{0,40}") {
            let patterns = [pattern.clone(), format!("%{{INT:a:int}}{pattern}%{{A:b}}(?<c>.*)")];
            for pattern in patterns {
                if let Ok(grammar) = compile(&spec(json!({"pattern": pattern, "definitions": {"A": own.as_str()}}))) {
                    let _ = explain_all(grammar.as_ref(), text.as_bytes(), 0);
                }
            }
        }
    }

    /// The regular expression that a grok pattern stands for.
    fn written(pattern: &str) -> String {
        let mut writer = super::Writer::default();
        writer.add(pattern, super::PATTERN).unwrap();
        writer.text
    }

    const LINES: [&str; 4] = [
        r#"192.0.2.1 - ann [06/Feb/2026:01:02:03 +0100] "GET /a?b HTTP/1.1" 200 5000000000 "-" "curl \"x\"""#,
        r#"2001:db8::1 a@b.c - [6/February/26:1:02:03.5 -0100] "\x16" - - "http://é/" 'it\'s'"#,
        "Feb  6 01:02:03 web-1.example.org sshd[17]: Failed password for ünal",
        "2026-02-06T01:02:03.456+01:00 WARNING /var/log/a.log https://ann@[::1]:80/a?b#c 1.5",
    ];

    #[test]
    fn damaged_lines_read_as_the_engine_would() {
        let mut lines: Vec<String> = LINES.iter().map(|line| line.to_string()).collect();
        for line in LINES {
            let places: Vec<usize> = line.char_indices().map(|(at, _)| at).collect();
            for at in places {
                let rest: String = line[at..].chars().skip(1).collect();
                for insert in ["", " ", "\"", "1", ":", "a", "é", "\\"] {
                    lines.push(format!("{}{insert}{rest}", &line[..at]));
                }
                lines.push(format!("{}\"{}", &line[..at], &line[at..]));
                lines.push(line[..at].to_owned());
            }
        }
        let last = "%{TIMESTAMP_ISO8601:a} %{LOGLEVEL:b} %{PATH:c} %{URI:d} %{NUMBER:e}";
        for pattern in ["%{COMBINEDAPACHELOG}", "%{SYSLOGLINE}", last, "%{DATA:a} %{GREEDYDATA:b} %{NOTSPACE:c}"] {
            let undecided = backtrack::tests::check(&written(pattern), &lines);
            assert_eq!(undecided, 0, "{pattern} takes too many steps");
        }
    }

    #[test]
    fn error_logs_of_apache() {
        check(
            serde_json::from_str(super::HTTPD_ERROR).unwrap(),
            "[Fri Feb 06 01:02:03.902022 2026] [core:error] [pid 35708:tid 4328636416] [client 2001:db8::3:4022] AH00037: no /a: b\n\
             [Fri Feb 06 01:02:04 2026] [error] [client 192.0.2.3] PHP Fatal error:  Uncaught Exception: x in /a.php:3\nStack trace:\n#0 /a.php(7): f()\n\
             [Fri Feb 06 01:02:05.000001 2026] [:trace3] [pid 7] mod_x.c(123): (13)Permission denied: [client 192.0.2.3:1] AH00035: denied\n\
             [Fri Feb 06 01:02:05.000001 2026] [-:warn] [pid 7] (111)Connection refused: AH00957: to 192.0.2.4:80 (*) failed\r\n\
             [Fri Feb 06 01:02:06 2026] [emerg]\n[Fri Feb 30 01:02:06 2026] [emerg] x\n[Fri Feb 06 2026] [emerg] x\n",
            expect![[r#"
                row time="2026-02-06T01:02:03.902022Z" level="ERROR" level_original="error" logger="core" message="AH00037: no /a: b" pid="35708" tid="4328636416" client="2001:db8::3:4022"
                row time="2026-02-06T01:02:04Z" level="ERROR" level_original="error" message="PHP Fatal error:  Uncaught Exception: x in /a.php:3" stack_trace="Stack trace:\n#0 /a.php(7): f()" client="192.0.2.3"
                row time="2026-02-06T01:02:05.000001Z" level="TRACE" level_original="trace3" message="AH00035: denied" pid="7" file="mod_x.c(123)" error="(13)Permission denied" client="192.0.2.3:1"
                row time="2026-02-06T01:02:05.000001Z" level="WARN" level_original="warn" message="AH00957: to 192.0.2.4:80 (*) failed" pid="7" error="(111)Connection refused"
                row time="2026-02-06T01:02:06Z" level="FATAL" level_original="emerg" message=""
                reject at 1 "Fri Feb 30 01:02:06 2026] [emerg] x": `time` is not a time by its format
                reject at 1 "Fri Feb 06 2026] [emerg] x": `time` is not a time by its format
            "#]],
        );
    }

    #[test]
    fn logs_of_android() {
        check(
            serde_json::from_str(super::LOGCAT).unwrap(),
            "--------- beginning of system\n03-17 16:13:38.811  1702  2395 V a b:c   : d: e\n03-17 16:13:38.811  u0_a1  1702  2395 F AndroidRuntime: FATAL EXCEPTION: main\n\
             03-17 16:13:38.811  1702  2395 I         : no tag\n03-17 16:13:38.811  1702  2395 W Tag     :\n03-17 16:13:38.811 D/a( 17): b(1): c\n03-17 16:13:38.811 D/a\n",
            expect![[r#"
                row message="beginning of system"
                row time="2026-03-17T16:13:38.811Z" level="TRACE" level_original="V" logger="a b:c" message="d: e" pid="1702" tid="2395"
                row time="2026-03-17T16:13:38.811Z" level="FATAL" level_original="F" logger="AndroidRuntime" message="FATAL EXCEPTION: main" uid="u0_a1" pid="1702" tid="2395"
                row time="2026-03-17T16:13:38.811Z" level="INFO" level_original="I" message="no tag" pid="1702" tid="2395"
                row time="2026-03-17T16:13:38.811Z" level="WARN" level_original="W" logger="Tag" message="" pid="1702" tid="2395"
                row time="2026-03-17T16:13:38.811Z" level="DEBUG" level_original="D" logger="a" message="b(1): c" pid="17"
                reject at 22 "": the pattern does not fit from here on
            "#]],
        );
    }

    #[test]
    fn labelled_logs_read_as_people_read_them() {
        let Some(folder) = samples("loghub") else { return };
        let read = |set, options| labelled(&folder, set, grammar(&spec(serde_json::from_str(options).unwrap())).as_ref());
        let found = read("Apache", super::HTTPD_ERROR) + &read("Android", super::LOGCAT);
        // Of the first, people left the client in what was said.
        let found: Vec<&str> = found.lines().filter(|line| !line.contains(r#" for "[client "#)).collect();
        expect![[r#"
            Apache: 2000 rows, 1968 the same, others []
            Android: 2000 rows, 2000 the same, others []"#]]
        .assert_eq(&found.join("\n"));
    }

    #[test]
    fn real_logs_read_whole() {
        let (Some(apache), Some(syslog)) = (samples("apache/elastic-examples"), samples("syslog/elastic-beats")) else { return };
        let read = |file: std::path::PathBuf, pattern: &str| {
            let grammar = grammar(&spec(json!({"pattern": pattern, "timeColumn": "timestamp"})));
            let (rows, others) = rows(grammar.as_ref(), &std::fs::read(file).unwrap(), 1_500_000_000_000_000);
            let extra = rows.iter().filter(|row| row.contains_key("extra")).count();
            let timed = rows.iter().filter(|row| row.contains_key("time")).count();
            format!("{} rows, {extra} with more, {timed} with time, {} others {:?}\n", rows.len(), others.len(), others.first())
        };
        let found = read(apache.join("apache_logs"), "%{COMBINEDAPACHELOG}")
            + &read(syslog.join("system_auth__secure-rhel7.log"), "%{SYSLOGBASE} %{GREEDYDATA:message}")
            + &read(syslog.join("system_auth__auth-ubuntu1204.log"), "%{SYSLOGLINE}");
        expect![[r#"
            9999 rows, 0 with more, 9999 with time, 1 others Some("line 8899: Reject { at: 182, reason: \"the pattern does not fit from here on\" } 46.118.127.106 - - [20/May/2015:12:05:17 +0000] \"GET /scripts/grok-py-test/configlib.py HTTP/1.1\" 200 235 \"-\" \"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html")
            1000 rows, 0 with more, 1000 with time, 0 others None
            993 rows, 0 with more, 993 with time, 7 others Some("line 22: Reject { at: 16, reason: \"the pattern does not fit from here on\" } Feb  9 21:20:08  sshd[8317]: last message repeated 2 times")
        "#]].assert_eq(&found);
    }
}
