//! `arc datasets`: the datasets of a placement, from its stores alone: whose they are, where they lie, their latest lots; and
//! with `--subscribe` what it takes to build on one.

use manifests::{Dataset, ManifestsError, State, Stores};

use super::placement::PlaceArgs;
use super::projects::unknown;
use super::{Context, Exit, Trouble, subscribe};
use crate::deployed::{self, DeployedDataset};
use crate::output::{self, Cell, Output};

/// Arguments of `arc datasets`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  arc datasets --root my-lake/lake
  arc datasets --stage test --profile data
  arc datasets access-logs --stage test               one of them
  arc datasets access-logs --stage test --subscribe   for who builds on it

`arc lots -p FILE` says what every lot of a dataset holds.")]
pub struct Args {
    /// The dataset, by name or name/version; all where not given.
    #[arg(value_name = "NAME")]
    dataset: Option<String>,
    /// What another team needs to build on the dataset: event pattern, sample event, IAM statements, DDL, an arc that
    /// subscribes. One document with --output json.
    #[arg(long, requires = "dataset")]
    subscribe: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

const COLUMNS: [&str; 10] = ["dataset", "version", "pathURI", "project", "kind", "owner", "role", "latest", "state", "problem"];
const TABLE: [&str; 4] = ["dataset", "owner", "pathURI", "latest"];

/// Lists them.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let place = args.place.open().await?;
    let mut all = deployed::datasets(&place.stores, context.now, |id| {
        args.dataset.as_ref().is_none_or(|name| id.name == *name || id.to_string() == *name)
    })
    .await?;
    match (&args.dataset, all.len()) {
        (Some(name), 0) => {
            let others = deployed::datasets(&place.stores, context.now, |_| true).await?;
            return Err(unknown("dataset", name, &others.into_iter().map(|found| found.id.name).collect::<Vec<_>>()).into());
        }
        (Some(name), 2..) if args.subscribe => {
            let ids: Vec<String> = all.iter().map(|found| found.id.to_string()).collect();
            return Err(Trouble::usage(format!("`{name}` has several versions")).next(format!("one of {}", ids.join(", "))).into());
        }
        (Some(_), 1) if args.subscribe => subscribe::run(&place, &all.remove(0), context).await?,
        (Some(_), 1) => output::print_record(context.output, record(&place.stores, &all.remove(0)).await?)?,
        _ => match context.output {
            Output::Table => output::print(Output::Table, &TABLE, all.iter().map(told).collect())?,
            output => output::print(output, &COLUMNS, all.iter().map(row).collect())?,
        },
    }
    Ok(Exit::Done)
}

/// The state as far as a listing tells; a commit that is not announced yet has none there.
fn state(found: &DeployedDataset) -> Option<&'static str> {
    found.latest.map(|(_, entry)| entry.state.map_or("committed", State::as_str))
}

fn told(found: &DeployedDataset) -> Vec<Cell> {
    let owner = found.owner.as_ref().ok();
    let by = found.owner.as_ref().map_or_else(Clone::clone, |owner| format!("{} {} of {}", owner.kind, owner.name, owner.project));
    let latest = found.latest.map(|(lot, _)| format!("{lot} {}", state(found).unwrap_or_default()));
    let path = owner.map(|owner| owner.dataset.path_uri.clone());
    vec![found.id.to_string().into(), by.into(), path.into(), latest.into()]
}

fn row(found: &DeployedDataset) -> Vec<Cell> {
    let owner = found.owner.as_ref().ok().cloned();
    let text = |text: Option<String>| Cell::from(text);
    vec![
        found.id.name.clone().into(),
        found.id.version.clone().into(),
        text(owner.as_ref().map(|owner| owner.dataset.path_uri.clone())),
        text(owner.as_ref().map(|owner| owner.project.clone())),
        text(owner.as_ref().map(|owner| owner.kind.clone())),
        text(owner.as_ref().map(|owner| owner.name.clone())),
        text(owner.and_then(|owner| owner.role)),
        text(found.latest.map(|(lot, _)| lot.to_string())),
        state(found).into(),
        found.owner.as_ref().err().cloned().into(),
    ]
}

async fn record(stores: &Stores, found: &DeployedDataset) -> Result<Vec<(&'static str, Cell)>, ManifestsError> {
    let mut fields: Vec<(&str, Cell)> = COLUMNS.into_iter().zip(row(found)).collect();
    let Some((lot, _)) = found.latest else { return Ok(fields) };
    let dataset = Dataset { name: found.id.name.clone(), version: found.id.version.clone(), path_uri: String::new() };
    match stores.latest(&dataset, lot).await {
        Ok(Some(manifest)) => {
            fields.push(("generation", manifest.generation.into()));
            fields.push(("objects", manifest.objects.len().into()));
            fields.push(("bytes", (manifest.generation > 0).then(|| manifest.bytes()).into()));
            fields.push(("comment", manifest.comment.into()));
        }
        Ok(None) => {}
        Err(error @ ManifestsError::Document { .. }) => fields.push(("manifestProblem", error.to_string().into())),
        Err(error) => return Err(error),
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::DatasetOwner;
    use manifests::{DatasetId, LotEntry};

    #[test]
    fn datasets_fit_a_terminal() {
        let id = DatasetId { name: "access-logs-parquet".into(), version: "20261101".into() };
        let dataset = Dataset { name: id.name.clone(), version: id.version.clone(), path_uri: "s3://test-lake-data/access-logs/".into() };
        let owner =
            DatasetOwner { dataset, project: "EdgeLogs".into(), kind: "arc".into(), name: "toParquet".into(), role: Some("main".into()) };
        let lot = "20261121PT5M119".parse().unwrap();
        let entry = |state| LotEntry { generation: 1, state, copies: 1 };
        let ours = DeployedDataset { id, owner: Ok(owner), latest: Some((lot, entry(Some(State::Complete)))) };
        let theirs = DeployedDataset {
            id: DatasetId { name: "theirs".into(), version: "7".into() },
            owner: Err("another tool's: it has no dataset.json".into()),
            latest: Some((lot, entry(None))),
        };
        let rows = vec![told(&ours), told(&theirs)];
        let table = output::table(&TABLE, &rows, Some(80));
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
        assert_eq!(
            rows[0][1..],
            ["arc toParquet of EdgeLogs", "s3://test-lake-data/access-logs/", "20261121PT5M119 complete"].map(Cell::from)
        );
        assert_eq!(rows[1][1..], ["another tool's: it has no dataset.json".into(), Cell::Null, "20261121PT5M119 committed".into()]);
        let names = COLUMNS.iter().zip(row(&theirs)).filter(|(_, cell)| *cell != Cell::Null).map(|(name, _)| *name);
        assert_eq!(names.collect::<Vec<_>>(), ["dataset", "version", "latest", "state", "problem"]);
    }
}
