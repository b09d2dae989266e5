//! `exec`: a command reads the sources and writes the sink by itself, as Clusterless workloads do. It is told the lot, the
//! manifests and the sinks in its environment and arguments. It writes a sink's manifest (a state copy) at the template it
//! was given; afterwards that becomes our commit. Any `partial` among them makes the lot partial. A sink without
//! manifest is empty where the command ended well, and the run failed where it did not.
//!
//! All or nothing is in the command's hands: files that it leaves are listed nowhere until its manifest is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use manifests::paths::{self, ManifestPath};
use manifests::{ArcSink, ArcSpec, Counts, Dataset, MAIN_ROLE, ManifestObject, State, StateCopy, UriType};
use object_store::ObjectStoreExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Parameter, ParameterKind, Problem, RunInput, SinkFiles, Work, Workload};
use crate::error::ArcsError;
use crate::process::{self, CommandLine};
use crate::read::ObjectProblem;
use crate::runner::{SourceLots, list_below};

/// What arguments name the event with.
const EVENT_PREFIX: &str = "$.arcNotifyEvent.";

/// The fields of the event.
const EVENT_FIELDS: [&str; 5] = ["dataset.name", "dataset.version", "dataset.pathURI", "lot", "manifest"];

/// Minutes that a command may be given.
const TIMEOUT_MINUTES_MAX: u32 = 14 * 24 * 60;

/// The workload.
pub(super) struct Exec;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    command: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    timeout_min: Option<f64>,
    #[serde(default)]
    workload_props: Value,
}

#[async_trait]
impl Workload for Exec {
    fn name(&self) -> &'static str {
        "exec"
    }

    fn summary(&self) -> &'static str {
        "runs a command that reads the sources and writes the sinks and their manifests, as Clusterless workloads do"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const fn parameter(name: &'static str, kind: ParameterKind, default: &'static str, meaning: &'static str) -> Parameter {
            Parameter { name, kind, default, meaning }
        }
        const PARAMETERS: &[Parameter] = &[
            parameter(
                "command",
                ParameterKind::Texts,
                "",
                "the program and its arguments, in which $.arcNotifyEvent.lot, .manifest and .dataset.{name,version,pathURI} are filled in; no shell",
            ),
            parameter("environment", ParameterKind::Object, "{}", "environment variables"),
            parameter(
                "timeoutMin",
                ParameterKind::Number(TIMEOUT_MINUTES_MAX),
                "null",
                "minutes after which it is killed with all it started",
            ),
            parameter("workloadProps", ParameterKind::Any, "{}", "handed on in CLS_ARC_PROPS_JSON"),
            parameter(
                "imagePath",
                ParameterKind::Text,
                "null",
                "the image that holds the program, where there are images; not used on a local placement",
            ),
            parameter("computeEnvironmentRef", ParameterKind::Text, "null", "where images run; not used on a local placement"),
        ];
        PARAMETERS
    }

    fn check(&self, arc: &ArcSpec) -> Vec<Problem> {
        let mut problems = Vec::new();
        let command: Vec<&str> = arc.workload["command"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if command.first().is_none_or(|program| program.is_empty()) {
            problems.push(Problem::new("workload.command", "names no program"));
        }
        for (at, argument) in command.iter().enumerate() {
            let known = format!("use {}", EVENT_FIELDS.map(|field| format!("{EVENT_PREFIX}{field}")).join(", "));
            if argument.split(EVENT_PREFIX).skip(1).any(|rest| !EVENT_FIELDS.iter().any(|field| is_field(rest, field))) {
                problems.push(Problem::new(format!("workload.command[{at}]"), "names a field that events do not have").fix(known));
            }
        }
        for (name, value) in arc.workload["environment"].as_object().into_iter().flatten() {
            let is_name = !name.is_empty() && !name.contains(['=', '\0']);
            if !is_name || !value.is_string() {
                problems.push(Problem::new(format!("workload.environment.{name}"), "must be a variable with a text"));
            }
        }
        problems
    }

    async fn run(&self, input: &RunInput<'_>) -> Result<Work, ArcsError> {
        let parameters: Parameters = input.parameters()?;
        let before = written(input).await?;
        let command = command_line(input, &parameters)?;
        let ended = process::run(&command).await?;
        let after = written(input).await?;
        let mut outcome = Outcome::default();
        for sink in &input.arc.sinks {
            let latest = input.context.stores.latest(&sink.dataset, input.lot).await?.filter(|latest| latest.generation > 0);
            let ours = latest.map(|latest| latest.state_copy());
            let is_new = |copy: &&Written| !before.contains(copy) || Some(&copy.copy) != ours.as_ref();
            let copies: Vec<&Written> = after.iter().filter(|copy| copy.role == sink.role).filter(is_new).collect();
            outcome.add_sink(input, sink, &copies).await?;
        }
        outcome.end(ended.failure, input)
    }
}

/// Whether `rest` starts with a field's name and that name ends there.
fn is_field(rest: &str, field: &str) -> bool {
    rest.strip_prefix(field).is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '.' || next == '_'))
}

