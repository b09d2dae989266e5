//! Metrics as CloudWatch reads them out of log lines: the embedded metric format. Values flow in, one line of JSON flows
//! out. Source: CloudWatch user guide, "Embedded metric format specification".

use chrono::{DateTime, Utc};
use manifests::DatasetId;
use serde_json::{Map, Value, json};

/// The namespace of all our metrics.
pub const NAMESPACE: &str = "Arclake";
/// Runs that failed and will not be tried again; by `Project`.
pub const FAILED_RUNS: &str = "FailedRuns";
/// Manifests committed; by `Project` and `Dataset`. Whoever commits on AWS says so, since silence is an alarm.
pub const MANIFESTS_COMMITTED: &str = "ManifestsCommitted";

/// Metrics of one moment that share their dimensions.
#[derive(Clone, Debug)]
pub struct Metrics {
    at: DateTime<Utc>,
    dimensions: Vec<(&'static str, String)>,
    metrics: Vec<(&'static str, &'static str, f64)>,
    properties: Vec<(&'static str, Value)>,
}

impl Metrics {
    /// Metrics at a time, of something that these dimensions name.
    pub fn new(at: DateTime<Utc>, dimensions: Vec<(&'static str, String)>) -> Metrics {
        Metrics { at, dimensions, metrics: Vec::new(), properties: Vec::new() }
    }

    /// Manifests of a dataset that were committed.
    pub fn committed(at: DateTime<Utc>, project: &str, dataset: &DatasetId, manifests: usize) -> Metrics {
        let dimensions = vec![("Project", project.to_owned()), ("Dataset", dataset.to_string())];
        Metrics::new(at, dimensions).with(MANIFESTS_COMMITTED, "Count", manifests as f64)
    }

    /// With a metric; the unit is one of CloudWatch's: `Count`, `Seconds`, `Bytes`, `None`.
    #[must_use]
    pub fn with(mut self, name: &'static str, unit: &'static str, value: f64) -> Metrics {
        self.metrics.push((name, unit, value));
        self
    }

    /// With a property: stands in the line, and is no metric.
    #[must_use]
    pub fn property(mut self, name: &'static str, value: impl Into<Value>) -> Metrics {
        self.properties.push((name, value.into()));
        self
    }

    /// The line.
    pub fn line(&self) -> String {
        let names: Vec<&str> = self.dimensions.iter().map(|dimension| dimension.0).collect();
        let defined: Vec<Value> = self.metrics.iter().map(|(name, unit, _)| json!({"Name": name, "Unit": unit})).collect();
        let mut line = Map::new();
        let about = json!({
            "Timestamp": self.at.timestamp_millis(),
            "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": [names], "Metrics": defined}],
        });
        line.insert("_aws".to_owned(), about);
        line.extend(self.dimensions.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
        line.extend(self.metrics.iter().map(|(name, _, value)| ((*name).to_owned(), json!(value))));
        line.extend(self.properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        Value::Object(line).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn one_line_of_the_format() {
        let at = "2023-07-17T20:55:05Z".parse().unwrap();
        let metrics = Metrics::new(at, vec![("Project", "p".into())]).with("Rows", "Count", 12.0).property("Lot", "20230717PT5M250");
        expect![[r#"{"_aws":{"Timestamp":1689627305000,"CloudWatchMetrics":[{"Namespace":"Arclake","Dimensions":[["Project"]],"Metrics":[{"Name":"Rows","Unit":"Count"}]}]},"Project":"p","Rows":12.0,"Lot":"20230717PT5M250"}"#]]
            .assert_eq(&metrics.line());
    }
}
