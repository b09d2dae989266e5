//! Tables as Athena has them: what is known of a dataset's columns flows in; types, names and properties flow out, the same
//! for `arc ddl` and for the tables that a deployment makes.

use arcs::partition::PartitionKey;
use arcs::shape::PartitionColumn;
use arrow::datatypes::{DataType, TimeUnit};

use crate::columns::Known;

/// The longest comment that Athena keeps, in characters.
pub const COMMENT_CHARACTERS_MAX: usize = 255;
/// The first day that partitions are looked for, where nothing else is said: before the first cloud log was written.
pub const FIRST_DAY: &str = "2006-01-01";

/// The type of a column in Athena's words.
pub fn athena_type(kind: &DataType) -> String {
    match kind {
        DataType::Boolean => "boolean".into(),
        DataType::Int8 | DataType::UInt8 => "smallint".into(),
        DataType::Int16 => "smallint".into(),
        DataType::Int32 | DataType::UInt16 => "int".into(),
        DataType::Int64 | DataType::UInt32 => "bigint".into(),
        DataType::UInt64 => "decimal(20,0)".into(),
        DataType::Float16 | DataType::Float32 => "float".into(),
        DataType::Float64 => "double".into(),
        DataType::Date32 | DataType::Date64 => "date".into(),
        DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond | TimeUnit::Microsecond | TimeUnit::Nanosecond, _) => {
            "timestamp".into()
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "binary".into(),
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) | DataType::Decimal128(precision, scale) => {
            format!("decimal({precision},{scale})")
        }
        DataType::List(field) | DataType::LargeList(field) => format!("array<{}>", athena_type(field.data_type())),
        DataType::Struct(fields) => {
            let inner: Vec<String> = fields.iter().map(|field| format!("{}:{}", field.name(), athena_type(field.data_type()))).collect();
            format!("struct<{}>", inner.join(","))
        }
        DataType::Dictionary(_, value) => athena_type(value),
        _ => "string".into(),
    }
}

/// A name that needs no quotes: lower case letters, digits and `_`.
pub fn table_name(text: &str) -> String {
    text.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' }).collect()
}

/// The table's properties: partitions are projected, so that no crawler and no `MSCK REPAIR` is ever needed. `location`
/// ends in a slash; earlier days than `first_day` (`2006-01-02`) are not looked for.
pub fn properties(known: &Known, location: &str, first_day: &str) -> Vec<(String, String)> {
    let mut properties = vec![("parquet.compression".to_owned(), "ZSTD".to_owned())];
    if known.partitions.is_empty() {
        return properties;
    }
    properties.push(("projection.enabled".to_owned(), "true".to_owned()));
    for key in &known.partitions {
        let settings = projection(key, first_day);
        properties.extend(settings.into_iter().map(|(name, value)| (format!("projection.{}.{name}", key.name), value)));
    }
    let folders: String = known.partitions.iter().map(|key| format!("{0}=${{{0}}}/", key.name)).collect();
    properties.push(("storage.location.template".to_owned(), format!("{location}{folders}")));
    properties
}

/// What to know of a partition whose values queries have to name. Athena takes text alone for those.
pub fn named(key: &PartitionColumn) -> String {
    match PartitionKey::find(&key.name) {
        Some(_) => String::new(),
        None => format!("{}; a query has to name its values, as text and as folders show them", athena_type(&key.kind)),
    }
}

/// How Athena finds the values of a key by itself. Other keys, such as lots and columns, have to be named in the query:
/// there are too many to try, or nobody knows them beforehand.
fn projection(key: &PartitionColumn, first_day: &str) -> Vec<(&'static str, String)> {
    let date = |format: &str, first: String| {
        vec![
            ("type", "date".to_owned()),
            ("format", format.to_owned()),
            ("range", format!("{first},NOW+1DAYS")),
            ("interval", "1".to_owned()),
            ("interval.unit", "DAYS".to_owned()),
        ]
    };
    match PartitionKey::find(&key.name) {
        Some(PartitionKey::Dt) => date("yyyy-MM-dd", first_day.to_owned()),
        Some(PartitionKey::TimeYmd) => date("yyyyMMdd", first_day.replace('-', "")),
        Some(PartitionKey::Hour) => {
            vec![("type", "integer".to_owned()), ("range", "0,23".to_owned()), ("digits", "2".to_owned())]
        }
        Some(PartitionKey::Lot) | None => vec![("type", "injected".to_owned())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_results() {
        let kinds =
            [DataType::UInt64, DataType::Utf8View, DataType::Date32, DataType::Decimal128(10, 2), DataType::new_list(DataType::Int8, true)];
        assert_eq!(kinds.map(|kind| athena_type(&kind)), ["decimal(20,0)", "string", "date", "decimal(10,2)", "array<smallint>"]);
    }
}
