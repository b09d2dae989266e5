//! `arc arcs`: the arcs of the projects of a placement, from its stores alone: what each reads and writes, and how its latest
//! run stands.

use futures::{StreamExt, TryStreamExt};
use manifests::{ArcSpec, ArcState, Lot, ManifestsError, Stores};
use serde_json::json;

use super::placement::PlaceArgs;
use super::projects::unknown;
use super::{Context, Exit};
use crate::deployed::{self, DeployedProject};
use crate::output::{self, Cell, Output};

/// Latest runs looked for at a time.
const LOOKS_IN_FLIGHT: usize = 16;

/// Arguments of `arc arcs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  arc arcs --root my-lake/lake
  arc arcs toParquet --stage test   with its workload and its last attempt

`arc status -p FILE` says how every lot of an arc stands.")]
pub struct Args {
    /// The arc; all where not given.
    arc: Option<String>,
    #[command(flatten)]
    place: PlaceArgs,
}

/// An arc and its latest run.
struct Found<'a> {
    project: &'a DeployedProject,
    name: String,
    /// None where the project cannot be read.
    spec: Option<&'a ArcSpec>,
    latest: Option<(Lot, ArcState)>,
}

const COLUMNS: [&str; 9] = ["project", "version", "arc", "type", "sources", "sinks", "lotUnit", "latest", "state"];
const TABLE: [&str; 6] = ["project", "arc", "type", "data", "lots", "latest"];

/// Lists them.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let place = args.place.open().await?;
    let projects = deployed::projects(&place.stores).await?;
    let mut found: Vec<Found<'_>> = projects.iter().flat_map(arcs).collect();
    if let Some(name) = &args.arc {
        let known: Vec<String> = found.iter().map(|found| found.name.clone()).collect();
        found.retain(|found| found.name == *name);
        if found.is_empty() {
            return Err(unknown("arc", name, &known).into());
        }
    }
    let looked = futures::stream::iter(found.into_iter().map(|found| look(&place.stores, found, context))).buffered(LOOKS_IN_FLIGHT);
    let found: Vec<Found<'_>> = looked.try_collect().await?;
    match (found.as_slice(), &args.arc, context.output) {
        ([one], Some(_), output) => output::print_record(output, record(&place.stores, one).await?)?,
        (all, _, Output::Table) => output::print(Output::Table, &TABLE, all.iter().map(told).collect())?,
        (all, _, output) => output::print(output, &COLUMNS, all.iter().map(row).collect())?,
    }
    Ok(Exit::Done)
}

fn arcs(project: &DeployedProject) -> Vec<Found<'_>> {
    let spec = |name: &str| project.project.as_ref().ok().and_then(|project| project.arc(name));
    let names = project.names("arcs").into_iter();
    names.map(|name| Found { project, spec: spec(&name), name, latest: None }).collect()
}

async fn look<'a>(stores: &Stores, found: Found<'a>, context: &Context) -> Result<Found<'a>, ManifestsError> {
    let latest = match found.spec {
        Some(spec) => deployed::latest_run(stores, &spec.id, context.now).await?,
        None => None,
    };
    Ok(Found { latest, ..found })
}

fn ids(spec: &ArcSpec) -> [Vec<String>; 2] {
    let sinks = spec.sinks.iter().rev().map(|sink| sink.dataset.id().to_string());
    [spec.sources.iter().map(|source| source.dataset.id().to_string()).collect(), sinks.collect()]
}

fn told(found: &Found<'_>) -> Vec<Cell> {
    let latest = found.latest.map(|(lot, state)| format!("{lot} {state}"));
    let data = found.spec.map(|spec| ids(spec).map(|ids| ids.join(", ")).join(" → "));
    let unit = found.spec.map(|spec| spec.unit.name().to_owned());
    let start: [Cell; 2] = [found.project.id().into(), found.name.clone().into()];
    start.into_iter().chain([kind(found), data.into(), unit.into(), latest.into()]).collect()
}

fn kind(found: &Found<'_>) -> Cell {
    found.spec.map(super::kind).into()
}

fn row(found: &Found<'_>) -> Vec<Cell> {
    let [sources, sinks] = found.spec.map(ids).unwrap_or_default().map(|ids| Cell::Nested(ids.into()));
    let start: [Cell; 3] = [found.project.name.clone().into(), found.project.version.clone().into(), found.name.clone().into()];
    let unit = found.spec.map(|spec| spec.unit.name().to_owned());
    let (lot, state) = found.latest.unzip();
    let latest: [Cell; 3] = [unit.into(), lot.map(|lot| lot.to_string()).into(), state.map(ArcState::as_str).into()];
    start.into_iter().chain([kind(found), sources, sinks]).chain(latest).collect()
}

async fn record(stores: &Stores, found: &Found<'_>) -> Result<Vec<(&'static str, Cell)>, ManifestsError> {
    let mut fields: Vec<(&str, Cell)> = COLUMNS.into_iter().zip(row(found)).collect();
    let Some(spec) = found.spec else {
        fields.push(("problem", found.project.project.as_ref().err().cloned().into()));
        return Ok(fields);
    };
    if let Some((lot, _)) = found.latest
        && let Some(last) = stores.last_attempt(&spec.id, lot).await?
    {
        fields.push(("attempt", last.number.into()));
        fields.push(("started", super::told_time(last.record.started).into()));
        fields.push(("cause", last.record.cause.into()));
    }
    fields.push(("deadlineSeconds", spec.deadline.map(|deadline| deadline.num_seconds()).into()));
    fields.push(("retries", spec.retries.into()));
    fields.push(("workload", Cell::Nested(json!(spec.workload))));
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn arcs_fit_a_terminal() {
        let dataset = |name: &str| json!({"name": name, "version": "1", "pathURI": format!("../{name}/")});
        let document = json!({
            "project": {"name": "lake", "version": "20261101"}, "placement": {"provider": "local", "root": "../lake"},
            "boundaries": [{"type": "watch", "name": "in", "lotUnit": "Twelfths", "dataset": dataset("logs")}],
            "arcs": [{"type": "convert", "name": "toParquet", "sources": {"main": {"name": "logs", "version": "1"}},
                      "sinks": {"main": dataset("access-logs"), "rejects": dataset("access-rejects")}, "workload": {"format": "s3-access"}}],
        });
        let project = DeployedProject {
            name: "lake".into(),
            version: "20261101".into(),
            deployed: None,
            project: project::judge(document.clone(), std::path::Path::new("/a/b"))
                .map(Box::new)
                .map_err(|problems| format!("{problems:?}")),
            document,
        };
        let mut all = arcs(&project);
        all[0].latest = Some(("20261121PT5M119".parse().unwrap(), ArcState::Complete));
        expect![[r#"
            project        arc        type     data              lots      latest
            ────────────────────────────────────────────────────────────────────────────────
            lake/20261101  toParquet  convert  logs/1 →          Twelfths  20261121PT5M119
                                               access-logs/1,              complete
                                               access-rejects/1
        "#]]
        .assert_eq(&output::table(&TABLE, &all.iter().map(told).collect::<Vec<_>>(), Some(80)));
        expect![[r#"[Text("lake"), Text("20261101"), Text("toParquet"), Text("convert"), Nested(Array [String("logs/1")]), Nested(Array [String("access-logs/1"), String("access-rejects/1")]), Text("Twelfths"), Text("20261121PT5M119"), Text("complete")]"#]].assert_eq(&format!("{:?}", row(&all[0])));
    }
}
