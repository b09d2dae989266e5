//! What AWS asks of the resources that a file declares, and of the tables of Glue that arcs add to: names, tags, columns.
//! The file's values flow in, problems flow out.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::aws::Deployment;
use super::fields::Problems;
use super::placement::bucket_uri;
use super::{column_type, graph};
use crate::file::Problem;
use crate::forms;
use crate::synth;

/// The longest name of a database, a table or a column of Glue, in bytes.
const GLUE_BYTES_MAX: usize = 255;
/// The longest comment of a column, in bytes.
const COMMENT_BYTES_MAX: usize = 255;

/// Reports resources that AWS would refuse, or that would be something else than the file says.
pub fn check(deployment: &Deployment<'_>, problems: &Problems) {
    for (path, resource) in deployment.list("resources") {
        match resource["type"].as_str().unwrap_or_default() {
            "aws:core:s3Bucket" => check_bucket(&path, resource, deployment, problems),
            "aws:core:glueDatabase" => check_text(&path, resource, "databaseName", problems, check_glue),
            "aws:core:glueTable" => check_table(&path, resource, problems),
            "aws:core:eventBus" => check_bus(&path, resource, deployment, problems),
            "aws:core:computeEnvironment" => check_compute(&path, resource, problems),
            _ => {}
        }
    }
    for key in ["bucketName", "computeEnvironmentName", "databaseName"] {
        same(deployment, key, problems);
    }
    check_glue_sinks(deployment, problems);
}

/// Tags that are kept and not applied.
pub fn notes(deployment: &Deployment<'_>) -> Vec<Problem> {
    let is_tagged =
        |resource: &Value| resource["type"] == "aws:core:glueDatabase" && resource["tags"].as_object().is_some_and(|tags| !tags.is_empty());
    let message = "are kept and not applied: CloudFormation gives databases of Glue no tags";
    let tagged = deployment.list("resources").filter(|(_, resource)| is_tagged(resource));
    tagged.map(|(path, _)| Problem { path: format!("{path}.tags"), message: message.to_owned(), fix: None }).collect()
}

fn check_text(path: &str, resource: &Value, key: &str, problems: &Problems, check: fn(String, &str, &Problems)) {
    if let Some(text) = resource[key].as_str() {
        check(format!("{path}.{key}"), text, problems);
    }
}

fn check_bucket(path: &str, resource: &Value, deployment: &Deployment<'_>, problems: &Problems) {
    if let Some(bucket) = resource["bucketName"].as_str() {
        let at = format!("{path}.bucketName");
        if let Err(message) = forms::bucket(bucket) {
            problems.add(at, message);
        } else if deployment.names.placement.store_buckets().iter().any(|store| store == bucket) {
            problems.add(at, format!("`{bucket}` is a store of the placement, which the bootstrap makes"));
        }
    }
    if let Some(tags) = resource["tags"].as_object() {
        check_tags(&format!("{path}.tags"), tags, problems);
    }
}

fn check_tags(path: &str, tags: &Map<String, Value>, problems: &Problems) {
    if let Err(message) = forms::tag_count(tags.len()) {
        problems.add(path, message);
    }
    for (key, value) in tags {
        let text = match value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
            _ => Err(format!("the tag `{key}` must have a text")),
        };
        if let Err(message) = text.and_then(|text| forms::tag(key, &text)) {
            problems.add(path, message);
        }
    }
}

fn check_bus(path: &str, resource: &Value, deployment: &Deployment<'_>, problems: &Problems) {
    let Some(bus) = resource["eventBusName"].as_str() else { return };
    let at = format!("{path}.eventBusName");
    if let Err(message) = forms::bus(bus) {
        problems.add(at, message);
    } else if bus == deployment.names.placement.event_bus() {
        problems.add(at, format!("`{bus}` is the bus of the placement, which the bootstrap makes"));
    }
}

fn check_compute(path: &str, resource: &Value, problems: &Problems) {
    let words = synth::COMPUTE.map(|known| known.0);
    if let Some(word) = resource["compute"].as_str().filter(|word| !words.iter().any(|known| known.eq_ignore_ascii_case(word))) {
        problems.add(format!("{path}.compute"), format!("`{word}` is none of {}", words.join(", ")));
    }
}

