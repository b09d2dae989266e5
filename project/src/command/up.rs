//! `arc up`: boundaries, dispatch and workers in one process until stopped. What is told goes to stderr; with `--once`
//! the receipts of the runs go to stdout at the end.

use std::io::ErrorKind;
use std::time::Duration;

use project::parse_moment;
use project::synth::is_user_image;

use super::{Context, Exit, ProjectArgs, Trouble, run::receipt};
use crate::engine::up::{Options, RUNS_DEFAULT, Summary, Waiting, up};
use crate::engine::{Engine, Outcome, Progress, Ran, Stop};
use crate::output::{Cell, Output, plural, print};
use crate::{logs, telemetry};

/// Columns of the listing for people, out of those of a receipt.
const SHOWN: [&str; 7] = ["lot", "arc", "state", "objects", "rows", "rejected", "seconds"];

/// Seconds that runs may go on after a request to stop, on AWS: less than what stops a container gives it.
const GRACE_SECONDS_AWS: u64 = 25;
/// The most small runs side by side.
const RUNS_MAX: i64 = 64;

/// Arguments of `arc up`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
On a local placement boundaries watch folders; on one on AWS they drain the
queues that `arc deploy` made. Any number of these processes may work on one
placement.

Examples:
  arc up -p lake.jsonnet
  arc up -p lake.jsonnet --listen 0.0.0.0:9090   /healthz, /readyz, /metrics
  arc up -p lake.jsonnet --once                  all that is due, then stop")]
pub struct Args {
    #[command(flatten)]
    project: ProjectArgs,
    /// End when nothing is due; files that were written just now are waited for, a few seconds.
    #[arg(long)]
    once: bool,
    /// The time that boundaries see, in place of the clock: what they take in has arrived by then.
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
    /// Tell of health and metrics here; nowhere where not given.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "once", value_parser = parse_address)]
    listen: Option<String>,
    /// Small runs side by side; a large one needs all of them, or all but one of three and more.
    #[arg(long, value_name = "N", default_value_t = RUNS_DEFAULT, value_parser = clap::value_parser!(u32).range(1..=RUNS_MAX))]
    runs: u32,
    /// How long runs may go on after a request to stop, before they are given up to be run again; where not given 25 on AWS,
    /// and on one machine until they are done.
    #[arg(long, value_name = "SECONDS")]
    grace: Option<u64>,
}

fn parse_address(text: &str) -> Result<String, String> {
    let is_host = |host: &str| !host.is_empty() && (host.starts_with('[') || !host.contains(':'));
    let is_address = text.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok());
    is_address
        .then(|| text.to_owned())
        .ok_or_else(|| "use HOST:PORT: 0.0.0.0:9090 for everybody, localhost:9090 for this machine".to_owned())
}

fn cannot_listen(address: &str, error: &std::io::Error) -> Trouble {
    let next = match error.kind() {
        ErrorKind::AddrInUse => "another port, or end what listens there",
        ErrorKind::PermissionDenied => "a port from 1024 on",
        _ => "a host of this machine: 0.0.0.0:9090 for everybody, localhost:9090 for this machine",
    };
    Trouble::usage(format!("--listen {address}: {error}")).next(next)
}

impl Args {
    fn options(&self, engine: &Engine, context: &Context) -> anyhow::Result<Options> {
        let as_of = self.as_of.as_deref().map(|text| parse_moment(text, context.now)).transpose().map_err(super::usage)?;
        let grace = self.grace.or(engine.aws.as_ref().map(|_| GRACE_SECONDS_AWS)).map(Duration::from_secs);
        let usual = Options::once(&engine.project, Progress::new(context.progress), !context.quiet);
        Ok(Options { once: self.once, as_of, runs: self.runs, grace, is_watched: self.listen.is_some(), ..usual })
    }
}

