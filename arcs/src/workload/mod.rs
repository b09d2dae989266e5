//! The registry of workloads: the kinds of work an arc can do. Sources flow in; staged files and counts flow out. A
//! workload is one file in this folder and one line in [`WORKLOADS`]; it never publishes, commits, or looks at leases.

pub(crate) mod convert;
mod copy;
mod exec;
mod glue;
mod query;

pub use query::{AthenaPlace, builtin, is_athena};

pub use query::builtin as builtin_query;

use async_trait::async_trait;
use manifests::{ArcSpec, Counts, Lot, MAIN_ROLE, Manifest, ManifestObject, NamedType};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::ArcsError;
use crate::read::{ObjectProblem, SourceObject};
use crate::runner::{RunContext, SourceLots, source_object, target};
use crate::write::Target;

/// All workloads. A test walks the folder and fails for a file that is missing here.
pub static WORKLOADS: &[&dyn Workload] = &[&convert::Convert, &query::Query, &copy::Copy, &exec::Exec, &glue::Glue];

/// A kind of work.
#[async_trait]
pub trait Workload: Send + Sync {
    /// The `type` of its arcs in project files.
    fn name(&self) -> &'static str;
    /// What it does, in a sentence without full stop.
    fn summary(&self) -> &'static str;
    /// The parameters under an arc's `workload`.
    fn parameters(&self) -> &'static [Parameter];
    /// What is wrong with an arc of this kind beyond what [`Workload::parameters`] says. Looks at nothing but the arc.
    fn check(&self, arc: &ArcSpec) -> Vec<Problem>;
    /// Does the work for one lot: everything is staged, nothing can be read. At least one source has an object.
    async fn run(&self, input: &RunInput<'_>) -> Result<Work, ArcsError>;
}

/// A parameter of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in project files.
    pub name: &'static str,
    /// What its values look like.
    pub kind: ParameterKind,
    /// What it is when left out, as JSON; empty for one that must be given.
    pub default: &'static str,
    /// What it means, in a sentence without full stop.
    pub meaning: &'static str,
}

/// What the values of a parameter look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// Text.
    Text,
    /// A list of texts.
    Texts,
    /// A number from 0 to this one.
    Number(u32),
    /// An object.
    Object,
    /// Anything.
    Any,
}

/// Something wrong with an arc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, relative to the arc: `workload.format`.
    pub path: String,
    /// What, without full stop.
    pub message: String,
    /// The likely correction.
    pub fix: Option<String>,
}

impl Problem {
    /// A problem without a correction.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem { path: path.into(), message: message.into(), fix: None }
    }

    /// The same with the likely correction.
    #[must_use]
    pub fn fix(self, fix: impl Into<String>) -> Problem {
        Problem { fix: Some(fix.into()), ..self }
    }
}

/// What a workload works on.
pub struct RunInput<'a> {
    /// The worker.
    pub context: &'a RunContext,
    /// The arc.
    pub arc: &'a ArcSpec,
    /// The lot.
    pub lot: Lot,
    /// The attempt, from 1; later ones may find what earlier ones left.
    pub attempt: u32,
    /// What it reads, in the order of the arc's sources.
    pub sources: Vec<SourceLots>,
}

impl RunInput<'_> {
    /// The workload's parameters as a type of its own.
    pub fn parameters<T: DeserializeOwned>(&self) -> Result<T, ArcsError> {
        let message = |error| format!("workload of arc {}: {error}", self.arc.id.arc);
        serde_json::from_value(given(self.arc)).map_err(|error| ArcsError::Job { message: message(error) })
    }

    /// Where the files of a sink go; `None` for a role that the arc does not have.
    pub fn target(&self, role: &str) -> Result<Option<Target>, ArcsError> {
        let sink = self.arc.sinks.iter().find(|sink| sink.role == role);
        sink.map(|sink| target(&self.context.stores, &sink.dataset.path_uri).map_err(ArcsError::from)).transpose()
    }

    /// Where the files of the main sink go.
    pub fn main_target(&self) -> Result<Target, ArcsError> {
        self.target(MAIN_ROLE)?.ok_or_else(|| ArcsError::Job { message: format!("arc {} has no main sink", self.arc.id.arc) })
    }

    /// All objects of all sources, ready to be read, and those whose place is no place.
    pub fn objects(&self) -> (Vec<SourceObject>, Vec<ObjectProblem>) {
        let (mut objects, mut problems) = (Vec::new(), Vec::new());
        for object in self.sources.iter().flat_map(SourceLots::objects) {
            match source_object(&self.context.stores, object) {
                Ok(object) => objects.push(object),
                Err(problem) => problems.push(problem),
            }
        }
        (objects, problems)
    }
}

/// What a workload did.
pub struct Work {
    /// What became of the input; balanced.
    pub counts: Counts,
    /// Objects that could not be read, wholly or in part; with any of these the lot is partial.
    pub problems: Vec<ObjectProblem>,
    /// Its files.
    pub staged: Box<dyn StagedWork>,
}

impl Work {
    /// Nothing in, nothing out.
    pub fn nothing() -> Work {
        Work { counts: Counts::default(), problems: Vec::new(), staged: Box::new(Vec::<SinkFiles>::new()) }
    }
}

