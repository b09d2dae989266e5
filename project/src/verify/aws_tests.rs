//! Files for AWS with mistakes that a deployment would fail of, and what verify says of them.

use std::path::Path;

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::judge;

fn good() -> Value {
    let dataset = |name: &str, uri: &str| json!({"name": name, "version": "1", "pathURI": uri});
    json!({
        "project": {"name": "lake", "version": "1"},
        "placement": {"provider": "aws", "stage": "test", "account": "123456789012", "region": "us-east-2"},
        "resources": [{"type": "aws:core:s3Bucket", "name": "data", "bucketName": "lake-data"}],
        "boundaries": [{"type": "watch", "name": "in", "dataset": dataset("logs", "s3://lake-data/raw/")}],
        "arcs": [{"type": "aws:core:batchExecArc", "name": "work", "sources": {"main": {"name": "logs", "version": "1"}},
                  "sinks": {"main": dataset("out", "s3://lake-data/out/")},
                  "workload": {"imagePath": "app", "command": ["run", "$.arcNotifyEvent.lot"]}}],
        "activities": [{"type": "aws:core:batchExecActivity", "name": "tidy", "schedule": "Hours", "imagePath": "tidy", "command": ["tidy"]}],
    })
}

fn check(change: impl Fn(&mut Value), expected: Expect) {
    expected.assert_eq(&said(change));
}

/// What verify says of the good file changed: problems, or notes.
pub(super) fn said(change: impl Fn(&mut Value)) -> String {
    let mut document = good();
    change(&mut document);
    let said = match judge(document, Path::new("/home/me")) {
        Ok(project) => project.notes,
        Err(problems) => problems,
    };
    let line = |problem: crate::Problem| {
        problem.path + ": " + &problem.message + &problem.fix.map(|fix| format!(" [{fix}]")).unwrap_or_default() + "\n"
    };
    said.into_iter().map(line).collect()
}

#[test]
fn nothing_to_say() {
    check(|_| {}, expect![[""]]);
}

