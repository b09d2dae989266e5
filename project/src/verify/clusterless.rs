//! What Clusterless project files hold: resources, activities, which have names of ours too, and the workloads of its arcs.
//! They are checked field by field and kept; on a local placement they are noted as not run here.

use serde_json::{Map, Value, json};

use super::fields::{Object, Problems, did_you_mean};

/// What a resource or an activity is made of: its type, the fields it must have, those it may have.
type Shape = (&'static str, &'static [&'static str], &'static [&'static str]);

const RESOURCES: [Shape; 5] = [
    ("aws:core:s3Bucket", &["bucketName"], &["versioned", "enableEventBridge", "removeOnDestroy", "tags"]),
    ("aws:core:computeEnvironment", &["computeEnvironmentName"], &["compute"]),
    ("aws:core:glueDatabase", &["databaseName"], &["removeOnDestroy", "tags"]),
    ("aws:core:glueTable", &["databaseRef", "tableName", "pathURI", "schema"], &["description"]),
    ("aws:core:eventBus", &["eventBusName"], &[]),
];

const ACTIVITIES: [Shape; 4] = [
    ("cloudWatchExport", EXPORT.0, EXPORT.1),
    ("exec", EXEC.0, EXEC.1),
    ("aws:core:cloudWatchExport", EXPORT.0, EXPORT.1),
    ("aws:core:batchExecActivity", EXEC.0, EXEC.1),
];

/// The fields that something must have, and those that it may have.
type Fields = (&'static [&'static str], &'static [&'static str]);

const EXPORT: Fields = (&["interval", "logGroupName", "pathURI"], &["logStreamPrefix", "enabled"]);
const EXEC: Fields =
    (&["schedule"], &["enabled", "imagePath", "environment", "command", "workload", "computeEnvironmentRef", "runtimeProps"]);

const FLAGS: [&str; 4] = ["versioned", "enableEventBridge", "removeOnDestroy", "enabled"];
const OBJECTS: [&str; 2] = ["tags", "environment"];
const RUNTIME_PROPS: &str = "runtimeProps";
const REFERENCES: [(&str, &str); 2] = [("databaseRef", "aws:core:glueDatabase"), ("computeEnvironmentRef", "aws:core:computeEnvironment")];
const TIMEOUT_MINUTES_MAX: u64 = 14 * 24 * 60;
const MEMORY_MB_MAX: u64 = 122_880;

/// Checks `resources` and gives their JSON paths and names.
pub fn resources(file: &Object<'_>) -> Vec<(String, String)> {
    file.objects("resources").into_iter().filter_map(|object| shaped(object, "resource", &RESOURCES)).collect()
}

/// Checks `activities` and gives their JSON paths and names.
pub fn activities(file: &Object<'_>) -> Vec<(String, String)> {
    file.objects("activities").into_iter().filter_map(|object| shaped(object, "activity", &ACTIVITIES)).collect()
}

fn shaped(object: Object<'_>, what: &str, shapes: &'static [Shape]) -> Option<(String, String)> {
    let text = object.required_text("type");
    let name = object.name("name", "name").map(|name| (object.path.clone(), name.to_owned()));
    let Some(shape) = text.and_then(|text| shapes.iter().find(|shape| shape.0 == text)) else {
        if let Some(text) = text {
            let fix = did_you_mean(text, shapes.iter().map(|shape| shape.0));
            object.problems().add_fix(object.at("type"), format!("`{text}` is no type of {what}"), fix);
        }
        return name;
    };
    for key in shape.1 {
        object.required(key);
    }
    shape.1.iter().chain(shape.2).for_each(|key| typed(&object, key));
    object.finish();
    name
}

fn typed(object: &Object<'_>, key: &'static str) {
    match key {
        key if FLAGS.contains(&key) => drop(object.flag(key)),
        key if OBJECTS.contains(&key) => drop(object.object(key)),
        "command" => drop(object.texts(key)),
        "schema" => drop(object.object(key).map(schema)),
        "workload" => drop(object.object(key).map(|workload| exec(workload, false))),
        RUNTIME_PROPS => drop(object.object(key).map(runtime_props)),
        key => drop(object.text(key)),
    }
}

/// The columns of a table.
fn schema(schema: Object<'_>) {
    schema.required("columns");
    for key in ["columns", "partitions"] {
        for column in schema.objects(key) {
            column.required_text("name");
            column.required_text("type");
            column.text("comment");
            column.finish();
        }
    }
    schema.text("dataFormat");
    schema.finish();
}

/// Every reference to a resource by its local name must name one of the file, of the type that is referred to; ARNs and
/// `ref:` are not looked into.
pub fn check_references(document: &Value, problems: &Problems) {
    let resources = || document["resources"].as_array().into_iter().flatten();
    walk(document, String::new(), &mut |path, key, text| {
        let Some((_, wanted)) = REFERENCES.iter().find(|known| known.0 == key) else { return };
        if text.starts_with("arn:") || text.starts_with("ref:") {
            return;
        }
        let is_wanted = |resource: &&Value| resource["type"] == *wanted;
        let named: Vec<&Value> = resources().filter(|resource| resource["name"] == text).collect();
        let fix = || did_you_mean(text, resources().filter(is_wanted).filter_map(|resource| resource["name"].as_str()));
        match named.iter().find(|resource| is_wanted(resource)).or(named.first()) {
            Some(resource) if !is_wanted(resource) => {
                let kind = resource["type"].as_str().unwrap_or_default();
                problems.add_fix(path, format!("`{text}` is of type {kind}, and {key} names one of {wanted}"), fix());
            }
            Some(_) => {}
            None => problems.add_fix(path, format!("`{text}` is no resource of this project"), fix()),
        }
    });
}

fn walk(value: &Value, path: String, visit: &mut impl FnMut(String, &str, &str)) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Array(list) => list.iter().enumerate().for_each(|(at, value)| walk(value, format!("{path}[{at}]"), visit)),
        Value::Object(map) => map.iter().for_each(|(key, value)| match value {
            Value::String(text) => visit(below(key), key, text),
            value => walk(value, below(key), visit),
        }),
        _ => {}
    }
}

