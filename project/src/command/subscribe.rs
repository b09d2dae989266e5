//! `arc datasets NAME --subscribe`: what another team needs to build on a dataset, as one document, or as text with a heading
//! over each part. A dataset and its placement flow in; only what is stored is read.

use std::io::Write;

use manifests::{Dataset, Lot, State, paths};
use project::synth::{self, Subscription};
use project::{Owner, Produced};
use serde_json::{Map, Value, json};

use super::placement::Place;
use super::{Context, Trouble, ddl};
use crate::cloud::Cloud;
use crate::deployed::{self, DeployedDataset, DeployedProject};
use crate::engine::DatasetOwner;
use crate::logs;
use crate::output::{Cell, Output, print_record};

/// Writes it.
pub async fn run(place: &Place, found: &DeployedDataset, context: &Context) -> anyhow::Result<()> {
    let owner = found.owner.as_ref().map_err(|problem| {
        Trouble::failed(format!("{} cannot be described: {problem}", found.id)).next("arc lots, with a project file that reads it")
    })?;
    let projects = deployed::projects(&place.stores).await?;
    let made = made(&projects, owner);
    let unit = made.as_ref().map(|(_, produced)| produced.unit).or(found.latest.map(|(lot, _)| lot.unit()));
    let usual = || unit.map(|unit| Lot::containing(unit, context.now).previous());
    let lot = found.latest.map(|(lot, _)| lot).or_else(usual);
    let lot = lot.ok_or_else(|| Trouble::not_found(format!("{} has no lot yet, and no project that says its unit", found.id)))?;
    let state = found.latest.and_then(|(_, entry)| entry.state).unwrap_or(State::Complete);
    let mut document = match &place.cloud {
        Some(cloud) => on_aws(cloud, &owner.dataset, (lot, state), context).await,
        None => local(place, &owner.dataset, (lot, state)),
    };
    let (ddl, note) = match &made {
        Some((project, produced)) => statement(place, project, produced).await?,
        None => (None, Some(format!("no stored project {} that can be read makes it", owner.project))),
    };
    document.insert("dataset".to_owned(), json!(owner.dataset));
    document.insert("ddl".to_owned(), ddl.into());
    document.insert("ddlNote".to_owned(), note.into());
    document.insert("projectFile".to_owned(), snippet(&owner.dataset, lot, owner.kind == "arc", place.cloud.is_some()).into());
    write(&document, context.output)
}

/// The project that makes a dataset, the one deployed last, and what it says of it; where it lies is for its owner to say.
fn made<'a>(projects: &'a [DeployedProject], owner: &DatasetOwner) -> Option<(&'a project::Project, Produced)> {
    let by_it = projects.iter().filter(|project| project.name == owner.project);
    let makes = |found: &'a DeployedProject| {
        let project = found.project.as_ref().ok()?;
        let produced = project.dataset(&owner.dataset.id().to_string())?;
        Some((found.deployed, (project.as_ref(), Produced { dataset: owner.dataset.clone(), ..produced })))
    };
    by_it.filter_map(makes).max_by_key(|(deployed, _)| *deployed).map(|(_, made)| made)
}

/// The statement that makes it a table, or why there is none.
async fn statement(place: &Place, project: &project::Project, produced: &Produced) -> anyhow::Result<(Option<String>, Option<String>)> {
    if let Owner::Boundary(name) = &produced.owner {
        return Ok((None, Some(format!("what boundary {name} takes in is log objects, not Parquet"))));
    }
    match ddl::usual_statement(project, &place.stores, produced).await {
        Ok(text) => Ok((Some(text), None)),
        Err(error) if error.is::<Trouble>() => Ok((None, Some(error.to_string()))),
        Err(error) => Err(error),
    }
}

async fn on_aws(cloud: &Cloud, dataset: &Dataset, sample: (Lot, State), context: &Context) -> Map<String, Value> {
    let mut keys = Vec::new();
    let data = dataset.path_uri.strip_prefix("s3://").and_then(|rest| rest.split('/').next()).map(str::to_owned);
    for bucket in data.into_iter().chain([cloud.names.manifest_bucket()]) {
        match cloud.key_of(&bucket).await {
            Ok(key) => keys.extend(key),
            Err(error) if !context.quiet => logs::note(&format!("{error}; if it has a key, readers need kms:Decrypt on it"), None),
            Err(_) => {}
        }
    }
    keys.sort();
    keys.dedup();
    let subscription = Subscription { names: &cloud.names, dataset, sample, kms_keys: &keys };
    subscription.document().as_object().cloned().unwrap_or_default()
}

