//! What AWS Batch asks of arcs and activities: sizes that Fargate has, images, arguments that can be filled in, variables
//! that fit. Drafts and their entries in the file flow in, problems flow out.

use manifests::ArcSpec;
use serde_json::Value;

use super::aws::Deployment;
use super::fields::Problems;
use crate::synth::runtime::{self, FARGATE};
use crate::synth::{self, EVENT_PREFIX};

/// Bytes of the variables and arguments of a job; a job's definition and what is submitted with it have 30 KiB.
const ENVIRONMENT_BYTES_MAX: usize = 24 * 1024;
/// What Batch begins its own variables with.
const RESERVED: &str = "AWS_BATCH";

/// Reports what Batch would refuse, or run otherwise than it is meant.
pub fn check(deployment: &Deployment<'_>, problems: &Problems) {
    for (path, entry) in deployment.list("arcs").filter(|(_, entry)| entry["exclude"] != true) {
        check_entry(&path, entry, problems);
        let name = entry["name"].as_str().unwrap_or_default();
        if let Some(arc) = deployment.arcs.iter().find(|arc| arc.id.arc == name) {
            check_arc(&path, arc, deployment, problems);
        }
    }
    for (path, entry) in deployment.list("activities").filter(|(_, entry)| entry["type"] == "aws:core:batchExecActivity") {
        check_entry(&path, entry, problems);
        let is_named = |value: &Value| value["imagePath"].as_str().is_some_and(|image| !image.is_empty());
        if !is_named(entry) && !is_named(&entry["workload"]) {
            problems.add(format!("{path}.imagePath"), "is missing: a job needs an image");
        }
    }
}

fn check_entry(path: &str, entry: &Value, problems: &Problems) {
    let ours = entry.get("runtimeProps").map(|props| (format!("{path}.runtimeProps"), props));
    let theirs = || entry.get("workload")?.get("batchRuntimeProps").map(|props| (format!("{path}.workload.batchRuntimeProps"), props));
    if let Some((path, props)) = ours.or_else(theirs) {
        check_size(&path, props, problems);
    }
}

fn check_size(path: &str, props: &Value, problems: &Problems) {
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
    if !runtime::is_user_image(arc) {
        return;
    }
    if arc.workload.get("imagePath").and_then(Value::as_str).is_none_or(str::is_empty) {
        let fix = "name a folder that is built to an image, or an image's URI".to_owned();
        problems.add_fix(format!("{path}.workload.imagePath"), "is missing: on AWS a command runs in an image", Some(fix));
    }
    check_command(path, arc, problems);
    check_environment(path, arc, deployment, problems);
}

/// Batch fills in whole arguments, so a field of the event has to be one.
fn check_command(path: &str, arc: &ArcSpec, problems: &Problems) {
    let words = arc.workload.get("command").and_then(Value::as_array).into_iter().flatten();
    for (at, word) in words.enumerate().filter_map(|(at, word)| Some((at, word.as_str()?))) {
        let is_whole = word.strip_prefix(EVENT_PREFIX).is_some_and(|field| synth::parameter_of(field).is_some());
        if word.contains(EVENT_PREFIX) && !is_whole {
            let fix = Some("make it two arguments: '--lot', '$.arcNotifyEvent.lot'".to_owned());
            problems.add_fix(format!("{path}.workload.command[{at}]"), "AWS Batch fills in whole arguments only", fix);
        }
        if word.starts_with("Ref::") {
            problems.add(format!("{path}.workload.command[{at}]"), "begins with `Ref::`, which AWS Batch would fill in");
        }
    }
}

fn check_environment(path: &str, arc: &ArcSpec, deployment: &Deployment<'_>, problems: &Problems) {
    let environment = synth::user_environment(&deployment.names, arc);
    let command = arc.workload.get("command").map(|command| command.to_string().len()).unwrap_or_default();
    let bytes = environment.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() + command;
    if bytes > ENVIRONMENT_BYTES_MAX {
        let message = format!("variables and arguments have {bytes} bytes, and a job has room for {ENVIRONMENT_BYTES_MAX}");
        problems.add_fix(format!("{path}.workload.environment"), message, Some("put it into an object, and name that".to_owned()));
    }
    for (name, _) in environment.iter().filter(|(name, _)| name.starts_with(RESERVED)) {
        problems.add(format!("{path}.workload.environment.{name}"), format!("begins with {RESERVED}, which AWS Batch keeps for itself"));
    }
}
