//! What Clusterless promises to a user's image: the event in its arguments, everything else in one variable. An arc flows in;
//! a command, its parameters and variables flow out.

use manifests::{ArcSpec, Dataset, paths};
use serde_json::{Map, Value, json};

use super::names::ProjectNames;

/// What arguments name the event with.
pub(crate) const EVENT_PREFIX: &str = "$.arcNotifyEvent.";

/// Parameters need a value each, so that none is handed on as `Ref::lot`; whoever submits a job gives the lot.
pub(crate) fn parameters(arc: &ArcSpec, named: &[String]) -> Map<String, Value> {
    let mut all = Map::new();
    all.insert("arc".to_owned(), arc.id.arc.clone().into());
    all.extend(named.iter().map(|name| (name.clone(), "none".into())));
    all
}

/// A field of the event as the parameter that carries it: `dataset.pathURI` is `dataset_path_uri`.
pub(crate) fn parameter_of(field: &str) -> Option<&'static str> {
    match field {
        "lot" => Some("lot"),
        "manifest" => Some("manifest"),
        "dataset.name" => Some("dataset_name"),
        "dataset.version" => Some("dataset_version"),
        "dataset.pathURI" => Some("dataset_path_uri"),
        _ => None,
    }
}

/// The command of a user's image with the event filled in by parameters, and those parameters.
pub(crate) fn user_command(arc: &ArcSpec) -> (Vec<String>, Map<String, Value>) {
    let mut named = vec!["lot".to_owned()];
    let words = arc.workload.get("command").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let filled = |word: &str| match word.strip_prefix(EVENT_PREFIX).and_then(parameter_of) {
        Some(parameter) => {
            named.push(parameter.to_owned());
            format!("Ref::{parameter}")
        }
        None => word.to_owned(),
    };
    let command = words.map(filled).collect();
    (command, parameters(arc, &named))
}

/// The variables of a user's image: its own, and what Clusterless tells it.
pub(crate) fn user_environment(names: &ProjectNames, arc: &ArcSpec) -> Vec<(String, String)> {
    let own = arc.workload.get("environment").and_then(Value::as_object).into_iter().flatten();
    let own = own.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()));
    let template = |dataset: &Dataset| {
        let path = paths::state_copy_template(&dataset.id());
        json!(format!("s3://{}/{path}", names.placement.manifest_bucket()))
    };
    let sources: Vec<(&str, &Dataset)> = arc.sources.iter().map(|source| (source.role.as_str(), &source.dataset)).collect();
    let sinks: Vec<(&str, &Dataset)> = arc.sinks.iter().map(|sink| (sink.role.as_str(), &sink.dataset)).collect();
    let by_role = |all: &[(&str, &Dataset)], value: &dyn Fn(&Dataset) -> Value| -> Map<String, Value> {
        all.iter().map(|(role, dataset)| ((*role).to_owned(), value(dataset))).collect()
    };
    let props = json!({
        "sources": by_role(&sources, &|dataset| json!(dataset)),
        "sinks": by_role(&sinks, &|dataset| json!(dataset)),
        "sourceManifestPaths": by_role(&sources, &template),
        "sinkManifestTemplates": by_role(&sinks, &template),
        "workloadProps": arc.workload.get("workloadProps").filter(|props| !props.is_null()).cloned().unwrap_or_else(|| json!({})),
    });
    own.chain([("CLS_ARC_PROPS_JSON".to_owned(), props.to_string())]).collect()
}
