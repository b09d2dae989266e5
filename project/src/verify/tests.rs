//! Files with mistakes, and what verify says of them.

use std::fmt::Write;
use std::path::Path;

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::judge;

fn said(document: Value) -> String {
    match judge(document, Path::new("/home/me")) {
        Ok(project) => {
            let mut text = String::new();
            for boundary in &project.boundaries {
                writeln!(text, "{} -> {} {}", boundary.name, boundary.dataset.id(), boundary.dataset.path_uri).unwrap();
            }
            for arc in &project.arcs {
                let sources: Vec<_> = arc.sources.iter().map(|source| source.dataset.id().to_string()).collect();
                let sinks: Vec<_> = arc.sinks.iter().map(|sink| format!("{}={}", sink.role, sink.dataset.path_uri)).collect();
                writeln!(text, "{} {} {}: {} -> {}", arc.id.arc, arc.kind, arc.unit, sources.join(" "), sinks.join(" ")).unwrap();
            }
            project.notes.iter().for_each(|note| writeln!(text, "note {}: {}", note.path, note.message).unwrap());
            text
        }
        Err(problems) => problems.into_iter().fold(String::new(), |text, problem| {
            text + &problem.path + ": " + &problem.message + &problem.fix.map(|fix| format!(" [{fix}]")).unwrap_or_default() + "\n"
        }),
    }
}

fn check(change: impl Fn(&mut Value), expected: Expect) {
    let mut document = good();
    change(&mut document);
    expected.assert_eq(&said(document));
}

fn good() -> Value {
    json!({
        "project": {"name": "lake", "version": "1"},
        "placement": {"provider": "local", "root": "lake"},
        "boundaries": [{"type": "watch", "name": "in", "lotUnit": "Twelfths",
            "dataset": {"name": "logs", "version": "1", "pathURI": "in"}}],
        "arcs": [
            {"type": "query", "name": "errors", "lotUnit": "Hours", "sources": {"main": {"name": "parquet", "version": "1"}},
             "sinks": {"main": {"name": "errors", "version": "1", "pathURI": "out/errors"}}, "workload": {"sql": "SELECT * FROM main"}},
            {"type": "convert", "name": "convert", "sources": {"main": {"name": "logs", "version": "1"}},
             "sinks": {"main": {"name": "parquet", "version": "1", "pathURI": "out/parquet"},
                       "rejects": {"name": "rejects", "version": "1", "pathURI": "out/rejects/"}},
             "workload": {"format": "s3-access"}}
        ]
    })
}

