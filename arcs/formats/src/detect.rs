//! Which format a log is in: the start of a log flows in; candidates flow out, the likeliest first, each with its
//! evidence. Every format is tried in every way its examples use it, and judged by what it made of the lines.

use std::cmp::Reverse;
use std::sync::Arc;

use serde_json::Value;

use crate::columns::Kind;
use crate::format::{Example, Explained, FORMATS, Format, Grammar, Outcome, compile, explain_all};

/// Bytes that are looked at.
pub const SAMPLE_BYTES: usize = 64 << 10;

/// Formats that read nearly anything; they come after those that say what they read, the most general last.
const GENERAL: [&str; 6] = ["json", "logfmt", "fluentd", "delimited", "grok", "regex"];

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
    /// Numbers, times and the like that were read, a row on average.
    pub typed: f64,
    /// The first row.
    pub first: Option<Explained>,
}

impl Candidate {
    /// Records that it reads without doubt, of all, from 0 to 1.
    pub fn share(&self) -> f64 {
        let good = self.rows - self.doubtful;
        (good as f64 + 0.5 * self.doubtful as f64) / (self.rows + self.rejected).max(1) as f64
    }

    fn rank(&self) -> usize {
        GENERAL.iter().position(|name| *name == self.format.name).map_or(0, |at| at + 1)
    }
}

/// The formats that read at least half of what `text`, the start of a log, holds. Of those that read it equally well, one
/// that is made for such logs comes before one that reads nearly anything, and one that finds more numbers and times
/// before one that finds fewer.
pub fn detect(text: &[u8]) -> Vec<Candidate> {
    let text = whole_lines(text);
    let mut candidates: Vec<Candidate> = FORMATS.iter().flat_map(|format| ways(format)).filter_map(|way| judge(way, text)).collect();
    candidates.retain(|candidate| candidate.share() >= 0.5);
    candidates.sort_by_key(|candidate| {
        let tenths = (candidate.share() * 20.0).round() as i64;
        (Reverse(tenths), candidate.rank(), Reverse((candidate.typed * 10.0) as i64), Reverse((candidate.share() * 1e6) as i64))
    });
    candidates
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
    let spec = |options: &str| {
        let mut spec: Value = serde_json::from_str(options).ok()?;
        spec["name"] = format.name.into();
        Some(spec)
    };
    options
        .into_iter()
        .filter_map(|options| if options.is_empty() { Some(Value::from(format.name)) } else { spec(options) })
        .map(|spec| (format, spec))
        .collect()
}

fn judge((format, spec): (&'static Format, Value), text: &[u8]) -> Option<Candidate> {
    let grammar = compile(&spec).ok()?;
    let grammar = grammar.inferred(&[text]).map_or(grammar, Arc::from);
    let explained = explain_all(grammar.as_ref(), text, 0);
    let mut found = Candidate { format, spec, grammar, rows: 0, doubtful: 0, rejected: 0, headers: 0, typed: 0.0, first: None };
    let mut typed = 0;
    for record in explained {
        match &record.outcome {
            Outcome::Row { mark, extra } => {
                found.rows += 1;
                found.doubtful += usize::from(mark.is_some() || extra.is_some());
                typed += record.columns.iter().filter(|(column, value)| column.kind != Kind::Text && value.is_some()).count();
                found.first.get_or_insert(record);
            }
            Outcome::Reject { .. } => found.rejected += 1,
            Outcome::Header => found.headers += 1,
            Outcome::Blank => {}
        }
    }
    found.typed = typed as f64 / found.rows.max(1) as f64;
    (found.rows > 0).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_detected_as_what_it_is_or_as_its_equal() {
        let mut others = Vec::new();
        for format in FORMATS {
            for example in format.examples {
                let found = detect(example.text.as_bytes());
                let is_found = found.iter().any(|candidate| candidate.format.name == format.name);
                assert!(is_found, "{} does not read its own example: {}", format.name, example.text);
                if found[0].format.name != format.name {
                    others.push(format!("{} as {}", format.name, found[0].format.name));
                }
            }
        }
        others.sort();
        others.dedup();
        expect_test::expect![[r#"
            cloudtrail as json
            cri as syslog-3164
            fluentd as syslog-3164
            iis-w3c as delimited
            json as delimited
            logback as log4j
            nginx as apache-combined
            regex as delimited
            route53-resolver as json
            vpc-flow as delimited
            waf as json"#]]
        .assert_eq(&others.join("\n"));
    }

    #[test]
    fn nothing_is_nothing() {
        assert!(detect(b"").is_empty());
        assert!(detect(&[0xff, 0x00, 0x80, b'\n', 0xfe]).iter().all(|candidate| candidate.share() <= 0.5));
    }
}
