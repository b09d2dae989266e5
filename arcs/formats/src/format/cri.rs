//! Logs of containers: Kubernetes' `time stream P|F message`, and Docker's `{"log":…,"stream":…,"time":…}`. Lines flow in;
//! the columns of the format that the container logs in, and its stream, flow out.
//!
//! Long lines come in pieces (`P`, or no newline at the end), between those of the other stream; they are put together
//! first, then lines to records by the inner format. Without one, each line is a message.

use std::borrow::Cow;
use std::sync::Arc;

use manifests::LearnedColumn;

use super::app::{self, Defaults, HOST_OPTION, SERVICE_OPTION};
use super::json_fields::{Json, members};
use super::time::iso_micros;
use super::{
    Column, Example, Format, FormatOption, Framing, Grammar, Headers, OptionKind, Options, Origin, Parsed, Part, Problem, Reject, Scope,
    TIME_COLUMN, Values,
};
use crate::columns::{Cell, Kind, Row};

/// The format.
pub static FORMAT: Format = Format {
    name: "cri",
    summary: "logs of containers as Kubernetes (CRI) or Docker (json-file) keeps them",
    page: "https://kubernetes.io/docs/concepts/cluster-administration/logging/",
    options: &[
        FormatOption {
            name: INNER,
            kind: OptionKind::Format,
            meaning: "the format that the container logs in; by default each line is a message",
        },
        SERVICE_OPTION,
        HOST_OPTION,
    ],
    examples: EXAMPLES,
    compile: |options| Ok(Box::new(Container::new(options)?)),
};

const INNER: &str = "inner";

static EXAMPLES: &[Example] = &[
    Example::plain(
        "2026-02-06T01:02:03.123456789Z stdout F sold 3\n2026-02-06T01:02:03.2Z stderr P slo\n2026-02-06T01:02:03.3Z stderr F w\n",
    ),
    Example::plain("{\"log\":\"sold 3\\n\",\"stream\":\"stdout\",\"time\":\"2026-02-06T01:02:03.123456789Z\"}\n"),
    Example {
        options: r#"{"inner":"json"}"#,
        text: "2026-02-06T01:02:03.123Z stdout F {\"level\":\"info\",\"msg\":\"sold 3\",\"basket\":17}\n",
    },
    Example {
        options: r#"{"inner":{"name":"logback"}}"#,
        text: "2026-02-06T01:02:03Z stdout F 2026-02-06 01:02:03,456 [main] ERROR org.example.Shop - failed\n\
               2026-02-06T01:02:03Z stderr F starting\n\
               2026-02-06T01:02:03Z stdout F java.lang.IllegalStateException: no stock\n\
               2026-02-06T01:02:03Z stdout F \tat org.example.Shop.order(Shop.java:42)\n",
    },
];

const STREAMS: [&str; 2] = ["stdout", "stderr"];

#[derive(Debug)]
struct Container {
    /// None where each line is a message.
    inner: Option<Arc<dyn Grammar>>,
    columns: Vec<Column>,
    time: usize,
    stream: usize,
    defaults: Defaults,
}

impl Container {
    fn new(options: &Options<'_>) -> Result<Container, Problem> {
        let inner = options.format(INNER)?;
        let is_fit = |inner: &Arc<dyn Grammar>| {
            inner.headers() == Headers::None && matches!(inner.framing(), Framing::Lines | Framing::Records | Framing::Array)
        };
        if inner.as_ref().is_some_and(|inner| !is_fit(inner)) {
            return Err(Problem::new(INNER, "cannot be in lines of containers: its records are no lines, or it has header lines"));
        }
        Ok(Container::with(inner, Defaults::new(options)?))
    }

    fn with(inner: Option<Arc<dyn Grammar>>, defaults: Defaults) -> Container {
        let mut columns = inner.as_ref().map_or(app::COLUMNS, |inner| inner.columns()).to_vec();
        let time = columns.iter().position(|column| column.kind == Kind::Time && column.name == TIME_COLUMN).unwrap_or(columns.len());
        if time == columns.len() {
            columns.push(Column::fixed(TIME_COLUMN, Kind::Time, "", Values::Ascending, "when the container wrote it"));
        }
        let name = if columns.iter().any(|column| column.name == "stream") { "container_stream" } else { "stream" };
        let stream = columns.len();
        columns.push(Column::fixed(name, Kind::Text, "", Values::Repeating, "stream that the container wrote it to: stdout or stderr"));
        Container { inner, columns, time, stream, defaults }
    }

