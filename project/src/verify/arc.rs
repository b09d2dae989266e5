//! Arcs as the file has them: one JSON object flows in, a draft flows out whose sources are still only names. What arcs
//! mean to each other is judged in `graph`.

use chrono::TimeDelta;
use manifests::{ArcSink, Dataset, LotUnit, MAIN_ROLE, check_name};
use serde_json::{Value, json};

use super::Base;
use super::fields::{Object, did_you_mean, nearest};
use crate::moment::parse_length;

/// The most attempts that a run which failed transiently gets by itself.
const RETRIES_MAX: u64 = 100;
const RETRIES_DEFAULT: u32 = 3;

/// The types of arcs: the name in the file, the workload that does it, whether a local placement can.
const TYPES: [(&str, &str, bool); 8] = [
    ("convert", "convert", true),
    ("query", "query", true),
    ("copy", "copy", true),
    ("exec", "exec", true),
    ("glueAddPartitions", "glue", false),
    ("aws:core:batchExecArc", "exec", true),
    ("aws:core:s3CopyArc", "copy", true),
    ("aws:core:glueAddPartitionsArc", "glue", false),
];

/// A source as the file names it.
#[derive(Debug)]
pub struct DraftSource {
    /// JSON path.
    pub path: String,
    /// Its role.
    pub role: String,
    /// The dataset's name.
    pub name: String,
    /// The dataset's version.
    pub version: String,
    /// Whether the arc waits for it.
    pub subscribe: bool,
    /// For a dataset that another project produces: where it lies and its unit.
    pub elsewhere: Option<(String, LotUnit)>,
}

/// An arc as the file has it.
#[derive(Debug)]
pub struct DraftArc {
    /// JSON path.
    pub path: String,
    /// Its name.
    pub name: String,
    /// The workload; `None` where the type is unknown.
    pub kind: Option<&'static str>,
    /// Whether a local placement runs it.
    pub is_local: bool,
    /// Whether the file says to leave it out.
    pub exclude: bool,
    /// The unit of its lots, where the file says so.
    pub unit: Option<LotUnit>,
    /// What it reads.
    pub sources: Vec<DraftSource>,
    /// What it writes, main last, each with its JSON path.
    pub sinks: Vec<(String, ArcSink)>,
    /// How long it waits after a lot's end.
    pub deadline: Option<TimeDelta>,
    /// How many more attempts.
    pub retries: u32,
    /// The workload's parameters.
    pub workload: Value,
}

/// Reads an arc; `None` only where it has no name to be known by.
pub fn read(object: Object<'_>, base: &Base<'_>) -> Option<DraftArc> {
    let kind = read_type(&object);
    let exclude = object.flag("exclude").unwrap_or(false);
    let name = object.name("name", "arc name");
    let unit = read_unit(&object);
    let deadline = read_deadline(&object);
    let retries = object.count("retries", RETRIES_MAX).and_then(|count| u32::try_from(count).ok());
    let sources = object.required_object("sources").map(|object| read_sources(object, base)).unwrap_or_default();
    let sinks = object.required_object("sinks").map(|object| read_sinks(&object, base, kind)).unwrap_or_default();
    let workload = read_workload(&object, kind);
    // What jobs run with is read from the file where jobs are made; a local placement has no use for it.
    if let Some(props) = object.object("runtimeProps") {
        super::clusterless::runtime_props(props);
    }
    let path = object.path.clone();
    object.finish();
    Some(DraftArc {
        path,
        name: name?.to_owned(),
        kind: kind.map(|kind| kind.1),
        is_local: kind.is_none_or(|kind| kind.2),
        exclude,
        unit,
        sources,
        sinks,
        deadline,
        retries: retries.unwrap_or(RETRIES_DEFAULT),
        workload,
    })
}

