//! Stacks of CloudFormation: templates flow in; change sets, their events as they happen, and outputs flow out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_sdk_cloudformation::types::{Capability, ChangeSetStatus, ChangeSetType, StackEvent, Tag};
use chrono::{DateTime, Utc};
use project::synth;
use serde_json::Value;

use super::{Change, Cloud, said};
use crate::command::Trouble;

/// The largest template that a call may carry itself, in bytes.
pub const INLINE_BYTES_MAX: usize = 51_200;
/// Between two looks at what is going on, in milliseconds.
const LOOK_MILLISECONDS: u64 = 1_500;
/// The longest that a change set may take to be made, in seconds.
const PLAN_SECONDS_MAX: u64 = 300;
/// The longest that a stack may take, in seconds.
const STACK_SECONDS_MAX: u64 = 3_600;
/// Causes of a failure that are shown.
const CAUSES_MAX: usize = 10;

/// A stack as it is.
#[derive(Clone, Debug)]
pub struct StackState {
    /// Its status, as CloudFormation calls it.
    pub status: String,
    /// Its outputs.
    pub outputs: BTreeMap<String, String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// A change set that waits to be carried out.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The stack.
    pub stack: String,
    /// What it changes.
    pub changes: Vec<Change>,
    change_set: String,
    is_new: bool,
}

/// Whether the stack holds nothing, because its first deployment failed or was never carried out.
fn is_hollow(status: &str) -> bool {
    matches!(status, "ROLLBACK_COMPLETE" | "ROLLBACK_FAILED" | "CREATE_FAILED" | "DELETE_FAILED")
}

impl Cloud {
    /// A stack as it is; `None` where there is none.
    pub async fn stack(&self, name: &str) -> Result<Option<StackState>, Trouble> {
        let answer = match self.stacks.describe_stacks().stack_name(name).send().await {
            Ok(answer) => answer,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(said(&format!("look at stack {name}"), &error)),
        };
        let Some(stack) = answer.stacks().first() else { return Ok(None) };
        let output =
            |output: &aws_sdk_cloudformation::types::Output| Some((output.output_key()?.to_owned(), output.output_value()?.to_owned()));
        let outputs = stack.outputs().iter().filter_map(output).collect();
        let status = stack.stack_status().map_or("UNKNOWN", |status| status.as_str()).to_owned();
        let tags = stack.tags().iter().filter_map(|tag| Some((tag.key()?.to_owned(), tag.value()?.to_owned()))).collect();
        Ok((status != "DELETE_COMPLETE").then_some(StackState { status, outputs, tags }))
    }

    /// The template that a stack was deployed with; `None` where there is none, or the stack holds nothing.
    pub async fn template(&self, name: &str) -> Result<Option<Value>, Trouble> {
        if self.stack(name).await?.is_none_or(|state| is_hollow(&state.status) || state.status == "REVIEW_IN_PROGRESS") {
            return Ok(None);
        }
        self.last_template(name).await
    }

    /// The template that a stack was last deployed with, whatever came of it; `None` where there is no stack.
    pub async fn last_template(&self, name: &str) -> Result<Option<Value>, Trouble> {
        match self.stacks.get_template().stack_name(name).send().await {
            Ok(answer) => Ok(serde_json::from_str(answer.template_body().unwrap_or("{}")).ok()),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(said(&format!("read the template of stack {name}"), &error)),
        }
    }

