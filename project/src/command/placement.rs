//! Which placement a command is about: that of a project file, or one that is named.

use std::path::{Path, PathBuf};

use manifests::{Aws, ObjectStores, Stores};
use project::Placement;
use project::synth::Names;

use super::{ProjectArgs, Trouble};
use crate::cloud::{self, Cloud, CloudArgs};
use crate::engine;

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
            let project = ProjectArgs { project: file.clone(), ext_str: self.ext_str.clone(), cloud: args.clone() }.load()?;
            let local = || Trouble::usage("the project's placement is local").next("provider: 'aws' in `placement`");
            return Ok(Names::new(&project.placement).ok_or_else(local)?);
        }
        let region = self.region.clone().ok_or_else(|| Trouble::usage("which placement?").next("-p FILE, or --region and --stage"))?;
        let account = match &self.account {
            Some(account) => account.clone(),
            None => cloud::account(&cloud::load(Some(&region), args).await).await?,
        };
        let names = Names { stage: self.stage.clone().unwrap_or_default(), account, region };
        judged(&names)?;
        Ok(names)
    }
}

/// Refuses a placement whose names AWS would refuse.
fn judged(names: &Names) -> Result<(), Trouble> {
    let Some(problem) = project::judge_placement(names).into_iter().next() else { return Ok(()) };
    let trouble = Trouble::usage(format!("--{}: {}", problem.path.trim_start_matches("placement."), problem.message));
    Err(Trouble { next: problem.fix, ..trouble })
}

/// A placement whose stores are looked at, without a project file if need be.
#[derive(Clone, Debug, clap::Args)]
pub struct PlaceArgs {
    /// The folder of a local placement: `placement.root` of its project files.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["stage", "account", "region"])]
    root: Option<PathBuf>,
    /// The stage of a placement on AWS; where not given, that of the only one in the account and region.
    #[arg(long, value_name = "NAME")]
    stage: Option<String>,
    /// The account, twelve digits; that of the credentials where not given.
    #[arg(long, value_name = "DIGITS")]
    account: Option<String>,
    /// The region; that of the AWS configuration where not given.
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// Any project file of the placement, where nothing of the above is given; `-` reads stdin.
    #[arg(short, long = "project", value_name = "FILE", env = "ARC_PROJECT")]
    project: Option<PathBuf>,
    /// A Jsonnet external variable; may be given more than once.
    #[arg(long = "ext-str", value_name = "KEY=VALUE")]
    ext_str: Vec<String>,
    #[command(flatten)]
    cloud: CloudArgs,
}

/// Where the arguments lead.
#[derive(Clone, Debug)]
pub enum Lead {
    /// To the local placement of this root, a raw URI.
    Local(String),
    /// To this placement on AWS.
    Named(Names),
    /// To an account and region, no stage said.
    Account {
        /// The account.
        account: String,
        /// The region, where one is known.
        region: Option<String>,
    },
}

/// The stores of a placement.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its stores.
    pub stores: Stores,
    /// On AWS, how it is called.
    pub cloud: Option<Cloud>,
}

impl PlaceArgs {
    /// Where the arguments lead, and on AWS what calls start from.
    pub async fn lead(&self) -> anyhow::Result<(Lead, Option<Aws>)> {
        if let Some(root) = &self.root {
            let root = std::path::absolute(root)?;
            return Ok((Lead::Local(format!("file://{}", root.display()).trim_end_matches('/').to_owned()), None));
        }
        let is_named = self.stage.is_some() || self.account.is_some() || self.region.is_some();
        if let Some(file) = self.project.as_ref().filter(|_| !is_named) {
            let project = ProjectArgs { project: file.clone(), ext_str: self.ext_str.clone(), cloud: self.cloud.clone() }.load()?;
            return Ok(match (&project.placement, Names::new(&project.placement)) {
                (Placement::Local { root_uri }, _) => (Lead::Local(root_uri.clone()), None),
                (_, Some(names)) => {
                    let aws = cloud::load(Some(&names.region), &self.cloud).await;
                    (Lead::Named(names), Some(aws))
                }
                (_, None) => return Err(Trouble::usage("the placement is neither local nor on AWS").into()),
            });
        }
        let aws = cloud::load(self.region.as_deref(), &self.cloud).await;
        let region = aws.region().map(str::to_owned);
        let account = match &self.account {
            Some(account) => account.clone(),
            None => cloud::account(&aws).await.map_err(|error| Trouble { next: Some(WHERE.to_owned()), ..error })?,
        };
        let lead = match (&self.stage, region) {
            (Some(stage), Some(region)) => Lead::Named(Names { stage: stage.clone(), account, region }),
            (Some(_), None) => return Err(Trouble::usage("which region?").next("--region, or one in the AWS configuration").into()),
            (None, region) => Lead::Account { account, region },
        };
        Ok((lead, Some(aws)))
    }

    /// Whether the arguments say a region.
    pub fn names_region(&self) -> bool {
        self.region.is_some()
    }

