//! Alarms: dead letters, failed runs, a dataset that gets no manifests. Each says so to the topic of failures. The project
//! flows in, parts flow out.

use boundary::BoundarySpec;
use boundary::aws::{FAILED_RUNS, MANIFESTS_COMMITTED, NAMESPACE};
use manifests::{ArcSpec, Dataset, LotUnit, MAIN_ROLE};
use serde_json::{Value, json};

use super::dispatch::TOPIC;
use super::names::{ProjectNames, logical};
use super::part::{Group, Parts, reference};
use crate::file::Project;

/// Intervals without a manifest that are an alarm.
const SILENT_INTERVALS: u32 = 3;
/// Seconds over which failures are counted.
const FAILURES_SECONDS: u32 = 300;

struct Alarm {
    id: String,
    name: String,
    description: String,
    metric: Value,
    seconds: u32,
    intervals: u32,
    comparison: (&'static str, u32),
    is_silence_bad: bool,
}

impl Alarm {
    fn add(self, parts: &mut Parts, names: &ProjectNames) {
        let mut properties = json!({"AlarmName": names.alarm(&self.name), "AlarmDescription": self.description});
        let rest = json!({
            "Statistic": "Sum",
            "Period": self.seconds,
            "EvaluationPeriods": self.intervals,
            "DatapointsToAlarm": self.intervals,
            "Threshold": self.comparison.1,
            "ComparisonOperator": self.comparison.0,
            "TreatMissingData": if self.is_silence_bad { "breaching" } else { "notBreaching" },
            "AlarmActions": [reference(TOPIC)],
        });
        for more in [self.metric, rest] {
            if let (Some(properties), Value::Object(more)) = (properties.as_object_mut(), more) {
                properties.extend(more);
            }
        }
        let arn = names.placement.arn("cloudwatch", &format!("alarm:{}", names.alarm(&self.name)));
        parts.add(&self.id, "AWS::CloudWatch::Alarm", names.alarm(&self.name), arn, properties);
    }
}

fn letters(parts: &mut Parts, names: &ProjectNames, id: &str, queue: &str, name: &str, what: &str) {
    let dimension = json!({"Name": "QueueName", "Value": queue});
    let alarm = Alarm {
        id: id.to_owned(),
        name: name.to_owned(),
        description: what.to_owned(),
        metric: json!({"Namespace": "AWS/SQS", "MetricName": "ApproximateNumberOfMessagesVisible", "Dimensions": [dimension]}),
        seconds: FAILURES_SECONDS,
        intervals: 1,
        comparison: ("GreaterThanThreshold", 0),
        is_silence_bad: false,
    };
    alarm.add(parts, names);
    if let Some(statistic) = parts.all.last_mut().and_then(|part| part.body.pointer_mut("/Properties/Statistic")) {
        *statistic = "Maximum".into();
    }
}

/// Adds the alarm of events that could not be delivered.
pub(crate) fn add_base(parts: &mut Parts, names: &ProjectNames) {
    let what = "Events that no function could handle lie in the queue of the undelivered";
    letters(parts, names, "UndeliveredAlarm", &names.undelivered(), "undelivered", what);
}

/// Adds the alarm of runs that failed.
pub(crate) fn add_failures(parts: &mut Parts, names: &ProjectNames, project: &Project) {
    parts.enter(Group::Base);
    let alarm = Alarm {
        id: "FailedRunsAlarm".to_owned(),
        name: "failed-runs".to_owned(),
        description: format!(
            "Runs or activities of {} {} failed; see the notices of the topic, and arc status",
            project.name, project.version
        ),
        metric: json!({"Namespace": NAMESPACE, "MetricName": FAILED_RUNS, "Dimensions": [{"Name": "Project", "Value": project.name}]}),
        seconds: FAILURES_SECONDS,
        intervals: 1,
        comparison: ("GreaterThanThreshold", 0),
        is_silence_bad: false,
    };
    alarm.add(parts, names);
}

/// Adds the alarms of a boundary: dead letters, no manifests.
pub(crate) fn add_boundary(parts: &mut Parts, names: &ProjectNames, project: &Project, boundary: &BoundarySpec) {
    add_dead_letters(parts, names, boundary);
    let id = format!("Boundary{}", logical(&boundary.name));
    silence(parts, names, project, &id, &boundary.dataset, boundary.unit);
}

/// Adds the alarm of a boundary's dead letters.
pub(crate) fn add_dead_letters(parts: &mut Parts, names: &ProjectNames, boundary: &BoundarySpec) {
    parts.enter(Group::Boundary(boundary.name.clone()));
    let id = format!("Boundary{}", logical(&boundary.name));
    let what = format!("Arrivals of boundary {} could not be taken", boundary.name);
    let (queue, name) = (names.dead_letters(&boundary.name), format!("{}-dead-letters", boundary.name));
    letters(parts, names, &format!("{id}DeadLettersAlarm"), &queue, &name, &what);
}

/// Adds the alarm of an arc: no manifests of its main sink.
pub(crate) fn add_arc(parts: &mut Parts, names: &ProjectNames, project: &Project, arc: &ArcSpec) {
    parts.enter(Group::Arc(arc.id.arc.clone()));
    let main = arc.sinks.iter().find(|sink| sink.role == MAIN_ROLE);
    if let Some(sink) = main {
        silence(parts, names, project, &format!("Arc{}", logical(&arc.id.arc)), &sink.dataset, arc.unit);
    }
}

fn silence(parts: &mut Parts, names: &ProjectNames, project: &Project, id: &str, dataset: &Dataset, unit: LotUnit) {
    let dimensions = json!([{"Name": "Project", "Value": project.name}, {"Name": "Dataset", "Value": dataset.id().to_string()}]);
    let alarm = Alarm {
        id: format!("{id}SilentAlarm"),
        name: format!("silent-{}-{}", dataset.name, dataset.version),
        description: format!("{} had no manifest for {SILENT_INTERVALS} intervals of {unit}", dataset.id()),
        metric: json!({"Namespace": NAMESPACE, "MetricName": MANIFESTS_COMMITTED, "Dimensions": dimensions}),
        seconds: unit.minutes() * 60,
        intervals: SILENT_INTERVALS,
        comparison: ("LessThanThreshold", 1),
        is_silence_bad: true,
    };
    alarm.add(parts, names);
}

#[cfg(test)]
mod tests {
    use super::*;
    use boundary::aws::Metrics;
    use manifests::DatasetId;

