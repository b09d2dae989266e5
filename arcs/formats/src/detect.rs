//! Which format a log is in: the start of a log flows in; candidates flow out, the likeliest first, each with its
//! evidence. Every format is tried in every way its examples use it, and judged by what it made of the lines: first by how
//! much of them it read, then by how much it asks of a line, then by how much it told apart.

use std::cmp::Reverse;
use std::sync::Arc;

use serde_json::Value;

use crate::columns::Kind;
use crate::elements;
use crate::format::{Column, Example, Explained, FORMATS, Format, Framing, Grammar, Outcome, compile, explain_all};
use crate::parse::CUT;

/// Bytes that are looked at.
pub const SAMPLE_BYTES: usize = 64 << 10;

/// Bytes at the start and at the end of a long text that are tried first.
const TRIED_BYTES: usize = 8 << 10;

/// Formats that ask less of a line than those that are made for one program's logs, the ones that ask least last.
const GENERAL: [(&str, usize); 10] = [
    ("fluentd", 1),
    ("syslog-3164", 2),
    ("log4j", 2),
    ("logback", 2),
    ("python", 2),
    ("json", 3),
    ("logfmt", 4),
    ("delimited", 5),
    ("grok", 6),
    ("regex", 6),
];

/// The rank of a format that told nothing apart: it comes after all others.
const WEAK: usize = 7;

/// Columns that hold a whole line where nothing was told apart, or say again what another says.
const UNTOLD: [&str; 4] = ["message", "template", "fingerprint", "level_original"];

/// Options that say where logs are from, which logs do not say.
const OF_THE_PLACE: [&str; 3] = ["timezone", "service", "host"];

/// A format that reads at least some of the log.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The format.
    pub format: &'static Format,
    /// As a project file would have it: its name, or an object with its options.
    pub spec: Value,
    /// How it reads.
    pub grammar: Arc<dyn Grammar>,
    /// Records that became rows.
    pub rows: usize,
    /// Of these, rows that were recovered or cut, or have fields that the format does not know.
    pub doubtful: usize,
    /// Records that became rejects.
    pub rejected: usize,
    /// Header lines.
    pub headers: usize,
    /// What was told apart, a row on average: two for a number, a time or a level that is known, one for another value.
    pub told: f64,
    /// Other formats that read the log just as well: their lines are the same. Only the likeliest has them.
    pub equals: Vec<&'static str>,
    /// The first row.
    pub first: Option<Explained>,
    /// How much of the rows is doubtful, as a number of rows.
    doubt: f64,
    /// How much the format asks of a line; 0 for most.
    rank: usize,
}

impl Candidate {
    /// Records that it reads without doubt, of all, from 0 to 1. Fields that the format does not know count by how many of all
    /// they are.
    pub fn share(&self) -> f64 {
        (self.rows as f64 - self.doubt) / (self.rows + self.rejected).max(1) as f64
    }

    /// The likeliest has the least.
    fn key(&self) -> (usize, usize, Reverse<i64>, Reverse<i64>) {
        let share = self.share();
        let class = [0.8, 0.65].iter().filter(|least| share < **least).count();
        (class, self.rank, Reverse((share * 20.0).round() as i64), Reverse((self.told * 10.0).round() as i64))
    }
}

/// The formats that read at least half of what `text`, the start of a log, holds. Where they read about as much, one that is
/// made for such logs comes before one that reads nearly anything, and one that tells more apart before one that tells less.
pub fn detect(text: &[u8]) -> Vec<Candidate> {
    let text = whole_lines(text);
    let mut candidates: Vec<Candidate> = FORMATS.iter().flat_map(|format| ways(format)).filter_map(|way| judge(way, text)).collect();
    candidates.retain(|candidate| candidate.share() >= 0.5);
    candidates.sort_by_key(Candidate::key);
    let equals = candidates.first().map(|best| equals_of(best, &candidates)).unwrap_or_default();
    if let Some(best) = candidates.first_mut() {
        best.equals = equals;
    }
    candidates
}

/// The names of formats that read just as well.
fn equals_of(best: &Candidate, candidates: &[Candidate]) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    let is_equal = |other: &&Candidate| {
        let (class, rank, share, _) = other.key();
        let is_as_good = (class, rank, share) == (best.key().0, best.rank, best.key().2) && (other.told - best.told).abs() < 1.0;
        is_as_good && (other.rows, other.rejected) == (best.rows, best.rejected)
    };
    for other in candidates.iter().filter(is_equal) {
        if other.format.name != best.format.name && !names.contains(&other.format.name) {
            names.push(other.format.name);
        }
    }
    names
}

