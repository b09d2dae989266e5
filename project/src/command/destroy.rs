//! `arc destroy`: takes a project, or the bootstrap of a placement, away again. Buckets with data or state stay unless asked
//! for by name.

use manifests::paths;
use project::synth::Names;

use super::deploy::{self, Consent};
use super::{Context, Exit, ProjectArgs, Trouble};
use crate::cloud::{Cloud, CloudArgs, said};
use crate::output::escape;

/// Arguments of `arc destroy`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Functions, queues, jobs, tables, roles and alarms go. Buckets that hold data or state stay, and with
them every manifest, so that a later deployment goes on where this one ended.

  arc destroy -p lake.jsonnet
  arc destroy -p lake.jsonnet --bootstrap            what all projects of the placement share
  arc destroy -p lake.jsonnet --bootstrap --state    and the four stores, with all that is in them")]
pub struct Args {
    #[command(flatten)]
    project: ProjectArgs,
    /// The bootstrap of the placement instead of the project; its projects must be gone.
    #[arg(long)]
    bootstrap: bool,
    /// With --bootstrap: also delete the four stores and everything in them.
    #[arg(long, requires = "bootstrap")]
    state: bool,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    cloud: CloudArgs,
}

/// Takes away.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let (project, names) = deploy::load(&args.project)?;
    let cloud = Cloud::open(names.placement.clone(), &args.cloud).await?;
    let wanted: Vec<String> = match args.bootstrap {
        true => vec![names.placement.bootstrap_stack()],
        false => {
            let options = project::synth::ProjectOptions::preview(&names);
            let stacks = project::synth::project(&project, &options).unwrap_or_default();
            stacks.into_iter().rev().map(|stack| stack.name).collect()
        }
    };
    let mut there = Vec::new();
    for stack in wanted {
        there.extend(cloud.stack(&stack).await?.map(|_| stack));
    }
    if there.is_empty() && !args.state {
        return Err(Trouble::not_found("nothing of it is deployed").next("arc projects, which lists what is").into());
    }
    there.iter().for_each(|stack| eprintln!("stack {stack} is deleted"));
    if args.state {
        names.placement.store_buckets().iter().for_each(|bucket| eprintln!("bucket {bucket} is deleted with everything in it"));
    }
    if args.consent.dry_run || !args.consent.ask("Take this away?")? {
        return Ok(Exit::Done);
    }
    for stack in &there {
        let tell = |line: &str| {
            if !context.quiet {
                eprintln!("{}  {}", chrono::Utc::now().format("%H:%M:%S"), escape(line));
            }
        };
        cloud.delete_telling(stack, &tell).await?;
        eprintln!("stack {stack} is gone");
    }
    match args.bootstrap {
        false => cloud.stores()?.metadata.delete(&paths::project(&project.name, &project.version)).await?,
        true if args.state => delete_stores(&cloud, &names.placement).await?,
        true => {}
    }
    Ok(Exit::Done)
}

async fn delete_stores(cloud: &Cloud, names: &Names) -> anyhow::Result<()> {
    let s3 = cloud.s3();
    for bucket in names.store_buckets() {
        empty(&s3, &bucket).await?;
        s3.delete_bucket().bucket(&bucket).send().await.map_err(|error| said(&format!("delete bucket {bucket}"), &error))?;
        eprintln!("bucket {bucket} is gone");
    }
    Ok(())
}

/// Deletes every version of every object.
async fn empty(s3: &aws_sdk_s3::Client, bucket: &str) -> anyhow::Result<()> {
    use aws_sdk_s3::types::{Delete, ObjectIdentifier};
    loop {
        let listed = s3.list_object_versions().bucket(bucket).send().await;
        let listed = listed.map_err(|error| said(&format!("list bucket {bucket}"), &error))?;
        let versions = listed.versions().iter().map(|version| (version.key(), version.version_id()));
        let markers = listed.delete_markers().iter().map(|marker| (marker.key(), marker.version_id()));
        let identify = |(key, version): (Option<&str>, Option<&str>)| {
            ObjectIdentifier::builder().key(key.unwrap_or_default()).set_version_id(version.map(str::to_owned)).build().ok()
        };
        let all: Vec<ObjectIdentifier> = versions.chain(markers).filter_map(identify).collect();
        if all.is_empty() {
            return Ok(());
        }
        let delete = Delete::builder().set_objects(Some(all)).quiet(true).build()?;
        let done = s3.delete_objects().bucket(bucket).delete(delete).send().await;
        let done = done.map_err(|error| said(&format!("empty bucket {bucket}"), &error))?;
        if let Some(first) = done.errors().first() {
            let reason = first.message().or(first.code()).unwrap_or("no reason given");
            return Err(Trouble::failed(format!("bucket {bucket}: {} cannot be deleted: {reason}", first.key().unwrap_or_default())).into());
        }
    }
}
