//! `arc deploy`: a project onto its placement. What changes is shown in plain words before anything does.

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

use manifests::Stores;
use project::synth::{self, ProjectNames, ProjectOptions, Stack};
use project::{Project, ProjectError};

use super::deploying::{Deploying, tell_moves};
use super::synth::tags;
use super::{Context, Exit, ProjectArgs, Trouble, keys};
use crate::cloud::{self, Cloud, Code, DeployedStack, Documents};
use crate::{engine, known};

/// Arguments of `arc deploy`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  arc deploy -p lake.jsonnet --dry-run   what would change, and its cost
  arc deploy -p lake.jsonnet             shows the changes, asks, follows them
  arc deploy -p lake.jsonnet --approve   the same without asking")]
pub struct Args {
    #[command(flatten)]
    pub project: ProjectArgs,
    #[command(flatten)]
    pub choice: Choice,
    /// The folder with the packages of the functions; `functions` beside the program where not given.
    #[arg(long, value_name = "FOLDER", env = "ARC_CODE")]
    code: Option<PathBuf>,
    #[command(flatten)]
    consent: Consent,
}

/// What of a project is deployed, and with what.
#[derive(Debug, clap::Args)]
pub struct Choice {
    /// Leave out all arcs and what runs them.
    #[arg(long)]
    pub exclude_all_arcs: bool,
    /// Leave out this arc; may be given more than once.
    #[arg(long, value_name = "NAME")]
    pub exclude_arc: Vec<String>,
    /// Only this resource of the project file; everything else stays as it is.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["exclude_all_arcs", "exclude_arc"])]
    pub only_resource: Option<String>,
    /// The image of built-in workloads, instead of the one in the placement's registry. `{arch}` in it stands for arm64 or
    /// x86_64.
    #[arg(long, value_name = "URI")]
    pub image: Option<String>,
    /// The role that Batch works with, an ARN; its service-linked role where not given.
    #[arg(long, value_name = "ARN")]
    pub batch_service_role: Option<String>,
    /// Reserve no concurrency for the functions, where the account has none to spare. Safe: commits keep two
    /// invocations apart.
    #[arg(long)]
    pub no_reserved_concurrency: bool,
    /// Encrypt with this key, an ARN; with the bootstrap's where not given.
    #[arg(long, value_name = "ARN")]
    pub kms: Option<String>,
    /// The key of a bucket that is made elsewhere, where these credentials may not ask for it; may be given more than once.
    #[arg(long = "bucket-key", value_name = "BUCKET=ARN")]
    pub bucket_keys: Vec<String>,
    /// A tag for everything that takes tags; may be given more than once.
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    pub tags: Vec<String>,
}

impl Choice {
    /// As options, without places.
    pub fn options(&self, names: &ProjectNames) -> anyhow::Result<ProjectOptions> {
        Ok(ProjectOptions {
            exclude_all_arcs: self.exclude_all_arcs,
            exclude_arcs: self.exclude_arc.clone(),
            only_resource: self.only_resource.clone(),
            image: self.image.clone(),
            kms_key: self.kms.clone(),
            bucket_keys: keys::of_arguments(&names.placement, &self.bucket_keys)?,
            batch_service_role: self.batch_service_role.clone(),
            no_reserved_concurrency: self.no_reserved_concurrency,
            tags: tags(&self.tags)?,
            ..ProjectOptions::preview(names)
        })
    }
}

/// Whether changes may be made.
#[derive(Debug, clap::Args)]
pub struct Consent {
    /// Show what would change, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask.
    #[arg(long, conflicts_with = "dry_run")]
    pub approve: bool,
}

impl Consent {
    /// Asks on the terminal, unless approved before.
    pub fn ask(&self, question: &str) -> anyhow::Result<bool> {
        if self.approve {
            return Ok(true);
        }
        if !std::io::stdin().is_terminal() {
            return Err(Trouble::usage("there is nobody to ask").next("--approve, or --dry-run to see the changes").into());
        }
        eprint!("{question} [y/N] ");
        std::io::stderr().flush()?;
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer)?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    }
}

/// The project and the names of its things on AWS.
pub fn load(args: &ProjectArgs) -> anyhow::Result<(Project, ProjectNames)> {
    let project = args.load()?;
    let local = || Trouble::usage("the project's placement is local: there is nothing to deploy").next("provider: 'aws' in `placement`");
    let names = ProjectNames::of(&project).ok_or_else(local)?;
    Ok((project, names))
}

/// The options with the columns of those tables that only their data tells, as far as there is data.
pub async fn with_tables(project: &Project, mut options: ProjectOptions, stores: &Stores) -> anyhow::Result<ProjectOptions> {
    for produced in synth::untold(project, &options) {
        if let Some(known) = known::of_dataset(project, stores, &produced).await? {
            options.tables.insert(produced.dataset.id().to_string(), known);
        }
    }
    Ok(options)
}