    /// Makes a change set of a template, with the stack's tags; `None` where it changes nothing. A template larger than
    /// [`INLINE_BYTES_MAX`] has to lie at `template_url`. With `takes_over`, what is there already under the template's names is
    /// imported.
    pub async fn plan(
        &self,
        wanted: &synth::Stack,
        template: &str,
        template_url: Option<&str>,
        takes_over: bool,
        now: DateTime<Utc>,
    ) -> anyhow::Result<Option<Planned>> {
        let stack = wanted.name.as_str();
        let state = self.stack(stack).await?;
        if state.as_ref().is_some_and(|state| is_hollow(&state.status)) {
            crate::logs::say(&format!("stack {stack} is left over from a deployment that failed; it is deleted first"));
            self.delete(stack).await?;
        }
        let is_new = state.is_none_or(|state| is_hollow(&state.status) || state.status == "REVIEW_IN_PROGRESS");
        let change_set = format!("arc-{}", now.format("%Y%m%d%H%M%S%3f"));
        let kind = if is_new { ChangeSetType::Create } else { ChangeSetType::Update };
        let call = self.stacks.create_change_set().stack_name(stack).change_set_name(&change_set).change_set_type(kind);
        let call = call.capabilities(Capability::CapabilityNamedIam).set_import_existing_resources(takes_over.then_some(true));
        let tag = |(key, value): (&String, &String)| Tag::builder().key(key).value(value).build();
        let tags: Vec<Tag> = wanted.tags.iter().map(tag).collect();
        // None leaves those of the stack as they are.
        let call = call.set_tags(Some(tags).filter(|tags| !tags.is_empty()));
        let call = match template_url {
            Some(url) => call.template_url(url),
            None => call.template_body(template),
        };
        call.send().await.map_err(|error| said(&format!("make a change set for stack {stack}"), &error))?;
        let changes = self.changes(stack, &change_set).await?;
        Ok(changes.map(|changes| Planned { stack: stack.to_owned(), changes, change_set, is_new }))
    }

    /// Waits until a change set is made; `None` where it is empty.
    async fn changes(&self, stack: &str, change_set: &str) -> anyhow::Result<Option<Vec<Change>>> {
        let mut changes = Vec::new();
        let (mut token, mut looks) = (None, 0);
        loop {
            let call = self.stacks.describe_change_set().stack_name(stack).change_set_name(change_set);
            let answer = call.set_next_token(token.clone()).send().await;
            let answer = answer.map_err(|error| said(&format!("look at the change set of stack {stack}"), &error))?;
            match answer.status() {
                Some(ChangeSetStatus::CreateComplete) => {}
                Some(ChangeSetStatus::Failed) => {
                    let reason = answer.status_reason().unwrap_or("no reason given").to_owned();
                    let _ = self.stacks.delete_change_set().stack_name(stack).change_set_name(change_set).send().await;
                    let is_empty = reason.contains("didn't contain changes") || reason.contains("No updates are to be performed");
                    return if is_empty {
                        Ok(None)
                    } else {
                        Err(Trouble::failed(format!("stack {stack} cannot be changed so: {reason}")).into())
                    };
                }
                _ if looks * LOOK_MILLISECONDS > PLAN_SECONDS_MAX * 1_000 => {
                    return Err(Trouble::failed(format!("the change set of stack {stack} is not ready after {PLAN_SECONDS_MAX} s")).into());
                }
                _ => {
                    looks += 1;
                    tokio::time::sleep(Duration::from_millis(LOOK_MILLISECONDS)).await;
                    continue;
                }
            }
            changes.extend(answer.changes().iter().filter_map(|change| change.resource_change()).map(Change::of_change_set));
            token = answer.next_token().map(str::to_owned);
            if token.is_none() {
                return Ok(Some(changes));
            }
        }
    }

    /// Throws a change set away, and with it a stack that would have been new.
    pub async fn discard(&self, planned: &Planned) -> Result<(), Trouble> {
        let call = self.stacks.delete_change_set().stack_name(&planned.stack).change_set_name(&planned.change_set);
        call.send().await.map_err(|error| said("delete a change set", &error))?;
        if planned.is_new {
            let deleted = self.stacks.delete_stack().stack_name(&planned.stack).send().await;
            deleted.map_err(|error| said(&format!("delete stack {}", planned.stack), &error))?;
        }
        Ok(())
    }

    /// Carries a change set out, and tells what happens as it does. Fails with the causes; CloudFormation rolls back by
    /// itself then.
    pub async fn carry_out(&self, planned: &Planned, tell: &dyn Fn(&str)) -> anyhow::Result<StackState> {
        let mut seen = self.seen(&planned.stack).await;
        let call = self.stacks.execute_change_set().stack_name(&planned.stack).change_set_name(&planned.change_set);
        call.send().await.map_err(|error| said(&format!("change stack {}", planned.stack), &error))?;
        self.follow(&planned.stack, &mut seen, tell).await?.ok_or_else(|| anyhow::anyhow!("stack {} is gone", planned.stack))
    }

