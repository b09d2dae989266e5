//! Stacks on their way to AWS: templates flow in; what changes is told, asked for and followed; their outputs flow out.

use std::collections::BTreeMap;

use anyhow::Context as _;
use project::Problem;
use project::synth::{self, Stack};
use serde_json::Value;

use super::deploy::Consent;
use super::synth::summarise;
use super::{Context, Exit};
use crate::cloud::{Change, Cloud, Declared, DeployedStack, Documents, INLINE_BYTES_MAX, keep_taken, mark_taken, with_new_policy};
use crate::output::{Cell, escape, print};

/// Stacks on their way.
pub struct Deploying<'a> {
    /// Where to.
    pub cloud: &'a Cloud,
    /// Whether changes may be made.
    pub consent: &'a Consent,
    /// The program's.
    pub context: &'a Context,
    /// What has to be uploaded first; none for a bootstrap.
    pub documents: Option<&'a Documents>,
    /// What is left for people to do.
    pub notes: &'a [Problem],
    /// Stacks that are there and of which nothing is wanted any more.
    pub obsolete: &'a [DeployedStack],
}

impl Deploying<'_> {
    /// Deploys stacks in their order; prints their outputs.
    pub async fn run(&self, stacks: &[Stack]) -> anyhow::Result<Exit> {
        if !self.context.quiet {
            summarise(stacks, self.notes);
        }
        if self.consent.dry_run {
            self.preview(stacks).await?;
            return Ok(Exit::Done);
        }
        if let Some(documents) = self.documents {
            documents.upload(&self.cloud.stores()?).await.context("cannot upload to the artifact bucket")?;
        }
        let mut outputs = Vec::new();
        for (at, stack) in stacks.iter().enumerate() {
            // The first stack lets go of what is obsolete, others may take its names.
            if !self.deploy(stack).await? || (at == 0 && !self.take_away().await?) {
                eprintln!("nothing more is changed");
                return Ok(Exit::Failed);
            }
            let state = self.cloud.stack(&stack.name).await?;
            let named = state.into_iter().flat_map(|state| state.outputs);
            outputs.extend(named.map(|(key, value)| vec![Cell::from(stack.name.as_str()), Cell::from(key), Cell::from(value)]));
        }
        print(self.context.output, &["stack", "output", "value"], outputs)?;
        Ok(Exit::Done)
    }

    /// What would change, from the templates alone: nothing is made, not even a change set.
    async fn preview(&self, stacks: &[Stack]) -> anyhow::Result<()> {
        for stack in stacks {
            let deployed = self.cloud.template(&stack.name).await?.unwrap_or_default();
            let taken = self.taken_over(&deployed, stack).await?;
            let mut template = stack.template.clone();
            keep_taken(&mut template, &deployed, &taken);
            let mut changes = Change::between(&deployed, &template);
            mark_taken(&mut changes, &taken);
            tell_changes(&stack.name, &changes);
        }
        self.obsolete.iter().for_each(tell_obsolete);
        Ok(())
    }

    /// Deletes the stacks that are obsolete; false where somebody said no.
    async fn take_away(&self) -> anyhow::Result<bool> {
        for stack in self.obsolete {
            tell_obsolete(stack);
            if !self.consent.ask(&format!("Delete stack {}?", stack.name))? {
                return Ok(false);
            }
            self.cloud.delete_telling(&stack.name, &|line| self.tell(line)).await?;
            eprintln!("stack {} is gone", stack.name);
        }
        Ok(true)
    }

    fn tell(&self, line: &str) {
        if !self.context.quiet {
            eprintln!("{}  {}", chrono::Utc::now().format("%H:%M:%S"), escape(line));
        }
    }

    /// The buckets that an earlier stack left, and that this one takes over; says so.
    async fn taken_over(&self, deployed: &Value, stack: &Stack) -> anyhow::Result<Vec<Declared>> {
        let taken = self.cloud.taken_over(deployed, &stack.template).await?;
        for bucket in &taken {
            eprintln!("bucket {} is there already: stack {} takes it over, with everything in it", bucket.name, stack.name);
        }
        Ok(taken)
    }

    /// One stack; false where somebody said no.
    async fn deploy(&self, stack: &Stack) -> anyhow::Result<bool> {
        let deployed = self.cloud.template(&stack.name).await?.unwrap_or_default();
        let taken = self.taken_over(&deployed, stack).await?;
        let mut stack = stack.clone();
        keep_taken(&mut stack.template, &deployed, &taken);
        let text = serde_json::to_string(&stack.template)?;
        let url = match self.documents.filter(|_| text.len() > INLINE_BYTES_MAX) {
            Some(documents) => Some(documents.template_url(&self.cloud.stores()?.artifact, &stack, &text, &self.cloud.names).await?),
            None => None,
        };
        let planned = self.cloud.plan(&stack, &text, url.as_deref(), !taken.is_empty(), chrono::Utc::now()).await?;
        let Some(mut planned) = planned else {
            eprintln!("stack {} is up to date", stack.name);
            return Ok(true);
        };
        mark_taken(&mut planned.changes, &taken);
        tell_changes(&stack.name, &planned.changes);
        let may = self.consent.ask(&format!("Make these changes to stack {}?", stack.name));
        if !matches!(may, Ok(true)) {
            self.cloud.discard(&planned).await?;
            return may;
        }
        for bucket in with_new_policy(&stack.template, &planned.changes, &taken) {
            self.cloud.delete_policy(bucket).await?;
        }
        let state = self.cloud.carry_out(&planned, &|line| self.tell(line)).await?;
        eprintln!("stack {}: {}", stack.name, state.status);
        Ok(true)
    }
}

/// Says that a stack goes, and what goes with it.
pub fn tell_obsolete(stack: &DeployedStack) {
    eprintln!("stack {} is deleted: nothing of it is wanted any more", stack.name);
    Change::between(&stack.template, &Value::Null).iter().for_each(|change| eprintln!("  {}", escape(&change.to_string())));
}

/// Says which things leave a full stack for another.
pub fn tell_moves(stacks: &[Stack], homes: &BTreeMap<String, String>) {
    for synth::Move { from, to, count } in synth::moves(stacks, homes) {
        eprintln!("stack {from} is full: {count} things of it are removed, and made again in stack {to}");
    }
}

/// Says what a stack's changes are.
pub fn tell_changes(stack: &str, changes: &[Change]) {
    match changes.len() {
        0 => eprintln!("stack {stack}: no changes"),
        count => eprintln!("stack {stack}: {count} changes"),
    }
    changes.iter().for_each(|change| eprintln!("  {}", escape(&change.to_string())));
}
