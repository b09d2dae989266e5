//! `arc placements`: the placements of an account, by the names of their buckets; or the one that a folder holds.

use chrono::{DateTime, Utc};
use project::synth::names::STORES;

use super::placement::{Lead, PlaceArgs, no_placement};
use super::{Context, Exit, Trouble};
use crate::cloud::{self, FoundPlacement};
use crate::output::{self, Cell, Output};

/// Arguments of `arc placements`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  arc placements                       of the account of your credentials
  arc placements --region us-east-2 --profile data
  arc placements --root my-lake/lake   of a folder")]
pub struct Args {
    #[command(flatten)]
    place: PlaceArgs,
}

const COLUMNS: [&str; 7] = ["provider", "stage", "account", "region", "root", "stores", "created"];

/// Lists them.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let (lead, aws) = args.place.lead().await?;
    let rows: Vec<Vec<Cell>> = match (lead, aws) {
        (Lead::Local(root_uri), _) => vec![local(&root_uri)?],
        (lead, Some(aws)) => {
            let found = cloud::placements(&aws).await?;
            found.iter().filter(|place| is_meant(&lead, place, args.place.names_region())).map(|place| row(place, context.output)).collect()
        }
        (_, None) => Vec::new(),
    };
    if rows.is_empty() {
        return Err(Trouble::not_found("there is no such placement in this account").next("arc bootstrap, which makes one").into());
    }
    output::print(context.output, &COLUMNS, rows)?;
    Ok(Exit::Done)
}

/// Whether a placement is one that the arguments ask for; the region counts only where it was said.
fn is_meant(lead: &Lead, place: &FoundPlacement, is_region_said: bool) -> bool {
    match lead {
        Lead::Local(_) => false,
        Lead::Named(names) => place.names == *names,
        Lead::Account { account, region } => {
            place.names.account == *account && (!is_region_said || region.as_deref() == Some(place.names.region.as_str()))
        }
    }
}

fn local(root_uri: &str) -> Result<Vec<Cell>, Trouble> {
    let folder = std::path::Path::new(root_uri.trim_start_matches("file://"));
    let stores: Vec<&str> = STORES.into_iter().filter(|store| folder.join(store).is_dir()).collect();
    if stores.is_empty() {
        return Err(no_placement(folder));
    }
    let created = std::fs::metadata(folder).and_then(|meta| meta.created()).ok().map(DateTime::<Utc>::from);
    Ok(vec![
        "local".into(),
        Cell::Null,
        Cell::Null,
        Cell::Null,
        root_uri.into(),
        stores.join(", ").into(),
        created.map(super::told_time).into(),
    ])
}

fn row(place: &FoundPlacement, output: Output) -> Vec<Cell> {
    let names = &place.names;
    let stores = match (output, place.stores.len() == STORES.len()) {
        (Output::Table, true) => "all".to_owned(),
        _ => place.stores.join(", "),
    };
    let stage = (!names.stage.is_empty()).then(|| names.stage.clone());
    let place_of: [Cell; 4] = ["aws".into(), stage.into(), names.account.clone().into(), names.region.clone().into()];
    let told = if output == Output::Table { super::short_time } else { super::told_time };
    place_of.into_iter().chain([Cell::Null, stores.into(), place.created.map(told).into()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use project::synth::Names;

    #[test]
    fn placements_fit_a_terminal() {
        let place = |stage: &str, region: &str, stores: &[&'static str]| FoundPlacement {
            names: Names { stage: stage.into(), account: "123456789012".into(), region: region.into() },
            stores: stores.to_vec(),
            created: "2026-11-20T08:00:00Z".parse().ok(),
        };
        let all = [place("production", "ap-southeast-2", &STORES), place("", "us-east-2", &["manifest", "metadata"])];
        let account = Lead::Account { account: "123456789012".into(), region: Some("us-east-2".into()) };
        assert_eq!(all.iter().filter(|place| is_meant(&account, place, true)).count(), 1);
        assert_eq!(all.iter().filter(|place| is_meant(&account, place, false)).count(), 2);
        let rows: Vec<Vec<Cell>> = all.iter().map(|place| row(place, Output::Table)).collect();
        let table = output::table(&COLUMNS, &rows, Some(80));
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
        assert_eq!(rows[0][5..], ["all", "2026-11-20 08:00Z"].map(Cell::from));
        let full = row(&all[1], Output::Csv);
        assert_eq!((&full[1], full[5..].to_vec()), (&Cell::Null, ["manifest, metadata", "2026-11-20T08:00:00Z"].map(Cell::from).to_vec()));
    }
}
