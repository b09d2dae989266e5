//! Activities: exports of log groups that the dispatch function asks for by the clock, and jobs that EventBridge submits
//! by itself. The file's entries flow in, parts flow out.

use manifests::LotUnit;
use serde_json::{Map, Value, json};

use super::ProjectOptions;
use super::arrival::declared_bucket;
use super::batch::{JOB_QUEUE, Job};
use super::boundary::intervals;
use super::function::{Schedule, patience};
use super::grants;
use super::iam::{self, Area, allow};
use super::image;
use super::names::{ProjectNames, logical};
use super::part::{Group, Parts, arn_of, object, reference};
use super::runtime::{self, Runtime};
use crate::file::{Problem, Project};

/// What exports of log groups are called here and in Clusterless.
const EXPORTS: [&str; 2] = ["cloudWatchExport", "aws:core:cloudWatchExport"];
/// What jobs are called.
const JOBS: [&str; 2] = ["exec", "aws:core:batchExecActivity"];
/// Logical id of the role that EventBridge submits jobs with.
const SCHEDULE_ROLE: &str = "ScheduleRole";
/// Exports that sweeps begin in a day.
const EXPORTS_DAILY_MAX: u32 = 288;

/// A job of the file's activities.
#[derive(Clone, Debug)]
pub(crate) struct ActivityJob<'a> {
    /// The activity's name.
    pub name: &'a str,
    /// Its image, where the file names one.
    pub image: Option<&'a str>,
    /// Its entry, or the workload in it.
    workload: &'a Value,
    /// `cron(…)` or `rate(…)`.
    schedule: String,
    is_enabled: bool,
    /// What it runs with.
    pub runtime: Runtime,
}

/// Whether an entry of `activities` is an export of a log group.
pub(crate) fn is_export(entry: &Value) -> bool {
    entry["type"].as_str().is_some_and(|kind| EXPORTS.contains(&kind))
}

/// Whether an entry of `activities` is a job.
pub(crate) fn is_job(entry: &Value) -> bool {
    entry["type"].as_str().is_some_and(|kind| JOBS.contains(&kind))
}

fn named(project: &Project, is_one: fn(&Value) -> bool) -> impl Iterator<Item = (&str, &Value)> {
    let entries = project.activities.iter().filter(move |entry| is_one(entry));
    entries.filter_map(|entry| Some((entry["name"].as_str()?, entry)))
}

/// A unit of lots as the schedule of its intervals, or a schedule as it is.
pub(crate) fn schedule(text: &str) -> String {
    text.parse::<LotUnit>().map_or_else(|_| text.to_owned(), |unit| intervals(unit).to_owned())
}

/// The jobs of the file's activities.
pub(crate) fn jobs(project: &Project) -> impl Iterator<Item = ActivityJob<'_>> {
    named(project, is_job).map(|(name, entry)| {
        let workload = entry.get("workload").filter(|workload| workload.get("imagePath").is_some()).unwrap_or(entry);
        ActivityJob {
            name,
            image: workload.get("imagePath").and_then(Value::as_str),
            workload,
            schedule: schedule(entry["schedule"].as_str().unwrap_or_default()),
            is_enabled: entry["enabled"] != false,
            runtime: runtime::of_props(runtime::arc_props(entry).or_else(|| workload.get("batchRuntimeProps"))),
        }
    })
}

/// Adds the job definitions of activities and the rules that submit them.
pub(crate) fn add(parts: &mut Parts, names: &ProjectNames, project: &Project, options: &ProjectOptions) {
    let jobs: Vec<ActivityJob<'_>> = jobs(project).collect();
    if jobs.is_empty() {
        return;
    }
    parts.enter(Group::Base);
    let place = &names.placement;
    let definitions = jobs.iter().flat_map(|job| {
        let name = names.activity_definition(job.name);
        [format!("job-definition/{name}"), format!("job-definition/{name}:*")]
    });
    let things = definitions.chain([format!("job-queue/{}", names.job_queue())]).map(|thing| place.arn("batch", &thing).into());
    let statements = vec![allow(&["batch:SubmitJob"], things.collect())];
    iam::role(parts, place, SCHEDULE_ROLE, names.role("schedule"), "events.amazonaws.com", statements);
    jobs.into_iter().for_each(|job| add_job(parts, names, project, job, options));
}

