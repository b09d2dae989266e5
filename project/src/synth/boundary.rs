//! A boundary: arrivals reach a queue, a function takes them from there at each interval. A boundary's specification flows
//! in, its parts flow out; how the bucket tells the queue is decided in `arrival`.

use boundary::{BoundarySpec, EventArrival};
use manifests::LotUnit;
use serde_json::{Value, json};

use super::ProjectOptions;
use super::arrival::{self, Arrival};
use super::function::{Function, Schedule};
use super::grants;
use super::names::{ProjectNames, logical};
use super::part::{Group, Parts, arn_of, reference};
use super::queue::{Queue, SNS, Sender};
use super::runtime;
use crate::file::Project;

/// Invocations at once of a function that drains its queue by schedule.
const FREQUENT_CONCURRENCY: u32 = 1;
/// The same where the queue invokes it: two by the queue, which is the least that Lambda lets a queue have, and one by the
/// schedule. With fewer, messages would be refused, come back and at last count as dead. Commits are created by one writer
/// whoever else is there, so this costs nothing but a try.
const INFREQUENT_CONCURRENCY: u32 = 3;
/// Invocations at once by the queue.
const QUEUE_CONCURRENCY: u32 = 2;
/// Seconds that messages wait to be taken together.
const BATCH_SECONDS: u32 = 5;
/// Messages in an invocation by the queue.
const BATCH_MESSAGES: u32 = 1000;

/// The schedule of a unit's intervals: at the end of each, in UTC.
pub(crate) fn intervals(unit: LotUnit) -> &'static str {
    match unit {
        LotUnit::Minutes => "cron(* * * * ? *)",
        LotUnit::Twelfths => "cron(0/5 * * * ? *)",
        LotUnit::Sixths => "cron(0/10 * * * ? *)",
        LotUnit::Fourths => "cron(0/15 * * * ? *)",
        LotUnit::Hours => "cron(0 * * * ? *)",
        LotUnit::Days => "cron(0 0 * * ? *)",
    }
}

/// The logical id of a boundary's queue.
pub(crate) fn queue_id(boundary: &str) -> String {
    format!("Boundary{}Queue", logical(boundary))
}

/// Adds what the bucket needs to be there before it notifies: the queues.
pub(crate) fn add_queues(parts: &mut Parts, names: &ProjectNames, project: &Project, boundary: &BoundarySpec, options: &ProjectOptions) {
    let id = queue_id(&boundary.name);
    let runtime = runtime::of_boundary(project, &boundary.name);
    let visibility_seconds = match boundary.arrival {
        EventArrival::Frequent => runtime.minutes * 60 + 60,
        // What Lambda asks of a queue that invokes a function.
        EventArrival::Infrequent => runtime.minutes * 60 * 6,
    };
    let place = &names.placement;
    let arrival = Arrival::of(project, boundary);
    let (service, source) = match arrival {
        Arrival::EventBridge { .. } => ("events.amazonaws.com", place.arn("events", &format!("rule/{}", arrival_rule(names, boundary)))),
        Arrival::Notification => ("s3.amazonaws.com", place.s3_arn(arrival_bucket(boundary))),
        Arrival::Topic => (SNS, arrival::topic(project, boundary).unwrap_or_default().to_owned()),
    };
    let senders = vec![Sender { service, sources: vec![source] }];
    // EventBridge and SNS put what they cannot deliver straight to the dead letters, from where it can be sent on.
    let dead_senders = if arrival == Arrival::Notification { Vec::new() } else { senders.clone() };
    let dead_letters = dead_letters_id(&boundary.name);
    let dead = Queue { name: names.dead_letters(&boundary.name), senders: dead_senders, ..Queue::default() };
    dead.add(parts, names, &dead_letters, options);
    let queue = Queue { name: names.queue(&boundary.name), visibility_seconds, dead_letters, senders };
    queue.add(parts, names, &id, options);
}

fn dead_letters_id(boundary: &str) -> String {
    format!("Boundary{}DeadLetters", logical(boundary))
}

fn arrival_rule(names: &ProjectNames, boundary: &BoundarySpec) -> String {
    names.rule(&format!("boundary-{}-arrivals", boundary.name))
}

/// The bucket that a boundary's objects arrive in.
pub(crate) fn arrival_bucket(boundary: &BoundarySpec) -> &str {
    boundary.dataset.path_uri.strip_prefix("s3://").and_then(|rest| rest.split('/').next()).unwrap_or_default()
}

/// The prefix that a boundary's objects arrive below; empty for the whole bucket.
pub(crate) fn arrival_prefix(boundary: &BoundarySpec) -> &str {
    boundary.dataset.path_uri.strip_prefix("s3://").and_then(|rest| rest.split_once('/')).map_or("", |split| split.1)
}

