//! Types of columns in words of SQL, as commits hold them: arrow schemas flow in, words flow out, and the other way.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use manifests::NamedType;

use crate::columns::Kind;

/// The columns of a schema in words.
pub(crate) fn named(schema: &Schema) -> Vec<NamedType> {
    schema.fields().iter().map(|field| NamedType { name: field.name().clone(), kind: word(field.data_type()) }).collect()
}

/// The schema of columns in words; `None` where a word is not known here, or where there are no columns.
pub(crate) fn schema(columns: &[NamedType]) -> Option<SchemaRef> {
    let field = |column: &NamedType| Some(Field::new(&column.name, data_type(&column.kind)?, true));
    let fields: Option<Vec<Field>> = columns.iter().map(field).collect();
    fields.filter(|fields| !fields.is_empty()).map(|fields| Arc::new(Schema::new(fields)))
}

/// The word of a type; where SQL has none, arrow's own.
pub(crate) fn word(kind: &DataType) -> String {
    match (Kind::ALL.into_iter().find(|known| known.data_type() == *kind), kind) {
        (Some(known), _) => known.as_str().to_owned(),
        (None, DataType::Date32) => "date".to_owned(),
        (None, other) => other.to_string(),
    }
}

fn data_type(word: &str) -> Option<DataType> {
    match (Kind::find(word), word) {
        (Some(known), _) => Some(known.data_type()),
        (None, "date") => Some(DataType::Date32),
        (None, other) => other.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_read_back() {
        let list = DataType::new_list(DataType::Utf8, true);
        let others = [DataType::Date32, DataType::Decimal128(20, 2), DataType::Float32, list];
        for kind in Kind::ALL.map(Kind::data_type).into_iter().chain(others) {
            assert_eq!(data_type(&word(&kind)), Some(kind.clone()), "{}", word(&kind));
        }
        assert_eq!((word(&DataType::Int64), data_type("something")), ("bigint".to_owned(), None));
        assert_eq!(schema(&[]), None);
    }
}