#[test]
fn a_good_file() {
    check(
        |_| {},
        expect![[r#"
        in -> logs/1 file:///home/me/in/
        convert convert Twelfths: logs/1 -> rejects=file:///home/me/out/rejects/ main=file:///home/me/out/parquet/
        errors query Hours: parquet/1 -> main=file:///home/me/out/errors/
    "#]],
    );
}

#[test]
fn ten_mistakes_show_ten_problems() {
    let document = json!({
        "project": {"name": "my lake", "version": "1"},
        "placement": {"provider": "locl", "root": "lake"},
        "boundares": [],
        "boundaries": [{"type": "watch", "name": "in", "lotUnit": "Twelths", "dataset": {"name": "logs", "version": "1", "pathURI": "in"}}],
        "arcs": [
            {"type": "convrt", "name": "convert", "sources": {"main": {"name": "logz", "version": "1"}},
             "sinks": {"main": {"name": "parquet", "version": "1", "pathURI": "out/parquet"}}, "workload": {"format": "s3-access"}},
            {"type": "query", "name": "convert", "retries": "many", "sources": {"main": {"name": "parquet", "version": "2"}},
             "sinks": {"mian": {"name": "errors", "version": "1", "pathURI": "out/errors"}}, "workload": {"sql": "SELECT 1"}}
        ]
    });
    expect![[r#"
        project.name: `my lake` cannot be a project name: use letters, digits, `-`, `_` and `.`, starting with a letter or digit, at most 128 bytes
        placement.provider: `locl` is none of local, aws [did you mean `local`?]
        boundaries[0].lotUnit: `Twelths` is not a lot unit: use Minutes, Twelfths, Sixths, Fourths, Hours or Days [did you mean `Twelfths`?]
        arcs[0].type: `convrt` is no type of arc [did you mean `convert`?]
        arcs[1].retries: must be a whole number from 0 to 100
        arcs[1].sinks.main: is missing: every arc has a sink called `main` [rename `mian` to `main`]
        boundares: is not a known field [did you mean `boundaries`?]
        arcs[1].name: `convert` is already the name of arcs[0] [give this arc another name]
        arcs[0].sources.main.name: no boundary or arc produces `logz` [did you mean `logs`?]
        arcs[1].sources.main.version: `parquet` has no version `2` here [did you mean `1`?]
    "#]].assert_eq(&said(document));
}

#[test]
fn a_dataset_has_one_owner() {
    check(
        |file| file["arcs"][0]["sinks"]["main"]["name"] = "logs".into(),
        expect![[r#"
        arcs[0].sinks.main: logs/1 already belongs to boundary `in` (boundaries[0].dataset) [give this one another name or version]
    "#]],
    );
}

#[test]
fn circles() {
    check(
        |file| file["arcs"][1]["sources"]["main"]["name"] = "errors".into(),
        expect![[r#"
        arcs[1].sources: the arcs read each other in a circle: convert -> errors -> convert
    "#]],
    );
    check(
        |file| {
            file["arcs"][1]["sources"]["main"]["name"] = "parquet".into();
        },
        expect![[r#"
            arcs[1].sources: the arcs read each other in a circle: convert -> convert
        "#]],
    );
}

#[test]
fn lot_units_that_cannot_be() {
    check(
        |file| file["arcs"][0]["lotUnit"] = "Minutes".into(),
        expect![[r#"
        arcs[0].lotUnit: source `main` comes in Twelfths, which is coarser than the arc's Minutes [set `lotUnit` to `Twelfths`]
    "#]],
    );
    check(
        |file| {
            file["boundaries"][0]["lotUnit"] = "Sixths".into();
            file["arcs"][0]["lotUnit"] = "Fourths".into();
        },
        expect![[r#"
            arcs[0].lotUnit: source `main` comes in Sixths, which does not divide the arc's Fourths [set `lotUnit` to `Sixths`]
        "#]],
    );
}

#[test]
fn folders_that_clash() {
    check(
        |file| file["arcs"][0]["sinks"]["main"]["pathURI"] = "in/out".into(),
        expect![[r#"
        arcs[0].sinks.main.pathURI: lies in the folder that boundary `in` watches: it would take what the arc writes [use a folder beside it, or add it to the boundary's `excludes`]
    "#]],
    );
    check(
        |file| file["arcs"][0]["sinks"]["main"]["pathURI"] = "out/parquet/sub".into(),
        expect![[r#"
        arcs[1].sinks.main.pathURI: shares its folder with errors/1 (arcs[0].sinks.main): their files would mix
    "#]],
    );
    check(
        |file| file["arcs"][1]["sinks"]["rejects"]["pathURI"] = "out/parquet/_rejects".into(),
        expect![[r#"
        in -> logs/1 file:///home/me/in/
        convert convert Twelfths: logs/1 -> rejects=file:///home/me/out/parquet/_rejects/ main=file:///home/me/out/parquet/
        errors query Hours: parquet/1 -> main=file:///home/me/out/errors/
    "#]],
    );
    check(
        |file| file["boundaries"][0]["dataset"]["pathURI"] = "lake".into(),
        expect![[r#"
        boundaries[0].dataset.pathURI: overlaps `file:///home/me/lake/manifest/`, where the placement keeps its own files [use a folder beside it]
    "#]],
    );
    check(
        |file| file["arcs"][0]["sinks"]["main"]["pathURI"] = "lake/metadata/x".into(),
        expect![[r#"
        arcs[0].sinks.main.pathURI: overlaps `file:///home/me/lake/metadata/`, where the placement keeps its own files [use a folder beside it]
    "#]],
    );
    check(
        |file| file["arcs"][0]["sinks"]["main"]["pathURI"] = "s3://bucket/x/".into(),
        expect![[r#"
        arcs[0].sinks.main.pathURI: a local placement has no `s3://`: use a folder, or `file:///folder/`
    "#]],
    );
}

#[test]
fn a_dataset_of_another_project() {
    check(
        |file| file["arcs"][1]["sources"]["main"] = json!({"name": "far", "version": "1"}),
        expect![[r#"
        arcs[1].sources.main.name: no boundary or arc produces `far` [if another project produces it, give its `pathURI` and `lotUnit` here]
    "#]],
    );
    check(
        |file| file["arcs"][1]["sources"]["main"] = json!({"name": "far", "version": "1", "pathURI": "/far", "lotUnit": "PT15M"}),
        expect![[r#"
            in -> logs/1 file:///home/me/in/
            convert convert Fourths: far/1 -> rejects=file:///home/me/out/rejects/ main=file:///home/me/out/parquet/
            errors query Hours: parquet/1 -> main=file:///home/me/out/errors/
        "#]],
    );
}

#[test]
fn what_is_excluded_or_foreign_is_noted() {
    check(
        |file| {
            file["arcs"][0]["exclude"] = true.into();
            file["resources"] = json!([{"type": "aws:core:eventBus", "name": "bus", "eventBusName": "b"}]);
            let add = json!({"type": "aws:core:glueAddPartitionsArc", "name": "add",
                "sources": {"main": {"name": "parquet", "version": "1"}},
                "sinks": {"main": {"name": "table", "version": "1", "pathURI": "glue:///db/table"}}});
            file["arcs"].as_array_mut().unwrap().push(add);
        },
        expect![[r#"
            in -> logs/1 file:///home/me/in/
            convert convert Twelfths: logs/1 -> rejects=file:///home/me/out/rejects/ main=file:///home/me/out/parquet/
            note arcs[0]: excluded: not run
            note arcs[2]: not run on a local placement
            note resources[0]: kept, and not made on a local placement
        "#]],
    );
}

#[test]
fn the_wrong_kind_of_thing_everywhere() {
    for value in [json!(null), json!(1), json!("x"), json!([]), json!({})] {
        assert!(judge(value, Path::new("/")).is_err());
    }
    check(
        |file| file["arcs"] = json!({"a": 1}),
        expect![[r#"
        arcs: must be a list, not an object
    "#]],
    );
    check(
        |file| file["arcs"][0]["sources"]["main"] = json!("parquet"),
        expect![[r#"
            arcs[0].sources.main: must be an object, not text
        "#]],
    );
    check(
        |file| file["arcs"][0]["sources"]["main"]["subscribe"] = json!(false),
        expect![[r#"
        arcs[0].sources: no source is subscribed: the arc would never run
    "#]],
    );
}

#[test]
fn a_file_of_clusterless_is_good() {
    let Ok(text) = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/clusterless_project.json")) else {
        eprintln!("SKIPPED: ../shared/clusterless_project.json is not beside the checkout");
        return;
    };
    let project = judge(serde_json::from_str(&text).unwrap(), Path::new("/")).unwrap();
    assert_eq!((project.boundaries.len(), project.arcs.len(), project.resources.len()), (1, 2, 4));
}

#[test]
fn clusterless_fields_are_checked() {
    check(
        |file| {
            file["resources"] = json!([
                {"type": "aws:core:s3Bucket", "name": "bucket", "bucketNam": "b", "versioned": "yes"},
                {"type": "aws:core:glueTabel", "name": "bucket"}]);
            file["boundaries"][0]["type"] = "aws:core:s3PutListenerBoundary".into();
            file["boundaries"][0]["filter"] = json!({"includes": ["a{", 7], "exclude": []});
            file["boundaries"][0]["infrequent"] = json!({"lotSource": "now"});
            file["arcs"][1]["type"] = "aws:core:batchExecArc".into();
            file["arcs"][1]["workload"] = json!({"computeEnvironmentRef": "simpel", "batchRuntimeProps": {"timeoutMin": -1}});
        },
        expect![[r#"
            resources[0].bucketName: is missing [rename `bucketNam`]
            resources[0].versioned: must be true or false, not text
            resources[0].bucketNam: is not a known field [did you mean `bucketName`?]
            resources[1].type: `aws:core:glueTabel` is no type of resource [did you mean `aws:core:glueTable`?]
            boundaries[0].filter.includes[1]: must be text, not a number
            boundaries[0].filter.includes[0]: filter `a{`: unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)
            boundaries[0].filter.exclude: is not a known field [did you mean `excludes`?]
            boundaries[0].infrequent.lotSource: `now` is none of objectModifiedTime, eventTime
            arcs[1].workload.command: is missing
            arcs[1].workload.batchRuntimeProps.timeoutMin: must be a whole number from 0 to 20160
            arcs[1].workload.computeEnvironmentRef: `simpel` is no resource of this project
            resources[1].name: `bucket` is already the name of resources[0] [give this resource another name]
        "#]],
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((".{0,6}", inner), 0..4).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Every place of a value, as JSON pointers.
fn places(value: &Value, at: String, found: &mut Vec<String>) {
    found.push(at.clone());
    match value {
        Value::Array(list) => list.iter().enumerate().for_each(|(number, value)| places(value, format!("{at}/{number}"), found)),
        Value::Object(map) => map.iter().for_each(|(key, value)| places(value, format!("{at}/{key}"), found)),
        _ => {}
    }
}

proptest! {
    #[test]
    fn any_value_gives_problems_or_a_project(value in any_json()) {
        let _ = judge(value, Path::new("/"));
    }

    #[test]
    fn a_good_file_with_anything_anywhere_gives_problems_or_a_project(place: prop::sample::Index, value in any_json()) {
        let (mut document, mut found) = (good(), Vec::new());
        places(&document, String::new(), &mut found);
        if let Some(slot) = document.pointer_mut(&found[place.index(found.len())]) {
            *slot = value;
        }
        let said = judge(document, Path::new("/")).map_err(|problems| problems.len());
        prop_assert!(said != Err(0), "a refusal without a reason");
    }

    #[test]
    fn nothing_missing_goes_unsaid(place: prop::sample::Index) {
        let (mut document, mut found) = (good(), Vec::new());
        places(&document, String::new(), &mut found);
        let place = &found[place.index(found.len())];
        if let Some((parent, key)) = place.rsplit_once('/')
            && let Some(Value::Object(map)) = document.pointer_mut(parent)
        {
            map.remove(key);
        }
        let _ = judge(document, Path::new("/"));
    }
}
