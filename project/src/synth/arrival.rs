//! How a bucket tells a boundary's queue what arrives. The project flows in; which of the three ways, and the bucket's
//! notifications, flow out.
//!
//! A bucket of this project notifies the queue itself, or EventBridge where the file asks for that. A bucket that is
//! somebody else's is never touched: a rule on the account's default bus takes its events, once its owner has switched
//! EventBridge on; or the queue subscribes to a topic that the bucket tells already.

use boundary::BoundarySpec;
use serde_json::{Value, json};

use super::boundary::{arrival_bucket, arrival_prefix, queue_id};
use super::part::arn_of;
use super::runtime;
use crate::file::Project;

/// The way from the bucket to the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The bucket's own notification.
    Notification,
    /// EventBridge.
    EventBridge {
        /// Whether the bucket belongs to somebody else.
        is_foreign: bool,
    },
    /// A topic of SNS, which somebody's bucket tells.
    Topic,
}

/// The field of a boundary that names the topic.
pub(crate) const TOPIC: &str = "topicArn";

/// The topic that a boundary's queue subscribes to: its ARN.
pub(crate) fn topic<'a>(project: &'a Project, boundary: &BoundarySpec) -> Option<&'a str> {
    runtime::boundary_entry(project, &boundary.name)?[TOPIC].as_str()
}

/// A bucket that the project declares.
pub(crate) fn declared_bucket<'a>(resources: &'a [Value], bucket: &str) -> Option<&'a Value> {
    resources.iter().find(|resource| resource["type"] == "aws:core:s3Bucket" && resource["bucketName"] == bucket)
}

impl Arrival {
    /// How a boundary learns of arrivals.
    pub fn of(project: &Project, boundary: &BoundarySpec) -> Arrival {
        let entry = runtime::boundary_entry(project, &boundary.name);
        Arrival::between(&project.resources, entry.unwrap_or(&Value::Null), boundary)
    }

    /// The same, of the file's values.
    pub fn between(resources: &[Value], entry: &Value, boundary: &BoundarySpec) -> Arrival {
        if entry[TOPIC].is_string() {
            return Arrival::Topic;
        }
        let Some(bucket) = declared_bucket(resources, arrival_bucket(boundary)) else { return Arrival::EventBridge { is_foreign: true } };
        let is_asked = entry["infrequent"]["enableEventBridge"] == true || bucket["enableEventBridge"] == true;
        if is_asked { Arrival::EventBridge { is_foreign: false } } else { Arrival::Notification }
    }
}

/// The notifications of a declared bucket, and the queue policies that have to be there before it.
pub(crate) fn notifications(project: &Project, boundaries: &[&BoundarySpec], bucket: &Value) -> (Value, Vec<String>) {
    let name = bucket["bucketName"].as_str().unwrap_or_default();
    let here: Vec<&&BoundarySpec> = boundaries.iter().filter(|boundary| arrival_bucket(boundary) == name).collect();
    let (notified, others): (Vec<&&BoundarySpec>, Vec<_>) =
        here.into_iter().partition(|boundary| Arrival::of(project, boundary) == Arrival::Notification);
    let is_bridged = others.iter().any(|boundary| Arrival::of(project, boundary) != Arrival::Topic);
    let queues: Vec<Value> = notified.iter().map(|boundary| configuration(boundary)).collect();
    let mut value = json!({});
    if !queues.is_empty() {
        value["QueueConfigurations"] = queues.into();
    }
    if is_bridged || bucket["enableEventBridge"] == true {
        value["EventBridgeConfiguration"] = json!({"EventBridgeEnabled": true});
    }
    let after = notified.iter().map(|boundary| format!("{}Policy", queue_id(&boundary.name))).collect();
    let is_nothing = value.as_object().is_none_or(serde_json::Map::is_empty);
    (if is_nothing { Value::Null } else { value }, after)
}

fn configuration(boundary: &BoundarySpec) -> Value {
    let mut value = json!({"Event": "s3:ObjectCreated:*", "Queue": arn_of(&queue_id(&boundary.name))});
    if !arrival_prefix(boundary).is_empty() {
        value["Filter"] = json!({"S3Key": {"Rules": [{"Name": "prefix", "Value": arrival_prefix(boundary)}]}});
    }
    value
}