    fn read_inner(&self, text: &[u8], scope: &Scope<'_>, row: &mut Row<'_>, is_orphan: bool) -> Result<Parsed, Reject> {
        let Some(origin) = scope.origin else {
            return Err(Reject::new(0, "no line of a container: time, stdout or stderr, P or F, and text; or such an object of Docker"));
        };
        let parsed = match &self.inner {
            None => {
                app::set_body(row, text);
                self.defaults.fill(row);
                Parsed::Row
            }
            Some(inner) if is_orphan => inner.read_orphan(text, scope, row)?,
            Some(inner) => inner.read(text, scope, row)?,
        };
        if let Parsed::Followed(at) = parsed {
            return Err(Reject::new(at, "another record starts in the same line of the container"));
        }
        if row.cell(self.time) == Cell::Null {
            row.time(self.time, origin.micros);
        }
        row.owned(self.stream, STREAMS.get(origin.stream).copied().unwrap_or_default());
        Ok(parsed)
    }
}

impl Grammar for Container {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn framing(&self) -> Framing {
        Framing::Streams
    }

    fn is_start(&self, text: &[u8]) -> bool {
        self.inner.as_ref().is_none_or(|inner| inner.framing() == Framing::Lines || !text.trim_ascii().is_empty() && inner.is_start(text))
    }

    fn part<'a>(&self, line: &'a [u8]) -> Option<Part<'a>> {
        if line.starts_with(b"{") { docker(line) } else { kubernetes(line) }
    }

    fn read(&self, text: &[u8], scope: &Scope<'_>, row: &mut Row<'_>) -> Result<Parsed, Reject> {
        self.read_inner(text, scope, row, false)
    }

    fn read_orphan(&self, text: &[u8], scope: &Scope<'_>, row: &mut Row<'_>) -> Result<Parsed, Reject> {
        self.read_inner(text, scope, row, true)
    }

    fn inferred(&self, samples: &[&[u8]]) -> Option<Box<dyn Grammar>> {
        self.inferred_after(&[], samples)
    }

    fn learned(&self) -> Vec<LearnedColumn> {
        self.inner.as_ref().map(|inner| inner.learned()).unwrap_or_default()
    }

    fn inferred_after(&self, known: &[LearnedColumn], samples: &[&[u8]]) -> Option<Box<dyn Grammar>> {
        let inner = self.inner.as_ref()?;
        let lines = samples.iter().flat_map(|sample| sample.split(|byte| *byte == b'\n'));
        let texts: Vec<_> = lines.filter_map(|line| Some(self.part(line)?.text)).collect();
        let inner = inner.inferred_after(known, &texts.iter().map(|text| &**text).collect::<Vec<_>>())?;
        Some(Box::new(Container::with(Some(Arc::from(inner)), self.defaults.clone())))
    }
}

fn stream(name: &[u8]) -> Option<usize> {
    STREAMS.iter().position(|stream| stream.as_bytes() == name)
}

/// `2026-02-06T01:02:03.123456789Z stdout F text`; tags may follow the F after colons.
fn kubernetes(line: &[u8]) -> Option<Part<'_>> {
    let mut words = line.splitn(4, |byte| *byte == b' ');
    let (time, stream, tags, text) = (words.next()?, stream(words.next()?)?, words.next()?, words.next().unwrap_or_default());
    let is_partial = match tags.split(|byte| *byte == b':').next()? {
        b"P" => true,
        b"F" => false,
        _ => return None,
    };
    Some(Part { origin: Origin { stream, micros: iso_micros(time, 0)? }, is_partial, text: Cow::Borrowed(text) })
}

