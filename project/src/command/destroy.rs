//! `arc destroy`: takes a project, or the bootstrap of a placement, away again. Buckets with data or state stay unless asked
//! for by name.

use manifests::paths;
use project::synth::Names;

use super::deploy::{self, Consent};
use super::{Context, Exit, ProjectArgs, Trouble};
use crate::cloud::{Cloud, Declared, said};
use crate::output::escape;

/// Arguments of `arc destroy`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Functions, queues, jobs, tables, roles and alarms go. Buckets that hold data or
state stay, and with them every manifest, so that a later deployment goes on
where this one ended. Buckets that the project file marks `removeOnDestroy` are
emptied, every version of every object, and go.

Examples:
  arc destroy -p lake.jsonnet
  arc destroy -p lake.jsonnet --bootstrap           what the placement shares
  arc destroy -p lake.jsonnet --bootstrap --state   and its four stores")]
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
}

/// A stack that goes, and the buckets that go with it.
struct Doomed {
    name: String,
    buckets: Vec<String>,
}

/// Takes away.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let (project, names) = deploy::load(&args.project)?;
    let cloud = Cloud::open(names.placement.clone(), &args.project.cloud).await?;
    let wanted: Vec<String> = match args.bootstrap {
        true => vec![names.placement.bootstrap_stack()],
        false => cloud.project_stacks(&names).await?.into_iter().rev().map(|stack| stack.name).collect(),
    };
    let there = doomed(&cloud, &wanted).await?;
    if there.is_empty() && !args.state {
        return Err(Trouble::not_found("nothing of it is deployed").next("arc projects, which lists what is").into());
    }
    foretell(&there, &names.placement, args.state);
    if args.consent.dry_run || !args.consent.ask("Take this away?")? {
        return Ok(Exit::Done);
    }
    let tell = |line: &str| {
        if !context.quiet {
            eprintln!("{}  {}", chrono::Utc::now().format("%H:%M:%S"), escape(line));
        }
    };
    for stack in there {
        // CloudFormation deletes no bucket that holds anything.
        for bucket in &stack.buckets {
            cloud.empty_bucket(bucket, &tell).await?;
        }
        cloud.delete_telling(&stack.name, &tell).await?;
        eprintln!("stack {} is gone", stack.name);
    }
    match args.bootstrap {
        false => cloud.stores()?.metadata.delete(&paths::project(&project.name, &project.version)).await?,
        true if args.state => delete_stores(&cloud, &names.placement, &tell).await?,
        true => {}
    }
    Ok(Exit::Done)
}

/// Those of the stacks that are there, and the buckets of theirs that do not outlive them.
async fn doomed(cloud: &Cloud, wanted: &[String]) -> anyhow::Result<Vec<Doomed>> {
    let mut there = Vec::new();
    for name in wanted {
        if cloud.stack(name).await?.is_some() {
            let template = cloud.last_template(name).await?.unwrap_or_default();
            let buckets = Declared::of(&template).into_iter().filter(|bucket| !bucket.is_kept).map(|bucket| bucket.name).collect();
            there.push(Doomed { name: name.clone(), buckets });
        }
    }
    Ok(there)
}

/// Says what is about to go.
fn foretell(stacks: &[Doomed], names: &Names, with_state: bool) {
    for stack in stacks {
        eprintln!("stack {} is deleted", stack.name);
        stack.buckets.iter().for_each(|bucket| eprintln!("bucket {bucket} is deleted with everything in it: removeOnDestroy"));
    }
    if with_state {
        names.store_buckets().iter().for_each(|bucket| eprintln!("bucket {bucket} is deleted with everything in it"));
    }
}

async fn delete_stores(cloud: &Cloud, names: &Names, tell: &dyn Fn(&str)) -> anyhow::Result<()> {
    let s3 = cloud.s3();
    for bucket in names.store_buckets() {
        cloud.empty_bucket(&bucket, tell).await?;
        s3.delete_bucket().bucket(&bucket).send().await.map_err(|error| said(&format!("delete bucket {bucket}"), &error))?;
        eprintln!("bucket {bucket} is gone");
    }
    Ok(())
}
