//! Parts flow in, stacks flow out: one where all fit, else what does not fit any more goes into further ones. What is deployed
//! stays in the stack that it is in, because CloudFormation cannot move a thing: it would be made while it is still there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::Stack;
use super::names::{ProjectNames, STACK_KINDS, STACKS_MAX};
use super::part::{Group, Part, Parts};
use crate::file::Problem;

/// Resources that a stack is filled up to. What is in it may grow beyond.
pub const RESOURCES_MAX: usize = 450;
/// Bytes that a template is filled up to, as it is written for people, with indents.
pub const TEMPLATE_BYTES_MAX: usize = 900_000;
/// Resources that CloudFormation takes.
const RESOURCES_LIMIT: usize = 500;
/// Bytes of a template that CloudFormation takes from a bucket.
const TEMPLATE_BYTES_LIMIT: usize = 1 << 20;

/// Things that leave a stack for another, because theirs is full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The stack that they are in.
    pub from: String,
    /// The stack that they will be in.
    pub to: String,
    /// How many they are.
    pub count: usize,
}

/// The stacks that things are in, by their logical ids; names of stacks and their templates flow in.
pub fn homes<'a>(deployed: impl Iterator<Item = (&'a str, &'a Value)>) -> BTreeMap<String, String> {
    let ids = deployed.flat_map(|(name, template)| {
        let resources = template["Resources"].as_object().into_iter().flatten();
        resources.map(move |(id, _)| (id.clone(), name.to_owned()))
    });
    ids.collect()
}

/// What does not stay in the stack that it is in.
pub fn moves(stacks: &[Stack], homes: &BTreeMap<String, String>) -> Vec<Move> {
    let mut moves: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for stack in stacks {
        let ids = stack.template["Resources"].as_object().into_iter().flat_map(Map::keys);
        for from in ids.filter_map(|id| homes.get(id)).filter(|from| **from != stack.name) {
            *moves.entry((from, &stack.name)).or_default() += 1;
        }
    }
    moves.into_iter().map(|((from, to), count)| Move { from: from.to_owned(), to: to.to_owned(), count }).collect()
}

/// How much there is of something.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    resources: usize,
    bytes: usize,
}

impl Size {
    fn of(part: &Part) -> Size {
        let alone = json!({"Resources": {&part.id: part.body}});
        Size { resources: 1, bytes: serde_json::to_string_pretty(&alone).map_or(0, |text| text.len()) }
    }

    fn plus(self, other: Size) -> Size {
        Size { resources: self.resources + other.resources, bytes: self.bytes + other.bytes }
    }

    /// Whether a stack may be filled so far.
    fn is_fitting(self) -> bool {
        self.resources <= RESOURCES_MAX && self.bytes <= TEMPLATE_BYTES_MAX
    }

    /// Whether CloudFormation takes so much.
    fn is_taken(self) -> bool {
        self.resources <= RESOURCES_LIMIT && self.bytes <= TEMPLATE_BYTES_LIMIT
    }
}

/// A stack to be.
#[derive(Debug)]
struct Room<'a> {
    name: String,
    groups: BTreeSet<&'a Group>,
    size: Size,
    /// Whether something leaves it: it is deployed before the stacks that take that in, and takes nothing in itself.
    is_left: bool,
}

impl<'a> Room<'a> {
    fn new(name: String) -> Room<'a> {
        Room { name, groups: BTreeSet::new(), size: Size::default(), is_left: false }
    }

    fn take(&mut self, group: &'a Group, size: Size) {
        self.groups.insert(group);
        self.size = self.size.plus(size);
    }
}

/// Cuts the parts of a project into stacks, in the order of deployment. `homes` are the stacks that things are deployed in, by
/// their logical ids.
pub(crate) fn stacks(
    parts: Parts,
    names: &ProjectNames,
    description: &str,
    homes: &BTreeMap<String, String>,
) -> Result<Vec<Stack>, Vec<Problem>> {
    let first = names.stack();
    let (groups, sizes) = measured(&parts.all);
    let homes = group_homes(&parts.all, homes);
    let rooms = match is_single(&sizes, &homes, &first) {
        true => lay_out(&groups, &sizes, names, &groups.iter().map(|group| (*group, first.as_str())).collect())?,
        false => lay_out(&groups, &sizes, names, &homes)?,
    };
    let (all, outputs) = (by_id(&parts.all), outputs(&parts));
    let stack = |(at, room): (usize, &Room<'_>)| {
        let members: Vec<&Part> = parts.all.iter().filter(|part| room.groups.contains(&part.group)).collect();
        let kind = room.groups.first().map_or("", |group| kind(group));
        let (description, outputs, after) = match at {
            0 => (description.to_owned(), outputs.clone(), Vec::new()),
            _ => (format!("{description}: {kind}"), Map::new(), vec![first.clone()]),
        };
        let template = template(&members, &all, &description, &outputs);
        Stack { name: room.name.clone(), description, template, after, tags: BTreeMap::new() }
    };
    Ok(rooms.iter().enumerate().map(stack).collect())
}

