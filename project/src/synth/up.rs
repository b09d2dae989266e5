//! A project that `arc up` serves, on EC2 or Kubernetes: the way from buckets to queues is the same, and instead of functions
//! and jobs there are policies, for the role of whatever the process runs on. The project flows in, parts flow out.

use manifests::ArcSpec;
use serde_json::{Value, json};

use super::ProjectOptions;
use super::names::ProjectNames;
use super::part::{Group, Parts, arn_of, reference};
use super::{alarms, boundary, grants, iam};
use crate::file::Project;

/// What logical ids of the policies begin with.
const POLICY: &str = "UpPolicy";

/// Adds what brings arrivals, the alarms that do not go by metrics of functions, and the policies.
pub(crate) fn add(parts: &mut Parts, names: &ProjectNames, project: &Project, arcs: &[&ArcSpec], options: &ProjectOptions) {
    for boundary in &project.boundaries {
        parts.enter(Group::Boundary(boundary.name.clone()));
        parts.begin("boundaries", &boundary.name);
        boundary::add_arrivals(parts, names, project, boundary);
        alarms::add_dead_letters(parts, names, boundary);
    }
    parts.enter(Group::Base);
    parts.end();
    let queues: Vec<Value> = project.boundaries.iter().map(|boundary| arn_of(&boundary::queue_id(&boundary.name))).collect();
    let mut policies = Vec::new();
    for (at, statements) in grants::up(names, &project.boundaries, arcs, &queues, options).into_iter().enumerate() {
        let id = format!("{POLICY}{}", at + 1);
        let name = names.role(&format!("up-{}", at + 1));
        let arn = names.placement.policy_arn(&name);
        let description = format!("What arc up needs for {} {}", project.name, project.version);
        let properties = json!({"ManagedPolicyName": name, "Description": description, "PolicyDocument": iam::document(statements)});
        parts.add(&id, "AWS::IAM::ManagedPolicy", arn.clone(), arn, properties);
        policies.push(reference(&id));
    }
    parts.output("UpPolicies", "Attach these policies to the role that arc up runs with", json!({"Fn::Join": [" ", policies]}));
}
