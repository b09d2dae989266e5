//! Rejects read again: the kept bytes of one reject flow in, with the header lines that it had; a row flows out, or the
//! reason why it still is none.

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef};
use arrow_buffer::Buffer;
use arrow_schema::ArrowError;
use manifests::Counts;

use crate::format::Grammar;
use crate::header::Header;
use crate::parse::{Block, Content, header_after, parse};
use crate::reject::REJECT_COLUMNS;

/// What became of a reject.
#[derive(Debug)]
pub enum Again {
    /// It is one row now.
    Row {
        /// The format's columns, then `parse` and `extra`, each of one value.
        columns: Vec<ArrayRef>,
        /// The event time, in microseconds since 1970.
        time: Option<i64>,
        /// `rows` is 1, `lines` what the record has; `recovered` and `extra` as it reads.
        counts: Counts,
    },
    /// It is no row; why, and at which byte of it.
    Reject {
        /// Why.
        reason: String,
        /// The byte.
        at: u64,
    },
    /// It is something else now: several records, a blank line, a header. It has to stay what it was, since what it was
    /// counted as would no longer add up.
    Other,
}

/// What header lines say that a reject kept; `None` where they say nothing to this format.
pub fn header_of(grammar: &dyn Grammar, lines: &str) -> Option<Header> {
    header_after(grammar, lines.as_bytes(), true, None)
}

/// Reads the bytes of a reject. `arrived` is when its object arrived, in microseconds since 1970 UTC.
pub fn read_again(grammar: &dyn Grammar, raw: &[u8], header: Option<&Header>, arrived: i64) -> Result<Again, ArrowError> {
    let content = Content::Records { is_first: false };
    let block = Block { text: Buffer::from_slice_ref(raw), offset: 0, content, header: header.cloned(), arrived };
    let parsed = parse(grammar, block, usize::MAX)?;
    let Counts { rows, rejected, blank, header, .. } = parsed.counts;
    Ok(match (rows, rejected, blank + header) {
        (1, 0, 0) => Again::Row { columns: parsed.rows, time: parsed.times.first().copied().flatten(), counts: parsed.counts },
        (0, 1, 0) => still(&parsed.rejects),
        _ => Again::Other,
    })
}

fn still(rejects: &[ArrayRef]) -> Again {
    let column = |name: &str| REJECT_COLUMNS.iter().position(|column| column.name == name).and_then(|at| rejects.get(at));
    let (Some(reason), Some(at)) = (column("reason"), column("reason_at")) else { return Again::Other };
    let at = at.as_primitive::<Int64Type>();
    // What no format saw has no place at which reading stopped.
    match at.is_null(0) {
        true => Again::Other,
        false => {
            Again::Reject { reason: String::from_utf8_lossy(reason.as_binary_view().value(0)).into_owned(), at: at.value(0).unsigned_abs() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::compile;
    use expect_test::{Expect, expect};
    use serde_json::{Value, json};

    /// Converts a text with one format and reads its rejects again with another.
    fn check(before: Value, after: Value, text: &str, expected: Expect) {
        let (before, after) = (compile(&before).unwrap(), compile(&after).unwrap());
        let block = Block {
            text: Buffer::from(text.as_bytes()),
            offset: 0,
            content: Content::Records { is_first: true },
            header: None,
            arrived: 0,
        };
        let parsed = parse(before.as_ref(), block, 100).unwrap();
        let mut found = String::new();
        for row in 0..parsed.reject_lines.len() {
            let text = |column: usize| {
                parsed.rejects[column].as_binary_view().is_valid(row).then(|| parsed.rejects[column].as_binary_view().value(row))
            };
            let lines = text(5).map(|lines| String::from_utf8(lines.to_vec()).unwrap());
            let header = lines.as_deref().and_then(|lines| header_of(after.as_ref(), lines));
            let raw = text(0).unwrap();
            let again = match read_again(after.as_ref(), raw, header.as_ref(), 0).unwrap() {
                Again::Row { counts, time, .. } => format!("row of {} lines, time {}", counts.lines, time.is_some()),
                Again::Reject { reason, at } => format!("at {at}: {reason}"),
                Again::Other => "other".into(),
            };
            let at = parsed.rejects[3].as_primitive::<Int64Type>();
            let at = if at.is_valid(row) { at.value(row).to_string() } else { "-".into() };
            found += &format!("{:?} with {lines:?} at {at} -> {again}\n", String::from_utf8_lossy(raw));
        }
        expected.assert_eq(&found);
    }

    #[test]
    fn a_reject_has_all_that_it_takes_to_read_it_again() {
        check(
            json!({"name": "iis-w3c"}),
            json!({"name": "iis-w3c"}),
            "#Date: 2026-02-06\n#Fields: date time c-ip\nsoon now 1\n#Fields: date time cs-method\nsoon now GET\n",
            expect![[r##"
                "soon now 1" with Some("#Date: 2026-02-06\n#Fields: date time c-ip") at 5 -> at 5: date and time are none like 2026-02-06 00:00:38
                "soon now GET" with Some("#Date: 2026-02-06\n#Fields: date time cs-method") at 5 -> at 5: date and time are none like 2026-02-06 00:00:38
            "##]],
        );
        let delimited = |kind: &str| json!({"name": "delimited", "columns": [{"name": "a", "type": kind}, {"name": "b"}]});
        check(
            delimited("int"),
            delimited("string"),
            "b,a\n1,2\n3,x\n",
            expect![[r#"
            "b,a" with None at 0 -> row of 1 lines, time false
        "#]],
        );
        check(
            json!("json"),
            json!("json"),
            &format!("{}\nno\n{{\"a\":1}} trailing\n", "x".repeat(200)),
            expect![[r#"
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" with None at - -> at 0: no JSON object starts here
            "no" with None at 0 -> at 0: no JSON object starts here
            "trailing" with None at 0 -> at 0: no JSON object starts here
        "#]],
        );
    }
}
