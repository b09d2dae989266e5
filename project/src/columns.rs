//! The columns of a dataset before it has data: a checked project flows in; the columns that its formats and queries will
//! write flow out. Nothing is read but the project.

use std::sync::Arc;

use arcs::ArcsError;
use arcs::format::Column;
use arcs::partition::PartitionKey;
use arcs::shape::{PartitionColumn, Shape, Shaping, TableColumn};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::TableReference;
use datafusion::datasource::empty::EmptyTable;
use datafusion::prelude::SessionContext;
use manifests::{ArcSpec, Dataset, MAIN_ROLE};
use serde_json::Value;

use crate::file::{Owner, Produced, Project};

/// What is known of a table.
#[derive(Clone, Debug)]
pub struct Known {
    /// The columns of its files.
    pub columns: Vec<Described>,
    /// Its partition folders, outermost first.
    pub partitions: Vec<PartitionColumn>,
}

/// A column with what is known of its meaning.
#[derive(Clone, Debug)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: DataType,
    /// What it means and its unit; empty where nobody said.
    pub meaning: String,
}

impl From<&Column> for Described {
    fn from(column: &Column) -> Described {
        let meaning = match column.unit {
            "" => column.meaning.clone().into_owned(),
            unit => format!("{} ({unit})", column.meaning),
        };
        Described { name: column.name.clone().into_owned(), kind: column.kind.data_type(), meaning }
    }
}

impl From<&Field> for Described {
    fn from(field: &Field) -> Described {
        Described { name: field.name().clone(), kind: field.data_type().clone(), meaning: String::new() }
    }
}

impl From<&TableColumn> for Described {
    fn from(column: &TableColumn) -> Described {
        Described { meaning: column.meaning.clone(), ..(&column.field).into() }
    }
}

/// What a conversion writes.
pub fn of_shape(shape: &Shape) -> Known {
    let partitions = shape.partition_fields().iter().map(partition).collect();
    Known { columns: shape.columns.iter().map(Described::from).collect(), partitions }
}

/// A partition folder of that name and type.
pub fn partition(field: &Field) -> PartitionColumn {
    PartitionColumn { name: field.name().clone(), kind: field.data_type().clone() }
}

/// The columns of a dataset as far as the project alone tells: from the format that is converted, else from the query that
/// makes it. `None` where neither tells; an error where the query does not fit its sources.
pub async fn expected(project: &Project, produced: &Produced) -> Option<Result<Known, ArcsError>> {
    let (arc, role) = producer(project, produced)?;
    match converted(arc, role) {
        Some(known) => Some(Ok(known)),
        None => queried(project, arc).await,
    }
}

/// The table that a query arc writes; as [`planned`].
pub async fn queried(project: &Project, arc: &ArcSpec) -> Option<Result<Known, ArcsError>> {
    let schema = planned(project, arc).await?;
    Some(schema.map(|schema| Known { columns: described(&schema, &[]), partitions: keys_of(arc) }))
}

/// The arc that writes a dataset, and in which role; `None` for what a boundary takes in.
pub fn producer<'a>(project: &'a Project, produced: &'a Produced) -> Option<(&'a ArcSpec, &'a str)> {
    match &produced.owner {
        Owner::Arc { name, role } => Some((project.arc(name)?, role)),
        Owner::Boundary(_) => None,
    }
}

/// The table that a conversion writes into a sink; `None` for other arcs, and where the columns are in the logs.
pub fn converted(arc: &ArcSpec, role: &str) -> Option<Known> {
    let grammar = arc.workload.get("format").filter(|_| arc.kind == "convert").and_then(|format| arcs::format::compile(format).ok())?;
    if role == MAIN_ROLE {
        // Where the columns are in the logs, the committed files tell them.
        let shape = || Shape::new(&Shaping::read(&arc.workload).ok()?, grammar.as_ref()).ok();
        return grammar.inferred(&[]).is_none().then(shape).flatten().map(|shape| of_shape(&shape));
    }
    let day = PartitionColumn { name: PartitionKey::Dt.as_str().to_owned(), kind: DataType::Utf8 };
    Some(Known { columns: arcs::reject_columns().iter().map(Described::from).collect(), partitions: vec![day] })
}