    /// The stores that the arguments lead to.
    pub async fn open(&self) -> anyhow::Result<Place> {
        let (lead, aws) = self.lead().await?;
        match (lead, aws) {
            (Lead::Local(root_uri), _) => local(&root_uri),
            (Lead::Named(names), Some(aws)) => on_aws(names, aws),
            (Lead::Account { account, region }, Some(aws)) => {
                let names = only(cloud::placements(&aws).await?, &account, region.as_deref())?;
                let aws = cloud::load(Some(&names.region), &self.cloud).await;
                on_aws(names, aws)
            }
            (_, None) => Err(Trouble::usage("which placement?").next(WHERE).into()),
        }
    }
}

/// How to say which placement is meant.
const WHERE: &str = "--root FOLDER, -p with any project file of it, or --stage and --profile on AWS";

fn local(root_uri: &str) -> anyhow::Result<Place> {
    let folder = root_uri.trim_start_matches("file://");
    if !Path::new(folder).join("metadata").is_dir() {
        return Err(no_placement(Path::new(folder)).into());
    }
    let objects: ObjectStores = engine::local_objects();
    let stores = Stores::below(objects, root_uri).map_err(|error| Trouble::usage(format!("--root: {error}")))?;
    Ok(Place { stores, cloud: None })
}

/// A folder that is no placement, and the one that may have been meant.
pub fn no_placement(folder: &Path) -> Trouble {
    let next = placement_below(folder).map(|below| format!("--root {}", below.display()));
    let next = next.unwrap_or_else(|| "the `placement.root` of a project file; arc up -p FILE makes one".to_owned());
    Trouble::not_found(format!("there is no placement in {}", folder.display())).next(next)
}

/// The placement right below a folder that somebody took for it: that of the project file.
fn placement_below(folder: &Path) -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    found.retain(|path| path.join("metadata").is_dir());
    found.sort();
    found.into_iter().next()
}

fn on_aws(names: Names, aws: Aws) -> anyhow::Result<Place> {
    let cloud = Cloud::of(aws, names);
    Ok(Place { stores: cloud.stores()?, cloud: Some(cloud) })
}

/// The only placement of an account, and region where one is known.
fn only(found: Vec<cloud::FoundPlacement>, account: &str, region: Option<&str>) -> Result<Names, Trouble> {
    let is_here = |names: &Names| names.account == account && region.is_none_or(|region| names.region == region);
    let mut names: Vec<Names> = found.into_iter().map(|place| place.names).filter(is_here).collect();
    let place = region.map_or_else(|| format!("account {account}"), |region| format!("account {account}, region {region}"));
    match (names.pop(), names.is_empty()) {
        (Some(name), true) => Ok(name),
        (None, _) => Err(Trouble::not_found(format!("there is no placement in {place}")).next("arc bootstrap, or arc placements")),
        (Some(last), false) => {
            let told = |names: &Names| format!("--stage '{}' --region {}", names.stage, names.region);
            let all: Vec<String> = names.iter().chain([&last]).map(told).collect();
            Err(Trouble::usage(format!("there are several placements in {place}")).next(all.join(", or ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placement_that_no_file_says_is_judged() {
        let said = |stage: &str, account: &str, region: &str| {
            judged(&Names { stage: stage.into(), account: account.into(), region: region.into() }).map_err(|trouble| trouble.message).err()
        };
        assert_eq!(said("1dev", "123456789012", "us-east-2"), None);
        assert!(said("Dev_1", "123456789012", "us-east-2").unwrap().starts_with("--stage: becomes part of bucket names"));
        assert_eq!(said("", "1234", "us-east-2").unwrap(), "--account: must be the twelve digits of an account");
        assert_eq!(said("", "123456789012", "useast").unwrap(), "--region: `useast` is no region: use one such as us-east-2");
    }

    #[test]
    fn the_folder_of_the_project_is_not_the_one_of_its_placement() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().display().to_string();
        let next = |root: &str| local(root).unwrap_err().downcast::<Trouble>().unwrap().next.unwrap();
        assert!(next(&root).contains("placement.root"), "{}", next(&root));
        std::fs::create_dir_all(folder.path().join("lake/metadata")).unwrap();
        assert_eq!(next(&root), format!("--root {root}/lake"));
    }

    #[test]
    fn the_only_placement_needs_no_stage() {
        let place = |stage: &str, region: &str| cloud::FoundPlacement {
            names: Names { stage: stage.into(), account: "123456789012".into(), region: region.into() },
            stores: vec!["metadata"],
            created: None,
        };
        let all = vec![place("a", "us-east-2"), place("", "us-east-2"), place("b", "eu-west-1")];
        let stage = |region| only(all.clone(), "123456789012", region).map(|names| names.stage);
        assert_eq!(stage(Some("eu-west-1")).unwrap(), "b");
        assert!(stage(Some("us-west-1")).unwrap_err().message.contains("no placement"));
        let several = stage(Some("us-east-2")).unwrap_err().next.unwrap();
        assert_eq!(several, "--stage 'a' --region us-east-2, or --stage '' --region us-east-2");
        assert!(only(all, "999999999999", None).is_err());
    }
}
