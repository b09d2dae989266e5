//! Projects that the tests of this folder are made with.

use std::path::Path;

use serde_json::{Value, json};

use super::{ProjectNames, ProjectOptions};
use crate::file::Project;
use crate::verify::judge;

/// Two pipelines side by side: what one may reach, the other must not.
pub(crate) fn document() -> Value {
    let dataset = |name: &str, uri: &str| json!({"name": name, "version": "1", "pathURI": uri});
    let reading = |name: &str| json!({"name": name, "version": "1"});
    json!({
        "project": {"name": "lake", "version": "1.0"},
        "placement": {"provider": "aws", "stage": "test", "account": "123456789012", "region": "us-east-2"},
        "resources": [{"type": "aws:core:s3Bucket", "name": "data", "bucketName": "test-lake-data", "versioned": true}],
        "boundaries": [
            {"type": "watch", "name": "in", "lotUnit": "Twelfths", "dataset": dataset("logs", "s3://test-lake-data/raw/")},
            {"type": "watch", "name": "other", "lotUnit": "Hours", "eventArrival": "infrequent",
             "dataset": dataset("other-logs", "s3://foreign-logs")},
        ],
        "arcs": [
            {"type": "convert", "name": "toParquet", "sources": {"main": reading("logs")},
             "sinks": {"main": dataset("parquet", "s3://test-lake-data/parquet/"), "rejects": dataset("rejects", "s3://test-lake-data/rejects/")},
             "workload": {"format": "s3-access", "partitions": ["dt", "lot"]}},
            {"type": "query", "name": "errors", "lotUnit": "Hours", "sources": {"main": reading("parquet")},
             "sinks": {"main": dataset("errors", "s3://test-lake-data/errors/")},
             "workload": {"sql": "SELECT bucket, count(*) AS requests FROM main GROUP BY bucket"}, "runtimeProps": {"memorySizeMB": 8192, "vcpu": 2}},
            {"type": "copy", "name": "archive", "sources": {"main": reading("other-logs")},
             "sinks": {"main": dataset("archived", "s3://foreign-archive/logs/")}},
        ],
    })
}

/// The project of a document that is good.
pub(crate) fn project(document: Value) -> Project {
    judge(document, Path::new("/")).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// The document changed.
pub(crate) fn changed(change: impl Fn(&mut Value)) -> Project {
    let mut document = document();
    change(&mut document);
    project(document)
}

/// Options of a preview.
pub(crate) fn options(project: &Project) -> ProjectOptions {
    ProjectOptions::preview(&ProjectNames::of(project).unwrap())
}

/// A file on Clusterless's schema with all that it has.
pub(crate) fn clusterless() -> Project {
    project(serde_json::from_str(include_str!("fixtures/clusterless.json")).unwrap())
}

/// A project with so many arcs that no stack holds it.
pub(crate) fn large(arcs: usize) -> Project {
    changed(|document| {
        let arc = |at: usize| {
            json!({"type": "convert", "name": format!("arc-{at}"), "sources": {"main": {"name": "logs", "version": "1"}},
                   "sinks": {"main": {"name": format!("parquet-{at}"), "version": "1", "pathURI": format!("s3://test-lake-data/p{at}/")}},
                   "workload": {"format": "s3-access"}})
        };
        document["arcs"] = (0..arcs).map(arc).collect();
    })
}
