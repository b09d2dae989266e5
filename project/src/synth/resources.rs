//! What the file declares: buckets, databases, tables, buses, how jobs are computed. Entries of the file flow in, parts
//! flow out, under the names that the file gives.

use boundary::BoundarySpec;
use serde_json::{Value, json};

use super::ProjectOptions;
use super::activities;
use super::arrival;
use super::bucket::Bucket;
use super::names::{ProjectNames, logical};
use super::part::{Parts, listed_tags, object, reference};
use crate::file::Project;

/// How jobs are computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Compute {
    /// What the file calls it, `arcs` where it does not.
    pub name: String,
    /// Kinds of capacity in the order in which they are tried.
    pub kinds: &'static [&'static str],
}

/// What a compute environment's `compute` may be: its word and the capacity it stands for.
pub(crate) const COMPUTE: [(&str, &[&str]); 3] = [("both", &["spot", "fargate"]), ("spot", &["spot"]), ("fargate", &["fargate"])];

/// The project's one compute environment: the first that the file declares. All arcs share its queue.
pub(crate) fn compute(project: &Project) -> Compute {
    let entry = project.resources.iter().find(|resource| resource["type"] == "aws:core:computeEnvironment");
    let text = |key: &str| entry.and_then(|entry| entry[key].as_str());
    let word = text("compute").unwrap_or("both");
    let found = COMPUTE.iter().find(|known| known.0.eq_ignore_ascii_case(word)).unwrap_or(&COMPUTE[0]);
    Compute { name: text("computeEnvironmentName").unwrap_or("arcs").to_owned(), kinds: found.1 }
}

/// Adds what the file declares, or of that only the resource called `only`.
pub(crate) fn add(parts: &mut Parts, names: &ProjectNames, project: &Project, boundaries: &[&BoundarySpec], options: &ProjectOptions) {
    let is_wanted = |resource: &&Value| options.only_resource.as_ref().is_none_or(|only| resource["name"] == only.as_str());
    for resource in project.resources.iter().filter(is_wanted) {
        let name = resource["name"].as_str().unwrap_or_default();
        parts.begin("resources", name);
        let id = format!("Resource{}", logical(name));
        match resource["type"].as_str().unwrap_or_default() {
            "aws:core:s3Bucket" => add_bucket(parts, names, project, boundaries, resource, &id, options),
            "aws:core:glueDatabase" => add_database(parts, names, resource, &id, options),
            "aws:core:glueTable" => add_table(parts, names, project, resource, &id, options),
            "aws:core:eventBus" => {
                let name = text(resource, "eventBusName");
                let arn = names.placement.arn("events", &format!("event-bus/{name}"));
                parts.add(&id, "AWS::Events::EventBus", name.clone(), arn, json!({"Name": name}));
            }
            // Compute environments are made where there are jobs.
            _ => {}
        }
    }
}

fn text(resource: &Value, key: &str) -> String {
    resource[key].as_str().unwrap_or_default().to_owned()
}

fn add_bucket(
    parts: &mut Parts,
    names: &ProjectNames,
    project: &Project,
    boundaries: &[&BoundarySpec],
    resource: &Value,
    id: &str,
    options: &ProjectOptions,
) {
    let name = text(resource, "bucketName");
    let (notifications, after) = arrival::notifications(project, boundaries, resource);
    let bucket = Bucket {
        is_versioned: resource["versioned"] == true,
        is_kept: resource["removeOnDestroy"] != true,
        kms_key: json!(options.kms_key),
        tags: listed_tags(resource["tags"].as_object()),
        notifications,
        after,
        statements: activities::export_statements(names, project, &name),
        name,
        ..Bucket::default()
    };
    bucket.add(parts, &names.placement, id);
}

/// Adds a database, unless it outlived an earlier stack: it is a name that tables hang on, and not in every region can
/// CloudFormation take it over by that name.
fn add_database(parts: &mut Parts, names: &ProjectNames, resource: &Value, id: &str, options: &ProjectOptions) {
    let name = text(resource, "databaseName");
    if options.present_databases.contains(&name) {
        return;
    }
    let place = &names.placement;
    let properties = json!({"CatalogId": place.account, "DatabaseInput": {"Name": name}});
    let arn = place.arn("glue", &format!("database/{name}"));
    parts.add(id, "AWS::Glue::Database", name, arn, properties).kept(resource["removeOnDestroy"] != true);
}

