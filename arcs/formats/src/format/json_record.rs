//! Records that are one JSON object with known members: a table of members flows in, a function that reads by it flows
//! out. Members that the table does not know go to `extra`, an object under their own names.

use std::borrow::Cow;

use super::json_fields::{Json, members, skip_space};
use super::time::iso_micros;
use super::{Parsed, Reject};
use crate::columns::{Cell, Row};

/// A member that is known.
#[derive(Debug)]
pub(super) struct Member {
    /// Its name, as it is written.
    pub name: &'static str,
    /// Its column; of no meaning for [`As::Inside`].
    pub column: usize,
    /// How it reads.
    pub read: As,
}

/// How a member reads.
#[derive(Debug)]
pub(super) enum As {
    /// As text: strings without quotes, everything else as it is written. An empty string is text.
    Text,
    /// As text, where `-` is null.
    Word,
    /// As an integer, also one in quotes; anything else is a reject.
    Int,
    /// As a time in milliseconds since 1970.
    EpochMillis,
    /// As an ISO 8601 time in a string.
    IsoTime,
    /// As an object whose members are known in turn; anything else but null goes to `extra`.
    Inside(&'static [Member]),
}

/// Reads a record that is one object and nothing else. `required` are columns that must not stay null, each with the
/// reason of the reject.
pub(super) fn read(
    record: &[u8],
    table: &'static [Member],
    required: &[(usize, &'static str)],
    row: &mut Row<'_>,
) -> Result<Parsed, Reject> {
    let mut extra = String::new();
    let end = object(record, table, row, &mut extra)?;
    let rest = skip_space(record, end);
    if rest < record.len() {
        return Err(Reject::new(rest, "text follows the JSON object"));
    }
    if let Some((_, reason)) = required.iter().find(|(column, _)| row.cell(*column) == Cell::Null) {
        return Err(Reject::new(end, *reason));
    }
    if !extra.is_empty() {
        extra.push('}');
        row.set_extra(&extra);
    }
    Ok(Parsed::Row)
}

/// Reads the object that `text` starts with; gives where it ends.
fn object(text: &[u8], table: &'static [Member], row: &mut Row<'_>, extra: &mut String) -> Result<usize, Reject> {
    let place = |value: &[u8]| (value.as_ptr() as usize).checked_sub(text.as_ptr() as usize).filter(|at| *at < text.len()).unwrap_or(0);
    // Members mostly come in the order of the table.
    let mut next = 0;
    members(text, |key, value| {
        let found = table[next..].iter().position(|member| member.name.as_bytes() == key.as_ref()).map(|at| next + at);
        let found = found.or_else(|| table[..next].iter().position(|member| member.name.as_bytes() == key.as_ref()));
        let Some(at) = found else {
            add_extra(extra, &key, &value);
            return Ok(());
        };
        next = at + 1;
        let Member { column, read, .. } = &table[at];
        let wrong = |value: &Json<'_>, reason| Err(Reject::new(bytes(value).map_or(0, place), reason));
        match (read, value) {
            (_, Json::Null) => {}
            (As::Word, Json::Text(text)) if text.as_ref() == b"-" => {}
            (As::Text | As::Word, value) => row.text(*column, &value.into_text().unwrap_or_default()),
            (As::Int, value) => match value.int() {
                Some(value) => row.int(*column, value),
                None => return wrong(&value, "a member that is a whole number is something else"),
            },
            (As::EpochMillis, value) => match value.int().and_then(|millis| millis.checked_mul(1_000)) {
                Some(micros) => row.time(*column, micros),
                None => return wrong(&value, "the time is not in milliseconds since 1970"),
            },
            (As::IsoTime, value) => match bytes(&value).and_then(|text| iso_micros(text, 0)) {
                Some(micros) => row.time(*column, micros),
                None => return wrong(&value, "the time is none of ISO 8601"),
            },
            (As::Inside(table), Json::Nested(nested)) if nested.starts_with(b"{") => {
                object(nested, table, row, extra).map_err(|reject| Reject { at: place(nested) + reject.at, ..reject })?;
            }
            (As::Inside(_), value) => add_extra(extra, &key, &value),
        }
        Ok(())
    })
}

fn bytes<'v>(value: &'v Json<'_>) -> Option<&'v [u8]> {
    match value {
        Json::Number(text) | Json::Nested(text) => Some(text),
        Json::Text(text) => Some(text),
        Json::Null | Json::Boolean(_) => None,
    }
}

/// Adds a member to a JSON object that is being written.
pub(super) fn add_extra(extra: &mut String, key: &[u8], value: &Json<'_>) {
    let quoted = |text: &[u8]| serde_json::to_string(&String::from_utf8_lossy(text)).unwrap_or_default();
    extra.push(if extra.is_empty() { '{' } else { ',' });
    extra.push_str(&quoted(key));
    extra.push(':');
    extra.push_str(&match value {
        Json::Null => Cow::Borrowed("null"),
        Json::Boolean(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
        Json::Number(text) | Json::Nested(text) => String::from_utf8_lossy(text),
        Json::Text(text) => Cow::Owned(quoted(text)),
    });
}
