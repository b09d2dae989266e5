//! Parts flow in, stacks flow out: one where all fit, else the base, the boundaries and the arcs apart. Which of several
//! stacks an arc is in follows from its name alone, so that adding one moves no other.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::Stack;
use super::names::{ProjectNames, hash};
use super::part::{Group, Part, Parts};
use crate::file::Problem;

/// Resources of a template; CloudFormation takes 500.
pub const RESOURCES_MAX: usize = 450;
/// Bytes of a template as it is written for people, with indents; CloudFormation takes 1 MB from a bucket.
pub const TEMPLATE_BYTES_MAX: usize = 900_000;
/// Numbers of stacks that the boundaries, and the arcs, are tried in.
const SHARES: [u64; 4] = [1, 4, 16, 64];

/// Cuts the parts of a project into stacks, in the order of deployment.
pub(crate) fn stacks(parts: Parts, names: &ProjectNames, description: &str) -> Result<Vec<Stack>, Vec<Problem>> {
    let whole: Vec<&Part> = parts.all.iter().collect();
    let all = by_id(&parts.all);
    let outputs = outputs(&parts);
    let single = template(&whole, &all, description, &outputs);
    if is_fitting(&single) {
        return Ok(vec![Stack { name: names.stack(), description: description.to_owned(), template: single, after: Vec::new() }]);
    }
    let base: Vec<&Part> = whole.iter().filter(|part| part.group == Group::Base).copied().collect();
    let first = template(&base, &all, description, &outputs);
    if !is_fitting(&first) {
        return Err(vec![too_much("resources", "what all boundaries and arcs build on", base.len())]);
    }
    let mut stacks = vec![Stack { name: names.stack(), description: description.to_owned(), template: first, after: Vec::new() }];
    for (what, is_it) in [("boundaries", is_boundary as fn(&Group) -> Option<&str>), ("arcs", is_arc)] {
        let members: Vec<&Part> = whole.iter().filter(|part| is_it(&part.group).is_some()).copied().collect();
        let share = |count: u64| shared(&members, is_it, count);
        let description = format!("{description}: {what}");
        let made = |count: u64| -> Vec<(u64, Value)> {
            share(count).into_iter().map(|(at, members)| (at, template(&members, &all, &description, &Map::new()))).collect()
        };
        let fitting = SHARES.into_iter().map(|count| (count, made(count))).find(|(_, made)| made.iter().all(|(_, made)| is_fitting(made)));
        let Some((count, templates)) = fitting else { return Err(vec![too_much(what, what, members.len())]) };
        stacks.extend(templates.into_iter().map(|(at, template)| {
            let part = if count == 1 { what.to_owned() } else { format!("{what}-{at}") };
            Stack { name: names.stack_part(&part), description: description.clone(), template, after: vec![names.stack()] }
        }));
    }
    Ok(stacks)
}

/// One stack of all the parts.
pub(crate) fn single(parts: &Parts, name: String, description: &str) -> Stack {
    let template = template(&parts.all.iter().collect::<Vec<_>>(), &by_id(&parts.all), description, &outputs(parts));
    Stack { name, description: description.to_owned(), template, after: Vec::new() }
}

fn too_much(path: &str, what: &str, count: usize) -> Problem {
    let message = format!("{count} things for {what} are more than stacks take");
    Problem { path: path.to_owned(), message, fix: Some("make two projects of it".to_owned()) }
}

fn is_boundary(group: &Group) -> Option<&str> {
    if let Group::Boundary(name) = group { Some(name) } else { None }
}

fn is_arc(group: &Group) -> Option<&str> {
    if let Group::Arc(name) = group { Some(name) } else { None }
}

fn shared<'a>(members: &[&'a Part], name: fn(&Group) -> Option<&str>, count: u64) -> BTreeMap<u64, Vec<&'a Part>> {
    let mut shares: BTreeMap<u64, Vec<&Part>> = BTreeMap::new();
    for part in members {
        shares.entry(hash(name(&part.group).unwrap_or_default()) % count).or_default().push(part);
    }
    shares
}

fn is_fitting(template: &Value) -> bool {
    let resources = template["Resources"].as_object().map_or(0, Map::len);
    resources <= RESOURCES_MAX && serde_json::to_string_pretty(template).is_ok_and(|text| text.len() <= TEMPLATE_BYTES_MAX)
}

fn by_id(parts: &[Part]) -> BTreeMap<&str, &Part> {
    parts.iter().map(|part| (part.id.as_str(), part)).collect()
}

fn outputs(parts: &Parts) -> Map<String, Value> {
    let output = |(name, description, value): &(String, String, Value)| {
        let mut body = json!({"Description": description, "Value": value});
        if let (Some(body), Some(export)) = (body.as_object_mut(), value.get("Export")) {
            body.insert("Value".to_owned(), value["Value"].clone());
            body.insert("Export".to_owned(), json!({"Name": export}));
        }
        (name.clone(), body)
    };
    parts.outputs.iter().map(output).collect()
}

fn template(members: &[&Part], all: &BTreeMap<&str, &Part>, description: &str, outputs: &Map<String, Value>) -> Value {
    let here: BTreeSet<&str> = members.iter().map(|part| part.id.as_str()).collect();
    let resources: Map<String, Value> = members.iter().map(|part| (part.id.clone(), resolved(&part.body, &here, all))).collect();
    let mut template = json!({"AWSTemplateFormatVersion": "2010-09-09", "Description": description, "Resources": resources});
    if let Some(map) = template.as_object_mut().filter(|_| !outputs.is_empty()) {
        map.insert("Outputs".to_owned(), resolved(&Value::Object(outputs.clone()), &here, all));
    }
    template
}

/// The value with references that leave the stack replaced by what they will be.
fn resolved(value: &Value, here: &BTreeSet<&str>, all: &BTreeMap<&str, &Part>) -> Value {
    let outside = |id: &str| all.get(id).filter(|_| !here.contains(id));
    match value {
        Value::Array(list) => list.iter().map(|value| resolved(value, here, all)).collect(),
        Value::Object(map) => {
            let single = if map.len() == 1 { map.iter().next() } else { None };
            match single.map(|(key, value)| (key.as_str(), value)) {
                Some(("Ref", Value::String(id))) if outside(id).is_some() => {
                    outside(id).map(|part| part.name.clone().into()).unwrap_or_default()
                }
                Some(("Fn::GetAtt", at)) if at[0].as_str().and_then(outside).is_some() => {
                    at[0].as_str().and_then(outside).map(|part| part.arn.clone().into()).unwrap_or_default()
                }
                _ => Value::Object(map.iter().filter_map(|(key, value)| entry(key, value, here, all)).collect()),
            }
        }
        other => other.clone(),
    }
}

fn entry(key: &str, value: &Value, here: &BTreeSet<&str>, all: &BTreeMap<&str, &Part>) -> Option<(String, Value)> {
    if key != "DependsOn" {
        return Some((key.to_owned(), resolved(value, here, all)));
    }
    let list = value.as_array().into_iter().flatten();
    let kept: Vec<&Value> = list.filter(|id| id.as_str().is_some_and(|id| here.contains(id))).collect();
    (!kept.is_empty()).then(|| (key.to_owned(), json!(kept)))
}