/// At most [`SAMPLE_BYTES`], without a line that is cut off.
fn whole_lines(text: &[u8]) -> &[u8] {
    if text.len() <= SAMPLE_BYTES {
        return text;
    }
    let end = memchr::memrchr(b'\n', &text[..SAMPLE_BYTES]).map_or(SAMPLE_BYTES, |newline| newline + 1);
    &text[..end]
}

/// A format with each of the options that its examples have.
fn ways(format: &'static Format) -> Vec<(&'static Format, Value)> {
    let mut options: Vec<&str> = format.examples.iter().map(|example: &Example| example.options).collect();
    let mut seen = std::collections::BTreeSet::new();
    options.retain(|options| seen.insert(*options));
    options.into_iter().filter_map(|options| Some((format, spec(format, options)?))).collect()
}

/// As a project file would have a format with these options; `None` where nothing is left of them.
fn spec(format: &Format, options: &str) -> Option<Value> {
    if options.is_empty() {
        return Some(Value::from(format.name));
    }
    let mut spec: serde_json::Map<String, Value> = serde_json::from_str(options).ok()?;
    let is_no_matter = |name: &str| OF_THE_PLACE.contains(&name) || format.name == "json" && name == "columns";
    spec.retain(|name, _| !is_no_matter(name));
    if spec.is_empty() {
        return None;
    }
    let name = std::iter::once(("name".to_owned(), Value::from(format.name)));
    Some(name.chain(spec).collect::<serde_json::Map<_, _>>().into())
}