fn filled(argument: &str, fields: &[(&str, String)]) -> String {
    let mut parts = argument.split(EVENT_PREFIX);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for rest in parts {
        match fields.iter().find(|(field, _)| is_field(rest, field)) {
            Some((field, value)) => {
                text.push_str(value);
                text.push_str(&rest[field.len()..]);
            }
            None => {
                text.push_str(EVENT_PREFIX);
                text.push_str(rest);
            }
        }
    }
    text
}

fn command_line(input: &RunInput<'_>, parameters: &Parameters) -> Result<CommandLine, ArcsError> {
    let source = main_source(input);
    let event = source.map(|source| (source.dataset.clone(), state_copy_uri(input, source)));
    let fields: Vec<(&str, String)> = event
        .map(|(dataset, manifest)| {
            let values = [dataset.name, dataset.version, dataset.path_uri, input.lot.to_string(), manifest];
            EVENT_FIELDS.into_iter().zip(values).collect()
        })
        .unwrap_or_default();
    let mut words = parameters.command.iter().map(|word| filled(word, &fields));
    let program = words.next().ok_or_else(|| ArcsError::Job { message: "workload.command names no program".into() })?;
    let mut environment = environment(input, parameters);
    environment.extend(parameters.environment.iter().map(|(name, value)| (name.clone(), value.clone())));
    let timeout = parameters.timeout_min.filter(|minutes| *minutes > 0.0).map(|minutes| Duration::from_secs_f64(minutes * 60.0));
    Ok(CommandLine { program, arguments: words.collect(), environment, timeout })
}

fn main_source<'a>(input: &'a RunInput<'_>) -> Option<&'a SourceLots> {
    input.sources.iter().find(|source| source.role == MAIN_ROLE).or_else(|| input.sources.first())
}

/// URI of the state copy of a source's first lot; of the run's lot where it has none.
fn state_copy_uri(input: &RunInput<'_>, source: &SourceLots) -> String {
    let (lot, state) = source.lots.first().map_or((input.lot, State::Empty), |lot| (lot.lot_id, lot.state));
    input.context.stores.manifest.uri(&paths::state_copy(&source.dataset.id(), lot, state))
}

fn environment(input: &RunInput<'_>, parameters: &Parameters) -> Vec<(String, String)> {
    let template = |dataset: &Dataset| input.context.stores.manifest.uri(&paths::state_copy_template(&dataset.id()));
    let by_role =
        |entries: Vec<(&str, Value)>| entries.into_iter().map(|(role, value)| (role.to_owned(), value)).collect::<serde_json::Map<_, _>>();
    let (sources, sinks) = (&input.sources, &input.arc.sinks);
    let props = json!({
        "sources": by_role(sources.iter().map(|source| (source.role.as_str(), json!(source.dataset))).collect()),
        "sinks": by_role(sinks.iter().map(|sink| (sink.role.as_str(), json!(sink.dataset))).collect()),
        "sourceManifestPaths": by_role(sources.iter().map(|source| (source.role.as_str(), json!(template(&source.dataset)))).collect()),
        "sinkManifestTemplates": by_role(sinks.iter().map(|sink| (sink.role.as_str(), json!(template(&sink.dataset)))).collect()),
        "workloadProps": if parameters.workload_props.is_null() { json!({}) } else { parameters.workload_props.clone() },
    });
    let id = &input.arc.id;
    let mut all = vec![
        ("ARC_NAME".to_owned(), id.arc.clone()),
        ("ARC_LOT".to_owned(), input.lot.to_string()),
        ("ARC_ATTEMPT".to_owned(), input.attempt.to_string()),
        ("CLS_ARC_PROPS_JSON".to_owned(), props.to_string()),
        ("CLS_LOCAL".to_owned(), "true".to_owned()),
        ("AWS_BATCH_JOB_ID".to_owned(), format!("{}-{}-{}", id.project, id.arc, input.lot)),
        ("AWS_BATCH_JOB_ATTEMPT".to_owned(), input.attempt.to_string()),
    ];
    all.extend(main_source(input).map(|source| ("ARC_MANIFEST".to_owned(), state_copy_uri(input, source))));
    all.extend(sources.iter().map(|source| (format!("ARC_MANIFEST_{}", variable(&source.role)), state_copy_uri(input, source))));
    all.extend(sinks.iter().map(|sink| (format!("ARC_SINK_{}", variable(&sink.role)), sink.dataset.path_uri.clone())));
    all.extend(sinks.iter().map(|sink| (format!("ARC_SINK_MANIFEST_{}", variable(&sink.role)), template(&sink.dataset))));
    all
}

/// A role as part of a variable's name.
fn variable(role: &str) -> String {
    role.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' }).collect()
}

/// A state copy of a sink, and what tells it from one that was there before.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Written {
    role: String,
    path: String,
    mark: Option<String>,
    copy: StateCopy,
}

/// The state copies of the sinks' lot. Ours, of an earlier generation, is told by its content, unless the command has
/// written it anew; one that a killed attempt left is as good as new.
async fn written(input: &RunInput<'_>) -> Result<Vec<Written>, ArcsError> {
    let mut all = Vec::new();
    for sink in &input.arc.sinks {
        all.extend(copies_of(input, sink).await?);
    }
    Ok(all)
}

