//! `arc lots`: what each dataset holds, lot by lot: found, missing, gaps, states. Only the manifest store is read.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};
use manifests::{Dataset, Lot, LotEntry, Manifest, ManifestsError, State, Stores};
use project::{Produced, Project};

use super::window::{Window, WindowArgs};
use super::{Context, Exit, ProjectArgs, Trouble};
use crate::output::{self, Cell, Output};

/// Manifests read at a time.
const MANIFESTS_IN_FLIGHT: usize = 64;
/// More lots than these between two that were found are counted, not listed one by one.
const GAP_LISTED_MAX: usize = 10_000;

/// Arguments of `arc lots`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The datasets, by name or name/version; all of the project where not given.
    datasets: Vec<String>,
    /// Show every lot, those that are missing included.
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    window: WindowArgs,
    #[command(flatten)]
    project: ProjectArgs,
}

/// Lists them.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let project = args.project.load()?;
    let window = args.window.window(context)?;
    let stores = args.project.stores(&project).await?;
    let mut rows = Vec::new();
    for produced in chosen(&project, &args.datasets)? {
        let found = found(&stores, &produced, &window).await?;
        match args.list {
            true => rows.extend(listed(&stores, &produced, &found).await?),
            false => rows.push(summed(&produced, &found, context.output)),
        }
    }
    match (args.list, context.output) {
        (true, Output::Table) => output::print(context.output, &LISTED_TABLE, rows)?,
        (true, _) => output::print(context.output, &LISTED, rows)?,
        (false, Output::Table) => output::print(context.output, &SUMMED_TABLE, rows)?,
        (false, _) => output::print(context.output, &SUMMED, rows)?,
    }
    Ok(Exit::Done)
}

/// The datasets of these names; all where there are none.
fn chosen(project: &Project, names: &[String]) -> Result<Vec<Produced>, Trouble> {
    if names.is_empty() {
        return Ok(project.produced());
    }
    names.iter().map(|name| find_dataset(project, name)).collect()
}

/// The dataset of that name, or what to try instead.
pub fn find_dataset(project: &Project, name: &str) -> Result<Produced, Trouble> {
    project.dataset(name).ok_or_else(|| {
        let names: Vec<String> = project.produced().into_iter().map(|produced| produced.dataset.name).collect();
        let known = || format!("one of {}", names.join(", "));
        let next = project::nearest(name, names.iter().map(String::as_str)).map_or_else(known, str::to_owned);
        Trouble::not_found(format!("no dataset of this project is called `{name}`")).next(next)
    })
}

async fn found(stores: &Stores, produced: &Produced, window: &Window) -> Result<BTreeMap<Lot, LotEntry>, ManifestsError> {
    let mut lots = stores.lots(&produced.dataset.id()).await?;
    lots.retain(|lot, _| lot.unit() == produced.unit && window.holds(*lot));
    Ok(lots)
}

/// The lots between the first and the last found that are not there, in order, at most [`GAP_LISTED_MAX`]; and how many
/// there are.
fn missing(lots: &BTreeMap<Lot, LotEntry>) -> (Vec<Lot>, usize) {
    let (Some(first), Some(last)) = (lots.keys().next(), lots.keys().next_back()) else { return (Vec::new(), 0) };
    let span = (last.start() - first.start()).num_minutes() / i64::from(first.unit().minutes()) + 1;
    let count = usize::try_from(span).unwrap_or(0).saturating_sub(lots.len());
    let listed = if count == 0 {
        Vec::new()
    } else {
        Lot::range(*first, *last).filter(|lot| !lots.contains_key(lot)).take(GAP_LISTED_MAX).collect()
    };
    (listed, count)
}

const SUMMED: [&str; 9] = ["dataset", "earliest", "latest", "lots", "complete", "empty", "partial", "removed", "missing"];
const SUMMED_TABLE: [&str; 4] = ["dataset", "earliest", "latest", "lots"];

fn summed(produced: &Produced, lots: &BTreeMap<Lot, LotEntry>, output: Output) -> Vec<Cell> {
    let count = |state: State| lots.values().filter(|entry| entry.state == Some(state)).count();
    let edge = |lot: Option<&Lot>| Cell::from(lot.map(Lot::to_string));
    let mut row = vec![produced.dataset.id().to_string().into(), edge(lots.keys().next()), edge(lots.keys().next_back())];
    let (_, missing) = missing(lots);
    if output == Output::Table {
        let states = State::ALL.into_iter().map(|state| (state.as_str(), count(state)));
        let counts: Vec<String> =
            states.chain([("missing", missing)]).filter(|count| count.1 > 0).map(|(word, count)| format!("{count} {word}")).collect();
        row.push(if counts.is_empty() { "none yet".into() } else { counts.join(", ").into() });
        return row;
    }
    row.push(lots.len().into());
    row.extend(State::ALL.map(|state| Cell::from(count(state))));
    row.push(missing.into());
    row
}

const LISTED: [&str; 8] = ["dataset", "lot", "state", "generation", "objects", "bytes", "rows", "comment"];
/// The same in words short enough for 80 columns.
const LISTED_TABLE: [&str; 8] = ["dataset", "lot", "state", "gen", "files", "bytes", "rows", "comment"];