/// Files that are staged and cannot be read yet.
#[async_trait]
pub trait StagedWork: Send {
    /// Makes all of them readable, main last.
    async fn publish(self: Box<Self>) -> Result<Vec<SinkFiles>, ArcsError>;
    /// Takes all of them away again.
    async fn abort(self: Box<Self>);
}

/// The files of one sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkFiles {
    /// The sink's role.
    pub role: String,
    /// The files, in their order.
    pub objects: Vec<ManifestObject>,
    /// Their columns; none where nobody knows.
    pub columns: Vec<NamedType>,
}

/// Files that somebody else made readable already.
#[async_trait]
impl StagedWork for Vec<SinkFiles> {
    async fn publish(self: Box<Self>) -> Result<Vec<SinkFiles>, ArcsError> {
        Ok(*self)
    }

    async fn abort(self: Box<Self>) {}
}

/// The workload of that name.
pub fn find(name: &str) -> Option<&'static dyn Workload> {
    WORKLOADS.iter().copied().find(|workload| workload.name() == name)
}

/// The workload of an arc.
pub(crate) fn of(arc: &ArcSpec) -> Result<&'static dyn Workload, ArcsError> {
    find(&arc.kind).ok_or_else(|| ArcsError::Job { message: format!("arc {} is of type {}: {}", arc.id.arc, arc.kind, known()) })
}

fn known() -> String {
    let names: Vec<_> = WORKLOADS.iter().map(|workload| workload.name()).collect();
    format!("this worker knows {}", names.join(", "))
}

/// Everything that is wrong with an arc's kind of work and its parameters.
pub fn check(arc: &ArcSpec) -> Vec<Problem> {
    let Some(workload) = find(&arc.kind) else {
        return vec![Problem::new("type", format!("`{}` is no type of arc: {}", arc.kind, known()))];
    };
    let given = given(arc);
    let Value::Object(given) = &given else { return vec![Problem::new("workload", "must be an object")] };
    let mut problems = Vec::new();
    for parameter in workload.parameters() {
        match given.get(parameter.name) {
            None if parameter.default.is_empty() => problems.push(Problem::new(format!("workload.{}", parameter.name), "is missing")),
            Some(value) => problems.extend(wrong_kind(parameter, value)),
            None => {}
        }
    }
    let unknown = given.keys().filter(|key| workload.parameters().iter().all(|parameter| parameter.name != *key));
    problems.extend(unknown.map(|key| unknown_parameter(workload, key)));
    if problems.is_empty() {
        problems = workload.check(arc);
    }
    problems
}

fn unknown_parameter(workload: &dyn Workload, key: &str) -> Problem {
    let names: Vec<_> = workload.parameters().iter().map(|parameter| parameter.name).collect();
    let known = format!("use {}", names.join(", "));
    Problem::new(format!("workload.{key}"), format!("`{key}` is no parameter of {}", workload.name())).fix(known)
}

/// The parameters as given; nothing is an empty object.
fn given(arc: &ArcSpec) -> Value {
    match &arc.workload {
        Value::Null => Value::Object(serde_json::Map::new()),
        value => value.clone(),
    }
}

fn wrong_kind(parameter: &Parameter, value: &Value) -> Option<Problem> {
    let (is_right, expected) = match parameter.kind {
        ParameterKind::Text => (value.is_string(), "text".to_owned()),
        ParameterKind::Texts => (value.as_array().is_some_and(|list| list.iter().all(Value::is_string)), "a list of texts".to_owned()),
        ParameterKind::Number(max) => {
            let is_right = value.as_f64().is_some_and(|number| (0.0..=f64::from(max)).contains(&number));
            (is_right, format!("a number from 0 to {max}"))
        }
        ParameterKind::Object => (value.is_object(), "an object".to_owned()),
        ParameterKind::Any => return None,
    };
    (!is_right).then(|| Problem::new(format!("workload.{}", parameter.name), format!("must be {expected}")))
}

/// Whether more lines of a lot were rejected than the arc allows.
pub(crate) fn is_past_reject_limit(arc: &ArcSpec, manifests: &[Manifest]) -> bool {
    let limit_percent = arc.workload.get(convert::REJECT_LIMIT).and_then(Value::as_f64).unwrap_or(convert::REJECT_LIMIT_PERCENT);
    let counts = manifests.last().and_then(|main| main.receipt.as_ref()).map(|receipt| receipt.counts).unwrap_or_default();
    counts.rejected as f64 * 100.0 > limit_percent * counts.lines as f64
}

