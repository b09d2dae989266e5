//! Verify: a project file's value flows in; a checked [`Project`] flows out, or all of its problems at once, each with
//! its JSON path and, where there is one, the likely correction. Nothing is read here but what the value says.

mod arc;
mod athena;
mod aws;
mod aws_jobs;
mod aws_names;
mod aws_resources;
#[cfg(test)]
mod aws_tests;
mod boundary_file;
mod clusterless;
mod column_type;
mod fields;
mod graph;
mod placement;
mod schedule;
#[cfg(test)]
mod tests;

use std::path::Path;

use boundary::BoundarySpec;
use manifests::{ArcSpec, DatasetId, MAIN_ROLE};
use serde_json::{Map, Value};

use crate::file::{Placement, Problem, Project};
use crate::synth::{self, Names};
use arc::DraftArc;
use aws::Deployment;
pub use fields::nearest;
use fields::{Object, Problems};
use graph::Drafts;
#[cfg(test)]
pub(crate) use schedule::check_schedule;

/// What names in the file are relative to.
#[derive(Debug)]
struct Base<'a> {
    /// `None` where the placement itself has problems: URIs are not judged then.
    placement: Option<&'a Placement>,
    folder: &'a Path,
}

/// Judges the value of a project file that lies in `folder` (absolute; relative paths in the file start there).
pub fn judge(document: Value, folder: &Path) -> Result<Project, Vec<Problem>> {
    let problems = Problems::default();
    let project = read(&document, folder, &problems);
    match project.filter(|_| problems.is_empty()) {
        Some(project) => apart(Project { document, ..project }),
        None => Err(problems.into_vec()),
    }
}

/// Judges a placement that no file says: stage, account, region.
pub fn judge_placement(names: &Names) -> Vec<Problem> {
    let problems = Problems::default();
    aws::check_placement(names, &problems);
    problems.into_vec()
}

/// A project of which no two things would be one on AWS.
fn apart(project: Project) -> Result<Project, Vec<Problem>> {
    let clashes = synth::clashes(&project);
    if clashes.is_empty() { Ok(project) } else { Err(clashes) }
}

fn read(document: &Value, folder: &Path, problems: &Problems) -> Option<Project> {
    let file = Object::new("", document, problems)?;
    let identity = file.required_object("project").and_then(read_identity);
    let placement = file.required_object("placement").and_then(|object| placement::read(object, folder));
    let base = Base { placement: placement.as_ref(), folder };
    let resources = clusterless::resources(&file);
    let boundaries: Vec<(String, BoundarySpec)> =
        file.objects("boundaries").into_iter().filter_map(|object| boundary_file::read(object, &base)).collect();
    let drafts: Vec<DraftArc> = file.objects("arcs").into_iter().filter_map(|object| arc::read(object, &base)).collect();
    let activities = clusterless::activities(&file);
    file.finish();
    clusterless::check_references(document, problems);
    check_names(&boundaries, &drafts, &resources, &activities, problems);
    let (name, version) = identity.unwrap_or_default();
    let together = Drafts { project: (&name, &version), boundaries: &boundaries, arcs: &drafts };
    let mut arcs = graph::judge(&together, problems);
    add_schemas(&mut arcs);
    let is_on_aws = placement.as_ref().is_some_and(|placement| !is_local(placement));
    arcs.iter().for_each(|arc| check_workload(arc, &drafts, is_on_aws, problems));
    let placement = placement?;
    graph::check_folders(&together, &placement, problems);
    athena::check(&arcs, &drafts, &placement, problems);
    let mut notes = notes(&placement, &drafts, &resources, &activities);
    if let Some(names) = Deployment::names(&placement, &name, &version) {
        let deployment = Deployment { document, names, boundaries: &boundaries, drafts: &drafts, arcs: &arcs };
        aws::check(&deployment, problems);
        notes.extend(aws::notes(&deployment));
    }
    let is_run = |arc: &ArcSpec| !is_local(&placement) || drafts.iter().any(|draft| draft.name == arc.id.arc && draft.is_local);
    let arcs = arcs.into_iter().filter(is_run).collect();
    let list = |key: &str| document.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let (resources, activities) = (list("resources"), list("activities"));
    let boundaries = boundaries.into_iter().map(|found| found.1).collect();
    Some(Project { name, version, placement, boundaries, arcs, resources, activities, notes, document: Value::Null })
}

fn read_identity(object: Object<'_>) -> Option<(String, String)> {
    let (name, version) = (object.name("name", "project name"), object.name("version", "project version"));
    object.finish();
    Some((name?.to_owned(), version?.to_owned()))
}

fn is_local(placement: &Placement) -> bool {
    matches!(placement, Placement::Local { .. })
}

