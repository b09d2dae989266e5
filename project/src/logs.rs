//! What the program says on stderr beside data: levels and a format flow in; lines for people, or JSON for machines, flow
//! out. Everything that is said passes here or through `tracing`, so that a log in JSON has no other line in it.

use std::io::{IsTerminal, Write};
use std::sync::OnceLock;

/// The least that is told of the libraries below us: what they warn of is told by the errors of ours that come of it, and holds
/// answers of services as they came.
const LIBRARIES: &str = "aws_=error,hyper=error,h2=error,rustls=error";

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Sentences for people.
    Text,
    /// One JSON object a line.
    Json,
}

static FORMAT: OnceLock<LogFormat> = OnceLock::new();

impl LogFormat {
    /// JSON where Batch collects the log, else text.
    pub fn of_environment() -> LogFormat {
        match std::env::var_os("AWS_BATCH_JOB_ID") {
            Some(_) => LogFormat::Json,
            None => LogFormat::Text,
        }
    }

    /// Starts the log. In text: warnings, with `-v` progress, with `-vv` detail; in JSON always progress. `RUST_LOG`
    /// outweighs both.
    pub fn start(self, verbose: u8, quiet: bool) {
        use tracing_subscriber::util::SubscriberInitExt;
        let levels = match (quiet, verbose, self) {
            (true, ..) => "error",
            (false, 0, LogFormat::Text) => "warn",
            (false, 0 | 1, _) => "warn,arc=info,project=info,arcs=info,boundary=info,manifests=info",
            (false, ..) => "warn,arc=debug,project=debug,arcs=debug,boundary=debug,manifests=debug",
        };
        let usual = || format!("{levels},{LIBRARIES}").into();
        let levels = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| usual());
        match FORMAT.get_or_init(|| self) {
            LogFormat::Json => boundary::aws::logs::json_lines(levels, std::io::stderr).init(),
            LogFormat::Text => {
                let lines = tracing_subscriber::fmt().with_env_filter(levels).with_writer(std::io::stderr).with_target(false);
                lines.with_ansi(has_colours()).init();
            }
        }
    }
}

/// Whether the log is for machines.
pub fn is_json() -> bool {
    FORMAT.get() == Some(&LogFormat::Json)
}

/// Whether levels may be coloured: somebody watches, and does not mind.
fn has_colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes a line to stderr as it is, whatever the format. Where nobody reads any more, nothing is left to be said.
pub fn line(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Says something to people: a line, or an event where the log is for machines.
pub fn say(text: &str) {
    match is_json() {
        true => tracing::info!("{text}"),
        false => line(text),
    }
}

/// Says what is worth knowing, and what to do about it.
pub fn note(text: &str, next: Option<&str>) {
    match (is_json(), next) {
        (true, next) => tracing::info!(next, "{text}"),
        (false, None) => line(&format!("note: {text}")),
        (false, Some(next)) => line(&format!("note: {text}\n  try: {next}")),
    }
}

/// Says what is not as it should be, and is gone on without.
pub fn warn(text: &str) {
    match is_json() {
        true => tracing::warn!("{text}"),
        false => line(&format!("warning: {text}")),
    }
}

/// Says that something failed, and what to try.
pub fn fail(text: &str, next: Option<&str>) {
    match (is_json(), next) {
        (true, next) => tracing::error!(next, "{text}"),
        (false, None) => line(&format!("error: {text}")),
        (false, Some(next)) => line(&format!("error: {text}\ntry: {next}")),
    }
}