/// Adds the function, its schedule and what brings it arrivals.
pub(crate) fn add(parts: &mut Parts, names: &ProjectNames, project: &Project, boundary: &BoundarySpec, options: &ProjectOptions) {
    parts.enter(Group::Boundary(boundary.name.clone()));
    let id = format!("Boundary{}", logical(&boundary.name));
    let queue = queue_id(&boundary.name);
    let name = names.boundary_function(&boundary.name);
    let runtime = runtime::of_boundary(project, &boundary.name);
    let is_frequent = boundary.arrival == EventArrival::Frequent;
    let function = Function {
        statements: grants::boundary(names, boundary, &name, arn_of(&queue), arn_of(super::dispatch::UNDELIVERED), options),
        role: names.role(&format!("boundary-{}", boundary.name)),
        description: format!("Commits what arrives at boundary {} as lots", boundary.name),
        code_key: options.code.key_boundary.clone(),
        environment: vec![
            ("ARC_DEPLOYMENT", options.deployment_uri.clone().into()),
            ("ARC_BOUNDARY", boundary.name.clone().into()),
            ("ARC_QUEUE_URL", reference(&queue)),
        ],
        concurrency: if is_frequent { FREQUENT_CONCURRENCY } else { INFREQUENT_CONCURRENCY },
        memory_mb: runtime.memory_mb,
        seconds: runtime.minutes * 60,
        architecture: runtime.architecture,
        name,
    };
    function.add(parts, names, &id, options);
    let tick = Schedule {
        rule: names.rule(&format!("boundary-{}-tick", boundary.name)),
        description: format!("The intervals of boundary {}: {}", boundary.name, boundary.unit),
        expression: intervals(boundary.unit).to_owned(),
        input: json!({"tick": true}),
        is_enabled: true,
    };
    tick.add(parts, names, &format!("{id}Tick"), &id);
    add_arrivals(parts, names, project, boundary);
    if !is_frequent {
        parts.leaf(&format!("{id}Mapping"), "AWS::Lambda::EventSourceMapping", mapping(&id, &queue));
    }
}

/// Adds what brings arrivals to the queue, where the bucket does not tell it itself.
pub(crate) fn add_arrivals(parts: &mut Parts, names: &ProjectNames, project: &Project, boundary: &BoundarySpec) {
    let (id, queue) = (format!("Boundary{}", logical(&boundary.name)), queue_id(&boundary.name));
    match Arrival::of(project, boundary) {
        Arrival::EventBridge { .. } => add_arrival_rule(parts, names, boundary, &id, &queue),
        Arrival::Topic => {
            let topic = arrival::topic(project, boundary).unwrap_or_default();
            let properties = json!({
                "TopicArn": topic, "Protocol": "sqs", "Endpoint": arn_of(&queue),
                // Where the topic is, which may be another region.
                "Region": topic.split(':').nth(3),
                "RedrivePolicy": {"deadLetterTargetArn": arn_of(&dead_letters_id(&boundary.name))},
            });
            parts.leaf(&format!("{id}Arrivals"), "AWS::SNS::Subscription", properties);
        }
        Arrival::Notification => {}
    }
}

fn mapping(function: &str, queue: &str) -> Value {
    json!({
        "FunctionName": reference(function), "EventSourceArn": arn_of(queue), "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "BatchSize": BATCH_MESSAGES, "MaximumBatchingWindowInSeconds": BATCH_SECONDS,
        "ScalingConfig": {"MaximumConcurrency": QUEUE_CONCURRENCY},
    })
}

fn add_arrival_rule(parts: &mut Parts, names: &ProjectNames, boundary: &BoundarySpec, id: &str, queue: &str) {
    let mut detail = json!({"bucket": {"name": [arrival_bucket(boundary)]}});
    if !arrival_prefix(boundary).is_empty() {
        detail["object"] = json!({"key": [{"prefix": arrival_prefix(boundary)}]});
    }
    let name = arrival_rule(names, boundary);
    let arn = names.placement.arn("events", &format!("rule/{name}"));
    let properties = json!({
        "Name": name,
        "Description": format!("Arrivals of boundary {}", boundary.name),
        "EventPattern": {"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": detail},
        "State": "ENABLED",
        "Targets": [super::function::target("queue", arn_of(queue), Value::Null, &dead_letters_id(&boundary.name))],
    });
    parts.add(&format!("{id}Arrivals"), "AWS::Events::Rule", name, arn, properties);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_has_a_schedule_that_is_taken() {
        for unit in LotUnit::all() {
            assert_eq!(crate::verify::check_schedule(intervals(unit)), Ok(()), "{unit}");
        }
    }
}
