//! What AWS Batch asks of arcs and activities: sizes that Fargate has, images, arguments that can be filled in, variables
//! that fit. Drafts and their entries in the file flow in, problems flow out.

use std::collections::BTreeMap;

use manifests::ArcSpec;
use serde_json::Value;

use super::aws::Deployment;
use super::fields::Problems;
use crate::forms;
use crate::synth::runtime::{self, FARGATE};
use crate::synth::{self, EVENT_PREFIX, logical};

/// Bytes of the variables and arguments of a job; a job's definition and what is submitted with it have 30 KiB.
const ENVIRONMENT_BYTES_MAX: usize = 24 * 1024;
/// What Batch begins its own variables with.
const RESERVED: &str = "AWS_BATCH";
/// The variable that arcs of users are told everything in.
const PROPS: &str = "CLS_ARC_PROPS_JSON";

/// Folders that images are built from, by the logical id of their repository: the folder, and where it is named.
type Folders = BTreeMap<String, (String, String)>;

/// Reports what Batch would refuse, or run otherwise than it is meant.
pub fn check(deployment: &Deployment<'_>, problems: &Problems) {
    let mut folders = Folders::new();
    let worker = deployment.names.placement.worker_repository();
    folders.insert(logical(&worker), (String::new(), "the worker".to_owned()));
    for (path, entry) in deployment.list("arcs").filter(|(_, entry)| entry["exclude"] != true) {
        check_entry(&path, entry, problems);
        let name = entry["name"].as_str().unwrap_or_default();
        let Some(arc) = deployment.arcs.iter().find(|arc| arc.id.arc == name) else { continue };
        if synth::is_beyond_a_role(&deployment.names, arc) {
            let message = format!("reads {} datasets, more than the policies of a role have room for", arc.sources.len());
            problems.add_fix(format!("{path}.sources"), message, Some("make two arcs of it".to_owned()));
        }
        if runtime::is_user_image(arc) {
            let path = format!("{path}.workload");
            check_arc(&path, arc, deployment, problems);
            check_image(&path, &arc.workload, deployment, &mut folders, problems);
        }
    }
    for (path, entry) in deployment.list("activities").filter(|(_, entry)| synth::is_job(entry)) {
        check_entry(&path, entry, problems);
        let (path, workload) = activity_workload(path, entry, problems);
        check_activity(&path, workload, problems);
        check_image(&path, workload, deployment, &mut folders, problems);
    }
}

/// Where an activity says what it runs: in its `workload`, or beside it.
fn activity_workload<'a>(path: String, entry: &'a Value, problems: &Problems) -> (String, &'a Value) {
    let Some(workload) = entry.get("workload").filter(|workload| !workload.is_null()) else { return (path, entry) };
    for key in ["imagePath", "command", "environment"].into_iter().filter(|key| !entry[*key].is_null()) {
        problems.add_fix(format!("{path}.{key}"), "is not used: there is a `workload`", Some(format!("write it to `workload.{key}`")));
    }
    (format!("{path}.workload"), workload)
}

fn check_entry(path: &str, entry: &Value, problems: &Problems) {
    let ours = entry.get("runtimeProps").map(|props| (format!("{path}.runtimeProps"), props));
    let theirs = || entry.get("workload")?.get("batchRuntimeProps").map(|props| (format!("{path}.workload.batchRuntimeProps"), props));
    if let Some((path, props)) = ours.or_else(theirs) {
        check_size(&path, props, problems);
    }
}