    /// Deletes a stack, and waits until it is gone.
    pub async fn delete(&self, stack: &str) -> anyhow::Result<()> {
        self.delete_telling(stack, &|_| {}).await
    }

    /// The same, telling what happens.
    pub async fn delete_telling(&self, stack: &str, tell: &dyn Fn(&str)) -> anyhow::Result<()> {
        let mut seen = self.seen(stack).await;
        let call = self.stacks.delete_stack().stack_name(stack).send().await;
        call.map_err(|error| said(&format!("delete stack {stack}"), &error))?;
        self.follow(stack, &mut seen, tell).await.map(|_| ())
    }

    /// The events that are there already.
    async fn seen(&self, stack: &str) -> BTreeSet<String> {
        let events = self.events(stack, &BTreeSet::new()).await.unwrap_or_default();
        events.into_iter().filter_map(|event| event.event_id).collect()
    }

    /// Events that are not `seen`, oldest first.
    async fn events(&self, stack: &str, seen: &BTreeSet<String>) -> Result<Vec<StackEvent>, Trouble> {
        let mut events: Vec<StackEvent> = Vec::new();
        let mut pages = self.stacks.describe_stack_events().stack_name(stack).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = match page {
                Ok(page) => page,
                Err(error) if is_missing(&error) => break,
                Err(error) => return Err(said(&format!("follow stack {stack}"), &error)),
            };
            let news: Vec<StackEvent> = page
                .stack_events
                .unwrap_or_default()
                .into_iter()
                .filter(|event| event.event_id().is_some_and(|id| !seen.contains(id)))
                .collect();
            let is_old = news.is_empty();
            events.extend(news);
            if is_old {
                break;
            }
        }
        events.reverse();
        Ok(events)
    }

    /// Follows a stack until it stands still; `None` where it is gone then.
    async fn follow(&self, stack: &str, seen: &mut BTreeSet<String>, tell: &dyn Fn(&str)) -> anyhow::Result<Option<StackState>> {
        let mut causes: Vec<String> = Vec::new();
        for _ in 0..STACK_SECONDS_MAX * 1_000 / LOOK_MILLISECONDS {
            for event in self.events(stack, seen).await? {
                seen.extend(event.event_id().map(str::to_owned));
                tell(&line(&event));
                causes.extend(cause(&event));
            }
            let Some(state) = self.stack(stack).await? else { return Ok(None) };
            match state.status.as_str() {
                status if status.ends_with("_IN_PROGRESS") => tokio::time::sleep(Duration::from_millis(LOOK_MILLISECONDS)).await,
                "CREATE_COMPLETE" | "UPDATE_COMPLETE" => return Ok(Some(state)),
                status => {
                    causes.truncate(CAUSES_MAX);
                    let told: String = causes.iter().map(|cause| format!("\n  {cause}")).collect();
                    let message = format!("stack {stack} ended in {status}{told}");
                    return Err(Trouble::failed(message).next(self.console(stack)).into());
                }
            }
        }
        Err(Trouble::failed(format!("stack {stack} is not done after {STACK_SECONDS_MAX} s")).next(self.console(stack)).into())
    }
}

/// Whether the error says that there is no such stack.
fn is_missing<E: ProvideErrorMetadata>(error: &E) -> bool {
    error.message().is_some_and(|message| message.contains("does not exist")) || error.code() == Some("StackNotFoundException")
}

fn line(event: &StackEvent) -> String {
    let status = event.resource_status().map_or("", |status| status.as_str());
    let (kind, id) = (event.resource_type().unwrap_or_default(), event.logical_resource_id().unwrap_or_default());
    let reason = event.resource_status_reason().filter(|reason| !reason.is_empty());
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{status:<28} {} {id}{reason}", kind.trim_start_matches("AWS::"))
}

/// What a failed event says, unless it only follows from another.
fn cause(event: &StackEvent) -> Option<String> {
    let status = event.resource_status()?.as_str();
    let reason = event.resource_status_reason()?;
    let (kind, id) = (event.resource_type().unwrap_or_default(), event.logical_resource_id().unwrap_or_default());
    let is_first = status.ends_with("_FAILED") && !reason.contains("cancelled") && !reason.starts_with("The following resource(s) failed");
    is_first.then(|| format!("{} {id}: {reason}", kind.trim_start_matches("AWS::")))
}