/// On one machine there is no bus to subscribe to from outside: arcs of the placement subscribe in their project files.
fn local(place: &Place, dataset: &Dataset, (lot, state): (Lot, State)) -> Map<String, Value> {
    let copy = place.stores.manifest.uri(&paths::state_copy(&dataset.id(), lot, state));
    let sample = json!({"detail": synth::sample_detail(dataset, lot, copy)});
    Map::from_iter([("sampleEvent".to_owned(), sample)])
}

/// An arc of another project that subscribes to the dataset.
fn snippet(dataset: &Dataset, lot: Lot, is_parquet: bool, is_aws: bool) -> String {
    let Dataset { name, version, path_uri } = dataset;
    let unit = lot.unit().name();
    let (kind, arc, workload) = match is_parquet {
        true => ("query", "countRows", "sql: 'SELECT count(*) AS row_count FROM main'"),
        false => ("convert", "toParquet", "format: 's3-access'"),
    };
    let target = if is_aws { "s3://YOUR-BUCKET/folder/" } else { "your-folder/" };
    let target = if is_aws { target.to_lowercase() } else { target.to_owned() };
    format!(
        "arcs: [{{\n  type: '{kind}', name: '{arc}',\n  sources: {{ main: {{ name: '{name}', version: '{version}', lotUnit: '{unit}',\n                     \
         pathURI: '{path_uri}' }} }},\n  sinks: {{ main: {{ name: 'your-dataset', version: '1', pathURI: '{target}' }} }},\n  \
         workload: {{ {workload} }},\n}}],\n"
    )
}

/// The parts and their headings, in the order of the text.
const PARTS: [(&str, &str); 9] = [
    ("dataset", "Dataset"),
    ("bus", "Bus"),
    ("eventPattern", "Event pattern of a rule on that bus"),
    ("sampleEvent", "Sample event"),
    ("statements", "IAM statements of a reader"),
    ("crossAccount", "From another account: a rule here, its role, and the policies of their bus and these buckets"),
    ("ddl", "Table of Athena"),
    ("ddlNote", "No table of Athena"),
    ("projectFile", "An arc that subscribes, in a project file of this placement"),
];

fn write(document: &Map<String, Value>, output: Output) -> anyhow::Result<()> {
    if output != Output::Table {
        let fields = PARTS.iter().filter_map(|(key, _)| Some((*key, cell(document.get(*key)?))));
        return Ok(print_record(output, fields.collect())?);
    }
    std::io::stdout().lock().write_all(text(document).as_bytes())?;
    Ok(())
}

fn cell(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::String(text) => text.clone().into(),
        other => Cell::Nested(other.clone()),
    }
}

fn text(document: &Map<String, Value>) -> String {
    let mut all = String::new();
    for (key, heading) in PARTS {
        let body = match document.get(key) {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) => text.trim_end().to_owned(),
            Some(value) => serde_json::to_string_pretty(value).unwrap_or_default(),
        };
        all += &format!("# {heading}\n\n{}\n\n", crate::output::escape_lines(&body));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn dataset() -> Dataset {
        Dataset { name: "access-logs".into(), version: "1".into(), path_uri: "s3://test-lake-data/access/".into() }
    }

    #[test]
    fn the_snippet_is_an_arc_that_verifies() {
        let lot: Lot = "20230717PT5M250".parse().unwrap();
        for is_parquet in [true, false] {
            let arcs = snippet(&dataset(), lot, is_parquet, true);
            let file = format!(
                "{{ project: {{ name: 'x', version: '1' }}, placement: {{ provider: 'aws', account: '123456789012', region: 'us-east-2' }},\n{arcs}}}"
            );
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x.jsonnet");
            std::fs::write(&path, file).unwrap();
            let project = project::load(&project::Origin::File(path), &[], folder.path());
            assert_eq!(project.map(|project| project.arcs.len()).map_err(|error| format!("{error:?}")), Ok(1));
        }
    }

    #[test]
    fn parts_have_headings() {
        let document = json!({"dataset": dataset(), "ddl": null, "ddlNote": "none\u{1b}[2J yet", "eventPattern": {"source": ["x"]}});
        expect![[r##"
            # Dataset

            {
              "name": "access-logs",
              "version": "1",
              "pathURI": "s3://test-lake-data/access/"
            }

            # Event pattern of a rule on that bus

            {
              "source": [
                "x"
              ]
            }

            # No table of Athena

            none\u{1b}[2J yet

        "##]]
        .assert_eq(&text(document.as_object().unwrap()));
    }
}
