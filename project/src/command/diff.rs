//! `arc diff`: what a deployment would change. Nothing is changed, and nothing is uploaded.

use project::synth::{CodeLocation, ProjectOptions};

use super::deploy::{self, Choice};
use super::deploying::{tell_changes, tell_moves, tell_obsolete};
use super::{Context, Exit, ProjectArgs, keys};
use crate::cloud::{Change, Cloud, keep_taken};
use crate::output::{Cell, Output, print};

/// Arguments of `arc diff`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Compares templates; `arc deploy` also asks CloudFormation what would be made
anew. Packages of the functions and the documents that they read are taken to be
those that are deployed.")]
pub struct Args {
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    choice: Choice,
}

/// Compares.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let (project, names) = deploy::load(&args.project)?;
    let cloud = Cloud::open(names.placement.clone(), &args.project.cloud).await?;
    let mut options = args.choice.options(&names)?;
    if cloud.stack(&names.placement.bootstrap_stack()).await?.is_some() {
        options = keys::with_store_key(&cloud, options).await?;
        options = keys::with_bucket_keys(&project, &cloud, options, context).await;
        options = deploy::with_tables(&project, options, &cloud.stores()?).await?;
    }
    let there = cloud.project_stacks(&names).await?;
    let options = deploy::with_deployed(&project, options, &cloud, &there).await?;
    let mut rows = Vec::new();
    let stacks = deploy::stacks(&project, &options, &args.project, &cloud).await?;
    for stack in &stacks {
        let deployed = cloud.template(&stack.name).await?.unwrap_or_default();
        let mut template = stack.template.clone();
        keep_taken(&mut template, &deployed, &[]);
        let changes = Change::between(&settled(&deployed, &options), &settled(&template, &options));
        if context.output == Output::Table {
            tell_changes(&stack.name, &changes);
        }
        rows.extend(changes.into_iter().map(|change| row(&stack.name, change)));
    }
    tell_moves(&stacks, &options.homes);
    for stack in deploy::obsolete(there, &stacks, &options) {
        tell_obsolete(&stack);
        rows.extend(Change::between(&stack.template, &serde_json::Value::Null).into_iter().map(|change| row(&stack.name, change)));
    }
    if context.output != Output::Table {
        print(context.output, &["stack", "change", "type", "resource", "properties"], rows)?;
    }
    Ok(Exit::Done)
}

fn row(stack: &str, change: Change) -> Vec<Cell> {
    let properties = change.properties.join(",");
    vec![stack.into(), change.kind.word().into(), change.resource_type.into(), change.id.into(), properties.into()]
}

/// The template without the places that have hashes of content in their names.
fn settled(template: &serde_json::Value, options: &ProjectOptions) -> serde_json::Value {
    let CodeLocation { bucket, .. } = &options.code;
    let is_place = |text: &str| {
        let key =
            text.strip_prefix("s3://").and_then(|rest| rest.strip_prefix(bucket.as_str())).map_or(text, |key| key.trim_start_matches('/'));
        key.starts_with("code/") || key.starts_with("deployments/")
    };
    match template {
        serde_json::Value::String(text) if is_place(text) => "(uploaded)".into(),
        serde_json::Value::Array(list) => list.iter().map(|value| settled(value, options)).collect(),
        serde_json::Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), settled(value, options))).collect(),
        value => value.clone(),
    }
}
