//! Which placement a command is about: that of a project file, or one that is named.

use std::path::PathBuf;

use project::synth::Names;

use super::{ProjectArgs, Trouble};
use crate::cloud::{self, CloudArgs};

/// A placement on AWS.
#[derive(Clone, Debug, clap::Args)]
pub struct PlacementArgs {
    /// A project file whose placement it is, JSON or Jsonnet; `-` reads stdin.
    #[arg(short, long = "project", value_name = "FILE", conflicts_with_all = ["stage", "account"])]
    project: Option<PathBuf>,
    /// A Jsonnet external variable; may be given more than once.
    #[arg(long = "ext-str", value_name = "KEY=VALUE")]
    ext_str: Vec<String>,
    /// The stage; none where not given.
    #[arg(long, value_name = "NAME")]
    stage: Option<String>,
    /// The account, twelve digits; that of the credentials where not given.
    #[arg(long, value_name = "DIGITS")]
    account: Option<String>,
    /// The region, where no project file says it.
    #[arg(long, value_name = "NAME", env = "AWS_REGION")]
    region: Option<String>,
}

impl PlacementArgs {
    /// The names of the placement; the account is asked for where nobody says it.
    pub async fn names(&self, args: &CloudArgs) -> anyhow::Result<Names> {
        if let Some(file) = &self.project {
            let project = ProjectArgs { project: file.clone(), ext_str: self.ext_str.clone() }.load()?;
            let local = || Trouble::usage("the project's placement is local").next("provider: 'aws' in `placement`");
            return Ok(Names::new(&project.placement).ok_or_else(local)?);
        }
        let region = self.region.clone().ok_or_else(|| Trouble::usage("which placement?").next("-p FILE, or --region and --stage"))?;
        let account = match &self.account {
            Some(account) => account.clone(),
            None => cloud::account(&cloud::load(&region, args).await).await?,
        };
        Ok(Names { stage: self.stage.clone().unwrap_or_default(), account, region })
    }
}