async fn listed(stores: &Stores, produced: &Produced, lots: &BTreeMap<Lot, LotEntry>) -> Result<Vec<Vec<Cell>>, ManifestsError> {
    let read = lots.iter().map(|(lot, entry)| manifest(stores, &produced.dataset, *lot, *entry));
    let manifests: Vec<Option<Manifest>> = futures::stream::iter(read).buffered(MANIFESTS_IN_FLIGHT).try_collect().await?;
    let mut rows: BTreeMap<Lot, Vec<Cell>> = BTreeMap::new();
    for manifest in manifests.into_iter().flatten() {
        // What this dataset's files hold; the receipt counts the whole run. An empty lot of an arc has none for certain.
        let rows_of = manifest.objects.iter().filter_map(|object| object.rows);
        let row_count = manifest.receipt.as_ref().filter(|_| manifest.objects.iter().all(|object| object.rows.is_some()));
        let row_count = row_count.map(|_| rows_of.sum::<u64>());
        let counts: [Cell; 3] = [manifest.objects.len().into(), manifest.bytes().into(), row_count.into()];
        let name: Cell = produced.dataset.id().to_string().into();
        let start = [name, manifest.lot_id.to_string().into(), manifest.state.as_str().into(), manifest.generation.into()];
        rows.insert(manifest.lot_id, start.into_iter().chain(counts).chain([manifest.comment.into()]).collect());
    }
    for lot in missing(lots).0 {
        let start: [Cell; 3] = [produced.dataset.id().to_string().into(), lot.to_string().into(), "missing".into()];
        rows.insert(lot, start.into_iter().chain(std::iter::repeat_n(Cell::Null, LISTED.len() - 3)).collect());
    }
    Ok(rows.into_values().collect())
}

async fn manifest(stores: &Stores, dataset: &Dataset, lot: Lot, entry: LotEntry) -> Result<Option<Manifest>, ManifestsError> {
    match entry.generation {
        0 => stores.latest(dataset, lot).await,
        generation => stores.read_commit(&dataset.id(), lot, generation).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use manifests::LotUnit;
    use project::Owner;

    fn entries(lots: &[(&str, State)]) -> BTreeMap<Lot, LotEntry> {
        lots.iter().map(|(lot, state)| (lot.parse().unwrap(), LotEntry { generation: 1, state: Some(*state), copies: 1 })).collect()
    }

    fn produced() -> Produced {
        let dataset = Dataset { name: "logs".into(), version: "1".into(), path_uri: "memory:///logs/".into() };
        Produced { dataset, unit: LotUnit::Twelfths, owner: Owner::Boundary("in".into()) }
    }

    #[test]
    fn gaps_are_counted_between_the_first_and_the_last() {
        let lots = entries(&[("20230717PT5M286", State::Complete), ("20230718PT5M001", State::Empty)]);
        let (listed, count) = missing(&lots);
        assert_eq!(listed.iter().map(Lot::to_string).collect::<Vec<_>>(), ["20230717PT5M287", "20230718PT5M000"]);
        assert_eq!(count, 2);
        assert_eq!(missing(&BTreeMap::new()), (vec![], 0));
        let far = entries(&[("00010101PT5M000", State::Complete), ("99991231PT5M287", State::Complete)]);
        assert_eq!(missing(&far).0.len(), GAP_LISTED_MAX);
    }

    #[test]
    fn a_dataset_in_one_row() {
        let lots = entries(&[("20230717PT5M010", State::Complete), ("20230717PT5M011", State::Empty), ("20230717PT5M013", State::Partial)]);
        let rows = vec![summed(&produced(), &lots, Output::Table), summed(&produced(), &BTreeMap::new(), Output::Table)];
        expect![[r#"
            dataset  earliest         latest           lots
            ─────────────────────────────────────────────────────────────────────────────
            logs/1   20230717PT5M010  20230717PT5M013  1 complete, 1 empty, 1 partial, 1
                                                       missing
            logs/1                                     none yet
        "#]]
        .assert_eq(&output::table(&SUMMED_TABLE, &rows, Some(80)));
        let mut bytes = Vec::new();
        let mut listing = output::Listing::new(&mut bytes, Output::Csv, &SUMMED).unwrap();
        listing.push(summed(&produced(), &lots, Output::Csv)).unwrap();
        listing.finish().unwrap();
        expect![[r#"
            dataset,earliest,latest,lots,complete,empty,partial,removed,missing
            logs/1,20230717PT5M010,20230717PT5M013,3,1,1,1,0,1
        "#]]
        .assert_eq(&String::from_utf8(bytes).unwrap().replace('\r', ""));
    }

    #[tokio::test]
    async fn every_lot_of_a_dataset() {
        let stores = Stores::memory().unwrap();
        let object = manifests::ManifestObject { uri: "memory:///logs/a".into(), size: 7, ..manifests::ManifestObject::default() };
        for (lot, objects) in [("20230717PT5M010", vec![object]), ("20230717PT5M012", vec![])] {
            stores.commit(&Manifest::new(produced().dataset, lot.parse().unwrap(), objects)).await.unwrap();
        }
        let window = Window::all();
        let lots = found(&stores, &produced(), &window).await.unwrap();
        let rows = listed(&stores, &produced(), &lots).await.unwrap();
        expect![[r#"
            dataset  lot              state     gen  files  bytes
            ──────────────────────────────────────────────────────
            logs/1   20230717PT5M010  complete    1      1      7
            logs/1   20230717PT5M011  missing
            logs/1   20230717PT5M012  empty       1      0      0
        "#]]
        .assert_eq(&output::table(&LISTED_TABLE, &rows, Some(100)));
    }
}
