//! `arc synth` as a program: templates on stdout or in files, everything else on stderr.

use std::process::Output;

use serde_json::{Value, json};
use tests::program::arc;

fn project(folder: &std::path::Path, provider: &str) -> std::path::PathBuf {
    let placement = match provider {
        "aws" => json!({"provider": "aws", "stage": "test", "account": "123456789012", "region": "us-east-2"}),
        _ => json!({"provider": "local", "root": "lake"}),
    };
    let bucket = if provider == "aws" { "s3://logs/raw/" } else { "raw/" };
    let document = json!({
        "project": {"name": "lake", "version": "1"},
        "placement": placement,
        "boundaries": [{"type": "watch", "name": "in", "dataset": {"name": "logs", "version": "1", "pathURI": bucket}}],
    });
    let path = folder.join("project.json");
    std::fs::write(&path, document.to_string()).expect("the project is written");
    path
}

fn synth(arguments: &[&str], project: &std::path::Path) -> Output {
    arc(&["synth"]).args(arguments).arg("-p").arg(project).output().expect("arc starts")
}

#[test]
fn a_template_on_stdout_and_the_rest_on_stderr() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = project(folder.path(), "aws");
    let output = synth(&[], &path);
    let template: Value = serde_json::from_slice(&output.stdout).expect("a template");
    assert_eq!(template["Resources"]["BoundaryIn"]["Properties"]["FunctionName"], "test-lake-1-boundary-in");
    let said = String::from_utf8_lossy(&output.stderr);
    for part in ["stack test-lake-1: ", "cost at rest: ", "aws s3api put-bucket-notification-configuration --bucket logs"] {
        assert!(said.contains(part), "{said}");
    }
    let quiet = synth(&["-q", "--bootstrap"], &path);
    assert!(quiet.status.success() && quiet.stderr.is_empty());
    let bootstrap: Value = serde_json::from_slice(&quiet.stdout).expect("a template");
    assert_eq!(bootstrap["Resources"]["EventBus"]["Properties"]["Name"], "TEST-arc-events-us-east-2");
}

#[test]
fn a_file_for_each_stack() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, out) = (project(folder.path(), "aws"), folder.path().join("templates"));
    let output = synth(&["--out", out.to_str().expect("a path")], &path);
    assert!(output.status.success() && output.stdout.is_empty());
    assert!(out.join("test-lake-1.template.json").is_file());
}

#[test]
fn what_cannot_be_synthesised() {
    let folder = tempfile::tempdir().expect("a folder");
    let local = synth(&[], &project(folder.path(), "local"));
    let path = project(folder.path(), "aws");
    for (output, code, part) in [
        (local, 2, "placement is local"),
        (synth(&["--stack", "other"], &path), 4, "no stack `other`"),
        (synth(&["--only-resource", "x"], &path), 2, "`x` is no resource"),
        (synth(&["--bootstrap", "--cidr", "10.0.0.0/30"], &path), 2, "--cidr"),
        (synth(&["--private"], &path), 2, "--bootstrap"),
    ] {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(code) && said.contains(part) && output.stdout.is_empty(), "{said}");
    }
}
