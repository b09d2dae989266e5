//! `arc replay`: the next generation of lots that are there. Downstream arcs follow at the next `arc up`.

use std::str::FromStr;

use manifests::{Lot, RunPlan};

use super::run::{check_unit, find_arc};
use super::{Context, Exit, ProjectArgs, Trouble, up};
use crate::engine::{self, Outcome, Planner, Progress, Ran};
use crate::logs;

/// The most lots of one replay.
const LOTS_MAX: usize = 100_000;

/// Arguments of `arc replay`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The arc.
    #[arg(long)]
    arc: String,
    /// The lot, or the first and the last: 20230717PT5M000..20230717PT5M011.
    #[arg(long, value_name = "LOT[..LOT]")]
    lot: LotRange,
    #[command(flatten)]
    project: ProjectArgs,
}

/// Lots from the first to the last, both inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LotRange {
    /// The first.
    pub first: Lot,
    /// The last.
    pub last: Lot,
}

impl FromStr for LotRange {
    type Err = String;

    fn from_str(text: &str) -> Result<LotRange, String> {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let parse = |text: &str| text.parse::<Lot>().map_err(|error| error.to_string());
        let range = LotRange { first: parse(first)?, last: parse(last)? };
        if range.first.unit() != range.last.unit() {
            return Err("the first and the last lot are of different units".into());
        }
        match range.first <= range.last {
            true => Ok(range),
            false => Err(format!("{last} is before {first}")),
        }
    }
}

/// Makes the lots anew.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let project = args.project.load()?;
    let arc = find_arc(&project, &args.arc, "--arc")?.clone();
    check_unit(&arc, args.lot.first)?;
    let lots: Vec<Lot> = Lot::range(args.lot.first, args.lot.last).take(LOTS_MAX + 1).collect();
    if lots.len() > LOTS_MAX {
        return Err(Trouble::usage(format!("these are more than {LOTS_MAX} lots")).next("a shorter range").into());
    }
    let engine = args.project.open(project).await?;
    let planner = Planner::new(&engine, &arc).await?;
    let plans: Vec<RunPlan> = lots.iter().filter_map(|lot| planner.plan(*lot, context.now)).collect();
    if plans.is_empty() {
        let names = planner.missing(args.lot.first).join(", ");
        return Err(Trouble::not_found(format!("there is nothing to replay: not there: {names}")).next("arc lots --list").into());
    }
    if plans.len() < lots.len() && !context.quiet {
        logs::say(&format!("{} of {} lots have no sources and are left alone", lots.len() - plans.len(), lots.len()));
    }
    let progress = Progress::new(context.progress);
    let mut ran = Vec::new();
    for plan in plans {
        let plan = RunPlan { replay: true, ..plan };
        ran.push(engine::run(&engine, &arc, &plan, &progress).await);
        tell(ran.last(), context);
    }
    finish(&ran, context)
}

/// Says on stderr how a run went.
pub fn tell(ran: Option<&Ran>, context: &Context) {
    let is_told = |ran: &&Ran| !context.quiet || matches!(ran.outcome, Outcome::Failed { .. });
    if let Some(ran) = ran.filter(is_told) {
        logs::say(&ran.to_string());
    }
}

/// Writes the receipts; the exit code says how it went.
pub fn finish(ran: &[Ran], context: &Context) -> anyhow::Result<Exit> {
    up::print_runs(ran, context)?;
    let is_failed = ran.iter().any(|ran| matches!(ran.outcome, Outcome::Failed { .. } | Outcome::Elsewhere));
    let is_doubtful = ran.iter().any(Ran::is_doubtful);
    Ok(if is_failed {
        Exit::Failed
    } else if is_doubtful {
        Exit::Partial
    } else {
        Exit::Done
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_lots() {
        let range: LotRange = "20230717PT5M250..20230717PT5M252".parse().unwrap();
        assert_eq!(Lot::range(range.first, range.last).count(), 3);
        assert_eq!("20230717PT5M250".parse::<LotRange>().unwrap().first, range.first);
        for text in ["", "..", "20230717PT5M252..20230717PT5M250", "20230717PT5M250..20230717PT1H021"] {
            assert!(text.parse::<LotRange>().is_err(), "{text}");
        }
    }
}
