//! `arc status`: how each arc stands, lot by lot: done, partial, due, waiting, running, failed, and why. Nothing is
//! changed by looking.

use std::collections::BTreeMap;
use std::sync::Arc;

use boundary::{Dispatcher, Standing, Worker};
use chrono::TimeDelta;
use manifests::{ArcSpec, ArcState, Lot, MemoryBus};

use super::window::WindowArgs;
use super::{Context, Exit, ProjectArgs, run::find_arc};
use crate::engine::Engine;
use crate::logs;
use crate::output::{self, Cell, Output, escape};

/// Failures whose causes are shown below the summary.
const CAUSES_MAX: usize = 10;
/// The words for how a lot stands, in the order of the listing.
const WORDS: [&str; 7] = ["complete", "partial", "running", "due", "waiting", "backoff", "failed"];

/// Arguments of `arc status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The arcs; all of the project where not given.
    arcs: Vec<String>,
    /// Show every lot.
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    window: WindowArgs,
    #[command(flatten)]
    project: ProjectArgs,
}

/// Lists them.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let file = args.project.project.display().to_string();
    let project = args.project.load()?;
    let window = args.window.window(context)?;
    let arcs: Vec<&ArcSpec> = match args.arcs.is_empty() {
        true => project.arcs.iter().collect(),
        false => args.arcs.iter().map(|name| find_arc(&project, name, "arc status")).collect::<Result<_, _>>()?,
    };
    let stores = args.project.stores(&project).await?;
    let mut dispatcher = Dispatcher::new(stores, Arc::new(MemoryBus::default())).await?;
    let worker = Worker { owner: String::new(), lease: TimeDelta::zero(), is_dead: Arc::new(Engine::is_dead) };
    let mut all = Vec::new();
    for arc in arcs {
        let mut standings = dispatcher.standings(arc, context.now, &worker).await?;
        standings.retain(|lot, _| window.holds(*lot));
        all.push((arc, standings));
    }
    print(&all, args.list, context.output)?;
    if context.output == Output::Table && !context.quiet {
        causes(&all, &file);
    }
    Ok(Exit::Done)
}

type Standings<'a> = (&'a ArcSpec, BTreeMap<Lot, Standing>);

fn word(standing: &Standing) -> &'static str {
    match standing {
        Standing::Done(ArcState::Partial) => "partial",
        Standing::Done(_) => "complete",
        Standing::Running(_) => "running",
        Standing::Due { .. } => "due",
        Standing::Waiting { .. } => "waiting",
        Standing::Backoff(_) => "backoff",
        Standing::Failed(_) => "failed",
    }
}

/// What else there is to say of a lot.
fn detail(standing: &Standing) -> Option<String> {
    match standing {
        Standing::Waiting { missing } => Some(format!("{missing} source lot{} missing", if *missing == 1 { "" } else { "s" })),
        Standing::Due { why, .. } => Some(format!("{why:?}").to_lowercase()),
        Standing::Running(until) => Some(format!("until {}", until.format("%H:%M:%SZ"))),
        Standing::Backoff(until) => Some(format!("again at {}", until.format("%H:%M:%SZ"))),
        Standing::Failed(cause) => Some(cause.clone()),
        Standing::Done(_) => None,
    }
}

fn print(all: &[Standings<'_>], list: bool, output: Output) -> std::io::Result<()> {
    if list {
        let row = |arc: &ArcSpec, lot: &Lot, standing: &Standing| -> Vec<Cell> {
            vec![arc.id.arc.clone().into(), lot.to_string().into(), word(standing).into(), detail(standing).into()]
        };
        let rows = all.iter().flat_map(|(arc, lots)| lots.iter().map(move |(lot, standing)| row(arc, lot, standing)));
        return output::print(output, &["arc", "lot", "state", "detail"], rows.collect());
    }
    match output {
        Output::Table => output::print(output, &["arc", "type", "earliest", "latest", "lots"], all.iter().map(told).collect()),
        _ => output::print(output, &summed_columns(), all.iter().map(summed).collect()),
    }
}

fn counts(lots: &BTreeMap<Lot, Standing>) -> [(&'static str, usize); WORDS.len()] {
    WORDS.map(|wanted| (wanted, lots.values().filter(|standing| word(standing) == wanted).count()))
}

fn edges(lots: &BTreeMap<Lot, Standing>) -> [Cell; 2] {
    [lots.keys().next().map(Lot::to_string).into(), lots.keys().next_back().map(Lot::to_string).into()]
}

fn told((arc, lots): &Standings<'_>) -> Vec<Cell> {
    let counts: Vec<String> = counts(lots).into_iter().filter(|count| count.1 > 0).map(|(word, count)| format!("{count} {word}")).collect();
    let lots_told = if counts.is_empty() { "none yet".to_owned() } else { counts.join(", ") };
    let start: [Cell; 2] = [arc.id.arc.clone().into(), super::kind(arc).into()];
    start.into_iter().chain(edges(lots)).chain([lots_told.into()]).collect()
}

fn summed_columns() -> Vec<&'static str> {
    ["arc", "type", "earliest", "latest", "lots"].into_iter().chain(WORDS).collect()
}

fn summed((arc, lots): &Standings<'_>) -> Vec<Cell> {
    let start: [Cell; 2] = [arc.id.arc.clone().into(), super::kind(arc).into()];
    start.into_iter().chain(edges(lots)).chain([lots.len().into()]).chain(counts(lots).map(|count| count.1.into())).collect()
}

/// Why lots failed, on stderr, and the command that tries again.
fn causes(all: &[Standings<'_>], file: &str) {
    let failed = all.iter().flat_map(|(arc, lots)| {
        lots.iter().filter_map(move |(lot, standing)| if let Standing::Failed(cause) = standing { Some((arc, lot, cause)) } else { None })
    });
    let failed: Vec<_> = failed.collect();
    for (arc, lot, cause) in failed.iter().take(CAUSES_MAX) {
        logs::say(&format!("failed: {} {lot}: {}", arc.id.arc, escape(cause)));
    }
    if failed.len() > CAUSES_MAX {
        logs::say(&format!("… and {} more: arc status --list", failed.len() - CAUSES_MAX));
    }
    if !failed.is_empty() {
        logs::say(&format!("try: arc retry -p {file}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use manifests::{ArcId, LotUnit};

    #[test]
    fn an_arc_in_one_row() {
        let arc = ArcSpec {
            id: ArcId { project: "p".into(), version: "1".into(), arc: "convert".into() },
            unit: LotUnit::Twelfths,
            sources: vec![],
            sinks: vec![],
            deadline: None,
            retries: 0,
            kind: "convert".into(),
            workload: serde_json::json!({}),
        };
        let standings = [
            ("20230717PT5M010", Standing::Done(ArcState::Complete)),
            ("20230717PT5M011", Standing::Done(ArcState::Partial)),
            ("20230717PT5M012", Standing::Failed("no \u{1b}[2J space".into())),
            ("20230717PT5M013", Standing::Waiting { missing: 1 }),
        ];
        let lots = standings.into_iter().map(|(lot, standing)| (lot.parse().unwrap(), standing)).collect();
        let rows = vec![told(&(&arc, lots)), told(&(&arc, BTreeMap::new()))];
        expect![[r#"
            arc      type     earliest         latest           lots
            ─────────────────────────────────────────────────────────────────────────────
            convert  convert  20230717PT5M010  20230717PT5M013  1 complete, 1 partial, 1
                                                                waiting, 1 failed
            convert  convert                                    none yet
        "#]]
        .assert_eq(&output::table(&["arc", "type", "earliest", "latest", "lots"], &rows, Some(80)));
    }
}
