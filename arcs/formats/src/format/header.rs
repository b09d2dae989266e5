//! Fields that a header line names: names flow in, the places of their values in a row flow out.

use std::collections::BTreeSet;

use super::json_text::push_quoted;
use crate::columns::Row;

/// Where the value of a field goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Into a column, or what the format takes that number for.
    Column(usize),
    /// Into `extra`, under its name: the format has no column for it.
    Extra(String),
}

/// The places of named fields, in their order. Of fields with the same place all but the first go to `extra`.
pub(super) fn places<'a>(names: impl Iterator<Item = &'a str>, find: impl Fn(&str) -> Option<usize>) -> Vec<Place> {
    let mut taken = BTreeSet::new();
    let place = |name: &str| match find(name).filter(|column| taken.insert(*column)) {
        Some(column) => Place::Column(column),
        None => Place::Extra(name.to_owned()),
    };
    names.map(place).collect()
}

/// The fields that an option of a format lists: names between spaces or commas, each as it is or as `${name}`.
pub(super) fn listed(text: &str) -> impl Iterator<Item = &str> {
    let bare = |name| str::strip_prefix(name, "${").and_then(|name| name.strip_suffix('}')).unwrap_or(name);
    text.split([' ', ',', '\t', '\n']).filter(|name| !name.is_empty()).map(bare)
}

/// A JSON object of the fields that a format has no column for, as it grows. Nothing is allocated while there is none.
#[derive(Debug, Default)]
pub(super) struct Extra(String);

impl Extra {
    /// Adds a text.
    pub(super) fn text(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        push_quoted(&mut self.0, value);
    }

    /// Adds a value that is JSON already.
    pub(super) fn json(&mut self, name: &str, value: &str) {
        self.name(name);
        self.0.push_str(value);
    }

    fn name(&mut self, name: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        push_quoted(&mut self.0, name.as_bytes());
        self.0.push(':');
    }

    /// Gives all to a row.
    pub(super) fn set(mut self, row: &mut Row<'_>) {
        if !self.0.is_empty() {
            self.0.push('}');
            row.set_extra(&self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_places() {
        let find = |name: &str| ["a", "b"].iter().position(|known| *known == name);
        let expected = [Place::Column(1), Place::Extra("c".into()), Place::Column(0), Place::Extra("b".into())];
        assert_eq!(places(listed("b c,${a}  b"), find), expected);
    }

    #[test]
    fn extra_is_json() {
        let mut arena = String::new();
        let mut row = Row::new(b"", &mut arena, 0);
        Extra::default().set(&mut row);
        assert_eq!(row.shown(row.extra()), None);
        let mut extra = Extra::default();
        extra.text("a\"", b"\\ \n");
        extra.json("b", "[1]");
        extra.set(&mut row);
        assert_eq!(row.shown(row.extra()).unwrap(), r#"{"a\"":"\\ \n","b":[1]}"#);
    }
}
