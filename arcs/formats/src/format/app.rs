//! What all formats of applications share: the columns, names of levels, and what the text of an event is taken apart to.
//! So one query counts errors whatever wrote them: `level`, `template` and `fingerprint` mean the same everywhere.

use std::borrow::Cow;

use super::{Column, FormatOption, OptionKind, Options, Problem, Values, template, trace};
use crate::columns::{Cell, Kind, Row};
use crate::format::zone::Zone;

use Kind::{Int64, Text, Time};
use Values::{Ascending, Distinct, Repeating};

pub(super) const TIME: usize = 0;
pub(super) const LEVEL: usize = 1;
pub(super) const LEVEL_ORIGINAL: usize = 2;
pub(super) const LOGGER: usize = 3;
pub(super) const THREAD: usize = 4;
pub(super) const MESSAGE: usize = 5;
pub(super) const STACK_TRACE: usize = 6;
pub(super) const EXCEPTION: usize = 7;
pub(super) const HOST: usize = 8;
pub(super) const SERVICE: usize = 9;
pub(super) const FIELDS: usize = 10;
pub(super) const TEMPLATE: usize = 11;
pub(super) const FINGERPRINT: usize = 12;

/// The columns that every format of applications starts with.
pub(super) static COLUMNS: &[Column] = &[
    Column::fixed("time", Time, "", Ascending, "when it happened; null where the log does not tell the day"),
    Column::fixed(
        "level",
        Text,
        "",
        Repeating,
        "TRACE, DEBUG, INFO, WARN, ERROR or FATAL; a level of another name in capitals; null if the log has none",
    ),
    Column::fixed(
        "level_original",
        Text,
        "",
        Repeating,
        "the level as the log has it, where that is not the text of `level`; otherwise null",
    ),
    Column::fixed("logger", Text, "", Repeating, "what logged it: a logger, class or component"),
    Column::fixed("thread", Text, "", Repeating, "thread that logged it"),
    Column::fixed(
        "message",
        Text,
        "",
        Distinct,
        "what was said, without the stack trace; null for a piece of a trace whose start is in another object",
    ),
    Column::fixed(
        "stack_trace",
        Text,
        "",
        Distinct,
        "stack trace, from the line that names its exception where there is one; null without a trace",
    ),
    Column::fixed("exception", Text, "", Repeating, "class of the exception that the stack trace is of; null if none is named"),
    Column::fixed("host", Text, "", Repeating, "host that it happened on"),
    Column::fixed("service", Text, "", Repeating, "application or service that logged it"),
    Column::fixed("fields", Text, "", Distinct, "other values that belong to it, as a JSON object; null without any"),
    Column::fixed("template", Text, "", Repeating, "first line of the message with <*> for numbers, ids, addresses and quoted values"),
    Column::fixed("fingerprint", Int64, "", Distinct, "64-bit FNV-1a hash of the template; the same in all versions"),
];

/// The time zone of times that name none.
pub(super) const TIMEZONE: FormatOption = FormatOption {
    name: "timezone",
    kind: OptionKind::Text,
    meaning: "time zone of times that name none, such as Europe/Berlin or +01:00; UTC by default",
};

/// The service of all rows.
pub(super) const SERVICE_OPTION: FormatOption =
    FormatOption { name: "service", kind: OptionKind::Text, meaning: "value of the column service where the log has none" };

/// The host of all rows.
pub(super) const HOST_OPTION: FormatOption =
    FormatOption { name: "host", kind: OptionKind::Text, meaning: "value of the column host where the log has none" };

/// What options say about every row.
#[derive(Clone, Debug)]
pub(super) struct Defaults {
    /// The zone of times that name none.
    pub zone: Zone,
    service: Option<String>,
    host: Option<String>,
}

impl Defaults {
    pub(super) fn new(options: &Options<'_>) -> Result<Defaults, Problem> {
        let text = |name| options.text(name).filter(|text| !text.is_empty()).map(str::to_owned);
        Ok(Defaults { zone: Zone::of_option(options, TIMEZONE.name)?, service: text(SERVICE_OPTION.name), host: text(HOST_OPTION.name) })
    }

