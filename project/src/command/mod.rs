//! The subcommands, a file each with its `Args` and `run`, and what they share: the arguments every one of them takes,
//! the exit codes, the project they load.

pub mod arcs;
mod arguments;
pub mod audit;
pub mod backfill;
pub mod bootstrap;
pub mod completions;
pub mod datasets;
pub mod ddl;
pub mod demo;
mod demo_files;
pub mod deploy;
pub mod deploying;
pub mod destroy;
pub mod detect;
pub mod diff;
pub mod explain;
pub mod formats;
mod keys;
pub mod lots;
mod placement;
pub mod placements;
pub mod projects;
pub mod query;
pub mod replay;
pub mod reprocess;
pub mod retry;
pub mod run;
mod run_files;
mod shaping;
pub mod status;
mod subscribe;
pub mod synth;
pub mod up;
pub mod verify;
mod window;

use std::fmt;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use manifests::ArcSpec;
use project::{Project, ProjectError};

use crate::cloud::CloudArgs;
use crate::engine::{self, Engine};
use crate::logs;
use crate::output::Output;
pub use arguments::{Arguments, arguments};

/// The subcommands, in the order of `arc help`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// See the whole pipeline at work on an hour of made-up access logs
    Demo(demo::Args),
    /// Run one arc on one lot, or convert files without a project
    Run(run::Args),
    /// Take in what arrives and run what is due, until stopped
    Up(up::Args),
    /// Make lots of an arc anew, as their next generation
    Replay(replay::Args),
    /// Read rejected lines again after a fix, without their objects
    Reprocess(reprocess::Args),
    /// Run again what failed or is partial
    Retry(retry::Args),
    /// Take objects from before a boundary into lots of their time
    Backfill(backfill::Args),
    /// Hold what is there against what the manifests promise
    Audit(audit::Args),
    /// Query the committed data of the project's datasets
    Query(query::Args),
    /// What each dataset holds: lots found, missing and their states
    Lots(lots::Args),
    /// How each arc stands: lots done, due, waiting and failed, and why
    Status(status::Args),
    /// The placements of an account, or of a folder
    Placements(placements::Args),
    /// The projects of a placement, without a project file
    Projects(projects::Args),
    /// The datasets of a placement, and what it takes to subscribe to one
    Datasets(datasets::Args),
    /// The arcs of a placement, and how their latest runs stand
    Arcs(arcs::Args),
    /// Check a project file: every problem at once, or the pipeline it describes
    Verify(verify::Args),
    /// The CloudFormation templates of a project on AWS, or of the bootstrap of its placement
    Synth(synth::Args),
    /// The log formats, or the columns of one
    Formats(formats::Args),
    /// Tell which format logs are in, with a snippet for the project file
    Detect(detect::Args),
    /// How each line of a log reads, or why it is a reject
    Explain(explain::Args),
    /// The statement that makes a dataset a table of Athena
    Ddl(ddl::Args),
    /// Make what all projects of a placement on AWS share
    Bootstrap(bootstrap::Args),
    /// Put a project on AWS, or bring it up to date
    Deploy(deploy::Args),
    /// What a deployment would change
    Diff(diff::Args),
    /// Take a deployed project away again; its data stays
    Destroy(destroy::Args),
    /// Write a shell's completions
    Completions(completions::Args),
}

impl Command {
    /// Runs the subcommand; the one place that knows them all.
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self {
            Command::Demo(args) => demo::run(args, context).await,
            Command::Run(args) => run::run(args, context).await,
            Command::Up(args) => up::run(args, context).await,
            Command::Replay(args) => replay::run(args, context).await,
            Command::Reprocess(args) => reprocess::run(args, context).await,
            Command::Retry(args) => retry::run(args, context).await,
            Command::Backfill(args) => backfill::run(args, context).await,
            Command::Audit(args) => audit::run(args, context).await,
            Command::Query(args) => query::run(args, context).await,
            Command::Lots(args) => lots::run(args, context).await,
            Command::Status(args) => status::run(args, context).await,
            Command::Placements(args) => placements::run(args, context).await,
            Command::Projects(args) => projects::run(args, context).await,
            Command::Datasets(args) => datasets::run(args, context).await,
            Command::Arcs(args) => arcs::run(args, context).await,
            Command::Verify(args) => verify::run(args, context).await,
            Command::Synth(args) => synth::run(args, context).await,
            Command::Formats(args) => formats::run(args, context).await,
            Command::Detect(args) => detect::run(args, context).await,
            Command::Explain(args) => explain::run(args, context).await,
            Command::Ddl(args) => ddl::run(args, context).await,
            Command::Bootstrap(args) => bootstrap::run(args, context).await,
            Command::Deploy(args) => deploy::run(args, context).await,
            Command::Diff(args) => diff::run(args, context).await,
            Command::Destroy(args) => destroy::run(args, context).await,
            Command::Completions(args) => completions::run(args, context).await,
        }
    }
}

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// The arguments or the project file are wrong.
    Usage = 2,
    /// Done, but something was rejected past the limit, or is partial.
    Partial = 3,
    /// What was asked for is not there.
    NotFound = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// An error with an exit code of its own and, where there is one, the next step: `error: …`, `try: …`.