fn check_table(path: &str, resource: &Value, problems: &Problems) {
    check_text(path, resource, "tableName", problems, check_glue);
    check_text(path, resource, "pathURI", problems, |at, uri, problems| match bucket_uri(uri) {
        Err(message) => problems.add(at, message),
        Ok(uri) => graph::check_store_bucket(at, &uri, problems),
    });
    // A database of elsewhere is named by the end of its ARN.
    if let Some(reference) = resource["databaseRef"].as_str().filter(|text| text.starts_with("arn:")) {
        check_glue(format!("{path}.databaseRef"), reference.rsplit([':', '/']).next().unwrap_or_default(), problems);
    }
    let schema = &resource["schema"];
    if let Some(format) =
        schema["dataFormat"].as_str().filter(|format| !synth::DATA_FORMATS.iter().any(|known| known.eq_ignore_ascii_case(format)))
    {
        problems.add(format!("{path}.schema.dataFormat"), format!("`{format}` is none of {}", synth::DATA_FORMATS.join(", ")));
    }
    if schema["columns"].as_array().is_some_and(Vec::is_empty) {
        problems.add(format!("{path}.schema.columns"), "has no column");
    }
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for (key, is_partition) in [("columns", false), ("partitions", true)] {
        for (column, at) in schema[key].as_array().into_iter().flatten().zip(0..) {
            let at = format!("{path}.schema.{key}[{at}]");
            check_column(&at, column, is_partition, problems);
            let Some(name) = column["name"].as_str() else { continue };
            match known.get(&name.to_lowercase()) {
                Some(first) => {
                    problems
                        .add(format!("{at}.name"), format!("`{name}` is {first} already: Athena has one column of a name, in any case"));
                }
                None => drop(known.insert(name.to_lowercase(), at)),
            }
        }
    }
}

fn check_column(path: &str, column: &Value, is_partition: bool, problems: &Problems) {
    if let Some(name) = column["name"].as_str()
        && (!(1..=GLUE_BYTES_MAX).contains(&name.len()) || name.chars().any(char::is_control))
    {
        problems.add(format!("{path}.name"), format!("must have 1 to {GLUE_BYTES_MAX} bytes in one line"));
    }
    if let Some(Err((message, fix))) = column["type"].as_str().map(|kind| column_type::check(kind, is_partition)) {
        problems.add_fix(format!("{path}.type"), message, fix);
    }
    if column["comment"].as_str().is_some_and(|comment| comment.len() > COMMENT_BYTES_MAX || comment.chars().any(char::is_control)) {
        problems.add(format!("{path}.comment"), format!("must have at most {COMMENT_BYTES_MAX} bytes in one line"));
    }
}

/// The name of a database or a table of Glue. It becomes part of ARNs in policies, where some signs are patterns.
fn check_glue(path: String, name: &str, problems: &Problems) {
    let lower = name.to_lowercase();
    let is_sign = |letter: char| letter.is_control() || "*?/:$\"`".contains(letter);
    if name.is_empty() || name.len() > GLUE_BYTES_MAX {
        problems.add(path, format!("must have 1 to {GLUE_BYTES_MAX} bytes"));
    } else if name.contains(is_sign) || name.trim() != name {
        let message = format!("`{name}` is no name in Glue: use lower-case letters, digits, `_` and `-`");
        problems.add(path, message);
    } else if lower != name {
        problems.add_fix(path, format!("`{name}` would be found as `{lower}` only: Glue keeps lower case"), Some(format!("use `{lower}`")));
    }
}