fn read_type(object: &Object<'_>) -> Option<&'static (&'static str, &'static str, bool)> {
    let text = object.required_text("type")?;
    let found = TYPES.iter().find(|kind| kind.0 == text);
    if found.is_none() {
        let message = format!("`{text}` is no type of arc");
        let known = || format!("use {}", TYPES.map(|kind| kind.0).join(", "));
        object.problems().add_fix(object.at("type"), message, did_you_mean(text, TYPES.map(|kind| kind.0)).or_else(|| Some(known())));
    }
    found
}

/// An optional `lotUnit`.
pub fn read_unit(object: &Object<'_>) -> Option<LotUnit> {
    let text = object.text("lotUnit")?;
    let unit = text.parse();
    if let Err(error) = &unit {
        let names: Vec<&str> = LotUnit::all().map(LotUnit::name).collect();
        object.problems().add_fix(object.at("lotUnit"), format!("{error}"), did_you_mean(text, names));
    }
    unit.ok()
}

fn read_deadline(object: &Object<'_>) -> Option<TimeDelta> {
    let text = object.text("deadline")?;
    let length = parse_length(text);
    if length.is_none() {
        object.complain("deadline", format!("`{text}` is no length of time: use 30m, 2h or 1d"));
    }
    length
}

fn is_role(object: &Object<'_>, role: &str) -> bool {
    let checked = check_name("role", role);
    if let Err(error) = &checked {
        object.problems().add(object.path.clone(), error.to_string());
    }
    checked.is_ok()
}

fn read_sources(object: Object<'_>, base: &Base<'_>) -> Vec<DraftSource> {
    if object.is_empty() {
        object.problems().add(object.path.clone(), "has no source: an arc reads at least one dataset");
    }
    let sources: Vec<DraftSource> = object.entries().into_iter().filter_map(|(role, entry)| read_source(role, entry, base)).collect();
    if !sources.is_empty() && sources.iter().all(|source| !source.subscribe) {
        object.problems().add(object.path.clone(), "no source is subscribed: the arc would never run");
    }
    sources
}

fn read_source(role: &str, object: Object<'_>, base: &Base<'_>) -> Option<DraftSource> {
    let is_role = is_role(&object, role);
    let (name, version) = (object.name("name", "dataset name"), object.name("version", "dataset version"));
    let subscribe = object.flag("subscribe").unwrap_or(true);
    let (uri, unit) = (object.text("pathURI"), read_unit(&object));
    let uri = uri.map(|text| read_uri(&object, text, base));
    let path = object.path.clone();
    object.finish();
    is_role.then_some(DraftSource {
        path,
        role: role.to_owned(),
        name: name?.to_owned(),
        version: version?.to_owned(),
        subscribe,
        elsewhere: uri.zip(unit),
    })
}

/// The URI of a folder; one that is wrong is reported and kept, so that the dataset is still known by its name.
fn read_uri(object: &Object<'_>, text: &str, base: &Base<'_>) -> String {
    let Some(placement) = base.placement else { return text.to_owned() };
    super::placement::dataset_uri(text, placement, base.folder).unwrap_or_else(|message| {
        object.complain("pathURI", message);
        text.to_owned()
    })
}

/// Reads `{name, version, pathURI}`.
pub fn read_dataset(object: Object<'_>, base: &Base<'_>, is_folder: bool) -> Option<Dataset> {
    let (name, version) = (object.name("name", "dataset name"), object.name("version", "dataset version"));
    let uri = object.required_text("pathURI");
    let uri = uri.map(|text| if is_folder { read_uri(&object, text, base) } else { text.to_owned() });
    object.finish();
    Some(Dataset { name: name?.to_owned(), version: version?.to_owned(), path_uri: uri? })
}

fn read_sinks(object: &Object<'_>, base: &Base<'_>, kind: Option<&'static (&str, &str, bool)>) -> Vec<(String, ArcSink)> {
    let is_folder = kind.is_none_or(|kind| kind.1 != "glue");
    let entries = object.entries();
    let roles: Vec<&str> = entries.iter().map(|entry| entry.0).collect();
    if !roles.contains(&MAIN_ROLE) {
        let fix = nearest(MAIN_ROLE, roles.iter().copied()).map(|role| format!("rename `{role}` to `{MAIN_ROLE}`"));
        object.problems().add_fix(object.at(MAIN_ROLE), "is missing: every arc has a sink called `main`", fix);
    }
    let sink = |(role, entry): (&str, Object<'_>)| {
        let (path, is_role) = (entry.path.clone(), is_role(&entry, role));
        let dataset = read_dataset(entry, base, is_folder)?;
        is_role.then_some((path, ArcSink { role: role.to_owned(), dataset }))
    };
    let mut sinks: Vec<(String, ArcSink)> = entries.into_iter().filter_map(sink).collect();
    sinks.sort_by(|a, b| (a.1.role == MAIN_ROLE, &a.1.role).cmp(&(b.1.role == MAIN_ROLE, &b.1.role)));
    sinks
}

/// The parameters, in our words: what Clusterless keeps in `workloadProps` and `batchRuntimeProps` is taken out of them.
fn read_workload(object: &Object<'_>, kind: Option<&'static (&str, &str, bool)>) -> Value {
    let Some(workload) = object.object("workload") else { return json!({}) };
    match kind.map(|kind| kind.0) {
        Some("aws:core:batchExecArc") => super::clusterless::batch_exec(workload),
        Some("aws:core:s3CopyArc") => super::clusterless::s3_copy(workload),
        Some("aws:core:glueAddPartitionsArc") => super::clusterless::add_partitions(workload),
        _ => object.value("workload").cloned().unwrap_or_else(|| json!({})),
    }
}