/// `aws:core:batchExecArc` as `exec`: the command, its environment, its time.
pub fn batch_exec(workload: Object<'_>) -> Value {
    exec(workload, true)
}

/// The same of an arc or an activity; the image of an activity may know its command.
fn exec(workload: Object<'_>, is_arc: bool) -> Value {
    let mut taken = Map::new();
    for key in ["computeEnvironmentRef", "imagePath"] {
        taken.extend(workload.text(key).map(|text| (key.to_owned(), json!(text))));
    }
    if is_arc {
        workload.required("command");
    }
    taken.extend(workload.texts("command").map(|words| ("command".to_owned(), json!(words))));
    taken.extend(workload.object("environment").and(workload.value("environment")).map(|value| ("environment".to_owned(), value.clone())));
    taken.extend(workload.value("workloadProps").map(|value| ("workloadProps".to_owned(), value.clone())));
    if let Some(props) = workload.object("batchRuntimeProps") {
        taken.extend(runtime_props(props));
    }
    workload.finish();
    Value::Object(taken)
}

/// `runtimeProps` and `batchRuntimeProps`: memory, attempts, time, architecture. Only those that mean something here
/// are given back.
pub fn runtime_props(props: Object<'_>) -> Map<String, Value> {
    props.count("memorySizeMB", MEMORY_MB_MAX);
    // Which numbers there are is judged where they are used.
    props.value("vcpu");
    props.count("retryAttempts", 10);
    props.word("architecture", &["X86_64", "ARM64", "ARM_64"]);
    let minutes = props.count("timeoutMin", TIMEOUT_MINUTES_MAX);
    props.finish();
    minutes.map(|minutes| ("timeoutMin".to_owned(), json!(minutes))).into_iter().collect()
}

/// `aws:core:s3CopyArc` as `copy`.
pub fn s3_copy(workload: Object<'_>) -> Value {
    let mut taken = Map::new();
    if let Some(props) = workload.object("workloadProps") {
        taken.extend(props.object("filter").and(props.value("filter")).map(|value| ("filter".to_owned(), value.clone())));
        let percent = props.count("failArcOnPartialPercent", 100);
        taken.extend(percent.map(|percent| ("failArcOnPartialPercent".to_owned(), json!(percent))));
        props.finish();
    }
    workload.finish();
    Value::Object(taken)
}

/// `aws:core:glueAddPartitionsArc`.
pub fn add_partitions(workload: Object<'_>) -> Value {
    let mut taken = Map::new();
    if let Some(props) = workload.object("workloadProps") {
        props.word("partitionType", &["named", "value"]);
        props.text("namedPartitionDelimiter");
        props.word("partitionResults", &["none", "all", "added"]);
        let given = workload.value("workloadProps").and_then(Value::as_object);
        taken.extend(given.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
        props.finish();
    }
    workload.finish();
    Value::Object(taken)
}
