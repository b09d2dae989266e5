//! Parts that would be one: two with one logical id, of which a template keeps the later alone, and two things of a kind
//! with one name, of which AWS refuses the second. Parts flow in, problems flow out, each with both entries of the file.

use std::collections::BTreeMap;

use serde_json::Value;

use super::part::{Entry, Part, Parts};
use super::{ProjectNames, ProjectOptions};
use crate::columns::Known;
use crate::file::{Problem, Project};

/// What of a project would be one thing on AWS; nothing for another placement.
pub(crate) fn clashes(project: &Project) -> Vec<Problem> {
    let Some(names) = ProjectNames::of(project) else { return Vec::new() };
    // Names do not depend on columns, and what those are takes planning.
    let unplanned = || Known { columns: Vec::new(), partitions: Vec::new() };
    let tables = project.produced().iter().map(|produced| (produced.dataset.id().to_string(), unplanned())).collect();
    let options = ProjectOptions { tables, ..ProjectOptions::preview(&names) };
    let mut parts = Parts::new();
    super::add(&mut parts, &names, project, &options);
    of_parts(&parts.all, &project.document)
}

/// The clashes of parts, one for each two entries of the file.
pub(crate) fn of_parts(parts: &[Part], document: &Value) -> Vec<Problem> {
    let databases: BTreeMap<&str, &str> = parts.iter().map(|part| (part.id.as_str(), part.name.as_str())).collect();
    let (mut ids, mut named) = (BTreeMap::new(), BTreeMap::new());
    let mut told: Vec<(&Option<Entry>, &Option<Entry>)> = Vec::new();
    let mut problems = Vec::new();
    for part in parts {
        let id = format!("`{}` in the template", part.id);
        let thing = thing(part, &databases);
        let first = earlier(&mut ids, id.clone(), part).map(|first| (first, id));
        let first = first.or_else(|| thing.and_then(|thing| Some((earlier(&mut named, thing.clone(), part)?, thing))));
        let Some((first, what)) = first else { continue };
        if !told.contains(&(&first.entry, &part.entry)) {
            told.push((&first.entry, &part.entry));
            problems.push(problem(first, part, &what, document));
        }
    }
    problems
}

/// The part that was `what` before, if any; else `part` is it from now on.
fn earlier<'a>(known: &mut BTreeMap<String, &'a Part>, what: String, part: &'a Part) -> Option<&'a Part> {
    let first = *known.entry(what).or_insert(part);
    (!std::ptr::eq(first, part)).then_some(first)
}

/// What AWS knows a part as: its type and the name that no other of that type can have.
fn thing(part: &Part, databases: &BTreeMap<&str, &str>) -> Option<String> {
    let kind = part.body["Type"].as_str()?;
    let name = match kind {
        "AWS::Glue::Table" => {
            let properties = &part.body["Properties"];
            let database = &properties["DatabaseName"];
            let own = || databases.get(database["Ref"].as_str()?).copied();
            format!("{}.{}", database.as_str().or_else(own)?, properties["TableInput"]["Name"].as_str()?).to_lowercase()
        }
        // Names of roles and policies differ in more than case.
        "AWS::IAM::Role" | "AWS::IAM::ManagedPolicy" => part.name.to_lowercase(),
        _ => part.name.clone(),
    };
    let short = name.rsplit(['/', ':']).next().unwrap_or_default();
    let noun = kind.strip_prefix("AWS::").unwrap_or(kind).replace("::", " ");
    (!short.is_empty()).then(|| format!("the {noun} `{short}`"))
}