fn check_size(path: &str, props: &Value, problems: &Problems) {
    if props["timeoutMin"] == 0 {
        problems.add_fix(format!("{path}.timeoutMin"), "is 0: a job has at least one minute", Some("leave it out for 60".to_owned()));
    }
    let memory = props.get("memorySizeMB").and_then(Value::as_u64);
    let vcpu = props.get("vcpu").filter(|vcpu| !vcpu.is_null());
    if let Some(vcpu) = vcpu.filter(|vcpu| runtime::vcpu_milli(vcpu).is_none()) {
        let sizes: Vec<String> = FARGATE.iter().map(|size| runtime::vcpu_text(size.0)).collect();
        problems.add(format!("{path}.vcpu"), format!("is {vcpu}: Fargate has {}", sizes.join(", ")));
        return;
    }
    let Some(memory) = memory else { return };
    match vcpu.and_then(runtime::vcpu_milli) {
        Some(vcpu) if !runtime::is_pair(vcpu, memory) => {
            let size = FARGATE.iter().find(|size| size.0 == vcpu).copied().unwrap_or_default();
            let message =
                format!("{memory} MB does not go with {} vCPU: Fargate has {} to {} MB there", runtime::vcpu_text(vcpu), size.1, size.2);
            problems.add_fix(format!("{path}.memorySizeMB"), message, Some(format!("in steps of {} MB", size.3)));
        }
        None if runtime::vcpu_for(memory).is_none() => {
            let fix = nearest_memory(memory).map(|near| format!("use {near}"));
            problems.add_fix(format!("{path}.memorySizeMB"), format!("Fargate has no size of {memory} MB"), fix);
        }
        _ => {}
    }
}

/// The least memory that Fargate has and that is not less.
fn nearest_memory(memory: u64) -> Option<u64> {
    let sizes = FARGATE.iter().flat_map(|size| (size.1..=size.2).step_by(usize::try_from(size.3).unwrap_or(1)));
    sizes.filter(|size| *size >= memory && runtime::vcpu_for(*size).is_some()).min()
}

fn check_arc(path: &str, arc: &ArcSpec, deployment: &Deployment<'_>, problems: &Problems) {
    let entry = deployment.list("arcs").map(|found| found.1).find(|entry| entry["name"] == arc.id.arc.as_str());
    if entry.is_some_and(|entry| entry["workload"]["timeoutMin"].as_f64() == Some(0.0)) {
        problems.add_fix(format!("{path}.timeoutMin"), "is 0: a job has at least one minute", Some("leave it out for 60".to_owned()));
    }
    for (at, word) in words(&arc.workload) {
        let is_whole = word.strip_prefix(EVENT_PREFIX).is_some_and(|field| synth::parameter_of(field).is_some());
        // Batch fills in whole arguments, so a field of the event has to be one.
        if word.contains(EVENT_PREFIX) && !is_whole {
            let fix = Some("make it two arguments: '--lot', '$.arcNotifyEvent.lot'".to_owned());
            problems.add_fix(format!("{path}.command[{at}]"), "AWS Batch fills in whole arguments only", fix);
        }
    }
    check_references(path, &arc.workload, problems);
    if arc.workload["environment"].get(PROPS).is_some() {
        problems.add(format!("{path}.environment.{PROPS}"), "is what a job is told its sources and sinks in: use another name");
    }
    check_environment(path, &arc.workload, &synth::user_environment(&deployment.names, arc), problems);
}

fn check_activity(path: &str, workload: &Value, problems: &Problems) {
    for (at, _) in words(workload).filter(|(_, word)| word.contains(EVENT_PREFIX)) {
        problems.add(format!("{path}.command[{at}]"), "names an event: only arcs are started by one");
    }
    check_references(path, workload, problems);
    let mut environment = Vec::new();
    for (name, value) in workload["environment"].as_object().into_iter().flatten() {
        match value.as_str().filter(|_| !name.is_empty() && !name.contains(['=', '\0'])) {
            Some(value) => environment.push((name.clone(), value.to_owned())),
            None => problems.add(format!("{path}.environment.{name}"), "must be a variable with a text"),
        }
    }
    check_environment(path, workload, &environment, problems);
}

/// The arguments that are texts, with their positions.
fn words(workload: &Value) -> impl Iterator<Item = (usize, &str)> {
    let words = workload["command"].as_array().into_iter().flatten().enumerate();
    words.filter_map(|(at, word)| Some((at, word.as_str()?)))
}

fn check_references(path: &str, workload: &Value, problems: &Problems) {
    for (at, _) in words(workload).filter(|(_, word)| word.starts_with("Ref::")) {
        problems.add(format!("{path}.command[{at}]"), "begins with `Ref::`, which AWS Batch would fill in");
    }
}