/// Refuses sinks that the workload would leave empty for ever.
pub(crate) fn check_sinks(arc: &ArcSpec, roles: &[&str]) -> Vec<Problem> {
    let other = arc.sinks.iter().filter(|sink| !roles.contains(&sink.role.as_str()));
    let message = |role: &str| format!("nothing is ever written to `{role}`: {} arcs write {}", arc.kind, roles.join(" and "));
    other.map(|sink| Problem::new(format!("sinks.{}", sink.role), message(&sink.role)).fix("remove it")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::fixture;
    use expect_test::{Expect, expect};
    use serde_json::json;

    #[test]
    fn every_file_of_the_folder_is_registered() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/workload");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy();
            let is_workload = path.extension().is_some_and(|extension| extension == "rs") && name != "mod";
            assert!(!is_workload || find(&name).is_some(), "workload/{name}.rs is not in WORKLOADS");
        }
    }

    #[test]
    fn every_workload_says_what_it_takes() {
        for workload in WORKLOADS {
            assert!(!workload.summary().is_empty() && !workload.summary().ends_with('.'), "{}", workload.name());
            for parameter in workload.parameters() {
                assert!(!parameter.meaning.is_empty() && !parameter.meaning.ends_with('.'), "{}.{}", workload.name(), parameter.name);
                let default = parameter.default;
                assert!(default.is_empty() || serde_json::from_str::<Value>(default).is_ok(), "{}.{}", workload.name(), parameter.name);
            }
        }
    }

    fn shown(kind: &str, workload: Value, expected: Expect) {
        let mut arc = fixture::arc(kind, workload);
        arc.sinks.retain(|sink| sink.role != "rejects" || kind == "convert");
        let lines: Vec<String> = check(&arc)
            .iter()
            .map(|problem| {
                format!("{}: {}{}", problem.path, problem.message, problem.fix.as_ref().map(|fix| format!(" ({fix})")).unwrap_or_default())
            })
            .collect();
        expected.assert_eq(&lines.join("\n"));
    }

    #[test]
    fn parameters_are_checked() {
        shown("convert", json!({"format": "s3-access", "partitions": ["dt", "hour"]}), expect![[""]]);
        shown(
            "convert",
            json!({"formt": 1, "rejectLimitPercent": 101}),
            expect![[r#"
                workload.format: is missing
                workload.rejectLimitPercent: must be a number from 0 to 100
                workload.formt: `formt` is no parameter of convert (use format, partitions, select, sortBy, redact, redactKeyEnv, rejectsRaw, rejectLimitPercent, rowGroupMiB, fileMiB, compression, zstdLevel, bloom)"#]],
        );
        shown(
            "convert",
            json!({"format": "s3", "partitions": ["day"], "zstdLevel": 0}),
            expect![[r#"
                workload.format: `s3` is no format: use alb, apache-combined, apache-common, clb, cloudfront, cloudtrail, cri, delimited, fluentd, grok, iis-w3c, json, log4j, logback, logfmt, nginx, nlb, python, regex, route53-resolver, s3-access, syslog-3164, syslog-5424, vpc-flow, waf
                workload.zstdLevel: must be a whole number from 1 to 22"#]],
        );
        shown(
            "query",
            json!({"sql": "SELECT 1 AS one", "builtin": "error_stats"}),
            expect!["workload: has both `sql` and `builtin` (keep one of them)"],
        );
        shown("query", json!({}), expect!["workload.sql: is missing (sql: 'SELECT …' or builtin: 'error_stats')"]);
        shown(
            "query",
            json!({"builtin": "stats", "schemas": {"other": "s3-access", "main": "s4"}}),
            expect![[r#"
                workload.builtin: `stats` is no query that comes with the program (use error_stats)
                workload.schemas.other: `other` is no source of this arc
                workload.schemas.main: `s4` is no format: use alb, apache-combined, apache-common, clb, cloudfront, cloudtrail, cri, delimited, fluentd, grok, iis-w3c, json, log4j, logback, logfmt, nginx, nlb, python, regex, route53-resolver, s3-access, syslog-3164, syslog-5424, vpc-flow, waf (or `rejects`, or {column: type})"#]],
        );
        shown(
            "query",
            json!({"sql": "SELECT random() AS n FROM main", "engine": "athena", "threads": 2, "workgroup": "a b"}),
            expect![[r#"
                workload.workgroup: `a b` is no name of a workgroup: 1 to 128 letters, digits, `.`, `_` and `-`
                workload.threads: is of engine datafusion alone (remove it)
                workload.sql: random() gives other rows when the lot is run again; use the times in the data, or `lot`"#]],
        );
        shown(
            "copy",
            json!({"filter": {"includes": ["**/*.gz", "a{"]}}),
            expect!["workload.filter: error parsing glob 'a{': unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)"],
        );
        shown("exec", json!({"command": []}), expect!["workload.command: names no program"]);
        shown(
            "exec",
            json!({"command": ["echo", "$.arcNotifyEvent.lott"], "environment": {"A": 1, "B=C": "x"}}),
            expect![[r#"
            workload.command[1]: names a field that events do not have (use $.arcNotifyEvent.dataset.name, $.arcNotifyEvent.dataset.version, $.arcNotifyEvent.dataset.pathURI, $.arcNotifyEvent.lot, $.arcNotifyEvent.manifest)
            workload.environment.A: must be a variable with a text
            workload.environment.B=C: must be a variable with a text"#]],
        );
        shown("glou", json!({}), expect!["type: `glou` is no type of arc: this worker knows convert, query, copy, exec, glue"]);
        shown("copy", json!([]), expect!["workload: must be an object"]);
    }
}
