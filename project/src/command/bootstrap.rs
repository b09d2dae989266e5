//! `arc bootstrap`: what all projects of a placement share, made or brought up to date.

use project::Problem;
use project::synth::{self, BootstrapOptions, CREATE_KEY, Network, Stack};

use super::placement::PlacementArgs;
use super::synth::{NetworkArgs, tags};
use super::{Context, Exit, deploy, deploying, keys};
use crate::cloud::{Cloud, CloudArgs};

/// What `--kms` is to have for S3's own keys.
const NO_KEY: &str = "none";

/// Arguments of `arc bootstrap`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Makes the four stores, the event bus, the registry of the worker's image and
the network. By default nothing of it costs money at rest. Safe to repeat: only
what differs is changed, and the network, the key and the tags stay as they are
where nothing is said of them.

Examples:
  arc bootstrap -p lake.jsonnet --dry-run     what would be made
  arc bootstrap --stage test --region us-east-2")]
pub struct Args {
    #[command(flatten)]
    placement: PlacementArgs,
    #[command(flatten)]
    network: NetworkArgs,
    /// Encrypt with this key, an ARN; `create` makes one where there is none yet, `none` goes back to S3's own.
    #[arg(long, value_name = "KEY")]
    kms: Option<String>,
    /// A tag for everything that takes tags; may be given more than once. Those given replace all that were.
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    tags: Vec<String>,
    #[command(flatten)]
    consent: deploy::Consent,
    #[command(flatten)]
    cloud: CloudArgs,
}

impl Args {
    /// What is asked for, and for the rest what is there already.
    fn over(&self, before: BootstrapOptions) -> BootstrapOptions {
        let cidr = self.network.cidr();
        let network = match self.network.chosen() {
            Some(network) => network,
            // Addresses are those of a network that is made.
            None if cidr.is_some() && matches!(before.network, Network::Given { .. }) => Network::Public,
            None => before.network,
        };
        let kms = match self.kms.as_deref() {
            None => before.kms,
            Some(NO_KEY) => None,
            Some(CREATE_KEY) if before.kms.is_some() => before.kms,
            Some(given) => Some(given.to_owned()),
        };
        BootstrapOptions { network, vpc_cidr: cidr.or(before.vpc_cidr), kms, ..BootstrapOptions::new(before.placement) }
    }
}

/// Says what stays as it is though nothing asked for it, and what a change asks of people.
fn tell(args: &Args, before: &BootstrapOptions, options: &BootstrapOptions, is_there: bool) {
    let network = match &options.network {
        Network::Public => "public",
        Network::Private => "private",
        Network::Given { .. } => "given",
    };
    if is_there && args.network.chosen().is_none() {
        eprintln!("network: {network}, as it is; --public, --private and --subnet change it");
    }
    if let Some(key) = options.kms.as_deref().filter(|_| options.kms == before.kms) {
        let key = if key == CREATE_KEY { "its own" } else { key };
        eprintln!("key: {key}, as it is; --kms changes it");
    }
    if is_there && (&before.network, &before.vpc_cidr) != (&options.network, &options.vpc_cidr) {
        eprintln!(
            "note: jobs run in the network that their project was deployed with\n  try: arc deploy, for each project of the placement"
        );
    }
}

/// Makes or changes the stack.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    args.network.check()?;
    let names = args.placement.names(&args.cloud).await?;
    args.kms.iter().filter(|key| ![NO_KEY, CREATE_KEY].contains(&key.as_str())).try_for_each(|key| keys::check(&names, key))?;
    let given = tags(&args.tags)?;
    let cloud = Cloud::open(names.clone(), &args.cloud).await?;
    let stack = names.bootstrap_stack();
    let deployed = cloud.template(&stack).await?;
    let before = match &deployed {
        Some(template) => BootstrapOptions::of_template(names, template),
        // Stores that outlived their stack are read with the key that they were written with.
        None => BootstrapOptions { kms: keys::of_bucket(&cloud, &names.manifest_bucket()).await?, ..BootstrapOptions::new(names) },
    };
    let tags = match given.is_empty() {
        true => cloud.stack(&stack).await?.map(|state| state.tags).unwrap_or_default(),
        false => given,
    };
    let options = args.over(before.clone());
    tell(&args, &before, &options, deployed.is_some());
    // As tags of the stack they take no room in the template, which is sent with the call: there is no bucket yet.
    let stack = Stack { tags, ..synth::bootstrap(&options) };
    let (consent, documents) = (&args.consent, None);
    let is_new = |key: &&String| *key != CREATE_KEY && options.kms != before.kms;
    let notes: Vec<Problem> = options.kms.iter().filter(is_new).map(|key| synth::key_note(&cloud.names, key)).collect();
    let deploying = deploying::Deploying { cloud: &cloud, consent, context, documents, notes: &notes, obsolete: &[] };
    deploying.run(&[stack]).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use expect_test::expect;
    use project::synth::Names;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn over(before: &BootstrapOptions, flags: &str) -> BootstrapOptions {
        let words = format!("bootstrap --account 123456789012 --region us-east-2 {flags}");
        Line::try_parse_from(words.split_whitespace()).unwrap_or_else(|error| panic!("{error}")).args.over(before.clone())
    }

    #[test]
    fn what_nobody_asks_to_change_stays() {
        let names = Names { stage: "test".into(), account: "123456789012".into(), region: "us-east-2".into() };
        let steps = [
            "",
            "--private --cidr 10.1.0.0/16 --kms create",
            "",
            "--kms create",
            "--public",
            "--subnet s-1 --security-group g-1",
            "--kms arn:aws:kms:k",
            "--kms create",
            "--kms none",
            "--cidr 10.2.0.0/16",
        ];
        let mut options = BootstrapOptions::new(names.clone());
        let mut told = String::new();
        for flags in steps {
            options = over(&options, flags);
            let again = BootstrapOptions::of_template(names.clone(), &synth::bootstrap(&options).template);
            assert_eq!((&again.network, &again.kms), (&options.network, &options.kms), "a template tells what was decided");
            told += &format!("{flags}: {:?} {:?} {:?}\n", again.network, again.vpc_cidr, again.kms);
            options = again;
        }
        expect![[r#"
            : Public Some("10.64.0.0/16") None
            --private --cidr 10.1.0.0/16 --kms create: Private Some("10.1.0.0/16") Some("create")
            : Private Some("10.1.0.0/16") Some("create")
            --kms create: Private Some("10.1.0.0/16") Some("create")
            --public: Public Some("10.1.0.0/16") Some("create")
            --subnet s-1 --security-group g-1: Given { subnets: ["s-1"], security_groups: ["g-1"] } None Some("create")
            --kms arn:aws:kms:k: Given { subnets: ["s-1"], security_groups: ["g-1"] } None Some("arn:aws:kms:k")
            --kms create: Given { subnets: ["s-1"], security_groups: ["g-1"] } None Some("arn:aws:kms:k")
            --kms none: Given { subnets: ["s-1"], security_groups: ["g-1"] } None None
            --cidr 10.2.0.0/16: Public Some("10.2.0.0/16") None
        "#]]
        .assert_eq(&told);
    }
}