fn check_environment(path: &str, workload: &Value, environment: &[(String, String)], problems: &Problems) {
    let command = workload.get("command").map(|command| command.to_string().len()).unwrap_or_default();
    let bytes = environment.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() + command;
    if bytes > ENVIRONMENT_BYTES_MAX {
        let message = format!("variables and arguments have {bytes} bytes, and a job has room for {ENVIRONMENT_BYTES_MAX}");
        problems.add_fix(format!("{path}.environment"), message, Some("put it into an object, and name that".to_owned()));
    }
    for (name, _) in environment.iter().filter(|(name, _)| name.starts_with(RESERVED)) {
        problems.add(format!("{path}.environment.{name}"), format!("begins with {RESERVED}, which AWS Batch keeps for itself"));
    }
}

/// An image of elsewhere, or the folder that one is built from.
fn check_image(path: &str, workload: &Value, deployment: &Deployment<'_>, folders: &mut Folders, problems: &Problems) {
    let at = format!("{path}.imagePath");
    let Some(image) = workload["imagePath"].as_str().filter(|image| !image.is_empty()) else {
        let fix = "name a folder that is built to an image, or an image's URI".to_owned();
        return problems.add_fix(at, "is missing: on AWS a command runs in an image", Some(fix));
    };
    if synth::is_image_uri(image) {
        return forms::image(image).unwrap_or_else(|message| problems.add(at, message));
    }
    if !image.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte)) {
        let message = format!("`{image}` is neither an image nor a folder whose name can be a repository's");
        return problems.add_fix(at, message, Some("use letters, digits, `.`, `_`, `-` and `/`".to_owned()));
    }
    let parts: Vec<&str> = image.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let folder = format!("{}{}", if image.starts_with('/') { "/" } else { "./" }, parts.join("/"));
    let repository = deployment.names.image_repository(image);
    match folders.get(&logical(&repository)) {
        Some((first, _)) if *first == folder => {}
        Some((_, place)) => problems.add(at, format!("makes the repository `{repository}`, which holds the image of {place}")),
        None => drop(folders.insert(logical(&repository), (folder, path.to_owned()))),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;
    use crate::verify::aws_tests::said;

    /// The good file with an activity of these fields.
    fn check(fields: Value, expected: Expect) {
        let change = |file: &mut Value| {
            let mut activity = json!({"type": "aws:core:batchExecActivity", "name": "job", "schedule": "Hours"});
            activity.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            file["activities"] = json!([activity]);
        };
        expected.assert_eq(&said(change));
    }

    #[test]
    fn activities_are_jobs() {
        check(json!({"imagePath": "tidy", "environment": {"A": "b"}, "runtimeProps": {"timeoutMin": 5}}), expect![[""]]);
        check(json!({"workload": {"imagePath": "tidy:1", "command": ["tidy"], "batchRuntimeProps": {"vcpu": 1}}}), expect![[""]]);
        let environment = json!({"A": 1, "B": true, "": "x", "C=D": "e", "AWS_BATCH_X": "y", "BIG": "x".repeat(40_000)});
        check(
            json!({"imagePath": "tidy", "environment": environment, "command": ["Ref::lot", "--lot=$.arcNotifyEvent.lot"]}),
            expect![[r#"
                activities[0].command[1]: names an event: only arcs are started by one
                activities[0].command[0]: begins with `Ref::`, which AWS Batch would fill in
                activities[0].environment.A: must be a variable with a text
                activities[0].environment.B: must be a variable with a text
                activities[0].environment.: must be a variable with a text
                activities[0].environment.C=D: must be a variable with a text
                activities[0].environment: variables and arguments have 40056 bytes, and a job has room for 24576 [put it into an object, and name that]
                activities[0].environment.AWS_BATCH_X: begins with AWS_BATCH, which AWS Batch keeps for itself
            "#]],
        );
    }

    #[test]
    fn the_workload_of_an_activity_is_read_field_by_field() {
        check(
            json!({"workload": {"imagePath": "tidy", "commands": ["x"], "command": "./run.sh --x", "computeEnvironmentRef": "data",
                "batchRuntimeProps": {"timeoutMin": 99_999_999_999_u64, "retryAttempts": "x", "vcpus": 1}}}),
            expect![[r#"
                activities[0].workload.command: must be a list of texts, not text
                activities[0].workload.batchRuntimeProps.retryAttempts: must be a whole number from 0 to 10
                activities[0].workload.batchRuntimeProps.timeoutMin: must be a whole number from 0 to 20160
                activities[0].workload.batchRuntimeProps.vcpus: is not a known field [did you mean `vcpu`?]
                activities[0].workload.commands: is not a known field [did you mean `command`?]
                activities[0].workload.computeEnvironmentRef: `data` is of type aws:core:s3Bucket, and computeEnvironmentRef names one of aws:core:computeEnvironment
            "#]],
        );
        check(
            json!({"imagePath": "tidy", "command": ["tidy"], "workload": {"command": [], "batchRuntimeProps": {"timeoutMin": 0, "vcpu": 3}}}),
            expect![[r#"
                activities[0].workload.batchRuntimeProps.timeoutMin: is 0: a job has at least one minute [leave it out for 60]
                activities[0].workload.batchRuntimeProps.vcpu: is 3: Fargate has 0.25, 0.5, 1, 2, 4, 8, 16
                activities[0].imagePath: is not used: there is a `workload` [write it to `workload.imagePath`]
                activities[0].command: is not used: there is a `workload` [write it to `workload.command`]
                activities[0].workload.imagePath: is missing: on AWS a command runs in an image [name a folder that is built to an image, or an image's URI]
            "#]],
        );
    }

    #[test]
    fn images_and_folders() {
        let said = |image: &str| {
            said(|file| {
                file["arcs"][0]["workload"]["imagePath"] = image.into();
                file["activities"] =
                    json!([{"type": "aws:core:batchExecActivity", "name": "job", "schedule": "Hours", "imagePath": "docker/app"}]);
            })
        };
        let images = [
            "docker/app",
            "./docker/app/",
            "app:1",
            "123456789012.dkr.ecr.us-east-2.amazonaws.com/app:1",
            "docker-app",
            "../docker/app",
            "dockerApp",
            "My App!",
            "my app:1 x",
            "https://example.com/app:1",
            "",
        ];
        expect![[r#"
            docker/app
            ./docker/app/
            app:1
            123456789012.dkr.ecr.us-east-2.amazonaws.com/app:1
            docker-app
            activities[0].imagePath: makes the repository `test-lake-docker-app`, which holds the image of arcs[0].workload
            ../docker/app
            activities[0].imagePath: makes the repository `test-lake-docker-app`, which holds the image of arcs[0].workload
            dockerApp
            My App!
            arcs[0].workload.imagePath: `My App!` is neither an image nor a folder whose name can be a repository's [use letters, digits, `.`, `_`, `-` and `/`]
            my app:1 x
            arcs[0].workload.imagePath: `my app:1 x` is no image: a tag has 1 to 128 letters, digits, `_`, `.` and `-`, and does not begin with `.` or `-`
            https://example.com/app:1
            arcs[0].workload.imagePath: `https://example.com/app:1` is a URL: an image is named without `https://`

            arcs[0].workload.imagePath: is missing: on AWS a command runs in an image [name a folder that is built to an image, or an image's URI]
        "#]].assert_eq(&images.map(|image| format!("{image}\n{}", said(image))).concat());
    }

    #[test]
    fn jobs_of_no_time() {
        let said = |workload: Value, kind: &str| {
            said(|file| {
                file["arcs"][0]["type"] = kind.into();
                file["arcs"][0]["workload"] = workload.clone();
            })
        };
        let theirs = json!({"imagePath": "app", "command": ["run"], "environment": {"CLS_ARC_PROPS_JSON": "mine"}, "batchRuntimeProps": {"timeoutMin": 0}});
        let ours = json!({"imagePath": "app", "command": ["run"], "timeoutMin": 0});
        expect![[r#"
            arcs[0].workload.batchRuntimeProps.timeoutMin: is 0: a job has at least one minute [leave it out for 60]
            arcs[0].workload.environment.CLS_ARC_PROPS_JSON: is what a job is told its sources and sinks in: use another name
            arcs[0].workload.timeoutMin: is 0: a job has at least one minute [leave it out for 60]
        "#]]
        .assert_eq(&(said(theirs, "aws:core:batchExecArc") + &said(ours, "exec")));
    }
}
