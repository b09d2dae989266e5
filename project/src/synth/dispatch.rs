//! The function that starts what is due, what calls it, and where everything goes that could not be delivered. The
//! project's arcs flow in, parts flow out.

use manifests::{ArcSpec, EVENT_DETAIL_TYPE, EVENT_SOURCE};
use serde_json::{Value, json};

use super::ProjectOptions;
use super::activities;
use super::batch::JOB_QUEUE;
use super::function::{Function, Schedule, add_permission, target};
use super::grants;
use super::iam;
use super::names::ProjectNames;
use super::part::{Parts, arn_of, object, reference};
use super::queue::{Queue, Sender};
use super::runtime::Architecture;
use crate::file::Project;

/// Logical id of the queue of events that could not be delivered or handled.
pub(crate) const UNDELIVERED: &str = "Undelivered";
/// Logical id of the topic of failures.
pub(crate) const TOPIC: &str = "Failures";
/// Logical id of the function.
const DISPATCH: &str = "Dispatch";
const MEMORY_MB: u64 = 512;
const SECONDS: u64 = 120;
/// How often what lost events left due is looked for.
const SWEEP: &str = "rate(5 minutes)";
/// Bytes of dataset ids in one rule; EventBridge takes patterns of 2,048.
const PATTERN_BYTES_MAX: usize = 1500;
/// Bytes of a rule's name that all rules of the project share, whether they had to be shortened or not.
const SHARED_BYTES: usize = 50;

/// Adds the queue of events that functions could not be given, or failed on.
pub(crate) fn add_undelivered(parts: &mut Parts, names: &ProjectNames, options: &ProjectOptions) {
    let place = &names.placement;
    let shared = names.prefix.get(..SHARED_BYTES).unwrap_or(&names.prefix);
    let rules = [format!("rule/{shared}*"), format!("rule/{}/{shared}*", place.event_bus())];
    let senders = vec![Sender { service: "events.amazonaws.com", sources: rules.iter().map(|rule| place.arn("events", rule)).collect() }];
    Queue { name: names.undelivered(), senders, ..Queue::default() }.add(parts, names, UNDELIVERED, options);
}

/// Adds the topic of failures.
pub(crate) fn add_topic(parts: &mut Parts, names: &ProjectNames, options: &ProjectOptions) {
    let place = &names.placement;
    let arn = place.arn("sns", &names.topic());
    let topic = object(json!({"TopicName": names.topic(), "KmsMasterKeyId": options.kms_key}));
    parts.add(TOPIC, "AWS::SNS::Topic", arn.clone(), arn, topic);
    let alarming = json!({
        "Effect": "Allow", "Principal": {"Service": "cloudwatch.amazonaws.com"}, "Action": "sns:Publish", "Resource": reference(TOPIC),
        "Condition": {"StringEquals": {"aws:SourceAccount": place.account}},
    });
    let statements = vec![iam::tls_only("sns:Publish", vec![reference(TOPIC)]), alarming];
    let policy = json!({"Topics": [reference(TOPIC)], "PolicyDocument": iam::document(statements)});
    parts.leaf(&format!("{TOPIC}Policy"), "AWS::SNS::TopicPolicy", policy);
    parts.output("FailuresTopic", "Subscribe to this topic to hear of failures", reference(TOPIC));
}

/// Adds the function and what calls it: events of the datasets that arcs wait for, jobs that end, a clock.
pub(crate) fn add(parts: &mut Parts, names: &ProjectNames, project: &Project, arcs: &[&ArcSpec], options: &ProjectOptions, has_jobs: bool) {
    let mut statements = grants::dispatch(names, arcs, reference(TOPIC), arn_of(UNDELIVERED), options);
    statements.extend(activities::export_grants(names, project, options));
    let mut environment = vec![("ARC_DEPLOYMENT", options.deployment_uri.clone().into()), ("ARC_FAILURES_TOPIC", reference(TOPIC))];
    if has_jobs {
        environment.push(("ARC_JOB_QUEUE", reference(JOB_QUEUE)));
        add_jobs(parts, names);
    }
    let function = Function {
        name: names.dispatch_function(),
        role: names.role("dispatch"),
        description: format!("Starts what is due in {} {}", project.name, project.version),
        code_key: options.code.key_dispatch.clone(),
        environment,
        statements,
        concurrency: 1,
        memory_mb: MEMORY_MB,
        seconds: SECONDS,
        architecture: Architecture::default(),
    };
    function.add(parts, names, DISPATCH, options);
    let sweep = Schedule {
        rule: names.rule("dispatch-sweep"),
        description: "Looks for what lost events left due".to_owned(),
        expression: SWEEP.to_owned(),
        input: json!({"sweep": true}),
        is_enabled: true,
    };
    sweep.add(parts, names, "DispatchSweep", DISPATCH);
    for (at, ids) in dataset_ids(arcs).into_iter().enumerate() {
        add_availability(parts, names, at + 1, &ids);
    }
    activities::add_exports(parts, names, project, DISPATCH);
    parts.output("DispatchFunction", "The function that starts what is due", reference(DISPATCH));
}

/// The ids of datasets that arcs wait for, cut so that each list fits into a rule's pattern.
fn dataset_ids(arcs: &[&ArcSpec]) -> Vec<Vec<String>> {
    let subscribed = arcs.iter().flat_map(|arc| arc.sources.iter().filter(|source| source.subscribe));
    let mut ids: Vec<String> = subscribed.map(|source| source.dataset.id().to_string()).collect();
    ids.sort();
    ids.dedup();
    let mut lists: Vec<Vec<String>> = Vec::new();
    let mut bytes = PATTERN_BYTES_MAX;
    for id in ids {
        bytes += id.len() + 3;
        match lists.last_mut().filter(|_| bytes <= PATTERN_BYTES_MAX) {
            Some(list) => list.push(id),
            None => {
                bytes = id.len() + 3;
                lists.push(vec![id]);
            }
        }
    }
    lists
}

fn add_availability(parts: &mut Parts, names: &ProjectNames, number: usize, ids: &[String]) {
    let (name, bus) = (names.rule(&format!("dispatch-lots-{number}")), names.placement.event_bus());
    let arn = names.placement.arn("events", &format!("rule/{bus}/{name}"));
    let properties = json!({
        "Name": name,
        "Description": "Lots that arcs wait for",
        "EventBusName": bus,
        "EventPattern": {"source": [EVENT_SOURCE], "detail-type": [EVENT_DETAIL_TYPE], "detail": {"datasetId": ids}},
        "State": "ENABLED",
        "Targets": [target("function", arn_of(DISPATCH), Value::Null, UNDELIVERED)],
    });
    let id = format!("DispatchLots{number}");
    parts.add(&id, "AWS::Events::Rule", name, arn, properties);
    add_permission(parts, &id, DISPATCH);
}

fn add_jobs(parts: &mut Parts, names: &ProjectNames) {
    let name = names.rule("dispatch-jobs");
    let arn = names.placement.arn("events", &format!("rule/{name}"));
    let detail = json!({"jobQueue": [reference(JOB_QUEUE)], "status": ["RUNNING", "SUCCEEDED", "FAILED"]});
    let properties = json!({
        "Name": name,
        "Description": "Jobs that start and end",
        "EventPattern": {"source": ["aws.batch"], "detail-type": ["Batch Job State Change"], "detail": detail},
        "State": "ENABLED",
        "Targets": [target("function", arn_of(DISPATCH), Value::Null, UNDELIVERED)],
    });
    parts.add("DispatchJobs", "AWS::Events::Rule", name, arn, properties);
    add_permission(parts, "DispatchJobs", DISPATCH);
}
