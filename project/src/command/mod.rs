//! The subcommands, a file each with its `Args` and `run`, and what they share: the arguments every one of them takes,
//! the exit codes, the project they load.

pub mod completions;

use std::fmt;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand};
use project::{Project, ProjectError};

use crate::output::Output;

/// Turns arriving log objects into Parquet that analysts can trust.
#[derive(Debug, Parser)]
#[command(name = "arc", version, propagate_version = true, max_term_width = 100, arg_required_else_help = true)]
pub struct Arguments {
    /// How listings are written.
    #[arg(long, global = true, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    /// Say more on stderr; twice for detail.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Say nothing on stderr but errors, and show no progress.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands, in the order of `arc help`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a shell's completions
    Completions(completions::Args),
}

impl Command {
    /// Runs the subcommand; the one place that knows them all.
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self {
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
            progress: !arguments.quiet && std::io::stderr().is_terminal(),
            quiet: arguments.quiet,
            now: Utc::now(),
        }
    }
}

/// The project file, for commands that need one.
#[derive(Clone, Debug, Args)]
pub struct ProjectArgs {
    /// The project file, JSON or Jsonnet; `-` reads stdin.
    #[arg(short, long = "project", value_name = "FILE", env = "ARC_PROJECT")]
    pub project: PathBuf,
    /// A Jsonnet external variable; may be given more than once.
    #[arg(long = "ext-str", value_name = "KEY=VALUE")]
    pub ext_str: Vec<String>,
}
