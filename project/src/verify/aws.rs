//! What a placement on AWS asks of a project beyond what any placement does: names that its services take, notifications
//! that S3 takes, sizes that Fargate and Lambda have. The file's value and what was read of it flow in; problems flow out,
//! so that they are found here and not by a deployment that fails half-way.

use boundary::{BoundarySpec, EventArrival};
use manifests::ArcSpec;
use serde_json::Value;

use super::arc::DraftArc;
use super::fields::Problems;
use super::{aws_jobs, aws_names, aws_resources, schedule};
use crate::file::{Placement, Problem, is_served_by_up};
use crate::forms::BUCKET_BYTES_MAX;
use crate::synth::{self, Arrival, Names, ProjectNames};

/// Minutes that a function may take.
const FUNCTION_MINUTES_MAX: u64 = 15;
/// Memory that a function may have, in MB.
const FUNCTION_MEMORY_MB: std::ops::RangeInclusive<u64> = 128..=10_240;

/// What was read of a file whose placement is on AWS.
pub struct Deployment<'a> {
    /// The file.
    pub document: &'a Value,
    /// The names of its things.
    pub names: ProjectNames,
    /// With their JSON paths.
    pub boundaries: &'a [(String, BoundarySpec)],
    /// In the order of the file.
    pub drafts: &'a [DraftArc],
    /// Those that are not excluded.
    pub arcs: &'a [ArcSpec],
}

impl Deployment<'_> {
    /// The names of a project on AWS; `None` for another placement.
    pub fn names(placement: &Placement, name: &str, version: &str) -> Option<ProjectNames> {
        Some(Names::new(placement)?.project(name, version))
    }

    /// The entries of a list with their JSON paths.
    pub fn list(&self, key: &'static str) -> impl Iterator<Item = (String, &Value)> {
        let list = self.document.get(key).and_then(Value::as_array).into_iter().flatten();
        list.enumerate().map(move |(at, entry)| (format!("{key}[{at}]"), entry))
    }

    fn resources(&self) -> &[Value] {
        self.document.get("resources").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
}

/// Reports everything that AWS would refuse.
pub fn check(deployment: &Deployment<'_>, problems: &Problems) {
    check_placement(&deployment.names.placement, problems);
    aws_resources::check(deployment, problems);
    check_boundaries(deployment, problems);
    check_notifications(deployment, problems);
    aws_names::check(deployment, problems);
    aws_jobs::check(deployment, problems);
    schedule::check(deployment, problems);
    if is_served_by_up(deployment.document) {
        check_served(deployment, problems);
    }
}

/// Images of users are for AWS Batch to start.
fn check_served(deployment: &Deployment<'_>, problems: &Problems) {
    for (path, entry) in deployment.list("arcs").filter(|(_, entry)| entry["exclude"] != true) {
        let name = entry["name"].as_str().unwrap_or_default();
        if deployment.arcs.iter().any(|arc| arc.id.arc == name && synth::is_user_image(arc)) {
            let fix = Some("use `workers: 'batch'`, or a project of its own for this arc".to_owned());
            problems.add_fix(path, "runs an image of its own, and with `workers: 'up'` nothing starts images", fix);
        }
    }
}

/// What the person deploying has to do for it.
pub fn notes(deployment: &Deployment<'_>) -> Vec<Problem> {
    let mut notes = unserved(deployment);
    notes.extend(aws_resources::notes(deployment));
    let mut told: Vec<&str> = Vec::new();
    for (path, boundary) in deployment.boundaries {
        let bucket = synth::arrival_bucket(boundary);
        if let Some(topic) = entry(deployment, boundary)["topicArn"].as_str() {
            let message = format!(
                "arrivals are seen once bucket {bucket} tells {topic} of s3:ObjectCreated:*, and whoever deploys may subscribe to it"
            );
            notes.push(Problem { path: format!("{path}.topicArn"), message, fix: None });
            continue;
        }
        let is_foreign = synth::declared_bucket(deployment.resources(), bucket).is_none();
        if is_foreign && !told.contains(&bucket) {
            told.push(bucket);
            let command = format!(
                "aws s3api put-bucket-notification-configuration --bucket {bucket} --notification-configuration '{{\"EventBridgeConfiguration\":{{}}}}'"
            );
            notes.push(Problem {
                path: format!("{path}.dataset.pathURI"),
                message: format!("{bucket} is no bucket of this project: its arrivals are seen once EventBridge is switched on for it"),
                fix: Some(format!(
                    "{command} (it replaces the bucket's notifications: add those that `get-bucket-notification-configuration` shows)"
                )),
            });
        }
    }
    notes
}

