//! The stacks of a project as they are: names flow in; the stacks that are there, and what an earlier one left, flow out.

use std::collections::BTreeSet;

use aws_sdk_cloudformation::types::Stack;
use aws_sdk_glue::error::ProvideErrorMetadata;
use project::Project;
use project::synth::{self, ProjectNames};
use serde_json::Value;

use super::{Cloud, said};
use crate::command::Trouble;

/// A stack of a project that is there.
#[derive(Clone, Debug, PartialEq)]
pub struct DeployedStack {
    /// Its name.
    pub name: String,
    /// What it was deployed with; null where it holds nothing, because its first deployment failed.
    pub template: Value,
}

impl DeployedStack {
    /// Whether it made the database.
    fn has_database(&self, name: &str) -> bool {
        let mut resources = self.template["Resources"].as_object().into_iter().flat_map(|all| all.values());
        resources.any(|one| one["Type"] == "AWS::Glue::Database" && one["Properties"]["DatabaseInput"]["Name"] == name)
    }
}

impl Cloud {
    /// The stacks of a project that are there, the first one before those that build on it. They are looked for, not computed:
    /// which there are depends on what was ever deployed.
    pub async fn project_stacks(&self, names: &ProjectNames) -> Result<Vec<DeployedStack>, Trouble> {
        let known = names.stacks();
        let mut pages = self.stacks.describe_stacks().into_paginator().send();
        let mut found: BTreeSet<String> = BTreeSet::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| said("list the stacks", &error))?;
            let ours = page.stacks().iter().filter(|stack| is_of(stack, names, &known));
            found.extend(ours.filter_map(|stack| stack.stack_name().map(str::to_owned)));
        }
        let mut stacks = Vec::new();
        let first = names.stack();
        let in_order = found.iter().filter(|name| **name == first).chain(found.iter().filter(|name| **name != first));
        for name in in_order {
            stacks.push(DeployedStack { name: name.clone(), template: self.template(name).await?.unwrap_or_default() });
        }
        Ok(stacks)
    }

    /// Of the databases that a project declares, those that are there and in none of its stacks. Fails where one would be
    /// deleted with a stack that did not make it.
    pub async fn present_databases(&self, project: &Project, there: &[DeployedStack]) -> Result<BTreeSet<String>, Trouble> {
        let mut present = BTreeSet::new();
        for (name, is_kept) in synth::declared_databases(project) {
            if there.iter().any(|stack| stack.has_database(&name)) || !self.has_database(&name).await? {
                continue;
            }
            if !is_kept {
                let message = format!("database {name} is there already, and `removeOnDestroy` would delete it with the stack");
                return Err(Trouble::failed(message).next("another databaseName, or removeOnDestroy: false to have it used as it is"));
            }
            eprintln!("database {name} is there already: it is used as it is, and stays");
            present.insert(name);
        }
        Ok(present)
    }

    async fn has_database(&self, name: &str) -> Result<bool, Trouble> {
        let asked = aws_sdk_glue::Client::new(self.aws.config()).get_database().name(name).send().await;
        match asked {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some("EntityNotFoundException") => Ok(false),
            Err(error) => Err(said(&format!("look for database {name}"), &error)),
        }
    }
}

/// Whether it is a stack of the project: the name alone may be that of another project's.
fn is_of(stack: &Stack, names: &ProjectNames, known: &BTreeSet<String>) -> bool {
    let name = stack.stack_name().unwrap_or_default();
    let is_described = || {
        let rest = stack.description().and_then(|text| text.strip_prefix(&names.description()));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(": "))
    };
    name == names.stack() || (known.contains(name) && is_described())
}
