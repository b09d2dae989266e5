//! The columns of a dataset, before and after it has data: a checked project and its stores flow in, columns flow out.
//! Of data no more than footers is read, and those only where commits do not name the columns.

use std::sync::Arc;

use arcs::committed::{CommittedFiles, LotFiles};
use arcs::format::{Column, Grammar};
use arcs::partition::PartitionKey;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::TableReference;
use datafusion::datasource::empty::EmptyTable;
use datafusion::prelude::SessionContext;
use manifests::{ArcSpec, Dataset, MAIN_ROLE, Stores};
use project::{Owner, Produced, Project};
use serde_json::Value;

use crate::committed;

/// What is known of a table.
#[derive(Clone, Debug)]
pub struct Known {
    /// The columns of its files.
    pub columns: Vec<Described>,
    /// Names of its partition folders, outermost first.
    pub partitions: Vec<String>,
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

/// What a conversion through `grammar` writes.
pub fn of_grammar(grammar: &dyn Grammar, partitions: &[PartitionKey]) -> Known {
    let columns = arcs::output_columns(grammar, partitions).iter().map(Described::from).collect();
    Known { columns, partitions: partitions.iter().map(|key| key.as_str().to_owned()).collect() }
}

/// The columns of a dataset: from the format that was converted, else from its committed files, else from the query that
/// will make it. `None` where nothing of that tells.
pub async fn of_dataset(project: &Project, stores: &Stores, produced: &Produced) -> anyhow::Result<Option<Known>> {
    let Some((arc, role)) = producer(project, produced) else { return Ok(None) };
    if let Some(known) = converted(arc, role) {
        return Ok(Some(known));
    }
    if let Some(known) = committed_files(stores, &produced.dataset).await? {
        return Ok(Some(known));
    }
    let columns = planned(project, arc).await.transpose()?;
    let known = |schema: SchemaRef| Known { columns: described(&schema, &[]), partitions: names(&partitions_of(arc)) };
    Ok(columns.map(known))
}

fn producer<'a>(project: &'a Project, produced: &'a Produced) -> Option<(&'a ArcSpec, &'a str)> {
    match &produced.owner {
        Owner::Arc { name, role } => Some((project.arc(name)?, role)),
        Owner::Boundary(_) => None,
    }
}

fn converted(arc: &ArcSpec, role: &str) -> Option<Known> {
    let grammar = arc.workload.get("format").filter(|_| arc.kind == "convert").and_then(|format| arcs::format::compile(format).ok())?;
    if role == MAIN_ROLE {
        // Where the columns are in the logs, the committed files tell them.
        return grammar.inferred(&[]).is_none().then(|| of_grammar(grammar.as_ref(), &partitions_of(arc)));
    }
    Some(Known { columns: arcs::reject_columns().iter().map(Described::from).collect(), partitions: names(&[PartitionKey::Dt]) })
}

fn partitions_of(arc: &ArcSpec) -> Vec<PartitionKey> {
    match arc.workload.get("partitions").and_then(Value::as_array) {
        Some(keys) => keys.iter().filter_map(Value::as_str).filter_map(PartitionKey::find).collect(),
        None => vec![PartitionKey::Dt],
    }
}

fn names(keys: &[PartitionKey]) -> Vec<String> {
    keys.iter().map(|key| key.as_str().to_owned()).collect()
}

fn described(schema: &Schema, partitions: &[String]) -> Vec<Described> {
    schema.fields().iter().filter(|field| !partitions.contains(field.name())).map(|field| field.as_ref().into()).collect()
}

/// What the committed Parquet files of a dataset have together; `None` where there is no file.
async fn committed_files(stores: &Stores, dataset: &Dataset) -> anyhow::Result<Option<Known>> {
    let session = SessionContext::new();
    let manifests = committed::manifests(stores, dataset).await?;
    let lots: Vec<LotFiles<'_>> = manifests.iter().map(LotFiles::of).collect();
    let Some(files) = CommittedFiles::open(&session.state(), stores, dataset, &lots).await? else { return Ok(None) };
    let schema = datafusion::catalog::TableProvider::schema(&files);
    let is_folder = |field: &&Arc<Field>| files.is_partition(field.name());
    let partitions: Vec<String> = schema.fields().iter().filter(is_folder).map(|field| field.name().clone()).collect();
    Ok(Some(Known { columns: described(&schema, &partitions), partitions }))
}

/// The columns of the result of a query arc, planned over tables without rows. `None` where the arc is no query or the
/// columns of a source are not known; an error where the query does not fit its sources.
pub async fn planned(project: &Project, arc: &ArcSpec) -> Option<anyhow::Result<SchemaRef>> {
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
    Some(arcs::sql::select(&session, sql).await.map(|frame| arcs::sql::plain_schema(frame.schema().as_arrow())).map_err(Into::into))
}

/// The columns of a source with its partition folders: of a conversion, or of a query over such.
async fn source_schema(project: &Project, dataset: &Dataset) -> Option<SchemaRef> {
    let produced = project.dataset(&dataset.id().to_string())?;
    let (arc, role) = producer(project, &produced)?;
    let partitions = names(&partitions_of(arc)).into_iter().map(|name| Field::new(name, DataType::Utf8, true));
    let fields: Vec<Field> = match converted(arc, role) {
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
        let mut document = project::render(&project::Origin::File(folder.join("s3-access-logs.jsonnet")), &[]).unwrap();
        change(&mut document);
        project::judge(document, &folder).unwrap()
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
