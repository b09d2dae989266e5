//! Records that are one JSON object: a table of fields and the text of a record flow in; cells flow out. Members of
//! objects inside can be columns of their own. What no field takes goes to `extra`; values never change their meaning:
//! one of another type than its column is a reject, a text column takes nested values as the JSON that they are. `null` is
//! the same as no member.

use std::borrow::Cow;

use super::fields::unfit;
use super::header::Extra;
use super::json_fields::{Json, members, skip_space};
use super::{Column, Reject, time};
use crate::columns::{Cell, Kind, Row};

/// A member that is a column.
#[derive(Debug)]
pub(super) struct Field {
    /// The member of the record that holds it; empty if that is the record.
    object: &'static str,
    /// Its key.
    key: &'static str,
    /// Whether the column holds JSON: strings keep their quotes then.
    is_json: bool,
    column: Column,
}

impl Field {
    /// A member of the record.
    pub(super) const fn new(key: &'static str, column: Column) -> Field {
        Field { object: "", key, is_json: false, column }
    }

    /// A member of the record that is kept as JSON.
    pub(super) const fn json(key: &'static str, column: Column) -> Field {
        Field { object: "", key, is_json: true, column }
    }

    /// A member of an object that is a member of the record.
    pub(super) const fn inside(object: &'static str, key: &'static str, column: Column) -> Field {
        Field { object, key, is_json: false, column }
    }

    /// The same, kept as JSON.
    pub(super) const fn json_inside(object: &'static str, key: &'static str, column: Column) -> Field {
        Field { object, key, is_json: true, column }
    }
}

/// The fields of a format.
#[derive(Debug)]
pub(super) struct Fields {
    fields: &'static [Field],
    columns: Vec<Column>,
    /// The keys of the objects that hold fields; the first one, which is empty, is the record.
    objects: Vec<&'static str>,
    /// The place of each field's object among them.
    holders: Vec<usize>,
}

/// The place of the record among the objects that hold fields.
const RECORD: usize = 0;

impl Fields {
    /// The fields, a column each, in their order.
    pub(super) fn new(fields: &'static [Field]) -> Fields {
        let mut objects = vec![""];
        for field in fields {
            if !objects.contains(&field.object) {
                objects.push(field.object);
            }
        }
        let holder = |field: &Field| objects.iter().position(|object| *object == field.object).unwrap_or(RECORD);
        let holders = fields.iter().map(holder).collect();
        Fields { fields, columns: fields.iter().map(|field| field.column.clone()).collect(), objects, holders }
    }

    /// The columns.
    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Reads a record.
    ///
    /// # Errors
    /// Text that is no JSON object, or more than one, and values that are not of their column's kind.
    pub(super) fn read(&self, record: &[u8], row: &mut Row<'_>) -> Result<(), Reject> {
        let mut reading = Reading { fields: self, record, next: 0, extra: Extra::default() };
        let end = members(record, |key, value| reading.member(row, key, value))?;
        let rest = skip_space(record, end);
        if rest < record.len() {
            return Err(Reject::new(rest, "text follows the JSON object"));
        }
        reading.extra.set(row);
        Ok(())
    }
}

/// A record while it is read.
struct Reading<'a> {
    fields: &'a Fields,
    record: &'a [u8],
    /// The field after the one that was found last: writers keep an order.
    next: usize,
    extra: Extra,
}

impl<'a> Reading<'a> {
    /// Takes a member of the record.
    fn member(&mut self, row: &mut Row<'_>, key: Cow<'a, [u8]>, value: Json<'a>) -> Result<(), Reject> {
        let place = self.find(RECORD, &key).filter(|column| row.cell(*column) == Cell::Null);
        let object = match &value {
            Json::Nested(text @ [b'{', ..]) => self.object(&key).map(|object| (object, *text)),
            _ => None,
        };
        match place {
            Some(column) => self.set(row, column, value)?,
            None if object.is_none() => self.add_extra(&String::from_utf8_lossy(&key), value),
            None => {}
        }
        let Some((object, text)) = object else { return Ok(()) };
        members(text, |key, value| self.member_inside(row, object, place.is_some(), &key, value)).map(|_| ())
    }