/// Works until stopped, or until nothing is due.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let stop = Stop::on_signals()?;
    let engine = args.project.open(args.project.load()?).await?;
    let options = args.options(&engine, context)?;
    if options.is_told {
        begin(&engine, &options);
    }
    if let Some(address) = &args.listen {
        let served = telemetry::serve(address.as_str(), options.telemetry.clone()).await;
        let address = served.map_err(|error| cannot_listen(address, &error))?;
        logs::say(&format!("health and metrics: http://{address}/healthz, /readyz, /metrics"));
    }
    let summary = up(&engine, &options, stop).await?;
    if args.once {
        print_runs(&summary.ran, context)?;
    }
    if options.is_told {
        tell(&summary);
    }
    // Who was told to stop, and did, has done what was asked for: what failed was told then, and is tried again.
    Ok(if args.once { exit(&summary) } else { Exit::Done })
}

/// Says what is about to be done, and what is not.
fn begin(engine: &Engine, options: &Options) {
    let project = &engine.project;
    if !options.once {
        logs::say(&format!("{} boundaries, {} arcs; Ctrl-C stops", project.boundaries.len(), project.arcs.len()));
    }
    if engine.aws.is_none() {
        return;
    }
    for arc in project.arcs.iter().filter(|arc| is_user_image(arc)) {
        logs::say(&format!("arc {}: its image is for AWS Batch to run; this process leaves it alone", arc.id.arc));
    }
    if !project.is_served_by_up() {
        logs::say("note: functions and jobs do the same work on AWS; nothing is done twice, but looked for twice");
        logs::say("try: workers: 'up' in `placement`, and arc deploy");
    }
}

/// How the program ends after so much work.
pub fn exit(summary: &Summary) -> Exit {
    match (summary.failures, summary.doubtful + summary.refused) {
        (0, 0) => Exit::Done,
        (0, _) => Exit::Partial,
        _ => Exit::Failed,
    }
}

/// Writes the receipts of runs: all fields, or for people those that fit.
pub fn print_runs(ran: &[Ran], context: &Context) -> std::io::Result<()> {
    let rows: Vec<Vec<(&str, Cell)>> = ran.iter().filter_map(fields).collect();
    let is_shown = |name: &&str| context.output != Output::Table || SHOWN.contains(name);
    let names: Vec<&str> = match rows.first() {
        Some(row) => row.iter().map(|field| field.0).filter(|name| is_shown(name)).collect(),
        None => SHOWN.to_vec(),
    };
    if rows.is_empty() && context.output == Output::Table {
        return Ok(());
    }
    let cells = rows.into_iter().map(|row| row.into_iter().filter(|field| is_shown(&field.0)).map(|field| field.1).collect());
    print(context.output, &names, cells.collect())
}

fn fields(ran: &Ran) -> Option<Vec<(&'static str, Cell)>> {
    let Outcome::Done(report) = &ran.outcome else { return None };
    Some(receipt(report))
}

fn tell(summary: &Summary) {
    let say = |text: String| logs::say(&text);
    let (taken, runs) = (plural(summary.lots, "lot"), plural(summary.done, "run"));
    let (empties, failures) = (plural(summary.empties, "empty lot"), plural(summary.failures, "failure"));
    say(format!("{taken} taken in, {runs}, {empties} passed on, {failures}"));
    summary.waiting.iter().filter_map(Waiting::told).for_each(say);
    if summary.refused > 0 {
        let files = plural(summary.refused, "file");
        say(format!("{files} not taken until somebody renames them or makes them readable: see the warnings"));
    }
    if summary.doubtful > 0 {
        let runs = plural(summary.doubtful, "run");
        say(format!("{runs} partial, or with more rejects than they may have: arc status says which"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for text in ["localhost:9090", "0.0.0.0:0", "[::1]:9090"] {
            assert_eq!(parse_address(text), Ok(text.to_owned()));
        }
        for text in [":9090", "localhost", "localhost:", "localhost:70000", "::1"] {
            assert!(parse_address(text).is_err_and(|told| told.contains("localhost:9090")), "{text}");
        }
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_told_with_what_to_try() {
        let taken = tokio::net::TcpListener::bind("localhost:0").await.unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let error = tokio::net::TcpListener::bind(&address).await.unwrap_err();
        assert_eq!(cannot_listen(&address, &error).next.unwrap(), "another port, or end what listens there");
    }
}