    /// Sets the host and the service where the log had none.
    pub(super) fn fill(&self, row: &mut Row<'_>) {
        for (column, value) in [(HOST, &self.host), (SERVICE, &self.service)] {
            if let (Some(value), Cell::Null) = (value, row.cell(column)) {
                row.owned(column, value);
            }
        }
    }
}

/// Sets the level: its common name, and what the log has where that differs.
pub(super) fn set_level(row: &mut Row<'_>, text: &[u8]) {
    match level(text) {
        Some(name) if name.as_bytes() == text => row.text(LEVEL, text),
        Some(name) => {
            row.owned(LEVEL, name);
            row.text(LEVEL_ORIGINAL, text);
        }
        None if text.iter().any(u8::is_ascii_lowercase) => {
            row.owned(LEVEL, &String::from_utf8_lossy(text).to_ascii_uppercase());
            row.text(LEVEL_ORIGINAL, text);
        }
        None if !text.is_empty() => row.text(LEVEL, text),
        None => {}
    }
}

/// The common name of a level, in any case.
pub(super) fn level(text: &[u8]) -> Option<&'static str> {
    // Those that most lines have.
    match text {
        b"INFO" => return Some("INFO"),
        b"WARN" => return Some("WARN"),
        b"ERROR" => return Some("ERROR"),
        b"DEBUG" => return Some("DEBUG"),
        _ => {}
    }
    let mut upper = [0; 16];
    let upper = upper.get_mut(..text.len())?;
    upper.copy_from_slice(text);
    upper.make_ascii_uppercase();
    Some(match &*upper {
        b"INFO" | b"I" | b"INFORMATION" | b"INFORMATIONAL" | b"NOTICE" | b"NOTE" | b"LOG" | b"INF" => "INFO",
        b"WARN" | b"W" | b"WARNING" | b"WRN" => "WARN",
        b"ERROR" | b"E" | b"ERR" | b"SEVERE" | b"EROR" | b"FAIL" => "ERROR",
        b"DEBUG" | b"D" | b"DBG" | b"DEBG" | b"DBUG" | b"FINE" | b"CONFIG" => "DEBUG",
        b"TRACE" | b"TRACE1" | b"TRACE2" | b"TRACE3" | b"TRACE4" | b"TRACE5" | b"TRACE6" | b"TRACE7" | b"TRACE8" | b"T" | b"V" | b"TRC"
        | b"TRCE" | b"FINER" | b"FINEST" | b"VERBOSE" | b"SILLY" => "TRACE",
        b"FATAL" | b"F" | b"C" | b"CRIT" | b"CRITICAL" | b"EMERG" | b"EMERGENCY" | b"ALERT" | b"PANIC" | b"DPANIC" | b"FTL" => "FATAL",
        _ => return None,
    })
}

/// Sets message, stack trace, exception, template and fingerprint from the text of an event: a piece of the record.
pub(super) fn set_body(row: &mut Row<'_>, text: &[u8]) {
    let parts = trace::split(text);
    set_parts(row, parts);
}

/// The same, where the message ends on the line and `rest`, the lines after it, hold a trace or more of the message.
pub(super) fn set_message_and_rest(row: &mut Row<'_>, message: &[u8], rest: &[u8]) {
    let rest = rest.trim_ascii_end();
    let rest = rest.strip_prefix(b"\r").unwrap_or(rest);
    let rest = rest.strip_prefix(b"\n").unwrap_or(rest);
    if rest.is_empty() {
        return set_parts(row, trace::Parts { message, ..Default::default() });
    }
    let parts = trace::split_rest(rest);
    let exception = parts.exception;
    match parts.trace {
        Some(_) => set_parts(row, trace::Parts { message, trace: Some(rest), exception }),
        None => set_parts(row, trace::Parts { message: &[message, b"\n", rest].concat(), ..Default::default() }),
    }
}

