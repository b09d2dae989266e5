//! `arc projects`: the projects of a placement, from its metadata store alone.

use super::placement::PlaceArgs;
use super::{Context, Exit, Trouble};
use crate::deployed::{self, DeployedProject};
use crate::output::{self, Cell, Output};

/// Arguments of `arc projects`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  arc projects --root my-lake/lake
  arc projects --stage test --profile data   on AWS
  arc projects Lake/1 --stage test           one of them; its document is a -p")]
pub struct Args {
    /// The project, by name or name/version; all where not given.
    #[arg(value_name = "NAME")]
    project_name: Option<String>,
    #[command(flatten)]
    place: PlaceArgs,
}

const COLUMNS: [&str; 6] = ["project", "version", "deployed", "boundaries", "arcs", "problem"];
const TABLE: [&str; 4] = ["project", "deployed", "boundaries", "arcs"];

/// Lists them.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let place = args.place.open().await?;
    let mut projects = deployed::projects(&place.stores).await?;
    if let Some(name) = &args.project_name {
        let known: Vec<String> = projects.iter().map(|project| project.name.clone()).collect();
        projects.retain(|project| project.name == *name || project.id() == *name);
        match projects.as_slice() {
            [] => return Err(unknown("project", name, &known).into()),
            [one] => {
                output::print_record(context.output, record(one, &place.stores))?;
                return Ok(Exit::Done);
            }
            _ => {}
        }
    }
    match context.output {
        Output::Table => output::print(Output::Table, &TABLE, projects.iter().map(told).collect())?,
        output => output::print(output, &COLUMNS, projects.iter().map(|project| row(project, output)).collect())?,
    }
    Ok(Exit::Done)
}

/// That a placement has nothing of a name, and what is likely meant.
pub fn unknown(what: &str, name: &str, known: &[String]) -> Trouble {
    let trouble = Trouble::not_found(format!("this placement has no {what} `{name}`"));
    match project::nearest(name, known.iter().map(String::as_str)) {
        Some(nearest) => trouble.next(nearest.to_owned()),
        None if known.is_empty() => trouble,
        None => trouble.next(format!("arc {what}s, which lists them")),
    }
}

fn told(project: &DeployedProject) -> Vec<Cell> {
    let problem = project.project.as_ref().err().map(|problem| format!("({problem})"));
    let arcs: Vec<String> = [project.names("arcs").join(", ")].into_iter().chain(problem).filter(|text| !text.is_empty()).collect();
    let start: [Cell; 2] = [project.id().into(), project.deployed.map(super::short_time).into()];
    start.into_iter().chain([project.names("boundaries").join(", ").into(), arcs.join(" ").into()]).collect()
}

fn listed(project: &DeployedProject, key: &str, output: Output) -> Cell {
    let names = project.names(key);
    match output {
        Output::Json => Cell::Nested(names.into()),
        _ => names.join(", ").into(),
    }
}

fn row(project: &DeployedProject, output: Output) -> Vec<Cell> {
    let start: [Cell; 3] = [project.name.clone().into(), project.version.clone().into(), project.deployed.map(super::told_time).into()];
    let parts = ["boundaries", "arcs"].map(|key| listed(project, key, output));
    start.into_iter().chain(parts).chain([project.project.as_ref().err().cloned().into()]).collect()
}

fn record(project: &DeployedProject, stores: &manifests::Stores) -> Vec<(&'static str, Cell)> {
    let produced: Vec<String> = match &project.project {
        Ok(read) => read.produced().into_iter().map(|produced| produced.dataset.id().to_string()).collect(),
        Err(_) => Vec::new(),
    };
    let mut fields: Vec<(&str, Cell)> = COLUMNS.into_iter().zip(row(project, Output::Json)).collect();
    let document = stores.metadata.uri(&manifests::paths::project(&project.name, &project.version));
    fields.insert(5, ("datasets", Cell::Nested(produced.into())));
    fields.insert(6, ("document", document.into()));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn projects_fit_a_terminal() {
        let project = |name: &str, arcs: &[&str], problem: &str| DeployedProject {
            name: name.into(),
            version: "20261101-00".into(),
            deployed: "2026-11-20T08:00:00Z".parse().ok(),
            document: json!({"boundaries": [{"name": "IngressListener"}], "arcs": arcs.iter().map(|name| json!({"name": name})).collect::<Vec<_>>()}),
            project: Err(problem.into()),
        };
        let all =
            [project("EdgeLogs", &["convertParquet", "addPartitions"], "another tool's: it has no project.json"), project("a", &[], "")];
        let rows: Vec<Vec<Cell>> = all.iter().map(told).collect();
        let table = output::table(&TABLE, &rows, Some(80));
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
        let arcs = "convertParquet, addPartitions (another tool's: it has no project.json)";
        assert_eq!(rows[0], ["EdgeLogs/20261101-00", "2026-11-20 08:00Z", "IngressListener", arcs].map(Cell::from));
        assert_eq!(row(&all[0], Output::Json)[4], Cell::Nested(json!(["convertParquet", "addPartitions"])));
        assert_eq!(row(&all[0], Output::Csv)[4], Cell::from("convertParquet, addPartitions"));
    }
}
