//! The `arc` program: arguments in; data on stdout, everything else on stderr, an exit code out. This is the only
//! place, with the command files, that reads the clock and the environment.
#![cfg_attr(not(test), deny(clippy::print_stdout))]

mod audit;
mod cloud;
mod command;
mod committed;
mod deployed;
mod engine;
mod known;
mod logs;
mod output;
mod synth_logs;
mod telemetry;

use std::process::ExitCode;
use std::time::Duration;

use command::{Context, Exit, Trouble};

/// How long threads that cannot be interrupted are waited for at the end.
const STOP_SECONDS: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let arguments = command::arguments();
    arguments.log_format.unwrap_or_else(logs::LogFormat::of_environment).start(arguments.verbose, arguments.quiet);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&anyhow::Error::new(error).context("cannot start threads")),
    };
    let context = Context::new(&arguments);
    let ended = runtime.block_on(arguments.command.run(&context));
    // What a run that was given up still computes is of no use to anybody.
    runtime.shutdown_timeout(STOP_SECONDS);
    match ended {
        Ok(exit) => exit.into(),
        Err(error) => report(&error),
    }
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

/// Whoever needed credentials and found none is told the same, whatever it was for.
fn no_credentials(told: &str) -> Option<String> {
    told.contains(manifests::NO_CREDENTIALS)
        .then(|| "--profile NAME, or AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".to_owned())
}

/// Says what went wrong and what to try; a reader that closed the pipe is no error.
fn report(error: &anyhow::Error) -> ExitCode {
    let is_closed_pipe = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    };
    if error.chain().any(is_closed_pipe) {
        return Exit::Done.into();
    }
    let trouble = error.downcast_ref::<Trouble>();
    let told = told(error);
    let next = no_credentials(&told).or_else(|| trouble.and_then(|trouble| trouble.next.clone())).or_else(|| full_disk(error));
    logs::fail(&output::escape_lines(&told), next.map(|next| output::escape_lines(&next)).as_deref());
    trouble.map_or(Exit::Failed, |trouble| trouble.exit).into()
}
