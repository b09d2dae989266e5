//! Records as tests show them: a grammar and the text of an object flow in; what is not null, or why it is a reject,
//! flows out, a line each.

use std::fmt::Write as _;

use crate::format::{Explained, Grammar, Outcome, explain, explain_all};

/// The first record: its mark, and its columns from one on.
pub(super) fn shown(grammar: &dyn Grammar, from: usize, text: &str) -> String {
    let mut out = String::new();
    add(&mut out, from, &explain(grammar, text.as_bytes()));
    out
}

/// All records of an object.
pub(super) fn shown_all(grammar: &dyn Grammar, text: &str) -> String {
    let mut out = String::new();
    explain_all(grammar, text.as_bytes(), 0).iter().for_each(|explained| add(&mut out, 0, explained));
    out
}

fn add(out: &mut String, from: usize, explained: &Explained) {
    let _ = match &explained.outcome {
        Outcome::Row { mark, .. } => writeln!(out, "{}", mark.unwrap_or("plain")),
        Outcome::Reject { at, reason } => {
            writeln!(out, "reject at {at} `{:.40}`: {reason}", String::from_utf8_lossy(&explained.text.as_bytes()[*at..]))
        }
        other => writeln!(out, "{other:?}"),
    };
    for (column, value) in explained.columns.iter().skip(from) {
        let _ = value.as_ref().map(|value| writeln!(out, "{}: {value}", column.name));
    }
    if let Outcome::Row { extra: Some(extra), .. } = &explained.outcome {
        let _ = writeln!(out, "extra: {extra}");
    }
}
