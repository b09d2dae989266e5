//! Boundaries as the file has them: one JSON object flows in, a specification flows out.

use boundary::{BoundarySpec, EventArrival, FilterSpec, SETTLE_SECONDS_DEFAULT};
use chrono::{DateTime, TimeDelta, Utc};
use manifests::LotUnit;

use super::Base;
use super::arc::{read_dataset, read_unit};
use super::fields::{Object, did_you_mean};
use crate::forms;

/// The types of boundaries, ours and that of Clusterless, which mean the same.
const TYPES: [&str; 2] = ["watch", "aws:core:s3PutListenerBoundary"];
/// The longest a file may be asked to stay unchanged before it is taken, in seconds.
const SETTLE_SECONDS_MAX: u64 = 86_400;
/// The longest that a listener may wait for a queue, in seconds.
const FETCH_SECONDS_MAX: u64 = 20;

/// Reads a boundary; `None` where it lacks what the rest of the file could refer to.
pub fn read(object: Object<'_>, base: &Base<'_>) -> Option<(String, BoundarySpec)> {
    read_type(&object);
    let name = object.name("name", "boundary name");
    let dataset = object.required_object("dataset").and_then(|dataset| read_dataset(dataset, base, true));
    let unit = read_unit(&object).unwrap_or(LotUnit::Twelfths);
    let arrival = match object.word("eventArrival", &["frequent", "infrequent"]) {
        Some(1) => EventArrival::Infrequent,
        _ => EventArrival::Frequent,
    };
    let settle = object.count("settleSeconds", SETTLE_SECONDS_MAX).and_then(|count| i64::try_from(count).ok());
    let from = read_from(&object);
    let filter = object.object("filter").map(read_filter).unwrap_or_default();
    read_listener(&object);
    let path = object.path.clone();
    object.finish();
    let settle = TimeDelta::seconds(settle.unwrap_or(SETTLE_SECONDS_DEFAULT));
    Some((path, BoundarySpec { name: name?.to_owned(), dataset: dataset?, unit, arrival, filter, settle, from }))
}

fn read_type(object: &Object<'_>) {
    let Some(text) = object.required_text("type").filter(|text| !TYPES.contains(text)) else { return };
    let fix = did_you_mean(text, TYPES).unwrap_or_else(|| format!("use {}", TYPES.join(" or ")));
    object.problems().add_fix(object.at("type"), format!("`{text}` is no type of boundary"), Some(fix));
}

fn read_from(object: &Object<'_>) -> Option<DateTime<Utc>> {
    let text = object.text("from")?;
    let from = DateTime::parse_from_rfc3339(text);
    if from.is_err() {
        object.complain("from", format!("`{text}` is no time: use 2023-07-17T00:00:00Z"));
    }
    from.ok().map(|from| from.to_utc())
}

/// What only a listener on a bucket has: checked, and of no meaning for a folder.
fn read_listener(object: &Object<'_>) {
    if let Some(frequent) = object.object("frequent") {
        frequent.count("queueFetchWaitSec", FETCH_SECONDS_MAX);
        frequent.finish();
    }
    if let Some(infrequent) = object.object("infrequent") {
        infrequent.word("lotSource", &["objectModifiedTime", "eventTime"]);
        infrequent.flag("enableEventBridge");
        infrequent.finish();
    }
    if let Some(arn) = object.text("topicArn").filter(|arn| !forms::is_topic(arn)) {
        let fix = Some("use arn:aws:sns:us-east-2:123456789012:NAME, the ARN of a standard topic".to_owned());
        object.problems().add_fix(object.at("topicArn"), format!("`{arn}` is no topic"), fix);
    }
    if let Some(props) = object.object("runtimeProps") {
        super::clusterless::runtime_props(props);
    }
}

fn read_filter(object: Object<'_>) -> FilterSpec {
    let mut filter = FilterSpec { ignore_case: object.flag("ignoreCase").unwrap_or(false), ..FilterSpec::default() };
    let mut letters = object.text("pathSeparator").unwrap_or("/").chars();
    match (letters.next(), letters.next()) {
        (Some(separator), None) => filter.path_separator = separator,
        _ => object.complain("pathSeparator", "must be one character"),
    }
    if let Some(includes) = object.texts("includes") {
        check_globs(&object, "includes", &includes, &filter);
        filter.includes = includes;
    }
    if let Some(excludes) = object.texts("excludes") {
        check_globs(&object, "excludes", &excludes, &filter);
        filter.excludes = excludes;
    }
    object.finish();
    filter
}

fn check_globs(object: &Object<'_>, key: &str, globs: &[String], filter: &FilterSpec) {
    for (at, glob) in globs.iter().enumerate() {
        let alone = FilterSpec { includes: vec![glob.clone()], excludes: Vec::new(), ..filter.clone() };
        if let Err(error) = alone.compile() {
            object.complain_at(key, at, error.to_string());
        }
    }
}