    /// Takes a member of an object inside. If that has a column as a whole, what no field takes is there.
    fn member_inside(&mut self, row: &mut Row<'_>, object: usize, is_kept: bool, key: &[u8], value: Json<'a>) -> Result<(), Reject> {
        match self.find(object, key).filter(|column| row.cell(*column) == Cell::Null) {
            Some(column) => self.set(row, column, value),
            None if is_kept => Ok(()),
            None => {
                self.add_extra(&format!("{}.{}", self.fields.objects[object], String::from_utf8_lossy(key)), value);
                Ok(())
            }
        }
    }

    /// The object that holds fields, by its key.
    fn object(&self, key: &[u8]) -> Option<usize> {
        self.fields.objects.iter().position(|object| !object.is_empty() && object.as_bytes() == key)
    }

    fn find(&mut self, object: usize, key: &[u8]) -> Option<usize> {
        let Fields { fields, holders, .. } = self.fields;
        let is_it = |n: &usize| {
            let known = fields[*n].key.as_bytes();
            // Most others differ in their length or at their end.
            holders[*n] == object && known.len() == key.len() && known.last() == key.last() && known == key
        };
        let found = (self.next..fields.len()).find(is_it).or_else(|| (0..self.next.min(fields.len())).find(is_it))?;
        self.next = found + 1;
        Some(found)
    }

    /// Sets a column. `-` is null, as it is everywhere in these logs.
    fn set(&self, row: &mut Row<'_>, column: usize, value: Json<'a>) -> Result<(), Reject> {
        let kind = self.fields.columns[column].kind;
        if matches!(value, Json::Null) {
            return Ok(());
        }
        let int = || value.int().filter(|value| kind != Kind::Int32 || i32::try_from(*value).is_ok());
        let is_set = match kind {
            Kind::Text => {
                self.set_text(row, column, value);
                return Ok(());
            }
            Kind::Int32 | Kind::Int64 => int().map(|value| row.int(column, value)),
            Kind::Double => value.double().map(|value| row.double(column, value)),
            Kind::Boolean => boolean(&value).map(|value| row.boolean(column, value)),
            Kind::Time => micros(&value).map(|micros| row.time(column, micros)),
            Kind::Bytes => None,
        };
        is_set.ok_or_else(|| unfit(&self.fields.columns, column, self.place_of(&value)))
    }

    fn set_text(&self, row: &mut Row<'_>, column: usize, value: Json<'a>) {
        if self.fields.fields[column].is_json {
            if let Json::Text(text) = &value {
                return row.owned(column, &quoted(text));
            }
        } else if matches!(&value, Json::Text(text) if text.as_ref() == b"-") {
            return;
        }
        match value.into_text() {
            Some(Cow::Borrowed(text)) => row.text(column, text),
            Some(Cow::Owned(text)) => row.owned(column, &String::from_utf8_lossy(&text)),
            None => {}
        }
    }

    fn add_extra(&mut self, name: &str, value: Json<'a>) {
        match value {
            Json::Text(text) => self.extra.text(name, &text),
            other => other.into_text().into_iter().for_each(|text| self.extra.json(name, &String::from_utf8_lossy(&text))),
        }
    }

    /// Where a value stands in the record; its start for one that was unescaped.
    fn place_of(&self, value: &Json<'_>) -> usize {
        match value {
            Json::Number(text) | Json::Nested(text) | Json::Text(Cow::Borrowed(text)) => self.place(text),
            _ => 0,
        }
    }

    /// Where a piece of the record stands in it.
    fn place(&self, piece: &[u8]) -> usize {
        (piece.as_ptr() as usize).saturating_sub(self.record.as_ptr() as usize).min(self.record.len())
    }
}

/// A text as JSON writes it.
fn quoted(text: &[u8]) -> String {
    serde_json::Value::from(String::from_utf8_lossy(text)).to_string()
}

fn boolean(value: &Json<'_>) -> Option<bool> {
    match value {
        Json::Boolean(value) => Some(*value),
        Json::Text(text) if text.as_ref() == b"true" => Some(true),
        Json::Text(text) if text.as_ref() == b"false" => Some(false),
        _ => None,
    }
}

/// Milliseconds since 1970, or an ISO 8601 time, in microseconds.
fn micros(value: &Json<'_>) -> Option<i64> {
    match value {
        Json::Number(_) => value.int()?.checked_mul(1_000),
        Json::Text(text) => time::iso_micros(text, 0),
        _ => None,
    }
}

