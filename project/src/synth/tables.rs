//! Tables of what a project produces, with columns from the format or the query, and partitions that Athena computes. The
//! project flows in, parts flow out.

use manifests::{ArcSpec, Dataset, MAIN_ROLE};
use serde_json::{Map, Value, json};

use super::ProjectOptions;
use super::names::{ProjectNames, logical};
use super::part::{Group, Parts, reference};
use super::resources::storage;
use crate::athena::{self, COMMENT_CHARACTERS_MAX, FIRST_DAY};
use crate::columns::{self, Known};
use crate::file::{Problem, Produced, Project};

/// Logical id of the database.
const DATABASE: &str = "Database";

/// A table to be made.
struct Table<'a> {
    arc: &'a ArcSpec,
    dataset: &'a Dataset,
    known: Known,
}

/// Adds the database and a table for the main sink of every conversion and query. Problems are queries that do not fit.
pub(crate) fn add(parts: &mut Parts, names: &ProjectNames, project: &Project, arcs: &[&ArcSpec], options: &ProjectOptions) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut tables: Vec<Table<'_>> = Vec::new();
    for arc in arcs {
        match table(project, arc, options) {
            Some(Ok(table)) => tables.push(table),
            Some(Err(problem)) => problems.push(problem),
            None => {}
        }
    }
    if tables.is_empty() {
        return problems;
    }
    parts.enter(Group::Base);
    let place = &names.placement;
    let description = format!("What {} {} produces", project.name, project.version);
    let database = json!({"CatalogId": place.account, "DatabaseInput": {"Name": names.database(), "Description": description}});
    let arn = place.arn("glue", &format!("database/{}", names.database()));
    parts.add(DATABASE, "AWS::Glue::Database", names.database(), arn, database).removed();
    parts.output("Database", "The tables of what the project produces", reference(DATABASE));
    tables.iter().for_each(|table| add_table(parts, names, table));
    problems
}

/// What is known of the table of an arc's main sink: given by the caller, else by the format or the query. `None` for arcs
/// that write no table, and for logs whose columns nobody has seen yet.
fn table<'a>(project: &Project, arc: &'a ArcSpec, options: &ProjectOptions) -> Option<Result<Table<'a>, Problem>> {
    if !matches!(arc.kind.as_str(), "convert" | "query") {
        return None;
    }
    let dataset = &arc.sinks.iter().find(|sink| sink.role == MAIN_ROLE)?.dataset;
    if let Some(known) = options.tables.get(&dataset.id().to_string()) {
        return Some(Ok(Table { arc, dataset, known: known.clone() }));
    }
    let produced = project.dataset(&dataset.id().to_string())?;
    // Planning over empty tables waits for nothing, so this ends on the thread that begins it.
    let known = futures::executor::block_on(columns::expected(project, &produced))?;
    let at = project.document["arcs"].as_array().and_then(|list| list.iter().position(|entry| entry["name"] == arc.id.arc.as_str()));
    let problem = |error: arcs::ArcsError| Problem {
        path: format!("arcs[{}].workload.sql", at.unwrap_or_default()),
        message: error.to_string(),
        fix: None,
    };
    Some(known.map(|known| Table { arc, dataset, known }).map_err(problem))
}

/// Whether the columns of an arc's table can be told only from its logs.
pub(crate) fn is_unknown(project: &Project, arc: &ArcSpec, options: &ProjectOptions) -> bool {
    matches!(arc.kind.as_str(), "convert" | "query") && table(project, arc, options).is_none()
}

/// The tables whose columns can be told only from their data.
pub fn untold(project: &Project, options: &ProjectOptions) -> Vec<Produced> {
    let arcs = super::deployed_arcs(project, options);
    let unknown = arcs.into_iter().filter(|arc| is_unknown(project, arc, options));
    let main = |arc: &ArcSpec| arc.sinks.iter().find(|sink| sink.role == MAIN_ROLE).map(|sink| sink.dataset.id().to_string());
    unknown.filter_map(main).filter_map(|id| project.dataset(&id)).collect()
}

fn comment(text: &str) -> String {
    let plain = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    plain.take(COMMENT_CHARACTERS_MAX).collect()
}

fn add_table(parts: &mut Parts, names: &ProjectNames, table: &Table<'_>) {
    parts.enter(Group::Arc(table.arc.id.arc.clone()));
    parts.begin("arcs", &table.arc.id.arc);
    let column = |name: &str, kind: String, meaning: &str| match meaning {
        "" => json!({"Name": name, "Type": kind}),
        meaning => json!({"Name": name, "Type": kind, "Comment": comment(meaning)}),
    };
    let known = &table.known;
    let columns = known.columns.iter().map(|found| column(&found.name, athena::athena_type(&found.kind), &found.meaning)).collect();
    let keys: Vec<Value> = known.partitions.iter().map(|key| column(&key.name, "string".to_owned(), &athena::named(key))).collect();
    let mut parameters: Map<String, Value> = Map::new();
    parameters.insert("EXTERNAL".to_owned(), "TRUE".into());
    parameters.insert("classification".to_owned(), "parquet".into());
    let location = &table.dataset.path_uri;
    let projected = athena::properties(known, athena::codec(table.arc), location, FIRST_DAY);
    parameters.extend(projected.into_iter().map(|(key, value)| (key, value.into())));
    let properties = json!({
        "CatalogId": names.placement.account,
        "DatabaseName": reference(DATABASE),
        "TableInput": {
            "Name": names.table(&table.dataset.id()),
            "Description": format!("{} by arc {}", table.dataset.id(), table.arc.id.arc),
            "TableType": "EXTERNAL_TABLE",
            "Parameters": parameters,
            "PartitionKeys": keys,
            "StorageDescriptor": storage(location, "parquet", columns),
        },
    });
    parts.leaf(&format!("Table{}", logical(&table.arc.id.arc)), "AWS::Glue::Table", properties);
}