/// `{"log":"text\n","stream":"stdout","time":"2026-02-06T01:02:03.123456789Z"}`
fn docker(line: &[u8]) -> Option<Part<'_>> {
    let (mut text, mut name, mut micros) = (None, None, None);
    members(line, |member, value| {
        match (&*member, value) {
            (b"log", Json::Text(value)) => text = Some(value),
            (b"stream", Json::Text(value)) => name = stream(&value),
            (b"time", Json::Text(value)) => micros = iso_micros(&value, 0),
            _ => {}
        }
        Ok(())
    })
    .ok()?;
    let text = text?;
    let length = text.strip_suffix(b"\n").map(<[u8]>::len);
    let whole = length.unwrap_or(text.len());
    let text = match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..whole]),
        Cow::Owned(mut text) => {
            text.truncate(whole);
            Cow::Owned(text)
        }
    };
    Some(Part { origin: Origin { stream: name?, micros: micros? }, is_partial: length.is_none(), text })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::app::checks::{grammar, problem, rows, samples, shown};
    use crate::lines::{LineLimits, Piece, Pieces};
    use crate::parse::read_through;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;
    use serde_json::json;

    fn check(options: serde_json::Value, text: &str, expected: Expect) {
        let mut spec = options;
        spec["name"] = "cri".into();
        let grammar = grammar(&spec);
        let inferred = grammar.inferred(&[text.as_bytes()]);
        let grammar = inferred.as_deref().unwrap_or(grammar.as_ref());
        expected.assert_eq(&shown(grammar, text, 0));
        assert!(read_through(grammar, text.as_bytes().to_vec()).is_balanced());
    }

    #[test]
    fn lines_of_every_shape() {
        for (example, expected) in EXAMPLES.iter().zip([expect![[r#"
            row time="2026-02-06T01:02:03.123456Z" message="sold 3" stream="stdout"
            row time="2026-02-06T01:02:03.200Z" message="slow" stream="stderr"
        "#]], expect![[r#"
            row time="2026-02-06T01:02:03.123456Z" message="sold 3" stream="stdout"
        "#]], expect![[r#"
            row time="2026-02-06T01:02:03.123Z" level="INFO" level_original="info" message="sold 3" basket="17" stream="stdout"
        "#]], expect![[r#"
            row time="2026-02-06T01:02:03.456Z" level="ERROR" logger="org.example.Shop" thread="main" message="failed" stack_trace="java.lang.IllegalStateException: no stock\n\tat org.example.Shop.order(Shop.java:42)" exception="java.lang.IllegalStateException" stream="stdout"
            cut time="2026-02-06T01:02:03Z" message="starting" stream="stderr"
        "#]]]) {
            let options = if example.options.is_empty() { "{}" } else { example.options };
            check(serde_json::from_str(options).unwrap(), example.text, expected);
        }
    }

    #[test]
    fn pieces_of_streams_between_each_other() {
        check(
            json!({"inner": "logback"}),
            "2026-02-06T01:02:01Z stdout F \tat a.b(c)\n\
             2026-02-06T01:02:02Z stdout P 2026-02-06 01:02:02,000 [a] INFO  b - one \n\
             2026-02-06T01:02:03Z stderr P 2026-02-06 01:02:03,000 [a] WARN  b - other\n\
             2026-02-06T01:02:04Z stdout P and \n\
             not of a container\n\
             2026-02-06T01:02:04Z stdout F two\n\
             2026-02-06T01:02:05Z stderr F  stream\n\
             2026-02-06T01:02:05Z stdout F \n\
             2026-02-06T01:02:05Z stdout F three\n\
             2026-02-06T01:02:11Z stdout F too late\n\
             2026-02-06T01:02:12Z stderr P 2026-02-06 01:02:12,000 [a] INFO  b - cut\n",
            expect![[r#"
                cut time="2026-02-06T01:02:01Z" stack_trace="\tat a.b(c)" stream="stdout"
                row time="2026-02-06T01:02:02Z" level="INFO" logger="b" thread="a" message="one and two\n\nthree" stream="stdout"
                row time="2026-02-06T01:02:03Z" level="WARN" logger="b" thread="a" message="other stream" stream="stderr"
                reject at 0 "not of a container": no line of a container: time, stdout or stderr, P or F, and text; or such an object of Docker
                cut time="2026-02-06T01:02:11Z" message="too late" stream="stdout"
                cut time="2026-02-06T01:02:12Z" level="INFO" logger="b" thread="a" message="cut" stream="stderr"
            "#]],
        );
        check(
            json!({}),
            "2026-02-06T01:02:01Z stdout F\n2026-02-06T01:02:01Z stdout F:x y\n2026-02-06T01:02:01Z stdin F y\n{\"log\":\"a\",\"stream\":\"stderr\",\"time\":\"2026-02-06T01:02:01Z\"}\n{\"log\":\"b\\n\",\"stream\":\"stderr\",\"time\":\"2026-02-06T01:02:01Z\"}\n{\"log\":7}\n",
            expect![[r#"
                Blank
                row time="2026-02-06T01:02:01Z" message="y" stream="stdout"
                reject at 0 "2026-02-06T01:02:01Z stdin F y": no line of a container: time, stdout or stderr, P or F, and text; or such an object of Docker
                row time="2026-02-06T01:02:01Z" message="ab" stream="stderr"
                reject at 0 "{\"log\":7}": no line of a container: time, stdout or stderr, P or F, and text; or such an object of Docker
            "#]],
        );
    }

    #[test]
    fn inner_formats_that_are_none() {
        let all = [json!({"name": "cri", "inner": "cri"}), json!({"name": "cri", "inner": {"name": "log4j", "pattern": "%q"}})];
        expect![[r#"
            inner: cannot be in lines of containers: its records are no lines, or it has header lines
            inner.pattern: `%q` is no conversion, at byte 0"#]]
        .assert_eq(&all.map(|spec| problem(&spec)).join("\n"));
    }

    #[test]
    fn real_files() {
        let Some(folder) = samples("multiline/elastic-beats") else { return };
        let mut found = String::new();
        for file in ["cri.log", "docker.log", "docker_corrupted.log", "docker_multiline.log"] {
            let (rows, others) = rows(grammar(&json!("cri")).as_ref(), &std::fs::read(folder.join(file)).unwrap(), 0);
            found += &format!("{file}: {} rows, others {others:?}\n", rows.len());
        }
        expect![[r#"
            cri.log: 1 rows, others []
            docker.log: 21 rows, others []
            docker_corrupted.log: 20 rows, others ["line 7: Reject { at: 0, reason: \"no line of a container: time, stdout or stderr, P or F, and text; or such an object of Docker\" } \"log\":\"cp packetbeat.yml /build/packetbeat-linux.yml\\n\",\"stream\":\"stdout\",\"time\":\"2016-03-02T22:59:04.647847045Z\"}"]
            docker_multiline.log: 4 rows, others []
        "#]].assert_eq(&found);
    }

    /// The text of rows, read in blocks of some size.
    fn messages(grammar: &dyn Grammar, text: &[u8], block_bytes: usize) -> Vec<String> {
        let mut pieces = Pieces::new(text, grammar, LineLimits { block_bytes, line_bytes_max: 1 << 20 });
        let mut found = Vec::new();
        while let Some(piece) = pieces.next_piece() {
            let Piece::Lines { text, .. } = piece else { continue };
            found.extend(rows(grammar, &text, 0).0.into_iter().map(|row| format!("{:?} {:?}", row.get("message"), row.get("parse"))));
        }
        found
    }

    proptest! {
        #[test]
        fn wherever_blocks_are_cut_the_records_are_the_same(lines in proptest::collection::vec((0usize..2, 0u8..3, any::<bool>(), 0u8..8), 0..40), block_bytes in 1usize..400) {
            let (mut text, mut second) = (String::new(), 0);
            for (n, (stream, kind, is_partial, pause)) in lines.into_iter().enumerate() {
                second += i32::from(pause);
                let start = if kind == 0 { "2026-02-06 01:02:02,000 [a] INFO  b - " } else { "" };
                let tag = if is_partial { "P" } else { "F" };
                text += &format!("2026-02-06T01:{:02}:{:02}Z {} {tag} {start}{n}\n", second / 60, second % 60, STREAMS[stream]);
            }
            let grammar = grammar(&json!({"name": "cri", "inner": "logback"}));
            prop_assert_eq!(messages(grammar.as_ref(), text.as_bytes(), block_bytes), messages(grammar.as_ref(), text.as_bytes(), 1 << 20));
            prop_assert!(read_through(grammar.as_ref(), text.into_bytes()).is_balanced());
        }
    }
}