/// Names of one kind must differ.
fn check_names(
    boundaries: &[(String, BoundarySpec)],
    arcs: &[DraftArc],
    resources: &[(String, String)],
    activities: &[(String, String)],
    problems: &Problems,
) {
    let boundaries: Vec<_> = boundaries.iter().map(|(path, boundary)| (path.clone(), boundary.name.clone())).collect();
    let arcs: Vec<_> = arcs.iter().map(|arc| (arc.path.clone(), arc.name.clone())).collect();
    for (what, names) in [("boundary", &boundaries[..]), ("arc", &arcs), ("resource", resources), ("activity", activities)] {
        for (at, (path, name)) in names.iter().enumerate() {
            if let Some((first, _)) = names[..at].iter().find(|earlier| earlier.1 == *name) {
                let message = format!("`{name}` is already the name of {first}");
                problems.add_fix(format!("{path}.name"), message, Some(format!("give this {what} another name")));
            }
        }
    }
}

/// Tells every query the columns of those of its sources that a conversion writes: they may have no file yet.
fn add_schemas(arcs: &mut [ArcSpec]) {
    let mut known: Vec<(DatasetId, Value)> = Vec::new();
    for arc in arcs.iter().filter(|arc| arc.kind == "convert") {
        let format = arc.workload.get("format").filter(|format| arcs::format::compile(format).is_ok());
        for sink in &arc.sinks {
            let schema = if sink.role == MAIN_ROLE { format.and_then(|_| written(arc)) } else { Some("rejects".into()) };
            known.extend(schema.map(|schema| (sink.dataset.id(), schema)));
        }
    }
    for arc in arcs.iter_mut().filter(|arc| arc.kind == "query") {
        let Some(workload) = arc.workload.as_object_mut() else { continue };
        let Value::Object(schemas) = workload.entry("schemas").or_insert_with(|| Value::Object(Map::new())) else { continue };
        for source in &arc.sources {
            let found = known.iter().find(|(id, _)| *id == source.dataset.id());
            if let Some((_, schema)) = found.filter(|_| !schemas.contains_key(&source.role)) {
                schemas.insert(source.role.clone(), schema.clone());
            }
        }
    }
}

/// What says the columns of a convert arc's table: its format, with the parameters that shape it where there are any. `None`
/// where they say nothing, which is reported by itself.
fn written(arc: &ArcSpec) -> Option<Value> {
    const SHAPING: [&str; 5] = ["format", "partitions", "select", "redact", "redactKeyEnv"];
    let shaping = arcs::Shaping::read(&arc.workload).ok()?;
    let usual = arcs::Shaping::default();
    if shaping.partitions == usual.partitions && shaping.select.is_none() && shaping.redact.is_empty() {
        return arc.workload.get("format").cloned();
    }
    let grammar = arcs::format::compile(arc.workload.get("format")?).ok()?;
    let given = SHAPING.iter().filter_map(|key| Some(((*key).to_owned(), arc.workload.get(*key)?.clone())));
    arcs::Shape::new(&shaping, grammar.as_ref()).ok().map(|_| given.collect::<Map<String, Value>>().into())
}

/// Reports what the arc's workload says of its parameters.
fn check_workload(arc: &ArcSpec, drafts: &[DraftArc], is_on_aws: bool, problems: &Problems) {
    if arc.sinks.iter().all(|sink| sink.role != MAIN_ROLE) {
        return;
    }
    let is_it = |draft: &&DraftArc| draft.name == arc.id.arc && draft.kind == Some(arc.kind.as_str()) && (draft.is_local || is_on_aws);
    let Some(draft) = drafts.iter().find(is_it) else { return };
    for found in arcs::workload::check(arc) {
        let path = format!("{}.{}", draft.path, found.path);
        problems.keep(Problem { path, message: found.message, fix: found.fix });
    }
}

/// What the file asks for that is kept and not run on this placement.
fn notes(placement: &Placement, arcs: &[DraftArc], resources: &[(String, String)], activities: &[(String, String)]) -> Vec<Problem> {
    let note = |path: &str, message: &str| Problem { path: path.to_owned(), message: message.to_owned(), fix: None };
    let excluded = arcs.iter().filter(|arc| arc.exclude).map(|arc| note(&arc.path, "excluded: not run"));
    if !is_local(placement) {
        return excluded.collect();
    }
    let foreign = arcs.iter().filter(|arc| !arc.exclude && !arc.is_local).map(|arc| note(&arc.path, "not run on a local placement"));
    let kept = resources.iter().chain(activities).map(|(path, _)| note(path, "kept, and not made on a local placement"));
    excluded.chain(foreign).chain(kept).collect()
}
