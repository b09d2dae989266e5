//! Columns that a project file declares for a source that may have no data yet: JSON flows in, a schema flows out.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde_json::Value;

use crate::columns::Kind;
use crate::format::{self, Grammar};
use crate::lineage::reject_columns;
use crate::shape::{Shape, Shaping};
use crate::workload::Problem;

/// The schema of the rejects of a conversion, where a schema is declared.
const REJECTS_SCHEMA: &str = "rejects";

/// Types of declared columns where a schema is declared.
const TYPES: [(&str, DataType); 6] = [
    ("string", DataType::Utf8),
    ("int", DataType::Int32),
    ("bigint", DataType::Int64),
    ("double", DataType::Float64),
    ("boolean", DataType::Boolean),
    ("date", DataType::Date32),
];

/// A schema as `schemas` declares it; otherwise what is wrong with it.
pub(crate) fn schema_of(declared: &Value) -> Result<SchemaRef, String> {
    match declared {
        Value::String(name) if name == REJECTS_SCHEMA => {
            Ok(Arc::new(Schema::new(reject_columns().iter().map(|column| column.kind.field(&column.name)).collect::<Vec<_>>())))
        }
        Value::Object(workload) if workload.get("format").is_some_and(|format| format::compile(format).is_ok()) => converted(declared),
        Value::Object(columns) if columns.get("name").and_then(Value::as_str).is_none_or(|name| format::find(name).is_none()) => {
            let fields: Result<Vec<Field>, String> = columns.iter().map(|(name, kind)| field_of(name, kind)).collect();
            Ok(Arc::new(Schema::new(fields?)))
        }
        Value::String(_) | Value::Object(_) => {
            let wrong = |problem: &format::Problem| {
                format!("{} {} (or `rejects`, or {{column: type}})", problem.at, problem.message).trim_start().to_owned()
            };
            let grammar = format::compile(declared).map_err(|problems| problems.iter().map(wrong).collect::<Vec<_>>().join("; "))?;
            shaped(grammar.as_ref(), &Shaping::default())
        }
        _ => Err("must be the name of a log format, or {column: type}".into()),
    }
}

/// The columns of what a convert arc with these parameters writes.
fn converted(workload: &Value) -> Result<SchemaRef, String> {
    let said = |problems: Vec<Problem>| problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>().join("; ");
    let grammar = format::compile(&workload["format"]).map_err(|_| "names no log format".to_owned())?;
    shaped(grammar.as_ref(), &Shaping::read(workload).map_err(said)?)
}

/// Columns and partitions of a table.
fn shaped(grammar: &dyn Grammar, shaping: &Shaping) -> Result<SchemaRef, String> {
    let said = |problems: Vec<Problem>| problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>().join("; ");
    let shape = Shape::new(shaping, grammar).map_err(said)?;
    let columns = shape.columns.iter().map(|column| column.field.clone());
    let partitions = shape.partition_fields();
    Ok(Arc::new(Schema::new(columns.chain(partitions).collect::<Vec<_>>())))
}

fn field_of(name: &str, kind: &Value) -> Result<Field, String> {
    let kind = kind.as_str().unwrap_or_default();
    if kind == "timestamp" {
        return Ok(Kind::Time.field(name));
    }
    let found = TYPES.iter().find(|known| known.0 == kind).map(|known| Field::new(name, known.1.clone(), true));
    let known = || TYPES.iter().map(|known| known.0).collect::<Vec<_>>().join(", ");
    found.ok_or_else(|| format!("`{kind}` is no type of column `{name}`: use {}, timestamp", known()))
}