/// Sets what a text was taken apart to.
pub(super) fn set_parts(row: &mut Row<'_>, parts: trace::Parts<'_>) {
    if !parts.message.is_empty() || parts.trace.is_none() {
        set_message(row, parts.message);
    }
    if let Some(trace) = parts.trace {
        row.text(STACK_TRACE, trace);
    }
    if let Some(exception) = parts.exception {
        row.text(EXCEPTION, exception);
    }
}

/// Sets the message, its template and the fingerprint of that.
pub(super) fn set_message(row: &mut Row<'_>, message: &[u8]) {
    row.text(MESSAGE, message);
    let text = match std::str::from_utf8(message) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(message),
    };
    let head = template::head(&text);
    let mut varies = false;
    row.write(TEMPLATE, |out| varies = template::write(head, out));
    if !varies {
        // The cell of the message does for both where nothing differs.
        match head.len() == message.len() {
            true => row.copy(MESSAGE, TEMPLATE),
            false => row.text(TEMPLATE, head.as_bytes()),
        }
    }
    let fingerprint = template::fingerprint(row.bytes(row.cell(TEMPLATE)));
    row.int(FINGERPRINT, fingerprint);
}

/// Adds a member to a JSON object that is being written to `out` from byte `from` on; [`close`] ends it.
pub(super) fn member(out: &mut String, from: usize, name: &str, value: &str) {
    name_of(out, from, name);
    string(out, value);
}

/// Adds the name of a member, for a value that is JSON already.
pub(super) fn name_of(out: &mut String, from: usize, name: &str) {
    out.push(if out.len() == from { '{' } else { ',' });
    string(out, name);
    out.push(':');
}

/// Ends the object; nothing where it has no member.
pub(super) fn close(out: &mut String, from: usize) {
    if out.len() > from {
        out.push('}');
    }
}

/// Adds a JSON string.
pub(super) fn string(out: &mut String, text: &str) {
    out.push('"');
    // All bytes are looked at together; few texts have any that is to be escaped.
    if !text.bytes().fold(false, |is_any, byte| is_any | (byte < b' ') | (byte == b'"') | (byte == b'\\')) {
        out.push_str(text);
        out.push('"');
        return;
    }
    let mut kept = 0;
    for (at, byte) in text.bytes().enumerate().filter(|(_, byte)| *byte < b' ' || matches!(byte, b'"' | b'\\')) {
        out.push_str(&text[kept..at]);
        kept = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                out.push_str("\\u00");
                out.push(char::from(DIGITS[usize::from(byte >> 4)]));
                out.push(char::from(DIGITS[usize::from(byte & 15)]));
            }
        }
    }
    out.push_str(&text[kept..]);
    out.push('"');
}

/// What tests of formats of applications share.
#[cfg(test)]
pub(super) mod checks {
    use crate::format::{Grammar, Outcome, compile, explain_all};
    use serde_json::Value;
    use std::fmt::Write as _;
    use std::path::PathBuf;
    use std::sync::Arc;

    pub(in crate::format) fn grammar(spec: &Value) -> Arc<dyn Grammar> {
        compile(spec).unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    /// What is wrong with options.
    pub(in crate::format) fn problem(spec: &Value) -> String {
        let problem = compile(spec).err().map(|problems| problems[0].clone());
        problem.map_or("fine".to_owned(), |problem| format!("{}: {}", problem.at, problem.message))
    }

    /// All records of a text: the cells that are not null, without templates.
    pub(in crate::format) fn shown(grammar: &dyn Grammar, text: &str, arrived: i64) -> String {
        let mut out = String::new();
        for record in explain_all(grammar, text.as_bytes(), arrived) {
            match &record.outcome {
                Outcome::Row { mark, extra } => {
                    let _ = write!(out, "{}", mark.unwrap_or("row"));
                    let cells = record.columns.iter().filter(|(column, _)| column.name != "template" && column.name != "fingerprint");
                    for (column, value) in cells.filter_map(|(column, value)| Some((column, value.as_ref()?))) {
                        let _ = write!(out, " {}={value:?}", column.name);
                    }
                    let _ = extra.as_ref().map(|extra| write!(out, " extra={extra}"));
                }
                Outcome::Reject { at, reason } => {
                    let _ = write!(out, "reject at {at} {:?}: {reason}", record.text.get(*at..).unwrap_or("…"));
                }
                other => {
                    let _ = write!(out, "{other:?}");
                }
            }
            out.push('\n');
        }
        out
    }

    /// A folder of real logs; `None`, and a word about it, where it is missing.
    pub(in crate::format) fn samples(name: &str) -> Option<PathBuf> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
        if !folder.is_dir() {
            eprintln!("SKIPPED: no real logs in ../shared/data/{name}");
        }
        folder.is_dir().then_some(folder)
    }