#[derive(Debug)]
pub struct Trouble {
    /// How the program ends.
    pub exit: Exit,
    /// What is wrong.
    pub message: String,
    /// What to try.
    pub next: Option<String>,
}

impl Trouble {
    /// Wrong arguments.
    pub fn usage(message: impl Into<String>) -> Trouble {
        Trouble { exit: Exit::Usage, message: message.into(), next: None }
    }

    /// Something is not there.
    pub fn not_found(message: impl Into<String>) -> Trouble {
        Trouble { exit: Exit::NotFound, message: message.into(), next: None }
    }

    /// Something went wrong.
    pub fn failed(message: impl Into<String>) -> Trouble {
        Trouble { exit: Exit::Failed, message: message.into(), next: None }
    }

    /// The same with the next step.
    #[must_use]
    pub fn next(self, next: impl Into<String>) -> Trouble {
        Trouble { next: Some(next.into()), ..self }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Trouble {}

/// What every subcommand gets.
#[derive(Clone, Debug)]
pub struct Context {
    /// How listings are written.
    pub output: Output,
    /// Whether progress may be drawn: stderr is a terminal and nobody asked for quiet.
    pub progress: bool,
    /// Whether to say nothing but errors.
    pub quiet: bool,
    /// When the program started.
    pub now: DateTime<Utc>,
}

impl Context {
    /// Reads the clock and looks at the terminal, once.
    pub fn new(arguments: &Arguments) -> Context {
        Context {
            output: arguments.output,
            progress: !arguments.quiet && !logs::is_json() && std::io::stderr().is_terminal(),
            quiet: arguments.quiet,
            now: Utc::now(),
        }
    }
}

/// The project file, for commands that need one.
#[derive(Clone, Debug, Args)]
pub struct ProjectArgs {
    /// The project file, JSON or Jsonnet; `-` reads stdin; `s3://…` one that is deployed.
    #[arg(short, long = "project", value_name = "FILE", env = "ARC_PROJECT")]
    pub project: PathBuf,
    /// A Jsonnet external variable; may be given more than once.
    #[arg(long = "ext-str", value_name = "KEY=VALUE")]
    pub ext_str: Vec<String>,
    #[command(flatten)]
    pub cloud: CloudArgs,
}

impl ProjectArgs {
    /// The project opened for work.
    pub async fn open(&self, project: Project) -> anyhow::Result<Engine> {
        Engine::open(project, &self.cloud).await
    }

    /// The stores of the project, which register nothing.
    pub async fn stores(&self, project: &Project) -> Result<manifests::Stores, Trouble> {
        engine::open_stores(project, &self.cloud).await
    }

    /// Reads and judges the file; every problem of it is in the error.
    pub fn load(&self) -> anyhow::Result<Project> {
        Ok(self.read()?.map_err(usage)?)
    }

    /// Reads and judges the file; the outer error is about the arguments, the inner one about the file.
    pub fn read(&self) -> anyhow::Result<Result<Project, ProjectError>> {
        let variable = |text: &String| match text.split_once('=') {
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
            None => Err(Trouble::usage(format!("--ext-str {text}: use KEY=VALUE"))),
        };
        let variables = self.ext_str.iter().map(variable).collect::<Result<Vec<_>, _>>()?;
        let current = std::env::current_dir()?;
        let origin = match self.project.to_str().filter(|path| path.starts_with("s3://")) {
            Some(uri) => project::Origin::Fetched { name: uri.to_owned(), text: fetch(uri, &self.cloud)? },
            None => project::Origin::from_argument(&self.project),
        };
        Ok(project::load(&origin, &variables, &current))
    }
}

/// The type of an arc as project files have it: workloads go by shorter names.
fn kind(arc: &ArcSpec) -> &str {
    match arc.kind.as_str() {
        "glue" => "glueAddPartitions",
        kind => kind,
    }
}

/// A time as listings have it.
fn told_time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The same for tables, shorter.
fn short_time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%MZ").to_string()
}

/// The text of a small object of S3.
fn fetch(uri: &str, cloud: &CloudArgs) -> anyhow::Result<String> {
    let read = async {
        let aws = manifests::Aws::load(&cloud.settings(None)).await;
        let (folder, file) = uri.rsplit_once('/').unwrap_or((uri, ""));
        let body = manifests::Root::new(&aws.objects(), folder)?.get(file).await?;
        let body = body.ok_or_else(|| Trouble::not_found(format!("{uri} is not there")).next("arc projects"))?;
        Ok(String::from_utf8(body.into()).map_err(|_| Trouble::usage(format!("{uri} is no text")))?)
    };
    // Commands load their project before they do anything else, from a thread that may wait.
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(read))
}

/// A problem of the project file or of an argument, as it ends the program.
pub fn usage(error: ProjectError) -> Trouble {
    let problem = |problem: &project::Problem| {
        let fix = problem.fix.as_ref().map(|fix| format!(" (try: {fix})")).unwrap_or_default();
        format!("\n  {}: {}{fix}", problem.path, problem.message)
    };
    match &error {
        ProjectError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            Trouble::not_found(error.to_string()).next("-p with a file that is there; project/examples has one to copy")
        }
        ProjectError::Problems { problems, .. } => Trouble::usage(format!("{error}{}", problems.iter().map(problem).collect::<String>())),
        _ => Trouble::usage(error.to_string()),
    }
}