/// Fails unless a record reads whole and its columns hold what others have read from it.
#[cfg(test)]
pub(super) fn check_columns(grammar: &dyn super::Grammar, fields: &[Field], record: &serde_json::Value) {
    use serde_json::Value;
    let explained = super::explain(grammar, record.to_string().as_bytes());
    assert_eq!(explained.outcome, super::Outcome::Row { mark: None, extra: None }, "{record}");
    for (field, (column, read)) in fields.iter().zip(&explained.columns) {
        let expected = if field.object.is_empty() { &record[field.key] } else { &record[field.object][field.key] };
        let is_same = match (column.kind, expected, read) {
            (_, Value::Null, None) => true,
            (_, Value::String(text), None) => text == "-",
            (Kind::Time, Value::Number(millis), Some(read)) => crate::columns::time_text(millis.as_i64().unwrap() * 1_000) == *read,
            (_, Value::String(text), Some(read)) if !field.is_json => text == read,
            (_, value, Some(read)) => *value == serde_json::from_str::<Value>(read).unwrap(),
            _ => false,
        };
        assert!(is_same, "{}: {expected} {read:?}", column.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Values::Repeating;
    use expect_test::{Expect, expect};

    static FIELDS: &[Field] = &[
        Field::new("time", Column::fixed("time", Kind::Time, "", Repeating, "when")),
        Field::new("name", Column::fixed("name", Kind::Text, "", Repeating, "who")),
        Field::json("object", Column::fixed("object", Kind::Text, "", Repeating, "what")),
        Field::inside("object", "port", Column::fixed("port", Kind::Int32, "", Repeating, "where")),
        Field::inside("hidden", "is", Column::fixed("is_hidden", Kind::Boolean, "", Repeating, "whether")),
        Field::json_inside("hidden", "list", Column::fixed("list", Kind::Text, "", Repeating, "which")),
    ];

    fn check(record: &str, expected: Expect) {
        let fields = Fields::new(FIELDS);
        let mut arena = String::new();
        let mut row = Row::new(record.as_bytes(), &mut arena, FIELDS.len());
        let shown = match fields.read(record.as_bytes(), &mut row) {
            Ok(()) => {
                let cells = (0..FIELDS.len()).map(|n| row.cell(n)).chain([row.extra()]);
                cells.map(|cell| row.shown(cell).unwrap_or_else(|| "∅".to_owned())).collect::<Vec<_>>().join(" | ")
            }
            Err(reject) => format!("{} {}", reject.at, reject.reason),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn members_become_columns() {
        check(
            r#"{"time":1770336038541,"name":"a","object":{"port":1,"x":[2]},"hidden":{"is":true,"list":"b","y":3}}"#,
            expect![[r#"1770336038541000 | a | {"port":1,"x":[2]} | 1 | 1 | "b" | {"hidden.y":3}"#]],
        );
        check(
            r#" {"hidden":{"list":[1, 2],"is":"false"}, "object":"text","name":"-","time":"2026-02-06T00:00:38Z"} "#,
            expect![[r#"1770336038000000 | ∅ | "text" | ∅ | 0 | [1, 2] | ∅"#]],
        );
        check(
            r#"{"name":{"a":1},"name":"twice","new \"one\"":null,"hidden":null,"time":null,"n":1.50,"t":"\u00e4"}"#,
            expect![[r#"∅ | {"a":1} | ∅ | ∅ | ∅ | ∅ | {"name":"twice","n":1.50,"t":"ä"}"#]],
        );
        check(r#"{"name":"\u00e4","object":{"port":"443","port":1}}"#, expect![[r#"∅ | ä | {"port":"443","port":1} | 443 | ∅ | ∅ | ∅"#]]);
        check("{}", expect!["∅ | ∅ | ∅ | ∅ | ∅ | ∅ | ∅"]);
    }

    #[test]
    fn rejects_say_where_and_why() {
        check(r#"{"object":{"port":2147483648}}"#, expect!["18 `port` is no integer"]);
        check(r#"{"object":{"port":"x"}}"#, expect!["19 `port` is no integer"]);
        check(r#"{"time":"yesterday"}"#, expect!["9 `time` is no time"]);
        check(r#"{"time":1.5}"#, expect!["8 `time` is no time"]);
        check(r#"{"hidden":{"is":1}}"#, expect!["16 `is_hidden` is no `true` or `false`"]);
        check(r#"{"name":"a"}{"name":"b"}"#, expect!["12 text follows the JSON object"]);
        check("[]", expect!["0 no JSON object starts here"]);
        check(r#"{"object":{"port":}}"#, expect!["10 a nested JSON value is not well-formed"]);
    }
}