/// The options with what depends on what is there already.
pub async fn with_deployed(
    project: &Project,
    options: ProjectOptions,
    cloud: &Cloud,
    there: &[DeployedStack],
) -> anyhow::Result<ProjectOptions> {
    let present_databases = cloud.present_databases(project, there).await?;
    let homes = synth::homes(there.iter().map(|stack| (stack.name.as_str(), &stack.template)));
    let bootstrap = cloud.stack(&cloud.names.bootstrap_stack()).await?;
    let network = bootstrap.and_then(|state| synth::JobNetwork::of_outputs(&state.outputs));
    Ok(ProjectOptions { present_databases, homes, network, ..options })
}

/// The stacks of a project; of only one resource where the options say so, put into what is deployed.
pub async fn stacks(project: &Project, options: &ProjectOptions, args: &ProjectArgs, cloud: &Cloud) -> anyhow::Result<Vec<Stack>> {
    let path = args.project.display().to_string();
    let mut stacks = synth::project(project, options).map_err(|problems| super::usage(ProjectError::Problems { path, problems }))?;
    if options.only_resource.is_some() {
        for stack in &mut stacks {
            if let Some(deployed) = cloud.template(&stack.name).await? {
                stack.template = synth::overlay(&deployed, &stack.template);
            }
        }
    }
    Ok(stacks)
}

/// The stacks that are there and not wanted; none where only one resource is.
pub fn obsolete(there: Vec<DeployedStack>, stacks: &[Stack], options: &ProjectOptions) -> Vec<DeployedStack> {
    let is_wanted = |name: &str| options.only_resource.is_some() || stacks.iter().any(|stack| stack.name == name);
    there.into_iter().filter(|stack| !is_wanted(&stack.name)).collect()
}

/// Finds before anything is changed that the account has no room for what the functions reserve.
async fn check_concurrency(cloud: &Cloud, stacks: &[Stack], there: &[DeployedStack], is_dry: bool) -> anyhow::Result<()> {
    let wanted: i64 = stacks.iter().map(|stack| cloud::reserved(&stack.template)).sum();
    let more = wanted - there.iter().map(|stack| cloud::reserved(&stack.template)).sum::<i64>();
    match cloud.lacks_concurrency(more).await {
        Some(trouble) if is_dry => eprintln!("note: {trouble}\n  try: {}", trouble.next.as_deref().unwrap_or_default()),
        Some(trouble) => return Err(trouble.into()),
        None => {}
    }
    Ok(())
}

/// Deploys.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let (project, names) = load(&args.project)?;
    let cloud = Cloud::open(names.placement.clone(), &args.project.cloud).await?;
    let bootstrap = names.placement.bootstrap_stack();
    if cloud.stack(&bootstrap).await?.is_none() {
        let next = format!("arc bootstrap -p {}", args.project.project.display());
        return Err(Trouble::not_found(format!("there is no stack {bootstrap}: the placement is not bootstrapped")).next(next).into());
    }
    let stores = cloud.stores()?;
    engine::check_owners(&project, &stores).await?;
    let folder = code_folder(args.code)?;
    let code = Code::find(&folder, &project, &names.placement.artifact_bucket())?;
    let options = keys::with_store_key(&cloud, args.choice.options(&names)?).await?;
    let options = keys::with_bucket_keys(&project, &cloud, options, context).await;
    let options = with_tables(&project, options, &stores).await?;
    let there = cloud.project_stacks(&names).await?;
    let options = with_deployed(&project, options, &cloud, &there).await?;
    let documents = Documents::new(&project, &names, code, options)?;
    let stacks = stacks(&project, &documents.options, &args.project, &cloud).await?;
    check_concurrency(&cloud, &stacks, &there, args.consent.dry_run).await?;
    tell_moves(&stacks, &documents.options.homes);
    let obsolete = obsolete(there, &stacks, &documents.options);
    let notes = synth::notes(&project, &documents.options);
    let (consent, documents) = (&args.consent, Some(&documents));
    let deploying = Deploying { cloud: &cloud, consent, context, documents, notes: &notes, obsolete: &obsolete };
    let exit = deploying.run(&stacks).await?;
    if !args.consent.dry_run && exit == Exit::Done {
        engine::register(&project, &stores).await?;
    }
    Ok(exit)
}

fn code_folder(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    match given {
        Some(folder) => Ok(folder),
        None => Ok(std::env::current_exe()?.parent().map(|folder| folder.join("functions")).unwrap_or_default()),
    }
}
