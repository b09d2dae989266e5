//! The stacks of a project as they are: names flow in; the stacks that are there, and what an earlier one left, flow out.

use std::collections::BTreeSet;

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
            found
                .extend(page.stacks().iter().filter_map(|stack| stack.stack_name().map(str::to_owned)).filter(|name| known.contains(name)));
        }
        let mut stacks = Vec::new();
        for name in found {
            let last = self.last_template(&name).await?.unwrap_or_default();
            if name == names.stack() || is_described(&last, names) {
                stacks.push(DeployedStack { template: self.template(&name).await?.unwrap_or_default(), name });
            }
        }
        stacks.sort_by_key(|stack| stack.name != names.stack());
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

/// Whether the template says that it is of the project: the name of its stack alone may be that of another project's.
fn is_described(template: &Value, names: &ProjectNames) -> bool {
    let rest = template["Description"].as_str().and_then(|text| text.strip_prefix(&names.description()));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(": "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use project::synth::Names;
    use serde_json::json;

    #[test]
    fn a_stack_of_another_project_is_not_ours() {
        let place = Names { stage: "test".into(), account: "123456789012".into(), region: "us-east-2".into() };
        let names = place.project("lake", "1");
        let said = |text: &str| is_described(&json!({"Description": text}), &names);
        assert!(said("Arclake project lake 1: arcs") && said("Arclake project lake 1"));
        assert!(!said("Arclake project lake 1-arcs-1") && !said("Arclake project lake 10: arcs") && !is_described(&Value::Null, &names));
        assert!(names.stacks().contains("test-lake-1-arcs-3") && !names.stacks().contains("test-lake-1-other"));
    }
}
