//! `arc audit`: the promises held against what is there. Findings go to stdout; any finding makes the exit code 1.

use project::parse_moment;

use super::{Context, Exit, ProjectArgs, Trouble};
use crate::audit::{Audit, FINDINGS_MAX, Looked, Scope};
use crate::engine::Progress;
use crate::logs;
use crate::output::{Cell, Output, plural, print, print_record};

/// Arguments of `arc audit`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only these datasets; all where none is given.
    datasets: Vec<String>,
    #[command(flatten)]
    project: ProjectArgs,
    /// Only lots that end after this: 12h, 2d, a time or a lot.
    #[arg(long, value_name = "TIME")]
    earliest: Option<String>,
    /// Only lots that start before this.
    #[arg(long, value_name = "TIME")]
    latest: Option<String>,
    /// Look at sizes and footers, but do not read rows and do not count lines again.
    #[arg(long)]
    quick: bool,
}

/// Looks at everything and reports.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let project = args.project.load()?;
    if let Some(unknown) = args.datasets.iter().find(|name| project.dataset(name).is_none()) {
        let names: Vec<String> = project.produced().iter().map(|produced| produced.dataset.name.clone()).collect();
        return Err(Trouble::not_found(format!("there is no dataset `{unknown}`; there are: {}", names.join(", "))).into());
    }
    let stores = args.project.stores(&project).await?;
    let moment = |text: &Option<String>| text.as_deref().map(|text| parse_moment(text, context.now)).transpose().map_err(super::usage);
    let (earliest, latest) = (moment(&args.earliest)?, moment(&args.latest)?);
    let scope = Scope { datasets: args.datasets, earliest, latest, is_quick: args.quick };
    let progress = Progress::new(context.progress);
    let mut audit = Audit::new(&project, &stores, &scope, &progress);
    audit.run().await?;
    report(&audit, context)?;
    Ok(if audit.findings.is_empty() { Exit::Done } else { Exit::Failed })
}

fn report(audit: &Audit<'_>, context: &Context) -> std::io::Result<()> {
    let row = |finding: &crate::audit::Finding| -> Vec<Cell> {
        let lot = finding.lot.map(|lot| lot.to_string());
        vec![finding.dataset.as_str().into(), lot.into(), finding.what.as_str().into(), finding.next.as_str().into()]
    };
    if context.output != Output::Table || !audit.findings.is_empty() {
        print(context.output, &["dataset", "lot", "finding", "next"], audit.findings.iter().map(row).collect())?;
    }
    if context.output == Output::Table && audit.findings.is_empty() {
        return print_record(context.output, looked(&audit.looked));
    }
    if !context.quiet {
        let is_cut = if audit.findings.len() >= FINDINGS_MAX { ", or more" } else { "" };
        logs::say(&format!("{}{is_cut}", plural(audit.findings.len(), "finding")));
    }
    Ok(())
}

fn looked(looked: &Looked) -> Vec<(&'static str, Cell)> {
    vec![
        ("findings", 0u64.into()),
        ("datasets", looked.datasets.into()),
        ("lots", looked.lots.into()),
        ("objects taken in", looked.objects.into()),
        ("files read", looked.files.into()),
        ("bytes in files", looked.bytes.into()),
        ("rows in files", looked.rows.into()),
        ("lines counted again", looked.lines.into()),
        ("lots not countable again", looked.unrepeatable.into()),
    ]
}