/// One stack of all the parts.
pub(crate) fn single(parts: &Parts, name: String, description: &str) -> Stack {
    let template = template(&parts.all.iter().collect::<Vec<_>>(), &by_id(&parts.all), description, &outputs(parts));
    Stack { name, description: description.to_owned(), template, after: Vec::new(), tags: BTreeMap::new() }
}

/// The groups in the order in which they were added, the base first, and how much each is.
fn measured(parts: &[Part]) -> (Vec<&Group>, BTreeMap<&Group, Size>) {
    let (mut groups, mut sizes) = (Vec::new(), BTreeMap::<&Group, Size>::new());
    for part in parts {
        let size = sizes.entry(&part.group).or_default();
        if size.resources == 0 {
            groups.push(&part.group);
        }
        *size = size.plus(Size::of(part));
    }
    groups.sort_by_key(|group| **group != Group::Base);
    (groups, sizes)
}

/// The stacks that groups are deployed in.
fn group_homes<'a>(parts: &'a [Part], homes: &'a BTreeMap<String, String>) -> BTreeMap<&'a Group, &'a str> {
    parts.iter().rev().filter_map(|part| Some((&part.group, homes.get(&part.id)?.as_str()))).collect()
}

/// Whether one stack does: all fits, and nothing is deployed elsewhere.
fn is_single(sizes: &BTreeMap<&Group, Size>, homes: &BTreeMap<&Group, &str>, first: &str) -> bool {
    let whole = sizes.values().fold(Size::default(), |sum, size| sum.plus(*size));
    whole.is_fitting() && homes.iter().all(|(group, home)| **group == Group::Base || *home == first)
}

/// Gives every group its stack: the one that it is deployed in while that has room, else the first of its kind that has.
fn lay_out<'a>(
    groups: &[&'a Group],
    sizes: &BTreeMap<&'a Group, Size>,
    names: &ProjectNames,
    homes: &BTreeMap<&Group, &str>,
) -> Result<Vec<Room<'a>>, Vec<Problem>> {
    let mut rooms = vec![Room::new(names.stack())];
    let mut homeless = Vec::new();
    for group in groups {
        let home = if **group == Group::Base { Some(rooms[0].name.clone()) } else { homes.get(group).map(|home| (*home).to_owned()) };
        let Some(home) = home else {
            homeless.push(*group);
            continue;
        };
        let room = room_of(&mut rooms, &home);
        match room.size.plus(sizes[group]).is_taken() {
            true => room.take(group, sizes[group]),
            false if **group == Group::Base => {
                return Err(vec![too_much("resources", "what all boundaries and arcs build on", sizes[group].resources)]);
            }
            false => {
                room.is_left = true;
                homeless.push(group);
            }
        }
    }
    for group in homeless {
        place(&mut rooms, group, sizes, names)?;
    }
    rooms[1..].sort_by_key(|room| !room.is_left);
    Ok(rooms)
}

fn room_of<'a, 'b>(rooms: &'b mut Vec<Room<'a>>, name: &str) -> &'b mut Room<'a> {
    let at = rooms.iter().position(|room| room.name == name).unwrap_or_else(|| {
        rooms.push(Room::new(name.to_owned()));
        rooms.len() - 1
    });
    &mut rooms[at]
}

fn place<'a>(
    rooms: &mut Vec<Room<'a>>,
    group: &'a Group,
    sizes: &BTreeMap<&'a Group, Size>,
    names: &ProjectNames,
) -> Result<(), Vec<Problem>> {
    let kind = kind(group);
    for at in 1..=STACKS_MAX {
        let room = room_of(rooms, &names.stack_part(&format!("{kind}-{at}")));
        if !room.is_left && room.size.plus(sizes[group]).is_fitting() {
            room.take(group, sizes[group]);
            return Ok(());
        }
    }
    let all: usize = sizes.iter().filter(|(other, _)| self::kind(other) == kind).map(|(_, size)| size.resources).sum();
    Err(vec![too_much(kind, kind, all)])
}

fn too_much(path: &str, what: &str, count: usize) -> Problem {
    let message = format!("{count} things for {what} are more than stacks take");
    Problem { path: path.to_owned(), message, fix: Some("make two projects of it".to_owned()) }
}

/// What a stack of such groups is called.
fn kind(group: &Group) -> &'static str {
    match group {
        Group::Base => "",
        Group::Boundary(_) => STACK_KINDS[0],
        Group::Arc(_) => STACK_KINDS[1],
    }
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
