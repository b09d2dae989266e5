//! The parts that templates are put together from. A part is one resource with the name that it will have; parts refer
//! to each other by logical id, and whoever cuts them into stacks writes the names in where a reference would cross one.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// What a part belongs to, when there are too many for one stack.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Group {
    /// What boundaries and arcs build on.
    Base,
    /// A boundary.
    Boundary(String),
    /// An arc or an activity.
    Arc(String),
}

/// The entry of the file that a part is made for: the list it stands in and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// `boundaries`, `arcs`, `resources`, `activities`.
    pub list: &'static str,
    /// Its name.
    pub name: String,
}

/// A resource of a template.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Its logical id.
    pub id: String,
    /// What it belongs to.
    pub group: Group,
    /// What it is made for; `None` for what the project has by itself.
    pub entry: Option<Entry>,
    /// `{"Type": …, "Properties": …}`.
    pub body: Value,
    /// What a reference to it becomes in another stack.
    pub name: String,
    /// What a reference to its ARN becomes in another stack.
    pub arn: String,
}

/// Parts in the order in which they were added.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The parts.
    pub all: Vec<Part>,
    /// Outputs of the first stack: name, description, value.
    pub outputs: Vec<(String, String, Value)>,
    group: Group,
    entry: Option<Entry>,
}

impl Parts {
    /// None yet.
    pub fn new() -> Parts {
        Parts { all: Vec::new(), outputs: Vec::new(), group: Group::Base, entry: None }
    }

    /// What the parts added from now on are made for.
    pub fn begin(&mut self, list: &'static str, name: &str) {
        self.entry = Some(Entry { list, name: name.to_owned() });
    }

    /// The parts added from now on are the project's own.
    pub fn end(&mut self) {
        self.entry = None;
    }

    /// What the parts added from now on belong to.
    pub fn enter(&mut self, group: Group) {
        self.group = group;
    }

    /// Adds a resource. `name` and `arn` are what `Ref` and the ARN will be.
    pub fn add(&mut self, id: &str, kind: &str, name: String, arn: String, properties: Value) -> &mut Part {
        let body = json!({"Type": kind, "Properties": properties});
        self.all.push(Part { id: id.to_owned(), group: self.group.clone(), entry: self.entry.clone(), body, name, arn });
        let last = self.all.len() - 1;
        &mut self.all[last]
    }

    /// Adds one that nobody refers to.
    pub fn leaf(&mut self, id: &str, kind: &str, properties: Value) -> &mut Part {
        self.add(id, kind, String::new(), String::new(), properties)
    }

    /// Adds an output to the first stack.
    pub fn output(&mut self, name: &str, description: &str, value: Value) {
        self.outputs.push((name.to_owned(), description.to_owned(), value));
    }
}

impl Part {
    fn set(&mut self, key: &str, value: Value) -> &mut Part {
        if let Some(body) = self.body.as_object_mut() {
            body.insert(key.to_owned(), value);
        }
        self
    }

    /// Keeps the thing when the stack goes, and when it would be replaced; not where the very deployment that made it fails,
    /// so that nothing is in the way of the next one.
    pub fn retained(&mut self) -> &mut Part {
        self.set("DeletionPolicy", "RetainExceptOnCreate".into()).set("UpdateReplacePolicy", "Retain".into())
    }

    /// Deletes the thing with the stack, whatever it holds.
    pub fn removed(&mut self) -> &mut Part {
        self.set("DeletionPolicy", "Delete".into()).set("UpdateReplacePolicy", "Delete".into())
    }

    /// Retained or removed.
    pub fn kept(&mut self, is_kept: bool) -> &mut Part {
        if is_kept { self.retained() } else { self.removed() }
    }

    /// Waits for other parts that it does not refer to.
    pub fn after(&mut self, ids: impl IntoIterator<Item = String>) -> &mut Part {
        let ids: Vec<String> = ids.into_iter().collect();
        if ids.is_empty() { self } else { self.set("DependsOn", json!(ids)) }
    }
}

/// A reference to another part: its name, or its URL for a queue, or its ARN where the service says so.
pub(crate) fn reference(id: &str) -> Value {
    json!({"Ref": id})
}

/// The ARN of another part.
pub(crate) fn arn_of(id: &str) -> Value {
    json!({"Fn::GetAtt": [id, "Arn"]})
}

/// An object without the entries that are null.
pub(crate) fn object(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(map.into_iter().filter(|(_, value)| !value.is_null()).collect()),
        other => other,
    }
}

/// Properties that take tags as a list of keys and values.
const TAGGED_BY_LIST: [&str; 20] = [
    "AWS::Athena::WorkGroup",
    "AWS::CloudWatch::Alarm",
    "AWS::EC2::InternetGateway",
    "AWS::EC2::RouteTable",
    "AWS::EC2::SecurityGroup",
    "AWS::EC2::Subnet",
    "AWS::EC2::VPC",
    "AWS::EC2::VPCEndpoint",
    "AWS::ECR::Repository",
    "AWS::Events::EventBus",
    "AWS::Events::Rule",
    "AWS::IAM::Role",
    "AWS::KMS::Key",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Lambda::Function",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::SNS::Topic",
    "AWS::SQS::Queue",
    "AWS::Scheduler::ScheduleGroup",
];
/// The type that takes tags as an object. Job queues and compute environments do as well, but only when they are made: a tag
/// that changed would have them made anew under their own name, which CloudFormation refuses. Both cost nothing.
const TAGGED_BY_MAP: &str = "AWS::Batch::JobDefinition";

/// Puts the tags on everything that takes tags. Tags that a part has already win.
pub(crate) fn tag(parts: &mut [Part], tags: &BTreeMap<String, String>) {
    for part in parts.iter_mut().filter(|_| !tags.is_empty()) {
        let kind = part.body["Type"].as_str().unwrap_or_default().to_owned();
        let Some(properties) = part.body.get_mut("Properties").and_then(Value::as_object_mut) else { continue };
        if kind == TAGGED_BY_MAP {
            properties.insert("Tags".to_owned(), json!(tags));
        } else if TAGGED_BY_LIST.contains(&kind.as_str()) {
            let own = properties.get("Tags").and_then(Value::as_array).cloned().unwrap_or_default();
            let has = |key: &String| own.iter().any(|tag| tag["Key"] == key.as_str());
            let more = tags.iter().filter(|(key, _)| !has(key)).map(|(key, value)| json!({"Key": key, "Value": value}));
            let all: Vec<Value> = own.iter().cloned().chain(more).collect();
            properties.insert("Tags".to_owned(), all.into());
        }
    }
}

/// Tags of an object in the file as a template lists them.
pub(crate) fn listed_tags(tags: Option<&Map<String, Value>>) -> Value {
    let tag =
        |(key, value): (&String, &Value)| json!({"Key": key, "Value": value.as_str().map_or_else(|| value.to_string(), str::to_owned)});
    match tags {
        Some(tags) if !tags.is_empty() => tags.iter().map(tag).collect(),
        _ => Value::Null,
    }
}