/// The database that a reference means: a resource of this project as a reference to it, another by its name.
fn database(project: &Project, text: &str, options: &ProjectOptions) -> Value {
    let is_it = |resource: &&Value| resource["type"] == "aws:core:glueDatabase" && resource["name"] == text;
    match project.resources.iter().find(is_it) {
        Some(resource) if options.only_resource.is_some() || is_present(resource, options) => resource["databaseName"].clone(),
        Some(_) => reference(&format!("Resource{}", logical(text))),
        // `arn:aws:glue:…:database/name`, `ref:aws:name:…:glueDatabase:name`.
        None => text.rsplit([':', '/']).next().unwrap_or(text).into(),
    }
}

fn is_present(database: &Value, options: &ProjectOptions) -> bool {
    database["databaseName"].as_str().is_some_and(|name| options.present_databases.contains(name))
}

/// The databases that the file declares: their names, and whether they outlive their stack.
pub fn declared_databases(project: &Project) -> Vec<(String, bool)> {
    let declared = project.resources.iter().filter(|resource| resource["type"] == "aws:core:glueDatabase");
    declared.map(|resource| (text(resource, "databaseName"), resource["removeOnDestroy"] != true)).collect()
}

/// How Glue reads a format: input, output, SerDe, its parameters.
fn serde_of(format: &str) -> (&'static str, &'static str, &'static str, Value) {
    const TEXT: &str = "org.apache.hadoop.mapred.TextInputFormat";
    const TEXT_OUT: &str = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat";
    match format.to_ascii_lowercase().as_str() {
        "json" => (TEXT, TEXT_OUT, "org.openx.data.jsonserde.JsonSerDe", json!({})),
        "csv" => (TEXT, TEXT_OUT, "org.apache.hadoop.hive.serde2.OpenCSVSerde", json!({})),
        "tsv" => (TEXT, TEXT_OUT, "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe", json!({"field.delim": "\t"})),
        "orc" => (
            "org.apache.hadoop.hive.ql.io.orc.OrcInputFormat",
            "org.apache.hadoop.hive.ql.io.orc.OrcOutputFormat",
            "org.apache.hadoop.hive.ql.io.orc.OrcSerde",
            json!({}),
        ),
        "avro" => (
            "org.apache.hadoop.hive.ql.io.avro.AvroContainerInputFormat",
            "org.apache.hadoop.hive.ql.io.avro.AvroContainerOutputFormat",
            "org.apache.hadoop.hive.serde2.avro.AvroSerDe",
            json!({}),
        ),
        _ => (
            "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
            "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
            "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
            json!({"serialization.format": "1"}),
        ),
    }
}

/// The formats that tables are declared in.
pub(crate) const DATA_FORMATS: [&str; 6] = ["parquet", "json", "csv", "tsv", "orc", "avro"];

/// Where a table's files lie and how they are read.
pub(crate) fn storage(location: &str, format: &str, columns: Vec<Value>) -> Value {
    let (input, output, library, parameters) = serde_of(format);
    json!({
        "Columns": columns,
        "Location": location,
        "InputFormat": input,
        "OutputFormat": output,
        "SerdeInfo": {"SerializationLibrary": library, "Parameters": parameters},
    })
}

fn columns(list: &Value) -> Vec<Value> {
    let column = |entry: &Value| {
        object(json!({"Name": entry["name"], "Type": entry["type"], "Comment": entry.get("comment").cloned().unwrap_or(Value::Null)}))
    };
    list.as_array().into_iter().flatten().map(column).collect()
}

fn add_table(parts: &mut Parts, names: &ProjectNames, project: &Project, resource: &Value, id: &str, options: &ProjectOptions) {
    let (name, schema) = (text(resource, "tableName"), &resource["schema"]);
    let format = schema["dataFormat"].as_str().unwrap_or("parquet");
    let location = format!("{}/", text(resource, "pathURI").trim_end_matches('/'));
    let properties = json!({
        "CatalogId": names.placement.account,
        "DatabaseName": database(project, &text(resource, "databaseRef"), options),
        "TableInput": object(json!({
            "Name": name,
            "Description": resource["description"],
            "TableType": "EXTERNAL_TABLE",
            "Parameters": {"EXTERNAL": "TRUE", "classification": format.to_ascii_lowercase()},
            "PartitionKeys": columns(&schema["partitions"]),
            "StorageDescriptor": storage(&location, format, columns(&schema["columns"])),
        })),
    });
    parts.leaf(id, "AWS::Glue::Table", properties);
}
