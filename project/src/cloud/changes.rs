//! What a deployment would change, in plain words: what CloudFormation says of a change set, or two templates, flow in;
//! lines for people flow out.

use std::fmt;

use aws_sdk_cloudformation::types::{ChangeAction, Replacement, ResourceChange};
use serde_json::Value;

/// A change of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What happens.
    pub kind: ChangeKind,
    /// Its type, `AWS::SQS::Queue`.
    pub resource_type: String,
    /// Its logical id.
    pub id: String,
    /// The properties that change, sorted.
    pub properties: Vec<String>,
}

/// What happens to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It is made.
    Add,
    /// It is there already, and belongs to the stack from now on.
    TakeOver,
    /// It is changed in place.
    Change,
    /// It may be made anew.
    MayReplace,
    /// It is made anew, and the old one goes.
    Replace,
    /// It goes.
    Remove,
}

impl ChangeKind {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            ChangeKind::Add => "add",
            ChangeKind::TakeOver => "take over",
            ChangeKind::Change => "change",
            ChangeKind::MayReplace => "change or replace",
            ChangeKind::Replace => "replace",
            ChangeKind::Remove => "remove",
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.kind.word(), self.resource_type.trim_start_matches("AWS::"), self.id)?;
        if !self.properties.is_empty() {
            write!(f, " ({})", self.properties.join(", "))?;
        }
        Ok(())
    }
}

impl Change {
    /// What CloudFormation says of a resource.
    pub fn of_change_set(change: &ResourceChange) -> Change {
        let kind = match (change.action(), change.replacement()) {
            (Some(ChangeAction::Add), _) => ChangeKind::Add,
            (Some(ChangeAction::Import), _) => ChangeKind::TakeOver,
            (Some(ChangeAction::Remove), _) => ChangeKind::Remove,
            (_, Some(Replacement::True)) => ChangeKind::Replace,
            (_, Some(Replacement::Conditional)) => ChangeKind::MayReplace,
            _ => ChangeKind::Change,
        };
        let targets = change.details().iter().filter_map(|detail| detail.target());
        let named = |target: &aws_sdk_cloudformation::types::ResourceTargetDefinition| {
            let attribute = target.attribute().map(|attribute| attribute.as_str().to_owned());
            target.name().map(str::to_owned).or(attribute)
        };
        let mut properties: Vec<String> = targets.filter_map(named).collect();
        properties.sort();
        properties.dedup();
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        Change { kind, resource_type: text(change.resource_type()), id: text(change.logical_resource_id()), properties }
    }

    /// What differs between the resources of two templates; whether something is replaced, only CloudFormation knows.
    pub fn between(old: &Value, new: &Value) -> Vec<Change> {
        let empty = serde_json::Map::new();
        let resources =
            |template: &'static str, of: &Value| of.get(template).and_then(Value::as_object).cloned().unwrap_or_else(|| empty.clone());
        let (old, new) = (resources("Resources", old), resources("Resources", new));
        let change = |kind, id: &str, of: &Value, properties| {
            let resource_type = of.get("Type").and_then(Value::as_str).unwrap_or_default().to_owned();
            Change { kind, resource_type, id: id.to_owned(), properties }
        };
        let added = new.iter().filter(|(id, _)| !old.contains_key(*id)).map(|(id, of)| change(ChangeKind::Add, id, of, Vec::new()));
        let removed = old.iter().filter(|(id, _)| !new.contains_key(*id)).map(|(id, of)| change(ChangeKind::Remove, id, of, Vec::new()));
        let both = new.iter().filter_map(|(id, of)| Some((id, old.get(id)?, of)));
        let changed = both.filter(|(_, before, after)| before != after);
        let changed = changed.map(|(id, before, after)| change(ChangeKind::Change, id, after, differing(before, after)));
        let mut changes: Vec<Change> = added.chain(changed).chain(removed).collect();
        changes.sort_by(|a, b| (a.kind, &a.resource_type, &a.id).cmp(&(b.kind, &b.resource_type, &b.id)));
        changes
    }
}

/// The properties and attributes that differ, sorted.
fn differing(before: &Value, after: &Value) -> Vec<String> {
    let keys = |of: &Value| of.as_object().into_iter().flat_map(|map| map.keys().cloned()).collect::<Vec<_>>();
    let differ = |before: &Value, after: &Value| {
        let all: std::collections::BTreeSet<String> = keys(before).into_iter().chain(keys(after)).collect();
        all.into_iter().filter(|key| before.get(key) != after.get(key)).collect::<Vec<_>>()
    };
    let attributes = differ(before, after).into_iter().filter(|key| key != "Properties");
    let mut all: Vec<String> = attributes.chain(differ(&before["Properties"], &after["Properties"])).collect();
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use serde_json::json;

    #[test]
    fn what_differs_is_said_in_words() {
        let old = json!({"Resources": {
            "Gone": {"Type": "AWS::SNS::Topic"}, "Same": {"Type": "AWS::SNS::Topic"},
            "In": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "a", "DelaySeconds": 0}}}});
        let new = json!({"Resources": {
            "Same": {"Type": "AWS::SNS::Topic"}, "New": {"Type": "AWS::S3::Bucket"},
            "In": {"Type": "AWS::SQS::Queue", "DeletionPolicy": "Retain", "Properties": {"QueueName": "b", "DelaySeconds": 0}}}});
        let lines: Vec<String> = Change::between(&old, &new).iter().map(Change::to_string).collect();
        expect![[r#"
            add S3::Bucket New
            change SQS::Queue In (DeletionPolicy, QueueName)
            remove SNS::Topic Gone"#]]
        .assert_eq(&lines.join("\n"));
        assert_eq!(Change::between(&new, &new), []);
    }
}
