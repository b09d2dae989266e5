//! `arc bootstrap`: what all projects of a placement share, made or brought up to date.

use project::Problem;
use project::synth::{self, BootstrapOptions};

use super::placement::PlacementArgs;
use super::synth::{NetworkArgs, tags};
use super::{Context, Exit, deploy, deploying, keys};
use crate::cloud::{Cloud, CloudArgs};

/// Arguments of `arc bootstrap`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Makes the four stores, the event bus, the registry of the worker's image and
the network. By default nothing of it costs money at rest. Safe to repeat: only
what differs is changed.

Examples:
  arc bootstrap -p lake.jsonnet --dry-run     what would be made
  arc bootstrap --stage test --region us-east-2")]
pub struct Args {
    #[command(flatten)]
    placement: PlacementArgs,
    #[command(flatten)]
    network: NetworkArgs,
    /// Encrypt with this key, an ARN; `create` makes one. Where not given, the stores keep the key that they have; `none`
    /// goes back to S3's own.
    #[arg(long, value_name = "KEY")]
    kms: Option<String>,
    /// A tag for everything that takes tags; may be given more than once.
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    tags: Vec<String>,
    #[command(flatten)]
    consent: deploy::Consent,
    #[command(flatten)]
    cloud: CloudArgs,
}

/// Makes or changes the stack.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    args.network.check()?;
    let names = args.placement.names(&args.cloud).await?;
    let tags = tags(&args.tags)?;
    let cloud = Cloud::open(names.clone(), &args.cloud).await?;
    let kms = keys::of_bootstrap(&cloud, args.kms.as_deref()).await?;
    let given = kms.iter().filter(|key| *key != synth::CREATE_KEY);
    let notes: Vec<Problem> = given.map(|key| synth::key_note(&names, key)).collect();
    let (network, vpc_cidr, usual) = (args.network.network(), args.network.cidr(), BootstrapOptions::new(names));
    let stack = synth::bootstrap(&BootstrapOptions { network, vpc_cidr, kms, tags, ..usual });
    let deployment = deploying::Deploying { cloud: &cloud, consent: &args.consent, context, documents: None, notes: &notes, obsolete: &[] };
    deployment.run(&[stack]).await
}
