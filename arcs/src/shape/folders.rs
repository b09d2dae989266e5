//! The values of partition columns: arrays flow in; for each row the values as folders show them flow out, or why they
//! can be no folder.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Date32Type, Int32Type, Int64Type};
use chrono::Datelike;

use crate::partition::{FOLDER_BYTES_MAX, FOLDERS_BYTES_MAX, NO_VALUE, escape};

/// A partition column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionColumn {
    /// Its name.
    pub name: String,
    /// Its type: text, a whole number, a boolean or a date.
    pub kind: DataType,
}

/// The types that partition columns may have, with their names in project files and in the files' metadata.
pub(crate) const KINDS: [(&str, DataType); 5] = [
    ("string", DataType::Utf8),
    ("int", DataType::Int32),
    ("bigint", DataType::Int64),
    ("boolean", DataType::Boolean),
    ("date", DataType::Date32),
];

/// Whether a column of that type can be a partition.
pub(crate) fn is_kind(kind: &DataType) -> bool {
    KINDS.iter().any(|known| known.1 == *kind)
}

/// The different values of the partition columns in a block, in the order of their first rows.
#[derive(Debug, Default)]
pub(crate) struct Folders {
    /// Values as folders show them, with `/` between the columns.
    pub values: Vec<String>,
    /// The place in `values` of each row; `Err` says why it has none.
    pub rows: Vec<Result<u32, String>>,
}

/// The folders of rows. `columns` are the partition columns with their values.
pub(crate) fn folders(columns: &[(&PartitionColumn, &ArrayRef)], rows: usize) -> Folders {
    let (mut folders, mut places) = (Folders::default(), HashMap::<String, u32>::new());
    let mut joined = String::new();
    for row in 0..rows {
        let folder = join(columns, row, &mut joined);
        let place = folder.map(|()| match places.get(&joined) {
            Some(place) => *place,
            None => {
                let place = folders.values.len() as u32;
                folders.values.push(joined.clone());
                places.insert(joined.clone(), place);
                place
            }
        });
        folders.rows.push(place);
    }
    folders
}

fn join(columns: &[(&PartitionColumn, &ArrayRef)], row: usize, joined: &mut String) -> Result<(), String> {
    joined.clear();
    let mut bytes = 0;
    for (at, (column, array)) in columns.iter().enumerate() {
        let text = text(array, row).ok_or_else(|| format!("the value of partition column `{}` is no date of four digits", column.name))?;
        let shown = escape(&text);
        let folder = column.name.len() + 1 + shown.len();
        bytes += folder + 1;
        if folder > FOLDER_BYTES_MAX || bytes > FOLDERS_BYTES_MAX {
            return Err(format!("the value of partition column `{}` is too long for a folder", column.name));
        }
        let _ = write!(joined, "{}{shown}", if at == 0 { "" } else { "/" });
    }
    Ok(())
}

/// A value as text, empty where there is none; `None` for a date that readers would not take for one.
fn text(array: &ArrayRef, row: usize) -> Option<Cow<'_, str>> {
    if array.is_null(row) {
        return Some("".into());
    }
    Some(match array.data_type() {
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).to_string().into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string().into(),
        DataType::Boolean => array.as_boolean().value(row).to_string().into(),
        DataType::Date32 => {
            let date = Date32Type::to_naive_date_opt(array.as_primitive::<Date32Type>().value(row));
            date.filter(|date| (1..=9999).contains(&date.year()))?.to_string().into()
        }
        _ => String::from_utf8_lossy(array.as_binary_view_opt().map_or(NO_VALUE.as_bytes(), |texts| texts.value(row))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{BinaryViewArray, BooleanArray, Date32Array, Int64Array};
    use std::sync::Arc;

    fn column(name: &str, kind: DataType) -> PartitionColumn {
        PartitionColumn { name: name.into(), kind }
    }

    #[test]
    fn values_of_every_type_and_none() {
        let texts: ArrayRef = Arc::new(BinaryViewArray::from_iter([Some("a/b"), None, Some(""), Some("a/b")]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(-1), Some(2), None, Some(-1)]));
        let flags: ArrayRef = Arc::new(BooleanArray::from(vec![true, false, true, true]));
        let (a, b, c) = (column("a", DataType::Utf8), column("b", DataType::Int64), column("c", DataType::Boolean));
        let seen = folders(&[(&a, &texts), (&b, &numbers), (&c, &flags)], 4);
        let none = NO_VALUE;
        assert_eq!(seen.values, ["a%2Fb/-1/true", &format!("{none}/2/false"), &format!("{none}/{none}/true")]);
        assert_eq!(seen.rows, [Ok(0), Ok(1), Ok(2), Ok(0)]);
    }

    #[test]
    fn what_can_be_no_folder_says_why() {
        let fits = "x".repeat(FOLDER_BYTES_MAX - 2);
        let texts: ArrayRef = Arc::new(BinaryViewArray::from_iter([Some(fits.clone()), Some(fits + "x"), Some("é".repeat(60))]));
        let a = column("a", DataType::Utf8);
        let seen = folders(&[(&a, &texts)], 3);
        assert_eq!(seen.rows.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, false]);
        assert_eq!(folders(&[(&a, &texts); 3], 1).rows, [Err("the value of partition column `a` is too long for a folder".into())]);
        let dates: ArrayRef = Arc::new(Date32Array::from(vec![0, i32::MAX, 2_932_896, 2_932_897]));
        let d = column("d", DataType::Date32);
        let seen = folders(&[(&d, &dates)], 4);
        assert_eq!(seen.values, ["1970-01-01", "9999-12-31"]);
        assert!(seen.rows[1].is_err() && seen.rows[3].is_err());
    }
}