    #[test]
    fn silence_is_looked_for_where_commits_are_told() {
        let project = crate::synth::fixture::changed(|_| {});
        let names = ProjectNames::of(&project).unwrap();
        let mut parts = Parts::new();
        project.boundaries.iter().for_each(|boundary| add_boundary(&mut parts, &names, &project, boundary));
        project.arcs.iter().for_each(|arc| add_arc(&mut parts, &names, &project, arc));
        let alarms: Vec<&Value> = parts.all.iter().map(|part| &part.body["Properties"]).collect();
        let datasets: Vec<DatasetId> = (project.boundaries.iter().map(|boundary| boundary.dataset.id()))
            .chain(project.arcs.iter().filter_map(|arc| arc.sinks.iter().find(|sink| sink.role == MAIN_ROLE)).map(|sink| sink.dataset.id()))
            .collect();
        assert!(datasets.len() > 1);
        for dataset in datasets {
            let line = Metrics::committed(chrono::DateTime::UNIX_EPOCH, &project.name, &dataset, 1).line();
            let line: Value = serde_json::from_str(&line).unwrap();
            let told = &line["_aws"]["CloudWatchMetrics"][0];
            let is_told = |alarm: &&&Value| {
                let dimensions = alarm["Dimensions"].as_array().unwrap();
                let same = |(one, name): (&Value, &Value)| one["Name"] == *name && one["Value"] == line[name.as_str().unwrap()];
                alarm["MetricName"] == told["Metrics"][0]["Name"]
                    && alarm["Namespace"] == told["Namespace"]
                    && dimensions.len() == told["Dimensions"][0].as_array().unwrap().len()
                    && dimensions.iter().zip(told["Dimensions"][0].as_array().unwrap()).all(same)
            };
            assert_eq!(alarms.iter().filter(is_told).count(), 1, "{dataset}");
        }
    }
}
