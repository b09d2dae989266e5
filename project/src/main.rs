//! The `arc` program: arguments in; data on stdout, everything else on stderr, an exit code out. This is the only
//! place, with the command files, that reads the clock and the environment.

mod audit;
mod cloud;
mod command;
mod committed;
mod deployed;
mod engine;
mod known;
mod output;
mod synth_logs;

use std::process::ExitCode;

use clap::Parser;

use command::{Context, Exit, Trouble};

fn main() -> ExitCode {
    let arguments = command::Arguments::parse();
    start_tracing(arguments.verbose, arguments.quiet);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&anyhow::Error::new(error).context("cannot start threads")),
    };
    let context = Context::new(&arguments);
    match runtime.block_on(arguments.command.run(&context)) {
        Ok(exit) => exit.into(),
        Err(error) => report(&error),
    }
}

/// Log lines go to stderr: warnings, with `-v` progress, with `-vv` detail; `RUST_LOG` outweighs both.
fn start_tracing(verbose: u8, quiet: bool) {
    let level = match (quiet, verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "warn,arc=info,project=info,arcs=info,boundary=info,manifests=info",
        (false, _) => "warn,arc=debug,project=debug,arcs=debug,boundary=debug,manifests=debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| level.into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
}

/// The error and its causes, without those that an earlier one has told of.
fn told(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match (told.is_empty(), told.contains(&cause)) {
        (true, _) => cause,
        (_, true) => told,
        _ => format!("{told}: {cause}"),
    })
}

fn full_disk(error: &anyhow::Error) -> Option<String> {
    let is_full = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::StorageFull)
    };
    error.chain().any(is_full).then(|| "free some space and run the same again; nothing half-written can be read".to_owned())
}

/// Says what went wrong and what to try; a reader that closed the pipe is no error.
fn report(error: &anyhow::Error) -> ExitCode {
    let is_closed_pipe = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    };
    if error.chain().any(is_closed_pipe) {
        return Exit::Done.into();
    }
    eprintln!("error: {}", output::escape_lines(&told(error)));
    let trouble = error.downcast_ref::<Trouble>();
    let next = trouble.and_then(|trouble| trouble.next.clone()).or_else(|| full_disk(error));
    if let Some(next) = next {
        eprintln!("try: {}", output::escape_lines(&next));
    }
    trouble.map_or(Exit::Failed, |trouble| trouble.exit).into()
}