fn problem(first: &Part, second: &Part, what: &str, document: &Value) -> Problem {
    let place = |entry: &Entry| {
        let list = document[entry.list].as_array().into_iter().flatten();
        let at = list.zip(0..).find(|(found, _)| found["name"] == entry.name.as_str()).map_or(0, |(_, at)| at);
        format!("{}[{at}]", entry.list)
    };
    let (path, other) = match (&second.entry, &first.entry) {
        (Some(second), Some(first)) => (place(second), format!("`{}` ({})", first.name, place(first))),
        (Some(entry), None) | (None, Some(entry)) => (place(entry), "the project itself".to_owned()),
        (None, None) => ("project".to_owned(), "the project itself".to_owned()),
    };
    let fix = Some("give one of them, or what it writes, another name".to_owned());
    Problem { path, message: format!("makes {what}, as {other} does"), fix }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::super::fixture::{document, project};
    use super::*;
    use crate::verify::judge;

    fn check(list: &str, more: Value, expected: Expect) {
        let mut document = document();
        document["activities"] = json!([]);
        document[list].as_array_mut().unwrap().extend(more.as_array().unwrap().iter().cloned());
        let problems = judge(document, Path::new("/")).err().unwrap_or_default();
        let line = |problem: &Problem| format!("{}: {}\n", problem.path, problem.message);
        expected.assert_eq(&problems.iter().map(line).collect::<String>());
    }

    fn copy(name: &str, sink: &str, version: &str) -> Value {
        let uri = format!("s3://test-lake-data/copies/{name}/");
        json!({"type": "copy", "name": name, "sources": {"main": {"name": "logs", "version": "1"}},
               "sinks": {"main": {"name": sink, "version": version, "pathURI": uri}}})
    }

    #[test]
    fn two_ids_that_would_be_one() {
        check(
            "resources",
            json!([{"type": "aws:core:s3Bucket", "name": "data-policy", "bucketName": "my-other"}]),
            expect![[r#"
            resources[1]: makes `ResourceDataPolicy` in the template, as `data` (resources[0]) does
        "#]],
        );
        let boundary = json!({"type": "watch", "name": "in-queue", "dataset": {"name": "more", "version": "1", "pathURI": "s3://test-lake-data/more/"}});
        check(
            "boundaries",
            json!([boundary]),
            expect![[r#"
            boundaries[2]: makes `BoundaryInQueue` in the template, as `in` (boundaries[0]) does
        "#]],
        );
        check(
            "arcs",
            json!([copy("archive-role", "a", "1"), copy("errors-silent-alarm", "b", "1")]),
            expect![[r#"
            arcs[3]: makes `ArcArchiveRole` in the template, as `archive` (arcs[2]) does
            arcs[4]: makes `ArcErrorsSilentAlarm` in the template, as `errors` (arcs[1]) does
        "#]],
        );
    }

    #[test]
    fn two_names_that_would_be_one() {
        check(
            "arcs",
            json!([copy("c1", "q", "1.0"), copy("c2", "q", "1-0"), copy("c3", "a-1", "2"), copy("c4", "a", "1-2")]),
            expect![[r#"
                arcs[4]: makes the CloudWatch Alarm `test-lake-1-0-silent-q-1-0`, as `c1` (arcs[3]) does
                arcs[6]: makes the CloudWatch Alarm `test-lake-1-0-silent-a-1-2`, as `c3` (arcs[5]) does
            "#]],
        );
        let table = |name: &str, database: &str| {
            json!({"type": "aws:core:glueTable", "name": name, "databaseRef": database, "tableName": "tab", "pathURI": "s3://test-lake-data/t/",
                   "schema": {"columns": [{"name": "a", "type": "string"}], "dataFormat": "parquet"}})
        };
        let database = |name: &str| json!({"type": "aws:core:glueDatabase", "name": name, "databaseName": name});
        check(
            "resources",
            json!([database("one"), database("two"), table("t1", "one"), table("t2", "two"), table("t3", "one")]),
            expect![[r#"
                resources[5]: makes the Glue Table `one.tab`, as `t1` (resources[3]) does
            "#]],
        );
        check(
            "resources",
            json!([database("test_lake_1_0")]),
            expect![[r#"
            resources[1]: makes the Glue Database `test_lake_1_0`, as the project itself does
        "#]],
        );
        let bus = |name: &str| json!({"type": "aws:core:eventBus", "name": name, "eventBusName": "team"});
        check(
            "resources",
            json!([bus("one"), bus("two")]),
            expect![[r#"
            resources[2]: makes the Events EventBus `team`, as `one` (resources[1]) does
        "#]],
        );
    }

    #[test]
    fn a_clash_is_never_deployed() {
        let mut project = project(document());
        project.resources.push(json!({"type": "aws:core:s3Bucket", "name": "data-policy", "bucketName": "my-other"}));
        let options = super::super::fixture::options(&project);
        assert!(super::super::project(&project, &options).is_err());
    }
}