#[test]
fn names_that_services_refuse() {
    check(
        |file| {
            file["placement"]["stage"] = "Test_Stage".into();
            file["placement"]["region"] = "useast2".into();
            file["resources"] = json!([
                {"type": "aws:core:s3Bucket", "name": "a", "bucketName": "Lake"},
                {"type": "aws:core:s3Bucket", "name": "b", "bucketName": "10.0.0.1"},
                {"type": "aws:core:s3Bucket", "name": "c", "bucketName": "same-bucket"},
                {"type": "aws:core:s3Bucket", "name": "C", "bucketName": "same-bucket"},
                {"type": "aws:core:glueDatabase", "name": "db", "databaseName": "Logs"},
                {"type": "aws:core:glueTable", "name": "table", "databaseRef": "db", "tableName": "t", "pathURI": "/data",
                 "schema": {"columns": [{"name": "x"}], "dataFormat": "parquette"}},
                {"type": "aws:core:computeEnvironment", "name": "jobs", "computeEnvironmentName": "e", "compute": "ec2"},
            ]);
        },
        expect![[r#"
            resources[5].schema.columns[0].type: is missing
            placement.stage: becomes part of bucket names: use lower-case letters and digits, with single `-` between [use `test-stage`]
            placement.region: `useast2` is no region: use one such as us-east-2
            resources[0].bucketName: `Lake` is no bucket name: 3 to 63 lower-case letters, digits, `-` and `.`, a letter or digit at both ends
            resources[1].bucketName: `10.0.0.1` is no bucket name: 3 to 63 lower-case letters, digits, `-` and `.`, a letter or digit at both ends
            resources[4].databaseName: `Logs` would be found as `logs` only: Glue keeps lower case [use `logs`]
            resources[5].pathURI: is no S3 URI: use `s3://bucket/folder/`
            resources[5].schema.dataFormat: `parquette` is none of parquet, json, csv, tsv, orc, avro
            resources[6].compute: `ec2` is none of both, spot, fargate
            resources[3].bucketName: `same-bucket` is resources[2] already
            resources[3].name: `C` and `c` (resources[2]) would be one name on AWS [let them differ in more than case and punctuation]
        "#]],
    );
    check(
        |file| file["placement"]["stage"] = "a-stage-with-a-name-that-is-far-too-long".into(),
        expect![[r#"
        placement.stage: makes `a-stage-with-a-name-that-is-far-too-long-clusterless-manifest-123456789012-us-east-2`, which is 21 bytes longer than a bucket's name can be
    "#]],
    );
}

#[test]
fn two_queues_for_one_object() {
    let two = |file: &mut Value, uri: &str| {
        let boundary = json!({"type": "watch", "name": "deep", "dataset": {"name": "deep-logs", "version": "1", "pathURI": uri}});
        file["boundaries"].as_array_mut().unwrap().push(boundary);
    };
    check(
        |file| two(file, "s3://lake-data/raw/deep/"),
        expect![[r#"
        boundaries[1].dataset.pathURI: overlaps where boundary `in` takes from: S3 notifies one queue only of an object [set `enableEventBridge: true` on bucket lake-data]
    "#]],
    );
    check(|file| two(file, "s3://lake-data/raw-deep/"), expect![[""]]);
    check(
        |file| {
            two(file, "s3://lake-data/raw/deep/");
            file["resources"][0]["enableEventBridge"] = true.into();
        },
        expect![[""]],
    );
}

#[test]
fn prefixes_that_notifications_cannot_have() {
    check(
        |file| file["boundaries"][0]["dataset"]["pathURI"] = "s3://lake-data/my logs/".into(),
        expect![[r#"
        boundaries[0].dataset.pathURI: has ` `, which S3 does not take in what a notification is for [set `enableEventBridge: true` on bucket lake-data]
    "#]],
    );
}

#[test]
fn buckets_of_others() {
    check(
        |file| file["boundaries"][0]["dataset"]["pathURI"] = "s3://theirs/raw/".into(),
        expect![[r#"
        boundaries[0].dataset.pathURI: theirs is no bucket of this project: its arrivals are seen once EventBridge is switched on for it [aws s3api put-bucket-notification-configuration --bucket theirs --notification-configuration '{"EventBridgeConfiguration":{}}' (it replaces the bucket's notifications: add those that `get-bucket-notification-configuration` shows)]
    "#]],
    );
}

#[test]
fn data_in_stores() {
    check(
        |file| {
            file["boundaries"][0]["dataset"]["pathURI"] = "s3://test-clusterless-manifest-123456789012-us-east-2/".into();
            file["arcs"][0]["sinks"]["main"]["pathURI"] = "s3://prod-clusterless-artifact-123456789012-us-east-2/out/".into();
            file["activities"] = json!([{"type": "aws:core:cloudWatchExport", "name": "export", "interval": "Hours", "logGroupName": "/g",
                "pathURI": "s3://test-clusterless-arc-state-123456789012-us-east-2/logs/"}]);
        },
        expect![[r#"
            boundaries[0].dataset.pathURI: lies in test-clusterless-manifest-123456789012-us-east-2, where a placement keeps its own files [use another bucket]
            arcs[0].sinks.main.pathURI: lies in prod-clusterless-artifact-123456789012-us-east-2, where a placement keeps its own files [use another bucket]
            activities[0].pathURI: lies in test-clusterless-arc-state-123456789012-us-east-2, where a placement keeps its own files [use another bucket]
        "#]],
    );
}

#[test]
fn sizes_that_are_not_sold() {
    check(
        |file| {
            file["boundaries"][0]["runtimeProps"] = json!({"timeoutMin": 16, "memorySizeMB": 64});
            file["arcs"][0]["workload"]["batchRuntimeProps"] = json!({"memorySizeMB": 1500});
            file["activities"][0]["runtimeProps"] = json!({"memorySizeMB": 16384, "vcpu": 0.5});
        },
        expect![[r#"
            boundaries[0].runtimeProps.timeoutMin: is 16: a function takes from 1 to 15 minutes
            boundaries[0].runtimeProps.memorySizeMB: is 64: a function has from 128 to 10240 MB
            arcs[0].workload.batchRuntimeProps.memorySizeMB: Fargate has no size of 1500 MB [use 2048]
            activities[0].runtimeProps.memorySizeMB: 16384 MB does not go with 0.5 vCPU: Fargate has 1024 to 4096 MB there [in steps of 1024 MB]
        "#]],
    );
    check(
        |file| file["arcs"][0]["runtimeProps"] = json!({"vcpu": 3}),
        expect![[r#"
        arcs[0].runtimeProps.vcpu: is 3: Fargate has 0.25, 0.5, 1, 2, 4, 8, 16
    "#]],
    );
    check(|file| file["arcs"][0]["runtimeProps"] = json!({"vcpu": 0.25, "memorySizeMB": 512}), expect![[""]]);
}

#[test]
fn commands_that_batch_cannot_fill_in() {
    check(
        |file| {
            file["arcs"][0]["workload"]["command"] = json!(["run", "--lot=$.arcNotifyEvent.lot", "Ref::x"]);
            file["arcs"][0]["workload"]["environment"] = json!({"AWS_BATCH_X": "1", "BIG": "x".repeat(30_000)});
        },
        expect![[r#"
            arcs[0].workload.command[1]: AWS Batch fills in whole arguments only [make it two arguments: '--lot', '$.arcNotifyEvent.lot']
            arcs[0].workload.command[2]: begins with `Ref::`, which AWS Batch would fill in
            arcs[0].workload.environment: variables and arguments have 30588 bytes, and a job has room for 24576 [put it into an object, and name that]
            arcs[0].workload.environment.AWS_BATCH_X: begins with AWS_BATCH, which AWS Batch keeps for itself
        "#]],
    );
    check(
        |file| {
            file["arcs"][0]["type"] = "exec".into();
            file["arcs"][0]["workload"] = json!({"command": ["run"]});
            file["activities"][0].as_object_mut().unwrap().remove("imagePath");
        },
        expect![[r#"
            arcs[0].workload.imagePath: is missing: on AWS a command runs in an image [name a folder that is built to an image, or an image's URI]
            activities[0].imagePath: is missing: on AWS a command runs in an image [name a folder that is built to an image, or an image's URI]
        "#]],
    );
}

#[test]
fn images_are_for_batch() {
    check(
        |file| {
            file["placement"]["workers"] = "up".into();
            file["arcs"][0]["type"] = "exec".into();
            file["arcs"][0]["workload"] = json!({"command": ["run"], "imagePath": "work"});
        },
        expect![[r#"
            arcs[0]: runs an image of its own, and with `workers: 'up'` nothing starts images [use `workers: 'batch'`, or a project of its own for this arc]
        "#]],
    );
    check(
        |file| {
            file["placement"]["workers"] = "up".into();
            file["arcs"][0]["type"] = "copy".into();
            file["arcs"][0].as_object_mut().unwrap().remove("workload");
        },
        expect![[r#"
            activities[0]: is not run: with `workers: 'up'` there is neither a function nor a job
        "#]],
    );
    check(
        |file| file["placement"]["workers"] = "lambda".into(),
        expect![[r#"
            placement.workers: `lambda` is none of batch, up
        "#]],
    );
}

#[test]
fn names_too_alike() {
    check(
        |file| {
            let mut other = file["arcs"][0].clone();
            other["name"] = "W.ork".into();
            other["sinks"]["main"] = json!({"name": "out2", "version": "1", "pathURI": "s3://lake-data/out2/"});
            file["arcs"].as_array_mut().unwrap().push(other);
            file["boundaries"][0]["name"] = "undelivered".into();
        },
        expect![[r#"
            arcs[1].name: `W.ork` and `work` (arcs[0]) would be one name on AWS [let them differ in more than case and punctuation]
            boundaries[0].name: makes a queue `test-lake-1-undelivered`, which is the name of a queue of dead letters
        "#]],
    );
}

#[test]
fn activities_have_names_of_ours_too() {
    check(
        |file| {
            file["activities"] = json!([
                {"type": "exec", "name": "tidy", "schedule": "rate(1 day)", "workload": {"imagePath": "tidy", "command": ["tidy", "--all"]}},
                {"type": "cloudWatchExport", "name": "appLogs", "interval": "Hours", "logGroupName": "/app", "pathURI": "s3://lake-data/app/"},
            ]);
        },
        expect![""],
    );
    check(
        |file| {
            file["activities"] = json!([
                {"type": "exce", "name": "one", "schedule": "Hours", "imagePath": "tidy"},
                {"type": "cloudwatchExports", "name": "two", "interval": "Hours", "logGroupName": "/g", "pathURI": "s3://lake-data/app/"},
                {"type": "exec", "name": "three", "schedule": "often", "workload": {"image": "tidy", "command": "tidy"}},
                {"type": "cloudWatchExport", "name": "four", "interval": "Hours", "logGroup": "/g", "pathURI": "app/"},
            ]);
        },
        expect![[r#"
            activities[0].type: `exce` is no type of activity [did you mean `exec`?]
            activities[1].type: `cloudwatchExports` is no type of activity [did you mean `cloudWatchExport`?]
            activities[2].workload.command: must be a list of texts, not text
            activities[2].workload.image: is not a known field [did you mean `imagePath`?]
            activities[3].logGroupName: is missing [rename `logGroup`]
            activities[3].logGroup: is not a known field [did you mean `logGroupName`?]
            activities[2].workload.imagePath: is missing: on AWS a command runs in an image [name a folder that is built to an image, or an image's URI]
            activities[2].schedule: `often` is no schedule: use a lot unit such as Twelfths, rate(5 minutes) or cron(0 6 * * ? *)
            activities[3].pathURI: is no S3 URI: use `s3://bucket/folder/`
        "#]],
    );
}

#[test]
fn schedules_and_sinks() {
    check(
        |file| {
            file["activities"] = json!([
                {"type": "aws:core:batchExecActivity", "name": "tidy", "schedule": "rate(1 minutes)", "imagePath": "tidy"},
                {"type": "aws:core:cloudWatchExport", "name": "export", "interval": "often", "logGroupName": "/g", "pathURI": "logs/"},
                {"type": "aws:core:cloudWatchExport", "name": "all", "interval": "rate(5 minutes)", "logGroupName": "/aws/*", "pathURI": "s3://lake-data/logs/"},
                {"type": "aws:core:cloudWatchExport", "name": "good", "interval": "PT1H", "logGroupName": "/aws/lambda/a-b_c.d#1", "pathURI": "s3://lake-data/logs/"},
            ]);
            let glue = json!({"type": "aws:core:glueAddPartitionsArc", "name": "parts", "sources": {"main": {"name": "out", "version": "1"}},
                "sinks": {"main": {"name": "p", "version": "1", "pathURI": "glue://db/table"}}});
            file["arcs"].as_array_mut().unwrap().push(glue);
        },
        expect![[r#"
            arcs[1].sinks.main.pathURI: is no table of Glue [glue:///database/table]
            activities[0].schedule: rate(1 minutes): with 1 it is `minute`
            activities[1].interval: `often` is not a lot unit: use Minutes, Twelfths, Sixths, Fourths, Hours or Days [each export holds one interval, and is called by its lot: Hours, for one]
            activities[1].pathURI: is no S3 URI: use `s3://bucket/folder/`
            activities[2].interval: `rate(5 minutes)` is not a lot unit: use Minutes, Twelfths, Sixths, Fourths, Hours or Days [each export holds one interval, and is called by its lot: Hours, for one]
            activities[2].logGroupName: `/aws/*` is no log group: 1 to 512 letters, digits, `.`, `-`, `_`, `/` and `#`
        "#]],
    );
}

#[test]
fn tables_that_would_be_one() {
    check(
        |file| {
            let convert = |name: &str, version: &str| {
                json!({"type": "convert", "name": name, "sources": {"main": {"name": "logs", "version": "1"}}, "workload": {"format": "s3-access"},
                    "sinks": {"main": {"name": "table", "version": version, "pathURI": format!("s3://lake-data/{name}/")}}})
            };
            file["arcs"] = json!([convert("one", "1"), convert("two", "2")]);
        },
        expect![[r#"
            arcs[1].sinks.main.name: makes a table `table`, as table/1 does [give the dataset another name]
        "#]],
    );
}

#[test]
fn folders_that_tables_cannot_have() {
    let said = |kind: &str, uri: &str| {
        said(|file| {
            let workload = if kind == "convert" { json!({"format": "s3-access"}) } else { json!({}) };
            file["arcs"] = json!([{"type": kind, "name": "one", "sources": {"main": {"name": "logs", "version": "1"}}, "workload": workload,
                "sinks": {"main": {"name": "out", "version": "1", "pathURI": uri}}}]);
        })
    };
    assert_eq!(said("copy", "s3://lake-data/a ${x}/"), "");
    expect![[r#"
        arcs[0].sinks.main.pathURI: has `$`, which Athena does not take as it is: the sink has a table [use a folder without it]
        arcs[0].sinks.main.pathURI: has `*`, which Athena does not take as it is: the sink has a table [use a folder without it]
    "#]]
    .assert_eq(&(said("convert", "s3://lake-data/a ${x}/") + &said("convert", "s3://lake-data/a*?/")));
}

#[test]
fn what_athena_cannot_run() {
    let dataset = |name: &str| json!({"name": name, "version": "1", "pathURI": format!("s3://lake-data/{name}/")});
    let reading = |name: &str| json!({"main": {"name": name, "version": "1"}});
    let query = |source: &str, workload: Value| {
        json!({"type": "query", "name": format!("of-{source}"), "sources": reading(source),
               "sinks": {"main": dataset(&format!("rows-of-{source}"))}, "workload": workload})
    };
    let convert = json!({"type": "convert", "name": "toParquet", "sources": reading("logs"),
        "sinks": {"main": dataset("parquet"), "rejects": dataset("rejects")}, "workload": {"format": "s3-access"}});
    let good = query("parquet", json!({"sql": "SELECT key FROM main", "engine": "athena", "workgroup": "team.one"}));
    check(|file| file["arcs"] = json!([convert, good]), expect![[""]]);
    check(
        |file| {
            let bad =
                query("parquet", json!({"sql": "SELECT now() AS at FROM main", "engine": "athena", "threads": 2, "workgroup": "no group"}));
            file["arcs"] = json!([
                convert,
                bad,
                query("rejects", json!({"sql": "SELECT * FROM other", "engine": "athena"})),
                query("rows-of-parquet", json!({"sql": "SELECT 1 AS n FROM main", "workgroup": "w"}))
            ]);
        },
        expect![[r#"
            arcs[1].workload.workgroup: `no group` is no name of a workgroup: 1 to 128 letters, digits, `.`, `_` and `-`
            arcs[1].workload.threads: is of engine datafusion alone [remove it]
            arcs[1].workload.sql: now() gives other rows when the lot is run again; use the times in the data, or `lot`
            arcs[2].workload.sql: `other` is no source of this arc: its tables are main, rejects
            arcs[3].workload.workgroup: is of engine athena alone [engine: 'athena']
            arcs[2].sources.main: Athena has no table of `rejects`: it has those of the main sinks of this project's convert and query arcs [leave `engine` out of the workload, or let an arc of this project write what is read]
        "#]],
    );
    check(
        |file| {
            let engine = query("parquet", json!({"sql": "SELECT key FROM main", "engine": "spark"}));
            let builtin = query("rows-of-parquet", json!({"builtin": "error_stats", "engine": "athena"}));
            file["arcs"] = json!([convert, engine, builtin]);
        },
        expect![[r#"
            arcs[1].workload.engine: `spark` is no engine [use datafusion or athena]
            arcs[2].workload.builtin: is written for engine datafusion [sql: 'SELECT …']
        "#]],
    );
    check(
        |file| {
            file["placement"] = json!({"provider": "local", "root": "lake"});
            file["resources"] = json!([]);
            file["activities"] = json!([]);
            file["boundaries"][0]["dataset"]["pathURI"] = "raw".into();
            let mut arcs = json!([convert, query("parquet", json!({"sql": "SELECT key FROM main", "engine": "athena"}))]);
            for (at, role) in [(0, "main"), (0, "rejects"), (1, "main")] {
                arcs[at]["sinks"][role]["pathURI"] = format!("out/{at}/{role}").into();
            }
            file["arcs"] = arcs;
        },
        expect![[r#"
            arcs[1].workload.engine: there is no Athena on a local placement [leave it out: the worker runs the query itself]
        "#]],
    );
}

#[test]
fn partitions_of_a_table() {
    let add = |kind: &str, uri: &str, workload: &Value| {
        json!({"type": kind, "name": "add", "sources": {"main": {"name": "logs", "version": "1"}},
               "sinks": {"main": {"name": "table", "version": "1", "pathURI": uri}}, "workload": workload})
    };
    let ours = json!({"partitionType": "value", "partitionResults": "added"});
    check(|file| file["arcs"] = json!([add("glueAddPartitions", "glue:///db/table", &ours)]), expect![[""]]);
    let theirs = json!({"workloadProps": ours});
    check(|file| file["arcs"] = json!([add("aws:core:glueAddPartitionsArc", "glue:///db/table", &theirs)]), expect![[""]]);
    check(
        |file| file["arcs"] = json!([add("glueAddPartitions", "s3://lake-data/table/", &json!({"partitionType": "value"}))]),
        expect![[r#"
            arcs[0].sinks.main.pathURI: is no table of Glue [glue:///database/table]
        "#]],
    );
    check(
        |file| file["arcs"] = json!([add("glueAddPartitions", "glue:///db/table", &json!({"partitionTyp": "value"}))]),
        expect![[r#"
        arcs[0].workload.partitionTyp: `partitionTyp` is no parameter of glue [use partitionType, namedPartitionDelimiter, partitionResults]
    "#]],
    );
    check(
        |file| file["arcs"] = json!([add("glueAddPartitions", "glue:///db/table", &json!({"partitionType": "position"}))]),
        expect![[r#"
            arcs[0].workload: unknown variant `position`, expected `named` or `value`
        "#]],
    );
}