async fn copies_of(input: &RunInput<'_>, sink: &ArcSink) -> Result<Vec<Written>, ArcsError> {
    let root = &input.context.stores.manifest;
    let folder = paths::lot_dir(&sink.dataset.id(), input.lot);
    let mut copies = Vec::new();
    for path in root.list(&folder).await? {
        if !matches!(paths::parse_manifest_path(&path), Some(ManifestPath::StateCopy(..))) {
            continue;
        }
        let Some(body) = root.get(path.as_ref()).await? else { continue };
        let uri = root.uri(path.as_ref());
        let meta = root.store().head(&root.path(path.as_ref())).await;
        let wrong =
            |error| ArcsError::Work { message: format!("the command's manifest `{uri}` does not read: {error}"), is_transient: false };
        let copy: StateCopy = serde_json::from_slice(&body).map_err(wrong)?;
        copies.push(Written { role: sink.role.clone(), path: uri, mark: meta.ok().and_then(|meta| meta.e_tag), copy });
    }
    Ok(copies)
}

/// What the command left behind.
#[derive(Default)]
struct Outcome {
    files: Vec<SinkFiles>,
    problems: Vec<ObjectProblem>,
    manifests: usize,
}

impl Outcome {
    /// Turns the manifests of one sink into its files.
    async fn add_sink(&mut self, input: &RunInput<'_>, sink: &ArcSink, copies: &[&Written]) -> Result<(), ArcsError> {
        let (mut objects, mut seen) = (Vec::new(), BTreeSet::new());
        for written in copies {
            self.manifests += 1;
            if written.copy.lot_id != input.lot {
                let message = format!("the command's manifest `{}` is of lot {}, not of {}", written.path, written.copy.lot_id, input.lot);
                return Err(ArcsError::Work { message, is_transient: false });
            }
            if written.copy.state == State::Partial {
                let reason = written.copy.comment.clone().unwrap_or_else(|| "the command says that it is partial".into());
                self.problems.push(ObjectProblem { uri: written.path.clone(), reason });
            }
            for uri in &written.copy.uris {
                if seen.insert(uri) {
                    objects.extend(self.objects_of(input, written.copy.uri_type, uri).await?);
                }
            }
        }
        self.files.push(SinkFiles { role: sink.role.clone(), objects, columns: Vec::new() });
        Ok(())
    }

    async fn objects_of(&mut self, input: &RunInput<'_>, kind: UriType, uri: &str) -> Result<Vec<ManifestObject>, ArcsError> {
        let stores = &input.context.stores;
        if kind != UriType::Identifier {
            return list_below(stores, uri).await;
        }
        let problem = |reason: String| ObjectProblem { uri: uri.to_owned(), reason };
        let place = match stores.objects.locate(uri) {
            Ok(place) => place,
            Err(error) => {
                self.problems.push(problem(error.to_string()));
                return Ok(vec![]);
            }
        };
        match place.store.head(&place.path).await {
            Ok(meta) => {
                let object = ManifestObject {
                    uri: uri.to_owned(),
                    size: meta.size,
                    etag: meta.e_tag,
                    version_id: meta.version,
                    ..ManifestObject::default()
                };
                Ok(vec![object])
            }
            Err(object_store::Error::NotFound { .. }) => {
                self.problems.push(problem("the command lists an object that is not there".into()));
                Ok(vec![])
            }
            Err(source) => Err(ArcsError::Store { action: "read", uri: uri.to_owned(), source }),
        }
    }

    /// What the run comes to, given how the command failed, if it did.
    fn end(mut self, failure: Option<String>, input: &RunInput<'_>) -> Result<Work, ArcsError> {
        if let Some(failure) = failure {
            if self.manifests == 0 {
                return Err(ArcsError::Work { message: failure, is_transient: true });
            }
            self.problems.push(ObjectProblem { uri: "the command".into(), reason: failure });
        }
        let objects = || input.sources.iter().flat_map(SourceLots::objects);
        let counts = Counts {
            objects: objects().count() as u64,
            bytes_in: objects().map(|object| object.size).sum(),
            bytes_out: self.files.iter().flat_map(|files| &files.objects).map(|object| object.size).sum(),
            ..Counts::default()
        };
        Ok(Work { counts, problems: self.problems, staged: Box::new(self.files) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_filled_from_the_event() {
        let fields = [("dataset.name", "logs".to_owned()), ("lot", "20230717PT5M250".to_owned())];
        let fill = |argument| filled(argument, &fields);
        assert_eq!(fill("--lot=$.arcNotifyEvent.lot"), "--lot=20230717PT5M250");
        assert_eq!(fill("$.arcNotifyEvent.dataset.name/$.arcNotifyEvent.lot/x"), "logs/20230717PT5M250/x");
        assert_eq!(fill("$.arcNotifyEvent.lottery $.arcNotifyEvent.lot.x"), "$.arcNotifyEvent.lottery $.arcNotifyEvent.lot.x");
        assert_eq!(fill("$HOME `id`"), "$HOME `id`");
    }
}
