//! Fields of text formats: what stands between two delimiters flows in, a cell by the kind of its column flows out.
//! `-` is null. A number or a time that does not read is never a null.

use memchr::memchr;

use super::{Column, Reject, time};
use crate::columns::{Kind, Row};

/// Digits before a division by a power of ten stops being exact.
const EXACT_DIGITS: usize = 15;

/// What follows in a text that starts with another, which is short. A call to compare so few bytes takes longer than to look
/// at each; and where there are none, processors of today take longer still.
#[inline]
pub(super) fn after<'a>(text: &'a [u8], start: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = text.split_at_checked(start.len())?;
    head.iter().zip(start).all(|(one, other)| one == other).then_some(rest)
}

/// Sets a text; `-` is null.
#[inline]
pub(super) fn set_text(row: &mut Row<'_>, column: usize, value: &[u8]) {
    if value != b"-" {
        row.text(column, value);
    }
}

/// Sets a cell by the kind of its column; `-` is null, times are ISO 8601 and UTC where they name no zone. `at` is where
/// the value stands in the record.
///
/// # Errors
/// A value that is not of that kind.
#[inline]
pub(super) fn set(row: &mut Row<'_>, columns: &[Column], column: usize, value: &[u8], at: usize) -> Result<(), Reject> {
    let Some(kind) = columns.get(column).map(|column| column.kind) else { return Ok(()) };
    if value == b"-" {
        return Ok(());
    }
    let is_set = match kind {
        Kind::Text | Kind::Bytes => {
            row.text(column, value);
            Some(())
        }
        Kind::Int32 => int(value).filter(|value| i32::try_from(*value).is_ok()).map(|value| row.int(column, value)),
        Kind::Int64 => int(value).map(|value| row.int(column, value)),
        Kind::Double => decimal(value).map(|value| row.double(column, value)),
        Kind::Time => time::iso_micros(value, 0).map(|micros| row.time(column, micros)),
        Kind::Boolean => None,
    };
    is_set.ok_or_else(|| unfit(columns, column, at))
}

/// The reject for a value that is not of its column's kind.
#[cold]
pub(super) fn unfit(columns: &[Column], column: usize, at: usize) -> Reject {
    let (name, kind) = columns.get(column).map_or(("", Kind::Text), |column| (column.name.as_ref(), column.kind));
    let what = match kind {
        Kind::Int32 | Kind::Int64 => "integer",
        Kind::Double => "number",
        Kind::Time => "time",
        Kind::Boolean => "`true` or `false`",
        Kind::Text | Kind::Bytes => "text",
    };
    Reject::new(at, format!("`{name}` is no {what}"))
}

/// An integer with or without minus; `None` for anything else, or more than 64 bits hold.
#[inline]
pub(super) fn int(text: &[u8]) -> Option<i64> {
    match text {
        [b'-', digits @ ..] => whole(digits).map(|value| -value),
        digits => whole(digits),
    }
}

/// Digits as a number; `None` for anything else, or more than 64 bits hold.
#[inline]
pub(super) fn whole(digits: &[u8]) -> Option<i64> {
    match digits.len() {
        0 => None,
        // So few that they cannot be too many, which then need not be asked of each.
        1..=18 => {
            let (value, is_number) = digits.iter().fold((0i64, true), |(value, is_number), byte| {
                let digit = byte.wrapping_sub(b'0');
                (value.wrapping_mul(10).wrapping_add(i64::from(digit)), is_number & (digit < 10))
            });
            is_number.then_some(value)
        }
        19 => digits.iter().try_fold(0i64, |value, byte| value.checked_mul(10)?.checked_add(i64::from(time::digit(*byte)?))),
        _ => None,
    }
}

/// A number with or without minus, point and exponent.
#[inline]
pub(super) fn decimal(text: &[u8]) -> Option<f64> {
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1.0, digits),
        digits => (1.0, digits),
    };
    let point = memchr(b'.', digits).unwrap_or(digits.len());
    let (before, after) = (&digits[..point], digits.get(point + 1..).unwrap_or_default());
    let is_plain = !before.is_empty() && (point == digits.len() || !after.is_empty()) && digits.len() <= EXACT_DIGITS;
    if !is_plain {
        return slow_decimal(text);
    }
    // Both are exact, so that their quotient is rounded once, as it should be.
    let value = before.iter().chain(after).try_fold(0u64, |value, byte| Some(value * 10 + u64::from(time::digit(*byte)?)));
    value.map_or_else(|| slow_decimal(text), |value| Some(sign * (value as f64 / POWERS_OF_TEN[after.len()])))
}

/// The powers of ten that a plain number can be divided by.
const POWERS_OF_TEN: [f64; EXACT_DIGITS + 1] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

fn slow_decimal(text: &[u8]) -> Option<f64> {
    let is_number = text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'));
    std::str::from_utf8(text).ok()?.parse().ok().filter(|value: &f64| is_number && value.is_finite())
}

/// Surplus fields as a JSON array of texts, split at spaces outside quotes.
pub(super) fn surplus_json(surplus: &[u8]) -> String {
    let text = String::from_utf8_lossy(surplus);
    let (mut fields, mut inside) = (vec![String::new()], false);
    for letter in text.chars() {
        match letter {
            '"' => inside = !inside,
            ' ' if !inside => fields.push(String::new()),
            other => fields.last_mut().into_iter().for_each(|field| field.push(other)),
        }
    }
    serde_json::Value::from(fields).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_as_logs_write_them() {
        assert_eq!((int(b"-1"), int(b"0042"), int(b"9223372036854775807")), (Some(-1), Some(42), Some(i64::MAX)));
        for text in ["", "-", "+1", "1.0", "1e3", "9223372036854775808", "--1", " 1"] {
            assert_eq!(int(text.as_bytes()), None, "{text}");
        }
        assert_eq!((decimal(b"0.001"), decimal(b"-1"), decimal(b"1e-3")), (Some(0.001), Some(-1.0), Some(0.001)));
        assert_eq!(decimal(b"0.000000000000000000001"), Some(1e-21));
        for text in ["", "-", ".", ".5.", "nan", "inf", "1e999", "0x1", "1 "] {
            assert_eq!(decimal(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn numbers_that_are_too_large_for_their_column_are_rejects() {
        let columns = [Column::fixed("port", Kind::Int32, "", super::super::Values::Repeating, "a port")];
        let mut arena = String::new();
        let mut row = Row::new(b"", &mut arena, 1);
        assert!(set(&mut row, &columns, 0, b"2147483647", 0).is_ok());
        let reject = set(&mut row, &columns, 0, b"2147483648", 7).unwrap_err();
        assert_eq!(reject, Reject::new(7, "`port` is no integer"));
    }

    proptest! {
        #[test]
        fn decimals_are_those_of_the_standard_library(value in "-?[0-9]{1,12}(\\.[0-9]{1,8})?") {
            prop_assert_eq!(decimal(value.as_bytes()), value.parse().ok());
        }
    }
}