    /// The rows of a file as (name of a column → value), and how many records are no rows.
    pub(in crate::format) fn rows(grammar: &dyn Grammar, text: &[u8], arrived: i64) -> (Vec<serde_json::Map<String, Value>>, Vec<String>) {
        let (mut rows, mut others) = (Vec::new(), Vec::new());
        for record in explain_all(grammar, text, arrived) {
            match record.outcome {
                Outcome::Row { mark, extra } => {
                    let cells =
                        record.columns.into_iter().filter_map(|(column, value)| Some((column.name.into_owned(), Value::String(value?))));
                    let mut row: serde_json::Map<_, _> = cells.collect();
                    row.extend(extra.map(|extra| ("extra".to_owned(), extra.into())));
                    row.insert("line".to_owned(), record.line.into());
                    row.extend(mark.map(|mark| ("parse".to_owned(), mark.into())));
                    rows.push(row);
                }
                Outcome::Blank => {}
                other => others.push(format!("line {}: {other:?} {}", record.line, record.text)),
            }
        }
        (rows, others)
    }

    /// What differs between rows of a text and the values that another parser gave for it. `pairs` are columns and the
    /// names of their values there; times are compared as times. A value that is not there is not compared.
    pub(in crate::format) fn differences(
        (rows, text): (&[serde_json::Map<String, Value>], &[u8]),
        expected: &str,
        pairs: &[(&str, &str)],
    ) -> Vec<String> {
        let expected: Vec<serde_json::Map<String, Value>> = serde_json::from_str(expected).unwrap();
        let mut found = Vec::new();
        let starts: Vec<u64> = std::iter::once(0).chain(memchr::memchr_iter(b'\n', text).map(|newline| newline as u64 + 1)).collect();
        let offset = |row: &serde_json::Map<String, Value>| starts.get(row["line"].as_u64()? as usize - 1).copied();
        for expected in &expected {
            let Some((n, row)) = rows.iter().enumerate().find(|(_, row)| offset(row) == expected["log.offset"].as_u64()) else {
                found.push(format!("no row at {}", expected["log.offset"]));
                continue;
            };
            for (column, name) in pairs {
                let Some(theirs) = expected.get(*name) else { continue };
                let ours = row.get(*column).and_then(Value::as_str).unwrap_or("");
                let theirs = theirs.as_str().map_or_else(|| theirs.to_string(), str::to_owned);
                let time = |text: &str| text.parse::<chrono::DateTime<chrono::Utc>>().ok();
                let trace = row.get("stack_trace").and_then(Value::as_str).unwrap_or("");
                let whole = format!("{ours}\n{trace}");
                // A message may have more before it here, a name in brackets, or its trace apart.
                let is_end =
                    ours.trim().ends_with(theirs.trim()) || whole.trim().ends_with(theirs.trim()) || theirs.trim().ends_with(whole.trim());
                let is_end = is_end || theirs.contains(ours.lines().next().unwrap_or("∅"));
                let is_same = match *column {
                    // Theirs are cut to milliseconds.
                    "time" => time(ours).map(|time| time.timestamp_millis()) == time(&theirs).map(|time| time.timestamp_millis()),
                    "message" => is_end,
                    _ => ours.trim() == theirs.trim(),
                };
                if !is_same {
                    found.push(format!("{n} {column}: {ours:?} for {theirs:?}"));
                }
            }
        }
        found
    }