/// The partition folders of an arc whose files do not tell: text.
fn keys_of(arc: &ArcSpec) -> Vec<PartitionColumn> {
    let column = |name: &str| PartitionColumn { name: name.to_owned(), kind: DataType::Utf8 };
    match arc.workload.get("partitions").and_then(Value::as_array) {
        Some(keys) => keys.iter().filter_map(Value::as_str).map(column).collect(),
        None => vec![column(PartitionKey::Dt.as_str())],
    }
}

/// The columns of a schema that are no partition folders.
pub fn described(schema: &Schema, partitions: &[PartitionColumn]) -> Vec<Described> {
    schema
        .fields()
        .iter()
        .filter(|field| partitions.iter().all(|partition| partition.name != *field.name()))
        .map(|field| field.as_ref().into())
        .collect()
}

/// The columns of the result of a query arc, planned over tables without rows. `None` where the arc is no query or the
/// columns of a source are not known; an error where the query does not fit its sources.
pub async fn planned(project: &Project, arc: &ArcSpec) -> Option<Result<SchemaRef, ArcsError>> {
    let text = |key: &str| arc.workload.get(key).and_then(Value::as_str);
    let sql = text("sql").or_else(|| text("builtin").and_then(arcs::workload::builtin)).filter(|_| arc.kind == "query")?;
    let session = SessionContext::new();
    for source in &arc.sources {
        let schema = source_schema(project, &source.dataset).await?;
        for name in [&source.role, &source.dataset.name, &source.dataset.name.to_lowercase().replace(['-', '.'], "_")] {
            let name = TableReference::bare(name.as_str());
            if !session.table_exist(name.clone()).unwrap_or(true) {
                let _ = session.register_table(name, Arc::new(EmptyTable::new(schema.clone())));
            }
        }
    }
    Some(arcs::sql::select(&session, sql).await.map(|frame| arcs::sql::plain_schema(frame.schema().as_arrow())))
}

/// The columns of a source with its partition folders: of a conversion, or of a query over such.
async fn source_schema(project: &Project, dataset: &Dataset) -> Option<SchemaRef> {
    let produced = project.dataset(&dataset.id().to_string())?;
    let (arc, role) = producer(project, &produced)?;
    let known = converted(arc, role);
    let partitions = known.as_ref().map_or_else(|| keys_of(arc), |known| known.partitions.clone());
    let partitions = partitions.into_iter().map(|column| Field::new(column.name, column.kind, true));
    let fields: Vec<Field> = match known {
        Some(known) => known.columns.into_iter().map(|column| Field::new(column.name, column.kind, true)).collect(),
        None => {
            let schema = Box::pin(planned(project, arc)).await?.ok()?;
            let lot = Field::new("lot", DataType::Utf8, true);
            let lot = schema.column_with_name("lot").is_none().then_some(lot);
            lot.into_iter().chain(schema.fields().iter().map(|field| field.as_ref().clone())).collect()
        }
    };
    let known = fields.iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    Some(Arc::new(Schema::new(fields.into_iter().chain(partitions.filter(|field| !known.contains(field.name()))).collect::<Vec<_>>())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(change: impl Fn(&mut Value)) -> Project {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
        let mut document = crate::render(&crate::Origin::File(folder.join("s3-access-logs.jsonnet")), &[]).unwrap();
        change(&mut document);
        crate::judge(document, &folder).unwrap()
    }

    #[tokio::test]
    async fn the_example_queries_fit_their_sources() {
        let project = example(|_| {});
        for arc in project.arcs.iter().filter(|arc| arc.kind == "query") {
            planned(&project, arc).await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn a_query_that_does_not_fit_is_an_error() {
        let project = example(|document| document["arcs"][1]["workload"]["sql"] = "SELECT bukket FROM main".into());
        let error = planned(&project, project.arc("countErrors").unwrap()).await.unwrap().unwrap_err().to_string();
        assert!(error.contains("bukket"), "{error}");
    }
}
