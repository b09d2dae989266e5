//! Tables as Athena has them: what is known of a dataset's columns flows in; types, names and properties flow out, the same
//! for `arc ddl` and for the tables that a deployment makes.

pub use arcs::partition::FIRST_DAY;
use arcs::partition::PartitionKey;
use arcs::shape::PartitionColumn;
pub use arcs::sql::table_name;
use arcs::write::Codec;
use arrow::datatypes::{DataType, TimeUnit};
use manifests::ArcSpec;

use crate::columns::Known;

/// The longest comment that Athena keeps, in characters.
pub const COMMENT_CHARACTERS_MAX: usize = 255;

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

/// How the files of an arc are compressed.
pub fn codec(arc: &ArcSpec) -> Codec {
    let asked = arcs::shape::parquet(&arc.workload).ok().filter(|_| arc.kind == "convert");
    asked.unwrap_or_default().codec
}

/// The table's properties: how it is compressed, also by what Athena would write into it; and how partitions are projected,
/// so that no crawler and no `MSCK REPAIR` is ever needed. `location` ends in a slash; earlier days than `first_day`
/// (`2006-01-02`) are not looked for.
pub fn properties(known: &Known, codec: Codec, location: &str, first_day: &str) -> Vec<(String, String)> {
    let compression = match codec {
        Codec::Zstd => "ZSTD",
        Codec::Snappy => "SNAPPY",
        Codec::None => "UNCOMPRESSED",
    };
    let mut properties = vec![("parquet.compression".to_owned(), compression.to_owned())];
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

    #[test]
    fn tables_are_compressed_as_their_files_are() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
        let mut document = crate::render(&crate::Origin::File(folder.join("s3-access-logs.jsonnet")), &[]).unwrap();
        document["arcs"][0]["workload"]["compression"] = "snappy".into();
        let project = crate::judge(document, &folder).unwrap();
        let known = Known { columns: Vec::new(), partitions: Vec::new() };
        let of = |arc: &ArcSpec| properties(&known, codec(arc), "s3://b/", FIRST_DAY)[0].1.clone();
        let found: Vec<(&str, String)> = project.arcs.iter().map(|arc| (arc.kind.as_str(), of(arc))).collect();
        assert!(found.contains(&("convert", "SNAPPY".into())) && found.contains(&("query", "ZSTD".into())), "{found:?}");
        assert_eq!(properties(&known, Codec::None, "s3://b/", FIRST_DAY)[0].1, "UNCOMPRESSED");
    }
}
