//! For the tests of formats: the text of an object flows in; what became of its records, as snapshots hold it, flows out.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Column, Explained, Grammar, Outcome, compile, explain, explain_all};

/// The grammar of a specification in JSON.
pub(super) fn grammar(spec: serde_json::Value) -> Arc<dyn Grammar> {
    compile(&spec).unwrap_or_else(|problems| panic!("{spec}: {problems:?}"))
}

/// Each record: its mark, then the columns that are not null, a line each; or at which byte and text it is a reject, and why.
pub(super) fn shown(grammar: &dyn Grammar, text: &str) -> String {
    let mut out = String::new();
    explain_all(grammar, text.as_bytes(), 0).iter().for_each(|record| add(&mut out, 0, record));
    out
}

/// The first record, its columns from one on.
pub(super) fn first(grammar: &dyn Grammar, from: usize, text: &str) -> String {
    let mut out = String::new();
    add(&mut out, from, &explain(grammar, text.as_bytes()));
    out
}

fn add(out: &mut String, from: usize, record: &Explained) {
    let _ = match &record.outcome {
        Outcome::Row { mark, .. } => writeln!(out, "{}", mark.unwrap_or("row")),
        Outcome::Reject { at, reason } => {
            writeln!(out, "reject at {at} `{:.40}`: {reason}", String::from_utf8_lossy(&record.text.as_bytes()[*at..]))
        }
        other => writeln!(out, "{other:?}"),
    };
    for (column, value) in record.columns.iter().skip(from) {
        let _ = value.as_ref().map(|value| writeln!(out, "  {}: {value}", column.name));
    }
    if let Outcome::Row { extra: Some(extra), .. } = &record.outcome {
        let _ = writeln!(out, "  extra: {extra}");
    }
}

/// Columns with their types, `name: type unit`.
pub(super) fn columns(columns: &[Column]) -> String {
    let shown = columns.iter().map(|column| format!("{}: {} {}", column.name, column.kind.as_str(), column.unit));
    shown.map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// The message for a specification that is refused, with its place.
pub(super) fn problem(spec: serde_json::Value) -> String {
    match compile(&spec) {
        Ok(_) => "no problem".to_owned(),
        Err(problems) => format!("{}: {}", problems[0].at, problems[0].message),
    }
}

/// A file, or a folder, of real samples that lie beside the repository; `None` where they are not there.
pub(super) fn sample(path: &str) -> Option<PathBuf> {
    let found = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(path);
    if !found.exists() {
        eprintln!("SKIPPED: no real samples in ../shared/data/{path}");
        return None;
    }
    Some(found)
}