    /// How many rows of a set of logs have the level, component and content that people found in them, and which have not.
    pub(in crate::format) fn labelled(folder: &std::path::Path, set: &str, grammar: &dyn Grammar) -> String {
        let text = std::fs::read(folder.join(format!("{set}/{set}_2k.log"))).unwrap();
        let (rows, others) = rows(grammar, &text, 1_770_400_000_000_000);
        let truth = std::fs::read_to_string(folder.join(format!("{set}/{set}_2k.log_structured.csv"))).unwrap();
        let mut truth = truth.lines().map(crate::format::template::tests::csv);
        let header = truth.next().unwrap();
        let (mut found, mut same) = (String::new(), 0);
        let cell = |row: &serde_json::Map<_, Value>, name: &str| row.get(name).and_then(Value::as_str).unwrap_or("").trim().to_owned();
        for (row, truth) in rows.iter().zip(truth) {
            let said = |name: &str| header.iter().position(|column| column == name).map(|at| truth[at].trim());
            let level = if row.contains_key("level_original") { "level_original" } else { "level" };
            let pairs = [(level, "Level"), ("logger", "Component"), ("message", "Content")];
            match pairs.iter().find(|(column, name)| said(name).is_some_and(|said| said != cell(row, column))) {
                None => same += 1,
                Some((column, name)) => found += &format!("  {:?} for {:?}\n", cell(row, column), said(name).unwrap_or("")),
            }
        }
        found + &format!("{set}: {} rows, {same} the same, others {others:?}\n", rows.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(set: impl FnOnce(&mut Row<'_>)) -> Vec<(String, String)> {
        let mut arena = String::new();
        let mut row = Row::new(b"", &mut arena, COLUMNS.len());
        set(&mut row);
        let cells = (0..COLUMNS.len()).filter_map(|n| Some((COLUMNS[n].name.to_string(), row.shown(row.cell(n))?)));
        cells.collect()
    }

    #[test]
    fn levels_have_common_names_and_the_others_stay_readable() {
        let level = |text: &str| {
            let cells = shown(|row| set_level(row, text.as_bytes()));
            cells.into_iter().map(|(_, value)| value).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            ["INFO", "info", "Warning", "SEVERE", "V", "crit"].map(level),
            ["INFO", "INFO info", "WARN Warning", "ERROR SEVERE", "TRACE V", "FATAL crit"]
        );
        assert_eq!(
            ["AUDIT", "audit", "", "a level of a long name"].map(level),
            ["AUDIT", "AUDIT audit", "", "A LEVEL OF A LONG NAME a level of a long name"]
        );
    }

    #[test]
    fn a_message_without_what_varies_is_its_own_template() {
        let cells = shown(|row| set_message(row, b"started"));
        let texts: Vec<_> = cells.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(texts, ["message=started", "template=started", "fingerprint=-4092942054623415970"]);
    }

    #[test]
    fn lines_after_a_message_are_a_trace_or_more_of_it() {
        let cells = |rest: &str| {
            let cells = shown(|row| set_message_and_rest(row, b"m", rest.as_bytes()));
            cells
                .into_iter()
                .filter(|(name, _)| name != "fingerprint")
                .map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>()
                .join("; ")
        };
        assert_eq!(cells(""), "message=m; template=m");
        assert_eq!(
            cells("a.BadException: x\n\tat a.b(c)\n"),
            "message=m; stack_trace=a.BadException: x\n\tat a.b(c); exception=a.BadException; template=m"
        );
        assert_eq!(cells("more"), "message=m\nmore; template=m");
    }

    proptest! {
        #[test]
        fn strings_are_json(text in "[ -~\u{0}-\u{1f}ä😀\"\\\\]{0,40}") {
            let mut out = String::new();
            string(&mut out, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }
    }
}