fn judge((format, spec): (&'static Format, Value), text: &[u8]) -> Option<Candidate> {
    let grammar = compile(&spec).ok()?;
    let grammar = grammar.inferred(&[text]).map_or(grammar, Arc::from);
    if is_hopeless(grammar.as_ref(), text) {
        return None;
    }
    let explained = explain_all(grammar.as_ref(), text, 0);
    if format.name == "delimited" && !is_table(text, &explained, grammar.columns()) {
        return None;
    }
    let rank = GENERAL.iter().find(|(name, _)| *name == format.name).map_or(0, |(_, rank)| *rank);
    let mut found = Candidate {
        format,
        spec,
        grammar,
        rows: 0,
        doubtful: 0,
        rejected: 0,
        headers: 0,
        told: 0.0,
        equals: Vec::new(),
        first: None,
        doubt: 0.0,
        rank,
    };
    let mut told = 0;
    for record in explained {
        match &record.outcome {
            Outcome::Row { mark, extra } => {
                let in_row = told_in(&record.columns);
                found.rows += 1;
                found.doubtful += usize::from(mark.is_some() || extra.is_some());
                found.doubt += match mark {
                    Some(CUT) => 1.0,
                    Some(_) => 0.5,
                    None => unknown(extra.as_deref(), in_row),
                };
                told += in_row;
                found.first.get_or_insert(record);
            }
            Outcome::Reject { .. } => found.rejected += 1,
            Outcome::Header => found.headers += 1,
            Outcome::Blank => {}
        }
    }
    found.told = told as f64 / found.rows.max(1) as f64;
    if found.told < 1.0 || format.name == "fluentd" && !has_fields(text) {
        found.rank = found.rank.max(WEAK);
    }
    (found.rows > 0).then_some(found)
}

/// Whether lines at the start and at the end of a long text are rejects nearly all, so that the rest need not be looked at.
fn is_hopeless(grammar: &dyn Grammar, text: &[u8]) -> bool {
    let is_of_lines = match grammar.framing() {
        Framing::Lines | Framing::Records | Framing::Streams => true,
        Framing::Array => !elements::is_array(text, true),
        _ => false,
    };
    let head = memchr::memrchr(b'\n', &text[..TRIED_BYTES.min(text.len())]);
    let tail = memchr::memchr(b'\n', &text[text.len().saturating_sub(TRIED_BYTES)..]);
    let (Some(head), Some(tail), true) = (head, tail, is_of_lines && text.len() > 2 * TRIED_BYTES) else { return false };
    let is_bad = |piece: &[u8]| {
        let explained = explain_all(grammar, piece, 0);
        let rows = explained.iter().filter(|record| matches!(record.outcome, Outcome::Row { mark, .. } if mark != Some(CUT))).count();
        let rejects = explained.iter().filter(|record| matches!(record.outcome, Outcome::Reject { .. })).count();
        rows <= rejects / 4
    };
    is_bad(&text[..=head]) && is_bad(&text[text.len() - TRIED_BYTES + tail + 1..])
}

/// Whether the first line holds more than an object: Fluentd writes objects alone as well, but nothing then says so.
fn has_fields(text: &[u8]) -> bool {
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let has_time = line.first().is_some_and(u8::is_ascii_digit) && memchr::memmem::find(line, b" {\"").is_some();
    has_time || line.contains(&b'\t') && !line.starts_with(b"{")
}

/// Whether the first line names the columns of a table.
fn is_table(text: &[u8], explained: &[Explained], columns: &[Column]) -> bool {
    let header = explained.iter().find(|record| record.outcome == Outcome::Header);
    let is_name = |byte: u8| !matches!(byte, b'{' | b'}' | b'[' | b']' | b'=' | b'<' | b'>' | b'#');
    let is_heading = header.is_none_or(|header| header.text.bytes().all(is_name));
    is_heading && columns.len() > 1 && !matches!(text.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// How much a row tells apart.
fn told_in(columns: &[(Column, Option<String>)]) -> usize {
    let told = |column: &Column, value: &str| match (&*column.name, column.kind) {
        (name, _) if UNTOLD.contains(&name) => 0,
        ("level", _) => 2 * usize::from(matches!(value, "TRACE" | "DEBUG" | "INFO" | "WARN" | "ERROR" | "FATAL")),
        (_, Kind::Text) => 1,
        _ => 2,
    };
    columns.iter().filter_map(|(column, value)| Some(told(column, value.as_deref()?))).sum()
}

/// Which part of a row is fields that the format does not know.
fn unknown(extra: Option<&str>, told: usize) -> f64 {
    let fields = match extra.and_then(|extra| serde_json::from_str(extra).ok()) {
        Some(Value::Object(fields)) => fields.len(),
        Some(Value::Array(fields)) => fields.len(),
        _ => 0,
    };
    fields as f64 / (fields + told).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Whether the likeliest format is that one, or says that that one is its equal.
    fn is_detected(found: &[Candidate], name: &str) -> bool {
        found.first().is_some_and(|best| best.format.name == name || best.equals.contains(&name))
    }

    /// What was found, for messages.
    fn told(found: &[Candidate]) -> Vec<String> {
        let told = |one: &Candidate| format!("{} {:?} {:?} {}", one.spec, one.key(), one.equals, one.rows);
        found.iter().take(4).map(told).collect()
    }

    #[test]
    fn every_example_is_detected_as_what_it_is() {
        for format in FORMATS {
            for example in format.examples {
                let found = detect(example.text.as_bytes());
                assert!(is_detected(&found, format.name), "{}: {} {:#?}", format.name, example.text, told(&found));
            }
        }
    }

    /// Folders and files of real logs, and the format of each; empty for what is none that is known.
    const SAMPLES: [(&str, &str); 41] = [
        ("apache/", "apache-combined"),
        ("apache/", "nginx"),
        ("cloudfront/claygregory/", "cloudfront"),
        ("cloudfront/opensearch-catalog/amazon_cloudfront__raw.log", "cloudfront"),
        ("cloudtrail/opensearch-catalog/aws_cloudtrail__raw-sample.json", "cloudtrail"),
        ("elb/opensearch-catalog/amazon_elb__raw.log", "alb"),
        ("fluentd_out_s3/", "fluentd"),
        ("java_app/elastic-beats/elasticsearch_deprecation__elasticsearch_deprecation.log", "log4j"),
        ("java_app/elastic-beats/elasticsearch_deprecation__other", "log4j"),
        ("java_app/elastic-beats/elasticsearch_deprecation__es_deprecation-json", "json"),
        ("java_app/elastic-beats/elasticsearch_deprecation__test-json", "json"),
        ("java_app/elastic-beats/elasticsearch_server__elasticsearch.624", "log4j"),
        ("java_app/elastic-beats/elasticsearch_server__test.log", "log4j"),
        ("java_app/elastic-beats/elasticsearch_server__elasticsearch-json", "json"),
        ("java_app/elastic-beats/elasticsearch_server__test-json", "json"),
        ("java_app/elastic-beats/elasticsearch_slowlog__auditlog", "log4j"),
        ("java_app/elastic-beats/elasticsearch_slowlog__test", "log4j"),
        ("java_app/elastic-beats/elasticsearch_slowlog__es", "json"),
        ("java_app/elastic-beats/elasticsearch_slowlog__slowlogs-json", "json"),
        ("java_app/elastic-beats/kafka_log__", "log4j"),
        ("java_app/elastic-beats/logstash_log__logstash-json", "json"),
        ("java_app/elastic-beats/logstash_log__logstash-plain", "log4j"),
        ("jsonl_app/", "json"),
        ("loghub/HDFS/HDFS_2k.log", "log4j"),
        ("loghub/Linux/Linux_2k.log", "syslog-3164"),
        ("loghub/OpenSSH/OpenSSH_2k.log", "syslog-3164"),
        ("loghub/Android/Android_2k.log", "grok"),
        ("loghub/Apache/Apache_2k.log", "grok"),
        ("loghub/LICENSE", ""),
        ("multiline/elastic-beats/cri.log", "cri"),
        ("multiline/elastic-beats/docker", "cri"),
        ("multiline/elastic-beats/elasticsearch-multiline-log.log", "log4j"),
        ("multiline/elastic-beats/json", "json"),
        ("multiline/elastic-beats/multiline-c-log.log", ""),
        ("multiline/elastic-beats/system.log", ""),
        ("multiline/elastic-beats/test.log", ""),
        ("nginx/", "nginx"),
        ("s3access/tessellate/aws-s3-access-log", "s3-access"),
        ("s3access/aws-docs/", "s3-access"),
        ("syslog/", "syslog-3164"),
        ("waf/opensearch-catalog/aws_waf__raw.log", "waf"),
    ];

    #[test]
    fn real_logs_are_detected_as_what_they_are() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
        let mut paths = vec![folder.clone()];
        let mut checked = 0;
        while let Some(path) = paths.pop() {
            if let Ok(entries) = std::fs::read_dir(&path) {
                paths.extend(entries.map(|entry| entry.unwrap().path()));
                continue;
            }
            let name = path.strip_prefix(&folder).unwrap().to_string_lossy().into_owned();
            let is_table = name.ends_with(".csv");
            let known = SAMPLES.iter().filter(|(prefix, _)| name.starts_with(prefix) && !is_table);
            let known: Vec<&str> = known.map(|(_, format)| *format).chain(is_table.then_some("delimited")).collect();
            if known.is_empty() || name.ends_with("-expected.json") {
                continue;
            }
            let found = detect(&std::fs::read(&path).unwrap());
            for format in known {
                let is_right = if format.is_empty() { found.is_empty() } else { is_detected(&found, format) };
                assert!(is_right, "{name} is {format}: {:#?}", told(&found));
            }
            checked += 1;
        }
        match checked {
            0 => eprintln!("SKIPPED: no real logs in ../shared/data"),
            _ => assert!(checked > 80, "{checked}"),
        }
    }

    #[test]
    fn layouts_come_with_their_pattern_and_without_what_logs_do_not_say() {
        let best = |text: &str| detect(text.as_bytes()).first().map_or(String::new(), |best| format!("{} {:?}", best.spec, best.equals));
        let all = [
            "2026-02-06 01:02:03,456 [main] INFO  org.example.Shop - started\n",
            "[2026-02-06T01:02:03,456] [WARN ] slow (org.example.Shop) r-17\n",
            "2026-02-06 01:02:03,456 - shop.orders - WARNING - slow\n",
            "192.0.2.3 - - [06/Feb/2026:00:00:38 +0000] \"GET / HTTP/1.1\" 200 612 \"-\" \"curl\"\n",
            "{\"userId\": 17, \"paidAt\": \"2026-02-06T01:02:03Z\"}\n",
            "{\"a\": 1, \"b\": 2}\n{\"a\": 1, \"b\": 2}\n",
            "[\n  {\"userId\": 17, \"paidAt\": \"2026-02-06T01:02:03Z\"},\n  {\"userId\": 18}\n]\n",
            "no format, at all\nreads this\n",
        ]
        .map(best);
        expect_test::expect![[r#"
            "log4j" ["logback"]
            {"name":"log4j","pattern":"[%d{ISO8601}] [%-5p] %m (%c) %X{request}%n"} []
            {"name":"python","format":"%(asctime)s - %(name)s - %(levelname)s - %(message)s"} []
            "apache-combined" ["nginx"]
            "json" []
            "json" []
            "json" []
        "#]]
        .assert_eq(&all.join("\n"));
    }

    #[test]
    fn a_long_log_is_judged_by_its_start_and_by_its_end() {
        let line = "2026-02-06 01:02:03,456 [main] INFO  org.example.Shop - started\n";
        let trace = "\tat org.example.Shop.order(Shop.java:42)\n".repeat(TRIED_BYTES / 20);
        let found = detect(format!("{trace}{}", line.repeat(SAMPLE_BYTES / 100)).as_bytes());
        assert!(is_detected(&found, "log4j"), "{:?}", told(&found));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn the_same_text_gives_the_same_candidates(pieces in proptest::collection::vec((0usize..100, "[ -~é\n]{0,12}"), 0..6)) {
            let examples: Vec<&str> = FORMATS.iter().flat_map(|format| format.examples).map(|example| example.text).collect();
            let text: String = pieces.iter().map(|(n, other)| format!("{}{other}", examples[n % examples.len()])).collect();
            let both = [0, 1].map(|_| detect(text.as_bytes()));
            prop_assert_eq!(told(&both[0]), told(&both[1]));
            prop_assert!(both[0].iter().all(|candidate| candidate.rows > 0 && candidate.share() >= 0.5));
        }
    }

    #[test]
    fn nothing_is_nothing() {
        assert!(detect(b"").is_empty());
        assert!(detect(&[0xff, 0x00, 0x80, b'\n', 0xfe]).iter().all(|candidate| candidate.share() <= 0.5));
    }
}