/// Tables that arcs add partitions to; a sink that names none is reported by the workload.
fn check_glue_sinks(deployment: &Deployment<'_>, problems: &Problems) {
    for (path, sink) in deployment.drafts.iter().filter(|draft| draft.kind == Some("glue")).flat_map(|draft| &draft.sinks) {
        let Some(rest) = sink.dataset.path_uri.strip_prefix("glue://") else { continue };
        let mut parts = rest.trim_end_matches('/').split('/');
        let (Some(catalog), Some(database), Some(table)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let at = format!("{path}.pathURI");
        let is_catalog = matches!(catalog.len(), 0 | 12) && catalog.bytes().all(|byte| byte.is_ascii_digit());
        if !is_catalog {
            let message = format!("`{catalog}` is no catalog: use an account's twelve digits");
            problems.add_fix(at.clone(), message, Some(format!("glue:///{database}/{table} for this account's")));
        }
        [database, table].into_iter().for_each(|name| check_glue(at.clone(), name, problems));
    }
}

/// Reports two resources that would be one thing.
fn same(deployment: &Deployment<'_>, key: &str, problems: &Problems) {
    let mut known: BTreeMap<&str, String> = BTreeMap::new();
    for (path, resource) in deployment.list("resources") {
        let Some(name) = resource[key].as_str() else { continue };
        match known.get(name) {
            Some(first) => problems.add(format!("{path}.{key}"), format!("`{name}` is {first} already")),
            None => drop(known.insert(name, path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;
    use crate::verify::aws_tests::said;

    fn check(resources: Value, expected: Expect) {
        let change = |file: &mut Value| {
            let list = file["resources"].as_array_mut().unwrap();
            list.push(json!({"type": "aws:core:glueDatabase", "name": "db", "databaseName": "mydb"}));
            list.extend(resources.as_array().unwrap().iter().cloned());
        };
        expected.assert_eq(&said(change));
    }

    fn table(name: &str, schema: Value) -> Value {
        json!({"type": "aws:core:glueTable", "name": name, "databaseRef": "db", "tableName": name, "pathURI": "s3://lake-data/t/", "schema": schema})
    }

    fn column(name: &str, kind: &str) -> Value {
        json!({"name": name, "type": kind})
    }

    #[test]
    fn columns() {
        let good =
            json!({"columns": [column("bucketOwner", "string"), column("my bytes", "bigint")], "partitions": [column("dt", "string")]});
        check(json!([table("good", good)]), expect![[""]]);
        check(
            json!([
                table("twice", json!({"columns": [column("a", "string"), column("A", "int")], "partitions": [column("a", "string")]})),
                table(
                    "types",
                    json!({"columns": [column("a", "strnig"), column("b", "STRING")], "partitions": [column("p", "array<int>")]})
                ),
                table("none", json!({"columns": []})),
                table(
                    "names",
                    json!({"columns": [column("", "string"), {"name": "c", "type": "int", "comment": "x".repeat(256)}], "dataFormat": "x"})
                ),
            ]),
            expect![[r#"
                resources[2].schema.columns[1].name: `A` is resources[2].schema.columns[0] already: Athena has one column of a name, in any case
                resources[2].schema.partitions[0].name: `a` is resources[2].schema.columns[0] already: Athena has one column of a name, in any case
                resources[3].schema.columns[0].type: `strnig` is no type of a column [did you mean `string`?]
                resources[3].schema.columns[1].type: `STRING` is a type in lower case only [use `string`]
                resources[3].schema.partitions[0].type: `array<int>` is no type of a partition: those are simple [string]
                resources[4].schema.columns: has no column
                resources[5].schema.dataFormat: `x` is none of parquet, json, csv, tsv, orc, avro
                resources[5].schema.columns[0].name: must have 1 to 255 bytes in one line
                resources[5].schema.columns[1].comment: must have at most 255 bytes in one line
            "#]],
        );
        check(
            json!([
                table("empty", json!({})),
                table("typo", json!({"column": []})),
                table("kinds", json!({"columns": [{"name": 1}, "x"], "partitions": {}}))
            ]),
            expect![[r#"
                resources[2].schema.columns: is missing
                resources[3].schema.columns: is missing [rename `column`]
                resources[3].schema.column: is not a known field [did you mean `columns`?]
                resources[4].schema.columns[1]: must be an object, not text
                resources[4].schema.columns[0].name: must be text, not a number
                resources[4].schema.columns[0].type: is missing
                resources[4].schema.partitions: must be a list, not an object
            "#]],
        );
    }

    #[test]
    fn where_tables_lie() {
        let place = |name: &str, key: &str, value: &str| {
            let mut table = table(name, json!({"columns": [column("a", "int")]}));
            table[key] = value.into();
            table
        };
        check(
            json!([
                place("a", "pathURI", "s3://"),
                place("b", "pathURI", "s3://test-clusterless-manifest-123456789012-us-east-2/datasets/"),
                place("c", "databaseRef", "data"),
                place("d", "tableName", "a*/b"),
                place("g", "databaseRef", "arn:aws:glue:us-east-2:123456789012:database/*"),
                place("e", "tableName", "a\nb"),
                place("f", "tableName", "Tab"),
            ]),
            expect![[r#"
                resources[4].databaseRef: `data` is of type aws:core:s3Bucket, and databaseRef names one of aws:core:glueDatabase
                resources[2].pathURI: `` is no bucket name: 3 to 63 lower-case letters, digits, `-` and `.`, a letter or digit at both ends
                resources[3].pathURI: lies in test-clusterless-manifest-123456789012-us-east-2, where a placement keeps its own files [use another bucket]
                resources[5].tableName: `a*/b` is no name in Glue: use lower-case letters, digits, `_` and `-`
                resources[6].databaseRef: `*` is no name in Glue: use lower-case letters, digits, `_` and `-`
                resources[7].tableName: `a
                b` is no name in Glue: use lower-case letters, digits, `_` and `-`
                resources[8].tableName: `Tab` would be found as `tab` only: Glue keeps lower case [use `tab`]
            "#]],
        );
    }

    #[test]
    fn buses_and_tags() {
        let bus = |name: &str, bus: &str| json!({"type": "aws:core:eventBus", "name": name, "eventBusName": bus});
        let tagged = |name: &str, tags: Value| json!({"type": "aws:core:s3Bucket", "name": name, "bucketName": format!("lake-{name}"), "tags": tags});
        check(
            json!([bus("a", "default"), bus("b", "TEST-arc-events-us-east-2"), bus("c", "")]),
            expect![[r#"
            resources[2].eventBusName: `default` is no name of a bus: EventBridge keeps `default` and what begins with `aws.`
            resources[3].eventBusName: `TEST-arc-events-us-east-2` is the bus of the placement, which the bootstrap makes
            resources[4].eventBusName: `` is no name of a bus: 1 to 256 letters, digits, `-`, `_` and `.`
        "#]],
        );
        let many: Map<String, Value> = (0..51).map(|at| (format!("k{at}"), "v".into())).collect();
        check(
            json!([
                tagged("good", json!({"team": "web", "Team": 1})),
                tagged("many", many.into()),
                tagged("bad", json!({"aws:x": "v", "": "x", "o": {"a": 1}}))
            ]),
            expect![[r#"
                resources[3].tags: 51 tags are more than the 50 that a thing can have
                resources[4].tags: `aws:x` is no key of a tag: AWS keeps those that begin with `aws:`
                resources[4].tags: `` is no key of a tag: 1 to 128 letters, digits, spaces and _ . : / = + - @
                resources[4].tags: the tag `o` must have a text
            "#]],
        );
        let database = json!({"type": "aws:core:glueDatabase", "name": "tagged", "databaseName": "tagged", "tags": {"team": "web"}});
        check(
            json!([database]),
            expect![[r#"
            resources[2].tags: are kept and not applied: CloudFormation gives databases of Glue no tags
        "#]],
        );
    }

    #[test]
    fn tables_that_arcs_add_to() {
        let said = |uri: &str| {
            said(|file| {
                file["arcs"] = json!([{"type": "glueAddPartitions", "name": "add", "sources": {"main": {"name": "logs", "version": "1"}},
                    "sinks": {"main": {"name": "table", "version": "1", "pathURI": uri}}, "workload": {}}]);
            })
        };
        let uris = ["glue://123456789012/db/t", "glue:///*/*", "glue:///mydb/*", "glue://notanaccount/db/t", "glue:///MyDB/Tab"];
        expect![[r#"
            -
            arcs[0].sinks.main.pathURI: `*` is no name in Glue: use lower-case letters, digits, `_` and `-`
            -
            arcs[0].sinks.main.pathURI: `*` is no name in Glue: use lower-case letters, digits, `_` and `-`
            -
            arcs[0].sinks.main.pathURI: `notanaccount` is no catalog: use an account's twelve digits [glue:///db/t for this account's]
            -
            arcs[0].sinks.main.pathURI: `MyDB` would be found as `mydb` only: Glue keeps lower case [use `mydb`]
            arcs[0].sinks.main.pathURI: `Tab` would be found as `tab` only: Glue keeps lower case [use `tab`]
        "#]]
        .assert_eq(&uris.map(said).join("-\n"));
    }
}