fn add_job(parts: &mut Parts, names: &ProjectNames, project: &Project, activity: ActivityJob<'_>, options: &ProjectOptions) {
    parts.enter(Group::Arc(activity.name.to_owned()));
    parts.begin("activities", activity.name);
    let id = format!("Activity{}", logical(activity.name));
    let texts = activity.workload.get("command").and_then(Value::as_array).into_iter().flatten();
    let variables = activity.workload.get("environment").and_then(Value::as_object).into_iter().flatten();
    let path = activity.image.unwrap_or_default();
    let job = Job {
        assign_public_ip: super::batch::assign_public_ip(names, options),
        id: id.clone(),
        name: names.activity_definition(activity.name),
        stream: format!("activity-{}", activity.name),
        role: names.role(&format!("activity-{}", activity.name)),
        statements: Vec::from_iter(iam::with_keys(&options.keys())),
        image: image::of_path(names, path, &project.version, activity.runtime.architecture).uri,
        command: texts.filter_map(Value::as_str).map(str::to_owned).collect(),
        parameters: Map::new(),
        environment: variables.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect(),
        secrets: Vec::new(),
        is_own: false,
        runtime: activity.runtime,
    };
    job.add(parts, names);
    let rule = names.rule(&format!("activity-{}", activity.name));
    let target = object(json!({
        "Id": "job", "Arn": reference(JOB_QUEUE), "RoleArn": arn_of(SCHEDULE_ROLE),
        "BatchParameters": {"JobDefinition": reference(&id), "JobName": names.activity_definition(activity.name)},
        "RetryPolicy": patience(),
        "DeadLetterConfig": {"Arn": arn_of(super::dispatch::UNDELIVERED)},
    }));
    let properties = json!({
        "Name": rule,
        "Description": format!("Activity {}", activity.name),
        "ScheduleExpression": activity.schedule,
        "State": if activity.is_enabled { "ENABLED" } else { "DISABLED" },
        "Targets": [target],
    });
    let arn = names.placement.arn("events", &format!("rule/{rule}"));
    parts.add(&format!("{id}Rule"), "AWS::Events::Rule", rule, arn, properties);
}

/// The exports of log groups: names and entries.
pub(crate) fn exports(project: &Project) -> impl Iterator<Item = (&str, &Value)> {
    named(project, is_export)
}

/// Adds the rules that make the dispatch function export log groups.
pub(crate) fn add_exports(parts: &mut Parts, names: &ProjectNames, project: &Project, function: &str) {
    for (name, entry) in exports(project) {
        parts.begin("activities", name);
        let export = Schedule {
            rule: names.rule(&format!("export-{name}")),
            description: format!("Activity {name}"),
            expression: schedule(entry["interval"].as_str().unwrap_or_default()),
            input: json!({"activity": name}),
            is_enabled: entry["enabled"] != false,
        };
        export.add(parts, names, &format!("Export{}", logical(name)), function);
    }
    parts.end();
}

/// What the dispatch function may do for exports.
pub(crate) fn export_grants(names: &ProjectNames, project: &Project, options: &ProjectOptions) -> Vec<Value> {
    let mut groups: Vec<String> = exports(project).filter_map(|(_, entry)| Some(entry["logGroupName"].as_str()?.to_owned())).collect();
    groups.sort();
    groups.dedup();
    grants::exporting(&names.placement, &groups, &export_folders(project), options)
}

/// The folders that exports are written into.
pub(crate) fn export_folders(project: &Project) -> Vec<Area> {
    let area = |uri: &str| Area::of_uri(&(uri.trim_end_matches('/').to_owned() + "/"));
    let mut folders: Vec<Area> = exports(project).filter_map(|(_, entry)| area(entry["pathURI"].as_str()?)).collect();
    folders.sort();
    folders.dedup();
    folders
}

/// What lets CloudWatch Logs write exports into a bucket.
pub(crate) fn export_statements(names: &ProjectNames, project: &Project, bucket: &str) -> Vec<Value> {
    let place = &names.placement;
    let service = json!({"Service": format!("logs.{}.{}", place.region, place.url_suffix())});
    let condition = json!({"StringEquals": {"aws:SourceAccount": place.account}});
    let folders = export_folders(project).into_iter().filter(|area| area.bucket == bucket);
    let keys: Vec<Value> = folders.map(|area| area.keys(place, "*")).collect();
    if keys.is_empty() {
        return Vec::new();
    }
    let statement = |action: &str, resources: Vec<Value>| json!({"Effect": "Allow", "Principal": service, "Action": action, "Resource": resources, "Condition": condition});
    vec![statement("s3:GetBucketAcl", vec![place.s3_arn(bucket).into()]), statement("s3:PutObject", keys)]
}

/// What is left to do for exports: policies of buckets that are not made here, and intervals too short for an account that
/// exports one after the other.
pub(crate) fn export_notes(names: &ProjectNames, project: &Project) -> Vec<Problem> {
    let mut buckets: Vec<String> = export_folders(project).into_iter().map(|area| area.bucket).collect();
    buckets.dedup();
    buckets.retain(|bucket| declared_bucket(&project.resources, bucket).is_none());
    let of_bucket = |bucket: &String| Problem {
        path: "activities".into(),
        message: format!("{bucket} is no bucket of this project: its policy has to let CloudWatch Logs write exports"),
        fix: Some(format!("add to the bucket's policy: {}", Value::from(export_statements(names, project, bucket)))),
    };
    let units = exports(project).filter_map(|(_, entry)| entry["interval"].as_str()?.parse::<LotUnit>().ok());
    let daily: u32 = units.map(LotUnit::per_day).sum();
    let crowd = (daily > EXPORTS_DAILY_MAX).then(|| Problem {
        path: "activities".into(),
        message: format!("{daily} exports a day: an account makes one after the other, and a new one is begun every five minutes"),
        fix: Some("use a longer interval, such as Hours".into()),
    });
    buckets.iter().map(of_bucket).chain(crowd).collect()
}