/// Activities that nobody starts.
fn unserved(deployment: &Deployment<'_>) -> Vec<Problem> {
    if !is_served_by_up(deployment.document) {
        return Vec::new();
    }
    let message = "is not run: with `workers: 'up'` there is neither a function nor a job".to_owned();
    deployment.list("activities").map(|(path, _)| Problem { path, message: message.clone(), fix: None }).collect()
}

/// Reports a placement whose names AWS would refuse.
pub fn check_placement(names: &Names, problems: &Problems) {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_joined = !names.stage.starts_with('-') && !names.stage.ends_with('-') && !names.stage.contains("--");
    if !names.stage.bytes().all(is_plain) || !is_joined {
        let words = names.stage.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let fix = Some(format!("use `{}`", words.collect::<Vec<_>>().join("-").to_lowercase()));
        problems.add_fix(
            "placement.stage",
            "becomes part of bucket names: use lower-case letters and digits, with single `-` between",
            fix,
        );
    }
    if let Some(bucket) = names.store_buckets().into_iter().find(|bucket| bucket.len() > BUCKET_BYTES_MAX) {
        let more = bucket.len() - BUCKET_BYTES_MAX;
        problems.add("placement.stage", format!("makes `{bucket}`, which is {more} bytes longer than a bucket's name can be"));
    }
    if names.account.len() != 12 || !names.account.bytes().all(|byte| byte.is_ascii_digit()) {
        problems.add("placement.account", "must be the twelve digits of an account");
    }
    let parts: Vec<&str> = names.region.split('-').collect();
    let is_word = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_number = |part: &&str| part.len() == 1 && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_region = parts.len() >= 3 && parts[..parts.len() - 1].iter().all(is_word) && parts.last().is_some_and(is_number);
    if !is_region {
        problems.add("placement.region", format!("`{}` is no region: use one such as us-east-2", names.region));
    }
}

fn check_boundaries(deployment: &Deployment<'_>, problems: &Problems) {
    for (path, entry) in deployment.list("boundaries") {
        let number = |key: &str| entry["runtimeProps"][key].as_u64();
        if let Some(minutes) = number("timeoutMin").filter(|minutes| !(1..=FUNCTION_MINUTES_MAX).contains(minutes)) {
            let message = format!("is {minutes}: a function takes from 1 to {FUNCTION_MINUTES_MAX} minutes");
            problems.add(format!("{path}.runtimeProps.timeoutMin"), message);
        }
        if let Some(memory) = number("memorySizeMB").filter(|memory| !FUNCTION_MEMORY_MB.contains(memory)) {
            let message = format!("is {memory}: a function has from {} to {} MB", FUNCTION_MEMORY_MB.start(), FUNCTION_MEMORY_MB.end());
            problems.add(format!("{path}.runtimeProps.memorySizeMB"), message);
        }
    }
}

/// A boundary as the file has it.
fn entry<'a>(deployment: &'a Deployment<'_>, boundary: &BoundarySpec) -> &'a Value {
    deployment.list("boundaries").map(|found| found.1).find(|entry| entry["name"] == boundary.name.as_str()).unwrap_or(&Value::Null)
}

/// S3 refuses a bucket two of whose notifications would fit one object.
fn check_notifications(deployment: &Deployment<'_>, problems: &Problems) {
    let is_notified =
        |boundary: &BoundarySpec| Arrival::between(deployment.resources(), entry(deployment, boundary), boundary) == Arrival::Notification;
    let notified: Vec<_> = deployment.boundaries.iter().filter(|(_, boundary)| is_notified(boundary)).collect();
    for (at, (path, boundary)) in notified.iter().enumerate() {
        let (bucket, prefix) = (synth::arrival_bucket(boundary), synth::arrival_prefix(boundary));
        if let Some(letter) = prefix.chars().find(|letter| !letter.is_ascii_alphanumeric() && !"/!-_.*'()=".contains(*letter)) {
            let message = format!("has `{letter}`, which S3 does not take in what a notification is for");
            problems.add_fix(format!("{path}.dataset.pathURI"), message, Some(format!("set `enableEventBridge: true` on bucket {bucket}")));
        }
        let is_same = |other: &BoundarySpec| {
            let theirs = synth::arrival_prefix(other);
            synth::arrival_bucket(other) == bucket && (theirs.starts_with(prefix) || prefix.starts_with(theirs))
        };
        let Some((_, other)) = notified[..at].iter().find(|(_, other)| is_same(other)) else { continue };
        let message = format!("overlaps where boundary `{}` takes from: S3 notifies one queue only of an object", other.name);
        let fix = match boundary.arrival {
            EventArrival::Frequent => format!("set `enableEventBridge: true` on bucket {bucket}"),
            EventArrival::Infrequent => "set `infrequent.enableEventBridge: true` on one of them".to_owned(),
        };
        problems.add_fix(format!("{path}.dataset.pathURI"), message, Some(fix));
    }
}
