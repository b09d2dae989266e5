//! `arc completions`: a shell's completion script on stdout.

use std::io::Write;

use clap::CommandFactory;

use super::{Arguments, Context, Exit};

/// Arguments of `arc completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

/// Writes the script.
pub async fn run(args: Args, _context: &Context) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "arc", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(Exit::Done)
}
