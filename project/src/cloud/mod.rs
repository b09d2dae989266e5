//! An account of AWS that is deployed to: names and templates flow in, what CloudFormation makes of them flows out. What is
//! to be there is not decided here.

mod buckets;
mod changes;
mod concurrency;
mod documents;
mod placements;
mod project_stacks;
mod stacks;

use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use manifests::{Aws, AwsSettings, ObjectStores, Root, Stores};
use project::synth::Names;

use crate::command::Trouble;
pub use buckets::{Declared, keep_taken, mark_taken, with_new_policy};
pub use changes::{Change, ChangeKind};
pub use concurrency::reserved;
pub use documents::{Code, Documents};
pub use placements::{FoundPlacement, placements};
pub use project_stacks::DeployedStack;
pub use stacks::INLINE_BYTES_MAX;

/// How an account is reached.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct CloudArgs {
    /// A profile of the AWS configuration files.
    #[arg(long, value_name = "NAME", env = "AWS_PROFILE")]
    pub profile: Option<String>,
    /// Where all services of AWS answer, for a test server; `AWS_ENDPOINT_URL` and `AWS_ENDPOINT_URL_<SERVICE>` where not given.
    // No variable of this argument: what is given here goes before the variables of single services.
    #[arg(long, value_name = "URL")]
    pub endpoint_url: Option<String>,
}

impl CloudArgs {
    /// The settings that they stand for, for a region or for the one that the environment names.
    pub fn settings(&self, region: Option<&str>) -> AwsSettings {
        let (profile, endpoint_url) = (self.profile.clone(), self.endpoint_url.clone());
        AwsSettings { region: region.map(str::to_owned), profile, endpoint_url, ..boundary::aws::settings() }
    }
}

/// An account and a region, and the names of a placement in it.
#[derive(Clone, Debug)]
pub struct Cloud {
    /// What calls start from.
    pub aws: Aws,
    /// The names of the placement.
    pub names: Names,
    stacks: aws_sdk_cloudformation::Client,
}

impl Cloud {
    /// Reads the AWS configuration, and asks whether its credentials are of the placement's account.
    pub async fn open(names: Names, args: &CloudArgs) -> anyhow::Result<Cloud> {
        let aws = load(Some(&names.region), args).await;
        let account = account(&aws).await?;
        if account != names.account {
            let message = format!("the credentials are of account {account}, the placement is in {}", names.account);
            return Err(Trouble::usage(message).next("--profile with a profile of that account, or `placement.account`").into());
        }
        Ok(Cloud::of(aws, names))
    }

    /// The same without asking whose credentials they are: who reads another account's placement may.
    pub fn of(aws: Aws, names: Names) -> Cloud {
        let stacks = aws_sdk_cloudformation::Client::new(aws.config());
        Cloud { aws, names, stacks }
    }

    /// The stores of the placement.
    pub fn stores(&self) -> anyhow::Result<Stores> {
        let objects = self.aws.objects();
        let bucket = |bucket: String| Root::new(&objects, &format!("s3://{bucket}"));
        let (manifest, arc_state) = (bucket(self.names.manifest_bucket())?, bucket(self.names.arc_state_bucket())?);
        let (metadata, artifact) = (bucket(self.names.metadata_bucket())?, bucket(self.names.artifact_bucket())?);
        Ok(Stores { manifest, arc_state, metadata, artifact, objects: ObjectStores::clone(&objects) })
    }

    /// Where the console shows a stack.
    pub fn console(&self, stack: &str) -> String {
        let region = &self.names.region;
        format!("https://{region}.console.aws.amazon.com/cloudformation/home?region={region}#/stacks?filteringText={stack}")
    }

    /// A client of S3 for what `object_store` does not do.
    pub fn s3(&self) -> aws_sdk_s3::Client {
        s3_client(&self.aws)
    }
}

/// A client of S3 for what `object_store` does not do.
pub fn s3_client(aws: &Aws) -> aws_sdk_s3::Client {
    let mut config = aws_sdk_s3::config::Builder::from(aws.config());
    if let Some(url) = aws.s3_endpoint_url() {
        config = config.endpoint_url(url).force_path_style(true);
    }
    aws_sdk_s3::Client::from_conf(config.build())
}

/// The configuration for a region; for that of the AWS configuration where none is given.
pub async fn load(region: Option<&str>, args: &CloudArgs) -> Aws {
    Aws::load(&args.settings(region)).await
}

/// The account of the credentials.
pub async fn account(aws: &Aws) -> Result<String, Trouble> {
    let asked = aws_sdk_sts::Client::new(aws.config()).get_caller_identity().send().await;
    let answer = asked.map_err(|error| said("ask whose credentials these are", &error).next("--profile NAME"))?;
    Ok(answer.account().unwrap_or_default().to_owned())
}

/// An error of a service, told once.
pub fn said<E: ProvideErrorMetadata + std::error::Error>(action: &str, error: &E) -> Trouble {
    Trouble::failed(format!("cannot {action}: {}", manifests::reason(error)))
}
